//! What is few and must survive: state machines, executions with their histories, Map Runs.
//! Children of Map Runs are many and go to a log of their own ([`super::children`]).
//!
//! | table | key | value | written by |
//! |---|---|---|---|
//! | `meta` | `version` | layout version | the first open |
//! | `machines` | ARN | [`MachineRow`] | Create/UpdateStateMachine |
//! | `definitions` | revision id | definition text | Create/UpdateStateMachine |
//! | `executions` | ARN | [`ExecutionRow`] | each step of the execution |
//! | `by_machine` | (machine ARN, start, sequence) | execution ARN | StartExecution |
//! | `history` | (execution ARN, event id) | event, JSON as served | each step |
//! | `activities` | ARN | [`ActivityRow`] | Create/DeleteActivity |
//! | `map_runs` | ARN | [`MapRunRow`] | the step that enters the Map state |
//! | `map_runs_of` | (execution ARN, sequence) | Map Run ARN | the same |
//! | `running` | execution ARN | nothing | each step: what a restart goes on with |
//! | `open_map_runs` | Map Run ARN | nothing | the same |
//!
//! Values are JSON. All writers hand their batches to one thread, which commits whatever has come
//! together in one transaction (one fsync) and then answers; readers use snapshots and block nobody.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::disk::{Database, Disk, explain};
use super::runner::Clock;
use super::state_machines::MachineRow;
use commit::{Committer, Waiting};
use past::{Past, locked};

mod commit;
mod layout;
mod past;
mod rows;
#[cfg(test)]
mod tests;

pub use commit::Batch;
pub use rows::{ActivityRow, ExecutionRow, ExecutionStatus, MapRunRow, Origin, Owner, Provenance};

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const MACHINES: TableDefinition<&str, &[u8]> = TableDefinition::new("machines");
const DEFINITIONS: TableDefinition<&str, &str> = TableDefinition::new("definitions");
const EXECUTIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("executions");
const BY_MACHINE: TableDefinition<(&str, i64, u64), &str> = TableDefinition::new("by_machine");
const HISTORY: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("history");
const MAP_RUNS: TableDefinition<&str, &[u8]> = TableDefinition::new("map_runs");
const MAP_RUNS_OF: TableDefinition<(&str, u64), &str> = TableDefinition::new("map_runs_of");
const ACTIVITIES: TableDefinition<&str, &[u8]> = TableDefinition::new("activities");
const RUNNING: TableDefinition<&str, ()> = TableDefinition::new("running");
const OPEN_MAP_RUNS: TableDefinition<&str, ()> = TableDefinition::new("open_map_runs");

/// Batches that may wait for the committing thread before writers have to wait.
const QUEUE: usize = 1_024;
/// Most rows that one page of a listing looks at.
const LOOK: usize = 10_000;
/// Stored bytes of events after which a page of a history ends.
const HISTORY_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct StoreError {
    pub path: PathBuf,
    pub problem: String,
}

impl StoreError {
    /// `error` may name the file itself.
    pub fn of(path: &Path, error: &dyn std::fmt::Display) -> Self {
        let text = error.to_string();
        let problem = text.strip_prefix(&format!("{}: ", path.display()));
        Self {
            path: path.to_owned(),
            problem: problem.unwrap_or(&text).to_owned(),
        }
    }
}

/// Which events of a history are asked for.
#[derive(Debug, Clone, Copy)]
pub struct HistorySpan {
    /// The first id, or the last one where the newest come first.
    pub from: u64,
    pub newest_first: bool,
    pub limit: usize,
}

/// A place in the listing of a state machine's executions: start and sequence.
pub type Position = (i64, u64);

/// Which executions of a state machine a listing shows.
#[derive(Debug, Clone, Default)]
pub struct ExecutionFilter {
    pub status: Option<String>,
    /// ARN of the version or alias they were started with.
    pub qualified: Option<String>,
    /// Those of a state machine that had the same name before are not listed.
    pub since: i64,
}

/// The little of an execution's row that a filter looks at; the rest is skipped, not read.
#[derive(Deserialize)]
struct Glance {
    status: ExecutionStatus,
    #[serde(default)]
    provenance: Option<GlanceProvenance>,
}

#[derive(Deserialize)]
struct GlanceProvenance {
    version: Option<String>,
    alias: Option<String>,
}

impl ExecutionFilter {
    fn accepts(&self, row: &Glance) -> bool {
        let status = self.status.as_deref();
        let is_of = |wanted: &String| {
            let origin = row.provenance.as_ref();
            let arns = origin.map(|origin| [&origin.version, &origin.alias]);
            arns.into_iter()
                .flatten()
                .any(|arn| arn.as_ref() == Some(wanted))
        };
        status.is_none_or(|status| status == row.status.as_str())
            && self.qualified.as_ref().is_none_or(is_of)
    }
}

/// A handle; clones share one store.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    path: Arc<PathBuf>,
    commits: mpsc::Sender<Waiting>,
    past: Arc<Mutex<Option<Past>>>,
    /// Reads see this one; `None`: the newest.
    snapshot: Option<Arc<redb::ReadTransaction>>,
}

impl Store {
    /// Opens or creates `store.redb` in the folder, and brings an older layout up to date.
    ///
    /// # Errors
    /// Names the file, and says what to do when it is damaged or of a later version.
    pub fn open(disk: &Disk, folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("store.redb");
        let fail = |problem: String| StoreError::of(&path, &problem);
        let database = Database::open(disk, &path)
            .map_err(|error| fail(format!("cannot be opened: {}", explain(&path, &error))))?;
        layout::prepare(&database).map_err(fail)?;
        let database = Arc::new(database);
        let path = Arc::new(path);
        let (commits, waiting) = mpsc::channel(QUEUE);
        let store = Self {
            database,
            path,
            commits,
            past: Arc::default(),
            snapshot: None,
        };
        let committer = store.clone_for_thread();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || committer.run(waiting))
            .map_err(|error| store.error(error))?;
        Ok(store)
    }

    fn clone_for_thread(&self) -> Committer {
        Committer {
            database: Arc::clone(&self.database),
            path: Arc::clone(&self.path),
            past: Arc::clone(&self.past),
        }
    }

    fn error(&self, error: impl std::fmt::Display) -> StoreError {
        StoreError::of(&self.path, &error)
    }

    /// Returns once everything in the batch is on disk.
    pub async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        let closed = |_| self.error("the store is closed");
        self.commits
            .send(Waiting { batch, done })
            .await
            .map_err(|_| self.error("the store is closed"))?;
        answer.await.map_err(closed)?
    }

    pub fn machine(&self, arn: &str) -> Result<Option<MachineRow>, StoreError> {
        self.row(MACHINES, arn)
    }

    /// All state machines, in the order of their ARNs.
    pub fn machines(&self) -> Result<Vec<MachineRow>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(MACHINES)?;
            let mut rows = Vec::new();
            for entry in table.iter()? {
                rows.push(decode(entry?.1.value())?);
            }
            Ok(rows)
        })
    }

    pub fn machine_count(&self) -> Result<usize, StoreError> {
        self.count(MACHINES)
    }

    pub fn activity_count(&self) -> Result<usize, StoreError> {
        self.count(ACTIVITIES)
    }

    pub fn activity(&self, arn: &str) -> Result<Option<ActivityRow>, StoreError> {
        self.row(ACTIVITIES, arn)
    }

    /// All activities, in the order of their ARNs.
    pub fn activities(&self) -> Result<Vec<ActivityRow>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(ACTIVITIES)?;
            let mut rows = Vec::new();
            for entry in table.iter()? {
                rows.push(decode(entry?.1.value())?);
            }
            Ok(rows)
        })
    }

    pub fn definition(&self, revision: &str) -> Result<Option<String>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(DEFINITIONS)?;
            Ok(table.get(revision)?.map(|text| text.value().to_owned()))
        })
    }

    pub fn execution(&self, arn: &str) -> Result<Option<ExecutionRow>, StoreError> {
        self.row(EXECUTIONS, arn)
    }

    pub fn map_run(&self, arn: &str) -> Result<Option<MapRunRow>, StoreError> {
        self.row(MAP_RUNS, arn)
    }

    /// Map Runs of an execution, newest first.
    pub fn map_runs_of(&self, execution: &str) -> Result<Vec<String>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(MAP_RUNS_OF)?;
            let mut arns = Vec::new();
            for entry in table.range((execution, 0)..=(execution, u64::MAX))?.rev() {
                arns.push(entry?.1.value().to_owned());
            }
            Ok(arns)
        })
    }

    /// Executions of a state machine, newest first, that the filter accepts, without their data: at most `limit`, those
    /// older than `before`. The second value continues, `None` at the end. Looks at so many rows
    /// and no more: a page may be short and still have a next one. Blocks.
    pub fn executions_of(
        &self,
        machine: &str,
        before: Option<Position>,
        limit: usize,
        filter: &ExecutionFilter,
    ) -> Result<(Vec<ExecutionRow>, Option<Position>), StoreError> {
        self.read(|transaction| {
            let index = transaction.open_table(BY_MACHINE)?;
            let rows = transaction.open_table(EXECUTIONS)?;
            let (start, sequence) = before.unwrap_or((i64::MAX, u64::MAX));
            if start < filter.since {
                return Ok((Vec::new(), None));
            }
            let range = (machine, filter.since, 0)..(machine, start, sequence);
            let mut found = Vec::new();
            let mut last = None;
            for (looked, entry) in index.range(range)?.rev().enumerate() {
                if found.len() == limit || looked == LOOK {
                    return Ok((found, last));
                }
                let (key, arn) = entry?;
                let (_, start, sequence) = key.value();
                let Some(row) = rows.get(arn.value())? else {
                    continue;
                };
                let glance = readable::<Glance>(arn.value(), row.value());
                if glance.is_some_and(|glance| filter.accepts(&glance))
                    && let Some(mut row) = readable::<ExecutionRow>(arn.value(), row.value())
                {
                    // A listing shows none of its data, which may be large.
                    (row.input, row.output) = (Arc::new(Value::Null), None);
                    row.execution.forget_data();
                    found.push(row);
                }
                last = Some((start, sequence));
            }
            Ok((found, None))
        })
    }

    /// Executions that were running when the store was last written.
    pub fn running(&self) -> Result<Vec<ExecutionRow>, StoreError> {
        self.listed(RUNNING, EXECUTIONS)
    }

    /// Map Runs of a state machine's map with this label, newest first.
    pub fn map_runs_labelled(&self, machine: &str, label: &str) -> Result<Vec<String>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(MAP_RUNS)?;
            // ARNs begin with machine and label, so this is one range.
            let prefix = format!(
                "{}/{label}:",
                machine.replacen(":stateMachine:", ":mapRun:", 1)
            );
            let mut found = Vec::new();
            for entry in table.range(prefix.as_str()..)? {
                let (arn, row) = entry?;
                if !arn.value().starts_with(&prefix) {
                    break;
                }
                if let Some(row) = readable::<MapRunRow>(arn.value(), row.value()) {
                    found.push((row.started, row.plan.arn));
                }
            }
            found.sort_by(|left, right| right.cmp(left));
            Ok(found.into_iter().map(|(_, arn)| arn).collect())
        })
    }

    /// Map Runs that were open when the store was last written.
    pub fn open_map_runs(&self) -> Result<Vec<MapRunRow>, StoreError> {
        self.listed(OPEN_MAP_RUNS, MAP_RUNS)
    }

    /// The rows whose keys are in another table.
    fn listed<T: DeserializeOwned>(
        &self,
        keys: TableDefinition<&'static str, ()>,
        rows: TableDefinition<&'static str, &'static [u8]>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(|transaction| {
            let rows = transaction.open_table(rows)?;
            let mut found = Vec::new();
            for entry in transaction.open_table(keys)?.iter()? {
                let key = entry?.0;
                if let Some(row) = rows.get(key.value())? {
                    found.extend(readable::<T>(key.value(), row.value()));
                }
            }
            Ok(found)
        })
    }

    /// A page of a history, and whether there is more. A page may be short (API reference,
    /// GetExecutionHistory), so one of large events is.
    pub fn history(&self, arn: &str, span: HistorySpan) -> Result<(Vec<Value>, bool), StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(HISTORY)?;
            let range = match span.newest_first {
                true => table.range((arn, 0)..=(arn, span.from))?,
                false => table.range((arn, span.from)..=(arn, u64::MAX))?,
            };
            let mut range: Box<dyn Iterator<Item = _>> = match span.newest_first {
                true => Box::new(range.rev()),
                false => Box::new(range),
            };
            let (mut events, mut bytes) = (Vec::new(), 0);
            while events.len() < span.limit && bytes < HISTORY_BYTES {
                let Some(entry) = range.next() else {
                    return Ok((events, false));
                };
                let (_, event) = entry?;
                bytes += event.value().len();
                events.push(decode(event.value())?);
            }
            Ok((events, range.next().is_some()))
        })
    }

    fn count(
        &self,
        table: TableDefinition<&'static str, &'static [u8]>,
    ) -> Result<usize, StoreError> {
        let rows = self.read(|transaction| Ok(transaction.open_table(table)?.len()?))?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    fn row<T: DeserializeOwned>(
        &self,
        table: TableDefinition<&'static str, &'static [u8]>,
        arn: &str,
    ) -> Result<Option<T>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(table)?;
            table.get(arn)?.map(|row| decode(row.value())).transpose()
        })
    }

    /// Keeps what the store is from now on, so that [`Store::delayed`] can show it so long after.
    pub fn keep_past(&self, clock: &Arc<Clock>, delay: Duration) {
        let mut past = Past::new(clock, delay);
        let kept = !delay.is_zero() && past.add(&self.database).is_ok();
        *locked(&self.past) = kept.then_some(past);
    }

    /// The store as eventually consistent operations see it: as it was some time ago, where that
    /// was asked for.
    pub fn delayed(&self) -> Self {
        let snapshot = locked(&self.past).as_ref().and_then(Past::shown);
        Self {
            snapshot,
            ..self.clone()
        }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, ReadError>,
    ) -> Result<T, StoreError> {
        let transaction = match &self.snapshot {
            Some(snapshot) => Arc::clone(snapshot),
            None => Arc::new(
                self.database
                    .begin_read()
                    .map_err(|error| self.error(explain(&self.path, &error)))?,
            ),
        };
        read(&transaction).map_err(|error| match error {
            ReadError::Row(error) => {
                self.error(format!("is damaged: a row cannot be read: {error}"))
            }
            ReadError::Database(error) => self.error(explain(&self.path, &error)),
        })
    }
}

enum ReadError {
    Database(redb::Error),
    Row(serde_json::Error),
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    serde_json::from_slice(bytes).map_err(ReadError::Row)
}

/// A row among many: one that is damaged must not hide the others.
fn readable<T: DeserializeOwned>(arn: &str, bytes: &[u8]) -> Option<T> {
    let row = serde_json::from_slice(bytes);
    row.inspect_err(|error| tracing::error!(arn, %error, "a stored row is left out"))
        .ok()
}
