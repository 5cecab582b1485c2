//! A loopback service that replies what a test says, and remembers what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, Options, Target};

#[derive(Debug, Clone)]
pub(super) struct Request {
    /// `GET /bucket/key?x=y`.
    pub(super) line: String,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What to answer. `cut` ends the connection after so many bytes of the body.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) cut: Option<usize>,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
        }
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let kind = format!("com.amazonaws.swf.service.v2.model#{code}");
        let body = serde_json::json!({ "__type": kind, "message": message });
        Self::new(status, body.to_string())
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }
}

/// A service that answers each request by what `reply` makes of it, and remembers it.
pub(super) struct Service {
    pub(super) url: String,
    pub(super) seen: Arc<Mutex<Vec<Request>>>,
}

impl Service {
    pub(super) async fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
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
    pub(super) async fn script(replies: Vec<Reply>) -> Self {
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

    pub(super) async fn client(&self) -> Client {
        self.connect(false).await
    }

    pub(super) async fn connect(&self, read_only: bool) -> Client {
        let target = Target::Endpoint {
            url: self.url.clone(),
            region: "us-east-1".to_owned(),
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "secret".to_owned(),
        };
        let options = Options {
            read_only,
            budget_share: 0.4,
            trail: None,
            shared_in: None,
        };
        Client::connect(target, options).await.unwrap()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
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
        let mut lines = vec![
            format!("HTTP/1.1 {} Stub", reply.status),
            format!("content-length: {}", reply.body.len()),
        ];
        let headers = reply.headers.iter();
        lines.extend(headers.map(|(name, value)| format!("{name}: {value}")));
        let mut answer = format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes();
        let body = &reply.body[..reply.cut.unwrap_or(reply.body.len())];
        if !head {
            answer.extend_from_slice(body);
        }
        // In one piece: two would wait for each other's acknowledgement.
        connection.write_all(&answer).await.unwrap();
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
