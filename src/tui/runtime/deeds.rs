//! What changes something, there or on this disk.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Semaphore, mpsc};

use crate::client::Client;
use crate::model::{ExecutionArn, Object, Timestamp};
use crate::operations::journal::{Operation, Repeat, Stage};
use crate::operations::plan::{Plan, Saved};
use crate::operations::rerun::canary::{self, Canary};
use crate::operations::rerun::{Subset, Wish};
use crate::operations::{self, Progress, merge, outputs, runs, start};
use crate::tui::event::{Cause, Deed, Event, Trouble};
use crate::tui::runtime::connect::{Records, Ways};
use crate::tui::runtime::{answers, of_operation, tell};
use crate::tui::session::{self, Session};
use crate::tui::widget::figures;

/// Between two reports of a transfer.
const REPORT: Duration = Duration::from_millis(100);

/// A plan, with the chosen items where they are gathered already.
type Prepared = (Plan, Option<Subset>);

/// Carries plans out as one operation; with `repeat` again and again, while something is left.
pub async fn operate(
    client: Client,
    records: Records,
    deed: Deed,
    plans: Vec<Plan>,
    repeat: Option<Repeat>,
    events: mpsc::Sender<Event>,
) {
    let mut plans: Vec<Prepared> = plans.into_iter().map(|plan| (plan, None)).collect();
    let times = repeat.map_or(0, |repeat| repeat.times);
    for time in 0..=times {
        let begun = begin(&client, &records, plans);
        let done = match begun {
            Ok(operation) => carry_out(&client, &records, &deed, operation, &events).await,
            Err(error) => Err(error),
        };
        let (told, operation) = match done {
            Ok((text, operation)) => (Ok(text), Some(operation)),
            Err(error) => (Err(of_operation(error)), None),
        };
        tell(&events, Event::Done(deed.clone(), told)).await;
        let (Some(operation), Some(repeat)) = (operation, repeat.filter(|_| time < times)) else {
            return;
        };
        match left(&client, &records, &operation).await {
            Ok(next) if next.is_empty() => return,
            Ok(next) => plans = next,
            Err(error) => return tell(&events, Event::Done(deed, Err(of_operation(error)))).await,
        }
        let (pause, time) = (figures::span(repeat.pause.as_secs() as i64), time + 1);
        let said = format!("repetition {time} of {times} in {pause}; it ends with fanout");
        tell(&events, Event::Said(said)).await;
        tokio::time::sleep(repeat.pause).await;
    }
}

/// What is to be done again once all of an operation has ended.
async fn left(
    client: &Client,
    records: &Records,
    operation: &Operation,
) -> Result<Vec<Prepared>, operations::Error> {
    for execution in operation.executions() {
        runs::ended(client, &execution).await?;
    }
    operation.again(client, &records.prices).await
}

/// Goes on with an operation that was interrupted.
pub async fn resume(client: Client, records: Records, name: String, events: mpsc::Sender<Event>) {
    let deed = Deed::RedriveAll;
    let read = match &records.state {
        Some(state) => Operation::read(state, &name),
        None => Err(operations::Error::Refused(
            "no journals are kept".to_owned(),
        )),
    };
    let done = match read {
        Ok(operation) => carry_out(&client, &records, &deed, operation, &events).await,
        Err(error) => Err(error),
    };
    let told = done.map(|(text, _)| format!("went on with {name}: {text}"));
    tell(&events, Event::Done(deed, told.map_err(of_operation))).await;
}

fn begin(
    client: &Client,
    records: &Records,
    plans: Vec<Prepared>,
) -> Result<Operation, operations::Error> {
    Operation::begin(records.state.as_deref(), client, plans, Timestamp::now())
}

async fn carry_out(
    client: &Client,
    records: &Records,
    deed: &Deed,
    mut operation: Operation,
    events: &mpsc::Sender<Event>,
) -> Result<(String, Operation), operations::Error> {
    let state = records.state.as_deref();
    let report = reporter(deed.clone(), events.clone());
    let carried = operation
        .carry_out(client, state, &records.prices, report, |_| Ok(()))
        .await;
    if let (Err(error), Some(_)) = (&carried, state) {
        let name = &operation.name;
        return Err(operations::Error::Refused(format!(
            "{error}; go on with `fanout resume {name}`"
        )));
    }
    carried?;
    let refused: Vec<&str> = operation
        .items
        .iter()
        .filter_map(|item| match &item.stage {
            Stage::Refused(problem) => Some(problem.as_str()),
            _ => None,
        })
        .collect();
    match (refused.as_slice(), operation.items.as_slice()) {
        ([], [item]) => {
            let merged = operation.merged.first().map(merge::Merged::words);
            Ok((merged.unwrap_or_else(|| words(&item.plan)), operation))
        }
        ([], items) => {
            let all: u64 = items.iter().map(|item| item.plan.will_run()).sum();
            let (runs, all) = (items.len(), figures::count(all));
            Ok((format!("redriving {runs} runs, {all} items"), operation))
        }
        (problems, items) => {
            let (some, all) = (problems.len(), items.len());
            let first = problems[0];
            Err(operations::Error::Refused(match all {
                1 => first.to_owned(),
                _ => format!("{some} of {all} were refused, the first because {first}"),
            }))
        }
    }
}

fn words(plan: &Plan) -> String {
    let items = figures::count(plan.will_run());
    match plan {
        Plan::Redrive(plan) => format!("redriving {items} items of {}", plan.execution.name()),
        Plan::Rerun(plan) => {
            let run = plan.execution.name();
            format!("started {} with {items} items of {run}", plan.name)
        }
        Plan::Merge(plan) => format!("merged {items} lines into {}", plan.to),
    }
}

/// Runs a few of each group of what is wished first, and tells how that ended.
pub async fn canary(
    client: Client,
    records: Records,
    arn: ExecutionArn,
    wish: Wish,
    of_each: u64,
    events: mpsc::Sender<Event>,
) {
    let deed = Deed::Rerun(arn.clone());
    let begun = async {
        let prices = &records.prices;
        let mut canary = Canary::plan(&client, &arn, wish, of_each, prices).await?;
        let plan = Plan::Rerun(Box::new(canary.plan.clone()));
        let operation = begin(&client, &records, vec![(plan, canary.items.take())])?;
        let (text, _) = carry_out(&client, &records, &deed, operation, &events).await?;
        Ok((text, canary))
    };
    let (told, canary) = match begun.await {
        Ok((text, canary)) => (Ok(format!("canary: {text}")), Ok(canary)),
        Err(error) => {
            let trouble = of_operation(error);
            (Err(trouble.clone()), Err(trouble))
        }
    };
    tell(&events, Event::Done(deed, told)).await;
    let ended = match canary {
        Ok(canary) => ended(&client, canary).await.map_err(of_operation),
        Err(trouble) => Err(trouble),
    };
    tell(&events, Event::Canary(arn, ended.map(Box::new))).await;
}

async fn ended(client: &Client, canary: Canary) -> Result<canary::Ended, operations::Error> {
    runs::ended(client, &canary.plan.target()).await?;
    canary.ended(client).await
}

/// Writes a plan into a new file.
pub async fn save_plan(path: PathBuf, plan: Plan, events: mpsc::Sender<Event>) {
    let deed = Deed::Export(path.clone());
    let shown = path.display().to_string();
    let saved = Saved::new(plan, Timestamp::now());
    let written = tokio::task::spawn_blocking(move || saved.write(&path)).await;
    let said = match written {
        Ok(Ok(())) => Ok(format!(
            "wrote {shown}, nothing was run: fanout apply {shown}"
        )),
        Ok(Err(error)) => Err(of_operation(error)),
        Err(_) => Err(of_operation(operations::Error::Refused(
            "writing the plan failed inside".to_owned(),
        ))),
    };
    tell(&events, Event::Done(deed, said)).await;
}

pub async fn start(
    client: Client,
    records: Records,
    plan: start::Plan,
    events: mpsc::Sender<Event>,
) {
    let report = reporter(Deed::Start(plan.name.clone()), events.clone());
    let started = start::run(&client, &plan, records.state.as_deref(), report).await;
    let started = started.map(|it| it.execution).map_err(of_operation);
    tell(&events, Event::Started(plan.name, started)).await;
}

/// Tries the first lines on the embedded engine.
pub async fn dry_run(client: Client, ways: Ways, plan: start::Plan, events: mpsc::Sender<Event>) {
    let told = async {
        let engine = ways.own_engine(&client).await?;
        let tried = start::trial::run(&client, &engine, &plan).await;
        tried.map_err(of_operation)
    };
    let told = Box::pin(told).await;
    tell(&events, Event::Done(Deed::DryRun(plan.name), told)).await;
}

/// Writes down what is remembered; a disk that takes it not is said once in a while, not an end.
pub async fn remember(path: PathBuf, session: Session, events: mpsc::Sender<Event>) {
    let shown = path.display().to_string();
    let written = tokio::task::spawn_blocking(move || session::write(&path, &session)).await;
    if let Ok(Err(error)) = written {
        let said = format!("{shown} cannot be written: {error}");
        tell(&events, Event::Said(said)).await;
    }
}

/// Writes a new file; one of that name is left alone.
pub async fn export(deed: Deed, text: String, events: mpsc::Sender<Event>) {
    let Deed::Export(path) = &deed else {
        return;
    };
    let written = async {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let mut file = tokio::fs::File::create_new(path).await?;
        file.write_all(text.as_bytes()).await?;
        file.flush().await
    };
    let said = match written.await {
        Ok(()) => Ok(format!("wrote {}", path.display())),
        Err(error) => Err(Trouble {
            text: format!("{} cannot be written: {error}", path.display()),
            hint: None,
            slowed: false,
            cause: Cause::Other,
        }),
    };
    tell(&events, Event::Done(deed, said)).await;
}

/// Keeps an input as a template.
pub async fn save_template(
    deed: Deed,
    base: Option<String>,
    given: Map<String, Value>,
    events: mpsc::Sender<Event>,
) {
    let Deed::Template(name) = deed.clone() else {
        return;
    };
    let saved = tokio::task::spawn_blocking(move || {
        start::template::save(&answers::templates(), &name, base.as_deref(), given)
    });
    let Ok(saved) = saved.await else {
        return;
    };
    let text = saved.map(|path| format!("saved the template {}", path.display()));
    tell(&events, Event::Done(deed, text.map_err(of_operation))).await;
}

/// Downloads at once; each asks for several ranges at a time. Others wait for their turn.
static DOWNLOADS: Semaphore = Semaphore::const_new(6);

pub async fn download(client: Client, object: Object, to: PathBuf, events: mpsc::Sender<Event>) {
    let deed = Deed::Download(object.address.clone());
    let report = reporter(deed.clone(), events.clone());
    // Never closed, and without it nothing is worse than many files open at once.
    let _turn = DOWNLOADS.acquire().await;
    let done = outputs::download_beside(&client, &object, &to, report).await;
    let text = done.map(|got| format!("downloaded to {}, {}", got.path.display(), got.words()));
    tell(&events, Event::Done(deed, text.map_err(of_operation))).await;
}

/// Between two reports of matches.
const FOUND: Duration = Duration::from_millis(200);
/// Matches told of a search; the others are only counted.
const HITS: usize = 1_000;

/// Looks for a text in an object. Matches are told together, some times a second.
pub async fn search(client: Client, object: Object, text: String, events: mpsc::Sender<Event>) {
    let address = object.address.clone();
    let deed = Deed::Search(address.clone());
    let found = Mutex::new((Vec::new(), 0_u64, Instant::now()));
    let report = reporter(deed.clone(), events.clone());
    let flush = |is_due: fn(Duration) -> bool| {
        let mut found = found.lock().ok()?;
        let is_due = is_due(found.2.elapsed()) && !found.0.is_empty();
        is_due.then(|| {
            found.2 = Instant::now();
            Event::Hits(address.clone(), std::mem::take(&mut found.0), found.1)
        })
    };
    let progress = |progress| {
        report(progress);
        // What does not fit into the channel is told with the next ones.
        let Ok(permit) = events.try_reserve() else {
            return;
        };
        if let Some(event) = flush(|since| FOUND <= since) {
            permit.send(event);
        }
    };
    let mut told = 0;
    let done = outputs::search(&client, &object, &text, progress, |hit| {
        if let Ok(mut found) = found.lock() {
            found.1 += 1;
            if told < HITS {
                told += 1;
                found.0.push(hit);
            }
        }
        true
    });
    let done = done.await;
    let count = found.lock().map_or(0, |found| found.1);
    let rest = found.lock().map(|mut found| std::mem::take(&mut found.0));
    let rest = rest.unwrap_or_default();
    tell(&events, Event::Hits(address.clone(), rest, count)).await;
    let name = address.file_name();
    let said = match count {
        0 => format!("{text:?} is not in {name}"),
        1 => format!("1 match in {name}"),
        many => format!("{} matches in {name}", figures::count(many)),
    };
    tell(
        &events,
        Event::Done(deed, done.map(|()| said).map_err(of_operation)),
    )
    .await;
}

/// Passes on progress, seldom enough not to fill the channel. What does not fit is left out: the
/// next report says more.
pub fn reporter(deed: Deed, events: mpsc::Sender<Event>) -> impl Fn(Progress) + Send + Sync {
    let last: Mutex<Option<Instant>> = Mutex::new(None);
    move |progress| {
        let Ok(mut last) = last.lock() else {
            return;
        };
        let is_end = progress.done >= progress.total;
        if is_end || last.is_none_or(|at| at.elapsed() >= REPORT) {
            *last = Some(Instant::now());
            let _ = events.try_send(Event::Progress(deed.clone(), progress));
        }
    }
}
