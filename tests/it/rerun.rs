//! Repair of runs of other state machines than ours: each way in which one can be incomplete.

use aws_sdk_sfn::types::ExecutionStatus::{Failed, Running, Succeeded};
use fanout::engine::switches::Switches;
use fanout::model::{ExecutionArn, ExecutionDetail, Prices, RunState, Timestamp};
use fanout::operations::merge::{self, To};
use fanout::operations::reconcile::{self, Reconciliation};
use fanout::operations::rerun::{self, Chosen, Wish};
use fanout::operations::{Error, lineage, redrive, runs};
use serde_json::{Value, json};

use crate::wired::{House, Run, until};

/// A map over an object that the input names, each item `{"n": ..}`.
fn machine(kind: &str, more: Value) -> Value {
    let mut map = json!({
        "Type": "Map", "Label": "Items", "End": true,
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": kind},
            "Parameters": {"Bucket": "data", "Key.$": "$.key"},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Work",
            "States": {"Work": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": "work", "Payload.$": "$"}, "End": true}},
        },
        "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": "data", "Prefix": "results"}},
    });
    let members = map.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    json!({"StartAt": "M", "States": {"M": map}})
}

fn items(count: u64) -> String {
    (1..=count)
        .map(|n| json!({"n": n}).to_string() + "\n")
        .collect()
}

async fn failed(house: &House, definition: &Value, input: Value) -> Run {
    let run = house.start(definition, input).await;
    run.ends(Failed).await;
    run
}

fn now(house: &House) -> Timestamp {
    Timestamp::from_millisecond(house.engine.runner().now()).unwrap()
}

async fn plan(house: &House, run: &Run, wish: Wish) -> rerun::Plan {
    let (client, arn) = (house.client().await, ExecutionArn::new(&run.arn));
    let planned = rerun::plan(&client, &arn, wish, now(house), &Prices::default()).await;
    planned.unwrap().0
}

/// Runs what is wished again and waits for the end.
async fn again(house: &House, run: &Run, wish: Wish) -> ExecutionDetail {
    let (client, arn) = (house.client().await, ExecutionArn::new(&run.arn));
    let planned = rerun::plan(&client, &arn, wish, now(house), &Prices::default()).await;
    let (plan, mut subset) = planned.unwrap();
    let first = rerun::run(&client, &plan, subset.as_mut(), |_| ())
        .await
        .unwrap();
    // A second press starts nothing.
    let second = rerun::run(&client, &plan, subset.as_mut(), |_| ()).await;
    if let Ok(second) = second {
        assert_eq!(first, second);
    }
    let ask = || async { client.execution(&first).await.unwrap() };
    until("its end", ask, |detail| detail.execution.status.is_closed()).await
}

/// What became of the run's items, over its redrives and re-runs.
async fn reconciled(house: &House, run: &Run) -> Reconciliation {
    let client = house.client().await;
    let run = runs::describe(&client, &ExecutionArn::new(&run.arn))
        .await
        .unwrap();
    reconcile::of(&client, &run, |_| {}).await.unwrap()
}

#[track_caller]
fn is_complete(found: &Reconciliation, items: u64) {
    assert!(found.is_complete() && found.lines == items, "{found:?}");
}

/// The item whole and its index, and its number for `work`.
fn indexed() -> Value {
    json!({"at.$": "$$.Map.Item.Index", "item.$": "$$.Map.Item.Value",
        "n.$": "$$.Map.Item.Value.n"})
}

fn named(name: &str) -> Wish {
    Wish {
        name: Some(name.to_owned()),
        ..Wish::default()
    }
}

fn lines_of(text: &str) -> Wish {
    Wish {
        chosen: Chosen {
            errors: vec!["Bad".to_owned()],
            words: vec![text.to_owned()],
            ..Chosen::default()
        },
        ..Wish::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_json_lines_are_run_again_by_choice() {
    let house = House::new().await;
    house.put("in.jsonl", items(9)).await;
    house.fail([3, 7]);
    let definition = machine("JSONL", json!({"ToleratedFailurePercentage": 100}));
    let run = house
        .start(&definition, json!({"key": "in.jsonl", "kept": 1}))
        .await;
    run.ends(Succeeded).await;
    let all = plan(&house, &run, Wish::default()).await;
    assert_eq!(
        (all.items, all.allowed.clone(), all.state),
        (2, Ok(()), RunState::Part)
    );
    let one = plan(&house, &run, lines_of("\"n\":7")).await;
    assert_eq!(one.items, 1);
    assert_ne!(one.name, all.name);
    assert_eq!(one.input["kept"], 1);
    assert_eq!(house.calls_of(7), 1);
    let ended = again(&house, &run, lines_of("\"n\":7")).await;
    assert_eq!(
        ended.execution.status.as_str(),
        "SUCCEEDED",
        "it failed within the tolerance"
    );
    assert_eq!((house.calls_of(7), house.calls_of(3)), (2, 1));
    let none = plan(&house, &run, lines_of("nobody says that")).await;
    assert!(none.allowed.unwrap_err().contains("nothing is chosen"));
    let found = reconciled(&house, &run).await;
    assert_eq!((found.succeeded, found.failed.count), (7, 2), "{found:?}");
    house.fail([3]);
    again(
        &house,
        &run,
        Wish {
            one_by_one: true,
            ..lines_of("\"n\":7")
        },
    )
    .await;
    let found = reconciled(&house, &run).await;
    assert_eq!((found.succeeded, found.failed.count), (8, 1), "{found:?}");
    assert!(
        !found.numbered && found.failed.first.is_empty(),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn re_runs_of_any_name_and_of_re_runs_are_counted_by_index() {
    let house = House::new().await;
    // Equal items: only their index tells them apart.
    let twins: String = [1, 2, 2, 3, 4, 2]
        .map(|n| json!({"n": n}).to_string() + "\n")
        .concat();
    house.put("in.jsonl", twins).await;
    house.fail([2, 4]);
    let selected = json!({"ItemSelector": indexed(), "ToleratedFailurePercentage": 100});
    let run = house
        .start(&machine("JSONL", selected), json!({"key": "in.jsonl"}))
        .await;
    run.ends(Succeeded).await;
    let found = reconciled(&house, &run).await;
    assert_eq!(found.failed.named(), "2-3, 5-6", "{found:?}");

    house.fail([4]);
    let some = Wish {
        chosen: lines_of("\"n\":4").chosen,
        ..named("monday")
    };
    let monday = again(&house, &run, some).await;
    let tuesday = again(&house, &run, named("tuesday")).await;
    let found = reconciled(&house, &run).await;
    assert_eq!(
        (found.failed.named(), found.duplicates.count),
        ("5".to_owned(), 0),
        "{found:?}"
    );
    assert_eq!(found.sources.len(), 3, "{found:?}");

    house.fail(Vec::<Value>::new());
    let tuesday = house.run(tuesday.execution.arn.as_str());
    let next = plan(&house, &tuesday, named("wednesday")).await;
    assert_eq!(next.items, 1, "{next:?}");
    let wednesday = again(&house, &tuesday, named("wednesday")).await;
    let wednesday = house.run(wednesday.execution.arn.as_str());
    let monday = house.run(monday.execution.arn.as_str());
    // Whichever of them is asked about.
    for run in [&run, &monday, &tuesday, &wednesday] {
        let found = reconciled(&house, run).await;
        is_complete(&found, 6);
        assert_eq!(
            (found.sources.len(), found.duplicates.count),
            (4, 0),
            "{found:?}"
        );
    }
    let client = house.client().await;
    let first = runs::describe(&client, &ExecutionArn::new(&run.arn))
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("merged.jsonl");
    let merged = merge::plan(&client, &first, Some(To::File(to.clone())))
        .await
        .unwrap();
    merge::run(&client, &merged, |_| {}).await.unwrap();
    let text = std::fs::read_to_string(to).unwrap();
    let numbers = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["Payload"]["n"].as_u64().unwrap()
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 2, 3, 4, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_delimited_text_and_batches_are_written_as_they_are_read() {
    let house = House::new().await;
    let tolerant = json!({"ToleratedFailurePercentage": 100});
    house
        .put("in.json", json!([{"n": 1}, {"n": 2}, {"n": 3}]))
        .await;
    house.fail([json!(2), json!("b,\"2")]);
    let run = house
        .start(
            &machine("JSON", tolerant.clone()),
            json!({"key": "in.json"}),
        )
        .await;
    run.ends(Succeeded).await;
    again(&house, &run, Wish::default()).await;
    assert_eq!(house.calls_of(2), 2);

    house
        .put("in.csv", "n,more\na1,x\n\"b,\"\"2\",\"y\nz\"\n")
        .await;
    let mut definition = machine("CSV", tolerant.clone());
    definition["States"]["M"]["ItemReader"]["ReaderConfig"]["CSVHeaderLocation"] =
        json!("FIRST_ROW");
    let run = house.start(&definition, json!({"key": "in.csv"})).await;
    run.ends(Succeeded).await;
    again(&house, &run, Wish::default()).await;
    let calls = house.calls();
    let row = json!({"n": "b,\"2", "more": "y\nz"});
    assert_eq!(
        calls.iter().filter(|call| **call == row).count(),
        2,
        "{calls:?}"
    );

    house.put("in.jsonl", items(4)).await;
    let batched = json!({"ItemBatcher": {"MaxItemsPerBatchPath": "$.size"},
        "ToleratedFailurePercentage": 100});
    let batch = json!({"Items": [{"n": 1}, {"n": 2}]});
    house.fail([batch]);
    let input = json!({"key": "in.jsonl", "size": 2});
    let run = house.start(&machine("JSONL", batched), input).await;
    run.ends(Succeeded).await;
    let one_by_one = Wish {
        one_by_one: true,
        ..Wish::default()
    };
    let planned = plan(&house, &run, one_by_one.clone()).await;
    assert_eq!((planned.items, &planned.input["size"]), (2, &json!(1)));
    again(&house, &run, one_by_one).await;
    let single = json!({"Items": [{"n": 2}]});
    assert_eq!(
        house.calls().iter().filter(|call| **call == single).count(),
        1
    );
    is_complete(&reconciled(&house, &run).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_items_cannot_be_made_again_says_what_to_change() {
    let house = House::new().await;
    house.put("in.jsonl", items(3)).await;
    house.fail([2]);
    let parts = json!({"ItemSelector": {"n.$": "$$.Map.Item.Value.n"}});
    let run = failed(&house, &machine("JSONL", parts), json!({"key": "in.jsonl"})).await;
    let refused = plan(&house, &run, Wish::default())
        .await
        .allowed
        .unwrap_err();
    assert!(refused.contains("\"item.$\""), "{refused}");
    let mut fixed = machine("JSONL", json!({}));
    fixed["States"]["M"]["ItemReader"]["Parameters"] = json!({"Bucket": "data", "Key": "in.jsonl"});
    let run = failed(&house, &fixed, json!({})).await;
    let refused = plan(&house, &run, Wish::default())
        .await
        .allowed
        .unwrap_err();
    assert!(refused.contains("$$.Execution.Input"), "{refused}");
    // Everything can always be run again.
    house.fail(Vec::<Value>::new());
    let everything = Wish {
        everything: true,
        ..Wish::default()
    };
    let ended = again(&house, &run, everything).await;
    assert_eq!(ended.execution.status.as_str(), "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_map_a_redrive_runs_no_item_and_a_re_run_does() {
    let house = House::new().await;
    house.put("in.jsonl", items(5)).await;
    house.fail([json!(4), json!("after")]);
    let mut definition = machine(
        "JSONL",
        json!({"ToleratedFailurePercentage": 50, "Next": "After"}),
    );
    definition["States"]["M"]
        .as_object_mut()
        .unwrap()
        .remove("End");
    definition["States"]["After"] = json!({"Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "work", "Payload": {"n": "after"}}, "End": true});
    let run = failed(&house, &definition, json!({"key": "in.jsonl"})).await;
    let (client, arn) = (house.client().await, ExecutionArn::new(&run.arn));
    let planned = redrive::plan(&client, &arn, now(&house), &Prices::default())
        .await
        .unwrap();
    assert!(planned.after_the_map && planned.allowed.is_ok());
    assert_eq!((planned.will_run(), planned.not_redrivable), (0, 1));
    assert!(planned.facts.stays[0].contains("AWS runs none of its items again"));
    house.fail(Vec::<Value>::new());
    redrive::run(&client, &planned, &redrive::token())
        .await
        .unwrap();
    run.ends(Succeeded).await;
    assert_eq!(house.calls_of(4), 1, "a redrive does not run it");
    assert_eq!(reconciled(&house, &run).await.failed.count, 1);
    again(&house, &run, Wish::default()).await;
    assert_eq!(house.calls_of(4), 2);
    is_complete(&reconciled(&house, &run).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_or_never_started_is_open() {
    let house = House::new().await;
    house.put("in.jsonl", items(6)).await;
    house.hold([1, 2]);
    let definition = machine("JSONL", json!({"MaxConcurrency": 2}));
    let run = house.start(&definition, json!({"key": "in.jsonl"})).await;
    until(
        "both",
        || async { house.calls().len() },
        |calls| *calls == 2,
    )
    .await;
    run.stop().await;
    run.map_run()
        .await
        .closes(aws_sdk_sfn::types::MapRunStatus::Aborted)
        .await;
    house.release();
    let open = plan(&house, &run, Wish::default()).await;
    assert_eq!((open.items, open.allowed.clone()), (6, Ok(())), "{open:?}");
    let groups: Vec<(&str, u64)> = open
        .groups
        .iter()
        .map(|group| (group.error.as_str(), group.count))
        .collect();
    assert_eq!(groups, [("(never started)", 4), ("(aborted)", 2)]);
    let found = reconciled(&house, &run).await;
    assert_eq!(
        (found.never_started.count, found.failed.count),
        (4, 2),
        "{found:?}"
    );
    let ended = again(&house, &run, Wish::default()).await;
    assert_eq!(ended.execution.status.as_str(), "SUCCEEDED");
    is_complete(&reconciled(&house, &run).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_run_is_run_again_in_a_new_one() {
    let house = House::new().await;
    house.put("in.jsonl", items(3)).await;
    house.fail([2]);
    let run = failed(
        &house,
        &machine("JSONL", json!({})),
        json!({"key": "in.jsonl"}),
    )
    .await;
    house.advance(15);
    let (client, arn) = (house.client().await, ExecutionArn::new(&run.arn));
    let planned = redrive::plan(&client, &arn, now(&house), &Prices::default())
        .await
        .unwrap();
    assert!(
        planned
            .allowed
            .clone()
            .unwrap_err()
            .contains("fanout rerun"),
        "{planned:?}"
    );
    assert_eq!(planned.state, RunState::Expired);
    assert!(matches!(
        redrive::run(&client, &planned, &redrive::token()).await,
        Err(Error::Refused(_))
    ));
    house.fail(Vec::<Value>::new());
    let ended = again(&house, &run, named("after-a-fortnight")).await;
    assert_eq!(ended.execution.status.as_str(), "SUCCEEDED");
    is_complete(&reconciled(&house, &run).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_definition_is_named_and_a_second_redrive_counts() {
    let house = House::new().await;
    house.put("in.jsonl", items(3)).await;
    house.fail([2]);
    let definition = machine("JSONL", json!({"ItemSelector": indexed()}));
    let run = failed(&house, &definition, json!({"key": "in.jsonl"})).await;
    let (client, arn) = (house.client().await, ExecutionArn::new(&run.arn));
    // The new one calls the index otherwise.
    let mut selector = indexed();
    selector.as_object_mut().unwrap().remove("at.$");
    let unnumbered = machine("JSONL", json!({"ItemSelector": selector}));
    selector["index.$"] = json!("$$.Map.Item.Index");
    let changed = machine("JSONL", json!({"ItemSelector": selector}));
    let machine = arn.state_machine();
    client
        .update_state_machine(&machine, &changed.to_string())
        .await
        .unwrap();
    let planned = redrive::plan(&client, &arn, now(&house), &Prices::default())
        .await
        .unwrap();
    assert!(planned.facts.definition.as_ref().unwrap().changed);
    assert!(
        planned
            .checks
            .iter()
            .any(|check| check.text.contains("stays on the old one"))
    );
    let role = planned.facts.role.clone().unwrap();
    assert_eq!(role.action, "states:RedriveExecution");
    assert!(role.resource.ends_with("/Items:*"), "{}", role.resource);
    for redrives in 1..=2 {
        let planned = redrive::plan(&client, &arn, now(&house), &Prices::default())
            .await
            .unwrap();
        redrive::run(&client, &planned, &redrive::token())
            .await
            .unwrap();
        run.ends(Failed).await;
        let now = redrive::plan(&client, &arn, now(&house), &Prices::default())
            .await
            .unwrap();
        assert_eq!(
            (now.redrives_so_far, now.facts.map_run_redrives),
            (redrives, redrives)
        );
    }
    house.fail(Vec::<Value>::new());
    let new = plan(&house, &run, Wish::default()).await;
    assert!(
        new.checks
            .iter()
            .any(|check| check.text.contains("runs that one")),
        "{new:?}"
    );
    client
        .update_state_machine(&machine, &unnumbered.to_string())
        .await
        .unwrap();
    again(&house, &run, named("unnumbered")).await;
    let found = reconciled(&house, &run).await;
    assert!(!found.is_complete(), "{found:?}");
    let why = "unnumbered is not counted: its definition is another one";
    assert!(
        found.notes.iter().any(|note| note.starts_with(why)),
        "{found:?}"
    );
    client
        .update_state_machine(&machine, &changed.to_string())
        .await
        .unwrap();
    again(&house, &run, named("renumbered")).await;
    is_complete(&reconciled(&house, &run).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_redrive_changes_nothing_and_running_ones_are_left_alone() {
    let house = House::new().await;
    house.put("in.jsonl", items(3)).await;
    house.fail([2]);
    let run = failed(
        &house,
        &machine("JSONL", json!({})),
        json!({"key": "in.jsonl"}),
    )
    .await;
    let (client, arn) = (house.client().await, ExecutionArn::new(&run.arn));
    let planned = redrive::plan(&client, &arn, now(&house), &Prices::default())
        .await
        .unwrap();
    house.engine.runner().set_switches(Switches {
        faults: vec!["RedriveExecution=AccessDeniedException".parse().unwrap()],
        ..Switches::default()
    });
    let refused = redrive::run(&client, &planned, &redrive::token())
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("RedriveExecution"),
        "{refused}"
    );
    assert_eq!(run.describe().await.redrive_count(), Some(0));
    house.engine.runner().set_switches(Switches::default());
    house.hold([2]);
    redrive::run(&client, &planned, &redrive::token())
        .await
        .unwrap();
    assert_eq!(run.describe().await.status(), &Running);
    let going = plan(&house, &run, Wish::default())
        .await
        .allowed
        .unwrap_err();
    assert!(going.contains("still running"), "{going}");
    let found = reconciled(&house, &run).await;
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.ends_with("has not ended yet")),
        "{found:?}"
    );
    house.fail(Vec::<Value>::new());
    house.release();
    run.ends(Succeeded).await;
    is_complete(&reconciled(&house, &run).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_re_run_of_everything_under_any_name_is_linked_to_its_run() {
    let house = House::new().await;
    house.put("in.jsonl", items(4)).await;
    let indexed = machine("JSONL", json!({"ItemSelector": indexed()}));
    // Chosen items of this one could not be run again: its source is fixed.
    let mut fixed = machine("JSONL", json!({}));
    fixed["States"]["M"]["ItemReader"]["Parameters"] = json!({"Bucket": "data", "Key": "in.jsonl"});
    for (definition, input) in [(indexed, json!({"key": "in.jsonl"})), (fixed, json!({}))] {
        house.fail([2]);
        let run = failed(&house, &definition, input).await;
        assert!(!reconciled(&house, &run).await.is_complete());
        house.fail(Vec::<Value>::new());
        let wish = Wish {
            everything: true,
            ..named("all-of-it")
        };
        let again = again(&house, &run, wish).await;
        let again = house.run(again.execution.arn.as_str());
        for run in [&run, &again] {
            let found = reconciled(&house, run).await;
            is_complete(&found, 4);
            assert_eq!(found.sources.len(), 2, "{found:?}");
        }
        let client = house.client().await;
        let arn = ExecutionArn::new(&run.arn);
        let first = runs::describe(&client, &arn).await.unwrap();
        let family = lineage::family(&client, &first).await.unwrap();
        let healing = lineage::healing(&first, &family).unwrap();
        assert_eq!((&*healing.by, healing.is_whole), ("all-of-it", true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_result_files_says_exactly_what_is_known_of_it() {
    let house = House::new().await;
    house.put("in.jsonl", items(6)).await;
    let mut definition = machine(
        "JSONL",
        json!({"ToleratedFailurePercentage": 100, "MaxConcurrency": 2}),
    );
    let map = definition["States"]["M"].as_object_mut().unwrap();
    map.remove("ResultWriter");
    house.fail([3]);
    let run = house.start(&definition, json!({"key": "in.jsonl"})).await;
    run.ends(Succeeded).await;
    let planned = plan(&house, &run, Wish::default()).await;
    assert!(planned.exact && planned.items == 1, "{planned:?}");
    let is_doubt = |planned: &rerun::Plan| {
        let doubts = planned.checks.iter();
        doubts
            .map(|check| check.text.clone())
            .find(|text| text.contains("could be looked at"))
    };
    assert_eq!(is_doubt(&planned), None);

    house.hold([1, 2]);
    let run = house.start(&definition, json!({"key": "in.jsonl"})).await;
    let held = || async { house.calls().len() };
    until("both", held, |calls| *calls == 8).await;
    run.stop().await;
    run.map_run()
        .await
        .closes(aws_sdk_sfn::types::MapRunStatus::Aborted)
        .await;
    house.release();
    let planned = plan(&house, &run, Wish::default()).await;
    assert!(!planned.exact && planned.items == 2, "{planned:?}");
    let doubt = is_doubt(&planned).unwrap();
    assert!(
        doubt.contains("which 4 items never started is not told"),
        "{doubt}"
    );
}
