//! Who changed what and when, as commands: a file that only grows.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::client;
use crate::model::Timestamp;
use crate::operations::Error;
use crate::operations::records::{JsonLines, Rows};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    /// The user of this machine, and on AWS whom the service takes them for.
    pub who: String,
    /// Label and Region of the connection.
    pub target: String,
    pub command: String,
    /// `Err` is what the service said.
    pub outcome: Result<(), String>,
}

/// The file.
#[derive(Debug, Clone)]
pub struct Trail {
    file: JsonLines,
}

impl Trail {
    /// `state` is the folder of what outlives the process.
    pub fn new(state: &Path) -> Self {
        Self {
            file: JsonLines::new(state.join("trail.jsonl")),
        }
    }

    /// Where a client tells what it changes. A disk that takes no row is logged: by then the
    /// change has been made.
    pub fn taker(&self, who: String) -> client::Trail {
        let file = self.file.clone();
        client::Trail::new(move |change| {
            let entry = Entry {
                at: Timestamp::now(),
                who: match &change.caller {
                    Some(arn) => format!("{who} as {}", of_account(arn)),
                    None => who.clone(),
                },
                target: change.target,
                command: change.command,
                outcome: change.outcome,
            };
            if let Err(error) = file.append(&entry) {
                tracing::error!(%error, "the trail cannot be kept");
            }
        })
    }

    /// The newest entries, oldest of them first.
    pub fn newest(&self, limit: usize) -> Result<Rows<Entry>, Error> {
        self.file.newest(limit)
    }
}

/// `472100009012:assumed-role/DataOps/ana` of its ARN.
fn of_account(arn: &str) -> &str {
    arn.splitn(5, ':').nth(4).unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_told_by_account_and_name() {
        let arn = "arn:aws:sts::472100009012:assumed-role/DataOps/ana";
        assert_eq!(of_account(arn), "472100009012:assumed-role/DataOps/ana");
        assert_eq!(of_account("somebody"), "somebody");
    }

    #[test]
    fn the_newest_entries_come_back_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let trail = Trail::new(folder.path());
        assert!(trail.newest(3).expect("none yet").rows.is_empty());
        let entry = |n: i64| Entry {
            at: Timestamp::from_second(n).expect("a small number"),
            who: "ada".to_owned(),
            target: "LOCAL us-east-1".to_owned(),
            command: format!("aws {n}"),
            outcome: Err("no".to_owned()),
        };
        for n in 1..=5 {
            trail.file.append(&entry(n)).expect("a disk");
        }
        assert_eq!(
            trail.newest(2).expect("readable").rows,
            [entry(4), entry(5)]
        );
    }
}
