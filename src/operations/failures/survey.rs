//! Everything that failed in a Map Run, in groups, with a way to every single failure and without
//! keeping them.

use std::collections::HashMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::client::Client;
use crate::lines::Records;
use crate::model::{ExecutionArn, Failure, MapRun, ObjectAddress, Timestamp};
use crate::operations::Error;
use crate::operations::failures::index::{Entry, Index};
use crate::operations::failures::reading::{self, File, Found, Place};
use crate::operations::failures::record::{Outcome, Record};
use crate::operations::failures::tally::{self, Seen, Tally};
use crate::operations::failures::{Failures, Group, GroupKey, children};

/// Members of a group that are kept, the first ones.
const HEAD: usize = 64;
/// Bytes of all that are kept, but for the first of each group.
const KEPT: usize = 4 << 20;
/// Bytes of the first ones. What is beyond is read again when it is looked at.
const FIRST_KEPT: usize = 16 << 20;
/// Between two reports while reading goes on; the first comes with the first failures.
const REPORT: Duration = Duration::from_millis(500);
/// Bytes between two members that are rather read than asked for anew.
const GAP: u64 = 64 << 10;
/// Bytes of a page of members.
const PAGE_BYTES: u64 = 8 << 20;
/// Ranges read at once.
const AT_ONCE: usize = 4;
/// Members that are looked through, sorted or filtered: 4 bytes each are kept.
const SELECTED: u64 = 8_000_000;

/// The failures of a Map Run in groups.
#[derive(Debug)]
pub struct Survey {
    /// Largest first.
    pub groups: Vec<Group>,
    /// The first members of each group, in the order of reading; all of them where nothing was
    /// stored.
    heads: Vec<Vec<Failure>>,
    /// Failures read.
    pub read: u64,
    /// Failures there are, as the service counts children.
    pub counted: u64,
    /// Whether the groups count everything there is.
    pub exact: bool,
    /// Where they were read: `FAILED_0.json …`, or `children`.
    pub source: String,
    /// Children stopped because the Map Run was: they are in no group.
    pub aborted: u64,
    stored: Option<Stored>,
}

#[derive(Debug)]
struct Stored {
    index: Index,
    files: Vec<File>,
    /// The number that a group has in the index.
    numbers: Vec<usize>,
}

/// Which members of a group are wanted.
pub struct Choice<'c> {
    /// Looks at what the index tells; cheap.
    pub entry: &'c (dyn Fn(&Row) -> bool + Send + Sync),
    /// Looks at the whole failure, where that is needed: all of them are read again for it.
    pub failure: Option<&'c (dyn Fn(&Failure) -> bool + Send + Sync)>,
    pub order: MemberOrder,
    pub reversed: bool,
}

/// How far looking through the members of a group has come.
pub struct Looked<'l> {
    pub read: u64,
    pub of: u64,
    /// Those among the ones read last that are wanted, in the order of reading.
    pub found: &'l [&'l Failure],
}

/// What is known of a member without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub line: Option<u64>,
    pub stopped: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MemberOrder {
    /// In which they were read.
    #[default]
    Found,
    Line,
    /// Newest first.
    Ended,
}

impl Survey {
    /// Of failures that are all at hand.
    pub fn of(found: Failures, counted: u64) -> Self {
        let (groups, group_of) = tally::grouped(&found.items);
        let mut heads: Vec<Vec<Failure>> = groups.iter().map(|_| Vec::new()).collect();
        let read = found.items.len() as u64;
        for (failure, group) in found.items.into_iter().zip(group_of) {
            heads[group as usize].push(failure);
        }
        Self {
            groups,
            heads,
            read,
            counted: counted.max(read),
            exact: found.exact,
            source: found.source,
            aborted: 0,
            stored: None,
        }
    }

    /// A member that is kept, by its number in the order of reading.
    pub fn member(&self, group: usize, number: u64) -> Option<&Failure> {
        self.heads.get(group)?.get(usize::try_from(number).ok()?)
    }

    /// How many members of a group are kept, the first ones.
    pub fn kept_of(&self, group: usize) -> u64 {
        self.heads.get(group).map_or(0, Vec::len) as u64
    }

    /// Whether all members of a group are kept.
    pub fn is_at_hand(&self, group: usize) -> bool {
        let kept = self.kept_of(group);
        self.groups.get(group).is_none_or(|it| it.count == kept)
    }

    /// All that are kept: group, number and failure.
    pub fn kept(&self) -> impl Iterator<Item = (usize, u64, &Failure)> {
        self.heads.iter().enumerate().flat_map(|(group, head)| {
            let numbered = (0..).zip(head);
            numbered.map(move |(number, failure)| (group, number, failure))
        })
    }

    /// How far a sample's shares may be off, per cent, 19 times out of 20; `None` where all is read.
    pub fn margin(&self) -> Option<f64> {
        if self.exact || self.read == 0 || self.counted <= self.read {
            return None;
        }
        let (read, all) = (self.read as f64, self.counted as f64);
        let of_all = ((all - read) / (all - 1.0)).sqrt();
        Some(98.0 / read.sqrt() * of_all)
    }

    /// The members of a group that are wanted, as numbers in the order of reading. Where all must be
    /// read for that, `report` is told of what is found on the way.
    ///
    /// # Errors
    /// What the service answers where they are read again; `Refused` where there are too many.
    pub async fn choose(
        &self,
        client: &Client,
        group: usize,
        choice: &Choice<'_>,
        report: impl FnMut(Looked<'_>),
    ) -> Result<Vec<u32>, Error> {
        let Some(known) = self.groups.get(group) else {
            return Ok(Vec::new());
        };
        if SELECTED < known.count {
            return Err(Error::Refused(format!(
                "{} members are too many to be sorted or filtered here, at most {SELECTED} are: export them",
                known.count
            )));
        }
        let mut rows: Vec<(u32, Row)> = Vec::new();
        self.rows(group, |number, row| {
            if (choice.entry)(&row) {
                rows.push((number as u32, row));
            }
        })?;
        match choice.order {
            MemberOrder::Found => {}
            MemberOrder::Line => rows.sort_by_key(|(_, row)| row.line),
            MemberOrder::Ended => rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.stopped)),
        }
        if choice.reversed {
            rows.reverse();
        }
        let mut numbers: Vec<u32> = rows.into_iter().map(|(number, _)| number).collect();
        if let Some(fits) = choice.failure {
            numbers = self
                .read_through(client, group, numbers, fits, report)
                .await?;
        }
        Ok(numbers)
    }

    fn rows(&self, group: usize, mut tell: impl FnMut(u64, Row)) -> Result<(), Error> {
        let Some((stored, number)) = self.stored_group(group) else {
            let head = self.heads.get(group).into_iter().flatten();
            (0..).zip(head).for_each(|(number, it)| {
                let (line, stopped) = (it.line, it.stopped);
                tell(number, Row { line, stopped });
            });
            return Ok(());
        };
        let told = stored.index.each(number, 0..u64::MAX, |number, entry| {
            let stopped = Timestamp::from_millisecond(entry.stopped).ok();
            let line = (0 < entry.line).then_some(entry.line);
            tell(number, Row { line, stopped });
        });
        told.map_err(of_index)
    }

    fn stored_group(&self, group: usize) -> Option<(&Stored, usize)> {
        let stored = self.stored.as_ref()?;
        Some((stored, *stored.numbers.get(group)?))
    }

    /// Those of `numbers` whose failures fit, in their order.
    async fn read_through(
        &self,
        client: &Client,
        group: usize,
        numbers: Vec<u32>,
        fits: &(dyn Fn(&Failure) -> bool + Send + Sync),
        mut report: impl FnMut(Looked<'_>),
    ) -> Result<Vec<u32>, Error> {
        const AT_A_TIME: usize = 1_000;
        let mut fitting: Vec<u32> = Vec::new();
        // In the order of the files, so that neighbours are read together.
        let mut by_place = numbers.clone();
        by_place.sort_unstable();
        let mut rest = by_place.as_slice();
        while !rest.is_empty() {
            let (now, _) = rest.split_at(rest.len().min(AT_A_TIME));
            let failures = self.failures(client, group, now).await?;
            let read = failures.len().max(1);
            let found = now.iter().zip(&failures).filter(|(_, it)| fits(it));
            let (numbers, found): (Vec<u32>, Vec<&Failure>) = found.unzip();
            fitting.extend(numbers);
            rest = &rest[read.min(rest.len())..];
            report(Looked {
                read: (by_place.len() - rest.len()) as u64,
                of: by_place.len() as u64,
                found: &found,
            });
        }
        let fits = |number: &u32| fitting.binary_search(number).is_ok();
        Ok(numbers.into_iter().filter(fits).collect())
    }

    /// Members of a group by their numbers, in that order: as many as fit into a page of some MB,
    /// at least one.
    ///
    /// # Errors
    /// What the service answers; `Malformed` where a result file is not what it was.
    pub async fn failures(
        &self,
        client: &Client,
        group: usize,
        numbers: &[u32],
    ) -> Result<Vec<Failure>, Error> {
        let at_hand: Option<Vec<Failure>> = numbers
            .iter()
            .map(|number| self.member(group, u64::from(*number)).cloned())
            .collect();
        if let Some(all) = at_hand {
            return Ok(all);
        }
        let Some((stored, number)) = self.stored_group(group) else {
            return Ok(Vec::new());
        };
        let mut places = Vec::with_capacity(numbers.len());
        let mut bytes = 0;
        for member in numbers {
            let member = u64::from(*member);
            let mut place = None;
            let told = stored
                .index
                .each(number, member..member + 1, |_, entry| place = Some(entry));
            told.map_err(of_index)?;
            let Some(place) = place else { break };
            bytes += u64::from(place.length);
            if PAGE_BYTES < bytes && !places.is_empty() {
                break;
            }
            places.push(place);
        }
        stored.read(client, &places).await
    }

    /// A page of all members of a group, see [`Survey::failures`].
    ///
    /// # Errors
    /// The same.
    pub async fn page(
        &self,
        client: &Client,
        group: usize,
        rows: Range<u64>,
    ) -> Result<Vec<Failure>, Error> {
        let count = self.groups.get(group).map_or(0, |it| it.count);
        let numbers: Vec<u32> = (rows.start..rows.end.min(count))
            .map(|it| it as u32)
            .collect();
        self.failures(client, group, &numbers).await
    }
}

impl Stored {
    /// Reads records at places, neighbours by one request, and returns them in the order given.
    async fn read(&self, client: &Client, places: &[Entry]) -> Result<Vec<Failure>, Error> {
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by_key(|at| (places[*at].file, places[*at].offset));
        let mut ranges: Vec<(u32, Range<u64>, Vec<usize>)> = Vec::new();
        for at in order {
            let place = places[at];
            let end = place.offset + u64::from(place.length);
            match ranges.last_mut() {
                Some((file, range, members))
                    if *file == place.file && place.offset <= range.end + GAP =>
                {
                    range.end = range.end.max(end);
                    members.push(at);
                }
                _ => ranges.push((place.file, place.offset..end, vec![at])),
            }
        }
        let read: Vec<Vec<(usize, Failure)>> = stream::iter(ranges)
            .map(|(file, range, members)| self.read_range(client, places, file, range, members))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut found: Vec<(usize, Failure)> = read.into_iter().flatten().collect();
        found.sort_by_key(|(at, _)| *at);
        Ok(found.into_iter().map(|(_, failure)| failure).collect())
    }

    async fn read_range(
        &self,
        client: &Client,
        places: &[Entry],
        file: u32,
        range: Range<u64>,
        members: Vec<usize>,
    ) -> Result<Vec<(usize, Failure)>, Error> {
        let Some(file) = self.files.get(file as usize) else {
            return Ok(Vec::new());
        };
        let begun = range.start;
        let bytes = read_range(client, &file.address, range, &file.etag).await?;
        let parsed = members.into_iter().map(|at| {
            let place = places[at];
            let from = (place.offset - begun) as usize;
            let record = bytes.get(from..from + place.length as usize);
            let record = record.ok_or_else(|| "ends in the middle".to_owned());
            let record = record.and_then(|it| reading::record(it).map_err(|it| it.to_string()));
            match record {
                Ok(record) => Ok((at, record.failure())),
                Err(problem) => Err(Error::malformed(&file.address, problem)),
            }
        });
        parsed.collect()
    }
}

async fn read_range(
    client: &Client,
    address: &ObjectAddress,
    range: Range<u64>,
    etag: &str,
) -> Result<Vec<u8>, Error> {
    let length = range.end - range.start;
    let mut stream = client.read(address, Some(range), Some(etag)).await?.bytes;
    let mut bytes = Vec::with_capacity(length as usize);
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

fn of_index(error: io::Error) -> Error {
    Error::file(
        &std::env::temp_dir(),
        format!("the index of failures: {error}"),
    )
}

/// Reads all failures of a Map Run that has closed and groups them. `report` gets what is known so
/// far while it goes on, the first time as soon as anything is.
///
/// # Errors
/// What the service answers, and `File` where there is no room for the index. Result files that are
/// missing or damaged are no error: then the children are asked instead, and `source` says why.
pub async fn survey(
    client: &Client,
    map_run: &MapRun,
    mut report: impl FnMut(Survey),
) -> Result<Survey, Error> {
    let counted = map_run.executions.failures();
    let mut gathered = Gathered::new(map_run.started, counted).map_err(of_index)?;
    gathered.is_batched = map_run.is_batched();
    let mut trouble = None;
    let mut reported: Option<Instant> = None;
    let visit = |found: Found<'_>| {
        let (record, place) = match found {
            Found::Record(record, place) => (record, place),
            Found::Restart => {
                gathered.restart();
                return ControlFlow::Continue(());
            }
        };
        if let Err(error) = gathered.take(record, place) {
            trouble = Some(of_index(error));
            return ControlFlow::Break(());
        }
        // Looking at the clock with each record would cost more than counting it.
        let is_time = gathered.tally.read() % 512 == 1;
        if is_time && reported.is_none_or(|at| REPORT <= at.elapsed()) {
            reported = Some(Instant::now());
            report(gathered.so_far());
        }
        ControlFlow::Continue(())
    };
    let source = reading::each(client, map_run, false, visit).await?;
    match trouble {
        Some(trouble) => Err(trouble),
        None => Ok(gathered.done(source)),
    }
}

/// Groups the bytes of result files as [`survey`] does, wherever they come from.
pub struct Grouping {
    gathered: Gathered,
    records: Records,
}

impl Grouping {
    /// `epoch` is when the Map Run began.
    ///
    /// # Errors
    /// Where there is no room for the index.
    pub fn new(epoch: Timestamp) -> io::Result<Self> {
        Ok(Self {
            gathered: Gathered::new(epoch, 0)?,
            records: Records::default(),
        })
    }

    /// Takes in the next bytes of one result file.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), String> {
        let (gathered, mut trouble) = (&mut self.gathered, None);
        let flow = reading::read_chunk(&mut self.records, chunk, |record, offset, length| {
            let place = Place {
                file: 0,
                offset,
                length,
            };
            match gathered.take(record, Some(place)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    trouble = Some(error.to_string());
                    ControlFlow::Break(())
                }
            }
        });
        let _ = flow.map_err(|problem| problem.to_string())?;
        trouble.map_or(Ok(()), Err)
    }

    /// # Errors
    /// Says so when the bytes ended within a record.
    pub fn finish(self) -> Result<Survey, String> {
        self.records.finish().map_err(|it| it.to_string())?;
        Ok(self.gathered.done(reading::Source {
            exact: true,
            ..reading::Source::default()
        }))
    }
}

/// What is kept while failures stream by.
struct Gathered {
    epoch: Timestamp,
    counted: u64,
    /// Whether children had several items each.
    is_batched: bool,
    tally: Tally,
    index: Index,
    /// The first members of each group, by its number.
    heads: Vec<Vec<Failure>>,
    kept: usize,
    aborted: u64,
}

impl Gathered {
    fn new(epoch: Timestamp, counted: u64) -> io::Result<Self> {
        Ok(Self {
            epoch,
            counted,
            is_batched: false,
            tally: Tally::default(),
            index: Index::create()?,
            heads: Vec::new(),
            kept: 0,
            aborted: 0,
        })
    }

    fn restart(&mut self) {
        self.tally = Tally::default();
        self.heads.clear();
        self.kept = 0;
        self.aborted = 0;
    }

    fn take(&mut self, record: &Record<'_>, place: Option<Place>) -> io::Result<()> {
        if record.outcome() == Outcome::Aborted {
            self.aborted += 1;
            return Ok(());
        }
        let items = match self.is_batched {
            true => record
                .input()
                .and_then(|input| tally::items_of_batch(&input)),
            false => Some(1),
        };
        let seen = Seen {
            error: record.error(),
            said: record.said(),
            child: record.child(),
            line: record.line(),
            items,
            stopped: record.stopped(),
        };
        let group = self.tally.add(&seen, self.epoch);
        if self.heads.len() <= group {
            self.heads.resize_with(group + 1, Vec::new);
        }
        let head = &mut self.heads[group];
        let size = || {
            [record.input(), record.cause()]
                .iter()
                .flatten()
                .map(|it| it.len())
                .sum::<usize>()
        };
        let is_kept = match (head.is_empty(), place) {
            // What has no place must be kept.
            (_, None) => true,
            (true, _) => self.kept + size() < FIRST_KEPT,
            // Without gaps: they are found by their number.
            (false, _) => {
                let is_next = self.index.len(group) == head.len() as u64;
                is_next && head.len() < HEAD && self.kept + size() < KEPT
            }
        };
        if is_kept {
            self.kept += size();
            head.push(record.failure());
        }
        match place {
            None => Ok(()),
            Some(place) => self.index.add(
                group,
                Entry {
                    line: seen.line.unwrap_or(0),
                    stopped: seen.stopped.unwrap_or(i64::MIN),
                    file: place.file,
                    offset: place.offset,
                    length: place.length,
                },
            ),
        }
    }

    /// A survey of what has been read. There is no way to members that are not kept.
    fn so_far(&self) -> Survey {
        let groups = self.tally.groups(self.epoch);
        Survey {
            heads: groups
                .iter()
                .map(|(number, _)| self.heads[*number].clone())
                .collect(),
            groups: groups.into_iter().map(|(_, group)| group).collect(),
            read: self.tally.read(),
            counted: self.counted.max(self.tally.read()),
            exact: false,
            source: "result files, being read".to_owned(),
            aborted: self.aborted,
            stored: None,
        }
    }

    fn done(mut self, source: reading::Source) -> Survey {
        let groups = self.tally.groups(self.epoch);
        let numbers: Vec<usize> = groups.iter().map(|(number, _)| *number).collect();
        let heads = numbers
            .iter()
            .map(|number| std::mem::take(&mut self.heads[*number]));
        Survey {
            heads: heads.collect(),
            groups: groups.into_iter().map(|(_, group)| group).collect(),
            read: self.tally.read(),
            counted: self.counted.max(self.tally.read()),
            exact: source.exact,
            source: source.words,
            aborted: self.aborted,
            stored: (!source.files.is_empty()).then(|| Stored {
                index: self.index,
                files: source.files,
                numbers,
            }),
        }
    }
}

/// A sample of what has failed so far in a Map Run that is going, see [`children::more`].
///
/// # Errors
/// What the service answers.
pub async fn sample(
    client: &Client,
    map_run: &MapRun,
    limit: usize,
    known: Vec<Failure>,
) -> Result<Survey, Error> {
    let found = children::more(client, map_run, limit, known).await?;
    let mut survey = Survey::of(found, map_run.executions.failures());
    if map_run.is_batched() {
        survey.count_batches();
    }
    Ok(survey)
}

impl Survey {
    /// Counts items where all members are kept.
    fn count_batches(&mut self) {
        for (group, members) in self.groups.iter_mut().zip(&self.heads) {
            let items = members.iter().map(|it| {
                let input = it.input.as_deref()?;
                tally::items_of_batch(input)
            });
            group.items = items.sum();
        }
    }

    /// Where each child that is kept stands: its group, and its number there.
    pub fn places(&self) -> HashMap<ExecutionArn, (u32, u32)> {
        let places = self
            .kept()
            .map(|(group, number, it)| (it.child.clone(), (group as u32, number as u32)));
        places.collect()
    }

    pub fn keys(&self) -> Vec<GroupKey> {
        self.groups.iter().map(Group::key).collect()
    }
}
