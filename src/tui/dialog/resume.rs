//! What was interrupted, and going on with it.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::text::Line;

use crate::operations::journal::Interrupted;
use crate::tui::dialog::{Focus, Reaction, is_copy, presses};
use crate::tui::event::Effect;
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{Button, View};
use crate::tui::widget::list::Scroll;
use crate::tui::widget::text;

#[derive(Debug, Clone)]
pub struct Resume {
    /// The newest first.
    found: Vec<Interrupted>,
    at: usize,
    pub(super) focus: Focus,
    pub scroll: Scroll,
}

impl Resume {
    pub fn open(found: Vec<Interrupted>) -> Self {
        Self {
            found,
            at: 0,
            focus: Focus::on_cancel(0, 2),
            scroll: Scroll::default(),
        }
    }

    pub fn put(&mut self, found: Vec<Interrupted>) {
        // The cursor stays on what it was on, else nothing is pressed by mistake.
        let chosen = self.found.get(self.at).map(|it| it.operation.clone());
        let at = found
            .iter()
            .position(|it| Some(&it.operation) == chosen.as_ref());
        if at.is_none() {
            self.focus = Focus::on_cancel(0, 2);
        }
        (self.found, self.at) = (found, at.unwrap_or(0));
    }

    fn chosen(&self) -> Result<&Interrupted, String> {
        let none = || "nothing was interrupted".to_owned();
        self.found.get(self.at).ok_or_else(none)
    }

    fn command(&self) -> Option<String> {
        let chosen = self.chosen().ok()?;
        Some(format!("fanout resume {} --yes", chosen.operation))
    }

    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        if is_copy(key) {
            return Reaction::Stay(self.command().map(Effect::Copy).into_iter().collect());
        }
        match key.code {
            KeyCode::Char('j') | KeyCode::Down => {
                self.at = (self.at + 1).min(self.found.len().saturating_sub(1));
                return Reaction::nothing();
            }
            KeyCode::Char('k') | KeyCode::Up => {
                self.at = self.at.saturating_sub(1);
                return Reaction::nothing();
            }
            _ => {}
        }
        if self.focus.key(key) || !presses(key) {
            return Reaction::nothing();
        }
        match (self.focus.button(), self.chosen()) {
            (Some(0), _) => Reaction::Close(Vec::new()),
            (Some(_), Ok(it)) => Reaction::Close(vec![Effect::Resume(it.operation.clone())]),
            _ => Reaction::nothing(),
        }
    }

    pub fn view(&self, cells: usize, theme: Theme) -> View<'static> {
        let mut lines = vec![Line::default()];
        let rows = self.found.iter().enumerate().map(|(index, it)| {
            let mark = if index == self.at { "▸" } else { " " };
            let (at, left, all) = (it.at.strftime("%m-%d %H:%M:%SZ"), it.left, it.items);
            let shown = format!("{mark} {at}  {left} of {all} left  {}", it.what);
            Line::raw(text::fit(&shown, cells))
        });
        lines.extend(rows);
        if self.found.is_empty() {
            lines.push(Line::raw("nothing was interrupted"));
        }
        lines.push(Line::default());
        let what = "What was sent is looked for first: nothing is done twice. What no longer fits is refused.";
        let what = text::wrap(what, cells, 3).into_iter();
        lines.extend(what.map(|line| Line::styled(line, theme.dim())));
        View {
            title: "Interrupted operations".to_owned(),
            lines,
            focused_line: (!self.found.is_empty()).then_some(self.at + 1),
            buttons: vec![
                Button::new("Cancel", Ok(())),
                Button::new("Go on with it", self.chosen().map(|_| ())),
            ],
            focused_button: self.focus.button(),
            command: self.command(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::event::{Ask, Event};
    use crate::tui::harness::{Harness, now, settings};

    fn interrupted(name: &str, left: usize) -> Interrupted {
        Interrupted {
            operation: name.to_owned(),
            at: now(),
            what: "fanout redrive a --yes # and 5 more".to_owned(),
            target: "LOCAL us-east-1".to_owned(),
            items: 6,
            left,
        }
    }

    #[test]
    fn what_was_interrupted_is_told_at_the_start_and_gone_on_with() {
        let mut settings = settings();
        settings.remembers = true;
        let mut harness = Harness::with(settings);
        harness.list(&[]);
        assert!(harness.taken().contains(&Effect::Ask(Ask::Interrupted)));
        let found = vec![interrupted("20261123-1", 4), interrupted("20261122-9", 1)];
        harness.send(Event::Interrupted(Ok(found.clone())));
        let frame = harness.frame(120, 36);
        assert!(
            frame.contains("`:resume` goes on: 2 operations were interrupted"),
            "{frame}"
        );
        let mut harness = harness.keys(":resume<enter>j");
        harness.send(Event::Interrupted(Ok(found)));
        harness.check("resume");
        let mut harness = harness.keys("<tab><enter>");
        let done = harness.taken();
        assert!(
            done.contains(&Effect::Resume("20261122-9".to_owned())),
            "{done:?}"
        );
    }

    #[test]
    fn nothing_is_pressed_by_mistake_when_what_was_chosen_is_done_meanwhile() {
        let mut dialog = Resume::open(vec![interrupted("a", 1)]);
        dialog.focus.next();
        dialog.put(vec![interrupted("b", 1)]);
        assert_eq!(dialog.focus.button(), Some(0));
        dialog.focus.next();
        dialog.put(vec![interrupted("c", 1), interrupted("b", 1)]);
        let chosen = dialog.chosen().map(|it| it.operation.clone());
        assert_eq!(
            (dialog.focus.button(), chosen),
            (Some(1), Ok("b".to_owned()))
        );
    }
}
