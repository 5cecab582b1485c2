//! The temporary neighbour of a download, with the list of the ranges that are there already. Both
//! outlive a kill, so that the next download of the same object goes on where this one was.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{RANGE, exists, ranges};
use crate::client::Algorithm;
use crate::model::{Object, ObjectAddress};
use crate::operations::Error;
use crate::operations::outputs::digest;
use crate::operations::records::JsonLines;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// Of the list of ranges.
const VERSION: u32 = 1;

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Row {
    Object(Identity),
    /// Not waited for until it is on disk: its checksum tells whether its bytes are.
    Range(Range),
}

/// What the ranges are of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    version: u32,
    address: String,
    etag: String,
    size: u64,
    range: u64,
    /// How the ranges' checksums are computed.
    crc: String,
}

/// A range that has been fetched and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    pub start: u64,
    pub end: u64,
    pub crc: u64,
}

/// The temporary neighbour, locked. It stays when it is dropped, unless nothing is in it.
pub struct Part {
    path: PathBuf,
    list: JsonLines,
    pub file: File,
    /// Ranges that an earlier download has left, in their order.
    pub found: Vec<Range>,
    /// What an earlier download has left was of another version of the object.
    pub is_outdated: bool,
    /// Nothing is left to be cleared away.
    is_over: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        let rows = self.list.read::<Row>().map(|it| it.rows);
        let is_begun = rows.is_ok_and(|rows| rows.len() > 1);
        if !self.is_over && !is_begun {
            // What cannot be deleted is found by the next download.
            let _ = self.remove_list();
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where the bytes and the list of ranges of a download to `target` are.
fn neighbours(target: &Path) -> (PathBuf, JsonLines) {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let path = target.with_file_name(format!(".{name}.part"));
    let list = JsonLines::new(target.with_file_name(format!(".{name}.ranges")));
    (path, list)
}

/// Whether what a download to `target` has left is of an object that is not this one: it would be
/// lost.
pub fn is_of_another(target: &Path, address: &ObjectAddress) -> bool {
    let (path, list) = neighbours(target);
    // A link is not ours to read, and refused when it comes to that.
    let is_file = |path: &Path| fs::symlink_metadata(path).is_ok_and(|it| it.is_file());
    if !is_file(&path) || !is_file(list.path()) {
        return false;
    }
    let rows = list.read::<Row>().map(|it| it.rows).unwrap_or_default();
    matches!(rows.first(), Some(Row::Object(of)) if of.address != address.to_string())
}

impl Part {
    /// Ranges are checked with `algorithm`, a CRC. Reads everything that is there already.
    pub fn open(target: &Path, object: &Object, algorithm: Algorithm) -> Result<Self, Error> {
        let (path, list) = neighbours(target);
        refuse_what_is_no_file(&path)?;
        refuse_what_is_no_file(list.path())?;
        let fail = |error: io::Error| Error::file(&path, error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        // Where locks do not work, nothing is lost but this refusal.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::Refused(format!(
                "{} is being written by another download",
                path.display()
            )));
        }
        let identity = Identity {
            version: VERSION,
            address: object.address.to_string(),
            etag: object.etag.clone(),
            size: object.size,
            range: RANGE,
            crc: algorithm.name().to_owned(),
        };
        let rows = list.read::<Row>()?.rows;
        let is_same = rows.first() == Some(&Row::Object(identity.clone()));
        let is_outdated = matches!(rows.first(), Some(Row::Object(old))
            if old.address == identity.address && old.etag != identity.etag);
        let mut found = Vec::new();
        if is_same {
            found = intact(&mut file, &rows, object.size, algorithm).map_err(fail)?;
        } else {
            file.set_len(0).map_err(fail)?;
        }
        let part = Self {
            path,
            list,
            file,
            found,
            is_outdated,
            is_over: false,
        };
        if !is_same {
            part.remove_list()?;
            part.list.note(&Row::Object(identity))?;
        }
        Ok(part)
    }

    /// Notes that a range is written.
    pub fn note(list: &JsonLines, range: Range) -> Result<(), Error> {
        list.note(&Row::Range(range))
    }

    pub fn list(&self) -> JsonLines {
        self.list.clone()
    }

    /// Gives the file its final name, unless something has it by now.
    pub fn keep(mut self, target: &Path) -> Result<(), Error> {
        let fail = |error: io::Error| Error::file(target, error);
        self.file.sync_all().map_err(fail)?;
        // Linking refuses to replace, renaming does not.
        match fs::hard_link(&self.path, target) {
            Ok(()) => fs::remove_file(&self.path).map_err(fail)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Nobody would come back to it: its name is taken.
                self.discard()?;
                return Err(exists(target));
            }
            // A file system without hard links: claim the name first.
            Err(_) => {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(target)
                    .map_err(|_| exists(target))?;
                fs::rename(&self.path, target).map_err(fail)?;
            }
        }
        self.is_over = true;
        self.remove_list()?;
        let folder = target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        // Some systems cannot sync a folder; the file itself is safe already.
        if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// Deletes what is there.
    pub fn discard(mut self) -> Result<(), Error> {
        self.is_over = true;
        self.remove_list()?;
        fs::remove_file(&self.path).map_err(|error| Error::file(&self.path, error))
    }

    fn remove_list(&self) -> Result<(), Error> {
        match fs::remove_file(self.list.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::file(self.list.path(), error))
            }
            _ => Ok(()),
        }
    }
}

fn refuse_what_is_no_file(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(Error::file(path, "is in the way: remove it")),
        _ => Ok(()),
    }
}

/// The noted ranges whose bytes are there. A list may be damaged, and after a power cut it may know
/// more than the file.
fn intact(
    file: &mut File,
    rows: &[Row],
    size: u64,
    algorithm: Algorithm,
) -> io::Result<Vec<Range>> {
    let mut noted: Vec<Range> = rows
        .iter()
        .filter_map(|row| match row {
            Row::Range(range) => Some(*range),
            Row::Object(_) => None,
        })
        .collect();
    noted.sort_unstable();
    noted.dedup_by_key(|range| range.start);
    let mut wanted = ranges(size).peekable();
    let mut found = Vec::new();
    let mut buffer = vec![0; CHUNK];
    for range in noted {
        while wanted.next_if(|it| it.start < range.start).is_some() {}
        let is_whole = wanted
            .next_if(|it| (it.start, it.end) == (range.start, range.end))
            .is_some();
        if is_whole && crc_in(file, range, algorithm, &mut buffer)? == Some(range.crc) {
            found.push(range);
        }
    }
    Ok(found)
}

/// `None` where the file is shorter.
fn crc_in(
    file: &mut File,
    range: Range,
    algorithm: Algorithm,
    buffer: &mut [u8],
) -> io::Result<Option<u64>> {
    let mut crc = digest::crc(algorithm);
    file.seek(SeekFrom::Start(range.start))?;
    let mut left = range.end - range.start;
    while 0 < left {
        let most = buffer.len().min(left as usize);
        match file.read(&mut buffer[..most])? {
            0 => return Ok(None),
            read => {
                crc.update(&buffer[..read]);
                left -= read as u64;
            }
        }
    }
    Ok(Some(crc.finalize()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::model::Timestamp;

    const CRC: Algorithm = Algorithm::Crc64Nvme;

    fn object(etag: &str, size: u64) -> Object {
        Object {
            address: ObjectAddress::new("b", "a"),
            size,
            modified: Timestamp::UNIX_EPOCH,
            etag: etag.to_owned(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|it| {
                it.expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        names.sort();
        names
    }

    /// A part with its first range written and noted.
    fn begun(target: &Path, object: &Object) -> Range {
        let mut part = Part::open(target, object, CRC).expect("free");
        assert!(part.found.is_empty());
        let bytes = vec![7; RANGE as usize];
        part.file.write_all(&bytes).expect("a disk");
        let mut crc = digest::crc(CRC);
        crc.update(&bytes);
        let range = Range {
            start: 0,
            end: RANGE,
            crc: crc.finalize(),
        };
        Part::note(&part.list(), range).expect("a disk");
        range
    }

    #[test]
    fn the_next_download_finds_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a");
        let object = object("e", 2 * RANGE + 1);
        let range = begun(&target, &object);
        let part = Part::open(&target, &object, CRC).expect("free again");
        assert_eq!((part.found.clone(), part.is_outdated), (vec![range], false));
        let busy = Part::open(&target, &object, CRC).map(drop);
        assert!(matches!(busy, Err(Error::Refused(_))), "one at a time");
        part.keep(&target).expect("free");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn what_another_object_has_begun_is_left_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a");
        let object = object("e", 2 * RANGE);
        assert!(!is_of_another(&target, &object.address));
        begun(&target, &object);
        assert!(!is_of_another(&target, &object.address));
        assert!(is_of_another(&target, &ObjectAddress::new("b", "other/a")));
    }

    #[test]
    fn bytes_that_are_not_what_was_noted_are_fetched_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a");
        let object = object("e", 2 * RANGE);
        begun(&target, &object);
        let path = folder.path().join(".a.part");
        let mut file = OpenOptions::new().write(true).open(&path).expect("there");
        file.seek(SeekFrom::Start(RANGE / 2)).expect("a place");
        file.write_all(b"x").expect("a disk");
        assert!(
            Part::open(&target, &object, CRC)
                .expect("free")
                .found
                .is_empty()
        );
        file.set_len(5).expect("a disk");
        assert!(
            Part::open(&target, &object, CRC)
                .expect("free")
                .found
                .is_empty()
        );
    }

    #[test]
    fn another_version_begins_anew_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a");
        begun(&target, &object("old", 2 * RANGE));
        let part = Part::open(&target, &object("new", 2 * RANGE), CRC).expect("free");
        assert!(part.found.is_empty() && part.is_outdated);
        assert_eq!(part.file.metadata().expect("there").len(), 0);
        part.discard().expect("deleted");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_damaged_list_is_no_list() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a");
        let object = object("e", 2 * RANGE);
        for list in [
            "",
            "{",
            "{\"range\":{\"start\":0,\"end\":1,\"crc\":0}}\n",
            "\0\0",
        ] {
            fs::write(folder.path().join(".a.part"), "left over").expect("a file");
            fs::write(folder.path().join(".a.ranges"), list).expect("a file");
            let part = Part::open(&target, &object, CRC).expect("begins anew");
            assert!(part.found.is_empty());
        }
        // Ranges that are none of ours.
        begun(&target, &object);
        let part = Part::open(&target, &object, CRC).expect("free");
        for (start, end) in [(1, 2), (RANGE, u64::MAX), (9, 3), (0, 2 * RANGE)] {
            let odd = Range { start, end, crc: 0 };
            Part::note(&part.list(), odd).expect("a disk");
        }
        drop(part);
        let part = Part::open(&target, &object, CRC).expect("free");
        assert_eq!(part.found.len(), 1);
    }

    #[test]
    fn an_existing_file_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a");
        let part = Part::open(&target, &object("e", 4), CRC).expect("free");
        fs::write(&target, "mine").expect("a file");
        assert!(matches!(part.keep(&target), Err(Error::Refused(_))));
        assert_eq!(fs::read(&target).expect("untouched"), b"mine");
    }

    #[cfg(unix)]
    #[test]
    fn links_in_the_place_of_our_files_are_not_followed() {
        for name in [".a.part", ".a.ranges"] {
            let folder = tempfile::tempdir().expect("a folder");
            let link = folder.path().join(name);
            std::os::unix::fs::symlink("/nonexistent/elsewhere", link).expect("a link");
            let target = folder.path().join("a");
            assert!(Part::open(&target, &object("e", 4), CRC).is_err());
        }
    }
}
