//! The ResultWriter: result files and manifest, written straight from the log in bounded memory.
//!
//! What is written follows from the log alone, so that writing again after a crash gives the same
//! objects (developer guide, "ResultWriter"; layout and member order as recorded from AWS).

use std::io::{self, BufWriter, Write};

use serde_json::{Value, json};

use super::handle::Handle;
use super::log::{End, Reader, Record, decode};
use super::{ChildStatus, ResultFile, Row, iso};
use crate::engine::definition::ChildKind;
use crate::engine::machine::{Destination, Failure};
use crate::engine::objects::{Objects, ObjectsError, Writing};

/// A result file is closed and the next one opened when it has reached this many bytes.
const ROLL_OVER: u64 = 5_000_000_000;

/// Why results could not be written.
pub enum Error {
    Objects(ObjectsError),
    Io(io::Error),
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

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = match error {
            Error::Objects(error) => error.to_string(),
            Error::Io(error) => error.to_string(),
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
    let files = |category| Files::new(objects, destination, &folder, category);
    let mut reader = handle.reader();

    let mut success = files("SUCCEEDED");
    each_success(handle, &mut reader, from, |record| success.add(record))?;
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
            failed.add(&record(handle, &mut reader, child)?)?;
        }
    }
    let failed = failed.finish(round > 0)?;

    let mut pending = files("PENDING");
    let mut next = handle.table().next_pending(0);
    while let Some(child) = next {
        let input = handle.input(&mut reader, child)?;
        pending.add(
            &json!({"Input": input, "InputDetails": {"Included": true}, "Status": "PENDING"}),
        )?;
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

/// Records of the children that succeeded in this round, in the order of their ends.
fn each_success(
    handle: &Handle,
    reader: &mut Reader,
    from: u64,
    mut visit: impl FnMut(&Value) -> Result<(), Error>,
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
                let input = handle.input(reader, end.child)?;
                visit(&ended(handle, end.child, &row, &end, &input))?;
            }
        }
        at = next;
    }
    Ok(())
}

/// The record of an ended child, as result files have it.
pub fn record(handle: &Handle, reader: &mut Reader, child: u32) -> Result<Value, Error> {
    let row = handle.table().row(child).copied();
    let row = row.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let input = handle.input(reader, child)?;
    let payload = reader
        .read(row.last)?
        .map(<[u8]>::to_vec)
        .unwrap_or_default();
    match decode(&payload) {
        Some(Record::End(end)) => Ok(ended(handle, child, &row, &end, &input)),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    }
}

fn ended(handle: &Handle, child: u32, row: &Row, end: &End<'_>, input: &str) -> Value {
    let succeeded = end.status == ChildStatus::Succeeded;
    let mut record = serde_json::Map::new();
    let mut put = |name: &str, value: Value| record.insert(name.to_owned(), value);
    if let Some(cause) = end.cause {
        put("Cause", cause.into());
    }
    if let Some(error) = end.error {
        put("Error", error.into());
    }
    put("ExecutionArn", handle.names.arn(child).into());
    put("Input", input.into());
    put("InputDetails", json!({"Included": true}));
    put("Name", handle.names.name(child).into());
    if let Some(output) = end.output {
        put("Output", String::from_utf8_lossy(output).into());
        put("OutputDetails", json!({"Included": true}));
    }
    put("RedriveCount", row.redrives.into());
    if handle.row.plan.children == ChildKind::Standard {
        let status = if succeeded {
            "NOT_REDRIVABLE"
        } else {
            "REDRIVABLE_BY_MAP_RUN"
        };
        put("RedriveStatus", status.into());
        if succeeded {
            put(
                "RedriveStatusReason",
                "Execution is SUCCEEDED and cannot be redriven".into(),
            );
        }
    }
    put("StartDate", iso(row.started).into());
    put("StateMachineArn", handle.names.state_machine_arn().into());
    put("Status", end.status.as_str().into());
    put("StopDate", iso(row.stopped).into());
    Value::Object(record)
}

/// The files of one category, each a JSON array.
struct Files<'f> {
    objects: &'f Objects,
    destination: &'f Destination,
    folder: &'f str,
    category: &'static str,
    open: Option<Open>,
    done: Vec<ResultFile>,
}

struct Open {
    key: String,
    writing: BufWriter<Writing>,
    bytes: u64,
}

impl<'f> Files<'f> {
    fn new(
        objects: &'f Objects,
        destination: &'f Destination,
        folder: &'f str,
        category: &'static str,
    ) -> Self {
        Self {
            objects,
            destination,
            folder,
            category,
            open: None,
            done: Vec::new(),
        }
    }

    fn add(&mut self, record: &Value) -> Result<(), Error> {
        let text = record.to_string();
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open_next()?,
        };
        open.writing
            .write_all(if open.bytes == 0 { b"[" } else { b"," })?;
        open.writing.write_all(text.as_bytes())?;
        open.bytes += text.len() as u64 + 1;
        if open.bytes >= ROLL_OVER {
            self.close()
        } else {
            Ok(())
        }
    }

    fn open_next(&mut self) -> Result<&mut Open, Error> {
        let key = format!("{}/{}_{}.json", self.folder, self.category, self.done.len());
        let writing = BufWriter::with_capacity(
            256 << 10,
            self.objects.write(&self.destination.bucket, &key)?,
        );
        Ok(self.open.insert(Open {
            key,
            writing,
            bytes: 0,
        }))
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        open.writing
            .write_all(if open.bytes == 0 { b"[]" } else { b"]" })?;
        let writing = open
            .writing
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        let info = writing.commit(true)?;
        self.done.push(ResultFile {
            key: open.key,
            size: info.size,
        });
        Ok(())
    }

    /// `even_empty`: a redrive writes a file of two bytes where there is nothing to tell.
    fn finish(mut self, even_empty: bool) -> Result<Vec<ResultFile>, Error> {
        if even_empty && self.open.is_none() && self.done.is_empty() {
            self.open_next()?;
        }
        self.close()?;
        Ok(self.done)
    }
}
