//! Filter patterns: which messages are wanted (user guide of CloudWatch Logs, "Filter pattern
//! syntax for metric filters, subscription filters, filter log events, and Live Tail").
//!
//! | pattern | wants |
//! |---|---|
//! | `a "b c" -d` | messages that contain every term, and none with a minus |
//! | `?a ?b` | messages that contain one of them; beside other terms these are ignored |
//! | `%a.*b%` | messages that the regular expression matches |
//! | `{ $.a.b = "x*" && ($.n > 5 \|\| $.t IS NULL) }` | messages that are such JSON ([`json`]) |
//! | `[ip, user, ..., status = 4*]` | messages with such columns ([`columns`]) |
//!
//! Terms are found anywhere in a message, in words too. Upper and lower case differ.

use regex::bytes::{Regex, RegexBuilder};

mod columns;
mod json;

/// Longest pattern, characters (API reference, FilterLogEvents).
pub const MAX_LENGTH: usize = 1_024;
/// Regular expressions in one pattern.
const MAX_REGEXES: usize = 2;
/// Nested parentheses in one pattern.
const MAX_DEPTH: usize = 50;

/// A checked pattern.
#[derive(Debug)]
pub struct Pattern(Kind);

#[derive(Debug)]
enum Kind {
    Terms(Terms),
    Json(json::Condition),
    Columns(columns::Columns),
}

#[derive(Debug, Default)]
struct Terms {
    all: Vec<Term>,
    any: Vec<Term>,
    none: Vec<Term>,
}

#[derive(Debug)]
enum Term {
    Text(String),
    Regex(Regex),
}

impl Pattern {
    /// # Errors
    /// Says what is wrong with it, as `InvalidParameterException` does.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > MAX_LENGTH {
            return Err(format!(
                "Value at 'filterPattern' failed to satisfy constraint: Member must have length less than or equal to {MAX_LENGTH}"
            ));
        }
        let mut scanner = Scanner::new(text.trim());
        let kind = match scanner.peek() {
            Some('{') => Kind::Json(json::parse(&mut scanner)?),
            Some('[') => Kind::Columns(columns::parse(&mut scanner)?),
            _ => Kind::Terms(Terms::parse(&mut scanner)?),
        };
        scanner.skip_space();
        match scanner.peek() {
            None => Ok(Self(kind)),
            Some(_) => Err(scanner.unexpected()),
        }
    }

    pub fn matches(&self, message: &str) -> bool {
        match &self.0 {
            Kind::Terms(terms) => terms.matches(message),
            Kind::Json(condition) => {
                // Cheap to tell apart before anything is parsed.
                message.trim_start().starts_with(['{', '['])
                    && serde_json::from_str(message).is_ok_and(|value| condition.holds(&value))
            }
            Kind::Columns(columns) => columns.matches(message),
        }
    }
}

impl Terms {
    fn parse(scanner: &mut Scanner<'_>) -> Result<Self, String> {
        let mut terms = Self::default();
        loop {
            scanner.skip_space();
            let list = match scanner.peek() {
                None => return Ok(terms),
                Some('?') => &mut terms.any,
                Some('-') => &mut terms.none,
                Some(_) => &mut terms.all,
            };
            if matches!(scanner.peek(), Some('?' | '-')) {
                scanner.next();
            }
            list.push(Term::parse(scanner)?);
        }
    }

    fn matches(&self, message: &str) -> bool {
        let is_in = |term: &Term| term.is_in(message);
        let optional_count = self.all.is_empty() && self.none.is_empty() && !self.any.is_empty();
        self.all.iter().all(is_in)
            && !self.none.iter().any(is_in)
            && (!optional_count || self.any.iter().any(is_in))
    }
}

impl Term {
    fn parse(scanner: &mut Scanner<'_>) -> Result<Self, String> {
        match scanner.peek() {
            Some('"') => Ok(Self::Text(scanner.quoted()?)),
            Some('%') => Ok(Self::Regex(scanner.regex()?)),
            _ => {
                let word = scanner.take_while(|c| !c.is_whitespace());
                let is_plain = |c: char| c.is_alphanumeric() || c == '_';
                if word.is_empty() || !word.chars().all(is_plain) {
                    return Err(format!("Invalid character(s) in term '{word}'"));
                }
                Ok(Self::Text(word.to_owned()))
            }
        }
    }

    fn is_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Regex(regex) => regex.is_match(message.as_bytes()),
        }
    }
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    fn parse(scanner: &mut Scanner<'_>) -> Option<Self> {
        let operators = [
            ("!=", Self::NotEqual),
            ("<=", Self::LessOrEqual),
            (">=", Self::GreaterOrEqual),
            ("=", Self::Equal),
            ("<", Self::Less),
            (">", Self::Greater),
        ];
        let found = operators.into_iter().find(|(text, _)| scanner.take(text));
        found.map(|(_, operator)| operator)
    }

    fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            #[expect(clippy::float_cmp, reason = "the pattern asks whether they are equal")]
            Self::Equal => left == right,
            #[expect(clippy::float_cmp, reason = "the pattern asks whether they are equal")]
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// What a value is compared with.
#[derive(Debug)]
enum Operand {
    Number {
        value: f64,
        text: String,
    },
    /// Text in which `*` stands for any.
    Text(String),
    Regex(Regex),
}

impl Operand {
    /// `ends`: what an operand without quotes ends at, besides white space.
    fn parse(scanner: &mut Scanner<'_>, ends: &str, operator: Operator) -> Result<Self, String> {
        let operand = match scanner.peek() {
            Some('"') => Self::Text(scanner.quoted()?),
            Some('%') => Self::Regex(scanner.regex()?),
            _ => {
                let word = scanner.take_while(|c| !c.is_whitespace() && !ends.contains(c));
                if word.is_empty() {
                    return Err(scanner.unexpected());
                }
                match number(word) {
                    Some(value) => Self::Number {
                        value,
                        text: word.to_owned(),
                    },
                    None => Self::Text(word.to_owned()),
                }
            }
        };
        if operator.is_order() && !matches!(operand, Self::Number { .. }) {
            return Err(
                "Invalid filter pattern: only numbers can be compared with < <= > >=".into(),
            );
        }
        Ok(operand)
    }

    fn equals_text(&self, text: &str) -> bool {
        match self {
            Self::Number { text: own, .. } => own == text,
            Self::Text(pattern) => glob(pattern, text),
            Self::Regex(regex) => regex.is_match(text.as_bytes()),
        }
    }
}

/// A number as JSON writes it, perhaps with a plus; neither `inf` nor `nan`.
fn number(text: &str) -> Option<f64> {
    let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    let value: f64 = text.chars().all(is_number).then(|| text.parse().ok())??;
    value.is_finite().then_some(value)
}

/// Whether `text` is `pattern`, where `*` stands for any number of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Conditions joined by `&&` and `||`, the former binding more tightly; with parentheses.
fn joined<T>(
    scanner: &mut Scanner<'_>,
    depth: usize,
    one: &impl Fn(&mut Scanner<'_>) -> Result<T, String>,
    join: &impl Fn(Join, Vec<T>) -> T,
) -> Result<T, String> {
    if depth > MAX_DEPTH {
        return Err("Invalid filter pattern: too many parentheses".to_owned());
    }
    let mut any = Vec::new();
    loop {
        let mut all = Vec::new();
        loop {
            scanner.skip_space();
            let condition = if scanner.take("(") {
                let inner = joined(scanner, depth + 1, one, join)?;
                scanner.skip_space();
                scanner.expect(")")?;
                inner
            } else {
                one(scanner)?
            };
            all.push(condition);
            scanner.skip_space();
            if !scanner.take("&&") {
                break;
            }
        }
        any.push(only_or(all, |all| join(Join::All, all)));
        if !scanner.take("||") {
            return Ok(only_or(any, |any| join(Join::Any, any)));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    All,
    Any,
}

fn only_or<T>(mut conditions: Vec<T>, join: impl FnOnce(Vec<T>) -> T) -> T {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        Some(last) => {
            conditions.push(last);
            join(conditions)
        }
        None => join(conditions),
    }
}

/// Where in the pattern we are.
struct Scanner<'p> {
    text: &'p str,
    at: usize,
    regexes: usize,
}

impl<'p> Scanner<'p> {
    fn new(text: &'p str) -> Self {
        Self {
            text,
            at: 0,
            regexes: 0,
        }
    }

    fn rest(&self) -> &'p str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'p str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// The same, whatever the case, and only as a whole word.
    fn take_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let Some((found, after)) = rest.split_at_checked(word.len()) else {
            return false;
        };
        let ends = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let found = ends && found.eq_ignore_ascii_case(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        match self.take(token) {
            true => Ok(()),
            false => Err(self.unexpected()),
        }
    }

    fn unexpected(&self) -> String {
        match self.peek() {
            Some(c) => format!(
                "Invalid filter pattern: unexpected '{c}' at character {}",
                self.text[..self.at].chars().count() + 1
            ),
            None => "Invalid filter pattern: it ends too early".to_owned(),
        }
    }

    /// Text in double quotes; a backslash takes the next character as it is.
    fn quoted(&mut self) -> Result<String, String> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err("Invalid filter pattern: a quote is not closed".to_owned()),
                Some('"') => return Ok(text),
                Some('\\') => match self.next() {
                    Some(next @ ('"' | '\\')) => text.push(next),
                    Some(next) => text.extend(['\\', next]),
                    None => {}
                },
                Some(next) => text.push(next),
            }
        }
    }

    /// A regular expression between per cent signs (user guide, "Supported regular expressions").
    fn regex(&mut self) -> Result<Regex, String> {
        let invalid = |problem: &str| format!("Invalid filter pattern: {problem}");
        self.next();
        let start = self.at;
        loop {
            let at = self.at;
            let next = self
                .next()
                .ok_or_else(|| invalid("a regular expression is not closed with %"))?;
            match next {
                '%' => {
                    self.regexes += 1;
                    if self.regexes > MAX_REGEXES {
                        return Err(invalid("more than 2 regular expressions"));
                    }
                    let mut builder = RegexBuilder::new(&self.text[start..at]);
                    let regex = builder.unicode(false).size_limit(1 << 20).build();
                    return regex.map_err(|_| {
                        format!(
                            "Invalid filter pattern: not a regular expression: {}",
                            &self.text[start..at]
                        )
                    });
                }
                '\\' => {
                    let escaped = self.next().unwrap_or('%');
                    let is_class = "dDsSwWx".contains(escaped);
                    if !escaped.is_ascii() || (escaped.is_ascii_alphanumeric() && !is_class) {
                        return Err(invalid(&format!(
                            "\\{escaped} is not supported in a regular expression"
                        )));
                    }
                }
                c if c.is_ascii_alphanumeric() || "_#=@/;,-:^$?[]{}|*+. ".contains(c) => {}
                c => {
                    return Err(invalid(&format!(
                        "'{c}' is not supported in a regular expression"
                    )));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
