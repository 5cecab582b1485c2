//! The command line's grammar: a word, and for some what follows it. Every action is a word; every
//! choice of the palette is a line of it.

use crate::tui::export::Format;
use crate::tui::keys::{self, Action, BINDINGS};
use crate::tui::theme;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What a key does, for a run by name or for the one shown.
    Act(Action, Option<String>),
    Start(String),
    Machine(String),
    /// The traps of a state machine; empty is the one shown.
    Check(String),
    ReadOnly,
    Profile(String),
    Region(String),
    Engine,
    SignIn,
    Resume,
    Theme(theme::Palette),
    /// A span such as `24h`.
    Since(String),
    Filter(String),
    /// The runs, with what follows as their filter.
    Runs(String),
    Sort(String),
    Export(Format),
    /// The host action with this key.
    Host(char),
}

/// What may follow a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    None,
    /// The name of a run, or a part that only one has; without it the run shown.
    Run,
    /// Text of the user's own, of which these may be offered.
    Text(Offer),
}

/// What is offered to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    Nothing,
    Hosts,
    Machines,
    Profiles,
    Regions,
    Themes,
    Spans,
    Filters,
    Orders,
    Formats,
}

pub struct Word {
    pub name: &'static str,
    pub help: &'static str,
    pub argument: Argument,
    /// Whether it means something without its argument.
    pub alone: bool,
    make: fn(&str) -> Result<Command, String>,
}

/// Words that are not the name of an action, or take more than it.
pub const WORDS: &[Word] = &[
    Word {
        name: "start",
        help: "start a run, of a file or an S3 object",
        argument: Argument::Text(Offer::Nothing),
        alone: true,
        make: |rest| Ok(Command::Start(rest.to_owned())),
    },
    Word {
        name: "machine",
        help: "show the runs of another state machine, by name or ARN",
        argument: Argument::Text(Offer::Machines),
        alone: false,
        make: |rest| Ok(Command::Machine(rest.to_owned())),
    },
    Word {
        name: "check",
        help: "what in a state machine will hurt: its definition, role and settings",
        argument: Argument::Text(Offer::Machines),
        alone: true,
        make: |rest| Ok(Command::Check(rest.to_owned())),
    },
    Word {
        name: "runs",
        help: "all runs; what follows is their filter: runs failed since 24h",
        argument: Argument::Text(Offer::Filters),
        alone: true,
        make: |rest| Ok(Command::Runs(spoken(rest))),
    },
    Word {
        name: "profile",
        help: "go to another AWS profile",
        argument: Argument::Text(Offer::Profiles),
        alone: true,
        make: |rest| match rest.is_empty() {
            true => Ok(Command::Act(Action::Profile, None)),
            false => Ok(Command::Profile(rest.to_owned())),
        },
    },
    Word {
        name: "region",
        help: "go to another Region with the same profile",
        argument: Argument::Text(Offer::Regions),
        alone: true,
        make: |rest| match rest.is_empty() {
            true => Ok(Command::Act(Action::Region, None)),
            false => Ok(Command::Region(rest.to_owned())),
        },
    },
    Word {
        name: "engine",
        help: "go to the embedded engine on this machine",
        argument: Argument::None,
        alone: true,
        make: |_| Ok(Command::Engine),
    },
    Word {
        name: "sign-in",
        help: "sign in again, or connect anew with what is written down",
        argument: Argument::None,
        alone: true,
        make: |_| Ok(Command::SignIn),
    },
    Word {
        name: "resume",
        help: "go on with what was interrupted: redrives and re-runs of which some were not sent",
        argument: Argument::None,
        alone: true,
        make: |_| Ok(Command::Resume),
    },
    Word {
        name: "theme",
        help: "other colours, until fanout ends; config.toml keeps them",
        argument: Argument::Text(Offer::Themes),
        alone: false,
        make: |rest| match theme::Palette::named(rest) {
            Some(palette) => Ok(Command::Theme(palette)),
            None => {
                let known = theme::Palette::ALL.map(theme::Palette::name).join(", ");
                Err(format!("there is no theme {rest}, there are {known}"))
            }
        },
    },
    Word {
        name: "since",
        help: "the runs of so many minutes, hours or days: since 24h",
        argument: Argument::Text(Offer::Spans),
        alone: false,
        make: |rest| Ok(Command::Since(rest.to_owned())),
    },
    Word {
        name: "filter",
        help: "filter the list: text, column:value, !not, failed:>100, -f fuzzy",
        argument: Argument::Text(Offer::Filters),
        alone: true,
        make: |rest| match rest.is_empty() {
            true => Ok(Command::Act(Action::Filter, None)),
            false => Ok(Command::Filter(rest.to_owned())),
        },
    },
    Word {
        name: "sort",
        help: "sort the list",
        argument: Argument::Text(Offer::Orders),
        alone: true,
        make: |rest| match rest.is_empty() {
            true => Ok(Command::Act(Action::Sort, None)),
            false => Ok(Command::Sort(rest.to_owned())),
        },
    },
    Word {
        name: "export",
        help: "write what is shown into a file: export csv, json or ndjson",
        argument: Argument::Text(Offer::Formats),
        alone: true,
        make: |rest| match (rest.is_empty(), Format::parse(rest)) {
            (true, _) => Ok(Command::Act(Action::Export, None)),
            (false, Some(format)) => Ok(Command::Export(format)),
            (false, None) => Err(format!("{rest} is no format: csv, json or ndjson")),
        },
    },
    Word {
        name: "read-only",
        help: "refuse everything that changes something, until fanout is started again",
        argument: Argument::None,
        alone: true,
        make: |_| Ok(Command::ReadOnly),
    },
    Word {
        name: "host",
        help: "what the program around offers, by its key",
        argument: Argument::Text(Offer::Hosts),
        alone: false,
        make: |rest| match rest.chars().next() {
            Some(key) => Ok(Command::Host(key)),
            None => Err("host needs a key".to_owned()),
        },
    },
];

/// `failed since 24h` as a filter says it: `failed since:24h`.
fn spoken(text: &str) -> String {
    let joined = text.replace("since ", "since:").replace("until ", "until:");
    joined.trim().to_owned()
}

/// Actions on a run that can be named.
const OF_RUNS: [Action; 12] = [
    Action::Describe,
    Action::Events,
    Action::Failures,
    Action::Graph,
    Action::Limits,
    Action::Live,
    Action::Logs,
    Action::Outputs,
    Action::Payload,
    Action::Redrive,
    Action::Stop,
    Action::Timeline,
];

/// What may follow an action's name.
pub fn argument_of(action: Action) -> Argument {
    match OF_RUNS.contains(&action) {
        true => Argument::Run,
        false => Argument::None,
    }
}

/// The argument of a word; `None` where there is no such word.
pub fn argument(word: &str) -> Option<Argument> {
    let own = WORDS.iter().find(|it| it.name == word);
    own.map(|it| it.argument)
        .or_else(|| keys::named(word).map(|it| argument_of(it.action)))
}

/// A line's first word and what follows it.
pub fn split(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    line.split_once(' ').unwrap_or((line, ""))
}

/// # Errors
/// What is wrong with the line, and what would be right.
pub fn parse(line: &str) -> Result<Command, String> {
    let (word, rest) = split(line.trim());
    let rest = rest.trim();
    if let Some(known) = WORDS.iter().find(|it| it.name == word) {
        return match (known.argument, rest.is_empty()) {
            (Argument::None, false) => Err(format!("{word} takes nothing after it")),
            (_, true) if !known.alone => Err(format!("{word} needs something after it")),
            _ => (known.make)(rest),
        };
    }
    let named = match word {
        "q" => Some(keys::of(Action::Quit)),
        word => keys::named(word),
    };
    let Some(binding) = named else {
        let similar = BINDINGS.iter().map(|it| it.name);
        let similar = similar.chain(WORDS.iter().map(|it| it.name));
        let meant = similar.min_by_key(|name| strsim::damerau_levenshtein(word, name));
        return Err(match meant {
            Some(meant) if crate::tui::fuzzy::misspelt(word, meant).is_some() => {
                format!("there is no command `{word}`; did you mean {meant}?")
            }
            _ => format!("there is no command `{word}`"),
        });
    };
    match (argument_of(binding.action), rest.is_empty()) {
        (Argument::None, false) => Err(format!("{word} takes nothing after it")),
        (_, true) => Ok(Command::Act(binding.action, None)),
        (_, false) => Ok(Command::Act(binding.action, Some(rest.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_their_arguments() {
        assert_eq!(
            parse(" redrive  a91c "),
            Ok(Command::Act(Action::Redrive, Some("a91c".to_owned())))
        );
        assert_eq!(
            parse("start a file.txt"),
            Ok(Command::Start("a file.txt".to_owned()))
        );
        assert_eq!(parse("q"), Ok(Command::Act(Action::Quit, None)));
        assert_eq!(
            parse("runs failed since 24h"),
            Ok(Command::Runs("failed since:24h".to_owned()))
        );
        assert!(parse("quit now").is_err());
        assert!(parse("theme plaid").unwrap_err().contains("there are"));
        assert!(parse("export xml").unwrap_err().contains("csv"));
        assert!(parse("machine").unwrap_err().contains("needs"));
        assert!(parse("destroy").unwrap_err().contains("`destroy`"));
        assert!(parse("fialures").unwrap_err().contains("mean failures?"));
    }

    #[test]
    fn every_action_is_a_word() {
        for binding in BINDINGS {
            assert!(parse(binding.name).is_ok(), "{}", binding.name);
        }
    }
}
