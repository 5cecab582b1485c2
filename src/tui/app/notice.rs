//! What is worth saying to somebody who looks elsewhere, and the window's title.

use crate::model::{Execution, ExecutionArn, MapRun};
use crate::tui::app::App;
use crate::tui::event::Effect;
use crate::tui::pace::Pace;
use crate::tui::screen::Screen;
use crate::tui::widget::{figures, text};

/// Per cent of the tolerated failures at which one should look.
const NEARLY: f64 = 80.0;
/// Runs whose last state is remembered: far more than go at once.
const REMEMBERED: usize = 1_000;
/// Cells of a run's name.
const NAME: usize = 32;

/// What was known of a run when it was looked at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    is_closed: bool,
    has_failures: bool,
    is_near: bool,
    redrives: u32,
}

impl App {
    /// Takes a run's state in; what has happened to it since the last time.
    pub(super) fn observe(&mut self, arn: &ExecutionArn) -> Option<String> {
        let execution = self.live.execution(arn)?;
        let map_run = self.live.map_run(arn);
        let now = Known {
            is_closed: execution.status.is_closed(),
            has_failures: map_run.is_some_and(|it| it.items.failures() > 0),
            is_near: map_run.is_some_and(is_near),
            redrives: execution.redrive_count,
        };
        let before = self.known.get(arn).copied();
        let said = before
            .filter(|before| before.redrives == now.redrives)
            .and_then(|before| self.change(execution, map_run, before, now));
        if self.known.len() >= REMEMBERED {
            self.known.retain(|_, known| !known.is_closed);
        }
        self.known.insert(arn.clone(), now);
        said
    }

    fn change(
        &self,
        execution: &Execution,
        map_run: Option<&MapRun>,
        before: Known,
        now: Known,
    ) -> Option<String> {
        let name = text::middle(&execution.name, NAME);
        if now.is_closed && !before.is_closed {
            let state = self.live.state(execution, self.now).word();
            let failed = map_run.map_or(0, |it| it.items.failures());
            return Some(match failed {
                0 => format!("{name} has ended: {state}"),
                count => format!(
                    "{name} has ended: {state}, {} failed",
                    figures::count(count)
                ),
            });
        }
        if now.is_closed {
            return None;
        }
        if now.is_near && !before.is_near {
            return Some(format!("{name} has used 80 % of its tolerated failures"));
        }
        let is_first = now.has_failures && !before.has_failures;
        is_first.then(|| format!("{name}: the first item has failed"))
    }

    /// Says it outside, where nobody looks at the screen.
    pub(super) fn notify(&self, said: Option<String>) -> Vec<Effect> {
        let wanted = said.filter(|_| !self.is_focused);
        wanted.map(Effect::Notify).into_iter().collect()
    }

    /// Of the run shown, else of the newest that goes on.
    pub fn title(&self) -> String {
        let shown = match self.screen() {
            Screen::Runs(_) => {
                let all = self.live.executions();
                all.into_iter().find(|it| !it.status.is_closed())
            }
            _ => self.shown_run().and_then(|arn| self.live.execution(arn)),
        };
        let Some(execution) = shown else {
            return "fanout".to_owned();
        };
        let name = text::middle(&execution.name, NAME);
        let Some(map_run) = self.live.map_run(&execution.arn) else {
            return format!("fanout: {name}");
        };
        let state = self.live.state(execution, self.now);
        if execution.status.is_closed() {
            return format!("fanout: {} {name}", state.word());
        }
        let (done, total) = (map_run.items.done(), map_run.items.total);
        let share = figures::whole_percent(done, total).replace('%', " %");
        let eta = eta(self.live.pace(&map_run.arn), total.saturating_sub(done));
        format!("fanout: {share} {name}{eta}")
    }
}

/// In whole minutes as long as there are any: a title that changes each second draws the eye.
fn eta(pace: &Pace, left: u64) -> String {
    pace.eta(left, None).map_or_else(String::new, |eta| {
        format!(" ETA {}", figures::coarse(eta.likely as i64))
    })
}

/// Whether most of the tolerated failures are used up. Without a tolerance the first failure says
/// it all.
fn is_near(map_run: &MapRun) -> bool {
    let failures = map_run.items.failures() as f64;
    let share = map_run.tolerated_percentage * map_run.items.total as f64 / 100.0;
    let limits = [share, map_run.tolerated_count as f64];
    limits.iter().any(|limit| {
        *limit > 0.0 && *limit < map_run.items.total as f64 && failures >= limit * NEARLY / 100.0
    })
}
