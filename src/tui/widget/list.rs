//! A cursor over a list of any length: only the rows of its window are ever built.

use std::cell::Cell;
use std::ops::Range;

/// How a key moves a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    Lines(isize),
    Halves(isize),
    Pages(isize),
    Top,
    Bottom,
}

/// Which row is chosen. The window (first row and height) is scroll state: drawing sets it, since
/// only drawing knows how many rows there is room for.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    pub at: usize,
    offset: Cell<usize>,
    height: Cell<usize>,
}

/// Rows assumed visible before the first frame.
const UNSEEN: usize = 20;

impl Cursor {
    /// A cursor on this row.
    pub fn on(at: usize) -> Self {
        Self {
            at,
            ..Self::default()
        }
    }

    pub fn go(&mut self, to: Move, len: usize) {
        let page = self.height.get().max(1) as isize;
        let target = match to {
            Move::Lines(by) => self.at.saturating_add_signed(by),
            Move::Halves(by) => self.at.saturating_add_signed(by * (page / 2).max(1)),
            Move::Pages(by) => self.at.saturating_add_signed(by * page),
            Move::Top => 0,
            Move::Bottom => len,
        };
        self.at = target.min(len.saturating_sub(1));
    }

    /// Shows the page after (`by` 1) or before (-1) the one that is shown, the cursor at its far
    /// end: in a list without a strip that stands out, a page is what one sees move.
    pub fn turn_page(&mut self, by: isize, len: usize) {
        let shown = self.shown(len);
        let target = match by {
            1.. => shown.end + shown.len(),
            _ => (shown.start + 1).saturating_sub(shown.len()),
        };
        self.at = target.saturating_sub(1).min(len.saturating_sub(1));
    }

    /// The chosen row of a list that has `len` rows now.
    pub fn row(&self, len: usize) -> usize {
        self.at.min(len.saturating_sub(1))
    }

    /// The rows to draw into `height` lines, the chosen one among them.
    pub fn window(&self, len: usize, height: usize) -> Range<usize> {
        let row = self.row(len);
        let last_start = len.saturating_sub(height);
        let mut start = self.offset.get().min(last_start);
        if row < start {
            start = row;
        } else if height > 0 && row >= start + height {
            start = row + 1 - height;
        }
        self.offset.set(start);
        self.height.set(height);
        start..len.min(start + height)
    }

    /// The rows drawn last.
    pub fn shown(&self, len: usize) -> Range<usize> {
        let height = match self.height.get() {
            0 => UNSEEN,
            height => height,
        };
        let start = self.offset.get().min(len);
        start..len.min(start + height)
    }
}

/// In what order a list is shown: one of the orders that its screen has, or the same backwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Order {
    /// Index into the screen's orders.
    pub by: usize,
    pub reversed: bool,
}

/// Name of an order, as it is given to `:sort`, and how a title says it.
pub type Sort = (&'static str, &'static str);

impl Order {
    pub fn name(self, sorts: &[Sort]) -> &'static str {
        sorts.get(self.by).map_or("", |(name, _)| name)
    }

    /// `newest first`, `newest first, reversed`.
    pub fn words(self, sorts: &[Sort]) -> String {
        let words = sorts.get(self.by).map_or("", |(_, words)| words);
        match self.reversed {
            true => format!("{words}, reversed"),
            false => words.to_owned(),
        }
    }
}

/// How far a text is scrolled; drawing keeps it inside the text.
#[derive(Debug, Clone, Default)]
pub struct Scroll {
    at: Cell<usize>,
    height: Cell<usize>,
}

impl Scroll {
    pub fn go(&self, to: Move) {
        let page = self.height.get().max(1) as isize;
        let by = match to {
            Move::Lines(by) => by,
            Move::Halves(by) => by * (page / 2).max(1),
            Move::Pages(by) => by * page,
            Move::Top => return self.at.set(0),
            Move::Bottom => return self.at.set(usize::MAX),
        };
        self.at.set(self.at.get().saturating_add_signed(by));
    }

    /// The lines to draw of `len`, into `height`.
    pub fn window(&self, len: usize, height: usize) -> Range<usize> {
        let start = self.at.get().min(len.saturating_sub(height));
        self.at.set(start);
        self.height.set(height);
        start..len.min(start + height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_cursor() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.window(100, 10), 0..10);
        cursor.go(Move::Lines(12), 100);
        assert_eq!(cursor.window(100, 10), 3..13);
        cursor.go(Move::Lines(-5), 100);
        assert_eq!(cursor.window(100, 10), 3..13);
        cursor.go(Move::Bottom, 100);
        assert_eq!(cursor.window(100, 10), 90..100);
        assert_eq!(cursor.window(4, 10), 0..4);
    }

    #[test]
    fn an_empty_list_has_a_cursor_too() {
        let mut cursor = Cursor::default();
        cursor.go(Move::Pages(1), 0);
        assert_eq!((cursor.at, cursor.window(0, 10)), (0, 0..0));
    }

    #[test]
    fn scrolling_stops_at_the_end() {
        let scroll = Scroll::default();
        scroll.go(Move::Bottom);
        assert_eq!(scroll.window(30, 10), 20..30);
        scroll.go(Move::Lines(1));
        assert_eq!(scroll.window(30, 10), 20..30);
    }
}
