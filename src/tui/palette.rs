//! The palette: everything that can be done, as lines of the command grammar, found by typing. The
//! command line, the key help and every menu are this one list, each with another scope.

use crate::config::Mode;
use crate::tui::app::App;
use crate::tui::command::{self, Argument, Offer, WORDS};
use crate::tui::export::Format;
use crate::tui::fuzzy::{Pattern, misspelt};
use crate::tui::keys::{self, Action, BINDINGS, Binding};
use crate::tui::theme;
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Cursor;

/// What a palette lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All commands, and what they can be done with.
    All,
    /// All keys, also those that mean nothing now.
    Keys,
    /// What the screen's thing can have done to it now.
    Here,
    /// The orders of the list.
    Sort,
    /// The formats of a file.
    Export,
    /// Where one can go: profiles, and the embedded engine.
    Profiles,
    Regions,
}

#[derive(Debug, Clone)]
pub struct Palette {
    pub scope: Scope,
    pub field: Field,
    /// The choice under the cursor.
    pub cursor: Cursor,
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
const MOVES: [Action; 14] = [
    Action::Left,
    Action::Right,
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
            cursor: Cursor::default(),
        }
    }

    /// Whether profiles are among what is listed.
    pub fn lists_profiles(&self) -> bool {
        let (word, _) = command::split(self.field.value());
        self.scope == Scope::Profiles || (self.scope == Scope::All && word == "profile")
    }

    /// Whether state machines are among what is listed.
    pub fn lists_machines(&self) -> bool {
        let (word, _) = command::split(self.field.value());
        self.scope == Scope::All && word == "machine"
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
            Scope::Sort => return lettered(orders(app)),
            Scope::Export => return lettered(formats()),
            Scope::Profiles => profiles(app),
            Scope::Regions => regions(app),
        };
        ranked(all, typed)
    }

    /// Whether it is a short menu, whose choices have a letter each: typing chooses, it does not
    /// search.
    pub fn is_menu(&self) -> bool {
        matches!(self.scope, Scope::Sort | Scope::Export)
    }

    /// The line that enter runs: what is typed where that is a whole line, else the choice under
    /// the cursor.
    pub fn line(&self, app: &App) -> String {
        let choices = self.choices(app);
        match choices.into_iter().nth(self.cursor.at) {
            Some(choice) => choice.line,
            None => self.field.value().to_owned(),
        }
    }
}

/// Gives each choice the first letter of what it is about that no other has.
fn lettered(mut choices: Vec<Choice>) -> Vec<Choice> {
    let mut taken = Vec::new();
    for choice in &mut choices {
        let (_, name) = command::split(&choice.line);
        let free = name.chars().find(|letter| !taken.contains(letter));
        taken.extend(free);
        choice.keys = free.map_or_else(String::new, String::from);
    }
    choices
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
        Argument::Text(Offer::Profiles) => profiles(app),
        Argument::Text(Offer::Machines) => machines(app),
        Argument::Text(Offer::Regions) => regions(app),
        Argument::Text(Offer::Themes) => themes(app),
        Argument::Text(Offer::Spans) => spans(),
        Argument::Text(Offer::Filters) => filters(app, word),
        Argument::Text(Offer::Orders) => orders(app),
        Argument::Text(Offer::Formats) => formats(),
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

/// Regions of AWS's own partition; others can be typed.
const REGIONS: [(&str, &str); 32] = [
    ("af-south-1", "Cape Town"),
    ("ap-east-1", "Hong Kong"),
    ("ap-east-2", "Taipei"),
    ("ap-northeast-1", "Tokyo"),
    ("ap-northeast-2", "Seoul"),
    ("ap-northeast-3", "Osaka"),
    ("ap-south-1", "Mumbai"),
    ("ap-south-2", "Hyderabad"),
    ("ap-southeast-1", "Singapore"),
    ("ap-southeast-2", "Sydney"),
    ("ap-southeast-3", "Jakarta"),
    ("ap-southeast-4", "Melbourne"),
    ("ap-southeast-5", "Malaysia"),
    ("ap-southeast-7", "Thailand"),
    ("ca-central-1", "Canada"),
    ("ca-west-1", "Calgary"),
    ("eu-central-1", "Frankfurt"),
    ("eu-central-2", "Zurich"),
    ("eu-north-1", "Stockholm"),
    ("eu-south-1", "Milan"),
    ("eu-south-2", "Spain"),
    ("eu-west-1", "Ireland"),
    ("eu-west-2", "London"),
    ("eu-west-3", "Paris"),
    ("il-central-1", "Tel Aviv"),
    ("me-central-1", "UAE"),
    ("me-south-1", "Bahrain"),
    ("mx-central-1", "Mexico"),
    ("sa-east-1", "São Paulo"),
    ("us-east-1", "N. Virginia"),
    ("us-east-2", "Ohio"),
    ("us-west-2", "Oregon"),
];

fn machines(app: &App) -> Vec<Choice> {
    let known = app.data().machines.get().into_iter().flatten();
    let choice = known.map(|machine| {
        let is_here = app.data().machine.get() == Some(&machine.arn);
        let here = if is_here { ", here" } else { "" };
        let kind = machine.kind.to_lowercase();
        offered(
            format!("machine {}", machine.name),
            &format!("{kind}{here}"),
        )
    });
    choice.collect()
}

fn regions(app: &App) -> Vec<Choice> {
    let here = &app.health.connection.region;
    let choice = REGIONS.iter().map(|(region, city)| {
        let help = match here == region {
            true => format!("{city}, here"),
            false => (*city).to_owned(),
        };
        offered(format!("region {region}"), &help)
    });
    choice.collect()
}

/// Profiles with what is known of them without asking anybody; the embedded engine is one more.
fn profiles(app: &App) -> Vec<Choice> {
    let connection = &app.health.connection;
    let known = app.target.profiles.get().into_iter().flatten();
    let mut choices: Vec<Choice> = known
        .map(|profile| {
            let special = app.settings.profiles.get(&profile.name);
            let is_here = !connection.local && connection.label == profile.name;
            let words = [
                profile.account.clone(),
                profile.role.clone(),
                profile.sign_in.as_ref().map(|it| match it.len() {
                    5 => "sso".to_owned(),
                    _ => "aws login".to_owned(),
                }),
                special.filter(|it| it.prod).map(|_| "PROD".to_owned()),
                special
                    .filter(|it| it.mode == Mode::ReadOnly)
                    .map(|_| "READ-ONLY".to_owned()),
                is_here.then(|| "here".to_owned()),
            ];
            let words: Vec<String> = words.into_iter().flatten().collect();
            Choice {
                line: format!("profile {}", profile.name),
                keys: profile.region.clone().unwrap_or_default(),
                help: words.join("  "),
                refused: None,
            }
        })
        .collect();
    if app.settings.has_engine || connection.local {
        let here = if connection.local { "  here" } else { "" };
        choices.push(Choice {
            line: "engine".to_owned(),
            keys: "LOCAL".to_owned(),
            help: format!("the embedded engine on this machine{here}"),
            refused: None,
        });
    }
    choices
}

fn offered(line: String, help: &str) -> Choice {
    Choice {
        line,
        keys: String::new(),
        help: help.to_owned(),
        refused: None,
    }
}

fn spans() -> Vec<Choice> {
    let spans = [
        ("1h", "the last hour"),
        ("24h", "the last day"),
        ("7d", "the last week"),
        ("30d", "the last month"),
    ];
    let choice = spans.map(|(span, help)| offered(format!("since {span}"), help));
    choice.into()
}

fn filters(app: &App, word: &str) -> Vec<Choice> {
    let filters = app.filters().iter();
    let choice = filters.map(|filter| offered(format!("{word} {filter}"), "given before"));
    choice.collect()
}

fn orders(app: &App) -> Vec<Choice> {
    let now = app.screen().order().map(|it| it.by);
    let sorts = app.screen().sorts().iter().enumerate();
    let choice = sorts.map(|(index, (name, words))| {
        let words = match now == Some(index) {
            true => format!("{words}, as now"),
            false => (*words).to_owned(),
        };
        offered(format!("sort {name}"), &words)
    });
    choice.collect()
}

fn themes(app: &App) -> Vec<Choice> {
    let now = app.theme().palette;
    let choice = theme::Palette::ALL.map(|palette| {
        let help = if palette == now { "as now" } else { "" };
        offered(format!("theme {}", palette.name()), help)
    });
    choice.into()
}

fn formats() -> Vec<Choice> {
    let formats = Format::ALL.into_iter();
    let choice = formats.map(|(_, name, help)| offered(format!("export {name}"), help));
    choice.collect()
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
