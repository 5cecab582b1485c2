//! How old what is shown is.

use crate::model::{ExecutionArn, Timestamp};
use crate::tui::app::App;
use crate::tui::data::{Remote, Stamp};
use crate::tui::screen::{Execution, Runs, Screen, Tab};
use crate::tui::widget::figures;

/// The older of two moments, of which either may not be known.
fn older(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

impl App {
    /// Age of what is shown, seconds: of its oldest part; `None` while nothing is known.
    pub fn data_age(&self) -> Option<i64> {
        let data = self.data();
        let run = |arn: &ExecutionArn| data.run_read_at(arn);
        let at = match self.screen() {
            Screen::Runs(it) => self.rows_read_at(it),
            Screen::Outputs(it) => data.outputs.get(&it.run).and_then(Remote::read_at),
            Screen::Live(it) => older(self.failures_read_at(&it.run), run(&it.run)),
            Screen::Failures(it) => older(self.failures_read_at(&it.run), run(&it.run)),
            Screen::Logs(it) => self.shown_book(it).and_then(|book| book.heard),
            Screen::Execution(it) => older(self.events_read_at(it), run(&it.arn)),
            Screen::Machines(_) => data.machines.read_at(),
            Screen::Machine(it) => data.machine_views.get(&it.arn).and_then(Remote::read_at),
            Screen::Compare(it) => it.runs.iter().filter_map(run).min(),
        };
        at.map(|at| figures::seconds_between(at, self.now))
    }

    /// The list, and of rows that are seen and go on, what was asked of each.
    fn rows_read_at(&self, runs: &Runs) -> Option<Timestamp> {
        let data = self.data();
        let rows = runs.rows(self);
        let seen = rows[runs.cursor.shown(rows.len())].iter();
        let going = seen.filter(|row| !row.status.is_closed());
        let described = going.filter_map(|row| data.run_read_at(&row.arn));
        described.chain(data.newest.read_at()).min()
    }

    /// When failures were read, unless they are still what the counts say.
    fn failures_read_at(&self, run: &ExecutionArn) -> Option<Timestamp> {
        let data = self.data();
        let map_run = data.map_run(run)?;
        let known = data.failures.get(&map_run.arn)?;
        let is_current = known.get()?.stamp == Stamp::of(map_run);
        known.read_at().filter(|_| !is_current)
    }

    /// When events were looked for, unless the last one is there.
    fn events_read_at(&self, screen: &Execution) -> Option<Timestamp> {
        let shows = matches!(screen.tab, Tab::Graph | Tab::Timeline | Tab::Events);
        let known = self.data().histories.get(&screen.arn).filter(|_| shows)?;
        let is_whole = known.get()?.has_ended();
        known.read_at().filter(|_| !is_whole)
    }

    /// Whether the newest ask for what is shown failed, so that what is seen is old.
    pub fn is_stale(&self) -> bool {
        if self.target.expired.is_some() {
            return true;
        }
        let data = self.data();
        match self.screen() {
            Screen::Runs(_) => data.newest.trouble().is_some(),
            Screen::Outputs(it) => data
                .outputs
                .get(&it.run)
                .is_some_and(|it| it.trouble().is_some()),
            Screen::Logs(it) => self.shown_book(it).is_some_and(|it| it.trouble.is_some()),
            Screen::Machines(_) => data.machines.trouble().is_some(),
            Screen::Machine(it) => data
                .machine_views
                .get(&it.arn)
                .is_some_and(|it| it.trouble().is_some()),
            Screen::Compare(it) => it
                .runs
                .iter()
                .filter_map(|arn| data.runs.get(arn))
                .any(|it| it.trouble().is_some()),
            _ => self
                .shown_run()
                .and_then(|arn| data.runs.get(arn))
                .is_some_and(|it| it.trouble().is_some()),
        }
    }
}
