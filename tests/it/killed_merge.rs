//! The real program killed while it merges: run again, the file is whole and nothing is twice.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use aws_sdk_sfn::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::house::{Lookup, Serving, fanout, lines_of};

const LINES: usize = 2_000;
/// Every so many lines is one that the service refuses until it is repaired.
const BAD: usize = 10;

fn word(n: usize) -> String {
    match n.is_multiple_of(BAD) {
        true => format!("bad {n}"),
        false => format!("word {n}"),
    }
}

/// A run that has ended with a tenth of its lines failed.
fn started(serving: &Serving, lookup: &Lookup) -> Value {
    let file = serving.folder().join("words.txt");
    let text: String = (1..=LINES).map(|n| word(n) + "\n").collect();
    fs::write(&file, text).unwrap();
    let input = json!({
        "request": {"url": format!("{}/{{line}}", lookup.url())},
        "output": {"line": "{line},{response}"},
        "concurrency": 50,
        "tolerate": 50,
    });
    let (file, input) = (file.to_str().unwrap(), input.to_string());
    let start = ["start", file, "--name", "a", "--input", &input, "--yes"];
    serving.fanout(&start).success();
    let waited = serving.fanout(&["wait", "a", "--json"]).exit(3).json();
    waited["runs"][0]["output"].clone()
}

fn expected(without: impl Fn(usize) -> bool) -> Vec<String> {
    let lines = (1..=LINES).filter(|n| !without(*n));
    lines.map(|n| format!("{},ok", word(n))).collect()
}

#[expect(clippy::print_stdout, reason = "a failure is repeated with the seed")]
pub fn seeded() -> StdRng {
    let seed = std::env::var("FANOUT_SEED").ok();
    let seed = seed
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    println!("FANOUT_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// A verb that is killed after so long, if it has not ended before that.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing is waited for: the moment of the kill is the point"
)]
fn killed(serving: &Serving, arguments: &[&str], after: Duration) {
    let mut command = fanout(serving.folder());
    let command = command.arg("--data-dir").arg(serving.data()).arg("--local");
    let command = command.args(arguments).stdout(Stdio::null());
    let mut process: Child = command.stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    process.kill().unwrap();
    process.wait().unwrap();
}

fn is_whole(path: &Path, expected: &[String]) {
    assert_eq!(lines_of(path), expected, "{}", path.display());
}

#[test]
fn a_killed_merge_leaves_no_half_file_and_ends_as_if_nothing_had_been() {
    let (serving, lookup) = (Serving::start(), Lookup::start());
    let mut random = seeded();
    let output = started(&serving, &lookup);
    let bucket = output["output"]["bucket"].as_str().unwrap();
    let open = |n: usize| n.is_multiple_of(BAD);
    let expected = expected(open);
    for round in 0..3 {
        let here = serving.folder().join(format!("here-{round}.txt"));
        let there = format!("s3://{bucket}/merged/{round}.txt");
        for to in [here.to_str().unwrap(), &there] {
            let merge = ["outputs", "merge", "a", "--yes", "--to", to];
            for _ in 0..3 {
                killed(
                    &serving,
                    &merge,
                    Duration::from_millis(random.random_range(0..250)),
                );
                if here.exists() {
                    is_whole(&here, &expected);
                }
            }
            // The killed ones may have come to their end.
            let done = here.exists() && to == here.to_str().unwrap();
            serving.fanout(&merge).exit(if done { 4 } else { 3 });
        }
        is_whole(&here, &expected);
        let failed = lines_of(
            &serving
                .folder()
                .join(format!("here-{round}.txt.failed.jsonl")),
        );
        assert_eq!(failed.len(), LINES / BAD);
    }
    let listed = serving
        .fanout(&["outputs", "reconcile", "a", "--json"])
        .exit(3)
        .json();
    assert_eq!(
        listed["reconciliation"]["failed"]["count"],
        LINES / BAD,
        "{listed}"
    );
    assert_eq!(listed["complete"], false);
}

struct Remote {
    sfn: aws_sdk_sfn::Client,
    s3: aws_sdk_s3::Client,
}

fn remote(serving: &Serving) -> Remote {
    let text = fs::read_to_string(serving.data().join("engine.json")).unwrap();
    let endpoint: Value = serde_json::from_str(&text).unwrap();
    let text = |name: &str| endpoint[name].as_str().unwrap();
    let keys = Credentials::new(text("access_key"), text("secret_key"), None, None, "test");
    let sfn = aws_sdk_sfn::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(text("url"))
        .credentials_provider(keys.clone());
    let s3 = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(text("url"))
        .force_path_style(true)
        .credentials_provider(keys);
    Remote {
        sfn: aws_sdk_sfn::Client::from_conf(sfn.build()),
        s3: aws_sdk_s3::Client::from_conf(s3.build()),
    }
}

/// Starts a re-run of these lines, merged with `output`, and returns once Postprocess has begun.
async fn rerun(serving: &Serving, number: usize, lines: &[usize], output: &Value) {
    let Remote { sfn, s3 } = remote(serving);
    let first = sfn
        .list_executions()
        .state_machine_arn("arn:aws:states:us-east-1:000000000000:stateMachine:fanout");
    let first = first.send().await.unwrap();
    let first = first
        .executions()
        .iter()
        .find(|it| it.name() == "a")
        .unwrap();
    let described = sfn
        .describe_execution()
        .execution_arn(first.execution_arn());
    let described = described.send().await.unwrap();
    let mut input: Value = serde_json::from_str(described.input().unwrap()).unwrap();
    let bucket = output["output"]["bucket"].as_str().unwrap();
    let key = format!("reruns/{number}.jsonl");
    let line = |n: &usize| json!({"n": n, "line": word(*n)}).to_string() + "\n";
    let text: String = lines.iter().map(line).collect();
    let put = s3.put_object().bucket(bucket).key(&key);
    put.body(text.into_bytes().into()).send().await.unwrap();
    input["only"] = json!({"bucket": bucket, "key": key});
    input["merge"] =
        json!({"output": output["output"], "failed": output["failed"], "lines": LINES});
    let start = sfn.start_execution().name(format!("a-r{number}-0123abcd"));
    let start = start.state_machine_arn(first.state_machine_arn());
    let started = start.input(input.to_string()).send().await.unwrap();
    loop {
        let history = sfn
            .get_execution_history()
            .execution_arn(started.execution_arn());
        let history = history.send().await.unwrap();
        let mut kinds = history.events().iter().map(HistoryEvent::r#type);
        if kinds.any(|kind| *kind == HistoryEventType::MapStateExited) {
            return;
        }
    }
}

#[test]
fn a_postprocess_that_is_killed_while_it_merges_merges_once() {
    let (mut serving, lookup) = (Serving::start(), Lookup::start());
    let mut random = seeded();
    let output = started(&serving, &lookup);
    lookup.repair();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bad: Vec<usize> = (1..=LINES).filter(|n| n.is_multiple_of(BAD)).collect();
    let parts: Vec<&[usize]> = bad.chunks(bad.len() / 4).collect();
    for (part, lines) in parts.iter().enumerate() {
        let number = part + 1;
        runtime.block_on(rerun(&serving, number, lines, &output));
        killed_after(&mut serving, random.random_range(0..25));
        serving.restart();
        let name = format!("a-r{number}-0123abcd");
        serving.fanout(&["wait", &name]).exit(0);
        let written = serving
            .fanout(&["outputs", "cat", &name])
            .success()
            .stdout();
        let written: Vec<&str> = written.lines().collect();
        let open = |n: usize| n.is_multiple_of(BAD) && !lines.contains(&n);
        assert_eq!(written, expected(open), "{name}");
    }
    let told = serving
        .fanout(&["outputs", "reconcile", "a", "--json"])
        .success()
        .json();
    assert_eq!(told["complete"], true, "{told}");
    assert_eq!(told["reconciliation"]["duplicates"]["count"], 0, "{told}");
    let merged = serving.folder().join("merged.txt");
    let merge = ["outputs", "merge", "a", "--to", merged.to_str().unwrap()];
    serving.fanout(&merge).success();
    is_whole(&merged, &expected(|_| false));
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing is waited for: the moment of the kill is the point"
)]
fn killed_after(serving: &mut Serving, milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
    serving.kill();
}
