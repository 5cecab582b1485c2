//! The real program killed while it sends re-runs and merges: resumed, everything is done, once.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use rand::RngExt;
use serde_json::{Value, json};

use crate::house::{Lookup, Serving, fanout};
use crate::killed_merge::seeded;
use crate::repair::{journalled, started};

/// Runs a verb and kills it so long after its journal holds a text so often.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing is waited for: the moment of the kill is the point"
)]
fn killed(serving: &Serving, arguments: &[&str], text: &str, times: usize, after: Duration) {
    let before = journalled(serving, text);
    let mut command = fanout(serving.folder());
    let command = command.arg("--data-dir").arg(serving.data()).arg("--local");
    let command = command.args(arguments).stdout(Stdio::null());
    let mut process: Child = command.stderr(Stdio::null()).spawn().unwrap();
    while journalled(serving, text) < before + times && process.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    std::thread::sleep(after);
    // It may have come to its end.
    let _ = process.kill();
    process.wait().unwrap();
}

/// Goes on with whatever was interrupted; how many operations that were.
fn resumed(serving: &Serving) -> usize {
    let listed = serving.fanout(&["resume", "--json"]).success().json();
    let operations = listed["operations"].as_array().unwrap();
    for operation in operations {
        let name = operation["operation"].as_str().unwrap();
        serving.fanout(&["resume", name, "--yes"]).success();
    }
    let none = serving.fanout(&["resume", "--json"]).success().json();
    assert_eq!(none["operations"], json!([]));
    operations.len()
}

/// The runs whose names begin so.
fn runs(serving: &Serving, begin: &str) -> Vec<String> {
    let listed = serving.fanout(&["runs", "--json"]).success().json();
    let names = listed["runs"].as_array().unwrap().iter();
    let names = names.map(|run| run["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with(begin)).collect()
}

/// The run has one re-run, and with it every line once.
fn is_healed_once(serving: &Serving, run: &str) {
    let again = runs(serving, &format!("{run}-r1-"));
    let [again] = again.as_slice() else {
        panic!("{run} has {again:?}");
    };
    serving.fanout(&["wait", again]).success();
    let told = serving.fanout(&["outputs", "reconcile", run, "--json"]);
    let told = told.success().json();
    assert_eq!(
        (
            &told["complete"],
            &told["reconciliation"]["duplicates"]["count"]
        ),
        (&json!(true), &json!(0)),
        "{told}"
    );
}

#[test]
fn a_re_run_killed_while_it_uploads_its_lines_is_resumed_and_started_once() {
    let (serving, mut random) = (Serving::start(), seeded());
    for count in 500..504 {
        let lookup = Lookup::start();
        let run = started(&serving, &lookup, count, 50, 3);
        lookup.repair();
        let rerun = ["rerun", &run, "--yes"];
        let after = Duration::from_millis(random.random_range(0..12));
        killed(&serving, &rerun, "\"row\":\"sent\"", 1, after);
        resumed(&serving);
        is_healed_once(&serving, &run);
    }
}

#[test]
fn a_bulk_re_run_that_is_killed_is_resumed_and_nothing_starts_twice() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let runs: Vec<String> = (20..25)
        .map(|count| started(&serving, &lookup, count, 50, 3))
        .collect();
    lookup.repair();
    let mut rerun = vec!["rerun", "--yes"];
    rerun.extend(runs.iter().map(String::as_str));
    killed(&serving, &rerun, "\"row\":\"accepted\"", 2, Duration::ZERO);
    assert_eq!(resumed(&serving), 1);
    for run in &runs {
        is_healed_once(&serving, run);
    }
}

/// As if the last row of every journal had not been written.
fn forget_the_end(serving: &Serving) {
    let folder = serving.folder().join("state/fanout/journal");
    for journal in fs::read_dir(folder).unwrap() {
        let path = journal.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        let (last, rows) = rows.split_last().unwrap();
        assert!(
            last.contains("accepted") || last.contains("refused"),
            "{last}"
        );
        fs::write(&path, rows.join("\n") + "\n").unwrap();
    }
}

#[test]
fn a_merge_into_a_file_that_was_killed_when_the_file_was_there_is_found_complete() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let run = started(&serving, &lookup, 40, 50, 3);
    let merge = ["outputs", "merge", &run, "--to", "all.txt", "--plan", "p"];
    serving.fanout(&merge).success();
    serving.fanout(&["apply", "p", "--yes"]).success();
    let file = serving.folder().join("all.txt");
    let whole = fs::read(&file).unwrap();
    forget_the_end(&serving);
    let listed = serving.fanout(&["resume", "--json"]).success().json();
    let name = listed["operations"][0]["operation"].as_str().unwrap();
    let resumed = serving.fanout(&["resume", name, "--yes"]).success();
    let said = resumed.stderr();
    assert!(
        said.contains("all.txt was there already: 36 of 40 lines"),
        "{said}"
    );
    assert_eq!(fs::read(&file).unwrap(), whole);
    // Another file of that name is nobody's to take for it, or to overwrite.
    forget_the_end(&serving);
    fs::write(&file, "theirs").unwrap();
    let refused = serving.fanout(&["resume", name, "--yes"]).exit(4);
    assert!(refused.stderr().contains("all.txt"), "{}", refused.stderr());
    assert_eq!(fs::read(&file).unwrap(), b"theirs");
}

#[test]
fn a_merge_that_is_killed_is_resumed_to_the_same_object() {
    let (serving, lookup, mut random) = (Serving::start(), Lookup::start(), seeded());
    let run = started(&serving, &lookup, 600, 50, 3);
    lookup.repair();
    serving
        .fanout(&["rerun", &run, "--yes", "--wait"])
        .success();
    for round in 0..3 {
        let plan = format!("merge-{round}.json");
        let described = serving.fanout(&["wait", &run, "--json"]).exit(3).json();
        let output: &Value = &described["runs"][0]["output"]["output"];
        let to = format!("s3://{}/merged-{round}", output["bucket"].as_str().unwrap());
        let merge = ["outputs", "merge", &run, "--to", &to, "--plan", &plan];
        serving.fanout(&merge).success();
        let after = Duration::from_millis(random.random_range(0..60));
        let apply = ["apply", &plan, "--yes"];
        killed(&serving, &apply, "\"row\":\"sent\"", 1, after);
        resumed(&serving);
        let merged = serving.fanout(&["outputs", "merge", &run, "--to", &to, "--yes", "--json"]);
        let merged = merged.success().json();
        assert_eq!(
            (&merged["merged"]["existed"], &merged["merged"]["succeeded"]),
            (&json!(true), &json!(600)),
            "{merged}"
        );
    }
}
