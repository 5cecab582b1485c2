//! Which of a run's open lines are meant: by group, by number, by mark, by a query, or all.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::model::ExecutionArn;
use crate::operations::failures::GroupKey;

/// A choice among the items that did not succeed. An empty one is all of them; groups and marks add
/// to each other, everything else narrows down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chosen {
    pub groups: Vec<GroupKey>,
    /// Marked ones.
    pub children: BTreeSet<ExecutionArn>,
    pub lines: Lines,
    /// Names of errors; `*` stands for any text.
    pub errors: Vec<String>,
    /// Texts that are all to be found in error, message or input.
    pub words: Vec<String>,
    /// At most so many of each group, the first.
    pub of_each_group: Option<u64>,
}

/// Line numbers as ranges, from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lines(Vec<(u64, u64)>);

/// What is known of an item when it is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Item<'i> {
    pub child: &'i str,
    pub line: Option<u64>,
    pub key: &'i GroupKey,
    /// JSON text.
    pub input: &'i str,
}

impl Chosen {
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Narrows down by a query: `error:Payment*`, `line:1..400`, and words that occur anywhere.
    ///
    /// # Errors
    /// Names the word and what is wrong with it.
    pub fn query(mut self, query: &str) -> Result<Self, String> {
        for word in query.split_whitespace() {
            match word.split_once(':') {
                Some(("error", name)) if !name.is_empty() => self.errors.push(name.to_owned()),
                Some(("line", range)) => self.lines.0.extend(Lines::parse(range)?.0),
                Some(("error", _)) => return Err(format!("{word}: names no error")),
                _ => self.words.push(word.to_lowercase()),
            }
        }
        Ok(self)
    }

    pub fn has(&self, item: Item<'_>) -> bool {
        let is_marked = self.groups.is_empty() && self.children.is_empty()
            || self.groups.contains(item.key)
            || !self.children.is_empty() && self.children.contains(&ExecutionArn::new(item.child));
        is_marked
            && (self.lines.is_empty() || item.line.is_some_and(|line| self.lines.has(line)))
            && (self.errors.is_empty()
                || self.errors.iter().any(|name| fits(name, &item.key.error)))
            && self.words.iter().all(|word| {
                [&*item.key.error, &*item.key.message, item.input]
                    .iter()
                    .any(|text| text.to_lowercase().contains(word))
            })
    }
}

impl Lines {
    /// Reads `3,7-9` or `3,7..9`.
    ///
    /// # Errors
    /// Names the part that is no number or range.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |part: &str| match part.trim().replace('_', "").parse() {
            Ok(number @ 1_u64..) => Ok(number),
            _ => Err(format!(
                "{text}: {part:?} is no line number, which count from 1"
            )),
        };
        let range = |part: &str| {
            let ends = part.split_once("..").or_else(|| part.split_once('-'));
            let (first, last) = match ends {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            match first <= last {
                true => Ok((first, last)),
                false => Err(format!("{text}: {part:?} ends before it begins")),
            }
        };
        text.split(',')
            .map(range)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub fn of(range: RangeInclusive<u64>) -> Self {
        Self(vec![(*range.start(), *range.end())])
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, line: u64) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&line))
    }
}

impl std::fmt::Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// Whether `text` is what `pattern` says, `*` standing for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(error: &str) -> GroupKey {
        GroupKey {
            error: error.to_owned(),
            message: "no answer from <ip>".to_owned(),
        }
    }

    fn has(chosen: &Chosen, line: u64, error: &str) -> bool {
        let key = key(error);
        chosen.has(Item {
            child: "arn:c",
            line: Some(line),
            key: &key,
            input: r#"{"line":"Quito"}"#,
        })
    }

    #[test]
    fn groups_and_marks_add_up_and_the_rest_narrows_down() {
        assert!(has(&Chosen::default(), 1, "E"));
        let mut chosen = Chosen {
            groups: vec![key("E")],
            ..Chosen::default()
        };
        assert!(has(&chosen, 1, "E") && !has(&chosen, 1, "F"));
        chosen.children.insert(ExecutionArn::new("arn:c"));
        assert!(has(&chosen, 1, "F"));
        chosen.lines = Lines::parse("3,7-9").expect("lines");
        assert!(has(&chosen, 8, "E") && !has(&chosen, 4, "E"));
    }

    #[test]
    fn a_query_names_errors_lines_and_words() {
        let chosen = Chosen::default()
            .query("error:Pay*Time* line:1..400 quito")
            .expect("a query");
        assert!(has(&chosen, 400, "Payment.Timeout") && !has(&chosen, 401, "Payment.Timeout"));
        assert!(!has(&chosen, 1, "Timeout.Payment"));
        for (query, problem) in [
            ("line:x", "no line number"),
            ("line:9-3", "before it begins"),
            ("line:0", "from 1"),
            ("error:", "names no error"),
        ] {
            let error = Chosen::default().query(query).expect_err(query);
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(fits("*", "") && fits("a*", "abc") && fits("*c", "abc") && fits("a*b*c", "axbc"));
        assert!(!fits("a", "ab") && !fits("a*a", "a") && !fits("", "a"));
    }

    proptest! {
        #[test]
        fn lines_are_read_as_they_are_shown(ranges in proptest::collection::vec((1u64..99, 0u64..9), 1..6)) {
            let lines = Lines(ranges.iter().map(|(first, more)| (*first, first + more)).collect());
            prop_assert_eq!(Lines::parse(&lines.to_string()), Ok(lines));
        }

        #[test]
        fn no_text_makes_choosing_panic(text in ".{0,40}") {
            let _ = Lines::parse(&text);
            let _ = Chosen::default().query(&text);
            let _ = fits(&text, "text");
        }
    }
}
