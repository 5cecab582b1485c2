//! A Map Run as everyone sees it: its table, its log, the histories derived from it, and the way to
//! its driver while there is one.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::driver::Driver;
use super::log::{End, Log, Reader, Record, decode};
use super::{Limits, Names, Table};
use crate::engine::definition::{ChildKind, Definition, Scope};
use crate::engine::disk::Disk;
use crate::engine::logging::Logger;
use crate::engine::machine::{self, Execution, Identity, Input, Machine};
use crate::engine::query::Template;
use crate::engine::runner::{Runner, Turn};
use crate::engine::store::{HistorySpan, MapRunRow};

/// Messages that may wait for the driver.
const INBOX: usize = 4_096;
/// How long an Express execution may take, seconds (Step Functions quotas).
const EXPRESS_SECONDS: u64 = 300;

/// A Map Run as everyone sees it: its table, its log, and its driver while there is one.
pub struct Handle {
    pub row: MapRunRow,
    pub names: Names,
    definition: Arc<Definition>,
    /// What a child runs: looked up once, for every step of a million children needs it.
    pub(super) processor: Arc<Scope>,
    /// Of the parent: machine name, role and nonce are its children's too.
    parent: Identity,
    table: Mutex<Table>,
    pub(super) log: Log,
    /// Where the next record goes.
    end: AtomicU64,
    inbox: Mutex<Option<mpsc::Sender<Message>>>,
    /// What a run that was open before the engine was goes on with.
    turn: Mutex<Option<Turn>>,
    /// What children do is written there, too.
    pub logger: Option<Logger>,
}

/// What a driver takes in besides items.
pub enum Message {
    Child {
        child: u32,
        input: Input,
    },
    /// For the Task that waits for it; answered once it is on disk, dropped when nobody waits.
    Deliver {
        child: u32,
        input: Input,
        done: oneshot::Sender<()>,
    },
    Update {
        change: LimitsChange,
        done: oneshot::Sender<()>,
    },
    StopChild {
        child: u32,
        error: Option<String>,
        cause: Option<String>,
        done: oneshot::Sender<()>,
    },
    /// The parent was stopped.
    Stop,
    /// The parent waits for the end of this round.
    Follow {
        round: u32,
    },
}

/// What UpdateMapRun changes; `None` stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitsChange {
    pub max_concurrency: Option<u64>,
    pub tolerated_count: Option<u64>,
    pub tolerated_percentage: Option<f64>,
}

impl LimitsChange {
    pub(super) fn apply(self, limits: Limits) -> Limits {
        Limits {
            max_concurrency: self.max_concurrency.unwrap_or(limits.max_concurrency),
            tolerated_count: self.tolerated_count.unwrap_or(limits.tolerated_count),
            tolerated_percentage: self
                .tolerated_percentage
                .unwrap_or(limits.tolerated_percentage),
        }
    }
}

impl Handle {
    /// Opens the Map Run's log and replays it.
    pub fn open(
        row: MapRunRow,
        definition: Arc<Definition>,
        parent: Identity,
        disk: &Disk,
        path: &Path,
    ) -> io::Result<Self> {
        let label = &row.plan.label;
        let (_, _, map) = definition
            .labelled(label, &parent.machine_name)
            .ok_or_else(|| {
                let text = format!("the definition has no Distributed Map {label}");
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
        let processor = Arc::clone(&map.processor);
        let mut table = Table::new(Limits::of(&row.plan), row.plan.children);
        let is_closed = row.closed.is_some();
        if is_closed && !path.exists() {
            return Err(lost(path, "is missing"));
        }
        let (log, end) = Log::open(disk, path, |record, offset| table.apply(record, offset))?;
        if is_closed && table.closed.is_none() {
            return Err(lost(path, "is damaged: its end is missing"));
        }
        log.cut(end)?;
        Ok(Self {
            names: Names::new(
                &row.plan.arn,
                &parent.machine_name,
                &row.plan.label,
                row.plan.children,
            ),
            parent,
            processor,
            definition,
            row,
            table: Mutex::new(table),
            log,
            end: AtomicU64::new(end),
            inbox: Mutex::new(None),
            turn: Mutex::new(None),
            logger: None,
        })
    }

    pub fn table(&self) -> MutexGuard<'_, Table> {
        // A panic while the table is held is a bug of its own; the counts are still the log's.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing has been read yet.
    pub(super) fn is_new(&self) -> bool {
        let table = self.table();
        table.size() == 0 && table.round == 0 && !table.read && table.closed.is_none()
    }

    /// Whether it counts as open, not only as waiting for its turn.
    pub fn is_open(&self) -> bool {
        !self.is_new() && self.table().closed.is_none()
    }

    /// Keeps a turn for the driver to come.
    pub fn keep_turn(&self, turn: Option<Turn>) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    pub(super) fn take_turn(&self) -> Option<Turn> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.take()
    }

    /// Where the next record goes.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(super) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// Of the log.
    pub(super) fn path(&self) -> &Path {
        self.log.path()
    }

    pub fn reader(&self) -> Reader {
        self.log.reader()
    }

    pub(super) fn selector(&self) -> Option<&Template> {
        let (_, _, map) = self
            .definition
            .labelled(&self.row.plan.label, &self.parent.machine_name)?;
        map.selector.as_ref()
    }

    /// `DescribeMapRun` at `now`.
    pub fn describe(&self, now: i64) -> Value {
        let row = &self.row;
        self.table()
            .describe(&row.plan.arn, &row.execution, row.started, now)
    }

    /// A child's input, JSON text.
    pub fn input(&self, reader: &mut Reader, child: u32) -> io::Result<String> {
        let item = self.table().row(child).map(|row| row.item);
        let payload = item.map(|at| reader.read(at)).transpose()?.flatten();
        match payload.and_then(decode) {
            Some(Record::Item { input, .. }) => Ok(String::from_utf8_lossy(input).into_owned()),
            _ => Err(damaged(child)),
        }
    }

    /// What makes the children's task tokens ours.
    pub fn nonce(&self) -> &str {
        &self.parent.nonce
    }

    pub(super) fn identity(&self, child: u32, started: i64) -> Identity {
        let name = self.names.name(child);
        Identity {
            id: self.names.arn_of(&name),
            name,
            role: self.parent.role.clone(),
            machine_id: self.names.state_machine_arn().to_owned(),
            machine_name: self.parent.machine_name.clone(),
            started,
            nonce: self.parent.nonce.clone(),
        }
    }

    /// Steps a child through everything it has taken in so far, giving each step and its
    /// time to `visit`.
    pub(super) fn replay(
        &self,
        child: u32,
        record: bool,
        mut visit: impl FnMut(machine::Step, i64),
    ) -> io::Result<Running> {
        let row = self
            .table()
            .row(child)
            .copied()
            .ok_or_else(|| damaged(child))?;
        let mut reader = self.reader();
        let input = self.input(&mut reader, child)?;
        let mut running = Running {
            execution: Execution::default(),
            identity: self.identity(child, row.started),
            input: serde_json::from_str(&input)?,
            redrives: row.redrives,
            last: row.last,
        };
        let mut inputs = Vec::new();
        let mut at = row.last;
        while at != 0 {
            let payload = reader
                .read(at)?
                .map(<[u8]>::to_vec)
                .ok_or_else(|| damaged(child))?;
            at = match decode(&payload) {
                Some(Record::Input {
                    at,
                    previous,
                    input,
                    ..
                }) => {
                    inputs.push((at, serde_json::from_slice(input)?));
                    previous
                }
                Some(Record::End(End { previous, .. })) => previous,
                Some(Record::Start { .. }) => 0,
                _ => return Err(damaged(child)),
            };
        }
        inputs.push((row.started, Input::Start));
        let scope = &self.processor;
        for (at, input) in inputs.into_iter().rev() {
            visit(
                running.step(scope, self.row.plan.children, record, input, at),
                at,
            );
        }
        Ok(running)
    }

    /// A page of a Standard child's history, derived, for its steps are pure; and whether there
    /// is more. Only what is on the page is held.
    pub fn history(
        &self,
        child: u32,
        span: HistorySpan,
    ) -> io::Result<(Vec<machine::Event>, bool)> {
        let mut events: VecDeque<machine::Event> = VecDeque::new();
        let mut more = false;
        self.replay(child, true, |step, _| {
            for event in step.events {
                if span.newest_first && event.id <= span.from {
                    events.push_back(event);
                    if events.len() > span.limit {
                        events.pop_front();
                        more = true;
                    }
                } else if !span.newest_first && event.id >= span.from {
                    match events.len() < span.limit {
                        true => events.push_back(event),
                        false => more = true,
                    }
                }
            }
        })?;
        let mut events = Vec::from(events);
        if span.newest_first {
            events.reverse();
        }
        Ok((events, more))
    }

    /// Makes sure that a driver is at work until round `round` has closed and its end is delivered.
    pub async fn follow(self: &Arc<Self>, runner: &Runner, round: u32) {
        self.tell_or_start(runner, Message::Follow { round }).await;
    }

    /// Stops the run, whether or not a driver is at work.
    pub async fn stop(self: &Arc<Self>, runner: &Runner) {
        self.tell_or_start(runner, Message::Stop).await;
    }

    /// Changes the limits of an open run; `false` when it has closed.
    pub async fn update(self: &Arc<Self>, runner: &Runner, change: LimitsChange) -> bool {
        if self.table().closed.is_some() {
            return false;
        }
        let (done, answer) = oneshot::channel();
        self.tell_or_start(runner, Message::Update { change, done })
            .await;
        // A run that closes meanwhile does not answer.
        answer.await.is_ok()
    }

    pub(super) async fn tell_or_start(self: &Arc<Self>, runner: &Runner, message: Message) {
        let mut message = message;
        // A driver that ends while it is being told hands the message back: start another.
        while let Err(mpsc::error::SendError(back)) = self.driver(runner).send(message).await {
            message = back;
        }
    }

    fn driver(self: &Arc<Self>, runner: &Runner) -> mpsc::Sender<Message> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        match &*inbox {
            Some(sender) if !sender.is_closed() => sender.clone(),
            _ => {
                let (sender, receiver) = mpsc::channel(INBOX);
                *inbox = Some(sender.clone());
                Driver::spawn(runner.clone(), Arc::clone(self), sender.clone(), receiver);
                sender
            }
        }
    }

    /// Whether a driver is at work.
    pub fn is_driven(&self) -> bool {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.as_ref().is_some_and(|inbox| !inbox.is_closed())
    }

    /// Gives an input to a child that waits for it; nobody wants those of one that has ended.
    pub async fn tell_child(&self, child: u32, input: Input) {
        self.tell(Message::Child { child, input }).await;
    }

    /// Gives a message to the driver; `false` when there is none.
    pub async fn tell(&self, message: Message) -> bool {
        let inbox = self
            .inbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match inbox {
            Some(inbox) => inbox.send(message).await.is_ok(),
            None => false,
        }
    }
}

pub(super) fn lost(path: &Path, problem: &str) -> io::Error {
    let path = path.display();
    let text = format!(
        "{path}: {problem}: put back a copy of the whole folder, or start the execution anew"
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

pub(super) fn damaged(child: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the log has no valid record of child {child}"),
    )
}

/// A child that waits for something.
pub(super) struct Running {
    pub execution: Execution,
    pub identity: Identity,
    pub input: Arc<Value>,
    pub redrives: u16,
    /// The child's newest record, 0 when there is none.
    pub last: u64,
}

impl Running {
    pub fn step(
        &mut self,
        scope: &Scope,
        kind: ChildKind,
        record: bool,
        input: Input,
        now: i64,
    ) -> machine::Step {
        let machine = Machine {
            scope,
            timeout_seconds: (kind == ChildKind::Express).then_some(EXPRESS_SECONDS),
            identity: &self.identity,
            input: &self.input,
            context: None,
            record,
        };
        machine::step(&machine, &mut self.execution, input, now)
    }
}
