//! `failures`: what went wrong, line by line or by cause.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::exit::{Error, Exit};
use crate::cli::output::{self, Output, VERSION, note};
use crate::cli::session::Session;
use crate::cli::views;
use crate::config;
use crate::model::{Failure, MapRun, MapRunArn, Status, Timestamp, figures};
use crate::operations::export::Format;
use crate::operations::failures::{self, Failures, Group, Method, Survey, Trend};
use crate::operations::ledger::Ledger;
use crate::operations::runs::Run;
use crate::operations::{self, runs};

/// Characters of a cause on a line.
const SHOWN: usize = 160;

/// What is to be shown of the failures.
pub enum Wanted {
    /// At most so many.
    List(usize),
    Groups,
    File(PathBuf),
    /// Those of this line of the source.
    Line(u64),
}

pub async fn run(
    session: &Session,
    run: &str,
    wanted: Wanted,
    out: &mut Output,
) -> Result<Exit, Error> {
    let given = run;
    let execution = session.find(given).await?;
    let run = runs::describe(&session.client, &execution).await?;
    let Some(maps) = Maps::of(&run, given) else {
        let name = &run.execution().name;
        return Err(Error::refused(match end_outside(&run) {
            Some(end) => format!("{name} has no Map Run: {end}"),
            None => format!("{name} has no Map Run: nothing has run line by line yet"),
        }));
    };
    let map_run = maps.chosen;
    maps.say();
    if map_run.status == Status::Succeeded
        && let Some(end) = end_outside(&run)
    {
        note(format!("after its Map Run had succeeded, {end}"));
    }
    match wanted {
        Wanted::Groups => return groups(session, &maps, out).await,
        Wanted::File(file) => return export(session, map_run, &file, out).await,
        Wanted::Line(line) => return of_line(session, map_run, line, out).await,
        Wanted::List(limit) => {
            let found = failures::of(&session.client, map_run, limit).await?;
            print_failures(&found, &maps, out)?;
            if out.is_text() {
                note(source(&found, map_run.items.failures()));
            }
        }
    }
    Ok(Exit::Done)
}

/// What ended the run itself, where it failed.
fn end_outside(run: &Run) -> Option<String> {
    let status = run.execution().status;
    if !status.is_closed() || status == Status::Succeeded {
        return None;
    }
    let error = run.detail.error.iter().cloned();
    let cause = run.detail.cause.iter();
    let cause = cause.map(|it| failures::message(it).chars().take(SHOWN).collect());
    let said: Vec<String> = error.chain(cause).collect();
    let ended = format!("the run ended {}", status.as_str());
    Some(match said.is_empty() {
        true => ended,
        false => format!("{ended}: {}", said.join(": ")),
    })
}

/// The Map Run that is looked at, and those of the same run that are not.
struct Maps<'a> {
    chosen: &'a MapRun,
    others: Vec<&'a MapRunArn>,
}

impl<'a> Maps<'a> {
    /// The Map Run that `given` is the ARN of, else the one that matters most.
    fn of(run: &'a Run, given: &str) -> Option<Self> {
        let named = run.map_runs.iter().find(|it| it.arn.as_str() == given);
        let chosen = named.or_else(|| run.map_run())?;
        let others = run.map_runs.iter().map(|it| &it.arn);
        Some(Self {
            chosen,
            others: others.filter(|arn| **arn != chosen.arn).collect(),
        })
    }

    fn say(&self) {
        if self.others.is_empty() {
            return;
        }
        let others: Vec<&str> = self.others.iter().map(|arn| arn.as_str()).collect();
        note(format!(
            "{} Map Runs: these are the failures of {}; for others give {}",
            1 + others.len(),
            self.chosen.arn.label(),
            others.join(" or ")
        ));
    }
}

/// Writes all failures into a new file.
async fn export(
    session: &Session,
    map_run: &MapRun,
    file: &Path,
    out: &mut Output,
) -> Result<Exit, Error> {
    let Some(format) = Format::of(file) else {
        return Err(Error::usage(format!(
            "--export {}: the name has to end with .csv, .json or .jsonl",
            file.display()
        )));
    };
    let all = failures::Wanted::default();
    let done = failures::export(&session.client, map_run, file, format, &all).await?;
    match out.is_text() {
        true => {
            let rows = figures::count(done.rows);
            let all = if done.exact { ", all there are" } else { "" };
            let source = &done.source;
            note(format!("wrote {rows} failures{all}, from {source}"));
            out.line(file.display().to_string())?;
        }
        false => out.document(&json!({
            "version": VERSION, "file": file, "rows": done.rows,
            "exact": done.exact, "source": done.source,
        }))?,
    }
    Ok(Exit::Done)
}

/// Shows what failed of one line of the source, and how that is known.
async fn of_line(
    session: &Session,
    map_run: &MapRun,
    line: u64,
    out: &mut Output,
) -> Result<Exit, Error> {
    if !map_run.status.is_closed() {
        return Err(Error::refused(
            "the Map Run is going on: which lines failed is known when it has ended",
        ));
    }
    let cache = config::cache_dir()?;
    let found = failures::of_line(&session.client, map_run, line, &cache).await?;
    let view = |(failure, method): &(Failure, Method)| {
        let mut view = view(failure);
        view["line"] = match method {
            Method::Candidates(_) => Value::Null,
            _ => json!(line),
        };
        view["line_method"] = json!(method.words());
        view
    };
    match out.format {
        output::Format::Text => {
            for (failure, method) in &found {
                out.line(self::line(failure, Some(line)))?;
                note(format!("line {line}: matched {}", method.words()));
            }
            if found.is_empty() {
                note(format!("no failure is known to be of line {line}"));
            }
        }
        output::Format::Ndjson => found.iter().try_for_each(|it| out.row(&view(it)))?,
        output::Format::Json => {
            let views: Vec<Value> = found.iter().map(view).collect();
            out.document(&json!({"version": VERSION, "failures": views}))?;
        }
    }
    Ok(Exit::Done)
}

/// Where they come from and how many there are besides.
fn source(found: &Failures, counted: u64) -> String {
    let shown = figures::count(found.items.len() as u64);
    match found.exact {
        true => format!("{shown} failures, all there are, from {}", found.source),
        false => format!(
            "{shown} of {} failures, from {}",
            figures::count(counted),
            found.source
        ),
    }
}

fn print_failures(found: &Failures, maps: &Maps, out: &mut Output) -> Result<(), Error> {
    let views = found.items.iter().map(view);
    match out.format {
        output::Format::Text => {
            for failure in &found.items {
                out.line(line(failure, failure.line))?;
            }
            Ok(())
        }
        output::Format::Ndjson => {
            let mut views = views;
            views.try_for_each(|failure| out.row(&failure))
        }
        output::Format::Json => {
            let views: Vec<Value> = views.collect();
            out.document(&json!({
                "version": VERSION, "map_run": maps.chosen.arn, "other_map_runs": maps.others,
                "exact": found.exact, "source": found.source, "failures": views,
            }))
        }
    }
}

fn view(failure: &Failure) -> Value {
    json!({
        "line": failure.line,
        "line_method": failure.line.map(|_| Method::Number.words()),
        "error": failure.error,
        "cause": failure.cause.as_deref().map(failures::message),
        "status": failure.status,
        "child": failure.child,
        "stopped": failure.stopped,
        "input": failure.input.as_deref().map(views::json_or_text),
    })
}

fn line(failure: &Failure, number: Option<u64>) -> String {
    let number = number.map_or("?".to_owned(), |line| line.to_string());
    let error = failure.error.as_deref().unwrap_or(failure.status.as_str());
    let cause = failures::message(failure.cause.as_deref().unwrap_or_default());
    let cause: String = cause.chars().take(SHOWN).collect();
    format!("line {number}  {error}  {cause}")
        .trim_end()
        .to_owned()
}

/// All failures in groups, however many; a sample of them while the Map Run goes on.
async fn groups(session: &Session, maps: &Maps<'_>, out: &mut Output) -> Result<Exit, Error> {
    const SAMPLE: usize = 1_000;
    let map_run = maps.chosen;
    let client = &session.client;
    let mut found = match map_run.status.is_closed() {
        true => failures::survey(client, map_run, |_| {}).await?,
        false => failures::sample(client, map_run, SAMPLE, Vec::new()).await?,
    };
    let ledger = config::state_dir().ok().map(|it| Ledger::in_folder(&it));
    let now = Timestamp::now();
    let completed = failures::complete(client, map_run, &mut found, ledger.as_ref(), now).await;
    match completed {
        Ok(()) => {}
        // The groups are worth more than the ledger beside them.
        Err(error @ operations::Error::File { .. }) => note(format!("the ledger: {error}")),
        Err(error) => return Err(error.into()),
    }
    match out.format {
        output::Format::Text => {
            for line in group_lines(&found.groups) {
                out.line(line)?;
            }
            note(what_was_read(&found));
        }
        output::Format::Ndjson => found.groups.iter().try_for_each(|it| out.row(it))?,
        output::Format::Json => out.document(&json!({
            "version": VERSION, "map_run": maps.chosen.arn, "other_map_runs": maps.others,
            "exact": found.exact, "source": found.source, "read": found.read, "counted": found.counted, "margin": found.margin(),
            "aborted": found.aborted, "never_started": map_run.items.pending,
            "not_redrivable": map_run.items.failures_not_redrivable, "groups": found.groups,
        }))?,
    }
    Ok(Exit::Done)
}

fn what_was_read(found: &Survey) -> String {
    let read = figures::count(found.read);
    let items: Option<u64> = found.groups.iter().map(|group| group.items).sum();
    let of_items = match items {
        Some(items) if items != found.read => format!(" of {} items", figures::count(items)),
        _ => String::new(),
    };
    let aborted = match found.aborted {
        0 => String::new(),
        count => format!("; {} more were stopped with the run", figures::count(count)),
    };
    if found.exact {
        return format!(
            "{read} failures{of_items}, all there are, from {}{aborted}",
            found.source
        );
    }
    let margin = found.margin();
    let margin = margin.map_or_else(String::new, |it| format!(", ±{it:.0} %"));
    let counted = figures::count(found.counted);
    format!(
        "{read} of {counted} failures read{of_items}{margin}, from {}{aborted}",
        found.source
    )
}

/// Groups as a table: how many items, which lines, when, how it goes on, where, error, cause.
pub fn group_lines(groups: &[Group]) -> Vec<String> {
    let clock = |at: Option<Timestamp>| {
        at.map_or_else(String::new, |at| at.strftime("%H:%M:%S").to_string())
    };
    let cells: Vec<[String; 8]> = groups
        .iter()
        .map(|group| {
            let lines = match (group.first_line, group.last_line) {
                (Some(first), Some(last)) if first == last => first.to_string(),
                (Some(first), Some(last)) => format!("{first}-{last}"),
                _ => "?".to_owned(),
            };
            [
                match group.items {
                    Some(items) if items == group.count => figures::count(items),
                    _ => group.size(""),
                },
                lines,
                clock(group.first),
                clock(group.last),
                group.trend.map_or("", Trend::word).to_owned(),
                group.state.clone().unwrap_or_default(),
                group.error.clone(),
                group.message.chars().take(SHOWN).collect(),
            ]
        })
        .collect();
    views::table(
        [
            "ITEMS", "LINES", "FIRST", "LAST", "TREND", "STATE", "ERROR", "CAUSE",
        ],
        &cells,
    )
}
