//! Which execution the user means, and its state in one value.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use crate::client::{Client, ErrorKind};
use crate::model::{
    Execution, ExecutionArn, ExecutionDetail, MapRun, MapRunArn, RunState, StateMachineArn, Status,
    Timestamp,
};
use crate::operations::Error;

/// Rows a page when a name is searched for.
const PAGE: u16 = 1_000;
/// Pages looked through for a part of a name. An exact name is found however old it is.
const PAGES: usize = 20;
/// Candidates that an error names.
const NAMED: usize = 5;
/// Map Runs described of one execution, newest first.
const MAP_RUNS: usize = 50;

/// An execution with its Map Runs: what lists and `runs --json` show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    pub detail: ExecutionDetail,
    /// Newest first, at most 50.
    pub map_runs: Vec<MapRun>,
}

impl Run {
    pub fn execution(&self) -> &Execution {
        &self.detail.execution
    }

    /// The Map Run that matters most: running, else with most failures, else the newest.
    pub fn map_run(&self) -> Option<&MapRun> {
        let running = || self.map_runs.iter().find(|run| !run.status.is_closed());
        // `max_by_key` takes the last of equals, and the newest comes first.
        let worst = || self.map_runs.iter().rev().max_by_key(|run| lost(run));
        running().or_else(worst)
    }

    pub fn state(&self, now: Timestamp) -> RunState {
        RunState::of(self.execution(), self.map_run(), now)
    }
}

fn lost(run: &MapRun) -> u64 {
    run.items.failures() + run.items.aborted
}

/// Finds the state machine named `name` (or with that ARN).
///
/// # Errors
/// `Refused` names the state machines there are when none has that name.
pub async fn machine(client: &Client, name: &str) -> Result<StateMachineArn, Error> {
    if name.starts_with("arn:") {
        return match name.contains(":stateMachine:") {
            true => Ok(StateMachineArn::new(name)),
            false => Err(Error::Refused(format!(
                "{name} is not the ARN of a state machine: it should hold `:stateMachine:`"
            ))),
        };
    }
    let machines = client.state_machines().await?;
    if let Some(found) = machines.iter().find(|machine| machine.name == name) {
        return Ok(found.arn.clone());
    }
    let names: Vec<&str> = machines
        .iter()
        .map(|machine| machine.name.as_str())
        .collect();
    let connection = client.connection();
    let here = match connection.local {
        true => "on this engine".to_owned(),
        false => format!("in {} of profile {}", connection.region, connection.label),
    };
    Err(Error::Refused(
        match (names.as_slice(), near(name, &names)) {
            ([], _) => format!("no state machine is named {name}: there is none at all {here}"),
            (_, Some(near)) => {
                format!("no state machine {here} is named {name}; did you mean {near}?")
            }
            (names, None) => format!(
                "no state machine {here} is named {name}; there are: {}",
                some(names)
            ),
        },
    ))
}

/// The name that may have been meant.
fn near<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let likeness =
        |it: &str| strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &it.to_lowercase());
    let known = names.iter().map(|it| (likeness(it), *it));
    let nearest = known.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (0.7 < nearest.0).then_some(nearest.1)
}

/// The ARN that an execution named `name` of `machine` has, whether or not it exists.
pub(super) fn named(machine: &StateMachineArn, name: &str) -> ExecutionArn {
    let parts: Vec<&str> = machine.as_str().splitn(7, ':').take(5).collect();
    ExecutionArn::new(format!(
        "{}:execution:{}:{name}",
        parts.join(":"),
        machine.name()
    ))
}

/// Finds the execution: an ARN, a name, an unambiguous part of a name, or `last` (newest started).
/// A Map Run's ARN stands for the execution that it belongs to.
///
/// # Errors
/// `Refused` names the candidates when more than one fits, or says that none does.
pub async fn find(
    client: &Client,
    machine: &StateMachineArn,
    run: &str,
) -> Result<ExecutionArn, Error> {
    if run.starts_with("arn:") {
        return by_arn(client, run).await;
    }
    if run == "last" {
        let page = client.executions(machine, None, 1, None).await?;
        return page
            .items
            .into_iter()
            .next()
            .map(|newest| newest.arn)
            .ok_or_else(|| Error::Refused(format!("{} has no executions yet", machine.name())));
    }
    if is_name(run) {
        let exact = named(machine, run);
        match client.execution(&exact).await {
            Ok(_) => return Ok(exact),
            Err(error) if is_absent(&error.kind) => {}
            Err(error) => return Err(error.into()),
        }
    }
    by_part(client, machine, run).await
}

/// Whether the service would accept `name` for an execution: 1 to 80 of A-Z a-z 0-9 - _ .
pub(super) fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=80).contains(&name.len()) && name.chars().all(legal)
}

pub(super) fn is_absent(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound(_))
}

async fn by_arn(client: &Client, arn: &str) -> Result<ExecutionArn, Error> {
    match arn.split(':').nth(5) {
        Some("execution" | "express") => Ok(ExecutionArn::new(arn)),
        Some("mapRun") => Ok(client.map_run(&MapRunArn::new(arn)).await?.execution),
        _ => Err(Error::Refused(format!(
            "{arn} is not the ARN of an execution: it should hold `:execution:`"
        ))),
    }
}

async fn by_part(
    client: &Client,
    machine: &StateMachineArn,
    part: &str,
) -> Result<ExecutionArn, Error> {
    let mut fitting: Vec<Execution> = Vec::new();
    let mut token = None;
    for _ in 0..PAGES {
        let page = client.executions(machine, None, PAGE, token).await?;
        fitting.extend(page.items.into_iter().filter(|row| row.name.contains(part)));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    choose(part, machine.name(), &fitting)
}

fn choose(part: &str, machine: &str, fitting: &[Execution]) -> Result<ExecutionArn, Error> {
    match fitting {
        _ if part.is_empty() => Err(Error::Refused(
            "no run given: give its name, a part of it, its ARN, or `last`".to_owned(),
        )),
        [] => Err(Error::Refused(format!(
            "no execution of {machine} has {part} in its name: see `fanout runs`"
        ))),
        [only] => Ok(only.arn.clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|row| row.name.as_str()).collect();
            Err(Error::Refused(format!(
                "{} executions of {machine} have {part} in their names: {}; give more of the name",
                several.len(),
                some(&names)
            )))
        }
    }
}

/// The first few names, and how many more there are.
fn some(names: &[&str]) -> String {
    let shown = names
        .iter()
        .take(NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Describes an execution and its Map Runs.
pub async fn describe(client: &Client, execution: &ExecutionArn) -> Result<Run, Error> {
    let detail = client.execution(execution).await?;
    // A child has no Map Runs of its own to list unless maps are nested, which we do not follow.
    let arns = match detail.execution.map_run {
        Some(_) => Vec::new(),
        None => client.map_runs(execution).await?,
    };
    let map_runs = stream::iter(arns.into_iter().take(MAP_RUNS))
        .map(|arn| async move { client.map_run(&arn).await })
        .buffered(4)
        .try_collect()
        .await?;
    Ok(Run { detail, map_runs })
}

/// An execution once it has ended.
///
/// # Errors
/// What describing it answers; a poll that fails is tried again.
pub async fn ended(client: &Client, execution: &ExecutionArn) -> Result<Run, Error> {
    let mut watched = std::pin::pin!(client.watch_execution(execution.clone()));
    while let Some(detail) = watched.next().await {
        if detail.is_ok_and(|detail| detail.execution.status.is_closed()) {
            break;
        }
    }
    describe(client, execution).await
}

/// Whether an execution ended otherwise than well.
pub(super) fn ended_badly(status: Status) -> bool {
    status.is_closed() && status != Status::Succeeded
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{Counts, RedriveStatus};

    const MACHINE: &str = "arn:aws:states:us-east-1:000000000000:stateMachine:fanout";

    pub fn execution(name: &str, status: Status) -> Execution {
        let machine = StateMachineArn::new(MACHINE);
        Execution {
            arn: named(&machine, name),
            state_machine: machine,
            name: name.to_owned(),
            status,
            started: Timestamp::UNIX_EPOCH,
            stopped: status.is_closed().then_some(Timestamp::UNIX_EPOCH),
            map_run: None,
            item_count: None,
            redrive_count: 0,
            redriven: None,
        }
    }

    pub fn map_run(id: &str, status: Status, failed: u64) -> MapRun {
        let items = Counts {
            failed,
            succeeded: 10,
            total: 10 + failed,
            ..Counts::default()
        };
        MapRun {
            arn: MapRunArn::new(format!(
                "arn:aws:states:us-east-1:000000000000:mapRun:fanout/Lines:{id}"
            )),
            execution: execution("run", status).arn,
            status,
            started: Timestamp::UNIX_EPOCH,
            stopped: None,
            max_concurrency: 10,
            tolerated_percentage: 5.0,
            tolerated_count: 0,
            items,
            executions: items,
            redrive_count: 0,
            redriven: None,
        }
    }

    pub fn run(status: Status, map_runs: Vec<MapRun>) -> Run {
        Run {
            detail: ExecutionDetail {
                execution: execution("run", status),
                input: None,
                output: None,
                error: None,
                cause: None,
                redrive_status: RedriveStatus::Redrivable,
                redrive_status_reason: None,
                trace_header: None,
            },
            map_runs,
        }
    }

    #[test]
    fn a_running_map_run_matters_more_than_failures_and_those_more_than_age() {
        let newest = map_run("c", Status::Succeeded, 0);
        let worst = map_run("b", Status::Failed, 9);
        let running = map_run("a", Status::Running, 1);
        let all = run(
            Status::Running,
            vec![newest.clone(), worst.clone(), running.clone()],
        );
        assert_eq!(all.map_run(), Some(&running));
        let closed = run(Status::Failed, vec![newest.clone(), worst.clone()]);
        assert_eq!(closed.map_run(), Some(&worst));
        let clean = run(
            Status::Succeeded,
            vec![newest.clone(), map_run("a", Status::Succeeded, 0)],
        );
        assert_eq!(clean.map_run(), Some(&newest));
        assert_eq!(run(Status::Running, vec![]).map_run(), None);
    }

    #[test]
    fn a_part_must_fit_one_name_only() {
        let rows = ["invoices-77de", "invoices-a91c"].map(|name| execution(name, Status::Running));
        let refused = |part: &str, rows: &[Execution]| {
            choose(part, "fanout", rows)
                .expect_err("not one")
                .to_string()
        };
        assert!(refused("inv", &rows).contains("invoices-77de, invoices-a91c"));
        assert!(refused("zz", &[]).contains("fanout runs"));
        assert!(refused("", &rows).contains("no run given"));
        assert_eq!(
            choose("77", "fanout", &rows[..1]).expect("one fits").name(),
            "invoices-77de"
        );
    }

    #[test]
    fn the_arn_of_a_name_forgets_version_and_label() {
        let machine = StateMachineArn::new(format!("{MACHINE}:PROD"));
        assert_eq!(
            named(&machine, "a").as_str(),
            "arn:aws:states:us-east-1:000000000000:execution:fanout:a"
        );
    }

    #[test]
    fn names_are_what_the_service_accepts() {
        assert!(is_name("places.txt-1_a"));
        for bad in ["", "a b", "a/b", "é", &"x".repeat(81)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
