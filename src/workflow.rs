//! The file-processing workflow that fanout ships: a state machine (`assets/workflow.asl.json`)
//! and the three handlers its tasks run, the same here and as Lambda functions.
//!
//! ```text
//! Preprocess ─► Lines (Distributed Map, one child execution a line) ─► Postprocess
//!   source file     items.jsonl ─► Worker: one request a line            output, in line order
//!   ─► items.jsonl                 ─► result files                       and .failed.jsonl
//! ```
//!
//! Handlers may run twice: whatever they write has an address that follows from their input, so
//! the second run writes the same object. Everything that belongs to an execution only while it
//! runs lies under `runs/<execution>/` in the output's bucket.

use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::Client;

mod error;
mod payload;
mod postprocess;
mod preprocess;
mod request;
mod template;
mod worker;

pub use error::HandlerError;

/// The state machine's definition, Amazon States Language.
pub const DEFINITION: &str = include_str!("../assets/workflow.asl.json");
/// Name of the state machine.
pub const NAME: &str = "fanout";
/// Names of the functions, as the definition uses them.
pub const FUNCTIONS: [&str; 3] = [PREPROCESS, WORKER, POSTPROCESS];

const PREPROCESS: &str = "fanout-preprocess";
const WORKER: &str = "fanout-worker";
const POSTPROCESS: &str = "fanout-postprocess";

/// What handlers work with; clones share it. No handler reads the environment.
#[derive(Clone)]
pub struct Context {
    client: Client,
    /// Built by the first worker: preparing TLS takes too long for a program's start.
    http: Arc<OnceLock<Result<worker::Http, String>>>,
    default_url: Option<String>,
}

impl Context {
    pub fn new(client: Client) -> Self {
        Self {
            client,
            http: Arc::default(),
            default_url: None,
        }
    }

    /// The same with a `request.url` for inputs that give none. Without it such inputs are refused.
    pub fn with_default_url(self, url: impl Into<String>) -> Self {
        Self {
            default_url: Some(url.into()),
            ..self
        }
    }

    fn http(&self) -> Result<&worker::Http, HandlerError> {
        let built = self.http.get_or_init(worker::Http::new);
        built.as_ref().map_err(|problem| {
            HandlerError::new(
                error::WORKER_UNAVAILABLE,
                format!("no HTTP client could be made: {problem}"),
            )
        })
    }
}

/// Runs the handler of that function name.
///
/// # Errors
/// The handler's own; an event that is not the handler's input is its `….InvalidInput`, and a
/// function that is not one of [`FUNCTIONS`] is `Workflow.UnknownFunction`.
pub async fn handle(
    context: &Context,
    function: &str,
    event: Value,
) -> Result<Value, HandlerError> {
    match function {
        PREPROCESS => {
            let input = parse(event, error::PREPROCESS_INVALID_INPUT)?;
            Ok(encode(&preprocess::preprocess(context, input).await?))
        }
        WORKER => {
            let input = parse(event, error::WORKER_INVALID_INPUT)?;
            Ok(encode(&worker::worker(context, input).await?))
        }
        POSTPROCESS => {
            let input = parse(event, error::POSTPROCESS_INVALID_INPUT)?;
            Ok(encode(&postprocess::postprocess(context, input).await?))
        }
        _ => Err(HandlerError::new(
            error::UNKNOWN_FUNCTION,
            format!(
                "no function {function:?} in this workflow; it has {}",
                FUNCTIONS.join(", ")
            ),
        )),
    }
}

/// The event as the handler's input. The message names fields, never values: they may be secret.
fn parse<T: DeserializeOwned>(event: Value, name: &'static str) -> Result<T, HandlerError> {
    serde_json::from_value(event).map_err(|problem| {
        let problem = problem.to_string();
        let known = problem.starts_with("missing field") || problem.starts_with("unknown field");
        let text = if known {
            &problem
        } else {
            "a field has the wrong type"
        };
        HandlerError::new(
            name,
            format!("the event does not fit this function: {text}"),
        )
    })
}

fn encode<T: Serialize>(output: &T) -> Value {
    serde_json::to_value(output).expect("outputs are texts and numbers under text keys")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every value of that key, at any depth.
    fn all<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v Value>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name == key {
                        found.push(value);
                    }
                    all(value, key, found);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| all(value, key, found)),
            _ => {}
        }
    }

    fn texts(key: &str) -> Vec<String> {
        let definition: Value = serde_json::from_str(DEFINITION).unwrap();
        let mut found = Vec::new();
        all(&definition, key, &mut found);
        found
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(values) => values.clone(),
                value => vec![value.clone()],
            })
            .map(|value| value.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_definition_retries_exactly_the_errors_that_pass() {
        let in_definition: BTreeSet<String> = texts("ErrorEquals")
            .into_iter()
            .filter(|name| !name.starts_with("Lambda.") && !name.starts_with("Sandbox."))
            .collect();
        let in_code: BTreeSet<String> = error::RETRIED.map(str::to_owned).into();
        assert_eq!(in_definition, in_code);
    }

    #[test]
    fn a_state_retries_only_errors_of_its_own_handler() {
        let definition: Value = serde_json::from_str(DEFINITION).unwrap();
        let states = &definition["States"];
        let worker = &states["Lines"]["ItemProcessor"]["States"]["Worker"];
        for (name, state) in [
            ("Preprocess", &states["Preprocess"]),
            ("Worker", worker),
            ("Postprocess", &states["Postprocess"]),
        ] {
            let mut found = Vec::new();
            all(state, "ErrorEquals", &mut found);
            let names: Vec<&str> = found
                .iter()
                .flat_map(|names| names.as_array().unwrap())
                .map(|name| name.as_str().unwrap())
                .collect();
            assert!(!names.is_empty());
            for error in names {
                let own = error.starts_with(name);
                assert!(
                    own || error.starts_with("Lambda.") || error.starts_with("Sandbox."),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn the_definition_names_exactly_our_functions() {
        let named: BTreeSet<String> = texts("FunctionName").into_iter().collect();
        assert_eq!(named, FUNCTIONS.map(str::to_owned).into());
    }

    #[test]
    fn the_map_keeps_itself_redrivable() {
        let definition: Value = serde_json::from_str(DEFINITION).unwrap();
        let lines = &definition["States"]["Lines"];
        assert_eq!(lines["Label"], "Lines");
        // A caught failure is not redriven, and a retried map runs every line again.
        assert!(lines.get("Catch").is_none() && lines.get("Retry").is_none());
    }

    #[test]
    fn an_event_of_the_wrong_shape_is_refused_without_its_values() {
        let event = serde_json::json!({"execution": 5, "input": {"token": "s3cret"}});
        let error = parse::<payload::PreprocessInput>(event, error::PREPROCESS_INVALID_INPUT);
        let error = error.unwrap_err();
        assert_eq!(error.name, "Preprocess.InvalidInput");
        assert!(!error.message.contains("s3cret"));
    }
}
