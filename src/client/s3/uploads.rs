//! Uploads that outlive the process that began them: taken up again by their id, and what has
//! arrived is not sent twice.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{ChecksumType, CompletedPart, Part};
use bytes::Bytes;
use crc_fast::CrcAlgorithm;

use super::writer::{CHECKSUM, ObjectWriter};
use crate::client::Client;
use crate::client::error::{Error, ErrorKind};
use crate::model::ObjectAddress;

/// Parts that the service has already, by their numbers.
pub(super) type Arrived = BTreeMap<i32, Part>;

impl Client {
    /// Begins an upload in parts that outlives its writer: [`Client::go_on`] takes it up again by
    /// [`ObjectWriter::upload_id`].
    pub async fn begin_upload(
        &self,
        address: &ObjectAddress,
        metadata: BTreeMap<String, String>,
    ) -> Result<ObjectWriter, Error> {
        let id = self.create_upload(address, metadata).await?;
        Ok(ObjectWriter::going_on(self, address, id, Arrived::new()))
    }

    pub(super) async fn create_upload(
        &self,
        address: &ObjectAddress,
        metadata: BTreeMap<String, String>,
    ) -> Result<String, Error> {
        const ACTION: &str = "CreateMultipartUpload";
        let subject = address.to_string();
        self.may_change(ACTION, &subject)?;
        let request = on!(self, create_multipart_upload, address)
            .set_metadata(Some(metadata.into_iter().collect()))
            .checksum_algorithm(CHECKSUM)
            .checksum_type(ChecksumType::FullObject);
        let begun = self.send(ACTION, &subject, request.send()).await?;
        begun.upload_id.ok_or_else(|| {
            let kind = ErrorKind::Service("the answer names no upload".to_owned());
            Error::new(ACTION, &subject, kind)
        })
    }

    /// A writer that goes on with an upload. It is given the same bytes from the beginning: parts
    /// that the service has already, by number, size and checksum, are not sent again. Dropped, it
    /// leaves what has arrived. `None` where there is no such upload any more.
    pub async fn go_on(
        &self,
        address: &ObjectAddress,
        id: &str,
    ) -> Result<Option<ObjectWriter>, Error> {
        self.may_change("UploadPart", &address.to_string())?;
        let mut arrived = Arrived::new();
        let mut marker = None;
        loop {
            let request = on!(self, list_parts, address)
                .upload_id(id)
                .set_part_number_marker(marker);
            let page = match self
                .send("ListParts", &address.to_string(), request.send())
                .await
            {
                Ok(page) => page,
                Err(error) if matches!(error.kind, ErrorKind::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            let parts = page.parts.unwrap_or_default().into_iter();
            arrived.extend(parts.filter_map(|part| Some((part.part_number?, part))));
            marker = page.next_part_number_marker;
            if page.is_truncated != Some(true) || marker.is_none() {
                let id = id.to_owned();
                return Ok(Some(ObjectWriter::going_on(self, address, id, arrived)));
            }
        }
    }

    /// Gives an upload up and deletes its parts; one that is not there is fine.
    pub async fn abandon_upload(&self, address: &ObjectAddress, id: &str) -> Result<(), Error> {
        const ACTION: &str = "AbortMultipartUpload";
        let subject = address.to_string();
        self.may_change(ACTION, &subject)?;
        let request = on!(self, abort_multipart_upload, address).upload_id(id);
        match self.send(ACTION, &subject, request.send()).await {
            Err(error) if !matches!(error.kind, ErrorKind::NotFound(_)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// The part that has arrived, if it has these bytes. Without a checksum that is not known.
pub(super) fn arrived(part: &Part, bytes: &Bytes) -> Option<CompletedPart> {
    let size = part.size.and_then(|size| usize::try_from(size).ok());
    if size != Some(bytes.len()) {
        return None;
    }
    let sum = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes);
    let sum = aws_smithy_types::base64::encode(sum.to_be_bytes());
    let is_same = part.checksum_crc64_nvme.as_ref() == Some(&sum);
    is_same.then(|| {
        CompletedPart::builder()
            .set_part_number(part.part_number)
            .set_e_tag(part.e_tag.clone())
            .checksum_crc64_nvme(sum)
            .build()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_part_with_the_same_bytes_has_arrived() {
        let bytes = Bytes::from_static(b"123456789");
        // The check value of CRC-64/NVME.
        let sum = aws_smithy_types::base64::encode(0xAE8B_1486_0A79_9888_u64.to_be_bytes());
        let part = || Part::builder().part_number(3).e_tag("\"e\"").size(9);
        let same = part().checksum_crc64_nvme(&sum).build();
        let completed = arrived(&same, &bytes).unwrap();
        assert_eq!(completed.part_number(), Some(3));
        assert_eq!(completed.e_tag(), Some("\"e\""));
        let other = part().checksum_crc64_nvme("AAAAAAAAAAA=").build();
        assert!(arrived(&other, &bytes).is_none());
        assert!(arrived(&part().build(), &bytes).is_none());
        let shorter = part().size(8).checksum_crc64_nvme(&sum).build();
        assert!(arrived(&shorter, &bytes).is_none());
    }
}
