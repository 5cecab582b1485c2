//! Glyphs and styles by meaning. A state is always a word and a glyph; colour only repeats it.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::model::RunState;

/// How things look on this terminal. The sixteen ANSI colours, so that the terminal's own scheme
/// decides about light and dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// `false` under `NO_COLOR`: modifiers only.
    pub colored: bool,
    /// No glyph outside ASCII.
    pub ascii: bool,
}

#[expect(
    clippy::unused_self,
    reason = "callers need not know which looks depend on the terminal"
)]
impl Theme {
    pub fn glyph(self, state: RunState) -> &'static str {
        let (glyph, ascii) = match state {
            RunState::Running => ("●", "*"),
            RunState::Queued => ("◌", "o"),
            RunState::Succeeded => ("✓", "+"),
            RunState::Part => ("◐", "%"),
            RunState::Failed => ("✗", "x"),
            RunState::TimedOut => ("⧖", "T"),
            RunState::Stopped => ("■", "#"),
            RunState::Redrive => ("↻", "r"),
            RunState::Expired => ("✗", "-"),
            RunState::Unknown => ("?", "?"),
        };
        if self.ascii { ascii } else { glyph }
    }

    pub fn state(self, state: RunState) -> Style {
        match state {
            RunState::Running | RunState::Redrive => self.accent(),
            RunState::Succeeded => self.good(),
            RunState::Part => self.warn(),
            RunState::Failed | RunState::TimedOut => self.bad(),
            RunState::Queued | RunState::Stopped | RunState::Expired | RunState::Unknown => {
                self.dim()
            }
        }
    }

    pub fn good(self) -> Style {
        self.color(Color::Green, Modifier::empty())
    }

    pub fn warn(self) -> Style {
        self.color(Color::Yellow, Modifier::BOLD)
    }

    pub fn bad(self) -> Style {
        self.color(Color::Red, Modifier::BOLD)
    }

    pub fn accent(self) -> Style {
        self.color(Color::Cyan, Modifier::empty())
    }

    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The cursor's row, a focused button, the current tab.
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn color(self, color: Color, without: Modifier) -> Style {
        if self.colored {
            Style::new().fg(color)
        } else {
            Style::new().add_modifier(without)
        }
    }

    /// Replaces what this terminal cannot show. Done once on the finished frame, so that nothing
    /// drawn can forget it.
    pub fn degrade(self, buffer: &mut Buffer) {
        if !self.ascii {
            return;
        }
        for cell in &mut buffer.content {
            if let Some(plain) = plain(cell.symbol()) {
                cell.set_symbol(plain);
            }
        }
    }
}

/// Glyphs that we draw, and what stands for each of them in ASCII.
const PLAIN: [(&str, &str); 16] = [
    ("─–▃▄▅", "-"),
    ("│", "|"),
    ("╭╮╰╯├┤┬┴┼✓", "+"),
    ("█■", "#"),
    ("▓✗×", "x"),
    ("▒", "="),
    ("░·", "."),
    ("▁▂", "_"),
    ("▆▇↑", "^"),
    ("▸›▶→", ">"),
    ("←", "<"),
    ("…±", "~"),
    ("●", "*"),
    ("◌", "o"),
    ("◐", "%"),
    ("↓", "v"),
];

/// The ASCII stand-in of a glyph, or of a symbol for an unprintable character. Text in other
/// scripts is left as it is: it is the user's.
fn plain(symbol: &str) -> Option<&'static str> {
    let glyph = symbol.chars().next().filter(|glyph| !glyph.is_ascii())?;
    match glyph {
        '\u{2400}'..='\u{2426}' => return Some("?"),
        '↻' => return Some("r"),
        '⧖' => return Some("T"),
        _ => {}
    }
    let (_, plain) = PLAIN.iter().find(|(glyphs, _)| glyphs.contains(glyph))?;
    Some(plain)
}
