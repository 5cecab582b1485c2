//! How handlers fail: names that the definition's `ErrorEquals` matches, and messages for people.

use crate::client::{Error, ErrorKind};
use crate::lines;

/// A handler's failure: `name` is what the definition's `ErrorEquals` matches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct HandlerError {
    pub name: &'static str,
    pub message: String,
}

pub const UNKNOWN_FUNCTION: &str = "Workflow.UnknownFunction";

/// The execution's input is wrong; the message names the field.
pub const PREPROCESS_INVALID_INPUT: &str = "Preprocess.InvalidInput";
pub const PREPROCESS_NO_SOURCE: &str = "Preprocess.NoSource";
pub const PREPROCESS_EMPTY_SOURCE: &str = "Preprocess.EmptySource";
/// The source as a whole cannot be read: broken compression, too large.
pub const PREPROCESS_INVALID_SOURCE: &str = "Preprocess.InvalidSource";
/// Some lines cannot be processed; the message has their numbers.
pub const PREPROCESS_INVALID_LINES: &str = "Preprocess.InvalidLines";
/// What a re-run is to be merged with is not what the input says it is.
pub const PREPROCESS_MISMATCH: &str = "Preprocess.Mismatch";
/// Storage refused; somebody must repair permissions or names.
pub const PREPROCESS_STORAGE: &str = "Preprocess.Storage";
/// Storage did not answer; trying again helps.
pub const PREPROCESS_UNAVAILABLE: &str = "Preprocess.Unavailable";

pub const WORKER_INVALID_INPUT: &str = "Worker.InvalidInput";
/// 429.
pub const WORKER_THROTTLED: &str = "Worker.Throttled";
/// 5xx, 408, time limit passed, no connection.
pub const WORKER_UNAVAILABLE: &str = "Worker.Unavailable";
/// The service does not want this line: any other status than 2xx.
pub const WORKER_REJECTED: &str = "Worker.Rejected";
/// An answer from which the output line cannot be made.
pub const WORKER_BAD_RESPONSE: &str = "Worker.BadResponse";

pub const POSTPROCESS_INVALID_INPUT: &str = "Postprocess.InvalidInput";
/// Lines are missing from the result files; the message has their numbers.
pub const POSTPROCESS_INCOMPLETE: &str = "Postprocess.Incomplete";
/// A result file or manifest is not what Step Functions writes.
pub const POSTPROCESS_INVALID_RESULTS: &str = "Postprocess.InvalidResults";
/// The earlier output that a re-run is to be merged with has not the lines that it should have, or
/// was overwritten meanwhile.
pub const POSTPROCESS_MISMATCH: &str = "Postprocess.Mismatch";
/// Storage refused, or the local disk did.
pub const POSTPROCESS_STORAGE: &str = "Postprocess.Storage";
/// Storage did not answer; trying again helps.
pub const POSTPROCESS_UNAVAILABLE: &str = "Postprocess.Unavailable";

/// What the definition tries again.
#[cfg(test)]
pub const RETRIED: [&str; 4] = [
    PREPROCESS_UNAVAILABLE,
    WORKER_THROTTLED,
    WORKER_UNAVAILABLE,
    POSTPROCESS_UNAVAILABLE,
];

impl HandlerError {
    pub fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            message: message.into(),
        }
    }

    /// A storage call of Preprocess failed.
    pub fn preprocess(error: Error) -> Self {
        Self::storage(error, PREPROCESS_UNAVAILABLE, PREPROCESS_STORAGE)
    }

    /// A storage call of Postprocess failed.
    pub fn postprocess(error: Error) -> Self {
        Self::storage(error, POSTPROCESS_UNAVAILABLE, POSTPROCESS_STORAGE)
    }

    /// Lines could not be read or put into order in Postprocess.
    pub fn gathering(error: lines::Error) -> Self {
        let text = error.to_string();
        match error {
            lines::Error::Client(error) => Self::postprocess(error),
            lines::Error::Malformed { .. } => Self::new(POSTPROCESS_INVALID_RESULTS, text),
            lines::Error::Mismatch(_) => Self::new(POSTPROCESS_MISMATCH, text),
            lines::Error::Disk(_) => Self::new(POSTPROCESS_STORAGE, text),
        }
    }

    fn storage(error: Error, passing: &'static str, lasting: &'static str) -> Self {
        let name = match error.kind {
            ErrorKind::Throttled(_) | ErrorKind::Unreachable(_) | ErrorKind::Service(_) => passing,
            _ => lasting,
        };
        match error.hint() {
            Some(hint) => Self::new(name, format!("{error}; {hint}")),
            None => Self::new(name, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_storage_troubles_that_pass_are_retried() {
        let error = |kind| Error {
            action: "GetObject",
            subject: "s3://b/k".into(),
            kind,
            place: None,
            missing: None,
        };
        let passing = HandlerError::preprocess(error(ErrorKind::Throttled("slow down".into())));
        assert_eq!(passing.name, PREPROCESS_UNAVAILABLE);
        let lasting = HandlerError::postprocess(error(ErrorKind::Permission("denied".into())));
        assert_eq!(lasting.name, POSTPROCESS_STORAGE);
        assert!(lasting.message.contains("s3://b/k") && lasting.message.contains("policy"));
    }
}
