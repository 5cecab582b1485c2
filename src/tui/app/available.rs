//! Whether an action is possible now, and why not.

use crate::model::RunState;
use crate::tui::app::App;
use crate::tui::keys::Availability;
use crate::tui::screen::{Failures, MachineTab, Pane, Screen, Tab, chosen_machine};

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
        if self.has_marked_runs() {
            return Ok(());
        }
        match self.shown_state().ok_or("no run is chosen")? {
            // What AWS cannot redrive can still be run again: the dialog says so.
            RunState::Failed
            | RunState::TimedOut
            | RunState::Stopped
            | RunState::Part
            | RunState::Expired => Ok(()),
            RunState::Running | RunState::Queued | RunState::Redrive => {
                Err("the run is still going")
            }
            RunState::Succeeded => Err("nothing failed"),
            RunState::Unknown => Err("the run's state is not known"),
        }
    }

    pub fn can_stop(&self) -> Availability {
        self.can_change()?;
        if self.has_marked_runs() {
            return Ok(());
        }
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
        let reason = match self.screen() {
            Screen::Runs(it) if !it.filter.is_empty() => {
                "no run fits the filter: clear it, or load older ones"
            }
            Screen::Runs(_) => "there is no run yet: start one, or choose another machine",
            _ => "choose a run first",
        };
        known(self.shown_run(), reason)
    }

    pub fn can_open(&self) -> Availability {
        match self.screen() {
            Screen::Runs(_) | Screen::Live(_) => self.has_run(),
            Screen::Failures(it) => match it.pane {
                Pane::Groups => self.has_failures().and_then(|()| self.has_items(it)),
                Pane::Members => known(self.shown_child(), "no item is chosen"),
            },
            Screen::Outputs(it) => self.can_open_output(it),
            Screen::Compare(_) => Err("this is all there is"),
            Screen::Logs(it) => known(it.chosen(), "no line is chosen"),
            Screen::Execution(it) => it.can_open(self.data()),
            Screen::Machines(it) => known(it.chosen(self), "no machine is chosen"),
            Screen::Machine(_) => self.has_tree().map_err(|_| "] shows more of it"),
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

    pub fn can_find_line(&self) -> Availability {
        match self.screen() {
            Screen::Failures(it) => known(it.chosen(self), "no item is chosen"),
            _ => Err("open the failures first"),
        }
    }

    pub fn can_download(&self) -> Availability {
        match self.screen() {
            Screen::Outputs(it) => known(it.chosen(self), "no object is chosen"),
            _ => Err("open the outputs first"),
        }
    }

    /// Whether there is a list of failed items, or will be once a filter is cleared.
    pub(super) fn has_items(&self, screen: &Failures) -> Availability {
        let set = screen.set(self);
        known(
            set.filter(|it| !it.groups().is_empty()),
            "no failed item is known",
        )
    }

    pub fn can_filter(&self) -> Availability {
        if let Screen::Failures(it) = self.screen() {
            return self.has_items(it);
        }
        known(self.screen().filter(), "there is no list here")
    }

    pub fn has_subject(&self) -> Availability {
        known(self.subject(), "nothing is chosen")
    }

    pub fn has_panes(&self) -> Availability {
        match self.screen() {
            Screen::Failures(it) => self.has_items(it),
            Screen::Outputs(_) => Ok(()),
            Screen::Execution(it) if it.tab == Tab::Events => Ok(()),
            _ => Err("there is one pane here"),
        }
    }

    pub fn has_child(&self) -> Availability {
        known(self.shown_child(), "no child execution is under the cursor")
    }

    pub fn has_tabs(&self) -> Availability {
        match self.screen() {
            Screen::Execution(_) | Screen::Machine(_) => Ok(()),
            Screen::Failures(it) => self.has_items(it),
            Screen::Outputs(it) => {
                let document = it.preview(self).and_then(|it| it.document.as_ref());
                known(document, "it is shown as text: only JSON is a tree, too")
            }
            _ => Err("there are no tabs here"),
        }
    }

    pub fn has_tree(&self) -> Availability {
        known(self.screen().tree(), "no JSON has the keys")
    }

    /// What space chooses: a fold, or a machine.
    pub fn can_choose(&self) -> Availability {
        match self.screen() {
            Screen::Machines(_) | Screen::Machine(_) => {
                known(chosen_machine(self), "no machine is chosen")
            }
            _ if self.can_mark().is_ok() => Ok(()),
            _ => self.has_tree(),
        }
    }

    pub fn has_sides(&self) -> Availability {
        match self.screen() {
            Screen::Execution(it) if it.tab == Tab::Graph => Ok(()),
            Screen::Machine(it) if it.tab == MachineTab::Graph => Ok(()),
            Screen::Logs(_) | Screen::Outputs(_) => Ok(()),
            _ => self.has_tree().map_err(|_| "there is nothing to the side"),
        }
    }

    pub fn has_preview(&self) -> Availability {
        match self.screen() {
            Screen::Failures(it) => self.has_items(it),
            Screen::Outputs(_) | Screen::Execution(_) | Screen::Compare(_) | Screen::Machine(_) => {
                Ok(())
            }
            Screen::Runs(_) | Screen::Live(_) | Screen::Logs(_) | Screen::Machines(_) => {
                Err("there is no preview here")
            }
        }
    }

    pub fn can_search(&self) -> Availability {
        match self.screen() {
            Screen::Logs(_) => Ok(()),
            _ => Err("open the logs first"),
        }
    }

    fn has_filter(&self) -> Availability {
        match self.screen().filter() {
            Some(filter) if !filter.is_empty() => Ok(()),
            _ => Err("nothing is searched for: / searches"),
        }
    }

    pub fn has_search(&self) -> Availability {
        match self.screen() {
            Screen::Logs(it) if !it.search.is_empty() => Ok(()),
            Screen::Outputs(it) => self.has_hits(it),
            Screen::Execution(it) if it.tab == Tab::Graph || it.tree().is_some() => {
                self.has_filter()
            }
            Screen::Machine(it) if it.tab == MachineTab::Graph || it.tree().is_some() => {
                self.has_filter()
            }
            Screen::Logs(_) => Err("nothing is searched for"),
            _ => Err("there is no text here to search"),
        }
    }
}
