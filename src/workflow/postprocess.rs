//! Postprocess: the Map Run's result files to the output, in line order, and to the file of lines
//! that failed. Every line of the source ends up in exactly one of the two.
//!
//! The output is written last and says in its metadata which results it was made of, so a second
//! run that finds it there only finishes what is left: deleting the temporary files.

use std::collections::BTreeMap;
use std::io;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::client::{Client, ObjectWriter};
use crate::model::ObjectAddress;
use crate::workflow::Context;
use crate::workflow::error::{HandlerError, POSTPROCESS_INVALID_INPUT};
use crate::workflow::gather::{Counts, Gathered, ManifestAddress, on_disk};
use crate::workflow::payload::{FAILED_SUFFIX, Output, temporary_prefix};
use crate::workflow::sorter::{Outcome, Sorter};

/// Bytes of the output that are handed over at once.
const PIECE: usize = 256 << 10;
/// Items that a Distributed Map reads at most.
const MAX_LINES: u64 = 100_000_000;

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
        failed: (!complete).then(|| input.failed_address()),
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
    let gathered = Gathered::read(client, &input.manifest, input.lines).await?;
    let counts = gathered.counts()?;
    let metadata = metadata(input, counts);

    let mut failed = None;
    if counts.succeeded < counts.lines {
        failed = Some(open(client, &input.failed_address(), metadata.clone()).await?);
    }
    let mut output = open(client, &input.output_address(), metadata).await?;
    write_lines(gathered.into_sorter(), &mut output, failed.as_mut()).await?;

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
    use crate::workflow::sorter::{Entry, Rank};

    #[test]
    fn lines_come_out_in_order_each_in_one_file() {
        let mut sorter = Sorter::new(1 << 20);
        for (n, outcome, bytes) in [
            (2, Outcome::Failed, "{2}"),
            (4, Outcome::Succeeded, "d"),
            (1, Outcome::Succeeded, "a"),
            (3, Outcome::Failed, "{3}"),
            (3, Outcome::Succeeded, "c"),
            (5, Outcome::NeverStarted, "{5}"),
        ] {
            let rank = Rank {
                outcome,
                redrive: 0,
            };
            let bytes = bytes.as_bytes();
            sorter.push(Entry { n, rank, bytes });
        }
        let (mut output, mut failed) = (Vec::new(), Vec::new());
        let take = |piece| {
            match piece {
                Piece::Output(bytes) => output.extend(bytes),
                Piece::Failed(bytes) => failed.extend(bytes),
            }
            true
        };
        merge(sorter, take).unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), "a\nc\nd\n");
        assert_eq!(String::from_utf8(failed).unwrap(), "{2}\n{5}\n");
    }

    #[test]
    fn merging_ends_when_nobody_writes() {
        let mut sorter = Sorter::new(1 << 20);
        let rank = Rank {
            outcome: Outcome::Succeeded,
            redrive: 0,
        };
        for n in 1..=3 {
            let bytes = &vec![b'x'; PIECE];
            sorter.push(Entry { n, rank, bytes });
        }
        let mut pieces = 0;
        let take = |_| {
            pieces += 1;
            false
        };
        merge(sorter, take).unwrap();
        assert_eq!(pieces, 1);
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
