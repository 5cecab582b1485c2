//! TestState: one state by itself, asked by the AWS SDK.

use aws_sdk_sfn::error::ProvideErrorMetadata;
use aws_sdk_sfn::types::{
    InspectionLevel, MockErrorOutput, MockInput, TestExecutionStatus, TestStateConfiguration,
};
use serde_json::{Value, json};

use crate::machines::sent;
use crate::wire::wire;

fn mock(result: &Value) -> MockInput {
    MockInput::builder().result(result.to_string()).build()
}

fn failing(error: &str) -> MockInput {
    let error = MockErrorOutput::builder().error(error).cause("c").build();
    MockInput::builder().error_output(error).build()
}

fn task(more: Value) -> String {
    let mut task = json!({
        "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:work",
        "Next": "After",
    });
    let (Some(task_members), Value::Object(more)) = (task.as_object_mut(), more) else {
        unreachable!()
    };
    task_members.extend(more);
    task.to_string()
}

#[tokio::test]
async fn a_state_goes_where_its_rules_say() {
    let wire = wire().await;
    let choice = json!({"Type": "Choice", "Default": "Small", "Choices": [
        {"Variable": "$.n", "NumericGreaterThan": 5, "Next": "Large"}]});
    for (input, next) in [("{\"n\":9}", "Large"), ("{\"n\":1}", "Small")] {
        let test = wire.sfn.test_state().definition(choice.to_string());
        let tested = sent!(test.input(input)).unwrap();
        assert_eq!(tested.status(), Some(&TestExecutionStatus::Succeeded));
        assert_eq!(tested.next_state(), Some(next));
        assert_eq!(tested.output(), Some(input));
    }
    let fail = json!({"Type": "Fail", "Error": "E", "Cause": "why"});
    let tested = sent!(wire.sfn.test_state().definition(fail.to_string())).unwrap();
    assert_eq!(tested.status(), Some(&TestExecutionStatus::Failed));
    assert_eq!((tested.error(), tested.cause()), (Some("E"), Some("why")));
}

#[tokio::test]
async fn each_field_shows_what_it_made_of_the_data() {
    let wire = wire().await;
    let state = task(json!({
        "InputPath": "$.a", "Parameters": {"n.$": "$.n"},
        "ResultSelector": {"twice.$": "States.Array($.n, $.n)"},
        "ResultPath": "$.r", "OutputPath": "$.r",
    }));
    let test = wire.sfn.test_state().definition(state);
    let test = test.input(json!({"a": {"n": 3}}).to_string());
    // The function is really called.
    let tested = sent!(test.inspection_level(InspectionLevel::Debug)).unwrap();
    assert_eq!(tested.status(), Some(&TestExecutionStatus::Succeeded));
    assert_eq!(tested.output(), Some("{\"twice\":[3,3]}"));
    assert_eq!(tested.next_state(), Some("After"));
    let data = tested.inspection_data().unwrap();
    assert_eq!(data.input(), Some("{\"a\":{\"n\":3}}"));
    assert_eq!(data.after_input_path(), Some("{\"n\":3}"));
    assert_eq!(data.after_parameters(), Some("{\"n\":3}"));
    assert_eq!(data.result(), Some("{\"n\":3}"));
    assert_eq!(data.after_result_selector(), Some("{\"twice\":[3,3]}"));
    assert_eq!(
        data.after_result_path(),
        Some("{\"a\":{\"n\":3},\"r\":{\"twice\":[3,3]}}")
    );
}

#[tokio::test]
async fn a_mocked_error_is_tried_again_and_then_caught() {
    let wire = wire().await;
    let state = task(json!({
        "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 3, "BackoffRate": 2, "MaxAttempts": 2}],
        "Catch": [{"ErrorEquals": ["Other"], "Next": "No"}, {"ErrorEquals": ["Busy"], "Next": "Rescue", "ResultPath": "$.e"}],
    }));
    let test = |attempts| {
        let attempts = TestStateConfiguration::builder().retrier_retry_count(attempts);
        let test = wire
            .sfn
            .test_state()
            .definition(&state)
            .mock(failing("Busy"));
        let test = test.state_configuration(attempts.build());
        test.inspection_level(InspectionLevel::Debug)
            .input("{\"a\":1}")
    };
    let tested = sent!(test(1)).unwrap();
    assert_eq!(tested.status(), Some(&TestExecutionStatus::Retriable));
    let details = tested.inspection_data().unwrap().error_details().unwrap();
    assert_eq!(details.retry_index(), Some(0));
    assert_eq!(details.retry_backoff_interval_seconds(), Some(6));
    let tested = sent!(test(2)).unwrap();
    assert_eq!(tested.status(), Some(&TestExecutionStatus::CaughtError));
    assert_eq!(tested.next_state(), Some("Rescue"));
    let output: Value = serde_json::from_str(tested.output().unwrap()).unwrap();
    assert_eq!(
        output,
        json!({"a": 1, "e": {"Error": "Busy", "Cause": "c"}})
    );
    let details = tested.inspection_data().unwrap().error_details().unwrap();
    assert_eq!(details.catch_index(), Some(1));
}

#[tokio::test]
async fn a_map_needs_a_mock_and_keeps_to_its_tolerance() {
    let wire = wire().await;
    let map = json!({"Type": "Map", "ItemsPath": "$.list", "End": true,
        "ToleratedFailureCount": 1,
        "ItemSelector": {"v.$": "$$.Map.Item.Value"},
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}});
    let test = || {
        let test = wire.sfn.test_state().definition(map.to_string());
        test.input("{\"list\":[1,2]}")
            .inspection_level(InspectionLevel::Debug)
    };
    let refused = sent!(test()).unwrap_err();
    assert_eq!(refused.code(), Some("ValidationException"));
    let tested = sent!(test().mock(mock(&json!([7, 8])))).unwrap();
    assert_eq!(tested.output(), Some("[7,8]"));
    let data = tested.inspection_data().unwrap();
    assert_eq!(data.after_items_path(), Some("[1,2]"));
    assert_eq!(data.after_item_selector(), Some("[{\"v\":1},{\"v\":2}]"));
    assert_eq!(data.tolerated_failure_count(), Some(1));
    let failures = TestStateConfiguration::builder().map_iteration_failure_count(2);
    let test = test().mock(mock(&json!([7, 8])));
    let tested = sent!(test.state_configuration(failures.build())).unwrap();
    assert_eq!(tested.status(), Some(&TestExecutionStatus::Failed));
    assert_eq!(
        tested.error(),
        Some("States.ExceedToleratedFailureThreshold")
    );
}

#[tokio::test]
async fn one_state_of_a_machine_in_jsonata_with_variables() {
    let wire = wire().await;
    let machine = json!({"QueryLanguage": "JSONata", "StartAt": "A", "States": {
        "A": {"Type": "Pass", "Output": "{% $states.input.n + $v %}", "Assign": {"w": 1}, "Next": "B"},
        "B": {"Type": "Succeed"}}});
    let test = wire.sfn.test_state().definition(machine.to_string());
    let test = test
        .state_name("A")
        .variables("{\"v\": 2}")
        .input("{\"n\": 3}");
    let tested = sent!(test.inspection_level(InspectionLevel::Trace)).unwrap();
    assert_eq!(tested.output(), Some("5"));
    assert_eq!(tested.next_state(), Some("B"));
    let variables = tested.inspection_data().unwrap().variables().unwrap();
    let variables: Value = serde_json::from_str(variables).unwrap();
    assert_eq!(variables, json!({"v": 2, "w": 1}));
}
