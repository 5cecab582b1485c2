//! TestState: one state by itself, with a real call or a mocked one, and what each of its fields
//! made of the data (developer guide, "Testing state machines with TestState API").
//!
//! The state runs as the only one of a small state machine whose other states are the ends of its
//! transitions. What a field makes of the data is what the state gives when it has no fields after
//! that one.

mod context;
mod form;

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use self::context::context;
use self::form::{NESTED, as_task, collect_targets, only, text, without};
use super::arguments::{Arguments, invalid};
use super::executions::parse_input;
use super::machines::find_state;
use super::put;
use crate::engine::api::ApiError;
use crate::engine::definition::{ChildKind, Definition, Problem, Severity, covers};
use crate::engine::integrations::{self, Reply};
use crate::engine::machine::{
    self, Command, Event, Execution, Failure, Identity, Input, Machine, Outcome,
};
use crate::engine::runner::{Message, Runner};
use crate::engine::state_machines::arn_of;
use crate::engine::{ACCOUNT, Engine, REGION};

/// How long a state may run, milliseconds (API reference, TestState).
const LONGEST_MS: i64 = 300_000;
/// Calls and answers that may wait.
const INBOX: usize = 16;
/// Names of the states around the one under test.
const VARIABLES: &str = "TestState variables";
const FAILURE: &str = "TestState failure";

type Object = Map<String, Value>;
type Mock = Result<Value, Failure>;

/// What is tested, and with what.
struct Subject {
    name: String,
    state: Object,
    input: Arc<Value>,
    variables: Object,
    identity: Identity,
    /// What `$$` is, where the caller says so.
    context: Option<Object>,
    mock: Option<Mock>,
}

/// What a run of the state came to.
struct Run {
    outcome: Outcome,
    events: Vec<Event>,
}

pub async fn test(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let subject = subject(engine, arguments)?;
    let runner = engine.runner();
    let plain = without(&subject.state, &["Retry", "Catch"]);
    subject.refuse_invalid(&subject.state)?;
    let run = match failure_of_iterations(&subject, arguments) {
        Some(failure) => Run {
            outcome: Outcome::Failed(failure),
            events: Vec::new(),
        },
        None => {
            let mocked = subject.mock.is_some();
            let state = if mocked { as_task(&plain) } else { plain };
            subject.run(runner, &state, subject.mock.clone()).await?
        }
    };
    let mut answer = Map::new();
    let mut details = None;
    let mut assigned = exited(&run, &subject.name);
    match &run.outcome {
        Outcome::Succeeded(_) => {
            put(&mut answer, "status", Some("SUCCEEDED"));
            let exit = assigned.clone().unwrap_or_default();
            put(&mut answer, "output", exit.get("output").cloned());
            put(&mut answer, "nextState", next_state(&run, &subject.name));
        }
        Outcome::Failed(failure) | Outcome::Aborted(failure) => {
            let handled = subject.handle(runner, arguments, failure).await?;
            put(&mut answer, "error", failure.error.clone());
            put(&mut answer, "cause", failure.cause.clone());
            put(&mut answer, "status", Some(handled.status));
            put(&mut answer, "output", handled.output);
            put(&mut answer, "nextState", handled.next);
            details = handled.details;
            assigned = handled.exit;
        }
        Outcome::TimedOut => {
            put(&mut answer, "status", Some("FAILED"));
            put(&mut answer, "error", Some("States.Timeout"));
        }
    }
    if matches!(arguments.text("inspectionLevel"), Some("DEBUG" | "TRACE")) {
        let mut data = subject.inspect(runner, &run).await?;
        let mut variables = subject.variables.clone();
        let new = assigned.and_then(|exit| exit.get("assignedVariables").cloned());
        for (name, value) in new
            .as_ref()
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let parsed = value
                .as_str()
                .and_then(|text| serde_json::from_str(text).ok());
            variables.insert(name.clone(), parsed.unwrap_or_else(|| value.clone()));
        }
        let variables = (!variables.is_empty()).then(|| Value::Object(variables).to_string());
        put(&mut data, "variables", variables);
        put(&mut data, "errorDetails", details);
        put(&mut answer, "inspectionData", Some(data));
    }
    Ok(Value::Object(answer))
}

fn subject(engine: &Engine, arguments: &Arguments) -> Result<Subject, ApiError> {
    let refuse = |text: String| {
        let text = format!("Invalid State Machine Definition: '{text}'");
        ApiError::new("InvalidDefinition", text)
    };
    let given: Value = serde_json::from_str(arguments.required("definition")?)
        .map_err(|error| refuse(format!("INVALID_JSON_DESCRIPTION: {error}")))?;
    let (name, state) = match arguments.text("stateName") {
        Some(name) => {
            let state = find_state(&given, name);
            let state = state.ok_or_else(|| invalid(format!("State not found: '{name}'")))?;
            (name, state)
        }
        None if given.get("States").is_some() => {
            return Err(invalid(
                "stateName must be given where the definition is one of a state machine",
            ));
        }
        None => ("State", &given),
    };
    let Value::Object(state) = state else {
        return Err(refuse(
            "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object".to_owned(),
        ));
    };
    let mut state = state.clone();
    if let (None, Some(language)) = (state.get("QueryLanguage"), given.get("QueryLanguage")) {
        state.insert("QueryLanguage".to_owned(), language.clone());
    }
    let kind = text(&state, "Type").to_owned();
    let mock = mock(arguments)?;
    let is_mockable = ["Task", "Map", "Parallel"].contains(&kind.as_str());
    if mock.is_some() && !is_mockable {
        return Err(invalid(format!(
            "State type '{kind}' is not supported when a mock is specified"
        )));
    }
    let resource = text(&state, "Resource");
    let waits = [".sync", ".sync:2", ".waitForTaskToken"]
        .iter()
        .any(|end| resource.ends_with(end));
    let context = context(arguments, mock.is_some(), waits)?;
    let needs_mock =
        ["Map", "Parallel"].contains(&kind.as_str()) || waits || resource.contains(":activity:");
    if mock.is_none() && needs_mock {
        return Err(invalid(
            "A mock must be specified for Map and Parallel states, activities, and the .sync and .waitForTaskToken integration patterns",
        ));
    }
    let variables = match arguments.text("variables") {
        None => Map::new(),
        Some(text) => match serde_json::from_str(text) {
            Ok(Value::Object(variables)) => variables,
            _ => return Err(invalid("variables must be a JSON object")),
        },
    };
    Ok(Subject {
        identity: identity(engine, arguments),
        context,
        name: name.to_owned(),
        state,
        input: Arc::new(parse_input(arguments.text("input").unwrap_or("{}"))?),
        variables,
        mock,
    })
}

fn mock(arguments: &Arguments) -> Result<Option<Mock>, ApiError> {
    let Some(mock) = arguments.value("mock") else {
        return Ok(None);
    };
    let error = mock.get("errorOutput");
    match (mock.get("result").and_then(Value::as_str), error) {
        (Some(result), None) => {
            let result = serde_json::from_str(result)
                .map_err(|error| invalid(format!("mock.result is not JSON: {error}")))?;
            Ok(Some(Ok(result)))
        }
        (None, Some(error)) => {
            let text = |name| error.get(name).and_then(Value::as_str).map(str::to_owned);
            Ok(Some(Err(Failure {
                error: text("error"),
                cause: text("cause"),
            })))
        }
        _ => Err(invalid(
            "A mock must have exactly one of result and errorOutput",
        )),
    }
}

/// The execution that the state is tested in.
fn identity(engine: &Engine, arguments: &Arguments) -> Identity {
    let name = uuid::Uuid::new_v4().to_string();
    let role = format!("arn:aws:iam::{ACCOUNT}:role/TestState");
    Identity {
        id: format!("arn:aws:states:{REGION}:{ACCOUNT}:express:TestState:{name}:{name}"),
        name,
        role: arguments.text("roleArn").unwrap_or(&role).to_owned(),
        machine_id: arn_of("TestState"),
        machine_name: "TestState".to_owned(),
        started: engine.runner().now(),
        nonce: uuid::Uuid::new_v4().to_string(),
    }
}

/// How a failure of the state is taken.
struct Handled {
    status: &'static str,
    output: Option<Value>,
    next: Option<String>,
    details: Option<Value>,
    exit: Option<Object>,
}

impl Subject {
    /// A state machine around this form of the state.
    fn machine(&self, state: &Object) -> Value {
        let mut states = Map::new();
        let mut targets = Vec::new();
        collect_targets(&Value::Object(without(state, NESTED)), &mut targets);
        for target in targets {
            states.insert(target, json!({"Type": "Succeed"}));
        }
        states.insert(self.name.clone(), Value::Object(state.clone()));
        let mut start = self.name.as_str();
        if !self.variables.is_empty() {
            let assign = json!({"Type": "Pass", "Assign": self.variables, "Next": self.name});
            states.insert(VARIABLES.to_owned(), assign);
            start = VARIABLES;
        }
        json!({"StartAt": start, "States": states})
    }

    fn refuse_invalid(&self, state: &Object) -> Result<Definition, ApiError> {
        let text = self.machine(state).to_string();
        let checked = Definition::check(&text, ChildKind::Standard);
        let mut problems = checked.problems;
        problems.retain(|problem| problem.severity == Severity::Error);
        checked.definition.ok_or_else(|| {
            let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
            let text = format!("Invalid State Machine Definition: '{}'", all.join(", "));
            ApiError::new("InvalidDefinition", text)
        })
    }

    /// Runs a form of the state to its end.
    async fn run(
        &self,
        runner: &Runner,
        state: &Object,
        mock: Option<Mock>,
    ) -> Result<Run, ApiError> {
        let definition = self.refuse_invalid(state)?;
        let machine = Machine {
            scope: &definition.scope,
            timeout_seconds: None,
            identity: &self.identity,
            input: &self.input,
            context: self.context.as_ref(),
            record: true,
        };
        let until = runner.now() + LONGEST_MS;
        let (sender, mut inbox) = mpsc::channel(INBOX);
        let mut execution = Execution::default();
        let mut events = Vec::new();
        let mut input = Input::Start;
        let mut calls = Vec::new();
        let mut timers = Vec::new();
        loop {
            let step = machine::step(&machine, &mut execution, input, runner.now());
            events.extend(step.events);
            if let Some(outcome) = step.outcome {
                return Ok(Run { outcome, events });
            }
            let mut mocked = None;
            for command in step.commands {
                match (command, &mock) {
                    (Command::Call(call), Some(mock)) => {
                        mocked = Some(Input::TaskEnded {
                            token: call.attempt,
                            result: mock.clone(),
                        });
                    }
                    (Command::Call(call), None) => {
                        let reply = Reply::Execution(sender.clone());
                        calls.push(integrations::begin(runner, *call, reply));
                    }
                    (Command::Timer { token, at }, _) => timers.push((at, token)),
                    _ => {}
                }
            }
            if let Some(mocked) = mocked {
                input = mocked;
                continue;
            }
            let (at, token) = timers.iter().min().copied().unwrap_or((until, 0));
            input = tokio::select! {
                message = inbox.recv() => match message {
                    Some(Message::Input(input)) => input,
                    _ => continue_waiting(),
                },
                () = runner.clock().until(at.min(until)) => match at < until {
                    true => {
                        timers.retain(|timer| *timer != (at, token));
                        Input::TimerFired { token }
                    }
                    false => return Ok(Run { outcome: Outcome::TimedOut, events }),
                },
            };
        }
    }

    /// Retry first, then Catch.
    async fn handle(
        &self,
        runner: &Runner,
        arguments: &Arguments,
        failure: &Failure,
    ) -> Result<Handled, ApiError> {
        let mut handled = Handled {
            status: "FAILED",
            output: None,
            next: None,
            details: None,
            exit: None,
        };
        let definition = self.refuse_invalid(&self.state)?;
        let Some(state) = definition.scope.states.get(&self.name) else {
            return Ok(handled);
        };
        let error = failure.error.as_deref().unwrap_or_default();
        let configuration = arguments.value("stateConfiguration");
        let attempts = configuration.and_then(|it| it.get("retrierRetryCount")?.as_u64());
        let mut retriers = state.retry.iter();
        if let Some(index) = retriers.position(|retrier| covers(&retrier.errors, error)) {
            let attempt = attempts.unwrap_or_default() + 1;
            if let Some(delay) = state.retry[index].delay_ms(attempt, u64::MAX) {
                handled.status = "RETRIABLE";
                handled.details = Some(json!({
                    "retryIndex": index, "retryBackoffIntervalSeconds": delay / 1_000,
                }));
                return Ok(handled);
            }
            handled.details = Some(json!({"retryIndex": index}));
        }
        let mut catchers = state.catch.iter();
        let Some(index) = catchers.position(|catcher| covers(&catcher.errors, error)) else {
            return Ok(handled);
        };
        // Any state that fails so and has the same catchers gives what this one gives.
        let mut fail = json!({"Type": "Fail"});
        if let Some(fail) = fail.as_object_mut() {
            put(fail, "Error", failure.error.clone());
            put(fail, "Cause", failure.cause.clone());
        }
        let branch = json!({"StartAt": FAILURE, "States": {FAILURE: fail}});
        let mut caught = only(&self.state, &["QueryLanguage", "Catch"]);
        caught.insert("Type".to_owned(), "Parallel".into());
        caught.insert("Branches".to_owned(), json!([branch]));
        caught.insert("End".to_owned(), true.into());
        let run = self.run(runner, &caught, None).await?;
        handled.exit = exited(&run, &self.name);
        if let Some(exit) = &handled.exit {
            handled.status = "CAUGHT_ERROR";
            handled.output = exit.get("output").cloned();
            handled.next = next_state(&run, &self.name);
            handled.details = Some(json!({"catchIndex": index}));
        }
        Ok(handled)
    }

    /// What each field made of the data, as far as the state came.
    async fn inspect(&self, runner: &Runner, run: &Run) -> Result<Object, ApiError> {
        let mut data = Map::new();
        put(&mut data, "input", Some(self.input.to_string()));
        let kind = text(&self.state, "Type");
        let is_jsonata = text(&self.state, "QueryLanguage") == "JSONata";
        let result = run.events.iter().find_map(|event| {
            let ended = event.kind.ends_with("Succeeded") && event.kind != "ExecutionSucceeded";
            let output = event.details.as_ref()?.get("output")?.as_str()?;
            ended.then(|| output.to_owned())
        });
        put(&mut data, "result", result.clone());
        if is_jsonata {
            if let Some(given) = self.state.get("Arguments") {
                let pass = json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": given, "End": true});
                let after = self.output_of(runner, pass, None).await?;
                put(&mut data, "afterArguments", after);
            }
        } else {
            let form = |fields: &[&str]| {
                let mut pass = only(&self.state, fields);
                pass.insert("Type".to_owned(), "Pass".into());
                pass.insert("End".to_owned(), true.into());
                Value::Object(pass)
            };
            let after = self.output_of(runner, form(&["InputPath"]), None).await?;
            put(&mut data, "afterInputPath", after);
            if kind != "Map" && ["Task", "Pass", "Parallel"].contains(&kind) {
                let form = form(&["InputPath", "Parameters"]);
                let after = self.output_of(runner, form, None).await?;
                put(&mut data, "afterParameters", after);
            }
            let parsed = result.and_then(|text| serde_json::from_str(&text).ok());
            if let Some(result) = parsed {
                let task = as_task(&without(&self.state, &["Retry", "Catch", "Next"]));
                let form = |fields: &[&str]| {
                    let mut form = without(&task, fields);
                    form.insert("End".to_owned(), true.into());
                    Value::Object(form)
                };
                let selected = form(&["ResultPath", "OutputPath"]);
                let mock = Some(Ok::<Value, Failure>(result));
                let after = self.output_of(runner, selected, mock.clone()).await?;
                put(&mut data, "afterResultSelector", after);
                let after = self.output_of(runner, form(&["OutputPath"]), mock).await?;
                put(&mut data, "afterResultPath", after);
            }
        }
        if kind == "Map" {
            self.inspect_map(runner, &mut data).await?;
        }
        Ok(data)
    }

    async fn inspect_map(&self, runner: &Runner, data: &mut Object) -> Result<(), ApiError> {
        let items = ["QueryLanguage", "InputPath", "ItemsPath", "Items"];
        let through =
            json!({"StartAt": FAILURE, "States": {FAILURE: {"Type": "Pass", "End": true}}});
        let form = |fields: &[&str]| {
            let mut map = only(&self.state, fields);
            map.insert("Type".to_owned(), "Map".into());
            map.insert("ItemProcessor".to_owned(), through.clone());
            map.insert("End".to_owned(), true.into());
            Value::Object(map)
        };
        if !self.state.contains_key("ItemReader") {
            let after = self.output_of(runner, form(&items), None).await?;
            put(data, "afterItemsPath", after);
            let fields = [&items[..], &["ItemSelector", "Parameters"]].concat();
            let after = self.output_of(runner, form(&fields), None).await?;
            put(data, "afterItemSelector", after);
        }
        for (field, member, default) in [
            ("MaxConcurrency", "maxConcurrency", Some(json!(0))),
            ("ToleratedFailureCount", "toleratedFailureCount", None),
            (
                "ToleratedFailurePercentage",
                "toleratedFailurePercentage",
                None,
            ),
        ] {
            let number = self.state.get(field).filter(|value| value.is_number());
            put(data, member, number.cloned().or(default));
        }
        Ok(())
    }

    /// What a form of the state gives; `None` where it fails.
    async fn output_of(
        &self,
        runner: &Runner,
        form: Value,
        mock: Option<Mock>,
    ) -> Result<Option<Value>, ApiError> {
        let Value::Object(form) = form else {
            return Ok(None);
        };
        let run = self.run(runner, &form, mock).await?;
        Ok(exited(&run, &self.name).and_then(|exit| exit.get("output").cloned()))
    }
}

/// Nobody but a call writes to the inbox of a test; an input that no state waits for does nothing.
fn continue_waiting() -> Input {
    Input::TimerFired { token: 0 }
}

/// The failure of a Map state whose iterations fail more often than it tolerates.
fn failure_of_iterations(subject: &Subject, arguments: &Arguments) -> Option<Failure> {
    let configuration = arguments.value("stateConfiguration")?;
    let failed = configuration.get("mapIterationFailureCount")?.as_u64()?;
    let number = |name: &str| subject.state.get(name).and_then(Value::as_f64);
    let (count, share) = (
        number("ToleratedFailureCount"),
        number("ToleratedFailurePercentage"),
    );
    let items = match &subject.mock {
        Some(Ok(Value::Array(items))) => items.len() as f64,
        // A failure that is mocked is the state's, however many iterations failed.
        Some(Err(_)) => return None,
        _ => 0.0,
    };
    let is_over = match (count, share) {
        (None, None) => failed > 0,
        (count, share) => {
            count.is_some_and(|count| failed as f64 > count)
                || share.is_some_and(|share| failed as f64 * 100.0 > share * items)
        }
    };
    is_over.then(|| {
        Failure::new(
            "States.ExceedToleratedFailureThreshold",
            "The specified tolerated failure threshold was exceeded",
        )
    })
}

/// Details of the event that left the state.
fn exited(run: &Run, name: &str) -> Option<Object> {
    run.events.iter().find_map(|event| {
        let details = event.details.as_ref()?.as_object()?;
        let is_exit = event.kind.ends_with("StateExited")
            && details.get("name").and_then(Value::as_str) == Some(name);
        is_exit.then(|| details.clone())
    })
}

fn next_state(run: &Run, name: &str) -> Option<String> {
    let of = |event: &Event| {
        let entered = event.kind.ends_with("StateEntered");
        let name = event.details.as_ref()?.get("name")?.as_str()?;
        entered.then(|| name.to_owned())
    };
    let mut entered = run.events.iter().filter_map(of);
    entered.by_ref().find(|entered| entered == name)?;
    entered.find(|entered| entered != FAILURE)
}
