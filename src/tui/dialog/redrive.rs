//! Repair a run: redrive it in place, run chosen lines again, or run everything again. Each with
//! what it would do before it is done; of chosen lines a few first, as a canary.

use std::path::PathBuf;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::SignedDuration;

use crate::model::{ExecutionArn, Limits, RunState, Timestamp};
use crate::operations::journal::Repeat;
use crate::operations::plan;
use crate::operations::redrive::Plan;
use crate::operations::rerun::edit::Edited;
use crate::operations::rerun::{self, Chosen, Wish, canary};
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::dialog::{Focus, Reaction, TYPED_ABOVE, is_copy, presses};
use crate::tui::event::{Ask, Effect, Reply};
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::View;
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Scroll;

mod draw;
#[cfg(test)]
mod tests;

/// Before a repetition, where nothing else is said.
const PAUSE: Duration = Duration::from_mins(10);
/// Lines of each group that a canary runs.
const CANARY: u64 = 100;

/// The three ways to repair a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Redrive,
    Rerun,
    Everything,
}

const WAYS: [Way; 3] = [Way::Redrive, Way::Rerun, Way::Everything];

/// How far a canary is.
#[derive(Debug, Clone)]
enum Canary {
    Running,
    Ended(Box<canary::Ended>),
}

/// What the focus can be on before the buttons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Way,
    /// Whether marks are taken along that the filter hides.
    Hidden,
    Children,
    Share,
    Repeat,
    /// Before each repetition.
    Pause,
    Note,
    Count,
}

/// Marks among failures: those shown, and all, where the filter hides some.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Marked {
    pub shown: Chosen,
    /// With what is hidden, and how many lines that adds.
    pub hidden: Option<(Chosen, u64)>,
}

#[derive(Debug, Clone)]
pub struct Redrive {
    pub execution: ExecutionArn,
    way: Way,
    /// The way was chosen by hand: no answer changes it.
    is_chosen: bool,
    redrive: Remote<Plan>,
    rerun: Remote<rerun::Plan>,
    everything: Remote<rerun::Plan>,
    marked: Marked,
    with_hidden: bool,
    /// Its number is typed whatever it is.
    is_prod: bool,
    children: Field,
    share: Field,
    repeat: Field,
    pause: Field,
    note: Field,
    pub typed: Field,
    /// What was changed in the editor, and of which choice.
    edited: Option<(Chosen, Edited)>,
    /// The text that the editor gave back last: nothing that was written is lost.
    draft: Option<String>,
    /// What is wrong with it.
    mistake: Option<String>,
    canary: Option<Canary>,
    /// The plan that was shown last: the focus stays where the same comes again.
    before: Option<plan::Plan>,
    /// What the plans of new runs were asked for last.
    asked: Vec<Wish>,
    pub(super) focus: Focus,
    pub scroll: Scroll,
}

/// Whether whoever has read one plan has read the other.
fn is_same(one: &plan::Plan, other: &plan::Plan) -> bool {
    let moved = match (one, other) {
        (plan::Plan::Redrive(one), plan::Plan::Redrive(other)) => other.moved_since(one),
        (plan::Plan::Rerun(one), plan::Plan::Rerun(other)) => other.moved_since(one),
        _ => return false,
    };
    moved.is_empty() && one.allowed() == other.allowed()
}

impl Redrive {
    /// The dialog and the asks for its plans. With marks, those lines are meant.
    pub fn open(execution: ExecutionArn, marked: Marked, is_prod: bool) -> (Self, Vec<Effect>) {
        let has_marks = marked != Marked::default();
        let mut dialog = Self {
            execution,
            way: match has_marks {
                true => Way::Rerun,
                false => Way::Redrive,
            },
            is_chosen: has_marks,
            redrive: Remote::Waiting,
            rerun: Remote::Waiting,
            everything: Remote::Waiting,
            marked,
            with_hidden: false,
            is_prod,
            children: Field::default(),
            share: Field::default(),
            repeat: Field::default(),
            pause: Field::default(),
            note: Field::default(),
            typed: Field::default(),
            edited: None,
            draft: None,
            mistake: None,
            canary: None,
            before: None,
            asked: Vec::new(),
            focus: Focus::on_cancel(0, 2),
            scroll: Scroll::default(),
        };
        dialog.refocus();
        let mut asks = vec![Effect::Ask(Ask::PlanRedrive(dialog.execution.clone()))];
        asks.extend(dialog.ask());
        (dialog, asks)
    }

    /// Whether plans of this run are for the dialog: the rest of a canary may be one of another run.
    pub fn is_of(&self, run: &ExecutionArn) -> bool {
        self.subject() == run || self.execution == *run
    }

    /// The run whose lines run again.
    fn subject(&self) -> &ExecutionArn {
        match &self.canary {
            Some(Canary::Ended(ended)) => &ended.rest.0,
            _ => &self.execution,
        }
    }

    pub fn awaits_canary(&self) -> bool {
        matches!(self.canary, Some(Canary::Running))
    }

    /// The canary has ended: the plan of the rest is asked for, and then whether it is to run.
    pub fn put_canary(&mut self, reply: Reply<Box<canary::Ended>>) -> Vec<Effect> {
        match reply {
            Ok(ended) => self.canary = Some(Canary::Ended(ended)),
            Err(trouble) => {
                self.canary = None;
                self.mistake = Some(trouble.text);
            }
        }
        // The same may be wished of another run now.
        self.asked.clear();
        self.focus_on_cancel();
        self.ask().into_iter().collect()
    }

    pub fn put(&mut self, reply: Reply<Box<Plan>>, now: Timestamp) -> Vec<Effect> {
        self.redrive.put(reply.map(|plan| *plan), now);
        let is_no_help = self.redrive.get().is_some_and(|plan| {
            let is_open = !matches!(
                plan.state,
                RunState::Running | RunState::Queued | RunState::Redrive | RunState::Succeeded
            );
            is_open && (plan.allowed.is_err() || plan.after_the_map)
        });
        if is_no_help && !self.is_chosen {
            self.way = Way::Rerun;
        }
        self.look_again();
        self.ask().into_iter().collect()
    }

    /// Takes in the plan of a new run; one for an earlier wish is too late.
    pub fn put_rerun(&mut self, wish: &Wish, reply: Reply<Box<rerun::Plan>>, now: Timestamp) {
        if !self.asked.contains(wish) {
            return;
        }
        let reply = reply.map(|plan| *plan);
        match wish.everything {
            true => self.everything.put(reply, now),
            false => self.rerun.put(reply, now),
        }
        self.look_again();
    }

    /// Something has come: the focus goes back to Cancel unless it is what was there before.
    fn look_again(&mut self) {
        let plan = self.plan();
        let is_same = match (&self.before, &plan) {
            (Some(before), Some(plan)) => is_same(before, plan),
            _ => false,
        };
        let at = self.focus.button();
        self.refocus();
        if let (true, Some(button)) = (is_same, at) {
            self.focus.at = self.focus.fields + button.min(self.focus.buttons - 1);
        }
        self.before = plan.or_else(|| self.before.take());
    }

    /// What a new run is asked to be, as the fields stand.
    fn wish(&self) -> Wish {
        if let Some(Canary::Ended(ended)) = &self.canary {
            return ended.rest.1.clone();
        }
        let chosen = match (&self.marked.hidden, self.with_hidden) {
            (Some((all, _)), true) => all.clone(),
            _ => self.marked.shown.clone(),
        };
        let chosen = match self.way {
            Way::Everything => Chosen::default(),
            _ => chosen,
        };
        let edited = self
            .edited
            .as_ref()
            .filter(|(of, _)| *of == chosen && self.way == Way::Rerun);
        let (edits, left_out) = edited
            .map(|(_, edited)| (edited.edits.clone(), edited.left_out.clone()))
            .unwrap_or_default();
        Wish {
            chosen,
            edits,
            left_out,
            everything: self.way == Way::Everything,
            limits: self.limits().unwrap_or_default(),
            note: self.noted(),
            ..Wish::default()
        }
    }

    fn noted(&self) -> Option<String> {
        let note = self.note.value().trim();
        (!note.is_empty()).then(|| note.to_owned())
    }

    /// `None` repeats nothing.
    ///
    /// # Errors
    /// Says which field is wrong.
    fn repeat(&self) -> Result<Option<Repeat>, String> {
        let (times, pause) = (self.repeat.value().trim(), self.pause.value().trim());
        let times: u32 = match times {
            "" => 0,
            text => text
                .parse()
                .map_err(|_| "repeat at most is no number".to_owned())?,
        };
        let pause = match pause {
            "" => PAUSE,
            text => {
                let span: Option<SignedDuration> = text.parse().ok();
                let span = span.and_then(|span| Duration::try_from(span).ok());
                span.ok_or("the pause is no span such as 10m")?
            }
        };
        Ok((0 < times).then_some(Repeat { times, pause }))
    }

    /// # Errors
    /// Says which field holds no number.
    fn limits(&self) -> Result<Limits, String> {
        let number = |field: &Field| field.value().trim().trim_end_matches('%').replace(',', "");
        let (children, share) = (number(&self.children), number(&self.share));
        let max_concurrency = match children.as_str() {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_| "children is no number".to_owned())?,
            ),
        };
        let tolerated_percentage = match share.as_str() {
            "" => None,
            text => {
                let share: Option<f64> = text.parse().ok();
                let share = share.filter(|share| (0.0..=100.0).contains(share));
                Some(share.ok_or("failures is no share from 0 to 100")?)
            }
        };
        Ok(Limits {
            max_concurrency,
            tolerated_percentage,
            tolerated_count: None,
        })
    }

    /// Asks for the plan of a new run, unless the very same was asked for.
    fn ask(&mut self) -> Option<Effect> {
        if self.way == Way::Redrive || self.limits().is_err() {
            return None;
        }
        let wish = self.wish();
        if self.asked.contains(&wish) {
            return None;
        }
        self.asked
            .retain(|asked| asked.everything != wish.everything);
        self.asked.push(wish.clone());
        match self.way {
            Way::Everything => self.everything = Remote::Waiting,
            _ => self.rerun = Remote::Waiting,
        }
        let ask = Ask::PlanRerun(self.subject().clone(), Box::new(wish));
        Some(Effect::Ask(ask))
    }

    /// The plan of the chosen way, with what the fields say.
    fn plan(&self) -> Option<plan::Plan> {
        match self.way {
            Way::Redrive => {
                let plan = Plan {
                    limits: self.limits().ok()?,
                    note: self.noted(),
                    ..self.redrive.get()?.clone()
                };
                Some(plan::Plan::Redrive(Box::new(plan)))
            }
            Way::Rerun => Some(plan::Plan::Rerun(Box::new(self.rerun.get()?.clone()))),
            Way::Everything => Some(plan::Plan::Rerun(Box::new(self.everything.get()?.clone()))),
        }
    }

    fn slots(&self) -> Vec<Slot> {
        if self.canary.is_some() {
            let has_count = !self.awaits_canary() && self.must_type();
            return if has_count {
                vec![Slot::Count]
            } else {
                Vec::new()
            };
        }
        let mut slots = vec![Slot::Way];
        if self.marked.hidden.is_some() && self.way == Way::Rerun {
            slots.push(Slot::Hidden);
        }
        slots.extend([Slot::Children, Slot::Share, Slot::Repeat]);
        if !self.repeat.value().trim().is_empty() {
            slots.push(Slot::Pause);
        }
        slots.push(Slot::Note);
        if self.must_type() {
            slots.push(Slot::Count);
        }
        slots
    }

    fn slot(&self) -> Option<Slot> {
        self.slots().get(self.focus.field()?).copied()
    }

    /// Keeps the focus where it is when fields come or go; before anything is known, on Cancel.
    fn refocus(&mut self) {
        let (fields, buttons) = (self.slots().len(), 2 + usize::from(self.has_canary()));
        self.focus = match self.focus.field().filter(|_| 0 < fields) {
            Some(field) => Focus {
                at: field.min(fields - 1),
                fields,
                buttons,
            },
            None => Focus::on_cancel(fields, buttons),
        };
    }

    fn focus_on_cancel(&mut self) {
        let buttons = 2 + usize::from(self.has_canary());
        self.focus = Focus::on_cancel(self.slots().len(), buttons);
    }

    fn has_canary(&self) -> bool {
        self.way == Way::Rerun && self.canary.is_none()
    }

    /// Whether the lines that will run can be edited first.
    pub fn edits_lines(&self) -> bool {
        self.way == Way::Rerun && self.canary.is_none()
    }

    fn must_type(&self) -> bool {
        let items = self.plan().map(|plan| plan.will_run());
        items.is_some_and(|items| self.is_prod || items > TYPED_ABOVE)
    }

    /// Whether the plan may be carried out as things stand.
    fn ready(&self) -> Result<plan::Plan, String> {
        self.limits()?;
        self.repeat()?;
        match &self.canary {
            Some(Canary::Running) => return Err("the canary runs".to_owned()),
            Some(Canary::Ended(ended)) => ended.tolerable_rest()?,
            None => {}
        }
        if let Some(mistake) = self.mistake.as_ref().filter(|_| self.way == Way::Rerun) {
            return Err(mistake.clone());
        }
        let trouble = match self.way {
            Way::Redrive => self.redrive.trouble(),
            Way::Rerun => self.rerun.trouble(),
            Way::Everything => self.everything.trouble(),
        };
        if let Some(trouble) = trouble {
            return Err(trouble.text.clone());
        }
        let Some(plan) = self.plan() else {
            return Err("the counts are still being read".to_owned());
        };
        plan.allowed()?;
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
            return Reaction::Stay(self.command().map(Effect::Copy).into_iter().collect());
        }
        if key.code == KeyCode::Char('o') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Reaction::Stay(self.save().into_iter().collect());
        }
        if key.code == KeyCode::Char('e') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Reaction::Stay(self.edit().into_iter().collect());
        }
        if self.edits(key) {
            return Reaction::nothing();
        }
        let before = self.focus.at;
        if self.focus.key(key) || !presses(key) {
            // A field that was left may have changed what is wanted.
            let asks = match before == self.focus.at {
                true => None,
                false => self.ask(),
            };
            self.keep_place();
            return Reaction::Stay(asks.into_iter().collect());
        }
        match (self.focus.button(), self.ready()) {
            (Some(0), _) => Reaction::Close(Vec::new()),
            (Some(_), Err(_)) | (None, _) => Reaction::nothing(),
            (Some(1), Ok(plan)) => Reaction::Close(vec![match (plan, self.repeat()) {
                (plan, Ok(Some(repeat))) => Effect::Repeat(Box::new(plan), repeat),
                (plan::Plan::Redrive(plan), _) => Effect::Redrive(plan),
                (plan::Plan::Rerun(plan), _) => Effect::Rerun(plan),
                (plan::Plan::Merge(_), _) => return Reaction::nothing(),
            }]),
            (Some(_), Ok(_)) => {
                let wish = Box::new(self.wish());
                self.canary = Some(Canary::Running);
                self.focus_on_cancel();
                Reaction::Stay(vec![Effect::Canary(self.execution.clone(), wish, CANARY)])
            }
        }
    }

    /// Counts of fields may have changed under the focus.
    fn keep_place(&mut self) {
        let fields = self.slots().len();
        if fields != self.focus.fields {
            self.refocus();
        }
    }

    /// Gives a key to the slot in focus; whether it was one for it.
    fn edits(&mut self, key: KeyEvent) -> bool {
        match self.slot() {
            Some(Slot::Way) => {
                let step = match key.code {
                    KeyCode::Left => 2,
                    KeyCode::Right | KeyCode::Char(' ') => 1,
                    _ => return false,
                };
                let at = WAYS.iter().position(|way| *way == self.way).unwrap_or(0);
                self.way = WAYS[(at + step) % WAYS.len()];
                self.is_chosen = true;
                let at = self.focus.at;
                self.refocus();
                self.focus.at = at;
                true
            }
            Some(Slot::Hidden) if key.code == KeyCode::Char(' ') => {
                self.with_hidden = !self.with_hidden;
                true
            }
            Some(Slot::Children) => self.children.key(key),
            Some(Slot::Share) => self.share.key(key),
            Some(Slot::Repeat) => self.repeat.key(key),
            Some(Slot::Pause) => self.pause.key(key),
            Some(Slot::Note) => self.note.key(key),
            Some(Slot::Count) => self.typed.key(key),
            _ => false,
        }
    }

    pub fn paste(&mut self, pasted: &str) {
        match self.slot() {
            Some(Slot::Children) => self.children.paste(pasted),
            Some(Slot::Share) => self.share.paste(pasted),
            Some(Slot::Repeat) => self.repeat.paste(pasted),
            Some(Slot::Pause) => self.pause.paste(pasted),
            Some(Slot::Note) => self.note.paste(pasted),
            Some(Slot::Count) => self.typed.paste(pasted),
            _ => {}
        }
    }

    /// Opens the chosen items in the editor: again as they were left there, where that was wrong.
    fn edit(&mut self) -> Option<Effect> {
        if !self.edits_lines() {
            return None;
        }
        match &self.draft {
            Some(draft) => Some(Effect::Edit(draft.clone())),
            None => {
                let ask = Ask::RerunItems(self.execution.clone(), Box::new(self.wish()));
                Some(Effect::Ask(ask))
            }
        }
    }

    /// The items have come: off to the editor.
    pub fn put_items(&mut self, reply: Reply<String>) -> Vec<Effect> {
        match reply {
            Ok(text) => vec![Effect::Edit(text)],
            Err(trouble) => {
                self.mistake = Some(trouble.text);
                Vec::new()
            }
        }
    }

    /// The editor has closed.
    pub fn edited(&mut self, reply: Reply<String>) -> Vec<Effect> {
        match reply {
            Ok(text) => {
                self.draft = Some(text.clone());
                let wish = Box::new(self.wish());
                vec![Effect::Ask(Ask::RerunEdited(
                    self.execution.clone(),
                    wish,
                    text,
                ))]
            }
            Err(trouble) => {
                self.mistake = Some(trouble.text);
                Vec::new()
            }
        }
    }

    /// What the edited text changes.
    pub fn put_edited(&mut self, wish: &Wish, reply: Reply<Box<Edited>>) -> Vec<Effect> {
        match reply {
            Ok(edited) => {
                self.mistake = None;
                self.edited = Some((wish.chosen.clone(), *edited));
            }
            Err(trouble) => self.mistake = Some(format!("{} (ctrl-e edits on)", trouble.text)),
        }
        self.ask().into_iter().collect()
    }

    /// The same as a command.
    fn command(&self) -> Option<String> {
        let mut command = self.plan()?.command();
        if let Ok(Some(repeat)) = self.repeat() {
            let (times, seconds) = (repeat.times, repeat.pause.as_secs());
            command += &format!(" --wait --repeat {times} --pause {seconds}s");
        }
        Some(command)
    }

    /// Writes the plan down; nothing is run.
    fn save(&self) -> Option<Effect> {
        let plan = self.plan().filter(|plan| plan.allowed().is_ok())?;
        let name = format!("{}.plan.json", plan.execution().name());
        Some(Effect::SavePlan(PathBuf::from(name), Box::new(plan)))
    }

    pub fn view(&self, app: &App, cells: usize, theme: Theme) -> View<'static> {
        draw::view(self, app, cells, theme)
    }
}
