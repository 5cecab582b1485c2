//! What lies over a screen and takes its keys: the filter line and the palette.

use crossterm::event::{KeyCode, KeyEvent};

use crate::tui::app::App;
use crate::tui::event::Effect;
use crate::tui::filter::Filter;
use crate::tui::palette::Palette;
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Move;

#[derive(Debug, Clone)]
pub enum Overlay {
    Filter(Field),
    Search(Field),
    Palette(Palette),
}

impl App {
    pub(super) fn overlay_key(&mut self, overlay: Overlay, key: KeyEvent) -> Vec<Effect> {
        match overlay {
            Overlay::Filter(field) => self.filter_key(field, key),
            Overlay::Search(field) => self.search_key(field, key),
            Overlay::Palette(palette) => return self.palette_key(palette, key),
        }
        Vec::new()
    }

    fn filter_key(&mut self, mut field: Field, key: KeyEvent) {
        match key.code {
            KeyCode::Enter => return self.keep_filter(),
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
