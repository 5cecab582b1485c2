//! Postprocess: the Map Run's result files to the output, in line order, and to the file of lines
//! that failed. Every line of the source ends up in exactly one of the two.
//!
//! The output is written last and says in its metadata which results it was made of, so a second
//! run that finds it there only finishes what is left: deleting the temporary files.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures::StreamExt;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::client::{Client, ObjectBody, ObjectWriter};
use crate::model::ObjectAddress;
use crate::workflow::Context;
use crate::workflow::error::{
    HandlerError, POSTPROCESS_INCOMPLETE, POSTPROCESS_INVALID_INPUT, POSTPROCESS_INVALID_RESULTS,
    POSTPROCESS_STORAGE,
};
use crate::workflow::payload::{FAILED_SUFFIX, Output, temporary_prefix};
use crate::workflow::records::{Records, read};
use crate::workflow::sorter::{Entry, Outcome, Sorter};

/// Bytes of results in memory before they go to disk.
const SORT_BUDGET: usize = 32 << 20;
/// Bytes of the output that are handed over at once.
const PIECE: usize = 256 << 10;
/// Bytes of a manifest: it lists files of gigabytes each.
const MAX_MANIFEST: usize = 4 << 20;
/// Items that a Distributed Map reads at most.
const MAX_LINES: u64 = 100_000_000;
/// How many missing lines a message names.
const NAMED_LINES: usize = 20;

/// S3 metadata is ASCII.
const NOT_IN_METADATA: &AsciiSet = &CONTROLS.add(b'%');

/// What the definition selects of the job and of the Map Run's result.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostprocessInput {
    execution: String,
    lines: u64,
    output: Output,
    manifest: ManifestAddress,
}

/// `ResultWriterDetails` of the Map Run.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestAddress {
    bucket: String,
    key: String,
}

/// The execution's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PostprocessOutput {
    output: ObjectAddress,
    /// Absent when every line succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_lines: Option<ObjectAddress>,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    lines: u64,
    succeeded: u64,
    failed: u64,
    never_started: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    destination_bucket: String,
    result_files: ResultFiles,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct ResultFiles {
    #[serde(default)]
    succeeded: Vec<ResultFile>,
    #[serde(default)]
    failed: Vec<ResultFile>,
    #[serde(default)]
    pending: Vec<ResultFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultFile {
    key: String,
}

/// Writes the output and, where every line succeeded, deletes the temporary files.
///
/// # Errors
/// `Postprocess.…`: see `error.rs`. The temporary files are there after any of them.
pub async fn postprocess(
    context: &Context,
    input: PostprocessInput,
) -> Result<PostprocessOutput, HandlerError> {
    let client = &context.client;
    input.check()?;
    let counts = match written_before(client, &input).await? {
        Some(counts) => counts,
        None => write(client, &input).await?,
    };
    let complete = counts.succeeded == counts.lines;
    if complete {
        // Whoever repairs the failed lines needs them; nobody needs them now.
        let prefix = temporary_prefix(&input.execution);
        delete_all(client, &input.output.bucket, &prefix).await?;
    }
    tracing::info!(
        execution = input.execution,
        succeeded = counts.succeeded,
        failed = counts.failed,
        "output written"
    );
    Ok(PostprocessOutput {
        output: input.output_address(),
        failed_lines: (!complete).then(|| input.failed_address()),
        counts,
    })
}

impl PostprocessInput {
    fn check(&self) -> Result<(), HandlerError> {
        let problem = if self.execution.is_empty() || self.execution.contains('/') {
            "execution is no execution's name"
        } else if !(1..=MAX_LINES).contains(&self.lines) {
            "lines must be from 1 to 100,000,000"
        } else {
            return Ok(());
        };
        Err(HandlerError::new(POSTPROCESS_INVALID_INPUT, problem))
    }

    fn output_address(&self) -> ObjectAddress {
        ObjectAddress::new(&self.output.bucket, &self.output.key)
    }

    fn failed_address(&self) -> ObjectAddress {
        let key = format!("{}{FAILED_SUFFIX}", self.output.key);
        ObjectAddress::new(&self.output.bucket, key)
    }

    /// What tells these results from all others: names of executions and Map Runs are unique.
    fn origin(&self) -> BTreeMap<String, String> {
        let ascii = |text: &str| utf8_percent_encode(text, NOT_IN_METADATA).to_string();
        BTreeMap::from([
            ("execution".into(), ascii(&self.execution)),
            ("manifest".into(), ascii(&self.manifest.key)),
        ])
    }
}

/// Metadata of the output: where it comes from and what is in it.
fn metadata(input: &PostprocessInput, counts: Counts) -> BTreeMap<String, String> {
    let mut metadata = input.origin();
    metadata.extend([
        ("lines".into(), counts.lines.to_string()),
        ("succeeded".into(), counts.succeeded.to_string()),
        ("failed".into(), counts.failed.to_string()),
        ("never-started".into(), counts.never_started.to_string()),
    ]);
    metadata
}

/// The counts of an output that was made of the same results.
fn counts_of(metadata: &BTreeMap<String, String>, input: &PostprocessInput) -> Option<Counts> {
    let same = input
        .origin()
        .iter()
        .all(|(key, value)| metadata.get(key) == Some(value));
    let count = |key| metadata.get(key).and_then(|text| text.parse().ok());
    let counts = Counts {
        lines: count("lines")?,
        succeeded: count("succeeded")?,
        failed: count("failed")?,
        never_started: count("never-started")?,
    };
    (same && counts.lines == input.lines).then_some(counts)
}

async fn written_before(
    client: &Client,
    input: &PostprocessInput,
) -> Result<Option<Counts>, HandlerError> {
    let found = client
        .head(&input.output_address())
        .await
        .map_err(HandlerError::postprocess)?;
    Ok(found.and_then(|(_, metadata)| counts_of(&metadata, input)))
}

async fn write(client: &Client, input: &PostprocessInput) -> Result<Counts, HandlerError> {
    let gathered = gather(client, input).await?;
    let counts = gathered.seen.counts()?;
    let metadata = metadata(input, counts);

    let mut failed = None;
    if counts.succeeded < counts.lines {
        failed = Some(open(client, &input.failed_address(), metadata.clone()).await?);
    }
    let mut output = open(client, &input.output_address(), metadata).await?;
    write_lines(gathered.sorter, &mut output, failed.as_mut()).await?;

    // The output comes last: once it is there, everything is.
    match failed {
        Some(failed) => drop(failed.finish().await.map_err(HandlerError::postprocess)?),
        None => delete(client, &input.failed_address()).await?,
    }
    output.finish().await.map_err(HandlerError::postprocess)?;
    Ok(counts)
}

async fn open(
    client: &Client,
    address: &ObjectAddress,
    metadata: BTreeMap<String, String>,
) -> Result<ObjectWriter, HandlerError> {
    client
        .write(address, metadata)
        .await
        .map_err(HandlerError::postprocess)
}

/// Removes what an earlier execution with the same output may have left.
async fn delete(client: &Client, address: &ObjectAddress) -> Result<(), HandlerError> {
    client
        .delete(&address.bucket, std::slice::from_ref(&address.key))
        .await
        .map_err(HandlerError::postprocess)
}

/// All results: which lines they are of, and what to write for each.
struct Gathered {
    seen: Seen,
    sorter: Sorter,
}

/// Reads the manifest and every result file that it lists.
async fn gather(client: &Client, input: &PostprocessInput) -> Result<Gathered, HandlerError> {
    let address = ObjectAddress::new(&input.manifest.bucket, &input.manifest.key);
    let manifest = read_manifest(client, &address).await?;
    let files = manifest.result_files;
    let mut gathered = Gathered {
        seen: Seen::new(input.lines),
        sorter: Sorter::new(SORT_BUDGET),
    };
    for file in [files.succeeded, files.failed, files.pending]
        .into_iter()
        .flatten()
    {
        let address = ObjectAddress::new(&manifest.destination_bucket, file.key);
        gathered = gathered.add_file(client, &address).await?;
    }
    Ok(gathered)
}

async fn read_manifest(client: &Client, address: &ObjectAddress) -> Result<Manifest, HandlerError> {
    let mut body = fetch(client, address).await?;
    let mut text = Vec::new();
    while let Some(chunk) = body.bytes.next().await {
        text.extend_from_slice(&chunk.map_err(HandlerError::postprocess)?);
        if text.len() > MAX_MANIFEST {
            return Err(unreadable(address, "is too large for a manifest"));
        }
    }
    serde_json::from_slice(&text).map_err(|_| unreadable(address, "is no manifest of a Map Run"))
}

async fn fetch(client: &Client, address: &ObjectAddress) -> Result<ObjectBody, HandlerError> {
    client
        .read(address, None, None)
        .await
        .map_err(HandlerError::postprocess)
}

fn unreadable(address: &ObjectAddress, problem: impl std::fmt::Display) -> HandlerError {
    HandlerError::new(
        POSTPROCESS_INVALID_RESULTS,
        format!("{address} cannot be read: {problem}"),
    )
}

impl Gathered {
    async fn add_file(
        mut self,
        client: &Client,
        address: &ObjectAddress,
    ) -> Result<Self, HandlerError> {
        let mut body = fetch(client, address).await?;
        let mut records = Records::default();
        while let Some(chunk) = body.bytes.next().await {
            let chunk: Bytes = chunk.map_err(HandlerError::postprocess)?;
            records
                .push(&chunk, &mut |record| self.add(record))
                .map_err(|problem| unreadable(address, problem))?;
            if self.sorter.is_full() {
                let sorter = self.sorter;
                self.sorter = on_disk(move || sorter.spill()).await?;
            }
        }
        records
            .finish()
            .map_err(|problem| unreadable(address, problem))?;
        Ok(self)
    }

    fn add(&mut self, record: &[u8]) -> Result<(), &'static str> {
        let kept = read(record)?;
        self.seen.note(kept.n, kept.rank.outcome)?;
        self.sorter.push(Entry {
            n: kept.n,
            rank: kept.rank,
            bytes: &kept.bytes,
        });
        Ok(())
    }
}

/// What became of each line, two bits a line.
struct Seen {
    lines: u64,
    /// Four lines a byte; 0 stands for a line that no record is of.
    quarters: Vec<u8>,
}

impl Seen {
    fn new(lines: u64) -> Self {
        Self {
            lines,
            quarters: vec![0; lines.div_ceil(4) as usize],
        }
    }

    /// Keeps the best outcome of line `n`.
    fn note(&mut self, n: u64, outcome: Outcome) -> Result<(), &'static str> {
        if n == 0 || n > self.lines {
            return Err("is of a line that the source does not have");
        }
        let (index, shift) = Self::place(n);
        let best = self.at(n).max(outcome as u8);
        self.quarters[index] &= !(0b11 << shift);
        self.quarters[index] |= best << shift;
        Ok(())
    }

    fn at(&self, n: u64) -> u8 {
        let (index, shift) = Self::place(n);
        (self.quarters[index] >> shift) & 0b11
    }

    /// Byte and bit of line `n`, which counts from 1.
    fn place(n: u64) -> (usize, u64) {
        (((n - 1) / 4) as usize, (n - 1) % 4 * 2)
    }

    /// # Errors
    /// `Postprocess.Incomplete` with the first missing lines.
    fn counts(&self) -> Result<Counts, HandlerError> {
        let mut by_outcome = [0_u64; 4];
        let mut missing = Vec::new();
        for n in 1..=self.lines {
            let outcome = self.at(n);
            by_outcome[usize::from(outcome)] += 1;
            if outcome == 0 && missing.len() < NAMED_LINES {
                missing.push(n.to_string());
            }
        }
        let [lost, never_started, failed, succeeded] = by_outcome;
        if lost > 0 {
            let more = if lost > NAMED_LINES as u64 {
                ", …"
            } else {
                ""
            };
            return Err(HandlerError::new(
                POSTPROCESS_INCOMPLETE,
                format!(
                    "{lost} of {} lines are in no result file: {}{more}; nothing was written or \
                     deleted",
                    self.lines,
                    missing.join(", ")
                ),
            ));
        }
        Ok(Counts {
            lines: self.lines,
            succeeded,
            failed,
            never_started,
        })
    }
}

/// Lines ready to be written.
enum Piece {
    Output(Vec<u8>),
    Failed(Vec<u8>),
}

/// Merges on a thread of its own, a few pieces ahead of the writing.
async fn write_lines(
    sorter: Sorter,
    output: &mut ObjectWriter,
    mut failed: Option<&mut ObjectWriter>,
) -> Result<(), HandlerError> {
    let (sender, mut pieces) = mpsc::channel(4);
    let merging = on_disk(move || merge(sorter, |piece| sender.blocking_send(piece).is_ok()));
    let writing = async {
        while let Some(piece) = pieces.recv().await {
            match (piece, &mut failed) {
                (Piece::Output(bytes), _) => output.write(&bytes).await,
                (Piece::Failed(bytes), Some(failed)) => failed.write(&bytes).await,
                (Piece::Failed(_), None) => Ok(()),
            }
            .map_err(HandlerError::postprocess)?;
        }
        Ok(())
    };
    // The first error ends both: a dropped receiver stops the merging.
    futures::future::try_join(merging, writing).await?;
    Ok(())
}

/// Hands the lines in order to `take` until it answers false.
fn merge(sorter: Sorter, mut take: impl FnMut(Piece) -> bool) -> io::Result<()> {
    let mut merged = sorter.merge()?;
    let mut output = Vec::with_capacity(PIECE);
    let mut failed = Vec::new();
    while let Some(entry) = merged.next()? {
        let (lines, piece): (_, fn(Vec<u8>) -> Piece) = match entry.rank.outcome {
            Outcome::Succeeded => (&mut output, Piece::Output),
            Outcome::Failed | Outcome::NeverStarted => (&mut failed, Piece::Failed),
        };
        lines.extend_from_slice(entry.bytes);
        lines.push(b'\n');
        if lines.len() >= PIECE {
            let full = std::mem::replace(lines, Vec::with_capacity(PIECE));
            if !take(piece(full)) {
                return Ok(());
            }
        }
    }
    if take(Piece::Output(output)) {
        take(Piece::Failed(failed));
    }
    Ok(())
}

/// Runs what waits for the disk on a thread that may wait.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, HandlerError> {
    let trouble = |problem: String| {
        HandlerError::new(
            POSTPROCESS_STORAGE,
            format!("sorting the results on the local disk failed: {problem}; make room in TMPDIR"),
        )
    };
    match spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(problem)) => Err(trouble(problem.to_string())),
        Err(problem) => Err(trouble(problem.to_string())),
    }
}

/// Deletes every object under `prefix`.
async fn delete_all(client: &Client, bucket: &str, prefix: &str) -> Result<(), HandlerError> {
    let mut token = None;
    loop {
        let page = client
            .objects(bucket, prefix, token)
            .await
            .map_err(HandlerError::postprocess)?;
        let keys: Vec<String> = page.items.into_iter().map(|it| it.address.key).collect();
        if !keys.is_empty() {
            client
                .delete(bucket, &keys)
                .await
                .map_err(HandlerError::postprocess)?;
        }
        token = page.next;
        if token.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn gathered(lines: u64, budget: usize) -> Gathered {
        Gathered {
            seen: Seen::new(lines),
            sorter: Sorter::new(budget),
        }
    }

    fn success(n: u64, line: &str) -> Value {
        let output = json!({"n": n, "line": line}).to_string();
        json!({"Status": "SUCCEEDED", "Output": output, "RedriveCount": 0})
    }

    fn failure(n: u64) -> Value {
        let input = json!({"n": n, "line": "in"}).to_string();
        json!({"Status": "FAILED", "Input": input, "Error": "Worker.Rejected", "Cause": "no"})
    }

    fn add(gathered: &mut Gathered, record: &Value) -> Result<(), &'static str> {
        gathered.add(&serde_json::to_vec(record).unwrap())
    }

    /// Text of the output and of the failed lines.
    fn texts(gathered: Gathered) -> (String, String) {
        let (mut output, mut failed) = (Vec::new(), Vec::new());
        merge(gathered.sorter, |piece| {
            match piece {
                Piece::Output(bytes) => output.extend(bytes),
                Piece::Failed(bytes) => failed.extend(bytes),
            }
            true
        })
        .unwrap();
        (
            String::from_utf8(output).unwrap(),
            String::from_utf8(failed).unwrap(),
        )
    }

    #[test]
    fn lines_come_out_in_order_each_in_one_file() {
        for budget in [1, 1 << 20] {
            let mut gathered = gathered(4, budget);
            for record in [
                failure(2),
                success(4, "d"),
                success(1, "a"),
                failure(3),
                success(3, "c"),
            ] {
                add(&mut gathered, &record).unwrap();
            }
            let counts = gathered.seen.counts().unwrap();
            assert_eq!(
                (counts.succeeded, counts.failed, counts.never_started),
                (3, 1, 0)
            );
            let (output, failed) = texts(gathered);
            assert_eq!(output, "a\nc\nd\n");
            let expected =
                r#"{"n":2,"line":"in","status":"FAILED","error":"Worker.Rejected","cause":"no"}"#;
            assert_eq!(failed, format!("{expected}\n"));
        }
    }

    #[test]
    fn missing_lines_are_named() {
        let mut gathered = gathered(50, 1 << 20);
        add(&mut gathered, &success(2, "b")).unwrap();
        let error = gathered.seen.counts().unwrap_err();
        assert_eq!(error.name, POSTPROCESS_INCOMPLETE);
        let expected = "49 of 50 lines are in no result file: 1, 3, 4,";
        assert!(error.message.starts_with(expected), "{}", error.message);
        assert!(error.message.contains("20, 21, …;"), "{}", error.message);
    }

    #[test]
    fn a_line_that_the_source_does_not_have_is_refused() {
        let mut gathered = gathered(5, 1 << 20);
        add(&mut gathered, &success(5, "")).unwrap();
        assert!(add(&mut gathered, &success(6, "")).is_err());
        assert!(add(&mut gathered, &success(0, "")).is_err());
    }

    fn input() -> PostprocessInput {
        serde_json::from_value(json!({
            "execution": "läufe-1",
            "lines": 7,
            "output": {"bucket": "b", "key": "o/a.csv", "line": "{line}"},
            "manifest": {"Bucket": "b", "Key": "runs/läufe-1/results/6d3/manifest.json"},
        }))
        .unwrap()
    }

    #[test]
    fn an_output_is_recognised_by_execution_and_map_run() {
        let counts = Counts {
            lines: 7,
            succeeded: 5,
            failed: 1,
            never_started: 1,
        };
        let metadata = metadata(&input(), counts);
        assert!(metadata.values().all(|value| value.is_ascii()));
        assert_eq!(counts_of(&metadata, &input()), Some(counts));

        let mut other = input();
        other.manifest.key = "runs/läufe-1/results/7e4/manifest.json".into();
        assert_eq!(counts_of(&metadata, &other), None);
        let mut other = input();
        other.lines = 8;
        assert_eq!(counts_of(&metadata, &other), None);
        assert_eq!(counts_of(&BTreeMap::new(), &input()), None);
    }

    #[test]
    fn the_output_names_the_failed_lines_only_where_there_are_some() {
        let counts = Counts {
            lines: 7,
            succeeded: 7,
            failed: 0,
            never_started: 0,
        };
        let output = PostprocessOutput {
            output: input().output_address(),
            failed_lines: None,
            counts,
        };
        assert_eq!(
            serde_json::to_value(output).unwrap(),
            json!({"output": {"bucket": "b", "key": "o/a.csv"},
                   "lines": 7, "succeeded": 7, "failed": 0, "neverStarted": 0})
        );
    }

    #[test]
    fn an_execution_without_a_name_deletes_nothing() {
        for name in ["", "a/b"] {
            let mut input = input();
            input.execution = name.into();
            assert_eq!(input.check().unwrap_err().name, POSTPROCESS_INVALID_INPUT);
        }
    }

    #[test]
    fn a_manifest_may_leave_out_what_is_empty() {
        let text = r#"{"DestinationBucket":"b","MapRunArn":"x","ResultFiles":{"SUCCEEDED":[{"Key":"k","Size":1}]}}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.result_files.succeeded[0].key, "k");
        assert!(
            manifest.result_files.failed.is_empty() && manifest.result_files.pending.is_empty()
        );
    }
}
