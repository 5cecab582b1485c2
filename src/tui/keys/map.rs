//! Which keys mean which action: the shipped ones, a preset's, and the user's own over both.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::config::{KeyLine, Keys};
use crate::tui::keys::{Action, BINDINGS, Binding, named, of};

const SHIPPED: &str = include_str!("../../../assets/keys.toml");

/// Sets of differences from the shipped keys, by name.
const PRESETS: [(&str, &str); 3] = [
    ("default", ""),
    ("vim", include_str!("../../../assets/keys/vim.toml")),
    ("arrows", include_str!("../../../assets/keys/arrows.toml")),
];

/// One key press, without what differs between terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub code: KeyCode,
    /// Of characters never shift: they are written as they are typed.
    pub modifiers: KeyModifiers,
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        let known = KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT;
        let modifiers = event.modifiers & known;
        let ctrl = modifiers.contains(KeyModifiers::CONTROL);
        let (code, modifiers) = match event.code {
            // Old terminals send one byte for two keys; this is the one with a name.
            KeyCode::Char(digit @ '4'..='7') if ctrl => {
                let sign = match digit {
                    '4' => '\\',
                    '5' => ']',
                    '6' => '^',
                    _ => '_',
                };
                (KeyCode::Char(sign), modifiers - KeyModifiers::SHIFT)
            }
            KeyCode::Char(_) | KeyCode::BackTab => (event.code, modifiers - KeyModifiers::SHIFT),
            code => (code, modifiers),
        };
        Self { code, modifiers }
    }
}

impl Key {
    /// The character typed, where nothing but shift is held.
    pub fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(typed) if self.modifiers.is_empty() => Some(typed),
            _ => None,
        }
    }

    pub fn is_ctrl(self) -> bool {
        self.modifiers.contains(KeyModifiers::CONTROL)
    }

    /// Reads `j`, `ctrl-d`, `alt-left`, `pgdn`, `f1`, ….
    pub fn parse(name: &str) -> Option<Self> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = name;
        let known = [
            ("ctrl-", KeyModifiers::CONTROL),
            ("alt-", KeyModifiers::ALT),
            ("shift-", KeyModifiers::SHIFT),
        ];
        for (prefix, modifier) in known {
            if let Some(after) = rest.strip_prefix(prefix) {
                modifiers |= modifier;
                rest = after;
            }
        }
        let code = match rest {
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" if modifiers == KeyModifiers::SHIFT => {
                modifiers = KeyModifiers::NONE;
                KeyCode::BackTab
            }
            "tab" => KeyCode::Tab,
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
            other => character_or_function(other)?,
        };
        // A shifted character is another character.
        let is_shifted = modifiers.contains(KeyModifiers::SHIFT);
        if is_shifted && matches!(code, KeyCode::Char(_)) {
            return None;
        }
        Some(Self { code, modifiers })
    }
}

fn character_or_function(name: &str) -> Option<KeyCode> {
    let mut characters = name.chars();
    match (characters.next()?, characters.as_str()) {
        (single, "") if !single.is_control() => Some(KeyCode::Char(single)),
        ('f', number) => Some(KeyCode::F(number.parse().ok()?)),
        _ => None,
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

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    /// As it is written, for hints: `g f`.
    text: String,
    keys: Vec<Key>,
    action: Action,
}

impl Entry {
    /// Whether one of them could never be pressed, or would hide the other.
    fn clashes(&self, other: &Self) -> bool {
        self.keys.starts_with(&other.keys) || other.keys.starts_with(&self.keys)
    }
}

/// Effective keys.
#[derive(Debug, Clone)]
pub struct Keymap {
    entries: Vec<Entry>,
}

impl Keymap {
    /// The shipped keys with the user's differences over them, and everything that is wrong with
    /// these. What is wrong is left out: the dashboard can always be used.
    pub fn new(user: &Keys) -> (Self, Vec<String>) {
        let mut map = Self {
            entries: Vec::new(),
        };
        let mut problems = map.lay(&Keys::parse(SHIPPED));
        let name = user.preset.as_deref().unwrap_or("default");
        match PRESETS.iter().find(|(known, _)| *known == name) {
            Some((_, lines)) => problems.extend(map.lay(&Keys::parse(lines))),
            None => {
                let known = PRESETS.map(|(name, _)| name).join(", ");
                problems.push(format!(
                    "keys.toml: there is no preset {name}, there are {known}"
                ));
            }
        }
        let own = map.lay(user).into_iter();
        problems.extend(own.map(|problem| match problem.starts_with("keys.toml") {
            true => problem,
            false => format!("keys.toml:{problem}"),
        }));
        (map, problems)
    }

    /// Puts lines over what is there. An action's line replaces all its keys. A key that a line
    /// takes from an action without a line of its own is reported with both names.
    fn lay(&mut self, keys: &Keys) -> Vec<String> {
        let mut problems = keys.problems.clone();
        let mut laid: Vec<(usize, Entry)> = Vec::new();
        let mut replaced: Vec<Action> = Vec::new();
        for line in &keys.lines {
            match entries(line) {
                Ok((action, read)) => {
                    replaced.push(action);
                    laid.extend(read.into_iter().map(|entry| (line.line, entry)));
                }
                Err(problem) => problems.push(format!("{}: {problem}", line.line)),
            }
        }
        self.entries.retain(|it| !replaced.contains(&it.action));
        let mut over: Vec<Entry> = Vec::new();
        for (line, entry) in laid {
            if let Some(first) = over.iter().find(|it| it.clashes(&entry)) {
                problems.push(clash(line, first, &entry));
                continue;
            }
            for below in self.entries.iter().filter(|it| it.clashes(&entry)) {
                problems.push(clash(line, &entry, below));
            }
            self.entries.retain(|it| !it.clashes(&entry));
            over.push(entry);
        }
        self.entries.extend(over);
        problems
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
            modifiers: KeyModifiers::NONE,
        };
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.keys.first() == Some(&key))?;
        Some(of(entry.action))
    }
}

fn clash(line: usize, first: &Entry, second: &Entry) -> String {
    let (has, lost) = (of(first.action).name, of(second.action).name);
    match has == lost {
        true => format!("{line}: {} stands twice for {has}", second.text),
        false => format!(
            "{line}: {} means {has} and {lost}: {has} has it",
            second.text
        ),
    }
}

/// A line's action and its keys.
fn entries(line: &KeyLine) -> Result<(Action, Vec<Entry>), String> {
    let action = named(&line.action)
        .map(|it| it.action)
        .ok_or_else(|| unknown(&line.action))?;
    let read = line.keys.iter().map(|text| {
        let keys: Option<Vec<Key>> = text.split(' ').map(Key::parse).collect();
        match keys {
            Some(keys) if keys.len() <= 2 => Ok(Entry {
                text: text.clone(),
                keys,
                action,
            }),
            _ => Err(format!("{text:?} (of {}) is not a key", line.action)),
        }
    });
    Ok((action, read.collect::<Result<_, _>>()?))
}

fn unknown(name: &str) -> String {
    let similar = BINDINGS
        .iter()
        .map(|it| (strsim::damerau_levenshtein(name, it.name), it.name))
        .min();
    match similar {
        Some((typos, meant)) if typos <= 1 + meant.len() / 3 => {
            format!("{name} is not an action; did you mean {meant}?")
        }
        _ => format!("{name} is not an action"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(text: &str) -> (Keymap, Vec<String>) {
        Keymap::new(&Keys::parse(text))
    }

    fn means(map: &Keymap, keys: &str) -> Resolution {
        let keys: Vec<Key> = keys.split(' ').map(|it| Key::parse(it).unwrap()).collect();
        let before = (keys.len() == 2).then(|| keys[0]);
        map.resolve(before, keys[keys.len() - 1])
    }

    #[test]
    fn every_action_is_in_the_table_and_has_a_key_in_every_preset() {
        for (preset, _) in PRESETS {
            let (map, problems) = with(&format!("preset = {preset:?}"));
            assert!(problems.is_empty(), "{preset}: {problems:?}");
            for binding in BINDINGS {
                assert_eq!(of(binding.action).name, binding.name);
                assert!(
                    !map.key_of(binding.action).is_empty(),
                    "{preset}: {}",
                    binding.name
                );
            }
        }
    }

    #[test]
    fn presets_differ_where_they_say_so() {
        let (vim, _) = with("preset = \"vim\"");
        assert_eq!(means(&vim, "h"), Resolution::Action(Action::Back));
        assert_eq!(means(&vim, "l"), Resolution::Action(Action::Open));
        let (arrows, _) = with("preset = \"arrows\"");
        assert_eq!(means(&arrows, "j"), Resolution::Nothing);
        assert_eq!(means(&arrows, "right"), Resolution::Action(Action::Open));
        let (_, problems) = with("preset = \"emacs\"");
        assert_eq!(
            problems,
            ["keys.toml: there is no preset emacs, there are default, vim, arrows"]
        );
    }

    #[test]
    fn problems_are_reported_together_with_both_names_and_the_rest_holds() {
        let (map, problems) = with(
            "down = [\"z\"]\nup = [\"z\", \"W\"]\nfly = [\"z\"]\nredrve = [\"W\"]\ntop = [\"ctrl\"]\nfreeze = \"s\"\n",
        );
        assert_eq!(
            problems,
            [
                "keys.toml:3: fly is not an action",
                "keys.toml:4: redrve is not an action; did you mean redrive?",
                "keys.toml:5: \"ctrl\" (of top) is not a key",
                "keys.toml:2: z means down and up: down has it",
                "keys.toml:6: s means freeze and sort: freeze has it",
            ]
        );
        assert_eq!(means(&map, "z"), Resolution::Action(Action::Down));
        assert_eq!(means(&map, "W"), Resolution::Action(Action::Up));
        assert_eq!(means(&map, "j"), Resolution::Nothing);
        assert_eq!(means(&map, "g g"), Resolution::Action(Action::Top));
        assert_eq!(map.key_of(Action::Sort), "");
    }

    #[test]
    fn a_key_that_both_lines_give_a_new_place_is_no_conflict() {
        let (map, problems) = with("freeze = \"s\"\nsort = \"p\"\n");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(means(&map, "p"), Resolution::Action(Action::Sort));
    }

    #[test]
    fn a_key_may_not_be_both_alone_and_first_of_two() {
        let (_, problems) = with("down = \"g\"");
        let has = |text: &str| problems.iter().any(|problem| problem.contains(text));
        assert!(has("means down and top: down has it"), "{problems:?}");
    }

    #[test]
    fn two_keys_make_one_action() {
        let (map, _) = with("");
        assert_eq!(means(&map, "g"), Resolution::Prefix);
        assert_eq!(means(&map, "g f"), Resolution::Action(Action::Failures));
        assert_eq!(means(&map, "g z"), Resolution::Nothing);
        assert_eq!(means(&map, "G"), Resolution::Action(Action::Bottom));
    }

    #[test]
    fn a_byte_that_old_terminals_send_is_the_key_with_a_name() {
        let pressed = KeyEvent::new(KeyCode::Char('4'), KeyModifiers::CONTROL);
        assert_eq!(Some(Key::from(pressed)), Key::parse("ctrl-\\"));
        let shifted = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(Some(Key::from(shifted)), Key::parse("G"));
        let aside = KeyEvent::new(KeyCode::Left, KeyModifiers::ALT);
        assert_eq!(Some(Key::from(aside)), Key::parse("alt-left"));
    }

    proptest! {
        /// Whatever a user writes, nothing panics, and no two keys are left that clash.
        #[test]
        fn any_file_leaves_keys_that_can_be_pressed(
            lines in prop::collection::vec(
                ("[a-z-]{1,12}|down|up|sort|quit|help", prop::collection::vec("\\PC{0,6}|g|g g|ctrl-[a-z]|f[0-9]{1,3}", 0..4)),
                0..8,
            ),
        ) {
            let lines = (1..).zip(lines).map(|(line, (action, keys))| KeyLine { line, action, keys });
            let (map, _) = Keymap::new(&Keys { lines: lines.collect(), ..Keys::default() });
            for (index, one) in map.entries.iter().enumerate() {
                for other in &map.entries[index + 1..] {
                    prop_assert!(!one.clashes(other), "{one:?} {other:?}");
                }
            }
        }
    }
}
