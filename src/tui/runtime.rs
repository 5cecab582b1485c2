//! Performs effects and keeps the standing polls: the only I/O behind the dashboard, and the only
//! place that holds a client.
//!
//! Every task is owned by a handle that aborts it when dropped. Asks and deeds are kept by subject,
//! so one of each is out at a time; their answers come back through one bounded channel, so a slow
//! screen slows the polls instead of filling memory.

mod answers;
mod connect;
mod deeds;
mod failures;
mod polls;

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::client::{self, Client, ErrorKind};
use crate::model::Timestamp;
use crate::operations;
use crate::operations::journal::Repeat;
use crate::operations::plan::Plan;
use crate::tui::HostAction;
use crate::tui::event::{Cause, Deed, Effect, Event, Health, Subject, Subscription, Trouble};
use crate::tui::terminal::clipboard::Tool;

use connect::Waiting;
pub use connect::{OpenEngine, Ways};
use failures::Readings;
pub use failures::{ExportOf, fits};

type Task = AbortOnDropHandle<()>;

/// How long a link to an object is valid.
const LINK: Duration = Duration::from_hours(1);
/// How long a second key is waited for before a menu shows what it can be.
const MOMENT: Duration = Duration::from_millis(400);
/// How long the cursor stays before it is asked what it is on: longer than between the keys of one
/// that is held, shorter than one waits.
const REST: Duration = Duration::from_millis(80);

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
    rest: Option<Task>,
    copied: Option<Task>,
    clock: Task,
    readings: Readings,
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
            clock: spawn(clock(client.clone(), hosts.clone(), events.clone())),
            client,
            readings: Readings::new(ways.state.as_deref()),
            ways,
            waiting: Waiting::default(),
            connecting: None,
            remembering: None,
            hosts,
            events,
            polls: HashMap::new(),
            asks: HashMap::new(),
            deeds: HashMap::new(),
            said: None,
            moment: None,
            rest: None,
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
                let task = polls::poll(
                    self.client.polling(),
                    subscription.clone(),
                    self.readings.clone(),
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
            self.readings = Readings::new(self.ways.state.as_deref());
            inbox
        });
        self.clock = spawn(clock(
            self.client.clone(),
            self.hosts.clone(),
            self.events.clone(),
        ));
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
                let readings = self.readings.clone();
                let records = self.ways.records();
                put(
                    &mut self.asks,
                    subject,
                    answers::answer(client, ask, readings, records, events),
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
                    // One after the other: another target's may still be under way.
                    let before = self.remembering.take();
                    self.remembering = Some(spawn(async move {
                        if let Some(before) = before {
                            let _ = before.await;
                        }
                        deeds::remember(path, *session, events).await;
                    }));
                }
            }
            Effect::Moment => {
                self.moment = Some(spawn(async move {
                    tokio::time::sleep(MOMENT).await;
                    tell(&events, Event::Moment).await;
                }));
            }
            Effect::Rest => {
                self.rest = Some(spawn(async move {
                    tokio::time::sleep(REST).await;
                    tell(&events, Event::Rested).await;
                }));
            }
            Effect::Host(index) => self.host(index),
            Effect::Download(object, to) => {
                let deed = Deed::Download(object.address.clone());
                let to = answers::at_home(&to.to_string_lossy());
                let download = deeds::download(client, object, to, events);
                put(&mut self.deeds, deed, download);
            }
            Effect::Search(object, text) => {
                let deed = Deed::Search(object.address.clone());
                let task = deeds::search(client, *object, text, events);
                put(&mut self.deeds, deed, task);
            }
            Effect::Cancel(deed) => drop(self.deeds.remove(&deed)),
            Effect::Link(_) if self.locked => self.refuse(),
            Effect::Link(address) => {
                self.said = Some(spawn(async move {
                    let until = Timestamp::now().checked_add(LINK).unwrap_or(Timestamp::MAX);
                    let url = client.link(&address, LINK).await;
                    let linked = url.map(|url| (url, until)).map_err(of_client);
                    tell(&events, Event::Linked(address, linked)).await;
                }));
            }
            Effect::ExportFailures(deed, asked) => {
                put(
                    &mut self.deeds,
                    deed.clone(),
                    failures::export(client, deed, *asked, events),
                );
            }
            Effect::Export(deed, text) => {
                put(
                    &mut self.deeds,
                    deed.clone(),
                    deeds::export(deed, text, events),
                );
            }
            Effect::SaveTemplate(deed, base, given) => {
                put(
                    &mut self.deeds,
                    deed.clone(),
                    deeds::save_template(deed, base, given, events),
                );
            }
            change if self.locked && change.is_change() => self.refuse(),
            Effect::Redrive(plan) => {
                let deed = Deed::Redrive(plan.execution.clone());
                self.operate(deed, vec![Plan::Redrive(plan)], None);
            }
            Effect::RedriveAll(plans) => {
                let plans = plans.into_iter().map(|plan| Plan::Redrive(Box::new(plan)));
                self.operate(Deed::RedriveAll, plans.collect(), None);
            }
            Effect::Rerun(plan) => {
                let deed = Deed::Rerun(plan.execution.clone());
                self.operate(deed, vec![Plan::Rerun(plan)], None);
            }
            Effect::Repeat(plan, repeat) => {
                let execution = plan.execution().clone();
                let deed = match *plan {
                    Plan::Redrive(_) => Deed::Redrive(execution),
                    _ => Deed::Rerun(execution),
                };
                self.operate(deed, vec![*plan], Some(repeat));
            }
            Effect::Resume(name) => {
                let records = self.ways.records();
                let resumed = deeds::resume(client, records, name, events);
                put(&mut self.deeds, Deed::RedriveAll, resumed);
            }
            Effect::Canary(arn, wish, of_each) => {
                let deed = Deed::Rerun(arn.clone());
                let records = self.ways.records();
                let canary = deeds::canary(client, records, arn, *wish, of_each, events);
                put(&mut self.deeds, deed, canary);
            }
            Effect::Merge(plan) => {
                let deed = Deed::Merge(plan.execution.clone());
                self.operate(deed, vec![Plan::Merge(plan)], None);
            }
            Effect::SavePlan(path, plan) => {
                let deed = Deed::Export(path.clone());
                put(&mut self.deeds, deed, deeds::save_plan(path, *plan, events));
            }
            Effect::Start(plan) => {
                let deed = Deed::Start(plan.name.clone());
                let start = deeds::start(client, self.ways.records(), *plan, events);
                put(&mut self.deeds, deed, start);
            }
            Effect::DryRun(plan) => {
                let deed = Deed::DryRun(plan.name.clone());
                let trial = deeds::dry_run(client, self.ways.clone(), *plan, events);
                put(&mut self.deeds, deed, trial);
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

    /// Carries plans out as one journalled operation.
    fn operate(&mut self, deed: Deed, plans: Vec<Plan>, repeat: Option<Repeat>) {
        let (client, events) = (self.client.clone(), self.events.clone());
        let records = self.ways.records();
        let operation = deeds::operate(client, records, deed.clone(), plans, repeat, events);
        put(&mut self.deeds, deed, operation);
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

    /// Waits until what was to be remembered is on disk.
    pub async fn remembered(&mut self) {
        if let Some(remembering) = self.remembering.take() {
            let _ = remembering.await;
        }
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
        spent: Vec::new(),
    }
}

async fn clock(client: Client, hosts: Vec<HostAction>, events: mpsc::Sender<Event>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        let spent = hosts.iter().filter(|host| (host.is_spent)());
        let health = Health {
            spent: spent.map(|host| host.key).collect(),
            ..health(&client)
        };
        let now = Event::Now(Timestamp::now(), Box::new(health));
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
            ErrorKind::Outdated(_) => Cause::Outdated,
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
            cause: match other {
                operations::Error::Refused(_) | operations::Error::File { .. } => Cause::Refused,
                _ => Cause::Other,
            },
        },
    }
}

#[cfg(test)]
mod tests;
