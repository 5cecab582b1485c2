//! Plans in files: what one person has looked at, another can carry out.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::Client;
use crate::model::{ExecutionArn, Prices, Timestamp};
use crate::operations::ledger::{self, Attempt, GroupCount, Ledger};
use crate::operations::records::write_new;
use crate::operations::rerun::Subset;
use crate::operations::runs;
use crate::operations::{Check, Error, Verdict, merge, redrive, rerun};

/// Version of the files. Members may be added under the same one.
const VERSION: u32 = 1;
/// Groups that the ledger keeps of an attempt.
const GROUPS: usize = 50;
/// Bytes of a file; edited lines are the only large thing in a plan.
const LIMIT: u64 = 64 << 20;

/// A plan as it is in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    pub version: u32,
    pub made: Timestamp,
    pub plan: Plan,
}

/// Whatever can be planned, written down and carried out later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    Redrive(Box<redrive::Plan>),
    Rerun(Box<rerun::Plan>),
    Merge(Box<merge::Plan>),
}

impl Plan {
    /// The execution that it repairs.
    pub fn execution(&self) -> &ExecutionArn {
        match self {
            Self::Redrive(plan) => &plan.execution,
            Self::Rerun(plan) => &plan.execution,
            Self::Merge(plan) => &plan.execution,
        }
    }

    /// Items that will run, or lines that are merged.
    pub fn will_run(&self) -> u64 {
        match self {
            Self::Redrive(plan) => plan.will_run(),
            Self::Rerun(plan) => plan.items,
            Self::Merge(plan) => plan.lines,
        }
    }

    /// `Err` is the reason why it cannot be carried out.
    pub fn allowed(&self) -> Result<(), String> {
        match self {
            Self::Redrive(plan) => plan.allowed.clone()?,
            Self::Rerun(plan) => plan.allowed.clone()?,
            Self::Merge(_) => {}
        }
        let bad = self.checks().iter().find(|it| it.verdict == Verdict::Bad);
        bad.map_or(Ok(()), |check| Err(check.text.clone()))
    }

    pub fn checks(&self) -> &[Check] {
        match self {
            Self::Redrive(plan) => &plan.checks,
            Self::Rerun(plan) => &plan.checks,
            Self::Merge(plan) => &plan.checks,
        }
    }

    /// The same as a command.
    pub fn command(&self) -> String {
        match self {
            Self::Redrive(plan) => plan.command(),
            Self::Rerun(plan) => plan.command(),
            Self::Merge(plan) => plan.command(),
        }
    }

    fn note(&self) -> Option<&String> {
        match self {
            Self::Redrive(plan) => plan.note.as_ref(),
            Self::Rerun(plan) => plan.wish.note.as_ref(),
            Self::Merge(_) => None,
        }
    }

    /// Writes into the ledger what the run looks like before this is carried out: whether it helped
    /// can be told afterwards only.
    pub async fn remember(
        &self,
        client: &Client,
        state: &Path,
        at: Timestamp,
    ) -> Result<(), Error> {
        // A merge is no attempt: nothing runs.
        if matches!(self, Self::Merge(_)) {
            return Ok(());
        }
        let run = runs::describe(client, self.execution()).await?;
        let Some(map_run) = run.map_run() else {
            return Ok(());
        };
        let groups = rerun::groups(client, map_run).await?;
        let mut attempt = Attempt::of(ledger::target(client), map_run, &[], true, at);
        attempt.groups = groups
            .into_iter()
            .take(GROUPS)
            .map(|(key, count)| GroupCount {
                error: key.error,
                message: key.message,
                count,
            })
            .collect();
        attempt.note = self.note().cloned();
        Ledger::in_folder(state).record(&attempt)
    }

    /// The plan as it would be made now.
    pub async fn again(
        &self,
        client: &Client,
        now: Timestamp,
        prices: &Prices,
    ) -> Result<Anew, Error> {
        let (plan, moved, items) = match self {
            Self::Redrive(planned) => {
                let fresh = redrive::plan(client, &planned.execution, now, prices).await?;
                let moved = fresh.moved_since(planned);
                let fresh = redrive::Plan {
                    limits: planned.limits,
                    note: planned.note.clone(),
                    ..fresh
                };
                (Self::Redrive(Box::new(fresh)), moved, None)
            }
            Self::Rerun(planned) => {
                let (execution, wish) = (&planned.execution, planned.wish.clone());
                let (fresh, items) = rerun::plan(client, execution, wish, now, prices).await?;
                let moved = fresh.moved_since(planned);
                (Self::Rerun(Box::new(fresh)), moved, items)
            }
            Self::Merge(planned) => {
                let run = runs::describe(client, &planned.execution).await?;
                let fresh = merge::plan(client, &run, Some(planned.to.clone())).await?;
                let mut moved: Vec<String> = fresh.allowed().err().into_iter().collect();
                if fresh.digest != planned.digest {
                    moved.push("there are other results to merge by now".to_owned());
                }
                (Self::Merge(Box::new(fresh)), moved, None)
            }
        };
        Ok(Anew { plan, moved, items })
    }
}

/// A plan made anew.
#[derive(Debug)]
pub struct Anew {
    pub plan: Plan,
    /// What of it has changed in a way that matters.
    pub moved: Vec<String>,
    /// The chosen items of a re-run.
    pub items: Option<Subset>,
}

impl Saved {
    pub fn new(plan: Plan, made: Timestamp) -> Self {
        Self {
            version: VERSION,
            made,
            plan,
        }
    }

    /// Writes a new file that only its owner can read: a plan may hold input lines.
    ///
    /// # Errors
    /// `File`, also when there is one of that name.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut text =
            serde_json::to_string_pretty(self).map_err(|error| Error::file(path, error))?;
        text.push('\n');
        write_new(path, &text).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Error::file(path, "exists already: give another name")
            }
            _ => Error::file(path, error),
        })
    }

    /// # Errors
    /// `File` with what is wrong: no plan, a damaged one, or one of a newer fanout.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text))
            .map_err(|error| Error::file(path, error))?;
        if LIMIT < text.len() as u64 {
            return Err(Error::file(path, format!("is longer than {LIMIT} bytes")));
        }
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| Error::file(path, format!("is no plan: {error}")))?;
        match value["version"].as_u64() {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                let problem =
                    format!("is a plan of version {version}: this fanout reads {VERSION}");
                return Err(Error::file(path, problem));
            }
            None => return Err(Error::file(path, "is no plan: it has no version")),
        }
        serde_json::from_value(value)
            .map_err(|error| Error::file(path, format!("is no plan: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_in_a_file_is_a_plan_or_an_error_with_its_name(text in ".{0,200}") {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("plan.json");
            fs::write(&path, &text).expect("a disk");
            let error = Saved::read(&path).expect_err("no plan").to_string();
            prop_assert!(error.contains("plan.json"), "{}", error);
        }
    }

    #[test]
    fn a_newer_plan_is_refused_by_its_version() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plan.json");
        fs::write(&path, r#"{"version": 9, "plan": {"other": 1}}"#).expect("a disk");
        let error = Saved::read(&path).expect_err("too new").to_string();
        assert!(error.contains("version 9"), "{error}");
        fs::write(
            &path,
            r#"{"version": 1, "made": "2026-01-01T00:00:00Z", "plan": {"x": 1}}"#,
        )
        .expect("a disk");
        let error = Saved::read(&path).expect_err("unknown kind").to_string();
        assert!(error.contains("unknown variant"), "{error}");
    }
}
