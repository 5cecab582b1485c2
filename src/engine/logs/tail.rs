//! Following what comes in (API reference, StartLiveTail): each second the events since the second
//! before, at most 500 of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rand::RngExt;

use super::{Event, Streams};

/// Events of one update (API reference, StartLiveTail).
pub const MAX_UPDATE: usize = 500;

/// Most bytes of messages that wait for the next update; more is left out, as from a sample.
const MAX_BYTES: usize = 4 << 20;

/// Whether an event is wanted.
pub type Accepts = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// What is followed.
pub struct Selection {
    /// Names of groups, each with what is followed of it.
    pub groups: Vec<(String, Vec<Streams>)>,
    pub accepts: Accepts,
}

impl std::fmt::Debug for Selection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Selection")
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

impl Selection {
    fn takes(&self, group: &str, stream: &str) -> bool {
        let followed = self.groups.iter().find(|(name, _)| name == group);
        followed.is_some_and(|(_, streams)| {
            streams.iter().any(|streams| match streams {
                Streams::All => true,
                Streams::Named(names) => names.iter().any(|name| name == stream),
                Streams::Prefix(prefix) => stream.starts_with(prefix.as_str()),
            })
        })
    }
}

/// An event on its way to who follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    pub group: String,
    pub stream: String,
    pub ingested: i64,
    pub event: Event,
}

/// What came since the update before.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// In the order of their timestamps.
    pub events: Vec<Followed>,
    /// There were more: these are a sample of them.
    pub sampled: bool,
}

/// The end at which events come out; what it is dropped, nothing is kept for it any more.
#[derive(Debug)]
pub struct Tail {
    selection: Selection,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    events: Vec<Followed>,
    /// Of the messages.
    bytes: usize,
    /// How many there were, kept or not.
    seen: usize,
}

impl Tail {
    /// Takes what has come since the last time.
    pub fn take(&self) -> Update {
        let pending = std::mem::take(&mut *locked(&self.pending));
        let mut events = pending.events;
        events.sort_by_key(|followed| followed.event.timestamp);
        Update {
            sampled: pending.seen > events.len(),
            events,
        }
    }

    fn offer(&self, group: &str, stream: &str, events: &[Event], ingested: i64) {
        if !self.selection.takes(group, stream) {
            return;
        }
        let wanted = events
            .iter()
            .filter(|event| (self.selection.accepts)(&event.message));
        let mut pending = locked(&self.pending);
        for event in wanted {
            pending.seen += 1;
            // Every event has the same chance to be among the 500.
            let place = if pending.events.len() < MAX_UPDATE {
                pending.events.len()
            } else {
                rand::rng().random_range(0..pending.seen)
            };
            let replaced = pending.events.get(place);
            let replaced = replaced.map_or(0, |replaced| replaced.event.message.len());
            let bytes = pending.bytes - replaced + event.message.len();
            if place >= MAX_UPDATE || bytes > MAX_BYTES {
                continue;
            }
            pending.bytes = bytes;
            let followed = Followed {
                group: group.to_owned(),
                stream: stream.to_owned(),
                ingested,
                event: event.clone(),
            };
            match pending.events.get_mut(place) {
                Some(there) => *there = followed,
                None => pending.events.push(followed),
            }
        }
    }
}

/// Everybody who follows.
#[derive(Debug, Default)]
pub struct Tails(Mutex<Vec<Weak<Tail>>>);

impl Tails {
    pub fn add(&self, selection: Selection) -> Arc<Tail> {
        let tail = Arc::new(Tail {
            selection,
            pending: Mutex::default(),
        });
        locked(&self.0).push(Arc::downgrade(&tail));
        tail
    }

    /// Gives events that have been written to those who want them.
    pub fn offer(&self, group: &str, stream: &str, events: &[Event], ingested: i64) {
        locked(&self.0).retain(|tail| {
            let Some(tail) = tail.upgrade() else {
                return false;
            };
            tail.offer(group, stream, events, ingested);
            true
        });
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A filter that panics is a bug of its own; what is pending is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
