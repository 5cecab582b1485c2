//! What is known of an execution's events: all of them while they are few, else the first and the
//! newest thousands, and of those between what was scrolled to. Pages come in any order and are put
//! where they belong by their numbers.

pub mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{HistoryEvent, Page};
use crate::tui::history::trace::Trace;

/// Events read without being asked for, from the first on and up to the newest.
const HEAD: u64 = 2_500;
const TAIL: u64 = 2_500;
/// Events kept: the service's own limit to a history, and a page.
const MOST: usize = 26_000;
/// Bytes of inputs, outputs and causes kept.
const PAYLOADS: usize = 24 << 20;

/// Which events a page has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The newest ones, newest first.
    Newest,
    /// The newest few: what has come since one looked last.
    Peek,
    /// Those before, by the token of the page before.
    Before(String),
    /// From the first on.
    Oldest,
    /// Those after, by the token of the page before.
    After(String),
}

impl Part {
    /// Whether it is read with the token of a page before.
    pub fn is_further(&self) -> bool {
        matches!(self, Self::Before(_) | Self::After(_))
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// By number, from 1.
    events: BTreeMap<u64, Arc<HistoryEvent>>,
    /// Events whose payloads were let go.
    stripped: BTreeSet<u64>,
    /// Bytes of the payloads kept.
    payloads: usize,
    /// What to read next, until nothing that is wanted is missing.
    next: Option<Part>,
    /// Numbers of the first and the last event of each run of events that are not here.
    gaps: Vec<(u64, u64)>,
    /// Where reading went on from the first event, and back from the newest: the number of the last
    /// event read there, and the token of the page beyond it.
    onward: Option<(u64, String)>,
    back: Option<(u64, String)>,
    /// States and attempts, made of the events.
    pub trace: Arc<Trace>,
    /// Changes whenever the events do.
    pub generation: u64,
}

impl History {
    /// Takes in a page.
    pub fn put(&mut self, part: &Part, page: Page<HistoryEvent>) {
        let numbers: Vec<u64> = page.items.iter().map(|it| it.id).collect();
        let known_before = self.last();
        let mut changed = false;
        for event in page.items {
            if !self.events.contains_key(&event.id) {
                self.payloads += size(&event);
                self.events.insert(event.id, Arc::new(event));
                changed = true;
            }
        }
        self.note_ways(part, &numbers, page.next.as_ref());
        self.next = self.after(part, &numbers, known_before, page.next);
        if changed {
            self.shrink(&numbers);
            self.gaps = self.find_gaps();
            let is_whole = self.gaps.is_empty();
            self.trace = Arc::new(Trace::of(self.events.values().map(Arc::as_ref), is_whole));
            self.generation += 1;
        }
    }

    /// Keeps the tokens by which the middle can be read later.
    fn note_ways(&mut self, part: &Part, numbers: &[u64], token: Option<&String>) {
        let (Some(lowest), Some(highest)) = (numbers.iter().min(), numbers.iter().max()) else {
            return;
        };
        match part {
            Part::Peek => {}
            Part::Newest | Part::Before(_) => {
                self.back = token.map(|token| (*lowest, token.clone()));
            }
            Part::Oldest | Part::After(_) => {
                self.onward = token.map(|token| (*highest, token.clone()));
            }
        }
    }

    /// Forgets the token that `part` was asked for with, and begins that way again at its end.
    pub fn begin_anew(&mut self, part: &Part) {
        let has_first = self.events.contains_key(&1);
        self.next = Some(match part {
            Part::Newest | Part::Peek | Part::Before(_) => {
                self.back = None;
                if has_first {
                    Part::Newest
                } else {
                    Part::Oldest
                }
            }
            Part::Oldest | Part::After(_) => {
                self.onward = None;
                Part::Oldest
            }
        });
    }

    fn find_gaps(&self) -> Vec<(u64, u64)> {
        let mut expected = 1;
        let mut gaps = Vec::new();
        for id in self.events.keys() {
            if expected < *id {
                gaps.push((expected, id - 1));
            }
            expected = id + 1;
        }
        gaps
    }

    /// Runs of events that are not here, by the numbers of their first and last.
    pub fn gaps(&self) -> &[(u64, u64)] {
        &self.gaps
    }

    /// The gap that an event is lost in.
    pub fn gap(&self, event: u64) -> Option<(u64, u64)> {
        let within = |(first, last): &&(u64, u64)| (*first..=*last).contains(&event);
        self.gaps.iter().find(within).copied()
    }

    /// What to read so that an event which is not here comes nearer: from the side that it is next
    /// to, where that is known.
    pub fn toward(&self, event: u64) -> Option<Part> {
        let (first, last) = self.gap(event)?;
        let is_upper_half = event - first > last - event;
        // Begun anew, it leads there through what is known.
        let back = self.back.as_ref().filter(|(lowest, _)| *lowest > last);
        let back = back.map(|(_, token)| Part::Before(token.clone()));
        let onward = self.onward.as_ref();
        let onward = onward.map(|(_, token)| Part::After(token.clone()));
        let (near, far) = match is_upper_half {
            true => (back, onward),
            false => (onward, back),
        };
        near.or(far).or(Some(Part::Oldest))
    }

    /// What is still to be read once a page with these numbers is in.
    fn after(
        &self,
        part: &Part,
        numbers: &[u64],
        known_before: u64,
        token: Option<String>,
    ) -> Option<Part> {
        let lowest = numbers.iter().min()?;
        match part {
            Part::Peek => {
                let joined = *lowest <= 1 || self.events.contains_key(&(lowest - 1));
                (!joined).then_some(Part::Newest)
            }
            Part::Newest | Part::Before(_) => {
                // Down to what was known, else to the first event.
                let joined = *lowest <= 1 || self.events.contains_key(&(lowest - 1));
                let goal = if *part == Part::Newest {
                    known_before
                } else {
                    0
                };
                let enough = self.last() - lowest + 1 >= TAIL;
                match token {
                    _ if joined && self.missing() == 0 => None,
                    _ if joined && goal > 0 => None,
                    Some(token) if !joined && !enough => Some(Part::Before(token)),
                    _ if self.events.contains_key(&1) => None,
                    _ => Some(Part::Oldest),
                }
            }
            Part::Oldest | Part::After(_) => {
                let highest = numbers.iter().max().copied().unwrap_or_default();
                let joined = self.missing() == 0;
                match token {
                    Some(token) if !joined && highest < HEAD => Some(Part::After(token)),
                    _ => None,
                }
            }
        }
    }

    /// What should be read next; `None` when all that is kept is there.
    pub fn next(&self) -> Option<&Part> {
        self.next.as_ref()
    }

    /// Lets go of events between the first and the newest thousands where there are more than a
    /// service tells of, then of payloads: last of those that have just `come`.
    fn shrink(&mut self, come: &[u64]) {
        let last = self.last();
        if self.events.len() > MOST {
            let middle = HEAD + 1..=last.saturating_sub(TAIL);
            let middle: Vec<u64> = self.events.range(middle).map(|(id, _)| *id).collect();
            for id in middle {
                if let Some(event) = self.events.remove(&id)
                    && !self.stripped.remove(&id)
                {
                    self.payloads -= size(&event);
                }
            }
        }
        if self.payloads <= PAYLOADS {
            return;
        }
        // The first event has the input; the newest are what one looks at.
        let come: BTreeSet<u64> = come.iter().copied().collect();
        let mut ids: Vec<u64> = self.events.keys().copied().skip(1).collect();
        ids.sort_by_key(|id| come.contains(id));
        for id in ids {
            if self.payloads <= PAYLOADS {
                return;
            }
            if let Some(event) = self.events.get_mut(&id)
                && self.stripped.insert(id)
            {
                self.payloads -= size(event);
                let event = Arc::make_mut(event);
                (event.input, event.output, event.cause) = (None, None, None);
            }
        }
    }

    pub fn events(&self) -> impl DoubleEndedIterator<Item = &HistoryEvent> {
        self.events.values().map(Arc::as_ref)
    }

    pub fn event(&self, id: u64) -> Option<&HistoryEvent> {
        self.events.get(&id).map(Arc::as_ref)
    }

    pub fn is_stripped(&self, id: u64) -> bool {
        self.stripped.contains(&id)
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Number of the newest event: events are numbered without gaps.
    pub fn last(&self) -> u64 {
        self.events.last_key_value().map_or(0, |(id, _)| *id)
    }

    /// Events that there are, but not here.
    pub fn missing(&self) -> u64 {
        self.last() - self.events.len() as u64
    }

    /// Whether the newest event is the execution's end.
    pub fn has_ended(&self) -> bool {
        let last = self.events.last_key_value();
        last.is_some_and(|(_, event)| trace::is_end(&event.kind))
    }
}

fn size(event: &HistoryEvent) -> usize {
    let texts = [&event.input, &event.output, &event.cause];
    texts.into_iter().flatten().map(String::len).sum()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::model::Timestamp;

    /// An event without anything but its kind, `at` seconds after the beginning of 2026-11-23.
    pub fn event(id: u64, previous: u64, at: i64, kind: &str, state: Option<&str>) -> HistoryEvent {
        let began: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        HistoryEvent {
            id,
            previous,
            at: began + jiff::SignedDuration::from_secs(at),
            kind: kind.to_owned(),
            state: state.map(str::to_owned),
            error: None,
            cause: None,
            map_run: None,
            iteration: None,
            input: None,
            output: None,
        }
    }

    fn numbered(id: u64) -> HistoryEvent {
        event(
            id,
            id.saturating_sub(1),
            id as i64,
            "WaitStateEntered",
            Some("W"),
        )
    }

    /// What the service answers while it has events up to `last`.
    pub fn page(part: &Part, last: u64, size: u64) -> Page<HistoryEvent> {
        let (newest_first, from) = match part {
            Part::Newest | Part::Peek => (true, last),
            Part::Before(token) => (true, token.parse().unwrap()),
            Part::Oldest => (false, 1),
            Part::After(token) => (false, token.parse().unwrap()),
        };
        let ids: Vec<u64> = if newest_first {
            (from.saturating_sub(size - 1).max(1)..=from)
                .rev()
                .collect()
        } else {
            (from..=last.min(from + size - 1)).collect()
        };
        let end = *ids.last().unwrap();
        let next = if newest_first {
            (end > 1).then(|| (end - 1).to_string())
        } else {
            (end < last).then(|| (end + 1).to_string())
        };
        Page {
            items: ids.into_iter().map(numbered).collect(),
            next,
        }
    }

    /// Reads until nothing more is wanted; pages read.
    fn read(history: &mut History, last: u64) -> usize {
        let mut part = match history.len() {
            0 => Part::Newest,
            _ => Part::Peek,
        };
        let mut pages = 0;
        loop {
            let size = if part == Part::Peek { 20 } else { 200 };
            history.put(&part, page(&part, last, size));
            pages += 1;
            assert!(pages < 200);
            match history.next() {
                Some(next) => part = next.clone(),
                None => return pages,
            }
        }
    }

    #[test]
    fn a_short_history_is_read_whole() {
        let mut history = History::default();
        assert_eq!(read(&mut history, 7), 1);
        assert_eq!((history.len(), history.missing()), (7, 0));
        let mut history = History::default();
        assert_eq!(read(&mut history, 1_000), 5);
        assert_eq!((history.len(), history.missing()), (1_000, 0));
    }

    #[test]
    fn what_came_since_is_joined_to_what_was_known() {
        let mut history = History::default();
        read(&mut history, 500);
        assert_eq!(read(&mut history, 510), 1);
        assert_eq!((history.last(), history.missing()), (510, 0));
        // More than a small page.
        assert_eq!(read(&mut history, 700), 2);
        assert_eq!((history.last(), history.missing()), (700, 0));
        assert_eq!(read(&mut history, 1_300), 4);
        assert_eq!((history.last(), history.missing()), (1_300, 0));
    }

    #[test]
    fn of_a_long_history_the_ends_are_read_and_the_middle_when_it_is_scrolled_to() {
        let mut history = History::default();
        read(&mut history, 25_000);
        let [(first, last)] = history.gaps() else {
            panic!("{:?}", history.gaps());
        };
        let (first, last) = (*first, *last);
        assert!((HEAD + 1..HEAD + 500).contains(&first), "{first}");
        assert!((TAIL..TAIL + 500).contains(&(25_000 - last)), "{last}");
        assert_eq!(history.missing(), last + 1 - first);
        assert_eq!(read(&mut history, 25_010), 1);
        assert!(history.event(25_010).is_some() && history.event(1).is_some());
        // From both edges, the nearer one first, until nothing is missing.
        let come = |history: &mut History, event: u64| {
            let part = history.toward(event).expect("it is not here");
            history.put(&part, page(&part, 25_010, 1_000));
            assert_eq!(history.next(), None);
        };
        come(&mut history, first);
        assert_eq!(history.gaps(), [(first + 1_000, last)]);
        come(&mut history, last);
        assert_eq!(history.gaps(), [(first + 1_000, last - 1_000)]);
        while let Some((first, _)) = history.gaps().first().copied() {
            come(&mut history, first);
        }
        assert_eq!((history.len(), history.missing()), (25_010, 0));
        assert_eq!(history.toward(12_000), None);
        // What comes later is joined to it.
        assert_eq!(read(&mut history, 25_015), 1);
        assert_eq!(history.missing(), 0);
    }

    #[test]
    fn a_token_that_is_too_old_begins_its_way_anew() {
        for side in [Part::Before(String::new()), Part::After(String::new())] {
            let mut history = History::default();
            read(&mut history, 25_000);
            let (first, last) = history.gaps()[0];
            let edge = match side {
                Part::Before(_) => last,
                _ => first,
            };
            let part = history.toward(edge).expect("it is not here");
            assert_eq!(std::mem::discriminant(&part), std::mem::discriminant(&side));
            history.begin_anew(&part);
            let mut pages = 0;
            while history.gaps() == [(first, last)] {
                let next = history.next().cloned().or_else(|| history.toward(edge));
                let next = next.expect("the gap is still there");
                history.put(&next, page(&next, 25_000, 1_000));
                pages += 1;
                assert!(pages < 10, "{next:?}");
            }
            assert_eq!(history.event(edge).map(|it| it.id), Some(edge));
        }
    }

    #[test]
    fn large_payloads_are_let_go_but_for_the_first_and_the_newest() {
        let mut history = History::default();
        let mut whole = page(&Part::Oldest, 200, 200);
        for event in &mut whole.items {
            event.input = Some("x".repeat(256 << 10));
        }
        history.put(&Part::Oldest, whole);
        assert!(history.payloads <= PAYLOADS);
        assert!(history.event(1).unwrap().input.is_some());
        assert!(history.event(200).unwrap().input.is_some());
        assert!(history.is_stripped(2) && history.event(2).unwrap().input.is_none());
    }
}
