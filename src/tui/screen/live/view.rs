//! The parts of the live screen: bar, counts, verdict, rate, groups. Each is drawn into the room it
//! is given.

use jiff::SignedDuration;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::model::{Counts, MapRun, RunState};
use crate::operations::failures::Group;
use crate::operations::runs::Run;
use crate::tui::app::App;
use crate::tui::pace::{self, DISPATCH_QUOTA, Eta, MEAN, Pace, Tone, Verdict, failures_allowed};
use crate::tui::theme::Theme;
use crate::tui::widget::bar::{self, Part};
use crate::tui::widget::{figures, pane, text};

/// What the parts of the screen are drawn from.
pub(super) struct View<'a> {
    pub(super) app: &'a App,
    run: &'a Run,
    pub(super) map_run: &'a MapRun,
    pace: &'a Pace,
    pub(super) verdict: Verdict,
    theme: Theme,
}

impl<'a> View<'a> {
    pub(super) fn new(app: &'a App, run: &'a Run, map_run: &'a MapRun) -> Self {
        let pace = app.data().pace(&map_run.arn);
        let on_aws = !app.health.connection.local;
        let mut verdict = Verdict::of(map_run, pace, on_aws);
        if let Some(throttled) = throttled_by_lambda(app, map_run) {
            verdict = Verdict::throttled_by_lambda(throttled);
        }
        if app.is_stale() && !map_run.status.is_closed() {
            verdict = Verdict::unknown(app.data_age().unwrap_or_default());
        } else if app.health.slowed && !map_run.status.is_closed() {
            verdict.detail += "; our own reading is slowed by AWS";
        }
        if let Some(healing) = app.data().healing(&run.execution().arn) {
            let failed = figures::count(map_run.items.failures());
            verdict.detail = match healing.is_whole {
                true => format!("{failed} items failed, and were {}", healing.words()),
                false => format!("{}; {}", healing.words(), verdict.detail),
            };
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

    pub(super) fn title(&self) -> String {
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

    pub(super) fn tone(&self) -> Style {
        match self.verdict.tone {
            Tone::Good => self.theme.good(),
            Tone::Plain => self.theme.bold(),
            Tone::Warn => self.theme.warn(),
            Tone::Bad => self.theme.bad(),
        }
    }

    pub(super) fn bar(&self, cells: usize) -> Line<'static> {
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
    pub(super) fn counts_line(&self, cells: usize) -> Line<'static> {
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

    pub(super) fn spark_line(&self, cells: usize) -> Line<'static> {
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
        if self.app.is_stale() {
            return "?".to_owned();
        }
        self.pace
            .now()
            .map_or_else(|| "rate ?".to_owned(), figures::rate)
    }

    fn eta(&self) -> Option<Eta> {
        let items = &self.map_run.items;
        let left = items.total.saturating_sub(items.done());
        // What went on before the connection was lost says nothing about the end.
        if self.is_closed() || left == 0 || self.app.is_stale() {
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
        // Of an attempt before, what was watched.
        let known = figures::seconds_between(started, end).max(self.pace.known());
        let known = known.clamp(1, 15 * 60);
        let seconds = (known / cells.max(1) as i64 + 1).max(1);
        (self.pace.columns(cells, seconds), seconds)
    }

    pub(super) fn rate_title(&self, width: u16) -> String {
        let (_, seconds) = self.columns((width as usize).saturating_sub(8));
        let mark = match self.pace.attempts().next() {
            Some(_) => format!("   {} redriven", self.theme.glyph(RunState::Redrive)),
            None => String::new(),
        };
        format!("Rate, items per second   one column is {seconds} s{mark}")
    }

    pub(super) fn draw_counts(&self, buffer: &mut Buffer, area: Rect) {
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
                if failures == 0 {
                    String::new()
                } else {
                    format!("{total} = {share} of all items,")
                },
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
        if children == 0 {
            return String::new();
        }
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

    pub(super) fn draw_verdict(&self, buffer: &mut Buffer, area: Rect) {
        let cells = area.width as usize;
        pane::line(
            buffer,
            area,
            0,
            Line::styled(format!("{}.", self.verdict.headline), self.tone()),
        );
        let attempts = self.attempts(cells);
        let room = area.height.saturating_sub(1 + attempts.len() as u16);
        let lines = text::wrap(&self.verdict.detail, cells, room as usize);
        for (row, line) in (1..).zip(lines) {
            pane::line(buffer, area, row, Line::raw(line));
        }
        for (row, line) in (area.height - attempts.len() as u16..).zip(attempts) {
            pane::line(buffer, area, row, line);
        }
    }

    /// The attempts of a redriven Map Run side by side, the newest last. Those that nobody watched
    /// are told by their number alone.
    pub(super) fn attempts(&self, cells: usize) -> Vec<Line<'static>> {
        const SHOWN: usize = 3;
        if self.map_run.redrive_count == 0 {
            return Vec::new();
        }
        let known = self.app.data().attempts(&self.map_run.arn);
        let row = |[attempt, succeeded, failed, took]: [&str; 4]| {
            let shown = format!(
                "{}{}{}{}",
                text::left(attempt, 9),
                text::right(succeeded, 11),
                text::right(failed, 10),
                text::right(took, 9),
            );
            text::fit(&shown, cells)
        };
        let header = row(["attempt", "succeeded", "failed", "took"]);
        let mut lines = vec![Line::styled(header, self.theme.dim())];
        let last = self.map_run.redrive_count;
        for number in last.saturating_sub(SHOWN as u32 - 1)..=last {
            let name = format!("{} of {}", number + 1, last + 1);
            let shown = match known.iter().find(|it| it.redrive_count == number) {
                Some(it) => {
                    let began = it.redriven.unwrap_or(it.started);
                    let end = it.stopped.unwrap_or(self.app.now);
                    let took = figures::span(figures::seconds_between(began, end));
                    let succeeded = figures::count(it.items.succeeded);
                    row([
                        &name,
                        &succeeded,
                        &figures::count(it.items.failures()),
                        &took,
                    ])
                }
                None => row([&name, "?", "?", "?"]),
            };
            lines.push(Line::raw(shown));
        }
        lines
    }

    pub(super) fn draw_chart(&self, buffer: &mut Buffer, area: Rect) {
        const SCALE: usize = 8;
        let cells = (area.width as usize).saturating_sub(SCALE);
        let (values, seconds) = self.columns(cells);
        let highest = values.iter().copied().fold(0.0, f64::max);
        if highest <= 0.0 && self.is_closed() {
            let shown = "it was not watched while it ran";
            return pane::line(buffer, area, 0, Line::styled(shown, self.theme.dim()));
        }
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
        for back in self.pace.attempts() {
            let column = (back / seconds.max(1)) as usize;
            let at = cells
                .checked_sub(column + 1)
                .map(|it| area.x + (it + SCALE) as u16);
            if let Some(cell) = at.and_then(|x| buffer.cell_mut((x, area.y))) {
                cell.set_symbol(self.theme.glyph(RunState::Redrive));
                cell.set_style(self.theme.warn());
            }
        }
    }

    pub(super) fn draw_eta(&self, buffer: &mut Buffer, area: Rect) {
        let rows = if self.is_closed() {
            self.figures_of_the_end()
        } else {
            self.figures_of_the_way()
        };
        for ((label, value), index) in rows.into_iter().zip(0..) {
            let shown = format!("{}{value}", text::left(label, 12));
            pane::line(buffer, area, index, Line::raw(shown));
        }
    }

    fn figures_of_the_end(&self) -> Vec<(&'static str, String)> {
        let Some(end) = self.map_run.stopped else {
            return vec![("ended", "?".to_owned())];
        };
        let began = self.map_run.redriven.unwrap_or(self.map_run.started);
        let took = figures::seconds_between(began, end);
        let mut rows = vec![("ended", figures::full(end)), ("took", figures::span(took))];
        // A redrive did only what the attempt before left open.
        let done = match self.map_run.redriven {
            None => Some(self.map_run.items.done()),
            Some(_) => self.left_before().map(|left| {
                let left_now = self
                    .map_run
                    .items
                    .total
                    .saturating_sub(self.map_run.items.done());
                left.saturating_sub(left_now)
            }),
        };
        rows.extend(done.map(|done| {
            let mean = done as f64 / took.max(1) as f64;
            ("mean", figures::rate(mean))
        }));
        rows
    }

    /// Items that had not succeeded when the attempt before this one ended, where it was watched.
    fn left_before(&self) -> Option<u64> {
        let last = self.map_run.redrive_count.checked_sub(1)?;
        let known = self.app.data().attempts(&self.map_run.arn).iter();
        let before = known.rev().find(|it| it.redrive_count == last)?;
        Some(before.items.total.saturating_sub(before.items.succeeded))
    }

    fn figures_of_the_way(&self) -> Vec<(&'static str, String)> {
        let mean = self.pace.rate(MEAN);
        let mut rows = vec![
            ("now", self.rate_now()),
            (
                "mean 5 m",
                mean.map_or_else(|| "?".to_owned(), figures::rate),
            ),
        ];
        let Some(eta) = self.eta() else {
            rows.push(("ETA", "?".to_owned()));
            return rows;
        };
        let span = |seconds: f64| figures::span(seconds.round() as i64);
        let (soonest, likely, latest) = (span(eta.soonest), span(eta.likely), span(eta.latest));
        let shown = match soonest == latest {
            true => likely,
            false => format!("{likely} ({soonest} – {latest})"),
        };
        rows.push(("ETA", shown));
        let likely = SignedDuration::from_secs(eta.likely as i64);
        let end = self.app.now.checked_add(likely);
        rows.extend(end.ok().map(|end| ("ends at", figures::clock(end))));
        rows.push(("never under", span(eta.floor)));
        rows
    }

    pub(super) fn groups(&self) -> usize {
        let set = self.app.data().failure_set(&self.map_run.arn);
        set.map_or(0, |set| set.groups().len())
    }

    pub(super) fn groups_title(&self) -> String {
        let all = self.map_run.items.failures();
        match self.app.data().failure_set(&self.map_run.arn) {
            Some(set) if set.is_exact() => {
                format!("Groups, all {} read", figures::count(set.survey.read))
            }
            Some(set) => {
                let read = figures::count(set.survey.read);
                format!("Groups, {read} of {} read", figures::count(all))
            }
            None => "Groups".to_owned(),
        }
    }

    /// One line a group where there is width for its message, else two.
    pub(super) fn draw_groups(&self, buffer: &mut Buffer, area: Rect) {
        const ERROR: usize = 24;
        let Some(set) = self.app.data().failure_set(&self.map_run.arn) else {
            return;
        };
        let about = if set.is_exact() { "" } else { "~" };
        let room = (area.width as usize).saturating_sub(13);
        let wide = room > ERROR + 20;
        let lines = set.groups().iter().zip(1..).flat_map(|(group, number)| {
            let number = text::right(&format!("{number}"), 2);
            let count = text::right(&format!("{about}{}", figures::count(group.lost())), 9);
            let message = |cells: usize| text::left(&text::fit(&group.message, cells), cells);
            let name = |cells: usize| text::left(&text::fit(&group.error, cells), cells);
            if wide {
                let (name, message) = (name(ERROR), message(room - ERROR - 1));
                return vec![Line::raw(format!("{number} {name} {message} {count}"))];
            }
            vec![
                Line::raw(format!("{number} {} {count}", name(room))),
                Line::styled(format!("   {}", message(room + 10)), self.theme.dim()),
            ]
        });
        for (line, row) in lines.take(area.height as usize).zip(0..) {
            pane::line(buffer, area, row, line);
        }
    }

    pub(super) fn failures_title(&self) -> String {
        if self.is_closed() {
            "Failures, newest first".to_owned()
        } else {
            "Failures as they happen".to_owned()
        }
    }

    pub(super) fn limits(&self, cells: usize) -> Line<'static> {
        let at_once = match self.map_run.max_concurrency {
            0 => "the service's 10,000".to_owned(),
            limit => figures::count(limit),
        };
        let shown = format!(
            "children at once {at_once}   tolerated failures {}   redrives {}   redrive possible for 14 d after the end",
            pace::tolerance(self.map_run),
            self.map_run.redrive_count,
        );
        Line::raw(text::fit(&shown, cells))
    }
}

/// Items of a running Map Run that Lambda turned away, as far as failures were read.
fn throttled_by_lambda(app: &App, map_run: &MapRun) -> Option<u64> {
    let groups = app.data().failure_set(&map_run.arn)?.groups();
    let throttled = groups
        .iter()
        .filter(|group| group.error.starts_with("Lambda.TooManyRequests"));
    let items = throttled.map(Group::lost).sum();
    (items > 0 && !map_run.status.is_closed()).then_some(items)
}

/// Not started yet, whether for the first time or again.
fn waiting(items: &Counts) -> u64 {
    items.pending + items.pending_redrive
}
