//! Objects and parts on their way to the disk, and the ETags that they get.

use md5::{Digest, Md5};
use s3s::crypto::{Checksum as _, Crc64Nvme};

use super::blobs::NewBlob;
use super::index::{ObjectRow, PartRow};
use super::{
    Attributes, Checksum, Condition, ObjectInfo, Objects, ObjectsError, PartInfo, UploadId, now,
};
use crate::engine::digest::base64_encode;
use crate::engine::hex;

/// An object being written (implements [`std::io::Write`]); dropping it leaves nothing behind.
pub struct Writing {
    objects: Objects,
    bucket: String,
    key: String,
    attributes: Attributes,
    checksum: Option<Checksum>,
    crc: Crc64Nvme,
    pub(super) blob: NewBlob,
}

impl std::io::Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.blob.write(bytes)?;
        self.crc.update(&bytes[..written]);
        Ok(written)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.blob.flush()
    }
}

impl Writing {
    pub(super) fn new(objects: Objects, bucket: &str, key: &str, blob: NewBlob) -> Self {
        Self {
            objects,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            attributes: Attributes::default(),
            checksum: None,
            crc: Crc64Nvme::new(),
            blob,
        }
    }

    pub fn set_attributes(&mut self, attributes: Attributes) {
        self.attributes = attributes;
    }

    /// The checksum of what was written, in place of the CRC64NVME that S3 computes for whoever
    /// names none (user guide, "Checking object integrity").
    pub fn set_checksum(&mut self, checksum: Checksum) {
        self.checksum = Some(checksum);
    }

    /// MD5 of what was written so far.
    pub fn md5(&self) -> [u8; 16] {
        self.blob.md5()
    }

    /// Makes the object visible, durably. `multipart` gives the ETag the form of a multipart
    /// upload of one part.
    pub fn commit(self, multipart: bool) -> Result<ObjectInfo, ObjectsError> {
        self.commit_if(&Condition::Always, multipart)
    }

    /// The same, if the condition holds at the instant of the commit.
    ///
    /// # Errors
    /// `PreconditionFailed`, or `NoSuchKey` when there must be an object.
    pub fn commit_if(
        mut self,
        condition: &Condition,
        multipart: bool,
    ) -> Result<ObjectInfo, ObjectsError> {
        let (segment, md5) = self.blob.seal()?;
        let etag = quoted_hex(&md5);
        let (etag, parts) = if multipart {
            (multipart_etag([etag.as_str()]), vec![segment.size])
        } else {
            (etag, Vec::new())
        };
        let row = ObjectRow {
            info: ObjectInfo {
                key: self.key,
                size: segment.size,
                etag,
                modified: now(),
                content_type: self.attributes.content_type,
                metadata: self.attributes.metadata,
                headers: self.attributes.headers,
                checksum: Some(self.checksum.unwrap_or_else(|| Checksum {
                    algorithm: "CRC64NVME".to_owned(),
                    value: base64_encode(&self.crc.finalize()),
                    composite: false,
                })),
                parts,
            },
            segments: vec![segment],
        };
        let put = self.objects.index.put_object(&self.bucket, &row, condition);
        let freed = settle(self.blob, put)?;
        self.objects.free(&freed);
        Ok(row.info)
    }
}

/// A part being written (implements [`std::io::Write`]); dropping it leaves nothing behind.
pub struct WritingPart {
    objects: Objects,
    upload: UploadId,
    number: u16,
    blob: NewBlob,
}

impl std::io::Write for WritingPart {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.blob.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.blob.flush()
    }
}

impl WritingPart {
    pub(super) fn new(objects: Objects, upload: &UploadId, number: u16, blob: NewBlob) -> Self {
        Self {
            objects,
            upload: upload.clone(),
            number,
            blob,
        }
    }

    /// MD5 of what was written so far.
    pub fn md5(&self) -> [u8; 16] {
        self.blob.md5()
    }

    /// Files the part, durably, in place of an earlier one with its number.
    ///
    /// # Errors
    /// `NoSuchUpload` when it ended meanwhile.
    pub fn commit(mut self, checksum: Option<Checksum>) -> Result<PartInfo, ObjectsError> {
        let (segment, md5) = self.blob.seal()?;
        let row = PartRow {
            info: PartInfo {
                number: self.number,
                size: segment.size,
                etag: quoted_hex(&md5),
                modified: now(),
                checksum,
            },
            segment,
        };
        let put = self.objects.index.put_part(&self.upload, &row);
        let freed = settle(self.blob, put)?;
        self.objects.free(&freed);
        Ok(row.info)
    }
}

/// Keeps a blob that the index names. After a failure of the disk nobody knows whether it does:
/// the blob stays, and the next sweep decides.
fn settle<T>(blob: NewBlob, put: Result<T, ObjectsError>) -> Result<T, ObjectsError> {
    if matches!(put, Ok(_) | Err(ObjectsError::Storage(_))) {
        blob.keep();
    }
    put
}

/// MD5 of the parts' MD5s and their number, as S3 has it.
pub(super) fn multipart_etag<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut md5 = Md5::new();
    let mut count = 0;
    for etag in parts {
        md5.update(unquoted_bytes(etag));
        count += 1;
    }
    format!("\"{}-{count}\"", hex::encode(&md5.finalize()))
}

pub(super) fn quoted_hex(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(bytes))
}

/// The bytes of which [`quoted_hex`] made an ETag.
fn unquoted_bytes(etag: &str) -> Vec<u8> {
    let hex = etag.trim_matches('"').as_bytes();
    hex.chunks_exact(2)
        .filter_map(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())
        .collect()
}
