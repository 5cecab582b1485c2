//! All that is known of one execution but its events, input and output.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::model::{ExecutionArn, MapRun};
use crate::operations::failures::message;
use crate::operations::machines::Drift;
use crate::operations::runs::Run;
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::pace;
use crate::tui::screen::execution::Execution;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{figures, json, pane, text};

pub fn draw(screen: &Execution, app: &App, buffer: &mut Buffer, area: Rect) {
    if let Some(run) = app.data().run(&screen.arn) {
        let entries = entries(screen, app, run);
        draw_entries(app, &entries, &screen.scroll, buffer, area);
    }
}

/// Input, output and error beside a list, for the run under its cursor; nothing while it is not
/// known.
pub fn draw_beside(app: &App, run: &ExecutionArn, buffer: &mut Buffer, area: Rect) {
    let Some(run) = app.data().run(run).filter(|_| area.width > 0) else {
        return;
    };
    let inside = pane::boxed(buffer, area, "Input, output, error", Style::new());
    let area = Rect::new(
        inside.x + 1,
        inside.y,
        inside.width.saturating_sub(2),
        inside.height,
    );
    draw_entries(app, &payloads(run), &Scroll::default(), buffer, area);
}

enum Entry {
    Heading(String),
    Text(String),
}

fn draw_entries(app: &App, entries: &[Entry], scroll: &Scroll, buffer: &mut Buffer, area: Rect) {
    let cells = area.width as usize;
    let window = scroll.window(entries.len(), area.height as usize);
    for (row, entry) in (0..).zip(&entries[window]) {
        let line = match entry {
            Entry::Heading(text) => Line::styled(text::fit(text, cells), app.theme().bold()),
            Entry::Text(text) => Line::raw(text::fit(text, cells)),
        };
        pane::line(buffer, area, row, line);
    }
}

fn row(label: &str, value: impl AsRef<str>) -> Entry {
    Entry::Text(format!("  {}{}", text::left(label, 20), value.as_ref()))
}

fn heading(text: impl Into<String>) -> Entry {
    Entry::Heading(text.into())
}

fn gap() -> Entry {
    Entry::Text(String::new())
}

fn document(source: &str) -> impl Iterator<Item = Entry> {
    let lines = json::lines(source).into_iter();
    lines.map(|line| Entry::Text(format!("  {line}")))
}

fn entries(screen: &Execution, app: &App, run: &Run) -> Vec<Entry> {
    let execution = run.execution();
    let mut entries = Vec::new();
    if let Some(error) = &run.detail.error {
        entries.extend([heading("Error"), row("name", error)]);
        let cause = message(run.detail.cause.as_deref().unwrap_or_default());
        entries.extend(
            text::wrap(&cause, 90, 6)
                .into_iter()
                .map(|line| row("", line)),
        );
        entries.push(gap());
    }
    entries.extend([
        heading("Execution"),
        row("name", &execution.name),
        row("ARN", execution.arn.as_str()),
        row("state machine", execution.state_machine.as_str()),
        row("status", execution.status.as_str()),
        row("started", figures::full(execution.started)),
    ]);
    entries.extend(
        execution
            .stopped
            .map(|at| row("stopped", figures::full(at))),
    );
    let took = execution
        .stopped
        .unwrap_or(app.now)
        .duration_since(execution.started);
    entries.push(row("took", figures::took(took)));
    entries.push(row("redrives", execution.redrive_count.to_string()));
    entries.extend(
        execution
            .redriven
            .map(|at| row("redriven", figures::full(at))),
    );
    let reason = run.detail.redrive_status_reason.as_ref();
    entries.extend(reason.map(|reason| row("not redrivable", reason)));
    let parent = execution.map_run.as_ref();
    entries.extend(parent.map(|map_run| row("child of", map_run.as_str())));
    entries.extend(known_in_depth(screen, app));
    for map_run in &run.map_runs {
        entries.push(gap());
        entries.extend(of_map_run(map_run));
    }
    entries
}

/// What definition and history say.
fn known_in_depth(screen: &Execution, app: &App) -> Vec<Entry> {
    let mut entries = Vec::new();
    let definition = app
        .data()
        .definitions
        .get(&screen.arn)
        .and_then(Remote::get);
    if let Some(definition) = definition {
        let drift = match definition.own.drift {
            Drift::Same => "the one that new executions get",
            Drift::Changed => "an older one: the state machine was changed since",
            Drift::Unknown => "its own; whether it is still the current one is not known",
        };
        entries.push(row("definition", drift));
        let revision = definition.own.detail.revision.as_ref();
        entries.extend(revision.map(|revision| row("revision", revision)));
    }
    if let Some(history) = app.data().history(&screen.arn) {
        entries.push(row("history", Execution::extent(history)));
        let visits = &history.trace.visits;
        let tries: usize = visits
            .iter()
            .map(|it| it.attempts.len().saturating_sub(1))
            .sum();
        let entered = figures::count(visits.len() as u64);
        let retries = figures::count(tries as u64);
        entries.push(row(
            "states entered",
            format!("{entered}, retried {retries} times"),
        ));
    }
    entries
}

fn payloads(run: &Run) -> Vec<Entry> {
    let detail = &run.detail;
    let mut entries = Vec::new();
    if let Some(error) = &detail.error {
        entries.extend([heading("Error"), row("name", error)]);
        entries.extend(document(detail.cause.as_deref().unwrap_or_default()));
        entries.push(gap());
    }
    for (title, payload) in [("Input", &detail.input), ("Output", &detail.output)] {
        if let Some(payload) = payload {
            entries.push(heading(title));
            entries.extend(document(payload));
            entries.push(gap());
        }
    }
    entries
}

fn of_map_run(map_run: &MapRun) -> Vec<Entry> {
    let (items, children) = (&map_run.items, &map_run.executions);
    let counts = |label: &str, item: u64, child: u64| {
        let item = text::right(&figures::count(item), 14);
        row(
            label,
            format!("{item}{}", text::right(&figures::count(child), 14)),
        )
    };
    vec![
        heading(format!("Map Run {}", map_run.arn.label())),
        row("ARN", map_run.arn.as_str()),
        row("status", map_run.status.as_str()),
        row("children at once", figures::count(map_run.max_concurrency)),
        row("tolerated failures", pace::tolerance(map_run)),
        row("redrives", map_run.redrive_count.to_string()),
        row(
            "",
            format!(
                "{}{}",
                text::right("items", 14),
                text::right("children", 14)
            ),
        ),
        counts("total", items.total, children.total),
        counts("succeeded", items.succeeded, children.succeeded),
        counts("failed", items.failed, children.failed),
        counts("timed out", items.timed_out, children.timed_out),
        counts("aborted", items.aborted, children.aborted),
        counts("running", items.running, children.running),
        counts("pending", items.pending, children.pending),
        counts(
            "pending redrive",
            items.pending_redrive,
            children.pending_redrive,
        ),
        counts(
            "not redrivable",
            items.failures_not_redrivable,
            children.failures_not_redrivable,
        ),
        counts(
            "results written",
            items.results_written,
            children.results_written,
        ),
    ]
}
