//! DescribeStateMachine, and TestState with what its caller says of the context.

use aws_sdk_sfn::types::{
    IncludedData, InspectionLevel, MockErrorOutput, MockInput, TestExecutionStatus,
    TestStateConfiguration,
};
use serde_json::{Value, json};

use crate::machines::sent;
use crate::wired::{House, distributed, numbers, refusal, single, task, with};

/// DescribeStateMachine, "variableReferences": the variables that states refer to, in the order of
/// the alphabet; states that refer to none, and what is only assigned, are left out. Of a
/// Distributed Map and of its children, those of the item processor.
#[tokio::test(flavor = "multi_thread")]
async fn a_description_names_the_variables_that_states_refer_to() {
    let house = House::new().await;
    let inner =
        json!({"Type": "Pass", "Assign": {"total.$": "States.MathAdd($y, $x)"}, "Next": "More"});
    let more = json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $total + $states.input %}", "End": true});
    let inline = json!({"Type": "Map", "ItemsPath": "$list", "MaxConcurrencyPath": "$most", "Next": "Wait",
        "ItemProcessor": {"StartAt": "Inner", "States": {"Inner": inner, "More": more}}});
    let branch = json!({"Type": "Pass", "Parameters": {"z.$": "$x"}, "End": true});
    let states = json!({
        "Set": {"Type": "Pass", "Assign": {"x": 1, "y": 2, "list": [1], "most": 1, "t": 0}, "Next": "Choose"},
        "Choose": {"Type": "Choice", "Default": "Map", "Choices": [
            {"Variable": "$y", "NumericEqualsPath": "$x", "Next": "Map"}]},
        "Map": inline,
        "Wait": {"Type": "Wait", "SecondsPath": "$t", "Next": "Both"},
        "Both": {"Type": "Parallel", "Branches": [{"StartAt": "B", "States": {"B": branch}}], "End": true}});
    let definition = json!({"StartAt": "Set", "States": states});
    let machine = house.create("m", &definition).await;
    let describe = || {
        house
            .sfn
            .describe_state_machine()
            .state_machine_arn(&machine)
    };
    let described = describe().send().await.unwrap();
    let expected = json!({"Choose": ["x", "y"], "Map": ["list", "most"], "Inner": ["x", "y"],
        "More": ["total"], "Wait": ["t"], "B": ["x"]});
    assert_eq!(json!(described.variable_references().unwrap()), expected);
    let short = describe().included_data(IncludedData::MetadataOnly);
    let short = short.send().await.unwrap();
    assert_eq!(
        (short.definition(), short.variable_references()),
        ("{}", None)
    );
    let run = house.start_machine(&machine, json!({})).await;
    let used = house.sfn.describe_state_machine_for_execution();
    let used = used.execution_arn(&run.arn).send().await.unwrap();
    assert_eq!(json!(used.variable_references().unwrap()), expected);
    run.ended().await;

    let plain = house.create("plain", &single(task(json!({})))).await;
    let described = house.sfn.describe_state_machine().state_machine_arn(plain);
    assert_eq!(described.send().await.unwrap().variable_references(), None);

    let processor = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "A", "States": {
        "A": {"Type": "Pass", "Assign": {"own": 1}, "Next": "C"},
        "C": {"Type": "Pass", "Parameters": {"o.$": "$own"}, "End": true}}});
    let more = json!({"ItemProcessor": processor, "ItemSelector": {"v.$": "$outer"}, "End": true});
    let mut map = distributed("STANDARD", more)["States"]["S"].clone();
    map["ItemsPath"] = "$".into();
    let first = json!({"Type": "Pass", "Assign": {"outer": 1}, "Next": "S"});
    let definition = json!({"StartAt": "First", "States": {"First": first, "S": map}});
    let machine = house.create("mapped", &definition).await;
    let of = async |arn: &str| {
        let described = house.sfn.describe_state_machine().state_machine_arn(arn);
        json!(
            described
                .send()
                .await
                .unwrap()
                .variable_references()
                .unwrap()
        )
    };
    assert_eq!(of(&machine).await, json!({"S": ["outer"], "C": ["own"]}));
    assert_eq!(of(&format!("{machine}/Items")).await, json!({"C": ["own"]}));
    let run = house.start_machine(&machine, numbers(1)).await;
    run.ended().await;
    let child = run.map_run().await.children(None).await.remove(0);
    let used = house.sfn.describe_state_machine_for_execution();
    let used = used
        .execution_arn(child.execution_arn())
        .send()
        .await
        .unwrap();
    assert_eq!(
        json!(used.variable_references().unwrap()),
        json!({"C": ["own"]})
    );
}

/// TestState, "context": the context object that is given stands for the whole one; members and
/// kinds are checked; a token only where the state has one; nothing without a mock.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_may_bring_its_context() {
    let house = House::new().await;
    let state = task(json!({"ResultSelector": {"all.$": "$$"}, "OutputPath": "$"}));
    let waits = task(
        json!({"Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "OutputPath": "$",
        "Parameters": {"FunctionName": "f", "Payload": {"t.$": "$$.Task.Token"}},
        "ResultSelector": {"all.$": "$$"}}),
    );
    let mock = || MockInput::builder().result("{\"r\":1}").build();
    let test = |state: &Value, context: &Value| {
        let test = house.sfn.test_state().definition(state.to_string());
        test.context(context.to_string())
    };
    let whole = json!({
        "Execution": {"Id": "arn:x", "Input": {"n": [1]}, "Name": "x", "RoleArn": "arn:r",
            "StartTime": "2030-01-01T00:00:00.000Z", "RedriveCount": 3, "RedriveTime": "2030-01-02T00:00:00Z"},
        "State": {"EnteredTime": "2030-01-01T00:00:01Z", "Name": "Mine", "RetryCount": 2},
        "StateMachine": {"Id": "arn:m", "Name": "m"}});
    let token = with(whole.clone(), json!({"Task": {"Token": "abc"}}));
    let empty = json!({"Execution": {}, "State": {}, "StateMachine": {}});
    for (state, context) in [
        (&state, &whole),
        (&state, &empty),
        (&state, &json!({})),
        (&waits, &token),
    ] {
        let tested = sent!(test(state, context).mock(mock())).unwrap();
        assert_eq!(
            tested.status(),
            Some(&TestExecutionStatus::Succeeded),
            "{tested:?}"
        );
        let output: Value = serde_json::from_str(tested.output().unwrap()).unwrap();
        assert_eq!(output["all"], *context);
    }
    let object = "Invalid Context object provided: ";
    // Context, what is said of it.
    let cases = [
        (json!({"Pokedex": {}}), "Field 'Pokedex' is not allowed"),
        (json!({"Execution": {"x": 1}}), "Field 'x' is not allowed"),
        (
            json!({"Execution": {"Id": 1}}),
            "Execution.Id must be a string",
        ),
        (
            json!({"State": {"RetryCount": "1"}}),
            "State.RetryCount must be a number",
        ),
        (
            json!({"Execution": {"StartTime": "now"}}),
            "Execution.StartTime must be a timestamp",
        ),
        (
            json!({"Map": {"Item": {}}}),
            "'Map' field is not supported when mocking a Context object",
        ),
        (
            token,
            "Context object contains 'Task' when state is not a Task state with a '.sync' or '.waitForTaskToken' service integration pattern",
        ),
    ];
    for (context, text) in cases {
        let refused = refusal(sent!(test(&state, &context).mock(mock())));
        let expected = ("ValidationException".to_owned(), format!("{object}{text}"));
        assert_eq!(refused, expected, "{context}");
    }
    let unmocked = refusal(sent!(test(&state, &whole)));
    assert_eq!(unmocked.0, "ValidationException");
    let pass = json!({"Type": "Pass", "End": true});
    let refused = refusal(sent!(test(&pass, &whole).mock(mock())));
    assert_eq!(
        refused.1,
        "State type 'Pass' is not supported when a mock is specified"
    );
}

/// TestState, "stateConfiguration": a retrier that is used up is named with the failure; iterations
/// that failed do not hide a failure of the state itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_may_say_what_went_before() {
    let house = House::new().await;
    let retry = json!([{"ErrorEquals": ["Other"]}, {"ErrorEquals": ["Busy"], "IntervalSeconds": 2, "BackoffRate": 2, "MaxAttempts": 4}]);
    let error = MockErrorOutput::builder().error("Busy").cause("c").build();
    let failing = || MockInput::builder().error_output(error.clone()).build();
    let test = |state: &Value| {
        let test = house.sfn.test_state().definition(state.to_string());
        test.mock(failing())
            .inspection_level(InspectionLevel::Debug)
    };
    let state = task(json!({"Retry": retry}));
    // Retries before, status, wait.
    let cases = [
        (0, TestExecutionStatus::Retriable, Some(2)),
        (3, TestExecutionStatus::Retriable, Some(16)),
        (4, TestExecutionStatus::Failed, None),
    ];
    for (retries, status, wait) in cases {
        let before = TestStateConfiguration::builder().retrier_retry_count(retries);
        let tested = sent!(test(&state).state_configuration(before.build())).unwrap();
        assert_eq!(tested.status(), Some(&status));
        let data = tested.inspection_data().unwrap();
        let details = data.error_details().unwrap();
        assert_eq!(details.retry_index(), Some(1));
        assert_eq!(details.retry_backoff_interval_seconds(), wait);
        assert_eq!(data.variables(), None);
    }
    let map = distributed("EXPRESS", json!({"ToleratedFailureCount": 1}))["States"]["S"].clone();
    let before = TestStateConfiguration::builder().map_iteration_failure_count(2);
    let tested = sent!(
        test(&map)
            .input("[1,2]")
            .state_configuration(before.build())
    )
    .unwrap();
    assert_eq!((tested.error(), tested.cause()), (Some("Busy"), Some("c")));
    let data = tested.inspection_data().unwrap();
    assert_eq!(
        (data.max_concurrency(), data.tolerated_failure_count()),
        (Some(0), Some(1))
    );
}
