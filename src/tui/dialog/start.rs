//! Start a run: source, machine, name, input; checked before anything is uploaded.

use std::path::PathBuf;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::text::Line;
use serde_json::{Map, Value};

use crate::model::{ObjectAddress, Page, Timestamp};
use crate::operations::start::{Plan, Source};
use crate::operations::{Progress, Verdict};
use crate::tui::data::Remote;
use crate::tui::dialog::{Focus, Reaction, is_copy, presses};
use crate::tui::event::{Ask, Effect, Reply, StartForm};
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::input::Field;
use crate::tui::widget::json;
use crate::tui::widget::list::{Cursor, Move, Scroll};
use crate::tui::widget::{figures, text};

const SOURCE: usize = 0;
const TEMPLATE: usize = 2;
const INPUT: usize = 4;
const LABELS: [&str; 5] = [
    "file or s3://…",
    "machine",
    "template",
    "name",
    "input (JSON)",
];
/// Lines of the input shown.
const INPUT_LINES: usize = 14;
/// Candidates shown at once.
const CANDIDATES: usize = 8;

#[derive(Debug, Clone)]
pub struct Start {
    bucket: String,
    fields: [Field; 5],
    focus: Focus,
    /// The form that `plan` is of, or that a plan was asked for.
    planned: Option<StartForm>,
    plan: Remote<Plan>,
    candidates: Vec<String>,
    /// The cursor among them, while one chooses with the arrows.
    list: Option<Cursor>,
    /// What the candidates begin with, and the token of their next page.
    listed: (String, Option<String>),
    templates: Vec<String>,
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
                Field::default(),
            ],
            focus: Focus::on_first_field(LABELS.len(), 2),
            planned: None,
            plan: Remote::Waiting,
            candidates: Vec::new(),
            list: None,
            listed: (String::new(), None),
            templates: Vec::new(),
            completed: false,
            scroll: Scroll::default(),
        }
    }

    fn form(&self) -> Result<StartForm, String> {
        let [source, machine, template, name, input] = &self.fields;
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
                .map_err(|problem| format!("the input is not JSON: {problem}"))
                .and_then(|input: Value| match input.is_object() {
                    true => Ok(input),
                    false => Err("the input is not a JSON object".to_owned()),
                })?,
        };
        let name = name.value().trim();
        Ok(StartForm {
            machine: machine.value().trim().to_owned(),
            source,
            bucket: self.bucket.clone(),
            name: (!name.is_empty()).then(|| name.to_owned()),
            input,
            template: Some(template.value().trim().to_owned()).filter(|it| !it.is_empty()),
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

    /// Takes in candidates for the path, or a further page of those there are.
    pub fn put_paths(&mut self, begun: &str, is_further: bool, page: Page<String>) {
        if is_further {
            if self.listed.0 == begun {
                self.candidates.extend(page.items);
                self.listed.1 = page.next;
            }
            return;
        }
        if self.fields[SOURCE].value() != begun || self.focus.field() != Some(SOURCE) {
            return;
        }
        let paths = page.items;
        self.listed = (begun.to_owned(), page.next);
        if let Some(list) = &mut self.list {
            *list = Cursor::default();
            self.candidates = paths;
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

    pub fn put_templates(&mut self, names: Vec<String>) {
        self.templates = names;
    }

    /// Takes in the input as the editor left it, on one line.
    pub fn put_edited(&mut self, text: &str) -> Vec<Effect> {
        let compact = serde_json::from_str::<Value>(text).map(|it| it.to_string());
        let shown = match compact {
            Ok(empty) if empty == "{}" => String::new(),
            Ok(compact) => compact,
            Err(_) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        self.fields[INPUT].set(shown);
        self.plan_if_new()
    }

    /// What is edited: the input as it is given, else as the template makes it.
    fn editable(&self) -> String {
        let planned = self.current().filter(|plan| plan.template.is_some());
        let text = match (self.fields[INPUT].value().trim(), planned) {
            ("", Some(plan)) => plan.input.to_string(),
            ("", None) => "{}".to_owned(),
            (text, _) => text.to_owned(),
        };
        json::lines(&text).join("\n") + "\n"
    }

    /// The plan, where it is of what the fields say now.
    fn current(&self) -> Option<&Plan> {
        let form = self.form().ok()?;
        let is_current = self.planned.as_ref() == Some(&form);
        self.plan.get().filter(|_| is_current)
    }

    /// Whether one chooses from a list.
    pub fn is_listing(&self) -> bool {
        self.list.is_some()
    }

    pub fn close_list(&mut self) {
        self.list = None;
        self.candidates.clear();
    }

    /// Opens the list of what may stand in the field.
    fn open_list(&mut self) -> Option<Vec<Effect>> {
        let asks = match self.focus.field()? {
            SOURCE => {
                let begun = self.fields[SOURCE].value().to_owned();
                vec![Effect::Ask(Ask::Paths(begun, None))]
            }
            TEMPLATE if !self.templates.is_empty() => {
                self.candidates.clone_from(&self.templates);
                Vec::new()
            }
            _ => return None,
        };
        self.list = Some(Cursor::default());
        Some(asks)
    }

    /// Keys while one chooses from the list; `None` leaves them to the field.
    fn list_key(&mut self, key: KeyEvent) -> Option<Vec<Effect>> {
        let mut cursor = self.list.take()?;
        let len = self.candidates.len();
        match key.code {
            KeyCode::Down => cursor.go(Move::Lines(1), len),
            KeyCode::Up if cursor.at == 0 => {
                self.candidates.clear();
                return Some(Vec::new());
            }
            KeyCode::Up => cursor.go(Move::Lines(-1), len),
            KeyCode::PageDown => cursor.go(Move::Pages(1), len),
            KeyCode::PageUp => cursor.go(Move::Pages(-1), len),
            KeyCode::Enter | KeyCode::Right => {
                let field = self.focus.field()?;
                let chosen = self.candidates.get(cursor.row(len)).cloned()?;
                let is_folder = chosen.ends_with('/') && field == SOURCE;
                self.fields[field].set(chosen);
                self.candidates.clear();
                if is_folder {
                    return self.open_list();
                }
                self.completed = true;
                return Some(self.plan_if_new());
            }
            KeyCode::Left if self.focus.field() == Some(SOURCE) => {
                let value = self.fields[SOURCE].value().trim_end_matches('/');
                let up = value.rfind('/').map_or("", |slash| &value[..=slash]);
                let up = if up == "s3:/" { "s3://" } else { up }.to_owned();
                self.fields[SOURCE].set(up);
                self.candidates.clear();
                return self.open_list();
            }
            _ => {
                self.candidates.clear();
                return None;
            }
        }
        let is_at_end = cursor.at + 1 >= len;
        self.list = Some(cursor);
        let (begun, next) = &self.listed;
        let more = next
            .clone()
            .filter(|_| is_at_end && self.focus.field() == Some(SOURCE));
        Some(more.map_or_else(Vec::new, |token| {
            vec![Effect::Ask(Ask::Paths(begun.clone(), Some(token)))]
        }))
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
            let command = self.current().map(|plan| Effect::Copy(plan.command()));
            return Reaction::Stay(command.into_iter().collect());
        }
        if let Some(effects) = self.list_key(key) {
            return Reaction::Stay(effects);
        }
        if edits(key, self.focus) {
            return Reaction::Stay(vec![Effect::Edit(self.editable())]);
        }
        if key.code == KeyCode::Down
            && let Some(effects) = self.open_list()
        {
            return Reaction::Stay(effects);
        }
        if key.code == KeyCode::Tab && self.completes() {
            let begun = self.fields[SOURCE].value().to_owned();
            return Reaction::Stay(vec![Effect::Ask(Ask::Paths(begun, None))]);
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
        self.focus.field() == Some(SOURCE) && !source.is_empty() && !self.completed
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
            if focused {
                lines.extend(self.candidate_lines(cells, theme));
            }
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
                lines.extend(trouble.hint.map(|hint| Line::raw(format!("  {hint}"))));
            }
            (Remote::Waiting, Some(_), _) => lines.push(Line::raw("  reading the source…")),
            (Remote::Waiting, None, _) => {
                lines.push(Line::raw(
                    "  tab completes the path, and once more goes on and checks it; ↓ lists",
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
            command: self.current().map(Plan::command),
        }
    }

    fn candidate_lines(&self, cells: usize, theme: Theme) -> Vec<Line<'static>> {
        let len = self.candidates.len();
        let first = Cursor::default();
        let window = self.list.as_ref().unwrap_or(&first).window(len, CANDIDATES);
        let chosen = self.list.as_ref().map(|list| list.row(len));
        let after = len - window.end;
        let mut lines: Vec<Line<'static>> = window
            .map(|row| {
                let shown = text::middle(&self.candidates[row], cells.saturating_sub(20));
                if chosen == Some(row) {
                    Line::styled(format!("{}▸ {shown}", " ".repeat(17)), theme.chosen())
                } else {
                    Line::styled(format!("{}{shown}", " ".repeat(19)), theme.dim())
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
            (false, 0) => return lines,
            (false, _) => format!("{after}{further} more   ↓ chooses"),
        };
        let told = text::fit(&told, cells.saturating_sub(19));
        lines.push(Line::styled(
            format!("{}{told}", " ".repeat(19)),
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
        "  Input      e edits it in your editor",
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

/// Whether a key opens the editor: `e` where letters do not type, ctrl-x everywhere.
fn edits(key: KeyEvent, focus: Focus) -> bool {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('x') => ctrl,
        KeyCode::Char('e') => !ctrl && focus.button().is_some(),
        _ => false,
    }
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
