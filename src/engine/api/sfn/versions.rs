//! Versions of state machines: publish, list, delete.

use serde_json::{Value, json};

use super::arguments::{Arguments, bad_arn};
use super::machines::{find_whole, publish, refuse_deleting, unknown};
use super::{conflict, page};
use crate::engine::Engine;
use crate::engine::api::ApiError;
use crate::engine::machine::seconds;
use crate::engine::state_machines::arn_of;
use crate::engine::store::Batch;

pub async fn create(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let arn = find_whole(engine, arguments)?.arn;
    let runner = engine.runner();
    let _only = runner.exclusive(&arn).await;
    let row = runner.store().machine(&arn)?;
    let mut row = row.ok_or_else(|| unknown(&arn))?;
    refuse_deleting(&row)?;
    let description = arguments.text("description").map(str::to_owned);
    let version = publish(
        &mut row,
        arguments.text("revisionId"),
        description,
        runner.now(),
    )?;
    let answer = json!({
        "stateMachineVersionArn": row.qualified(version.number),
        "creationDate": seconds(version.created),
    });
    let mut batch = Batch::default();
    batch.machine(row);
    runner.store().commit(batch).await?;
    Ok(answer)
}

pub fn list(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let row = find_whole(engine, arguments)?;
    let now = engine.runner().now();
    let before: u64 = arguments.position(now)?.unwrap_or(u64::MAX);
    let versions = row.versions.iter().rev();
    let mut older = versions.filter(|version| version.number < before);
    let shown: Vec<_> = older.by_ref().take(arguments.limit()).collect();
    let next = older.next().and(shown.last());
    let next = next.map(|version| arguments.token(version.number, now));
    let items = shown.iter().map(|version| {
        json!({
            "stateMachineVersionArn": row.qualified(version.number),
            "creationDate": seconds(version.created),
        })
    });
    Ok(page("stateMachineVersions", items.collect(), next))
}

/// A version that is not there is as good as deleted.
pub async fn delete(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let (_, rest) = arguments.arn("stateMachineVersionArn", &["stateMachine"])?;
    let named = rest
        .split_once(':')
        .and_then(|(machine, number)| Some((machine, number.parse::<u64>().ok()?)));
    let Some((machine, number)) = named else {
        let shown = arguments.required("stateMachineVersionArn")?;
        return Err(bad_arn(format!("Not the ARN of a version: {shown}")));
    };
    let arn = arn_of(machine);
    let runner = engine.runner();
    let _only = runner.exclusive(&arn).await;
    let Some(mut row) = runner.store().machine(&arn)? else {
        return Ok(json!({}));
    };
    let aliases = row.aliases_of(number);
    if !aliases.is_empty() {
        return Err(conflict(format!(
            "Version to be deleted must not be referenced by an alias. Current list of aliases referencing this version: [{}]",
            aliases.join(", ")
        )));
    }
    row.versions.retain(|version| version.number != number);
    let mut batch = Batch::default();
    batch.machine(row);
    runner.store().commit(batch).await?;
    Ok(json!({}))
}
