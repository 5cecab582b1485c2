//! Fuzzy search: letters in their order, wherever they stand, and what a misspelt word may mean.

use std::cell::RefCell;

use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern as Atoms};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// Characters of a text that are looked at: causes can have 32 KiB.
const LOOKED_AT: usize = 1_000;
/// How like a word must be to pass for a misspelling of it, 0 to 1.
const SIMILAR: f64 = 0.6;

/// Words that must all be found.
#[derive(Debug, Clone)]
pub struct Pattern {
    atoms: Atoms,
}

thread_local! {
    /// Its tables have 100 KB and more: made once.
    static MATCHER: RefCell<Matcher> = RefCell::new(Matcher::new(Config::DEFAULT));
}

impl Pattern {
    /// Letters in their order.
    pub fn new(text: &str) -> Self {
        Self::of(text, AtomKind::Fuzzy)
    }

    /// Words as they are.
    pub fn words(text: &str) -> Self {
        Self::of(text, AtomKind::Substring)
    }

    fn of(text: &str, kind: AtomKind) -> Self {
        let (case, normal) = (CaseMatching::Ignore, Normalization::Smart);
        Self {
            atoms: Atoms::new(text, case, normal, kind),
        }
    }

    /// How well `text` fits; `None` is not at all.
    pub fn score(&self, text: &str) -> Option<u32> {
        let end = text.char_indices().nth(LOOKED_AT);
        let text = end.map_or(text, |(end, _)| &text[..end]);
        let mut characters = Vec::new();
        let text = Utf32Str::new(text, &mut characters);
        MATCHER.with_borrow_mut(|matcher| self.atoms.score(text, matcher))
    }
}

/// How likely `typed` is a misspelling of `meant`, both of a few words; `None` is not at all.
pub fn misspelt(typed: &str, meant: &str) -> Option<f64> {
    let (typed, meant) = (typed.to_lowercase(), meant.to_lowercase());
    let likeness = strsim::normalized_damerau_levenshtein(&typed, &meant);
    (likeness >= SIMILAR).then_some(likeness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_their_order_fit_and_words_in_any() {
        let fits = |pattern: &str, text: &str| Pattern::new(pattern).score(text).is_some();
        assert!(fits("inv77", "invoices-2026-11-23T0900Z-77de"));
        assert!(fits("down OPEN", "open downloads"));
        assert!(!fits("77inv", "invoices-77de"));
        assert!(fits("", "anything"));
    }

    #[test]
    fn swapped_letters_are_a_misspelling() {
        assert!(misspelt("fialures", "failures") > misspelt("fialures", "first-failure"));
        assert_eq!(misspelt("xyz", "failures"), None);
    }
}
