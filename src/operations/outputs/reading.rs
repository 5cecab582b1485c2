//! A part of an object, of any object: only the bytes asked for are read.

use std::ops::Range;

use futures::StreamExt as _;

use super::changed;
use super::packing::{Packing, Unpacker};
use crate::client::Client;
use crate::model::{Object, ObjectAddress};
use crate::operations::Error;

/// Bytes of a page.
pub const PAGE: u64 = 64 << 10;
/// Bytes that the beginning of a compressed object may become.
const UNPACKED: usize = 256 << 10;
/// Compressed bytes unpacked at once.
const STEP: usize = 4 << 10;

/// Some bytes of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Bytes of the object that were read.
    pub range: Range<u64>,
    /// Of a compressed object: what these bytes became.
    pub bytes: Vec<u8>,
    /// Only of a page at the beginning.
    pub packing: Option<Packing>,
}

/// The bytes of one page from `at` on. A compressed object is unpacked, as far as the page goes and
/// at most 256 KiB of it.
///
/// # Errors
/// `Malformed` when the object is no longer the one that was listed.
pub async fn page(client: &Client, object: &Object, at: u64) -> Result<Page, Error> {
    let start = at.min(object.size);
    let range = start..object.size.min(start.saturating_add(PAGE));
    let bytes = read(client, &object.address, range.clone(), &object.etag).await?;
    let packing = Packing::of(&bytes).filter(|_| start == 0);
    let bytes = match packing {
        None => bytes,
        Some(_) => unpacked(packing, &bytes),
    };
    Ok(Page {
        range,
        bytes,
        packing,
    })
}

/// The beginning of what is packed; what is damaged ends early.
fn unpacked(packing: Option<Packing>, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let Ok(mut unpacker) = Unpacker::new(packing) else {
        return out;
    };
    for step in bytes.chunks(STEP) {
        match unpacker.push(step) {
            Ok(more) if out.len() < UNPACKED => out.extend(more),
            _ => break,
        }
    }
    out.truncate(UNPACKED);
    out
}

/// Exactly these bytes of the version with this ETag.
pub(super) async fn read(
    client: &Client,
    address: &ObjectAddress,
    range: Range<u64>,
    etag: &str,
) -> Result<Vec<u8>, Error> {
    // An empty range is an error to S3.
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = (range.end - range.start) as usize;
    let body = client.read(address, Some(range), Some(etag)).await;
    let mut stream = body.map_err(|error| changed(address, error))?.bytes;
    let mut bytes = Vec::with_capacity(wanted);
    while bytes.len() < wanted {
        match stream.next().await {
            Some(chunk) => bytes.extend_from_slice(&chunk?),
            None => return Err(Error::malformed(address, "ended early")),
        }
    }
    bytes.truncate(wanted);
    Ok(bytes)
}
