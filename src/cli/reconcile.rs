//! `outputs reconcile|merge`: whether every line has its result, and one file of all of them.

use std::path::Path;

use serde_json::json;

use crate::cli::args::Global;
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Format, Meter, Output, VERSION, confirm};
use crate::cli::repair;
use crate::cli::session::Session;
use crate::cli::start::{mark, say_checks};
use crate::model::figures;
use crate::operations::merge::{self, Merged, Plan, To};
use crate::operations::plan;
use crate::operations::reconcile::{self, Lines, Reconciliation};
use crate::operations::runs;

pub async fn reconcile(
    session: &Session,
    run: &str,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    let execution = session.find(run).await?;
    let run = runs::describe(&session.client, &execution).await?;
    let meter = Meter::new(global, format!("reconcile {}", execution.name()));
    let found = reconcile::of(&session.client, &run, move |progress| meter.show(progress)).await?;
    match out.format {
        Format::Text => show(&found, out)?,
        _ => out.document(&json!({
            "version": VERSION,
            "complete": found.is_complete(),
            "reconciliation": found,
        }))?,
    }
    Ok(exit_of(found.is_complete()))
}

fn exit_of(is_complete: bool) -> Exit {
    match is_complete {
        true => Exit::Done,
        false => Exit::Part,
    }
}

fn show(found: &Reconciliation, out: &mut Output) -> Result<(), Error> {
    let counted = |label: &str, count: u64| (label.to_owned(), count, String::new());
    let named = |label: &str, lines: &Lines| (label.to_owned(), lines.count, lines.named());
    let rows = [
        counted("input lines", found.lines),
        counted("succeeded", found.succeeded),
        named("failed", &found.failed),
        named("never started", &found.never_started),
        named("no result", &found.missing),
        named("succeeded twice", &found.duplicates),
    ];
    for (label, count, lines) in rows {
        let line = format!("{label:<16} {:>11}  {lines}", figures::count(count));
        out.line(line.trim_end())?;
    }
    for source in &found.sources {
        let bytes = figures::bytes(source.bytes);
        out.line(format!("read {} of {}, {bytes}", source.kind, source.run))?;
    }
    for note in &found.notes {
        out.line(format!("note: {note}"))?;
    }
    out.line(match found.is_complete() {
        true => "complete: every line has succeeded".to_owned(),
        false => {
            let open = figures::count(found.lines - found.succeeded);
            format!("incomplete: {open} lines are open")
        }
    })
}

async fn planned(session: &Session, run: &str, to: Option<&str>) -> Result<Plan, Error> {
    let execution = session.find(run).await?;
    let run = runs::describe(&session.client, &execution).await?;
    let to = to.map(To::parse).transpose()?;
    Ok(merge::plan(&session.client, &run, to).await?)
}

/// The plan alone.
pub async fn plan(
    session: &Session,
    run: &str,
    to: Option<&str>,
    out: &mut Output,
) -> Result<Exit, Error> {
    let plan = planned(session, run, to).await?;
    match out.format {
        Format::Text => {
            let lines = figures::count(plan.lines);
            let name = plan.execution.name();
            out.line(format!("merge {name}, {lines} lines, into {}", plan.to))?;
            for source in &plan.sources {
                for object in &source.objects {
                    out.line(format!("  {} of {}: {object}", source.kind, source.run))?;
                }
            }
            for check in &plan.checks {
                out.line(format!("{} {}", mark(check.verdict), check.text))?;
            }
        }
        _ => out.document(&json!({"version": VERSION, "plan": plan}))?,
    }
    Ok(match plan.allowed() {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Refused,
    })
}

/// The plan into a file.
pub async fn save(
    session: &Session,
    run: &str,
    to: Option<&str>,
    file: &Path,
    out: &mut Output,
) -> Result<Exit, Error> {
    let plan = planned(session, run, to).await?;
    let plan = plan::Plan::Merge(Box::new(plan));
    repair::write(vec![plan], file, out)
}

pub async fn merge(
    session: &Session,
    run: &str,
    to: Option<&str>,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    let plan = planned(session, run, to).await?;
    plan.allowed().map_err(Error::refused)?;
    say_checks(&plan.checks, false);
    // A new file here is no more than a download.
    if let To::Object(object) = &plan.to {
        confirm(
            global,
            &format!("write {object} from {} sources?", plan.sources.len()),
        )?;
    }
    let meter = Meter::new(global, format!("merge {}", plan.execution.name()));
    let merged = merge::run(&session.client, &plan, move |progress| meter.show(progress)).await?;
    match out.format {
        Format::Text => say(&merged, out)?,
        _ => out.document(&json!({"version": VERSION, "merged": merged}))?,
    }
    Ok(exit_of(merged.failed.is_none()))
}

fn say(merged: &Merged, out: &mut Output) -> Result<(), Error> {
    let (lines, succeeded) = (merged.lines, figures::count(merged.succeeded));
    let was = match merged.existed {
        true => ", as it was",
        false => "",
    };
    let all = figures::count(lines);
    out.line(format!(
        "{}  {succeeded} of {all} lines{was}",
        merged.output
    ))?;
    match &merged.failed {
        Some(failed) => {
            let open = figures::count(lines - merged.succeeded);
            out.line(format!("{failed}  {open} lines are open"))
        }
        None => Ok(()),
    }
}
