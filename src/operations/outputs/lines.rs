//! Lines of an object, by number.

use std::ops::RangeInclusive;

use futures::StreamExt as _;

use super::changed;
use super::packing::{Packing, Unpacker};
use crate::client::Client;
use crate::model::Object;
use crate::operations::Error;

/// Bytes unpacked at once: a kilobyte may become a megabyte.
const STEP: usize = 16 << 10;

/// Calls `each` with the wanted lines (numbers from 1) in pieces, so that a line may be of any
/// length: number, bytes without the line's end, and whether the line ends with them. What is
/// compressed is unpacked. Reading ends behind the last wanted line, or when `each` says `false`.
///
/// # Errors
/// `Malformed` when the object changed meanwhile or cannot be unpacked.
pub async fn lines(
    client: &Client,
    object: &Object,
    wanted: RangeInclusive<u64>,
    mut each: impl FnMut(u64, &[u8], bool) -> bool + Send,
) -> Result<(), Error> {
    if object.size == 0 {
        return Ok(());
    }
    let address = &object.address;
    let body = client.read(address, None, Some(&object.etag)).await;
    let mut bytes = body.map_err(|error| changed(address, error))?.bytes;
    let broken = |error| Error::malformed(address, format!("cannot be unpacked: {error}"));
    let mut unpacker: Option<Unpacker> = None;
    let mut splitter = Splitter::new(wanted);
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk?;
        let unpacker = match &mut unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(Unpacker::new(Packing::of(&chunk)).map_err(broken)?),
        };
        for step in chunk.chunks(STEP) {
            if !splitter.push(&unpacker.push(step).map_err(broken)?, &mut each) {
                return Ok(());
            }
        }
    }
    if let Some(unpacker) = unpacker {
        splitter.push(&unpacker.finish().map_err(broken)?, &mut each);
    }
    splitter.finish(&mut each);
    Ok(())
}

struct Splitter {
    wanted: RangeInclusive<u64>,
    line: u64,
    /// Whether something of the line has come.
    is_begun: bool,
    /// A carriage return that may belong to the line's end.
    held: bool,
}

impl Splitter {
    fn new(wanted: RangeInclusive<u64>) -> Self {
        Self {
            wanted,
            line: 1,
            is_begun: false,
            held: false,
        }
    }

    /// `false` when nothing more is wanted.
    fn push(&mut self, mut bytes: &[u8], each: &mut impl FnMut(u64, &[u8], bool) -> bool) -> bool {
        while !bytes.is_empty() {
            if self.line > *self.wanted.end() {
                return false;
            }
            let end = memchr::memchr(b'\n', bytes);
            let (piece, rest) = match end {
                Some(at) => (&bytes[..at], &bytes[at + 1..]),
                None => (bytes, &bytes[bytes.len()..]),
            };
            if !self.tell(piece, end.is_some(), each) {
                return false;
            }
            self.is_begun = end.is_none();
            self.line += u64::from(end.is_some());
            bytes = rest;
        }
        self.line <= *self.wanted.end()
    }

    fn tell(
        &mut self,
        piece: &[u8],
        is_end: bool,
        each: &mut impl FnMut(u64, &[u8], bool) -> bool,
    ) -> bool {
        if !self.wanted.contains(&self.line) {
            return true;
        }
        if std::mem::take(&mut self.held) && !(is_end && piece.is_empty()) {
            each(self.line, b"\r", false);
        }
        let trimmed = piece.strip_suffix(b"\r");
        self.held = trimmed.is_some() && !is_end;
        each(self.line, trimmed.unwrap_or(piece), is_end)
    }

    fn finish(mut self, each: &mut impl FnMut(u64, &[u8], bool) -> bool) {
        if self.is_begun {
            self.tell(b"", true, each);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &[u8], step: usize, wanted: RangeInclusive<u64>) -> Vec<(u64, Vec<u8>)> {
        let mut splitter = Splitter::new(wanted);
        let mut lines: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut is_open = false;
        let mut each = |line: u64, piece: &[u8], is_end: bool| {
            if !is_open {
                lines.push((line, Vec::new()));
            }
            lines.last_mut().expect("a line").1.extend(piece);
            is_open = !is_end;
            true
        };
        for piece in text.chunks(step) {
            if !splitter.push(piece, &mut each) {
                return lines;
            }
        }
        splitter.finish(&mut each);
        lines
    }

    proptest! {
        #[test]
        fn lines_are_those_that_everybody_knows(
            text in "[a\r\n]{0,60}", step in 1_usize..9, from in 1_u64..8, count in 0_u64..8,
        ) {
            let told = split(text.as_bytes(), step, from..=from + count);
            let known: Vec<(u64, Vec<u8>)> = (1..)
                .zip(text.split_terminator('\n'))
                .filter(|(line, _)| (from..=from + count).contains(line))
                .map(|(line, text)| (line, text.strip_suffix('\r').unwrap_or(text).into()))
                .collect();
            prop_assert_eq!(told, known);
        }
    }
}
