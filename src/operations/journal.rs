//! Journals of operations that change several things, or one thing in several steps: what was
//! planned, sent, accepted and refused, item by item, so that a crash or a closed laptop loses
//! nothing and doubles nothing.
//!
//! Each item keeps what makes sending it twice harmless: a redrive its client token and the count of
//! redrives before it, a re-run its derived name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::{Client, ErrorKind};
use crate::model::{ExecutionArn, Prices, Timestamp};
use crate::operations::merge::Merged;
use crate::operations::plan::Plan;
use crate::operations::records::JsonLines;
use crate::operations::rerun::Subset;
use crate::operations::runs::is_absent;
use crate::operations::{Error, Progress, ledger, merge, redrive, rerun};

/// Folder of journals, in that of what outlives the process.
const FOLDER: &str = "journal";

/// A line of a journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "lowercase")]
enum Row {
    Begun {
        at: Timestamp,
        /// The same as a command.
        what: String,
        /// Label and Region of the connection.
        target: String,
    },
    Planned {
        item: usize,
        plan: Box<Plan>,
        token: String,
    },
    Sent {
        item: usize,
        at: Timestamp,
    },
    Accepted {
        item: usize,
        at: Timestamp,
        execution: ExecutionArn,
    },
    Refused {
        item: usize,
        at: Timestamp,
        problem: String,
    },
    /// All items are planned: what is missing before this line was never agreed to.
    Complete,
    /// Nobody wants the rest any more.
    Forgotten {
        at: Timestamp,
    },
}

/// How far an item is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Planned,
    /// Perhaps taken in by the service, perhaps not.
    Sent,
    Accepted {
        at: Timestamp,
        /// What runs.
        execution: ExecutionArn,
    },
    Refused(String),
}

/// A part of an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub plan: Plan,
    token: String,
    pub stage: Stage,
}

/// What is to be done again, as long as the process lives, while something fails again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// At most so often.
    pub times: u32,
    /// Before each time.
    pub pause: Duration,
}

/// An operation with something left to do, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interrupted {
    pub operation: String,
    pub at: Timestamp,
    /// The same as a command.
    pub what: String,
    pub target: String,
    pub items: usize,
    pub left: usize,
}

/// An operation with its journal.
#[derive(Debug)]
pub struct Operation {
    /// What `resume` calls it.
    pub name: String,
    pub at: Timestamp,
    pub what: String,
    pub target: String,
    pub items: Vec<Item>,
    /// What its merges have written or found, since it was begun or read.
    pub merged: Vec<Merged>,
    /// The chosen items of re-runs that were planned just now.
    gathered: BTreeMap<usize, Subset>,
    is_complete: bool,
    is_forgotten: bool,
    /// Read from its journal: the world may have moved since.
    is_resumed: bool,
    /// `None` keeps no journal.
    file: Option<JsonLines>,
}

impl Operation {
    /// Writes down what is to be done, before any of it is. Without a `state` folder nothing is
    /// written.
    pub fn begin(
        state: Option<&Path>,
        client: &Client,
        plans: Vec<(Plan, Option<Subset>)>,
        at: Timestamp,
    ) -> Result<Self, Error> {
        let (plans, gathered): (Vec<Plan>, Vec<Option<Subset>>) = plans.into_iter().unzip();
        let gathered = gathered.into_iter().enumerate();
        let gathered = gathered.filter_map(|(item, subset)| Some((item, subset?)));
        let random = redrive::token();
        let name = format!("{}-{}", at.strftime("%Y%m%d-%H%M%S"), &random[..4]);
        let what = match plans.as_slice() {
            [plan] => plan.command(),
            [first, rest @ ..] => format!("{} # and {} more", first.command(), rest.len()),
            [] => String::new(),
        };
        let items = plans.into_iter().map(|plan| Item {
            plan,
            token: redrive::token(),
            stage: Stage::Planned,
        });
        let operation = Self {
            file: state.map(|state| file(state, &name)),
            name,
            at,
            what,
            target: ledger::target(client),
            items: items.collect(),
            merged: Vec::new(),
            gathered: gathered.collect(),
            is_complete: true,
            is_forgotten: false,
            is_resumed: false,
        };
        let (what, target) = (operation.what.clone(), operation.target.clone());
        operation.write(&Row::Begun { at, what, target })?;
        for (item, planned) in operation.items.iter().enumerate() {
            operation.write(&Row::Planned {
                item,
                plan: Box::new(planned.plan.clone()),
                token: planned.token.clone(),
            })?;
        }
        operation.write(&Row::Complete)?;
        Ok(operation)
    }

    /// Reads a journal.
    ///
    /// # Errors
    /// `Refused` when there is none of that name.
    pub fn read(state: &Path, name: &str) -> Result<Self, Error> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let file = file(state, name);
        let rows = match name.chars().all(is_name) {
            true => file.read::<Row>()?.rows,
            false => Vec::new(),
        };
        let mut rows = rows.into_iter();
        let Some(Row::Begun { at, what, target }) = rows.next() else {
            return Err(Error::Refused(format!(
                "there is no operation {name}: see `fanout resume`"
            )));
        };
        let mut operation = Self {
            name: name.to_owned(),
            at,
            what,
            target,
            items: Vec::new(),
            merged: Vec::new(),
            gathered: BTreeMap::new(),
            is_complete: false,
            is_forgotten: false,
            is_resumed: true,
            file: Some(file),
        };
        rows.for_each(|row| operation.take(row));
        Ok(operation)
    }

    /// Operations with something left to do, the newest first.
    pub fn unfinished(state: &Path) -> Result<Vec<Self>, Error> {
        let folder = state.join(FOLDER);
        let mut names: Vec<String> = match std::fs::read_dir(&folder) {
            Ok(entries) => entries
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter_map(|name| Some(name.strip_suffix(".jsonl")?.to_owned()))
                .collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::file(&folder, error)),
        };
        names.sort_unstable_by(|one, other| other.cmp(one));
        let read = names.iter().filter_map(|name| Self::read(state, name).ok());
        Ok(read.filter(Self::is_unfinished).collect())
    }

    /// Items that are neither accepted nor refused.
    pub fn left(&self) -> usize {
        let open = |item: &&Item| matches!(item.stage, Stage::Planned | Stage::Sent);
        self.items.iter().filter(open).count()
    }

    pub fn is_unfinished(&self) -> bool {
        self.is_complete && !self.is_forgotten && 0 < self.left()
    }

    /// What runs because of it.
    pub fn executions(&self) -> Vec<ExecutionArn> {
        let started = self.items.iter().filter_map(|item| match &item.stage {
            Stage::Accepted { execution, .. } => Some(execution.clone()),
            _ => None,
        });
        started.collect()
    }

    /// Nothing of it is to be done any more.
    pub fn forget(&mut self, at: Timestamp) -> Result<(), Error> {
        self.is_forgotten = true;
        self.write(&Row::Forgotten { at })
    }

    /// Does what is left, item by item. `tell` hears of each that is settled; what the service or
    /// the network could not take now stays open for a later `resume`.
    ///
    /// # Errors
    /// The first such failure, and a journal that cannot be written: nothing is sent then.
    pub async fn carry_out(
        &mut self,
        client: &Client,
        state: Option<&Path>,
        prices: &Prices,
        progress: impl Fn(Progress) + Send + Sync + 'static,
        mut tell: impl FnMut(&Item) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let progress = Arc::new(progress);
        for number in 0..self.items.len() {
            let item = self.items[number].clone();
            let stage = match item.stage {
                Stage::Accepted { .. } | Stage::Refused(_) => continue,
                // Whether it went out is not known: ask for what it would have changed.
                Stage::Sent => match taken_in(client, &item.plan).await? {
                    Some(execution) => Stage::Accepted {
                        at: Timestamp::now(),
                        execution,
                    },
                    None => self.send(client, state, prices, number, &progress).await?,
                },
                Stage::Planned => self.send(client, state, prices, number, &progress).await?,
            };
            self.settle(number, stage)?;
            tell(&self.items[number])?;
        }
        Ok(())
    }

    /// The same once more, for those of its executions, which have all ended, that left something.
    ///
    /// # Errors
    /// What planning answers.
    pub async fn again(
        &self,
        client: &Client,
        prices: &Prices,
    ) -> Result<Vec<(Plan, Option<Subset>)>, Error> {
        let mut plans = Vec::new();
        for item in &self.items {
            let Stage::Accepted { execution, .. } = &item.stage else {
                continue;
            };
            let (plan, items) = match &item.plan {
                Plan::Redrive(before) => {
                    let now = Timestamp::now();
                    let fresh = redrive::plan(client, execution, now, prices).await?;
                    let fresh = redrive::Plan {
                        limits: before.limits,
                        note: before.note.clone(),
                        ..fresh
                    };
                    (Plan::Redrive(Box::new(fresh)), None)
                }
                // It has been merged; there is nothing to repeat.
                Plan::Merge(_) => continue,
                Plan::Rerun(before) => {
                    let (plan, items) = rerun::next(client, execution, before, prices).await?;
                    (Plan::Rerun(Box::new(plan)), items)
                }
            };
            if plan.allowed().is_ok() {
                plans.push((plan, items));
            }
        }
        Ok(plans)
    }

    pub fn in_short(&self) -> Interrupted {
        Interrupted {
            operation: self.name.clone(),
            at: self.at,
            what: self.what.clone(),
            target: self.target.clone(),
            items: self.items.len(),
            left: self.left(),
        }
    }

    async fn send(
        &mut self,
        client: &Client,
        state: Option<&Path>,
        prices: &Prices,
        number: usize,
        progress: &Arc<impl Fn(Progress) + Send + Sync + 'static>,
    ) -> Result<Stage, Error> {
        let mut gathered = self.gathered.remove(&number);
        let Item { plan, token, .. } = &self.items[number];
        // What a merge has left is compared by the merge itself.
        let is_merge = matches!(plan, Plan::Merge(_));
        let mut merged = None;
        let wants_items = matches!(plan, Plan::Rerun(plan) if !plan.wish.everything);
        if !is_merge && (self.is_resumed || wants_items && gathered.is_none()) {
            let anew = plan.again(client, Timestamp::now(), prices).await?;
            if self.is_resumed && !anew.moved.is_empty() {
                let moved = anew.moved.join("; ");
                return Ok(Stage::Refused(format!("no longer fits: {moved}")));
            }
            if let Plan::Rerun(fresh) = anew.plan
                && let Err(reason) = fresh.allowed
            {
                return Ok(Stage::Refused(reason));
            }
            gathered = anew.items;
        }
        if let Some(state) = state {
            // Whether it helped can only be told from what was there before.
            if let Err(error) = plan.remember(client, state, Timestamp::now()).await {
                tracing::warn!(%error, "the attempt is not in the ledger");
            }
        }
        let at = Timestamp::now();
        let done = match plan {
            Plan::Redrive(plan) => {
                self.write(&Row::Sent { item: number, at })?;
                let done = redrive::run(client, plan, token).await;
                done.map(|at| (at, plan.execution.clone()))
            }
            Plan::Rerun(plan) => {
                self.write(&Row::Sent { item: number, at })?;
                let done = rerun::run(client, plan, gathered.as_mut(), &**progress).await;
                done.map(|execution| (at, execution))
            }
            Plan::Merge(plan) => {
                self.write(&Row::Sent { item: number, at })?;
                let told = Arc::clone(progress);
                let told = move |progress| told(progress);
                let done = match self.is_resumed {
                    true => merge::resume(client, plan, told).await,
                    false => merge::run(client, plan, told).await,
                };
                done.map(|made| {
                    merged = Some(made);
                    (at, plan.execution.clone())
                })
            }
        };
        self.merged.extend(merged);
        match done {
            Ok((at, execution)) => Ok(Stage::Accepted { at, execution }),
            Err(error) if is_passing(&error) => Err(error),
            Err(error) => Ok(Stage::Refused(error.to_string())),
        }
    }

    fn settle(&mut self, item: usize, stage: Stage) -> Result<(), Error> {
        match &stage {
            Stage::Accepted { at, execution } => self.write(&Row::Accepted {
                item,
                at: *at,
                execution: execution.clone(),
            })?,
            Stage::Refused(problem) => self.write(&Row::Refused {
                item,
                at: Timestamp::now(),
                problem: problem.clone(),
            })?,
            Stage::Planned | Stage::Sent => {}
        }
        self.items[item].stage = stage;
        Ok(())
    }

    fn write(&self, row: &Row) -> Result<(), Error> {
        self.file.as_ref().map_or(Ok(()), |file| file.append(row))
    }

    fn take(&mut self, row: Row) {
        let (item, stage) = match row {
            Row::Planned { plan, token, .. } => {
                self.items.push(Item {
                    plan: *plan,
                    token,
                    stage: Stage::Planned,
                });
                return;
            }
            Row::Complete => return self.is_complete = true,
            Row::Forgotten { .. } => return self.is_forgotten = true,
            Row::Begun { .. } => return,
            Row::Sent { item, .. } => (item, Stage::Sent),
            Row::Accepted {
                item,
                at,
                execution,
            } => (item, Stage::Accepted { at, execution }),
            Row::Refused { item, problem, .. } => (item, Stage::Refused(problem)),
        };
        if let Some(known) = self.items.get_mut(item) {
            known.stage = stage;
        }
    }
}

/// What was interrupted at this target, the newest first.
///
/// # Errors
/// `File` where the folder of journals cannot be read.
pub fn interrupted(state: &Path, target: &str) -> Result<Vec<Interrupted>, Error> {
    let all = Operation::unfinished(state)?;
    let here = all.iter().filter(|it| it.target == target);
    Ok(here.map(Operation::in_short).collect())
}

fn file(state: &Path, name: &str) -> JsonLines {
    JsonLines::new(state.join(FOLDER).join(format!("{name}.jsonl")))
}

/// Whether trying again later may help.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Client(error) => matches!(
            error.kind,
            ErrorKind::Throttled(_)
                | ErrorKind::Unreachable(_)
                | ErrorKind::Service(_)
                | ErrorKind::SignIn(_)
        ),
        _ => false,
    }
}

/// Whether the service has taken in what was sent, by what it changed.
async fn taken_in(client: &Client, plan: &Plan) -> Result<Option<ExecutionArn>, Error> {
    match plan {
        Plan::Redrive(plan) => {
            let now = client.execution(&plan.execution).await?.execution;
            let is_taken = plan.redrives_so_far < now.redrive_count;
            Ok(is_taken.then(|| plan.execution.clone()))
        }
        // Its name tells the items, so whoever has the name is it.
        Plan::Rerun(plan) => match client.execution(&plan.target()).await {
            Ok(detail) => Ok(Some(detail.execution.arn)),
            Err(error) if is_absent(&error.kind) => Ok(None),
            Err(error) => Err(error.into()),
        },
        // Merging again writes the same, once.
        Plan::Merge(_) => Ok(None),
    }
}
