//! Glyphs and styles by meaning. A state is always a word and a glyph; colour only repeats it.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::model::RunState;
use crate::tui::history::trace::Outcome;

/// Which colours mean what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Palette {
    /// The terminal's own sixteen, so that its scheme decides about light and dark.
    #[default]
    Terminal,
    Dark,
    Light,
    /// White on black, nothing dimmed.
    HighContrast,
    /// For eyes that take green for red.
    Deuteranopia,
    /// For eyes that see red as dark.
    Protanopia,
    /// For eyes that take blue for green.
    Tritanopia,
    /// Modifiers only, as under `NO_COLOR`.
    Mono,
}

impl Palette {
    pub const ALL: [Self; 8] = [
        Self::Terminal,
        Self::Dark,
        Self::Light,
        Self::HighContrast,
        Self::Deuteranopia,
        Self::Protanopia,
        Self::Tritanopia,
        Self::Mono,
    ];

    /// As `theme` in the configuration names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Dark => "dark",
            Self::Light => "light",
            Self::HighContrast => "high-contrast",
            Self::Deuteranopia => "deuteranopia",
            Self::Protanopia => "protanopia",
            Self::Tritanopia => "tritanopia",
            Self::Mono => "mono",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The colours, where there are any. Of the 256 that nearly every terminal has: direct colour
    /// is lost in some multiplexers.
    fn colors(self) -> Option<Colors> {
        let indexed = |[good, warn, bad, accent]: [u8; 4]| Colors {
            good: Color::Indexed(good),
            warn: Color::Indexed(warn),
            bad: Color::Indexed(bad),
            accent: Color::Indexed(accent),
        };
        match self {
            Self::Terminal => Some(Colors {
                good: Color::Green,
                warn: Color::Yellow,
                bad: Color::Red,
                accent: Color::Cyan,
            }),
            Self::Dark => Some(indexed([114, 221, 203, 80])),
            Self::Light => Some(indexed([22, 94, 124, 24])),
            Self::HighContrast => Some(indexed([120, 226, 210, 123])),
            // After Okabe and Ito's colours: sky blue, yellow, vermillion or orange, purple.
            Self::Deuteranopia => Some(indexed([33, 227, 166, 183])),
            Self::Protanopia => Some(indexed([69, 227, 166, 231])),
            Self::Tritanopia => Some(indexed([79, 175, 197, 231])),
            Self::Mono => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Colors {
    good: Color,
    warn: Color,
    bad: Color,
    accent: Color,
}

/// How things look on this terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Theme {
    pub palette: Palette,
    /// No glyph outside ASCII.
    pub ascii: bool,
}

#[expect(
    clippy::unused_self,
    reason = "callers need not know which looks depend on the terminal"
)]
impl Theme {
    /// `palette` as far as this terminal can show it. `NO_COLOR` (no-color.org) wins over all; a
    /// terminal of sixteen colours shows its own.
    pub fn on_this_terminal(palette: Palette, ascii: bool) -> Self {
        const INDEXED: u16 = 256;
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let palette = match palette {
            _ if no_color => Palette::Mono,
            Palette::Mono => Palette::Mono,
            _ if crossterm::style::available_color_count() < INDEXED => Palette::Terminal,
            palette => palette,
        };
        Self { palette, ascii }
    }

    /// Glyph, word and style of what became of a state.
    pub fn outcome(self, outcome: Outcome) -> (&'static str, &'static str, Style) {
        let (glyph, style) = match outcome {
            Outcome::Running => ("●", self.accent()),
            Outcome::Retrying => ("↻", self.warn()),
            Outcome::Succeeded => ("✓", self.good()),
            Outcome::Caught => ("◐", self.warn()),
            Outcome::Failed => ("✗", self.bad()),
            Outcome::TimedOut => ("⧖", self.bad()),
            Outcome::Stopped => ("■", self.dim()),
        };
        (glyph, outcome.word(), style)
    }

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

    /// Of an execution that succeeded, while nobody knows whether all its items did.
    pub fn ended_well(self) -> &'static str {
        if self.ascii { "." } else { "·" }
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
        self.color(|colors| colors.good, Modifier::empty())
    }

    pub fn warn(self) -> Style {
        self.color(|colors| colors.warn, Modifier::BOLD)
    }

    pub fn bad(self) -> Style {
        self.color(|colors| colors.bad, Modifier::BOLD)
    }

    pub fn accent(self) -> Style {
        self.color(|colors| colors.accent, Modifier::empty())
    }

    /// What matters less, or is old.
    pub fn dim(self) -> Style {
        match self.palette {
            Palette::HighContrast => Style::new(),
            _ => Style::new().add_modifier(Modifier::DIM),
        }
    }

    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The cursor's row, a focused button, the current tab.
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn color(self, which: impl Fn(Colors) -> Color, without: Modifier) -> Style {
        match self.palette.colors() {
            Some(colors) => Style::new().fg(which(colors)),
            None => Style::new().add_modifier(without),
        }
    }

    /// Puts the ground under the finished frame and replaces what this terminal cannot show. Done
    /// once at the end, so that nothing drawn can forget it.
    pub fn finish(self, buffer: &mut Buffer) {
        if self.palette == Palette::HighContrast {
            for cell in &mut buffer.content {
                if cell.fg == Color::Reset {
                    cell.fg = Color::Indexed(231);
                }
                if cell.bg == Color::Reset {
                    cell.bg = Color::Indexed(16);
                }
            }
        }
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
const PLAIN: [(&str, &str); 19] = [
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
    ("▾▼", "v"),
    ("≤", "<"),
    ("≥", ">"),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// sRGB of one of the 256 colours, 0 to 1 (xterm's cube and greys).
    fn rgb(color: Color) -> [f64; 3] {
        let Color::Indexed(index) = color else {
            panic!("{color:?} has no fixed value")
        };
        let level = |step: u8| match step {
            0 => 0.0,
            step => (55.0 + 40.0 * f64::from(step)) / 255.0,
        };
        match index {
            16..=231 => {
                let cube = index - 16;
                [cube / 36, cube / 6 % 6, cube % 6].map(level)
            }
            232.. => [(8.0 + 10.0 * f64::from(index - 232)) / 255.0; 3],
            _ => panic!("{index} is the terminal's own"),
        }
    }

    fn linear(channel: f64) -> f64 {
        if channel <= 0.040_45 {
            channel / 12.92
        } else {
            ((channel + 0.055) / 1.055).powf(2.4)
        }
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(color: Color) -> f64 {
        let [red, green, blue] = rgb(color).map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(one: f64, other: f64) -> f64 {
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    fn of(palette: Palette) -> [Color; 4] {
        let colors = palette.colors().unwrap();
        [colors.good, colors.warn, colors.bad, colors.accent]
    }

    #[test]
    fn every_colour_can_be_read_on_its_ground() {
        for (palette, ground, least) in [
            (Palette::Dark, 0.0, 4.5),
            (Palette::Light, 1.0, 4.5),
            (Palette::HighContrast, 0.0, 7.0),
            (Palette::Deuteranopia, 0.0, 4.5),
            (Palette::Protanopia, 0.0, 4.5),
            (Palette::Tritanopia, 0.0, 4.5),
        ] {
            for color in of(palette) {
                let found = contrast(luminance(color), ground);
                assert!(found >= least, "{palette:?} {color:?}: {found:.1}");
            }
        }
    }

    /// Distance of two colours as such eyes see them: sRGB through the matrices of Machado,
    /// Oliveira and Fernandes (2009) at full severity.
    fn seen_apart(one: Color, other: Color, sight: [[f64; 3]; 3]) -> f64 {
        let seen = |color: Color| {
            let rgb = rgb(color).map(linear);
            sight.map(|row| {
                row.iter()
                    .zip(rgb)
                    .map(|(share, part)| share * part)
                    .sum::<f64>()
            })
        };
        let perceived = |part: f64| part.clamp(0.0, 1.0).powf(1.0 / 2.4);
        let (one, other) = (seen(one), seen(other));
        let squares = one.iter().zip(other);
        squares
            .map(|(one, other)| (perceived(*one) - perceived(other)).powi(2))
            .sum::<f64>()
            .sqrt()
    }

    #[test]
    fn colour_blind_eyes_tell_the_meanings_apart() {
        let deuteranopia = [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ];
        let protanopia = [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ];
        let tritanopia = [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ];
        for (palette, sight) in [
            (Palette::Deuteranopia, deuteranopia),
            (Palette::Protanopia, protanopia),
            (Palette::Tritanopia, tritanopia),
        ] {
            let colors = of(palette);
            for (index, one) in colors.iter().enumerate() {
                for other in &colors[index + 1..] {
                    let apart = seen_apart(*one, *other, sight);
                    assert!(apart >= 0.2, "{palette:?} {one:?} {other:?}: {apart:.2}");
                }
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for palette in Palette::ALL {
            assert_eq!(Palette::named(palette.name()), Some(palette));
        }
        assert_eq!(Palette::ALL.map(Palette::name), crate::config::THEMES);
        assert_eq!(Palette::named("solarized"), None);
    }

    #[test]
    fn high_contrast_brings_its_own_ground() {
        let mut buffer = Buffer::empty(ratatui::layout::Rect::new(0, 0, 2, 1));
        buffer[(0, 0)].set_fg(Color::Indexed(226));
        let theme = Theme {
            palette: Palette::HighContrast,
            ascii: false,
        };
        theme.finish(&mut buffer);
        assert_eq!(buffer[(0, 0)].fg, Color::Indexed(226));
        assert_eq!(buffer[(1, 0)].fg, Color::Indexed(231));
        assert_eq!(buffer[(1, 0)].bg, Color::Indexed(16));
        assert_eq!(theme.dim(), Style::new());
    }
}
