//! The real program killed in the middle of runs: what it serves afterwards is complete.

use std::path::Path;
use std::time::Duration;

use aws_sdk_sfn::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sfn::types::ExecutionStatus;
use fanout::engine::Engine;
use fanout::engine::api::sfn;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::house::{Lookup, Serving, lines_of};

const LINES: usize = 3_000;
/// Every so many lines is one that the service refuses until it is repaired.
const BAD: usize = 50;

/// Kills and restarts the engine, each time after some more requests.
fn kill_on_the_way(serving: &mut Serving, lookup: &Lookup, times: usize) {
    for _ in 0..times {
        lookup.wait_for_requests(lookup.requests() + 250);
        serving.kill();
        serving.restart();
    }
}

#[test]
fn a_killed_engine_goes_on_is_redriven_and_gives_every_line_once_and_in_order() {
    let mut serving = Serving::start();
    let lookup = Lookup::start();
    let file = serving.folder().join("words.txt");
    let word = |n: usize| {
        if n.is_multiple_of(BAD) {
            format!("bad {n}")
        } else {
            format!("word {n}")
        }
    };
    let lines: Vec<String> = (1..=LINES).map(word).collect();
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let input = serde_json::json!({
        "request": {"url": format!("{}/{{line}}", lookup.url())},
        "output": {"line": "{line},{response}"},
        "concurrency": 50,
        "tolerate": 1,
    });
    let file = file.to_str().unwrap();
    let start = [
        "start",
        file,
        "--name",
        "killed",
        "--input",
        &input.to_string(),
        "--yes",
    ];
    serving.fanout(&start).success();
    kill_on_the_way(&mut serving, &lookup, 3);
    serving.fanout(&["wait", "killed"]).exit(1);

    lookup.repair();
    serving.fanout(&["redrive", "killed", "--yes"]).success();
    kill_on_the_way(&mut serving, &lookup, 3);
    serving.fanout(&["wait", "killed"]).success();

    let target = serving.folder().join("out.csv");
    serving
        .fanout(&["outputs", "get", "killed", "--to", target.to_str().unwrap()])
        .success();
    let expected: Vec<String> = lines.iter().map(|line| format!("{line},ok")).collect();
    assert_eq!(lines_of(&target), expected);
    let runs = serving.fanout(&["runs", "--json"]).json();
    let items = &runs["runs"][0]["map_run"]["items"];
    assert_eq!(
        (items["succeeded"].as_u64(), items["failed"].as_u64()),
        (Some(LINES as u64), Some(0)),
        "{runs}"
    );
}

#[test]
fn an_engine_that_comes_back_is_found_where_it_was() {
    let mut serving = Serving::start();
    let endpoint = |serving: &Serving| {
        let text = std::fs::read_to_string(serving.data().join("engine.json")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["url"].clone()
    };
    let before = endpoint(&serving);
    serving.kill();
    serving.restart();
    assert_eq!(endpoint(&serving), before);
}

/// Lines of a run that is killed at random, and kills in each of its two halves.
const SHORT: usize = 600;
const KILLS_A_HALF: usize = 5;

#[expect(
    clippy::disallowed_methods,
    reason = "nothing is waited for: the moment of the kill is the point"
)]
fn kill_at_random(serving: &mut Serving, random: &mut StdRng, times: usize) {
    for _ in 0..times {
        std::thread::sleep(Duration::from_millis(random.random_range(0..400)));
        serving.kill();
        if random.random_ratio(1, 5) {
            serving.restart_and_kill(Duration::from_millis(random.random_range(0..150)));
        }
        serving.restart();
    }
}

/// How many kills, and the seed of their moments: `FANOUT_KILLS=100 FANOUT_SEED=…`.
fn wanted() -> (usize, u64) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let kills = number("FANOUT_KILLS").map_or(4, |kills| kills as usize);
    (kills, number("FANOUT_SEED").unwrap_or_else(rand::random))
}

/// Runs that fail, are repaired and redriven, and write their results, with kills all the while.
#[test]
fn killed_at_any_moment_the_engine_loses_nothing_and_doubles_nothing() {
    let (kills, seed) = wanted();
    println!("{kills} kills, FANOUT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut serving = Serving::start();
    let mut left = kills;
    let mut runs = 0;
    while left > 0 {
        runs += 1;
        let first = left.min(KILLS_A_HALF);
        let second = (left - first).min(KILLS_A_HALF);
        left -= first + second;
        killed_run(&mut serving, &mut random, runs, (first, second));
        println!("{runs} runs, {left} kills to go");
    }
    serving.kill();
    check_histories(&serving.data(), runs);
}

fn killed_run(serving: &mut Serving, random: &mut StdRng, run: usize, kills: (usize, usize)) {
    let lookup = Lookup::start();
    let name = format!("killed-{run}");
    let file = serving.folder().join(format!("{name}.txt"));
    let word = |n: usize| match n.is_multiple_of(BAD) {
        true => format!("bad {n}"),
        false => format!("word {n}"),
    };
    let lines: Vec<String> = (1..=SHORT).map(word).collect();
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let input = json!({
        "request": {"url": format!("{}/{{line}}", lookup.url())},
        "output": {"line": "{line},{response}"},
        "concurrency": 20,
        "tolerate": 1,
    });
    let file = file.to_str().unwrap();
    let input = input.to_string();
    let start = ["start", file, "--name", &name, "--input", &input, "--yes"];
    serving.fanout(&start).success();
    kill_at_random(serving, random, kills.0);
    serving.fanout(&["wait", &name]).exit(1);

    lookup.repair();
    serving.fanout(&["redrive", &name, "--yes"]).success();
    kill_at_random(serving, random, kills.1);
    serving.fanout(&["wait", &name]).success();

    let target = serving.folder().join(format!("{name}.csv"));
    let get = ["outputs", "get", &name, "--to", target.to_str().unwrap()];
    serving.fanout(&get).success();
    let expected: Vec<String> = lines.iter().map(|line| format!("{line},ok")).collect();
    assert_eq!(lines_of(&target), expected, "{name}");
}

/// Histories without gaps or doubles, and counts equal to the children, of every run in the folder.
fn check_histories(data: &Path, runs: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let engine = Engine::open(data).await.unwrap();
        let call = async |operation: &str, body: Value| {
            let body = body.to_string();
            sfn::call(&engine, operation, body.as_bytes())
                .await
                .unwrap()
        };
        let machines = call("ListStateMachines", json!({})).await;
        let machine = &machines["stateMachines"][0]["stateMachineArn"];
        let executions = call("ListExecutions", json!({"stateMachineArn": machine})).await;
        let executions = executions["executions"].as_array().unwrap();
        assert_eq!(executions.len(), runs);
        for execution in executions {
            let arn = &execution["executionArn"];
            let history = json!({"executionArn": arn, "maxResults": 1000});
            let history = call("GetExecutionHistory", history).await;
            let events = history["events"].as_array().unwrap();
            let ids: Vec<_> = events.iter().map(|event| event["id"].as_u64()).collect();
            let expected: Vec<_> = (1..=ids.len() as u64).map(Some).collect();
            assert_eq!(ids, expected, "{arn}");
            let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
            let counts = (
                count("ExecutionStarted"),
                count("ExecutionFailed"),
                count("ExecutionRedriven"),
                count("ExecutionSucceeded"),
            );
            assert_eq!(counts, (1, 1, 1, 1), "{arn}: {history}");
            let listed = call("ListMapRuns", json!({"executionArn": arn})).await;
            let map_run = &listed["mapRuns"][0]["mapRunArn"];
            let run = call("DescribeMapRun", json!({"mapRunArn": map_run})).await;
            for counts in ["itemCounts", "executionCounts"] {
                assert_eq!(run[counts]["total"], SHORT, "{run}");
                assert_eq!(run[counts]["succeeded"], SHORT, "{run}");
                assert_eq!(run[counts]["resultsWritten"], SHORT, "{run}");
            }
            let children =
                json!({"mapRunArn": map_run, "maxResults": 1000, "statusFilter": "SUCCEEDED"});
            let children = call("ListExecutions", children).await;
            let names: std::collections::BTreeSet<_> = children["executions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|child| child["executionArn"].as_str().unwrap())
                .collect();
            assert_eq!(names.len(), SHORT, "{arn}");
        }
        engine.stop().await;
    });
}

/// Rows of a nested run, and cells in each.
const ROWS: u64 = 6;
const CELLS: u64 = 40;

/// A client of the engine that serves.
fn client(serving: &Serving) -> aws_sdk_sfn::Client {
    let text = std::fs::read_to_string(serving.data().join("engine.json")).unwrap();
    let endpoint: Value = serde_json::from_str(&text).unwrap();
    let text = |name: &str| endpoint[name].as_str().unwrap();
    let keys = Credentials::new(text("access_key"), text("secret_key"), None, None, "test");
    let config = aws_sdk_sfn::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(text("url"))
        .credentials_provider(keys);
    aws_sdk_sfn::Client::from_conf(config.build())
}

/// A Distributed Map over rows, whose Standard children map over their cells. Some cells take a
/// second, so that kills meet them on their way.
fn nested(kind: &str) -> Value {
    let distributed = |label: &str, kind: &str, states: Value| {
        json!({"Type": "Map", "Label": label, "MaxConcurrency": 4, "End": true, "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind},
            "StartAt": states.as_object().unwrap().keys().next().unwrap(), "States": states}})
    };
    let wait = json!({"Wait": {"Type": "Wait", "SecondsPath": "$.wait", "OutputPath": "$.n", "End": true}});
    let cells = distributed("Cells", kind, wait);
    json!({"StartAt": "Rows", "States": {"Rows": distributed("Rows", "STANDARD", json!({"Cells": cells}))}})
}

/// Map Runs inside the children of another one, killed again and again: each is begun once, gives
/// every item once, and the histories of the children that own them have no gaps.
#[test]
fn killed_nested_map_runs_go_on_where_they_were() {
    let (_, seed) = wanted();
    println!("FANOUT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for kind in ["STANDARD", "EXPRESS"] {
        let mut serving = Serving::start();
        let cell = |n: u64| json!({"n": n, "wait": u64::from(n.is_multiple_of(20))});
        let row = |row: u64| (0..CELLS).map(|n| cell(row * CELLS + n)).collect::<Value>();
        let input: Value = (0..ROWS).map(row).collect();
        let sfn = client(&serving);
        let arn = runtime.block_on(async {
            let create = sfn.create_state_machine().name("nested");
            let create = create.role_arn("arn:aws:iam::000000000000:role/r");
            let machine = create.definition(nested(kind).to_string()).send().await;
            let start = sfn.start_execution().input(input.to_string());
            let start = start.state_machine_arn(machine.unwrap().state_machine_arn());
            start.send().await.unwrap().execution_arn
        });
        kill_at_random(&mut serving, &mut random, 5);
        let sfn = client(&serving);
        let ended = runtime.block_on(async {
            loop {
                let described = sfn.describe_execution().execution_arn(&arn).send();
                let described = described.await.unwrap();
                if *described.status() != ExecutionStatus::Running {
                    return described;
                }
            }
        });
        assert_eq!(*ended.status(), ExecutionStatus::Succeeded, "{ended:?}");
        let expected: Value = (0..ROWS)
            .map(|row| (0..CELLS).map(|n| row * CELLS + n).collect::<Value>())
            .collect();
        let output: Value = serde_json::from_str(ended.output().unwrap()).unwrap();
        assert_eq!(output, expected, "{kind}");
        serving.kill();
        runtime.block_on(check_nested(&serving.data(), &arn));
    }
}

/// One Map Run for each row, with all its cells, and whole histories.
async fn check_nested(data: &Path, arn: &str) {
    let engine = Engine::open(data).await.unwrap();
    let call = async |operation: &str, body: Value| {
        let body = body.to_string();
        sfn::call(&engine, operation, body.as_bytes())
            .await
            .unwrap()
    };
    let map_run = async |arn: &Value| {
        let listed = call("ListMapRuns", json!({"executionArn": arn})).await;
        let runs = listed["mapRuns"].as_array().unwrap();
        assert_eq!(runs.len(), 1, "{arn}: {listed}");
        let arn = &runs[0]["mapRunArn"];
        call("DescribeMapRun", json!({"mapRunArn": arn})).await
    };
    let outer = map_run(&arn.into()).await;
    assert_eq!(outer["itemCounts"]["succeeded"], ROWS, "{outer}");
    let children = json!({"mapRunArn": outer["mapRunArn"]});
    let children = call("ListExecutions", children).await;
    let children = children["executions"].as_array().unwrap().clone();
    assert_eq!(children.len() as u64, ROWS);
    for child in children {
        let arn = &child["executionArn"];
        let inner = map_run(arn).await;
        assert_eq!(inner["status"], "SUCCEEDED", "{inner}");
        for counts in ["itemCounts", "executionCounts"] {
            assert_eq!(inner[counts]["succeeded"], CELLS, "{inner}");
            assert_eq!(inner[counts]["total"], CELLS, "{inner}");
        }
        let history = call("GetExecutionHistory", json!({"executionArn": arn})).await;
        let events = history["events"].as_array().unwrap();
        let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str()).collect();
        let expected = [
            "ExecutionStarted",
            "MapStateEntered",
            "MapStateStarted",
            "MapRunStarted",
            "MapRunSucceeded",
            "MapStateSucceeded",
            "MapStateExited",
            "ExecutionSucceeded",
        ];
        assert_eq!(kinds, expected.map(Some), "{arn}");
    }
    engine.stop().await;
}
