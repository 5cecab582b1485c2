//! `failures --attempts`: what each attempt at a run has left, and so whether a redrive helped.

use serde_json::json;

use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Format, Output, VERSION};
use crate::cli::repair::state;
use crate::cli::session::Session;
use crate::cli::views;
use crate::model::{ExecutionArn, MapRun, Timestamp, figures};
use crate::operations::ledger::{self, Attempt, Ledger};
use crate::operations::lineage;
use crate::operations::runs::{Run, describe};

pub async fn attempts(session: &Session, run: &str, out: &mut Output) -> Result<Exit, Error> {
    let execution = session.find(run).await?;
    let run = describe(&session.client, &execution).await?;
    let mut known = known_of(session, &run)?;
    let family = lineage::family(&session.client, &run).await?;
    let re_runs = family.iter().filter(|it| it.execution().arn != execution);
    for re_run in re_runs {
        known.extend(known_of(session, re_run)?);
    }
    let healing = lineage::healing(&run, &family);
    match out.format {
        Format::Text if known.is_empty() => out.line("no attempt is known")?,
        Format::Text => {
            for attempt in &known {
                out.line(line(attempt, &execution))?;
            }
            if let Some(healing) = &healing {
                out.line(healing.words())?;
            }
        }
        Format::Json => {
            let mut told = json!({"version": VERSION, "run": execution.name(), "attempts": known});
            if let Some(healing) = &healing {
                told["healing"] = json!(healing);
            }
            out.document(&told)?;
        }
        Format::Ndjson => {
            for attempt in &known {
                out.row(attempt)?;
            }
        }
    }
    Ok(Exit::Done)
}

/// The attempts at one execution: its first and its redrives, as far as this machine's ledger knows
/// them, and the one that it is at.
pub fn known_of(session: &Session, run: &Run) -> Result<Vec<Attempt>, Error> {
    let target = ledger::target(&session.client);
    let mut known = match state() {
        Some(state) => Ledger::in_folder(&state).attempts_of(&target, &run.execution().arn)?,
        None => Vec::new(),
    };
    // What it is like now, of which the ledger need not know yet.
    if let Some(map_run) = run.map_run() {
        known.retain(|attempt| !is_of(attempt, map_run));
        known.push(Attempt::of(target, map_run, &[], false, Timestamp::now()));
    }
    Ok(known)
}

/// Whether it is the attempt that the Map Run is at.
fn is_of(attempt: &Attempt, map_run: &MapRun) -> bool {
    attempt.map_run == map_run.arn && attempt.attempt == map_run.redrive_count
}

/// An attempt on a line; one of another execution than `run` is named, being a re-run's.
fn line(attempt: &Attempt, run: &ExecutionArn) -> String {
    let counts = &attempt.counts;
    let open = counts.failures() + counts.aborted + counts.pending + counts.pending_redrive;
    let re_run = match attempt.execution == *run {
        true => String::new(),
        false => format!("re-run {}, ", attempt.execution.name()),
    };
    let mut text = format!(
        "{}  {re_run}attempt {}: {} succeeded, {} open",
        views::time(attempt.at),
        attempt.attempt + 1,
        figures::count(counts.succeeded),
        figures::count(open)
    );
    if let Some(largest) = attempt.groups.first() {
        let count = figures::count(largest.count);
        text += &format!(", {count} of them {}: {}", largest.error, largest.message);
    }
    if let Some(note) = &attempt.note {
        text += &format!("  ({note})");
    }
    text
}
