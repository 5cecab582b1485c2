//! The chosen items of a run, streamed into a file of this machine and read from there in order. In
//! memory are 24 bytes for each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;

use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::chosen::{Chosen, Item};
use super::items::{Format, Way, Writer};
use crate::client::{Client, ObjectWriter};
use crate::model::{MapRun, ObjectAddress};
use crate::operations::failures::{self, Found, GroupKey, Outcome, Record};
use crate::operations::{Error, hex};

/// Bytes of a line of the file of failed lines.
const LINE_LIMIT: usize = 8 << 20;
/// Bytes written to the object at once.
const PIECE: usize = 1 << 20;

/// How the chosen items come to be.
pub enum From<'f> {
    /// The shipped workflow: numbered lines, in order.
    Lines {
        /// The file of failed lines, where there is one.
        failed: Option<&'f ObjectAddress>,
    },
    Items(&'f Way, Numbering),
}

/// Which lines of the first run the items of a run are.
pub enum Numbering {
    /// Nothing tells. They are numbered as they are found.
    None,
    /// Each holds its own index.
    Own,
    /// Of a re-run: the lines that were chosen for it, by index.
    Of(Vec<u64>),
}

/// Chosen items, in order.
#[derive(Debug)]
pub struct Subset {
    spool: File,
    rows: Vec<Row>,
    format: Format,
    is_numbered: bool,
    /// How many of each group, the largest first.
    pub groups: Vec<(GroupKey, u64)>,
    /// Where they were read, in words.
    pub source: String,
    /// Whether everything that did not succeed was looked at.
    pub exact: bool,
}

/// An item in the spool.
#[derive(Debug)]
struct Row {
    /// The line's number, or which one of those chosen it is.
    n: u64,
    at: u64,
    length: u32,
}

/// Fills the spool.
struct Filling<'f> {
    chosen: &'f Chosen,
    left_out: &'f BTreeSet<u64>,
    way: Option<&'f Way>,
    numbering: Numbering,
    out: BufWriter<File>,
    at: u64,
    /// Items found so far, taken or not.
    found: u64,
    rows: Vec<Row>,
    groups: HashMap<GroupKey, u64>,
    /// Why nothing more can be taken.
    broken: Option<Error>,
}

/// Gathers what is chosen of this Map Run's items that did not succeed.
///
/// # Errors
/// `Malformed` names what cannot be made an item again.
pub async fn gather(
    client: &Client,
    map_run: &MapRun,
    from: From<'_>,
    chosen: &Chosen,
    left_out: &BTreeSet<u64>,
) -> Result<Subset, Error> {
    let spool = tempfile::tempfile().map_err(spool_error)?;
    let (way, failed, numbering) = match from {
        From::Lines { failed } => (None, failed, Numbering::None),
        From::Items(way, numbering) => (Some(way), None, numbering),
    };
    let mut filling = Filling {
        chosen,
        left_out,
        way,
        numbering,
        out: BufWriter::new(spool),
        at: 0,
        found: 0,
        rows: Vec::new(),
        groups: HashMap::new(),
        broken: None,
    };
    // A mark names a child, and the file of failed lines does not.
    let failed = failed.filter(|_| chosen.children.is_empty());
    let (source, exact) = match failed {
        Some(failed) => {
            filling.of_failed_lines(client, failed).await?;
            (failed.to_string(), true)
        }
        None => {
            let visit = |found: Found<'_>| match found {
                Found::Record(record, _) => filling.record(record),
                Found::Restart => filling.restart(),
            };
            let found = failures::each(client, map_run, true, visit).await?;
            if let Some(error) = filling.broken.take() {
                return Err(error);
            }
            (found.words, found.exact)
        }
    };
    filling.finish(source, exact)
}

/// How many items of each group did not succeed, the largest group first.
pub async fn groups(client: &Client, map_run: &MapRun) -> Result<Vec<(GroupKey, u64)>, Error> {
    let mut counts: HashMap<GroupKey, u64> = HashMap::new();
    let visit = |found: Found<'_>| {
        match found {
            Found::Record(record, _) => *counts.entry(key(record)).or_default() += 1,
            Found::Restart => counts.clear(),
        }
        ControlFlow::Continue(())
    };
    failures::each(client, map_run, true, visit).await?;
    Ok(largest_first(counts))
}

fn largest_first(groups: HashMap<GroupKey, u64>) -> Vec<(GroupKey, u64)> {
    let mut groups: Vec<(GroupKey, u64)> = groups.into_iter().collect();
    groups.sort_by(|(key, count), (other, fewer)| fewer.cmp(count).then_with(|| key.cmp(other)));
    groups
}

/// The group of a record; what was stopped and what never started are groups of their own.
fn key(record: &Record<'_>) -> GroupKey {
    match record.outcome() {
        Outcome::NeverStarted => never_started(),
        Outcome::Aborted => GroupKey {
            error: "(aborted)".to_owned(),
            message: "stopped with the Map Run".to_owned(),
        },
        _ => failures::key_of(record.error(), &record.cause().unwrap_or_default()),
    }
}

fn never_started() -> GroupKey {
    GroupKey {
        error: "(never started)".to_owned(),
        message: "the Map Run ended before".to_owned(),
    }
}

fn spool_error(error: io::Error) -> Error {
    Error::File {
        path: std::env::temp_dir().display().to_string(),
        problem: error.to_string(),
    }
}

impl Filling<'_> {
    fn restart(&mut self) -> ControlFlow<()> {
        self.rows.clear();
        self.groups.clear();
        self.found = 0;
        ControlFlow::Continue(())
    }

    fn record(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let input = record.input().unwrap_or_default();
        let key = key(record);
        let item = Item {
            child: record.child(),
            line: record.line(),
            key: &key,
            input: &input,
        };
        let taken = match self.way {
            None => self.line_of(item),
            Some(way) => self.items_of(way, item),
        };
        match taken {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.broken = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Takes an item of the shipped workflow.
    fn line_of(&mut self, item: Item<'_>) -> Result<(), Error> {
        if !self.takes(item) {
            return Ok(());
        }
        let received: Value = serde_json::from_str(item.input).unwrap_or(Value::Null);
        let (Some(n), Some(line)) = (item.line, received["line"].as_str()) else {
            let child = match item.child {
                "" => "an item that never started",
                child => child,
            };
            let problem = "what it received is no line: {n, line} is missing";
            return Err(Error::malformed(child, problem));
        };
        self.push(n, item.key, &json!({"n": n, "line": line}))
    }

    /// Takes what one child received apart into items.
    fn items_of(&mut self, way: &Way, item: Item<'_>) -> Result<(), Error> {
        let is_taken = self.takes(item);
        let items = match way.items(item.input) {
            Ok(items) => items,
            Err(problem) if is_taken => return Err(Error::malformed(item.child, problem)),
            Err(_) => return Ok(()),
        };
        for (index, value) in items {
            self.found += 1;
            let n = self
                .number(index)
                .map_err(|problem| Error::malformed(item.child, problem))?;
            if is_taken {
                self.push(n, item.key, &value)?;
            }
        }
        Ok(())
    }

    fn number(&self, index: Option<u64>) -> Result<u64, &'static str> {
        match (&self.numbering, index) {
            (Numbering::None, _) => Ok(self.found),
            (_, None) => Err("an item lacks its index"),
            (Numbering::Own, Some(index)) => Ok(index + 1),
            (Numbering::Of(numbers), Some(index)) => {
                let number = usize::try_from(index).ok().and_then(|it| numbers.get(it));
                number.copied().ok_or("an item was not among the chosen")
            }
        }
    }

    fn takes(&self, item: Item<'_>) -> bool {
        let most = self.chosen.of_each_group;
        let is_full = most.is_some_and(|most| {
            self.groups
                .get(item.key)
                .is_some_and(|count| most <= *count)
        });
        !is_full && self.chosen.has(item)
    }

    fn push(&mut self, n: u64, key: &GroupKey, item: &Value) -> Result<(), Error> {
        let text = item.to_string();
        self.out.write_all(text.as_bytes()).map_err(spool_error)?;
        self.rows.push(Row {
            n,
            at: self.at,
            length: text.len() as u32,
        });
        self.at += text.len() as u64;
        match self.groups.get_mut(key) {
            Some(count) => *count += 1,
            None => drop(self.groups.insert(key.clone(), 1)),
        }
        Ok(())
    }

    /// The file that our workflow leaves beside an output: `{"n", "line", "error", "cause"}`.
    async fn of_failed_lines(
        &mut self,
        client: &Client,
        address: &ObjectAddress,
    ) -> Result<(), Error> {
        let mut stream = client.read(address, None, None).await?.bytes;
        let mut carried: Vec<u8> = Vec::new();
        let mut number = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            let mut rest: &[u8] = &chunk;
            while let Some(end) = memchr::memchr(b'\n', rest) {
                number += 1;
                carried.extend_from_slice(&rest[..end]);
                self.failed_line(&carried, address, number)?;
                carried.clear();
                rest = &rest[end + 1..];
            }
            carried.extend_from_slice(rest);
            if LINE_LIMIT < carried.len() {
                let problem = format!("line {}: longer than {LINE_LIMIT} bytes", number + 1);
                return Err(Error::malformed(address, problem));
            }
        }
        match carried.is_empty() {
            true => Ok(()),
            false => self.failed_line(&carried, address, number + 1),
        }
    }

    fn failed_line(
        &mut self,
        bytes: &[u8],
        address: &ObjectAddress,
        number: u64,
    ) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Failed {
            n: u64,
            line: String,
            #[serde(default)]
            error: Option<String>,
            #[serde(default)]
            cause: Option<String>,
        }
        let failed: Failed = serde_json::from_slice(bytes)
            .map_err(|error| Error::malformed(address, format!("line {number}: {error}")))?;
        let key = match failed.error.as_deref() {
            None | Some("") => never_started(),
            Some(error) => failures::key_of(error, failed.cause.as_deref().unwrap_or_default()),
        };
        let input = json!({"n": failed.n, "line": failed.line});
        let text = input.to_string();
        let item = Item {
            child: "",
            line: Some(failed.n),
            key: &key,
            input: &text,
        };
        match self.takes(item) {
            true => self.push(failed.n, &key, &input),
            false => Ok(()),
        }
    }

    fn finish(self, source: String, exact: bool) -> Result<Subset, Error> {
        let spool = self
            .out
            .into_inner()
            .map_err(|error| spool_error(error.into_error()))?;
        let mut rows = self.rows;
        let left_out = self.left_out;
        rows.retain(|row| !left_out.contains(&row.n));
        // Stable: of two with one number the newer record comes last, and is the one that counts.
        rows.sort_by_key(|row| row.n);
        rows.reverse();
        rows.dedup_by_key(|row| row.n);
        rows.reverse();
        Ok(Subset {
            spool,
            rows,
            format: self.way.map_or(Format::Lines, |way| way.format.clone()),
            is_numbered: !matches!(self.numbering, Numbering::None),
            groups: largest_first(self.groups),
            source,
            exact,
        })
    }
}

impl Subset {
    /// How many items.
    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Tells of each item with its number, in order.
    ///
    /// # Errors
    /// `File` when the spool cannot be read, else what `tell` answers.
    pub fn each(
        &mut self,
        mut tell: impl FnMut(u64, Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for at in 0..self.rows.len() {
            let (n, item) = self.item(at)?;
            tell(n, item)?;
        }
        Ok(())
    }

    /// Whether the numbers are lines of the first run that the items themselves do not tell.
    pub fn is_numbered(&self) -> bool {
        self.is_numbered
    }

    /// Writes which lines they are.
    pub async fn upload_numbers(&self, object: &mut ObjectWriter) -> Result<(), Error> {
        for rows in self.rows.chunks(PIECE / 16) {
            let lines = rows.iter().map(|row| format!("{{\"n\":{}}}\n", row.n));
            let piece: String = lines.collect();
            object.write(piece.as_bytes()).await?;
        }
        Ok(())
    }

    fn item(&mut self, at: usize) -> Result<(u64, Value), Error> {
        let row = &self.rows[at];
        let mut bytes = vec![0; row.length as usize];
        let read = self
            .spool
            .seek(SeekFrom::Start(row.at))
            .and_then(|_| self.spool.read_exact(&mut bytes));
        read.map_err(spool_error)?;
        let item = serde_json::from_slice(&bytes)
            .map_err(|error| Error::malformed("the gathered items", error))?;
        Ok((row.n, item))
    }

    /// Bytes and SHA-256 of the object that these items are, the edits over them.
    pub fn digest(&mut self, edits: &BTreeMap<u64, Value>) -> Result<(u64, String), Error> {
        let mut hash = Sha256::new();
        let mut bytes = 0;
        let mut writer = Writer::new(self.format.clone());
        let mut piece = Vec::new();
        for at in 0..self.rows.len() {
            self.write_item(at, edits, &mut writer, &mut piece)?;
            bytes += piece.len() as u64;
            hash.update(&piece);
            piece.clear();
        }
        writer.finish(&mut piece);
        hash.update(&piece);
        Ok((bytes + piece.len() as u64, hex(&hash.finalize())))
    }

    /// Writes that object.
    pub async fn upload(
        &mut self,
        edits: &BTreeMap<u64, Value>,
        object: &mut ObjectWriter,
        progress: impl Fn(u64) + Send + Sync,
    ) -> Result<(), Error> {
        let mut writer = Writer::new(self.format.clone());
        let mut piece = Vec::with_capacity(PIECE);
        let mut sent = 0;
        for at in 0..self.rows.len() {
            self.write_item(at, edits, &mut writer, &mut piece)?;
            if PIECE <= piece.len() {
                object.write(&piece).await?;
                sent += piece.len() as u64;
                progress(sent);
                piece.clear();
            }
        }
        writer.finish(&mut piece);
        object.write(&piece).await?;
        progress(sent + piece.len() as u64);
        Ok(())
    }

    fn write_item(
        &mut self,
        at: usize,
        edits: &BTreeMap<u64, Value>,
        writer: &mut Writer,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let (n, item) = self.item(at)?;
        let item = match (edits.get(&n), &self.format) {
            (None, _) => item,
            (Some(line), Format::Lines) => json!({"n": n, "line": line}),
            (Some(edited), _) => edited.clone(),
        };
        writer
            .item(&item, out)
            .map_err(|problem| Error::malformed(format!("item {n}"), problem))
    }
}
