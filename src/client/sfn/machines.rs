//! What belongs to a state machine besides its definition: versions, aliases, tags.

use std::collections::BTreeMap;

use aws_sdk_sfn::types::{StateMachineType, ValidateStateMachineDefinitionSeverity};

use crate::client::Client;
use crate::client::error::Error;
use crate::client::limits::Action;
use crate::client::sfn::answers::timestamp;
use crate::client::sfn::{LARGEST_PAGE, given};
use crate::model::{Alias, StateMachineArn, Version};

/// Pages of versions or aliases that are read: there may be 1,000 versions and 100 aliases.
const PAGES: usize = 5;

/// A problem that the service finds with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Else it is a warning.
    pub is_error: bool,
    pub code: String,
    pub message: String,
    /// JSON pointer.
    pub location: Option<String>,
}

impl Client {
    /// Versions of a state machine, newest first.
    pub async fn versions(&self, machine: &StateMachineArn) -> Result<Vec<Version>, Error> {
        let mut versions = Vec::new();
        let mut token = None;
        for _ in 0..PAGES {
            let request = self
                .shared
                .sfn
                .list_state_machine_versions()
                .state_machine_arn(machine.as_str())
                .max_results(LARGEST_PAGE.into())
                .set_next_token(token);
            let page = self
                .ask(
                    Action::ListStateMachineVersions,
                    machine.as_str(),
                    request.send(),
                )
                .await?;
            versions.extend(page.state_machine_versions.into_iter().map(|it| Version {
                arn: StateMachineArn(it.state_machine_version_arn),
                created: timestamp(it.creation_date),
            }));
            token = given(page.next_token);
            if token.is_none() {
                break;
            }
        }
        Ok(versions)
    }

    /// ARNs of the aliases of a state machine.
    pub async fn aliases(&self, machine: &StateMachineArn) -> Result<Vec<StateMachineArn>, Error> {
        let mut aliases = Vec::new();
        let mut token = None;
        for _ in 0..PAGES {
            let request = self
                .shared
                .sfn
                .list_state_machine_aliases()
                .state_machine_arn(machine.as_str())
                .max_results(LARGEST_PAGE.into())
                .set_next_token(token);
            let page = self
                .ask(
                    Action::ListStateMachineAliases,
                    machine.as_str(),
                    request.send(),
                )
                .await?;
            let listed = page.state_machine_aliases.into_iter();
            aliases.extend(listed.map(|it| StateMachineArn(it.state_machine_alias_arn)));
            token = given(page.next_token);
            if token.is_none() {
                break;
            }
        }
        Ok(aliases)
    }

    /// One alias with its routes.
    pub async fn alias(&self, arn: &StateMachineArn) -> Result<Alias, Error> {
        let request = self
            .shared
            .sfn
            .describe_state_machine_alias()
            .state_machine_alias_arn(arn.as_str());
        let it = self
            .ask(
                Action::DescribeStateMachineAlias,
                arn.as_str(),
                request.send(),
            )
            .await?;
        let routes = it.routing_configuration.unwrap_or_default().into_iter();
        let routes = routes.map(|route| {
            let weight = u32::try_from(route.weight).unwrap_or(0);
            (StateMachineArn(route.state_machine_version_arn), weight)
        });
        Ok(Alias {
            arn: arn.clone(),
            name: it.name.unwrap_or_else(|| {
                arn.as_str()
                    .rsplit(':')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            }),
            description: it.description.filter(|text| !text.is_empty()),
            updated: it.update_date.map(timestamp),
            routes: routes.collect(),
        })
    }

    /// Every problem that the service finds with a definition of this type (`STANDARD` or
    /// `EXPRESS`), warnings too.
    pub async fn validate(&self, definition: &str, kind: &str) -> Result<Vec<Diagnostic>, Error> {
        let request = self
            .shared
            .sfn
            .validate_state_machine_definition()
            .definition(definition)
            .r#type(StateMachineType::from(kind))
            .severity(ValidateStateMachineDefinitionSeverity::Warning);
        let action = Action::ValidateStateMachineDefinition;
        let answer = self.ask(action, "the definition", request.send()).await?;
        let found = answer.diagnostics.into_iter().map(|it| Diagnostic {
            is_error: it.severity == ValidateStateMachineDefinitionSeverity::Error,
            code: it.code,
            message: it.message,
            location: it.location.filter(|place| !place.is_empty()),
        });
        Ok(found.collect())
    }

    /// Tags of a state machine.
    pub async fn tags(&self, arn: &StateMachineArn) -> Result<BTreeMap<String, String>, Error> {
        let request = self
            .shared
            .sfn
            .list_tags_for_resource()
            .resource_arn(arn.as_str());
        let listed = self
            .ask(Action::ListTagsForResource, arn.as_str(), request.send())
            .await?;
        let tags = listed.tags.unwrap_or_default().into_iter();
        Ok(tags
            .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
            .collect())
    }
}
