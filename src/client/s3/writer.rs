//! Writing an object: one PUT while it is small, parts beside each other when it grows.

use std::collections::BTreeMap;

use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;

use super::uploads::{Arrived, arrived};
use crate::client::error::{Error, ErrorKind};
use crate::client::{Client, shell_word};
use crate::model::{Object, ObjectAddress, Timestamp};

const MIB: usize = 1024 * 1024;
/// The service takes no more parts than this.
const MOST_PARTS: usize = 10_000;
/// Parts of one size before they double.
const PARTS_A_SIZE: usize = 1_000;
const SMALLEST_PART: usize = 8 * MIB;
const LARGEST_PART: usize = 512 * MIB;
/// Parts on their way at a time, while they are small.
const IN_FLIGHT: usize = 4;
/// What the service checks parts with, and keeps of the whole object: it is the same however the
/// object is cut into parts, so any copy can be compared with it.
pub(super) const CHECKSUM: ChecksumAlgorithm = ChecksumAlgorithm::Crc64Nvme;
/// Bytes on their way at a time; a single part may be larger.
const BYTES_IN_FLIGHT: usize = 64 * MIB;

/// Size of part `number` (from 0). They begin small, so that most objects need little memory, and
/// double with every thousand, so that 10,000 of them hold 2.4 TiB.
const fn part_size(number: usize) -> usize {
    let doublings = number / PARTS_A_SIZE;
    if LARGEST_PART / SMALLEST_PART <= 1 << doublings {
        LARGEST_PART
    } else {
        SMALLEST_PART << doublings
    }
}

/// How many parts may be on their way when they have this size.
fn in_flight(part: usize) -> usize {
    (BYTES_IN_FLIGHT / part).clamp(1, IN_FLIGHT)
}

/// An object being written. Nothing is visible before [`ObjectWriter::finish`]; dropping it
/// leaves nothing behind, but for one that goes on with an upload.
pub struct ObjectWriter {
    client: Client,
    address: ObjectAddress,
    metadata: BTreeMap<String, String>,
    buffer: BytesMut,
    /// Bytes taken so far.
    size: u64,
    upload: Option<Upload>,
    /// What has arrived stays when it is dropped.
    outlives: bool,
    /// Bytes that had arrived before and were not sent.
    resumed: u64,
    /// Why nothing more can come of it.
    broken: Option<Error>,
}

/// A multipart upload under way.
struct Upload {
    id: String,
    /// Parts begun.
    begun: usize,
    under_way: JoinSet<Result<CompletedPart, Error>>,
    done: Vec<CompletedPart>,
    /// What an earlier process has sent.
    arrived: Arrived,
}

impl ObjectWriter {
    /// Bytes that go up in one request; more are sent in parts.
    pub const ONE_REQUEST: u64 = SMALLEST_PART as u64;

    pub(super) fn new(
        client: &Client,
        address: &ObjectAddress,
        metadata: BTreeMap<String, String>,
    ) -> Self {
        Self {
            client: client.clone(),
            address: address.clone(),
            metadata,
            buffer: BytesMut::new(),
            size: 0,
            upload: None,
            outlives: false,
            resumed: 0,
            broken: None,
        }
    }

    pub(super) fn going_on(
        client: &Client,
        address: &ObjectAddress,
        id: String,
        arrived: Arrived,
    ) -> Self {
        let mut writer = Self::new(client, address, BTreeMap::new());
        writer.upload = Some(Upload::new(id, arrived));
        writer.outlives = true;
        writer
    }

    /// What the service calls the upload, once there is one.
    pub fn upload_id(&self) -> Option<&str> {
        self.upload.as_ref().map(|upload| upload.id.as_str())
    }

    /// Bytes that had arrived before, and were not sent again.
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// Takes the bytes; waits while enough parts are on their way. At most a few parts are held
    /// in memory.
    ///
    /// # Errors
    /// Those of an earlier part too. Every later call then fails in the same way.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let written = self.take(bytes).await;
        if let Err(error) = &written {
            self.broken = Some(error.clone());
        }
        written
    }

    async fn take(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let full = part_size(self.upload.as_ref().map_or(0, |upload| upload.begun));
            if self.buffer.len() == full {
                self.send_part().await?;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(full - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            self.size += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Makes the object visible. Its time is this machine's.
    pub async fn finish(mut self) -> Result<Object, Error> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let written = if self.upload.is_some() {
            self.complete().await
        } else {
            self.put().await
        };
        let command = || {
            let (address, size) = (shell_word(&self.address.to_string()), self.size);
            format!("aws s3 cp - {address} # {size} bytes")
        };
        self.client.tell(command, written.as_ref().err());
        let etag = written?;
        Ok(Object {
            address: self.address.clone(),
            size: self.size,
            modified: Timestamp::now(),
            etag: etag.unwrap_or_default(),
        })
    }

    /// Gives up and deletes the parts.
    pub async fn abort(mut self) {
        if let Some(upload) = self.upload.take() {
            discard(self.client.clone(), self.address.clone(), upload).await;
        }
    }

    async fn put(&mut self) -> Result<Option<String>, Error> {
        let request = on!(self.client, put_object, self.address)
            .set_metadata(Some(self.metadata.clone().into_iter().collect()))
            .checksum_algorithm(CHECKSUM)
            .body(self.buffer.split().freeze().into());
        let subject = self.address.to_string();
        let put = self
            .client
            .send("PutObject", &subject, request.send())
            .await?;
        Ok(put.e_tag)
    }

    async fn complete(&mut self) -> Result<Option<String>, Error> {
        const ACTION: &str = "CompleteMultipartUpload";
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        let subject = self.address.to_string();
        let Some(upload) = &mut self.upload else {
            return Ok(None);
        };
        while !upload.under_way.is_empty() {
            upload.one_arrives(&subject).await?;
        }
        upload.done.sort_by_key(|part| part.part_number);
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(upload.done.clone()))
            .build();
        let request = on!(self.client, complete_multipart_upload, self.address)
            .upload_id(&upload.id)
            .checksum_type(ChecksumType::FullObject)
            .multipart_upload(parts);
        let completed = self.client.send(ACTION, &subject, request.send()).await?;
        // From here on there is an object, and nothing to clear away.
        self.upload = None;
        Ok(completed.e_tag)
    }

    /// Sends what the buffer holds as the next part, once there is room for it.
    async fn send_part(&mut self) -> Result<(), Error> {
        let subject = self.address.to_string();
        let mut upload = match self.upload.take() {
            Some(upload) => upload,
            None => {
                let metadata = std::mem::take(&mut self.metadata);
                let id = self.client.create_upload(&self.address, metadata).await?;
                Upload::new(id, Arrived::new())
            }
        };
        let body = self.buffer.split().freeze();
        let number = upload.next();
        if let Some(part) = upload.arrived.remove(&number)
            && let Some(part) = arrived(&part, &body)
        {
            self.resumed += body.len() as u64;
            upload.done.push(part);
            upload.begun += 1;
            self.upload = Some(upload);
            return Ok(());
        }
        let room = upload.room_for(body.len(), &subject).await;
        if room.is_ok() {
            let part = upload_part(self.client.clone(), self.address.clone(), &upload, body);
            upload.under_way.spawn(part);
            upload.begun += 1;
        }
        // Also after a failure: it has to be cleared away.
        self.upload = Some(upload);
        room
    }
}

impl Upload {
    fn new(id: String, arrived: Arrived) -> Self {
        Self {
            id,
            begun: 0,
            under_way: JoinSet::new(),
            done: Vec::new(),
            arrived,
        }
    }

    /// The number of the next part.
    fn next(&self) -> i32 {
        self.begun as i32 + 1
    }

    /// Waits until another part of this size may go.
    async fn room_for(&mut self, size: usize, subject: &str) -> Result<(), Error> {
        if self.begun == MOST_PARTS {
            let kind = ErrorKind::Invalid("the object is larger than 2.4 TiB".to_owned());
            return Err(Error::new("UploadPart", subject, kind));
        }
        while in_flight(size) <= self.under_way.len() {
            self.one_arrives(subject).await?;
        }
        Ok(())
    }

    async fn one_arrives(&mut self, subject: &str) -> Result<(), Error> {
        match self.under_way.join_next().await {
            Some(Ok(part)) => self.done.push(part?),
            Some(Err(lost)) => {
                let kind = ErrorKind::Service(format!("a part was given up: {lost}"));
                return Err(Error::new("UploadPart", subject, kind));
            }
            None => {}
        }
        Ok(())
    }
}

/// Sends one part. What is needed of `upload` is taken at once, so that this can run beside it.
fn upload_part(
    client: Client,
    address: ObjectAddress,
    upload: &Upload,
    body: Bytes,
) -> impl Future<Output = Result<CompletedPart, Error>> + use<> {
    let number = upload.next();
    let request = on!(client, upload_part, address)
        .upload_id(&upload.id)
        .part_number(number)
        .checksum_algorithm(CHECKSUM)
        .body(body.into());
    async move {
        let subject = address.to_string();
        let sent = client.send("UploadPart", &subject, request.send()).await?;
        Ok(completed(number, sent))
    }
}

/// The checksums that the SDK made go along: where the upload has one, completing it asks for each
/// part's.
fn completed(number: i32, sent: UploadPartOutput) -> CompletedPart {
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(sent.e_tag)
        .set_checksum_crc32(sent.checksum_crc32)
        .set_checksum_crc32_c(sent.checksum_crc32_c)
        .set_checksum_crc64_nvme(sent.checksum_crc64_nvme)
        .set_checksum_sha1(sent.checksum_sha1)
        .set_checksum_sha256(sent.checksum_sha256)
        .build()
}

/// Deletes the parts, after those under way have stopped: one that arrived later would stay.
async fn discard(client: Client, address: ObjectAddress, mut upload: Upload) {
    upload.under_way.shutdown().await;
    if let Err(error) = client.abandon_upload(&address, &upload.id).await {
        // Nobody is left to tell; the bucket's life-cycle rule is the second line.
        tracing::warn!(%error, "parts may be left behind");
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take().filter(|_| !self.outlives) else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(discard(self.client.clone(), self.address.clone(), upload));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_two_tebibytes_in_bounded_memory() {
        assert_eq!(part_size(0), 8 * MIB);
        assert_eq!(part_size(999), 8 * MIB);
        assert_eq!(part_size(1_000), 16 * MIB);
        assert_eq!(part_size(9_999), 512 * MIB);
        let all: u64 = (0..MOST_PARTS).map(|part| part_size(part) as u64).sum();
        assert!(2_400 << 30 < all, "{all}");
        for part in 0..MOST_PARTS {
            let size = part_size(part);
            assert!(size * in_flight(size) <= BYTES_IN_FLIGHT.max(size));
        }
    }
}
