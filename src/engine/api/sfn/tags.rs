//! Tags of state machines: add, remove, list.

use serde_json::{Value, json};

use super::arguments::{Arguments, invalid};
use crate::engine::Engine;
use crate::engine::api::ApiError;
use crate::engine::state_machines::{MAX_TAGS, MachineRow, Tags, arn_of};
use crate::engine::store::Batch;

/// The tags of a request (API reference, TagResource: letters, digits, white space and marks).
pub fn given(arguments: &Arguments) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    let all = arguments.value("tags").and_then(Value::as_array);
    for tag in all.into_iter().flatten() {
        let member = |name| tag.get(name).and_then(Value::as_str).unwrap_or_default();
        let (key, value) = (member("key"), member("value"));
        let is_allowed =
            |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
        if key.is_empty() || !key.chars().chain(value.chars()).all(is_allowed) {
            return Err(invalid(format!("Invalid tag: '{key}' = '{value}'")));
        }
        if key.to_lowercase().starts_with("aws:") {
            return Err(invalid(format!(
                "Invalid tag: '{key}' begins with what is reserved"
            )));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    Ok(tags)
}

pub fn check_count(arn: &str, tags: &Tags) -> Result<(), ApiError> {
    match tags.len() > MAX_TAGS {
        true => Err(ApiError::new(
            "TooManyTags",
            format!("Too Many Tags: '{arn}' can have at most {MAX_TAGS}"),
        )),
        false => Ok(()),
    }
}

fn find(engine: &Engine, arguments: &Arguments) -> Result<MachineRow, ApiError> {
    let (kind, rest) = arguments.arn("resourceArn", &["stateMachine", "activity"])?;
    let shown = arguments.required("resourceArn")?;
    let row = match kind {
        "stateMachine" => engine.runner().store().machine(&arn_of(rest))?,
        _ => None,
    };
    row.ok_or_else(|| super::missing(shown))
}

/// Changes the tags of a state machine.
async fn change(
    engine: &Engine,
    arguments: &Arguments,
    change: impl FnOnce(&mut Tags),
) -> Result<Value, ApiError> {
    let arn = find(engine, arguments)?.arn;
    let runner = engine.runner();
    let _only = runner.exclusive(&arn).await;
    let row = runner.store().machine(&arn)?;
    let mut row = row.ok_or_else(|| super::missing(&arn))?;
    change(&mut row.tags);
    check_count(&arn, &row.tags)?;
    let mut batch = Batch::default();
    batch.machine(row);
    runner.store().commit(batch).await?;
    Ok(json!({}))
}

pub async fn add(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let given = given(arguments)?;
    change(engine, arguments, |tags| tags.extend(given)).await
}

pub async fn remove(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let keys = arguments.value("tagKeys").and_then(Value::as_array);
    change(engine, arguments, |tags| {
        for key in keys.into_iter().flatten().filter_map(Value::as_str) {
            tags.remove(key);
        }
    })
    .await
}

pub fn list(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let tags = find(engine, arguments)?.tags;
    let tags = tags
        .into_iter()
        .map(|(key, value)| json!({"key": key, "value": value}));
    Ok(json!({"tags": tags.collect::<Vec<_>>()}))
}
