//! What became of the lines, gathered from result files and outputs, and what is to be written of
//! it, in the order of the lines.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use futures::StreamExt;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::client::{Client, ErrorKind, ObjectBody, ObjectWriter};
use crate::lines::items::Items;
use crate::lines::manifest::ResultFile;
use crate::lines::record::{self, Content, Kept, Record, Shape};
use crate::lines::records::{self, Malformed, Records};
use crate::lines::sorter::{Entry, Outcome, Rank, Sorter};
use crate::lines::{Bits, Error, FailedLine, Line, Lines, MAX_LINES, Tally, on_disk};
use crate::model::ObjectAddress;

/// Bytes of results in memory before they go to disk.
const SORT_BUDGET: usize = 32 << 20;
/// Bytes of an output line: a state returns at most 256 KiB.
const MAX_OUTPUT_LINE: usize = 1 << 20;
/// Bytes of a failed line as JSON: input and cause are at most 256 KiB each, before escaping.
const MAX_FAILED_LINE: usize = 8 << 20;
/// Bytes of the output that are handed over at once.
const PIECE: usize = 256 << 10;

/// An output that was written before: the lines that succeeded, in order, one line each.
#[derive(Debug, Clone, Copy)]
pub struct Previous<'a> {
    pub output: Pinned<'a>,
    /// The lines that are not in `output`; `None` when all are.
    pub failed: Option<Pinned<'a>>,
    /// Lines in the two together.
    pub lines: u64,
}

/// The result files of a Map Run.
#[derive(Debug, Clone, Copy)]
pub struct Results<'a> {
    pub files: &'a [ResultFile],
    pub shape: &'a Shape,
    /// Of a re-run that numbers its items anew: their lines, by index.
    pub numbers: Option<&'a [u64]>,
    /// Whether they are of a re-run.
    pub is_again: bool,
}

/// An object as it was at one time.
pub type Pinned<'a> = (&'a ObjectAddress, &'a str);

/// Is told of bytes that have been read.
pub type Meter = Arc<dyn Fn(u64) + Send + Sync>;

/// All that is known of the lines: how each ended, and, where that is wanted, what to write for it.
pub struct Gathered {
    tally: Tally,
    /// Lines that succeeded more than once.
    again: Bits,
    unnumbered: Items,
    sorter: Option<Sorter>,
    meter: Option<Meter>,
}

impl Gathered {
    /// To be written in the order of the lines.
    pub fn sorted(tally: Tally) -> Self {
        Self {
            sorter: Some(Sorter::new(SORT_BUDGET)),
            ..Self::counted(tally)
        }
    }

    /// Only to be counted.
    pub fn counted(tally: Tally) -> Self {
        Self {
            tally,
            again: Bits::default(),
            unnumbered: Items::default(),
            sorter: None,
            meter: None,
        }
    }

    /// The same telling `meter` what it reads.
    pub fn metered(self, meter: Meter) -> Self {
        Self {
            meter: Some(meter),
            ..self
        }
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lines that succeeded more than once, in one source or in several.
    pub fn again(&self) -> &Bits {
        &self.again
    }

    /// Items of a source that does not tell their lines.
    pub fn unnumbered(&self) -> &Items {
        &self.unnumbered
    }

    /// The same for the lines 1 to `lines`.
    ///
    /// # Errors
    /// `Mismatch` when a line is known that is not among those.
    pub fn widened(self, lines: u64) -> Result<Self, Error> {
        let mut tally = Tally::new(lines);
        match tally.absorb(&self.tally) {
            Ok(()) => Ok(Self { tally, ..self }),
            Err(problem) => Err(Error::Mismatch(format!(
                "a result {problem}: it has {lines} lines"
            ))),
        }
    }

    /// Reads result files. Of two sources the greater counts where a line ended in the same way in
    /// both.
    ///
    /// # Errors
    /// `Malformed` for files that no Map Run of this shape writes.
    pub async fn read_results(
        mut self,
        client: &Client,
        results: Results<'_>,
        source: u16,
    ) -> Result<Self, Error> {
        for file in results.files {
            self = self
                .add_file(client, &file.address, results, source)
                .await?;
        }
        Ok(self)
    }

    async fn add_file(
        mut self,
        client: &Client,
        address: &ObjectAddress,
        results: Results<'_>,
        source: u16,
    ) -> Result<Self, Error> {
        let unreadable = |problem| Error::malformed(address, problem);
        let mut body = client.read(address, None, None).await?;
        let mut records = Records::default();
        while let Some(chunk) = body.bytes.next().await {
            let chunk = chunk?;
            let flow = records.parse(&chunk, |bytes, place| {
                let (record, length) = records::first(bytes)?;
                let flow = match self.add_record(&record, results, source) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(problem) => ControlFlow::Break(Malformed::record(place, problem)),
                };
                Ok((length, flow))
            });
            if let ControlFlow::Break(problem) = flow.map_err(unreadable)? {
                return Err(unreadable(problem));
            }
            self = self.taken(chunk.len()).await?;
        }
        records.finish().map_err(unreadable)?;
        Ok(self)
    }

    fn add_record(
        &mut self,
        record: &Record<'_>,
        results: Results<'_>,
        source: u16,
    ) -> Result<(), &'static str> {
        let content = match self.sorter {
            Some(_) => Content::Wanted,
            None => Content::Unwanted,
        };
        record::read(record, results.shape, content, &mut |kept| match kept {
            Kept::Line { n, end, bytes } => {
                let n = results.line(n)?;
                let outcome = end.outcome;
                let rank = end.rank(source);
                self.add(Entry { n, rank, bytes }, outcome)
            }
            Kept::Item { outcome, content } => {
                match results.is_again {
                    true => self.unnumbered.add_again(outcome, content),
                    false => self.unnumbered.add(outcome, content),
                }
                Ok(())
            }
        })
    }

    fn add(&mut self, entry: Entry<'_>, outcome: Outcome) -> Result<(), &'static str> {
        let before = self.tally.note(entry.n, outcome)?;
        if (before, outcome) == (Some(Outcome::Succeeded), Outcome::Succeeded) {
            self.again.insert(entry.n);
        }
        if let Some(sorter) = &mut self.sorter {
            sorter.push(entry);
        }
        Ok(())
    }

    /// Adds an output that was written before: which lines it has follows from the numbers of those
    /// that failed. With `own`, only these lines are of interest, the others being of a source of
    /// their own.
    ///
    /// # Errors
    /// `Mismatch` when output and failed lines are not as many as there should be, or when one of
    /// the two has been overwritten.
    pub async fn read_previous(
        self,
        client: &Client,
        previous: &Previous<'_>,
        source: u16,
        own: Option<&Bits>,
    ) -> Result<Self, Error> {
        let mut open = Bits::default();
        let mut this = self;
        let part = Part { source, own };
        if let Some(failed) = previous.failed {
            this = this.read_failed(client, failed, part, &mut open).await?;
        }
        this.read_output(client, previous, part, &open).await
    }

    /// Reads the lines that failed, and puts their numbers into `open`.
    async fn read_failed(
        mut self,
        client: &Client,
        failed: Pinned<'_>,
        part: Part<'_>,
        open: &mut Bits,
    ) -> Result<Self, Error> {
        let mut body = read_pinned(client, failed).await?;
        let mut lines = Lines::verbatim(MAX_FAILED_LINE);
        let mut problem = None;
        let mut take = |this: &mut Self, number: u64, line: Line<'_>| {
            let added = match line {
                Line::TooLong => Err("is too long"),
                Line::Bytes(bytes) => this.add_failed(bytes, part, open),
            };
            if let (Err(reason), None) = (added, &problem) {
                problem = Some(format!("line {number} {reason}"));
            }
        };
        while let Some(chunk) = body.bytes.next().await {
            let chunk = chunk?;
            lines.push(&chunk, &mut |number, line| take(&mut self, number, line));
            self = self.taken(chunk.len()).await?;
        }
        lines.finish(&mut |number, line| take(&mut self, number, line));
        match problem {
            Some(problem) => Err(Error::malformed(failed.0, problem)),
            None => Ok(self),
        }
    }

    fn add_failed(
        &mut self,
        json: &[u8],
        part: Part<'_>,
        open: &mut Bits,
    ) -> Result<(), &'static str> {
        let failed: FailedLine =
            serde_json::from_slice(json).map_err(|_| "is no line that failed")?;
        let outcome = record::unsuccessful(&failed.status).ok_or("has an unknown status")?;
        if !open.insert(failed.n) {
            return Err("has the number of a line before it");
        }
        self.add_part(part, failed.n, outcome, json)
    }

    fn add_part(
        &mut self,
        part: Part<'_>,
        n: u64,
        outcome: Outcome,
        bytes: &[u8],
    ) -> Result<(), &'static str> {
        if part.own.is_some_and(|own| !own.contains(n)) {
            return Ok(());
        }
        let rank = Rank {
            outcome,
            source: part.source,
            redrive: 0,
        };
        self.add(Entry { n, rank, bytes }, outcome)
    }

    async fn read_output(
        mut self,
        client: &Client,
        previous: &Previous<'_>,
        part: Part<'_>,
        open: &Bits,
    ) -> Result<Self, Error> {
        let address = previous.output.0;
        let mut body = read_pinned(client, previous.output).await?;
        let mut lines = Lines::verbatim(MAX_OUTPUT_LINE);
        let mut numbers = (1..=previous.lines).filter(|n| !open.contains(*n));
        let mut too_long = None;
        let mut take = |this: &mut Self, number: u64, line: Line<'_>| match (line, numbers.next()) {
            (Line::Bytes(bytes), Some(n)) => {
                // Numbers are at most as great as there are lines.
                let _ = this.add_part(part, n, Outcome::Succeeded, bytes);
            }
            (Line::TooLong, _) => too_long = too_long.or(Some(number)),
            // Too many are counted, and told at the end.
            (Line::Bytes(_), None) => {}
        };
        while let Some(chunk) = body.bytes.next().await {
            let chunk = chunk?;
            lines.push(&chunk, &mut |number, line| take(&mut self, number, line));
            self = self.taken(chunk.len()).await?;
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

    /// After so many bytes were read: what fills the memory goes to disk.
    async fn taken(mut self, bytes: usize) -> Result<Self, Error> {
        if let Some(meter) = &self.meter {
            meter(bytes as u64);
        }
        if let Some(sorter) = self.sorter.take_if(|sorter| sorter.is_full()) {
            self.sorter = Some(on_disk(move || sorter.spill()).await?);
        }
        Ok(self)
    }

    /// Writes the lines that succeeded to `output` and the others to `failed`, each in order.
    pub async fn write(
        self,
        output: &mut ObjectWriter,
        mut failed: Option<&mut ObjectWriter>,
    ) -> Result<(), Error> {
        let (merging, mut pieces) = self.pieces();
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

    /// The same to files on this machine.
    pub async fn write_files(
        self,
        mut output: File,
        mut failed: Option<File>,
    ) -> Result<(), Error> {
        let Some(sorter) = self.sorter else {
            return Ok(());
        };
        on_disk(move || {
            let mut broken = None;
            merge(sorter, |piece| {
                let written = match (piece, &mut failed) {
                    (Piece::Output(bytes), _) => output.write_all(&bytes),
                    (Piece::Failed(bytes), Some(failed)) => failed.write_all(&bytes),
                    (Piece::Failed(_), None) => Ok(()),
                };
                broken = written.err();
                broken.is_none()
            })?;
            broken.map_or(Ok(()), Err)?;
            failed.map_or(Ok(()), |failed| failed.sync_all())?;
            output.sync_all()
        })
        .await
    }

    /// Merges on a thread of its own, a few pieces ahead of who takes them.
    fn pieces(
        self,
    ) -> (
        impl Future<Output = Result<(), Error>>,
        mpsc::Receiver<Piece>,
    ) {
        let (sender, pieces) = mpsc::channel(4);
        let merging = async move {
            match self.sorter {
                Some(sorter) => {
                    let give = move |piece| sender.blocking_send(piece).is_ok();
                    on_disk(move || merge(sorter, give)).await
                }
                None => Ok(()),
            }
        };
        (merging, pieces)
    }
}

impl<'a> Results<'a> {
    /// Those of a first run.
    pub fn of(files: &'a [ResultFile], shape: &'a Shape) -> Self {
        Self {
            files,
            shape,
            numbers: None,
            is_again: false,
        }
    }

    /// The line that number `n` of these stands for.
    fn line(&self, n: u64) -> Result<u64, &'static str> {
        let Some(numbers) = self.numbers else {
            return Ok(n);
        };
        let index = n.checked_sub(1).and_then(|it| usize::try_from(it).ok());
        let line = index.and_then(|index| numbers.get(index)).copied();
        line.ok_or("is of an item that was not among the chosen")
    }
}

/// What a previous output is to those who gather.
#[derive(Clone, Copy)]
struct Part<'a> {
    source: u16,
    /// The lines that it is read for; `None` is all.
    own: Option<&'a Bits>,
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

    const ALL: Part<'_> = Part {
        source: 0,
        own: None,
    };

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
        let json = serde_json::to_vec(record).unwrap();
        let record = serde_json::from_slice(&json).map_err(|_| "is no record")?;
        gathered.add_record(&record, Results::of(&[], &Shape::Ours), 1)
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
        let mut gathered = Gathered::sorted(Tally::new(5));
        add(&mut gathered, &success(5, "")).unwrap();
        assert!(add(&mut gathered, &success(6, "")).is_err());
        assert!(add(&mut gathered, &success(0, "")).is_err());
    }

    #[test]
    fn what_is_new_replaces_what_was_written_before_but_a_failure_replaces_no_success() {
        let mut gathered = Gathered::sorted(Tally::new(5));
        for record in [success(2, "B"), failure(3), success(1, "A"), failure(4)] {
            add(&mut gathered, &record).unwrap();
        }
        let mut open = Bits::default();
        for n in [2, 3, 5] {
            let line = json!({"n": n, "line": "old", "status": "FAILED"}).to_string();
            gathered
                .add_failed(line.as_bytes(), ALL, &mut open)
                .unwrap();
        }
        for (n, line) in [(1, "a"), (4, "d")] {
            let bytes = line.as_bytes();
            gathered
                .add_part(ALL, n, Outcome::Succeeded, bytes)
                .unwrap();
        }
        let counts = gathered.tally().counts();
        assert_eq!((counts.succeeded, counts.failed), (3, 2));
        assert!(gathered.again().iter().eq([1]));
        let (output, failed) = written(gathered.sorter.unwrap());
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
        let mut gathered = Gathered::sorted(Tally::new(5));
        let mut open = Bits::default();
        let mut add = |text: &str| gathered.add_failed(text.as_bytes(), ALL, &mut open);
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
