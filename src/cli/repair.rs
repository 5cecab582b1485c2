//! `redrive`, `rerun`, `apply` and `resume`: plans shown, written down, carried out.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::args::repair::{Apply, How, Redrive, Repeat};
use crate::cli::args::{Global, TimeLimit};
use crate::cli::exit::{Error, Exit};
use crate::cli::interrupt::unless_stopped;
use crate::cli::output::{Format, Meter, Output, VERSION, confirm, note};
use crate::cli::runs;
use crate::cli::session::Session;
use crate::cli::start::say_checks;
use crate::config;
use crate::model::{Timestamp, figures};
use crate::operations::journal::{Item, Operation, Stage};
use crate::operations::plan::{self, Plan, Saved};
use crate::operations::redrive;
use crate::operations::rerun::Subset;

mod attempts;
mod rerun;
mod resume;
mod show;

pub use attempts::{attempts, known_of};
pub use rerun::rerun;
pub use resume::resume;
use show::show;

/// Waiting for the end, and going on when it is no good one.
#[derive(Debug, Clone, Copy)]
struct Patience {
    limit: TimeLimit,
    repeats: u32,
    pause: std::time::Duration,
}

impl Patience {
    /// `None` waits for nothing.
    fn of(wait: bool, limit: TimeLimit, repeat: Option<&Repeat>) -> Option<Self> {
        wait.then(|| Self {
            limit,
            repeats: repeat.map_or(0, |repeat| repeat.repeat),
            pause: repeat.map_or(std::time::Duration::ZERO, |repeat| repeat.pause),
        })
    }
}

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
        let now = Timestamp::now();
        let mut plan = redrive::plan(&session.client, &execution, now, prices).await?;
        if let Some(state) = state() {
            plan.recall(&session.client, &state);
        }
        let plan = redrive::Plan {
            limits: arguments.how.again.limits(),
            note: arguments.how.again.note.clone(),
            ..plan
        };
        plans.push((Plan::Redrive(Box::new(plan)), None));
    }
    arguments.how.go(session, plans, global, out).await
}

impl How {
    /// Shows the plans, writes them down, or carries them out.
    async fn go(
        &self,
        session: &Session,
        plans: Vec<(Plan, Option<Subset>)>,
        global: &Global,
        out: &mut Output,
    ) -> Result<Exit, Error> {
        if self.dry_run {
            return dry_run(&alone(plans), out);
        }
        if let Some(path) = &self.plan {
            return write(alone(plans), path, out);
        }
        let patience = Patience::of(self.wait, self.limit, Some(&self.repeat));
        carry_out(session, plans, patience, global, out).await
    }
}

fn alone(plans: Vec<(Plan, Option<Subset>)>) -> Vec<Plan> {
    plans.into_iter().map(|(plan, _)| plan).collect()
}

pub async fn apply(
    session: &Session,
    arguments: &Apply,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    let saved = Saved::read(&arguments.file)?;
    let prices = &session.config.prices;
    let again = saved.plan.again(&session.client, Timestamp::now(), prices);
    let plan::Anew { plan, moved, items } = again.await?;
    for change in &moved {
        note(format!("! since the plan was made: {change}"));
    }
    if arguments.dry_run {
        let exit = dry_run(&[plan], out)?;
        return Ok(exit.max(match moved.is_empty() {
            true => Exit::Done,
            false => Exit::Refused,
        }));
    }
    if !moved.is_empty() {
        let (file, moved) = (arguments.file.display(), moved.join("; "));
        return Err(Error::refused(format!("{file} no longer fits: {moved}"))
            .hint("look at it with --dry-run and make a new plan"));
    }
    let patience = Patience::of(arguments.wait, arguments.limit, None);
    carry_out(session, vec![(plan, items)], patience, global, out).await
}

/// The folder of journals and ledger. Without a home there is none.
fn state() -> Option<PathBuf> {
    config::state_dir().ok()
}

fn dry_run(plans: &[Plan], out: &mut Output) -> Result<Exit, Error> {
    match (out.format, plans) {
        (Format::Text, plans) => {
            for plan in plans {
                show(plan, out)?;
            }
        }
        (_, [plan]) => {
            let mut planned = planned(plan);
            planned["version"] = json!(VERSION);
            out.document(&planned)?;
        }
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

fn planned(plan: &Plan) -> Value {
    json!({"plan": inner(plan), "will_run": plan.will_run()})
}

/// The plan without the word of what kind it is, which the verb has said.
fn inner(plan: &Plan) -> Value {
    match plan {
        Plan::Redrive(plan) => json!(plan),
        Plan::Rerun(plan) => json!(plan),
        Plan::Merge(plan) => json!(plan),
    }
}

pub(super) fn write(plans: Vec<Plan>, path: &Path, out: &mut Output) -> Result<Exit, Error> {
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

/// Asks, writes down, does, and waits where that is wanted.
async fn carry_out(
    session: &Session,
    plans: Vec<(Plan, Option<Subset>)>,
    patience: Option<Patience>,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    for (plan, _) in &plans {
        plan.allowed().map_err(Error::refused)?;
        say_checks(plan.checks(), false);
    }
    let shown: Vec<&Plan> = plans.iter().map(|(plan, _)| plan).collect();
    confirm(global, &question(&shown))?;
    let (client, state) = (&session.client, state());
    let mut operation = Operation::begin(state.as_deref(), client, plans, Timestamp::now())?;
    perform(session, &mut operation, patience.is_some(), global, out).await?;
    let Some(patience) = patience else {
        return finish(session, &operation, out);
    };
    let mut ended = runs::until_closed(session, &operation.executions(), patience.limit).await?;
    for time in 1..=patience.repeats {
        let next = operation.again(client, &session.config.prices).await?;
        if next.is_empty() || runs::exit_of(&ended) == Exit::Done {
            break;
        }
        note(format!(
            "repetition {time} of {} in {}: ends with this command",
            patience.repeats,
            jiff::SignedDuration::try_from(patience.pause)
                .map_or_else(|_| "a while".to_owned(), |it| format!("{it:#}"))
        ));
        tokio::time::sleep(patience.pause).await;
        operation = Operation::begin(state.as_deref(), client, next, Timestamp::now())?;
        perform(session, &mut operation, true, global, out).await?;
        ended = runs::until_closed(session, &operation.executions(), patience.limit).await?;
    }
    runs::print_ended(session, &ended, out).await?;
    Ok(runs::exit_of(&ended))
}

/// Does what is left of an operation, and says what becomes of each item.
async fn perform(
    session: &Session,
    operation: &mut Operation,
    waits: bool,
    global: &Global,
    out: &mut Output,
) -> Result<(), Error> {
    let meter = Meter::new(global, "upload");
    let prices = &session.config.prices;
    let name = operation.name.clone();
    let mut refused = None;
    let state = state();
    let carried_out = operation.carry_out(
        &session.client,
        state.as_deref(),
        prices,
        move |progress| meter.show(progress),
        |item| {
            if let Stage::Refused(problem) = &item.stage {
                refused.get_or_insert_with(|| problem.clone());
            }
            // An answer that cannot be written is no reason to leave the rest undone.
            let _ = say_done(item, waits, out);
            Ok(())
        },
    );
    let done = unless_stopped(carried_out).await;
    for merged in &operation.merged {
        // What it has come to is known only now.
        match (waits, out.format) {
            (false, Format::Text) => out.line(merged.words())?,
            _ => note(merged.words()),
        }
    }
    let error = match done {
        Some(done) => done.err().map(Error::from),
        None => Some(Error::new(Exit::Interrupted, "interrupted")),
    };
    if let Some(error) = error {
        let left = operation.left();
        return Err(error.hint(format!("{left} left: go on with `fanout resume {name}`")));
    }
    match (refused, operation.items.as_slice()) {
        (Some(problem), [_]) => Err(Error::refused(problem)),
        (Some(_), _) => {
            let refused = |item: &&Item| matches!(item.stage, Stage::Refused(_));
            let count = operation.items.iter().filter(refused).count();
            let all = operation.items.len();
            Err(Error::refused(format!(
                "{count} of {all} were refused, see above"
            )))
        }
        (None, _) => Ok(()),
    }
}

fn finish(session: &Session, operation: &Operation, out: &mut Output) -> Result<Exit, Error> {
    if out.format != Format::Text {
        let mut entries: Vec<Value> = operation.items.iter().map(entry).collect();
        match entries.as_mut_slice() {
            [only] => {
                only["version"] = json!(VERSION);
                only["operation"] = json!(operation.name);
                out.document(only)?;
            }
            _ => out.document(&json!({
                "version": VERSION,
                "operation": operation.name,
                kind(&operation.items): entries,
            }))?,
        }
    }
    if session.owns_engine() {
        note("the embedded engine stops with this command: `fanout wait last` goes on with it");
    }
    Ok(Exit::Done)
}

/// What the entries of several items are called.
fn kind(items: &[Item]) -> &'static str {
    match items.first().map(|item| &item.plan) {
        Some(Plan::Rerun(_)) => "started",
        _ => "redriven",
    }
}

fn entry(item: &Item) -> Value {
    match (&item.plan, &item.stage) {
        (Plan::Redrive(plan), Stage::Accepted { at, .. }) => json!({"plan": plan, "redriven": at}),
        (Plan::Rerun(plan), Stage::Accepted { execution, .. }) => {
            json!({"plan": plan, "started": execution})
        }
        (Plan::Merge(plan), Stage::Accepted { .. }) => json!({"plan": plan, "merged": plan.to}),
        (plan, stage) => json!({"plan": inner(plan), "stage": stage}),
    }
}

fn question(plans: &[&Plan]) -> String {
    let items = figures::count(plans.iter().map(|plan| plan.will_run()).sum());
    match plans {
        [Plan::Redrive(plan)] => {
            format!(
                "redrive {}: {items} items run again?",
                plan.execution.name()
            )
        }
        [Plan::Rerun(plan)] => format!("start {} with {items} chosen items?", plan.name),
        [Plan::Merge(plan)] => format!("merge {items} lines into {}?", plan.to),
        [Plan::Rerun(_), ..] => {
            let runs = plans.len();
            format!("start {runs} re-runs with {items} chosen items?")
        }
        plans => format!("redrive {} runs: {items} items run again?", plans.len()),
    }
}

fn say_done(item: &Item, waits: bool, out: &mut Output) -> Result<(), Error> {
    let items = figures::count(item.plan.will_run());
    let name = item.plan.execution().name();
    let text = match (&item.plan, &item.stage) {
        (_, Stage::Refused(problem)) => {
            note(format!("{name}: {problem}"));
            return Ok(());
        }
        (Plan::Redrive(_), _) => format!("redriven {name}: {items} items run again"),
        (Plan::Rerun(plan), _) => format!("started {}: {items} items of {name}", plan.name),
        // Its words come with what it has written.
        (Plan::Merge(_), _) => return Ok(()),
    };
    match (waits, out.format) {
        (true, _) => note(text),
        (false, Format::Text) => out.line(text)?,
        _ => {}
    }
    Ok(())
}
