//! How many lines a second the whole local path works through (engine, Map Run, worker, one HTTP
//! request a line), beside the bare HTTP client doing the same requests against the same service:
//! `cargo bench --bench worker [-- LINES …]`.
//!
//! Both run at [`CONCURRENCY`] in one process with the service, so they share its cores alike.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and it prints"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanout::client::{Client, Options};
use fanout::local::lookup::{self, Lookup};
use fanout::local::{self, Local};
use fanout::model::{ObjectAddress, StateMachineArn, Status};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const LINES: [u64; 2] = [20_000, 100_000];
const CONCURRENCY: usize = 1_000;
const BUCKET: &str = "bench";

async fn service() -> Lookup {
    let options = lookup::Options {
        seed: 1,
        fail_percent: 0.0,
        latency: Duration::ZERO,
        hang: Duration::from_secs(1),
    };
    Lookup::start(options, 0).await.unwrap()
}

/// The requests alone, as the worker makes them: with its headers and its time limit.
async fn bare(service: &Lookup, lines: u64) -> Duration {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .user_agent("bare")
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    let template = service.url_template();
    let begun = Instant::now();
    let mut requests = JoinSet::new();
    for n in 1..=lines {
        let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
        let url = template
            .replace("{line}", &format!("line%20{n}"))
            .replace("{n}", &n.to_string());
        let client = client.clone();
        requests.spawn(async move {
            let answer = client
                .get(url)
                .header("idempotency-key", format!("bare/{n}"))
                .send();
            let answer = answer.await.unwrap();
            assert!(answer.status().is_success());
            answer.bytes().await.unwrap();
            drop(permit);
        });
        while requests.try_join_next().is_some() {}
    }
    while let Some(request) = requests.join_next().await {
        request.unwrap();
    }
    begun.elapsed()
}

/// The whole workflow; returns how long its Map Run took, and all of it.
async fn workflow(service: &Lookup, lines: u64) -> (Duration, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), BUCKET, local::Options::default())
        .await
        .unwrap();
    let options = Options {
        read_only: false,
        budget_share: 1.0,
        trail: None,
        shared_in: None,
    };
    let client = Client::connect(local.target(), options).await.unwrap();
    let text = (1..=lines).fold(String::new(), |text, n| {
        text + "line " + &n.to_string() + "\n"
    });
    let mut file = client
        .write(&ObjectAddress::new(BUCKET, "lines.txt"), BTreeMap::new())
        .await
        .unwrap();
    file.write(text.as_bytes()).await.unwrap();
    file.finish().await.unwrap();
    let machines = client.state_machines().await.unwrap();
    let machine: &StateMachineArn = &machines[0].arn;
    let input = json!({"source": {"bucket": BUCKET, "key": "lines.txt"},
        "request": {"url": service.url_template()}, "concurrency": CONCURRENCY});
    let begun = Instant::now();
    let arn = client
        .start_execution(machine, "bench", &input.to_string())
        .await
        .unwrap();
    let ended = loop {
        let execution = client.execution(&arn).await.unwrap();
        if execution.execution.status.is_closed() {
            break execution;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let whole = begun.elapsed();
    assert_eq!(ended.execution.status, Status::Succeeded, "{ended:?}");
    let runs = client.map_runs(&arn).await.unwrap();
    let run = client.map_run(&runs[0]).await.unwrap();
    assert_eq!(run.items.succeeded, lines);
    let took = run.stopped.unwrap().duration_since(run.started);
    local.stop().await;
    (took.unsigned_abs(), whole)
}

fn main() {
    let given: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|n| n.parse().ok())
        .collect();
    let sizes = if given.is_empty() {
        LINES.to_vec()
    } else {
        given
    };
    // Each of the thousand connections is a file at both ends.
    let _ = rlimit::increase_nofile_limit(16_384);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!(
        "{:>8} {:>16} {:>16} {:>16} {:>8}",
        "lines", "bare, lines/s", "Map Run, lines/s", "whole, lines/s", "ratio"
    );
    for lines in sizes {
        runtime.block_on(async {
            let service = service().await;
            // Connections and caches are warm for neither: each has a client of its own.
            let bare = bare(&service, lines).await;
            let (run, whole) = workflow(&service, lines).await;
            let rate = |took: Duration| lines as f64 / took.as_secs_f64();
            println!(
                "{lines:>8} {:>16.0} {:>16.0} {:>16.0} {:>8.2}",
                rate(bare),
                rate(run),
                rate(whole),
                rate(run) / rate(bare)
            );
        });
    }
}
