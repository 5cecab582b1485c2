//! Following a run to its end: its execution for the end, its Map Run for the counts.

use std::time::Duration;

use futures::StreamExt as _;

use crate::cli::exit::{Error, Exit};
use crate::cli::interrupt::stopped;
use crate::cli::output::note;
use crate::cli::session::Session;
use crate::client::{self, Client, ErrorKind, Snapshots};
use crate::model::{Counts, Execution, ExecutionArn, ExecutionDetail, MapRun, MapRunArn, Status};
use crate::operations::runs::{self, Run};

/// A run while it is followed.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub execution: Execution,
    /// Unknown before the Map Run has started.
    pub items: Option<Counts>,
}

/// Calls `seen` with every snapshot that differs from the one before, until the run has ended.
///
/// # Errors
/// Errors that time does not heal. Others are said once, on stderr, and the watching goes on.
pub async fn follow(
    client: &Client,
    execution: &ExecutionArn,
    mut seen: impl FnMut(&Snapshot) -> Result<(), Error>,
) -> Result<Run, Error> {
    let mut trouble = Trouble::default();
    let mut executions = client.watch_execution(execution.clone());
    let mut map_run: Option<Snapshots<MapRun>> = None;
    let mut detail: Option<ExecutionDetail> = None;
    let mut items = None;
    let mut last = None;
    loop {
        tokio::select! {
            next = executions.next() => match next {
                None => break,
                Some(Ok(now)) => {
                    trouble.over();
                    if map_run.is_none() && now.execution.status == Status::Running {
                        map_run = running_map(client, execution).await.map(|arn| client.watch_map_run(arn));
                    }
                    let ended = now.execution.status.is_closed();
                    detail = Some(now);
                    if ended {
                        break;
                    }
                }
                Some(Err(error)) => trouble.take(error)?,
            },
            next = next_of(&mut map_run) => match next {
                None => map_run = None,
                Some(Ok(now)) => {
                    trouble.over();
                    items = Some(now.items);
                }
                Some(Err(error)) => trouble.take(error)?,
            },
        }
        if let Some(detail) = &detail {
            let snapshot = Snapshot {
                execution: detail.execution.clone(),
                items,
            };
            if last.as_ref() != Some(&snapshot) {
                seen(&snapshot)?;
                last = Some(snapshot);
            }
        }
    }
    Ok(runs::describe(client, execution).await?)
}

async fn next_of(stream: &mut Option<Snapshots<MapRun>>) -> Option<Result<MapRun, client::Error>> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

/// The newest Map Run, if it is going. Not knowing now is no trouble: the next snapshot asks again.
async fn running_map(client: &Client, execution: &ExecutionArn) -> Option<MapRunArn> {
    let client = client.polling();
    let newest = client.map_runs(execution).await.ok()?.into_iter().next()?;
    let map_run = client.map_run(&newest).await.ok()?;
    (!map_run.status.is_closed()).then_some(newest)
}

/// What went wrong last, so that it is said once.
#[derive(Default)]
pub(super) struct Trouble(Option<String>);

impl Trouble {
    pub(super) fn take(&mut self, error: client::Error) -> Result<(), Error> {
        let passes = matches!(
            error.kind,
            ErrorKind::Throttled(_) | ErrorKind::Unreachable(_) | ErrorKind::Service(_)
        );
        if !passes {
            return Err(error.into());
        }
        let text = error.to_string();
        if self.0.as_ref() != Some(&text) {
            note(format!("{text}; still trying"));
            self.0 = Some(text);
        }
        Ok(())
    }

    pub(super) fn over(&mut self) {
        self.0 = None;
    }
}

/// Does `work` until it is done, the time is over, or the user has enough; then it goes on without
/// us, and `again` is the command that comes back to it.
pub async fn wait_for<T>(
    session: &Session,
    timeout: Option<Duration>,
    again: String,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let time_over = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let ended = |exit, why: &str| {
        let error = Error::new(exit, format!("{why}: {}", session.what_goes_on()));
        Err(error.hint(format!("go on with `{again}`")))
    };
    tokio::select! {
        done = work => done,
        () = time_over => ended(Exit::TimedOut, "the time given is over"),
        () = stopped() => ended(Exit::Interrupted, "interrupted"),
    }
}
