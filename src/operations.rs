//! What an operator does that takes more than one call. Planning is apart from doing: a plan is a
//! value that a dialog, `--dry-run` and `--json` all show, and that `run` carries out.

pub mod check;
pub mod cost;
pub mod export;
pub mod failures;
pub mod journal;
pub mod ledger;
pub mod lineage;
pub mod logs;
pub mod machines;
pub mod merge;
pub mod outputs;
pub mod plan;
pub mod reconcile;
pub mod records;
pub mod redrive;
pub mod rerun;
mod results;
pub mod runs;
pub mod start;
pub mod trail;

use serde::{Deserialize, Serialize};

use crate::client::shell_word;

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
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.hint(),
            _ => None,
        }
    }

    fn file(path: &std::path::Path, problem: impl ToString) -> Self {
        Self::File {
            path: path.display().to_string(),
            problem: problem.to_string(),
        }
    }

    fn malformed(subject: impl ToString, problem: impl ToString) -> Self {
        Self::Malformed {
            subject: subject.to_string(),
            problem: problem.to_string(),
        }
    }
}

impl From<crate::lines::Error> for Error {
    fn from(error: crate::lines::Error) -> Self {
        use crate::lines::Error as Lines;
        match error {
            Lines::Client(error) => Self::Client(error),
            Lines::Malformed { subject, problem } => Self::Malformed { subject, problem },
            Lines::Mismatch(text) => Self::Refused(text),
            Lines::Disk(problem) => Self::File {
                path: std::env::temp_dir().display().to_string(),
                problem,
            },
        }
    }
}

/// One line of a plan's checks. Only [`Verdict::Bad`] blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub verdict: Verdict,
    pub text: String,
}

impl Check {
    fn good(text: impl Into<String>) -> Self {
        Self::new(Verdict::Good, text)
    }

    fn notice(text: impl Into<String>) -> Self {
        Self::new(Verdict::Notice, text)
    }

    fn bad(text: impl Into<String>) -> Self {
        Self::new(Verdict::Bad, text)
    }

    fn new(verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            verdict,
            text: text.into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// # Errors
/// `Refused` with every check that blocks.
fn refuse_bad(checks: &[Check]) -> Result<(), Error> {
    let bad: Vec<&str> = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Bad)
        .map(|check| check.text.as_str())
        .collect();
    match bad.as_slice() {
        [] => Ok(()),
        texts => Err(Error::Refused(texts.join("; "))),
    }
}

/// Lower case, two digits a byte.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
