//! A run that succeeded without all its lines, repaired from the dashboard.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{Terminal, command};
use crate::house::{Lookup, Serving};

/// A dashboard on an engine that serves already, with an editor that mends every line.
fn dashboard(serving: &Serving, editor: &Path) -> Terminal {
    let data = serving.data();
    let arguments = ["--local", "--data-dir", data.to_str().unwrap()];
    let mut program = command(serving.folder(), env!("CARGO_BIN_EXE_fanout"), &arguments);
    program.env("EDITOR", editor);
    Terminal::spawn(program, 120, 36)
}

#[test]
fn lost_lines_are_edited_and_run_again_and_the_trail_tells_of_it() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    fs::write(serving.folder().join("words.txt"), "one\nbad-two\nthree\n").unwrap();
    let input = json!({
        "request": {"url": format!("{}/{{line}}", lookup.url())},
        "output": {"line": "{line} {response}"},
        "tolerate": 90,
    });
    let input = input.to_string();
    serving
        .fanout(&["start", "words.txt", "--input", &input, "--yes", "--wait"])
        .exit(3);
    let editor = serving.folder().join("editor.sh");
    fs::write(&editor, "#!/bin/sh\nsed -i s/bad-two/two/ \"$1\"\n").unwrap();
    std::process::Command::new("chmod")
        .arg("+x")
        .arg(&editor)
        .status()
        .unwrap();

    let mut terminal = dashboard(&serving, &editor);
    terminal.wait("PART");
    terminal.press("r");
    // AWS cannot redrive it, so a re-run is chosen by itself.
    terminal.wait("(•) Re-run failed lines");
    terminal.wait("Run 1 items");
    let shown = terminal.text();
    let unedited = shown.split_whitespace().find(|it| it.contains("-r1-"));
    terminal.press("\x05");
    terminal.wait("Edited: 1 changed");
    terminal.wait("+ two");
    // Other lines are another execution: from here on its plan is the one that is run.
    terminal.wait_gone(unedited.unwrap());
    terminal.wait("-r1-");
    terminal.wait("Run 1 items");
    terminal.press("\t\r");
    terminal.wait("started words-");
    terminal.wait("-r1-");
    terminal.press("@");
    terminal.wait("aws stepfunctions start-execution");
    terminal.press("\r");
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
    terminal.is_restored();
    let ended = serving.fanout(&["wait", "last", "--json"]).success().json();
    let run = ended["runs"][0]["name"].as_str().unwrap();
    let output = serving.fanout(&["outputs", "cat", run]).success().stdout();
    assert_eq!(output, "one ok\ntwo ok\nthree ok\n");
}
