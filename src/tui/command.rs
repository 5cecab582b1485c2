//! The command line's grammar: a word, and for some what follows it. Every action is a word; every
//! choice of the palette is a line of it.

use crate::tui::keys::{self, Action, BINDINGS};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What a key does, for a run by name or for the one shown.
    Act(Action, Option<String>),
    Start(String),
    Machine(String),
    ReadOnly,
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
        argument: Argument::Text(Offer::Nothing),
        alone: false,
        make: |rest| Ok(Command::Machine(rest.to_owned())),
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
        assert!(parse("runs now").is_err());
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
