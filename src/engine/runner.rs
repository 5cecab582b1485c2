//! Performs what steps ask for, and takes in what comes back. One task owns each running
//! execution: input → step → commit → commands, in this order, so that a crash loses nothing that
//! was seen.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Notify, OnceCell, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::definition::Definition;
use super::disk::{self, Disk};
use super::functions::Functions;
use super::integrations::activities::Activities;
use super::integrations::{self, Reply, UnderWay};
use super::logging::Logger;
use super::logs::Logs;
use super::machine::{self, Command, Failure, Input, Machine, Outcome};
use super::map_run::handle::Handle;
use super::map_run::{ChildStatus, Quotas};
use super::objects::Objects;
use super::store::{Batch, ExecutionRow, ExecutionStatus, MapRunRow, Origin, Store, StoreError};
use super::switches::{Gate, Switches};

/// Inputs that may wait for an execution.
const INBOX: usize = 256;
/// How long an Express execution may take, seconds (Step Functions quotas).
const EXPRESS_SECONDS: u64 = 300;
/// Map Runs kept open for readers besides those at work.
const IDLE_MAP_RUNS: usize = 8;
/// Locks that keep two calls about one execution apart.
const SHARDS: usize = 64;

/// The engine's time, which tests can move.
#[derive(Debug, Default)]
pub struct Clock {
    /// Milliseconds added to the system's.
    offset: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// Milliseconds since 1970.
    pub fn now(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond() + self.offset.load(Ordering::Relaxed)
    }

    /// Moves the clock, for tests of what takes days.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset.fetch_add(by, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// Resolves at `at`, milliseconds since 1970, also when the clock is moved there.
    pub async fn until(&self, at: i64) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // From here on no move is missed.
            moved.as_mut().enable();
            let Ok(left @ 1..) = u64::try_from(at - self.now()) else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left)) => {}
                () = moved => {}
            }
        }
    }
}

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
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    pub fn store(&self) -> &Store {
        &self.0.store
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

    /// Goes on with everything that was under way when the store was last written.
    pub async fn recover(&self) -> Result<(), StoreError> {
        // All of them can be found before the first one acts: it may wait for another one.
        let mut actors = Vec::new();
        let mut jobs = Vec::new();
        for row in self.0.store.running()? {
            let definition = match self.definition(&row.revision) {
                Ok(definition) => definition,
                // One damaged definition must not keep the others from going on.
                Err(error) => {
                    tracing::error!(arn = row.identity.id, %error, "an execution cannot go on");
                    continue;
                }
            };
            if let Some(origin) = row.nested_in.as_ref().filter(|origin| origin.is_job) {
                jobs.push((row.identity.id.clone(), origin.clone()));
            }
            let owed = match row.provenance.express {
                // Nothing but its start is kept: it starts again.
                true => None,
                false => Some(machine::owed(
                    &machine_of(&row, &definition),
                    &row.execution,
                )),
            };
            let keep = owed.as_ref().map_or(Keep::End, |_| Keep::Steps);
            actors.push((Actor::register(self, row, definition, keep), owed));
        }
        // Those that were open stay so: nothing that acts below may take their turns.
        let open = self.0.store.open_map_runs()?;
        for row in &open {
            // What cannot be opened is told below, or by its parent.
            if let Ok(Some(handle)) = self.map_run(&row.plan.arn).await
                && handle.is_open()
            {
                handle.keep_turn(self.map_run_turn_again());
            }
        }
        for (actor, owed) in actors {
            match owed {
                Some(owed) => self.track(actor.run(owed)),
                None => self.track(actor.begin()),
            }
        }
        for (arn, origin) in jobs {
            let runner = self.clone();
            self.track(async move { runner.end_orphan(&arn, &origin).await });
        }
        for row in open {
            let is_abandoned = match self.is_abandoned(&row).await {
                Ok(is_abandoned) => is_abandoned,
                // One damaged row must not keep the others from going on.
                Err(error) => {
                    tracing::error!(arn = row.plan.arn, %error, "a Map Run's parent cannot be read");
                    continue;
                }
            };
            if is_abandoned {
                match self.map_run(&row.plan.arn).await {
                    Ok(Some(handle)) => handle.stop(self).await,
                    Ok(None) => {}
                    // One damaged log must not keep the others from going on.
                    Err(error) => tracing::error!(%error, "a Map Run cannot be closed"),
                }
            }
        }
        for machine in self.0.store.machines()? {
            if machine.deleting {
                self.delete_machine(machine.arn);
            }
        }
        Ok(())
    }

    /// Stops a nested execution whose Task does not wait for it any more: the engine ended between
    /// the Task's end and this.
    async fn end_orphan(&self, arn: &str, origin: &Origin) {
        let is_awaited = match self.0.store.execution(&origin.execution) {
            Ok(Some(row)) => {
                row.status == ExecutionStatus::Running
                    && machine::awaits(&row.execution, origin.attempt)
            }
            // A child of a Map Run: it waits as long as it runs.
            Ok(None) => {
                let request = serde_json::json!({"executionArn": origin.execution});
                let described = self
                    .step_functions("DescribeExecution", request, None)
                    .await;
                described.is_ok_and(|described| described["status"] == "RUNNING")
            }
            // Better one too many than one stopped that is waited for.
            Err(_) => true,
        };
        if !is_awaited {
            self.stop_execution(arn, None, None).await;
        }
    }

    /// Whether nobody waits for the open Map Run any more: its execution ended, and the engine
    /// before the Map Run was told.
    async fn is_abandoned(&self, row: &MapRunRow) -> Result<bool, StoreError> {
        let Some(owner) = &row.owner else {
            let parent = self.0.store.execution(&row.execution)?;
            return Ok(parent.is_none_or(|parent| parent.status != ExecutionStatus::Running));
        };
        Ok(match self.map_run(&owner.map_run).await {
            Ok(Some(outer)) => {
                let child = outer.table().row(owner.child).map(|row| row.status);
                child != Some(ChildStatus::Running)
            }
            Ok(None) => true,
            // It cannot go on itself; its children are as they are.
            Err(error) => {
                tracing::error!(%error, "a Map Run cannot be opened");
                false
            }
        })
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

    /// Makes sure that the Map Run goes on, redriven that many times.
    ///
    /// # Errors
    /// Why it cannot; the Map state fails by that.
    pub async fn follow_map_run(&self, arn: &str, redrives: u32) -> Result<(), String> {
        let most = self.quotas().map_run_redrives;
        if redrives > most {
            return Err(format!(
                "The Map Run cannot be redriven more than {most} times."
            ));
        }
        match self.map_run(arn).await {
            Ok(Some(handle)) => {
                handle.follow(self, redrives).await;
                Ok(())
            }
            Ok(None) => Err("the Map Run has no row".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Gives a Map Run's end to the execution or child that entered its Map state.
    pub async fn map_run_ended(&self, row: &MapRunRow, ended: Input) {
        let Some(owner) = &row.owner else {
            return self.deliver(&row.execution, ended).await;
        };
        // Where nobody drives the outer Map Run, it asks again when it goes on.
        if let Some(outer) = self.map_run_in_memory(&owner.map_run) {
            outer.tell_child(owner.child, ended).await;
        }
    }

    /// The Map Run with its children, from memory or replayed from its log.
    pub async fn map_run(&self, arn: &str) -> Result<Option<Arc<Handle>>, StoreError> {
        let cell = locked(&self.0.map_runs).get(arn).cloned();
        let cell = match cell {
            Some(cell) => cell,
            None if self.0.store.map_run(arn)?.is_none() => return Ok(None),
            None => {
                let mut map_runs = locked(&self.0.map_runs);
                evict_idle(&mut map_runs);
                Arc::clone(map_runs.entry(arn.to_owned()).or_default())
            }
        };
        let handle = cell.get_or_try_init(|| self.open_map_run(arn)).await?;
        Ok(Some(Arc::clone(handle)))
    }

    /// The Map Run if it is in memory.
    pub fn map_run_in_memory(&self, arn: &str) -> Option<Arc<Handle>> {
        locked(&self.0.map_runs).get(arn)?.get().cloned()
    }

    fn log_path(&self, map_run: &str) -> PathBuf {
        let id = map_run.rsplit(':').next().unwrap_or(map_run);
        self.0.folder.join("map_runs").join(format!("{id}.log"))
    }

    async fn open_map_run(&self, arn: &str) -> Result<Arc<Handle>, StoreError> {
        let path = self.log_path(arn);
        let fail = |problem: String| StoreError {
            path: path.clone(),
            problem,
        };
        let missing = || fail(format!("{arn} has no row"));
        let row = self.0.store.map_run(arn)?.ok_or_else(missing)?;
        let parent = self.0.store.execution(row.root())?.ok_or_else(missing)?;
        let definition = self.definition(&parent.revision)?;
        let logger = Logger::of(&self.0.logs, &parent);
        let parent = parent.identity;
        let (log, disk) = (path.clone(), self.0.disk.clone());
        let opened =
            tokio::task::spawn_blocking(move || Handle::open(row, definition, parent, &disk, &log))
                .await;
        match opened {
            Ok(Ok(mut handle)) => {
                handle.logger = logger;
                Ok(Arc::new(handle))
            }
            Ok(Err(error)) => Err(StoreError::of(&path, &error)),
            Err(error) => Err(fail(error.to_string())),
        }
    }

    /// Notes that a Map Run has closed, with its counts.
    pub async fn map_run_closed(&self, handle: &Handle) {
        let mut batch = Batch::default();
        // On a line of its own: the table is locked to the end of a statement.
        let redrives = handle.table().round;
        batch.map_run(MapRunRow {
            redrives,
            closed: Some(handle.describe(self.now())),
            ..handle.row.clone()
        });
        if let Err(error) = self.0.store.commit(batch).await {
            // Harmless: the log has it, and the next start notes it again.
            tracing::error!(%error, "a Map Run's end could not be noted");
        }
    }
}

/// Forgets Map Runs that nobody works on or reads, when there are many.
fn evict_idle(map_runs: &mut HashMap<String, Arc<OnceCell<Arc<Handle>>>>) {
    if map_runs.len() < IDLE_MAP_RUNS {
        return;
    }
    map_runs.retain(|_, cell| {
        let is_used = cell
            .get()
            .is_some_and(|handle| handle.is_driven() || Arc::strong_count(handle) > 1);
        is_used || Arc::strong_count(cell) > 1
    });
}

fn machine_of<'m>(row: &'m ExecutionRow, definition: &'m Definition) -> Machine<'m> {
    Machine {
        scope: &definition.scope,
        timeout_seconds: match (row.provenance.express, definition.timeout_seconds) {
            (true, given) => Some(given.unwrap_or(EXPRESS_SECONDS).min(EXPRESS_SECONDS)),
            (false, given) => given,
        },
        identity: &row.identity,
        input: &row.input,
        context: None,
        record: true,
    }
}

/// Completes `ExecutionStarted` with what a step does not know: the input as it was written, and
/// the version and alias it was started with.
fn note_origin(event: &mut machine::Event, row: &ExecutionRow) {
    let Some(Value::Object(details)) = &mut event.details else {
        return;
    };
    let origin = &row.provenance;
    let members = [
        ("input", &origin.input),
        ("stateMachineAliasArn", &origin.alias),
        ("stateMachineVersionArn", &origin.version),
    ];
    for (name, value) in members {
        let value = value.clone().map(|value| (name.to_owned(), value.into()));
        details.extend(value);
    }
}

/// Writes the end of an execution into its row.
fn settle(row: &mut ExecutionRow, outcome: Option<Outcome>, now: i64) {
    let Some(outcome) = outcome else { return };
    row.stopped = Some(now);
    let (status, failure) = match outcome {
        Outcome::Succeeded(output) => {
            row.output = Some(Arc::unwrap_or_clone(output));
            (ExecutionStatus::Succeeded, None)
        }
        Outcome::Failed(failure) => (ExecutionStatus::Failed, Some(failure)),
        Outcome::TimedOut => (ExecutionStatus::TimedOut, None),
        Outcome::Aborted(failure) => (ExecutionStatus::Aborted, Some(failure)),
    };
    row.status = status;
    if let Some(failure) = failure {
        (row.error, row.cause) = (failure.error, failure.cause);
    }
}

/// What is kept of an execution on disk.
enum Keep {
    /// A Standard one goes on where it was.
    Steps,
    /// An Express one starts again until it has come to an end.
    End,
    /// One whose caller waits for what it comes to.
    Nothing(Option<oneshot::Sender<ExecutionRow>>),
}

/// The task that owns a running execution.
struct Actor {
    runner: Runner,
    row: ExecutionRow,
    definition: Arc<Definition>,
    keep: Keep,
    inbox: mpsc::Receiver<Message>,
    sender: mpsc::Sender<Message>,
    /// Timers; they end with the execution.
    tasks: JoinSet<()>,
    /// Calls under way, by attempt.
    calls: HashMap<u64, UnderWay>,
}

impl Actor {
    /// From here on the execution can be found; [`Actor::run`] works on it.
    fn register(
        runner: &Runner,
        row: ExecutionRow,
        definition: Arc<Definition>,
        keep: Keep,
    ) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX);
        locked(&runner.0.executions).insert(row.identity.id.clone(), sender.clone());
        Self {
            runner: runner.clone(),
            row,
            definition,
            keep,
            inbox,
            sender,
            tasks: JoinSet::new(),
            calls: HashMap::new(),
        }
    }

    async fn run(mut self, commands: Vec<Command>) {
        self.perform(commands).await;
        self.go_on().await;
    }

    /// Of an Express execution, which always begins at its start.
    async fn begin(mut self) {
        if self.take(Input::Start).await {
            self.go_on().await;
        }
    }

    async fn go_on(mut self) {
        while self.row.status == ExecutionStatus::Running {
            let message = tokio::select! {
                () = self.runner.stopping() => return,
                message = self.inbox.recv() => message,
                // Ended tasks are taken out, so that they do not pile up.
                Some(_) = self.tasks.join_next() => continue,
            };
            let Some(message) = message else { return };
            let (input, done) = match message {
                Message::Input(input) => (input, None),
                Message::Deliver { input, done } => {
                    let attempt = input.token().unwrap_or_default();
                    if !machine::awaits(&self.row.execution, attempt) {
                        continue;
                    }
                    (input, Some(done))
                }
                Message::Stop { error, cause, done } => (Input::Stop { error, cause }, Some(done)),
            };
            if !self.take(input).await {
                return;
            }
            if let Some(done) = done {
                // Whoever asked may have gone.
                let _ = done.send(());
            }
        }
        let mut executions = locked(&self.runner.0.executions);
        let is_ours = |sender: &mpsc::Sender<Message>| sender.same_channel(&self.sender);
        if executions.get(&self.row.identity.id).is_some_and(is_ours) {
            executions.remove(&self.row.identity.id);
        }
        drop(executions);
        self.runner.0.ended.notify_waiters();
        if let Keep::Nothing(done) = &mut self.keep
            && let Some(done) = done.take()
        {
            // Whoever waited may have gone.
            let _ = done.send(self.row);
        }
    }

    /// What the step changes on disk.
    fn batch(&self, step: &machine::Step) -> Result<Batch, StoreError> {
        match &self.keep {
            Keep::Steps => self.runner.batch(&self.row, &step.events, &step.commands),
            Keep::End if self.row.status != ExecutionStatus::Running => {
                let mut batch = Batch::default();
                batch.forget_execution(&self.row);
                Ok(batch)
            }
            Keep::End | Keep::Nothing(_) => Ok(Batch::default()),
        }
    }

    /// Step, commit, act. `false`: the engine stops and the step was not kept.
    async fn take(&mut self, input: Input) -> bool {
        let now = self.runner.now();
        if let Input::TaskEnded { token, .. } = &input {
            self.calls.remove(token);
        }
        let is_cut = locked(&self.runner.0.deleting).contains(&self.row.identity.machine_id);
        let input = match is_cut {
            true => Input::Stop {
                error: None,
                cause: None,
            },
            false => input,
        };
        let mut execution = std::mem::take(&mut self.row.execution);
        let mut step = machine::step(
            &machine_of(&self.row, &self.definition),
            &mut execution,
            input,
            now,
        );
        self.row.execution = execution;
        settle(&mut self.row, step.outcome.take(), now);
        loop {
            let committed = match self.batch(&step) {
                Ok(batch) if batch.is_empty() => Ok(()),
                Ok(batch) => self.runner.store().commit(batch).await,
                Err(error) => Err(error),
            };
            let Err(error) = committed else { break };
            tracing::error!(%error, "a step cannot be committed; trying again");
            tokio::select! {
                () = self.runner.stopping() => return false,
                () = tokio::time::sleep(disk::RETRY) => {}
            }
        }
        self.runner.log(&self.row, &step.events);
        self.throttle(&step.events).await;
        self.perform(step.commands).await;
        true
    }

    /// Waits for the state transitions that were made, where they are throttled.
    async fn throttle(&self, events: &[machine::Event]) {
        if self.row.provenance.express {
            return;
        }
        let entered = events
            .iter()
            .filter(|event| event.kind.ends_with("StateEntered"));
        let wait = self
            .runner
            .gate()
            .transit(entered.count() as u64, self.runner.now());
        if !wait.is_zero() {
            tokio::select! {
                () = self.runner.stopping() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn perform(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Call(call) => {
                    let attempt = call.attempt;
                    let reply = Reply::Execution(self.sender.clone());
                    let under_way = integrations::begin(&self.runner, *call, reply);
                    self.calls.insert(attempt, under_way);
                }
                Command::Abandon { attempt } => {
                    if let Some(call) = self.calls.remove(&attempt) {
                        call.abandon();
                    }
                }
                Command::Timer { token, at } => {
                    let runner = self.runner.clone();
                    let sender = self.sender.clone();
                    self.tasks.spawn(async move {
                        runner.clock().until(at).await;
                        // The execution may have ended meanwhile.
                        let _ = sender
                            .send(Message::Input(Input::TimerFired { token }))
                            .await;
                    });
                }
                Command::StartMapRun(plan) => self.follow(&plan.arn, 0).await,
                Command::FollowMapRun { arn, redrives } => self.follow(&arn, redrives).await,
                Command::StopMapRun { arn } => {
                    if let Ok(Some(handle)) = self.runner.map_run(&arn).await {
                        handle.stop(&self.runner).await;
                    }
                }
            }
        }
    }

    async fn follow(&self, arn: &str, redrives: u32) {
        let Err(problem) = self.runner.follow_map_run(arn, redrives).await else {
            return;
        };
        tracing::error!(arn, problem, "a Map Run cannot go on");
        let result = Err(Failure::new("States.Runtime", problem));
        let ended = Input::MapRunEnded {
            arn: arn.to_owned(),
            redrives,
            result,
        };
        // Our own inbox: it is open as long as we are.
        let _ = self.sender.send(Message::Input(ended)).await;
    }
}
