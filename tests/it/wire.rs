//! The engine asked by the AWS SDKs themselves, as any other program would ask it.

use aws_sdk_sfn::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEventType, MapRunStatus};
use futures::FutureExt;
use serde_json::json;
use tokio_util::sync::DropGuard;

use fanout::engine::{Engine, FunctionError};

use crate::wired::{ROLE, serve};

mod maps;

pub struct Wire {
    pub sfn: aws_sdk_sfn::Client,
    s3: aws_sdk_s3::Client,
    pub engine: Engine,
    _folder: tempfile::TempDir,
    _shutdown: DropGuard,
}

pub async fn wire() -> Wire {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path()).await.unwrap();
    let objects = engine.objects().clone();
    engine.functions().register("work", move |event| {
        let objects = objects.clone();
        async move {
            let repaired = objects.read("data", "repaired").is_ok();
            if event["n"].as_u64().is_some_and(|n| n % 10 == 0) && !repaired {
                return Err(FunctionError {
                    error_type: "Bad".into(),
                    message: "ten".into(),
                });
            }
            Ok(json!({"n": event["n"]}))
        }
        .boxed()
    });
    let served = serve(&engine).await;
    Wire {
        sfn: aws_sdk_sfn::Client::new(&served.config),
        s3: served.s3(),
        engine,
        _folder: folder,
        _shutdown: served.shutdown,
    }
}

impl Wire {
    pub async fn ended(&self, arn: &str) -> ExecutionStatus {
        loop {
            let described = self
                .sfn
                .describe_execution()
                .execution_arn(arn)
                .send()
                .await
                .unwrap();
            if *described.status() != ExecutionStatus::Running {
                return described.status().clone();
            }
        }
    }

    async fn put(&self, key: &str, body: &str) {
        let body = body.as_bytes().to_vec().into();
        self.s3
            .put_object()
            .bucket("data")
            .key(key)
            .body(body)
            .send()
            .await
            .unwrap();
    }

    /// A run of the machine [`definition`] over these items; its ARN.
    async fn started(&self, items: &serde_json::Value) -> String {
        self.s3.create_bucket().bucket("data").send().await.unwrap();
        self.put("items.json", &items.to_string()).await;
        let create = self.sfn.create_state_machine().name("m").role_arn(ROLE);
        let created = create.definition(definition()).send().await.unwrap();
        let start = self.sfn.start_execution();
        let start = start.state_machine_arn(created.state_machine_arn());
        let input = json!({"bucket": "data", "key": "items.json"}).to_string();
        let started = start.input(input).send().await.unwrap();
        started.execution_arn
    }

    async fn get(&self, key: &str) -> String {
        let object = self
            .s3
            .get_object()
            .bucket("data")
            .key(key)
            .send()
            .await
            .unwrap();
        let bytes = object.body.collect().await.unwrap().into_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }
}

fn definition() -> String {
    json!({"StartAt": "Map", "States": {"Map": {"Type": "Map", "Label": "Lines", "End": true,
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"}, "Parameters": {"Bucket.$": "$.bucket", "Key.$": "$.key"}},
        "ItemSelector": {"n.$": "$$.Map.Item.Value", "index.$": "$$.Map.Item.Index"},
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Work",
            "States": {"Work": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:work", "End": true}}},
        "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "data", "Prefix": "out/"}}}}})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_starts_watches_redrives_and_reads_the_results() {
    let wire = wire().await;
    let items: Vec<u32> = (0..200).collect();
    let arn = &wire.started(&json!(items)).await;
    assert_eq!(wire.ended(arn).await, ExecutionStatus::Failed);

    let runs = wire
        .sfn
        .list_map_runs()
        .execution_arn(arn)
        .send()
        .await
        .unwrap();
    let run = runs.map_runs()[0].map_run_arn().to_owned();
    let described = wire
        .sfn
        .describe_map_run()
        .map_run_arn(&run)
        .send()
        .await
        .unwrap();
    assert_eq!(*described.status(), MapRunStatus::Failed);
    let counts = described.item_counts().unwrap();
    assert_eq!(counts.total(), 200);
    let failed = counts.failed();
    assert!(failed >= 1);

    // Pages of children, in either filter, continue by token and never repeat one.
    let mut children = Vec::new();
    let mut pages = wire
        .sfn
        .list_executions()
        .map_run_arn(&run)
        .max_results(7)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        children.extend(
            page.unwrap()
                .executions()
                .iter()
                .map(|child| child.execution_arn().to_owned()),
        );
    }
    let started = children.len();
    children.sort();
    children.dedup();
    assert_eq!(children.len(), started);
    let child = wire
        .sfn
        .list_executions()
        .map_run_arn(&run)
        .status_filter(ExecutionStatus::Failed)
        .send()
        .await
        .unwrap();
    let child = child.executions()[0].execution_arn().to_owned();
    let history = wire
        .sfn
        .get_execution_history()
        .execution_arn(&child)
        .send()
        .await
        .unwrap();
    assert!(
        history
            .events()
            .iter()
            .any(|event| *event.r#type() == HistoryEventType::LambdaFunctionFailed)
    );

    wire.put("repaired", "yes").await;
    wire.sfn
        .redrive_execution()
        .execution_arn(arn)
        .send()
        .await
        .unwrap();
    assert_eq!(wire.ended(arn).await, ExecutionStatus::Succeeded);
    let described = wire
        .sfn
        .describe_execution()
        .execution_arn(arn)
        .send()
        .await
        .unwrap();
    let output: serde_json::Value = serde_json::from_str(described.output().unwrap()).unwrap();
    let manifest = wire
        .get(output["ResultWriterDetails"]["Key"].as_str().unwrap())
        .await;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let mut records = 0;
    for file in manifest["ResultFiles"]["SUCCEEDED"].as_array().unwrap() {
        let list: serde_json::Value =
            serde_json::from_str(&wire.get(file["Key"].as_str().unwrap()).await).unwrap();
        records += list.as_array().unwrap().len();
    }
    assert_eq!(records, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_closed_map_run_cannot_be_changed_and_a_redrive_of_a_success_is_refused() {
    let wire = wire().await;
    let arn = &wire.started(&json!([1, 2, 3])).await;
    assert_eq!(wire.ended(arn).await, ExecutionStatus::Succeeded);
    let runs = wire
        .sfn
        .list_map_runs()
        .execution_arn(arn)
        .send()
        .await
        .unwrap();
    let update = wire
        .sfn
        .update_map_run()
        .map_run_arn(runs.map_runs()[0].map_run_arn())
        .max_concurrency(5)
        .send()
        .await;
    assert!(
        update
            .unwrap_err()
            .into_service_error()
            .is_validation_exception()
    );
    let redrive = wire.sfn.redrive_execution().execution_arn(arn).send().await;
    assert!(
        redrive
            .unwrap_err()
            .into_service_error()
            .is_execution_not_redrivable()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path()).await.unwrap();
    let mut served = serve(&engine).await;
    let access = engine.credentials().access_key.clone();
    let credentials = Credentials::new(access, "not the secret", None, None, "test");
    let config = served.config.into_builder();
    let config = config.credentials_provider(SharedCredentialsProvider::new(credentials));
    served.config = config.build();
    let sfn = aws_sdk_sfn::Client::new(&served.config);
    assert!(sfn.list_state_machines().send().await.is_err());
    assert!(served.s3().list_buckets().send().await.is_err());
}
