//! A redb file that goes on after a write that failed.
//!
//! redb does not touch a file again once an operation on it has failed, be it for a disk that is
//! full for a minute. So the file is opened anew then: its last commit is whole, and whoever could
//! not write may try again.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};

use super::{Disk, DiskFile};

/// Pages that redb keeps in memory, bytes.
const CACHE: usize = 32 << 20;

pub struct Database {
    file: Arc<DiskFile>,
    open: RwLock<Open>,
}

struct Open {
    database: Arc<redb::Database>,
    /// An operation on the file has failed.
    failed: Arc<AtomicBool>,
}

impl Database {
    /// Opens the file, or makes it. Every page is looked at, so that damage is found here and not
    /// in the middle of an answer.
    ///
    /// # Errors
    /// For [`explain`].
    pub fn open(disk: &Disk, path: &Path) -> Result<Self, redb::Error> {
        if !path.exists() {
            create(disk, path)?;
        }
        let file = Arc::new(disk.open(path)?);
        file.lock()?;
        let opened = open(&file, true)?;
        Ok(Self {
            file,
            open: RwLock::new(opened),
        })
    }

    pub fn begin_read(&self) -> Result<ReadTransaction, redb::Error> {
        self.with(|database| Ok(database.begin_read()?))
    }

    /// Waits for the writer before.
    pub fn begin_write(&self) -> Result<WriteTransaction, redb::Error> {
        self.with(|database| Ok(database.begin_write()?))
    }

    fn with<T>(
        &self,
        begin: impl FnOnce(&redb::Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        begin(&*self.current()?)
    }

    fn current(&self) -> Result<Arc<redb::Database>, redb::Error> {
        {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            if !open.failed.load(Ordering::Acquire) {
                return Ok(Arc::clone(&open.database));
            }
        }
        let mut current = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if current.failed.load(Ordering::Acquire) {
            // The old one cannot write any more, whoever still holds a transaction of it.
            *current = open(&self.file, false)?;
            tracing::info!(path = %self.file.path().display(), "opened again after a failure");
        }
        Ok(Arc::clone(&current.database))
    }
}

/// Makes an empty database under another name first: a crash half-way leaves none.
fn create(disk: &Disk, path: &Path) -> Result<(), redb::Error> {
    let new = path.with_extension("new");
    let file = Arc::new(disk.open(&new)?);
    file.set_len(0)?;
    drop(open(&file, false)?);
    file.sync()?;
    Ok(disk.rename(&new, path)?)
}

fn open(file: &Arc<DiskFile>, check: bool) -> Result<Open, redb::Error> {
    let failed = Arc::new(AtomicBool::new(false));
    let backend = Backend {
        file: Arc::clone(file),
        failed: Arc::clone(&failed),
    };
    let database = redb::Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(check)
        .create_with_backend(backend)?;
    let database = Arc::new(database);
    Ok(Open { database, failed })
}

/// What is wrong with the file at `path`, in words that say what to do; they do not name it.
pub fn explain(path: &Path, error: &redb::Error) -> String {
    match error {
        redb::Error::Corrupted(what) => format!(
            "is damaged ({what}): put back a copy of the whole folder, or begin anew with another --data-dir"
        ),
        redb::Error::Io(error) => {
            let text = error.to_string();
            let named = format!("{}: ", path.display());
            text.strip_prefix(&named).unwrap_or(&text).to_owned()
        }
        other => other.to_string(),
    }
}

/// The file as redb wants it, but for locks: it is locked already.
#[derive(Debug)]
struct Backend {
    file: Arc<DiskFile>,
    failed: Arc<AtomicBool>,
}

impl Backend {
    fn note<T>(&self, done: std::io::Result<T>) -> std::io::Result<T> {
        if done.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        done
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> std::io::Result<u64> {
        self.note(self.file.size())
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.note(self.file.read_exact_at(bytes, offset))
    }

    fn set_len(&self, size: u64) -> std::io::Result<()> {
        self.note(self.file.set_len(size))
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.note(self.file.sync())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.note(self.file.write_all_at(bytes, offset))
    }
}
