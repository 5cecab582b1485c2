//! A state machine's definition as a picture: boxes for states, lines for transitions, Map and
//! Parallel as frames around what they run.
//!
//! [`Picture::of`] reads a definition and lays it out once; drawing only looks up what the window
//! shows. Coordinates are cells, from the top left corner of the whole picture.

mod layers;
mod layout;
mod outline;
#[cfg(test)]
mod tests;

pub use layout::{Area, Layout, Placed};
pub use outline::{Outline, State};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::tui::widget::text;

/// A definition, read and laid out.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub outline: Outline,
    /// `None` when there is too much to draw: then there is the list.
    pub layout: Option<Layout>,
}

/// How one state looks now.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Glyph and words, in the state's second line.
    pub status: String,
    pub style: Style,
}

impl Picture {
    /// `definition` is Amazon States Language. What cannot be read is left out.
    pub fn of(definition: &str) -> Self {
        let outline = Outline::read(definition);
        let layout = Layout::of(&outline);
        Self { outline, layout }
    }
}

impl Layout {
    /// Draws the part of the picture that begins at `offset` (column, row) into `area`.
    pub fn draw(
        &self,
        outline: &Outline,
        (buffer, area): (&mut Buffer, Rect),
        offset: (usize, usize),
        chosen: Option<(usize, Style)>,
        look: impl Fn(usize) -> Look,
    ) {
        let mut window = Window {
            buffer,
            area,
            offset: (offset.0 as i32, offset.1 as i32),
        };
        for placed in &self.boxes {
            if !window.shows(placed.area) {
                continue;
            }
            let Some(state) = outline.states.get(placed.state) else {
                continue;
            };
            let chosen = chosen.filter(|(state, _)| *state == placed.state);
            window.state(placed, state, &look(placed.state), chosen.map(|it| it.1));
        }
        let (left, top) = window.offset;
        let (right, bottom) = (left + i32::from(area.width), top + i32::from(area.height));
        for y in top..bottom {
            for (&(_, x), &bits) in self.lines.range((y, left)..(y, right)) {
                window.put(x, y, layout::glyph(bits), Style::new());
            }
        }
        for label in &self.labels {
            window.text(label.x, label.y, &label.text, Style::new());
        }
    }
}

impl Layout {
    /// The boxes of which something is seen in `area`, as cells of it.
    pub fn seen(
        &self,
        area: Rect,
        offset: (usize, usize),
    ) -> impl Iterator<Item = (usize, Rect)> + '_ {
        let (left, top) = (offset.0 as i32, offset.1 as i32);
        let (width, height) = (i32::from(area.width), i32::from(area.height));
        self.boxes.iter().filter_map(move |it| {
            let (x, y) = (it.area.x - left, it.area.y - top);
            let (right, bottom) = (
                (x + it.area.width).min(width),
                (y + it.area.height).min(height),
            );
            let (x, y) = (x.max(0), y.max(0));
            let is_seen = x < right && y < bottom;
            is_seen.then(|| {
                let (columns, rows) = ((right - x) as u16, (bottom - y) as u16);
                (
                    it.state,
                    Rect::new(area.x + x as u16, area.y + y as u16, columns, rows),
                )
            })
        })
    }
}

/// The part of the picture that is seen.
struct Window<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    offset: (i32, i32),
}

impl Window<'_> {
    fn shows(&self, area: Area) -> bool {
        let (left, top) = self.offset;
        area.x < left + i32::from(self.area.width)
            && area.y < top + i32::from(self.area.height)
            && area.right() > left
            && area.bottom() > top
    }

    fn put(&mut self, x: i32, y: i32, symbol: &str, style: Style) {
        let (x, y) = (x - self.offset.0, y - self.offset.1);
        let inside = (0..i32::from(self.area.width)).contains(&x)
            && (0..i32::from(self.area.height)).contains(&y);
        if inside
            && let Some(cell) = self
                .buffer
                .cell_mut((self.area.x + x as u16, self.area.y + y as u16))
        {
            cell.set_symbol(symbol).set_style(style);
        }
    }

    /// Text that is fit already. A wide character that the edge would halve is left out.
    fn text(&mut self, x: i32, y: i32, shown: &str, style: Style) {
        let right = self.offset.0 + i32::from(self.area.width);
        let mut at = x;
        for grapheme in shown.graphemes(true) {
            let width = text::width(grapheme) as i32;
            if width > 0 && at + width <= right && at >= self.offset.0 {
                self.put(at, y, grapheme, style);
                for covered in 1..width {
                    self.put(at + covered, y, "", style);
                }
            }
            at += width;
        }
    }

    fn state(&mut self, placed: &Placed, state: &State, look: &Look, chosen: Option<Style>) {
        let Area { x, y, .. } = placed.area;
        let (right, bottom) = (placed.area.right() - 1, placed.area.bottom() - 1);
        let border = if chosen.is_some() {
            look.style
                .patch(Style::new().add_modifier(ratatui::style::Modifier::BOLD))
        } else {
            look.style
        };
        for column in x + 1..right {
            self.put(column, y, "─", border);
            self.put(column, bottom, "─", border);
        }
        for row in y + 1..bottom {
            self.put(x, row, "│", border);
            self.put(right, row, "│", border);
        }
        for (column, row, corner) in [
            (x, y, "╭"),
            (right, y, "╮"),
            (x, bottom, "╰"),
            (right, bottom, "╯"),
        ] {
            self.put(column, row, corner, border);
        }
        let room = (placed.area.width - 4) as usize;
        let kind = text::fit(&state.kind, room.saturating_sub(2));
        self.text(x + 2, y, &format!(" {kind} "), border);
        let name = text::left(&text::middle(&state.name, room), room);
        let status = text::left(&text::fit(&look.status, room), room);
        self.text(x + 2, y + 1, &name, chosen.unwrap_or_default());
        self.text(x + 2, y + 2, &status, look.style);
    }
}
