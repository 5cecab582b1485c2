//! A part of an object, of any object: only the bytes asked for are read.

use std::io::ErrorKind;
use std::ops::Range;

use futures::StreamExt as _;

use super::changed;
use super::packing::{Packing, Unpacker};
use crate::client::Client;
use crate::model::{Object, ObjectAddress};
use crate::operations::Error;

/// Bytes of a page.
pub const PAGE: u64 = 64 << 10;
/// Bytes of a document that are read to show it as one, unpacked too.
pub const DOCUMENT: u64 = 1 << 20;
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
    /// Why a compressed object could be unpacked no further: it is cut off or damaged.
    pub trouble: Option<String>,
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
    let (bytes, trouble) = match packing {
        None => (bytes, None),
        Some(_) => unpacked(packing, &bytes, UNPACKED, range.end == object.size),
    };
    Ok(Page {
        range,
        bytes,
        packing,
        trouble,
    })
}

/// The beginning of an object, as much of it as is shown as one document.
///
/// # Errors
/// As of [`page`].
pub async fn beginning(client: &Client, object: &Object) -> Result<Page, Error> {
    let range = 0..object.size.min(DOCUMENT);
    let bytes = read(client, &object.address, range.clone(), &object.etag).await?;
    let packing = Packing::of(&bytes);
    let (bytes, trouble) = match packing {
        None => (bytes, None),
        Some(_) => unpacked(packing, &bytes, DOCUMENT as usize, range.end == object.size),
    };
    Ok(Page {
        range,
        bytes,
        packing,
        trouble,
    })
}

/// The beginning of what is packed, and why it ends there where it should not. `is_all` says that
/// no more bytes follow.
fn unpacked(
    packing: Option<Packing>,
    bytes: &[u8],
    most: usize,
    is_all: bool,
) -> (Vec<u8>, Option<String>) {
    let mut out = Vec::new();
    let mut unpacker = match Unpacker::new(packing) {
        Ok(unpacker) => unpacker,
        Err(error) => return (out, Some(error.to_string())),
    };
    for step in bytes.chunks(STEP) {
        match unpacker.push(step) {
            Ok(more) => out.extend(more),
            Err(error) => return (out, Some(format!("damaged: {error}"))),
        }
        if most <= out.len() {
            out.truncate(most);
            return (out, None);
        }
    }
    if !is_all {
        return (out, None);
    }
    match unpacker.finish() {
        Ok(more) => {
            out.extend(more);
            out.truncate(most);
            (out, None)
        }
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            (out, Some("it is cut off here".to_owned()))
        }
        Err(error) => (out, Some(format!("damaged: {error}"))),
    }
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn what_is_cut_off_shows_what_there_is_and_says_so() {
        let lines: Vec<String> = (0..2_000).map(|n| format!("line {n}\n")).collect();
        let lines = lines.concat();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(lines.as_bytes()).expect("memory");
        let gzip = encoder.finish().expect("memory");
        let zstd = zstd::stream::encode_all(lines.as_bytes(), 1).expect("memory");
        for packed in [gzip, zstd] {
            let packing = Packing::of(&packed);
            assert!(packing.is_some());
            let read = |bytes: &[u8], is_all| unpacked(packing, bytes, UNPACKED, is_all);
            assert_eq!(read(&packed, true), (lines.clone().into_bytes(), None));
            let half = &packed[..packed.len() / 2];
            let (shown, trouble) = read(half, true);
            assert!(lines.as_bytes().starts_with(&shown));
            assert_eq!(trouble.as_deref(), Some("it is cut off here"));
            // There is more of it behind the page.
            assert_eq!(read(half, false), (shown, None));
            let (shown, trouble) = unpacked(packing, &packed, 100, true);
            assert_eq!((shown.len(), trouble), (100, None));
        }
        let (shown, trouble) = unpacked(Some(Packing::Gzip), b"\x1f\x8b\x08rubbish", 99, true);
        assert!(shown.is_empty() && trouble.is_some());
    }
}
