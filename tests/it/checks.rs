//! `fanout check`: a state machine against the known traps, by the program itself.

use serde_json::{Value, json};

use crate::house::Serving;

#[test]
fn the_shipped_workflow_passes_and_its_needs_are_listed() {
    let engine = Serving::start();
    let checked = engine.fanout(&["check", "fanout", "--json"]).success();
    let report = &checked.json()["report"];
    let levels = |level: &str| {
        let checks = report["checks"].as_array().unwrap().iter();
        checks.filter(|it| it["level"] == level).count()
    };
    assert_eq!(levels("bad"), 0, "{report:#}");
    assert!(5 < levels("good"), "{report:#}");
    // The engine validates, as AWS does.
    let valid = &report["checks"][0];
    assert_eq!(
        (&valid["check"], &valid["level"]),
        (&json!("valid"), &json!("good"))
    );
    let statements = report["statements"].as_array().unwrap();
    let all: Vec<&Value> = statements.iter().map(|it| &it["Action"]).collect();
    assert!(all.contains(&&json!(["lambda:InvokeFunction"])), "{all:?}");
    assert!(statements.iter().all(|it| it["Effect"] == "Allow"));
    let text = engine.fanout(&["check", "fanout"]).success().stdout();
    assert!(text.starts_with("fanout  STANDARD\n"), "{text}");
    assert!(text.contains("must be allowed:"), "{text}");
    let fanout = engine.fanout(&["check", "--json"]).success();
    assert_eq!(fanout.json()["report"]["machine"], report["machine"]);
}

#[tokio::test]
async fn what_cannot_work_is_exit_code_four() {
    let engine = Serving::start();
    let role = "arn:aws:iam::000000000000:role/r";
    let map = json!({"Type": "Map", "End": true,
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket": "nobody-s-bucket", "Key": "k"}},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}});
    let definition = json!({"StartAt": "M", "States": {"M": map}}).to_string();
    let sfn = engine.sfn();
    let create = sfn.create_state_machine().name("theirs").role_arn(role);
    create.definition(definition).send().await.unwrap();
    let checked = engine.fanout(&["check", "theirs", "--json"]).exit(4);
    let report = &checked.json()["report"];
    let bad = report["checks"].as_array().unwrap().iter();
    let bad: Vec<&Value> = bad.filter(|it| it["level"] == "bad").collect();
    assert_eq!(bad.len(), 1, "{bad:#?}");
    assert_eq!(bad[0]["check"], "bucket");
    assert_eq!(bad[0]["place"], "/States/M/ItemReader/Parameters/Bucket");
    let none = engine.fanout(&["check", "thiers"]).exit(4);
    assert!(none.stderr().contains("theirs"), "{}", none.stderr());
}
