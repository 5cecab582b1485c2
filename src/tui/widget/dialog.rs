//! The common look of dialogs: a box with lines, a row of buttons that is always visible, and the
//! command that does the same.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use crate::operations::{Check, Verdict};
use crate::tui::theme::Theme;
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{pane, text};

/// Under this size a dialog is a page of its own.
const SMALL: (u16, u16) = (100, 30);
const WIDEST: u16 = 112;

pub struct Button {
    pub label: String,
    /// Why it cannot be pressed; shown when it is focused.
    pub refused: Option<String>,
}

impl Button {
    pub fn new(label: impl Into<String>, allowed: Result<(), String>) -> Self {
        Self {
            label: label.into(),
            refused: allowed.err(),
        }
    }
}

pub struct View<'a> {
    pub title: String,
    pub lines: Vec<Line<'a>>,
    /// The line that must be seen, where a field has the focus.
    pub focused_line: Option<usize>,
    pub buttons: Vec<Button>,
    pub focused_button: Option<usize>,
    /// The same as a command.
    pub command: Option<String>,
}

/// Cells that a dialog's lines have in `area`.
pub fn columns(area: Rect) -> usize {
    place(area, usize::MAX).width.saturating_sub(4) as usize
}

fn place(area: Rect, lines: usize) -> Rect {
    if area.width < SMALL.0 || area.height < SMALL.1 {
        return area;
    }
    let width = area.width.saturating_sub(6).min(WIDEST);
    let wanted = u16::try_from(lines.saturating_add(6)).unwrap_or(u16::MAX);
    let height = wanted.min(area.height - 2);
    Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    )
}

/// Draws it; gives where its buttons are.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    view: &View<'_>,
    scroll: &Scroll,
    theme: Theme,
) -> Vec<Rect> {
    let frame = place(area, view.lines.len());
    Clear.render(frame, buffer);
    let inside = pane::boxed(buffer, frame, &view.title, Style::new());
    if inside.height < 3 {
        return Vec::new();
    }
    let body = Rect::new(
        inside.x + 1,
        inside.y,
        inside.width.saturating_sub(2),
        inside.height - 3,
    );
    draw_lines(buffer, body, view, scroll);
    let refused = view
        .focused_button
        .and_then(|button| view.buttons.get(button)?.refused.clone());
    let foot = Rect::new(body.x, body.bottom(), body.width, 3);
    let cells = body.width as usize;
    if let Some(command) = &view.command {
        let shown = text::fit(&format!("same as  {command}"), cells);
        pane::line(buffer, foot, 0, Line::styled(shown, theme.dim()));
    }
    if let Some(reason) = refused {
        let shown = text::fit(&format!("not now: {reason}"), cells);
        pane::line(buffer, foot, 1, Line::styled(shown, theme.warn()));
    }
    let (row, spans) = buttons(view, cells, theme);
    pane::line(buffer, foot, 2, row);
    let place = |(from, to): (usize, usize)| {
        let (from, to) = (from.min(cells) as u16, to.min(cells) as u16);
        Rect::new(foot.x + from, foot.y + 2, to - from, 1)
    };
    spans.into_iter().map(place).collect()
}

fn draw_lines(buffer: &mut Buffer, body: Rect, view: &View<'_>, scroll: &Scroll) {
    let mut window = scroll.window(view.lines.len(), body.height as usize);
    if let Some(line) = view.focused_line.filter(|line| !window.contains(line)) {
        let height = body.height as usize;
        let start = line.saturating_sub(height.saturating_sub(1));
        window = start..view.lines.len().min(start + height);
    }
    let hidden = view.lines.len() - window.end;
    for (row, line) in (0..).zip(&view.lines[window]) {
        pane::line(buffer, body, row, line.clone());
    }
    if hidden > 0 {
        let more = format!(" {hidden} more lines, pgdn ");
        let x = body.right().saturating_sub(more.len() as u16);
        buffer.set_string(x, body.bottom() - 1, more, Style::new());
    }
}

/// The row of buttons, and from where to where each reaches.
fn buttons(view: &View<'_>, cells: usize, theme: Theme) -> (Line<'static>, Vec<(usize, usize)>) {
    let total: usize = view
        .buttons
        .iter()
        .map(|button| text::width(&button.label) + 8)
        .sum();
    let mut at = cells.saturating_sub(total);
    let mut spans = vec![Span::raw(" ".repeat(at))];
    let mut places = Vec::new();
    for (index, button) in view.buttons.iter().enumerate() {
        let focused = view.focused_button == Some(index);
        let style = match (focused, button.refused.is_some()) {
            (true, _) => theme.chosen(),
            (false, true) => theme.dim(),
            (false, false) => theme.bold(),
        };
        let mark = if focused { "▸" } else { " " };
        let label = format!("[{mark}{} ]", button.label);
        let (from, to) = (at + 3, at + 3 + text::width(&label));
        places.push((from, to));
        at = to;
        spans.push(Span::raw("   "));
        spans.push(Span::styled(label, style));
    }
    (Line::from(spans), places)
}

/// A labelled field, `label` padded to `label_width`.
pub fn field(
    label: &str,
    label_width: usize,
    field: &Field,
    cells: usize,
    focused: bool,
    theme: Theme,
) -> Line<'static> {
    let mark = if focused { "▸" } else { " " };
    let mut spans = vec![Span::raw(format!(
        "{mark}{}[ ",
        text::left(label, label_width)
    ))];
    let room = cells.saturating_sub(label_width + 5);
    spans.extend(field.spans(room, focused.then(|| theme.chosen())));
    spans.push(Span::raw(" ]"));
    Line::from(spans)
}

/// Checks as lines: `✓ ! ✗`.
pub fn checks(checks: &[Check], cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let lines = checks.iter().flat_map(|check| {
        let (mark, style) = match check.verdict {
            Verdict::Good => ("✓", theme.good()),
            Verdict::Notice => ("!", theme.warn()),
            Verdict::Bad => ("✗", theme.bad()),
        };
        let wrapped = text::wrap(&check.text, cells.saturating_sub(4), 2);
        wrapped.into_iter().enumerate().map(move |(index, part)| {
            let mark = if index == 0 { mark } else { " " };
            Line::from(vec![
                Span::styled(format!("  {mark} "), style),
                Span::raw(part),
            ])
        })
    });
    lines.collect()
}
