//! CloudWatch Logs on this machine: groups, streams, events, whoever follows them.
//!
//! ```text
//! logs/UUID/group.json        name, retention, tags
//! logs/UUID/streams           streams made and deleted, append-only
//! logs/UUID/NUMBER.events     events in the order they came ([`segment`])
//! logs/UUID/NUMBER.index      beside a segment that is full
//! ```
//!
//! One thread writes. The engine's own events wait for it in a queue of limited size and nobody
//! waits for them; a queue that is full drops them, as AWS's delivery may. What callers of the API
//! put is on disk when they get their answer. Everything is written when the engine stops.
//!
//! All groups together take at most [`Limits::total`]: then the oldest events go, whatever their
//! group's retention is.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

mod group;
pub mod pattern;
mod queue;
mod segment;
mod select;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use super::runner::Clock;
use group::Group;
pub use group::{GroupRow, StreamRow};
use queue::Queue;
pub use select::{Found, Order, Page, Position, Query, Streams};
pub use tail::{Selection, Tail, Update};
use writer::Writer;

/// Bytes that an event counts for besides its message (API reference, PutLogEvents).
pub const EVENT_OVERHEAD: usize = 26;
/// Longest message, bytes (API reference, PutLogEvents: an event takes at most 1 MB).
pub const MAX_MESSAGE: usize = (1 << 20) - EVENT_OVERHEAD;

/// How much is kept, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of all groups together, on disk.
    pub total: u64,
    /// Of a segment, the unit in which old events go.
    pub segment: u64,
    /// Of events that wait to be written; from an eighth of it on, who can wait is asked to.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: 1 << 30,
            segment: 8 << 20,
            queue: 64 << 20,
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub message: String,
}

/// Why a request about groups or streams is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("The specified log group does not exist.")]
    NoGroup,
    #[error("The specified log stream does not exist.")]
    NoStream,
    #[error("The specified log group already exists")]
    GroupExists,
    #[error("The specified log stream already exists")]
    StreamExists,
    #[error("the logs cannot be kept: {0}")]
    Disk(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.to_string())
    }
}

/// A handle; clones share the logs.
#[derive(Clone, Debug)]
pub struct Logs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// What the writing thread and everybody else see.
#[derive(Debug)]
struct Shared {
    clock: Arc<Clock>,
    queue: Queue,
    groups: Mutex<BTreeMap<String, Group>>,
    tails: tail::Tails,
    stop: CancellationToken,
}

impl Shared {
    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, Group>> {
        // A panic while groups are held is a bug of its own; what is on disk is whole.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the writing thread is asked to do.
#[derive(Debug)]
enum Change {
    Append {
        group: String,
        stream: String,
        events: Vec<Event>,
        /// Milliseconds since 1970.
        ingested: i64,
        /// Whether a group or stream that is missing is made.
        creates: bool,
    },
    CreateGroup {
        name: String,
        tags: BTreeMap<String, String>,
    },
    DeleteGroup {
        name: String,
    },
    CreateStream {
        group: String,
        name: String,
    },
    DeleteStream {
        group: String,
        name: String,
    },
    Retain {
        group: String,
        days: Option<u32>,
    },
    Tag {
        group: String,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
    },
    /// Nothing: the answer comes when everything before it is on disk.
    Sync,
}

impl Logs {
    /// Opens what is in `folder`, or makes it.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn open(folder: &Path, clock: Arc<Clock>) -> io::Result<Self> {
        Self::open_with(folder, clock, Limits::default())
    }

    pub fn open_with(folder: &Path, clock: Arc<Clock>, limits: Limits) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut groups = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            // What a file manager leaves behind is none of ours.
            if !entry.file_type()?.is_dir() {
                continue;
            }
            match Group::open(path.clone()) {
                Ok(Some(group)) => match groups.entry(group.row.name.clone()) {
                    Entry::Vacant(free) => _ = free.insert(group),
                    // The other one was damaged when this one was made.
                    Entry::Occupied(taken) => tracing::error!(
                        group = taken.key(),
                        path = %path.display(),
                        other = %taken.get().folder.display(),
                        "two log groups have one name: this one is left out"
                    ),
                },
                // Half made, or half deleted.
                Ok(None) => fs::remove_dir_all(&path)?,
                // It stays where it is, and is back once its file is mended.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(%error, "a damaged log group is left out");
                }
                Err(error) => return Err(error),
            }
        }
        let shared = Arc::new(Shared {
            clock,
            queue: Queue::new(limits.queue),
            groups: Mutex::new(groups),
            tails: tail::Tails::default(),
            stop: CancellationToken::new(),
        });
        let writer = Writer::new(Arc::clone(&shared), folder.to_owned(), limits);
        let writer = std::thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self(Arc::new(Inner {
            shared,
            writer: Mutex::new(Some(writer)),
        })))
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> i64 {
        self.0.shared.clock.now()
    }

    /// Takes in events of the engine's own, oldest first, for a group and stream that are made
    /// where they are missing. Never waits: when too much waits to be written already, the events
    /// are dropped and counted in the program's log. See [`Logs::room`].
    pub fn append(&self, group: &str, stream: &str, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let change = Change::Append {
            group: group.to_owned(),
            stream: stream.to_owned(),
            events,
            ingested: self.0.shared.clock.now(),
            creates: true,
        };
        self.0.shared.queue.offer(change);
    }

    /// Whether [`Logs::append`] has room to spare. Who makes many events waits for it.
    pub fn has_room(&self) -> bool {
        self.0.shared.queue.has_room()
    }

    /// Resolves when there is room to spare.
    pub async fn room(&self) {
        self.0.shared.queue.room().await;
    }

    /// Returns once the events are on disk.
    ///
    /// # Errors
    /// `NoGroup`, `NoStream`, `Disk`.
    pub async fn put(&self, group: &str, stream: &str, events: Vec<Event>) -> Result<(), Error> {
        self.change(Change::Append {
            group: group.to_owned(),
            stream: stream.to_owned(),
            events,
            ingested: self.0.shared.clock.now(),
            creates: false,
        })
        .await
    }

    pub async fn create_group(
        &self,
        name: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let name = name.to_owned();
        self.change(Change::CreateGroup { name, tags }).await
    }

    pub async fn delete_group(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.change(Change::DeleteGroup { name }).await
    }

    pub async fn create_stream(&self, group: &str, name: &str) -> Result<(), Error> {
        let (group, name) = (group.to_owned(), name.to_owned());
        self.change(Change::CreateStream { group, name }).await
    }

    pub async fn delete_stream(&self, group: &str, name: &str) -> Result<(), Error> {
        let (group, name) = (group.to_owned(), name.to_owned());
        self.change(Change::DeleteStream { group, name }).await
    }

    /// How many days events are kept; `None`: until there are too many of them.
    pub async fn retain(&self, group: &str, days: Option<u32>) -> Result<(), Error> {
        let group = group.to_owned();
        self.change(Change::Retain { group, days }).await
    }

    pub async fn tag(
        &self,
        group: &str,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
    ) -> Result<(), Error> {
        let group = group.to_owned();
        self.change(Change::Tag { group, set, remove }).await
    }

    /// Returns once everything given so far can be read, and is on disk.
    pub async fn flush(&self) -> Result<(), Error> {
        self.change(Change::Sync).await
    }

    async fn change(&self, change: Change) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let closed = || Error::Disk("the engine is stopping".to_owned());
        if !self.0.shared.queue.push(change, done).await {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    pub fn group(&self, name: &str) -> Option<GroupRow> {
        let groups = self.0.shared.groups();
        groups.get(name).map(|group| group.row.clone())
    }

    /// Groups that `wanted` takes, in the order of their names after `after`, at most `limit`; with
    /// each its bytes on disk. And whether there are more.
    pub fn groups(
        &self,
        after: Option<&str>,
        limit: usize,
        wanted: impl Fn(&GroupRow) -> bool,
    ) -> (Vec<(GroupRow, u64)>, bool) {
        let groups = self.0.shared.groups();
        let mut found: Vec<_> = groups
            .values()
            .filter(|group| after.is_none_or(|after| group.row.name.as_str() > after))
            .filter(|group| wanted(&group.row))
            .take(limit + 1)
            .map(|group| (group.row.clone(), group.bytes()))
            .collect();
        let more = found.len() > limit;
        found.truncate(limit);
        (found, more)
    }

    /// The streams of a group that begin with `prefix`, in the order of their names.
    pub fn streams(&self, group: &str, prefix: &str) -> Result<Vec<StreamRow>, Error> {
        let groups = self.0.shared.groups();
        let group = groups.get(group).ok_or(Error::NoGroup)?;
        Ok(group.streams(prefix).collect())
    }

    /// One page of events that `accepts` takes. Reads the disk: not for a task that others wait for.
    ///
    /// # Errors
    /// `NoGroup`; `NoStream` when a named stream is missing; `Disk`.
    pub fn read(&self, query: &Query, accepts: impl Fn(&str) -> bool) -> Result<Page, Error> {
        let now = self.0.shared.clock.now();
        let plan = {
            let groups = self.0.shared.groups();
            let group = groups.get(&query.group).ok_or(Error::NoGroup)?;
            let oldest = group.expired_before(now);
            select::Plan::new(group, query, oldest).ok_or(Error::NoStream)?
        };
        Ok(plan.read(accepts)?)
    }

    /// Gives what comes in from now on to the returned end.
    pub fn follow(&self, selection: Selection) -> Arc<Tail> {
        self.0.shared.tails.add(selection)
    }

    /// Resolves when [`Logs::stop`] is called.
    pub fn stopping(&self) -> impl Future<Output = ()> + use<> {
        self.0.shared.stop.clone().cancelled_owned()
    }

    /// Writes what waits and ends the writing thread. Later changes are refused.
    pub async fn stop(&self) {
        self.0.shared.stop.cancel();
        self.0.shared.queue.close();
        let writer = self.0.thread();
        if let Some(writer) = writer {
            // A panic there has been reported where it happened.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }
}

impl Inner {
    fn thread(&self) -> Option<std::thread::JoinHandle<()>> {
        self.writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Inner {
    /// Whoever opens the folder next must not meet the thread.
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.thread() {
            let _ = writer.join();
        }
    }
}
