//! The Task state.

use super::{Given, Kind, Object, Parser, Resource, Task, Template, Value};

/// The most that `TimeoutSeconds` and `HeartbeatSeconds` may say (developer guide, "Task workflow
/// state").
const MAX_SECONDS: u64 = 99_999_999;

impl Parser {
    pub(super) fn task(&mut self, object: &Object, place: &str) -> Option<Kind> {
        let Some(resource) = self.text(object, place, "Resource") else {
            self.problem(place, "These fields are required: [Resource]");
            return None;
        };
        let resource = match Resource::parse(&resource) {
            Ok(resource) => resource,
            Err(text) => {
                self.problem(&format!("{place}/Resource"), text);
                return None;
            }
        };
        self.required_parameters(&resource, object, place);
        let seconds = |value: &Value| value.as_u64().filter(|n| (1..=MAX_SECONDS).contains(n));
        let timeout = self.given(object, place, "TimeoutSeconds", seconds);
        let heartbeat = self.given(object, place, "HeartbeatSeconds", seconds);
        if let (Some(Given::Value(timeout)), Some(Given::Value(heartbeat))) = (&timeout, &heartbeat)
            && heartbeat >= timeout
        {
            self.problem(
                &format!("{place}/HeartbeatSeconds"),
                "The value of 'HeartbeatSeconds' must be smaller than 'TimeoutSeconds'",
            );
        }
        Some(Kind::Task(Task {
            resource,
            timeout,
            heartbeat,
            credentials: self.credentials(object, place),
        }))
    }

    /// Developer guide, "Accessing cross-account AWS resources".
    fn credentials(&mut self, object: &Object, place: &str) -> Option<Template> {
        let credentials = object.get("Credentials")?;
        let names_role = credentials.as_object().is_some_and(|members| {
            members.len() == 1
                && (members.contains_key("RoleArn") || members.contains_key("RoleArn.$"))
        });
        // An expression for the whole is judged when it is evaluated.
        if !names_role && !credentials.is_string() {
            self.problem(
                &format!("{place}/Credentials"),
                "The field 'RoleArn' is required but was missing",
            );
        }
        self.template(object, place, "Credentials")
    }

    /// What an integration cannot do without must at least be named.
    fn required_parameters(&mut self, resource: &Resource, object: &Object, place: &str) {
        let Resource::Service(service) = resource else {
            return;
        };
        let required: &[&str] = match (service.name, service.action) {
            ("lambda" | "aws-sdk:lambda", _) => &["FunctionName"],
            ("states", _) => &["StateMachineArn"],
            ("http", _) => &["ApiEndpoint", "Method"],
            _ => &[],
        };
        let field = self.parameters_field();
        for name in required {
            let is_named = match object.get(field) {
                Some(Value::Object(parameters)) => {
                    parameters.contains_key(*name) || parameters.contains_key(&format!("{name}.$"))
                }
                // An expression for the whole is judged when it is evaluated.
                Some(Value::String(_)) => true,
                _ => false,
            };
            if !is_named {
                self.problem(
                    &format!("{place}/{field}"),
                    format!("The field '{name}' is required but was missing"),
                );
            }
        }
    }
}
