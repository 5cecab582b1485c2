//! Groups failures as they stream by: what is kept grows with the number of groups, not with the
//! number of failures.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::model::{ExecutionArn, Failure, Status, Timestamp};
use crate::operations::failures::histogram::Histogram;
use crate::operations::failures::record::named;
use crate::operations::failures::{Group, GroupKey, Spread, Trend, cause, mask};

/// Groups told apart. What differs more than this is no grouping; the rest is one group.
pub const GROUPS: usize = 1_000;
/// Ways to write a message that are remembered with their group.
const SPELLINGS: usize = 4 * GROUPS;
/// Time is counted in buckets of 2^16 ms, a bit more than a minute, at the least.
const MINUTE: u32 = 16;
/// Bytes of an unmasked message that are kept as an example.
const EXAMPLE: usize = 1_024;

/// What grouping takes from a failure.
#[derive(Debug, Clone)]
pub struct Seen<'f> {
    pub error: &'f str,
    /// The readable part of its cause.
    pub said: Cow<'f, str>,
    pub child: &'f str,
    pub line: Option<u64>,
    /// How many its child had; `None` where nothing tells.
    pub items: Option<u64>,
    /// Milliseconds since 1970.
    pub stopped: Option<i64>,
}

/// Items of a batch, as a child receives it.
pub fn items_of_batch(input: &str) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Batch {
        items: Vec<IgnoredAny>,
    }
    let batch: Batch = serde_json::from_str(input).ok()?;
    Some(batch.items.len() as u64)
}

impl<'f> Seen<'f> {
    pub fn of(failure: &'f Failure) -> Self {
        Self {
            error: error_of(failure),
            said: cause::said(failure.cause.as_deref().unwrap_or_default()),
            child: failure.child.as_str(),
            line: failure.line,
            items: Some(1),
            stopped: failure.stopped.map(Timestamp::as_millisecond),
        }
    }
}

/// The error of a failure, or what stands for one without a name.
pub fn error_of(failure: &Failure) -> &str {
    let status = match failure.status {
        Status::TimedOut => Status::TimedOut,
        _ => Status::Failed,
    };
    named(failure.error.as_deref(), status)
}

/// The group of a failure with this error and cause.
pub fn key_of(error: &str, cause: &str) -> GroupKey {
    GroupKey {
        error: error.to_owned(),
        message: mask::mask(&cause::said(cause)),
    }
}

#[derive(Debug, Default)]
pub struct Tally {
    /// Groups by error and message, masked once: that is cheap, and nearly always the same.
    spellings: HashMap<Box<str>, usize>,
    keys: HashMap<GroupKey, usize>,
    groups: Vec<Counted>,
    /// The spelling at hand.
    spelling: String,
    read: u64,
    /// The first and the last end, milliseconds since 1970.
    ends: Option<(i64, i64)>,
    last_line: u64,
}

#[derive(Debug)]
struct Counted {
    key: GroupKey,
    message: String,
    child: ExecutionArn,
    count: u64,
    items: Option<u64>,
    /// The lowest line and the number of the member that has it.
    first_line: Option<(u64, u64)>,
    last_line: Option<u64>,
    ends: Option<(i64, i64)>,
    lines: Histogram,
    times: Histogram,
    order: Histogram,
}

impl Tally {
    /// Takes in a failure; returns the number of its group, which stays as it is.
    pub fn add(&mut self, seen: &Seen<'_>, epoch: Timestamp) -> usize {
        self.spelling.clear();
        self.spelling.push_str(seen.error);
        self.spelling.push('\0');
        mask::once(&seen.said, &mut self.spelling);
        let number = match self.spellings.get(self.spelling.as_str()) {
            Some(number) => *number,
            None => self.place(seen),
        };
        self.count(number, seen, epoch);
        number
    }

    /// The group of a spelling that was not met before.
    fn place(&mut self, seen: &Seen<'_>) -> usize {
        let said = &*seen.said;
        let mut key = GroupKey {
            error: seen.error.to_owned(),
            message: mask::mask(said),
        };
        if !self.keys.contains_key(&key) && GROUPS <= self.groups.len() + 1 {
            key = GroupKey::rest();
        }
        let number = match self.keys.get(&key) {
            Some(number) => *number,
            None => {
                self.keys.insert(key.clone(), self.groups.len());
                let end = said.char_indices().nth(EXAMPLE / 4);
                self.groups.push(Counted {
                    key,
                    message: said[..end.map_or(said.len(), |(at, _)| at)].to_owned(),
                    child: ExecutionArn::new(seen.child),
                    count: 0,
                    items: Some(0),
                    first_line: None,
                    last_line: None,
                    ends: None,
                    lines: Histogram::new(0),
                    times: Histogram::new(MINUTE),
                    order: Histogram::new(0),
                });
                self.groups.len() - 1
            }
        };
        if self.spellings.len() < SPELLINGS {
            self.spellings.insert(self.spelling.as_str().into(), number);
        }
        number
    }

    fn count(&mut self, number: usize, seen: &Seen<'_>, epoch: Timestamp) {
        let group = &mut self.groups[number];
        if let Some(line) = seen.line {
            if group.first_line.is_none_or(|(first, _)| line < first) {
                group.first_line = Some((line, group.count));
            }
            group.last_line = group.last_line.max(Some(line));
            group.lines.add(line);
            self.last_line = self.last_line.max(line);
        }
        if let Some(at) = seen.stopped {
            let widened = |ends: Option<(i64, i64)>| {
                ends.map_or((at, at), |(first, last)| (first.min(at), last.max(at)))
            };
            group.ends = Some(widened(group.ends));
            self.ends = Some(widened(self.ends));
            let since = at.saturating_sub(epoch.as_millisecond());
            group.times.add(since.max(0) as u64);
        }
        group.order.add(self.read);
        group.count += 1;
        group.items = group.items.zip(seen.items).map(|(all, more)| all + more);
        self.read += 1;
    }

    pub fn read(&self) -> u64 {
        self.read
    }

    /// The groups so far, largest first, each with its number.
    pub fn groups(&self, epoch: Timestamp) -> Vec<(usize, Group)> {
        let widest = |of: fn(&Counted) -> &Histogram| {
            let shifts = self.groups.iter().map(|it| of(it).shift());
            shifts.max().unwrap_or_default()
        };
        let (lines, times, order) = (
            widest(|it| &it.lines),
            widest(|it| &it.times),
            widest(|it| &it.order),
        );
        let last_end = self.ends.map_or(0, |(_, last)| {
            last.saturating_sub(epoch.as_millisecond()).max(0) as u64
        });
        let mut groups: Vec<(usize, Group)> = self
            .groups
            .iter()
            .enumerate()
            .map(|(number, it)| {
                let has_lines = it.first_line.is_some();
                let spread = match has_lines {
                    true => Spread::lines(it.lines.at(lines, self.last_line)),
                    false => Spread::records(it.order.at(order, self.read.saturating_sub(1))),
                };
                let moment = |at: i64| Timestamp::from_millisecond(at).ok();
                let group = Group {
                    error: it.key.error.clone(),
                    message: it.key.message.clone(),
                    count: it.count,
                    items: it.items,
                    first_line: it.first_line.map(|(line, _)| line),
                    last_line: it.last_line,
                    first: it.ends.and_then(|(first, _)| moment(first)),
                    last: it.ends.and_then(|(_, last)| moment(last)),
                    trend: Trend::of(&it.times.at(times, last_end)),
                    spread,
                    state: None,
                    seen_before: None,
                    example: Some(it.child.clone()),
                    said: it.message.clone(),
                    first_member: it.first_line.map(|(_, member)| member),
                };
                (number, group)
            })
            .collect();
        // Stable: of equal ones, the one met first stays first.
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
        groups
    }
}

/// Groups of failures that are at hand, largest first.
pub fn group(failures: &[Failure]) -> Vec<Group> {
    grouped(failures).0
}

/// The same with the index of each failure's group.
pub fn grouped(failures: &[Failure]) -> (Vec<Group>, Vec<u32>) {
    let epoch = failures.iter().filter_map(|it| it.stopped).min();
    let epoch = epoch.unwrap_or(Timestamp::UNIX_EPOCH);
    let mut tally = Tally::default();
    let numbers: Vec<usize> = failures
        .iter()
        .map(|failure| tally.add(&Seen::of(failure), epoch))
        .collect();
    let groups = tally.groups(epoch);
    let mut place = vec![0; groups.len()];
    for (at, (number, _)) in groups.iter().enumerate() {
        place[*number] = at as u32;
    }
    let of = numbers.into_iter().map(|number| place[number]).collect();
    (groups.into_iter().map(|(_, group)| group).collect(), of)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failed(line: Option<u64>, error: &str, cause: &str) -> Failure {
        Failure {
            child: ExecutionArn::new("arn:aws:states:us-east-1:0:express:SM/L:a:b"),
            status: Status::Failed,
            line,
            error: Some(error.to_owned()),
            cause: Some(cause.to_owned()),
            input: None,
            stopped: None,
            started: None,
            redrives: 0,
        }
    }

    #[test]
    fn the_same_trouble_with_other_numbers_is_one_group() {
        let groups = group(&[
            failed(Some(9), "Timeout", "no answer from 10.2.7.14 in 30000 ms"),
            failed(
                None,
                "Rejected",
                r#"{"errorMessage":"no such place 'Oz'","errorType":"x"}"#,
            ),
            failed(Some(3), "Timeout", "no answer from 10.2.9.80 in 29000 ms"),
        ]);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].message, "no answer from <ip> in <n> ms");
        assert_eq!(groups[0].said, "no answer from 10.2.7.14 in 30000 ms");
        assert_eq!((groups[0].count, groups[0].first_member), (2, Some(1)));
        assert_eq!(
            (groups[0].first_line, groups[0].last_line),
            (Some(3), Some(9))
        );
        assert_eq!(groups[0].spread.buckets, [0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(groups[1].message, "no such place <v>");
        assert_eq!(groups[1].first_line, None);
    }

    #[test]
    fn a_batch_tells_how_many_items_it_has() {
        let batch = r#"{"BatchInput":{"x":1},"Items":[{"n":1},[2],"three"]}"#;
        assert_eq!(items_of_batch(batch), Some(3));
        assert_eq!(items_of_batch(r#"{"n":1}"#), None);
        assert_eq!(items_of_batch("cut off"), None);
    }

    #[test]
    fn more_groups_than_anybody_reads_are_one_more() {
        let word = |number: usize| -> String {
            let letter =
                |at: usize| char::from(b'a' + (number / 26_usize.pow(at as u32) % 26) as u8);
            (0..4).map(letter).collect()
        };
        let all: Vec<Failure> = (0..GROUPS + 50)
            .map(|number| failed(None, "E", &word(number)))
            .collect();
        let groups = group(&all);
        assert_eq!(groups.len(), GROUPS);
        assert_eq!((groups[0].count, groups[0].key()), (51, GroupKey::rest()));
    }

    fn key(failure: &Failure) -> GroupKey {
        key_of(error_of(failure), failure.cause.as_deref().unwrap())
    }

    proptest! {
        /// Grouping as one would write it first.
        #[test]
        fn groups_are_those_of_the_naive_grouping(
            failures in proptest::collection::vec(
                (0u64..500, "E|F", "(no|not) '[a-c]' [0-9]{1,2}( ::| x)?"), 0..60),
        ) {
            let failures: Vec<Failure> = failures
                .iter()
                .map(|(line, error, cause)| failed((0 < *line).then_some(*line), error, cause))
                .collect();
            let (groups, of) = grouped(&failures);
            let counted: u64 = groups.iter().map(|it| it.count).sum();
            prop_assert_eq!(counted, failures.len() as u64);
            for (failure, at) in failures.iter().zip(of) {
                let key = key(failure);
                prop_assert_eq!(groups[at as usize].key(), key);
            }
            for group in &groups {
                let of = |it: &&Failure| key(it) == group.key();
                let own: Vec<&Failure> = failures.iter().filter(of).collect();
                let lines = || own.iter().filter_map(|it| it.line);
                prop_assert_eq!(group.count, own.len() as u64);
                prop_assert_eq!(group.first_line, lines().min());
                prop_assert_eq!(group.last_line, lines().max());
                if let Some(member) = group.first_member {
                    prop_assert_eq!(own[member as usize].line, group.first_line);
                }
            }
        }
    }
}
