//! The worker against a service of a few lines.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

/// A service that answers each request with the next of `answers`, over and over, and keeps
/// connections open. Yields the base URL and what was asked.
async fn service(answers: Vec<String>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut answers = answers.into_iter().cycle();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = true;
            while let Some(request) = next_request(&mut stream).await {
                let mark = if first { "new " } else { "reused " };
                first = false;
                let _ = sender.try_send(format!("{mark}{request}"));
                let answer = answers.next().unwrap();
                if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (url, asked)
}

async fn next_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_string();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}

fn http_answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn input(url: String) -> WorkerInput {
    WorkerInput {
        n: 7,
        line: "a b".into(),
        execution: "run-é".into(),
        request: Request {
            url,
            method: "GET".into(),
            headers: BTreeMap::from([("x-key".into(), "s3cret".into())]),
            body: None,
            timeout_seconds: 10,
        },
        template: "{line},{response}".into(),
    }
}

async fn failure(status: &str, body: &str) -> HandlerError {
    let (url, _asked) = service(vec![http_answer(status, body)]).await;
    let http = Http::new().unwrap();
    ask(&http, input(format!("{url}/{{line}}")))
        .await
        .unwrap_err()
}

#[tokio::test]
async fn lines_share_connections_and_carry_their_key() {
    let (url, mut asked) = service(vec![http_answer("200 OK", "found\n")]).await;
    let http = Http::new().unwrap();
    for _ in 0..2 {
        let output = ask(&http, input(format!("{url}/x/{{line}}?n={{n}}")))
            .await
            .unwrap();
        assert_eq!(output.line, "a b,found");
    }
    let first = asked.recv().await.unwrap();
    assert!(
        first.starts_with("new GET /x/a%20b?n=7 HTTP/1.1\r\n"),
        "{first}"
    );
    assert!(
        first.contains("idempotency-key: run-%C3%A9-7\r\n"),
        "{first}"
    );
    assert!(first.contains("x-key: s3cret\r\n"), "{first}");
    assert!(asked.recv().await.unwrap().starts_with("reused "));
}

#[tokio::test]
async fn a_body_is_sent_as_json() {
    let (url, mut asked) = service(vec![http_answer("201 Created", r#"{"id":5}"#)]).await;
    let mut input = input(url);
    input.line = "say \"hi\"".into();
    input.request.method = "POST".into();
    input.request.body = Some(r#"{"q":"{line}"}"#.into());
    input.template = "{status} {response.id}".into();
    let output = ask(&Http::new().unwrap(), input).await.unwrap();
    assert_eq!(
        output,
        OutputLine {
            n: 7,
            line: "201 5".into()
        }
    );
    let request = asked.recv().await.unwrap();
    assert!(
        request.contains("content-type: application/json\r\n"),
        "{request}"
    );
    assert!(request.ends_with(r#"{"q":"say \"hi\""}"#), "{request}");
}

#[tokio::test]
async fn the_status_decides_what_is_tried_again() {
    for (status, name) in [
        ("429 Too Many Requests", WORKER_THROTTLED),
        ("408 Request Timeout", WORKER_UNAVAILABLE),
        ("500 Internal Server Error", WORKER_UNAVAILABLE),
        ("503 Service Unavailable", WORKER_UNAVAILABLE),
        ("404 Not Found", WORKER_REJECTED),
        ("422 Unprocessable Entity", WORKER_REJECTED),
        ("304 Not Modified", WORKER_REJECTED),
    ] {
        let error = failure(status, "").await;
        assert_eq!(error.name, name, "{status}");
        assert_eq!(error.message, status.to_string());
    }
}

#[tokio::test]
async fn a_message_has_the_beginning_of_the_body_without_control_characters() {
    let body = format!("no\u{1b}[31m\u{202e} such\r\n\titem {}", "x".repeat(500));
    let error = failure("404 Not Found", &body).await;
    let expected = "404 Not Found: no [31m such item xxx";
    assert!(error.message.starts_with(expected), "{}", error.message);
    assert!(error.message.ends_with("x…"));
    assert!(!error.message.contains("s3cret") && !error.message.contains("a%20b"));
}

#[tokio::test]
async fn no_service_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let input = input(format!("http://{address}/{{line}}"));
    let error = ask(&Http::new().unwrap(), input).await.unwrap_err();
    assert_eq!(error.name, WORKER_UNAVAILABLE);
    let expected = format!("no connection to {address}: ");
    assert!(error.message.starts_with(&expected), "{}", error.message);
    assert!(!error.message.contains("a%20b"), "{}", error.message);
}

#[tokio::test]
async fn a_silent_service_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut input = input(format!("http://{}/", listener.local_addr().unwrap()));
    input.request.timeout_seconds = 1;
    let error = ask(&Http::new().unwrap(), input).await.unwrap_err();
    assert_eq!(error.name, WORKER_UNAVAILABLE);
    assert!(error.message.ends_with("within 1 s"), "{}", error.message);
}

#[tokio::test]
async fn a_response_that_breaks_off_is_unavailable() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nhalf";
    let (url, _asked) = service(vec![cut.into(), String::new()]).await;
    let (mut input, http) = (input(url), Http::new().unwrap());
    input.request.timeout_seconds = 1;
    let error = ask(&http, input).await.unwrap_err();
    assert_eq!(error.name, WORKER_UNAVAILABLE);
    assert!(error.message.starts_with("the response broke off"));
}

#[tokio::test]
async fn a_response_without_the_field_is_named() {
    let (url, _asked) = service(vec![http_answer("200 OK", r#"{"b":1}"#)]).await;
    let mut input = input(url);
    input.template = "{response.a}".into();
    let error = ask(&Http::new().unwrap(), input).await.unwrap_err();
    assert_eq!(error.name, WORKER_BAD_RESPONSE);
    assert_eq!(error.message, r#"the response has no field a: {"b":1}"#);
}

#[tokio::test]
async fn a_response_too_large_is_refused() {
    for (size, expected) in [
        (MAX_BODY + 1, "larger than 1 MiB"),
        (MAX_OUTPUT, "output line"),
    ] {
        let (url, _asked) = service(vec![http_answer("200 OK", &"x".repeat(size))]).await;
        let error = ask(&Http::new().unwrap(), input(url)).await.unwrap_err();
        assert_eq!(error.name, WORKER_BAD_RESPONSE);
        assert!(error.message.contains(expected), "{}", error.message);
    }
}

#[tokio::test]
async fn redirects_stay_on_the_server() {
    let (other, mut other_asked) = service(vec![http_answer("200 OK", "stolen")]).await;
    let away = format!("HTTP/1.1 302 Found\r\nlocation: {other}/\r\ncontent-length: 0\r\n\r\n");
    let here = "HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n".to_owned();
    let (url, _asked) = service(vec![here, http_answer("200 OK", "there"), away]).await;
    let http = Http::new().unwrap();
    let output = ask(&http, input(url.clone())).await.unwrap();
    assert_eq!(output.line, "a b,there");
    let error = ask(&http, input(url)).await.unwrap_err();
    assert_eq!(error.name, WORKER_REJECTED);
    assert!(
        other_asked.try_recv().is_err(),
        "the other server was asked"
    );
}

#[test]
fn this_machine_is_asked_without_a_proxy() {
    for (url, expected) in [
        ("http://127.0.0.1:8080/", true),
        ("http://[::1]/", true),
        ("http://localhost/", true),
        ("https://example.com/", false),
        ("http://127.0.0.1.example.com/", false),
    ] {
        assert_eq!(
            is_this_machine(&Url::parse(url).unwrap()),
            expected,
            "{url}"
        );
    }
}
