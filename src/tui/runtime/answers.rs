//! What is asked once, and its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::client::{self, Client};
use crate::config;
use crate::model::{ExecutionArn, HistoryEvent, Page, Timestamp};
use crate::operations::rerun::edit::{self, Edited};
use crate::operations::rerun::{Subset, Wish};
use crate::operations::trail::Trail;
use crate::operations::{
    self, check, failures, journal, ledger, machines, merge, outputs, reconcile, redrive, rerun,
    runs, start,
};
use crate::tui::data::{Definition, MachineView};
use crate::tui::event::{Ask, Cause, Event, Reply, StartForm, Trouble};
use crate::tui::history::Part;
use crate::tui::preview::Beginning;
use crate::tui::runtime::connect::Records;
use crate::tui::runtime::failures::Readings;
use crate::tui::runtime::{of_client, of_operation, tell};

/// Events of the page that is asked for again and again.
const PEEKED: u8 = 20;
/// Changes that the trail shows.
const TRAIL: usize = 1_000;
/// Paths of a folder that are offered.
const PATHS: usize = 5_000;

pub async fn answer(
    client: Client,
    ask: Ask,
    readings: Readings,
    records: Records,
    events: mpsc::Sender<Event>,
) {
    let event = match ask {
        Ask::Describe(arn) => {
            let run = runs::describe(&client.polling(), &arn).await;
            Event::Run(arn, run.map(Box::new).map_err(of_operation))
        }
        Ask::Older(machine, token) => {
            let page = client.executions(&machine, None, 100, Some(token)).await;
            Event::Older(machine, page.map_err(of_client))
        }
        Ask::Failures(map_run) => {
            let set = readings.read(&client.polling(), &map_run, &events).await;
            Event::Failures(map_run.arn, set)
        }
        Ask::SourceLine(map_run, failure) => {
            let found = match config::cache_dir() {
                Ok(cache) => failures::source_line(&client, &map_run, &failure, &cache)
                    .await
                    .map_err(of_operation),
                Err(error) => Err(Trouble {
                    text: error.to_string(),
                    hint: None,
                    slowed: false,
                    cause: Cause::Other,
                }),
            };
            Event::SourceLine(failure.child, found)
        }
        Ask::Members(query, first) => {
            let page = readings.members(&client, &query, first).await;
            Event::Members(query, first, page)
        }
        Ask::NeverStarted(map_run) => {
            let found = failures::never_started(&client, &map_run).await;
            Event::NeverStarted(map_run.arn, found.map_err(of_operation))
        }
        Ask::Children(query, rows) => {
            let children = readings.children(&client, &query, rows.clone()).await;
            Event::Children(query, rows, children)
        }
        Ask::Outputs(run, most) => {
            let outputs = outputs::list(&client, &run, most).await;
            let arn = run.detail.execution.arn;
            Event::Outputs(arn, outputs.map_err(of_operation))
        }
        Ask::MoreOutputs(arn, listing) => {
            let listing = Arc::unwrap_or_clone(listing);
            let outputs = listing.more(&client, outputs::AT_FIRST).await;
            Event::Outputs(arn, outputs.map_err(of_operation))
        }
        Ask::Reconcile(run) => {
            let found = reconcile::of(&client, &run, |_| {}).await;
            let found = found.map(Box::new).map_err(of_operation);
            Event::Reconciled(run.detail.execution.arn, found)
        }
        Ask::Versions(address) => {
            let versions = client.polling().object_versions(&address).await;
            Event::Versions(address, versions.map_err(of_client))
        }
        Ask::Document(object) => {
            let read = outputs::beginning(&client, &object).await;
            let of = object.clone();
            let made = apart(read, move |page| Beginning::of(&of, &page)).await;
            Event::Document(object, made)
        }
        Ask::Preview(object, at) => {
            let page = outputs::page(&client, &object, at).await;
            Event::Preview(object, page.map_err(of_operation))
        }
        Ask::History(arn, part) => {
            let page = events_of(&client.polling(), &arn, &part).await;
            Event::History(arn, part, page.map_err(of_client))
        }
        Ask::Definition(arn) => {
            let own = machines::of_execution(&client.polling(), &arn).await;
            let made = apart(own, |own| Arc::new(Definition::new(own))).await;
            Event::Definition(arn, made)
        }
        Ask::Machines => Event::Machines(client.state_machines().await.map_err(of_client)),
        Ask::Recent(arn) => {
            let recent = machines::recent(&client.polling(), &arn).await;
            Event::Recent(arn, recent.map_err(of_operation))
        }
        Ask::MachineView(arn) => {
            let made = match machines::describe(&client, &arn).await {
                Err(error) => Err(error),
                Ok(machine) => {
                    let report = check::described(&client, &machine.detail).await;
                    Ok((machine, report.map_err(|error| error.to_string())))
                }
            };
            let made = apart(made, |(machine, report)| {
                Arc::new(MachineView::new(machine, report))
            })
            .await;
            Event::MachineView(arn, made)
        }
        Ask::Find(machine, name) => {
            let arn = runs::find(&client, &machine, &name).await;
            Event::Found(name, arn.map_err(of_operation))
        }
        Ask::PlanRedrive(arn) => {
            let planned = redrive::plan(&client, &arn, Timestamp::now(), &records.prices).await;
            let recalled = |mut plan: redrive::Plan| {
                if let Some(state) = &records.state {
                    plan.recall(&client, state);
                }
                plan
            };
            let plan = planned.map(recalled);
            Event::RedrivePlan(arn, plan.map(Box::new).map_err(of_operation))
        }
        Ask::PlanRerun(arn, wish) => {
            let asked = wish.clone();
            let plan = rerun::plan(&client, &arn, *wish, Timestamp::now(), &records.prices).await;
            let plan = plan.map(|(plan, _)| Box::new(plan));
            Event::RerunPlan(arn, asked, plan.map_err(of_operation))
        }
        Ask::PlanMerge(arn, to) => {
            let plan = merge_plan(&client, &arn, to.as_deref()).await;
            Event::MergePlan(arn, to, plan.map(Box::new).map_err(of_operation))
        }
        Ask::RerunItems(arn, wish) => {
            let text = rerun_items(&client, &records, &arn, &wish).await;
            Event::RerunItems(arn, text.map_err(of_operation))
        }
        Ask::RerunEdited(arn, wish, text) => {
            let edited = rerun_edited(&client, &records, &arn, &wish, &text).await;
            Event::RerunEdited(arn, wish, edited.map(Box::new).map_err(of_operation))
        }
        Ask::Interrupted => {
            let found = match &records.state {
                Some(state) => journal::interrupted(state, &ledger::target(&client)),
                None => Ok(Vec::new()),
            };
            Event::Interrupted(found.map_err(of_operation))
        }
        Ask::Trail => {
            let entries = match &records.state {
                Some(state) => Trail::new(state).newest(TRAIL).map(|found| found.rows),
                None => Ok(Vec::new()),
            };
            Event::Trail(entries.map_err(of_operation))
        }
        Ask::PlanStart(form) => {
            let plan = plan_start(&client, &form).await;
            Event::StartPlan(form, plan.map(Box::new).map_err(of_operation))
        }
        Ask::Paths(begun, token) => {
            let page = match begun.strip_prefix("s3://") {
                Some(address) => addresses(&client, address, token.clone()).await,
                None => Ok(paths(&begun).await),
            };
            Event::Paths(begun, token, page)
        }
        Ask::Templates => {
            let folder = templates();
            let names = tokio::task::spawn_blocking(move || start::template::names(&folder));
            let mut names = names.await.unwrap_or_default();
            names.push(start::needs::TEMPLATE.to_owned());
            Event::Templates(names)
        }
        Ask::Identity => Event::Identity(client.identity().await.map_err(of_client)),
        Ask::Profiles => Event::Profiles(client::profiles().await),
    };
    tell(&events, event).await;
}

/// The items of a wish, as they were before any edit.
async fn rerun_subset(
    client: &Client,
    records: &Records,
    arn: &ExecutionArn,
    wish: &Wish,
) -> Result<Subset, operations::Error> {
    let wish = Wish {
        edits: BTreeMap::new(),
        left_out: BTreeSet::new(),
        ..wish.clone()
    };
    let (plan, subset) = rerun::plan(client, arn, wish, Timestamp::now(), &records.prices).await?;
    let nothing = || operations::Error::Refused(plan.allowed.err().unwrap_or_default());
    subset.ok_or_else(nothing)
}

async fn rerun_items(
    client: &Client,
    records: &Records,
    arn: &ExecutionArn,
    wish: &Wish,
) -> Result<String, operations::Error> {
    let mut subset = rerun_subset(client, records, arn, wish).await?;
    edit::text(&mut subset)
}

async fn rerun_edited(
    client: &Client,
    records: &Records,
    arn: &ExecutionArn,
    wish: &Wish,
    text: &str,
) -> Result<Edited, operations::Error> {
    let mut subset = rerun_subset(client, records, arn, wish).await?;
    edit::compare(&mut subset, text, Path::new("edited lines"))
}

/// Makes something of what was read, on a thread of its own: drawing must not wait for it.
async fn apart<T: Send + 'static, U: Send + 'static>(
    read: Result<T, operations::Error>,
    make: impl FnOnce(T) -> U + Send + 'static,
) -> Reply<U> {
    let read = read.map_err(of_operation)?;
    let made = tokio::task::spawn_blocking(move || make(read)).await;
    made.map_err(|_| Trouble {
        text: "what was read could not be shown".to_owned(),
        hint: None,
        slowed: false,
        cause: Cause::Other,
    })
}

/// One page of events. What has come since the last look is few events mostly.
async fn events_of(
    client: &Client,
    arn: &ExecutionArn,
    part: &Part,
) -> Result<Page<HistoryEvent>, client::Error> {
    match part {
        Part::Peek => client.newest_events(arn, PEEKED).await,
        Part::Newest => client.history(arn, true, None).await,
        Part::Before(token) => client.history(arn, true, Some(token.clone())).await,
        Part::Oldest => client.history(arn, false, None).await,
        Part::After(token) => client.history(arn, false, Some(token.clone())).await,
    }
}

async fn plan_start(client: &Client, form: &StartForm) -> Result<start::Plan, operations::Error> {
    let machine = runs::machine(client, &form.machine).await?;
    let source = match &form.source {
        start::Source::File(path) => start::Source::File(at_home(&path.to_string_lossy())),
        object @ start::Source::Object(_) => object.clone(),
    };
    let template = match &form.template {
        Some(name) => {
            let (folder, given) = (templates(), &form.input);
            let named = start::template::named(client, &machine, &folder, name, given);
            Some(named.await?)
        }
        None => None,
    };
    let request = start::Request {
        source,
        machine,
        bucket: form.bucket.clone(),
        name: form.name.clone(),
        input: form.input.clone(),
        template,
        today: Timestamp::now().strftime("%Y-%m-%d").to_string(),
    };
    start::plan(client, request).await
}

/// `~/x` as the shell would have it.
pub fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// Where templates are. Without a home there is no such folder, and so no template.
pub fn templates() -> PathBuf {
    config::config_dir().map_or_else(|_| PathBuf::new(), |folder| folder.join("templates"))
}

/// What merging a run would do; without a destination the new file goes beside its output.
async fn merge_plan(
    client: &Client,
    arn: &ExecutionArn,
    to: Option<&str>,
) -> Result<merge::Plan, operations::Error> {
    let to = to.map(merge::To::parse).transpose()?.map(|to| match to {
        merge::To::File(path) => merge::To::File(at_home(&path.to_string_lossy())),
        object @ merge::To::Object(_) => object,
    });
    let run = runs::describe(client, arn).await?;
    merge::plan(client, &run, to).await
}

/// Addresses that begin with `begun` (without `s3://`): buckets, then folders and objects.
async fn addresses(client: &Client, begun: &str, token: Option<String>) -> Reply<Page<String>> {
    let Some((bucket, prefix)) = begun.split_once('/') else {
        let buckets = client.buckets().await.map_err(of_client)?;
        let fitting = buckets.into_iter().filter(|it| it.starts_with(begun));
        return Ok(Page {
            items: fitting.map(|it| format!("s3://{it}/")).collect(),
            next: None,
        });
    };
    let page = client.folder(bucket, prefix, token).await;
    let page = page.map_err(of_client)?;
    let keys = page.items.into_iter();
    Ok(Page {
        items: keys.map(|key| format!("s3://{bucket}/{key}")).collect(),
        next: page.next,
    })
}

/// Paths that begin with `begun`, folders with a slash at the end.
pub async fn paths(begun: &str) -> Page<String> {
    let (folder, start) = begun
        .rsplit_once('/')
        .map_or(("", begun), |(folder, start)| {
            (&begun[..=folder.len()], start)
        });
    let listed = at_home(if folder.is_empty() { "./" } else { folder });
    let Ok(mut entries) = tokio::fs::read_dir(listed).await else {
        return Page {
            items: Vec::new(),
            next: None,
        };
    };
    let mut paths = Vec::new();
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            continue;
        };
        let is_hidden = name.starts_with('.') && !start.starts_with('.');
        if !name.starts_with(start) || is_hidden {
            continue;
        }
        let is_folder = tokio::fs::metadata(entry.path())
            .await
            .is_ok_and(|it| it.is_dir());
        let end = if is_folder { "/" } else { "" };
        paths.push(format!("{folder}{name}{end}"));
        if paths.len() >= PATHS {
            break;
        }
    }
    paths.sort();
    Page {
        items: paths,
        next: None,
    }
}
