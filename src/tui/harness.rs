//! For tests: a dashboard without I/O. Events and keys go in, effects and frames come out.

mod sample;

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

pub use self::sample::*;
use crate::model::{Page, Timestamp};
use crate::operations::machines::{Drift, OwnDefinition};
use crate::operations::runs::Run;
use crate::tui::app::{App, Settings};
use crate::tui::data::Definition;
use crate::tui::event::{Effect, Event};
use crate::tui::history::Part;
use crate::tui::keys::Key;
use crate::tui::screen;

/// The sizes every screen is looked at in.
const SIZES: [(u16, u16); 4] = [(80, 24), (120, 36), (200, 60), (59, 15)];

pub struct Harness {
    pub app: App,
    /// All effects so far.
    pub effects: Vec<Effect>,
}

impl Harness {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
        Self {
            app: App::new(settings, health(), now()),
            effects: Vec::new(),
        }
    }

    /// The machine is found and the sample's runs are listed and described.
    pub fn sample() -> Self {
        let mut harness = Self::new();
        harness.list(&sample());
        harness
    }

    pub fn list(&mut self, runs: &[Run]) {
        let items = runs.iter().map(|run| run.execution().clone()).collect();
        self.send(Event::Machine(Ok(machine())));
        let page = Page { items, next: None };
        self.send(Event::Executions(machine(), Ok(page)));
        for run in runs {
            self.describe(run.clone());
        }
    }

    pub fn describe(&mut self, run: Run) {
        let arn = run.execution().arn.clone();
        self.send(Event::Run(arn, Ok(Box::new(run))));
    }

    /// The shipped workflow's definition and a history: of the first sample, whose lines are being
    /// worked through, after a retry of its first state.
    pub fn traced(mut self) -> Self {
        let page = Page {
            items: events(),
            next: None,
        };
        self.send(Event::History(arn(GOING), Part::Newest, Ok(page)));
        self.define(
            GOING,
            include_str!("../../assets/workflow.asl.json"),
            Drift::Changed,
        )
    }

    /// The definition that an execution has.
    pub fn define(mut self, name: &str, definition: &str, drift: Drift) -> Self {
        let own = OwnDefinition {
            detail: definition_of(definition),
            drift,
        };
        let definition = Arc::new(Definition::new(own));
        self.send(Event::Definition(arn(name), Ok(definition)));
        self
    }

    /// Failures of a run's Map Run, known.
    pub fn failures(mut self, name: &str, worst: u64, exact: bool) -> Self {
        let map_run = self.app.data().map_run(&arn(name)).unwrap().clone();
        let set = failure_set(&map_run, worst, exact);
        self.send(Event::Failures(map_run.arn, Ok(set)));
        self
    }

    /// Two minutes of counts of the running sample, once a second, so that rates are known.
    pub fn history(mut self) -> Self {
        let run = sample().remove(0);
        for second in (0..120).rev() {
            self.at(ago(second));
            let mut map_run = run.map_runs[0].clone();
            map_run.items.succeeded -= 980 * u64::try_from(second).unwrap();
            map_run.items.pending += 980 * u64::try_from(second).unwrap();
            self.send(Event::MapRun(map_run.arn.clone(), Ok(Box::new(map_run))));
        }
        self.at(now());
        self
    }

    pub fn at(&mut self, moment: Timestamp) {
        let health = self.app.health.clone();
        self.send(Event::Now(moment, Box::new(health)));
    }

    pub fn send(&mut self, event: Event) {
        let effects = self.app.update(event);
        self.effects.extend(effects);
    }

    /// Presses keys: characters, and names in angle brackets (`<enter>`, `<ctrl-d>`).
    pub fn keys(mut self, keys: &str) -> Self {
        let mut rest = keys;
        while let Some(first) = rest.chars().next() {
            let (name, after) = match rest.strip_prefix('<').and_then(|it| it.split_once('>')) {
                Some((name, after)) => (name, after),
                None => rest.split_at(first.len_utf8()),
            };
            rest = after;
            let key = if name == " " {
                Key::parse("space")
            } else {
                Key::parse(name)
            };
            let key = key.unwrap_or_else(|| panic!("{name} is not a key"));
            self.press(key);
        }
        self
    }

    fn press(&mut self, key: Key) {
        let modifiers = match key.code {
            KeyCode::Char(typed) if typed.is_uppercase() => key.modifiers | KeyModifiers::SHIFT,
            _ => key.modifiers,
        };
        self.send(Event::Key(KeyEvent::new(key.code, modifiers)));
    }

    /// Clicks on the first place of the newest frame at 120×36 that reads so.
    pub fn click(&mut self, shown: &str) {
        let frame = self.frame(120, 36);
        let place = (0..).zip(frame.lines()).find_map(|(row, line)| {
            let before = line.split_once(shown)?.0;
            Some((crate::tui::widget::text::width(before) as u16, row))
        });
        let (column, row) = place.unwrap_or_else(|| panic!("{shown:?} is not in\n{frame}"));
        let kinds = [MouseEventKind::Down, MouseEventKind::Up];
        for kind in kinds.map(|kind| kind(MouseButton::Left)) {
            self.send(Event::Mouse(MouseEvent {
                kind,
                column,
                row,
                modifiers: KeyModifiers::NONE,
            }));
        }
    }

    /// The frame at a size, one line a row, without trailing spaces.
    pub fn frame(&self, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| screen::draw(&self.app, frame))
            .unwrap();
        let buffer = terminal.backend().buffer();
        let mut text = String::new();
        for y in 0..height {
            let mut line = String::new();
            let mut skip = 0;
            for x in 0..width {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let symbol = buffer[(x, y)].symbol();
                skip = crate::tui::widget::text::width(symbol).saturating_sub(1);
                line.push_str(symbol);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Compares the frames at all sizes with the snapshot of this name.
    pub fn check(&self, name: &str) {
        let frames = SIZES.map(|(width, height)| {
            // Twice: the first frame tells the lists how high they are.
            self.frame(width, height);
            format!("{width}×{height}\n{}", self.frame(width, height))
        });
        let settings = {
            let mut settings = insta::Settings::clone_current();
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings
        };
        settings.bind(|| insta::assert_snapshot!(name, frames.join("\n")));
    }

    /// What was asked for since the last call.
    pub fn taken(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}
