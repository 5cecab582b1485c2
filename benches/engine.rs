//! How fast the engine runs a Distributed Map with full durability, beside the bare append and
//! sync of the bytes that it keeps: `cargo bench --bench engine [-- SIZE …]`.
//!
//! Each item is a JSON line. The Express children are a Pass, or a Choice after which one in a
//! hundred fails. Result files are written and children can be listed, as in any run. Each
//! measurement is a process of its own, so that its peak memory is its own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and it prints"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fanout::engine::Engine;
use fanout::engine::api::sfn;
use serde_json::{Value, json};

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// Bytes between two syncs of the bare append: about what the engine's group commits come to.
const SYNC: usize = 1 << 20;

/// What the children do.
#[derive(Clone, Copy)]
enum Child {
    Pass,
    Choice,
}

impl Child {
    const ALL: [Self; 2] = [Self::Pass, Self::Choice];

    fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Choice => "choice",
        }
    }

    fn states(self) -> Value {
        match self {
            Self::Pass => {
                json!({"StartAt": "Good", "States": {"Good": {"Type": "Pass", "End": true}}})
            }
            Self::Choice => json!({"StartAt": "Which", "States": {
                "Which": {"Type": "Choice", "Choices": [{"Variable": "$.bad", "BooleanEquals": true, "Next": "Bad"}], "Default": "Good"},
                "Good": {"Type": "Pass", "End": true},
                "Bad": {"Type": "Fail", "Error": "Bad", "Cause": "one in a hundred"}}}),
        }
    }

    fn failures(self, size: u64) -> u64 {
        match self {
            Self::Pass => 0,
            Self::Choice => size.div_ceil(100),
        }
    }
}

fn definition(child: Child) -> String {
    let mut processor = child.states();
    processor["ProcessorConfig"] = json!({"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"});
    json!({"StartAt": "Map", "States": {"Map": {"Type": "Map", "Label": "Items", "End": true,
        "ToleratedFailurePercentage": 50,
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSONL"},
            "Parameters": {"Bucket": "b", "Key": "items"}},
        "ItemProcessor": processor,
        "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "out"}}}}})
    .to_string()
}

async fn call(engine: &Engine, operation: &str, body: Value) -> Value {
    sfn::call(engine, operation, body.to_string().as_bytes())
        .await
        .unwrap()
}

/// Runs one map; returns how long it took and how many bytes its log has.
async fn run(folder: &Path, child: Child, size: u64) -> (Duration, u64) {
    let engine = Engine::open(folder).await.unwrap();
    engine.objects().create_bucket("b").unwrap();
    let mut items = engine.objects().write("b", "items").unwrap();
    for n in 0..size {
        writeln!(
            items,
            r#"{{"n":{n},"bad":{},"text":"item number {n}"}}"#,
            n % 100 == 0
        )
        .unwrap();
    }
    items.commit(false).unwrap();
    let machine = json!({"name": "bench", "roleArn": "arn:aws:iam::000000000000:role/r", "definition": definition(child)});
    let machine = call(&engine, "CreateStateMachine", machine).await;
    let begun = Instant::now();
    let started = call(
        &engine,
        "StartExecution",
        json!({"stateMachineArn": machine["stateMachineArn"]}),
    )
    .await;
    let described = json!({"executionArn": started["executionArn"]});
    loop {
        let execution = call(&engine, "DescribeExecution", described.clone()).await;
        match execution["status"].as_str() {
            Some("RUNNING") => tokio::time::sleep(Duration::from_millis(1)).await,
            Some("SUCCEEDED") => break,
            other => panic!("{other:?}: {execution}"),
        }
    }
    let took = begun.elapsed();
    let runs = call(&engine, "ListMapRuns", described).await;
    let run = call(
        &engine,
        "DescribeMapRun",
        json!({"mapRunArn": runs["mapRuns"][0]["mapRunArn"]}),
    )
    .await;
    assert_eq!(run["itemCounts"]["succeeded"], size - child.failures(size));
    let logs = std::fs::read_dir(folder.join("map_runs")).unwrap();
    let bytes = logs
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    engine.stop().await;
    (took, bytes)
}

/// Appends and syncs so many bytes, and nothing else.
fn bare(folder: &Path, bytes: u64) -> Duration {
    let mut file = File::create(folder.join("bare")).unwrap();
    let chunk = vec![b'x'; SYNC];
    let begun = Instant::now();
    let mut left = bytes;
    while left > 0 {
        let part = left.min(SYNC as u64);
        file.write_all(&chunk[..part as usize]).unwrap();
        file.sync_data().unwrap();
        left -= part;
    }
    begun.elapsed()
}

/// Peak resident memory of this process, bytes; 0 where the system does not tell.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// One row of the table.
fn measure(child: Child, size: u64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (took, bytes) = runtime.block_on(run(folder.path(), child, size));
    let peak = peak();
    let bare = bare(folder.path(), bytes);
    println!(
        "{:>8} {size:>10} {:>10.2} {:>12.0} {:>12.2} {:>8.2} {:>10.0}",
        child.name(),
        took.as_secs_f64(),
        size as f64 / took.as_secs_f64(),
        bare.as_secs_f64(),
        bare.as_secs_f64() / took.as_secs_f64(),
        peak as f64 / 1e6
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(child) = Child::ALL
        .into_iter()
        .find(|child| arguments.first().is_some_and(|first| first == child.name()))
    {
        return measure(child, arguments[1].parse().unwrap());
    }
    let given: Vec<u64> = arguments
        .iter()
        .filter_map(|size| size.parse().ok())
        .collect();
    let sizes = if given.is_empty() {
        SIZES.to_vec()
    } else {
        given
    };
    println!(
        "{:>8} {:>10} {:>10} {:>12} {:>12} {:>8} {:>10}",
        "child", "items", "seconds", "items/s", "bare, s", "ratio", "peak, MB"
    );
    for child in Child::ALL {
        for size in &sizes {
            let row = Command::new(std::env::current_exe().unwrap())
                .args([child.name(), &size.to_string()])
                .status();
            assert!(row.unwrap().success());
        }
    }
}
