//! Lines and what became of them: files split into lines, result files of Map Runs read record by
//! record, and everything put back into the order of the source, in bounded memory. Postprocess
//! and the operator's reconcile and merge read the same files in the same way: this one.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::client;

mod gather;
mod items;
mod manifest;
mod record;
mod records;
mod sorter;
mod split;
mod tally;

pub use gather::{Gathered, Meter, Pinned, Previous, Results, numbers};
pub use items::Items;
pub use manifest::{ResultFile, result_files};
pub use record::Shape;
pub use records::{Malformed, Records, first};
pub use sorter::Outcome;
pub use split::{Decoder, Line, Lines, without_gz};
pub use tally::{Bits, Counts, Tally, shown, stretches};

/// Items that a Distributed Map reads at most, and so the greatest number of a line.
pub const MAX_LINES: u64 = 100_000_000;

/// Why lines could not be read or put into order.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Client(#[from] client::Error),
    /// An object that is not what it should be: a result file, a manifest, a file of lines.
    #[error("{subject} cannot be read: {problem}")]
    Malformed { subject: String, problem: String },
    /// An output and its failed lines are not the lines that there should be.
    #[error("{0}")]
    Mismatch(String),
    #[error("sorting on the local disk failed: {0}; make room in TMPDIR")]
    Disk(String),
}

impl Error {
    fn malformed(subject: impl ToString, problem: impl ToString) -> Self {
        Self::Malformed {
            subject: subject.to_string(),
            problem: problem.to_string(),
        }
    }
}

/// What the result files hold of one of our lines that succeeded: the worker's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLine {
    /// The line's number in the source, from 1.
    pub n: u64,
    /// The line of the output, without its end.
    pub line: String,
}

/// One line of the file of lines that failed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedLine {
    pub n: u64,
    pub line: String,
    /// FAILED, TIMED_OUT, ABORTED or PENDING (never started).
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// The text with each line break, CRLF being one, as a space.
pub fn one_line(text: String) -> String {
    if !text.contains(['\n', '\r']) {
        return text;
    }
    text.replace("\r\n", " ").replace(['\n', '\r'], " ")
}

/// Runs what waits for the disk on a thread that may wait.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(problem)) => Err(Error::Disk(problem.to_string())),
        Err(problem) => Err(Error::Disk(problem.to_string())),
    }
}
