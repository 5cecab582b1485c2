//! Whether a definition is valid: ValidateStateMachineDefinition, and what Create and Update refuse.

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::put;
use crate::engine::api::ApiError;
use crate::engine::definition::{ChildKind, Definition, Problem, Severity};

/// Diagnostics when nothing is asked for (API reference, ValidateStateMachineDefinition).
const MAX_DIAGNOSTICS: usize = 100;

/// Every problem of a definition for a state machine of this type, errors and warnings.
fn problems(definition: &str, kind: &str) -> Vec<Problem> {
    let kind = match kind {
        "EXPRESS" => ChildKind::Express,
        _ => ChildKind::Standard,
    };
    Definition::check(definition, kind).problems
}

/// # Errors
/// `InvalidDefinition` with every problem and its place.
pub fn refuse_invalid(definition: &str, kind: &str) -> Result<(), ApiError> {
    let mut problems = problems(definition, kind);
    problems.retain(|problem| problem.severity == Severity::Error);
    if problems.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
    Err(ApiError::new(
        "InvalidDefinition",
        format!("Invalid State Machine Definition: '{}'", all.join(", ")),
    ))
}

pub fn validate(arguments: &Arguments) -> Result<Value, ApiError> {
    let kind = arguments.text("type").unwrap_or("STANDARD");
    let mut problems = problems(arguments.required("definition")?, kind);
    if arguments.text("severity") != Some("WARNING") {
        problems.retain(|problem| problem.severity == Severity::Error);
    }
    let is_bad = problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    let most = match arguments.integer("maxResults") {
        None | Some(0) => MAX_DIAGNOSTICS,
        Some(most) => usize::try_from(most).unwrap_or(MAX_DIAGNOSTICS),
    };
    let diagnostics = problems.iter().take(most).map(|problem| {
        let mut diagnostic = Map::new();
        let severity = problem.severity.name();
        put(&mut diagnostic, "severity", Some(severity));
        put(&mut diagnostic, "code", Some(problem.code));
        put(&mut diagnostic, "message", Some(problem.message.clone()));
        let place = Some(problem.place.clone()).filter(|place| !place.is_empty());
        put(&mut diagnostic, "location", place);
        Value::Object(diagnostic)
    });
    Ok(json!({
        "result": if is_bad { "FAIL" } else { "OK" },
        "diagnostics": diagnostics.collect::<Vec<_>>(),
        "truncated": problems.len() > most,
    }))
}
