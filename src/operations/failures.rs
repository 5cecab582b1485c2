//! Failed items: sampled from children while a Map Run is going, exact from its result files after.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Client, ErrorKind};
use crate::model::{Execution, ExecutionArn, Failure, MapRun, ObjectAddress, Status};
use crate::operations::Error;
use crate::operations::results::{self, Records};

mod cause;
pub use cause::{is_request_id, message, request_id};

/// Children described while a Map Run is going: at most so many, and as many as the request budget
/// allows in this time.
const SAMPLE: usize = 500;
const SAMPLE_TIME: Duration = Duration::from_millis(1_500);
/// Children on a page, at the most.
const PAGE: usize = 1_000;
/// Children described at once.
const AT_ONCE: usize = 4;

/// Failures with how complete they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failures {
    pub items: Vec<Failure>,
    /// Whether `items` is everything there is (read from result files to their end).
    pub exact: bool,
    /// Where they were read: `FAILED_0.json …`, or `children`.
    pub source: String,
}

/// A group of failures with the same error and normalised cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    pub error: String,
    /// The cause's message with numbers, ids, addresses and paths masked as `<n>`, `<id>`, ….
    pub message: String,
    pub count: u64,
    pub first_line: Option<u64>,
    pub last_line: Option<u64>,
    /// Index into the list it was made of, of the first member.
    pub example: usize,
}

/// At most `limit` failures of this Map Run, the newest of those read first. Aborted children did
/// not fail and are left out, as they are from the service's own count of failures.
///
/// # Errors
/// What the service answers. Result files that are missing or damaged are no error: then the
/// children are asked instead, and `source` says why.
pub async fn of(client: &Client, map_run: &MapRun, limit: usize) -> Result<Failures, Error> {
    let mut failures = match map_run.status.is_closed() {
        true => of_closed(client, map_run, limit).await?,
        false => return more(client, map_run, limit, Vec::new()).await,
    };
    newest_first(&mut failures.items);
    Ok(failures)
}

/// Failures of a Map Run that is going: those `known` from before, and the newest besides, each
/// described once. A sample that grows with every call; at most `limit` are kept, the newest.
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
    let (listed, _) = listed(&client, map_run, limit.min(PAGE)).await?;
    let seen: HashSet<&ExecutionArn> = items.iter().map(|failure| &failure.child).collect();
    let new = listed
        .into_iter()
        .filter(|row| !seen.contains(&row.arn))
        .take(SAMPLE);
    let read: Vec<Failure> = stream::iter(new.collect::<Vec<_>>())
        .map(|row| {
            let client = &client;
            async move { of_child(client, &row.arn).await }
        })
        .buffered(AT_ONCE)
        .take_until(tokio::time::sleep(SAMPLE_TIME))
        .try_collect()
        .await?;
    items.extend(read);
    newest_first(&mut items);
    items.truncate(limit);
    Ok(Failures {
        items,
        exact: false,
        source: "children".to_owned(),
    })
}

fn newest_first(failures: &mut [Failure]) {
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.stopped));
}

async fn of_closed(client: &Client, map_run: &MapRun, limit: usize) -> Result<Failures, Error> {
    if map_run.items.failures() == 0 && map_run.executions.failures() == 0 {
        return Ok(Failures {
            items: Vec::new(),
            exact: true,
            source: "counts".to_owned(),
        });
    }
    let problem = match of_files(client, map_run, limit).await {
        Ok(Some(failures)) => return Ok(failures),
        Ok(None) => "no result files".to_owned(),
        Err(error) if is_of_the_files(&error) => error.to_string(),
        Err(error) => return Err(error),
    };
    let children = of_children(client, map_run, limit).await?;
    Ok(Failures {
        source: format!("children ({problem})"),
        ..children
    })
}

/// Whether asking the children instead may still succeed.
fn is_of_the_files(error: &Error) -> bool {
    match error {
        Error::Malformed { .. } => true,
        Error::Client(error) => matches!(
            error.kind,
            ErrorKind::NotFound(_) | ErrorKind::Permission(_) | ErrorKind::Conflict(_)
        ),
        Error::File { .. } | Error::Refused(_) => false,
    }
}

async fn of_files(
    client: &Client,
    map_run: &MapRun,
    limit: usize,
) -> Result<Option<Failures>, Error> {
    let Some(location) = results::locate(client, map_run).await? else {
        return Ok(None);
    };
    let manifest = results::manifest(client, &location, map_run.redrive_count).await?;
    let mut items = Vec::new();
    let mut exact = true;
    for file in &manifest.result_files.failed {
        let address = ObjectAddress::new(&manifest.destination_bucket, &file.key);
        if read_file(client, &address, limit, &mut items)
            .await?
            .is_break()
        {
            exact = false;
            break;
        }
    }
    let names: Vec<&str> = manifest
        .result_files
        .failed
        .iter()
        .map(|file| file.key.rsplit('/').next().unwrap_or(&file.key))
        .collect();
    let source = match names.as_slice() {
        [] => "manifest.json".to_owned(),
        [only] => (*only).to_owned(),
        [first, .., last] => format!("{first} … {last}"),
    };
    Ok(Some(Failures {
        items,
        exact,
        source,
    }))
}

/// Reads one result file into `items`; breaks when there are more than `limit`.
async fn read_file(
    client: &Client,
    address: &ObjectAddress,
    limit: usize,
    items: &mut Vec<Failure>,
) -> Result<ControlFlow<()>, Error> {
    let mut stream = client.read(address, None, None).await?.bytes;
    let mut records = Records::default();
    let mut broken = None;
    while let Some(chunk) = stream.next().await {
        let flow = records.push(&chunk?, |record| match failure(record) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(_)) if limit <= items.len() => ControlFlow::Break(()),
            Ok(Some(failure)) => {
                items.push(failure);
                ControlFlow::Continue(())
            }
            Err(error) => {
                broken = Some(error.to_string());
                ControlFlow::Break(())
            }
        });
        let flow = flow.map_err(|problem| Error::malformed(address, problem))?;
        if let Some(problem) = broken {
            return Err(Error::malformed(address, problem));
        }
        if flow.is_break() {
            return Ok(flow);
        }
    }
    records
        .finish()
        .map_err(|problem| Error::malformed(address, problem))?;
    Ok(ControlFlow::Continue(()))
}

/// A record of a result file, of which we use this. Input is JSON in a string.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    execution_arn: String,
    status: String,
    error: Option<String>,
    cause: Option<String>,
    input: Option<String>,
    stop_date: Option<String>,
}

/// The failure that a record tells of; `None` for a child that was aborted.
fn failure(record: &[u8]) -> Result<Option<Failure>, serde_json::Error> {
    let record: Record = serde_json::from_slice(record)?;
    let status = Status::parse(&record.status);
    let failed = matches!(status, Status::Failed | Status::TimedOut);
    Ok(failed.then(|| Failure {
        child: ExecutionArn::new(record.execution_arn),
        status,
        line: record.input.as_deref().and_then(line_of),
        error: record.error,
        cause: record.cause,
        input: record.input,
        stopped: record.stop_date.and_then(|date| date.parse().ok()),
    }))
}

/// The line's number when the input is an item of the shipped workflow: `{"n", "line", …}`. An `n`
/// alone may mean anything.
fn line_of(input: &str) -> Option<u64> {
    let input: Value = serde_json::from_str(input).ok()?;
    input.get("line")?.as_str()?;
    input.get("n")?.as_u64().filter(|n| 0 < *n)
}

/// The newest failed children, at most `limit`, and whether they are all there are.
async fn listed(
    client: &Client,
    map_run: &MapRun,
    limit: usize,
) -> Result<(Vec<Execution>, bool), Error> {
    let mut rows: Vec<Execution> = Vec::new();
    let mut complete = true;
    for status in [Status::Failed, Status::TimedOut] {
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

async fn of_children(client: &Client, map_run: &MapRun, limit: usize) -> Result<Failures, Error> {
    let client = client.polling();
    let (rows, complete) = listed(&client, map_run, limit).await?;
    let closed = map_run.status.is_closed();
    let exact = complete && closed && rows.len() as u64 == map_run.executions.failures();
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
    Ok(Failure {
        child: child.clone(),
        status: detail.execution.status,
        line: detail.input.as_deref().and_then(line_of),
        error: detail.error,
        cause: detail.cause,
        input: detail.input,
        stopped: detail.execution.stopped,
    })
}

/// Groups, largest first.
pub fn group(failures: &[Failure]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<(String, String), usize> = HashMap::new();
    for (index, failure) in failures.iter().enumerate() {
        let error = error_of(failure);
        let message = cause::mask(&message(failure.cause.as_deref().unwrap_or_default()));
        let at = *known
            .entry((error.to_owned(), message.clone()))
            .or_insert_with(|| {
                groups.push(Group {
                    error: error.to_owned(),
                    message,
                    count: 0,
                    first_line: None,
                    last_line: None,
                    example: index,
                });
                groups.len() - 1
            });
        let group = &mut groups[at];
        group.count += 1;
        group.first_line = group.first_line.into_iter().chain(failure.line).min();
        group.last_line = group.last_line.into_iter().chain(failure.line).max();
    }
    // Stable: of equal ones, the one met first stays first.
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

fn error_of(failure: &Failure) -> &str {
    match (failure.error.as_deref(), failure.status) {
        (Some(error), _) if !error.is_empty() => error,
        (_, Status::TimedOut) => "States.Timeout",
        _ => "(no error)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(line: Option<u64>, error: &str, cause: &str) -> Failure {
        Failure {
            child: ExecutionArn::new("arn:aws:states:us-east-1:0:express:SM/L:a:b"),
            status: Status::Failed,
            line,
            error: Some(error.to_owned()),
            cause: Some(cause.to_owned()),
            input: None,
            stopped: None,
        }
    }

    #[test]
    fn the_same_trouble_with_other_numbers_is_one_group() {
        let groups = group(&[
            failed(Some(9), "Timeout", "no answer from 10.2.7.14 in 30000 ms"),
            failed(
                None,
                "Rejected",
                r#"{"errorMessage":"no such place 'Oz'","errorType":"x"}"#,
            ),
            failed(Some(3), "Timeout", "no answer from 10.2.9.80 in 29000 ms"),
        ]);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].message, "no answer from <ip> in <n> ms");
        assert_eq!((groups[0].count, groups[0].example), (2, 0));
        assert_eq!(
            (groups[0].first_line, groups[0].last_line),
            (Some(3), Some(9))
        );
        assert_eq!(groups[1].message, "no such place <v>");
        assert_eq!(groups[1].first_line, None);
    }

    #[test]
    fn a_record_gives_line_and_time_and_aborted_ones_are_no_failures() {
        let record = |status: &str| {
            format!(
                r#"{{"Cause":"c","Error":"E","ExecutionArn":"arn:x","Status":"{status}","New":1,
                "Input":"{{\"n\":7,\"line\":\"Quito\"}}","StopDate":"2026-09-01T10:00:01.000Z"}}"#
            )
        };
        let parse = |status| failure(record(status).as_bytes()).expect("a record");
        let found = parse("FAILED").expect("a failure");
        assert_eq!((found.line, found.error.as_deref()), (Some(7), Some("E")));
        assert_eq!(
            found.stopped.map(jiff::Timestamp::as_second),
            Some(1_788_256_801)
        );
        assert!(parse("TIMED_OUT").is_some());
        assert_eq!(parse("ABORTED"), None);
    }

    #[test]
    fn a_line_number_is_never_guessed() {
        assert_eq!(line_of(r#"{"n":7}"#), None);
        assert_eq!(line_of(r#"{"n":"7","line":""}"#), None);
        assert_eq!(line_of(r#"{"n":0,"line":""}"#), None);
        assert_eq!(line_of("[1"), None);
        assert_eq!(line_of(r#"{"n":7,"line":""}"#), Some(7));
    }
}
