//! `runs`, `watch`, `wait` and `machines`: looking without changing anything.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::json;

use crate::cli::args::TimeLimit;
use crate::cli::exit::{Error, Exit};
use crate::cli::follow::{Snapshot, follow, wait_for};
use crate::cli::output::{Format, Output, VERSION, note};
use crate::cli::repair::known_of;
use crate::cli::session::Session;
use crate::cli::views::{self, RunView};
use crate::model::{ExecutionArn, RunState, Timestamp, figures};
use crate::operations::lineage::{self, healing};
use crate::operations::runs::{self, Run};

/// Executions described at once.
const AT_ONCE: usize = 4;

pub async fn list(session: &Session, limit: u16, out: &mut Output) -> Result<Exit, Error> {
    let machine = session.machine().await?;
    let page = session
        .client
        .executions(&machine, None, limit, None)
        .await?;
    let client = &session.client;
    let described: Vec<Run> = stream::iter(page.items)
        .map(|row| async move { runs::describe(client, &row.arn).await })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    if out.is_text() {
        if described.is_empty() {
            note(format!(
                "{} has no executions yet: see `fanout start --help`",
                machine.name()
            ));
            return Ok(Exit::Done);
        }
        for line in rows(&described, Timestamp::now()) {
            out.line(line)?;
        }
        return Ok(Exit::Done);
    }
    print(session, &described, &described, out)?;
    Ok(Exit::Done)
}

fn rows(runs: &[Run], now: Timestamp) -> Vec<String> {
    let cells: Vec<[String; 7]> = runs
        .iter()
        .map(|run| {
            // Before the Map Run has started nothing is known, which is not the same as 0.
            let count = |of: fn(&crate::model::Counts) -> u64| {
                run.map_run()
                    .map_or("?".to_owned(), |map_run| figures::count(of(&map_run.items)))
            };
            [
                run.state(now).word().to_owned(),
                run.execution().name.clone(),
                views::time(run.execution().started),
                count(|items| items.total),
                count(super::super::model::Counts::done),
                count(super::super::model::Counts::failures),
                healing(run, runs).map_or_else(String::new, |it| it.words()),
            ]
        })
        .collect();
    views::table(
        [
            "STATE", "NAME", "STARTED", "ITEMS", "DONE", "FAILED", "NEXT",
        ],
        &cells,
    )
}

/// Runs that have ended, with what re-runs have done for them: unlike in a list, these are looked for.
pub async fn print_ended(session: &Session, ended: &[Run], out: &mut Output) -> Result<(), Error> {
    let kin = kin(session, ended).await;
    print(session, ended, &kin, out)
}

/// These runs and the re-runs of those that have left something open. Not finding them is no reason
/// to keep quiet about the run.
async fn kin(session: &Session, ended: &[Run]) -> Vec<Run> {
    let mut kin = ended.to_vec();
    for run in ended {
        let items = run.map_run().map(|it| it.items).unwrap_or_default();
        if items.succeeded < items.total {
            let found = lineage::family(&session.client, run).await;
            kin.extend(found.unwrap_or_default());
        }
    }
    kin
}

/// The runs in the format asked for: a line each, one document, or a document each.
fn print(session: &Session, runs: &[Run], kin: &[Run], out: &mut Output) -> Result<(), Error> {
    let now = Timestamp::now();
    match out.format {
        Format::Text => runs.iter().try_for_each(|run| {
            let healed =
                healing(run, kin).map_or_else(String::new, |it| format!("; {}", it.words()));
            out.line(views::summary(run, now) + &healed)
        }),
        Format::Json => {
            let views = runs.iter().map(|run| view(session, run, kin, now));
            let views: Vec<RunView> = views.collect::<Result<_, _>>()?;
            out.document(&json!({"version": VERSION, "runs": views}))
        }
        Format::Ndjson => runs.iter().try_for_each(|run| {
            let view = view(session, run, kin, now)?;
            out.document(&json!({"version": VERSION, "run": view}))
        }),
    }
}

fn view(session: &Session, run: &Run, kin: &[Run], now: Timestamp) -> Result<RunView, Error> {
    Ok(RunView {
        healing: healing(run, kin),
        attempts: known_of(session, run)?,
        ..RunView::of(run, now)
    })
}

/// The exit code for a caller that waited for all of these: the worst.
pub fn exit_of(runs: &[Run]) -> Exit {
    let now = Timestamp::now();
    let exits = runs.iter().map(|run| Exit::of(run.state(now)));
    exits.max().unwrap_or(Exit::Done)
}

pub async fn watch(session: &Session, run: &str, out: &mut Output) -> Result<Exit, Error> {
    let execution = session.find(run).await?;
    let again = session.command("watch", std::slice::from_ref(&execution));
    let ended = wait_for(session, None, again, async {
        follow(&session.client, &execution, |snapshot| show(snapshot, out)).await
    })
    .await?;
    match out.format {
        Format::Ndjson => {
            let kin = kin(session, std::slice::from_ref(&ended)).await;
            let view = view(session, &ended, &kin, Timestamp::now())?;
            out.document(&json!({"version": VERSION, "event": "end", "run": view}))?;
        }
        Format::Text | Format::Json => {
            print_ended(session, std::slice::from_ref(&ended), out).await?;
        }
    }
    Ok(exit_of(&[ended]))
}

fn show(snapshot: &Snapshot, out: &mut Output) -> Result<(), Error> {
    let now = Timestamp::now();
    match out.format {
        Format::Text => out.line(format!("{}  {}", views::time(now), line(snapshot, now))),
        Format::Ndjson => out.document(&json!({
            "version": VERSION,
            "event": "snapshot",
            "at": now,
            "name": snapshot.execution.name,
            "status": snapshot.execution.status,
            "items": snapshot.items,
        })),
        Format::Json => Ok(()),
    }
}

fn line(snapshot: &Snapshot, now: Timestamp) -> String {
    let state = RunState::of(&snapshot.execution, None, now);
    match &snapshot.items {
        Some(items) => format!("{:<8} {}", state.word(), views::counts(items)),
        None => state.word().to_owned(),
    }
}

pub async fn wait(
    session: &Session,
    names: &[String],
    limit: TimeLimit,
    out: &mut Output,
) -> Result<Exit, Error> {
    let mut executions = Vec::new();
    for name in names {
        executions.push(session.find(name).await?);
    }
    let ended = until_closed(session, &executions, limit).await?;
    print_ended(session, &ended, out).await?;
    Ok(exit_of(&ended))
}

/// Waits until all of these have ended, saying on stderr how far they are.
pub async fn until_closed(
    session: &Session,
    executions: &[ExecutionArn],
    limit: TimeLimit,
) -> Result<Vec<Run>, Error> {
    let each = executions.iter().map(|execution| {
        let mut told = None;
        follow(&session.client, execution, move |snapshot| {
            let tenth = snapshot
                .items
                .map(|items| items.done() * 10 / items.total.max(1));
            if tenth != told {
                told = tenth;
                let line = line(snapshot, Timestamp::now());
                note(format!("{} {line}", snapshot.execution.name));
            }
            Ok(())
        })
    });
    let again = session.command("wait", executions);
    let all = futures::future::try_join_all(each);
    wait_for(session, limit.timeout, again, all).await
}

pub async fn machines(session: &Session, out: &mut Output) -> Result<Exit, Error> {
    let machines = session.client.state_machines().await?;
    match out.format {
        Format::Json => out.document(&json!({"version": VERSION, "machines": machines}))?,
        Format::Ndjson => {
            for machine in &machines {
                out.row(machine)?;
            }
        }
        Format::Text => {
            let cells: Vec<[String; 4]> = machines
                .into_iter()
                .map(|machine| {
                    let created = views::time(machine.created);
                    [machine.name, machine.kind, created, machine.arn.to_string()]
                })
                .collect();
            for line in views::table(["NAME", "TYPE", "CREATED", "ARN"], &cells) {
                out.line(line)?;
            }
        }
    }
    Ok(Exit::Done)
}
