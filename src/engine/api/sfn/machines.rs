//! State machines: create, update, describe, list.

use serde_json::{Value, json};

use super::arguments::{Arguments, check_name, invalid};
use super::page;
use crate::engine::api::ApiError;
use crate::engine::definition::{Definition, label_of};
use crate::engine::machine::seconds;
use crate::engine::store::{Batch, ExecutionRow, MachineRow};
use crate::engine::{ACCOUNT, Engine, REGION};

/// Longest definition, bytes (Step Functions quotas).
const MAX_DEFINITION: usize = 1 << 20;

pub async fn create(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    for lacking in ["tags", "publish", "versionDescription"] {
        let wanted = arguments
            .value(lacking)
            .is_some_and(|value| *value != json!(false) && *value != json!([]));
        if wanted {
            return Err(invalid(format!(
                "The member '{lacking}' is not supported by this engine yet"
            )));
        }
    }
    default_only(arguments)?;
    let name = arguments.required("name")?;
    check_name(name)?;
    let role = arguments.required("roleArn")?;
    let definition = arguments.required("definition")?;
    let kind = arguments.text("type")?.unwrap_or("STANDARD");
    if kind == "EXPRESS" {
        return Err(ApiError::new(
            "StateMachineTypeNotSupported",
            "EXPRESS state machines are not supported by this engine yet; EXPRESS children of a Distributed Map are",
        ));
    }
    check_definition(definition)?;
    let arn = format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}");
    let runner = engine.runner();
    let _only = runner.exclusive(&arn).await;
    if let Some(row) = runner.store().machine(&arn)? {
        let same = runner.store().definition(&row.revision)?.as_deref() == Some(definition);
        if same && row.kind == kind {
            return Ok(json!({"stateMachineArn": arn, "creationDate": seconds(row.created)}));
        }
        return Err(ApiError::new(
            "StateMachineAlreadyExists",
            format!("State Machine Already Exists: '{arn}'"),
        ));
    }
    let now = runner.now();
    let row = MachineRow {
        arn: arn.clone(),
        name: name.to_owned(),
        role: role.to_owned(),
        kind: kind.to_owned(),
        created: now,
        updated: now,
        revision: uuid::Uuid::new_v4().to_string(),
        updates: 0,
    };
    let mut batch = Batch::default();
    batch.definition(&row.revision, definition);
    batch.machine(row);
    runner.store().commit(batch).await?;
    Ok(json!({"stateMachineArn": arn, "creationDate": seconds(now)}))
}

/// Logging, tracing and encryption can be given, but only as the defaults.
fn default_only(arguments: &Arguments) -> Result<(), ApiError> {
    let has = |name: &str, member: &str, default: Value| {
        arguments
            .value(name)
            .and_then(|value| value.get(member))
            .is_none_or(|value| *value == default)
    };
    if !has("loggingConfiguration", "level", json!("OFF")) {
        return Err(invalid(
            "Logging of executions is not supported by this engine yet",
        ));
    }
    if !has("tracingConfiguration", "enabled", json!(false)) {
        return Err(invalid("Tracing is not supported by this engine"));
    }
    if !has("encryptionConfiguration", "type", json!("AWS_OWNED_KEY")) {
        return Err(invalid(
            "Customer managed keys are not supported by this engine",
        ));
    }
    Ok(())
}

fn check_definition(text: &str) -> Result<(), ApiError> {
    let refuse = |text: String| {
        ApiError::new(
            "InvalidDefinition",
            format!("Invalid State Machine Definition: '{text}'"),
        )
    };
    if text.len() > MAX_DEFINITION {
        return Err(refuse(format!(
            "the definition is longer than {MAX_DEFINITION} bytes"
        )));
    }
    let Err(problems) = Definition::parse(text) else {
        return Ok(());
    };
    Err(refuse(
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    ))
}

pub async fn update(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    default_only(arguments)?;
    let changes = [
        "definition",
        "roleArn",
        "loggingConfiguration",
        "tracingConfiguration",
    ];
    if !changes.into_iter().any(|name| arguments.has(name)) {
        return Err(ApiError::new(
            "MissingRequiredParameter",
            "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be specified",
        ));
    }
    let mut row = find(engine, arguments)?;
    let runner = engine.runner();
    let _only = runner.exclusive(&row.arn).await;
    let mut batch = Batch::default();
    let mut revision = None;
    if let Some(definition) = arguments.text("definition")? {
        check_definition(definition)?;
        if runner.store().definition(&row.revision)?.as_deref() != Some(definition) {
            row.revision = uuid::Uuid::new_v4().to_string();
            row.updates += 1;
            batch.definition(&row.revision, definition);
            revision = Some(row.revision.clone());
        }
    }
    if let Some(role) = arguments.text("roleArn")? {
        role.clone_into(&mut row.role);
    }
    row.updated = runner.now();
    let mut answer = json!({"updateDate": seconds(row.updated)});
    if let (Some(revision), Some(object)) = (revision, answer.as_object_mut()) {
        object.insert("revisionId".to_owned(), revision.into());
    }
    batch.machine(row);
    runner.store().commit(batch).await?;
    Ok(answer)
}

/// The state machine of `stateMachineArn`, which may carry a label.
fn find(engine: &Engine, arguments: &Arguments) -> Result<MachineRow, ApiError> {
    let (_, rest) = arguments.arn("stateMachineArn", &["stateMachine"])?;
    let name = rest.split('/').next().unwrap_or(rest);
    by_name(engine, name, arguments.required("stateMachineArn")?)
}

pub fn by_name(engine: &Engine, name: &str, shown: &str) -> Result<MachineRow, ApiError> {
    let arn = format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}");
    engine.runner().store().machine(&arn)?.ok_or_else(|| {
        ApiError::new(
            "StateMachineDoesNotExist",
            format!("State Machine Does Not Exist: '{shown}'"),
        )
    })
}

pub fn describe(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let row = find(engine, arguments)?;
    let text = engine
        .runner()
        .store()
        .definition(&row.revision)?
        .unwrap_or_default();
    let mut described = json!({
        "stateMachineArn": row.arn,
        "name": row.name,
        "status": "ACTIVE",
        "definition": text,
        "roleArn": row.role,
        "type": row.kind,
        "creationDate": seconds(row.created),
        "loggingConfiguration": {"level": "OFF", "includeExecutionData": false},
        "tracingConfiguration": {"enabled": false},
        "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
    });
    if let (true, Some(object)) = (row.updates > 0, described.as_object_mut()) {
        object.insert("revisionId".to_owned(), row.revision.into());
    }
    strip_metadata_only(arguments, &mut described)?;
    Ok(described)
}

fn strip_metadata_only(arguments: &Arguments, described: &mut Value) -> Result<(), ApiError> {
    let included = arguments.text("includedData")?;
    if let (Some("METADATA_ONLY"), Some(object)) = (included, described.as_object_mut()) {
        object.remove("definition");
    }
    Ok(())
}

/// The definition that an execution really uses; of a child the item processor.
pub async fn describe_for_execution(
    engine: &Engine,
    arguments: &Arguments,
) -> Result<Value, ApiError> {
    let arn = arguments.required("executionArn")?;
    let found = super::executions::locate(engine, arguments).await?;
    let parent: &ExecutionRow = found.parent();
    let store = engine.runner().store();
    let text = store.definition(&parent.revision)?.unwrap_or_default();
    let machine = store.machine(&parent.identity.machine_id)?;
    let mut described = json!({
        "stateMachineArn": parent.identity.machine_id,
        "name": parent.identity.machine_name,
        "definition": text,
        "roleArn": parent.identity.role,
        "updateDate": seconds(machine.as_ref().map_or(parent.identity.started, |row| row.updated)),
        "loggingConfiguration": {"level": "OFF", "includeExecutionData": false},
        "tracingConfiguration": {"enabled": false},
        "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
    });
    if let Some(object) = described.as_object_mut() {
        let is_updated =
            machine.is_some_and(|row| row.revision != parent.revision || row.updates > 0);
        if is_updated {
            object.insert("revisionId".to_owned(), parent.revision.clone().into());
        }
        if let Some(handle) = found.map_run() {
            let label = &handle.row.plan.label;
            object.insert(
                "stateMachineArn".to_owned(),
                handle.names.state_machine_arn().into(),
            );
            object.insert("mapRunArn".to_owned(), handle.row.plan.arn.clone().into());
            object.insert("label".to_owned(), label.clone().into());
            let processor =
                processor(&text, label, &parent.identity.machine_name).ok_or_else(|| {
                    ApiError::new(
                        "InternalServerException",
                        format!("{arn}: its definition has no map {label}"),
                    )
                })?;
            object.insert("definition".to_owned(), processor.to_string().into());
        }
    }
    strip_metadata_only(arguments, &mut described)?;
    Ok(described)
}

/// The item processor of a labelled map, without its ProcessorConfig.
fn processor(definition: &str, label: &str, machine: &str) -> Option<Value> {
    let parsed = Definition::parse(definition).ok()?;
    let (name, _, map) = parsed.labelled(label, machine)?;
    debug_assert!(
        map.distributed
            .as_ref()
            .is_some_and(|map| label_of(map, machine, name) == label)
    );
    let value: Value = serde_json::from_str(definition).ok()?;
    let state = find_state(&value, name)?;
    let mut processor = state
        .get("ItemProcessor")
        .or_else(|| state.get("Iterator"))?
        .clone();
    processor.as_object_mut()?.shift_remove("ProcessorConfig");
    Some(processor)
}

/// State names are unique in the whole machine.
fn find_state<'v>(scope: &'v Value, name: &str) -> Option<&'v Value> {
    let states = scope.get("States")?.as_object()?;
    states.iter().find_map(|(key, state)| {
        if key == name {
            return Some(state);
        }
        let branches = state
            .get("Branches")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let inside = [state.get("ItemProcessor"), state.get("Iterator")]
            .into_iter()
            .flatten();
        branches
            .chain(inside)
            .find_map(|scope| find_state(scope, name))
    })
}

pub fn list(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let now = engine.runner().now();
    let limit = arguments.limit()?;
    let skip: usize = arguments.position(now)?.unwrap_or(0);
    let rows = engine.runner().store().machines()?;
    let more = rows.len() > skip + limit;
    let items = rows.into_iter().skip(skip).take(limit).map(|row| {
        json!({"stateMachineArn": row.arn, "name": row.name, "type": row.kind, "creationDate": seconds(row.created)})
    });
    Ok(page(
        "stateMachines",
        items.collect(),
        more.then(|| arguments.token(skip + limit, now)),
    ))
}
