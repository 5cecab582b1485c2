//! The Lambda Runtime API, version 2018-06-01, for one instance of a program (Lambda developer
//! guide, "Using the Lambda runtime API for custom runtimes"). Every instance has a port of its own,
//! so what comes in is its. Like Lambda's, these ports are on the loopback and unsigned.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::MAX_RESULT;

const ROOT: &str = "/2018-06-01/runtime/";
/// What a runtime may have said before anybody listens: it waits once there is more.
const EVENTS: usize = 4;

/// What the runtime is given to do.
#[derive(Debug, Clone)]
pub(super) struct Invocation {
    pub(super) request: String,
    /// Milliseconds since 1970.
    pub(super) deadline: i64,
    pub(super) arn: String,
    pub(super) trace: String,
    pub(super) client_context: Option<String>,
    pub(super) event: Bytes,
}

/// What the runtime said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It waits for the next invocation.
    Next,
    Response(Bytes),
    /// A response of so many bytes, which is too many; they were thrown away.
    TooLarge(usize),
    Error {
        payload: Bytes,
        /// `Category.Reason`, from its header.
        kind: Option<String>,
    },
    InitError {
        payload: Bytes,
        kind: Option<String>,
    },
}

/// One instance's port. It closes when this is dropped.
pub(super) struct RuntimeApi {
    pub(super) address: SocketAddr,
    said: mpsc::Receiver<Said>,
    shared: Arc<Shared>,
    invocations: mpsc::Sender<Invocation>,
    _server: AbortOnDropHandle<()>,
}

struct Shared {
    said: mpsc::Sender<Said>,
    invocations: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    /// Request id of what the runtime is at.
    current: Mutex<Option<String>>,
}

impl RuntimeApi {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (say, said) = mpsc::channel(EVENTS);
        let (invocations, receiver) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            said: say,
            invocations: tokio::sync::Mutex::new(receiver),
            current: Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            said,
            shared,
            invocations,
            _server: AbortOnDropHandle::new(server),
        })
    }

    /// What the runtime says next.
    pub(super) async fn said(&mut self) -> Said {
        match self.said.recv().await {
            Some(said) => said,
            // The server has the sender as long as we live.
            None => std::future::pending().await,
        }
    }

    /// Hands an invocation to a runtime that waits for one.
    pub(super) fn give(&self, invocation: Invocation) {
        // It fits: one is given only after the runtime has asked.
        let _ = self.invocations.try_send(invocation);
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        *self.shared.current() = None;
    }
}

impl Shared {
    fn current(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that is what the runtime is at; then it is done with it.
    fn finish(&self, request: &str) -> bool {
        let mut current = self.current();
        let is_current = current.as_deref() == Some(request);
        if is_current {
            *current = None;
        }
        is_current
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else { continue };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // A runtime may wait for its next invocation as long as it likes.
            .header_read_timeout(None)
            // As Lambda writes them: small runtimes look for them letter by letter.
            .title_case_headers(true)
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a runtime's connection broke off");
            }
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let route: Vec<&str> = match path.strip_prefix(ROOT) {
        Some(rest) => rest.split('/').collect(),
        None => Vec::new(),
    };
    match (&parts.method, route.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => Ok(shared.next().await),
        (&Method::POST, ["invocation", request, "response"]) => {
            let body = collect(body).await?;
            Ok(shared.response(request, body).await)
        }
        (&Method::POST, ["invocation", request, "error"]) => {
            let body = collect(body).await?;
            Ok(shared.error(request, &parts, body).await)
        }
        (&Method::POST, ["init", "error"]) => {
            let body = collect(body).await?;
            Ok(shared.init_error(&parts, body).await)
        }
        (method, _) => Ok(refuse(
            StatusCode::NOT_FOUND,
            "Runtime.UnknownRoute",
            &format!("{method} {path} is not a part of this Runtime API"),
        )),
    }
}

impl Shared {
    async fn next(&self) -> Response<Full<Bytes>> {
        if self.current().is_some() {
            return refuse(
                StatusCode::FORBIDDEN,
                "InvalidStateTransition",
                "the invocation before has neither a response nor an error",
            );
        }
        self.say(Said::Next).await;
        let invocation = self.invocations.lock().await.recv().await;
        let Some(invocation) = invocation else {
            return refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Runtime.Stopping",
                "this instance is being ended",
            );
        };
        *self.current() = Some(invocation.request.clone());
        let deadline = invocation.deadline.to_string();
        let mut response = Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", &invocation.request)
            .header("Lambda-Runtime-Deadline-Ms", deadline)
            .header("Lambda-Runtime-Invoked-Function-Arn", &invocation.arn)
            .header("Lambda-Runtime-Trace-Id", &invocation.trace);
        if let Some(context) = &invocation.client_context {
            response = response.header("Lambda-Runtime-Client-Context", context);
        }
        response
            .body(Full::new(invocation.event))
            .unwrap_or_else(|error| {
                // A client context with a line end in it, say.
                let error = error.to_string();
                refuse(StatusCode::BAD_GATEWAY, "Runtime.BadInvocation", &error)
            })
    }

    async fn response(&self, request: &str, body: Body) -> Response<Full<Bytes>> {
        if !self.finish(request) {
            return unknown_request();
        }
        match body {
            Body::Whole(body) => {
                self.say(Said::Response(body)).await;
                accepted()
            }
            Body::TooLarge(size) => {
                self.say(Said::TooLarge(size)).await;
                refuse(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "RequestEntityTooLarge",
                    &format!("Exceeded maximum allowed payload size ({MAX_RESULT} bytes)."),
                )
            }
        }
    }

    async fn error(&self, request: &str, parts: &Parts, body: Body) -> Response<Full<Bytes>> {
        if !self.finish(request) {
            return unknown_request();
        }
        let kind = kind(&parts.headers);
        self.say(match body {
            Body::Whole(payload) => Said::Error { payload, kind },
            Body::TooLarge(size) => Said::TooLarge(size),
        })
        .await;
        accepted()
    }

    async fn init_error(&self, parts: &Parts, body: Body) -> Response<Full<Bytes>> {
        let kind = kind(&parts.headers);
        self.say(match body {
            Body::Whole(payload) => Said::InitError { payload, kind },
            Body::TooLarge(size) => Said::TooLarge(size),
        })
        .await;
        accepted()
    }

    async fn say(&self, said: Said) {
        // Nobody listens once the instance is being ended.
        let _ = self.said.send(said).await;
    }
}

enum Body {
    Whole(Bytes),
    TooLarge(usize),
}

/// Takes the whole body in, so that the runtime can finish sending; keeps no more than is allowed.
async fn collect(mut body: Incoming) -> Result<Body, hyper::Error> {
    let (mut kept, mut size) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        size += data.len();
        match size <= MAX_RESULT {
            true => kept.extend_from_slice(&data),
            false => kept = BytesMut::new(),
        }
    }
    Ok(match size <= MAX_RESULT {
        true => Body::Whole(kept.freeze()),
        false => Body::TooLarge(size),
    })
}

fn kind(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get("Lambda-Runtime-Function-Error-Type")?;
    Some(kind.to_str().ok()?.to_owned())
}

fn accepted() -> Response<Full<Bytes>> {
    respond(StatusCode::ACCEPTED, &json!({"status": "OK"}))
}

fn unknown_request() -> Response<Full<Bytes>> {
    let status = StatusCode::BAD_REQUEST;
    refuse(status, "InvalidRequestID", "Invalid request ID")
}

fn refuse(status: StatusCode, error_type: &str, message: &str) -> Response<Full<Bytes>> {
    let body = json!({"errorType": error_type, "errorMessage": message});
    respond(status, &body)
}

fn respond(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
