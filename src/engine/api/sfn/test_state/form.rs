//! The forms of a state that are run: without some of its fields, or as a call that is not made.

use serde_json::Value;

use super::Object;
use crate::engine::{ACCOUNT, REGION};

/// Members with states of their own.
pub const NESTED: &[&str] = &["ItemProcessor", "Iterator", "Branches"];

pub fn collect_targets(value: &Value, targets: &mut Vec<String>) {
    match value {
        Value::Array(values) => {
            for value in values {
                collect_targets(value, targets);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("Next" | "Default", Value::String(target)) => targets.push(target.clone()),
                    ("Choices" | "Catch", value) => collect_targets(value, targets),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// A state whose result is mocked makes a call that is not made.
pub fn as_task(state: &Object) -> Object {
    let common = [
        "Comment",
        "QueryLanguage",
        "InputPath",
        "OutputPath",
        "ResultPath",
        "ResultSelector",
        "Output",
        "Assign",
        "Retry",
        "Catch",
        "Next",
        "End",
    ];
    if text(state, "Type") == "Task" {
        return state.clone();
    }
    let mut task = only(state, &common);
    let function = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:mocked");
    task.insert("Type".to_owned(), "Task".into());
    task.insert("Resource".to_owned(), function.into());
    task
}

pub fn text<'s>(state: &'s Object, name: &str) -> &'s str {
    state.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub fn without(state: &Object, fields: &[&str]) -> Object {
    let is_kept = |(name, _): &(&String, &Value)| !fields.contains(&name.as_str());
    let kept = state.iter().filter(is_kept);
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

pub fn only(state: &Object, fields: &[&str]) -> Object {
    let is_kept = |(name, _): &(&String, &Value)| fields.contains(&name.as_str());
    let kept = state.iter().filter(is_kept);
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
