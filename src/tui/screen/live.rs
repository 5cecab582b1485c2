//! One Map Run as it goes: counts, rate, verdict, failures as they happen.

#[cfg(test)]
mod tests;
mod view;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::model::{ExecutionArn, Timestamp};
use crate::operations::failures::message;
use crate::operations::runs::Run;
use crate::tui::app::App;
use crate::tui::data::Fresh;
use crate::tui::keys::Action;
use crate::tui::screen::list::{self, List};
use crate::tui::screen::live::view::View;
use crate::tui::screen::{WIDE, absence, failures};
use crate::tui::widget::list::Cursor;
use crate::tui::widget::table::{self, Align, Column};
use crate::tui::widget::{figures, pane, text};

#[derive(Debug, Clone)]
pub struct Live {
    pub run: ExecutionArn,
    pub cursor: Cursor,
}

/// Failures listed: what is older is on the failures screen.
const LISTED: usize = 200;
/// Cells of the right column.
const SIDE: u16 = 42;
/// From this height on there is room for all sections.
const TALL: u16 = 30;

impl Live {
    pub fn new(run: ExecutionArn) -> Self {
        Self {
            run,
            cursor: Cursor::default(),
        }
    }

    fn fresh<'a>(&self, app: &'a App) -> Vec<Fresh<'a>> {
        let map_run = app.data().map_run(&self.run);
        // A redrive takes failures back: what was listed before it is then no failure any more.
        let failing = map_run.filter(|it| it.items.failures() > 0);
        failing.map_or_else(Vec::new, |it| app.data().fresh(&it.arn, LISTED))
    }

    pub fn rows(&self, app: &App) -> usize {
        self.fresh(app).len()
    }

    /// The failed child under the cursor.
    pub fn chosen(&self, app: &App) -> Option<ExecutionArn> {
        let fresh = self.fresh(app);
        let row = self.cursor.row(fresh.len());
        fresh.get(row).map(|it| it.child.clone())
    }

    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let known = app.data().runs.get(&self.run);
        let Some(run) = known.and_then(|run| run.get()) else {
            let inside = pane::boxed(buffer, area, self.run.name(), Style::new());
            let trouble = known.and_then(|run| run.trouble());
            return absence(
                buffer,
                padded(inside),
                trouble,
                "reading the run…",
                app.theme(),
            );
        };
        let Some(map_run) = run.map_run() else {
            return draw_without_map_run(app, run, buffer, area);
        };
        let view = View::new(app, run, map_run);
        if area.height < TALL || area.width < 100 {
            self.draw_compact(&view, buffer, area);
        } else {
            self.draw_tall(&view, buffer, area);
        }
    }

    fn draw_compact(&self, view: &View<'_>, buffer: &mut Buffer, area: Rect) {
        let inside = pane::boxed(buffer, area, &view.title(), Style::new());
        let top = padded(Rect {
            height: 4,
            ..inside
        });
        let cells = top.width as usize;
        pane::line(buffer, top, 0, view.bar(cells));
        pane::line(buffer, top, 1, view.counts_line(cells));
        pane::line(buffer, top, 2, view.spark_line(cells));
        let verdict = &view.verdict;
        let shown = text::fit(&format!("{}: {}", verdict.headline, verdict.detail), cells);
        pane::line(buffer, top, 3, Line::styled(shown, view.tone()));
        let groups = match area.height {
            0..18 => 0,
            _ => view.groups().min(3) as u16,
        };
        let mut y = top.bottom();
        let attempts = match area.height {
            0..20 => Vec::new(),
            _ => view.attempts(cells),
        };
        if !attempts.is_empty() {
            pane::divide(buffer, area, y, "Attempts", Style::new());
            let rows = padded(Rect {
                y: y + 1,
                height: attempts.len() as u16,
                ..inside
            });
            y += attempts.len() as u16 + 1;
            for (row, line) in (0..).zip(attempts) {
                pane::line(buffer, rows, row, line);
            }
        }
        if groups > 0 {
            pane::divide(buffer, area, y, &view.groups_title(), Style::new());
            let rows = padded(Rect {
                y: y + 1,
                height: groups,
                ..inside
            });
            view.draw_groups(buffer, rows);
            y += groups + 1;
        }
        pane::divide(buffer, area, y, &view.failures_title(), Style::new());
        let rows = Rect {
            y: y + 1,
            height: inside.bottom().saturating_sub(y + 1),
            ..inside
        };
        self.draw_failures(view, buffer, rows);
    }

    fn draw_tall(&self, view: &View<'_>, buffer: &mut Buffer, area: Rect) {
        const COUNTS: u16 = 9;
        const RATE: u16 = 5;
        let inside = pane::boxed(buffer, area, &view.title(), Style::new());
        let split = inside.right() - SIDE;
        let left = |y: u16, height: u16| padded(Rect::new(inside.x, y, split - inside.x, height));
        let right = |y: u16, height: u16| padded(Rect::new(split + 1, y, SIDE - 1, height));

        let rate_at = inside.y + COUNTS;
        let failures_at = rate_at + RATE + 1;
        let limits_at = inside.bottom() - 2;
        pane::divide(
            buffer,
            area,
            rate_at,
            &view.rate_title(left(0, 1).width),
            Style::new(),
        );
        pane::divide(
            buffer,
            area,
            failures_at,
            &view.failures_title(),
            Style::new(),
        );
        pane::divide(buffer, area, limits_at, "Limits", Style::new());
        pane::split(buffer, split, area.y, rate_at, "Verdict", Style::new());
        pane::split(buffer, split, rate_at, failures_at, "", Style::new());
        pane::split(buffer, split, failures_at, limits_at, "", Style::new());
        for y in [rate_at, failures_at] {
            buffer[(split, y)].set_symbol("┼");
        }

        view.draw_counts(buffer, left(inside.y, COUNTS));
        view.draw_verdict(buffer, right(inside.y, COUNTS));
        view.draw_chart(buffer, left(rate_at + 1, RATE));
        view.draw_eta(buffer, right(rate_at + 1, RATE));
        let height = limits_at - failures_at - 1;
        let list = Rect::new(inside.x, failures_at + 1, split - inside.x, height);
        let side = right(failures_at + 1, height);
        pane::line(
            buffer,
            Rect {
                y: failures_at,
                ..side
            },
            0,
            Line::raw(format!(" {} ", view.groups_title())),
        );
        view.draw_groups(buffer, side);
        if area.width >= WIDE {
            let preview = SIDE + 10;
            let narrowed = Rect {
                width: list.width - preview,
                ..list
            };
            self.draw_failures(view, buffer, narrowed);
            pane::split(
                buffer,
                narrowed.right(),
                failures_at,
                limits_at,
                "Under the cursor",
                Style::new(),
            );
            let beside = padded(Rect {
                x: narrowed.right() + 1,
                width: preview - 1,
                ..list
            });
            self.draw_chosen(view, buffer, beside);
        } else {
            self.draw_failures(view, buffer, list);
        }
        let limits = padded(Rect {
            y: limits_at + 1,
            height: 1,
            ..inside
        });
        pane::line(buffer, limits, 0, view.limits(limits.width as usize));
    }

    fn draw_failures(&self, view: &View<'_>, buffer: &mut Buffer, area: Rect) {
        let app = view.app;
        let theme = app.theme();
        let fresh = self.fresh(app);
        if fresh.is_empty() {
            let failed = view.map_run.items.failures();
            let shown = if failed == 0 {
                "no item has failed"
            } else {
                "reading the failures…"
            };
            return pane::line(buffer, padded(area), 0, Line::styled(shown, theme.dim()));
        }
        let fixed = 2 + 7 + 10 + 6 + 23;
        let message = (area.width as usize).saturating_sub(fixed + 1);
        let columns = [
            Column::new("AGE", 6, Align::Right),
            Column::new("LINE", 9, Align::Right),
            Column::new("GROUP", 5, Align::Right),
            Column::new("ERROR", 22, Align::Left),
            Column::new("MESSAGE", message, Align::Left),
        ];
        let list = List {
            columns: &columns,
            cursor: &self.cursor,
            len: fresh.len(),
            has_keys: true,
        };
        let shown = list.begin(app, buffer, area);
        for (line, index) in (1..).zip(shown.rows) {
            let cells = cells(&fresh[index], app.now).map(|cell| (cell, Style::new()));
            let mark = (index == shown.chosen).then(|| theme.chosen());
            list::row(buffer, area, line, table::row(&columns, cells, mark), mark);
        }
    }

    /// At great widths: the failure under the cursor in full.
    fn draw_chosen(&self, view: &View<'_>, buffer: &mut Buffer, area: Rect) {
        let fresh = self.fresh(view.app);
        let chosen = fresh.get(self.cursor.row(fresh.len()));
        let Some(failure) = chosen.and_then(|it| it.failure) else {
            return;
        };
        let lines = failures::detail(failure, area.width as usize, view.app.theme());
        for (row, line) in (0..).zip(lines.into_iter().take(area.height as usize)) {
            pane::line(buffer, area, row, line);
        }
    }
}

fn padded(area: Rect) -> Rect {
    Rect::new(
        area.x + 1,
        area.y,
        area.width.saturating_sub(2),
        area.height,
    )
}

fn cells(fresh: &Fresh<'_>, now: Timestamp) -> [String; 5] {
    let age = fresh
        .stopped
        .map(|at| figures::span(figures::seconds_between(at, now)));
    let line = fresh.failure.and_then(|it| it.line);
    let error = match fresh.failure {
        Some(failure) => failure
            .error
            .clone()
            .unwrap_or_else(|| failure.status.as_str().to_owned()),
        None => "not read yet".to_owned(),
    };
    [
        age.unwrap_or_default(),
        figures::maybe(line),
        fresh
            .group
            .map_or_else(String::new, |group| group.to_string()),
        error,
        fresh.failure.map(failures::message_of).unwrap_or_default(),
    ]
}

fn draw_without_map_run(app: &App, run: &Run, buffer: &mut Buffer, area: Rect) {
    let inside = padded(pane::boxed(
        buffer,
        area,
        run.execution().arn.name(),
        Style::new(),
    ));
    let theme = app.theme();
    let cells = inside.width as usize;
    let mut lines = Vec::new();
    if run.execution().status.is_closed() {
        lines.push(Line::raw("The run ended without a Map Run."));
        if let Some(error) = &run.detail.error {
            lines.push(Line::styled(text::fit(error, cells), theme.bad()));
        }
        let cause = run.detail.cause.as_deref().unwrap_or_default();
        let message = message(cause);
        lines.extend(text::wrap(&message, cells, 6).into_iter().map(Line::raw));
    } else {
        let since = figures::seconds_between(run.execution().started, app.now);
        lines.push(Line::raw(format!(
            "No Map Run yet: an earlier state is at work, for {}.",
            figures::span(since)
        )));
    }
    let describe = app.keymap.key_of(Action::Describe);
    let hint = format!("{describe} shows input, output and error");
    lines.push(Line::styled(hint, theme.dim()));
    for (row, line) in (0..).zip(lines) {
        pane::line(buffer, inside, row, line);
    }
}
