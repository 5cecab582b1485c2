//! Log lines: which are shown, and looking for text in them and elsewhere.

use crate::operations::logs::Focus;
use crate::tui::app::{App, Overlay};
use crate::tui::pace::Tone;
use crate::tui::screen::{Pane, Screen};
use crate::tui::widget::input::Field;

impl App {
    /// The lines of the failure or the state under the cursor, else of the run.
    pub(super) fn logs_here(&mut self) {
        let state = match self.screen() {
            Screen::Execution(it) => it.chosen_state(self.data()),
            _ => None,
        };
        let focus = match self.screen() {
            Screen::Failures(it) if it.pane == Pane::Members => it.chosen(self).map(Focus::on),
            Screen::Live(it) => it.chosen(self).map(|child| {
                let map_run = self.data().map_run(&it.run);
                let set = map_run.and_then(|it| self.data().failure_set(&it.arn));
                let failure = set.and_then(|set| set.of_child(&child));
                failure.map_or_else(|| Focus::of(child.clone()), |(_, it)| Focus::on(it))
            }),
            Screen::Execution(it) if it.is_child() => {
                let known = self.data().run(&it.arn);
                Some(known.map_or_else(
                    || Focus::of(it.arn.clone()),
                    |run| Focus::described(&run.detail),
                ))
            }
            _ => None,
        };
        self.show_for_run(|run| Screen::logs(run, focus.clone()));
        // A filter's words have no spaces: of a name with some, its longest word.
        let word = state
            .as_deref()
            .and_then(|it| it.split_whitespace().max_by_key(|it| it.len()));
        if let (Some(word), Screen::Logs(_)) = (word, self.screen()) {
            self.set_filter(&format!("state:{word}"));
        }
    }

    pub(super) fn open_search(&mut self) {
        if let Screen::Logs(it) = self.screen() {
            self.overlay = Some(Overlay::Search(Field::new(it.search.clone())));
        }
    }

    pub(super) fn search_for(&mut self, text: String) {
        if let Screen::Logs(it) = self.screen_mut() {
            it.search = text;
            // Backwards: the newest line is what one looks at.
            it.find(false, true);
        }
    }

    pub(super) fn count_matches(&mut self) {
        let Screen::Logs(it) = self.screen() else {
            return;
        };
        let said = match (it.search.as_str(), it.matches()) {
            ("", _) => return,
            (text, 0) => format!("no line has {text:?}"),
            (text, count) => format!("{count} lines have {text:?}, n and N go through them"),
        };
        self.say(Tone::Plain, said);
    }

    pub(super) fn search_on(&mut self, forwards: bool) {
        if matches!(self.screen(), Screen::Outputs(_)) {
            return self.hop(forwards);
        }
        if let Screen::Logs(it) = self.screen_mut() {
            if !it.find(forwards, false) {
                self.count_matches();
            }
            return;
        }
        let data = self.frozen.as_ref().map_or(&self.live, |(data, _)| data);
        match self.stack.last_mut() {
            Some(Screen::Execution(it)) => it.next_match(data, forwards),
            Some(Screen::Machine(it)) => it.next_match(data, forwards),
            _ => {}
        }
    }

    pub(super) fn wrap(&mut self) {
        if let Screen::Logs(it) = self.screen_mut() {
            it.wrap();
        }
    }

    pub(super) fn keep_filter(&mut self) {
        if let Screen::Logs(it) = self.screen_mut() {
            it.keep_filter();
        }
    }
}
