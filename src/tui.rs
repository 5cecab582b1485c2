//! The dashboard: its options and the one loop.
//!
//! Events go in, [`app::App::update`] says what should happen, the runtime does it, and the screen
//! is drawn from the state alone. The state decides what is polled; nobody starts or stops a poll.

mod app;
mod command;
mod console;
mod data;
mod dialog;
mod event;
mod export;
mod filter;
mod fuzzy;
mod graph;

/// The text that is to be opened in the user's editor.
fn to_edit(effects: &[Effect]) -> Option<&str> {
    effects.iter().find_map(|effect| match effect {
        Effect::Edit(text) => Some(text.as_str()),
        _ => None,
    })
}

#[cfg(test)]
mod harness;
mod history;
mod keys;
mod marks;
mod opening;
mod pace;
mod palette;
mod preview;
mod runtime;
mod screen;
mod selection;
mod session;
pub mod terminal;
mod theme;
mod transfers;
mod widget;
mod zone;

use std::collections::VecDeque;
use std::io;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event as Input, EventStream};
use futures::StreamExt as _;
use ratatui::buffer::Buffer;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::client;
use crate::config::{Config, Keys};
use crate::tui::app::{App, Settings};
use crate::tui::event::{Cause, Destination, Effect, Event, Place, Trouble};
pub use crate::tui::opening::Opening;
use crate::tui::pace::Tone;
pub use crate::tui::runtime::OpenEngine;
use crate::tui::runtime::Runtime;
use crate::tui::terminal::clipboard::Tool;
use crate::tui::terminal::dialect::Dialect;
use crate::tui::terminal::{Guard, Notice, Signals};
use crate::tui::theme::{Palette, Theme};

/// Something the program around the dashboard offers as a key, such as the demo's "repair the
/// lookup service".
#[derive(Clone)]
pub struct HostAction {
    pub key: char,
    pub title: &'static str,
    /// Does it and says what happened, in one line.
    pub run: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether there is anything left to do.
    pub is_spent: Arc<dyn Fn() -> bool + Send + Sync>,
}

pub use crate::tui::zone::choose as show_times_in;

/// What is wrong with the user's keys; the dashboard says so when it opens.
pub fn key_problems(keys: &Keys) -> Vec<String> {
    keys::Keymap::new(keys).1
}

pub struct Options {
    pub config: Config,
    pub host_actions: Vec<HostAction>,
    /// Inputs offered for a start, as JSON.
    pub inputs: Vec<String>,
    pub looks: Looks,
    /// The folder of what is remembered between visits; `None` remembers nothing.
    pub sessions: Option<PathBuf>,
    /// The folder of trail, journals and ledger; `None` keeps none.
    pub state: Option<PathBuf>,
    /// Is told of every change, on other targets too.
    pub trail: Option<client::Trail>,
}

/// How the dashboard uses the terminal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Looks {
    /// Leave the last frame as text when it ends.
    pub keep_screen: bool,
    /// Never make links, also where the terminal knows them.
    pub no_hyperlinks: bool,
}

/// Events that may wait for the screen; the polls wait beyond that.
const WAITING: usize = 256;
/// The exit code of one whom ctrl-c ended.
const INTERRUPTED: i32 = 130;
/// Between two frames that no key asked for: 30 a second.
const FRAME: Duration = Duration::from_millis(33);

/// Runs until the user quits, after what was typed before; says what goes on then.
async fn finish(mut dashboard: Dashboard, typed: Vec<Input>, looks: Looks) -> io::Result<()> {
    let end = dashboard.run(typed).await?;
    dashboard.runtime.remembered().await;
    if let Some(path) = dashboard.runtime.session_path() {
        // The terminal is about to be given back: what cannot be written is not worth a word.
        let _ = session::write(&path, &dashboard.app.session());
    }
    let farewell = dashboard.app.farewell();
    let kept = match looks.keep_screen {
        true => dashboard.text(),
        false => String::new(),
    };
    drop(dashboard);
    write!(io::stdout(), "{kept}")?;
    if let Some(line) = farewell {
        writeln!(io::stderr(), "{line}")?;
    }
    match end {
        End::Quit => Ok(()),
        // The terminal is restored; the code tells the parent which signal it was.
        End::Signal(code) => std::process::exit(code),
    }
}

fn settings(options: &Options, is_local: bool, dialect: Dialect) -> Settings {
    let config = &options.config;
    let palette = Palette::named(&config.theme).unwrap_or_default();
    let hosts = options.host_actions.iter();
    Settings {
        machine: config.machine.clone(),
        bucket: config.bucket.clone(),
        download_dir: config.download_dir.clone(),
        theme: Theme::on_this_terminal(palette, config.ascii),
        links: dialect.links && !options.looks.no_hyperlinks,
        hosts: hosts.map(|action| (action.key, action.title)).collect(),
        keys: config.keys.clone(),
        profiles: config.profiles.clone(),
        at: Destination {
            place: match is_local {
                true => Place::Engine,
                false => Place::Profile(config.profile.clone()),
            },
            region: config.region.clone(),
        },
        has_engine: false,
        remembers: options.sessions.is_some(),
        open: None,
        inputs: options.inputs.clone(),
        ends: None,
    }
}

enum End {
    Quit,
    /// Exit code.
    Signal(i32),
}

struct Dashboard {
    app: App,
    runtime: Runtime,
    guard: Guard,
    inbox: mpsc::Receiver<Event>,
    signals: Signals,
    dialect: Dialect,
    /// The program that copies; without one the terminal does.
    clipboard: Option<Tool>,
    drawn: Instant,
    /// Whether something changed since the last frame.
    is_dirty: bool,
}

impl Dashboard {
    async fn run(&mut self, typed: Vec<Input>) -> io::Result<End> {
        // Before anything is asked of anybody.
        self.draw()?;
        self.runtime.follow(self.app.subscriptions());
        for input in typed {
            if self.input(input).is_none() {
                return Ok(End::Quit);
            }
        }
        let mut keyboard = EventStream::new();
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.drawn + FRAME), if self.is_dirty => self.draw()?,
                notice = self.signals.next() => match notice {
                    Notice::End(code) => return Ok(End::Signal(code)),
                    Notice::Continued => {
                        self.guard.retake()?;
                        self.draw()?;
                    }
                },
                input = keyboard.next() => {
                    let Some(input) = input else {
                        return Ok(End::Quit);
                    };
                    let Some(effects) = self.input(input?) else {
                        return Ok(End::Quit);
                    };
                    if let Some(text) = to_edit(&effects) {
                        // Keys are the editor's while it is open.
                        drop(keyboard);
                        self.edit(text);
                        keyboard = EventStream::new();
                    }
                    if effects.contains(&Effect::Suspend) {
                        // Whoever reads the keyboard for us is stopped with us.
                        self.guard.suspend()?;
                    }
                    if effects.contains(&Effect::Redraw) {
                        self.guard.clear()?;
                    }
                    let lent = effects.into_iter().find_map(|effect| match effect {
                        Effect::Lend(command) => Some(command),
                        _ => None,
                    });
                    if let Some(command) = lent {
                        // Its thread would take the program's keys.
                        drop(keyboard);
                        let end = self.lend(&command).await?;
                        keyboard = EventStream::new();
                        if let Some(end) = end {
                            return Ok(end);
                        }
                    }
                    self.draw()?;
                }
                event = self.inbox.recv() => {
                    let Some(event) = event else {
                        return Ok(End::Quit);
                    };
                    let left = self.take_all(event);
                    if left.contains(&Effect::Quit) {
                        return Ok(End::Quit);
                    }
                    if let Some(text) = to_edit(&left) {
                        drop(keyboard);
                        self.edit(text);
                        keyboard = EventStream::new();
                        self.draw()?;
                    }
                }
            }
        }
    }

    /// Takes in a key at once; what is left for the loop, or `None` to quit.
    fn input(&mut self, input: Input) -> Option<Vec<Effect>> {
        let event = match input {
            Input::Key(key) => Event::Key(key),
            Input::Paste(pasted) => Event::Paste(pasted),
            Input::Resize(..) => Event::Resize,
            Input::FocusGained => Event::Focus(true),
            Input::FocusLost => Event::Focus(false),
            Input::Mouse(event) => Event::Mouse(event),
        };
        let effects = self.app.update(event);
        let left = self.perform(effects);
        (!left.contains(&Effect::Quit)).then_some(left)
    }

    /// Gives a text to the user's editor, and takes in what became of it.
    fn edit(&mut self, text: &str) {
        let edited = self.guard.edit(text).map_err(|error| Trouble {
            text: format!("the editor did not come back well: {error}"),
            hint: Some("set EDITOR to a program that waits for its end".to_owned()),
            slowed: false,
            cause: Cause::Other,
        });
        let effects = self.app.update(Event::Edited(edited));
        self.perform(effects);
    }

    /// Takes in an event and all that have come since; what is left for the loop.
    fn take_all(&mut self, first: Event) -> Vec<Effect> {
        let mut effects = self.app.update(first);
        for _ in 0..WAITING {
            // Events of a target that is left are not for the next one.
            if effects.iter().any(|it| matches!(it, Effect::Adopt { .. })) {
                break;
            }
            let Ok(event) = self.inbox.try_recv() else {
                break;
            };
            effects.extend(self.app.update(event));
        }
        let left = self.perform(effects);
        self.is_dirty = true;
        left
    }

    /// Hands effects to the runtime; returns those that are the loop's.
    fn perform(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let mut left = Vec::new();
        let mut open = VecDeque::from(effects);
        while let Some(effect) = open.pop_front() {
            // A terminal that takes no text or title is no reason to end.
            match effect {
                Effect::Suspend
                | Effect::Quit
                | Effect::Redraw
                | Effect::Edit(_)
                | Effect::Lend(_) => {
                    left.push(effect);
                }
                Effect::Adopt { fresh } => {
                    if let Some(inbox) = self.runtime.adopt(fresh) {
                        self.inbox = inbox;
                    }
                }
                Effect::Browse(address) => self.browse(&address),
                Effect::Copy(text) => match self.clipboard {
                    Some(tool) => self.runtime.copy(tool, text),
                    None => open.extend(self.app.update(Event::NotCopied(text))),
                },
                Effect::CopyByTerminal(text) => {
                    let _ = self.guard.say(&self.dialect.copy(&text));
                }
                Effect::CopySelection(selection) => {
                    let text = selection.text(&self.painted());
                    if !text.is_empty() {
                        open.push_back(Effect::Copy(text));
                    }
                }
                Effect::Mouse(is_on) => {
                    let _ = self.guard.mouse(is_on);
                }
                Effect::Notify(said) => {
                    let _ = self.guard.say(&self.dialect.notify(&said));
                }
                other => self.runtime.perform(other),
            }
        }
        self.runtime.follow(self.app.subscriptions());
        left
    }

    /// What is on the screen.
    fn painted(&self) -> Buffer {
        let mut buffer = Buffer::empty(self.guard.area().unwrap_or_default());
        let area = buffer.area;
        screen::paint(&self.app, &mut buffer, area);
        buffer
    }

    /// The same as lines of text.
    fn text(&self) -> String {
        let buffer = self.painted();
        let rows = buffer.area.top()..buffer.area.bottom();
        rows.map(|y| selection::row(&buffer, y, 0, buffer.area.right()) + "\n")
            .collect()
    }

    /// Opens an address where there is a browser to see it in, else copies it and says so.
    fn browse(&mut self, address: &str) {
        let said = match terminal::open_browser(address) {
            true => format!("opened {address}"),
            false => {
                let _ = self.guard.say(&self.dialect.copy(address));
                format!("no browser here, copied {address}")
            }
        };
        self.app.say(Tone::Plain, said);
    }

    /// Gives the terminal to a program until it ends. Signals of the keyboard are the program's; one
    /// that ends us ends it too.
    async fn lend(&mut self, command: &[String]) -> io::Result<Option<End>> {
        let Some((program, arguments)) = command.split_first() else {
            return Ok(None);
        };
        self.guard.give_back();
        let started = tokio::process::Command::new(program)
            .args(arguments)
            .kill_on_drop(true)
            .spawn();
        let mut end = None;
        let ended = match started {
            Err(error) => Err(format!("{program} cannot be started: {error}")),
            Ok(mut child) => loop {
                tokio::select! {
                    status = child.wait() => break match status {
                        Ok(status) if status.success() => Ok(()),
                        Ok(status) => Err(format!("{} ended with {status}", command.join(" "))),
                        Err(error) => Err(format!("{program}: {error}")),
                    },
                    notice = self.signals.next() => match notice {
                        Notice::End(INTERRUPTED) | Notice::Continued => {}
                        Notice::End(code) => {
                            end = Some(End::Signal(code));
                            break Ok(());
                        }
                    },
                }
            },
        };
        if end.is_none() {
            self.guard.retake()?;
            let effects = self.app.update(Event::Lent(ended));
            self.perform(effects);
        }
        Ok(end)
    }

    fn draw(&mut self) -> io::Result<()> {
        self.guard.draw(|frame| screen::draw(&self.app, frame))?;
        self.guard.entitle(self.app.title())?;
        self.drawn = Instant::now();
        self.is_dirty = false;
        Ok(())
    }
}
