//! Postprocess: the Map Run's result files to the output, in line order, and to the file of lines
//! that failed. Every line of the source ends up in exactly one of the two.
//!
//! A re-run may be merged with an earlier output: its lines take their places among those that are
//! there, in a new output with a file of failed lines of its own.
//!
//! The output is written last and says in its metadata which results it was made of, so a second
//! run that finds it there only finishes what is left: deleting the temporary files.

use std::collections::BTreeMap;

use futures::StreamExt;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::client::{Client, ObjectWriter};
use crate::lines::{
    Counts, Gathered, MAX_LINES, Previous, Results, Shape, Tally, numbers, result_files, shown,
};
use crate::model::ObjectAddress;
use crate::workflow::Context;
use crate::workflow::error::{HandlerError, POSTPROCESS_INCOMPLETE, POSTPROCESS_INVALID_INPUT};
use crate::workflow::payload::{Merge, Output, Version, temporary_prefix};

/// How many stretches of missing lines a message names.
const NAMED_STRETCHES: usize = 20;

/// S3 metadata is ASCII.
const NOT_IN_METADATA: &AsciiSet = &CONTROLS.add(b'%');

/// What the definition selects of the job and of the Map Run's result.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostprocessInput {
    execution: String,
    /// How many ran.
    lines: u64,
    /// The lines that ran, with their numbers.
    #[serde(default)]
    items: Option<ObjectAddress>,
    /// Whether they are but some of a file's.
    #[serde(default)]
    chosen: bool,
    /// What their results are merged with.
    #[serde(default)]
    merge: Option<Merge>,
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
pub struct PostprocessOutput {
    output: ObjectAddress,
    /// The lines that are not in the output; absent when all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<ObjectAddress>,
    counts: Counts,
}

/// Writes the output and, where every line succeeded, deletes the temporary files.
///
/// # Errors
/// `Postprocess.…`: see `error.rs`. Nothing is deleted before the output is complete.
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
    if input.merge.is_some() {
        settle_failed(client, &input, complete).await?;
    }
    if complete && input.output_tells_lines() {
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
        failed: (!complete).then(|| input.output.failed_address()),
        counts,
    })
}

impl PostprocessInput {
    fn check(&self) -> Result<(), HandlerError> {
        let problem = if self.execution.is_empty() || self.execution.contains('/') {
            "execution is no execution's name"
        } else if !(1..=MAX_LINES).contains(&self.total()) {
            "lines must be from 1 to 100,000,000"
        } else if self.chosen && self.items.is_none() {
            "items are missing"
        } else if !self.chosen && self.merge.is_some() {
            "merge is for chosen lines"
        } else {
            return Ok(());
        };
        Err(HandlerError::new(POSTPROCESS_INVALID_INPUT, problem))
    }

    /// Lines of output and failed lines together.
    fn total(&self) -> u64 {
        self.merge.as_ref().map_or(self.lines, |merge| merge.lines)
    }

    /// Whether each line's number follows from its place in the output. The results of chosen
    /// lines alone are the only record of which ones they are.
    fn output_tells_lines(&self) -> bool {
        !self.chosen || self.merge.is_some()
    }

    fn output_address(&self) -> ObjectAddress {
        ObjectAddress::new(&self.output.bucket, &self.output.key)
    }

    /// Where the file of failed lines is written first. That of a merged output may take the place
    /// of one that is read, so it is put there only when it is no longer needed.
    fn failed_first(&self) -> ObjectAddress {
        match self.merge {
            None => self.output.failed_address(),
            Some(_) => {
                let prefix = temporary_prefix(&self.execution);
                ObjectAddress::new(&self.output.bucket, format!("{prefix}failed.jsonl"))
            }
        }
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
    (same && counts.lines == input.total()).then_some(counts)
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
    let counts = gathered.tally().counts();
    let metadata = metadata(input, counts);

    let mut failed = None;
    if counts.succeeded < counts.lines {
        failed = Some(open(client, &input.failed_first(), metadata.clone()).await?);
    }
    let mut output = open(client, &input.output_address(), metadata).await?;
    gathered
        .write(&mut output, failed.as_mut())
        .await
        .map_err(HandlerError::gathering)?;

    // The output comes last: once it is there, everything is.
    match failed {
        Some(failed) => drop(failed.finish().await.map_err(HandlerError::postprocess)?),
        // What an earlier execution with the same output may have left.
        None => delete(client, &input.failed_first()).await?,
    }
    output.finish().await.map_err(HandlerError::postprocess)?;
    Ok(counts)
}

/// Everything known of the lines: the Map Run's results, in a merge with those before them.
///
/// # Errors
/// `Postprocess.Incomplete` when a line that ran is in no result file.
async fn gather(client: &Client, input: &PostprocessInput) -> Result<Gathered, HandlerError> {
    let tally = match &input.items {
        Some(items) if input.chosen => {
            let chosen = numbers(client, items).await;
            Tally::of(chosen.map_err(HandlerError::gathering)?)
        }
        _ => Tally::new(input.lines),
    };
    let manifest = ObjectAddress::new(&input.manifest.bucket, &input.manifest.key);
    let files = result_files(client, &manifest).await;
    let files = files.map_err(HandlerError::gathering)?;
    let gathered = Gathered::sorted(tally)
        .read_results(client, Results::of(&files, &Shape::Ours), 1)
        .await
        .map_err(HandlerError::gathering)?;
    check_complete(gathered.tally())?;
    let Some(merge) = &input.merge else {
        return Ok(gathered);
    };
    let (output, failed) = (merge.output.address(), merge.failed.as_ref());
    let failed = failed.map(|failed| (failed.address(), failed.etag.as_str()));
    let previous = Previous {
        output: (&output, &merge.output.etag),
        failed: failed.as_ref().map(|(address, etag)| (address, *etag)),
        lines: merge.lines,
    };
    let widened = gathered.widened(merge.lines);
    let gathered = widened.map_err(HandlerError::gathering)?;
    let gathered = gathered.read_previous(client, &previous, 0, None).await;
    gathered.map_err(HandlerError::gathering)
}

/// # Errors
/// `Postprocess.Incomplete` with the first missing lines.
fn check_complete(tally: &Tally) -> Result<(), HandlerError> {
    let counts = tally.counts();
    let missing = counts.missing();
    if missing == 0 {
        return Ok(());
    }
    let named = tally.with(None, NAMED_STRETCHES);
    let all = named
        .iter()
        .map(|it| it.end() - it.start() + 1)
        .sum::<u64>()
        == missing;
    let more = if all { "" } else { ", …" };
    Err(HandlerError::new(
        POSTPROCESS_INCOMPLETE,
        format!(
            "{missing} of {} lines are in no result file: {}{more}; nothing was written or deleted",
            counts.lines,
            shown(&named)
        ),
    ))
}

/// Puts the failed lines of a merged output beside it, or takes away those that are there.
async fn settle_failed(
    client: &Client,
    input: &PostprocessInput,
    complete: bool,
) -> Result<(), HandlerError> {
    let to = input.output.failed_address();
    if complete {
        return delete(client, &to).await;
    }
    let from = client.read(&input.failed_first(), None, None).await;
    let mut from = from.map_err(HandlerError::postprocess)?;
    let mut writer = open(client, &to, from.metadata).await?;
    while let Some(chunk) = from.bytes.next().await {
        let chunk = chunk.map_err(HandlerError::postprocess)?;
        let written = writer.write(&chunk).await;
        written.map_err(HandlerError::postprocess)?;
    }
    drop(writer.finish().await.map_err(HandlerError::postprocess)?);
    Ok(())
}

impl Version {
    fn address(&self) -> ObjectAddress {
        ObjectAddress::new(&self.bucket, &self.key)
    }
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

async fn delete(client: &Client, address: &ObjectAddress) -> Result<(), HandlerError> {
    client
        .delete(&address.bucket, std::slice::from_ref(&address.key))
        .await
        .map_err(HandlerError::postprocess)
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
    use serde_json::json;

    use super::*;
    use crate::lines::Outcome;

    #[test]
    fn missing_lines_are_named() {
        let mut tally = Tally::new(90);
        for n in 1..=45 {
            tally.note(2 * n, Outcome::Succeeded).unwrap();
        }
        let error = check_complete(&tally).unwrap_err();
        assert_eq!(error.name, POSTPROCESS_INCOMPLETE);
        let expected = "45 of 90 lines are in no result file: 1, 3, 5,";
        assert!(error.message.starts_with(expected), "{}", error.message);
        assert!(error.message.contains("37, 39, …;"), "{}", error.message);
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
            failed: None,
            counts,
        };
        assert_eq!(
            serde_json::to_value(output).unwrap(),
            json!({"output": {"bucket": "b", "key": "o/a.csv"},
                   "counts": {"lines": 7, "succeeded": 7, "failed": 0, "neverStarted": 0}})
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
}
