//! Plans, redrives, re-runs, journals and the trail, by the real program.

use std::fs;

use serde_json::{Value, json};

use crate::house::{Lookup, Serving};

/// A file of `count` lines, every tenth of them bad, and the run that they make.
fn started(serving: &Serving, lookup: &Lookup, count: usize, tolerate: u32, code: i32) -> String {
    let line = |n: usize| match n % 10 {
        3 => format!("bad-{n}\n"),
        _ => format!("word-{n}\n"),
    };
    let text: String = (1..=count).map(line).collect();
    fs::write(serving.folder().join("words.txt"), text).unwrap();
    let input = json!({
        "request": {"url": format!("{}/{{line}}", lookup.url())},
        "output": {"line": "{line} {response}"},
        "tolerate": tolerate,
        "concurrency": 4,
    });
    let input = input.to_string();
    let start = [
        "start",
        "words.txt",
        "--input",
        &input,
        "--yes",
        "--wait",
        "--json",
    ];
    let ended = serving.fanout(&start).exit(code).json();
    ended["runs"][0]["name"].as_str().unwrap().to_owned()
}

fn trail(serving: &Serving) -> Vec<Value> {
    let told = serving.fanout(&["trail", "--json"]).success().json();
    told["trail"].as_array().unwrap().clone()
}

#[test]
fn a_plan_is_written_looked_at_and_carried_out_once() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let run = started(&serving, &lookup, 60, 1, 1);
    lookup.repair();
    let shown = serving
        .fanout(&["redrive", &run, "--dry-run", "--json"])
        .success()
        .json();
    let facts = &shown["plan"]["facts"];
    assert!(facts["history_events"].as_u64().unwrap() > 5, "{shown}");
    assert!(
        facts["cost"]["prices"]
            .as_str()
            .unwrap()
            .contains("list prices of")
    );
    assert_eq!(facts["definition"]["changed"], false);
    serving
        .fanout(&["redrive", &run, "--plan", "plan.json", "--note", "fixed"])
        .success();
    serving
        .fanout(&["redrive", &run, "--plan", "plan.json"])
        .exit(4);
    assert!(
        trail(&serving)
            .iter()
            .all(|it| !it["command"].as_str().unwrap().contains("redrive"))
    );

    let applied = serving.fanout(&["apply", "plan.json", "--yes", "--wait", "--json"]);
    let applied = applied.success().json();
    assert_eq!(applied["runs"][0]["state"], "SUCCEEDED");
    let again = serving.fanout(&["apply", "plan.json", "--yes"]).exit(4);
    assert!(
        again.stderr().contains("no longer fits"),
        "{}",
        again.stderr()
    );
    assert!(
        again.stderr().contains("has succeeded"),
        "{}",
        again.stderr()
    );
    let redrives = trail(&serving)
        .iter()
        .filter(|it| {
            it["command"]
                .as_str()
                .unwrap()
                .contains("redrive-execution")
        })
        .count();
    assert_eq!(redrives, 1);
}

#[test]
fn a_plan_of_a_run_that_was_redriven_meanwhile_is_not_carried_out() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let run = started(&serving, &lookup, 40, 1, 1);
    serving
        .fanout(&["redrive", &run, "--plan", "plan.json"])
        .success();
    serving
        .fanout(&["redrive", &run, "--yes", "--wait"])
        .exit(1);
    let refused = serving.fanout(&["apply", "plan.json", "--yes"]).exit(4);
    let said = refused.stderr();
    assert!(said.contains("redriven 1 times, not 0"), "{said}");
    fs::write(serving.folder().join("bad.json"), "{\"version\":1}").unwrap();
    let refused = serving.fanout(&["apply", "bad.json", "--yes"]).exit(4);
    assert!(
        refused.stderr().contains("bad.json: is no plan"),
        "{}",
        refused.stderr()
    );
}

#[test]
fn every_change_is_in_the_trail_and_no_secret_is() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    fs::write(serving.folder().join("words.txt"), "a\n").unwrap();
    let input = json!({"request": {
        "url": format!("{}/{{line}}", lookup.url()),
        "headers": {"authorization": "Bearer s3cret"},
    }});
    let start = [
        "start",
        "words.txt",
        "--input",
        &input.to_string(),
        "--yes",
        "--wait",
    ];
    serving.fanout(&start).success();
    serving.fanout(&["redrive", "last", "--yes"]).exit(4);
    let told = trail(&serving);
    let commands: Vec<&str> = told
        .iter()
        .map(|it| it["command"].as_str().unwrap())
        .collect();
    let of = |part: &str| commands.iter().filter(|it| it.contains(part)).count();
    assert_eq!(
        (of("aws s3 cp"), of("start-execution")),
        (1, 1),
        "{commands:?}"
    );
    assert_eq!(told[0]["target"], "LOCAL us-east-1");
    let file = fs::read_to_string(serving.folder().join("state/fanout/trail.jsonl")).unwrap();
    assert!(!file.contains("s3cret"), "{file}");
    let limited = serving
        .fanout(&["trail", "--limit", "1", "--ndjson"])
        .success();
    assert_eq!(limited.stdout().lines().count(), 1);
}
