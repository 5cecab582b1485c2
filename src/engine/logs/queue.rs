//! What waits for the writing thread: limited in bytes, and told apart by whether somebody waits
//! for it to be done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::{Change, EVENT_OVERHEAD, Error};

/// Numbers of events that nobody will read, by group and stream.
pub type Lost = BTreeMap<(String, String), u64>;

/// A change, and who waits for it.
#[derive(Debug)]
pub struct Waiting {
    pub change: Change,
    pub done: Option<oneshot::Sender<Result<(), Error>>>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Events that did not fit since this was last said, by group and stream.
    dropped: Lost,
    closed: bool,
}

#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    /// For the writing thread: something waits, or the queue is closed.
    filled: Condvar,
    /// For who waits for room.
    emptied: Notify,
    limit: usize,
}

fn size(change: &Change) -> usize {
    match change {
        Change::Append { events, .. } => events
            .iter()
            .map(|event| event.message.len() + EVENT_OVERHEAD)
            .sum(),
        _ => EVENT_OVERHEAD,
    }
}

/// Puts events to those before them where they belong together, so that they are written at once;
/// gives the change back otherwise.
fn join(last: Option<&mut Waiting>, change: Change) -> Option<Change> {
    let Some(Waiting {
        change:
            Change::Append {
                group,
                stream,
                events,
                ingested,
                creates: true,
            },
        done: None,
    }) = last
    else {
        return Some(change);
    };
    match change {
        Change::Append {
            group: to,
            stream: into,
            events: more,
            ingested: at,
            creates: true,
        } if to == *group && into == *stream && at == *ingested => {
            events.extend(more);
            None
        }
        other => Some(other),
    }
}

impl Queue {
    pub fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Notify::new(),
            limit,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the change if it fits, and drops it otherwise.
    pub fn offer(&self, change: Change) {
        let mut state = self.state();
        if state.closed || state.bytes >= self.limit {
            if let Change::Append {
                group,
                stream,
                events,
                ..
            } = change
            {
                *state.dropped.entry((group, stream)).or_default() += events.len() as u64;
            }
            return;
        }
        state.bytes += size(&change);
        if let Some(change) = join(state.waiting.back_mut(), change) {
            state.waiting.push_back(Waiting { change, done: None });
        }
        self.filled.notify_one();
    }

    /// Takes the change once there is room. `false`: the queue is closed.
    pub async fn push(&self, change: Change, done: oneshot::Sender<Result<(), Error>>) -> bool {
        self.room().await;
        let mut state = self.state();
        if state.closed {
            return false;
        }
        state.bytes += size(&change);
        state.waiting.push_back(Waiting {
            change,
            done: Some(done),
        });
        self.filled.notify_one();
        true
    }

    /// An eighth of it: who asks may still add what is at hand.
    pub fn has_room(&self) -> bool {
        let state = self.state();
        state.closed || state.bytes <= self.limit / 8
    }

    pub async fn room(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.has_room() {
                return;
            }
            emptied.await;
        }
    }

    pub fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
        self.emptied.notify_waiters();
    }

    /// Everything that waits and what did not fit, at the latest after `patience`; `None` once the
    /// queue is closed and empty.
    pub fn take(&self, patience: Duration) -> Option<(VecDeque<Waiting>, Lost)> {
        let mut state = self.state();
        if state.waiting.is_empty() && !state.closed {
            let woken = self.filled.wait_timeout(state, patience);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.waiting.is_empty() && state.closed && state.dropped.is_empty() {
            return None;
        }
        state.bytes = 0;
        let waiting = std::mem::take(&mut state.waiting);
        let dropped = std::mem::take(&mut state.dropped);
        drop(state);
        self.emptied.notify_waiters();
        Some((waiting, dropped))
    }
}
