//! Two runs beside each other, and how large the panes of a view are.

use crate::model::ExecutionArn;
use crate::tui::app::App;
use crate::tui::keys::{Action, Availability};
use crate::tui::pace::Tone;
use crate::tui::screen::{Compare, Screen, Tab};

/// Steps that a pane can be larger or smaller than usual.
const STEPS: i16 = 40;

impl App {
    /// Remembers the run shown, to be compared with another.
    pub(super) fn mark_for_comparison(&mut self) {
        let Some(run) = self.shown_run().cloned() else {
            return;
        };
        let key = self.keymap.key_of(Action::Compare).to_owned();
        let said = format!("{}: go to another run, {key} compares", run.name());
        self.compared = Some(run);
        self.say(Tone::Plain, said);
    }

    /// The runs that would be compared now.
    fn comparison(&self) -> Result<[ExecutionArn; 2], &'static str> {
        if let Screen::Runs(it) = self.screen() {
            let marked: Vec<&ExecutionArn> = it.marks.iter().collect();
            match marked[..] {
                [one, other] => return Ok([one.clone(), other.clone()]),
                [] => {}
                _ => return Err("mark two runs"),
            }
        }
        let shown = self.shown_run().ok_or("no run is chosen")?;
        match &self.compared {
            None => Err("m marks the first of two runs"),
            Some(marked) if marked == shown => Err("this is the run that is marked"),
            Some(marked) => Ok([marked.clone(), shown.clone()]),
        }
    }

    pub fn can_compare(&self) -> Availability {
        self.comparison().map(|_| ())
    }

    pub(super) fn compare(&mut self) {
        if let Ok([one, other]) = self.comparison() {
            self.show(Screen::Compare(Box::new(Compare::new(one, other))));
        }
    }

    /// By how many steps the pane of this view is larger than usual.
    pub fn pane(&self, view: &str) -> i16 {
        self.panes.get(view).copied().unwrap_or_default()
    }

    pub fn can_resize(&self) -> Availability {
        match self.screen() {
            Screen::Runs(_) | Screen::Machines(_) | Screen::Failures(_) | Screen::Outputs(_) => {
                Ok(())
            }
            Screen::Execution(it) if it.tab == Tab::Events => Ok(()),
            _ => Err("there is no pane here whose size can be changed"),
        }
    }

    pub(super) fn resize_pane(&mut self, by: i16) {
        let steps = self
            .panes
            .entry(self.stack[self.stack.len() - 1].name().to_owned());
        let steps = steps.or_default();
        *steps = (*steps + by).clamp(-STEPS, STEPS);
    }
}
