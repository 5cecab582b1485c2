//! Other executions: `states:startExecution` in its four patterns, and Step Functions' operations
//! as the SDK calls them (developer guide, "Start a new AWS Step Functions workflow from a running
//! execution").

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::sdk::{SdkError, Times, exception, shown, wire};
use super::{Reply, Runner, only, text, with_metadata};
use crate::engine::definition::Pattern;
use crate::engine::machine::{Call, Failure, Input};
use crate::engine::runner::ServiceError;
use crate::engine::store::Origin;

/// Starts an execution; the answer as the optimized integration wraps it.
pub async fn start(runner: &Runner, parameters: Value, origin: Origin) -> Result<Value, Failure> {
    only(
        &parameters,
        &["Input", "Name", "StateMachineArn", "TraceHeader"],
    )?;
    text(&parameters, "StateMachineArn")?;
    let answer = run(
        runner,
        "StartExecution",
        request(parameters, &origin),
        origin,
    )
    .await
    .map_err(|error| optimized(&error))?;
    let request = uuid::Uuid::new_v4().to_string();
    let answer = shown(answer, Times::Milliseconds);
    Ok(with_metadata(
        answer,
        200,
        &request,
        "application/x-amz-json-1.0",
    ))
}

/// StartExecution's members. `Input` may be any JSON; without a name the attempt makes one, so
/// that a call made again after a restart finds the execution that it has started before.
fn request(parameters: Value, origin: &Origin) -> Value {
    let mut request = wire(parameters);
    if let Some(members) = request.as_object_mut() {
        if let Some(input) = members.get_mut("input") {
            *input = Value::String(match input.take() {
                Value::Null => "{}".to_owned(),
                Value::String(text) => text,
                value => value.to_string(),
            });
        }
        let name = format!("{}/{}", origin.execution, origin.attempt);
        let name = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes());
        members
            .entry("name")
            .or_insert_with(|| name.to_string().into());
    }
    request
}

/// `.sync`: starts an execution and waits for its end; an abandoned one is stopped.
pub async fn run_job(
    runner: &Runner,
    call: Call,
    pattern: Pattern,
    reply: &Reply,
    mut abandoned: oneshot::Receiver<()>,
) {
    let token = call.attempt;
    // Started to the end even when abandoned meanwhile: then there is something to stop.
    let origin = Origin {
        execution: call.execution,
        attempt: token,
        is_job: true,
    };
    let result = start(runner, call.parameters, origin).await;
    let nested = match &result {
        Ok(answer) => answer["ExecutionArn"].as_str().map(str::to_owned),
        Err(_) => None,
    };
    reply.send(Input::TaskSubmitted { token, result }).await;
    let Some(nested) = nested else { return };
    let is_abandoned = tokio::select! {
        () = runner.closed(&nested) => false,
        Ok(()) = &mut abandoned => true,
    };
    if is_abandoned {
        runner.stop_execution(&nested, None, None).await;
        return;
    }
    let result = ended(runner, &nested, pattern).await;
    reply.send(Input::TaskEnded { token, result }).await;
}

/// What a nested execution came to.
async fn ended(runner: &Runner, nested: &str, pattern: Pattern) -> Result<Value, Failure> {
    let request = json!({"executionArn": nested});
    let described = runner
        .step_functions("DescribeExecution", request, None)
        .await;
    let described = described.map_err(|error| optimized(&error))?;
    let mut described = shown(described, Times::Milliseconds);
    let is_success = described["Status"] == "SUCCEEDED";
    if let Some(members) = described.as_object_mut() {
        members.retain(|name, _| {
            !name.starts_with("Redrive")
                && !matches!(
                    name.as_str(),
                    "StateMachineVersionArn" | "StateMachineAliasArn" | "TraceHeader"
                )
        });
        // In the order of their names, as recorded.
        members.sort_keys();
        if pattern == Pattern::SyncJson && is_success {
            for name in ["Input", "Output"] {
                if let Some(Value::String(text)) = members.get(name)
                    && let Ok(value) = serde_json::from_str::<Value>(text)
                {
                    members.insert(name.to_owned(), value);
                }
            }
        }
    }
    if is_success {
        Ok(described)
    } else {
        Err(Failure::new("States.TaskFailed", described.to_string()))
    }
}

/// Any operation, as the SDK calls it.
pub async fn call_as_sdk(
    runner: &Runner,
    action: &str,
    parameters: Value,
    origin: Origin,
) -> Result<Value, Failure> {
    let mut letters = action.chars();
    let operation: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(letters)
        .collect();
    let mut request = if operation == "StartExecution" {
        request(parameters, &origin)
    } else {
        wire(parameters)
    };
    // JSON where the operation takes JSON text.
    for name in ["input", "output"] {
        if let Some(value) = request.get_mut(name).filter(|value| !value.is_string()) {
            *value = Value::String(value.to_string());
        }
    }
    let answer = run(runner, &operation, request, origin).await;
    let answer = answer.map_err(|error| {
        Failure::from(SdkError {
            service: "Sfn",
            status: error.status,
            code: &error.code,
            message: &error.message,
            extended_id: false,
        })
    })?;
    Ok(shown(answer, Times::Iso))
}

async fn run(
    runner: &Runner,
    operation: &str,
    request: Value,
    origin: Origin,
) -> Result<Value, ServiceError> {
    runner
        .step_functions(operation, request, Some(origin))
        .await
}

/// An error as the optimized integration reports it.
fn optimized(error: &ServiceError) -> Failure {
    let request = uuid::Uuid::new_v4();
    let ServiceError {
        status,
        code,
        message,
    } = error;
    let cause = format!(
        "{message} (Service: AWSStepFunctions; Status Code: {status}; Error Code: {code}; Request ID: {request}; Proxy: null)"
    );
    Failure::new(format!("StepFunctions.{}", exception(code)), cause)
}
