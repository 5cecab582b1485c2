//! Items whose lines nothing tells: counted, and known again in a re-run by what they are.

use std::collections::HashMap;

use crate::lines::Counts;
use crate::lines::record::Digest;
use crate::lines::sorter::Outcome;

/// What became of them. In memory is what has not succeeded.
#[derive(Debug, Default)]
pub struct Items {
    counts: Counts,
    open: HashMap<Digest, Open>,
    strangers: u64,
}

/// Equal items that have not succeeded.
#[derive(Debug, Default)]
struct Open {
    failed: u64,
    never_started: u64,
}

impl Items {
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Items of re-runs that are none of those that were open.
    pub fn strangers(&self) -> u64 {
        self.strangers
    }

    /// Takes in an item of the first run.
    pub fn add(&mut self, outcome: Outcome, content: Digest) {
        self.counts.add(outcome);
        match outcome {
            Outcome::Succeeded => {}
            Outcome::Failed => self.open.entry(content).or_default().failed += 1,
            Outcome::NeverStarted => self.open.entry(content).or_default().never_started += 1,
        }
    }

    /// Takes in an item of a re-run.
    pub fn add_again(&mut self, outcome: Outcome, content: Digest) {
        let Some(open) = self.open.get_mut(&content) else {
            self.strangers += 1;
            return;
        };
        match outcome {
            Outcome::Succeeded if 0 < open.failed => {
                open.failed -= 1;
                self.counts.failed -= 1;
                self.counts.succeeded += 1;
            }
            Outcome::Succeeded => {
                open.never_started -= 1;
                self.counts.never_started -= 1;
                self.counts.succeeded += 1;
            }
            Outcome::Failed if open.failed == 0 => {
                (open.never_started, open.failed) = (open.never_started - 1, 1);
                self.counts.never_started -= 1;
                self.counts.failed += 1;
            }
            Outcome::Failed | Outcome::NeverStarted => {}
        }
        if open.failed + open.never_started == 0 {
            self.open.remove(&content);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OUTCOMES: [Outcome; 3] = [Outcome::Succeeded, Outcome::Failed, Outcome::NeverStarted];

    #[test]
    fn a_success_closes_an_equal_item_once() {
        let mut items = Items::default();
        items.add(Outcome::Failed, [1; 16]);
        items.add(Outcome::NeverStarted, [1; 16]);
        items.add(Outcome::Succeeded, [2; 16]);
        items.add_again(Outcome::Succeeded, [1; 16]);
        items.add_again(Outcome::Succeeded, [2; 16]);
        let counts = items.counts();
        assert_eq!((counts.succeeded, counts.never_started), (2, 1));
        assert_eq!((counts.failed, items.strangers()), (0, 1));
        items.add_again(Outcome::Failed, [1; 16]);
        assert_eq!(
            (items.counts().never_started, items.counts().failed),
            (0, 1)
        );
        items.add_again(Outcome::Succeeded, [1; 16]);
        assert_eq!(items.counts().succeeded, items.counts().lines);
    }

    proptest! {
        #[test]
        fn the_counts_always_add_up(
            first in prop::collection::vec((0..3usize, 0..4u8), 0..12),
            again in prop::collection::vec((0..3usize, 0..4u8), 0..24),
        ) {
            let mut items = Items::default();
            for (outcome, content) in first {
                items.add(OUTCOMES[outcome], [content; 16]);
            }
            let all = items.counts().lines;
            for (outcome, content) in again {
                let before = items.counts().succeeded;
                items.add_again(OUTCOMES[outcome], [content; 16]);
                prop_assert!(before <= items.counts().succeeded);
            }
            let counts = items.counts();
            prop_assert_eq!(counts.succeeded + counts.failed + counts.never_started, all);
        }
    }
}
