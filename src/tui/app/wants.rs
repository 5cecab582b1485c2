//! What the state wants to know: standing polls, and single asks that are due. Both are functions of
//! the state, so nobody starts or stops anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{ExecutionArn, MapRun, StateMachineArn, Status, Timestamp};
use crate::operations::outputs::AT_FIRST;
use crate::operations::runs::Run;
use crate::tui::app::{App, Overlay};
use crate::tui::data::{Remote, Stamp};
use crate::tui::event::{Ask, Subject, Subscription};
use crate::tui::history::Part;
use crate::tui::screen::{Failures, ItemTab, Machine, Machines, Outputs, Runs, Screen, is_express};
use crate::tui::widget::figures;

/// Descriptions out at a time: the list should fill up, the budget should not.
const DESCRIBED_AT_ONCE: usize = 2;
/// Seconds after which a running row is described again.
const ROW_PACE: i64 = 3;
/// Seconds after which a shown run that has ended is described again: somebody may have redriven it.
const CLOSED_PACE: i64 = 15;
/// Seconds before something that failed is asked for again.
const RETRY: i64 = 5;
/// Seconds between two readings of failures.
const FAILURES_PACE: i64 = 2;
/// Seconds between two listings of a running run's outputs.
const OUTPUTS_PACE: i64 = 10;
/// How much longer everything takes while nobody looks.
const UNWATCHED: i64 = 5;
/// Seconds between two looks at the newest events of an execution that goes on.
const HISTORY_PACE: i64 = 2;
/// Seconds between two looks at a state machine and at its newest executions.
const MACHINES_PACE: i64 = 30;
/// Rows before the cursor that are wanted with it after a jump.
const AROUND: usize = 32;
/// Rows from the end of the list at which the next page is wanted.
const NEARLY_AT_END: usize = 5;

impl App {
    /// The standing polls that what is shown needs.
    pub fn subscriptions(&self) -> BTreeSet<Subscription> {
        let Some(machine) = self.live.machine.get() else {
            return BTreeSet::from([Subscription::Machine(self.settings.machine.clone())]);
        };
        match self.screen() {
            Screen::Runs(_) => BTreeSet::from([Subscription::Executions(machine.clone())]),
            Screen::Live(it) => self.polls_of(&it.run, true),
            Screen::Failures(it) => {
                let mut polls = self.polls_of(&it.run, false);
                let logs = it.log_query(self);
                polls.extend(logs.map(|query| Subscription::Logs(Box::new(query))));
                // A filter that is being written asks for something else with every key.
                let is_written = matches!(self.overlay, Some(Overlay::Filter(_)));
                let list = it
                    .list(self)
                    .filter(|list| !is_written && list.trouble().is_none());
                polls.extend(
                    list.and_then(|list| list.unfinished())
                        .map(Subscription::Members),
                );
                polls
            }
            Screen::Outputs(it) => self.polls_of(&it.run, false),
            Screen::Logs(it) => {
                let mut polls = self.polls_of(&it.run, false);
                polls.insert(Subscription::Logs(Box::new(it.query())));
                polls
            }
            Screen::Execution(it) => self.polls_of(&it.arn, false),
            Screen::Compare(it) => {
                let polls = it.runs.iter().map(|run| self.polls_of(run, false));
                polls.flatten().collect()
            }
            Screen::Machines(_) | Screen::Machine(_) => BTreeSet::new(),
        }
    }

    fn polls_of(&self, run: &ExecutionArn, with_children: bool) -> BTreeSet<Subscription> {
        let mut polls = BTreeSet::new();
        let Some(known) = self.live.run(run) else {
            return polls;
        };
        if !known.execution().status.is_closed() {
            polls.insert(Subscription::Execution(run.clone()));
        }
        if let Some(map_run) = known.map_run().filter(|it| !it.status.is_closed()) {
            polls.insert(Subscription::MapRun(map_run.arn.clone()));
            if with_children {
                polls.insert(Subscription::FailedChildren(map_run.arn.clone()));
            }
        }
        polls
    }

    /// Single asks that are due now.
    pub(super) fn wants(&mut self) -> Vec<Ask> {
        let mut asks = Vec::new();
        if let Some(machine) = self.live.machine.get()
            && let Some(name) = self.settings.open.take()
        {
            asks.push(Ask::Find(machine.clone(), name));
        }
        match self.screen() {
            Screen::Runs(runs) => asks.extend(self.wanted_by_list(runs)),
            Screen::Live(it) => asks.extend(self.wanted_by_run(&it.run)),
            Screen::Failures(it) => {
                asks.extend(self.wanted_by_run(&it.run));
                asks.extend(self.wanted_by_failures(it));
            }
            Screen::Logs(it) => asks.extend(self.description(&it.run)),
            Screen::Machines(it) => asks.extend(self.wanted_by_machines(it)),
            Screen::Machine(it) => asks.extend(self.wanted_by_machine(it)),
            Screen::Compare(it) => {
                for run in &it.runs {
                    asks.extend(self.wanted_by_run(run));
                    asks.extend(self.definition(run));
                }
            }
            Screen::Execution(it) => {
                asks.extend(self.description(&it.arn));
                asks.extend(self.definition(&it.arn));
                let between = it
                    .wanted_history(&self.live)
                    .filter(|_| self.frozen.is_none());
                asks.extend(self.history(&it.arn, between));
            }
            Screen::Outputs(it) => {
                asks.extend(self.description(&it.run));
                asks.extend(self.outputs(&it.run));
                asks.extend(self.more_outputs(it));
                asks.extend(self.wanted_of_object(it));
            }
        }
        asks
    }

    fn wanted_by_list(&self, runs: &Runs) -> Vec<Ask> {
        let rows = runs.rows(self);
        let shown = runs.cursor.shown(rows.len());
        let chosen = runs.chosen(self);
        let described = chosen.into_iter().chain(rows[shown].iter().copied());
        let out = |it: &&Subject| matches!(it, Subject::Describe(_));
        let free = DESCRIBED_AT_ONCE.saturating_sub(self.out.iter().filter(out).count());
        let mut asks: Vec<Ask> = Vec::new();
        for row in described {
            let ask = Ask::Describe(row.arn.clone());
            let is_new = !self.is_out(&ask.subject()) && !asks.contains(&ask);
            if asks.len() < free && is_new && self.is_row_due(row) {
                asks.push(ask);
            }
        }
        if let Some(map_run) = chosen.and_then(|run| self.live.map_run(&run.arn)) {
            asks.extend(self.failures(map_run));
        }
        let near_end = runs.cursor.at + NEARLY_AT_END >= rows.len();
        let moved = runs.anchor.is_some() || !runs.filter.is_empty();
        let failed = self.live.older_failed();
        let may_ask = failed.is_none_or(|at| figures::seconds_between(at, self.now) >= RETRY);
        let machine = self.live.machine.get().filter(|_| may_ask);
        if let (true, true, Some(machine)) = (near_end, moved, machine) {
            let next = self.live.next_page();
            asks.extend(next.map(|token| Ask::Older(machine.clone(), token.to_owned())));
        }
        asks
    }

    /// Rows that are not kept, and of a Standard child its history.
    fn wanted_by_failures(&self, failures: &Failures) -> Vec<Ask> {
        let mut asks: Vec<Ask> = self.never_started(failures).into_iter().collect();
        let Some(list) = failures.list(self) else {
            return asks;
        };
        let len = list.len();
        let chosen = failures.members.row(len);
        let shown = failures.members.shown(len);
        // A jump comes before the frame that shows where it led.
        let around = chosen.saturating_sub(AROUND)..len.min(chosen + 1);
        let missing = match shown.contains(&chosen) {
            true => list.missing(shown),
            false => list.missing(around),
        };
        if list.trouble().is_none() && list.unfinished().is_none() {
            asks.extend(missing.map(|(query, first)| Ask::Members(query, first)));
        }
        let wanted = failures.wanted_rows().cloned();
        asks.extend(wanted.map(|(query, rows)| Ask::Children(query, rows)));
        let has_history = matches!(failures.tab, ItemTab::History | ItemTab::Output);
        if let Some(failure) = list.row(chosen).filter(|_| has_history) {
            asks.extend(self.history(&failure.child, None));
        }
        asks
    }

    /// Which lines never started, where that is looked at.
    fn never_started(&self, failures: &Failures) -> Option<Ask> {
        let map_run = self.live.map_run(&failures.run)?;
        if !failures.wants_never_started(self) || !map_run.status.is_closed() {
            return None;
        }
        let known = self.live.never_started.get(&map_run.arn);
        let due = self.is_due(known.unwrap_or(&Remote::Waiting), |found, age| {
            let items = found.as_ref().map(|it| it.items);
            items.is_some_and(|it| it != map_run.items.pending) && age >= CLOSED_PACE
        });
        due.then(|| Ask::NeverStarted(Box::new(map_run.clone())))
    }

    fn wanted_by_run(&self, run: &ExecutionArn) -> Vec<Ask> {
        let mut asks: Vec<Ask> = self.description(run).into_iter().collect();
        let map_run = self.live.map_run(run);
        asks.extend(map_run.and_then(|map_run| self.failures(map_run)));
        asks
    }

    /// Seconds between two asks, more of them while nobody looks.
    fn pace(&self, seconds: i64) -> i64 {
        match self.is_focused {
            true => seconds,
            false => seconds * UNWATCHED,
        }
    }

    /// Whether something is to be asked for: unknown, failed a while ago, or out of date.
    pub(super) fn is_due<T>(&self, remote: &Remote<T>, is_old: impl Fn(&T, i64) -> bool) -> bool {
        let age = |at: &Timestamp| figures::seconds_between(*at, self.now);
        match remote {
            Remote::Waiting => true,
            Remote::Failed { at, .. } => age(at) >= RETRY,
            Remote::Known { value, at } => is_old(value, age(at)),
        }
    }

    /// A row whose description is older than the row itself, or of a run that goes on.
    fn is_row_due(&self, row: &crate::model::Execution) -> bool {
        let Some(known) = self.live.runs.get(&row.arn) else {
            return true;
        };
        self.is_due(known, |run, age| {
            let seen = run.execution();
            let changed = (seen.status, seen.redrive_count) != (row.status, row.redrive_count);
            (changed && age >= 1) || (!row.status.is_closed() && age >= self.pace(ROW_PACE))
        })
    }

    /// A run's description, where it is unknown, or where polls do not tell of a new Map Run.
    fn description(&self, run: &ExecutionArn) -> Option<Ask> {
        let known = self.live.runs.get(run).unwrap_or(&Remote::Waiting);
        let described = self.live.described.get(run);
        let age = described.map_or(0, |at| figures::seconds_between(*at, self.now));
        let due = self.is_due(known, |run, _| {
            let between_maps = run.map_run().is_none_or(|it| it.status.is_closed());
            let closed = run.execution().status.is_closed();
            let pace = if closed { CLOSED_PACE } else { ROW_PACE };
            between_maps && age >= self.pace(pace)
        });
        due.then(|| Ask::Describe(run.clone()))
    }

    /// Failures, where their count has changed since they were read.
    fn failures(&self, map_run: &MapRun) -> Option<Ask> {
        let stamp = Stamp::of(map_run);
        let known = self.live.failures.get(&map_run.arn);
        let due = match known {
            None => stamp.failures > 0,
            Some(known) => self.is_due(known, |set, age| {
                set.stamp != stamp && age >= self.pace(FAILURES_PACE)
            }),
        };
        due.then(|| Ask::Failures(Box::new(map_run.clone())))
    }

    fn wanted_by_machines(&self, machines: &Machines) -> Vec<Ask> {
        let mut asks = Vec::new();
        if self.is_due(&self.live.machines, |_, age| age >= MACHINES_PACE) {
            asks.push(Ask::Machines);
        }
        let rows = machines.rows(self);
        let shown = machines.cursor.shown(rows.len());
        let out = |it: &&Subject| matches!(it, Subject::Recent(_));
        let free = DESCRIBED_AT_ONCE.saturating_sub(self.out.iter().filter(out).count());
        let listed = rows[shown].iter().filter(|it| !is_express(it));
        let due = listed.filter_map(|it| self.recent(&it.arn));
        asks.extend(due.take(free));
        asks.extend(
            machines
                .chosen(self)
                .into_iter()
                .flat_map(|it| self.undescribed(&it.arn)),
        );
        asks
    }

    /// The newest executions of a machine of which it is not known whether they succeeded in whole.
    fn undescribed(&self, machine: &StateMachineArn) -> Vec<Ask> {
        let out = |it: &&Subject| matches!(it, Subject::Describe(_));
        let free = DESCRIBED_AT_ONCE.saturating_sub(self.out.iter().filter(out).count());
        let newest = self.live.recent(machine).map_or(&[][..], |it| &it.newest);
        let unknown = newest
            .iter()
            .filter(|it| it.status == Status::Succeeded && !self.live.runs.contains_key(&it.arn));
        let asks = unknown.map(|it| Ask::Describe(it.arn.clone()));
        asks.filter(|ask| !self.is_out(&ask.subject()))
            .take(free)
            .collect()
    }

    fn wanted_by_machine(&self, machine: &Machine) -> Vec<Ask> {
        let known = self.live.machine_views.get(&machine.arn);
        let due = self.is_due(known.unwrap_or(&Remote::Waiting), |_, age| {
            age >= MACHINES_PACE
        });
        let view = due.then(|| Ask::MachineView(machine.arn.clone()));
        let kind = known
            .and_then(Remote::get)
            .and_then(|it| it.machine.detail.kind.as_deref());
        let recent = match kind {
            Some("STANDARD") => self.recent(&machine.arn),
            _ => None,
        };
        view.into_iter().chain(recent).collect()
    }

    /// How the newest executions of a machine went, where that is not known or old.
    fn recent(&self, arn: &StateMachineArn) -> Option<Ask> {
        let ask = Ask::Recent(arn.clone());
        let known = self.live.recents.get(arn).unwrap_or(&Remote::Waiting);
        let due = self.is_due(known, |_, age| age >= MACHINES_PACE);
        (due && !self.is_out(&ask.subject())).then_some(ask)
    }

    fn definition(&self, arn: &ExecutionArn) -> Option<Ask> {
        let known = self.live.definitions.get(arn).unwrap_or(&Remote::Waiting);
        let due = self.is_due(known, |_, _| false);
        due.then(|| Ask::Definition(arn.clone()))
    }

    /// The next page of events: until both ends are there, then what is scrolled to, then what is
    /// new.
    fn history(&self, arn: &ExecutionArn, between: Option<Part>) -> Option<Ask> {
        if arn.is_express() {
            return None;
        }
        let known = self.live.histories.get(arn).unwrap_or(&Remote::Waiting);
        let next = known.get().and_then(|history| history.next().cloned());
        let next = next.or(between);
        let execution = self.live.run(arn).map(Run::execution);
        let due = self.is_due(known, |history, age| {
            let goes_on = execution.is_none_or(|it| !it.status.is_closed());
            let ended_since = execution.and_then(|it| it.stopped) > known.read_at();
            let settled = history.has_ended() && !goes_on && !ended_since;
            next.is_some() || (!settled && age >= HISTORY_PACE)
        });
        let fresh = match known.get() {
            Some(_) => Part::Peek,
            None => Part::Newest,
        };
        let part = next.unwrap_or(fresh);
        due.then(|| Ask::History(arn.clone(), part))
    }

    fn outputs(&self, run: &ExecutionArn) -> Option<Ask> {
        let described: &Run = self.live.run(run)?;
        let known = self.live.outputs.get(run);
        let stopped = described.execution().stopped;
        let read_at = known.and_then(Remote::read_at);
        let due = self.is_due(known.unwrap_or(&Remote::Waiting), |_, age| match stopped {
            Some(stopped) => read_at.is_some_and(|at| at < stopped),
            None => age >= self.pace(OUTPUTS_PACE),
        });
        due.then(|| self.listing(described.clone()))
    }

    /// The ask for a run's objects: as many as are known of it already.
    pub(super) fn listing(&self, run: Run) -> Ask {
        let known = self.live.outputs.get(&run.execution().arn);
        let known = known.and_then(Remote::get).map_or(0, |it| it.outputs.len());
        Ask::Outputs(Box::new(run), known.max(AT_FIRST))
    }

    /// More of a run's objects, where the cursor comes near the end of those that are known.
    fn more_outputs(&self, screen: &Outputs) -> Option<Ask> {
        let known = self.live.outputs.get(&screen.run)?;
        let listing = known.get().filter(|it| !it.is_whole())?;
        let near_end = screen.cursor.at + NEARLY_AT_END >= screen.len(self);
        let may_ask = self.is_due(known, |_, _| true);
        let ask = || Ask::MoreOutputs(screen.run.clone(), Arc::clone(listing));
        (near_end && may_ask && self.frozen.is_none()).then(ask)
    }
}
