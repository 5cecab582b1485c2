//! What is told of failures with the same cause.

use serde::{Deserialize, Serialize};

use crate::model::{ExecutionArn, Timestamp, figures};
use crate::operations::ledger::SeenBefore;

/// What makes failures one group: the error and the masked message of the cause.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupKey {
    pub error: String,
    /// The cause's message with numbers, ids, addresses and paths masked as `<n>`, `<id>`, ….
    pub message: String,
}

impl GroupKey {
    /// The group of all failures beyond those that can be told apart.
    pub fn rest() -> Self {
        Self {
            error: "(others)".to_owned(),
            message: "more kinds of failures than are told apart".to_owned(),
        }
    }
}

/// A group of failures with the same error and masked cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    pub error: String,
    pub message: String,
    /// Failures: children, each of which may have had a batch of items.
    pub count: u64,
    /// Items of those children; `None` where what a child received does not tell.
    pub items: Option<u64>,
    pub first_line: Option<u64>,
    pub last_line: Option<u64>,
    /// When the first and the last of them ended.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// `None` where there are too few to say.
    pub trend: Option<Trend>,
    pub spread: Spread,
    /// The state they failed in, where it is known.
    pub state: Option<String>,
    /// In earlier runs of the same machine.
    pub seen_before: Option<SeenBefore>,
    /// The first of them.
    pub example: Option<ExecutionArn>,
    /// What its message is without a mask.
    #[serde(skip)]
    pub said: String,
    /// The number of the member with the lowest line, from 0 in the order of reading.
    #[serde(skip)]
    pub first_member: Option<u64>,
}

impl Group {
    /// `12 items in 3 children`, or what says it all alone; `about` stands before each count.
    pub fn size(&self, about: &str) -> String {
        let count = figures::count(self.count);
        match self.items {
            Some(items) if items == self.count => format!("{about}{count} items"),
            Some(items) => {
                let items = figures::count(items);
                format!("{about}{items} items in {about}{count} children")
            }
            None => format!("{about}{count} children"),
        }
    }

    /// How many items, or children where nothing tells of items.
    pub fn lost(&self) -> u64 {
        self.items.unwrap_or(self.count)
    }

    pub fn key(&self) -> GroupKey {
        GroupKey {
            error: self.error.clone(),
            message: self.message.clone(),
        }
    }
}

/// How a group goes on over the time in which anything failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trend {
    New,
    Rising,
    Steady,
    Falling,
}

impl Trend {
    /// Failures and buckets below which a trend would be a guess.
    const FEWEST: (u64, usize) = (8, 4);

    /// Judges counts a minute or so, oldest first.
    pub fn of(counts: &[u64]) -> Option<Self> {
        let all: u64 = counts.iter().sum();
        if all < Self::FEWEST.0 || counts.len() < Self::FEWEST.1 {
            return None;
        }
        let half = counts.len() / 2;
        let begins = counts.iter().position(|count| 0 < *count)?;
        if counts.len() * 3 / 4 <= begins {
            return Some(Self::New);
        }
        let rate = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        let (before, after) = (rate(&counts[..half]), rate(&counts[half..]));
        Some(match () {
            () if before * 1.5 < after => Self::Rising,
            () if after * 1.5 < before => Self::Falling,
            () => Self::Steady,
        })
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Rising => "rising",
            Self::Steady => "steady",
            Self::Falling => "falling",
        }
    }
}

/// Where the members of a group are, counted in buckets of equal width.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    pub over: Over,
    pub buckets: Vec<u64>,
}

/// What a spread's buckets are parts of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// The source, from its first line to the last one that failed.
    Lines,
    /// The failures in the order in which they were written.
    Records,
}

impl Spread {
    pub fn lines(buckets: Vec<u64>) -> Self {
        let over = Over::Lines;
        Self { over, buckets }
    }

    pub fn records(buckets: Vec<u64>) -> Self {
        let over = Over::Records;
        Self { over, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trends_are_told_by_their_halves() {
        let trend = |counts: &[u64]| Trend::of(counts).map(Trend::word);
        assert_eq!(trend(&[5, 5, 4, 6]), Some("steady"));
        assert_eq!(trend(&[1, 2, 9, 20]), Some("rising"));
        assert_eq!(trend(&[9, 7, 1, 0]), Some("falling"));
        assert_eq!(trend(&[0, 0, 0, 20]), Some("new"));
        assert_eq!(trend(&[1, 2, 1]), None);
        assert_eq!(trend(&[20, 20]), None);
    }
}
