//! Start an execution from a local file or an S3 object.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::model::{ExecutionArn, ObjectAddress, StateMachineArn};
use crate::operations::{Check, Error, Progress};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Source {
    File(PathBuf),
    Object(ObjectAddress),
}

/// What the user asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub source: Source,
    pub machine: StateMachineArn,
    /// Where local files go.
    pub bucket: String,
    /// Given name; `None` derives one from file name, content and input.
    pub name: Option<String>,
    /// Only what differs from the defaults; merged over `{"source": …}`.
    pub input: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    pub machine: StateMachineArn,
    pub name: String,
    pub source: Source,
    /// Where a local file will be put; `None` for an S3 source.
    pub upload: Option<ObjectAddress>,
    /// Bytes.
    pub size: u64,
    /// Lines of a local file; unknown for S3.
    pub lines: Option<u64>,
    pub input: Value,
    pub checks: Vec<Check>,
}

impl Plan {
    /// The same as a command.
    pub fn command(&self) -> String {
        todo!()
    }
}

/// Reads the file once (hash, lines, problems by line number), touches nothing remote but reads.
pub async fn plan(client: &Client, request: Request) -> Result<Plan, Error> {
    todo!()
}

/// Uploads where needed and starts. Doing it twice starts one execution.
pub async fn run(
    client: &Client,
    plan: &Plan,
    progress: impl Fn(Progress) + Send,
) -> Result<ExecutionArn, Error> {
    todo!()
}
