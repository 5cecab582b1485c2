//! Choice rules of the JSONPath query language (ASL specification, "Choice State").

use serde_json::Value;

use crate::engine::path::Path;
use crate::engine::query::{EvaluationError, Given, Source, Wanted};

#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    And(Vec<Rule>),
    Or(Vec<Rule>),
    Not(Box<Rule>),
    Test {
        variable: Path,
        test: Test,
    },
    /// JSONata's `Condition`.
    Condition(Given<bool>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    IsPresent(bool),
    IsNull(bool),
    IsString(bool),
    IsNumeric(bool),
    IsBoolean(bool),
    IsTimestamp(bool),
    Compare {
        kind: Comparable,
        order: Order,
        with: Operand,
    },
    /// `*` matches any characters; `\*` the character itself.
    Matches(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparable {
    Text,
    Number,
    Boolean,
    Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Value(Value),
    Path(Path),
}

impl Rule {
    /// Whether the rule holds.
    ///
    /// # Errors
    /// `States.Runtime` when a variable that is compared does not exist.
    pub fn holds(&self, source: &dyn Source) -> Result<bool, EvaluationError> {
        match self {
            Self::And(rules) => all(rules, source, true),
            Self::Or(rules) => all(rules, source, false).map(|none| !none),
            Self::Not(rule) => rule.holds(source).map(|holds| !holds),
            Self::Test {
                variable,
                test: Test::IsPresent(wanted),
            } => Ok(variable.find(source).is_some() == *wanted),
            Self::Condition(condition) => {
                condition.get("Condition", Wanted::BOOLEAN, source, Value::as_bool)
            }
            Self::Test { variable, test } => test.holds(&variable.get(source)?, source),
        }
    }
}

/// Whether every rule's answer is `wanted`; stops at the first that is not.
fn all(rules: &[Rule], source: &dyn Source, wanted: bool) -> Result<bool, EvaluationError> {
    for rule in rules {
        if rule.holds(source)? != wanted {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Test {
    /// The path of a `…Path` comparison.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Compare {
                with: Operand::Path(path),
                ..
            } => Some(path),
            _ => None,
        }
    }

    fn holds(&self, value: &Value, source: &dyn Source) -> Result<bool, EvaluationError> {
        Ok(match self {
            Self::IsPresent(wanted) => *wanted,
            Self::IsNull(wanted) => value.is_null() == *wanted,
            Self::IsString(wanted) => value.is_string() == *wanted,
            Self::IsNumeric(wanted) => value.is_number() == *wanted,
            Self::IsBoolean(wanted) => value.is_boolean() == *wanted,
            Self::IsTimestamp(wanted) => timestamp(value).is_some() == *wanted,
            Self::Matches(pattern) => value.as_str().is_some_and(|text| matches(pattern, text)),
            Self::Compare { kind, order, with } => {
                let with = match with {
                    Operand::Value(value) => value.clone(),
                    Operand::Path(path) => path.get(source)?,
                };
                compare(value, &with, *kind).is_some_and(|ordering| order.accepts(ordering))
            }
        })
    }
}

impl Order {
    fn accepts(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equals => ordering.is_eq(),
            Self::LessThan => ordering.is_lt(),
            Self::LessThanEquals => ordering.is_le(),
            Self::GreaterThan => ordering.is_gt(),
            Self::GreaterThanEquals => ordering.is_ge(),
        }
    }
}

fn compare(left: &Value, right: &Value, kind: Comparable) -> Option<std::cmp::Ordering> {
    match kind {
        Comparable::Text => Some(left.as_str()?.cmp(right.as_str()?)),
        Comparable::Number => left.as_f64()?.partial_cmp(&right.as_f64()?),
        Comparable::Boolean => Some(left.as_bool()?.cmp(&right.as_bool()?)),
        Comparable::Timestamp => Some(timestamp(left)?.cmp(&timestamp(right)?)),
    }
}

fn timestamp(value: &Value) -> Option<jiff::Timestamp> {
    super::timestamp(value.as_str()?)
}

/// Glob match with `*` only, in time linear in `text` for each `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts: Vec<String> = vec![String::new()];
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' => parts.push(String::new()),
            '\\' => parts
                .last_mut()
                .into_iter()
                .for_each(|part| part.extend(characters.next())),
            c => parts.last_mut().into_iter().for_each(|part| part.push(c)),
        }
    }
    let Some((first, rest)) = parts.split_first() else {
        return text.is_empty();
    };
    let Some((last, middle)) = rest.split_last() else {
        return text == first;
    };
    let Some(mut text) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    for part in middle {
        let Some(at) = text.find(part.as_str()) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_characters_and_an_escaped_one_itself() {
        assert!(matches("log-*.txt", "log-2026.txt"));
        assert!(matches("*", ""));
        assert!(matches("a*b*c", "a--b--c"));
        assert!(!matches("a*b*c", "a--c--b"));
        assert!(matches(r"a\*", "a*"));
        assert!(!matches(r"a\*", "ab"));
        assert!(!matches("ab*ba", "aba"));
    }
}
