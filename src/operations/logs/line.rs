//! One log line, with what it says about itself.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::client::LogEvent;
use crate::model::Timestamp;
use crate::operations::failures;
use crate::operations::logs::{Group, Origin};

/// Bytes of a message that are kept. One event may have a megabyte.
const LONGEST: usize = 16 * 1024;
/// Where a word for the level is looked for, bytes: further behind it is part of the text.
const HEAD: usize = 120;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        match word {
            "TRACE" | "DEBUG" => Some(Self::Debug),
            "INFO" | "NOTICE" => Some(Self::Info),
            "WARN" | "WARNING" => Some(Self::Warn),
            "ERROR" | "FATAL" | "CRITICAL" | "SEVERE" | "PANIC" => Some(Self::Error),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub at: Timestamp,
    /// Name of the log group.
    pub group: Arc<str>,
    pub stream: Arc<str>,
    pub level: Option<Level>,
    /// The states that may have written it, joined with commas.
    pub state: Option<Arc<str>>,
    /// Of the function's call.
    pub request: Option<Arc<str>>,
    /// ARN of the execution or child, in lines of the state machine's own group.
    pub execution: Option<Arc<str>>,
    /// Without its line end; cut at 16 KiB.
    pub message: String,
    /// Bytes that were cut off.
    pub cut: usize,
}

impl Line {
    pub(super) fn of(event: LogEvent, group: &Group) -> Self {
        let mut message = event.message;
        message.truncate(message.trim_end_matches(['\n', '\r']).len());
        let document = document(&message);
        let text = |pointer: &str| document.as_ref()?.pointer(pointer)?.as_str();
        let (level, request, execution, state) = match group.origin {
            Origin::Machine => (
                Some(of_history(text("/type").unwrap_or_default())),
                None,
                text("/execution_arn").map(Arc::from),
                text("/details/name").map(Arc::from),
            ),
            Origin::Function { .. } => {
                let request = text("/record/requestId")
                    .or_else(|| text("/requestId"))
                    .or_else(|| text("/AWSRequestId"))
                    .map(Arc::from)
                    .or_else(|| failures::request_id(&message).map(Arc::from))
                    .or_else(|| first_id(&message).map(Arc::from));
                let level = text("/level").map(str::to_ascii_uppercase);
                let level = level.as_deref().and_then(Level::of_word);
                (
                    level.or_else(|| of_text(&message)),
                    request,
                    None,
                    group.states.clone(),
                )
            }
        };
        let whole = message.len();
        if whole > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
            message.shrink_to_fit();
        }
        Self {
            at: event.at,
            group: Arc::clone(&group.name),
            stream: event.stream.into(),
            level,
            state,
            request,
            execution,
            cut: whole - message.len(),
            message,
        }
    }
}

fn document(message: &str) -> Option<Value> {
    let is_one = message.trim_start().starts_with('{');
    is_one.then(|| serde_json::from_str(message).ok()).flatten()
}

/// The level of an event of an execution's history.
fn of_history(kind: &str) -> Level {
    let failed = ["Failed", "TimedOut"];
    if failed.iter().any(|end| kind.ends_with(end)) || kind == "FailStateEntered" {
        Level::Error
    } else if kind.ends_with("Aborted") {
        Level::Warn
    } else {
        Level::Info
    }
}

/// The level that a text names near its beginning.
fn of_text(message: &str) -> Option<Level> {
    if message.starts_with("REPORT RequestId:") {
        let bad = ["\tStatus: error", "\tStatus: timeout"];
        return bad
            .iter()
            .any(|status| message.contains(status))
            .then_some(Level::Error);
    }
    let head = &message[..message.floor_char_boundary(HEAD)];
    let mut words = head.split(|c: char| !c.is_ascii_alphabetic());
    if let Some(level) = words.find_map(Level::of_word) {
        return Some(level);
    }
    let bad = [" Task timed out after ", "Traceback (most recent"];
    bad.iter()
        .any(|text| head.contains(text))
        .then_some(Level::Error)
}

/// The first UUID near the beginning, which the loggers of most runtimes put there.
fn first_id(message: &str) -> Option<&str> {
    let head = &message[..message.floor_char_boundary(HEAD)];
    head.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'))
        .find(|word| failures::is_request_id(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "6f0c2b9e-1111-4222-8333-444455556666";

    fn group(origin: Origin) -> Group {
        Group {
            name: "/aws/lambda/worker".into(),
            arn: "arn:aws:logs:r:a:log-group:/aws/lambda/worker".to_owned(),
            origin,
            states: Some("Worker".into()),
            exists: true,
        }
    }

    fn of(message: &str) -> Line {
        parsed(
            message,
            Origin::Function {
                name: "worker".into(),
            },
        )
    }

    fn parsed(message: &str, origin: Origin) -> Line {
        let event = LogEvent {
            id: None,
            group: "/aws/lambda/worker".to_owned(),
            stream: "s".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            message: message.to_owned(),
        };
        Line::of(event, &group(origin))
    }

    #[test]
    fn levels_are_read_from_where_programs_write_them() {
        for (message, level) in [
            ("[ERROR] Bad: row\n", Some(Level::Error)),
            (
                "2026-11-23T09:02:44Z\tid\tWARN\tno answer",
                Some(Level::Warn),
            ),
            (r#"{"level":"info","message":"ERROR"}"#, Some(Level::Info)),
            (
                "REPORT RequestId: x\tDuration: 1 ms\tStatus: timeout",
                Some(Level::Error),
            ),
            ("REPORT RequestId: x\tDuration: 1 ms", None),
            (
                "2026 x Task timed out after 3.00 seconds",
                Some(Level::Error),
            ),
            ("all errors are gone", None),
        ] {
            assert_eq!(of(message).level, level, "{message}");
        }
    }

    #[test]
    fn the_request_is_known_from_a_line() {
        for message in [
            format!("START RequestId: {ID} Version: $LATEST\n"),
            format!("2026-11-23T09:02:44Z\t{ID}\tINFO\tposting"),
            format!(r#"{{"type":"platform.start","record":{{"requestId":"{ID}"}}}}"#),
        ] {
            assert_eq!(of(&message).request.as_deref(), Some(ID), "{message}");
        }
        assert_eq!(of("plain words").request, None);
    }

    #[test]
    fn a_line_of_the_machine_names_its_execution_and_state() {
        let line = parsed(
            r#"{"type":"TaskStateEntered","details":{"name":"Worker"},"execution_arn":"arn:x"}"#,
            Origin::Machine,
        );
        assert_eq!(line.execution.as_deref(), Some("arn:x"));
        assert_eq!(
            (line.state.as_deref(), line.level),
            (Some("Worker"), Some(Level::Info))
        );
        let failed = parsed(r#"{"type":"MapRunFailed","details":{}}"#, Origin::Machine);
        assert_eq!(failed.level, Some(Level::Error));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let line = of(&"é".repeat(LONGEST));
        assert_eq!((line.message.len(), line.cut), (LONGEST, LONGEST));
        assert_eq!(of("short\r\n").message, "short");
    }

    proptest! {
        #[test]
        fn any_message_is_a_line(message in any::<String>()) {
            let line = of(&message);
            prop_assert!(line.message.len() + line.cut <= message.len());
        }
    }
}
