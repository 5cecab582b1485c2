//! What keys and pasted text mean, wherever they go.

use std::path::{Path, PathBuf};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::model::{ExecutionArn, ObjectAddress, StateMachineArn};
use crate::tui::app::{App, Overlay};
use crate::tui::dialog::start::{Setting, Start};
use crate::tui::dialog::{Dialog, Reaction};
use crate::tui::event::{Ask, Effect};
use crate::tui::filter::Filter;
use crate::tui::keys::{Action, Key, Resolution};
use crate::tui::pace::Tone;
use crate::tui::screen::{Screen, chosen_machine};
use crate::tui::widget::list::Cursor;

impl App {
    pub(super) fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        if self.is_two_keys(key) {
            let mut effects = self.key(KeyCode::Esc.into());
            effects.extend(self.key(KeyEvent {
                modifiers: key.modifiers - KeyModifiers::ALT,
                ..key
            }));
            return effects;
        }
        let pressed = Key::from(key);
        // These work wherever the keys go: in dialogs and text fields too.
        if let Resolution::Action(action @ (Action::Quit | Action::Suspend | Action::Redraw)) =
            self.keymap.resolve(None, pressed)
            && pressed.is_ctrl()
        {
            return self.act(action);
        }
        self.message.take_if(|it| match it.tone {
            Tone::Plain => true,
            Tone::Warn => it.of_key,
            Tone::Good | Tone::Bad => false,
        });
        let before = self.message.clone();
        let effects = self.meant(key);
        if let Some(message) = &mut self.message
            && before.as_ref() != Some(message)
        {
            message.of_key = true;
        }
        effects
    }

    /// What a key means, for whatever has the keys.
    fn meant(&mut self, key: KeyEvent) -> Vec<Effect> {
        let pressed = Key::from(key);
        if self.target.sign_in.is_some() {
            return self.sign_in_key(key);
        }
        let is_rechecking = self.is_rechecking();
        if let Some(dialog) = &mut self.dialog {
            let is_about_marks = matches!(dialog, Dialog::Several(_) | Dialog::Download(_));
            return match dialog.key(key) {
                Reaction::Stay(effects) => self.do_all(effects),
                Reaction::Close(effects)
                    if is_rechecking && effects.iter().any(Effect::is_change) =>
                {
                    self.say(
                        Tone::Warn,
                        "the account is being checked again: try in a moment",
                    );
                    Vec::new()
                }
                Reaction::Close(effects) => {
                    self.dialog = None;
                    if is_about_marks && !effects.is_empty() {
                        self.clear_marks();
                    }
                    self.do_all(effects)
                }
            };
        }
        if let Some(overlay) = self.overlay.take() {
            return self.overlay_key(overlay, key);
        }
        self.is_menu_due = false;
        match (self.prefix.take(), pressed) {
            (
                Some(_),
                Key {
                    code: KeyCode::Esc, ..
                },
            ) => Vec::new(),
            (before, pressed) => match self.keymap.resolve(before, pressed) {
                Resolution::Action(action) => self.act_if_available(action),
                Resolution::Prefix => {
                    self.prefix = Some(pressed);
                    vec![Effect::Moment]
                }
                Resolution::Nothing => self.host(pressed),
            },
        }
    }

    /// Whether what came as alt with a character was escape and then the character: terminals send
    /// the same bytes for both, so it is the one that means something here.
    fn is_two_keys(&self, key: KeyEvent) -> bool {
        let KeyCode::Char(typed) = key.code else {
            return false;
        };
        if !key.modifiers.contains(KeyModifiers::ALT) {
            return false;
        }
        let is_text = self.dialog.is_some() || self.overlay.is_some();
        match is_text {
            // By words, in fields.
            true => !matches!(typed, 'b' | 'f'),
            false => self.keymap.resolve(self.prefix, Key::from(key)) == Resolution::Nothing,
        }
    }

    pub(super) fn host(&self, pressed: Key) -> Vec<Effect> {
        let mut hosts = self.settings.hosts.iter();
        let index = hosts.position(|(key, _)| Some(*key) == pressed.typed());
        index.map(Effect::Host).into_iter().collect()
    }

    /// Says what is being done, since its end may take a while.
    pub(super) fn do_all(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let downloads = |it: &&Effect| matches!(it, Effect::Download(..));
        let downloads = effects.iter().filter(downloads).count();
        for effect in &effects {
            let text = match effect {
                Effect::Download(object, to) => {
                    self.download_to = Some(folder_of(to));
                    match downloads {
                        1 => format!("downloading {}…", object.address.file_name()),
                        many => format!("downloading {many} objects…"),
                    }
                }
                Effect::Redrive(plan) => format!("redriving {}…", plan.execution.name()),
                Effect::RedriveAll(plans) => format!("redriving {} runs…", plans.len()),
                Effect::Rerun(plan) => format!("starting {}…", plan.name),
                Effect::Canary(arn, ..) => format!("starting a canary of {}…", arn.name()),
                Effect::Repeat(plan, _) => format!("starting {}…", plan.execution().name()),
                Effect::Resume(name) => format!("going on with {name}…"),
                Effect::Start(plan) => format!("starting {}…", plan.name),
                Effect::DryRun(plan) => format!("trying the first lines of {}…", plan.name),
                Effect::Stop(arn) => format!("stopping {}…", arn.name()),
                Effect::SetLimits(..) => "changing the limits…".to_owned(),
                Effect::Copy(text) => format!("copied {} characters", text.chars().count()),
                _ => continue,
            };
            self.say(Tone::Plain, text);
        }
        effects
    }

    pub(super) fn paste(&mut self, pasted: &str) -> Vec<Effect> {
        if self.target.sign_in.is_some() {
            return Vec::new();
        }
        if let Some(dialog) = &mut self.dialog {
            return dialog.paste(pasted);
        }
        match &mut self.overlay {
            Some(Overlay::Filter(line)) => {
                line.field.paste(pasted);
                let filter = Filter::new(line.field.value());
                self.screen_mut().set_filter(filter);
            }
            Some(Overlay::Palette(palette)) => {
                palette.field.paste(pasted);
                palette.cursor = Cursor::default();
            }
            Some(Overlay::Transfers(_)) => {}
            Some(Overlay::Search(field)) => {
                field.paste(pasted);
                let text = field.value().to_owned();
                if !self.is_reading() {
                    self.search_for(text);
                }
            }
            None => return self.open_pasted(pasted.trim()),
        }
        Vec::new()
    }

    /// A pasted address starts a run (after a dialog), a pasted ARN is opened.
    pub(super) fn open_pasted(&mut self, pasted: &str) -> Vec<Effect> {
        if let Some(address) = ObjectAddress::parse(pasted)
            && self.can_change().is_ok()
        {
            return self.open_start(&address.to_string());
        }
        if pasted.starts_with("arn:") && pasted.contains(":execution:") {
            self.show(Screen::live(ExecutionArn::new(pasted)));
        }
        Vec::new()
    }

    pub(super) fn open_start(&mut self, source: &str) -> Vec<Effect> {
        let machine = chosen_machine(self);
        let machine = machine.as_ref().map(StateMachineArn::name);
        let machine = machine.unwrap_or(&self.settings.machine);
        let setting = Setting {
            bucket: self.settings.bucket.clone(),
            inputs: self.settings.inputs.clone(),
            is_prod: self.is_prod(),
        };
        let mut dialog = Start::open(machine, source, setting);
        let mut effects = dialog.plan_if_new();
        effects.push(Effect::Ask(Ask::Templates));
        self.dialog = Some(Dialog::Start(Box::new(dialog)));
        effects
    }
}

/// The folder of what is given as one, or as a file in it.
fn folder_of(to: &Path) -> PathBuf {
    let is_folder = to.to_string_lossy().ends_with(std::path::is_separator);
    match to.parent() {
        Some(parent) if !is_folder && parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) if !is_folder => parent.to_owned(),
        _ => to.to_owned(),
    }
}
