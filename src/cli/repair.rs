//! `redrive` and `apply`: plans shown, written down, carried out.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::args::Global;
use crate::cli::args::TimeLimit;
use crate::cli::args::repair::{Apply, Redrive};
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Format, Output, VERSION, confirm, note};
use crate::cli::runs;
use crate::cli::session::Session;
use crate::cli::start::say_checks;
use crate::cli::views;
use crate::model::{ExecutionArn, Timestamp};
use crate::operations::plan::{Plan, Saved};
use crate::operations::redrive;

mod show;

use show::show;

pub async fn redrive(
    session: &Session,
    arguments: &Redrive,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    let mut plans = Vec::new();
    for run in &arguments.runs {
        let execution = session.find(run).await?;
        let prices = &session.config.prices;
        let plan = redrive::plan(&session.client, &execution, Timestamp::now(), prices).await?;
        plans.push(Plan::Redrive(Box::new(redrive::Plan {
            limits: arguments.again.limits(),
            note: arguments.again.note.clone(),
            ..plan
        })));
    }
    if arguments.dry_run {
        return dry_run(&plans, out);
    }
    if let Some(path) = &arguments.plan {
        return write(plans, path, out);
    }
    let wait = arguments.wait.then_some(arguments.limit);
    carry_out(session, &plans, wait, global, out).await
}

pub async fn apply(
    session: &Session,
    arguments: &Apply,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    let saved = Saved::read(&arguments.file)?;
    let prices = &session.config.prices;
    let (plan, moved) = saved
        .plan
        .again(&session.client, Timestamp::now(), prices)
        .await?;
    for change in &moved {
        note(format!("! since the plan was made: {change}"));
    }
    let plans = [plan];
    if arguments.dry_run {
        let exit = dry_run(&plans, out)?;
        return Ok(exit.max(match moved.is_empty() {
            true => Exit::Done,
            false => Exit::Refused,
        }));
    }
    if !moved.is_empty() {
        let file = arguments.file.display();
        return Err(
            Error::refused(format!("{file} no longer fits: {}", moved.join("; ")))
                .hint("look at it with --dry-run and make a new plan"),
        );
    }
    let wait = arguments.wait.then_some(arguments.limit);
    carry_out(session, &plans, wait, global, out).await
}

fn dry_run(plans: &[Plan], out: &mut Output) -> Result<Exit, Error> {
    match (out.format, plans) {
        (Format::Text, plans) => {
            for plan in plans {
                show(plan, out)?;
            }
        }
        (_, [plan]) => out.document(&planned(plan))?,
        (_, plans) => {
            let plans: Vec<Value> = plans.iter().map(planned).collect();
            out.document(&json!({"version": VERSION, "plans": plans}))?;
        }
    }
    let refused = plans.iter().any(|plan| plan.allowed().is_err());
    Ok(match refused {
        true => Exit::Refused,
        false => Exit::Done,
    })
}

/// The same document as a file of `--plan`, with the sum.
fn planned(plan: &Plan) -> Value {
    json!({"version": VERSION, "plan": inner(plan), "will_run": plan.will_run()})
}

/// The plan without the word of what kind it is, which the verb has said.
fn inner(plan: &Plan) -> Value {
    match plan {
        Plan::Redrive(plan) => json!(plan),
    }
}

fn write(plans: Vec<Plan>, path: &Path, out: &mut Output) -> Result<Exit, Error> {
    let mut plans = plans.into_iter();
    let (Some(plan), None) = (plans.next(), plans.next()) else {
        return Err(Error::usage("--plan takes one run"));
    };
    plan.allowed().map_err(Error::refused)?;
    let saved = Saved::new(plan, Timestamp::now());
    saved.write(path)?;
    let shown = path.display();
    match out.format {
        Format::Text => out.line(format!("wrote {shown}: run it with `fanout apply {shown}`"))?,
        _ => out.document(&json!({"version": VERSION, "file": path, "plan": saved.plan}))?,
    }
    Ok(Exit::Done)
}

/// Asks, does, and waits where that is wanted.
async fn carry_out(
    session: &Session,
    plans: &[Plan],
    wait: Option<TimeLimit>,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    for plan in plans {
        if let Err(reason) = plan.allowed() {
            return Err(Error::refused(reason));
        }
        say_checks(plan.checks(), false);
    }
    confirm(global, &question(plans))?;
    let mut done: Vec<(ExecutionArn, Timestamp)> = Vec::new();
    for plan in plans {
        let at = match plan {
            Plan::Redrive(plan) => redrive::run(&session.client, plan, &redrive::token()).await?,
        };
        done.push((plan.execution().clone(), at));
        say_done(plan, wait.is_some(), out)?;
    }
    if let Some(limit) = wait {
        let executions: Vec<ExecutionArn> = done.into_iter().map(|(arn, _)| arn).collect();
        let ended = runs::until_closed(session, &executions, limit).await?;
        runs::print(&ended, out)?;
        return Ok(runs::exit_of(&ended));
    }
    if out.format != Format::Text {
        let entry = |(plan, (_, at)): (&Plan, &(ExecutionArn, Timestamp))| json!({"plan": inner(plan), "redriven": at});
        let mut entries: Vec<Value> = plans.iter().zip(&done).map(entry).collect();
        match entries.as_mut_slice() {
            [only] => {
                only["version"] = json!(VERSION);
                out.document(only)?;
            }
            _ => out.document(&json!({"version": VERSION, "redriven": entries}))?,
        }
    }
    if session.owns_engine() {
        note("the embedded engine stops with this command: `fanout wait last` goes on with it");
    }
    Ok(Exit::Done)
}

fn question(plans: &[Plan]) -> String {
    let items = views::grouped(plans.iter().map(Plan::will_run).sum());
    match plans {
        [plan] => format!(
            "redrive {}: {items} items run again?",
            plan.execution().name()
        ),
        plans => format!("redrive {} runs: {items} items run again?", plans.len()),
    }
}

fn say_done(plan: &Plan, waits: bool, out: &mut Output) -> Result<(), Error> {
    let items = views::grouped(plan.will_run());
    let name = plan.execution().name();
    match (waits, out.format) {
        (true, _) => note(format!("redriven {name}: {items} items")),
        (false, Format::Text) => out.line(format!("redriven {name}: {items} items run again"))?,
        _ => {}
    }
    Ok(())
}
