//! The engine from call to call, without the wire.

use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};

use super::api::sfn;
use super::*;

mod crash;
mod nested_executions;
mod nesting;
mod readers;
mod writers;

struct House {
    engine: Engine,
    folder: tempfile::TempDir,
}

/// Fails the items listed in the bucket's object `bad.json`, so that a test can repair it.
fn register(engine: &Engine) {
    let objects = engine.objects().clone();
    engine.functions().register("work", move |event| {
        let objects = objects.clone();
        async move {
            let mut text = String::new();
            let (_, mut body) = objects
                .read("b", "bad.json")
                .expect("the test put it there");
            std::io::Read::read_to_string(&mut body, &mut text).expect("it is text");
            let bad: Vec<Value> = serde_json::from_str(&text).expect("it is a list");
            if bad.contains(&event["n"]) {
                return Err(FunctionError {
                    error_type: "Bad".into(),
                    message: format!("item {} is bad", event["n"]),
                });
            }
            Ok(json!({"n": event["n"]}))
        }
        .boxed()
    });
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let house = Self {
            engine: open(folder.path()).await,
            folder,
        };
        house.engine.objects().create_bucket("b").unwrap();
        house
    }

    async fn call(&self, operation: &str, body: Value) -> Result<Value, api::ApiError> {
        sfn::call(&self.engine, operation, body.to_string().as_bytes()).await
    }

    async fn ok(&self, operation: &str, body: Value) -> Value {
        self.call(operation, body).await.unwrap()
    }

    fn put(&self, key: &str, text: &str) {
        self.put_bytes(key, text.as_bytes());
    }

    fn put_bytes(&self, key: &str, bytes: &[u8]) {
        let mut writing = self.engine.objects().write("b", key).unwrap();
        writing.write_all(bytes).unwrap();
        writing.commit(false).unwrap();
    }

    fn get(&self, key: &str) -> Value {
        let (_, mut body) = self.engine.objects().read("b", key).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut body, &mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    async fn start(&self, definition: Value, input: Value) -> String {
        let machine = self.ok("CreateStateMachine", json!({"name": "m", "roleArn": "arn:aws:iam::000000000000:role/r", "definition": definition.to_string()})).await;
        let started = self.ok("StartExecution", json!({"stateMachineArn": machine["stateMachineArn"], "name": "run", "input": input.to_string()})).await;
        started["executionArn"].as_str().unwrap().to_owned()
    }

    /// Waits for the execution's end.
    async fn ended(&self, arn: &str) -> Value {
        loop {
            let described = self
                .ok("DescribeExecution", json!({"executionArn": arn}))
                .await;
            if described["status"] != "RUNNING" {
                return described;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn map_run(&self, arn: &str) -> Value {
        let listed = self.ok("ListMapRuns", json!({"executionArn": arn})).await;
        self.ok(
            "DescribeMapRun",
            json!({"mapRunArn": listed["mapRuns"][0]["mapRunArn"]}),
        )
        .await
    }

    async fn history(&self, arn: &str) -> Vec<String> {
        let history = self
            .ok(
                "GetExecutionHistory",
                json!({"executionArn": arn, "maxResults": 1000}),
            )
            .await;
        let events = history["events"].as_array().unwrap();
        events
            .iter()
            .map(|event| {
                format!(
                    "{} {}<-{}",
                    event["type"].as_str().unwrap(),
                    event["id"],
                    event["previousEventId"]
                )
            })
            .collect()
    }

    /// As a kill does, but in one process: stops without finishing anything, then opens again.
    async fn reopen(self) -> Self {
        self.reopen_with(map_run::Quotas::default(), |_| {}).await
    }

    /// `prepare` sees the engine before anything goes on in it.
    async fn reopen_with(self, quotas: map_run::Quotas, prepare: impl FnOnce(&Engine)) -> Self {
        self.engine.stop().await;
        let folder = self.folder;
        drop(self.engine);
        Self {
            engine: open_with(folder.path(), quotas, prepare).await,
            folder,
        }
    }
}

async fn open(folder: &Path) -> Engine {
    open_with(folder, map_run::Quotas::default(), |_| {}).await
}

async fn open_with(
    folder: &Path,
    quotas: map_run::Quotas,
    prepare: impl FnOnce(&Engine),
) -> Engine {
    let mut tries = 0;
    let engine = loop {
        match Engine::open(folder).await {
            Ok(engine) => break engine,
            // Tasks of the engine before this one may still be on their way out.
            Err(error) if tries < 200 => {
                tries += 1;
                tracing::debug!(%error, "trying again");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    register(&engine);
    prepare(&engine);
    engine.runner().set_quotas(quotas);
    engine.runner().recover().await.unwrap();
    engine
}

fn distributed(kind: &str, more: Value) -> Value {
    let mut map = json!({"Type": "Map", "Label": "Lines", "End": true,
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSONL"}, "Parameters": {"Bucket": "b", "Key": "items"}},
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind}, "StartAt": "Work",
            "States": {"Work": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "work", "Payload.$": "$"}, "OutputPath": "$.Payload", "End": true}}},
        "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "out"}}});
    map.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"StartAt": "Map", "States": {"Map": map}})
}

fn items(count: u64) -> String {
    let lines: Vec<String> = (0..count).map(|n| json!({"n": n}).to_string()).collect();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_run_past_its_tolerance_fails_and_a_redrive_heals_it() {
    for kind in ["STANDARD", "EXPRESS"] {
        let house = House::new().await;
        house.put("items", &items(50));
        house.put("bad.json", "[3, 7, 20]");
        let arn = house
            .start(
                distributed(kind, json!({"ToleratedFailureCount": 2})),
                json!({}),
            )
            .await;
        let failed = house.ended(&arn).await;
        assert_eq!(failed["error"], "States.ExceedToleratedFailureThreshold");
        assert_eq!(failed["redriveStatus"], "REDRIVABLE");
        let run = house.map_run(&arn).await;
        assert_eq!(
            (run["status"].as_str(), run["itemCounts"]["total"].as_u64()),
            (Some("FAILED"), Some(50))
        );
        assert_eq!(run["itemCounts"]["failed"], 3);
        let id = run["mapRunArn"]
            .as_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned();
        let records = house.get(&format!("out/{id}/FAILED_0.json"));
        // Standard children that ran when the tolerance was passed stand there as aborted.
        let records = records.as_array().unwrap().iter();
        let failures: Vec<_> = records
            .filter(|record| record["Status"] == "FAILED")
            .collect();
        assert_eq!(failures.len(), 3);
        assert!(failures.iter().all(|record| record["Error"] == "Bad"));

        house.put("bad.json", "[]");
        let token = json!({"executionArn": arn, "clientToken": "t1"});
        let first = house.ok("RedriveExecution", token.clone()).await;
        let healed = house.ended(&arn).await;
        assert_eq!(
            (healed["status"].as_str(), healed["redriveCount"].as_u64()),
            (Some("SUCCEEDED"), Some(1))
        );
        assert_eq!(
            house.ok("RedriveExecution", token).await,
            first,
            "the same token answers the same"
        );
        let run = house.map_run(&arn).await;
        assert_eq!(
            (
                run["itemCounts"]["succeeded"].as_u64(),
                run["itemCounts"]["failed"].as_u64()
            ),
            (Some(50), Some(0))
        );
        let output: Value = serde_json::from_str(healed["output"].as_str().unwrap()).unwrap();
        let manifest = house.get(output["ResultWriterDetails"]["Key"].as_str().unwrap());
        let mut seen: Vec<u64> = Vec::new();
        for file in manifest["ResultFiles"]["SUCCEEDED"].as_array().unwrap() {
            for record in house.get(file["Key"].as_str().unwrap()).as_array().unwrap() {
                let output: Value =
                    serde_json::from_str(record["Output"].as_str().unwrap()).unwrap();
                seen.push(output["n"].as_u64().unwrap());
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>(), "every item once");
        assert_eq!(
            house.history(&arn).await[1..],
            [
                "MapStateEntered 2<-0",
                "MapStateStarted 3<-2",
                "MapRunStarted 4<-3",
                "MapRunFailed 5<-4",
                "MapStateFailed 6<-5",
                "ExecutionFailed 7<-6",
                "ExecutionRedriven 8<-7",
                "MapRunRedriven 9<-3",
                "MapRunSucceeded 10<-9",
                "MapStateSucceeded 11<-10",
                "MapStateExited 12<-4",
                "ExecutionSucceeded 13<-12"
            ]
        );
        let error = house
            .call("RedriveExecution", json!({"executionArn": arn}))
            .await
            .unwrap_err();
        assert_eq!(error.code, "ExecutionNotRedrivable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_child_has_a_history_that_a_redrive_continues() {
    let house = House::new().await;
    house.put("items", &items(3));
    house.put("bad.json", "[1]");
    let arn = house
        .start(distributed("STANDARD", json!({})), json!({}))
        .await;
    house.ended(&arn).await;
    let run = house.map_run(&arn).await["mapRunArn"].clone();
    let failed = house
        .ok(
            "ListExecutions",
            json!({"mapRunArn": run, "statusFilter": "FAILED"}),
        )
        .await;
    let child = failed["executions"][0]["executionArn"]
        .as_str()
        .unwrap()
        .to_owned();
    let described = house
        .ok("DescribeExecution", json!({"executionArn": child}))
        .await;
    assert_eq!(
        (
            described["error"].as_str(),
            described["redriveStatus"].as_str()
        ),
        (Some("Bad"), Some("REDRIVABLE_BY_MAP_RUN"))
    );
    house.put("bad.json", "[]");
    house
        .ok("RedriveExecution", json!({"executionArn": arn}))
        .await;
    assert_eq!(house.ended(&arn).await["status"], "SUCCEEDED");
    assert_eq!(
        house.history(&child).await[1..],
        [
            "TaskStateEntered 2<-0",
            "TaskScheduled 3<-2",
            "TaskStarted 4<-3",
            "TaskFailed 5<-4",
            "ExecutionFailed 6<-5",
            "ExecutionRedriven 7<-6",
            "TaskScheduled 8<-2",
            "TaskStarted 9<-8",
            "TaskSucceeded 10<-9",
            "TaskStateExited 11<-10",
            "ExecutionSucceeded 12<-11"
        ]
    );
    let refused = house
        .call("RedriveExecution", json!({"executionArn": child}))
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Some("API_DOES_NOT_SUPPORT_LABELED_ARNS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cut_off_goes_on_and_gives_every_item_once() {
    for kind in ["STANDARD", "EXPRESS"] {
        let mut house = House::new().await;
        house.put("items", &items(400));
        house.put("bad.json", "[11]");
        let arn = house
            .start(
                distributed(
                    kind,
                    json!({"MaxConcurrency": 20, "ToleratedFailurePercentage": 50}),
                ),
                json!({}),
            )
            .await;
        for _ in 0..3 {
            house = house.reopen().await;
        }
        let ended = house.ended(&arn).await;
        assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
        let run = house.map_run(&arn).await;
        assert_eq!(
            (
                run["itemCounts"]["succeeded"].as_u64(),
                run["itemCounts"]["failed"].as_u64()
            ),
            (Some(399), Some(1))
        );
        let id = run["mapRunArn"]
            .as_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned();
        assert_eq!(
            house
                .get(&format!("out/{id}/SUCCEEDED_0.json"))
                .as_array()
                .unwrap()
                .len(),
            399
        );
        // Closed and opened again, the answers are the same.
        let house = house.reopen().await;
        assert_eq!(house.map_run(&arn).await, run);
        let children = house
            .ok(
                "ListExecutions",
                json!({"mapRunArn": run["mapRunArn"], "maxResults": 1000}),
            )
            .await;
        assert_eq!(children["executions"].as_array().unwrap().len(), 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_keeps_what_was_done_and_a_redrive_does_the_rest() {
    let house = House::new().await;
    house.put("items", &items(30));
    house.put("bad.json", "[]");
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let open_gate = std::sync::Arc::clone(&gate);
    house.engine.functions().register("work", move |event| {
        let gate = std::sync::Arc::clone(&open_gate);
        async move {
            let _permit = gate.acquire().await;
            Ok(event)
        }
        .boxed()
    });
    let arn = house
        .start(
            distributed("STANDARD", json!({"MaxConcurrency": 10})),
            json!({}),
        )
        .await;
    while house.map_run(&arn).await["itemCounts"]["running"] != 10 {
        tokio::task::yield_now().await;
    }
    house
        .ok(
            "StopExecution",
            json!({"executionArn": arn, "error": "Enough", "cause": "it is late"}),
        )
        .await;
    let stopped = house.ended(&arn).await;
    assert_eq!(
        (stopped["status"].as_str(), stopped["error"].as_str()),
        (Some("ABORTED"), Some("Enough"))
    );
    while house.map_run(&arn).await["status"] != "ABORTED" {
        tokio::task::yield_now().await;
    }
    let counts = house.map_run(&arn).await["itemCounts"].clone();
    assert_eq!(
        (counts["aborted"].as_u64(), counts["running"].as_u64()),
        (Some(10), Some(0))
    );
    gate.add_permits(1_000);
    house
        .ok("RedriveExecution", json!({"executionArn": arn}))
        .await;
    assert_eq!(house.ended(&arn).await["status"], "SUCCEEDED");
    assert_eq!(house.map_run(&arn).await["itemCounts"]["succeeded"], 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_twice_is_once_and_a_closed_name_stays_taken() {
    let house = House::new().await;
    let definition = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}});
    let arn = house.start(definition, json!({"a": 1})).await;
    house.ended(&arn).await;
    let machine = "arn:aws:states:us-east-1:000000000000:stateMachine:m";
    let again = house
        .call(
            "StartExecution",
            json!({"stateMachineArn": machine, "name": "run", "input": "{\"a\":1}"}),
        )
        .await;
    assert_eq!(again.unwrap_err().code, "ExecutionAlreadyExists");
    let bad = house
        .call(
            "StartExecution",
            json!({"stateMachineArn": machine, "input": "{"}),
        )
        .await
        .unwrap_err();
    assert_eq!(bad.code, "InvalidExecutionInput");
    let unknown = house
        .call(
            "StartExecution",
            json!({"stateMachineArn": format!("{machine}x")}),
        )
        .await
        .unwrap_err();
    assert_eq!(
        unknown.message,
        format!("State Machine Does Not Exist: '{machine}x'")
    );
    let nonsense = house.call("Nonsense", json!({})).await.unwrap_err();
    assert!(nonsense.message.contains("Nonsense"));
    house
        .engine
        .runner()
        .clock()
        .advance(Duration::from_hours(360));
    let old = house
        .ok("DescribeExecution", json!({"executionArn": arn}))
        .await;
    assert_eq!(old["redriveStatus"], "NOT_REDRIVABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_is_named_with_its_owner() {
    let house = House::new().await;
    let Err(Error::InUse { pid, .. }) = Engine::open(house.folder.path()).await else {
        panic!("it is in use")
    };
    assert_eq!(pid, std::process::id().to_string());
}
