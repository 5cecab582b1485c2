//! One record of a result file: which lines it is about, how they ended, and what is kept of them.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::lines::sorter::{Outcome, Rank};
use crate::lines::{FailedLine, OutputLine, one_line};

/// How the items of a Map Run tell which lines they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// The shipped workflow's: `{"n", "line"}` in and out.
    Ours,
    /// A field of each item holds its index in the source, from 0. What a child returns is one
    /// line; of a batch, what it returns for each of its items.
    Index(String),
    /// Nothing does: they are counted, and told apart by what they are, which is this field of what
    /// a child received, or all of it.
    Unnumbered { item: Option<String> },
}

impl Shape {
    pub fn is_numbered(&self) -> bool {
        !matches!(self, Self::Unnumbered { .. })
    }
}

/// Whether more than the outcome of lines is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Wanted,
    Unwanted,
}

/// What is kept of a record, for each of its lines.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    Line {
        n: u64,
        end: End,
        /// A line of the output or of the file of failed lines, without its end; empty where
        /// content is unwanted.
        bytes: &'a [u8],
    },
    /// An item whose line nothing tells, with what it is.
    Item { outcome: Outcome, content: Digest },
}

/// Of an item's content: equal items have equal ones.
pub type Digest = [u8; 16];

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub outcome: Outcome,
    pub redrive: u32,
}

impl End {
    pub fn rank(self, source: u16) -> Rank {
        Rank {
            outcome: self.outcome,
            source,
            redrive: self.redrive,
        }
    }
}

/// A record; Input and Output are JSON as text.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record<'a> {
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

/// Hands over the lines of one record.
///
/// # Errors
/// What is wrong with it, without its content.
pub fn read(
    record: &Record<'_>,
    shape: &Shape,
    content: Content,
    each: &mut impl FnMut(Kept<'_>) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let outcome = match &*record.status {
        "SUCCEEDED" => Outcome::Succeeded,
        status => unsuccessful(status).ok_or("has an unknown status")?,
    };
    let end = End {
        outcome,
        redrive: record.redrive_count,
    };
    match shape {
        Shape::Ours if outcome == Outcome::Succeeded => {
            let output: OutputLine =
                serde_json::from_str(&record.output).map_err(|_| "has no output of our worker")?;
            let (n, line) = (output.n, one_line(output.line));
            let bytes = line.as_bytes();
            each(Kept::Line { n, end, bytes })
        }
        Shape::Ours => {
            let item: Item = input(record.input).ok_or("has no input of our worker")?;
            let bytes = record.failed(item.n, item.line)?;
            let (n, bytes) = (item.n, bytes.as_slice());
            each(Kept::Line { n, end, bytes })
        }
        Shape::Index(field) => indexed(record, end, field, content, each),
        Shape::Unnumbered { item: field } => {
            let input: Value = input(record.input).unwrap_or(Value::Null);
            let items = match &input["Items"] {
                Value::Array(items) => items.as_slice(),
                _ => std::slice::from_ref(&input),
            };
            items.iter().try_for_each(|item| {
                let whole = field.as_ref().and_then(|field| item.get(field));
                let content = digest(whole.unwrap_or(item));
                each(Kept::Item { outcome, content })
            })
        }
    }
}

fn digest(item: &Value) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&Sha256::digest(item.to_string())[..16]);
    digest
}

/// The lines of a child whose items hold their index.
fn indexed(
    record: &Record<'_>,
    end: End,
    field: &str,
    content: Content,
    each: &mut impl FnMut(Kept<'_>) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let input: Value = input(record.input).ok_or("has no input")?;
    let items = match &input["Items"] {
        Value::Array(items) => items.as_slice(),
        _ => std::slice::from_ref(&input),
    };
    let number = |item: &Value| {
        let index = item[field]
            .as_u64()
            .ok_or("has an item without its index")?;
        Ok::<u64, &'static str>(index + 1)
    };
    if content == Content::Unwanted {
        return items.iter().try_for_each(|item| {
            let (n, bytes) = (number(item)?, &b""[..]);
            each(Kept::Line { n, end, bytes })
        });
    }
    if end.outcome != Outcome::Succeeded {
        return items.iter().try_for_each(|item| {
            let n = number(item)?;
            let bytes = record.failed(n, item.to_string())?;
            let bytes = bytes.as_slice();
            each(Kept::Line { n, end, bytes })
        });
    }
    let output: Value = serde_json::from_str(&record.output).map_err(|_| "has no output")?;
    let outputs = match &output {
        Value::Array(outputs) if input["Items"].is_array() && outputs.len() == items.len() => {
            outputs.as_slice()
        }
        _ if input["Items"].is_array() => {
            return Err("has one output for a batch, which cannot be told apart by line");
        }
        output => std::slice::from_ref(output),
    };
    items.iter().zip(outputs).try_for_each(|(item, output)| {
        let (n, line) = (number(item)?, output.to_string());
        let bytes = line.as_bytes();
        each(Kept::Line { n, end, bytes })
    })
}

/// The outcome of a line that did not succeed, by the status of its child.
pub fn unsuccessful(status: &str) -> Option<Outcome> {
    match status {
        "FAILED" | "TIMED_OUT" | "ABORTED" => Some(Outcome::Failed),
        "PENDING" => Some(Outcome::NeverStarted),
        _ => None,
    }
}

impl Record<'_> {
    /// One of its lines as the file of failed lines has it.
    fn failed(&self, n: u64, line: String) -> Result<Vec<u8>, &'static str> {
        let failed = FailedLine {
            n,
            line,
            status: self.status.clone().into_owned(),
            error: self.error.clone(),
            cause: self.cause.clone(),
        };
        serde_json::to_vec(&failed).map_err(|_| "cannot be written as JSON")
    }
}

/// The child's input, which is JSON as text in JSON.
fn input<T: DeserializeOwned>(input: Option<&RawValue>) -> Option<T> {
    let text: String = serde_json::from_str(input?.get()).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Number, outcome, redrives and bytes of each line.
    fn kept_as(record: &Value, shape: &Shape) -> Result<Vec<(u64, End, String)>, &'static str> {
        let mut found = Vec::new();
        let json = serde_json::to_vec(record).unwrap();
        let record = serde_json::from_slice(&json).map_err(|_| "is no record")?;
        read(&record, shape, Content::Wanted, &mut |kept| {
            found.push(match kept {
                Kept::Line { n, end, bytes } => {
                    (n, end, String::from_utf8(bytes.to_vec()).unwrap())
                }
                Kept::Item { outcome, .. } => (
                    0,
                    End {
                        outcome,
                        redrive: 0,
                    },
                    String::new(),
                ),
            });
            Ok(())
        })?;
        Ok(found)
    }

    fn kept(record: &Value) -> Result<(u64, End, String), &'static str> {
        Ok(kept_as(record, &Shape::Ours)?.remove(0))
    }

    fn end(outcome: Outcome) -> End {
        End {
            outcome,
            redrive: 0,
        }
    }

    #[test]
    fn a_success_keeps_its_output_line() {
        let record = json!({
            "ExecutionArn": "arn", "Input": "{\"n\":3,\"line\":\"a\"}", "InputDetails": {"Included": true},
            "Output": "{\"n\":3,\"line\":\"a,\\u00e9\\nb\"}", "RedriveCount": 2, "Status": "SUCCEEDED",
        });
        let outcome = Outcome::Succeeded;
        let end = End {
            outcome,
            redrive: 2,
        };
        assert_eq!(kept(&record), Ok((3, end, "a,é b".to_owned())));
    }

    #[test]
    fn a_failure_keeps_line_error_and_cause() {
        let record = json!({
            "Cause": "{\"errorMessage\":\"no\"}", "Error": "Worker.Rejected",
            "Input": "{\"n\":3,\"line\":\"a\",\"request\":{\"headers\":{\"k\":\"s3cret\"}}}",
            "Status": "FAILED",
        });
        let text = r#"{"n":3,"line":"a","status":"FAILED","error":"Worker.Rejected","cause":"{\"errorMessage\":\"no\"}"}"#;
        let expected = (3, end(Outcome::Failed), text.to_owned());
        assert_eq!(kept(&record), Ok(expected));
    }

    #[test]
    fn a_line_never_started_is_kept_without_error() {
        let record = json!({"Input": "{\"n\":9,\"line\":\"z\"}", "Status": "PENDING"});
        let text = r#"{"n":9,"line":"z","status":"PENDING"}"#;
        let expected = (9, end(Outcome::NeverStarted), text.to_owned());
        assert_eq!(kept(&record), Ok(expected));
    }

    #[test]
    fn foreign_records_are_refused() {
        for record in [
            json!({"Status": "SUCCEEDED", "Output": "[]"}),
            json!({"Status": "FAILED", "Input": "{\"line\":\"a\"}"}),
            json!({"Status": "HAPPY"}),
            json!({}),
        ] {
            assert!(kept(&record).is_err(), "{record}");
        }
    }

    #[test]
    fn items_with_an_index_are_lines_in_batches_too() {
        let shape = Shape::Index("at".to_owned());
        let record = |status: &str, input: Value, output: Value| json!({"Status": status, "Input": input.to_string(), "Output": output.to_string()});
        let batch = json!({"Items": [{"at": 4}, {"at": 0}]});
        let ok = end(Outcome::Succeeded);
        let single = record("SUCCEEDED", json!({"at": 2}), json!({"a": [1]}));
        assert_eq!(
            kept_as(&single, &shape),
            Ok(vec![(3, ok, r#"{"a":[1]}"#.to_owned())])
        );
        let both = record("SUCCEEDED", batch.clone(), json!(["x", "y"]));
        let expected = vec![(5, ok, r#""x""#.to_owned()), (1, ok, r#""y""#.to_owned())];
        assert_eq!(kept_as(&both, &shape), Ok(expected));
        let one = record("SUCCEEDED", batch.clone(), json!({"done": 2}));
        assert!(kept_as(&one, &shape).unwrap_err().contains("batch"));
        let failed = kept_as(&record("FAILED", batch.clone(), json!(null)), &shape).unwrap();
        assert_eq!((failed.len(), failed[1].0), (2, 1));
        assert!(kept_as(&record("FAILED", json!({"n": 1}), json!(null)), &shape).is_err());
        // Where nothing tells lines apart they are counted.
        assert_eq!(
            kept_as(&one, &Shape::Unnumbered { item: None })
                .unwrap()
                .len(),
            2
        );
    }
}
