//! One Map Run as it goes: counts, rate, verdict, failures as they happen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::model::{Counts, ExecutionArn, MapRun, Timestamp};
use crate::operations::runs::Run;
use crate::tui::app::App;
use crate::tui::data::Fresh;
use crate::tui::pace::{DISPATCH_QUOTA, Eta, MEAN, Pace, Tone, Verdict, failures_allowed};
use crate::tui::screen::{WIDE, absence, failures};
use crate::tui::theme::Theme;
use crate::tui::widget::bar::{self, Part};
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
        map_run.map_or_else(Vec::new, |it| app.data().fresh(&it.arn, LISTED))
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
        let fixed = 2 + 8 + 11 + 6 + 28;
        let message = (area.width as usize).saturating_sub(fixed + 1);
        let columns = [
            Column::new("AGE", 7, Align::Right),
            Column::new("LINE", 10, Align::Right),
            Column::new("GROUP", 5, Align::Right),
            Column::new("ERROR", 27, Align::Left),
            Column::new("MESSAGE", message, Align::Left),
        ];
        pane::line(buffer, area, 0, table::header(&columns, theme.dim()));
        let height = area.height.saturating_sub(1) as usize;
        let chosen = self.cursor.row(fresh.len());
        for (line, index) in (1..).zip(self.cursor.window(fresh.len(), height)) {
            let cells = cells(&fresh[index], app.now).map(|cell| (cell, Style::new()));
            let mark = (index == chosen).then(|| theme.chosen());
            pane::line(buffer, area, line, table::row(&columns, cells, mark));
            if index == chosen {
                buffer.set_style(
                    Rect::new(area.x, area.y + line, area.width, 1),
                    theme.chosen(),
                );
            }
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
        lines.extend(text::wrap(cause, cells, 6).into_iter().map(Line::raw));
    } else {
        let since = figures::seconds_between(run.execution().started, app.now);
        lines.push(Line::raw(format!(
            "No Map Run yet: an earlier state is at work, for {}.",
            figures::span(since)
        )));
    }
    lines.push(Line::styled("d shows input, output and error", theme.dim()));
    for (row, line) in (0..).zip(lines) {
        pane::line(buffer, inside, row, line);
    }
}

/// What the parts of the screen are drawn from.
struct View<'a> {
    app: &'a App,
    run: &'a Run,
    map_run: &'a MapRun,
    pace: Pace,
    verdict: Verdict,
    theme: Theme,
}

impl<'a> View<'a> {
    fn new(app: &'a App, run: &'a Run, map_run: &'a MapRun) -> Self {
        let pace = app
            .data()
            .paces
            .get(&map_run.arn)
            .cloned()
            .unwrap_or_default();
        let on_aws = !app.health.connection.local;
        let mut verdict = Verdict::of(map_run, &pace, on_aws);
        if app.health.slowed && !map_run.status.is_closed() {
            verdict.detail += "; our own reading is slowed by AWS";
        }
        Self {
            app,
            run,
            map_run,
            pace,
            verdict,
            theme: app.theme(),
        }
    }

    fn is_closed(&self) -> bool {
        self.map_run.status.is_closed()
    }

    fn title(&self) -> String {
        let execution = self.run.execution();
        let end = execution.stopped.unwrap_or(self.app.now);
        let took = figures::span(figures::seconds_between(execution.started, end));
        let state = self.app.data().state(execution, self.app.now);
        let name = text::middle(&execution.name, 40);
        format!(
            "{name}  Map Run {}  {} {took}",
            self.map_run.arn.label(),
            state.word()
        )
    }

    fn tone(&self) -> Style {
        match self.verdict.tone {
            Tone::Good => self.theme.good(),
            Tone::Plain => self.theme.bold(),
            Tone::Warn => self.theme.warn(),
            Tone::Bad => self.theme.bad(),
        }
    }

    fn bar(&self, cells: usize) -> Line<'static> {
        let items = &self.map_run.items;
        let theme = self.theme;
        let parts = [
            Part {
                amount: items.succeeded,
                glyph: "█",
                style: theme.good(),
            },
            Part {
                amount: items.failures(),
                glyph: "▓",
                style: theme.bad(),
            },
            Part {
                amount: items.aborted,
                glyph: "▒",
                style: theme.dim(),
            },
            Part {
                amount: items.running,
                glyph: "▒",
                style: theme.accent(),
            },
        ];
        let percent = figures::percent(items.done().min(items.total), items.total);
        let room = cells.saturating_sub(9);
        let mut spans = bar::stacked(&parts, items.total, room);
        spans.push(Span::raw(text::right(&percent, 9)));
        Line::from(spans)
    }

    /// All counts on one line, for small screens.
    fn counts_line(&self, cells: usize) -> Line<'static> {
        let items = &self.map_run.items;
        let shown = format!(
            "ok {}  run {}  fail {} ({}, {})  pend {}",
            figures::count(items.succeeded),
            figures::count(items.running),
            figures::count(items.failures()),
            figures::percent(items.failures(), items.total),
            self.tolerance(),
            figures::count(waiting(items)),
        );
        Line::raw(text::fit(&shown, cells))
    }

    /// `limit 5 %`.
    fn tolerance(&self) -> String {
        match failures_allowed(self.map_run) {
            u64::MAX => "no limit".to_owned(),
            0 => "limit 0".to_owned(),
            _ if self.map_run.tolerated_percentage > 0.0 => {
                format!("limit {} %", self.map_run.tolerated_percentage)
            }
            count => format!("limit {}", figures::count(count)),
        }
    }

    fn spark_line(&self, cells: usize) -> Line<'static> {
        let rate = self.rate_now();
        let eta = self
            .eta()
            .map(|eta| format!("  ETA {}", figures::span(eta.likely as i64)));
        let right = format!("  {rate}{}", eta.unwrap_or_default());
        let room = cells.saturating_sub(text::width(&right));
        let (values, _) = self.columns(room);
        let highest = values.iter().copied().fold(0.0, f64::max);
        Line::from(vec![
            Span::styled(bar::spark(&values, highest), self.theme.accent()),
            Span::raw(right),
        ])
    }

    fn rate_now(&self) -> String {
        if self.is_closed() {
            return "ended".to_owned();
        }
        self.pace
            .now()
            .map_or_else(|| "rate ?".to_owned(), figures::rate)
    }

    fn eta(&self) -> Option<Eta> {
        let items = &self.map_run.items;
        let left = items.total.saturating_sub(items.done());
        if self.is_closed() || left == 0 {
            return None;
        }
        let children = self.map_run.executions.total.max(1) as f64;
        let ceiling = DISPATCH_QUOTA * (items.total as f64 / children).max(1.0);
        let on_aws = !self.app.health.connection.local;
        self.pace.eta(left, on_aws.then_some(ceiling))
    }

    /// Rates for `cells` columns, and the seconds of one column: as few as show all that is known.
    fn columns(&self, cells: usize) -> (Vec<f64>, i64) {
        let end = self.map_run.stopped.unwrap_or(self.app.now);
        let started = self.map_run.redriven.unwrap_or(self.map_run.started);
        let known = figures::seconds_between(started, end).clamp(1, 15 * 60);
        let seconds = (known / cells.max(1) as i64 + 1).max(1);
        (self.pace.columns(cells, seconds), seconds)
    }

    fn rate_title(&self, width: u16) -> String {
        let (_, seconds) = self.columns((width as usize).saturating_sub(8));
        format!("Rate, items per second   one column is {seconds} s")
    }

    fn draw_counts(&self, buffer: &mut Buffer, area: Rect) {
        let items = &self.map_run.items;
        pane::line(buffer, area, 0, self.bar(area.width as usize));
        let allowed = match failures_allowed(self.map_run) {
            u64::MAX => "any number is tolerated".to_owned(),
            0 => "the run fails at the first".to_owned(),
            count => format!("the run fails above {}", figures::count(count)),
        };
        let failures = items.failures();
        let share = figures::percent(failures, items.total);
        let total = figures::count(failures);
        let failed = if failures == 0 {
            Style::new()
        } else {
            self.theme.bad()
        };
        let rows = [
            ("succeeded", items.succeeded, Style::new(), String::new()),
            ("running", items.running, Style::new(), self.children()),
            (
                "failed",
                items.failed,
                failed,
                format!("{total} = {share} of all items,"),
            ),
            ("timed out", items.timed_out, failed, allowed),
            ("aborted", items.aborted, Style::new(), String::new()),
            ("pending", waiting(items), Style::new(), self.redriven()),
            (
                "written",
                items.results_written,
                Style::new(),
                "results at the ResultWriter".to_owned(),
            ),
        ];
        for (row, (label, amount, style, note)) in (2..).zip(rows) {
            let line = Line::from(vec![
                Span::raw(text::left(label, 10)),
                Span::styled(text::right(&figures::count(amount), 13), style),
                Span::raw(text::right(&figures::percent(amount, items.total), 9)),
                Span::styled(format!("   {note}"), self.theme.dim()),
            ]);
            pane::line(buffer, area, row, line);
        }
    }

    fn children(&self) -> String {
        let children = self.map_run.executions.running;
        if children == self.map_run.items.running {
            return "one item per child".to_owned();
        }
        format!("in {} children", figures::count(children))
    }

    fn redriven(&self) -> String {
        match self.map_run.items.pending_redrive {
            0 => String::new(),
            items => format!("{} of them redriven", figures::count(items)),
        }
    }

    fn draw_verdict(&self, buffer: &mut Buffer, area: Rect) {
        let cells = area.width as usize;
        pane::line(
            buffer,
            area,
            0,
            Line::styled(format!("{}.", self.verdict.headline), self.tone()),
        );
        let lines = text::wrap(
            &self.verdict.detail,
            cells,
            area.height.saturating_sub(1) as usize,
        );
        for (row, line) in (1..).zip(lines) {
            pane::line(buffer, area, row, Line::raw(line));
        }
    }

    fn draw_chart(&self, buffer: &mut Buffer, area: Rect) {
        const SCALE: usize = 8;
        let cells = (area.width as usize).saturating_sub(SCALE);
        let (values, _) = self.columns(cells);
        let highest = values.iter().copied().fold(0.0, f64::max);
        let lines = bar::chart(&values, highest, area.height as usize);
        let last = lines.len().saturating_sub(1);
        for (row, line) in lines.into_iter().enumerate() {
            let label = match row {
                0 if highest > 0.0 => figures::count(highest.ceil() as u64),
                _ if row == last => "0".to_owned(),
                _ => String::new(),
            };
            let line = Line::from(vec![
                Span::styled(
                    format!("{} ┤", text::right(&label, SCALE - 2)),
                    self.theme.dim(),
                ),
                Span::styled(line, self.theme.accent()),
            ]);
            pane::line(buffer, area, row as u16, line);
        }
    }

    fn draw_eta(&self, buffer: &mut Buffer, area: Rect) {
        let row =
            |label: &str, value: String| Line::raw(format!("{}{value}", text::left(label, 11)));
        let mean = self.pace.rate(MEAN);
        let mut lines = vec![
            row("now", self.rate_now()),
            row(
                "mean 5 m",
                mean.map_or_else(|| "?".to_owned(), figures::rate),
            ),
        ];
        let span = |seconds: f64| figures::span(seconds.round() as i64);
        match self.eta() {
            Some(eta) => {
                let range = format!(
                    "{} ({} – {})",
                    span(eta.likely),
                    span(eta.soonest),
                    span(eta.latest)
                );
                lines.push(row("ETA", range));
                let end = self
                    .app
                    .now
                    .checked_add(jiff::SignedDuration::from_secs(eta.likely as i64));
                lines.extend(end.ok().map(|end| row("ends at", figures::clock(end))));
                lines.push(row("at least", span(eta.floor)));
            }
            None if self.is_closed() => {
                let ended = self.map_run.stopped;
                lines.push(row(
                    "ended",
                    ended.map_or_else(|| "?".to_owned(), figures::full),
                ));
            }
            None => lines.push(row("ETA", "?".to_owned())),
        }
        for (line, index) in lines.into_iter().zip(0..) {
            pane::line(buffer, area, index, line);
        }
    }

    fn groups(&self) -> usize {
        let set = self.app.data().failure_set(&self.map_run.arn);
        set.map_or(0, |set| set.groups.len())
    }

    fn groups_title(&self) -> String {
        let all = self.map_run.items.failures();
        match self.app.data().failure_set(&self.map_run.arn) {
            Some(set) if set.list.exact => format!(
                "Groups, all {} read",
                figures::count(set.list.items.len() as u64)
            ),
            Some(set) => {
                let read = figures::count(set.list.items.len() as u64);
                format!("Groups, {read} of {} read", figures::count(all))
            }
            None => "Groups".to_owned(),
        }
    }

    fn draw_groups(&self, buffer: &mut Buffer, area: Rect) {
        let Some(set) = self.app.data().failure_set(&self.map_run.arn) else {
            return;
        };
        let about = if set.list.exact { "" } else { "~" };
        let room = (area.width as usize).saturating_sub(14);
        for (row, (group, _)) in set.groups.iter().enumerate().take(area.height as usize) {
            let name = text::left(&text::fit(&group.error, room), room);
            let count = text::right(&format!("{about}{}", figures::count(group.count)), 11);
            let line = format!("{} {name}{count}", text::right(&(row + 1).to_string(), 2));
            pane::line(buffer, area, row as u16, Line::raw(line));
        }
    }

    fn failures_title(&self) -> String {
        if self.is_closed() {
            "Failures, newest first".to_owned()
        } else {
            "Failures as they happen".to_owned()
        }
    }

    fn limits(&self, cells: usize) -> Line<'static> {
        let at_once = match self.map_run.max_concurrency {
            0 => "the service's 10,000".to_owned(),
            limit => figures::count(limit),
        };
        let share = self.map_run.tolerated_percentage;
        let tolerated = match (share > 0.0, self.map_run.tolerated_count) {
            (true, 0) => format!("{share} %"),
            (true, most) => format!("{share} % or {}", figures::count(most)),
            (false, 0) => "none".to_owned(),
            (false, most) => figures::count(most),
        };
        let shown = format!(
            "children at once {at_once}   tolerated failures {tolerated}   redrives {}   redrive possible for 14 d after the end",
            self.map_run.redrive_count,
        );
        Line::raw(text::fit(&shown, cells))
    }
}

/// Not started yet, whether for the first time or again.
fn waiting(items: &Counts) -> u64 {
    items.pending + items.pending_redrive
}
