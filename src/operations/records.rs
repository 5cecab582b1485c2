//! Append-only files of JSON lines in the state folder: what was done outlives the process.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::operations::Error;

/// A file of JSON documents, one a line, that only grows. Several processes may append at once:
/// each line is one write in append mode. Readable by its owner only (0600).
#[derive(Debug, Clone)]
pub struct JsonLines {
    path: PathBuf,
}

/// Writes a new file that only its owner can read (0600).
///
/// # Errors
/// `AlreadyExists` when there is one of that name.
pub(super) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

/// What a file of JSON lines holds.
#[derive(Debug)]
pub struct Rows<T> {
    pub rows: Vec<T>,
    /// Lines that could not be read: damaged, or of a newer version.
    pub skipped: usize,
}

impl JsonLines {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line and waits until it is on disk.
    ///
    /// # Errors
    /// `File` with the path.
    pub fn append(&self, row: &impl Serialize) -> Result<(), Error> {
        let fail = |error: io::Error| Error::file(&self.path, error);
        self.add(row)
            .and_then(|file| file.sync_data())
            .map_err(fail)
    }

    /// The same without waiting for the disk: the line outlives the process, but perhaps not a
    /// power cut.
    ///
    /// # Errors
    /// `File` with the path.
    pub fn note(&self, row: &impl Serialize) -> Result<(), Error> {
        let fail = |error: io::Error| Error::file(&self.path, error);
        self.add(row).map(drop).map_err(fail)
    }

    fn add(&self, row: &impl Serialize) -> io::Result<File> {
        let mut line = serde_json::to_vec(row)?;
        line.push(b'\n');
        self.write(&line)
    }

    fn write(&self, line: &[u8]) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).read(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        // A process killed in the middle of a line must not spoil the next one too.
        match ends_within_a_line(&mut file)? {
            true => file.write_all(&[b"\n", line].concat())?,
            false => file.write_all(line)?,
        }
        Ok(file)
    }

    /// Every row, oldest first. A file that does not exist has none.
    ///
    /// # Errors
    /// `File` with the path.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Rows<T>, Error> {
        let mut rows = Vec::new();
        let skipped = self.each(|row| rows.push(row))?;
        Ok(Rows { rows, skipped })
    }

    /// The newest `limit` rows, the oldest of them first; no more are held in memory.
    ///
    /// # Errors
    /// `File` with the path.
    pub fn newest<T: DeserializeOwned>(&self, limit: usize) -> Result<Rows<T>, Error> {
        let mut rows = VecDeque::new();
        let skipped = self.each(|row| {
            rows.push_back(row);
            if limit < rows.len() {
                rows.pop_front();
            }
        })?;
        Ok(Rows {
            rows: rows.into(),
            skipped,
        })
    }

    /// Tells of every row, oldest first, without keeping them; returns how many lines could not be
    /// read.
    ///
    /// # Errors
    /// `File` with the path.
    pub fn each<T: DeserializeOwned>(&self, mut tell: impl FnMut(T)) -> Result<usize, Error> {
        let mut skipped = 0;
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(Error::file(&self.path, error)),
        };
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|error| Error::file(&self.path, error))?;
            match serde_json::from_slice(&line) {
                Ok(row) => tell(row),
                Err(_) if line.is_empty() => {}
                Err(_) => skipped += 1,
            }
        }
        Ok(skipped)
    }
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_order_and_a_torn_one_costs_only_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = JsonLines::new(folder.path().join("deep/rows.jsonl"));
        assert!(file.read::<u32>().expect("none yet").rows.is_empty());
        file.append(&1).expect("a disk");
        let torn = OpenOptions::new().append(true).open(file.path());
        torn.expect("there").write_all(b"{\"a\":").expect("a disk");
        file.append(&2).expect("a disk");
        let found = file.read::<u32>().expect("readable");
        assert_eq!((found.rows, found.skipped), (vec![1, 2], 1));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let file = JsonLines::new(folder.path().join("rows.jsonl"));
        file.append(&1).expect("a disk");
        let mode = fs::metadata(file.path()).expect("there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
}
