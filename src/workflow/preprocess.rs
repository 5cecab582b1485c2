//! Preprocess: the source file, once through, to one JSON line for each of its lines; in a re-run
//! the chosen lines, as they are given.

use std::collections::BTreeMap;
use std::io::Write;

use futures::StreamExt;

use serde::Deserialize;

use crate::client::{Client, ErrorKind, ObjectBody, ObjectWriter};
use crate::lines::{Decoder, Line, Lines, MAX_LINES};
use crate::model::{Object, ObjectAddress};
use crate::workflow::Context;
use crate::workflow::error::{
    HandlerError, PREPROCESS_EMPTY_SOURCE, PREPROCESS_INVALID_LINES, PREPROCESS_INVALID_SOURCE,
    PREPROCESS_MISMATCH, PREPROCESS_NO_SOURCE,
};
use crate::workflow::payload::{Job, Merge, MergeOrder, Order, PreprocessInput, Version};

/// Bytes of a line as JSON text. With the request beside it, a child's input stays below
/// 262,144 bytes.
const MAX_LINE: usize = 200 << 10;
/// Bytes of a chosen line: every character may be written as six, and beside it there may be what
/// it failed with.
const MAX_CHOSEN: usize = 8 << 20;
/// Bytes of a file that a Distributed Map reads.
const MAX_ITEMS: u64 = 10 << 30;
/// How many bad lines a message names.
const NAMED_LINES: usize = 20;
const TOO_LONG: &str = "longer than 200 KiB";

/// Reads the source, or the lines chosen of it, and writes the items file; doing it again writes
/// the same file.
///
/// # Errors
/// `Preprocess.…`: see `error.rs`. With any of them no items file is left behind.
pub async fn preprocess(context: &Context, input: PreprocessInput) -> Result<Job, HandlerError> {
    let client = &context.client;
    let order = Order::read(input, context.default_url.as_deref())?;
    let merge = match order.only.as_ref().and_then(|only| only.merge.as_ref()) {
        Some(merge) => Some(previous(client, merge).await?),
        None => None,
    };
    let source = open(client, &order).await?;
    let (version, etag) = (source.version.clone(), source.object.etag.clone());
    let items = match &order.only {
        None => Items::of_source(&order.source.key),
        Some(only) => {
            let last = merge.as_ref().map_or(MAX_LINES, |merge| merge.lines);
            Items::of_chosen(&only.lines.key, last)
        }
    };

    let mut writer = client
        .write(&order.items(), BTreeMap::new())
        .await
        .map_err(HandlerError::preprocess)?;
    match copy(source, items, &mut writer).await {
        Ok(lines) => {
            writer.finish().await.map_err(HandlerError::preprocess)?;
            tracing::info!(execution = order.execution, lines, "source read");
            Ok(order.into_job(lines, version, etag, merge))
        }
        Err(error) => {
            writer.abort().await;
            Err(error)
        }
    }
}

async fn open(client: &Client, order: &Order) -> Result<ObjectBody, HandlerError> {
    let field = match order.only {
        Some(_) => "input.only",
        None => "input.source",
    };
    client
        .read(order.read_from(), None, None)
        .await
        .map_err(|error| match error.kind {
            ErrorKind::NotFound(_) => absent(order.read_from(), field),
            _ => HandlerError::preprocess(error),
        })
}

fn absent(address: &ObjectAddress, field: &str) -> HandlerError {
    HandlerError::new(
        PREPROCESS_NO_SOURCE,
        format!("{address} does not exist; check {field}"),
    )
}

/// The earlier output as it is now: looked at before a single request is made for a line.
async fn previous(client: &Client, order: &MergeOrder) -> Result<Merge, HandlerError> {
    let (output, metadata) = look(client, &order.output, "input.merge.output").await?;
    let failed = match &order.failed {
        Some(failed) => Some(look(client, failed, "input.merge.failed").await?.0),
        None => None,
    };
    // Only outputs of ours have these; others are counted when they are merged.
    let count = |name| metadata.get(name).and_then(|text| text.parse::<u64>().ok());
    let problem = match (count("lines"), count("succeeded")) {
        (Some(lines), _) if lines != order.lines => format!(
            "input.merge.lines is {}, but {} was made of {lines} lines",
            order.lines, order.output
        ),
        (_, Some(succeeded)) if succeeded < order.lines && failed.is_none() => format!(
            "input.merge.failed is missing: {} has {succeeded} of {} lines",
            order.output, order.lines
        ),
        _ => {
            let version = |object: Object| Version {
                bucket: object.address.bucket,
                key: object.address.key,
                etag: object.etag,
            };
            return Ok(Merge {
                output: version(output),
                failed: failed.map(version),
                lines: order.lines,
            });
        }
    };
    Err(HandlerError::new(PREPROCESS_MISMATCH, problem))
}

async fn look(
    client: &Client,
    address: &ObjectAddress,
    field: &str,
) -> Result<(Object, BTreeMap<String, String>), HandlerError> {
    let found = client.head(address).await;
    found
        .map_err(HandlerError::preprocess)?
        .ok_or_else(|| absent(address, field))
}

/// Writes an item for each line, and returns how many.
async fn copy(
    mut source: ObjectBody,
    mut items: Items,
    writer: &mut ObjectWriter,
) -> Result<u64, HandlerError> {
    while let Some(chunk) = source.bytes.next().await {
        let chunk = chunk.map_err(HandlerError::preprocess)?;
        for part in chunk.chunks(items.step()) {
            items.push(part)?;
            writer
                .write(items.ready())
                .await
                .map_err(HandlerError::preprocess)?;
            items.clear();
        }
    }
    let (rest, lines) = items.finish()?;
    writer
        .write(&rest)
        .await
        .map_err(HandlerError::preprocess)?;
    Ok(lines)
}

/// Turns bytes into items, JSON Lines: `{"n":1,"line":"…"}`.
struct Items {
    decoder: Decoder,
    lines: Lines,
    encoder: Encoder,
}

impl Items {
    /// The lines of a file, numbered.
    fn of_source(key: &str) -> Self {
        Self::new(key, MAX_LINE, Numbers::Counted)
    }

    /// Lines that bring their numbers, at most `last`.
    fn of_chosen(key: &str, last: u64) -> Self {
        Self::new(key, MAX_CHOSEN, Numbers::Given { before: 0, last })
    }

    fn new(key: &str, longest: usize, numbers: Numbers) -> Self {
        Self {
            decoder: Decoder::for_key(key),
            lines: Lines::new(longest),
            encoder: Encoder {
                ready: Vec::new(),
                encoded: 0,
                bad: BadLines::default(),
                numbers,
            },
        }
    }

    /// Bytes to push at once at most, so that what they turn into stays small.
    fn step(&self) -> usize {
        self.decoder.step()
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), HandlerError> {
        let Self {
            decoder,
            lines,
            encoder,
        } = self;
        decoder
            .push(bytes, |decoded| {
                lines.push(decoded, &mut |n, line| encoder.add(n, line));
            })
            .map_err(not_gzip)?;
        encoder.check_size()
    }

    /// Items to be written, before [`Items::clear`].
    fn ready(&self) -> &[u8] {
        &self.encoder.ready
    }

    fn clear(&mut self) {
        self.encoder.ready.clear();
    }

    /// The last items, and how many there were in all.
    fn finish(mut self) -> Result<(Vec<u8>, u64), HandlerError> {
        let encoder = &mut self.encoder;
        let mut lines = self.lines;
        self.decoder
            .finish(|decoded| lines.push(decoded, &mut |n, line| encoder.add(n, line)))
            .map_err(not_gzip)?;
        let count = lines.finish(&mut |n, line| encoder.add(n, line));
        if let Some(problem) = encoder.bad.problem(encoder.numbers.of()) {
            return Err(HandlerError::new(PREPROCESS_INVALID_LINES, problem));
        }
        if count == 0 {
            return Err(HandlerError::new(
                PREPROCESS_EMPTY_SOURCE,
                format!("{} has no lines", encoder.numbers.of()),
            ));
        }
        encoder.check_size()?;
        Ok((self.encoder.ready, count))
    }
}

/// Encodes lines; after the first bad one it only looks for others.
struct Encoder {
    ready: Vec<u8>,
    /// Bytes encoded so far.
    encoded: u64,
    bad: BadLines,
    numbers: Numbers,
}

/// Where a line's number comes from.
#[derive(Debug, Clone, Copy)]
enum Numbers {
    /// Its place in the file.
    Counted,
    /// The line itself, `{"n":1,"line":"…"}`: after the one before, and at most `last`.
    Given { before: u64, last: u64 },
}

/// A line that was chosen.
#[derive(Deserialize)]
struct Chosen {
    n: u64,
    line: String,
}

impl Numbers {
    /// What the file is called in messages.
    fn of(self) -> &'static str {
        match self {
            Self::Counted => "the source",
            Self::Given { .. } => "input.only",
        }
    }
}

impl Encoder {
    /// Adds the line at `place`, from 1.
    fn add(&mut self, place: u64, line: Line<'_>) {
        let start = self.ready.len();
        if let Err(reason) = self.encode(place, line) {
            self.ready.truncate(start);
            self.bad.add(place, reason);
        }
        if self.bad.count > 0 {
            self.ready.clear();
        }
        self.encoded += self.ready.len().saturating_sub(start) as u64;
    }

    fn encode(&mut self, place: u64, line: Line<'_>) -> Result<(), &'static str> {
        let Line::Bytes(bytes) = line else {
            return Err(TOO_LONG);
        };
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        match &mut self.numbers {
            Numbers::Counted => self.write(place, text),
            Numbers::Given { before, last } => {
                let chosen: Chosen = serde_json::from_str(text)
                    .map_err(|_| "not {\"n\": NUMBER, \"line\": TEXT}")?;
                if chosen.n <= *before {
                    return Err("n is not greater than the one before");
                }
                if chosen.n > *last {
                    return Err("n is greater than the number of lines");
                }
                *before = chosen.n;
                self.write(chosen.n, &chosen.line)
            }
        }
    }

    fn write(&mut self, n: u64, text: &str) -> Result<(), &'static str> {
        let out = &mut self.ready;
        let start = out.len();
        // Writing to memory does not fail, and a text is always JSON.
        let _ = write!(out, "{{\"n\":{n},\"line\":");
        let _ = serde_json::to_writer(&mut *out, text);
        out.extend_from_slice(b"}\n");
        if out.len() - start > MAX_LINE {
            return Err(TOO_LONG);
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), HandlerError> {
        if self.encoded <= MAX_ITEMS {
            return Ok(());
        }
        Err(HandlerError::new(
            PREPROCESS_INVALID_SOURCE,
            "the source has more than a Distributed Map reads (10 GB as JSON); split it into \
             several files",
        ))
    }
}

/// Lines that cannot be processed.
#[derive(Default)]
struct BadLines {
    count: u64,
    /// The first few, with the reason.
    first: Vec<(u64, &'static str)>,
}

impl BadLines {
    fn add(&mut self, n: u64, reason: &'static str) {
        self.count += 1;
        if self.first.len() < NAMED_LINES {
            self.first.push((n, reason));
        }
    }

    /// `file` is what they are in.
    fn problem(&self, file: &str) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let named: Vec<String> = self
            .first
            .iter()
            .map(|(n, reason)| format!("{n} ({reason})"))
            .collect();
        let more = self.count - named.len() as u64;
        let more = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        Some(format!(
            "{} of {file}'s lines cannot be processed: {}{more}; repair the file and start it \
             again",
            self.count,
            named.join(", "),
        ))
    }
}

fn not_gzip(problem: std::io::Error) -> HandlerError {
    HandlerError::new(
        PREPROCESS_INVALID_SOURCE,
        format!("the source is named .gz, but is not a complete gzip file: {problem}"),
    )
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use serde_json::Value;

    use super::*;

    fn items(key: &str, bytes: &[u8], step: usize) -> Result<(Vec<Value>, u64), HandlerError> {
        read(Items::of_source(key), bytes, step)
    }

    fn chosen(bytes: &[u8], last: u64) -> Result<(Vec<Value>, u64), HandlerError> {
        read(Items::of_chosen("only.jsonl", last), bytes, 7)
    }

    fn read(
        mut items: Items,
        bytes: &[u8],
        step: usize,
    ) -> Result<(Vec<Value>, u64), HandlerError> {
        let mut written = Vec::new();
        for chunk in bytes.chunks(step) {
            items.push(chunk)?;
            written.extend(items.ready());
            items.clear();
        }
        let (rest, count) = items.finish()?;
        written.extend(rest);
        let values = written
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        Ok((values, count))
    }

    fn failure(bytes: &[u8]) -> HandlerError {
        items("a", bytes, 1_000).unwrap_err()
    }

    #[test]
    fn each_line_is_an_item_with_its_number() {
        let (values, count) = items("a.csv", b"x,\"1\"\n\n\xc3\xa9\t\\", 2).unwrap();
        assert_eq!(count, 3);
        let lines: Vec<(u64, &str)> = values
            .iter()
            .map(|item| (item["n"].as_u64().unwrap(), item["line"].as_str().unwrap()))
            .collect();
        assert_eq!(lines, [(1, "x,\"1\""), (2, ""), (3, "é\t\\")]);
    }

    #[test]
    fn a_gzip_source_is_unpacked_in_small_steps() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let newlines = vec![b'\n'; 100_000];
        for _ in 0..100 {
            encoder.write_all(&newlines).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        let mut items = Items::of_source("a.gz");
        let mut largest = 0;
        for part in bomb.chunks(items.step()) {
            items.push(part).unwrap();
            largest = largest.max(items.ready().len());
            items.clear();
        }
        let (_, count) = items.finish().unwrap();
        assert_eq!(count, 10_000_000);
        assert!(largest < 128 << 20, "{largest}");
    }

    #[test]
    fn an_empty_source_is_refused() {
        assert_eq!(failure(b"").name, PREPROCESS_EMPTY_SOURCE);
        assert_eq!(items("a", b"\n", 1).unwrap().1, 1);
    }

    #[test]
    fn bad_lines_are_named_by_number_and_nothing_is_written() {
        let mut source = b"good\n\xff\n".to_vec();
        source.extend(vec![b'x'; MAX_LINE + 1]);
        source.extend(b"\ngood\n");
        // Escaping makes this one too long.
        source.extend(vec![b'"'; MAX_LINE / 2 + 1]);
        let error = failure(&source);
        assert_eq!(error.name, PREPROCESS_INVALID_LINES);
        let named = "3 of the source's lines cannot be processed: 2 (not UTF-8), \
                     3 (longer than 200 KiB), 5 (longer than 200 KiB);";
        assert!(error.message.starts_with(named), "{}", error.message);
    }

    #[test]
    fn chosen_lines_keep_their_numbers_and_nothing_else() {
        let bytes = br#"{"n":3,"line":"a\u00e9"}
{"n":7,"line":"b","status":"FAILED","error":"Worker.Rejected","cause":"no"}"#;
        let (values, count) = chosen(bytes, 7).unwrap();
        let expected = [
            serde_json::json!({"n": 3, "line": "a\u{e9}"}),
            serde_json::json!({"n": 7, "line": "b"}),
        ];
        assert_eq!((values.as_slice(), count), (&expected[..], 2));
    }

    #[test]
    fn chosen_lines_that_cannot_be_are_named_by_their_place() {
        let bytes = b"{\"n\":2,\"line\":\"\"}\n{\"n\":2,\"line\":\"\"}\n\n{\"n\":9,\"line\":\"\"}\n{\"n\":0";
        let error = chosen(bytes, 8).unwrap_err();
        assert_eq!(error.name, PREPROCESS_INVALID_LINES);
        let named = "4 of input.only's lines cannot be processed: \
                     2 (n is not greater than the one before), \
                     3 (not {\"n\": NUMBER, \"line\": TEXT}), \
                     4 (n is greater than the number of lines), \
                     5 (not {\"n\": NUMBER, \"line\": TEXT});";
        assert!(error.message.starts_with(named), "{}", error.message);
        let error = chosen(b"", 8).unwrap_err();
        assert_eq!(error.name, PREPROCESS_EMPTY_SOURCE);
        assert!(error.message.contains("input.only"));
        let long = serde_json::json!({"n": 1, "line": "x".repeat(MAX_LINE)}).to_string();
        let error = chosen(long.as_bytes(), 8).unwrap_err();
        assert!(error.message.contains("1 (longer"), "{}", error.message);
    }

    #[test]
    fn only_the_first_bad_lines_are_named() {
        let error = failure(&b"\xff\n".repeat(1_000));
        assert!(error.message.starts_with("1000 of"), "{}", error.message);
        assert!(error.message.contains("20 (not UTF-8) and 980 more"));
        assert!(!error.message.contains(" 21 ("));
    }

    #[test]
    fn a_source_that_only_looks_like_gzip_is_refused() {
        let error = items("a.gz", b"plain\n", 10).unwrap_err();
        assert_eq!(error.name, PREPROCESS_INVALID_SOURCE);
    }
}
