//! Objects: what is asked of S3, and what becomes of answers that break off.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use super::service::{Reply, Request, Service};
use crate::client::{Error, ErrorKind, ObjectBody};
use crate::model::ObjectAddress;

fn address() -> ObjectAddress {
    ObjectAddress::new("bucket", "a folder/ü+&.jsonl")
}

async fn all(body: ObjectBody) -> Result<Vec<u8>, Error> {
    let pieces: Vec<Result<Bytes, Error>> = body.bytes.collect().await;
    let pieces: Result<Vec<Bytes>, Error> = pieces.into_iter().collect();
    Ok(pieces?.concat())
}

fn etag(reply: Reply) -> Reply {
    reply
        .header("etag", "\"e1\"")
        .header("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")
}

#[tokio::test]
async fn an_object_that_is_not_there_is_none_and_a_forbidden_one_an_error() {
    let service = Service::script(vec![Reply::new(404, "")]).await;
    let head = service.client().await.head(&address()).await;
    assert_eq!(head, Ok(None));
    let service = Service::script(vec![Reply::new(403, "")]).await;
    let error = service.client().await.head(&address()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Permission(_)), "{error}");
}

#[tokio::test]
async fn a_head_has_size_and_metadata() {
    let reply = etag(Reply::new(200, "12345")).header("x-amz-meta-lines", "7");
    let service = Service::script(vec![reply]).await;
    let (object, metadata) = service
        .client()
        .await
        .head(&address())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((object.size, object.etag.as_str()), (5, "\"e1\""));
    assert_eq!(object.modified.as_second(), 1_445_412_480);
    assert_eq!(metadata.get("lines").map(String::as_str), Some("7"));
    let line = &service.requests()[0].line;
    assert_eq!(line, "HEAD /bucket/a%20folder/%C3%BC%2B%26.jsonl");
}

#[tokio::test]
async fn a_range_is_asked_with_its_last_byte_and_knows_the_whole() {
    let reply = etag(Reply::new(206, "234")).header("content-range", "bytes 2-4/10");
    let service = Service::script(vec![reply]).await;
    let client = service.client().await;
    let body = client
        .read(&address(), Some(2..5), Some("\"e1\""))
        .await
        .unwrap();
    assert_eq!(body.object.size, 10);
    assert_eq!(all(body).await.unwrap(), b"234");
    let asked = &service.requests()[0];
    assert_eq!(asked.header("range"), "bytes=2-4");
    assert_eq!(asked.header("if-match"), "\"e1\"");
}

#[tokio::test]
async fn a_version_is_read_and_asked_about_as_that_version() {
    let listed = "<ListVersionsResult>\
        <Version><Key>k</Key><VersionId>v2</VersionId><IsLatest>false</IsLatest>\
        <LastModified>2026-11-21T10:00:00Z</LastModified><ETag>\"e2\"</ETag><Size>3</Size></Version>\
        <Version><Key>kk</Key><VersionId>x</VersionId><IsLatest>true</IsLatest><Size>1</Size></Version>\
        <DeleteMarker><Key>k</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest>\
        <LastModified>2026-11-22T10:00:00Z</LastModified></DeleteMarker>\
        </ListVersionsResult>";
    let service = Service::script(vec![
        Reply::new(200, listed),
        etag(Reply::new(200, "123")),
        etag(Reply::new(200, "123")),
        etag(Reply::new(206, "23")).header("content-range", "bytes 1-2/3"),
    ])
    .await;
    let client = service.client().await;
    let address = ObjectAddress::new("b", "k");
    let versions = client.object_versions(&address).await.unwrap().unwrap();
    let ids: Vec<&str> = versions.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["v3", "v2"], "those of other keys are not its own");
    assert_eq!(versions[0].object(&address), None, "it was deleted");
    let object = versions[1].object(&address).unwrap();
    assert_eq!((object.size, object.etag.as_str()), (3, "\"e2\""));
    let (found, _) = client.head(&object.address).await.unwrap().unwrap();
    assert_eq!(found.address.to_string(), "s3://b/k?versionId=v2");
    client.checksum(&object.address, "\"e2\"").await.unwrap();
    let body = client
        .read(&object.address, Some(1..3), Some("\"e2\""))
        .await;
    assert_eq!(all(body.unwrap()).await.unwrap(), b"23");
    for asked in &service.requests()[1..] {
        assert!(asked.line.contains("versionId=v2"), "{}", asked.line);
    }
    let link = client.link(&object.address, Duration::from_mins(1)).await;
    assert!(link.unwrap().contains("versionId=v2"));
}

#[tokio::test]
async fn a_lost_connection_is_made_again_where_it_broke_off() {
    let rest = Reply::new(206, "56789").header("content-range", "bytes 5-9/10");
    let service =
        Service::script(vec![etag(Reply::new(200, "0123456789")).cut(5), etag(rest)]).await;
    let client = service.client().await;
    let body = client.read(&address(), None, None).await.unwrap();
    assert_eq!(all(body).await.unwrap(), b"0123456789");
    let asked = service.requests();
    assert_eq!(asked[1].header("range"), "bytes=5-9");
    assert_eq!(asked[1].header("if-match"), "\"e1\"");
}

#[tokio::test]
async fn an_object_that_changed_meanwhile_is_not_mixed() {
    let changed = "<Error><Code>PreconditionFailed</Code><Message>m</Message></Error>";
    let service = Service::script(vec![
        etag(Reply::new(200, "0123456789")).cut(5),
        Reply::new(412, changed),
    ])
    .await;
    let client = service.client().await;
    let body = client.read(&address(), None, None).await.unwrap();
    let error = all(body).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict("m".to_owned()));
}

#[tokio::test]
async fn a_missing_key_is_not_found() {
    let missing = "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>";
    let service = Service::script(vec![Reply::new(404, missing)]).await;
    let client = service.client().await;
    let error = client.read(&address(), None, None).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::NotFound("gone".to_owned()));
    assert_eq!(error.subject, "s3://bucket/a folder/ü+&.jsonl");
}

#[tokio::test]
async fn slow_down_of_s3_is_shown() {
    let slow = "<Error><Code>SlowDown</Code><Message>m</Message></Error>";
    let service = Service::script(vec![Reply::new(503, slow), etag(Reply::new(200, "x"))]).await;
    let client = service.client().await;
    assert!(client.read(&address(), None, None).await.is_ok());
    assert!(client.slowed());
}

#[tokio::test]
async fn a_listing_has_rows_and_a_next_page() {
    let body = "<ListBucketResult><IsTruncated>true</IsTruncated>\
        <NextContinuationToken>t</NextContinuationToken><Contents><Key>p/a&amp;b</Key>\
        <LastModified>2015-10-21T07:28:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>\
        <Size>3</Size></Contents><Contents><Size>1</Size></Contents></ListBucketResult>";
    let service = Service::script(vec![Reply::new(200, body)]).await;
    let page = service
        .client()
        .await
        .objects("bucket", "p/", None)
        .await
        .unwrap();
    assert_eq!(page.next.as_deref(), Some("t"));
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].address, ObjectAddress::new("bucket", "p/a&b"));
    assert_eq!(page.items[0].etag, "\"e\"");
}

#[tokio::test]
async fn a_bucket_of_ours_is_fine_and_one_of_others_is_not() {
    let answer = |code: &str| format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
    let ours = Reply::new(409, answer("BucketAlreadyOwnedByYou"));
    let service = Service::script(vec![ours]).await;
    assert_eq!(service.client().await.create_bucket("b").await, Ok(()));
    let theirs = Reply::new(409, answer("BucketAlreadyExists"));
    let service = Service::script(vec![theirs]).await;
    let error = service.client().await.create_bucket("b").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict("m".to_owned()));
}

#[tokio::test]
async fn a_small_object_is_one_put() {
    let service = Service::script(vec![etag(Reply::new(200, ""))]).await;
    let client = service.client().await;
    let metadata = BTreeMap::from([("lines".to_owned(), "2".to_owned())]);
    let mut writer = client.write(&address(), metadata).await.unwrap();
    writer.write(b"hello ").await.unwrap();
    writer.write(b"world").await.unwrap();
    let object = writer.finish().await.unwrap();
    assert_eq!((object.size, object.etag.as_str()), (11, "\"e1\""));
    let asked = service.requests();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].line.starts_with("PUT /bucket/a%20folder/"));
    assert_eq!(asked[0].header("x-amz-meta-lines"), "2");
    assert!(String::from_utf8_lossy(&asked[0].body).contains("hello world"));
}

/// Answers a multipart upload; part 2 with `status`.
fn multipart(request: &Request, status: u16) -> Reply {
    let line = &request.line;
    if line.contains("?uploads") {
        let started = "<InitiateMultipartUploadResult><UploadId>u1</UploadId>\
            </InitiateMultipartUploadResult>";
        Reply::new(200, started)
    } else if line.starts_with("DELETE") {
        Reply::new(204, "")
    } else if line.starts_with("POST") {
        let done = "<CompleteMultipartUploadResult><ETag>\"whole-2\"</ETag>\
            </CompleteMultipartUploadResult>";
        Reply::new(200, done)
    } else if line.contains("partNumber=2") && status != 200 {
        let denied = "<Error><Code>AccessDenied</Code><Message>m</Message></Error>";
        Reply::new(status, denied)
    } else {
        etag(Reply::new(200, ""))
    }
}

#[tokio::test]
async fn a_large_object_goes_in_parts_and_appears_once() {
    let service = Service::start(|request| multipart(request, 200)).await;
    let client = service.client().await;
    let mut writer = client.write(&address(), BTreeMap::new()).await.unwrap();
    let mebibyte = vec![b'x'; 1 << 20];
    for _ in 0..17 {
        writer.write(&mebibyte).await.unwrap();
    }
    let object = writer.finish().await.unwrap();
    assert_eq!(
        (object.size, object.etag.as_str()),
        (17 << 20, "\"whole-2\"")
    );
    let asked = service.requests();
    assert_eq!(asked.len(), 5, "begin, three parts, complete");
    let complete = String::from_utf8(asked[4].body.clone()).unwrap();
    let numbers: Vec<usize> = (1..=3)
        .map(|number| {
            let tag = format!("<PartNumber>{number}</PartNumber>");
            complete.find(&tag).unwrap()
        })
        .collect();
    assert!(numbers.is_sorted(), "{complete}");
    assert!(!complete.contains("<PartNumber>4"));
}

#[tokio::test]
async fn a_part_that_fails_leaves_no_object_behind() {
    let service = Service::start(|request| multipart(request, 403)).await;
    let client = service.client().await;
    let mut writer = client.write(&address(), BTreeMap::new()).await.unwrap();
    writer.write(&vec![b'x'; 20 << 20]).await.unwrap();
    let error = writer.finish().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Permission("m".to_owned()));
    until(&service, |line| line.starts_with("DELETE")).await;
    let lines: Vec<String> = service.requests().into_iter().map(|it| it.line).collect();
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("POST") && !line.contains("uploads"))
    );
}

#[tokio::test]
async fn a_writer_given_up_deletes_its_parts() {
    let service = Service::start(|request| multipart(request, 200)).await;
    let client = service.client().await;
    for drop_it in [true, false] {
        let mut writer = client.write(&address(), BTreeMap::new()).await.unwrap();
        writer.write(&vec![b'x'; 9 << 20]).await.unwrap();
        service.seen.lock().unwrap().clear();
        if drop_it {
            drop(writer);
        } else {
            writer.abort().await;
        }
        until(&service, |line| line.starts_with("DELETE")).await;
    }
}

/// Waits for a request that a background task sends.
async fn until(service: &Service, is_it: impl Fn(&str) -> bool) {
    let seen = async {
        while !service.requests().iter().any(|it| is_it(&it.line)) {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(10);
    tokio::time::timeout(limit, seen)
        .await
        .expect("never asked");
}

#[tokio::test]
async fn keys_are_deleted_by_the_thousand_and_refusals_counted() {
    let ok = "<DeleteResult></DeleteResult>";
    let refused = "<DeleteResult><Error><Key>k1000</Key><Code>AccessDenied</Code>\
        <Message>no</Message></Error></DeleteResult>";
    let service = Service::script(vec![Reply::new(200, ok), Reply::new(200, refused)]).await;
    let client = service.client().await;
    let keys: Vec<String> = (0..1_001).map(|n| format!("k{n}")).collect();
    let error = client.delete("bucket", &keys).await.unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::Permission("1 of 1001 keys, k1000 first: no".to_owned())
    );
    assert_eq!(service.requests().len(), 2);
}

#[tokio::test]
async fn completing_can_fail_behind_a_good_status() {
    let service = Service::start(|request| {
        if request.line.starts_with("POST") && !request.line.contains("?uploads") {
            Reply::new(
                200,
                "<Error><Code>InternalError</Code><Message>m</Message></Error>",
            )
        } else {
            multipart(request, 200)
        }
    })
    .await;
    let client = service.client().await;
    let mut writer = client.write(&address(), BTreeMap::new()).await.unwrap();
    writer.write(&vec![b'x'; 9 << 20]).await.unwrap();
    assert!(writer.finish().await.is_err());
    until(&service, |line| line.starts_with("DELETE")).await;
}

#[tokio::test]
async fn a_read_that_never_gets_on_gives_up() {
    let service = Service::start(|request| match request.header("range") {
        "" => etag(Reply::new(200, "0123456789")).cut(5),
        _ => etag(Reply::new(206, "56789")).cut(0),
    })
    .await;
    let client = service.client().await;
    let body = client.read(&address(), None, None).await.unwrap();
    let error = all(body).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unreachable(_)), "{error}");
    assert!(
        error.to_string().ends_with("5 bytes before the end"),
        "{error}"
    );
    assert_eq!(service.requests().len(), 4);
}

fn plain() -> ObjectAddress {
    ObjectAddress::new("bucket", "a")
}

#[tokio::test]
async fn versions_are_those_of_the_key_alone_and_the_newest_first() {
    let version = |kind: &str, key: &str, id: &str, day: u32, latest: bool| {
        format!(
            "<{kind}><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest>\
             <LastModified>2015-10-{day:02}T07:28:00.000Z</LastModified><Size>3</Size></{kind}>"
        )
    };
    let body = format!(
        "<ListVersionsResult>{}{}{}{}</ListVersionsResult>",
        version("Version", "a", "v1", 1, false),
        version("Version", "a", "v3", 3, true),
        version("Version", "a.failed.jsonl", "other", 9, true),
        version("DeleteMarker", "a", "v2", 2, false),
    );
    let service = Service::script(vec![Reply::new(200, body)]).await;
    let client = service.client().await;
    let versions = client.object_versions(&plain()).await.unwrap().unwrap();
    let ids: Vec<(&str, Option<u64>)> = versions
        .iter()
        .map(|it| (it.id.as_str(), it.size))
        .collect();
    assert_eq!(ids, [("v3", Some(3)), ("v2", None), ("v1", Some(3))]);
}

#[tokio::test]
async fn storage_without_versions_has_none() {
    let no = "<Error><Code>NotImplemented</Code><Message>m</Message></Error>";
    let service = Service::script(vec![Reply::new(501, no)]).await;
    let client = service.client().await;
    assert_eq!(client.object_versions(&plain()).await, Ok(None));
}

#[tokio::test]
async fn a_link_is_made_here_and_not_by_who_may_only_read() {
    let service = Service::script(Vec::new()).await;
    let client = service.client().await;
    let link = client
        .link(&plain(), Duration::from_hours(1))
        .await
        .unwrap();
    assert!(
        link.starts_with(&format!("{}/bucket/a?", service.url)),
        "{link}"
    );
    assert!(link.contains("X-Amz-Expires=3600"), "{link}");
    let long = client.link(&plain(), Duration::from_hours(24 * 8)).await;
    assert!(matches!(long.unwrap_err().kind, ErrorKind::Invalid(_)));
    let reader = service.connect(true).await;
    let refused = reader.link(&plain(), Duration::from_hours(1)).await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::ReadOnly);
    assert!(service.requests().is_empty());
}
