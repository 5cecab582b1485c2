//! The client against answers on the wire.

mod budget;
mod machines;
mod objects;
mod service;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use tokio::net::TcpListener;

use super::*;
use crate::model::{
    ExecutionArn, Limits, MapRunArn, ObjectAddress, RedriveStatus, Status, Timestamp,
};
use service::{Reply, Request, Service};

const PARENT: &str = "arn:aws:states:us-east-1:000000000000:execution:Files:run-7";
const MAP_RUN: &str = "arn:aws:states:us-east-1:000000000000:mapRun:Files/Lines:6d3";

fn parent() -> ExecutionArn {
    ExecutionArn::new(PARENT)
}

fn lines() -> MapRunArn {
    MapRunArn::new(MAP_RUN)
}

fn map_run_json(status: &str, succeeded: u64) -> String {
    serde_json::json!({
        "__type": "com.amazonaws.swf.base.model#DescribeMapRunOutput",
        "mapRunArn": MAP_RUN, "executionArn": PARENT, "status": status,
        "startDate": 1_789_000_000.123, "maxConcurrency": 100,
        "toleratedFailurePercentage": 5.1, "toleratedFailureCount": 0,
        "aFieldOfNextYear": {"__type": "x#Y", "n": 1},
        "itemCounts": {
            "__type": "x#MapRunItemCounts", "pending": 40, "running": 10, "succeeded": succeeded,
            "failed": 5, "timedOut": 0, "aborted": 0, "total": 100, "resultsWritten": 0
        },
    })
    .to_string()
}

async fn kind_of(status: u16, code: &str) -> ErrorKind {
    let service = Service::script(vec![Reply::error(status, code, "why")]).await;
    let client = service.client().await;
    client.execution(&parent()).await.unwrap_err().kind
}

#[tokio::test]
async fn a_map_run_arrives_with_all_that_the_service_left_out() {
    let service = Service::script(vec![Reply::new(200, map_run_json("RUNNING", 45))]).await;
    let run = service.client().await.map_run(&lines()).await.unwrap();
    assert_eq!(run.status, Status::Running);
    assert_eq!(run.started.as_millisecond(), 1_789_000_000_123);
    assert_eq!(run.stopped, None);
    assert!((run.tolerated_percentage - 5.1).abs() < 1e-9);
    assert_eq!((run.items.succeeded, run.items.pending_redrive), (45, 0));
    assert_eq!(run.executions.total, 0);
    let asked = &service.requests()[0];
    assert_eq!(asked.line, "POST /");
    assert_eq!(
        asked.header("x-amz-target"),
        "AWSStepFunctions.DescribeMapRun"
    );
    assert!(asked.header("authorization").contains("/us-east-1/states/"));
    assert!(asked.header("user-agent").contains("app/fanout"));
}

#[tokio::test]
async fn a_status_of_next_year_is_unknown_and_no_end() {
    let body = map_run_json("HIBERNATING", 1);
    let service = Service::script(vec![Reply::new(200, body)]).await;
    let run = service.client().await.map_run(&lines()).await.unwrap();
    assert_eq!(run.status, Status::Unknown);
    assert!(!run.status.is_closed());
}

#[tokio::test]
async fn a_service_error_says_what_was_asked_and_what_to_do() {
    let reply = Reply::error(400, "ExecutionNotRedrivable", "Execution \u{1b}[2J invalid");
    let service = Service::script(vec![reply]).await;
    let client = service.client().await;
    let error = client
        .redrive_execution(&parent(), "t-1")
        .await
        .unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::NotRedrivable("Execution ␛[2J invalid".to_owned())
    );
    assert_eq!(
        error.to_string(),
        "RedriveExecution of Files:run-7 failed: not redrivable: Execution ␛[2J invalid"
    );
    assert!(error.hint().is_some());
    assert_eq!(service.requests()[0].json()["clientToken"], "t-1");
}

#[tokio::test]
async fn errors_have_the_kind_that_tells_what_to_do() {
    let why = || "why".to_owned();
    let gone = kind_of(400, "ExecutionDoesNotExist").await;
    assert_eq!(gone, ErrorKind::NotFound(why()));
    let expired = kind_of(400, "ExpiredTokenException").await;
    assert_eq!(expired, ErrorKind::SignIn(why()));
    let denied = kind_of(400, "AccessDeniedException").await;
    assert_eq!(denied, ErrorKind::Permission(why()));
    let malformed = kind_of(400, "InvalidArn").await;
    assert_eq!(malformed, ErrorKind::Invalid("InvalidArn: why".to_owned()));
}

#[tokio::test]
async fn throttling_is_tried_again_and_shown_but_no_error() {
    let service = Service::script(vec![
        Reply::error(400, "ThrottlingException", "Rate exceeded"),
        Reply::new(200, map_run_json("RUNNING", 45)),
    ])
    .await;
    let client = service.client().await;
    assert!(!client.slowed());
    assert!(client.map_run(&lines()).await.is_ok());
    assert!(client.slowed() && client.polling().slowed());
    assert_eq!(service.requests().len(), 2);
}

#[tokio::test]
async fn nobody_listening_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let seen = Arc::default();
    let client = Service { url, seen }.client().await;
    let error = client.map_run(&lines()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_the_services_fault() {
    let service = Service::script(vec![Reply::new(200, "<html>")]).await;
    let client = service.client().await;
    let error = client.map_run(&lines()).await.unwrap_err();
    let ErrorKind::Service(text) = error.kind else {
        panic!("{error}");
    };
    assert!(text.starts_with("unreadable answer: "), "{text}");
}

#[tokio::test]
async fn a_read_only_client_changes_nothing() {
    let service = Service::start(|_| panic!("asked")).await;
    let client = service.connect(true).await;
    let machine = parent().state_machine();
    let address = ObjectAddress::new("b", "k");
    let refused = [
        client.start_execution(&machine, "n", "{}").await.err(),
        client.stop_execution(&parent(), None, None).await.err(),
        client.redrive_execution(&parent(), "t").await.err(),
        client
            .update_map_run(&lines(), Limits::default())
            .await
            .err(),
        client.create_state_machine("n", "{}", "r").await.err(),
        client.update_state_machine(&machine, "{}").await.err(),
        client.create_bucket("b").await.err(),
        client.write(&address, BTreeMap::new()).await.err(),
        client.delete("b", &["k".to_owned()]).await.err(),
    ];
    for error in refused {
        assert_eq!(error.unwrap().kind, ErrorKind::ReadOnly);
    }
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn map_runs_are_newest_first_over_all_pages() {
    let row = |id: &str, at: f64| {
        serde_json::json!({
            "executionArn": PARENT, "stateMachineArn": "m", "startDate": at,
            "mapRunArn": format!("{MAP_RUN}{id}"),
        })
    };
    let first = serde_json::json!({ "mapRuns": [row("a", 1.0), row("b", 3.0)], "nextToken": "2" });
    let second = serde_json::json!({ "mapRuns": [row("c", 2.0)] });
    let service = Service::script(vec![
        Reply::new(200, first.to_string()),
        Reply::new(200, second.to_string()),
    ])
    .await;
    let runs = service.client().await.map_runs(&parent()).await.unwrap();
    let ids: Vec<&str> = runs.iter().map(MapRunArn::id).collect();
    assert_eq!(ids, ["6d3b", "6d3c", "6d3a"]);
    assert_eq!(service.requests()[1].json()["nextToken"], "2");
}

#[tokio::test]
async fn a_listing_passes_filter_and_limit_on_and_knows_children() {
    let body = serde_json::json!({ "nextToken": "more", "executions": [{
        "executionArn": "arn:aws:states:us-east-1:000000000000:express:Files/Lines:a:b",
        "stateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:Files/Lines",
        "name": "a:b", "status": "FAILED", "startDate": 1.5, "stopDate": 2.0,
        "mapRunArn": MAP_RUN, "itemCount": 3, "redriveCount": 2, "redriveDate": 1.75,
    }] });
    let service = Service::script(vec![Reply::new(200, body.to_string())]).await;
    let client = service.client().await;
    let page = client
        .children(&lines(), Some(Status::Failed), 5_000, None)
        .await
        .unwrap();
    assert_eq!(page.next.as_deref(), Some("more"));
    let child = &page.items[0];
    assert_eq!((child.item_count, child.redrive_count), (Some(3), 2));
    assert_eq!(child.map_run, Some(lines()));
    let asked = service.requests()[0].json();
    assert_eq!(
        asked,
        serde_json::json!({"mapRunArn": MAP_RUN, "statusFilter": "FAILED", "maxResults": 1000})
    );
}

#[tokio::test]
async fn an_execution_says_whether_it_can_be_redriven() {
    let body = serde_json::json!({
        "executionArn": PARENT, "stateMachineArn": "m", "status": "FAILED", "startDate": 1.0,
        "error": "States.ExceedToleratedFailureThreshold", "cause": "c", "input": "{}",
        "inputDetails": {"__type": "x#CloudWatchEventsExecutionDataDetails", "included": true},
        "redriveCount": 1, "redriveStatus": "REDRIVABLE",
    });
    let service = Service::script(vec![Reply::new(200, body.to_string())]).await;
    let detail = service.client().await.execution(&parent()).await.unwrap();
    assert_eq!(detail.execution.name, "run-7");
    assert_eq!(detail.redrive_status, RedriveStatus::Redrivable);
    assert_eq!(detail.input.as_deref(), Some("{}"));
}

#[tokio::test]
async fn history_events_say_what_their_details_say() {
    let body = serde_json::json!({ "events": [
        {"timestamp": 1.0, "type": "MapStateEntered", "id": 7, "previousEventId": 6,
         "stateEnteredEventDetails": {"name": "Lines", "input": "{}",
             "inputDetails": {"truncated": false}}},
        {"timestamp": 1.5, "type": "MapRunStarted", "id": 8, "previousEventId": 7,
         "mapRunStartedEventDetails": {"mapRunArn": MAP_RUN}},
        {"timestamp": 2.0, "type": "LambdaFunctionFailed", "id": 9, "previousEventId": 8,
         "lambdaFunctionFailedEventDetails": {"error": "E", "cause": "C"}},
        {"timestamp": 3.0, "type": "SomethingNew", "id": 10, "previousEventId": 9},
    ] });
    let service = Service::script(vec![Reply::new(200, body.to_string())]).await;
    let client = service.client().await;
    let events = client.history(&parent(), false, None).await.unwrap().items;
    assert_eq!(events[0].state.as_deref(), Some("Lines"));
    assert_eq!((events[0].id, events[0].previous), (7, 6));
    assert_eq!(events[1].map_run, Some(lines()));
    assert_eq!(events[2].error.as_deref(), Some("E"));
    assert_eq!(events[3].kind, "SomethingNew");
}

#[tokio::test]
async fn limits_that_stay_are_not_sent() {
    let service = Service::script(vec![Reply::new(200, "{}")]).await;
    let client = service.client().await;
    let limits = Limits {
        tolerated_percentage: Some(12.5),
        ..Limits::default()
    };
    client.update_map_run(&lines(), limits).await.unwrap();
    assert_eq!(
        service.requests()[0].json(),
        serde_json::json!({"mapRunArn": MAP_RUN, "toleratedFailurePercentage": 12.5})
    );
    let too_many = Limits {
        max_concurrency: Some(u64::MAX),
        ..Limits::default()
    };
    let no_number = Limits {
        tolerated_percentage: Some(f64::NAN),
        ..Limits::default()
    };
    for limits in [too_many, no_number] {
        let error = client.update_map_run(&lines(), limits).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Invalid(_)));
    }
}

#[tokio::test]
async fn a_host_prefix_does_not_leave_the_endpoint() {
    let body = r#"{"status":"SUCCEEDED","output":"{}"}"#;
    let service = Service::script(vec![Reply::new(200, body)]).await;
    let client = service.client().await;
    let tested = client.shared.sfn.test_state().definition("{}").send().await;
    assert!(tested.is_ok(), "{tested:?}");
    let host = service.requests()[0].header("host").to_owned();
    assert_eq!(format!("http://{host}"), service.url);
}

#[tokio::test]
async fn watching_a_map_run_ends_when_it_closes() {
    let service = Service::script(vec![
        Reply::new(200, map_run_json("RUNNING", 45)),
        Reply::error(400, "ResourceNotFound", "not yet"),
        Reply::new(200, map_run_json("SUCCEEDED", 95)),
    ])
    .await;
    let client = service.client().await;
    let seen: Vec<Option<u64>> = client
        .watch_map_run(lines())
        .map(|run| run.ok().map(|run| run.items.succeeded))
        .collect()
        .await;
    assert_eq!(seen, [Some(45), None, Some(95)]);
}

#[tokio::test]
async fn watching_failed_children_ends_after_the_map_run_closed() {
    let service = Service::start(|request| match request.header("x-amz-target") {
        "AWSStepFunctions.DescribeMapRun" => Reply::new(200, map_run_json("FAILED", 0)),
        _ => Reply::new(200, r#"{"executions":[]}"#),
    })
    .await;
    let client = service.client().await;
    let rounds = client.watch_failed_children(lines()).count().await;
    assert_eq!(rounds, 3);
    let described = service
        .requests()
        .iter()
        .filter(|request| request.header("x-amz-target").ends_with("DescribeMapRun"))
        .count();
    assert_eq!(described, 1);
}

#[tokio::test]
async fn log_events_are_asked_by_name_or_arn() {
    let body = serde_json::json!({
        "events": [{"eventId": "1", "logStreamName": "s", "timestamp": 1500, "message": "m"}],
        "nextToken": "t",
    });
    let reply = || Reply::new(200, body.to_string());
    let service = Service::script(vec![reply(), reply()]).await;
    let client = service.client().await;
    let from = Timestamp::UNIX_EPOCH;
    let page = client
        .filter_log_events("/aws/lambda/f", "", from, None, None)
        .await
        .unwrap();
    assert_eq!(page.items[0].at.as_millisecond(), 1_500);
    assert_eq!(page.next.as_deref(), Some("t"));
    let group = "arn:aws:logs:us-east-1:000000000000:log-group:g:*";
    client
        .filter_log_events(group, "\"x\"", from, None, None)
        .await
        .unwrap();
    let asked: Vec<_> = service.requests().iter().map(Request::json).collect();
    assert_eq!(asked[0]["logGroupName"], "/aws/lambda/f");
    assert_eq!(asked[0].get("filterPattern"), None);
    assert!(
        asked[1]["logGroupIdentifier"]
            .as_str()
            .unwrap()
            .ends_with(":g")
    );
}

/// Callers spawn these.
#[test]
fn calls_can_move_between_threads() {
    fn movable<T: Send>(_: impl Fn(&Client, ObjectWriter) -> T) {}
    movable(|client, _| client.clone());
    movable(|_, writer| writer.finish());
    movable(|_, writer| writer.abort());
}
