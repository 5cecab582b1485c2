//! Whether an action is possible now, and why not.

use crate::model::RunState;
use crate::tui::app::App;
use crate::tui::keys::Availability;
use crate::tui::screen::{Pane, Screen};

/// `Ok` where something is there, else the reason.
fn known<T>(value: Option<T>, reason: &'static str) -> Availability {
    value.map(|_| ()).ok_or(reason)
}

impl App {
    pub fn can_change(&self) -> Availability {
        if self.read_only() {
            return Err("this session is read-only");
        }
        Ok(())
    }

    fn shown_state(&self) -> Option<RunState> {
        let execution = self.shown_execution()?;
        Some(self.data().state(execution, self.now))
    }

    pub fn can_redrive(&self) -> Availability {
        self.can_change()?;
        match self.shown_state().ok_or("no run is chosen")? {
            RunState::Failed | RunState::TimedOut | RunState::Stopped => Ok(()),
            RunState::Running | RunState::Queued | RunState::Redrive => {
                Err("the run is still going")
            }
            RunState::Succeeded => Err("nothing failed"),
            RunState::Part => Err("AWS cannot redrive a run that succeeded within its tolerance"),
            RunState::Expired => Err("14 days have passed since it ended"),
            RunState::Unknown => Err("the run's state is not known"),
        }
    }

    pub fn can_stop(&self) -> Availability {
        self.can_change()?;
        let execution = self.shown_execution().ok_or("no run is chosen")?;
        if execution.status.is_closed() {
            return Err("the run has ended");
        }
        Ok(())
    }

    pub fn can_limit(&self) -> Availability {
        self.can_change()?;
        let run = self.shown_run().ok_or("no run is chosen")?;
        let map_run = self.data().map_run(run).ok_or("no Map Run is known yet")?;
        if map_run.status.is_closed() {
            return Err("the Map Run has ended");
        }
        Ok(())
    }

    pub fn has_run(&self) -> Availability {
        known(self.shown_run(), "no run is chosen")
    }

    pub fn can_open(&self) -> Availability {
        match self.screen() {
            Screen::Runs(_) | Screen::Live(_) => self.has_run(),
            Screen::Failures(it) => match it.pane {
                Pane::Groups => self.has_failures(),
                Pane::Members => Err("input and error are shown below"),
            },
            Screen::Outputs(_) => Err("the preview is shown already"),
            Screen::Describe(_) => Err("this is all there is"),
            Screen::Logs(it) => match it.chosen() {
                Some(entry) if entry.is_json => Ok(()),
                _ => Err("only lines with JSON unfold"),
            },
        }
    }

    pub fn has_failures(&self) -> Availability {
        let run = self.shown_run().ok_or("no run is chosen")?;
        let map_run = self.data().map_run(run).ok_or("no Map Run is known yet")?;
        if map_run.items.failures() == 0 {
            return Err("no item failed");
        }
        Ok(())
    }

    pub fn can_download(&self) -> Availability {
        match self.screen() {
            Screen::Outputs(it) => known(it.chosen(self), "no object is chosen"),
            _ => Err("open the outputs first"),
        }
    }

    pub fn can_filter(&self) -> Availability {
        known(self.screen().filter(), "there is no list here")
    }

    pub fn can_sort(&self) -> Availability {
        match self.screen() {
            Screen::Runs(_) => Ok(()),
            _ => Err("only runs are sorted"),
        }
    }

    pub fn has_subject(&self) -> Availability {
        known(self.subject(), "nothing is chosen")
    }

    pub fn has_panes(&self) -> Availability {
        match self.screen() {
            Screen::Failures(_) => Ok(()),
            _ => Err("there is one pane here"),
        }
    }

    pub fn has_preview(&self) -> Availability {
        match self.screen() {
            Screen::Failures(_) | Screen::Outputs(_) | Screen::Describe(_) => Ok(()),
            Screen::Runs(_) | Screen::Live(_) | Screen::Logs(_) => Err("there is no preview here"),
        }
    }

    pub fn can_search(&self) -> Availability {
        match self.screen() {
            Screen::Logs(_) => Ok(()),
            _ => Err("open the logs first"),
        }
    }

    pub fn has_search(&self) -> Availability {
        match self.screen() {
            Screen::Logs(it) if !it.search.is_empty() => Ok(()),
            Screen::Logs(_) => Err("nothing is searched for"),
            _ => Err("open the logs first"),
        }
    }
}
