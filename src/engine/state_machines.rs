//! What is kept of a state machine: its current revision, the versions and aliases made of it, its
//! tags. Pure: the rules of publishing, routing and naming, without store or wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ACCOUNT, REGION};

/// How many of each a state machine or resource may have (Step Functions quotas).
pub const MAX_VERSIONS: usize = 1_000;
pub const MAX_ALIASES: usize = 100;
pub const MAX_TAGS: usize = 50;

pub type Tags = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineRow {
    pub arn: String,
    pub name: String,
    pub role: String,
    /// `STANDARD` or `EXPRESS`.
    pub kind: String,
    /// Milliseconds since 1970, as all times here.
    pub created: i64,
    pub updated: i64,
    /// Key into `definitions`; the first revision has none that is shown.
    pub revision: String,
    pub updates: u64,
    #[serde(default)]
    pub settings: Settings,
    #[serde(default)]
    pub tags: Tags,
    /// Set by DeleteStateMachine until its executions have ended.
    #[serde(default)]
    pub deleting: bool,
    /// What CreateStateMachine published, which its idempotency asks for.
    #[serde(default)]
    pub first_version: Option<FirstVersion>,
    /// Oldest first.
    #[serde(default)]
    pub versions: Vec<Version>,
    /// Numbers are never used again.
    #[serde(default)]
    pub last_version: u64,
    /// Oldest first.
    #[serde(default)]
    pub aliases: Vec<Alias>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstVersion {
    pub description: Option<String>,
}

/// Logging, tracing and encryption, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// `LoggingConfiguration`; `None` for the default.
    #[serde(default)]
    pub logging: Option<Value>,
    #[serde(default)]
    pub tracing: bool,
}

impl Settings {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The blocks that every description has.
    pub fn describe(&self) -> [(&'static str, Value); 3] {
        let mut logging = json!({"level": "OFF", "includeExecutionData": false});
        if let (Some(Value::Object(given)), Some(all)) = (&self.logging, logging.as_object_mut()) {
            all.extend(given.clone());
        }
        [
            ("loggingConfiguration", logging),
            ("tracingConfiguration", json!({"enabled": self.tracing})),
            ("encryptionConfiguration", json!({"type": "AWS_OWNED_KEY"})),
        ]
    }
}

/// A revision with a number, which never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub number: u64,
    pub revision: Revision,
    pub description: Option<String>,
    pub created: i64,
}

/// What an update changes and an execution keeps for life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Key into `definitions`.
    pub id: String,
    /// Whether this is the one the state machine was created with, whose id is not shown.
    pub is_first: bool,
    pub role: String,
    #[serde(default)]
    pub settings: Settings,
    pub updated: i64,
}

impl Revision {
    /// `revisionId`.
    pub fn shown_id(&self) -> Option<&str> {
        (!self.is_first).then_some(self.id.as_str())
    }
}

/// A name for one or two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alias {
    pub name: String,
    pub description: Option<String>,
    pub routes: Vec<Route>,
    pub created: i64,
    pub updated: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub version: u64,
    /// Of 100.
    pub weight: u64,
}

impl Alias {
    /// The version that takes a start. `draw` is a random number.
    pub fn pick(&self, draw: u64) -> u64 {
        let mut left = draw % 100;
        for route in &self.routes {
            match left.checked_sub(route.weight) {
                None => return route.version,
                Some(rest) => left = rest,
            }
        }
        // The weights add up to 100, so that a route was taken above.
        self.routes.first().map_or(0, |route| route.version)
    }
}

/// Why a version cannot be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishError {
    /// Another revision than the current one was asked for.
    OtherRevision,
    TooMany,
}

/// The ARN of the state machine with this name.
pub fn arn_of(name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}")
}

impl MachineRow {
    pub fn current(&self) -> Revision {
        Revision {
            id: self.revision.clone(),
            is_first: self.updates == 0,
            role: self.role.clone(),
            settings: self.settings.clone(),
            updated: self.updated,
        }
    }

    /// The ARN of a version or alias.
    pub fn qualified(&self, qualifier: impl std::fmt::Display) -> String {
        format!("{}:{qualifier}", self.arn)
    }

    pub fn version(&self, number: u64) -> Option<&Version> {
        self.versions.iter().find(|it| it.number == number)
    }

    pub fn alias(&self, name: &str) -> Option<&Alias> {
        self.aliases.iter().find(|it| it.name == name)
    }

    /// Names of the aliases that route to a version.
    pub fn aliases_of(&self, version: u64) -> Vec<&str> {
        let routes_there = |alias: &&Alias| alias.routes.iter().any(|it| it.version == version);
        let aliases = self.aliases.iter().filter(routes_there);
        aliases.map(|alias| alias.name.as_str()).collect()
    }

    /// Gives the current revision a number, or finds the one it has. `revision` is what the caller
    /// takes for the current one; `INITIAL` names the first.
    pub fn publish(
        &mut self,
        revision: Option<&str>,
        description: Option<String>,
        now: i64,
    ) -> Result<Version, PublishError> {
        let current = self.current();
        let is_current = match revision {
            None => true,
            Some("INITIAL") => current.is_first,
            Some(id) => current.shown_id() == Some(id),
        };
        if !is_current {
            return Err(PublishError::OtherRevision);
        }
        let published = self.versions.iter().find(|it| it.revision.id == current.id);
        if let Some(published) = published {
            return Ok(published.clone());
        }
        if self.versions.len() >= MAX_VERSIONS {
            return Err(PublishError::TooMany);
        }
        self.last_version += 1;
        let version = Version {
            number: self.last_version,
            revision: current,
            description,
            created: now,
        };
        self.versions.push(version.clone());
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn machine() -> MachineRow {
        MachineRow {
            arn: arn_of("m"),
            name: "m".into(),
            role: "r".into(),
            kind: "STANDARD".into(),
            created: 1,
            updated: 1,
            revision: "first".into(),
            updates: 0,
            settings: Settings::default(),
            tags: Tags::new(),
            deleting: false,
            first_version: None,
            versions: Vec::new(),
            last_version: 0,
            aliases: Vec::new(),
        }
    }

    #[test]
    fn a_revision_is_published_once_and_numbers_are_not_used_again() {
        let mut machine = machine();
        let first = machine.publish(Some("INITIAL"), None, 5).unwrap();
        assert_eq!((first.number, first.revision.shown_id()), (1, None));
        assert_eq!(machine.publish(None, Some("again".into()), 6), Ok(first));
        machine.versions.clear();
        assert_eq!(machine.publish(None, None, 7).unwrap().number, 2);
        (machine.revision, machine.updates) = ("second".into(), 1);
        assert_eq!(
            machine.publish(Some("INITIAL"), None, 8),
            Err(PublishError::OtherRevision)
        );
        let third = machine.publish(Some("second"), None, 8).unwrap();
        assert_eq!(
            (third.number, third.revision.shown_id()),
            (3, Some("second"))
        );
    }

    #[test]
    fn a_thousand_versions_are_enough() {
        let mut machine = machine();
        for update in 0..MAX_VERSIONS {
            machine.revision = update.to_string();
            machine.publish(None, None, 1).unwrap();
        }
        machine.revision = "one more".into();
        assert_eq!(machine.publish(None, None, 1), Err(PublishError::TooMany));
    }

    #[test]
    fn rows_of_an_older_store_are_read() {
        let old = json!({"arn": "a", "name": "m", "role": "r", "kind": "STANDARD", "created": 1,
            "updated": 1, "revision": "first", "updates": 0});
        let row: MachineRow = serde_json::from_value(old).unwrap();
        assert!(row.settings.is_default() && row.versions.is_empty());
    }

    proptest! {
        #[test]
        fn weights_are_shares_of_the_starts(weight in 0_u64..=100) {
            let routes = vec![Route { version: 1, weight }, Route { version: 2, weight: 100 - weight }];
            let alias = Alias { name: "a".into(), description: None, routes, created: 0, updated: 0 };
            let first = (0..100).filter(|draw| alias.pick(*draw) == 1).count();
            prop_assert_eq!(first as u64, weight);
        }
    }
}
