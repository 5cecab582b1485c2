//! What executions write to CloudWatch Logs: an event of their history, as a line of JSON, after the
//! step that made it is on disk (developer guide, "Using CloudWatch Logs to log execution history").
//!
//! Delivery is best effort, as on AWS: a kill between a step and its lines loses them, and an
//! Express child that starts over after a kill writes its lines again.

use serde_json::{Map, Value, json};

use super::logs::{Event as LogEvent, Logs};
use super::machine::Event;
use super::store::ExecutionRow;
use super::{ACCOUNT, REGION};

/// Longest input, output or parameters in a line, bytes (developer guide, "CloudWatch Logs").
const MAX_DATA: usize = 248 * 1_024;
/// Members of an event that hold what executions work with, and those that tell about them.
const DATA: [(&str, Option<&str>); 4] = [
    ("input", Some("inputDetails")),
    ("output", Some("outputDetails")),
    ("parameters", None),
    ("assignedVariables", Some("assignedVariablesDetails")),
];
/// Events of the level ERROR besides those of FATAL (developer guide, "Log levels").
const ERRORS: [&str; 19] = [
    "FailStateEntered",
    "LambdaFunctionFailed",
    "LambdaFunctionScheduleFailed",
    "LambdaFunctionStartFailed",
    "LambdaFunctionTimedOut",
    "MapStateAborted",
    "MapStateFailed",
    "MapIterationAborted",
    "MapIterationFailed",
    "MapRunAborted",
    "MapRunFailed",
    "ParallelStateAborted",
    "ParallelStateFailed",
    "TaskFailed",
    "TaskStartFailed",
    "TaskStateAborted",
    "TaskSubmitFailed",
    "TaskTimedOut",
    "WaitStateAborted",
];
const FATALS: [&str; 3] = ["ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    All,
    Error,
    Fatal,
    Off,
}

impl Level {
    /// Of a `LoggingConfiguration`.
    pub fn of(configuration: &Value) -> Self {
        match configuration.get("level").and_then(Value::as_str) {
            Some("ALL") => Self::All,
            Some("ERROR") => Self::Error,
            Some("FATAL") => Self::Fatal,
            _ => Self::Off,
        }
    }

    /// Whether events of this type are written.
    pub fn wants(self, kind: &str) -> bool {
        match self {
            Self::All => true,
            Self::Error => FATALS.contains(&kind) || ERRORS.contains(&kind),
            Self::Fatal => FATALS.contains(&kind),
            Self::Off => false,
        }
    }
}

/// The name of the log group that the ARN of a destination means; `None` for any other ARN.
pub fn group_of(arn: &str) -> Option<&str> {
    let rest = arn.strip_prefix("arn:aws:logs:")?;
    let rest = rest.strip_prefix(REGION)?.strip_prefix(':')?;
    let rest = rest.strip_prefix(ACCOUNT)?.strip_prefix(":log-group:")?;
    rest.strip_suffix(":*").filter(|name| !name.is_empty())
}

/// Writes the lines of the executions of one state machine.
#[derive(Debug, Clone)]
pub struct Logger {
    logs: Logs,
    level: Level,
    include_data: bool,
    group: String,
    machine_name: String,
}

impl Logger {
    /// Of what the execution's state machine was told when it started; `None` when nothing is to be
    /// written.
    pub fn of(logs: &Logs, row: &ExecutionRow) -> Option<Self> {
        let revision = row.provenance.revision.as_ref()?;
        let configuration = revision.settings.logging.as_ref()?;
        let level = Level::of(configuration);
        let arn = configuration.pointer("/destinations/0/cloudWatchLogsLogGroup/logGroupArn");
        let group = group_of(arn?.as_str()?)?;
        (level != Level::Off).then(|| Self {
            logs: logs.clone(),
            level,
            include_data: configuration.get("includeExecutionData") == Some(&Value::Bool(true)),
            group: group.to_owned(),
            machine_name: row.identity.machine_name.clone(),
        })
    }

    /// Takes events of an execution or child in. Does not wait.
    pub fn write(&self, execution: &str, redrive_count: u32, events: &[Event]) {
        let wanted = events.iter().filter(|event| self.level.wants(&event.kind));
        let lines = wanted.map(|event| LogEvent {
            timestamp: event.at,
            message: line(event, execution, redrive_count, self.include_data),
        });
        let lines: Vec<LogEvent> = lines.collect();
        let Some(first) = lines.first() else { return };
        let stream = stream(&self.machine_name, first.timestamp);
        self.logs.append(&self.group, &stream, lines);
    }

    /// Whether lines are written as fast as they come. Who makes many waits for [`Logger::room`].
    pub fn has_room(&self) -> bool {
        self.logs.has_room()
    }

    pub async fn room(&self) {
        self.logs.room().await;
    }
}

/// Seen on AWS: `states/NAME/2026-08-24-03/00000000`, the hour being that of the events.
fn stream(machine_name: &str, at: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    format!(
        "states/{machine_name}/{}/00000000",
        at.strftime("%Y-%m-%d-%H")
    )
}

/// All scalars are text; the details stand without their `…EventDetails`.
fn line(event: &Event, execution: &str, redrive_count: u32, include_data: bool) -> String {
    let details = match &event.details {
        Some(Value::Object(details)) => details_of(details, include_data),
        _ => Map::new(),
    };
    json!({
        "details": details,
        "redrive_count": redrive_count.to_string(),
        "id": event.id.to_string(),
        "type": event.kind,
        "previous_event_id": event.previous.to_string(),
        "event_timestamp": event.at.to_string(),
        "execution_arn": execution,
    })
    .to_string()
}

fn details_of(details: &Map<String, Value>, include_data: bool) -> Map<String, Value> {
    let mut shown = Map::new();
    for (name, value) in details {
        let data = DATA
            .iter()
            .any(|(data, about)| data == name || *about == Some(name.as_str()));
        if include_data || !data {
            shown.insert(name.clone(), as_text(value));
        }
    }
    for (name, about) in DATA {
        let Some(Value::String(text)) = shown.get_mut(name) else {
            continue;
        };
        if text.len() > MAX_DATA {
            text.truncate(text.floor_char_boundary(MAX_DATA));
            if let Some(about) = about {
                shown.insert(about.to_owned(), json!({ "truncated": "true" }));
            }
        }
    }
    shown
}

fn as_text(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter();
            let texts = members.map(|(name, value)| (name.clone(), as_text(value)));
            Value::Object(texts.collect())
        }
        Value::Array(values) => values.iter().map(as_text).collect(),
        Value::String(_) => value.clone(),
        scalar => scalar.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &'static str, details: Value) -> Event {
        Event {
            id: 5,
            previous: 4,
            at: 1_790_000_000_123,
            kind: kind.into(),
            details: Some(details).filter(|details| !details.is_null()),
        }
    }

    fn written(event: &Event, include_data: bool) -> Value {
        serde_json::from_str(&line(event, "arn:e", 2, include_data)).unwrap()
    }

    #[test]
    fn a_line_says_everything_as_text() {
        let entered = event(
            "MapIterationStarted",
            json!({"name": "Each", "index": 3, "list": [1, null], "deep": {"truncated": false}}),
        );
        assert_eq!(
            written(&entered, true),
            json!({
                "details": {"name": "Each", "index": "3", "list": ["1", "null"], "deep": {"truncated": "false"}},
                "redrive_count": "2", "id": "5", "type": "MapIterationStarted",
                "previous_event_id": "4", "event_timestamp": "1790000000123", "execution_arn": "arn:e",
            })
        );
        let bare = event("MapStateSucceeded", Value::Null);
        assert_eq!(written(&bare, true)["details"], json!({}));
    }

    #[test]
    fn data_is_left_out_where_it_is_not_wanted_and_errors_stay() {
        let scheduled = event(
            "TaskScheduled",
            json!({"resource": "invoke", "parameters": "{}", "input": "{}", "inputDetails": {"truncated": false}}),
        );
        assert_eq!(
            written(&scheduled, false)["details"],
            json!({"resource": "invoke"})
        );
        let failed = event("TaskFailed", json!({"error": "E", "cause": "C"}));
        assert_eq!(
            written(&failed, false)["details"],
            json!({"error": "E", "cause": "C"})
        );
    }

    #[test]
    fn long_data_is_cut_and_says_so() {
        let long = "é".repeat(MAX_DATA);
        let exited = event(
            "PassStateExited",
            json!({"output": long, "outputDetails": {"truncated": false}}),
        );
        let details = &written(&exited, true)["details"];
        assert_eq!(details["output"].as_str().unwrap().len(), MAX_DATA);
        assert_eq!(details["outputDetails"], json!({"truncated": "true"}));
        let short = event(
            "PassStateExited",
            json!({"output": "x", "outputDetails": {"truncated": false}}),
        );
        assert_eq!(
            written(&short, true)["details"]["outputDetails"],
            json!({"truncated": "false"})
        );
    }

    #[test]
    fn each_level_writes_what_the_next_one_does_and_more() {
        let kinds = [
            "ExecutionFailed",
            "TaskFailed",
            "FailStateEntered",
            "TaskSucceeded",
            "ExecutionSucceeded",
            "ExecutionTimedOut",
            "MapRunStarted",
        ];
        let of = |level: Level| {
            kinds
                .into_iter()
                .filter(|kind| level.wants(kind))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Level::Off), Vec::<&str>::new());
        assert_eq!(of(Level::Fatal), ["ExecutionFailed", "ExecutionTimedOut"]);
        assert_eq!(
            of(Level::Error),
            [
                "ExecutionFailed",
                "TaskFailed",
                "FailStateEntered",
                "ExecutionTimedOut"
            ]
        );
        assert_eq!(of(Level::All), kinds);
    }

    #[test]
    fn streams_are_named_after_machine_and_hour() {
        assert_eq!(
            stream("m", 1_790_000_000_123),
            "states/m/2026-09-21-14/00000000"
        );
    }
}
