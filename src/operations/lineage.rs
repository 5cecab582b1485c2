//! A run, its redrives and its re-runs as one: where it is to be read what became of its lines.
//!
//! An output of the shipped workflow counts before result files: it is what people use, and the
//! files are deleted once it is complete. A re-run that was merged brings its own lines only; the
//! others in its output are those of the run before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::Client;
use crate::lines::{
    Bits, Gathered, MAX_LINES, Meter, Pinned, Previous, ResultFile, Shape, Tally, numbers,
    result_files,
};
use crate::model::{Execution, ExecutionArn, MapRun, ObjectAddress, Status};
use crate::operations::rerun::generation;
use crate::operations::runs::{self, Run, is_absent};
use crate::operations::{Error, results};

/// Rows a page when re-runs are looked for, and pages at most.
const PAGE: u16 = 1_000;
const PAGES: usize = 20;
/// Characters of an execution's name.
const NAME_LIMIT: usize = 80;

/// Where it is told what became of a run's lines.
#[derive(Debug, Clone)]
pub(super) struct Lineage {
    /// The first run.
    pub root: ExecutionArn,
    /// Lines of its input, or items where its source does not tell.
    pub lines: u64,
    pub shape: Shape,
    /// Oldest first.
    pub sources: Vec<Source>,
    /// The execution, of all these, that has not ended.
    pub running: Option<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Where the run's output is, or would be.
    pub output: Option<ObjectAddress>,
}

/// One run's part.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub run: String,
    pub evidence: Evidence,
}

#[derive(Debug, Clone)]
pub(super) enum Evidence {
    /// Result files of a Map Run, of all rounds.
    Results { round: u32, files: Vec<ResultFile> },
    /// An output, with its lines that failed.
    Output {
        output: Version,
        failed: Option<Version>,
        lines: u64,
        /// Those of them that this run worked on; `None` is all.
        own: Option<ObjectAddress>,
    },
}

/// An object as it is now.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub address: ObjectAddress,
    pub etag: String,
    pub size: u64,
}

/// A source, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub run: String,
    /// `output`, or `results of round N`.
    pub kind: String,
    pub objects: Vec<ObjectAddress>,
    /// Bytes to be read.
    pub bytes: u64,
}

impl Source {
    pub fn shown(&self) -> Shown {
        let (kind, objects, bytes) = match &self.evidence {
            Evidence::Results { round, files } => (
                format!("results of round {round}"),
                files.iter().map(|file| file.address.clone()).collect(),
                files.iter().map(|file| file.size).sum(),
            ),
            Evidence::Output { output, failed, .. } => {
                let all = std::iter::once(output).chain(failed);
                let bytes = all.clone().map(|it| it.size).sum();
                let objects = all.map(|it| it.address.clone()).collect();
                ("output".to_owned(), objects, bytes)
            }
        };
        Shown {
            run: self.run.clone(),
            kind,
            objects,
            bytes,
        }
    }
}

impl Version {
    async fn of(client: &Client, address: ObjectAddress) -> Result<Option<Self>, Error> {
        let found = client.head(&address).await?;
        Ok(found.map(|(object, _)| Self {
            address,
            etag: object.etag,
            size: object.size,
        }))
    }

    fn pinned(&self) -> Pinned<'_> {
        (&self.address, &self.etag)
    }
}

/// Finds everything that belongs to `run`, which may be a re-run itself.
///
/// # Errors
/// `Refused` when nothing can tell how many lines there are.
pub(super) async fn of(client: &Client, run: &Run) -> Result<Lineage, Error> {
    let used = client
        .state_machine_for_execution(&run.execution().arn)
        .await?;
    let definition: Value = serde_json::from_str(&used.definition)
        .map_err(|error| Error::malformed(&used.name, format!("its definition: {error}")))?;
    let map_run = run.map_run();
    let state = map_run.and_then(|it| results::map_state(&definition, it.arn.label()));
    let Some((_, state)) = state else {
        return of_another(client, run, map_run, None).await;
    };
    match shape(state) {
        Shape::Ours => of_ours(client, run).await,
        shape => {
            of_another(
                client,
                run,
                map_run,
                Some(shape).filter(|_| has_records(state)),
            )
            .await
        }
    }
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
    let Some(members) = selector.and_then(Value::as_object) else {
        return Shape::Unnumbered;
    };
    let is = |name: &str, path: &str| members.get(name).is_some_and(|value| value == path);
    if is("n.$", "$$.Map.Item.Value.n") && is("line.$", "$$.Map.Item.Value.line") {
        return Shape::Ours;
    }
    let index = members.iter().find_map(|(name, value)| {
        let is_index = match value.as_str()?.trim().strip_prefix("{%") {
            Some(jsonata) => {
                jsonata.trim_end_matches("%}").trim() == "$states.context.Map.Item.Index"
            }
            None => value == "$$.Map.Item.Index",
        };
        is_index.then(|| name.trim_end_matches(".$").to_owned())
    });
    index.map_or(Shape::Unnumbered, Shape::Index)
}

/// A machine other than the shipped one: one Map Run, with all its rounds.
async fn of_another(
    client: &Client,
    run: &Run,
    map_run: Option<&MapRun>,
    records: Option<Shape>,
) -> Result<Lineage, Error> {
    let execution = run.execution();
    let Some(map_run) = map_run else {
        return Err(Error::Refused(format!(
            "{} has no Map Run: there are no items to reconcile",
            execution.name
        )));
    };
    let mut notes = Vec::new();
    if 1 < run.map_runs.len() {
        notes.push(format!(
            "{} Map Runs: this is {}, the one with most failures",
            run.map_runs.len(),
            map_run.arn.id()
        ));
    }
    let has_records = records.is_some();
    let shape = records.unwrap_or(Shape::Unnumbered);
    if !has_records {
        notes.push(
            "its result files have what children returned and not which ones: they are not read"
                .to_owned(),
        );
    } else if shape == Shape::Unnumbered {
        notes.push(
            "its items do not say which lines they are (no $$.Map.Item.Index in the \
             ItemSelector): only counts can be compared"
                .to_owned(),
        );
    }
    notes.push("the lines are those that the Map Run read; re-runs number them anew".to_owned());
    let mut lineage = Lineage {
        root: execution.arn.clone(),
        lines: map_run.items.total,
        shape,
        sources: Vec::new(),
        running: None,
        notes,
        output: None,
    };
    lineage.note_running(execution);
    if let Some(location) = results::locate(client, map_run).await? {
        let key = format!("{}merged.jsonl", location.folder);
        lineage.output = Some(ObjectAddress::new(location.bucket, key));
    }
    if has_records {
        lineage.add_results(client, run).await?;
    }
    Ok(lineage)
}

/// A run of the shipped workflow, with every re-run of its lines.
async fn of_ours(client: &Client, run: &Run) -> Result<Lineage, Error> {
    let machine = &run.execution().state_machine;
    let name = run.execution().name.as_str();
    let (stem, _) = generation(name);
    let root = runs::named(machine, stem);
    let first = match root == run.execution().arn {
        true => run.clone(),
        false => match runs::describe(client, &root).await {
            Ok(found) => found,
            Err(Error::Client(error)) if is_absent(&error.kind) => run.clone(),
            Err(error) => return Err(error),
        },
    };
    let job = job(client, &first).await?;
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
    lineage.add(client, &first, true).await?;
    for again in re_runs(client, first.execution()).await? {
        let run = runs::describe(client, &again).await?;
        lineage.add(client, &run, false).await?;
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

/// Re-runs of `first`, oldest first: they are named after it.
async fn re_runs(client: &Client, first: &Execution) -> Result<Vec<ExecutionArn>, Error> {
    let mut found = BTreeMap::new();
    let mut token = None;
    for _ in 0..PAGES {
        let page = client
            .executions(&first.state_machine, None, PAGE, token)
            .await?;
        let reaches_first = page.items.iter().any(|row| row.started < first.started);
        for row in page.items {
            if is_re_run(&row.name, &first.name) {
                found.insert((row.started, row.name), row.arn);
            }
        }
        token = page.next;
        if reaches_first || token.is_none() {
            break;
        }
    }
    Ok(found.into_values().collect())
}

fn is_re_run(name: &str, first: &str) -> bool {
    let (stem, number) = generation(name);
    let was_cut = name.len() == NAME_LIMIT && first.starts_with(stem);
    0 < number && (stem == first || was_cut)
}

impl Lineage {
    async fn add(&mut self, client: &Client, run: &Run, is_first: bool) -> Result<(), Error> {
        self.note_running(run.execution());
        let input = parsed(run.detail.input.as_deref());
        let output = parsed(run.detail.output.as_deref());
        // Which lines a choice alone has written, only its results tell.
        let tells_lines = input["only"].is_null() || !input["merge"].is_null();
        let written = address(&output["output"]).filter(|_| tells_lines);
        if run.execution().status != Status::Succeeded {
            return self.add_results(client, run).await;
        }
        let Some(written) = written else {
            return self.add_results(client, run).await;
        };
        let name = &run.execution().name;
        let Some(written) = Version::of(client, written.clone()).await? else {
            self.notes
                .push(format!("the output of {name}, {written}, is gone"));
            return self.add_results(client, run).await;
        };
        let failed = match address(&output["failed"]) {
            None => None,
            Some(failed) => match Version::of(client, failed.clone()).await? {
                Some(failed) => Some(failed),
                None => {
                    self.notes.push(format!("{failed} is gone"));
                    return self.add_results(client, run).await;
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
    async fn add_results(&mut self, client: &Client, run: &Run) -> Result<(), Error> {
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
                evidence: Evidence::Results { round, files },
            });
            return Ok(());
        }
        self.notes.push(format!(
            "{name} has no result files in s3://{}/{}",
            location.bucket, location.folder
        ));
        Ok(())
    }

    fn note_running(&mut self, execution: &Execution) {
        if !execution.status.is_closed() {
            self.running = Some(execution.name.clone());
            self.notes
                .push(format!("{} has not ended yet", execution.name));
        }
    }

    /// Bytes that gathering reads, about.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|it| it.shown().bytes).sum()
    }

    /// Reads all sources. `sorted` keeps what the lines are, to be written.
    pub async fn gather(
        &self,
        client: &Client,
        sorted: bool,
        meter: Meter,
    ) -> Result<Gathered, Error> {
        let tally = Tally::new(self.lines);
        let gathered = match sorted {
            true => Gathered::sorted(tally),
            false => Gathered::counted(tally),
        };
        let mut gathered = gathered.metered(meter);
        for (number, source) in (1..).zip(&self.sources) {
            gathered = match &source.evidence {
                Evidence::Results { files, .. } => {
                    gathered
                        .read_results(client, files, &self.shape, number)
                        .await?
                }
                Evidence::Output {
                    output,
                    failed,
                    lines,
                    own,
                } => {
                    let own: Option<Bits> = match own {
                        Some(only) => Some(numbers(client, only).await?),
                        None => None,
                    };
                    let previous = Previous {
                        output: output.pinned(),
                        failed: failed.as_ref().map(Version::pinned),
                        lines: *lines,
                    };
                    gathered
                        .read_previous(client, &previous, number, own.as_ref())
                        .await?
                }
            };
        }
        Ok(gathered)
    }
}

fn parsed(text: Option<&str>) -> Value {
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
            (json!({"value.$": "$$.Map.Item.Value"}), Shape::Unnumbered),
        ] {
            assert_eq!(shape(&json!({"ItemSelector": selector})), expected);
        }
        assert_eq!(shape(&json!({})), Shape::Unnumbered);
        let writer = |kind| json!({"ResultWriter": {"WriterConfig": {"Transformation": kind}}});
        assert!(has_records(&writer("NONE")) && has_records(&json!({})));
        assert!(!has_records(&writer("COMPACT")));
    }
}
