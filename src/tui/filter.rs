//! Filters of lists: words that must all match. `column:value` looks in one column, a leading `!`
//! turns a word around, numbers are compared (`failed:>100`), `since:24h` is about age, and `-f`
//! makes the whole text fuzzy.

use crate::tui::fuzzy::Pattern;

/// The column that `since` and `until` look at: seconds, not searched as text.
pub const AGE: &str = "age";

#[derive(Debug, Clone, Default)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
    fuzzy: Option<Pattern>,
}

#[derive(Debug, Clone, PartialEq)]
struct Term {
    negated: bool,
    column: Option<String>,
    test: Test,
    /// The whole word in lower case, for colons that are not about columns.
    word: String,
}

/// What a column's value must be.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// Lower case; a number equals a number, all else contains it.
    Holds(String),
    /// Lower case, the parts between `*`: the whole value must fit.
    Like(Vec<String>),
    More(f64),
    AtLeast(f64),
    Less(f64),
    AtMost(f64),
    /// Both ends belong to it.
    Between(f64, f64),
}

impl Filter {
    pub fn new(text: &str) -> Self {
        let fuzzy = match text.trim_start().strip_prefix("-f") {
            Some(rest) if rest.is_empty() || rest.starts_with(' ') => Some(rest.trim()),
            _ => None,
        };
        let terms = match fuzzy {
            Some(_) => Vec::new(),
            None => text.split_whitespace().filter_map(Term::parse).collect(),
        };
        Self {
            text: text.to_owned(),
            terms,
            fuzzy: fuzzy.filter(|it| !it.is_empty()).map(Pattern::new),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.fuzzy.is_none()
    }

    /// Whether a row, as pairs of column and value, is to be shown.
    pub fn matches(&self, row: &[(&str, &str)]) -> bool {
        if let Some(pattern) = &self.fuzzy {
            let values = row.iter().filter(|(column, _)| *column != AGE);
            let text: Vec<&str> = values.map(|(_, value)| *value).collect();
            return pattern.score(&text.join(" ")).is_some();
        }
        self.terms.iter().all(|term| term.fits(row))
    }

    /// Whether a row of which only these columns are known may still be shown: terms about other
    /// columns, and those that may be anywhere, are left out.
    pub fn may_match(&self, row: &[(&str, &str)]) -> bool {
        let mut terms = self.terms.iter();
        terms.all(|term| !term.is_about(row) || term.fits(row))
    }

    /// Whether these columns are all that is asked about.
    pub fn needs_only(&self, columns: &[&str]) -> bool {
        let row: Vec<(&str, &str)> = columns.iter().map(|column| (*column, "")).collect();
        self.fuzzy.is_none() && self.terms.iter().all(|term| term.is_about(&row))
    }

    /// The first column that is asked for and not there; its word is searched as text.
    pub fn unknown<'a>(&'a self, columns: &[&str]) -> Option<&'a str> {
        let mut terms = self.terms.iter();
        terms.find_map(|term| {
            let column = term.column.as_deref()?;
            let is_name = column.starts_with(|it: char| it.is_alphabetic());
            let is_address = term.word[column.len()..].starts_with("://");
            let is_known = columns.contains(&column);
            (is_name && !is_address && !is_known).then_some(column)
        })
    }
}

impl Term {
    fn parse(word: &str) -> Option<Self> {
        let (negated, word) = match word.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let word = word.to_lowercase();
        let (column, test) = match word.split_once(':') {
            None => (None, Test::Holds(word.clone())),
            Some(("since", value)) if age(value).is_some() => {
                (Some(AGE.to_owned()), Test::AtMost(age(value)?))
            }
            Some(("until", value)) if age(value).is_some() => {
                (Some(AGE.to_owned()), Test::AtLeast(age(value)?))
            }
            Some((column, value)) => (Some(column.to_owned()), Test::parse(value)),
        };
        (!word.is_empty()).then_some(Self {
            negated,
            column,
            test,
            word,
        })
    }

    fn is_about(&self, row: &[(&str, &str)]) -> bool {
        let wanted = self.column.as_deref();
        wanted.is_some_and(|wanted| row.iter().any(|(column, _)| *column == wanted))
    }

    fn fits(&self, row: &[(&str, &str)]) -> bool {
        let column = self.column.as_deref().and_then(|wanted| {
            let mut columns = row.iter();
            columns.find(|(column, _)| *column == wanted)
        });
        let found = match column {
            Some((_, value)) => match self.test.holds(value) {
                Some(found) => found,
                // What is not known is neither more nor less.
                None => return false,
            },
            None => row
                .iter()
                .any(|(column, value)| *column != AGE && contains(value, &self.word)),
        };
        found != self.negated
    }
}

impl Test {
    fn parse(value: &str) -> Self {
        let compared = |sign: &str| value.strip_prefix(sign).and_then(number);
        let range = value
            .split_once("..")
            .and_then(|(from, to)| Some((number(from)?, number(to)?)));
        if let Some(least) = compared(">=") {
            Self::AtLeast(least)
        } else if let Some(most) = compared("<=") {
            Self::AtMost(most)
        } else if let Some(than) = compared(">") {
            Self::More(than)
        } else if let Some(than) = compared("<") {
            Self::Less(than)
        } else if let Some((from, to)) = range {
            Self::Between(from, to)
        } else if value.contains('*') {
            Self::Like(value.split('*').map(str::to_owned).collect())
        } else {
            Self::Holds(value.to_owned())
        }
    }

    /// `None` where a number is asked for and there is none.
    fn holds(&self, value: &str) -> Option<bool> {
        let holds = match self {
            Self::Holds(wanted) => match (number(wanted), number(value)) {
                // Counts and bytes are whole numbers.
                (Some(wanted), Some(value)) => (wanted - value).abs() < 0.5,
                _ => contains(value, wanted),
            },
            Self::Like(parts) => is_like(&value.to_lowercase(), parts),
            Self::More(than) => number(value)? > *than,
            Self::AtLeast(least) => number(value)? >= *least,
            Self::Less(than) => number(value)? < *than,
            Self::AtMost(most) => number(value)? <= *most,
            Self::Between(from, to) => (*from..=*to).contains(&number(value)?),
        };
        Some(holds)
    }
}

/// Whether `text` is these parts with anything between them.
fn is_like(text: &str, parts: &[String]) -> bool {
    let [first, between @ .., last] = parts else {
        return false;
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    for part in between {
        match rest.find(part.as_str()) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}

/// `1,877`, `10k`, `2.5M`.
fn number(text: &str) -> Option<f64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1e3),
        b'm' | b'M' => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let is_number = digits.starts_with(|it: char| it.is_ascii_digit())
        && digits
            .bytes()
            .all(|it| it.is_ascii_digit() || matches!(it, b',' | b'.'));
    let value: f64 = digits.replace(',', "").parse().ok()?;
    is_number.then_some(value * factor)
}

/// `90s`, `30m`, `24h`, `7d`, `2w` as seconds.
fn age(text: &str) -> Option<f64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1.0,
        b'm' => 60.0,
        b'h' => 3_600.0,
        b'd' => 86_400.0,
        b'w' => 604_800.0,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let is_number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    let value: f64 = digits.parse().ok()?;
    is_number.then_some(value * unit)
}

/// Whether `text` contains `wanted`, which is in lower case. Ten thousand rows are looked through
/// on every key, so plain text is not copied.
fn contains(text: &str, wanted: &str) -> bool {
    if wanted.is_empty() {
        return true;
    }
    if text.is_ascii() {
        let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
        let first = [
            wanted[0].to_ascii_lowercase(),
            wanted[0].to_ascii_uppercase(),
        ];
        let mut places = memchr::memchr2_iter(first[0], first[1], text);
        return places.any(|at| {
            let part = text.get(at..at + wanted.len());
            part.is_some_and(|part| part.eq_ignore_ascii_case(wanted))
        });
    }
    text.to_lowercase().contains(wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROW: [(&str, &str); 6] = [
        ("state", "FAILED"),
        ("run", "invoices-77"),
        ("failed", "1,877"),
        ("items", "?"),
        ("key", "s3://in/a.txt"),
        (AGE, "7200"),
    ];

    fn fits(text: &str) -> bool {
        Filter::new(text).matches(&ROW)
    }

    #[test]
    fn words_columns_and_negations() {
        assert!(fits(""));
        assert!(fits("INVOICE failed"));
        assert!(fits("state:fail !run:ledger"));
        assert!(!fits("!state:failed"));
        assert!(!fits("state:invoices"));
        assert!(!fits("s3://in/invoices-7"));
    }

    #[test]
    fn a_colon_in_a_value_is_searched_as_it_is() {
        assert!(fits("s3://in"));
        assert_eq!(Filter::new("s3://in").unknown(&["state"]), None);
        assert_eq!(Filter::new("09:41").unknown(&["state"]), None);
    }

    #[test]
    fn numbers_are_compared_and_unknown_ones_fit_nothing() {
        for text in [
            "failed:>100",
            "failed:1877",
            "failed:>=1.8k",
            "failed:1..2k",
        ] {
            assert!(fits(text), "{text}");
        }
        for text in [
            "failed:<100",
            "failed:187",
            "failed:!1877",
            "items:>0",
            "!items:>0",
        ] {
            assert!(!fits(text), "{text}");
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        for text in [
            "run:inv*",
            "run:*77",
            "run:*voice*7",
            "run:*",
            "!run:*78",
            "state:f*l*d",
        ] {
            assert!(fits(text), "{text}");
        }
        for text in ["run:voice*", "run:*invoice", "run:inv*77*77", "!run:inv*"] {
            assert!(!fits(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_of_a_row_does_not_hide_it() {
        let filter = Filter::new("error:pay* line:1..400 oz");
        let may = |error, line| filter.may_match(&[("error", error), ("line", line)]);
        assert!(may("Payment.Timeout", "7"));
        assert!(!may("Validation", "7") && !may("Payment.Timeout", "500"));
        assert!(filter.may_match(&[("error", "payment")]));
        assert!(!filter.needs_only(&["error", "line"]));
        assert!(Filter::new("line:7").needs_only(&["line"]));
    }

    #[test]
    fn ages_are_spans() {
        assert!(fits("since:24h") && fits("until:1h") && !fits("since:1h"));
        assert!(!fits("since:1h state:failed") && fits("!since:1h"));
        // The age itself is not text to be found.
        assert!(!fits("7200"));
    }

    #[test]
    fn fuzzy_is_for_the_whole_text() {
        assert!(fits("-f inv77") && fits("-f fld invo") && !fits("-f zz"));
        assert!(Filter::new("-f").is_empty());
        assert!(!fits("-fuzzy"));
    }

    #[test]
    fn an_unknown_column_is_named() {
        let filter = Filter::new("status:x !kind:y since:2h");
        assert_eq!(filter.unknown(&["status", AGE]), Some("kind"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_filter(text in any::<String>(), value in any::<String>()) {
            let filter = Filter::new(&text);
            let _ = filter.matches(&[("state", value.as_str()), (AGE, "5")]);
            let _ = filter.unknown(&["state"]);
            prop_assert_eq!(filter.text(), text.as_str());
        }

        #[test]
        fn a_word_and_its_negation_are_opposites(word in "[a-z0-9.]{1,8}", value in "[ -~]{0,20}") {
            let row = [("state", value.as_str())];
            let plain = Filter::new(&word).matches(&row);
            let negated = Filter::new(&format!("!{word}")).matches(&row);
            prop_assert_ne!(plain, negated);
        }

        #[test]
        fn comparisons_agree_with_numbers(wanted in 0_u32..5_000, value in 0_u32..5_000) {
            let text = crate::tui::widget::figures::count(u64::from(value));
            let row = [("failed", text.as_str())];
            let fits = |text: String| Filter::new(&text).matches(&row);
            prop_assert_eq!(fits(format!("failed:>{wanted}")), value > wanted);
            prop_assert_eq!(fits(format!("failed:<={wanted}")), value <= wanted);
            prop_assert_eq!(fits(format!("failed:{wanted}")), value == wanted);
            prop_assert_eq!(fits(format!("failed:0..{wanted}")), value <= wanted);
        }
    }
}
