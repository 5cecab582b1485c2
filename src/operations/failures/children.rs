//! Failures asked of the children themselves: a sample while a Map Run is going, and where there are
//! no result files.

use std::collections::HashSet;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::client::Client;
use crate::model::{Execution, ExecutionArn, Failure, MapRun, Status};
use crate::operations::Error;
use crate::operations::failures::Failures;
use crate::operations::failures::record::line_of;

/// Children described while a Map Run is going: at most so many, and as many as the request budget
/// allows in this time.
const SAMPLE: usize = 500;
const SAMPLE_TIME: Duration = Duration::from_millis(1_500);
/// What counts against the tolerance.
pub const FAILED: [Status; 2] = [Status::Failed, Status::TimedOut];
/// All that a re-run may be of.
pub const NOT_SUCCEEDED: [Status; 3] = [Status::Failed, Status::TimedOut, Status::Aborted];
/// Children on a page, at the most.
const PAGE: usize = 1_000;
/// Pages listed for a sample.
const PAGES: usize = 5;
/// Children described at once.
const AT_ONCE: usize = 4;

/// Failures of a Map Run that is going: those `known` from before, and others besides, each
/// described once: the newest, and some from all over what is listed, so that a group that ended
/// failing an hour ago is not missed. A sample that grows with every call; at most `limit` are
/// kept, the newest.
pub async fn more(
    client: &Client,
    map_run: &MapRun,
    limit: usize,
    known: Vec<Failure>,
) -> Result<Failures, Error> {
    let client = client.polling();
    // A redrive runs them again: what they failed with before no longer counts.
    let is_current = |failure: &Failure| match (failure.stopped, map_run.redriven) {
        (Some(stopped), Some(redriven)) => stopped >= redriven,
        _ => true,
    };
    let mut items: Vec<Failure> = known.into_iter().filter(is_current).collect();
    // Older ones are looked for only while there is room for them.
    let listed_limit = match items.len() < limit {
        true => PAGES * PAGE,
        false => PAGE,
    };
    let (listed, _) = list(&client, map_run, &FAILED, listed_limit).await?;
    let seen: HashSet<&ExecutionArn> = items.iter().map(|failure| &failure.child).collect();
    let new: Vec<Execution> = listed
        .into_iter()
        .filter(|row| !seen.contains(&row.arn))
        .collect();
    let chosen: Vec<ExecutionArn> = spread(new.len(), SAMPLE)
        .into_iter()
        .map(|at| new[at].arn.clone())
        .collect();
    let read: Vec<Failure> = stream::iter(chosen)
        .map(|arn| {
            let client = &client;
            async move { of_child(client, &arn).await }
        })
        .buffered(AT_ONCE)
        .take_until(tokio::time::sleep(SAMPLE_TIME))
        .try_collect()
        .await?;
    items.extend(read);
    newest_first(&mut items);
    items.truncate(limit);
    let exact = false;
    Ok(Failures {
        items,
        exact,
        source: "children".to_owned(),
    })
}

/// Which of `len` listed ones are described, most of them first: in turn the newest and one from
/// all over the list, so that wherever the time ends both have had their share.
fn spread(len: usize, most: usize) -> Vec<usize> {
    let most = most.min(len);
    let mut chosen = Vec::with_capacity(most);
    let mut taken = HashSet::new();
    let mut newest = 0..len;
    // Halves, quarters, eighths, …: any beginning of it is spread evenly.
    let mut parts = (1_usize..).flat_map(|level| {
        let step = 1_usize << level.min(40);
        (1..step).step_by(2).map(move |odd| len * odd / step)
    });
    while chosen.len() < most {
        let next = match chosen.len() % 2 {
            0 => newest.find(|at| !taken.contains(at)),
            // One that is taken already is no reason to go on without end.
            _ => parts.next().filter(|at| *at < len && !taken.contains(at)),
        };
        let next = next.or_else(|| newest.find(|at| !taken.contains(at)));
        let Some(at) = next else { break };
        taken.insert(at);
        chosen.push(at);
    }
    chosen
}

pub fn newest_first(failures: &mut [Failure]) {
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.stopped));
}

/// The newest children of these statuses, at most `limit`, and whether they are all there are.
async fn list(
    client: &Client,
    map_run: &MapRun,
    statuses: &[Status],
    limit: usize,
) -> Result<(Vec<Execution>, bool), Error> {
    let mut rows: Vec<Execution> = Vec::new();
    let mut complete = true;
    for status in statuses.iter().copied() {
        let mut token = None;
        loop {
            let room = limit - rows.len();
            if room == 0 {
                complete = false;
                break;
            }
            let page = client
                .children(&map_run.arn, Some(status), room.min(PAGE) as u16, token)
                .await?;
            rows.extend(page.items.into_iter().take(room));
            token = page.next;
            if token.is_none() {
                break;
            }
        }
    }
    Ok((rows, complete))
}

/// The children of a Map Run that did not succeed, at most `limit`; aborted ones only where they are
/// wanted too.
pub async fn all(
    client: &Client,
    map_run: &MapRun,
    statuses: &[Status],
    limit: usize,
) -> Result<Failures, Error> {
    let client = client.polling();
    let (rows, complete) = list(&client, map_run, statuses, limit).await?;
    let closed = map_run.status.is_closed();
    let counted = match statuses.contains(&Status::Aborted) {
        true => map_run.executions.failures() + map_run.executions.aborted,
        false => map_run.executions.failures(),
    };
    let exact = complete && closed && rows.len() as u64 == counted;
    let items = stream::iter(rows)
        .map(|row| {
            let client = &client;
            async move { of_child(client, &row.arn).await }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(Failures {
        items,
        exact,
        source: "children".to_owned(),
    })
}

/// One failed child's line, error, cause and input (one DescribeExecution).
pub async fn of_child(client: &Client, child: &ExecutionArn) -> Result<Failure, Error> {
    let detail = client.execution(child).await?;
    let execution = detail.execution;
    Ok(Failure {
        child: child.clone(),
        status: execution.status,
        line: detail.input.as_deref().and_then(line_of),
        error: detail.error,
        cause: detail.cause,
        input: detail.input,
        stopped: execution.stopped,
        started: execution.redriven.or(Some(execution.started)),
        redrives: execution.redrive_count,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sample_is_of_the_newest_and_of_the_rest() {
        assert_eq!(spread(1_000, 6), [0, 500, 1, 250, 2, 750]);
        assert_eq!(spread(0, 6), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn a_sample_names_each_once(len in 0usize..3_000, most in 0usize..600) {
            let chosen = spread(len, most);
            let distinct: HashSet<&usize> = chosen.iter().collect();
            prop_assert_eq!(distinct.len(), most.min(len));
            prop_assert_eq!(chosen.len(), most.min(len));
            prop_assert!(chosen.iter().all(|at| *at < len));
        }
    }
}
