//! Concurrency and tolerance of a Map Run in flight.

use crossterm::event::KeyEvent;
use ratatui::text::Line;

use crate::model;
use crate::model::{ExecutionArn, MapRun, MapRunArn};
use crate::tui::app::App;
use crate::tui::dialog::{Focus, Reaction, is_copy, presses};
use crate::tui::event::Effect;
use crate::tui::pace::CHILDREN_AT_ONCE;
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::figures;
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Scroll;

#[derive(Debug, Clone)]
pub struct Limits {
    execution: ExecutionArn,
    map_run: MapRunArn,
    before: model::Limits,
    fields: [Field; 2],
    /// How many runs this is about, typed to confirm where that is asked for.
    pub typed: Field,
    is_prod: bool,
    pub(super) focus: Focus,
    pub scroll: Scroll,
}

impl Limits {
    pub fn open(map_run: &MapRun, is_prod: bool) -> Self {
        let concurrency = map_run.max_concurrency;
        let tolerance = map_run.tolerated_percentage;
        Self {
            execution: map_run.execution.clone(),
            map_run: map_run.arn.clone(),
            before: model::Limits {
                max_concurrency: Some(concurrency),
                tolerated_percentage: Some(tolerance),
                tolerated_count: None,
            },
            fields: [
                Field::new(concurrency.to_string()),
                Field::new(tolerance.to_string()),
            ],
            typed: Field::default(),
            is_prod,
            focus: Focus::on_first_field(2 + usize::from(is_prod), 2),
            scroll: Scroll::default(),
        }
    }

    /// What differs from before.
    fn change(&self) -> Result<model::Limits, String> {
        let concurrency: u64 = self.fields[0]
            .value()
            .trim()
            .replace(',', "")
            .parse()
            .ok()
            .filter(|at_once| *at_once <= CHILDREN_AT_ONCE)
            .ok_or("children at once is a number from 0 to 10,000; 0 is the service's maximum")?;
        let tolerance: f64 = self.fields[1]
            .value()
            .trim()
            .trim_end_matches('%')
            .trim_end()
            .parse()
            .ok()
            .filter(|share: &f64| (0.0..=100.0).contains(share))
            .ok_or("tolerated failures is a percentage from 0 to 100")?;
        let limits = model::Limits {
            max_concurrency: Some(concurrency)
                .filter(|it| Some(*it) != self.before.max_concurrency),
            tolerated_percentage: Some(tolerance)
                .filter(|it| Some(*it) != self.before.tolerated_percentage),
            tolerated_count: None,
        };
        if limits == model::Limits::default() {
            return Err("nothing is changed yet".to_owned());
        }
        Ok(limits)
    }

    fn command(&self) -> String {
        let change = self.change().unwrap_or_default();
        let concurrency = change
            .max_concurrency
            .map(|it| format!(" --concurrency {it}"));
        let tolerance = change
            .tolerated_percentage
            .map(|it| format!(" --tolerate {it}%"));
        let name = self.execution.name();
        let options = [concurrency, tolerance].into_iter().flatten();
        format!("fanout limits {name}{}", options.collect::<String>())
    }

    fn focused(&mut self) -> Option<&mut Field> {
        match self.focus.field()? {
            2 => Some(&mut self.typed),
            field => self.fields.get_mut(field),
        }
    }

    fn ready(&self) -> Result<model::Limits, String> {
        let limits = self.change()?;
        match self.is_prod && self.typed.value().trim() != "1" {
            true => Err("type 1 first: it is one run of PROD".to_owned()),
            false => Ok(limits),
        }
    }

    pub fn paste(&mut self, pasted: &str) {
        if let Some(field) = self.focused() {
            field.paste(pasted);
        }
    }

    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        if is_copy(key) {
            return Reaction::Stay(vec![Effect::Copy(self.command())]);
        }
        if let Some(field) = self.focused()
            && field.key(key)
        {
            return Reaction::nothing();
        }
        if self.focus.key(key) || !presses(key) {
            return Reaction::nothing();
        }
        match (self.focus.button(), self.ready()) {
            (Some(0), _) => Reaction::Close(Vec::new()),
            (Some(_), Ok(limits)) => {
                Reaction::Close(vec![Effect::SetLimits(self.map_run.clone(), limits)])
            }
            // Enter in a field goes on to the next one; it never applies.
            (None, _) => {
                self.focus.next();
                Reaction::nothing()
            }
            _ => Reaction::nothing(),
        }
    }

    pub fn view(&self, app: &App, cells: usize, theme: Theme) -> View<'static> {
        let focused = |index: usize| self.focus.field() == Some(index);
        let field = |label: &str, index: usize| {
            dialog::field(
                label,
                26,
                &self.fields[index],
                cells.min(60),
                focused(index),
                theme,
            )
        };
        let mut lines = vec![
            Line::default(),
            field("children at once", 0),
            field("tolerated failures, %", 1),
            Line::default(),
        ];
        if let Some(map_run) = app.data().map_run(&self.execution) {
            let running = figures::count(map_run.executions.running);
            let failures = map_run.items.failures();
            let share = figures::percent(failures, map_run.items.total);
            lines.push(Line::raw(format!(
                "  now {running} children running, {} items failed ({share})",
                figures::count(failures)
            )));
        }
        lines.push(Line::raw(
            "  0 children at once is the service's maximum, 10,000",
        ));
        lines.push(Line::raw(
            "  lower limits hold back new children, running ones end as they are",
        ));
        let mut focused_line = self.focus.field().map(|field| field + 1);
        if self.is_prod {
            lines.push(Line::default());
            lines.push(Line::raw("PROD: type the number of runs, 1, to confirm"));
            let is_focused = self.focus.field() == Some(2);
            if is_focused {
                focused_line = Some(lines.len());
            }
            lines.push(dialog::field("", 0, &self.typed, 24, is_focused, theme));
        }
        View {
            title: format!("Limits of Map Run {}", self.map_run.label()),
            lines,
            focused_line,
            buttons: vec![
                Button::new("Cancel", Ok(())),
                Button::new("Apply", self.ready().map(|_| ())),
            ],
            focused_button: self.focus.button(),
            command: Some(self.command()),
        }
    }
}
