//! Functions that are closures in this process.
//!
//! A Map Run calls them tens of thousands of times a second, so a call that succeeds leaves no log
//! lines: it has nothing to say that its execution does not say. A call that fails leaves START, the
//! error, END and REPORT, under the request id of its cause. Of failures that come faster than
//! [`LOGGED`] a second the rest is counted in one line.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::log::{self, Report, Stream};
use super::{Answer, Call, Failed, FunctionError, Host, Payload};

type Closure = dyn Fn(Value) -> BoxFuture<'static, Result<Value, FunctionError>> + Send + Sync;

/// Failed calls that are logged in a second.
const LOGGED: u32 = 200;

pub(super) struct Builtin {
    closure: Arc<Closure>,
    log: Mutex<Log>,
}

/// Where failed calls are written down.
struct Log {
    stream: Stream,
    /// When the second began in which `logged` calls were logged.
    since: Instant,
    logged: u32,
    missed: u64,
}

impl Log {
    fn note(&mut self, lines: Vec<String>) {
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.since, self.logged) = (Instant::now(), 0);
            let missed = std::mem::take(&mut self.missed);
            if missed > 0 {
                let line = format!("{missed} more failed calls were not logged\n");
                self.stream.line(line);
            }
        }
        if self.logged < LOGGED {
            self.logged += 1;
            for line in lines {
                self.stream.line(line);
            }
            self.stream.append();
        } else {
            self.missed += 1;
        }
    }
}

impl Builtin {
    pub(super) fn new(name: &str, closure: Arc<Closure>, host: Arc<Host>) -> Self {
        let log = Log {
            stream: Stream::new(name, host),
            since: Instant::now(),
            logged: 0,
            missed: 0,
        };
        Self {
            closure,
            log: Mutex::new(log),
        }
    }

    pub(super) async fn call(&self, call: Call) -> Answer {
        let started = Instant::now();
        let closure = (self.closure)(call.event.into_value());
        let outcome = AssertUnwindSafe(closure).catch_unwind().await;
        let (result, error) = match outcome {
            Ok(Ok(value)) => (Ok(Payload::Value(value)), None),
            Ok(Err(error)) => {
                let payload = json!({
                    "errorMessage": error.message, "errorType": error.error_type,
                    "requestId": call.request, "stackTrace": [],
                });
                let line = format!("[ERROR] {}: {}", error.error_type, error.message);
                let failed = Failed {
                    error_type: error.error_type,
                    payload: payload.to_string().into(),
                };
                (Err(failed), Some(line))
            }
            Err(_) => {
                let message = format!("RequestId: {} Error: the function panicked", call.request);
                let failed = Failed::service("Runtime.ExitError", &message);
                (Err(failed), Some(format!("{message}\nRuntime.ExitError")))
            }
        };
        if !call.wants_log && error.is_none() {
            let log = Vec::new();
            return Answer { result, log };
        }
        let report = Report {
            status: error.as_ref().map(|_| "error".to_owned()),
            ..Report::new(started.elapsed())
        };
        let lines = lines(&call.request, error.as_deref(), &report);
        let log = match call.wants_log {
            true => lines.concat().into_bytes(),
            false => Vec::new(),
        };
        if error.is_some() {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.note(lines);
        }
        Answer { result, log }
    }
}

fn lines(request: &str, error: Option<&str>, report: &Report) -> Vec<String> {
    let mut lines = vec![log::start(request)];
    lines.extend(error.map(|error| format!("{error}\n")));
    lines.extend([log::end(request), report.line(request)]);
    lines
}
