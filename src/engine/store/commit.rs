//! What is written, and the one thread that writes it: whatever has come together becomes visible
//! and durable at once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use redb::ReadableTable;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::past::{Past, locked};
use super::{
    ACTIVITIES, ActivityRow, BY_MACHINE, DEFINITIONS, EXECUTIONS, ExecutionRow, ExecutionStatus,
    HISTORY, MACHINES, MAP_RUNS, MAP_RUNS_OF, MapRunRow, OPEN_MAP_RUNS, RUNNING, StoreError,
    decode,
};
use crate::engine::disk::{Database, explain};
use crate::engine::state_machines::MachineRow;

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

pub(super) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("rows have string keys and no failing serializers")
}

pub(super) struct Waiting {
    pub(super) batch: Batch,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

pub(super) struct Committer {
    pub(super) database: Arc<Database>,
    pub(super) path: Arc<PathBuf>,
    pub(super) past: Arc<Mutex<Option<Past>>>,
}

impl Committer {
    pub(super) fn run(self, mut waiting: mpsc::Receiver<Waiting>) {
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
