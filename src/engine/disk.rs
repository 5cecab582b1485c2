//! The engine's way to the disk. Whatever must survive is written through here, so that a test can
//! cut the power before any write, or let the disk be full, and look at what is left.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

mod database;
#[cfg(test)]
pub mod faults;

pub use database::{Database, explain};
#[cfg(test)]
use faults::Faults;

/// How long to wait before a failed write is tried again.
pub const RETRY: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 1_000 });

/// A handle; clones write to the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    #[cfg(test)]
    faults: Option<Arc<Faults>>,
}

/// A file that is written at offsets and made durable by [`DiskFile::sync`].
#[derive(Debug)]
pub struct DiskFile {
    file: Arc<File>,
    path: PathBuf,
    #[cfg(test)]
    faults: Option<Arc<Faults>>,
}

/// Asks the simulated disk first, where there is one.
macro_rules! ask {
    ($self:ident, $faults:ident => $asked:expr) => {
        #[cfg(test)]
        if let Some($faults) = &$self.faults {
            $asked?;
        }
    };
}

impl Disk {
    /// Opens the file for its owner only, and makes it unless it is there. Its name is durable
    /// after [`Disk::sync_folder`].
    pub fn open(&self, path: &Path) -> io::Result<DiskFile> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false);
        self.open_with(options, path)
    }

    /// The same, for a file that must not be there yet.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub fn create_new(&self, path: &Path) -> io::Result<DiskFile> {
        let mut options = OpenOptions::new();
        options.create_new(true);
        self.open_with(options, path)
    }

    #[cfg_attr(
        not(test),
        expect(
            clippy::unused_self,
            reason = "only tests put faults between us and the disk"
        )
    )]
    fn open_with(&self, mut options: OpenOptions, path: &Path) -> io::Result<DiskFile> {
        ask!(self, faults => faults.create(path));
        let file = options.read(true).write(true).mode(0o600).open(path);
        Ok(DiskFile {
            file: Arc::new(file.map_err(|error| named(path, &error))?),
            path: path.to_owned(),
            #[cfg(test)]
            faults: self.faults.clone(),
        })
    }

    /// Makes the folder and those above it, for their owner only, unless they are there.
    pub fn create_folder(&self, path: &Path) -> io::Result<()> {
        ask!(self, faults => faults.create_folder(path));
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(|error| named(path, &error))
    }

    pub fn remove(&self, path: &Path) -> io::Result<()> {
        ask!(self, faults => faults.remove(path));
        fs::remove_file(path).map_err(|error| named(path, &error))
    }

    /// Makes the names in a folder durable.
    pub fn sync_folder(&self, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        if let Some(faults) = &self.faults {
            return faults.sync_folder(path);
        }
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| named(path, &error))
    }

    /// Replaces a whole file, durably and at once: after a crash it is the old one or the new one.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let new = path.with_extension("new");
        let file = self.open(&new)?;
        file.set_len(0)?;
        file.write_all_at(bytes, 0)?;
        file.sync()?;
        self.rename(&new, path)
    }

    /// Gives a synced file its name, durably, in place of what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        ask!(self, faults => faults.rename(from, to));
        fs::rename(from, to).map_err(|error| named(to, &error))?;
        self.sync_folder(folder_of(to))
    }
}

impl DiskFile {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For those who read only.
    pub fn shared(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Keeps others away as long as this is open.
    ///
    /// # Errors
    /// `WouldBlock` when somebody has it.
    pub fn lock(&self) -> io::Result<()> {
        match self.file.try_lock() {
            Ok(()) => Ok(()),
            Err(fs::TryLockError::WouldBlock) => {
                let text = "is in use by another process: stop it first";
                let text = format!("{}: {text}", self.path.display());
                Err(io::Error::new(io::ErrorKind::WouldBlock, text))
            }
            Err(fs::TryLockError::Error(error)) => Err(self.named(&error)),
        }
    }

    /// In bytes.
    pub fn size(&self) -> io::Result<u64> {
        let known = self.file.metadata().map_err(|error| self.named(&error))?;
        Ok(known.len())
    }

    pub fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let read = self.file.read_exact_at(bytes, at);
        read.map_err(|error| self.named(&error))
    }

    pub fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        ask!(self, faults => faults.write(&self.path, at, bytes).map_err(|error| self.named(&error)));
        let written = self.file.write_all_at(bytes, at);
        written.map_err(|error| self.named(&error))
    }

    pub fn set_len(&self, size: u64) -> io::Result<()> {
        ask!(self, faults => faults.set_len(&self.path, size));
        self.file.set_len(size).map_err(|error| self.named(&error))
    }

    /// Returns once bytes and size are on disk.
    pub fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        if let Some(faults) = &self.faults {
            return faults.sync(&self.path);
        }
        self.file.sync_data().map_err(|error| self.named(&error))
    }

    fn named(&self, error: &io::Error) -> io::Error {
        named(&self.path, error)
    }
}

/// The same error with the file's name, and what to do about a full disk.
fn named(path: &Path, error: &io::Error) -> io::Error {
    let path = path.display();
    let text = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{path}: {error}: free some space; what was written before is safe")
        }
        _ => format!("{path}: {error}"),
    };
    io::Error::new(error.kind(), text)
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
