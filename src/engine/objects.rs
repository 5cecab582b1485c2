//! Buckets and objects on disk, behind the S3 wire and used by Distributed Maps directly.
//!
//! Bytes live in blob files with random names, everything else in one index. An object is complete
//! or absent after a kill at any instant: its blob is written and synced, then one transaction of
//! the index names it, then the blob that it replaces is removed. A key is never a path.
//!
//! An object is a list of blobs, so completing a multipart upload moves no bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

mod blobs;
mod index;
mod listing;
#[cfg(test)]
mod tests;
mod writing;

pub use blobs::ObjectReader;
pub use index::UploadId;
pub use listing::{ListQuery, Listing, after_key, after_prefix};
pub use writing::{Writing, WritingPart};

use super::disk::{Disk, folder_of};
use blobs::{Blobs, Segment};
use index::{Index, UploadRow};
use writing::multipart_etag;

/// Longest key in bytes of UTF-8.
pub const MAX_KEY: usize = 1024;
/// Least size of every part but the last, in bytes.
pub const MIN_PART: u64 = 5 * 1024 * 1024;

/// What is known of an object besides its bytes.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ObjectInfo {
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// With quotes.
    pub etag: String,
    /// Milliseconds since 1970, UTC.
    pub modified: i64,
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Standard headers to answer with, besides the content type: lower-case name to value.
    pub headers: BTreeMap<String, String>,
    pub checksum: Option<Checksum>,
    /// Sizes of the parts in bytes; empty when it was not a multipart upload.
    pub parts: Vec<u64>,
}

/// What a writer says about an object.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Attributes {
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// As in [`ObjectInfo::headers`].
    pub headers: BTreeMap<String, String>,
}

/// A checksum besides the ETag. The storage keeps it, whoever writes computes it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Checksum {
    /// As in the API, for example `CRC32`.
    pub algorithm: String,
    /// Base64; with `-N` for a composite of N parts. Empty while an upload is not complete.
    pub value: String,
    /// Of the parts' checksums, not of the bytes.
    pub composite: bool,
}

/// What is known of a part of an unfinished upload.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PartInfo {
    /// From 1.
    pub number: u16,
    /// Bytes.
    pub size: u64,
    /// With quotes: the MD5 of the part.
    pub etag: String,
    /// Milliseconds since 1970, UTC.
    pub modified: i64,
    pub checksum: Option<Checksum>,
}

/// An unfinished multipart upload.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    pub id: UploadId,
    /// Milliseconds since 1970, UTC.
    pub initiated: i64,
    /// The algorithm that parts are to be checked with; its value is empty.
    pub checksum: Option<Checksum>,
}

/// What must be true of the object now under a key for a change to happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    Always,
    /// There is none.
    Absent,
    /// There is one.
    Present,
    /// There is one with this ETag, quotes included.
    Etag(String),
}

impl Condition {
    fn check(&self, key: &str, now: Option<&ObjectInfo>) -> Result<(), ObjectsError> {
        let holds = match (self, now) {
            (Self::Always, _) | (Self::Absent, None) | (Self::Present, Some(_)) => true,
            (Self::Absent, Some(_)) => false,
            (Self::Etag(etag), Some(now)) => *etag == now.etag,
            (Self::Present | Self::Etag(_), None) => {
                return Err(ObjectsError::NoSuchKey(key.to_owned()));
            }
        };
        if holds {
            Ok(())
        } else {
            Err(ObjectsError::PreconditionFailed(key.to_owned()))
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    #[error("bucket {0} does not exist")]
    NoSuchBucket(String),
    #[error("object {0} does not exist")]
    NoSuchKey(String),
    #[error("bucket {0} is not empty")]
    BucketNotEmpty(String),
    /// Longer than [`MAX_KEY`], or empty.
    #[error("a key has 1 to 1024 bytes, not {0}")]
    KeyLength(usize),
    #[error("upload {0} does not exist; it was completed, aborted or never begun")]
    NoSuchUpload(String),
    /// Not uploaded, or uploaded with another ETag.
    #[error("part {0} of the upload is not the one uploaded")]
    InvalidPart(u16),
    #[error("the parts of the upload are not in ascending order")]
    InvalidPartOrder,
    #[error("part {0} of the upload is smaller than 5 MiB and not the last")]
    PartTooSmall(u16),
    #[error("object {0} is not as the request requires")]
    PreconditionFailed(String),
    /// The parts are there, but do not add up to the checksum that the request names.
    #[error("the parts of the upload do not have the checksum given")]
    ChecksumMismatch,
    /// The parts are there, but do not add up to the size that the request names.
    #[error("the parts of the upload have {actual} bytes, not {claimed}")]
    SizeMismatch { claimed: u64, actual: u64 },
    #[error("object storage: {0}")]
    Storage(String),
}

/// A handle; clones share one storage. Methods block on the disk.
#[derive(Clone)]
pub struct Objects {
    index: Arc<Index>,
    blobs: Arc<Blobs>,
}

impl Objects {
    /// Opens the storage in `folder`, or makes one. What unfinished writers left is removed.
    ///
    /// # Errors
    /// `Storage` when it is damaged, or when the disk fails.
    pub fn open(folder: &Path) -> Result<Self, ObjectsError> {
        Self::open_on(&Disk::default(), folder)
    }

    /// The same on a disk of the caller's.
    pub fn open_on(disk: &Disk, folder: &Path) -> Result<Self, ObjectsError> {
        disk.create_folder(folder)?;
        disk.sync_folder(folder_of(folder))?;
        let index = Index::open(disk, &folder.join("objects.redb"))?;
        let blobs = Blobs::open(disk, folder.join("blobs"))?;
        blobs.sweep(|blob| index.blob_in_use(blob))?;
        Ok(Self {
            index: Arc::new(index),
            blobs: Arc::new(blobs),
        })
    }

    /// Creates the bucket unless it is there; whether it was created.
    pub fn create_bucket(&self, bucket: &str) -> Result<bool, ObjectsError> {
        self.index.create_bucket(bucket, now())
    }

    /// Names and creation times (milliseconds since 1970, UTC), by name.
    pub fn buckets(&self) -> Result<Vec<(String, i64)>, ObjectsError> {
        self.index.buckets()
    }

    pub fn has_bucket(&self, bucket: &str) -> Result<bool, ObjectsError> {
        self.index.has_bucket(bucket)
    }

    /// Deletes an empty bucket, and the uploads that were begun in it.
    ///
    /// # Errors
    /// `NoSuchBucket`, `BucketNotEmpty`.
    pub fn delete_bucket(&self, bucket: &str) -> Result<(), ObjectsError> {
        let freed = self.index.delete_bucket(bucket)?;
        self.free(&freed);
        Ok(())
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`.
    pub fn head(&self, bucket: &str, key: &str) -> Result<ObjectInfo, ObjectsError> {
        Ok(self.index.object(bucket, key)?.info)
    }

    /// The object as it is now: the reader goes on to hold these bytes when the key is overwritten
    /// or deleted.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`.
    pub fn read(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<(ObjectInfo, ObjectReader), ObjectsError> {
        self.blobs.reader(|| {
            let row = self.index.object(bucket, key)?;
            Ok((row.info, row.segments))
        })
    }

    /// A new object, invisible before [`Writing::commit`].
    ///
    /// # Errors
    /// `NoSuchBucket`, `KeyLength`.
    pub fn write(&self, bucket: &str, key: &str) -> Result<Writing, ObjectsError> {
        check_key(key)?;
        self.require_bucket(bucket)?;
        Ok(Writing::new(
            self.clone(),
            bucket,
            key,
            self.blobs.create()?,
        ))
    }

    /// Deletes the object if it is there.
    ///
    /// # Errors
    /// `NoSuchBucket`; `PreconditionFailed` or `NoSuchKey` when `condition` does not hold.
    pub fn delete(
        &self,
        bucket: &str,
        key: &str,
        condition: &Condition,
    ) -> Result<(), ObjectsError> {
        let freed = self.index.delete_objects(bucket, [key], condition)?;
        self.free(&freed);
        Ok(())
    }

    /// Deletes those of the objects that are there, all at once.
    pub fn delete_all<'a>(
        &self,
        bucket: &str,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ObjectsError> {
        let freed = self
            .index
            .delete_objects(bucket, keys, &Condition::Always)?;
        self.free(&freed);
        Ok(())
    }

    /// One page of a bucket in the order of the keys' UTF-8. What a delimiter rolls up is stepped
    /// over, not read.
    pub fn list(&self, bucket: &str, query: &ListQuery) -> Result<Listing, ObjectsError> {
        self.index.list(bucket, query)
    }

    /// Begins a multipart upload. `checksum` is the algorithm its parts are checked with.
    pub fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        attributes: Attributes,
        checksum: Option<Checksum>,
    ) -> Result<UploadId, ObjectsError> {
        check_key(key)?;
        let initiated = now();
        let upload = UploadId {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            id: format!("{initiated:016x}{}", Uuid::new_v4().simple()),
        };
        let row = UploadRow {
            attributes,
            initiated,
            checksum,
        };
        self.index.create_upload(&upload, &row)?;
        Ok(upload)
    }

    /// # Errors
    /// `NoSuchUpload`.
    pub fn upload(&self, upload: &UploadId) -> Result<Upload, ObjectsError> {
        let row = self.index.upload(upload)?;
        Ok(known_upload(upload.clone(), row))
    }

    /// At most `most` unfinished uploads, by key and begin, whose keys begin with `prefix`, behind
    /// the key or upload given.
    pub fn uploads(
        &self,
        bucket: &str,
        prefix: &str,
        behind: (&str, Option<&str>),
        most: usize,
    ) -> Result<Vec<Upload>, ObjectsError> {
        let found = self.index.uploads(bucket, prefix, behind, most)?;
        Ok(found
            .into_iter()
            .map(|(id, row)| known_upload(id, row))
            .collect())
    }

    /// A part, not there before [`WritingPart::commit`]. `number` is from 1 to 10,000.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub fn write_part(&self, upload: &UploadId, number: u16) -> Result<WritingPart, ObjectsError> {
        self.index.upload(upload)?;
        let blob = self.blobs.create()?;
        Ok(WritingPart::new(self.clone(), upload, number, blob))
    }

    /// At most `most` parts with numbers above `behind`, by number.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub fn parts(
        &self,
        upload: &UploadId,
        behind: u16,
        most: usize,
    ) -> Result<Vec<PartInfo>, ObjectsError> {
        self.index.parts(upload, behind, most)
    }

    /// Makes the object of the chosen parts (number, ETag with quotes) visible, durably and at
    /// once; parts not chosen go. `checksum` checks the parts and computes the object's checksum
    /// from theirs.
    ///
    /// # Errors
    /// `NoSuchUpload`, `InvalidPart`, `InvalidPartOrder`, `PartTooSmall`, what `checksum` returns;
    /// `PreconditionFailed` or `NoSuchKey` when `condition` does not hold. The upload is then as it
    /// was.
    pub fn complete_upload(
        &self,
        upload: &UploadId,
        chosen: &[(u16, String)],
        condition: &Condition,
        checksum: impl FnOnce(&[PartInfo]) -> Result<Option<Checksum>, ObjectsError>,
    ) -> Result<ObjectInfo, ObjectsError> {
        if !chosen.is_sorted_by(|one, next| one.0 < next.0) {
            return Err(ObjectsError::InvalidPartOrder);
        }
        let make = |row: UploadRow, parts: &[PartInfo]| {
            let Attributes {
                content_type,
                metadata,
                headers,
            } = row.attributes;
            check_part_sizes(parts)?;
            Ok(ObjectInfo {
                key: upload.key.clone(),
                size: parts.iter().map(|part| part.size).sum(),
                etag: multipart_etag(parts.iter().map(|part| part.etag.as_str())),
                modified: now(),
                content_type,
                metadata,
                headers,
                checksum: checksum(parts)?,
                parts: parts.iter().map(|part| part.size).collect(),
            })
        };
        let (info, freed) = self
            .index
            .complete_upload(upload, chosen, condition, make)?;
        self.free(&freed);
        Ok(info)
    }

    /// # Errors
    /// `NoSuchUpload`.
    pub fn abort_upload(&self, upload: &UploadId) -> Result<(), ObjectsError> {
        let freed = self.index.abort_upload(upload)?;
        self.free(&freed);
        Ok(())
    }

    fn require_bucket(&self, bucket: &str) -> Result<(), ObjectsError> {
        if self.has_bucket(bucket)? {
            Ok(())
        } else {
            Err(ObjectsError::NoSuchBucket(bucket.to_owned()))
        }
    }

    fn free<'a>(&self, segments: impl IntoIterator<Item = &'a Segment>) {
        self.blobs
            .remove(segments.into_iter().map(|segment| &segment.blob));
    }
}

fn known_upload(id: UploadId, row: UploadRow) -> Upload {
    Upload {
        id,
        initiated: row.initiated,
        checksum: row.checksum,
    }
}

fn check_key(key: &str) -> Result<(), ObjectsError> {
    if (1..=MAX_KEY).contains(&key.len()) {
        Ok(())
    } else {
        Err(ObjectsError::KeyLength(key.len()))
    }
}

fn check_part_sizes(parts: &[PartInfo]) -> Result<(), ObjectsError> {
    let all_but_last = parts.split_last().map_or(&[][..], |(_, rest)| rest);
    match all_but_last.iter().find(|part| part.size < MIN_PART) {
        Some(small) => Err(ObjectsError::PartTooSmall(small.number)),
        None => Ok(()),
    }
}

/// Milliseconds since 1970, UTC.
fn now() -> i64 {
    Timestamp::now().as_millisecond()
}
