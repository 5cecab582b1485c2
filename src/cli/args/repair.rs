//! Flags of the verbs that repair runs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{TimeLimit, duration, percent};
use crate::model::Limits;

#[derive(Debug, Args)]
pub struct Redrive {
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    #[command(flatten)]
    pub how: How,
}

/// What becomes of a plan: shown, written down, or carried out.
#[derive(Debug, Args)]
pub struct How {
    /// Show what would run and what stands against it; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write the plan into a new file for `fanout apply`; change nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "wait"])]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub again: Again,
    #[command(flatten)]
    pub repeat: Repeat,
    /// Wait for the end
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub limit: TimeLimit,
}

#[derive(Debug, Args)]
pub struct Rerun {
    /// Several are one operation
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    #[command(flatten)]
    pub choice: Choice,
    /// Change the chosen lines in $VISUAL or $EDITOR first; what was changed is shown
    #[arg(long, conflicts_with = "edited")]
    pub edit: bool,
    /// Take the lines from a file that --edit has left behind
    #[arg(long, value_name = "FILE")]
    pub edited: Option<PathBuf>,
    /// Items of a batch: only 1, where the run had batches
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=1))]
    pub batch_size: Option<u8>,
    /// Name of the new execution [default: derived from run and lines]
    #[arg(long)]
    pub name: Option<String>,
    /// Run so many of each group first, and ask before the rest
    ///
    /// With --yes the rest runs when no more of them fail than --tolerate allows.
    #[arg(long, value_name = "N", conflicts_with_all = ["plan", "edit", "edited", "name"])]
    pub canary: Option<u64>,
    #[command(flatten)]
    pub how: How,
}

/// Which lines. Without any of these: all that did not succeed.
#[derive(Debug, Clone, Args)]
pub struct Choice {
    /// All of the run's input once more, also what has succeeded
    #[arg(long, conflicts_with_all = [
        "lines", "error", "group", "child", "query", "of_each_group", "edit", "edited", "canary",
    ])]
    pub everything: bool,
    /// Line numbers, such as 3,7-9
    #[arg(long, value_name = "LINES")]
    pub lines: Option<String>,
    /// Name of an error; `*` stands for any text
    #[arg(long, value_name = "NAME")]
    pub error: Vec<String>,
    /// A group: its number in `failures --group`, from 1, or a part of its text
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// A child execution, by its ARN
    #[arg(long, value_name = "ARN")]
    pub child: Vec<String>,
    /// As the dashboard filters: `error:Pay* line:1..400 word`
    #[arg(long, value_name = "QUERY")]
    pub query: Option<String>,
    /// At most so many of each group
    #[arg(long, value_name = "N")]
    pub of_each_group: Option<u64>,
}

/// Going on by itself, as long as this command runs.
#[derive(Debug, Clone, Args)]
pub struct Repeat {
    /// Do it again when something failed again, at most so often; ends with this command
    #[arg(long, value_name = "N", default_value_t = 0, requires = "wait")]
    pub repeat: u32,
    /// Wait so long before each repetition
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub pause: Duration,
}

#[derive(Debug, Args)]
pub struct Resume {
    /// Which operation; without it, those that are unfinished are listed
    #[arg(value_name = "OPERATION")]
    pub operation: Option<String>,
    /// Do not go on with it, and list it no more
    #[arg(long, requires = "operation")]
    pub forget: bool,
    /// Wait for the end of what it started
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub limit: TimeLimit,
}

/// What is set on a Map Run that runs again.
#[derive(Debug, Clone, Args)]
pub struct Again {
    /// Children at once; 0 is the service's own maximum
    #[arg(long, value_name = "N")]
    pub concurrency: Option<u64>,
    /// Stop again when more than this share of the items fails, such as 5%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub tolerate: Option<f64>,
    /// Why, for the records
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

impl Again {
    pub fn limits(&self) -> Limits {
        Limits {
            max_concurrency: self.concurrency,
            tolerated_percentage: self.tolerate,
            tolerated_count: None,
        }
    }
}

#[derive(Debug, Args)]
pub struct Apply {
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Make the plan anew, show it and what has changed; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait for the end
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub limit: TimeLimit,
}
