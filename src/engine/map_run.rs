//! What is known of a Map Run's children: one small row each, counts kept as rows change, and the
//! tolerance. Pure: [`Table::apply`] takes the log's records in, live and after a restart alike.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::definition::ChildKind;
use super::machine::{Failure, MapRunPlan, REDRIVE_PERIOD_MS, context_time, seconds};

mod driver;
pub mod handle;
pub mod log;
mod names;
mod nested;
pub mod reader;
mod results;

pub use names::Names;

use log::{End, Record};

/// How many children a Map Run runs at once at the most (Step Functions quotas).
pub const MAX_CONCURRENCY: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChildStatus {
    /// Read, but not started: no execution exists yet.
    Pending,
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Aborted,
    PendingRedrive,
}

impl ChildStatus {
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Aborted,
        Self::PendingRedrive,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
            Self::PendingRedrive => "PENDING_REDRIVE",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    fn from_u8(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// How children end that a redrive takes up again.
    const UNSUCCESSFUL: [Self; 3] = [Self::Failed, Self::TimedOut, Self::Aborted];
}

/// One child. A finished one costs this row and its place in one index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub status: ChildStatus,
    /// Of a child that waits for its redrive: how it ended before.
    before: ChildStatus,
    pub redrives: u16,
    /// Items inside this child.
    pub items: u32,
    /// Milliseconds since 1970; 0 before the start.
    pub started: i64,
    pub stopped: i64,
    /// Where the child's input is in the log.
    pub item: u64,
    /// Where the child's newest record is in the log; 0 when there is none.
    pub last: u64,
}

impl Row {
    /// What it was at `at`, as far as it tells: a redrive is shown at once.
    pub fn at(&self, at: i64) -> Self {
        let status = match self.status {
            _ if self.started == 0 || self.started > at => ChildStatus::Pending,
            _ if self.stopped > at => ChildStatus::Running,
            status => status,
        };
        Self { status, ..*self }
    }
}

/// Limits that UpdateMapRun changes in flight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// 0: the service's maximum.
    pub max_concurrency: u64,
    pub tolerated_count: u64,
    pub tolerated_percentage: f64,
}

impl Limits {
    pub fn of(plan: &MapRunPlan) -> Self {
        Self {
            max_concurrency: plan.max_concurrency,
            tolerated_count: plan.tolerated_count,
            tolerated_percentage: plan.tolerated_percentage,
        }
    }

    pub fn concurrency(&self) -> usize {
        let limit = if self.max_concurrency == 0 {
            MAX_CONCURRENCY
        } else {
            self.max_concurrency
        };
        limit.min(MAX_CONCURRENCY) as usize
    }
}

/// The service's limits that tests make smaller (Step Functions quotas).
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// Longest object that an ItemReader reads, bytes.
    pub object_bytes: u64,
    /// Items that one Map Run reads.
    pub items: u64,
    /// A result file is closed and the next one opened when it has reached this many bytes.
    pub result_file_bytes: u64,
    /// Map Runs open at once; further ones wait.
    pub open_map_runs: usize,
    /// How often one Map Run can be redriven.
    pub map_run_redrives: u32,
    /// Executions, children of Map Runs not counted, that run at once.
    pub open_executions: usize,
    pub state_machines: usize,
    pub activities: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            object_bytes: 10_000_000_000,
            items: 100_000_000,
            result_file_bytes: 5_000_000_000,
            open_map_runs: 1_000,
            map_run_redrives: 1_000,
            open_executions: 1_000_000,
            state_machines: 100_000,
            activities: 100_000,
        }
    }
}

/// How a Map Run closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub at: i64,
    pub status: ClosedStatus,
    /// What the Map state gets.
    pub result: Result<Value, Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClosedStatus {
    Succeeded,
    Failed,
    Aborted,
}

/// One result file, as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResultFile {
    pub key: String,
    pub size: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    children: u64,
    items: u64,
}

#[derive(Debug)]
pub struct Table {
    kind: ChildKind,
    rows: Vec<Row>,
    /// (start, row) of the children in each status, for pages in the order of starts. Pending
    /// ones are not listed.
    started: [BTreeSet<(i64, u32)>; ChildStatus::ALL.len()],
    counts: [Count; ChildStatus::ALL.len()],
    /// When Standard children were redriven last.
    redriven_at: HashMap<u32, i64>,
    /// Standard children whose history has no room for a redrive.
    full: HashSet<u32>,
    /// No unsuccessful child has ended before this.
    first_failure: i64,
    /// Items of aborted children that could not be redriven: they count as failed.
    lost: u64,
    pub limits: Limits,
    /// Whether every item has been read.
    pub read: bool,
    /// Redrives so far.
    pub round: u32,
    pub redriven: Option<i64>,
    /// Where the records begin whose results are in no file yet: this round's, and those of rounds
    /// before it whose results could not be written.
    pub round_offset: u64,
    /// Whether this round's results are written.
    pub written: bool,
    /// SUCCEEDED files of all rounds.
    pub succeeded_files: Vec<ResultFile>,
    pub closed: Option<Closed>,
}

impl Table {
    pub fn new(limits: Limits, kind: ChildKind) -> Self {
        Self {
            kind,
            rows: Vec::new(),
            started: Default::default(),
            counts: Default::default(),
            redriven_at: HashMap::new(),
            full: HashSet::new(),
            first_failure: i64::MAX,
            lost: 0,
            limits,
            read: false,
            round: 0,
            redriven: None,
            round_offset: 0,
            written: false,
            succeeded_files: Vec::new(),
            closed: None,
        }
    }

    /// How many children there are, pending ones included.
    pub fn size(&self) -> usize {
        self.rows.len()
    }

    pub fn row(&self, child: u32) -> Option<&Row> {
        self.rows.get(child as usize)
    }

    pub fn children(&self, status: ChildStatus) -> u64 {
        self.counts[status as usize].children
    }

    fn items(&self, status: ChildStatus) -> u64 {
        self.counts[status as usize].items
    }

    /// How many items have been read.
    pub fn items_read(&self) -> u64 {
        self.counts.iter().map(|count| count.items).sum()
    }

    /// Takes in a record that is on disk at `offset`.
    pub fn apply(&mut self, record: &Record<'_>, offset: u64) {
        match record {
            Record::Item { items, .. } => {
                let row = Row {
                    status: ChildStatus::Pending,
                    before: ChildStatus::Pending,
                    redrives: 0,
                    items: *items,
                    started: 0,
                    stopped: 0,
                    item: offset,
                    last: 0,
                };
                self.rows.push(row);
                self.count(&row, 1);
            }
            Record::ItemsRead => self.read = true,
            Record::Start { child, at } => self.change(*child, |row| {
                row.status = ChildStatus::Running;
                row.started = *at;
                row.last = offset;
            }),
            Record::Input {
                child, redrive, at, ..
            } => {
                self.change(*child, |row| {
                    row.last = offset;
                    if *redrive {
                        row.status = ChildStatus::Running;
                        row.redrives = row.redrives.saturating_add(1);
                    }
                });
                if *redrive {
                    self.redriven_at.insert(*child, *at);
                }
            }
            Record::End(End {
                child,
                started,
                stopped,
                status,
                redrives,
                is_history_full,
                ..
            }) => {
                if ChildStatus::UNSUCCESSFUL.contains(status) {
                    self.first_failure = self.first_failure.min(*stopped);
                }
                if *is_history_full {
                    self.full.insert(*child);
                }
                self.change(*child, |row| {
                    row.status = *status;
                    row.started = *started;
                    row.stopped = *stopped;
                    row.redrives = *redrives;
                    row.last = offset;
                });
            }
            Record::Redrive { at, round } => {
                self.round = *round;
                self.redriven = Some(*at);
                if self.written {
                    self.round_offset = offset;
                }
                self.written = false;
                self.closed = None;
                if self.is_untouched() {
                    // The dataset is read again.
                    self.rows.clear();
                    self.counts = Default::default();
                    self.read = false;
                }
                for status in ChildStatus::UNSUCCESSFUL {
                    let (stay, again) = std::mem::take(&mut self.started[status as usize])
                        .into_iter()
                        .partition(|(_, child)| self.refusal(*child, *at).is_some());
                    self.started[status as usize] = stay;
                    self.turn(again, |row| {
                        row.before = row.status;
                        ChildStatus::PendingRedrive
                    });
                }
                self.lost = self.items(ChildStatus::Aborted);
            }
            Record::Limits(limits) => self.limits = *limits,
            Record::Synced { .. } => {}
            Record::Written { succeeded } => {
                self.written = true;
                self.succeeded_files.clone_from(succeeded);
            }
            Record::Closed(closed) => {
                self.closed = Some(closed.clone());
                // Those whose turn never came are what they were (counts are 0 at the end).
                let waiting = &mut self.started[ChildStatus::PendingRedrive as usize];
                let waiting = std::mem::take(waiting);
                self.turn(waiting, |row| row.before);
            }
        }
    }

    /// A child starts. No record yet: after a crash an Express child starts again, and a Standard
    /// one has its record written before it acts.
    pub fn start(&mut self, child: u32, at: i64) {
        self.change(child, |row| {
            row.status = ChildStatus::Running;
            row.started = at;
        });
    }

    /// A child that waited for its redrive and whose turn came waits again.
    pub(super) fn put_back(&mut self, child: u32) {
        self.change(child, |row| row.status = ChildStatus::PendingRedrive);
    }

    /// Whether no child has been started yet.
    pub fn is_untouched(&self) -> bool {
        self.children(ChildStatus::Pending) == self.rows.len() as u64
    }

    /// Gives many children, taken out of their index, another status at once.
    fn turn(&mut self, children: BTreeSet<(i64, u32)>, status: impl Fn(&mut Row) -> ChildStatus) {
        let mut turned: [Vec<(i64, u32)>; ChildStatus::ALL.len()] = Default::default();
        for (started, child) in children {
            let mut row = self.rows[child as usize];
            self.count(&row, -1);
            row.status = status(&mut row);
            self.count(&row, 1);
            self.rows[child as usize] = row;
            turned[row.status as usize].push((started, child));
        }
        // Sorted already, so an index is built from them in one go.
        for (index, turned) in self.started.iter_mut().zip(turned) {
            index.append(&mut turned.into_iter().collect());
        }
    }

    /// When a Standard child was redriven last.
    pub fn redriven_at(&self, child: u32) -> Option<i64> {
        self.redriven_at.get(&child).copied()
    }

    /// AWS's reason why this unsuccessful child cannot be redriven at `now`. Express children
    /// always can (developer guide, "Redriving Map Runs").
    pub fn refusal(&self, child: u32, now: i64) -> Option<&'static str> {
        let row = self.row(child)?;
        if self.kind == ChildKind::Express {
            return None;
        }
        if self.full.contains(&child) {
            return Some("Execution history event limit exceeded");
        }
        (now - row.stopped > REDRIVE_PERIOD_MS).then_some("Execution redrivable period exceeded")
    }

    /// Unsuccessful children that cannot be redriven at `now`.
    fn not_redrivable(&self, now: i64) -> Count {
        let mut count = Count::default();
        if self.full.is_empty() && now.saturating_sub(self.first_failure) <= REDRIVE_PERIOD_MS {
            return count;
        }
        for status in ChildStatus::UNSUCCESSFUL {
            for child in self.in_status(status) {
                if self.refusal(child, now).is_some() {
                    count.children += 1;
                    count.items += u64::from(self.rows[child as usize].items);
                }
            }
        }
        count
    }

    fn change(&mut self, child: u32, change: impl FnOnce(&mut Row)) {
        let Some(row) = self.rows.get(child as usize).copied() else {
            return;
        };
        self.count(&row, -1);
        let mut changed = row;
        change(&mut changed);
        if row.status != ChildStatus::Pending {
            self.started[row.status as usize].remove(&(row.started, child));
        }
        if changed.status != ChildStatus::Pending {
            self.started[changed.status as usize].insert((changed.started, child));
        }
        self.count(&changed, 1);
        self.rows[child as usize] = changed;
    }

    fn count(&mut self, row: &Row, by: i64) {
        let count = &mut self.counts[row.status as usize];
        count.children = count.children.saturating_add_signed(by);
        count.items = count.items.saturating_add_signed(by * i64::from(row.items));
    }

    /// Children in this status, in the order of their starts.
    pub fn in_status(&self, status: ChildStatus) -> impl Iterator<Item = u32> + '_ {
        self.started[status as usize]
            .iter()
            .map(|(_, child)| *child)
    }

    /// Pending children from `from` on, in the order they were read.
    pub fn next_pending(&self, from: u32) -> Option<u32> {
        let rows = self.rows.get(from as usize..)?;
        let found = rows
            .iter()
            .position(|row| row.status == ChildStatus::Pending)?;
        Some(from + found as u32)
    }

    /// A page of started children, newest start first: at most `limit`, those before `before`.
    /// The second value continues, `None` at the end.
    pub fn page(
        &self,
        status: Option<ChildStatus>,
        before: Option<(i64, u32)>,
        limit: usize,
        wanted: impl Fn(&Row) -> bool,
    ) -> (Vec<u32>, Option<(i64, u32)>) {
        let end = before.unwrap_or((i64::MAX, u32::MAX));
        let indexes = self.started.iter().enumerate();
        let mut tails: Vec<_> = indexes
            .filter(|(index, _)| status.is_none_or(|status| status as usize == *index))
            .map(|(_, index)| index.range(..end).rev().peekable())
            .collect();
        let mut page = Vec::new();
        let mut last = None;
        loop {
            let heads = tails
                .iter_mut()
                .enumerate()
                .filter_map(|(index, tail)| Some((**tail.peek()?, index)));
            let Some(((started, child), newest)) = heads.max() else {
                return (page, None);
            };
            tails[newest].next();
            if !wanted(&self.rows[child as usize]) {
                continue;
            }
            if page.len() == limit {
                return (page, last);
            }
            last = Some((started, child));
            page.push(child);
        }
    }

    /// Whether more items have failed than tolerated (developer guide, "Setting failure
    /// thresholds"). A count is judged at once. A share is one of all items, so it is judged when
    /// all have been read: while more come, a run that will stay within its tolerance must not
    /// fail because of what was read first.
    pub fn exceeds_tolerance(&self) -> bool {
        let failed =
            self.items(ChildStatus::Failed) + self.items(ChildStatus::TimedOut) + self.lost;
        if failed == 0 {
            return false;
        }
        let Limits {
            tolerated_count,
            tolerated_percentage,
            ..
        } = self.limits;
        let total = self.items_read();
        let over_share = || failed as f64 * 100.0 > tolerated_percentage * total as f64;
        match (tolerated_count > 0, tolerated_percentage > 0.0) {
            (false, false) => true,
            (true, false) => failed > tolerated_count,
            (false, true) => self.read && over_share(),
            (true, true) => failed > tolerated_count || (self.read && over_share()),
        }
    }

    /// Whether every child has come to its end.
    pub fn is_complete(&self) -> bool {
        let open = [
            ChildStatus::Pending,
            ChildStatus::Running,
            ChildStatus::PendingRedrive,
        ];
        self.read && open.into_iter().all(|status| self.children(status) == 0)
    }

    fn counts_json(&self, stuck: &Count, of: impl Fn(&Count) -> u64) -> Value {
        let count = |status: ChildStatus| of(&self.counts[status as usize]);
        let total: u64 = self.counts.iter().map(&of).sum();
        let written = if self.written {
            total - count(ChildStatus::Pending)
        } else {
            0
        };
        json!({
            "pending": count(ChildStatus::Pending),
            "running": count(ChildStatus::Running),
            "succeeded": count(ChildStatus::Succeeded),
            "failed": count(ChildStatus::Failed),
            "timedOut": count(ChildStatus::TimedOut),
            "aborted": count(ChildStatus::Aborted),
            "total": total,
            "resultsWritten": written,
            "failuresNotRedrivable": of(stuck),
            "pendingRedrive": count(ChildStatus::PendingRedrive),
        })
    }

    /// The counts as they were at `at`, as far as the rows tell: a redrive is shown at once.
    pub fn counted_at(&self, at: i64) -> Self {
        let mut then = Self::new(self.limits, self.kind);
        for row in &self.rows {
            then.count(&row.at(at), 1);
        }
        then.closed = self.closed.clone().filter(|closed| closed.at <= at);
        then.written = self.written && then.closed.is_some();
        (then.read, then.round) = (self.read, self.round);
        then.redriven = self.redriven;
        then
    }

    /// `DescribeMapRun` at `now`.
    pub fn describe(&self, arn: &str, execution: &str, started: i64, now: i64) -> Value {
        let stuck = self.not_redrivable(now);
        let status = match self.closed.as_ref().map(|closed| closed.status) {
            None => "RUNNING",
            Some(ClosedStatus::Succeeded) => "SUCCEEDED",
            Some(ClosedStatus::Failed) => "FAILED",
            Some(ClosedStatus::Aborted) => "ABORTED",
        };
        let mut described = json!({
            "mapRunArn": arn,
            "executionArn": execution,
            "status": status,
            "startDate": seconds(started),
            "maxConcurrency": self.limits.max_concurrency,
            "toleratedFailurePercentage": self.limits.tolerated_percentage,
            "toleratedFailureCount": self.limits.tolerated_count,
            "itemCounts": self.counts_json(&stuck, |count| count.items),
            "executionCounts": self.counts_json(&stuck, |count| count.children),
            "redriveCount": self.round,
        });
        if let Some(object) = described.as_object_mut() {
            object.extend(
                self.closed
                    .as_ref()
                    .map(|closed| ("stopDate".to_owned(), seconds(closed.at))),
            );
            object.extend(
                self.redriven
                    .map(|at| ("redriveDate".to_owned(), seconds(at))),
            );
        }
        described
    }
}

/// RFC 3339 with milliseconds, as result files have it.
fn iso(milliseconds: i64) -> String {
    context_time(milliseconds)
}

#[cfg(test)]
mod tests;
