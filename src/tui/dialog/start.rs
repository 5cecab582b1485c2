//! Start a run: source, machine, name, input; checked before anything is uploaded.

mod choosing;
mod view;

use std::path::PathBuf;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Map, Value};

use crate::model::{ObjectAddress, Timestamp};
use crate::operations::start::{Plan, Source};
use crate::operations::{Progress, Verdict};
use crate::tui::data::Remote;
use crate::tui::dialog::{Focus, Reaction, TYPED_ABOVE, is_copy, presses};
use crate::tui::event::{Ask, Deed, Effect, Reply, StartForm};
use crate::tui::widget::figures;
use crate::tui::widget::input::Field;
use crate::tui::widget::json;
use crate::tui::widget::list::{Cursor, Scroll};

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
/// What surrounds the form.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// Where local files are uploaded to.
    pub bucket: String,
    /// Inputs that the program around offers.
    pub inputs: Vec<String>,
    /// Whether a start is confirmed by typing whatever its size.
    pub is_prod: bool,
}

#[derive(Debug, Clone)]
pub struct Start {
    setting: Setting,
    fields: [Field; LABELS.len()],
    /// The count, typed to confirm where that is asked for.
    typed: Field,
    /// The name of a template that the form is being saved as.
    saving: Option<Field>,
    pub(super) focus: Focus,
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
    /// The plan whose first lines are being tried, by its name, and how they fared.
    trial: Option<(String, Option<Reply<String>>)>,
    pub scroll: Scroll,
}

impl Start {
    pub fn open(machine: &str, source: &str, setting: Setting) -> Self {
        Self {
            setting,
            fields: [
                Field::new(source),
                Field::new(machine),
                Field::default(),
                Field::default(),
                Field::default(),
            ],
            typed: Field::default(),
            saving: None,
            focus: Focus::on_first_field(LABELS.len(), 3),
            planned: None,
            plan: Remote::Waiting,
            candidates: Vec::new(),
            list: None,
            listed: (String::new(), None),
            templates: Vec::new(),
            completed: false,
            trial: None,
            scroll: Scroll::default(),
        }
    }

    fn form(&self) -> Result<StartForm, String> {
        let [source, machine, _, name, _] = &self.fields;
        let source = source.value().trim();
        let source = match source {
            "" => return Err("name a file or an s3:// address".to_owned()),
            address if address.starts_with("s3://") => ObjectAddress::parse(address)
                .map(Source::Object)
                .ok_or("an address is s3://bucket/key")?,
            path => Source::File(PathBuf::from(path)),
        };
        let name = name.value().trim();
        Ok(StartForm {
            machine: machine.value().trim().to_owned(),
            source,
            bucket: self.setting.bucket.clone(),
            name: (!name.is_empty()).then(|| name.to_owned()),
            input: Value::Object(self.input()?),
            template: self.template(),
        })
    }

    /// The input as it is given.
    fn input(&self) -> Result<Map<String, Value>, String> {
        let json = self.fields[INPUT].value().trim();
        if json.is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_str(json) {
            Ok(Value::Object(input)) => Ok(input),
            Ok(_) => Err("the input is not a JSON object".to_owned()),
            Err(problem) => Err(format!("the input is not JSON: {problem}")),
        }
    }

    fn template(&self) -> Option<String> {
        let name = self.fields[TEMPLATE].value().trim();
        (!name.is_empty()).then(|| name.to_owned())
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
            self.make_room();
        }
    }

    /// What is typed to confirm: the lines of a file, or of a source whose lines nobody has counted
    /// the one run. `None` where a button is enough.
    fn to_type(&self) -> Option<u64> {
        let lines = self.plan.get()?.lines;
        let many = lines.filter(|lines| *lines > TYPED_ABOVE);
        many.or_else(|| self.setting.is_prod.then(|| lines.unwrap_or(1)))
    }

    /// Gives the count a field between the form's and the buttons, or takes it away again.
    fn make_room(&mut self) {
        let fields = LABELS.len() + usize::from(self.to_type().is_some());
        if let Some(button) = self.focus.button() {
            self.focus.at = fields + button;
        }
        self.focus.fields = fields;
    }

    /// The field that has the keys.
    fn focused(&mut self) -> Option<&mut Field> {
        match self.focus.field()? {
            field if field < LABELS.len() => self.fields.get_mut(field),
            _ => Some(&mut self.typed),
        }
    }

    /// Takes in how the first lines fared; `false` where another plan is shown by now.
    pub fn put_trial(&mut self, name: &str, reply: &Reply<String>) -> bool {
        match &mut self.trial {
            Some((of, fared)) if of == name => {
                *fared = Some(reply.clone());
                true
            }
            _ => false,
        }
    }

    /// Whether the first lines can be tried now.
    fn can_try(&self) -> Result<&Plan, String> {
        match (&self.trial, self.plan()) {
            (Some((_, None)), _) => Err("the first lines are being tried".to_owned()),
            (_, plan) => plan,
        }
    }

    fn try_out(&mut self) -> Vec<Effect> {
        let Ok(plan) = self.can_try().cloned() else {
            return self.plan_if_new();
        };
        self.trial = Some((plan.name.clone(), None));
        vec![Effect::DryRun(Box::new(plan))]
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
        let planned = self.plan().ok().filter(|plan| plan.template.is_some());
        let text = match (self.fields[INPUT].value().trim(), planned) {
            ("", Some(plan)) => plan.input.to_string(),
            ("", None) => "{}".to_owned(),
            (text, _) => text.to_owned(),
        };
        json::lines(&text).join("\n") + "\n"
    }

    /// The plan, where it is of what the fields say now; else what is missing.
    fn plan(&self) -> Result<&Plan, String> {
        let form = self.form()?;
        if self.planned.as_ref() != Some(&form) {
            return Err("not checked yet: leave the field first".to_owned());
        }
        match &self.plan {
            Remote::Known { value, .. } => Ok(value),
            Remote::Waiting => Err("still being checked".to_owned()),
            Remote::Failed { trouble, .. } => Err(trouble.text.clone()),
        }
    }

    /// The plan, where it can be carried out.
    fn ready(&self) -> Result<&Plan, String> {
        let plan = self.plan()?;
        if let Some(bad) = plan.checks.iter().find(|it| it.verdict == Verdict::Bad) {
            return Err(bad.text.clone());
        }
        let typed = self.typed.value().replace(',', "");
        match self.to_type() {
            Some(number) if typed.trim() != number.to_string() => {
                Err(format!("type {} first", figures::count(number)))
            }
            _ => Ok(plan),
        }
    }

    /// Whether one is in the middle of something that esc leaves before the dialog.
    pub fn is_inside(&self) -> bool {
        self.list.is_some() || self.saving.is_some()
    }

    pub fn step_out(&mut self) {
        self.saving = None;
        self.list = None;
        self.candidates.clear();
    }

    /// Asks for a name to keep the input under.
    fn begin_saving(&mut self) {
        self.list = None;
        self.candidates.clear();
        let stem = match self.fields[SOURCE].value().trim().rsplit('/').next() {
            Some(file) => file.split('.').next().unwrap_or(file).to_owned(),
            None => String::new(),
        };
        self.saving = Some(Field::new(stem));
    }

    /// Keys while a template's name is given.
    fn saving_key(&mut self, key: KeyEvent) -> Option<Vec<Effect>> {
        let name = self.saving.as_mut()?;
        if key.code != KeyCode::Enter {
            name.key(key);
            return Some(Vec::new());
        }
        let name = name.value().trim().to_owned();
        let (Ok(given), false) = (self.input(), name.is_empty()) else {
            return Some(Vec::new());
        };
        self.saving = None;
        let base = self.template();
        Some(vec![Effect::SaveTemplate(
            Deed::Template(name),
            base,
            given,
        )])
    }

    pub fn paste(&mut self, pasted: &str) {
        if let Some(name) = &mut self.saving {
            return name.paste(pasted);
        }
        if let Some(field) = self.focused() {
            field.paste(pasted);
        }
    }

    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        if is_copy(key) {
            let command = self.plan().ok().map(|plan| Effect::Copy(plan.command()));
            return Reaction::Stay(command.into_iter().collect());
        }
        if let Some(effects) = self.saving_key(key) {
            return Reaction::Stay(effects);
        }
        if saves(key) {
            self.begin_saving();
            return Reaction::nothing();
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
        if self.focused().is_some_and(|field| field.key(key)) {
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
            (Some(1), _) => Reaction::Stay(self.try_out()),
            (Some(_), Ok(plan)) => Reaction::Close(vec![Effect::Start(Box::new(plan.clone()))]),
            (Some(_), Err(_)) => Reaction::Stay(self.plan_if_new()),
            // Enter in a field goes on to the next one; it never starts.
            (None, _) => {
                self.focus.next();
                Reaction::Stay(self.plan_if_new())
            }
        }
    }
}

fn saves(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('s') && key.modifiers.contains(KeyModifiers::CONTROL)
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

/// `309.0 MB of 812.0 MB, 38%`.
pub fn progress(progress: Progress) -> String {
    format!(
        "{} of {}, {}",
        figures::bytes(progress.done),
        figures::bytes(progress.total),
        figures::whole_percent(progress.done, progress.total)
    )
}
