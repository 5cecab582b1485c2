//! What the mouse does, once it is asked for: wheel, click, and drag to copy.

use crossterm::event::{KeyCode, MouseButton, MouseEvent, MouseEventKind};

use crate::tui::app::{App, Overlay};
use crate::tui::event::Effect;
use crate::tui::keys::Action;
use crate::tui::pace::Tone;
use crate::tui::screen::Screen;
use crate::tui::selection::Selection;
use crate::tui::widget::list::Move;

/// Lines that the wheel turns by.
const WHEEL: isize = 3;

#[derive(Debug, Clone, Copy, Default)]
pub struct Mouse {
    /// Off, the terminal's own selection works.
    pub is_on: bool,
    pressed: Option<(u16, u16)>,
    pub selection: Option<Selection>,
}

impl App {
    pub(super) fn switch_mouse(&mut self) -> Vec<Effect> {
        self.mouse = Mouse {
            is_on: !self.mouse.is_on,
            ..Mouse::default()
        };
        let key = self.keymap.key_of(Action::Mouse);
        let said = match self.mouse.is_on {
            true => format!("mouse on: drag copies; {key} gives it back to the terminal"),
            false => "mouse off: the terminal selects again".to_owned(),
        };
        self.say(Tone::Plain, said);
        vec![Effect::Mouse(self.mouse.is_on)]
    }

    pub(super) fn take_mouse(&mut self, event: MouseEvent) -> Vec<Effect> {
        let at = (event.column, event.row);
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) => {
                self.mouse.pressed = Some(at);
                self.mouse.selection = None;
            }
            MouseEventKind::Drag(MouseButton::Left) => {
                self.mouse.selection = self.mouse.pressed.map(|from| Selection { from, to: at });
            }
            MouseEventKind::Up(MouseButton::Left) => {
                self.mouse.pressed = None;
                return match self.mouse.selection.take() {
                    Some(selection) => vec![Effect::CopySelection(selection)],
                    None => self.click(at),
                };
            }
            MouseEventKind::ScrollUp => self.wheel(at, -WHEEL),
            MouseEventKind::ScrollDown => self.wheel(at, WHEEL),
            _ => {}
        }
        Vec::new()
    }

    /// Turns what is under the pointer: a dialog, what lies over the screen, a list, or what is
    /// beside it.
    fn wheel(&mut self, at: (u16, u16), by: isize) {
        let to = Move::Lines(by);
        if let Some(dialog) = &self.dialog {
            return dialog.scroll().go(to);
        }
        if self.overlay.is_some() {
            return self.wheel_overlay(by.signum());
        }
        let is_beside = matches!(self.screen(), Screen::Execution(it) if !it.in_payload());
        match self.places.list(at) {
            Some(false) if !is_beside => {
                self.act(Action::NextPane);
                self.move_cursor(to);
            }
            Some(false) => self.scroll(to),
            Some(true) => self.move_cursor(to),
            None if self.has_preview().is_ok() => self.scroll(to),
            None => self.move_cursor(to),
        }
    }

    fn wheel_overlay(&mut self, by: isize) {
        let to = Move::Lines(by);
        match self.overlay.take() {
            Some(Overlay::Palette(mut palette)) => {
                let len = palette.choices(self).len();
                palette.cursor.go(to, len);
                self.overlay = Some(Overlay::Palette(palette));
            }
            Some(Overlay::Transfers(mut cursor)) => {
                cursor.go(to, self.transfers.all().len());
                self.overlay = Some(Overlay::Transfers(cursor));
            }
            other => self.overlay = other,
        }
    }

    /// Presses the button there, does the palette's choice, or chooses the row or tab; a row that is
    /// chosen already is opened.
    fn click(&mut self, at: (u16, u16)) -> Vec<Effect> {
        if self.dialog.is_some() || self.target.sign_in.is_some() {
            return self.click_button(at);
        }
        if self.overlay.is_some() {
            return self.click_choice(at);
        }
        if let Some(action) = self.places.tab(at) {
            return self.act_if_available(action);
        }
        let Some(row) = self.places.row(at) else {
            return Vec::new();
        };
        if !row.has_keys {
            self.act(Action::NextPane);
        }
        match row.from_chosen {
            0 if row.has_keys => self.act_if_available(Action::Open),
            by => {
                self.move_cursor(Move::Lines(by));
                Vec::new()
            }
        }
    }

    fn click_button(&mut self, at: (u16, u16)) -> Vec<Effect> {
        let Some(button) = self.places.button(at) else {
            return Vec::new();
        };
        match (&mut self.target.sign_in, &mut self.dialog) {
            (Some(dialog), _) => dialog.focus.go_to_button(button),
            (None, Some(dialog)) => dialog.go_to_button(button),
            (None, None) => {}
        }
        self.key(KeyCode::Enter.into())
    }

    fn click_choice(&mut self, at: (u16, u16)) -> Vec<Effect> {
        let (Some(Overlay::Palette(palette)), Some(choice)) =
            (&mut self.overlay, self.places.choice(at))
        else {
            return Vec::new();
        };
        palette.cursor.at = choice;
        self.key(KeyCode::Enter.into())
    }
}
