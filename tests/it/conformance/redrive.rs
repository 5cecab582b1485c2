//! RedriveExecution of what is not a Map Run.

use aws_sdk_sfn::types::ExecutionStatus::{Aborted, Failed, Running, Succeeded, TimedOut};
use serde_json::{Value, json};

use crate::wired::{House, Run, distributed, numbers, refusal, single, task, until, with};

/// Redriving executions, "Redrive behavior of individual states": a Task that failed is scheduled
/// again. Its first new event follows its Entered event, which is not written twice; retries count
/// from the beginning; `$$.Execution` tells of the redrive, and `$$.State.EnteredTime` stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_scheduled_again_with_its_retries_reset() {
    let house = House::new().await;
    house.fail(["x"]);
    let parameters = json!({"FunctionName": "work",
        "Payload": {"n.$": "$.n", "execution.$": "$$.Execution", "state.$": "$$.State"}});
    let retry = json!([{"ErrorEquals": ["Bad"], "IntervalSeconds": 1, "MaxAttempts": 1}]);
    let work = task(json!({"Parameters": parameters, "Retry": retry}));
    let run = house.start(&single(work), json!({"n": "x"})).await;
    run.ends(Failed).await;
    run.redrive().await;
    until(
        "a third call",
        || async { house.calls_of("x") },
        |calls| *calls == 3,
    )
    .await;
    house.fail(Vec::<Value>::new());
    run.ends(Succeeded).await;
    let attempt = [
        "TaskScheduled",
        "TaskStarted",
        "TaskFailed",
        "TaskScheduled",
        "TaskStarted",
    ];
    let events = run.events().await;
    let kinds: Vec<&str> = events.iter().map(|event| event.r#type().as_str()).collect();
    assert_eq!(kinds[2..7], attempt);
    assert_eq!(
        kinds[7..10],
        ["TaskFailed", "ExecutionFailed", "ExecutionRedriven"]
    );
    assert_eq!(kinds[10..15], attempt);
    assert_eq!(events[9].previous_event_id(), 9);
    assert_eq!(
        events[10].previous_event_id(),
        2,
        "it follows TaskStateEntered"
    );
    let calls = house.calls();
    let seen = |call: &Value| {
        let (execution, state) = (&call["execution"], &call["state"]);
        let is_redriven = execution.get("RedriveTime").is_some();
        (
            execution["RedriveCount"].clone(),
            is_redriven,
            state["RetryCount"].clone(),
        )
    };
    let seen: Vec<_> = calls.iter().map(seen).collect();
    let expected = [(0, false, 0), (0, false, 1), (1, true, 0), (1, true, 1)];
    let expected =
        expected.map(|(redrives, redriven, retries)| (json!(redrives), redriven, json!(retries)));
    assert_eq!(seen, expected);
    let entered: Vec<&Value> = calls
        .iter()
        .map(|call| &call["state"]["EnteredTime"])
        .collect();
    assert!(entered.iter().all(|time| *time == entered[0]));
}

/// RedriveExecution: the answer is the time of the ExecutionRedriven event; the execution runs
/// again under the same ARN, from the same start, with no end and no error.
#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_execution_is_the_same_one_running_again() {
    let house = House::new().await;
    house.fail([1]);
    let run = house.start(&single(task(json!({}))), json!(1)).await;
    let failed = run.ends(Failed).await;
    assert_eq!(failed.redrive_status().unwrap().as_str(), "REDRIVABLE");
    assert_eq!(
        (failed.error(), failed.redrive_count()),
        (Some("Bad"), Some(0))
    );
    house.hold([1]);
    let redriven = run
        .sfn
        .redrive_execution()
        .execution_arn(&run.arn)
        .send()
        .await
        .unwrap();
    let running = run.describe().await;
    assert_eq!(*running.status(), Running);
    assert_eq!(running.redrive_count(), Some(1));
    assert_eq!(running.redrive_date(), Some(redriven.redrive_date()));
    assert_eq!(running.start_date(), failed.start_date());
    assert_eq!(
        (running.stop_date(), running.error(), running.cause()),
        (None, None, None)
    );
    assert_eq!(running.redrive_status().unwrap().as_str(), "NOT_REDRIVABLE");
    assert_eq!(
        running.redrive_status_reason(),
        Some("Execution is RUNNING and cannot be redriven")
    );
    let events = run.events().await;
    let event = events
        .iter()
        .find(|event| event.r#type().as_str() == "ExecutionRedriven");
    let event = event.unwrap();
    assert_eq!(event.timestamp(), redriven.redrive_date());
    assert_eq!(
        event
            .execution_redriven_event_details()
            .unwrap()
            .redrive_count(),
        Some(1)
    );
    house.fail(Vec::<Value>::new());
    house.release();
    run.ends(Succeeded).await;
}

/// DescribeExecution, "redriveStatusReason", and RedriveExecution, "ExecutionNotRedrivable".
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_redriven_says_why() {
    let house = House::new().await;
    let fails = single(json!({"Type": "Fail", "Error": "No"}));
    let passes = single(json!({"Type": "Pass", "End": true}));
    let waits = single(json!({"Type": "Wait", "Seconds": 1_000, "End": true}));
    let loops = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Next": "B"},
        "B": {"Type": "Choice", "Choices": [{"Variable": "$.end", "IsPresent": true, "Next": "C"}], "Default": "A"},
        "C": {"Type": "Succeed"}}});
    let days = |days| (fails.clone(), days);
    // Definition, days until it is asked about, reason.
    let cases = [
        (passes, 0, "Execution is SUCCEEDED and cannot be redriven"),
        (waits, 0, "Execution is RUNNING and cannot be redriven"),
        (loops, 0, "Execution history event limit exceeded"),
        (days(15).0, 15, "Execution redrivable period exceeded"),
        (
            days(400).0,
            400,
            "Execution has exceeded the max execution time",
        ),
    ];
    for (definition, days, reason) in cases {
        let run = house.start(&definition, json!({})).await;
        if !reason.contains("RUNNING") {
            run.ended().await;
        }
        house.advance(days);
        let described = run.describe().await;
        assert_eq!(
            described.redrive_status().unwrap().as_str(),
            "NOT_REDRIVABLE"
        );
        assert_eq!(described.redrive_status_reason(), Some(reason));
        let redrive = run.sfn.redrive_execution().execution_arn(&run.arn);
        let expected = format!("Execution {} invalid for redrive as: {reason}", run.arn);
        assert_eq!(
            refusal(redrive.send().await),
            ("ExecutionNotRedrivable".into(), expected)
        );
    }
}

/// The last day on which an execution can be redriven is the fourteenth after its end.
#[tokio::test(flavor = "multi_thread")]
async fn fourteen_days_later_it_can_still_be_redriven() {
    let house = House::new().await;
    let run = house
        .start(&single(json!({"Type": "Fail"})), json!({}))
        .await;
    run.ends(Failed).await;
    house.advance(13);
    run.redrive().await;
    run.ends(Failed).await;
    // The clock starts again at the new end.
    house.advance(13);
    run.redrive().await;
    assert_eq!(run.ends(Failed).await.redrive_count(), Some(2));
}

/// RedriveExecution, "clientToken": a known token answers as it did, also after the attempt that
/// it began has failed, and starts nothing; it is forgotten after 15 minutes, or when ten newer
/// ones have been used.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_token_redrives_once() {
    let mut house = House::new().await;
    let run = house
        .start(&single(json!({"Type": "Fail"})), json!({}))
        .await;
    run.ends(Failed).await;
    let redrive = async |run: &Run, token: &str| {
        let redrive = run.sfn.redrive_execution().execution_arn(&run.arn);
        let redriven = redrive.client_token(token).send().await.unwrap();
        run.ends(Failed).await;
        *redriven.redrive_date()
    };
    let first = redrive(&run, "t").await;
    assert_eq!(redrive(&run, "t").await, first);
    house = house.reopen().await;
    let run = house.run(&run.arn);
    assert_eq!(redrive(&run, "t").await, first, "it is remembered on disk");
    assert_eq!(run.describe().await.redrive_count(), Some(1));
    for token in 0..9 {
        redrive(&run, &token.to_string()).await;
    }
    assert_eq!(
        redrive(&run, "t").await,
        first,
        "it is the tenth of those remembered"
    );
    redrive(&run, "another").await;
    assert_ne!(redrive(&run, "t").await, first);
    assert_eq!(run.describe().await.redrive_count(), Some(12));
    house.advance(1);
    redrive(&run, "another").await;
    assert_eq!(
        run.describe().await.redrive_count(),
        Some(13),
        "it is forgotten after a day"
    );
}

/// RedriveExecution, "clientToken": 1 to 64 printable characters.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_token_is_checked() {
    let house = House::new().await;
    let run = house
        .start(&single(json!({"Type": "Fail"})), json!({}))
        .await;
    run.ends(Failed).await;
    for token in ["", "with space", &"x".repeat(65)] {
        let redrive = run.sfn.redrive_execution().execution_arn(&run.arn);
        let (code, _) = refusal(redrive.client_token(token).send().await);
        assert_eq!(code, "ValidationException", "{token:?}");
    }
}

/// RedriveExecution: only the parent can be redriven; a child's ARN has a label.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_redriven_by_its_parent_only() {
    let house = House::new().await;
    house.fail([1]);
    let run = house
        .start(&distributed("STANDARD", json!({})), numbers(2))
        .await;
    run.ends(Failed).await;
    let child = run.map_run().await.children(Some(Failed)).await.remove(0);
    let redrive = run
        .sfn
        .redrive_execution()
        .execution_arn(child.execution_arn());
    let error = redrive.send().await.unwrap_err().into_service_error();
    let aws_sdk_sfn::operation::redrive_execution::RedriveExecutionError::ValidationException(
        error,
    ) = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        error.message(),
        Some("Labeled Execution ARNs are not supported for this API")
    );
    assert_eq!(
        error.reason().unwrap().as_str(),
        "API_DOES_NOT_SUPPORT_LABELED_ARNS"
    );
    let express = run.arn.replace(":execution:", ":express:");
    let redrive = run.sfn.redrive_execution().execution_arn(express);
    assert_eq!(refusal(redrive.send().await).0, "InvalidArn");
}

/// Step Functions quotas, "Maximum open executions": neither a start nor a redrive goes beyond it.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_open_executions_holds_for_starts_and_redrives() {
    let house = House::new().await;
    let failed = house
        .start(&single(json!({"Type": "Fail"})), json!({}))
        .await;
    failed.ends(Failed).await;
    let waits = single(json!({"Type": "Wait", "Seconds": 1_000, "End": true}));
    let machine = house.create("waits", &waits).await;
    let open = house.start_machine(&machine, json!({})).await;
    let runner = house.engine.runner();
    until(
        "only one is open",
        || async { runner.open_executions() },
        |open| *open == 1,
    )
    .await;
    let mut quotas = runner.quotas();
    quotas.open_executions = 1;
    runner.set_quotas(quotas);
    let start = house.sfn.start_execution().state_machine_arn(&machine);
    assert_eq!(refusal(start.send().await).0, "ExecutionLimitExceeded");
    let redrive = house.sfn.redrive_execution().execution_arn(&failed.arn);
    assert_eq!(refusal(redrive.send().await).0, "ExecutionLimitExceeded");
    open.stop().await;
    open.ends(Aborted).await;
    until(
        "none is open",
        || async { runner.open_executions() },
        |open| *open == 0,
    )
    .await;
    failed.redrive().await;
}

/// Redriving executions, "Redrive behavior of individual states": Choice rules are evaluated
/// again, a Fail state is entered again, a Wait whose time has passed is left at once, a Pass and
/// whatever else succeeded is not done again.
#[tokio::test(flavor = "multi_thread")]
async fn each_state_is_redriven_in_its_own_way() {
    let house = House::new().await;
    let fail = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "Next": "F"}, "F": {"Type": "Fail", "Error": "E", "Cause": "c"}}});
    let run = house.start(&fail, json!({})).await;
    run.ends(Failed).await;
    run.redrive().await;
    let failed = run.ends(Failed).await;
    assert_eq!((failed.error(), failed.cause()), (Some("E"), Some("c")));
    assert_eq!(
        run.history().await[3..],
        [
            "FailStateEntered 4<-3",
            "ExecutionFailed 5<-4",
            "ExecutionRedriven 6<-5",
            "FailStateEntered 7<-4",
            "ExecutionFailed 8<-7"
        ]
    );

    let choice = json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [{"Variable": "$.no", "IsPresent": true, "Next": "E"}]},
        "E": {"Type": "Succeed"}}});
    let run = house.start(&choice, json!({})).await;
    assert_eq!(
        run.ends(Failed).await.error(),
        Some("States.NoChoiceMatched")
    );
    run.redrive().await;
    run.ends(Failed).await;
    assert_eq!(
        run.history().await[2..],
        [
            "ExecutionFailed 3<-2",
            "ExecutionRedriven 4<-3",
            "ExecutionFailed 5<-2"
        ]
    );

    let wait = single(json!({"Type": "Wait", "TimestampPath": "$.at", "End": true}));
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let run = house
        .start(&wait, json!({"at": format!("{tomorrow:.0}")}))
        .await;
    run.stop().await;
    run.ends(Aborted).await;
    house.advance(2);
    run.redrive().await;
    run.ends(Succeeded).await;
    assert_eq!(
        run.history().await[1..],
        [
            "WaitStateEntered 2<-0",
            "ExecutionAborted 3<-0",
            "ExecutionRedriven 4<-3",
            "WaitStateExited 5<-2",
            "ExecutionSucceeded 6<-5"
        ]
    );
}

/// Redriving executions: a failure that was caught is finished; only what was entered and not
/// exited is done again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_caught_is_not_redriven() {
    let house = House::new().await;
    house.fail([1]);
    let catch = json!([{"ErrorEquals": ["States.ALL"], "Next": "F", "ResultPath": "$.why"}]);
    let caught = with(
        distributed("STANDARD", json!({}))["States"]["S"].clone(),
        json!({"Catch": catch, "ItemsPath": "$.items"}),
    );
    let definition =
        json!({"StartAt": "S", "States": {"S": caught, "F": {"Type": "Fail", "Error": "Gave up"}}});
    let run = house.start(&definition, json!({"items": [1]})).await;
    run.ends(Failed).await;
    house.fail(Vec::<Value>::new());
    run.redrive().await;
    assert_eq!(run.ends(Failed).await.error(), Some("Gave up"));
    assert_eq!(house.calls_of(1), 1);
    assert_eq!(
        run.map_run().await.describe().await.redrive_count(),
        Some(0)
    );
}

/// Redriving executions: of a Parallel state the branches that failed or were aborted are done
/// again, and the outputs of the others kept.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_parallel_state_the_failed_and_the_aborted_branches_are_redriven() {
    let house = House::new().await;
    let branch = |n: &str| {
        let work = with(
            task(json!({})),
            json!({"Parameters": {"FunctionName": "work", "Payload": n}}),
        );
        json!({"StartAt": n, "States": {n: work}})
    };
    let parallel = json!({"Type": "Parallel", "Branches": [branch("good"), branch("bad"), branch("slow")], "End": true});
    house.fail(["bad"]);
    house.hold(["bad", "slow"]);
    let run = house.start(&single(parallel), json!({})).await;
    run.reaches("TaskStateExited").await;
    until(
        "three calls",
        || async { house.calls().len() },
        |calls| *calls == 3,
    )
    .await;
    house.hold(["slow"]);
    run.ends(Failed).await;
    let history = run.history().await;
    let id = |kind: &str, history: &[String]| {
        let event = history
            .iter()
            .position(|event| event.starts_with(&format!("{kind} ")));
        event.unwrap() + 1
    };
    let failed = id("TaskFailed", &history);
    assert_eq!(
        history[failed..],
        [
            format!("TaskStateAborted {}<-{failed}", failed + 1),
            format!("TaskStateAborted {}<-{failed}", failed + 2),
            format!("ParallelStateFailed {}<-{failed}", failed + 3),
            format!("ExecutionFailed {}<-{}", failed + 4, failed + 3),
        ],
        "the Task that failed and its sibling are aborted by the failure"
    );
    house.fail(Vec::<Value>::new());
    house.release();
    run.redrive().await;
    assert_eq!(run.output().await, json!(["good", "bad", "slow"]));
    let calls: Vec<usize> = ["good", "bad", "slow"].map(|n| house.calls_of(n)).to_vec();
    assert_eq!(calls, [1, 2, 2]);
    let history = run.history().await;
    let succeeded = id("ParallelStateSucceeded", &history);
    assert_eq!(
        history[succeeded],
        format!("ParallelStateExited {}<-{}", succeeded + 1, succeeded - 1)
    );
}

/// Redriving executions: of an inline Map the iterations that failed or were aborted are done
/// again, and those that never began are begun.
#[tokio::test(flavor = "multi_thread")]
async fn of_an_inline_map_the_unsuccessful_iterations_are_redriven() {
    let house = House::new().await;
    house.fail([1]);
    let map = json!({"Type": "Map", "MaxConcurrency": 1, "End": true,
        "ItemProcessor": {"StartAt": "T", "States": {"T": task(json!({}))}}});
    let run = house.start(&single(map), numbers(3)).await;
    run.ends(Failed).await;
    let failed = 16;
    assert_eq!(
        run.history().await[14..],
        [
            "TaskFailed 15<-14".to_owned(),
            "MapIterationFailed 16<-15".to_owned(),
            "TaskStateAborted 17<-15".to_owned(),
            "MapStateFailed 18<-15".to_owned(),
            "ExecutionFailed 19<-18".to_owned(),
        ],
        "{failed}"
    );
    house.fail(Vec::<Value>::new());
    run.redrive().await;
    assert_eq!(run.output().await, numbers(3));
    let calls: Vec<usize> = (0..3).map(|n| house.calls_of(n)).collect();
    assert_eq!(calls, [1, 2, 1]);
    let history = run.history().await;
    assert!(
        history.contains(&"TaskScheduled 21<-12".to_owned()),
        "{history:#?}"
    );
}

/// Redriving executions: a Parallel or inline Map state that failed with
/// States.DataLimitExceeded is done again as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_parallel_state_that_gave_too_much_is_redriven_as_a_whole() {
    let house = House::new().await;
    let branch = |n: &str| {
        let payload = json!({"n": n, "text.$": "$.text"});
        let work = task(json!({"Parameters": {"FunctionName": "work", "Payload": payload}}));
        json!({"StartAt": n, "States": {n: work}})
    };
    let parallel = json!({"Type": "Parallel", "Branches": [branch("a"), branch("b")], "End": true});
    let run = house
        .start(&single(parallel), json!({"text": "x".repeat(200_000)}))
        .await;
    assert_eq!(
        run.ends(Failed).await.error(),
        Some("States.DataLimitExceeded")
    );
    run.redrive().await;
    run.ends(Failed).await;
    assert_eq!((house.calls_of("a"), house.calls_of("b")), (2, 2));
    let history = run.history().await;
    let started = history
        .iter()
        .filter(|event| event.starts_with("ParallelStateStarted"));
    assert_eq!(started.count(), 2);
}

/// Statemachine timeouts: an execution that takes longer than `TimeoutSeconds` is TIMED_OUT, with
/// no error of its own; a redrive starts the time again. ExecutionTimedOut follows nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_limit_of_an_execution_starts_again() {
    let house = House::new().await;
    house.hold([1]);
    let definition = with(single(task(json!({}))), json!({"TimeoutSeconds": 3_600}));
    let called = async |times: usize| {
        let calls = async || house.calls_of(1);
        until("a call", calls, |calls| *calls == times).await;
    };
    let run = house.start(&definition, json!(1)).await;
    called(1).await;
    house.advance(1);
    let ended = run.ends(TimedOut).await;
    assert_eq!((ended.error(), ended.cause()), (None, None));
    assert_eq!(
        run.history().await[3..],
        ["TaskStarted 4<-3", "ExecutionTimedOut 5<-0"]
    );
    let events = run.events().await;
    let details = events[4].execution_timed_out_event_details().unwrap();
    assert_eq!(details.error(), Some("States.Timeout"));
    run.redrive().await;
    called(2).await;
    house.advance(1);
    run.ends(TimedOut).await;
    house.release();
    run.redrive().await;
    run.ends(Succeeded).await;
    assert_eq!(
        run.history().await[4..10],
        [
            "ExecutionTimedOut 5<-0",
            "ExecutionRedriven 6<-5",
            "TaskScheduled 7<-2",
            "TaskStarted 8<-7",
            "ExecutionTimedOut 9<-0",
            "ExecutionRedriven 10<-9"
        ]
    );
}

/// Redriving executions: the definition is the one that the execution was started with.
#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_uses_the_definition_of_the_start() {
    let house = House::new().await;
    let old = single(json!({"Type": "Fail", "Error": "Old"}));
    let machine = house.create("m", &old).await;
    let run = house.start_machine(&machine, json!({})).await;
    run.ends(Failed).await;
    let new = single(json!({"Type": "Pass", "End": true}));
    let update = house.sfn.update_state_machine().state_machine_arn(&machine);
    update.definition(new.to_string()).send().await.unwrap();
    run.redrive().await;
    assert_eq!(run.ends(Failed).await.error(), Some("Old"));
    let used = house
        .sfn
        .describe_state_machine_for_execution()
        .execution_arn(&run.arn);
    assert_eq!(used.send().await.unwrap().definition(), old.to_string());
}

/// ListExecutions: `redriveFilter` and `PENDING_REDRIVE` are for Map Runs only.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_machines_executions_are_not_filtered_by_redrives() {
    use aws_sdk_sfn::types::{ExecutionRedriveFilter, ExecutionStatus};

    let house = House::new().await;
    let machine = house.create("m", &single(json!({"Type": "Fail"}))).await;
    let list = || house.sfn.list_executions().state_machine_arn(&machine);
    let filtered = list().redrive_filter(ExecutionRedriveFilter::Redriven);
    assert_eq!(refusal(filtered.send().await).0, "ValidationException");
    let filtered = list().status_filter(ExecutionStatus::PendingRedrive);
    assert_eq!(refusal(filtered.send().await).0, "ValidationException");
}
