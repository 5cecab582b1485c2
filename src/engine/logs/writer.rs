//! The one thread that changes anything: takes what waits, writes it, makes it known to readers and
//! to those who follow, and answers.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::group::{Group, GroupRow};
use super::queue::{Lost, Waiting};
use super::segment::{self, Entry, Segment};
use super::{Change, Error, Event, Limits, MAX_MESSAGE, Shared};

/// How often expired events are looked for while nothing else happens.
const SWEEP: Duration = Duration::from_mins(1);

pub struct Writer {
    shared: Arc<Shared>,
    folder: PathBuf,
    limits: Limits,
    /// Segments with bytes that may not be on disk yet.
    unsynced: HashSet<Arc<Path>>,
    /// Events that were lost and of which the stream does not tell yet.
    lost: Lost,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, folder: PathBuf, limits: Limits) -> Self {
        Self {
            shared,
            folder,
            limits,
            unsynced: HashSet::new(),
            lost: Lost::new(),
        }
    }

    pub fn run(mut self) {
        let mut swept = self.shared.clock.now();
        self.expire();
        while let Some((waiting, dropped)) = self.shared.queue.take(SWEEP) {
            self.perform(waiting);
            for (place, count) in dropped {
                *self.lost.entry(place).or_default() += count;
            }
            self.tell_lost();
            let now = self.shared.clock.now();
            if now - swept >= SWEEP.as_millis() as i64 {
                swept = now;
                self.expire();
            }
        }
        if let Err(error) = self.sync() {
            tracing::error!(%error, "the last log events may be lost if the machine fails now");
        }
    }

    fn perform(&mut self, waiting: impl IntoIterator<Item = Waiting>) {
        let mut answers: Vec<(oneshot::Sender<_>, Result<(), Error>)> = Vec::new();
        for Waiting { change, done } in waiting {
            let appended = match &change {
                Change::Append {
                    group,
                    stream,
                    events,
                    ..
                } => Some(((group.clone(), stream.clone()), events.len() as u64)),
                _ => None,
            };
            let result = self.change(change);
            match (done, result) {
                (Some(done), result) => answers.push((done, result)),
                (None, Err(error)) => {
                    tracing::warn!(%error, "log events are lost");
                    if let Some((place, count)) = appended {
                        *self.lost.entry(place).or_default() += count;
                    }
                }
                (None, Ok(())) => {}
            }
        }
        if let Err(error) = self.make_room() {
            tracing::error!(%error, "old log events cannot be deleted");
        }
        if answers.is_empty() {
            return;
        }
        // Whoever waits is told when it is on disk: one sync for all of them.
        let synced = self.sync();
        for (done, result) in answers {
            let synced = synced
                .as_ref()
                .map_err(|error| Error::Disk(error.to_string()));
            // Who asked may have gone.
            let _ = done.send(result.and(synced.copied()));
        }
    }

    /// Says in each stream how many of its events are lost, as soon as that can be written.
    fn tell_lost(&mut self) {
        for ((group, stream), count) in std::mem::take(&mut self.lost) {
            tracing::warn!(group, stream, count, "log events are lost");
            let now = self.shared.clock.now();
            let event = Event {
                timestamp: now,
                message: format!(
                    "WARN {count} log events of this stream are lost: they came faster than the \
                     engine's disk takes them, or it is full"
                ),
            };
            let change = Change::Append {
                group: group.clone(),
                stream: stream.clone(),
                events: vec![event],
                ingested: now,
                creates: true,
            };
            if self.change(change).is_err() {
                self.lost.insert((group, stream), count);
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        for path in self.unsynced.drain() {
            match File::open(&path) {
                Ok(file) => file.sync_data()?,
                // Expired meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn change(&mut self, change: Change) -> Result<(), Error> {
        match change {
            Change::Append {
                group,
                stream,
                events,
                ingested,
                creates,
            } => {
                if creates {
                    self.create_missing(&group, &stream)?;
                }
                self.append(&group, &stream, &events, ingested)?;
                self.shared.tails.offer(&group, &stream, &events, ingested);
                Ok(())
            }
            Change::CreateGroup { name, tags } => self.create_group(&name, tags),
            Change::DeleteGroup { name } => {
                let group = self.shared.groups().remove(&name).ok_or(Error::NoGroup)?;
                // Without its description it is not opened again, wherever a kill comes.
                fs::remove_file(group.folder.join(super::group::GROUP))?;
                Ok(fs::remove_dir_all(&group.folder)?)
            }
            Change::CreateStream { group, name } => self.in_group(&group, |group, now| {
                if group.stream(&name).is_some() {
                    return Err(Error::StreamExists);
                }
                group.create_stream(&name, now)?;
                Ok(())
            }),
            Change::DeleteStream { group, name } => self.in_group(&group, |group, _| {
                let number = group.stream(&name).ok_or(Error::NoStream)?;
                Ok(group.delete_stream(number)?)
            }),
            Change::Retain { group, days } => {
                self.in_group(&group, |group, _| {
                    let row = GroupRow {
                        retention_days: days,
                        ..group.row.clone()
                    };
                    Ok(group.save(row)?)
                })?;
                self.expire();
                Ok(())
            }
            Change::Tag { group, set, remove } => self.in_group(&group, |group, _| {
                let mut row = group.row.clone();
                row.tags.retain(|name, _| !remove.contains(name));
                row.tags.extend(set);
                Ok(group.save(row)?)
            }),
            Change::Sync => Ok(()),
        }
    }

    fn in_group<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Group, i64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let now = self.shared.clock.now();
        let mut groups = self.shared.groups();
        change(groups.get_mut(name).ok_or(Error::NoGroup)?, now)
    }

    fn create_group(&self, name: &str, tags: BTreeMap<String, String>) -> Result<(), Error> {
        let mut groups = self.shared.groups();
        if groups.contains_key(name) {
            return Err(Error::GroupExists);
        }
        let row = GroupRow {
            name: name.to_owned(),
            created: self.shared.clock.now(),
            retention_days: None,
            tags,
        };
        let folder = self.folder.join(uuid::Uuid::new_v4().to_string());
        groups.insert(name.to_owned(), Group::create(folder, row)?);
        Ok(())
    }

    fn create_missing(&self, group: &str, stream: &str) -> Result<(), Error> {
        match self.create_group(group, BTreeMap::new()) {
            Ok(()) | Err(Error::GroupExists) => {}
            Err(error) => return Err(error),
        }
        self.in_group(group, |group, now| {
            if group.stream(stream).is_none() {
                group.create_stream(stream, now)?;
            }
            Ok(())
        })
    }

    fn append(
        &mut self,
        group: &str,
        stream: &str,
        events: &[Event],
        ingested: i64,
    ) -> Result<(), Error> {
        let most = self.limits.segment;
        let mut rest = events;
        while !rest.is_empty() {
            let (path, written) = self.in_group(group, |group, _| {
                let number = group.stream(stream).ok_or(Error::NoStream)?;
                let segment = group.growing(most)?;
                let start = segment.end();
                let mut records = Vec::new();
                let mut ends = Vec::new();
                for event in rest {
                    entry(number, event, ingested).encode(&mut records);
                    let end = start + records.len() as u64;
                    ends.push(end);
                    if end >= most {
                        break;
                    }
                }
                segment::write(&segment.path, start, &records)?;
                let mut at = start;
                for (event, end) in rest.iter().zip(&ends) {
                    segment.note(at, *end, &entry(number, event, ingested));
                    at = *end;
                }
                Ok((Arc::clone(&segment.path), ends.len()))
            })?;
            self.unsynced.insert(path);
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Drops the oldest events of all when there are too many, but not the last that there are.
    fn make_room(&self) -> io::Result<()> {
        let mut groups = self.shared.groups();
        let mut total: u64 = groups.values().map(Group::bytes).sum();
        while total > self.limits.total {
            let segments = groups.values().flat_map(|group| {
                let of = |segment: &Segment| segment.whole().map_or(i64::MIN, |it| it.ingested);
                let firsts = group.segments.iter().map(of);
                firsts.map(|ingested| (ingested, group.row.name.as_str()))
            });
            if segments.clone().count() < 2 {
                break;
            }
            let Some(oldest) = segments.min().map(|(_, name)| name.to_owned()) else {
                break;
            };
            let Some(group) = groups.get_mut(&oldest) else {
                break;
            };
            let before = group.bytes();
            group.drop_oldest()?;
            total -= before - group.bytes();
        }
        Ok(())
    }

    /// Takes segments away in which everything has expired.
    fn expire(&self) {
        let now = self.shared.clock.now();
        for group in self.shared.groups().values_mut() {
            let oldest = group.expired_before(now);
            while group
                .segments
                .first()
                .and_then(Segment::whole)
                .is_some_and(|span| span.last < oldest)
            {
                if let Err(error) = group.drop_oldest() {
                    tracing::error!(%error, "expired log events cannot be deleted");
                    break;
                }
            }
        }
    }
}

/// As it is stored: a message that is too long is cut.
fn entry(stream: u32, event: &Event, ingested: i64) -> Entry<'_> {
    let message = &event.message;
    let end = message.floor_char_boundary(MAX_MESSAGE);
    Entry {
        stream,
        timestamp: event.timestamp,
        ingested,
        message: &message[..end],
    }
}
