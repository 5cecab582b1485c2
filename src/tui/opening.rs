//! The dashboard before there is anybody to ask: the terminal is taken and the first frame drawn as
//! the last visit left it, while the connection is still being made.

use std::io;

use crossterm::event::{Event as Input, EventStream, KeyEventKind};
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::client::{Client, Connection};
use crate::config::Config;
use crate::model::Timestamp;
use crate::tui::app::App;
use crate::tui::event::Health;
use crate::tui::keys::{Action, Key, Resolution};
use crate::tui::pace::Tone;
use crate::tui::runtime::{self, OpenEngine, Runtime, Ways};
use crate::tui::terminal::clipboard::{self, Tool};
use crate::tui::terminal::dialect::Dialect;
use crate::tui::terminal::{Guard, Notice, Signals};
use crate::tui::{Dashboard, Options, WAITING, finish, screen, session, settings};

/// Dropping it gives the terminal back.
pub struct Opening {
    options: Options,
    app: App,
    guard: Guard,
    signals: Signals,
    dialect: Dialect,
    /// What was typed meanwhile.
    typed: Vec<Input>,
}

impl Opening {
    /// Takes the terminal and draws the first frame.
    ///
    /// # Errors
    /// When there is no terminal, or it cannot be written to.
    pub fn show(options: Options, connection: Connection) -> io::Result<Self> {
        let guard = Guard::enter()?;
        let signals = Signals::listen()?;
        let dialect = Dialect::of(|name| std::env::var(name).ok());
        let settings = settings(&options, connection.local, dialect);
        let health = Health {
            connection,
            budget_used: 0.0,
            slowed: false,
            spent: Vec::new(),
        };
        let mut opening = Self {
            app: App::new(settings, health, Timestamp::now()),
            options,
            guard,
            signals,
            dialect,
            typed: Vec::new(),
        };
        opening.restore();
        opening.draw()?;
        Ok(opening)
    }

    /// What is known only now: the execution to open, and that all runs end with the dashboard, by
    /// the names of those that it has not to ask about.
    pub fn stage(&mut self, open: &str, ends: Vec<String>) {
        self.app.settings.open = Some(open.to_owned());
        self.app.settings.ends = Some(ends);
    }

    /// Goes on where the last visit ended. A state machine that was asked for by name goes before
    /// the one of then.
    fn restore(&mut self) {
        let connection = &self.app.health.connection;
        let folder = self.options.sessions.as_ref();
        let path = folder.map(|it| session::path(it, &connection.label, &connection.region));
        let machine = &self.options.config.machine;
        match path.map(|path| session::read(&path)) {
            Some(Ok(Some(mut session))) => {
                let is_named = *machine != Config::default().machine;
                if is_named && session.machine.as_ref() != Some(machine) {
                    session.views.clear();
                    session.machine = None;
                }
                self.app.restore(session);
            }
            Some(Err(problem)) => self.app.say(Tone::Warn, problem),
            _ => {}
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        self.guard.draw(|frame| screen::draw(&self.app, frame))?;
        self.guard.entitle(self.app.title())
    }

    /// Waits until it is `ready`; what is typed meanwhile is kept. `None` when the user has left.
    ///
    /// # Errors
    /// When the terminal cannot be written to or read any more.
    pub async fn until<T>(&mut self, ready: impl Future<Output = T>) -> io::Result<Option<T>> {
        let mut ready = std::pin::pin!(ready);
        let mut keyboard = EventStream::new();
        loop {
            tokio::select! {
                biased;
                done = &mut ready => return Ok(Some(done)),
                notice = self.signals.next() => match notice {
                    Notice::End(code) => {
                        self.guard.give_back();
                        std::process::exit(code);
                    }
                    Notice::Continued => {
                        self.guard.retake()?;
                        self.draw()?;
                    }
                },
                input = keyboard.next() => match input {
                    None => return Ok(None),
                    Some(Ok(Input::Resize(..))) => self.draw()?,
                    Some(Ok(input)) if self.leaves(&input) => return Ok(None),
                    Some(input) => self.typed.push(input?),
                },
            }
        }
    }

    fn leaves(&self, input: &Input) -> bool {
        let Input::Key(key) = input else {
            return false;
        };
        let key = Some(*key).filter(|it| it.kind != KeyEventKind::Release);
        key.is_some_and(|key| {
            let meant = self.app.keymap.resolve(None, Key::from(key));
            meant == Resolution::Action(Action::Quit)
        })
    }

    /// Runs until the user quits. The terminal is restored on every way out.
    ///
    /// # Errors
    /// When the terminal can no longer be written to or read.
    pub async fn run(mut self, client: Client, engine: Option<OpenEngine>) -> io::Result<()> {
        let guessed = self.app.health.connection.clone();
        self.app.health = runtime::health(&client);
        self.app.settings.has_engine = engine.is_some();
        let connection = &self.app.health.connection;
        if (&connection.label, &connection.region) != (&guessed.label, &guessed.region) {
            self.restore();
        }
        let (events, inbox) = mpsc::channel(WAITING);
        let options = self.options;
        let ways = Ways {
            config: options.config,
            engine,
            sessions: options.sessions,
            state: options.state,
            trail: options.trail,
        };
        let env = |name: &str| std::env::var(name).ok();
        let dashboard = Dashboard {
            app: self.app,
            runtime: Runtime::new(client, options.host_actions, ways, events),
            guard: self.guard,
            inbox,
            signals: self.signals,
            dialect: self.dialect,
            clipboard: Tool::here(env, clipboard::is_on_path),
            drawn: Instant::now(),
            is_dirty: false,
        };
        finish(dashboard, self.typed, options.looks).await
    }
}
