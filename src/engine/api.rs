//! HTTP request → signature check → typed input → engine → typed output, for every service on one port.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use jiff::Timestamp;
use s3s::Body;
use s3s::service::S3Service;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod auth;
mod lambda;
mod logs;
mod s3;
pub mod sfn;
mod sts;
#[cfg(test)]
mod tests;

use crate::engine::functions::{Functions, MAX_EVENT};
use crate::engine::logs::Logs;
use crate::engine::objects::Objects;
use crate::engine::{Credentials, Engine};
use auth::Verifier;

/// Most bytes of a request to Step Functions (its quotas, "Request size").
const MAX_STATES: usize = 1024 * 1024;
/// Most bytes of a request to one of the other services that are calls with a body.
const MAX_CALL: usize = 2 * 1024 * 1024;
/// How long requests under way get to end when the engine stops.
const GRACE: Duration = Duration::from_secs(2);
/// Pause after a connection could not be taken, as when the system has no file handle left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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

    fn internal() -> Self {
        Self {
            status: 500,
            ..Self::new("InternalServerException", "the engine failed; see its log")
        }
    }

    fn unknown_operation(message: impl Into<String>) -> Self {
        Self::new("UnknownOperationException", message)
    }
}

/// Answers requests on the listener until `shutdown`, then lets those under way end for at most two
/// seconds.
pub(crate) async fn serve(engine: Engine, listener: TcpListener, shutdown: CancellationToken) {
    let objects = engine.objects().clone();
    let credentials = engine.credentials().clone();
    let functions = engine.functions().clone();
    let logs = engine.logs().clone();
    let states = move |operation: String, body: Bytes, trace: Option<String>| {
        let engine = engine.clone();
        async move { sfn::call_traced(&engine, &operation, &body, trace.as_deref()).await }.boxed()
    };
    let front = Arc::new(Front::new(objects, logs, functions, credentials, states));
    front.serve(listener, shutdown).await;
}

/// Answers one Step Functions operation (name, JSON body, trace header).
type States = dyn Fn(String, Bytes, Option<String>) -> BoxFuture<'static, Result<Value, ApiError>>
    + Send
    + Sync;

/// Everything behind the port.
struct Front {
    verifier: Verifier,
    objects: S3Service,
    logs: Logs,
    functions: Functions,
    states: Box<States>,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    States,
    Logs,
    /// A target of a service that is not here.
    Unknown,
    Sts,
    Lambda,
    S3,
}

impl Service {
    fn of(request: &Parts) -> Self {
        if let Some(target) = request.headers.get("x-amz-target") {
            let target = target.as_bytes();
            return if target.starts_with(b"AWSStepFunctions.") {
                Self::States
            } else if target.starts_with(b"Logs_20140328.") {
                Self::Logs
            } else {
                Self::Unknown
            };
        }
        let content_type = request.headers.get(header::CONTENT_TYPE);
        let is_form = content_type.is_some_and(|it| {
            it.as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        });
        let is_query = request.method == Method::POST && request.uri.path() == "/" && is_form;
        match auth::signed_service(&request.headers) {
            _ if is_query => Self::Sts,
            Some("sts") => Self::Sts,
            Some("lambda") => Self::Lambda,
            // Unsigned: it is refused, in the right shape.
            None if request.uri.path().starts_with(lambda::ROOT) => Self::Lambda,
            _ => Self::S3,
        }
    }

    /// What requests are signed for.
    fn signing_name(self) -> &'static str {
        match self {
            Self::States | Self::Unknown => "states",
            Self::Logs => "logs",
            Self::Sts => "sts",
            Self::Lambda => "lambda",
            Self::S3 => "s3",
        }
    }
}

impl Front {
    fn new(
        objects: Objects,
        logs: Logs,
        functions: Functions,
        credentials: Credentials,
        states: impl Fn(String, Bytes, Option<String>) -> BoxFuture<'static, Result<Value, ApiError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            verifier: Verifier::new(credentials.clone()),
            objects: s3::service(objects, credentials),
            logs,
            functions,
            states: Box::new(states),
        }
    }

    async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let mut connections = JoinSet::new();
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Small answers must not wait for more to come.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            let front = Arc::clone(&self);
            let service = service_fn(move |request| Arc::clone(&front).answer(request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            let connection = graceful.watch(connection);
            connections.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection broke off");
                }
            });
        }
        drop(listener);
        if tokio::time::timeout(GRACE, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("requests were cut off at the end of the engine");
        }
    }

    /// Answers every request, even one whose handler panics.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, std::convert::Infallible> {
        let id = Uuid::new_v4();
        let (parts, body) = request.into_parts();
        let service = Service::of(&parts);
        let answered = AssertUnwindSafe(self.dispatch(service, parts, body, id));
        let mut response = answered.catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(%id, ?service, "a request's handler panicked");
            refuse(service, &ApiError::internal(), id)
        });
        let value = HeaderValue::try_from(id.to_string());
        let value = value.expect("a UUID is made of hexadecimal digits and hyphens");
        let headers = response.headers_mut();
        match service {
            Service::S3 => {
                headers.insert("x-amz-id-2", value.clone());
                headers.insert("x-amz-request-id", value);
            }
            _ => _ = headers.insert("x-amzn-requestid", value),
        }
        Ok(response)
    }

    async fn dispatch(
        &self,
        service: Service,
        parts: Parts,
        body: Incoming,
        id: Uuid,
    ) -> Response<Body> {
        if service == Service::S3 {
            let request = Request::from_parts(parts, Body::from(body));
            return self.objects.call(request).await.unwrap_or_else(|error| {
                tracing::error!(?error, "S3 request failed");
                refuse(service, &ApiError::internal(), id)
            });
        }
        let answered = match receive(service, body).await {
            Ok(body) => self.answer_call(service, &parts, body, id).await,
            Err(error) => Err(error),
        };
        answered.unwrap_or_else(|error| refuse(service, &error, id))
    }

    /// Answers a request to one of the services that are calls with a body.
    async fn answer_call(
        &self,
        service: Service,
        parts: &Parts,
        body: Bytes,
        id: Uuid,
    ) -> Result<Response<Body>, ApiError> {
        let name = service.signing_name();
        self.verifier.verify(name, parts, &body, Timestamp::now())?;
        let target = parts.headers.get("x-amz-target");
        let target = target.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        match service {
            Service::States if parts.method == Method::POST => {
                let trace = parts.headers.get("x-amzn-trace-id");
                let trace = trace.and_then(|it| it.to_str().ok()).map(str::to_owned);
                let output = (self.states)(operation.to_owned(), body, trace).await?;
                Ok(json_response(service, StatusCode::OK, &output))
            }
            Service::Sts => sts::call(&body, id),
            Service::Lambda => lambda::call(&self.functions, parts, body, id).await,
            Service::Logs if parts.method == Method::POST => {
                logs::call(&self.logs, operation, &body, id).await
            }
            Service::States | Service::Logs | Service::Unknown | Service::S3 => {
                Err(ApiError::unknown_operation(format!(
                    "{} {target} is not supported by the local engine",
                    parts.method
                )))
            }
        }
    }
}

async fn receive(service: Service, body: Incoming) -> Result<Bytes, ApiError> {
    let most = match service {
        Service::States => MAX_STATES,
        // With room to say by how much it is too large.
        Service::Lambda => 2 * MAX_EVENT,
        _ => MAX_CALL,
    };
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError {
            status: 413,
            ..ApiError::new(
                "RequestEntityTooLargeException",
                format!("Request size exceeded {most} bytes"),
            )
        }),
        Err(error) => Err(ApiError::new(
            "SerializationException",
            format!("the request body broke off: {error}"),
        )),
    }
}

/// An error as the service's clients read it.
fn refuse(service: Service, error: &ApiError, id: Uuid) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match service {
        Service::Sts => sts::refuse(error, id),
        Service::Lambda => lambda::refuse(status, error),
        Service::S3 => {
            let error =
                s3s::S3Error::with_message(s3s::S3ErrorCode::InternalError, error.message.clone());
            error.to_http_response().unwrap_or_else(|_| {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = status;
                response
            })
        }
        Service::States | Service::Logs | Service::Unknown => {
            let mut body = json!({ "__type": error.code, "message": error.message });
            if let Some(reason) = error.reason {
                body["reason"] = reason.into();
            }
            json_response(service, status, &body)
        }
    }
}

fn json_response(service: Service, status: StatusCode, body: &Value) -> Response<Body> {
    let content_type = match service {
        Service::Logs => "application/x-amz-json-1.1",
        _ => "application/x-amz-json-1.0",
    };
    respond(status, content_type, body.to_string())
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
