//! What each operation takes: the API reference's members with their types and limits, as one
//! table, and the check of a request against it. Everything wrong is told in one message, as AWS
//! does.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::engine::api::ApiError;

/// One member of a structure.
pub struct Member {
    name: &'static str,
    is_required: bool,
    shape: Shape,
}

pub enum Shape {
    /// Length in characters, or in bytes where the limit is one of a payload.
    Text {
        min: usize,
        max: usize,
        pattern: Option<Pattern>,
        /// Not repeated in an error's message.
        is_secret: bool,
    },
    OneOf(&'static [&'static str]),
    Flag,
    Integer {
        min: i64,
        max: i64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Structure(&'static [Member]),
    List {
        of: &'static Shape,
        min: usize,
        max: usize,
    },
    /// Names that are not known beforehand, with text.
    Map {
        key: &'static Shape,
        value: &'static Shape,
        min: usize,
        max: usize,
    },
}

/// A regular expression of the API reference, and the same as code.
#[derive(Clone, Copy)]
pub struct Pattern {
    text: &'static str,
    holds: fn(&str) -> bool,
}

pub const fn required(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        is_required: true,
        shape,
    }
}

pub const fn optional(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        is_required: false,
        shape,
    }
}

pub const fn text(min: usize, max: usize) -> Shape {
    Shape::Text {
        min,
        max,
        pattern: None,
        is_secret: false,
    }
}

pub const fn secret(max: usize) -> Shape {
    Shape::Text {
        min: 0,
        max,
        pattern: None,
        is_secret: true,
    }
}

pub const fn pattern(min: usize, max: usize, text: &'static str, holds: fn(&str) -> bool) -> Shape {
    Shape::Text {
        min,
        max,
        pattern: Some(Pattern { text, holds }),
        is_secret: false,
    }
}

pub const fn integer(min: i64, max: i64) -> Shape {
    Shape::Integer { min, max }
}

/// From this length on, text is a payload, whose limit is one of bytes.
const PAYLOAD: usize = 262_144;

const ARN: Shape = text(1, 256);
const LONG_ARN: Shape = text(1, 2_000);
/// Its characters are judged by `check_name`, whose error is another; none is as good as absent.
const NAME: Shape = text(0, 80);
const DATA: Shape = secret(PAYLOAD);
const ERROR: Shape = secret(256);
const CAUSE: Shape = secret(32_768);
const DEFINITION: Shape = Shape::Text {
    min: 1,
    max: 1_048_576,
    pattern: None,
    is_secret: true,
};
const DESCRIPTION: Shape = secret(256);
const REVISION: Shape = text(0, usize::MAX);
const PAGE_SIZE: Shape = integer(0, 1_000);
const PAGE_TOKEN: Shape = text(1, 1_024);
const TASK_TOKEN: Shape = text(1, 2_048);
const INCLUDED: Shape = Shape::OneOf(&["ALL_DATA", "METADATA_ONLY"]);
const TYPE: Shape = Shape::OneOf(&["STANDARD", "EXPRESS"]);
const TRACE: Shape = pattern(0, 256, r"\p{ASCII}*", str::is_ascii);
const COUNT: Shape = integer(0, i32::MAX as i64);
const STATE_NAME: Shape = text(1, 80);

const ALIAS_NAME: Shape = pattern(
    1,
    80,
    r"^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$",
    |name: &str| {
        let is_mark = |c: char| "_-.".contains(c);
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || is_mark(c))
            && name.chars().any(|c| c.is_ascii_alphabetic() || is_mark(c))
    },
);
const CLIENT_TOKEN: Shape = pattern(1, 64, "[!-~]+", |token: &str| {
    token.bytes().all(|byte| byte.is_ascii_graphic())
});

const LOGGING: Shape = Shape::Structure(&[
    optional("level", Shape::OneOf(&["ALL", "ERROR", "FATAL", "OFF"])),
    optional("includeExecutionData", Shape::Flag),
    optional("destinations", LIST_OF_DESTINATIONS),
]);
const LIST_OF_DESTINATIONS: Shape = Shape::List {
    of: &Shape::Structure(&[optional(
        "cloudWatchLogsLogGroup",
        Shape::Structure(&[optional("logGroupArn", ARN)]),
    )]),
    min: 0,
    max: usize::MAX,
};
const TRACING: Shape = Shape::Structure(&[optional("enabled", Shape::Flag)]);
const ENCRYPTION: Shape = Shape::Structure(&[
    optional("kmsKeyId", text(1, 2_048)),
    optional("kmsDataKeyReusePeriodSeconds", integer(60, 900)),
    required(
        "type",
        Shape::OneOf(&["AWS_OWNED_KEY", "CUSTOMER_MANAGED_KMS_KEY"]),
    ),
]);
const TAGS: Shape = Shape::List {
    of: &Shape::Structure(&[
        optional("key", text(1, 128)),
        optional("value", text(0, 256)),
    ]),
    min: 0,
    max: usize::MAX,
};
const TAG_KEYS: Shape = Shape::List {
    of: &text(1, 128),
    min: 0,
    max: usize::MAX,
};
const ROUTING: Shape = Shape::List {
    of: &Shape::Structure(&[
        required("stateMachineVersionArn", ARN),
        required("weight", integer(0, 100)),
    ]),
    min: 1,
    max: 2,
};
const STATUS_FILTER: Shape = Shape::OneOf(&[
    "SUCCEEDED",
    "TIMED_OUT",
    "PENDING_REDRIVE",
    "ABORTED",
    "FAILED",
    "RUNNING",
]);
const MOCK: Shape = Shape::Structure(&[
    optional("result", DATA),
    optional(
        "errorOutput",
        Shape::Structure(&[optional("error", ERROR), optional("cause", CAUSE)]),
    ),
    optional(
        "fieldValidationMode",
        Shape::OneOf(&["STRICT", "PRESENT", "NONE"]),
    ),
]);
const STATE_CONFIGURATION: Shape = Shape::Structure(&[
    optional("retrierRetryCount", COUNT),
    optional("errorCausedByState", STATE_NAME),
    optional("mapIterationFailureCount", COUNT),
    optional("mapItemReaderData", DATA),
]);

/// The members of an operation's request; `None` for an operation that Step Functions lacks.
pub fn request(operation: &str) -> Option<&'static [Member]> {
    let members: &'static [Member] = match operation {
        "CreateActivity" => {
            const {
                &[
                    required("name", NAME),
                    optional("tags", TAGS),
                    optional("encryptionConfiguration", ENCRYPTION),
                ]
            }
        }
        "CreateStateMachine" => {
            const {
                &[
                    required("name", NAME),
                    required("definition", DEFINITION),
                    required("roleArn", ARN),
                    optional("type", TYPE),
                    optional("loggingConfiguration", LOGGING),
                    optional("tags", TAGS),
                    optional("tracingConfiguration", TRACING),
                    optional("publish", Shape::Flag),
                    optional("versionDescription", DESCRIPTION),
                    optional("encryptionConfiguration", ENCRYPTION),
                ]
            }
        }
        "CreateStateMachineAlias" => {
            const {
                &[
                    optional("description", DESCRIPTION),
                    required("name", ALIAS_NAME),
                    required("routingConfiguration", ROUTING),
                ]
            }
        }
        "DeleteActivity" | "DescribeActivity" => const { &[required("activityArn", ARN)] },
        "DeleteStateMachine" => const { &[required("stateMachineArn", ARN)] },
        "DeleteStateMachineAlias" | "DescribeStateMachineAlias" => {
            const { &[required("stateMachineAliasArn", ARN)] }
        }
        "DeleteStateMachineVersion" => const { &[required("stateMachineVersionArn", LONG_ARN)] },
        "DescribeExecution" | "DescribeStateMachineForExecution" => {
            const {
                &[
                    required("executionArn", ARN),
                    optional("includedData", INCLUDED),
                ]
            }
        }
        "DescribeMapRun" => const { &[required("mapRunArn", LONG_ARN)] },
        "DescribeStateMachine" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("includedData", INCLUDED),
                ]
            }
        }
        "GetActivityTask" => {
            const { &[required("activityArn", ARN), optional("workerName", NAME)] }
        }
        "GetExecutionHistory" => {
            const {
                &[
                    required("executionArn", ARN),
                    optional("maxResults", PAGE_SIZE),
                    optional("reverseOrder", Shape::Flag),
                    optional("nextToken", PAGE_TOKEN),
                    optional("includeExecutionData", Shape::Flag),
                ]
            }
        }
        "ListActivities" | "ListStateMachines" => {
            const {
                &[
                    optional("maxResults", PAGE_SIZE),
                    optional("nextToken", PAGE_TOKEN),
                ]
            }
        }
        "ListExecutions" => {
            const {
                &[
                    optional("stateMachineArn", ARN),
                    optional("statusFilter", STATUS_FILTER),
                    optional("maxResults", PAGE_SIZE),
                    optional("nextToken", text(1, 3_096)),
                    optional("mapRunArn", LONG_ARN),
                    optional("redriveFilter", Shape::OneOf(&["REDRIVEN", "NOT_REDRIVEN"])),
                ]
            }
        }
        "ListMapRuns" => {
            const {
                &[
                    required("executionArn", ARN),
                    optional("maxResults", PAGE_SIZE),
                    optional("nextToken", PAGE_TOKEN),
                ]
            }
        }
        "ListStateMachineAliases" | "ListStateMachineVersions" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("nextToken", PAGE_TOKEN),
                    optional("maxResults", PAGE_SIZE),
                ]
            }
        }
        "ListTagsForResource" => const { &[required("resourceArn", ARN)] },
        "PublishStateMachineVersion" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("revisionId", REVISION),
                    optional("description", DESCRIPTION),
                ]
            }
        }
        "RedriveExecution" => {
            const {
                &[
                    required("executionArn", ARN),
                    optional("clientToken", CLIENT_TOKEN),
                ]
            }
        }
        "SendTaskFailure" => {
            const {
                &[
                    required("taskToken", TASK_TOKEN),
                    optional("error", ERROR),
                    optional("cause", CAUSE),
                ]
            }
        }
        "SendTaskHeartbeat" => const { &[required("taskToken", TASK_TOKEN)] },
        "SendTaskSuccess" => {
            const { &[required("taskToken", TASK_TOKEN), required("output", DATA)] }
        }
        "StartExecution" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("name", NAME),
                    optional("input", DATA),
                    optional("traceHeader", TRACE),
                ]
            }
        }
        "StartSyncExecution" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("name", NAME),
                    optional("input", DATA),
                    optional("traceHeader", TRACE),
                    optional("includedData", INCLUDED),
                ]
            }
        }
        "StopExecution" => {
            const {
                &[
                    required("executionArn", ARN),
                    optional("error", ERROR),
                    optional("cause", CAUSE),
                ]
            }
        }
        "TagResource" => const { &[required("resourceArn", ARN), required("tags", TAGS)] },
        "TestState" => {
            const {
                &[
                    required("definition", DEFINITION),
                    optional("roleArn", ARN),
                    optional("input", DATA),
                    optional("inspectionLevel", Shape::OneOf(&["INFO", "DEBUG", "TRACE"])),
                    optional("revealSecrets", Shape::Flag),
                    optional("variables", DATA),
                    optional("stateName", STATE_NAME),
                    optional("mock", MOCK),
                    optional("context", DATA),
                    optional("stateConfiguration", STATE_CONFIGURATION),
                ]
            }
        }
        "UntagResource" => const { &[required("resourceArn", ARN), required("tagKeys", TAG_KEYS)] },
        "UpdateMapRun" => {
            const {
                &[
                    required("mapRunArn", LONG_ARN),
                    optional("maxConcurrency", COUNT),
                    optional(
                        "toleratedFailurePercentage",
                        Shape::Number {
                            min: 0.0,
                            max: 100.0,
                        },
                    ),
                    optional("toleratedFailureCount", integer(0, i64::MAX)),
                ]
            }
        }
        "UpdateStateMachine" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("definition", DEFINITION),
                    optional("roleArn", ARN),
                    optional("loggingConfiguration", LOGGING),
                    optional("tracingConfiguration", TRACING),
                    optional("publish", Shape::Flag),
                    optional("versionDescription", DESCRIPTION),
                    optional("encryptionConfiguration", ENCRYPTION),
                ]
            }
        }
        "UpdateStateMachineAlias" => {
            const {
                &[
                    required("stateMachineAliasArn", ARN),
                    optional("description", DESCRIPTION),
                    optional("routingConfiguration", ROUTING),
                ]
            }
        }
        "ValidateStateMachineDefinition" => {
            const {
                &[
                    required("definition", DEFINITION),
                    optional("type", TYPE),
                    optional("severity", Shape::OneOf(&["ERROR", "WARNING"])),
                    optional("maxResults", integer(0, 100)),
                ]
            }
        }
        _ => return None,
    };
    Some(members)
}

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
