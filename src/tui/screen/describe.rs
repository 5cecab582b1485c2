//! All that is known of one run, its input and output as readable JSON.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::model::{ExecutionArn, MapRun};
use crate::operations::runs::Run;
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::screen::absence;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{figures, json, pane, text};

#[derive(Debug, Clone)]
pub struct Describe {
    pub run: ExecutionArn,
    pub scroll: Scroll,
}

impl Describe {
    pub fn new(run: ExecutionArn) -> Self {
        Self {
            run,
            scroll: Scroll::default(),
        }
    }

    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let title = text::middle(self.run.name(), 60);
        let inside = pane::boxed(buffer, area, &title, Style::new());
        let area = Rect::new(
            inside.x + 1,
            inside.y,
            inside.width.saturating_sub(2),
            inside.height,
        );
        let known = app.data().runs.get(&self.run);
        let Some(run) = known.and_then(Remote::get) else {
            let trouble = known.and_then(Remote::trouble);
            return absence(buffer, area, trouble, "reading the run…", app.theme());
        };
        let lines = lines(run);
        let window = self.scroll.window(lines.len(), area.height as usize);
        for (row, line) in (0..).zip(&lines[window]) {
            let shown = text::fit(line, area.width as usize);
            let style = if line.starts_with(' ') || line.contains("  ") {
                Style::new()
            } else {
                app.theme().bold()
            };
            pane::line(buffer, area, row, Line::styled(shown, style));
        }
    }
}

fn row(label: &str, value: impl AsRef<str>) -> String {
    format!("  {}{}", text::left(label, 20), value.as_ref())
}

fn lines(run: &Run) -> Vec<String> {
    let execution = run.execution();
    let detail = &run.detail;
    let mut lines = vec![
        "Execution".to_owned(),
        row("name", &execution.name),
        row("ARN", execution.arn.as_str()),
        row("state machine", execution.state_machine.as_str()),
        row("status", execution.status.as_str()),
        row("started", figures::full(execution.started)),
    ];
    lines.extend(
        execution
            .stopped
            .map(|at| row("stopped", figures::full(at))),
    );
    lines.push(row("redrives", execution.redrive_count.to_string()));
    lines.extend(
        execution
            .redriven
            .map(|at| row("redriven", figures::full(at))),
    );
    lines.extend(
        detail
            .redrive_status_reason
            .as_ref()
            .map(|reason| row("not redrivable", reason)),
    );
    for map_run in &run.map_runs {
        lines.push(String::new());
        lines.extend(map_run_lines(map_run));
    }
    if let Some(error) = &detail.error {
        lines.extend([String::new(), "Error".to_owned(), row("name", error)]);
        let cause = detail.cause.as_deref().unwrap_or_default();
        lines.extend(
            json::lines(cause)
                .into_iter()
                .map(|line| format!("  {line}")),
        );
    }
    for (title, payload) in [("Input", &detail.input), ("Output", &detail.output)] {
        if let Some(payload) = payload {
            lines.extend([String::new(), title.to_owned()]);
            lines.extend(
                json::lines(payload)
                    .into_iter()
                    .map(|line| format!("  {line}")),
            );
        }
    }
    lines
}

fn map_run_lines(map_run: &MapRun) -> Vec<String> {
    let (items, children) = (&map_run.items, &map_run.executions);
    let counts = |label: &str, item: u64, child: u64| {
        let item = text::right(&figures::count(item), 14);
        row(
            label,
            format!("{item}{}", text::right(&figures::count(child), 14)),
        )
    };
    vec![
        format!("Map Run {}", map_run.arn.label()),
        row("ARN", map_run.arn.as_str()),
        row("status", map_run.status.as_str()),
        row("children at once", figures::count(map_run.max_concurrency)),
        row(
            "tolerated failures",
            format!(
                "{} % or {}",
                map_run.tolerated_percentage,
                figures::count(map_run.tolerated_count)
            ),
        ),
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
