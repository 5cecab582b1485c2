//! The append-only log of one Map Run: items as they are read, what children took in, how they
//! ended. A record is `length u32 | crc32 u32 | kind u8 | fields`, little-endian; the length counts
//! from the kind on.
//!
//! Records are appended many at a time, and each time is synced before the next one begins. The
//! first record of each time says so ([`Record::Synced`]). That tells a torn end from damage: what
//! a power cut leaves unreadable is in the last time, and nothing behind it says that it was synced.
//! A torn end is cut off; damage is an error, and the file stays as it is.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::engine::disk::{Disk, DiskFile, folder_of};

mod record;

use record::HEADER;
pub use record::{End, Record, decode, frame};

/// First bytes of a log: what it is, and the version of its layout.
const MAGIC: &[u8; 8] = b"fanout2\n";
/// The layout before: the same without [`Record::Synced`].
const FIRST_MAGIC: &[u8; 8] = b"fanout1\n";
/// Read at once: little where records are picked here and there, more and more where they are read
/// one after the other.
const WINDOW: (usize, usize) = (4 << 10, 256 << 10);

/// The file; clones share it.
#[derive(Debug, Clone)]
pub struct Log {
    file: Arc<DiskFile>,
}

impl Log {
    /// Opens or creates the log and gives every record with its offset to `visit`, in order.
    /// Returns the log and where the next record goes; what is behind that is a torn end, for
    /// [`Log::cut`].
    ///
    /// # Errors
    /// Names the file; `InvalidData` with the place when it is damaged, is no log, or is of a later
    /// version. The file is then as it was.
    pub fn open(
        disk: &Disk,
        path: &Path,
        mut visit: impl FnMut(&Record<'_>, u64),
    ) -> io::Result<(Self, u64)> {
        let log = Self {
            file: Arc::new(disk.open(path)?),
        };
        let length = log.file.size()?;
        if length < Self::start() {
            log.file.set_len(0)?;
            log.file.write_all_at(MAGIC, 0)?;
            log.file.sync()?;
            disk.sync_folder(folder_of(path))?;
            return Ok((log, Self::start()));
        }
        let is_first = log.check_magic()?;
        let mut reader = log.reader();
        let mut at = Self::start();
        loop {
            let payload = match reader.find(at)? {
                Found::Record(place) => &reader.window[place],
                Found::End => break,
                Found::Broken => match log.synced_behind(at)? {
                    Some(synced) => return Err(log.damaged(at, synced)),
                    None => break,
                },
            };
            let Some(record) = decode(payload) else {
                let text = format!("the record at byte {at} is of a later fanout: use that one");
                return Err(log.invalid(&text));
            };
            visit(&record, at);
            at = Reader::after(at, payload.len());
        }
        if is_first {
            // One write within a sector: whole or not at all.
            log.file.write_all_at(MAGIC, 0)?;
            log.file.sync()?;
        }
        Ok((log, at))
    }

    /// Whether it is of the first version.
    fn check_magic(&self) -> io::Result<bool> {
        let mut magic = [0; MAGIC.len()];
        self.file.read_exact_at(&mut magic, 0)?;
        match &magic {
            MAGIC => Ok(false),
            FIRST_MAGIC => Ok(true),
            other if other.starts_with(&MAGIC[..6]) && other.ends_with(b"\n") => {
                Err(self.invalid("is of a later fanout: use that one"))
            }
            _ => Err(self.invalid("is not a Map Run log: its first bytes are damaged")),
        }
    }

    /// Where, behind `at`, a record says that everything before it was synced.
    fn synced_behind(&self, at: u64) -> io::Result<Option<u64>> {
        let mut sample = Vec::new();
        Record::Synced { at: 0 }.encode(&mut sample);
        let finder = memchr::memmem::Finder::new(&sample[..4]);
        let length = self.file.size()?;
        let mut window = vec![0; WINDOW.1];
        let mut from = at;
        while from + (sample.len() as u64) <= length {
            let size = window.len().min((length - from) as usize);
            self.file.read_exact_at(&mut window[..size], from)?;
            for found in finder.find_iter(&window[..size]) {
                let mut here = Vec::new();
                let place = from + found as u64;
                Record::Synced { at: place }.encode(&mut here);
                if window[found..size].starts_with(&here) {
                    return Ok(Some(place));
                }
            }
            // The next window takes the end of this one along, for records that are in both.
            from += (size.saturating_sub(sample.len()) as u64).max(1);
        }
        Ok(None)
    }

    fn damaged(&self, at: u64, synced: u64) -> io::Error {
        self.invalid(&format!(
            "is damaged: no record can be read at byte {at}, and what follows was written after that was safe (byte {synced}). It is left as it is: put back a copy of the whole folder, or start the execution anew"
        ))
    }

    fn invalid(&self, problem: &str) -> io::Error {
        let text = format!("{}: {problem}", self.file.path().display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    /// Cuts off what is behind `end`.
    pub fn cut(&self, end: u64) -> io::Result<()> {
        if self.file.size()? > end {
            self.file.set_len(end)?;
            self.file.sync()?;
        }
        Ok(())
    }

    /// Writes encoded records at `at` and returns once they are on disk. After an error the same
    /// bytes can be written at the same place again.
    pub fn append(&self, at: u64, records: &[u8]) -> io::Result<()> {
        self.file.write_all_at(records, at)?;
        self.file.sync()
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// A reader with a window of its own.
    pub fn reader(&self) -> Reader {
        Reader::of(self.file.shared())
    }

    /// Where the first record is.
    pub fn start() -> u64 {
        MAGIC.len() as u64
    }
}

/// Reads records at any offset; quick when offsets grow.
pub struct Reader {
    file: Arc<File>,
    window: Vec<u8>,
    from: u64,
    /// Bytes to read at the next miss.
    ahead: usize,
}

enum Found {
    /// Where its payload is in the window.
    Record(Range<usize>),
    /// The file ends here.
    End,
    /// Half a record, or a wrong checksum.
    Broken,
}

impl Reader {
    /// Reads records of any file that [`frame`] has written.
    pub fn of(file: Arc<File>) -> Self {
        Self {
            file,
            window: Vec::new(),
            from: 0,
            ahead: WINDOW.0,
        }
    }

    /// The payload of the record at `at`; `None` at the end, for a torn record and a wrong checksum.
    pub fn read(&mut self, at: u64) -> io::Result<Option<&[u8]>> {
        match self.find(at)? {
            Found::Record(place) => Ok(Some(&self.window[place])),
            Found::End | Found::Broken => Ok(None),
        }
    }

    fn find(&mut self, at: u64) -> io::Result<Found> {
        let Some(place) = self.fetch(at, HEADER)? else {
            return Ok(match self.file.metadata()?.len() <= at {
                true => Found::End,
                false => Found::Broken,
            });
        };
        let header = &self.window[place];
        let word = |from: usize| {
            u32::from_le_bytes([
                header[from],
                header[from + 1],
                header[from + 2],
                header[from + 3],
            ])
        };
        let (length, checksum) = (word(0) as usize, word(4));
        match self.fetch(at + HEADER as u64, length)? {
            Some(place)
                if length > 0 && crc32fast::hash(&self.window[place.clone()]) == checksum =>
            {
                Ok(Found::Record(place))
            }
            _ => Ok(Found::Broken),
        }
    }

    /// Where the record after the one at `at`, of this payload's length, begins.
    pub fn after(at: u64, payload: usize) -> u64 {
        at + (HEADER + payload) as u64
    }

    /// Where in the window these bytes are; `None` when the file ends before them.
    fn fetch(&mut self, at: u64, length: usize) -> io::Result<Option<Range<usize>>> {
        let end = at + length as u64;
        if at < self.from || end > self.from + self.window.len() as u64 {
            let available = self.file.metadata()?.len();
            if end > available {
                return Ok(None);
            }
            let goes_on = at >= self.from && at <= self.from + self.window.len() as u64;
            self.ahead = if goes_on {
                (self.ahead * 2).min(WINDOW.1)
            } else {
                WINDOW.0
            };
            let wanted = length.max(self.ahead).min((available - at) as usize);
            self.window.resize(wanted, 0);
            self.from = at;
            if let Err(error) = self.file.read_exact_at(&mut self.window, at) {
                self.window.clear();
                return Err(error);
            }
        }
        let start = (at - self.from) as usize;
        Ok(Some(start..start + length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::map_run::{ChildStatus, Limits, ResultFile};

    fn end(child: u32, output: Option<&'static [u8]>) -> Record<'static> {
        Record::End(End {
            child,
            started: 5,
            stopped: 9,
            status: if output.is_some() {
                ChildStatus::Succeeded
            } else {
                ChildStatus::Failed
            },
            is_history_full: output.is_none(),
            redrives: 1,
            previous: 77,
            output,
            error: output.is_none().then_some("Oops"),
            cause: output.is_none().then_some(""),
        })
    }

    fn samples() -> Vec<Record<'static>> {
        vec![
            Record::Item {
                items: 3,
                input: b"{\"n\":1}",
            },
            Record::ItemsRead,
            Record::Start { child: 0, at: 1 },
            Record::Input {
                child: 0,
                at: 2,
                previous: 8,
                redrive: true,
                input: b"\"Redrive\"",
            },
            end(0, Some(b"1")),
            end(1, None),
            Record::Redrive { at: 4, round: 1 },
            Record::Limits(Limits {
                max_concurrency: 1,
                tolerated_count: 2,
                tolerated_percentage: 0.5,
            }),
            Record::Written {
                succeeded: vec![ResultFile {
                    key: "k".into(),
                    size: 2,
                }],
            },
        ]
    }

    fn texts(path: &Path) -> (Vec<String>, u64) {
        let mut found = Vec::new();
        let (_, end) = Log::open(&Disk::default(), path, |record, _| {
            found.push(format!("{record:?}"));
        })
        .unwrap();
        (found, end)
    }

    #[test]
    fn records_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (log, at) = Log::open(&Disk::default(), &path, |_, _| ()).unwrap();
        let mut buffer = Vec::new();
        for record in samples() {
            record.encode(&mut buffer);
        }
        log.append(at, &buffer).unwrap();
        let (found, end) = texts(&path);
        assert_eq!(
            found,
            samples()
                .iter()
                .map(|record| format!("{record:?}"))
                .collect::<Vec<_>>()
        );
        assert_eq!(end, at + buffer.len() as u64);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A kill leaves any prefix of the bytes, and rubbish may follow it.
        #[test]
        fn a_torn_end_is_cut_off_and_what_was_before_it_stays(cut in 0_usize..400, rubbish in proptest::collection::vec(any::<u8>(), 0..40)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let (log, at) = Log::open(&Disk::default(), &path, |_, _| ()).unwrap();
            let mut buffer = Vec::new();
            let mut ends = vec![0];
            for record in samples() {
                record.encode(&mut buffer);
                ends.push(buffer.len());
            }
            let cut = cut.min(buffer.len());
            let mut bytes = buffer[..cut].to_vec();
            bytes.extend_from_slice(&rubbish);
            log.append(at, &bytes).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let (found, _) = texts(&path);
            prop_assert!(found.len() >= whole);
            let expected: Vec<_> = samples()[..whole].iter().map(|record| format!("{record:?}")).collect();
            prop_assert_eq!(&found[..whole], &expected[..]);
            // What was cut off does not come back.
            prop_assert_eq!(texts(&path).0, found);
        }

        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&bytes);
        }
    }

    /// Appends records as the driver does, so many at a time; returns where each time begins.
    fn write_log(path: &Path, times: &[Vec<usize>]) -> (Vec<u64>, Vec<String>) {
        let (log, mut at) = Log::open(&Disk::default(), path, |_, _| ()).unwrap();
        let mut begins = Vec::new();
        let mut shown = Vec::new();
        for sizes in times {
            let mut buffer = Vec::new();
            begins.push(at);
            let synced = Record::Synced { at };
            synced.encode(&mut buffer);
            shown.push(format!("{synced:?}"));
            for size in sizes {
                let input = vec![b'x'; *size];
                let item = Record::Item {
                    items: 1,
                    input: &input,
                };
                item.encode(&mut buffer);
                shown.push(format!("{item:?}"));
            }
            log.append(at, &buffer).unwrap();
            at += buffer.len() as u64;
        }
        (begins, shown)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Of the last time anything may be missing or wrong; what was synced before it is there.
        #[test]
        fn what_was_synced_survives_any_torn_end(
            times in proptest::collection::vec(proptest::collection::vec(1_usize..3_000, 1..6), 1..5),
            keep in 0.0_f64..1.0,
            flip in proptest::option::of(0.0_f64..1.0),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let (begins, shown) = write_log(&path, &times);
            let mut bytes = std::fs::read(&path).unwrap();
            let last = *begins.last().unwrap() as usize;
            let rest = bytes.len() - last;
            bytes.truncate(last + (rest as f64 * keep) as usize);
            let left = bytes.len() - last;
            if let (Some(flip), 1..) = (flip, left) {
                bytes[last + (left as f64 * flip) as usize] ^= 1;
            }
            std::fs::write(&path, &bytes).unwrap();
            let (found, _) = texts(&path);
            let synced = shown.len() - times.last().unwrap().len() - 1;
            prop_assert!(found.len() >= synced);
            prop_assert_eq!(&found[..], &shown[..found.len()]);
        }

        #[test]
        fn damage_before_something_synced_is_an_error_and_the_file_stays(
            times in proptest::collection::vec(proptest::collection::vec(1_usize..3_000, 1..6), 2..5),
            place in 0.0_f64..1.0,
            bit in 0_u8..8,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let (begins, _) = write_log(&path, &times);
            let mut bytes = std::fs::read(&path).unwrap();
            let last = *begins.last().unwrap();
            bytes[(last as f64 * place) as usize] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            let error = Log::open(&Disk::default(), &path, |_, _| ()).unwrap_err();
            prop_assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            prop_assert!(error.to_string().contains(path.to_str().unwrap()));
            prop_assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn a_log_of_the_first_version_is_read_and_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut bytes = FIRST_MAGIC.to_vec();
        Record::ItemsRead.encode(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(texts(&path).0, ["ItemsRead"]);
        assert!(std::fs::read(&path).unwrap().starts_with(MAGIC));
        std::fs::write(&path, b"fanout7\n").unwrap();
        let error = Log::open(&Disk::default(), &path, |_, _| ()).unwrap_err();
        assert!(error.to_string().contains("later fanout"), "{error}");
    }
}
