//! Traps of Task states.

use serde_json::Value;

use super::Finding;
use super::places::{Place, arguments, fixed};
use crate::model::StateMachineDetail;

/// Seconds after which an EXPRESS execution ends, whatever it does.
const EXPRESS_SECONDS: u64 = 300;
/// Errors that Lambda itself answers with now and then; whoever retries one knows of the others.
const TRANSIENT: [&str; 5] = [
    "States.ALL",
    "States.TaskFailed",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.AWSLambdaException",
];

pub fn findings(place: &Place, detail: &StateMachineDetail) -> Vec<Finding> {
    if place.state["Type"] != "Task" {
        return Vec::new();
    }
    let resource = place.state["Resource"].as_str().unwrap_or_default();
    let is_express = place.is_in_express()
        || place.children_of.is_none() && detail.kind.as_deref() == Some("EXPRESS");
    let mut findings = Vec::new();
    findings.extend(pattern(place, resource, is_express));
    if calls_lambda(resource) {
        findings.push(retry(place));
        findings.extend(envelope(place, resource));
        findings.extend(version(place, resource));
    }
    findings.extend(time_limit(place, is_express));
    findings.extend(swallowed(place));
    findings
}

/// Whether a Task's resource is a function, or the service that calls one.
pub fn calls_lambda(resource: &str) -> bool {
    resource.contains(":function:")
        || resource.contains(":::lambda:invoke")
        || resource.contains(":::aws-sdk:lambda:invoke")
}

/// The function that the Task calls, as the definition names it; `None` where that is an
/// expression.
pub fn function<'a>(state: &'a Value, resource: &'a str) -> Option<&'a str> {
    match resource.contains(":function:") {
        true => Some(resource),
        false => fixed(arguments(state), "FunctionName"),
    }
}

/// What waits for somebody else.
fn pattern(place: &Place, resource: &str, is_express: bool) -> Option<Finding> {
    const CHECK: &str = "waits";
    let (_, pattern) = resource.rsplit_once('.').unwrap_or_default();
    let waits_for = match pattern {
        "waitForTaskToken" => "a task token",
        "sync" | "sync:2" => "a job",
        _ if resource.contains(":activity:") => "an activity's worker",
        _ => return None,
    };
    if is_express {
        let text = format!("waits for {waits_for}, which EXPRESS executions cannot");
        let found = Finding::bad(CHECK, &place.pointer, text);
        return Some(found.change("make the children STANDARD"));
    }
    let is_limited = place.has("TimeoutSeconds") || place.has("HeartbeatSeconds");
    Some(match is_limited {
        true => Finding::good(
            CHECK,
            &place.pointer,
            format!("waits for {waits_for}, not for ever"),
        ),
        false => Finding::warning(
            CHECK,
            &place.pointer,
            format!("waits for {waits_for} for ever"),
        )
        .why("if the answer gets lost, the item stays RUNNING for a year, and the run with it")
        .change("add TimeoutSeconds, and HeartbeatSeconds where it can be sent"),
    })
}

fn retry(place: &Place) -> Finding {
    const CHECK: &str = "task-retry";
    let retriers = place.state["Retry"].as_array().into_iter().flatten();
    let errors = retriers.filter_map(|it| it["ErrorEquals"].as_array());
    let mut errors = errors.flatten().filter_map(Value::as_str);
    if errors.any(|error| TRANSIENT.contains(&error)) {
        return Finding::good(CHECK, &place.pointer, "Lambda's passing errors are retried");
    }
    let found = Finding::warning(
        CHECK,
        &place.pointer,
        "Lambda's passing errors are not retried",
    );
    found
        .why("of a million calls some hundred end in Lambda.ServiceException or are throttled")
        .change(
            "add a Retry for Lambda.ServiceException, Lambda.AWSLambdaException, \
             Lambda.SdkClientException and Lambda.TooManyRequestsException with JitterStrategy FULL",
        )
}

/// The answer of the service around that of the function.
fn envelope(place: &Place, resource: &str) -> Option<Finding> {
    let is_invoke = resource.ends_with(":::lambda:invoke");
    let takes = ["OutputPath", "ResultSelector", "ResultPath", "Output"];
    let takes_a_part = takes.iter().any(|field| place.state.get(*field).is_some());
    (is_invoke && !takes_a_part).then(|| {
        let text = "the result is Lambda's whole answer, headers too";
        Finding::info("envelope", &place.pointer, text)
            .why("what the function gave is in its Payload; the limit of 256 KiB is for all of it")
            .change("add \"OutputPath\": \"$.Payload\" (in JSONata: \"Output\": \"{% $states.result.Payload %}\")")
    })
}

/// A function of which only one version is meant.
fn version(place: &Place, resource: &str) -> Option<Finding> {
    let name = function(place.state, resource)?;
    let name = name.rsplit_once("function:").map_or(name, |(_, name)| name);
    let (name, version) = name.split_once(':')?;
    let is_number = !version.is_empty() && version.chars().all(|c| c.is_ascii_digit());
    is_number.then(|| {
        let text = format!("calls version {version} of {name}, and no other");
        Finding::info("version", &place.pointer, text)
            .why("a redrive keeps the definition: it calls the same version, repaired or not")
            .change("name an alias, which can be led to the repaired version")
    })
}

fn time_limit(place: &Place, is_express: bool) -> Option<Finding> {
    let seconds = place.state["TimeoutSeconds"].as_u64()?;
    (is_express && EXPRESS_SECONDS < seconds).then(|| {
        let text = format!("may take {seconds} s, and an EXPRESS execution ends after 300");
        let pointer = format!("{}/TimeoutSeconds", place.pointer);
        let found = Finding::warning("express-time", &pointer, text);
        found.change("stay below 300, or make the children STANDARD")
    })
}

/// Errors of an item that end well.
fn swallowed(place: &Place) -> Option<Finding> {
    place.children_of?;
    let catchers = place.state["Catch"].as_array()?.iter();
    let errors = catchers.filter_map(|it| it["ErrorEquals"].as_array());
    let mut errors = errors.flatten();
    errors.any(|it| it == "States.ALL" || it == "States.TaskFailed").then(|| {
        let text = "catches every error of an item";
        Finding::info("item-catch", &place.pointer, text)
            .why("unless what comes next ends in Fail, the item counts as succeeded and is in no list of failures")
            .change("let the caught way end in Fail where the item should be run again")
    })
}
