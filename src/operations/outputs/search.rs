//! Looking for a text in an object of any size, as it streams by.

use futures::StreamExt as _;
use regex::bytes::{Regex, RegexBuilder};
use serde::Serialize;

use super::changed;
use super::packing::{Packing, Unpacker};
use crate::client::Client;
use crate::model::Object;
use crate::operations::{Error, Progress};

/// Bytes of a text that can be looked for.
const LONGEST: usize = 1_000;
/// Bytes unpacked at once: a kilobyte may become a megabyte.
const STEP: usize = 16 << 10;
/// Bytes shown before and after a match, of its line.
const BEFORE: usize = 60;
const AFTER: usize = 200;

/// A place with the searched text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// From 1.
    pub line: u64,
    /// Byte of the (unpacked) object at which the match begins.
    pub at: u64,
    /// The line around the match, invalid UTF-8 replaced.
    pub text: String,
}

/// Calls `each` with every match until it says `false`, and `progress` with the bytes read. Without
/// capitals in `text`, capitals match too. What is compressed is searched unpacked.
///
/// # Errors
/// `Refused` for a text of no or too many bytes, `Malformed` when the object changed meanwhile or
/// cannot be unpacked.
pub async fn search(
    client: &Client,
    object: &Object,
    text: &str,
    progress: impl Fn(Progress) + Send,
    mut each: impl FnMut(Hit) -> bool + Send,
) -> Result<(), Error> {
    let mut finder = Finder::new(text)?;
    let total = object.size;
    if total == 0 {
        return Ok(());
    }
    let address = &object.address;
    let body = client.read(address, None, Some(&object.etag)).await;
    let mut bytes = body.map_err(|error| changed(address, error))?.bytes;
    let broken = |error| Error::malformed(address, format!("cannot be unpacked: {error}"));
    let mut done = 0;
    let mut unpacker: Option<Unpacker> = None;
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk?;
        let unpacker = match &mut unpacker {
            Some(unpacker) => unpacker,
            // Servers send more than a few bytes at first, if there are more.
            None => unpacker.insert(Unpacker::new(Packing::of(&chunk)).map_err(broken)?),
        };
        for step in chunk.chunks(STEP) {
            if !finder.push(&unpacker.push(step).map_err(broken)?, &mut each) {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        done += chunk.len() as u64;
        progress(Progress { done, total });
    }
    if let Some(unpacker) = unpacker {
        finder.push(&unpacker.finish().map_err(broken)?, &mut each);
    }
    finder.finish(&mut each);
    Ok(())
}

/// Finds a text in bytes that come in pieces. Holds what a match may need before and after it.
struct Finder {
    pattern: Regex,
    /// The end of what was pushed: bytes already searched, shown before a match, and then those
    /// from `searched` on.
    kept: Vec<u8>,
    /// Place of the first kept byte in the object, and its line.
    start: u64,
    line: u64,
    /// Place in `kept` from which on a match may begin.
    searched: usize,
}

impl Finder {
    fn new(text: &str) -> Result<Self, Error> {
        if text.is_empty() || LONGEST < text.len() {
            return Err(Error::Refused(format!(
                "a text of 1 to {LONGEST} bytes can be searched for"
            )));
        }
        let pattern = RegexBuilder::new(&regex::escape(text))
            .unicode(false)
            .case_insensitive(!text.chars().any(char::is_uppercase))
            .build()
            .map_err(|error| Error::Refused(format!("cannot be searched for: {error}")))?;
        Ok(Self {
            pattern,
            kept: Vec::new(),
            start: 0,
            line: 1,
            searched: 0,
        })
    }

    /// Matches that begin so late that what follows them is not there yet wait for the next piece.
    fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(Hit) -> bool) -> bool {
        self.kept.extend_from_slice(bytes);
        let until = self.kept.len().saturating_sub(LONGEST + AFTER);
        let goes_on = self.find(until, each);
        // What is shown before the next match, and everything that is not searched yet.
        let cut = self.searched.saturating_sub(BEFORE);
        self.line += newlines(&self.kept[..cut]);
        self.start += cut as u64;
        self.searched -= cut;
        self.kept.drain(..cut);
        goes_on
    }

    fn finish(mut self, each: &mut impl FnMut(Hit) -> bool) {
        self.find(self.kept.len(), each);
    }

    /// Tells of matches that begin before `until`.
    fn find(&mut self, until: usize, each: &mut impl FnMut(Hit) -> bool) -> bool {
        let mut counted = 0;
        let mut line = self.line;
        while let Some(found) = self.pattern.find_at(&self.kept, self.searched) {
            if until <= found.start() {
                break;
            }
            line += newlines(&self.kept[counted..found.start()]);
            counted = found.start();
            self.searched = found.end();
            let hit = Hit {
                line,
                at: self.start + found.start() as u64,
                text: around(&self.kept, found.start()),
            };
            if !each(hit) {
                return false;
            }
        }
        self.searched = self.searched.max(until);
        true
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// The line at `place`, as far as a little before and after it.
fn around(bytes: &[u8], place: usize) -> String {
    let before = &bytes[place.saturating_sub(BEFORE)..place];
    let begins = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let after = &bytes[place..bytes.len().min(place + AFTER)];
    let ends = memchr::memchr(b'\n', after).unwrap_or(after.len());
    let line = [&before[begins..], &after[..ends]].concat();
    let line = String::from_utf8_lossy(&line).into_owned();
    line.trim_end_matches('\r').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hits(text: &str, pieces: &[&[u8]]) -> Vec<Hit> {
        let mut finder = Finder::new(text).expect("a text");
        let mut hits = Vec::new();
        for piece in pieces {
            finder.push(piece, &mut |hit| {
                hits.push(hit);
                true
            });
        }
        finder.finish(&mut |hit| {
            hits.push(hit);
            true
        });
        hits
    }

    #[test]
    fn a_match_has_its_line_and_what_stands_around_it() {
        let found = hits("b", &[b"a\nab", b"c\r\nB"]);
        let told: Vec<(u64, u64, &str)> = found
            .iter()
            .map(|hit| (hit.line, hit.at, hit.text.as_str()))
            .collect();
        assert_eq!(told, [(2, 3, "abc"), (3, 7, "B")]);
        assert_eq!(hits("B", &[b"a\nab", b"c\nB"]).len(), 1);
        assert!(Finder::new("").is_err() && Finder::new(&"x".repeat(1_001)).is_err());
    }

    #[test]
    fn a_line_without_end_costs_little_memory() {
        let mut finder = Finder::new("needle").expect("a text");
        let mut count = 0;
        for _ in 0..1_000 {
            finder.push(&[b'x'; 10_000], &mut |_| true);
            assert!(finder.kept.len() < 20_000);
        }
        finder.push(b"needle", &mut |_| true);
        finder.finish(&mut |hit| {
            assert_eq!((hit.line, hit.at), (1, 10_000_000));
            count += 1;
            true
        });
        assert_eq!(count, 1);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_matches_are_the_same(
            text in "[ab\n]{0,3000}", needle in "[ab]{1,4}", step in 1_usize..1500,
        ) {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
            let found = hits(&needle, &pieces);
            let places: Vec<u64> = text.match_indices(&needle).map(|(at, _)| at as u64).collect();
            prop_assert_eq!(found.iter().map(|hit| hit.at).collect::<Vec<_>>(), places);
            for hit in found {
                let line = 1 + text[..hit.at as usize].matches('\n').count() as u64;
                prop_assert_eq!(hit.line, line);
                prop_assert!(hit.text.contains(&needle) && !hit.text.contains('\n'));
            }
        }
    }
}
