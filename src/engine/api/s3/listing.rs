//! Buckets, and pages of what is in them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto;
use s3s::{S3Request, S3Response, s3_error};

use super::body::on_disk;
use super::{Answer, S3Result, wire_checksum_algorithm, wire_checksum_type, wire_etag, wire_time};
use crate::engine::objects::{
    ListQuery, Listing, ObjectInfo, Objects, ObjectsError, after_key, after_prefix,
};
use crate::engine::{ACCOUNT, REGION};

/// Most entries on a page, and how many there are unless fewer are asked for.
const PAGE: i32 = 1000;

/// What stays as it is in a key with `encoding-type=url`.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b'/');

pub(super) async fn list_buckets(
    objects: Objects,
    request: S3Request<dto::ListBucketsInput>,
) -> Answer<dto::ListBucketsOutput> {
    let input = request.input;
    let prefix = input.prefix.clone().unwrap_or_default();
    let from = match &input.continuation_token {
        Some(token) => token_key(token)?,
        None => String::new(),
    };
    let most = input
        .max_buckets
        .map_or(Ok(usize::MAX), |most| page_size(Some(most)))?;
    let elsewhere = input.bucket_region.is_some_and(|region| region != REGION);
    let buckets = on_disk(move || objects.buckets()).await?;
    let wanted = |name: &str| !elsewhere && name.starts_with(&prefix) && *name >= *from;
    let mut found = buckets.into_iter().filter(|(name, _)| wanted(name));
    let page = found
        .by_ref()
        .take(most)
        .map(|(name, created)| dto::Bucket {
            name: Some(name),
            creation_date: Some(wire_time(created)),
            bucket_region: input.max_buckets.map(|_| REGION.to_owned()),
        })
        .collect();
    Ok(S3Response::new(dto::ListBucketsOutput {
        buckets: Some(page),
        continuation_token: found.next().map(|(name, _)| token(&name)),
        owner: Some(owner()),
        prefix: input.prefix,
    }))
}

pub(super) async fn create_bucket(
    objects: Objects,
    request: S3Request<dto::CreateBucketInput>,
) -> Answer<dto::CreateBucketOutput> {
    let input = request.input;
    let place = input
        .create_bucket_configuration
        .and_then(|it| it.location_constraint);
    match place.as_ref().map(dto::BucketLocationConstraint::as_str) {
        None => {}
        // The Region that needs no constraint does not accept one.
        Some(REGION) => {
            return Err(s3_error!(
                InvalidLocationConstraint,
                "The specified location-constraint is not valid"
            ));
        }
        Some(other) => {
            return Err(s3_error!(
                IllegalLocationConstraintException,
                "The {other} location constraint is incompatible for the region specific endpoint this request was sent to."
            ));
        }
    }
    let location = format!("/{}", input.bucket);
    // Creating one's own bucket again is no error in this Region.
    on_disk(move || objects.create_bucket(&input.bucket)).await?;
    Ok(S3Response::new(dto::CreateBucketOutput {
        location: Some(location),
    }))
}

pub(super) async fn head_bucket(
    objects: Objects,
    request: S3Request<dto::HeadBucketInput>,
) -> Answer<dto::HeadBucketOutput> {
    require_bucket(objects, request.input.bucket).await?;
    Ok(S3Response::new(dto::HeadBucketOutput {
        bucket_region: Some(REGION.to_owned()),
        ..dto::HeadBucketOutput::default()
    }))
}

pub(super) async fn delete_bucket(
    objects: Objects,
    request: S3Request<dto::DeleteBucketInput>,
) -> Answer<dto::DeleteBucketOutput> {
    on_disk(move || objects.delete_bucket(&request.input.bucket)).await?;
    Ok(S3Response::with_status(
        dto::DeleteBucketOutput::default(),
        http::StatusCode::NO_CONTENT,
    ))
}

pub(super) async fn get_bucket_location(
    objects: Objects,
    request: S3Request<dto::GetBucketLocationInput>,
) -> Answer<dto::GetBucketLocationOutput> {
    require_bucket(objects, request.input.bucket).await?;
    // us-east-1 is the Region without a name here.
    Ok(S3Response::new(dto::GetBucketLocationOutput::default()))
}

async fn require_bucket(objects: Objects, bucket: String) -> S3Result<()> {
    on_disk(move || {
        if objects.has_bucket(&bucket)? {
            Ok(())
        } else {
            Err(ObjectsError::NoSuchBucket(bucket))
        }
    })
    .await
}

pub(super) async fn list_objects_v2(
    objects: Objects,
    request: S3Request<dto::ListObjectsV2Input>,
) -> Answer<dto::ListObjectsV2Output> {
    let input = request.input;
    let url = url_encoder(input.encoding_type.as_ref())?;
    let from = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => token_key(token)?,
        (None, Some(key)) => after_key(key),
        (None, None) => String::new(),
    };
    let query = query(
        input.prefix.as_deref(),
        input.delimiter.as_deref(),
        from,
        input.max_keys,
    )?;
    let most = query.most;
    let listing = list(objects, &input.bucket, query).await?;
    let owner = input.fetch_owner.unwrap_or(false).then(owner);
    Ok(S3Response::new(dto::ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(url(&input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.as_deref().map(&url),
        start_after: input.start_after.as_deref().map(&url),
        max_keys: Some(most as i32),
        key_count: Some(listing.len() as i32),
        continuation_token: input.continuation_token,
        is_truncated: Some(listing.next.is_some()),
        next_continuation_token: listing.next.as_deref().map(token),
        contents: Some(wire_objects(&listing, &url, owner.as_ref())),
        common_prefixes: Some(wire_prefixes(&listing, &url)),
        encoding_type: input.encoding_type,
        request_charged: None,
    }))
}

pub(super) async fn list_objects(
    objects: Objects,
    request: S3Request<dto::ListObjectsInput>,
) -> Answer<dto::ListObjectsOutput> {
    let input = request.input;
    let url = url_encoder(input.encoding_type.as_ref())?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = input.delimiter.clone().filter(|it| !it.is_empty());
    let marker = input.marker.clone().unwrap_or_default();
    let from = behind_marker(&marker, &prefix, delimiter.as_deref());
    let is_at_end = from.is_none();
    let from = from.unwrap_or_default();
    let mut query = query(Some(&prefix), delimiter.as_deref(), from, input.max_keys)?;
    let most = query.most;
    if is_at_end {
        query.most = 0;
    }
    let listing = list(objects, &input.bucket, query).await?;
    let last = listing
        .objects
        .last()
        .map(|it| &it.key)
        .max(listing.prefixes.last());
    let next = last.filter(|_| listing.next.is_some() && delimiter.is_some());
    Ok(S3Response::new(dto::ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(url(&prefix)),
        delimiter: delimiter.as_deref().map(&url),
        marker: Some(url(&marker)),
        max_keys: Some(most as i32),
        is_truncated: Some(listing.next.is_some()),
        next_marker: next.map(|key| url(key)),
        contents: Some(wire_objects(&listing, &url, Some(&owner()))),
        common_prefixes: Some(wire_prefixes(&listing, &url)),
        encoding_type: input.encoding_type,
        request_charged: None,
    }))
}

/// Where the page behind a marker begins. A marker may be what keys were rolled up to: then they
/// are all before it. `None` when no key can be behind it.
fn behind_marker(marker: &str, prefix: &str, delimiter: Option<&str>) -> Option<String> {
    let rolled_up = delimiter.is_some_and(|delimiter| {
        let rest = marker.strip_prefix(prefix);
        rest.is_some_and(|rest| {
            rest.find(delimiter).map(|at| at + delimiter.len()) == Some(rest.len())
        })
    });
    if rolled_up {
        after_prefix(marker)
    } else if marker.is_empty() {
        Some(String::new())
    } else {
        Some(after_key(marker))
    }
}

fn query(
    prefix: Option<&str>,
    delimiter: Option<&str>,
    from: String,
    most: Option<i32>,
) -> S3Result<ListQuery> {
    Ok(ListQuery {
        prefix: prefix.unwrap_or_default().to_owned(),
        delimiter: delimiter.filter(|it| !it.is_empty()).map(str::to_owned),
        from,
        most: page_size(most)?,
    })
}

async fn list(objects: Objects, bucket: &str, query: ListQuery) -> S3Result<Listing> {
    let bucket = bucket.to_owned();
    on_disk(move || objects.list(&bucket, &query)).await
}

fn wire_objects(
    listing: &Listing,
    url: impl Fn(&str) -> String,
    owner: Option<&dto::Owner>,
) -> Vec<dto::Object> {
    let wire = |info: &ObjectInfo| dto::Object {
        key: Some(url(&info.key)),
        size: i64::try_from(info.size).ok(),
        e_tag: Some(wire_etag(&info.etag)),
        last_modified: Some(wire_time(info.modified)),
        checksum_algorithm: info
            .checksum
            .as_ref()
            .map(|it| vec![wire_checksum_algorithm(it)]),
        checksum_type: info.checksum.as_ref().map(wire_checksum_type),
        owner: owner.cloned(),
        storage_class: Some(dto::ObjectStorageClass::from_static(
            dto::ObjectStorageClass::STANDARD,
        )),
        restore_status: None,
    };
    listing.objects.iter().map(wire).collect()
}

fn wire_prefixes(listing: &Listing, url: impl Fn(&str) -> String) -> Vec<dto::CommonPrefix> {
    let wire = |prefix: &String| dto::CommonPrefix {
        prefix: Some(url(prefix)),
    };
    listing.prefixes.iter().map(wire).collect()
}

fn owner() -> dto::Owner {
    dto::Owner {
        display_name: None,
        id: Some(ACCOUNT.to_owned()),
    }
}

/// How many entries a page has at most.
pub(super) fn page_size(asked: Option<i32>) -> S3Result<usize> {
    let most = asked.unwrap_or(PAGE).min(PAGE);
    usize::try_from(most).map_err(|_| {
        s3_error!(
            InvalidArgument,
            "Argument must be an integer between 0 and 2147483647"
        )
    })
}

/// What keys look like in an answer: URL-encoded where the client asks for it, so that those come
/// through that XML cannot carry.
pub(super) fn url_encoder(
    kind: Option<&dto::EncodingType>,
) -> S3Result<impl Fn(&str) -> String + use<>> {
    let encodes = match kind.map(dto::EncodingType::as_str) {
        None => false,
        Some(dto::EncodingType::URL) => true,
        Some(_) => {
            return Err(s3_error!(
                InvalidArgument,
                "Invalid Encoding Method specified in Request"
            ));
        }
    };
    Ok(move |key: &str| {
        if encodes {
            utf8_percent_encode(key, KEY).to_string()
        } else {
            key.to_owned()
        }
    })
}

/// The continuation token of a page that begins with `key`.
fn token(key: &str) -> String {
    format!("1{}", utf8_percent_encode(key, NON_ALPHANUMERIC))
}

fn token_key(token: &str) -> S3Result<String> {
    let key = token.strip_prefix('1').and_then(|encoded| {
        let decoded = percent_encoding::percent_decode_str(encoded);
        decoded.decode_utf8().ok().map(std::borrow::Cow::into_owned)
    });
    key.ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "The continuation token provided is incorrect"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_may_be_what_keys_were_rolled_up_to() {
        let behind = |marker| behind_marker(marker, "a/", Some("/")).unwrap();
        assert_eq!(behind(""), "");
        assert_eq!(behind("a/b"), "a/b\0");
        assert_eq!(behind("a/b/"), "a/b0");
        assert_eq!(behind("a/b/c/"), "a/b/c/\0");
        assert_eq!(behind_marker("a/b/", "", None).unwrap(), "a/b/\0");
    }

    #[test]
    fn any_key_survives_a_token() {
        for key in ["", "a b+c%2F", "é\0\u{10ffff}"] {
            assert_eq!(token_key(&token(key)).unwrap(), key);
        }
        assert!(token_key("").is_err());
        assert!(token_key("1%ff").is_err());
    }
}
