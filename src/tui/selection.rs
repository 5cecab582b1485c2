//! Text chosen with the mouse, within the pane in which the button was pressed.

use ratatui::buffer::Buffer;
use ratatui::style::Style;

use crate::tui::widget::text;

/// Cells from one to another, as text runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Column and row where the button was pressed.
    pub from: (u16, u16),
    pub to: (u16, u16),
}

impl Selection {
    /// Its rows, each with its first column and the one after its last.
    fn rows(self, buffer: &Buffer) -> Vec<(u16, u16, u16)> {
        let area = buffer.area;
        if area.is_empty() || !area.contains(self.from.into()) {
            return Vec::new();
        }
        let (left, right) = pane(buffer, self.from);
        let key = |(x, y): (u16, u16)| (y.min(area.bottom() - 1), x.clamp(left, right - 1));
        let (one, other) = (key(self.from), key(self.to));
        let (first, last) = (one.min(other), one.max(other));
        (first.0..=last.0)
            .map(|y| {
                let from = if y == first.0 { first.1 } else { left };
                let to = if y == last.0 { last.1 + 1 } else { right };
                (y, from, to)
            })
            .collect()
    }

    pub fn paint(self, buffer: &mut Buffer, style: Style) {
        for (y, from, to) in self.rows(buffer) {
            for x in from..to {
                buffer[(x, y)].set_style(style);
            }
        }
    }

    pub fn text(self, buffer: &Buffer) -> String {
        let lines: Vec<String> = self
            .rows(buffer)
            .into_iter()
            .map(|(y, from, to)| row(buffer, y, from, to))
            .collect();
        lines.join("\n")
    }
}

/// The text of a row's cells, without spaces at its end.
pub fn row(buffer: &Buffer, y: u16, from: u16, to: u16) -> String {
    let mut line = String::new();
    let mut x = from;
    while x < to {
        let symbol = buffer[(x, y)].symbol();
        line.push_str(symbol);
        x += (text::width(symbol) as u16).max(1);
    }
    line.truncate(line.trim_end().len());
    line
}

/// The columns of the pane around a cell: between the lines that are drawn left and right of it.
fn pane(buffer: &Buffer, (x, y): (u16, u16)) -> (u16, u16) {
    let area = buffer.area;
    let is_line = |x: &u16| buffer[(*x, y)].symbol() == "│";
    let left = (area.left()..x)
        .rev()
        .find(is_line)
        .map_or(area.left(), |it| it + 1);
    let right = (x + 1..area.right()).find(is_line).unwrap_or(area.right());
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Buffer {
        Buffer::with_lines(["│ab 日本│one  │", "│cd     │two  │", "│ef     │three│"])
    }

    #[test]
    fn it_stays_in_its_pane() {
        let selection = Selection {
            from: (4, 0),
            to: (12, 1),
        };
        assert_eq!(selection.text(&screen()), "日本\ncd");
        let backwards = Selection {
            from: (11, 2),
            to: (10, 1),
        };
        assert_eq!(backwards.text(&screen()), "wo\nthr");
    }

    #[test]
    fn a_screen_that_shrank_is_no_harm() {
        let gone = Selection {
            from: (40, 40),
            to: (0, 0),
        };
        assert_eq!(gone.text(&screen()), "");
        let out = Selection {
            from: (10, 0),
            to: (900, 900),
        };
        assert_eq!(out.text(&screen()), "ne\ntwo\nthree");
    }
}
