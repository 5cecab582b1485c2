//! The results of a Map Run, all of them: how each line ended, and what is to be written of it.

use std::io;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::client::{Client, ObjectBody};
use crate::model::ObjectAddress;
use crate::workflow::error::{
    HandlerError, POSTPROCESS_INCOMPLETE, POSTPROCESS_INVALID_RESULTS, POSTPROCESS_STORAGE,
};
use crate::workflow::records::{self, Records};
use crate::workflow::sorter::{Entry, Outcome, Sorter};

/// Bytes of results in memory before they go to disk.
const SORT_BUDGET: usize = 32 << 20;
/// Bytes of a manifest: it lists files of gigabytes each.
const MAX_MANIFEST: usize = 4 << 20;
/// How many missing lines a message names.
const NAMED_LINES: usize = 20;

/// `ResultWriterDetails` of the Map Run.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManifestAddress {
    pub bucket: String,
    pub key: String,
}

/// How many lines came to what end; the last three add up to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub lines: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub never_started: u64,
}

/// All results: which lines they are of, and what to write for each.
pub struct Gathered {
    seen: Seen,
    sorter: Sorter,
}

impl Gathered {
    /// Reads the manifest and every result file that it lists. The source has `lines` lines.
    ///
    /// # Errors
    /// `Postprocess.InvalidResults` for files that no Map Run of ours writes, and storage's.
    pub async fn read(
        client: &Client,
        manifest: &ManifestAddress,
        lines: u64,
    ) -> Result<Self, HandlerError> {
        let address = ObjectAddress::new(&manifest.bucket, &manifest.key);
        let manifest = read_manifest(client, &address).await?;
        let files = manifest.result_files;
        let mut gathered = Self::new(lines, SORT_BUDGET);
        for file in [files.succeeded, files.failed, files.pending]
            .into_iter()
            .flatten()
        {
            let address = ObjectAddress::new(&manifest.destination_bucket, file.key);
            gathered = gathered.add_file(client, &address).await?;
        }
        Ok(gathered)
    }

    fn new(lines: u64, budget: usize) -> Self {
        Self {
            seen: Seen::new(lines),
            sorter: Sorter::new(budget),
        }
    }

    /// # Errors
    /// `Postprocess.Incomplete` with the first lines that no result is of.
    pub fn counts(&self) -> Result<Counts, HandlerError> {
        self.seen.counts()
    }

    /// What to write, each line once.
    pub fn into_sorter(self) -> Sorter {
        self.sorter
    }

    async fn add_file(
        mut self,
        client: &Client,
        address: &ObjectAddress,
    ) -> Result<Self, HandlerError> {
        let mut body = fetch(client, address).await?;
        let mut records = Records::default();
        while let Some(chunk) = body.bytes.next().await {
            let chunk = chunk.map_err(HandlerError::postprocess)?;
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
        let kept = records::read(record)?;
        self.seen.note(kept.n, kept.rank.outcome)?;
        self.sorter.push(Entry {
            n: kept.n,
            rank: kept.rank,
            bytes: &kept.bytes,
        });
        Ok(())
    }
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

/// Runs what waits for the disk on a thread that may wait.
pub async fn on_disk<T: Send + 'static>(
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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

    #[test]
    fn missing_lines_are_named() {
        let mut gathered = Gathered::new(50, 1 << 20);
        add(&mut gathered, &success(2, "b")).unwrap();
        let error = gathered.counts().unwrap_err();
        assert_eq!(error.name, POSTPROCESS_INCOMPLETE);
        let expected = "49 of 50 lines are in no result file: 1, 3, 4,";
        assert!(error.message.starts_with(expected), "{}", error.message);
        assert!(error.message.contains("20, 21, …;"), "{}", error.message);
    }

    #[test]
    fn a_line_that_the_source_does_not_have_is_refused() {
        let mut gathered = Gathered::new(5, 1 << 20);
        add(&mut gathered, &success(5, "")).unwrap();
        assert!(add(&mut gathered, &success(6, "")).is_err());
        assert!(add(&mut gathered, &success(0, "")).is_err());
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

    #[test]
    fn the_best_outcome_of_a_line_counts() {
        let mut gathered = Gathered::new(4, 1 << 20);
        let pending = json!({"Status": "PENDING", "Input": "{\"n\":4,\"line\":\"\"}"});
        for record in [
            failure(2),
            success(1, "a"),
            failure(1),
            success(3, "c"),
            pending,
            success(3, "c"),
        ] {
            add(&mut gathered, &record).unwrap();
        }
        let expected = Counts {
            lines: 4,
            succeeded: 2,
            failed: 1,
            never_started: 1,
        };
        assert_eq!(gathered.counts().unwrap(), expected);
    }
}
