//! State machines that are not ours: each kind of Distributed Map, with failures, and what the
//! program says of it. What cannot be known is said to be unknown, with the change that would make
//! it known.

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use crate::house::Serving;

/// A kind of Map, and what is true of a run of it over six items of which two are bad.
struct Kind {
    name: &'static str,
    definition: Value,
    input: Value,
    /// Failed children that are listed: batches and nested maps are one each.
    listed: usize,
    /// Items of which the service's own counts say that they failed.
    failed: u64,
    items: u64,
    /// Whether result files tell.
    has_files: bool,
    /// Whether items say which lines they are.
    is_numbered: bool,
    /// `Err` is a part of why chosen items cannot be run again, which says what to change.
    rerun: Result<u64, &'static str>,
}

fn processor(kind: &str, variable: &str, test: (&str, Value)) -> Value {
    let mut choice = json!({"Variable": variable, "Next": "F"});
    choice[test.0] = test.1;
    json!({
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind}, "StartAt": "C",
        "States": {
            "C": {"Type": "Choice", "Choices": [choice], "Default": "P"},
            "P": {"Type": "Pass", "End": true},
            "F": {"Type": "Fail", "Error": "Bad", "Cause": "no such thing"}},
    })
}

fn by_flag(kind: &str) -> Value {
    processor(kind, "$.bad", ("BooleanEquals", json!(true)))
}

fn reader(kind: &str, more: Value) -> Value {
    let mut config = more;
    config["InputType"] = json!(kind);
    json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": config,
        "Parameters": {"Bucket": "data", "Key.$": "$$.Execution.Input.key"}})
}

fn listing(config: Value, prefix: &str) -> Value {
    json!({"Resource": "arn:aws:states:::s3:listObjectsV2", "ReaderConfig": config,
        "Parameters": {"Bucket": "data", "Prefix": prefix}})
}

fn writer() -> Value {
    json!({"Resource": "arn:aws:states:::s3:putObject",
        "Parameters": {"Bucket": "data", "Prefix": "out"}})
}

/// A Map that tolerates what the input says, with more fields.
fn map(more: Value) -> Value {
    let mut map = json!({"Type": "Map", "End": true,
        "ToleratedFailurePercentagePath": "$$.Execution.Input.tolerate"});
    for (name, value) in more.as_object().unwrap() {
        map[name] = value.clone();
    }
    map
}

fn alone(map: Value) -> Value {
    json!({"StartAt": "M", "States": {"M": map}})
}

fn items() -> Vec<Value> {
    (0..6).map(|k| json!({"k": k, "bad": k % 3 == 2})).collect()
}

const NO_READER: &str = "give it an ItemReader with s3:getObject";

fn of_objects() -> Vec<Kind> {
    vec![
        Kind {
            name: "json-lines",
            definition: alone(map(json!({"ItemReader": reader("JSONL", json!({})),
                "ItemProcessor": by_flag("STANDARD"), "ResultWriter": writer(), "Label": "L"}))),
            input: json!({"key": "in.jsonl"}),
            listed: 2,
            failed: 2,
            items: 6,
            has_files: true,
            is_numbered: false,
            rerun: Ok(2),
        },
        Kind {
            name: "json-express",
            definition: alone(map(json!({
                "ItemReader": reader("JSON", json!({"ItemsPointer": "/a/items"})),
                "ItemSelector": {"i.$": "$$.Map.Item.Index", "bad.$": "$$.Map.Item.Value.bad",
                    "item.$": "$$.Map.Item.Value"},
                "ItemProcessor": by_flag("EXPRESS"), "ResultWriter": writer()}))),
            input: json!({"key": "in.json"}),
            listed: 2,
            failed: 2,
            items: 6,
            has_files: true,
            is_numbered: true,
            rerun: Ok(2),
        },
        Kind {
            name: "delimited-without-writer",
            definition: alone(map(json!({
                "ItemReader": reader("CSV", json!({"CSVHeaderLocation": "GIVEN",
                    "CSVHeaders": ["k", "bad"]})),
                "ItemProcessor": processor("STANDARD", "$.bad", ("StringEquals", json!("true")))}))),
            input: json!({"key": "in.csv"}),
            listed: 2,
            failed: 2,
            items: 6,
            has_files: false,
            is_numbered: false,
            rerun: Ok(2),
        },
        Kind {
            name: "listing",
            definition: alone(map(json!({"ItemReader": listing(json!({}), "list/"),
                "ItemProcessor": processor("STANDARD", "$.Key", ("StringMatches", json!("*bad*"))),
                "ResultWriter": writer()}))),
            input: json!({}),
            listed: 2,
            failed: 2,
            items: 6,
            has_files: true,
            is_numbered: false,
            rerun: Err(NO_READER),
        },
        Kind {
            name: "inventory",
            definition: alone(map(json!({
                "ItemReader": {"Resource": "arn:aws:states:::s3:getObject",
                    "ReaderConfig": {"ManifestType": "S3_INVENTORY"},
                    "Parameters": {"Bucket": "data", "Key.$": "$$.Execution.Input.key"}},
                "ItemProcessor": processor("STANDARD", "$.Key", ("StringMatches", json!("*bad*"))),
                "ResultWriter": writer()}))),
            input: json!({"key": "manifest.json"}),
            listed: 2,
            failed: 2,
            items: 6,
            has_files: true,
            is_numbered: false,
            rerun: Err("the ItemReader reads a manifest"),
        },
        Kind {
            name: "flattened",
            definition: alone(map(json!({
                "ItemReader": listing(json!({"InputType": "JSONL",
                    "Transformation": "LOAD_AND_FLATTEN"}), "flat/"),
                "ItemProcessor": by_flag("EXPRESS"), "ResultWriter": writer()}))),
            input: json!({}),
            listed: 2,
            failed: 2,
            items: 6,
            has_files: true,
            is_numbered: false,
            rerun: Err(NO_READER),
        },
        Kind {
            name: "batched",
            definition: alone(map(json!({"ItemReader": reader("JSONL", json!({})),
                "ItemBatcher": {"MaxItemsPerBatchPath": "$$.Execution.Input.batch"},
                "ItemProcessor": processor("STANDARD", "$.Items[0].bad",
                    ("BooleanEquals", json!(true))),
                "ResultWriter": writer()}))),
            input: json!({"key": "in.jsonl", "batch": 2}),
            listed: 1,
            failed: 2,
            items: 6,
            has_files: true,
            is_numbered: false,
            rerun: Ok(2),
        },
    ]
}

fn of_states() -> Vec<Kind> {
    let inner = json!({"Type": "Map", "End": true, "Label": "Inner", "ItemsPath": "$.xs",
        "ItemProcessor": by_flag("EXPRESS")});
    let outer = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "I", "States": {"I": inner}});
    let all = items();
    let groups: Vec<Value> = all.chunks(2).map(|xs| json!({"xs": xs})).collect();
    // Names of states are unique in the whole machine.
    let other = by_flag("EXPRESS").to_string();
    let other = ["C", "P", "F"].iter().fold(other, |text, name| {
        text.replace(&format!("\"{name}\""), &format!("\"{name}2\""))
    });
    let other: Value = serde_json::from_str(&other).unwrap();
    let first = map(
        json!({"ItemsPath": "$.items", "ItemProcessor": by_flag("STANDARD"),
        "Label": "A", "ResultWriter": writer()}),
    );
    let second = map(
        json!({"ItemReader": reader("JSONL", json!({})), "ItemProcessor": other,
        "Label": "B", "ResultWriter": writer()}),
    );
    let data = json!({
        "QueryLanguage": "JSONata", "StartAt": "M", "States": {"M": {
            "Type": "Map", "End": true,
            "ToleratedFailurePercentage": "{% $states.context.Execution.Input.tolerate %}",
            "ItemReader": {"Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": {"InputType": "JSONL"},
                "Arguments": {"Bucket": "data", "Key": "{% $states.context.Execution.Input.key %}"}},
            "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject",
                "Arguments": {"Bucket": "data", "Prefix": "out"}},
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "C", "States": {
                    "C": {"Type": "Choice", "Default": "P",
                        "Choices": [{"Condition": "{% $states.input.bad %}", "Next": "F"}]},
                    "P": {"Type": "Pass", "End": true},
                    "F": {"Type": "Fail", "Error": "Bad", "Cause": "no such thing"}}}}},
    });
    vec![
        Kind {
            name: "state-input",
            definition: alone(map(json!({"ItemsPath": "$.items",
                "ItemProcessor": by_flag("EXPRESS")}))),
            input: json!({"items": items()}),
            listed: 2,
            failed: 2,
            items: 6,
            has_files: false,
            is_numbered: false,
            rerun: Err(NO_READER),
        },
        Kind {
            name: "nested",
            definition: alone(map(json!({"ItemsPath": "$.groups", "ItemProcessor": outer,
                "Label": "Outer", "ResultWriter": writer()}))),
            input: json!({"groups": groups}),
            listed: 2,
            failed: 2,
            items: 3,
            has_files: true,
            is_numbered: false,
            rerun: Err(NO_READER),
        },
        Kind {
            name: "several",
            definition: json!({"StartAt": "Both", "States": {"Both": {"Type": "Parallel",
                "End": true, "Branches": [
                    {"StartAt": "A", "States": {"A": first}},
                    {"StartAt": "B", "States": {"B": second}}]}}}),
            input: json!({"key": "in.jsonl", "items": items()}),
            listed: 2,
            failed: 2,
            items: 6,
            has_files: true,
            is_numbered: false,
            rerun: Err("is inside another state"),
        },
        Kind {
            name: "jsonata",
            definition: data,
            input: json!({"key": "in.jsonl"}),
            listed: 2,
            failed: 2,
            items: 6,
            has_files: true,
            is_numbered: false,
            rerun: Ok(2),
        },
    ]
}

/// An engine with the objects that the kinds read, given there by the program itself.
async fn engine() -> Serving {
    let engine = Serving::start();
    let s3 = engine.s3();
    let lines = |items: &[Value]| {
        items
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join("\n")
            + "\n"
    };
    let all = items();
    s3.make().await;
    s3.put("in.jsonl", &lines(&all)).await;
    s3.put("in.json", &json!({"a": {"items": all}}).to_string())
        .await;
    let rows = all.iter().map(|it| format!("{},{}\n", it["k"], it["bad"]));
    s3.put("in.csv", &rows.collect::<String>()).await;
    for (at, item) in all.iter().enumerate() {
        let word = if item["bad"] == true { "bad" } else { "fine" };
        s3.put(&format!("list/{word}-{at}.txt"), "x").await;
    }
    let manifest = json!({"sourceBucket": "data", "destinationBucket": "arn:aws:s3:::data",
        "version": "2016-11-30", "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size",
        "files": [{"key": "rows.csv", "size": 9, "MD5checksum": "x"}]});
    s3.put("manifest.json", &manifest.to_string()).await;
    let word = |it: &Value| if it["bad"] == true { "bad" } else { "fine" };
    let rows = all
        .iter()
        .map(|it| format!("\"data\",\"{}-{}\",\"3\"\n", word(it), it["k"]));
    s3.put("rows.csv", &rows.collect::<String>()).await;
    for (at, part) in all.chunks(3).enumerate() {
        s3.put(&format!("flat/{at}.jsonl"), &lines(part)).await;
    }
    engine
}

/// Starts a run of the kind that tolerates so much, and waits for its end.
async fn run(engine: &Serving, kind: &Kind, tolerate: u32) -> String {
    let sfn = engine.sfn();
    let create = sfn.create_state_machine().name(kind.name);
    let create = create.role_arn("arn:aws:iam::000000000000:role/r");
    let create = create.definition(kind.definition.to_string());
    let machine = create.send().await.unwrap().state_machine_arn;
    let mut input = kind.input.clone();
    input["tolerate"] = json!(tolerate);
    let start = sfn.start_execution().state_machine_arn(machine);
    let start = start.name(format!("t{tolerate}")).input(input.to_string());
    let run = start.send().await.unwrap().execution_arn;
    loop {
        let described = sfn.describe_execution().execution_arn(&run);
        if *described.send().await.unwrap().status() != ExecutionStatus::Running {
            return run;
        }
    }
}

fn json_of(engine: &Serving, arguments: &[&str], code: i32) -> Value {
    let given = engine.fanout(&[arguments, &["--json"]].concat());
    given.exit(code).json()
}

async fn check(kind: Kind) {
    let engine = engine().await;
    let run_arn = run(&engine, &kind, 100).await;
    let name = kind.name;
    let of = |arguments: &[&str], code: i32| json_of(&engine, arguments, code);
    // Whatever is within the tolerance is a part of success only.
    let ended = of(&["wait", &run_arn], 3);
    let ended = &ended["runs"][0];
    assert_eq!(ended["state"], "PART", "{name}: {ended}");
    let counts = &ended["map_run"]["items"];
    let told = (&counts["failed"], &counts["total"]);
    assert_eq!(told, (&json!(kind.failed), &json!(kind.items)), "{name}");
    let failures = of(&["failures", &run_arn], 0);
    assert_eq!(failures["exact"], true, "{name}: {failures}");
    let listed = failures["failures"].as_array().unwrap();
    assert_eq!(listed.len(), kind.listed, "{name}: {failures}");
    assert!(
        listed
            .iter()
            .all(|it| it["status"] == "FAILED" && it["child"].is_string())
    );
    let groups = of(&["failures", &run_arn, "--group"], 0);
    assert_eq!(
        groups["groups"][0]["count"], kind.listed,
        "{name}: {groups}"
    );
    assert_eq!(
        groups["groups"].as_array().unwrap().len(),
        1,
        "{name}: {groups}"
    );
    let files = of(&["outputs", "ls", &run_arn], 0);
    let has_files = files["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .any(|it| it["kind"] == "result");
    assert_eq!(has_files, kind.has_files, "{name}: {files}");
    let found = of(&["outputs", "reconcile", &run_arn], 3)["reconciliation"].clone();
    assert_eq!(found["lines"], kind.items, "{name}: {found}");
    assert_eq!(found["failed"]["count"], kind.failed, "{name}: {found}");
    assert_eq!(found["numbered"], kind.is_numbered, "{name}: {found}");
    let notes = found["notes"].to_string();
    let says_how = notes.contains("no $$.Map.Item.Index in the ItemSelector");
    assert_eq!(says_how, !kind.is_numbered, "{name}: {notes}");
    // Nothing that has succeeded is redriven, but chosen items run again where they can be made.
    let redrive = of(&["redrive", &run_arn, "--dry-run"], 4);
    let why = redrive["plan"]["allowed"]["Err"].as_str().unwrap();
    assert!(why.contains("in a new execution"), "{name}: {why}");
    match kind.rerun {
        Ok(items) => {
            let rerun = of(&["rerun", &run_arn, "--dry-run"], 0);
            assert_eq!(rerun["will_run"], items, "{name}: {rerun}");
        }
        Err(part) => {
            let rerun = of(&["rerun", &run_arn, "--dry-run"], 4);
            let why = rerun["plan"]["allowed"]["Err"].as_str().unwrap();
            assert!(why.contains(part), "{name}: {why}");
        }
    }
    // The same is known of the definition alone, before anything runs: also what it takes in.
    let reads = of(&["check", name, "--input"], 0);
    let asked: Vec<&str> = reads["input"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut given: Vec<&str> = kind
        .input
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    given.push("tolerate");
    given.sort_unstable();
    assert_eq!(asked, given, "{name}: {reads}");
    let report = of(&["check", name], 0)["report"].clone();
    let checks = report["checks"].as_array().unwrap();
    let level = |check: &str| {
        let found = checks.iter().find(|it| it["check"] == check);
        found
            .map_or("", |it| it["level"].as_str().unwrap())
            .to_owned()
    };
    let rerun = if kind.rerun.is_ok() { "good" } else { "info" };
    assert_eq!(level("rerun"), rerun, "{name}: {report:#}");
    let origin = if kind.is_numbered { "good" } else { "info" };
    assert_eq!(level("item-origin"), origin, "{name}: {report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_over_objects_are_told_truly() {
    for kind in of_objects() {
        check(kind).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_over_inputs_nested_and_several_are_told_truly() {
    for kind in of_states() {
        check(kind).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_map_runs_has_its_failures() {
    let engine = engine().await;
    let several = of_states()
        .into_iter()
        .find(|it| it.name == "several")
        .unwrap();
    let run_arn = run(&engine, &several, 100).await;
    let first = json_of(&engine, &["failures", &run_arn], 0);
    let others = first["other_map_runs"].as_array().unwrap();
    assert_eq!(others.len(), 1, "{first}");
    let other = others[0].as_str().unwrap();
    assert_ne!(first["map_run"], others[0]);
    let second = json_of(&engine, &["failures", other], 0);
    assert_eq!(second["map_run"], others[0]);
    assert_eq!(second["failures"].as_array().unwrap().len(), 2);
    let label = |of: &Value| of["map_run"].as_str().unwrap().contains("/A:");
    assert_ne!(label(&first), label(&second));
    let said = engine.fanout(&["failures", &run_arn]).success().stderr();
    assert!(
        said.contains("2 Map Runs") && said.contains(other),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_of_a_run_that_failed_counts_all_its_maps() {
    let engine = engine().await;
    for kind in of_states()
        .into_iter()
        .filter(|it| it.name == "several" || it.name == "jsonata")
    {
        let maps = if kind.name == "several" { 2 } else { 1 };
        let run_arn = run(&engine, &kind, 0).await;
        let plan = json_of(&engine, &["redrive", &run_arn, "--dry-run"], 0);
        // Siblings that were still running when the threshold was passed are aborted, and run again.
        let will_run = plan["will_run"].as_u64().unwrap();
        assert!(2 * maps <= will_run, "{}: {plan}", kind.name);
    }
}
