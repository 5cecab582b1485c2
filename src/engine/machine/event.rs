//! Events as the history tells them.

use std::borrow::Cow;

use serde_json::{Value, json};

/// One event of the history, as numbered.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: u64,
    pub previous: u64,
    /// Milliseconds since 1970.
    pub at: i64,
    pub kind: Cow<'static, str>,
    /// Content of the `…EventDetails` member.
    pub details: Option<Value>,
}

impl Event {
    /// As `GetExecutionHistory` shows it.
    pub fn to_json(&self) -> Value {
        let mut event = json!({
            "timestamp": seconds(self.at),
            "type": self.kind,
            "id": self.id,
            "previousEventId": self.previous,
        });
        if let (Some(details), Some(object)) = (&self.details, event.as_object_mut()) {
            object.insert(details_member(&self.kind), details.clone());
        }
        event
    }
}

/// Milliseconds as the seconds with a fraction that the JSON services send.
pub fn seconds(milliseconds: i64) -> Value {
    json!(milliseconds as f64 / 1_000.0)
}

fn details_member(kind: &str) -> String {
    if kind.ends_with("StateEntered") {
        return "stateEnteredEventDetails".to_owned();
    }
    if kind.ends_with("StateExited") {
        return "stateExitedEventDetails".to_owned();
    }
    let (first, rest) = kind.split_at(1);
    format!("{}{rest}EventDetails", first.to_lowercase())
}
