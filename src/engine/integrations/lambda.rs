//! Lambda functions: by ARN, as the optimized integration, and as the SDK calls them (developer
//! guide, "Invoke an AWS Lambda function with Step Functions").

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use serde_json::{Value, json};

use super::{Runner, only, optional_text, text, with_metadata};
use crate::engine::functions::{Function, FunctionError};
use crate::engine::machine::Failure;
use crate::engine::{ACCOUNT, REGION};

const PARAMETERS: [&str; 6] = [
    "ClientContext",
    "FunctionName",
    "InvocationType",
    "LogType",
    "Payload",
    "Qualifier",
];

/// What a function came to, and the request id that its log lines carry.
struct Answer {
    request: String,
    result: Result<Value, Failed>,
}

/// A function's own failure.
struct Failed {
    error_type: String,
    /// `{"errorMessage", "errorType", …}`, JSON text.
    payload: String,
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self::new(failed.error_type, failed.payload)
    }
}

/// A function's ARN as the resource: payload in, payload out.
pub async fn run(runner: &Runner, arn: &str, payload: Value) -> Result<Value, Failure> {
    let answer = call(runner, arn, payload).await?;
    Ok(answer.result?)
}

/// `lambda:invoke`: the payload between metadata; the function's failure is the Task's.
pub async fn invoke(runner: &Runner, mut parameters: Value) -> Result<Value, Failure> {
    only(&parameters, &PARAMETERS)?;
    let name = qualified(&parameters)?;
    let payload = payload(&mut parameters);
    if let Some(answer) = without_waiting(runner, &parameters, &name, &payload)? {
        let request = uuid::Uuid::new_v4().to_string();
        let status = answer["StatusCode"].as_u64().unwrap_or(202) as u16;
        return Ok(with_metadata(answer, status, &request, "application/json"));
    }
    let answer = call(runner, &name, payload).await?;
    let wrapped = json!({
        "ExecutedVersion": "$LATEST",
        "Payload": answer.result?,
        "StatusCode": 200,
    });
    Ok(with_metadata(
        wrapped,
        200,
        &answer.request,
        "application/json",
    ))
}

/// `aws-sdk:lambda:invoke`: payloads are strings, and a function's failure is an answer too.
pub async fn invoke_as_sdk(runner: &Runner, mut parameters: Value) -> Result<Value, Failure> {
    only(&parameters, &PARAMETERS)?;
    let name = qualified(&parameters)?;
    let payload = match payload(&mut parameters) {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        value => value,
    };
    if let Some(answer) = without_waiting(runner, &parameters, &name, &payload)? {
        return Ok(answer);
    }
    let answer = call(runner, &name, payload).await?;
    Ok(match answer.result {
        Ok(payload) => json!({
            "ExecutedVersion": "$LATEST",
            "Payload": payload.to_string(),
            "StatusCode": 200,
        }),
        Err(failed) => json!({
            "ExecutedVersion": "$LATEST",
            "FunctionError": "Unhandled",
            "Payload": failed.payload,
            "StatusCode": 200,
        }),
    })
}

/// `FunctionName` with the `Qualifier` that may stand beside it.
fn qualified(parameters: &Value) -> Result<String, Failure> {
    let name = text(parameters, "FunctionName")?;
    Ok(match optional_text(parameters, "Qualifier")? {
        Some(qualifier) => format!("{name}:{qualifier}"),
        None => name.to_owned(),
    })
}

fn payload(parameters: &mut Value) -> Value {
    match parameters.get_mut("Payload") {
        Some(payload) => payload.take(),
        None => json!({}),
    }
}

/// The answer to an invocation that nobody waits for.
fn without_waiting(
    runner: &Runner,
    parameters: &Value,
    name: &str,
    payload: &Value,
) -> Result<Option<Value>, Failure> {
    match optional_text(parameters, "InvocationType")? {
        None | Some("RequestResponse") => Ok(None),
        Some("DryRun") => {
            find(runner, name)?;
            Ok(Some(json!({"Payload": "", "StatusCode": 204})))
        }
        Some("Event") => {
            find(runner, name)?;
            let (background, name, payload) = (runner.clone(), name.to_owned(), payload.clone());
            runner.track(async move {
                tokio::select! {
                    () = background.stopping() => {}
                    // Nobody is told how it went, as on AWS.
                    _ = call(&background, &name, payload) => {}
                }
            });
            Ok(Some(json!({"Payload": "", "StatusCode": 202})))
        }
        Some(other) => Err(Failure::new(
            "Lambda.LambdaException",
            format!(
                "1 validation error detected: Value '{other}' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
            ),
        )),
    }
}

fn find(runner: &Runner, name: &str) -> Result<Function, Failure> {
    runner.functions().get(name).ok_or_else(|| {
        let bare = name.rsplit_once("function:").map_or(name, |(_, bare)| bare);
        let request = uuid::Uuid::new_v4();
        let cause = format!(
            "Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:{bare} (Service: AWSLambda; Status Code: 404; Error Code: ResourceNotFoundException; Request ID: {request}; Proxy: null)"
        );
        Failure::new("Lambda.ResourceNotFoundException", cause)
    })
}

async fn call(runner: &Runner, name: &str, payload: Value) -> Result<Answer, Failure> {
    let code = find(runner, name)?;
    let request = uuid::Uuid::new_v4().to_string();
    let result = match AssertUnwindSafe(code(payload)).catch_unwind().await {
        Ok(Ok(payload)) => Ok(payload),
        Ok(Err(FunctionError {
            error_type,
            message,
        })) => {
            let payload = json!({"errorMessage": message, "errorType": error_type, "requestId": request, "stackTrace": []});
            Err(Failed {
                error_type,
                payload: payload.to_string(),
            })
        }
        Err(_) => {
            let message = format!("RequestId: {request} Error: the function panicked");
            let payload = json!({"errorMessage": message, "errorType": "Runtime.ExitError"});
            Err(Failed {
                error_type: "Lambda.Unknown".to_owned(),
                payload: payload.to_string(),
            })
        }
    };
    Ok(Answer { request, result })
}
