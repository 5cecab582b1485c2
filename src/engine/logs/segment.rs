//! A stretch of a log group on disk: events in the order they came, in an append-only file of
//! checksummed records, with an index of some 60 bytes for every 16 KiB.
//!
//! The newest segment of a group grows; its torn end, as a kill leaves it, is cut off when it is
//! opened. Older ones never change, and keep their index in a file beside them.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::map_run::log::{Reader, frame};

/// First bytes of a segment: what it is, and the version of its layout.
const MAGIC: &[u8; 8] = b"fanlogs1";
/// Kind of the only record so far.
const EVENT: u8 = 1;
/// Bytes of events that one entry of the index stands for.
const BLOCK: u64 = 16 << 10;
/// Streams that an entry of the index names; one with more may hold any.
const NAMED: usize = 16;

/// One event as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'e> {
    /// Number of the stream within its group.
    pub stream: u32,
    /// Milliseconds since 1970, as the writer says.
    pub timestamp: i64,
    /// Milliseconds since 1970, when it came here.
    pub ingested: i64,
    pub message: &'e str,
}

impl Entry<'_> {
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        frame(buffer, |buffer| {
            buffer.push(EVENT);
            buffer.extend_from_slice(&self.stream.to_le_bytes());
            buffer.extend_from_slice(&self.timestamp.to_le_bytes());
            buffer.extend_from_slice(&self.ingested.to_le_bytes());
            buffer.extend_from_slice(self.message.as_bytes());
        });
    }
}

/// `None` for anything that [`Entry::encode`] does not write.
pub fn decode(payload: &[u8]) -> Option<Entry<'_>> {
    let (&[EVENT], rest) = payload.split_first_chunk::<1>()? else {
        return None;
    };
    let (stream, rest) = rest.split_first_chunk::<4>()?;
    let (timestamp, rest) = rest.split_first_chunk::<8>()?;
    let (ingested, message) = rest.split_first_chunk::<8>()?;
    Some(Entry {
        stream: u32::from_le_bytes(*stream),
        timestamp: i64::from_le_bytes(*timestamp),
        ingested: i64::from_le_bytes(*ingested),
        message: std::str::from_utf8(message).ok()?,
    })
}

/// What the index says of a piece of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    pub at: u64,
    pub end: u64,
    /// Smallest and greatest timestamp.
    pub first: i64,
    pub last: i64,
    /// Streams with events here; empty where there are too many to name.
    streams: Vec<u32>,
}

impl Block {
    /// Whether it can hold events of a stream.
    pub fn may_hold(&self, stream: u32) -> bool {
        self.streams.is_empty() || self.streams.contains(&stream)
    }
}

/// What a segment holds of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Smallest and greatest timestamp.
    pub first: i64,
    pub last: i64,
    pub ingested: i64,
}

impl Span {
    pub fn and(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            ingested: self.ingested.max(other.ingested),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    end: u64,
    blocks: Vec<Block>,
    spans: HashMap<u32, Span>,
}

#[derive(Debug)]
pub struct Segment {
    pub path: Arc<Path>,
    /// Grows from segment to segment of a group.
    pub number: u32,
    index: Index,
}

impl Segment {
    /// The segment of that number in a group's folder, and whether it was there.
    ///
    /// # Errors
    /// Names the file.
    pub fn open(folder: &Path, number: u32) -> io::Result<Self> {
        let mut segment = Self {
            path: folder.join(format!("{number:08}.events")).into(),
            number,
            index: Index {
                end: MAGIC.len() as u64,
                blocks: Vec::new(),
                spans: HashMap::new(),
            },
        };
        match segment.read_index() {
            Ok(Some(index)) => segment.index = index,
            _ => segment.scan()?,
        }
        Ok(segment)
    }

    /// Numbers of the segments in a group's folder, in order.
    pub fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let number: Option<u32> = name
                .to_str()
                .and_then(|name| name.strip_suffix(".events"))
                .and_then(|number| number.parse().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn index_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    /// The index beside a sealed segment; `None` when there is none that is whole.
    fn read_index(&self) -> io::Result<Option<Index>> {
        let mut reader = Reader::of(Arc::new(File::open(self.index_path())?));
        let index: Option<Index> = reader
            .read(0)?
            .and_then(|payload| serde_json::from_slice(payload).ok());
        let length = fs::metadata(&self.path)?.len();
        Ok(index.filter(|index| index.end <= length))
    }

    /// Builds the index from the file, and cuts a torn end off.
    fn scan(&mut self) -> io::Result<()> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .map_err(named)?;
        let length = file.metadata().map_err(named)?.len();
        let mut magic = [0; MAGIC.len()];
        if length < MAGIC.len() as u64 {
            file.set_len(0).map_err(named)?;
            return file.write_all_at(MAGIC, 0).map_err(named);
        }
        file.read_exact_at(&mut magic, 0).map_err(named)?;
        if &magic != MAGIC {
            let text = format!("{}: not log events of this version", self.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let file = Arc::new(file);
        let mut reader = Reader::of(Arc::clone(&file));
        let mut at = MAGIC.len() as u64;
        loop {
            let payload = match reader.read(at) {
                Ok(Some(payload)) => payload,
                Ok(None) => break,
                Err(error) => return Err(named(error)),
            };
            let Some(entry) = decode(payload) else { break };
            let end = Reader::after(at, payload.len());
            self.index.note(at, end, &entry);
            at = end;
        }
        if at < length {
            file.set_len(at).map_err(named)?;
        }
        Ok(())
    }

    /// Where the next record goes.
    pub fn end(&self) -> u64 {
        self.index.end
    }

    pub fn blocks(&self) -> &[Block] {
        &self.index.blocks
    }

    pub fn span(&self, stream: u32) -> Option<Span> {
        self.index.spans.get(&stream).copied()
    }

    /// Of all streams together; `None` when there are no events.
    pub fn whole(&self) -> Option<Span> {
        self.index.spans.values().copied().reduce(Span::and)
    }

    /// Makes a record that has been written at `at` known to readers.
    pub fn note(&mut self, at: u64, end: u64, entry: &Entry<'_>) {
        self.index.note(at, end, entry);
    }

    /// Keeps the index beside the file: nothing more is written to it.
    pub fn seal(&self) -> io::Result<()> {
        let mut bytes = Vec::new();
        let json = serde_json::to_vec(&self.index)?;
        frame(&mut bytes, |buffer| buffer.extend_from_slice(&json));
        write_private(&self.index_path(), &bytes)
    }

    /// Takes it from the disk; readers that still have it open finish.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        match fs::remove_file(self.index_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Index {
    fn note(&mut self, at: u64, end: u64, entry: &Entry<'_>) {
        self.end = end;
        let span = Span {
            first: entry.timestamp,
            last: entry.timestamp,
            ingested: entry.ingested,
        };
        let known = self.spans.entry(entry.stream).or_insert(span);
        *known = known.and(span);
        match self.blocks.last_mut() {
            Some(block) if end - block.at <= BLOCK => {
                block.end = end;
                block.first = block.first.min(entry.timestamp);
                block.last = block.last.max(entry.timestamp);
                if !block.may_hold(entry.stream) {
                    block.streams.push(entry.stream);
                    if block.streams.len() > NAMED {
                        block.streams = Vec::new();
                    }
                }
            }
            _ => self.blocks.push(Block {
                at,
                end,
                first: entry.timestamp,
                last: entry.timestamp,
                streams: vec![entry.stream],
            }),
        }
    }
}

/// Writes records at `at`; after an error the same can be written there again.
pub fn write(path: &Path, at: u64, records: &[u8]) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = OpenOptions::new().write(true).open(path).map_err(named)?;
    file.write_all_at(records, at).map_err(named)
}

/// Writes a whole file or nothing, readable by its owner only.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&new)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
