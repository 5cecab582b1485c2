//! The ResultWriter: result files and manifest, or the state's output, made straight from the log
//! in bounded memory.
//!
//! What is written follows from the log alone, so that writing again after a crash gives the same
//! objects (developer guide, "ResultWriter"; layout and member order as recorded from AWS).

use std::io::{self, Write};

use serde_json::value::RawValue;
use serde_json::{Value, json};

mod files;
mod record;

use super::handle::{Handle, damaged};
use super::log::{End, Reader, Record, decode};
use super::{ChildStatus, Quotas, ResultFile, Row};
use crate::engine::definition::Transformation;
use crate::engine::machine::{Destination, Failure, MAX_PAYLOAD};
use crate::engine::objects::{Objects, ObjectsError};
use files::Files;
use record::ChildRecord;

/// Why results could not be written.
pub enum Error {
    Objects(ObjectsError),
    Io(io::Error),
    /// Longer than a state's output may be.
    TooLong,
}

impl From<ObjectsError> for Error {
    fn from(error: ObjectsError) -> Self {
        Self::Objects(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new("States.Runtime", error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = match error {
            Error::Objects(error) => error.to_string(),
            Error::Io(error) => error.to_string(),
            Error::TooLong => "they are longer than a state's output may be".to_owned(),
        };
        Self::new(
            "States.ResultWriterFailed",
            format!("The results cannot be written: {text}"),
        )
    }
}

/// What was written in one round.
pub struct Written {
    /// SUCCEEDED files of all rounds.
    pub succeeded: Vec<ResultFile>,
    pub manifest: String,
}

/// Folder of this round's files: `<prefix>/<map run id>[/Redrive-N]`.
fn folder(destination: &Destination, map_run: &str, round: u32) -> String {
    let id = map_run.rsplit(':').next().unwrap_or(map_run);
    let prefix = destination.prefix.trim_end_matches('/');
    let base = if prefix.is_empty() {
        id.to_owned()
    } else {
        format!("{prefix}/{id}")
    };
    if round == 0 {
        base
    } else {
        format!("{base}/Redrive-{round}")
    }
}

/// Writes a test object, as AWS does before it starts the first child.
pub fn try_destination(
    objects: &Objects,
    destination: &Destination,
    map_run: &str,
) -> Result<(), Failure> {
    let key = format!("{}/manifest.json", folder(destination, map_run, 0));
    objects
        .write(&destination.bucket, &key)
        .map(drop)
        .map_err(|error| {
            let cause = format!(
                "Failed to write a test manifest into the specified output bucket. {error}"
            );
            Failure::new("States.ResultWriterFailed", cause)
        })
}

/// Writes the files of the present round and its manifest.
pub fn write(
    handle: &Handle,
    objects: &Objects,
    destination: &Destination,
    quotas: &Quotas,
) -> Result<Written, Error> {
    let (round, from, mut succeeded) = {
        let table = handle.table();
        (
            table.round,
            table.round_offset,
            table.succeeded_files.clone(),
        )
    };
    let folder = folder(destination, &handle.row.plan.arn, round);
    let shape = handle.row.plan.shape();
    let files = |category| {
        let most = quotas.result_file_bytes;
        Files::new(objects, destination, &folder, category, shape.lines, most)
    };
    let mut reader = handle.reader();

    // One room for the text of every record.
    let mut text = Vec::new();

    let mut success = files("SUCCEEDED");
    each_success(handle, from, |row, end| {
        contribution(handle, &mut reader, row, end, &mut text, &mut |text| {
            success.add(text)
        })
    })?;
    let written = success.finish(round > 0)?;
    // Written before and again now, after a crash in between: listed once.
    succeeded.retain(|file| !written.contains(file));
    succeeded.extend(written);

    let mut failed = files("FAILED");
    for status in [
        ChildStatus::Failed,
        ChildStatus::TimedOut,
        ChildStatus::Aborted,
        ChildStatus::PendingRedrive,
    ] {
        let children: Vec<u32> = handle.table().in_status(status).collect();
        for child in children {
            text.clear();
            record(handle, &mut reader, child, &mut text)?;
            failed.add(&text)?;
        }
    }
    let failed = failed.finish(round > 0)?;

    let mut pending = files("PENDING");
    let mut next = handle.table().next_pending(0);
    while let Some(child) = next {
        let input = handle.input(&mut reader, child)?;
        let record =
            json!({"Input": input, "InputDetails": {"Included": true}, "Status": "PENDING"});
        pending.add(record.to_string().as_bytes())?;
        next = handle.table().next_pending(child + 1);
    }
    let pending = pending.finish(false)?;

    let manifest = format!("{folder}/manifest.json");
    let content = json!({
        "DestinationBucket": destination.bucket,
        "MapRunArn": handle.row.plan.arn,
        "ResultFiles": {"FAILED": failed, "PENDING": pending, "SUCCEEDED": succeeded},
    });
    let mut writing = objects.write(&destination.bucket, &manifest)?;
    writing.write_all(content.to_string().as_bytes())?;
    writing.commit(false)?;
    Ok(Written {
        succeeded,
        manifest,
    })
}

/// The children that succeeded in this round, in the order of their ends.
fn each_success(
    handle: &Handle,
    from: u64,
    mut visit: impl FnMut(&Row, &End<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut scan = handle.reader();
    let mut at = from.max(super::log::Log::start());
    // Nothing is being appended now.
    let end = handle.end();
    while at < end {
        let Some(payload) = scan.read(at)? else {
            return Err(super::handle::lost(handle.path(), "is shorter than it was").into());
        };
        let next = Reader::after(at, payload.len());
        if let Some(Record::End(end)) = decode(payload) {
            let row = handle.table().row(end.child).copied();
            let is_newest = row.is_some_and(|row| row.last == at);
            if let (Some(row), true, ChildStatus::Succeeded) = (row, is_newest, end.status) {
                visit(&row, &end)?;
            }
        }
        at = next;
    }
    Ok(())
}

/// Gives out what a child that succeeded contributes, as JSON texts; `text` is room to work in.
fn contribution(
    handle: &Handle,
    reader: &mut Reader,
    row: &Row,
    end: &End<'_>,
    text: &mut Vec<u8>,
    give: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let output = end.output.unwrap_or(b"null");
    match handle.row.plan.shape().transformation {
        Transformation::None => {
            let input = handle.input(reader, end.child)?;
            text.clear();
            ChildRecord::new(handle, row, end, &input).write(text);
            give(text)
        }
        Transformation::Compact => give(output),
        Transformation::Flatten => match serde_json::from_slice::<Vec<&RawValue>>(output) {
            Ok(elements) => elements
                .iter()
                .try_for_each(|element| give(element.get().as_bytes())),
            Err(_) => give(output),
        },
    }
}

/// The results as the state's output: one array, in the order of the items. A child that failed
/// within the tolerance stands there with everything known of it.
pub fn collect(handle: &Handle) -> Result<Value, Failure> {
    let mut reader = handle.reader();
    let mut inputs = handle.reader();
    let mut room = Vec::new();
    let mut text = Vec::from(*b"[");
    let mut give = |result: &[u8]| {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(result);
        if text.len() < MAX_PAYLOAD {
            Ok(())
        } else {
            Err(Error::TooLong)
        }
    };
    let children = handle.table().size() as u32;
    for child in 0..children {
        let row = handle.table().row(child).copied();
        let ended = match row {
            Some(row) => reader
                .read(row.last)?
                .and_then(decode)
                .map(|end| (row, end)),
            None => None,
        };
        match ended {
            Some((row, Record::End(end))) if end.status == ChildStatus::Succeeded => {
                contribution(handle, &mut inputs, &row, &end, &mut room, &mut give)
            }
            _ => {
                room.clear();
                record(handle, &mut inputs, child, &mut room).and_then(|()| give(&room))
            }
        }
        .map_err(|error| match error {
            Error::TooLong => too_long(handle),
            Error::Objects(_) | Error::Io(_) => {
                Failure::new("States.Runtime", damaged(child).to_string())
            }
        })?;
    }
    text.push(b']');
    serde_json::from_slice(&text).map_err(|error| Failure::new("States.Runtime", error.to_string()))
}

fn too_long(handle: &Handle) -> Failure {
    let state = handle.row.plan.context.pointer("/State/Name");
    let state = state.and_then(Value::as_str).unwrap_or_default();
    let cause = format!(
        "The state/task '{state}' returned a result with a size exceeding the maximum number of bytes service limit."
    );
    Failure::new("States.DataLimitExceeded", cause)
}

/// Writes the record of an ended child, as result files have it, after what `text` holds.
fn record(
    handle: &Handle,
    reader: &mut Reader,
    child: u32,
    text: &mut Vec<u8>,
) -> Result<(), Error> {
    let row = handle.table().row(child).copied();
    let row = row.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let input = handle.input(reader, child)?;
    match reader.read(row.last)?.and_then(decode) {
        Some(Record::End(end)) => {
            ChildRecord::new(handle, &row, &end, &input).write(text);
            Ok(())
        }
        _ => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    }
}
