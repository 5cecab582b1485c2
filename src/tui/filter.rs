//! Filters of lists: words that must all match; `column:value` looks in one column, a leading `!`
//! turns a word around.

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    negated: bool,
    column: Option<String>,
    /// Lower case.
    value: String,
    /// The whole word, for colons that are not about columns.
    word: String,
}

impl Filter {
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            terms: text.split_whitespace().filter_map(Term::parse).collect(),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a row, as pairs of column and value, is to be shown.
    pub fn matches(&self, row: &[(&str, &str)]) -> bool {
        self.terms.iter().all(|term| term.fits(row))
    }
}

impl Term {
    fn parse(word: &str) -> Option<Self> {
        let (negated, word) = match word.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let word = word.to_lowercase();
        let (column, value) = match word.split_once(':') {
            Some((column, value)) => (Some(column.to_owned()), value.to_owned()),
            None => (None, word.clone()),
        };
        (!word.is_empty()).then_some(Self {
            negated,
            column,
            value,
            word,
        })
    }

    fn fits(&self, row: &[(&str, &str)]) -> bool {
        let column = self.column.as_deref().and_then(|wanted| {
            let mut columns = row.iter();
            columns.find(|(column, _)| *column == wanted)
        });
        let found = match column {
            Some((_, value)) => value.to_lowercase().contains(&self.value),
            None => row
                .iter()
                .any(|(_, value)| value.to_lowercase().contains(&self.word)),
        };
        found != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_columns_and_negations() {
        let row = [("state", "FAILED"), ("run", "invoices-7")];
        let fits = |text: &str| Filter::new(text).matches(&row);
        assert!(fits(""));
        assert!(fits("INVOICE failed"));
        assert!(fits("state:fail !run:ledger"));
        assert!(!fits("!failed"));
        assert!(!fits("state:invoices"));
        assert!(!fits("s3://in/invoices-7"));
    }

    #[test]
    fn a_colon_in_a_value_is_searched_as_it_is() {
        let row = [("key", "s3://in/a.txt")];
        assert!(Filter::new("s3://in").matches(&row));
    }
}
