//! The client against answers on the wire: a loopback service that replies what a test says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::model::{ExecutionArn, Limits, MapRunArn, ObjectAddress, RedriveStatus, Status};

const PARENT: &str = "arn:aws:states:us-east-1:000000000000:execution:Files:run-7";
const MAP_RUN: &str = "arn:aws:states:us-east-1:000000000000:mapRun:Files/Lines:6d3";

#[derive(Debug, Clone)]
struct Request {
    /// `GET /bucket/key?x=y`.
    line: String,
    /// Names in lower case.
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What to answer. `cut` ends the connection after so many bytes of the body.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    cut: Option<usize>,
}

impl Reply {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
        }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        let kind = format!("com.amazonaws.swf.service.v2.model#{code}");
        let body = serde_json::json!({ "__type": kind, "message": message });
        Self::new(status, body.to_string())
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }
}

/// A service that answers each request by what `reply` makes of it, and remembers it.
struct Service {
    url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Service {
    async fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let reply = Arc::new(reply);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&reply), Arc::clone(&log)));
            }
        });
        Self { url, seen }
    }

    /// These answers in this order; the last one for ever.
    async fn script(replies: Vec<Reply>) -> Self {
        let replies = Mutex::new(VecDeque::from(replies));
        Self::start(move |_| {
            let mut replies = replies.lock().unwrap();
            let next = replies.pop_front().expect("asked more often than expected");
            if replies.is_empty() && next.status >= 400 {
                // The SDK may try again.
                replies.push_back(Reply {
                    status: next.status,
                    headers: next.headers.clone(),
                    body: next.body.clone(),
                    cut: next.cut,
                });
            }
            next
        })
        .await
    }

    async fn client(&self) -> Client {
        self.connect(false).await
    }

    async fn connect(&self, read_only: bool) -> Client {
        let target = Target::Endpoint {
            url: self.url.clone(),
            region: "us-east-1".to_owned(),
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "secret".to_owned(),
        };
        let options = Options {
            read_only,
            budget_share: 0.4,
        };
        Client::connect(target, options).await.unwrap()
    }

    fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    connection: TcpStream,
    reply: Arc<impl Fn(&Request) -> Reply>,
    seen: Arc<Mutex<Vec<Request>>>,
) {
    let mut connection = BufReader::new(connection);
    while let Some(request) = receive(&mut connection).await {
        let reply = reply(&request);
        let head = request.line.starts_with("HEAD ");
        seen.lock().unwrap().push(request);
        let mut answer = format!("HTTP/1.1 {} Stub\r\n", reply.status);
        let length = reply.body.len();
        answer.push_str(&format!("content-length: {length}\r\n"));
        for (name, value) in &reply.headers {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        answer.push_str("\r\n");
        let body = &reply.body[..reply.cut.unwrap_or(reply.body.len())];
        connection.write_all(answer.as_bytes()).await.unwrap();
        if !head {
            connection.write_all(body).await.unwrap();
        }
        if reply.cut.is_some() {
            return;
        }
    }
}

async fn receive(connection: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: BTreeMap<String, String> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |it| it.parse().unwrap());
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    let line = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
    Some(Request {
        line,
        headers,
        body,
    })
}

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
        format!("RedriveExecution of {PARENT} failed: not redrivable: Execution ␛[2J invalid")
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
    assert!(matches!(error.kind, ErrorKind::Service(_)), "{error}");
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
    let limits = Limits {
        max_concurrency: Some(u64::MAX),
        ..Limits::default()
    };
    let error = client.update_map_run(&lines(), limits).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Invalid(_)));
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
    let from = crate::model::Timestamp::UNIX_EPOCH;
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

mod objects {
    use super::*;

    fn address() -> ObjectAddress {
        ObjectAddress::new("bucket", "a folder/ü+&.jsonl")
    }

    async fn all(body: ObjectBody) -> Result<Vec<u8>, Error> {
        let pieces: Vec<Result<Bytes, Error>> = body.bytes.collect().await;
        let pieces: Result<Vec<Bytes>, Error> = pieces.into_iter().collect();
        Ok(pieces?.concat())
    }

    fn etag(reply: Reply) -> Reply {
        reply
            .header("etag", "\"e1\"")
            .header("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")
    }

    #[tokio::test]
    async fn an_object_that_is_not_there_is_none_and_a_forbidden_one_an_error() {
        let service = Service::script(vec![Reply::new(404, "")]).await;
        let head = service.client().await.head(&address()).await;
        assert_eq!(head, Ok(None));
        let service = Service::script(vec![Reply::new(403, "")]).await;
        let error = service.client().await.head(&address()).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Permission(_)), "{error}");
    }

    #[tokio::test]
    async fn a_head_has_size_and_metadata() {
        let reply = etag(Reply::new(200, "12345")).header("x-amz-meta-lines", "7");
        let service = Service::script(vec![reply]).await;
        let (object, metadata) = service
            .client()
            .await
            .head(&address())
            .await
            .unwrap()
            .unwrap();
        assert_eq!((object.size, object.etag.as_str()), (5, "\"e1\""));
        assert_eq!(object.modified.as_second(), 1_445_412_480);
        assert_eq!(metadata.get("lines").map(String::as_str), Some("7"));
        let line = &service.requests()[0].line;
        assert_eq!(line, "HEAD /bucket/a%20folder/%C3%BC%2B%26.jsonl");
    }

    #[tokio::test]
    async fn a_range_is_asked_with_its_last_byte_and_knows_the_whole() {
        let reply = etag(Reply::new(206, "234")).header("content-range", "bytes 2-4/10");
        let service = Service::script(vec![reply]).await;
        let client = service.client().await;
        let body = client
            .read(&address(), Some(2..5), Some("\"e1\""))
            .await
            .unwrap();
        assert_eq!(body.object.size, 10);
        assert_eq!(all(body).await.unwrap(), b"234");
        let asked = &service.requests()[0];
        assert_eq!(asked.header("range"), "bytes=2-4");
        assert_eq!(asked.header("if-match"), "\"e1\"");
    }

    #[tokio::test]
    async fn a_lost_connection_is_made_again_where_it_broke_off() {
        let rest = Reply::new(206, "56789").header("content-range", "bytes 5-9/10");
        let service =
            Service::script(vec![etag(Reply::new(200, "0123456789")).cut(5), etag(rest)]).await;
        let client = service.client().await;
        let body = client.read(&address(), None, None).await.unwrap();
        assert_eq!(all(body).await.unwrap(), b"0123456789");
        let asked = service.requests();
        assert_eq!(asked[1].header("range"), "bytes=5-9");
        assert_eq!(asked[1].header("if-match"), "\"e1\"");
    }

    #[tokio::test]
    async fn an_object_that_changed_meanwhile_is_not_mixed() {
        let changed = "<Error><Code>PreconditionFailed</Code><Message>m</Message></Error>";
        let service = Service::script(vec![
            etag(Reply::new(200, "0123456789")).cut(5),
            Reply::new(412, changed),
        ])
        .await;
        let client = service.client().await;
        let body = client.read(&address(), None, None).await.unwrap();
        let error = all(body).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict("m".to_owned()));
    }

    #[tokio::test]
    async fn a_missing_key_is_not_found() {
        let missing = "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>";
        let service = Service::script(vec![Reply::new(404, missing)]).await;
        let client = service.client().await;
        let error = client.read(&address(), None, None).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotFound("gone".to_owned()));
        assert_eq!(error.subject, "s3://bucket/a folder/ü+&.jsonl");
    }

    #[tokio::test]
    async fn slow_down_of_s3_is_shown() {
        let slow = "<Error><Code>SlowDown</Code><Message>m</Message></Error>";
        let service =
            Service::script(vec![Reply::new(503, slow), etag(Reply::new(200, "x"))]).await;
        let client = service.client().await;
        assert!(client.read(&address(), None, None).await.is_ok());
        assert!(client.slowed());
    }

    #[tokio::test]
    async fn a_listing_has_rows_and_a_next_page() {
        let body = "<ListBucketResult><IsTruncated>true</IsTruncated>\
            <NextContinuationToken>t</NextContinuationToken><Contents><Key>p/a&amp;b</Key>\
            <LastModified>2015-10-21T07:28:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>\
            <Size>3</Size></Contents><Contents><Size>1</Size></Contents></ListBucketResult>";
        let service = Service::script(vec![Reply::new(200, body)]).await;
        let page = service
            .client()
            .await
            .objects("bucket", "p/", None)
            .await
            .unwrap();
        assert_eq!(page.next.as_deref(), Some("t"));
        assert_eq!(page.items.len(), 1);
        assert_eq!(page.items[0].address, ObjectAddress::new("bucket", "p/a&b"));
        assert_eq!(page.items[0].etag, "\"e\"");
    }

    #[tokio::test]
    async fn a_bucket_of_ours_is_fine_and_one_of_others_is_not() {
        let answer = |code: &str| format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        let ours = Reply::new(409, answer("BucketAlreadyOwnedByYou"));
        let service = Service::script(vec![ours]).await;
        assert_eq!(service.client().await.create_bucket("b").await, Ok(()));
        let theirs = Reply::new(409, answer("BucketAlreadyExists"));
        let service = Service::script(vec![theirs]).await;
        let error = service.client().await.create_bucket("b").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict("m".to_owned()));
    }

    #[tokio::test]
    async fn a_small_object_is_one_put() {
        let service = Service::script(vec![etag(Reply::new(200, ""))]).await;
        let client = service.client().await;
        let metadata = BTreeMap::from([("lines".to_owned(), "2".to_owned())]);
        let mut writer = client.write(&address(), metadata).await.unwrap();
        writer.write(b"hello ").await.unwrap();
        writer.write(b"world").await.unwrap();
        let object = writer.finish().await.unwrap();
        assert_eq!((object.size, object.etag.as_str()), (11, "\"e1\""));
        let asked = service.requests();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].line.starts_with("PUT /bucket/a%20folder/"));
        assert_eq!(asked[0].header("x-amz-meta-lines"), "2");
        assert!(String::from_utf8_lossy(&asked[0].body).contains("hello world"));
    }

    /// Answers a multipart upload; part 2 with `status`.
    fn multipart(request: &Request, status: u16) -> Reply {
        let line = &request.line;
        if line.contains("?uploads") {
            let started = "<InitiateMultipartUploadResult><UploadId>u1</UploadId>\
                </InitiateMultipartUploadResult>";
            Reply::new(200, started)
        } else if line.starts_with("DELETE") {
            Reply::new(204, "")
        } else if line.starts_with("POST") {
            let done = "<CompleteMultipartUploadResult><ETag>\"whole-2\"</ETag>\
                </CompleteMultipartUploadResult>";
            Reply::new(200, done)
        } else if line.contains("partNumber=2") && status != 200 {
            let denied = "<Error><Code>AccessDenied</Code><Message>m</Message></Error>";
            Reply::new(status, denied)
        } else {
            etag(Reply::new(200, ""))
        }
    }

    #[tokio::test]
    async fn a_large_object_goes_in_parts_and_appears_once() {
        let service = Service::start(|request| multipart(request, 200)).await;
        let client = service.client().await;
        let mut writer = client.write(&address(), BTreeMap::new()).await.unwrap();
        let mebibyte = vec![b'x'; 1 << 20];
        for _ in 0..17 {
            writer.write(&mebibyte).await.unwrap();
        }
        let object = writer.finish().await.unwrap();
        assert_eq!(
            (object.size, object.etag.as_str()),
            (17 << 20, "\"whole-2\"")
        );
        let asked = service.requests();
        assert_eq!(asked.len(), 5, "begin, three parts, complete");
        let complete = String::from_utf8(asked[4].body.clone()).unwrap();
        let numbers: Vec<usize> = (1..=3)
            .map(|number| {
                let tag = format!("<PartNumber>{number}</PartNumber>");
                complete.find(&tag).unwrap()
            })
            .collect();
        assert!(numbers.is_sorted(), "{complete}");
        assert!(!complete.contains("<PartNumber>4"));
    }

    #[tokio::test]
    async fn a_part_that_fails_leaves_no_object_behind() {
        let service = Service::start(|request| multipart(request, 403)).await;
        let client = service.client().await;
        let mut writer = client.write(&address(), BTreeMap::new()).await.unwrap();
        writer.write(&vec![b'x'; 20 << 20]).await.unwrap();
        let error = writer.finish().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Permission("m".to_owned()));
        until(&service, |line| line.starts_with("DELETE")).await;
        let lines: Vec<String> = service.requests().into_iter().map(|it| it.line).collect();
        assert!(
            !lines
                .iter()
                .any(|line| line.contains("POST") && !line.contains("uploads"))
        );
    }

    #[tokio::test]
    async fn a_writer_given_up_deletes_its_parts() {
        let service = Service::start(|request| multipart(request, 200)).await;
        let client = service.client().await;
        for drop_it in [true, false] {
            let mut writer = client.write(&address(), BTreeMap::new()).await.unwrap();
            writer.write(&vec![b'x'; 9 << 20]).await.unwrap();
            service.seen.lock().unwrap().clear();
            if drop_it {
                drop(writer);
            } else {
                writer.abort().await;
            }
            until(&service, |line| line.starts_with("DELETE")).await;
        }
    }

    /// Waits for a request that a background task sends.
    async fn until(service: &Service, is_it: impl Fn(&str) -> bool) {
        let seen = async {
            while !service.requests().iter().any(|it| is_it(&it.line)) {
                tokio::task::yield_now().await;
            }
        };
        let limit = std::time::Duration::from_secs(10);
        tokio::time::timeout(limit, seen)
            .await
            .expect("never asked");
    }

    #[tokio::test]
    async fn keys_are_deleted_by_the_thousand_and_refusals_counted() {
        let ok = "<DeleteResult></DeleteResult>";
        let refused = "<DeleteResult><Error><Key>k1000</Key><Code>AccessDenied</Code>\
            <Message>no</Message></Error></DeleteResult>";
        let service = Service::script(vec![Reply::new(200, ok), Reply::new(200, refused)]).await;
        let client = service.client().await;
        let keys: Vec<String> = (0..1_001).map(|n| format!("k{n}")).collect();
        let error = client.delete("bucket", &keys).await.unwrap_err();
        assert_eq!(
            error.kind,
            ErrorKind::Permission("1 of 1001 keys, k1000 first: no".to_owned())
        );
        assert_eq!(service.requests().len(), 2);
    }
}
