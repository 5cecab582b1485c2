//! `redrive`, `stop` and `limits`: changing a run that exists.

use serde_json::json;

use crate::cli::args::{Global, TimeLimit};
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Format, Output, VERSION, confirm, note};
use crate::cli::runs;
use crate::cli::session::Session;
use crate::cli::start::{mark, say_checks};
use crate::cli::views;
use crate::model::{Limits, Status, Timestamp};
use crate::operations::redrive::{self, Plan};
use crate::operations::runs::describe;

pub struct Redrive<'a> {
    pub run: &'a str,
    pub dry_run: bool,
    pub wait: bool,
    pub limit: TimeLimit,
}

pub async fn redrive(
    session: &Session,
    arguments: Redrive<'_>,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    let execution = session.find(arguments.run).await?;
    let plan = redrive::plan(&session.client, &execution, Timestamp::now()).await?;
    if arguments.dry_run {
        return dry_run(&plan, out);
    }
    if plan.allowed.is_ok() {
        say_checks(&plan.checks, false);
        let what = views::grouped(plan.will_run());
        confirm(
            global,
            &format!("redrive {}: {what} items run again?", execution.name()),
        )?;
    }
    let at = redrive::run(&session.client, &plan).await?;
    if arguments.wait {
        note(format!(
            "redriven {}: {} items",
            execution.name(),
            views::grouped(plan.will_run())
        ));
        let ended = runs::until_closed(session, &[execution], arguments.limit).await?;
        runs::print(&ended, out)?;
        return Ok(runs::exit_of(&ended));
    }
    match out.format {
        Format::Text => out.line(format!(
            "redriven {}: {} items run again",
            execution.name(),
            views::grouped(plan.will_run())
        ))?,
        _ => out.document(&json!({"version": VERSION, "plan": plan, "redriven": at}))?,
    }
    if session.owns_engine() {
        note("the embedded engine stops with this command: `fanout wait last` goes on with it");
    }
    Ok(Exit::Done)
}

fn dry_run(plan: &Plan, out: &mut Output) -> Result<Exit, Error> {
    match out.format {
        Format::Text => show(plan, out)?,
        _ => {
            out.document(&json!({"version": VERSION, "plan": plan, "will_run": plan.will_run()}))?;
        }
    }
    match plan.allowed {
        Ok(()) => Ok(Exit::Done),
        Err(_) => Ok(Exit::Refused),
    }
}

fn show(plan: &Plan, out: &mut Output) -> Result<(), Error> {
    out.line(format!(
        "redrive {} {}",
        plan.execution.name(),
        plan.state.word()
    ))?;
    if let Err(reason) = &plan.allowed {
        return out.line(format!("  ✗ {reason}"));
    }
    for (what, count) in [
        ("failed", plan.failed),
        ("timed out", plan.timed_out),
        ("aborted", plan.aborted),
        ("never started", plan.never_started),
        ("not redrivable", plan.not_redrivable),
        ("will run", plan.will_run()),
        ("succeeded, kept", plan.succeeded),
    ] {
        out.line(format!("  {what:<16} {:>12}", views::grouped(count)))?;
    }
    for check in &plan.checks {
        out.line(format!("  {} {}", mark(check.verdict), check.text))?;
    }
    out.line(format!("same as  {}", plan.command()))
}

pub async fn stop(
    session: &Session,
    run: &str,
    cause: Option<&str>,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    let execution = session.find(run).await?;
    let name = execution.name();
    let detail = session.client.execution(&execution).await?;
    if detail.execution.status != Status::Running {
        return Err(Error::refused(format!(
            "{name} is {}: there is nothing to stop",
            detail.execution.status.as_str()
        )));
    }
    confirm(global, &format!("stop {name}? what has succeeded is kept."))?;
    session
        .client
        .stop_execution(&execution, Some("fanout.Stopped"), cause)
        .await?;
    match out.format {
        Format::Text => out.line(format!(
            "stopped {name}: Express children under way end by themselves; `fanout redrive {name}` goes on"
        ))?,
        _ => out.document(&json!({"version": VERSION, "stopped": name}))?,
    }
    Ok(Exit::Done)
}

pub async fn limits(
    session: &Session,
    run: &str,
    limits: Limits,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    let execution = session.find(run).await?;
    let run = describe(&session.client, &execution).await?;
    let going = run.map_run().filter(|map_run| !map_run.status.is_closed());
    let Some(map_run) = going else {
        return Err(Error::refused(format!(
            "{} has no Map Run that is going: limits can be changed while it runs only",
            execution.name()
        )));
    };
    confirm(
        global,
        &format!("change the limits of {}?", execution.name()),
    )?;
    session.client.update_map_run(&map_run.arn, limits).await?;
    let now = session.client.map_run(&map_run.arn).await?;
    match out.format {
        Format::Text => out.line(format!(
            "{}: {} children at once, {} % tolerated",
            execution.name(),
            match now.max_concurrency {
                0 => "the most".to_owned(),
                most => views::grouped(most),
            },
            now.tolerated_percentage
        ))?,
        _ => out.document(&json!({
            "version": VERSION,
            "map_run": now.arn,
            "max_concurrency": now.max_concurrency,
            "tolerated_percentage": now.tolerated_percentage,
        }))?,
    }
    Ok(Exit::Done)
}
