//! Targets in a real terminal: a sign-in that ends in the middle, another Region, and coming back.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use portable_pty::CommandBuilder;

use super::{Terminal, command};

const EXPIRED: &str = r#"{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}"#;
const MACHINES: &str = r#"{"stateMachines":[{"stateMachineArn":"arn:aws:states:eu-west-1:472100009012:stateMachine:fanout","name":"fanout","type":"STANDARD","creationDate":1}]}"#;
const EXECUTIONS: &str = r#"{"executions":[{"executionArn":"arn:aws:states:eu-west-1:472100009012:execution:fanout:invoices-1","stateMachineArn":"arn:aws:states:eu-west-1:472100009012:stateMachine:fanout","name":"invoices-1","status":"RUNNING","startDate":1763900000}]}"#;
const EXECUTION: &str = r#"{"executionArn":"arn:aws:states:eu-west-1:472100009012:execution:fanout:invoices-1","stateMachineArn":"arn:aws:states:eu-west-1:472100009012:stateMachine:fanout","name":"invoices-1","status":"RUNNING","startDate":1763900000,"input":"{}"}"#;
const IDENTITY: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::472100009012:assumed-role/DataOps/me</Arn><UserId>A:me</UserId><Account>472100009012</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"#;

/// An endpoint that knows one run, and answers only while a file says that somebody is signed in.
fn service(signed_in: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let signed_in = signed_in.clone();
            std::thread::spawn(move || while answer(&stream, &signed_in).is_some() {});
        }
    });
    format!("http://{address}")
}

/// Answers one request; `None` when the other side is gone.
fn answer(mut stream: &TcpStream, signed_in: &Path) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut target = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "x-amz-target" => value.trim().clone_into(&mut target),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let action = target.rsplit('.').next().unwrap_or_default();
    let (status, answer) = match action {
        _ if !signed_in.exists() => ("400 Bad Request", EXPIRED),
        "ListStateMachines" => ("200 OK", MACHINES),
        "ListExecutions" => ("200 OK", EXECUTIONS),
        "DescribeExecution" => ("200 OK", EXECUTION),
        "ListMapRuns" => ("200 OK", r#"{"mapRuns":[]}"#),
        "" => ("200 OK", IDENTITY),
        _ => (
            "400 Bad Request",
            r#"{"__type":"UnknownOperationException"}"#,
        ),
    };
    let length = answer.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(answer.as_bytes()).ok()
}

/// A home with a profile, and a program `aws` that signs in by making the file.
fn home(signed_in: &Path) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let config = "[profile work]\nregion = eu-west-1\nsso_session = corp\nsso_account_id = 472100009012\n\
        sso_role_name = DataOps\n[sso-session corp]\nsso_start_url = https://localhost\nsso_region = eu-west-1\n";
    fs::create_dir(home.path().join(".aws")).unwrap();
    fs::write(home.path().join(".aws/config"), config).unwrap();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"signing in: $*\"\n: > '{}'\n",
        signed_in.display()
    );
    let program = bin.join("aws");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    home
}

fn dashboard(home: &Path, endpoint: &str) -> CommandBuilder {
    let mut fanout = command(home, env!("CARGO_BIN_EXE_fanout"), &[]);
    let path = std::env::var("PATH").unwrap_or_default();
    fanout.env("PATH", format!("{}:{path}", home.join("bin").display()));
    fanout.env("AWS_PROFILE", "work");
    fanout.env("AWS_ACCESS_KEY_ID", "key");
    fanout.env("AWS_SECRET_ACCESS_KEY", "secret");
    fanout.env("AWS_ENDPOINT_URL", endpoint);
    fanout
}

#[test]
fn a_sign_in_that_ends_is_renewed_in_place_and_all_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let signed_in = folder.path().join("signed-in");
    fs::write(&signed_in, "").unwrap();
    let endpoint = service(signed_in.clone());
    let home = home(&signed_in);
    let mut terminal = Terminal::spawn(dashboard(home.path(), &endpoint), 120, 36);
    terminal.wait("invoices-1");
    terminal.wait("work 472100009012");
    fs::remove_file(&signed_in).unwrap();
    // Asks for everything again at once.
    terminal.press("\x12");
    terminal.wait("Sign in again: work");
    terminal.wait("aws sso login --profile work");
    assert!(
        terminal.text().contains("invoices-1"),
        "{}",
        terminal.text()
    );
    terminal.press("l");
    terminal.wait("signed in again, going on");
    let raw = String::from_utf8_lossy(&terminal.raw).into_owned();
    let told = "signing in: sso login --profile work";
    assert!(raw.contains(told), "{raw:?}");
    terminal.press("\x03");
    assert_eq!(terminal.ended(), 0);
    terminal.is_restored();
}

#[test]
fn another_region_is_gone_to_and_the_next_visit_goes_on_there() {
    let folder = tempfile::tempdir().unwrap();
    let signed_in = folder.path().join("signed-in");
    fs::write(&signed_in, "").unwrap();
    let endpoint = service(signed_in.clone());
    let home = home(&signed_in);
    let mut terminal = Terminal::spawn(dashboard(home.path(), &endpoint), 120, 36);
    terminal.wait("invoices-1");
    terminal.press("/inv\r");
    terminal.wait("/inv");
    terminal.press("R");
    terminal.wait("Go to another Region");
    terminal.press("frankfurt\r");
    terminal.wait("this is the profile in force in eu-central-1");
    terminal.wait("eu-central-1");
    terminal.wait("invoices-1");
    terminal.press("\x03");
    assert_eq!(terminal.ended(), 0);
    terminal.is_restored();
    // The filter belongs to the first Region, and was remembered when it was left.
    let mut again = Terminal::spawn(dashboard(home.path(), &endpoint), 120, 36);
    again.wait("1 of 1  /inv");
    again.press("\x03");
    assert_eq!(again.ended(), 0);
}
