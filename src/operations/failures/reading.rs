//! What failed in a Map Run that has closed, streamed from its result files, or for want of them
//! from the children themselves.

use std::ops::{ControlFlow, RangeInclusive};

use futures::StreamExt as _;
use serde::{Deserialize as _, Serialize};
use serde_json::Deserializer;

use crate::client::{Client, ErrorKind};
use crate::lines::{self, Bits, MAX_LINES, Malformed, Records, stretches};
use crate::model::{MapRun, ObjectAddress};
use crate::operations::Error;
use crate::operations::failures::children;
use crate::operations::failures::record::{Outcome, Record};
use crate::operations::results::{self, ResultFile};

/// Children that are described for want of result files: each is a call.
const CHILDREN: usize = 10_000;
/// Stretches of lines that are listed.
const STRETCHES: usize = 10_000;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index into [`Source::files`].
    pub file: u32,
    /// Bytes.
    pub offset: u64,
    pub length: u32,
}

/// A result file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub address: ObjectAddress,
    pub etag: String,
}

/// Where failures were read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Source {
    pub files: Vec<File>,
    /// In words: `FAILED_0.json … FAILED_3.json`, or `children (why)`.
    pub words: String,
    /// Whether it was all there is, read to its end.
    pub exact: bool,
}

/// What reading tells.
pub enum Found<'f> {
    /// One that did not succeed, and its place in a result file.
    Record(&'f Record<'f>, Option<Place>),
    /// Everything told before is void: the result files are damaged, and reading begins anew with
    /// the children.
    Restart,
}

/// Tells of every item of a closed Map Run that did not succeed, as long as `visit` wants more:
/// failed and aborted children, and where `never_started` says so, items that never became one.
/// Nothing is kept. Where there are no result files, or damaged ones, the failed children are asked
/// instead, at most 10,000 of them, with the aborted ones where `never_started` says so; they have no
/// place.
///
/// # Errors
/// What the service answers.
pub async fn each(
    client: &Client,
    map_run: &MapRun,
    never_started: bool,
    mut visit: impl FnMut(Found<'_>) -> ControlFlow<()>,
) -> Result<Source, Error> {
    let counts = [map_run.items, map_run.executions];
    let has_failed = counts.iter().any(|it| 0 < it.failures() + it.aborted);
    if !(has_failed || never_started && 0 < map_run.items.pending) {
        return Ok(Source {
            words: "counts".to_owned(),
            exact: true,
            ..Source::default()
        });
    }
    let problem = match of_files(client, map_run, never_started, &mut visit).await {
        Ok(Some(source)) => return Ok(source),
        Ok(None) => "no result files".to_owned(),
        Err(error) if is_of_the_files(&error) => error.to_string(),
        Err(error) => return Err(error),
    };
    let _ = visit(Found::Restart);
    let statuses = match never_started {
        true => children::NOT_SUCCEEDED.as_slice(),
        false => children::FAILED.as_slice(),
    };
    let found = children::all(client, map_run, statuses, CHILDREN).await?;
    // An item that never became a child is in no listing.
    let untold = match never_started {
        true => map_run.items.pending,
        false => 0,
    };
    let mut exact = found.exact && untold == 0;
    for failure in &found.items {
        if visit(Found::Record(&Record::from(failure), None)).is_break() {
            exact = false;
            break;
        }
    }
    let untold = match untold {
        0 => String::new(),
        count => format!("; which {count} items never started is not told"),
    };
    Ok(Source {
        files: Vec::new(),
        words: format!("children ({problem}{untold})"),
        exact,
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
    never_started: bool,
    visit: &mut impl FnMut(Found<'_>) -> ControlFlow<()>,
) -> Result<Option<Source>, Error> {
    let Some(location) = results::locate(client, map_run).await? else {
        return Ok(None);
    };
    let manifest = results::manifest(client, &location, map_run.redrive_count).await?;
    let files = &manifest.result_files;
    let pending = files.pending.iter().filter(|_| never_started);
    let mut source = Source {
        words: words(&files.failed),
        exact: true,
        ..Source::default()
    };
    for file in files.failed.iter().chain(pending) {
        let address = ObjectAddress::new(&manifest.destination_bucket, &file.key);
        if read_file(client, address, &mut source, visit)
            .await?
            .is_break()
        {
            source.exact = false;
            break;
        }
    }
    Ok(Some(source))
}

/// Items that never became a child execution, as the result files list them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NeverStarted {
    pub items: u64,
    /// Of those among them that carry the number of their line, the first stretches of lines.
    pub lines: Vec<RangeInclusive<u64>>,
    /// Items whose line is in none of the stretches.
    pub unlisted: u64,
}

impl NeverStarted {
    /// `3, 7-9`, as far as lines are known.
    pub fn words(&self) -> String {
        lines::shown(&self.lines)
    }
}

/// Which items of a Map Run that has closed were never started; `None` where it has written no
/// result files.
///
/// # Errors
/// What the service answers; `Malformed` where the files are not what they should be.
pub async fn never_started(
    client: &Client,
    map_run: &MapRun,
) -> Result<Option<NeverStarted>, Error> {
    let Some(location) = results::locate(client, map_run).await? else {
        return Ok(None);
    };
    let manifest = results::manifest(client, &location, map_run.redrive_count).await?;
    let (mut items, mut numbers) = (0, Bits::default());
    let mut visit = |found: Found<'_>| {
        if let Found::Record(record, _) = found {
            items += 1;
            let line = record.line().filter(|line| *line <= MAX_LINES);
            line.map(|line| numbers.insert(line));
        }
        ControlFlow::Continue(())
    };
    let mut source = Source::default();
    for file in &manifest.result_files.pending {
        let address = ObjectAddress::new(&manifest.destination_bucket, &file.key);
        let flow = read_file(client, address, &mut source, &mut visit).await?;
        if flow.is_break() {
            break;
        }
    }
    let lines = stretches(numbers.iter(), STRETCHES);
    let listed: u64 = lines.iter().map(|it| it.end() - it.start() + 1).sum();
    Ok(Some(NeverStarted {
        items,
        lines,
        unlisted: items.saturating_sub(listed),
    }))
}

fn words(files: &[ResultFile]) -> String {
    let name = |file: &ResultFile| file.key.rsplit('/').next().unwrap_or(&file.key).to_owned();
    match files {
        [] => "manifest.json".to_owned(),
        [only] => name(only),
        [first, .., last] => format!("{} … {}", name(first), name(last)),
    }
}

async fn read_file(
    client: &Client,
    address: ObjectAddress,
    source: &mut Source,
    visit: &mut impl FnMut(Found<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Error> {
    let body = client.read(&address, None, None).await?;
    let file = source.files.len() as u32;
    source.files.push(File {
        address: address.clone(),
        etag: body.object.etag,
    });
    let malformed = |problem: Malformed| Error::malformed(&address, problem);
    let mut stream = body.bytes;
    let mut records = Records::default();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        let flow = read_chunk(&mut records, &chunk, |record, offset, length| {
            let place = Place {
                file,
                offset,
                length,
            };
            visit(Found::Record(record, Some(place)))
        });
        if flow.map_err(malformed)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    records.finish().map_err(malformed)?;
    Ok(ControlFlow::Continue(()))
}

/// Tells of the records that end in a chunk, with their place: all but those that succeeded.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn read_chunk(
    records: &mut Records,
    chunk: &[u8],
    mut tell: impl FnMut(&Record<'_>, u64, u32) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Malformed> {
    records.parse(chunk, |bytes, offset| {
        let (record, length) = lines::first::<Record<'_>>(bytes)?;
        let flow = match record.outcome() {
            Outcome::Other => ControlFlow::Continue(()),
            _ => tell(&record, offset, length as u32),
        };
        Ok((length, flow))
    })
}

/// One record from its own bytes.
///
/// # Errors
/// Says what is wrong with them.
pub fn record(bytes: &[u8]) -> serde_json::Result<Record<'_>> {
    Record::deserialize(&mut Deserializer::from_slice(bytes))
}
