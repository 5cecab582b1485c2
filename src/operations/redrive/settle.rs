//! What is set on a Map Run once it runs.

use std::time::Duration;

use crate::client::Client;
use crate::model::{ExecutionArn, Limits, Status};
use crate::operations::{Error, runs};

/// How long a Map Run may take until it runs.
const PATIENCE: Duration = Duration::from_mins(1);
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Sets limits as soon as the execution's Map Run runs. One that has ended by then needs none.
///
/// # Errors
/// `Refused` when the Map Run does not come to run in time: the execution goes on without limits.
pub async fn limit(client: &Client, execution: &ExecutionArn, limits: Limits) -> Result<(), Error> {
    if limits == Limits::default() {
        return Ok(());
    }
    let name = execution.name();
    let look = async {
        loop {
            let run = runs::describe(client, execution).await?;
            let going = run.map_runs.iter().find(|it| !it.status.is_closed());
            if let Some(map_run) = going {
                client.update_map_run(&map_run.arn, limits).await?;
                return Ok(());
            }
            if run.execution().status != Status::Running {
                return Ok(());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, look).await;
    in_time.unwrap_or_else(|_| {
        Err(Error::Refused(format!(
            "{name} was started, but its Map Run does not run yet, so the limits are not set: set \
             them with `fanout limits {name}`"
        )))
    })
}
