//! What lies over a screen and takes its keys: filter line, command line, help.

use crossterm::event::{KeyCode, KeyEvent};

use crate::tui::app::App;
use crate::tui::command;
use crate::tui::event::Effect;
use crate::tui::filter::Filter;
use crate::tui::keys::{self, Keymap};
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Move;

#[derive(Debug, Clone)]
pub enum Overlay {
    Filter(Field),
    Command(CommandLine),
    Help(Help),
}

#[derive(Debug, Clone, Default)]
pub struct CommandLine {
    pub field: Field,
    pub candidates: Vec<String>,
    /// The candidate that tab chose last.
    pub chosen: Option<usize>,
}

#[derive(Debug, Clone, Default)]
pub struct Help {
    pub query: Field,
    pub at: usize,
}

impl Help {
    /// Entries of the table that fit the query.
    pub fn entries(&self, keymap: &Keymap) -> Vec<(&'static keys::Binding, String)> {
        let filter = Filter::new(self.query.value());
        let rows = keys::BINDINGS
            .iter()
            .map(|it| (it, keymap.keys_of(it.action)));
        rows.filter(|(binding, keys)| {
            filter.matches(&[
                ("action", binding.name),
                ("key", keys),
                ("help", binding.help),
            ])
        })
        .collect()
    }
}

impl App {
    pub(super) fn overlay_key(&mut self, overlay: Overlay, key: KeyEvent) -> Vec<Effect> {
        match overlay {
            Overlay::Filter(field) => self.filter_key(field, key),
            Overlay::Command(line) => return self.command_key(line, key),
            Overlay::Help(help) => return self.help_key(help, key),
        }
        Vec::new()
    }

    fn filter_key(&mut self, mut field: Field, key: KeyEvent) {
        match key.code {
            KeyCode::Enter => return,
            KeyCode::Esc => field = Field::default(),
            KeyCode::Down => return self.move_cursor(Move::Lines(1)),
            _ => {
                field.key(key);
            }
        }
        self.screen_mut().set_filter(Filter::new(field.value()));
        if key.code != KeyCode::Esc {
            self.overlay = Some(Overlay::Filter(field));
        }
    }

    fn command_key(&mut self, mut line: CommandLine, key: KeyEvent) -> Vec<Effect> {
        match key.code {
            KeyCode::Esc => return Vec::new(),
            KeyCode::Enter => return self.command(line.field.value()),
            KeyCode::Tab | KeyCode::BackTab => self.complete(&mut line, key.code),
            _ => {
                line.field.key(key);
                line.candidates.clear();
                line.chosen = None;
            }
        }
        self.overlay = Some(Overlay::Command(line));
        Vec::new()
    }

    fn complete(&self, line: &mut CommandLine, key: KeyCode) {
        if line.chosen.is_none() {
            let names: Vec<&str> = self
                .data()
                .executions()
                .iter()
                .map(|it| it.name.as_str())
                .collect();
            line.candidates = command::completions(line.field.value(), &names);
        }
        let count = line.candidates.len();
        if count == 0 {
            return;
        }
        let next = match (line.chosen, key) {
            (None, _) => 0,
            (Some(at), KeyCode::BackTab) => (at + count - 1) % count,
            (Some(at), _) => (at + 1) % count,
        };
        line.chosen = Some(next);
        line.field.set(line.candidates[next].clone());
    }

    fn help_key(&mut self, mut help: Help, key: KeyEvent) -> Vec<Effect> {
        let entries = help.entries(&self.keymap);
        match key.code {
            KeyCode::Esc => return Vec::new(),
            KeyCode::Enter => {
                let chosen = entries.get(help.at).map(|(binding, _)| binding.action);
                return chosen.map_or_else(Vec::new, |action| self.act_if_available(action));
            }
            KeyCode::Down => help.at = (help.at + 1).min(entries.len().saturating_sub(1)),
            KeyCode::Up => help.at = help.at.saturating_sub(1),
            _ => {
                help.query.key(key);
                help.at = 0;
            }
        }
        self.overlay = Some(Overlay::Help(help));
        Vec::new()
    }
}
