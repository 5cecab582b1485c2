use serde_json::{Value, json};

use super::*;

fn problems(definition: Value) -> Vec<(String, String)> {
    let problems = Definition::parse(&definition.to_string()).unwrap_err();
    problems
        .into_iter()
        .map(|problem| (problem.place, problem.message))
        .collect()
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let found = problems(json!({
        "StartAt": "A",
        "States": {
            "A": {"Type": "Task", "Resource": "nonsense", "Next": "Gone"},
            "B": {"Type": "Pass", "Bogus": 1, "End": true},
        }
    }));
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(
        places,
        [
            "/States/A/Resource",
            "/States/B",
            "/States/A/Next",
            "/States/B"
        ]
    );
}

#[test]
fn an_express_workflow_has_no_tasks_that_wait() {
    let found = |resource: &str| {
        problems(
            json!({"StartAt": "M", "States": {"M": {"Type": "Map", "End": true, "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "T",
            "States": {"T": {"Type": "Task", "Resource": resource, "End": true, "Parameters": {"FunctionName": "f", "StateMachineArn": "m"}}}}}}}),
        )
    };
    for (resource, text) in [
        (
            "arn:aws:states:::states:startExecution.sync",
            "Express state machine does not support '.sync' service integration",
        ),
        (
            "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Express state machine does not support '.waitForTaskToken' service integration ",
        ),
        (
            "arn:aws:states:us-east-1:000000000000:activity:a",
            "Express state machine does not support Activity ARN",
        ),
    ] {
        let place = "/States/M/ItemProcessor/States/T/Resource".to_owned();
        assert_eq!(found(resource), [(place, text.to_owned())]);
    }
}

#[test]
fn limits_of_a_task_are_checked() {
    let task = |fields: Value| {
        let mut task = json!({"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:f", "End": true});
        task.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        problems(json!({"StartAt": "T", "States": {"T": task}}))
    };
    assert_eq!(
        task(json!({"TimeoutSeconds": 5, "HeartbeatSeconds": 5}))[0].0,
        "/States/T/HeartbeatSeconds"
    );
    assert_eq!(
        task(json!({"TimeoutSeconds": 0}))[0].0,
        "/States/T/TimeoutSeconds"
    );
    assert_eq!(
        task(json!({"HeartbeatSeconds": 100_000_000_u64}))[0].0,
        "/States/T/HeartbeatSeconds"
    );
    assert_eq!(
        task(json!({"Credentials": {}}))[0].0,
        "/States/T/Credentials"
    );
}

#[test]
fn what_the_engine_lacks_is_refused_by_name() {
    let found = problems(json!({
        "StartAt": "A",
        "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true}}
    }));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("sqs:sendMessage is not supported"));
}

#[test]
fn an_empty_object_names_the_required_fields() {
    assert_eq!(
        problems(json!({})),
        [(
            "/".to_owned(),
            "These fields are required: [States, StartAt]".to_owned()
        )]
    );
}

#[test]
fn inline_maps_refuse_the_fields_of_distributed_ones() {
    let found = problems(json!({
        "StartAt": "M",
        "States": {"M": {"Type": "Map", "End": true, "ToleratedFailureCount": 1,
            "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}}}
    }));
    assert_eq!(
        found,
        [(
            "/States/M".to_owned(),
            "Field 'ToleratedFailureCount' is not supported".to_owned()
        )]
    );
}

#[test]
fn retries_back_off_to_their_limit_and_end() {
    let retrier = Retrier {
        errors: vec![],
        interval_seconds: 2,
        max_attempts: 4,
        backoff_rate: 2.0,
        max_delay_seconds: Some(10),
        jitter: false,
    };
    let delays: Vec<_> = (1..=5)
        .map(|attempt| retrier.delay_ms(attempt, 0))
        .collect();
    assert_eq!(
        delays,
        [Some(2_000), Some(4_000), Some(8_000), Some(10_000), None]
    );
}

#[test]
fn runtime_errors_are_never_covered_and_timeouts_not_by_task_failed() {
    let all = ["States.ALL".to_owned()];
    let task_failed = ["States.TaskFailed".to_owned()];
    assert!(covers(&all, "X") && !covers(&all, "States.Runtime"));
    assert!(covers(&task_failed, "X") && !covers(&task_failed, "States.Timeout"));
}

fn told(definition: Value, kind: ChildKind) -> Vec<String> {
    let checked = Definition::check(&definition.to_string(), kind);
    checked
        .problems
        .iter()
        .map(|problem| format!("{} {problem}", problem.severity.name()))
        .collect()
}

fn one_state(state: Value) -> Value {
    json!({"StartAt": "S", "States": {"S": state}})
}

#[test]
fn each_language_keeps_to_its_fields() {
    let mixed = one_state(json!({"Type": "Pass", "Output": 1, "End": true}));
    assert_eq!(
        told(mixed, ChildKind::Standard),
        [
            "ERROR SCHEMA_VALIDATION_FAILED: The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the 'JSONata' QueryLanguage at /States/S"
        ]
    );
    let mut machine = one_state(
        json!({"Type": "Wait", "QueryLanguage": "JSONPath", "SecondsPath": "$.x", "End": true}),
    );
    machine["QueryLanguage"] = "JSONata".into();
    let problems = told(machine, ChildKind::Standard);
    assert!(problems[0].contains(
        "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/S"
    ));
}

#[test]
fn a_machine_must_be_able_to_end() {
    let endless = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}});
    assert_eq!(
        told(endless, ChildKind::Standard),
        ["ERROR MISSING_END_STATE: Workflow has no terminal state"]
    );
    let island = json!({"StartAt": "A", "States": {"A": {"Type": "Succeed"},
        "B": {"Type": "Pass", "Next": "C"}, "C": {"Type": "Pass", "Next": "B"}}});
    let problems = told(island, ChildKind::Standard);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[1].ends_with("State \"C\" is not reachable. at /States/C"));
}

#[test]
fn express_lacks_what_waits() {
    let task = |resource: &str| {
        one_state(json!({"Type": "Task", "Resource": resource, "End": true,
            "Parameters": {"StateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:x"}}))
    };
    let sync = task("arn:aws:states:::states:startExecution.sync:2");
    assert!(told(sync.clone(), ChildKind::Standard).is_empty());
    let problems = told(sync, ChildKind::Express);
    assert!(
        problems[0].contains("Express state machine does not support '.sync' service integration")
    );
}

#[test]
fn variables_are_not_shadowed_and_unknown_ones_are_warned_of() {
    let inner =
        json!({"StartAt": "I", "States": {"I": {"Type": "Pass", "Assign": {"x": 2}, "End": true}}});
    let map = |config: Value| {
        let mut processor = inner.clone();
        processor["ProcessorConfig"] = config;
        json!({"StartAt": "A", "States": {
            "A": {"Type": "Pass", "Assign": {"x": 1}, "Next": "M"},
            "M": {"Type": "Map", "ItemSelector": {"y.$": "$nobody.z", "n": "$.plain"}, "ItemProcessor": processor, "End": true}}})
    };
    let problems = told(map(json!({"Mode": "INLINE"})), ChildKind::Standard);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].starts_with("WARNING NO_DOLLAR"));
    assert!(problems[1].starts_with("WARNING POSSIBLY_UNDEFINED_VARIABLE: The variable 'nobody'"));
    assert!(
        problems[2].starts_with("ERROR")
            && problems[2].contains("'x' is assigned in an outer scope")
    );
    let distributed = map(json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}));
    let checked = Definition::check(&distributed.to_string(), ChildKind::Standard);
    assert!(checked.definition.is_some(), "{:?}", checked.problems);
}

#[test]
fn ranges_targets_and_broken_text_are_told_with_their_places() {
    let retry = one_state(json!({"Type": "Parallel", "Branches": [], "End": true,
        "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 0}]}));
    assert_eq!(
        told(retry, ChildKind::Standard),
        [
            "ERROR SCHEMA_VALIDATION_FAILED: Value cannot be empty at /States/S/Branches",
            "ERROR SCHEMA_VALIDATION_FAILED: Value must be between 1 and 99999999 at /States/S/Retry[0]/IntervalSeconds"
        ]
    );
    let choice = json!({"StartAt": "C", "States": {"C": {"Type": "Choice",
        "Choices": [{"Variable": "$.x", "IsNull": true, "Next": "Gone"}]}, "E": {"Type": "Succeed"}}});
    let problems = told(choice, ChildKind::Standard);
    assert!(problems[0].ends_with("Missing 'Next' target: Gone at /States/C/Choices[0]/Next"));
    let broken = Definition::check("{not json", ChildKind::Standard);
    assert!(!broken.problems[0].to_string().ends_with(" at "));
}
