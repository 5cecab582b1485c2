//! The log lines that are kept of a run: the newest, in the order of their time, however they came.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use crate::model::Timestamp;
use crate::operations::logs::{KEPT, Line, Phase, Sources};
use crate::tui::event::Trouble;
use crate::tui::widget::text;

/// Bytes of text that are kept at the most.
const BYTES: usize = 24 << 20;

/// By time, and by arrival where the time is the same.
pub type Place = (Timestamp, u64);

/// What is told of a run's lines. Made where there is time for it: not while drawing.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// All of it is told from the beginning.
    Begin,
    Sources(Sources),
    Entries(Vec<Entry>),
    Phase(Phase),
    Sampled(bool),
}

/// A line as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub line: Line,
    /// One line, fit for a terminal; JSON without its white space.
    pub text: String,
    /// Whether there is something to unfold.
    pub is_json: bool,
}

impl Entry {
    pub fn of(line: Line) -> Self {
        let document = line.message.trim_start().starts_with(['{', '[']);
        let document = document
            .then(|| serde_json::from_str::<Value>(&line.message).ok())
            .flatten()
            .filter(|it| it.is_object() || it.is_array());
        let shown = match &document {
            Some(document) => text::visible(&document.to_string()),
            None => text::visible(&line.message.replace('\t', "  ")),
        };
        Self {
            line,
            text: shown,
            is_json: document.is_some(),
        }
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.line.message.len()
    }
}

/// An entry in its place.
#[derive(Debug, Clone)]
pub struct Placed {
    pub place: Place,
    pub entry: Arc<Entry>,
}

/// Entries in order. Clones share the entries.
#[derive(Debug, Clone, Default)]
pub struct Shelf(VecDeque<Placed>);

impl Shelf {
    pub fn add(&mut self, new: impl IntoIterator<Item = Placed>) {
        let last = self.0.back().map(|it| it.place);
        self.0.extend(new);
        // Mostly nothing is late. Where something is, this merges a few sorted stretches.
        let begin = self.0.len();
        let is_late = last.is_some() || begin > 0;
        if is_late && !self.0.iter().is_sorted_by_key(|it| it.place) {
            self.0.make_contiguous().sort_by_key(|it| it.place);
        }
    }

    /// Takes away what is before this place; how many that were.
    pub fn forget_before(&mut self, place: Place) -> usize {
        let count = self.0.partition_point(|it| it.place < place);
        self.0.drain(..count);
        count
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, index: usize) -> Option<&Placed> {
        self.0.get(index)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Placed> {
        self.0.iter()
    }

    /// Where the place is, or the next one after it.
    pub fn find(&self, place: Place) -> usize {
        self.0.partition_point(|it| it.place < place)
    }
}

/// All that is known of one query.
#[derive(Debug, Clone, Default)]
pub struct Book {
    pub sources: Option<Sources>,
    pub phase: Option<Phase>,
    /// The live tail leaves lines out.
    pub sampled: bool,
    /// Why the newest ask had no answer.
    pub trouble: Option<Trouble>,
    /// When something was told last.
    pub heard: Option<Timestamp>,
    /// Lines that had to make room for newer ones.
    pub dropped: u64,
    /// Grows when all is told anew.
    pub edition: u64,
    shelf: Shelf,
    bytes: usize,
    arrived: u64,
    /// What is told next takes the place of all this.
    is_old: bool,
}

impl Book {
    pub fn entries(&self) -> &Shelf {
        &self.shelf
    }

    /// Entries that have come so far: the next one's number.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    pub fn put(&mut self, news: News, now: Timestamp) {
        self.trouble = None;
        self.heard = Some(now);
        match news {
            // What is shown stays until there is something else to show.
            News::Begin => self.is_old = self.arrived > 0,
            News::Sources(sources) => self.sources = Some(sources),
            News::Entries(entries) => {
                self.renew();
                self.add(entries);
            }
            News::Phase(phase) => {
                self.renew();
                self.phase = Some(phase);
            }
            News::Sampled(sampled) => self.sampled = sampled,
        }
    }

    fn renew(&mut self) {
        if std::mem::take(&mut self.is_old) {
            self.shelf = Shelf::default();
            self.bytes = 0;
            self.dropped = 0;
            self.edition += 1;
        }
    }

    fn add(&mut self, entries: Vec<Entry>) {
        let first = self.arrived;
        self.arrived += entries.len() as u64;
        self.bytes += entries.iter().map(Entry::bytes).sum::<usize>();
        let placed = entries
            .into_iter()
            .zip(first..)
            .map(|(entry, number)| Placed {
                place: (entry.line.at, number),
                entry: Arc::new(entry),
            });
        self.shelf.add(placed);
        while self.shelf.len() > KEPT || self.bytes > BYTES {
            let Some(oldest) = self.shelf.0.pop_front() else {
                break;
            };
            self.bytes -= oldest.entry.bytes();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    pub fn line(at: Timestamp, message: &str) -> Line {
        Line {
            at,
            group: "/aws/lambda/invoice-line-worker".into(),
            stream: "2026/11/23/[$LATEST]0a".into(),
            level: None,
            state: Some("Worker".into()),
            request: None,
            execution: None,
            message: message.to_owned(),
            cut: 0,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn entry(second: i64, message: &str) -> Entry {
        Entry::of(line(at(second), message))
    }

    #[test]
    fn hostile_lines_are_made_harmless_and_json_compact() {
        let shown = entry(0, "a\x1b[2Jb\tc\u{202e}");
        assert_eq!((shown.text.as_str(), shown.is_json), ("a␛[2Jb  c·", false));
        let shown = entry(0, "{\n \"a\": \"\\u001b[2J\",\n \"b\": [1, 2]}");
        assert_eq!(shown.text, "{\"a\":\"\\u001b[2J\",\"b\":[1,2]}");
        assert!(shown.is_json);
        assert!(!entry(0, "{broken").is_json);
    }

    #[test]
    fn the_newest_are_kept_and_the_others_counted() {
        let mut book = Book::default();
        let many = (0..KEPT as i64 + 5).map(|second| entry(second, "x"));
        book.put(News::Entries(many.collect()), at(0));
        assert_eq!((book.entries().len(), book.dropped), (KEPT, 5));
        // Older than all that is kept: it goes at once.
        book.put(News::Entries(vec![entry(1, "late")]), at(0));
        assert_eq!((book.entries().len(), book.dropped), (KEPT, 6));
        let large = "x".repeat(16 * 1024);
        let large = (0..2_000).map(|second| entry(second + 20_000, &large));
        book.put(News::Entries(large.collect()), at(0));
        assert!(book.bytes <= BYTES);
        assert!(book.entries().len() < 1_000);
    }

    #[test]
    fn what_is_told_anew_replaces_what_was_known_at_its_first_line() {
        let mut book = Book::default();
        book.put(News::Entries(vec![entry(1, "a")]), at(1));
        book.put(News::Begin, at(2));
        assert_eq!(book.entries().len(), 1);
        book.put(News::Entries(vec![entry(1, "a"), entry(2, "b")]), at(3));
        assert_eq!((book.entries().len(), book.edition), (2, 1));
    }

    proptest! {
        /// Whatever the order in which lines come, they stand in the order of their time, and those
        /// of one moment in the order in which they came.
        #[test]
        fn lines_stand_in_the_order_of_their_time(
            batches in prop::collection::vec(prop::collection::vec(0_i64..20, 0..20), 0..10),
        ) {
            let mut book = Book::default();
            for batch in &batches {
                let entries = batch.iter().map(|second| entry(*second, "x")).collect();
                book.put(News::Entries(entries), at(0));
            }
            let places: Vec<Place> = book.entries().iter().map(|it| it.place).collect();
            prop_assert!(places.is_sorted());
            prop_assert_eq!(places.len(), batches.iter().map(Vec::len).sum::<usize>());
        }
    }
}
