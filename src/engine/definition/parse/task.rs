//! The Task state.

use super::{Kind, Object, Parser, Resource, Task, Value};

impl Parser {
    pub(super) fn task(&mut self, object: &Object, place: &str) -> Option<Kind> {
        let at = format!("{place}/Resource");
        let Some(resource) = self.text(object, place, "Resource") else {
            self.problem(place, "These fields are required: [Resource]");
            return None;
        };
        let parts: Vec<&str> = resource.split(':').collect();
        let resource = match parts.as_slice() {
            ["arn", "aws", "states", "", "", "lambda", "invoke"] => Resource::LambdaInvoke,
            ["arn", _, "lambda", _, _, "function", ..] => Resource::Function(resource),
            ["arn", _, "states", _, _, ..] => {
                let text = format!("The resource {resource} is not supported by this engine yet");
                self.problem(&at, text);
                return None;
            }
            _ => {
                let text = format!(
                    "The resource provided {resource} is not recognized. The value is not a valid resource ARN, or the resource is not available in this region."
                );
                self.problem(&at, text);
                return None;
            }
        };
        let names_function = object
            .get("Parameters")
            .and_then(Value::as_object)
            .is_some_and(|parameters| {
                parameters.contains_key("FunctionName") || parameters.contains_key("FunctionName.$")
            });
        if resource == Resource::LambdaInvoke && !names_function {
            self.problem(
                &format!("{place}/Parameters"),
                "The field 'FunctionName' is required but was missing",
            );
        }
        let timeout = self.given(object, place, "TimeoutSeconds", |value| {
            value.as_u64().filter(|n| *n > 0)
        });
        Some(Kind::Task(Task { resource, timeout }))
    }
}
