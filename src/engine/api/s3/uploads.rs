//! Multipart uploads.

use s3s::dto;
use s3s::{S3Request, S3Response, s3_error};

use super::attributes::attributes;
use super::body::{Sink, on_disk};
use super::checksum::{self, Claim};
use super::listing::{page_size, url_encoder};
use super::transfer::{Preconditions, check_copyable, copy_source};
use super::{
    Answer, S3Result, condition, set_checksum, wire_checksum, wire_checksum_algorithm,
    wire_checksum_type, wire_etag, wire_time,
};
use crate::engine::objects::{Checksum, Objects, ObjectsError, PartInfo, UploadId};

/// Highest part number.
const MAX_PART: i32 = 10_000;

pub(super) async fn create_multipart_upload(
    objects: Objects,
    request: S3Request<dto::CreateMultipartUploadInput>,
) -> Answer<dto::CreateMultipartUploadOutput> {
    let input = request.input;
    let attributes = attributes!(input)?;
    let checksum = checksum::of_upload(
        input
            .checksum_algorithm
            .as_ref()
            .map(dto::ChecksumAlgorithm::as_str),
        input.checksum_type.as_ref().map(dto::ChecksumType::as_str),
    )?;
    let kept = checksum.clone();
    let upload =
        on_disk(move || objects.create_upload(&input.bucket, &input.key, attributes, kept)).await?;
    Ok(S3Response::new(dto::CreateMultipartUploadOutput {
        bucket: Some(upload.bucket),
        key: Some(upload.key),
        upload_id: Some(upload.id),
        checksum_algorithm: checksum.as_ref().map(wire_checksum_algorithm),
        checksum_type: checksum.as_ref().map(wire_checksum_type),
        ..dto::CreateMultipartUploadOutput::default()
    }))
}

pub(super) async fn upload_part(
    objects: Objects,
    request: S3Request<dto::UploadPartInput>,
) -> Answer<dto::UploadPartOutput> {
    let claim = Claim::of(&request)?;
    let input = request.input;
    let number = part_number(input.part_number)?;
    let upload = UploadId {
        bucket: input.bucket,
        key: input.key,
        id: input.upload_id,
    };
    let (writer, known) = on_disk(move || {
        let known = objects.upload(&upload)?;
        Ok((objects.write_part(&upload, number)?, known))
    })
    .await?;
    let algorithm = checksum::of_part(known.checksum.as_ref(), &claim)?;
    let sink = Sink {
        writer,
        digests: claim.digests(Some(algorithm)),
    };
    let Sink { writer, digests } = sink.receive(input.body).await?;
    let checksum = claim.verify(digests, writer.md5())?;
    let info = on_disk(move || writer.commit(Some(checksum))).await?;
    let mut output = dto::UploadPartOutput {
        e_tag: Some(wire_etag(&info.etag)),
        ..dto::UploadPartOutput::default()
    };
    set_checksum!(output, &info.checksum);
    Ok(S3Response::new(output))
}

pub(super) async fn upload_part_copy(
    objects: Objects,
    request: S3Request<dto::UploadPartCopyInput>,
) -> Answer<dto::UploadPartCopyOutput> {
    let input = request.input;
    let number = part_number(input.part_number)?;
    let (from_bucket, from_key) = copy_source(&input.copy_source)?;
    let source = objects.clone();
    let (info, mut reader) = on_disk(move || source.read(&from_bucket, &from_key)).await?;
    check_copyable(
        &info,
        &Preconditions {
            matches: input.copy_source_if_match.as_ref(),
            none_matches: input.copy_source_if_none_match.as_ref(),
            modified_since: input.copy_source_if_modified_since.as_ref(),
            unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        },
    )?;
    let bytes = match &input.copy_source_range {
        None => 0..info.size,
        Some(range) => dto::Range::parse(range)
            .ok()
            .and_then(|range| range.check(info.size).ok())
            .ok_or_else(|| {
                s3_error!(
                    InvalidArgument,
                    "Range specified is not valid for source object of size: {}",
                    info.size
                )
            })?,
    };
    let upload = UploadId {
        bucket: input.bucket,
        key: input.key,
        id: input.upload_id,
    };
    let known = {
        let (objects, upload) = (objects.clone(), upload.clone());
        on_disk(move || objects.upload(&upload)).await?
    };
    let claim = Claim::default();
    let digests = claim.digests(Some(checksum::of_part(known.checksum.as_ref(), &claim)?));
    let sink = on_disk(move || {
        let writer = objects.write_part(&upload, number)?;
        let mut sink = Sink { writer, digests };
        std::io::Seek::seek(&mut reader, std::io::SeekFrom::Start(bytes.start))?;
        sink.copy(&mut reader, bytes.end - bytes.start)?;
        Ok(sink)
    })
    .await?;
    let checksum = claim.verify(sink.digests, sink.writer.md5())?;
    let info = on_disk(move || sink.writer.commit(Some(checksum))).await?;
    let mut result = dto::CopyPartResult {
        e_tag: Some(wire_etag(&info.etag)),
        last_modified: Some(wire_time(info.modified)),
        ..dto::CopyPartResult::default()
    };
    set_checksum!(result, &info.checksum);
    Ok(S3Response::new(dto::UploadPartCopyOutput {
        copy_part_result: Some(result),
        ..dto::UploadPartCopyOutput::default()
    }))
}

pub(super) async fn complete_multipart_upload(
    objects: Objects,
    request: S3Request<dto::CompleteMultipartUploadInput>,
) -> Answer<dto::CompleteMultipartUploadOutput> {
    let input = request.input;
    let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let parts = input.multipart_upload.and_then(|it| it.parts);
    let parts = parts.filter(|it| !it.is_empty()).ok_or_else(|| {
        s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        )
    })?;
    let claims = Claims {
        parts: parts.iter().map(|it| first_sum(sums!(it))).collect(),
        object: first_sum(sums!(input)),
        size: input.mpu_object_size,
    };
    let chosen = parts
        .into_iter()
        .map(|part| {
            let number = part_number(part.part_number.unwrap_or_default())?;
            let etag = part.e_tag.map(dto::ETag::into_value).unwrap_or_default();
            Ok((number, format!("\"{etag}\"")))
        })
        .collect::<S3Result<Vec<_>>>()?;
    let upload = UploadId {
        bucket: input.bucket,
        key: input.key,
        id: input.upload_id,
    };
    let (upload, info) = on_disk(move || {
        let known = objects.upload(&upload)?;
        let info = objects.complete_upload(&upload, &chosen, &condition, |parts| {
            claims.verify(known.checksum.as_ref(), parts)
        })?;
        Ok((upload, info))
    })
    .await?;
    let mut output = dto::CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", upload.bucket, upload.key)),
        bucket: Some(upload.bucket),
        key: Some(upload.key),
        e_tag: Some(wire_etag(&info.etag)),
        checksum_type: info.checksum.as_ref().map(wire_checksum_type),
        ..dto::CompleteMultipartUploadOutput::default()
    };
    set_checksum!(output, &info.checksum);
    Ok(S3Response::new(output))
}

pub(super) async fn abort_multipart_upload(
    objects: Objects,
    request: S3Request<dto::AbortMultipartUploadInput>,
) -> Answer<dto::AbortMultipartUploadOutput> {
    let input = request.input;
    let upload = UploadId {
        bucket: input.bucket,
        key: input.key,
        id: input.upload_id,
    };
    on_disk(move || objects.abort_upload(&upload)).await?;
    Ok(S3Response::new(dto::AbortMultipartUploadOutput::default()))
}

pub(super) async fn list_parts(
    objects: Objects,
    request: S3Request<dto::ListPartsInput>,
) -> Answer<dto::ListPartsOutput> {
    let input = request.input;
    let most = page_size(input.max_parts)?;
    let behind = input.part_number_marker.unwrap_or(0);
    let from = u16::try_from(behind).map_err(|_| {
        s3_error!(
            InvalidArgument,
            "part-number-marker must be from 0 to 10000"
        )
    })?;
    let upload = UploadId {
        bucket: input.bucket,
        key: input.key,
        id: input.upload_id,
    };
    let (upload, known, mut parts) = on_disk(move || {
        let known = objects.upload(&upload)?;
        let parts = objects.parts(&upload, from, most + 1)?;
        Ok((upload, known, parts))
    })
    .await?;
    let is_truncated = parts.len() > most;
    parts.truncate(most);
    let last = parts.last().map(|part| i32::from(part.number));
    Ok(S3Response::new(dto::ListPartsOutput {
        bucket: Some(upload.bucket),
        key: Some(upload.key),
        upload_id: Some(upload.id),
        checksum_algorithm: known.checksum.as_ref().map(wire_checksum_algorithm),
        checksum_type: known.checksum.as_ref().map(wire_checksum_type),
        is_truncated: Some(is_truncated),
        max_parts: Some(most as i32),
        part_number_marker: Some(behind),
        next_part_number_marker: last.filter(|_| is_truncated),
        parts: Some(parts.iter().map(wire_part).collect()),
        storage_class: Some(dto::StorageClass::from_static(dto::StorageClass::STANDARD)),
        ..dto::ListPartsOutput::default()
    }))
}

pub(super) async fn list_multipart_uploads(
    objects: Objects,
    request: S3Request<dto::ListMultipartUploadsInput>,
) -> Answer<dto::ListMultipartUploadsOutput> {
    let input = request.input;
    if input.delimiter.as_deref().is_some_and(|it| !it.is_empty()) {
        return Err(s3_error!(
            NotImplemented,
            "The local storage does not support delimiter for ListMultipartUploads"
        ));
    }
    let url = url_encoder(input.encoding_type.as_ref())?;
    let most = page_size(input.max_uploads)?;
    let prefix = input.prefix.unwrap_or_default();
    let key_marker = input.key_marker.unwrap_or_default();
    let id_marker = input.upload_id_marker.filter(|it| !it.is_empty());
    let (bucket, wanted) = (input.bucket.clone(), prefix.clone());
    let (key, id) = (key_marker.clone(), id_marker.clone());
    let mut uploads =
        on_disk(move || objects.uploads(&bucket, &wanted, (&key, id.as_deref()), most + 1)).await?;
    let is_truncated = uploads.len() > most;
    uploads.truncate(most);
    let last = uploads.last().filter(|_| is_truncated).map(|it| &it.id);
    Ok(S3Response::new(dto::ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(url(&prefix)),
        key_marker: Some(url(&key_marker)),
        upload_id_marker: id_marker,
        max_uploads: Some(most as i32),
        is_truncated: Some(is_truncated),
        next_key_marker: last.map(|it| url(&it.key)),
        next_upload_id_marker: last.map(|it| it.id.clone()),
        encoding_type: input.encoding_type,
        uploads: Some(
            uploads
                .iter()
                .map(|upload| dto::MultipartUpload {
                    key: Some(url(&upload.id.key)),
                    upload_id: Some(upload.id.id.clone()),
                    initiated: Some(wire_time(upload.initiated)),
                    checksum_algorithm: upload.checksum.as_ref().map(wire_checksum_algorithm),
                    checksum_type: upload.checksum.as_ref().map(wire_checksum_type),
                    storage_class: Some(dto::StorageClass::from_static(
                        dto::StorageClass::STANDARD,
                    )),
                    ..dto::MultipartUpload::default()
                })
                .collect(),
        ),
        ..dto::ListMultipartUploadsOutput::default()
    }))
}

/// What the request to complete an upload says of the outcome.
struct Claims {
    /// Base64, in the order of the parts.
    parts: Vec<Option<String>>,
    /// Base64, with `-N` if composite.
    object: Option<String>,
    /// Bytes.
    size: Option<i64>,
}

impl Claims {
    /// Compares the claims with the parts; returns the checksum of the object.
    fn verify(
        &self,
        upload: Option<&Checksum>,
        parts: &[PartInfo],
    ) -> Result<Option<Checksum>, ObjectsError> {
        for (claimed, part) in self.parts.iter().zip(parts) {
            let actual = part.checksum.as_ref().map(|it| &it.value);
            // Without an algorithm of the upload's own, a part is kept with one of our choice.
            if upload.is_some() && claimed.is_some() && claimed.as_ref() != actual {
                return Err(ObjectsError::InvalidPart(part.number));
            }
        }
        let actual = parts.iter().map(|part| part.size).sum();
        let claimed = self.size.and_then(|size| u64::try_from(size).ok());
        if let Some(claimed) = claimed.filter(|claimed| *claimed != actual) {
            return Err(ObjectsError::SizeMismatch { claimed, actual });
        }
        let checksum = checksum::of_parts(upload, parts)?;
        let value = checksum.as_ref().map(|it| it.value.as_str());
        match &self.object {
            Some(claimed) if value != Some(claimed.as_str()) => Err(ObjectsError::ChecksumMismatch),
            _ => Ok(checksum),
        }
    }
}

/// The checksums of an input, whatever their algorithms.
macro_rules! sums {
    ($input:expr) => {
        [
            &$input.checksum_crc32,
            &$input.checksum_crc32c,
            &$input.checksum_crc64nvme,
            &$input.checksum_sha1,
            &$input.checksum_sha256,
        ]
    };
}
use sums;

fn first_sum(sums: [&Option<String>; 5]) -> Option<String> {
    sums.into_iter().flatten().next().cloned()
}

fn part_number(number: i32) -> S3Result<u16> {
    let valid = (1..=MAX_PART).contains(&number).then_some(number);
    valid
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and {MAX_PART}, inclusive"
            )
        })
}

fn wire_part(part: &PartInfo) -> dto::Part {
    let sums = part
        .checksum
        .as_ref()
        .map(wire_checksum)
        .unwrap_or_default();
    dto::Part {
        part_number: Some(i32::from(part.number)),
        size: i64::try_from(part.size).ok(),
        e_tag: Some(wire_etag(&part.etag)),
        last_modified: Some(wire_time(part.modified)),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
    }
}
