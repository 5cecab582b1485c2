//! The bytes of objects and parts: one file a blob, named by a random id, never by a key.
//!
//! A blob is written once and never changed. Files that the index does not name are leftovers of
//! writers that did not finish; [`Blobs::sweep`] removes them when the storage is opened.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How much a writer collects before it writes to the disk, in bytes.
const BUFFER: usize = 64 * 1024;

/// Name of a blob: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct BlobId(String);

impl BlobId {
    fn random() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A run of an object's bytes: one whole blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) blob: BlobId,
    /// Bytes.
    pub(super) size: u64,
}

/// The folder of blobs, in 256 subfolders by the first two digits of their ids.
pub(super) struct Blobs {
    folder: PathBuf,
    /// Blobs that readers hold. While a blob is here its file is not removed.
    pins: Mutex<HashMap<BlobId, Pin>>,
}

#[derive(Default)]
struct Pin {
    readers: usize,
    /// Removed from the index: the last reader removes the file.
    doomed: bool,
}

impl Blobs {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        create_private_folder(&folder)?;
        Ok(Self {
            folder,
            pins: Mutex::default(),
        })
    }

    /// A new, empty blob.
    pub(super) fn create(self: &Arc<Self>) -> io::Result<NewBlob> {
        let id = BlobId::random();
        let path = self.path(&id);
        let file = match create_private_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_private_folder(parent(&path))?;
                sync_folder(&self.folder)?;
                create_private_file(&path)?
            }
            created => created?,
        };
        Ok(NewBlob {
            blobs: Arc::clone(self),
            id,
            file: BufWriter::with_capacity(BUFFER, file),
            md5: Md5::new(),
            size: 0,
            keep: false,
        })
    }

    /// A reader over the segments that `find` looks up. No blob found by it can be removed before
    /// the reader has hold of it, because removing waits for the same lock.
    pub(super) fn reader<T, E>(
        self: &Arc<Self>,
        find: impl FnOnce() -> Result<(T, Vec<Segment>), E>,
    ) -> Result<(T, ObjectReader), E> {
        let mut pins = self.pins();
        let (found, segments) = find()?;
        for segment in &segments {
            pins.entry(segment.blob.clone()).or_default().readers += 1;
        }
        drop(pins);
        Ok((found, ObjectReader::new(Arc::clone(self), segments)))
    }

    /// Removes blobs that the index no longer names; those being read go with their last reader.
    pub(super) fn remove<'a>(&self, blobs: impl IntoIterator<Item = &'a BlobId>) {
        let mut pins = self.pins();
        let mut unread = Vec::new();
        for blob in blobs {
            match pins.get_mut(blob) {
                Some(pin) => pin.doomed = true,
                None => unread.push(blob),
            }
        }
        // Nobody can find them any more, so the files may go without the lock.
        drop(pins);
        for blob in unread {
            self.remove_file(blob);
        }
    }

    /// Removes every file that is not a blob in use.
    pub(super) fn sweep<E: From<io::Error>>(
        &self,
        in_use: impl Fn(&str) -> Result<bool, E>,
    ) -> Result<(), E> {
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                let wanted = match file.file_name().to_str() {
                    Some(name) => in_use(name)?,
                    None => false,
                };
                if !wanted {
                    fs::remove_file(file.path())?;
                }
            }
        }
        Ok(())
    }

    fn unpin(&self, segments: &[Segment]) {
        let mut pins = self.pins();
        let mut unread = Vec::new();
        for Segment { blob, .. } in segments {
            let Some(pin) = pins.get_mut(blob) else {
                continue;
            };
            pin.readers -= 1;
            if pin.readers > 0 {
                continue;
            }
            if pin.doomed {
                unread.push(blob);
            }
            pins.remove(blob);
        }
        drop(pins);
        for blob in unread {
            self.remove_file(blob);
        }
    }

    /// A file that cannot be removed now is a leftover for the next sweep, not a failure.
    fn remove_file(&self, blob: &BlobId) {
        if let Err(error) = fs::remove_file(self.path(blob)) {
            tracing::warn!(blob = blob.as_str(), %error, "blob stays until the next start");
        }
    }

    fn pins(&self) -> MutexGuard<'_, HashMap<BlobId, Pin>> {
        // Nothing panics half-way through a change of the map, so it is whole even if poisoned.
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, blob: &BlobId) -> PathBuf {
        let id = blob.as_str();
        self.folder.join(id.get(..2).unwrap_or("")).join(id)
    }
}

/// A blob being written; dropped unless [`NewBlob::keep`] was called, its file goes.
pub(super) struct NewBlob {
    blobs: Arc<Blobs>,
    id: BlobId,
    file: BufWriter<File>,
    md5: Md5,
    size: u64,
    keep: bool,
}

impl NewBlob {
    /// Makes the bytes durable; returns what the index needs to know, and the MD5 of the bytes.
    pub(super) fn seal(&mut self) -> io::Result<(Segment, [u8; 16])> {
        self.file.flush()?;
        // Its size is synced with the data, its times do not matter.
        self.file.get_ref().sync_data()?;
        sync_folder(parent(&self.blobs.path(&self.id)))?;
        let segment = Segment {
            blob: self.id.clone(),
            size: self.size,
        };
        Ok((segment, self.md5.finalize_reset().into()))
    }

    /// MD5 of the bytes so far.
    pub(super) fn md5(&self) -> [u8; 16] {
        self.md5.clone().finalize().into()
    }

    /// The index names the blob, or may do so.
    pub(super) fn keep(mut self) {
        self.keep = true;
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.md5.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        if !self.keep {
            self.blobs.remove_file(&self.id);
        }
    }
}

/// The bytes of one object as it was when the reader was made, whatever happens to its key since.
///
/// Holds at most one file open. Reads go to the disk: wrap it in a [`std::io::BufReader`] for
/// small ones.
pub struct ObjectReader {
    blobs: Arc<Blobs>,
    segments: Vec<Segment>,
    /// Where each segment ends in the object.
    ends: Vec<u64>,
    position: u64,
    current: Option<OpenSegment>,
}

struct OpenSegment {
    index: usize,
    file: File,
    /// Of the file, from its start.
    position: u64,
}

impl ObjectReader {
    fn new(blobs: Arc<Blobs>, segments: Vec<Segment>) -> Self {
        let ends = segments
            .iter()
            .scan(0, |end, segment| {
                *end += segment.size;
                Some(*end)
            })
            .collect();
        Self {
            blobs,
            segments,
            ends,
            position: 0,
            current: None,
        }
    }

    /// Size of the whole object in bytes.
    pub fn size(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The segment's file, positioned at `offset`.
    fn segment(&mut self, index: usize, offset: u64) -> io::Result<&mut OpenSegment> {
        let reopened = match self.current.take() {
            Some(open) if open.index == index => open,
            _ => OpenSegment {
                index,
                file: File::open(self.blobs.path(&self.segments[index].blob))?,
                position: 0,
            },
        };
        let open = self.current.insert(reopened);
        if open.position != offset {
            open.file.seek(SeekFrom::Start(offset))?;
            open.position = offset;
        }
        Ok(open)
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let position = self.position;
        let index = self.ends.partition_point(|end| *end <= position);
        let Some(&end) = self.ends.get(index) else {
            return Ok(0);
        };
        let start = end - self.segments[index].size;
        let left = usize::try_from(end - position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let open = self.segment(index, position - start)?;
        let read = open.file.read(&mut buffer[..wanted])?;
        if read == 0 && wanted > 0 {
            let problem = "a blob is shorter than the index says";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        open.position += read as u64;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for ObjectReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.size().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        // Some systems do not remove open files.
        self.current = None;
        self.blobs.unpin(&self.segments);
    }
}

/// Creates the folder, for its owner only, unless it is there.
pub(super) fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Creates the file, for its owner only.
///
/// # Errors
/// `AlreadyExists` when it is there.
pub(super) fn create_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the names in a folder durable, where the system wants to be asked.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .expect("a blob's path has the blob folder in it")
}
