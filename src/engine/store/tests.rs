//! Migration, and the store beside a plain map when the power goes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::commit::to_json;
use super::*;
use crate::engine::disk::faults::Faults;
use crate::engine::machine::Execution;

fn execution(name: &str, status: &str, steps: u64) -> ExecutionRow {
    let arn = format!("arn:aws:states:us-east-1:000000000000:execution:m:{name}");
    let mut row: ExecutionRow = serde_json::from_value(json!({
        "identity": {"id": arn, "name": name, "role": "r", "machine_id": "m", "machine_name": "m", "started": 1},
        "revision": "r1", "sequence": 1, "input": {}, "status": status, "stopped": null,
        "output": null, "error": null, "cause": null, "redriven": null, "redrive_tokens": [],
        "execution": serde_json::to_value(Execution::default()).unwrap(),
    }))
    .unwrap();
    row.sequence = steps;
    row
}

/// Opens it as soon as the thread of the store before is gone.
fn open(disk: &Disk, folder: &Path) -> Store {
    loop {
        match Store::open(disk, folder) {
            Err(error) if error.to_string().contains("in use") => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn names(rows: Vec<ExecutionRow>) -> Vec<String> {
    rows.into_iter().map(|row| row.identity.name).collect()
}

/// A store as version 1 left it: without the lists of what is open.
fn make_version_1(folder: &Path) {
    let database = Database::open(&Disk::default(), &folder.join("store.redb")).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut executions = write.open_table(EXECUTIONS).unwrap();
        for (name, status) in [("a", "RUNNING"), ("b", "SUCCEEDED"), ("c", "RUNNING")] {
            let row = execution(name, status, 1);
            executions
                .insert(row.identity.id.as_str(), to_json(&row).as_slice())
                .unwrap();
        }
        write
            .open_table(META)
            .unwrap()
            .insert("version", 1)
            .unwrap();
    }
    write.commit().unwrap();
}

#[test]
fn a_store_of_version_1_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    make_version_1(folder.path());
    for _ in 0..2 {
        let store = open(&Disk::default(), folder.path());
        assert_eq!(names(store.running().unwrap()), ["a", "c"]);
        assert!(store.open_map_runs().unwrap().is_empty());
    }
}

#[test]
fn a_store_of_a_later_version_is_refused_and_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let database = Database::open(&Disk::default(), &path).unwrap();
    let write = database.begin_write().unwrap();
    write
        .open_table(META)
        .unwrap()
        .insert("version", layout::VERSION + 1)
        .unwrap();
    write.commit().unwrap();
    drop(database);
    let error = Store::open(&Disk::default(), folder.path())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("store.redb") && error.contains("layout version"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What was acknowledged is there, what was under way is whole or absent, and nothing else is.
    #[test]
    fn a_store_without_power_agrees_with_a_plain_map(
        batches in proptest::collection::vec(proptest::collection::vec((0..5_u8, any::<bool>()), 1..5), 1..12),
        cut in 1..60_u64,
        seed in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        drop(open(&Disk::default(), folder.path()));
        drop(open(&Disk::default(), folder.path()));
        let faults = Faults::new(folder.path());
        faults.cut_at(cut);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut model: BTreeMap<String, ExecutionRow> = BTreeMap::new();
        let mut under_way = model.clone();
        if let Ok(store) = Store::open(&faults.disk(), folder.path()) {
            for (number, batch) in batches.iter().enumerate() {
                let mut writes = Batch::default();
                under_way = model.clone();
                for (key, running) in batch {
                    let status = if *running { "RUNNING" } else { "FAILED" };
                    let row = execution(&format!("e{key}"), status, number as u64);
                    writes.execution(&row);
                    writes.event(&row.identity.id, number as u64, &json!({"batch": number}));
                    under_way.insert(row.identity.id.clone(), row);
                }
                if runtime.block_on(store.commit(writes)).is_err() {
                    break;
                }
                model.clone_from(&under_way);
            }
        }
        let left = tempfile::tempdir().unwrap();
        faults.leave(left.path(), seed);
        let store = open(&Disk::default(), left.path());
        let mut found = BTreeMap::new();
        for key in 0..5 {
            let arn = execution(&format!("e{key}"), "RUNNING", 0).identity.id;
            if let Some(row) = store.execution(&arn).unwrap() {
                found.insert(arn, row);
            }
        }
        prop_assert!(found == model || found == under_way);
        let is_running = |row: &&ExecutionRow| row.status == ExecutionStatus::Running;
        let running: Vec<_> = found.values().filter(is_running).cloned().collect();
        prop_assert_eq!(store.running().unwrap(), running);
    }
}
