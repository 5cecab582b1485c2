//! The file-processing workflow that fanout ships: a state machine (`assets/workflow.asl.json`)
//! and the three handlers its tasks run, the same here and as Lambda functions.

use serde_json::Value;

use crate::client::Client;

/// The state machine's definition, Amazon States Language.
pub const DEFINITION: &str = include_str!("../assets/workflow.asl.json");
/// Name of the state machine.
pub const NAME: &str = "fanout";
/// Names of the functions, as the definition uses them.
pub const FUNCTIONS: [&str; 3] = ["fanout-preprocess", "fanout-worker", "fanout-postprocess"];

/// What handlers work with. No handler reads the environment.
#[derive(Clone)]
pub struct Context {}

impl Context {
    pub fn new(client: Client) -> Self {
        todo!()
    }
}

/// A handler's failure: `name` is what the definition's `ErrorEquals` matches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct HandlerError {
    pub name: &'static str,
    pub message: String,
}

/// Runs the handler of that function name.
pub async fn handle(
    context: &Context,
    function: &str,
    event: Value,
) -> Result<Value, HandlerError> {
    todo!()
}
