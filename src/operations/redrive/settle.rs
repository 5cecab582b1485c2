//! What is set on a Map Run once a redrive has brought it back to life.

use std::time::Duration;

use crate::client::Client;
use crate::model::{Limits, Status};
use crate::operations::redrive::Plan;
use crate::operations::{Error, runs};

/// How long a redriven Map Run may take until it runs.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Sets the plan's limits as soon as the Map Run runs. One that has ended by then needs none.
///
/// # Errors
/// `Refused` when the Map Run does not come to run in time: the redrive goes on without limits.
pub(super) async fn limits(client: &Client, plan: &Plan) -> Result<(), Error> {
    if plan.limits == Limits::default() {
        return Ok(());
    }
    let late = || {
        Error::Refused(format!(
            "{} was redriven, but its Map Run does not run yet, so the limits are not set: set \
             them with `fanout limits {}`",
            plan.execution.name(),
            plan.execution.name()
        ))
    };
    let look = async {
        loop {
            let run = runs::describe(client, &plan.execution).await?;
            let going = run.map_runs.iter().find(|it| !it.status.is_closed());
            if let Some(map_run) = going {
                client.update_map_run(&map_run.arn, plan.limits).await?;
                return Ok(());
            }
            if run.execution().status != Status::Running {
                return Ok(());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .map_err(|_| late())?
}
