//! What went wrong with a remote call, in the user's terms.

use std::fmt;

/// Reads as "RedriveExecution of invoices-0417 failed: not redrivable: …"; [`Error::hint`] says
/// what to do next.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{action} of {subject} failed: {kind}")]
pub struct Error {
    /// As in the API reference.
    pub action: &'static str,
    /// The name, ARN or address the user knows.
    pub subject: String,
    pub kind: ErrorKind,
}

/// By what the caller can do about it. Texts are the service's.
#[derive(Debug, Clone, PartialEq)]
pub enum ErrorKind {
    /// Missing Region, unknown profile, malformed file.
    Configuration(String),
    /// Credentials missing or expired.
    SignIn(String),
    Permission(String),
    NotFound(String),
    /// A name in use with other content, or a precondition that does not hold.
    Conflict(String),
    NotRedrivable(String),
    /// The request itself is wrong.
    Invalid(String),
    Throttled(String),
    /// No connection, no answer in time.
    Unreachable(String),
    /// Refused here: this client is read-only.
    ReadOnly,
    /// The service's own fault, or an answer we cannot read.
    Service(String),
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(text) => write!(f, "configuration: {text}"),
            Self::SignIn(text) => write!(f, "not signed in: {text}"),
            Self::Permission(text) => write!(f, "not allowed: {text}"),
            Self::NotFound(text) => write!(f, "not found: {text}"),
            Self::Conflict(text) => write!(f, "conflict: {text}"),
            Self::NotRedrivable(text) => write!(f, "not redrivable: {text}"),
            Self::Invalid(text) => write!(f, "invalid request: {text}"),
            Self::Throttled(text) => write!(f, "slowed by AWS: {text}"),
            Self::Unreachable(text) => write!(f, "no connection: {text}"),
            Self::ReadOnly => f.write_str("this session is read-only"),
            Self::Service(text) => f.write_str(text),
        }
    }
}

impl Error {
    /// What to do next, a sentence without a full stop.
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind {
            ErrorKind::Configuration(_) => Some("check --profile, --region and ~/.aws/config"),
            ErrorKind::SignIn(_) => Some(
                "run `aws sso login` or `aws login`, then go on: fanout reads the new session by itself",
            ),
            ErrorKind::Permission(_) => {
                Some("ask for this action on this resource in your role's policy")
            }
            ErrorKind::NotRedrivable(_) => Some("start a new run with only the failed lines"),
            ErrorKind::Throttled(_) => Some("fanout waits and tries again"),
            ErrorKind::Unreachable(_) => Some("check the network, the endpoint and the Region"),
            ErrorKind::ReadOnly => Some("start without --read-only to change something"),
            ErrorKind::NotFound(_) => Some("check the name, the Region and the account"),
            ErrorKind::Conflict(_) | ErrorKind::Invalid(_) | ErrorKind::Service(_) => None,
        }
    }
}
