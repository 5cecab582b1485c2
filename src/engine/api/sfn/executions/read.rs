//! What is told of executions and children of Map Runs: describe, list, history.

use serde_json::{Map, Value, json};

use super::{Located, locate, not_redrivable, unknown};
use crate::engine::Engine;
use crate::engine::api::ApiError;
use crate::engine::api::sfn::arguments::{Arguments, invalid};
use crate::engine::api::sfn::machines::{self, Part};
use crate::engine::api::sfn::{express, missing, page, put, reading};
use crate::engine::machine::{Event, seconds};
use crate::engine::map_run::handle::Handle;
use crate::engine::map_run::log::{Record, decode};
use crate::engine::map_run::{ChildStatus, Row};
use crate::engine::store::{ExecutionFilter, ExecutionRow, HistorySpan, Position, Provenance};

pub async fn describe(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let included = arguments.text("includedData");
    let now = engine.runner().now();
    let mut described = match locate(engine, arguments).await? {
        Located::Execution(row) => {
            let arn = &row.identity.id;
            let row = engine.runner().store().delayed().execution(arn)?;
            let row = row.ok_or_else(|| unknown(arn))?;
            let reason = not_redrivable(engine, &row, now)?;
            describe_execution(&row, reason)
        }
        Located::Child { handle, child, .. } => {
            let at = engine.runner().shown_at();
            reading(move || describe_child(&handle, child, at, now)).await?
        }
    };
    if included == Some("METADATA_ONLY") {
        for member in [
            "input",
            "inputDetails",
            "output",
            "outputDetails",
            "error",
            "cause",
        ] {
            described.remove(member);
        }
    }
    Ok(Value::Object(described))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// What lists and descriptions share.
fn summary(row: &ExecutionRow) -> Map<String, Value> {
    let mut summary = object(json!({
        "executionArn": row.identity.id,
        "stateMachineArn": row.identity.machine_id,
        "name": row.identity.name,
        "status": row.status.as_str(),
        "startDate": seconds(row.identity.started),
        "redriveCount": row.execution.redrive_count,
    }));
    put(&mut summary, "stopDate", row.stopped.map(seconds));
    put(&mut summary, "redriveDate", row.redriven.map(seconds));
    let Provenance { version, alias, .. } = &row.provenance;
    put(&mut summary, "stateMachineVersionArn", version.clone());
    put(&mut summary, "stateMachineAliasArn", alias.clone());
    summary
}

fn describe_execution(row: &ExecutionRow, reason: Option<&'static str>) -> Map<String, Value> {
    let mut described = summary(row);
    put(&mut described, "input", Some(row.input_text()));
    put(
        &mut described,
        "inputDetails",
        Some(json!({"included": true})),
    );
    if let Some(output) = row.output() {
        put(&mut described, "output", Some(output.to_string()));
        put(
            &mut described,
            "outputDetails",
            Some(json!({"included": true})),
        );
    }
    put(&mut described, "error", row.error.clone());
    put(&mut described, "cause", row.cause.clone());
    put(&mut described, "traceHeader", row.provenance.trace.clone());
    let status = if reason.is_some() {
        "NOT_REDRIVABLE"
    } else {
        "REDRIVABLE"
    };
    put(&mut described, "redriveStatus", Some(status));
    put(&mut described, "redriveStatusReason", reason);
    described
}

/// `redriven`: when a Standard child was; Express ones have no such date.
fn child_summary(
    handle: &Handle,
    child: u32,
    row: &Row,
    redriven: Option<i64>,
) -> Map<String, Value> {
    let mut summary = object(json!({
        "executionArn": handle.names.arn(child),
        "stateMachineArn": handle.names.state_machine_arn(),
        "name": handle.names.name(child),
        "status": row.status.as_str(),
        "startDate": seconds(row.started),
        "mapRunArn": handle.row.plan.arn,
        "redriveCount": row.redrives,
    }));
    let has_stopped = row.stopped > 0 && row.status != ChildStatus::Running;
    put(
        &mut summary,
        "stopDate",
        has_stopped.then(|| seconds(row.stopped)),
    );
    put(&mut summary, "redriveDate", redriven.map(seconds));
    summary
}

/// `at`: the moment that is shown, where it is not the present one.
fn describe_child(
    handle: &Handle,
    child: u32,
    at: Option<i64>,
    now: i64,
) -> Result<Map<String, Value>, ApiError> {
    let (row, redriven, refusal) = {
        let table = handle.table();
        let row = table.row(child).copied();
        (row, table.redriven_at(child), table.refusal(child, now))
    };
    let row = row.map(|row| at.map_or(row, |at| row.at(at)));
    let row = row.filter(|row| row.status != ChildStatus::Pending);
    let row = row.ok_or_else(|| unknown(&handle.names.arn(child)))?;
    let mut reader = handle.reader();
    let mut described = child_summary(handle, child, &row, redriven);
    put(
        &mut described,
        "input",
        Some(handle.input(&mut reader, child)?),
    );
    put(
        &mut described,
        "inputDetails",
        Some(json!({"included": true})),
    );
    let ended = !matches!(
        row.status,
        ChildStatus::Running | ChildStatus::PendingRedrive
    );
    let payload = if ended && row.last > 0 {
        reader.read(row.last)?.map(<[u8]>::to_vec)
    } else {
        None
    };
    if let Some(Record::End(end)) = payload.as_deref().and_then(decode) {
        if let Some(output) = end.output {
            put(
                &mut described,
                "output",
                Some(String::from_utf8_lossy(output).into_owned()),
            );
            put(
                &mut described,
                "outputDetails",
                Some(json!({"included": true})),
            );
        }
        put(&mut described, "error", end.error);
        put(&mut described, "cause", end.cause);
    }
    let (status, reason) = match row.status {
        ChildStatus::Succeeded => (
            "NOT_REDRIVABLE",
            Some("Execution is SUCCEEDED and cannot be redriven"),
        ),
        ChildStatus::Running => (
            "NOT_REDRIVABLE",
            Some("Execution is RUNNING and cannot be redriven"),
        ),
        _ if refusal.is_some() => ("NOT_REDRIVABLE", refusal),
        _ => ("REDRIVABLE_BY_MAP_RUN", None),
    };
    put(&mut described, "redriveStatus", Some(status));
    put(&mut described, "redriveStatusReason", reason);
    Ok(described)
}

pub async fn list(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let status = arguments.text("statusFilter");
    let redriven = arguments
        .text("redriveFilter")
        .map(|filter| filter == "REDRIVEN");
    match (arguments.has("stateMachineArn"), arguments.has("mapRunArn")) {
        (true, false) => list_executions(engine, arguments, status, redriven.is_some()).await,
        (false, true) => list_children(engine, arguments, status, redriven).await,
        _ => Err(invalid(
            "Exactly one of stateMachineArn and mapRunArn must be specified",
        )),
    }
}

async fn list_executions(
    engine: &Engine,
    arguments: &Arguments,
    status: Option<&str>,
    by_redrive: bool,
) -> Result<Value, ApiError> {
    let store = engine.runner().store().delayed();
    let (machine, part) = machines::find(&store, arguments, "stateMachineArn")?;
    if by_redrive || status == Some("PENDING_REDRIVE") {
        return Err(invalid("This filter can only be used with mapRunArn"));
    }
    if machine.kind == "EXPRESS" {
        return Err(express::not_supported());
    }
    let qualified = match part {
        Part::Whole => None,
        Part::Map(_) => return Err(machines::labelled()),
        Part::Version(_) | Part::Alias(_) => Some(arguments.required("stateMachineArn")?),
    };
    let now = engine.runner().now();
    let before: Option<Position> = arguments.position(now)?;
    let limit = arguments.limit();
    let filter = ExecutionFilter {
        status: status.map(str::to_owned),
        qualified: qualified.map(str::to_owned),
        since: machine.created,
    };
    let (rows, next) =
        reading(move || Ok(store.executions_of(&machine.arn, before, limit, &filter)?)).await?;
    let items = rows.iter().map(|row| Value::Object(summary(row))).collect();
    Ok(page(
        "executions",
        items,
        next.map(|next| arguments.token(next, now)),
    ))
}

async fn list_children(
    engine: &Engine,
    arguments: &Arguments,
    status: Option<&str>,
    redriven: Option<bool>,
) -> Result<Value, ApiError> {
    arguments.arn("mapRunArn", &["mapRun"])?;
    let arn = arguments.required("mapRunArn")?;
    let runner = engine.runner();
    let now = runner.now();
    let (before, limit) = (arguments.position(now)?, arguments.limit());
    let handle = runner.map_run(arn).await?.ok_or_else(|| missing(arn))?;
    let at = runner.shown_at();
    let shown = |row: &Row| at.map_or(*row, |at| row.at(at));
    let table = handle.table();
    let status = status.and_then(ChildStatus::parse);
    let wanted = |row: &Row| {
        let row = shown(row);
        row.status != ChildStatus::Pending
            && status.is_none_or(|status| row.status == status)
            && redriven.is_none_or(|redriven| (row.redrives > 0) == redriven)
    };
    // What was in a status before may be in another one now.
    let among = status.filter(|_| at.is_none());
    let (children, next) = table.page(among, before, limit, wanted);
    let rows: Vec<(u32, Row, Option<i64>)> = children
        .into_iter()
        .filter_map(|child| Some((child, shown(table.row(child)?), table.redriven_at(child))))
        .collect();
    drop(table);
    let items = rows.iter().map(|(child, row, redriven)| {
        let mut item = child_summary(&handle, *child, row, *redriven);
        put(&mut item, "itemCount", Some(row.items));
        Value::Object(item)
    });
    Ok(page(
        "executions",
        items.collect(),
        next.map(|next| arguments.token(next, now)),
    ))
}

pub async fn history(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    arguments.arn("executionArn", &["execution"])?;
    let newest_first = arguments.flag("reverseOrder");
    let with_data =
        !arguments.has("includeExecutionData") || arguments.flag("includeExecutionData");
    let limit = arguments.limit();
    let runner = engine.runner();
    let now = runner.now();
    let first = if newest_first { u64::MAX } else { 1 };
    let from: u64 = arguments.position(now)?.unwrap_or(first);
    let located = locate(engine, arguments).await?;
    let store = runner.store().clone();
    let span = HistorySpan {
        from,
        newest_first,
        limit,
    };
    let (mut events, more) = reading(move || match located {
        Located::Execution(row) => Ok(store.history(&row.identity.id, span)?),
        Located::Child { handle, child, .. } => {
            let (events, more) = handle.history(child, span)?;
            Ok((events.iter().map(Event::to_json).collect(), more))
        }
    })
    .await?;
    let last = events.last().and_then(|event| event.get("id")?.as_u64());
    if !with_data {
        events.iter_mut().for_each(strip_data);
    }
    let next = last.filter(|_| more);
    let next =
        next.map(|last| arguments.token(if newest_first { last - 1 } else { last + 1 }, now));
    Ok(page("events", events, next))
}

/// `includeExecutionData: false` keeps error and cause.
fn strip_data(event: &mut Value) {
    for details in event
        .as_object_mut()
        .into_iter()
        .flat_map(|event| event.values_mut())
    {
        if let Value::Object(details) = details {
            for member in [
                "input",
                "inputDetails",
                "output",
                "outputDetails",
                "parameters",
            ] {
                details.remove(member);
            }
        }
    }
}
