//! Rights, as IAM's policy documents write them.

use serde::{Deserialize, Serialize};

/// A statement that allows something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    effect: Effect,
    /// Such as `states:StartExecution`.
    pub action: Vec<String>,
    /// ARNs, with `*` for any text.
    pub resource: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Effect {
    Allow,
}

impl Statement {
    pub fn allow<A, R>(
        actions: impl IntoIterator<Item = A>,
        resources: impl IntoIterator<Item = R>,
    ) -> Self
    where
        A: Into<String>,
        R: Into<String>,
    {
        Self {
            effect: Effect::Allow,
            action: actions.into_iter().map(Into::into).collect(),
            resource: resources.into_iter().map(Into::into).collect(),
        }
    }

    /// On one line, to be pasted into a policy.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
