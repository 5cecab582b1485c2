use serde_json::{Value, json};

use super::*;
use crate::model::Logging;

fn detail(definition: &Value) -> StateMachineDetail {
    StateMachineDetail {
        arn: StateMachineArn::new("arn:aws:states:eu-west-1:472100009012:stateMachine:Files"),
        name: "Files".to_owned(),
        definition: definition.to_string(),
        role: "arn:aws:iam::472100009012:role/files".to_owned(),
        revision: None,
        kind: Some("STANDARD".to_owned()),
        created: None,
        logging: Logging::default(),
    }
}

fn report(definition: &Value) -> Report {
    Report::of(&detail(definition)).expect("an object")
}

/// The findings of one check: glyph and place.
fn found(definition: &Value, check: &str) -> Vec<String> {
    let report = report(definition);
    let found = report.checks.iter().filter(|it| it.check == check);
    found
        .map(|it| format!("{} {}", it.level.glyph(), it.place))
        .collect()
}

/// A Distributed Map with nothing to complain about, changed by `change`.
fn map(change: impl FnOnce(&mut Value)) -> Value {
    let mut map = json!({
        "Type": "Map", "Label": "Lines", "MaxConcurrency": 40,
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSONL"},
            "Parameters": {"Bucket": "in", "Key.$": "$.key"}},
        "ItemSelector": {"item.$": "$$.Map.Item.Value", "index.$": "$$.Map.Item.Index"},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Work", "States": {"Work": {
                "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": "work", "Payload.$": "$"},
                "OutputPath": "$.Payload",
                "Retry": [{"ErrorEquals": ["Lambda.ServiceException"]}], "End": true}}},
        "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": "out", "Prefix": "runs/"}},
        "End": true,
    });
    change(&mut map);
    json!({"StartAt": "Lines", "TimeoutSeconds": 9, "States": {"Lines": map}})
}

#[test]
fn a_map_without_traps_has_nothing_to_warn_of() {
    let report = report(&map(|_| {}));
    assert!(report.worst() <= Level::Info, "{report:#?}");
    assert!(9 < report.count(Level::Good), "{report}");
}

#[test]
fn each_trap_is_told_by_its_own_check_and_place() {
    let cases: [(&str, Value, &str); 12] = [
        (
            "result-writer",
            map(|it| it["ResultWriter"] = json!(null)),
            "! /States/Lines",
        ),
        (
            "concurrency",
            map(|it| it["MaxConcurrency"] = json!(0)),
            "! /States/Lines",
        ),
        (
            "map-retry",
            map(|it| it["Retry"] = json!([{"ErrorEquals": ["States.ALL"]}])),
            "! /States/Lines",
        ),
        (
            "map-catch",
            map(|it| it["Catch"] = json!([{"ErrorEquals": ["States.ALL"]}])),
            "! /States/Lines",
        ),
        (
            "tolerance",
            map(|it| it["ToleratedFailurePercentage"] = json!(100)),
            "! /States/Lines",
        ),
        (
            "tolerance",
            map(|it| it["ToleratedFailureCountPath"] = json!("$.t")),
            "i /States/Lines",
        ),
        (
            "item-origin",
            map(|it| it["ItemSelector"] = json!({"a.$": "$$.Map.Item.Value"})),
            "i /States/Lines",
        ),
        (
            "label",
            map(|it| it["Label"] = json!(null)),
            "i /States/Lines",
        ),
        (
            "batch",
            map(|it| it["ItemBatcher"] = json!({"MaxItemsPerBatch": 9})),
            "i /States/Lines/ItemBatcher",
        ),
        (
            "rerun",
            map(|it| it["ItemReader"]["Parameters"] = json!({"Bucket": "b", "Key": "k"})),
            "i /States/Lines",
        ),
        (
            "reader",
            map(|it| {
                it["ItemReader"] = json!({"Resource": "arn:aws:states:::s3:listObjectsV2",
            "Parameters": {"Bucket": "b", "Prefix": "p"}});
            }),
            "! /States/Lines/ItemReader",
        ),
        (
            "max-items",
            map(|it| it["ItemReader"]["ReaderConfig"]["MaxItems"] = json!(5)),
            "! /States/Lines/ItemReader/ReaderConfig/MaxItems",
        ),
    ];
    for (check, definition, expected) in cases {
        assert_eq!(
            found(&definition, check),
            [expected],
            "{check}: {definition}"
        );
    }
}

#[test]
fn tasks_are_checked_where_they_are() {
    let task =
        |change: fn(&mut Value)| map(|it| change(&mut it["ItemProcessor"]["States"]["Work"]));
    let place = "/States/Lines/ItemProcessor/States/Work";
    let bare = task(|it| it["Retry"] = json!([{"ErrorEquals": ["Mine"]}]));
    assert_eq!(found(&bare, "task-retry"), [format!("! {place}")]);
    let token =
        task(|it| it["Resource"] = json!("arn:aws:states:::sqs:sendMessage.waitForTaskToken"));
    assert_eq!(found(&token, "waits"), [format!("! {place}")]);
    let whole = task(|it| it["OutputPath"] = json!(null));
    // A null OutputPath drops the answer, which is a part of it too.
    assert!(found(&whole, "envelope").is_empty());
    let version =
        task(|it| it["Parameters"]["FunctionName"] = json!("arn:aws:lambda:r:a:function:work:12"));
    assert_eq!(found(&version, "version"), [format!("i {place}")]);
    let caught = task(|it| it["Catch"] = json!([{"ErrorEquals": ["States.ALL"], "Next": "Work"}]));
    assert_eq!(found(&caught, "item-catch"), [format!("i {place}")]);
}

#[test]
fn what_express_children_cannot_do_is_bad() {
    let express = |change: fn(&mut Value)| {
        map(|it| {
            it["ItemProcessor"]["ProcessorConfig"]["ExecutionType"] = json!("EXPRESS");
            change(&mut it["ItemProcessor"]["States"]);
        })
    };
    let place = "/States/Lines/ItemProcessor/States/Work";
    let waits = express(|it| {
        it["Work"]["Resource"] = json!("arn:aws:states:::states:startExecution.sync:2");
    });
    assert_eq!(found(&waits, "waits"), [format!("✗ {place}")]);
    let long = express(|it| it["Work"]["TimeoutSeconds"] = json!(900));
    assert_eq!(
        found(&long, "express-time"),
        [format!("! {place}/TimeoutSeconds")]
    );
    let nested = express(|it| {
        let inner = map(|_| {})["States"]["Lines"].clone();
        it["Inner/1"] = inner;
    });
    assert_eq!(
        found(&nested, "nested"),
        ["✗ /States/Lines/ItemProcessor/States/Inner~11"]
    );
    assert_eq!(found(&nested, "logging"), ["! "]);
    assert!(found(&nested, "item-catch").is_empty());
}

#[test]
fn a_choice_that_fails_the_run_after_a_tolerant_map_helps_nobody() {
    let mut definition = map(|it| {
        it["ToleratedFailurePercentage"] = json!(5);
        it["Next"] = json!("Enough");
    });
    definition["States"]["Enough"] =
        json!({"Type": "Choice", "Choices": [{"Next": "Done"}], "Default": "No"});
    definition["States"]["Done"] = json!({"Type": "Succeed"});
    definition["States"]["No"] = json!({"Type": "Fail"});
    assert_eq!(found(&definition, "choice-fail"), ["! /States/Lines"]);
    definition["States"]["No"] = json!({"Type": "Succeed"});
    assert!(found(&definition, "choice-fail").is_empty());
}

#[test]
fn the_role_needs_what_the_definition_does() {
    let report = report(&map(|_| {}));
    let on = |action: &str| {
        let mut all = report.statements.iter();
        let found = all.find(|it| it.action.iter().any(|known| known == action));
        found.map(|it| it.resource.join(" ")).unwrap_or_default()
    };
    let here = "arn:aws:states:eu-west-1:472100009012";
    assert_eq!(
        on("states:StartExecution"),
        format!("{here}:stateMachine:Files")
    );
    assert_eq!(
        on("states:RedriveExecution"),
        format!("{here}:execution:Files/Lines:*")
    );
    assert_eq!(
        on("states:StopExecution"),
        format!("{here}:execution:Files:* {here}:execution:Files/Lines:*")
    );
    assert_eq!(on("s3:PutObject"), "arn:aws:s3:::out/runs/*");
    let function = "arn:aws:lambda:eu-west-1:472100009012:function:work";
    assert_eq!(
        on("lambda:InvokeFunction"),
        format!("{function} {function}:*")
    );
    let reads = report
        .statements
        .iter()
        .any(|it| it.resource == ["arn:aws:s3:::in/*"]);
    assert!(reads, "{:?}", report.statements);
    let express =
        map(|it| it["ItemProcessor"]["ProcessorConfig"]["ExecutionType"] = json!("EXPRESS"));
    let text = format!("{:?}", super::tests::report(&express).statements);
    assert!(!text.contains("RedriveExecution"), "{text}");
}

#[test]
fn the_deployed_template_gives_the_role_what_the_check_asks_for() {
    let workflow = include_str!("../../../assets/workflow.asl.json");
    let template = include_str!("../../../assets/template.yaml");
    let definition = serde_json::from_str(workflow).expect("JSON");
    let report = report(&definition);
    assert!(report.count(Level::Bad) == 0, "{report:#?}");
    for action in report.statements.iter().flat_map(|it| &it.action) {
        assert!(
            template.contains(action.as_str()),
            "the template lacks {action}"
        );
    }
}

#[test]
fn a_definition_that_is_none_is_said_not_panicked_about() {
    let mut odd = detail(&json!([]));
    assert!(Report::of(&odd).is_err());
    odd.definition = "{".to_owned();
    assert!(Report::of(&odd).is_err());
    for definition in [
        json!({}),
        json!({"States": 1}),
        json!({"States": {"a": null}}),
    ] {
        assert_eq!(found(&definition, "map"), ["i "], "{definition}");
    }
}

mod any_definition {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let words = [
            "Map",
            "Task",
            "DISTRIBUTED",
            "EXPRESS",
            "{% $x %}",
            "a/b~c",
            "arn:aws:states:::lambda:invoke",
        ];
        let keys = [
            "States",
            "Type",
            "ItemProcessor",
            "ProcessorConfig",
            "Mode",
            "ExecutionType",
            "Branches",
            "ItemReader",
            "Resource",
            "Parameters",
            "Bucket",
            "Retry",
            "Catch",
            "ErrorEquals",
            "ItemBatcher",
            "Next",
            "Label",
            "FunctionName",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(|it| json!(it)),
            prop::sample::select(words.to_vec()).prop_map(|it| json!(it)),
        ];
        leaf.prop_recursive(6, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::vec((prop::sample::select(keys.to_vec()), inner), 0..6).prop_map(
                    |it| Value::Object(it.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
                ),
            ]
        })
    }

    proptest! {
        #[test]
        fn is_checked_without_a_panic_and_places_are_in_it(states in value()) {
            let definition = json!({"States": {"A": states}});
            let report = report(&definition);
            for finding in &report.checks {
                let parent = finding.place.strip_suffix("/TimeoutSeconds").unwrap_or(&finding.place);
                let parent = parent.strip_suffix("/ItemReader").unwrap_or(parent);
                prop_assert!(definition.pointer(parent).is_some(), "{}", finding.place);
            }
        }
    }
}

#[test]
fn what_a_reader_leaves_unknown_is_said() {
    let reads = |config: Value| {
        let definition = map(|it| it["ItemReader"]["ReaderConfig"] = config);
        let report = report(&definition);
        let found = report.checks.iter().find(|it| it.check == "reader");
        let found = found.expect("a reader");
        (found.level, found.why.clone().unwrap_or_default())
    };
    assert_eq!(reads(json!({"InputType": "JSONL"})).0, Level::Good);
    for config in [
        json!({"ManifestType": "S3_INVENTORY"}),
        json!({"InputType": "MANIFEST"}),
    ] {
        let (level, why) = reads(config);
        assert!(level == Level::Info && why.contains("not known"), "{why}");
    }
    let (level, why) = reads(json!({"InputType": "PARQUET"}));
    assert!(
        level == Level::Info && why.contains("content and index only"),
        "{why}"
    );
}
