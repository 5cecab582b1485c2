//! Whether the engine waits for its disk. What it waits with is kept and goes on by itself; but as
//! long as it does, executions look as they did, and who asks how they are must hear why.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a write may fail before it is told: a moment is nobody's business.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Default, Clone)]
pub struct Blocked(Arc<Mutex<Vec<Waiting>>>);

/// A write that failed and is tried again.
#[derive(Debug)]
struct Waiting {
    number: u64,
    since: Instant,
    problem: String,
}

/// The write is tried again until this is dropped.
#[derive(Debug)]
pub struct Guard {
    blocked: Blocked,
    number: u64,
}

impl Blocked {
    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        // Nothing that panics runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something cannot be written.
    pub fn begin(&self, problem: &impl ToString) -> Guard {
        let mut waiting = self.waiting();
        let number = waiting.last().map_or(0, |it| it.number + 1);
        waiting.push(Waiting {
            number,
            since: Instant::now(),
            problem: problem.to_string(),
        });
        Guard {
            blocked: self.clone(),
            number,
        }
    }

    /// Why nothing goes on, where that has lasted for a while.
    pub fn problem(&self, now: Instant) -> Option<String> {
        let waiting = self.waiting();
        let longest = waiting.first()?;
        let lasts = now.saturating_duration_since(longest.since) >= PATIENCE;
        lasts.then(|| {
            format!(
                "the engine waits for its disk and goes on by itself once it can write: {}",
                longest.problem
            )
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let number = self.number;
        self.blocked.waiting().retain(|it| it.number != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_until_it_is_over() {
        let blocked = Blocked::default();
        let now = Instant::now();
        let later = now + PATIENCE + Duration::from_secs(1);
        assert_eq!(blocked.problem(later), None);
        let first = blocked.begin(&"map.log: no space left");
        let second = blocked.begin(&"store.redb: no space left");
        assert_eq!(blocked.problem(now), None, "a moment is not told");
        let told = blocked.problem(later).expect("it lasts");
        assert!(told.contains("map.log: no space left"), "{told}");
        drop(first);
        let told = blocked.problem(later).expect("the other one lasts");
        assert!(told.contains("store.redb"), "{told}");
        drop(second);
        assert_eq!(blocked.problem(later), None);
    }
}
