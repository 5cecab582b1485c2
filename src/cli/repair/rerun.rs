//! `rerun`: choosing lines, editing them, a canary first.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::args::Global;
use crate::cli::args::repair::{Choice, Rerun};
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Output, confirm, note};
use crate::cli::repair::{Patience, carry_out, dry_run, is_open, perform, state, state_of, write};
use crate::cli::runs;
use crate::cli::session::Session;
use crate::cli::views;
use crate::model::{ExecutionArn, Timestamp};
use crate::operations::failures::GroupKey;
use crate::operations::journal::Operation;
use crate::operations::plan::Plan;
use crate::operations::rerun::{self, Chosen, Lines, Subset, Wish, edit};
use crate::operations::runs::describe;

/// Changes shown before they are uploaded.
const SHOWN: usize = 50;

pub async fn rerun(
    session: &Session,
    arguments: &Rerun,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    let execution = session.find(&arguments.run).await?;
    let wish = Wish {
        chosen: chosen(session, &execution, &arguments.choice).await?,
        everything: arguments.choice.everything,
        name: arguments.name.clone(),
        one_by_one: arguments.batch_size.is_some(),
        limits: arguments.again.limits(),
        note: arguments.again.note.clone(),
        ..Wish::default()
    };
    let (execution, wish) = match arguments.canary {
        Some(of_each) if !arguments.dry_run => {
            let rest = canary(session, arguments, execution, wish, of_each, global, out).await?;
            match rest {
                Next::Rest(execution, wish) => (execution, *wish),
                Next::Done => return Ok(Exit::Done),
            }
        }
        Some(of_each) => {
            let mut wish = wish;
            wish.chosen.of_each_group = Some(of_each);
            (execution, wish)
        }
        None => (execution, wish),
    };
    let (mut plan, subset) = made(session, &execution, wish.clone()).await?;
    if let Some(mut subset) = subset.filter(|_| arguments.edit || arguments.edited.is_some()) {
        plan = edited(session, arguments, &execution, wish, &mut subset).await?;
    }
    let plans = vec![Plan::Rerun(Box::new(plan))];
    if arguments.dry_run {
        return dry_run(&plans, out);
    }
    if let Some(path) = &arguments.plan {
        return write(plans, path, out);
    }
    let patience = Patience::of(arguments.wait, arguments.limit, Some(&arguments.repeat));
    carry_out(session, plans, patience, global, out).await
}

async fn made(
    session: &Session,
    execution: &ExecutionArn,
    wish: Wish,
) -> Result<(rerun::Plan, Option<Subset>), Error> {
    let (client, prices) = (&session.client, &session.config.prices);
    Ok(rerun::plan(client, execution, wish, Timestamp::now(), prices).await?)
}

/// A re-run of what a re-run has left open. Its own choice is what it was started with.
pub(super) async fn next(
    session: &Session,
    execution: &ExecutionArn,
    before: &rerun::Plan,
    now: Timestamp,
) -> Result<rerun::Plan, Error> {
    // Lines that were never chosen stay where they are, also when a merged output names them.
    let wish = Wish {
        name: None,
        chosen: Chosen {
            of_each_group: None,
            ..before.wish.chosen.clone()
        },
        ..before.wish.clone()
    };
    let prices = &session.config.prices;
    Ok(rerun::plan(&session.client, execution, wish, now, prices)
        .await?
        .0)
}

async fn chosen(
    session: &Session,
    execution: &ExecutionArn,
    choice: &Choice,
) -> Result<Chosen, Error> {
    let mut chosen = Chosen {
        errors: choice.error.clone(),
        children: choice.child.iter().map(ExecutionArn::new).collect(),
        of_each_group: choice.of_each_group,
        ..Chosen::default()
    };
    if let Some(lines) = &choice.lines {
        chosen.lines = Lines::parse(lines).map_err(|it| Error::usage(format!("--lines {it}")))?;
    }
    if let Some(query) = &choice.query {
        let narrowed = chosen.query(query);
        chosen = narrowed.map_err(|it| Error::usage(format!("--query {it}")))?;
    }
    if !choice.group.is_empty() {
        let run = describe(&session.client, execution).await?;
        let there = match run.map_run() {
            Some(map_run) => rerun::groups(&session.client, map_run).await?,
            None => Vec::new(),
        };
        for group in &choice.group {
            chosen.groups.extend(fitting(group, &there)?);
        }
    }
    Ok(chosen)
}

/// Groups by number, whole text, or a part of it.
fn fitting(wanted: &str, there: &[(GroupKey, u64)]) -> Result<Vec<GroupKey>, Error> {
    let text = |key: &GroupKey| format!("{}: {}", key.error, key.message);
    let number: Option<usize> = wanted.parse().ok();
    let of_number = number.and_then(|number| there.get(number.checked_sub(1)?));
    let found: Vec<GroupKey> = match of_number {
        Some((key, _)) => vec![key.clone()],
        None => {
            let exact = there.iter().filter(|(key, _)| text(key) == wanted);
            let part = there.iter().filter(|(key, _)| text(key).contains(wanted));
            let exact: Vec<GroupKey> = exact.map(|(key, _)| key.clone()).collect();
            match exact.is_empty() {
                true => part.map(|(key, _)| key.clone()).collect(),
                false => exact,
            }
        }
    };
    if found.is_empty() {
        let known: Vec<String> = there
            .iter()
            .zip(1..)
            .map(|((key, count), number)| format!("{number}: {} ({count})", text(key)))
            .collect();
        return Err(Error::refused(match known.as_slice() {
            [] => format!("--group {wanted}: the run has no failures"),
            known => format!(
                "--group {wanted}: no such group; there are {}",
                known.join(", ")
            ),
        }));
    }
    Ok(found)
}

/// Lets the chosen lines be changed, shows what was, and plans anew.
async fn edited(
    session: &Session,
    arguments: &Rerun,
    execution: &ExecutionArn,
    wish: Wish,
    subset: &mut Subset,
) -> Result<rerun::Plan, Error> {
    let path = match &arguments.edited {
        Some(path) => path.clone(),
        None => open_editor(subset)?,
    };
    let changed = edit::read(subset, &path).map_err(|error| {
        let kept = path.display();
        Error::from(error).hint(format!(
            "what you wrote is kept: mend it and give --edited {kept}"
        ))
    })?;
    for change in changed.changes.iter().take(SHOWN) {
        note(format!("{:>9} - {}", change.n, change.old));
        match &change.new {
            Some(new) => note(format!("{:>9} + {new}", "")),
            None => note(format!("{:>9}   taken out", "")),
        }
    }
    match changed.changes.len() {
        0 => note("nothing was changed"),
        all => note(format!(
            "{all} changed, {} taken out",
            changed.left_out.len()
        )),
    }
    if arguments.edited.is_none() {
        note(format!("what you wrote is kept in {}", path.display()));
    }
    let wish = Wish {
        edits: changed.edits,
        left_out: changed.left_out,
        ..wish
    };
    Ok(made(session, execution, wish).await?.0)
}

fn open_editor(subset: &mut Subset) -> Result<PathBuf, Error> {
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.trim().is_empty()));
    let Some(editor) = editor else {
        return Err(Error::usage("--edit needs $VISUAL or $EDITOR")
            .hint("or write the lines yourself and give them with --edited"));
    };
    let folder = tempfile::Builder::new().prefix("fanout-edit-").tempdir()?;
    // Kept: what somebody has written is never thrown away.
    let path = folder.keep().join("lines.jsonl");
    edit::write(subset, &path)?;
    launch(&editor, &path)?;
    Ok(path)
}

fn launch(editor: &str, path: &Path) -> Result<(), Error> {
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or_default();
    let status = Command::new(program).args(words).arg(path).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::refused(format!(
            "{program} ended with {status}: nothing was done"
        ))),
        Err(error) => Err(Error::usage(format!("{program}: {error}"))),
    }
}

/// What comes after a canary.
enum Next {
    Rest(ExecutionArn, Box<Wish>),
    /// Nothing is left.
    Done,
}

/// Runs a few of each group first. What is left then is chosen from the canary's run where that was
/// merged into an output, else from the run itself without what the canary has run.
async fn canary(
    session: &Session,
    arguments: &Rerun,
    execution: ExecutionArn,
    wish: Wish,
    of_each: u64,
    global: &Global,
    out: &mut Output,
) -> Result<Next, Error> {
    let mut first = wish.clone();
    first.chosen.of_each_group = Some(of_each);
    let (plan, subset) = made(session, &execution, first).await?;
    let mut numbers = std::collections::BTreeSet::new();
    if let Some(mut subset) = subset {
        subset.each(|n, _| {
            numbers.insert(n);
            Ok(())
        })?;
    }
    let (target, merges, items) = (plan.target(), plan.merges_with.is_some(), plan.items);
    let plan = Plan::Rerun(Box::new(plan));
    plan.allowed().map_err(Error::refused)?;
    let shown = views::grouped(items);
    confirm(
        global,
        &format!(
            "canary {}: {shown} items, {of_each} of each group?",
            target.name()
        ),
    )?;
    let (client, state) = (&session.client, state());
    let mut operation = Operation::begin(state.as_deref(), client, vec![plan], Timestamp::now())?;
    perform(session, &mut operation, true, global, out).await?;
    runs::until_closed(session, &operation.executions(), arguments.limit).await?;
    let (ended, succeeded, failed) = state_of(session, &target).await?;
    let share = failed as f64 * 100.0 / (succeeded + failed).max(1) as f64;
    note(format!(
        "canary {} is {}: {succeeded} succeeded, {failed} failed ({share:.1} %)",
        target.name(),
        ended.word()
    ));
    let tolerated = arguments.again.tolerate.unwrap_or(0.0);
    if global.yes && tolerated < share {
        return Err(Error::refused(format!(
            "{share:.1} % of the canary failed and {tolerated} % are tolerated: the rest is left \
             alone"
        )));
    }
    let (execution, wish) =
        match merges && !matches!(ended.word(), "FAILED" | "TIMEOUT" | "STOPPED") {
            true => (target, wish),
            false => {
                let left_out = numbers;
                (execution, Wish { left_out, ..wish })
            }
        };
    let (rest, _) = made(session, &execution, wish.clone()).await?;
    if rest.items == 0 {
        note("nothing else is left");
        return Ok(match is_open(ended) && 0 < failed {
            true => return Err(Error::refused("the canary itself has not succeeded whole")),
            false => Next::Done,
        });
    }
    confirm(
        global,
        &format!("run the other {} items?", views::grouped(rest.items)),
    )?;
    Ok(Next::Rest(execution, Box::new(wish)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_number_text_or_part() {
        let key = |error: &str| GroupKey {
            error: error.to_owned(),
            message: "m".to_owned(),
        };
        let there = [(key("A.Timeout"), 5), (key("B.Timeout"), 2)];
        assert_eq!(
            fitting("2", &there).expect("the second"),
            [key("B.Timeout")]
        );
        assert_eq!(fitting("Timeout", &there).expect("both").len(), 2);
        assert_eq!(
            fitting("A.Timeout: m", &there).expect("one"),
            [key("A.Timeout")]
        );
        for none in ["0", "3", "C"] {
            let error = fitting(none, &there).expect_err("none");
            assert!(error.text.contains("1: A.Timeout: m (5)"), "{}", error.text);
        }
    }
}
