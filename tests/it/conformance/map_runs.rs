//! Map Runs: counts, thresholds, redrives, and the APIs that show them.

use aws_sdk_sfn::types::ExecutionStatus::{Aborted, Failed, PendingRedrive, Running, Succeeded};
use aws_sdk_sfn::types::{ExecutionRedriveFilter, MapRunStatus};
use serde_json::{Value, json};

use crate::wired::{Counts, House, distributed, numbers, refusal, until};

const KINDS: [&str; 2] = ["STANDARD", "EXPRESS"];

fn none() -> Vec<Value> {
    Vec::new()
}

/// Setting failure thresholds: none are tolerated unless some are; more than the count, or more
/// than the share of items, fails the run; exactly as many does not. Either of the two is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_is_passed_by_more_than_it_says() {
    // Of ten items: failing, count, percentage, whether the run still succeeds.
    let cases = [
        (0, None, None, true),
        (1, None, None, false),
        (1, Some(1), None, true),
        (2, Some(1), None, false),
        (2, None, Some(20), true),
        (3, None, Some(20), false),
        (2, Some(1), Some(90), false),
        (2, Some(9), Some(10), false),
        (2, Some(2), Some(20), true),
        (10, None, Some(100), true),
        (10, Some(10), None, true),
    ];
    let house = House::new().await;
    for (failing, count, percentage, succeeds) in cases {
        let case = format!("{failing} fail, {count:?} or {percentage:?} % are tolerated");
        house.fail(0..failing);
        let mut limits = json!({});
        if let Some(count) = count {
            limits["ToleratedFailureCount"] = json!(count);
        }
        if let Some(percentage) = percentage {
            limits["ToleratedFailurePercentage"] = json!(percentage);
        }
        let run = house
            .start(&distributed("EXPRESS", limits), numbers(10))
            .await;
        let ended = run.ended().await;
        let expected = if succeeds { Succeeded } else { Failed };
        assert_eq!(*ended.status(), expected, "{case}");
        if succeeds {
            assert_eq!(run.map_run().await.items().await.failed, failing, "{case}");
        } else {
            assert_eq!(
                ended.error(),
                Some("States.ExceedToleratedFailureThreshold")
            );
            assert_eq!(
                ended.cause(),
                Some("The specified tolerated failure threshold was exceeded")
            );
        }
    }
}

/// Setting failure thresholds: a run past its threshold starts nothing more; Standard children
/// that run are aborted, without an error, and items that were not started stay pending.
#[tokio::test(flavor = "multi_thread")]
async fn past_its_threshold_a_run_aborts_what_runs_and_leaves_the_rest_pending() {
    let house = House::new().await;
    house.fail([0]);
    house.hold(0..20);
    let run = house
        .start(
            &distributed("STANDARD", json!({"MaxConcurrency": 3})),
            numbers(20),
        )
        .await;
    let map = run.map_run().await;
    map.items_are("three run", |items| items.running == 3).await;
    house.hold(1..20);
    run.ends(Failed).await;
    let items = map.closes(MapRunStatus::Failed).await;
    let expected = Counts {
        pending: 17,
        failed: 1,
        aborted: 2,
        total: 20,
        results_written: 3,
        ..Counts::default()
    };
    assert_eq!(items, expected);
    assert_eq!(
        map.children(None).await.len(),
        3,
        "pending ones are not listed"
    );
    for child in map.children(Some(Aborted)).await {
        let child = map.run(&child).describe().await;
        let cause = format!(
            "The map run execution [{}] which was managing this resource was aborted",
            map.arn
        );
        assert_eq!((child.error(), child.cause()), (None, Some(cause.as_str())));
        assert_eq!(
            child.redrive_status().unwrap().as_str(),
            "REDRIVABLE_BY_MAP_RUN"
        );
    }
    assert_eq!(
        run.history().await[1..],
        [
            "MapStateEntered 2<-0",
            "MapStateStarted 3<-2",
            "MapRunStarted 4<-3",
            "MapRunFailed 5<-4",
            "MapStateFailed 6<-5",
            "ExecutionFailed 7<-6"
        ]
    );
}

/// Redriving Map Runs: Standard children go on where they failed, under the same start, with
/// `redriveCount` and `redriveDate`; Express children start again, later, without such a date; what
/// was never started is started, with count 0. Children that succeeded are left alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_map_run_does_what_is_left() {
    for kind in KINDS {
        let house = House::new().await;
        house.fail([1]);
        let run = house
            .start(&distributed(kind, json!({"MaxConcurrency": 1})), numbers(4))
            .await;
        run.ends(Failed).await;
        let map = run.map_run().await;
        let failed = map.children(Some(Failed)).await.remove(0);
        house.fail(none());
        house.hold([1]);
        run.redrive().await;
        let items = map.items_are("one runs", |items| items.running == 1).await;
        let expected = Counts {
            pending: 2,
            running: 1,
            succeeded: 1,
            total: 4,
            ..Counts::default()
        };
        assert_eq!(
            items, expected,
            "{kind}: failed and resultsWritten are 0 again"
        );
        let described = map.describe().await;
        assert_eq!(
            (described.redrive_count(), described.stop_date()),
            (Some(1), None)
        );
        assert!(described.redrive_date().is_some());
        house.release();
        assert_eq!(run.output().await, numbers(4));
        let calls: Vec<usize> = (0..4).map(|n| house.calls_of(n)).collect();
        assert_eq!(calls, [1, 2, 1, 1], "{kind}");
        let redriven = house.run(failed.execution_arn()).describe().await;
        assert_eq!(redriven.redrive_count(), Some(1));
        if kind == "STANDARD" {
            assert_eq!(redriven.start_date(), failed.start_date());
            assert!(redriven.redrive_date().is_some());
        } else {
            assert!(redriven.start_date().secs() >= failed.start_date().secs());
            assert_eq!(redriven.redrive_date(), None);
        }
        // ListExecutions, "redriveFilter".
        let list = |filter| {
            let list = house.sfn.list_executions().map_run_arn(&map.arn);
            list.redrive_filter(filter).send()
        };
        let redriven = list(ExecutionRedriveFilter::Redriven).await.unwrap();
        assert_eq!(redriven.executions().len(), 1);
        assert_eq!(redriven.executions()[0].redrive_count(), Some(1));
        assert_eq!(redriven.executions()[0].item_count(), Some(1));
        let others = list(ExecutionRedriveFilter::NotRedriven).await.unwrap();
        assert_eq!(others.executions().len(), 3);
        assert_eq!(
            run.history().await[4..],
            [
                "MapRunFailed 5<-4",
                "MapStateFailed 6<-5",
                "ExecutionFailed 7<-6",
                "ExecutionRedriven 8<-7",
                "MapRunRedriven 9<-3",
                "MapRunSucceeded 10<-9",
                "MapStateSucceeded 11<-10",
                "MapStateExited 12<-4",
                "ExecutionSucceeded 13<-12"
            ]
        );
    }
}

/// Redriving Map Runs: children that wait for their turn are PENDING_REDRIVE, still with the end
/// they had, and are what they were before when the run closes first.
#[tokio::test(flavor = "multi_thread")]
async fn children_wait_for_their_redrive() {
    let house = House::new().await;
    house.fail(0..4);
    let limits = json!({"MaxConcurrency": 4, "ToleratedFailureCount": 3});
    house.hold(0..4);
    let run = house
        .start(&distributed("STANDARD", limits), numbers(4))
        .await;
    let map = run.map_run().await;
    map.items_are("all run", |items| items.running == 4).await;
    house.release();
    run.ends(Failed).await;
    map.items_are("all failed", |items| items.failed + items.aborted == 4)
        .await;
    let update = house
        .sfn
        .update_map_run()
        .map_run_arn(&map.arn)
        .max_concurrency(1);
    assert_eq!(refusal(update.send().await).0, "ValidationException");
    house.hold(0..4);
    run.redrive().await;
    map.items_are("all run again", |items| items.running == 4)
        .await;
    let update = house
        .sfn
        .update_map_run()
        .map_run_arn(&map.arn)
        .max_concurrency(1);
    update.send().await.unwrap();
    run.stop().await;
    map.closes(MapRunStatus::Aborted).await;
    run.redrive().await;
    let items = map.items_are("one runs", |items| items.running == 1).await;
    assert_eq!(
        (items.pending_redrive, items.failed, items.aborted),
        (3, 0, 0)
    );
    let waiting = map.children(Some(PendingRedrive)).await;
    assert_eq!(waiting.len(), 3);
    for child in waiting {
        assert!(child.stop_date().is_some());
        let described = map.run(&child).describe().await;
        assert_eq!(
            described.redrive_status().unwrap().as_str(),
            "REDRIVABLE_BY_MAP_RUN"
        );
    }
    let running = map.children(Some(Running)).await.remove(0);
    assert_eq!(
        (running.stop_date(), running.redrive_count()),
        (None, Some(2))
    );
    run.stop().await;
    let items = map.closes(MapRunStatus::Aborted).await;
    assert_eq!((items.pending_redrive, items.aborted), (0, 4));
    house.fail(none());
    house.release();
    run.redrive().await;
    assert_eq!(run.output().await, numbers(4));
}

/// Redriving Map Runs: what the reader or the writer could not do is tried again, with whatever
/// was mended in S3 meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_could_not_read_or_write_reads_again() {
    let house = House::new().await;
    let reader = json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": "data", "Key": "items.json"}});
    let run = house
        .start(
            &distributed("STANDARD", json!({"ItemReader": reader})),
            json!({}),
        )
        .await;
    assert_eq!(
        run.ends(Failed).await.error(),
        Some("States.ItemReaderFailed")
    );
    house.put("items.json", numbers(2)).await;
    run.redrive().await;
    assert_eq!(run.output().await, numbers(2));
    assert_eq!(run.map_run().await.items().await.total, 2);

    let writer = json!({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "results", "Prefix": "p"}});
    let more = json!({"ItemReader": reader, "ResultWriter": writer});
    let run = house.start(&distributed("EXPRESS", more), json!({})).await;
    let failed = run.ends(Failed).await;
    assert_eq!(failed.error(), Some("States.ResultWriterFailed"));
    assert_eq!(house.calls().len(), 2, "no child was started");
    // Still not mended: it fails again.
    run.redrive().await;
    assert_eq!(
        run.ends(Failed).await.error(),
        Some("States.ResultWriterFailed")
    );
    house.put("items.json", numbers(3)).await;
    house
        .s3
        .create_bucket()
        .bucket("results")
        .send()
        .await
        .unwrap();
    run.redrive().await;
    let output = run.output().await;
    let map = run.map_run().await;
    assert_eq!(map.items().await.succeeded, 3, "the dataset is read again");
    let key = format!("p/{}/Redrive-2/manifest.json", map.id());
    assert_eq!(output["ResultWriterDetails"]["Key"], key);
}

/// Redriving Map Runs: otherwise the items are those that were read at first.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_children_began_keeps_its_items() {
    let house = House::new().await;
    house.put("items.json", numbers(3)).await;
    house.fail([2]);
    let reader = json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": "data", "Key": "items.json"}});
    let more = json!({"ItemReader": reader, "MaxConcurrency": 1});
    let run = house.start(&distributed("STANDARD", more), json!({})).await;
    run.ends(Failed).await;
    house.put("items.json", json!(["other"])).await;
    house.fail(none());
    run.redrive().await;
    assert_eq!(run.output().await, numbers(3));
}

/// Redriving Map Runs: when the output was too large, or could not be put together with the
/// state's data, a new Map Run goes over all items.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_was_too_large_needs_a_new_map_run() {
    let house = House::new().await;
    let twice = json!({"ItemSelector": {"n.$": "$$.Map.Item.Value.n",
        "a.$": "$$.Map.Item.Value.text", "b.$": "$$.Map.Item.Value.text"}});
    let text = "x".repeat(100_000);
    let items = json!([{"n": 0, "text": text}, {"n": 1, "text": text}]);
    let run = house.start(&distributed("STANDARD", twice), items).await;
    let failed = run.ends(Failed).await;
    assert_eq!(failed.error(), Some("States.DataLimitExceeded"));
    run.redrive().await;
    run.ends(Failed).await;
    assert_eq!(run.map_runs().await.len(), 2);
    assert_eq!((house.calls_of(0), house.calls_of(1)), (2, 2));

    let selector = json!({"ResultSelector": {"x.$": "$.nowhere"}});
    let run = house
        .start(&distributed("STANDARD", selector), json!([7]))
        .await;
    assert_eq!(run.ends(Failed).await.error(), Some("States.Runtime"));
    run.redrive().await;
    run.ends(Failed).await;
    assert_eq!(run.map_runs().await.len(), 2);
    assert_eq!(house.calls_of(7), 2);
    let runs = run.map_runs().await;
    assert_eq!(runs[0].describe().await.redrive_count(), Some(0));
    assert!(runs[0].describe().await.start_date() >= runs[1].describe().await.start_date());
}

/// Redriving Map Runs: one Map Run can be redriven a thousand times; then comes States.Runtime.
#[tokio::test(flavor = "multi_thread")]
async fn a_map_run_can_be_redriven_so_often() {
    let house = House::new().await;
    let mut quotas = house.engine.runner().quotas();
    assert_eq!(quotas.map_run_redrives, 1_000);
    quotas.map_run_redrives = 2;
    house.engine.runner().set_quotas(quotas);
    house.fail([0]);
    let run = house
        .start(&distributed("EXPRESS", json!({})), numbers(1))
        .await;
    for _ in 0..2 {
        run.ends(Failed).await;
        run.redrive().await;
    }
    let failed = run.ends(Failed).await;
    assert_eq!(
        failed.error(),
        Some("States.ExceedToleratedFailureThreshold")
    );
    house.fail(none());
    run.redrive().await;
    assert_eq!(run.ends(Failed).await.error(), Some("States.Runtime"));
    let described = run.map_run().await.describe().await;
    assert_eq!(described.redrive_count(), Some(2));
    assert_eq!(*described.status(), MapRunStatus::Failed);
}

/// Redriving Map Runs, "Redrive eligibility for child workflows": a Standard child that ended more
/// than 14 days ago keeps its status, counts as failed again, and is in failuresNotRedrivable.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_has_fourteen_days_of_its_own() {
    // Whether the run that goes on without the child is within its tolerance.
    for tolerated in [1, 0] {
        let house = House::new().await;
        house.fail([0]);
        house.hold([1]);
        let limits = json!({"ToleratedFailureCount": 1});
        let run = house
            .start(&distributed("STANDARD", limits), numbers(2))
            .await;
        let map = run.map_run().await;
        map.items_are("one has failed", |items| {
            items.failed == 1 && items.running == 1
        })
        .await;
        house.advance(15);
        run.stop().await;
        let items = map.closes(MapRunStatus::Aborted).await;
        assert_eq!(
            (items.failed, items.aborted, items.failures_not_redrivable),
            (1, 1, 1)
        );
        let child = map.children(Some(Failed)).await.remove(0);
        let child = map.run(&child).describe().await;
        assert_eq!(child.redrive_status().unwrap().as_str(), "NOT_REDRIVABLE");
        assert_eq!(
            child.redrive_status_reason(),
            Some("Execution redrivable period exceeded")
        );
        house.fail(none());
        run.redrive().await;
        map.items_are("the other one runs", |items| items.running == 1)
            .await;
        let update = house.sfn.update_map_run().map_run_arn(&map.arn);
        update
            .tolerated_failure_count(tolerated)
            .send()
            .await
            .unwrap();
        house.release();
        let expected = if tolerated == 1 { Succeeded } else { Failed };
        run.ends(expected).await;
        let items = map.items().await;
        assert_eq!((items.failed, items.failures_not_redrivable), (1, 1));
        assert_eq!((house.calls_of(0), house.calls_of(1)), (1, 2));
    }
}

/// DescribeMapRun: failures that could be redriven when the run closed cannot be any more 14 days
/// later.
#[tokio::test(flavor = "multi_thread")]
async fn counts_of_a_closed_run_follow_the_time() {
    let mut house = House::new().await;
    house.fail([0]);
    let run = house
        .start(&distributed("STANDARD", json!({})), numbers(1))
        .await;
    run.ends(Failed).await;
    let map = run.map_run().await;
    assert_eq!(
        map.closes(MapRunStatus::Failed)
            .await
            .failures_not_redrivable,
        0
    );
    let before = map.describe().await;
    house = house.reopen().await;
    let map = house.run(&run.arn).map_run().await;
    let after = map.describe().await;
    assert_eq!(after.item_counts(), before.item_counts());
    assert_eq!(after.stop_date(), before.stop_date());
    house.advance(15);
    assert_eq!(map.items().await.failures_not_redrivable, 1);
}

/// Examining Map Runs: a run within its tolerance succeeds and reports nothing that could not be
/// redriven, although nothing of it can; its children still say that a Map Run may redrive them.
#[tokio::test(flavor = "multi_thread")]
async fn failures_within_the_tolerance_stay_as_they_are() {
    let house = House::new().await;
    house.fail([0]);
    let limits = json!({"ToleratedFailurePercentage": 50});
    let run = house
        .start(&distributed("STANDARD", limits), numbers(2))
        .await;
    let ended = run.ends(Succeeded).await;
    assert_eq!(ended.redrive_status().unwrap().as_str(), "NOT_REDRIVABLE");
    let map = run.map_run().await;
    let items = map.closes(MapRunStatus::Succeeded).await;
    let expected = Counts {
        succeeded: 1,
        failed: 1,
        total: 2,
        results_written: 2,
        ..Counts::default()
    };
    assert_eq!(items, expected);
    let child = map.children(Some(Failed)).await.remove(0);
    let child = map.run(&child).describe().await;
    assert_eq!(
        child.redrive_status().unwrap().as_str(),
        "REDRIVABLE_BY_MAP_RUN"
    );
}

/// ListExecutions: newest start first, `mapRunArn` and `itemCount` in each entry; the children of
/// a Map Run are not among the state machine's executions. ListMapRuns: newest first.
#[tokio::test(flavor = "multi_thread")]
async fn children_are_listed_by_their_map_run_only() {
    let house = House::new().await;
    let machine = house
        .create("m", &distributed("STANDARD", json!({"MaxConcurrency": 1})))
        .await;
    let run = house.start_machine(&machine, numbers(5)).await;
    run.ends(Succeeded).await;
    let map = run.map_run().await;
    let children = map.children(None).await;
    assert_eq!(children.len(), 5);
    assert!(children.is_sorted_by(|newer, older| newer.start_date() >= older.start_date()));
    for child in &children {
        assert_eq!(
            (child.map_run_arn(), child.item_count()),
            (Some(map.arn.as_str()), Some(1))
        );
        assert!(child.state_machine_arn().ends_with("stateMachine:m/Items"));
    }
    let listed = house
        .sfn
        .list_executions()
        .state_machine_arn(&machine)
        .send()
        .await
        .unwrap();
    let listed: Vec<&str> = listed
        .executions()
        .iter()
        .map(aws_sdk_sfn::types::ExecutionListItem::execution_arn)
        .collect();
    assert_eq!(listed, [run.arn.as_str()]);
    let both = house
        .sfn
        .list_executions()
        .state_machine_arn(&machine)
        .map_run_arn(&map.arn);
    assert_eq!(refusal(both.send().await).0, "ValidationException");
    let neither = house.sfn.list_executions();
    assert_eq!(refusal(neither.send().await).0, "ValidationException");
    let unknown = house
        .sfn
        .describe_map_run()
        .map_run_arn(format!("{}x", map.arn));
    assert_eq!(refusal(unknown.send().await).0, "ResourceNotFound");
}

/// Express children: DescribeExecution and ListExecutions know them; StopExecution and
/// GetExecutionHistory refuse their ARNs. Their names have two parts.
#[tokio::test(flavor = "multi_thread")]
async fn express_children_are_shown_but_not_stopped() {
    let house = House::new().await;
    let run = house
        .start(&distributed("EXPRESS", json!({})), numbers(1))
        .await;
    run.ends(Succeeded).await;
    let map = run.map_run().await;
    let child = map.children(None).await.remove(0);
    assert!(child.execution_arn().contains(":express:"));
    assert_eq!(child.name().split(':').count(), 2);
    let described = map.run(&child).describe().await;
    assert_eq!(
        (described.input(), described.output()),
        (Some("0"), Some("0"))
    );
    assert_eq!(described.map_run_arn(), Some(map.arn.as_str()));
    let refused = (
        "InvalidArn".to_owned(),
        "Invalid Arn: 'Resource type not valid in this context: express'".to_owned(),
    );
    let arn = child.execution_arn();
    let stop = house.sfn.stop_execution().execution_arn(arn);
    assert_eq!(refusal(stop.send().await), refused);
    let history = house.sfn.get_execution_history().execution_arn(arn);
    assert_eq!(refusal(history.send().await), refused);
}

/// Counts agree with the children at every moment, while items succeed, fail, are stopped and are
/// redriven.
#[tokio::test(flavor = "multi_thread")]
async fn counts_are_those_of_the_children_all_the_time() {
    for kind in KINDS {
        let house = House::new().await;
        house.fail((0..300).filter(|n| n % 7 == 0));
        let limits = json!({"MaxConcurrency": 20, "ToleratedFailureCount": 10});
        let run = house.start(&distributed(kind, limits), numbers(300)).await;
        let map = run.map_run().await;
        // `items` checks the sum each time it is asked for.
        until(
            "the end",
            || async { (map.items().await, run.describe().await) },
            |(_, run)| *run.status() != Running,
        )
        .await;
        map.closes(MapRunStatus::Failed).await;
        house.fail(none());
        run.redrive().await;
        until(
            "the end",
            || async { (map.items().await, run.describe().await) },
            |(_, run)| *run.status() != Running,
        )
        .await;
        let items = map.closes(MapRunStatus::Succeeded).await;
        let expected = Counts {
            succeeded: 300,
            total: 300,
            results_written: 300,
            ..Counts::default()
        };
        assert_eq!(items, expected);
        for (status, count) in [(Succeeded, 300), (Failed, 0), (Aborted, 0), (Running, 0)] {
            assert_eq!(map.children(Some(status)).await.len(), count);
        }
    }
}

/// A child's own definition and its ExecutionStarted event.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_runs_the_item_processor_with_its_parents_role() {
    let house = House::new().await;
    let run = house
        .start(&distributed("STANDARD", json!({})), numbers(1))
        .await;
    run.ends(Succeeded).await;
    let map = run.map_run().await;
    let child = map.run(&map.children(None).await.remove(0));
    let events = child.events().await;
    let started = events[0].execution_started_event_details().unwrap();
    assert_eq!(
        (started.input(), started.role_arn()),
        (Some("0"), Some(crate::wired::ROLE))
    );
    let used = house
        .sfn
        .describe_state_machine_for_execution()
        .execution_arn(&child.arn);
    let used = used.send().await.unwrap();
    assert_eq!(
        (used.label(), used.map_run_arn()),
        (Some("Items"), Some(map.arn.as_str()))
    );
    let definition: Value = serde_json::from_str(used.definition()).unwrap();
    assert_eq!(definition["StartAt"], "Work");
    assert_eq!(definition.get("ProcessorConfig"), None);
}

/// Distributed Map state, "MaxConcurrency": never more children at once.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_children_run_than_allowed() {
    let house = House::new().await;
    house.hold(0..30);
    let limits = json!({"MaxConcurrency": 4});
    let run = house
        .start(&distributed("STANDARD", limits), numbers(30))
        .await;
    let map = run.map_run().await;
    map.items_are("four run", |items| items.running == 4).await;
    house.release();
    until(
        "the end",
        || async { (map.items().await, run.describe().await) },
        |(items, run)| {
            assert!(items.running <= 4);
            *run.status() != Running
        },
    )
    .await;
    assert_eq!(run.output().await, numbers(30));
}
