//! `logs`: what a run wrote, and writes.

use std::collections::BTreeSet;

use serde_json::json;
use tokio::sync::mpsc;

use crate::cli::exit::{Error, Exit};
use crate::cli::follow::{Trouble, wait_for};
use crate::cli::output::{Format, Output, VERSION, note};
use crate::cli::session::Session;
use crate::operations;
use crate::operations::logs::{self, Line, Phase, Query, Sources, Update};

/// States that are named where the one asked for has no lines.
const STATES: usize = 50;
/// Updates that wait for the printing.
const WAITING: usize = 64;

pub struct Logs<'a> {
    /// Name or ARN of an execution or a child.
    pub run: &'a str,
    pub follow: bool,
    /// In the service's filter language.
    pub pattern: String,
    pub state: Option<String>,
    pub limit: usize,
}

pub async fn run(session: &Session, arguments: Logs<'_>, out: &mut Output) -> Result<Exit, Error> {
    let arn = session.find(arguments.run).await?;
    let mut query = Query::of(&session.client, &arn).await?;
    query.pattern.clone_from(&arguments.pattern);
    query.follow = arguments.follow;
    let (updates, inbox) = mpsc::channel(WAITING);
    let following = logs::follow(session.client.clone(), query, updates);
    let printed = async {
        let printing = print(&arguments, inbox, out);
        let ((), printed) = tokio::join!(following, printing);
        printed
    };
    let verb = if arguments.follow {
        "logs --follow"
    } else {
        "logs"
    };
    let again = session.command(verb, std::slice::from_ref(&arn));
    wait_for(session, None, again, printed).await?;
    Ok(Exit::Done)
}

/// Lines of the past are held back until all are there: groups are read one after the other.
async fn print(
    arguments: &Logs<'_>,
    mut inbox: mpsc::Receiver<Result<Update, operations::Error>>,
    out: &mut Output,
) -> Result<(), Error> {
    let mut trouble = Trouble::default();
    let mut sources: Option<Sources> = None;
    let mut found = None;
    let mut past: Option<Vec<Line>> = Some(Vec::new());
    let mut printed = Printed::default();
    while let Some(update) = inbox.recv().await {
        match update {
            Err(operations::Error::Client(error)) => trouble.take(error)?,
            Err(error) => return Err(error.into()),
            Ok(Update::Sources(known)) => {
                trouble.over();
                sources = Some(known);
            }
            Ok(Update::Lines(lines)) => {
                printed.note_states(&lines);
                let fits = |line: &Line| fits(line, arguments.state.as_deref());
                let mut lines: Vec<Line> = lines.into_iter().filter(fits).collect();
                printed.fitting += lines.len();
                match &mut past {
                    Some(past) => {
                        past.append(&mut lines);
                        keep_newest(past, arguments.limit.saturating_mul(2));
                    }
                    None => {
                        lines.sort_by_key(|line| line.at);
                        print_lines(&lines, out)?;
                    }
                }
            }
            Ok(Update::Phase(Phase::Reading { .. })) => {}
            Ok(Update::Phase(phase)) => {
                if let Phase::Found(method) = &phase {
                    found = Some(method.to_string());
                }
                if let (Phase::Polling { why, .. }, true) = (&phase, out.is_text()) {
                    note(format!("{why}; asking every few seconds"));
                }
                if let Some(mut lines) = past.take_if(|_| out.format != Format::Json) {
                    keep_newest(&mut lines, arguments.limit);
                    lines.sort_by_key(|line| line.at);
                    print_lines(&lines, out)?;
                }
            }
            Ok(Update::Sampled(true)) => note("more lines come than a live tail sends: a sample"),
            Ok(Update::Sampled(false)) => {}
        }
    }
    if printed.fitting == 0
        && let Some(said) = nothing(arguments, &printed)
    {
        note(said);
    }
    if out.is_text() {
        note(about(sources.as_ref(), found.as_deref()));
    }
    if out.format == Format::Json {
        let mut lines = past.unwrap_or_default();
        keep_newest(&mut lines, arguments.limit);
        lines.sort_by_key(|line| line.at);
        out.document(&json!({
            "version": VERSION, "sources": sources, "found": found, "lines": lines,
        }))?;
    }
    Ok(())
}

/// What came, for the word that is said where nothing of it was wanted.
#[derive(Default)]
struct Printed {
    fitting: usize,
    states: BTreeSet<String>,
}

impl Printed {
    fn note_states(&mut self, lines: &[Line]) {
        let states = lines.iter().filter_map(|line| line.state.as_deref());
        let states = states.flat_map(|states| states.split(','));
        self.states.extend(states.map(str::to_owned).take(STATES));
    }
}

/// Why there is no line, where that is what was asked for.
fn nothing(arguments: &Logs<'_>, printed: &Printed) -> Option<String> {
    if let Some(state) = &arguments.state {
        let known: Vec<&str> = printed.states.iter().map(String::as_str).collect();
        return Some(match known.is_empty() {
            true => format!("no line is of the state {state}"),
            false => format!(
                "no line is of the state {state}; there are lines of {}",
                known.join(", ")
            ),
        });
    }
    (!arguments.pattern.is_empty()).then(|| format!("no line fits {}", arguments.pattern))
}

fn fits(line: &Line, state: Option<&str>) -> bool {
    let Some(wanted) = state else { return true };
    let states = line.state.as_deref().unwrap_or_default();
    states.split(',').any(|state| state == wanted)
}

fn keep_newest(lines: &mut Vec<Line>, most: usize) {
    if lines.len() > most {
        lines.sort_by_key(|line| line.at);
        lines.drain(..lines.len() - most);
    }
}

fn print_lines(lines: &[Line], out: &mut Output) -> Result<(), Error> {
    for line in lines {
        match out.format {
            Format::Text => out.line(text(line))?,
            Format::Json | Format::Ndjson => out.row(line)?,
        }
    }
    Ok(())
}

fn text(line: &Line) -> String {
    let group = line.group.rsplit('/').next().unwrap_or(&line.group);
    let cut = match line.cut {
        0 => String::new(),
        bytes => format!(" … {bytes} bytes more"),
    };
    let at = line.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    format!("{at}  {group}  {}{cut}", line.message)
}

/// Where the lines came from, and what is missing.
fn about(sources: Option<&Sources>, found: Option<&str>) -> String {
    let Some(sources) = sources else {
        return "no lines".to_owned();
    };
    let names: Vec<&str> = sources
        .groups
        .iter()
        .filter(|group| group.exists)
        .map(|group| &*group.name)
        .collect();
    let from = match names.as_slice() {
        [] => "no log group of this run exists".to_owned(),
        names => format!("from {}", names.join(", ")),
    };
    let parts = std::iter::once(from)
        .chain(found.map(str::to_owned))
        .chain(sources.missing.iter().cloned());
    parts.collect::<Vec<_>>().join("; ")
}
