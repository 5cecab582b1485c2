//! All runs of a state machine, and below them what matters of the one under the cursor.

use std::cmp::Reverse;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::model::{Counts, Execution, ExecutionArn, MapRun, REDRIVE_PERIOD, RunState};
use crate::operations::runs::Run;
use crate::tui::app::App;
use crate::tui::filter::{AGE, Filter};
use crate::tui::keys::Action;
use crate::tui::marks::Marks;
use crate::tui::pace::failures_allowed;
use crate::tui::screen::list::{self, List};
use crate::tui::screen::{WIDE, absence, execution};
use crate::tui::widget::list::{Cursor, Order, Sort};
use crate::tui::widget::table::{self, Align, Column};
use crate::tui::widget::{figures, pane, text};

#[derive(Debug, Clone, Default)]
pub struct Runs {
    pub cursor: Cursor,
    /// The run that the cursor stays on when the list changes; `None` stays at the top.
    pub anchor: Option<ExecutionArn>,
    pub filter: Filter,
    pub order: Order,
    pub marks: Marks<ExecutionArn>,
}

pub const SORTS: &[Sort] = &[
    ("started", "newest first"),
    ("failed", "most failed first"),
    ("state", "by state"),
    ("run", "by name"),
    ("items", "most items first"),
    ("took", "longest first"),
];

/// What a filter can ask for by name.
pub const COLUMNS: &[&str] = &["state", "status", "run", "started", "items", "failed", AGE];

const STATE: Column = Column::new("STATE", 9, Align::Left);
const FAILED: Column = Column::new("FAILED", 9, Align::Right);
const DONE: Column = Column::new("DONE", 13, Align::Left);
const NEXT: Column = Column::new("NEXT", 11, Align::Left);
const STARTED: Column = Column::new("STARTED", 8, Align::Left);
const ITEMS: Column = Column::new("ITEMS", 9, Align::Right);
const TOOK: Column = Column::new("TOOK", 7, Align::Right);

/// Cells a run's name has at least, before columns are dropped, and at most.
const NAME: (usize, usize) = (22, 60);

/// The columns for a width, in the order in which they are shown. Those of least use go first.
fn columns(cells: usize) -> Vec<Column> {
    let by_use = [STATE, FAILED, DONE, NEXT, STARTED, ITEMS, TOOK];
    let mut kept: Vec<&str> = Vec::new();
    let mut used = 2 + NAME.0 + 1;
    for column in by_use {
        used += column.width + 1;
        if used > cells {
            break;
        }
        kept.push(column.title);
    }
    let fixed: usize = by_use
        .iter()
        .filter(|column| kept.contains(&column.title))
        .map(|column| column.width + 1)
        .sum();
    let name = cells.saturating_sub(fixed + 3).min(NAME.1);
    let run = Column::new("RUN", name, Align::Name);
    [STATE, run, STARTED, TOOK, ITEMS, FAILED, DONE, NEXT]
        .into_iter()
        .filter(|column| column.title == "RUN" || kept.contains(&column.title))
        .collect()
}

impl Runs {
    /// The rows shown, filtered and sorted.
    pub fn rows<'a>(&self, app: &'a App) -> Vec<&'a Execution> {
        let mut rows = app.data().executions();
        if !self.filter.is_empty() {
            rows.retain(|run| self.fits(app, run));
        }
        let failed = |run: &&Execution| {
            let map_run = app.data().map_run(&run.arn);
            map_run.map_or(0, |it| it.items.failures())
        };
        let items = |run: &&Execution| app.data().map_run(&run.arn).map_or(0, |it| it.items.total);
        let took = |run: &&Execution| {
            figures::seconds_between(run.started, run.stopped.unwrap_or(app.now))
        };
        match self.order.name(SORTS) {
            "failed" => rows.sort_by_cached_key(|run| Reverse(failed(run))),
            "state" => rows.sort_by_cached_key(|run| app.data().state(run, app.now).word()),
            "run" => rows.sort_by(|one, other| one.name.cmp(&other.name)),
            "items" => rows.sort_by_cached_key(|run| Reverse(items(run))),
            "took" => rows.sort_by_cached_key(|run| Reverse(took(run))),
            _ => {}
        }
        if self.order.reversed {
            rows.reverse();
        }
        rows
    }

    fn fits(&self, app: &App, run: &Execution) -> bool {
        let state = app.data().state(run, app.now);
        let started = figures::full(run.started);
        let items = app.data().map_run(&run.arn).map(|it| it.items);
        let number = |of: fn(&Counts) -> u64| {
            items
                .as_ref()
                .map_or("?".to_owned(), |it| of(it).to_string())
        };
        let age = figures::seconds_between(run.started, app.now).to_string();
        self.filter.matches(&[
            ("state", state.word()),
            ("status", run.status.as_str()),
            ("run", &run.name),
            ("started", &started),
            ("items", &number(|it| it.total)),
            ("failed", &number(Counts::failures)),
            (AGE, &age),
        ])
    }

    /// The run under the cursor.
    pub fn chosen<'a>(&self, app: &'a App) -> Option<&'a Execution> {
        let rows = self.rows(app);
        rows.get(self.cursor.row(rows.len())).copied()
    }

    pub fn under_cursor(&self, app: &App) -> Option<ExecutionArn> {
        self.chosen(app).map(|run| run.arn.clone())
    }

    /// Where the anchor stands now, when it is still there.
    pub fn anchored(&self, app: &App) -> Option<usize> {
        let anchor = self.anchor.as_ref()?;
        self.rows(app).iter().position(|run| run.arn == *anchor)
    }

    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let below = match area.height {
            0..14 => 0,
            14..30 => 5,
            _ => 10,
        };
        let below = match below {
            0 => 0,
            usual => pane::resized(usual, app.pane("runs"), area.height),
        };
        let rows = self.rows(app);
        let (area, beside) = if area.width < WIDE {
            (area, Rect::ZERO)
        } else {
            let [left, right] = [area.width * 2 / 3, area.width - area.width * 2 / 3];
            (
                Rect {
                    width: left,
                    ..area
                },
                Rect::new(area.x + left, area.y, right, area.height),
            )
        };
        if let Some(run) = rows.get(self.cursor.row(rows.len())) {
            execution::summary::draw_beside(app, &run.arn, buffer, beside);
        }
        let inside = pane::boxed(buffer, area, &self.title(app, &rows), Style::new());
        let list = Rect::new(
            inside.x,
            inside.y,
            inside.width,
            inside.height.saturating_sub(below),
        );
        if rows.is_empty() {
            self.draw_nothing(app, buffer, list);
        } else {
            self.draw_rows(app, buffer, list, &rows);
        }
        let chosen = rows.get(self.cursor.row(rows.len()));
        if let (Some(run), true) = (chosen, below > 0) {
            let y = list.bottom();
            let title = text::middle(&run.name, area.width.saturating_sub(8) as usize);
            pane::divide(buffer, area, y, &title, Style::new());
            let pane = Rect::new(
                inside.x + 1,
                y + 1,
                inside.width.saturating_sub(2),
                below - 1,
            );
            draw_summary(app, run, buffer, pane);
        }
    }

    fn title(&self, app: &App, rows: &[&Execution]) -> String {
        let loaded = app.data().executions().len();
        let more = if app.data().next_page().is_some() {
            "+"
        } else {
            ""
        };
        let machine = app.data().machine.get();
        let machine = machine.map_or(app.settings.machine.as_str(), |arn| arn.name());
        let runs = format!("Runs of {}", text::middle(machine, 30));
        if app.data().newest.get().is_none() {
            return runs;
        }
        let all = figures::count(loaded as u64) + more;
        let sort = self.order.words(SORTS);
        let marked = self.marks.words(rows.iter().map(|run| &run.arn));
        let marked = marked.map_or_else(String::new, |it| format!("  {it}"));
        if self.filter.is_empty() {
            return format!("{runs}  {all}{marked}  {sort}");
        }
        let shown = figures::count(rows.len() as u64);
        format!(
            "{runs}  {shown} of {all}{marked}  /{}  {sort}",
            self.filter.text()
        )
    }

    fn draw_nothing(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let inner = Rect::new(
            area.x + 2,
            area.y + 1,
            area.width.saturating_sub(4),
            area.height.saturating_sub(1),
        );
        let data = app.data();
        let theme = app.theme();
        if data.machine.get().is_none() {
            let machine = &app.settings.machine;
            let waiting = format!("looking for the state machine {machine}…");
            return absence(buffer, inner, data.machine.trouble(), &waiting, theme);
        }
        if data.newest.get().is_none() {
            return absence(
                buffer,
                inner,
                data.newest.trouble(),
                "reading the runs…",
                theme,
            );
        }
        let lines = if self.filter.is_empty() {
            let key = app.keymap.key_of(Action::Start);
            [
                "no runs yet".to_owned(),
                format!("{key} starts one from a file or an S3 object"),
            ]
        } else {
            let key = app.keymap.key_of(Action::Back);
            [
                "no run fits the filter".to_owned(),
                format!("{key} clears it"),
            ]
        };
        for (row, line) in (0..).zip(lines) {
            pane::line(buffer, inner, row, Line::raw(line));
        }
    }

    fn draw_rows(&self, app: &App, buffer: &mut Buffer, area: Rect, rows: &[&Execution]) {
        let theme = app.theme();
        let columns = columns(area.width as usize);
        let list = List {
            columns: &columns,
            cursor: &self.cursor,
            len: rows.len(),
            has_keys: true,
        };
        let shown = list.begin(app, buffer, area);
        for (line, index) in (1..).zip(shown.rows) {
            let run = rows[index];
            let cells = columns.iter().map(|column| cell(app, run, column.title));
            let mark = (index == shown.chosen).then(|| theme.chosen());
            let drawn = table::markable(&columns, cells, mark, self.marks.has(&run.arn));
            list::row(buffer, area, line, drawn, mark);
        }
    }
}

fn cell(app: &App, run: &Execution, column: &str) -> (String, Style) {
    let theme = app.theme();
    let data = app.data();
    let described = data.run(&run.arn);
    let map_run = described.and_then(Run::map_run);
    let state = data.state(run, app.now);
    // A run that has no Map Run has no items; of one that was not described nothing is known.
    let number = |of: fn(&MapRun) -> u64| match (described, map_run) {
        (None, _) => "?".to_owned(),
        (Some(_), None) => "–".to_owned(),
        (Some(_), Some(map_run)) => figures::count(of(map_run)),
    };
    let plain = Style::new();
    match column {
        "STATE" => {
            let word = app.data().state_word(run, app.now);
            let style = match word == state.word() {
                true => theme.state(state),
                false => theme.dim(),
            };
            (format!("{word:<7} {}", theme.glyph(state)), style)
        }
        "RUN" => (run.name.clone(), plain),
        "STARTED" => (figures::moment(run.started, app.now), plain),
        "TOOK" => {
            let end = run.stopped.unwrap_or(app.now);
            (
                figures::span(figures::seconds_between(run.started, end)),
                plain,
            )
        }
        "ITEMS" => (number(|it| it.items.total), plain),
        "FAILED" => {
            let failed = number(|it| it.items.failures());
            let none = map_run.is_none_or(|it| it.items.failures() == 0);
            (failed, if none { plain } else { theme.bad() })
        }
        "DONE" => (map_run.map_or_else(String::new, done), plain),
        _ => (next(app, run, map_run, state), plain),
    }
}

/// `█████░░░  62%`: what ended one way or the other.
fn done(map_run: &MapRun) -> String {
    let items = &map_run.items;
    let done = items.done().min(items.total);
    let percent = figures::whole_percent(done, items.total);
    let filled = (done * 8).checked_div(items.total).unwrap_or(0) as usize;
    let bar = format!("{}{}", "█".repeat(filled), "░".repeat(8 - filled));
    format!("{bar} {}", text::right(&percent, 4))
}

/// What happens, or what one can do.
fn next(app: &App, run: &Execution, map_run: Option<&MapRun>, state: RunState) -> String {
    if let Some(healing) = app.data().healing(&run.arn).filter(|it| it.is_whole) {
        // A derived name begins with that of the run, which stands in the same row.
        let short = healing.by.strip_prefix(&format!("{}-", run.name));
        let short = short.and_then(|rest| rest.split('-').next());
        return format!("healed {}", short.unwrap_or(&healing.by));
    }
    match state {
        RunState::Running | RunState::Redrive if app.is_stale() => "?".to_owned(),
        RunState::Running | RunState::Redrive => {
            let eta = map_run.and_then(|map_run| {
                let pace = app.data().pace(&map_run.arn);
                let left = map_run.items.total.saturating_sub(map_run.items.done());
                pace.eta(left, None).filter(|_| left > 0)
            });
            eta.map_or_else(String::new, |eta| figures::span(eta.likely as i64))
        }
        RunState::Queued => "backlog".to_owned(),
        RunState::Part => {
            let open = map_run.map_or(0, |it| it.items.failures() + it.items.aborted);
            format!("re-run {}", figures::count(open))
        }
        RunState::Failed | RunState::TimedOut | RunState::Stopped => {
            let until = run
                .stopped
                .and_then(|at| at.checked_add(REDRIVE_PERIOD).ok());
            let left = until.map(|at| figures::seconds_between(app.now, at));
            left.map_or_else(String::new, |left| {
                format!("redrive {}", figures::coarse(left))
            })
        }
        RunState::Expired => "over".to_owned(),
        RunState::Succeeded | RunState::Unknown => String::new(),
    }
}

/// The lower pane.
fn draw_summary(app: &App, execution: &Execution, buffer: &mut Buffer, area: Rect) {
    let theme = app.theme();
    let cells = area.width as usize;
    let known = app.data().runs.get(&execution.arn);
    let Some(run) = known.and_then(|run| run.get()) else {
        let trouble = known.and_then(|run| run.trouble());
        return absence(buffer, area, trouble, "reading its counts…", theme);
    };
    let mut lines: Vec<Line<'static>> = Vec::new();
    match run.map_run() {
        Some(map_run) => lines.push(counts(app, map_run, cells)),
        None if execution.status.is_closed() => lines.push(Line::raw("ended without a Map Run")),
        None => lines.push(Line::raw("no Map Run yet: an earlier state is at work")),
    }
    if let Some(healing) = app.data().healing(&execution.arn) {
        let shown = format!("{}   its state stays as it ended", healing.words());
        lines.push(Line::raw(text::fit(&shown, cells)));
    }
    lines.extend(
        source(run).map(|source| Line::raw(text::fit(&format!("source   {source}"), cells))),
    );
    if let Some(error) = &run.detail.error {
        let cause = run.detail.cause.as_deref().unwrap_or_default();
        let shown = text::fit(&format!("error    {error}  {cause}"), cells);
        lines.push(Line::styled(shown, theme.bad()));
    }
    if let Some(map_run) = run.map_run() {
        lines.extend(errors(app, map_run, cells, area.height > 5));
    }
    for (row, line) in (0..).zip(lines) {
        pane::line(buffer, area, row, line);
    }
}

/// Counts, of which those of least use are left out where there is no room.
fn counts(app: &App, map_run: &MapRun, cells: usize) -> Line<'static> {
    let items = &map_run.items;
    let limit = match failures_allowed(map_run) {
        u64::MAX => "no limit".to_owned(),
        limit => format!("limit {}", figures::count(limit)),
    };
    let (done, total) = (figures::count(items.done()), figures::count(items.total));
    let failed = figures::count(items.failures());
    let share = figures::percent(items.failures(), items.total);
    let mut parts = vec![
        format!("{done} of {total} items"),
        format!("failed {failed} ({share}, {limit})"),
    ];
    if !map_run.status.is_closed() {
        parts.extend(app.data().pace(&map_run.arn).now().map(figures::rate));
        parts.push(format!("running {}", figures::count(items.running)));
    }
    if map_run.redrive_count > 0 {
        parts.push(format!("redrives {}", map_run.redrive_count));
    }
    parts.push(format!("ok {}", figures::count(items.succeeded)));
    let mut room = cells;
    parts.retain(|part| {
        let wanted = text::width(part) + 3;
        let fits = wanted <= room + 3;
        room = room.saturating_sub(if fits { wanted } else { 0 });
        fits
    });
    Line::raw(text::fit(&parts.join("   "), cells))
}

/// The file a run reads, from its input.
pub fn source(run: &Run) -> Option<String> {
    /// Inputs beyond this are not looked into on every frame.
    const SMALL: usize = 8 * 1024;
    let input = run
        .detail
        .input
        .as_deref()
        .filter(|input| input.len() <= SMALL)?;
    let input: serde_json::Value = serde_json::from_str(input).ok()?;
    let source = input.get("source")?;
    let (bucket, key) = (
        source.get("bucket")?.as_str()?,
        source.get("key")?.as_str()?,
    );
    Some(format!("s3://{bucket}/{key}"))
}

/// The worst errors, one a line where there is room, else on one line.
fn errors(app: &App, map_run: &MapRun, cells: usize, tall: bool) -> Vec<Line<'static>> {
    let theme = app.theme();
    let Some(set) = app.data().failure_set(&map_run.arn) else {
        return Vec::new();
    };
    let about = if set.is_exact() { "" } else { "~" };
    let count = |number: u64| format!("{about}{}", figures::count(number));
    if !tall {
        let all: Vec<String> = set
            .groups()
            .iter()
            .take(3)
            .map(|group| format!("{} {}", group.error, count(group.lost())))
            .collect();
        return vec![Line::raw(text::fit(
            &format!("errors   {}", all.join("   ")),
            cells,
        ))];
    }
    let read = if set.is_exact() {
        "Errors".to_owned()
    } else {
        let read = figures::count(set.survey.read);
        let all = figures::count(map_run.items.failures());
        format!("Errors  ({read} of {all} read)")
    };
    let mut lines = vec![Line::default(), Line::styled(read, theme.dim())];
    for (number, group) in (1..).zip(set.groups().iter().take(3)) {
        let room = cells.saturating_sub(48);
        let message = text::left(&text::fit(&group.message, room), room);
        lines.push(Line::from(vec![
            Span::raw(format!(
                "{number}  {} ",
                text::left(&text::fit(&group.error, 30), 30)
            )),
            Span::styled(message, theme.dim()),
            Span::raw(text::right(&count(group.lost()), 14)),
        ]));
    }
    lines
}
