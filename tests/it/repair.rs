//! Plans, redrives, re-runs, journals and the trail, by the real program.

use std::fs;

use serde_json::{Value, json};

use crate::house::{Lookup, Serving};

/// A file of `count` lines, every tenth of them bad, and the run that they make.
pub fn started(
    serving: &Serving,
    lookup: &Lookup,
    count: usize,
    tolerate: u32,
    code: i32,
) -> String {
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

/// The file of `count` lines as it is once every line has succeeded.
fn healed(count: usize) -> String {
    let line = |n: usize| match n % 10 {
        3 => format!("bad-{n} ok\n"),
        _ => format!("word-{n} ok\n"),
    };
    (1..=count).map(line).collect()
}

#[test]
fn the_lost_lines_of_a_part_run_are_run_again_and_merged_once() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let run = started(&serving, &lookup, 60, 50, 3);
    let shown = serving
        .fanout(&["rerun", &run, "--dry-run", "--json"])
        .success()
        .json();
    assert_eq!(
        (&shown["will_run"], &shown["plan"]["exact"]),
        (&json!(6), &json!(true))
    );
    let name = shown["plan"]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with(&format!("{run}-r1-")), "{name}");
    assert!(shown["plan"]["merges_with"]["key"].is_string(), "{shown}");
    assert_eq!(shown["plan"]["groups"][0]["count"], 6);

    lookup.repair();
    let ended = serving
        .fanout(&["rerun", &run, "--yes", "--wait", "--json"])
        .success()
        .json();
    assert_eq!(ended["runs"][0]["name"], name.as_str());
    assert_eq!(ended["runs"][0]["map_run"]["items"]["succeeded"], 6);
    assert_eq!(
        serving
            .fanout(&["outputs", "cat", &name])
            .success()
            .stdout(),
        healed(60)
    );
    let known = serving.fanout(&["failures", &run, "--attempts", "--json"]);
    let known = known.success().json();
    let known = known["attempts"].as_array().unwrap();
    let open: Vec<(String, u64)> = known
        .iter()
        .map(|it| {
            let execution = it["execution"].as_str().unwrap();
            let name = execution.rsplit(':').next().unwrap().to_owned();
            (name, it["counts"]["failed"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(open, [(run.clone(), 6), (name.clone(), 0)]);
    let told = serving.fanout(&["failures", &run, "--attempts"]).success();
    assert!(
        told.stdout()
            .contains(&format!("re-run {name}, attempt 1: 6 succeeded"))
    );
    let again = serving.fanout(&["rerun", &run, "--yes"]).exit(4);
    assert!(
        again.stderr().contains("these very items already"),
        "{}",
        again.stderr()
    );
    let nothing = serving.fanout(&["rerun", &name, "--yes"]).exit(4);
    assert!(
        nothing.stderr().contains("nothing is left"),
        "{}",
        nothing.stderr()
    );
}

#[test]
fn chosen_lines_run_with_edits_and_the_others_stay_open() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let run = started(&serving, &lookup, 60, 50, 3);
    let file = serving.folder().join("lines.jsonl");
    let edit = [
        "rerun",
        &run,
        "--lines",
        "1-20",
        "--edited",
        "lines.jsonl",
        "--yes",
        "--wait",
        "--json",
    ];
    for (text, problem) in [
        ("{\"n\":3}\n", "line 1: line is missing"),
        (
            "{\"n\":3,\"line\":\"a\"}\n{\"n\":4,\"line\":\"b\"}\n",
            "line 2: 4 is not among",
        ),
        ("{\"n\":3,\"line\":\"a\"}\nno\n", "line 2:"),
        ("\n", "everything was taken out"),
    ] {
        fs::write(&file, text).unwrap();
        let refused = serving.fanout(&edit).exit(4);
        assert!(refused.stderr().contains(problem), "{}", refused.stderr());
    }
    fs::write(
        &file,
        "{\"n\":3,\"line\":\"word-3\"}\n{\"n\":13,\"line\":\"bad-13\"}\n",
    )
    .unwrap();
    let ended = serving.fanout(&edit).exit(3);
    let said = ended.stderr();
    assert!(
        said.contains("3 - bad-3") && said.contains("+ word-3"),
        "{said}"
    );
    let name = ended.json()["runs"][0]["name"].as_str().unwrap().to_owned();
    let output = serving
        .fanout(&["outputs", "cat", &name])
        .success()
        .stdout();
    assert_eq!(output.lines().nth(2), Some("word-3 ok"));
    assert_eq!(output.lines().count(), 55);
    // What was not chosen is open in the merged run too, beside what failed again.
    lookup.repair();
    let rest = serving
        .fanout(&["rerun", &name, "--yes", "--wait", "--json"])
        .success()
        .json();
    let last = rest["runs"][0]["name"].as_str().unwrap();
    assert!(last.starts_with(&format!("{run}-r2-")), "{last}");
    let output = serving.fanout(&["outputs", "cat", last]).success().stdout();
    assert_eq!(output, healed(60).replace("bad-3 ", "word-3 "));
}

#[test]
fn a_canary_runs_a_few_of_each_group_and_asks_before_the_rest() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let run = started(&serving, &lookup, 60, 50, 3);
    let canary = [
        "rerun",
        &run,
        "--canary",
        "2",
        "--note",
        "gateway mended",
        "--yes",
        "--wait",
        "--json",
    ];
    let refused = serving.fanout(&canary).exit(4);
    assert!(
        refused.stderr().contains("100.0 % of the canary failed"),
        "{}",
        refused.stderr()
    );
    lookup.repair();
    let canary = ["rerun", &run, "--canary", "3", "--yes", "--wait", "--json"];
    let ended = serving.fanout(&canary).success();
    assert!(
        ended.stderr().contains("3 succeeded, 0 failed"),
        "{}",
        ended.stderr()
    );
    let last = ended.json()["runs"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(
        serving
            .fanout(&["outputs", "cat", &last])
            .success()
            .stdout(),
        healed(60)
    );
}

/// Lines of the journals that hold this text.
pub fn journalled(serving: &Serving, text: &str) -> usize {
    let folder = serving.folder().join("state/fanout/journal");
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    texts.map(|journal| journal.matches(text).count()).sum()
}

#[test]
fn killed_in_the_middle_of_several_redrives_resume_does_the_rest_once() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let runs: Vec<String> = (20..26)
        .map(|count| started(&serving, &lookup, count, 1, 1))
        .collect();
    lookup.repair();
    let mut redrive = crate::house::fanout(serving.folder());
    redrive
        .arg("--data-dir")
        .arg(serving.data())
        .args(["--local", "redrive", "--yes"])
        .args(&runs);
    let mut killed = redrive.stdout(std::process::Stdio::null()).spawn().unwrap();
    while journalled(&serving, "\"row\":\"accepted\"") < 2 {
        assert!(
            killed.try_wait().unwrap().is_none(),
            "it ended before it could be killed"
        );
        std::thread::yield_now();
    }
    killed.kill().unwrap();
    killed.wait().unwrap();

    let listed = serving.fanout(&["resume", "--json"]).success().json();
    let operation = &listed["operations"][0];
    assert_eq!(operation["items"], 6);
    let left = operation["left"].as_u64().unwrap();
    assert!((1..=4).contains(&left), "{left}");
    let name = operation["operation"].as_str().unwrap();
    let resumed = serving
        .fanout(&["resume", name, "--yes", "--wait", "--json"])
        .success()
        .json();
    for run in resumed["runs"].as_array().unwrap() {
        assert_eq!(
            (&run["state"], &run["redrives"]),
            (&json!("SUCCEEDED"), &json!(1)),
            "{run}"
        );
    }
    assert_eq!(resumed["runs"].as_array().unwrap().len(), 6);
    serving.fanout(&["resume", name, "--yes"]).exit(4);
    let none = serving.fanout(&["resume", "--json"]).success().json();
    assert_eq!(none["operations"], json!([]));
    serving.fanout(&["resume", "../../x", "--yes"]).exit(4);
}

#[test]
fn the_ledger_tells_whether_a_redrive_helped() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let run = started(&serving, &lookup, 40, 1, 1);
    serving
        .fanout(&["redrive", &run, "--note", "try", "--yes", "--wait"])
        .exit(1);
    serving
        .fanout(&["redrive", &run, "--yes", "--wait"])
        .exit(1);
    let shown = serving
        .fanout(&["redrive", &run, "--dry-run", "--json"])
        .success()
        .json();
    let attempts = shown["plan"]["facts"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{shown}");
    assert_eq!(
        (&attempts[0]["attempt"], &attempts[0]["note"]),
        (&json!(0), &json!("try"))
    );
    assert!(
        attempts[0]["groups"]
            .as_array()
            .is_some_and(|groups| !groups.is_empty())
    );
    let known = serving
        .fanout(&["failures", &run, "--attempts", "--json"])
        .success()
        .json();
    let known = known["attempts"].as_array().unwrap();
    let numbers: Vec<u64> = known
        .iter()
        .map(|it| it["attempt"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [0, 1, 2]);
    lookup.repair();
    let repeated = [
        "redrive", &run, "--repeat", "2", "--pause", "0s", "--yes", "--wait",
    ];
    serving.fanout(&repeated).success();
}

#[test]
fn a_merge_is_planned_written_down_and_carried_out_by_somebody_else() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let run = started(&serving, &lookup, 40, 1, 1);
    serving
        .fanout(&[
            "outputs",
            "merge",
            &run,
            "--to",
            "all.txt",
            "--plan",
            "merge.json",
        ])
        .success();
    assert!(!serving.folder().join("all.txt").exists());
    serving
        .fanout(&["apply", "merge.json", "--dry-run"])
        .success();
    serving.fanout(&["apply", "merge.json", "--yes"]).success();
    let merged = fs::read_to_string(serving.folder().join("all.txt")).unwrap();
    assert!(merged.lines().all(|line| line.ends_with(" ok")), "{merged}");
    let again = serving.fanout(&["apply", "merge.json", "--yes"]).exit(4);
    assert!(
        again.stderr().contains("no longer fits"),
        "{}",
        again.stderr()
    );
}
