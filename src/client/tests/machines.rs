//! What belongs to a state machine, and what a folder of objects holds.

use serde_json::json;

use super::service::{Reply, Service};
use crate::model::StateMachineArn;

const MACHINE: &str = "arn:aws:states:us-east-1:000000000000:stateMachine:Files";

fn machine() -> StateMachineArn {
    StateMachineArn::new(MACHINE)
}

fn reply(body: &serde_json::Value) -> Reply {
    Reply::new(200, body.to_string())
}

#[tokio::test]
async fn versions_come_page_by_page() {
    let version = |number: u32| json!({"stateMachineVersionArn": format!("{MACHINE}:{number}"), "creationDate": 1.5});
    let service = Service::script(vec![
        reply(&json!({"stateMachineVersions": [version(3), version(2)], "nextToken": "t"})),
        reply(&json!({"stateMachineVersions": [version(1)]})),
    ])
    .await;
    let versions = service.client().await.versions(&machine()).await.unwrap();
    let arns: Vec<&str> = versions.iter().map(|it| it.arn.as_str()).collect();
    assert_eq!(arns, [3, 2, 1].map(|it| format!("{MACHINE}:{it}")));
    assert_eq!(versions[0].created.as_millisecond(), 1_500);
}

#[tokio::test]
async fn an_alias_tells_its_routes() {
    let service = Service::script(vec![
        reply(&json!({"stateMachineAliases": [{"stateMachineAliasArn": format!("{MACHINE}:PROD"), "creationDate": 1.0}]})),
        reply(&json!({"name": "PROD", "description": "", "routingConfiguration": [
            {"stateMachineVersionArn": format!("{MACHINE}:2"), "weight": 90},
            {"stateMachineVersionArn": format!("{MACHINE}:3"), "weight": 10}
        ]})),
        reply(&json!({"tags": [{"key": "team", "value": "ops"}, {"key": "bare"}]})),
    ])
    .await;
    let client = service.client().await;
    let aliases = client.aliases(&machine()).await.unwrap();
    let alias = client.alias(&aliases[0]).await.unwrap();
    assert_eq!((alias.name.as_str(), alias.description), ("PROD", None));
    let weights: Vec<u32> = alias.routes.iter().map(|(_, weight)| *weight).collect();
    assert_eq!(weights, [90, 10]);
    let tags = client.tags(&machine()).await.unwrap();
    assert_eq!(tags.get("team").map(String::as_str), Some("ops"));
    assert_eq!(tags.get("bare").map(String::as_str), Some(""));
}

#[tokio::test]
async fn logging_and_type_are_told_with_the_definition() {
    let group = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/vendedlogs/files:*";
    let service = Service::script(vec![reply(&json!({
        "stateMachineArn": MACHINE, "name": "Files", "definition": "{}", "roleArn": "r",
        "type": "EXPRESS", "creationDate": 2.0, "loggingConfiguration": {
            "level": "ERROR", "includeExecutionData": true,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}]
        }
    }))])
    .await;
    let detail = service
        .client()
        .await
        .state_machine(&machine())
        .await
        .unwrap();
    assert_eq!(detail.kind.as_deref(), Some("EXPRESS"));
    assert_eq!(detail.logging.level.as_deref(), Some("ERROR"));
    assert!(detail.logging.with_data);
    assert_eq!(detail.logging.group_name(), Some("/aws/vendedlogs/files"));
}

#[tokio::test]
async fn a_folder_has_folders_before_objects_and_a_next_page() {
    let body = r#"<?xml version="1.0"?><ListBucketResult>
        <Contents><Key>in/a.txt</Key><Size>1</Size></Contents>
        <CommonPrefixes><Prefix>in/2026/</Prefix></CommonPrefixes>
        <IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>
    </ListBucketResult>"#;
    let service = Service::script(vec![Reply::new(200, body.to_owned())]).await;
    let page = service
        .client()
        .await
        .folder("b", "in/", None)
        .await
        .unwrap();
    assert_eq!(page.items, ["in/2026/", "in/a.txt"]);
    assert_eq!(page.next.as_deref(), Some("more"));
}
