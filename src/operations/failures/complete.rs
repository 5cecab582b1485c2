//! What is told of groups beyond what their failures say: the state they failed in, and what the
//! ledger remembers of them.

use serde_json::Value;

use crate::client::Client;
use crate::model::{ExecutionArn, MapRun, Timestamp};
use crate::operations::Error;
use crate::operations::failures::Survey;
use crate::operations::ledger::{self, Attempt, Ledger};
use crate::operations::results;

/// Groups whose state is looked up, the largest: each may take a call.
const LOOKED_UP: usize = 12;

/// Adds to the groups of a survey the state that they failed in, and where there is a ledger, where
/// they were seen before; writes the attempt down there once it is known exactly.
///
/// # Errors
/// `File` where the ledger cannot be read or written, and what the service answers.
pub async fn complete(
    client: &Client,
    map_run: &MapRun,
    survey: &mut Survey,
    ledger: Option<&Ledger>,
    now: Timestamp,
) -> Result<(), Error> {
    if survey.groups.is_empty() {
        return Ok(());
    }
    name_states(client, map_run, survey).await?;
    let Some(ledger) = ledger else {
        return Ok(());
    };
    let target = ledger::target(client);
    let seen = ledger.seen(&target, map_run, &survey.keys())?;
    for (group, seen) in survey.groups.iter_mut().zip(seen) {
        group.seen_before = seen;
    }
    if survey.exact && map_run.status.is_closed() {
        let attempt = Attempt::of(target, map_run, &survey.groups, true, now);
        ledger.record_once(&attempt)?;
    }
    Ok(())
}

/// The only state of the children that does work tells where they failed; else the history of one
/// of each group does, as far as there are histories.
async fn name_states(client: &Client, map_run: &MapRun, survey: &mut Survey) -> Result<(), Error> {
    let used = client
        .state_machine_for_execution(&map_run.execution)
        .await?;
    let definition: Option<Value> = serde_json::from_str(&used.definition).ok();
    let only = definition.as_ref().and_then(|definition| {
        let (_, map) = results::map_state(definition, map_run.arn.label())?;
        only_worker(map)
    });
    for group in survey.groups.iter_mut().take(LOOKED_UP) {
        group.state = match (&only, &group.example) {
            // What the service itself reports of a state may be about another one.
            (Some(only), _) if group.error != "States.Runtime" => Some(only.clone()),
            (_, Some(child)) if !child.is_express() => state_of(client, child).await?,
            _ => None,
        };
    }
    Ok(())
}

/// The name of the only state of a Map's children that can fail by what it does.
fn only_worker(map: &Value) -> Option<String> {
    let processor = map.get("ItemProcessor").or_else(|| map.get("Iterator"))?;
    let states = processor.get("States")?.as_object()?;
    let works = |state: &Value| {
        matches!(
            state["Type"].as_str(),
            Some("Task" | "Parallel" | "Map" | "Fail")
        )
    };
    let mut workers = states.iter().filter(|(_, state)| works(state));
    let (name, state) = workers.next()?;
    let is_plain = state["Type"] == "Task" && workers.next().is_none();
    is_plain.then(|| name.clone())
}

/// The state that a Standard child was in when it failed: the last one entered. A history that the
/// service keeps no more tells nothing.
async fn state_of(client: &Client, child: &ExecutionArn) -> Result<Option<String>, Error> {
    const NEWEST: u8 = 20;
    let events = match client.newest_events(child, NEWEST).await {
        Ok(page) => page.items,
        Err(_) => return Ok(None),
    };
    let entered = events
        .into_iter()
        .find(|it| it.kind.ends_with("StateEntered"));
    Ok(entered.and_then(|it| it.state))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_worker_is_where_children_fail_and_two_are_not() {
        let map = |states: Value| json!({"ItemProcessor": {"States": states}});
        let one = map(json!({"Shape": {"Type": "Pass"}, "Call": {"Type": "Task"}}));
        assert_eq!(only_worker(&one).as_deref(), Some("Call"));
        let two = map(json!({"Call": {"Type": "Task"}, "No": {"Type": "Fail"}}));
        assert_eq!(only_worker(&two), None);
        let nested = map(json!({"Fork": {"Type": "Parallel", "Branches": []}}));
        assert_eq!(only_worker(&nested), None);
    }
}
