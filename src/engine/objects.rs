//! Buckets and objects on disk, behind the S3 wire and used by Distributed Maps directly.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

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
}

#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    #[error("bucket {0} does not exist")]
    NoSuchBucket(String),
    #[error("object {0} does not exist")]
    NoSuchKey(String),
    #[error("object storage: {0}")]
    Storage(String),
}

/// A handle; clones share one storage. Methods block on the disk.
#[derive(Clone)]
pub struct Objects {}

impl Objects {
    pub fn open(folder: &Path) -> Result<Self, ObjectsError> {
        todo!()
    }
    /// Creates the bucket unless it is there; whether it was created.
    pub fn create_bucket(&self, bucket: &str) -> Result<bool, ObjectsError> {
        todo!()
    }
    /// The object as it is now: the file goes on to hold these bytes when the key is overwritten.
    pub fn read(&self, bucket: &str, key: &str) -> Result<(ObjectInfo, File), ObjectsError> {
        todo!()
    }
    /// A new object, invisible before [`Writing::commit`].
    pub fn write(&self, bucket: &str, key: &str) -> Result<Writing, ObjectsError> {
        todo!()
    }
}

/// An object being written (implements [`std::io::Write`]); dropping it leaves nothing behind.
pub struct Writing {}

impl std::io::Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        todo!()
    }
    fn flush(&mut self) -> std::io::Result<()> {
        todo!()
    }
}

impl Writing {
    /// Makes the object visible, durably. `multipart` gives the ETag the form of a multipart
    /// upload of one part.
    pub fn commit(self, multipart: bool) -> Result<ObjectInfo, ObjectsError> {
        todo!()
    }
}
