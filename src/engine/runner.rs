//! Performs what steps ask for, and takes in what comes back. One task owns each running
//! execution: input → step → commit → commands, in this order, so that a crash loses nothing that
//! was seen.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::definition::Definition;
use super::disk::Disk;
use super::functions::Functions;
use super::logs::Logs;
use super::machine::{self, Command, Failure, Input, Integration, Machine, Outcome};
use super::map_run::Quotas;
use super::map_run::handle::Handle;
use super::objects::Objects;
use super::store::{Batch, ExecutionRow, ExecutionStatus, MapRunRow, Store, StoreError};

/// Inputs that may wait for an execution.
const INBOX: usize = 256;
/// How long to wait before a failed commit is tried again.
const COMMIT_RETRY: Duration = Duration::from_secs(1);
/// Map Runs kept open for readers besides those at work.
const IDLE_MAP_RUNS: usize = 8;
/// Locks that keep two calls about one execution apart.
const SHARDS: usize = 64;

/// The engine's time, which tests can move.
#[derive(Debug, Default)]
pub struct Clock {
    /// Milliseconds added to the system's.
    offset: AtomicI64,
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
    }
}

/// Keeps everybody else away from an execution while it is held.
pub type Exclusive = tokio::sync::OwnedMutexGuard<()>;

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
    executions: Mutex<HashMap<String, mpsc::Sender<Message>>>,
    map_runs: Mutex<HashMap<String, Arc<OnceCell<Arc<Handle>>>>>,
    definitions: Mutex<HashMap<String, Arc<Definition>>>,
    shards: Vec<Arc<tokio::sync::Mutex<()>>>,
    sequence: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
}

enum Message {
    Input(Input),
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
            executions: Mutex::default(),
            map_runs: Mutex::default(),
            definitions: Mutex::default(),
            shards: (0..SHARDS).map(|_| Arc::default()).collect(),
            sequence,
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

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub fn quotas(&self) -> Quotas {
        *locked(&self.0.quotas)
    }

    /// Sets other limits than the service's, for tests of what takes gigabytes.
    pub fn set_quotas(&self, quotas: Quotas) {
        *locked(&self.0.quotas) = quotas;
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
        for row in self.0.store.running()? {
            let definition = self.definition(&row.revision)?;
            let owed = machine::owed(&machine_of(&row, &definition), &row.execution);
            Actor::spawn(self, row, definition, owed);
        }
        for row in self.0.store.open_map_runs()? {
            let parent = self.0.store.execution(&row.execution)?;
            let is_abandoned =
                parent.is_none_or(|parent| parent.status != ExecutionStatus::Running);
            if is_abandoned {
                match self.map_run(&row.plan.arn).await {
                    Ok(Some(handle)) => handle.stop(self).await,
                    Ok(None) => {}
                    // One damaged log must not keep the others from going on.
                    Err(error) => tracing::error!(%error, "a Map Run cannot be closed"),
                }
            }
        }
        Ok(())
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
        begun.await.unwrap_or_else(|error| {
            Err(StoreError {
                path: self.0.folder.join("store.redb"),
                problem: format!("the first step failed inside: {error}"),
            })
        })
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
        let mut batch = self.batch(&row, &step.events, &step.commands)?;
        if let Input::Start = input {
            batch.new_execution(&row);
        }
        self.0.store.commit(batch).await?;
        // A step that begins and ends may still have something to stop.
        if row.status == ExecutionStatus::Running || !step.commands.is_empty() {
            Actor::spawn(self, row, definition, step.commands);
        }
        Ok(())
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
                        started: self.now(),
                        closed: None,
                    };
                    batch.new_map_run(row, self.sequence());
                }
                Command::FollowMapRun { arn, .. } => {
                    if let Some(row) = self.0.store.map_run(arn)? {
                        batch.map_run(MapRunRow {
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

    /// Gives an input to a running execution; nobody wants those of a closed one.
    pub async fn deliver(&self, arn: &str, input: Input) {
        let inbox = locked(&self.0.executions).get(arn).cloned();
        if let Some(inbox) = inbox {
            // Closed meanwhile: nobody wants it.
            let _ = inbox.send(Message::Input(input)).await;
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

    async fn open_map_run(&self, arn: &str) -> Result<Arc<Handle>, StoreError> {
        let id = arn.rsplit(':').next().unwrap_or(arn);
        let path = self.0.folder.join("map_runs").join(format!("{id}.log"));
        let fail = |problem: String| StoreError {
            path: path.clone(),
            problem,
        };
        let missing = || fail(format!("{arn} has no row"));
        let row = self.0.store.map_run(arn)?.ok_or_else(missing)?;
        let parent = self
            .0
            .store
            .execution(&row.execution)?
            .ok_or_else(missing)?;
        let definition = self.definition(&parent.revision)?;
        let machine = parent.identity.machine_name;
        let (log, disk) = (path.clone(), self.0.disk.clone());
        let opened = tokio::task::spawn_blocking(move || {
            Handle::open(row, definition, &machine, &disk, &log)
        })
        .await;
        match opened {
            Ok(Ok(handle)) => Ok(Arc::new(handle)),
            Ok(Err(error)) => Err(StoreError::of(&path, &error)),
            Err(error) => Err(fail(error.to_string())),
        }
    }

    /// Notes that a Map Run has closed, with its counts.
    pub async fn map_run_closed(&self, handle: &Handle) {
        let mut batch = Batch::default();
        batch.map_run(MapRunRow {
            closed: Some(handle.describe()),
            ..handle.row.clone()
        });
        if let Err(error) = self.0.store.commit(batch).await {
            // Harmless: the log has it, and the next start notes it again.
            tracing::error!(%error, "a Map Run's end could not be noted");
        }
    }

    /// Runs a function as the Lambda integration does.
    pub async fn invoke(
        &self,
        function: &str,
        payload: Value,
        integration: Integration,
        timeout_ms: Option<u64>,
    ) -> Result<Value, Failure> {
        let Some(code) = self.0.functions.get(function) else {
            let cause = format!(
                "Function not found: {function} (Service: AWSLambda; Status Code: 404; Error Code: ResourceNotFoundException; Request ID: {}; Proxy: null)",
                uuid::Uuid::new_v4()
            );
            return Err(Failure::new("Lambda.ResourceNotFoundException", cause));
        };
        let request = uuid::Uuid::new_v4().to_string();
        let call = std::panic::AssertUnwindSafe(code(payload)).catch_unwind();
        let answer = match timeout_ms {
            Some(timeout) => tokio::time::timeout(Duration::from_millis(timeout), call).await,
            None => Ok(call.await),
        };
        match answer {
            Err(_) => Err(Failure {
                error: Some("States.Timeout".to_owned()),
                cause: None,
            }),
            Ok(Err(_)) => {
                let cause = json!({"errorMessage": format!("RequestId: {request} Error: the function panicked"), "errorType": "Runtime.ExitError"});
                Err(Failure::new("Lambda.Unknown", cause.to_string()))
            }
            Ok(Ok(Err(error))) => {
                let cause = json!({"errorMessage": error.message, "errorType": error.error_type, "requestId": request, "stackTrace": []});
                Err(Failure::new(error.error_type, cause.to_string()))
            }
            Ok(Ok(Ok(payload))) => Ok(match integration {
                Integration::Direct => payload,
                Integration::Invoke => json!({
                    "ExecutedVersion": "$LATEST",
                    "Payload": payload,
                    "SdkHttpMetadata": {"AllHttpHeaders": {}, "HttpHeaders": {}, "HttpStatusCode": 200},
                    "SdkResponseMetadata": {"RequestId": request},
                    "StatusCode": 200,
                }),
            }),
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
        timeout_seconds: definition.timeout_seconds,
        identity: &row.identity,
        input: &row.input,
        record: true,
    }
}

/// Writes the end of an execution into its row.
fn settle(row: &mut ExecutionRow, outcome: Option<Outcome>, now: i64) {
    let Some(outcome) = outcome else { return };
    row.stopped = Some(now);
    let (status, failure) = match outcome {
        Outcome::Succeeded(output) => {
            row.output = Some(output);
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

/// The task that owns a running execution.
struct Actor {
    runner: Runner,
    row: ExecutionRow,
    definition: Arc<Definition>,
    inbox: mpsc::Receiver<Message>,
    sender: mpsc::Sender<Message>,
    /// Timers and function calls; they end with the execution.
    tasks: JoinSet<()>,
}

impl Actor {
    fn spawn(
        runner: &Runner,
        row: ExecutionRow,
        definition: Arc<Definition>,
        commands: Vec<Command>,
    ) {
        let (sender, inbox) = mpsc::channel(INBOX);
        locked(&runner.0.executions).insert(row.identity.id.clone(), sender.clone());
        let actor = Self {
            runner: runner.clone(),
            row,
            definition,
            inbox,
            sender,
            tasks: JoinSet::new(),
        };
        runner.track(actor.run(commands));
    }

    async fn run(mut self, commands: Vec<Command>) {
        self.perform(commands).await;
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
    }

    /// Step, commit, act. `false`: the engine stops and the step was not kept.
    async fn take(&mut self, input: Input) -> bool {
        let now = self.runner.now();
        let mut execution = std::mem::take(&mut self.row.execution);
        let step = machine::step(
            &machine_of(&self.row, &self.definition),
            &mut execution,
            input,
            now,
        );
        self.row.execution = execution;
        settle(&mut self.row, step.outcome, now);
        loop {
            let committed = match self.runner.batch(&self.row, &step.events, &step.commands) {
                Ok(batch) => self.runner.store().commit(batch).await,
                Err(error) => Err(error),
            };
            let Err(error) = committed else { break };
            tracing::error!(%error, "a step cannot be committed; trying again");
            tokio::select! {
                () = self.runner.stopping() => return false,
                () = tokio::time::sleep(COMMIT_RETRY) => {}
            }
        }
        self.perform(step.commands).await;
        true
    }

    async fn perform(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Invoke {
                    token,
                    function,
                    payload,
                    integration,
                    timeout_ms,
                } => {
                    let runner = self.runner.clone();
                    let sender = self.sender.clone();
                    self.tasks.spawn(async move {
                        let result = runner
                            .invoke(&function, payload, integration, timeout_ms)
                            .await;
                        // The execution may have ended meanwhile.
                        let _ = sender
                            .send(Message::Input(Input::TaskEnded { token, result }))
                            .await;
                    });
                }
                Command::Timer { token, at } => {
                    let wait = u64::try_from(at - self.runner.now()).unwrap_or_default();
                    let sender = self.sender.clone();
                    self.tasks.spawn(async move {
                        tokio::time::sleep(Duration::from_millis(wait)).await;
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
        let problem = match self.runner.map_run(arn).await {
            Ok(Some(handle)) => return handle.follow(&self.runner, redrives).await,
            Ok(None) => "the Map Run has no row".to_owned(),
            Err(error) => error.to_string(),
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
