//! Each way in which a run can be incomplete: reconcile says what is missing, and merge makes one
//! file of what there is.

use fanout::model::{ExecutionArn, ObjectAddress, Status};
use fanout::operations::merge::{self, To};
use fanout::operations::reconcile::{self, Reconciliation};
use fanout::operations::{self, runs};
use serde_json::{Value, json};

use crate::house::{Lookup, Serving, lines_of};
use crate::plant::{BUCKET, Plant, answered, source};

const LINES: u64 = 30;

fn at(key: &str) -> Value {
    json!({"bucket": BUCKET, "key": key})
}

fn input(tolerate: u32) -> Value {
    json!({"source": at("in/a.txt"), "tolerate": tolerate, "concurrency": 5})
}

async fn plant() -> Plant {
    let plant = Plant::new().await;
    plant.put("in/a.txt", source(LINES).0).await;
    plant
}

async fn reconciled(plant: &Plant, run: &ExecutionArn) -> Reconciliation {
    let run = runs::describe(&plant.client, run).await.unwrap();
    let found = reconcile::of(&plant.client, &run, |_| {}).await.unwrap();
    let told = [&found.failed, &found.never_started, &found.missing];
    let told: u64 = told.iter().map(|lines| lines.count).sum();
    assert_eq!(found.succeeded + told, found.lines, "{found:?}");
    found
}

#[track_caller]
fn is_complete(found: &Reconciliation) {
    assert!(found.is_complete(), "{found:?}");
    assert_eq!(
        (found.lines, found.duplicates.count),
        (LINES, 0),
        "{found:?}"
    );
}

/// Merges into an object of its own, and gives output and open lines.
async fn merged(plant: &Plant, run: &ExecutionArn) -> (String, Vec<u64>) {
    let run = runs::describe(&plant.client, run).await.unwrap();
    let plan = merge::plan(&plant.client, &run, None).await.unwrap();
    let done = merge::run(&plant.client, &plan, |_| {}).await.unwrap();
    assert!(!done.existed);
    let again = merge::run(&plant.client, &plan, |_| {}).await.unwrap();
    assert!(again.existed && again.succeeded == done.succeeded);
    let text = async |to: &To| match to {
        To::Object(address) => plant.get(&address.key).await.unwrap(),
        To::File(_) => panic!("an object was wanted"),
    };
    let failed = match &done.failed {
        Some(failed) => text(failed).await,
        None => String::new(),
    };
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64();
    let open = failed.lines().filter_map(number).collect();
    (text(&done.output).await, open)
}

/// The output without these lines.
fn without(open: &[u64]) -> String {
    (1..=LINES)
        .filter(|n| !open.contains(n))
        .map(|n| answered(&format!("word {n}")) + "\n")
        .collect()
}

/// All lines that have not succeeded, where few enough are to be named.
fn open(found: &Reconciliation) -> Vec<u64> {
    let kinds = [&found.failed, &found.never_started, &found.missing];
    let numbers = kinds.iter().flat_map(|it| it.first.iter().cloned());
    let mut open: Vec<u64> = numbers.flatten().collect();
    open.sort_unstable();
    assert_eq!(
        open.len() as u64,
        found.lines - found.succeeded,
        "{found:?}"
    );
    open
}

/// Starts a re-run as `fanout rerun` does.
async fn rerun(plant: &Plant, number: u32, lines: &[u64], output: Option<&Value>) -> ExecutionArn {
    let name = format!("a-r{number}-0123abcd");
    let only = format!("reruns/{name}.jsonl");
    let line = |n: &u64| json!({"n": n, "line": format!("word {n}")}).to_string() + "\n";
    plant
        .put(&only, lines.iter().map(line).collect::<String>())
        .await;
    let mut input = input(100);
    input["only"] = at(&only);
    if let Some(output) = output {
        input["merge"] = json!({"output": output["output"], "lines": LINES,
            "failed": output.get("failed").unwrap_or(&Value::Null)});
    }
    plant.start(&name, &input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tripped_threshold_and_two_redrives_with_files_that_roll_over() {
    let plant = plant().await;
    plant.small_files(1_500);
    plant.fail([4, 5, 6, 20]);
    let run = plant.start("a", &input(1)).await;
    plant.ends(&run, Status::Failed).await;
    let found = reconciled(&plant, &run).await;
    assert!(!found.is_complete());
    assert_eq!(found.missing.count, 0, "{found:?}");
    let open = open(&found);
    assert_eq!(merged(&plant, &run).await, (without(&open), open));

    plant.fail([20]);
    plant.redrive(&run).await;
    plant.ends(&run, Status::Failed).await;
    let found = reconciled(&plant, &run).await;
    assert_eq!(found.failed.named(), "20", "{found:?}");
    let files = found.sources[0].objects.len();
    assert!(3 < files, "{found:?}");
    assert_eq!(found.sources[0].kind, "results of round 1");
    let open = self::open(&found);
    assert_eq!(merged(&plant, &run).await, (without(&open), open));

    plant.fail([]);
    plant.redrive(&run).await;
    plant.ends(&run, Status::Succeeded).await;
    is_complete(&reconciled(&plant, &run).await);
    assert_eq!(merged(&plant, &run).await, (without(&[]), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_succeeded_in_part_is_complete_with_its_re_runs() {
    let plant = plant().await;
    plant.fail([2, 9, 17]);
    let run = plant.start("a", &input(50)).await;
    let output = plant.output(&run).await;
    let found = reconciled(&plant, &run).await;
    assert_eq!(
        (found.succeeded, found.failed.named()),
        (27, "2, 9, 17".to_owned())
    );

    // One is merged with the output, the other one is not: neither has all lines.
    plant.fail([9]);
    let first = rerun(&plant, 1, &[2, 9], Some(&output)).await;
    plant.output(&first).await;
    let second = rerun(&plant, 2, &[17], None).await;
    plant.output(&second).await;
    let found = reconciled(&plant, &run).await;
    assert_eq!(found.failed.named(), "9", "{found:?}");
    assert_eq!(found.duplicates.count, 0, "{found:?}");
    assert_eq!(merged(&plant, &run).await, (without(&[9]), vec![9]));

    plant.fail([]);
    let third = rerun(&plant, 3, &[9], Some(&output)).await;
    plant.output(&third).await;
    // Whichever of them is asked about.
    for run in [&run, &first, &third] {
        is_complete(&reconciled(&plant, run).await);
    }
    assert_eq!(merged(&plant, &first).await, (without(&[]), vec![]));

    // A line that has succeeded twice is named, and the newest counts.
    let fourth = rerun(&plant, 4, &[9, 10], Some(&output)).await;
    plant.output(&fourth).await;
    let found = reconciled(&plant, &run).await;
    assert_eq!(
        (found.is_complete(), found.duplicates.named()),
        (true, "9-10".to_owned())
    );
    assert_eq!(merged(&plant, &run).await, (without(&[]), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_made_whole_by_re_runs_alone() {
    let plant = plant().await;
    plant.fail([3, 4]);
    let run = plant.start("a", &input(0)).await;
    plant.ends(&run, Status::Failed).await;
    let found = reconciled(&plant, &run).await;
    let open = open(&found);
    plant.fail([]);
    let again = rerun(&plant, 1, &open, None).await;
    plant.output(&again).await;
    is_complete(&reconciled(&plant, &run).await);
    assert_eq!(merged(&plant, &run).await, (without(&[]), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_went_well_before_postprocess_failed() {
    let plant = plant().await;
    plant.fail([8]);
    plant.refuse_postprocess(true);
    let run = plant.start("a", &input(50)).await;
    plant.ends(&run, Status::Failed).await;
    let found = reconciled(&plant, &run).await;
    assert_eq!(
        (found.succeeded, found.failed.named()),
        (29, "8".to_owned())
    );
    assert_eq!(merged(&plant, &run).await, (without(&[8]), vec![8]));
    plant.refuse_postprocess(false);
    plant.redrive(&run).await;
    plant.output(&run).await;
    assert_eq!(reconciled(&plant, &run).await.failed.named(), "8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_says_what_never_started() {
    let plant = plant().await;
    plant.hold(true);
    let run = plant.start("a", &input(50)).await;
    plant.asks_or_ends(&run, 5).await;
    let found = reconciled(&plant, &run).await;
    assert_eq!(found.missing.named(), "1-30", "{found:?}");
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("has not ended yet"))
    );
    let running = runs::describe(&plant.client, &run).await.unwrap();
    let plan = merge::plan(&plant.client, &running, None).await.unwrap();
    assert!(plan.allowed().unwrap_err().contains("has not ended yet"));

    plant.client.stop_execution(&run, None, None).await.unwrap();
    plant.hold(false);
    plant.ends(&run, Status::Aborted).await;
    plant.map_run_closed(&run).await;
    let found = reconciled(&plant, &run).await;
    assert!(
        0 < found.never_started.count && !found.is_complete(),
        "{found:?}"
    );
    assert_eq!(found.missing.count, 0, "{found:?}");
    plant.redrive(&run).await;
    plant.output(&run).await;
    is_complete(&reconciled(&plant, &run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_somebody_has_changed_is_told_from_a_whole_one() {
    let plant = plant().await;
    plant.fail([2]);
    let run = plant.start("a", &input(50)).await;
    let output = plant.output(&run).await;
    let key = output["output"]["key"].as_str().unwrap();
    plant.put(key, "one line\n").await;
    let described = runs::describe(&plant.client, &run).await.unwrap();
    let error = reconcile::of(&plant.client, &described, |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, operations::Error::Refused(_)));
    assert!(
        error.to_string().contains("has 1 lines, but 29 of its 30"),
        "{error}"
    );
    // Without it the result files tell.
    plant
        .client
        .delete(BUCKET, &[key.to_owned()])
        .await
        .unwrap();
    let found = reconciled(&plant, &run).await;
    assert_eq!(found.failed.named(), "2");
    assert!(
        found.notes.iter().any(|note| note.contains("is gone")),
        "{found:?}"
    );
}

/// A machine of somebody else, with batches whose items hold their index.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_another_machine_are_told_apart_by_their_index() {
    let plant = plant().await;
    let items: Vec<Value> = (1..=LINES).map(|n| json!({"n": n})).collect();
    for (name, selector, numbered) in [
        (
            "indexed",
            json!({"at.$": "$$.Map.Item.Index", "n.$": "$$.Map.Item.Value.n"}),
            true,
        ),
        ("unnumbered", json!({"n.$": "$$.Map.Item.Value.n"}), false),
    ] {
        plant.fail([7]);
        let definition = json!({"StartAt": "Map", "States": {"Map": {"Type": "Map", "Label": "Batches",
            "ItemsPath": "$.items", "ItemSelector": selector, "ItemBatcher": {"MaxItemsPerBatch": 4},
            "ToleratedFailurePercentage": 100, "End": true,
            "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "Each", "States": {"Each": {"Type": "Map", "ItemsPath": "$.Items", "End": true,
                    "ItemProcessor": {"StartAt": "Work", "States": {"Work": {"Type": "Task", "End": true,
                        "Resource": "arn:aws:states:::lambda:invoke", "OutputPath": "$.Payload",
                        "Parameters": {"FunctionName": "fanout-worker",
                            "Payload": {"n.$": "$.n", "line": "x"}}}}}}}},
            "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject",
                "Parameters": {"Bucket": BUCKET, "Prefix": name}}}}});
        let run = plant
            .start_other(name, &definition, &json!({"items": items}))
            .await;
        plant.ends(&run, Status::Succeeded).await;
        let found = reconciled(&plant, &run).await;
        assert_eq!(
            (found.numbered, found.succeeded),
            (numbered, 26),
            "{found:?}"
        );
        assert_eq!(found.failed.count, 4);
        let described = runs::describe(&plant.client, &run).await.unwrap();
        let plan = merge::plan(&plant.client, &described, None).await.unwrap();
        if !numbered {
            assert!(plan.allowed().unwrap_err().contains("Map.Item.Index"));
            continue;
        }
        assert_eq!(found.failed.named(), "5-8");
        let (output, open) = merged(&plant, &run).await;
        assert_eq!((output.lines().count(), open), (26, vec![5, 6, 7, 8]));
        assert_eq!(output.lines().nth(4), Some(r#"{"n":9,"line":"x,ok"}"#));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_writes_over_nothing() {
    let plant = plant().await;
    plant.fail([2]);
    let run = plant.start("a", &input(50)).await;
    let output = plant.output(&run).await;
    let described = runs::describe(&plant.client, &run).await.unwrap();
    let plan = async |to: To| {
        let plan = merge::plan(&plant.client, &described, Some(to)).await;
        plan.unwrap()
    };
    let key = output["output"]["key"].as_str().unwrap();
    let taken = To::Object(ObjectAddress::new(BUCKET, key));
    assert!(
        plan(taken)
            .await
            .allowed()
            .unwrap_err()
            .contains("exists already")
    );
    plant.put("x.failed.jsonl", "theirs").await;
    let beside = To::Object(ObjectAddress::new(BUCKET, "x"));
    assert!(
        plan(beside)
            .await
            .allowed()
            .unwrap_err()
            .contains("exists already")
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("merged.txt");
    let here = plan(To::File(file.clone())).await;
    let done = merge::run(&plant.client, &here, |_| {}).await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), without(&[2]));
    let failed = done.failed.unwrap().to_string();
    assert_eq!(std::fs::read_to_string(failed).unwrap().lines().count(), 1);
    assert!(merge::run(&plant.client, &here, |_| {}).await.is_err());
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2);
}

/// The real program: a re-run by `fanout rerun`, and what reconcile and merge then say.
#[test]
fn verbs_repair_a_run_until_every_line_has_its_result() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let line = |n: u64| match n % 10 {
        3 => format!("bad-{n}"),
        _ => format!("word-{n}"),
    };
    let text: String = (1..=LINES).map(|n| line(n) + "\n").collect();
    std::fs::write(serving.folder().join("words.txt"), text).unwrap();
    let input = json!({"request": {"url": format!("{}/{{line}}", lookup.url())},
        "output": {"line": "{line} {response}"}, "tolerate": 50});
    let input = input.to_string();
    let start = [
        "start",
        "words.txt",
        "--name",
        "a",
        "--input",
        &input,
        "--yes",
        "--wait",
    ];
    serving.fanout(&start).exit(3);
    let told = serving
        .fanout(&["outputs", "reconcile", "a"])
        .exit(3)
        .stdout();
    assert!(told.contains("input lines               30"), "{told}");
    assert!(
        told.contains("failed                     3  3, 13, 23"),
        "{told}"
    );
    assert!(told.ends_with("incomplete: 3 lines are open\n"), "{told}");

    let rerun = |run: &str, lines: &str| {
        let rerun = ["rerun", run, "--lines", lines, "--yes", "--wait", "--json"];
        serving.fanout(&rerun)
    };
    let first = rerun("a", "3").exit(3).json();
    lookup.repair();
    rerun("a", "13,23").success();
    let told = serving
        .fanout(&["outputs", "reconcile", "a", "--json"])
        .exit(3)
        .json();
    let found = &told["reconciliation"];
    assert_eq!(
        found["failed"],
        json!({"count": 1, "first": [{"start": 3, "end": 3}]}),
        "{told}"
    );
    assert_eq!(found["sources"].as_array().map(Vec::len), Some(3), "{told}");
    // The re-run has left it open in its own output: that one is run again.
    rerun(first["runs"][0]["name"].as_str().unwrap(), "3").success();
    let told = serving
        .fanout(&["outputs", "reconcile", "a"])
        .success()
        .stdout();
    assert!(told.contains("succeeded twice            0"), "{told}");

    let merge = ["outputs", "merge", "a", "--json"];
    let with = |more: &[&'static str]| [&merge[..], more].concat();
    let plan = serving.fanout(&with(&["--dry-run"])).success().json();
    let key = plan["plan"]["to"]["object"]["key"].as_str().unwrap();
    assert!(key.contains("words.merged-"), "{plan}");
    serving.fanout(&merge).exit(4);
    let merged = serving.fanout(&with(&["--yes"])).success().json();
    assert_eq!(merged["merged"]["existed"], false, "{merged}");
    let again = serving.fanout(&with(&["--yes"])).success().json();
    assert_eq!(again["merged"]["existed"], true, "{again}");
    serving.fanout(&with(&["--to", "here.txt"])).success();
    let expected: Vec<String> = (1..=LINES).map(|n| line(n) + " ok").collect();
    assert_eq!(lines_of(&serving.folder().join("here.txt")), expected);
    let taken = serving.fanout(&with(&["--to", "here.txt"])).exit(4);
    assert!(
        taken.stderr().contains("exists already"),
        "{}",
        taken.stderr()
    );
}
