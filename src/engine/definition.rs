//! Amazon States Language: text → checked [`Definition`], or every problem at once with its place.
//!
//! A field or resource that the engine lacks is a problem that names it, never ignored.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::path::Path;
use super::query::{Language, Template};

mod choice;
mod parse;
mod resource;
mod variables;

pub use super::query::Given;
pub use choice::Rule;
pub use resource::{Pattern, Resource, Service};

/// A state machine, or the inside of a Parallel branch or a Map.
#[derive(Debug, PartialEq)]
pub struct Scope {
    pub start_at: String,
    pub states: HashMap<String, State>,
}

#[derive(Debug, PartialEq)]
pub struct Definition {
    pub scope: Arc<Scope>,
    /// Of the whole execution.
    pub timeout_seconds: Option<u64>,
}

#[derive(Debug, PartialEq)]
pub struct State {
    pub language: Language,
    pub kind: Kind,
    /// `None`: the whole input.
    pub input_path: Selection,
    pub output_path: Selection,
    /// `None`: `$`, the result replaces the input.
    pub result_path: Selection,
    /// `Parameters`; in JSONata `Arguments`.
    pub parameters: Option<Template>,
    pub result_selector: Option<Template>,
    /// JSONata only.
    pub output: Option<Template>,
    /// Variables, by name.
    pub assign: Option<Template>,
    pub retry: Vec<Retrier>,
    pub catch: Vec<Catcher>,
    /// `None`: this state ends its scope.
    pub next: Option<String>,
}

/// A path field that may be absent (`$`) or `null` (nothing).
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    Whole,
    Nothing,
    Path(Path),
}

#[derive(Debug, PartialEq)]
pub enum Kind {
    Pass {
        result: Option<Value>,
    },
    Task(Task),
    Choice {
        rules: Vec<ChoiceRule>,
        /// What holds when no rule matches is the state's own `Assign` and `Output`.
        default: Option<String>,
    },
    Wait(Wait),
    Succeed,
    Fail {
        error: Option<Given<String>>,
        cause: Option<Given<String>>,
    },
    Parallel {
        branches: Vec<Arc<Scope>>,
    },
    Map(Box<MapState>),
}

impl Kind {
    /// As in `Type` and in history events.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "Pass",
            Self::Task(_) => "Task",
            Self::Choice { .. } => "Choice",
            Self::Wait(_) => "Wait",
            Self::Succeed => "Succeed",
            Self::Fail { .. } => "Fail",
            Self::Parallel { .. } => "Parallel",
            Self::Map(_) => "Map",
        }
    }

    /// The event that tells of the way in.
    pub fn entered(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "PassStateEntered",
            Self::Task(_) => "TaskStateEntered",
            Self::Choice { .. } => "ChoiceStateEntered",
            Self::Wait(_) => "WaitStateEntered",
            Self::Succeed => "SucceedStateEntered",
            Self::Fail { .. } => "FailStateEntered",
            Self::Parallel { .. } => "ParallelStateEntered",
            Self::Map(_) => "MapStateEntered",
        }
    }

    /// The event that tells of the way out.
    pub fn exited(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "PassStateExited",
            Self::Task(_) => "TaskStateExited",
            Self::Choice { .. } => "ChoiceStateExited",
            Self::Wait(_) => "WaitStateExited",
            Self::Succeed => "SucceedStateExited",
            Self::Fail { .. } => "FailStateExited",
            Self::Parallel { .. } => "ParallelStateExited",
            Self::Map(_) => "MapStateExited",
        }
    }
}

/// A way out of a Choice state.
#[derive(Debug, PartialEq)]
pub struct ChoiceRule {
    pub rule: Rule,
    pub next: String,
    pub output: Option<Template>,
    pub assign: Option<Template>,
}

#[derive(Debug, PartialEq)]
pub struct Task {
    pub resource: Resource,
    /// Seconds.
    pub timeout: Option<Given<u64>>,
    /// Seconds.
    pub heartbeat: Option<Given<u64>>,
    /// Template giving `{RoleArn}`: shown, as roles are not checked.
    pub credentials: Option<Template>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Wait {
    Seconds(Given<u64>),
    /// RFC 3339.
    Timestamp(Given<jiff::Timestamp>),
}

#[derive(Debug, PartialEq)]
pub struct MapState {
    pub processor: Arc<Scope>,
    pub items_path: Option<Path>,
    /// JSONata's `Items`.
    pub items: Option<Template>,
    /// `ItemSelector` or the legacy `Parameters`.
    pub selector: Option<Template>,
    pub max_concurrency: Option<Given<u64>>,
    /// `None`: inline.
    pub distributed: Option<Distributed>,
}

#[derive(Debug, PartialEq)]
pub struct Distributed {
    pub label: Option<String>,
    pub children: ChildKind,
    pub reader: Option<Reader>,
    pub batcher: Option<Batcher>,
    pub tolerated_count: Option<Given<u64>>,
    pub tolerated_percentage: Option<Given<f64>>,
    pub writer: Option<Writer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChildKind {
    Standard,
    Express,
}

#[derive(Debug, PartialEq)]
pub struct Reader {
    pub dataset: Dataset,
    /// Template giving `{Bucket, Key}` or `{Bucket, Prefix}`.
    pub parameters: Template,
    pub max_items: Option<Given<i64>>,
}

/// What an ItemReader makes items of.
#[derive(Debug, Clone, PartialEq)]
pub enum Dataset {
    /// What is in one object.
    Object(Format),
    /// The objects below a prefix, or what is in them.
    Listing(Option<Format>),
}

/// How items are found in an object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Format {
    Json,
    /// Below a JSON pointer.
    JsonAt(String),
    JsonLines,
    Csv(Csv),
    /// The manifest of an S3 inventory.
    Inventory,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Csv {
    pub delimiter: u8,
    /// `None`: they are the first row.
    pub headers: Option<Vec<String>>,
}

/// A ResultWriter.
#[derive(Debug, PartialEq)]
pub struct Writer {
    /// Template giving `{Bucket, Prefix}`; `None`: into the state's output.
    pub parameters: Option<Template>,
    pub shape: Shape,
}

/// A `WriterConfig` (developer guide, "ResultWriter").
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    pub transformation: Transformation,
    /// JSON Lines instead of one array a file.
    pub lines: bool,
}

/// What a child that succeeded contributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Transformation {
    /// Everything known of it.
    None,
    /// Its output.
    Compact,
    /// Its output, or the elements of an output that is an array.
    Flatten,
}

#[derive(Debug, PartialEq)]
pub struct Batcher {
    pub max_items: Option<Given<u64>>,
    pub max_bytes: Option<Given<u64>>,
    pub input: Option<Template>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Retrier {
    pub errors: Vec<String>,
    pub interval_seconds: u64,
    pub max_attempts: u64,
    pub backoff_rate: f64,
    pub max_delay_seconds: Option<u64>,
    /// `JitterStrategy: FULL`.
    pub jitter: bool,
}

impl Retrier {
    /// How long to wait before retry number `attempt` (from 1), in milliseconds; `None` when none
    /// is left. `random` is used for full jitter only (developer guide, "Retrying after an error").
    pub fn delay_ms(&self, attempt: u64, random: u64) -> Option<u64> {
        if attempt > self.max_attempts {
            return None;
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.interval_seconds as f64 * self.backoff_rate.powi(exponent);
        // A year and a day is longer than any execution lives; keeps the arithmetic finite.
        let longest = self.max_delay_seconds.unwrap_or(366 * 86_400) as f64;
        let delay = (seconds.min(longest) * 1_000.0) as u64;
        Some(if self.jitter && delay > 0 {
            random % (delay + 1)
        } else {
            delay
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Catcher {
    pub errors: Vec<String>,
    pub next: String,
    pub result_path: Selection,
    pub output: Option<Template>,
    pub assign: Option<Template>,
}

/// Whether a retrier's or catcher's `ErrorEquals` covers `error`.
///
/// `States.Runtime` is never covered; `States.TaskFailed` covers all but timeouts; a missed
/// heartbeat is a timeout too (developer guide, "Handling errors").
pub fn covers(errors: &[String], error: &str) -> bool {
    if error == "States.Runtime" {
        return false;
    }
    errors.iter().any(|name| match name.as_str() {
        "States.ALL" => true,
        "States.TaskFailed" => !matches!(error, "States.Timeout" | "States.HeartbeatTimeout"),
        "States.Timeout" => matches!(error, "States.Timeout" | "States.HeartbeatTimeout"),
        name => name == error,
    })
}

/// A timestamp as AWS reads them: RFC 3339 with `T` between date and time and seconds given.
pub fn timestamp(text: &str) -> Option<jiff::Timestamp> {
    let shape = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        shape
            .get(range)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let is_date = digits(0..4) && digits(5..7) && digits(8..10);
    let is_time = digits(11..13) && digits(14..16) && digits(17..19);
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let is_marked = marks.iter().all(|(at, mark)| shape.get(*at) == Some(mark));
    let is_plain = !text.contains(['[', ',']);
    (is_date && is_time && is_marked && is_plain)
        .then(|| text.parse().ok())
        .flatten()
}

/// One thing wrong with a definition, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub code: &'static str,
    pub message: String,
    /// As `/States/A/Choices[0]/Next`; empty when AWS names no place.
    pub place: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    /// As in `ValidateStateMachineDefinition`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
        }
    }
}

impl Problem {
    /// An error that breaks a rule of the language's shape.
    pub fn schema(place: &str, message: impl Into<String>) -> Self {
        Self::coded(parse::SCHEMA, place, message)
    }

    /// An error with a code of its own.
    pub fn coded(code: &'static str, place: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            place: place.to_owned(),
        }
    }
}

/// As AWS joins them in the message of `InvalidDefinition`.
impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if !self.place.is_empty() {
            write!(f, " at {}", self.place)?;
        }
        Ok(())
    }
}

/// A definition that was looked at whole.
#[derive(Debug)]
pub struct Checked {
    /// `None` when there are errors.
    pub definition: Option<Definition>,
    /// Errors and warnings, in the order in which they were found.
    pub problems: Vec<Problem>,
}

impl Definition {
    /// Checks a definition for a state machine of type `kind` and reads it.
    pub fn check(text: &str, kind: ChildKind) -> Checked {
        parse::definition(text, kind)
    }

    /// Reads a definition that was checked when it was taken in.
    ///
    /// # Errors
    /// Every error found; nothing is created from a definition with errors.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let Checked {
            definition,
            mut problems,
        } = Self::check(text, ChildKind::Standard);
        definition.ok_or_else(|| {
            problems.retain(|problem| problem.severity == Severity::Error);
            problems
        })
    }

    /// The Distributed Map with this label, wherever it is.
    pub fn labelled(&self, label: &str, machine: &str) -> Option<(&str, &State, &MapState)> {
        find_labelled(&self.scope, label, machine)
    }
}

/// The label of a Distributed Map: the author's, else one made from names, so that it is the same
/// whenever it is asked for.
pub fn label_of(distributed: &Distributed, machine: &str, state: &str) -> String {
    distributed.label.clone().unwrap_or_else(|| {
        let name = format!("{machine}/{state}");
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    })
}

fn find_labelled<'d>(
    scope: &'d Scope,
    label: &str,
    machine: &str,
) -> Option<(&'d str, &'d State, &'d MapState)> {
    scope
        .states
        .iter()
        .find_map(|(name, state)| match &state.kind {
            Kind::Map(map) => match &map.distributed {
                Some(distributed) if label_of(distributed, machine, name) == label => {
                    Some((name.as_str(), state, map.as_ref()))
                }
                _ => find_labelled(&map.processor, label, machine),
            },
            Kind::Parallel { branches } => branches
                .iter()
                .find_map(|branch| find_labelled(branch, label, machine)),
            _ => None,
        })
}

#[cfg(test)]
mod tests;
