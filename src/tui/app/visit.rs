//! Where one has been: screens in a stack, and the stacks before and after this one.

use crate::tui::app::App;
use crate::tui::keys::Availability;
use crate::tui::screen::{Runs, Screen};

/// Views that are remembered.
const REMEMBERED: usize = 50;

impl App {
    /// Shows a screen: goes back to it where it is open already, else puts it on top.
    pub(super) fn show(&mut self, screen: Screen) {
        if self.screen().is_same(&screen) {
            return;
        }
        self.leave();
        let open = self.stack.iter().position(|it| it.is_same(&screen));
        if let Some(at) = open {
            self.stack.truncate(at + 1);
            return;
        }
        self.stack.retain(|it| it.rank() < screen.rank());
        self.stack.push(screen);
    }

    /// Goes back to the first so many screens.
    pub(super) fn close_to(&mut self, depth: usize) {
        let depth = depth.max(1);
        if depth < self.stack.len() {
            self.leave();
            self.stack.truncate(depth);
        }
    }

    /// Remembers this view, which another is about to replace.
    fn leave(&mut self) {
        self.past.push(self.stack.clone());
        if self.past.len() > REMEMBERED {
            self.past.remove(0);
        }
        self.future.clear();
    }

    /// To the view before; once more comes back.
    pub(super) fn last_view(&mut self) {
        if let Some(before) = self.past.pop() {
            self.past.push(std::mem::replace(&mut self.stack, before));
        }
    }

    pub(super) fn history_back(&mut self) {
        if let Some(before) = self.past.pop() {
            self.future.push(std::mem::replace(&mut self.stack, before));
        }
    }

    pub(super) fn history_forward(&mut self) {
        if let Some(after) = self.future.pop() {
            self.past.push(std::mem::replace(&mut self.stack, after));
        }
    }

    pub fn stack(&self) -> &[Screen] {
        &self.stack
    }

    /// Replaces all views; the list of runs is always the first.
    pub fn restore_stack(&mut self, screens: Vec<Screen>) {
        self.stack = vec![Screen::Runs(Runs::default())];
        for screen in screens {
            if matches!(screen, Screen::Runs(_)) {
                self.stack = vec![screen];
            } else {
                self.stack.retain(|it| it.rank() < screen.rank());
                self.stack.push(screen);
            }
        }
        self.target.restored = self.screen().run().cloned();
        self.past.clear();
        self.future.clear();
    }

    pub fn has_past(&self) -> Availability {
        match self.past.is_empty() {
            true => Err("this is the first view"),
            false => Ok(()),
        }
    }

    pub fn has_future(&self) -> Availability {
        match self.future.is_empty() {
            true => Err("this is the newest view"),
            false => Ok(()),
        }
    }
}
