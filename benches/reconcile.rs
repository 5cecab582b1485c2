//! How fast results are reconciled and merged: `cargo bench --bench reconcile [-- LINES]`.
//!
//! Result files of that many lines, every hundredth failed, read from the engine's S3 in this
//! process and counted; then read again, sorted and written as one output.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and it prints"
)]

use std::time::Instant;

use fanout::client::{Client, Options, Target};
use fanout::engine::{Engine, REGION};
use fanout::lines::{Gathered, Results, Shape, Tally, result_files};
use fanout::model::ObjectAddress;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const LINES: u64 = 1_000_000;
const BUCKET: &str = "data";

fn record(n: u64) -> (bool, String) {
    // As children end: not in order.
    let succeeded = !n.is_multiple_of(100);
    let input = json!({"n": n, "line": format!("Quito {n}, Ecuador"), "execution": "places-77de",
        "request": {"url": "https://lookup.internal/v1?q={line}", "method": "GET", "headers": {},
            "timeoutSeconds": 10}, "template": "{line},{response.code}"});
    let mut record = json!({
        "ExecutionArn": format!("arn:aws:states:eu-west-1:472100009012:express:fanout/Lines:{n:08x}-aaaa:{n:08x}"),
        "Input": input.to_string(),
        "InputDetails": {"Included": true},
        "Name": format!("{n:08x}-aaaa"),
        "RedriveCount": 0,
        "StartDate": "2026-11-23T09:00:14.031Z",
        "StateMachineArn": "arn:aws:states:eu-west-1:472100009012:stateMachine:fanout/Lines",
        "Status": if succeeded { "SUCCEEDED" } else { "FAILED" },
        "StopDate": "2026-11-23T09:00:44.081Z",
    });
    if succeeded {
        let output = json!({"n": n, "line": format!("Quito {n}, Ecuador,EC")});
        record["Output"] = output.to_string().into();
    } else {
        record["Error"] = "Worker.Rejected".into();
        record["Cause"] = "404 Not Found".into();
    }
    (succeeded, record.to_string())
}

async fn write(client: &Client, lines: u64, wanted: bool, key: &str) -> u64 {
    let address = ObjectAddress::new(BUCKET, key);
    let mut writer = client.write(&address, [].into()).await.unwrap();
    let mut block = String::from("[");
    // A stride that meets every line once, since it shares no factor with the count below.
    let mut is_first = true;
    for at in 0..lines {
        let n = at * 7_919 % lines + 1;
        let (succeeded, record) = record(n);
        if succeeded != wanted {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            block.push(',');
        }
        block.push_str(&record);
        if block.len() > 1 << 20 {
            writer.write(block.as_bytes()).await.unwrap();
            block.clear();
        }
    }
    block.push(']');
    writer.write(block.as_bytes()).await.unwrap();
    writer.finish().await.unwrap().size
}

fn main() {
    let lines = std::env::args().skip(1).find_map(|it| it.parse().ok());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(lines.unwrap_or(LINES)));
}

async fn run(lines: u64) {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path()).await.unwrap();
    let address = engine.serve(0, CancellationToken::new()).await.unwrap();
    let keys = engine.credentials().clone();
    let target = Target::Endpoint {
        url: format!("http://{address}"),
        region: REGION.to_owned(),
        access_key: keys.access_key,
        secret_key: keys.secret_key,
    };
    let options = Options {
        read_only: false,
        budget_share: 1.0,
        trail: None,
        shared_in: None,
    };
    let client = Client::connect(target, options).await.unwrap();
    client.create_bucket(BUCKET).await.unwrap();
    let (succeeded, failed) = ("r/SUCCEEDED_0.json", "r/FAILED_0.json");
    let sizes = [
        write(&client, lines, true, succeeded).await,
        write(&client, lines, false, failed).await,
    ];
    let manifest = ObjectAddress::new(BUCKET, "r/manifest.json");
    let listed = json!({"DestinationBucket": BUCKET, "ResultFiles": {
        "SUCCEEDED": [{"Key": succeeded, "Size": sizes[0]}],
        "FAILED": [{"Key": failed, "Size": sizes[1]}]}});
    let mut writer = client.write(&manifest, [].into()).await.unwrap();
    writer.write(listed.to_string().as_bytes()).await.unwrap();
    writer.finish().await.unwrap();
    let bytes = sizes[0] + sizes[1];
    println!("{lines} lines, {} MB of results", bytes / 1_000_000);

    let files = result_files(&client, &manifest).await.unwrap();
    let began = Instant::now();
    let counted = Gathered::counted(Tally::new(lines));
    let counted = counted
        .read_results(&client, Results::of(&files, &Shape::Ours), 1)
        .await;
    let counts = counted.unwrap().tally().counts();
    assert_eq!(
        (counts.succeeded, counts.missing()),
        (lines - lines / 100, 0)
    );
    told("reconcile", bytes, began);

    let began = Instant::now();
    let sorted = Gathered::sorted(Tally::new(lines));
    let sorted = sorted
        .read_results(&client, Results::of(&files, &Shape::Ours), 1)
        .await;
    let address = ObjectAddress::new(BUCKET, "out");
    let mut output = client.write(&address, [].into()).await.unwrap();
    sorted.unwrap().write(&mut output, None).await.unwrap();
    output.finish().await.unwrap();
    told("merge", bytes, began);
    engine.stop().await;
}

fn told(what: &str, bytes: u64, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    let rate = bytes as f64 / 1e6 / seconds;
    println!("{what}: {seconds:.2} s, {rate:.0} MB/s");
}
