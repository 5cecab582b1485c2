//! The palette: everything that can be done, as lines of the command grammar, found by typing. The
//! command line, the key help and every menu are this one list, each with another scope.

use crate::tui::app::App;
use crate::tui::command::{self, Argument, Offer, WORDS};
use crate::tui::fuzzy::{Pattern, misspelt};
use crate::tui::keys::{self, Action, BINDINGS, Binding};
use crate::tui::widget::input::Field;

/// What a palette lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All commands, and what they can be done with.
    All,
    /// All keys, also those that mean nothing now.
    Keys,
    /// What the screen's thing can have done to it now.
    Here,
}

#[derive(Debug, Clone)]
pub struct Palette {
    pub scope: Scope,
    pub field: Field,
    /// The choice under the cursor.
    pub at: usize,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The command line that does it.
    pub line: String,
    /// Its keys, or where it comes from.
    pub keys: String,
    pub help: String,
    /// Why it is not possible now.
    pub refused: Option<&'static str>,
}

/// Most runs that are offered at once.
const RUNS: usize = 200;

/// Found by their keys, not by their names: in lists of commands they only stand in the way.
const MOVES: [Action; 12] = [
    Action::Down,
    Action::Up,
    Action::Top,
    Action::Bottom,
    Action::HalfDown,
    Action::HalfUp,
    Action::PageDown,
    Action::PageUp,
    Action::ScrollDown,
    Action::ScrollUp,
    Action::NextPane,
    Action::PreviousPane,
];

impl Palette {
    pub fn new(scope: Scope) -> Self {
        Self::typed(scope, "")
    }

    /// With some text typed already.
    pub fn typed(scope: Scope, text: &str) -> Self {
        Self {
            scope,
            field: Field::new(text),
            at: 0,
        }
    }

    /// What fits what is typed, best first.
    pub fn choices(&self, app: &App) -> Vec<Choice> {
        let typed = self.field.value();
        let (word, rest) = command::split(typed);
        if self.scope == Scope::All
            && typed.trim_start().contains(' ')
            && let Some(argument) = command::argument(word)
        {
            return arguments(app, word, rest.trim(), argument);
        }
        let all: Vec<Choice> = match self.scope {
            Scope::Keys => BINDINGS.iter().map(|it| of_binding(app, it)).collect(),
            Scope::Here => app
                .here()
                .into_iter()
                .map(|it| of_binding(app, it))
                .collect(),
            Scope::All => everything(app, typed.is_empty()),
        };
        ranked(all, typed)
    }

    /// The line that enter runs: what is typed where that is a whole line, else the choice under
    /// the cursor.
    pub fn line(&self, app: &App) -> String {
        let choices = self.choices(app);
        match choices.into_iter().nth(self.at) {
            Some(choice) => choice.line,
            None => self.field.value().to_owned(),
        }
    }
}

fn of_binding(app: &App, binding: &Binding) -> Choice {
    Choice {
        line: binding.name.to_owned(),
        keys: app.keymap.keys_of(binding.action),
        help: binding.help.to_owned(),
        refused: (binding.available)(app).err(),
    }
}

/// Commands as they were given before, then all there are; once something is typed also the runs.
fn everything(app: &App, is_empty: bool) -> Vec<Choice> {
    let mut all: Vec<Choice> = Vec::new();
    if is_empty {
        all.extend(app.recent.iter().map(|line| Choice {
            line: line.clone(),
            keys: "before".to_owned(),
            help: String::new(),
            refused: None,
        }));
    }
    let shadowed = |binding: &&Binding| WORDS.iter().any(|word| word.name == binding.name);
    let actions = BINDINGS
        .iter()
        .filter(|it| !MOVES.contains(&it.action) && !shadowed(it));
    all.extend(actions.map(|it| of_binding(app, it)));
    let hosts = app.settings.hosts.is_empty();
    let words = WORDS.iter().filter(|word| !(hosts && word.name == "host"));
    all.extend(words.map(|word| Choice {
        line: match word.alone {
            true => word.name.to_owned(),
            false => format!("{} ", word.name),
        },
        keys: keys::named(word.name).map_or_else(String::new, |it| app.keymap.keys_of(it.action)),
        help: word.help.to_owned(),
        refused: keys::named(word.name).and_then(|it| (it.available)(app).err()),
    }));
    if !is_empty {
        all.extend(runs(app, "live"));
    }
    all
}

fn runs(app: &App, word: &str) -> Vec<Choice> {
    let executions = app.data().executions().into_iter().take(RUNS);
    let choice = executions.map(|run| Choice {
        line: format!("{word} {}", run.name),
        keys: "run".to_owned(),
        help: app.data().state(run, app.now).word().to_owned(),
        refused: None,
    });
    choice.collect()
}

/// What can follow a word.
fn arguments(app: &App, word: &str, begun: &str, argument: Argument) -> Vec<Choice> {
    let offered = match argument {
        Argument::None => return Vec::new(),
        Argument::Run => return ranked_rest(runs(app, word), word, begun),
        Argument::Text(Offer::Nothing) => Vec::new(),
        Argument::Text(Offer::Hosts) => hosts(app),
    };
    let known = offered
        .iter()
        .any(|it| it.line == format!("{word} {begun}"));
    let mut choices = Vec::new();
    // What is typed goes before what only resembles it.
    if !begun.is_empty() && !known {
        choices.push(Choice {
            line: format!("{word} {begun}"),
            keys: String::new(),
            help: "as typed".to_owned(),
            refused: None,
        });
    }
    choices.extend(ranked_rest(offered, word, begun));
    choices
}

fn hosts(app: &App) -> Vec<Choice> {
    let hosts = app.settings.hosts.iter();
    let choice = hosts.map(|(key, title)| Choice {
        line: format!("host {key}"),
        keys: key.to_string(),
        help: (*title).to_owned(),
        refused: None,
    });
    choice.collect()
}

/// Those that fit what follows the word, best first.
fn ranked_rest(choices: Vec<Choice>, word: &str, begun: &str) -> Vec<Choice> {
    rank(choices, begun, |choice| {
        choice.line.get(word.len() + 1..).unwrap_or_default()
    })
}

fn ranked(choices: Vec<Choice>, typed: &str) -> Vec<Choice> {
    rank(choices, typed.trim(), |choice| choice.line.trim())
}

/// The choices that fit, best first; where none does, those that may be meant.
fn rank(choices: Vec<Choice>, typed: &str, name: impl Fn(&Choice) -> &str) -> Vec<Choice> {
    /// A name counts for more than words of help, by this factor.
    const NAME: u32 = 3;
    if typed.is_empty() {
        return choices;
    }
    let (pattern, words) = (Pattern::new(typed), Pattern::words(typed));
    let score = |choice: &Choice| {
        let exact = u32::from(name(choice) == typed) * 100_000;
        let prefix = u32::from(name(choice).starts_with(typed)) * 1_000;
        let named = pattern.score(name(choice));
        let described = words.score(&format!("{} {}", choice.keys, choice.help));
        let fits = named.map(|it| it * NAME).max(described)?;
        Some(exact + prefix + fits)
    };
    let mut fitting: Vec<(u32, Choice)> = choices
        .iter()
        .filter_map(|choice| Some((score(choice)?, choice.clone())))
        .collect();
    fitting.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    if !fitting.is_empty() {
        return fitting.into_iter().map(|(_, choice)| choice).collect();
    }
    let mut similar: Vec<(f64, Choice)> = choices
        .into_iter()
        .filter_map(|choice| Some((misspelt(typed, name(&choice))?, choice)))
        .collect();
    similar.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    similar.into_iter().map(|(_, choice)| choice).collect()
}
