//! The bytes of objects and parts: one file a blob, named by a random id, never by a key.
//!
//! A blob is written once and never changed. Its file is a row of blocks, each `crc32 u32` and
//! bytes, so that a damaged one is told from what was written. Files that the index does not name
//! are leftovers of writers that did not finish; [`Blobs::sweep`] removes them when the storage is
//! opened.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::engine::disk::{Disk, DiskFile, folder_of};

/// Size of a block in its file, in bytes; the last one is shorter.
const BLOCK: usize = 64 * 1024;
/// Of a block: its checksum.
const HEADER: usize = 4;

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

    /// Which of the 256 folders it is in.
    fn folder(&self) -> usize {
        let digits = self.0.get(..2).unwrap_or_default();
        usize::from_str_radix(digits, 16).unwrap_or_default() % FOLDERS
    }
}

const FOLDERS: usize = 256;

/// A run of an object's bytes: one whole blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) blob: BlobId,
    /// Bytes.
    pub(super) size: u64,
    /// Its blocks have checksums; those of the first layout had none.
    #[serde(default)]
    pub(super) checked: bool,
}

impl Segment {
    fn header(&self) -> usize {
        if self.checked { HEADER } else { 0 }
    }
}

/// The folder of blobs, in 256 subfolders by the first two digits of their ids.
pub(super) struct Blobs {
    disk: Disk,
    folder: PathBuf,
    /// Which of the folders' names are known to be durable.
    synced: [AtomicBool; FOLDERS],
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
    pub(super) fn open(disk: &Disk, folder: PathBuf) -> io::Result<Self> {
        disk.create_folder(&folder)?;
        disk.sync_folder(folder_of(&folder))?;
        Ok(Self {
            disk: disk.clone(),
            folder,
            synced: std::array::from_fn(|_| AtomicBool::new(false)),
            pins: Mutex::default(),
        })
    }

    /// A new, empty blob.
    pub(super) fn create(self: &Arc<Self>) -> io::Result<NewBlob> {
        let id = BlobId::random();
        let path = self.path(&id);
        let file = match self.disk.create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.create_folder(folder_of(&path))?;
                self.disk.create_new(&path)?
            }
            created => created?,
        };
        Ok(NewBlob {
            blobs: Arc::clone(self),
            id,
            file,
            block: Vec::new(),
            written: 0,
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
                    self.disk.remove(&file.path())?;
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
        if let Err(error) = self.disk.remove(&self.path(blob)) {
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
    file: DiskFile,
    /// The block being filled, with room for its checksum in front.
    block: Vec<u8>,
    /// Of the file.
    written: u64,
    md5: Md5,
    size: u64,
    keep: bool,
}

impl NewBlob {
    /// Makes the bytes durable; returns what the index needs to know, and the MD5 of the bytes.
    pub(super) fn seal(&mut self) -> io::Result<(Segment, [u8; 16])> {
        self.flush()?;
        self.file.sync()?;
        let blobs = &self.blobs;
        blobs.disk.sync_folder(folder_of(self.file.path()))?;
        let is_durable = &blobs.synced[self.id.folder()];
        if !is_durable.load(Ordering::Acquire) {
            blobs.disk.sync_folder(&blobs.folder)?;
            is_durable.store(true, Ordering::Release);
        }
        let segment = Segment {
            blob: self.id.clone(),
            size: self.size,
            checked: true,
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

    /// Writes the block as it is; a full one is done with.
    fn write_block(&mut self) -> io::Result<()> {
        let checksum = crc32fast::hash(&self.block[HEADER..]);
        self.block[..HEADER].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_all_at(&self.block, self.written)?;
        if self.block.len() == BLOCK {
            self.written += BLOCK as u64;
            self.block.clear();
        }
        Ok(())
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.is_empty() {
            self.block.reserve_exact(BLOCK);
            self.block.extend_from_slice(&[0; HEADER]);
        }
        let taken = &bytes[..bytes.len().min(BLOCK - self.block.len())];
        self.block.extend_from_slice(taken);
        self.md5.update(taken);
        self.size += taken.len() as u64;
        if self.block.len() == BLOCK {
            self.write_block()?;
        }
        Ok(taken.len())
    }

    /// Writes what there is of the last block too; more may follow.
    fn flush(&mut self) -> io::Result<()> {
        if self.block.len() > HEADER {
            self.write_block()?;
        }
        Ok(())
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
/// Holds at most one file open, and one block.
pub struct ObjectReader {
    blobs: Arc<Blobs>,
    segments: Vec<Segment>,
    /// Where each segment ends in the object.
    ends: Vec<u64>,
    position: u64,
    current: Option<OpenSegment>,
    block: OpenBlock,
}

struct OpenSegment {
    index: usize,
    file: File,
    path: PathBuf,
}

/// A block as it is in its file, checked.
#[derive(Default)]
struct OpenBlock {
    segment: usize,
    number: u64,
    /// Empty when there is none.
    bytes: Vec<u8>,
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
            block: OpenBlock::default(),
        }
    }

    /// Size of the whole object in bytes.
    pub fn size(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The bytes of a segment from `offset` to the end of the block that it is in.
    fn bytes_from(&mut self, index: usize, offset: u64) -> io::Result<&[u8]> {
        let header = self.segments[index].header();
        let data = (BLOCK - header) as u64;
        let number = offset / data;
        let is_here = !self.block.bytes.is_empty()
            && (self.block.segment, self.block.number) == (index, number);
        if !is_here {
            self.read_block(index, number)?;
        }
        Ok(&self.block.bytes[header + (offset % data) as usize..])
    }

    fn read_block(&mut self, index: usize, number: u64) -> io::Result<()> {
        let segment = &self.segments[index];
        let open = match self.current.take() {
            Some(open) if open.index == index => open,
            _ => {
                let path = self.blobs.path(&segment.blob);
                let file = File::open(&path).map_err(|error| damaged(&path, &error.to_string()))?;
                OpenSegment { index, file, path }
            }
        };
        let open = self.current.insert(open);
        let header = segment.header();
        let data = (BLOCK - header) as u64;
        let left = segment.size - number * data;
        // It counts as none until it has been read and checked.
        let mut bytes = std::mem::take(&mut self.block.bytes);
        bytes.resize(header + left.min(data) as usize, 0);
        let read = open.file.read_exact_at(&mut bytes, number * BLOCK as u64);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged(&open.path, "it is too short"),
            kind => io::Error::new(kind, format!("{}: {error}", open.path.display())),
        })?;
        if let (true, Some((checksum, data))) = (segment.checked, bytes.split_first_chunk())
            && u32::from_le_bytes(*checksum) != crc32fast::hash(data)
        {
            let place = format!("the checksum of block {number} is wrong");
            return Err(damaged(&open.path, &place));
        }
        self.block = OpenBlock {
            segment: index,
            number,
            bytes,
        };
        Ok(())
    }
}

fn damaged(path: &Path, problem: &str) -> io::Error {
    let path = path.display();
    let text = format!(
        "{path} is damaged: {problem}: write the object anew, or put back a copy of the whole folder"
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let position = self.position;
        let index = self.ends.partition_point(|end| *end <= position);
        let Some(&end) = self.ends.get(index) else {
            return Ok(0);
        };
        let start = end - self.segments[index].size;
        let bytes = self.bytes_from(index, position - start)?;
        let read = buffer.len().min(bytes.len());
        buffer[..read].copy_from_slice(&bytes[..read]);
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
