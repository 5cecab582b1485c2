//! Executions and children of Map Runs: start, stop, describe, list, history, redrive.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::arguments::{Arguments, bad_arn, check_name, invalid};
use super::machines::{self, Part, refuse_deleting};
use super::{page, put, reading};
use crate::engine::api::ApiError;
use crate::engine::definition::ChildKind;
use crate::engine::machine::{
    Event, Execution, Identity, REDRIVE_PERIOD_MS, exceeds_depth, seconds,
};
use crate::engine::map_run::handle::{Handle, Message};
use crate::engine::map_run::log::{Record, decode};
use crate::engine::map_run::{ChildStatus, Names, Row};
use crate::engine::state_machines::MachineRow;
use crate::engine::store::{
    ExecutionFilter, ExecutionRow, ExecutionStatus, HistorySpan, Origin, Position, Provenance,
};
use crate::engine::{ACCOUNT, Engine, REGION};

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

pub async fn describe(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let included = arguments.text("includedData");
    let now = engine.runner().now();
    let mut described = match locate(engine, arguments).await? {
        Located::Execution(row) => {
            let arn = &row.identity.id;
            let row = engine.runner().store().delayed().execution(arn)?;
            let row = row.ok_or_else(|| unknown(arn))?;
            let reason = not_redrivable(engine, &row, now)?;
            describe_execution(&row, reason)
        }
        Located::Child { handle, child, .. } => {
            let at = engine.runner().shown_at();
            reading(move || describe_child(&handle, child, at, now)).await?
        }
    };
    if included == Some("METADATA_ONLY") {
        for member in [
            "input",
            "inputDetails",
            "output",
            "outputDetails",
            "error",
            "cause",
        ] {
            described.remove(member);
        }
    }
    Ok(Value::Object(described))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// What lists and descriptions share.
fn summary(row: &ExecutionRow) -> Map<String, Value> {
    let mut summary = object(json!({
        "executionArn": row.identity.id,
        "stateMachineArn": row.identity.machine_id,
        "name": row.identity.name,
        "status": row.status.as_str(),
        "startDate": seconds(row.identity.started),
        "redriveCount": row.execution.redrive_count,
    }));
    put(&mut summary, "stopDate", row.stopped.map(seconds));
    put(&mut summary, "redriveDate", row.redriven.map(seconds));
    let Provenance { version, alias, .. } = &row.provenance;
    put(&mut summary, "stateMachineVersionArn", version.clone());
    put(&mut summary, "stateMachineAliasArn", alias.clone());
    summary
}

fn describe_execution(row: &ExecutionRow, reason: Option<&'static str>) -> Map<String, Value> {
    let mut described = summary(row);
    put(&mut described, "input", Some(row.input_text()));
    put(
        &mut described,
        "inputDetails",
        Some(json!({"included": true})),
    );
    if let Some(output) = row.output() {
        put(&mut described, "output", Some(output.to_string()));
        put(
            &mut described,
            "outputDetails",
            Some(json!({"included": true})),
        );
    }
    put(&mut described, "error", row.error.clone());
    put(&mut described, "cause", row.cause.clone());
    put(&mut described, "traceHeader", row.provenance.trace.clone());
    let status = if reason.is_some() {
        "NOT_REDRIVABLE"
    } else {
        "REDRIVABLE"
    };
    put(&mut described, "redriveStatus", Some(status));
    put(&mut described, "redriveStatusReason", reason);
    described
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

/// `redriven`: when a Standard child was; Express ones have no such date.
fn child_summary(
    handle: &Handle,
    child: u32,
    row: &Row,
    redriven: Option<i64>,
) -> Map<String, Value> {
    let mut summary = object(json!({
        "executionArn": handle.names.arn(child),
        "stateMachineArn": handle.names.state_machine_arn(),
        "name": handle.names.name(child),
        "status": row.status.as_str(),
        "startDate": seconds(row.started),
        "mapRunArn": handle.row.plan.arn,
        "redriveCount": row.redrives,
    }));
    let has_stopped = row.stopped > 0 && row.status != ChildStatus::Running;
    put(
        &mut summary,
        "stopDate",
        has_stopped.then(|| seconds(row.stopped)),
    );
    put(&mut summary, "redriveDate", redriven.map(seconds));
    summary
}

/// `at`: the moment that is shown, where it is not the present one.
fn describe_child(
    handle: &Handle,
    child: u32,
    at: Option<i64>,
    now: i64,
) -> Result<Map<String, Value>, ApiError> {
    let (row, redriven, refusal) = {
        let table = handle.table();
        let row = table.row(child).copied();
        (row, table.redriven_at(child), table.refusal(child, now))
    };
    let row = row.map(|row| at.map_or(row, |at| row.at(at)));
    let row = row.filter(|row| row.status != ChildStatus::Pending);
    let row = row.ok_or_else(|| unknown(&handle.names.arn(child)))?;
    let mut reader = handle.reader();
    let mut described = child_summary(handle, child, &row, redriven);
    put(
        &mut described,
        "input",
        Some(handle.input(&mut reader, child)?),
    );
    put(
        &mut described,
        "inputDetails",
        Some(json!({"included": true})),
    );
    let ended = !matches!(
        row.status,
        ChildStatus::Running | ChildStatus::PendingRedrive
    );
    let payload = if ended && row.last > 0 {
        reader.read(row.last)?.map(<[u8]>::to_vec)
    } else {
        None
    };
    if let Some(Record::End(end)) = payload.as_deref().and_then(decode) {
        if let Some(output) = end.output {
            put(
                &mut described,
                "output",
                Some(String::from_utf8_lossy(output).into_owned()),
            );
            put(
                &mut described,
                "outputDetails",
                Some(json!({"included": true})),
            );
        }
        put(&mut described, "error", end.error);
        put(&mut described, "cause", end.cause);
    }
    let (status, reason) = match row.status {
        ChildStatus::Succeeded => (
            "NOT_REDRIVABLE",
            Some("Execution is SUCCEEDED and cannot be redriven"),
        ),
        ChildStatus::Running => (
            "NOT_REDRIVABLE",
            Some("Execution is RUNNING and cannot be redriven"),
        ),
        _ if refusal.is_some() => ("NOT_REDRIVABLE", refusal),
        _ => ("REDRIVABLE_BY_MAP_RUN", None),
    };
    put(&mut described, "redriveStatus", Some(status));
    put(&mut described, "redriveStatusReason", reason);
    Ok(described)
}

pub async fn list(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let status = arguments.text("statusFilter");
    let redriven = arguments
        .text("redriveFilter")
        .map(|filter| filter == "REDRIVEN");
    match (arguments.has("stateMachineArn"), arguments.has("mapRunArn")) {
        (true, false) => list_executions(engine, arguments, status, redriven.is_some()).await,
        (false, true) => list_children(engine, arguments, status, redriven).await,
        _ => Err(invalid(
            "Exactly one of stateMachineArn and mapRunArn must be specified",
        )),
    }
}

async fn list_executions(
    engine: &Engine,
    arguments: &Arguments,
    status: Option<&str>,
    by_redrive: bool,
) -> Result<Value, ApiError> {
    let store = engine.runner().store().delayed();
    let (machine, part) = machines::find(&store, arguments, "stateMachineArn")?;
    if by_redrive || status == Some("PENDING_REDRIVE") {
        return Err(invalid("This filter can only be used with mapRunArn"));
    }
    if machine.kind == "EXPRESS" {
        return Err(super::express::not_supported());
    }
    let qualified = match part {
        Part::Whole => None,
        Part::Map(_) => return Err(machines::labelled()),
        Part::Version(_) | Part::Alias(_) => Some(arguments.required("stateMachineArn")?),
    };
    let now = engine.runner().now();
    let before: Option<Position> = arguments.position(now)?;
    let limit = arguments.limit();
    let filter = ExecutionFilter {
        status: status.map(str::to_owned),
        qualified: qualified.map(str::to_owned),
        since: machine.created,
    };
    let (rows, next) =
        reading(move || Ok(store.executions_of(&machine.arn, before, limit, &filter)?)).await?;
    let items = rows.iter().map(|row| Value::Object(summary(row))).collect();
    Ok(page(
        "executions",
        items,
        next.map(|next| arguments.token(next, now)),
    ))
}

async fn list_children(
    engine: &Engine,
    arguments: &Arguments,
    status: Option<&str>,
    redriven: Option<bool>,
) -> Result<Value, ApiError> {
    arguments.arn("mapRunArn", &["mapRun"])?;
    let arn = arguments.required("mapRunArn")?;
    let runner = engine.runner();
    let now = runner.now();
    let (before, limit) = (arguments.position(now)?, arguments.limit());
    let handle = runner
        .map_run(arn)
        .await?
        .ok_or_else(|| super::missing(arn))?;
    let at = runner.shown_at();
    let shown = |row: &Row| at.map_or(*row, |at| row.at(at));
    let table = handle.table();
    let status = status.and_then(ChildStatus::parse);
    let wanted = |row: &Row| {
        let row = shown(row);
        row.status != ChildStatus::Pending
            && status.is_none_or(|status| row.status == status)
            && redriven.is_none_or(|redriven| (row.redrives > 0) == redriven)
    };
    // What was in a status before may be in another one now.
    let among = status.filter(|_| at.is_none());
    let (children, next) = table.page(among, before, limit, wanted);
    let rows: Vec<(u32, Row, Option<i64>)> = children
        .into_iter()
        .filter_map(|child| Some((child, shown(table.row(child)?), table.redriven_at(child))))
        .collect();
    drop(table);
    let items = rows.iter().map(|(child, row, redriven)| {
        let mut item = child_summary(&handle, *child, row, *redriven);
        put(&mut item, "itemCount", Some(row.items));
        Value::Object(item)
    });
    Ok(page(
        "executions",
        items.collect(),
        next.map(|next| arguments.token(next, now)),
    ))
}

pub async fn history(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    arguments.arn("executionArn", &["execution"])?;
    let newest_first = arguments.flag("reverseOrder");
    let with_data =
        !arguments.has("includeExecutionData") || arguments.flag("includeExecutionData");
    let limit = arguments.limit();
    let runner = engine.runner();
    let now = runner.now();
    let first = if newest_first { u64::MAX } else { 1 };
    let from: u64 = arguments.position(now)?.unwrap_or(first);
    let located = locate(engine, arguments).await?;
    let store = runner.store().clone();
    let span = HistorySpan {
        from,
        newest_first,
        limit,
    };
    let (mut events, more) = reading(move || match located {
        Located::Execution(row) => Ok(store.history(&row.identity.id, span)?),
        Located::Child { handle, child, .. } => {
            let (events, more) = handle.history(child, span)?;
            Ok((events.iter().map(Event::to_json).collect(), more))
        }
    })
    .await?;
    let last = events.last().and_then(|event| event.get("id")?.as_u64());
    if !with_data {
        events.iter_mut().for_each(strip_data);
    }
    let next = last.filter(|_| more);
    let next =
        next.map(|last| arguments.token(if newest_first { last - 1 } else { last + 1 }, now));
    Ok(page("events", events, next))
}

/// `includeExecutionData: false` keeps error and cause.
fn strip_data(event: &mut Value) {
    for details in event
        .as_object_mut()
        .into_iter()
        .flat_map(|event| event.values_mut())
    {
        if let Value::Object(details) = details {
            for member in [
                "input",
                "inputDetails",
                "output",
                "outputDetails",
                "parameters",
            ] {
                details.remove(member);
            }
        }
    }
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
