//! States as bars over time: attempts, the waits between them, and what goes on now.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::model::Timestamp;
use crate::tui::app::App;
use crate::tui::data::Data;
use crate::tui::history::History;
use crate::tui::history::trace::{Trace, Visit};
use crate::tui::screen::execution::Execution;
use crate::tui::screen::list::{List, Shown};
use crate::tui::theme::Theme;
use crate::tui::widget::table::{self, Align, Column};
use crate::tui::widget::{figures, pane, text};

/// Lines below the list that tell of the attempts of the visit under the cursor.
const DETAIL: u16 = 4;

/// A line of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// By its index.
    Visit(usize),
    /// Visits that nobody knows of, because this event and those beside it are not here.
    Missing(u64),
}

impl Row {
    pub fn visit(&self) -> Option<usize> {
        match self {
            Self::Visit(index) => Some(*index),
            Self::Missing(_) => None,
        }
    }

    /// The event that it begins with.
    pub fn event(&self, history: &History) -> Option<u64> {
        match self {
            Self::Visit(index) => history.trace.visits.get(*index).map(|it| it.events.0),
            Self::Missing(event) => Some(*event),
        }
    }

    pub fn missing(&self) -> Option<u64> {
        match self {
            Self::Visit(_) => None,
            Self::Missing(event) => Some(*event),
        }
    }
}

/// The visits that fit the search, and where events are missing.
pub fn rows(screen: &Execution, data: &Data) -> Vec<Row> {
    let Some(history) = data.history(&screen.arn) else {
        return Vec::new();
    };
    let fits = |visit: &Visit| {
        let word = visit.outcome.word();
        screen.search.is_empty()
            || screen.search.matches(&[
                ("state", &visit.state),
                ("type", &visit.kind),
                ("status", word),
            ])
    };
    let mut gaps = history.gaps().iter().peekable();
    let mut rows = Vec::new();
    for (index, visit) in history.trace.visits.iter().enumerate() {
        while let Some((first, last)) = gaps.next_if(|(first, _)| *first < visit.events.0) {
            rows.extend([Row::Missing(*first), Row::Missing(*last)]);
        }
        rows.extend(fits(visit).then_some(Row::Visit(index)));
    }
    rows.extend(gaps.flat_map(|(first, last)| [Row::Missing(*first), Row::Missing(*last)]));
    rows
}

pub fn draw(screen: &Execution, app: &App, buffer: &mut Buffer, area: Rect) {
    if screen.draw_no_history(app, buffer, area) {
        return;
    }
    let Some(history) = app.data().history(&screen.arn) else {
        return;
    };
    let theme = app.theme();
    let trace = &history.trace;
    let shown = rows(screen, app.data());
    let cells = area.width as usize;
    let scale = Scale::new(trace, app.now, cells.saturating_sub(fixed(cells)));
    let mut title = format!(
        "{}, one cell is {}",
        Execution::extent(history),
        scale.cell()
    );
    if !screen.search.is_empty() {
        title += &format!(
            ", {} fit /{}",
            figures::count(shown.iter().filter_map(Row::visit).count() as u64),
            screen.search.text()
        );
    }
    let head = Rect {
        y: area.y.saturating_sub(1),
        height: 1,
        ..area
    };
    pane::line(
        buffer,
        head,
        0,
        Line::styled(text::fit(&title, cells), theme.dim()),
    );
    if shown.is_empty() {
        let said = if screen.search.is_empty() {
            "no state has been entered yet"
        } else {
            "no state fits, esc clears the search"
        };
        return pane::line(buffer, area, 1, Line::raw(said));
    }
    let columns = [
        Column::new("STATE", name_width(cells), Align::Left),
        Column::new("HOW", 10, Align::Left),
        Column::new("TOOK", 7, Align::Right),
        Column::new("TRIES", 5, Align::Right),
        Column::new("", scale.cells, Align::Left),
    ];
    let detail = if area.height > 14 { DETAIL } else { 0 };
    let upper = Rect {
        height: area.height.saturating_sub(detail),
        ..area
    };
    let list = List {
        columns: &columns,
        cursor: &screen.timeline,
        len: shown.len(),
        has_keys: true,
    };
    let Shown { rows, chosen } = list.begin(app, buffer, upper);
    scale.draw_ends(buffer, area, theme);
    for (line, row) in (1..).zip(rows) {
        let visit = match shown[row] {
            Row::Visit(index) => &trace.visits[index],
            Row::Missing(event) => {
                let mark = if row == chosen { "▸" } else { " " };
                let said = format!("{mark} {}", super::gap(history, event));
                let look = if row == chosen {
                    theme.chosen()
                } else {
                    theme.dim()
                };
                pane::line(
                    buffer,
                    area,
                    line,
                    Line::styled(text::fit(&said, cells), look),
                );
                continue;
            }
        };
        let (glyph, word, style) = theme.outcome(visit.outcome);
        let tries = match visit.attempts.len() {
            0 => String::new(),
            tries => figures::count(tries as u64),
        };
        let took = visit.left.unwrap_or(app.now).duration_since(visit.entered);
        let cells = [
            (name(visit), Style::new()),
            (format!("{glyph} {word}"), style),
            (figures::took(took), Style::new()),
            (
                tries,
                if visit.attempts.len() > 1 {
                    theme.warn()
                } else {
                    Style::new()
                },
            ),
        ];
        let mark = (row == chosen).then(|| theme.chosen());
        let mut drawn = table::row(&columns, cells, mark);
        drawn.spans.extend(scale.bar(visit, app.now, theme));
        pane::line(buffer, area, line, drawn);
        if row == chosen {
            let width = area.width.saturating_sub(scale.cells as u16 + 1);
            buffer.set_style(Rect::new(area.x, area.y + line, width, 1), theme.chosen());
        }
    }
    if let (true, Row::Visit(visit)) = (detail > 0, shown[chosen]) {
        let below = Rect::new(area.x, area.bottom() - detail, area.width, detail);
        draw_attempts(&trace.visits[visit], app, buffer, below);
    }
}

/// Cells that are not the bar's.
fn fixed(cells: usize) -> usize {
    2 + name_width(cells) + 1 + 11 + 8 + 6 + 1
}

fn name_width(cells: usize) -> usize {
    (cells / 4).clamp(14, 36)
}

fn name(visit: &Visit) -> String {
    let indent = "  ".repeat(visit.depth.min(6));
    match visit.iteration {
        Some(item) => format!("{indent}{} #{item}", visit.state),
        None => format!("{indent}{}", visit.state),
    }
}

/// Moments to cells.
struct Scale {
    began: Timestamp,
    /// Never 0.
    millis: i64,
    ended: Timestamp,
    cells: usize,
}

impl Scale {
    fn new(trace: &Trace, now: Timestamp, cells: usize) -> Self {
        let began = trace.began.unwrap_or(now);
        let ended = trace.ended.unwrap_or(now).max(began);
        Self {
            began,
            millis: (ended.as_millisecond() - began.as_millisecond()).max(1),
            ended,
            cells,
        }
    }

    /// What one cell stands for.
    fn cell(&self) -> String {
        let millis = self.millis / (self.cells.max(1) as i64);
        figures::took(jiff::SignedDuration::from_millis(millis.max(1)))
    }

    fn place(&self, at: Timestamp) -> usize {
        let millis = (at.as_millisecond() - self.began.as_millisecond()).clamp(0, self.millis);
        let place = i128::from(millis) * self.cells as i128 / i128::from(self.millis);
        (place as usize).min(self.cells.saturating_sub(1))
    }

    /// When the bars begin and end, above them.
    fn draw_ends(&self, buffer: &mut Buffer, area: Rect, theme: Theme) {
        let (from, to) = (figures::clock(self.began), figures::clock(self.ended));
        let room = self.cells.saturating_sub(from.len());
        let line = format!("{from}{}", text::right(&to, room));
        if self.cells > 24 {
            let x = area.right().saturating_sub(self.cells as u16);
            let at = Rect::new(x, area.y, self.cells as u16, 1);
            pane::line(buffer, at, 0, Line::styled(line, theme.dim()));
        }
    }

    /// `█` at work, `▓` an attempt that failed, `░` between attempts, `▒` waiting by itself.
    fn bar(&self, visit: &Visit, now: Timestamp, theme: Theme) -> Vec<Span<'static>> {
        let (_, _, style) = theme.outcome(visit.outcome);
        let mut row = vec![(" ", Style::new()); self.cells];
        let left = visit.left.unwrap_or(now);
        let base = match (visit.kind.as_str(), visit.attempts.is_empty()) {
            ("Wait", _) => "▒",
            (_, true) => "█",
            (_, false) => "░",
        };
        let mut fill = |from: Timestamp, to: Timestamp, glyph, style| {
            if !row.is_empty() {
                for cell in &mut row[self.place(from)..=self.place(to)] {
                    *cell = (glyph, style);
                }
            }
        };
        fill(visit.entered, left, base, style);
        for attempt in &visit.attempts {
            let ended = attempt.ended.unwrap_or(left);
            match attempt.error {
                Some(_) => fill(attempt.began, ended, "▓", theme.bad()),
                None => fill(attempt.began, ended, "█", style),
            }
        }
        row.into_iter()
            .map(|(glyph, style)| Span::styled(glyph, style))
            .collect()
    }
}

/// The newest attempts of a visit, each on a line.
fn draw_attempts(visit: &Visit, app: &App, buffer: &mut Buffer, area: Rect) {
    let theme = app.theme();
    let cells = area.width as usize;
    let (glyph, word, style) = theme.outcome(visit.outcome);
    let entered = figures::clock(visit.entered);
    let title = Line::from(vec![
        Span::styled(
            text::fit(&format!("{} ", visit.state), cells / 2),
            theme.bold(),
        ),
        Span::raw(format!("{}  entered {entered}  ", visit.kind)),
        Span::styled(format!("{glyph} {word}"), style),
    ]);
    pane::line(buffer, area, 0, title);
    let most = area.height.saturating_sub(1) as usize;
    let first = visit.attempts.len().saturating_sub(most);
    for (row, (number, attempt)) in (1..).zip(visit.attempts.iter().enumerate().skip(first)) {
        let took = attempt
            .ended
            .unwrap_or(app.now)
            .duration_since(attempt.began);
        let how = match (&attempt.error, attempt.ended) {
            (Some(error), _) => format!("✗ {error}"),
            (None, Some(_)) => "✓".to_owned(),
            (None, None) => "● at work".to_owned(),
        };
        let before = number
            .checked_sub(1)
            .and_then(|it| visit.attempts[it].ended);
        let waited = before.map(|ended| attempt.began.duration_since(ended));
        let waited = waited.map_or_else(String::new, |it| format!("  after {}", figures::took(it)));
        let line = format!(
            "  try {}  {}{waited}  took {}  {how}",
            number + 1,
            figures::clock(attempt.began),
            figures::took(took),
        );
        pane::line(buffer, area, row, Line::raw(text::fit(&line, cells)));
    }
}
