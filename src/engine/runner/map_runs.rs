//! The Map Runs that are open: those at work, and a few that were read lately.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{Runner, locked};
use crate::engine::logging::Logger;
use crate::engine::machine::Input;
use crate::engine::map_run::handle::Handle;
use crate::engine::store::{Batch, MapRunRow, StoreError};

/// Map Runs kept open for readers besides those at work.
const IDLE_MAP_RUNS: usize = 8;

impl Runner {
    /// Makes sure that the Map Run goes on, redriven that many times.
    ///
    /// # Errors
    /// Why it cannot; the Map state fails by that.
    pub async fn follow_map_run(&self, arn: &str, redrives: u32) -> Result<(), String> {
        let most = self.quotas().map_run_redrives;
        if redrives > most {
            return Err(format!(
                "The Map Run cannot be redriven more than {most} times."
            ));
        }
        match self.map_run(arn).await {
            Ok(Some(handle)) => {
                handle.follow(self, redrives).await;
                Ok(())
            }
            Ok(None) => Err("the Map Run has no row".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Gives a Map Run's end to the execution or child that entered its Map state.
    pub async fn map_run_ended(&self, row: &MapRunRow, ended: Input) {
        let Some(owner) = &row.owner else {
            return self.deliver(&row.execution, ended).await;
        };
        // Where nobody drives the outer Map Run, it asks again when it goes on.
        if let Some(outer) = self.map_run_in_memory(&owner.map_run) {
            outer.tell_child(owner.child, ended).await;
        }
    }

    /// The Map Run with its children, from memory or replayed from its log.
    pub async fn map_run(&self, arn: &str) -> Result<Option<Arc<Handle>>, StoreError> {
        let cell = locked(&self.0.map_runs).get(arn).cloned();
        let cell = match cell {
            Some(cell) => cell,
            None if self.0.store.map_run(arn)?.is_none() => return Ok(None),
            None => {
                let mut map_runs = locked(&self.0.map_runs);
                evict_idle(&mut map_runs);
                Arc::clone(map_runs.entry(arn.to_owned()).or_default())
            }
        };
        let handle = cell.get_or_try_init(|| self.open_map_run(arn)).await?;
        Ok(Some(Arc::clone(handle)))
    }

    /// The Map Run if it is in memory.
    pub fn map_run_in_memory(&self, arn: &str) -> Option<Arc<Handle>> {
        locked(&self.0.map_runs).get(arn)?.get().cloned()
    }

    pub(super) fn log_path(&self, map_run: &str) -> PathBuf {
        let id = map_run.rsplit(':').next().unwrap_or(map_run);
        self.0.folder.join("map_runs").join(format!("{id}.log"))
    }

    async fn open_map_run(&self, arn: &str) -> Result<Arc<Handle>, StoreError> {
        let path = self.log_path(arn);
        let fail = |problem: String| StoreError {
            path: path.clone(),
            problem,
        };
        let missing = || fail(format!("{arn} has no row"));
        let row = self.0.store.map_run(arn)?.ok_or_else(missing)?;
        let parent = self.0.store.execution(row.root())?.ok_or_else(missing)?;
        let definition = self.definition(&parent.revision)?;
        let logger = Logger::of(&self.0.logs, &parent);
        let parent = parent.identity;
        let (log, disk) = (path.clone(), self.0.disk.clone());
        let opened =
            tokio::task::spawn_blocking(move || Handle::open(row, definition, parent, &disk, &log))
                .await;
        match opened {
            Ok(Ok(mut handle)) => {
                handle.logger = logger;
                Ok(Arc::new(handle))
            }
            Ok(Err(error)) => Err(StoreError::of(&path, &error)),
            Err(error) => Err(fail(error.to_string())),
        }
    }

    /// Notes that a Map Run has closed, with its counts.
    pub async fn map_run_closed(&self, handle: &Handle) {
        let mut batch = Batch::default();
        // On a line of its own: the table is locked to the end of a statement.
        let redrives = handle.table().round;
        batch.map_run(MapRunRow {
            redrives,
            closed: Some(handle.describe(self.now())),
            ..handle.row.clone()
        });
        if let Err(error) = self.0.store.commit(batch).await {
            // Harmless: the log has it, and the next start notes it again.
            tracing::error!(%error, "a Map Run's end could not be noted");
        }
    }
}

/// Forgets Map Runs that nobody works on or reads, when there are many.
fn evict_idle(map_runs: &mut HashMap<String, Arc<OnceCell<Arc<Handle>>>>) {
    if map_runs.len() < IDLE_MAP_RUNS {
        return;
    }
    map_runs.retain(|_, cell| {
        let is_used = cell
            .get()
            .is_some_and(|handle| handle.is_driven() || Arc::strong_count(handle) > 1);
        is_used || Arc::strong_count(cell) > 1
    });
}
