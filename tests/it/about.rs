//! What the program tells of itself: words for a shell, pages, files for an account.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::house::{Given, Lookup, Serving, fanout};

/// What a shell is offered for the last of these words.
fn offered(home: &Path, words: &[&str]) -> Vec<String> {
    let mut command = fanout(home);
    command
        .env("FANOUT_COMPLETE", "fish")
        .args(["--", "fanout"])
        .args(words);
    let given = Given(command.output().unwrap()).success();
    assert_eq!(given.stderr(), "");
    let words = given.stdout();
    let words = words.lines().filter_map(|line| line.split('\t').next());
    words.map(str::to_owned).collect()
}

#[test]
fn a_shell_is_offered_verbs_runs_machines_and_profiles() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let home = serving.folder();
    fs::write(home.join("words.txt"), "one\n").unwrap();
    let input = json!({"request": {"url": format!("{}/{{line}}", lookup.url())}}).to_string();
    let flags = ["--name", "first-run", "--yes", "--wait", "--input", &input];
    serving
        .fanout(&[&["start", "words.txt"], flags.as_slice()].concat())
        .success();
    fs::create_dir_all(home.join(".aws")).unwrap();
    fs::write(
        home.join(".aws/config"),
        "[profile night]\nregion = eu-west-1\n",
    )
    .unwrap();

    let data = serving.data();
    let there = ["--local", "--data-dir", data.to_str().unwrap()];
    let at = |words: &[&str]| offered(home, &[&there, words].concat());
    assert_eq!(at(&["redr"]), ["redrive"]);
    assert_eq!(at(&["redrive", "fi"]), ["first-run"]);
    assert_eq!(at(&["outputs", "cat", "la"]), ["last"]);
    assert_eq!(at(&["--machine", "f"]), ["fanout"]);
    assert_eq!(offered(home, &["--profile", "n"]), ["night"]);
}

#[test]
fn completing_a_word_opens_no_engine() {
    let home = tempfile::tempdir().unwrap();
    assert!(offered(home.path(), &["redrive", "x"]).is_empty());
    assert!(!home.path().join("data").exists());
}

#[test]
fn every_verb_has_a_page_and_every_shell_its_words() {
    let home = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| Given(fanout(home.path()).args(words).output().unwrap()).success();
    run(&["man", "--out", "pages"]);
    for page in ["fanout.1", "fanout-redrive.1", "fanout-outputs-get.1"] {
        let text = fs::read_to_string(home.path().join("pages").join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish", "nushell"] {
        let words = run(&["completions", shell]).stdout();
        assert!(words.contains("redrive"), "{shell}");
    }
}

#[test]
fn what_deploys_is_written_and_told_without_asking_aws() {
    let home = tempfile::tempdir().unwrap();
    let deploy = |flags: &[&str]| {
        let mut command = fanout(home.path());
        // Whoever asks anybody finds nobody there.
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
        Given(
            command
                .args(["deploy", "--print"])
                .args(flags)
                .output()
                .unwrap(),
        )
    };
    let told = deploy(&[]).exit(2).stderr();
    assert!(told.contains("no Region"), "{told}");
    let flags = [
        "--region",
        "eu-west-1",
        "--out",
        "made",
        "--architecture",
        "arm64",
        "--json",
    ];
    let told = deploy(&flags).success().json();
    assert_eq!(
        told["files"],
        json!(["made/template.yaml", "made/workflow.asl.json"])
    );
    let script = told["script"].as_str().unwrap();
    for part in [
        "--region eu-west-1 ",
        "Architecture=arm64",
        "bootstrap-arm64.zip",
    ] {
        assert!(script.contains(part), "{part} in {script}");
    }
    let template = fs::read_to_string(home.path().join("made/template.yaml")).unwrap();
    assert!(template.contains("states:RedriveExecution") && template.contains("\"Lines\""));
    fs::write(home.path().join("made/template.yaml"), "mine").unwrap();
    deploy(&flags).exit(4);
}
