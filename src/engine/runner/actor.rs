//! The task that owns a running execution.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{Message, Runner, locked};
use crate::engine::definition::Definition;
use crate::engine::disk;
use crate::engine::integrations::{self, Reply, UnderWay};
use crate::engine::machine::{self, Command, Failure, Input, Machine, Outcome};
use crate::engine::store::{Batch, ExecutionRow, ExecutionStatus, StoreError};

/// Inputs that may wait for an execution.
const INBOX: usize = 256;
/// How long an Express execution may take, seconds (Step Functions quotas).
const EXPRESS_SECONDS: u64 = 300;
pub(super) fn machine_of<'m>(row: &'m ExecutionRow, definition: &'m Definition) -> Machine<'m> {
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
pub(super) fn note_origin(event: &mut machine::Event, row: &ExecutionRow) {
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
pub(super) fn settle(row: &mut ExecutionRow, outcome: Option<Outcome>, now: i64) {
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
pub(super) enum Keep {
    /// A Standard one goes on where it was.
    Steps,
    /// An Express one starts again until it has come to an end.
    End,
    /// One whose caller waits for what it comes to.
    Nothing(Option<oneshot::Sender<ExecutionRow>>),
}

/// The task that owns a running execution.
pub(super) struct Actor {
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
    pub(super) fn register(
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

    pub(super) async fn run(mut self, commands: Vec<Command>) {
        self.perform(commands).await;
        self.go_on().await;
    }

    /// Of an Express execution, which always begins at its start.
    pub(super) async fn begin(mut self) {
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
        let mut blocked = None;
        loop {
            let committed = match self.batch(&step) {
                Ok(batch) if batch.is_empty() => Ok(()),
                Ok(batch) => self.runner.store().commit(batch).await,
                Err(error) => Err(error),
            };
            let Err(error) = committed else { break };
            tracing::error!(%error, "a step cannot be committed; trying again");
            blocked.get_or_insert_with(|| self.runner.blocked().begin(&error));
            tokio::select! {
                () = self.runner.stopping() => return false,
                () = tokio::time::sleep(disk::RETRY) => {}
            }
        }
        drop(blocked);
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
