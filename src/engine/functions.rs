//! What a Lambda ARN runs: one table of functions by name. **Builtin** functions are closures in
//! this process, **command** functions are programs that speak the Lambda Runtime API, **url**
//! functions are asked over HTTP. Whatever they are, their results, errors and log lines have
//! Lambda's shapes (Lambda API reference, "Invoke"; Lambda developer guide, "Runtime API").

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::logs::Logs;
use super::runner::Clock;
use super::{ACCOUNT, Credentials, REGION};

mod builtin;
mod command;
mod instance;
mod keeper;
mod log;
mod runtime_api;
#[cfg(test)]
mod tests;
mod url;

use builtin::Builtin;
use command::Fleet;
use keeper::Keeper;
use url::Remote;

/// The only version there is.
pub const VERSION: &str = "$LATEST";
/// Largest event of a call that waits for its result, in bytes (Lambda quotas).
pub const MAX_EVENT: usize = 6 * 1024 * 1024;
/// Largest event of a call that does not wait, in bytes (Lambda quotas).
pub const MAX_ASYNC_EVENT: usize = 1024 * 1024;
/// Largest result, in bytes: Lambda leaves room for an envelope.
const MAX_RESULT: usize = MAX_EVENT + 100;
/// Calls that nobody waits for, under way or waiting to be made again.
const MAX_LATER: usize = 1_000;
/// Milliseconds until such a call is made again (developer guide, "How Lambda handles errors and
/// retries with asynchronous invocation").
const LATER: [i64; 2] = [60_000, 120_000];

/// A builtin function's failure, as Lambda reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// What `ErrorEquals` matches.
    pub error_type: String,
    pub message: String,
}

/// An event or a result. It stays in the form it came in until somebody needs the other one.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    Value(Value),
    /// JSON as it was sent.
    Text(Bytes),
}

impl Payload {
    pub fn into_text(self) -> Bytes {
        match self {
            Self::Value(value) => value.to_string().into(),
            Self::Text(text) => text,
        }
    }

    /// A runtime may answer with anything; what is not JSON becomes a string.
    pub fn into_value(self) -> Value {
        match self {
            Self::Value(value) => value,
            Self::Text(text) => serde_json::from_slice(&text)
                .unwrap_or_else(|_| String::from_utf8_lossy(&text).into_owned().into()),
        }
    }
}

/// One call of a function.
#[derive(Debug, Clone)]
pub struct Call {
    /// Names the call in its log lines, in errors and for the function itself.
    pub request: String,
    pub event: Payload,
    /// JSON, for `context.clientContext`.
    pub client_context: Option<String>,
    /// Whether the caller wants the last log lines back.
    pub wants_log: bool,
}

impl Call {
    pub fn new(event: Payload) -> Self {
        Self {
            request: uuid::Uuid::new_v4().to_string(),
            event,
            client_context: None,
            wants_log: false,
        }
    }
}

/// What a function that ran came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub result: Result<Payload, Failed>,
    /// The last 4 KB of its log, where they were asked for.
    pub log: Vec<u8>,
}

/// A function's own failure: what `X-Amz-Function-Error` announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What `ErrorEquals` matches.
    pub error_type: String,
    /// `{"errorMessage", "errorType", …}` as the runtime sent it; the cause is this text.
    pub payload: Bytes,
}

impl Failed {
    /// An error that the service itself reports for a function.
    fn service(error_type: &str, message: &str) -> Self {
        let payload = json!({"errorType": error_type, "errorMessage": message});
        Self {
            error_type: error_type.to_owned(),
            payload: payload.to_string().into(),
        }
    }

    /// An error that a runtime reported; `kind` is what its header calls it.
    fn reported(payload: Bytes, kind: Option<&str>) -> Self {
        let parsed: Option<Value> = serde_json::from_slice(&payload).ok();
        let named = parsed.as_ref().and_then(|it| it["errorType"].as_str());
        Self {
            error_type: named.or(kind).unwrap_or("Lambda.Unknown").to_owned(),
            payload,
        }
    }
}

/// Why a function did not run at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Function not found: {0}")]
    NotFound(String),
    /// More calls at once than the function's reserved concurrency.
    #[error("Rate Exceeded.")]
    Throttled,
    #[error(
        "{size} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
    )]
    TooLarge {
        size: usize,
        kind: &'static str,
        limit: usize,
    },
    #[error("the engine is stopping")]
    Stopping,
}

impl Refusal {
    /// HTTP status and name of the exception (Lambda API reference, "Invoke").
    pub fn code(&self) -> (u16, &'static str) {
        match self {
            Self::NotFound(_) => (404, "ResourceNotFoundException"),
            Self::Throttled => (429, "TooManyRequestsException"),
            Self::TooLarge { .. } => (413, "RequestTooLargeException"),
            Self::Stopping => (500, "ServiceException"),
        }
    }
}

/// How a function that is not builtin is run. The defaults are Lambda's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub source: Source,
    pub timeout: Duration,
    /// Calls at once; one more is throttled. `None`: no limit.
    pub reserved: Option<usize>,
}

/// Where a function's code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Command(Program),
    /// Events are posted to this URL.
    Url(String),
}

/// A program that speaks the Lambda Runtime API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Program and arguments; a program with a slash in it is relative to `folder`.
    pub command: Vec<String>,
    /// Where it runs; its `LAMBDA_TASK_ROOT`.
    pub folder: PathBuf,
    /// Its `_HANDLER`.
    pub handler: String,
    /// MB. A process that takes more is killed where the system tells how much it takes (Linux).
    pub memory: u32,
    /// Processes at once; further calls wait for one.
    pub instances: usize,
    pub environment: BTreeMap<String, String>,
}

/// A function of the table.
pub struct Function {
    pub name: String,
    pub registered: Timestamp,
    /// `None`: builtin.
    pub settings: Option<Settings>,
    code: Code,
}

enum Code {
    Builtin(Builtin),
    Command(Arc<Fleet>),
    Url(Arc<Remote>),
}

impl Function {
    pub fn arn(&self) -> String {
        arn(&self.name)
    }

    /// What it is, for people.
    pub fn description(&self) -> String {
        match self.settings.as_ref().map(|it| &it.source) {
            None => "builtin".to_owned(),
            Some(Source::Command(program)) => program.command.join(" "),
            Some(Source::Url(url)) => url.clone(),
        }
    }

    async fn run(&self, call: Call) -> Result<Answer, Refusal> {
        match &self.code {
            Code::Builtin(builtin) => Ok(builtin.call(call).await),
            Code::Command(fleet) => fleet.call(call).await,
            Code::Url(remote) => remote.call(call).await,
        }
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

/// Functions by name; clones share one table.
#[derive(Clone)]
pub struct Functions(Arc<Inner>);

struct Inner {
    by_name: RwLock<BTreeMap<String, Arc<Function>>>,
    host: Arc<Host>,
    /// Calls that must go on although whoever made them may not.
    calls: TaskTracker,
    /// One for each call that nobody waits for.
    later: Arc<Semaphore>,
}

/// What all functions share.
struct Host {
    logs: Logs,
    clock: Arc<Clock>,
    /// Where functions reach the engine, and with what. Known once it serves.
    endpoint: OnceLock<(String, Credentials)>,
    keeper: Mutex<Option<Arc<Keeper>>>,
    stop: CancellationToken,
}

impl Host {
    /// The keeper of all programs, started with the first.
    fn keeper(&self) -> io::Result<Arc<Keeper>> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = keeper.as_ref() {
            return Ok(Arc::clone(keeper));
        }
        let started = Arc::new(Keeper::start()?);
        *keeper = Some(Arc::clone(&started));
        Ok(started)
    }
}

impl Functions {
    pub fn new(logs: Logs, clock: Arc<Clock>) -> Self {
        Self(Arc::new(Inner {
            by_name: RwLock::default(),
            host: Arc::new(Host {
                logs,
                clock,
                endpoint: OnceLock::new(),
                keeper: Mutex::default(),
                stop: CancellationToken::new(),
            }),
            calls: TaskTracker::new(),
            later: Arc::new(Semaphore::new(MAX_LATER)),
        }))
    }

    /// A closure in this process. It replaces a function of the same name.
    pub fn register<F>(&self, name: &str, function: F)
    where
        F: Fn(Value) -> BoxFuture<'static, Result<Value, FunctionError>> + Send + Sync + 'static,
    {
        let builtin = Builtin::new(name, Arc::new(function), Arc::clone(&self.0.host));
        self.put(name, None, Code::Builtin(builtin));
    }

    /// A program or a URL. It replaces a function of the same name.
    pub fn register_external(&self, name: &str, settings: Settings) {
        let host = Arc::clone(&self.0.host);
        let code = match &settings.source {
            Source::Command(program) => {
                Code::Command(Fleet::new(name, program.clone(), &settings, host))
            }
            Source::Url(url) => Code::Url(Arc::new(Remote::new(name, url, &settings, host))),
        };
        self.put(name, Some(settings), code);
    }

    fn put(&self, name: &str, settings: Option<Settings>, code: Code) {
        let function = Arc::new(Function {
            name: name.to_owned(),
            registered: Timestamp::now(),
            settings,
            code,
        });
        let mut by_name = self.0.by_name.write();
        let by_name = by_name.as_mut().unwrap_or_else(|it| it.get_mut());
        by_name.insert(name.to_owned(), function);
    }

    /// Tells programs where the engine is. The first call counts.
    pub fn serve_at(&self, url: String, credentials: Credentials) {
        // Set once, when the engine begins to serve.
        let _ = self.0.host.endpoint.set((url, credentials));
    }

    /// In the order of their names.
    pub fn list(&self) -> Vec<Arc<Function>> {
        let by_name = self.0.by_name.read();
        let by_name = by_name.unwrap_or_else(PoisonError::into_inner);
        by_name.values().cloned().collect()
    }

    /// `name` may be a name, a partial ARN (`ACCOUNT:function:NAME`) or an ARN, each with or without
    /// `:$LATEST`. An ARN's Region and account do not matter: definitions made for AWS run as they
    /// are.
    pub fn find(&self, name: &str) -> Result<Arc<Function>, Refusal> {
        let (bare, qualifier) = split(name);
        let missing = || {
            Refusal::NotFound(match qualifier {
                Some(qualifier) => format!("{}:{qualifier}", arn(bare)),
                None => arn(bare),
            })
        };
        if qualifier.is_some_and(|it| it != VERSION) {
            return Err(missing());
        }
        let by_name = self.0.by_name.read();
        let by_name = by_name.unwrap_or_else(PoisonError::into_inner);
        by_name.get(bare).cloned().ok_or_else(missing)
    }

    /// Runs a function to its end. A builtin function stops when the caller goes away; the others go
    /// on, as on AWS.
    ///
    /// # Errors
    /// Only when the function did not run.
    pub async fn invoke(&self, name: &str, call: Call) -> Result<Answer, Refusal> {
        let function = self.find(name)?;
        if let Code::Builtin(builtin) = &function.code {
            return Ok(builtin.call(call).await);
        }
        if self.0.host.stop.is_cancelled() {
            return Err(Refusal::Stopping);
        }
        let running = self.0.calls.spawn(async move { function.run(call).await });
        running.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// Runs a function without anybody waiting for it. As on AWS, a call that fails is made again
    /// twice, after a minute and after two more; unlike there, nothing of it outlives the engine.
    ///
    /// # Errors
    /// When there is no such function, or too many calls wait already.
    pub fn invoke_later(&self, name: &str, call: Call) -> Result<(), Refusal> {
        let function = self.find(name)?;
        if self.0.host.stop.is_cancelled() {
            return Err(Refusal::Stopping);
        }
        let place = Arc::clone(&self.0.later).try_acquire_owned();
        let place = place.map_err(|_| Refusal::Throttled)?;
        let (stop, clock) = (self.0.host.stop.clone(), Arc::clone(&self.0.host.clock));
        self.0
            .calls
            .spawn(stop.run_until_cancelled_owned(async move {
                let _place = place;
                for wait in LATER {
                    match function.run(call.clone()).await {
                        Ok(Answer { result: Ok(_), .. }) => return,
                        _ => clock.until(clock.now() + wait).await,
                    }
                }
                // Nobody is told how it went.
                let _ = function.run(call).await;
            }));
        Ok(())
    }

    /// Ends all programs and waits until the calls under way have noticed.
    pub async fn stop(&self) {
        self.0.host.stop.cancel();
        self.0.calls.close();
        self.0.calls.wait().await;
        for function in self.list() {
            if let Code::Command(fleet) = &function.code {
                fleet.clear();
            }
        }
    }
}

/// The qualifier that a function's name, partial ARN or ARN ends with.
pub fn qualifier(name: &str) -> Option<&str> {
    split(name).1
}

/// A function's name taken apart: the bare name, and the qualifier if there is one.
fn split(name: &str) -> (&str, Option<&str>) {
    let rest = name
        .find("function:")
        .filter(|at| *at == 0 || name[..*at].ends_with(':'))
        .map_or(name, |at| &name[at + "function:".len()..]);
    match rest.split_once(':') {
        Some((bare, qualifier)) => (bare, Some(qualifier)),
        None => (rest, None),
    }
}

/// Runs `call` unless as many calls as are reserved run already.
async fn within<T>(
    reserved: Option<&Semaphore>,
    call: impl Future<Output = T>,
) -> Result<T, Refusal> {
    let _place = match reserved {
        Some(places) => Some(places.try_acquire().map_err(|_| Refusal::Throttled)?),
        None => None,
    };
    Ok(call.await)
}
