//! The Step Functions operations: JSON body → typed arguments → store or runner → JSON answer.
//! Shapes, limits and messages are the API reference's.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::ApiError;
use crate::engine::Engine;
use crate::engine::store::Origin;

mod aliases;
pub(super) mod arguments;
mod executions;
mod express;
mod logging;
mod machines;
mod map_runs;
pub(super) mod shapes;
mod tags;
mod tasks;
mod test_state;
mod validate;
mod versions;

use arguments::Arguments;

/// Answers one operation (`StartExecution`, …) with its JSON body.
///
/// # Errors
/// In AWS's shape; `UnknownOperationException` names an operation that the engine lacks.
pub async fn call(engine: &Engine, operation: &str, body: &[u8]) -> Result<Value, ApiError> {
    call_traced(engine, operation, body, None).await
}

/// The same with the trace header of the HTTP request, which wins over `traceHeader`.
///
/// # Errors
/// As [`call`].
pub async fn call_traced(
    engine: &Engine,
    operation: &str,
    body: &[u8],
    trace: Option<&str>,
) -> Result<Value, ApiError> {
    let mut arguments = Arguments::parse(operation, body)?;
    pass_gate(engine, operation, &arguments)?;
    if let Some(trace) = trace {
        arguments.put("traceHeader", trace);
    }
    answer(engine, operation, &arguments).await
}

/// Whether Step Functions has this operation.
pub fn is_operation(name: &str) -> bool {
    shapes::request(name).is_some()
}

/// Throttling and injected faults, where they are switched on.
fn pass_gate(engine: &Engine, operation: &str, arguments: &Arguments) -> Result<(), ApiError> {
    let runner = engine.runner();
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    let draw = random as f64 / u64::MAX as f64;
    let is_start = operation == "StartExecution";
    let is_express = is_start
        && machines::find(runner.store(), arguments, "stateMachineArn")
            .is_ok_and(|(machine, _)| machine.kind == "EXPRESS");
    let mut gate = runner.gate();
    if let Some(fault) = gate.fault(operation, draw) {
        return Err(ApiError {
            status: fault.status(),
            ..ApiError::new(&fault.error, "injected by a switch of this engine")
        });
    }
    match gate.admits(operation, is_express, runner.now()) {
        true => Ok(()),
        false => Err(ApiError::new("ThrottlingException", "Rate exceeded")),
    }
}

/// Answers an operation that a Task calls; `origin` tells which, so that one who asks again after
/// a restart finds what it has started before.
///
/// # Errors
/// As [`call`].
pub async fn call_from_task(
    engine: &Engine,
    operation: &str,
    request: &Value,
    origin: Option<Origin>,
) -> Result<Value, ApiError> {
    let mut arguments = Arguments::parse(operation, request.to_string().as_bytes())?;
    arguments.comes_from(origin);
    answer(engine, operation, &arguments).await
}

async fn answer(
    engine: &Engine,
    operation: &str,
    arguments: &Arguments,
) -> Result<Value, ApiError> {
    match operation {
        "CreateStateMachine" => machines::create(engine, arguments).await,
        "UpdateStateMachine" => machines::update(engine, arguments).await,
        "DescribeStateMachine" => machines::describe(engine, arguments),
        "DescribeStateMachineForExecution" => {
            machines::describe_for_execution(engine, arguments).await
        }
        "ListStateMachines" => machines::list(engine, arguments),
        "DeleteStateMachine" => machines::delete(engine, arguments).await,
        "ValidateStateMachineDefinition" => validate::validate(arguments),
        "PublishStateMachineVersion" => versions::create(engine, arguments).await,
        "ListStateMachineVersions" => versions::list(engine, arguments),
        "DeleteStateMachineVersion" => versions::delete(engine, arguments).await,
        "CreateStateMachineAlias" => aliases::create(engine, arguments).await,
        "UpdateStateMachineAlias" => aliases::update(engine, arguments).await,
        "DescribeStateMachineAlias" => aliases::describe(engine, arguments),
        "ListStateMachineAliases" => aliases::list(engine, arguments),
        "DeleteStateMachineAlias" => aliases::delete(engine, arguments).await,
        "TagResource" => tags::add(engine, arguments).await,
        "UntagResource" => tags::remove(engine, arguments).await,
        "ListTagsForResource" => tags::list(engine, arguments),
        "TestState" => test_state::test(engine, arguments).await,
        "StartSyncExecution" => express::start_sync(engine, arguments).await,
        "StartExecution" => executions::start(engine, arguments).await,
        "StopExecution" => executions::stop(engine, arguments).await,
        "DescribeExecution" => {
            unless_blocked(engine, executions::describe(engine, arguments).await?)
        }
        "ListExecutions" => executions::list(engine, arguments).await,
        "GetExecutionHistory" => executions::history(engine, arguments).await,
        "RedriveExecution" => executions::redrive(engine, arguments).await,
        "DescribeMapRun" => unless_blocked(engine, map_runs::describe(engine, arguments).await?),
        "ListMapRuns" => map_runs::list(engine, arguments).await,
        "UpdateMapRun" => map_runs::update(engine, arguments).await,
        "SendTaskSuccess" => tasks::succeed(engine, arguments).await,
        "SendTaskFailure" => tasks::fail(engine, arguments).await,
        "SendTaskHeartbeat" => tasks::heartbeat(engine, arguments).await,
        "CreateActivity" => tasks::create_activity(engine, arguments).await,
        "DescribeActivity" => tasks::describe_activity(engine, arguments),
        "DeleteActivity" => tasks::delete_activity(engine, arguments).await,
        "ListActivities" => tasks::list_activities(engine, arguments),
        "GetActivityTask" => tasks::get_activity_task(engine, arguments).await,
        other => Err(ApiError::new(
            "UnknownOperationException",
            format!("The operation {other} is not supported by this engine"),
        )),
    }
}

impl From<crate::engine::store::StoreError> for ApiError {
    fn from(error: crate::engine::store::StoreError) -> Self {
        Self {
            status: 500,
            ..Self::new("InternalServerException", error.to_string())
        }
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        Self {
            status: 500,
            ..Self::new("InternalServerException", error.to_string())
        }
    }
}

/// What is under way, unless it waits for the disk: it would look as if it went on.
fn unless_blocked(engine: &Engine, answer: Value) -> Result<Value, ApiError> {
    let problem = engine.runner().blocked().problem(Instant::now());
    match problem.filter(|_| answer["status"] == "RUNNING") {
        None => Ok(answer),
        Some(problem) => Err(ApiError {
            status: 500,
            ..ApiError::new("InternalServerException", problem)
        }),
    }
}

/// Adds a member that is there.
fn put(object: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    object.extend(value.map(|value| (name.to_owned(), value.into())));
}

fn conflict(message: impl Into<String>) -> ApiError {
    ApiError {
        status: 409,
        ..ApiError::new("ConflictException", message)
    }
}

fn quota(message: impl Into<String>) -> ApiError {
    ApiError {
        status: 402,
        ..ApiError::new("ServiceQuotaExceededException", message)
    }
}

/// Of a Map Run, version, alias or tagged resource that is not there.
fn missing(arn: &str) -> ApiError {
    ApiError::new("ResourceNotFound", format!("Resource not found: '{arn}'"))
}

/// Runs what reads much of the store or of a log away from the runtime's threads.
async fn reading<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let internal = |error: tokio::task::JoinError| ApiError {
        status: 500,
        ..ApiError::new("InternalServerException", error.to_string())
    };
    tokio::task::spawn_blocking(read).await.map_err(internal)?
}

/// `items` under `name`, with the token that continues where there is more.
fn page(name: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut page = json!({ name: items });
    if let (Some(next), Some(object)) = (next, page.as_object_mut()) {
        object.insert("nextToken".to_owned(), next.into());
    }
    page
}
