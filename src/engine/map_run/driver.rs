//! Runs one Map Run: reads items, starts children, takes their results in, closes.
//!
//! One task owns the run. What happens becomes records in a buffer; the buffer is appended and
//! synced while the next one fills (group commit), and only then are the records applied to the
//! [`Table`] that everyone reads. So nothing is shown that a kill could take back.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::handle::{Handle, Message, Running, damaged};
use super::log::{End, Log, Reader, Record, decode};
use super::nested::{Asked, Nested};
use super::reader::{self, Chunk};
use super::results;
use super::{ChildStatus, Closed, ClosedStatus, Row};
use crate::engine::definition::ChildKind;
use crate::engine::disk::RETRY;
use crate::engine::integrations::{self, Reply, UnderWay};
use crate::engine::logging::Logger;
use crate::engine::machine::{
    self, Command, Execution, Failure, Input, MAX_PAYLOAD, Machine, MapRunPlan, Outcome,
};
use crate::engine::runner::{Runner, Turn};

/// Chunks of child inputs that may wait.
const CHUNKS: usize = 4;
/// Bytes of records that may wait for the disk before nothing new is begun.
const BUFFER: usize = 4 << 20;
/// Children started before the driver looks at its messages again.
const BURST: usize = 1_000;
/// The same where each of them writes log lines: what they write must fit into memory.
const LOGGED_BURST: usize = 32;
/// Standard children whose records are read at once to go on with them.
const REPLAYS: usize = 500;

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

/// What is done with a child once its state is known again.
#[derive(Clone, Copy)]
enum Purpose {
    /// It was under way when the engine ended.
    Continue,
    Redrive,
}

/// Standard children that are stepped through their records again, away from the runtime's
/// threads.
struct Replay {
    purpose: Purpose,
    done: oneshot::Receiver<Vec<Replayed>>,
}

/// Map Runs that a child has begun, by ARN.
type Plans = HashMap<String, Box<MapRunPlan>>;

/// How a child had ended when the power went between its last step and the record of its end: the
/// outcome, what was left to do, and when.
type Ended = (Outcome, Vec<Command>, i64);

type Replayed = (u32, io::Result<(Running, Plans, Option<Ended>)>);

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

    fn can_start(&mut self) -> bool {
        let table = self.handle.table();
        // A redrive counts once its record is on disk: the redriven ones go first. A closed run that
        // was opened again only to tell its parent starts nothing.
        let is_open = table.closed.is_none() && self.round <= table.round;
        if self.closing.is_some() || self.waiting.is_some() || !is_open {
            return false;
        }
        let below = table.children(ChildStatus::Running) < table.limits.concurrency() as u64;
        let redriven = table.children(ChildStatus::PendingRedrive);
        let is_held_up = redriven > 0 && self.is_standard() && self.replay.is_some();
        below && !is_held_up && table.children(ChildStatus::Pending) + redriven > 0
    }

    fn start_children(&mut self) {
        let has_room = self.handle.logger.as_ref().is_none_or(Logger::has_room);
        if self.buffer.len() >= BUFFER || !has_room || !self.can_start() {
            return;
        }
        let claimed = self.claim();
        let is_resumed = |row: &Row| row.status == ChildStatus::PendingRedrive;
        if self.is_standard() && claimed.first().is_some_and(|(_, row)| is_resumed(row)) {
            let children = claimed.into_iter().map(|(child, _)| child).collect();
            return self.start_replay(Purpose::Redrive, children);
        }
        for (child, row) in claimed {
            if let Err(error) = self.start_child(child, &row) {
                self.fail_child(child, &row, &error);
            }
        }
    }

    /// Goes on with the next of the children that were under way.
    fn continue_children(&mut self) {
        let next = self.to_continue.len().min(REPLAYS);
        let children: Vec<u32> = self.to_continue.drain(..next).collect();
        if !children.is_empty() {
            self.start_replay(Purpose::Continue, children);
        }
    }

    fn start_replay(&mut self, purpose: Purpose, children: Vec<u32>) {
        let (sender, done) = oneshot::channel();
        let handle = Arc::clone(&self.handle);
        tokio::task::spawn_blocking(move || {
            let replay = |child| {
                let mut plans = Plans::new();
                let mut ended = None;
                let running = handle.replay(child, false, |step, at| {
                    for command in &step.commands {
                        if let Command::StartMapRun(plan) = command {
                            plans.insert(plan.arn.clone(), plan.clone());
                        }
                    }
                    ended = step.outcome.map(|outcome| (outcome, step.commands, at));
                });
                (child, running.map(|running| (running, plans, ended)))
            };
            // The driver is gone only when the engine stops.
            let _ = sender.send(children.into_iter().map(replay).collect());
        });
        self.replay = Some(Replay { purpose, done });
    }

    fn replayed(&mut self, children: Vec<Replayed>) {
        let Some(Replay { purpose, .. }) = self.replay.take() else {
            return;
        };
        for (child, result) in children {
            match (result, purpose, &self.closing) {
                // Its turn did not come: it is what it was.
                (_, Purpose::Redrive, Some(_)) => self.handle.table().put_back(child),
                (Ok((running, ..)), Purpose::Redrive, None) => self.redrive_child(child, running),
                (Ok((running, _, Some((outcome, commands, at)))), Purpose::Continue, _) => {
                    self.end_child(child, &running, outcome, at);
                    self.held.commands.push((child, commands));
                }
                (Ok((running, plans, None)), Purpose::Continue, _) => {
                    self.continue_child(child, running, plans);
                }
                (Err(error), ..) => {
                    let row = self.handle.table().row(child).copied();
                    if let Some(row) = row {
                        self.fail_child(child, &row, &error);
                    }
                }
            }
        }
        if self.closing.is_some() {
            self.abort_children();
        }
        for stop in std::mem::take(&mut self.late_stops) {
            self.message(stop);
        }
        self.continue_children();
    }

    /// Marks the next children as running: redriven ones first, then in the order they were read.
    fn claim(&mut self) -> Vec<(u32, Row)> {
        let now = self.runner.now();
        let standard = self.is_standard();
        let mut table = self.handle.table();
        let free = (table.limits.concurrency() as u64)
            .saturating_sub(table.children(ChildStatus::Running));
        let burst = match self.handle.logger {
            Some(_) => LOGGED_BURST,
            None => BURST,
        };
        let most = burst.min(free as usize);
        let redriven = table.in_status(ChildStatus::PendingRedrive);
        // Standard children are replayed before they go on, so they are claimed by themselves.
        let (mut claimed, most): (Vec<u32>, usize) = if standard {
            let claimed: Vec<u32> = redriven.take(most.min(REPLAYS)).collect();
            let most = if claimed.is_empty() { most } else { 0 };
            (claimed, most)
        } else {
            (redriven.take(most).collect(), most)
        };
        while claimed.len() < most {
            let Some(child) = table.next_pending(self.cursor) else {
                break;
            };
            claimed.push(child);
            self.cursor = child + 1;
        }
        let rows = claimed
            .into_iter()
            .filter_map(|child| Some((child, *table.row(child)?)));
        let rows: Vec<(u32, Row)> = rows.collect();
        for (child, row) in &rows {
            let keeps_start = standard && row.status == ChildStatus::PendingRedrive;
            table.start(*child, if keeps_start { row.started } else { now });
        }
        rows
    }

    fn is_standard(&self) -> bool {
        self.handle.row.plan.children == ChildKind::Standard
    }

    fn start_child(&mut self, child: u32, row: &Row) -> io::Result<()> {
        let now = self.runner.now();
        let payload = self.reader.read(row.item)?.ok_or_else(|| damaged(child))?;
        let Some(Record::Item { input, .. }) = decode(payload) else {
            return Err(damaged(child));
        };
        let redrives = row.redrives + u16::from(row.status == ChildStatus::PendingRedrive);
        let running = Running {
            execution: Execution::redriven(u32::from(redrives)),
            identity: self.handle.identity(child, now),
            input: serde_json::from_slice(input)?,
            redrives,
            last: 0,
        };
        self.running.insert(child, running);
        self.step_child(child, Input::Start);
        Ok(())
    }

    fn redrive_child(&mut self, child: u32, mut running: Running) {
        running.redrives = running.redrives.saturating_add(1);
        self.running.insert(child, running);
        self.step_child(child, Input::Redrive);
    }

    fn continue_child(&mut self, child: u32, running: Running, mut plans: Plans) {
        let machine = Machine {
            scope: &self.handle.processor,
            timeout_seconds: None,
            identity: &running.identity,
            input: &running.input,
            context: None,
            record: false,
        };
        let owed = machine::owed(&machine, &running.execution);
        self.running.insert(child, running);
        if self.closing.is_some() {
            return;
        }
        for command in owed {
            match command {
                // The crash may have come before the Map Run had a row.
                Command::FollowMapRun { arn, redrives } => {
                    self.nested.ask(match plans.remove(&arn) {
                        Some(plan) => Asked::Start {
                            child,
                            plan,
                            redrives,
                        },
                        None => Asked::Follow {
                            child,
                            arn,
                            redrives,
                        },
                    });
                }
                other => self.perform(child, vec![other]),
            }
        }
    }

    fn step_child(&mut self, child: u32, input: Input) {
        let Some(mut running) = self.running.remove(&child) else {
            return;
        };
        let is_start = input == Input::Start;
        // A start is of the child's own time, to the millisecond: what is drawn by it, such as the
        // names of Map Runs, is drawn again after a crash.
        let now = match is_start {
            true => running.identity.started,
            false => self.runner.now(),
        };
        let kind = self.handle.row.plan.children;
        let recorded = self
            .is_standard()
            .then(|| (input == Input::Redrive, serde_json::to_vec(&input)));
        let record = self.handle.logger.is_some();
        let step = running.step(&self.handle.processor, kind, record, input, now);
        self.log(&running, step.events);
        if let Some((redrive, Ok(input))) = recorded {
            let previous = running.last;
            if !is_start {
                running.last = self.push(&Record::Input {
                    child,
                    at: now,
                    previous,
                    redrive,
                    input: &input,
                });
            } else if step.outcome.is_none() {
                running.last = self.push(&Record::Start { child, at: now });
            }
        }
        if let Some(outcome) = step.outcome {
            self.end_child(child, &running, outcome, now);
            // What it has begun ends once its end is on disk.
            if !step.commands.is_empty() {
                self.held.commands.push((child, step.commands));
            }
            return;
        }
        self.running.insert(child, running);
        // An Express child that a crash forgets starts again; a Standard one must not act before
        // its step is on disk.
        if self.is_standard() {
            self.held.commands.push((child, step.commands));
        } else {
            self.perform(child, step.commands);
        }
    }

    /// Lines of a Standard child wait until its step is on disk; an Express one has nothing there.
    fn log(&mut self, running: &Running, events: Vec<machine::Event>) {
        let Some(logger) = self.handle.logger.as_ref().filter(|_| !events.is_empty()) else {
            return;
        };
        let (arn, redrives) = (&running.identity.id, running.execution.redrive_count);
        match self.is_standard() {
            true => self.held.lines.push((arn.clone(), redrives, events)),
            false => logger.write(arn, redrives, &events),
        }
    }

    /// A child whose input or records cannot be read fails by itself, and takes nobody along.
    fn fail_child(&mut self, child: u32, row: &Row, error: &io::Error) {
        let now = self.runner.now();
        let cause = error.to_string();
        self.push(&Record::End(End {
            child,
            started: if row.started > 0 { row.started } else { now },
            stopped: now,
            status: ChildStatus::Failed,
            is_history_full: false,
            redrives: row.redrives,
            previous: row.last,
            output: None,
            error: Some("States.Runtime"),
            cause: Some(&cause),
        }));
    }

    fn end_child(&mut self, child: u32, running: &Running, outcome: Outcome, now: i64) {
        let (status, output, failure) = match outcome {
            Outcome::Succeeded(value) => {
                let output = value.to_string();
                if output.len() > MAX_PAYLOAD {
                    let cause = "The execution returned an output with a size exceeding the maximum number of bytes service limit.";
                    (
                        ChildStatus::Failed,
                        None,
                        Some(Failure::new("States.DataLimitExceeded", cause)),
                    )
                } else {
                    (ChildStatus::Succeeded, Some(output), None)
                }
            }
            Outcome::Failed(failure) => (ChildStatus::Failed, None, Some(failure)),
            Outcome::TimedOut => (
                ChildStatus::TimedOut,
                None,
                Some(Failure {
                    error: Some("States.Timeout".into()),
                    cause: None,
                }),
            ),
            Outcome::Aborted(failure) => (ChildStatus::Aborted, None, Some(failure)),
        };
        let failure = failure.as_ref();
        self.push(&Record::End(End {
            child,
            started: running.identity.started,
            stopped: now,
            status,
            is_history_full: self.is_standard() && running.execution.is_history_full(),
            redrives: running.redrives,
            previous: running.last,
            output: output.as_deref().map(str::as_bytes),
            error: failure.and_then(|failure| failure.error.as_deref()),
            cause: failure.and_then(|failure| failure.cause.as_deref()),
        }));
    }

    fn perform(&mut self, child: u32, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Call(call) => {
                    let attempt = call.attempt;
                    let driver = self.sender.clone();
                    let reply = Reply::Child { driver, child };
                    let under_way = integrations::begin(&self.runner, *call, reply);
                    self.calls.insert((child, attempt), under_way);
                }
                Command::Abandon { attempt } => {
                    if let Some(call) = self.calls.remove(&(child, attempt)) {
                        call.abandon();
                    }
                }
                Command::Timer { token, at } => self.timers.push(Reverse((at, child, token))),
                Command::StartMapRun(plan) => self.nested.ask(Asked::Start {
                    child,
                    plan,
                    redrives: 0,
                }),
                Command::FollowMapRun { arn, redrives } => self.nested.ask(Asked::Follow {
                    child,
                    arn,
                    redrives,
                }),
                Command::StopMapRun { arn } => self.nested.ask(Asked::Stop { arn }),
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = self.runner.now();
        while let Some(Reverse((at, child, token))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            self.step_child(child, Input::TimerFired { token });
        }
    }

    /// Timers of children that have ended are kept until they are due; not too many of them.
    fn prune_timers(&mut self) {
        if self.timers.len() > 2 * self.running.len() + 10_000 {
            let running = &self.running;
            self.timers
                .retain(|Reverse((_, child, _))| running.contains_key(child));
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
        let stopping = self.runner.stopping();
        let (sender, done) = oneshot::channel();
        tokio::spawn(async move {
            if let Some(records) = append(log, at, records, stopping).await {
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

    fn close_when_due(&mut self) {
        let may_close = self.closing.is_none() && self.waiting.is_none();
        if may_close && self.handle.table().closed.is_none() {
            let (exceeded, complete) = {
                let table = self.handle.table();
                (table.exceeds_tolerance(), table.is_complete())
            };
            if exceeded {
                let failure = Failure::new(
                    "States.ExceedToleratedFailureThreshold",
                    "The specified tolerated failure threshold was exceeded",
                );
                self.closing = Some(Closing {
                    status: ClosedStatus::Failed,
                    failure: Some(failure),
                });
                self.abort_children();
            } else if complete && self.is_idle() {
                self.closing = Some(Closing {
                    status: ClosedStatus::Succeeded,
                    failure: None,
                });
            }
        }
        self.flush();
        let is_due = self.closing.is_some()
            && self.writing.is_none()
            && self.items.is_none()
            && self.is_idle();
        if is_due && self.handle.table().closed.is_none() {
            self.start_writing();
        }
    }

    fn is_idle(&self) -> bool {
        let is_replaying = self.replay.is_some() || !self.to_continue.is_empty();
        self.running.is_empty() && !is_replaying && self.buffer.is_empty() && self.commit.is_none()
    }

    fn start_writing(&mut self) {
        let (sender, receiver) = oneshot::channel();
        let handle = Arc::clone(&self.handle);
        let objects = self.runner.objects().clone();
        let quotas = self.runner.quotas();
        tokio::task::spawn_blocking(move || {
            let written = match &handle.row.plan.writer {
                Some(destination) => {
                    results::write(&handle, &objects, destination, &quotas).map_err(Failure::from)
                }
                None => Ok(results::Written {
                    succeeded: Vec::new(),
                    manifest: String::new(),
                }),
            };
            // The driver is gone only when the engine stops.
            let _ = sender.send(written);
        });
        self.writing = Some(receiver);
    }

    fn written(&mut self, result: Result<results::Written, Failure>) {
        self.writing = None;
        // It stays closing until the end is on disk, so that nothing new is started meanwhile.
        let Some(closing) = self.closing.clone() else {
            return;
        };
        let (written, writer_failure) = match result {
            Ok(written) => (Some(written), None),
            Err(failure) => (None, Some(failure)),
        };
        let (status, result) = match (closing.status, closing.failure.or(writer_failure)) {
            (ClosedStatus::Succeeded, None) => {
                let manifest = written.as_ref().map(|written| written.manifest.as_str());
                match self.output(manifest.unwrap_or_default()) {
                    Ok(output) => (ClosedStatus::Succeeded, Ok(output)),
                    Err(failure) => (ClosedStatus::Failed, Err(failure)),
                }
            }
            (ClosedStatus::Aborted, failure) => (
                ClosedStatus::Aborted,
                Err(failure.unwrap_or(Failure {
                    error: None,
                    cause: None,
                })),
            ),
            (_, failure) => (
                ClosedStatus::Failed,
                Err(failure.unwrap_or(Failure {
                    error: None,
                    cause: None,
                })),
            ),
        };
        if let Some(written) = written {
            self.push(&Record::Written {
                succeeded: written.succeeded,
            });
        }
        let at = self.runner.now();
        self.push(&Record::Closed(Closed { at, status, result }));
    }

    /// What the Map state gives: where the results are, or the results themselves.
    fn output(&self, manifest: &str) -> Result<Value, Failure> {
        if let Some(destination) = &self.handle.row.plan.writer {
            return Ok(json!({
                "MapRunArn": self.handle.row.plan.arn,
                "ResultWriterDetails": {"Bucket": destination.bucket, "Key": manifest},
            }));
        }
        results::collect(&self.handle)
    }

    fn is_finished(&self) -> bool {
        self.handle.table().closed.is_some()
            && self.is_idle()
            && self.writing.is_none()
            && self.nested.is_idle()
    }

    /// Tells the parent, unless it has asked for another round meanwhile. Whether the driver ends.
    async fn finish(&mut self) -> bool {
        while let Ok(message) = self.inbox.try_recv() {
            self.message(message);
        }
        self.closing = None;
        if self.round > self.handle.table().round {
            self.resume();
            return false;
        }
        let (closed, round) = {
            let table = self.handle.table();
            (table.closed.clone(), table.round)
        };
        let Some(closed) = closed else { return true };
        self.runner.map_run_closed(&self.handle).await;
        let ended = Input::MapRunEnded {
            arn: self.handle.row.plan.arn.clone(),
            redrives: round,
            result: closed.result,
        };
        self.runner.map_run_ended(&self.handle.row, ended).await;
        // Closing the inbox under its lock: whoever comes later starts a new driver, and whoever
        // came before is read here.
        self.inbox.close();
        let mut late = Vec::new();
        while let Some(message) = self.inbox.recv().await {
            if matches!(message, Message::Follow { .. } | Message::Stop) {
                late.push(message);
            }
        }
        let handle = Arc::clone(&self.handle);
        let runner = self.runner.clone();
        self.runner.track(async move {
            for message in late {
                handle.tell_or_start(&runner, message).await;
            }
        });
        true
    }
}

async fn append(
    log: Log,
    at: u64,
    records: Vec<u8>,
    stopping: impl Future<Output = ()>,
) -> Option<Vec<u8>> {
    tokio::pin!(stopping);
    let mut records = records;
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
        tokio::select! {
            () = &mut stopping => return None,
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
