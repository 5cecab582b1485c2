//! Which execution the user means, and its state in one value.

use serde::Serialize;

use crate::client::Client;
use crate::model::{
    Execution, ExecutionArn, ExecutionDetail, MapRun, RunState, StateMachineArn, Timestamp,
};
use crate::operations::Error;

/// An execution with its Map Runs: what lists and `runs --json` show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    pub detail: ExecutionDetail,
    /// Newest first.
    pub map_runs: Vec<MapRun>,
}

impl Run {
    pub fn execution(&self) -> &Execution {
        &self.detail.execution
    }

    /// The Map Run that matters most: running, else with most failures, else the newest.
    pub fn map_run(&self) -> Option<&MapRun> {
        todo!()
    }

    pub fn state(&self, now: Timestamp) -> RunState {
        RunState::of(self.execution(), self.map_run(), now)
    }
}

/// Finds the state machine named `name` (or with that ARN).
pub async fn machine(client: &Client, name: &str) -> Result<StateMachineArn, Error> {
    todo!()
}

/// Finds the execution: an ARN, a name, an unambiguous part of a name, or `last` (newest started).
///
/// # Errors
/// `Refused` names the candidates when more than one fits, or says that none does.
pub async fn find(
    client: &Client,
    machine: &StateMachineArn,
    run: &str,
) -> Result<ExecutionArn, Error> {
    todo!()
}

/// Describes an execution and its Map Runs.
pub async fn describe(client: &Client, execution: &ExecutionArn) -> Result<Run, Error> {
    todo!()
}
