//! Redrive in place: how many items will run, which will not, what speaks against it.

use crossterm::event::KeyEvent;
use ratatui::text::{Line, Span};

use crate::model::{ExecutionArn, Timestamp};
use crate::operations::Verdict;
use crate::operations::redrive::Plan;
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::dialog::{Focus, Reaction, TYPED_ABOVE, is_copy, presses};
use crate::tui::event::{Ask, Effect, Reply};
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{figures, text};

#[derive(Debug, Clone)]
pub struct Redrive {
    pub execution: ExecutionArn,
    plan: Remote<Plan>,
    pub typed: Field,
    focus: Focus,
    pub scroll: Scroll,
}

impl Redrive {
    /// The dialog and the ask for its plan.
    pub fn open(execution: ExecutionArn) -> (Self, Effect) {
        let ask = Effect::Ask(Ask::PlanRedrive(execution.clone()));
        let dialog = Self {
            execution,
            plan: Remote::Waiting,
            typed: Field::default(),
            focus: Focus::on_cancel(0, 2),
            scroll: Scroll::default(),
        };
        (dialog, ask)
    }

    pub fn put(&mut self, reply: Reply<Box<Plan>>, now: Timestamp) {
        self.plan.put(reply.map(|plan| *plan), now);
        let fields = usize::from(self.must_type());
        if fields != self.focus.fields {
            self.focus = Focus::on_cancel(fields, 2);
        }
    }

    fn must_type(&self) -> bool {
        let items = self.plan.get().map_or(0, Plan::will_run);
        items > TYPED_ABOVE
    }

    /// Whether the plan may be carried out as things stand.
    fn ready(&self) -> Result<&Plan, String> {
        let plan = match &self.plan {
            Remote::Known { value, .. } => value,
            Remote::Waiting => return Err("the counts are still being read".to_owned()),
            Remote::Failed { trouble, .. } => return Err(trouble.text.clone()),
        };
        plan.allowed.clone()?;
        let bad = plan.checks.iter().find(|it| it.verdict == Verdict::Bad);
        if let Some(check) = bad {
            return Err(check.text.clone());
        }
        let typed: String = self
            .typed
            .value()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        if self.must_type() && typed != plan.will_run().to_string() {
            return Err("type the number of items first".to_owned());
        }
        Ok(plan)
    }

    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        if is_copy(key) {
            let command = self.plan.get().map(|plan| Effect::Copy(plan.command()));
            return Reaction::Stay(command.into_iter().collect());
        }
        if self.focus.field().is_some() && self.typed.key(key) {
            return Reaction::nothing();
        }
        if self.focus.key(key) || !presses(key) {
            return Reaction::nothing();
        }
        match (self.focus.button(), self.ready()) {
            (Some(0), _) => Reaction::Close(Vec::new()),
            (Some(_), Ok(plan)) => Reaction::Close(vec![Effect::Redrive(Box::new(plan.clone()))]),
            _ => Reaction::nothing(),
        }
    }

    pub fn view(&self, app: &App, cells: usize, theme: Theme) -> View<'static> {
        let mut lines = vec![Line::default()];
        let mut focused_line = None;
        match &self.plan {
            Remote::Waiting => lines.push(Line::raw("reading the counts…")),
            Remote::Failed { trouble, .. } => {
                let shown = text::wrap(&trouble.text, cells, 4);
                lines.extend(shown.into_iter().map(|it| Line::styled(it, theme.bad())));
                lines.extend(trouble.hint.map(Line::raw));
            }
            Remote::Known { value, .. } => lines.extend(plan_lines(value, app, cells, theme)),
        }
        if self.must_type() {
            lines.push(Line::default());
            lines.push(Line::raw(
                "More than 10,000 items: type their number to confirm",
            ));
            focused_line = self.focus.field().map(|_| lines.len());
            let focused = focused_line.is_some();
            lines.push(dialog::field("", 0, &self.typed, 24, focused, theme));
        }
        let allowed = self.ready().map(|_| ());
        View {
            title: format!("Redrive {}", text::middle(self.execution.name(), 60)),
            lines,
            focused_line,
            buttons: vec![
                Button::new("Cancel", Ok(())),
                Button::new(self.label(), allowed),
            ],
            focused_button: self.focus.button(),
            command: self.plan.get().map(Plan::command),
        }
    }

    fn label(&self) -> String {
        match self.plan.get() {
            Some(plan) => format!("Redrive {} items", figures::count(plan.will_run())),
            None => "Redrive".to_owned(),
        }
    }
}

fn plan_lines(plan: &Plan, app: &App, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Err(reason) = &plan.allowed {
        let wrapped = text::wrap(&format!("Not possible: {reason}"), cells, 3);
        lines.extend(wrapped.into_iter().map(|it| Line::styled(it, theme.bad())));
        lines.push(Line::default());
    }
    lines.push(Line::raw(
        "AWS runs the failed items again: same execution, same input, same definition.",
    ));
    lines.push(Line::default());
    let left = [
        ("failed", plan.failed),
        ("timed out", plan.timed_out),
        ("aborted", plan.aborted),
        ("never started", plan.never_started),
    ];
    let right = [
        ("succeeded, kept", plan.succeeded),
        ("not redrivable", plan.not_redrivable),
    ];
    let half = cells / 2;
    lines.push(Line::from(vec![
        Span::styled(text::left("What will run", half), theme.bold()),
        Span::styled("What will not", theme.bold()),
    ]));
    for row in 0..left.len() {
        let entry = |pair: Option<&(&str, u64)>, width: usize| {
            let Some((label, number)) = pair else {
                return " ".repeat(width);
            };
            let figure = text::right(&figures::count(*number), 14);
            text::left(&format!("  {}{figure}", text::left(label, 16)), width)
        };
        let shown = entry(left.get(row), half) + &entry(right.get(row), 0);
        lines.push(Line::raw(text::fit(&shown, cells)));
    }
    let total = text::right(&figures::count(plan.will_run()), 14);
    let shown = format!("  {}{total}", text::left("in all", 16));
    lines.push(Line::styled(shown, theme.bold()));
    lines.push(Line::default());
    lines.push(Line::raw(text::fit(&circumstances(plan, app), cells)));
    if !plan.checks.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("Checks", theme.bold()));
        lines.extend(dialog::checks(&plan.checks, cells, theme));
    }
    lines
}

/// Redrives so far, time left, and how long it may take at this run's own rate.
fn circumstances(plan: &Plan, app: &App) -> String {
    let mut parts = vec![match plan.redrives_so_far {
        0 => "not redriven before".to_owned(),
        1 => "redriven once before".to_owned(),
        times => format!("redriven {times} times before"),
    }];
    if let Some(left) = plan.seconds_left {
        parts.push(format!("{} left to redrive", figures::span(left)));
    }
    let map_run = app.data().map_run(&plan.execution);
    let pace = map_run.and_then(|it| app.data().paces.get(&it.arn));
    let mean = pace.and_then(|pace| pace.rate(crate::tui::pace::MEAN));
    if let Some(rate) = mean.filter(|rate| *rate > 0.0) {
        let seconds = plan.will_run() as f64 / rate;
        let rate = figures::rate(rate);
        parts.push(format!("about {} at {rate}", figures::span(seconds as i64)));
    }
    parts.join("   ")
}
