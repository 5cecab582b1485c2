//! Marked rows of a list: kept by key, so that neither filter nor order nor news lose them.

use std::collections::BTreeSet;

#[derive(Debug, Clone)]
pub struct Marks<K> {
    marked: BTreeSet<K>,
    /// Where a range began that has no end yet.
    from: Option<K>,
}

impl<K> Default for Marks<K> {
    fn default() -> Self {
        Self {
            marked: BTreeSet::new(),
            from: None,
        }
    }
}

/// What can be done with marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marking {
    /// The row under the cursor, or no longer.
    Toggle,
    /// Begins a range here, or ends it and marks all between.
    Range,
    /// Every row that is shown.
    All,
    Clear,
}

impl<K: Ord + Clone> Marks<K> {
    /// `rows` as they are shown, the cursor on the one with the number `at`.
    pub fn apply(&mut self, marking: Marking, rows: &[K], at: usize) {
        match marking {
            Marking::Clear => *self = Self::default(),
            Marking::All => self.marked.extend(rows.iter().cloned()),
            Marking::Toggle => {
                if let Some(key) = rows.get(at)
                    && !self.marked.remove(key)
                {
                    self.marked.insert(key.clone());
                }
            }
            Marking::Range => match self.from.take() {
                None => self.from = rows.get(at).cloned(),
                Some(from) => {
                    // A beginning that is not shown any more marks nothing.
                    let began = rows.iter().position(|key| *key == from);
                    if let Some(began) = began {
                        let between = began.min(at)..=began.max(at);
                        let last = rows.len().saturating_sub(1);
                        let between = *between.start()..=(*between.end()).min(last);
                        self.marked.extend(rows[between].iter().cloned());
                    }
                }
            },
        }
    }

    /// Marks all of them, or where all are marked none.
    pub fn toggle_all(&mut self, keys: &[K]) {
        if keys.iter().all(|key| self.has(key)) {
            for key in keys {
                self.marked.remove(key);
            }
        } else {
            self.marked.extend(keys.iter().cloned());
        }
    }

    pub fn has(&self, key: &K) -> bool {
        self.marked.contains(key)
    }

    /// Nothing is marked, and no range is begun.
    pub fn is_idle(&self) -> bool {
        self.is_empty() && self.from.is_none()
    }

    pub fn is_empty(&self) -> bool {
        self.marked.is_empty()
    }

    pub fn len(&self) -> usize {
        self.marked.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.marked.iter()
    }

    /// `3 marked, 1 hidden by the filter`, for titles; nothing where nothing is marked.
    pub fn words<'a>(&self, shown: impl Iterator<Item = &'a K>) -> Option<String>
    where
        K: 'a,
    {
        let range = if self.from.is_some() {
            "range begun"
        } else {
            ""
        };
        if self.is_empty() {
            return self.from.is_some().then(|| range.to_owned());
        }
        let seen = shown.filter(|key| self.has(key)).count();
        let hidden = self.len() - seen.min(self.len());
        let mut words = format!("{} marked", self.len());
        if hidden > 0 {
            words += &format!(", {hidden} hidden by the filter");
        }
        if self.from.is_some() {
            words += ", range begun";
        }
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(steps: &[(Marking, &[u8], usize)]) -> Vec<u8> {
        let mut marks = Marks::default();
        for (marking, rows, at) in steps {
            marks.apply(*marking, rows, *at);
        }
        marks.iter().copied().collect()
    }

    #[test]
    fn ranges_go_both_ways_and_survive_a_new_order() {
        use Marking::{All, Clear, Range, Toggle};
        assert_eq!(
            marked(&[(Range, &[5, 6, 7, 8], 2), (Range, &[5, 6, 7, 8], 0)]),
            [5, 6, 7]
        );
        assert_eq!(
            marked(&[(Range, &[5, 6, 7], 0), (Range, &[9, 5, 6, 7], 2)]),
            [5, 6]
        );
        assert!(marked(&[(Range, &[5], 0), (Range, &[6, 7], 1)]).is_empty());
        assert_eq!(marked(&[(All, &[1, 2], 0), (Toggle, &[1, 2], 1)]), [1]);
        assert!(marked(&[(All, &[1, 2], 0), (Clear, &[], 0)]).is_empty());
        assert!(marked(&[(Toggle, &[], 0), (Range, &[], 3), (Range, &[], 3)]).is_empty());
    }

    #[test]
    fn hidden_marks_are_counted() {
        let mut marks = Marks::default();
        marks.apply(Marking::All, &[1, 2, 3], 0);
        let words = marks.words([3, 4].iter());
        assert_eq!(words.as_deref(), Some("3 marked, 2 hidden by the filter"));
    }
}
