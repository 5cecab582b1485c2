//! What a plan says beyond the counts: definition, role, history, cost and time. Not knowing one of
//! them is no reason against a redrive, so what cannot be read is left out or said to be unknown.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{MOST_EVENTS, Plan, newest_of_each_label};
use crate::client::Client;
use crate::model::{MapRun, Prices, REDRIVE_PERIOD, StateMachineArn, Status, Timestamp, figures};
use crate::operations::cost::{self, Cost, Time};
use crate::operations::ledger::Attempt;
use crate::operations::runs::Run;
use crate::operations::{Check, Error, failures, results};

/// Failures looked at to tell whether they have one cause.
const SAMPLE: usize = 200;
/// Rows and pages of failed children looked at to tell why they cannot be redriven.
const PAGE: u16 = 1_000;
const PAGES: usize = 5;
/// Below this many events a history is said to be nearly full.
const FEW_EVENTS: u64 = 2_000;

/// What is known of a redrive beyond its counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Why children that cannot be redriven cannot, with how many where that is known.
    pub stays: Vec<String>,
    pub definition: Option<Definition>,
    /// Events of the execution's history, of 24,999.
    pub history_events: Option<u64>,
    /// Redrives of the Map Run, of 1,000.
    pub map_run_redrives: u32,
    /// Executions of the state machine that run now: each may hold Map Runs open, of which an
    /// account has 1,000 at once.
    pub running: Option<u64>,
    pub role: Option<Role>,
    pub cost: Option<Cost>,
    pub time: Option<Time>,
    /// What earlier attempts left, as this machine's ledger has it.
    pub attempts: Vec<Attempt>,
}

/// The definition in use and the one deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// `None` is the first revision.
    pub used: Option<String>,
    pub deployed: Option<String>,
    pub changed: bool,
}

/// What the state machine's role must be allowed. Nobody is asked whether it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub arn: String,
    pub action: String,
    pub resource: String,
    /// Whether the role has done it in this run.
    pub seen: bool,
    /// Another execution of the state machine that was redriven and then succeeded.
    #[serde(default)]
    pub seen_in: Option<String>,
}

/// Fills in `plan.facts`, and what of it is worth a check.
pub(super) async fn gather(
    client: &Client,
    run: &Run,
    plan: &mut Plan,
    prices: &Prices,
    now: Timestamp,
) -> Result<(), Error> {
    let execution = run.execution();
    let used = client.state_machine_for_execution(&execution.arn).await?;
    let definition = parsed(&used.definition).unwrap_or(Value::Null);
    plan.facts.map_run_redrives = redrives(run);
    let history = history_check(client, plan).await;
    plan.checks.extend(history);
    definition_check(client, plan, used.revision.as_deref(), &definition).await;
    let maps = newest_of_each_label(run);
    let caught = maps.iter().any(|map_run| {
        let state = results::map_state(&definition, map_run.arn.label());
        state.is_some_and(|(_, state)| state.get("Catch").is_some())
    });
    if caught {
        plan.checks.push(Check::notice(
            "the Map state catches errors: what was caught there is not redriven",
        ));
    }
    let running = client
        .executions(
            &execution.arn.state_machine(),
            Some(Status::Running),
            PAGE,
            None,
        )
        .await;
    plan.facts.running = running.ok().map(|page| page.items.len() as u64);
    if let Some(map_run) = run.map_run() {
        let processor = processor(&definition, map_run);
        role_check(client, plan, run, map_run, &used.role, &processor).await;
        if 0 < plan.will_run() {
            estimate(client, plan, map_run, &processor, prices).await;
        }
        if 0 < map_run.items.failures_not_redrivable {
            plan.facts.stays = stays(client, map_run, &processor, now).await;
        }
    }
    if plan.after_the_map && 0 < plan.not_redrivable {
        let text = "the map has succeeded within its tolerance: AWS runs none of its items again";
        plan.facts.stays.push(text.to_owned());
    }
    plan.checks.extend(cause_check(client, run).await);
    Ok(())
}

fn redrives(run: &Run) -> u32 {
    let counts = run.map_runs.iter().map(|map_run| map_run.redrive_count);
    counts.max().unwrap_or(0)
}

fn parsed(definition: &str) -> Option<Value> {
    serde_json::from_str(definition).ok()
}

/// The ItemProcessor of the state that this Map Run is of.
fn processor(definition: &Value, map_run: &MapRun) -> Value {
    let Some((_, state)) = results::map_state(definition, map_run.arn.label()) else {
        return Value::Null;
    };
    let processor = state.get("ItemProcessor").or_else(|| state.get("Iterator"));
    processor.cloned().unwrap_or(Value::Null)
}

/// The newest event's number is how many there are.
async fn history_check(client: &Client, plan: &mut Plan) -> Option<Check> {
    let newest = client.newest_events(&plan.execution, 1).await.ok()?;
    let events = newest.items.first()?.id;
    plan.facts.history_events = Some(events);
    let left = MOST_EVENTS.saturating_sub(events);
    let [so_far, most] = [events, MOST_EVENTS].map(figures::count);
    let text = format!("event history {so_far} of {most}");
    Some(match left {
        ..FEW_EVENTS => Check::notice(format!("{text}: a redrive adds to it")),
        _ => Check::good(text),
    })
}

/// A redrive stays on the definition that the execution was started with.
async fn definition_check(
    client: &Client,
    plan: &mut Plan,
    used_revision: Option<&str>,
    used: &Value,
) {
    let check = match client.state_machine(&plan.execution.state_machine()).await {
        Ok(deployed) => {
            let changed = parsed(&deployed.definition).as_ref() != Some(used);
            let definition = Definition {
                used: used_revision.map(str::to_owned),
                deployed: deployed.revision,
                changed,
            };
            let check = definition.check();
            plan.facts.definition = Some(definition);
            check
        }
        Err(error) => Check::notice(format!("the deployed definition: {error}")),
    };
    plan.checks.push(check);
}

impl Definition {
    fn check(&self) -> Check {
        if !self.changed {
            return Check::good("the definition has not changed since the start");
        }
        let named = |revision: &Option<String>| match revision {
            Some(revision) => format!(
                "revision {}",
                revision.split('-').next().unwrap_or_default()
            ),
            None => "the first revision".to_owned(),
        };
        Check::notice(format!(
            "another definition is deployed by now ({}): a redrive stays on the old one ({})",
            named(&self.deployed),
            named(&self.used)
        ))
    }
}

/// Redriving Standard children takes a permission that starting them did not, and that roles made
/// by tools often lack; the service accepts the redrive all the same, and then fails it.
async fn role_check(
    client: &Client,
    plan: &mut Plan,
    run: &Run,
    map_run: &MapRun,
    role: &str,
    processor: &Value,
) {
    if plan.will_run() == 0 || role.is_empty() {
        return;
    }
    let machine = map_run.execution.state_machine();
    let is_express = cost::is_express(processor);
    let role = match is_express {
        true => Role {
            arn: role.to_owned(),
            action: "states:StartExecution".to_owned(),
            resource: machine.to_string(),
            seen: 0 < map_run.executions.done(),
            seen_in: None,
        },
        false => Role {
            arn: role.to_owned(),
            action: "states:RedriveExecution".to_owned(),
            resource: format!(
                "{}/{}:*",
                machine
                    .as_str()
                    .replacen(":stateMachine:", ":execution:", 1),
                map_run.arn.label()
            ),
            seen: 0 < map_run.redrive_count && 0 < map_run.items.done(),
            seen_in: redriven_well(client, &machine).await,
        },
    };
    let name = role.arn.rsplit('/').next().unwrap_or_default();
    let (action, resource) = (&role.action, &role.resource);
    let cause = run.detail.cause.as_deref().unwrap_or_default();
    let refused = run.execution().redrive_count > 0
        && run.detail.error.as_deref() == Some("States.Runtime")
        && cause.contains(action.as_str());
    plan.checks.push(match (refused, role.seen, &role.seen_in) {
        (true, ..) => Check::notice(format!(
            "the last redrive failed because role {name} may not {action} on {resource}: allow it \
             first"
        )),
        (_, true, _) => Check::good(format!("role {name} has used {action} in this run")),
        (_, _, Some(other)) => Check::good(format!(
            "role {name} has used {action} in {other} of this machine"
        )),
        _ => Check::notice(format!(
            "not known whether role {name} may {action} on {resource}: nothing of this machine was \
             redriven before; where it may not, the redrive fails, and the items stay as they are"
        )),
    });
    plan.facts.role = Some(role);
}

/// The newest other execution that succeeded after a redrive, so that the role may redrive children.
async fn redriven_well(client: &Client, machine: &StateMachineArn) -> Option<String> {
    let ended = Some(Status::Succeeded);
    let page = client.executions(machine, ended, PAGE, None).await.ok()?;
    let redriven = page.items.into_iter().find(|row| 0 < row.redrive_count);
    redriven.map(|row| row.name)
}

async fn estimate(
    client: &Client,
    plan: &mut Plan,
    map_run: &MapRun,
    processor: &Value,
    prices: &Prices,
) {
    let sample = cost::sample(client, map_run).await;
    let children = map_run.executions;
    let starts = children.failures() + children.aborted + children.pending;
    plan.facts.time = cost::time(map_run, plan.will_run(), sample.as_ref());
    plan.facts.cost = sample.map(|sample| cost::of(prices, processor, starts, &sample));
}

/// Why children are not redrivable. A Standard child has its own 14 days and its own history.
async fn stays(
    client: &Client,
    map_run: &MapRun,
    processor: &Value,
    now: Timestamp,
) -> Vec<String> {
    let all = map_run.items.failures_not_redrivable;
    if cost::is_express(processor) {
        return vec![format!("{all}: AWS gives no reason for EXPRESS children")];
    }
    let mut expired = 0;
    let mut looked_at_all = true;
    for status in [Status::Failed, Status::TimedOut, Status::Aborted] {
        let mut token = None;
        for page in 0..=PAGES {
            if page == PAGES {
                looked_at_all = false;
                break;
            }
            let Ok(rows) = client
                .children(&map_run.arn, Some(status), PAGE, token)
                .await
            else {
                return vec![format!("{all}: their rows cannot be read")];
            };
            let old = |at: Option<Timestamp>| {
                at.is_some_and(|at| now.duration_since(at) > REDRIVE_PERIOD)
            };
            let gone = rows.items.iter().filter(|row| old(row.stopped));
            expired += gone.map(|row| row.item_count.unwrap_or(1)).sum::<u64>();
            token = rows.next;
            if token.is_none() {
                break;
            }
        }
    }
    let mut reasons = Vec::new();
    if 0 < expired {
        let expired = expired.min(all);
        reasons.push(format!("{expired} ended more than 14 days ago"));
    }
    match (all.saturating_sub(expired), looked_at_all) {
        (0, _) => {}
        (rest, true) => reasons.push(format!("{rest} have a full event history")),
        (rest, false) => reasons.push(format!("{rest} are old, or have a full event history")),
    }
    reasons
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
