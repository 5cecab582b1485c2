//! Where the records of each group are: an index beside the groups, on disk, so that any place of a
//! million members can be gone to without keeping them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::sync::Mutex;

/// Entries of a block. A group keeps at most one block in memory.
const BLOCK: usize = 128;
/// Bytes of an entry on disk.
const ENTRY: usize = 32;

/// A record's place and what can be told of it without reading it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry {
    /// 0 is unknown.
    pub line: u64,
    /// Milliseconds since 1970; `i64::MIN` is unknown.
    pub stopped: i64,
    /// Number of the result file.
    pub file: u32,
    pub offset: u64,
    pub length: u32,
}

impl Entry {
    fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.line.to_le_bytes());
        bytes.extend_from_slice(&self.stopped.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.file.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        let eight = |at: usize| bytes[at..at + 8].try_into().expect("eight bytes");
        let four = |at: usize| bytes[at..at + 4].try_into().expect("four bytes");
        Self {
            line: u64::from_le_bytes(eight(0)),
            stopped: i64::from_le_bytes(eight(8)),
            offset: u64::from_le_bytes(eight(16)),
            length: u32::from_le_bytes(four(24)),
            file: u32::from_le_bytes(four(28)),
        }
    }
}

/// The index. Its file has no name and goes with it.
#[derive(Debug)]
pub struct Index {
    file: Mutex<File>,
    /// Bytes written.
    end: u64,
    groups: Vec<Postings>,
}

#[derive(Debug, Default)]
struct Postings {
    /// Where the full blocks are in the file.
    blocks: Vec<u64>,
    /// The block that is being filled.
    last: Vec<Entry>,
}

impl Index {
    pub fn create() -> io::Result<Self> {
        Ok(Self {
            file: Mutex::new(tempfile::tempfile()?),
            end: 0,
            groups: Vec::new(),
        })
    }

    pub fn add(&mut self, group: usize, entry: Entry) -> io::Result<()> {
        if self.groups.len() <= group {
            self.groups.resize_with(group + 1, Postings::default);
        }
        let postings = &mut self.groups[group];
        postings.last.push(entry);
        if postings.last.len() < BLOCK {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(BLOCK * ENTRY);
        for entry in postings.last.drain(..) {
            entry.write(&mut bytes);
        }
        let file = self.file.get_mut().map_err(|_| poisoned())?;
        file.seek(SeekFrom::Start(self.end))?;
        file.write_all(&bytes)?;
        postings.blocks.push(self.end);
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// How many members a group has.
    pub fn len(&self, group: usize) -> u64 {
        self.groups
            .get(group)
            .map_or(0, |it| (it.blocks.len() * BLOCK + it.last.len()) as u64)
    }

    /// Tells of the members of a group with these numbers, in the order in which they were read.
    pub fn each(
        &self,
        group: usize,
        rows: Range<u64>,
        mut tell: impl FnMut(u64, Entry),
    ) -> io::Result<()> {
        let Some(postings) = self.groups.get(group) else {
            return Ok(());
        };
        let rows = rows.start..rows.end.min(self.len(group));
        let mut bytes = vec![0; BLOCK * ENTRY];
        let mut row = rows.start;
        while row < rows.end {
            let (block, within) = (row as usize / BLOCK, row as usize % BLOCK);
            let until = ((block + 1) * BLOCK).min(rows.end as usize);
            let count = until - row as usize;
            if let Some(place) = postings.blocks.get(block) {
                let mut file = self.file.lock().map_err(|_| poisoned())?;
                file.seek(SeekFrom::Start(*place))?;
                file.read_exact(&mut bytes)?;
                drop(file);
                let entries = bytes.chunks_exact(ENTRY).skip(within).take(count);
                (row..)
                    .zip(entries)
                    .for_each(|(row, it)| tell(row, Entry::read(it)));
            } else {
                let entries = postings.last.iter().skip(within).take(count);
                (row..).zip(entries).for_each(|(row, it)| tell(row, *it));
            }
            row = until as u64;
        }
        Ok(())
    }
}

fn poisoned() -> io::Error {
    io::Error::other("another thread failed while it held the index")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_page_is_a_slice_of_the_whole(
            groups in proptest::collection::vec(0usize..4, 0..1_500),
            from in 0u64..1_600, count in 0u64..400,
        ) {
            let mut index = Index::create().unwrap();
            let mut naive: Vec<Vec<Entry>> = vec![Vec::new(); 4];
            for (number, group) in (1..).zip(groups) {
                let entry = Entry {
                    line: number,
                    stopped: -(number as i64),
                    file: 7,
                    offset: number * 3,
                    length: number as u32,
                };
                index.add(group, entry).unwrap();
                naive[group].push(entry);
            }
            for (group, members) in naive.iter().enumerate() {
                prop_assert_eq!(index.len(group), members.len() as u64);
                let mut page = Vec::new();
                index.each(group, from..from + count, |row, entry| page.push((row, entry))).unwrap();
                let expected: Vec<(u64, Entry)> = (0..)
                    .zip(members.iter().copied())
                    .filter(|(row, _)| (from..from + count).contains(row))
                    .collect();
                prop_assert_eq!(page, expected);
            }
        }
    }
}
