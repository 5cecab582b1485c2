//! The sections of the workflow's input.

use std::collections::BTreeMap;

use crate::lines::without_gz;
use crate::model::ObjectAddress;
use crate::workflow::error::HandlerError;
use crate::workflow::payload::fields::Fields;
use crate::workflow::payload::{MergeOrder, Only, Output, invalid};
use crate::workflow::request::Request;

const DEFAULT_METHOD: &str = "GET";
const DEFAULT_TIMEOUT_SECONDS: u32 = 10;
/// The line as it came, then what the service answered.
const DEFAULT_LINE: &str = "{line},{response}";

pub fn required_address(
    input: &mut Fields,
    name: &'static str,
) -> Result<ObjectAddress, HandlerError> {
    let mut fields = input.section(name)?;
    let bucket = fields.required("bucket")?;
    let key = fields.required("key")?;
    fields.finish()?;
    Ok(ObjectAddress::new(bucket, key))
}

/// `only` and what belongs to it.
pub fn read_only(input: &mut Fields) -> Result<Option<Only>, HandlerError> {
    let merge = match input.has("merge") {
        true => Some(read_merge(input)?),
        false => None,
    };
    let lines = match input.has("only") {
        true => Some(required_address(input, "only")?),
        false => None,
    };
    match (lines, merge) {
        (Some(lines), merge) => Ok(Some(Only { lines, merge })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(invalid(
            "input.merge needs input.only, the lines that are run again",
        )),
    }
}

fn read_merge(input: &mut Fields) -> Result<MergeOrder, HandlerError> {
    let mut fields = input.section("merge")?;
    let output = required_address(&mut fields, "output")?;
    let failed = match fields.has("failed") {
        true => Some(required_address(&mut fields, "failed")?),
        false => None,
    };
    let lines: Option<u64> = fields.take("lines", "a whole number")?;
    fields.finish()?;
    Ok(MergeOrder {
        output,
        failed,
        lines: lines.ok_or_else(|| invalid("input.merge.lines is missing"))?,
    })
}

pub fn read_request(
    input: &mut Fields,
    default_url: Option<&str>,
) -> Result<Request, HandlerError> {
    let mut fields = input.section("request")?;
    let url = match fields.take("url", "a text")? {
        Some(url) => url,
        None => default_url
            .ok_or_else(|| {
                invalid(
                    "input.request.url is missing; give the URL to ask for each line, \
                     for example https://example.com/items/{line}",
                )
            })?
            .to_owned(),
    };
    let method: Option<String> = fields.take("method", "a text")?;
    let headers: Option<BTreeMap<String, String>> = fields.take("headers", "an object of texts")?;
    let request = Request {
        url,
        method: method.map_or_else(|| DEFAULT_METHOD.into(), |method| method.to_uppercase()),
        headers: headers.unwrap_or_default(),
        body: fields.take("body", "a text")?,
        timeout_seconds: fields
            .take("timeoutSeconds", "a whole number")?
            .unwrap_or(DEFAULT_TIMEOUT_SECONDS),
    };
    fields.finish()?;
    Ok(request)
}

pub fn read_output(
    input: &mut Fields,
    execution: &str,
    source: &ObjectAddress,
) -> Result<Output, HandlerError> {
    let mut fields = input.section("output")?;
    let name = source.file_name();
    let inner = without_gz(name).filter(|inner| !inner.is_empty());
    let name = inner.unwrap_or(name);
    let output = Output {
        bucket: fields
            .take_text("bucket")?
            .unwrap_or_else(|| source.bucket.clone()),
        key: fields
            .take_text("key")?
            .unwrap_or_else(|| format!("outputs/{execution}/{name}")),
        line: fields
            .take_text("line")?
            .unwrap_or_else(|| DEFAULT_LINE.into()),
    };
    fields.finish()?;
    Ok(output)
}
