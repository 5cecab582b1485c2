//! The dashboard's state and the one way it changes: [`App::update`] takes an event and says what
//! should happen. No I/O, no clock, no waiting; the same events always give the same screen.

mod act;
mod age;
mod available;
mod compare;
mod input;
mod leaving;
mod lists;
mod mouse;
mod notice;
mod outcome;
mod outputs;
#[cfg(test)]
mod outside_tests;
mod overlay;
mod palette;
mod reading;
mod repairing;
mod subject;
mod take;
mod targets;
#[cfg(test)]
mod tests;
mod visit;
mod wants;

pub use lists::Filtering;
pub use mouse::Mouse;
pub use overlay::Overlay;
pub use targets::Target;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use self::notice::Known;
use crate::config::{Keys, Profile};
use crate::model::{Execution, ExecutionArn, Timestamp};
use crate::operations::logs::Query;
use crate::tui::data::{Data, MemberQuery};
use crate::tui::dialog::Dialog;
use crate::tui::event::{Ask, Destination, Effect, Event, Health, Subject};
use crate::tui::keys::{Key, Keymap};
use crate::tui::pace::Tone;
use crate::tui::screen::outputs::Rest;
use crate::tui::screen::places::Places;
use crate::tui::screen::{Runs, Screen};
use crate::tui::theme::Theme;
use crate::tui::transfers::Transfers;
use crate::tui::widget::figures;

/// What the dashboard is told once, at the start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name or ARN of the state machine shown.
    pub machine: String,
    /// Where local files are uploaded to.
    pub bucket: String,
    pub download_dir: PathBuf,
    pub theme: Theme,
    /// Keys and titles of the host actions.
    pub hosts: Vec<(char, &'static str)>,
    /// The user's own.
    pub keys: Keys,
    /// Names become links where the terminal knows them.
    pub links: bool,
    /// What is special about profiles, by name.
    pub profiles: BTreeMap<String, Profile>,
    /// Where we are at the start.
    pub at: Destination,
    /// Whether the embedded engine can be gone to.
    pub has_engine: bool,
    /// Whether there is a place to remember sessions in.
    pub remembers: bool,
    /// Name of an execution to open.
    pub open: Option<String>,
    /// Inputs that the program around offers for a start, as JSON.
    pub inputs: Vec<String>,
    /// Where all runs end with the dashboard: the names of those that it has not to ask about.
    pub ends: Option<Vec<String>>,
}

/// The last thing said on the message line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub text: String,
    pub tone: Tone,
    pub at: Timestamp,
    /// Said of a key: the next one goes on from there.
    pub of_key: bool,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact that changes on its own"
)]
pub struct App {
    pub settings: Settings,
    pub keymap: Keymap,
    pub now: Timestamp,
    pub health: Health,
    pub message: Option<Message>,
    pub overlay: Option<Overlay>,
    pub dialog: Option<Dialog>,
    /// The first of two keys, while the second is awaited.
    pub prefix: Option<Key>,
    /// Whether the second key is long enough in coming to show what it can be.
    pub is_menu_due: bool,
    /// Without frames and chrome, for the terminal's own selection.
    pub is_full: bool,
    /// Filters given, newest first, by the name of their view.
    filters: BTreeMap<String, Vec<String>>,
    /// Lines given to the palette, newest first.
    pub recent: Vec<String>,
    /// What is being copied, where that says more than how long it is.
    copying: Option<String>,
    /// Uploads, downloads and searches.
    pub transfers: Transfers,
    /// When the view was frozen, and the data as it was then.
    pub frozen: Option<(Box<Data>, Timestamp)>,
    pub mouse: Mouse,
    pub places: Places,
    /// Whether the terminal has the focus; one that does not tell always has it.
    is_focused: bool,
    /// How runs were when they were looked at last.
    known: HashMap<ExecutionArn, Known>,
    pub target: Target,
    live: Data,
    /// The first is always [`Screen::Runs`].
    stack: Vec<Screen>,
    /// Stacks as they were before, the newest last, and those gone back from.
    past: Vec<Vec<Screen>>,
    future: Vec<Vec<Screen>>,
    /// Asks that have not been answered.
    out: BTreeSet<Subject>,
    /// Quitting was asked for while a transfer was under way: the next time it is done.
    is_leaving: bool,
    /// Set by `:read-only`; cannot be taken back.
    locked: bool,
    /// The folder that was downloaded into last.
    download_to: Option<PathBuf>,
    /// The run that another one is to be compared with.
    compared: Option<ExecutionArn>,
    /// By how much the panes of a view are larger than usual, by its name.
    pub panes: BTreeMap<String, i16>,
}

/// Data older than this, in seconds, is read anew at once when the terminal gains the focus.
const LOOKED_AWAY: i64 = 5;
/// How long a message stays, seconds.
const MESSAGE_STAYS: i64 = 30;

impl App {
    pub fn new(settings: Settings, health: Health, now: Timestamp) -> Self {
        let (keymap, mut problems) = Keymap::new(&settings.keys);
        let taken = settings.hosts.iter().find_map(|(key, title)| {
            let binding = keymap.taken(*key)?;
            Some(format!("{key} means {} and {title}", binding.name))
        });
        let target = Target::new(settings.at.clone(), &settings.machine);
        let mut app = Self {
            target,
            settings,
            keymap,
            now,
            health,
            message: None,
            overlay: None,
            dialog: None,
            prefix: None,
            is_menu_due: false,
            is_full: false,
            filters: BTreeMap::new(),
            recent: Vec::new(),
            copying: None,
            transfers: Transfers::default(),
            frozen: None,
            mouse: Mouse::default(),
            places: Places::default(),
            is_focused: true,
            known: HashMap::new(),
            live: Data::default(),
            stack: vec![Screen::Runs(Runs::default())],
            past: Vec::new(),
            future: Vec::new(),
            out: BTreeSet::new(),
            is_leaving: false,
            locked: false,
            download_to: None,
            compared: None,
            panes: BTreeMap::new(),
        };
        problems.extend(taken);
        match problems.len() {
            0 => {}
            1 => app.say(Tone::Warn, problems.remove(0)),
            many => {
                let first = problems.remove(0);
                let more = many - 1;
                let text = format!("{first} — and {more} more, see `fanout config show`");
                app.say(Tone::Warn, text);
            }
        }
        app
    }

    /// What is shown: the newest data, or what it was when the view was frozen.
    pub fn data(&self) -> &Data {
        self.frozen.as_ref().map_or(&self.live, |(data, _)| data)
    }

    pub fn theme(&self) -> Theme {
        self.settings.theme
    }

    pub fn screen(&self) -> &Screen {
        self.stack.last().expect("the first screen is never popped")
    }

    fn screen_mut(&mut self) -> &mut Screen {
        self.stack
            .last_mut()
            .expect("the first screen is never popped")
    }

    pub fn read_only(&self) -> bool {
        self.locked || self.health.connection.read_only
    }

    /// The execution that the screen is about, or that the cursor is on.
    pub fn shown_run(&self) -> Option<&ExecutionArn> {
        match self.screen() {
            Screen::Runs(runs) => runs.chosen(self).map(|run| &run.arn),
            Screen::Live(it) => Some(&it.run),
            Screen::Failures(it) => Some(&it.run),
            Screen::Outputs(it) => Some(&it.run),
            Screen::Logs(it) => Some(&it.run),
            Screen::Execution(it) => Some(&it.run),
            Screen::Machines(_) | Screen::Machine(_) | Screen::Compare(_) => None,
        }
    }

    /// Its newest row.
    pub fn shown_execution(&self) -> Option<&Execution> {
        self.data().execution(self.shown_run()?)
    }

    /// Whether an ask about this is out.
    pub fn is_out(&self, subject: &Subject) -> bool {
        self.out.contains(subject)
    }

    /// Takes in one event and says what should happen.
    pub fn update(&mut self, event: Event) -> Vec<Effect> {
        if let Some(subject) = event.answers() {
            self.out.remove(&subject);
        }
        let touched = event.about();
        let mut effects = self.take(event);
        if let Some(Screen::Outputs(it)) = self.stack.last_mut()
            && it.rest == Rest::Moved
        {
            it.rest = Rest::Awaited;
            effects.push(Effect::Rest);
        }
        for arn in touched {
            let said = self.observe(&arn);
            effects.extend(self.notify(said));
        }
        self.settle();
        self.fit_document();
        effects.extend(self.wants().into_iter().map(Effect::Ask));
        effects.extend(self.wanted_of_target().into_iter().map(Effect::Ask));
        for effect in &effects {
            self.transfers.begin(effect);
        }
        effects.retain(|effect| match effect {
            Effect::Ask(ask) => self.send(ask),
            _ => true,
        });
        effects
    }

    /// Notes that an ask goes out; `false` when one about the same is out already. Of forms and
    /// paths the newest replaces the one before.
    fn send(&mut self, ask: &Ask) -> bool {
        let newest_wins = matches!(
            ask,
            Ask::PlanStart(_) | Ask::PlanRerun(..) | Ask::PlanMerge(..) | Ask::Paths(..)
        );
        self.out.insert(ask.subject()) || newest_wins
    }

    fn tick(&mut self, now: Timestamp, health: Health) {
        self.now = now;
        self.health = health;
        let is_old = |message: &Message| figures::seconds_between(message.at, now) > MESSAGE_STAYS;
        if self.message.as_ref().is_some_and(is_old) {
            self.message = None;
        }
        self.rest();
    }

    /// Notes which failure the cursor rests on: a second goes by before anything is asked about it.
    pub(super) fn rest(&mut self) {
        let resting = match self.screen() {
            Screen::Failures(it) => it.resting(self),
            _ => return,
        };
        if let Screen::Failures(it) = self.screen_mut() {
            it.rest(resting);
        }
    }

    fn is_shown(&self, machine: &crate::model::StateMachineArn) -> bool {
        self.live.machine.get() == Some(machine)
    }

    /// A book that is no longer shown must not take the place of one that is.
    fn shows_logs_of(&self, query: &Query) -> bool {
        match self.screen() {
            Screen::Logs(it) => it.query() == *query,
            Screen::Failures(it) => it.log_query(self).as_ref() == Some(query),
            _ => false,
        }
    }

    /// Whether the list shown still waits for members that fit.
    fn looks_through(&self, query: &MemberQuery) -> bool {
        match self.screen() {
            Screen::Failures(it) => {
                let list = it.list(self);
                list.is_some_and(|list| list.unfinished().as_ref() == Some(query))
            }
            _ => false,
        }
    }

    /// Keeps cursors on what they were on, whatever came in.
    fn settle(&mut self) {
        let data = self.frozen.as_ref().map_or(&self.live, |(data, _)| data);
        if let Some(screen) = self.stack.last_mut() {
            screen.settle(data);
        }
        let Some(Screen::Runs(runs)) = self.stack.first() else {
            return;
        };
        let at = runs.anchored(self);
        if let (Some(at), Some(Screen::Runs(runs))) = (at, self.stack.first_mut()) {
            runs.cursor.at = at;
        }
    }
}
