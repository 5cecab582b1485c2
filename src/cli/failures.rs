//! `failures`: what went wrong, line by line or by cause.

use serde_json::{Value, json};

use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Format, Output, VERSION, note};
use crate::cli::session::Session;
use crate::cli::views;
use crate::model::Failure;
use crate::operations::failures::{self, Failures, Group};
use crate::operations::runs;

/// Characters of a cause on a line.
const SHOWN: usize = 160;

pub async fn run(
    session: &Session,
    run: &str,
    group: bool,
    limit: usize,
    out: &mut Output,
) -> Result<Exit, Error> {
    let execution = session.find(run).await?;
    let run = runs::describe(&session.client, &execution).await?;
    let Some(map_run) = run.map_run() else {
        return Err(Error::refused(format!(
            "{} has no Map Run: nothing has run line by line yet",
            run.execution().name
        )));
    };
    let found = failures::of(&session.client, map_run, limit).await?;
    match group {
        true => print_groups(&found, out)?,
        false => print_failures(&found, out)?,
    }
    if out.is_text() {
        note(source(&found, map_run.items.failures()));
    }
    Ok(Exit::Done)
}

/// Where they come from and how many there are besides.
fn source(found: &Failures, counted: u64) -> String {
    let shown = views::grouped(found.items.len() as u64);
    match found.exact {
        true => format!("{shown} failures, all there are, from {}", found.source),
        false => format!(
            "{shown} of {} failures, from {}",
            views::grouped(counted),
            found.source
        ),
    }
}

fn print_failures(found: &Failures, out: &mut Output) -> Result<(), Error> {
    let views = found.items.iter().map(view);
    match out.format {
        Format::Text => {
            for failure in &found.items {
                out.line(line(failure))?;
            }
            Ok(())
        }
        Format::Ndjson => {
            let mut views = views;
            views.try_for_each(|failure| out.document(&failure))
        }
        Format::Json => {
            let views: Vec<Value> = views.collect();
            out.document(&json!({
                "version": VERSION, "exact": found.exact, "source": found.source, "failures": views,
            }))
        }
    }
}

fn view(failure: &Failure) -> Value {
    json!({
        "line": failure.line,
        "error": failure.error,
        "cause": failure.cause.as_deref().map(failures::message),
        "status": failure.status,
        "child": failure.child,
        "stopped": failure.stopped,
        "input": failure.input.as_deref().map(views::json_or_text),
    })
}

fn line(failure: &Failure) -> String {
    let number = failure.line.map_or("?".to_owned(), |line| line.to_string());
    let error = failure.error.as_deref().unwrap_or(failure.status.as_str());
    let cause = failures::message(failure.cause.as_deref().unwrap_or_default());
    let cause: String = cause.chars().take(SHOWN).collect();
    format!("line {number}  {error}  {cause}")
        .trim_end()
        .to_owned()
}

fn print_groups(found: &Failures, out: &mut Output) -> Result<(), Error> {
    let groups = failures::group(&found.items);
    match out.format {
        Format::Text => {
            for line in group_lines(&groups) {
                out.line(line)?;
            }
            Ok(())
        }
        Format::Ndjson => groups.iter().try_for_each(|group| out.document(group)),
        Format::Json => out.document(&json!({
            "version": VERSION, "exact": found.exact, "source": found.source, "groups": groups,
        })),
    }
}

/// Groups as a table: how many, which lines, error, cause.
pub fn group_lines(groups: &[Group]) -> Vec<String> {
    let cells: Vec<[String; 4]> = groups
        .iter()
        .map(|group| {
            let lines = match (group.first_line, group.last_line) {
                (Some(first), Some(last)) if first == last => first.to_string(),
                (Some(first), Some(last)) => format!("{first}-{last}"),
                _ => "?".to_owned(),
            };
            let message = group.message.chars().take(SHOWN).collect();
            [
                views::grouped(group.count),
                lines,
                group.error.clone(),
                message,
            ]
        })
        .collect();
    views::table(["COUNT", "LINES", "ERROR", "CAUSE"], &cells)
}
