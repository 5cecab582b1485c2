//! The real program killed in the middle of runs: what it serves afterwards is complete.

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
