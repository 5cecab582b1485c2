//! ValidateStateMachineDefinition and CreateStateMachine: what a definition may say.

use aws_sdk_sfn::types::ValidateStateMachineDefinitionResultCode::{Fail, Ok as Sound};
use aws_sdk_sfn::types::{
    StateMachineType, ValidateStateMachineDefinitionDiagnostic,
    ValidateStateMachineDefinitionSeverity,
};
use serde_json::{Value, json};

use crate::wired::{House, ROLE, distributed, refusal, single, task, with};

/// All diagnostics, `SEVERITY CODE: message at place`.
async fn told(house: &House, definition: &str, kind: StateMachineType) -> Vec<String> {
    let validate = house.sfn.validate_state_machine_definition();
    let validate = validate.definition(definition).r#type(kind);
    let validate = validate.severity(ValidateStateMachineDefinitionSeverity::Warning);
    let answer = validate.send().await.unwrap();
    let show = |one: &ValidateStateMachineDefinitionDiagnostic| {
        let place = one.location().map(|place| format!(" at {place}"));
        let place = place.unwrap_or_default();
        format!(
            "{} {}: {}{place}",
            one.severity(),
            one.code(),
            one.message()
        )
    };
    let diagnostics: Vec<String> = answer.diagnostics().iter().map(show).collect();
    let is_bad = diagnostics.iter().any(|one| one.starts_with("ERROR"));
    assert_eq!(*answer.result(), if is_bad { Fail } else { Sound });
    diagnostics
}

/// That the state `S` is told exactly this; `at` stands for its place.
async fn check(house: &House, state: Value, expected: &[&str]) {
    let definition = single(state.clone()).to_string();
    let found = told(house, &definition, StateMachineType::Standard).await;
    let expected: Vec<String> = expected
        .iter()
        .map(|text| format!("ERROR {}", text.replace(" at S", " at /States/S")))
        .collect();
    assert_eq!(found, expected, "{state}");
}

fn pass(more: Value) -> Value {
    with(json!({"Type": "Pass", "End": true}), more)
}

/// Amazon States Language, top level: JSON, an object, its required fields; StartAt and every other
/// target exist, every state can be reached, the machine can end.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_has_a_start_an_end_and_no_loose_states() {
    let house = House::new().await;
    let succeed = json!({"Type": "Succeed"});
    let next = |next: &str| json!({"Type": "Pass", "Next": next});
    // Definition, what is told.
    let cases = [
        (
            "7".to_owned(),
            vec!["SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object at /"],
        ),
        (
            "{}".to_owned(),
            vec!["SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /"],
        ),
        (
            json!({"StartAt": "A"}).to_string(),
            vec!["SCHEMA_VALIDATION_FAILED: These fields are required: [States] at /"],
        ),
        (
            json!({"StartAt": "X", "States": {"A": succeed}}).to_string(),
            vec!["MISSING_TRANSITION_TARGET: Missing 'StartAt' target: X at /StartAt"],
        ),
        (
            json!({"StartAt": "A", "States": {"A": next("X"), "B": succeed}}).to_string(),
            vec![
                "MISSING_TRANSITION_TARGET: Missing 'Next' target: X at /States/A/Next",
                "MISSING_TRANSITION_TARGET: State \"B\" is not reachable. at /States/B",
            ],
        ),
        (
            json!({"StartAt": "A", "States": {"A": next("B"), "B": next("A")}}).to_string(),
            vec!["MISSING_END_STATE: Workflow has no terminal state"],
        ),
        (
            json!({"StartAt": "A", "States": {"A": succeed}, "Nonsense": 1}).to_string(),
            vec!["SCHEMA_VALIDATION_FAILED: Field 'Nonsense' is not supported at /"],
        ),
    ];
    for (definition, expected) in cases {
        let found = told(&house, &definition, StateMachineType::Standard).await;
        let expected: Vec<String> = expected
            .iter()
            .map(|text| format!("ERROR {text}"))
            .collect();
        assert_eq!(found, expected, "{definition}");
    }
    let broken = told(&house, "{\"StartAt\":", StateMachineType::Standard).await;
    assert!(
        broken[0].starts_with("ERROR INVALID_JSON_DESCRIPTION: "),
        "{broken:?}"
    );
    let sound = single(pass(json!({}))).to_string();
    assert!(
        told(&house, &sound, StateMachineType::Express)
            .await
            .is_empty()
    );
}

/// Amazon States Language, states: types, transitions, fields.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_has_the_fields_of_its_type() {
    let house = House::new().await;
    let schema = |text: &str| format!("SCHEMA_VALIDATION_FAILED: {text}");
    let kinds = "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]";
    let waits = "Exactly one of the fields [Seconds, SecondsPath, Timestamp, TimestampPath] is required at S";
    let ends = "Exactly one of the fields 'Next' and 'End' is required at S";
    let cases = [
        (json!({"Type": "Jump", "End": true}), format!("{kinds} at S/Type")),
        (pass(json!({"Next": "S"})), ends.to_owned()),
        (pass(json!({"Nonsense": 1})), "Field 'Nonsense' is not supported at S".to_owned()),
        (pass(json!({"Retry": []})), "Field 'Retry' is not supported at S".to_owned()),
        (
            pass(json!({"Parameters": {"x.$": "x"}})),
            "The value for the field 'x.$' must be a valid JSONPath or a valid intrinsic function call at S/Parameters".to_owned(),
        ),
        (json!({"Type": "Parallel", "Branches": [], "End": true}), "Value cannot be empty at S/Branches".to_owned()),
        (json!({"Type": "Wait", "End": true}), waits.to_owned()),
        (json!({"Type": "Wait", "Seconds": 1, "Timestamp": "2030-01-01T00:00:00Z", "End": true}), waits.to_owned()),
        (
            json!({"Type": "Wait", "Timestamp": "tomorrow", "End": true}),
            "String does not match RFC3339 timestamp at S/Timestamp".to_owned(),
        ),
        (
            task(json!({"Resource": "nonsense"})),
            "The resource provided nonsense is not recognized. The value is not a valid resource ARN, or the resource is not available in this region. at S/Resource".to_owned(),
        ),
        (
            task(json!({"Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["A"]}]})),
            "States.ALL must be the only value, and must be in the last element at S/Retry[0]/ErrorEquals".to_owned(),
        ),
        (task(json!({"Retry": [{"ErrorEquals": []}]})), "Value cannot be empty at S/Retry[0]/ErrorEquals".to_owned()),
        (
            task(json!({"Retry": [{"ErrorEquals": ["A"], "IntervalSeconds": 5, "MaxDelaySeconds": 5}]})),
            "Value must be greater than IntervalSeconds at S/Retry[0]/MaxDelaySeconds".to_owned(),
        ),
        (
            task(json!({"Retry": [{"ErrorEquals": ["A"], "BackoffRate": 0.5}]})),
            "Value must be greater than or equal to 1 at S/Retry[0]/BackoffRate".to_owned(),
        ),
    ];
    for (state, text) in cases {
        check(&house, state, &[&schema(&text)]).await;
    }
    // Those of which only the place is AWS's.
    let places = [
        (
            task(json!({"TimeoutSeconds": 5, "HeartbeatSeconds": 5})),
            "/States/S/HeartbeatSeconds",
        ),
        (
            task(json!({"TimeoutSeconds": 5, "TimeoutSecondsPath": "$.t"})),
            "/States/S",
        ),
        (
            json!({"Type": "Choice", "Choices": []}),
            "/States/S/Choices",
        ),
        (
            json!({"Type": "Fail", "Error": "a", "ErrorPath": "$.e"}),
            "/States/S",
        ),
    ];
    for (state, place) in places {
        let definition = single(state).to_string();
        let found = told(&house, &definition, StateMachineType::Standard).await;
        let is_there =
            |one: &String| one.starts_with("ERROR SCHEMA_VALIDATION_FAILED") && one.contains(place);
        assert!(found.iter().any(is_there), "{place}: {found:?}");
    }
    let name = "x".repeat(81);
    let long = json!({"StartAt": name, "States": {name.clone(): pass(json!({}))}});
    assert_eq!(
        told(&house, &long.to_string(), StateMachineType::Standard)
            .await
            .len(),
        1
    );
    let twice = json!({"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "S", "States": {"S": pass(json!({}))}}]});
    let found = told(
        &house,
        &single(twice).to_string(),
        StateMachineType::Standard,
    )
    .await;
    assert!(found[0].contains("DUPLICATE_STATE_NAME"), "{found:?}");
    assert!(
        found[0].ends_with("/States/S/Branches[0]/States/S"),
        "{found:?}"
    );
}

/// Transforming data with JSONata: one language for the whole machine or for a state, each with its
/// own fields.
#[tokio::test(flavor = "multi_thread")]
async fn each_query_language_has_its_fields() {
    let house = House::new().await;
    let only = |set: &str, field: &str, other: &str| {
        format!(
            "SCHEMA_VALIDATION_FAILED: The QueryLanguage is set to '{set}', but field '{field}' is only supported for the '{other}' QueryLanguage at S"
        )
    };
    for field in ["InputPath", "OutputPath", "Parameters", "ResultPath"] {
        let value = if field == "Parameters" {
            json!({})
        } else {
            json!("$.x")
        };
        let state = pass(json!({"QueryLanguage": "JSONata", field: value}));
        check(&house, state, &[&only("JSONata", field, "JSONPath")]).await;
    }
    let state = pass(json!({"Output": 1}));
    check(&house, state, &[&only("JSONPath", "Output", "JSONata")]).await;
    let mut machine = single(pass(json!({"QueryLanguage": "JSONPath"})));
    machine["QueryLanguage"] = "JSONata".into();
    let found = told(&house, &machine.to_string(), StateMachineType::Standard).await;
    assert_eq!(
        found,
        [
            "ERROR SCHEMA_VALIDATION_FAILED: 'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/S"
        ]
    );
    let broken = pass(json!({"QueryLanguage": "JSONata", "Output": "{% 1 + %}"}));
    let found = told(
        &house,
        &single(broken).to_string(),
        StateMachineType::Standard,
    )
    .await;
    assert!(found[0].starts_with("ERROR "), "{found:?}");
}

/// Map state: what only a Distributed Map has, and what excludes what.
#[tokio::test(flavor = "multi_thread")]
async fn a_map_has_the_fields_of_its_mode() {
    let house = House::new().await;
    let map = |more: Value| distributed("STANDARD", more)["States"]["S"].clone();
    let inline = |more: Value| {
        let processor = json!({"StartAt": "P", "States": {"P": pass(json!({}))}});
        with(
            json!({"Type": "Map", "ItemProcessor": processor, "End": true}),
            more,
        )
    };
    let writer =
        json!({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b"}});
    for (field, value) in [
        ("Label", json!("L")),
        ("ItemReader", json!({})),
        ("ItemBatcher", json!({"MaxItemsPerBatch": 1})),
        ("ToleratedFailureCount", json!(1)),
        ("ToleratedFailurePercentage", json!(1)),
        ("ResultWriter", writer),
    ] {
        let text = format!("SCHEMA_VALIDATION_FAILED: Field '{field}' is not supported at S");
        check(&house, inline(json!({field: value})), &[&text]).await;
    }
    let of_mode = |config: Value| {
        let mut map = map(json!({}));
        map["ItemProcessor"]["ProcessorConfig"] = config;
        map
    };
    let kinds = "SCHEMA_VALIDATION_FAILED: The field 'ExecutionType' should have one of these values: [STANDARD, EXPRESS] at S/ItemProcessor/ProcessorConfig/ExecutionType";
    check(&house, of_mode(json!({"Mode": "DISTRIBUTED"})), &[kinds]).await;
    let long = "x".repeat(41);
    for label in [
        "", "a b", "a:b", "a/b", "a?b", "a*b", "a\"b", "a\u{7f}b", &long,
    ] {
        let found = told(
            &house,
            &single(map(json!({"Label": label}))).to_string(),
            StateMachineType::Standard,
        )
        .await;
        assert!(
            found[0].starts_with("ERROR INVALID_LABEL_NAME: "),
            "{label:?}: {found:?}"
        );
        assert!(found[0].ends_with(" at /States/S/Label"), "{found:?}");
    }
    check(&house, map(json!({"Label": "x".repeat(40)})), &[]).await;
    let branch = |name: &str| {
        let mut map = map(json!({}));
        let work = map["ItemProcessor"]["States"]["Work"].clone();
        map["ItemProcessor"]["StartAt"] = format!("Work {name}").into();
        map["ItemProcessor"]["States"] = json!({format!("Work {name}"): work});
        json!({"StartAt": name, "States": {name: map}})
    };
    let twice = json!({"Type": "Parallel", "End": true, "Branches": [branch("A"), branch("B")]});
    check(
        &house,
        twice,
        &["DUPLICATE_LABEL_NAME: Duplicate label: Items at S/Branches[1]/States/B/Label"],
    )
    .await;
    for (field, path) in [
        ("MaxConcurrency", "MaxConcurrencyPath"),
        ("ToleratedFailureCount", "ToleratedFailureCountPath"),
        (
            "ToleratedFailurePercentage",
            "ToleratedFailurePercentagePath",
        ),
    ] {
        let both = map(json!({field: 1, path: "$.x"}));
        let found = told(
            &house,
            &single(both).to_string(),
            StateMachineType::Standard,
        )
        .await;
        assert!(
            found[0].starts_with("ERROR SCHEMA_VALIDATION_FAILED: "),
            "{field}: {found:?}"
        );
        assert_eq!(found.len(), 1);
    }
    let mut both = map(json!({}));
    both["Iterator"] = both["ItemProcessor"].clone();
    let found = told(
        &house,
        &single(both).to_string(),
        StateMachineType::Standard,
    )
    .await;
    assert!(
        found[0].starts_with("ERROR SCHEMA_VALIDATION_FAILED: "),
        "{found:?}"
    );
    let both = map(json!({"ItemSelector": {}, "Parameters": {}}));
    let found = told(
        &house,
        &single(both).to_string(),
        StateMachineType::Standard,
    )
    .await;
    assert!(
        found[0].starts_with("ERROR SCHEMA_VALIDATION_FAILED: "),
        "{found:?}"
    );
    // The older form is the same.
    let mut old = map(json!({"Parameters": {"n.$": "$$.Map.Item.Value"}}));
    old["Iterator"] = old["ItemProcessor"].take();
    old.as_object_mut().unwrap().remove("ItemProcessor");
    check(&house, old, &[]).await;
}

/// Choosing workflow type: what Express state machines lack. Creating refuses what validating
/// tells, all of it in one message.
#[tokio::test(flavor = "multi_thread")]
async fn creating_refuses_all_that_is_wrong_at_once() {
    let house = House::new().await;
    let create = |definition: &Value, kind: StateMachineType| {
        let create = house.sfn.create_state_machine().name("m").role_arn(ROLE);
        create
            .definition(definition.to_string())
            .r#type(kind)
            .send()
    };
    let waits = task(
        json!({"Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"FunctionName": "work", "Payload": {"t.$": "$$.Task.Token"}}}),
    );
    let job = task(
        json!({"Resource": "arn:aws:states:::states:startExecution.sync",
        "Parameters": {"StateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:m"}}),
    );
    let activity = json!({"Type": "Task", "Resource": "arn:aws:states:us-east-1:000000000000:activity:a", "End": true});
    for (state, text) in [
        (
            waits,
            "Express state machine does not support '.waitForTaskToken' service integration ",
        ),
        (
            job,
            "Express state machine does not support '.sync' service integration",
        ),
        (
            activity,
            "Express state machine does not support Activity ARN",
        ),
    ] {
        let expected = format!(
            "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: {text} at /States/S/Resource'"
        );
        let refused = refusal(create(&single(state), StateMachineType::Express).await);
        assert_eq!(refused, ("InvalidDefinition".to_owned(), expected));
    }
    let map = distributed("STANDARD", json!({}));
    let refused = refusal(create(&map, StateMachineType::Express).await);
    assert!(refused.1.contains("DISTRIBUTED"), "{}", refused.1);
    let wrong = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Nonsense": 1, "End": true},
        "B": {"Type": "Wait", "Timestamp": "x", "End": true}}});
    let refused = refusal(create(&wrong, StateMachineType::Standard).await);
    let expected = "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Field 'Nonsense' is not supported at /States/A, SCHEMA_VALIDATION_FAILED: String does not match RFC3339 timestamp at /States/B/Timestamp, MISSING_TRANSITION_TARGET: State \"B\" is not reachable. at /States/B'";
    assert_eq!(
        refused,
        ("InvalidDefinition".to_owned(), expected.to_owned())
    );
    // An update checks as much.
    let machine = house.create("sound", &single(pass(json!({})))).await;
    let update = house.sfn.update_state_machine().state_machine_arn(machine);
    let update = update.definition(wrong.to_string()).send().await;
    assert_eq!(refusal(update).0, "InvalidDefinition");
}

/// ValidateStateMachineDefinition: warnings only where they are asked for, which make nothing wrong;
/// as many diagnostics as asked for, and whether there are more.
#[tokio::test(flavor = "multi_thread")]
async fn warnings_are_told_where_they_are_asked_for() {
    let house = House::new().await;
    let warned = single(pass(
        json!({"Parameters": {"x": "$.y"}, "Assign": {"z.$": "$nobody"}}),
    ));
    let found = told(&house, &warned.to_string(), StateMachineType::Standard).await;
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("WARNING NO_DOLLAR: "), "{found:?}");
    assert!(
        found[1].starts_with("WARNING POSSIBLY_UNDEFINED_VARIABLE: "),
        "{found:?}"
    );
    let validate = || house.sfn.validate_state_machine_definition();
    let errors = validate()
        .definition(warned.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!((errors.result(), errors.diagnostics().len()), (&Sound, 0));
    let many: serde_json::Map<String, Value> =
        (0..150).map(|n| (format!("x{n}"), json!(1))).collect();
    let many = single(pass(many.into())).to_string();
    // Asked for, given, whether there are more.
    for (most, given, truncated) in [
        (None, 100, true),
        (Some(0), 100, true),
        (Some(7), 7, true),
        (Some(100), 100, true),
    ] {
        let answer = validate().definition(&many).set_max_results(most);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.diagnostics().len(), given);
        assert_eq!(answer.truncated(), Some(truncated), "{most:?}");
    }
    let beyond = validate().definition(&many).max_results(101).send().await;
    assert_eq!(refusal(beyond).0, "ValidationException");
}
