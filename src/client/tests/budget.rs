//! The request budget under more than it can serve.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use serde_json::json;

use super::service::{Reply, Request, Service};
use super::{map_run_json, parent};
use crate::client::limits::Budget;
use crate::client::{Client, Snapshots};
use crate::model::{MapRunArn, StateMachineArn};

/// Of AWS's quotas, so little that it is used up at once: DescribeMapRun has 4 and 0.02 a second.
const SHARE: f64 = 0.02;

/// A client of the stub with AWS's buckets instead of none.
async fn limited(service: &Service) -> Client {
    let mut client = service.client().await;
    let shared = std::sync::Arc::get_mut(&mut client.shared).expect("no clone yet");
    shared.budget = std::sync::Arc::new(Budget::of_quota("us-east-1", SHARE));
    client
}

/// An open run of many.
fn row(number: u32) -> serde_json::Value {
    let arn = format!("{}-{number}", parent().as_str());
    json!({"executionArn": arn, "name": format!("run-7-{number}"), "status": "RUNNING",
        "stateMachineArn": parent().state_machine().as_str(), "startDate": 1_789_000_000.0})
}

fn action(request: &Request) -> String {
    let target = request.header("x-amz-target");
    target.rsplit('.').next().unwrap_or_default().to_owned()
}

async fn drain<T>(mut snapshots: Snapshots<T>) {
    while snapshots.next().await.is_some() {}
}

#[tokio::test]
async fn a_thousand_open_runs_and_ten_map_runs_stay_within_each_bucket() {
    let rows: Vec<_> = (0..1_000).map(row).collect();
    let listed = json!({"executions": rows}).to_string();
    let service = Service::start(move |request| match action(request).as_str() {
        "ListExecutions" => Reply::new(200, listed.clone()),
        _ => Reply::new(200, map_run_json("RUNNING", 1)),
    })
    .await;
    let client = limited(&service).await;
    let began = Instant::now();
    let polling = client.polling();
    let machine = StateMachineArn::new(parent().state_machine().as_str());
    let maps = (0..10).map(|number| {
        let arn = format!("arn:aws:states:us-east-1:000000000000:mapRun:Files/L:{number}");
        drain(polling.clone().watch_map_run(MapRunArn::new(arn)))
    });
    let lists = (0..3).map(|_| drain(polling.clone().watch_executions(machine.clone())));
    let everything = async {
        tokio::join!(
            futures::future::join_all(maps),
            futures::future::join_all(lists)
        );
    };
    let over = tokio::time::timeout(Duration::from_secs(3), everything).await;
    assert!(over.is_err(), "standing polls do not end");
    let mut calls: BTreeMap<String, f64> = BTreeMap::new();
    for request in service.requests() {
        *calls.entry(action(&request)).or_default() += 1.0;
    }
    let seconds = began.elapsed().as_secs_f64();
    // Burst and refill, of which polls leave a fifth of the burst to the user.
    let most = |burst: f64, refill: f64| 0.8 * SHARE * burst + SHARE * refill * seconds;
    let (maps, lists) = (calls["DescribeMapRun"], calls["ListExecutions"]);
    assert!((1.0..=most(200.0, 1.0)).contains(&maps), "{calls:?}");
    assert!((1.0..=most(200.0, 5.0)).contains(&lists), "{calls:?}");
    assert_eq!(calls.len(), 2, "{calls:?}");
    // What somebody waits for still has a turn at once.
    let other = MapRunArn::new("arn:aws:states:us-east-1:0:mapRun:F/L:1");
    let answered = tokio::time::timeout(Duration::from_secs(1), client.map_run(&other)).await;
    assert!(answered.expect("a token is left").is_ok());
}
