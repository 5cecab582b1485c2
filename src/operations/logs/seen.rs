//! What was passed on already: windows overlap, since lines come late, and a live tail begins before
//! the past is read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::SignedDuration;

use crate::model::Timestamp;
use crate::operations::logs::Line;

/// How late a line may come and still be found (CloudWatch Logs is seconds late, minutes at times).
const LATE: SignedDuration = SignedDuration::from_mins(5);
/// Lines remembered. Where more come in the five minutes, the overlap is shorter.
const REMEMBERED: usize = 20_000;

/// The newest lines that were passed on, by their time.
#[derive(Debug, Default)]
pub(super) struct Seen {
    known: HashSet<u64>,
    by_time: BTreeSet<(Timestamp, u64)>,
    /// Nothing before this is remembered any more.
    forgotten: Option<Timestamp>,
}

impl Seen {
    /// Those of an answer that are new. The service's ids are no help, since a live tail has none;
    /// a text that stands twice in one millisecond of a stream is told apart by counting.
    pub(super) fn new_ones(&mut self, lines: Vec<Line>) -> Vec<Line> {
        let mut counts: HashMap<u64, u32> = HashMap::new();
        let mut new = Vec::with_capacity(lines.len());
        for line in lines {
            let count = counts.entry(key(&line, 0)).or_default();
            let key = key(&line, *count);
            *count += 1;
            if self.known.insert(key) {
                self.by_time.insert((line.at, key));
                new.push(line);
            }
        }
        while self.by_time.len() > REMEMBERED {
            if let Some((at, key)) = self.by_time.pop_first() {
                self.known.remove(&key);
                self.forgotten = Some(at);
            }
        }
        new
    }

    /// Where the next window begins: as far back as late lines are expected and early ones are
    /// remembered.
    pub(super) fn from(&self, begin: Timestamp) -> Timestamp {
        let Some((newest, _)) = self.by_time.last() else {
            return begin;
        };
        let remembered = self.forgotten.map(|at| at + SignedDuration::from_millis(1));
        (*newest - LATE).max(begin).max(remembered.unwrap_or(begin))
    }
}

/// Of what every way of reading tells.
fn key(line: &Line, count: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&line.at, &line.group, &line.stream, &line.message, count).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(second: i64, message: &str) -> Line {
        Line {
            at: Timestamp::from_second(second).unwrap(),
            group: "g".into(),
            stream: "s".into(),
            level: None,
            state: None,
            request: None,
            execution: None,
            message: message.to_owned(),
            cut: 0,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_line_that_comes_late_is_passed_on_once() {
        let mut seen = Seen::default();
        let first = vec![line(1_000, "a"), line(1_000, "a"), line(1_010, "b")];
        assert_eq!(seen.new_ones(first.clone()).len(), 3);
        let mut again = first;
        again.insert(0, line(900, "late"));
        let new = seen.new_ones(again.clone());
        assert_eq!(new, [line(900, "late")]);
        assert!(seen.new_ones(again).is_empty());
    }

    #[test]
    fn the_window_goes_back_five_minutes_and_no_further_than_is_remembered() {
        let mut seen = Seen::default();
        assert_eq!(seen.from(at(0)), at(0));
        seen.new_ones(vec![line(10_000, "a")]);
        assert_eq!(seen.from(at(0)), at(10_000 - 300));
        assert_eq!(seen.from(at(9_900)), at(9_900));
        let many = (0..2 * REMEMBERED).map(|n| line(10_000 + n as i64 / 1_000, &n.to_string()));
        seen.new_ones(many.collect());
        assert_eq!(seen.known.len(), REMEMBERED);
        assert!(seen.from(at(0)) > at(10_000 + REMEMBERED as i64 / 1_000 - 1));
    }

    proptest! {
        /// Whatever windows a reader looks through, each line comes out once.
        #[test]
        fn overlapping_windows_give_each_line_once(
            lines in prop::collection::vec((0_i64..50, 0_u8..3), 0..60),
            cuts in prop::collection::vec((0_i64..50, 0_i64..50), 0..10),
        ) {
            let mut all: Vec<Line> =
                lines.iter().map(|(at, text)| line(*at, &text.to_string())).collect();
            all.sort_by_key(|line| line.at);
            let mut seen = Seen::default();
            let mut given = Vec::new();
            for (from, to) in cuts.into_iter().chain([(0, 50)]) {
                let window = all.iter().filter(|line| (at(from)..=at(to)).contains(&line.at));
                given.extend(seen.new_ones(window.cloned().collect()));
            }
            given.sort_by_key(|line| (line.at, line.message.clone()));
            all.sort_by_key(|line| (line.at, line.message.clone()));
            prop_assert_eq!(given, all);
        }
    }
}
