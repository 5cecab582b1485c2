//! The same engine asked by boto3 and by the `aws` command, where they are: another SDK signs,
//! encodes and reads in its own way.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::wired::House;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/conformance/sdk.py");
/// The boto3 that the cases were written for, where it has to be installed.
const BOTO3: &str = "boto3==1.43.11";

fn has_boto3(python: &Path) -> bool {
    let probe = Command::new(python).args(["-c", "import boto3"]).output();
    probe.is_ok_and(|probe| probe.status.success())
}

/// A Python with boto3: the machine's, or one in a virtual environment kept under `target`.
fn python() -> Option<PathBuf> {
    let system = PathBuf::from("python3");
    if has_boto3(&system) {
        return Some(system);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boto3");
    let python = folder.join("bin/python3");
    if has_boto3(&python) {
        return Some(python);
    }
    let made = Command::new(&system)
        .args(["-m", "venv"])
        .arg(&folder)
        .output();
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--timeout",
        "10",
        "--retries",
        "0",
        BOTO3,
    ];
    let installed = made
        .is_ok_and(|made| made.status.success())
        .then(|| Command::new(&python).args(pip).output());
    installed?
        .ok()
        .filter(|installed| installed.status.success())
        .map(|_| python)
}

async fn run(house: &House, mut command: Command) -> (bool, String) {
    let keys = house.engine.credentials();
    command
        .env("AWS_ACCESS_KEY_ID", &keys.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &keys.secret_key)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_PAGER", "")
        .env_remove("AWS_PROFILE");
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap();
    let output = output.unwrap();
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.success(), text.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_starts_fails_redrives_and_reads() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: no python3 with boto3, and it cannot be installed");
        return;
    };
    let house = House::new().await;
    let mut command = Command::new(python);
    command.args([SCRIPT, &house.url]);
    let (succeeded, text) = run(&house, command).await;
    assert!(succeeded, "{text}");
    eprintln!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_command_is_answered() {
    if Command::new("aws").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no aws command");
        return;
    }
    let house = House::new().await;
    // Arguments, and what the answer has in it.
    let cases: [(&[&str], &str); 3] = [
        (&["stepfunctions", "list-state-machines"], "stateMachines"),
        (&["s3api", "list-buckets"], "data"),
        (&["sts", "get-caller-identity"], "000000000000"),
    ];
    for (arguments, expected) in cases {
        let mut command = Command::new("aws");
        command
            .args(["--endpoint-url", &house.url, "--output", "json"])
            .args(arguments);
        let (succeeded, text) = run(&house, command).await;
        assert!(
            succeeded && text.contains(expected),
            "{arguments:?}: {text}"
        );
    }
}
