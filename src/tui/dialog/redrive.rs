//! Redrive in place: how many items will run, which will not, what speaks against it.

use crossterm::event::KeyEvent;
use ratatui::text::Line;

use crate::model::{ExecutionArn, Timestamp};
use crate::operations::Verdict;
use crate::operations::redrive::Plan;
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::dialog::{Focus, Reaction, TYPED_ABOVE, is_copy, presses};
use crate::tui::event::{Ask, Effect, Reply};
use crate::tui::pace::MEAN;
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{figures, text};

#[derive(Debug, Clone)]
pub struct Redrive {
    pub execution: ExecutionArn,
    plan: Remote<Plan>,
    /// Its number is typed whatever it is.
    is_prod: bool,
    pub typed: Field,
    focus: Focus,
    pub scroll: Scroll,
}

impl Redrive {
    /// The dialog and the ask for its plan.
    pub fn open(execution: ExecutionArn, is_prod: bool) -> (Self, Effect) {
        let ask = Effect::Ask(Ask::PlanRedrive(execution.clone()));
        let dialog = Self {
            execution,
            plan: Remote::Waiting,
            is_prod,
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
        let items = self.plan.get().map(Plan::will_run);
        items.is_some_and(|items| self.is_prod || items > TYPED_ABOVE)
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
            let why = match self.is_prod {
                true => "PROD: type the number of items to confirm",
                false => "More than 10,000 items: type their number to confirm",
            };
            lines.push(Line::raw(why));
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
    let what = "AWS runs the failed items again: same execution, same input, same definition.";
    lines.extend(text::wrap(what, cells, 2).into_iter().map(Line::raw));
    lines.push(Line::default());
    let runs = [
        ("failed", plan.failed),
        ("timed out", plan.timed_out),
        ("aborted", plan.aborted),
        ("never started", plan.never_started),
    ];
    let stays = [
        ("succeeded, kept", plan.succeeded),
        ("not redrivable", plan.not_redrivable),
    ];
    lines.push(columns("What will run", "What will not", cells).style(theme.bold()));
    for row in 0..runs.len() {
        let cell = |entry: Option<&(&str, u64)>| entry.map_or_else(String::new, figure);
        lines.push(columns(&cell(runs.get(row)), &cell(stays.get(row)), cells));
    }
    let total = figure(&("in all", plan.will_run()));
    lines.push(Line::styled(total, theme.bold()));
    lines.push(Line::default());
    lines.push(Line::raw(text::fit(&circumstances(plan, app), cells)));
    if !plan.checks.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("Checks", theme.bold()));
        lines.extend(dialog::checks(&plan.checks, cells, theme));
    }
    lines
}

/// `  failed     60,113`.
fn figure((label, number): &(&str, u64)) -> String {
    let number = text::right(&figures::count(*number), 10);
    format!("  {}{number}", text::left(label, 15))
}

fn columns(left: &str, right: &str, cells: usize) -> Line<'static> {
    let left = text::left(left, (cells / 2).max(28));
    Line::raw(text::fit(&(left + right), cells))
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
    let mean = map_run.and_then(|it| app.data().pace(&it.arn).rate(MEAN));
    if let Some(rate) = mean.filter(|rate| *rate > 0.0) {
        let seconds = plan.will_run() as f64 / rate;
        let rate = figures::rate(rate);
        parts.push(format!("about {} at {rate}", figures::span(seconds as i64)));
    }
    parts.join("   ")
}
