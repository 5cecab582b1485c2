//! Runs one Map Run: reads items, starts children, takes their results in, closes.
//!
//! One task owns the run. What happens becomes records in a buffer; the buffer is appended and
//! synced while the next one fills (group commit), and only then are the records applied to the
//! [`Table`] that everyone reads. So nothing is shown that a kill could take back.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::handle::{Handle, Message, Running};
use super::log::{Log, Reader, Record, decode};
use super::nested::Nested;
use super::reader::{self, Chunk};
use super::results;
use super::{ChildStatus, ClosedStatus};
use crate::engine::disk::RETRY;
use crate::engine::integrations::UnderWay;
use crate::engine::logging::Logger;
use crate::engine::machine::{self, Command, Failure, Input};
use crate::engine::runner::{Runner, Turn};

mod children;
mod closing;

use children::{Replay, Replayed};

/// Chunks of child inputs that may wait.
const CHUNKS: usize = 4;
/// Bytes of records that may wait for the disk before nothing new is begun.
const BUFFER: usize = 4 << 20;
/// How a run is being closed.
#[derive(Clone)]
struct Closing {
    status: ClosedStatus,
    failure: Option<Failure>,
}

/// What waits for the records in a buffer to be on disk.
#[derive(Default)]
struct Held {
    commands: Vec<(u32, Vec<Command>)>,
    /// Child's ARN, its redrives, and what it did.
    lines: Vec<(String, u32, Vec<machine::Event>)>,
    replies: Vec<oneshot::Sender<()>>,
}

struct Commit {
    done: oneshot::Receiver<Vec<u8>>,
    at: u64,
    held: Held,
}

pub(super) struct Driver {
    runner: Runner,
    handle: Arc<Handle>,
    inbox: mpsc::Receiver<Message>,
    sender: mpsc::Sender<Message>,
    items: Option<mpsc::Receiver<Chunk>>,
    /// Log for children's inputs.
    reader: Reader,
    running: HashMap<u32, Running>,
    /// Calls under way, by child and attempt.
    calls: HashMap<(u32, u64), UnderWay>,
    replay: Option<Replay>,
    /// Children under way whose replay comes next.
    to_continue: VecDeque<u32>,
    /// Stops of children, while some are being replayed.
    late_stops: Vec<Message>,
    /// Due times, milliseconds since 1970.
    timers: BinaryHeap<Reverse<(i64, u32, u64)>>,
    /// Records not yet handed to the disk; they will be at `next`.
    buffer: Vec<u8>,
    next: u64,
    held: Held,
    commit: Option<Commit>,
    /// No child before this one is pending.
    cursor: u32,
    closing: Option<Closing>,
    writing: Option<oneshot::Receiver<Result<results::Written, Failure>>>,
    /// While too many Map Runs are open: resolves when this one may begin.
    waiting: Option<BoxFuture<'static, Option<Turn>>>,
    turn: Option<Turn>,
    /// What children ask of Map Runs of their own.
    nested: Nested,
    /// The round whose end the parent waits for.
    round: u32,
    /// The round in which the parent was stopped last.
    stopped: Option<u32>,
}

/// What the driver's loop wakes up for.
enum Wake {
    Committed(Vec<u8>),
    Written(Result<results::Written, Failure>),
    Replayed(Vec<Replayed>),
    Items(Option<Chunk>),
    Timer,
    Messages,
    /// Few enough Map Runs are open now.
    Turn(Option<Turn>),
    /// What children asked of nested Map Runs is done.
    Nested,
    MoreToStart,
    Shutdown,
}

impl Driver {
    pub(super) fn spawn(
        runner: Runner,
        handle: Arc<Handle>,
        sender: mpsc::Sender<Message>,
        inbox: mpsc::Receiver<Message>,
    ) {
        let tracked = runner.clone();
        let round = handle.table().round;
        let driver = Self {
            reader: handle.reader(),
            next: handle.end(),
            round,
            runner,
            handle,
            inbox,
            sender,
            items: None,
            running: HashMap::new(),
            calls: HashMap::new(),
            replay: None,
            to_continue: VecDeque::new(),
            late_stops: Vec::new(),
            timers: BinaryHeap::new(),
            buffer: Vec::new(),
            held: Held::default(),
            commit: None,
            cursor: 0,
            closing: None,
            writing: None,
            waiting: None,
            turn: None,
            nested: Nested::default(),
            stopped: None,
        };
        tracked.track(driver.run());
    }

    async fn run(mut self) {
        // The first message says what the driver is for.
        let Some(first) = self.inbox.recv().await else {
            return;
        };
        self.message(first);
        let is_redrive = self.is_redrive();
        if (self.handle.is_new() || is_redrive) && self.closing.is_none() {
            if is_redrive {
                // It runs again, also while it waits.
                self.redrive();
            }
            self.waiting = Some(self.runner.map_run_turn().boxed());
        } else {
            let kept = self.handle.take_turn();
            self.turn = kept.or_else(|| self.runner.map_run_turn_again());
            self.resume();
        }
        let mut messages = Vec::new();
        loop {
            // Whether to close is looked at first: after a restart the tolerance may be passed.
            self.close_when_due();
            self.start_children();
            self.flush();
            self.nested.go_on(&self.runner, &self.handle);
            if self.is_finished() {
                if self.finish().await {
                    return;
                }
                continue;
            }
            match self.wake(&mut messages).await {
                Wake::Committed(records) => self.committed(&records),
                Wake::Written(result) => self.written(result),
                Wake::Replayed(children) => self.replayed(children),
                Wake::Items(chunk) => self.take_items(chunk),
                Wake::Timer => self.fire_timers(),
                Wake::Messages => messages.drain(..).for_each(|message| self.message(message)),
                Wake::Turn(turn) => {
                    self.turn = turn;
                    self.resume();
                }
                Wake::Nested | Wake::MoreToStart => {}
                Wake::Shutdown => return,
            }
        }
    }

    async fn wake(&mut self, messages: &mut Vec<Message>) -> Wake {
        // Nothing new is begun or taken in while the children's log lines cannot keep up.
        let logger = self.handle.logger.clone();
        let has_room = logger.as_ref().is_none_or(Logger::has_room);
        let may_begin = self.buffer.len() < BUFFER && has_room;
        let more = may_begin && self.can_start();
        let due = self.timers.peek().map(|Reverse((at, ..))| *at);
        // A redrive is gone on with once its record is on disk.
        let may_resume = self.commit.is_none();
        tokio::select! {
            biased;
            () = self.runner.stopping() => Wake::Shutdown,
            records = answer(self.commit.as_mut().map(|commit| &mut commit.done)) => match records {
                Some(records) => Wake::Committed(records),
                None => Wake::Shutdown,
            },
            result = answer(self.writing.as_mut()) => match result {
                Some(result) => Wake::Written(result),
                None => Wake::Shutdown,
            },
            replayed = answer(self.replay.as_mut().map(|replay| &mut replay.done)) => match replayed {
                Some(children) => Wake::Replayed(children),
                None => Wake::Shutdown,
            },
            () = self.runner.clock().until(due.unwrap_or_default()), if due.is_some() => Wake::Timer,
            chunk = next_chunk(&mut self.items), if may_begin => Wake::Items(chunk),
            () = room(logger.as_ref()), if !has_room => Wake::MoreToStart,
            received = self.inbox.recv_many(messages, 256), if has_room => {
                debug_assert!(received > 0, "the driver holds a sender itself");
                Wake::Messages
            }
            turn = turn(&mut self.waiting), if may_resume => {
                self.waiting = None;
                Wake::Turn(turn)
            }
            () = self.nested.done() => Wake::Nested,
            () = tokio::task::yield_now(), if more => Wake::MoreToStart,
        }
    }

    /// Begins where the log ended: redrives when the parent asks for a later round, reads what is
    /// not read yet, and goes on with Standard children that were under way.
    fn resume(&mut self) {
        if self.handle.table().closed.is_some() && self.round <= self.handle.table().round {
            return;
        }
        let is_new = self.handle.is_new();
        let (is_untouched, mut from) = {
            let table = self.handle.table();
            // Where to go on reading.
            let from = (!table.read).then_some(table.items_read());
            (table.is_untouched(), from)
        };
        let is_stopped = self.stopped.is_some_and(|round| self.round <= round);
        if is_stopped {
            self.closing = Some(Closing {
                status: ClosedStatus::Aborted,
                failure: None,
            });
        }
        let is_open = self.handle.table().closed.is_none();
        if self.round > self.handle.table().round && is_open && !is_new {
            // The round before was being closed when the engine ended: that comes first, or its
            // results would be in no file.
            self.closing.get_or_insert(Closing {
                status: ClosedStatus::Aborted,
                failure: None,
            });
        } else if self.round > self.handle.table().round {
            self.redrive();
            // Whatever was read before is forgotten with the redrive.
            from = if is_untouched { Some(0) } else { from };
        }
        if let (true, true, Some(destination)) = (
            is_untouched,
            self.closing.is_none(),
            &self.handle.row.plan.writer,
        ) {
            let tried = results::try_destination(
                self.runner.objects(),
                destination,
                &self.handle.row.plan.arn,
            );
            if let Err(failure) = tried {
                self.closing = Some(Closing {
                    status: ClosedStatus::Failed,
                    failure: Some(failure),
                });
                return;
            }
        }
        if let (Some(from), None) = (from, &self.closing) {
            self.start_reader(from);
        }
        let handle = Arc::clone(&self.handle);
        let table = handle.table();
        self.to_continue
            .extend(table.in_status(ChildStatus::Running));
        drop(table);
        self.continue_children();
    }

    /// Whether the run has closed and its parent waits for another round.
    fn is_redrive(&self) -> bool {
        let table = self.handle.table();
        table.closed.is_some() && self.round > table.round
    }

    fn redrive(&mut self) {
        let round = self.round;
        let at = self.runner.now();
        self.push(&Record::Redrive { at, round });
        self.cursor = 0;
        // What still fires or answers belongs to attempts that are over.
        self.timers.clear();
    }

    fn start_reader(&mut self, skip: u64) {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let handle = Arc::clone(&self.handle);
        let objects = self.runner.objects().clone();
        let quotas = self.runner.quotas();
        tokio::task::spawn_blocking(move || {
            let selector = handle.selector();
            reader::read(&handle.row.plan, selector, &objects, &quotas, skip, &sender);
        });
        self.items = Some(receiver);
    }

    fn take_items(&mut self, chunk: Option<Chunk>) {
        match chunk {
            Some(Chunk::Inputs(inputs)) => {
                for input in inputs {
                    self.push(&Record::Item {
                        items: input.items,
                        input: &input.text,
                    });
                }
            }
            Some(Chunk::End) => {
                self.items = None;
                self.push(&Record::ItemsRead);
            }
            Some(Chunk::Failed(_)) | None => {
                self.items = None;
                let failure = match chunk {
                    Some(Chunk::Failed(failure)) => failure,
                    _ => Failure::new("States.ItemReaderFailed", "the reader ended unexpectedly"),
                };
                self.closing.get_or_insert(Closing {
                    status: ClosedStatus::Failed,
                    failure: Some(failure),
                });
                self.abort_children();
            }
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Child { child, input } => {
                if let Input::TaskEnded { token, .. } = &input {
                    self.calls.remove(&(child, *token));
                }
                self.step_child(child, input);
            }
            Message::Deliver { child, input, done } => {
                let attempt = input.token().unwrap_or_default();
                let running = self.running.get(&child);
                if running.is_some_and(|it| machine::awaits(&it.execution, attempt)) {
                    self.step_child(child, input);
                    self.held.replies.push(done);
                }
            }
            Message::Update { change, done } => {
                let limits = change.apply(self.handle.table().limits);
                self.push(&Record::Limits(limits));
                self.held.replies.push(done);
            }
            Message::StopChild { child, .. }
                if self.replay.is_some() && !self.running.contains_key(&child) =>
            {
                self.late_stops.push(message);
            }
            Message::StopChild { child, done, .. } if !self.running.contains_key(&child) => {
                // It has ended, or has not begun. Whoever asked may have gone.
                let _ = done.send(());
            }
            Message::StopChild {
                child,
                error,
                cause,
                done,
            } => {
                self.step_child(child, Input::Stop { error, cause });
                self.held.replies.push(done);
            }
            Message::Stop => {
                self.stopped = Some(self.round);
                self.waiting = None;
                self.closing.get_or_insert(Closing {
                    status: ClosedStatus::Aborted,
                    failure: None,
                });
                // What is not read yet is read when the run is redriven.
                self.items = None;
                self.abort_children();
            }
            Message::Follow { round } => self.round = self.round.max(round),
        }
    }

    /// Standard children are stopped; Express ones cannot be and run to their end.
    fn abort_children(&mut self) {
        if !self.is_standard() {
            return;
        }
        let arn = &self.handle.row.plan.arn;
        let cause =
            format!("The map run execution [{arn}] which was managing this resource was aborted");
        let children: Vec<u32> = self.running.keys().copied().collect();
        for child in children {
            self.step_child(
                child,
                Input::Stop {
                    error: None,
                    cause: Some(cause.clone()),
                },
            );
        }
    }

    /// Encodes a record; returns where it will be.
    fn push(&mut self, record: &Record<'_>) -> u64 {
        if self.buffer.is_empty() {
            // It is written once everything before it is on disk.
            Record::Synced { at: self.next }.encode(&mut self.buffer);
        }
        let at = self.next + self.buffer.len() as u64;
        record.encode(&mut self.buffer);
        at
    }

    /// Hands the buffer to the disk unless a commit is under way.
    fn flush(&mut self) {
        if self.commit.is_some() || self.buffer.is_empty() {
            return;
        }
        let records = std::mem::take(&mut self.buffer);
        let held = std::mem::take(&mut self.held);
        let at = self.next;
        self.next += records.len() as u64;
        let log = self.handle.log.clone();
        let runner = self.runner.clone();
        let (sender, done) = oneshot::channel();
        tokio::spawn(async move {
            if let Some(records) = append(log, at, records, &runner).await {
                // The driver is gone only when the engine stops.
                let _ = sender.send(records);
            }
        });
        self.commit = Some(Commit { done, at, held });
    }

    /// The records are on disk: now they count.
    fn committed(&mut self, records: &[u8]) {
        let Some(commit) = self.commit.take() else {
            return;
        };
        let mut at = commit.at;
        let mut rest = records;
        let mut table = self.handle.table();
        while let Some((length, _)) = rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let Some(payload) = rest.get(8..8 + length) else {
                break;
            };
            if let Some(record) = decode(payload) {
                table.apply(&record, at);
            }
            at = Reader::after(at, length);
            rest = &rest[8 + length..];
        }
        drop(table);
        self.handle.set_end(at);
        if let Some(logger) = &self.handle.logger {
            for (arn, redrives, events) in commit.held.lines {
                logger.write(&arn, redrives, &events);
            }
        }
        for done in commit.held.replies {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
        for (child, mut commands) in commit.held.commands {
            if !self.running.contains_key(&child) {
                // It has ended: nothing is begun for it any more, only ended.
                let ends = |command: &Command| {
                    matches!(
                        command,
                        Command::Abandon { .. } | Command::StopMapRun { .. }
                    )
                };
                commands.retain(ends);
            }
            self.perform(child, commands);
        }
        self.prune_timers();
    }
}

async fn append(log: Log, at: u64, records: Vec<u8>, runner: &Runner) -> Option<Vec<u8>> {
    let mut records = records;
    let mut blocked = None;
    loop {
        let log = log.clone();
        let written = tokio::task::spawn_blocking(move || {
            let result = log.append(at, &records);
            (records, result)
        });
        let result;
        (records, result) = written.await.ok()?;
        let Err(error) = result else {
            return Some(records);
        };
        tracing::error!(%error, "a Map Run's log cannot be written; trying again");
        blocked.get_or_insert_with(|| runner.blocked().begin(&error));
        tokio::select! {
            () = runner.stopping() => return None,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Resolves when log lines can be taken in again.
async fn room(logger: Option<&Logger>) {
    match logger {
        Some(logger) => logger.room().await,
        None => std::future::pending().await,
    }
}

/// Waits for an answer, for ever when none is expected. `None`: whoever should answer is gone.
async fn answer<T>(receiver: Option<&mut oneshot::Receiver<T>>) -> Option<T> {
    match receiver {
        Some(receiver) => receiver.await.ok(),
        None => std::future::pending().await,
    }
}

async fn turn(waiting: &mut Option<BoxFuture<'static, Option<Turn>>>) -> Option<Turn> {
    match waiting {
        Some(waiting) => waiting.await,
        None => std::future::pending().await,
    }
}

async fn next_chunk(items: &mut Option<mpsc::Receiver<Chunk>>) -> Option<Chunk> {
    match items {
        Some(items) => items.recv().await,
        None => std::future::pending().await,
    }
}
