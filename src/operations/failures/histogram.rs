//! How counts are spread over a range that nobody knows beforehand.

/// Buckets of a histogram.
const BUCKETS: usize = 64;

/// Counts in buckets of equal width, beginning at 0. The width doubles whenever a value lies beyond
/// the last one, so that histograms of any two ranges have buckets that fit into each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// A bucket is as wide as this power of two.
    shift: u32,
    counts: [u32; BUCKETS],
}

impl Histogram {
    /// With buckets of 2^`shift` at least.
    pub fn new(shift: u32) -> Self {
        Self {
            shift,
            counts: [0; BUCKETS],
        }
    }

    pub fn shift(&self) -> u32 {
        self.shift
    }

    pub fn add(&mut self, value: u64) {
        while BUCKETS as u64 <= value >> self.shift {
            self.double();
        }
        let count = &mut self.counts[(value >> self.shift) as usize];
        *count = count.saturating_add(1);
    }

    fn double(&mut self) {
        for bucket in 0..BUCKETS / 2 {
            let pair = self.counts[2 * bucket].saturating_add(self.counts[2 * bucket + 1]);
            self.counts[bucket] = pair;
        }
        self.counts[BUCKETS / 2..].fill(0);
        self.shift += 1;
    }

    /// The counts in buckets as wide as this power of two, up to and with the one that `last` is
    /// in. Buckets are never made finer than they are.
    pub fn at(&self, shift: u32, last: u64) -> Vec<u64> {
        let mut wider = self.clone();
        while wider.shift < shift {
            wider.double();
        }
        let used = (last >> wider.shift).min(BUCKETS as u64 - 1) as usize;
        wider.counts[..=used]
            .iter()
            .map(|it| u64::from(*it))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost_and_everything_is_where_it_belongs(
            values in proptest::collection::vec(0u64..1 << 40, 1..200), wider in 0u32..4,
        ) {
            let mut histogram = Histogram::new(0);
            for value in &values {
                histogram.add(*value);
            }
            let last = *values.iter().max().unwrap();
            let shift = histogram.shift() + wider;
            let counts = histogram.at(shift, last);
            prop_assert!(counts.len() <= BUCKETS);
            for (bucket, count) in counts.iter().enumerate() {
                let own = values.iter().filter(|it| (**it >> shift) as usize == bucket);
                prop_assert_eq!(own.count() as u64, *count);
            }
        }
    }
}
