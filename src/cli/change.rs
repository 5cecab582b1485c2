//! `stop` and `limits`: changing a run that exists.

use serde_json::json;

use crate::cli::args::Global;
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Format, Output, VERSION, confirm};
use crate::cli::session::Session;
use crate::model::{Limits, Status, figures};
use crate::operations::runs::describe;

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
                most => figures::count(most),
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
