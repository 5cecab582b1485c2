//! Reading: the first events of a group, or the last ones, in the order of their timestamps.
//!
//! Events lie on disk in the order they came, which is nearly that of their timestamps. Pieces of
//! the files are read in the order of their first timestamp, and a page's worth of the smallest is
//! kept, until no piece can hold a smaller one: a page costs as much memory as it shows.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::group::Group;
use super::segment::decode;
use crate::engine::map_run::log::Reader;

/// Bytes of events that a page looks through before it is given out as it is.
const SCAN: u64 = 16 << 20;
/// Files kept open while a page is read.
const OPEN_FILES: usize = 16;

/// Where an event is in the order of a group: its timestamp, and its place on disk among those of
/// the same millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub timestamp: i64,
    pub sequence: u64,
}

impl Position {
    /// Before everything at `timestamp`.
    fn before(timestamp: i64) -> Self {
        Self {
            timestamp: timestamp.saturating_sub(1),
            sequence: u64::MAX,
        }
    }

    fn mirrored(self) -> Self {
        Self {
            timestamp: -self.timestamp,
            sequence: !self.sequence,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Streams {
    All,
    Named(Vec<String>),
    Prefix(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}

/// What is asked of a group.
#[derive(Debug, Clone)]
pub struct Query {
    pub group: String,
    pub streams: Streams,
    /// Milliseconds since 1970: from here on, and before that.
    pub from: i64,
    pub until: i64,
    pub order: Order,
    /// Only what comes after this one in the order asked for.
    pub after: Option<Position>,
    /// Events, and bytes of messages with 26 more for each.
    pub limit: usize,
    pub bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub position: Position,
    pub stream: Arc<str>,
    pub ingested: i64,
    pub message: String,
}

impl Found {
    pub fn timestamp(&self) -> i64 {
        self.position.timestamp
    }
}

/// In the order asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub events: Vec<Found>,
    /// What a later page comes after; `None` when everything there is has been looked at. A page
    /// may be empty and still have one.
    pub next: Option<Position>,
}

/// A piece of a segment, taken out of the index so that reading needs no lock.
struct Piece {
    path: Arc<Path>,
    segment: u32,
    at: u64,
    end: u64,
    /// First timestamp in the order asked for.
    first: i64,
}

/// What is to be read.
pub struct Plan {
    pieces: Vec<Piece>,
    /// Names of the streams asked for.
    names: HashMap<u32, Arc<str>>,
    order: Order,
    /// Keys after this one, and before that timestamp, all in the order asked for.
    after: Position,
    until: i64,
    limit: usize,
    bytes: usize,
}

impl Plan {
    /// `oldest`: what is before has expired. `None` when a named stream is missing.
    pub fn new(group: &Group, query: &Query, oldest: i64) -> Option<Self> {
        let numbers: Vec<u32> = match &query.streams {
            Streams::All => group.numbers("").collect(),
            Streams::Prefix(prefix) => group.numbers(prefix).collect(),
            Streams::Named(names) => names
                .iter()
                .map(|name| group.stream(name))
                .collect::<Option<_>>()?,
        };
        let from = query.from.max(oldest).max(i64::MIN + 2);
        let until = query.until.max(i64::MIN + 2);
        // Newest first is oldest first with the signs turned round.
        let (start, end) = match query.order {
            Order::OldestFirst => (Position::before(from), until),
            Order::NewestFirst => (Position::before(1 - until), 1 - from),
        };
        let after = match (query.after, query.order) {
            (None, _) => start,
            (Some(after), Order::OldestFirst) => start.max(after),
            (Some(after), Order::NewestFirst) => start.max(after.mirrored()),
        };
        let all = query.streams == Streams::All;
        let mut pieces = Vec::new();
        for segment in &group.segments {
            for block in segment.blocks() {
                let (first, last) = match query.order {
                    Order::OldestFirst => (block.first, block.last),
                    Order::NewestFirst => (-block.last, -block.first),
                };
                let is_wanted = last >= after.timestamp
                    && first < end
                    && (all || numbers.iter().any(|number| block.may_hold(*number)));
                if is_wanted {
                    pieces.push(Piece {
                        path: Arc::clone(&segment.path),
                        segment: segment.number,
                        at: block.at,
                        end: block.end,
                        first,
                    });
                }
            }
        }
        pieces.sort_by_key(|piece| piece.first);
        let named = |number| Some((number, Arc::clone(group.stream_name(number)?)));
        Some(Self {
            pieces,
            names: numbers.into_iter().filter_map(named).collect(),
            order: query.order,
            after,
            until: end,
            limit: query.limit.max(1),
            bytes: query.bytes,
        })
    }

    /// Reads a page of the events that `accepts` takes. Files that have expired meanwhile are
    /// passed over.
    pub fn read(&self, accepts: impl Fn(&str) -> bool) -> io::Result<Page> {
        let mut kept: BTreeMap<Position, Found> = BTreeMap::new();
        let mut bytes = 0;
        // Nothing from here on fits onto the page.
        let mut bound: Option<Position> = None;
        let mut cut = None;
        let mut scanned = 0;
        let mut files = Files::default();
        for piece in &self.pieces {
            if bound.is_some_and(|bound| bound.timestamp < piece.first) {
                break;
            }
            if scanned >= SCAN && piece.first.saturating_sub(1) > self.after.timestamp {
                cut = Some(Position::before(piece.first));
                break;
            }
            scanned += piece.end - piece.at;
            let Some(reader) = files.get(piece)? else {
                continue;
            };
            let mut at = piece.at;
            while at < piece.end {
                let Some(payload) = reader.read(at)? else {
                    break;
                };
                let sequence = u64::from(piece.segment) << 32 | at;
                at = Reader::after(at, payload.len());
                let Some(entry) = decode(payload) else { break };
                let position = Position {
                    timestamp: entry.timestamp,
                    sequence,
                };
                let key = match self.order {
                    Order::OldestFirst => position,
                    Order::NewestFirst => position.mirrored(),
                };
                let is_on_page = key > self.after
                    && key.timestamp < self.until
                    && bound.is_none_or(|bound| key < bound);
                let Some(stream) = self.names.get(&entry.stream).filter(|_| is_on_page) else {
                    continue;
                };
                if !accepts(entry.message) {
                    continue;
                }
                bytes += size_of(entry.message);
                kept.insert(
                    key,
                    Found {
                        position,
                        stream: Arc::clone(stream),
                        ingested: entry.ingested,
                        message: entry.message.to_owned(),
                    },
                );
                while kept.len() > self.limit || (bytes > self.bytes && kept.len() > 1) {
                    let Some((key, last)) = kept.pop_last() else {
                        break;
                    };
                    bytes -= size_of(&last.message);
                    bound = Some(key);
                }
            }
        }
        if let Some(cut) = cut {
            kept.retain(|key, _| *key <= cut);
        }
        let last = kept.last_key_value().map(|(key, _)| *key);
        let next = match (bound, cut) {
            (None, None) => None,
            (Some(bound), Some(cut)) if cut < bound => Some(cut),
            (None, Some(cut)) => Some(cut),
            (Some(_), _) => last,
        };
        Ok(Page {
            events: kept.into_values().collect(),
            next: next.map(|key| match self.order {
                Order::OldestFirst => key,
                Order::NewestFirst => key.mirrored(),
            }),
        })
    }
}

/// What an event counts towards a page (PutLogEvents counts it so for a batch).
fn size_of(message: &str) -> usize {
    message.len() + super::EVENT_OVERHEAD
}

#[derive(Default)]
struct Files(HashMap<u32, Reader>);

impl Files {
    /// `None` when the segment is gone.
    fn get(&mut self, piece: &Piece) -> io::Result<Option<&mut Reader>> {
        if !self.0.contains_key(&piece.segment) {
            if self.0.len() >= OPEN_FILES {
                self.0.clear();
            }
            match File::open(&piece.path) {
                Ok(file) => self.0.insert(piece.segment, Reader::of(Arc::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
        }
        Ok(self.0.get_mut(&piece.segment))
    }
}
