//! A dataset of any bytes, in the format that its first byte says: it is refused by name, or every
//! item is JSON.

#![no_main]

use std::io::Write;
use std::sync::LazyLock;

use fanout::engine::machine::MapRunPlan;
use fanout::engine::map_run::{Quotas, reader};
use fanout::engine::objects::Objects;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const KEYS: [&str; 4] = ["items", "items.gz", "items.csv", "items.zst"];

static STORAGE: LazyLock<(tempfile::TempDir, Objects)> = LazyLock::new(|| {
    // In memory where there is such a folder: the disk is not what is tried here.
    let memory = std::path::Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let objects = Objects::open(folder.path()).expect("storage");
    objects.create_bucket("b").expect("a bucket");
    (folder, objects)
});

fn formats() -> Vec<Value> {
    let csv = |delimiter: char, headers: Value| json!({"Csv": {"delimiter": delimiter as u8, "headers": headers}});
    vec![
        json!("Json"),
        json!({"JsonAt": "/a/b"}),
        json!({"JsonAt": "/0"}),
        json!("JsonLines"),
        csv(',', Value::Null),
        csv(';', json!(["a", "b"])),
        csv('\t', Value::Null),
        json!("Inventory"),
    ]
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let formats = formats();
    let format = &formats[usize::from(*choice) % formats.len()];
    let key = KEYS[usize::from(*choice) / formats.len() % KEYS.len()];
    let batched = *choice >= 128;
    let objects = &STORAGE.1;
    let mut writing = objects.write("b", key).expect("a blob");
    writing.write_all(data).expect("written");
    writing.commit(false).expect("committed");
    let batching = batched.then(|| json!({"max_items": 3, "max_bytes": 200, "input": {"x": 1}}));
    let plan: MapRunPlan = serde_json::from_value(json!({
        "arn": "arn:aws:states:us-east-1:000000000000:mapRun:m/l:1",
        "label": "l",
        "children": "Express",
        "items": {"Object": {"bucket": "b", "key": key, "format": format, "max_items": null}},
        "input": {},
        "context": {},
        "max_concurrency": 0,
        "tolerated_count": 0,
        "tolerated_percentage": 0.0,
        "batching": batching,
        "writer": null,
    }))
    .expect("a plan");
    // As many as a dataset of this size can give.
    let (sender, mut receiver) = tokio::sync::mpsc::channel(10_000);
    reader::read(&plan, None, objects, &Quotas::default(), 0, &sender);
    drop(sender);
    while let Ok(chunk) = receiver.try_recv() {
        if let reader::Chunk::Inputs(inputs) = chunk {
            for input in inputs {
                let item: Result<Value, _> = serde_json::from_slice(&input.text);
                assert!(item.is_ok(), "not JSON: {}", String::from_utf8_lossy(&input.text));
                assert!(input.items > 0);
            }
        }
    }
});
