//! The context object that a caller gives in place of the real one.

use serde_json::Value;

use super::Object;
use crate::engine::api::ApiError;
use crate::engine::api::sfn::arguments::{Arguments, invalid};

/// What a member of the context object holds.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Time,
    Number,
    Anything,
}

/// Groups and members that a context object may have (developer guide, "Accessing execution data
/// from the Context object").
const CONTEXT: [(&str, &[(&str, Holds)]); 4] = [
    (
        "Execution",
        &[
            ("Id", Holds::Text),
            ("Input", Holds::Anything),
            ("Name", Holds::Text),
            ("RoleArn", Holds::Text),
            ("StartTime", Holds::Time),
            ("RedriveCount", Holds::Number),
            ("RedriveTime", Holds::Time),
        ],
    ),
    (
        "State",
        &[
            ("EnteredTime", Holds::Time),
            ("Name", Holds::Text),
            ("RetryCount", Holds::Number),
        ],
    ),
    (
        "StateMachine",
        &[("Id", Holds::Text), ("Name", Holds::Text)],
    ),
    ("Task", &[("Token", Holds::Text)]),
];

/// The context object of the request. It stands for the whole one: what it lacks is not there.
pub fn context(
    arguments: &Arguments,
    is_mocked: bool,
    has_token: bool,
) -> Result<Option<Object>, ApiError> {
    let Some(text) = arguments.text("context") else {
        return Ok(None);
    };
    if !is_mocked {
        return Err(invalid(
            "context can only be specified together with a mock",
        ));
    }
    let refuse = |text: String| Err(invalid(format!("Invalid Context object provided: {text}")));
    let Ok(Value::Object(context)) = serde_json::from_str(text) else {
        return refuse("it must be a JSON object".to_owned());
    };
    for (group, members) in &context {
        if group == "Map" {
            return refuse("'Map' field is not supported when mocking a Context object".to_owned());
        }
        let Some((_, known)) = CONTEXT.iter().find(|(name, _)| name == group) else {
            return refuse(format!("Field '{group}' is not allowed"));
        };
        if group == "Task" && !has_token {
            return refuse("Context object contains 'Task' when state is not a Task state with a '.sync' or '.waitForTaskToken' service integration pattern".to_owned());
        }
        let Value::Object(members) = members else {
            return refuse(format!("{group} must be an object"));
        };
        for (member, value) in members {
            let Some((_, holds)) = known.iter().find(|(name, _)| name == member) else {
                return refuse(format!("Field '{member}' is not allowed"));
            };
            let is_time = |text: &str| text.parse::<jiff::Timestamp>().is_ok();
            let (fits, wanted) = match holds {
                Holds::Text => (value.is_string(), "a string"),
                Holds::Time => (value.as_str().is_some_and(is_time), "a timestamp"),
                Holds::Number => (value.is_number(), "a number"),
                Holds::Anything => (true, ""),
            };
            if !fits {
                return refuse(format!("{group}.{member} must be {wanted}"));
            }
        }
    }
    Ok(Some(context))
}
