//! S3: buckets and listings, and objects of any size in bounded memory. Objects are read as
//! streams that go on after a lost connection, and written in parts.

use std::collections::BTreeMap;
use std::ops::Range;

use aws_sdk_s3::operation::create_bucket::CreateBucketError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types as sdk;
use aws_smithy_types::DateTime;
use futures::StreamExt;

use crate::client::error::{self, Error, ErrorKind, SdkError};
use crate::client::trail::aws;
use crate::client::{ByteStream, Client, ObjectBody};
use crate::model::{Object, ObjectAddress, Page, Timestamp};

/// A request of the SDK about one object.
macro_rules! on {
    ($client:expr, $operation:ident, $address:expr) => {
        $client
            .shared
            .s3
            .$operation()
            .bucket(&$address.bucket)
            .key(&$address.key)
    };
}

mod integrity;
mod uploads;
mod versions;
mod writer;

pub use integrity::{Algorithm, Checksum};
pub use versions::{LONGEST_LINK, ObjectVersion};
pub use writer::ObjectWriter;

/// The Region whose buckets are made without naming it.
const UNNAMED_REGION: &str = "us-east-1";
/// Keys that one DeleteObjects takes.
const KEYS_A_DELETE: usize = 1_000;
/// Lost connections in a row, without a byte between them, after which a read gives up.
const RECONNECTS: u32 = 3;

impl Client {
    /// Creates the bucket; one that is already ours is fine.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), Error> {
        const ACTION: &str = "CreateBucket";
        self.may_change(ACTION, bucket)?;
        let command = || aws("s3api create-bucket", &[("bucket", bucket)]);
        let region = &self.shared.connection.region;
        let place = (region != UNNAMED_REGION).then(|| {
            sdk::CreateBucketConfiguration::builder()
                .location_constraint(sdk::BucketLocationConstraint::from(region.as_str()))
                .build()
        });
        let request = self
            .shared
            .s3
            .create_bucket()
            .bucket(bucket)
            .set_create_bucket_configuration(place);
        let created = Box::pin(request.send()).await;
        let ours = created
            .as_ref()
            .err()
            .and_then(SdkError::as_service_error)
            .is_some_and(CreateBucketError::is_bucket_already_owned_by_you);
        if ours {
            return Ok(());
        }
        let made = created.map_err(|failure| self.failed(ACTION, bucket, &failure));
        self.tell(command, made.as_ref().err());
        made.map(|_| ())
    }

    /// Keys under `prefix` in UTF-8 order, at most 1,000 a page.
    pub async fn objects(
        &self,
        bucket: &str,
        prefix: &str,
        token: Option<String>,
    ) -> Result<Page<Object>, Error> {
        let (page, next) = self.listed(bucket, prefix, None, token).await?;
        let rows = page.contents.unwrap_or_default().into_iter();
        let items = rows.filter_map(|row| listed_object(bucket, row)).collect();
        Ok(Page { items, next })
    }

    /// Names of all buckets that one may see.
    pub async fn buckets(&self) -> Result<Vec<String>, Error> {
        let request = self.shared.s3.list_buckets();
        let label = &self.shared.connection.label;
        let listed = self.send("ListBuckets", label, request.send()).await?;
        let buckets = listed.buckets.unwrap_or_default().into_iter();
        Ok(buckets.filter_map(|it| it.name).collect())
    }

    /// What is under `prefix` up to the next `/`, as keys: folders end with `/`. At most 1,000 a
    /// page.
    pub async fn folder(
        &self,
        bucket: &str,
        prefix: &str,
        token: Option<String>,
    ) -> Result<Page<String>, Error> {
        let (page, next) = self.listed(bucket, prefix, Some("/"), token).await?;
        let folders = page.common_prefixes.unwrap_or_default().into_iter();
        let objects = page.contents.unwrap_or_default().into_iter();
        let keys = objects.filter_map(|it| it.key);
        Ok(Page {
            items: folders.filter_map(|it| it.prefix).chain(keys).collect(),
            next,
        })
    }

    /// A page of a listing, and the token of the next one.
    async fn listed(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: Option<&str>,
        token: Option<String>,
    ) -> Result<(ListObjectsV2Output, Option<String>), Error> {
        let request = self
            .shared
            .s3
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .set_delimiter(delimiter.map(str::to_owned))
            .set_continuation_token(token);
        let subject = format!("s3://{bucket}/{prefix}");
        let mut page = self.send("ListObjectsV2", &subject, request.send()).await?;
        let next = page.next_continuation_token.take();
        Ok((page, next.filter(|token| !token.is_empty())))
    }

    /// `None` when there is no such object, or no such bucket: the service does not tell which.
    pub async fn head(
        &self,
        address: &ObjectAddress,
    ) -> Result<Option<(Object, BTreeMap<String, String>)>, Error> {
        let request = on!(self, head_object, address).set_version_id(address.version.clone());
        let subject = address.to_string();
        let found = match self.send("HeadObject", &subject, request.send()).await {
            Ok(found) => found,
            Err(error) if matches!(error.kind, ErrorKind::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let object = Object {
            address: address.clone(),
            size: size(found.content_length),
            modified: modified(found.last_modified),
            etag: found.e_tag.unwrap_or_default(),
        };
        let metadata = found.metadata.unwrap_or_default();
        Ok(Some((object, metadata.into_iter().collect())))
    }

    /// The whole object, or `range` of it (bytes, end exclusive); with `etag`, only that version.
    /// A connection lost on the way is made again where it broke off, to the same version.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when `etag` is no longer the object's; `Invalid` when `range` is
    /// empty or begins after the object's end.
    pub async fn read(
        &self,
        address: &ObjectAddress,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<ObjectBody, Error> {
        if range.as_ref().is_some_and(Range::is_empty) {
            let kind = ErrorKind::Invalid("the range is empty".to_owned());
            return Err(Error::new("GetObject", &address.to_string(), kind));
        }
        let opened = self.get(address, range.clone(), etag).await?;
        let sent = size(opened.content_length);
        let object = Object {
            address: address.clone(),
            size: whole_size(opened.content_range.as_deref()).unwrap_or(sent),
            modified: modified(opened.last_modified),
            etag: opened.e_tag.unwrap_or_default(),
        };
        let start = range.map_or(0, |range| range.start);
        let reader = Reader {
            client: self.clone(),
            etag: object.etag.clone(),
            address: address.clone(),
            rest: start..start.saturating_add(sent),
            body: Some(opened.body),
            lost: 0,
        };
        Ok(ObjectBody {
            object,
            metadata: opened.metadata.unwrap_or_default().into_iter().collect(),
            version: opened.version_id,
            bytes: reader.stream(),
        })
    }

    async fn get(
        &self,
        address: &ObjectAddress,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<GetObjectOutput, Error> {
        let bytes = range.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let request = on!(self, get_object, address)
            .set_version_id(address.version.clone())
            .set_range(bytes)
            .set_if_match(etag.map(str::to_owned));
        self.send("GetObject", &address.to_string(), request.send())
            .await
    }

    /// Writes an object of any size in bounded memory: one PUT when it is small, else multipart.
    #[expect(
        clippy::unused_async,
        reason = "a writer may come to ask the service first, and callers should not change then"
    )]
    pub async fn write(
        &self,
        address: &ObjectAddress,
        metadata: BTreeMap<String, String>,
    ) -> Result<ObjectWriter, Error> {
        self.may_change("PutObject", &address.to_string())?;
        Ok(ObjectWriter::new(self, address, metadata))
    }

    /// Deletes the keys; one that does not exist is fine.
    ///
    /// # Errors
    /// The first request that fails ends it. A key that the service refuses does not: the error
    /// then says how many were refused, and why the first one.
    pub async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Error> {
        const ACTION: &str = "DeleteObjects";
        let subject = format!("s3://{bucket}");
        let command = || match keys {
            [key] => aws("s3api delete-object", &[("bucket", bucket), ("key", key)]),
            keys => format!(
                "{} # {} keys, {} first",
                aws("s3api delete-objects", &[("bucket", bucket)]),
                keys.len(),
                keys.first().map_or("none", String::as_str)
            ),
        };
        let deleting = self.delete_batches(ACTION, bucket, keys);
        self.change(ACTION, &subject, command, deleting).await
    }

    async fn delete_batches(
        &self,
        action: &'static str,
        bucket: &str,
        keys: &[String],
    ) -> Result<(), Error> {
        let subject = format!("s3://{bucket}");
        let mut refused = Vec::new();
        for keys in keys.chunks(KEYS_A_DELETE) {
            let batch = batch(keys).map_err(|kind| Error::new(action, &subject, kind))?;
            let request = self.shared.s3.delete_objects().bucket(bucket).delete(batch);
            let answer = self.send(action, &subject, request.send()).await?;
            refused.extend(answer.errors.unwrap_or_default());
        }
        match refusal(&refused, keys.len()) {
            Some(kind) => Err(Error::new(action, &subject, kind)),
            None => Ok(()),
        }
    }
}

fn batch(keys: &[String]) -> Result<sdk::Delete, ErrorKind> {
    let incomplete = |error: aws_smithy_types::error::operation::BuildError| {
        ErrorKind::Invalid(error.to_string())
    };
    let mut batch = sdk::Delete::builder().quiet(true);
    for key in keys {
        let named = sdk::ObjectIdentifier::builder().key(key).build();
        batch = batch.objects(named.map_err(incomplete)?);
    }
    batch.build().map_err(incomplete)
}

/// What to say of the keys that were not deleted.
fn refusal(refused: &[sdk::Error], asked: usize) -> Option<ErrorKind> {
    let first = refused.first()?;
    let text = format!(
        "{} of {asked} keys, {} first: {}",
        refused.len(),
        first.key().unwrap_or("one without a name"),
        first.message().unwrap_or("no reason given"),
    );
    // A key's refusal has no status of its own; its code decides.
    Some(error::of_answer(first.code(), Some(&text), 500))
}

/// The rest of an object, with what it takes to ask for it again.
struct Reader {
    client: Client,
    address: ObjectAddress,
    etag: String,
    /// Bytes not yet handed on.
    rest: Range<u64>,
    /// `None` after a failure that ends the stream.
    body: Option<aws_smithy_types::byte_stream::ByteStream>,
    /// Lost connections since the last byte.
    lost: u32,
}

impl Reader {
    fn stream(self) -> ByteStream {
        futures::stream::unfold(self, Self::next).boxed()
    }

    async fn next(mut self) -> Option<(Result<bytes::Bytes, Error>, Self)> {
        loop {
            let piece = self.body.as_mut()?.next().await;
            let problem = match piece {
                Some(Ok(bytes)) if bytes.is_empty() => continue,
                Some(Ok(bytes)) => {
                    self.lost = 0;
                    self.rest.start = self.rest.start.saturating_add(bytes.len() as u64);
                    return Some((Ok(bytes), self));
                }
                None if self.rest.is_empty() => return None,
                None => "the body ended early".to_owned(),
                Some(Err(error)) => error::reason(&error),
            };
            if let Err(error) = self.reconnect(problem).await {
                self.body = None;
                return Some((Err(error), self));
            }
        }
    }

    async fn reconnect(&mut self, problem: String) -> Result<(), Error> {
        self.lost += 1;
        let left = self.rest.end.saturating_sub(self.rest.start);
        let failed = |kind| Error::new("GetObject", &self.address.to_string(), kind);
        if left == 0 {
            // With every byte here, what failed is the checksum: the same bytes cannot help.
            return Err(failed(ErrorKind::Service(problem)));
        }
        if RECONNECTS < self.lost || self.etag.is_empty() {
            let problem = format!("{problem}, {left} bytes before the end");
            return Err(failed(ErrorKind::Unreachable(problem)));
        }
        tracing::info!(object = %self.address, at = self.rest.start, problem, "reading on");
        let again = self
            .client
            .get(&self.address, Some(self.rest.clone()), Some(&self.etag))
            .await?;
        self.body = Some(again.body);
        Ok(())
    }
}

/// A row without a key is none.
fn listed_object(bucket: &str, row: sdk::Object) -> Option<Object> {
    Some(Object {
        address: ObjectAddress::new(bucket, row.key?),
        size: size(row.size),
        modified: modified(row.last_modified),
        etag: row.e_tag.unwrap_or_default(),
    })
}

fn size(length: Option<i64>) -> u64 {
    length.and_then(|it| it.try_into().ok()).unwrap_or(0)
}

fn modified(date: Option<DateTime>) -> Timestamp {
    date.and_then(|date| Timestamp::from_second(date.secs()).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The size after the slash of `bytes 0-9/443`.
fn whole_size(content_range: Option<&str>) -> Option<u64> {
    content_range?.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_tells_the_whole_size() {
        assert_eq!(whole_size(Some("bytes 0-9/443")), Some(443));
        assert_eq!(whole_size(Some("bytes 0-9/*")), None);
        assert_eq!(whole_size(None), None);
    }

    #[test]
    fn refused_keys_are_counted_and_the_first_one_named() {
        let denied = sdk::Error::builder()
            .key("a")
            .code("AccessDenied")
            .message("Access Denied")
            .build();
        let kind = refusal(&[denied.clone(), denied], 5).unwrap();
        assert_eq!(
            kind,
            ErrorKind::Permission("2 of 5 keys, a first: Access Denied".to_owned())
        );
        assert_eq!(refusal(&[], 5), None);
    }
}
