//! Result files, as the ResultWriter of a Map Run writes them: JSON arrays of records, of any
//! size, read a chunk at a time.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lines::sorter::{Outcome, Rank};
use crate::lines::{FailedLine, OutputLine, one_line};

/// Bytes of one record. Input and output are at most 256 KiB each, and escaped twice.
const MAX_RECORD: usize = 8 << 20;

/// Why a result file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("it is no JSON array of objects")]
    NoArray,
    #[error("it ends in the middle")]
    Cut,
    #[error("a record is larger than 8 MiB")]
    TooLarge,
    /// With what is wrong, without the record's content.
    #[error("record {number} {problem}")]
    Record { number: u64, problem: &'static str },
}

/// Splits the bytes of a JSON array into its objects.
#[derive(Debug, Default)]
pub struct Records {
    place: Place,
    /// The beginning of a record whose end has not come yet.
    carry: Vec<u8>,
    /// Records handed over so far.
    count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    BeforeArray,
    BetweenRecords,
    InRecord {
        /// Open braces and brackets.
        depth: u32,
        text: Text,
    },
    AfterArray,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

impl Records {
    /// Hands every record that ends in `chunk` to `each`, which answers with what is wrong with it.
    pub fn push(
        &mut self,
        chunk: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Result<(), Malformed> {
        let mut at = 0;
        while at < chunk.len() {
            at = match self.place {
                Place::InRecord { depth, text } => self.go_on(chunk, at, depth, text, each)?,
                _ => self.between(chunk, at)?,
            };
        }
        Ok(())
    }

    /// # Errors
    /// The array has not ended.
    pub fn finish(&self) -> Result<(), Malformed> {
        match self.place {
            Place::AfterArray => Ok(()),
            Place::BeforeArray => Err(Malformed::NoArray),
            _ => Err(Malformed::Cut),
        }
    }

    /// Takes one byte outside of records.
    fn between(&mut self, chunk: &[u8], at: usize) -> Result<usize, Malformed> {
        self.place = match (self.place, chunk[at]) {
            (place, b' ' | b'\t' | b'\r' | b'\n') => place,
            (Place::BeforeArray, b'[') | (Place::BetweenRecords, b',') => Place::BetweenRecords,
            (Place::BetweenRecords, b']') => Place::AfterArray,
            (Place::BetweenRecords, b'{') => {
                // The brace is read again, as the record's first byte.
                self.place = Place::InRecord {
                    depth: 0,
                    text: Text::Outside,
                };
                return Ok(at);
            }
            _ => return Err(Malformed::NoArray),
        };
        Ok(at + 1)
    }

    /// Goes on in a record from `start`, to its end or the chunk's.
    fn go_on(
        &mut self,
        chunk: &[u8],
        start: usize,
        mut depth: u32,
        mut text: Text,
        each: &mut impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Result<usize, Malformed> {
        let mut at = start;
        while at < chunk.len() {
            match text {
                Text::Escaped => {
                    text = Text::Inside;
                    at += 1;
                }
                Text::Inside => {
                    let Some(found) = memchr::memchr2(b'"', b'\\', &chunk[at..]) else {
                        at = chunk.len();
                        continue;
                    };
                    at += found + 1;
                    text = match chunk[at - 1] {
                        b'"' => Text::Outside,
                        _ => Text::Escaped,
                    };
                }
                Text::Outside => {
                    at += 1;
                    match chunk[at - 1] {
                        b'"' => text = Text::Inside,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 {
                        self.place = Place::BetweenRecords;
                        self.hand_over(&chunk[start..at], each)?;
                        return Ok(at);
                    }
                }
            }
        }
        self.place = Place::InRecord { depth, text };
        self.carry.extend_from_slice(&chunk[start..]);
        if self.carry.len() > MAX_RECORD {
            return Err(Malformed::TooLarge);
        }
        Ok(at)
    }

    fn hand_over(
        &mut self,
        tail: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Result<(), Malformed> {
        self.count += 1;
        let handed = if self.carry.is_empty() {
            each(tail)
        } else {
            self.carry.extend_from_slice(tail);
            let handed = each(&self.carry);
            self.carry.clear();
            handed
        };
        let number = self.count;
        handed.map_err(|problem| Malformed::Record { number, problem })
    }
}

/// What is kept of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The line's number.
    pub n: u64,
    pub rank: Rank,
    /// A line of the output file or of the file of failed lines, without its end.
    pub bytes: Vec<u8>,
}

/// A record; Input and Output are JSON as text.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    /// As it stands in the file: nobody needs the input of a success.
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
    #[serde(default, borrow)]
    output: Cow<'a, str>,
    error: Option<String>,
    cause: Option<String>,
    #[serde(default)]
    redrive_count: u32,
}

/// What we need of a child's input.
#[derive(Deserialize)]
struct Item {
    n: u64,
    line: String,
}

/// Reads one record of a child of ours; `source` says which run it is of.
///
/// # Errors
/// What is wrong with it, without its content.
pub fn read(json: &[u8], source: u16) -> Result<Kept, &'static str> {
    let record: Record<'_> = serde_json::from_slice(json).map_err(|_| "is not as AWS has it")?;
    let outcome = match &*record.status {
        "SUCCEEDED" => Outcome::Succeeded,
        status => unsuccessful(status).ok_or("has an unknown status")?,
    };
    let rank = Rank {
        outcome,
        source,
        redrive: record.redrive_count,
    };
    if outcome == Outcome::Succeeded {
        let output: OutputLine =
            serde_json::from_str(&record.output).map_err(|_| "has no output of our worker")?;
        let (n, bytes) = (output.n, one_line(output.line).into_bytes());
        return Ok(Kept { n, rank, bytes });
    }
    let item = item(record.input).ok_or("has no input of our worker")?;
    let failed = FailedLine {
        n: item.n,
        line: item.line,
        status: record.status.into_owned(),
        error: record.error,
        cause: record.cause,
    };
    let bytes = serde_json::to_vec(&failed).map_err(|_| "cannot be written as JSON")?;
    let n = failed.n;
    Ok(Kept { n, rank, bytes })
}

/// The outcome of a line that did not succeed, by the status of its child.
pub fn unsuccessful(status: &str) -> Option<Outcome> {
    match status {
        "FAILED" | "TIMED_OUT" | "ABORTED" => Some(Outcome::Failed),
        "PENDING" => Some(Outcome::NeverStarted),
        _ => None,
    }
}

fn item(input: Option<&RawValue>) -> Option<Item> {
    let text: String = serde_json::from_str(input?.get()).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn split(chunks: &[&[u8]]) -> Result<Vec<Value>, Malformed> {
        let mut found = Vec::new();
        let mut records = Records::default();
        for chunk in chunks {
            records.push(chunk, &mut |record| {
                found.push(serde_json::from_slice(record).map_err(|_| "is no JSON")?);
                Ok(())
            })?;
        }
        records.finish()?;
        Ok(found)
    }

    #[test]
    fn an_array_of_nothing_is_fine() {
        assert!(split(&[b"[]"]).unwrap().is_empty());
        assert!(split(&[b" [", b" \n]\n"]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_complete_array_is_refused() {
        assert_eq!(split(&[b""]), Err(Malformed::NoArray));
        assert_eq!(split(&[b"{}"]), Err(Malformed::NoArray));
        assert_eq!(split(&[b"[1]"]), Err(Malformed::NoArray));
        assert_eq!(split(&[b"[{}]x"]), Err(Malformed::NoArray));
        assert_eq!(split(&[b"[{}"]), Err(Malformed::Cut));
        assert_eq!(split(&[b"[{\"a\":\"}]"]), Err(Malformed::Cut));
        let number = 2;
        let problem = "is no JSON";
        assert_eq!(
            split(&[b"[{},{]}]"]),
            Err(Malformed::Record { number, problem })
        );
    }

    #[test]
    fn a_record_without_end_does_not_fill_the_memory() {
        let mut records = Records::default();
        let chunk = vec![b'x'; 1 << 20];
        let mut each = |_: &[u8]| Ok(());
        records.push(b"[{\"a\":\"", &mut each).unwrap();
        let end = (0..9).find_map(|_| records.push(&chunk, &mut each).err());
        assert_eq!(end, Some(Malformed::TooLarge));
    }

    fn kept(record: Value) -> Result<Kept, &'static str> {
        read(&serde_json::to_vec(&record).unwrap(), 1)
    }

    #[test]
    fn a_success_keeps_its_output_line() {
        let record = json!({
            "ExecutionArn": "arn", "Input": "{\"n\":3,\"line\":\"a\"}", "InputDetails": {"Included": true},
            "Output": "{\"n\":3,\"line\":\"a,\\u00e9\\nb\"}", "RedriveCount": 2, "Status": "SUCCEEDED",
        });
        let rank = Rank {
            outcome: Outcome::Succeeded,
            source: 1,
            redrive: 2,
        };
        let bytes = "a,é b".into();
        assert_eq!(kept(record), Ok(Kept { n: 3, rank, bytes }));
    }

    #[test]
    fn a_failure_keeps_line_error_and_cause() {
        let record = json!({
            "Cause": "{\"errorMessage\":\"no\"}", "Error": "Worker.Rejected",
            "Input": "{\"n\":3,\"line\":\"a\",\"request\":{\"headers\":{\"k\":\"s3cret\"}}}",
            "Status": "FAILED",
        });
        let found = kept(record).unwrap();
        assert_eq!((found.n, found.rank.outcome), (3, Outcome::Failed));
        assert_eq!(
            String::from_utf8(found.bytes).unwrap(),
            r#"{"n":3,"line":"a","status":"FAILED","error":"Worker.Rejected","cause":"{\"errorMessage\":\"no\"}"}"#
        );
    }

    #[test]
    fn a_line_never_started_is_kept_without_error() {
        let record = json!({"Input": "{\"n\":9,\"line\":\"z\"}", "Status": "PENDING"});
        let found = kept(record).unwrap();
        assert_eq!((found.n, found.rank.outcome), (9, Outcome::NeverStarted));
        assert_eq!(found.bytes, br#"{"n":9,"line":"z","status":"PENDING"}"#);
    }

    #[test]
    fn foreign_records_are_refused() {
        assert!(kept(json!({"Status": "SUCCEEDED", "Output": "[]"})).is_err());
        assert!(kept(json!({"Status": "FAILED", "Input": "{\"line\":\"a\"}"})).is_err());
        assert!(kept(json!({"Status": "HAPPY"})).is_err());
        assert!(kept(json!({})).is_err());
    }

    fn any_record() -> impl Strategy<Value = Value> {
        let text = "[a\"\\\\{}\\[\\],\u{e9}\n]{0,12}";
        (text, text, prop::collection::vec(text, 0..3))
            .prop_map(|(a, b, c)| json!({a: b, "list": c, "deep": {"x": [{}, []]}}))
    }

    proptest! {
        #[test]
        fn records_do_not_depend_on_chunks(
            expected in prop::collection::vec(any_record(), 0..6),
            pretty in any::<bool>(),
            size in 1usize..40,
        ) {
            let bytes = if pretty {
                serde_json::to_vec_pretty(&expected).unwrap()
            } else {
                serde_json::to_vec(&expected).unwrap()
            };
            let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(split(&chunks).unwrap(), expected);
        }

        #[test]
        fn any_bytes_are_no_panic(bytes in "[\\[\\]{}\",\\\\a ]{0,40}", size in 1usize..9) {
            let chunks: Vec<&[u8]> = bytes.as_bytes().chunks(size).collect();
            let _ = split(&chunks);
        }
    }
}
