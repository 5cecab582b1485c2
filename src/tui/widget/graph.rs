//! A picture of states to move about in; a list where there is no room for boxes.

use std::cell::Cell;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::tui::filter::Filter;
use crate::tui::graph::{Area, Layout, Look, Outline, Picture, State};
use crate::tui::screen::places::{Places, Rows};
use crate::tui::theme::Theme;
use crate::tui::widget::list::{Cursor, Move};
use crate::tui::widget::{pane, text};

/// From this width on there are boxes.
const WIDE: u16 = 94;
/// Cells that one key scrolls sideways.
const STEP: isize = 8;

/// What is drawn on: cells, an area of them, and where it is noted for the mouse.
pub type Canvas<'a> = (&'a mut Buffer, (&'a Places, Rect));

/// Where one is in a picture.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Over the states in reading order.
    pub states: Cursor,
    /// Left and top of what is seen.
    offset: Cell<(usize, usize)>,
    /// The state that was brought into view last.
    followed: Cell<Option<usize>>,
}

impl Graph {
    pub fn chosen<'a>(&self, picture: &'a Picture) -> Option<&'a State> {
        let states = &picture.outline.states;
        states.get(self.states.row(states.len()))
    }

    pub fn pan(&self, to: Move) {
        let by = match to {
            Move::Lines(by) => by * 3,
            Move::Halves(by) | Move::Pages(by) => by * 12,
            Move::Top => isize::MIN / 2,
            Move::Bottom => isize::MAX / 2,
        };
        let (x, y) = self.offset.get();
        self.offset.set((x, y.saturating_add_signed(by)));
    }

    pub fn sideways(&self, by: isize) {
        let (x, y) = self.offset.get();
        self.offset.set((x.saturating_add_signed(by * STEP), y));
    }

    /// Goes to the next state whose name fits.
    pub fn next_match(&mut self, picture: &Picture, search: &Filter, forward: bool) {
        let states = &picture.outline.states;
        let fits = |at: &usize| {
            let state = &states[*at];
            search.matches(&[("state", &state.name), ("type", &state.kind)])
        };
        let at = self.states.row(states.len());
        let found = if forward {
            (at + 1..states.len()).chain(0..=at).find(fits)
        } else {
            (0..at).rev().chain((at..states.len()).rev()).find(fits)
        };
        self.states.at = found.unwrap_or(at);
    }

    /// Draws what there is room for; says what is out of sight.
    pub fn draw(
        &self,
        picture: &Picture,
        look: &dyn Fn(&State) -> Look,
        theme: Theme,
        (buffer, (places, area)): Canvas<'_>,
    ) -> String {
        match &picture.layout {
            Some(layout) if area.width >= WIDE => {
                self.draw_boxes(picture, layout, look, theme, (buffer, (places, area)))
            }
            Some(_) => {
                self.draw_list(&picture.outline, look, theme, (buffer, (places, area)));
                String::new()
            }
            None if picture.outline.states.is_empty() => "no states".to_owned(),
            None => {
                self.draw_list(&picture.outline, look, theme, (buffer, (places, area)));
                "too many lines for a picture, here is the list".to_owned()
            }
        }
    }

    fn draw_boxes(
        &self,
        picture: &Picture,
        layout: &Layout,
        look: &dyn Fn(&State) -> Look,
        theme: Theme,
        (buffer, (places, area)): Canvas<'_>,
    ) -> String {
        let chosen = self.states.row(picture.outline.states.len());
        let room = (area.width as usize, area.height as usize);
        let size = (layout.width as usize, layout.height as usize);
        let mut offset = self.offset.get();
        if self.followed.get() != Some(chosen) {
            self.followed.set(Some(chosen));
            if let Some(area) = layout.area_of(chosen) {
                offset = following(offset, area, room);
            }
        }
        offset.0 = offset.0.min(size.0.saturating_sub(room.0));
        offset.1 = offset.1.min(size.1.saturating_sub(room.1));
        self.offset.set(offset);
        // What is narrower than the screen stands in its middle.
        let indent = (room.0.saturating_sub(size.0) / 2) as u16;
        let inner = Rect {
            x: area.x + indent,
            width: area.width - indent,
            ..area
        };
        let style = theme.chosen();
        layout.draw(
            &picture.outline,
            (buffer, inner),
            offset,
            Some((chosen, style)),
            |index| look(&picture.outline.states[index]),
        );
        for (state, seen) in layout.seen(inner, offset) {
            places.note_box(seen, state, chosen);
        }
        let mut hidden = String::new();
        let arrows = [
            (offset.0 > 0, '←'),
            (offset.0 + room.0 < size.0, '→'),
            (offset.1 > 0, '↑'),
            (offset.1 + room.1 < size.1, '↓'),
        ];
        hidden.extend(
            arrows
                .iter()
                .filter(|(more, _)| *more)
                .map(|(_, arrow)| arrow),
        );
        match hidden.is_empty() {
            true => hidden,
            false => format!("more {hidden}"),
        }
    }

    fn draw_list(
        &self,
        outline: &Outline,
        look: &dyn Fn(&State) -> Look,
        theme: Theme,
        (buffer, (places, area)): Canvas<'_>,
    ) {
        let rows = outline.states.len();
        let chosen = self.states.row(rows);
        let cells = area.width as usize;
        let window = self.states.window(rows, area.height as usize);
        places.note_rows(Rows {
            area,
            height: 1,
            first: window.start,
            chosen,
            len: rows,
            has_keys: true,
        });
        for (line, row) in (0..).zip(window) {
            let state = &outline.states[row];
            let look = look(state);
            let next: Vec<String> = state
                .edges
                .iter()
                .map(|edge| {
                    let to = &outline.states[edge.to].name;
                    match &edge.label {
                        Some(label) => format!("{label} → {to}"),
                        None => format!("→ {to}"),
                    }
                })
                .collect();
            let mark = if row == chosen { "▸ " } else { "  " };
            let name = format!("{}{}", "  ".repeat(state.depth), state.name);
            let width = (cells / 3).max(12);
            let spans = vec![
                Span::raw(mark),
                Span::raw(text::left(&text::fit(&name, width), width)),
                Span::raw(" "),
                Span::styled(text::left(&text::fit(&look.status, 20), 20), look.style),
                Span::raw(" "),
                Span::styled(
                    text::fit(&next.join(", "), cells.saturating_sub(width + 24)),
                    theme.dim(),
                ),
            ];
            pane::line(buffer, area, line, Line::from(spans));
            if row == chosen {
                buffer.set_style(
                    Rect::new(area.x, area.y + line, area.width, 1),
                    theme.chosen(),
                );
            }
        }
    }
}

/// The offset at which a box is in sight, changed as little as possible.
fn following(offset: (usize, usize), area: Area, room: (usize, usize)) -> (usize, usize) {
    let along = |offset: usize, start: i32, length: i32, room: usize| {
        let (start, length) = (start as usize, length as usize);
        if start < offset {
            start
        } else if start + length > offset + room {
            // Of a box that is larger than the screen, the beginning.
            (start + length - room.min(start + length)).min(start)
        } else {
            offset
        }
    };
    (
        along(offset.0, area.x, area.width, room.0),
        along(offset.1, area.y, area.height, room.1),
    )
}
