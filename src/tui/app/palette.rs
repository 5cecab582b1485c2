//! Keys in the palette, and what its lines do.

use crossterm::event::{KeyCode, KeyEvent};

use crate::model::{Execution, ExecutionArn};
use crate::tui::app::{App, Overlay};
use crate::tui::command::{self, Command};
use crate::tui::event::Effect;
use crate::tui::keys::{self, Binding};
use crate::tui::pace::Tone;
use crate::tui::palette::{Palette, Scope};
use crate::tui::screen::{Machine, MachineTab, Runs, Screen, chosen_machine, hints};
use crate::tui::widget::list::{Cursor, Move};

/// Lines that are remembered.
const REMEMBERED: usize = 20;

impl App {
    pub(super) fn open_palette(&mut self, scope: Scope) {
        self.overlay = Some(Overlay::Palette(Palette::new(scope)));
    }

    pub(super) fn palette_key(&mut self, mut palette: Palette, key: KeyEvent) -> Vec<Effect> {
        let len = palette.choices(self).len();
        match key.code {
            KeyCode::Esc => return Vec::new(),
            KeyCode::Enter => {
                let line = palette.line(self);
                if line.ends_with(' ') {
                    // A word that needs something after it: go on typing there.
                    palette = Palette::typed(Scope::All, &line);
                } else {
                    return self.command(&line);
                }
            }
            KeyCode::Tab => {
                let line = palette.line(self);
                let more = command::argument(line.trim());
                let gap = match more {
                    Some(command::Argument::None) | None => "",
                    Some(_) if line.ends_with(' ') => "",
                    Some(_) => " ",
                };
                palette = Palette::typed(Scope::All, &format!("{line}{gap}"));
            }
            KeyCode::Down => palette.cursor.go(Move::Lines(1), len),
            KeyCode::Up => palette.cursor.go(Move::Lines(-1), len),
            KeyCode::PageDown => palette.cursor.turn_page(1, len),
            KeyCode::PageUp => palette.cursor.turn_page(-1, len),
            KeyCode::Char(letter) if palette.is_menu() => {
                let choices = palette.choices(self);
                let chosen = choices.iter().find(|it| it.keys == String::from(letter));
                if let Some(choice) = chosen {
                    return self.command(&choice.line);
                }
            }
            _ => {
                if palette.field.key(key) {
                    palette.cursor = Cursor::default();
                }
            }
        }
        palette.cursor.at = palette.cursor.row(palette.choices(self).len());
        self.overlay = Some(Overlay::Palette(palette));
        Vec::new()
    }

    /// What can be done here now, most used first.
    pub fn here(&self) -> Vec<&'static Binding> {
        let actions = hints::actions(self).iter().map(|it| keys::of(*it));
        actions.filter(|it| (it.available)(self).is_ok()).collect()
    }

    /// Runs a line of the palette.
    pub(super) fn command(&mut self, line: &str) -> Vec<Effect> {
        let line = line.trim();
        if line.is_empty() {
            return Vec::new();
        }
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(reason) => return self.refuse(reason),
        };
        self.recent.retain(|it| it != line);
        self.recent.insert(0, line.to_owned());
        self.recent.truncate(REMEMBERED);
        match command {
            Command::Act(action, None) => self.act_if_available(action),
            Command::Act(action, Some(run)) => match self.run_named(&run) {
                Ok(arn) => {
                    self.show(Screen::live(arn));
                    self.act_if_available(action)
                }
                Err(reason) => self.refuse(reason),
            },
            Command::Start(source) => match self.can_change() {
                Ok(()) => self.open_start(&source),
                Err(reason) => self.refuse(reason.to_owned()),
            },
            Command::Machine(name) => self.use_machine(name),
            Command::Check(name) => self.check_machine(&name),
            Command::ReadOnly => {
                self.locked = true;
                self.say(Tone::Plain, "read-only until fanout is started again");
                vec![Effect::ReadOnly]
            }
            Command::Profile(name) => self.go_to_profile(name),
            Command::Region(region) => self.go_to_region(region),
            Command::Engine => self.go_to_engine(),
            Command::SignIn => self.sign_in_again(),
            Command::Resume => match self.can_change() {
                Ok(()) => self.open_resume(),
                Err(reason) => self.refuse(reason.to_owned()),
            },
            Command::Theme(palette) => {
                self.settings.theme.palette = palette;
                Vec::new()
            }
            Command::Since(span) => {
                self.since(&span);
                Vec::new()
            }
            Command::Filter(text) => match self.can_filter() {
                Ok(()) => {
                    self.set_filter(&text);
                    Vec::new()
                }
                Err(reason) => self.refuse(reason.to_owned()),
            },
            Command::Runs(filter) => {
                self.close_to(1);
                if !filter.is_empty() {
                    self.set_filter(&filter);
                }
                Vec::new()
            }
            Command::Sort(name) => match self.sort(&name) {
                Ok(()) => Vec::new(),
                Err(reason) => self.refuse(reason),
            },
            Command::Export(format) => self.export(format),
            Command::Host(key) => {
                let mut hosts = self.settings.hosts.iter();
                match hosts.position(|(known, _)| *known == key) {
                    Some(index) => vec![Effect::Host(index)],
                    None => self.refuse(format!("nothing is offered by the key {key}")),
                }
            }
        }
    }

    /// Shows the runs of another state machine, by name or ARN.
    pub(super) fn use_machine(&mut self, name: String) -> Vec<Effect> {
        self.stack = vec![Screen::Runs(Runs::default())];
        self.past.clear();
        self.future.clear();
        self.settings.machine = name;
        self.live.switch();
        self.frozen = None;
        self.out.clear();
        vec![Effect::Refresh]
    }

    /// Shows what is known to be wrong with a state machine: the one named, chosen or in use.
    fn check_machine(&mut self, name: &str) -> Vec<Effect> {
        let named = || {
            let machines = self.data().machines.get();
            let mut machines = machines.into_iter().flatten();
            let known = machines.find(|it| it.name == name || it.arn.as_str() == name);
            known.map(|it| it.arn.clone())
        };
        let arn = match name.is_empty() {
            true => chosen_machine(self).or_else(|| self.data().machine.get().cloned()),
            false => named(),
        };
        let Some(arn) = arn else {
            return self.refuse(match name {
                "" => "no state machine is known yet".to_owned(),
                name => format!("no state machine of the list is named {name}"),
            });
        };
        match self.screen_mut() {
            Screen::Machine(it) if it.arn == arn => it.tab = MachineTab::Checks,
            _ => self.show(Screen::Machine(Box::new(Machine::at(
                arn,
                MachineTab::Checks,
            )))),
        }
        Vec::new()
    }

    fn refuse(&mut self, reason: String) -> Vec<Effect> {
        self.say(Tone::Warn, reason);
        Vec::new()
    }

    /// The loaded run with this name, or the only one whose name contains it.
    fn run_named(&self, name: &str) -> Result<ExecutionArn, String> {
        let executions = self.data().executions();
        let exact = executions.iter().find(|it| it.name == name);
        let mut similar = executions.iter().filter(|it| it.name.contains(name));
        let arn = |it: &&Execution| it.arn.clone();
        match (exact, similar.next(), similar.next()) {
            (Some(run), ..) | (None, Some(run), None) => Ok(arn(run)),
            (None, Some(_), Some(_)) => Err(format!("more than one run fits `{name}`")),
            (None, None, _) => Err(format!("no run fits `{name}`")),
        }
    }
}
