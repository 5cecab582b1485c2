//! Requests over the wire, well signed, with any body: a call of a JSON service, of Lambda or of S3,
//! which the first byte chooses. No answer may say that the engine failed.

#![no_main]

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use fanout::engine::{Credentials, Engine, REGION};
use libfuzzer_sys::{Corpus, fuzz_target};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Step Functions' operations, without GetActivityTask, which waits for a minute.
const STATES: [&str; 36] = [
    "CreateActivity",
    "CreateStateMachine",
    "CreateStateMachineAlias",
    "DeleteActivity",
    "DeleteStateMachine",
    "DeleteStateMachineAlias",
    "DeleteStateMachineVersion",
    "DescribeActivity",
    "DescribeExecution",
    "DescribeMapRun",
    "DescribeStateMachine",
    "DescribeStateMachineAlias",
    "DescribeStateMachineForExecution",
    "GetExecutionHistory",
    "ListActivities",
    "ListExecutions",
    "ListMapRuns",
    "ListStateMachineAliases",
    "ListStateMachineVersions",
    "ListStateMachines",
    "ListTagsForResource",
    "PublishStateMachineVersion",
    "RedriveExecution",
    "SendTaskFailure",
    "SendTaskHeartbeat",
    "SendTaskSuccess",
    "StartExecution",
    "StartSyncExecution",
    "StopExecution",
    "TagResource",
    "TestState",
    "UntagResource",
    "UpdateMapRun",
    "UpdateStateMachine",
    "UpdateStateMachineAlias",
    "ValidateStateMachineDefinition",
];

/// CloudWatch Logs' operations, without StartLiveTail, whose answer does not end.
const LOGS: [&str; 14] = [
    "CreateLogGroup",
    "CreateLogStream",
    "DeleteLogGroup",
    "DeleteLogStream",
    "DeleteRetentionPolicy",
    "DescribeLogGroups",
    "DescribeLogStreams",
    "FilterLogEvents",
    "GetLogEvents",
    "ListTagsForResource",
    "PutLogEvents",
    "PutRetentionPolicy",
    "TagResource",
    "UntagResource",
];

/// What else there is: service, method, path, query in the order of its names, whether the body is
/// framed. `{}` stands for the fuzzed bytes.
const ROUTES: [(&str, &str, &str, &str, bool); 23] = [
    ("s3", "PUT", "/b/k", "", false),
    ("s3", "PUT", "/b/k", "", true),
    ("s3", "PUT", "/b/{}", "", false),
    ("s3", "PUT", "/{}", "", false),
    ("s3", "PUT", "/b/k", "partNumber=1&uploadId={}", false),
    ("s3", "PUT", "/b/k", "partNumber={}&uploadId=x", true),
    ("s3", "PUT", "/b", "versioning=", false),
    ("s3", "PUT", "/b/k", "tagging=", false),
    ("s3", "POST", "/b", "delete=", false),
    ("s3", "POST", "/b/k", "uploadId=x", false),
    ("s3", "POST", "/b/{}", "uploads=", false),
    ("s3", "GET", "/b/{}", "", false),
    ("s3", "GET", "/b/k", "partNumber={}", false),
    ("s3", "GET", "/b", "list-type=2&prefix={}", false),
    ("s3", "GET", "/b", "delimiter={}&list-type=2", false),
    (
        "s3",
        "GET",
        "/b",
        "continuation-token={}&list-type=2",
        false,
    ),
    ("s3", "GET", "/b", "marker={}", false),
    ("s3", "GET", "/b", "max-uploads={}&uploads=", false),
    ("s3", "DELETE", "/b/{}", "", false),
    (
        "lambda",
        "POST",
        "/2015-03-31/functions/f/invocations",
        "",
        false,
    ),
    ("lambda", "GET", "/2015-03-31/functions/{}", "", false),
    ("lambda", "GET", "/2015-03-31/functions", "Marker={}", false),
    ("sts", "POST", "/", "", false),
];

/// Every so many requests a new engine begins, so that neither its state nor its memory grows for
/// hours.
const REQUESTS: usize = 5_000;
/// A call may rightly wait longer, as StartSyncExecution; nobody waits for it here.
const PATIENCE: Duration = Duration::from_secs(1);

struct Server {
    address: SocketAddr,
    credentials: Credentials,
    connection: Option<TcpStream>,
    requests: usize,
    runtime: Option<Runtime>,
    _folder: tempfile::TempDir,
}

static SERVER: Mutex<Option<Server>> = Mutex::new(None);

impl Server {
    fn start() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let folder = folder.expect("a folder");
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (address, credentials) = runtime.block_on(async {
            let engine = Engine::open(folder.path()).await.expect("an engine");
            engine.objects().create_bucket("b").expect("a bucket");
            let address = engine.serve(0, CancellationToken::new()).await;
            (address.expect("a port"), engine.credentials().clone())
        });
        Self {
            address,
            credentials,
            connection: None,
            requests: 0,
            runtime: Some(runtime),
            _folder: folder,
        }
    }

    /// The answer; `None` when none comes in time.
    fn ask(&mut self, request: &Request<'_>) -> Option<Vec<u8>> {
        self.requests += 1;
        let bytes = request.signed(&self.address.to_string(), &self.credentials);
        // What a connection was closed after is no failure of the next request.
        for _ in 0..2 {
            let Ok(mut stream) = self.stream() else {
                continue;
            };
            match exchange(&mut stream, &bytes) {
                Ok((answer, goes_on)) => {
                    self.connection = goes_on.then_some(stream);
                    return Some(answer);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(_) => {}
            }
        }
        None
    }

    fn stream(&mut self) -> io::Result<TcpStream> {
        if let Some(stream) = self.connection.take() {
            return Ok(stream);
        }
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Executions may be under way.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Head and body of what comes back, and whether the connection can be used again.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<(Vec<u8>, bool)> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk)?;
        answer.extend_from_slice(&chunk[..read]);
        if read == 0 {
            return match answer.is_empty() {
                true => Err(ErrorKind::UnexpectedEof.into()),
                false => Ok((answer, false)),
            };
        }
        let Some(head) = answer.windows(4).position(|it| it == b"\r\n\r\n") else {
            continue;
        };
        let (text, body) = (
            String::from_utf8_lossy(&answer[..head]),
            answer.len() - head - 4,
        );
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.parse::<usize>().ok())?
        });
        // 204 and 304 have no body and need no length.
        let bare = text.starts_with("HTTP/1.1 204") || text.starts_with("HTTP/1.1 304");
        let ends = match length {
            Some(length) => body >= length,
            None => bare || answer.ends_with(b"0\r\n\r\n"),
        };
        if ends {
            let closes = text.to_ascii_lowercase().contains("connection: close");
            return Ok((answer, !closes));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte));
            }
            _ => _ = write!(text, "%{byte:02X}"),
        }
        text
    })
}

struct Request<'r> {
    method: &'r str,
    path: String,
    query: String,
    service: &'r str,
    headers: Vec<(&'static str, String)>,
    framed: bool,
    body: &'r [u8],
}

impl<'r> Request<'r> {
    fn chosen(choice: usize, body: &'r [u8]) -> Self {
        let call = |service, target: &str, operation: &str| Self {
            method: "POST",
            path: "/".to_owned(),
            query: String::new(),
            service,
            headers: vec![("x-amz-target", format!("{target}.{operation}"))],
            framed: false,
            body,
        };
        if let Some(operation) = STATES.get(choice) {
            return call("states", "AWSStepFunctions", operation);
        }
        if let Some(operation) = LOGS.get(choice - STATES.len()) {
            return call("logs", "Logs_20140328", operation);
        }
        let route = choice - STATES.len() - LOGS.len();
        let (service, method, path, query, framed) = ROUTES[route % ROUTES.len()];
        let text = percent_encoded(&body[..body.len().min(300)]);
        let headers: &[_] = match (service, framed) {
            ("sts", _) => &[("content-type", "application/x-www-form-urlencoded")],
            (_, true) => &[
                ("content-encoding", "aws-chunked"),
                ("x-amz-decoded-content-length", "5"),
                ("x-amz-trailer", "x-amz-checksum-crc32"),
            ],
            _ => &[],
        };
        Self {
            method,
            path: path.replace("{}", &text),
            query: query.replace("{}", &text),
            service,
            headers: headers
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            framed,
            body: if method == "GET" { &[] } else { body },
        }
    }

    /// The request's bytes, signed with Signature Version 4.
    fn signed(&self, host: &str, credentials: &Credentials) -> Vec<u8> {
        let now = SystemTime::now();
        let time = jiff::Timestamp::try_from(now).expect("a time of our days");
        let stamp = time.strftime("%Y%m%dT%H%M%SZ").to_string();
        let payload = match (self.service, self.framed) {
            ("s3", true) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
            ("s3", false) => "UNSIGNED-PAYLOAD".to_owned(),
            _ => hex(&Sha256::digest(self.body)),
        };
        let Self {
            method,
            path,
            query,
            service,
            body,
            ..
        } = self;
        let mut headers = self.headers.clone();
        headers.push(("host", host.to_owned()));
        headers.push(("x-amz-content-sha256", payload.clone()));
        headers.push(("x-amz-date", stamp.clone()));
        headers.sort_unstable();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines = |separator: &str, end: &str| {
            headers.iter().fold(String::new(), |lines, (name, value)| {
                lines + name + separator + value + end
            })
        };
        // All but S3 sign paths encoded once more.
        let signed_path = match *service {
            "s3" => path.clone(),
            _ => path.replace('%', "%25"),
        };
        let signed = lines(":", "\n");
        let canonical = format!("{method}\n{signed_path}\n{query}\n{signed}\n{names}\n{payload}");
        let scope = format!("{}/{REGION}/{service}/aws4_request", &stamp[..8]);
        let digest = hex(&Sha256::digest(&canonical));
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}");
        let Credentials {
            access_key,
            secret_key,
        } = credentials;
        let key = generate_signing_key(secret_key, now, REGION, service);
        let signature = calculate_signature(key, to_sign.as_bytes());
        let separator = if query.is_empty() { "" } else { "?" };
        let head = format!(
            "{method} {path}{separator}{query} HTTP/1.1\r\n{}authorization: AWS4-HMAC-SHA256 \
             Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}\r\n\
             content-length: {}\r\n\r\n",
            lines(": ", "\r\n"),
            body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((choice, body)) = data.split_first() else {
        return Corpus::Reject;
    };
    let choices = STATES.len() + LOGS.len() + ROUTES.len();
    // From the first printable character on, so that the seeds are text.
    let request = Request::chosen(usize::from(choice.wrapping_sub(b' ')) % choices, body);
    let mut server = SERVER.lock().expect("a panic ends the program");
    let worn = server
        .as_ref()
        .is_some_and(|server| server.requests >= REQUESTS);
    if worn {
        *server = None;
    }
    let server = server.get_or_insert_with(Server::start);
    if let Some(answer) = server.ask(&request) {
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 "), "{text}");
        for failure in [
            "InternalServerException",
            "InternalError",
            "InternalFailure",
            "ServiceUnavailableException",
            "SignatureDoesNotMatch",
            "InvalidSignature",
        ] {
            // What was sent may come back.
            let sent = String::from_utf8_lossy(body);
            assert!(!text.contains(failure) || sent.contains(failure), "{text}");
        }
    }
    Corpus::Keep
});
