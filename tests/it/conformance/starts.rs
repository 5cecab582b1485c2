//! StartExecution: names, inputs, and what the same name again does.

use aws_sdk_sfn::operation::start_execution::builders::StartExecutionFluentBuilder;
use aws_sdk_sfn::types::ExecutionStatus::{Aborted, Succeeded};
use serde_json::{Value, json};

use crate::wired::{House, distributed, numbers, refusal, single};

fn start(house: &House, machine: &str) -> StartExecutionFluentBuilder {
    house.sfn.start_execution().state_machine_arn(machine)
}

fn passes() -> Value {
    single(json!({"Type": "Pass", "End": true}))
}

/// StartExecution, "idempotent": the same name and input is the same execution while it runs; any
/// other input, and any input once it has closed, is refused until 90 days have gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_started_once() {
    let house = House::new().await;
    let waits = single(json!({"Type": "Wait", "Seconds": 1_000, "End": true}));
    let machine = house.create("m", &waits).await;
    let named = |input: &str| start(&house, &machine).name("n").input(input);
    let first = named("{\"a\":1}").send().await.unwrap();
    let again = named("{\"a\":1}").send().await.unwrap();
    assert_eq!(again.execution_arn(), first.execution_arn());
    assert_eq!(again.start_date(), first.start_date());
    let arn = first.execution_arn();
    let taken = (
        "ExecutionAlreadyExists".to_owned(),
        format!("Execution Already Exists: '{arn}'"),
    );
    assert_eq!(refusal(named("{\"a\":2}").send().await), taken);
    let run = house.run(arn);
    run.stop().await;
    run.ends(Aborted).await;
    for input in ["{\"a\":1}", "{\"a\":2}"] {
        assert_eq!(refusal(named(input).send().await), taken);
    }
    house.advance(89);
    assert_eq!(refusal(named("{\"a\":1}").send().await), taken);
    house.advance(2);
    let new = named("{\"a\":1}").send().await.unwrap();
    assert_eq!(new.execution_arn(), arn);
    assert!(new.start_date() > first.start_date());
    assert_eq!(run.history().await.len(), 2);
    run.stop().await;
}

/// StartExecution, "name": 1 to 80 characters, without white space, brackets, wildcards, special
/// and control characters. Without one the service makes one.
#[tokio::test(flavor = "multi_thread")]
async fn names_have_rules() {
    let house = House::new().await;
    let machine = house.create("m", &passes()).await;
    for name in ["a", "0", "A-b_c.d", "é", &"x".repeat(80), "(!'+=@)"] {
        let started = start(&house, &machine).name(name).send().await.unwrap();
        let arn = format!("arn:aws:states:us-east-1:000000000000:execution:m:{name}");
        assert_eq!(started.execution_arn(), arn);
        assert_eq!(house.run(&arn).ends(Succeeded).await.name(), Some(name));
    }
    let forbidden = "<>{}[]?*\"#%\\^|~`$&,;:/ \t\n\u{1}\u{1f}\u{7f}\u{85}\u{9f}\u{fffe}\u{ffff}";
    for character in forbidden.chars() {
        let name = format!("a{character}b");
        let refused = refusal(start(&house, &machine).name(&name).send().await);
        let expected = ("InvalidName".to_owned(), format!("Invalid Name: '{name}'"));
        assert_eq!(refused, expected, "{character:?}");
    }
    let long = start(&house, &machine).name("x".repeat(81));
    assert_eq!(refusal(long.send().await).0, "ValidationException");
    let unnamed = start(&house, &machine).send().await.unwrap();
    let name = unnamed.execution_arn().rsplit(':').next().unwrap();
    assert_eq!(uuid::Uuid::parse_str(name).unwrap().to_string(), name);
}

/// StartExecution, "input": any JSON, scalars too; nothing is an empty object; at most 262,144
/// bytes of UTF-8.
#[tokio::test(flavor = "multi_thread")]
async fn an_input_is_any_json() {
    let house = House::new().await;
    let machine = house.create("m", &passes()).await;
    for input in ["1", "-0.5", "\"x\"", "true", "null", "[]", "{}", " [ 1 ] "] {
        let started = start(&house, &machine).input(input).send().await.unwrap();
        let ended = house.run(started.execution_arn()).ends(Succeeded).await;
        assert_eq!(ended.input(), Some(input), "as it was given");
        let output: Value = serde_json::from_str(ended.output().unwrap()).unwrap();
        assert_eq!(output, serde_json::from_str::<Value>(input).unwrap());
    }
    let nothing = start(&house, &machine).send().await.unwrap();
    let ended = house.run(nothing.execution_arn()).ends(Succeeded).await;
    assert_eq!((ended.input(), ended.output()), (Some("{}"), Some("{}")));
    for input in ["", "{", "{\"a\":}", "nonsense", "[1] 2"] {
        let refused = refusal(start(&house, &machine).input(input).send().await);
        assert_eq!(refused.0, "InvalidExecutionInput", "{input:?}");
        let text = "Invalid State Machine Execution Input: '";
        assert!(refused.1.starts_with(text), "{}", refused.1);
    }
    let empty = refusal(start(&house, &machine).input("").send().await).1;
    assert_eq!(
        empty,
        "Invalid State Machine Execution Input: 'Invalid execution input.'"
    );
    let of_bytes = |bytes: usize| format!("\"{}\"", "é".repeat((bytes - 2) / 2));
    let longest = start(&house, &machine).input(of_bytes(262_144));
    longest.send().await.unwrap();
    let longer = start(&house, &machine).input(of_bytes(262_146));
    assert_eq!(refusal(longer.send().await).0, "ValidationException");
}

/// StartExecution, "stateMachineArn": a Distributed Map's children cannot be started by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_labelled_state_machine_is_not_started() {
    let house = House::new().await;
    let machine = house.create("m", &distributed("EXPRESS", json!({}))).await;
    let labelled = start(&house, &format!("{machine}/Items"));
    assert_eq!(refusal(labelled.send().await).0, "ValidationException");
    let unknown = format!("{machine}x");
    let refused = refusal(start(&house, &unknown).send().await);
    let text = format!("State Machine Does Not Exist: '{unknown}'");
    assert_eq!(refused, ("StateMachineDoesNotExist".to_owned(), text));
    let garbage = refusal(start(&house, "xxx").send().await);
    let text = "Invalid Arn: 'Invalid ARN prefix: xxx'".to_owned();
    assert_eq!(garbage, ("InvalidArn".to_owned(), text));
    let run = house.start_machine(&machine, numbers(1)).await;
    run.ends(Succeeded).await;
}

/// StartExecution, "traceHeader": the X-Ray header of an execution, which DescribeExecution tells;
/// the one in the HTTP header counts where there are two.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_header_is_kept() {
    let house = House::new().await;
    let machine = house.create("m", &passes()).await;
    let (body, header) = (
        "Root=1-5759e988-bd862e3fe1be46a994272793",
        "Root=1-2-3;Sampled=1",
    );
    // In the body, in the HTTP header, as told.
    let cases = [
        (None, None, None),
        (Some(body), None, Some(body)),
        (None, Some(header), Some(header)),
        (Some(body), Some(header), Some(header)),
    ];
    for (in_body, in_header, told) in cases {
        let started = start(&house, &machine).set_trace_header(in_body.map(str::to_owned));
        let started = started.customize().mutate_request(move |request| {
            if let Some(header) = in_header {
                request.headers_mut().insert("x-amzn-trace-id", header);
            }
        });
        let started = started.send().await.unwrap();
        let ended = house.run(started.execution_arn()).ends(Succeeded).await;
        assert_eq!(ended.trace_header(), told);
    }
    let long = start(&house, &machine).trace_header("x".repeat(257));
    assert_eq!(refusal(long.send().await).0, "ValidationException");
}
