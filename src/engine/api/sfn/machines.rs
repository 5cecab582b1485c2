//! State machines: create, update, describe, delete, list.

use serde_json::{Map, Value, json};

use super::arguments::{Arguments, check_name, invalid};
use super::{conflict, page, put};
use crate::engine::Engine;
use crate::engine::api::ApiError;
use crate::engine::definition::{Definition, Scope};
use crate::engine::logs::Logs;
use crate::engine::machine::seconds;
use crate::engine::state_machines::{
    Alias, FirstVersion, MAX_VERSIONS, MachineRow, PublishError, Revision, Settings, Tags, Version,
    arn_of,
};
use crate::engine::store::{Batch, ExecutionRow, Store};

/// What an ARN names of a state machine.
pub enum Part {
    Whole,
    Version(Version),
    Alias(Alias),
    /// A Distributed Map, by its label.
    Map(String),
}

impl Part {
    /// The version that an ARN with a qualifier leads to now.
    pub fn version<'r>(&'r self, row: &'r MachineRow) -> Option<&'r Version> {
        match self {
            Self::Version(version) => Some(version),
            Self::Alias(alias) => row.version(alias.routes.first()?.version),
            Self::Whole | Self::Map(_) => None,
        }
    }
}

pub fn unknown(arn: &str) -> ApiError {
    ApiError::new(
        "StateMachineDoesNotExist",
        format!("State Machine Does Not Exist: '{arn}'"),
    )
}

/// Refuses what a state machine that is being deleted does not take any more.
pub fn refuse_deleting(row: &MachineRow) -> Result<(), ApiError> {
    match row.deleting {
        true => Err(ApiError::new(
            "StateMachineDeleting",
            format!("State Machine is being deleted: '{}'", row.arn),
        )),
        false => Ok(()),
    }
}

/// What the member `name` names: `SM`, `SM:version`, `SM:alias` or `SM/Label`.
pub fn find(
    store: &Store,
    arguments: &Arguments,
    name: &str,
) -> Result<(MachineRow, Part), ApiError> {
    let (_, rest) = arguments.arn(name, &["stateMachine"])?;
    let shown = arguments.required(name)?;
    let (machine, label) = match rest.split_once('/') {
        Some((machine, label)) => (machine, Some(label)),
        None => (rest, None),
    };
    let (machine, qualifier) = match machine.split_once(':') {
        Some((machine, qualifier)) => (machine, Some(qualifier)),
        None => (machine, None),
    };
    let row = store.machine(&arn_of(machine))?;
    let row = row.ok_or_else(|| unknown(shown))?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let part = match (label, qualifier) {
        (Some(label), None) => Some(Part::Map(label.to_owned())),
        (None, None) => Some(Part::Whole),
        (None, Some(number)) if is_number(number) => {
            let number = number.parse().ok();
            let version = number.and_then(|number| row.version(number));
            version.cloned().map(Part::Version)
        }
        (None, Some(alias)) => row.alias(alias).cloned().map(Part::Alias),
        (Some(_), Some(_)) => None,
    };
    let part = part.ok_or_else(|| unknown(shown))?;
    Ok((row, part))
}

/// The state machine of `stateMachineArn`, where only a whole one will do.
pub fn find_whole(engine: &Engine, arguments: &Arguments) -> Result<MachineRow, ApiError> {
    match find(engine.runner().store(), arguments, "stateMachineArn")? {
        (row, Part::Whole) => Ok(row),
        (_, Part::Map(_)) => Err(labelled()),
        _ => Err(invalid(
            "Only the ARN of a state machine without version or alias is valid for this API",
        )),
    }
}

/// The refusal of a Distributed Map's ARN.
pub fn labelled() -> ApiError {
    ApiError {
        reason: Some("API_DOES_NOT_SUPPORT_LABELED_ARNS"),
        ..invalid("Labeled State Machine ARNs are not supported for this API")
    }
}

pub async fn create(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let name = arguments.required("name")?;
    check_name(name)?;
    let definition = arguments.required("definition")?;
    let kind = arguments.text("type").unwrap_or("STANDARD");
    let settings = settings(engine.logs(), arguments, &Settings::default())?;
    let first_version = publication(arguments)?;
    let tags = super::tags::given(arguments)?;
    super::validate::refuse_invalid(definition, kind)?;
    let arn = arn_of(name);
    let runner = engine.runner();
    let _only = runner.exclusive(&arn).await;
    let store = runner.store();
    if let Some(row) = store.machine(&arn)? {
        refuse_deleting(&row)?;
        let is_same = row.kind == kind
            && row.settings == settings
            && row.first_version == first_version
            && store.definition(&row.revision)?.as_deref() == Some(definition);
        if is_same {
            let version = first_version.and(row.versions.first());
            return Ok(created(&row, version));
        }
        return Err(ApiError::new(
            "StateMachineAlreadyExists",
            format!("State Machine Already Exists: '{arn}'"),
        ));
    }
    if store.machine_count()? >= runner.quotas().state_machines {
        return Err(ApiError::new(
            "StateMachineLimitExceeded",
            "The maximum number of state machines has been reached. Existing state machines must be deleted before a new state machine can be created.",
        ));
    }
    super::tags::check_count(&arn, &tags)?;
    let now = runner.now();
    let mut row = MachineRow {
        arn,
        name: name.to_owned(),
        role: arguments.required("roleArn")?.to_owned(),
        kind: kind.to_owned(),
        created: now,
        updated: now,
        revision: uuid::Uuid::new_v4().to_string(),
        updates: 0,
        settings,
        tags,
        deleting: false,
        first_version,
        versions: Vec::new(),
        last_version: 0,
        aliases: Vec::new(),
    };
    let version = match row.first_version.clone() {
        Some(first) => Some(publish(&mut row, None, first.description, now)?),
        None => None,
    };
    let answer = created(&row, version.as_ref());
    let mut batch = Batch::default();
    batch.definition(&row.revision, definition);
    batch.machine(row);
    store.commit(batch).await?;
    Ok(answer)
}

fn created(row: &MachineRow, version: Option<&Version>) -> Value {
    let mut created = Map::new();
    put(&mut created, "stateMachineArn", Some(row.arn.clone()));
    put(&mut created, "creationDate", Some(seconds(row.created)));
    let version = version.map(|version| row.qualified(version.number));
    put(&mut created, "stateMachineVersionArn", version);
    Value::Object(created)
}

/// What `publish` and `versionDescription` ask for.
fn publication(arguments: &Arguments) -> Result<Option<FirstVersion>, ApiError> {
    let description = arguments.text("versionDescription").map(str::to_owned);
    match (arguments.flag("publish"), &description) {
        (false, Some(_)) => Err(invalid(
            "Version description can only be set when publish is true",
        )),
        (false, None) => Ok(None),
        (true, _) => Ok(Some(FirstVersion { description })),
    }
}

/// Publishes the current revision, as `publish` and PublishStateMachineVersion do.
pub fn publish(
    row: &mut MachineRow,
    revision: Option<&str>,
    description: Option<String>,
    now: i64,
) -> Result<Version, ApiError> {
    let current = row.current();
    row.publish(revision, description, now)
        .map_err(|error| match error {
            PublishError::TooMany => super::quota(format!(
                "A state machine has at most {MAX_VERSIONS} versions"
            )),
            PublishError::OtherRevision => conflict(format!(
                "Failed to publish the State Machine version for revision {}. The current State Machine revision is {}.",
                revision.unwrap_or_default(),
                current.shown_id().unwrap_or("INITIAL"),
            )),
        })
}

/// Logging, tracing and encryption as a request changes them.
fn settings(logs: &Logs, arguments: &Arguments, now: &Settings) -> Result<Settings, ApiError> {
    let refuse = |code: &str, text: &str| Err(ApiError::new(code, text));
    let mut settings = now.clone();
    if let Some(logging) = arguments.value("loggingConfiguration") {
        super::logging::check(logs, logging)?;
        let off = json!({"level": "OFF", "includeExecutionData": false});
        let is_default = [json!({}), json!({"level": "OFF"}), off].contains(logging);
        settings.logging = (!is_default).then(|| logging.clone());
    }
    if let Some(tracing) = arguments.value("tracingConfiguration") {
        settings.tracing = tracing.get("enabled") == Some(&json!(true));
    }
    if let Some(encryption) = arguments.value("encryptionConfiguration") {
        let has_key = ["kmsKeyId", "kmsDataKeyReusePeriodSeconds"]
            .iter()
            .any(|member| encryption.get(*member).is_some());
        if has_key || encryption.get("type") != Some(&json!("AWS_OWNED_KEY")) {
            return refuse(
                "InvalidEncryptionConfiguration",
                "Invalid Encryption Configuration: CUSTOMER_MANAGED_KMS_KEY is not supported by this engine",
            );
        }
    }
    Ok(settings)
}

pub async fn update(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let changes = [
        "definition",
        "roleArn",
        "loggingConfiguration",
        "tracingConfiguration",
    ];
    let publication = publication(arguments)?;
    if !changes.into_iter().any(|name| arguments.has(name)) {
        return Err(ApiError::new(
            "MissingRequiredParameter",
            "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be specified",
        ));
    }
    let arn = find_whole(engine, arguments)?.arn;
    let runner = engine.runner();
    let _only = runner.exclusive(&arn).await;
    // Read again: another update may have come before the lock was ours.
    let mut row = runner.store().machine(&arn)?.ok_or_else(|| unknown(&arn))?;
    refuse_deleting(&row)?;
    let text = runner
        .store()
        .definition(&row.revision)?
        .unwrap_or_default();
    let definition = arguments.text("definition").unwrap_or(&text);
    if definition != text {
        super::validate::refuse_invalid(definition, &row.kind)?;
    }
    let role = arguments.text("roleArn").unwrap_or(&row.role).to_owned();
    let settings = settings(engine.logs(), arguments, &row.settings)?;
    let is_new = definition != text || role != row.role || settings != row.settings;
    let mut batch = Batch::default();
    let now = runner.now();
    if is_new {
        row.revision = uuid::Uuid::new_v4().to_string();
        row.updates += 1;
        (row.role, row.settings) = (role, settings);
        batch.definition(&row.revision, definition);
    }
    row.updated = now;
    let mut answer = Map::new();
    put(&mut answer, "updateDate", Some(seconds(now)));
    put(
        &mut answer,
        "revisionId",
        is_new.then(|| row.revision.clone()),
    );
    if let Some(FirstVersion { description }) = publication {
        let version = publish(&mut row, None, description, now)?;
        let arn = row.qualified(version.number);
        put(&mut answer, "stateMachineVersionArn", Some(arn));
    }
    batch.machine(row);
    runner.store().commit(batch).await?;
    Ok(Value::Object(answer))
}

pub fn describe(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let store = engine.runner().store().delayed();
    let (row, part) = find(&store, arguments, "stateMachineArn")?;
    let version = part.version(&row);
    let revision = version.map_or_else(|| row.current(), |version| version.revision.clone());
    let text = engine
        .runner()
        .store()
        .definition(&revision.id)?
        .unwrap_or_default();
    let mut described = Map::new();
    let arn = version.map_or_else(|| row.arn.clone(), |it| row.qualified(it.number));
    put(&mut described, "stateMachineArn", Some(arn));
    put(&mut described, "name", Some(row.name.clone()));
    let status = if row.deleting { "DELETING" } else { "ACTIVE" };
    put(&mut described, "status", Some(status));
    put(&mut described, "type", Some(row.kind.clone()));
    let created = version.map_or(row.created, |version| version.created);
    put(&mut described, "creationDate", Some(seconds(created)));
    let description = version.and_then(|version| version.description.clone());
    put(&mut described, "description", description);
    describe_revision(&mut described, &revision);
    let definition = engine.runner().definition(&revision.id)?;
    match &part {
        Part::Map(label) => {
            let shown = arguments.required("stateMachineArn")?;
            put(&mut described, "stateMachineArn", Some(shown));
            put(&mut described, "label", Some(label.clone()));
            describe_processor(&mut described, &definition, &text, label, &row.name)
                .ok_or_else(|| unknown(shown))?;
        }
        _ => describe_definition(&mut described, text.into(), &definition.scope),
    }
    strip_metadata_only(arguments, &mut described);
    Ok(Value::Object(described))
}

/// What descriptions tell of a revision.
fn describe_revision(described: &mut Map<String, Value>, revision: &Revision) {
    put(described, "roleArn", Some(revision.role.clone()));
    put(described, "revisionId", revision.shown_id());
    for (name, value) in revision.settings.describe() {
        put(described, name, Some(value));
    }
}

/// The definition and what its states refer to.
fn describe_definition(described: &mut Map<String, Value>, text: Value, scope: &Scope) {
    put(described, "definition", Some(text));
    let references = scope.variable_references();
    let references = (!references.is_empty()).then(|| json!(references));
    put(described, "variableReferences", references);
}

fn strip_metadata_only(arguments: &Arguments, described: &mut Map<String, Value>) {
    if arguments.text("includedData") == Some("METADATA_ONLY") {
        // The reference has this instead of nothing: the member is required.
        put(described, "definition", Some("{}"));
        described.shift_remove("variableReferences");
    }
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
    let revision = match &parent.provenance.revision {
        Some(revision) => revision.clone(),
        // Started by an older program, which did not note it.
        None => Revision {
            id: parent.revision.clone(),
            is_first: true,
            role: parent.identity.role.clone(),
            settings: Settings::default(),
            updated: parent.identity.started,
        },
    };
    let mut described = Map::new();
    let machine = parent.identity.machine_id.clone();
    put(&mut described, "stateMachineArn", Some(machine));
    let name = &parent.identity.machine_name;
    put(&mut described, "name", Some(name.clone()));
    put(
        &mut described,
        "updateDate",
        Some(seconds(revision.updated)),
    );
    describe_revision(&mut described, &revision);
    let definition = engine.runner().definition(&parent.revision)?;
    match found.map_run() {
        Some(handle) => {
            let label = &handle.row.plan.label;
            let machine = handle.names.state_machine_arn();
            put(&mut described, "stateMachineArn", Some(machine));
            let map_run = handle.row.plan.arn.clone();
            put(&mut described, "mapRunArn", Some(map_run));
            put(&mut described, "label", Some(label.clone()));
            describe_processor(&mut described, &definition, &text, label, name).ok_or_else(
                || {
                    ApiError::new(
                        "InternalServerException",
                        format!("{arn}: its definition has no map {label}"),
                    )
                },
            )?;
        }
        None => describe_definition(&mut described, text.into(), &definition.scope),
    }
    strip_metadata_only(arguments, &mut described);
    Ok(Value::Object(described))
}

/// The item processor of a labelled map, without its ProcessorConfig.
fn describe_processor(
    described: &mut Map<String, Value>,
    definition: &Definition,
    text: &str,
    label: &str,
    machine: &str,
) -> Option<()> {
    let (name, _, map) = definition.labelled(label, machine)?;
    let value: Value = serde_json::from_str(text).ok()?;
    let state = find_state(&value, name)?;
    let mut processor = state
        .get("ItemProcessor")
        .or_else(|| state.get("Iterator"))?
        .clone();
    processor.as_object_mut()?.shift_remove("ProcessorConfig");
    describe_definition(described, processor.to_string().into(), &map.processor);
    Some(())
}

/// State names are unique in the whole machine.
pub fn find_state<'v>(scope: &'v Value, name: &str) -> Option<&'v Value> {
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

/// Answers at once; the state machine goes when its executions have ended, each of which ends at
/// its next transition.
pub async fn delete(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let (_, rest) = arguments.arn("stateMachineArn", &["stateMachine"])?;
    if rest.contains('/') {
        return Err(labelled());
    }
    if rest.contains(':') {
        return Err(invalid(
            "Only the ARN of a state machine without version or alias is valid for this API",
        ));
    }
    let arn = arn_of(rest);
    let runner = engine.runner();
    let only = runner.exclusive(&arn).await;
    if let Some(row) = runner.store().machine(&arn)?
        && !row.deleting
    {
        let mut batch = Batch::default();
        batch.machine(MachineRow {
            deleting: true,
            versions: Vec::new(),
            aliases: Vec::new(),
            tags: Tags::new(),
            ..row
        });
        runner.store().commit(batch).await?;
        drop(only);
        runner.delete_machine(arn);
    }
    Ok(json!({}))
}

pub fn list(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let now = engine.runner().now();
    let limit = arguments.limit();
    let last: Option<String> = arguments.position(now)?;
    // In the order of names, so that what comes and goes meanwhile moves no page.
    let rows = engine.runner().store().delayed().machines()?;
    let mut rows = rows
        .into_iter()
        .filter(|row| last.as_ref().is_none_or(|last| row.arn > *last));
    let shown: Vec<MachineRow> = rows.by_ref().take(limit).collect();
    let next = rows.next().and(shown.last());
    let next = next.map(|row| arguments.token(&row.arn, now));
    let items = shown.iter().map(|row| {
        json!({"stateMachineArn": row.arn, "name": row.name, "type": row.kind, "creationDate": seconds(row.created)})
    });
    Ok(page("stateMachines", items.collect(), next))
}
