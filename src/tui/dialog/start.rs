//! Start a run: source, machine, name, input; checked before anything is uploaded.

use std::path::PathBuf;

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::text::Line;
use serde_json::{Map, Value};

use crate::model::{ObjectAddress, Timestamp};
use crate::operations::start::{Plan, Source};
use crate::operations::{Progress, Verdict};
use crate::tui::data::Remote;
use crate::tui::dialog::{Focus, Reaction, is_copy, presses};
use crate::tui::event::{Ask, Effect, Reply, StartForm};
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::input::Field;
use crate::tui::widget::json;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{figures, text};

const SOURCE: usize = 0;
const LABELS: [&str; 4] = ["file or s3://…", "machine", "name", "input (JSON)"];
/// Candidates of a path shown.
const CANDIDATES: usize = 6;

#[derive(Debug, Clone)]
pub struct Start {
    bucket: String,
    fields: [Field; 4],
    focus: Focus,
    /// The form that `plan` is of, or that a plan was asked for.
    planned: Option<StartForm>,
    plan: Remote<Plan>,
    candidates: Vec<String>,
    /// Set when there is nothing more to complete: the next tab moves on.
    completed: bool,
    pub scroll: Scroll,
}

impl Start {
    pub fn open(machine: &str, bucket: &str, source: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            fields: [
                Field::new(source),
                Field::new(machine),
                Field::default(),
                Field::default(),
            ],
            focus: Focus::on_first_field(LABELS.len(), 2),
            planned: None,
            plan: Remote::Waiting,
            candidates: Vec::new(),
            completed: false,
            scroll: Scroll::default(),
        }
    }

    fn form(&self) -> Result<StartForm, String> {
        let [source, machine, name, input] = &self.fields;
        let source = source.value().trim();
        let source = match source {
            "" => return Err("name a file or an s3:// address".to_owned()),
            address if address.starts_with("s3://") => ObjectAddress::parse(address)
                .map(Source::Object)
                .ok_or("an address is s3://bucket/key")?,
            path => Source::File(PathBuf::from(path)),
        };
        let input = match input.value().trim() {
            "" => Value::Object(Map::new()),
            json => serde_json::from_str(json)
                .ok()
                .filter(Value::is_object)
                .ok_or("the input is not a JSON object")?,
        };
        let name = name.value().trim();
        Ok(StartForm {
            machine: machine.value().trim().to_owned(),
            source,
            bucket: self.bucket.clone(),
            name: (!name.is_empty()).then(|| name.to_owned()),
            input,
        })
    }

    /// Asks for a plan where the form is complete and not planned yet.
    pub fn plan_if_new(&mut self) -> Vec<Effect> {
        let Ok(form) = self.form() else {
            return Vec::new();
        };
        if self.planned.as_ref() == Some(&form) {
            return Vec::new();
        }
        self.planned = Some(form.clone());
        self.plan = Remote::Waiting;
        vec![Effect::Ask(Ask::PlanStart(Box::new(form)))]
    }

    pub fn put(&mut self, form: &StartForm, reply: Reply<Box<Plan>>, now: Timestamp) {
        if self.planned.as_ref() == Some(form) {
            self.plan.put(reply.map(|plan| *plan), now);
        }
    }

    /// Takes in candidates for the path.
    pub fn put_paths(&mut self, begun: &str, paths: Vec<String>) {
        if self.fields[SOURCE].value() != begun {
            return;
        }
        let common = common_start(&paths);
        let is_whole = paths.len() == 1 && !common.ends_with('/');
        let is_longer = common.len() > begun.len();
        self.completed = is_whole || !is_longer;
        if is_longer {
            self.fields[SOURCE].set(common);
        }
        self.candidates = if paths.len() > 1 { paths } else { Vec::new() };
    }

    fn ready(&self) -> Result<&Plan, String> {
        let form = self.form()?;
        if self.planned.as_ref() != Some(&form) {
            return Err("not checked yet: leave the field first".to_owned());
        }
        let plan = match &self.plan {
            Remote::Known { value, .. } => value,
            Remote::Waiting => return Err("still being checked".to_owned()),
            Remote::Failed { trouble, .. } => return Err(trouble.text.clone()),
        };
        let bad = plan.checks.iter().find(|it| it.verdict == Verdict::Bad);
        bad.map_or(Ok(plan), |check| Err(check.text.clone()))
    }

    pub fn paste(&mut self, pasted: &str) {
        if let Some(field) = self.focus.field() {
            self.fields[field].paste(pasted);
        }
    }

    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        if is_copy(key) {
            let command = self.plan.get().map(|plan| Effect::Copy(plan.command()));
            return Reaction::Stay(command.into_iter().collect());
        }
        if key.code == KeyCode::Tab && self.completes() {
            let begun = self.fields[SOURCE].value().to_owned();
            return Reaction::Stay(vec![Effect::Ask(Ask::Paths(begun))]);
        }
        if let Some(field) = self.focus.field()
            && self.fields[field].key(key)
        {
            self.completed = false;
            return Reaction::nothing();
        }
        if self.focus.key(key) {
            return Reaction::Stay(self.plan_if_new());
        }
        if !presses(key) {
            return Reaction::nothing();
        }
        match (self.focus.button(), self.ready()) {
            (Some(0), _) => Reaction::Close(Vec::new()),
            (Some(_), Ok(plan)) => Reaction::Close(vec![Effect::Start(Box::new(plan.clone()))]),
            (Some(_), Err(_)) => Reaction::Stay(self.plan_if_new()),
            // Enter in a field goes on to the next one; it never starts.
            (None, _) => {
                self.focus.next();
                Reaction::Stay(self.plan_if_new())
            }
        }
    }

    /// Whether tab completes the path instead of leaving the field.
    fn completes(&self) -> bool {
        let source = self.fields[SOURCE].value();
        let is_path = !source.is_empty() && !source.starts_with("s3://");
        self.focus.field() == Some(SOURCE) && is_path && !self.completed
    }

    pub fn view(&self, cells: usize, theme: Theme) -> View<'static> {
        let mut lines = vec![Line::default()];
        for (index, field) in self.fields.iter().enumerate() {
            let focused = self.focus.field() == Some(index);
            lines.push(dialog::field(
                LABELS[index],
                16,
                field,
                cells,
                focused,
                theme,
            ));
        }
        lines.extend(self.candidate_lines(cells, theme));
        lines.push(Line::default());
        match (&self.plan, &self.planned, self.form()) {
            (_, _, Err(problem)) => lines.push(Line::raw(format!("  {problem}"))),
            (Remote::Known { value, .. }, ..) => lines.extend(plan_lines(value, cells, theme)),
            (Remote::Failed { trouble, .. }, ..) => {
                let wrapped = text::wrap(&trouble.text, cells.saturating_sub(4), 3);
                lines.extend(
                    wrapped
                        .into_iter()
                        .map(|it| Line::styled(format!("  {it}"), theme.bad())),
                );
                lines.extend(trouble.hint.map(|hint| Line::raw(format!("  {hint}"))));
            }
            (Remote::Waiting, Some(_), _) => lines.push(Line::raw("  reading the source…")),
            (Remote::Waiting, None, _) => {
                lines.push(Line::raw(
                    "  tab completes the path, and once more goes on and checks it",
                ));
            }
        }
        let uploads = self.plan.get().is_none_or(|plan| plan.upload.is_some());
        let label = if uploads { "Upload and start" } else { "Start" };
        View {
            title: "Start a run".to_owned(),
            lines,
            focused_line: self.focus.field().map(|field| field + 1),
            buttons: vec![
                Button::new("Cancel", Ok(())),
                Button::new(label, self.ready().map(|_| ())),
            ],
            focused_button: self.focus.button(),
            command: self.plan.get().map(Plan::command),
        }
    }

    fn candidate_lines(&self, cells: usize, theme: Theme) -> Vec<Line<'static>> {
        let mut lines: Vec<Line<'static>> = self
            .candidates
            .iter()
            .take(CANDIDATES)
            .map(|path| {
                let shown = text::middle(path, cells.saturating_sub(20));
                Line::styled(format!("{}{shown}", " ".repeat(19)), theme.dim())
            })
            .collect();
        if self.candidates.len() > CANDIDATES {
            let more = self.candidates.len() - CANDIDATES;
            lines.push(Line::styled(
                format!("{}{more} more", " ".repeat(19)),
                theme.dim(),
            ));
        }
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
    lines.push(Line::styled("  Input", theme.bold()));
    for line in json::lines(&plan.input.to_string()).iter().take(12) {
        lines.push(Line::raw(format!(
            "    {}",
            text::fit(line, cells.saturating_sub(4))
        )));
    }
    if !plan.checks.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("  Checks", theme.bold()));
        lines.extend(dialog::checks(&plan.checks, cells, theme));
    }
    lines
}

/// The longest text that all begin with.
fn common_start(paths: &[String]) -> String {
    let Some(first) = paths.first() else {
        return String::new();
    };
    let mut common = first.as_str();
    for path in &paths[1..] {
        let same = common
            .char_indices()
            .zip(path.chars())
            .find(|((_, ours), theirs)| ours != theirs)
            .map_or(common.len().min(path.len()), |((at, _), _)| at);
        common = &common[..same];
    }
    common.to_owned()
}

/// `309.0 MB of 812.0 MB, 38%`.
pub fn progress(progress: Progress) -> String {
    format!(
        "{} of {}, {}",
        figures::bytes(progress.done),
        figures::bytes(progress.total),
        figures::whole_percent(progress.done, progress.total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completion_goes_as_far_as_the_candidates_agree() {
        let paths = [
            "in/ab1".to_owned(),
            "in/ab2".to_owned(),
            "in/abc".to_owned(),
        ];
        assert_eq!(common_start(&paths), "in/ab");
        assert_eq!(common_start(&["é1".to_owned(), "è".to_owned()]), "");
        assert_eq!(
            common_start(&["in/ab".to_owned(), "in/ab2".to_owned()]),
            "in/ab"
        );
    }
}
