//! Throttling, delayed answers and injected faults, as a client of the engine meets them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_sdk_sfn::error::ProvideErrorMetadata;
use fanout::engine::Engine;
use fanout::engine::switches::{Switches, Throttle};

use crate::house::{Given, fanout};
use crate::wire::{Wire, wire};
use crate::wired::{ROLE, serve};

/// A client would try again by itself what these tests want to see.
async fn code_of_list(wire: &Wire) -> Option<String> {
    let client = wire.sfn.config().to_builder();
    let never = aws_sdk_sfn::config::retry::RetryConfig::disabled();
    let client = aws_sdk_sfn::Client::from_conf(client.retry_config(never).build());
    let listed = client.list_state_machines().send().await;
    listed
        .err()
        .and_then(|error| error.code().map(str::to_owned))
}

#[tokio::test]
async fn an_empty_bucket_answers_as_aws_does() {
    let wire = wire().await;
    wire.engine.runner().set_switches(Switches {
        throttle: Throttle::SmallRegion,
        ..Switches::default()
    });
    let mut passed = 0;
    let refused = loop {
        match code_of_list(&wire).await {
            None => passed += 1,
            Some(code) => break code,
        }
    };
    assert_eq!(refused, "ThrottlingException");
    assert!(passed >= 100, "{passed}");
    let clock = wire.engine.runner().clock();
    clock.advance(Duration::from_secs(1));
    assert_eq!(code_of_list(&wire).await, None);
}

#[tokio::test]
async fn a_fault_is_met_until_it_is_switched_off() {
    let wire = wire().await;
    let runner = wire.engine.runner();
    runner.set_switches(Switches {
        faults: vec!["ListStateMachines=InternalServerException".parse().unwrap()],
        ..Switches::default()
    });
    let code = code_of_list(&wire).await;
    assert_eq!(code.as_deref(), Some("InternalServerException"));
    runner.set_switches(Switches::default());
    assert_eq!(code_of_list(&wire).await, None);
}

#[tokio::test]
async fn descriptions_are_as_old_as_was_asked_for() {
    let wire = wire().await;
    let delay = Duration::from_mins(10);
    wire.engine.runner().set_switches(Switches {
        delay,
        ..Switches::default()
    });
    let pass = r#"{"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}"#;
    let create = wire.sfn.create_state_machine().name("m").definition(pass);
    let create = create.role_arn("arn:aws:iam::000000000000:role/r");
    let machine = create.send().await.unwrap().state_machine_arn;
    let start = wire.sfn.start_execution().state_machine_arn(&machine);
    let execution = start.send().await.unwrap().execution_arn;
    let describe = || wire.sfn.describe_execution().execution_arn(&execution);
    let error = describe().send().await.unwrap_err();
    assert_eq!(error.code(), Some("ExecutionDoesNotExist"));
    let listed = wire.sfn.list_state_machines().send().await.unwrap();
    assert!(listed.state_machines().is_empty());
    // Histories are not old.
    let history = wire.sfn.get_execution_history().execution_arn(&execution);
    assert!(!history.send().await.unwrap().events().is_empty());
    wire.engine.runner().clock().advance(delay);
    assert!(describe().send().await.is_ok());
    let listed = wire.sfn.list_state_machines().send().await.unwrap();
    assert_eq!(listed.state_machines().len(), 1);
}

/// The program itself, asking an engine in this process; `folder` is its home.
fn asking(engine: &Engine, url: &str, folder: &Path) -> Command {
    let keys = engine.credentials();
    let mut command = fanout(folder);
    command
        .env("AWS_ACCESS_KEY_ID", &keys.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &keys.secret_key)
        .args(["--endpoint-url", url, "--region", "us-east-1"]);
    command
}

/// An execution that has ended, and one that goes on; their ARNs.
async fn two_runs(sfn: &aws_sdk_sfn::Client) -> [String; 2] {
    let definition = serde_json::json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Default": "P",
            "Choices": [{"Variable": "$.wait", "BooleanEquals": true, "Next": "W"}]},
        "W": {"Type": "Wait", "Seconds": 999_999, "End": true},
        "P": {"Type": "Pass", "End": true}}});
    let create = sfn.create_state_machine().name("m").role_arn(ROLE);
    let created = create.definition(definition.to_string()).send().await;
    let machine = created.unwrap().state_machine_arn;
    let mut arns = [String::new(), String::new()];
    for (arn, waits) in arns.iter_mut().zip([false, true]) {
        let input = serde_json::json!({"wait": waits}).to_string();
        let start = sfn.start_execution().state_machine_arn(&machine);
        *arn = start.input(input).send().await.unwrap().execution_arn;
    }
    arns
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_outlasts_throttling_that_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(&folder.path().join("engine")).await.unwrap();
    let served = serve(&engine).await;
    let [ended, _] = two_runs(&aws_sdk_sfn::Client::new(&served.config)).await;
    engine.runner().set_switches(Switches {
        faults: vec!["DescribeExecution=ThrottlingException".parse().unwrap()],
        ..Switches::default()
    });
    let mut waiting = asking(&engine, &served.url, folder.path())
        .args(["wait", &ended, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let told = tokio::task::spawn_blocking(move || {
        let mut said = said.map_while(Result::ok);
        let slowed = said.find(|line| line.contains("slowed by AWS"));
        (slowed, said)
    });
    let (slowed, rest) = told.await.unwrap();
    let slowed = slowed.expect("it says that it is slowed");
    assert!(slowed.contains("still trying"), "{slowed}");
    engine.runner().set_switches(Switches::default());
    let done = tokio::task::spawn_blocking(move || {
        let rest: Vec<String> = rest.collect();
        (rest, waiting.wait_with_output().unwrap())
    });
    let (rest, done) = done.await.unwrap();
    assert_eq!(done.status.code(), Some(0), "{rest:?}");
    let answer: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(answer["runs"][0]["status"], "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_that_is_not_allowed_prints_the_statement_that_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(&folder.path().join("engine")).await.unwrap();
    let served = serve(&engine).await;
    let [ended, open] = two_runs(&aws_sdk_sfn::Client::new(&served.config)).await;
    for (operation, verb, resource) in [
        ("ListStateMachines", vec!["machines"], "*"),
        (
            "ListExecutions",
            vec!["runs", "--machine", "m"],
            ":stateMachine:m",
        ),
        (
            "DescribeStateMachine",
            vec!["check", "m"],
            ":stateMachine:m",
        ),
        ("DescribeExecution", vec!["wait", &ended], ":execution:m:"),
        ("ListMapRuns", vec!["failures", &ended], ":execution:m:"),
        (
            "StopExecution",
            vec!["stop", &open, "--yes"],
            ":execution:m:",
        ),
    ] {
        let fault = format!("{operation}=AccessDeniedException");
        engine.runner().set_switches(Switches {
            faults: vec![fault.parse().unwrap()],
            ..Switches::default()
        });
        let mut command = asking(&engine, &served.url, folder.path());
        command.args(verb);
        let asked = tokio::task::spawn_blocking(move || command.output().unwrap());
        let given = Given(asked.await.unwrap()).exit(5);
        let said = given.stderr();
        let statement = said.split_once("policies: ").map(|(_, it)| it.trim());
        let statement: serde_json::Value = serde_json::from_str(statement.expect(&said)).unwrap();
        assert_eq!(statement["Action"][0], format!("states:{operation}"));
        let on = statement["Resource"][0].as_str().unwrap();
        assert!(on.contains(resource), "{operation}: {statement}");
    }
}
