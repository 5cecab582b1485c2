//! Aliases of state machines: create, update, describe, delete, list.

use serde_json::{Map, Value, json};

use super::arguments::{Arguments, bad_arn, invalid};
use super::machines::{Part, find, labelled, refuse_deleting};
use super::{conflict, missing, page, put};
use crate::engine::api::ApiError;
use crate::engine::machine::seconds;
use crate::engine::state_machines::{Alias, MAX_ALIASES, MachineRow, Route, arn_of};
use crate::engine::store::Batch;
use crate::engine::{ACCOUNT, Engine, REGION};

/// What `routingConfiguration` says: the state machine's ARN and where starts go.
fn routes(arguments: &Arguments) -> Result<Option<(String, Vec<Route>)>, ApiError> {
    let Some(given) = arguments.value("routingConfiguration") else {
        return Ok(None);
    };
    let refuse = |text: String| ApiError {
        reason: Some("INVALID_ROUTING_CONFIGURATION"),
        ..invalid(text)
    };
    let prefix = format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:");
    let mut machines = Vec::new();
    let mut routes = Vec::new();
    for route in given.as_array().into_iter().flatten() {
        let arn = route.get("stateMachineVersionArn").and_then(Value::as_str);
        let arn = arn.unwrap_or_default();
        let named = arn
            .strip_prefix(&prefix)
            .and_then(|rest| rest.split_once(':'))
            .and_then(|(machine, number)| Some((machine, number.parse().ok()?)));
        let (machine, version) =
            named.ok_or_else(|| bad_arn(format!("Not the ARN of a version: {arn}")))?;
        machines.push(arn_of(machine));
        let weight = route.get("weight").and_then(Value::as_u64);
        let weight = weight.unwrap_or_default();
        routes.push(Route { version, weight });
    }
    machines.dedup();
    let [machine] = machines.as_slice() else {
        return Err(refuse(
            "Routing configuration must contain versions of one state machine".to_owned(),
        ));
    };
    if let [first, second] = routes.as_slice()
        && first.version == second.version
    {
        return Err(refuse(
            "Routing configuration must contain distinct state machine version ARNs".to_owned(),
        ));
    }
    let weights: Vec<u64> = routes.iter().map(|route| route.weight).collect();
    if weights.iter().sum::<u64>() != 100 {
        return Err(refuse(format!(
            "Sum of routing configuration weights must equal 100. Received: {}",
            json!(weights)
        )));
    }
    Ok(Some((machine.clone(), routes)))
}

fn check_versions(row: &MachineRow, routes: &[Route]) -> Result<(), ApiError> {
    let unknown = |route: &&Route| row.version(route.version).is_none();
    match routes.iter().find(unknown) {
        Some(route) => Err(missing(&row.qualified(route.version))),
        None => Ok(()),
    }
}

pub async fn create(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let name = arguments.required("name")?;
    let description = arguments.text("description").map(str::to_owned);
    let Some((machine, routes)) = routes(arguments)? else {
        return Err(invalid("Routing configuration must be given"));
    };
    let runner = engine.runner();
    let _only = runner.exclusive(&machine).await;
    let row = runner.store().machine(&machine)?;
    let mut row = row.ok_or_else(|| missing(&machine))?;
    refuse_deleting(&row)?;
    check_versions(&row, &routes)?;
    let arn = row.qualified(name);
    let answer = |created| json!({"stateMachineAliasArn": arn, "creationDate": seconds(created)});
    if let Some(alias) = row.alias(name) {
        if alias.description == description && alias.routes == routes {
            return Ok(answer(alias.created));
        }
        return Err(conflict(
            "Failed to create alias because an alias with the same name and a different routing configuration already exists.",
        ));
    }
    if row.aliases.len() >= MAX_ALIASES {
        return Err(super::quota(format!(
            "A state machine has at most {MAX_ALIASES} aliases"
        )));
    }
    let now = runner.now();
    row.aliases.push(Alias {
        name: name.to_owned(),
        description,
        routes,
        created: now,
        updated: now,
    });
    let mut batch = Batch::default();
    batch.machine(row);
    runner.store().commit(batch).await?;
    Ok(answer(now))
}

/// The state machine's ARN and the alias's name.
fn named(arguments: &Arguments) -> Result<(String, String), ApiError> {
    let (_, rest) = arguments.arn("stateMachineAliasArn", &["stateMachine"])?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match rest.split_once(':') {
        Some((machine, alias)) if !is_number(alias) && !rest.contains('/') => {
            Ok((arn_of(machine), alias.to_owned()))
        }
        _ => {
            let shown = arguments.required("stateMachineAliasArn")?;
            Err(bad_arn(format!("Not the ARN of an alias: {shown}")))
        }
    }
}

pub async fn update(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let (machine, name) = named(arguments)?;
    let description = arguments.text("description");
    let change = routes(arguments)?;
    if description.is_none() && change.is_none() {
        return Err(ApiError {
            reason: Some("MISSING_REQUIRED_PARAMETER"),
            ..invalid("Either the description or the routing configuration must be specified")
        });
    }
    let shown = arguments.required("stateMachineAliasArn")?;
    let runner = engine.runner();
    let _only = runner.exclusive(&machine).await;
    let row = runner.store().machine(&machine)?;
    let mut row = row.ok_or_else(|| missing(shown))?;
    refuse_deleting(&row)?;
    if let Some((of, routes)) = &change {
        if *of != machine {
            return Err(ApiError {
                reason: Some("INVALID_ROUTING_CONFIGURATION"),
                ..invalid(
                    "Routing configuration must contain versions of the alias's state machine",
                )
            });
        }
        check_versions(&row, routes)?;
    }
    let now = runner.now();
    let alias = row.aliases.iter_mut().find(|alias| alias.name == name);
    let alias = alias.ok_or_else(|| missing(shown))?;
    if let Some((_, routes)) = change {
        alias.routes = routes;
    }
    if let Some(description) = description {
        alias.description = Some(description.to_owned());
    }
    alias.updated = now;
    let mut batch = Batch::default();
    batch.machine(row);
    runner.store().commit(batch).await?;
    Ok(json!({"updateDate": seconds(now)}))
}

pub fn describe(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let (machine, name) = named(arguments)?;
    let shown = arguments.required("stateMachineAliasArn")?;
    let row = engine.runner().store().machine(&machine)?;
    let row = row.ok_or_else(|| missing(shown))?;
    let alias = row.alias(&name).ok_or_else(|| missing(shown))?;
    let routes = alias.routes.iter().map(|route| {
        json!({"stateMachineVersionArn": row.qualified(route.version), "weight": route.weight})
    });
    let routes: Vec<Value> = routes.collect();
    let mut described = Map::new();
    put(&mut described, "stateMachineAliasArn", Some(shown));
    put(&mut described, "name", Some(name.as_str()));
    put(&mut described, "description", alias.description.clone());
    put(&mut described, "routingConfiguration", Some(routes));
    put(&mut described, "creationDate", Some(seconds(alias.created)));
    put(&mut described, "updateDate", Some(seconds(alias.updated)));
    Ok(Value::Object(described))
}

/// An alias that is not there is an error, unlike a version.
pub async fn delete(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let (machine, name) = named(arguments)?;
    let shown = arguments.required("stateMachineAliasArn")?;
    let runner = engine.runner();
    let _only = runner.exclusive(&machine).await;
    let row = runner.store().machine(&machine)?;
    let mut row = row.ok_or_else(|| missing(shown))?;
    row.alias(&name).ok_or_else(|| missing(shown))?;
    row.aliases.retain(|alias| alias.name != name);
    let mut batch = Batch::default();
    batch.machine(row);
    runner.store().commit(batch).await?;
    Ok(json!({}))
}

/// Of a version's ARN: the aliases that route to it.
pub fn list(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let (row, part) = find(engine.runner().store(), arguments, "stateMachineArn")?;
    let version = match &part {
        Part::Whole => None,
        Part::Version(version) => Some(version.number),
        Part::Map(_) => return Err(labelled()),
        Part::Alias(_) => return Err(invalid("The ARN of an alias is not valid for this API")),
    };
    let now = engine.runner().now();
    let last: Option<(i64, String)> = arguments.position(now)?;
    let mut aliases: Vec<&Alias> = row.aliases.iter().collect();
    aliases.sort_by_key(|alias| std::cmp::Reverse((alias.created, alias.name.clone())));
    let mut older = aliases.into_iter().filter(|alias| {
        let is_wanted =
            version.is_none_or(|version| alias.routes.iter().any(|it| it.version == version));
        let place = (alias.created, alias.name.clone());
        is_wanted && last.as_ref().is_none_or(|last| place < *last)
    });
    let shown: Vec<&Alias> = older.by_ref().take(arguments.limit()).collect();
    let next = older.next().and(shown.last());
    let next = next.map(|alias| arguments.token((alias.created, &alias.name), now));
    let items = shown.iter().map(|alias| {
        json!({
            "stateMachineAliasArn": row.qualified(&alias.name),
            "creationDate": seconds(alias.created),
        })
    });
    Ok(page("stateMachineAliases", items.collect(), next))
}
