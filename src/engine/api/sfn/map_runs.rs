//! Map Runs: describe, list, update.

use serde_json::{Value, json};

use super::arguments::{Arguments, invalid};
use super::{missing, page, reading};
use crate::engine::Engine;
use crate::engine::api::ApiError;
use crate::engine::machine::{REDRIVE_PERIOD_MS, seconds};
use crate::engine::map_run::handle::LimitsChange;
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
async fn described(engine: &Engine, row: &MapRunRow) -> Result<Value, ApiError> {
    let runner = engine.runner();
    let (arn, now) = (&row.plan.arn, runner.now());
    let closed = row
        .closed
        .as_ref()
        .filter(|closed| !is_out_of_date(closed, now));
    if let (None, Some(closed)) = (runner.map_run_in_memory(arn), closed) {
        return Ok(closed.clone());
    }
    let handle = runner.map_run(arn).await?.ok_or_else(|| missing(arn))?;
    Ok(handle.describe(now))
}

/// Whether failures that could be redriven when the run closed cannot be any more.
fn is_out_of_date(closed: &Value, now: i64) -> bool {
    let started = closed["startDate"].as_f64().unwrap_or_default() * 1_000.0;
    let counts = &closed["executionCounts"];
    let unsuccessful = ["failed", "timedOut", "aborted"]
        .iter()
        .filter_map(|count| counts[count].as_u64())
        .sum::<u64>();
    now as f64 - started > REDRIVE_PERIOD_MS as f64 && unsuccessful > 0
}

pub async fn describe(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let row = find(engine, arguments)?;
    let runner = engine.runner();
    let Some(at) = runner.shown_at() else {
        return described(engine, &row).await;
    };
    let arn = &row.plan.arn;
    if row.started > at {
        return Err(missing(arn));
    }
    let handle = runner.map_run(arn).await?.ok_or_else(|| missing(arn))?;
    let (arn, execution, started) = (arn.clone(), row.execution.clone(), row.started);
    reading(move || {
        let then = handle.table().counted_at(at);
        Ok(then.describe(&arn, &execution, started, at))
    })
    .await
}

pub async fn list(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    arguments.arn("executionArn", &["execution"])?;
    let execution = arguments.required("executionArn")?;
    // A Map Run's child may have Map Runs of its own.
    super::executions::locate(engine, arguments).await?;
    let runner = engine.runner();
    let store = runner.store();
    let now = runner.now();
    let limit = arguments.limit();
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
        let stopped = match runner.map_run_in_memory(arn) {
            Some(handle) => handle
                .table()
                .closed
                .as_ref()
                .map(|closed| seconds(closed.at)),
            None => row
                .closed
                .and_then(|closed| closed.get("stopDate").cloned()),
        };
        if let (Some(stopped), Some(object)) = (stopped, item.as_object_mut()) {
            object.insert("stopDate".to_owned(), stopped);
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
        max_concurrency: arguments.integer("maxConcurrency"),
        tolerated_count: arguments.integer("toleratedFailureCount"),
        tolerated_percentage: arguments.number("toleratedFailurePercentage"),
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
    if handle.update(engine.runner(), change).await {
        Ok(json!({}))
    } else {
        Err(completed())
    }
}
