//! Executions and Map Runs inside others: stopping, redriving, quotas.

use aws_sdk_sfn::types::ExecutionStatus::{Aborted, Failed, PendingRedrive, Running, Succeeded};
use aws_sdk_sfn::types::MapRunStatus;
use serde_json::{Value, json};

use crate::wired::{House, MapRun, Run, distributed, numbers, single, task, until, with};

/// A Distributed Map of Standard children, each a Distributed Map `Cells` over its own array.
fn nested(kind: &str, rows: Value, cells: Value) -> Value {
    let inner = distributed(kind, with(json!({"Label": "Cells"}), cells));
    let processor = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Inner", "States": {"Inner": inner["States"]["S"]}});
    let more = json!({"Label": "Rows", "ItemProcessor": processor});
    distributed("STANDARD", with(more, rows))
}

/// The Map Run inside the only child.
async fn inner(outer: &MapRun) -> (Run, MapRun) {
    let children = async || outer.children(None).await;
    let mut children = until("a child", children, |children| children.len() == 1).await;
    let child = outer.run(&children.remove(0));
    let map = child.map_run().await;
    (child, map)
}

/// Redriving Map Runs: the quota of redrives is each Map Run's own. A nested one that is past it
/// fails with States.Runtime, and its child with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_nested_map_run_has_a_quota_of_its_own() {
    let house = House::new().await;
    house.fail([0, 1]);
    let rows = json!({"MaxConcurrency": 1, "ToleratedFailureCount": 1});
    let definition = nested("EXPRESS", rows, json!({}));
    let run = house.start(&definition, json!([[0], [1]])).await;
    run.ends(Failed).await;
    let outer = run.map_run().await;
    house.hold([0]);
    house.fail(Vec::<Value>::new());
    run.redrive().await;
    outer
        .items_are("one runs, one waits", |items| {
            (items.running, items.pending_redrive) == (1, 1)
        })
        .await;
    let waiting = outer.run(&outer.children(Some(PendingRedrive)).await.remove(0));
    // The nested Map Run of the child that runs is redriven already, the other one is not.
    let calls = async || house.calls_of(0);
    until("it works again", calls, |calls| *calls == 2).await;
    let runner = house.engine.runner();
    let mut quotas = runner.quotas();
    quotas.map_run_redrives = 0;
    runner.set_quotas(quotas);
    house.release();
    run.ends(Succeeded).await;
    let failed = waiting.describe().await;
    assert_eq!(failed.error(), Some("States.Runtime"));
    let cells = waiting.map_run().await.describe().await;
    assert_eq!(*cells.status(), MapRunStatus::Failed);
    assert_eq!(cells.redrive_count(), Some(0));
    assert_eq!(house.calls_of(1), 1);
}

/// Redriving Map Runs: a redrive reaches the unsuccessful children of nested Map Runs and leaves
/// alone what succeeded in them; StopExecution of the parent aborts them all.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_and_redriving_reach_nested_map_runs() {
    for kind in ["STANDARD", "EXPRESS"] {
        let house = House::new().await;
        house.hold([1]);
        let definition = nested(kind, json!({}), json!({}));
        let run = house.start(&definition, json!([[0, 1]])).await;
        let outer = run.map_run().await;
        let (child, cells) = inner(&outer).await;
        cells
            .items_are("one is left", |items| {
                (items.succeeded, items.running) == (1, 1)
            })
            .await;
        run.stop().await;
        run.ends(Aborted).await;
        child.ends(Aborted).await;
        house.release();
        let items = cells.closes(MapRunStatus::Aborted).await;
        let expected = if kind == "STANDARD" { (1, 1) } else { (2, 0) };
        assert_eq!((items.succeeded, items.aborted), expected, "{kind}");
        outer.closes(MapRunStatus::Aborted).await;
        run.redrive().await;
        assert_eq!(run.output().await, json!([[0, 1]]));
        assert_eq!(house.calls_of(0), 1, "{kind}");
        assert_eq!(child.describe().await.redrive_count(), Some(1));
        assert_eq!(cells.describe().await.redrive_count(), Some(1));
    }
}

/// Start a new workflow from a running execution: stopping the parent stops what it waits for
/// (`.sync`), and not what it only started or gave a token to.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_parent_stops_the_executions_it_waits_for() {
    let house = House::new().await;
    house.hold(["inner"]);
    let machine = house.create("inner", &single(task(json!({})))).await;
    let start = |pattern: &str, input: Value| {
        json!({"Type": "Task", "Next": "W", "Parameters": {"StateMachineArn": machine, "Input": input},
            "Resource": format!("arn:aws:states:::states:startExecution{pattern}")})
    };
    let plain = json!({"n": "inner"});
    let token = json!({"n": "inner", "token.$": "$$.Task.Token"});
    // Pattern, input, whether the nested execution ends with its parent.
    let cases = [
        (".sync", plain.clone(), true),
        (".sync:2", plain.clone(), true),
        (".waitForTaskToken", token, false),
        ("", plain, false),
    ];
    for (pattern, input, ends) in cases {
        let before = house.calls().len();
        let wait = json!({"Type": "Wait", "Seconds": 1_000, "End": true});
        let definition = json!({"StartAt": "S", "States": {"S": start(pattern, input), "W": wait}});
        let parent = house.start(&definition, json!({})).await;
        let calls = async || house.calls().len();
        until("the nested one works", calls, |calls| *calls == before + 1).await;
        let told = if pattern.is_empty() {
            "WaitStateEntered"
        } else {
            "TaskSubmitted"
        };
        parent.reaches(told).await;
        let list = house.sfn.list_executions().state_machine_arn(&machine);
        let newest = list.send().await.unwrap().executions()[0].clone();
        let nested = house.run(newest.execution_arn());
        parent.stop().await;
        parent.ends(Aborted).await;
        if ends {
            let aborted = nested.ends(Aborted).await;
            assert_eq!((aborted.error(), aborted.cause()), (None, None));
            assert_eq!(aborted.redrive_status().unwrap().as_str(), "REDRIVABLE");
        } else {
            assert_eq!(*nested.describe().await.status(), Running, "{pattern}");
            nested.stop().await;
        }
    }
}

/// The same of a Map Run's child that waits for an execution: it is stopped with the Map Run, and
/// its redrive starts another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_aborted_stops_the_execution_it_waits_for() {
    let house = House::new().await;
    house.hold(["inner"]);
    let machine = house.create("inner", &single(task(json!({})))).await;
    let starts = json!({"Type": "Task", "End": true, "ResultSelector": {"out.$": "$.Output"},
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": machine, "Input": {"n": "inner"}}});
    let processor = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Start", "States": {"Start": starts}});
    let more = json!({"ItemProcessor": processor});
    let run = house
        .start(&distributed("STANDARD", more), numbers(1))
        .await;
    let calls = async |count: usize| {
        let calls = async || house.calls().len();
        until("the nested one works", calls, |calls| *calls == count).await;
    };
    calls(1).await;
    let map = run.map_run().await;
    let child = map.run(&map.children(None).await.remove(0));
    child.reaches("TaskSubmitted").await;
    let nested = async || {
        let list = house.sfn.list_executions().state_machine_arn(&machine);
        let listed = list.send().await.unwrap();
        let arns = listed
            .executions()
            .iter()
            .map(|one| one.execution_arn().to_owned());
        arns.collect::<Vec<_>>()
    };
    run.stop().await;
    run.ends(Aborted).await;
    house.run(&nested().await[0]).ends(Aborted).await;
    map.closes(MapRunStatus::Aborted).await;
    run.redrive().await;
    calls(2).await;
    house.release();
    run.ends(Succeeded).await;
    assert_eq!(nested().await.len(), 2);
    assert_eq!(run.output().await, json!([{"out": {"n": "inner"}}]));
}
