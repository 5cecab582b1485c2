//! Performs what steps ask for, and takes in what comes back. One task owns each running
//! execution: input → step → commit → commands, in this order, so that a crash loses nothing that
//! was seen.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Notify, OnceCell, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::blocked::Blocked;
use super::definition::Definition;
use super::disk::Disk;
use super::functions::Functions;
use super::integrations::Reply;
use super::integrations::activities::Activities;
use super::logging::Logger;
use super::logs::Logs;
use super::machine::{self, Command, Input};
use super::map_run::Quotas;
use super::map_run::handle::Handle;
use super::objects::Objects;
use super::store::{Batch, ExecutionRow, ExecutionStatus, MapRunRow, Origin, Store, StoreError};
use super::switches::{Gate, Switches};
use actor::{Actor, Keep, machine_of, note_origin, settle};

mod actor;
mod clock;
mod map_runs;
mod recovery;

pub use clock::Clock;

/// Locks that keep two calls about one execution apart.
const SHARDS: usize = 64;

/// A Step Functions operation's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    pub status: u16,
    pub code: String,
    pub message: String,
}

/// Answers a Step Functions operation as the wire does: name, JSON, and the Task that asks.
pub type StepFunctions = Box<
    dyn Fn(Runner, String, Value, Option<Origin>) -> BoxFuture<'static, Result<Value, ServiceError>>
        + Send
        + Sync,
>;

/// Keeps everybody else away from an execution while it is held.
pub type Exclusive = tokio::sync::OwnedMutexGuard<()>;

/// Held by a Map Run while it is open.
pub type Turn = tokio::sync::OwnedSemaphorePermit;

/// A handle; clones share one runner.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    store: Store,
    objects: Objects,
    functions: Functions,
    logs: Logs,
    folder: PathBuf,
    disk: Disk,
    clock: Arc<Clock>,
    quotas: Mutex<Quotas>,
    gate: Mutex<Gate>,
    /// A permit for each Map Run that may still be opened.
    turns: Arc<Semaphore>,
    executions: Mutex<HashMap<String, mpsc::Sender<Message>>>,
    /// Told whenever an execution has ended.
    ended: Notify,
    /// ARNs of state machines whose executions end at their next transition.
    deleting: Mutex<HashSet<String>>,
    map_runs: Mutex<HashMap<String, Arc<OnceCell<Arc<Handle>>>>>,
    definitions: Mutex<HashMap<String, Arc<Definition>>>,
    shards: Vec<Arc<tokio::sync::Mutex<()>>>,
    sequence: AtomicU64,
    activities: Activities,
    step_functions: OnceLock<StepFunctions>,
    blocked: Blocked,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What a running execution takes in.
pub enum Message {
    Input(Input),
    /// For the Task that waits for it; answered once it is on disk, dropped when nobody waits.
    Deliver {
        input: Input,
        done: oneshot::Sender<()>,
    },
    Stop {
        error: Option<String>,
        cause: Option<String>,
        done: oneshot::Sender<()>,
    },
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    /// `clock` is everybody's: `logs` goes by it as well.
    pub fn new(
        store: Store,
        objects: Objects,
        functions: Functions,
        logs: Logs,
        clock: Arc<Clock>,
        disk: Disk,
        folder: PathBuf,
    ) -> Self {
        let sequence = AtomicU64::new(u64::try_from(clock.now()).unwrap_or_default() << 20);
        Self(Arc::new(Inner {
            store,
            objects,
            functions,
            logs,
            folder,
            disk,
            clock,
            quotas: Mutex::default(),
            gate: Mutex::default(),
            turns: Arc::new(Semaphore::new(Quotas::default().open_map_runs)),
            executions: Mutex::default(),
            ended: Notify::new(),
            deleting: Mutex::default(),
            map_runs: Mutex::default(),
            definitions: Mutex::default(),
            shards: (0..SHARDS).map(|_| Arc::default()).collect(),
            sequence,
            activities: Activities::default(),
            step_functions: OnceLock::new(),
            blocked: Blocked::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// What waits for the disk.
    pub fn blocked(&self) -> &Blocked {
        &self.0.blocked
    }

    pub fn objects(&self) -> &Objects {
        &self.0.objects
    }

    pub fn functions(&self) -> &Functions {
        &self.0.functions
    }

    pub fn logs(&self) -> &Logs {
        &self.0.logs
    }

    pub fn activities(&self) -> &Activities {
        &self.0.activities
    }

    /// Says who answers Step Functions' operations; the first call counts.
    pub fn answer_with(&self, step_functions: StepFunctions) {
        // Set once, when the engine opens.
        let _ = self.0.step_functions.set(step_functions);
    }

    /// A Step Functions operation as a Task calls it.
    pub async fn step_functions(
        &self,
        operation: &str,
        request: Value,
        origin: Option<Origin>,
    ) -> Result<Value, ServiceError> {
        let Some(answer) = self.0.step_functions.get() else {
            return Err(ServiceError {
                status: 500,
                code: "InternalServerException".to_owned(),
                message: "nobody answers operations in this engine".to_owned(),
            });
        };
        answer(self.clone(), operation.to_owned(), request, origin).await
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub fn quotas(&self) -> Quotas {
        *locked(&self.0.quotas)
    }

    /// Turns switches on and off from now on.
    pub fn set_switches(&self, switches: Switches) {
        self.0.store.keep_past(&self.0.clock, switches.delay);
        *locked(&self.0.gate) = Gate::new(switches);
    }

    /// The moment that eventually consistent answers are of; `None`: they are of the present.
    pub fn shown_at(&self) -> Option<i64> {
        let delay = self.gate().delay();
        let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        (delay_ms > 0).then(|| self.now().saturating_sub(delay_ms))
    }

    /// Throttling, delay and faults.
    pub fn gate(&self) -> MutexGuard<'_, Gate> {
        locked(&self.0.gate)
    }

    /// Sets other limits than the service's, for tests of what takes gigabytes.
    pub fn set_quotas(&self, quotas: Quotas) {
        let before = std::mem::replace(&mut *locked(&self.0.quotas), quotas);
        let turns = &self.0.turns;
        turns.forget_permits(before.open_map_runs.saturating_sub(quotas.open_map_runs));
        turns.add_permits(quotas.open_map_runs.saturating_sub(before.open_map_runs));
    }

    /// Resolves when one more Map Run may be open, in the order of asking.
    pub fn map_run_turn(&self) -> impl Future<Output = Option<Turn>> + Send + use<> {
        let turns = Arc::clone(&self.0.turns);
        // The semaphore is never closed.
        async move { turns.acquire_owned().await.ok() }
    }

    /// The same for a Map Run that was open before the engine was: it need not wait.
    pub fn map_run_turn_again(&self) -> Option<Turn> {
        Arc::clone(&self.0.turns).try_acquire_owned().ok()
    }

    /// How many executions run, children of Map Runs not counted.
    pub fn open_executions(&self) -> usize {
        locked(&self.0.executions).len()
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> i64 {
        self.0.clock.now()
    }

    /// A number that grows, also over restarts.
    pub fn sequence(&self) -> u64 {
        self.0.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Resolves when the engine stops.
    pub fn stopping(&self) -> impl Future<Output = ()> + use<> {
        self.0.stop.clone().cancelled_owned()
    }

    /// Runs a task that [`Runner::stop`] waits for.
    pub fn track(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    /// Stops everything where it is; it goes on when the folder is opened again.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.functions.stop().await;
        self.0.logs.stop().await;
    }

    /// Keeps others that hold the same lock away from this execution.
    pub async fn exclusive(&self, arn: &str) -> Exclusive {
        let hash = crc32fast::hash(arn.as_bytes()) as usize;
        Arc::clone(&self.0.shards[hash % SHARDS]).lock_owned().await
    }

    /// The definition of a revision, parsed once.
    pub fn definition(&self, revision: &str) -> Result<Arc<Definition>, StoreError> {
        if let Some(definition) = locked(&self.0.definitions).get(revision) {
            return Ok(Arc::clone(definition));
        }
        let damaged = |problem: &str| StoreError {
            path: self.0.folder.join("store.redb"),
            problem: format!("the definition of revision {revision} {problem}"),
        };
        let text = self
            .0
            .store
            .definition(revision)?
            .ok_or_else(|| damaged("is missing"))?;
        let definition = Definition::parse(&text).map_err(|_| damaged("is not valid any more"))?;
        let definition = Arc::new(definition);
        locked(&self.0.definitions).insert(revision.to_owned(), Arc::clone(&definition));
        Ok(definition)
    }

    /// Starts an Express execution; returns once that is on disk. It may run more than once.
    pub async fn start_express(&self, row: ExecutionRow) -> Result<(), StoreError> {
        let definition = self.definition(&row.revision)?;
        let mut batch = Batch::default();
        batch.execution(&row);
        let runner = self.clone();
        // A task of its own, for a caller may go away between the commit and the start.
        let begun = self.0.tasks.spawn(async move {
            runner.0.store.commit(batch).await?;
            let actor = Actor::register(&runner, row, definition, Keep::End);
            runner.track(actor.begin());
            Ok(())
        });
        begun.await.unwrap_or_else(|error| Err(self.broken(&error)))
    }

    /// Runs an Express execution to its end, at most once: nothing of it is kept.
    pub async fn run_express(&self, row: ExecutionRow) -> Result<ExecutionRow, StoreError> {
        let definition = self.definition(&row.revision)?;
        let (done, answer) = oneshot::channel();
        let actor = Actor::register(self, row, definition, Keep::Nothing(Some(done)));
        self.track(actor.begin());
        answer.await.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> StoreError {
        StoreError {
            path: self.0.folder.join("store.redb"),
            problem: format!("an execution broke off: {error}"),
        }
    }

    /// Whether as many executions are open as may be.
    pub fn is_full(&self) -> bool {
        self.open_executions() >= self.quotas().open_executions
    }

    /// Forgets a closed execution, whose name is free again.
    pub async fn forget(&self, row: &ExecutionRow) -> Result<(), StoreError> {
        let map_runs = self.0.store.map_runs_of(&row.identity.id)?;
        let mut batch = Batch::default();
        batch.forget_execution(row);
        self.0.store.commit(batch).await?;
        for arn in map_runs {
            locked(&self.0.map_runs).remove(&arn);
            if let Err(error) = std::fs::remove_file(self.log_path(&arn)) {
                tracing::warn!(%error, arn, "a forgotten Map Run's log stays");
            }
        }
        Ok(())
    }

    /// Ends a state machine that is marked as being deleted: its executions at their next
    /// transition, then itself. Returns at once.
    pub fn delete_machine(&self, arn: String) {
        locked(&self.0.deleting).insert(arn.clone());
        let runner = self.clone();
        self.track(async move {
            if let Err(error) = runner.end_machine(&arn).await {
                tracing::error!(%error, arn, "a state machine cannot be deleted");
            }
        });
    }

    async fn end_machine(&self, arn: &str) -> Result<(), StoreError> {
        // One that waits for a Map Run has its transitions in the children.
        for execution in self.running_of(arn) {
            for map_run in self.0.store.map_runs_of(&execution)? {
                let row = self.0.store.map_run(&map_run)?;
                if row.is_some_and(|row| row.closed.is_none()) {
                    self.stop_execution(&execution, None, None).await;
                }
            }
        }
        loop {
            let mut ended = std::pin::pin!(self.0.ended.notified());
            ended.as_mut().enable();
            if self.running_of(arn).is_empty() {
                break;
            }
            tokio::select! {
                // It goes on when the folder is opened again.
                () = self.stopping() => return Ok(()),
                () = ended => {}
            }
        }
        let mut batch = Batch::default();
        batch.forget_machine(arn);
        self.0.store.commit(batch).await?;
        locked(&self.0.deleting).remove(arn);
        Ok(())
    }

    /// ARNs of a state machine's running executions.
    fn running_of(&self, machine: &str) -> Vec<String> {
        let prefixes = ["execution", "express"]
            .map(|kind| machine.replacen(":stateMachine:", &format!(":{kind}:"), 1) + ":");
        let executions = locked(&self.0.executions);
        let is_of = |arn: &&String| prefixes.iter().any(|prefix| arn.starts_with(prefix));
        executions.keys().filter(is_of).cloned().collect()
    }

    /// Takes the first step of a new execution; returns once it is on disk.
    pub async fn start(&self, row: ExecutionRow, only: Exclusive) -> Result<(), StoreError> {
        let now = row.identity.started;
        self.begin(row, Input::Start, now, only).await
    }

    /// Redrives a closed execution at `now`; returns that once it is on disk.
    pub async fn redrive(
        &self,
        row: ExecutionRow,
        now: i64,
        only: Exclusive,
    ) -> Result<i64, StoreError> {
        self.begin(row, Input::Redrive, now, only)
            .await
            .map(|()| now)
    }

    /// A task of its own: a caller that goes away must not leave an execution that is on disk but
    /// that nobody works on.
    async fn begin(
        &self,
        row: ExecutionRow,
        input: Input,
        now: i64,
        only: Exclusive,
    ) -> Result<(), StoreError> {
        let runner = self.clone();
        let begun = self.0.tasks.spawn(async move {
            let _only = only;
            runner.begin_now(row, input, now).await
        });
        begun.await.unwrap_or_else(|error| Err(self.broken(&error)))
    }

    async fn begin_now(&self, row: ExecutionRow, input: Input, now: i64) -> Result<(), StoreError> {
        let definition = self.definition(&row.revision)?;
        let mut row = row;
        let mut execution = std::mem::take(&mut row.execution);
        let step = machine::step(
            &machine_of(&row, &definition),
            &mut execution,
            input.clone(),
            now,
        );
        row.execution = execution;
        if let Input::Redrive = input {
            row.redriven = Some(now);
            row.status = ExecutionStatus::Running;
            (row.stopped, row.error, row.cause, row.output) = (None, None, None, None);
        }
        settle(&mut row, step.outcome, now);
        let mut events = step.events;
        if let (Input::Start, Some(started)) = (&input, events.first_mut()) {
            note_origin(started, &row);
        }
        let mut batch = self.batch(&row, &events, &step.commands)?;
        if let Input::Start = input {
            batch.new_execution(&row);
        }
        if let Err(error) = self.0.store.commit(batch).await {
            // The disk may have failed after the commit. What is there goes on, or nobody would
            // work on it before the next start.
            let there = self.0.store.execution(&row.identity.id);
            if !there.is_ok_and(|there| there.as_ref() == Some(&row)) {
                return Err(error);
            }
        }
        self.log(&row, &events);
        // A step that begins and ends may still have something to stop.
        if row.status == ExecutionStatus::Running || !step.commands.is_empty() {
            let actor = Actor::register(self, row, definition, Keep::Steps);
            self.track(actor.run(step.commands));
        }
        Ok(())
    }

    /// Writes what a step that is on disk has to say to the log group, if the execution has one.
    fn log(&self, row: &ExecutionRow, events: &[machine::Event]) {
        if let Some(logger) = Logger::of(&self.0.logs, row) {
            logger.write(&row.identity.id, row.execution.redrive_count, events);
        }
    }

    /// What a step writes.
    fn batch(
        &self,
        row: &ExecutionRow,
        events: &[machine::Event],
        commands: &[Command],
    ) -> Result<Batch, StoreError> {
        let mut batch = Batch::default();
        let arn = &row.identity.id;
        batch.execution(row);
        for event in events {
            batch.event(arn, event.id, &event.to_json());
        }
        for command in commands {
            match command {
                Command::StartMapRun(plan) => {
                    let row = MapRunRow {
                        plan: plan.as_ref().clone(),
                        execution: arn.clone(),
                        owner: None,
                        started: self.now(),
                        redrives: 0,
                        closed: None,
                    };
                    batch.new_map_run(row, self.sequence());
                }
                Command::FollowMapRun { arn, redrives }
                    if *redrives <= self.quotas().map_run_redrives =>
                {
                    if let Some(row) = self.0.store.map_run(arn)? {
                        batch.map_run(MapRunRow {
                            redrives: *redrives,
                            closed: None,
                            ..row
                        });
                    }
                }
                _ => {}
            }
        }
        Ok(batch)
    }

    /// Stops a running execution. Returns once that is on disk; does nothing when it has ended.
    pub async fn stop_execution(&self, arn: &str, error: Option<String>, cause: Option<String>) {
        let inbox = locked(&self.0.executions).get(arn).cloned();
        let Some(inbox) = inbox else { return };
        let (done, answer) = oneshot::channel();
        if inbox
            .send(Message::Stop { error, cause, done })
            .await
            .is_ok()
        {
            // An execution that ends meanwhile does not answer: it has ended.
            let _ = answer.await;
        }
    }

    /// Resolves once nobody works on the execution any more: it has ended.
    pub async fn closed(&self, arn: &str) {
        // Whoever begins it holds this until it is worked on.
        let only = self.exclusive(arn).await;
        let inbox = locked(&self.0.executions).get(arn).cloned();
        drop(only);
        if let Some(inbox) = inbox {
            inbox.closed().await;
        }
    }

    /// Ways to the running execution.
    pub fn reply_to(&self, arn: &str) -> Option<Reply> {
        let inbox = locked(&self.0.executions).get(arn).cloned();
        inbox.map(Reply::Execution)
    }

    /// Gives an input to a running execution; nobody wants those of a closed one.
    pub async fn deliver(&self, arn: &str, input: Input) {
        let inbox = locked(&self.0.executions).get(arn).cloned();
        if let Some(inbox) = inbox {
            // Closed meanwhile: nobody wants it.
            let _ = inbox.send(Message::Input(input)).await;
        }
    }
}
