//! Cuts a stream of bytes into the JSON objects it holds: a JSON array of objects, or JSON Lines, as
//! the ResultWriter of a Map Run writes them, of any size.

use std::ops::ControlFlow;

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Deserializer;
use serde_json::error::Category;

/// Bytes of one record: input, output, error and cause are at most 256 KiB each before escaping.
const RECORD_LIMIT: usize = 8 << 20;

/// Why a result file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("it is neither a JSON array of objects nor JSON Lines")]
    NoArray,
    #[error("it ends in the middle, after {0} bytes")]
    Cut(u64),
    #[error("a record is larger than 8 MiB, near byte {0}")]
    TooLarge(u64),
    /// With what is wrong, without the record's content.
    #[error("the record at byte {place} {problem}")]
    Record { place: u64, problem: String },
}

impl Malformed {
    pub fn record(place: u64, problem: impl ToString) -> Self {
        let problem = problem.to_string();
        Self::Record { place, problem }
    }

    fn of_json(place: u64, error: &serde_json::Error) -> Self {
        if error.classify() == Category::Data {
            // What serde says of it names what it found, which is the user's own.
            return Self::record(place, "is not as AWS has it");
        }
        let text = error.to_string();
        // The place that serde tells is within the piece that it was given.
        let end = text.rfind(" at line ").unwrap_or(text.len());
        Self::record(place, format!("is no JSON: {}", &text[..end]))
    }
}

/// The value that bytes begin with, and how many of them are its own.
///
/// # Errors
/// What serde says of it.
pub fn first<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> serde_json::Result<(T, usize)> {
    let mut values = Deserializer::from_slice(bytes).into_iter();
    match values.next() {
        Some(value) => Ok((value?, values.byte_offset())),
        None => Err(serde_json::Error::custom("there is nothing")),
    }
}

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
    /// Nothing but space so far.
    #[default]
    Unknown,
    Open,
    Closed,
    /// There is none: JSON Lines.
    Lines,
}

impl Records {
    /// Calls `take` with bytes that begin with a record, and where in the stream that is, for every
    /// record that ends in `chunk`, until it breaks. It returns how many of the bytes are the
    /// record's: see [`first`]. Where a record crosses chunks it may be called in vain, so it does
    /// nothing before it has parsed.
    ///
    /// # Errors
    /// Says what is wrong with the bytes when they are no sequence of JSON objects, and what `take`
    /// says of a whole record.
    pub fn parse<B>(
        &mut self,
        chunk: &[u8],
        mut take: impl FnMut(&[u8], u64) -> serde_json::Result<(usize, ControlFlow<B>)>,
    ) -> Result<ControlFlow<B>, Malformed> {
        let mut at = 0;
        if 0 < self.depth {
            let (end, complete) = self.inside(chunk, 0);
            self.carry(&chunk[..end])?;
            at = end;
            if complete {
                let record = std::mem::take(&mut self.carried);
                let place = self.before + end as u64 - record.len() as u64;
                let taken =
                    take(&record, place).map_err(|error| Malformed::of_json(place, &error))?;
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
                        return Err(Malformed::of_json(place, &error));
                    }
                    self.carry(&chunk[at..])?;
                    at = chunk.len();
                }
                Err(error) => return Err(Malformed::of_json(place, &error)),
            }
        }
        self.before += chunk.len() as u64;
        Ok(ControlFlow::Continue(()))
    }

    /// # Errors
    /// Says so when the bytes ended within a record or an array, or were none.
    pub fn finish(&self) -> Result<(), Malformed> {
        match (self.depth, self.array) {
            (0, Array::Closed | Array::Lines) => Ok(()),
            (0, Array::Unknown) => Err(Malformed::NoArray),
            _ => Err(Malformed::Cut(self.before)),
        }
    }

    /// Takes one byte between records; whether a record begins with it.
    fn between(&mut self, byte: u8) -> Result<bool, Malformed> {
        let begins = byte == b'{';
        self.array = match (byte, self.array) {
            (b' ' | b'\t' | b'\r' | b'\n', array) => array,
            (b'{' | b',', Array::Open) | (b'[', Array::Unknown) => Array::Open,
            (b'{', Array::Unknown | Array::Lines) => Array::Lines,
            (b']', Array::Open) => Array::Closed,
            _ => return Err(Malformed::NoArray),
        };
        Ok(begins)
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

    fn carry(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if RECORD_LIMIT < self.carried.len() + bytes.len() {
            return Err(Malformed::TooLarge(self.before));
        }
        self.carried.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Splits `bytes` given in chunks of the sizes in `cuts`, over and over. Every record must be
    /// where it is told to be.
    fn split(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Value>, Malformed> {
        let mut found = Vec::new();
        let mut records = Records::default();
        let mut rest = bytes;
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            let flow = records.parse(chunk, |record, place| {
                let (value, length) = first::<Value>(record)?;
                assert_eq!(record[..length], bytes[place as usize..][..length]);
                found.push(value);
                Ok((length, ControlFlow::<()>::Continue(())))
            })?;
            assert!(flow.is_continue());
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
            match split(bytes.as_bytes(), &cuts) {
                Ok(found) => prop_assert_eq!(found, values),
                // Of JSON Lines without a line nobody can say what it is.
                Err(problem) => prop_assert!(values.is_empty(), "{problem}"),
            }
        }

        #[test]
        fn any_bytes_end_in_records_or_an_error(bytes in any::<Vec<u8>>(), cut in 1usize..9) {
            let _ = split(&bytes, &[cut]);
        }
    }

    #[test]
    fn what_is_no_sequence_of_objects_is_told() {
        for none in ["", " \n", "[1]", "<html>", "[]{}", "[{}]x", "{}]", "{},{}"] {
            assert_eq!(
                split(none.as_bytes(), &[3]),
                Err(Malformed::NoArray),
                "{none}"
            );
        }
        for cut in ["[{\"a\":1}", "[{\"a\":", "[{\"a\":\"}]", "{}\n{", "["] {
            let at = cut.len() as u64;
            assert_eq!(
                split(cut.as_bytes(), &[3]),
                Err(Malformed::Cut(at)),
                "{cut}"
            );
        }
        for empty in ["[]", " [ \n]\n"] {
            assert_eq!(split(empty.as_bytes(), &[1]), Ok(vec![]), "{empty}");
        }
        let told = split(b"[{},{]}]", &[99]).unwrap_err().to_string();
        assert!(
            told.starts_with("the record at byte 4 is no JSON"),
            "{told}"
        );
    }

    #[test]
    fn what_is_told_of_a_record_has_nothing_of_it() {
        let take = |bytes: &[u8], _| {
            let (_, length) = first::<Vec<u8>>(bytes)?;
            Ok((length, ControlFlow::<()>::Continue(())))
        };
        let told = Records::default()
            .parse(br#"[{"s3cret":1}]"#, take)
            .unwrap_err();
        assert_eq!(
            told.to_string(),
            "the record at byte 1 is not as AWS has it"
        );
    }

    #[test]
    fn a_record_without_end_does_not_fill_the_memory() {
        let mut records = Records::default();
        let chunk = vec![b'x'; 1 << 20];
        let mut push = |chunk: &[u8]| {
            records.parse(chunk, |bytes, _| {
                let (_, length) = first::<Value>(bytes)?;
                Ok((length, ControlFlow::<()>::Continue(())))
            })
        };
        let _ = push(b"[{\"a\":\"").unwrap();
        let end = (0..9).find_map(|_| push(&chunk).err());
        assert!(matches!(end, Some(Malformed::TooLarge(_))), "{end:?}");
    }

    #[test]
    fn a_reader_may_stop() {
        let mut seen = 0;
        let flow = Records::default().parse(b"[{},{},{}]", |bytes, _| {
            seen += 1;
            let (_, length) = first::<Value>(bytes)?;
            let flow = match seen {
                2 => ControlFlow::Break("enough"),
                _ => ControlFlow::Continue(()),
            };
            Ok((length, flow))
        });
        assert_eq!((flow, seen), (Ok(ControlFlow::Break("enough")), 2));
    }
}
