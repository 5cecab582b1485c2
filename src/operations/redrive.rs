//! Redrive an execution in place, with the truth told first.

use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::model::{
    ExecutionArn, MapRun, REDRIVE_PERIOD, RedriveStatus, RunState, Status, Timestamp,
};
use crate::operations::runs::{self, Run};
use crate::operations::{Check, Error, failures, refuse_bad, results, shell_word};

/// Redrives of one Map Run that the service allows.
const MOST_REDRIVES: u32 = 1_000;
/// Failures looked at to tell whether they have one cause.
const SAMPLE: usize = 200;

/// What a redrive would do. Counts are items, the service's, from `DescribeMapRun`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    pub execution: ExecutionArn,
    pub state: RunState,
    /// `Err` is the reason why not, with what to do instead.
    pub allowed: Result<(), String>,
    pub failed: u64,
    pub timed_out: u64,
    pub aborted: u64,
    pub never_started: u64,
    /// Kept as they are.
    pub succeeded: u64,
    /// Unsuccessful, and a redrive will not touch them: children past their own limits, or every
    /// unsuccessful one when the map itself has succeeded.
    pub not_redrivable: u64,
    pub redrives_so_far: u32,
    /// Until AWS no longer redrives this execution.
    pub seconds_left: Option<i64>,
    pub checks: Vec<Check>,
}

impl Plan {
    /// Items that will run again or for the first time.
    pub fn will_run(&self) -> u64 {
        (self.failed + self.timed_out + self.aborted + self.never_started)
            .saturating_sub(self.not_redrivable)
    }

    /// The same as a command.
    pub fn command(&self) -> String {
        format!(
            "fanout redrive {} --machine {} --yes",
            shell_word(self.execution.name()),
            shell_word(self.execution.state_machine_name())
        )
    }
}

/// Reads what a redrive of this execution would do; changes nothing.
pub async fn plan(
    client: &Client,
    execution: &ExecutionArn,
    now: Timestamp,
) -> Result<Plan, Error> {
    let run = runs::describe(client, execution).await?;
    let mut plan = judge(&run, now);
    if let Some(map_run) = &run.execution().map_run {
        let parent = client.map_run(map_run).await?.execution;
        plan.allowed = Err(format!(
            "a child execution is redriven with its Map Run only: redrive {}",
            parent.name()
        ));
    }
    if plan.allowed.is_ok() {
        plan.checks.extend(definition_checks(client, &run).await?);
        plan.checks.extend(cause_check(client, &run).await);
    }
    Ok(plan)
}

/// Redrives; returns when.
///
/// # Errors
/// `Refused` when the plan is not allowed.
pub async fn run(client: &Client, plan: &Plan) -> Result<Timestamp, Error> {
    if let Err(reason) = &plan.allowed {
        return Err(Error::Refused(reason.clone()));
    }
    refuse_bad(&plan.checks)?;
    // The service takes a second redrive with the same token for the first one, even after that
    // has ended: every press gets its own, and only the SDK's network retries share it.
    let token = uuid::Uuid::new_v4().to_string();
    Ok(client.redrive_execution(&plan.execution, &token).await?)
}

/// Everything that the descriptions alone can tell.
fn judge(run: &Run, now: Timestamp) -> Plan {
    let execution = run.execution();
    let state = run.state(now);
    let seconds_left = execution
        .stopped
        .filter(|_| runs::ended_badly(execution.status))
        .map(|stopped| {
            (REDRIVE_PERIOD - now.duration_since(stopped))
                .as_secs()
                .max(0)
        });
    let mut plan = Plan {
        execution: execution.arn.clone(),
        state,
        allowed: allowed(run, state),
        failed: 0,
        timed_out: 0,
        aborted: 0,
        never_started: 0,
        succeeded: 0,
        not_redrivable: 0,
        redrives_so_far: execution.redrive_count,
        seconds_left,
        checks: Vec::new(),
    };
    for map_run in newest_of_each_label(run) {
        add(&mut plan, map_run);
    }
    if plan.allowed.is_ok() {
        plan.checks = described_checks(run, &plan);
    }
    plan
}

/// A `Retry` on a Map state leaves earlier Map Runs behind that nothing will touch again.
fn newest_of_each_label(run: &Run) -> Vec<&MapRun> {
    let mut newest: Vec<&MapRun> = Vec::new();
    for map_run in &run.map_runs {
        if newest
            .iter()
            .all(|seen| seen.arn.label() != map_run.arn.label())
        {
            newest.push(map_run);
        }
    }
    newest
}

fn add(plan: &mut Plan, map_run: &MapRun) {
    let items = map_run.items;
    plan.failed += items.failed;
    plan.timed_out += items.timed_out;
    plan.aborted += items.aborted;
    plan.never_started += items.pending + items.pending_redrive;
    plan.succeeded += items.succeeded;
    plan.not_redrivable += match map_run.status {
        Status::Succeeded => items.failures() + items.aborted + items.pending,
        _ => items.failures_not_redrivable,
    };
}

fn allowed(run: &Run, state: RunState) -> Result<(), String> {
    let name = run.execution().name.as_str();
    let lost = run.map_run().map_or(0, |map_run| map_run.items.failures());
    let reason = || {
        let reason = run.detail.redrive_status_reason.as_deref();
        reason.unwrap_or("AWS gives no reason")
    };
    match state {
        RunState::Running | RunState::Queued | RunState::Redrive => Err(format!(
            "{name} is still running: wait for its end (`fanout wait {name}`) or stop it first"
        )),
        RunState::Part => Err(format!(
            "{name} SUCCEEDED with {lost} failed items inside its tolerance, and AWS redrives no \
             execution that succeeded: take the lines of its .failed.jsonl (`fanout outputs get \
             {name}`) and start them as a new run"
        )),
        RunState::Succeeded => Err(format!("{name} has succeeded: nothing is left to redrive")),
        RunState::Expired => Err(format!(
            "{name} ended more than 14 days ago, which is as long as AWS redrives: start a new run"
        )),
        RunState::Failed | RunState::TimedOut | RunState::Stopped | RunState::Unknown => {
            match run.detail.redrive_status {
                RedriveStatus::NotRedrivable => {
                    Err(format!("{name} cannot be redriven: {}", reason()))
                }
                // Whether an unknown answer stands in the way is the service's to say.
                _ => Ok(()),
            }
        }
    }
}

fn described_checks(run: &Run, plan: &Plan) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(seconds) = plan.seconds_left {
        let left = format!("redrivable, {} of 14 d left", days_and_hours(seconds));
        checks.push(match seconds {
            ..86_400 => Check::notice(left),
            _ => Check::good(left),
        });
    }
    let most = run
        .map_runs
        .iter()
        .map(|map_run| map_run.redrive_count)
        .max()
        .unwrap_or(0);
    checks.push(match most {
        MOST_REDRIVES.. => Check::bad("the Map Run was redriven 1,000 times: AWS allows no more"),
        count => Check::good(format!("redrives {count} of 1,000")),
    });
    match newest_of_each_label(run).as_slice() {
        [] => checks.push(Check::notice(match &run.detail.error {
            Some(error) => format!(
                "no Map Run: the state that failed with {error} runs again with the same input; \
                 where the input is at fault, start a new run"
            ),
            None => {
                "no Map Run: the states that did not end run again with the same input".to_owned()
            }
        })),
        maps if maps
            .iter()
            .all(|map_run| map_run.status == Status::Succeeded) =>
        {
            checks.push(Check::notice(
                "the map has succeeded: no item runs again, only the states after it",
            ));
        }
        _ if plan.will_run() == 0 => checks.push(Check::notice(
            "no item is left to run: only the states that failed run again",
        )),
        _ => {}
    }
    if 0 < plan.not_redrivable && 0 < plan.will_run() {
        let text = format!(
            "{} items are past AWS's limits and stay failed",
            plan.not_redrivable
        );
        checks.push(Check::notice(text));
    }
    checks
}

fn days_and_hours(seconds: i64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A redrive stays on the definition that the execution was started with.
async fn definition_checks(client: &Client, run: &Run) -> Result<Vec<Check>, Error> {
    let execution = run.execution();
    let used = client.state_machine_for_execution(&execution.arn).await?;
    let used = parsed(&used.definition);
    let mut checks = Vec::new();
    match client.state_machine(&execution.arn.state_machine()).await {
        Ok(deployed) if parsed(&deployed.definition) == used => {
            checks.push(Check::good(
                "the definition has not changed since the start",
            ));
        }
        Ok(_) => checks.push(Check::notice(
            "another definition is deployed by now: a redrive stays on the old one",
        )),
        Err(error) => checks.push(Check::notice(format!("the deployed definition: {error}"))),
    }
    let caught = newest_of_each_label(run).into_iter().any(|map_run| {
        let state = used
            .as_ref()
            .and_then(|used| results::map_state(used, map_run.arn.label()));
        state.is_some_and(|(_, state)| state.get("Catch").is_some())
    });
    if caught {
        checks.push(Check::notice(
            "the Map state catches errors: what was caught there is not redriven",
        ));
    }
    Ok(checks)
}

fn parsed(definition: &str) -> Option<Value> {
    serde_json::from_str(definition).ok()
}

/// Says so when most failures have one cause, which then should be fixed first. Not knowing is
/// no reason against a redrive, so an error here is no check at all.
async fn cause_check(client: &Client, run: &Run) -> Option<Check> {
    let map_run = run
        .map_run()
        .filter(|map_run| 0 < map_run.items.failures())?;
    let failures = failures::of(client, map_run, SAMPLE).await.ok()?;
    common_cause(&failures.items, failures.exact)
}

fn common_cause(failures: &[crate::model::Failure], exact: bool) -> Option<Check> {
    let groups = failures::group(failures);
    let largest = groups.first()?;
    let share = largest.count * 100 / (failures.len() as u64).max(1);
    let of = match exact {
        true => "failures".to_owned(),
        false => format!("{} failures looked at", failures.len()),
    };
    (50 <= share && 1 < largest.count).then(|| {
        Check::notice(format!(
            "{share} % of {of} are one cause: {}: {}",
            largest.error, largest.message
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::runs::tests::{map_run, run};
    use super::*;

    fn hours(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3_600).expect("a small number")
    }

    #[test]
    fn a_failed_run_tells_what_will_run() {
        let mut map_run = map_run("a", Status::Failed, 7);
        map_run.items.pending = 20;
        map_run.items.aborted = 3;
        map_run.items.failures_not_redrivable = 2;
        let plan = judge(&run(Status::Failed, vec![map_run]), hours(2));
        assert_eq!(plan.allowed, Ok(()));
        assert_eq!(plan.will_run(), 28);
        assert_eq!(plan.succeeded, 10);
        assert_eq!(plan.seconds_left, Some((14 * 24 - 2) * 3_600));
        assert!(
            plan.checks
                .iter()
                .any(|check| check.text.contains("13 d 22 h"))
        );
    }

    #[test]
    fn why_not_says_what_to_do_instead() {
        let reason = |status, failed, now| {
            judge(&run(status, vec![map_run("a", status, failed)]), now)
                .allowed
                .expect_err("not redrivable")
        };
        assert!(reason(Status::Running, 0, hours(1)).contains("fanout wait run"));
        assert!(reason(Status::Succeeded, 5, hours(1)).contains(".failed.jsonl"));
        assert!(reason(Status::Succeeded, 0, hours(1)).contains("nothing is left"));
        assert!(reason(Status::Failed, 5, hours(15 * 24)).contains("14 days"));
        let mut refused = run(Status::Failed, vec![]);
        refused.detail.redrive_status = RedriveStatus::NotRedrivable;
        refused.detail.redrive_status_reason =
            Some("Execution history event limit exceeded".into());
        let text = judge(&refused, hours(1)).allowed.expect_err("AWS says no");
        assert!(text.contains("event limit"), "{text}");
    }

    #[test]
    fn a_map_that_has_succeeded_runs_no_item_again() {
        let failed_after = run(Status::Failed, vec![map_run("a", Status::Succeeded, 4)]);
        let plan = judge(&failed_after, hours(1));
        assert_eq!((plan.allowed.clone(), plan.will_run()), (Ok(()), 0));
        assert!(
            plan.checks
                .iter()
                .any(|check| check.text.contains("only the states after it"))
        );
    }

    #[test]
    fn a_retried_map_counts_once() {
        let maps = vec![
            map_run("b", Status::Failed, 1),
            map_run("a", Status::Failed, 9),
        ];
        assert_eq!(judge(&run(Status::Failed, maps), hours(1)).will_run(), 1);
    }
}
