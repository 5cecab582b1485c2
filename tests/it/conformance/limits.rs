//! Limits in time, in number and in length, and what DELETING means.

use aws_sdk_sfn::types::ExecutionStatus::{Aborted, Failed, Succeeded};
use aws_sdk_sfn::types::{MapRunStatus, StateMachineType, SyncExecutionStatus};
use serde_json::{Value, json};

use crate::machines::sent;
use crate::wired::{Counts, House, ROLE, distributed, numbers, refusal, single, task, until, with};

fn passes() -> Value {
    single(json!({"Type": "Pass", "End": true}))
}

/// DescribeExecution, "redriveStatusReason": nothing of a state machine that is being deleted can be
/// redriven.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_machine_that_is_deleted_is_not_redriven() {
    let house = House::new().await;
    house.fail([1]);
    house.hold([2]);
    let machine = house.create("m", &single(task(json!({})))).await;
    let failed = house.start_machine(&machine, json!(1)).await;
    failed.ends(Failed).await;
    let open = house.start_machine(&machine, json!(2)).await;
    open.reaches("TaskStarted").await;
    let delete = house.sfn.delete_state_machine().state_machine_arn(&machine);
    delete.send().await.unwrap();
    let reason = "State machine is in DELETING status";
    let described = failed.describe().await;
    assert_eq!(
        described.redrive_status().unwrap().as_str(),
        "NOT_REDRIVABLE"
    );
    assert_eq!(described.redrive_status_reason(), Some(reason));
    let redrive = house.sfn.redrive_execution().execution_arn(&failed.arn);
    let expected = format!("Execution {} invalid for redrive as: {reason}", failed.arn);
    assert_eq!(
        refusal(redrive.send().await),
        ("ExecutionNotRedrivable".to_owned(), expected)
    );
    house.release();
    open.ended().await;
}

/// A child that goes around until its history is full.
fn endless() -> Value {
    let choice = json!({"Type": "Choice", "Default": "A",
        "Choices": [{"Variable": "$", "NumericEquals": 0, "Next": "Z"}]});
    json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "A", "States": {
        "A": {"Type": "Pass", "Next": "B"}, "B": choice, "Z": {"Type": "Succeed"}}})
}

/// Quotas, "Maximum execution history size", and redriving Map Runs: a child with 25,000 events has
/// failed for good. It keeps its status in every redrive and counts as failed each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_whose_history_is_full_is_never_redriven() {
    let mut house = House::new().await;
    let limits = json!({"ItemProcessor": endless(), "MaxConcurrency": 1});
    let run = house
        .start(&distributed("STANDARD", limits), json!([0, 1, 0]))
        .await;
    run.ends(Failed).await;
    let map = run.map_run().await;
    let expected = Counts {
        pending: 1,
        succeeded: 1,
        failed: 1,
        total: 3,
        results_written: 2,
        failures_not_redrivable: 1,
        ..Counts::default()
    };
    assert_eq!(map.closes(MapRunStatus::Failed).await, expected);
    let child = map.run(&map.children(Some(Failed)).await.remove(0));
    assert_eq!(child.events().await.len(), 25_000);
    let is_refused = async |child: &crate::wired::Run| {
        let described = child.describe().await;
        assert_eq!(described.error(), Some("States.Runtime"));
        assert_eq!(
            described.redrive_status().unwrap().as_str(),
            "NOT_REDRIVABLE"
        );
        assert_eq!(
            described.redrive_status_reason(),
            Some("Execution history event limit exceeded")
        );
    };
    is_refused(&child).await;
    run.redrive().await;
    assert_eq!(
        run.ends(Failed).await.error(),
        Some("States.ExceedToleratedFailureThreshold")
    );
    house = house.reopen().await;
    let run = house.run(&run.arn);
    let map = run.map_run().await;
    let items = map.closes(MapRunStatus::Failed).await;
    assert_eq!((items.failed, items.failures_not_redrivable), (1, 1));
    let child = map.run(&map.children(Some(Failed)).await.remove(0));
    is_refused(&child).await;
    assert_eq!(child.describe().await.redrive_count(), Some(0));
}

/// Quotas, "Maximum number of registered state machines" and "of registered activities": what is
/// there already is not counted again.
#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_state_machines_and_activities() {
    let house = House::new().await;
    let runner = house.engine.runner();
    let mut quotas = runner.quotas();
    assert_eq!(
        (quotas.state_machines, quotas.activities),
        (100_000, 100_000)
    );
    (quotas.state_machines, quotas.activities) = (1, 1);
    runner.set_quotas(quotas);
    let first = house.create("a", &passes()).await;
    let create = |name: &str| {
        let create = house.sfn.create_state_machine().name(name).role_arn(ROLE);
        create.definition(passes().to_string()).send()
    };
    create("a").await.unwrap();
    assert_eq!(refusal(create("b").await).0, "StateMachineLimitExceeded");
    let delete = house.sfn.delete_state_machine().state_machine_arn(first);
    delete.send().await.unwrap();
    let mut created = create("b").await;
    // The deleted one goes in its own time.
    while created.is_err() {
        tokio::task::yield_now().await;
        created = create("b").await;
    }
    let activity = |name: &str| house.sfn.create_activity().name(name).send();
    activity("a").await.unwrap();
    activity("a").await.unwrap();
    assert_eq!(refusal(activity("b").await).0, "ActivityLimitExceeded");
}

/// Choosing workflow type: an Express execution takes five minutes at most, whatever its definition
/// says.
#[tokio::test(flavor = "multi_thread")]
async fn an_express_execution_ends_after_five_minutes() {
    let house = House::new().await;
    house.hold([1]);
    // `TimeoutSeconds`, when it ends.
    for (given, limit) in [(None, 300), (Some(4_000), 300), (Some(60), 60)] {
        let mut definition = single(task(json!({})));
        if let Some(seconds) = given {
            definition = with(definition, json!({"TimeoutSeconds": seconds}));
        }
        let create = house.sfn.create_state_machine().role_arn(ROLE);
        let create = create.name(format!("m{limit}{given:?}").replace(['(', ')'], "-"));
        let create = create.definition(definition.to_string());
        let create = create.r#type(StateMachineType::Express).send();
        let machine = create.await.unwrap().state_machine_arn;
        let before = house.calls_of(1);
        let start = house.sfn.start_sync_execution().state_machine_arn(machine);
        let waiting = tokio::spawn(async move { sent!(start.input("1")) });
        let called = async || house.calls_of(1);
        until("a call", called, |calls| *calls == before + 1).await;
        house.advance_seconds(limit - 1);
        assert!(!waiting.is_finished());
        house.advance_seconds(2);
        let ended = waiting.await.unwrap().unwrap();
        assert_eq!(*ended.status(), SyncExecutionStatus::TimedOut);
        let took = ended.stop_date().as_secs_f64() - ended.start_date().as_secs_f64();
        assert!(
            (limit as f64..limit as f64 + 30.0).contains(&took),
            "{took}"
        );
        let billed = ended.billing_details().unwrap();
        assert!(billed.billed_duration_in_milliseconds() >= limit as i64 * 1_000);
    }
}

/// Choosing workflow type: an Express execution runs at least once: after a restart it starts from
/// its first state. So does an Express child, whose five minutes are its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_express_starts_again_after_a_restart() {
    let mut house = House::new().await;
    house.hold([2]);
    let first = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "ResultPath": null,
        "Parameters": {"FunctionName": "work", "Payload": 1}, "Next": "T"});
    let states = json!({"S": first, "T": task(json!({}))});
    let create = house.sfn.create_state_machine().name("m").role_arn(ROLE);
    let create = create.definition(json!({"StartAt": "S", "States": states}).to_string());
    let create = create.r#type(StateMachineType::Express).send();
    let machine = create.await.unwrap().state_machine_arn;
    house.start_machine(&machine, json!(2)).await;
    let calls = async |house: &House, item: i32, count: usize| {
        let calls = async || house.calls_of(item);
        until("calls", calls, |calls| *calls == count).await;
    };
    calls(&house, 2, 1).await;
    house = house.reopen().await;
    calls(&house, 2, 2).await;
    assert_eq!(house.calls_of(1), 2, "from the first state again");
    house.release();

    house.hold([7]);
    let run = house
        .start(&distributed("EXPRESS", json!({})), json!([7]))
        .await;
    calls(&house, 7, 1).await;
    house = house.reopen().await;
    calls(&house, 7, 2).await;
    house.advance_seconds(301);
    let run = house.run(&run.arn);
    run.ends(Failed).await;
    let map = run.map_run().await;
    assert_eq!(map.items().await.timed_out, 1);
    house.release();
    run.redrive().await;
    assert_eq!(run.output().await, json!([7]));
}

/// Redriving executions: one whose Map Run waits for its turn, and is stopped meanwhile, is redriven
/// into the same queue under the same Map Run.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlogged_map_run_is_redriven() {
    let house = House::new().await;
    let runner = house.engine.runner();
    let mut quotas = runner.quotas();
    assert_eq!(quotas.open_map_runs, 1_000);
    quotas.open_map_runs = 1;
    runner.set_quotas(quotas);
    house.hold([0]);
    let machine = house.create("m", &distributed("STANDARD", json!({}))).await;
    let first = house.start_machine(&machine, numbers(2)).await;
    let open = first.map_run().await;
    open.items_are("one is held", |items| {
        (items.running, items.succeeded) == (1, 1)
    })
    .await;
    let second = house.start_machine(&machine, json!([5, 6])).await;
    let map = second.map_run().await;
    second.stop().await;
    second.ends(Aborted).await;
    assert_eq!(map.closes(MapRunStatus::Aborted).await, Counts::default());
    second.redrive().await;
    let is_open = async || map.describe().await.status().clone();
    until("it is open again", is_open, |status| {
        *status == MapRunStatus::Running
    })
    .await;
    assert_eq!(map.items().await, Counts::default(), "it waits again");
    assert_eq!(house.calls_of(5), 0);
    house.release();
    assert_eq!(first.output().await, numbers(2));
    assert_eq!(second.output().await, json!([5, 6]));
    let items = map.closes(MapRunStatus::Succeeded).await;
    assert_eq!((items.succeeded, items.total), (2, 2));
    assert_eq!(second.map_runs().await.len(), 1);
    assert_eq!(map.describe().await.redrive_count(), Some(1));
    let history = second.history().await;
    assert!(
        history.contains(&"MapRunRedriven 9<-3".to_owned()),
        "{history:#?}"
    );
}

/// Waits that are longer than the clock's next jump do not end early.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_its_time_has_come() {
    let house = House::new().await;
    let wait = single(json!({"Type": "Wait", "Seconds": 3_600, "End": true}));
    let run = house.start(&wait, json!({})).await;
    run.reaches("WaitStateEntered").await;
    house.advance_seconds(3_000);
    assert_eq!(run.history().await.len(), 2);
    house.advance_seconds(601);
    run.ends(Succeeded).await;
    let events = run.events().await;
    let took = events[2].timestamp().as_secs_f64() - events[1].timestamp().as_secs_f64();
    assert!(took >= 3_600.0, "{took}");
}
