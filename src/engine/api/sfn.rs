//! The Step Functions operations.

use serde_json::Value;

use crate::engine::Engine;
use crate::engine::api::ApiError;

/// Answers one operation (`StartExecution`, …) with its JSON body.
pub async fn call(engine: &Engine, operation: &str, body: &[u8]) -> Result<Value, ApiError> {
    todo!()
}
