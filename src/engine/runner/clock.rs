//! The engine's time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// The engine's time, which tests can move.
#[derive(Debug, Default)]
pub struct Clock {
    /// Milliseconds added to the system's.
    offset: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// Milliseconds since 1970.
    pub fn now(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond() + self.offset.load(Ordering::Relaxed)
    }

    /// Moves the clock, for tests of what takes days.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset.fetch_add(by, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// Resolves at `at`, milliseconds since 1970, also when the clock is moved there.
    pub async fn until(&self, at: i64) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // From here on no move is missed.
            moved.as_mut().enable();
            let Ok(left @ 1..) = u64::try_from(at - self.now()) else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left)) => {}
                () = moved => {}
            }
        }
    }
}
