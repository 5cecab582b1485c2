//! The Choice state.

use super::{
    ChoiceRule, Comparable, Kind, Language, Object, Operand, Order, Parser, Path, Rule, Sees, Test,
    Value, timestamp,
};

impl Parser {
    pub(super) fn choice(&mut self, object: &Object, place: &str) -> Kind {
        let mut rules = Vec::new();
        match object.get("Choices") {
            Some(Value::Array(choices)) if !choices.is_empty() => {
                for (index, choice) in choices.iter().enumerate() {
                    let place = format!("{place}/Choices[{index}]");
                    let Value::Object(choice) = choice else {
                        self.problem(&place, "Expected value of type [OBJECT]");
                        continue;
                    };
                    rules.extend(self.choice_rule(choice, &place));
                }
            }
            _ => self.problem(&format!("{place}/Choices"), "Value cannot be empty"),
        }
        Kind::Choice {
            rules,
            default: self.text(object, place, "Default"),
        }
    }

    fn choice_rule(&mut self, choice: &Object, place: &str) -> Option<ChoiceRule> {
        let next = self.text(choice, place, "Next");
        if next.is_none() {
            self.problem(place, "These fields are required: [Next]");
        }
        let rule = match self.language {
            Language::JsonPath => self.rule(choice, place, 0),
            Language::Jsonata => {
                let fields = ["Condition", "Next", "Assign", "Output", "Comment"];
                self.known(choice, place, &fields);
                let condition = self.given(choice, place, "Condition", Value::as_bool);
                if !choice.contains_key("Condition") {
                    self.problem(place, "These fields are required: [Condition]");
                }
                condition.map(Rule::Condition)
            }
        };
        let output = self.outcome(choice, place, "Output", Sees::Input);
        let assign = self.assign(choice, place, Sees::Input);
        Some(ChoiceRule {
            rule: rule?,
            next: next?,
            output,
            assign,
        })
    }

    pub(super) fn rule(&mut self, object: &Object, place: &str, depth: usize) -> Option<Rule> {
        if depth > 32 {
            self.problem(place, "Choice rules are nested too deeply");
            return None;
        }
        let combined = ["And", "Or", "Not"]
            .into_iter()
            .find(|key| object.contains_key(*key));
        match (combined, combined.and_then(|key| object.get(key))) {
            (Some("Not"), Some(Value::Object(inner))) => {
                return self
                    .rule(inner, &format!("{place}/Not"), depth + 1)
                    .map(|rule| Rule::Not(Box::new(rule)));
            }
            (Some(key), Some(Value::Array(inner))) if key != "Not" && !inner.is_empty() => {
                let rules = inner
                    .iter()
                    .enumerate()
                    .filter_map(|(index, value)| {
                        self.rule(
                            value.as_object()?,
                            &format!("{place}/{key}[{index}]"),
                            depth + 1,
                        )
                    })
                    .collect();
                return Some(if key == "And" {
                    Rule::And(rules)
                } else {
                    Rule::Or(rules)
                });
            }
            (Some(key), _) => {
                self.problem(
                    &format!("{place}/{key}"),
                    "Value is not a valid choice rule",
                );
                return None;
            }
            (None, _) => {}
        }
        let Some(variable) = self.path(object, place, "Variable") else {
            self.problem(place, "These fields are required: [Variable]");
            return None;
        };
        let operators: Vec<&String> = object
            .keys()
            .filter(|key| !["Variable", "Next", "Assign", "Comment"].contains(&key.as_str()))
            .collect();
        let [operator] = operators.as_slice() else {
            self.problem(
                place,
                "A choice rule must have exactly one comparison operator",
            );
            return None;
        };
        let test = self.test(operator, &object[operator.as_str()], place)?;
        Some(Rule::Test { variable, test })
    }

    pub(super) fn test(&mut self, operator: &str, value: &Value, place: &str) -> Option<Test> {
        let at = format!("{place}/{operator}");
        let presence: Option<fn(bool) -> Test> = match operator {
            "IsPresent" => Some(Test::IsPresent),
            "IsNull" => Some(Test::IsNull),
            "IsString" => Some(Test::IsString),
            "IsNumeric" => Some(Test::IsNumeric),
            "IsBoolean" => Some(Test::IsBoolean),
            "IsTimestamp" => Some(Test::IsTimestamp),
            _ => None,
        };
        if let Some(make) = presence {
            let wanted = value.as_bool();
            if wanted.is_none() {
                self.problem(&at, "Value must be a boolean");
            }
            return wanted.map(make);
        }
        if operator == "StringMatches" {
            return value
                .as_str()
                .map(|pattern| Test::Matches(pattern.to_owned()));
        }
        let (kind, order, by_path) = comparison(operator).or_else(|| {
            self.problem(&at, format!("Field '{operator}' is not supported"));
            None
        })?;
        if by_path {
            let path = value.as_str().and_then(|text| Path::parse(text).ok());
            if path.is_none() {
                self.problem(&at, "Value is not a valid JSONPath");
            }
            return path.map(|path| Test::Compare {
                kind,
                order,
                with: Operand::Path(path),
            });
        }
        let fits = match kind {
            Comparable::Text => value.is_string(),
            Comparable::Number => value.is_number(),
            Comparable::Boolean => value.is_boolean(),
            Comparable::Timestamp => timestamp(value).is_some(),
        };
        if !fits {
            self.problem(
                &at,
                format!("Value {value} is not valid for the field '{operator}'"),
            );
            return None;
        }
        Some(Test::Compare {
            kind,
            order,
            with: Operand::Value(value.clone()),
        })
    }
}

/// `NumericLessThanEqualsPath` → (number, less or equal, by path).
fn comparison(operator: &str) -> Option<(Comparable, Order, bool)> {
    let (operator, by_path) = match operator.strip_suffix("Path") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let kinds = [
        ("String", Comparable::Text),
        ("Numeric", Comparable::Number),
        ("Boolean", Comparable::Boolean),
        ("Timestamp", Comparable::Timestamp),
    ];
    let (kind, rest) = kinds
        .into_iter()
        .find_map(|(prefix, kind)| operator.strip_prefix(prefix).map(|rest| (kind, rest)))?;
    let order = match rest {
        "Equals" => Order::Equals,
        "LessThan" => Order::LessThan,
        "LessThanEquals" => Order::LessThanEquals,
        "GreaterThan" => Order::GreaterThan,
        "GreaterThanEquals" => Order::GreaterThanEquals,
        _ => return None,
    };
    (kind != Comparable::Boolean || order == Order::Equals).then_some((kind, order, by_path))
}
