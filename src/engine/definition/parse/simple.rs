//! The Wait and the Fail state.

use super::{Expression, Given, Kind, Language, Object, Parser, Value, Wait, timestamp};

impl Parser {
    pub(super) fn wait(&mut self, object: &Object, place: &str) -> Option<Kind> {
        let fields = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
        let count = fields
            .into_iter()
            .filter(|field| object.contains_key(*field))
            .count();
        if count != 1 {
            let text = format!(
                "Exactly one of the fields [{}] is required",
                fields.join(", ")
            );
            self.problem(place, text);
            return None;
        }
        if let Some(seconds) = self.given(object, place, "Seconds", Value::as_u64) {
            return Some(Kind::Wait(Wait::Seconds(seconds)));
        }
        let is_expression = |value: &Value| {
            self.language == Language::Jsonata
                && value.as_str().is_some_and(|text| text.starts_with("{%"))
        };
        let is_wrong = |value: &Value| timestamp(value).is_none() && !is_expression(value);
        if object.get("Timestamp").is_some_and(is_wrong) {
            let text = "String does not match RFC3339 timestamp";
            self.problem(&format!("{place}/Timestamp"), text);
            return None;
        }
        self.given(object, place, "Timestamp", timestamp)
            .map(|at| Kind::Wait(Wait::Timestamp(at)))
    }

    pub(super) fn fail(&mut self, object: &Object, place: &str) -> Kind {
        Kind::Fail {
            error: self.told(object, place, "Error"),
            cause: self.told(object, place, "Cause"),
        }
    }

    /// `Error` or `Cause`, whose `…Path` twin may be an intrinsic function too.
    fn told(&mut self, object: &Object, place: &str, field: &str) -> Option<Given<String>> {
        let path_field = format!("{field}Path");
        let call = object
            .get(&path_field)
            .and_then(Value::as_str)
            .and_then(|text| Expression::parse(text).ok());
        match call {
            Some(call @ Expression::Call { .. })
                if self.language == Language::JsonPath && !object.contains_key(field) =>
            {
                Some(Given::Path(call))
            }
            _ => self.given(object, place, field, |value| {
                value.as_str().map(str::to_owned)
            }),
        }
    }
}
