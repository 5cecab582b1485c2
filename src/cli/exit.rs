//! How a verb ends: the one table of exit codes, and errors as the user reads them.

use std::io;
use std::process::ExitCode;

use crate::client::{self, ErrorKind};
use crate::config;
use crate::local;
use crate::model::RunState;
use crate::operations;

/// The exit codes, the worse ones of two runs being the greater in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything asked is done and no line failed.
    Done,
    /// Ended well, but some lines failed.
    Part,
    /// The run ended FAILED, TIMED_OUT or ABORTED.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    /// Nothing was done: not redrivable, read-only, name taken, a check that failed.
    Refused,
    /// Sign-in or permission.
    SignIn,
    /// AWS, the engine or the network failed after retries.
    Service,
    /// `--timeout` passed; the run goes on.
    TimedOut,
    /// Interrupted; the run goes on.
    Interrupted,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Part => 3,
            Self::Refused => 4,
            Self::SignIn => 5,
            Self::Service => 6,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
        }
    }

    /// What a run in this state means for a caller that waited for its end.
    pub fn of(state: RunState) -> Self {
        match state {
            RunState::Succeeded => Self::Done,
            RunState::Part => Self::Part,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What went wrong, what to do next, and the exit code.
#[derive(Debug)]
pub struct Error {
    pub exit: Exit,
    /// Lower case, without a full stop. Empty when there is nobody to read it.
    pub text: String,
    pub hint: Option<String>,
}

impl Error {
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
            hint: None,
        }
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    pub fn refused(text: impl Into<String>) -> Self {
        Self::new(Exit::Refused, text)
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        Self {
            exit: exit_of(&error.kind),
            text: error.to_string(),
            hint: error.hint(),
        }
    }
}

fn exit_of(kind: &ErrorKind) -> Exit {
    match kind {
        ErrorKind::Configuration(_) => Exit::Usage,
        ErrorKind::SignIn(_) | ErrorKind::Permission(_) => Exit::SignIn,
        ErrorKind::NotFound(_)
        | ErrorKind::Elsewhere(_)
        | ErrorKind::Conflict(_)
        | ErrorKind::NotRedrivable(_)
        | ErrorKind::Invalid(_)
        | ErrorKind::Outdated(_)
        | ErrorKind::ReadOnly => Exit::Refused,
        ErrorKind::Throttled(_) | ErrorKind::Unreachable(_) | ErrorKind::Service(_) => {
            Exit::Service
        }
    }
}

impl From<operations::Error> for Error {
    fn from(error: operations::Error) -> Self {
        match error {
            operations::Error::Client(error) => error.into(),
            operations::Error::File { .. } | operations::Error::Refused(_) => {
                Self::refused(error.to_string())
            }
            operations::Error::Malformed { .. } => Self::new(Exit::Service, error.to_string()),
        }
    }
}

impl From<local::Error> for Error {
    fn from(error: local::Error) -> Self {
        match error {
            local::Error::Client(error) => error.into(),
            other => Self::new(Exit::Service, other.to_string()),
        }
    }
}

impl From<config::Error> for Error {
    fn from(error: config::Error) -> Self {
        Self::usage(error.to_string())
    }
}

/// Of writing the answer, which is all the I/O that verbs do themselves.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // `fanout runs | head` has got what it wanted.
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, ""),
            _ => Self::new(
                Exit::Service,
                format!("the answer cannot be written: {error}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_runs_decides() {
        let ends = [RunState::Succeeded, RunState::Part, RunState::Succeeded];
        assert_eq!(ends.into_iter().map(Exit::of).max(), Some(Exit::Part));
        assert_eq!(Exit::of(RunState::Stopped).code(), 1);
        assert!(Exit::Part < Exit::Failed);
    }

    #[test]
    fn errors_say_by_their_code_who_can_help() {
        let code = |kind| {
            let error = client::Error {
                action: "RedriveExecution",
                subject: "a".to_owned(),
                kind,
                place: None,
                missing: None,
            };
            Error::from(error).exit.code()
        };
        assert_eq!(code(ErrorKind::NotRedrivable(String::new())), 4);
        assert_eq!(code(ErrorKind::ReadOnly), 4);
        assert_eq!(code(ErrorKind::SignIn(String::new())), 5);
        assert_eq!(code(ErrorKind::Unreachable(String::new())), 6);
        let pipe = Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((pipe.exit, pipe.text.as_str()), (Exit::Done, ""));
    }
}
