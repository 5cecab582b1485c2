//! UpdateMapRun.

use aws_sdk_sfn::operation::update_map_run::UpdateMapRunError;
use aws_sdk_sfn::types::ExecutionStatus::{Failed, Succeeded};
use aws_sdk_sfn::types::MapRunStatus;
use serde_json::{Value, json};

use crate::wired::{House, distributed, numbers, refusal};

/// UpdateMapRun, "maxConcurrency": more children start at once; fewer does not stop any.
#[tokio::test(flavor = "multi_thread")]
async fn concurrency_changes_while_the_run_goes_on() {
    let house = House::new().await;
    house.hold(0..20);
    let run = house
        .start(
            &distributed("STANDARD", json!({"MaxConcurrency": 2})),
            numbers(20),
        )
        .await;
    let map = run.map_run().await;
    map.items_are("two run", |items| items.running == 2).await;
    let update = |concurrency| {
        let update = house.sfn.update_map_run().map_run_arn(&map.arn);
        update.max_concurrency(concurrency).send()
    };
    update(6).await.unwrap();
    assert_eq!(map.describe().await.max_concurrency(), 6);
    map.items_are("six run", |items| items.running == 6).await;
    update(1).await.unwrap();
    assert_eq!(map.items().await.running, 6, "lowering it stops nobody");
    house.hold(6..20);
    let items = map
        .items_are("the six have ended", |items| items.succeeded == 6)
        .await;
    assert!(items.running <= 1);
    house.release();
    assert_eq!(run.output().await, numbers(20));
    assert_eq!(map.describe().await.max_concurrency(), 1);
}

/// UpdateMapRun, "toleratedFailureCount", "toleratedFailurePercentage": raised, they save a run;
/// lowered below what has failed, they fail it.
#[tokio::test(flavor = "multi_thread")]
async fn tolerances_change_while_the_run_goes_on() {
    // Before, then changed to (count, percentage), and how the run ends.
    let cases = [
        (
            json!({"ToleratedFailureCount": 1}),
            (Some(3), None),
            Succeeded,
        ),
        (
            json!({"ToleratedFailurePercentage": 10}),
            (None, Some(30.0)),
            Succeeded,
        ),
        (json!({"ToleratedFailureCount": 5}), (Some(0), None), Failed),
        (
            json!({"ToleratedFailurePercentage": 90}),
            (None, Some(9.0)),
            Failed,
        ),
    ];
    for (before, (count, percentage), status) in cases {
        let house = House::new().await;
        house.fail([0, 1]);
        house.hold(1..10);
        let run = house
            .start(&distributed("STANDARD", before.clone()), numbers(10))
            .await;
        let map = run.map_run().await;
        map.items_are("one has failed", |items| items.failed == 1)
            .await;
        let update = house.sfn.update_map_run().map_run_arn(&map.arn);
        let update = update.set_tolerated_failure_count(count);
        update
            .set_tolerated_failure_percentage(percentage)
            .send()
            .await
            .unwrap();
        if status == Succeeded {
            house.release();
        }
        run.ends(status.clone()).await;
        let described = map.describe().await;
        if let Some(count) = count {
            assert_eq!(described.tolerated_failure_count(), count, "{before}");
        }
        if status == Failed {
            map.closes(MapRunStatus::Failed).await;
        }
    }
}

/// UpdateMapRun: a run that has closed cannot be changed, and says so with a reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_run_cannot_be_changed() {
    let house = House::new().await;
    let run = house
        .start(&distributed("EXPRESS", json!({})), numbers(1))
        .await;
    run.ends(Succeeded).await;
    let map = run.map_run().await;
    map.closes(MapRunStatus::Succeeded).await;
    let update = house
        .sfn
        .update_map_run()
        .map_run_arn(&map.arn)
        .max_concurrency(5);
    let error = update.send().await.unwrap_err().into_service_error();
    let UpdateMapRunError::ValidationException(error) = error else {
        panic!("{error}")
    };
    assert_eq!(
        error.reason().unwrap().as_str(),
        "CANNOT_UPDATE_COMPLETED_MAP_RUN"
    );
}

/// UpdateMapRun: the range of each argument.
#[tokio::test(flavor = "multi_thread")]
async fn arguments_have_ranges() {
    let house = House::new().await;
    house.hold([0]);
    let run = house
        .start(&distributed("EXPRESS", json!({})), numbers(1))
        .await;
    let map = run.map_run().await;
    let update = || house.sfn.update_map_run().map_run_arn(&map.arn);
    let refused = [
        update().max_concurrency(-1),
        update().tolerated_failure_count(-1),
        update().tolerated_failure_percentage(-0.5),
        update().tolerated_failure_percentage(100.5),
    ];
    for update in refused {
        assert_eq!(refusal(update.send().await).0, "ValidationException");
    }
    let accepted = [
        update().max_concurrency(0),
        update().max_concurrency(1_000_000),
        update().tolerated_failure_count(0),
        update().tolerated_failure_percentage(0.0),
        update().tolerated_failure_percentage(100.0),
    ];
    for update in accepted {
        update.send().await.unwrap();
    }
    let unknown = house
        .sfn
        .update_map_run()
        .map_run_arn(format!("{}0", map.arn));
    assert_eq!(
        refusal(unknown.max_concurrency(1).send().await).0,
        "ResourceNotFound"
    );
    house.hold(Vec::<Value>::new());
    run.ends(Succeeded).await;
}
