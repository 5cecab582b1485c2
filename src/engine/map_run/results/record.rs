//! The record of a child in a result file. Written a million times: straight into its text, with no
//! JSON value between.

use std::borrow::Cow;

use serde::Serialize;

use crate::engine::definition::ChildKind;
use crate::engine::map_run::handle::Handle;
use crate::engine::map_run::log::End;
use crate::engine::map_run::{ChildStatus, Row, iso};

/// Members in the order in which AWS writes them, which is the alphabet's.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChildRecord<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'r str>,
    execution_arn: String,
    input: &'r str,
    input_details: Included,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_details: Option<Included>,
    redrive_count: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    redrive_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redrive_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redrive_status_reason: Option<&'static str>,
    start_date: String,
    state_machine_arn: &'r str,
    status: &'static str,
    stop_date: String,
}

/// That nothing was cut.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Included {
    included: bool,
}

const INCLUDED: Included = Included { included: true };

impl<'r> ChildRecord<'r> {
    pub(super) fn new(handle: &'r Handle, row: &Row, end: &End<'r>, input: &'r str) -> Self {
        let name = handle.names.name(end.child);
        let succeeded = end.status == ChildStatus::Succeeded;
        // Express children are always run again; their records say nothing of it.
        let standard = handle.row.plan.children == ChildKind::Standard;
        let (redriven, refusal) = {
            let table = handle.table();
            // As of its end: what is written follows from the log alone.
            let refusal = table.refusal(end.child, row.stopped);
            (table.redriven_at(end.child), refusal)
        };
        let reason = match succeeded {
            true => Some("Execution is SUCCEEDED and cannot be redriven"),
            false => refusal,
        };
        Self {
            cause: end.cause,
            error: end.error,
            execution_arn: handle.names.arn_of(&name),
            input,
            input_details: INCLUDED,
            name,
            output: end.output.map(String::from_utf8_lossy),
            output_details: end.output.map(|_| INCLUDED),
            redrive_count: row.redrives,
            redrive_date: redriven.map(iso),
            redrive_status: standard.then_some(if reason.is_some() {
                "NOT_REDRIVABLE"
            } else {
                "REDRIVABLE_BY_MAP_RUN"
            }),
            redrive_status_reason: reason.filter(|_| standard),
            start_date: iso(row.started),
            state_machine_arn: handle.names.state_machine_arn(),
            status: end.status.as_str(),
            stop_date: iso(row.stopped),
        }
    }

    /// Writes the record after what `text` holds.
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        serde_json::to_writer(text, self).expect("strings and numbers always have a JSON text");
    }
}
