//! HTTP request → signature check → typed input → engine → typed output, for every service on one port.

pub mod sfn;

/// An error in AWS's shape: `{"__type", "message"}` for the JSON services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub status: u16,
    /// For example `ExecutionDoesNotExist`.
    pub code: String,
    pub message: String,
    /// Of `ValidationException` only.
    pub reason: Option<&'static str>,
}

impl ApiError {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: code.to_owned(),
            message: message.into(),
            reason: None,
        }
    }
}
