//! StopExecution and what follows from it.

use aws_sdk_sfn::types::ExecutionStatus::{Aborted, Failed, Succeeded, TimedOut};
use aws_sdk_sfn::types::MapRunStatus;
use serde_json::{Value, json};

use crate::wired::{Counts, House, distributed, numbers, refusal, single, task, until, with};

/// StopExecution: error and cause are the execution's; ExecutionAborted follows nothing, and the
/// Task that ran has no event of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_execution_has_the_error_and_cause_it_was_given() {
    let house = House::new().await;
    house.hold([1]);
    // Given error and cause.
    let cases = [(Some("Enough"), Some("it is late")), (None, None)];
    for (error, cause) in cases {
        let run = house.start(&single(task(json!({}))), json!(1)).await;
        run.reaches("TaskStarted").await;
        let stop = house.sfn.stop_execution().execution_arn(&run.arn);
        let stop = stop
            .set_error(error.map(str::to_owned))
            .set_cause(cause.map(str::to_owned));
        let stopped = stop.send().await.unwrap();
        let aborted = run.ends(Aborted).await;
        assert_eq!(aborted.stop_date(), Some(stopped.stop_date()));
        assert_eq!((aborted.error(), aborted.cause()), (error, cause));
        assert_eq!(aborted.redrive_status().unwrap().as_str(), "REDRIVABLE");
        assert_eq!(
            run.history().await[3..],
            ["TaskStarted 4<-3", "ExecutionAborted 5<-0"]
        );
        let events = run.events().await;
        let details = events[4].execution_aborted_event_details().unwrap();
        assert_eq!((details.error(), details.cause()), (error, cause));
        // Stopping it again changes nothing.
        let again = house
            .sfn
            .stop_execution()
            .execution_arn(&run.arn)
            .error("Again");
        let again = again.send().await.unwrap();
        assert_eq!(again.stop_date(), stopped.stop_date());
        assert_eq!(run.describe().await.error(), error);
    }
}

/// StopExecution: what is not there, and what cannot be stopped.
#[tokio::test(flavor = "multi_thread")]
async fn only_standard_executions_that_are_there_are_stopped() {
    let house = House::new().await;
    let base = "arn:aws:states:us-east-1:000000000000";
    // ARN, code, message.
    let cases = [
        (
            format!("{base}:execution:m:nobody"),
            "ExecutionDoesNotExist",
            format!("Execution Does Not Exist: '{base}:execution:m:nobody'"),
        ),
        (
            format!("{base}:express:m:a:b"),
            "InvalidArn",
            "Invalid Arn: 'Resource type not valid in this context: express'".to_owned(),
        ),
        (
            "xyz".to_owned(),
            "InvalidArn",
            "Invalid Arn: 'Invalid ARN prefix: xyz'".to_owned(),
        ),
    ];
    for (arn, code, message) in cases {
        let stop = house.sfn.stop_execution().execution_arn(arn);
        assert_eq!(refusal(stop.send().await), (code.to_owned(), message));
    }
}

/// StopExecution of a parent: its Map Run is aborted with the Standard children that run; items not
/// started stay pending. MapRunAborted, MapStateAborted, ExecutionAborted.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_parent_aborts_the_map_run_and_its_standard_children() {
    let house = House::new().await;
    house.hold(0..10);
    let run = house
        .start(
            &distributed("STANDARD", json!({"MaxConcurrency": 3})),
            numbers(10),
        )
        .await;
    let map = run.map_run().await;
    map.items_are("three run", |items| items.running == 3).await;
    run.stop().await;
    run.ends(Aborted).await;
    let items = map.closes(MapRunStatus::Aborted).await;
    let expected = Counts {
        pending: 7,
        aborted: 3,
        total: 10,
        results_written: 3,
        ..Counts::default()
    };
    assert_eq!(items, expected);
    assert_eq!(
        run.history().await[3..],
        [
            "MapRunStarted 4<-3",
            "MapRunAborted 5<-4",
            "MapStateAborted 6<-5",
            "ExecutionAborted 7<-0"
        ]
    );
    let child = map.run(&map.children(Some(Aborted)).await.remove(0));
    let cause = format!(
        "The map run execution [{}] which was managing this resource was aborted",
        map.arn
    );
    assert_eq!(child.describe().await.cause(), Some(cause.as_str()));
    assert_eq!(
        child.history().await[3..],
        ["TaskStarted 4<-3", "ExecutionAborted 5<-0"]
    );
    house.release();
    run.redrive().await;
    assert_eq!(run.output().await, numbers(10));
    assert_eq!(map.items().await.succeeded, 10);
}

/// StopExecution of a parent: Express children cannot be stopped. They run to their end, and only
/// then the Map Run closes; a redrive that comes before that waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn express_children_outlive_their_parent_and_a_redrive_waits_for_them() {
    let house = House::new().await;
    house.hold(0..10);
    let run = house
        .start(
            &distributed("EXPRESS", json!({"MaxConcurrency": 3})),
            numbers(10),
        )
        .await;
    let map = run.map_run().await;
    map.items_are("three run", |items| items.running == 3).await;
    until(
        "three calls",
        || async { house.calls().len() },
        |calls| *calls == 3,
    )
    .await;
    run.stop().await;
    run.ends(Aborted).await;
    assert_eq!(*map.describe().await.status(), MapRunStatus::Running);
    run.redrive().await;
    let items = map.items().await;
    assert_eq!((items.running, items.pending), (3, 7));
    let described = map.describe().await;
    assert_eq!(
        described.redrive_count(),
        Some(0),
        "the round before is not over"
    );
    house.release();
    assert_eq!(run.output().await, numbers(10));
    let described = map.describe().await;
    assert_eq!(described.redrive_count(), Some(1));
    let calls: Vec<usize> = (0..10).map(|n| house.calls_of(n)).collect();
    assert_eq!(
        calls, [1; 10],
        "what ended well after the stop is not done again"
    );
}

/// StopExecution of a Standard child: it is aborted, which is no failure of the Map Run.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_child_is_aborted_and_no_failure() {
    let house = House::new().await;
    house.hold([1]);
    let run = house
        .start(&distributed("STANDARD", json!({})), numbers(3))
        .await;
    let map = run.map_run().await;
    map.items_are("one is left", |items| {
        items.succeeded == 2 && items.running == 1
    })
    .await;
    let listed = map
        .children(Some(aws_sdk_sfn::types::ExecutionStatus::Running))
        .await;
    let child = map.run(&listed[0]);
    let stop = house.sfn.stop_execution().execution_arn(&child.arn);
    let stopped = stop.error("Mine").cause("by hand").send().await.unwrap();
    let aborted = child.ends(Aborted).await;
    assert_eq!(
        (aborted.error(), aborted.cause()),
        (Some("Mine"), Some("by hand"))
    );
    assert_eq!(aborted.stop_date(), Some(stopped.stop_date()));
    run.ends(Succeeded).await;
    let items = map.closes(MapRunStatus::Succeeded).await;
    let expected = Counts {
        succeeded: 2,
        aborted: 1,
        total: 3,
        results_written: 3,
        ..Counts::default()
    };
    assert_eq!(items, expected);
}

/// Statemachine timeouts: an execution that times out aborts its Map Run, which can be redriven.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_times_out_aborts_its_map_run() {
    let house = House::new().await;
    house.hold([0]);
    let definition = with(
        distributed("STANDARD", json!({})),
        json!({"TimeoutSeconds": 3_600}),
    );
    let run = house.start(&definition, numbers(2)).await;
    let map = run.map_run().await;
    map.items_are("one done, one held", |items| {
        (items.succeeded, items.running) == (1, 1)
    })
    .await;
    house.advance(1);
    run.ends(TimedOut).await;
    let items = map.closes(MapRunStatus::Aborted).await;
    assert_eq!((items.succeeded, items.aborted), (1, 1));
    assert_eq!(
        run.history().await[4..],
        [
            "MapRunAborted 5<-4",
            "MapStateAborted 6<-5",
            "ExecutionTimedOut 7<-0"
        ]
    );
    house.release();
    run.redrive().await;
    assert_eq!(run.output().await, numbers(2));
}

/// A Map Run in a branch is aborted with its siblings, and redriven with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_map_run_is_aborted_when_its_sibling_fails() {
    let house = House::new().await;
    house.hold([0]);
    house.fail(["bad"]);
    let map_state = with(
        distributed("STANDARD", json!({}))["States"]["S"].clone(),
        json!({"ItemsPath": "$.items"}),
    );
    let wait = json!({"Type": "Wait", "SecondsPath": "$.wait", "Next": "T"});
    let work = task(json!({"Parameters": {"FunctionName": "work", "Payload": "bad"}}));
    let parallel = json!({"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "M", "States": {"M": map_state}},
        {"StartAt": "W", "States": {"W": wait, "T": work}}]});
    let run = house
        .start(&single(parallel), json!({"items": [0, 1], "wait": 1}))
        .await;
    assert_eq!(run.ends(Failed).await.error(), Some("Bad"));
    let map = run.map_run().await;
    map.closes(MapRunStatus::Aborted).await;
    house.fail(Vec::<Value>::new());
    house.release();
    run.redrive().await;
    assert_eq!(run.output().await, json!([[0, 1], "bad"]));
    assert_eq!(map.describe().await.redrive_count(), Some(1));
}

/// What was stopped stays stopped when the engine comes back, and what runs goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_nothing_of_it() {
    let mut house = House::new().await;
    house.hold(0..6);
    let definition = distributed("STANDARD", json!({"MaxConcurrency": 2}));
    let (one, two) = (
        house.start(&definition, numbers(6)).await,
        house.start(&definition, numbers(6)).await,
    );
    for run in [&one, &two] {
        let map = run.map_run().await;
        map.items_are("two run", |items| items.running == 2).await;
    }
    one.stop().await;
    house = house.reopen().await;
    let (one, two) = (house.run(&one.arn), house.run(&two.arn));
    one.ends(Aborted).await;
    one.map_run().await.closes(MapRunStatus::Aborted).await;
    house.release();
    assert_eq!(two.output().await, numbers(6));
    one.redrive().await;
    assert_eq!(one.output().await, numbers(6));
}
