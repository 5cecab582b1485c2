//! `{ selector operator value && … }` for messages that are JSON (user guide, "Using filter patterns
//! to match terms in JSON log events").

use serde_json::Value;

use super::{Join, Operand, Operator, Scanner, joined};

/// What an unquoted value ends at.
const ENDS: &str = "}&|)";

#[derive(Debug)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    One { selector: Vec<Step>, test: Test },
}

#[derive(Debug)]
pub enum Step {
    Member(String),
    Element(usize),
}

#[derive(Debug)]
pub enum Test {
    Compare(Operator, Operand),
    IsNull,
    Is(bool),
    Exists(bool),
}

pub fn parse(scanner: &mut Scanner<'_>) -> Result<Condition, String> {
    scanner.expect("{")?;
    let join = |join, conditions| match join {
        Join::All => Condition::All(conditions),
        Join::Any => Condition::Any(conditions),
    };
    let condition = joined(scanner, 0, &one, &join)?;
    scanner.skip_space();
    scanner.expect("}")?;
    Ok(condition)
}

fn one(scanner: &mut Scanner<'_>) -> Result<Condition, String> {
    let selector = selector(scanner)?;
    scanner.skip_space();
    let test = if scanner.take_word("IS") {
        scanner.skip_space();
        if scanner.take_word("NULL") {
            Test::IsNull
        } else if scanner.take_word("TRUE") {
            Test::Is(true)
        } else if scanner.take_word("FALSE") {
            Test::Is(false)
        } else {
            return Err(scanner.unexpected());
        }
    } else if scanner.take_word("NOT") {
        scanner.skip_space();
        match scanner.take_word("EXISTS") {
            true => Test::Exists(false),
            false => return Err(scanner.unexpected()),
        }
    } else if scanner.take_word("EXISTS") {
        Test::Exists(true)
    } else {
        let operator = Operator::parse(scanner).ok_or_else(|| scanner.unexpected())?;
        scanner.skip_space();
        Test::Compare(operator, Operand::parse(scanner, ENDS, operator)?)
    };
    Ok(Condition::One { selector, test })
}

/// `$.a.b[0]`, `$.['a.b']`.
fn selector(scanner: &mut Scanner<'_>) -> Result<Vec<Step>, String> {
    scanner.expect("$")?;
    let mut steps = Vec::new();
    loop {
        let dotted = scanner.take(".");
        if scanner.take("[") {
            if scanner.take("'") {
                let name = scanner.take_while(|c| c != '\'');
                scanner.expect("']")?;
                steps.push(Step::Member(name.to_owned()));
            } else {
                let digits = scanner.take_while(|c| c.is_ascii_digit());
                let index = digits.parse().map_err(|_| scanner.unexpected())?;
                scanner.expect("]")?;
                steps.push(Step::Element(index));
            }
        } else if dotted {
            let name = scanner.take_while(|c| c.is_alphanumeric() || "_-@:#".contains(c));
            if name.is_empty() {
                return Err(scanner.unexpected());
            }
            steps.push(Step::Member(name.to_owned()));
        } else if steps.is_empty() {
            return Err(scanner.unexpected());
        } else {
            return Ok(steps);
        }
    }
}

impl Condition {
    pub fn holds(&self, message: &Value) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|it| it.holds(message)),
            Self::Any(conditions) => conditions.iter().any(|it| it.holds(message)),
            Self::One { selector, test } => {
                let found = selector.iter().try_fold(message, |value, step| match step {
                    Step::Member(name) => value.get(name),
                    Step::Element(index) => value.get(index),
                });
                match (test, found) {
                    (Test::Exists(wanted), found) => found.is_some() == *wanted,
                    (_, None) => false,
                    (Test::IsNull, Some(value)) => value.is_null(),
                    (Test::Is(wanted), Some(value)) => value.as_bool() == Some(*wanted),
                    (Test::Compare(operator, operand), Some(value)) => {
                        compare(value, *operator, operand)
                    }
                }
            }
        }
    }
}

fn compare(value: &Value, operator: Operator, operand: &Operand) -> bool {
    match (value, operand) {
        (Value::Number(number), Operand::Number { value, .. }) => number
            .as_f64()
            .is_some_and(|number| operator.holds(number, *value)),
        _ if operator.is_order() => false,
        (Value::Object(_) | Value::Array(_) | Value::Null, _) => false,
        (Value::String(text), _) => operand.equals_text(text) == (operator == Operator::Equal),
        (scalar, _) => operand.equals_text(&scalar.to_string()) == (operator == Operator::Equal),
    }
}
