//! The one operation of STS that tools ask before anything else: who am I.

use http::{Response, StatusCode};
use s3s::Body;
use uuid::Uuid;

use super::{ApiError, respond};
use crate::engine::ACCOUNT;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Answers a request of the query protocol.
pub(super) fn call(body: &[u8], id: Uuid) -> Result<Response<Body>, ApiError> {
    let mut parameters = body.split(|byte| *byte == b'&');
    let action = parameters.find_map(|it| it.strip_prefix(b"Action="));
    match action {
        Some(b"GetCallerIdentity") => Ok(xml(
            StatusCode::OK,
            format!(
                "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\"><GetCallerIdentityResult>\
                 <Arn>arn:aws:iam::{ACCOUNT}:root</Arn><UserId>{ACCOUNT}</UserId>\
                 <Account>{ACCOUNT}</Account></GetCallerIdentityResult>\
                 <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata>\
                 </GetCallerIdentityResponse>"
            ),
        )),
        Some(other) => Err(ApiError::new(
            "InvalidAction",
            format!(
                "Could not find operation {} for version 2011-06-15",
                String::from_utf8_lossy(other)
            ),
        )),
        None => Err(ApiError::new(
            "MissingAction",
            "the request names no Action",
        )),
    }
}

/// An error of the query protocol, where the names of common errors differ from the JSON ones.
pub(super) fn refuse(error: &ApiError, id: Uuid) -> Response<Body> {
    let (code, status) = match error.code.as_str() {
        "UnrecognizedClientException" => ("InvalidClientTokenId", 403),
        "InvalidSignatureException" => ("SignatureDoesNotMatch", 403),
        "MissingAuthenticationTokenException" => ("MissingAuthenticationToken", 403),
        "IncompleteSignatureException" => ("IncompleteSignature", 400),
        "InternalServerException" => ("InternalFailure", 500),
        other => (other, error.status),
    };
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    xml(
        StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
        format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type><Code>{code}</Code>\
             <Message>{}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>",
            escape(&error.message)
        ),
    )
}

fn xml(status: StatusCode, body: String) -> Response<Body> {
    respond(status, "text/xml", body)
}

/// Text inside an element; control characters, which XML cannot carry, become visible.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
