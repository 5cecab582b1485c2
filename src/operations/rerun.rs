//! Run chosen items of a run again in a new execution: what AWS has no operation for.
//!
//! The items that did not succeed are gathered from the run's result files, the chosen ones become
//! an object of their own, and the same state machine starts with the run's input, that object in
//! place of the source. The new name follows from run, items and input: pressing twice starts once.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Client, ErrorKind, shell_word};
use crate::model::{
    ExecutionArn, Limits, MapRun, ObjectAddress, Prices, RunState, StateMachineArn, Timestamp,
};
use crate::operations::cost::{Cost, Time};
use crate::operations::redrive::{Definition, limit};
use crate::operations::runs::{self, Run};
use crate::operations::{Check, Error, Progress, refuse_bad};

pub mod canary;
mod chosen;
pub mod edit;
mod gather;
pub(super) mod items;
pub(super) mod link;
mod making;
#[cfg(test)]
mod tests;

pub use chosen::{Chosen, Lines};
pub use gather::{Subset, groups};

use gather::{From, Numbering, gather};
pub(super) use items::Way;
pub(super) use making::generation;

pub use link::Link;
use link::numbers_beside;

/// Groups that a plan names.
const GROUPS: usize = 20;
/// User metadata of an uploaded object: SHA-256 of its bytes, hexadecimal.
const SHA256: &str = "sha256";

/// What is wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wish {
    pub chosen: Chosen,
    /// The same input once more: all items, whatever became of them.
    pub everything: bool,
    /// Other lines (or items) in place of those with these numbers.
    pub edits: BTreeMap<u64, Value>,
    /// Chosen, and taken out again.
    pub left_out: BTreeSet<u64>,
    /// `None` derives one.
    pub name: Option<String>,
    /// Batches of one item.
    pub one_by_one: bool,
    pub limits: Limits,
    /// Why, for the records.
    pub note: Option<String>,
}

/// What a re-run would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The run whose items run again.
    pub execution: ExecutionArn,
    pub state: RunState,
    pub machine: StateMachineArn,
    /// Of the new execution.
    pub name: String,
    /// `Err` is the reason why not, with what to do instead.
    pub allowed: Result<(), String>,
    pub wish: Wish,
    /// Items that will run.
    pub items: u64,
    /// The largest groups that they were in.
    pub groups: Vec<Group>,
    /// Where they were read.
    pub source: String,
    /// Whether everything that did not succeed was looked at.
    pub exact: bool,
    /// Which run it is linked to.
    #[serde(default)]
    pub link: Option<Link>,
    /// Where they go; of everything, where the mark goes that links it.
    pub subset: ObjectAddress,
    /// Of that object.
    pub bytes: u64,
    pub sha256: String,
    /// Of the new execution.
    pub input: Value,
    /// The output that the new lines are merged with, in a new one.
    pub merges_with: Option<ObjectAddress>,
    pub definition: Option<Definition>,
    pub cost: Option<Cost>,
    pub time: Option<Time>,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub error: String,
    pub message: String,
    pub count: u64,
}

impl Plan {
    /// The new execution.
    pub fn target(&self) -> ExecutionArn {
        runs::named(&self.machine, &self.name)
    }

    /// The same as a command. What was edited is in no command: a plan file has it.
    pub fn command(&self) -> String {
        let (run, machine) = (self.execution.name(), self.machine.name());
        let mut words = vec!["fanout rerun".to_owned(), shell_word(run)];
        let mut add = |name: &str, value: String| {
            words.push(format!("--{name}"));
            if !value.is_empty() {
                words.push(shell_word(&value));
            }
        };
        add("machine", machine.to_owned());
        let chosen = &self.wish.chosen;
        if !chosen.lines.is_empty() {
            add("lines", chosen.lines.to_string());
        }
        for error in &chosen.errors {
            add("error", error.clone());
        }
        for group in &chosen.groups {
            add("group", format!("{}: {}", group.error, group.message));
        }
        for child in &chosen.children {
            add("child", child.to_string());
        }
        if !chosen.words.is_empty() {
            add("query", chosen.words.join(" "));
        }
        if let Some(most) = chosen.of_each_group {
            add("of-each-group", most.to_string());
        }
        if let Some(name) = &self.wish.name {
            add("name", name.clone());
        }
        if self.wish.everything {
            add("everything", String::new());
        }
        if self.wish.one_by_one {
            add("batch-size", "1".to_owned());
        }
        if let Some(most) = self.wish.limits.max_concurrency {
            add("concurrency", most.to_string());
        }
        if let Some(share) = self.wish.limits.tolerated_percentage {
            add("tolerate", format!("{share}%"));
        }
        if let Some(note) = &self.wish.note {
            add("note", note.clone());
        }
        words.push("--yes".to_owned());
        words.join(" ")
    }

    /// What has changed since `planned` was made that whoever approved it should know.
    pub fn moved_since(&self, planned: &Self) -> Vec<String> {
        let mut moved = Vec::new();
        if let (Err(reason), Ok(())) = (&self.allowed, &planned.allowed) {
            moved.push(reason.clone());
        }
        if self.state != planned.state {
            let (now, then) = (self.state.word(), planned.state.word());
            moved.push(format!(
                "{} is {now}, and was {then}",
                self.execution.name()
            ));
        }
        if self.sha256 != planned.sha256 {
            let (now, then) = (self.items, planned.items);
            moved.push(match now == then {
                true => "other items are chosen by now".to_owned(),
                false => format!("{now} items are chosen by now, and {then} were planned"),
            });
        }
        if self.merges_with != planned.merges_with {
            moved.push("it would be merged with another output".to_owned());
        }
        let deployed = |plan: &Self| plan.definition.as_ref().map(|it| it.deployed.clone());
        if deployed(self) != deployed(planned) {
            moved.push("another definition is deployed".to_owned());
        }
        moved
    }
}

/// Gathers what is chosen and reads what running it again would do; changes nothing. The items come
/// along where there are any.
///
/// # Errors
/// What the service answers, and `Malformed` when an item cannot be made again.
pub async fn plan(
    client: &Client,
    execution: &ExecutionArn,
    wish: Wish,
    now: Timestamp,
    prices: &Prices,
) -> Result<(Plan, Option<Subset>), Error> {
    let run = runs::describe(client, execution).await?;
    let mut plan = Plan::empty(&run, wish, now);
    let map_run = match possible(&run, plan.state, plan.wish.everything) {
        Ok(map_run) => map_run,
        Err(reason) => {
            plan.allowed = Err(reason);
            return Ok((plan, None));
        }
    };
    let used = client.state_machine_for_execution(execution).await?;
    let definition: Value = serde_json::from_str(&used.definition)
        .map_err(|error| Error::malformed(&used.name, format!("its definition: {error}")))?;
    let input = parsed(run.detail.input.as_deref());
    let output = parsed(run.detail.output.as_deref());
    if plan.wish.everything {
        plan.take_everything(&run, map_run, &input, is_shipped(&definition));
        plan.subset = mark(client, &definition, map_run, &plan, &input).await?;
        plan.check(client, &definition, used.revision.as_deref(), None)
            .await?;
        plan.estimate(client, map_run, &definition, prices).await;
        return Ok((plan, None));
    }
    let way = match is_shipped(&definition) {
        true => Ok(None),
        false => Way::of(&definition, map_run.arn.label()).map(Some),
    };
    let way = match way {
        Ok(way) => way,
        Err(reason) => {
            plan.allowed = Err(format!("the items cannot be made again exactly: {reason}"));
            return Ok((plan, None));
        }
    };
    let failed = address(&output["failed"]);
    let numbering = match &way {
        Some(way) if way.index.is_some() => numbering(client, way, &input).await?,
        _ => Numbering::None,
    };
    let from = match &way {
        None => From::Lines {
            failed: failed.as_ref(),
        },
        Some(way) => From::Items(way, numbering),
    };
    let (chosen, left_out) = (&plan.wish.chosen, &plan.wish.left_out);
    let mut subset = gather(client, map_run, from, chosen, left_out).await?;
    plan.take(&mut subset)?;
    if subset.is_empty() {
        plan.allowed = Err("nothing is chosen: no item that did not succeed fits".to_owned());
        return Ok((plan, None));
    }
    if let Err(reason) = plan.address_to(&run, way.as_ref(), &input, &output) {
        plan.allowed = Err(reason);
        return Ok((plan, None));
    }
    plan.check(client, &definition, used.revision.as_deref(), way.as_ref())
        .await?;
    plan.estimate(client, map_run, &definition, prices).await;
    Ok((plan, Some(subset)))
}

/// A re-run of what the re-run `before`, which was `execution`, has left open. Lines that were never
/// chosen stay where they are, also when a merged output names them.
///
/// # Errors
/// As [`plan`].
pub async fn next(
    client: &Client,
    execution: &ExecutionArn,
    before: &Plan,
    prices: &Prices,
) -> Result<(Plan, Option<Subset>), Error> {
    let wish = Wish {
        name: None,
        chosen: Chosen {
            of_each_group: None,
            ..before.wish.chosen.clone()
        },
        ..before.wish.clone()
    };
    plan(client, execution, wish, Timestamp::now(), prices).await
}

/// How the items of a run with this input are numbered: those of a re-run are lines of the first run.
async fn numbering(client: &Client, way: &Way, input: &Value) -> Result<Numbering, Error> {
    let Some(link) = Link::of_items(input) else {
        return Ok(Numbering::Own);
    };
    let Ok(items) = way.address(input, link.key("items")) else {
        return Ok(Numbering::None);
    };
    let numbers = numbers_beside(&items);
    Ok(match client.head(&numbers).await? {
        Some(_) => Numbering::Of(
            crate::lines::numbers(client, &numbers)
                .await?
                .iter()
                .collect(),
        ),
        None => Numbering::None,
    })
}

/// Writes the items, where some are chosen, and starts the execution; doing it again changes nothing
/// more.
///
/// # Errors
/// `Refused` when the plan is not allowed, or the items are not those of the plan.
pub async fn run(
    client: &Client,
    plan: &Plan,
    subset: Option<&mut Subset>,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<ExecutionArn, Error> {
    if let Err(reason) = &plan.allowed {
        return Err(Error::Refused(reason.clone()));
    }
    refuse_bad(&plan.checks)?;
    match subset {
        Some(subset) => upload(client, plan, subset, progress).await?,
        None => leave_mark(client, plan).await?,
    }
    let input = plan.input.to_string();
    let link = plan.link.as_ref().filter(|_| plan.wish.everything);
    let traced = link.and_then(|link| link.trace_header(Timestamp::now()));
    let started = client
        .start_traced(&plan.machine, &plan.name, &input, traced.as_deref())
        .await?;
    if !is_shipped_input(&plan.input) {
        limit(client, &started, plan.wish.limits).await?;
    }
    Ok(started)
}

/// Where the mark of a re-run of everything goes: beside the chosen items of others, where these can
/// be told, else to the results.
async fn mark(
    client: &Client,
    definition: &Value,
    map_run: &MapRun,
    plan: &Plan,
    input: &Value,
) -> Result<ObjectAddress, Error> {
    let bucket = link::bucket(client, definition, map_run, input).await?;
    let key = plan.link.as_ref().map(|link| link.key(link::EVERYTHING));
    Ok(match (bucket, key) {
        (Some(bucket), Some(key)) => ObjectAddress::new(bucket, key),
        _ => ObjectAddress::new("", ""),
    })
}

/// Leaves the mark by which a re-run of everything is found from its run. Who may not write it still
/// has the link in the trace header.
async fn leave_mark(client: &Client, plan: &Plan) -> Result<(), Error> {
    if !plan.wish.everything || plan.subset.bucket.is_empty() {
        return Ok(());
    }
    let left = async {
        let object = client.write(&plan.subset, [].into()).await?;
        object.finish().await
    };
    match left.await {
        Err(error) if !matches!(error.kind, ErrorKind::Permission(_)) => Err(error.into()),
        _ => Ok(()),
    }
}

async fn upload(
    client: &Client,
    plan: &Plan,
    subset: &mut Subset,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<(), Error> {
    let (bytes, sha256) = subset.digest(&plan.wish.edits)?;
    if sha256 != plan.sha256 {
        return Err(Error::Refused(
            "the chosen items are no longer those of the plan: make a new one".to_owned(),
        ));
    }
    let there = client.head(&plan.subset).await?;
    if there.is_some_and(|(_, metadata)| metadata.get(SHA256) == Some(&sha256)) {
        return Ok(());
    }
    // They come first: where the items are, so are their numbers.
    if subset.is_numbered() {
        let mut numbers = client
            .write(&numbers_beside(&plan.subset), [].into())
            .await?;
        subset.upload_numbers(&mut numbers).await?;
        numbers.finish().await?;
    }
    let metadata = BTreeMap::from([(SHA256.to_owned(), sha256)]);
    let mut object = client.write(&plan.subset, metadata).await?;
    let report = |done| progress(Progress { done, total: bytes });
    match subset.upload(&plan.wish.edits, &mut object, report).await {
        Ok(()) => {
            object.finish().await?;
            Ok(())
        }
        Err(error) => {
            object.abort().await;
            Err(error)
        }
    }
}

/// The Map Run whose items can be chosen from.
fn possible(run: &Run, state: RunState, everything: bool) -> Result<&MapRun, String> {
    // All its lines have succeeded, and others that it was merged with are open still.
    let is_merged = !parsed(run.detail.output.as_deref())["failed"].is_null();
    let name = run.execution().name.as_str();
    if run.execution().map_run.is_some() {
        return Err(format!(
            "{name} is a child execution: re-run lines of its run"
        ));
    }
    match state {
        RunState::Running | RunState::Queued | RunState::Redrive => {
            return Err(format!(
                "{name} is still running, and may fail yet: wait for its end (`fanout wait {name}`)"
            ));
        }
        RunState::Succeeded if !everything && !is_merged => {
            return Err(format!("{name} has succeeded: nothing is left to run"));
        }
        _ => {}
    }
    run.map_run().ok_or_else(|| {
        format!("{name} has no Map Run, so there are no items to choose: start it anew")
    })
}

/// What keeps chosen items of this Map from running again in a new execution, and what in the
/// definition would let them.
pub(super) fn obstacle(definition: &Value, label: &str) -> Option<String> {
    match is_shipped(definition) {
        true => None,
        false => Way::of(definition, label).err(),
    }
}

/// Whether a definition is that of the shipped workflow, of whatever age.
fn is_shipped(definition: &Value) -> bool {
    let states = &definition["States"];
    let selector = &states["Lines"]["ItemSelector"];
    definition["StartAt"] == "Preprocess"
        && states["Postprocess"].is_object()
        && selector["n.$"] == "$$.Map.Item.Value.n"
        && selector["line.$"] == "$$.Map.Item.Value.line"
}

fn is_shipped_input(input: &Value) -> bool {
    input.get("only").is_some()
}

fn parsed(text: Option<&str>) -> Value {
    let value = text.and_then(|text| serde_json::from_str(text).ok());
    value.unwrap_or(Value::Null)
}

fn address(value: &Value) -> Option<ObjectAddress> {
    let text = |name: &str| value[name].as_str().filter(|text| !text.is_empty());
    Some(ObjectAddress::new(text("bucket")?, text("key")?))
}
