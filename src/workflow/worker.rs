//! Worker: one line, one request, one line of the output.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use crate::lines::OutputLine;
use crate::workflow::Context;
use crate::workflow::error::{
    HandlerError, WORKER_BAD_RESPONSE, WORKER_INVALID_INPUT, WORKER_REJECTED, WORKER_THROTTLED,
    WORKER_UNAVAILABLE,
};
use crate::workflow::request::Request;
use crate::workflow::template::{Answer, OutputTemplate};

/// Bytes of a response's body, unpacked.
const MAX_BODY: usize = 1 << 20;
/// Bytes that a state may return.
const MAX_OUTPUT: usize = 262_144;
/// Characters of a body that an error message shows.
const SHOWN: usize = 200;
const CONNECT_TIME: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 5;

/// The same for each attempt at a line, so that a service can tell a repetition.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// An execution's name may have any letters, a header only some.
const NOT_IN_HEADERS: &AsciiSet = &CONTROLS.add(b'%');

/// An item of the map, as its ItemSelector makes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerInput {
    /// The line's number in the source, from 1.
    pub n: u64,
    pub line: String,
    /// Name of the execution that the map belongs to.
    pub execution: String,
    pub request: Request,
    /// Template of the output line.
    pub template: String,
}

/// Connections, shared by all workers of a process.
pub struct Http {
    /// To this machine: a proxy would look for the service on its own.
    direct: reqwest::Client,
    /// To anywhere else, through the proxy that the environment names.
    proxied: reqwest::Client,
}

impl Http {
    /// # Errors
    /// TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("fanout/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIME)
                .tcp_nodelay(true)
                .redirect(Policy::custom(follow))
        };
        let built = |builder: reqwest::ClientBuilder| builder.build().map_err(|e| root_cause(&e));
        Ok(Self {
            direct: built(builder().no_proxy())?,
            proxied: built(builder())?,
        })
    }

    fn client(&self, url: &Url) -> &reqwest::Client {
        if is_this_machine(url) {
            &self.direct
        } else {
            &self.proxied
        }
    }
}

/// Redirects stay on the server that was asked: headers may hold its credentials.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same_server = attempt
        .previous()
        .last()
        .is_some_and(|from| from.origin() == attempt.url().origin());
    if same_server && attempt.previous().len() <= MAX_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    })
}

/// Makes the line's request.
///
/// # Errors
/// `Worker.…`: see `error.rs`. Messages have the status and the beginning of the body, never the
/// line or a header.
pub async fn worker(context: &Context, input: WorkerInput) -> Result<OutputLine, HandlerError> {
    ask(context.http()?, input).await
}

async fn ask(http: &Http, input: WorkerInput) -> Result<OutputLine, HandlerError> {
    let template = OutputTemplate::parse(&input.template).map_err(invalid)?;
    let response = send(http, &input).await?;
    let status = response.status();
    if !status.is_success() {
        return Err(refusal(response).await);
    }
    let body = read(response).await?;
    let answer = Answer {
        n: input.n,
        line: &input.line,
        status: status.as_u16(),
        body: &String::from_utf8_lossy(&body),
    };
    let line = template.render(&answer).map_err(|problem| {
        let shown = shown(answer.body);
        HandlerError::new(WORKER_BAD_RESPONSE, format!("{problem}: {shown}"))
    })?;
    check_size(OutputLine { n: input.n, line })
}

async fn send(http: &Http, input: &WorkerInput) -> Result<Response, HandlerError> {
    let WorkerInput {
        n, line, request, ..
    } = input;
    let url = request.url(line, *n).map_err(invalid)?;
    let mut headers = request.headers(line, *n).map_err(invalid)?;
    headers
        .entry(IDEMPOTENCY_KEY)
        .or_insert(idempotency_key(&input.execution, *n)?);
    let mut builder = http
        .client(&url)
        .request(request.method().map_err(invalid)?, url.clone())
        .headers(headers)
        .timeout(Duration::from_secs(request.timeout_seconds.into()));
    if let Some(body) = request.body(line, *n) {
        builder = builder.body(body);
    }
    builder
        .send()
        .await
        .map_err(|error| no_answer(&error, &url, request.timeout_seconds))
}

fn idempotency_key(execution: &str, n: u64) -> Result<HeaderValue, HandlerError> {
    let execution = utf8_percent_encode(execution, NOT_IN_HEADERS);
    HeaderValue::from_str(&format!("{execution}-{n}"))
        .map_err(|_| invalid("the execution's name cannot be in a header"))
}

/// The whole body, if it is not too large.
async fn read(mut response: Response) -> Result<Vec<u8>, HandlerError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_BODY => {
                return Err(HandlerError::new(
                    WORKER_BAD_RESPONSE,
                    format!("the response is larger than {} MiB", MAX_BODY >> 20),
                ));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => {
                let problem = root_cause(&error);
                return Err(HandlerError::new(
                    WORKER_UNAVAILABLE,
                    format!("the response broke off: {problem}"),
                ));
            }
        }
    }
}

/// The error for a status other than 2xx.
async fn refusal(response: Response) -> HandlerError {
    let status = response.status();
    let name = match status {
        StatusCode::TOO_MANY_REQUESTS => WORKER_THROTTLED,
        StatusCode::REQUEST_TIMEOUT => WORKER_UNAVAILABLE,
        _ if status.is_server_error() => WORKER_UNAVAILABLE,
        _ => WORKER_REJECTED,
    };
    let body = read(response).await.unwrap_or_default();
    let shown = shown(&String::from_utf8_lossy(&body));
    let message = if shown.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {shown}")
    };
    HandlerError::new(name, message)
}

fn no_answer(error: &reqwest::Error, url: &Url, timeout_seconds: u32) -> HandlerError {
    let server = url.host_str().unwrap_or_default();
    let server = match url.port() {
        Some(port) => format!("{server}:{port}"),
        None => server.to_owned(),
    };
    let cause = root_cause(error);
    if error.is_builder() {
        invalid(format!("the request cannot be made: {cause}"))
    } else if error.is_connect() {
        HandlerError::new(
            WORKER_UNAVAILABLE,
            format!("no connection to {server}: {cause}"),
        )
    } else if error.is_timeout() {
        HandlerError::new(
            WORKER_UNAVAILABLE,
            format!("no answer from {server} within {timeout_seconds} s"),
        )
    } else {
        HandlerError::new(
            WORKER_UNAVAILABLE,
            format!("the connection to {server} broke: {cause}"),
        )
    }
}

/// The innermost error: the outer ones repeat the URL, and the line with it.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause.and_then(Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "unknown cause".to_owned(), ToString::to_string)
}

/// The beginning of a body as one harmless line.
fn shown(body: &str) -> String {
    let words = body.split(|c: char| c.is_whitespace() || c.is_control() || is_format(c));
    let mut shown = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(word);
        if let Some((cut, _)) = shown.char_indices().nth(SHOWN) {
            shown.truncate(cut);
            shown.push('…');
            break;
        }
    }
    shown
}

/// Marks that turn the direction of text: they make a message read as another.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn check_size(output: OutputLine) -> Result<OutputLine, HandlerError> {
    // A character takes at most six bytes in JSON, so short lines need no count.
    let short = output.line.len() < MAX_OUTPUT / 6 - 64;
    let fits = short || serde_json::to_string(&output).is_ok_and(|json| json.len() <= MAX_OUTPUT);
    if fits {
        return Ok(output);
    }
    Err(HandlerError::new(
        WORKER_BAD_RESPONSE,
        format!(
            "the output line has {} bytes, more than a state may return ({MAX_OUTPUT} as JSON); \
             take only a field of the response",
            output.line.len()
        ),
    ))
}

fn invalid(problem: impl Into<String>) -> HandlerError {
    HandlerError::new(WORKER_INVALID_INPUT, problem)
}

#[cfg(test)]
mod tests;
