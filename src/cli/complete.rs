//! What a shell is told when a word is to be completed: besides verbs and flags the names of runs,
//! machines and profiles, asked for where the words before it lead.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Command, CommandFactory as _, FromArgMatches as _};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::CompleteEnv;

use crate::cli::args::{Cli, Global};
use crate::cli::session::Session;
use crate::client::profiles;

/// Set by the shell when it asks.
const VARIABLE: &str = "FANOUT_COMPLETE";
/// How long a key press waits for names at the most.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Of runs, the newest.
const RUNS: u16 = 50;

#[derive(Debug, Clone, Copy)]
enum Name {
    Run,
    Machine,
    Profile,
}

/// Answers a shell that asks; the program then ends. Does nothing otherwise.
pub fn answer() {
    CompleteEnv::with_factory(|| named(Cli::command()))
        .var(VARIABLE)
        .complete();
}

/// The command, every argument that is a name knowing where its names are.
fn named(command: Command) -> Command {
    let arguments = command.mut_args(|argument| {
        let name = match argument.get_id().as_str() {
            "run" | "runs" => Name::Run,
            "machine" => Name::Machine,
            "profile" => Name::Profile,
            _ => return argument,
        };
        argument.add(ArgValueCandidates::new(move || candidates(name)))
    });
    arguments.mut_subcommands(named)
}

fn candidates(name: Name) -> Vec<CompletionCandidate> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    // The shell's words stand behind ours.
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let global = typed(words);
    let found = runtime.block_on(async {
        let asked = tokio::time::timeout(PATIENCE, names(name, global?)).await;
        asked.ok().flatten()
    });
    let found = found.unwrap_or_default();
    found.into_iter().map(CompletionCandidate::new).collect()
}

/// The flags of a line that is not complete yet.
fn typed(words: impl Iterator<Item = OsString>) -> Option<Global> {
    let command = Cli::command().ignore_errors(true);
    let matches = command.try_get_matches_from(words).ok()?;
    Global::from_arg_matches(&matches).ok()
}

/// Nothing where nobody can be asked at once: completing a word opens no engine.
async fn names(name: Name, global: Global) -> Option<Vec<String>> {
    if matches!(name, Name::Profile) {
        return Some(profiles().await.into_iter().map(|it| it.name).collect());
    }
    let session = Session::if_reachable(&global).await?;
    if matches!(name, Name::Machine) {
        let machines = session.client.state_machines().await.ok()?;
        return Some(machines.into_iter().map(|it| it.name).collect());
    }
    let machine = session.machine().await.ok()?;
    let page = session.client.executions(&machine, None, RUNS, None).await;
    let newest = page.ok()?.items.into_iter().map(|row| row.name);
    Some(std::iter::once("last".to_owned()).chain(newest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_from_a_line_that_is_not_complete() {
        let read = |line: &str| typed(line.split(' ').map(OsString::from)).expect("flags");
        let global = read("fanout --profile work redrive ");
        assert_eq!(global.profile.as_deref(), Some("work"));
        assert!(read("fanout redrive --local x --nonsense").local);
        assert_eq!(read("fanout ").profile, None);
    }

    #[test]
    fn the_arguments_that_are_names_know_their_names() {
        let command = named(Cli::command());
        let knows = |command: &Command, id: &str| {
            let argument = command.get_arguments().find(|it| it.get_id() == id);
            argument.is_some_and(|it| it.get::<ArgValueCandidates>().is_some())
        };
        assert!(knows(&command, "machine") && knows(&command, "profile"));
        for verb in [
            "watch", "wait", "failures", "redrive", "rerun", "logs", "stop", "limits",
        ] {
            let verb = command.find_subcommand(verb).expect(verb);
            assert!(
                knows(verb, "run") || knows(verb, "runs"),
                "{}",
                verb.get_name()
            );
        }
        let outputs = command.find_subcommand("outputs").expect("outputs");
        for verb in outputs
            .get_subcommands()
            .filter(|it| it.get_name() != "help")
        {
            assert!(knows(verb, "run"), "outputs {}", verb.get_name());
        }
    }
}
