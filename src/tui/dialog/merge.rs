//! Merge: one new file with the newest success of every line, over a run, its redrives and its
//! re-runs. What goes in, where it goes, and which lines stay open, before anything is written.

use crossterm::event::KeyEvent;
use ratatui::text::Line;

use crate::model::{ExecutionArn, Timestamp};
use crate::operations::merge::{Plan, To};
use crate::operations::reconcile::Reconciliation;
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::dialog::{Focus, Reaction, is_copy, presses};
use crate::tui::event::{Ask, Effect, Reply};
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{figures, text};

/// Sources that are named.
const SOURCES: usize = 8;
/// Rows above the field of the destination.
const FIELD: usize = 1;

#[derive(Debug, Clone)]
pub struct Merge {
    pub execution: ExecutionArn,
    plan: Remote<Plan>,
    /// Where it goes; what the plan says until something else is written.
    to: Field,
    /// The destination that a plan was asked for last; `None` leaves it to the plan.
    asked: Option<String>,
    /// How many lines, typed to confirm where that is asked for.
    typed: Field,
    is_prod: bool,
    pub(super) focus: Focus,
    pub scroll: Scroll,
}

impl Merge {
    /// The dialog and the ask for its plan.
    pub fn open(execution: ExecutionArn, is_prod: bool) -> (Self, Effect) {
        let dialog = Self {
            plan: Remote::Waiting,
            to: Field::default(),
            asked: None,
            typed: Field::default(),
            is_prod,
            focus: Focus::on_cancel(1 + usize::from(is_prod), 2),
            scroll: Scroll::default(),
            execution: execution.clone(),
        };
        (dialog, Effect::Ask(Ask::PlanMerge(execution, None)))
    }

    /// Takes in the plan; one for an earlier destination is too late.
    pub fn put(&mut self, to: Option<&str>, reply: Reply<Box<Plan>>, now: Timestamp) {
        if self.asked.as_deref() != to {
            return;
        }
        self.plan.put(reply.map(|plan| *plan), now);
        if let (Some(plan), true) = (self.plan.get(), self.to.value().trim().is_empty()) {
            self.to = Field::new(plan.to.to_string());
        }
    }

    /// The destination as it is written, where it is not the one planned for.
    fn wanted(&self) -> Option<String> {
        let written = self.to.value().trim();
        let planned = self.plan.get().map(|plan| plan.to.to_string());
        let is_planned = written.is_empty() || planned.as_deref() == Some(written);
        (!is_planned).then(|| written.to_owned())
    }

    /// Asks for another plan, where another destination is written.
    fn ask(&mut self) -> Option<Effect> {
        let wanted = self.wanted()?;
        if self.asked.as_ref() == Some(&wanted) {
            return None;
        }
        self.asked = Some(wanted.clone());
        self.plan = Remote::Waiting;
        let ask = Ask::PlanMerge(self.execution.clone(), Some(wanted));
        Some(Effect::Ask(ask))
    }

    fn ready(&self) -> Result<Plan, String> {
        if let Some(trouble) = self.plan.trouble() {
            return Err(trouble.text.clone());
        }
        let Some(plan) = self.plan.get() else {
            return Err("what there is to merge is still being looked at".to_owned());
        };
        if self.wanted().is_some() {
            return Err("the destination is another one: leave its field to check it".to_owned());
        }
        plan.allowed()?;
        let typed = self.typed.value().replace(',', "");
        match self.is_prod && typed.trim() != plan.lines.to_string() {
            true => Err("PROD: type the number of lines first".to_owned()),
            false => Ok(plan.clone()),
        }
    }

    fn focused(&mut self) -> Option<&mut Field> {
        match self.focus.field()? {
            0 => Some(&mut self.to),
            _ => Some(&mut self.typed),
        }
    }

    pub fn paste(&mut self, pasted: &str) {
        if let Some(field) = self.focused() {
            field.paste(pasted);
        }
    }

    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        if is_copy(key) {
            let command = self.plan.get().map(|plan| Effect::Copy(plan.command()));
            return Reaction::Stay(command.into_iter().collect());
        }
        if let Some(field) = self.focused()
            && field.key(key)
        {
            return Reaction::nothing();
        }
        if self.focus.key(key) {
            return Reaction::Stay(self.ask().into_iter().collect());
        }
        if !presses(key) {
            return Reaction::nothing();
        }
        match (self.focus.button(), self.ready()) {
            (Some(0), _) => Reaction::Close(Vec::new()),
            (Some(_), Ok(plan)) => Reaction::Close(vec![Effect::Merge(Box::new(plan))]),
            // Enter in a field goes on to the next one; it never merges.
            (None, _) => {
                self.focus.next();
                Reaction::Stay(self.ask().into_iter().collect())
            }
            _ => Reaction::nothing(),
        }
    }

    pub fn view(&self, app: &App, cells: usize, theme: Theme) -> View<'static> {
        let field = self.focus.field();
        let width = cells.min(5 + 8 + 90);
        let to = dialog::field("Into", 8, &self.to, width, field == Some(0), theme);
        let mut lines = vec![Line::default(), to, Line::default()];
        match &self.plan {
            Remote::Waiting => lines.push(Line::raw("looking at what there is to merge…")),
            Remote::Failed { trouble, .. } => {
                let wrapped = text::wrap(&trouble.text, cells, 4).into_iter();
                lines.extend(wrapped.map(|it| Line::styled(it, theme.bad())));
            }
            Remote::Known { value, .. } => {
                let reconciled = app.data().reconciliations.get(&self.execution);
                lines.extend(plan_lines(value, cells, theme));
                lines.extend(open_lines(value, reconciled.and_then(Remote::get), cells));
                lines.push(Line::default());
                lines.extend(dialog::checks(&value.checks, cells, theme));
            }
        }
        let mut focused_line = (field == Some(0)).then_some(FIELD);
        if self.is_prod {
            lines.push(Line::default());
            lines.push(Line::raw("PROD: type the number of lines to confirm"));
            if field == Some(1) {
                focused_line = Some(lines.len());
            }
            let is_focused = field == Some(1);
            lines.push(dialog::field("", 0, &self.typed, 24, is_focused, theme));
        }
        View {
            title: format!("Merge {}", text::middle(self.execution.name(), 60)),
            lines,
            focused_line,
            buttons: vec![
                Button::new("Cancel", Ok(())),
                Button::new("Merge", self.ready().map(|_| ())),
            ],
            focused_button: self.focus.button(),
            command: self.plan.get().map(Plan::command),
        }
    }
}

/// What goes in, the oldest first.
fn plan_lines(plan: &Plan, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let lines = figures::count(plan.lines);
    let title = format!("What goes in, for {lines} lines: of two successes the later one");
    let mut shown = vec![Line::styled(text::fit(&title, cells), theme.bold())];
    for source in plan.sources.iter().take(SOURCES) {
        let objects = match source.objects.as_slice() {
            [one] => one.file_name().to_owned(),
            several => format!("{} objects", several.len()),
        };
        let (kind, run, size) = (&source.kind, &source.run, figures::bytes(source.bytes));
        let said = format!("  {kind} of {run}: {objects}, {size}");
        shown.push(Line::raw(text::fit(&said, cells)));
    }
    if let Some(more @ 1..) = plan.sources.len().checked_sub(SOURCES) {
        shown.push(Line::raw(format!("  and {more} more")));
    }
    shown
}

/// Which lines the merged file will not have, where they have been counted.
fn open_lines(plan: &Plan, found: Option<&Reconciliation>, cells: usize) -> Vec<Line<'static>> {
    // What was counted before the last re-run says nothing of what there is now.
    let found = found.filter(|found| found.sources == plan.sources);
    let Some(found) = found else {
        let said = "What stays open: not counted yet, it is told when it is merged";
        return vec![Line::default(), Line::raw(text::fit(said, cells))];
    };
    let open = found.lines.saturating_sub(found.succeeded);
    let failed = match &plan.to.failed() {
        To::Object(address) => address.file_name().to_owned(),
        To::File(path) => path.display().to_string(),
    };
    let said = match open {
        0 => "What stays open: nothing, every line has succeeded".to_owned(),
        open => format!(
            "What stays open: {} lines, written to {failed} beside it",
            figures::count(open)
        ),
    };
    vec![Line::default(), Line::raw(text::fit(&said, cells))]
}
