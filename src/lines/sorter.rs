//! Puts what came of the lines into their order, in bounded memory: sorted runs go to a nameless
//! temporary file when the buffer is full, and are merged at the end.
//!
//! A line may come several times, from several attempts; the best outcome wins, then the newest
//! source, then the latest redrive, then what was pushed last.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// What became of a line, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    NeverStarted = 1,
    /// Failed, timed out or aborted.
    Failed,
    Succeeded,
}

/// Which of two results of a line counts: the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    pub outcome: Outcome,
    /// Which run or output it comes from; later ones are greater.
    pub source: u16,
    /// Redrives of that run before this result.
    pub redrive: u32,
}

/// What came of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The line's number.
    pub n: u64,
    pub rank: Rank,
    pub bytes: &'a [u8],
}

/// Takes entries in any order.
pub struct Sorter {
    /// Bytes of memory to use before going to disk.
    budget: usize,
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    file: Option<File>,
    /// Where the sorted runs are in the file.
    runs: Vec<Range<u64>>,
}

/// An entry in memory: `bytes[start..][..length]` of the sorter.
#[derive(Clone, Copy)]
struct Slot {
    n: u64,
    rank: Rank,
    start: usize,
    length: u32,
}

/// Number, outcome, source, redrive count and length, little endian, before an entry's bytes in a
/// run.
const HEADER: usize = 8 + 1 + 2 + 4 + 4;
/// Bytes of memory for all runs together while they are merged.
const MERGE_BUDGET: usize = 32 << 20;

impl Sorter {
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            bytes: Vec::new(),
            slots: Vec::new(),
            file: None,
            runs: Vec::new(),
        }
    }

    pub fn push(&mut self, entry: Entry<'_>) {
        self.slots.push(Slot {
            n: entry.n,
            rank: entry.rank,
            start: self.bytes.len(),
            length: u32::try_from(entry.bytes.len()).unwrap_or(u32::MAX),
        });
        self.bytes.extend_from_slice(entry.bytes);
    }

    /// Whether it is time to [`Sorter::spill`].
    pub fn is_full(&self) -> bool {
        self.bytes.len() + self.slots.len() * size_of::<Slot>() >= self.budget
    }

    /// Moves what is in memory to disk. Takes a moment: not for an async thread.
    pub fn spill(mut self) -> io::Result<Self> {
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let start = self.runs.last().map_or(0, |run| run.end);
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        let length = self.drain(&mut writer)?;
        self.file = Some(
            writer
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?,
        );
        self.runs.push(start..start + length);
        Ok(self)
    }

    /// Everything in order of the lines, each line once.
    pub fn merge(mut self) -> io::Result<Merged> {
        if self.file.is_some() {
            self = self.spill()?;
            let part = MERGE_BUDGET / self.runs.len().max(1);
            let part = part.clamp(64 << 10, 1 << 20);
            let runs = self.runs.into_iter().map(|run| Run::on_disk(run, part));
            return Ok(Merged::of(self.file, runs.collect()));
        }
        let mut run = Vec::with_capacity(self.bytes.len() + self.slots.len() * HEADER);
        self.drain(&mut run)?;
        Ok(Merged::of(None, vec![Run::in_memory(run)]))
    }

    /// Writes what is in memory as a sorted run; returns its length in bytes.
    fn drain(&mut self, out: &mut impl Write) -> io::Result<u64> {
        // Stable: of equals, the one pushed last stays last.
        self.slots.sort_by_key(|slot| (slot.n, slot.rank));
        self.slots.dedup_by(|later, kept| {
            let same = later.n == kept.n;
            if same {
                *kept = *later;
            }
            same
        });
        let mut length = 0;
        for slot in &self.slots {
            out.write_all(&slot.n.to_le_bytes())?;
            out.write_all(&[slot.rank.outcome as u8])?;
            out.write_all(&slot.rank.source.to_le_bytes())?;
            out.write_all(&slot.rank.redrive.to_le_bytes())?;
            out.write_all(&slot.length.to_le_bytes())?;
            out.write_all(&self.bytes[slot.start..][..slot.length as usize])?;
            length += HEADER as u64 + u64::from(slot.length);
        }
        self.slots = Vec::new();
        self.bytes = Vec::new();
        Ok(length)
    }
}

/// All entries in order, read as they are asked for.
pub struct Merged {
    file: Option<File>,
    runs: Vec<Run>,
    /// Number of each run's first entry, smallest on top.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    /// Runs whose first entry was of the line handed out last.
    used: Vec<usize>,
}

impl Merged {
    fn of(file: Option<File>, runs: Vec<Run>) -> Self {
        Self {
            file,
            heads: BinaryHeap::new(),
            used: (0..runs.len()).collect(),
            runs,
        }
    }

    /// The next line's entry, `None` at the end. May read from disk.
    pub fn next(&mut self) -> io::Result<Option<Entry<'_>>> {
        for index in self.used.drain(..) {
            if let Some(n) = self.runs[index].advance(self.file.as_mut())? {
                self.heads.push(Reverse((n, index)));
            }
        }
        let Some(&Reverse((n, _))) = self.heads.peek() else {
            return Ok(None);
        };
        while let Some(&Reverse((same, index))) = self.heads.peek()
            && same == n
        {
            self.heads.pop();
            self.used.push(index);
        }
        // Later runs were pushed later.
        let best = self
            .used
            .iter()
            .filter_map(|&index| Some((self.runs[index].head.as_ref()?.rank, index)))
            .max();
        Ok(best.and_then(|(_, index)| self.runs[index].entry()))
    }
}

/// A sorted run, read piece by piece.
struct Run {
    /// What is not in `buffer` yet.
    left: Range<u64>,
    buffer: Vec<u8>,
    /// Where in `buffer` the entry after `head` begins.
    next: usize,
    head: Option<Head>,
    /// Bytes to read at once.
    part: usize,
}

struct Head {
    n: u64,
    rank: Rank,
    bytes: Range<usize>,
}

impl Run {
    fn in_memory(buffer: Vec<u8>) -> Self {
        Self {
            left: 0..0,
            buffer,
            next: 0,
            head: None,
            part: 0,
        }
    }

    fn on_disk(left: Range<u64>, part: usize) -> Self {
        Self {
            left,
            buffer: Vec::new(),
            next: 0,
            head: None,
            part,
        }
    }

    /// Goes to the next entry and returns its number, `None` at the end.
    fn advance(&mut self, mut file: Option<&mut File>) -> io::Result<Option<u64>> {
        self.head = None;
        if !self.fill(HEADER, file.as_deref_mut())? {
            return Ok(None);
        }
        let mut header = &self.buffer[self.next..][..HEADER];
        let n = u64::from_le_bytes(take(&mut header));
        let [outcome] = take(&mut header);
        let rank = Rank {
            outcome: outcome_of(outcome)?,
            source: u16::from_le_bytes(take(&mut header)),
            redrive: u32::from_le_bytes(take(&mut header)),
        };
        let length = u32::from_le_bytes(take(&mut header)) as usize;
        if !self.fill(HEADER + length, file)? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let start = self.next + HEADER;
        self.next = start + length;
        let bytes = start..self.next;
        self.head = Some(Head { n, rank, bytes });
        Ok(Some(n))
    }

    fn entry(&self) -> Option<Entry<'_>> {
        let head = self.head.as_ref()?;
        Some(Entry {
            n: head.n,
            rank: head.rank,
            bytes: &self.buffer[head.bytes.clone()],
        })
    }

    /// Makes `wanted` bytes available at `next`; false at the end of the run.
    fn fill(&mut self, wanted: usize, file: Option<&mut File>) -> io::Result<bool> {
        let here = self.buffer.len() - self.next;
        if wanted <= here {
            return Ok(true);
        }
        let on_disk = self.left.end - self.left.start;
        if on_disk < (wanted - here) as u64 {
            return Ok(false);
        }
        let Some(file) = file else { return Ok(false) };
        self.buffer.drain(..self.next);
        self.next = 0;
        let length = (self.part.max(wanted - here) as u64).min(on_disk);
        self.buffer.resize(here + length as usize, 0);
        file.seek(SeekFrom::Start(self.left.start))?;
        file.read_exact(&mut self.buffer[here..])?;
        self.left.start += length;
        Ok(true)
    }
}

/// The first `N` bytes, which the caller knows to be there.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (first, rest) = bytes
        .split_first_chunk()
        .expect("a header has the length of its fields");
    *bytes = rest;
    *first
}

fn outcome_of(byte: u8) -> io::Result<Outcome> {
    match byte {
        1 => Ok(Outcome::NeverStarted),
        2 => Ok(Outcome::Failed),
        3 => Ok(Outcome::Succeeded),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn rank(outcome: Outcome, redrive: u32) -> Rank {
        let source = 0;
        Rank {
            outcome,
            source,
            redrive,
        }
    }

    /// Sorts, going to disk whenever `budget` bytes are in use.
    fn sorted(entries: &[(u64, Rank, Vec<u8>)], budget: usize) -> Vec<(u64, Rank, Vec<u8>)> {
        let mut sorter = Sorter::new(budget);
        for (n, rank, bytes) in entries {
            let (n, rank) = (*n, *rank);
            sorter.push(Entry { n, rank, bytes });
            if sorter.is_full() {
                sorter = sorter.spill().unwrap();
            }
        }
        let mut merged = sorter.merge().unwrap();
        let mut found = Vec::new();
        while let Some(entry) = merged.next().unwrap() {
            found.push((entry.n, entry.rank, entry.bytes.to_vec()));
        }
        found
    }

    #[test]
    fn nothing_gives_nothing() {
        assert!(sorted(&[], 100).is_empty());
    }

    #[test]
    fn a_success_beats_a_later_failure() {
        let entries = [
            (1, rank(Outcome::Succeeded, 0), b"good".to_vec()),
            (1, rank(Outcome::Failed, 3), b"bad".to_vec()),
            (1, rank(Outcome::NeverStarted, 4), b"".to_vec()),
        ];
        for budget in [1, 1_000] {
            assert_eq!(sorted(&entries, budget), [entries[0].clone()]);
        }
    }

    #[test]
    fn entries_larger_than_the_read_buffer_survive_the_disk() {
        let entry = |n: u64, byte| (n, rank(Outcome::Succeeded, 0), vec![byte; 3 << 20]);
        let entries = [entry(2, b'b'), entry(1, b'a'), entry(3, b'c')];
        let expected = [entry(1, b'a'), entry(2, b'b'), entry(3, b'c')];
        assert_eq!(sorted(&entries, 1), expected);
    }

    fn any_rank() -> impl Strategy<Value = Rank> {
        let outcome = prop_oneof![
            Just(Outcome::NeverStarted),
            Just(Outcome::Failed),
            Just(Outcome::Succeeded)
        ];
        (outcome, 0u16..2, 0u32..3).prop_map(|(outcome, source, redrive)| Rank {
            outcome,
            source,
            redrive,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sorting_on_disk_equals_a_map(
            entries in prop::collection::vec(
                (0u64..40, any_rank(), prop::collection::vec(any::<u8>(), 0..20)),
                0..120,
            ),
            budget in 1usize..4_000,
        ) {
            let mut best: BTreeMap<u64, (Rank, Vec<u8>)> = BTreeMap::new();
            for (n, rank, bytes) in &entries {
                let known = best.get(n).is_some_and(|(known, _)| known > rank);
                if !known {
                    best.insert(*n, (*rank, bytes.clone()));
                }
            }
            let expected: Vec<_> = best.into_iter().map(|(n, (rank, bytes))| (n, rank, bytes)).collect();
            prop_assert_eq!(sorted(&entries, budget), expected);
        }
    }
}
