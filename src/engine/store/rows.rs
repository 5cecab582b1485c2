//! The rows, as they are kept: a member that is added later has a default.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::machine::{Execution, Identity, MapRunPlan};
use crate::engine::state_machines::Revision;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityRow {
    pub arn: String,
    pub name: String,
    /// Milliseconds since 1970.
    pub created: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionStatus {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Aborted,
}

impl ExecutionStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionRow {
    pub identity: Identity,
    /// Key into `definitions`: an execution keeps its definition for life, across redrives.
    pub revision: String,
    /// Orders executions that started in the same millisecond.
    pub sequence: u64,
    /// As it was given.
    pub input: Arc<Value>,
    pub status: ExecutionStatus,
    pub stopped: Option<i64>,
    /// A row keeps `null` as nothing: see [`ExecutionRow::output`].
    pub output: Option<Value>,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub redriven: Option<i64>,
    /// The last client tokens of RedriveExecution with what was answered.
    pub redrive_tokens: Vec<(String, i64)>,
    /// The Task that started it.
    #[serde(default)]
    pub nested_in: Option<Origin>,
    #[serde(default)]
    pub provenance: Provenance,
    pub execution: Execution,
}

/// The Task that starts an execution from inside another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// ARN of the Task's execution.
    pub execution: String,
    pub attempt: u64,
    /// `.sync`: the Task waits for the end, and takes what it has started along with its own.
    #[serde(default)]
    pub is_job: bool,
}

/// How an execution was started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// ARN of the version that runs, where one was named by the caller or chosen by an alias.
    pub version: Option<String>,
    /// ARN.
    pub alias: Option<String>,
    pub trace: Option<String>,
    /// The input's text, where that is not `input` written as short as can be.
    pub input: Option<String>,
    /// What the state machine was; `None` in rows of older programs.
    pub revision: Option<Revision>,
    /// An Express execution keeps no history, and nothing at all once it has ended.
    pub express: bool,
}

impl ExecutionRow {
    /// The input as the caller wrote it.
    pub fn input_text(&self) -> String {
        let text = self.provenance.input.clone();
        text.unwrap_or_else(|| self.input.to_string())
    }

    /// What a successful execution gave.
    pub fn output(&self) -> Option<&Value> {
        let succeeded = self.status == ExecutionStatus::Succeeded;
        succeeded.then(|| self.output.as_ref().unwrap_or(&Value::Null))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapRunRow {
    pub plan: MapRunPlan,
    /// ARN of the execution that owns it.
    pub execution: String,
    /// Where that execution is, if it is a Map Run's child.
    #[serde(default)]
    pub owner: Option<Owner>,
    pub started: i64,
    /// Redrives that were asked for so far.
    #[serde(default)]
    pub redrives: u32,
    /// `DescribeMapRun` as it was when the Map Run closed; `None` while it is open. Spares
    /// listings the replay of logs.
    pub closed: Option<Value>,
}

impl MapRunRow {
    /// ARN of the execution that is nobody's child, in which everything began.
    pub fn root(&self) -> &str {
        match &self.owner {
            Some(owner) => &owner.root,
            None => &self.execution,
        }
    }
}

/// The child that owns a nested Map Run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// ARN of the Map Run whose child it is.
    pub map_run: String,
    pub child: u32,
    /// See [`MapRunRow::root`].
    pub root: String,
}
