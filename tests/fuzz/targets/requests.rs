//! Requests over the wire, well signed, with any body: a call of a JSON service or of S3, which the
//! first byte chooses. No answer may say that the engine failed.

#![no_main]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use fanout::engine::{Credentials, Engine};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// Operations with a JSON body: what target they are and what they are signed for.
const CALLS: [(&str, &str); 34] = [
    ("AWSStepFunctions.CreateStateMachine", "states"),
    ("AWSStepFunctions.UpdateStateMachine", "states"),
    ("AWSStepFunctions.DescribeStateMachine", "states"),
    ("AWSStepFunctions.ListStateMachines", "states"),
    ("AWSStepFunctions.DeleteStateMachine", "states"),
    ("AWSStepFunctions.ValidateStateMachineDefinition", "states"),
    ("AWSStepFunctions.TestState", "states"),
    ("AWSStepFunctions.StartExecution", "states"),
    ("AWSStepFunctions.StartSyncExecution", "states"),
    ("AWSStepFunctions.StopExecution", "states"),
    ("AWSStepFunctions.DescribeExecution", "states"),
    ("AWSStepFunctions.ListExecutions", "states"),
    ("AWSStepFunctions.GetExecutionHistory", "states"),
    ("AWSStepFunctions.RedriveExecution", "states"),
    ("AWSStepFunctions.DescribeMapRun", "states"),
    ("AWSStepFunctions.UpdateMapRun", "states"),
    ("AWSStepFunctions.SendTaskSuccess", "states"),
    ("AWSStepFunctions.SendTaskFailure", "states"),
    ("AWSStepFunctions.CreateActivity", "states"),
    ("AWSStepFunctions.PublishStateMachineVersion", "states"),
    ("AWSStepFunctions.CreateStateMachineAlias", "states"),
    ("AWSStepFunctions.UpdateStateMachineAlias", "states"),
    ("AWSStepFunctions.TagResource", "states"),
    ("AWSStepFunctions.UntagResource", "states"),
    ("AWSStepFunctions.ListTagsForResource", "states"),
    ("Logs_20140328.CreateLogGroup", "logs"),
    ("Logs_20140328.CreateLogStream", "logs"),
    ("Logs_20140328.PutLogEvents", "logs"),
    ("Logs_20140328.GetLogEvents", "logs"),
    ("Logs_20140328.FilterLogEvents", "logs"),
    ("Logs_20140328.DescribeLogGroups", "logs"),
    ("Logs_20140328.DescribeLogStreams", "logs"),
    ("Logs_20140328.DeleteLogGroup", "logs"),
    ("Logs_20140328.PutRetentionPolicy", "logs"),
];

/// Requests to S3: method, path, query in the order of its names, and whether the body is framed.
const OBJECTS: [(&str, &str, &str, bool); 14] = [
    ("POST", "/b", "delete=", false),
    ("POST", "/b/k", "uploadId=x", false),
    ("POST", "/b/k", "uploads=", false),
    ("PUT", "/b/k", "", false),
    ("PUT", "/b/k", "", true),
    ("PUT", "/b/k", "partNumber=1&uploadId=x", true),
    ("PUT", "/c", "", false),
    ("PUT", "/b", "versioning=", false),
    ("PUT", "/b/k", "tagging=", false),
    ("GET", "/b", "list-type=2&prefix={}", false),
    ("GET", "/b", "delimiter={}&list-type=2", false),
    ("GET", "/b", "continuation-token={}&list-type=2", false),
    ("GET", "/b", "marker={}", false),
    ("GET", "/b/{}", "", false),
];

struct Server {
    address: SocketAddr,
    credentials: Credentials,
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let memory = std::path::Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (address, credentials) = runtime.block_on(async {
        let engine = Engine::open(folder.path()).await.expect("an engine");
        engine.objects().create_bucket("b").expect("a bucket");
        let shutdown = CancellationToken::new();
        let address = engine.serve(0, shutdown).await.expect("a port");
        (address, engine.credentials().clone())
    });
    Server {
        address,
        credentials,
        _runtime: runtime,
        _folder: folder,
    }
});

static CONNECTION: Mutex<Option<TcpStream>> = Mutex::new(None);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// `20260131T120000Z`.
fn stamp(now: SystemTime) -> String {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 1970 to a date (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

struct Wanted<'w> {
    method: &'w str,
    path: String,
    query: String,
    service: &'w str,
    target: Option<&'w str>,
    framed: bool,
    body: &'w [u8],
}

/// The request's bytes, signed with Signature Version 4.
fn signed(wanted: &Wanted<'_>) -> Vec<u8> {
    let now = SystemTime::now();
    let stamp = stamp(now);
    let date = &stamp[..8];
    let payload = match (wanted.service, wanted.framed) {
        ("s3", true) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
        ("s3", false) => "UNSIGNED-PAYLOAD".to_owned(),
        _ => hex(&Sha256::digest(wanted.body)),
    };
    let host = SERVER.address.to_string();
    let Wanted { method, path, query, .. } = wanted;
    let headers = format!("host:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{stamp}\n");
    let names = "host;x-amz-content-sha256;x-amz-date";
    let canonical = format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{payload}");
    let scope = format!("{date}/us-east-1/{}/aws4_request", wanted.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
    let Credentials { access_key, secret_key } = &SERVER.credentials;
    let key = generate_signing_key(secret_key, now, "us-east-1", wanted.service);
    let signature = calculate_signature(key, to_sign.as_bytes());
    let mut request = format!(
        "{method} {path}{}{query} HTTP/1.1\r\nhost: {host}\r\nx-amz-date: {stamp}\r\nx-amz-content-sha256: {payload}\r\nauthorization: AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}\r\ncontent-length: {}\r\n",
        if query.is_empty() { "" } else { "?" },
        wanted.body.len()
    );
    if let Some(target) = wanted.target {
        let _ = write!(request, "x-amz-target: {target}\r\ncontent-type: application/x-amz-json-1.0\r\n");
    }
    if wanted.framed {
        request.push_str("content-encoding: aws-chunked\r\nx-amz-decoded-content-length: 5\r\nx-amz-trailer: x-amz-checksum-crc32\r\n");
    }
    request.push_str("\r\n");
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(wanted.body);
    bytes
}

/// What comes back at once; `None` when nothing does, as from a call that waits.
fn ask(request: &[u8]) -> Option<Vec<u8>> {
    let mut connection = CONNECTION.lock().expect("no panic in here");
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(SERVER.address).ok()?;
            stream.set_nodelay(true).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
            stream
        }
    };
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).ok()?;
        if read == 0 {
            return Some(answer);
        }
        answer.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        let body = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_default() + 4;
        match length {
            Some(length) if answer.len() >= body + length => {
                *connection = Some(stream);
                return Some(answer);
            }
            Some(_) => {}
            // In chunks: up to the last one.
            None if answer.ends_with(b"0\r\n\r\n") => {
                *connection = Some(stream);
                return Some(answer);
            }
            None => {}
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let choice = usize::from(*choice) % (CALLS.len() + OBJECTS.len());
    let wanted = match CALLS.get(choice) {
        Some((target, service)) => Wanted {
            method: "POST",
            path: "/".to_owned(),
            query: String::new(),
            service,
            target: Some(target),
            framed: false,
            body,
        },
        None => {
            let (method, path, query, framed) = OBJECTS[choice - CALLS.len()];
            let text = encoded(&body[..body.len().min(300)]);
            Wanted {
                method,
                path: path.replace("{}", &text),
                query: query.replace("{}", &text),
                service: "s3",
                target: None,
                framed,
                body: if method == "GET" { &[] } else { body },
            }
        }
    };
    if let Some(answer) = ask(&signed(&wanted)) {
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 "), "{text}");
        for failure in ["InternalServerException", "InternalError", "InternalFailure"] {
            assert!(!text.contains(failure), "{text}");
        }
        assert!(!text.contains("SignatureDoesNotMatch") && !text.contains("InvalidSignature"), "{text}");
    }
});
