//! How old what is shown is.

use crate::model::ExecutionArn;
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::screen::Screen;
use crate::tui::widget::figures;

impl App {
    /// Age of what is shown, seconds; `None` while nothing is known.
    pub fn data_age(&self) -> Option<i64> {
        let data = self.data();
        let run = |arn: &ExecutionArn| data.runs.get(arn).and_then(Remote::read_at);
        let at = match self.screen() {
            Screen::Runs(_) => data.newest.read_at(),
            Screen::Outputs(it) => data.outputs.get(&it.run).and_then(Remote::read_at),
            Screen::Live(it) => run(&it.run),
            Screen::Failures(it) => run(&it.run),
            Screen::Logs(it) => self.shown_book(it).and_then(|book| book.heard),
            Screen::Execution(it) => run(&it.arn),
            Screen::Machines(_) => data.machines.read_at(),
            Screen::Machine(it) => data.machine_views.get(&it.arn).and_then(Remote::read_at),
            Screen::Compare(it) => it.runs.iter().filter_map(run).min(),
        };
        at.map(|at| figures::seconds_between(at, self.now))
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
            _ => self
                .shown_run()
                .and_then(|arn| data.runs.get(arn))
                .is_some_and(|it| it.trouble().is_some()),
        }
    }
}
