//! What each type of state does when it is entered, and what follows when it has a result.

use std::sync::Arc;

use serde_json::{Value, json};

mod map;
mod task;

pub use task::{Attempt, Call};

use super::context::{Scene, context};
use super::evaluation::{after, located};
use super::{
    Branch, Command, Destination, Failure, Flow, Frame, ItemSource, MAX_EVENTS, MAX_PAYLOAD,
    MapRunPlan, Phase, Stepper, Variables, exceeds, exceeds_depth, failure_details,
};
use crate::engine::definition::{
    Catcher, ChoiceRule, Distributed, Given, Kind, MapState, Resource, Retrier, Scope, Selection,
    State, Task, Wait, covers, label_of, timestamp,
};
use crate::engine::jsonata::Session;
use crate::engine::path::Expression;
use crate::engine::query::{EvaluationError, Language, Wanted, shown};
use crate::engine::{ACCOUNT, REGION};

/// How many iterations of an inline Map run at once when nothing is configured (quotas).
const INLINE_CONCURRENCY: usize = 40;

/// States entered in one step. Whoever passes through more goes on in the next one, so that a loop
/// over a large payload does not gather all of its events in memory, and can be stopped.
const MAX_ENTERED: usize = 250;

/// What a state has come to.
pub(super) enum Result {
    Waiting,
    /// Its result, before ResultSelector, ResultPath and OutputPath.
    Done(Arc<Value>),
    /// A Choice goes on as a rule says.
    Jump(String, Exit),
    Failed(Failure),
    /// Failed by a branch, an iteration or a Map Run: an event of its own tells so once no retry is
    /// left.
    Broken(Failure),
}

/// What a state leaves behind.
pub(super) struct Exit {
    output: Arc<Value>,
    /// `None`: the way out assigns no variables.
    assigned: Option<Variables>,
}

/// What the scope does next.
enum After {
    Waiting,
    /// The frame is at its next state.
    Go,
    End(Arc<Value>),
    Failed(Failure),
}

impl Stepper<'_> {
    /// Enters the frame's state and goes on until the scope waits or ends.
    pub(super) fn run(&mut self, scope: &Scope, frame: &mut Frame) -> Flow {
        let result = self.enter(scope, frame);
        self.settle(scope, frame, result)
    }

    /// Goes on from a state's result until the scope waits or ends. A loop, not a recursion: a
    /// scope may pass through any number of states.
    pub(super) fn settle(&mut self, scope: &Scope, frame: &mut Frame, result: Result) -> Flow {
        let mut result = result;
        loop {
            let after = match result {
                Result::Waiting => After::Waiting,
                Result::Done(value) => self.complete(scope, frame, value),
                Result::Jump(next, exit) => {
                    self.exit(frame, "ChoiceStateExited", Some(&next), exit)
                }
                Result::Failed(failure) => self.fail(scope, frame, failure),
                Result::Broken(failure) => self.break_off(scope, frame, failure),
            };
            match after {
                After::Waiting => return Flow::Waiting,
                After::End(output) => return Flow::Succeeded(output),
                After::Failed(failure) => {
                    frame.halted = true;
                    // Developer guide, "Redriving executions": also the branches, iterations and
                    // children that succeeded are done again.
                    frame.rerun |= failure.name() == "States.DataLimitExceeded";
                    return Flow::Failed(failure);
                }
                After::Go if self.execution.last_event + 2 > MAX_EVENTS => {
                    frame.halted = true;
                    let cause = format!(
                        "The execution reached the maximum number of history events ({MAX_EVENTS})."
                    );
                    return Flow::Failed(Failure::new("States.Runtime", cause));
                }
                After::Go => result = self.enter(scope, frame),
            }
        }
    }

    fn enter(&mut self, scope: &Scope, frame: &mut Frame) -> Result {
        let Some(state) = scope.states.get(&frame.state) else {
            let cause = format!("State {} does not exist", frame.state);
            return Result::Failed(Failure::new("States.Runtime", cause));
        };
        frame.entered = self.now;
        frame.retries = vec![0; state.retry.len()];
        frame.phase = Phase::Ready;
        (frame.halted, frame.rerun) = (false, false);
        frame.before = frame.last_event;
        let (state_name, input) = (&frame.state, &frame.input);
        frame.last_event = self.event(state.kind.entered(), frame.last_event, || {
            json!({"name": state_name, "input": input.to_string(), "inputDetails": {"truncated": false}})
        });
        frame.entered_event = frame.last_event;
        self.entered += 1;
        if self.entered > MAX_ENTERED {
            self.pause(frame, 0);
            return Result::Waiting;
        }
        self.begin(state, frame)
    }

    /// Begins the frame's state `delay` milliseconds from now, in a step of its own.
    fn pause(&mut self, frame: &mut Frame, delay: u64) {
        let token = self.token();
        let until = self.now.saturating_add_unsigned(delay);
        frame.phase = Phase::Retry { token, until };
        self.step.commands.push(Command::Timer { token, at: until });
    }

    /// Does what the state is for; also the start of a retry and of a redrive.
    pub(super) fn begin(&mut self, state: &State, frame: &mut Frame) -> Result {
        frame.rerun = false;
        self.try_begin(state, frame).unwrap_or_else(Result::Failed)
    }

    fn try_begin(
        &mut self,
        state: &State,
        frame: &mut Frame,
    ) -> std::result::Result<Result, Failure> {
        let input = self.effective_input(state, frame)?;
        Ok(match &state.kind {
            Kind::Pass { result } => {
                let parameters = match &state.parameters {
                    Some(template) => Arc::new(self.evaluate(template, frame, &input)?),
                    None => input,
                };
                Result::Done(result.clone().map_or(parameters, Arc::new))
            }
            Kind::Succeed => Result::Done(input),
            Kind::Fail { error, cause } => Result::Failed(Failure {
                error: self.told(error.as_ref(), "Error", frame, &input)?,
                cause: self.told(cause.as_ref(), "Cause", frame, &input)?,
            }),
            Kind::Choice { rules, default } => {
                self.choose(rules, default.as_deref(), state, frame, &input)?
            }
            Kind::Wait(wait) => {
                let until = self.until(wait, frame, &input)?;
                let token = self.token();
                frame.phase = Phase::Wait { token, until };
                self.step.commands.push(Command::Timer { token, at: until });
                Result::Waiting
            }
            Kind::Task(task) => self.schedule(task, state, frame, &input)?,
            Kind::Parallel { branches } => self.begin_parallel(branches, state, frame, &input)?,
            Kind::Map(map) => match &map.distributed {
                Some(distributed) => self.begin_map_run(state, map, distributed, frame, &input)?,
                None => self.begin_map(state, map, frame, &input)?,
            },
        })
    }

    /// `Error` or `Cause` of a Fail state.
    fn told(
        &mut self,
        given: Option<&Given<String>>,
        field: &str,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Option<String>, Failure> {
        let Some(given) = given else { return Ok(None) };
        if let Given::Path(Expression::Path(path)) = given {
            let value = self.look(frame, input.into(), |source| {
                path.get_for(&format!("{field}Path"), source)
            })?;
            return Ok(Some(shown(&value)));
        }
        let read = |value: &Value| value.as_str().map(str::to_owned);
        self.given(given, field, Wanted::TEXT, frame, input, read)
            .map(Some)
    }

    fn choose(
        &mut self,
        rules: &[ChoiceRule],
        default: Option<&str>,
        state: &State,
        frame: &mut Frame,
        input: &Arc<Value>,
    ) -> std::result::Result<Result, Failure> {
        let found = self.look(frame, input.as_ref().into(), |source| {
            for rule in rules {
                if rule.rule.holds(source)? {
                    return Ok(Some(rule));
                }
            }
            Ok(None)
        })?;
        let (next, output, assign) = match (found, default) {
            (Some(rule), _) => (rule.next.as_str(), &rule.output, &rule.assign),
            (None, Some(default)) => (default, &state.output, &state.assign),
            (None, None) => {
                let cause = "Failed to transition out of the state. The state has no matching rule and no Default";
                return Ok(Result::Failed(Failure::new(
                    "States.NoChoiceMatched",
                    cause,
                )));
            }
        };
        let assigned = self.assigned(assign.as_ref(), frame, input.as_ref().into())?;
        let output = match output {
            Some(template) => Arc::new(self.evaluate(template, frame, input)?),
            None => self.select(&state.output_path, frame, Arc::clone(input))?,
        };
        Ok(Result::Jump(next.to_owned(), Exit { output, assigned }))
    }

    fn until(
        &mut self,
        wait: &Wait,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<i64, Failure> {
        let at = match wait {
            Wait::Seconds(seconds) => {
                let seconds = self.given(
                    seconds,
                    "Seconds",
                    Wanted::INTEGER,
                    frame,
                    input,
                    Value::as_u64,
                )?;
                return Ok(self
                    .now
                    .saturating_add_unsigned(seconds.saturating_mul(1_000)));
            }
            Wait::Timestamp(at) => at,
        };
        let value = self.look(frame, input.into(), |source| match at {
            Given::Value(at) => Ok(Value::String(at.to_string())),
            Given::Path(path) => path.evaluate(source),
            Given::Jsonata(expression) => expression.evaluate(&Session::new(source)),
        })?;
        let read = value.as_str().and_then(timestamp);
        let at = read.ok_or_else(|| {
            let shown = shown(&value);
            let error = match at {
                Given::Path(path) => EvaluationError::runtime(format!(
                    "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: {} == {shown}",
                    path.text()
                )),
                _ => EvaluationError::query(
                    format!("The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format string: {shown}"),
                    Some("Timestamp"),
                ),
            };
            self.failed_evaluation(frame, error)
        })?;
        Ok(at.as_millisecond())
    }

    /// Output and variables, the Exited event, and where the scope goes.
    fn complete(&mut self, scope: &Scope, frame: &mut Frame, result: Arc<Value>) -> After {
        let Some(state) = scope.states.get(&frame.state) else {
            return After::Failed(Failure::new("States.Runtime", "the state does not exist"));
        };
        match self.leave(state, frame, result) {
            Ok(exit) => self.exit(frame, state.kind.exited(), state.next.as_deref(), exit),
            Err(failure) => {
                // The Map Run has succeeded, so there is nothing in it to redrive: a new one is
                // started (developer guide, "Redriving Map Runs").
                frame.rerun = matches!(frame.phase, Phase::MapRun { .. });
                self.fail(scope, frame, failure)
            }
        }
    }

    /// What the state leaves behind, given its result.
    fn leave(
        &mut self,
        state: &State,
        frame: &Frame,
        result: Arc<Value>,
    ) -> std::result::Result<Exit, Failure> {
        let scene = after(state, &frame.input, &result);
        let assigned = self.assigned(state.assign.as_ref(), frame, scene)?;
        let output = match (state.language, &state.output) {
            (Language::Jsonata, Some(template)) => {
                Arc::new(self.look(frame, scene, |source| template.evaluate(source))?)
            }
            (Language::Jsonata, None) => result,
            (Language::JsonPath, _) => {
                let result = match &state.result_selector {
                    Some(template) => Arc::new(self.evaluate(template, frame, &result)?),
                    None => result,
                };
                let combined = combine(&state.result_path, &frame.input, result)?;
                self.select(&state.output_path, frame, combined)?
            }
        };
        // What is only passed on was measured when it came.
        let is_new = !Arc::ptr_eq(&output, &frame.input);
        if is_new && (exceeds(&output, MAX_PAYLOAD) || exceeds_depth(&output)) {
            let cause = format!(
                "The state/task '{}' returned a result with a size exceeding the maximum number of bytes service limit.",
                frame.state
            );
            return Err(Failure::new("States.DataLimitExceeded", cause));
        }
        Ok(Exit { output, assigned })
    }

    fn exit(
        &mut self,
        frame: &mut Frame,
        event: &'static str,
        next: Option<&str>,
        exit: Exit,
    ) -> After {
        // A Distributed Map's exit follows MapRunStarted in recorded histories, not its success.
        if let Phase::MapRun { run_event, .. } = frame.phase {
            frame.last_event = run_event;
        }
        let Exit { output, assigned } = exit;
        let state = &frame.state;
        frame.last_event = self.event(event, frame.last_event, || {
            let mut details = json!({"name": state, "output": output.to_string(), "outputDetails": {"truncated": false}});
            if let (Some(assigned), Some(details)) = (&assigned, details.as_object_mut()) {
                let texts: serde_json::Map<String, Value> = assigned
                    .iter()
                    .map(|(name, value)| (name.clone(), value.to_string().into()))
                    .collect();
                details.insert("assignedVariables".to_owned(), texts.into());
                details.insert("assignedVariablesDetails".to_owned(), json!({"truncated": false}));
            }
            details
        });
        frame.variables.extend(assigned.unwrap_or_default());
        frame.phase = Phase::Ready;
        match next {
            Some(next) => {
                next.clone_into(&mut frame.state);
                frame.input = output;
                After::Go
            }
            None => After::End(output),
        }
    }

    /// Retry, else Catch, else the scope has failed.
    fn fail(&mut self, scope: &Scope, frame: &mut Frame, failure: Failure) -> After {
        let Some(state) = scope.states.get(&frame.state) else {
            return After::Failed(failure);
        };
        if self.evaluation.is_some() && matches!(state.kind, Kind::Map(_)) {
            // Recorded histories: it follows what the map's Entered event follows, and the map
            // tells that it has failed.
            if matches!(frame.phase, Phase::Ready) {
                frame.last_event = frame.before;
            }
            self.tell_evaluation(frame, &failure);
            return self.break_off(scope, frame, failure);
        }
        self.tell_evaluation(frame, &failure);
        if self.retry(state, frame, failure.name()) {
            return After::Waiting;
        }
        self.catch(state, frame, failure)
    }

    /// The same for a state that failed by what is inside it. A retry is told by nothing.
    fn break_off(&mut self, scope: &Scope, frame: &mut Frame, failure: Failure) -> After {
        let Some(state) = scope.states.get(&frame.state) else {
            return After::Failed(failure);
        };
        if self.retry(state, frame, failure.name()) {
            return After::Waiting;
        }
        let kind = state.kind.name();
        self.follow(frame, format!("{kind}StateFailed"), || Value::Null);
        self.catch(state, frame, failure)
    }

    /// Schedules the next attempt where a retrier covers the error and has one left.
    fn retry(&mut self, state: &State, frame: &mut Frame, error: &str) -> bool {
        let covering = |retrier: &Retrier| covers(&retrier.errors, error);
        let Some(index) = state.retry.iter().position(covering) else {
            return false;
        };
        let attempt = frame.retries[index] + 1;
        let random = self.random();
        let Some(delay) = state.retry[index].delay_ms(attempt, random) else {
            return false;
        };
        frame.retries[index] = attempt;
        self.pause(frame, delay);
        true
    }

    fn catch(&mut self, state: &State, frame: &mut Frame, failure: Failure) -> After {
        let covering = |catcher: &&Catcher| covers(&catcher.errors, failure.name());
        let Some(catcher) = state.catch.iter().find(covering) else {
            return After::Failed(failure.shown());
        };
        let failure = failure.shown();
        let caught = json!({
            "Error": failure.error.unwrap_or_default(),
            "Cause": failure.cause.unwrap_or_default(),
        });
        match self.caught(catcher, state, frame, caught) {
            Ok(exit) => {
                frame.phase = Phase::Ready;
                self.exit(frame, state.kind.exited(), Some(&catcher.next), exit)
            }
            Err(failure) => {
                self.tell_evaluation(frame, &failure);
                After::Failed(failure)
            }
        }
    }

    /// What a catcher leaves behind.
    fn caught(
        &mut self,
        catcher: &Catcher,
        state: &State,
        frame: &Frame,
        caught: Value,
    ) -> std::result::Result<Exit, Failure> {
        let scene = match state.language {
            Language::JsonPath => (&caught).into(),
            Language::Jsonata => Scene {
                error: Some(&caught),
                ..frame.input.as_ref().into()
            },
        };
        let assigned = self.assigned(catcher.assign.as_ref(), frame, scene)?;
        let output = match &catcher.output {
            Some(template) => {
                Arc::new(self.look(frame, scene, |source| template.evaluate(source))?)
            }
            None => combine(&catcher.result_path, &frame.input, Arc::new(caught))?,
        };
        Ok(Exit { output, assigned })
    }
}

fn combine(
    selection: &Selection,
    input: &Arc<Value>,
    result: Arc<Value>,
) -> std::result::Result<Arc<Value>, Failure> {
    match selection {
        Selection::Whole => Ok(result),
        Selection::Nothing => Ok(Arc::clone(input)),
        Selection::Path(path) => {
            let mut combined = input.as_ref().clone();
            path.put(&mut combined, Arc::unwrap_or_clone(result))?;
            Ok(Arc::new(combined))
        }
    }
}

fn member(object: &Value, name: &str) -> std::result::Result<String, Failure> {
    let text = object
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| {
        Failure::new(
            "States.Runtime",
            format!("The field '{name}' must be a string that is not empty"),
        )
    })
}
