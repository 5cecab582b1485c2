//! How many processes of this user ask the same account and Region now: each holds a locked file,
//! and the lock ends with the process, however that ends. The budget is divided by their number.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;

/// More processes than these share as if they were so many.
const SEATS: u32 = 64;
/// How long a count is good for.
const COUNTED_FOR: Duration = Duration::from_secs(5);

/// A place among those who share.
#[derive(Debug)]
pub(in crate::client) struct Seats {
    folder: PathBuf,
    /// Which one is ours.
    number: u32,
    /// Locked as long as we are.
    _own: File,
    counted: Mutex<Option<(Instant, u32)>>,
}

impl Seats {
    /// Sits down with those who share `of`, an account and Region, below `folder`.
    ///
    /// # Errors
    /// Where there can be no such files, or no locks; one then counts as alone.
    pub(in crate::client) fn take(folder: &Path, of: &str) -> io::Result<Self> {
        let plain = |c: char| match c.is_ascii_alphanumeric() || c == '-' {
            true => c,
            false => '_',
        };
        let folder = folder.join(of.chars().map(plain).collect::<String>());
        std::fs::create_dir_all(&folder)?;
        for number in 0..SEATS {
            let file = open(&folder, number, true)?;
            match file.try_lock() {
                Ok(()) => {
                    return Ok(Self {
                        folder,
                        number,
                        _own: file,
                        counted: Mutex::default(),
                    });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other("all seats are taken"))
    }

    /// Processes that share, this one with them. Counted anew every few seconds.
    pub(in crate::client) fn processes(&self, now: Instant) -> u32 {
        let mut counted = lock(&self.counted);
        let is_good = |(at, _): &(Instant, u32)| now.saturating_duration_since(*at) < COUNTED_FOR;
        if let Some((_, count)) = counted.filter(is_good) {
            return count;
        }
        let count = 1 + self.others();
        *counted = Some((now, count));
        count
    }

    fn others(&self) -> u32 {
        let others = (0..SEATS).filter(|number| *number != self.number);
        let is_taken = |number: &u32| match open(&self.folder, *number, false) {
            // Shared, so that those who count at the same time do not count each other.
            Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        };
        others.filter(is_taken).count() as u32
    }
}

fn open(folder: &Path, number: u32, create: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(format!("{number}.lock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_alive_counts_and_whoever_is_gone_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let sit = |of| Seats::take(folder.path(), of).unwrap();
        let now = Instant::now();
        let first = sit("472100009012 eu-west-1");
        assert_eq!(first.processes(now), 1);
        let second = sit("472100009012 eu-west-1");
        let elsewhere = sit("472100009012 us-east-1");
        assert_eq!((second.processes(now), elsewhere.processes(now)), (2, 1));
        // Not counted anew at once.
        assert_eq!(first.processes(now), 1);
        let later = now + COUNTED_FOR;
        assert_eq!(first.processes(later), 2);
        drop(first);
        assert_eq!(second.processes(later), 1);
        // A seat that is free is taken again.
        assert_eq!(sit("472100009012 eu-west-1").number, 0);
    }

    #[test]
    fn a_name_is_no_path() {
        let folder = tempfile::tempdir().unwrap();
        let _seat = Seats::take(folder.path(), "../../a/b").unwrap();
        assert!(folder.path().join("______a_b/0.lock").exists());
    }
}
