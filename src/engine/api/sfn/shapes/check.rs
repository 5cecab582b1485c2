//! A request against its operation's members. Everything wrong is told in one message, as AWS does.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::{Member, PAYLOAD, Shape};
use crate::engine::api::ApiError;

/// Checks a request's members.
///
/// # Errors
/// `SerializationException` for a value of another type, else one `ValidationException` that tells
/// every violation.
pub fn check(members: &'static [Member], given: &Map<String, Value>) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    violations.structure("", members, given)?;
    violations.tell()
}

#[derive(Default)]
struct Violations(Vec<String>);

impl Violations {
    fn tell(self) -> Result<(), ApiError> {
        let count = self.0.len();
        if count == 0 {
            return Ok(());
        }
        let errors = if count == 1 { "error" } else { "errors" };
        Err(ApiError::new(
            "ValidationException",
            format!(
                "{count} validation {errors} detected: {}",
                self.0.join("; ")
            ),
        ))
    }

    fn add(&mut self, place: &str, shown: Option<&str>, rule: &str) {
        let mut text = "Value ".to_owned();
        if let Some(shown) = shown {
            // Writing to a String does not fail.
            let _ = write!(text, "'{shown}' ");
        }
        let _ = write!(text, "at '{place}' failed to satisfy constraint: {rule}");
        self.0.push(text);
    }

    fn structure(
        &mut self,
        place: &str,
        members: &'static [Member],
        given: &Map<String, Value>,
    ) -> Result<(), ApiError> {
        let inside = |name: &str| match place {
            "" => name.to_owned(),
            place => format!("{place}.{name}"),
        };
        let is_known = |name: &&String| members.iter().any(|member| member.name == name.as_str());
        if let Some(name) = given.keys().find(|name| !is_known(name)) {
            return Err(ApiError::new(
                "ValidationException",
                format!("The member '{}' is not known", inside(name)),
            ));
        }
        for member in members {
            let place = inside(member.name);
            match given.get(member.name).filter(|value| !value.is_null()) {
                Some(value) => self.value(&place, &member.shape, value)?,
                None if member.is_required => self.0.push(format!(
                    "Value null at '{place}' failed to satisfy constraint: Member must not be null"
                )),
                None => {}
            }
        }
        Ok(())
    }

    fn value(&mut self, place: &str, shape: &'static Shape, value: &Value) -> Result<(), ApiError> {
        match (shape, value) {
            (
                Shape::Text {
                    min,
                    max,
                    pattern,
                    is_secret,
                },
                Value::String(text),
            ) => {
                let length = match *max >= PAYLOAD {
                    true => text.len(),
                    false => text.chars().count(),
                };
                let shown = (!is_secret).then_some(text.as_str());
                self.length(place, shown, length, *min, *max);
                if let Some(pattern) = pattern
                    && !(pattern.holds)(text)
                {
                    let rule = format!(
                        "Member must satisfy regular expression pattern: {}",
                        pattern.text
                    );
                    self.add(place, shown, &rule);
                }
            }
            (Shape::OneOf(values), Value::String(text)) => {
                if !values.contains(&text.as_str()) {
                    let rule = format!(
                        "Member must satisfy enum value set: [{}]",
                        values.join(", ")
                    );
                    self.add(place, Some(text), &rule);
                }
            }
            (Shape::Flag, Value::Bool(_)) => {}
            (Shape::Integer { min, max }, Value::Number(number)) if !number.is_f64() => {
                // What is beyond an i64 is beyond every limit.
                let value = number.as_i64().unwrap_or(i64::MAX);
                let is_over = value > *max || (number.as_i64().is_none() && *max == i64::MAX);
                let shown = number.to_string();
                self.range(place, &shown, value < *min, is_over, min, max);
            }
            (Shape::Number { min, max }, Value::Number(number)) => {
                let value = number.as_f64().unwrap_or(f64::MAX);
                let shown = number.to_string();
                self.range(place, &shown, value < *min, value > *max, min, max);
            }
            (Shape::Structure(members), Value::Object(given)) => {
                self.structure(place, members, given)?;
            }
            (Shape::List { of, min, max }, Value::Array(values)) => {
                self.length(place, None, values.len(), *min, *max);
                for (index, value) in values.iter().enumerate() {
                    self.value(&format!("{place}.{}.member", index + 1), of, value)?;
                }
            }
            (
                Shape::Map {
                    key,
                    value: of,
                    min,
                    max,
                },
                Value::Object(values),
            ) => {
                self.length(place, None, values.len(), *min, *max);
                for (name, value) in values {
                    self.value(&format!("{place}.{name}"), key, &name.as_str().into())?;
                    self.value(&format!("{place}.{name}.member"), of, value)?;
                }
            }
            (shape, value) => return Err(mistyped(place, shape, value)),
        }
        Ok(())
    }

    fn length(&mut self, place: &str, shown: Option<&str>, length: usize, min: usize, max: usize) {
        if length < min {
            let rule = format!("Member must have length greater than or equal to {min}");
            self.add(place, shown, &rule);
        }
        if length > max {
            let rule = format!("Member must have length less than or equal to {max}");
            self.add(place, shown, &rule);
        }
    }

    fn range(
        &mut self,
        place: &str,
        shown: &str,
        is_under: bool,
        is_over: bool,
        min: &dyn std::fmt::Display,
        max: &dyn std::fmt::Display,
    ) {
        if is_under {
            let rule = format!("Member must have value greater than or equal to {min}");
            self.add(place, Some(shown), &rule);
        }
        if is_over {
            let rule = format!("Member must have value less than or equal to {max}");
            self.add(place, Some(shown), &rule);
        }
    }
}

/// A value of another JSON type than the member's.
fn mistyped(place: &str, wanted: &Shape, found: &Value) -> ApiError {
    let found = match found {
        Value::Array(_) => "Start of list",
        Value::Object(_) => "Start of structure or map",
        Value::String(_) => "STRING_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Null => "NULL_VALUE",
    };
    let wanted = match wanted {
        Shape::Text { .. } | Shape::OneOf(_) => "a String",
        Shape::Flag => "a Boolean",
        Shape::Integer { .. } => "an Integer",
        Shape::Number { .. } => "a Float",
        Shape::Structure(_) => "a structure",
        Shape::Map { .. } => "a map",
        Shape::List { .. } => "a list",
    };
    ApiError::new(
        "SerializationException",
        format!("{found} can not be converted to {wanted} at '{place}'"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::request;
    use super::*;

    fn refused(operation: &str, given: Value) -> ApiError {
        let Value::Object(given) = given else {
            panic!("a request is an object")
        };
        check(request(operation).unwrap(), &given).unwrap_err()
    }

    #[test]
    fn everything_wrong_is_told_in_one_message() {
        let error = refused(
            "ListExecutions",
            json!({"statusFilter": "DONE", "maxResults": 1001, "nextToken": ""}),
        );
        assert_eq!(error.code, "ValidationException");
        assert_eq!(
            error.message,
            "3 validation errors detected: \
             Value 'DONE' at 'statusFilter' failed to satisfy constraint: Member must satisfy enum value set: [SUCCEEDED, TIMED_OUT, PENDING_REDRIVE, ABORTED, FAILED, RUNNING]; \
             Value '1001' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 1000; \
             Value '' at 'nextToken' failed to satisfy constraint: Member must have length greater than or equal to 1"
        );
    }

    #[test]
    fn what_is_required_is_asked_for_by_name() {
        assert_eq!(
            refused("StopExecution", json!({"executionArn": null})).message,
            "1 validation error detected: Value null at 'executionArn' failed to satisfy constraint: Member must not be null"
        );
        let nested = refused(
            "CreateStateMachineAlias",
            json!({"name": "1", "routingConfiguration": [{"weight": -1}]}),
        );
        assert_eq!(
            nested.message,
            "3 validation errors detected: \
             Value '1' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(?=.*[a-zA-Z_\\-\\.])[a-zA-Z0-9_\\-\\.]+$; \
             Value null at 'routingConfiguration.1.member.stateMachineVersionArn' failed to satisfy constraint: Member must not be null; \
             Value '-1' at 'routingConfiguration.1.member.weight' failed to satisfy constraint: Member must have value greater than or equal to 0"
        );
    }

    #[test]
    fn payloads_are_measured_in_bytes_and_not_repeated() {
        let error = refused(
            "StartExecution",
            json!({"stateMachineArn": "arn", "input": "é".repeat(131_073)}),
        );
        assert_eq!(
            error.message,
            "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length less than or equal to 262144"
        );
    }

    #[test]
    fn types_and_names_are_checked() {
        let error = refused("StopExecution", json!({"executionArn": 5}));
        assert_eq!(error.code, "SerializationException");
        assert_eq!(
            error.message,
            "NUMBER_VALUE can not be converted to a String at 'executionArn'"
        );
        let error = refused("StopExecution", json!({"executionArn": "a", "colour": 1}));
        assert_eq!(error.message, "The member 'colour' is not known");
        let error = refused(
            "UpdateMapRun",
            json!({"mapRunArn": "a", "maxConcurrency": 1.5}),
        );
        assert_eq!(error.code, "SerializationException");
        assert!(request("DescribeEverything").is_none());
    }

    proptest! {
        #[test]
        fn no_request_makes_the_check_panic(number in any::<f64>(), integer in any::<u64>(), text in ".{0,100}") {
            let given = json!({
                "mapRunArn": text, "maxConcurrency": integer,
                "toleratedFailurePercentage": number, "toleratedFailureCount": integer,
            });
            let Value::Object(given) = given else { unreachable!() };
            let _ = check(request("UpdateMapRun").unwrap(), &given);
        }
    }
}
