//! What all lists have in common: titles, the rows in sight, and a strip over the chosen one.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::tui::app::App;
use crate::tui::screen::places::{Rows, below_header};
use crate::tui::widget::list::Cursor;
use crate::tui::widget::pane;
use crate::tui::widget::table::{self, Column};

/// A list that takes a line for each of `len` rows.
pub struct List<'a> {
    pub columns: &'a [Column],
    pub cursor: &'a Cursor,
    pub len: usize,
    /// Whether the keys move in it.
    pub has_keys: bool,
}

/// What of a list is in sight.
pub struct Shown {
    pub rows: Range<usize>,
    pub chosen: usize,
}

impl List<'_> {
    /// Draws the titles, and notes for the mouse where the rows will be: on the lines from 1 on.
    pub fn begin(&self, app: &App, buffer: &mut Buffer, area: Rect) -> Shown {
        let titles = table::header(self.columns, app.theme().dim());
        pane::line(buffer, area, 0, titles);
        let height = area.height.saturating_sub(1) as usize;
        let chosen = self.cursor.row(self.len);
        let rows = self.cursor.window(self.len, height);
        app.places.note_rows(Rows {
            area: below_header(area),
            height: 1,
            first: rows.start,
            chosen,
            len: self.len,
            has_keys: self.has_keys,
        });
        Shown { rows, chosen }
    }
}

/// Draws a row; the chosen one is a strip over the whole width.
pub fn row(buffer: &mut Buffer, area: Rect, line: u16, row: Line<'_>, chosen: Option<Style>) {
    pane::line(buffer, area, line, row);
    if let Some(style) = chosen {
        let strip = Rect::new(area.x, area.y + line, area.width, 1);
        buffer.set_style(strip, style);
    }
}
