//! Children: started, stepped, replayed after a restart, and ended.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{BUFFER, Driver};
use crate::engine::definition::ChildKind;
use crate::engine::integrations::{self, Reply};
use crate::engine::logging::Logger;
use crate::engine::machine::{
    self, Command, Execution, Failure, Input, MAX_PAYLOAD, Machine, MapRunPlan, Outcome,
};
use crate::engine::map_run::handle::{Running, damaged};
use crate::engine::map_run::log::{End, Record, decode};
use crate::engine::map_run::nested::Asked;
use crate::engine::map_run::{ChildStatus, Row};

/// Children started before the driver looks at its messages again.
const BURST: usize = 1_000;
/// The same where each of them writes log lines: what they write must fit into memory.
const LOGGED_BURST: usize = 32;
/// Standard children whose records are read at once to go on with them.
const REPLAYS: usize = 500;

/// What is done with a child once its state is known again.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// It was under way when the engine ended.
    Continue,
    Redrive,
}

/// Standard children that are stepped through their records again, away from the runtime's
/// threads.
pub(super) struct Replay {
    pub(super) purpose: Purpose,
    pub(super) done: oneshot::Receiver<Vec<Replayed>>,
}

/// Map Runs that a child has begun, by ARN.
type Plans = HashMap<String, Box<MapRunPlan>>;

/// How a child had ended when the power went between its last step and the record of its end: the
/// outcome, what was left to do, and when.
type Ended = (Outcome, Vec<Command>, i64);

pub(super) type Replayed = (u32, io::Result<(Running, Plans, Option<Ended>)>);

impl Driver {
    pub(super) fn can_start(&mut self) -> bool {
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

    pub(super) fn start_children(&mut self) {
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
    pub(super) fn continue_children(&mut self) {
        let next = self.to_continue.len().min(REPLAYS);
        let children: Vec<u32> = self.to_continue.drain(..next).collect();
        if !children.is_empty() {
            self.start_replay(Purpose::Continue, children);
        }
    }

    pub(super) fn start_replay(&mut self, purpose: Purpose, children: Vec<u32>) {
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

    pub(super) fn replayed(&mut self, children: Vec<Replayed>) {
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
    pub(super) fn claim(&mut self) -> Vec<(u32, Row)> {
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

    pub(super) fn is_standard(&self) -> bool {
        self.handle.row.plan.children == ChildKind::Standard
    }

    pub(super) fn start_child(&mut self, child: u32, row: &Row) -> io::Result<()> {
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

    pub(super) fn redrive_child(&mut self, child: u32, mut running: Running) {
        running.redrives = running.redrives.saturating_add(1);
        self.running.insert(child, running);
        self.step_child(child, Input::Redrive);
    }

    pub(super) fn continue_child(&mut self, child: u32, running: Running, mut plans: Plans) {
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

    pub(super) fn step_child(&mut self, child: u32, input: Input) {
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
    pub(super) fn log(&mut self, running: &Running, events: Vec<machine::Event>) {
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
    pub(super) fn fail_child(&mut self, child: u32, row: &Row, error: &io::Error) {
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

    pub(super) fn end_child(&mut self, child: u32, running: &Running, outcome: Outcome, now: i64) {
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

    pub(super) fn perform(&mut self, child: u32, commands: Vec<Command>) {
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

    pub(super) fn fire_timers(&mut self) {
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
    pub(super) fn prune_timers(&mut self) {
        if self.timers.len() > 2 * self.running.len() + 10_000 {
            let running = &self.running;
            self.timers
                .retain(|Reverse((_, child, _))| running.contains_key(child));
        }
    }
}
