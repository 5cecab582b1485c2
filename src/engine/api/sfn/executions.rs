//! Executions and children of Map Runs: found by their ARNs, started, stopped, redriven, and told of.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::arguments::{Arguments, bad_arn, check_name, invalid};
use super::machines::{self, Part, refuse_deleting};
use crate::engine::api::ApiError;
use crate::engine::definition::ChildKind;
use crate::engine::machine::{Execution, Identity, REDRIVE_PERIOD_MS, exceeds_depth, seconds};
use crate::engine::map_run::handle::{Handle, Message};
use crate::engine::map_run::{ChildStatus, Names};
use crate::engine::state_machines::MachineRow;
use crate::engine::store::{ExecutionRow, ExecutionStatus, Origin, Provenance};
use crate::engine::{ACCOUNT, Engine, REGION};

mod read;

pub use read::{describe, history, list};

/// Executions started before this, 15 November 2023, cannot be redriven.
const REDRIVE_LAUNCH_MS: i64 = 1_700_006_400_000;
/// How long a Standard execution may take in all, redrives included (Step Functions quotas).
const MAX_LIFE_MS: i64 = 365 * 24 * 3_600_000;
/// How long a name stays taken after its execution closed (API reference, StartExecution).
const NAME_LIFE_MS: i64 = 90 * 24 * 3_600_000;
/// How long a client token of RedriveExecution is remembered, and how many are.
const REDRIVE_TOKEN_MS: i64 = 15 * 60_000;
const REDRIVE_TOKENS: usize = 10;

/// An execution that a call is about.
pub enum Located {
    Execution(Box<ExecutionRow>),
    Child {
        parent: Box<ExecutionRow>,
        handle: Arc<Handle>,
        child: u32,
    },
}

impl Located {
    pub fn parent(&self) -> &ExecutionRow {
        match self {
            Self::Execution(row) => row,
            Self::Child { parent, .. } => parent,
        }
    }

    pub fn map_run(&self) -> Option<&Handle> {
        match self {
            Self::Execution(_) => None,
            Self::Child { handle, .. } => Some(handle),
        }
    }
}

pub fn unknown(arn: &str) -> ApiError {
    ApiError::new(
        "ExecutionDoesNotExist",
        format!("Execution Does Not Exist: '{arn}'"),
    )
}

fn not_express() -> ApiError {
    bad_arn("Resource type not valid in this context: express".to_owned())
}

/// The state machine's ARN, without label.
pub fn machine_arn(execution: &str) -> String {
    let rest = execution.splitn(7, ':').nth(6).unwrap_or_default();
    let name = rest.split([':', '/']).next().unwrap_or_default();
    format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}")
}

/// Finds the execution or child of `executionArn`.
pub async fn locate(engine: &Engine, arguments: &Arguments) -> Result<Located, ApiError> {
    arguments.arn("executionArn", &["execution", "express"])?;
    find(engine, arguments.required("executionArn")?).await
}

/// The execution or child with this ARN.
pub async fn find(engine: &Engine, arn: &str) -> Result<Located, ApiError> {
    let mut parts = arn.splitn(7, ':').skip(5);
    let (kind, rest) = (parts.next(), parts.next().unwrap_or_default());
    let (machine, name) = rest.split_once(':').ok_or_else(|| unknown(arn))?;
    let runner = engine.runner();
    let Some((machine_name, label)) = machine.split_once('/') else {
        if kind == Some("express") {
            // What an Express execution did is only in its log.
            return Err(not_express());
        }
        let row = runner.store().execution(arn)?.ok_or_else(|| unknown(arn))?;
        return Ok(Located::Execution(Box::new(row)));
    };
    // A child's name does not tell its Map Run: ask those of this label, newest first.
    for map_run in runner.store().map_runs_labelled(&machine_arn(arn), label)? {
        // The name tells without opening the log whether the child can be one of this run's.
        let is_ours = |kind| {
            Names::new(&map_run, machine_name, label, kind)
                .child(name)
                .is_some()
        };
        if ![ChildKind::Standard, ChildKind::Express]
            .into_iter()
            .any(is_ours)
        {
            continue;
        }
        let Some(handle) = runner.map_run(&map_run).await? else {
            continue;
        };
        let child = handle.names.child(name).filter(|child| {
            handle
                .table()
                .row(*child)
                .is_some_and(|row| row.status != ChildStatus::Pending)
        });
        if let Some(child) = child.filter(|child| handle.names.arn(*child) == arn) {
            let parent = runner
                .store()
                .execution(handle.row.root())?
                .ok_or_else(|| unknown(arn))?;
            return Ok(Located::Child {
                parent: Box::new(parent),
                handle,
                child,
            });
        }
    }
    Err(unknown(arn))
}

/// What an execution is started with.
pub struct Beginning {
    pub machine: MachineRow,
    pub name: String,
    pub input: Value,
    pub provenance: Provenance,
    /// The Task that starts it.
    pub nested_in: Option<Origin>,
}

/// What StartExecution and StartSyncExecution share: the state machine with the version that an
/// alias chooses, the name and the input.
pub fn beginning(engine: &Engine, arguments: &Arguments) -> Result<Beginning, ApiError> {
    let store = engine.runner().store();
    // An update is not seen at once; a state machine that was made just now is.
    let found = match machines::find(&store.delayed(), arguments, "stateMachineArn") {
        Err(_) => machines::find(store, arguments, "stateMachineArn"),
        found => found,
    };
    let (machine, part) = found?;
    refuse_deleting(&machine)?;
    let (version, alias) = match &part {
        Part::Whole => (None, None),
        Part::Map(_) => return Err(machines::labelled()),
        Part::Version(version) => (Some(version), None),
        Part::Alias(alias) => {
            let (draw, _) = uuid::Uuid::new_v4().as_u64_pair();
            (machine.version(alias.pick(draw)), Some(alias))
        }
    };
    let revision = version.map_or_else(|| machine.current(), |version| version.revision.clone());
    let name = match arguments.text("name") {
        None | Some("") => uuid::Uuid::new_v4().to_string(),
        Some(name) => {
            check_name(name)?;
            name.to_owned()
        }
    };
    let text = arguments.text("input").unwrap_or("{}");
    let input = parse_input(text)?;
    let shortest = input.to_string();
    let provenance = Provenance {
        version: version.map(|version| machine.qualified(version.number)),
        alias: alias.map(|alias| machine.qualified(&alias.name)),
        trace: arguments.text("traceHeader").map(str::to_owned),
        input: (shortest != text).then(|| text.to_owned()),
        revision: Some(revision),
        express: machine.kind == "EXPRESS",
    };
    Ok(Beginning {
        machine,
        name,
        input,
        provenance,
        nested_in: arguments.origin().cloned(),
    })
}

impl Beginning {
    /// The row of an execution that starts now.
    pub fn row(self, engine: &Engine, arn: &str) -> ExecutionRow {
        let runner = engine.runner();
        let machine = self.machine;
        let revision = self.provenance.revision.as_ref();
        ExecutionRow {
            identity: Identity {
                id: arn.to_owned(),
                name: self.name,
                role: revision.map_or(machine.role, |revision| revision.role.clone()),
                machine_id: machine.arn,
                machine_name: machine.name,
                started: runner.now(),
                nonce: uuid::Uuid::new_v4().to_string(),
            },
            revision: revision.map_or(machine.revision, |revision| revision.id.clone()),
            sequence: runner.sequence(),
            input: Arc::new(self.input),
            status: ExecutionStatus::Running,
            stopped: None,
            output: None,
            error: None,
            cause: None,
            redriven: None,
            redrive_tokens: Vec::new(),
            nested_in: self.nested_in,
            provenance: self.provenance,
            execution: Execution::default(),
        }
    }
}

pub async fn start(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let beginning = beginning(engine, arguments)?;
    if beginning.provenance.express {
        return super::express::start(engine, beginning).await;
    }
    let machine = &beginning.machine;
    let arn = format!(
        "arn:aws:states:{REGION}:{ACCOUNT}:execution:{}:{}",
        machine.name, beginning.name
    );
    let runner = engine.runner();
    let only = runner.exclusive(&arn).await;
    let now = runner.now();
    let before = runner.store().execution(&arn)?;
    if let Some(row) = &before {
        let is_running = row.status == ExecutionStatus::Running;
        // A Task that asks again after a restart has started it before, whatever became of it.
        let is_asked_again =
            row.nested_in.is_some() && row.nested_in.as_ref() == arguments.origin();
        if is_asked_again || is_running && *row.input == beginning.input {
            return Ok(json!({"executionArn": arn, "startDate": seconds(row.identity.started)}));
        }
        let is_free = row.stopped.is_some_and(|at| now - at > NAME_LIFE_MS);
        if is_running || !is_free {
            return Err(ApiError::new(
                "ExecutionAlreadyExists",
                format!("Execution Already Exists: '{arn}'"),
            ));
        }
    }
    refuse_too_many(engine)?;
    if let Some(before) = before {
        runner.forget(&before).await?;
    }
    let row = beginning.row(engine, &arn);
    let started = row.identity.started;
    runner.start(row, only).await?;
    Ok(json!({"executionArn": arn, "startDate": seconds(started)}))
}

/// Refuses a start or a redrive where as many executions are open as an account may have.
pub fn refuse_too_many(engine: &Engine) -> Result<(), ApiError> {
    match engine.runner().is_full() {
        true => Err(ApiError::new(
            "ExecutionLimitExceeded",
            "The maximum number of running executions has been reached. Running executions must end or be stopped before a new execution can be started.",
        )),
        false => Ok(()),
    }
}

fn labelled() -> ApiError {
    ApiError {
        reason: Some("API_DOES_NOT_SUPPORT_LABELED_ARNS"),
        ..invalid("Labeled Execution ARNs are not supported for this API")
    }
}

pub fn parse_input(text: &str) -> Result<Value, ApiError> {
    let refuse = |text: String| {
        ApiError::new(
            "InvalidExecutionInput",
            format!("Invalid State Machine Execution Input: '{text}'"),
        )
    };
    if text.is_empty() {
        return Err(refuse("Invalid execution input.".to_owned()));
    }
    let input = serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
    if exceeds_depth(&input) {
        return Err(refuse("the input is nested too deeply".to_owned()));
    }
    Ok(input)
}

pub async fn stop(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    arguments.arn("executionArn", &["execution"])?;
    let arn = arguments.required("executionArn")?;
    let text = |name| arguments.text(name).map(str::to_owned);
    let (error, cause) = (text("error"), text("cause"));
    let runner = engine.runner();
    let stopped = match locate(engine, arguments).await? {
        Located::Execution(_) => {
            runner.stop_execution(arn, error, cause).await;
            runner.store().execution(arn)?.and_then(|row| row.stopped)
        }
        Located::Child { handle, child, .. } => {
            let (done, answer) = oneshot::channel();
            if handle
                .tell(Message::StopChild {
                    child,
                    error,
                    cause,
                    done,
                })
                .await
            {
                // A run that closes meanwhile has ended the child.
                let _ = answer.await;
            }
            let row = handle.table().row(child).copied();
            row.filter(|row| row.stopped > 0).map(|row| row.stopped)
        }
    };
    Ok(json!({"stopDate": seconds(stopped.unwrap_or_else(|| runner.now()))}))
}

/// AWS's reason why this execution cannot be redriven now (API reference, DescribeExecution,
/// "redriveStatusReason").
fn not_redrivable(
    engine: &Engine,
    row: &ExecutionRow,
    now: i64,
) -> Result<Option<&'static str>, ApiError> {
    let reason = match row.status {
        ExecutionStatus::Running => Some("Execution is RUNNING and cannot be redriven"),
        ExecutionStatus::Succeeded => Some("Execution is SUCCEEDED and cannot be redriven"),
        _ if row.identity.started < REDRIVE_LAUNCH_MS => {
            Some("Execution was started before the launch of RedriveExecution")
        }
        _ if row.execution.is_history_full() => Some("Execution history event limit exceeded"),
        _ if now - row.identity.started > MAX_LIFE_MS => {
            Some("Execution has exceeded the max execution time")
        }
        _ if row.stopped.is_some_and(|at| now - at > REDRIVE_PERIOD_MS) => {
            Some("Execution redrivable period exceeded")
        }
        _ if engine
            .runner()
            .store()
            .machine(&row.identity.machine_id)?
            .is_none_or(|machine| machine.deleting) =>
        {
            Some("State machine is in DELETING status")
        }
        _ => None,
    };
    Ok(reason)
}

pub async fn redrive(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let (kind, rest) = arguments.arn("executionArn", &["execution", "express"])?;
    if rest
        .split(':')
        .next()
        .is_some_and(|machine| machine.contains('/'))
    {
        return Err(labelled());
    }
    if kind == "express" {
        return Err(not_express());
    }
    let arn = arguments.required("executionArn")?;
    let token = arguments.text("clientToken");
    let runner = engine.runner();
    let only = runner.exclusive(arn).await;
    let mut row = runner.store().execution(arn)?.ok_or_else(|| unknown(arn))?;
    let now = runner.now();
    let known = row
        .redrive_tokens
        .iter()
        .find(|(known, at)| Some(known.as_str()) == token && now - at < REDRIVE_TOKEN_MS);
    if let Some((_, at)) = known {
        return Ok(json!({"redriveDate": seconds(*at)}));
    }
    if let Some(reason) = not_redrivable(engine, &row, now)? {
        let text = format!("Execution {arn} invalid for redrive as: {reason}");
        return Err(ApiError::new("ExecutionNotRedrivable", text));
    }
    refuse_too_many(engine)?;
    row.redrive_tokens
        .extend(token.map(|token| (token.to_owned(), now)));
    let surplus = row.redrive_tokens.len().saturating_sub(REDRIVE_TOKENS);
    row.redrive_tokens.drain(..surplus);
    let redriven = runner.redrive(row, now, only).await?;
    Ok(json!({"redriveDate": seconds(redriven)}))
}
