//! What this terminal understands, by its environment, and the sequences for it: clipboard,
//! notifications, title, links. Nothing here asks the terminal: an answer may never come.

use std::fmt::Write as _;

use crossterm::Command as _;
use crossterm::clipboard::CopyToClipboard;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::tui::widget::text;

/// What must not stand in a link: it could end the sequence, or mean something to a shell.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// Longest link: some terminals take no more (OSC 8 specification, "Length limits").
const LONGEST_LINK: usize = 2_083;
/// Bytes that GNU screen passes through at once.
const SCREEN_PIECE: usize = 512;

/// What stands between us and the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Multiplexer {
    None,
    Tmux,
    Screen,
}

/// How a terminal is told to notify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notices {
    /// The bell alone.
    Bell,
    /// `OSC 9`, of iTerm2, WezTerm, Ghostty and Windows Terminal.
    Osc9,
    /// `OSC 777`, of urxvt, foot and VTE.
    Osc777,
    /// `OSC 99`, of kitty.
    Osc99,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    multiplexer: Multiplexer,
    notices: Notices,
    /// Whether links can be told without the terminal printing rubbish.
    pub links: bool,
}

impl Dialect {
    /// By the variables that terminals set.
    pub fn of(env: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| env(name).unwrap_or_default();
        let is_set = |name: &str| !var(name).is_empty();
        let (term, program) = (var("TERM"), var("TERM_PROGRAM"));
        let multiplexer = if is_set("TMUX") {
            Multiplexer::Tmux
        } else if is_set("STY") || term.starts_with("screen") {
            Multiplexer::Screen
        } else {
            Multiplexer::None
        };
        let vte: Option<u32> = var("VTE_VERSION").parse().ok();
        let notices = if is_set("KITTY_WINDOW_ID") || term.contains("kitty") {
            Notices::Osc99
        } else if matches!(program.as_str(), "iTerm.app" | "WezTerm" | "ghostty")
            || is_set("WT_SESSION")
            || var("LC_TERMINAL") == "iTerm2"
        {
            Notices::Osc9
        } else if term.starts_with("foot") || term.starts_with("rxvt") || vte.is_some() {
            Notices::Osc777
        } else {
            Notices::Bell
        };
        let prints_rubbish = ["linux", "dumb", "rxvt", "eterm", "cons25", "vt100", "vt220"]
            .iter()
            .any(|name| term.starts_with(name))
            || term.is_empty()
            || multiplexer == Multiplexer::Screen
            || is_set("INSIDE_EMACS")
            || program == "Apple_Terminal"
            || var("TERMINAL_EMULATOR") == "JetBrains-JediTerm"
            || vte.is_some_and(|version| version < 5_000);
        Self {
            multiplexer,
            notices,
            links: !prints_rubbish,
        }
    }

    /// Puts text on the clipboard (OSC 52). Under tmux both ways: itself where it may take it, and
    /// past it where that is allowed.
    pub fn copy(self, text: &str) -> String {
        let mut sequence = String::new();
        // Writing into a string cannot fail.
        let _ = CopyToClipboard::to_clipboard_from(text).write_ansi(&mut sequence);
        match self.multiplexer {
            Multiplexer::None => sequence,
            Multiplexer::Tmux => sequence.clone() + &self.past(&sequence),
            Multiplexer::Screen => self.past(&sequence),
        }
    }

    /// Says something to somebody who looks elsewhere: the bell, and words where there is a way.
    pub fn notify(self, said: &str) -> String {
        let said = text::fit(said, 200);
        // Semicolons part the members of 777; a leading number is a command of ConEmu's OSC 9.
        let words = said.replace(';', ",");
        let words = match self.notices {
            Notices::Bell => return "\x07".to_owned(),
            Notices::Osc9 => format!("\x1b]9;{words}\x07"),
            Notices::Osc777 => format!("\x1b]777;notify;fanout;{words}\x07"),
            Notices::Osc99 => format!("\x1b]99;i=fanout:d=1;{words}\x1b\\"),
        };
        format!("\x07{}", self.past(&words))
    }

    /// The sequence, so that it reaches the terminal itself.
    fn past(self, sequence: &str) -> String {
        match self.multiplexer {
            Multiplexer::None => sequence.to_owned(),
            Multiplexer::Tmux => {
                format!("\x1bPtmux;{}\x1b\\", sequence.replace('\x1b', "\x1b\x1b"))
            }
            Multiplexer::Screen => {
                let sequence = sequence.replace("\x1b\\", "\x07");
                let mut passed = String::new();
                let mut rest = sequence.as_str();
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(rest.floor_char_boundary(SCREEN_PIECE));
                    // Writing into a string cannot fail.
                    let _ = write!(passed, "\x1bP{piece}\x1b\\");
                    rest = after;
                }
                passed
            }
        }
    }
}

/// The beginning and the end of a link; `None` for an address that is too long.
pub fn link(address: &str) -> Option<(String, &'static str)> {
    let address = utf8_percent_encode(address, UNSAFE).to_string();
    (address.len() <= LONGEST_LINK).then(|| {
        // Cells of one link are drawn at different times; the same id joins them.
        let id = address.bytes().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        (
            format!("\x1b]8;id=f{id:x};{address}\x1b\\"),
            "\x1b]8;;\x1b\\",
        )
    })
}

/// The window's title.
pub fn title(said: &str) -> String {
    format!("\x1b]2;{}\x1b\\", text::fit(said, 120))
}

/// Keeps the title that there is, and brings it back.
pub const KEEP_TITLE: &str = "\x1b[22;2t";
pub const RESTORE_TITLE: &str = "\x1b[23;2t";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dialect(vars: &[(&str, &str)]) -> Dialect {
        Dialect::of(|name| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn terminals_are_told_apart_by_what_they_set() {
        for (vars, notices, links) in [
            (&[("TERM", "xterm-kitty")][..], Notices::Osc99, true),
            (
                &[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")],
                Notices::Osc9,
                true,
            ),
            (
                &[("TERM", "xterm-256color"), ("VTE_VERSION", "7600")],
                Notices::Osc777,
                true,
            ),
            (
                &[("TERM", "xterm-256color"), ("VTE_VERSION", "4602")],
                Notices::Osc777,
                false,
            ),
            (&[("TERM", "foot")], Notices::Osc777, true),
            (&[("TERM", "linux")], Notices::Bell, false),
            (&[("TERM", "screen"), ("STY", "1.x")], Notices::Bell, false),
            (&[("TERM", "xterm-256color")], Notices::Bell, true),
            (&[], Notices::Bell, false),
        ] {
            let it = dialect(vars);
            assert_eq!((it.notices, it.links), (notices, links), "{vars:?}");
        }
    }

    #[test]
    fn copies_pass_multiplexers() {
        let plain = dialect(&[("TERM", "xterm")]).copy("hi");
        assert_eq!(plain, "\x1b]52;c;aGk=\x1b\\");
        let tmux = dialect(&[("TERM", "screen"), ("TMUX", "/tmp/t,1,0")]).copy("hi");
        assert_eq!(
            tmux,
            "\x1b]52;c;aGk=\x1b\\\x1bPtmux;\x1b\x1b]52;c;aGk=\x1b\x1b\\\x1b\\"
        );
        let screen = dialect(&[("TERM", "screen"), ("STY", "1")]).copy(&"x".repeat(1_000));
        assert_eq!(screen.matches("\x1bP").count(), 3);
    }

    #[test]
    fn a_notice_is_a_bell_and_words_where_they_can_be_said() {
        assert_eq!(dialect(&[("TERM", "xterm")]).notify("x"), "\x07");
        let foot = dialect(&[("TERM", "foot")]).notify("run; ended\x1b[2J");
        assert_eq!(foot, "\x07\x1b]777;notify;fanout;run, ended␛[2J\x07");
    }

    #[test]
    fn a_link_is_joined_by_its_id_and_never_ends_early() {
        let (begin, end) = link("https://x/a b#\x1b\\\u{e9}").unwrap();
        assert!(
            begin.ends_with(";https://x/a%20b#%1B%5C%C3%A9\x1b\\"),
            "{begin:?}"
        );
        assert_eq!(end, "\x1b]8;;\x1b\\");
        assert_eq!(link(&"x".repeat(3_000)), None);
    }

    proptest! {
        /// No text from outside ends a sequence before its own end.
        #[test]
        fn what_is_said_stays_inside_its_sequence(said in any::<String>()) {
            let notice = dialect(&[("TERM", "xterm-kitty")]).notify(&said);
            prop_assert_eq!(notice.matches('\x1b').count(), 2);
            let title = title(&said);
            prop_assert_eq!(title.matches(char::is_control).count(), 2);
            if let Some((begin, _)) = link(&said) {
                prop_assert_eq!(begin.matches(char::is_control).count(), 2);
            }
        }
    }
}
