//! What AWS SDK integrations make of a service's members and errors (developer guide, "Learning to
//! use AWS service SDK integrations"): names in Pascal case, times in ISO 8601, errors named
//! `Service.XException`.

use serde_json::{Map, Value};

use crate::engine::machine::{Failure, context_time};

/// A service's error as the SDK reports it.
pub struct SdkError<'e> {
    /// As it stands in error names and texts: `S3`, `Sfn`.
    pub service: &'e str,
    pub status: u16,
    /// As the service names it, with or without `Exception`.
    pub code: &'e str,
    pub message: &'e str,
    /// S3 has two request ids.
    pub extended_id: bool,
}

impl From<SdkError<'_>> for Failure {
    fn from(error: SdkError<'_>) -> Self {
        let SdkError {
            service,
            status,
            code,
            message,
            extended_id,
        } = error;
        let request = uuid::Uuid::new_v4();
        let extended = if extended_id {
            format!(", Extended Request ID: {}", uuid::Uuid::new_v4())
        } else {
            String::new()
        };
        let cause = format!(
            "{message} (Service: {service}, Status Code: {status}, Request ID: {request}{extended}) (SDK Attempt Count: 1)"
        );
        Self::new(format!("{service}.{}", exception(code)), cause)
    }
}

/// `NoSuchKey` → `NoSuchKeyException`.
pub fn exception(code: &str) -> String {
    if code.ends_with("Exception") {
        code.to_owned()
    } else {
        format!("{code}Exception")
    }
}

/// How the times of a service's answer are shown.
#[derive(Clone, Copy)]
pub enum Times {
    /// Milliseconds since 1970, as optimized integrations do.
    Milliseconds,
    /// ISO 8601, as AWS SDK integrations do.
    Iso,
}

/// A service's answer with the names and times that integrations show. What is JSON inside strings
/// stays as it is.
pub fn shown(answer: Value, times: Times) -> Value {
    renamed(answer, capitalized, &|name, value| {
        let is_time = name.ends_with("Date") || name == "Timestamp";
        match value.as_f64() {
            Some(seconds) if is_time => {
                let milliseconds = (seconds * 1_000.0).round() as i64;
                match times {
                    Times::Milliseconds => milliseconds.into(),
                    Times::Iso => context_time(milliseconds).into(),
                }
            }
            _ => value,
        }
    })
}

/// Parameters with the names that the service's JSON has.
pub fn wire(parameters: Value) -> Value {
    renamed(parameters, lowered, &|_, value| value)
}

fn renamed(value: Value, name: fn(&str) -> String, leaf: &dyn Fn(&str, Value) -> Value) -> Value {
    match value {
        Value::Object(object) => {
            let members = object.into_iter().map(|(key, value)| {
                let key = name(&key);
                let value = match value {
                    Value::Object(_) | Value::Array(_) => renamed(value, name, leaf),
                    value => leaf(&key, value),
                };
                (key, value)
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(values) => values
            .into_iter()
            .map(|value| renamed(value, name, leaf))
            .collect(),
        value => value,
    }
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn lowered(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_times_are_those_of_the_sdk() {
        let answer = json!({"executionArn": "a", "startDate": 1.5, "inputDetails": {"included": true}, "input": "{\"a\":1}"});
        assert_eq!(
            shown(answer.clone(), Times::Iso),
            json!({"ExecutionArn": "a", "StartDate": "1970-01-01T00:00:01.500Z", "InputDetails": {"Included": true}, "Input": "{\"a\":1}"})
        );
        assert_eq!(shown(answer, Times::Milliseconds)["StartDate"], 1_500);
        assert_eq!(
            wire(json!({"StateMachineArn": "a"})),
            json!({"stateMachineArn": "a"})
        );
    }

    #[test]
    fn an_error_is_named_as_the_sdk_names_it() {
        let failure = Failure::from(SdkError {
            service: "S3",
            status: 404,
            code: "NoSuchKey",
            message: "gone",
            extended_id: true,
        });
        assert_eq!(failure.error.as_deref(), Some("S3.NoSuchKeyException"));
        let cause = failure.cause.unwrap();
        assert!(cause.starts_with("gone (Service: S3, Status Code: 404, Request ID: "));
        assert!(cause.ends_with(") (SDK Attempt Count: 1)"));
        assert!(cause.contains(", Extended Request ID: "));
        assert_eq!(exception("ValidationException"), "ValidationException");
    }
}
