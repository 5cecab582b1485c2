//! `resume`: what was interrupted, and going on with it.

use serde_json::json;

use crate::cli::args::Global;
use crate::cli::args::repair::Resume;
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Format, Output, VERSION, confirm};
use crate::cli::repair::{perform, state};
use crate::cli::runs;
use crate::cli::session::Session;
use crate::model::Timestamp;
use crate::operations::journal::{Interrupted, Item, Operation, Stage};
use crate::operations::ledger;

pub async fn resume(
    session: &Session,
    arguments: &Resume,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    let Some(state) = state() else {
        return Err(Error::usage(
            "no home folder is known, and so no journals: set HOME",
        ));
    };
    let Some(name) = &arguments.operation else {
        return list(&Operation::unfinished(&state)?, out);
    };
    let mut operation = Operation::read(&state, name)?;
    if arguments.forget {
        operation.forget(Timestamp::now())?;
        return say(&operation, "forgotten", out);
    }
    let here = ledger::target(&session.client);
    if operation.target != here {
        return Err(Error::refused(format!(
            "{name} is of {}, and this is {here}: go there with --profile, --region or --local",
            operation.target
        )));
    }
    if !operation.is_unfinished() {
        return Err(Error::refused(format!("{name} has nothing left to do")));
    }
    let (left, all) = (operation.left(), operation.items.len());
    confirm(global, &format!("go on with {name}: {left} of {all} left?"))?;
    perform(session, &mut operation, true, global, out).await?;
    if arguments.wait {
        let executions = operation.executions();
        let ended = runs::until_closed(session, &executions, arguments.limit).await?;
        runs::print_ended(session, &ended, out).await?;
        return Ok(runs::exit_of(&ended));
    }
    say(&operation, "done", out)
}

fn list(operations: &[Operation], out: &mut Output) -> Result<Exit, Error> {
    if out.format != Format::Text {
        let rows: Vec<Interrupted> = operations.iter().map(Operation::in_short).collect();
        out.document(&json!({"version": VERSION, "operations": rows}))?;
        return Ok(Exit::Done);
    }
    if operations.is_empty() {
        out.line("nothing was interrupted")?;
    }
    for it in operations {
        let (left, all) = (it.left(), it.items.len());
        out.line(format!(
            "{}  {left} of {all} left  {}  {}",
            it.name, it.target, it.what
        ))?;
    }
    Ok(Exit::Done)
}

fn say(operation: &Operation, how: &str, out: &mut Output) -> Result<Exit, Error> {
    let count = |is: fn(&Item) -> bool| operation.items.iter().filter(|item| is(item)).count();
    let accepted = count(|item| matches!(item.stage, Stage::Accepted { .. }));
    let refused = count(|item| matches!(item.stage, Stage::Refused(_)));
    match out.format {
        Format::Text => out.line(format!(
            "{} {how}: {accepted} accepted, {refused} refused, {} left",
            operation.name,
            operation.left()
        ))?,
        _ => out.document(&json!({"version": VERSION, "operation": operation.name,
            "accepted": accepted, "refused": refused, "left": operation.left()}))?,
    }
    Ok(Exit::Done)
}
