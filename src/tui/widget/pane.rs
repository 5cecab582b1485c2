//! Frames that share their borders: one outer box, divided by lines that carry titles.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::tui::widget::text;

/// Draws a box with a title in its top border; returns the inside.
pub fn boxed(buffer: &mut Buffer, area: Rect, title: &str, style: Style) -> Rect {
    if area.width < 2 || area.height < 2 {
        return Rect::ZERO;
    }
    let bottom = area.bottom() - 1;
    rule(buffer, area, area.y, ("╭", "╮"), title, style);
    rule(buffer, area, bottom, ("╰", "╯"), "", style);
    for y in area.y + 1..bottom {
        put(buffer, area.x, y, "│", style);
        put(buffer, area.right() - 1, y, "│", style);
    }
    inside(area)
}

/// A horizontal divider across a box drawn by [`boxed`], at line `y`.
pub fn divide(buffer: &mut Buffer, frame: Rect, y: u16, title: &str, style: Style) {
    if y > frame.y && y < frame.bottom().saturating_sub(1) {
        rule(buffer, frame, y, ("├", "┤"), title, style);
    }
}

/// A vertical divider at column `x`, between the horizontal borders at `top` and `bottom`, with a
/// title at the right of it in the top border.
pub fn split(buffer: &mut Buffer, x: u16, top: u16, bottom: u16, title: &str, style: Style) {
    for y in top + 1..bottom {
        put(buffer, x, y, "│", style);
    }
    put(buffer, x, top, "┬", style);
    // The line below may carry a title.
    if buffer
        .cell((x, bottom))
        .is_some_and(|it| it.symbol() == "─")
    {
        put(buffer, x, bottom, "┴", style);
    }
    if !title.is_empty() {
        let room = (buffer.area.right()).saturating_sub(x + 5) as usize;
        buffer.set_stringn(x + 2, top, format!(" {title} "), room, style);
    }
}

/// The area without its border.
pub fn inside(area: Rect) -> Rect {
    Rect::new(
        area.x + 1,
        area.y + 1,
        area.width.saturating_sub(2),
        area.height.saturating_sub(2),
    )
}

/// Writes a line into a row of `area`; rows outside are left out.
pub fn line<'a>(buffer: &mut Buffer, area: Rect, row: u16, line: impl Into<Line<'a>>) {
    if row < area.height && area.width > 0 {
        buffer.set_line(area.x, area.y + row, &line.into(), area.width);
    }
}

fn rule(buffer: &mut Buffer, area: Rect, y: u16, ends: (&str, &str), title: &str, style: Style) {
    for x in area.x + 1..area.right() - 1 {
        put(buffer, x, y, "─", style);
    }
    put(buffer, area.x, y, ends.0, style);
    put(buffer, area.right() - 1, y, ends.1, style);
    let room = area.width.saturating_sub(6) as usize;
    if !title.is_empty() && room > 0 {
        let title = format!(" {} ", text::fit(title, room));
        buffer.set_string(area.x + 2, y, title, style);
    }
}

fn put(buffer: &mut Buffer, x: u16, y: u16, symbol: &str, style: Style) {
    if let Some(cell) = buffer.cell_mut((x, y)) {
        cell.set_symbol(symbol).set_style(style);
    }
}

/// A pane of this usual size, made larger by `steps`: both it and what is before it stay usable.
pub fn resized(usual: u16, steps: i16, whole: u16) -> u16 {
    const LEAST: u16 = 4;
    let most = whole.saturating_sub(LEAST * 2).max(LEAST);
    usual
        .saturating_add_signed(steps)
        .clamp(LEAST.min(usual), most.max(usual))
}
