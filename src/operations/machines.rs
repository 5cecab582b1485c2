//! State machines: what belongs to one, how its newest executions went, and which definition an
//! execution really has.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use crate::client::Client;
use crate::model::{
    Alias, Execution, ExecutionArn, StateMachineArn, StateMachineDetail, Status, Version,
};
use crate::operations::Error;

/// Newest executions by which a state machine is judged.
pub const JUDGED: u16 = 10;
/// Open executions that are counted one by one.
const OPEN: u16 = 100;
/// Aliases described.
const ALIASES: usize = 20;

/// A state machine with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    pub detail: StateMachineDetail,
    /// Newest first.
    pub versions: Vec<Version>,
    /// At most 20.
    pub aliases: Vec<Alias>,
    pub tags: BTreeMap<String, String>,
}

/// # Errors
/// Of the first call that failed.
pub async fn describe(client: &Client, arn: &StateMachineArn) -> Result<Machine, Error> {
    let detail = client.state_machine(arn).await?;
    let (versions, aliases, tags) =
        futures::try_join!(client.versions(arn), client.aliases(arn), client.tags(arn))?;
    let aliases = stream::iter(aliases.into_iter().take(ALIASES))
        .map(|alias| async move { client.alias(&alias).await })
        .buffered(2)
        .try_collect()
        .await?;
    Ok(Machine {
        detail,
        versions,
        aliases,
        tags,
    })
}

/// How the newest executions of a state machine went.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Recent {
    /// Newest first, at most [`JUDGED`].
    pub newest: Vec<Execution>,
    pub open: u64,
    /// There are more open ones than were counted.
    pub more_open: bool,
}

impl Recent {
    /// How many of the newest that have ended succeeded, and how many those are.
    pub fn succeeded(&self) -> (usize, usize) {
        let ended = self.newest.iter().filter(|it| it.status.is_closed());
        let succeeded = ended.clone().filter(|it| it.status == Status::Succeeded);
        (succeeded.count(), ended.count())
    }
}

/// # Errors
/// Of the call that failed; EXPRESS state machines list no executions.
pub async fn recent(client: &Client, arn: &StateMachineArn) -> Result<Recent, Error> {
    let newest = client.executions(arn, None, JUDGED, None).await?;
    let open = client
        .executions(arn, Some(Status::Running), OPEN, None)
        .await?;
    Ok(Recent {
        newest: newest.items,
        open: open.items.len() as u64,
        more_open: open.next.is_some(),
    })
}

/// How an execution's definition stands to the one that new executions get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Drift {
    Same,
    /// The state machine was changed since.
    Changed,
    /// The state machine is gone, or may not be read, or the execution has a part of it only.
    Unknown,
}

/// The definition that an execution really has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OwnDefinition {
    pub detail: StateMachineDetail,
    pub drift: Drift,
}

/// # Errors
/// When the definition cannot be read. That the current one cannot is no error.
pub async fn of_execution(client: &Client, arn: &ExecutionArn) -> Result<OwnDefinition, Error> {
    let detail = client.state_machine_for_execution(arn).await?;
    // A child's definition is a part of its machine's.
    let is_part = detail.arn.as_str().contains('/');
    let current = match is_part {
        true => None,
        false => client.state_machine(&arn.state_machine()).await.ok(),
    };
    let drift = match current {
        Some(current) if current.definition == detail.definition => Drift::Same,
        Some(_) => Drift::Changed,
        None => Drift::Unknown,
    };
    Ok(OwnDefinition { detail, drift })
}

#[cfg(test)]
mod tests {
    use super::super::runs::tests::execution;
    use super::*;

    #[test]
    fn only_ended_executions_are_judged() {
        let newest = [
            Status::Running,
            Status::Succeeded,
            Status::Failed,
            Status::Succeeded,
        ];
        let recent = Recent {
            newest: newest.map(|status| execution("a", status)).to_vec(),
            ..Recent::default()
        };
        assert_eq!(recent.succeeded(), (2, 3));
    }
}
