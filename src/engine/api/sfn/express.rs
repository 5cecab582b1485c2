//! Express state machines: started without waiting, at least once and without a history, or waited
//! for (developer guide, "Choosing workflow type").

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::executions::{Beginning, beginning, refuse_too_many};
use super::put;
use crate::engine::api::ApiError;
use crate::engine::machine::seconds;
use crate::engine::{ACCOUNT, Engine, REGION};

/// What is billed for memory and time comes in steps of this size (Step Functions pricing).
const MEMORY_STEP_MB: u64 = 64;
const DURATION_STEP_MS: u64 = 100;

pub fn not_supported() -> ApiError {
    ApiError::new(
        "StateMachineTypeNotSupported",
        "This operation is not supported by this type of state machine",
    )
}

/// The ARN of a new execution. Names may be used again and again.
fn arn(beginning: &Beginning) -> String {
    format!(
        "arn:aws:states:{REGION}:{ACCOUNT}:express:{}:{}:{}",
        beginning.machine.name,
        beginning.name,
        uuid::Uuid::new_v4()
    )
}

pub async fn start(engine: &Engine, beginning: Beginning) -> Result<Value, ApiError> {
    refuse_too_many(engine)?;
    let arn = arn(&beginning);
    let row = beginning.row(engine, &arn);
    let started = row.identity.started;
    engine.runner().start_express(row).await?;
    Ok(json!({"executionArn": arn, "startDate": seconds(started)}))
}

pub async fn start_sync(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let beginning = beginning(engine, arguments)?;
    if !beginning.provenance.express {
        return Err(not_supported());
    }
    refuse_too_many(engine)?;
    let arn = arn(&beginning);
    let row = beginning.row(engine, &arn);
    let ended = engine.runner().run_express(row).await?;
    let stopped = ended.stopped.unwrap_or(ended.identity.started);
    let took = u64::try_from(stopped - ended.identity.started).unwrap_or_default();
    let billed = took.div_ceil(DURATION_STEP_MS).max(1) * DURATION_STEP_MS;
    let is_whole = arguments.text("includedData") != Some("METADATA_ONLY");
    let mut answer = Map::new();
    put(&mut answer, "executionArn", Some(arn));
    let machine = arguments.required("stateMachineArn")?;
    put(&mut answer, "stateMachineArn", Some(machine));
    put(&mut answer, "name", Some(ended.identity.name.as_str()));
    put(
        &mut answer,
        "startDate",
        Some(seconds(ended.identity.started)),
    );
    put(&mut answer, "stopDate", Some(seconds(stopped)));
    put(&mut answer, "status", Some(ended.status.as_str()));
    let included = json!({"included": is_whole});
    if is_whole {
        put(&mut answer, "input", Some(ended.input_text()));
        put(&mut answer, "error", ended.error.clone());
        put(&mut answer, "cause", ended.cause.clone());
    }
    put(&mut answer, "inputDetails", Some(included.clone()));
    if let Some(output) = ended.output() {
        let output = is_whole.then(|| output.to_string());
        put(&mut answer, "output", output);
        put(&mut answer, "outputDetails", Some(included));
    }
    put(&mut answer, "traceHeader", ended.provenance.trace);
    let billing =
        json!({"billedMemoryUsedInMB": MEMORY_STEP_MB, "billedDurationInMilliseconds": billed});
    put(&mut answer, "billingDetails", Some(billing));
    Ok(Value::Object(answer))
}
