//! What became of the lines, gathered from result files and outputs, and what is to be written of
//! it, in the order of the lines.

use std::io;

use futures::StreamExt;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::client::{Client, ErrorKind, ObjectBody, ObjectWriter};
use crate::lines::records::{self, Records};
use crate::lines::sorter::{Entry, Outcome, Rank, Sorter};
use crate::lines::{Bits, Error, FailedLine, Line, Lines, MAX_LINES, Tally, on_disk};
use crate::model::ObjectAddress;

/// Bytes of results in memory before they go to disk.
const SORT_BUDGET: usize = 32 << 20;
/// Bytes of a manifest: it lists files of gigabytes each.
const MAX_MANIFEST: usize = 4 << 20;
/// Bytes of an output line: a state returns at most 256 KiB.
const MAX_OUTPUT_LINE: usize = 1 << 20;
/// Bytes of a failed line as JSON: input and cause are at most 256 KiB each, before escaping.
const MAX_FAILED_LINE: usize = 8 << 20;
/// Bytes of the output that are handed over at once.
const PIECE: usize = 256 << 10;

/// `ResultWriterDetails` of a Map Run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManifestAddress {
    pub bucket: String,
    pub key: String,
}

/// An output that was written before: the lines that succeeded, in order, one line each.
#[derive(Debug, Clone, Copy)]
pub struct Previous<'a> {
    pub output: Pinned<'a>,
    /// The lines that are not in `output`; `None` when all are.
    pub failed: Option<Pinned<'a>>,
    /// Lines in the two together.
    pub lines: u64,
}

/// An object as it was at one time.
pub type Pinned<'a> = (&'a ObjectAddress, &'a str);

/// All that is known of the lines: how each ended, and what to write for it.
pub struct Gathered {
    tally: Tally,
    sorter: Sorter,
}

impl Gathered {
    pub fn new(tally: Tally) -> Self {
        Self {
            tally,
            sorter: Sorter::new(SORT_BUDGET),
        }
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Reads the manifest and every result file that it lists. Of two sources the greater counts
    /// where a line ended in the same way in both.
    ///
    /// # Errors
    /// `Malformed` for files that no Map Run of ours writes.
    pub async fn read_results(
        mut self,
        client: &Client,
        manifest: &ManifestAddress,
        source: u16,
    ) -> Result<Self, Error> {
        let address = ObjectAddress::new(&manifest.bucket, &manifest.key);
        let manifest = read_manifest(client, &address).await?;
        let files = manifest.result_files;
        for file in [files.succeeded, files.failed, files.pending]
            .into_iter()
            .flatten()
        {
            let address = ObjectAddress::new(&manifest.destination_bucket, file.key);
            self = self.add_file(client, &address, source).await?;
        }
        Ok(self)
    }

    async fn add_file(
        mut self,
        client: &Client,
        address: &ObjectAddress,
        source: u16,
    ) -> Result<Self, Error> {
        let unreadable = |problem| Error::malformed(address, problem);
        let mut body = client.read(address, None, None).await?;
        let mut records = Records::default();
        while let Some(chunk) = body.bytes.next().await {
            records
                .push(&chunk?, &mut |record| self.add_record(record, source))
                .map_err(unreadable)?;
            self = self.spilled().await?;
        }
        records.finish().map_err(unreadable)?;
        Ok(self)
    }

    fn add_record(&mut self, record: &[u8], source: u16) -> Result<(), &'static str> {
        let kept = records::read(record, source)?;
        self.tally.note(kept.n, kept.rank.outcome)?;
        self.sorter.push(Entry {
            n: kept.n,
            rank: kept.rank,
            bytes: &kept.bytes,
        });
        Ok(())
    }

    /// Adds an output that was written before everything known so far, as source 0: what its lines
    /// are follows from the numbers of those that failed. The lines are then those of `previous`.
    ///
    /// # Errors
    /// `Mismatch` when output and failed lines are not as many as there should be, or when one of
    /// the two has been overwritten.
    pub async fn read_previous(
        self,
        client: &Client,
        previous: &Previous<'_>,
    ) -> Result<Self, Error> {
        let mut tally = Tally::new(previous.lines);
        tally.absorb(&self.tally).map_err(|problem| {
            Error::Mismatch(format!(
                "a result {problem}: it has {} lines",
                previous.lines
            ))
        })?;
        let mut this = Self { tally, ..self };
        let mut open = Bits::default();
        if let Some(failed) = previous.failed {
            this = this.read_failed(client, failed, &mut open).await?;
        }
        this.read_output(client, previous, &open).await
    }

    /// Reads the lines that failed, and puts their numbers into `open`.
    async fn read_failed(
        mut self,
        client: &Client,
        failed: Pinned<'_>,
        open: &mut Bits,
    ) -> Result<Self, Error> {
        let mut body = read_pinned(client, failed).await?;
        let mut lines = Lines::verbatim(MAX_FAILED_LINE);
        let mut problem = None;
        let mut take = |this: &mut Self, number: u64, line: Line<'_>| {
            let added = match line {
                Line::TooLong => Err("is too long"),
                Line::Bytes(bytes) => this.add_failed(bytes, open),
            };
            if let (Err(reason), None) = (added, &problem) {
                problem = Some(format!("line {number} {reason}"));
            }
        };
        while let Some(chunk) = body.bytes.next().await {
            lines.push(&chunk?, &mut |number, line| take(&mut self, number, line));
            self = self.spilled().await?;
        }
        lines.finish(&mut |number, line| take(&mut self, number, line));
        match problem {
            Some(problem) => Err(Error::malformed(failed.0, problem)),
            None => Ok(self),
        }
    }

    fn add_failed(&mut self, json: &[u8], open: &mut Bits) -> Result<(), &'static str> {
        let failed: FailedLine =
            serde_json::from_slice(json).map_err(|_| "is no line that failed")?;
        let outcome = records::unsuccessful(&failed.status).ok_or("has an unknown status")?;
        self.tally.note(failed.n, outcome)?;
        if !open.insert(failed.n) {
            return Err("has the number of a line before it");
        }
        let rank = Rank {
            outcome,
            source: 0,
            redrive: 0,
        };
        self.sorter.push(Entry {
            n: failed.n,
            rank,
            bytes: json,
        });
        Ok(())
    }

    async fn read_output(
        mut self,
        client: &Client,
        previous: &Previous<'_>,
        open: &Bits,
    ) -> Result<Self, Error> {
        let address = previous.output.0;
        let mut body = read_pinned(client, previous.output).await?;
        let mut lines = Lines::verbatim(MAX_OUTPUT_LINE);
        let mut numbers = (1..=previous.lines).filter(|n| !open.contains(*n));
        let mut too_long = None;
        let mut take = |this: &mut Self, number: u64, line: Line<'_>| match (line, numbers.next()) {
            (Line::Bytes(bytes), Some(n)) => this.add_output(n, bytes),
            (Line::TooLong, _) => too_long = too_long.or(Some(number)),
            // Too many are counted, and told at the end.
            (Line::Bytes(_), None) => {}
        };
        while let Some(chunk) = body.bytes.next().await {
            lines.push(&chunk?, &mut |number, line| take(&mut self, number, line));
            self = self.spilled().await?;
        }
        let count = lines.finish(&mut |number, line| take(&mut self, number, line));
        if let Some(number) = too_long {
            let problem = format!("line {number} is longer than 1 MiB");
            return Err(Error::malformed(address, problem));
        }
        let expected = previous.lines - open.count();
        if count == expected {
            return Ok(self);
        }
        Err(Error::Mismatch(format!(
            "{address} has {count} lines, but {expected} of its {} lines have not failed{}",
            previous.lines,
            match previous.failed {
                Some((failed, _)) => format!(" according to {failed}"),
                None => ": no file of failed lines is known".to_owned(),
            }
        )))
    }

    fn add_output(&mut self, n: u64, bytes: &[u8]) {
        let outcome = Outcome::Succeeded;
        let rank = Rank {
            outcome,
            source: 0,
            redrive: 0,
        };
        // The number is one of those that the tally was made for.
        if self.tally.note(n, outcome).is_ok() {
            self.sorter.push(Entry { n, rank, bytes });
        }
    }

    /// The same with what fills the memory on disk.
    async fn spilled(mut self) -> Result<Self, Error> {
        if self.sorter.is_full() {
            let sorter = self.sorter;
            self.sorter = on_disk(move || sorter.spill()).await?;
        }
        Ok(self)
    }

    /// Writes the lines that succeeded to `output` and the others to `failed`, each in order.
    /// Merges on a thread of its own, a few pieces ahead of the writing.
    pub async fn write(
        self,
        output: &mut ObjectWriter,
        mut failed: Option<&mut ObjectWriter>,
    ) -> Result<(), Error> {
        let (sender, mut pieces) = mpsc::channel(4);
        let sorter = self.sorter;
        let merging = on_disk(move || merge(sorter, |piece| sender.blocking_send(piece).is_ok()));
        let writing = async {
            while let Some(piece) = pieces.recv().await {
                match (piece, &mut failed) {
                    (Piece::Output(bytes), _) => output.write(&bytes).await?,
                    (Piece::Failed(bytes), Some(failed)) => failed.write(&bytes).await?,
                    (Piece::Failed(_), None) => {}
                }
            }
            Ok(())
        };
        // The first error ends both: a dropped receiver stops the merging.
        futures::future::try_join(merging, writing).await?;
        Ok(())
    }
}

/// The numbers in a file of items, JSON Lines with `n`.
///
/// # Errors
/// `Malformed` with the line that has none.
pub async fn numbers(client: &Client, items: &ObjectAddress) -> Result<Bits, Error> {
    #[derive(Deserialize)]
    struct Numbered {
        n: u64,
    }
    let mut found = Bits::default();
    let mut bad = None;
    let mut take = |number: u64, line: Line<'_>| {
        let item: Option<Numbered> = match line {
            Line::Bytes(bytes) => serde_json::from_slice(bytes).ok(),
            Line::TooLong => None,
        };
        match item.filter(|item| (1..=MAX_LINES).contains(&item.n)) {
            Some(item) => drop(found.insert(item.n)),
            None => bad = bad.or(Some(number)),
        }
    };
    let mut lines = Lines::verbatim(MAX_FAILED_LINE);
    let mut body = client.read(items, None, None).await?;
    while let Some(chunk) = body.bytes.next().await {
        lines.push(&chunk?, &mut take);
    }
    lines.finish(&mut take);
    match bad {
        Some(number) => Err(Error::malformed(
            items,
            format!("line {number} has no number"),
        )),
        None => Ok(found),
    }
}

async fn read_pinned(client: &Client, pinned: Pinned<'_>) -> Result<ObjectBody, Error> {
    let (address, etag) = pinned;
    let opened = client.read(address, None, Some(etag)).await;
    opened.map_err(|error| match error.kind {
        ErrorKind::Conflict(_) => {
            Error::Mismatch(format!("{address} has been overwritten meanwhile"))
        }
        _ => error.into(),
    })
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

async fn read_manifest(client: &Client, address: &ObjectAddress) -> Result<Manifest, Error> {
    let mut body = client.read(address, None, None).await?;
    let mut text = Vec::new();
    while let Some(chunk) = body.bytes.next().await {
        text.extend_from_slice(&chunk?);
        if text.len() > MAX_MANIFEST {
            return Err(Error::malformed(address, "is too large for a manifest"));
        }
    }
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|_| Error::malformed(address, "is no manifest of a Map Run"))?;
    match manifest.stray(address) {
        Some(stray) => {
            let problem = format!("it names {stray}, which is outside its folder");
            Err(Error::malformed(address, problem))
        }
        None => Ok(manifest),
    }
}

impl Manifest {
    /// A file that no Map Run would have written for this manifest. Those of redrives are in
    /// folders of the first one's.
    fn stray(&self, address: &ObjectAddress) -> Option<ObjectAddress> {
        let own = address
            .key
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let folder = match own.rsplit_once('/') {
            Some((first, last)) if last.starts_with("Redrive-") => first,
            _ => own,
        };
        let files = &self.result_files;
        let mut all = [&files.succeeded, &files.failed, &files.pending]
            .into_iter()
            .flatten();
        let is_stray = |file: &&ResultFile| {
            let below = file.key.strip_prefix(folder);
            !below.is_some_and(|rest| rest.starts_with('/'))
                || self.destination_bucket != address.bucket
        };
        let stray = all.find(is_stray)?;
        Some(ObjectAddress::new(&self.destination_bucket, &stray.key))
    }
}

/// Lines ready to be written.
enum Piece {
    Output(Vec<u8>),
    Failed(Vec<u8>),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rank(outcome: Outcome) -> Rank {
        Rank {
            outcome,
            source: 0,
            redrive: 0,
        }
    }

    fn written(sorter: Sorter) -> (String, String) {
        let (mut output, mut failed) = (Vec::new(), Vec::new());
        let take = |piece| {
            match piece {
                Piece::Output(bytes) => output.extend(bytes),
                Piece::Failed(bytes) => failed.extend(bytes),
            }
            true
        };
        merge(sorter, take).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output), text(failed))
    }

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
            let (rank, bytes) = (rank(outcome), bytes.as_bytes());
            sorter.push(Entry { n, rank, bytes });
        }
        let (output, failed) = written(sorter);
        assert_eq!(
            (output.as_str(), failed.as_str()),
            ("a\nc\nd\n", "{2}\n{5}\n")
        );
    }

    #[test]
    fn merging_ends_when_nobody_writes() {
        let mut sorter = Sorter::new(1 << 20);
        let rank = rank(Outcome::Succeeded);
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

    fn add(gathered: &mut Gathered, record: &Value) -> Result<(), &'static str> {
        gathered.add_record(&serde_json::to_vec(record).unwrap(), 1)
    }

    fn success(n: u64, line: &str) -> Value {
        let output = json!({"n": n, "line": line}).to_string();
        json!({"Status": "SUCCEEDED", "Output": output, "RedriveCount": 0})
    }

    fn failure(n: u64) -> Value {
        let input = json!({"n": n, "line": "new"}).to_string();
        json!({"Status": "FAILED", "Input": input, "Error": "Worker.Rejected", "Cause": "no"})
    }

    #[test]
    fn a_line_that_the_source_does_not_have_is_refused() {
        let mut gathered = Gathered::new(Tally::new(5));
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
    fn a_manifest_names_files_of_its_own_folder_only() {
        let stray = |bucket: &str, file: &str| {
            let manifest: Manifest = serde_json::from_value(json!({"DestinationBucket": bucket,
                "ResultFiles": {"SUCCEEDED": [{"Key": file}]}}))
            .unwrap();
            let address = ObjectAddress::new("b", "runs/6d/Redrive-2/manifest.json");
            manifest.stray(&address).is_some()
        };
        assert!(!stray("b", "runs/6d/SUCCEEDED_0.json"));
        assert!(!stray("b", "runs/6d/Redrive-1/SUCCEEDED_0.json"));
        assert!(stray("b", "runs/7e/SUCCEEDED_0.json"));
        assert!(stray("b", "runs/6de/SUCCEEDED_0.json"));
        assert!(stray("c", "runs/6d/SUCCEEDED_0.json"));
    }

    #[test]
    fn what_is_new_replaces_what_was_written_before_but_a_failure_replaces_no_success() {
        let mut gathered = Gathered::new(Tally::new(5));
        for record in [success(2, "B"), failure(3), success(1, "A"), failure(4)] {
            add(&mut gathered, &record).unwrap();
        }
        let mut open = Bits::default();
        for n in [2, 3, 5] {
            let line = json!({"n": n, "line": "old", "status": "FAILED"}).to_string();
            gathered.add_failed(line.as_bytes(), &mut open).unwrap();
        }
        for (n, line) in [(1, "a"), (4, "d")] {
            gathered.add_output(n, line.as_bytes());
        }
        let counts = gathered.tally().counts();
        assert_eq!((counts.succeeded, counts.failed), (3, 2));
        let (output, failed) = written(gathered.sorter);
        assert_eq!(output, "A\nB\nd\n");
        let failed: Vec<Value> = failed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            (&failed[0]["n"], &failed[0]["line"]),
            (&json!(3), &json!("new"))
        );
        assert_eq!(
            (&failed[1]["n"], &failed[1]["line"]),
            (&json!(5), &json!("old"))
        );
    }

    #[test]
    fn a_file_of_failed_lines_that_is_none_is_refused() {
        let mut gathered = Gathered::new(Tally::new(5));
        let mut open = Bits::default();
        let mut add = |text: &str| gathered.add_failed(text.as_bytes(), &mut open);
        assert_eq!(add(r#"{"n":2,"line":"","status":"PENDING"}"#), Ok(()));
        for (text, problem) in [
            (r#"{"n":2,"line":"","status":"FAILED"}"#, "line before it"),
            (r#"{"n":6,"line":"","status":"FAILED"}"#, "does not have"),
            (
                r#"{"n":3,"line":"","status":"SUCCEEDED"}"#,
                "unknown status",
            ),
            (r#"{"n":3"#, "no line that failed"),
            ("", "no line that failed"),
        ] {
            assert!(add(text).unwrap_err().contains(problem), "{text}");
        }
    }
}
