//! `loggingConfiguration`: checked when a state machine is made or changed.

use serde_json::Value;

use crate::engine::api::ApiError;
use crate::engine::logging::{Level, group_of};
use crate::engine::logs::{Event, Logs};

/// AWS makes this stream, with this line, to see whether it may.
const MARKER: &str = "log_stream_created_by_aws_to_validate_log_delivery_subscriptions";
const MARKER_LINE: &str = "Permissions are set correctly to allow AWS CloudWatch Logs to write into your logs while creating a subscription.";

fn refuse(problem: &str) -> ApiError {
    ApiError::new(
        "InvalidLoggingConfiguration",
        format!("Invalid Logging Configuration: {problem}"),
    )
}

/// Checks a configuration that was given, and leaves a mark in its log group, as AWS does.
///
/// # Errors
/// `InvalidLoggingConfiguration` unless there is one destination, a log group of ours that exists.
pub fn check(logs: &Logs, given: &Value) -> Result<(), ApiError> {
    let destinations = given.get("destinations").and_then(Value::as_array);
    let destination = match destinations.map_or(&[][..], Vec::as_slice) {
        [] if Level::of(given) == Level::Off => return Ok(()),
        [destination] => destination,
        _ => return Err(refuse("Must specify exactly one Log Destination.")),
    };
    let arn = destination
        .pointer("/cloudWatchLogsLogGroup/logGroupArn")
        .and_then(Value::as_str)
        .ok_or_else(|| refuse("Must specify a Log Group ARN."))?;
    let group = group_of(arn).ok_or_else(|| {
        refuse("The Log Destination must be the ARN of a log group of this account and Region, ending in ':*'.")
    })?;
    if logs.group(group).is_none() {
        return Err(refuse("Log Destination not found."));
    }
    mark(logs, group);
    Ok(())
}

fn mark(logs: &Logs, group: &str) {
    let is_marked = logs
        .streams(group, MARKER)
        .is_ok_and(|streams| !streams.is_empty());
    if !is_marked {
        let line = Event {
            timestamp: logs.now(),
            message: MARKER_LINE.to_owned(),
        };
        logs.append(group, MARKER, vec![line]);
    }
}
