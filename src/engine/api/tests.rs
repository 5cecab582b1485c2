//! Over a real socket, with the SDK on the other side.

use std::net::SocketAddr;

use aws_sdk_s3::config::{BehaviorVersion, Region, RequestChecksumCalculation};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    MetadataDirective,
};
use tempfile::TempDir;

use super::*;
use crate::engine::objects::MIN_PART;

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
    objects: Objects,
    functions: Functions,
    _folder: TempDir,
}

fn credentials() -> Credentials {
    Credentials {
        access_key: "AKLOCAL".to_owned(),
        secret_key: "secret".to_owned(),
    }
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(&folder.path().join("objects")).unwrap();
        let clock = Arc::<crate::engine::runner::Clock>::default();
        let logs = Logs::open(&folder.path().join("logs"), Arc::clone(&clock)).unwrap();
        let functions = Functions::new(logs.clone(), clock);
        let states = |operation: String, body: Bytes, _| {
            async move {
                match operation.as_str() {
                    "Echo" => Ok(serde_json::from_slice(&body).unwrap()),
                    "Panic" => panic!("a bug"),
                    _ => Err(ApiError {
                        reason: Some("WHY"),
                        ..ApiError::new("ValidationException", "no")
                    }),
                }
            }
            .boxed()
        };
        let front = Arc::new(Front::new(
            objects.clone(),
            logs,
            functions.clone(),
            credentials(),
            states,
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(front.serve(listener, shutdown.clone()));
        Self {
            address,
            shutdown,
            ended,
            objects,
            functions,
            _folder: folder,
        }
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        self.s3_with("secret", |it| it)
    }

    fn s3_with(
        &self,
        secret: &str,
        change: impl Fn(aws_sdk_s3::config::Builder) -> aws_sdk_s3::config::Builder,
    ) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(format!("http://{}", self.address))
            .region(Region::new("us-east-1"))
            .force_path_style(true)
            .credentials_provider(aws_sdk_s3::config::Credentials::new(
                "AKLOCAL", secret, None, None, "test",
            ));
        aws_sdk_s3::Client::from_conf(change(config).build())
    }

    /// A client of a bucket that is there.
    async fn bucket(&self) -> aws_sdk_s3::Client {
        let client = self.s3();
        client.create_bucket().bucket("files").send().await.unwrap();
        client
    }

    /// Sends a call to a JSON service, signed; returns status, content type and body.
    async fn call(&self, service: &str, target: &str, body: &str) -> (u16, String, Value) {
        let url = format!("http://{}/", self.address);
        let request = reqwest::Client::new()
            .post(&url)
            .header("host", "sync-127.0.0.1")
            .header("x-amz-target", target)
            .body(body.to_owned())
            .build()
            .unwrap();
        let response = reqwest::Client::new()
            .execute(sign(request, service, body))
            .await
            .unwrap();
        assert!(response.headers().contains_key("x-amzn-requestid"));
        let content_type = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let status = response.status().as_u16();
        let body = response.text().await.unwrap();
        (status, content_type, serde_json::from_str(&body).unwrap())
    }
}

fn sign(mut request: reqwest::Request, service: &str, body: &str) -> reqwest::Request {
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    let Credentials {
        access_key,
        secret_key,
    } = credentials();
    let identity =
        aws_sdk_s3::config::Credentials::new(access_key, secret_key, None, None, "test").into();
    let params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name(service)
        .time(std::time::SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers = request.headers().clone();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.url().as_str().to_owned(),
        headers,
        SignableBody::Bytes(body.as_bytes()),
    );
    let (instructions, _) = sign(signable.unwrap(), &params).unwrap().into_parts();
    for (name, value) in instructions.headers() {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

fn code<E: ProvideErrorMetadata>(error: &E) -> &str {
    error.code().unwrap_or("none")
}

/// What a request answered instead of success: `code status`.
macro_rules! refused {
    ($request:expr) => {{
        let error = $request.send().await.unwrap_err();
        let status = error
            .raw_response()
            .map(|it| it.status().as_u16())
            .unwrap_or_default();
        format!("{} {status}", code(&error))
    }};
}

async fn put(client: &aws_sdk_s3::Client, key: &str, body: impl Into<Vec<u8>>) {
    let body = ByteStream::from(body.into());
    client
        .put_object()
        .bucket("files")
        .key(key)
        .body(body)
        .send()
        .await
        .unwrap();
}

async fn get(client: &aws_sdk_s3::Client, key: &str) -> Vec<u8> {
    let object = client
        .get_object()
        .bucket("files")
        .key(key)
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    object.body.collect().await.unwrap().to_vec()
}

#[tokio::test]
async fn objects_come_back_with_what_was_said_about_them() {
    let server = Server::start().await;
    let client = server.bucket().await;
    let key = "dir/é +%?&=#//../x";
    client
        .put_object()
        .bucket("files")
        .key(key)
        .body(ByteStream::from_static(b"hello"))
        .content_type("text/plain")
        .content_encoding("gzip")
        .cache_control("no-cache")
        .metadata("line", "7")
        .send()
        .await
        .unwrap();
    let object = client
        .get_object()
        .bucket("files")
        .key(key)
        .send()
        .await
        .unwrap();
    assert_eq!(object.content_type(), Some("text/plain"));
    assert_eq!(object.content_encoding(), Some("gzip"));
    assert_eq!(object.cache_control(), Some("no-cache"));
    assert_eq!(object.metadata().unwrap()["line"], "7");
    assert_eq!(object.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert_eq!(object.content_length(), Some(5));
    assert!(object.checksum_crc32().is_some());
    assert_eq!(object.body.collect().await.unwrap().to_vec(), b"hello");
    let head = client
        .head_object()
        .bucket("files")
        .key(key)
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length(), Some(5));
    put(&client, "empty", "").await;
    assert_eq!(get(&client, "empty").await, b"");
}

#[tokio::test]
async fn every_checksum_is_verified_and_kept() {
    let server = Server::start().await;
    let client = server.bucket().await;
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        let body = vec![b'x'; 300_000];
        client
            .put_object()
            .bucket("files")
            .key("a")
            .checksum_algorithm(algorithm.clone())
            .body(ByteStream::from(body.clone()))
            .send()
            .await
            .unwrap();
        assert_eq!(get(&client, "a").await, body);
        let info = server.objects.head("files", "a").unwrap();
        assert_eq!(info.checksum.unwrap().algorithm, algorithm.as_str());
    }
    let wrong = client
        .put_object()
        .bucket("files")
        .key("wrong")
        .checksum_crc32("AAAAAA==")
        .body(ByteStream::from_static(b"hello"));
    assert_eq!(refused!(wrong), "BadDigest 400");
    let wrong = client
        .put_object()
        .bucket("files")
        .key("wrong")
        .content_md5("AAAAAAAAAAAAAAAAAAAAAA==")
        .body(ByteStream::from_static(b"hello"));
    assert_eq!(refused!(wrong), "BadDigest 400");
    assert!(server.objects.head("files", "wrong").is_err());
}

#[tokio::test]
async fn parts_of_an_object_can_be_read() {
    let server = Server::start().await;
    let client = server.bucket().await;
    put(&client, "a", "0123456789").await;
    let read = |range: &'static str| {
        let request = client.get_object().bucket("files").key("a").range(range);
        async move {
            let object = request.send().await.unwrap();
            let place = object.content_range().unwrap().to_owned();
            let bytes = object.body.collect().await.unwrap().to_vec();
            format!("{place}: {}", String::from_utf8(bytes).unwrap())
        }
    };
    assert_eq!(read("bytes=2-4").await, "bytes 2-4/10: 234");
    assert_eq!(read("bytes=8-99").await, "bytes 8-9/10: 89");
    assert_eq!(read("bytes=-3").await, "bytes 7-9/10: 789");
    let behind = client
        .get_object()
        .bucket("files")
        .key("a")
        .range("bytes=10-");
    assert_eq!(refused!(behind), "InvalidRange 416");
}

#[tokio::test]
async fn conditions_hold_on_reading_and_writing() {
    let server = Server::start().await;
    let client = server.bucket().await;
    put(&client, "a", "hello").await;
    let etag = "\"5d41402abc4b2a76b9719d911017c592\"";
    let get = || client.get_object().bucket("files").key("a");
    let put = |key| client.put_object().bucket("files").key(key);
    assert!(get().if_match(etag).send().await.is_ok());
    assert_eq!(refused!(get().if_match("\"x\"")), "PreconditionFailed 412");
    assert!(refused!(get().if_none_match(etag)).ends_with(" 304"));
    let future = aws_sdk_s3::primitives::DateTime::from_secs(4_000_000_000);
    assert!(refused!(get().if_modified_since(future)).ends_with(" 304"));
    assert_eq!(
        refused!(put("a").if_none_match("*")),
        "PreconditionFailed 412"
    );
    assert!(put("b").if_none_match("*").send().await.is_ok());
    assert_eq!(
        refused!(put("a").if_match("\"x\"")),
        "PreconditionFailed 412"
    );
    assert_eq!(refused!(put("c").if_match(etag)), "NoSuchKey 404");
    assert!(put("a").if_match(etag).send().await.is_ok());
}

#[tokio::test]
async fn uploads_in_parts_become_objects() {
    let server = Server::start().await;
    let client = server.bucket().await;
    let kinds = [
        (None, None),
        (
            Some(ChecksumAlgorithm::Crc32),
            Some(ChecksumType::Composite),
        ),
        (
            Some(ChecksumAlgorithm::Crc32),
            Some(ChecksumType::FullObject),
        ),
        (Some(ChecksumAlgorithm::Crc64Nvme), None),
        (Some(ChecksumAlgorithm::Sha256), None),
    ];
    for (algorithm, kind) in kinds {
        let upload = client
            .create_multipart_upload()
            .bucket("files")
            .key("big")
            .set_checksum_algorithm(algorithm.clone())
            .set_checksum_type(kind)
            .content_type("text/x")
            .send()
            .await
            .unwrap();
        let id = upload.upload_id().unwrap();
        let mut parts = CompletedMultipartUpload::builder();
        let bodies = [vec![b'a'; MIN_PART as usize], b"end".to_vec()];
        for (number, body) in (1..).zip(&bodies) {
            let part = client
                .upload_part()
                .bucket("files")
                .key("big")
                .upload_id(id)
                .part_number(number)
                .set_checksum_algorithm(algorithm.clone())
                .body(ByteStream::from(body.clone()))
                .send()
                .await
                .unwrap();
            let done = CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .set_checksum_crc32(part.checksum_crc32)
                .set_checksum_sha256(part.checksum_sha256);
            parts = parts.parts(done.build());
        }
        let listed = client.list_parts().bucket("files").key("big").upload_id(id);
        assert_eq!(listed.send().await.unwrap().parts().len(), 2);
        let done = client
            .complete_multipart_upload()
            .bucket("files")
            .key("big")
            .upload_id(id)
            .multipart_upload(parts.build())
            .send()
            .await
            .unwrap();
        assert!(done.e_tag().unwrap().ends_with("-2\""));
        // The SDK verifies checksums of the full object while it reads.
        assert_eq!(get(&client, "big").await, bodies.concat());
        let second = client
            .get_object()
            .bucket("files")
            .key("big")
            .part_number(2);
        let second = second.send().await.unwrap();
        assert_eq!(second.parts_count(), Some(2));
        assert_eq!(second.body.collect().await.unwrap().to_vec(), b"end");
        let again = client.list_parts().bucket("files").key("big").upload_id(id);
        assert_eq!(refused!(again), "NoSuchUpload 404");
    }
}

#[tokio::test]
async fn unfinished_uploads_are_listed_and_aborted() {
    let server = Server::start().await;
    let client = server.bucket().await;
    put(&client, "source", "0123456789").await;
    let upload = client.create_multipart_upload().bucket("files").key("a b");
    let id = upload.send().await.unwrap().upload_id.unwrap();
    let copied = client
        .upload_part_copy()
        .bucket("files")
        .key("a b")
        .upload_id(&id)
        .part_number(1)
        .copy_source("files/source")
        .copy_source_range("bytes=2-4")
        .send()
        .await
        .unwrap();
    assert_eq!(
        copied.copy_part_result().unwrap().e_tag(),
        Some("\"289dff07669d7a23de0ef88d2f7129e7\"")
    );
    let listed = client
        .list_multipart_uploads()
        .bucket("files")
        .send()
        .await
        .unwrap();
    assert_eq!(listed.uploads()[0].key(), Some("a b"));
    let abort = || {
        let request = client.abort_multipart_upload().bucket("files");
        request.key("a b").upload_id(&id)
    };
    abort().send().await.unwrap();
    assert_eq!(refused!(abort()), "NoSuchUpload 404");
}

#[tokio::test]
async fn listings_are_paged_and_rolled_up() {
    let server = Server::start().await;
    let client = server.bucket().await;
    for key in ["a", "b/1", "b/2", "c+ d/x", "e"] {
        put(&client, key, key).await;
    }
    let mut seen = Vec::new();
    let mut pages = client
        .list_objects_v2()
        .bucket("files")
        .delimiter("/")
        .max_keys(2)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.key_count().unwrap() <= 2);
        let keys = page.contents().iter().filter_map(|it| it.key());
        let prefixes = page.common_prefixes().iter().filter_map(|it| it.prefix());
        seen.extend(keys.chain(prefixes).map(str::to_owned));
    }
    seen.sort();
    assert_eq!(seen, ["a", "b/", "c+ d/", "e"]);
    let old = client
        .list_objects()
        .bucket("files")
        .marker("b/")
        .delimiter("/")
        .max_keys(1);
    let old = old.send().await.unwrap();
    assert_eq!(old.common_prefixes()[0].prefix(), Some("c+ d/"));
    assert_eq!(old.next_marker(), Some("c+ d/"));
    let after = client
        .list_objects_v2()
        .bucket("files")
        .start_after("b/1")
        .prefix("b/");
    assert_eq!(after.send().await.unwrap().contents()[0].key(), Some("b/2"));
}

#[tokio::test]
async fn objects_are_copied_and_deleted() {
    let server = Server::start().await;
    let client = server.bucket().await;
    put(&client, "a b", "hello").await;
    let copy = || {
        client
            .copy_object()
            .bucket("files")
            .copy_source("files/a%20b")
    };
    copy().key("copy").send().await.unwrap();
    assert_eq!(get(&client, "copy").await, b"hello");
    assert_eq!(refused!(copy().key("a b")), "InvalidRequest 400");
    let replaced = copy()
        .key("a b")
        .metadata_directive(MetadataDirective::Replace);
    replaced.metadata("new", "1").send().await.unwrap();
    let head = client
        .head_object()
        .bucket("files")
        .key("a b")
        .send()
        .await
        .unwrap();
    assert_eq!(head.metadata().unwrap()["new"], "1");

    let delete_bucket = || client.delete_bucket().bucket("files");
    assert_eq!(refused!(delete_bucket()), "BucketNotEmpty 409");
    client
        .delete_object()
        .bucket("files")
        .key("a b")
        .send()
        .await
        .unwrap();
    client
        .delete_object()
        .bucket("files")
        .key("never there")
        .send()
        .await
        .unwrap();
    let wanted = |key: &str| {
        let object = aws_sdk_s3::types::ObjectIdentifier::builder().key(key);
        object.build().unwrap()
    };
    let delete = aws_sdk_s3::types::Delete::builder()
        .objects(wanted("copy"))
        .objects(wanted("other"))
        .build()
        .unwrap();
    let deleted = client.delete_objects().bucket("files").delete(delete);
    assert_eq!(deleted.send().await.unwrap().deleted().len(), 2);
    delete_bucket().send().await.unwrap();
    assert_eq!(
        refused!(client.list_objects_v2().bucket("files")),
        "NoSuchBucket 404"
    );
    assert!(refused!(client.head_bucket().bucket("files")).ends_with(" 404"));
}

#[tokio::test]
async fn only_the_owner_gets_in() {
    let server = Server::start().await;
    let client = server.bucket().await;
    put(&client, "a", "hello").await;
    let stranger = server.s3_with("guess", |it| it);
    assert_eq!(
        refused!(stranger.list_buckets()),
        "SignatureDoesNotMatch 403"
    );
    let unknown = server.s3_with("secret", |it| {
        let other = aws_sdk_s3::config::Credentials::new("AKOTHER", "secret", None, None, "test");
        it.credentials_provider(other)
    });
    assert_eq!(refused!(unknown.list_buckets()), "InvalidAccessKeyId 403");
    let url = format!("http://{}/files/a", server.address);
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 403);
    let soon = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let link = client
        .get_object()
        .bucket("files")
        .key("a")
        .presigned(soon)
        .await
        .unwrap();
    let link = reqwest::get(link.uri()).await.unwrap();
    assert_eq!(link.text().await.unwrap(), "hello");
    let elsewhere = client
        .list_objects_v2()
        .bucket("files")
        .expected_bucket_owner("1");
    assert_eq!(refused!(elsewhere), "AccessDenied 403");
    let tagged = client.put_object().bucket("files").key("a").tagging("a=b");
    assert_eq!(refused!(tagged), "NotImplemented 501");
}

#[tokio::test]
async fn a_large_object_goes_through_in_both_directions() {
    let server = Server::start().await;
    server.bucket().await;
    let client = server.s3_with("secret", |it| {
        it.request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
    });
    let body: Vec<u8> = (0..5_000_000_u32).map(|it| (it % 251) as u8).collect();
    put(&client, "a", body.clone()).await;
    assert_eq!(get(&client, "a").await, body);
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = Server::start().await;
    let client = server.s3();
    let body = ByteStream::from(vec![0; 40_000_000]);
    let put = client.put_object().bucket("nowhere").key("a").body(body);
    assert_eq!(refused!(put), "NoSuchBucket 404");
}

#[tokio::test]
async fn calls_are_answered_in_json() {
    let server = Server::start().await;
    let (status, content_type, body) = server
        .call("states", "AWSStepFunctions.Echo", "{\"a\":1}")
        .await;
    assert_eq!((status, body), (200, json!({"a": 1})));
    assert_eq!(content_type, "application/x-amz-json-1.0");
    let (status, _, body) = server.call("states", "AWSStepFunctions.Other", "{}").await;
    let expected = json!({"__type": "ValidationException", "message": "no", "reason": "WHY"});
    assert_eq!((status, body), (400, expected));
    let (_, content_type, body) = server.call("logs", "Logs_20140328.StartQuery", "{}").await;
    assert_eq!(content_type, "application/x-amz-json-1.1");
    assert_eq!(body["__type"], "UnknownOperationException");
    assert!(body["message"].as_str().unwrap().contains("StartQuery"));
    let (_, _, body) = server.call("s3", "AWSStepFunctions.Echo", "{}").await;
    assert_eq!(body["__type"], "InvalidSignatureException");
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_server_lives_on() {
    let server = Server::start().await;
    let (status, _, body) = server.call("states", "AWSStepFunctions.Panic", "{}").await;
    assert_eq!(
        (status, &body["__type"]),
        (500, &json!("InternalServerException"))
    );
    let (status, ..) = server.call("states", "AWSStepFunctions.Echo", "{}").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_call_that_is_too_large_is_refused() {
    let server = Server::start().await;
    let body = "x".repeat(MAX_STATES + 1);
    let (status, _, body) = server.call("states", "AWSStepFunctions.Echo", &body).await;
    assert_eq!(status, 413);
    assert_eq!(body["__type"], "RequestEntityTooLargeException");
}

#[tokio::test]
async fn sts_says_who_asks() {
    let server = Server::start().await;
    let url = format!("http://{}/", server.address);
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let request = |body: &str| {
        reqwest::Client::new()
            .post(&url)
            .header("host", server.address.to_string())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.to_owned())
            .build()
            .unwrap()
    };
    let http = reqwest::Client::new();
    let signed = http
        .execute(sign(request(body), "sts", body))
        .await
        .unwrap();
    assert_eq!(signed.status(), 200);
    assert!(
        signed
            .text()
            .await
            .unwrap()
            .contains("<Account>000000000000</Account>")
    );
    let unsigned = http.execute(request(body)).await.unwrap();
    assert_eq!(unsigned.status(), 403);
    assert!(
        unsigned
            .text()
            .await
            .unwrap()
            .contains("<Code>MissingAuthenticationToken</Code>")
    );
}

#[tokio::test]
async fn the_server_ends_when_it_is_told_to() {
    let server = Server::start().await;
    let client = server.bucket().await;
    put(&client, "a", "hello").await;
    server.shutdown.cancel();
    // The client keeps its idle connection open; it must not hold up the end.
    tokio::time::timeout(Duration::from_secs(1), server.ended)
        .await
        .unwrap()
        .unwrap();
}

/// Lambda's REST requests; the answer's status, headers and body.
impl Server {
    async fn lambda(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> (u16, http::HeaderMap, Value) {
        let url = format!("http://{}/2015-03-31/functions{path}", self.address);
        let mut request = reqwest::Client::new()
            .request(method.parse().unwrap(), &url)
            .header("host", self.address.to_string())
            .body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = sign(request.build().unwrap(), "lambda", body);
        let response = reqwest::Client::new().execute(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        (
            status,
            headers,
            serde_json::from_slice(&body).unwrap_or_default(),
        )
    }

    /// Function `f` fails for an event with `bad`, and gives other events back.
    fn register(&self, name: &str) {
        self.functions.register(name, |event| {
            async move {
                match event["bad"].as_str() {
                    None => Ok(event),
                    Some(message) => Err(crate::engine::FunctionError {
                        error_type: "Bad".to_owned(),
                        message: message.to_owned(),
                    }),
                }
            }
            .boxed()
        });
    }
}

#[tokio::test]
async fn a_function_is_invoked_over_the_wire() {
    let server = Server::start().await;
    server.register("f");
    let event = r#"{"n":12345678901234567890}"#;
    let (status, headers, answer) = server.lambda("POST", "/f/invocations", &[], event).await;
    assert_eq!(
        (status, answer),
        (200, serde_json::from_str(event).unwrap())
    );
    assert_eq!(headers["x-amz-executed-version"], "$LATEST");
    assert!(!headers.contains_key("x-amz-function-error"));
    // An ARN in a path is escaped; no event is an empty one.
    let arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af";
    let path = format!("/{arn}/invocations?Qualifier=%24LATEST");
    let (status, _, answer) = server.lambda("POST", &path, &[], "").await;
    assert_eq!((status, answer), (200, json!({})));
}

#[tokio::test]
async fn a_functions_own_error_is_an_answer_with_its_log() {
    let server = Server::start().await;
    server.register("f");
    let tail = [("x-amz-log-type", "Tail")];
    let (status, headers, answer) = server
        .lambda("POST", "/f/invocations", &tail, r#"{"bad":"row"}"#)
        .await;
    assert_eq!(status, 200);
    assert_eq!(headers["x-amz-function-error"], "Unhandled");
    assert_eq!(
        (&answer["errorType"], &answer["errorMessage"]),
        (&json!("Bad"), &json!("row"))
    );
    assert_eq!(
        answer["requestId"],
        headers["x-amzn-requestid"].to_str().unwrap()
    );
    let log = headers["x-amz-log-result"].to_str().unwrap();
    let log = crate::engine::digest::base64_decode(log).unwrap();
    let log = String::from_utf8(log).unwrap();
    assert!(
        log.starts_with("START RequestId: ") && log.contains("[ERROR] Bad: row\n"),
        "{log}"
    );
}

#[tokio::test]
async fn an_invocation_that_nobody_waits_for_is_accepted_and_made() {
    let server = Server::start().await;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    server.functions.register("f", move |event| {
        let sender = sender.clone();
        async move {
            sender.send(event.clone()).await.unwrap();
            Ok(event)
        }
        .boxed()
    });
    let kind = [("x-amz-invocation-type", "Event")];
    let (status, _, _) = server.lambda("POST", "/f/invocations", &kind, "[1]").await;
    assert_eq!(status, 202);
    assert_eq!(receiver.recv().await, Some(json!([1])));
    let kind = [("x-amz-invocation-type", "DryRun")];
    let (status, _, _) = server.lambda("POST", "/f/invocations", &kind, "[2]").await;
    assert_eq!(status, 204);
    assert!(receiver.try_recv().is_err(), "a dry run runs nothing");
}

#[tokio::test]
async fn what_lambda_cannot_do_is_refused_in_its_shape() {
    let server = Server::start().await;
    server.register("f");
    let large = format!("\"{}\"", "x".repeat(MAX_EVENT));
    let event = [("x-amz-invocation-type", "Event")];
    for (method, path, headers, body, status, code, part) in [
        (
            "POST",
            "/g/invocations",
            [].as_slice(),
            "{}",
            404,
            "ResourceNotFoundException",
            "Function not found: arn:aws:lambda:us-east-1:000000000000:function:g",
        ),
        (
            "GET",
            "/f?Qualifier=live",
            &[],
            "",
            404,
            "ResourceNotFoundException",
            "function:f:live",
        ),
        (
            "GET",
            "/f:a?Qualifier=b",
            &[],
            "",
            400,
            "InvalidParameterValueException",
            "derived qualifier",
        ),
        (
            "GET",
            "/f%20g",
            &[],
            "",
            400,
            "ValidationException",
            "'functionName'",
        ),
        (
            "POST",
            "/f/invocations",
            &[],
            "{",
            400,
            "InvalidRequestContentException",
            "Could not parse request body into json",
        ),
        (
            "POST",
            "/f/invocations",
            &[("x-amz-invocation-type", "Later")],
            "{}",
            400,
            "ValidationException",
            "'invocationType'",
        ),
        (
            "POST",
            "/f/invocations",
            &[("x-amz-client-context", "e30")],
            "{}",
            400,
            "InvalidRequestContentException",
            "Client context",
        ),
        (
            "POST",
            "/f/invocations",
            &[],
            &large,
            413,
            "RequestTooLargeException",
            "6291458 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)",
        ),
        (
            "POST",
            "/f/invocations",
            &event,
            &large[..1_048_577],
            413,
            "RequestTooLargeException",
            "(limit 1048576 bytes)",
        ),
        (
            "POST",
            "",
            &[],
            "{}",
            404,
            "UnknownOperationException",
            "CreateFunction is not supported",
        ),
        (
            "GET",
            "/f/aliases",
            &[],
            "",
            404,
            "UnknownOperationException",
            "ListAliases is not supported",
        ),
        (
            "GET",
            "?MasterRegion=x",
            &[],
            "",
            400,
            "InvalidParameterValueException",
            "MasterRegion",
        ),
    ] {
        let (given, headers, answer) = server.lambda(method, path, headers, body).await;
        assert_eq!(
            (given, headers["x-amzn-errortype"].to_str().unwrap()),
            (status, code),
            "{path}"
        );
        assert_eq!(answer["Type"], "User");
        assert!(
            answer["Message"].as_str().unwrap().contains(part),
            "{answer}"
        );
    }
    let unsigned = reqwest::get(format!("http://{}{}/f", server.address, lambda::ROOT)).await;
    let unsigned = unsigned.unwrap();
    assert_eq!(
        unsigned.headers()["x-amzn-errortype"],
        "MissingAuthenticationTokenException"
    );
}

#[tokio::test]
async fn functions_are_listed_and_described() {
    let server = Server::start().await;
    for number in 0..60 {
        server.register(&format!("f{number:02}"));
    }
    let program = crate::engine::functions::Program {
        command: vec!["./bootstrap".to_owned()],
        folder: "/srv/score".into(),
        handler: "score".to_owned(),
        memory: 256,
        instances: 1,
        environment: [("STAGE".to_owned(), "test".to_owned())].into(),
    };
    let settings = crate::engine::functions::Settings {
        source: crate::engine::functions::Source::Command(program),
        timeout: Duration::from_secs(7),
        reserved: Some(3),
    };
    server.functions.register_external("score", settings);
    let (_, _, first) = server.lambda("GET", "/", &[], "").await;
    assert_eq!(first["Functions"].as_array().unwrap().len(), 50);
    let path = format!(
        "/?Marker={}&MaxItems=5",
        first["NextMarker"].as_str().unwrap()
    );
    let (_, _, second) = server.lambda("GET", &path, &[], "").await;
    assert_eq!(second["Functions"][0]["FunctionName"], "f50");
    assert_eq!(second["NextMarker"], "f54");
    let (_, _, last) = server.lambda("GET", "/?Marker=f59", &[], "").await;
    assert_eq!(last["Functions"][0]["FunctionName"], "score");
    assert!(last.get("NextMarker").is_none());

    let (_, _, found) = server.lambda("GET", "/score", &[], "").await;
    let configuration = &found["Configuration"];
    for (member, value) in [
        (
            "FunctionArn",
            json!("arn:aws:lambda:us-east-1:000000000000:function:score"),
        ),
        ("Handler", json!("score")),
        ("Timeout", json!(7)),
        ("MemorySize", json!(256)),
        ("Environment", json!({"Variables": {"STAGE": "test"}})),
        ("State", json!("Active")),
    ] {
        assert_eq!(configuration[member], value, "{member}");
    }
    assert_eq!(found["Code"]["Location"], "file:///srv/score");
    assert_eq!(found["Concurrency"]["ReservedConcurrentExecutions"], 3);
    let (_, _, alone) = server.lambda("GET", "/score/configuration", &[], "").await;
    assert_eq!(&alone, configuration);
}
