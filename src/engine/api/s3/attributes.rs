//! What a writer says about an object in headers, as it is stored.

use std::collections::BTreeMap;

use s3s::dto::{self, Timestamp, TimestampFormat};
use s3s::{S3Result, s3_error};

use crate::engine::objects::Attributes;

/// Most bytes of names and values of an object's own metadata.
const MAX_METADATA: usize = 2048;

/// Header values that an object is stored with, from an input that has them all.
macro_rules! attributes {
    ($input:expr) => {
        $crate::engine::api::s3::attributes::attributes_of(
            $input.content_type.clone(),
            $input.metadata.clone(),
            [
                ("cache-control", $input.cache_control.clone()),
                ("content-disposition", $input.content_disposition.clone()),
                ("content-encoding", $input.content_encoding.clone()),
                ("content-language", $input.content_language.clone()),
            ],
            $input.expires.as_ref(),
        )
    };
}
pub(super) use attributes;

pub(super) fn attributes_of(
    content_type: Option<String>,
    metadata: Option<dto::Metadata>,
    headers: [(&str, Option<String>); 4],
    expires: Option<&Timestamp>,
) -> S3Result<Attributes> {
    let metadata: BTreeMap<String, String> = metadata.into_iter().flatten().collect();
    let size: usize = metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > MAX_METADATA {
        return Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size"
        ));
    }
    let mut kept = BTreeMap::new();
    for (name, value) in headers {
        let value = value.map(|value| without_transfer_coding(&value));
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            kept.insert(name.to_owned(), value);
        }
    }
    if let Some(expires) = expires {
        let mut date = Vec::new();
        if expires.format(TimestampFormat::HttpDate, &mut date).is_ok() {
            let date = String::from_utf8_lossy(&date).into_owned();
            kept.insert("expires".to_owned(), date);
        }
    }
    Ok(Attributes {
        content_type: content_type.filter(|it| !it.is_empty()),
        metadata,
        headers: kept,
    })
}

/// `aws-chunked` says how the bytes travel, not what they are.
fn without_transfer_coding(value: &str) -> String {
    let codings = value.split(',').map(str::trim);
    let kept: Vec<&str> = codings
        .filter(|it| !it.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    if kept.len() == value.split(',').count() {
        value.to_owned()
    } else {
        kept.join(",")
    }
}
