//! Chosen lines run again by the shipped workflow, and merged with the output before.

use fanout::model::{ExecutionArn, Status};
use serde_json::{Value, json};

use crate::plant::{BUCKET, Plant, answered, source};

fn at(key: &str) -> Value {
    json!({"bucket": BUCKET, "key": key})
}

/// JSON Lines with numbers.
fn chosen(lines: &[(u64, &str)]) -> String {
    let line = |(n, line): &(u64, &str)| json!({"n": n, "line": line}).to_string() + "\n";
    lines.iter().map(line).collect()
}

/// A run of ten lines of which the third and the seventh fail: its input and its output.
async fn part(plant: &Plant) -> (Value, Value) {
    plant.put("in/a.txt", source(10).0).await;
    plant.fail([3, 7]);
    let input = json!({"source": at("in/a.txt"), "output": {"key": "out/a.txt"}, "tolerate": 50});
    let run = plant.start("a", &input).await;
    let output = plant.output(&run).await;
    assert_eq!(output["failed"], at("out/a.txt.failed.jsonl"));
    (input, output)
}

/// Starts the input once more with what a re-run has besides.
async fn rerun(plant: &Plant, name: &str, input: &Value, more: Value) -> ExecutionArn {
    let mut input = input.clone();
    let members = more.as_object().unwrap().clone();
    input.as_object_mut().unwrap().extend(members);
    plant.start(name, &input).await
}

fn merge() -> Value {
    json!({"output": at("out/a.txt"), "failed": at("out/a.txt.failed.jsonl"), "lines": 10})
}

fn failed_numbers(text: &str) -> Vec<u64> {
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64();
    text.lines().filter_map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_lines_take_their_places_in_a_new_output() {
    let plant = Plant::new().await;
    let (input, _) = part(&plant).await;
    // The source changed since; the re-run does not look at it.
    plant.put("in/a.txt", "all new\n").await;
    plant.fail([3]);
    let lines = chosen(&[(3, "word 3"), (7, "repaired")]);
    plant.put("only.jsonl", lines).await;
    let more = json!({"only": at("only.jsonl"), "merge": merge()});
    let run = rerun(&plant, "a-r1", &input, more).await;
    let output = plant.output(&run).await;
    assert_eq!(output["output"], at("out/a-r1/a.txt"));
    assert_eq!(output["failed"], at("out/a-r1/a.txt.failed.jsonl"));
    let counts = json!({"lines": 10, "succeeded": 9, "failed": 1, "neverStarted": 0});
    assert_eq!(output["counts"], counts);

    let expected: String = (1..=10)
        .filter(|n| *n != 3)
        .map(|n| match n {
            7 => answered("repaired") + "\n",
            n => answered(&format!("word {n}")) + "\n",
        })
        .collect();
    assert_eq!(plant.get("out/a-r1/a.txt").await.unwrap(), expected);
    let failed = plant.get("out/a-r1/a.txt.failed.jsonl").await.unwrap();
    assert_eq!(failed_numbers(&failed), [3]);
    // What was there before is as it was.
    let before = plant.get("out/a.txt").await.unwrap();
    assert_eq!(before.lines().count(), 8);
    let before = plant.get("out/a.txt.failed.jsonl").await.unwrap();
    assert_eq!(failed_numbers(&before), [3, 7]);

    // The file of failed lines is a choice of lines by itself, and the next output is complete.
    plant.fail([]);
    let more = json!({"only": output["failed"],
        "merge": {"output": output["output"], "failed": output["failed"], "lines": 10}});
    let run = rerun(&plant, "a-r2", &input, more).await;
    let output = plant.output(&run).await;
    assert!(output.get("failed").is_none(), "{output}");
    let text = plant.get("out/a-r2/a.txt").await.unwrap();
    assert_eq!(text.lines().count(), 10);
    assert_eq!(text.lines().nth(2), Some("word 3,ok"));
    assert!(plant.keys("runs/a-r2/").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_replaced_only_when_that_is_asked_for() {
    let plant = Plant::new().await;
    let (input, _) = part(&plant).await;
    plant.fail([7]);
    let failed = at("out/a.txt.failed.jsonl");
    let more = json!({"only": failed, "merge": merge(), "overwrite": true});
    let run = rerun(&plant, "a-r1", &input, more).await;
    let output = plant.output(&run).await;
    assert_eq!(
        (&output["output"], &output["failed"]),
        (&at("out/a.txt"), &failed)
    );
    assert_eq!(plant.get("out/a.txt").await.unwrap().lines().count(), 9);
    let left = plant.get("out/a.txt.failed.jsonl").await.unwrap();
    assert_eq!(failed_numbers(&left), [7]);

    plant.fail([]);
    let more = json!({"only": failed, "merge": merge(), "overwrite": true});
    let run = rerun(&plant, "a-r2", &input, more).await;
    assert_eq!(plant.output(&run).await["counts"]["succeeded"], 10);
    assert_eq!(plant.get("out/a.txt").await.unwrap(), source(10).1);
    assert!(plant.get("out/a.txt.failed.jsonl").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_lines_alone_are_the_output_where_nothing_is_merged() {
    let plant = Plant::new().await;
    let (input, _) = part(&plant).await;
    plant.fail([]);
    plant.put("only.jsonl", chosen(&[(7, "g"), (9, "i")])).await;
    let run = rerun(&plant, "a-r1", &input, json!({"only": at("only.jsonl")})).await;
    let output = plant.output(&run).await;
    let counts = json!({"lines": 2, "succeeded": 2, "failed": 0, "neverStarted": 0});
    assert_eq!(
        (&output["output"], &output["counts"]),
        (&at("out/a-r1/a.txt"), &counts)
    );
    assert_eq!(plant.get("out/a-r1/a.txt").await.unwrap(), "g,ok\ni,ok\n");
    // Which lines they are is told by the results alone.
    assert!(!plant.keys("runs/a-r1/results/").await.is_empty());
    assert_eq!(plant.get("out/a.txt").await.unwrap().lines().count(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_re_run_that_does_not_fit_says_why_before_a_line_runs() {
    let plant = Plant::new().await;
    let (input, _) = part(&plant).await;
    let asked = plant.asked();
    plant.put("only.jsonl", chosen(&[(3, "c")])).await;
    plant.put("late.jsonl", chosen(&[(11, "k")])).await;
    let only = at("only.jsonl");
    let with = |field: &str, value: Value| {
        let mut merge = merge();
        merge[field] = value;
        merge
    };
    for (name, more, error, text) in [
        (
            "b1",
            json!({"merge": merge()}),
            "Preprocess.InvalidInput",
            "needs input.only",
        ),
        (
            "b2",
            json!({"overwrite": true}),
            "Preprocess.InvalidInput",
            "input.overwrite",
        ),
        (
            "b3",
            json!({"only": at("none")}),
            "Preprocess.NoSource",
            "check input.only",
        ),
        (
            "b4",
            json!({"only": only, "merge": with("output", at("none"))}),
            "Preprocess.NoSource",
            "input.merge.output",
        ),
        (
            "b5",
            json!({"only": only, "merge": with("failed", Value::Null)}),
            "Preprocess.Mismatch",
            "input.merge.failed is missing",
        ),
        (
            "b6",
            json!({"only": only, "merge": with("lines", json!(11))}),
            "Preprocess.Mismatch",
            "made of 10 lines",
        ),
        (
            "b7",
            json!({"only": only, "merge": with("lines", Value::Null)}),
            "Preprocess.InvalidInput",
            "input.merge.lines is missing",
        ),
        (
            "b8",
            json!({"only": only, "merge": with("line", json!(1))}),
            "Preprocess.InvalidInput",
            "input.merge.line is unknown",
        ),
        (
            "b9",
            json!({"only": at("late.jsonl"), "merge": merge()}),
            "Preprocess.InvalidLines",
            "greater than the number of lines",
        ),
        (
            "b10",
            json!({"only": at("in/a.txt")}),
            "Preprocess.InvalidLines",
            "10 of input.only's lines",
        ),
    ] {
        let run = rerun(&plant, name, &input, more).await;
        let ended = plant.ends(&run, Status::Failed).await;
        assert_eq!(ended.error.as_deref(), Some(error), "{name}");
        let cause = ended.cause.unwrap();
        assert!(cause.contains(text), "{name}: {cause}");
    }
    assert_eq!(plant.asked(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_not_what_it_was_is_left_alone_with_all_else() {
    let plant = Plant::new().await;
    let (input, _) = part(&plant).await;
    plant.fail([]);
    plant.put("only.jsonl", chosen(&[(3, "c")])).await;
    // Somebody has deleted a line of it.
    let output = plant.get("out/a.txt").await.unwrap();
    plant
        .put("out/a.txt", output.split_once('\n').unwrap().1)
        .await;
    let more = json!({"only": at("only.jsonl"), "merge": merge()});
    let run = rerun(&plant, "a-r1", &input, more).await;
    let ended = plant.ends(&run, Status::Failed).await;
    assert_eq!(ended.error.as_deref(), Some("Postprocess.Mismatch"));
    let cause = ended.cause.unwrap();
    assert!(
        cause.contains("has 7 lines, but 8 of its 10 lines"),
        "{cause}"
    );
    assert!(plant.keys("out/a-r1/").await.is_empty());
    assert!(!plant.keys("runs/a-r1/results/").await.is_empty());
}
