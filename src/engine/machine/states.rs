//! What each type of state does when it is entered, and what follows when it has a result.

use serde_json::{Value, json};

mod map;
mod task;

pub use task::{Attempt, Call};

use super::context::{View, context};
use super::{
    Branch, Command, Destination, Execution, Failure, Flow, Frame, ItemSource, MAX_EVENTS,
    MAX_PAYLOAD, MapRunPlan, Phase, Stepper, exceeds, exceeds_depth, failure_details,
};
use crate::engine::definition::{
    Catcher, Distributed, Given, Kind, MapState, Resource, Retrier, Scope, Selection, State, Task,
    Text, Wait, covers, label_of, timestamp,
};
use crate::engine::path::{EvaluationError, Path, Source, Template};
use crate::engine::{ACCOUNT, REGION};

/// How many iterations of an inline Map run at once when nothing is configured (quotas).
const INLINE_CONCURRENCY: usize = 40;

/// What a state has come to.
pub(super) enum Result {
    Waiting,
    /// Its result, before ResultSelector, ResultPath and OutputPath.
    Done(Value),
    /// Its output; a Choice goes on as a rule says.
    Jump(String, Value),
    Failed(Failure),
    /// Failed by a branch, an iteration or a Map Run: an event of its own tells so once no retry is
    /// left.
    Broken(Failure),
}

/// What the scope does next.
enum After {
    Waiting,
    /// The frame is at its next state.
    Go,
    End(Value),
    Failed(Failure),
}

impl From<EvaluationError> for Failure {
    fn from(error: EvaluationError) -> Self {
        Self::new(error.error, error.cause)
    }
}

/// A runtime error of this state, with the place as AWS gives it.
fn located(frame: &Frame, cause: &str) -> Failure {
    let cause = format!(
        "An error occurred while executing the state '{}' (entered at the event id #{}). {cause}",
        frame.state, frame.entered_event
    );
    Failure::new("States.Runtime", cause)
}

/// The failure that an evaluation in this state comes to.
fn evaluation_failure(frame: &Frame, error: EvaluationError) -> Failure {
    if error.error == "States.Runtime" {
        return located(frame, &error.cause);
    }
    error.into()
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
                Result::Jump(next, output) => self.exit(frame, "Choice", Some(&next), output),
                Result::Failed(failure) => self.fail(scope, frame, failure),
                Result::Broken(failure) => self.break_off(scope, frame, failure),
            };
            match after {
                After::Waiting => return Flow::Waiting,
                After::End(output) => return Flow::Succeeded(output),
                After::Failed(failure) => {
                    frame.halted = true;
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
        let name = state.kind.name();
        frame.entered = self.now;
        frame.retries = vec![0; state.retry.len()];
        frame.phase = Phase::Ready;
        frame.halted = false;
        let (state_name, input) = (&frame.state, &frame.input);
        frame.last_event = self.event(format!("{name}StateEntered"), frame.last_event, || {
            json!({"name": state_name, "input": input.to_string(), "inputDetails": {"truncated": false}})
        });
        frame.entered_event = frame.last_event;
        self.begin(state, frame)
    }

    /// Does what the state is for; also the start of a retry and of a redrive.
    pub(super) fn begin(&mut self, state: &State, frame: &mut Frame) -> Result {
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
                    Some(template) => self.evaluate(template, frame, &input)?,
                    None => input,
                };
                Result::Done(result.clone().unwrap_or(parameters))
            }
            Kind::Succeed => Result::Done(input),
            Kind::Fail { error, cause } => {
                let mut text = |text: &Option<Text>| match text {
                    None => Ok(None),
                    Some(Text::Literal(text)) => Ok(Some(text.clone())),
                    Some(Text::Path(path)) => {
                        self.find(path, frame, &input).map(|value| match value {
                            Value::String(text) => Some(text),
                            other => Some(other.to_string()),
                        })
                    }
                };
                Result::Failed(Failure {
                    error: text(error)?,
                    cause: text(cause)?,
                })
            }
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
                Some(distributed) => self.begin_map_run(map, distributed, frame, &input)?,
                None => self.begin_map(state, map, frame, &input)?,
            },
        })
    }

    fn choose(
        &mut self,
        rules: &[(crate::engine::definition::Rule, String)],
        default: Option<&str>,
        state: &State,
        frame: &mut Frame,
        input: &Value,
    ) -> std::result::Result<Result, Failure> {
        let random = self.random();
        let view = self.view(frame, input, random);
        let mut next = default;
        for (rule, target) in rules {
            let holds = rule.holds(&view);
            if holds.map_err(|error| evaluation_failure(frame, error))? {
                next = Some(target);
                break;
            }
        }
        let Some(next) = next.map(str::to_owned) else {
            let cause = "Failed to transition out of the state. The state has no matching rule and no Default";
            return Ok(Result::Failed(Failure::new(
                "States.NoChoiceMatched",
                cause,
            )));
        };
        let output = self.select(&state.output_path, frame, input.clone())?;
        Ok(Result::Jump(next, output))
    }

    fn until(
        &mut self,
        wait: &Wait,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<i64, Failure> {
        match wait {
            Wait::Seconds(seconds) => {
                let seconds = self.given(
                    seconds,
                    "SecondsPath",
                    "integer",
                    frame,
                    input,
                    Value::as_u64,
                )?;
                Ok(self
                    .now
                    .saturating_add_unsigned(seconds.saturating_mul(1_000)))
            }
            Wait::Timestamp(Given::Value(at)) => Ok(at.as_millisecond()),
            Wait::Timestamp(Given::Path(path)) => {
                let value = self.find(path, frame, input)?;
                let shown = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                let at = value.as_str().and_then(timestamp).ok_or_else(|| {
                    let path = path.text();
                    let text = format!(
                        "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: {path} == {shown}"
                    );
                    located(frame, &text)
                })?;
                Ok(at.as_millisecond())
            }
        }
    }

    /// ResultSelector, ResultPath, OutputPath, the Exited event, and where the scope goes.
    fn complete(&mut self, scope: &Scope, frame: &mut Frame, result: Value) -> After {
        let Some(state) = scope.states.get(&frame.state) else {
            return After::Failed(Failure::new("States.Runtime", "the state does not exist"));
        };
        let output = self.result_to_output(state, frame, result);
        match output {
            Ok(output) => self.exit(frame, state.kind.name(), state.next.as_deref(), output),
            Err(failure) => self.fail(scope, frame, failure),
        }
    }

    fn result_to_output(
        &mut self,
        state: &State,
        frame: &Frame,
        result: Value,
    ) -> std::result::Result<Value, Failure> {
        let result = match &state.result_selector {
            Some(template) => self.evaluate(template, frame, &result)?,
            None => result,
        };
        let combined = combine(&state.result_path, &frame.input, result)?;
        let output = self.select(&state.output_path, frame, combined)?;
        if exceeds(&output, MAX_PAYLOAD) || exceeds_depth(&output) {
            let cause = format!(
                "The state/task '{}' returned a result with a size exceeding the maximum number of bytes service limit.",
                frame.state
            );
            return Err(Failure::new("States.DataLimitExceeded", cause));
        }
        Ok(output)
    }

    fn exit(&mut self, frame: &mut Frame, kind: &str, next: Option<&str>, output: Value) -> After {
        // A Distributed Map's exit follows MapRunStarted in recorded histories, not its success.
        if let Phase::MapRun { run_event, .. } = frame.phase {
            frame.last_event = run_event;
        }
        let state = frame.state.clone();
        self.follow(frame, format!("{kind}StateExited"), || {
            json!({"name": state, "output": output.to_string(), "outputDetails": {"truncated": false}})
        });
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
        let token = self.token();
        let until = self.now.saturating_add_unsigned(delay);
        frame.phase = Phase::Retry { token, until };
        self.step.commands.push(Command::Timer { token, at: until });
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
        match combine(&catcher.result_path, &frame.input, caught) {
            Ok(output) => {
                frame.phase = Phase::Ready;
                self.exit(frame, state.kind.name(), Some(&catcher.next), output)
            }
            Err(failure) => After::Failed(failure),
        }
    }

    pub(super) fn effective_input(
        &mut self,
        state: &State,
        frame: &Frame,
    ) -> std::result::Result<Value, Failure> {
        self.select(&state.input_path, frame, frame.input.clone())
    }

    /// What InputPath or OutputPath leaves of a value.
    fn select(
        &mut self,
        selection: &Selection,
        frame: &Frame,
        value: Value,
    ) -> std::result::Result<Value, Failure> {
        match selection {
            Selection::Whole => Ok(value),
            Selection::Nothing => Ok(json!({})),
            Selection::Path(path) => self.find(path, frame, &value),
        }
    }

    fn view<'v>(&'v self, frame: &'v Frame, input: &'v Value, random: u64) -> View<'v> {
        let execution: &Execution = self.execution;
        View {
            machine: self.machine,
            execution,
            frame,
            input,
            item: None,
            random,
        }
    }

    fn find(
        &mut self,
        path: &Path,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Value, Failure> {
        let random = self.random();
        let found = path.get(&self.view(frame, input, random));
        found.map_err(|error| evaluation_failure(frame, error))
    }

    pub(super) fn evaluate(
        &mut self,
        template: &Template,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Value, Failure> {
        let random = self.random();
        let value = template.evaluate(&self.view(frame, input, random));
        value.map_err(|error| evaluation_failure(frame, error))
    }

    /// An inline Map's item as its iteration gets it.
    pub(super) fn select_item(
        &mut self,
        map: &MapState,
        frame: &Frame,
        input: &Value,
        item: (usize, &Value),
    ) -> std::result::Result<Value, Failure> {
        let Some(selector) = &map.selector else {
            return Ok(item.1.clone());
        };
        let random = self.random();
        let view = View {
            item: Some(item),
            ..self.view(frame, input, random)
        };
        let value = selector.evaluate(&view as &dyn Source);
        value.map_err(|error| evaluation_failure(frame, error))
    }

    fn given<T: Clone>(
        &mut self,
        given: &Given<T>,
        field: &str,
        wanted: &str,
        frame: &Frame,
        input: &Value,
        read: impl Fn(&Value) -> Option<T>,
    ) -> std::result::Result<T, Failure> {
        let path = match given {
            Given::Value(value) => return Ok(value.clone()),
            Given::Path(path) => path,
        };
        let value = self.find(path, frame, input)?;
        read(&value).ok_or_else(|| {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let path = path.text();
            let text = format!(
                "The {field} field refers to value \"{shown}\" which is not a valid {wanted}: {path}"
            );
            located(frame, &text)
        })
    }
}

fn combine(
    selection: &Selection,
    input: &Value,
    result: Value,
) -> std::result::Result<Value, Failure> {
    match selection {
        Selection::Whole => Ok(result),
        Selection::Nothing => Ok(input.clone()),
        Selection::Path(path) => {
            let mut combined = input.clone();
            path.put(&mut combined, result)?;
            Ok(combined)
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
