//! The CloudWatch Logs operations: JSON body → checked arguments → [`Logs`] → JSON answer, or an
//! event stream. Shapes, limits and messages are the API reference's.

use bytes::Bytes;
use http::{Response, StatusCode};
use s3s::Body;
use serde_json::{Value, json};
use uuid::Uuid;

use super::sfn::arguments::Arguments;
use super::{ApiError, Service, json_response, respond};
use crate::engine::logs::{Error, Logs};
use crate::engine::{ACCOUNT, REGION};

mod events;
mod groups;
mod requests;
mod streams;
mod tail;

const NO_TOKEN: &str = "The specified nextToken is invalid.";

/// Answers one operation (`PutLogEvents`, …) with its JSON body.
///
/// # Errors
/// In AWS's shape; `UnknownOperationException` names an operation that the engine lacks.
pub async fn call(
    logs: &Logs,
    operation: &str,
    body: &Bytes,
    id: Uuid,
) -> Result<Response<Body>, ApiError> {
    let members = requests::request(operation).ok_or_else(|| {
        ApiError::unknown_operation(format!(
            "CloudWatch Logs operation {operation} is not supported by the local engine"
        ))
    })?;
    let arguments = Arguments::checked(members, body).map_err(as_parameter)?;
    let answer = match operation {
        "StartLiveTail" => return tail::start(logs, &arguments, id),
        "CreateLogGroup" => groups::create(logs, &arguments).await?,
        "DeleteLogGroup" => groups::delete(logs, &arguments).await?,
        "DescribeLogGroups" => groups::describe(logs, &arguments)?,
        "PutRetentionPolicy" | "DeleteRetentionPolicy" => groups::retain(logs, &arguments).await?,
        "TagLogGroup" | "TagResource" => groups::tag(logs, &arguments).await?,
        "UntagLogGroup" | "UntagResource" => groups::untag(logs, &arguments).await?,
        "ListTagsLogGroup" | "ListTagsForResource" => groups::tags(logs, &arguments)?,
        "CreateLogStream" => streams::create(logs, &arguments).await?,
        "DeleteLogStream" => streams::delete(logs, &arguments).await?,
        "DescribeLogStreams" => streams::describe(logs, &arguments)?,
        "PutLogEvents" => events::put(logs, &arguments).await?,
        "GetLogEvents" => events::get(logs, &arguments).await?,
        "FilterLogEvents" => events::filter(logs, &arguments).await?,
        _ => return Err(ApiError::internal()),
    };
    Ok(match answer {
        Value::Null => respond(StatusCode::OK, "application/x-amz-json-1.1", String::new()),
        answer => json_response(Service::Logs, StatusCode::OK, &answer),
    })
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

/// What Step Functions calls a validation error is an invalid parameter here.
fn as_parameter(error: ApiError) -> ApiError {
    match error.code.as_str() {
        "ValidationException" => invalid(error.message),
        "InvalidToken" => invalid(NO_TOKEN),
        _ => error,
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NoGroup | Error::NoStream => "ResourceNotFoundException",
            Error::GroupExists | Error::StreamExists => "ResourceAlreadyExistsException",
            Error::Disk(_) => "ServiceUnavailableException",
        };
        let status = match &error {
            Error::Disk(_) => 500,
            _ => 400,
        };
        Self {
            status,
            ..Self::new(code, error.to_string())
        }
    }
}

/// ARN of a group, without `:*`.
fn group_arn(name: &str) -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}")
}

/// The group's name in an ARN or a name.
fn group_name(identifier: &str) -> Result<&str, ApiError> {
    if !identifier.starts_with("arn:") {
        return Ok(identifier);
    }
    identifier
        .strip_prefix(group_arn("").as_str())
        .map(|name| name.strip_suffix(":*").unwrap_or(name))
        .filter(|name| !name.is_empty() && requests::is_group_name(name))
        .ok_or_else(|| Error::NoGroup.into())
}

/// The group that `logGroupName` or `logGroupIdentifier` means.
fn group_of(arguments: &Arguments) -> Result<&str, ApiError> {
    match (
        arguments.text("logGroupName"),
        arguments.text("logGroupIdentifier"),
    ) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => group_name(identifier),
        (Some(_), Some(_)) => Err(invalid(
            "LogGroupName and LogGroupIdentifier cannot both be specified.",
        )),
        (None, None) => Err(invalid(
            "Either LogGroupName or LogGroupIdentifier must be specified.",
        )),
    }
}

/// A list of text, empty when it is absent.
fn texts(arguments: &Arguments, name: &str) -> Vec<String> {
    let values = arguments.value(name).and_then(Value::as_array);
    let texts = values.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn time(arguments: &Arguments, name: &str) -> Option<i64> {
    arguments.value(name).and_then(Value::as_i64)
}

fn limit(arguments: &Arguments, default: usize) -> usize {
    let limit = arguments.value("limit").and_then(Value::as_u64);
    limit.map_or(default, |limit| limit as usize)
}

/// `items` under `name`, with the token that continues where there is more.
fn page(name: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut page = json!({ name: items });
    if let (Some(next), Some(object)) = (next, page.as_object_mut()) {
        object.insert("nextToken".to_owned(), next.into());
    }
    page
}
