//! Functions behind a URL: the event is posted, what comes back is the result.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Semaphore;

use super::log::{self, Report, Stream};
use super::{Answer, Call, Failed, Host, MAX_RESULT, Payload, Refusal, Settings, arn, within};

/// Of an answer that is not a result, so much is told.
const SHOWN: usize = 1024;

pub(super) struct Remote {
    name: String,
    url: String,
    timeout: Duration,
    host: Arc<Host>,
    reserved: Option<Semaphore>,
    /// Preparing TLS takes too long for an engine's start.
    http: OnceLock<Result<reqwest::Client, String>>,
}

impl Remote {
    pub(super) fn new(name: &str, url: &str, settings: &Settings, host: Arc<Host>) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            reserved: settings.reserved.map(Semaphore::new),
            timeout: settings.timeout,
            host,
            http: OnceLock::new(),
        }
    }

    pub(super) async fn call(&self, call: Call) -> Result<Answer, Refusal> {
        within(self.reserved.as_ref(), self.run(call)).await
    }

    async fn run(&self, call: Call) -> Answer {
        let began = Instant::now();
        let (request, wants_log) = (call.request.clone(), call.wants_log);
        let timeout = self.timeout;
        let asked = tokio::time::timeout(timeout, self.ask(call)).await;
        let result = asked.unwrap_or_else(|_| {
            let seconds = timeout.as_secs_f64();
            Err(failed(
                &request,
                "Sandbox.Timedout",
                &format!("Task timed out after {seconds:.2} seconds"),
            ))
        });
        let error = result.as_ref().err();
        let mut stream = Stream::new(&self.name, Arc::clone(&self.host));
        // As with builtin functions, a call that succeeds has nothing to say here.
        if wants_log || error.is_some() {
            stream.line(log::start(&request));
            if let Some(failed) = error {
                let payload = String::from_utf8_lossy(&failed.payload);
                stream.line(format!("[ERROR] {}: {payload}\n", failed.error_type));
            }
            stream.line(log::end(&request));
            let report = Report {
                status: error.map(|_| "error".to_owned()),
                ..Report::new(began.elapsed())
            };
            stream.line(report.line(&request));
        }
        let log = match wants_log {
            true => stream.take_tail(),
            false => Vec::new(),
        };
        if error.is_some() {
            stream.flush().await;
        }
        Answer { result, log }
    }

    async fn ask(&self, call: Call) -> Result<Payload, Failed> {
        let id = call.request;
        let http = self.http.get_or_init(|| {
            reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .map_err(|error| error.to_string())
        });
        let http = http
            .as_ref()
            .map_err(|problem| failed(&id, "Url.Unreachable", problem))?;
        let deadline = Timestamp::now().as_millisecond()
            + i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX);
        let sent = http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &id)
            .header("lambda-runtime-deadline-ms", deadline)
            .header("lambda-runtime-invoked-function-arn", arn(&self.name))
            .body(call.event.into_text())
            .send()
            .await;
        let mut response = sent.map_err(|error| {
            let problem = format!("POST {} failed: {}", self.url, reason(&error));
            failed(&id, "Url.Unreachable", &problem)
        })?;
        let status = response.status();
        let is_error = response.headers().contains_key("x-amz-function-error");
        let mut body = BytesMut::new();
        loop {
            match response.chunk().await {
                Ok(Some(part)) => body.extend_from_slice(&part),
                Ok(None) => break,
                Err(error) => {
                    let problem = format!("{} broke off: {}", self.url, reason(&error));
                    return Err(failed(&id, "Url.Unreachable", &problem));
                }
            }
            if MAX_RESULT < body.len() {
                let problem = format!(
                    "Response payload size exceeded maximum allowed payload size ({MAX_RESULT} bytes)."
                );
                return Err(Failed::service("Function.ResponseSizeTooLarge", &problem));
            }
        }
        let body = body.freeze();
        // Another emulator, or Lambda's own, behind the URL.
        if status.is_success() && !is_error {
            return Ok(Payload::Text(body));
        }
        Err(self.error_of(&id, status, body))
    }

    /// An answer in Lambda's shape is the function's own error; any other is told in ours.
    fn error_of(&self, request: &str, status: reqwest::StatusCode, body: Bytes) -> Failed {
        let parsed: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        if parsed.is_some_and(|it| it["errorType"].is_string()) {
            return Failed::reported(body, None);
        }
        let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
        let problem = format!("POST {} answered {status}: {shown}", self.url);
        failed(request, "Url.Status", &problem)
    }
}

fn failed(request: &str, error_type: &str, problem: &str) -> Failed {
    let payload = json!({
        "errorType": error_type,
        "errorMessage": format!("RequestId: {request} Error: {problem}"),
        "requestId": request,
    });
    Failed {
        error_type: error_type.to_owned(),
        payload: payload.to_string().into(),
    }
}

/// The innermost cause says what happened.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
