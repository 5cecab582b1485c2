//! Objects as an enemy would write them: each verb says what is wrong and where, and touches nothing
//! outside its folder.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanout::model::{Object, ObjectAddress, Status};
use fanout::operations::merge::{self, To};
use fanout::operations::outputs::{self, Hit, PAGE};
use fanout::operations::{reconcile, runs};
use serde_json::{Value, json};

use crate::plant::{BUCKET, Plant, source};

const MIB: usize = 1 << 20;

async fn found(plant: &Plant, key: &str) -> Object {
    let address = ObjectAddress::new(BUCKET, key);
    plant.client.head(&address).await.unwrap().unwrap().0
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_files_that_no_map_run_writes_are_named_and_nothing_is_merged() {
    let plant = Plant::new().await;
    plant.put("in/a.txt", source(12).0).await;
    plant.fail([3]);
    let input = json!({"source": {"bucket": BUCKET, "key": "in/a.txt"}, "tolerate": 0});
    let run = plant.start("a", &input).await;
    plant.ends(&run, Status::Failed).await;
    plant.map_run_closed(&run).await;
    let keys = plant.keys("runs/a/").await;
    let named = |name: &str| keys.iter().find(|key| key.ends_with(name)).unwrap().clone();
    let (manifest_key, file_key) = (named("manifest.json"), named("FAILED_0.json"));
    let manifest = plant.get(&manifest_key).await.unwrap();
    let file = plant.get(&file_key).await.unwrap();
    let changed = |place: &str, value: &str| {
        let mut changed: Value = serde_json::from_str(&manifest).unwrap();
        *changed.pointer_mut(place).unwrap() = json!(value);
        changed.to_string()
    };
    let listed = "/ResultFiles/FAILED/0/Key";
    let long = format!(
        "[{{\"Status\":\"FAILED\",\"Input\":\"{}",
        "x".repeat(9 * MIB)
    );
    let cases = [
        (&manifest_key, "{".to_owned(), "no manifest"),
        (&manifest_key, "\u{1b}[31m\0".to_owned(), "no manifest"),
        (
            &manifest_key,
            changed(listed, "../../etc/passwd"),
            "outside its folder",
        ),
        (
            &manifest_key,
            changed(listed, "/etc/passwd"),
            "outside its folder",
        ),
        (
            &manifest_key,
            changed("/DestinationBucket", "other"),
            "outside its folder",
        ),
        (
            &file_key,
            file[..file.len() - 9].to_owned(),
            "FAILED_0.json",
        ),
        (&file_key, "[\"a\"]".to_owned(), "FAILED_0.json"),
        (&file_key, "[{\"Status\":1}]".to_owned(), "FAILED_0.json"),
        (&file_key, long, "FAILED_0.json"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (key, body, why) in cases {
        plant.put(key, body).await;
        let described = runs::describe(&plant.client, &run).await.unwrap();
        let told = reconcile::of(&plant.client, &described, |_| {}).await;
        let told = told.expect_err(why).to_string();
        assert!(told.contains(why), "{why}: {told}");
        let to = To::File(folder.path().join("out.txt"));
        let merged = match merge::plan(&plant.client, &described, Some(to)).await {
            Ok(plan) => merge::run(&plant.client, &plan, |_| {}).await.map(drop),
            Err(error) => Err(error),
        };
        let merged = merged.expect_err(why).to_string();
        assert!(merged.contains(why), "{why}: {merged}");
        assert!(is_empty(folder.path()), "{why}");
        plant.put(&manifest_key, &manifest).await;
        plant.put(&file_key, &file).await;
    }
    let described = runs::describe(&plant.client, &run).await.unwrap();
    let whole = reconcile::of(&plant.client, &described, |_| {})
        .await
        .unwrap();
    assert_eq!(
        (whole.lines, whole.missing.count),
        (12, 0),
        "as it was before"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_a_hundred_megabytes_is_read_searched_and_shown_in_pieces() {
    let plant = Plant::new().await;
    let mut line = vec![b'x'; 100 * MIB];
    line.extend_from_slice(b"needle\x1b[31m\0");
    plant.put("long.txt", &line).await;
    let object = found(&plant, "long.txt").await;
    drop(line);

    let page = outputs::page(&plant.client, &object, 50 * MIB as u64)
        .await
        .unwrap();
    assert_eq!(page.bytes.len() as u64, PAGE);

    let mut hits: Vec<Hit> = Vec::new();
    let searched = outputs::search(
        &plant.client,
        &object,
        "needle",
        |_| {},
        |hit| {
            hits.push(hit);
            true
        },
    );
    searched.await.unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].line, hits[0].at), (1, 100 * MIB as u64));
    assert!(hits[0].text.len() < 1_000, "only what is around it");

    let (longest, all) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let read = outputs::lines(&plant.client, &object, 1..=9, |number, piece, _| {
        assert_eq!(number, 1);
        longest.fetch_max(piece.len(), Ordering::Relaxed);
        all.fetch_add(piece.len(), Ordering::Relaxed);
        true
    });
    read.await.unwrap();
    assert_eq!(all.into_inner() as u64, object.size);
    assert!(longest.into_inner() <= MIB, "in pieces");
}

#[tokio::test]
async fn what_is_packed_and_cut_off_is_said_and_not_taken_for_the_whole() {
    use std::io::Write as _;
    let plant = Plant::new().await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(source(2_000).0.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let zstd = zstd::stream::encode_all(source(2_000).0.as_bytes(), 1).unwrap();
    for (key, packed) in [("cut.gz", packed), ("cut.zst", zstd)] {
        plant
            .put(key, &packed[..packed.len() - packed.len() / 8])
            .await;
        let object = found(&plant, key).await;
        let searched = outputs::search(&plant.client, &object, "nowhere", |_| {}, |_| true).await;
        let said = searched.unwrap_err().to_string();
        assert!(said.contains(key) && said.contains("unpacked"), "{said}");
        let read = outputs::lines(&plant.client, &object, 1..=u64::MAX, |_, _, _| true).await;
        let said = read.unwrap_err().to_string();
        assert!(said.contains(key) && said.contains("unpacked"), "{said}");
        // What is there can be looked at all the same, and it is said that it is not all.
        let page = outputs::page(&plant.client, &object, 0).await.unwrap();
        assert!(source(2_000).0.as_bytes().starts_with(&page.bytes));
        assert_eq!(page.trouble.as_deref(), Some("it is cut off here"));
    }
}
