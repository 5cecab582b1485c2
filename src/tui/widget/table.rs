//! Rows of cells in columns of fixed width. Cells are cut to their column, never the row.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::tui::widget::text;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
    /// Left, and cut in the middle: for names.
    Name,
}

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    /// Cells, without the gap of one that follows.
    pub width: usize,
    pub align: Align,
}

impl Column {
    pub const fn new(title: &'static str, width: usize, align: Align) -> Self {
        Self {
            title,
            width,
            align,
        }
    }

    fn cell(&self, content: &str) -> String {
        match self.align {
            Align::Left => text::left(&text::fit(content, self.width), self.width),
            Align::Right => text::right(&text::fit(content, self.width), self.width),
            Align::Name => text::left(&text::middle(content, self.width), self.width),
        }
    }
}

/// The titles, aligned as their columns.
pub fn header(columns: &[Column], style: Style) -> Line<'static> {
    let titles = columns
        .iter()
        .map(|column| (column.title.to_owned(), style));
    row(columns, titles, None)
}

/// One row. `chosen` marks the cursor (with a glyph, not by style alone); `None` leaves no gutter
/// mark, as in headers.
pub fn row(
    columns: &[Column],
    cells: impl IntoIterator<Item = (String, Style)>,
    chosen: Option<Style>,
) -> Line<'static> {
    let mark = if chosen.is_some() { "▸ " } else { "  " };
    let mut spans = vec![Span::raw(mark)];
    for (column, (content, style)) in columns.iter().zip(cells) {
        spans.push(Span::styled(column.cell(&content), style));
        spans.push(Span::raw(" "));
    }
    let line = Line::from(spans);
    match chosen {
        Some(style) => line.style(style),
        None => line,
    }
}

/// A row of a list that can be marked: a mark is a glyph in the gutter, beside the cursor's.
pub fn markable(
    columns: &[Column],
    cells: impl IntoIterator<Item = (String, Style)>,
    chosen: Option<Style>,
    marked: bool,
) -> Line<'static> {
    let mut line = row(columns, cells, chosen);
    if let (true, Some(gutter)) = (marked, line.spans.first_mut()) {
        gutter.content = if chosen.is_some() { "▸✓" } else { "✓ " }.into();
    }
    line
}
