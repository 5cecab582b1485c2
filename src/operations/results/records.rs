//! Cuts a stream of bytes into the JSON objects it holds: a JSON array of objects, or JSON Lines.

use std::ops::ControlFlow;

#[cfg(test)]
use serde::de::IgnoredAny;
#[cfg(test)]
use serde_json::Deserializer;

/// Bytes of one record: input, output, error and cause are at most 256 KiB each before escaping.
const RECORD_LIMIT: usize = 8 << 20;

/// The splitter. Holds the record at hand when it crosses chunks, and nothing else. Records are
/// parsed where they lie: to look for a record's end first would be a second pass over all bytes.
#[derive(Debug, Default)]
pub struct Records {
    /// Bytes of the stream before the chunk at hand.
    before: u64,
    /// The beginning of a record that goes on in the next chunk.
    carried: Vec<u8>,
    /// Brackets open inside the record; 0 is between records.
    depth: u32,
    in_string: bool,
    /// Whether the last byte was a backslash in a string.
    escaped: bool,
    array: Array,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Array {
    /// No `[` so far: JSON Lines, or nothing at all.
    #[default]
    None,
    Open,
    Closed,
}

impl Records {
    /// Calls `each` with every record that ends in `chunk`, until it breaks.
    ///
    /// # Errors
    /// Says what is wrong with the bytes when they are no sequence of JSON objects.
    #[cfg(test)]
    pub fn push(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, String> {
        self.parse(chunk, |rest, _| {
            let mut values = Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
            values.next().transpose()?;
            let length = values.byte_offset();
            Ok((length, each(&rest[..length])))
        })
    }

    /// The same with the caller's own parser: `take` gets bytes that begin with a record, and
    /// where in the stream that is; it returns how many of the bytes are the record's.
    ///
    /// # Errors
    /// As [`Records::push`], and what `take` says of a whole record.
    pub fn parse(
        &mut self,
        chunk: &[u8],
        mut take: impl FnMut(&[u8], u64) -> serde_json::Result<(usize, ControlFlow<()>)>,
    ) -> Result<ControlFlow<()>, String> {
        let mut at = 0;
        if 0 < self.depth {
            let (end, complete) = self.inside(chunk, 0);
            self.carry(&chunk[..end])?;
            at = end;
            if complete {
                let record = std::mem::take(&mut self.carried);
                let place = self.before + end as u64 - record.len() as u64;
                let taken = take(&record, place).map_err(|error| told(place, &error))?;
                if taken.1.is_break() {
                    return Ok(taken.1);
                }
            }
        }
        while at < chunk.len() {
            if !self.between(chunk[at])? {
                at += 1;
                continue;
            }
            let place = self.before + at as u64;
            match take(&chunk[at..], place) {
                Ok((length, flow)) => {
                    at += length.max(1);
                    if flow.is_break() {
                        return Ok(flow);
                    }
                }
                Err(error) if error.is_eof() => {
                    self.depth = 1;
                    if self.inside(chunk, at + 1).1 {
                        return Err(told(place, &error));
                    }
                    self.carry(&chunk[at..])?;
                    at = chunk.len();
                }
                Err(error) => return Err(told(place, &error)),
            }
        }
        self.before += chunk.len() as u64;
        Ok(ControlFlow::Continue(()))
    }

    /// # Errors
    /// Says so when the bytes ended within a record or an array.
    pub fn finish(&self) -> Result<(), String> {
        match (self.depth, self.array) {
            (0, Array::None | Array::Closed) => Ok(()),
            _ => Err(format!("ends in the middle, after {} bytes", self.before)),
        }
    }

    /// Takes one byte between records; whether a record begins with it.
    fn between(&mut self, byte: u8) -> Result<bool, String> {
        match (byte, self.array) {
            (b' ' | b'\t' | b'\r' | b'\n', _) | (b',', Array::Open) => Ok(false),
            (b'{', Array::None | Array::Open) => Ok(true),
            (b'[', Array::None) => {
                self.array = Array::Open;
                Ok(false)
            }
            (b']', Array::Open) => {
                self.array = Array::Closed;
                Ok(false)
            }
            (other, _) => Err(format!(
                "{:?} where a record was expected",
                char::from(other)
            )),
        }
    }

    /// Goes on inside a record; returns where it ended or the chunk did, and whether it was the
    /// record.
    fn inside(&mut self, chunk: &[u8], from: usize) -> (usize, bool) {
        let mut at = from;
        while at < chunk.len() {
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                // Most bytes are inside strings and none of them matters.
                match memchr::memchr2(b'"', b'\\', &chunk[at..]) {
                    None => return (chunk.len(), false),
                    Some(skipped) => at += skipped,
                }
                match chunk[at] {
                    b'"' => self.in_string = false,
                    _ => self.escaped = true,
                }
            } else {
                match chunk[at] {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
            }
            at += 1;
            if self.depth == 0 {
                return (at, true);
            }
        }
        (at, false)
    }

    fn carry(&mut self, bytes: &[u8]) -> Result<(), String> {
        if RECORD_LIMIT < self.carried.len() + bytes.len() {
            return Err(format!(
                "a record is longer than {RECORD_LIMIT} bytes, near byte {}",
                self.before
            ));
        }
        self.carried.extend_from_slice(bytes);
        Ok(())
    }
}

/// What is wrong with the record at `place`; serde's own place is within the piece it was given.
fn told(place: u64, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    format!("the record at byte {place}: {}", &text[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Splits `bytes` given in chunks of the sizes in `cuts`, over and over.
    fn split(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Vec<u8>>, String> {
        let mut found = Vec::new();
        let mut records = Records::default();
        let mut rest = bytes;
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            let _ = records.push(chunk, |record| {
                found.push(record.to_vec());
                ControlFlow::Continue(())
            })?;
            rest = after;
        }
        records.finish().map(|()| found)
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_records_are_the_same(
            texts in proptest::collection::vec(any::<String>(), 0..8),
            cuts in proptest::collection::vec(1usize..40, 1..6),
            lines in any::<bool>(),
        ) {
            let values: Vec<Value> = texts
                .iter()
                .map(|text| json!({"Input": text, "nested": [{"a": [text]}, "]}"]}))
                .collect();
            let bytes = match lines {
                true => values.iter().flat_map(|value| [value.to_string(), "\n".to_owned()]).collect::<String>(),
                false => serde_json::to_string_pretty(&values).expect("a value"),
            };
            let found: Vec<Value> = split(bytes.as_bytes(), &cuts)
                .expect("well formed")
                .iter()
                .map(|record| serde_json::from_slice(record).expect("a whole record"))
                .collect();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn any_bytes_end_in_records_or_an_error(bytes in any::<Vec<u8>>(), cut in 1usize..9) {
            let _ = split(&bytes, &[cut]);
        }
    }

    #[test]
    fn broken_files_are_told() {
        for bad in [
            "[{\"a\":1}",
            "[{\"a\":",
            "{\"a\":\"}",
            "<html>",
            "[1]",
            "[]{}",
        ] {
            assert!(split(bad.as_bytes(), &[3]).is_err(), "{bad}");
        }
        for empty in ["", "[]", " \n"] {
            assert_eq!(split(empty.as_bytes(), &[1]), Ok(vec![]), "{empty}");
        }
    }

    #[test]
    fn a_reader_may_stop() {
        let mut seen = 0;
        let flow = Records::default().push(b"[{},{},{}]", |_| {
            seen += 1;
            match seen {
                2 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        assert_eq!((flow, seen), (Ok(ControlFlow::Break(())), 2));
    }
}
