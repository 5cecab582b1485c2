//! What lies over a screen and takes its keys: filter and search lines, the palette.

use crossterm::event::{KeyCode, KeyEvent};

use crate::tui::app::{App, Filtering};
use crate::tui::event::{Deed, Effect};
use crate::tui::pace::Tone;
use crate::tui::palette::Palette;
use crate::tui::widget::input::Field;
use crate::tui::widget::list::{Cursor, Move};

#[derive(Debug, Clone)]
pub enum Overlay {
    Filter(Filtering),
    Search(Field),
    Palette(Palette),
    /// The drawer of transfers.
    Transfers(Cursor),
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
            Overlay::Transfers(cursor) => return self.transfers_key(cursor, key),
        }
        Vec::new()
    }

    /// The drawer stays open until it is left.
    fn transfers_key(&mut self, mut cursor: Cursor, key: KeyEvent) -> Vec<Effect> {
        let len = self.transfers.all().len();
        let chosen = self.transfers.all().get(cursor.row(len)).cloned();
        let mut effects = Vec::new();
        match (key.code, chosen) {
            (KeyCode::Esc | KeyCode::Enter | KeyCode::Char('T' | 'q'), _) => return effects,
            (KeyCode::Down | KeyCode::Char('j'), _) => cursor.go(Move::Lines(1), len),
            (KeyCode::Up | KeyCode::Char('k'), _) => cursor.go(Move::Lines(-1), len),
            (KeyCode::Home, _) => cursor.go(Move::Top, len),
            (KeyCode::End | KeyCode::Char('G'), _) => cursor.go(Move::Bottom, len),
            (KeyCode::Char('c'), _) => self.transfers.clear(),
            (KeyCode::Char('x'), Some(it)) if it.is_going() => {
                effects = self.cancel(&it.deed);
            }
            (KeyCode::Char('r'), Some(it)) if !it.is_going() => {
                let is_change = it.again.as_ref().is_some_and(Effect::is_change);
                match is_change && self.read_only() {
                    true => self.say(Tone::Warn, "this session is read-only"),
                    false => effects.extend(it.again),
                }
            }
            _ => {}
        }
        self.overlay = Some(Overlay::Transfers(cursor));
        effects
    }

    fn cancel(&mut self, deed: &Deed) -> Vec<Effect> {
        if let Deed::Search(address) = deed {
            return self.stop_search(address);
        }
        self.transfers.cancelled(deed);
        vec![Effect::Cancel(deed.clone())]
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
