//! The real program killed in the middle of a run: what it serves afterwards is complete.

use crate::house::{Serving, lines_of};

/// Lines in the file, and how often the process is killed while they are worked on.
const LINES: usize = 3_000;
const KILLS: usize = 4;

#[test]
fn a_killed_engine_goes_on_and_gives_every_line_once_and_in_order() {
    let mut serving = Serving::start();
    let lookup = crate::house::Lookup::start();
    let file = serving.folder().join("words.txt");
    let lines: Vec<String> = (1..=LINES).map(|n| format!("word {n}")).collect();
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let input = format!(
        r#"{{"request":{{"url":"{}/{{line}}"}},"output":{{"line":"{{line}},{{response}}"}},"concurrency":50}}"#,
        lookup.url()
    );
    serving
        .fanout(&[
            "start",
            file.to_str().unwrap(),
            "--name",
            "killed",
            "--input",
            &input,
            "--yes",
        ])
        .success();
    for kill in 1..=KILLS {
        // Each kill comes when some more requests have been answered.
        lookup.wait_for_requests(kill * LINES / (KILLS + 1));
        serving.kill();
        serving.restart();
    }
    serving.fanout(&["wait", "killed"]).success();
    let target = serving.folder().join("out.csv");
    serving
        .fanout(&["outputs", "get", "killed", "--to", target.to_str().unwrap()])
        .success();
    let output = lines_of(&target);
    assert_eq!(output.len(), LINES);
    for (line, out) in lines.iter().zip(&output) {
        assert_eq!(out, &format!("{line},ok"));
    }
    let counts = serving.fanout(&["runs", "--json"]).json();
    assert!(counts.to_string().contains("SUCCEEDED"), "{counts}");
}
