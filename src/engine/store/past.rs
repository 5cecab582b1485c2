//! What the store was, for operations that are eventually consistent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::disk::Database;
use crate::engine::runner::Clock;

/// What the store was, for answers that are old.
pub(super) struct Past {
    clock: Arc<Clock>,
    /// Milliseconds.
    delay: i64,
    /// Oldest first, with the time from which on it was so.
    snapshots: VecDeque<(i64, Arc<redb::ReadTransaction>)>,
}

impl Past {
    pub(super) fn new(clock: &Arc<Clock>, delay: Duration) -> Self {
        Self {
            clock: Arc::clone(clock),
            delay: i64::try_from(delay.as_millis()).unwrap_or(i64::MAX),
            snapshots: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, database: &Database) -> Result<(), redb::Error> {
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

    pub(super) fn shown(&self) -> Option<Arc<redb::ReadTransaction>> {
        let until = self.clock.now() - self.delay;
        let mut snapshots = self.snapshots.iter().rev();
        let shown = snapshots.find(|(since, _)| *since <= until);
        let shown = shown.or(self.snapshots.front());
        shown.map(|(_, snapshot)| Arc::clone(snapshot))
    }
}

pub(super) fn locked(past: &Mutex<Option<Past>>) -> MutexGuard<'_, Option<Past>> {
    // Nothing that panics runs under this lock.
    past.lock().unwrap_or_else(PoisonError::into_inner)
}
