//! Programs made for Lambda, unmodified, as functions of the engine: our own `bootstrap`, a Python
//! handler under `awslambdaric`, a Node handler under `aws-lambda-ric`. The clients are installed
//! once, with fixed versions, below the target folder; where a tool or a registry is missing, the
//! test says so and passes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use fanout::engine::Engine;
use fanout::engine::functions::{Call, Failed, Payload, Program, Settings, Source};

use crate::house::{Lookup, Serving, lines_of};

/// Where tools are installed once: beside the programs of this build.
fn tools(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_fanout")).parent().unwrap();
    target.parent().unwrap().join("runtimes").join(name)
}

/// Runs a command in a folder; why it failed.
fn run(folder: &Path, command: &[&str]) -> Result<(), String> {
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", command[0]))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{}: {}",
            command.join(" "),
            last.unwrap_or("failed")
        )),
    }
}

/// Installs into a folder once; `None`, and a line that says why, where that does not go.
fn installed(name: &str, commands: &[&[&str]]) -> Option<PathBuf> {
    let folder = tools(name);
    std::fs::create_dir_all(&folder).unwrap();
    // Several tests want the same, each perhaps in a process of its own.
    let lock = std::fs::File::create(folder.join("..").join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let done = folder.join("installed");
    if done.exists() {
        return Some(folder);
    }
    // What an installation that broke off has left.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for command in commands {
        if let Err(problem) = run(&folder, command) {
            // Past the harness, which shows what is printed only of tests that fail.
            let mut stderr = std::io::stderr();
            writeln!(
                stderr,
                "SKIPPED: {name} cannot be installed here: {problem}"
            )
            .unwrap();
            return None;
        }
    }
    std::fs::write(done, "").unwrap();
    Some(folder)
}

fn python() -> Option<PathBuf> {
    let pip = "./venv/bin/pip";
    let folder = installed(
        "python-awslambdaric-4.2.2",
        &[
            &["python3", "-m", "venv", "venv"],
            &[
                pip,
                "install",
                "--quiet",
                "awslambdaric==4.2.2",
                "boto3==1.44.5",
            ],
        ],
    )?;
    Some(folder.join("venv/bin/python"))
}

/// The client's native part is compiled: that wants cmake and autotools.
fn node() -> Option<PathBuf> {
    let folder = installed(
        "node-aws-lambda-ric-3.3.0",
        &[
            &["cmake", "--version"],
            &["autoreconf", "--version"],
            &["npm", "init", "--yes"],
            &[
                "npm",
                "install",
                "--no-audit",
                "--no-fund",
                "aws-lambda-ric@3.3.0",
            ],
            &[
                "node",
                "-e",
                // It asks for the variable as soon as it is loaded.
                "process.env.AWS_LAMBDA_RUNTIME_API = '127.0.0.1:9';
                require('./node_modules/aws-lambda-ric/dist/rapid-client.node')",
            ],
        ],
    )?;
    Some(folder.join("node_modules/.bin/aws-lambda-ric"))
}

struct House {
    engine: Engine,
    url: String,
    folder: tempfile::TempDir,
    _shutdown: tokio_util::sync::DropGuard,
}

impl House {
    /// An engine with function `lines`, run by that command beside `file`.
    async fn new(command: Vec<String>, file: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), text).unwrap();
        let engine = Engine::open(&folder.path().join("engine")).await.unwrap();
        let program = Program {
            command,
            folder: folder.path().to_owned(),
            handler: "app.handler".to_owned(),
            memory: 512,
            instances: 2,
            environment: [].into(),
        };
        let settings = Settings {
            source: Source::Command(program),
            timeout: Duration::from_secs(30),
            reserved: None,
        };
        engine.functions().register_external("lines", settings);
        let shutdown = CancellationToken::new();
        let address = engine.serve(0, shutdown.clone()).await.unwrap();
        Self {
            engine,
            url: format!("http://{address}"),
            folder,
            _shutdown: shutdown.drop_guard(),
        }
    }

    /// What the function gave, the request id, and the last lines of its log.
    async fn call(&self, event: Value) -> (Result<Value, Failed>, String, String) {
        let mut call = Call::new(Payload::Value(event));
        call.wants_log = true;
        let request = call.request.clone();
        let answer = self.engine.functions().invoke("lines", call).await.unwrap();
        let log = String::from_utf8(answer.log).unwrap();
        (answer.result.map(Payload::into_value), request, log)
    }

    /// What every runtime interface client must do with the handlers beside this file.
    async fn check(&self, error: &str) -> Value {
        let (result, request, log) = self.call(json!({"n": 7})).await;
        let first = result.unwrap_or_else(|failed| panic!("{failed:?}: {log}"));
        assert_eq!(
            (&first["n"], &first["request"]),
            (&json!(7), &json!(request))
        );
        let left = first["left"].as_u64().unwrap();
        assert!((1..=30_000).contains(&left), "{left}");
        assert!(
            log.contains(&format!("START RequestId: {request} Version: $LATEST\n")),
            "{log}"
        );
        assert!(log.contains("line 7"), "{log}");
        assert!(log.contains("Init Duration: "), "{log}");

        let (result, request, log) = self.call(json!({"n": 8, "bad": true})).await;
        let failed = result.unwrap_err();
        assert_eq!(failed.error_type, error);
        let cause: Value = serde_json::from_slice(&failed.payload).unwrap();
        assert_eq!(cause["errorMessage"], "bad row");
        assert!(
            log.contains(&format!("END RequestId: {request}\n")),
            "{log}"
        );

        // The same instance, with the same log stream.
        let (again, _, log) = self.call(json!({"n": 9})).await;
        assert_eq!(again.unwrap()["stream"], first["stream"], "{log}");
        cause
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_handler_runs_under_its_own_client() {
    let Some(python) = python() else { return };
    let command = [
        python.to_str().unwrap(),
        "-m",
        "awslambdaric",
        "app.handler",
    ];
    let command = command.map(str::to_owned).into();
    let house = House::new(command, "app.py", include_str!("functions/app.py")).await;
    let cause = house.check("ValueError").await;
    assert!(cause["requestId"].is_string());
    assert!(
        cause["stackTrace"][0]
            .as_str()
            .unwrap()
            .contains("raise ValueError")
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "its client's native part is compiled for minutes: cargo test --test it node -- --ignored"]
async fn a_node_handler_runs_under_its_own_client() {
    let Some(client) = node() else { return };
    let command = vec![
        client.to_str().unwrap().to_owned(),
        "app.handler".to_owned(),
    ];
    let house = House::new(command, "app.js", include_str!("functions/app.js")).await;
    let cause = house.check("RangeError").await;
    assert!(
        cause["trace"][0]
            .as_str()
            .unwrap()
            .contains("RangeError: bad row")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_invokes_and_describes_functions() {
    let Some(python) = python() else { return };
    let command = [
        python.to_str().unwrap(),
        "-m",
        "awslambdaric",
        "app.handler",
    ];
    let command = command.map(str::to_owned).into();
    let house = House::new(command, "app.py", include_str!("functions/app.py")).await;
    let script = house.folder.path().join("ask.py");
    std::fs::write(&script, include_str!("functions/ask.py")).unwrap();
    let credentials = house.engine.credentials().clone();
    let asking = tokio::process::Command::new(&python)
        .arg(&script)
        .env_clear()
        .env("AWS_ENDPOINT_URL", &house.url)
        .env("AWS_ACCESS_KEY_ID", credentials.access_key)
        .env("AWS_SECRET_ACCESS_KEY", credentials.secret_key)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output();
    let asked = asking.await.unwrap();
    let seen: Value = serde_json::from_slice(&asked.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&asked.stderr)));
    assert_eq!(
        (&seen["status"], &seen["version"]),
        (&json!(200), &json!("$LATEST"))
    );
    assert_eq!(seen["payload"]["n"], 1);
    assert!(seen["log"].as_str().unwrap().contains("line 1"), "{seen}");
    assert_eq!(seen["error"], "Unhandled");
    assert_eq!(seen["cause"]["errorType"], "ValueError");
    assert_eq!(seen["cause"]["requestId"], seen["request"]);
    assert_eq!((&seen["event"], &seen["dry"]), (&json!(202), &json!(204)));
    assert_eq!(seen["listed"], json!(["lines"]));
    assert_eq!(seen["memory"], 512);
    assert_eq!(seen["missing"], "ResourceNotFoundException");
    assert_eq!(seen["unsupported"], "UnknownOperationException");
    assert_eq!(seen["not json"], "InvalidRequestContentException");
}

#[test]
#[cfg_attr(
    not(feature = "lambda"),
    ignore = "needs the Lambda program: cargo test --features lambda --test it lambda_program"
)]
fn our_lambda_program_runs_the_whole_workflow_as_commands() {
    let bootstrap = Path::new(env!("CARGO_BIN_EXE_fanout")).with_file_name("bootstrap");
    runs_the_workflow(&bootstrap);
}

#[test]
#[ignore = "needs the archive: .ci/bootstrap, then cargo test --test it packaged -- --ignored"]
fn our_lambda_program_runs_as_it_is_packaged() {
    let target = Path::new(env!("CARGO_BIN_EXE_fanout")).parent().unwrap();
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let archive = target
        .parent()
        .unwrap()
        .join(format!("lambda/bootstrap-{architecture}.zip"));
    let folder = tempfile::tempdir().unwrap();
    // As Lambda does: every entry with the mode that the archive has for it.
    let unpack = "import os, sys, zipfile\n\
        archive = zipfile.ZipFile(sys.argv[1])\n\
        for entry in archive.infolist():\n    \
            os.chmod(archive.extract(entry), entry.external_attr >> 16)\n";
    let archive = archive.to_str().unwrap();
    run(folder.path(), &["python3", "-c", unpack, archive]).unwrap();
    let serving = runs_the_workflow(&folder.path().join("bootstrap"));
    let logs = serving.fanout(&["logs", "last"]).success().stdout();
    let begun = "Init Duration: ";
    assert!(logs.contains(begun), "{logs}");
    for line in logs.lines().filter(|line| line.contains(begun)) {
        println!("{line}");
    }
}

/// The shipped workflow, its functions run by this program; the engine that ran it.
fn runs_the_workflow(bootstrap: &Path) -> Serving {
    let settings: String = ["preprocess", "worker", "postprocess"]
        .map(|name| {
            let command = bootstrap.display();
            format!(
                "[functions.fanout-{name}]\ncommand = [\"{command}\"]\nhandler = \"fanout-{name}\"\ntimeout = 60\nmemory = 512\n"
            )
        })
        .concat();
    let service = Lookup::start();
    let serving = Serving::with_settings(&settings);
    let status = serving.fanout(&["local", "status"]).success().stdout();
    let shown = format!("function fanout-worker: {}\n", bootstrap.display());
    assert!(status.contains(&shown), "{status}");

    let lines = serving.folder().join("lines.txt");
    std::fs::write(&lines, "one\ntwo\nbad\nfour\n").unwrap();
    let input = json!({"request": {"url": format!("{}/{{line}}", service.url())}, "tolerate": 50});
    let started = serving.fanout(&[
        "start",
        "lines.txt",
        "--input",
        &input.to_string(),
        "--yes",
        "--wait",
        "--json",
    ]);
    assert!(
        service.requests() >= 4,
        "{} {}",
        started.stdout(),
        started.stderr()
    );
    serving
        .fanout(&["outputs", "get", "last", "--to", "out"])
        .success();
    let files = std::fs::read_dir(serving.folder().join("out")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|it| it.unwrap().path()).collect();
    files.sort();
    let all: Vec<String> = files.iter().flat_map(|it| lines_of(it)).collect();
    let all = all.join("\n");
    for line in ["one", "two", "four", "Worker.Rejected"] {
        assert!(all.contains(line), "{line} is not in {all}");
    }
    serving
}
