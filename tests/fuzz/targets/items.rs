//! A dataset of any bytes, read as the first byte says: it is refused by name, or every item is JSON.

#![no_main]

use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;

use fanout::engine::definition::{ChildKind, Csv, Format};
use fanout::engine::machine::{Batching, ItemSource, MapRunPlan, Variables};
use fanout::engine::map_run::Quotas;
use fanout::engine::map_run::reader::{self, Chunk};
use fanout::engine::objects::Objects;
use fanout::engine::query::{Language, Reading, Sees, Template};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::{Value, json};

/// A few bytes of a compressed object can hold millions of items.
const MAX_ITEMS: u64 = 100_000;

struct Storage {
    _folder: tempfile::TempDir,
    objects: Objects,
}

/// The bucket `b`, with the object that a manifest among the seeds speaks of.
static STORAGE: LazyLock<Storage> = LazyLock::new(|| {
    // In memory where there is such a folder: the disk is not what is tried here.
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let objects = Objects::open(folder.path()).expect("storage");
    objects.create_bucket("b").expect("a bucket");
    put(&objects, "rows", b"b,one,1\n\"b\",\"t\"\"wo\",2\n");
    Storage {
        _folder: folder,
        objects,
    }
});

static SELECTOR: LazyLock<Template> = LazyLock::new(|| {
    let selector =
        json!({"item.$": "$$.Map.Item.Value", "at.$": "$$.Map.Item.Index", "n.$": "$.n"});
    let mut problems = Vec::new();
    let mut reading = Reading {
        language: Language::JsonPath,
        sees: Sees::Input,
        state: "",
        problems: &mut problems,
    };
    let template = Template::read(&selector, "", &mut reading);
    assert!(problems.is_empty(), "{problems:?}");
    template
});

fn put(objects: &Objects, key: &str, bytes: &[u8]) {
    let mut writing = objects.write("b", key).expect("a blob");
    writing.write_all(bytes).expect("written");
    writing.commit(false).expect("committed");
}

fn csv(delimiter: u8, headers: Option<&[&str]>) -> Format {
    let headers = headers.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    Format::Csv(Csv { delimiter, headers })
}

/// What the items are, by letter: `A` to `I`, then the same in batches, then both with a selector.
fn source(choice: usize) -> ItemSource {
    let format = match choice {
        0 => Format::Json,
        1 => Format::JsonAt("/a/b".to_owned()),
        2 => Format::JsonAt("/0".to_owned()),
        3 => Format::JsonLines,
        4 => csv(b',', None),
        5 => csv(b';', Some(&["a", "b"])),
        6 => csv(b'\t', None),
        7 => Format::Inventory,
        _ => {
            return ItemSource::Listing {
                bucket: "b".to_owned(),
                prefix: "items".to_owned(),
                format: Some(Format::JsonLines),
                max_items: Some(5),
                owner: None,
            };
        }
    };
    ItemSource::Object {
        bucket: "b".to_owned(),
        key: "items".to_owned(),
        format,
        max_items: None,
        version: None,
        owner: None,
    }
}

const SOURCES: usize = 9;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((choice, data)) = data.split_first() else {
        return Corpus::Reject;
    };
    let choice = usize::from(choice.wrapping_sub(b'A'));
    let (source, choice) = (source(choice % SOURCES), choice / SOURCES);
    let batching = Batching {
        max_items: 3,
        max_bytes: 200,
        input: Some(json!({"x": 1})),
    };
    let plan = MapRunPlan {
        arn: "arn:aws:states:us-east-1:000000000000:mapRun:m/l:1".to_owned(),
        label: "l".to_owned(),
        children: ChildKind::Express,
        items: source,
        input: json!({"n": 7}),
        context: json!({}),
        variables: Variables::new(),
        at: 0,
        max_concurrency: 0,
        tolerated_count: 0,
        tolerated_percentage: 0.0,
        batching: (choice % 2 == 1).then_some(batching),
        writer: None,
        shape: None,
    };
    let selector = (choice / 2 % 2 == 1).then_some(&*SELECTOR);
    put(&STORAGE.objects, "items", data);
    let quotas = Quotas {
        items: MAX_ITEMS,
        ..Quotas::default()
    };
    // Room for all that may come, in chunks however small.
    let (sender, mut receiver) = tokio::sync::mpsc::channel(MAX_ITEMS as usize + 1);
    reader::read(&plan, selector, &STORAGE.objects, &quotas, 0, &sender);
    drop(sender);
    let mut end = None;
    while let Ok(chunk) = receiver.try_recv() {
        assert!(end.is_none(), "nothing follows the end");
        match chunk {
            Chunk::Inputs(inputs) => {
                for input in inputs {
                    let item: Result<Value, _> = serde_json::from_slice(&input.text);
                    assert!(item.is_ok(), "{}", String::from_utf8_lossy(&input.text));
                    assert!(input.items > 0);
                }
            }
            Chunk::Failed(failure) => {
                let (error, cause) = (failure.error, failure.cause);
                assert!(error.is_some_and(|error| error.starts_with("States.")));
                assert!(cause.is_some_and(|cause| !cause.is_empty()));
                end = Some(());
            }
            Chunk::End => end = Some(()),
        }
    }
    assert!(end.is_some(), "the end is told");
    Corpus::Keep
});
