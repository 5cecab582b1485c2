//! The trail: what was changed from this machine, newest last.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::text::Line;

use crate::model::Timestamp;
use crate::operations::trail::Entry;
use crate::tui::data::Remote;
use crate::tui::dialog::{Reaction, is_copy};
use crate::tui::event::{Effect, Reply};
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{Button, View};
use crate::tui::widget::list::Scroll;
use crate::tui::widget::text;
use crate::tui::zone;

#[derive(Debug, Clone, Default)]
pub struct Trail {
    entries: Remote<Vec<Entry>>,
    /// From the newest.
    at: usize,
    pub scroll: Scroll,
}

impl Trail {
    pub fn put(&mut self, reply: Reply<Vec<Entry>>, now: Timestamp) {
        self.entries.put(reply, now);
    }

    fn chosen(&self) -> Option<&Entry> {
        let entries = self.entries.get()?;
        entries.get(entries.len().checked_sub(self.at + 1)?)
    }

    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        let last = self
            .entries
            .get()
            .map_or(0, |it| it.len().saturating_sub(1));
        match key.code {
            _ if is_copy(key) => return self.copy(),
            KeyCode::Char('y') => return self.copy(),
            KeyCode::Char('j') | KeyCode::Down => self.at = (self.at + 1).min(last),
            KeyCode::Char('k') | KeyCode::Up => self.at = self.at.saturating_sub(1),
            KeyCode::Char('g') | KeyCode::Home => self.at = 0,
            KeyCode::Char('G') | KeyCode::End => self.at = last,
            KeyCode::Enter | KeyCode::Char('@' | 'q') => return Reaction::Close(Vec::new()),
            _ => {}
        }
        Reaction::nothing()
    }

    fn copy(&self) -> Reaction {
        let command = self
            .chosen()
            .map(|entry| Effect::Copy(entry.command.clone()));
        Reaction::Stay(command.into_iter().collect())
    }

    pub fn view(&self, cells: usize, theme: Theme) -> View<'static> {
        let mut lines = Vec::new();
        match &self.entries {
            Remote::Waiting => lines.push(Line::raw("reading the trail…")),
            Remote::Failed { trouble, .. } => {
                let shown = text::wrap(&trouble.text, cells, 4).into_iter();
                lines.extend(shown.map(|line| Line::styled(line, theme.bad())));
            }
            Remote::Known { value, .. } if value.is_empty() => {
                lines.push(Line::raw("nothing was changed from this machine"));
            }
            Remote::Known { value, .. } => {
                let rows = value.iter().rev().enumerate();
                lines.extend(rows.map(|(index, entry)| self.row(index, entry, cells, theme)));
            }
        }
        View {
            title: "Trail: changes made from this machine".to_owned(),
            lines,
            focused_line: self.chosen().map(|_| self.at),
            buttons: vec![Button::new("Close", Ok(()))],
            focused_button: Some(0),
            command: self.chosen().map(|entry| entry.command.clone()),
        }
    }

    fn row(&self, index: usize, entry: &Entry, cells: usize, theme: Theme) -> Line<'static> {
        let mark = if index == self.at { "▸" } else { " " };
        let at = zone::format_in_full(entry.at, "%m-%d %H:%M:%S");
        let (sign, style) = match &entry.outcome {
            Ok(()) => ("✓", ratatui::style::Style::new()),
            Err(_) => ("✗", theme.bad()),
        };
        let error = match &entry.outcome {
            Err(error) => format!("{error}: "),
            Ok(()) => String::new(),
        };
        let shown = format!(
            "{mark}{sign} {at}  {}  {}  {error}{}",
            entry.who, entry.target, entry.command
        );
        Line::styled(text::fit(&shown, cells), style)
    }
}
