//! What became of each line, in two bits a line.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::lines::sorter::Outcome;

/// A set of numbers of lines, a bit each.
#[derive(Debug, Clone, Default)]
pub struct Bits {
    words: Vec<u64>,
    count: u64,
}

impl Bits {
    pub fn contains(&self, n: u64) -> bool {
        let word = self.words.get((n / 64) as usize);
        word.is_some_and(|word| word >> (n % 64) & 1 == 1)
    }

    /// Whether it was not in the set before.
    pub fn insert(&mut self, n: u64) -> bool {
        let index = (n / 64) as usize;
        if self.words.len() <= index {
            self.words.resize(index + 1, 0);
        }
        let is_new = self.words[index] >> (n % 64) & 1 == 0;
        self.words[index] |= 1 << (n % 64);
        self.count += u64::from(is_new);
        is_new
    }

    /// How many numbers are in the set.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The numbers in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let of_word = |(index, &word): (usize, &u64)| {
            let first = index as u64 * 64;
            (0..64)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| first + bit)
        };
        self.words.iter().enumerate().flat_map(of_word)
    }

    fn last(&self) -> u64 {
        self.iter().last().unwrap_or(0)
    }
}

/// Ascending numbers as stretches without gaps, at most `most` of them.
pub fn stretches(numbers: impl Iterator<Item = u64>, most: usize) -> Vec<RangeInclusive<u64>> {
    let mut found: Vec<RangeInclusive<u64>> = Vec::new();
    for n in numbers {
        let is_full = found.len() == most;
        match found.last_mut() {
            Some(last) if *last.end() + 1 == n => *last = *last.start()..=n,
            _ if is_full => break,
            _ => found.push(n..=n),
        }
    }
    found
}

/// `3, 7-9`.
pub fn shown(stretches: &[RangeInclusive<u64>]) -> String {
    let one = |stretch: &RangeInclusive<u64>| match stretch.start() == stretch.end() {
        true => stretch.start().to_string(),
        false => format!("{}-{}", stretch.start(), stretch.end()),
    };
    stretches.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// How many lines came to what end; where none is missing, the last three add up to the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub lines: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub never_started: u64,
}

impl Counts {
    pub fn missing(&self) -> u64 {
        self.lines - self.succeeded - self.failed - self.never_started
    }

    /// Counts one more line.
    pub fn add(&mut self, outcome: Outcome) {
        self.lines += 1;
        match outcome {
            Outcome::Succeeded => self.succeeded += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::NeverStarted => self.never_started += 1,
        }
    }
}

/// The best outcome of each line that was seen so far.
#[derive(Debug, Clone)]
pub struct Tally {
    lines: u64,
    /// Four lines a byte; 0 stands for a line that nothing is known of.
    quarters: Vec<u8>,
    /// The lines that count; `None` is all of them.
    chosen: Option<Bits>,
}

impl Tally {
    /// Of the lines 1 to `lines`.
    pub fn new(lines: u64) -> Self {
        Self {
            lines,
            quarters: vec![0; lines.div_ceil(4) as usize],
            chosen: None,
        }
    }

    /// Of these lines alone.
    pub fn of(chosen: Bits) -> Self {
        let lines = chosen.last();
        Self {
            chosen: Some(chosen),
            ..Self::new(lines)
        }
    }

    /// The greatest number of a line.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Keeps the best outcome of line `n`; returns the one known before.
    ///
    /// # Errors
    /// There is no such line.
    pub fn note(&mut self, n: u64, outcome: Outcome) -> Result<Option<Outcome>, &'static str> {
        if n == 0 || n > self.lines {
            return Err("is of a line that the source does not have");
        }
        if !self.counts_line(n) {
            return Err("is of a line that was not chosen");
        }
        let before = self.outcome(n);
        let (index, shift) = Self::place(n);
        let best = before.max(Some(outcome)).map_or(0, |outcome| outcome as u8);
        self.quarters[index] &= !(0b11 << shift);
        self.quarters[index] |= best << shift;
        Ok(before)
    }

    /// What is known of line `n`.
    pub fn outcome(&self, n: u64) -> Option<Outcome> {
        let (index, shift) = Self::place(n);
        match self
            .quarters
            .get(index)
            .map(|quarters| quarters >> shift & 0b11)
        {
            Some(1) => Some(Outcome::NeverStarted),
            Some(2) => Some(Outcome::Failed),
            Some(3) => Some(Outcome::Succeeded),
            _ => None,
        }
    }

    /// Takes over what `other` knows.
    ///
    /// # Errors
    /// It knows of a line that there is not.
    pub fn absorb(&mut self, other: &Self) -> Result<(), &'static str> {
        for n in 1..=other.lines {
            if let Some(outcome) = other.outcome(n) {
                self.note(n, outcome)?;
            }
        }
        Ok(())
    }

    pub fn counts(&self) -> Counts {
        let mut by_outcome = [0_u64; 4];
        for n in 1..=self.lines {
            let outcome = self.outcome(n).map_or(0, |outcome| outcome as usize);
            by_outcome[outcome] += 1;
        }
        let [_, never_started, failed, succeeded] = by_outcome;
        Counts {
            lines: self.chosen.as_ref().map_or(self.lines, Bits::count),
            succeeded,
            failed,
            never_started,
        }
    }

    /// Numbers of the lines with this outcome, `None` being that nothing is known of them; at most
    /// `most` stretches of them.
    pub fn with(&self, outcome: Option<Outcome>, most: usize) -> Vec<RangeInclusive<u64>> {
        let fits = |n: &u64| self.outcome(*n) == outcome && self.counts_line(*n);
        stretches((1..=self.lines).filter(fits), most)
    }

    fn counts_line(&self, n: u64) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| chosen.contains(n))
    }

    /// Byte and bit of line `n`, which counts from 1.
    fn place(n: u64) -> (usize, u64) {
        let index = n.saturating_sub(1);
        ((index / 4) as usize, index % 4 * 2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_best_outcome_of_a_line_counts() {
        let mut tally = Tally::new(5);
        for (n, outcome, before) in [
            (2, Outcome::Failed, None),
            (1, Outcome::Succeeded, None),
            (1, Outcome::Failed, Some(Outcome::Succeeded)),
            (3, Outcome::NeverStarted, None),
            (2, Outcome::NeverStarted, Some(Outcome::Failed)),
        ] {
            assert_eq!(tally.note(n, outcome), Ok(before));
        }
        let counts = Counts {
            lines: 5,
            succeeded: 1,
            failed: 1,
            never_started: 1,
        };
        assert_eq!(tally.counts(), counts);
        assert_eq!((counts.missing(), tally.with(None, 9)), (2, vec![4..=5]));
        assert_eq!(tally.with(Some(Outcome::Failed), 9), [2..=2]);
        assert_eq!(shown(&[3..=3, 7..=9]), "3, 7-9");
        assert_eq!(stretches([1, 2, 5, 9, 10].into_iter(), 2), [1..=2, 5..=5]);
    }

    #[test]
    fn a_line_that_there_is_not_is_refused() {
        let mut tally = Tally::new(5);
        assert!(tally.note(0, Outcome::Failed).is_err());
        assert!(tally.note(6, Outcome::Failed).is_err());
        let mut chosen = Bits::default();
        assert!(chosen.insert(7) && chosen.insert(3) && !chosen.insert(7));
        let mut tally = Tally::of(chosen);
        assert!(tally.note(5, Outcome::Failed).is_err());
        assert!(tally.note(7, Outcome::Failed).is_ok());
        assert_eq!(
            (tally.counts().lines, tally.with(None, 9)),
            (2, vec![3..=3])
        );
    }

    proptest! {
        #[test]
        fn bits_are_a_set(numbers in prop::collection::btree_set(0u64..500, 0..40)) {
            let mut bits = Bits::default();
            for &n in numbers.iter().rev() {
                prop_assert!(bits.insert(n));
            }
            prop_assert_eq!(bits.count(), numbers.len() as u64);
            prop_assert_eq!(bits.last(), numbers.last().copied().unwrap_or(0));
            prop_assert!((0..500).all(|n| bits.contains(n) == numbers.contains(&n)));
            prop_assert!(bits.iter().eq(numbers));
        }
    }
}
