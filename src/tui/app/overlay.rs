//! What lies over a screen and takes its keys: filter and search lines, the palette.

use crossterm::event::{KeyCode, KeyEvent};

use crate::tui::app::{App, Filtering};
use crate::tui::event::Effect;
use crate::tui::palette::Palette;
use crate::tui::widget::input::Field;

#[derive(Debug, Clone)]
pub enum Overlay {
    Filter(Filtering),
    Search(Field),
    Palette(Palette),
}

impl App {
    pub(super) fn overlay_key(&mut self, overlay: Overlay, key: KeyEvent) -> Vec<Effect> {
        match overlay {
            Overlay::Filter(line) => self.filter_key(line, key),
            Overlay::Search(field) if self.is_reading() => {
                return self.object_search_key(field, key);
            }
            Overlay::Search(field) => self.search_key(field, key),
            Overlay::Palette(palette) => return self.palette_key(palette, key),
        }
        Vec::new()
    }

    /// Reading an object costs: the search begins with enter.
    fn object_search_key(&mut self, mut field: Field, key: KeyEvent) -> Vec<Effect> {
        match key.code {
            KeyCode::Enter => return self.search_object(field.value()),
            KeyCode::Esc => return Vec::new(),
            _ => {
                field.key(key);
            }
        }
        self.overlay = Some(Overlay::Search(field));
        Vec::new()
    }

    /// Finds while it is typed; enter keeps it for the keys that go on from there.
    fn search_key(&mut self, mut field: Field, key: KeyEvent) {
        match key.code {
            KeyCode::Enter => return self.count_matches(),
            KeyCode::Esc => field = Field::default(),
            _ => {
                field.key(key);
            }
        }
        self.search_for(field.value().to_owned());
        if key.code != KeyCode::Esc {
            self.overlay = Some(Overlay::Search(field));
        }
    }
}
