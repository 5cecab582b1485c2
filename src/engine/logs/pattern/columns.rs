//! `[ip, user, ..., status >= 400]` for messages of columns between spaces, where brackets and
//! quotes hold together (user guide, "Using filter patterns to match terms in space-delimited log
//! events").

use super::{Join, Operand, Operator, Scanner, joined, number};

/// What an unquoted value ends at.
const ENDS: &str = ",]&|)";

#[derive(Debug)]
pub struct Columns {
    before: Vec<Column>,
    /// Columns after `...`; `None` without it.
    after: Option<Vec<Column>>,
}

#[derive(Debug)]
enum Column {
    All(Vec<Column>),
    Any(Vec<Column>),
    Whatever,
    Compare(Operator, Operand),
}

pub fn parse(scanner: &mut Scanner<'_>) -> Result<Columns, String> {
    scanner.expect("[")?;
    let mut columns = Columns {
        before: Vec::new(),
        after: None,
    };
    let join = |join, conditions| match join {
        Join::All => Column::All(conditions),
        Join::Any => Column::Any(conditions),
    };
    loop {
        scanner.skip_space();
        if scanner.take("...") {
            if columns.after.replace(Vec::new()).is_some() {
                return Err("Invalid filter pattern: more than one ...".to_owned());
            }
        } else {
            let list = columns.after.as_mut().unwrap_or(&mut columns.before);
            list.push(joined(scanner, 0, &one, &join)?);
        }
        scanner.skip_space();
        if scanner.take("]") {
            return Ok(columns);
        }
        scanner.expect(",")?;
    }
}

fn one(scanner: &mut Scanner<'_>) -> Result<Column, String> {
    let name = scanner.take_while(|c| c.is_alphanumeric() || "_-.$@".contains(c));
    scanner.skip_space();
    match Operator::parse(scanner) {
        Some(operator) => {
            scanner.skip_space();
            let operand = Operand::parse(scanner, ENDS, operator)?;
            Ok(Column::Compare(operator, operand))
        }
        None if name.is_empty() => Err(scanner.unexpected()),
        None => Ok(Column::Whatever),
    }
}

impl Columns {
    pub fn matches(&self, message: &str) -> bool {
        let fields = split(message);
        let after = self.after.as_deref().unwrap_or_default();
        let wanted = self.before.len() + after.len();
        let fits = match self.after {
            Some(_) => fields.len() >= wanted,
            None => fields.len() == wanted,
        };
        let pairs = |columns: &[Column], fields: &[&str]| {
            columns
                .iter()
                .zip(fields)
                .all(|(it, field)| it.holds(field))
        };
        fits && pairs(&self.before, &fields) && pairs(after, &fields[fields.len() - after.len()..])
    }
}

impl Column {
    fn holds(&self, field: &str) -> bool {
        match self {
            Self::All(columns) => columns.iter().all(|it| it.holds(field)),
            Self::Any(columns) => columns.iter().any(|it| it.holds(field)),
            Self::Whatever => true,
            Self::Compare(operator, Operand::Number { value, text }) => match number(field) {
                Some(number) => operator.holds(number, *value),
                None => *operator == Operator::NotEqual && field != text,
            },
            Self::Compare(operator, operand) => {
                operand.equals_text(field) == (*operator == Operator::Equal)
            }
        }
    }
}

/// Fields between spaces; what is in brackets or double quotes is one field, without them.
fn split(message: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = message.trim();
    while let Some(first) = rest.chars().next() {
        let close = match first {
            '[' => Some(']'),
            '"' => Some('"'),
            _ => None,
        };
        let enclosed = close.and_then(|close| rest[1..].split_once(close));
        let (field, after) = match enclosed {
            Some((field, after)) if after.is_empty() || after.starts_with(char::is_whitespace) => {
                (field, after)
            }
            _ => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        fields.push(field);
        rest = after.trim_start();
    }
    fields
}
