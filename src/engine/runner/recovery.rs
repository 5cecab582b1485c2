//! What a restart goes on with.

use futures::StreamExt;

use super::Runner;
use super::actor::{Actor, Keep, machine_of};
use crate::engine::machine;
use crate::engine::map_run::ChildStatus;
use crate::engine::store::{ExecutionStatus, MapRunRow, Origin, StoreError};

/// Logs of Map Runs that are read at once.
const OPENED: usize = 4;

impl Runner {
    /// Goes on with everything that was under way when the store was last written.
    pub async fn recover(&self) -> Result<(), StoreError> {
        // All of them can be found before the first one acts: it may wait for another one.
        let mut actors = Vec::new();
        let mut jobs = Vec::new();
        for row in self.0.store.running()? {
            let definition = match self.definition(&row.revision) {
                Ok(definition) => definition,
                // One damaged definition must not keep the others from going on.
                Err(error) => {
                    tracing::error!(arn = row.identity.id, %error, "an execution cannot go on");
                    continue;
                }
            };
            if let Some(origin) = row.nested_in.as_ref().filter(|origin| origin.is_job) {
                jobs.push((row.identity.id.clone(), origin.clone()));
            }
            let owed = match row.provenance.express {
                // Nothing but its start is kept: it starts again.
                true => None,
                false => Some(machine::owed(
                    &machine_of(&row, &definition),
                    &row.execution,
                )),
            };
            let keep = owed.as_ref().map_or(Keep::End, |_| Keep::Steps);
            actors.push((Actor::register(self, row, definition, keep), owed));
        }
        // Those that were open stay so: nothing that acts below may take their turns.
        let open = self.0.store.open_map_runs()?;
        futures::stream::iter(&open)
            .for_each_concurrent(OPENED, async |row| {
                // What cannot be opened is told below, or by its parent.
                if let Ok(Some(handle)) = self.map_run(&row.plan.arn).await
                    && handle.is_open()
                {
                    handle.keep_turn(self.map_run_turn_again());
                }
            })
            .await;
        for (actor, owed) in actors {
            match owed {
                Some(owed) => self.track(actor.run(owed)),
                None => self.track(actor.begin()),
            }
        }
        for (arn, origin) in jobs {
            let runner = self.clone();
            self.track(async move { runner.end_orphan(&arn, &origin).await });
        }
        for row in open {
            let is_abandoned = match self.is_abandoned(&row).await {
                Ok(is_abandoned) => is_abandoned,
                // One damaged row must not keep the others from going on.
                Err(error) => {
                    tracing::error!(arn = row.plan.arn, %error, "a Map Run's parent cannot be read");
                    continue;
                }
            };
            if is_abandoned {
                match self.map_run(&row.plan.arn).await {
                    Ok(Some(handle)) => handle.stop(self).await,
                    Ok(None) => {}
                    // One damaged log must not keep the others from going on.
                    Err(error) => tracing::error!(%error, "a Map Run cannot be closed"),
                }
            }
        }
        for machine in self.0.store.machines()? {
            if machine.deleting {
                self.delete_machine(machine.arn);
            }
        }
        Ok(())
    }

    /// Stops a nested execution whose Task does not wait for it any more: the engine ended between
    /// the Task's end and this.
    async fn end_orphan(&self, arn: &str, origin: &Origin) {
        let is_awaited = match self.0.store.execution(&origin.execution) {
            Ok(Some(row)) => {
                row.status == ExecutionStatus::Running
                    && machine::awaits(&row.execution, origin.attempt)
            }
            // A child of a Map Run: it waits as long as it runs.
            Ok(None) => {
                let request = serde_json::json!({"executionArn": origin.execution});
                let described = self
                    .step_functions("DescribeExecution", request, None)
                    .await;
                described.is_ok_and(|described| described["status"] == "RUNNING")
            }
            // Better one too many than one stopped that is waited for.
            Err(_) => true,
        };
        if !is_awaited {
            self.stop_execution(arn, None, None).await;
        }
    }

    /// Whether nobody waits for the open Map Run any more: its execution ended, and the engine
    /// before the Map Run was told.
    async fn is_abandoned(&self, row: &MapRunRow) -> Result<bool, StoreError> {
        let Some(owner) = &row.owner else {
            let parent = self.0.store.execution(&row.execution)?;
            return Ok(parent.is_none_or(|parent| parent.status != ExecutionStatus::Running));
        };
        Ok(match self.map_run(&owner.map_run).await {
            Ok(Some(outer)) => {
                let child = outer.table().row(owner.child).map(|row| row.status);
                child != Some(ChildStatus::Running)
            }
            Ok(None) => true,
            // It cannot go on itself; its children are as they are.
            Err(error) => {
                tracing::error!(%error, "a Map Run cannot be opened");
                false
            }
        })
    }
}
