//! Where we are: the account behind the target, going to another one, and signing in again in the
//! middle of everything.

use crossterm::event::KeyEvent;

use crate::client::{Identity, Profile};
use crate::config::Config;
use crate::model::{ExecutionArn, StateMachineArn, Timestamp};
use crate::operations::journal::Interrupted;
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::dialog::Reaction;
use crate::tui::dialog::sign_in::SignIn;
use crate::tui::event::{Arrival, Ask, Cause, Destination, Effect, Place, Reply};
use crate::tui::keys::Availability;
use crate::tui::pace::Tone;
use crate::tui::palette::{Palette, Scope};
use crate::tui::screen::{Runs, Screen};
use crate::tui::session::Session;
use crate::tui::widget::figures;

use super::Overlay;

/// Between two attempts to connect anew while nobody is signed in, seconds.
const ATTEMPTS: i64 = 10;
/// Between two writings of what is remembered, seconds.
const REMEMBER: i64 = 3;
/// Before the end of a sign-in one is told of it, and it is looked at again, seconds.
const NEAR_END: i64 = 600;
const LOOK_AGAIN: i64 = 60;
/// Before a service that could not say who we are is asked again, seconds.
const WHO_AGAIN: i64 = 60;

/// What is known of the target beyond its data.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Where we are.
    pub at: Destination,
    /// Where we are going.
    going: Option<Destination>,
    pub identity: Remote<Identity>,
    /// Operations from this machine that were interrupted here.
    pub(super) interrupted: Remote<Vec<Interrupted>>,
    /// Of the newest identity: what the data belongs to.
    account: Option<String>,
    /// After a sign-in or a new connection until the account is known: nothing is changed.
    is_rechecking: bool,
    /// Since when nobody is signed in.
    pub expired: Option<Timestamp>,
    /// Whether the connection is a newer one than the one whose sign-in ended.
    is_renewed: bool,
    pub sign_in: Option<SignIn>,
    /// When a new connection was last tried.
    tried: Option<Timestamp>,
    pub profiles: Remote<Vec<Profile>>,
    /// The state machine of profiles of which nothing is remembered.
    machine: String,
    /// A run of the last visit, until it is known to be there still.
    pub(super) restored: Option<ExecutionArn>,
    saved: Option<(Session, Timestamp)>,
    /// The end of a sign-in that was told of.
    warned: Option<Timestamp>,
}

impl Target {
    pub(super) fn new(at: Destination, machine: &str) -> Self {
        Self {
            at,
            machine: machine.to_owned(),
            ..Self::default()
        }
    }
}

impl App {
    /// Whether dialogs want their number typed whatever it is.
    pub fn is_prod(&self) -> bool {
        let connection = &self.health.connection;
        let profile = self.settings.profiles.get(&connection.label);
        !connection.local && profile.is_some_and(|it| it.prod)
    }

    pub(super) fn is_rechecking(&self) -> bool {
        self.target.is_rechecking && !self.health.connection.local
    }

    /// What signs in to this target, where something does.
    pub fn sign_in_command(&self) -> Option<Vec<String>> {
        let label = &self.health.connection.label;
        let mut profiles = self.target.profiles.get()?.iter();
        profiles.find(|it| it.name == *label)?.sign_in.clone()
    }

    /// Nobody is signed in any more: what is shown stays, a dialog says what to do.
    pub(super) fn expire(&mut self, reason: &str) {
        self.target.is_renewed = false;
        if self.target.expired.is_none() {
            self.target.expired = Some(self.now);
            self.target.tried = Some(self.now);
            self.target.is_rechecking = true;
            self.target.sign_in = Some(SignIn::open(reason.to_owned()));
        }
    }

    /// An answer came, so somebody is signed in: unless it was on its way when the sign-in ended.
    pub(super) fn recover(&mut self) {
        if self.target.is_renewed && self.target.expired.take().is_some() {
            self.target.sign_in = None;
            self.target.identity = Remote::Waiting;
            self.say(Tone::Good, "✓ signed in again, going on");
        }
    }

    pub(super) fn sign_in_key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let command = self.sign_in_command();
        let again = Effect::Connect(self.target.at.clone());
        let Some(dialog) = &mut self.target.sign_in else {
            return Vec::new();
        };
        match dialog.key(key, again, command.as_deref()) {
            Reaction::Stay(effects) => {
                if let Some(Effect::Connect(_)) = effects.first() {
                    self.say(Tone::Plain, "trying again…");
                }
                effects
            }
            Reaction::Close(effects) => {
                self.target.sign_in = None;
                self.say(Tone::Plain, "`:sign-in` asks again");
                effects
            }
        }
    }

    /// Opens the dialog again, or connects anew where nobody has to sign in.
    pub(super) fn sign_in_again(&mut self) -> Vec<Effect> {
        if self.target.expired.is_some() {
            self.target.sign_in = Some(SignIn::open("nobody is signed in".to_owned()));
            return Vec::new();
        }
        if self.ends_soon().is_some() {
            self.target.sign_in = Some(SignIn::open("the sign-in ends soon".to_owned()));
            return Vec::new();
        }
        self.say(Tone::Plain, "connecting anew…");
        vec![Effect::Connect(self.target.at.clone())]
    }

    /// The program that had the terminal has ended.
    pub(super) fn lent(&mut self, ended: Result<(), String>) -> Vec<Effect> {
        match ended {
            Ok(()) => {
                self.say(Tone::Plain, "connecting anew…");
                vec![Effect::Connect(self.target.at.clone())]
            }
            Err(reason) => {
                self.say(Tone::Bad, reason);
                Vec::new()
            }
        }
    }

    /// What is due by the clock: another attempt while nobody is signed in, and remembering.
    pub(super) fn due(&mut self) -> Vec<Effect> {
        let now = self.now;
        let since = |at: Timestamp| figures::seconds_between(at, now);
        if self.target.expired.is_some()
            && self.target.going.is_none()
            && self.target.tried.is_none_or(|at| since(at) >= ATTEMPTS)
        {
            self.target.tried = Some(now);
            return vec![Effect::Connect(self.target.at.clone())];
        }
        let mut effects = self.warn_of_end();
        if !self.settings.remembers {
            return effects;
        }
        let session = self.session();
        let is_saved = match &self.target.saved {
            Some((saved, at)) => *saved == session || since(*at) < REMEMBER,
            None => false,
        };
        if !is_saved {
            self.target.saved = Some((session.clone(), now));
            effects.push(Effect::Remember(Box::new(session)));
        }
        effects
    }

    /// Asks about who we are and which profiles there are, where that is not known and wanted.
    pub(super) fn wanted_of_target(&self) -> Vec<Ask> {
        let mut asks = Vec::new();
        let is_answered = !matches!(self.live.machine, Remote::Waiting);
        let age = |at: Timestamp| figures::seconds_between(at, self.now);
        let is_due = match &self.target.identity {
            Remote::Waiting => is_answered,
            Remote::Failed { at, .. } => age(*at) >= WHO_AGAIN,
            // Somebody may have signed in again elsewhere.
            Remote::Known { at, .. } => self.ends_soon().is_some() && age(*at) >= LOOK_AGAIN,
        };
        let is_signed_in = self.target.expired.is_none();
        if is_due && is_signed_in && !self.health.connection.local {
            asks.push(Ask::Identity);
        }
        // Where nothing is remembered there are no journals either.
        if self.settings.remembers && matches!(self.target.interrupted, Remote::Waiting) {
            asks.push(Ask::Interrupted);
        }
        let lists_profiles = matches!(
            &self.overlay,
            Some(Overlay::Palette(palette)) if palette.lists_profiles()
        );
        let names_machine = matches!(
            &self.overlay,
            Some(Overlay::Palette(palette)) if palette.lists_machines()
        );
        if names_machine && matches!(self.live.machines, Remote::Waiting) {
            asks.push(Ask::Machines);
        }
        let is_unknown = matches!(self.target.profiles, Remote::Waiting);
        if is_unknown && (lists_profiles || self.target.sign_in.is_some()) {
            asks.push(Ask::Profiles);
        }
        asks
    }

    /// When the sign-in ends, once that is near.
    fn ends_soon(&self) -> Option<Timestamp> {
        let ends = self.target.identity.get()?.ends?;
        let left = figures::seconds_between(self.now, ends);
        (left <= NEAR_END && self.target.expired.is_none()).then_some(ends)
    }

    /// Tells once that the sign-in is about to end.
    fn warn_of_end(&mut self) -> Vec<Effect> {
        let Some(ends) = self.ends_soon() else {
            return Vec::new();
        };
        if self.target.warned.replace(ends) == Some(ends) {
            return Vec::new();
        }
        let left = figures::span(figures::seconds_between(self.now, ends));
        let label = &self.health.connection.label;
        let said = format!("the sign-in of {label} ends in {left}");
        let effects = self.notify(Some(said.clone()));
        self.say(Tone::Warn, format!("{said}: `:sign-in` renews it"));
        effects
    }

    /// Who we are. Another account than before ends everything that was about the old one.
    pub(super) fn identified(&mut self, reply: Reply<Identity>) -> Vec<Effect> {
        match &reply {
            Ok(identity) => {
                self.target.is_rechecking = false;
                let account = Some(identity.account.clone());
                let before = std::mem::replace(&mut self.target.account, account);
                if let Some(before) = before.filter(|it| *it != identity.account) {
                    self.forget();
                    let text = format!(
                        "the account is {} now, it was {before}: what was open is closed",
                        identity.account
                    );
                    self.say(Tone::Warn, text);
                }
            }
            Err(trouble) if trouble.cause == Cause::SignedOut => self.expire(&trouble.text),
            Err(_) => self.target.is_rechecking = false,
        }
        self.target.identity.put(reply, self.now);
        self.warn_of_end()
    }

    /// Forgets all data and goes to the list of runs.
    fn forget(&mut self) {
        self.live.switch();
        self.frozen = None;
        self.dialog = None;
        self.overlay = None;
        self.out.clear();
        self.restore_stack(vec![Screen::Runs(Runs::default())]);
    }

    pub(super) fn open_profiles(&mut self) {
        self.target.profiles = Remote::Waiting;
        self.overlay = Some(Overlay::Palette(Palette::new(Scope::Profiles)));
    }

    pub fn can_switch_region(&self) -> Availability {
        match self.health.connection.local {
            true => Err("the embedded engine has one Region"),
            false => Ok(()),
        }
    }

    pub(super) fn go_to_profile(&mut self, profile: String) -> Vec<Effect> {
        self.go_to(Destination {
            place: Place::Profile(Some(profile)),
            region: None,
        })
    }

    pub(super) fn go_to_region(&mut self, region: String) -> Vec<Effect> {
        if let Err(reason) = self.can_switch_region() {
            self.say(Tone::Warn, reason);
            return Vec::new();
        }
        let plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
        if !region.chars().all(plain) {
            self.say(
                Tone::Warn,
                format!("{region} is no Region such as eu-west-1"),
            );
            return Vec::new();
        }
        self.go_to(Destination {
            region: Some(region),
            ..self.target.at.clone()
        })
    }

    pub(super) fn go_to_engine(&mut self) -> Vec<Effect> {
        if self.health.connection.local {
            self.say(Tone::Plain, "this is the embedded engine");
            return Vec::new();
        }
        if !self.settings.has_engine {
            self.say(Tone::Warn, "the embedded engine is not at hand here");
            return Vec::new();
        }
        self.go_to(Destination {
            place: Place::Engine,
            region: None,
        })
    }

    /// Connects to another target; this one stays until that is done.
    fn go_to(&mut self, destination: Destination) -> Vec<Effect> {
        if let Some(warning) = self.transfers.warning() {
            self.say(
                Tone::Warn,
                format!("under way: {warning}; wait for the end, or cancel in the drawer"),
            );
            return Vec::new();
        }
        self.say(Tone::Plain, format!("connecting to {destination}…"));
        self.target.going = Some(destination.clone());
        vec![Effect::Connect(destination)]
    }

    pub(super) fn connected(
        &mut self,
        destination: Destination,
        reply: Reply<Box<Arrival>>,
    ) -> Vec<Effect> {
        let is_wanted = self.target.going.as_ref() == Some(&destination);
        let is_here = self.target.at == destination;
        let arrival = match reply {
            Ok(arrival) if is_wanted || is_here => *arrival,
            Ok(_) => return Vec::new(),
            Err(trouble) => {
                self.target.going = None;
                self.say_trouble(&trouble);
                return Vec::new();
            }
        };
        if is_wanted {
            self.target.going = None;
        }
        if is_here {
            // The same target with new credentials: everything stays.
            self.health = arrival.health;
            self.target.is_renewed = true;
            self.target.is_rechecking = true;
            self.target.identity = Remote::Waiting;
            self.out.clear();
            return vec![Effect::Adopt { fresh: false }];
        }
        let left = Effect::Remember(Box::new(self.session()));
        let had_dialog = self.dialog.is_some();
        let machine = self.target.machine.clone();
        self.forget();
        self.recent.clear();
        self.filters.clear();
        self.target = Target {
            profiles: std::mem::take(&mut self.target.profiles),
            ..Target::new(destination, &machine)
        };
        self.health = arrival.health;
        self.settings.machine = match self.target.at.place {
            Place::Engine => Config::default().machine,
            // An ARN belongs to the account that it names.
            Place::Profile(_) if machine.starts_with("arn:") => {
                StateMachineArn::new(machine).name().to_owned()
            }
            Place::Profile(_) => machine,
        };
        let to = self.target.at.to_string();
        match arrival.session {
            Ok(session) => {
                if let Some(session) = session {
                    self.restore(session);
                }
                match had_dialog {
                    true => self.say(Tone::Warn, format!("this is {to}: the dialog is closed")),
                    false => self.say(Tone::Good, format!("✓ this is {to}")),
                }
            }
            Err(problem) => self.say(Tone::Warn, problem),
        }
        let mut effects = vec![Effect::Adopt { fresh: true }];
        if self.settings.remembers {
            effects.insert(0, left);
        }
        effects
    }

    /// A run of the last visit that is not there any more.
    pub(super) fn is_lost<T>(&self, run: &ExecutionArn, reply: &Reply<T>) -> bool {
        let is_new = self.live.runs.get(run).is_none_or(|it| it.get().is_none());
        let is_gone = reply.as_ref().is_err_and(|it| it.cause == Cause::Gone);
        self.target.restored.as_ref() == Some(run) && is_gone && is_new
    }
}
