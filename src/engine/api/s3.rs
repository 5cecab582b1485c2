//! The S3 wire in front of the object storage. Signatures, XML and routing are s3s's; operations
//! that are not here it refuses by name.

use http::StatusCode;
use s3s::dto::{self, Timestamp, TimestampFormat};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use crate::engine::Credentials;
use crate::engine::objects::{Checksum, Condition, Objects, ObjectsError};

mod access;
mod attributes;
mod body;
mod checksum;
mod listing;
mod transfer;
mod uploads;

/// The service over a storage, for whoever signs with the credentials.
pub(super) fn service(objects: Objects, credentials: Credentials) -> S3Service {
    let mut builder = S3ServiceBuilder::new(Storage { objects });
    builder.set_auth(access::Owner(credentials));
    builder.set_access(access::OwnerOnly);
    builder.set_host(access::AnyHost);
    builder.set_validation(access::AnyName);
    builder.build()
}

struct Storage {
    objects: Objects,
}

type Answer<T> = S3Result<S3Response<T>>;

/// Each operation hands over to the function of its name.
macro_rules! operations {
    ($($module:ident::$operation:ident($input:ident) -> $output:ident;)*) => {
        #[async_trait::async_trait]
        impl S3 for Storage {
            $(async fn $operation(
                &self,
                request: S3Request<dto::$input>,
            ) -> Answer<dto::$output> {
                $module::$operation(self.objects.clone(), request).await
            })*
        }
    };
}

operations! {
    listing::list_buckets(ListBucketsInput) -> ListBucketsOutput;
    listing::create_bucket(CreateBucketInput) -> CreateBucketOutput;
    listing::head_bucket(HeadBucketInput) -> HeadBucketOutput;
    listing::delete_bucket(DeleteBucketInput) -> DeleteBucketOutput;
    listing::get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
    listing::list_objects(ListObjectsInput) -> ListObjectsOutput;
    listing::list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    transfer::put_object(PutObjectInput) -> PutObjectOutput;
    transfer::get_object(GetObjectInput) -> GetObjectOutput;
    transfer::head_object(HeadObjectInput) -> HeadObjectOutput;
    transfer::copy_object(CopyObjectInput) -> CopyObjectOutput;
    transfer::delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    transfer::delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    uploads::create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
    uploads::upload_part(UploadPartInput) -> UploadPartOutput;
    uploads::upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
    uploads::complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput;
    uploads::abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
    uploads::list_parts(ListPartsInput) -> ListPartsOutput;
    uploads::list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput;
}

/// Sets the field of the checksum's algorithm in an output.
macro_rules! set_checksum {
    ($output:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            let sums = $crate::engine::api::s3::wire_checksum(checksum);
            $output.checksum_crc32 = sums.checksum_crc32;
            $output.checksum_crc32c = sums.checksum_crc32c;
            $output.checksum_crc64nvme = sums.checksum_crc64nvme;
            $output.checksum_sha1 = sums.checksum_sha1;
            $output.checksum_sha256 = sums.checksum_sha256;
        }
    };
}
use set_checksum;

fn wire_checksum(checksum: &Checksum) -> dto::Checksum {
    let mut sums = dto::Checksum::default();
    let field = match checksum.algorithm.as_str() {
        dto::ChecksumAlgorithm::CRC32 => &mut sums.checksum_crc32,
        dto::ChecksumAlgorithm::CRC32C => &mut sums.checksum_crc32c,
        dto::ChecksumAlgorithm::CRC64NVME => &mut sums.checksum_crc64nvme,
        dto::ChecksumAlgorithm::SHA1 => &mut sums.checksum_sha1,
        _ => &mut sums.checksum_sha256,
    };
    *field = Some(checksum.value.clone());
    sums
}

fn wire_checksum_type(checksum: &Checksum) -> dto::ChecksumType {
    dto::ChecksumType::from_static(checksum::kind_name(checksum.composite))
}

fn wire_checksum_algorithm(checksum: &Checksum) -> dto::ChecksumAlgorithm {
    dto::ChecksumAlgorithm::from(checksum.algorithm.clone())
}

/// An ETag of ours, with quotes, as the library has it.
fn wire_etag(etag: &str) -> dto::ETag {
    dto::ETag::Strong(etag.trim_matches('"').to_owned())
}

/// Milliseconds since 1970 as a time.
fn wire_time(milliseconds: i64) -> Timestamp {
    let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    Timestamp::from(std::time::SystemTime::from(time))
}

/// Whether `modified` is after `limit`, in the whole seconds that HTTP knows.
fn is_after(modified: i64, limit: &Timestamp) -> bool {
    let mut seconds = Vec::new();
    let written = limit.format(TimestampFormat::EpochSeconds, &mut seconds);
    let seconds = str::from_utf8(&seconds)
        .ok()
        .and_then(|it| it.parse::<f64>().ok());
    match (written, seconds) {
        (Ok(()), Some(seconds)) => modified.div_euclid(1000) > seconds.floor() as i64,
        _ => true,
    }
}

/// What `If-Match` and `If-None-Match` demand of the object that is to be changed.
fn condition(
    matches: Option<&dto::ETagCondition>,
    none_matches: Option<&dto::ETagCondition>,
) -> S3Result<Condition> {
    use dto::ETagCondition::{Any, ETag};
    match (matches, none_matches) {
        (None, None) => Ok(Condition::Always),
        (Some(Any), None) => Ok(Condition::Present),
        (Some(ETag(etag)), None) => Ok(Condition::Etag(format!("\"{}\"", etag.value()))),
        (None, Some(Any)) => Ok(Condition::Absent),
        (_, Some(_)) => Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented: If-None-Match other than * alone"
        )),
    }
}

/// How S3 calls a problem of the storage.
fn error(problem: ObjectsError) -> S3Error {
    let (code, message) = match &problem {
        ObjectsError::NoSuchBucket(_) => (
            S3ErrorCode::NoSuchBucket,
            "The specified bucket does not exist",
        ),
        ObjectsError::NoSuchKey(_) => (S3ErrorCode::NoSuchKey, "The specified key does not exist."),
        ObjectsError::BucketNotEmpty(_) => (
            S3ErrorCode::BucketNotEmpty,
            "The bucket you tried to delete is not empty",
        ),
        ObjectsError::KeyLength(_) => (S3ErrorCode::KeyTooLongError, "Your key is too long"),
        ObjectsError::NoSuchUpload(_) => (
            S3ErrorCode::NoSuchUpload,
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
        ),
        ObjectsError::InvalidPart(_) => (
            S3ErrorCode::InvalidPart,
            "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
        ),
        ObjectsError::InvalidPartOrder => (
            S3ErrorCode::InvalidPartOrder,
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        ),
        ObjectsError::PartTooSmall(_) => (
            S3ErrorCode::EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size",
        ),
        ObjectsError::PreconditionFailed(_) => (
            S3ErrorCode::PreconditionFailed,
            "At least one of the pre-conditions you specified did not hold",
        ),
        ObjectsError::ChecksumMismatch => (
            S3ErrorCode::BadDigest,
            "The checksum you specified did not match the calculated checksum.",
        ),
        ObjectsError::SizeMismatch { .. } => (
            S3ErrorCode::InvalidRequest,
            "The provided 'x-amz-mp-object-size' header value does not match what was computed.",
        ),
        ObjectsError::Storage(what) => {
            tracing::error!(%what, "object storage failed");
            // Whoever asks owns the machine, and "disk full" is worth telling.
            return S3Error::with_message(S3ErrorCode::InternalError, problem.to_string());
        }
    };
    let mut error = S3Error::with_message(code, message);
    // Not each of these codes has its status in the library's tables.
    match problem {
        ObjectsError::PreconditionFailed(_) => {
            error.set_status_code(StatusCode::PRECONDITION_FAILED);
        }
        ObjectsError::BucketNotEmpty(_) => error.set_status_code(StatusCode::CONFLICT),
        _ => {}
    }
    error
}
