//! Performs effects and keeps the standing polls: the only I/O behind the dashboard, and the only
//! place that holds a client.
//!
//! Every task is owned by a handle that aborts it when dropped. Asks and deeds are kept by subject,
//! so one of each is out at a time; their answers come back through one bounded channel, so a slow
//! screen slows the polls instead of filling memory.

mod connect;

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::client::{self, Client, ErrorKind, Snapshots};
use crate::config;
use crate::model::{
    ExecutionArn, Failure, HistoryEvent, MapRun, MapRunArn, Object, Page, Timestamp,
};
use crate::operations::failures::Group;
use crate::operations::logs::{self, Query, Update};
use crate::operations::{self, Progress, failures, machines, outputs, redrive, runs, start};
use crate::tui::HostAction;
use crate::tui::data::{Definition, Entry, FailureSet, MachineView, News, Stamp};
use crate::tui::event::{
    Ask, Cause, Deed, Effect, Event, Health, Reply, StartForm, Subject, Subscription, Trouble,
};
use crate::tui::history::Part;
use crate::tui::session::{self, Session};
use crate::tui::terminal::clipboard::Tool;
use crate::tui::widget::figures;

use connect::Waiting;
pub use connect::{OpenEngine, Ways};

type Task = AbortOnDropHandle<()>;
type Samples = Arc<tokio::sync::Mutex<HashMap<MapRunArn, Vec<Failure>>>>;

/// Map Runs whose failures are kept between two readings.
const SAMPLES: usize = 4;

/// Failures read of a Map Run that is going, and of one that has ended.
const READ: (usize, usize) = (1_000, 10_000);
/// Events of the page that is asked for again and again.
const PEEKED: u8 = 20;
/// Bytes of an object's preview.
const PREVIEW: u64 = 64 * 1024;
/// Pages of log lines that wait for the screen.
const LOGS: usize = 4;
/// Paths of a folder that are offered.
const PATHS: usize = 5_000;
/// Between two reports of a transfer.
const REPORT: Duration = Duration::from_millis(100);
/// How long a second key is waited for before a menu shows what it can be.
const MOMENT: Duration = Duration::from_millis(400);
/// Between two searches for a state machine that is not there.
const SEARCH: Duration = Duration::from_secs(3);

pub struct Runtime {
    client: Client,
    ways: Ways,
    /// The connection made last, until it is used.
    waiting: Waiting,
    connecting: Option<Task>,
    remembering: Option<Task>,
    hosts: Vec<HostAction>,
    events: mpsc::Sender<Event>,
    polls: HashMap<Subscription, Task>,
    asks: HashMap<Subject, Task>,
    deeds: HashMap<Deed, Task>,
    said: Option<Task>,
    moment: Option<Task>,
    copied: Option<Task>,
    clock: Task,
    /// Failures read so far of Map Runs that are going.
    samples: Samples,
    /// Set by `:read-only`: nothing that changes something is performed any more.
    locked: bool,
}

impl Runtime {
    /// Starts the clock; `events` is where everything is answered.
    pub fn new(
        client: Client,
        hosts: Vec<HostAction>,
        ways: Ways,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            clock: spawn(clock(client.clone(), events.clone())),
            client,
            ways,
            waiting: Waiting::default(),
            connecting: None,
            remembering: None,
            hosts,
            events,
            polls: HashMap::new(),
            asks: HashMap::new(),
            samples: Samples::default(),
            deeds: HashMap::new(),
            said: None,
            moment: None,
            copied: None,
            locked: false,
        }
    }

    /// Makes the running polls equal `wanted`. One that has come to its end is not begun again
    /// while it is still wanted.
    pub fn follow(&mut self, wanted: BTreeSet<Subscription>) {
        self.polls.retain(|running, _| wanted.contains(running));
        for subscription in wanted {
            if !self.polls.contains_key(&subscription) {
                let task = poll(
                    self.client.polling(),
                    subscription.clone(),
                    self.events.clone(),
                );
                self.polls.insert(subscription, spawn(task));
            }
        }
    }

    /// Uses the connection made last. A fresh one is of another target: its events come through
    /// the channel returned, and whatever was asked of the old one tells nobody any more.
    pub fn adopt(&mut self, fresh: bool) -> Option<mpsc::Receiver<Event>> {
        self.client = self.waiting.take()?;
        self.polls.clear();
        self.asks.clear();
        let inbox = fresh.then(|| {
            let (events, inbox) = mpsc::channel(self.events.max_capacity());
            self.events = events;
            self.samples = Samples::default();
            inbox
        });
        self.clock = spawn(clock(self.client.clone(), self.events.clone()));
        inbox
    }

    /// The file of what is remembered of this target.
    pub fn session_path(&self) -> Option<PathBuf> {
        self.ways.session_path(&self.client)
    }

    /// Performs what needs neither the terminal nor the loop.
    pub fn perform(&mut self, effect: Effect) {
        let client = self.client.clone();
        let events = self.events.clone();
        match effect {
            Effect::Ask(ask) => {
                let subject = ask.subject();
                let samples = Arc::clone(&self.samples);
                put(
                    &mut self.asks,
                    subject,
                    answer(client, ask, samples, events),
                );
            }
            // Lines that are being followed are as new as they can be, and many to read again.
            Effect::Refresh => self
                .polls
                .retain(|poll, task| matches!(poll, Subscription::Logs(_)) && !task.is_finished()),
            Effect::Watched(is_watched) => client.watched(is_watched),
            Effect::ReadOnly => self.locked = true,
            Effect::Connect(destination) => {
                let (ways, waiting) = (self.ways.clone(), self.waiting.clone());
                let locked = self.locked;
                self.connecting = Some(spawn(async move {
                    let arrival = ways.go(destination.clone(), locked, waiting).await;
                    tell(&events, Event::Connected(destination, arrival)).await;
                }));
            }
            Effect::Remember(session) => {
                if let Some(path) = self.session_path() {
                    self.remembering = Some(spawn(remember(path, *session, events)));
                }
            }
            Effect::Moment => {
                self.moment = Some(spawn(async move {
                    tokio::time::sleep(MOMENT).await;
                    tell(&events, Event::Moment).await;
                }));
            }
            Effect::Host(index) => self.host(index),
            Effect::Download(object, folder) => {
                let deed = Deed::Download(object.address.clone());
                put(
                    &mut self.deeds,
                    deed,
                    download(client, object, folder, events),
                );
            }
            Effect::Export(deed, text) => {
                put(&mut self.deeds, deed.clone(), export(deed, text, events));
            }
            Effect::Redrive(_) | Effect::Start(_) | Effect::Stop(_) | Effect::SetLimits(..)
                if self.locked =>
            {
                self.refuse();
            }
            Effect::Redrive(plan) => {
                let deed = Deed::Redrive(plan.execution.clone());
                put(&mut self.deeds, deed, redrive(client, *plan, events));
            }
            Effect::Start(plan) => {
                let deed = Deed::Start(plan.name.clone());
                put(&mut self.deeds, deed, start(client, *plan, events));
            }
            Effect::Stop(arn) => {
                let deed = Deed::Stop(arn.clone());
                put(&mut self.deeds, deed.clone(), async move {
                    let done = client
                        .stop_execution(&arn, None, Some("stopped from fanout"))
                        .await;
                    let text = format!("{} is stopping", arn.name());
                    tell(
                        &events,
                        Event::Done(deed, done.map(|()| text).map_err(of_client)),
                    )
                    .await;
                });
            }
            Effect::SetLimits(arn, limits) => {
                let deed = Deed::Limits(arn.clone());
                put(&mut self.deeds, deed.clone(), async move {
                    let done = client.update_map_run(&arn, limits).await;
                    let text = format!("limits of {} changed", arn.label());
                    tell(
                        &events,
                        Event::Done(deed, done.map(|()| text).map_err(of_client)),
                    )
                    .await;
                });
            }
            // The loop's own: they touch the terminal.
            Effect::Copy(_)
            | Effect::CopyByTerminal(_)
            | Effect::CopySelection(_)
            | Effect::Mouse(_)
            | Effect::Notify(_)
            | Effect::Edit(_)
            | Effect::Browse(_)
            | Effect::Adopt { .. }
            | Effect::Lend(_)
            | Effect::Redraw
            | Effect::Suspend
            | Effect::Quit => {}
        }
    }

    /// Has a program put text on the clipboard.
    pub fn copy(&mut self, tool: Tool, text: String) {
        let events = self.events.clone();
        self.copied = Some(spawn(async move {
            let event = match tool.copy(&text).await {
                true => Event::Copied(text.chars().count(), tool.program),
                false => Event::NotCopied(text),
            };
            tell(&events, event).await;
        }));
    }

    fn refuse(&mut self) {
        let events = self.events.clone();
        self.said = Some(spawn(async move {
            tell(&events, Event::Said("this session is read-only".to_owned())).await;
        }));
    }

    fn host(&mut self, index: usize) {
        let Some(action) = self.hosts.get(index) else {
            return;
        };
        let (run, events) = (action.run.clone(), self.events.clone());
        self.said = Some(spawn(async move {
            let said = tokio::task::spawn_blocking(move || run()).await;
            let said = said.unwrap_or_else(|_| "that action failed inside".to_owned());
            tell(&events, Event::Said(said)).await;
        }));
    }

    /// Whether nothing that was asked for is out any more: what tests wait for.
    #[cfg(test)]
    pub fn idle(&self) -> bool {
        let asks = self.asks.values().all(AbortOnDropHandle::is_finished);
        let deeds = self.deeds.values().all(AbortOnDropHandle::is_finished);
        asks && deeds
            && self
                .said
                .as_ref()
                .is_none_or(AbortOnDropHandle::is_finished)
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Task {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// Starts a task for a subject; an earlier one for the same ends, the newest wins. Those that have
/// ended are cleared away.
fn put<K: Eq + Hash>(
    tasks: &mut HashMap<K, Task>,
    key: K,
    task: impl Future<Output = ()> + Send + 'static,
) {
    tasks.retain(|_, task| !task.is_finished());
    tasks.insert(key, spawn(task));
}

/// A closed channel means that the screen is gone, and with it whoever asked.
async fn tell(events: &mpsc::Sender<Event>, event: Event) {
    let _ = events.send(event).await;
}

/// How the connection is doing now.
pub fn health(client: &Client) -> Health {
    Health {
        connection: client.connection(),
        budget_used: client.budget_used(),
        slowed: client.slowed(),
    }
}

async fn clock(client: Client, events: mpsc::Sender<Event>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        let now = Event::Now(Timestamp::now(), Box::new(health(&client)));
        if events.send(now).await.is_err() {
            return;
        }
    }
}

fn of_client(error: client::Error) -> Trouble {
    Trouble {
        text: error.to_string(),
        hint: error.hint(),
        slowed: matches!(error.kind, ErrorKind::Throttled(_)),
        cause: match error.kind {
            ErrorKind::SignIn(_) => Cause::SignedOut,
            ErrorKind::NotFound(_) => Cause::Gone,
            _ => Cause::Other,
        },
    }
}

fn of_operation(error: operations::Error) -> Trouble {
    match error {
        operations::Error::Client(error) => of_client(error),
        other => Trouble {
            text: other.to_string(),
            hint: other.hint(),
            slowed: false,
            cause: Cause::Other,
        },
    }
}

async fn poll(client: Client, subscription: Subscription, events: mpsc::Sender<Event>) {
    match subscription {
        Subscription::Machine(name) => search(client, &name, events).await,
        Subscription::Executions(machine) => {
            let snapshots = client.watch_executions(machine.clone());
            let event = |reply| Event::Executions(machine.clone(), reply);
            forward(snapshots, events, event).await;
        }
        Subscription::Execution(arn) => {
            let snapshots = client.watch_execution(arn.clone());
            let event = |reply: Reply<_>| Event::Execution(arn.clone(), reply.map(Box::new));
            forward(snapshots, events, event).await;
        }
        Subscription::MapRun(arn) => {
            let snapshots = client.watch_map_run(arn.clone());
            let event = |reply: Reply<_>| Event::MapRun(arn.clone(), reply.map(Box::new));
            forward(snapshots, events, event).await;
        }
        Subscription::FailedChildren(arn) => {
            let snapshots = client.watch_failed_children(arn.clone());
            let event = |reply| Event::FailedChildren(arn.clone(), reply);
            forward(snapshots, events, event).await;
        }
        Subscription::Logs(query) => follow_logs(client, query, events).await,
    }
}

/// Log lines, made ready to be shown on the way.
async fn follow_logs(client: Client, query: Box<Query>, events: mpsc::Sender<Event>) {
    let (updates, mut inbox) = mpsc::channel::<Result<Update, operations::Error>>(LOGS);
    let told = async {
        let tell = |news| events.send(Event::Logs(query.clone(), news));
        let mut is_heard = tell(Ok(News::Begin)).await.is_ok();
        while is_heard && let Some(update) = inbox.recv().await {
            let news = update.map_err(of_operation).map(|update| match update {
                Update::Sources(sources) => News::Sources(sources),
                Update::Lines(lines) => News::Entries(lines.into_iter().map(Entry::of).collect()),
                Update::Phase(phase) => News::Phase(phase),
                Update::Sampled(sampled) => News::Sampled(sampled),
            });
            is_heard = tell(news).await.is_ok();
        }
    };
    let following = logs::follow(client, (*query).clone(), updates);
    tokio::join!(following, told);
}

async fn forward<T>(
    mut snapshots: Snapshots<T>,
    events: mpsc::Sender<Event>,
    event: impl Fn(Reply<T>) -> Event,
) {
    while let Some(snapshot) = snapshots.next().await {
        if events
            .send(event(snapshot.map_err(of_client)))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Looks for the state machine until it is there: it may be created a moment after us.
async fn search(client: Client, name: &str, events: mpsc::Sender<Event>) {
    loop {
        let found = runs::machine(&client, name).await.map_err(of_operation);
        let done = found.is_ok();
        if events.send(Event::Machine(found)).await.is_err() || done {
            return;
        }
        tokio::time::sleep(SEARCH).await;
    }
}

async fn answer(client: Client, ask: Ask, samples: Samples, events: mpsc::Sender<Event>) {
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
            let set = failure_set(&client.polling(), &map_run, &samples).await;
            Event::Failures(map_run.arn, set)
        }
        Ask::Outputs(run) => {
            let outputs = outputs::list(&client, &run).await;
            let arn = run.detail.execution.arn;
            Event::Outputs(arn, outputs.map_err(of_operation))
        }
        Ask::Preview(address) => {
            let text = outputs::preview(&client, &address, PREVIEW).await;
            Event::Preview(address, text.map_err(of_operation))
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
            let machine = machines::describe(&client, &arn).await;
            let made = apart(machine, |machine| Arc::new(MachineView::new(machine))).await;
            Event::MachineView(arn, made)
        }
        Ask::Find(machine, name) => {
            let arn = runs::find(&client, &machine, &name).await;
            Event::Found(name, arn.map_err(of_operation))
        }
        Ask::PlanRedrive(arn) => {
            let plan = redrive::plan(&client, &arn, Timestamp::now()).await;
            Event::RedrivePlan(arn, plan.map(Box::new).map_err(of_operation))
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
            Event::Templates(names.await.unwrap_or_default())
        }
        Ask::Identity => Event::Identity(client.identity().await.map_err(of_client)),
        Ask::Profiles => Event::Profiles(client::profiles().await),
    };
    tell(&events, event).await;
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

/// Reads and groups failures. Grouping is work for a thread of its own.
async fn failure_set(client: &Client, map_run: &MapRun, samples: &Samples) -> Reply<FailureSet> {
    let list = if map_run.status.is_closed() {
        failures::of(client, map_run, READ.1).await
    } else {
        let known = samples.lock().await.get(&map_run.arn).cloned();
        failures::more(client, map_run, READ.0, known.unwrap_or_default()).await
    };
    let list = list.map_err(of_operation)?;
    let mut samples = samples.lock().await;
    if samples.len() >= SAMPLES {
        samples.clear();
    }
    if map_run.status.is_closed() {
        samples.remove(&map_run.arn);
    } else {
        samples.insert(map_run.arn.clone(), list.items.clone());
    }
    drop(samples);
    let stamp = Stamp::of(map_run);
    let grouped = tokio::task::spawn_blocking(move || {
        let groups = with_members(&list.items);
        FailureSet::new(list, groups, stamp)
    });
    grouped.await.map_err(|_| Trouble {
        text: "grouping the failures failed inside".to_owned(),
        hint: None,
        slowed: false,
        cause: Cause::Other,
    })
}

/// The groups of `items`, each with the indexes of its members.
fn with_members(items: &[Failure]) -> Vec<(Group, Vec<u32>)> {
    let mut members: HashMap<(String, String), Vec<u32>> = HashMap::new();
    for (item, index) in items.iter().zip(0..) {
        for group in failures::group(std::slice::from_ref(item)) {
            members
                .entry((group.error, group.message))
                .or_default()
                .push(index);
        }
    }
    failures::group(items)
        .into_iter()
        .map(|group| {
            let key = (group.error.clone(), group.message.clone());
            let members = members.remove(&key).unwrap_or_default();
            (group, members)
        })
        .collect()
}

async fn plan_start(client: &Client, form: &StartForm) -> Result<start::Plan, operations::Error> {
    let machine = runs::machine(client, &form.machine).await?;
    let source = match &form.source {
        start::Source::File(path) => start::Source::File(at_home(&path.to_string_lossy())),
        object @ start::Source::Object(_) => object.clone(),
    };
    let request = start::Request {
        source,
        machine,
        bucket: form.bucket.clone(),
        name: form.name.clone(),
        input: form.input.clone(),
        template: match &form.template {
            Some(name) => Some(start::template::read(&templates(), name)?),
            None => None,
        },
        today: Timestamp::now().strftime("%Y-%m-%d").to_string(),
    };
    start::plan(client, request).await
}

/// `~/x` as the shell would have it.
fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// Where templates are. Without a home there is no such folder, and so no template.
fn templates() -> PathBuf {
    config::config_dir().map_or_else(|_| PathBuf::new(), |folder| folder.join("templates"))
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
async fn paths(begun: &str) -> Page<String> {
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

async fn redrive(client: Client, plan: redrive::Plan, events: mpsc::Sender<Event>) {
    let done = redrive::run(&client, &plan).await;
    let items = figures::count(plan.will_run());
    let text = format!("redriving {items} items of {}", plan.execution.name());
    let deed = Deed::Redrive(plan.execution);
    tell(
        &events,
        Event::Done(deed, done.map(|_| text).map_err(of_operation)),
    )
    .await;
}

async fn start(client: Client, plan: start::Plan, events: mpsc::Sender<Event>) {
    let report = reporter(Deed::Start(plan.name.clone()), events.clone());
    let started = start::run(&client, &plan, report).await;
    tell(
        &events,
        Event::Started(plan.name, started.map_err(of_operation)),
    )
    .await;
}

/// Writes down what is remembered; a disk that takes it not is said once in a while, not an end.
async fn remember(path: PathBuf, session: Session, events: mpsc::Sender<Event>) {
    let shown = path.display().to_string();
    let written = tokio::task::spawn_blocking(move || session::write(&path, &session)).await;
    if let Ok(Err(error)) = written {
        let said = format!("{shown} cannot be written: {error}");
        tell(&events, Event::Said(said)).await;
    }
}

/// Writes a new file; one of that name is left alone.
async fn export(deed: Deed, text: String, events: mpsc::Sender<Event>) {
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

async fn download(client: Client, object: Object, folder: PathBuf, events: mpsc::Sender<Event>) {
    let deed = Deed::Download(object.address.clone());
    let report = reporter(deed.clone(), events.clone());
    let made = tokio::fs::create_dir_all(&folder).await;
    let done = match made {
        Ok(()) => outputs::download(&client, &object, &folder, report).await,
        Err(error) => Err(operations::Error::File {
            path: folder.display().to_string(),
            problem: format!("cannot be created: {error}"),
        }),
    };
    let text = done.map(|path| format!("downloaded to {}", path.display()));
    tell(&events, Event::Done(deed, text.map_err(of_operation))).await;
}

/// Passes on progress, seldom enough not to fill the channel. What does not fit is left out: the
/// next report says more.
fn reporter(deed: Deed, events: mpsc::Sender<Event>) -> impl Fn(Progress) + Send + Sync {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Target;
    use crate::model::Status;

    fn failure(error: &str, cause: &str) -> Failure {
        Failure {
            child: ExecutionArn::new(format!("arn:aws:states:r:a:execution:SM/L:{error}{cause}")),
            status: Status::Failed,
            line: None,
            error: Some(error.to_owned()),
            cause: Some(cause.to_owned()),
            input: None,
            stopped: None,
        }
    }

    #[tokio::test]
    async fn it_is_idle_when_all_is_answered() {
        let target = Target::Endpoint {
            url: "http://127.0.0.1:9".to_owned(),
            region: "us-east-1".to_owned(),
            access_key: "key".to_owned(),
            secret_key: "secret".to_owned(),
        };
        let options = client::Options {
            read_only: true,
            budget_share: 0.4,
        };
        let client = Client::connect(target, options).await.unwrap();
        let said = HostAction {
            key: 'R',
            title: "repair",
            run: std::sync::Arc::new(|| "repaired".to_owned()),
        };
        let (events, mut inbox) = mpsc::channel(8);
        let mut runtime = Runtime::new(client, vec![said], Ways::default(), events);
        runtime.perform(Effect::Host(0));
        assert!(!runtime.idle());
        while !matches!(inbox.recv().await, Some(Event::Said(text)) if text == "repaired") {}
        while !runtime.idle() {
            tokio::task::yield_now().await;
        }
        runtime.perform(Effect::ReadOnly);
        runtime.perform(Effect::Stop(ExecutionArn::new("arn")));
        while !matches!(inbox.recv().await, Some(Event::Said(text)) if text.contains("read-only")) {
        }
    }

    #[test]
    fn every_failure_is_a_member_of_one_group() {
        let items = [
            failure("A", "took 10 ms"),
            failure("B", "no"),
            failure("A", "took 20 ms"),
            failure("A", "other"),
        ];
        let groups = with_members(&items);
        let mut members: Vec<u32> = groups
            .iter()
            .flat_map(|(_, members)| members.clone())
            .collect();
        members.sort_unstable();
        assert_eq!(members, [0, 1, 2, 3]);
        for (group, members) in groups {
            assert_eq!(group.count, members.len() as u64);
        }
    }

    #[tokio::test]
    async fn paths_are_completed_with_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["ab.txt", "ac.txt", ".hidden"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("ad")).unwrap();
        let base = folder.path().to_str().unwrap();
        let all = paths(&format!("{base}/a")).await.items;
        assert_eq!(
            all,
            [
                format!("{base}/ab.txt"),
                format!("{base}/ac.txt"),
                format!("{base}/ad/")
            ]
        );
        assert_eq!(paths(&format!("{base}/")).await.items.len(), 3);
        assert!(paths(&format!("{base}/none/x")).await.items.is_empty());
    }

    #[test]
    fn progress_is_reported_at_its_beginning_and_end() {
        let (events, mut inbox) = mpsc::channel(8);
        let report = reporter(Deed::Start("run".to_owned()), events);
        for done in 0..=100 {
            report(Progress { done, total: 100 });
        }
        let mut seen = Vec::new();
        while let Ok(Event::Progress(_, progress)) = inbox.try_recv() {
            seen.push(progress.done);
        }
        assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&100)));
    }
}
