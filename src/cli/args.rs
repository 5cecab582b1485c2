//! The command line: flags and verbs, as clap reads them.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::local::{Fault, Throttle};
use crate::tui;

pub mod deploy;
pub mod repair;

/// The version, and of a release the commit that it is built from.
pub const RELEASE: &str = concat!(env!("CARGO_PKG_VERSION"), env!("FANOUT_COMMIT"));

/// Run files of lines through AWS Step Functions Distributed Maps, watch them and repair them.
///
/// Without a verb the dashboard opens. A verb never opens it: data goes to stdout, messages to
/// stderr. RUN is the name of an execution, an unambiguous part of it, its ARN, or `last`.
#[derive(Debug, Parser)]
#[command(name = "fanout", version = RELEASE, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

const AFTER_HELP: &str = "\
Examples:
  fanout demo                                see it work, without an AWS account
  fanout start places.txt --wait             upload, start, wait for the end
  fanout failures last --group               what went wrong, by cause
  fanout redrive last --yes --wait           run what failed again, in place
  fanout outputs get last --to results/      download what came out

Exit codes:
  0    everything asked is done and no line failed
  1    the run ended FAILED, TIMED_OUT or ABORTED
  2    wrong usage or configuration
  3    ended well, but some lines failed (PART)
  4    refused before anything was done: not redrivable, read-only, name taken, a bad file
  5    not signed in, or not allowed
  6    AWS, the engine or the network failed after retries
  124  --timeout passed; the run goes on
  130  interrupted; the run goes on";

#[derive(Debug, Clone, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Global {
    /// AWS profile
    #[arg(long, global = true, value_name = "NAME", help_heading = "Where")]
    pub profile: Option<String>,
    /// AWS Region
    #[arg(long, global = true, value_name = "REGION", help_heading = "Where")]
    pub region: Option<String>,
    /// Endpoint to use instead of AWS's own, with the credentials of the environment
    #[arg(long, global = true, value_name = "URL", help_heading = "Where")]
    pub endpoint_url: Option<String>,
    /// Use the embedded engine, whatever credentials there are
    #[arg(
        long, global = true, help_heading = "Where",
        conflicts_with_all = ["profile", "region", "endpoint_url"],
    )]
    pub local: bool,
    /// State machine: name or ARN [default: from the configuration, else the shipped workflow]
    #[arg(long, global = true, value_name = "MACHINE", help_heading = "Where")]
    pub machine: Option<String>,
    /// Folder of the embedded engine
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "FANOUT_DATA_DIR",
        help_heading = "Where"
    )]
    pub data_dir: Option<PathBuf>,
    /// Configuration file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "no_config",
        help_heading = "How"
    )]
    pub config: Option<PathBuf>,
    /// Read no configuration file
    #[arg(long, global = true, help_heading = "How")]
    pub no_config: bool,
    /// Refuse everything that changes something
    #[arg(long, global = true, help_heading = "How")]
    pub read_only: bool,
    /// Do not ask before changing something
    #[arg(long, short, global = true, help_heading = "How")]
    pub yes: bool,
    /// Answer with one JSON document
    #[arg(long, global = true, conflicts_with = "ndjson", help_heading = "How")]
    pub json: bool,
    /// Answer with a stream of JSON documents, one a line: of a list its members, each with `version`
    #[arg(long, global = true, help_heading = "How")]
    pub ndjson: bool,
    /// Append lines only: nothing is drawn over
    #[arg(long, global = true, help_heading = "How")]
    pub plain: bool,
    /// Leave the dashboard's last frame as text when it ends
    #[arg(long, global = true, help_heading = "Dashboard")]
    pub keep_screen: bool,
    /// Do not make links to the AWS console of ARNs, log groups and objects
    #[arg(long, global = true, help_heading = "Dashboard")]
    pub no_hyperlinks: bool,
    /// Time zone of what the dashboard shows: local, UTC, or a name such as Europe/Berlin
    #[arg(
        long,
        global = true,
        env = "FANOUT_TZ",
        value_name = "ZONE",
        default_value = "UTC",
        help_heading = "Dashboard"
    )]
    pub tz: String,
    /// When to colour messages
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN", help_heading = "How")]
    pub color: Color,
    /// What goes to the log file: error, warn, info, debug, trace
    #[arg(
        long,
        global = true,
        env = "FANOUT_LOG",
        value_name = "LEVEL",
        default_value = "info",
        help_heading = "How"
    )]
    pub log_level: String,
}

impl Global {
    /// How the dashboard uses the terminal.
    pub fn looks(&self) -> tui::Looks {
        tui::Looks {
            keep_screen: self.keep_screen,
            no_hyperlinks: self.no_hyperlinks,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Elvish,
    Fish,
    Nushell,
    Powershell,
    Zsh,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// See a run fail, be repaired and heal, on this machine
    ///
    /// Starts an engine in a folder of its own and a small lookup service that fails for some
    /// lines, runs the sample file twice, and opens the dashboard on it. `!` repairs the service;
    /// a redrive then heals the run.
    ///
    /// With --headless nothing is drawn: the same happens from start to healed output and is
    /// checked. JSON: {version, lines, first: {run, failed, never_started, groups}, healed: {run,
    /// output, lines}, second: {run, output, lines, failed}}.
    Demo(Demo),
    /// Start one execution a file
    ///
    /// A local file is looked through (UTF-8, length of lines) and uploaded, unless the same one is
    /// there already. The name is derived from file, machine and input: starting the same thing
    /// twice starts it once.
    ///
    /// An input of the shipped workflow may choose lines: `only`, an object of JSON Lines {n, line},
    /// ascending, such as a `.failed.jsonl`. The output then has those lines alone, in a folder
    /// named as the execution, or with `merge`: {output, failed, lines} those of an earlier output
    /// too. `overwrite`: true writes to `output.key` itself.
    ///
    /// JSON: {version, plans: [plan]} with --dry-run, else {version, started: [{name, arn, input,
    /// lines, upload}]} and, with --wait, {version, runs: [run]}.
    Start(Start),
    /// List the newest executions
    ///
    /// JSON: {version, runs: [run]}, a run being {name, arn, machine, state, status, started,
    /// stopped, redrives, error, cause, output, map_run: {arn, status, max_concurrency,
    /// tolerated_percentage, items}, healing?, rerun_of?, attempts}; healing: {by, is_whole}, the
    /// re-run that matters to what the run has left open, of those listed; attempts as with
    /// `failures --attempts`; items: {pending, running, succeeded, failed,
    /// timed_out, aborted, total, results_written, failures_not_redrivable, pending_redrive}.
    Runs {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
    },
    /// Print a line whenever a run's counts change, until it ends
    ///
    /// NDJSON: {version, event: "snapshot", at, name, status, items}, at last {version, event:
    /// "end", run}. JSON: {version, runs: [run]} at the end.
    Watch { run: String },
    /// Wait until all these runs have ended
    ///
    /// JSON: {version, runs: [run]}. The exit code is that of the worst.
    Wait {
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<String>,
        #[command(flatten)]
        limit: TimeLimit,
    },
    /// Show failed lines with error, cause and input
    ///
    /// Exact from result files once the Map Run has closed, from the newest failed children before.
    ///
    /// A line's number is known where the item carries it. --line also looks for the line by the
    /// item's index or by its content, and says which it was; that reads the source once and keeps
    /// an index of its lines in the cache folder. In CSV files, text that a spreadsheet would take
    /// for a formula gets an apostrophe before it.
    ///
    /// Of a run with several Map Runs those of one are shown: RUN may be a Map Run's ARN.
    ///
    /// JSON: {version, map_run, other_map_runs, exact, source, failures: [{line, line_method, error,
    /// cause, status, child, stopped, input}]}, with --group {version, map_run, other_map_runs,
    /// exact, source, read, counted, margin, aborted, never_started, not_redrivable, groups:
    /// [{error, message, count, items, first_line, last_line, first, last, trend, spread, state,
    /// seen_before, example}]}, with --line {version, failures}, with --export {version, file, rows,
    /// exact, source}. NDJSON: one failure or group a line.
    Failures {
        run: String,
        /// Put failures with the same error and cause together
        #[arg(long)]
        group: bool,
        /// How many failures are read; groups and files are of all there are
        #[arg(long, default_value_t = 100_000, value_parser = at_least_one, value_name = "N")]
        limit: usize,
        /// Write all failures into a new file: .csv, .json or .jsonl
        #[arg(long, value_name = "FILE", conflicts_with = "group")]
        export: Option<PathBuf>,
        /// Only what failed of this line of the source
        #[arg(long, value_name = "N", conflicts_with_all = ["group", "export"], value_parser = clap::value_parser!(u64).range(1..))]
        line: Option<u64>,
        /// What each attempt has left, as this machine's ledger knows it: did a redrive help?
        ///
        /// JSON: {version, run, attempts: [{target, execution, machine, map_run, attempt, at, counts,
        /// groups, exact, note?}], healing?}.
        #[arg(long, conflicts_with_all = ["group", "limit", "export", "line"])]
        attempts: bool,
    },
    /// Show what a run, or one child of it, wrote to CloudWatch Logs
    ///
    /// Of the state machine's own log group, if it logs, and of the functions that its definition
    /// names: at most the newest 10,000 lines. Functions do not log whom they work for, so lines of
    /// other runs at the same time may be among theirs. Of a child: by the request id in its cause,
    /// else by the time of its end.
    ///
    /// JSON: {version, sources: {groups: [{name, origin, states, exists}], missing, from, to},
    /// found, lines: [line]}, a line being {at, group, stream, level, state, request, execution,
    /// message, cut}. NDJSON: a line each.
    Logs {
        #[arg(value_name = "RUN|CHILD")]
        run: String,
        /// Go on with what comes, until the run has ended
        #[arg(long, short)]
        follow: bool,
        /// Only what fits this pattern, in CloudWatch's filter language
        #[arg(long, value_name = "PATTERN", default_value = "")]
        filter: String,
        /// Only what this state may have written
        #[arg(long)]
        state: Option<String>,
        /// Only lines of the function's call with this request id
        #[arg(long, value_name = "ID", conflicts_with = "filter")]
        request: Option<String>,
        /// How many lines at the most, the newest
        #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
        limit: usize,
    },
    /// Run what failed again, in the same execution
    ///
    /// JSON: {version, plan, will_run} with --dry-run, {version, file, plan} with --plan, else
    /// {version, operation, plan, redriven}, or with --wait {version, runs: [run]}. Of several runs
    /// {version, plans: [..]} and {version, operation, redriven: [..]}.
    Redrive(repair::Redrive),
    /// Run chosen lines that did not succeed again, in a new execution
    ///
    /// For the shipped workflow the new lines are merged with what the run has written, in a new
    /// output. For other state machines wherever their items can be made again exactly; where not,
    /// the answer says what in the definition would make it possible.
    ///
    /// JSON: {version, plan, will_run} with --dry-run, {version, file, plan} with --plan, else
    /// {version, operation, plan, started}, or with --wait {version, runs: [run]}. Of several runs {version, plans: [..]} and {version,
    /// operation, started: [..]}.
    Rerun(Box<repair::Rerun>),
    /// List operations that were interrupted, or go on with one; nothing is done twice
    ///
    /// JSON: {version, operations: [{operation, at, what, target, items, left}]}, with an operation
    /// {version, operation, accepted, refused, left}, or with --wait {version, runs: [run]}.
    Resume(repair::Resume),
    /// Carry out a plan that --plan has written
    ///
    /// The plan is made anew first; when what matters has changed since, nothing is done and what
    /// has changed is told.
    ///
    /// JSON: {version, plan, will_run} with --dry-run, else {version, operation, plan, redriven?,
    /// started?, merged?}, of which one is there, or with --wait {version, runs: [run]}.
    Apply(repair::Apply),
    /// Show every change made from this machine: who, when, where, as a command, how it went
    ///
    /// Inputs and definitions are there by length and digest only. JSON: {version, trail: [{at,
    /// who, target, command, outcome}]}, outcome being {Ok: null} or {Err: text}.
    Trail {
        /// How many, the newest
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Stop a run; what has succeeded is kept and a redrive goes on
    ///
    /// JSON: {version, stopped: name}.
    Stop {
        run: String,
        /// Why, for the execution's record
        #[arg(long, value_name = "TEXT")]
        cause: Option<String>,
    },
    /// Change concurrency or tolerance of a Map Run that is going
    ///
    /// JSON: {version, map_run, max_concurrency, tolerated_percentage}.
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Limits {
        run: String,
        /// Children at once; 0 is the service's own maximum
        #[arg(long, value_name = "N", group = "what")]
        concurrency: Option<u64>,
        /// Share of items that may fail, such as 5%
        #[arg(long, value_name = "PERCENT", group = "what", value_parser = percent)]
        tolerate: Option<f64>,
    },
    /// List, show or download what a run has written
    #[command(subcommand)]
    Outputs(Outputs),
    /// Say how the shipped workflow gets into an AWS account; asks nothing of AWS
    ///
    /// Writes a CloudFormation template with the state machine in it, and prints a script with what
    /// is left to do, Region and names filled in: read it, then give it to sh. JSON: {version,
    /// region, profile, stack, files, script}.
    Deploy(deploy::Deploy),
    /// List state machines
    ///
    /// JSON: {version, machines: [{name, arn, kind, created}]}.
    Machines,
    /// Look for what in a state machine's definition, role and settings will hurt once it runs
    ///
    /// Of any state machine. ✗ cannot work, ! works until the day it does not, i is to be known, ✓ is
    /// as it should be; of the first the exit code is 4. Places are JSON pointers into the
    /// definition. The policies of the role are not read: what they must allow is listed.
    ///
    /// JSON: {version, report: {machine, kind, revision, role, checks: [{level, check, place, text,
    /// why, change}], statements: [{Effect, Action, Resource}]}}, level being bad, warning, info or
    /// good. With --input {version, input, reads: [{path, place}]}.
    Check {
        /// Name or ARN [default: that of --machine]
        #[arg(value_name = "MACHINE")]
        name: Option<String>,
        /// Print an input that has all the definition reads, for `start --template` or to fill in
        #[arg(long)]
        input: bool,
    },
    /// The embedded engine
    #[command(subcommand)]
    Local(Engine),
    /// The configuration
    #[command(subcommand)]
    Config(Configuration),
    /// Print a script that completes verbs and flags
    ///
    /// `source <(FANOUT_COMPLETE=bash fanout)`, or zsh, also completes the names of runs, machines
    /// and profiles; for fish: FANOUT_COMPLETE=fish fanout | source. Elvish and powershell can, too.
    Completions { shell: Shell },
    /// Print the manual page, of a verb if one is named
    Man {
        verb: Option<String>,
        /// Write all pages into this folder instead
        #[arg(long, value_name = "FOLDER", conflicts_with = "verb")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Lines of the sample file; more than it has begin again [default: all of it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub lines: Option<u32>,
    /// Share of lines that the service fails for
    #[arg(long, value_name = "PERCENT", default_value = "12", value_parser = percent)]
    pub fail: f64,
    /// Which lines those are
    #[arg(long, value_name = "S", default_value_t = 7)]
    pub seed: u64,
    /// Draw nothing: run, repair, redrive, download and check
    #[arg(long)]
    pub headless: bool,
}

#[derive(Debug, Args)]
pub struct Start {
    /// Local files, or objects as s3://BUCKET/KEY
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// What differs from the workflow's defaults: a JSON object, or @FILE that holds it
    #[arg(long, value_name = "JSON")]
    pub input: Option<String>,
    /// Template of the input: NAME.json of the folder templates beside config.toml, a path, or
    /// @machine for what the state machine's definition reads
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// Name of the execution [default: derived from file, machine and input]
    #[arg(long)]
    pub name: Option<String>,
    /// Wait for the end
    #[arg(long)]
    pub wait: bool,
    /// Show the plan and its checks; upload and start nothing
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    #[command(flatten)]
    pub limit: TimeLimit,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct TimeLimit {
    /// Give up waiting after this long, such as 90s, 5m or 2h; the run goes on
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub enum Outputs {
    /// List objects
    ///
    /// JSON: {version, outputs: [{kind, object: {address: {bucket, key}, size, modified, etag},
    /// run?}]}, kind being final, merged, rerun, result, temporary or source, and run the re-run
    /// that an object came out of. 200,000 objects at most; that there are more is said.
    Ls { run: String },
    /// List the versions of an object, the newest first: of the output, or of the one named
    ///
    /// JSON: {version, object, versions: [{id, size, modified, is_latest, etag}]}, size being null
    /// where the object was deleted, and versions null where the bucket keeps none. The newest 100.
    Versions {
        run: String,
        /// File name, or the end of a key
        file: Option<String>,
    },
    /// Write an object to stdout: the output, or the one named
    ///
    /// Byte for byte, unless lines are asked for: with --lines, --json or --ndjson what is
    /// compressed is unpacked first. JSON: {version, object, lines: [{line, text}]}, at most 16 MiB
    /// of it; with --ndjson one {line, text} a line, however many.
    Cat {
        run: String,
        /// File name, or the end of a key
        file: Option<String>,
        /// Only these lines, such as 10-20, 7 or 1000-
        #[arg(long, value_name = "LINES", value_parser = span)]
        lines: Option<RangeInclusive<u64>>,
        /// This version of it: see `outputs versions`
        #[arg(long, id = "object-version", value_name = "ID")]
        version: Option<String>,
    },
    /// Find a text in the output, or in the objects named; without capitals, capitals match too
    ///
    /// What is compressed is searched unpacked. JSON: {version, hits: [{object, line, at, text}]},
    /// at most 10,000 of them; with --ndjson one a line as they are found, however many.
    Search {
        run: String,
        text: String,
        /// File names, or ends of keys
        #[arg(value_name = "FILE")]
        files: Vec<String>,
    },
    /// Print an address by which anybody can read an object for a while: the output, or the one
    /// named
    ///
    /// Whoever has the address needs nothing else, so treat it as a secret. JSON: {version, object,
    /// url, expires}.
    Link {
        run: String,
        /// File name, or the end of a key
        file: Option<String>,
        /// How long it is valid, such as 30m or 24h; seven days at most
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
        expires: Duration,
        /// This version of it: see `outputs versions`
        #[arg(long, id = "object-version", value_name = "ID")]
        version: Option<String>,
    },
    /// Download: the output and its .failed.jsonl, or those named
    ///
    /// Nothing is ever overwritten. What was broken off goes on where it was, and what came is
    /// compared with the object's checksum. JSON: {version, downloaded: [{object, path, resumed,
    /// began_anew, verified}]}: bytes that were there already, whether the object had changed
    /// since, and the names of the checksums that agree.
    Get {
        run: String,
        /// File names, or ends of keys
        #[arg(value_name = "FILE")]
        files: Vec<String>,
        /// Folder, or for one object a file [default: `download_dir` of the configuration]
        #[arg(long, value_name = "PATH")]
        to: Option<PathBuf>,
        /// This version of the output, or of the one object named: see `outputs versions`
        #[arg(long, id = "object-version", value_name = "ID")]
        version: Option<String>,
    },
    /// Say whether there is one result for each line of the input
    ///
    /// Over the run, its redrives and its re-runs. The exit code is 0 when every line has succeeded
    /// and 3 when not. JSON: {version, complete, reconciliation: {run, lines, succeeded, failed,
    /// never_started, missing, duplicates, numbered, sources: [{run, kind, objects, bytes}], notes}},
    /// of which failed, never_started, missing and duplicates are {count, first: [{start, end}]}.
    Reconcile { run: String },
    /// Write the newest success of each line into one new file, in the order of the lines
    ///
    /// Over the run, its redrives and its re-runs, also where the run has failed and has no output.
    /// What is still open goes into a .failed.jsonl beside it. Nothing is ever overwritten; run
    /// again after a kill it writes the same file. The exit code is 3 when lines are open. JSON:
    /// {version, plan} with --dry-run, {version, file, plan} with --plan, else {version, merged:
    /// {output, failed, lines, succeeded, existed}}, places being {object: {bucket, key}} or {file}.
    Merge {
        run: String,
        /// Object as s3://BUCKET/KEY, or a file [default: an object beside the run's output]
        #[arg(long, value_name = "PLACE")]
        to: Option<String>,
        /// Show what would be read and written; change nothing
        #[arg(long)]
        dry_run: bool,
        /// Write the plan into a new file for `fanout apply`; change nothing
        #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
        plan: Option<PathBuf>,
    },
}

/// What makes the engine behave as AWS does on a bad day.
#[derive(Debug, Clone, Args)]
pub struct SwitchArgs {
    /// Throttle calls and state transitions as AWS does: none, aws-a (us-east-1, us-west-2,
    /// eu-west-1) or aws-b (other Regions)
    #[arg(long, default_value = "none")]
    pub throttle: Throttle,
    /// How old Describe and List answers are, as 2s or 500ms
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub delay: Duration,
    /// Let an operation fail, always or with a probability from 0 to 1: OPERATION=ERROR[:PROBABILITY]
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<Fault>,
}

#[derive(Debug, Subcommand)]
pub enum Engine {
    /// Serve the engine on this machine until interrupted; prints the endpoint
    ///
    /// JSON: {version, endpoint, region, data_dir}.
    Serve {
        /// Port on 127.0.0.1; 0 lets the system choose
        #[arg(long, default_value_t = 0)]
        port: u16,
        #[command(flatten)]
        switches: SwitchArgs,
    },
    /// Print export lines that point any AWS tool at the engine that is serving
    ///
    /// Use it as `eval "$(fanout local env)"`. JSON: {version, set, unset: [name]}.
    Env,
    /// Say whether an engine is serving, and where
    ///
    /// JSON: {version, serving, endpoint, data_dir, functions}.
    Status,
    /// Delete everything the engine keeps
    ///
    /// JSON: {version, emptied}.
    Reset,
    /// Serve the demo's lookup service until interrupted, for trying files of one's own; prints the
    /// URL to give as `request.url`
    ///
    /// A share of the names fails until it is repaired, by a POST to /repair. JSON: {version, url,
    /// repair_url}.
    Lookup {
        /// Share of names that fail, per cent
        #[arg(long, default_value_t = 2.0)]
        fail: f64,
        /// Which names fail: the same seed fails the same ones
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How long each answer takes, milliseconds
        #[arg(long, default_value_t = 0)]
        latency: u64,
        /// Port on 127.0.0.1; 0 lets the system choose
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
}

#[derive(Debug, Subcommand)]
pub enum Configuration {
    /// Print every setting with its value
    ///
    /// JSON: {version, file, config}.
    Show,
}

/// `5m`, `1h 30m`, `90s`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    let positive = parsed
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok());
    positive.ok_or_else(|| "give a time such as 90s, 5m or 2h".to_owned())
}

/// Lines such as `10-20`, `7` or `1000-`, numbered from 1.
fn span(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| 0 < *number);
    let (first, last) = match text.split_once('-') {
        None => (number(text), number(text)),
        Some((first, "")) => (number(first), Some(u64::MAX)),
        Some((first, last)) => (number(first), number(last)),
    };
    match (first, last) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("give lines such as 10-20, 7 or 1000-, counted from 1".to_owned()),
    }
}

/// `5` or `5%`, from 0 to 100.
fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.trim_end_matches('%').trim_end().parse().ok();
    number
        .filter(|share| (0.0..=100.0).contains(share))
        .ok_or_else(|| "give a share from 0 to 100, such as 5%".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| 0 < *number);
    number.ok_or_else(|| "give a number from 1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(span("10-20"), Ok(10..=20));
        assert_eq!(span("7"), Ok(7..=7));
        assert_eq!(span("9-"), Ok(9..=u64::MAX));
        for odd in [
            "",
            "0",
            "0-3",
            "5-4",
            "-3",
            "a",
            "1-2-3",
            "99999999999999999999",
        ] {
            assert!(span(odd).is_err(), "{odd}");
        }
    }

    fn parse(line: &str) -> Result<Cli, ErrorKind> {
        let words = std::iter::once("fanout").chain(line.split_whitespace());
        Cli::try_parse_from(words).map_err(|error| error.kind())
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_may_stand_before_and_after_the_verb() {
        for line in ["--json runs", "runs --json"] {
            assert!(parse(line).expect("fine").global.json, "{line}");
        }
        assert!(parse("").expect("the dashboard").verb.is_none());
        assert!(parse("redrive last --dry-run -y").is_ok());
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "runs --json --ndjson",
            "runs --local --profile a",
            "runs --config a --no-config",
            "start a --wait --dry-run",
        ] {
            assert_eq!(
                parse(line).map(|_| ()),
                Err(ErrorKind::ArgumentConflict),
                "{line}"
            );
        }
        assert_eq!(
            parse("limits last").map(|_| ()),
            Err(ErrorKind::MissingRequiredArgument)
        );
        assert!(parse("start").is_err() && parse("wait").is_err());
    }

    #[test]
    fn times_and_shares_are_read() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
        assert!(duration("soon").is_err() && duration("-5s").is_err());
        assert_eq!(percent("5%"), Ok(5.0));
        assert_eq!(percent("0.5 %"), Ok(0.5));
        for bad in ["", "%", "101", "-1", "nan"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
