//! Finds what belongs to a run: the first run, its re-runs, and where each of them tells its part.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Evidence, Lineage, Source, Version};
use crate::client::Client;
use crate::lines::{MAX_LINES, Shape, result_files};
use crate::model::{Execution, ObjectAddress, Status};
use crate::operations::rerun::link::{self, Link, numbers_beside};
use crate::operations::rerun::{generation, items};
use crate::operations::runs::{self, Run, is_absent};
use crate::operations::{Error, results};

/// Rows a page when re-runs are looked for, and pages at most.
const PAGE: u16 = 1_000;
const PAGES: usize = 20;
/// Characters of an execution's name.
const NAME_LIMIT: usize = 80;

/// Finds everything that belongs to `run`, which may be a re-run itself.
///
/// # Errors
/// `Refused` when nothing can tell how many lines there are.
pub(in crate::operations) async fn of(client: &Client, run: &Run) -> Result<Lineage, Error> {
    let first = first(client, run).await?;
    let used = definition(client, &first).await?;
    match map_state(&used, &first).map(shape) {
        Some(Shape::Ours) => of_ours(client, run, &first, &used).await,
        _ => of_another(client, run, &first, &used).await,
    }
}

/// All re-runs that belong to `run`, oldest first, whoever of them it is itself.
///
/// # Errors
/// What the service answers.
pub async fn family(client: &Client, run: &Run) -> Result<Vec<Run>, Error> {
    let first = first(client, run).await?;
    let used = definition(client, &first).await?;
    re_runs(client, run, &first, &used, &mut Vec::new()).await
}

/// The run that was no re-run; the run itself where that one is gone.
async fn first(client: &Client, run: &Run) -> Result<Run, Error> {
    let execution = run.execution();
    let name = link::first(&run.detail);
    let first = runs::named(&execution.state_machine, &name);
    if first == execution.arn {
        return Ok(run.clone());
    }
    match runs::describe(client, &first).await {
        Ok(found) => Ok(found),
        Err(Error::Client(error)) if is_absent(&error.kind) => Ok(run.clone()),
        Err(error) => Err(error),
    }
}

async fn definition(client: &Client, run: &Run) -> Result<Value, Error> {
    let execution = &run.execution().arn;
    let used = client.state_machine_for_execution(execution).await?;
    serde_json::from_str(&used.definition)
        .map_err(|error| Error::malformed(&used.name, format!("its definition: {error}")))
}

/// The Map state whose Map Run matters most of this run.
fn map_state<'d>(definition: &'d Value, run: &Run) -> Option<&'d Value> {
    let found = results::map_state(definition, run.map_run()?.arn.label());
    found.map(|(_, state)| state)
}

/// Whether result files say which child a success is of, and not only what it returned.
fn has_records(state: &Value) -> bool {
    let shaped = state["ResultWriter"]["WriterConfig"]["Transformation"].as_str();
    !matches!(shaped, Some("COMPACT" | "FLATTEN"))
}

/// How the items of a Map state tell which lines they are.
fn shape(state: &Value) -> Shape {
    let selector = state
        .get("ItemSelector")
        .or_else(|| state.get("Parameters"));
    let is = |name: &str, path: &str| selector.is_some_and(|members| members[name] == path);
    if is("n.$", "$$.Map.Item.Value.n") && is("line.$", "$$.Map.Item.Value.line") {
        return Shape::Ours;
    }
    items::index(state).map_or_else(|| by_content(state), Shape::Index)
}

fn by_content(state: &Value) -> Shape {
    let item = items::whole(state, "").ok().flatten();
    Shape::Unnumbered { item }
}

/// A machine other than the shipped one: one Map Run, with all its rounds, and its re-runs.
async fn of_another(
    client: &Client,
    run: &Run,
    first: &Run,
    used: &Value,
) -> Result<Lineage, Error> {
    let execution = first.execution();
    let Some(map_run) = first.map_run() else {
        return Err(Error::Refused(format!(
            "{} has no Map Run: there are no items to reconcile",
            execution.name
        )));
    };
    let state = map_state(used, first);
    let mut lineage = Lineage {
        root: execution.arn.clone(),
        lines: map_run.items.total,
        shape: state.map_or(Shape::Unnumbered { item: None }, shape),
        sources: Vec::new(),
        running: None,
        notes: Vec::new(),
        output: None,
    };
    let has_records = state.is_some_and(has_records);
    if 1 < first.map_runs.len() {
        lineage.notes.push(format!(
            "{} Map Runs: this is {}, the one with most failures",
            first.map_runs.len(),
            map_run.arn.id()
        ));
    }
    if !has_records {
        lineage.shape = Shape::Unnumbered { item: None };
        lineage.note(
            "its result files have what children returned and not which ones: they are not read",
        );
    } else if !lineage.shape.is_numbered() {
        lineage.note(
            "its items do not say which lines they are (no $$.Map.Item.Index in the \
             ItemSelector): they are counted, and known again in re-runs by what they are",
        );
    }
    lineage.note("the lines are those that the Map Run read");
    lineage.note_running(execution);
    if let Some(location) = results::locate(client, map_run).await? {
        let key = format!("{}merged.jsonl", location.folder);
        lineage.output = Some(ObjectAddress::new(location.bucket, key));
    }
    if has_records {
        let results = ResultsOf::first(lineage.shape.clone());
        lineage.add_results(client, first, results).await?;
    }
    if !lineage.sources.is_empty() {
        for again in re_runs(client, run, first, used, &mut lineage.notes).await? {
            lineage.add_again_of_another(client, first, &again).await?;
        }
    }
    Ok(lineage)
}

/// A run of the shipped workflow, with every re-run of its lines.
async fn of_ours(client: &Client, run: &Run, first: &Run, used: &Value) -> Result<Lineage, Error> {
    let name = run.execution().name.as_str();
    let job = job(client, first).await?;
    let input = parsed(first.detail.input.as_deref());
    let output = parsed(first.detail.output.as_deref());
    let lines = match (&input["merge"]["lines"], &input["only"]) {
        (Value::Number(lines), _) => lines.as_u64(),
        (_, Value::Object(_)) => {
            return Err(Error::Refused(format!(
                "{name} ran chosen lines of a run that is not there any more: which lines that \
                 had is not known"
            )));
        }
        _ => output["counts"]["lines"].as_u64().or(job["lines"].as_u64()),
    };
    let lines = lines.filter(|lines| (1..=MAX_LINES).contains(lines));
    let Some(lines) = lines else {
        return Err(Error::Refused(format!(
            "{} ended before it had read its source: how many lines there are is not known",
            first.execution().name
        )));
    };
    let mut lineage = Lineage {
        root: first.execution().arn.clone(),
        lines,
        shape: Shape::Ours,
        sources: Vec::new(),
        running: None,
        notes: Vec::new(),
        output: address(&output["output"]).or_else(|| address(&job["output"])),
    };
    lineage.add(client, first, true).await?;
    for again in re_runs(client, run, first, used, &mut lineage.notes).await? {
        lineage.add(client, &again, false).await?;
    }
    Ok(lineage)
}

/// What Preprocess made of the input, which is what went into the Map state; null before that.
async fn job(client: &Client, run: &Run) -> Result<Value, Error> {
    let Some(map_run) = run.map_runs.last() else {
        return Ok(Value::Null);
    };
    let label = map_run.arn.label();
    let input = results::state_input(client, map_run, label).await?;
    Ok(parsed(input.as_deref()))
}

/// Re-runs of `first`, oldest first: those that are named after it, those that have left their chosen
/// items or their mark for it, and `run` where it is one.
async fn re_runs(
    client: &Client,
    run: &Run,
    first: &Run,
    used: &Value,
    notes: &mut Vec<String>,
) -> Result<Vec<Run>, Error> {
    let bucket = match first.map_run() {
        Some(map_run) => {
            let input = parsed(first.detail.input.as_deref());
            link::bucket(client, used, map_run, &input).await?
        }
        None => None,
    };
    let first = first.execution();
    let mut names = named_after(client, first).await?;
    if run.execution().arn != first.arn {
        names.insert(run.execution().name.clone());
    }
    if let Some(bucket) = bucket {
        match with_items(client, &bucket, &first.name).await {
            Ok(found) => names.extend(found),
            Err(error) => notes.push(format!("re-runs are known by their names alone: {error}")),
        }
    }
    let mut found = BTreeMap::new();
    for name in names {
        let run = match runs::describe(client, &runs::named(&first.state_machine, &name)).await {
            Ok(run) => run,
            // Its items were written, and it was never started.
            Err(Error::Client(error)) if is_absent(&error.kind) => continue,
            Err(error) => return Err(error),
        };
        if link::first(&run.detail) == first.name || is_re_run(&name, &first.name) {
            found.insert((run.execution().started, name), run);
        }
    }
    Ok(found.into_values().collect())
}

async fn named_after(client: &Client, first: &Execution) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    let mut token = None;
    for _ in 0..PAGES {
        let page = client
            .executions(&first.state_machine, None, PAGE, token)
            .await?;
        let reaches_first = page.items.iter().any(|row| row.started < first.started);
        let names = page.items.into_iter().map(|row| row.name);
        found.extend(names.filter(|name| is_re_run(name, &first.name)));
        token = page.next;
        if reaches_first || token.is_none() {
            break;
        }
    }
    Ok(found)
}

async fn with_items(client: &Client, bucket: &str, first: &str) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    let mut token = None;
    for _ in 0..PAGES {
        let page = client.objects(bucket, &link::folder(first), token).await?;
        let links = page
            .items
            .iter()
            .filter_map(|it| Link::parse(&it.address.key));
        found.extend(links.map(|link| link.name));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    Ok(found)
}

fn is_re_run(name: &str, first: &str) -> bool {
    let (stem, number) = generation(name);
    let was_cut = name.len() == NAME_LIMIT && first.starts_with(stem);
    0 < number && (stem == first || was_cut)
}

/// Result files, as they are to be read.
struct ResultsOf {
    shape: Shape,
    numbers: Option<ObjectAddress>,
    is_again: bool,
}

impl ResultsOf {
    fn first(shape: Shape) -> Self {
        Self {
            shape,
            numbers: None,
            is_again: false,
        }
    }
}

/// Where it is told which lines the items of a re-run are.
async fn numbers_of(
    client: &Client,
    used: &Value,
    again: &Run,
    input: &Value,
) -> Result<Option<ObjectAddress>, Error> {
    let Some(link) = Link::of_items(input) else {
        return Ok(None);
    };
    let Some(map_run) = again.map_run() else {
        return Ok(None);
    };
    let Some(bucket) = link::bucket(client, used, map_run, input).await? else {
        return Ok(None);
    };
    let numbers = numbers_beside(&ObjectAddress::new(bucket, link.key("items")));
    let found = client.head(&numbers).await?;
    Ok(found.map(|_| numbers))
}

impl Lineage {
    async fn add(&mut self, client: &Client, run: &Run, is_first: bool) -> Result<(), Error> {
        self.note_running(run.execution());
        let results = ResultsOf::first(Shape::Ours);
        let input = parsed(run.detail.input.as_deref());
        let output = parsed(run.detail.output.as_deref());
        // Which lines a choice alone has written, only its results tell.
        let tells_lines = input["only"].is_null() || !input["merge"].is_null();
        let written = address(&output["output"]).filter(|_| tells_lines);
        if run.execution().status != Status::Succeeded {
            return self.add_results(client, run, results).await;
        }
        let Some(written) = written else {
            return self.add_results(client, run, results).await;
        };
        let name = &run.execution().name;
        let Some(written) = Version::of(client, written.clone()).await? else {
            self.notes
                .push(format!("the output of {name}, {written}, is gone"));
            return self.add_results(client, run, results).await;
        };
        let failed = match address(&output["failed"]) {
            None => None,
            Some(failed) => match Version::of(client, failed.clone()).await? {
                Some(failed) => Some(failed),
                None => {
                    self.notes.push(format!("{failed} is gone"));
                    return self.add_results(client, run, results).await;
                }
            },
        };
        let own = match address(&input["only"]).filter(|_| !is_first) {
            // Where it is gone every line of the output counts.
            Some(only) => client.head(&only).await?.map(|(found, _)| found.address),
            None => None,
        };
        self.sources.push(Source {
            run: name.clone(),
            evidence: Evidence::Output {
                output: written,
                failed,
                lines: self.lines,
                own,
            },
        });
        Ok(())
    }

    /// Adds the result files of the newest round that has some.
    async fn add_results(
        &mut self,
        client: &Client,
        run: &Run,
        of: ResultsOf,
    ) -> Result<(), Error> {
        let name = &run.execution().name;
        let Some(map_run) = run.map_run() else {
            self.notes
                .push(format!("{name} ended before its map began"));
            return Ok(());
        };
        let Some(location) = results::locate(client, map_run).await? else {
            self.notes.push(format!("{name} writes no result files"));
            return Ok(());
        };
        for round in (0..=map_run.redrive_count).rev() {
            let folder = &location.folder;
            let key = match round {
                0 => format!("{folder}manifest.json"),
                round => format!("{folder}Redrive-{round}/manifest.json"),
            };
            let manifest = ObjectAddress::new(&location.bucket, key);
            if client.head(&manifest).await?.is_none() {
                continue;
            }
            if round < map_run.redrive_count {
                self.notes.push(format!(
                    "{name} was redriven {} times; the newest results are of round {round}",
                    map_run.redrive_count
                ));
            }
            let files = result_files(client, &manifest).await?;
            self.sources.push(Source {
                run: name.clone(),
                evidence: Evidence::Results {
                    round,
                    files,
                    shape: of.shape,
                    numbers: of.numbers,
                    is_again: of.is_again,
                },
            });
            return Ok(());
        }
        self.notes.push(format!(
            "{name} has no result files in s3://{}/{}",
            location.bucket, location.folder
        ));
        Ok(())
    }

    /// A re-run of another machine: its items are known by the numbers that were written with them,
    /// else by what they are.
    async fn add_again_of_another(
        &mut self,
        client: &Client,
        first: &Run,
        again: &Run,
    ) -> Result<(), Error> {
        self.note_running(again.execution());
        let name = again.execution().name.as_str();
        let used = definition(client, again).await?;
        let Some(state) = map_state(&used, again) else {
            self.note(format!("{name} ended before its map began"));
            return Ok(());
        };
        if !has_records(state) {
            self.note(format!(
                "{name} is not counted: its result files do not say which items they are of"
            ));
            return Ok(());
        }
        let mut numbers = None;
        let shape = match (&self.shape, shape(state)) {
            (Shape::Index(_), own @ Shape::Index(_)) => {
                let (input, theirs) =
                    (again.detail.input.as_deref(), first.detail.input.as_deref());
                let (input, theirs) = (parsed(input), parsed(theirs));
                if input != theirs {
                    numbers = numbers_of(client, &used, again, &input).await?;
                    if numbers.is_none() {
                        self.note(format!(
                            "{name} is not counted: it numbers its items anew, and nothing says \
                             which lines they are"
                        ));
                        return Ok(());
                    }
                }
                own
            }
            (Shape::Index(_), _) => {
                self.note(format!(
                    "{name} is not counted: its definition is another one, whose items do not say \
                     which lines they are"
                ));
                return Ok(());
            }
            _ => by_content(state),
        };
        let results = ResultsOf {
            shape,
            numbers,
            is_again: true,
        };
        self.add_results(client, again, results).await
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn note_running(&mut self, execution: &Execution) {
        if !execution.status.is_closed() {
            self.running = Some(execution.name.clone());
            self.notes
                .push(format!("{} has not ended yet", execution.name));
        }
    }
}

pub(super) fn parsed(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or(Value::Null)
}

fn address(value: &Value) -> Option<ObjectAddress> {
    let text = |name: &str| value[name].as_str().filter(|text| !text.is_empty());
    Some(ObjectAddress::new(text("bucket")?, text("key")?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn re_runs_are_known_by_their_names() {
        assert!(is_re_run("a-r1-0123abcd", "a"));
        assert!(is_re_run("a-b-r12-0123abcd", "a-b"));
        for other in [
            "a-r1-0123abcd",
            "a-r-0123abcd",
            "b-r1-0123abcd",
            "b",
            "b-r1-xyz",
        ] {
            assert!(!is_re_run(other, "a-b"), "{other}");
        }
        let long = "x".repeat(80);
        let end = "-r1-0123abcd";
        let cut = format!("{}{end}", &long[..80 - end.len()]);
        assert!(is_re_run(&cut, &long));
        assert!(!is_re_run(&cut, "y"));
    }

    #[test]
    fn the_item_selector_tells_how_items_are_numbered() {
        for (selector, expected) in [
            (
                json!({"n.$": "$$.Map.Item.Value.n", "line.$": "$$.Map.Item.Value.line"}),
                Shape::Ours,
            ),
            (
                json!({"at.$": "$$.Map.Item.Index"}),
                Shape::Index("at".to_owned()),
            ),
            (
                json!({"at": "{% $states.context.Map.Item.Index %}"}),
                Shape::Index("at".to_owned()),
            ),
            (
                json!({"value.$": "$$.Map.Item.Value"}),
                Shape::Unnumbered {
                    item: Some("value".to_owned()),
                },
            ),
        ] {
            assert_eq!(shape(&json!({"ItemSelector": selector})), expected);
        }
        assert_eq!(shape(&json!({})), Shape::Unnumbered { item: None });
        let writer = |kind| json!({"ResultWriter": {"WriterConfig": {"Transformation": kind}}});
        assert!(has_records(&writer("NONE")) && has_records(&json!({})));
        assert!(!has_records(&writer("COMPACT")));
    }
}
