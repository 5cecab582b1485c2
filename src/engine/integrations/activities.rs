//! Activities: Tasks that workers outside come and take (developer guide, "Activities").
//!
//! What waits for a worker is kept in memory only: after a restart every execution asks again for
//! what it waits for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use super::{Reply, Runner};
use crate::engine::definition::Resource;
use crate::engine::machine::{Call, Failure, Input};

/// How long GetActivityTask waits for a task (API reference, GetActivityTask).
const POLL: Duration = Duration::from_mins(1);

/// Activities' tasks that wait for a worker, oldest first.
#[derive(Default)]
pub struct Activities {
    waiting: Mutex<HashMap<String, VecDeque<Waiting>>>,
    more: Notify,
}

struct Waiting {
    attempt: u64,
    execution: String,
    /// Task token.
    token: String,
    input: Value,
    reply: Reply,
}

/// What a worker takes.
pub struct ActivityTask {
    pub token: String,
    /// JSON text.
    pub input: String,
}

impl Activities {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Waiting>>> {
        // Nothing that panics runs under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, activity: &str, task: Waiting) {
        let mut waiting = self.waiting();
        waiting
            .entry(activity.to_owned())
            .or_default()
            .push_back(task);
        drop(waiting);
        self.more.notify_waiters();
    }

    fn pop(&self, activity: &str) -> Option<Waiting> {
        let mut waiting = self.waiting();
        let queue = waiting.get_mut(activity)?;
        let task = queue.pop_front();
        if queue.is_empty() {
            waiting.remove(activity);
        }
        task
    }

    fn withdraw(&self, activity: &str, execution: &str, attempt: u64) {
        let mut waiting = self.waiting();
        if let Some(queue) = waiting.get_mut(activity) {
            queue.retain(|task| task.attempt != attempt || task.execution != execution);
            if queue.is_empty() {
                waiting.remove(activity);
            }
        }
    }
}

/// Lets a Task wait for a worker, if there is such an activity.
pub(super) async fn schedule(
    runner: &Runner,
    call: Call,
    reply: &Reply,
    abandoned: oneshot::Receiver<()>,
) {
    let token = call.attempt;
    let (Resource::Activity(activity), Some(task_token)) = (&call.resource, &call.token) else {
        return;
    };
    let problem = match runner.store().activity(activity) {
        Ok(Some(_)) => None,
        Ok(None) => Some(format!("The activity {activity} does not exist.")),
        Err(error) => Some(error.to_string()),
    };
    if let Some(problem) = problem {
        let result = Err(Failure::new("States.Runtime", problem));
        return reply.send(Input::TaskEnded { token, result }).await;
    }
    // The execution takes this in before anything that a worker does.
    reply.send(Input::ActivityScheduled { token }).await;
    let activities = runner.activities();
    let waiting = Waiting {
        attempt: token,
        execution: call.execution.clone(),
        token: task_token.text(),
        input: call.parameters,
        reply: reply.clone(),
    };
    activities.offer(activity, waiting);
    // Abandoned, or ended in another way.
    let _ = abandoned.await;
    activities.withdraw(activity, &call.execution, token);
}

/// The oldest task of the activity that somebody still waits for; `None` after a minute without
/// one.
pub async fn poll(runner: &Runner, activity: &str, worker: Option<&str>) -> Option<ActivityTask> {
    let activities = runner.activities();
    let end = runner.clock().until(runner.now() + POLL.as_millis() as i64);
    tokio::pin!(end);
    loop {
        let more = activities.more.notified();
        tokio::pin!(more);
        // From here on no offer is missed.
        more.as_mut().enable();
        while let Some(waiting) = activities.pop(activity) {
            let worker = worker.map(str::to_owned);
            // A task of its own: a worker that goes away must not take the activity's task along.
            let started = tokio::spawn(async move {
                let started = Input::ActivityStarted {
                    token: waiting.attempt,
                    worker,
                };
                let is_taken = waiting.reply.deliver(started).await;
                is_taken.then(|| ActivityTask {
                    token: waiting.token,
                    input: waiting.input.to_string(),
                })
            });
            if let Ok(Some(task)) = started.await {
                return Some(task);
            }
        }
        tokio::select! {
            () = &mut more => {}
            () = &mut end => return None,
            () = runner.stopping() => return None,
        }
    }
}
