//! One line of text that the user edits.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Style;
use ratatui::text::Span;
use tui_input::{Input, InputRequest};

use crate::tui::widget::text;

/// Longest text a field takes: far above any path or name, far below what slows a frame.
const LONGEST: usize = 8_192;

#[derive(Debug, Clone, Default)]
pub struct Field {
    input: Input,
}

impl Field {
    pub fn new(value: impl Into<String>) -> Self {
        Self {
            input: Input::new(value.into()),
        }
    }

    pub fn value(&self) -> &str {
        self.input.value()
    }

    pub fn set(&mut self, value: impl Into<String>) {
        self.input = Input::new(value.into());
    }

    /// Edits by a key; whether the key meant anything here.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let request = match key.code {
            KeyCode::Char('a') if ctrl => InputRequest::GoToStart,
            KeyCode::Char('e') if ctrl => InputRequest::GoToEnd,
            KeyCode::Char('u') if ctrl => InputRequest::DeleteLine,
            KeyCode::Char('k') if ctrl => InputRequest::DeleteTillEnd,
            KeyCode::Char('w') if ctrl => InputRequest::DeletePrevWord,
            KeyCode::Char('b') if alt => InputRequest::GoToPrevWord,
            KeyCode::Char('f') if alt => InputRequest::GoToNextWord,
            KeyCode::Char(_) if ctrl || alt => return false,
            KeyCode::Char(typed) => return self.insert(typed),
            KeyCode::Backspace => InputRequest::DeletePrevChar,
            KeyCode::Delete => InputRequest::DeleteNextChar,
            KeyCode::Left => InputRequest::GoToPrevChar,
            KeyCode::Right => InputRequest::GoToNextChar,
            KeyCode::Home => InputRequest::GoToStart,
            KeyCode::End => InputRequest::GoToEnd,
            _ => return false,
        };
        self.input.handle(request);
        true
    }

    /// Pasted text; line breaks never press a button, they are left out.
    pub fn paste(&mut self, pasted: &str) {
        for typed in pasted.chars().filter(|typed| !typed.is_control()) {
            if !self.insert(typed) {
                break;
            }
        }
    }

    fn insert(&mut self, typed: char) -> bool {
        let room = self.value().len() < LONGEST;
        if room {
            self.input.handle(InputRequest::InsertChar(typed));
        }
        room
    }

    /// The part around the cursor in exactly `cells` cells, with the cursor as a reversed cell
    /// when `focused`.
    pub fn spans(&self, cells: usize, focused: Option<Style>) -> Vec<Span<'static>> {
        let value = text::visible(self.value());
        let Some(cursor_style) = focused else {
            return vec![Span::raw(text::left(&text::middle(&value, cells), cells))];
        };
        let before: String = self.value().chars().take(self.input.cursor()).collect();
        let before = text::visible(&before);
        let after = value.strip_prefix(&before).unwrap_or_default();
        let mut rest = after.chars();
        let under = rest.next().map_or_else(|| " ".to_owned(), String::from);
        let room = cells.saturating_sub(text::width(&under));
        let start = ending(&before, room);
        let end = text::fit(rest.as_str(), room - text::width(&start));
        let used = text::width(&start) + text::width(&under) + text::width(&end);
        vec![
            Span::raw(start),
            Span::styled(under, cursor_style),
            Span::raw(end),
            Span::raw(" ".repeat(cells.saturating_sub(used))),
        ]
    }
}

/// The end of `shown` in at most `cells` cells.
fn ending(shown: &str, cells: usize) -> String {
    let mut start = 0;
    while text::width(&shown[start..]) > cells {
        start += shown[start..].chars().next().map_or(1, char::len_utf8);
    }
    shown[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_line_break_is_not_typed() {
        let mut field = Field::default();
        field.paste("s3://in/a\n\x1b[2Jb");
        assert_eq!(field.value(), "s3://in/a[2Jb");
    }

    #[test]
    fn a_long_value_shows_its_end_at_the_cursor() {
        let field = Field::new("a/very/long/path/to/a/file.txt");
        let shown: String = field
            .spans(10, Some(Style::new()))
            .iter()
            .map(|span| span.content.to_string())
            .collect();
        assert_eq!(shown, "/file.txt ");
    }
}
