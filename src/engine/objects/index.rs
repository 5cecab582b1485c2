//! What is where: buckets, objects, uploads and the blobs in use, in one redb file.
//!
//! | table     | key                              | value                                | order |
//! |-----------|----------------------------------|--------------------------------------|-------|
//! | `layout`  | `"version"`                      | [`LAYOUT`]                           |       |
//! | `buckets` | bucket                           | creation, milliseconds since 1970    | name  |
//! | `objects` | bucket, key                      | JSON of [`ObjectRow`]                | key   |
//! | `uploads` | bucket, key, upload id           | JSON of [`UploadRow`]                | key, then begin |
//! | `parts`   | upload id, part number           | JSON of [`PartRow`]                  | part number |
//! | `blobs`   | blob id                          | nothing                              |       |
//!
//! A row of `objects` or `parts` and the rows of `blobs` that it names change in one transaction.

use std::ops::Bound;
use std::path::Path;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::blobs::Segment;
use super::listing::{self, ListQuery, Listing, after_key};
use super::{Attributes, Checksum, Condition, ObjectInfo, ObjectsError, PartInfo};
use crate::engine::disk::{Database, Disk, explain};

/// Version of the tables' layout; a later one is refused. In version 1 the blocks of blobs had no
/// checksums: [`Segment`] tells for each blob whether it has.
const LAYOUT: u64 = 2;

pub(super) type ObjectKey = (&'static str, &'static str);
type UploadKey = (&'static str, &'static str, &'static str);

const LAYOUT_TABLE: TableDefinition<&str, u64> = TableDefinition::new("layout");
const BUCKETS: TableDefinition<&str, i64> = TableDefinition::new("buckets");
const OBJECTS: TableDefinition<ObjectKey, &[u8]> = TableDefinition::new("objects");
const UPLOADS: TableDefinition<UploadKey, &[u8]> = TableDefinition::new("uploads");
const PARTS: TableDefinition<(&str, u16), &[u8]> = TableDefinition::new("parts");
const BLOBS: TableDefinition<&str, ()> = TableDefinition::new("blobs");

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ObjectRow {
    pub(super) info: ObjectInfo,
    pub(super) segments: Vec<Segment>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct UploadRow {
    pub(super) attributes: Attributes,
    /// Milliseconds since 1970, UTC.
    pub(super) initiated: i64,
    /// What the client said its parts' checksums would be.
    pub(super) checksum: Option<Checksum>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PartRow {
    pub(super) info: PartInfo,
    pub(super) segment: Segment,
}

/// Where an upload is filed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadId {
    pub bucket: String,
    pub key: String,
    /// As given out by `CreateMultipartUpload`; ids of one key sort by their begin.
    pub id: String,
}

impl UploadId {
    fn row(&self) -> (&str, &str, &str) {
        (&self.bucket, &self.key, &self.id)
    }
}

pub(super) struct Index {
    database: Database,
}

impl Index {
    pub(super) fn open(disk: &Disk, path: &Path) -> Result<Self, ObjectsError> {
        let named =
            |problem: String| ObjectsError::Storage(format!("{} {problem}", path.display()));
        let database = Database::open(disk, path).map_err(|error| named(explain(path, &error)))?;
        let index = Self { database };
        index.create_tables(named)?;
        Ok(index)
    }

    fn create_tables(&self, named: impl Fn(String) -> ObjectsError) -> Result<(), ObjectsError> {
        let write = self.database.begin_write()?;
        {
            let mut layout = write.open_table(LAYOUT_TABLE)?;
            let found = layout.get("version")?.map(|version| version.value());
            match found {
                Some(LAYOUT) => return Ok(()),
                Some(later) if later > LAYOUT => {
                    return Err(named(format!(
                        "has layout {later}, this program knows {LAYOUT}; use the program that made it"
                    )));
                }
                _ => layout.insert("version", LAYOUT)?,
            };
            write.open_table(BUCKETS)?;
            write.open_table(OBJECTS)?;
            write.open_table(UPLOADS)?;
            write.open_table(PARTS)?;
            write.open_table(BLOBS)?;
        }
        write.commit()?;
        Ok(())
    }

    pub(super) fn blob_in_use(&self, blob: &str) -> Result<bool, ObjectsError> {
        let blobs = self.database.begin_read()?.open_table(BLOBS)?;
        Ok(blobs.get(blob)?.is_some())
    }

    /// Every bucket with its creation in milliseconds since 1970, by name.
    pub(super) fn buckets(&self) -> Result<Vec<(String, i64)>, ObjectsError> {
        let buckets = self.database.begin_read()?.open_table(BUCKETS)?;
        buckets
            .iter()?
            .map(|row| {
                let (name, created) = row?;
                Ok((name.value().to_owned(), created.value()))
            })
            .collect()
    }

    pub(super) fn has_bucket(&self, bucket: &str) -> Result<bool, ObjectsError> {
        let buckets = self.database.begin_read()?.open_table(BUCKETS)?;
        Ok(buckets.get(bucket)?.is_some())
    }

    pub(super) fn create_bucket(&self, bucket: &str, now: i64) -> Result<bool, ObjectsError> {
        let write = self.database.begin_write()?;
        {
            let mut buckets = write.open_table(BUCKETS)?;
            if buckets.get(bucket)?.is_some() {
                return Ok(false);
            }
            buckets.insert(bucket, now)?;
        }
        write.commit()?;
        Ok(true)
    }

    /// Deletes the bucket and its unfinished uploads; returns their segments.
    pub(super) fn delete_bucket(&self, bucket: &str) -> Result<Vec<Segment>, ObjectsError> {
        let write = self.database.begin_write()?;
        let mut freed = Vec::new();
        {
            if write.open_table(BUCKETS)?.remove(bucket)?.is_none() {
                return Err(ObjectsError::NoSuchBucket(bucket.to_owned()));
            }
            let objects = write.open_table(OBJECTS)?;
            if let Some(row) = objects.range((bucket, "")..)?.next()
                && row?.0.value().0 == bucket
            {
                return Err(ObjectsError::BucketNotEmpty(bucket.to_owned()));
            }
            let mut uploads = write.open_table(UPLOADS)?;
            let mut ended = Vec::new();
            for row in uploads.range((bucket, "", "")..)? {
                let row = row?;
                let (of, key, id) = row.0.value();
                if of != bucket {
                    break;
                }
                ended.push((key.to_owned(), id.to_owned()));
            }
            for (key, id) in ended {
                uploads.remove((bucket, key.as_str(), id.as_str()))?;
                freed.extend(remove_parts(&write, &id)?);
            }
        }
        write.commit()?;
        Ok(freed)
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> Result<ObjectRow, ObjectsError> {
        let read = self.database.begin_read()?;
        let row = read.open_table(OBJECTS)?.get((bucket, key))?;
        match row {
            Some(row) => decode(row.value()),
            None if read.open_table(BUCKETS)?.get(bucket)?.is_none() => {
                Err(ObjectsError::NoSuchBucket(bucket.to_owned()))
            }
            None => Err(ObjectsError::NoSuchKey(key.to_owned())),
        }
    }

    /// Makes the object visible; returns the segments of the one that it replaces.
    pub(super) fn put_object(
        &self,
        bucket: &str,
        row: &ObjectRow,
        condition: &Condition,
    ) -> Result<Vec<Segment>, ObjectsError> {
        let write = self.database.begin_write()?;
        let freed = replace_object(&write, bucket, row, condition)?;
        write.commit()?;
        Ok(freed)
    }

    /// Deletes those of the keys that are there, in one transaction; returns their segments.
    pub(super) fn delete_objects<'a>(
        &self,
        bucket: &str,
        keys: impl IntoIterator<Item = &'a str>,
        condition: &Condition,
    ) -> Result<Vec<Segment>, ObjectsError> {
        let write = self.database.begin_write()?;
        let mut freed = Vec::new();
        {
            require_bucket(&write, bucket)?;
            let mut objects = write.open_table(OBJECTS)?;
            let mut blobs = write.open_table(BLOBS)?;
            for key in keys {
                let old: Option<ObjectRow> = objects
                    .remove((bucket, key))?
                    .map(|row| decode(row.value()))
                    .transpose()?;
                condition.check(key, old.as_ref().map(|row| &row.info))?;
                for segment in old.into_iter().flat_map(|row| row.segments) {
                    blobs.remove(segment.blob.as_str())?;
                    freed.push(segment);
                }
            }
        }
        write.commit()?;
        Ok(freed)
    }

    pub(super) fn list(&self, bucket: &str, query: &ListQuery) -> Result<Listing, ObjectsError> {
        let read = self.database.begin_read()?;
        if read.open_table(BUCKETS)?.get(bucket)?.is_none() {
            return Err(ObjectsError::NoSuchBucket(bucket.to_owned()));
        }
        listing::page(&read.open_table(OBJECTS)?, bucket, query)
    }

    pub(super) fn create_upload(
        &self,
        upload: &UploadId,
        row: &UploadRow,
    ) -> Result<(), ObjectsError> {
        let write = self.database.begin_write()?;
        {
            require_bucket(&write, &upload.bucket)?;
            let mut uploads = write.open_table(UPLOADS)?;
            uploads.insert(upload.row(), encode(row)?.as_slice())?;
        }
        write.commit()?;
        Ok(())
    }

    pub(super) fn upload(&self, upload: &UploadId) -> Result<UploadRow, ObjectsError> {
        let uploads = self.database.begin_read()?.open_table(UPLOADS)?;
        match uploads.get(upload.row())? {
            Some(row) => decode(row.value()),
            None => Err(ObjectsError::NoSuchUpload(upload.id.clone())),
        }
    }

    /// At most `most` unfinished uploads, by key and begin, whose keys begin with `prefix`.
    /// `behind` is the upload before the first one wanted, or the key before.
    pub(super) fn uploads(
        &self,
        bucket: &str,
        prefix: &str,
        behind: (&str, Option<&str>),
        most: usize,
    ) -> Result<Vec<(UploadId, UploadRow)>, ObjectsError> {
        if !self.has_bucket(bucket)? {
            return Err(ObjectsError::NoSuchBucket(bucket.to_owned()));
        }
        let uploads = self.database.begin_read()?.open_table(UPLOADS)?;
        let next_key = after_key(behind.0);
        let start = match behind {
            (key, _) if key < prefix => Bound::Included((bucket, prefix, "")),
            (key, Some(id)) => Bound::Excluded((bucket, key, id)),
            (_, None) => Bound::Included((bucket, next_key.as_str(), "")),
        };
        let mut found = Vec::new();
        for row in uploads.range::<(&str, &str, &str)>((start, Bound::Unbounded))? {
            let (row_key, row) = row?;
            let (of, key, id) = row_key.value();
            if of != bucket || !key.starts_with(prefix) || found.len() == most {
                break;
            }
            let upload = UploadId {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                id: id.to_owned(),
            };
            found.push((upload, decode(row.value())?));
        }
        Ok(found)
    }

    /// Files a part; returns the segment of the one with the same number that it replaces.
    pub(super) fn put_part(
        &self,
        upload: &UploadId,
        row: &PartRow,
    ) -> Result<Option<Segment>, ObjectsError> {
        let write = self.database.begin_write()?;
        let freed = {
            require_upload(&write, upload)?;
            let mut parts = write.open_table(PARTS)?;
            let mut blobs = write.open_table(BLOBS)?;
            let encoded = encode(row)?;
            let old: Option<PartRow> = parts
                .insert((upload.id.as_str(), row.info.number), encoded.as_slice())?
                .map(|old| decode(old.value()))
                .transpose()?;
            blobs.insert(row.segment.blob.as_str(), ())?;
            if let Some(old) = &old {
                blobs.remove(old.segment.blob.as_str())?;
            }
            old.map(|old| old.segment)
        };
        write.commit()?;
        Ok(freed)
    }

    /// At most `most` parts with numbers above `behind`, by number.
    pub(super) fn parts(
        &self,
        upload: &UploadId,
        behind: u16,
        most: usize,
    ) -> Result<Vec<PartInfo>, ObjectsError> {
        self.upload(upload)?;
        let parts = self.database.begin_read()?.open_table(PARTS)?;
        let id = upload.id.as_str();
        let range = (
            Bound::Excluded((id, behind)),
            Bound::Included((id, u16::MAX)),
        );
        parts
            .range::<(&str, u16)>(range)?
            .take(most)
            .map(|row| Ok(decode::<PartRow>(row?.1.value())?.info))
            .collect()
    }

    /// Turns an upload into an object made of `chosen` parts (number and ETag), by reference.
    ///
    /// `make` gets the chosen parts and returns what is to be known of the object. Returns that,
    /// and the segments freed: of parts not chosen and of the object replaced.
    pub(super) fn complete_upload(
        &self,
        upload: &UploadId,
        chosen: &[(u16, String)],
        condition: &Condition,
        make: impl FnOnce(UploadRow, &[PartInfo]) -> Result<ObjectInfo, ObjectsError>,
    ) -> Result<(ObjectInfo, Vec<Segment>), ObjectsError> {
        let write = self.database.begin_write()?;
        let row = require_upload(&write, upload)?;
        let mut parts = Vec::with_capacity(chosen.len());
        let mut segments = Vec::with_capacity(chosen.len());
        for (number, etag) in chosen {
            let part = take_part(&write, &upload.id, *number, etag)?;
            parts.push(part.info);
            segments.push(part.segment);
        }
        let info = make(row, &parts)?;
        let mut freed = remove_parts(&write, &upload.id)?;
        write.open_table(UPLOADS)?.remove(upload.row())?;
        let row = ObjectRow { info, segments };
        freed.extend(replace_object(&write, &upload.bucket, &row, condition)?);
        write.commit()?;
        Ok((row.info, freed))
    }

    pub(super) fn abort_upload(&self, upload: &UploadId) -> Result<Vec<Segment>, ObjectsError> {
        let write = self.database.begin_write()?;
        require_upload(&write, upload)?;
        write.open_table(UPLOADS)?.remove(upload.row())?;
        let freed = remove_parts(&write, &upload.id)?;
        write.commit()?;
        Ok(freed)
    }
}

fn replace_object(
    write: &WriteTransaction,
    bucket: &str,
    row: &ObjectRow,
    condition: &Condition,
) -> Result<Vec<Segment>, ObjectsError> {
    require_bucket(write, bucket)?;
    let mut objects = write.open_table(OBJECTS)?;
    let mut blobs = write.open_table(BLOBS)?;
    let key = row.info.key.as_str();
    let old: Option<ObjectRow> = objects
        .insert((bucket, key), encode(row)?.as_slice())?
        .map(|old| decode(old.value()))
        .transpose()?;
    // The transaction is dropped, and with it the insert, when the condition does not hold.
    condition.check(key, old.as_ref().map(|old| &old.info))?;
    for segment in &row.segments {
        blobs.insert(segment.blob.as_str(), ())?;
    }
    let freed = old.map(|old| old.segments).unwrap_or_default();
    for segment in &freed {
        blobs.remove(segment.blob.as_str())?;
    }
    Ok(freed)
}

/// Takes a part out of its upload; its blob stays in use.
fn take_part(
    write: &WriteTransaction,
    upload: &str,
    number: u16,
    etag: &str,
) -> Result<PartRow, ObjectsError> {
    let mut parts = write.open_table(PARTS)?;
    let part: Option<PartRow> = parts
        .remove((upload, number))?
        .map(|row| decode(row.value()))
        .transpose()?;
    part.filter(|part| part.info.etag == etag)
        .ok_or(ObjectsError::InvalidPart(number))
}

/// Removes what parts an upload has; returns their segments.
fn remove_parts(write: &WriteTransaction, upload: &str) -> Result<Vec<Segment>, ObjectsError> {
    let mut parts = write.open_table(PARTS)?;
    let mut blobs = write.open_table(BLOBS)?;
    let mut removed = Vec::new();
    for row in parts.extract_from_if((upload, 0)..=(upload, u16::MAX), |_, _| true)? {
        let part: PartRow = decode(row?.1.value())?;
        blobs.remove(part.segment.blob.as_str())?;
        removed.push(part.segment);
    }
    Ok(removed)
}

fn require_bucket(write: &WriteTransaction, bucket: &str) -> Result<(), ObjectsError> {
    match write.open_table(BUCKETS)?.get(bucket)? {
        Some(_) => Ok(()),
        None => Err(ObjectsError::NoSuchBucket(bucket.to_owned())),
    }
}

fn require_upload(write: &WriteTransaction, upload: &UploadId) -> Result<UploadRow, ObjectsError> {
    let uploads: Table<UploadKey, &[u8]> = write.open_table(UPLOADS)?;
    match uploads.get(upload.row())? {
        Some(row) => decode(row.value()),
        None => Err(ObjectsError::NoSuchUpload(upload.id.clone())),
    }
}

fn encode(row: &impl Serialize) -> Result<Vec<u8>, ObjectsError> {
    serde_json::to_vec(row).map_err(|error| ObjectsError::Storage(format!("index row: {error}")))
}

pub(super) fn decode<T: DeserializeOwned>(row: &[u8]) -> Result<T, ObjectsError> {
    serde_json::from_slice(row)
        .map_err(|error| ObjectsError::Storage(format!("damaged index row: {error}")))
}

macro_rules! storage_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for ObjectsError {
            fn from(error: $error) -> Self {
                Self::Storage(error.to_string())
            }
        }
    )*};
}
storage_errors!(
    redb::Error,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    std::io::Error
);
