//! What an operator does that takes more than one call. Planning is apart from doing: a plan is a
//! value that a dialog, `--dry-run` and `--json` all show, and that `run` carries out.

pub mod failures;
pub mod outputs;
pub mod redrive;
pub mod runs;
pub mod start;

use serde::Serialize;

/// Why an operation could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Client(#[from] crate::client::Error),
    /// A local file: which, and what is wrong with it.
    #[error("{path}: {problem}")]
    File { path: String, problem: String },
    /// Refused before anything was done; what to do next is in the text.
    #[error("{0}")]
    Refused(String),
    /// A remote object or answer that is not what it should be.
    #[error("{subject}: {problem}")]
    Malformed { subject: String, problem: String },
}

impl Error {
    /// What to do next, where known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Client(error) => error.hint(),
            _ => None,
        }
    }
}

/// One line of a plan's checks. Only [`Verdict::Bad`] blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub verdict: Verdict,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Good,
    Notice,
    Bad,
}

/// Bytes done of bytes in all, for progress bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}
