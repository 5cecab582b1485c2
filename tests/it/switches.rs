//! Throttling, delayed answers and injected faults, as a client of the engine meets them.

use std::time::Duration;

use aws_sdk_sfn::error::ProvideErrorMetadata;
use fanout::engine::switches::{Switches, Throttle};

use crate::wire::{Wire, wire};

/// A client would try again by itself what these tests want to see.
async fn code_of_list(wire: &Wire) -> Option<String> {
    let client = wire.sfn.config().to_builder();
    let never = aws_sdk_sfn::config::retry::RetryConfig::disabled();
    let client = aws_sdk_sfn::Client::from_conf(client.retry_config(never).build());
    let listed = client.list_state_machines().send().await;
    listed
        .err()
        .and_then(|error| error.code().map(str::to_owned))
}

#[tokio::test]
async fn an_empty_bucket_answers_as_aws_does() {
    let wire = wire().await;
    wire.engine.runner().set_switches(Switches {
        throttle: Throttle::SmallRegion,
        ..Switches::default()
    });
    let mut passed = 0;
    let refused = loop {
        match code_of_list(&wire).await {
            None => passed += 1,
            Some(code) => break code,
        }
    };
    assert_eq!(refused, "ThrottlingException");
    assert!(passed >= 100, "{passed}");
    let clock = wire.engine.runner().clock();
    clock.advance(Duration::from_secs(1));
    assert_eq!(code_of_list(&wire).await, None);
}

#[tokio::test]
async fn a_fault_is_met_until_it_is_switched_off() {
    let wire = wire().await;
    let runner = wire.engine.runner();
    runner.set_switches(Switches {
        faults: vec!["ListStateMachines=InternalServerException".parse().unwrap()],
        ..Switches::default()
    });
    let code = code_of_list(&wire).await;
    assert_eq!(code.as_deref(), Some("InternalServerException"));
    runner.set_switches(Switches::default());
    assert_eq!(code_of_list(&wire).await, None);
}

#[tokio::test]
async fn descriptions_are_as_old_as_was_asked_for() {
    let wire = wire().await;
    let delay = Duration::from_mins(10);
    wire.engine.runner().set_switches(Switches {
        delay,
        ..Switches::default()
    });
    let pass = r#"{"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}"#;
    let create = wire.sfn.create_state_machine().name("m").definition(pass);
    let create = create.role_arn("arn:aws:iam::000000000000:role/r");
    let machine = create.send().await.unwrap().state_machine_arn;
    let start = wire.sfn.start_execution().state_machine_arn(&machine);
    let execution = start.send().await.unwrap().execution_arn;
    let describe = || wire.sfn.describe_execution().execution_arn(&execution);
    let error = describe().send().await.unwrap_err();
    assert_eq!(error.code(), Some("ExecutionDoesNotExist"));
    let listed = wire.sfn.list_state_machines().send().await.unwrap();
    assert!(listed.state_machines().is_empty());
    // Histories are not old.
    let history = wire.sfn.get_execution_history().execution_arn(&execution);
    assert!(!history.send().await.unwrap().events().is_empty());
    wire.engine.runner().clock().advance(delay);
    assert!(describe().send().await.is_ok());
    let listed = wire.sfn.list_state_machines().send().await.unwrap();
    assert_eq!(listed.state_machines().len(), 1);
}
