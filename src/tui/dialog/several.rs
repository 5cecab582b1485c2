//! One thing done to several marked runs: a list of exactly what will be hit. What the filter hides
//! stands apart, and is left alone unless it is asked for.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::text::Line;

use crate::model::{ExecutionArn, Timestamp};
use crate::operations::Verdict;
use crate::operations::redrive::Plan;
use crate::tui::data::Remote;
use crate::tui::dialog::{Focus, Reaction, is_copy, presses};
use crate::tui::event::{Effect, Reply};
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{figures, text};

#[derive(Debug, Clone)]
pub struct Several {
    deed: Deed,
    targets: Vec<Target>,
    /// Whether those are hit too that the filter hides.
    with_hidden: bool,
    pub typed: Field,
    pub(super) focus: Focus,
    pub scroll: Scroll,
}

#[derive(Debug, Clone)]
enum Deed {
    Stop,
    Redrive,
}

#[derive(Debug, Clone)]
pub struct Target {
    run: ExecutionArn,
    /// What is known of it, in a few words.
    note: String,
    is_hidden: bool,
    /// Why it is left alone.
    pub refused: Option<String>,
    /// Of a redrive.
    plan: Remote<Plan>,
}

impl Target {
    pub fn new(run: ExecutionArn, note: String, is_hidden: bool) -> Self {
        Self {
            run,
            note,
            is_hidden,
            refused: None,
            plan: Remote::Waiting,
        }
    }

    pub fn arn(&self) -> &ExecutionArn {
        &self.run
    }
}

impl Several {
    pub fn stop(targets: Vec<Target>) -> Self {
        Self::new(Deed::Stop, targets)
    }

    /// The plan of each is to be asked for.
    pub fn redrive(targets: Vec<Target>) -> Self {
        Self::new(Deed::Redrive, targets)
    }

    fn new(deed: Deed, mut targets: Vec<Target>) -> Self {
        targets.sort_by_key(|target| target.is_hidden);
        let mut dialog = Self {
            deed,
            targets,
            with_hidden: false,
            typed: Field::default(),
            focus: Focus::on_cancel(0, 2),
            scroll: Scroll::default(),
        };
        dialog.focus = Focus::on_cancel(dialog.fields(), 2);
        dialog
    }

    pub fn put(&mut self, arn: &ExecutionArn, reply: Reply<Box<Plan>>, now: Timestamp) {
        let mut targets = self.targets.iter_mut();
        let Some(target) = targets.find(|target| target.run == *arn) else {
            return;
        };
        target.refused = match &reply {
            Err(trouble) => Some(trouble.text.clone()),
            Ok(plan) => refusal(plan),
        };
        target.plan.put(reply.map(|plan| *plan), now);
    }

    fn has_hidden(&self) -> bool {
        self.targets.iter().any(|target| target.is_hidden)
    }

    /// It is confirmed by its number.
    fn fields(&self) -> usize {
        usize::from(self.has_hidden()) + 1
    }

    /// Whether the focus is on "include what is hidden".
    fn is_on_choice(&self) -> bool {
        self.has_hidden() && self.focus.field() == Some(0)
    }

    fn is_on_count(&self) -> bool {
        let count = usize::from(self.has_hidden());
        self.focus.field() == Some(count)
    }

    /// Those that will be hit as things stand.
    fn hit(&self) -> impl Iterator<Item = &Target> {
        let with_hidden = self.with_hidden;
        self.targets
            .iter()
            .filter(move |it| it.refused.is_none() && (with_hidden || !it.is_hidden))
    }

    fn ready(&self) -> Result<(), String> {
        let is_read = |target: &Target| matches!(target.plan, Remote::Known { .. });
        if matches!(self.deed, Deed::Redrive) && !self.hit().all(is_read) {
            return Err("the counts are still being read".to_owned());
        }
        let count = self.hit().count();
        if count == 0 {
            return Err("nothing of this is possible".to_owned());
        }
        let typed = self.typed.value().trim();
        if typed != count.to_string() {
            return Err(format!("type the number of runs, {count}, first"));
        }
        Ok(())
    }

    fn effects(&self) -> Vec<Effect> {
        if matches!(self.deed, Deed::Redrive) {
            let plans = self.hit().filter_map(|it| it.plan.get().cloned());
            return vec![Effect::RedriveAll(plans.collect())];
        }
        let stopped = self.hit().map(|target| Effect::Stop(target.run.clone()));
        stopped.collect()
    }

    fn commands(&self) -> Vec<String> {
        let command = |target: &Target| match self.deed {
            Deed::Stop => Some(format!("fanout stop {} --yes", target.run.name())),
            Deed::Redrive => target.plan.get().map(Plan::command),
        };
        self.hit().filter_map(command).collect()
    }

    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        if is_copy(key) {
            let commands = self.commands().join("\n");
            let copy = (!commands.is_empty()).then_some(Effect::Copy(commands));
            return Reaction::Stay(copy.into_iter().collect());
        }
        if self.is_on_choice() && key.code == KeyCode::Char(' ') {
            self.with_hidden = !self.with_hidden;
            return Reaction::nothing();
        }
        if self.is_on_count() && self.typed.key(key) {
            return Reaction::nothing();
        }
        if self.focus.key(key) || !presses(key) {
            return Reaction::nothing();
        }
        match (self.focus.button(), self.ready()) {
            (Some(0), _) => Reaction::Close(Vec::new()),
            (Some(_), Ok(())) => Reaction::Close(self.effects()),
            _ => Reaction::nothing(),
        }
    }

    pub fn view(&self, cells: usize, theme: Theme) -> View<'static> {
        let count = self.hit().count();
        let mut lines = vec![Line::default()];
        let (shown, hidden): (Vec<&Target>, Vec<&Target>) =
            self.targets.iter().partition(|target| !target.is_hidden);
        lines.extend(shown.iter().map(|it| self.line(it, cells, theme)));
        let mut focused_line = None;
        if !hidden.is_empty() {
            lines.push(Line::default());
            focused_line = self.is_on_choice().then_some(lines.len());
            let (mark, on) = (
                if self.is_on_choice() { "▸" } else { " " },
                if self.with_hidden { "x" } else { " " },
            );
            let number = hidden.len();
            lines.push(Line::raw(text::fit(
                &format!("{mark}[{on}] include {number} marked but hidden by the filter:"),
                cells,
            )));
            lines.extend(hidden.iter().map(|it| self.line(it, cells, theme)));
        }
        lines.push(Line::default());
        lines.push(Line::raw(text::fit(&self.summary(), cells)));
        lines.push(Line::raw(format!("type {count} to confirm")));
        if self.is_on_count() {
            focused_line = Some(lines.len());
        }
        lines.push(dialog::field(
            "",
            0,
            &self.typed,
            24,
            self.is_on_count(),
            theme,
        ));
        let runs = match count {
            1 => "1 run".to_owned(),
            many => format!("{many} runs"),
        };
        let (title, button) = match self.deed {
            Deed::Stop => ("Stop marked runs", format!("Stop {runs}")),
            Deed::Redrive => ("Redrive marked runs", format!("Redrive {runs}")),
        };
        let commands = self.commands();
        let more = commands.len().saturating_sub(1);
        let command = commands.into_iter().next();
        View {
            title: title.to_owned(),
            lines,
            focused_line,
            buttons: vec![
                Button::new("Cancel", Ok(())),
                Button::new(button, self.ready()),
            ],
            focused_button: self.focus.button(),
            command: command.map(|first| match more {
                0 => first,
                more => format!("{first}   and {more} more (ctrl-y copies all)"),
            }),
        }
    }

    /// `✓ name   note`, or why it is left alone.
    fn line(&self, target: &Target, cells: usize, theme: Theme) -> Line<'static> {
        let is_left = target.is_hidden && !self.with_hidden;
        let name = text::left(&text::middle(target.run.name(), cells / 2), cells / 2);
        let (mark, note, style) = match (&target.refused, is_left) {
            (Some(reason), _) => ("✗", format!("left alone: {reason}"), theme.warn()),
            (None, true) => (" ", target.note.clone(), theme.dim()),
            (None, false) => ("✓", self.note(target), ratatui::style::Style::new()),
        };
        let shown = format!("  {mark} {name}  {note}");
        Line::styled(text::fit(&shown, cells), style)
    }

    fn note(&self, target: &Target) -> String {
        match (&self.deed, &target.plan) {
            (Deed::Redrive, Remote::Known { value, .. }) => {
                format!("{} items will run", figures::count(value.will_run()))
            }
            (Deed::Redrive, _) => "reading its counts…".to_owned(),
            _ => target.note.clone(),
        }
    }

    fn summary(&self) -> String {
        match self.deed {
            Deed::Stop => {
                "Each stopped run can be redriven for 14 days: it then goes on where it was."
                    .to_owned()
            }
            Deed::Redrive => {
                let items = self.hit().filter_map(|it| it.plan.get());
                let items: u64 = items.map(Plan::will_run).sum();
                format!("{} items will run in all", figures::count(items))
            }
        }
    }
}

/// Why a plan cannot be carried out.
fn refusal(plan: &Plan) -> Option<String> {
    let bad = plan.checks.iter().find(|it| it.verdict == Verdict::Bad);
    let refused = plan.allowed.clone().err();
    refused.or_else(|| bad.map(|check| check.text.clone()))
}
