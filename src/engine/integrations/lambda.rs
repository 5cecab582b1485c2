//! Lambda functions: by ARN, as the optimized integration, and as the SDK calls them (developer
//! guide, "Invoke an AWS Lambda function with Step Functions").

use serde_json::{Value, json};

use super::sdk::SdkError;
use super::{Runner, object, only, optional_text, text, with_metadata};
use crate::engine::digest::{base64_decode, base64_encode};
use crate::engine::functions::{self, Failed, Payload, Refusal, VERSION};
use crate::engine::machine::Failure;

const PARAMETERS: [&str; 6] = [
    "ClientContext",
    "FunctionName",
    "InvocationType",
    "LogType",
    "Payload",
    "Qualifier",
];

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self::new(failed.error_type, String::from_utf8_lossy(&failed.payload))
    }
}

/// A function that did not run, in the words of the SDK that asked for it.
fn refused(refusal: &Refusal, request: &str) -> Failure {
    let (status, name) = refusal.code();
    let cause = format!(
        "{refusal} (Service: AWSLambda; Status Code: {status}; Error Code: {name}; Request ID: {request}; Proxy: null)"
    );
    Failure::new(format!("Lambda.{name}"), cause)
}

/// A function's ARN as the resource: payload in, payload out.
pub async fn run(runner: &Runner, arn: &str, payload: Value) -> Result<Value, Failure> {
    let call = functions::Call::new(Payload::Value(payload));
    let request = call.request.clone();
    let answer = runner
        .functions()
        .invoke(arn, call)
        .await
        .map_err(|refusal| refused(&refusal, &request))?;
    Ok(answer.result?.into_value())
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
    let call = prepared(&parameters, payload)?;
    let request = call.request.clone();
    let answer = runner
        .functions()
        .invoke(&name, call)
        .await
        .map_err(|refusal| refused(&refusal, &request))?;
    let wrapped = object([
        ("ExecutedVersion", VERSION.into()),
        ("Payload", answer.result?.into_value()),
        ("StatusCode", 200.into()),
    ]);
    let wrapped = with_log(wrapped, &answer.log);
    Ok(with_metadata(wrapped, 200, &request, "application/json"))
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
    let call = prepared(&parameters, payload)?;
    let answer = runner
        .functions()
        .invoke(&name, call)
        .await
        .map_err(|refusal| {
            let (status, code) = refusal.code();
            Failure::from(SdkError {
                service: "Lambda",
                status,
                code,
                message: &refusal.to_string(),
                extended_id: false,
            })
        })?;
    let (error, payload) = match answer.result {
        Ok(payload) => (None, payload.into_text()),
        Err(failed) => (Some("Unhandled"), failed.payload),
    };
    let mut shown = json!({
        "ExecutedVersion": VERSION,
        "Payload": String::from_utf8_lossy(&payload),
        "StatusCode": 200,
    });
    if let Some(error) = error {
        shown["FunctionError"] = error.into();
    }
    Ok(with_log(shown, &answer.log))
}

/// The call that the parameters describe.
fn prepared(parameters: &Value, payload: Value) -> Result<functions::Call, Failure> {
    let mut call = functions::Call::new(Payload::Value(payload));
    call.wants_log = optional_text(parameters, "LogType")? == Some("Tail");
    // The API takes base64; the optimized integration takes the JSON itself, too.
    call.client_context = match parameters.get("ClientContext") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => {
            let decoded = base64_decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
            Some(decoded.ok_or_else(|| {
                Failure::new(
                    "States.Runtime",
                    "The parameter 'ClientContext' must be base64",
                )
            })?)
        }
        Some(context) => Some(context.to_string()),
    };
    Ok(call)
}

/// The last log lines, where they were asked for.
fn with_log(mut answer: Value, log: &[u8]) -> Value {
    if !log.is_empty() {
        answer["LogResult"] = base64_encode(log).into();
    }
    answer
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
            let found = runner.functions().find(name);
            found.map_err(|refusal| refused(&refusal, &uuid::Uuid::new_v4().to_string()))?;
            Ok(Some(json!({"Payload": "", "StatusCode": 204})))
        }
        Some("Event") => {
            let call = functions::Call::new(Payload::Value(payload.clone()));
            let request = call.request.clone();
            let begun = runner.functions().invoke_later(name, call);
            begun.map_err(|refusal| refused(&refusal, &request))?;
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
