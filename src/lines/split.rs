//! Bytes to lines, a chunk at a time, in memory bounded by the longest line allowed.
//!
//! A line ends with LF or CRLF; a last line needs no end. A byte order mark before the first line
//! is dropped, unless the bytes are taken verbatim. Empty lines are lines: they keep their numbers.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// Without its end.
    Bytes(&'a [u8]),
    /// More bytes than the limit; they are not kept.
    TooLong,
}

/// Splits chunks into lines.
#[derive(Debug)]
pub struct Lines {
    /// Bytes; a longer line is reported, not kept.
    limit: usize,
    /// The beginning of a line whose end has not come yet.
    carry: Vec<u8>,
    too_long: bool,
    count: u64,
    /// Nothing but LF ends a line, and nothing is dropped.
    verbatim: bool,
}

impl Lines {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            carry: Vec::new(),
            too_long: false,
            count: 0,
            verbatim: false,
        }
    }

    /// For files whose every byte belongs to a line but the LF at its end.
    pub fn verbatim(limit: usize) -> Self {
        Self {
            verbatim: true,
            ..Self::new(limit)
        }
    }

    /// Hands every line that ends in `chunk` to `each`, with its number from 1.
    pub fn push(&mut self, chunk: &[u8], each: &mut impl FnMut(u64, Line<'_>)) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            self.end_line(&chunk[start..end], each);
            start = end + 1;
        }
        self.keep(&chunk[start..]);
    }

    /// Hands over the last line if it had no end, and returns how many there were.
    pub fn finish(mut self, each: &mut impl FnMut(u64, Line<'_>)) -> u64 {
        let only_mark = !self.verbatim && self.count == 0 && self.carry == BYTE_ORDER_MARK;
        if (!self.carry.is_empty() && !only_mark) || self.too_long {
            self.end_line(b"", each);
        }
        self.count
    }

    fn end_line(&mut self, tail: &[u8], each: &mut impl FnMut(u64, Line<'_>)) {
        self.count += 1;
        if self.carry.is_empty() && !self.too_long {
            each(self.count, self.checked(tail));
            return;
        }
        self.keep(tail);
        let line = if self.too_long {
            Line::TooLong
        } else {
            self.checked(&self.carry)
        };
        each(self.count, line);
        self.carry.clear();
        self.too_long = false;
    }

    /// `line` as it counts, if it is short enough.
    fn checked<'a>(&self, line: &'a [u8]) -> Line<'a> {
        let line = match self.verbatim {
            true => line,
            false => self.stripped(line),
        };
        if line.len() > self.limit {
            Line::TooLong
        } else {
            Line::Bytes(line)
        }
    }

    fn stripped<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if self.count == 1 => rest,
            _ => line,
        };
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn keep(&mut self, bytes: &[u8]) {
        // Mark and carriage return do not count, so a line may be that much longer here.
        let slack = BYTE_ORDER_MARK.len() + 1;
        if self.too_long || self.carry.len() + bytes.len() > self.limit + slack {
            self.too_long = true;
            self.carry.clear();
        } else {
            self.carry.extend_from_slice(bytes);
        }
    }
}

/// The source's bytes as they were before compression.
pub enum Decoder {
    Plain,
    /// Any number of gzip members, one after the other.
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Decoder {
    /// Chosen by the key's suffix: `.gz` is gzip.
    pub fn for_key(key: &str) -> Self {
        match without_gz(key) {
            Some(_) => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            None => Self::Plain,
        }
    }

    /// How many bytes to decode at once at most. Deflate may grow a byte to a thousand.
    pub fn step(&self) -> usize {
        match self {
            Self::Plain => 64 << 10,
            Self::Gzip(_) => 4 << 10,
        }
    }

    /// Hands what `bytes` decode to over to `each`.
    ///
    /// # Errors
    /// The bytes are not gzip.
    pub fn push(&mut self, bytes: &[u8], each: impl FnOnce(&[u8])) -> io::Result<()> {
        match self {
            Self::Plain => each(bytes),
            Self::Gzip(decoder) => {
                decoder.write_all(bytes)?;
                each(decoder.get_ref());
                decoder.get_mut().clear();
            }
        }
        Ok(())
    }

    /// Hands over what is left.
    ///
    /// # Errors
    /// The bytes end too early, or their checksum is wrong.
    pub fn finish(self, each: impl FnOnce(&[u8])) -> io::Result<()> {
        if let Self::Gzip(decoder) = self {
            each(&decoder.finish()?);
        }
        Ok(())
    }
}

/// The name of the file inside, when this is the name of a gzip file.
pub fn without_gz(name: &str) -> Option<&str> {
    let (inner, suffix) = name.rsplit_once('.')?;
    suffix.eq_ignore_ascii_case("gz").then_some(inner)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    /// Lines as text; `None` is too long.
    fn split(chunks: &[&[u8]], limit: usize) -> Vec<Option<Vec<u8>>> {
        let mut found = Vec::new();
        let mut each = |n: u64, line: Line<'_>| {
            assert_eq!(n, found.len() as u64 + 1);
            found.push(match line {
                Line::Bytes(bytes) => Some(bytes.to_vec()),
                Line::TooLong => None,
            });
        };
        let mut lines = Lines::new(limit);
        for chunk in chunks {
            lines.push(chunk, &mut each);
        }
        let count = lines.finish(&mut each);
        assert_eq!(count, found.len() as u64);
        found
    }

    fn texts(chunks: &[&[u8]]) -> Vec<String> {
        split(chunks, 100)
            .into_iter()
            .map(|line| String::from_utf8(line.unwrap()).unwrap())
            .collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(bytes: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut decoder = Decoder::for_key("a.gz");
        let mut decoded = Vec::new();
        for slice in bytes.chunks(step) {
            decoder.push(slice, |bytes| decoded.extend_from_slice(bytes))?;
        }
        decoder.finish(|bytes| decoded.extend_from_slice(bytes))?;
        Ok(decoded)
    }

    #[test]
    fn both_line_ends_and_a_last_line_without_one() {
        assert_eq!(texts(&[b"a\r\nb\n\nc"]), ["a", "b", "", "c"]);
        assert_eq!(texts(&[b"a\r", b"\nb\n"]), ["a", "b"]);
        assert_eq!(texts(&[b"a\rb\n"]), ["a\rb"]);
        assert_eq!(texts(&[b"\n"]), [""]);
        assert!(texts(&[b""]).is_empty());
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        assert_eq!(texts(&[b"\xef\xbb", b"\xbfa\nb"]), ["a", "b"]);
        assert_eq!(texts(&[b"a\n\xef\xbb\xbfb"]), ["a", "\u{feff}b"]);
        assert!(texts(&[b"\xef\xbb\xbf"]).is_empty());
        assert_eq!(texts(&[b"\xef\xbb\xbf\n"]), [""]);
    }

    #[test]
    fn a_line_over_the_limit_is_reported_and_not_kept() {
        let long = vec![b'x'; 11];
        assert_eq!(
            split(&[b"0123456789\r\n", &long, b"x\nb"], 10),
            [Some(b"0123456789".to_vec()), None, Some(b"b".to_vec())]
        );
        assert_eq!(split(&[&long], 10), [None]);
        assert_eq!(split(&[&[b'x'; 40], b"", &long], 10), [None]);
    }

    #[test]
    fn members_of_a_gzip_file_follow_each_other() {
        let bytes = [gzip(b"one\ntw"), gzip(b"o\n"), gzip(b"")].concat();
        for step in [1, 7, 4096] {
            assert_eq!(gunzip(&bytes, step).unwrap(), b"one\ntwo\n");
        }
    }

    #[test]
    fn a_broken_gzip_file_is_an_error() {
        let bytes = gzip(&[b'x'; 10_000]);
        assert!(gunzip(&bytes[..bytes.len() - 9], 16).is_err(), "cut short");
        assert!(gunzip(&bytes[..5], 16).is_err(), "cut in the header");
        assert!(gunzip(b"plain text, not gzip", 16).is_err());
        let mut flipped = bytes.clone();
        let checksum = flipped.len() - 6;
        flipped[checksum] ^= 1;
        assert!(gunzip(&flipped, 16).is_err(), "checksum");
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_chunks(
            text in "(\u{feff}|[ab\r\n]){0,40}",
            cuts in prop::collection::vec(0usize..200, 0..6),
            limit in 0usize..12,
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();

            let body = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let mut naive: Vec<&str> = body.split('\n').collect();
            if naive.last() == Some(&"") {
                naive.pop();
            }
            let naive: Vec<Option<Vec<u8>>> = naive
                .into_iter()
                .map(|line| line.strip_suffix('\r').unwrap_or(line))
                .map(|line| (line.len() <= limit).then(|| line.as_bytes().to_vec()))
                .collect();
            prop_assert_eq!(split(&chunks, limit), naive);
        }
    }
}
