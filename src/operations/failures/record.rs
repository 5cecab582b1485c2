//! A record of a result file, as much of it as tells of a failure, borrowed from the file's bytes.

use std::borrow::Cow;
use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::{ExecutionArn, Failure, Status, Timestamp};
use crate::operations::failures::cause;

/// What the first of January 1970 comes to below, where days count from March of year 0 and from one.
const EPOCH_DAYS: i64 = 719_469;

/// A child execution, or an item that never became one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Record<'r> {
    #[serde(borrow)]
    execution_arn: Text<'r>,
    #[serde(borrow)]
    status: Text<'r>,
    #[serde(borrow)]
    error: Option<Text<'r>>,
    #[serde(borrow)]
    cause: Option<Inner<'r>>,
    #[serde(borrow)]
    input: Option<Inner<'r>>,
    #[serde(borrow)]
    start_date: Text<'r>,
    #[serde(borrow)]
    stop_date: Text<'r>,
    redrive_count: u32,
}

/// What became of an item that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// FAILED or TIMED_OUT: what counts against the tolerance.
    Failed,
    /// Stopped because the Map Run was: collateral.
    Aborted,
    NeverStarted,
    /// It succeeded, or a status that this program does not know.
    Other,
}

/// JSON in a JSON string, as inputs and causes are: written out only when somebody wants it.
#[derive(Debug)]
enum Inner<'r> {
    /// As it stands in the file, with its quotation marks.
    Raw(&'r str),
    Text(&'r str),
}

impl<'de: 'r, 'r> Deserialize<'de> for Inner<'r> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(from)?;
        Ok(Self::Raw(raw.get()))
    }
}

impl<'r> Inner<'r> {
    fn text(&self) -> Option<Cow<'r, str>> {
        let raw = match *self {
            Self::Raw(raw) => raw,
            Self::Text(text) => return Some(Cow::Borrowed(text)),
        };
        let inner = raw.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        match inner {
            Some(plain) if memchr::memchr(b'\\', plain.as_bytes()).is_none() => {
                Some(Cow::Borrowed(plain))
            }
            Some(_) => serde_json::from_str(raw).ok().map(Cow::Owned),
            // Not as AWS writes it; what is there is still what was meant.
            None => Some(Cow::Borrowed(raw)),
        }
    }
}

/// A string, borrowed where nothing in it is escaped.
#[derive(Debug, Default)]
struct Text<'r>(Cow<'r, str>);

impl<'de: 'r, 'r> Deserialize<'de> for Text<'r> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Borrowing)
    }
}

impl Record<'_> {
    pub fn outcome(&self) -> Outcome {
        match &*self.status.0 {
            "FAILED" | "TIMED_OUT" => Outcome::Failed,
            "ABORTED" => Outcome::Aborted,
            "PENDING" => Outcome::NeverStarted,
            _ => Outcome::Other,
        }
    }

    /// Empty for an item that never started.
    pub fn child(&self) -> &str {
        &self.execution_arn.0
    }

    pub fn cause(&self) -> Option<Cow<'_, str>> {
        self.cause.as_ref()?.text()
    }

    /// The readable part of the cause.
    pub fn said(&self) -> Cow<'_, str> {
        let quick = match self.cause {
            Some(Inner::Raw(raw)) => plain_message(raw),
            _ => None,
        };
        match quick {
            Some(said) => Cow::Borrowed(said),
            None => match self.cause().unwrap_or_default() {
                Cow::Borrowed(cause) => cause::said(cause),
                Cow::Owned(cause) => Cow::Owned(cause::message(&cause)),
            },
        }
    }

    /// The error, or what stands for one that has no name.
    pub fn error(&self) -> &str {
        let status = Status::parse(&self.status.0);
        named(self.error.as_ref().map(|it| &*it.0), status)
    }

    /// What the child received, JSON text.
    pub fn input(&self) -> Option<Cow<'_, str>> {
        self.input.as_ref()?.text()
    }

    /// The number of its line, where the input is an item of the shipped workflow.
    pub fn line(&self) -> Option<u64> {
        let raw = match *self.input.as_ref()? {
            Inner::Raw(raw) => raw,
            Inner::Text(text) => return line_of(text),
        };
        if let Some(line) = plain_line(raw) {
            return Some(line);
        }
        // Without both members there is nothing to find; nearly all foreign items end here.
        let has = |name: &str| memchr::memmem::find(raw.as_bytes(), name.as_bytes()).is_some();
        match has("\\\"n\\\"") && has("\\\"line\\\"") {
            true => line_of(&self.input()?),
            false => None,
        }
    }

    /// When it ended, in milliseconds since 1970.
    pub fn stopped(&self) -> Option<i64> {
        milliseconds(&self.stop_date.0)
    }

    /// The whole of it.
    pub fn failure(&self) -> Failure {
        let moment = |text: &str| text.parse::<Timestamp>().ok();
        Failure {
            child: ExecutionArn::new(self.child()),
            status: Status::parse(&self.status.0),
            line: self.line(),
            error: self.error.as_ref().map(|it| it.0.to_string()),
            cause: self.cause().map(Cow::into_owned),
            input: self.input().map(Cow::into_owned),
            stopped: moment(&self.stop_date.0),
            started: moment(&self.start_date.0),
            redrives: self.redrive_count,
        }
    }
}

/// What was asked of a child itself, as a record of it would be.
impl<'f> From<&'f Failure> for Record<'f> {
    fn from(failure: &'f Failure) -> Self {
        let text = |text: &'f str| Text(Cow::Borrowed(text));
        let date = |at: Option<Timestamp>| {
            let text = at.map(|at| at.to_string());
            Text(Cow::Owned(text.unwrap_or_default()))
        };
        Self {
            execution_arn: text(failure.child.as_str()),
            status: text(failure.status.as_str()),
            error: failure.error.as_deref().map(text),
            cause: failure.cause.as_deref().map(Inner::Text),
            input: failure.input.as_deref().map(Inner::Text),
            start_date: date(failure.started),
            stop_date: date(failure.stopped),
            redrive_count: failure.redrives,
        }
    }
}

/// The error's name; a time-out has none of its own.
pub(super) fn named(error: Option<&str>, status: Status) -> &str {
    match (error, status) {
        (Some(error), _) if !error.is_empty() => error,
        (_, Status::TimedOut) => "States.Timeout",
        _ => "(no error)",
    }
}

/// The line's number when the input is an item of the shipped workflow: `{"n", "line", …}`. An `n`
/// alone may mean anything.
pub fn line_of(input: &str) -> Option<u64> {
    let input: Value = serde_json::from_str(input).ok()?;
    input.get("line")?.as_str()?;
    input.get("n")?.as_u64().filter(|n| 0 < *n)
}

/// The same from the beginning of an item as our workflow writes it, without parsing the rest.
/// Members that come twice are not looked for: nobody writes them.
fn plain_line(raw: &str) -> Option<u64> {
    let rest = raw.strip_prefix("\"{\\\"n\\\":")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let after = rest[digits..].strip_prefix(",\\\"line\\\":\\\"");
    after?;
    rest[..digits].parse().ok().filter(|n| 0 < *n)
}

/// `errorMessage` of a cause as Lambda's runtimes write it, where neither it nor what stands before
/// it has anything escaped: a slice of the file itself.
fn plain_message(raw: &str) -> Option<&str> {
    let mut rest = raw.strip_prefix("\"{")?;
    loop {
        let (name, after) = plain_text(rest)?;
        let (value, after) = plain_text(after.strip_prefix(':')?.trim_start_matches(' '))?;
        if name == "errorMessage" {
            return Some(value);
        }
        rest = after.strip_prefix(',')?.trim_start_matches(' ');
    }
}

/// The string that JSON in a JSON string begins with, and what comes after it.
fn plain_text(raw: &str) -> Option<(&str, &str)> {
    const QUOTE: &str = "\\\"";
    let text = raw.strip_prefix(QUOTE)?;
    let end = memchr::memchr(b'\\', text.as_bytes())?;
    Some((&text[..end], text[end..].strip_prefix(QUOTE)?))
}

/// Milliseconds since 1970 of a date as result files have it, `2026-09-01T10:00:01.000Z`; of any
/// other form by the general parser, which is slower.
fn milliseconds(text: &str) -> Option<i64> {
    let general = || Some(text.parse::<Timestamp>().ok()?.as_millisecond());
    let bytes: &[u8; 24] = match text.as_bytes().try_into() {
        Ok(bytes) => bytes,
        Err(_) if text.is_empty() => return None,
        Err(_) => return general(),
    };
    let mut number = 0;
    let mut parts = [0_i64; 7];
    for (at, byte) in bytes.iter().enumerate() {
        match (at, byte) {
            (4 | 7, b'-') | (10, b'T') | (13 | 16, b':') | (19, b'.') | (23, b'Z') => number += 1,
            (4 | 7 | 10 | 13 | 16 | 19 | 23, _) => return general(),
            (_, b'0'..=b'9') => parts[number] = parts[number] * 10 + i64::from(byte - b'0'),
            _ => return general(),
        }
    }
    let [year, month, day, hour, minute, second, millisecond] = parts;
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=28).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        // The month's last days too: how many it has, the general parser knows.
        return general();
    }
    // Days since 1970 by the calendar that begins in March: leap days come last.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let seconds = ((days - EPOCH_DAYS) * 24 + hour) * 3_600 + minute * 60 + second;
    Some(seconds * 1_000 + millisecond)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Record<'_> {
        serde_json::from_str(text).expect("a record")
    }

    #[test]
    fn a_record_gives_line_time_and_outcome() {
        let text = |status: &str| {
            format!(
                r#"{{"Cause":"c","Error":"E","ExecutionArn":"arn:x","Status":"{status}","New":1,
                "Input":"{{\"n\":7,\"line\":\"Quito\"}}","StopDate":"2026-09-01T10:00:01.000Z",
                "StartDate":"2026-09-01T10:00:00.500Z","RedriveCount":2}}"#
            )
        };
        let failed = text("FAILED");
        let record = parsed(&failed);
        let found = record.failure();
        assert_eq!((found.line, found.error.as_deref()), (Some(7), Some("E")));
        assert_eq!(
            (found.stopped.map(Timestamp::as_second), found.redrives),
            (Some(1_788_256_801), 2)
        );
        assert_eq!(record.stopped(), Some(1_788_256_801_000));
        for (status, outcome) in [
            ("TIMED_OUT", Outcome::Failed),
            ("ABORTED", Outcome::Aborted),
            ("PENDING", Outcome::NeverStarted),
            ("LOST", Outcome::Other),
        ] {
            assert_eq!(parsed(&text(status)).outcome(), outcome);
        }
    }

    #[test]
    fn what_never_started_has_only_an_input() {
        let record = parsed(r#"{"Input":"{\"a\":1}","Status":"PENDING"}"#);
        assert_eq!((record.child(), record.stopped()), ("", None));
        assert_eq!(record.input().as_deref(), Some(r#"{"a":1}"#));
    }

    #[test]
    fn a_line_number_is_never_guessed() {
        assert_eq!(line_of(r#"{"n":7}"#), None);
        assert_eq!(line_of(r#"{"n":"7","line":""}"#), None);
        assert_eq!(line_of(r#"{"n":0,"line":""}"#), None);
        assert_eq!(line_of("[1"), None);
        assert_eq!(line_of(r#"{"n":7,"line":""}"#), Some(7));
    }

    proptest! {
        #[test]
        fn the_quick_way_to_a_line_is_the_slow_one(
            n in any::<u64>(), line in any::<String>(), more in any::<bool>(),
        ) {
            let mut item = serde_json::json!({"n": n, "line": line});
            if more {
                item["execution"] = "a".into();
            }
            let input = serde_json::to_string(&item.to_string()).unwrap();
            let text = format!(r#"{{"Input":{input},"Status":"FAILED"}}"#);
            prop_assert_eq!(parsed(&text).line(), line_of(&item.to_string()));
        }

        #[test]
        fn the_quick_way_to_a_message_is_the_slow_one(
            members in proptest::collection::vec(
                ("errorMessage|errorType|message|Message", prop_oneof![
                    any::<String>().prop_map(Value::from),
                    "[a-z0-9 ]{0,9}".prop_map(Value::from),
                    any::<u8>().prop_map(Value::from),
                ]), 0..4),
            spaced in any::<bool>(),
            cut in any::<proptest::sample::Index>(),
            is_cut in any::<bool>(),
        ) {
            let (comma, colon) = if spaced { (", ", ": ") } else { (",", ":") };
            let members = members.iter().map(|(name, value)| format!("\"{name}\"{colon}{value}"));
            let mut cause = format!("{{{}}}", members.collect::<Vec<_>>().join(comma));
            if is_cut {
                let ends: Vec<usize> = cause.char_indices().map(|(at, _)| at).collect();
                cause.truncate(*cut.get(&ends));
            }
            let raw = serde_json::to_string(&cause).unwrap();
            let text = format!(r#"{{"Cause":{raw},"Status":"FAILED"}}"#);
            let record = parsed(&text);
            prop_assert_eq!(record.said(), cause::said(&cause));
            prop_assert_eq!(record.failure().cause, Some(cause));
        }

        #[test]
        fn dates_are_read_as_the_general_parser_reads_them(at in 0i64..253_000_000_000_000) {
            let moment = Timestamp::from_millisecond(at).unwrap();
            let text = moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
            prop_assert_eq!(milliseconds(&text), Some(at));
        }

        #[test]
        fn no_text_is_a_date_by_accident(text in "[0-9T:.Z-]{0,26}") {
            let parsed = text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
            prop_assert_eq!(milliseconds(&text), parsed);
        }
    }
}
