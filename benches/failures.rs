//! How fast the records of result files are grouped, beside bare parsing of the same bytes:
//! `cargo bench --bench failures [-- RECORDS]`.
//!
//! Four ways through the same file on one thread, in turn and more than once, the best of each
//! counting: serde into a record whose strings are borrowed where nothing in them is escaped, and
//! whose input stays as it stands; serde into one that owns all it has; serde into the record that
//! grouping takes, which leaves the cause as it stands too; and grouping whole: masks, counts,
//! spreads, first members, and the index of all places on disk.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and it prints"
)]

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek as _, Write as _};
use std::time::{Duration, Instant};

use fanout::model::Timestamp;
use fanout::operations::failures::{Grouping, Record};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Deserializer, json};

const RECORDS: u64 = 1_000_000;
const ROUNDS: usize = 3;
/// Bytes read at once; S3's answers come in smaller pieces.
const CHUNK: usize = 64 << 10;

/// A record that copies only what is escaped.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Borrowed<'r> {
    #[serde(borrow)]
    execution_arn: Text<'r>,
    #[serde(borrow)]
    status: Text<'r>,
    #[serde(borrow)]
    error: Option<Text<'r>>,
    #[serde(borrow)]
    cause: Option<Text<'r>>,
    #[serde(borrow)]
    input: Option<&'r RawValue>,
    #[serde(borrow)]
    start_date: Text<'r>,
    #[serde(borrow)]
    stop_date: Text<'r>,
    redrive_count: u32,
}

/// Serde's own `Cow` is always a copy inside an `Option`.
#[derive(Default, Deserialize)]
#[serde(transparent)]
#[expect(dead_code, reason = "what is parsed is not looked at")]
struct Text<'r>(#[serde(borrow)] Cow<'r, str>);

/// All there is, as one would write it first.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(dead_code, reason = "what is parsed is not looked at")]
struct Owned {
    execution_arn: String,
    status: String,
    error: Option<String>,
    cause: Option<String>,
    input: Option<String>,
    start_date: Option<String>,
    stop_date: Option<String>,
    redrive_count: u32,
}

/// Five kinds of failures, as Lambda tells of them, and some children that were stopped.
fn record(number: u64) -> String {
    let host = number % 7;
    let (error, message) = match number % 100 {
        0..=69 => (
            "PaymentGateway.Timeout",
            format!(
                "upstream did not answer in {} ms (host 10.2.7.{host})",
                30_000 + number % 977
            ),
        ),
        70..=84 => (
            "ValidationError",
            format!("no place named 'Place {number}' is known"),
        ),
        85..=94 => (
            "Lambda.TooManyRequestsException",
            format!(
                "Rate exceeded (Request ID: {:08x}-1111-4222-8333-{number:012x})",
                number * 7
            ),
        ),
        95..=97 => (
            "DataLimitExceeded",
            format!(
                "https://lookup.internal/v1?q={number} sent {} bytes",
                number * 3
            ),
        ),
        _ => ("", String::new()),
    };
    let minute = number / 20_000 % 60;
    let mut record = json!({
        "ExecutionArn": format!(
            "arn:aws:states:eu-west-1:472100009012:express:invoices/Lines:{number:08x}-aaaa:{number:08x}"
        ),
        "Input": json!({
            "n": number,
            "line": format!("F-{number}, ACME \"{}\" GmbH, EUR, 41.50, 2026-11-{:02}", number % 13, number % 28 + 1),
            "execution": "invoices-2026-11-23T0900Z-77de",
            "request": {"url": "https://lookup.internal/v1?q={line}"},
        }).to_string(),
        "InputDetails": {"Included": true},
        "Name": format!("{number:08x}-aaaa"),
        "RedriveCount": 0,
        "StartDate": format!("2026-11-23T09:{minute:02}:14.031Z"),
        "StateMachineArn": "arn:aws:states:eu-west-1:472100009012:stateMachine:invoices/Lines",
        "Status": if error.is_empty() { "ABORTED" } else { "FAILED" },
        "StopDate": format!("2026-11-23T09:{minute:02}:44.081Z"),
    });
    if error.is_empty() {
        record["Cause"] =
            "The map run execution which was managing this resource was aborted".into();
    } else {
        record["Error"] = error.into();
        record["Cause"] = json!({
            "errorMessage": message,
            "errorType": error,
            "requestId": format!("{:08x}-1111-4222-8333-{number:012x}", number * 13),
            "stackTrace": ["  File \"/var/task/app.py\", line 41, in handler", "  File \"/var/task/gateway.py\", line 7, in post"],
        })
        .to_string()
        .into();
    }
    record.to_string()
}

/// Tells of the file in pieces that end with a line.
fn blocks(file: &mut File, mut tell: impl FnMut(&[u8])) {
    file.rewind().unwrap();
    let mut block: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk).unwrap();
        if read == 0 {
            break;
        }
        block.extend_from_slice(&chunk[..read]);
        let whole = memchr::memrchr(b'\n', &block).map_or(0, |at| at + 1);
        tell(&block[..whole]);
        block.drain(..whole);
    }
    tell(&block);
}

fn parse<'b, T: Deserialize<'b>>(block: &'b [u8]) -> u64 {
    let records = Deserializer::from_slice(block).into_iter::<T>();
    records.map(Result::unwrap).count() as u64
}

fn borrowed(file: &mut File) -> u64 {
    let mut read = 0;
    blocks(file, |block| read += parse::<Borrowed<'_>>(block));
    read
}

fn as_it_stands(file: &mut File) -> u64 {
    let mut read = 0;
    blocks(file, |block| read += parse::<Record<'_>>(block));
    read
}

fn owned(file: &mut File) -> u64 {
    let mut read = 0;
    blocks(file, |block| read += parse::<Owned>(block));
    read
}

fn grouped(file: &mut File) -> u64 {
    file.rewind().unwrap();
    let mut grouping = Grouping::new(Timestamp::UNIX_EPOCH).unwrap();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk).unwrap();
        if read == 0 {
            break;
        }
        grouping.push(&chunk[..read]).unwrap();
    }
    let survey = grouping.finish().unwrap();
    assert_eq!(survey.groups.len(), 4);
    survey.read + survey.aborted
}

/// A figure of this process in KiB, where the system tells.
fn memory(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A name, and how many records were taken in.
type Way = (&'static str, fn(&mut File) -> u64);

fn main() {
    let given = std::env::args().skip(1).find_map(|it| it.parse().ok());
    let records: u64 = given.unwrap_or(RECORDS);
    let mut file = tempfile::tempfile().unwrap();
    let mut writer = BufWriter::new(&mut file);
    for number in 1..=records {
        writeln!(writer, "{}", record(number)).unwrap();
    }
    writer.flush().unwrap();
    drop(writer);
    let bytes = file.metadata().unwrap().len();
    println!("{records} records, {:.1} MB", bytes as f64 / 1e6);

    let ways: [Way; 4] = [
        ("parsed, borrowed", borrowed),
        ("parsed, owned", owned),
        ("parsed, as it is", as_it_stands),
        ("grouped", grouped),
    ];
    let mut best = [Duration::MAX; 4];
    let mut growth = 0;
    for _ in 0..ROUNDS {
        for ((name, way), best) in ways.iter().zip(&mut best) {
            // From here on the peak is this way's.
            let _ = fs::write("/proc/self/clear_refs", "5");
            let before = memory("VmRSS:").unwrap_or_default();
            let begun = Instant::now();
            assert_eq!(way(&mut file), records);
            *best = begun.elapsed().min(*best);
            if *name == "grouped" {
                let peak = memory("VmHWM:").unwrap_or_default();
                growth = growth.max(peak.saturating_sub(before));
            }
        }
    }
    for ((name, _), best) in ways.iter().zip(best) {
        let seconds = best.as_secs_f64();
        println!(
            "{name:18} {seconds:6.2} s  {:7.1} MB/s  {:9.0} records/s",
            bytes as f64 / 1e6 / seconds,
            records as f64 / seconds,
        );
    }
    let [borrowed, owned, as_it_stands, grouped] = best.map(|it| it.as_secs_f64());
    println!(
        "grouping goes at {:.2} of the pace of borrowed parsing, {:.2} of owned, {:.2} of parsing the record that it takes; memory grows by {:.1} MB at most",
        borrowed / grouped,
        owned / grouped,
        as_it_stands / grouped,
        growth as f64 / 1_024.0,
    );
}
