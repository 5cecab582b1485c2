//! Redrive an execution in place, with the truth told first.

use serde::Serialize;

use crate::client::Client;
use crate::model::{ExecutionArn, RunState, Timestamp};
use crate::operations::{Check, Error};

/// What a redrive would do. Counts are the service's, from `DescribeMapRun`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    pub execution: ExecutionArn,
    pub state: RunState,
    /// `Err` is the reason why not, with what to do instead.
    pub allowed: Result<(), String>,
    pub failed: u64,
    pub timed_out: u64,
    pub aborted: u64,
    pub never_started: u64,
    /// Kept as they are.
    pub succeeded: u64,
    pub not_redrivable: u64,
    pub redrives_so_far: u32,
    /// Until AWS no longer redrives this execution.
    pub seconds_left: Option<i64>,
    pub checks: Vec<Check>,
}

impl Plan {
    /// Items that will run again or for the first time.
    pub fn will_run(&self) -> u64 {
        (self.failed + self.timed_out + self.aborted + self.never_started)
            .saturating_sub(self.not_redrivable)
    }

    /// The same as a command.
    pub fn command(&self) -> String {
        todo!()
    }
}

pub async fn plan(
    client: &Client,
    execution: &ExecutionArn,
    now: Timestamp,
) -> Result<Plan, Error> {
    todo!()
}

/// Redrives; returns when.
///
/// # Errors
/// `Refused` when the plan is not allowed.
pub async fn run(client: &Client, plan: &Plan) -> Result<Timestamp, Error> {
    todo!()
}
