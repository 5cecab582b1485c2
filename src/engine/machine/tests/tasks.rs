//! Tasks step by step: events, commands and what is owed, for every integration pattern.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::*;
use super::succeeded;
use crate::engine::definition::Definition;

/// One state of type Task, driven by hand.
struct Hand {
    definition: Definition,
    identity: Identity,
    input: Arc<Value>,
    execution: Execution,
    events: Vec<Event>,
}

impl Hand {
    fn new(resource: &str, more: Value) -> Self {
        let mut task = json!({"Type": "Task", "Resource": resource, "End": true});
        task.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let definition =
            json!({"StartAt": "T", "States": {"T": task, "Late": {"Type": "Pass", "End": true}}});
        let mut definition = definition;
        if !more.to_string().contains("Late") {
            definition["States"].as_object_mut().unwrap().remove("Late");
        }
        Self {
            definition: Definition::parse(&definition.to_string()).unwrap(),
            identity: Identity {
                id: "arn:aws:states:us-east-1:000000000000:execution:M:run".into(),
                nonce: "n".into(),
                ..Identity::default()
            },
            input: Arc::new(json!({"in": 1})),
            execution: Execution::default(),
            events: Vec::new(),
        }
    }

    fn machine(&self) -> Machine<'_> {
        Machine {
            scope: &self.definition.scope,
            timeout_seconds: None,
            identity: &self.identity,
            input: &self.input,
            context: None,
            record: true,
        }
    }

    fn give(&mut self, input: Input, now: i64) -> Step {
        let mut execution = std::mem::take(&mut self.execution);
        let mut step = step(&self.machine(), &mut execution, input, now);
        // Whatever is under way must survive being stored.
        let stored = serde_json::to_string(&execution).unwrap();
        self.execution = serde_json::from_str(&stored).unwrap();
        assert_eq!(self.execution, execution);
        self.events.append(&mut step.events);
        step
    }

    fn owed(&self) -> Vec<Command> {
        owed(&self.machine(), &self.execution)
    }

    /// Types of the events behind the one of the state's entry.
    fn told(&self) -> Vec<&str> {
        let told = self.events.iter().map(|event| event.kind.as_ref());
        told.skip_while(|kind| *kind != "TaskStateEntered")
            .skip(1)
            .collect()
    }

    fn details(&self, kind: &str) -> &Value {
        let event = self.events.iter().find(|event| event.kind == kind);
        event.unwrap().details.as_ref().unwrap()
    }
}

fn call(commands: &[Command]) -> &Call {
    let calls: Vec<&Call> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Call(call) => Some(&**call),
            _ => None,
        })
        .collect();
    let [call] = calls.as_slice() else {
        panic!("one call: {commands:?}")
    };
    call
}

const WAITING: &str = "arn:aws:states:::lambda:invoke.waitForTaskToken";

fn waiting(more: Value) -> Hand {
    let mut fields =
        json!({"Parameters": {"FunctionName": "f", "Payload": {"token.$": "$$.Task.Token"}}});
    fields
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Hand::new(WAITING, fields)
}

#[test]
fn a_task_that_is_called_back_is_submitted_and_then_ended_by_its_token() {
    let mut hand = waiting(json!({}));
    let step = hand.give(Input::Start, 1_000);
    let made = call(&step.commands).clone();
    let token = TaskToken::parse(made.parameters["Payload"]["token"].as_str().unwrap()).unwrap();
    assert_eq!(
        (token.attempt, Some(&token)),
        (made.attempt, made.token.as_ref())
    );
    assert!(token.is_of("n") && token.resource == WAITING);
    assert_eq!(
        hand.details("TaskScheduled"),
        &json!({"resourceType": "lambda", "resource": "invoke.waitForTaskToken", "region": "us-east-1", "parameters": made.parameters.to_string()})
    );
    // Asked again after a restart, the call is the same one with the same token.
    assert_eq!(call(&hand.owed()), &made);
    let token = made.attempt;
    hand.give(
        Input::TaskSubmitted {
            token,
            result: Ok(json!({"StatusCode": 200})),
        },
        2_000,
    );
    assert!(
        hand.owed().is_empty(),
        "the token was handed over: there is nothing to do"
    );
    assert!(awaits(&hand.execution, token));
    let step = hand.give(
        Input::TaskEnded {
            token,
            result: Ok(json!("done")),
        },
        3_000,
    );
    assert_eq!(step.outcome, Some(succeeded(json!("done"))));
    assert!(!awaits(&hand.execution, token));
    assert_eq!(
        hand.told(),
        [
            "TaskScheduled",
            "TaskStarted",
            "TaskSubmitted",
            "TaskSucceeded",
            "TaskStateExited",
            "ExecutionSucceeded"
        ]
    );
    let nobody = hand.give(
        Input::TaskEnded {
            token,
            result: Ok(json!(2)),
        },
        4_000,
    );
    assert!(nobody.outcome.is_none() && hand.events.len() == 8);
}

#[test]
fn a_token_may_come_back_before_the_call_is_answered() {
    let mut hand = waiting(json!({}));
    let token = call(&hand.give(Input::Start, 0).commands).attempt;
    let step = hand.give(
        Input::TaskEnded {
            token,
            result: Ok(json!(1)),
        },
        1,
    );
    assert_eq!(step.outcome, Some(succeeded(json!(1))));
    let late = hand.give(
        Input::TaskSubmitted {
            token,
            result: Ok(json!({})),
        },
        2,
    );
    assert!(late.commands.is_empty());
    assert_eq!(
        hand.told(),
        [
            "TaskScheduled",
            "TaskStarted",
            "TaskSucceeded",
            "TaskStateExited",
            "ExecutionSucceeded"
        ]
    );
}

#[test]
fn a_job_that_cannot_be_submitted_fails_and_one_that_is_submitted_is_watched_after_a_restart() {
    let parameters = json!({"Parameters": {"StateMachineArn": "arn:m", "Input": {"a": 1}}});
    let mut hand = Hand::new("arn:aws:states:::states:startExecution.sync:2", parameters);
    let token = call(&hand.give(Input::Start, 0).commands).attempt;
    let mut other = Hand {
        execution: hand.execution.clone(),
        events: Vec::new(),
        ..Hand::new(
            "arn:aws:states:::states:startExecution.sync:2",
            json!({"Parameters": {"StateMachineArn": "arn:m", "Input": {"a": 1}}}),
        )
    };
    let failure = Failure::new("StepFunctions.StateMachineDoesNotExistException", "none");
    let step = other.give(
        Input::TaskSubmitted {
            token,
            result: Err(failure.clone()),
        },
        1,
    );
    assert_eq!(step.outcome, Some(Outcome::Failed(failure)));
    assert_eq!(
        other.details("TaskSubmitFailed")["resource"],
        "startExecution.sync:2"
    );
    hand.give(
        Input::TaskSubmitted {
            token,
            result: Ok(json!({"ExecutionArn": "arn:e"})),
        },
        1,
    );
    assert_eq!(call(&hand.owed()).attempt, token);
    // Stopped: what it has started is stopped too.
    let step = hand.give(
        Input::Stop {
            error: None,
            cause: None,
        },
        2,
    );
    assert_eq!(step.commands, [Command::Abandon { attempt: token }]);
    assert_eq!(hand.told()[3..], ["ExecutionAborted"]);
}

#[test]
fn limits_and_credentials_may_be_computed() {
    let mut hand = Hand::new(
        WAITING,
        json!({"QueryLanguage": "JSONata", "TimeoutSeconds": "{% $states.input.in * 120 %}",
            "Credentials": {"RoleArn": "{% 'arn:aws:iam::000000000000:role/' & 'r' %}"},
            "Arguments": {"FunctionName": "f", "Payload": {"token": "{% $states.context.Task.Token %}", "at": "{% $millis() %}", "id": "{% $uuid() %}"}}}),
    );
    let step = hand.give(Input::Start, 5_000);
    let made = call(&step.commands).clone();
    let told = made.token.clone().map(|token| token.text());
    assert_eq!(
        made.parameters["Payload"]["token"].as_str(),
        told.as_deref()
    );
    let details = hand.details("TaskScheduled");
    assert_eq!(details["timeoutInSeconds"], 120);
    assert_eq!(
        details["taskCredentials"]["roleArn"],
        "arn:aws:iam::000000000000:role/r"
    );
    // Times and random numbers too are what they were when it was scheduled.
    assert_eq!(call(&hand.owed()), &made);
}

#[test]
fn a_heartbeat_puts_off_its_own_limit_only() {
    let mut hand = waiting(json!({"TimeoutSeconds": 100, "HeartbeatSeconds": 10}));
    let step = hand.give(Input::Start, 0);
    let token = call(&step.commands).attempt;
    let details = hand.details("TaskScheduled");
    assert_eq!(
        (
            details["timeoutInSeconds"].as_u64(),
            details["heartbeatInSeconds"].as_u64()
        ),
        (Some(100), Some(10))
    );
    assert!(
        step.commands
            .contains(&Command::Timer { token, at: 10_000 })
    );
    for at in (9_000..95_000).step_by(9_000) {
        hand.give(Input::TaskHeartbeat { token }, at);
        // The timer that was set before the heartbeat came.
        hand.give(Input::TimerFired { token }, at + 1_000);
    }
    let timers = [Command::Timer { token, at: 100_000 }];
    assert_eq!(hand.owed()[..1], timers);
    let step = hand.give(Input::TimerFired { token }, 100_000);
    assert_eq!(step.commands, [Command::Abandon { attempt: token }]);
    assert_eq!(hand.details("TaskTimedOut")["error"], "States.Timeout");
    let Some(Outcome::Failed(failure)) = step.outcome else {
        panic!("{:?}", step.outcome)
    };
    assert_eq!(
        failure,
        Failure {
            error: Some("States.Timeout".into()),
            cause: None
        }
    );
}

#[test]
fn silence_is_a_timeout_that_error_equals_can_tell() {
    for (covering, goes_on) in [
        ("States.HeartbeatTimeout", true),
        ("States.Timeout", true),
        ("States.TaskFailed", false),
    ] {
        let catch =
            json!({"HeartbeatSeconds": 5, "Catch": [{"ErrorEquals": [covering], "Next": "Late"}]});
        let mut hand = waiting(catch);
        let token = call(&hand.give(Input::Start, 0).commands).attempt;
        let early = hand.give(Input::TimerFired { token }, 4_999);
        assert_eq!(early.commands, [Command::Timer { token, at: 5_000 }]);
        let step = hand.give(Input::TimerFired { token }, 5_000);
        assert_eq!(
            hand.details("TaskTimedOut")["error"],
            "States.Timeout",
            "{covering}"
        );
        match step.outcome {
            Some(Outcome::Succeeded(caught)) => {
                assert_eq!(*caught, json!({"Error": "States.Timeout", "Cause": ""}));
                assert!(goes_on, "{covering}");
            }
            outcome => assert!(!goes_on && outcome.is_some(), "{covering}: {outcome:?}"),
        }
    }
}

#[test]
fn an_activity_is_told_of_once_it_is_known_and_its_time_counts_from_a_worker_on() {
    let arn = "arn:aws:states:us-east-1:000000000000:activity:a";
    let fields = json!({"TimeoutSeconds": 60, "HeartbeatSecondsPath": "$.in"});
    let mut hand = Hand::new(arn, fields.clone());
    let step = hand.give(Input::Start, 0);
    let token = call(&step.commands).attempt;
    assert!(hand.told().is_empty() && step.commands.len() == 1);
    hand.give(Input::ActivityScheduled { token }, 10);
    assert_eq!(
        hand.details("ActivityScheduled"),
        &json!({"resource": arn, "input": "{\"in\":1}", "inputDetails": {"truncated": false}, "timeoutInSeconds": 60, "heartbeatInSeconds": 1})
    );
    assert_eq!(
        call(&hand.owed()).attempt,
        token,
        "a worker must find it after a restart"
    );
    let step = hand.give(
        Input::ActivityStarted {
            token,
            worker: Some("w".into()),
        },
        500_000,
    );
    assert_eq!(step.commands, [Command::Timer { token, at: 501_000 }]);
    assert_eq!(hand.owed(), step.commands);
    assert_eq!(hand.details("ActivityStarted"), &json!({"workerName": "w"}));
    let again = hand.give(
        Input::ActivityStarted {
            token,
            worker: None,
        },
        500_001,
    );
    assert!(again.events.is_empty() && again.commands.is_empty());
    hand.give(
        Input::TaskEnded {
            token,
            result: Ok(json!({})),
        },
        500_002,
    );
    assert_eq!(
        hand.told(),
        [
            "ActivityScheduled",
            "ActivityStarted",
            "ActivitySucceeded",
            "TaskStateExited",
            "ExecutionSucceeded"
        ]
    );

    let mut unknown = Hand::new(arn, fields);
    unknown.give(Input::Start, 0);
    let result = Err(Failure::new(
        "States.Runtime",
        "The activity a does not exist.",
    ));
    let step = unknown.give(Input::TaskEnded { token, result }, 1);
    assert_eq!(unknown.told(), ["ExecutionFailed"]);
    let Some(Outcome::Failed(failure)) = step.outcome else {
        panic!("{:?}", step.outcome)
    };
    assert_eq!(
        failure.cause.as_deref(),
        Some(
            "An error occurred while executing the state 'T' (entered at the event id #2). The activity a does not exist."
        )
    );
}

#[test]
fn a_redriven_task_has_another_token_and_what_is_too_large_is_not_sent() {
    let mut hand = waiting(json!({}));
    let first = call(&hand.give(Input::Start, 0).commands).clone();
    hand.give(
        Input::Stop {
            error: None,
            cause: None,
        },
        1,
    );
    let again = call(&hand.give(Input::Redrive, 2).commands).clone();
    assert_ne!(first.token, again.token);
    assert!(!awaits(&hand.execution, first.attempt) && awaits(&hand.execution, again.attempt));

    let mut large = waiting(json!({}));
    large.definition = Definition::parse(&json!({"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:f", "Parameters": {"a.$": "$.in", "b.$": "$.in"}, "End": true}}}).to_string()).unwrap();
    large.input = Arc::new(json!({"in": "x".repeat(MAX_PAYLOAD / 2)}));
    let step = large.give(Input::Start, 0);
    let Some(Outcome::Failed(failure)) = step.outcome else {
        panic!("{:?}", step.outcome)
    };
    assert_eq!(failure.error.as_deref(), Some("States.DataLimitExceeded"));
    assert!(step.commands.is_empty());
}
