//! What the service says about an object's bytes, so that a copy of them can be checked.

use std::num::NonZeroU32;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};

use crate::client::Client;
use crate::client::error::Error;
use crate::model::ObjectAddress;

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Md5,
    Sha1,
    Sha256,
}

impl Algorithm {
    /// As the service writes it, but small.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// A checksum of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    pub algorithm: Algorithm,
    pub value: Vec<u8>,
    /// With a number, this is the checksum of so many parts' checksums, in their order.
    pub parts: Option<NonZeroU32>,
}

impl Client {
    /// The checksum of an object of this ETag: the one it was stored with, else its ETag where that
    /// is an MD5. `None` where there is neither.
    ///
    /// # Errors
    /// `Conflict` when `etag` is no longer the object's, `NotFound`.
    pub async fn checksum(
        &self,
        address: &ObjectAddress,
        etag: &str,
    ) -> Result<Option<Checksum>, Error> {
        let request = on!(self, head_object, address)
            .set_version_id(address.version.clone())
            .if_match(etag)
            .checksum_mode(ChecksumMode::Enabled);
        let head = self
            .send("HeadObject", &address.to_string(), request.send())
            .await?;
        Ok(stored(&head).or_else(|| of_etag(&head)))
    }

    /// Bytes of an object's first part; the whole object's where it was written in one.
    ///
    /// # Errors
    /// As of [`Client::checksum`].
    pub async fn first_part(&self, address: &ObjectAddress, etag: &str) -> Result<u64, Error> {
        let request = on!(self, head_object, address)
            .set_version_id(address.version.clone())
            .if_match(etag)
            .part_number(1);
        let head = self
            .send("HeadObject", &address.to_string(), request.send())
            .await?;
        Ok(super::size(head.content_length))
    }
}

fn stored(head: &HeadObjectOutput) -> Option<Checksum> {
    let known = [
        (Algorithm::Crc64Nvme, head.checksum_crc64_nvme()),
        (Algorithm::Crc32c, head.checksum_crc32_c()),
        (Algorithm::Crc32, head.checksum_crc32()),
        (Algorithm::Sha256, head.checksum_sha256()),
        (Algorithm::Sha1, head.checksum_sha1()),
    ];
    known.into_iter().find_map(|(algorithm, text)| {
        let (value, parts) = in_parts(text?)?;
        let value = aws_smithy_types::base64::decode(value).ok()?;
        Some(Checksum {
            algorithm,
            value,
            parts,
        })
    })
}

/// An ETag is an MD5, unless keys of a customer or of KMS were used.
fn of_etag(head: &HeadObjectOutput) -> Option<Checksum> {
    let encryption = head.server_side_encryption();
    let is_plain = matches!(encryption, None | Some(ServerSideEncryption::Aes256));
    if !is_plain || head.sse_customer_algorithm().is_some() {
        return None;
    }
    let (value, parts) = in_parts(head.e_tag()?.trim_matches('"'))?;
    Some(Checksum {
        algorithm: Algorithm::Md5,
        value: from_hex(value).filter(|value| value.len() == 16)?,
        parts,
    })
}

/// `value-7` is a checksum of seven checksums.
fn in_parts(text: &str) -> Option<(&str, Option<NonZeroU32>)> {
    match text.split_once('-') {
        None => Some((text, None)),
        Some((value, parts)) => Some((value, Some(parts.parse().ok()?))),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_checksum_goes_before_the_etag() {
        let head = HeadObjectOutput::builder()
            .e_tag("\"0123456789abcdef0123456789abcdef-3\"")
            .checksum_crc32("y/Q5Jg==-3")
            .build();
        let found = stored(&head).unwrap();
        assert_eq!(found.algorithm, Algorithm::Crc32);
        assert_eq!(found.value, [0xcb, 0xf4, 0x39, 0x26]);
        assert_eq!(found.parts, NonZeroU32::new(3));
        let etag = of_etag(&head).unwrap();
        assert_eq!(
            (etag.algorithm, etag.value.len(), etag.parts),
            (Algorithm::Md5, 16, NonZeroU32::new(3))
        );
    }

    #[test]
    fn what_is_no_md5_is_not_taken_for_one() {
        let head = |etag: &str| HeadObjectOutput::builder().e_tag(etag);
        let md5 = "\"0123456789abcdef0123456789abcdef\"";
        assert!(of_etag(&head(md5).build()).is_some());
        let kms = ServerSideEncryption::AwsKms;
        assert!(of_etag(&head(md5).server_side_encryption(kms).build()).is_none());
        let own = head(md5).sse_customer_algorithm("AES256").build();
        assert!(of_etag(&own).is_none());
        for odd in [
            "\"\"",
            "\"0123\"",
            "\"0123456789abcdef0123456789abcdef-0\"",
            "\"ü\"",
            "\"x-y-z\"",
            "\"0123456789abcdef0123456789abcdeg\"",
        ] {
            assert_eq!(of_etag(&head(odd).build()), None, "{odd}");
        }
    }
}
