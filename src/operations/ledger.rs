//! The ledger of attempts: what each attempt at a Map Run left, kept on this machine. AWS sets the
//! counts of failures back with every redrive and forgets what they were; the ledger answers whether
//! a redrive helped, and whether a failure was seen before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::model::{Counts, ExecutionArn, MapRun, MapRunArn, StateMachineArn, Timestamp};
use crate::operations::Error;
use crate::operations::failures::{Group, GroupKey};
use crate::operations::records::JsonLines;

/// Groups that are kept of an attempt, the largest.
const GROUPS: usize = 50;

/// What one attempt at a Map Run left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Where the execution lives, see [`target`].
    pub target: String,
    pub execution: ExecutionArn,
    pub machine: StateMachineArn,
    pub map_run: MapRunArn,
    /// 0 is the first; each redrive adds one.
    pub attempt: u32,
    /// When this was written down.
    pub at: Timestamp,
    /// Of items.
    pub counts: Counts,
    /// The largest groups of its failures.
    #[serde(default)]
    pub groups: Vec<GroupCount>,
    /// Whether `groups` count every failure of the attempt.
    #[serde(default)]
    pub exact: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A group as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCount {
    pub error: String,
    pub message: String,
    pub count: u64,
}

impl GroupCount {
    fn is(&self, key: &GroupKey) -> bool {
        (&self.error, &self.message) == (&key.error, &key.message)
    }
}

impl Attempt {
    /// The attempt that a Map Run is at, as it is now.
    pub fn of(
        target: String,
        map_run: &MapRun,
        groups: &[Group],
        exact: bool,
        at: Timestamp,
    ) -> Self {
        let counted = groups.iter().take(GROUPS).map(|group| GroupCount {
            error: group.error.clone(),
            message: group.message.clone(),
            count: group.count,
        });
        Self {
            target,
            execution: map_run.execution.clone(),
            machine: map_run.execution.state_machine(),
            map_run: map_run.arn.clone(),
            attempt: map_run.redrive_count,
            at,
            counts: map_run.items,
            groups: counted.collect(),
            exact,
            note: None,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.target, &self.map_run, self.attempt)
            == (&other.target, &other.map_run, other.attempt)
    }
}

/// What a connection leads to, as the ledger names it: ARNs of embedded engines are all alike.
pub fn target(client: &Client) -> String {
    let connection = client.connection();
    format!("{} {}", connection.label, connection.region)
}

/// What earlier runs of a machine tell of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenBefore {
    /// Other executions that had it.
    pub runs: u64,
    /// When it was written down last.
    pub last: Timestamp,
    /// When an attempt without it was written down that followed one with it, the last time.
    pub fixed_by_redrive: Option<Timestamp>,
}

/// The ledger of a state folder.
#[derive(Debug, Clone)]
pub struct Ledger {
    rows: JsonLines,
}

impl Ledger {
    pub fn in_folder(state: &Path) -> Self {
        Self {
            rows: JsonLines::new(state.join("ledger.jsonl")),
        }
    }

    /// Writes an attempt down.
    ///
    /// # Errors
    /// `File` where the ledger cannot be written.
    pub fn record(&self, attempt: &Attempt) -> Result<(), Error> {
        self.rows.append(attempt)
    }

    /// The same unless it is known exactly already.
    ///
    /// # Errors
    /// `File` where the ledger cannot be read or written.
    pub fn record_once(&self, attempt: &Attempt) -> Result<(), Error> {
        let mut is_known = false;
        self.each(|known| is_known |= known.exact && known.is_same(attempt))?;
        match is_known {
            true => Ok(()),
            false => self.record(attempt),
        }
    }

    /// The attempts of an execution, oldest first, each once: as it was known best.
    ///
    /// # Errors
    /// `File` where the ledger cannot be read.
    pub fn attempts_of(
        &self,
        target: &str,
        execution: &ExecutionArn,
    ) -> Result<Vec<Attempt>, Error> {
        let mut attempts: Vec<Attempt> = Vec::new();
        self.each(|row| {
            if row.target != target || row.execution != *execution {
                return;
            }
            match attempts.iter_mut().find(|it| it.is_same(&row)) {
                Some(known) => better(known, row),
                None => attempts.push(row),
            }
        })?;
        Ok(attempts)
    }

    /// What earlier executions of `map_run`'s machine tell of these groups, in their order.
    ///
    /// # Errors
    /// `File` where the ledger cannot be read.
    pub fn seen(
        &self,
        target: &str,
        map_run: &MapRun,
        keys: &[GroupKey],
    ) -> Result<Vec<Option<SeenBefore>>, Error> {
        let machine = map_run.execution.state_machine();
        let mut seen: Vec<Memory> = keys.iter().map(|_| Memory::default()).collect();
        self.each(|row| {
            let is_other = row.execution != map_run.execution;
            if is_other && row.target == target && row.machine == machine {
                for (memory, key) in seen.iter_mut().zip(keys) {
                    memory.take(&row, key);
                }
            }
        })?;
        Ok(seen.into_iter().map(Memory::told).collect())
    }

    fn each(&self, tell: impl FnMut(Attempt)) -> Result<(), Error> {
        self.rows.each(tell).map(|_| ())
    }
}

/// Takes in another row about the same attempt.
fn better(known: &mut Attempt, row: Attempt) {
    let note = row.note.clone().or_else(|| known.note.take());
    if row.exact || !known.exact {
        *known = row;
    }
    known.note = note;
}

/// What is gathered of one group.
#[derive(Default)]
struct Memory {
    runs: BTreeSet<ExecutionArn>,
    last: Option<Timestamp>,
    /// Map Runs whose last known attempt had it, with the attempt's number.
    open: BTreeMap<MapRunArn, u32>,
    fixed: Option<Timestamp>,
}

impl Memory {
    fn take(&mut self, row: &Attempt, key: &GroupKey) {
        if row.groups.iter().any(|it| it.is(key)) {
            self.runs.insert(row.execution.clone());
            self.last = self.last.max(Some(row.at));
            self.open.insert(row.map_run.clone(), row.attempt);
            return;
        }
        // A group may be missing because not all were read, or not all were kept.
        let is_whole = row.exact && row.groups.len() < GROUPS;
        let open = self.open.get(&row.map_run);
        if is_whole && open.is_some_and(|attempt| *attempt < row.attempt) {
            self.open.remove(&row.map_run);
            self.fixed = self.fixed.max(Some(row.at));
        }
    }

    fn told(self) -> Option<SeenBefore> {
        Some(SeenBefore {
            runs: self.runs.len() as u64,
            last: self.last?,
            fixed_by_redrive: self.fixed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "LOCAL us-east-1";

    fn attempt(run: &str, number: u32, at: i64, groups: &[&str]) -> Attempt {
        Attempt {
            target: TARGET.to_owned(),
            execution: ExecutionArn::new(format!("arn:aws:states:r:0:execution:SM:{run}")),
            machine: StateMachineArn::new("arn:aws:states:r:0:stateMachine:SM"),
            map_run: MapRunArn::new(format!("arn:aws:states:r:0:mapRun:SM/L:{run}")),
            attempt: number,
            at: Timestamp::from_second(at).unwrap(),
            counts: Counts::default(),
            groups: groups
                .iter()
                .map(|error| GroupCount {
                    error: (*error).to_owned(),
                    message: "m".to_owned(),
                    count: 1,
                })
                .collect(),
            exact: true,
            note: None,
        }
    }

    fn key(error: &str) -> GroupKey {
        GroupKey {
            error: error.to_owned(),
            message: "m".to_owned(),
        }
    }

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::in_folder(folder.path());
        (folder, ledger)
    }

    #[test]
    fn an_attempt_is_written_once_and_its_note_survives() {
        let (_folder, ledger) = ledger();
        let mut sampled = attempt("a", 0, 1, &["E"]);
        sampled.exact = false;
        sampled.note = Some("before the redrive".to_owned());
        ledger.record(&sampled).unwrap();
        let exact = attempt("a", 0, 2, &["E", "F"]);
        ledger.record_once(&exact).unwrap();
        ledger.record_once(&attempt("a", 0, 3, &["G"])).unwrap();
        ledger.record_once(&attempt("a", 1, 4, &[])).unwrap();
        let known = ledger.attempts_of(TARGET, &exact.execution).unwrap();
        assert_eq!(known.len(), 2);
        assert_eq!((known[0].exact, known[0].groups.len()), (true, 2));
        assert_eq!(known[0].note, sampled.note);
        let elsewhere = ledger.attempts_of("prod", &exact.execution).unwrap();
        assert!(elsewhere.is_empty());
    }

    #[test]
    fn a_group_was_seen_before_in_other_runs_and_fixed_by_a_redrive() {
        let (_folder, ledger) = ledger();
        for row in [
            attempt("a", 0, 10, &["E", "F"]),
            attempt("a", 1, 20, &["F"]),
            attempt("b", 0, 30, &["E"]),
            attempt("now", 0, 40, &["E", "N"]),
        ] {
            ledger.record(&row).unwrap();
        }
        let now = attempt("now", 0, 40, &[]);
        let mut map_run =
            crate::operations::runs::tests::map_run("now", crate::model::Status::Failed, 1);
        map_run.execution = now.execution;
        let keys = [key("E"), key("F"), key("N")];
        let seen = ledger.seen(TARGET, &map_run, &keys).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let known = seen[0].clone().unwrap();
        assert_eq!((known.runs, known.last), (2, at(30)));
        assert_eq!(known.fixed_by_redrive, Some(at(20)));
        let known = seen[1].clone().unwrap();
        assert_eq!((known.runs, known.fixed_by_redrive), (1, None));
        assert_eq!(seen[2], None);
    }
}
