//! Tasks: what is scheduled, what becomes of an attempt, and what it waits for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Command, Failure, Frame, Kind, MAX_PAYLOAD, Phase, REGION, Resource, Result, State, Stepper,
    Task, Value, Wanted, exceeds, exceeds_depth, failure_details, json,
};
use crate::engine::definition::Given;
use crate::engine::machine::{Identity, Input, TaskToken};

/// A call that a Task makes (developer guide, "Integrating services").
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Number of the attempt: comes back in the inputs that answer.
    pub attempt: u64,
    /// ARN of the execution or child that calls.
    pub execution: String,
    pub resource: Resource,
    /// What somebody outside ends the Task with.
    pub token: Option<TaskToken>,
    /// `Parameters` or `Arguments`, evaluated; what a function or a worker takes in.
    pub parameters: Value,
}

/// One attempt of a Task under way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    #[serde(rename = "token")]
    pub(in crate::engine::machine) number: u64,
    /// When it was scheduled, milliseconds since 1970.
    #[serde(default)]
    pub(in crate::engine::machine) since: i64,
    #[serde(default)]
    stage: Stage,
    /// ARN of what is called, where somebody outside ends the attempt with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    called_back: Option<String>,
    /// When it ends with `States.Timeout`, milliseconds since 1970.
    #[serde(default)]
    timeout: Option<i64>,
    #[serde(default)]
    heartbeat: Option<Heartbeat>,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// The call is being made. Of activities: the engine is asked whether there is one.
    #[default]
    Called,
    /// The activity waits for a worker.
    Scheduled,
    /// The job was submitted, the token handed over, or a worker has taken the activity.
    Started,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Heartbeat {
    seconds: u64,
    /// When the next one must have come, milliseconds since 1970.
    at: i64,
}

/// How long an attempt and its silence may last, seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    timeout: Option<u64>,
    heartbeat: Option<u64>,
}

impl Attempt {
    fn begin_counting(&mut self, limits: Limits, now: i64) {
        self.timeout = limits.timeout.map(|seconds| after(now, seconds));
        self.heartbeat = limits.heartbeat.map(|seconds| Heartbeat {
            seconds,
            at: after(now, seconds),
        });
    }

    /// When to look at the limits next.
    fn due(&self) -> Option<i64> {
        let heartbeat = self.heartbeat.map(|heartbeat| heartbeat.at);
        self.timeout.into_iter().chain(heartbeat).min()
    }
}

impl Frame {
    /// The token of the attempt under way, where somebody outside may end it.
    pub(in crate::engine::machine) fn task_token(&self, identity: &Identity) -> Option<TaskToken> {
        let Phase::Task(attempt) = &self.phase else {
            return None;
        };
        let resource = attempt.called_back.clone()?;
        Some(TaskToken::new(identity, attempt.number, resource))
    }
}

fn after(now: i64, seconds: u64) -> i64 {
    now.saturating_add_unsigned(seconds.saturating_mul(1_000))
}

/// The prefix of a Task's events.
fn prefix(resource: &Resource) -> &'static str {
    match resource {
        Resource::Function(_) => "LambdaFunction",
        Resource::Activity(_) => "Activity",
        Resource::Service(_) => "Task",
    }
}

/// Details of an event, with the resource where events of its kind name it.
fn with_resource(resource: &Resource, mut details: Value) -> Value {
    if let (Resource::Service(service), Some(object)) = (resource, details.as_object_mut()) {
        object.insert("resourceType".to_owned(), service.name.into());
        object.insert("resource".to_owned(), service.resource().into());
    }
    details
}

fn with_limits(mut details: Value, limits: Limits) -> Value {
    let seconds = [
        ("timeoutInSeconds", limits.timeout),
        ("heartbeatInSeconds", limits.heartbeat),
    ];
    if let Some(object) = details.as_object_mut() {
        let given = seconds
            .into_iter()
            .filter_map(|(name, seconds)| Some((name.to_owned(), seconds?.into())));
        object.extend(given);
    }
    details
}

fn with_role(mut details: Value, role: Option<&str>) -> Value {
    if let (Some(role), Some(object)) = (role, details.as_object_mut()) {
        object.insert("taskCredentials".to_owned(), json!({"roleArn": role}));
    }
    details
}

impl Stepper<'_> {
    pub(super) fn schedule(
        &mut self,
        task: &Task,
        state: &State,
        frame: &mut Frame,
        input: &Value,
    ) -> std::result::Result<Result, Failure> {
        let number = self.token();
        // Evaluation sees the attempt: `$$.Task.Token`.
        frame.phase = Phase::Task(Attempt {
            number,
            since: self.now,
            called_back: task.resource.called_back_arn(),
            ..Attempt::default()
        });
        let call = self.call(number, task, state, frame, input)?;
        let limits = self.limits(task, frame, input)?;
        let role = self.role(task, frame, input)?;
        if exceeds(&call.parameters, MAX_PAYLOAD) {
            let cause = format!(
                "The state/task '{}' has an input with a size exceeding the maximum number of bytes service limit.",
                frame.state
            );
            return Err(Failure::new("States.DataLimitExceeded", cause));
        }
        match &task.resource {
            Resource::Service(service) => {
                self.follow(frame, "TaskScheduled", || {
                    let details =
                        json!({"region": REGION, "parameters": call.parameters.to_string()});
                    let details = with_limits(with_resource(&task.resource, details), limits);
                    with_role(details, role.as_deref())
                });
                self.follow(
                    frame,
                    "TaskStarted",
                    || json!({"resourceType": service.name, "resource": service.resource()}),
                );
            }
            Resource::Function(arn) => {
                self.follow(frame, "LambdaFunctionScheduled", || {
                    let details = json!({"resource": &**arn, "input": call.parameters.to_string(), "inputDetails": {"truncated": false}});
                    with_role(with_limits(details, limits), role.as_deref())
                });
                self.follow(frame, "LambdaFunctionStarted", || Value::Null);
            }
            // Nothing is told of an activity before the engine has said that there is one.
            Resource::Activity(_) => {}
        }
        // The time of an activity counts once a worker has it.
        if let (Phase::Task(attempt), false) = (
            &mut frame.phase,
            matches!(task.resource, Resource::Activity(_)),
        ) {
            attempt.begin_counting(limits, self.now);
            let attempt = attempt.clone();
            self.watch(&attempt);
        }
        self.step.commands.push(Command::Call(Box::new(call)));
        Ok(Result::Waiting)
    }

    /// The call that an attempt makes; the same whenever it is evaluated again.
    fn call(
        &mut self,
        number: u64,
        task: &Task,
        state: &State,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Call, Failure> {
        self.seed = Some(number);
        let parameters = match &state.parameters {
            Some(template) => self.evaluate(template, frame, input),
            None => Ok(input.clone()),
        };
        self.seed = None;
        Ok(Call {
            attempt: number,
            execution: self.machine.identity.id.clone(),
            resource: task.resource.clone(),
            token: frame.task_token(self.machine.identity),
            parameters: parameters?,
        })
    }

    fn limits(
        &mut self,
        task: &Task,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Limits, Failure> {
        let mut seconds = |given: &Option<Given<u64>>, field| match given {
            Some(given) => self
                .given(given, field, Wanted::INTEGER, frame, input, |value| {
                    value.as_u64().filter(|seconds| *seconds > 0)
                })
                .map(Some),
            None => Ok(None),
        };
        Ok(Limits {
            timeout: seconds(&task.timeout, "TimeoutSeconds")?,
            heartbeat: seconds(&task.heartbeat, "HeartbeatSeconds")?,
        })
    }

    /// `RoleArn` of the `Credentials`.
    fn role(
        &mut self,
        task: &Task,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Option<String>, Failure> {
        let Some(template) = &task.credentials else {
            return Ok(None);
        };
        let credentials = self.evaluate(template, frame, input)?;
        super::member(&credentials, "RoleArn").map(Some)
    }

    fn watch(&mut self, attempt: &Attempt) {
        if let Some(at) = attempt.due() {
            self.step.commands.push(Command::Timer {
                token: attempt.number,
                at,
            });
        }
    }

    /// Takes in what is for the attempt under way. `None`: it does not wait for that.
    pub(in crate::engine::machine) fn attempt_delivered(
        &mut self,
        state: &State,
        frame: &mut Frame,
        delivery: &mut Input,
    ) -> Option<Result> {
        let (Phase::Task(attempt), Kind::Task(task)) = (&mut frame.phase, &state.kind) else {
            return None;
        };
        match delivery {
            Input::TaskEnded { result, .. } => {
                let result = std::mem::replace(result, Ok(Value::Null));
                Some(self.task_ended(task, frame, result))
            }
            Input::TaskSubmitted { result, .. } if attempt.stage == Stage::Called => match result {
                Ok(output) => {
                    attempt.stage = Stage::Started;
                    self.follow(frame, "TaskSubmitted", || {
                        let details =
                            json!({"output": output.to_string(), "outputDetails": {"truncated": false}});
                        with_resource(&task.resource, details)
                    });
                    Some(Result::Waiting)
                }
                Err(failure) => {
                    self.follow(frame, "TaskSubmitFailed", || {
                        with_resource(&task.resource, failure_details(failure))
                    });
                    self.give_up(frame);
                    Some(Result::Failed(failure.clone()))
                }
            },
            Input::ActivityScheduled { .. } if attempt.stage == Stage::Called => {
                attempt.stage = Stage::Scheduled;
                Some(
                    self.activity_scheduled(task, state, frame)
                        .unwrap_or_else(Result::Failed),
                )
            }
            Input::ActivityStarted { worker, .. } if attempt.stage == Stage::Scheduled => {
                attempt.stage = Stage::Started;
                Some(
                    self.activity_started(task, state, frame, worker.as_deref())
                        .unwrap_or_else(Result::Failed),
                )
            }
            Input::TaskHeartbeat { .. } => {
                if let Some(heartbeat) = &mut attempt.heartbeat {
                    heartbeat.at = after(self.now, heartbeat.seconds);
                }
                Some(Result::Waiting)
            }
            Input::TimerFired { .. } => self.look_at_limits(task, frame),
            _ => None,
        }
    }

    fn activity_scheduled(
        &mut self,
        task: &Task,
        state: &State,
        frame: &mut Frame,
    ) -> std::result::Result<Result, Failure> {
        let input = self.effective_input(state, frame)?;
        let limits = self.limits(task, frame, &input)?;
        let call = self.call_again(task, state, frame)?;
        self.follow(frame, "ActivityScheduled", || {
            let details = match &task.resource {
                Resource::Activity(arn) => {
                    json!({"resource": &**arn, "input": call.parameters.to_string(), "inputDetails": {"truncated": false}})
                }
                _ => Value::Null,
            };
            with_limits(details, limits)
        });
        Ok(Result::Waiting)
    }

    fn activity_started(
        &mut self,
        task: &Task,
        state: &State,
        frame: &mut Frame,
        worker: Option<&str>,
    ) -> std::result::Result<Result, Failure> {
        let input = self.effective_input(state, frame)?;
        let limits = self.limits(task, frame, &input)?;
        self.follow(frame, "ActivityStarted", || match worker {
            Some(worker) => json!({"workerName": worker}),
            None => json!({}),
        });
        if let Phase::Task(attempt) = &mut frame.phase {
            attempt.begin_counting(limits, self.now);
            let attempt = attempt.clone();
            self.watch(&attempt);
        }
        Ok(Result::Waiting)
    }

    /// A timer has fired: the attempt has taken too long, was silent too long, or neither, because
    /// a heartbeat has come since the timer was set.
    fn look_at_limits(&mut self, task: &Task, frame: &mut Frame) -> Option<Result> {
        let Phase::Task(attempt) = &frame.phase else {
            return None;
        };
        let attempt = attempt.clone();
        let has_passed = |at: i64| at <= self.now;
        let error = if attempt.timeout.is_some_and(has_passed) {
            "States.Timeout"
        } else if attempt
            .heartbeat
            .is_some_and(|heartbeat| has_passed(heartbeat.at))
        {
            "States.HeartbeatTimeout"
        } else {
            self.watch(&attempt);
            return Some(Result::Waiting);
        };
        self.give_up(frame);
        let failure = Failure {
            error: Some(error.to_owned()),
            cause: None,
        };
        let told = failure.clone().shown();
        self.follow(frame, format!("{}TimedOut", prefix(&task.resource)), || {
            with_resource(&task.resource, failure_details(&told))
        });
        Some(Result::Failed(failure))
    }

    /// Nobody waits for the attempt any more.
    pub(in crate::engine::machine) fn give_up(&mut self, frame: &Frame) {
        if let Phase::Task(attempt) = &frame.phase {
            let attempt = attempt.number;
            self.step.commands.push(Command::Abandon { attempt });
        }
    }

    /// The event that a result gives, and what the state has come to.
    fn task_ended(
        &mut self,
        task: &Task,
        frame: &mut Frame,
        result: std::result::Result<Value, Failure>,
    ) -> Result {
        let prefix = prefix(&task.resource);
        let result = match result {
            Ok(value) if exceeds(&value, MAX_PAYLOAD) || exceeds_depth(&value) => {
                let cause = format!(
                    "The state/task '{}' returned a result with a size exceeding the maximum number of bytes service limit.",
                    task.resource.kind()
                );
                Err(Failure::new("States.DataLimitExceeded", cause))
            }
            // As an evaluation of this state would fail: no event of the Task tells it.
            Err(failure) if failure.name() == "States.Runtime" => {
                return Result::Failed(super::located(
                    frame,
                    failure.cause.as_deref().unwrap_or_default(),
                ));
            }
            other => other,
        };
        match result {
            Ok(value) => {
                self.follow(frame, format!("{prefix}Succeeded"), || {
                    let details =
                        json!({"output": value.to_string(), "outputDetails": {"truncated": false}});
                    with_resource(&task.resource, details)
                });
                Result::Done(Arc::new(value))
            }
            Err(failure) => {
                let kind = if failure.name() == "States.Timeout" {
                    "TimedOut"
                } else {
                    "Failed"
                };
                self.follow(frame, format!("{prefix}{kind}"), || {
                    with_resource(&task.resource, failure_details(&failure))
                });
                Result::Failed(failure)
            }
        }
    }

    fn call_again(
        &mut self,
        task: &Task,
        state: &State,
        frame: &Frame,
    ) -> std::result::Result<Call, Failure> {
        let Phase::Task(attempt) = &frame.phase else {
            return Err(Failure::new("States.Runtime", "no attempt is under way"));
        };
        let (number, since) = (attempt.number, attempt.since);
        // Everything that an evaluation can see is as it was then.
        let now = std::mem::replace(&mut self.now, since);
        let input = self.effective_input(state, frame);
        let call = input.and_then(|input| self.call(number, task, state, frame, &input));
        self.now = now;
        call
    }

    /// What the attempt still waits for, after a restart.
    pub(in crate::engine::machine) fn owe_attempt(
        &mut self,
        task: &Task,
        state: &State,
        frame: &Frame,
    ) {
        let Phase::Task(attempt) = &frame.phase else {
            return;
        };
        let is_made = attempt.stage == Stage::Started && attempt.called_back.is_some();
        let attempt = attempt.clone();
        self.watch(&attempt);
        self.now = attempt.since;
        if !is_made
            // It was evaluated before it was scheduled, from the same values.
            && let Ok(call) = self.call_again(task, state, frame)
        {
            self.step.commands.push(Command::Call(Box::new(call)));
        }
    }
}
