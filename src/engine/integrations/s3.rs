//! The engine's own objects, as AWS SDK integrations of S3 show them (API reference of Amazon S3).

use std::collections::BTreeMap;
use std::io::{Read, Write};

use serde_json::{Map, Value, json};

use super::sdk::SdkError;
use super::{Runner, only, optional_text, text};
use crate::engine::machine::{Failure, MAX_PAYLOAD, context_time};
use crate::engine::objects::{
    Attributes, Condition, ListQuery, ObjectInfo, Objects, ObjectsError, after_key,
};

/// Most keys on a page (ListObjectsV2).
const MAX_KEYS: u64 = 1_000;

/// Makes one call; blocks no other task.
pub async fn call(
    runner: &Runner,
    action: &'static str,
    parameters: Value,
) -> Result<Value, Failure> {
    let objects = runner.objects().clone();
    let done = tokio::task::spawn_blocking(move || perform(&objects, action, &parameters));
    done.await
        .unwrap_or_else(|error| Err(service_error(500, "InternalError", &error.to_string())))
}

fn perform(objects: &Objects, action: &str, parameters: &Value) -> Result<Value, Failure> {
    match action {
        "copyObject" => copy(objects, parameters),
        "createBucket" => {
            let bucket = bucket(parameters, &["Bucket"])?;
            objects.create_bucket(bucket).map_err(failure)?;
            Ok(json!({"Location": format!("/{bucket}")}))
        }
        "deleteBucket" => {
            let bucket = bucket(parameters, &["Bucket"])?;
            objects.delete_bucket(bucket).map_err(failure)?;
            Ok(json!({}))
        }
        "deleteObject" => {
            let bucket = bucket(parameters, &["Bucket", "Key"])?;
            let key = text(parameters, "Key")?;
            objects
                .delete(bucket, key, &Condition::Always)
                .map_err(failure)?;
            Ok(json!({}))
        }
        "deleteObjects" => delete_all(objects, parameters),
        "getObject" => get(objects, parameters),
        "headBucket" => {
            let bucket = bucket(parameters, &["Bucket"])?;
            if objects.has_bucket(bucket).map_err(failure)? {
                Ok(json!({}))
            } else {
                Err(service_error(404, "NoSuchBucket", "null"))
            }
        }
        "headObject" => {
            let bucket = bucket(parameters, &["Bucket", "Key"])?;
            let key = text(parameters, "Key")?;
            // An answer to HEAD has no body that could tell why.
            let info = objects.head(bucket, key).map_err(|error| match error {
                ObjectsError::NoSuchKey(_) => service_error(404, "NoSuchKey", "null"),
                ObjectsError::NoSuchBucket(_) => service_error(404, "NoSuchBucket", "null"),
                other => failure(other),
            })?;
            Ok(Value::Object(described(&info)))
        }
        "listBuckets" => {
            only(parameters, &[])?;
            let buckets = objects.buckets().map_err(failure)?;
            let buckets = buckets.into_iter().map(
                |(name, created)| json!({"Name": name, "CreationDate": context_time(created)}),
            );
            Ok(json!({"Buckets": buckets.collect::<Vec<_>>()}))
        }
        "listObjectsV2" => list(objects, parameters),
        "putObject" => put(objects, parameters),
        other => Err(super::lacking("aws-sdk:s3", other)),
    }
}

/// The bucket, once all parameters are known ones.
fn bucket<'p>(parameters: &'p Value, known: &[&str]) -> Result<&'p str, Failure> {
    only(parameters, known)?;
    text(parameters, "Bucket")
}

fn service_error(status: u16, code: &str, message: &str) -> Failure {
    Failure::from(SdkError {
        service: "S3",
        status,
        code,
        message,
        extended_id: true,
    })
}

/// A failure in the words of S3 (API reference, "Error responses"); errors that the SDK does not
/// model are an `S3Exception`.
fn failure(error: ObjectsError) -> Failure {
    let (status, code, message) = match &error {
        ObjectsError::NoSuchBucket(_) => {
            (404, "NoSuchBucket", "The specified bucket does not exist")
        }
        ObjectsError::NoSuchKey(_) => (404, "NoSuchKey", "The specified key does not exist."),
        ObjectsError::PreconditionFailed(_) => (
            412,
            "S3",
            "At least one of the pre-conditions you specified did not hold",
        ),
        ObjectsError::BucketNotEmpty(_) => {
            (409, "S3", "The bucket you tried to delete is not empty")
        }
        ObjectsError::KeyLength(_) => (400, "S3", "Your key is too long"),
        other => return service_error(500, "S3", &other.to_string()),
    };
    service_error(status, code, message)
}

fn get(objects: &Objects, parameters: &Value) -> Result<Value, Failure> {
    let bucket = bucket(parameters, &["Bucket", "Key", "Range"])?;
    let key = text(parameters, "Key")?;
    let (info, mut body) = objects.read(bucket, key).map_err(failure)?;
    let range = match optional_text(parameters, "Range")? {
        Some(text) => Some(range(text, info.size)?),
        None => None,
    };
    let (from, length) = range.unwrap_or((0, info.size));
    let disk = |error: std::io::Error| service_error(500, "S3", &error.to_string());
    std::io::Seek::seek(&mut body, std::io::SeekFrom::Start(from)).map_err(disk)?;
    // What is longer than a result can be is not read to the end.
    let most = length.min(MAX_PAYLOAD as u64 + 1);
    let mut bytes = Vec::with_capacity(most as usize);
    body.take(most).read_to_end(&mut bytes).map_err(disk)?;
    let mut answer = described(&info);
    if range.is_some() {
        let last = (from + length).saturating_sub(1);
        answer.insert("ContentLength".to_owned(), length.into());
        let range = format!("bytes {from}-{last}/{}", info.size);
        answer.insert("ContentRange".to_owned(), range.into());
    }
    let body = String::from_utf8_lossy(&bytes).into_owned();
    answer.insert("Body".to_owned(), body.into());
    Ok(Value::Object(answer))
}

/// `bytes=A-B`, `bytes=A-` or `bytes=-N`: where it begins and how long it is.
fn range(text: &str, size: u64) -> Result<(u64, u64), Failure> {
    let refuse = || service_error(416, "S3", "The requested range is not satisfiable");
    let (first, last) = text
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .ok_or_else(refuse)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| refuse());
    let (from, to) = match (first, last) {
        ("", length) => (size.saturating_sub(number(length)?), size),
        (first, "") => (number(first)?, size),
        (first, last) => (number(first)?, number(last)?.saturating_add(1).min(size)),
    };
    if from < to {
        Ok((from, to - from))
    } else {
        Err(refuse())
    }
}

fn described(info: &ObjectInfo) -> Map<String, Value> {
    let content_type = info
        .content_type
        .as_deref()
        .unwrap_or("binary/octet-stream");
    let members = json!({
        "AcceptRanges": "bytes",
        "ContentLength": info.size,
        "ContentType": content_type,
        "ETag": info.etag,
        "LastModified": seconds_only(info.modified),
        "Metadata": info.metadata,
        "ServerSideEncryption": "AES256",
    });
    let mut members = match members {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let headers = [
        ("cache-control", "CacheControl"),
        ("content-disposition", "ContentDisposition"),
        ("content-encoding", "ContentEncoding"),
        ("content-language", "ContentLanguage"),
    ];
    for (header, name) in headers {
        if let Some(value) = info.headers.get(header) {
            members.insert(name.to_owned(), value.as_str().into());
        }
    }
    members
}

/// S3 tells times in whole seconds.
fn seconds_only(milliseconds: i64) -> String {
    jiff::Timestamp::from_second(milliseconds.div_euclid(1_000))
        .map_or_else(|_| milliseconds.to_string(), |at| at.to_string())
}

fn put(objects: &Objects, parameters: &Value) -> Result<Value, Failure> {
    let known = [
        "Body",
        "Bucket",
        "CacheControl",
        "ContentDisposition",
        "ContentEncoding",
        "ContentLanguage",
        "ContentType",
        "IfMatch",
        "IfNoneMatch",
        "Key",
        "Metadata",
    ];
    let bucket = bucket(parameters, &known)?;
    let key = text(parameters, "Key")?;
    let condition = match (
        optional_text(parameters, "IfMatch")?,
        optional_text(parameters, "IfNoneMatch")?,
    ) {
        (None, None) => Condition::Always,
        (Some(etag), None) => Condition::Etag(etag.to_owned()),
        (None, Some("*")) => Condition::Absent,
        _ => {
            return Err(service_error(
                501,
                "S3",
                "A header you provided implies functionality that is not implemented",
            ));
        }
    };
    let mut writing = objects.write(bucket, key).map_err(failure)?;
    writing.set_attributes(attributes(parameters)?);
    let disk = |error: std::io::Error| service_error(500, "S3", &error.to_string());
    match parameters.get("Body") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => writing.write_all(text.as_bytes()).map_err(disk)?,
        Some(value) => {
            serde_json::to_writer(&mut writing, value).map_err(|error| disk(error.into()))?;
        }
    }
    let info = writing.commit_if(&condition, false).map_err(failure)?;
    Ok(json!({"ETag": info.etag, "ServerSideEncryption": "AES256"}))
}

fn attributes(parameters: &Value) -> Result<Attributes, Failure> {
    let mut headers = BTreeMap::new();
    for (name, header) in [
        ("CacheControl", "cache-control"),
        ("ContentDisposition", "content-disposition"),
        ("ContentEncoding", "content-encoding"),
        ("ContentLanguage", "content-language"),
    ] {
        if let Some(value) = optional_text(parameters, name)? {
            headers.insert(header.to_owned(), value.to_owned());
        }
    }
    let mut metadata = BTreeMap::new();
    if let Some(Value::Object(given)) = parameters.get("Metadata") {
        for (name, value) in given {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            metadata.insert(name.to_lowercase(), value);
        }
    }
    Ok(Attributes {
        content_type: optional_text(parameters, "ContentType")?.map(str::to_owned),
        metadata,
        headers,
    })
}

fn copy(objects: &Objects, parameters: &Value) -> Result<Value, Failure> {
    let bucket = bucket(parameters, &["Bucket", "CopySource", "Key"])?;
    let key = text(parameters, "Key")?;
    let source = text(parameters, "CopySource")?;
    let source = percent_encoding::percent_decode_str(source).decode_utf8_lossy();
    let refuse = || {
        service_error(
            400,
            "S3",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        )
    };
    let (from_bucket, from_key) = source
        .trim_start_matches('/')
        .split_once('/')
        .ok_or_else(refuse)?;
    let (info, mut body) = objects.read(from_bucket, from_key).map_err(failure)?;
    let mut writing = objects.write(bucket, key).map_err(failure)?;
    writing.set_attributes(Attributes {
        content_type: info.content_type,
        metadata: info.metadata,
        headers: info.headers,
    });
    std::io::copy(&mut body, &mut writing)
        .map_err(|error| service_error(500, "S3", &error.to_string()))?;
    let info = writing.commit(false).map_err(failure)?;
    let result = json!({"ETag": info.etag, "LastModified": seconds_only(info.modified)});
    Ok(json!({"CopyObjectResult": result, "ServerSideEncryption": "AES256"}))
}

fn delete_all(objects: &Objects, parameters: &Value) -> Result<Value, Failure> {
    let bucket = bucket(parameters, &["Bucket", "Delete"])?;
    let listed = parameters["Delete"]["Objects"].as_array();
    let keys: Option<Vec<&str>> = listed
        .into_iter()
        .flatten()
        .map(|object| object["Key"].as_str())
        .collect();
    let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
        let message = "The XML you provided was not well-formed or did not validate against our published schema";
        return Err(service_error(400, "S3", message));
    };
    objects
        .delete_all(bucket, keys.iter().copied())
        .map_err(failure)?;
    if parameters["Delete"]["Quiet"] == true {
        return Ok(json!({}));
    }
    let deleted: Vec<Value> = keys.iter().map(|key| json!({"Key": key})).collect();
    Ok(json!({"Deleted": deleted}))
}

fn list(objects: &Objects, parameters: &Value) -> Result<Value, Failure> {
    let known = [
        "Bucket",
        "ContinuationToken",
        "Delimiter",
        "MaxKeys",
        "Prefix",
        "StartAfter",
    ];
    let bucket = bucket(parameters, &known)?;
    let prefix = optional_text(parameters, "Prefix")?.unwrap_or_default();
    let delimiter = optional_text(parameters, "Delimiter")?;
    let most = parameters.get("MaxKeys").and_then(Value::as_u64);
    let most = most.unwrap_or(MAX_KEYS).min(MAX_KEYS);
    // The token is the key that comes next.
    let from = match optional_text(parameters, "ContinuationToken")? {
        Some(token) => Some(token.to_owned()),
        None => optional_text(parameters, "StartAfter")?.map(after_key),
    };
    let query = ListQuery {
        prefix: prefix.to_owned(),
        delimiter: delimiter.map(str::to_owned),
        from: from.unwrap_or_default(),
        most: most as usize,
    };
    let page = objects.list(bucket, &query).map_err(failure)?;
    let contents: Vec<Value> = page
        .objects
        .iter()
        .map(|info| {
            json!({"ETag": info.etag, "Key": info.key, "LastModified": seconds_only(info.modified), "Size": info.size, "StorageClass": "STANDARD"})
        })
        .collect();
    let mut answer = json!({
        "Contents": contents,
        "IsTruncated": page.next.is_some(),
        "KeyCount": page.len(),
        "MaxKeys": most,
        "Name": bucket,
        "Prefix": prefix,
    });
    if let Some(members) = answer.as_object_mut() {
        if let Some(delimiter) = delimiter {
            members.insert("Delimiter".to_owned(), delimiter.into());
        }
        if !page.prefixes.is_empty() {
            let prefixes = page.prefixes.iter().map(|prefix| json!({"Prefix": prefix}));
            members.insert("CommonPrefixes".to_owned(), prefixes.collect());
        }
        if let Some(next) = page.next {
            members.insert("NextContinuationToken".to_owned(), next.into());
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket_of_objects() -> (tempfile::TempDir, Objects) {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        objects.create_bucket("data").unwrap();
        (folder, objects)
    }

    #[test]
    fn what_is_put_is_got_again_with_the_names_of_the_sdk() {
        let (_folder, objects) = bucket_of_objects();
        let call = |action, parameters| perform(&objects, action, &parameters);
        let answer = call("putObject", json!({"Bucket": "data", "Key": "a/b", "Body": {"n": 1}, "ContentType": "application/json"})).unwrap();
        let got = call("getObject", json!({"Bucket": "data", "Key": "a/b"})).unwrap();
        assert_eq!(got["Body"], "{\"n\":1}");
        assert_eq!(got["ContentLength"], 7);
        assert_eq!(got["ContentType"], "application/json");
        assert_eq!(got["ETag"], answer["ETag"]);
        let part = call(
            "getObject",
            json!({"Bucket": "data", "Key": "a/b", "Range": "bytes=1-3"}),
        )
        .unwrap();
        assert_eq!(
            (part["Body"].as_str(), part["ContentRange"].as_str()),
            (Some("\"n\""), Some("bytes 1-3/7"))
        );
        call(
            "copyObject",
            json!({"Bucket": "data", "Key": "c", "CopySource": "data/a%2Fb"}),
        )
        .unwrap();
        let listed = call("listObjectsV2", json!({"Bucket": "data", "Delimiter": "/"})).unwrap();
        assert_eq!(listed["Contents"][0]["Key"], "c");
        assert_eq!(listed["CommonPrefixes"], json!([{"Prefix": "a/"}]));
        assert_eq!(listed["KeyCount"], 2);
        call("deleteObject", json!({"Bucket": "data", "Key": "c"})).unwrap();
        let gone = call("headObject", json!({"Bucket": "data", "Key": "c"})).unwrap_err();
        assert_eq!(gone.error.as_deref(), Some("S3.NoSuchKeyException"));
        let clash = call(
            "putObject",
            json!({"Bucket": "data", "Key": "a/b", "Body": "", "IfNoneMatch": "*"}),
        )
        .unwrap_err();
        assert_eq!(clash.error.as_deref(), Some("S3.S3Exception"));
    }

    #[test]
    fn pages_continue_and_errors_are_those_of_s3() {
        let (_folder, objects) = bucket_of_objects();
        let call = |action, parameters| perform(&objects, action, &parameters);
        for key in ["a", "b", "c"] {
            call(
                "putObject",
                json!({"Bucket": "data", "Key": key, "Body": key}),
            )
            .unwrap();
        }
        let first = call("listObjectsV2", json!({"Bucket": "data", "MaxKeys": 2})).unwrap();
        assert_eq!(
            (first["KeyCount"].as_u64(), first["IsTruncated"].as_bool()),
            (Some(2), Some(true))
        );
        let second = call(
            "listObjectsV2",
            json!({"Bucket": "data", "ContinuationToken": first["NextContinuationToken"]}),
        )
        .unwrap();
        assert_eq!(second["Contents"][0]["Key"], "c");
        let missing = call("getObject", json!({"Bucket": "data", "Key": "no"})).unwrap_err();
        assert_eq!(missing.error.as_deref(), Some("S3.NoSuchKeyException"));
        let missing = call("getObject", json!({"Bucket": "none", "Key": "no"})).unwrap_err();
        assert_eq!(missing.error.as_deref(), Some("S3.NoSuchBucketException"));
        assert!(missing.cause.unwrap().starts_with(
            "The specified bucket does not exist (Service: S3, Status Code: 404, Request ID: "
        ));
        let refused = call(
            "getObject",
            json!({"Bucket": "data", "Key": "a", "VersionId": "1"}),
        )
        .unwrap_err();
        assert_eq!(refused.error.as_deref(), Some("States.Runtime"));
        assert!(refused.cause.unwrap().contains("VersionId"));
        call(
            "deleteObjects",
            json!({"Bucket": "data", "Delete": {"Objects": [{"Key": "a"}, {"Key": "b"}]}}),
        )
        .unwrap();
        assert_eq!(
            call("listObjectsV2", json!({"Bucket": "data"})).unwrap()["KeyCount"],
            1
        );
    }
}
