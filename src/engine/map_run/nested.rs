//! Map Runs that children start: a Distributed Map inside a Distributed Map.
//!
//! A child has no row of its own in the store; what it is owed follows from its recorded inputs. So
//! a Map Run that a crash left without a row is made again from the same step. What is asked of
//! nested Map Runs is done in its order by one task at a time beside the driver, which must never
//! wait for them: they report to its inbox.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::handle::Handle;
use crate::engine::disk::RETRY;
use crate::engine::machine::{Failure, Input, MapRunPlan};
use crate::engine::runner::Runner;
use crate::engine::store::{Batch, MapRunRow, Owner, StoreError};

/// What a child asks of a Map Run of its own.
pub(super) enum Asked {
    Start {
        child: u32,
        plan: Box<MapRunPlan>,
        /// More than 0 only after a crash.
        redrives: u32,
    },
    Follow {
        child: u32,
        arn: String,
        redrives: u32,
    },
    Stop {
        arn: String,
    },
}

#[derive(Default)]
pub(super) struct Nested {
    waiting: Vec<Asked>,
    busy: Option<oneshot::Receiver<()>>,
}

impl Nested {
    pub fn ask(&mut self, asked: Asked) {
        self.waiting.push(asked);
    }

    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.busy.is_none()
    }

    /// Begins what waits, unless something is being done.
    pub fn go_on(&mut self, runner: &Runner, handle: &Arc<Handle>) {
        if self.busy.is_some() || self.waiting.is_empty() {
            return;
        }
        let asked = std::mem::take(&mut self.waiting);
        let (done, busy) = oneshot::channel();
        let task = perform(runner.clone(), Arc::clone(handle), asked);
        runner.track(async move {
            task.await;
            // The driver is gone only when the engine stops.
            let _ = done.send(());
        });
        self.busy = Some(busy);
    }

    /// Resolves when what is being done is done; never when nothing is.
    pub async fn done(&mut self) {
        match &mut self.busy {
            // An error says that the engine stops.
            Some(busy) => drop(busy.await),
            None => std::future::pending().await,
        }
        self.busy = None;
    }
}

/// Rows first, all in one commit; then the Map Runs, one after the other.
async fn perform(runner: Runner, handle: Arc<Handle>, asked: Vec<Asked>) {
    let mut blocked = None;
    loop {
        let committed = match rows(&runner, &handle, &asked) {
            Ok(batch) if batch.is_empty() => break,
            Ok(batch) => runner.store().commit(batch).await,
            Err(error) => Err(error),
        };
        let Err(error) = committed else { break };
        tracing::error!(%error, "a nested Map Run cannot be begun; trying again");
        blocked.get_or_insert_with(|| runner.blocked().begin(&error));
        tokio::select! {
            () = runner.stopping() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    drop(blocked);
    for asked in asked {
        let (child, arn, redrives) = match asked {
            Asked::Start {
                child,
                plan,
                redrives,
            } => (child, plan.arn, redrives),
            Asked::Follow {
                child,
                arn,
                redrives,
            } => (child, arn, redrives),
            Asked::Stop { arn } => {
                match runner.map_run(&arn).await {
                    Ok(Some(nested)) => nested.stop(&runner).await,
                    // It was never begun.
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "a nested Map Run cannot be stopped"),
                }
                continue;
            }
        };
        let Err(problem) = runner.follow_map_run(&arn, redrives).await else {
            continue;
        };
        tracing::error!(arn, problem, "a nested Map Run cannot go on");
        let ended = Input::MapRunEnded {
            arn,
            redrives,
            result: Err(Failure::new("States.Runtime", problem)),
        };
        handle.tell_child(child, ended).await;
    }
}

/// New rows, and those that a redrive opens again.
fn rows(runner: &Runner, handle: &Handle, asked: &[Asked]) -> Result<Batch, StoreError> {
    let mut batch = Batch::default();
    for asked in asked {
        let (arn, redrives) = match asked {
            Asked::Start { plan, redrives, .. } => (&plan.arn, *redrives),
            Asked::Follow { arn, redrives, .. } => (arn, *redrives),
            Asked::Stop { .. } => continue,
        };
        match (runner.store().map_run(arn)?, asked) {
            (None, Asked::Start { child, plan, .. }) => {
                let row = MapRunRow {
                    plan: plan.as_ref().clone(),
                    execution: handle.names.arn(*child),
                    owner: Some(Owner {
                        map_run: handle.row.plan.arn.clone(),
                        child: *child,
                        root: handle.row.root().to_owned(),
                    }),
                    started: runner.now(),
                    redrives,
                    closed: None,
                };
                batch.new_map_run(row, runner.sequence());
            }
            (Some(row), _) => {
                let is_allowed = redrives <= runner.quotas().map_run_redrives;
                if is_allowed && row.redrives < redrives {
                    batch.map_run(MapRunRow {
                        redrives,
                        closed: None,
                        ..row
                    });
                }
            }
            (None, _) => {}
        }
    }
    Ok(batch)
}
