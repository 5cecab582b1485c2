//! How the form is drawn.

use ratatui::text::Line;

use crate::operations::start::Plan;
use crate::operations::{Check, Verdict};
use crate::tui::data::Remote;
use crate::tui::dialog::start::{INPUT, LABELS, SOURCE, Start, TEMPLATE};
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::json;
use crate::tui::widget::list::Cursor;
use crate::tui::widget::{figures, text};

/// Lines of the input shown.
const INPUT_LINES: usize = 14;
/// Candidates shown at once.
const CANDIDATES: usize = 8;
/// Cells before what a field holds, and before what it may hold.
const LABEL: usize = 16;
const INDENT: usize = 19;

impl Start {
    pub fn view(&self, cells: usize, theme: Theme) -> View<'static> {
        let mut lines = vec![Line::default()];
        for (index, field) in self.fields.iter().enumerate() {
            let focused = self.focus.field() == Some(index) && self.saving.is_none();
            lines.push(dialog::field(
                LABELS[index],
                LABEL,
                field,
                cells,
                focused,
                theme,
            ));
            if focused {
                lines.extend(self.candidate_lines(cells, theme));
            }
        }
        let mut focused_line = self.focus.field().map(|field| field + 1);
        if let Some(name) = &self.saving {
            focused_line = Some(lines.len());
            lines.push(dialog::field(
                "template name",
                LABEL,
                name,
                cells,
                true,
                theme,
            ));
            let told = "enter keeps template and input under this name   esc does not";
            lines.push(Line::styled(
                format!("{}{told}", " ".repeat(INDENT)),
                theme.dim(),
            ));
        }
        lines.push(Line::default());
        match (&self.plan, &self.planned, self.form()) {
            (_, _, Err(problem)) => lines.push(Line::raw(format!("  {problem}"))),
            (_, Some(planned), Ok(form)) if *planned != form => {
                lines.push(Line::raw("  not checked yet: tab goes on and checks it"));
            }
            (Remote::Known { value, .. }, ..) => lines.extend(plan_lines(value, cells, theme)),
            (Remote::Failed { trouble, .. }, ..) => {
                let wrapped = text::wrap(&trouble.text, cells.saturating_sub(4), 3);
                lines.extend(
                    wrapped
                        .into_iter()
                        .map(|it| Line::styled(format!("  {it}"), theme.bad())),
                );
                let hint = trouble.hint.iter();
                let hint = hint.flat_map(|it| text::wrap(it, cells.saturating_sub(4), 6));
                lines.extend(hint.map(|it| Line::raw(format!("  {it}"))));
            }
            (Remote::Waiting, Some(_), _) => lines.push(Line::raw("  reading the source…")),
            (Remote::Waiting, None, _) => {
                lines.push(Line::raw(
                    "  tab completes the path, and once more goes on and checks it; ↓ lists",
                ));
            }
        }
        lines.extend(self.trial_lines(cells, theme));
        if let Some(number) = self.to_type() {
            lines.push(Line::default());
            let asked = match (self.plan.get().and_then(|plan| plan.lines), number) {
                (Some(_), lines) => format!(
                    "  {} lines: type that number to confirm",
                    figures::count(lines)
                ),
                (None, _) => "  this is PROD: type 1 to confirm".to_owned(),
            };
            lines.push(Line::raw(asked));
            let focused = self.focus.field() == Some(LABELS.len());
            if focused {
                focused_line = Some(lines.len());
            }
            lines.push(dialog::field("", 0, &self.typed, 24, focused, theme));
        }
        let uploads = self.plan.get().is_none_or(|plan| plan.upload.is_some());
        let label = if uploads { "Upload and start" } else { "Start" };
        // All three buttons are always seen.
        let trial = match cells {
            0..60 => "Dry run",
            60..68 => "Dry run: 10 lines",
            _ => "Dry run: 10 lines, local engine",
        };
        View {
            title: "Start a run".to_owned(),
            lines,
            focused_line,
            buttons: vec![
                Button::new("Cancel", Ok(())),
                Button::new(trial, self.can_try().map(|_| ())),
                Button::new(label, self.ready().map(|_| ())),
            ],
            focused_button: self.focus.button(),
            command: self.plan().ok().map(Plan::command),
        }
    }

    /// How the first lines fare, in the words of a check.
    fn trial_lines(&self, cells: usize, theme: Theme) -> Vec<Line<'static>> {
        let Some((name, fared)) = &self.trial else {
            return Vec::new();
        };
        if self.plan().is_ok_and(|plan| plan.name != *name) {
            return Vec::new();
        }
        match fared {
            None => vec![Line::styled(
                "  trying the first lines on the embedded engine…",
                theme.dim(),
            )],
            Some(fared) => {
                let (verdict, text) = match fared {
                    Ok(text) => (Verdict::Good, text),
                    Err(trouble) => (Verdict::Notice, &trouble.text),
                };
                let text = text.clone();
                dialog::checks(&[Check { verdict, text }], cells, theme)
            }
        }
    }

    fn candidate_lines(&self, cells: usize, theme: Theme) -> Vec<Line<'static>> {
        let offered = self.offered();
        let candidates = match self.list.is_none() && self.candidates.is_empty() {
            true => &offered,
            false => &self.candidates,
        };
        let len = candidates.len();
        let first = Cursor::default();
        let window = self.list.as_ref().unwrap_or(&first).window(len, CANDIDATES);
        let chosen = self.list.as_ref().map(|list| list.row(len));
        let after = len - window.end;
        let mut lines: Vec<Line<'static>> = window
            .map(|row| {
                let shown = text::middle(&candidates[row], cells.saturating_sub(INDENT + 1));
                if chosen == Some(row) {
                    Line::styled(
                        format!("{}▸ {shown}", " ".repeat(INDENT - 2)),
                        theme.chosen(),
                    )
                } else {
                    Line::styled(format!("{}{shown}", " ".repeat(INDENT)), theme.dim())
                }
            })
            .collect();
        let further = if self.listed.1.is_some() { "+" } else { "" };
        let told = match (self.list.is_some(), after) {
            (true, _) if len == 0 => "nothing begins so; ← goes up".to_owned(),
            (true, _) if self.focus.field() == Some(SOURCE) => {
                format!("{after}{further} more   enter takes   ← goes up   esc closes")
            }
            (true, _) => format!("{after} more   enter takes   esc closes"),
            (false, _) if self.saving.is_some() => return Vec::new(),
            (false, 0) => match self.focus.field() {
                Some(TEMPLATE | INPUT) if len > 0 => "↓ chooses".to_owned(),
                Some(TEMPLATE) if self.templates.is_empty() => {
                    "there are none yet: ctrl-s makes one of this form".to_owned()
                }
                _ => return lines,
            },
            (false, _) => format!("{after}{further} more   ↓ chooses"),
        };
        let told = text::fit(&told, cells.saturating_sub(INDENT));
        lines.push(Line::styled(
            format!("{}{told}", " ".repeat(INDENT)),
            theme.dim(),
        ));
        lines
    }
}

fn plan_lines(plan: &Plan, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let row = |label: &str, value: String| {
        let room = cells.saturating_sub(18);
        let value = text::middle(&value, room);
        Line::raw(format!("  {}{value}", text::left(label, 16)))
    };
    let size = figures::bytes(plan.size);
    let lines_known = plan
        .lines
        .map(|lines| format!("{} lines, ", figures::count(lines)));
    let mut lines = vec![
        row("source", lines_known.unwrap_or_default() + &size),
        row("run name", plan.name.clone()),
    ];
    if let Some(address) = &plan.upload {
        lines.push(row("uploaded to", address.to_string()));
    }
    lines.push(Line::default());
    lines.push(Line::styled(
        "  Input      ctrl-x edits it in your editor   ctrl-s saves it as a template",
        theme.bold(),
    ));
    for it in &plan.filled {
        let line = format!("    {} → {}", it.placeholder, it.value);
        lines.push(Line::styled(text::fit(&line, cells), theme.dim()));
    }
    let input = json::lines(&plan.input.to_string());
    for line in input.iter().take(INPUT_LINES) {
        lines.push(Line::raw(format!(
            "    {}",
            text::fit(line, cells.saturating_sub(4))
        )));
    }
    if input.len() > INPUT_LINES {
        let more = format!(
            "    … {} more lines, e shows all",
            input.len() - INPUT_LINES
        );
        lines.push(Line::styled(more, theme.dim()));
    }
    if !plan.checks.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("  Checks", theme.bold()));
        lines.extend(dialog::checks(&plan.checks, cells, theme));
    }
    lines
}
