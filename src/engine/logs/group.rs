//! A log group: what it is called, its streams, its segments, and where events are found in them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::segment::{Segment, Span, write_private};
use crate::engine::map_run::log::{Reader, frame};

pub const GROUP: &str = "group.json";
const STREAMS: &str = "streams";
const DAY_MS: i64 = 24 * 3_600_000;

/// What is kept of a group besides its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    pub name: String,
    /// Milliseconds since 1970, as all times here.
    pub created: i64,
    pub retention_days: Option<u32>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A stream as it is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    pub name: String,
    pub created: i64,
    /// `None` while there are no events.
    pub span: Option<Span>,
}

/// A change to the streams, as it is written.
#[derive(Debug, Serialize, Deserialize)]
enum Change {
    Create { number: u32, name: String, at: i64 },
    Delete { number: u32 },
}

#[derive(Debug)]
pub struct Group {
    pub folder: PathBuf,
    pub row: GroupRow,
    /// Oldest first; the last one grows.
    pub segments: Vec<Segment>,
    /// Name → number.
    streams: BTreeMap<Arc<str>, u32>,
    named: HashMap<u32, (Arc<str>, i64)>,
    next_stream: u32,
    /// Where the next change to the streams is written.
    streams_end: u64,
}

impl Group {
    /// Writes a new group into a folder of its own.
    pub fn create(folder: PathBuf, row: GroupRow) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(&folder)?;
        write_private(&folder.join(GROUP), &serde_json::to_vec(&row)?)?;
        Self::load(folder, row)
    }

    /// Opens what is in a folder; `None` for one that a kill left half made.
    pub fn open(folder: PathBuf) -> io::Result<Option<Self>> {
        let text = match fs::read(folder.join(GROUP)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let row = serde_json::from_slice(&text)
            .map_err(|error| invalid(&folder.join(GROUP), &error.to_string()))?;
        Self::load(folder, row).map(Some)
    }

    fn load(folder: PathBuf, row: GroupRow) -> io::Result<Self> {
        let mut group = Self {
            row,
            segments: Vec::new(),
            streams: BTreeMap::new(),
            named: HashMap::new(),
            next_stream: 0,
            streams_end: 0,
            folder,
        };
        group.read_streams()?;
        for number in Segment::numbers(&group.folder)? {
            group.segments.push(Segment::open(&group.folder, number)?);
        }
        Ok(group)
    }

    fn read_streams(&mut self) -> io::Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.folder.join(STREAMS))?;
        let file = Arc::new(file);
        let mut reader = Reader::of(Arc::clone(&file));
        while let Some(payload) = reader.read(self.streams_end)? {
            let Ok(change) = serde_json::from_slice(payload) else {
                break;
            };
            self.streams_end = Reader::after(self.streams_end, payload.len());
            self.apply(change);
        }
        file.set_len(self.streams_end)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Create { number, name, at } => {
                let name: Arc<str> = name.into();
                self.streams.insert(Arc::clone(&name), number);
                self.named.insert(number, (name, at));
                self.next_stream = self.next_stream.max(number + 1);
            }
            Change::Delete { number } => {
                if let Some((name, _)) = self.named.remove(&number) {
                    self.streams.remove(&name);
                }
            }
        }
    }

    fn write_change(&mut self, change: Change) -> io::Result<()> {
        let json = serde_json::to_vec(&change)?;
        let mut record = Vec::new();
        frame(&mut record, |buffer| buffer.extend_from_slice(&json));
        let file = OpenOptions::new()
            .write(true)
            .open(self.folder.join(STREAMS))?;
        file.write_all_at(&record, self.streams_end)?;
        file.sync_data()?;
        self.streams_end += record.len() as u64;
        self.apply(change);
        Ok(())
    }

    pub fn stream(&self, name: &str) -> Option<u32> {
        self.streams.get(name).copied()
    }

    /// `None` for a stream that was deleted: its events are not shown any more.
    pub fn stream_name(&self, number: u32) -> Option<&Arc<str>> {
        self.named.get(&number).map(|(name, _)| name)
    }

    pub fn create_stream(&mut self, name: &str, at: i64) -> io::Result<u32> {
        let number = self.next_stream;
        self.write_change(Change::Create {
            number,
            name: name.to_owned(),
            at,
        })?;
        Ok(number)
    }

    pub fn delete_stream(&mut self, number: u32) -> io::Result<()> {
        self.write_change(Change::Delete { number })
    }

    /// In the order of their names, those that begin with `prefix`.
    pub fn streams(&self, prefix: &str) -> impl Iterator<Item = StreamRow> {
        self.numbers(prefix).map(|number| {
            let (name, created) = &self.named[&number];
            StreamRow {
                name: name.to_string(),
                created: *created,
                span: self
                    .segments
                    .iter()
                    .filter_map(|segment| segment.span(number))
                    .reduce(Span::and),
            }
        })
    }

    /// Numbers of the streams whose name begins with `prefix`, in the order of the names.
    pub fn numbers(&self, prefix: &str) -> impl Iterator<Item = u32> {
        self.streams
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(_, number)| *number)
    }

    pub fn save(&mut self, row: GroupRow) -> io::Result<()> {
        write_private(&self.folder.join(GROUP), &serde_json::to_vec(&row)?)?;
        self.row = row;
        Ok(())
    }

    /// Bytes of events on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::end).sum()
    }

    /// Events before this moment have expired.
    pub fn expired_before(&self, now: i64) -> i64 {
        match self.row.retention_days {
            Some(days) => now - i64::from(days) * DAY_MS,
            None => i64::MIN,
        }
    }

    /// Takes the oldest segment from the disk.
    pub fn drop_oldest(&mut self) -> io::Result<()> {
        if self.segments.is_empty() {
            return Ok(());
        }
        // What is not on the disk any more is not shown, even if that failed half-way.
        self.segments.remove(0).remove()
    }

    /// The segment that grows: the newest one, or a new one when that is full.
    pub fn growing(&mut self, most: u64) -> io::Result<&mut Segment> {
        let next = match self.segments.last() {
            Some(last) if last.end() < most => None,
            Some(last) => {
                File::open(&last.path)?.sync_data()?;
                last.seal()?;
                Some(last.number + 1)
            }
            None => Some(0),
        };
        if let Some(number) = next {
            let segment = Segment::open(&self.folder, number)?;
            File::open(&self.folder)?.sync_all()?;
            self.segments.push(segment);
        }
        Ok(self.segments.last_mut().expect("one was just made"))
    }
}

fn invalid(path: &Path, problem: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{}: {problem}", path.display()),
    )
}
