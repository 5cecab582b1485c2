//! The store's tables and their versions. Opening a store of an older version brings it up to date
//! in one transaction; one of a later version is refused.

use redb::{ReadableTable, WriteTransaction};

use super::{
    ACTIVITIES, BY_MACHINE, DEFINITIONS, EXECUTIONS, ExecutionRow, ExecutionStatus, HISTORY,
    MACHINES, MAP_RUNS, MAP_RUNS_OF, META, MapRunRow, OPEN_MAP_RUNS, RUNNING, ReadError, decode,
};
use crate::engine::disk::Database;

/// Version of the layout that the module above describes.
pub(super) const VERSION: u64 = 2;

type Step = fn(&WriteTransaction) -> Result<(), ReadError>;

/// What leads from version 1 to 2, from 2 to 3, and so on.
const STEPS: [Step; VERSION as usize - 1] = [list_what_is_open];

/// Creates what is missing and brings what is older up to date.
///
/// # Errors
/// Says what is wrong without naming the file.
pub(super) fn prepare(database: &Database) -> Result<(), String> {
    let told = |error: ReadError| match error {
        ReadError::Database(error) => error.to_string(),
        ReadError::Row(error) => format!("is damaged: a row cannot be read: {error}"),
    };
    let transaction = database.begin_write().map_err(|error| error.to_string())?;
    let known = version(&transaction).map_err(told)?;
    if known.is_some_and(|known| known > VERSION) {
        let known = known.unwrap_or_default();
        return Err(format!(
            "has layout version {known}, this program knows {VERSION}: use the fanout that wrote it, or another --data-dir"
        ));
    }
    migrate(&transaction, known.unwrap_or(VERSION)).map_err(told)?;
    transaction.commit().map_err(|error| error.to_string())
}

fn version(transaction: &WriteTransaction) -> Result<Option<u64>, ReadError> {
    let meta = transaction.open_table(META)?;
    Ok(meta.get("version")?.map(|version| version.value()))
}

fn migrate(transaction: &WriteTransaction, from: u64) -> Result<(), ReadError> {
    transaction.open_table(MACHINES)?;
    transaction.open_table(ACTIVITIES)?;
    transaction.open_table(DEFINITIONS)?;
    transaction.open_table(EXECUTIONS)?;
    transaction.open_table(BY_MACHINE)?;
    transaction.open_table(HISTORY)?;
    transaction.open_table(MAP_RUNS)?;
    transaction.open_table(MAP_RUNS_OF)?;
    transaction.open_table(RUNNING)?;
    transaction.open_table(OPEN_MAP_RUNS)?;
    for step in &STEPS[from as usize - 1..] {
        step(transaction)?;
    }
    transaction.open_table(META)?.insert("version", VERSION)?;
    Ok(())
}

/// 1 to 2: a start need not look at every execution there ever was to find those to go on with.
fn list_what_is_open(transaction: &WriteTransaction) -> Result<(), ReadError> {
    let mut running = transaction.open_table(RUNNING)?;
    for entry in transaction.open_table(EXECUTIONS)?.iter()? {
        let (arn, row) = entry?;
        if decode::<ExecutionRow>(row.value())?.status == ExecutionStatus::Running {
            running.insert(arn.value(), ())?;
        }
    }
    let mut open_map_runs = transaction.open_table(OPEN_MAP_RUNS)?;
    for entry in transaction.open_table(MAP_RUNS)?.iter()? {
        let (arn, row) = entry?;
        if decode::<MapRunRow>(row.value())?.closed.is_none() {
            open_map_runs.insert(arn.value(), ())?;
        }
    }
    Ok(())
}
