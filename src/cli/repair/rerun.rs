//! `rerun`: choosing lines, editing them, a canary first.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::args::Global;
use crate::cli::args::repair::{Choice, Rerun};
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Output, confirm, note};
use crate::cli::repair::{perform, state};
use crate::cli::runs;
use crate::cli::session::Session;
use crate::model::{ExecutionArn, Timestamp, figures};
use crate::operations::failures::GroupKey;
use crate::operations::journal::Operation;
use crate::operations::plan::Plan;
use crate::operations::rerun::canary::{Canary, Rest};
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
    let is_for_one = arguments.canary.is_some()
        || arguments.edit
        || arguments.edited.is_some()
        || arguments.name.is_some();
    if 1 < arguments.runs.len() && is_for_one {
        return Err(Error::usage(
            "--canary, --edit, --edited and --name are for one run",
        ));
    }
    let mut plans = Vec::new();
    for run in &arguments.runs {
        let mut execution = session.find(run).await?;
        let mut wish = Wish {
            chosen: chosen(session, &execution, &arguments.choice).await?,
            everything: arguments.choice.everything,
            name: arguments.name.clone(),
            one_by_one: arguments.batch_size.is_some(),
            limits: arguments.how.again.limits(),
            note: arguments.how.again.note.clone(),
            ..Wish::default()
        };
        match arguments.canary {
            Some(of_each) if arguments.how.dry_run => wish.chosen.of_each_group = Some(of_each),
            Some(of_each) => {
                let rest = canary(session, arguments, &execution, wish, of_each, global, out);
                match rest.await? {
                    Some(rest) => (execution, wish) = rest,
                    None => return Ok(Exit::Done),
                }
            }
            None => {}
        }
        let (mut plan, mut items) = made(session, &execution, wish.clone()).await?;
        let is_edited = arguments.edit || arguments.edited.is_some();
        if let Some(mut subset) = items.take_if(|_| is_edited) {
            (plan, items) = edited(session, arguments, &execution, wish, &mut subset).await?;
        }
        plans.push((Plan::Rerun(Box::new(plan)), items));
    }
    arguments.how.go(session, plans, global, out).await
}

async fn made(
    session: &Session,
    execution: &ExecutionArn,
    wish: Wish,
) -> Result<(rerun::Plan, Option<Subset>), Error> {
    let (client, prices) = (&session.client, &session.config.prices);
    Ok(rerun::plan(client, execution, wish, Timestamp::now(), prices).await?)
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
) -> Result<(rerun::Plan, Option<Subset>), Error> {
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
    made(session, execution, wish).await
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

/// Runs a few of each group first; gives the rest, `None` when nothing is left.
async fn canary(
    session: &Session,
    arguments: &Rerun,
    execution: &ExecutionArn,
    wish: Wish,
    of_each: u64,
    global: &Global,
    out: &mut Output,
) -> Result<Option<(ExecutionArn, Wish)>, Error> {
    let (client, prices) = (&session.client, &session.config.prices);
    let mut canary = Canary::plan(client, execution, wish, of_each, prices).await?;
    let plan = Plan::Rerun(Box::new(canary.plan.clone()));
    plan.allowed().map_err(Error::refused)?;
    let (name, shown) = (&canary.plan.name, figures::count(canary.plan.items));
    confirm(
        global,
        &format!("canary {name}: {shown} items, {of_each} of each group?"),
    )?;
    let plans = vec![(plan, canary.items.take())];
    let mut operation = Operation::begin(state().as_deref(), client, plans, Timestamp::now())?;
    perform(session, &mut operation, true, global, out).await?;
    runs::until_closed(session, &operation.executions(), arguments.how.limit).await?;
    let ended = canary.ended(client).await?;
    note(ended.words());
    if let (true, Err(reason)) = (global.yes, ended.tolerable()) {
        return Err(Error::refused(format!("{reason}: the rest is left alone")));
    }
    let (execution, wish) = ended.rest.clone();
    let (rest, _) = made(session, &execution, wish.clone()).await?;
    match ended.rest_words(&rest) {
        Rest::Some(question) => confirm(global, &question)?,
        Rest::None(words) => {
            note(words);
            return Ok(None);
        }
        Rest::Impossible(words) => return Err(Error::refused(words)),
    }
    Ok(Some((execution, wish)))
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
