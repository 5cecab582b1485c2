//! Runs as verbs show them: documented JSON, and lines for a person.

use serde::Serialize;
use serde_json::Value;

use crate::model::{Counts, MapRunArn, RunState, Status, Timestamp, figures};
use crate::operations::failures;
use crate::operations::ledger::Attempt;
use crate::operations::lineage::Healing;
use crate::operations::rerun::Link;
use crate::operations::runs::Run;

/// A run in JSON; its members are documented in `fanout runs --help`.
#[derive(Debug, Serialize)]
pub struct RunView {
    pub name: String,
    pub arn: String,
    pub machine: String,
    pub state: RunState,
    pub status: Status,
    pub started: Timestamp,
    pub stopped: Option<Timestamp>,
    pub redrives: u32,
    pub error: Option<String>,
    /// The readable part.
    pub cause: Option<String>,
    /// As JSON where it is JSON.
    pub output: Option<Value>,
    pub map_run: Option<MapRunView>,
    /// The re-run that matters to what is open: `{by, is_whole}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healing: Option<Healing>,
    /// The run of whose items this is a re-run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<String>,
    /// As the ledger of this machine knows them.
    pub attempts: Vec<Attempt>,
}

#[derive(Debug, Serialize)]
pub struct MapRunView {
    pub arn: MapRunArn,
    pub status: Status,
    pub max_concurrency: u64,
    pub tolerated_percentage: f64,
    pub items: Counts,
}

impl RunView {
    pub fn of(run: &Run, now: Timestamp) -> Self {
        let execution = run.execution();
        let map_run = run.map_run().map(|map_run| MapRunView {
            arn: map_run.arn.clone(),
            status: map_run.status,
            max_concurrency: map_run.max_concurrency,
            tolerated_percentage: map_run.tolerated_percentage,
            items: map_run.items,
        });
        Self {
            name: execution.name.clone(),
            arn: execution.arn.to_string(),
            machine: execution.state_machine.name().to_owned(),
            state: run.state(now),
            status: execution.status,
            started: execution.started,
            stopped: execution.stopped,
            redrives: execution.redrive_count,
            error: run.detail.error.clone(),
            cause: run.detail.cause.as_deref().map(failures::message),
            output: run.detail.output.as_deref().map(json_or_text),
            map_run,
            healing: None,
            rerun_of: Link::of(&run.detail).map(|link| link.run),
            attempts: Vec::new(),
        }
    }
}

pub fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// To the second, UTC.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `612 of 1,000 done, 5 failed, 40 running, 348 waiting`. What is 0 is left out.
pub fn counts(items: &Counts) -> String {
    let mut text = format!(
        "{} of {} done",
        figures::count(items.done()),
        figures::count(items.total)
    );
    let waiting = items.pending + items.pending_redrive;
    for (count, what) in [
        (items.failures(), "failed"),
        (items.aborted, "aborted"),
        (items.running, "running"),
        (waiting, "waiting"),
    ] {
        if count != 0 {
            text += &format!(", {} {what}", figures::count(count));
        }
    }
    text
}

/// One line about a run that has ended, or not.
pub fn summary(run: &Run, now: Timestamp) -> String {
    let mut text = format!("{} {}", run.execution().name, run.state(now).word());
    if let Some(map_run) = run.map_run() {
        text += &format!(": {}", counts(&map_run.items));
    }
    if let Some(error) = &run.detail.error {
        text += &format!("; {error}");
    }
    if let Some(cause) = run
        .detail
        .cause
        .as_deref()
        .filter(|cause| !cause.is_empty())
    {
        let message: String = failures::message(cause).chars().take(300).collect();
        text += &format!(": {message}");
    }
    text
}

/// Rows under headings, columns as wide as they must be. The last one is not padded.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; N]| {
        let padded = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let headings = headings.map(str::to_owned);
    std::iter::once(&headings).chain(rows).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_leave_out_what_is_not_there() {
        let items = Counts {
            succeeded: 607,
            failed: 5,
            running: 40,
            pending: 348,
            total: 1_000,
            ..Counts::default()
        };
        assert_eq!(
            counts(&items),
            "612 of 1,000 done, 5 failed, 40 running, 348 waiting"
        );
        assert_eq!(counts(&Counts::default()), "0 of 0 done");
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a", "1"], ["bcd", "22"]].map(|row| row.map(str::to_owned));
        assert_eq!(
            table(["N", "VALUE"], &rows),
            ["N    VALUE", "a    1", "bcd  22"]
        );
    }
}
