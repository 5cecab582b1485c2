//! Map Runs: describe, list, update.

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::arguments::{Arguments, invalid};
use super::{missing, page};
use crate::engine::Engine;
use crate::engine::api::ApiError;
use crate::engine::machine::seconds;
use crate::engine::map_run::handle::{LimitsChange, Message};
use crate::engine::store::MapRunRow;

fn find(engine: &Engine, arguments: &Arguments) -> Result<MapRunRow, ApiError> {
    arguments.arn("mapRunArn", &["mapRun"])?;
    let arn = arguments.required("mapRunArn")?;
    engine
        .runner()
        .store()
        .map_run(arn)?
        .ok_or_else(|| missing(arn))
}

/// `DescribeMapRun` of this row: live counts, or those it closed with.
fn described(engine: &Engine, row: &MapRunRow) -> Value {
    match (
        engine.runner().map_run_in_memory(&row.plan.arn),
        &row.closed,
    ) {
        (Some(handle), _) => handle.describe(),
        (None, Some(closed)) => closed.clone(),
        // It is about to be opened: nothing has happened yet, or nothing is known again yet.
        (None, None) => {
            let limits = crate::engine::map_run::Limits::of(&row.plan);
            crate::engine::map_run::Table::new(limits).describe(
                &row.plan.arn,
                &row.execution,
                row.started,
            )
        }
    }
}

pub fn describe(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let row = find(engine, arguments)?;
    Ok(described(engine, &row))
}

pub async fn list(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    arguments.arn("executionArn", &["execution"])?;
    let execution = arguments.required("executionArn")?;
    // A Map Run's child may have Map Runs of its own.
    super::executions::locate(engine, arguments).await?;
    let store = engine.runner().store();
    let now = engine.runner().now();
    let limit = arguments.limit()?;
    let last: Option<String> = arguments.position(now)?;
    let arns = store.map_runs_of(execution)?;
    // Newest first: those that begin meanwhile come before the last one shown.
    let shown = last.and_then(|last| arns.iter().position(|arn| *arn == last));
    let mut older = arns.iter().skip(shown.map_or(0, |shown| shown + 1));
    let page_of: Vec<&String> = older.by_ref().take(limit).collect();
    let next = older.next().and(page_of.last().copied());
    let mut items = Vec::new();
    for arn in page_of {
        let Some(row) = store.map_run(arn)? else {
            continue;
        };
        let described = described(engine, &row);
        let machine = format!(
            "{}/{}",
            super::executions::machine_arn(execution),
            row.plan.label
        );
        let mut item = json!({
            "executionArn": execution,
            "mapRunArn": arn,
            "stateMachineArn": machine,
            "startDate": seconds(row.started),
        });
        if let (Some(stop), Some(object)) = (described.get("stopDate"), item.as_object_mut()) {
            object.insert("stopDate".to_owned(), stop.clone());
        }
        items.push(item);
    }
    Ok(page(
        "mapRuns",
        items,
        next.map(|last| arguments.token(last, now)),
    ))
}

pub async fn update(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let row = find(engine, arguments)?;
    let change = LimitsChange {
        max_concurrency: arguments.integer("maxConcurrency")?,
        tolerated_count: arguments.integer("toleratedFailureCount")?,
        tolerated_percentage: arguments.number("toleratedFailurePercentage")?,
    };
    let completed = || ApiError {
        reason: Some("CANNOT_UPDATE_COMPLETED_MAP_RUN"),
        ..invalid("Map Run has already completed and cannot be updated")
    };
    let handle = engine
        .runner()
        .map_run(&row.plan.arn)
        .await?
        .ok_or_else(|| missing(&row.plan.arn))?;
    if handle.table().closed.is_some() {
        return Err(completed());
    }
    let (done, answer) = oneshot::channel();
    let told = handle.tell(Message::Update { change, done }).await;
    if told && answer.await.is_ok() {
        Ok(json!({}))
    } else {
        Err(completed())
    }
}
