//! Arguments and the headless verbs.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling;

use crate::config;
use crate::local::{self, lookup};
use crate::model::Limits;
use crate::tui;

mod about;
mod args;
mod change;
mod check;
pub mod complete;
mod demo;
mod deploy;
mod engine;
mod exit;
mod failures;
mod follow;
mod interrupt;
mod logs;
mod output;
mod outputs;
mod reconcile;
mod repair;
mod runs;
mod session;
mod start;
mod trail;
mod views;

pub use args::RELEASE;
use args::{Cli, Configuration, Engine, Global, Outputs, Verb};
use exit::{Error, Exit};
use interrupt::unless_stopped;
use output::{Output, report};
use outputs::Which;
use session::{Session, Way};

/// Days of log files that are kept.
const LOG_FILES: usize = 7;

/// Runs the program: parses arguments, opens the dashboard or does a verb.
pub async fn run() -> ExitCode {
    // Clap ends the program itself on --help, --version and wrong usage, which is code 2.
    let cli = Cli::parse();
    let _log = match log(&cli.global) {
        Ok(guard) => guard,
        Err(error) => {
            report(&error, cli.global.color);
            return error.exit.into();
        }
    };
    if let Err(problem) = tui::show_times_in(&cli.global.tz) {
        let error = Error::usage(format!("--tz: {problem}"));
        report(&error, cli.global.color);
        return error.exit.into();
    }
    let mut out = Output::stdout(&cli.global);
    let color = cli.global.color;
    match Box::pin(perform(cli, &mut out))
        .await
        .and_then(|exit| out.flush().map(|()| exit))
    {
        Ok(exit) => exit.into(),
        Err(error) => {
            report(&error, color);
            error.exit.into()
        }
    }
}

/// Writes the log to a file of today in the state folder. Without such a folder there is no log.
///
/// # Errors
/// `Usage` for a level that is none.
fn log(global: &Global) -> Result<Option<WorkerGuard>, Error> {
    let level: tracing::Level = global.log_level.parse().map_err(|_| {
        Error::usage(format!(
            "--log-level {}: give error, warn, info, debug or trace",
            global.log_level
        ))
    })?;
    let folder = config::state_dir().ok();
    let Some(folder) = folder.filter(|folder| local::make_private(folder).is_ok()) else {
        return Ok(None);
    };
    let appender = rolling::Builder::new()
        .rotation(rolling::Rotation::DAILY)
        .max_log_files(LOG_FILES)
        .filename_prefix("fanout")
        .filename_suffix("log")
        .build(folder);
    let Ok(appender) = appender else {
        return Ok(None);
    };
    let (writer, guard) = tracing_appender::non_blocking(appender);
    // Of our own program only: at these levels libraries log payloads.
    let filter = tracing_subscriber::EnvFilter::new(format!("fanout={level}"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(writer);
    // Fails where a caller has set one up already, which then is the log.
    let _ = subscriber.try_init();
    Ok(Some(guard))
}

async fn perform(cli: Cli, out: &mut Output) -> Result<Exit, Error> {
    let global = &cli.global;
    let Some(verb) = cli.verb else {
        return Box::pin(dashboard(global)).await;
    };
    // What needs no connection.
    match &verb {
        Verb::Demo(arguments) => return Box::pin(demo::run(arguments, global, out)).await,
        Verb::Local(verb) => {
            return match verb {
                Engine::Serve { port, switches } => {
                    engine::serve(global, *port, switches, out).await
                }
                Engine::Env => engine::env(global, out).await,
                Engine::Status => engine::status(global, out).await,
                Engine::Reset => engine::reset(global, out).await,
                Engine::Lookup {
                    fail,
                    seed,
                    latency,
                    port,
                } => {
                    let options = lookup::Options {
                        seed: *seed,
                        fail_percent: *fail,
                        latency: Duration::from_millis(*latency),
                        hang: lookup::HANG,
                    };
                    engine::lookup(options, *port, out).await
                }
            };
        }
        Verb::Trail { limit } => return trail::run(*limit, out),
        Verb::Deploy(arguments) => return deploy::run(arguments, global, out).await,
        Verb::Config(Configuration::Show) => return about::config(global, out),
        Verb::Completions { shell } => return about::completions(*shell, out),
        Verb::Man {
            out: Some(folder), ..
        } => return about::manual(folder),
        Verb::Man { verb, .. } => return about::man(verb.as_deref(), out),
        _ => {}
    }
    let interrupted = || Err(Error::new(Exit::Interrupted, "interrupted"));
    let Some(session) = unless_stopped(Box::pin(Session::open(global))).await else {
        return interrupted();
    };
    let session = session?;
    let done = unless_stopped(Box::pin(ask(&session, verb, global, out))).await;
    session.close().await;
    done.unwrap_or_else(interrupted)
}

/// The verbs that ask a target something.
async fn ask(
    session: &Session,
    verb: Verb,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    match verb {
        Verb::Start(arguments) => start::run(session, &arguments, global, out).await,
        Verb::Runs { limit } => runs::list(session, limit, out).await,
        Verb::Watch { run } => runs::watch(session, &run, out).await,
        Verb::Wait { runs, limit } => runs::wait(session, &runs, limit, out).await,
        Verb::Failures {
            run,
            attempts: true,
            ..
        } => repair::attempts(session, &run, out).await,
        Verb::Failures {
            run,
            group,
            limit,
            export,
            line,
            ..
        } => {
            let wanted = match (group, export, line) {
                (true, ..) => failures::Wanted::Groups,
                (_, Some(file), _) => failures::Wanted::File(file),
                (.., Some(line)) => failures::Wanted::Line(line),
                _ => failures::Wanted::List(limit),
            };
            failures::run(session, &run, wanted, out).await
        }
        Verb::Logs {
            run,
            follow,
            filter,
            state,
            request,
            limit,
        } => {
            let arguments = logs::Logs {
                run: &run,
                follow,
                pattern: request.map_or(filter, |id| format!("\"{id}\"")),
                state,
                limit,
            };
            logs::run(session, arguments, out).await
        }
        Verb::Redrive(arguments) => repair::redrive(session, &arguments, global, out).await,
        Verb::Rerun(arguments) => Box::pin(repair::rerun(session, &arguments, global, out)).await,
        Verb::Resume(arguments) => repair::resume(session, &arguments, global, out).await,
        Verb::Apply(arguments) => repair::apply(session, &arguments, global, out).await,
        Verb::Stop { run, cause } => {
            change::stop(session, &run, cause.as_deref(), global, out).await
        }
        Verb::Limits {
            run,
            concurrency,
            tolerate,
        } => {
            let limits = Limits {
                max_concurrency: concurrency,
                tolerated_percentage: tolerate,
                tolerated_count: None,
            };
            change::limits(session, &run, limits, global, out).await
        }
        Verb::Outputs(Outputs::Ls { run }) => outputs::ls(session, &run, out).await,
        Verb::Outputs(Outputs::Versions { run, file }) => {
            outputs::versions(session, &run, file.as_deref(), out).await
        }
        Verb::Outputs(Outputs::Cat {
            run,
            file,
            lines,
            version,
        }) => {
            let which = Which::new(file.as_deref(), version.as_deref());
            outputs::cat(session, &run, which, lines, out).await
        }
        Verb::Outputs(Outputs::Search { run, text, files }) => {
            outputs::search(session, &run, &text, &files, global, out).await
        }
        Verb::Outputs(Outputs::Link {
            run,
            file,
            expires,
            version,
        }) => {
            let which = Which::new(file.as_deref(), version.as_deref());
            outputs::link(session, &run, which, expires, out).await
        }
        Verb::Outputs(Outputs::Reconcile { run }) => {
            reconcile::reconcile(session, &run, global, out).await
        }
        Verb::Outputs(Outputs::Merge {
            run,
            to,
            dry_run,
            plan,
        }) => {
            let to = to.as_deref();
            match (plan, dry_run) {
                (Some(file), _) => reconcile::save(session, &run, to, &file, out).await,
                (None, true) => reconcile::plan(session, &run, to, out).await,
                (None, false) => reconcile::merge(session, &run, to, global, out).await,
            }
        }
        Verb::Outputs(Outputs::Get {
            run,
            files,
            to,
            version,
        }) => {
            let wanted = outputs::wanted(session, &run, &files, version.as_deref()).await?;
            outputs::get(session, &wanted, to.as_deref(), global, out).await
        }
        Verb::Machines => runs::machines(session, out).await,
        Verb::Check { name, input: true } => check::input(session, name.as_deref(), out).await,
        Verb::Check { name, .. } => check::run(session, name.as_deref(), out).await,
        Verb::Demo(_)
        | Verb::Local(_)
        | Verb::Config(_)
        | Verb::Deploy(_)
        | Verb::Trail { .. }
        | Verb::Completions { .. }
        | Verb::Man { .. } => Err(Error::usage("this verb asks no target")),
    }
}

async fn dashboard(global: &Global) -> Result<Exit, Error> {
    need_terminal(
        "the dashboard needs a terminal",
        "use a verb: see `fanout --help`",
    )?;
    let way = Way::find(global)?;
    let options = tui::Options {
        config: way.config.clone(),
        host_actions: Vec::new(),
        inputs: Vec::new(),
        looks: global.looks(),
        sessions: config::state_dir()
            .ok()
            .map(|folder| folder.join("sessions")),
        state: config::state_dir().ok(),
        trail: session::trail(),
    };
    let unusable = |error| Error::new(Exit::Service, format!("the terminal: {error}"));
    // Opening the engine or reading profiles may take a moment; what it is called is known before.
    let mut opening = tui::Opening::show(options, way.connection()).map_err(unusable)?;
    let opened = opening.until(Box::pin(way.open())).await;
    let Some(session) = opened.map_err(unusable)?.transpose()? else {
        return Ok(Exit::Done);
    };
    let engine = session.engine_opener();
    // Too large a future for the stack of its callers.
    let shown = Box::pin(opening.run(session.client.clone(), Some(engine))).await;
    session.close().await;
    shown.map_err(unusable)?;
    Ok(Exit::Done)
}

/// # Errors
/// `Usage` where no screen can be drawn.
fn need_terminal(what: &str, instead: &str) -> Result<(), Error> {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    match is_terminal && !dumb {
        true => Ok(()),
        false => Err(Error::usage(what).hint(instead)),
    }
}
