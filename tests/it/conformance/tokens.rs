//! SendTaskSuccess, SendTaskFailure, SendTaskHeartbeat: whose token it is, and how long it lives.

use aws_sdk_sfn::types::ExecutionStatus::{Aborted, Failed, Running, Succeeded};
use serde_json::{Value, json};

use crate::wired::{House, Run, refusal, single, task, until, with};

/// A Task that waits for its token, which `work` is given.
fn waiting(more: Value) -> Value {
    let parameters =
        json!({"FunctionName": "work", "Payload": {"n": 1, "token.$": "$$.Task.Token"}});
    let own = json!({"Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": parameters, "OutputPath": "$"});
    task(with(own, more))
}

/// The token of the latest call, once so many have been made and taken in.
async fn token(house: &House, run: &Run, calls: usize) -> String {
    let submitted = async || {
        let events = run.events().await;
        let is_submitted = |event: &&_| event_type(event) == "TaskSubmitted";
        events.iter().filter(is_submitted).count()
    };
    until("a token", submitted, |count| *count == calls).await;
    let calls = house.calls();
    calls.last().unwrap()["token"].as_str().unwrap().to_owned()
}

fn event_type(event: &aws_sdk_sfn::types::HistoryEvent) -> &str {
    event.r#type().as_str()
}

/// What each of the three actions says of a token: code and message.
async fn said(house: &House, token: &str) -> [(String, String); 3] {
    let success = house.sfn.send_task_success().task_token(token).output("1");
    let failure = house.sfn.send_task_failure().task_token(token);
    let heartbeat = house.sfn.send_task_heartbeat().task_token(token);
    [
        refusal(heartbeat.send().await),
        refusal(failure.send().await),
        refusal(success.send().await),
    ]
}

fn timed_out() -> [(String, String); 3] {
    let text = "Task Timed Out: 'arn:aws:states:::lambda:invoke.waitForTaskToken'";
    std::array::from_fn(|_| ("TaskTimedOut".to_owned(), text.to_owned()))
}

/// A token ends its Task once; whatever comes with it afterwards is too late.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_one_end() {
    let house = House::new().await;
    // A loop, so that the execution goes on after the Task has ended.
    let waits = json!({"Type": "Wait", "Seconds": 1_000, "End": true});
    let mut first = waiting(json!({"Next": "W"}));
    first.as_object_mut().unwrap().remove("End");
    let definition = json!({"StartAt": "S", "States": {"S": first, "W": waits}});
    let run = house.start(&definition, json!({})).await;
    let used = token(&house, &run, 1).await;
    let success = house.sfn.send_task_success().task_token(&used);
    success.output("{\"a\":1}").send().await.unwrap();
    run.reaches("WaitStateEntered").await;
    assert_eq!(*run.describe().await.status(), Running);
    assert_eq!(said(&house, &used).await, timed_out());
    run.stop().await;
}

/// A Task that was given up takes nothing any more: by its own timeout, by its heartbeat, by the end
/// of its execution; a retry has a token of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_dies_with_its_attempt() {
    let house = House::new().await;
    let retry =
        json!([{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "MaxAttempts": 1}]);
    for limit in ["TimeoutSeconds", "HeartbeatSeconds"] {
        let before = house.calls().len();
        let definition = single(waiting(json!({limit: 600, "Retry": retry})));
        let run = house.start(&definition, json!({})).await;
        let old = token(&house, &run, 1).await;
        house.advance_seconds(599);
        house
            .sfn
            .send_task_heartbeat()
            .task_token(&old)
            .send()
            .await
            .unwrap();
        house.advance_seconds(600);
        run.reaches("TaskTimedOut").await;
        assert_eq!(said(&house, &old).await, timed_out(), "{limit}");
        house.advance_seconds(1);
        let new = token(&house, &run, 2).await;
        assert_ne!(old, new);
        assert_eq!(house.calls().len(), before + 2);
        let failure = house.sfn.send_task_failure().task_token(&new);
        failure.error("Mine").cause("why").send().await.unwrap();
        let failed = run.ends(Failed).await;
        assert_eq!(
            (failed.error(), failed.cause()),
            (Some("Mine"), Some("why"))
        );
        assert_eq!(said(&house, &new).await, timed_out());
    }
    let run = house.start(&single(waiting(json!({}))), json!({})).await;
    let token = token(&house, &run, 1).await;
    run.stop().await;
    run.ends(Aborted).await;
    assert_eq!(said(&house, &token).await, timed_out());
}

/// What is no token, and what was changed, is none; the token of an execution whose name was used
/// again is not the new one's.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_checked() {
    let house = House::new().await;
    let machine = house.create("m", &single(waiting(json!({})))).await;
    let start = || house.sfn.start_execution().state_machine_arn(&machine);
    let started = start().name("n").send().await.unwrap();
    let run = house.run(started.execution_arn());
    let good = token(&house, &run, 1).await;
    let invalid: [(String, String); 3] = std::array::from_fn(|_| {
        let text = "Invalid Token: 'Invalid token'";
        ("InvalidToken".to_owned(), text.to_owned())
    });
    let middle = good.len() / 2;
    let changed = if good.as_bytes()[middle] == b'a' {
        "b"
    } else {
        "a"
    };
    let changed = format!("{}{changed}{}", &good[..middle], &good[middle + 1..]);
    for bad in ["nobody's", &changed, &good[1..], &good[..good.len() - 1]] {
        assert_eq!(said(&house, bad).await, invalid, "{bad}");
    }
    let output = house.sfn.send_task_success().task_token(&good).output("{");
    assert_eq!(refusal(output.send().await).0, "InvalidOutput");
    let output = house.sfn.send_task_success().task_token(&good);
    let output = output.output(format!("\"{}\"", "x".repeat(262_143)));
    assert_eq!(refusal(output.send().await).0, "ValidationException");
    let long = house.sfn.send_task_failure().task_token(&good);
    let long = long.error("x".repeat(257));
    assert_eq!(refusal(long.send().await).0, "ValidationException");
    let success = house.sfn.send_task_success().task_token(&good);
    success.output("5").send().await.unwrap();
    assert_eq!(run.ends(Succeeded).await.output(), Some("5"));
    house.advance(91);
    start().name("n").send().await.unwrap();
    token(&house, &run, 1).await;
    assert_eq!(
        said(&house, &good).await,
        invalid,
        "of the execution before"
    );
    run.stop().await;
}
