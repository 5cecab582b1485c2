//! The command line (`:`): words for what keys do, with completion.

use crate::tui::keys::Action;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What a key does, for a run by name or for the one shown.
    Act(Action, Option<String>),
    Start(String),
    Machine(String),
    ReadOnly,
}

/// Word, what follows it, what it does.
type Verb = (&'static str, Argument, Action);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    None,
    Run,
}

const VERBS: &[Verb] = &[
    ("describe", Argument::Run, Action::Describe),
    ("failures", Argument::Run, Action::Failures),
    ("freeze", Argument::None, Action::Freeze),
    ("help", Argument::None, Action::Help),
    ("limits", Argument::Run, Action::Limits),
    ("live", Argument::Run, Action::Live),
    ("outputs", Argument::Run, Action::Outputs),
    ("quit", Argument::None, Action::Quit),
    ("q", Argument::None, Action::Quit),
    ("redraw", Argument::None, Action::Redraw),
    ("redrive", Argument::Run, Action::Redrive),
    ("refresh", Argument::None, Action::Refresh),
    ("runs", Argument::None, Action::Runs),
    ("sort", Argument::None, Action::Sort),
    ("stop", Argument::Run, Action::Stop),
];

/// Words with arguments of their own.
const OTHERS: [&str; 3] = ["machine", "read-only", "start"];

/// # Errors
/// What is wrong with the line, and what would be right.
pub fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim();
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    match word {
        "start" => return Ok(Command::Start(rest.to_owned())),
        "machine" if rest.is_empty() => return Err("machine needs a name or an ARN".to_owned()),
        "machine" => return Ok(Command::Machine(rest.to_owned())),
        "read-only" => return Ok(Command::ReadOnly),
        _ => {}
    }
    let mut verbs = VERBS.iter();
    match verbs.find(|(verb, ..)| *verb == word) {
        Some((_, Argument::None, _)) if !rest.is_empty() => {
            Err(format!("{word} takes nothing after it"))
        }
        Some((_, _, action)) => {
            let run = (!rest.is_empty()).then(|| rest.to_owned());
            Ok(Command::Act(*action, run))
        }
        None => Err(format!(
            "there is no command `{word}`, tab shows those there are"
        )),
    }
}

/// Whole lines that begin with `line`: words first, then the names of runs.
pub fn completions(line: &str, runs: &[&str]) -> Vec<String> {
    let Some((word, begun)) = line.split_once(' ') else {
        let words = VERBS.iter().map(|(word, ..)| *word).chain(OTHERS);
        let mut fitting: Vec<String> = words
            .filter(|word| word.len() > 1 && word.starts_with(line))
            .map(str::to_owned)
            .collect();
        fitting.sort();
        return fitting;
    };
    let takes_run = |verb: &&Verb| verb.0 == word && verb.1 == Argument::Run;
    if VERBS.iter().find(takes_run).is_none() {
        return Vec::new();
    }
    let fitting = runs.iter().filter(|run| run.contains(begun.trim()));
    fitting.map(|run| format!("{word} {run}")).collect()
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
        assert!(parse("runs now").is_err());
        assert!(parse("destroy").unwrap_err().contains("`destroy`"));
    }

    #[test]
    fn completion_offers_words_then_runs() {
        assert_eq!(
            completions("re", &[]),
            ["read-only", "redraw", "redrive", "refresh"]
        );
        assert_eq!(
            completions("live 77", &["a-77de", "b-19aa"]),
            ["live a-77de"]
        );
        assert!(completions("quit x", &["x"]).is_empty());
    }
}
