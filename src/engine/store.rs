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

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::disk::{Database, Disk, explain};
use super::machine::{Execution, Identity, MapRunPlan};
use super::runner::Clock;
use super::state_machines::{MachineRow, Revision};

mod layout;
#[cfg(test)]
mod tests;

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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityRow {
    pub arn: String,
    pub name: String,
    /// Milliseconds since 1970.
    pub created: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionStatus {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Aborted,
}

impl ExecutionStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionRow {
    pub identity: Identity,
    /// Key into `definitions`: an execution keeps its definition for life, across redrives.
    pub revision: String,
    /// Orders executions that started in the same millisecond.
    pub sequence: u64,
    /// As it was given.
    pub input: Arc<Value>,
    pub status: ExecutionStatus,
    pub stopped: Option<i64>,
    /// A row keeps `null` as nothing: see [`ExecutionRow::output`].
    pub output: Option<Value>,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub redriven: Option<i64>,
    /// The last client tokens of RedriveExecution with what was answered.
    pub redrive_tokens: Vec<(String, i64)>,
    /// The Task that started it.
    #[serde(default)]
    pub nested_in: Option<Origin>,
    #[serde(default)]
    pub provenance: Provenance,
    pub execution: Execution,
}

/// The Task that starts an execution from inside another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// ARN of the Task's execution.
    pub execution: String,
    pub attempt: u64,
    /// `.sync`: the Task waits for the end, and takes what it has started along with its own.
    #[serde(default)]
    pub is_job: bool,
}

/// How an execution was started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// ARN of the version that runs, where one was named by the caller or chosen by an alias.
    pub version: Option<String>,
    /// ARN.
    pub alias: Option<String>,
    pub trace: Option<String>,
    /// The input's text, where that is not `input` written as short as can be.
    pub input: Option<String>,
    /// What the state machine was; `None` in rows of older programs.
    pub revision: Option<Revision>,
    /// An Express execution keeps no history, and nothing at all once it has ended.
    pub express: bool,
}

impl ExecutionRow {
    /// The input as the caller wrote it.
    pub fn input_text(&self) -> String {
        let text = self.provenance.input.clone();
        text.unwrap_or_else(|| self.input.to_string())
    }

    /// What a successful execution gave.
    pub fn output(&self) -> Option<&Value> {
        let succeeded = self.status == ExecutionStatus::Succeeded;
        succeeded.then(|| self.output.as_ref().unwrap_or(&Value::Null))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapRunRow {
    pub plan: MapRunPlan,
    /// ARN of the execution that owns it.
    pub execution: String,
    /// Where that execution is, if it is a Map Run's child.
    #[serde(default)]
    pub owner: Option<Owner>,
    pub started: i64,
    /// Redrives that were asked for so far.
    #[serde(default)]
    pub redrives: u32,
    /// `DescribeMapRun` as it was when the Map Run closed; `None` while it is open. Spares
    /// listings the replay of logs.
    pub closed: Option<Value>,
}

impl MapRunRow {
    /// ARN of the execution that is nobody's child, in which everything began.
    pub fn root(&self) -> &str {
        match &self.owner {
            Some(owner) => &owner.root,
            None => &self.execution,
        }
    }
}

/// The child that owns a nested Map Run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// ARN of the Map Run whose child it is.
    pub map_run: String,
    pub child: u32,
    /// See [`MapRunRow::root`].
    pub root: String,
}

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

/// Writes that become visible together.
#[derive(Debug, Default)]
pub struct Batch {
    writes: Vec<Write>,
}

#[derive(Debug)]
enum Write {
    Machine(Box<MachineRow>),
    Activity(ActivityRow),
    NoActivity(String),
    Definition {
        revision: String,
        text: String,
    },
    NewExecution {
        machine: String,
        started: i64,
        sequence: u64,
        arn: String,
    },
    Execution {
        arn: String,
        row: Vec<u8>,
        is_running: bool,
    },
    Event {
        arn: String,
        id: u64,
        event: Vec<u8>,
    },
    MapRun {
        row: Box<MapRunRow>,
        sequence: Option<u64>,
    },
    ForgetMachine {
        arn: String,
    },
    ForgetExecution {
        machine: String,
        started: i64,
        sequence: u64,
        arn: String,
    },
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub fn machine(&mut self, row: MachineRow) {
        self.writes.push(Write::Machine(Box::new(row)));
    }

    pub fn activity(&mut self, row: ActivityRow) {
        self.writes.push(Write::Activity(row));
    }

    pub fn no_activity(&mut self, arn: &str) {
        self.writes.push(Write::NoActivity(arn.to_owned()));
    }

    pub fn definition(&mut self, revision: &str, text: &str) {
        self.writes.push(Write::Definition {
            revision: revision.to_owned(),
            text: text.to_owned(),
        });
    }

    /// Executions stay: they can be described as long as they are kept.
    pub fn forget_machine(&mut self, arn: &str) {
        self.writes.push(Write::ForgetMachine {
            arn: arn.to_owned(),
        });
    }

    /// Forgets an execution with its history and its Map Runs.
    pub fn forget_execution(&mut self, row: &ExecutionRow) {
        self.writes.push(Write::ForgetExecution {
            machine: row.identity.machine_id.clone(),
            started: row.identity.started,
            sequence: row.sequence,
            arn: row.identity.id.clone(),
        });
    }

    /// Lists the execution under its state machine; [`Batch::execution`] writes it.
    pub fn new_execution(&mut self, row: &ExecutionRow) {
        self.writes.push(Write::NewExecution {
            machine: row.identity.machine_id.clone(),
            started: row.identity.started,
            sequence: row.sequence,
            arn: row.identity.id.clone(),
        });
    }

    pub fn execution(&mut self, row: &ExecutionRow) {
        let arn = row.identity.id.clone();
        self.writes.push(Write::Execution {
            arn,
            row: to_json(row),
            is_running: row.status == ExecutionStatus::Running,
        });
    }

    pub fn event(&mut self, arn: &str, id: u64, event: &Value) {
        self.writes.push(Write::Event {
            arn: arn.to_owned(),
            id,
            event: to_json(event),
        });
    }

    /// `sequence` orders the Map Runs of one execution.
    pub fn new_map_run(&mut self, row: MapRunRow, sequence: u64) {
        self.writes.push(Write::MapRun {
            row: Box::new(row),
            sequence: Some(sequence),
        });
    }

    pub fn map_run(&mut self, row: MapRunRow) {
        self.writes.push(Write::MapRun {
            row: Box::new(row),
            sequence: None,
        });
    }
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("rows have string keys and no failing serializers")
}

struct Waiting {
    batch: Batch,
    done: oneshot::Sender<Result<(), StoreError>>,
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

/// What the store was, for answers that are old.
struct Past {
    clock: Arc<Clock>,
    /// Milliseconds.
    delay: i64,
    /// Oldest first, with the time from which on it was so.
    snapshots: VecDeque<(i64, Arc<redb::ReadTransaction>)>,
}

impl Past {
    fn add(&mut self, database: &Database) -> Result<(), redb::Error> {
        let now = self.clock.now();
        let snapshot = Arc::new(database.begin_read()?);
        self.snapshots.push_back((now, snapshot));
        // The oldest that is still shown is the last one before that time.
        while self
            .snapshots
            .get(1)
            .is_some_and(|(since, _)| *since <= now - self.delay)
        {
            self.snapshots.pop_front();
        }
        Ok(())
    }

    fn shown(&self) -> Option<Arc<redb::ReadTransaction>> {
        let until = self.clock.now() - self.delay;
        let mut snapshots = self.snapshots.iter().rev();
        let shown = snapshots.find(|(since, _)| *since <= until);
        let shown = shown.or(self.snapshots.front());
        shown.map(|(_, snapshot)| Arc::clone(snapshot))
    }
}

fn locked(past: &Mutex<Option<Past>>) -> MutexGuard<'_, Option<Past>> {
    // Nothing that panics runs under this lock.
    past.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut past = Past {
            clock: Arc::clone(clock),
            delay: i64::try_from(delay.as_millis()).unwrap_or(i64::MAX),
            snapshots: VecDeque::new(),
        };
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

struct Committer {
    database: Arc<Database>,
    path: Arc<PathBuf>,
    past: Arc<Mutex<Option<Past>>>,
}

impl Committer {
    fn run(self, mut waiting: mpsc::Receiver<Waiting>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = vec![first];
            while let Ok(next) = waiting.try_recv() {
                group.push(next);
            }
            let result = self.commit(&group).map_err(|error| {
                let problem = explain(&self.path, &error);
                StoreError::of(&self.path, &format!("cannot be written: {problem}"))
            });
            for waiting in group {
                // A writer that no longer waits was cancelled; its batch is committed all the same.
                let _ = waiting.done.send(result.clone());
            }
        }
    }

    fn commit(&self, group: &[Waiting]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut machines = transaction.open_table(MACHINES)?;
            let mut activities = transaction.open_table(ACTIVITIES)?;
            let mut definitions = transaction.open_table(DEFINITIONS)?;
            let mut executions = transaction.open_table(EXECUTIONS)?;
            let mut by_machine = transaction.open_table(BY_MACHINE)?;
            let mut history = transaction.open_table(HISTORY)?;
            let mut map_runs = transaction.open_table(MAP_RUNS)?;
            let mut map_runs_of = transaction.open_table(MAP_RUNS_OF)?;
            let mut running = transaction.open_table(RUNNING)?;
            let mut open_map_runs = transaction.open_table(OPEN_MAP_RUNS)?;
            for write in group.iter().flat_map(|waiting| &waiting.batch.writes) {
                match write {
                    Write::Machine(row) => {
                        machines.insert(row.arn.as_str(), to_json(row).as_slice())?;
                    }
                    Write::Activity(row) => {
                        activities.insert(row.arn.as_str(), to_json(row).as_slice())?;
                    }
                    Write::NoActivity(arn) => {
                        activities.remove(arn.as_str())?;
                    }
                    Write::ForgetMachine { arn } => {
                        machines.remove(arn.as_str())?;
                    }
                    Write::ForgetExecution {
                        machine,
                        started,
                        sequence,
                        arn,
                    } => {
                        let arn = arn.as_str();
                        executions.remove(arn)?;
                        mark(&mut running, arn, false)?;
                        by_machine.remove((machine.as_str(), *started, *sequence))?;
                        history.retain_in((arn, 0)..=(arn, u64::MAX), |_, _| false)?;
                        let runs = (arn, 0)..=(arn, u64::MAX);
                        for run in map_runs_of.extract_from_if(runs, |_, _| true)? {
                            let run = run?.1;
                            map_runs.remove(run.value())?;
                            mark(&mut open_map_runs, run.value(), false)?;
                        }
                    }
                    Write::Definition { revision, text } => {
                        definitions.insert(revision.as_str(), text.as_str())?;
                    }
                    Write::NewExecution {
                        machine,
                        started,
                        sequence,
                        arn,
                    } => {
                        by_machine.insert((machine.as_str(), *started, *sequence), arn.as_str())?;
                    }
                    Write::Execution {
                        arn,
                        row,
                        is_running,
                    } => {
                        executions.insert(arn.as_str(), row.as_slice())?;
                        mark(&mut running, arn, *is_running)?;
                    }
                    Write::Event { arn, id, event } => {
                        history.insert((arn.as_str(), *id), event.as_slice())?;
                    }
                    Write::MapRun { row, sequence } => {
                        if is_outdated(&map_runs, row)? {
                            continue;
                        }
                        map_runs.insert(row.plan.arn.as_str(), to_json(row).as_slice())?;
                        mark(&mut open_map_runs, &row.plan.arn, row.closed.is_none())?;
                        if let Some(sequence) = sequence {
                            map_runs_of.insert(
                                (row.execution.as_str(), *sequence),
                                row.plan.arn.as_str(),
                            )?;
                        }
                    }
                }
            }
        }
        transaction.commit()?;
        if let Some(past) = locked(&self.past).as_mut() {
            past.add(&self.database)?;
        }
        Ok(())
    }
}

/// Lists the key, or takes it off the list.
fn mark(list: &mut redb::Table<&str, ()>, key: &str, is_listed: bool) -> Result<(), redb::Error> {
    if is_listed {
        list.insert(key, ())?;
    } else {
        list.remove(key)?;
    }
    Ok(())
}

/// Whether a row tells of the end of a round although a later one was asked for meanwhile.
fn is_outdated(map_runs: &redb::Table<&str, &[u8]>, row: &MapRunRow) -> Result<bool, redb::Error> {
    if row.closed.is_none() {
        return Ok(false);
    }
    let known = map_runs.get(row.plan.arn.as_str())?;
    // One that cannot be read is told of where it is read.
    let known = known.and_then(|known| decode::<MapRunRow>(known.value()).ok());
    Ok(known.is_some_and(|known| known.redrives > row.redrives))
}
