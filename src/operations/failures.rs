//! Failed items: sampled from children while a Map Run is going, exact from its result files after.

use serde::Serialize;

use crate::client::Client;
use crate::model::{ExecutionArn, Failure, MapRun};
use crate::operations::Error;

/// Failures with how complete they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failures {
    pub items: Vec<Failure>,
    /// Whether `items` is everything there is (read from result files to their end).
    pub exact: bool,
    /// Where they were read: `FAILED_0.json …`, or `children`.
    pub source: String,
}

/// A group of failures with the same error and normalised cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    pub error: String,
    /// The cause's message with numbers, ids, addresses and paths masked as `<n>`, `<id>`, ….
    pub message: String,
    pub count: u64,
    pub first_line: Option<u64>,
    pub last_line: Option<u64>,
    /// Index into the list it was made of, of the first member.
    pub example: usize,
}

/// At most `limit` failures of this Map Run, newest first.
pub async fn of(client: &Client, map_run: &MapRun, limit: usize) -> Result<Failures, Error> {
    todo!()
}

/// One failed child's line, error, cause and input (one DescribeExecution).
pub async fn of_child(client: &Client, child: &ExecutionArn) -> Result<Failure, Error> {
    todo!()
}

/// Groups, largest first.
pub fn group(failures: &[Failure]) -> Vec<Group> {
    todo!()
}

/// The readable part of a cause: `errorMessage` of Lambda's JSON, else the text itself.
pub fn message(cause: &str) -> String {
    todo!()
}
