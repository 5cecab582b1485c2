//! How log lines are drawn: only those there is room for are ever built.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Logs, found, is_pattern};
use crate::operations::logs::{Level, Origin, Phase, Sources};
use crate::tui::app::App;
use crate::tui::data::{Book, Entry, Placed};
use crate::tui::screen::places::Rows;
use crate::tui::screen::{absence, margin};
use crate::tui::theme::Theme;
use crate::tui::widget::{figures, json, pane, text};
use crate::tui::zone;

/// From here on the group has a column.
const WIDE: u16 = 100;
const GROUP: usize = 18;
/// Rows for what is said of the lines, where there is room.
const FOOT: usize = 2;
/// Lines of an unfolded document.
const UNFOLDED: usize = 400;

impl Logs {
    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let book = app.shown_book(self);
        let inside = pane::boxed(buffer, area, &self.title(book), Style::new());
        let cells = inside.width.saturating_sub(2);
        let most = if inside.height > 8 { FOOT } else { 1 };
        let about = about(book);
        let about = match most {
            1 => vec![text::fit(&about, cells as usize)],
            most => text::wrap(&about, cells as usize, most),
        };
        let height = inside.height.saturating_sub(about.len().max(1) as u16);
        let body = Rect { height, ..inside };
        let foot = Rect {
            x: inside.x + 1,
            width: cells,
            ..inside
        };
        for (row, line) in (height..).zip(about) {
            pane::line(buffer, foot, row, Line::styled(line, app.theme().dim()));
        }
        match self.shown.len() {
            0 => self.draw_nothing(app, book, buffer, body),
            _ => self.draw_lines(app, buffer, body),
        }
    }

    fn title(&self, book: Option<&Book>) -> String {
        let lines = match self.focus {
            Some(_) => "Logs of one failure".to_owned(),
            None => format!("Logs  {} lines", figures::count(self.rows() as u64)),
        };
        let filter = (!self.filter.is_empty()).then(|| format!("&{}", self.filter.text()));
        let parts = [Some(lines), phase(book), filter];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join("  ")
    }

    fn draw_nothing(&self, app: &App, book: Option<&Book>, buffer: &mut Buffer, body: Rect) {
        let trouble = book.and_then(|book| book.trouble.as_ref());
        let held = book.map_or(0, |book| book.entries().len());
        let is_narrowed = is_pattern(self.filter.text());
        let waiting = match book.and_then(|book| book.phase.as_ref()) {
            _ if held > 0 => "no line fits the filter, esc clears it".to_owned(),
            Some(phase) if is_narrowed && !matches!(phase, Phase::Reading { .. }) => {
                "no line fits the filter, esc clears it".to_owned()
            }
            _ => waiting(book),
        };
        absence(buffer, margin(body), trouble, &waiting, app.theme());
    }

    fn draw_lines(&self, app: &App, buffer: &mut Buffer, body: Rect) {
        let theme = app.theme();
        let height = body.height as usize;
        let item = |index: usize| -> Vec<Line<'static>> {
            let placed = self.shown.get(index);
            placed.map_or_else(Vec::new, |it| self.item(it, body, theme))
        };
        let mut row = 0;
        for index in self.window(height, |index| item(index).len())..self.shown.len() {
            let lines = item(index);
            app.places.note_rows(Rows {
                area: Rect::new(body.x, body.y + row, body.width, lines.len() as u16),
                height: lines.len() as u16,
                first: index,
                chosen: self.at,
                len: self.shown.len(),
                has_keys: true,
            });
            for line in lines {
                if row >= body.height {
                    return;
                }
                pane::line(buffer, body, row, line);
                if index == self.at {
                    let strip = Rect::new(body.x, body.y + row, body.width, 1);
                    buffer.set_style(strip, theme.chosen());
                }
                row += 1;
            }
        }
    }

    /// The first line to draw, so that the chosen one is seen and no room is wasted.
    fn window(&self, height: usize, height_of: impl Fn(usize) -> usize) -> usize {
        // How far up a window may begin that still shows this line.
        let highest = |shown: usize| {
            let (mut first, mut used) = (shown, height_of(shown));
            while first > 0 {
                used += height_of(first - 1);
                if used > height {
                    break;
                }
                first -= 1;
            }
            first
        };
        let last = self.shown.len().saturating_sub(1);
        let at = self.at.min(last);
        let top = self.top.get().min(highest(last)).min(at).max(highest(at));
        self.top.set(top);
        self.height.set(height);
        top
    }

    /// A line in as many rows as it takes.
    fn item(&self, placed: &Placed, body: Rect, theme: Theme) -> Vec<Line<'static>> {
        let entry = &*placed.entry;
        let head = head(entry, body, theme);
        let taken: usize = head.iter().map(Span::width).sum();
        let cells = (body.width as usize).saturating_sub(taken + 1);
        let most = body.height.max(1) as usize;
        let cut = match entry.line.cut {
            0 => String::new(),
            bytes => format!(" … {} more", figures::bytes(bytes as u64)),
        };
        let is_open = self.unfolded.contains(&placed.place.1);
        let shown = match self.wraps || (is_open && !entry.is_json) {
            true => text::wrap(&(entry.text.clone() + &cut), cells, most),
            false => vec![text::shifted(&entry.text, self.shift, cells)],
        };
        let mut rows = Vec::with_capacity(shown.len());
        let indent = " ".repeat(taken);
        for (number, part) in shown.into_iter().enumerate() {
            let mut spans = match number {
                0 => head.clone(),
                _ => vec![Span::raw(indent.clone())],
            };
            spans.extend(self.highlighted(part, entry.line.level, theme));
            rows.push(Line::from(spans));
        }
        if rows.is_empty() {
            rows.push(Line::from(head));
        }
        if is_open && entry.is_json {
            let document = json::lines(&entry.line.message);
            rows.extend(document.iter().take(UNFOLDED).map(|line| {
                let part = text::fit(line, cells);
                let mut spans = vec![Span::raw(indent.clone())];
                spans.extend(self.highlighted(part, None, theme));
                Line::from(spans)
            }));
        }
        rows
    }

    /// Visible text with what is searched for standing out.
    fn highlighted(&self, part: String, level: Option<Level>, theme: Theme) -> Vec<Span<'static>> {
        let style = match level {
            Some(Level::Error) => style(level, theme),
            Some(Level::Debug) => theme.dim(),
            _ => Style::new(),
        };
        let mut spans = Vec::new();
        let mut from = 0;
        for at in found(&part, &self.search) {
            let end = at + self.search.len();
            let (Some(before), Some(hit)) = (part.get(from..at), part.get(at..end)) else {
                break;
            };
            spans.push(Span::styled(before.to_owned(), style));
            spans.push(Span::styled(
                hit.to_owned(),
                theme.chosen().patch(theme.bold()),
            ));
            from = end;
        }
        spans.push(Span::styled(part[from..].to_owned(), style));
        spans
    }
}

/// Why there is no line, or not yet.
fn waiting(book: Option<&Book>) -> String {
    let groups = book.and_then(|book| book.sources.as_ref());
    let exist = groups.is_none_or(|it| it.groups.iter().any(|group| group.exists));
    let said = match book.and_then(|book| book.phase.as_ref()) {
        None => "looking for the run's log groups…",
        Some(Phase::Reading { .. }) => "reading what was logged…",
        Some(_) if let Some(none) = groups.filter(|it| it.groups.is_empty()) => {
            return none.missing.join("; ");
        }
        Some(_) if !exist => "none of the run's log groups exists yet: nothing has been logged",
        Some(Phase::Done { .. }) => "the run has logged nothing that is kept",
        Some(Phase::Found(_)) => "nothing was logged for this failure",
        Some(_) => "nothing has been logged yet",
    };
    said.to_owned()
}

/// Where the lines come from, and what is missing among them.
fn about(book: Option<&Book>) -> String {
    let Some(book) = book else {
        return String::new();
    };
    let mut parts = Vec::new();
    if book.dropped > 0 {
        parts.push(format!(
            "{} older lines dropped",
            figures::count(book.dropped)
        ));
    }
    if book.sampled {
        parts.push("a sample: more lines come than a live tail sends".to_owned());
    }
    let back_to = match &book.phase {
        Some(Phase::Found(method)) => {
            parts.push(method.to_string());
            None
        }
        Some(Phase::Polling { back_to, why }) => {
            parts.push(why.clone());
            Some(*back_to)
        }
        Some(Phase::Live { back_to } | Phase::Done { back_to }) => Some(*back_to),
        Some(Phase::Reading { .. }) | None => None,
    };
    let begin = book.sources.as_ref().map(|it| it.from);
    if let (Some(back_to), Some(begin)) = (back_to, begin)
        && back_to > begin
    {
        parts.push(format!("not read before {}", figures::clock(back_to)));
    }
    if book.sources.as_ref().is_some_and(has_functions) {
        parts.push("functions' lines may be other runs' too".to_owned());
    }
    parts.extend(book.sources.as_ref().map(places));
    parts.join("   ")
}

/// Time, level, and where there is room, the group.
fn head(entry: &Entry, body: Rect, theme: Theme) -> Vec<Span<'static>> {
    let line = &entry.line;
    let fold = match entry.is_json {
        true => "+ ",
        false => "  ",
    };
    let word = line.level.map_or("", Level::word);
    let mut spans = vec![
        Span::styled(fold, theme.dim()),
        Span::styled(
            format!("{} ", zone::format(line.at, "%H:%M:%S%.3f")),
            theme.dim(),
        ),
        Span::styled(format!("{word:<6}"), style(line.level, theme)),
    ];
    if body.width >= WIDE {
        let name = line.group.rsplit('/').next().unwrap_or(&line.group);
        let name = text::left(&text::middle(name, GROUP), GROUP + 1);
        spans.push(Span::styled(name, theme.dim()));
    }
    spans
}

fn style(level: Option<Level>, theme: Theme) -> Style {
    match level {
        Some(Level::Error) => theme.bad(),
        Some(Level::Warn) => theme.warn(),
        Some(Level::Info) => theme.accent(),
        Some(Level::Debug) | None => theme.dim(),
    }
}

/// What is being done, in a few words.
fn phase(book: Option<&Book>) -> Option<String> {
    let Some(book) = book else {
        return Some("looking for its log groups".to_owned());
    };
    if let Some(trouble) = &book.trouble {
        let what = match trouble.slowed {
            true => "slowed by AWS",
            false => "not all could be read",
        };
        return Some(what.to_owned());
    }
    let what = match &book.phase {
        None => "looking for its log groups".to_owned(),
        Some(Phase::Reading { back_to }) => {
            format!("reading, back to {}", figures::clock(*back_to))
        }
        Some(Phase::Live { .. }) if book.sampled => "live ▶ ~".to_owned(),
        Some(Phase::Live { .. }) => "live ▶".to_owned(),
        Some(Phase::Polling { .. }) => "asked every few seconds".to_owned(),
        Some(Phase::Done { .. }) => "all read".to_owned(),
        Some(Phase::Found(_)) => return None,
    };
    Some(what)
}

/// Whether functions' lines are among them, which do not say whose they are.
fn has_functions(sources: &Sources) -> bool {
    let mut groups = sources.groups.iter();
    groups.any(|group| group.exists && group.origin != Origin::Machine)
}

/// The groups, and why they are these.
fn places(sources: &Sources) -> String {
    let there: Vec<&str> = sources
        .groups
        .iter()
        .filter(|group| group.exists)
        .map(|group| &*group.name)
        .collect();
    let missing = sources.missing.iter().map(String::as_str);
    let all = std::iter::once(there.join(", ")).chain(missing.map(str::to_owned));
    let all: Vec<String> = all.filter(|it| !it.is_empty()).collect();
    all.join("; ")
}

/// Lines of a book for where there is not a whole screen for them: its first ones, in `cells` cells,
/// and where they come from; or why there are none.
pub fn excerpt(book: Option<&Book>, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    const LINES: usize = 200;
    let trouble = book.and_then(|book| book.trouble.as_ref());
    let entries = book.map(Book::entries).filter(|it| 0 < it.len());
    let Some(entries) = entries else {
        let said = trouble.map_or_else(|| waiting(book), |it| it.text.clone());
        let lines = text::wrap(&said, cells, 3).into_iter();
        return lines.map(|it| Line::styled(it, theme.dim())).collect();
    };
    let body = Rect::new(0, 0, cells as u16, 1);
    let shown = entries.iter().take(LINES).map(|placed| {
        let mut spans = head(&placed.entry, body, theme);
        let taken: usize = spans.iter().map(Span::width).sum();
        let room = cells.saturating_sub(taken);
        spans.push(Span::raw(text::fit(&placed.entry.text, room)));
        Line::from(spans)
    });
    let mut lines: Vec<Line<'static>> = shown.collect();
    let more = entries.len().saturating_sub(LINES);
    if 0 < more {
        lines.push(Line::raw(format!("{} more", figures::count(more as u64))));
    }
    let place = format!(
        "{}   {} lines",
        about(book),
        figures::count(entries.len() as u64)
    );
    lines.push(Line::default());
    let place = text::wrap(&place, cells, 3).into_iter();
    lines.extend(place.map(|it| Line::styled(it, theme.dim())));
    lines
}
