//! A run's log lines: where they are, those there are already, those that come, and those that
//! belong to one failure.
//!
//! A run writes to the log group of its state machine and to the groups of the functions that its
//! definition names. Lines of the machine's group say which execution wrote them; those of a
//! function do not, so lines of other runs at the same time may stand among them.

mod follow;
mod line;
mod seen;
mod sources;

use crate::client::{Client, LogEvent};
use crate::model::{ExecutionArn, ExecutionDetail, Failure, Timestamp};
use crate::operations::{Error, failures};

pub use follow::follow;
pub use line::{Level, Line};
pub use sources::{Group, Origin, Sources, sources};

/// Lines that are read of the past, and that whoever shows them should keep.
pub const KEPT: usize = 10_000;

/// Which lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Query {
    /// The execution; not a child.
    pub run: ExecutionArn,
    /// Only those of this failure.
    pub focus: Option<Focus>,
    /// In the service's filter language; an empty one takes everything.
    pub pattern: String,
    /// Whether to go on with what comes, as long as the run does.
    pub follow: bool,
}

/// A failure, as far as it helps to find its lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Focus {
    pub child: ExecutionArn,
    /// Of the call that failed, where the cause tells.
    pub request: Option<String>,
    pub stopped: Option<Timestamp>,
}

impl Focus {
    /// On a child of which nothing else is known.
    pub fn of(child: ExecutionArn) -> Self {
        Self {
            child,
            request: None,
            stopped: None,
        }
    }

    /// On a child by its description.
    pub fn described(child: &ExecutionDetail) -> Self {
        Self {
            child: child.execution.arn.clone(),
            request: child.cause.as_deref().and_then(failures::request_id),
            stopped: child.execution.stopped,
        }
    }

    pub fn on(failure: &Failure) -> Self {
        Self {
            child: failure.child.clone(),
            request: failure.cause.as_deref().and_then(failures::request_id),
            stopped: failure.stopped,
        }
    }
}

impl Query {
    /// All lines of an execution; of a child, only its own.
    ///
    /// # Errors
    /// What the service answers about the child: Express children cannot be described on AWS.
    pub async fn of(client: &Client, arn: &ExecutionArn) -> Result<Self, Error> {
        let (run, focus) = if arn.is_child() {
            let detail = client.execution(arn).await?;
            let run = match &detail.execution.map_run {
                Some(map_run) => client.map_run(map_run).await?.execution,
                None => arn.clone(),
            };
            (run, Some(Focus::described(&detail)))
        } else {
            (arn.clone(), None)
        };
        Ok(Self {
            run,
            focus,
            pattern: String::new(),
            follow: false,
        })
    }
}

/// What [`follow`] tells, piece by piece.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// Where the lines are; comes first.
    Sources(Sources),
    /// Lines of one group, in the order of their time; other groups' lines may lie between them.
    Lines(Vec<Line>),
    /// What is being done from here on.
    Phase(Phase),
    /// The live tail left some lines out, or no longer does.
    Sampled(bool),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Reading what there is already, newest first; read back to this moment.
    Reading { back_to: Timestamp },
    /// Lines come as they are written. What there was is read back to this moment.
    Live { back_to: Timestamp },
    /// The service is asked again and again; why there is no live tail.
    Polling { back_to: Timestamp, why: String },
    /// No more will come.
    Done { back_to: Timestamp },
    /// The lines of a failure, by what they were found.
    Found(Method),
}

/// How the lines of a failure were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// By the request id in its cause: all that the function wrote during this call.
    Request(String),
    /// By the child's ARN, which the lines of the machine's own group carry.
    Execution,
    /// By time alone, with the reason.
    Window(&'static str),
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Request(id) => write!(f, "found by request id {id} in the error's cause"),
            Self::Execution => f.write_str("found by the child's ARN in the state machine's log"),
            Self::Window(why) => write!(f, "the half minute around its end: {why}"),
        }
    }
}

/// A line of a group, as one of a run's sources.
fn line(event: LogEvent, sources: &Sources) -> Option<Line> {
    let group = sources.groups.iter().find(|it| *it.name == *event.group)?;
    let line = Line::of(event, group);
    sources.holds(&line).then_some(line)
}
