//! Dialogs: what asks before it acts. Keys go to the dialog while one is open, letters only type,
//! and enter does nothing but press the focused button, which at first is Cancel.

pub mod download;
pub mod limits;
pub mod merge;
pub mod redrive;
pub mod resume;
pub mod several;
pub mod sign_in;
pub mod start;
pub mod stop;
pub mod trail;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::tui::app::App;
use crate::tui::event::Effect;
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::View;
use crate::tui::widget::list::{Move, Scroll};

/// Above this many items the count must be typed to confirm.
pub const TYPED_ABOVE: u64 = 10_000;

#[derive(Debug, Clone)]
pub enum Dialog {
    Redrive(Box<redrive::Redrive>),
    Several(Box<several::Several>),
    Download(Box<download::Download>),
    Start(Box<start::Start>),
    Stop(Box<stop::Stop>),
    Limits(Box<limits::Limits>),
    Merge(Box<merge::Merge>),
    Trail(Box<trail::Trail>),
    Resume(Box<resume::Resume>),
}

/// What became of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Reaction {
    Stay(Vec<Effect>),
    Close(Vec<Effect>),
}

impl Reaction {
    fn nothing() -> Self {
        Self::Stay(Vec::new())
    }
}

/// Which of some fields and, after them, buttons has the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Focus {
    pub at: usize,
    pub fields: usize,
    pub buttons: usize,
}

impl Focus {
    /// On the first button, which is Cancel.
    pub fn on_cancel(fields: usize, buttons: usize) -> Self {
        Self {
            at: fields,
            fields,
            buttons,
        }
    }

    pub fn on_first_field(fields: usize, buttons: usize) -> Self {
        Self {
            at: 0,
            fields,
            buttons,
        }
    }

    pub fn next(&mut self) {
        self.at = (self.at + 1) % (self.fields + self.buttons);
    }

    pub fn previous(&mut self) {
        let all = self.fields + self.buttons;
        self.at = (self.at + all - 1) % all;
    }

    pub fn field(self) -> Option<usize> {
        (self.at < self.fields).then_some(self.at)
    }

    pub fn button(self) -> Option<usize> {
        self.at.checked_sub(self.fields)
    }

    /// Goes to a button that the mouse is about to press.
    pub fn go_to_button(&mut self, button: usize) {
        self.at = self.fields + button.min(self.buttons.saturating_sub(1));
    }

    /// Moves by a key; whether it was one that moves.
    fn key(&mut self, key: KeyEvent) -> bool {
        let on_button = self.button().is_some();
        match key.code {
            KeyCode::Tab | KeyCode::Down => self.next(),
            KeyCode::BackTab | KeyCode::Up => self.previous(),
            KeyCode::Right if on_button => self.next(),
            KeyCode::Left if on_button => self.previous(),
            _ => return false,
        }
        true
    }
}

/// Whether a key presses the focused button.
fn presses(key: KeyEvent) -> bool {
    matches!(key.code, KeyCode::Enter | KeyCode::Char(' '))
}

fn is_copy(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('y') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// Scrolls a dialog that is higher than the screen.
fn scrolls(scroll: &Scroll, key: KeyEvent) -> bool {
    match key.code {
        KeyCode::PageDown => scroll.go(Move::Pages(1)),
        KeyCode::PageUp => scroll.go(Move::Pages(-1)),
        _ => return false,
    }
    true
}

impl Dialog {
    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        if key.code == KeyCode::Esc {
            return match self {
                Self::Start(it) if it.is_inside() => {
                    it.step_out();
                    Reaction::nothing()
                }
                _ => Reaction::Close(Vec::new()),
            };
        }
        let in_list = matches!(self, Self::Start(it) if it.is_inside());
        if !in_list && scrolls(self.scroll(), key) {
            return Reaction::nothing();
        }
        match self {
            Self::Redrive(it) => it.key(key),
            Self::Several(it) => it.key(key),
            Self::Download(it) => it.key(key),
            Self::Start(it) => it.key(key),
            Self::Stop(it) => it.key(key),
            Self::Limits(it) => it.key(key),
            Self::Merge(it) => it.key(key),
            Self::Trail(it) => it.key(key),
            Self::Resume(it) => it.key(key),
        }
    }

    /// Puts the focus on a button, so that enter presses it. What one was in the middle of is left.
    pub fn go_to_button(&mut self, button: usize) {
        match self {
            Self::Redrive(it) => it.focus.go_to_button(button),
            Self::Several(it) => it.focus.go_to_button(button),
            Self::Download(it) => it.focus.go_to_button(button),
            Self::Start(it) => {
                it.step_out();
                it.focus.go_to_button(button);
            }
            Self::Stop(it) => it.focus.go_to_button(button),
            Self::Limits(it) => it.focus.go_to_button(button),
            Self::Merge(it) => it.focus.go_to_button(button),
            Self::Resume(it) => it.focus.go_to_button(button),
            // Its one button has the focus.
            Self::Trail(_) => {}
        }
    }

    pub fn paste(&mut self, pasted: &str) -> Vec<Effect> {
        match self {
            Self::Redrive(it) => it.paste(pasted),
            Self::Several(it) => it.typed.paste(pasted),
            Self::Download(it) => it.paste(pasted),
            Self::Stop(it) => it.typed.paste(pasted),
            Self::Limits(it) => it.paste(pasted),
            Self::Merge(it) => it.paste(pasted),
            Self::Trail(_) | Self::Resume(_) => {}
            Self::Start(it) => it.paste(pasted),
        }
        Vec::new()
    }

    pub fn scroll(&self) -> &Scroll {
        match self {
            Self::Redrive(it) => &it.scroll,
            Self::Several(it) => &it.scroll,
            Self::Download(it) => &it.scroll,
            Self::Start(it) => &it.scroll,
            Self::Stop(it) => &it.scroll,
            Self::Limits(it) => &it.scroll,
            Self::Merge(it) => &it.scroll,
            Self::Trail(it) => &it.scroll,
            Self::Resume(it) => &it.scroll,
        }
    }

    /// What to draw, in `cells` columns.
    pub fn view(&self, app: &App, cells: usize, theme: Theme) -> View<'static> {
        match self {
            Self::Redrive(it) => it.view(app, cells, theme),
            Self::Several(it) => it.view(cells, theme),
            Self::Download(it) => it.view(cells, theme),
            Self::Start(it) => it.view(cells, theme),
            Self::Stop(it) => it.view(app, cells, theme),
            Self::Limits(it) => it.view(app, cells, theme),
            Self::Merge(it) => it.view(app, cells, theme),
            Self::Trail(it) => it.view(cells, theme),
            Self::Resume(it) => it.view(cells, theme),
        }
    }
}
