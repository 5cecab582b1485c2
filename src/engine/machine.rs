//! One step of an execution: (definition, execution, input, now) → events and commands. Pure: no
//! clock, no I/O, and randomness that is the same whenever the step is repeated.
//!
//! An execution is a tree of [`Frame`]s, one for each scope that is under way: the state machine
//! itself, a Parallel branch, an iteration of an inline Map. What is still owed after a crash
//! follows from the frames ([`owed`]); no second table can disagree with them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::definition::Scope;

mod command;
mod context;
mod evaluation;
mod event;
mod size;
mod states;
mod token;
mod tree;

pub use command::{Batching, Command, Destination, ItemSource, MapRunPlan};
pub use context::{iso as context_time, mix, random_uuid};
pub use event::{Event, seconds};
pub use size::{exceeds, exceeds_depth, json_length};
pub use states::{Attempt, Call};
pub use token::TaskToken;
pub use tree::awaits;

/// Longest JSON text of an input, output or task result, in bytes (Step Functions quotas).
pub const MAX_PAYLOAD: usize = 262_144;
/// History of one execution (Step Functions quotas).
pub const MAX_EVENTS: u64 = 25_000;
/// How long after its end an execution can be redriven, milliseconds (API reference,
/// RedriveExecution).
pub const REDRIVE_PERIOD_MS: i64 = 14 * 24 * 3_600_000;

/// What never changes while an execution lives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// ARN.
    pub id: String,
    pub name: String,
    pub role: String,
    /// ARN; of children with the label.
    pub machine_id: String,
    pub machine_name: String,
    /// Milliseconds since 1970.
    pub started: i64,
    /// Drawn at the start and shown to nobody: task tokens cannot be made up without it.
    #[serde(default)]
    pub nonce: String,
}

/// What a step works with besides the execution itself.
pub struct Machine<'m> {
    pub scope: &'m Scope,
    /// `TimeoutSeconds` of the whole execution.
    pub timeout_seconds: Option<u64>,
    pub identity: &'m Identity,
    /// Shared: a state that passes it on costs nothing.
    pub input: &'m Arc<Value>,
    /// What `$$` is instead of what the execution and its identity tell.
    pub context: Option<&'m Map<String, Value>>,
    /// Whether events are wanted. Their numbers are counted either way.
    pub record: bool,
}

/// The state of an execution between two steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    root: Frame,
    last_event: u64,
    last_token: u64,
    pub redrive_count: u32,
    /// Milliseconds since 1970.
    redrive_time: Option<i64>,
    /// The timer that ends the whole execution.
    deadline: Option<Deadline>,
}

impl Execution {
    /// One that starts over, as an Express child does when it is redriven.
    pub fn redriven(redrive_count: u32) -> Self {
        Self {
            redrive_count,
            // Tokens of the attempts before must not be taken for ours.
            last_token: u64::from(redrive_count) << 32,
            ..Self::default()
        }
    }

    /// Number of events so far.
    pub fn events(&self) -> u64 {
        self.last_event
    }

    /// Keeps only what lists show.
    pub fn forget_data(&mut self) {
        self.root = Frame::default();
    }

    /// Whether a redrive could not write its events any more (API reference, RedriveExecution:
    /// fewer than 24,999 events).
    pub fn is_history_full(&self) -> bool {
        self.last_event + 1 >= MAX_EVENTS
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Deadline {
    token: u64,
    at: i64,
}

/// Variables by name (developer guide, "Passing data between states with variables").
pub type Variables = BTreeMap<String, Value>;

/// A scope under way: which state it is in and what that state waits for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Frame {
    state: String,
    /// As it came to the state, before `InputPath`.
    input: Arc<Value>,
    /// When the state was entered, milliseconds since 1970.
    entered: i64,
    entered_event: u64,
    /// What the next event of this frame follows.
    last_event: u64,
    /// Attempts so far, one count for each retrier.
    retries: Vec<u64>,
    phase: Phase,
    /// Ended without success: takes no more deliveries, but can be redriven.
    halted: bool,
    /// A redrive does all of this state again, also what has succeeded in it.
    #[serde(default)]
    rerun: bool,
    /// The inline Map item this frame works on, for `$$.Map.Item`.
    item: Option<Item>,
    /// Assigned in this scope; those of the scopes around it are readable, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    variables: Variables,
    /// What the Entered event follows.
    #[serde(default)]
    before: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Item {
    index: usize,
    value: Value,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
enum Phase {
    #[default]
    Ready,
    Task(Attempt),
    Wait {
        token: u64,
        until: i64,
    },
    /// Between two attempts, or before the first one of a state that another step begins.
    Retry {
        token: u64,
        until: i64,
    },
    Parallel {
        branches: Vec<Branch>,
    },
    Map {
        items: Vec<Value>,
        branches: Vec<Branch>,
        limit: usize,
        /// Id of `MapStateStarted`.
        started_event: u64,
        /// Id of the last event inside the iteration that succeeded last.
        last_inside: Option<u64>,
    },
    MapRun {
        arn: String,
        redrives: u32,
        /// Id of `MapStateStarted`.
        started_event: u64,
        /// Id of `MapRunStarted`.
        run_event: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Branch {
    Waiting,
    Running(Box<Frame>),
    Succeeded(Value),
    /// Failed, or aborted because a sibling failed.
    Failed(Box<Frame>),
}

/// What a step takes in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    Start,
    /// The call has been answered, or somebody has ended the Task with its token.
    TaskEnded {
        token: u64,
        result: Result<Value, Failure>,
    },
    /// The job was started, or the token handed over; or that failed.
    TaskSubmitted {
        token: u64,
        result: Result<Value, Failure>,
    },
    /// There is such an activity.
    ActivityScheduled {
        token: u64,
    },
    /// A worker has taken the activity.
    ActivityStarted {
        token: u64,
        worker: Option<String>,
    },
    TaskHeartbeat {
        token: u64,
    },
    TimerFired {
        token: u64,
    },
    MapRunEnded {
        arn: String,
        redrives: u32,
        result: Result<Value, Failure>,
    },
    Stop {
        error: Option<String>,
        cause: Option<String>,
    },
    Redrive,
}

impl Input {
    /// The attempt, wait or pause that it is for.
    pub fn token(&self) -> Option<u64> {
        match self {
            Self::TaskEnded { token, .. }
            | Self::TaskSubmitted { token, .. }
            | Self::ActivityScheduled { token }
            | Self::ActivityStarted { token, .. }
            | Self::TaskHeartbeat { token }
            | Self::TimerFired { token } => Some(*token),
            Self::Start | Self::MapRunEnded { .. } | Self::Stop { .. } | Self::Redrive => None,
        }
    }
}

/// Why a state or an execution failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub error: Option<String>,
    pub cause: Option<String>,
}

impl Failure {
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()),
            cause: Some(cause.into()),
        }
    }

    fn name(&self) -> &str {
        self.error.as_deref().unwrap_or_default()
    }

    /// As events and outputs tell it: a missed heartbeat is a timeout there (recorded histories);
    /// only `ErrorEquals` can tell them apart.
    fn shown(self) -> Self {
        match self.name() {
            "States.HeartbeatTimeout" => Self {
                error: Some("States.Timeout".to_owned()),
                ..self
            },
            _ => self,
        }
    }
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Succeeded(Arc<Value>),
    Failed(Failure),
    TimedOut,
    Aborted(Failure),
}

/// What a step gives out.
#[derive(Debug, Default)]
pub struct Step {
    pub events: Vec<Event>,
    pub commands: Vec<Command>,
    /// Set by the step that ends the execution.
    pub outcome: Option<Outcome>,
}

/// Takes one input in. An input that nobody waits for any more changes nothing.
pub fn step(machine: &Machine<'_>, execution: &mut Execution, input: Input, now: i64) -> Step {
    let mut stepper = Stepper {
        machine,
        execution,
        now,
        step: Step::default(),
        draws: 0,
        entered: 0,
        seed: None,
        outer: Vec::new(),
        evaluation: None,
    };
    let mut root = std::mem::take(&mut stepper.execution.root);
    stepper.take(&mut root, input);
    stepper.execution.root = root;
    stepper.step
}

/// The commands that a running execution still waits for, after a restart.
pub fn owed(machine: &Machine<'_>, execution: &Execution) -> Vec<Command> {
    let mut copy = execution.clone();
    let root = std::mem::take(&mut copy.root);
    let mut stepper = Stepper {
        machine,
        execution: &mut copy,
        now: 0,
        step: Step::default(),
        draws: 0,
        entered: 0,
        seed: None,
        outer: Vec::new(),
        evaluation: None,
    };
    if let Some(deadline) = stepper.execution.deadline {
        stepper.step.commands.push(Command::Timer {
            token: deadline.token,
            at: deadline.at,
        });
    }
    stepper.owe(machine.scope, &root);
    stepper.step.commands
}

struct Stepper<'s> {
    machine: &'s Machine<'s>,
    execution: &'s mut Execution,
    now: i64,
    step: Step,
    /// Random numbers drawn in this step.
    draws: u64,
    /// States entered in this step.
    entered: usize,
    /// The attempt being evaluated: its numbers must be the same when it is evaluated again.
    seed: Option<u64>,
    /// Variables of the frames around the one that is worked on, outermost first.
    outer: Vec<Variables>,
    /// The JSONata evaluation that has just failed, for the event that tells so.
    evaluation: Option<FailedEvaluation>,
}

struct FailedEvaluation {
    /// The field within the state, where one is to blame.
    location: Option<String>,
}

impl Stepper<'_> {
    fn take(&mut self, root: &mut Frame, input: Input) {
        let scope = self.machine.scope;
        let flow = match input {
            Input::Start => Some(self.start(root)),
            Input::Stop { error, cause } => {
                self.stop(root, Failure { error, cause });
                None
            }
            Input::Redrive => Some(self.redrive_execution(root)),
            Input::TimerFired { token }
                if self
                    .execution
                    .deadline
                    .is_some_and(|deadline| deadline.token == token) =>
            {
                self.time_out(root);
                None
            }
            mut delivery => self.deliver(scope, root, &mut delivery),
        };
        match flow {
            Some(Flow::Succeeded(output)) => {
                self.event(
                    "ExecutionSucceeded",
                    root.last_event,
                    || json!({"output": output.to_string(), "outputDetails": {"truncated": false}}),
                );
                self.end(Outcome::Succeeded(output));
            }
            Some(Flow::Failed(failure)) => {
                self.event("ExecutionFailed", root.last_event, || {
                    failure_details(&failure)
                });
                self.end(Outcome::Failed(failure));
            }
            Some(Flow::Waiting) | None => {}
        }
    }

    fn start(&mut self, root: &mut Frame) -> Flow {
        let machine = self.machine;
        self.event("ExecutionStarted", 0, || {
            json!({
                "input": machine.input.to_string(),
                "inputDetails": {"truncated": false},
                "roleArn": machine.identity.role,
            })
        });
        self.set_deadline();
        *root = Frame {
            state: machine.scope.start_at.clone(),
            input: Arc::clone(machine.input),
            ..Frame::default()
        };
        self.run(machine.scope, root)
    }

    fn set_deadline(&mut self) {
        let Some(seconds) = self.machine.timeout_seconds else {
            return;
        };
        let token = self.token();
        let at = self
            .now
            .saturating_add_unsigned(seconds.saturating_mul(1_000));
        self.execution.deadline = Some(Deadline { token, at });
        self.step.commands.push(Command::Timer { token, at });
    }

    fn redrive_execution(&mut self, root: &mut Frame) -> Flow {
        self.execution.redrive_count += 1;
        self.execution.redrive_time = Some(self.now);
        let count = self.execution.redrive_count;
        let last = self.execution.last_event;
        self.event("ExecutionRedriven", last, || json!({"redriveCount": count}));
        self.set_deadline();
        self.redrive(self.machine.scope, root)
    }

    fn stop(&mut self, root: &mut Frame, failure: Failure) {
        self.abort(self.machine.scope, root, None);
        self.event("ExecutionAborted", 0, || failure_details(&failure));
        self.end(Outcome::Aborted(failure));
    }

    fn time_out(&mut self, root: &mut Frame) {
        self.abort(self.machine.scope, root, None);
        self.event(
            "ExecutionTimedOut",
            0,
            || json!({"error": "States.Timeout"}),
        );
        self.end(Outcome::TimedOut);
    }

    fn end(&mut self, outcome: Outcome) {
        self.execution.deadline = None;
        self.step.outcome = Some(outcome);
    }

    /// Numbers an event and, where wanted, records it. Returns its id.
    fn event(
        &mut self,
        kind: impl Into<Cow<'static, str>>,
        previous: u64,
        details: impl FnOnce() -> Value,
    ) -> u64 {
        self.execution.last_event += 1;
        let id = self.execution.last_event;
        if self.machine.record {
            let details = Some(details()).filter(|details| !details.is_null());
            self.step.events.push(Event {
                id,
                previous,
                at: self.now,
                kind: kind.into(),
                details,
            });
        }
        id
    }

    /// An event that follows the frame's last one and becomes it.
    fn follow(
        &mut self,
        frame: &mut Frame,
        kind: impl Into<Cow<'static, str>>,
        details: impl FnOnce() -> Value,
    ) -> u64 {
        frame.last_event = self.event(kind, frame.last_event, details);
        frame.last_event
    }

    fn token(&mut self) -> u64 {
        self.execution.last_token += 1;
        self.execution.last_token
    }

    /// A number that follows from the execution and from how far it is.
    fn random(&mut self) -> u64 {
        let draw = self.draw();
        draw.number(self.machine, self.execution)
    }

    fn draw(&mut self) -> Draw {
        self.draws += 1;
        Draw {
            attempt: self.seed,
            draw: self.draws,
        }
    }
}

/// A random number that is not computed before somebody wants it.
#[derive(Clone, Copy)]
struct Draw {
    attempt: Option<u64>,
    draw: u64,
}

impl Draw {
    fn number(self, machine: &Machine<'_>, execution: &Execution) -> u64 {
        // A name can be used again after 90 days: the start tells the executions apart.
        let started = machine.identity.started.unsigned_abs();
        let id = &machine.identity.id;
        match self.attempt {
            Some(attempt) => context::mix(started, id, u64::MAX, attempt),
            None => context::mix(started, id, execution.last_event, self.draw),
        }
    }
}

fn failure_details(failure: &Failure) -> Value {
    let mut details = serde_json::Map::new();
    details.extend(
        failure
            .error
            .clone()
            .map(|error| ("error".to_owned(), error.into())),
    );
    details.extend(
        failure
            .cause
            .clone()
            .map(|cause| ("cause".to_owned(), cause.into())),
    );
    Value::Object(details)
}

/// How a scope stands after it was worked on.
enum Flow {
    Waiting,
    Succeeded(Arc<Value>),
    Failed(Failure),
}

#[cfg(test)]
mod tests;
