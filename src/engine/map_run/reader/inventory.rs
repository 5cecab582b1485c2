//! An S3 inventory: its `manifest.json` names the columns and the files with the rows (Amazon S3
//! user guide, "Amazon S3 Inventory list"). Every row is an item, its fields as they are written.

use std::io::Read;

use serde::Deserialize;

use super::csv::{Backslash, Objects, Row, Rows};
use super::open::{Store, unreadable};
use super::{Item, Stop, Visit};

/// Longest manifest: it lists files, of which an inventory has few.
const MAX_MANIFEST: u64 = 16 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    /// ARN of the bucket with the files; the manifest's own where there is none.
    destination_bucket: Option<String>,
    file_format: String,
    file_schema: String,
    files: Vec<DataFile>,
}

#[derive(Deserialize)]
struct DataFile {
    key: String,
}

pub(super) fn items(
    store: Store<'_>,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    visit: &mut Visit<'_>,
) -> Result<(), Stop> {
    let mut text = Vec::new();
    let body = store.open(bucket, key, version)?;
    body.take(MAX_MANIFEST)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
        Stop::reader(format!(
            "the object is not the manifest of an S3 inventory: {error}"
        ))
    })?;
    if manifest.file_format != "CSV" {
        return Err(Stop::reader(format!(
            "the inventory's files are {}: only CSV is supported",
            manifest.file_format
        )));
    }
    let columns: Vec<String> = manifest
        .file_schema
        .split(',')
        .map(|column| column.trim().to_owned())
        .collect();
    let objects = Objects::new(&columns)?;
    let bucket = manifest
        .destination_bucket
        .as_deref()
        .map_or(bucket, |arn| {
            arn.strip_prefix("arn:aws:s3:::").unwrap_or(arn)
        });
    let (mut row, mut item) = (Row::default(), Vec::new());
    for file in &manifest.files {
        let mut body = store.open(bucket, &file.key, None)?;
        let mut rows = Rows::new(&mut *body, b',', Backslash::IsPlain);
        while rows.next(&mut row)? {
            objects.write(&rows, &row, &mut item)?;
            visit(Item::plain(&item))?;
        }
    }
    Ok(())
}
