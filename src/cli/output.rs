//! Answers to stdout, messages to stderr, and nothing from outside that a terminal would obey.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

use crate::cli::args::{Color, Global};
use crate::cli::exit::Error;
use crate::cli::interrupt::while_asking;
use crate::operations::Progress;

/// Version of the JSON documents. Members may be added under the same one.
pub const VERSION: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines for a person.
    Text,
    /// One document.
    Json,
    /// One document a line, as they come.
    Ndjson,
}

/// Where a verb's answer goes.
pub struct Output {
    out: Box<dyn Write + Send>,
    pub format: Format,
    is_terminal: bool,
}

impl Output {
    pub fn stdout(global: &Global) -> Self {
        let format = match (global.json, global.ndjson) {
            (true, _) => Format::Json,
            (_, true) => Format::Ndjson,
            _ => Format::Text,
        };
        Self::to(
            Box::new(io::BufWriter::new(io::stdout())),
            format,
            io::stdout().is_terminal(),
        )
    }

    pub fn to(out: Box<dyn Write + Send>, format: Format, is_terminal: bool) -> Self {
        Self {
            out,
            format,
            is_terminal,
        }
    }

    pub fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// One line for a person, whatever is in `text`.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<(), Error> {
        writeln!(self.out, "{}", visible(text.as_ref()))?;
        Ok(self.out.flush()?)
    }

    /// A document: over several lines with `--json`, on one otherwise.
    pub fn document(&mut self, document: &impl Serialize) -> Result<(), Error> {
        let text = match self.format {
            Format::Ndjson => serde_json::to_string(document),
            Format::Json | Format::Text => serde_json::to_string_pretty(document),
        };
        let text = text.map_err(io::Error::other)?;
        writeln!(self.out, "{}", harmless_json(&text))?;
        Ok(self.out.flush()?)
    }

    /// One of many documents: `row`, which is an object, with the version before its members.
    pub fn row(&mut self, row: &impl Serialize) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Versioned<'a, T> {
            version: u32,
            #[serde(flatten)]
            row: &'a T,
        }
        self.document(&Versioned {
            version: VERSION,
            row,
        })
    }

    /// Bytes as they are to a file or pipe; harmless text to a terminal.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self.is_terminal {
            false => self.out.write_all(bytes)?,
            true => {
                let text = String::from_utf8_lossy(bytes);
                for piece in text.split_inclusive('\n') {
                    let line = piece.trim_end_matches(['\n', '\r']);
                    let end = &piece[line.len()..];
                    self.out.write_all(visible(line).as_bytes())?;
                    if end.ends_with('\n') {
                        self.out.write_all(b"\n")?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Text that we made ourselves, as it is: scripts, pages.
    pub fn raw(&mut self, text: &[u8]) -> Result<(), Error> {
        self.out.write_all(text)?;
        Ok(self.out.flush()?)
    }

    pub fn flush(&mut self) -> Result<(), Error> {
        Ok(self.out.flush()?)
    }
}

/// `text` on one line, with control characters and escape sequences shown instead of obeyed, and
/// without what reorders or hides text.
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('·'),
            '\u{7f}' => '\u{2421}',
            _ if is_treacherous(c) => '·',
            _ => c,
        })
        .collect()
}

/// Control characters, and formatting ones that reorder text or break lines.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{061C}')
}

/// The same JSON with what JSON leaves as it is, and a terminal would not, escaped.
fn harmless_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => text.push(c),
            _ if is_treacherous(c) => {
                // All of them are in the basic plane, and occur in strings only.
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            _ => text.push(c),
        }
    }
    text
}

/// Says something on stderr. Nobody listening is fine.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "{}", visible(text.as_ref()));
}

/// Reports an error and its hint on stderr.
pub fn report(error: &Error, color: Color) {
    if error.text.is_empty() {
        return;
    }
    let (start, end) = match is_coloured(color) {
        true => ("\x1b[1;31m", "\x1b[0m"),
        false => ("", ""),
    };
    let _ = writeln!(io::stderr(), "{start}error:{end} {}", visible(&error.text));
    if let Some(hint) = &error.hint {
        note(format!("hint: {hint}"));
    }
}

fn is_coloured(color: Color) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => !is_set("NO_COLOR") && (is_set("CLICOLOR_FORCE") || is_drawable()),
    }
}

/// Whether something on stderr may be drawn over.
fn is_drawable() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !dumb && std::env::var_os("CI").is_none()
}

/// A line on stderr that is drawn over as bytes go by; silent where that cannot be.
pub struct Meter {
    what: String,
    shown: std::sync::Mutex<Option<u64>>,
}

impl Meter {
    pub fn new(global: &Global, what: impl Into<String>) -> Self {
        let drawn = is_drawable() && !global.plain;
        Self {
            what: visible(&what.into()),
            shown: std::sync::Mutex::new(drawn.then_some(u64::MAX)),
        }
    }

    pub fn show(&self, progress: Progress) {
        let percent = match progress.total {
            0 => 100,
            total => progress.done.saturating_mul(100) / total,
        };
        let Ok(mut shown) = self.shown.lock() else {
            return;
        };
        if shown.is_none_or(|shown| shown == percent) {
            return;
        }
        *shown = Some(percent);
        let end = if percent == 100 { "\n" } else { "" };
        let _ = write!(io::stderr(), "\r\x1b[K{} {percent} %{end}", self.what);
    }
}

/// Asks before something is changed.
///
/// # Errors
/// `Refused` when the answer is no, or nobody can be asked and `--yes` was not given.
pub fn confirm(global: &Global, question: &str) -> Result<(), Error> {
    if global.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !is_drawable() {
        return Err(Error::refused(format!(
            "{question} nobody can be asked without a terminal, so nothing was done"
        ))
        .hint("give --yes to do it without being asked"));
    }
    let _ = write!(io::stderr(), "{} [y/N] ", visible(question));
    let _ = io::stderr().flush();
    let mut answer = String::new();
    while_asking(|| io::stdin().read_line(&mut answer))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::refused("nothing was done")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panics").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn captured(format: Format, write: impl FnOnce(&mut Output)) -> String {
        let sink = Captured::default();
        write(&mut Output::to(Box::new(sink.clone()), format, true));
        let bytes = sink.0.lock().expect("no panics").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_terminal_is_never_commanded() {
        let hostile = "a\u{1b}[2Jb\rc\u{9b}31md\u{202e}e\nf";
        let line = captured(Format::Text, |out| out.line(hostile).expect("memory"));
        assert_eq!(line, "a␛[2Jb␍c·31md·e␊f\n");
        let file = captured(Format::Text, |out| {
            out.bytes(b"x\x1b]0;\nb\r\n").expect("memory");
        });
        assert_eq!(file, "x␛]0;\nb\n");
    }

    proptest! {
        #[test]
        fn json_stays_the_same_json(text in any::<String>()) {
            let value = json!({"text": text});
            let written = captured(Format::Ndjson, |out| out.document(&value).expect("memory"));
            prop_assert_eq!(written.matches('\n').count(), 1);
            prop_assert!(!written.trim_end().chars().any(is_treacherous));
            let read: Value = serde_json::from_str(&written).expect("JSON");
            prop_assert_eq!(read, value);
        }
    }
}
