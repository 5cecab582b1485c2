//! Objects in and out: put, get, head, copy, delete.

use std::ops::Range;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use s3s::dto::{self, ETagCondition, Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, s3_error};

use super::attributes::attributes;
use super::body::{Sink, on_disk, send};
use super::checksum::{Algorithm, Claim};
use super::{
    Answer, S3Result, condition, error, is_after, set_checksum, wire_checksum_type, wire_etag,
    wire_time,
};
use crate::engine::objects::{Attributes, ObjectInfo, Objects, ObjectsError};

/// What S3 answers for an object whose writer named no type.
const DEFAULT_TYPE: &str = "binary/octet-stream";
/// Most bytes of one PutObject.
const MAX_PUT: i64 = 5 * 1024 * 1024 * 1024;

pub(super) async fn put_object(
    objects: Objects,
    request: S3Request<dto::PutObjectInput>,
) -> Answer<dto::PutObjectOutput> {
    let claim = Claim::of(&request)?;
    let input = request.input;
    if input.content_length.is_some_and(|length| length > MAX_PUT) {
        return Err(s3_error!(
            EntityTooLarge,
            "Your proposed upload exceeds the maximum allowed size"
        ));
    }
    let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let attributes = attributes!(input)?;
    let (bucket, key) = (input.bucket, input.key);
    let writer = on_disk(move || {
        let mut writer = objects.write(&bucket, &key)?;
        writer.set_attributes(attributes);
        Ok(writer)
    });
    let sink = Sink {
        writer: writer.await?,
        digests: claim.digests(None),
    };
    let Sink {
        mut writer,
        digests,
    } = sink.receive(input.body).await?;
    let checksum = claim.verify(digests, writer.md5())?;
    writer.set_checksum(checksum);
    let info = on_disk(move || writer.commit_if(&condition, false)).await?;
    let mut output = dto::PutObjectOutput {
        e_tag: Some(wire_etag(&info.etag)),
        checksum_type: info.checksum.as_ref().map(wire_checksum_type),
        ..dto::PutObjectOutput::default()
    };
    set_checksum!(output, &info.checksum);
    Ok(S3Response::new(output))
}

pub(super) async fn get_object(
    objects: Objects,
    request: S3Request<dto::GetObjectInput>,
) -> Answer<dto::GetObjectOutput> {
    let input = request.input;
    let (bucket, key) = (input.bucket, input.key);
    let (info, mut reader) = on_disk(move || objects.read(&bucket, &key)).await?;
    check_readable(
        &info,
        &Preconditions {
            matches: input.if_match.as_ref(),
            none_matches: input.if_none_match.as_ref(),
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        },
    )?;
    let chosen = choose(&info, input.range.as_ref(), input.part_number)?;
    let Range { start, end } = chosen.bytes;
    let reader = on_disk(move || {
        std::io::Seek::seek(&mut reader, std::io::SeekFrom::Start(start))?;
        Ok(reader)
    });
    let body = send(reader.await?, end - start);
    let mut output = described!(dto::GetObjectOutput, info, chosen, input.checksum_mode);
    output.body = Some(body);
    Ok(S3Response::new(output))
}

pub(super) async fn head_object(
    objects: Objects,
    request: S3Request<dto::HeadObjectInput>,
) -> Answer<dto::HeadObjectOutput> {
    let input = request.input;
    let (bucket, key) = (input.bucket, input.key);
    let info = on_disk(move || objects.head(&bucket, &key)).await?;
    check_readable(
        &info,
        &Preconditions {
            matches: input.if_match.as_ref(),
            none_matches: input.if_none_match.as_ref(),
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        },
    )?;
    let chosen = choose(&info, input.range.as_ref(), input.part_number)?;
    let is_partial = chosen.content_range.is_some();
    let output = described!(dto::HeadObjectOutput, info, chosen, input.checksum_mode);
    let mut response = S3Response::new(output);
    if is_partial {
        response.status = Some(StatusCode::PARTIAL_CONTENT);
    }
    Ok(response)
}

pub(super) async fn copy_object(
    objects: Objects,
    request: S3Request<dto::CopyObjectInput>,
) -> Answer<dto::CopyObjectOutput> {
    let input = request.input;
    let (from_bucket, from_key) = copy_source(&input.copy_source)?;
    let replaces = match input
        .metadata_directive
        .as_ref()
        .map(dto::MetadataDirective::as_str)
    {
        Some(dto::MetadataDirective::REPLACE) => true,
        None | Some(dto::MetadataDirective::COPY) => false,
        Some(other) => {
            return Err(s3_error!(
                InvalidArgument,
                "Unknown metadata directive {other}"
            ));
        }
    };
    if !replaces && (&*input.bucket, &*input.key) == (&*from_bucket, &*from_key) {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    let replaced = if replaces {
        Some(attributes!(input)?)
    } else {
        None
    };
    let algorithm = input.checksum_algorithm.as_ref();
    let algorithm = algorithm
        .map(|it| Algorithm::parse(it.as_str()))
        .transpose()?;
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
    let kept = info.checksum.as_ref();
    let kept = kept.and_then(|it| Algorithm::parse(&it.algorithm).ok());
    let claim = Claim::default();
    let digests = claim.digests(algorithm.or(kept));
    let (sink, attributes) = on_disk(move || {
        let attributes = replaced.unwrap_or(Attributes {
            content_type: info.content_type,
            metadata: info.metadata,
            headers: info.headers,
        });
        let writer = objects.write(&input.bucket, &input.key)?;
        let mut sink = Sink { writer, digests };
        sink.copy(&mut reader, info.size)?;
        Ok((sink, attributes))
    })
    .await?;
    let mut writer = sink.writer;
    writer.set_attributes(attributes);
    writer.set_checksum(claim.verify(sink.digests, writer.md5())?);
    let info = on_disk(move || writer.commit(false)).await?;
    let mut result = dto::CopyObjectResult {
        e_tag: Some(wire_etag(&info.etag)),
        last_modified: Some(wire_time(info.modified)),
        checksum_type: info.checksum.as_ref().map(wire_checksum_type),
        ..dto::CopyObjectResult::default()
    };
    set_checksum!(result, &info.checksum);
    Ok(S3Response::new(dto::CopyObjectOutput {
        copy_object_result: Some(result),
        ..dto::CopyObjectOutput::default()
    }))
}

pub(super) async fn delete_object(
    objects: Objects,
    request: S3Request<dto::DeleteObjectInput>,
) -> Answer<dto::DeleteObjectOutput> {
    let input = request.input;
    if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "The local storage supports only the condition If-Match for DeleteObject"
        ));
    }
    let condition = condition(input.if_match.as_ref(), None)?;
    on_disk(move || objects.delete(&input.bucket, &input.key, &condition)).await?;
    Ok(S3Response::with_status(
        dto::DeleteObjectOutput::default(),
        StatusCode::NO_CONTENT,
    ))
}

pub(super) async fn delete_objects(
    objects: Objects,
    request: S3Request<dto::DeleteObjectsInput>,
) -> Answer<dto::DeleteObjectsOutput> {
    let input = request.input;
    let chosen = input.delete.objects;
    if chosen.is_empty() || chosen.len() > 1000 {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        ));
    }
    let (plain, special): (Vec<_>, Vec<_>) = chosen.into_iter().partition(is_plain);
    let keys: Vec<String> = plain.into_iter().map(|it| it.key).collect();
    let deleted = on_disk(move || {
        objects.delete_all(&input.bucket, keys.iter().map(String::as_str))?;
        Ok(keys)
    })
    .await?;
    let deleted = deleted.into_iter().map(|key| dto::DeletedObject {
        key: Some(key),
        ..dto::DeletedObject::default()
    });
    let errors = special.into_iter().map(|it| dto::Error {
        code: Some("NotImplemented".to_owned()),
        key: Some(it.key),
        message: Some("The local storage has no versions and no conditions here".to_owned()),
        version_id: it.version_id,
    });
    let is_quiet = input.delete.quiet == Some(true);
    Ok(S3Response::new(dto::DeleteObjectsOutput {
        deleted: (!is_quiet).then(|| deleted.collect()),
        errors: Some(errors.collect()),
        ..dto::DeleteObjectsOutput::default()
    }))
}

/// Whether a deletion names a key and nothing that would make it conditional.
fn is_plain(object: &dto::ObjectIdentifier) -> bool {
    let version = object.version_id.as_deref();
    matches!(version, None | Some("null"))
        && object.e_tag.is_none()
        && object.size.is_none()
        && object.last_modified_time.is_none()
}

/// Bucket and key of what is to be copied.
pub(super) fn copy_source(source: &dto::CopySource) -> S3Result<(String, String)> {
    match source {
        dto::CopySource::Bucket {
            version_id: Some(version),
            ..
        } if &**version != "null" => Err(s3_error!(
            NoSuchVersion,
            "The specified version does not exist."
        )),
        dto::CopySource::Bucket { bucket, key, .. } => Ok((bucket.to_string(), key.to_string())),
        _ => Err(s3_error!(
            NotImplemented,
            "The local storage has no access points to copy from"
        )),
    }
}

/// What a reader demands of the object.
pub(super) struct Preconditions<'a> {
    pub(super) matches: Option<&'a ETagCondition>,
    pub(super) none_matches: Option<&'a ETagCondition>,
    pub(super) modified_since: Option<&'a Timestamp>,
    pub(super) unmodified_since: Option<&'a Timestamp>,
}

impl Preconditions<'_> {
    /// Whether what must hold of the object does.
    fn is_met_by(&self, info: &ObjectInfo) -> bool {
        match (self.matches, self.unmodified_since) {
            (Some(matches), _) => names(matches, info),
            (None, Some(limit)) => !is_after(info.modified, limit),
            (None, None) => true,
        }
    }

    /// Whether the reader has the object already.
    fn is_known(&self, info: &ObjectInfo) -> bool {
        match (self.none_matches, self.modified_since) {
            (Some(none), _) => names(none, info),
            (None, Some(limit)) => !is_after(info.modified, limit),
            (None, None) => false,
        }
    }
}

fn names(condition: &ETagCondition, info: &ObjectInfo) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == info.etag.trim_matches('"'),
    }
}

fn check_readable(info: &ObjectInfo, preconditions: &Preconditions) -> S3Result<()> {
    if !preconditions.is_met_by(info) {
        return Err(precondition_failed(info));
    }
    if preconditions.is_known(info) {
        let mut error = S3Error::new(S3ErrorCode::NotModified);
        let etag = HeaderValue::from_str(&info.etag).ok();
        error.set_headers(etag.map(|etag| (header::ETAG, etag)).into_iter().collect());
        return Err(error);
    }
    Ok(())
}

pub(super) fn check_copyable(info: &ObjectInfo, preconditions: &Preconditions) -> S3Result<()> {
    if preconditions.is_met_by(info) && !preconditions.is_known(info) {
        Ok(())
    } else {
        Err(precondition_failed(info))
    }
}

fn precondition_failed(info: &ObjectInfo) -> S3Error {
    error(ObjectsError::PreconditionFailed(info.key.clone()))
}

/// What of an object is asked for.
struct Chosen {
    bytes: Range<u64>,
    /// Where it is in the whole, unless it is the whole.
    content_range: Option<String>,
    parts_count: Option<i32>,
}

fn choose(info: &ObjectInfo, range: Option<&dto::Range>, part: Option<i32>) -> S3Result<Chosen> {
    let bytes = match (range, part) {
        (None, None) => {
            return Ok(Chosen {
                bytes: 0..info.size,
                content_range: None,
                parts_count: None,
            });
        }
        (Some(_), Some(_)) => {
            return Err(s3_error!(
                InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter"
            ));
        }
        (Some(range), None) => range.check(info.size).map_err(|_| unsatisfiable(info))?,
        (None, Some(part)) => part_bytes(info, part)?,
    };
    let last = bytes.end.saturating_sub(1);
    let content_range = format!("bytes {}-{last}/{}", bytes.start, info.size);
    Ok(Chosen {
        content_range: (!bytes.is_empty()).then_some(content_range),
        parts_count: (part.is_some() && !info.parts.is_empty()).then_some(info.parts.len() as i32),
        bytes,
    })
}

fn unsatisfiable(info: &ObjectInfo) -> S3Error {
    let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
    let size = HeaderValue::try_from(format!("bytes */{}", info.size)).ok();
    let headers = size.map(|size| (header::CONTENT_RANGE, size));
    error.set_headers(HeaderMap::from_iter(headers));
    error
}

fn part_bytes(info: &ObjectInfo, part: i32) -> S3Result<Range<u64>> {
    let whole = [info.size];
    let parts = if info.parts.is_empty() {
        &whole[..]
    } else {
        &info.parts
    };
    let index = usize::try_from(part).ok().and_then(|it| it.checked_sub(1));
    let found = index.and_then(|index| Some((index, *parts.get(index)?)));
    let Some((index, size)) = found else {
        let mut error = S3Error::with_message(
            S3ErrorCode::Custom("InvalidPartNumber".into()),
            "The requested partnumber is not satisfiable",
        );
        error.set_status_code(StatusCode::RANGE_NOT_SATISFIABLE);
        return Err(error);
    };
    let start = parts[..index].iter().sum();
    Ok(start..start + size)
}

/// An output that describes an object, be it with a body or without.
macro_rules! described {
    ($output:ty, $info:expr, $chosen:expr, $mode:expr) => {{
        let (info, chosen) = (&$info, &$chosen);
        let header = |name: &str| info.headers.get(name).cloned();
        let wants_checksum = $mode.is_some_and(|it| it.as_str() == dto::ChecksumMode::ENABLED);
        let is_whole = chosen.content_range.is_none() || chosen.bytes == (0..info.size);
        let checksum = info
            .checksum
            .as_ref()
            .filter(|_| wants_checksum && is_whole);
        let mut output = <$output>::default();
        output.accept_ranges = Some("bytes".to_owned());
        output.content_length = i64::try_from(chosen.bytes.end - chosen.bytes.start).ok();
        output.content_range = chosen.content_range.clone();
        output.parts_count = chosen.parts_count;
        output.content_type = Some(info.content_type.clone().unwrap_or(DEFAULT_TYPE.to_owned()));
        output.e_tag = Some(wire_etag(&info.etag));
        output.last_modified = Some(wire_time(info.modified));
        output.metadata = Some(info.metadata.clone().into_iter().collect());
        output.cache_control = header("cache-control");
        output.content_disposition = header("content-disposition");
        output.content_encoding = header("content-encoding");
        output.content_language = header("content-language");
        output.expires = header("expires")
            .and_then(|date| Timestamp::parse(TimestampFormat::HttpDate, &date).ok());
        output.checksum_type = checksum.map(wire_checksum_type);
        set_checksum!(output, checksum);
        output
    }};
}
use described;
