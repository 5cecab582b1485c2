//! Failures as an operator gets them: from result files of several rounds and parts, from children
//! where those are damaged, line by line, and as a file.

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use fanout::client::Client;
use fanout::model::{ExecutionArn, Failure, MapRun};
use fanout::operations::export::Format;
use fanout::operations::failures::{self, Choice, MemberOrder, Method, Survey};
use fanout::operations::ledger::{self, Ledger};
use fanout::operations::{Error, runs};

use crate::wired::{House, Run, distributed, numbers, with};

/// A map that writes its results below `out/` of the bucket `data`.
fn writing(more: Value) -> Value {
    let writer = json!({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "data", "Prefix": "out"}});
    distributed("STANDARD", with(json!({"ResultWriter": writer}), more))
}

async fn map_run(client: &Client, run: &Run) -> MapRun {
    let run = runs::describe(client, &ExecutionArn::new(&run.arn)).await;
    run.unwrap().map_run().unwrap().clone()
}

async fn survey(client: &Client, map_run: &MapRun) -> Survey {
    failures::survey(client, map_run, |_| {}).await.unwrap()
}

fn inputs(failures: &[Failure]) -> Vec<String> {
    let inputs = failures.iter().map(|it| it.input.clone().unwrap());
    inputs.collect()
}

/// Spreads the records of the only FAILED file of a round over several, as the service does with
/// large ones.
async fn roll_over(house: &House, folder: &str, parts: usize) {
    let mut manifest = house.get(&format!("{folder}manifest.json")).await;
    let key = manifest["ResultFiles"]["FAILED"][0]["Key"]
        .as_str()
        .unwrap();
    let records = house.get(key).await;
    let records = records.as_array().unwrap();
    let size = records.len().div_ceil(parts);
    let mut files = Vec::new();
    for (number, part) in records.chunks(size).enumerate() {
        let key = format!("{folder}FAILED_{number}.json");
        house.put(&key, json!(part)).await;
        files.push(json!({"Key": key, "Size": 1}));
    }
    assert_eq!(files.len(), parts);
    manifest["ResultFiles"]["FAILED"] = json!(files);
    house.put(&format!("{folder}manifest.json"), manifest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_redrives_over_several_files_leave_what_is_still_open() {
    let house = House::new().await;
    house.fail(0..40);
    let run = house.start(&writing(json!({})), numbers(60)).await;
    run.ends(ExecutionStatus::Failed).await;
    let client = house.client().await;
    let state = tempfile::tempdir().unwrap();
    let ledger = Ledger::in_folder(state.path());
    let id = map_run(&client, &run).await.arn.id().to_owned();
    let mut counts = Vec::new();
    for (round, failing) in [(0, 40_u64), (1, 25), (2, 7)] {
        if 0 < round {
            house.fail(0..failing);
            run.redrive().await;
            run.ends(ExecutionStatus::Failed).await;
        }
        let folder = match round {
            0 => format!("out/{id}/"),
            _ => format!("out/{id}/Redrive-{round}/"),
        };
        let map_run = map_run(&client, &run).await;
        let whole = survey(&client, &map_run).await;
        roll_over(&house, &folder, 3).await;
        let mut found = survey(&client, &map_run).await;
        assert!(found.exact, "{}", found.source);
        assert_eq!(found.source, "FAILED_0.json … FAILED_2.json");
        assert_eq!((found.read, found.groups.len()), (whole.read, 1));
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        let completed = failures::complete(&client, &map_run, &mut found, Some(&ledger), now);
        completed.await.unwrap();
        let group = &found.groups[0];
        assert_eq!(
            (group.error.as_str(), group.message.as_str()),
            ("Bad", "<n> is bad")
        );
        // How many fail before the threshold trips is chance; the service counts them.
        assert_eq!(group.count, map_run.items.failures());
        counts.push(group.count);
        // Any part of the list is a part of the whole.
        let all = found.page(&client, 0, 0..u64::MAX).await.unwrap();
        assert_eq!(all.len() as u64, found.read);
        let read = found.read;
        for (from, until) in [(0, 5), (3, 30), (read.saturating_sub(2), read + 9)] {
            let page = found.page(&client, 0, from..until).await.unwrap();
            let part = from.min(read) as usize..until.min(read) as usize;
            assert_eq!(page, all[part]);
        }
    }
    let target = ledger::target(&client);
    let attempts = ledger
        .attempts_of(&target, &ExecutionArn::new(&run.arn))
        .unwrap();
    let kept: Vec<u64> = attempts.iter().map(|it| it.groups[0].count).collect();
    assert_eq!(kept, counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_chosen_and_exported_without_being_kept() {
    let house = House::new().await;
    house.fail(0..200);
    let tolerant = writing(json!({"ToleratedFailurePercentage": 100}));
    let run = house.start(&tolerant, numbers(200)).await;
    run.ends(ExecutionStatus::Succeeded).await;
    let client = house.client().await;
    let map_run = map_run(&client, &run).await;
    let found = survey(&client, &map_run).await;
    assert!(!found.is_at_hand(0), "more than are kept");
    assert_eq!(found.groups[0].count, 200);
    let all = found.page(&client, 0, 0..200).await.unwrap();
    let has_seven = |failure: &Failure| failure.input.as_deref().is_some_and(|it| it.contains('7'));
    let choice = Choice {
        entry: &|_| true,
        failure: Some(&has_seven),
        order: MemberOrder::Ended,
        reversed: true,
    };
    let numbers = found.choose(&client, 0, &choice, |_| {}).await.unwrap();
    let chosen = found.failures(&client, 0, &numbers).await.unwrap();
    assert_eq!(chosen.len(), all.iter().filter(|it| has_seven(it)).count());
    assert!(chosen.is_sorted_by_key(|it| it.stopped));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("failed.jsonl");
    let wanted = failures::Wanted {
        group: Some(found.groups[0].key()),
        fits: Some(Box::new(has_seven)),
    };
    let done = failures::export(&client, &map_run, &file, Format::Ndjson, &wanted).await;
    let done = done.unwrap();
    assert_eq!((done.rows, done.exact), (chosen.len() as u64, true));
    let written = std::fs::read_to_string(&file).unwrap();
    let mut read: Vec<String> = written
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["input"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let mut expected = inputs(&chosen);
    read.sort();
    expected.sort();
    assert_eq!(read, expected);
    let again = failures::export(&client, &map_run, &file, Format::Ndjson, &wanted).await;
    assert!(matches!(again, Err(Error::File { .. })), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_result_files_lead_to_the_children() {
    let house = House::new().await;
    house.fail([1, 2]);
    let run = house
        .start(
            &writing(json!({"MaxConcurrency": 1, "ToleratedFailureCount": 5})),
            numbers(4),
        )
        .await;
    run.ends(ExecutionStatus::Succeeded).await;
    let client = house.client().await;
    let map_run = map_run(&client, &run).await;
    let folder = format!("out/{}/", map_run.arn.id());
    let manifest_key = format!("{folder}manifest.json");
    let file_key = format!("{folder}FAILED_0.json");
    let manifest = house.get(&manifest_key).await;
    let file = house.get(&file_key).await;
    let elsewhere = |what: &str, value: Value| {
        let mut changed = manifest.clone();
        *changed.pointer_mut(what).unwrap() = value;
        changed.to_string()
    };
    let text = file.to_string();
    let long = format!(
        "[{{\"Status\":\"FAILED\",\"Input\":\"{}",
        "x".repeat(9 << 20)
    );
    for (key, body, why) in [
        (&manifest_key, "{".to_owned(), "EOF"),
        (
            &manifest_key,
            elsewhere("/ResultFiles/FAILED/0/Key", json!("../../etc/passwd")),
            "outside its folder",
        ),
        (
            &manifest_key,
            elsewhere("/DestinationBucket", json!("other")),
            "another bucket",
        ),
        (
            &manifest_key,
            elsewhere(
                "/MapRunArn",
                json!("arn:aws:states:us-east-1:0:mapRun:a/b:other"),
            ),
            "another Map Run",
        ),
        (
            &file_key,
            text[..text.len() - 9].to_owned(),
            "ends in the middle",
        ),
        (
            &file_key,
            "[{\"Status\":1}]".to_owned(),
            "the record at byte 1",
        ),
        (
            &file_key,
            "[\"a\"]".to_owned(),
            "neither a JSON array of objects",
        ),
        (&file_key, long, "larger than 8 MiB"),
    ] {
        house.put(key, body).await;
        let found = survey(&client, &map_run).await;
        assert!(
            found.source.starts_with("children ("),
            "{why}: {}",
            found.source
        );
        assert!(found.source.contains(why), "{why}: {}", found.source);
        assert_eq!((found.read, found.exact), (2, true), "{why}");
        assert_eq!(found.groups[0].count, 2);
        let page = found.page(&client, 0, 0..9).await.unwrap();
        assert_eq!(page.len(), 2);
        house.put(&manifest_key, &manifest).await;
        house.put(&file_key, &file).await;
    }
    // A file that is another one than was read is not shown in its place.
    let found = survey(&client, &map_run).await;
    assert_eq!(found.source, "FAILED_0.json");
    house.put(&file_key, "[]").await;
    assert_eq!(
        found.page(&client, 0, 0..9).await.unwrap().len(),
        2,
        "these are kept"
    );
}

/// A map over the lines of `in.jsonl`.
fn reading(selector: Option<Value>) -> Value {
    let reader = json!({
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSONL"},
        "Parameters": {"Bucket": "data", "Key": "in.jsonl"},
    });
    let mut more = json!({"ItemReader": reader, "ToleratedFailurePercentage": 100});
    if let Some(selector) = selector {
        more["ItemSelector"] = selector;
    }
    writing(more)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_leads_to_its_line_and_the_method_is_said() {
    let house = House::new().await;
    // Lines 2 and 4 say the same.
    let source = "{\"n\": 10, \"a\": 1.50}\n{\"n\": 11}\n{\"n\": 12}\n{\"n\":11}\n";
    house.put("in.jsonl", source).await;
    house.fail([10, 11]);
    let client = house.client().await;
    let cache = tempfile::tempdir().unwrap();
    let index = json!({"n.$": "$$.Map.Item.Value.n", "item.$": "$$.Map.Item.Value", "at.$": "$$.Map.Item.Index"});
    let parts = json!({"n.$": "$$.Map.Item.Value.n"});
    for (selector, expected) in [
        (
            None,
            vec![
                (Some(1), Method::Content),
                (None, Method::Candidates(2)),
                (None, Method::Candidates(2)),
            ],
        ),
        (
            Some(index),
            vec![
                (Some(1), Method::Index),
                (Some(2), Method::Index),
                (Some(4), Method::Index),
            ],
        ),
        (
            Some(parts),
            vec![
                (
                    None,
                    Method::NotFound("the child gets only parts of its item".into())
                );
                3
            ],
        ),
    ] {
        let run = house.start(&reading(selector), json!({})).await;
        run.ends(ExecutionStatus::Succeeded).await;
        let map_run = map_run(&client, &run).await;
        let found = survey(&client, &map_run).await;
        let mut lines = Vec::new();
        for failure in found.page(&client, 0, 0..9).await.unwrap() {
            let line = failures::source_line(&client, &map_run, &failure, cache.path());
            let line = line.await.unwrap();
            if line.line == Some(1) {
                assert_eq!(line.text.as_deref(), source.lines().next());
            }
            lines.push((line.line, line.method));
        }
        lines.sort_by_key(|(line, _)| line.unwrap_or(u64::MAX));
        assert_eq!(lines, expected);
        let first = failures::of_line(&client, &map_run, 1, cache.path())
            .await
            .unwrap();
        let methods: Vec<Method> = first.into_iter().map(|(_, method)| method).collect();
        let known = expected.iter().filter(|(line, _)| *line == Some(1));
        assert_eq!(
            methods,
            known.map(|(_, method)| method.clone()).collect::<Vec<_>>()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_row_of_a_csv_leads_to_its_line() {
    let house = House::new().await;
    // A record over two lines, a blank line, quotation marks in cells, and two rows that say the same.
    let rows = "n,name\n10,\"Oz, \"\"the\"\" city\nby the sea\"\n\n11,a\n12,b\n11,a\n";
    house.fail(["10", "11"]);
    let client = house.client().await;
    let cache = tempfile::tempdir().unwrap();
    for (key, text, named) in [
        ("in.csv", rows.to_owned(), None),
        ("marked.csv", format!("\u{feff}{rows}"), None),
        (
            "bare.csv",
            rows.split_once('\n').unwrap().1.to_owned(),
            Some(["n", "name"]),
        ),
    ] {
        house.put(key, &text).await;
        let location = match named {
            None => json!({"CSVHeaderLocation": "FIRST_ROW"}),
            Some(names) => json!({"CSVHeaderLocation": "GIVEN", "CSVHeaders": names}),
        };
        let mut config = json!({"InputType": "CSV"});
        config
            .as_object_mut()
            .unwrap()
            .extend(location.as_object().unwrap().clone());
        let reader = json!({
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": config,
            "Parameters": {"Bucket": "data", "Key": key},
        });
        let definition = writing(json!({"ItemReader": reader, "ToleratedFailurePercentage": 100}));
        let run = house.start(&definition, json!({})).await;
        run.ends(ExecutionStatus::Succeeded).await;
        let map_run = map_run(&client, &run).await;
        let found = survey(&client, &map_run).await;
        let first = if named.is_some() { 1 } else { 2 };
        let mut lines = Vec::new();
        for failure in found.page(&client, 0, 0..9).await.unwrap() {
            let line = failures::source_line(&client, &map_run, &failure, cache.path());
            let line = line.await.unwrap();
            lines.push((line.line, line.method, line.candidates));
        }
        lines.sort_by_key(|(line, ..)| line.unwrap_or(u64::MAX));
        let same = vec![first + 3, first + 5];
        let expected = vec![
            (Some(first), Method::Content, vec![]),
            (None, Method::Candidates(2), same.clone()),
            (None, Method::Candidates(2), same),
        ];
        assert_eq!(lines, expected, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_source_says_that_it_has_no_places() {
    let house = House::new().await;
    let client = house.client().await;
    let cache = tempfile::tempdir().unwrap();
    house.put("in.jsonl", "{\"n\": 1}\n").await;
    house.fail([1]);
    let run = house.start(&reading(None), json!({})).await;
    run.ends(ExecutionStatus::Succeeded).await;
    let bytes = aws_sdk_s3::primitives::ByteStream::from_static(&[0x1f, 0x8b, 8, 0]);
    let put = house
        .s3
        .put_object()
        .bucket("data")
        .key("in.jsonl")
        .body(bytes);
    put.send().await.unwrap();
    let map_run = map_run(&client, &run).await;
    let failure = survey(&client, &map_run)
        .await
        .page(&client, 0, 0..1)
        .await
        .unwrap()
        .remove(0);
    let line = failures::source_line(&client, &map_run, &failure, cache.path())
        .await
        .unwrap();
    assert_eq!(line.line, None);
    assert!(line.words().contains("compressed"), "{}", line.words());
}
