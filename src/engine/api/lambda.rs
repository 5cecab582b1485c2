//! The Lambda operations that callers and tools ask of functions: Invoke, GetFunction,
//! GetFunctionConfiguration, ListFunctions (Lambda API reference). Functions are made and changed in
//! the settings file, so everything else is refused by name.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use s3s::Body;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ApiError, respond};
use crate::engine::digest::{base64_decode, base64_encode};
use crate::engine::functions::{
    Call, Function, Functions, MAX_ASYNC_EVENT, MAX_EVENT, Payload, Refusal, Source, VERSION,
    qualifier,
};

/// Where all paths of the operations begin that there are here.
pub(super) const ROOT: &str = "/2015-03-31/functions";
/// Functions on a page (API reference, ListFunctions).
const PAGE: usize = 50;
const TYPES: [&str; 3] = ["Event", "RequestResponse", "DryRun"];

/// Answers a request whose signature has been checked; `id` is its request id.
pub(super) async fn call(
    functions: &Functions,
    request: &Parts,
    body: Bytes,
    id: Uuid,
) -> Result<Response<Body>, ApiError> {
    let path = request.uri.path();
    let route: Vec<String> = match path.strip_prefix(ROOT) {
        Some(rest) => rest
            .split('/')
            .skip(1)
            .filter(|it| !it.is_empty())
            .map(|it| percent_decode_str(it).decode_utf8_lossy().into_owned())
            .collect(),
        None => return Err(unsupported(request)),
    };
    let route: Vec<&str> = route.iter().map(String::as_str).collect();
    let query = Query::of(request);
    match (&request.method, route.as_slice()) {
        (&Method::POST, [name, "invocations"]) => {
            query.only(&["Qualifier"])?;
            let name = query.qualified(name)?;
            invoke(functions, &name, &request.headers, body, id).await
        }
        (&Method::GET, [name]) => {
            query.only(&["Qualifier"])?;
            Ok(ok(&get(&*find(functions, &query.qualified(name)?)?)))
        }
        (&Method::GET, [name, "configuration"]) => {
            query.only(&["Qualifier"])?;
            let name = query.qualified(name)?;
            Ok(ok(&configuration(&*find(functions, &name)?)))
        }
        (&Method::GET, []) => {
            query.only(&["FunctionVersion", "Marker", "MaxItems"])?;
            list(functions, &query)
        }
        _ => Err(unsupported(request)),
    }
}

/// An error in the shape of Lambda's: the name is in a header.
pub(super) fn refuse(status: StatusCode, error: &ApiError) -> Response<Body> {
    let kind = if status.is_server_error() {
        "Service"
    } else {
        "User"
    };
    let mut body = json!({"Type": kind, "Message": error.message});
    if let Some(reason) = error.reason {
        body["Reason"] = reason.into();
    }
    let mut response = respond(status, "application/json", body.to_string());
    if let Ok(code) = HeaderValue::try_from(&error.code) {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = refusal.code();
        Self {
            status,
            reason: match refusal {
                Refusal::Throttled => Some("ReservedFunctionConcurrentInvocationLimitExceeded"),
                _ => None,
            },
            ..Self::new(code, refusal.to_string())
        }
    }
}

async fn invoke(
    functions: &Functions,
    name: &str,
    headers: &HeaderMap,
    body: Bytes,
    id: Uuid,
) -> Result<Response<Body>, ApiError> {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let kind = header("x-amz-invocation-type").unwrap_or("RequestResponse");
    one_of("invocationType", kind, &TYPES)?;
    let log_type = header("x-amz-log-type").unwrap_or("None");
    one_of("logType", log_type, &["None", "Tail"])?;
    let (kind, limit) = match kind {
        "Event" => ("Event", MAX_ASYNC_EVENT),
        "DryRun" => ("DryRun", MAX_EVENT),
        _ => ("RequestResponse", MAX_EVENT),
    };
    find(functions, name)?;
    let size = body.len();
    if limit < size {
        return Err(Refusal::TooLarge { size, kind, limit }.into());
    }
    let client_context = match header("x-amz-client-context") {
        Some(context) => Some(decode_context(context)?),
        None => None,
    };
    let call = Call {
        request: id.to_string(),
        event: Payload::Text(event(body)?),
        client_context,
        wants_log: log_type == "Tail",
    };
    match kind {
        "DryRun" => return Ok(empty(StatusCode::NO_CONTENT)),
        "Event" => {
            functions.invoke_later(name, call)?;
            return Ok(empty(StatusCode::ACCEPTED));
        }
        _ => {}
    }
    let wants_log = call.wants_log;
    let answer = functions.invoke(name, call).await?;
    let (payload, is_error) = match answer.result {
        Ok(payload) => (payload.into_text(), false),
        Err(failed) => (failed.payload, true),
    };
    let mut response = Response::new(Body::from(payload));
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value);
    };
    set("content-type", HeaderValue::from_static("application/json"));
    set("x-amz-executed-version", HeaderValue::from_static(VERSION));
    if is_error {
        set(
            "x-amz-function-error",
            HeaderValue::from_static("Unhandled"),
        );
    }
    if let (true, Ok(log)) = (wants_log, HeaderValue::try_from(base64_encode(&answer.log))) {
        set("x-amz-log-result", log);
    }
    Ok(response)
}

/// The event as it was sent; none is an empty object.
fn event(body: Bytes) -> Result<Bytes, ApiError> {
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    match serde_json::from_slice::<&serde_json::value::RawValue>(&body) {
        Ok(_) => Ok(body),
        Err(error) => Err(ApiError::new(
            "InvalidRequestContentException",
            format!("Could not parse request body into json: {error}"),
        )),
    }
}

fn decode_context(context: &str) -> Result<String, ApiError> {
    let text = base64_decode(context).and_then(|it| String::from_utf8(it).ok());
    text.filter(|text| serde_json::from_str::<serde_json::Map<String, Value>>(text).is_ok())
        .ok_or_else(|| {
            ApiError::new(
                "InvalidRequestContentException",
                "Client context must be a valid Base64-encoded JSON object.",
            )
        })
}

fn find(functions: &Functions, name: &str) -> Result<Arc<Function>, ApiError> {
    Ok(functions.find(name)?)
}

fn get(function: &Function) -> Value {
    let mut found = json!({"Configuration": configuration(function)});
    let Some(settings) = &function.settings else {
        return found;
    };
    found["Code"] = match &settings.source {
        Source::Command(program) => {
            json!({"Location": format!("file://{}", program.folder.display())})
        }
        Source::Url(url) => json!({"Location": url}),
    };
    if let Some(reserved) = settings.reserved {
        found["Concurrency"] = json!({"ReservedConcurrentExecutions": reserved});
    }
    found
}

/// What is known of a function; members that only code in AWS has are absent.
fn configuration(function: &Function) -> Value {
    let registered = function.registered.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000");
    let mut configuration = json!({
        "FunctionName": function.name,
        "FunctionArn": function.arn(),
        "Description": function.description(),
        "LastModified": registered.to_string(),
        "Version": VERSION,
        "PackageType": "Zip",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": format!("/aws/lambda/{}", function.name)},
    });
    let Some(settings) = &function.settings else {
        return configuration;
    };
    configuration["Timeout"] = settings.timeout.as_secs().into();
    if let Source::Command(program) = &settings.source {
        configuration["Runtime"] = "provided.al2023".into();
        configuration["Handler"] = program.handler.as_str().into();
        configuration["MemorySize"] = program.memory.into();
        configuration["Environment"] = json!({"Variables": program.environment});
    }
    configuration
}

fn list(functions: &Functions, query: &Query) -> Result<Response<Body>, ApiError> {
    if let Some(version) = query.get("FunctionVersion") {
        one_of("functionVersion", version, &["ALL"])?;
    }
    let most = match query.get("MaxItems") {
        None => PAGE,
        Some(text) => match text.parse() {
            Ok(number @ 1..=10_000) => PAGE.min(number),
            _ => {
                return Err(violation(
                    text,
                    "maxItems",
                    "Member must have value between 1 and 10000",
                ));
            }
        },
    };
    // A marker is the name of the function that came last.
    let after = query.get("Marker").unwrap_or_default();
    let all = functions.list();
    let mut rest = all.iter().filter(|it| after < it.name.as_str());
    let page: Vec<&Arc<Function>> = rest.by_ref().take(most).collect();
    let mut answer =
        json!({"Functions": page.iter().map(|it| configuration(it)).collect::<Vec<_>>()});
    if let (Some(_), Some(last)) = (rest.next(), page.last()) {
        answer["NextMarker"] = last.name.as_str().into();
    }
    Ok(ok(&answer))
}

/// The parameters of a request.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Parts) -> Self {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = request.uri.query().unwrap_or_default().split('&');
        let pairs = pairs.filter(|it| !it.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }

    fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        match self
            .0
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            Some((name, _)) => Err(ApiError::new(
                "InvalidParameterValueException",
                format!("The parameter {name} is not supported by this engine"),
            )),
            None => Ok(()),
        }
    }

    /// The function that `name` and `Qualifier` together mean.
    fn qualified(&self, name: &str) -> Result<String, ApiError> {
        if !is_name(name) {
            return Err(violation(
                name,
                "functionName",
                r"Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?",
            ));
        }
        let own = qualifier(name);
        match (self.get("Qualifier"), own) {
            (None, _) => Ok(name.to_owned()),
            (Some(qualifier), None) => Ok(format!("{name}:{qualifier}")),
            (Some(qualifier), Some(own)) if qualifier == own => Ok(name.to_owned()),
            _ => Err(ApiError::new(
                "InvalidParameterValueException",
                "The derived qualifier from the function name does not match the specified qualifier.",
            )),
        }
    }
}

/// Whether it has the characters of a name, a partial ARN or an ARN.
fn is_name(name: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_:$".contains(&it);
    !name.is_empty() && name.len() <= 170 && name.bytes().all(plain)
}

fn one_of(member: &str, value: &str, known: &[&str]) -> Result<(), ApiError> {
    if known.contains(&value) {
        return Ok(());
    }
    let known = known.join(", ");
    let rule = format!("Member must satisfy enum value set: [{known}]");
    Err(violation(value, member, &rule))
}

fn violation(value: &str, member: &str, rule: &str) -> ApiError {
    ApiError::new(
        "ValidationException",
        format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
        ),
    )
}

/// Names the operation that was meant, as far as path and method tell.
fn unsupported(request: &Parts) -> ApiError {
    let path = request.uri.path();
    let rest = path.strip_prefix(ROOT).unwrap_or_default();
    let parts: Vec<&str> = rest.split('/').filter(|it| !it.is_empty()).collect();
    let operation = match (&request.method, parts.as_slice()) {
        _ if !path.starts_with(ROOT) => None,
        (&Method::POST, []) => Some("CreateFunction"),
        (&Method::DELETE, [_]) => Some("DeleteFunction"),
        (&Method::PUT, [_, "code"]) => Some("UpdateFunctionCode"),
        (&Method::PUT, [_, "configuration"]) => Some("UpdateFunctionConfiguration"),
        (&Method::POST, [_, "versions"]) => Some("PublishVersion"),
        (&Method::GET, [_, "versions"]) => Some("ListVersionsByFunction"),
        (&Method::POST, [_, "aliases"]) => Some("CreateAlias"),
        (&Method::GET, [_, "aliases"]) => Some("ListAliases"),
        (&Method::GET, [_, "aliases", _]) => Some("GetAlias"),
        (&Method::GET, [_, "policy"]) => Some("GetPolicy"),
        (&Method::POST, [_, "policy"]) => Some("AddPermission"),
        _ => None,
    };
    let meant = operation.map_or_else(|| format!("{} {path}", request.method), str::to_owned);
    ApiError {
        status: 404,
        ..ApiError::unknown_operation(format!(
            "{meant} is not supported by the local engine; functions are named in its settings file"
        ))
    }
}

fn ok(body: &Value) -> Response<Body> {
    respond(StatusCode::OK, "application/json", body.to_string())
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
