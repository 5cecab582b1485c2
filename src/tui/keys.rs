//! One table of actions: their keys (from `assets/keys.toml`), their words in the hint bar and in
//! help, and whether they are available now. Nothing else in the program knows a key by heart.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::tui::app::App;

/// What a key can mean outside dialogs and text fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Down,
    Up,
    Top,
    Bottom,
    HalfDown,
    HalfUp,
    PageDown,
    PageUp,
    Open,
    Back,
    Leave,
    Quit,
    Runs,
    Live,
    Failures,
    Outputs,
    NextPane,
    PreviousPane,
    ScrollDown,
    ScrollUp,
    Start,
    Redrive,
    Stop,
    Limits,
    Describe,
    FirstFailure,
    Sort,
    Download,
    Freeze,
    Copy,
    CopyArn,
    Filter,
    Command,
    Help,
    Refresh,
    Redraw,
    Suspend,
}

/// Why an action does nothing now.
pub type Availability = Result<(), &'static str>;

pub struct Binding {
    pub action: Action,
    /// Its name in `keys.toml`.
    pub name: &'static str,
    /// One or two words for the hint bar.
    pub hint: &'static str,
    pub help: &'static str,
    /// `Err` leaves it out of the hint bar, and is the answer when its key is pressed all the same.
    pub available: fn(&App) -> Availability,
}

const fn binding(
    action: Action,
    name: &'static str,
    hint: &'static str,
    help: &'static str,
    available: fn(&App) -> Availability,
) -> Binding {
    Binding {
        action,
        name,
        hint,
        help,
        available,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the type of Binding::available")]
fn always(_: &App) -> Availability {
    Ok(())
}

/// Every action, in the order in which help lists them.
#[rustfmt::skip]
pub const BINDINGS: &[Binding] = &[
    binding(Action::Start, "start", "start", "start a run from a file or an S3 object", App::can_change),
    binding(Action::Open, "open", "open", "open, go deeper", App::can_open),
    binding(Action::Redrive, "redrive", "redrive", "redrive failed items in place (asks first)", App::can_redrive),
    binding(Action::Stop, "stop", "stop", "stop the run (asks first)", App::can_stop),
    binding(Action::Limits, "limits", "limits", "change concurrency and tolerance of the running Map Run", App::can_limit),
    binding(Action::Describe, "describe", "describe", "all fields, input and output of the run", App::has_run),
    binding(Action::Runs, "runs", "runs", "view 1: all runs", always),
    binding(Action::Live, "live", "live", "view 2: the run's Map Run as it goes", App::has_run),
    binding(Action::Failures, "failures", "failures", "view 3: failed items by cause", App::has_run),
    binding(Action::Outputs, "outputs", "outputs", "view 4: output files of the run", App::has_run),
    binding(Action::FirstFailure, "first-failure", "first failure", "the failed item with the lowest line number", App::has_failures),
    binding(Action::Download, "download", "download", "download the chosen object", App::can_download),
    binding(Action::Filter, "filter", "filter", "filter the list: text, column:value, ! negates", App::can_filter),
    binding(Action::Sort, "sort", "sort", "sort runs by start, failures, state or name", App::can_sort),
    binding(Action::Freeze, "freeze", "freeze", "freeze the view, the run goes on", always),
    binding(Action::Copy, "copy", "copy", "copy the name, line or address under the cursor", App::has_subject),
    binding(Action::CopyArn, "copy-arn", "copy ARN", "copy the ARN or whole address", App::has_subject),
    binding(Action::NextPane, "next-pane", "pane", "next pane", App::has_panes),
    binding(Action::PreviousPane, "previous-pane", "pane", "previous pane", App::has_panes),
    binding(Action::ScrollDown, "scroll-down", "scroll", "scroll the preview down", App::has_preview),
    binding(Action::ScrollUp, "scroll-up", "scroll", "scroll the preview up", App::has_preview),
    binding(Action::Down, "down", "down", "one line down", always),
    binding(Action::Up, "up", "up", "one line up", always),
    binding(Action::Top, "top", "top", "to the first line", always),
    binding(Action::Bottom, "bottom", "bottom", "to the last line", always),
    binding(Action::HalfDown, "half-down", "half page", "half a page down", always),
    binding(Action::HalfUp, "half-up", "half page", "half a page up", always),
    binding(Action::PageDown, "page-down", "page", "a page down", always),
    binding(Action::PageUp, "page-up", "page", "a page up", always),
    binding(Action::Back, "back", "back", "clear one thing or go back one level, never quits", always),
    binding(Action::Leave, "leave", "back", "back; at the first view it quits", always),
    binding(Action::Command, "command", "command", "command line with completion", always),
    binding(Action::Refresh, "refresh", "refresh", "ask everything shown again now", always),
    binding(Action::Redraw, "redraw", "redraw", "paint the screen again", always),
    binding(Action::Suspend, "suspend", "suspend", "suspend to the shell, `fg` comes back", always),
    binding(Action::Quit, "quit", "quit", "quit; runs on AWS go on", always),
    binding(Action::Help, "help", "help", "this list: type to search, enter to do", always),
];

/// The table's entry of an action.
pub fn of(action: Action) -> &'static Binding {
    BINDINGS
        .iter()
        .find(|binding| binding.action == action)
        .expect("a test checks that every action is in the table")
}

/// One key press, without what differs between terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub code: KeyCode,
    pub ctrl: bool,
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        Self {
            code: event.code,
            ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
        }
    }
}

impl Key {
    /// Reads `j`, `ctrl-d`, `pgdn`, `f1`, ….
    pub fn parse(name: &str) -> Option<Self> {
        let (ctrl, name) = match name.strip_prefix("ctrl-") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let code = match name {
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" => KeyCode::Tab,
            "shift-tab" => KeyCode::BackTab,
            "space" => KeyCode::Char(' '),
            "backspace" => KeyCode::Backspace,
            "delete" => KeyCode::Delete,
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "left" => KeyCode::Left,
            "right" => KeyCode::Right,
            "home" => KeyCode::Home,
            "end" => KeyCode::End,
            "pgup" => KeyCode::PageUp,
            "pgdn" => KeyCode::PageDown,
            other => return Self::character_or_function(other, ctrl),
        };
        Some(Self { code, ctrl })
    }

    fn character_or_function(name: &str, ctrl: bool) -> Option<Self> {
        let mut characters = name.chars();
        let code = match (characters.next()?, characters.as_str()) {
            (single, "") => KeyCode::Char(single),
            ('f', number) => KeyCode::F(number.parse().ok()?),
            _ => return None,
        };
        Some(Self { code, ctrl })
    }
}

/// What a key means after the keys before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Action(Action),
    /// The first of two keys.
    Prefix,
    Nothing,
}

#[derive(Debug, Clone)]
struct Entry {
    /// As it is written, for hints: `g f`.
    text: String,
    keys: Vec<Key>,
    action: Action,
}

/// Effective keys.
#[derive(Debug, Clone)]
pub struct Keymap {
    entries: Vec<Entry>,
}

impl Keymap {
    /// The keys that fanout ships with.
    pub fn shipped() -> Self {
        Self::parse(include_str!("../../assets/keys.toml"))
            .expect("a test checks that the shipped keys parse")
    }

    /// Reads lines of `action = ["key", "key key"]`.
    ///
    /// # Errors
    /// All problems at once: unknown actions and keys, actions without keys, and keys that two
    /// actions want, with both names.
    pub fn parse(source: &str) -> Result<Self, Vec<String>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut problems = Vec::new();
        for line in source.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Self::line(line) {
                Ok(read) => entries.extend(read),
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(conflicts(&entries));
        let unbound = BINDINGS
            .iter()
            .filter(|binding| !entries.iter().any(|entry| entry.action == binding.action));
        problems.extend(unbound.map(|binding| format!("{} has no key", binding.name)));
        if problems.is_empty() {
            Ok(Self { entries })
        } else {
            Err(problems)
        }
    }

    fn line(line: &str) -> Result<Vec<Entry>, String> {
        let (name, keys) = line
            .split_once('=')
            .ok_or_else(|| format!("`{line}` is not `action = [keys]`"))?;
        let name = name.trim();
        let action = BINDINGS
            .iter()
            .find(|binding| binding.name == name)
            .map(|binding| binding.action)
            .ok_or_else(|| format!("{name} is not an action"))?;
        // One-line arrays of plain strings read the same in TOML and JSON.
        let sequences: Vec<String> = serde_json::from_str(keys.trim())
            .map_err(|_| format!("the keys of {name} are not a list of texts"))?;
        sequences
            .into_iter()
            .map(|text| {
                let keys: Option<Vec<Key>> = text.split(' ').map(Key::parse).collect();
                match keys {
                    Some(keys) if keys.len() <= 2 => Ok(Entry { text, keys, action }),
                    _ => Err(format!("{text} (of {name}) is not a key")),
                }
            })
            .collect()
    }

    pub fn resolve(&self, before: Option<Key>, key: Key) -> Resolution {
        let pressed: Vec<Key> = before.into_iter().chain([key]).collect();
        let mut entries = self.entries.iter();
        if let Some(entry) = entries.find(|entry| entry.keys == pressed) {
            return Resolution::Action(entry.action);
        }
        let is_prefix =
            |entry: &Entry| entry.keys.len() > pressed.len() && entry.keys.starts_with(&pressed);
        if self.entries.iter().any(is_prefix) {
            Resolution::Prefix
        } else {
            Resolution::Nothing
        }
    }

    /// What can follow a first key: the second key and its action.
    pub fn following(&self, first: Key) -> Vec<(&str, Action)> {
        let with = |entry: &&Entry| entry.keys.len() == 2 && entry.keys[0] == first;
        let second = |entry: &'_ Entry| entry.text.find(' ').map_or(0, |space| space + 1);
        self.entries
            .iter()
            .filter(with)
            .map(|entry| (&entry.text[second(entry)..], entry.action))
            .collect()
    }

    /// The first key of an action, as it is written.
    pub fn key_of(&self, action: Action) -> &str {
        let mut entries = self.entries.iter();
        entries
            .find(|entry| entry.action == action)
            .map_or("", |entry| &entry.text)
    }

    /// All keys of an action, for help.
    pub fn keys_of(&self, action: Action) -> String {
        let texts: Vec<&str> = self
            .entries
            .iter()
            .filter(|entry| entry.action == action)
            .map(|entry| entry.text.as_str())
            .collect();
        texts.join("  ")
    }

    /// The action that a host action's key already has.
    pub fn taken(&self, character: char) -> Option<&'static Binding> {
        let key = Key {
            code: KeyCode::Char(character),
            ctrl: false,
        };
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.keys.first() == Some(&key))?;
        Some(of(entry.action))
    }
}

fn conflicts(entries: &[Entry]) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, one) in entries.iter().enumerate() {
        for other in &entries[index + 1..] {
            if one.keys.starts_with(&other.keys) || other.keys.starts_with(&one.keys) {
                let (first, second) = (of(one.action).name, of(other.action).name);
                problems.push(format!("{} means {first} and {second}", other.text));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_in_the_table_and_in_the_shipped_keys() {
        let map = Keymap::parse(include_str!("../../assets/keys.toml")).unwrap();
        for binding in BINDINGS {
            assert!(!map.key_of(binding.action).is_empty(), "{}", binding.name);
            assert_eq!(of(binding.action).name, binding.name);
        }
    }

    #[test]
    fn problems_are_reported_together_with_both_names() {
        let problems =
            Keymap::parse("down = [\"j\"]\nup = [\"j\"]\nfly = [\"z\"]\ntop = [\"ctrl\"]")
                .unwrap_err();
        let has = |text: &str| problems.iter().any(|problem| problem == text);
        assert!(has("j means down and up"), "{problems:?}");
        assert!(has("fly is not an action"));
        assert!(has("ctrl (of top) is not a key"));
        assert!(has("quit has no key"));
    }

    #[test]
    fn a_key_may_not_be_both_alone_and_first_of_two() {
        let problems = Keymap::parse("top = [\"g g\"]\ndown = [\"g\"]").unwrap_err();
        assert!(
            problems
                .iter()
                .any(|problem| problem == "g means top and down")
        );
    }

    #[test]
    fn two_keys_make_one_action() {
        let map = Keymap::shipped();
        let key = |name| Key::parse(name).unwrap();
        assert_eq!(map.resolve(None, key("g")), Resolution::Prefix);
        assert_eq!(
            map.resolve(Some(key("g")), key("f")),
            Resolution::Action(Action::Failures)
        );
        assert_eq!(map.resolve(Some(key("g")), key("z")), Resolution::Nothing);
        assert_eq!(
            map.resolve(None, key("G")),
            Resolution::Action(Action::Bottom)
        );
    }
}
