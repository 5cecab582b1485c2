//! Redrive an execution in place, with the truth told first.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::model::{
    ExecutionArn, Limits, MapRun, Prices, REDRIVE_PERIOD, RedriveStatus, RunState, Status,
    Timestamp,
};
use crate::operations::ledger::{self, Ledger};
use crate::operations::runs::{self, Run};
use crate::operations::{Check, Error, refuse_bad, shell_word};

mod facts;
mod settle;
#[cfg(test)]
mod tests;

pub use facts::{Definition, Facts, Role};
pub use settle::limit;

/// Redrives of one Map Run that the service allows.
const MOST_REDRIVES: u32 = 1_000;
/// Events that a history holds.
const MOST_EVENTS: u64 = 24_999;

/// What a redrive would do. Counts are items, the service's, from `DescribeMapRun`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The map has ended and a later state failed: no item runs, only what comes after the map.
    #[serde(default)]
    pub after_the_map: bool,
    /// What is known beyond the counts.
    #[serde(default)]
    pub facts: Facts,
    /// Set on the Map Run once it runs again.
    #[serde(default)]
    pub limits: Limits,
    /// Why, for the records.
    #[serde(default)]
    pub note: Option<String>,
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
        let mut command = format!(
            "fanout redrive {} --machine {}",
            shell_word(self.execution.name()),
            shell_word(self.execution.state_machine_name())
        );
        if let Some(most) = self.limits.max_concurrency {
            command += &format!(" --concurrency {most}");
        }
        if let Some(share) = self.limits.tolerated_percentage {
            command += &format!(" --tolerate {share}%");
        }
        if let Some(note) = &self.note {
            command += &format!(" --note {}", shell_word(note));
        }
        command + " --yes"
    }

    /// What has changed since `planned` was made that whoever approved it should know.
    pub fn moved_since(&self, planned: &Self) -> Vec<String> {
        let mut moved = Vec::new();
        if let (Err(reason), Ok(())) = (&self.allowed, &planned.allowed) {
            moved.push(reason.clone());
        }
        if self.redrives_so_far != planned.redrives_so_far {
            moved.push(format!(
                "it has been redriven {} times, not {} as when this was planned",
                self.redrives_so_far, planned.redrives_so_far
            ));
        }
        if self.state != planned.state {
            let (now, then) = (self.state.word(), planned.state.word());
            moved.push(format!("it is {now}, and was {then}"));
        }
        if self.will_run() != planned.will_run() {
            let (now, then) = (self.will_run(), planned.will_run());
            moved.push(format!("{now} items would run, and {then} were planned"));
        }
        moved
    }
}

/// Reads what a redrive of this execution would do; changes nothing.
pub async fn plan(
    client: &Client,
    execution: &ExecutionArn,
    now: Timestamp,
    prices: &Prices,
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
        facts::gather(client, &run, &mut plan, prices, now).await?;
    }
    Ok(plan)
}

impl Plan {
    /// Adds what the ledger in this folder knows of earlier attempts; one that cannot be read knows
    /// nothing.
    pub fn recall(&mut self, client: &Client, state: &Path) {
        let ledger = Ledger::in_folder(state);
        let known = ledger.attempts_of(&ledger::target(client), &self.execution);
        self.facts.attempts = known.unwrap_or_default();
    }
}

/// Redrives; returns when.
///
/// `token` is the deed's own: the service takes a second redrive with the same token for the first
/// one, even after that has ended, so every press gets its own, and only network retries and a
/// resumed deed share it.
///
/// # Errors
/// `Refused` when the plan is not allowed.
pub async fn run(client: &Client, plan: &Plan, token: &str) -> Result<Timestamp, Error> {
    if let Err(reason) = &plan.allowed {
        return Err(Error::Refused(reason.clone()));
    }
    refuse_bad(&plan.checks)?;
    let at = client.redrive_execution(&plan.execution, token).await?;
    limit(client, &plan.execution, plan.limits).await?;
    Ok(at)
}

/// A token for one press of a key.
pub fn token() -> String {
    uuid::Uuid::new_v4().to_string()
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
        after_the_map: false,
        facts: Facts::default(),
        limits: Limits::default(),
        note: None,
        checks: Vec::new(),
    };
    for map_run in newest_of_each_label(run) {
        add(&mut plan, map_run);
    }
    let maps = newest_of_each_label(run);
    let ended = |map_run: &&MapRun| map_run.status == Status::Succeeded;
    plan.after_the_map = !maps.is_empty() && maps.iter().all(ended);
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
             execution that succeeded: run those lines again in a new execution (`fanout rerun {name}`)"
        )),
        RunState::Succeeded => Err(format!("{name} has succeeded: nothing is left to redrive")),
        RunState::Expired => Err(format!(
            "{name} ended more than 14 days ago, which is as long as AWS redrives: run what is left in a new execution \
             (`fanout rerun {name}`)"
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
        _ if plan.after_the_map => checks.push(Check::notice(
            "the map has succeeded: no item runs again, only the states after it",
        )),
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
