//! Stop an execution: what ends, and what can be done after.

use crossterm::event::KeyEvent;
use ratatui::text::Line;

use crate::model::ExecutionArn;
use crate::tui::app::App;
use crate::tui::dialog::{Focus, Reaction, TYPED_ABOVE, is_copy, presses};
use crate::tui::event::Effect;
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{figures, text};

#[derive(Debug, Clone)]
pub struct Stop {
    execution: ExecutionArn,
    /// What is typed to confirm: items not ended when the dialog opened, or where that is not
    /// known the one run. `None` where a key is enough.
    to_type: Option<u64>,
    pub typed: Field,
    pub(super) focus: Focus,
    pub scroll: Scroll,
}

impl Stop {
    /// `unfinished` items; `None` is unknown.
    pub fn open(execution: ExecutionArn, unfinished: Option<u64>, is_prod: bool) -> Self {
        let many = unfinished.filter(|items| *items > TYPED_ABOVE);
        let to_type = many.or_else(|| is_prod.then(|| unfinished.unwrap_or(1)));
        Self {
            execution,
            to_type,
            typed: Field::default(),
            focus: Focus::on_cancel(usize::from(to_type.is_some()), 2),
            scroll: Scroll::default(),
        }
    }

    fn ready(&self) -> Result<(), String> {
        let typed: String = self
            .typed
            .value()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        match self.to_type {
            Some(number) if typed != number.to_string() => {
                Err("type the number of items first".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn command(&self) -> String {
        format!("fanout stop {} --yes", self.execution.name())
    }

    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        if is_copy(key) {
            return Reaction::Stay(vec![Effect::Copy(self.command())]);
        }
        if self.focus.field().is_some() && self.typed.key(key) {
            return Reaction::nothing();
        }
        if self.focus.key(key) || !presses(key) {
            return Reaction::nothing();
        }
        match (self.focus.button(), self.ready()) {
            (Some(0), _) => Reaction::Close(Vec::new()),
            (Some(_), Ok(())) => Reaction::Close(vec![Effect::Stop(self.execution.clone())]),
            _ => Reaction::nothing(),
        }
    }

    pub fn view(&self, app: &App, cells: usize, theme: Theme) -> View<'static> {
        let mut lines = vec![Line::default()];
        let running = app.data().map_run(&self.execution).map(|it| it.items);
        let figure = |number: Option<u64>| text::right(&figures::maybe(number), 14);
        let row = |label: &str, number: Option<u64>| {
            Line::raw(format!("  {}{}", text::left(label, 28), figure(number)))
        };
        lines.push(row("items running, aborted", running.map(|it| it.running)));
        lines.push(row(
            "items that will not start",
            running.map(|it| it.pending),
        ));
        lines.push(row("items succeeded, kept", running.map(|it| it.succeeded)));
        lines.push(Line::default());
        for part in text::wrap(
            "A stopped run can be redriven for 14 days: it then goes on with everything that has not succeeded.",
            cells,
            3,
        ) {
            lines.push(Line::raw(part));
        }
        let mut focused_line = None;
        if let Some(number) = self.to_type {
            let shown = match number {
                1 => "type 1 to confirm".to_owned(),
                items => {
                    let items = figures::count(items);
                    format!("{items} items have not ended: type that number to confirm")
                }
            };
            lines.push(Line::default());
            lines.push(Line::raw(shown));
            focused_line = self.focus.field().map(|_| lines.len());
            let focused = focused_line.is_some();
            lines.push(dialog::field("", 0, &self.typed, 24, focused, theme));
        }
        View {
            title: format!("Stop {}", text::middle(self.execution.name(), 60)),
            lines,
            focused_line,
            buttons: vec![
                Button::new("Keep it running", Ok(())),
                Button::new("Stop the run", self.ready()),
            ],
            focused_button: self.focus.button(),
            command: Some(self.command()),
        }
    }
}
