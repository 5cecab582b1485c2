//! Where a run's lines are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::client::{Client, MAX_TAILED};
use crate::model::{ExecutionArn, Status, Timestamp};
use crate::operations::Error;
use crate::operations::logs::Line;

/// The log groups of a run and the time in which it wrote.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sources {
    #[serde(skip)]
    pub run: ExecutionArn,
    /// The machine's own first, then the functions' by name; at most ten.
    pub groups: Vec<Group>,
    /// Functions and groups that are left out, in words; empty when none is.
    pub missing: Vec<String>,
    pub from: Timestamp,
    /// `None` while it goes on.
    pub to: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    pub name: Arc<str>,
    #[serde(skip)]
    pub arn: String,
    pub origin: Origin,
    /// Those that may write to it, joined with commas; `None` when it is all of them.
    pub states: Option<Arc<str>>,
    /// A group comes to be with its first line.
    pub exists: bool,
}

/// Why a group belongs to a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The state machine is configured to log to it.
    Machine,
    /// A function of the definition. By Lambda's convention: a function can be configured to log
    /// elsewhere, which its own API alone would tell.
    Function { name: Arc<str> },
}

impl Sources {
    /// Whether a line can be this run's. Lines of functions do not say whose they are.
    pub(super) fn holds(&self, line: &Line) -> bool {
        let Some(execution) = &line.execution else {
            return true;
        };
        // A child's ARN names the map, not the parent.
        let is_child = ExecutionArn::new(&**execution).is_child();
        is_child || **execution == *self.run.as_str()
    }
}

/// Finds the log groups of a run.
///
/// # Errors
/// What the service answers about the execution and its definition. A group that cannot be asked
/// about is taken to exist.
pub async fn sources(client: &Client, run: &ExecutionArn) -> Result<Sources, Error> {
    let detail = client.execution(run).await?;
    let machine = client.state_machine_for_execution(run).await?;
    let definition: Value = serde_json::from_str(&machine.definition).unwrap_or_default();
    let functions = functions(&definition);
    let mut missing = functions.unnamed;
    let mut named: Vec<(String, Origin, Option<Arc<str>>)> = Vec::new();
    match machine.logging.group_name() {
        Some(name) => named.push((name.to_owned(), Origin::Machine, None)),
        None => missing.push("the state machine itself logs nothing".to_owned()),
    }
    for (function, states) in functions.named {
        let origin = Origin::Function {
            name: function.as_str().into(),
        };
        let states = states.join(",").into();
        named.push((format!("/aws/lambda/{function}"), origin, Some(states)));
    }
    for (name, ..) in named.iter().skip(MAX_TAILED) {
        missing.push(format!("{name}: more than {MAX_TAILED} groups"));
    }
    named.truncate(MAX_TAILED);
    let asked = named.iter().map(|(name, ..)| client.has_log_group(name));
    let there = futures::future::join_all(asked).await;
    let prefix = arn_prefix(run);
    let groups = named.into_iter().zip(there);
    let execution = detail.execution;
    let is_closed = execution.status.is_closed() && execution.status != Status::Unknown;
    Ok(Sources {
        run: run.clone(),
        groups: groups
            .map(|((name, origin, states), exists)| Group {
                arn: format!("{prefix}:log-group:{name}"),
                name: name.into(),
                origin,
                states,
                exists: exists.unwrap_or(true),
            })
            .collect(),
        missing,
        from: execution.started,
        to: execution.stopped.filter(|_| is_closed),
    })
}

/// `arn:aws:logs:REGION:ACCOUNT` of an execution's partition, Region and account.
fn arn_prefix(run: &ExecutionArn) -> String {
    let mut parts: Vec<&str> = run.as_str().splitn(6, ':').take(5).collect();
    if let Some(service) = parts.get_mut(2) {
        *service = "logs";
    }
    parts.join(":")
}

#[derive(Debug, Default, PartialEq)]
struct Functions {
    /// With the states that call them.
    named: BTreeMap<String, Vec<String>>,
    /// States whose function is chosen while they run, in words.
    unnamed: Vec<String>,
}

/// The Lambda functions that a definition calls.
fn functions(definition: &Value) -> Functions {
    let mut functions = Functions::default();
    // Maps and branches nest, but a definition has one megabyte at the most; a list of what is
    // still to be looked at needs no recursion.
    let mut open = vec![definition];
    while let Some(machine) = open.pop() {
        let states = machine.get("States").and_then(Value::as_object);
        for (name, state) in states.into_iter().flatten() {
            open.extend(
                ["ItemProcessor", "Iterator"]
                    .iter()
                    .filter_map(|it| state.get(it)),
            );
            let branches = state.get("Branches").and_then(Value::as_array);
            open.extend(branches.into_iter().flatten());
            match function(state) {
                None => {}
                Some(Ok(function)) => {
                    let states = functions.named.entry(function.to_owned()).or_default();
                    states.push(name.clone());
                }
                Some(Err(())) => functions
                    .unnamed
                    .push(format!("{name} chooses its function while it runs")),
            }
        }
    }
    for states in functions.named.values_mut() {
        states.sort();
    }
    functions.unnamed.sort();
    functions
}

/// The function's name where the state calls one; `Err` when its name is an expression.
fn function(state: &Value) -> Option<Result<&str, ()>> {
    let resource = state.get("Resource")?.as_str()?;
    if let Some((_, name)) = resource.split_once(":function:") {
        return Some(Ok(unqualified(name)));
    }
    let calls = [":::lambda:invoke", ":::aws-sdk:lambda:invoke"];
    calls.iter().find(|it| resource.contains(*it))?;
    let arguments = ["Parameters", "Arguments"];
    let arguments = arguments.iter().find_map(|it| state.get(it))?;
    let name = arguments.get("FunctionName").and_then(Value::as_str);
    Some(match name.filter(|name| !name.starts_with("{%")) {
        Some(name) => Ok(unqualified(
            name.rsplit_once("function:").map_or(name, |(_, name)| name),
        )),
        None => Err(()),
    })
}

/// Without version or alias, whose lines are in the same group.
fn unqualified(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_are_found_wherever_a_definition_calls_them() {
        let definition = json!({"States": {
            "A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": "arn:aws:lambda:r:a:function:first:live"}},
            "B": {"Type": "Map", "ItemProcessor": {"States": {
                "C": {"Type": "Task", "Resource": "arn:aws:lambda:r:a:function:second"},
                "D": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
                    "Arguments": {"FunctionName": "a:function:first"}}}}},
            "E": {"Type": "Parallel", "Branches": [{"States": {
                "F": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                    "Parameters": {"FunctionName.$": "$.f"}},
                "G": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                    "Arguments": {"FunctionName": "{% $f %}"}},
                "H": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage"}}}]},
        }});
        let found = functions(&definition);
        let named: Vec<(&str, String)> = found
            .named
            .iter()
            .map(|(name, states)| (name.as_str(), states.join(",")))
            .collect();
        assert_eq!(
            named,
            [("first", "A,D".to_owned()), ("second", "C".to_owned())]
        );
        assert_eq!(found.unnamed.len(), 2);
        assert_eq!(functions(&Value::Null), Functions::default());
    }

    #[test]
    fn the_shipped_workflow_logs_to_three_groups() {
        let text = include_str!("../../../assets/workflow.asl.json");
        let found = functions(&serde_json::from_str(text).unwrap());
        let names: Vec<&String> = found.named.keys().collect();
        assert_eq!(
            names,
            ["fanout-postprocess", "fanout-preprocess", "fanout-worker"]
        );
    }

    #[test]
    fn a_group_is_in_the_run_s_own_account() {
        let run = ExecutionArn::new("arn:aws-cn:states:cn-north-1:123456789012:execution:SM:x");
        assert_eq!(arn_prefix(&run), "arn:aws-cn:logs:cn-north-1:123456789012");
    }
}
