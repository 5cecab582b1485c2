//! What Tasks call, and how what comes of it goes back to the execution (developer guide,
//! "Integrating services"). A call is made once the step that asked for it is on disk; after a
//! restart it is made again, so each one that starts something finds what it has started before.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::definition::{Pattern, Resource, Service};
use super::machine::{Call, Failure, Input, json_length};
use super::map_run::handle;
use super::runner::{self, Runner};
use super::store::Origin;

pub mod activities;
mod http;
mod lambda;
mod s3;
mod sdk;
mod states;

/// Who takes in what comes of a call.
#[derive(Clone)]
pub enum Reply {
    Execution(mpsc::Sender<runner::Message>),
    Child {
        driver: mpsc::Sender<handle::Message>,
        child: u32,
    },
}

impl Reply {
    /// Whoever waited may have ended meanwhile: then nobody wants it.
    async fn send(&self, input: Input) {
        match self {
            Self::Execution(inbox) => {
                let _ = inbox.send(runner::Message::Input(input)).await;
            }
            Self::Child { driver, child } => {
                let child = *child;
                let _ = driver.send(handle::Message::Child { child, input }).await;
            }
        }
    }

    /// Gives an input to whoever waits for it; whether somebody did, once that is on disk.
    pub async fn deliver(&self, input: Input) -> bool {
        let (done, taken) = oneshot::channel();
        let is_sent = match self {
            Self::Execution(inbox) => {
                let message = runner::Message::Deliver { input, done };
                inbox.send(message).await.is_ok()
            }
            Self::Child { driver, child } => {
                let child = *child;
                let message = handle::Message::Deliver { child, input, done };
                driver.send(message).await.is_ok()
            }
        };
        is_sent && taken.await.is_ok()
    }
}

/// A call under way. Dropping it lets the call go on by itself.
pub struct UnderWay(oneshot::Sender<()>);

impl UnderWay {
    /// Lets go of the call, and stops what it has started.
    pub fn abandon(self) {
        // It has ended already: nothing to let go of.
        let _ = self.0.send(());
    }
}

/// Makes the call in the background; what comes of it goes to `reply`. What is not answered when
/// the engine stops is asked for again when the folder is opened again.
pub fn begin(runner: &Runner, call: Call, reply: Reply) -> UnderWay {
    let (under_way, abandoned) = oneshot::channel();
    let runner = runner.clone();
    let tracked = runner.clone();
    tracked.track(async move {
        let pattern = match &call.resource {
            Resource::Activity(_) => {
                let worked_on = activities::schedule(&runner, call, &reply, abandoned);
                return until_stopping(&runner, worked_on).await;
            }
            Resource::Function(_) => Pattern::RequestResponse,
            Resource::Service(service) => service.pattern,
        };
        match pattern {
            Pattern::Sync | Pattern::SyncJson => {
                let job = states::run_job(&runner, call, pattern, &reply, abandoned);
                until_stopping(&runner, job).await;
            }
            Pattern::RequestResponse | Pattern::WaitForTaskToken => {
                make(&runner, call, pattern, &reply, abandoned).await;
            }
        }
    });
    UnderWay(under_way)
}

async fn until_stopping(runner: &Runner, work: impl Future<Output = ()>) {
    tokio::select! {
        () = runner.stopping() => {}
        () = work => {}
    }
}

async fn make(
    runner: &Runner,
    call: Call,
    pattern: Pattern,
    reply: &Reply,
    abandoned: oneshot::Receiver<()>,
) {
    let token = call.attempt;
    let answer = AssertUnwindSafe(ask(runner, call)).catch_unwind();
    tokio::pin!(answer);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        abandoned = abandoned => match abandoned {
            Ok(()) => return,
            // Whoever asked has ended, or the engine is stopping and they all end. Only now is
            // that looked at: every call of a million would have to queue for the news.
            Err(_) => tokio::select! {
                () = runner.stopping() => return,
                answer = answer => answer,
            },
        },
    };
    let result = answer.unwrap_or_else(|_| {
        let cause = "the engine failed in this call; see its log";
        Err(Failure::new("States.Runtime", cause))
    });
    let input = match pattern {
        Pattern::WaitForTaskToken => Input::TaskSubmitted { token, result },
        _ => Input::TaskEnded { token, result },
    };
    reply.send(input).await;
}

/// Makes the call and waits for its answer.
async fn ask(runner: &Runner, call: Call) -> Result<Value, Failure> {
    let (service, parameters) = match call.resource {
        Resource::Function(arn) => return lambda::run(runner, &arn, call.parameters).await,
        // Not answered, but worked on.
        Resource::Activity(_) => return Err(lacking("activity", "")),
        Resource::Service(_) if !call.parameters.is_object() => {
            let cause = "The Parameters of a service integration must be an object";
            return Err(Failure::new("States.Runtime", cause));
        }
        Resource::Service(service) => (service, call.parameters),
    };
    match service {
        Service { name: "lambda", .. } => lambda::invoke(runner, parameters).await,
        Service {
            name: "aws-sdk:lambda",
            ..
        } => lambda::invoke_as_sdk(runner, parameters).await,
        Service { name: "states", .. } => {
            let origin = Origin {
                execution: call.execution,
                attempt: call.attempt,
                is_job: false,
            };
            states::start(runner, parameters, origin).await
        }
        Service {
            name: "aws-sdk:sfn",
            action,
            ..
        } => {
            let origin = Origin {
                execution: call.execution,
                attempt: call.attempt,
                is_job: false,
            };
            states::call_as_sdk(runner, action, parameters, origin).await
        }
        Service {
            name: "aws-sdk:s3",
            action,
            ..
        } => s3::call(runner, action, parameters).await,
        Service { name: "http", .. } => http::invoke(parameters).await,
        Service { name, action, .. } => Err(lacking(name, action)),
    }
}

fn lacking(service: &str, action: &str) -> Failure {
    let cause = format!("{service}:{action} is not supported by this engine");
    Failure::new("States.Runtime", cause)
}

/// A parameter that must be a string.
fn text<'p>(parameters: &'p Value, name: &str) -> Result<&'p str, Failure> {
    match parameters.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Failure::new(
            "States.Runtime",
            format!("The parameter '{name}' must be a string"),
        )),
        None => Err(Failure::new(
            "States.Runtime",
            format!("The parameter '{name}' is required but was missing"),
        )),
    }
}

/// A parameter that must be a string where it is given.
fn optional_text<'p>(parameters: &'p Value, name: &str) -> Result<Option<&'p str>, Failure> {
    match parameters.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => text(parameters, name).map(Some),
    }
}

/// Refuses parameters that the engine does not know, by name.
fn only(parameters: &Value, known: &[&str]) -> Result<(), Failure> {
    let unknown = parameters
        .as_object()
        .and_then(|given| given.keys().find(|name| !known.contains(&name.as_str())));
    match unknown {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            "States.Runtime",
            format!("The field '{name}' is not supported by Step Functions or by this engine"),
        )),
    }
}

/// As optimized integrations wrap an answer: HTTP headers and request id of the service's SDK.
fn with_metadata(mut answer: Value, status: u16, request: &str, content_type: &str) -> Value {
    let Some(members) = answer.as_object() else {
        return answer;
    };
    let length = json_length(members).to_string();
    let headers = [
        ("Content-Length", length.as_str()),
        ("Content-Type", content_type),
        ("x-amzn-RequestId", request),
    ];
    let all = headers.map(|(name, value)| (name, Value::Array(vec![value.into()])));
    let single = headers.map(|(name, value)| (name, value.into()));
    let http = object([
        ("AllHttpHeaders", object(all)),
        ("HttpHeaders", object(single)),
        ("HttpStatusCode", status.into()),
    ]);
    let response = object([("RequestId", request.into())]);
    if let Some(members) = answer.as_object_mut() {
        members.insert("SdkHttpMetadata".to_owned(), http);
        members.insert("SdkResponseMetadata".to_owned(), response);
    }
    answer
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.map(|(name, value)| (name.to_owned(), value));
    Value::Object(members.into_iter().collect())
}
