//! What is under the cursor, in words: what is copied.

use crate::tui::app::App;
use crate::tui::event::Effect;
use crate::tui::screen::{Pane, Screen, chosen_machine, payload_path};

impl App {
    pub(super) fn copy(&mut self, what: fn(&Self) -> Option<String>) -> Vec<Effect> {
        let copies = what(self).map(Effect::Copy).into_iter().collect();
        self.do_all(copies)
    }

    /// What stands under the cursor, as one says it.
    pub(super) fn subject(&self) -> Option<String> {
        if let Some(tree) = self.screen().tree() {
            return Some(tree.value());
        }
        match self.screen() {
            Screen::Execution(it) => Some(it.arn.name().to_owned()),
            Screen::Machines(_) | Screen::Machine(_) => {
                chosen_machine(self).map(|it| it.name().to_owned())
            }
            Screen::Outputs(it) => it.chosen(self).map(|it| it.object.address.to_string()),
            Screen::Failures(it) if it.pane == Pane::Members => {
                it.chosen(self).map(|it| it.child.name().to_owned())
            }
            Screen::Logs(it) => it.chosen().map(|it| it.text.clone()),
            _ => self.shown_run().map(|it| it.name().to_owned()),
        }
    }

    pub(super) fn subject_in_full(&self) -> Option<String> {
        if let Some(tree) = self.screen().tree() {
            let is_payload = matches!(self.screen(), Screen::Execution(_));
            let path = tree.path();
            return Some(if is_payload {
                payload_path(&path)
            } else {
                path
            });
        }
        match self.screen() {
            Screen::Execution(it) => Some(it.arn.to_string()),
            Screen::Machines(_) | Screen::Machine(_) => chosen_machine(self).map(|it| it.0),
            Screen::Outputs(it) => it.chosen(self).map(|it| it.object.address.to_string()),
            Screen::Failures(it) if it.pane == Pane::Members => {
                it.chosen(self).map(|it| it.child.to_string())
            }
            Screen::Logs(it) => it.chosen().map(|it| it.line.message.clone()),
            _ => self.shown_run().map(ToString::to_string),
        }
    }
}
