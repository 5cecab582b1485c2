//! Standing polls: streams of the client passed on as events.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;

use crate::client::{Client, Snapshots};
use crate::operations::logs::{self, Query, Update};
use crate::operations::{self, runs};
use crate::tui::data::{Entry, News};
use crate::tui::event::{Event, Reply, Subscription};
use crate::tui::runtime::failures::Readings;
use crate::tui::runtime::{of_client, of_operation};

/// Pages of log lines that wait for the screen.
const LOGS: usize = 4;
/// Between two searches for a state machine that is not there.
const SEARCH: Duration = Duration::from_secs(3);

pub async fn poll(
    client: Client,
    subscription: Subscription,
    readings: Readings,
    events: mpsc::Sender<Event>,
) {
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
        Subscription::Members(query) => readings.look(&client, query, events).await,
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
