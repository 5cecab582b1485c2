//! `demo`: a run that fails, is repaired and heals, and one that ends PART, on this machine.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::cli::args::{Demo, Global};
use crate::cli::engine;
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Output, note};
use crate::cli::session::{Session, engine_connection, settings};
use crate::client::Client;
use crate::config::Config;
use crate::local::lookup::{self, Lookup};
use crate::local::{self, Local, sample};
use crate::model::ExecutionArn;
use crate::operations::start::{self, Request, Source};
use crate::tui;

mod headless;

/// How fast the service and the map are.
#[derive(Clone, Copy)]
struct Pace {
    latency: Duration,
    concurrency: u32,
}

/// Half a minute for the sample: something to look at.
const TO_WATCH: Pace = Pace {
    latency: Duration::from_millis(250),
    concurrency: 12,
};
const TO_CHECK: Pace = Pace {
    latency: Duration::from_millis(2),
    concurrency: 100,
};

/// Seconds after which the worker no longer waits for the service.
const PATIENCE: u32 = 1;
/// The output line of each line, which begins with it.
const OUTPUT_LINE: &str = "{line} = {response.code}";
/// How much calmer the second run's service is, which ends PART.
const CALMER: f64 = 4.0;
/// Per cent: wide enough for any calm service.
const WIDE_TOLERANCE: f64 = 50.0;

/// What there is at once: settings, and services that listen.
struct Plan {
    config: Config,
    folder: PathBuf,
    /// Of the run that fails, and of the one that ends PART.
    services: [Arc<Lookup>; 2],
    lines: usize,
    pace: Pace,
}

/// The engine, the services and the file of one demo.
struct Stage {
    session: Session,
    services: [Arc<Lookup>; 2],
    folder: PathBuf,
    file: PathBuf,
    lines: Vec<String>,
    pace: Pace,
}

pub async fn run(arguments: &Demo, global: &Global, out: &mut Output) -> Result<Exit, Error> {
    if arguments.headless {
        let stage = Plan::new(arguments, global, TO_CHECK).await?.set().await?;
        let report = headless::run(&stage, out).await;
        stage.session.close().await;
        return report.map(|()| Exit::Done);
    }
    crate::cli::need_terminal("demo opens the dashboard", "use `fanout demo --headless`")?;
    let plan = Plan::new(arguments, global, TO_WATCH).await?;
    let unusable = |error| Error::new(Exit::Service, format!("the terminal: {error}"));
    let opening = tui::Opening::show(
        plan.options(global.looks()),
        engine_connection(&plan.config),
    );
    let mut opening = opening.map_err(unusable)?;
    let begun = opening.until(Box::pin(plan.begin())).await;
    let Some((stage, runs)) = begun.map_err(unusable)?.transpose()? else {
        return Ok(Exit::Done);
    };
    let shown = stage.show(opening, runs).await;
    stage.session.close().await;
    shown
}

/// The run that fails, and the one that ends PART.
struct Runs {
    failing: ExecutionArn,
    part: ExecutionArn,
}

impl Plan {
    async fn new(arguments: &Demo, global: &Global, pace: Pace) -> Result<Self, Error> {
        let config = settings(global)?.config;
        let folder = local::demo_folder(&config.engine_dir()?);
        // The shipped machine on its own engine, whatever else is configured.
        let config = Config {
            data_dir: Some(folder.clone()),
            read_only: false,
            machine: Config::default().machine,
            ..config
        };
        let options = lookup::Options {
            seed: arguments.seed,
            fail_percent: arguments.fail,
            latency: pace.latency,
            hang: lookup::HANG,
        };
        let calm = lookup::Options {
            fail_percent: arguments.fail / CALMER,
            ..options
        };
        let lines = arguments.lines.map_or(sample::len(), |it| it as usize);
        Ok(Self {
            config,
            folder,
            services: [service(options).await?, service(calm).await?],
            lines,
            pace,
        })
    }

    /// The dashboard, with the services for its keys and forms.
    fn options(&self, looks: tui::Looks) -> tui::Options {
        let (here, there) = (self.services.clone(), self.services.clone());
        let repair = tui::HostAction {
            key: '!',
            title: "repair the lookup service",
            run: Arc::new(move || repair(&here)),
            is_spent: Arc::new(move || there.iter().all(|it| it.is_repaired())),
        };
        tui::Options {
            config: self.config.clone(),
            host_actions: vec![repair],
            inputs: self.services.iter().map(|it| Stage::offer(it)).collect(),
            looks,
            sessions: None,
            state: None,
            trail: None,
        }
    }

    /// Opens the engine and writes the file.
    async fn set(self) -> Result<Stage, Error> {
        engine::empty(&self.folder).await?;
        // A file of the user's own, started from the dashboard, asks the calm one.
        let serving = local::Options {
            default_url: Some(self.services[1].url_template()),
            ..local::Options::default()
        };
        let local = Local::start(&self.folder, &self.config.bucket, serving).await?;
        if !local.is_ours() {
            return Err(Error::refused("another demo is running: end it first"));
        }
        let session = Session::on(self.config, local).await?;
        let files = self.folder.join("files");
        fs::create_dir_all(&files).map_err(|error| unusable(&files, &error))?;
        let lines: Vec<String> = sample::lines(self.lines).collect();
        let file = files.join("places.txt");
        write_lines(&file, &lines).map_err(|error| unusable(&file, &error))?;
        Ok(Stage {
            session,
            services: self.services,
            folder: files,
            file,
            lines,
            pace: self.pace,
        })
    }

    /// The same, and starts both runs.
    async fn begin(self) -> Result<(Stage, Runs), Error> {
        let stage = self.set().await?;
        match stage.start_both().await {
            Ok(runs) => Ok((stage, runs)),
            Err(error) => {
                stage.session.close().await;
                Err(error)
            }
        }
    }
}

impl Stage {
    /// Numbers of the lines that fail until the repair, from 1.
    fn failing(&self, service: &Lookup) -> Vec<u64> {
        (1..)
            .zip(&self.lines)
            .filter(|(_, line)| service.fails(line))
            .map(|(number, _)| number)
            .collect()
    }

    /// Half of what will fail, so that the run fails, and later than with the first failure.
    fn narrow_tolerance(&self) -> f64 {
        let failing = self.failing(&self.services[0]).len();
        (failing as f64 * 100.0 / self.lines.len().max(1) as f64 / 2.0).floor()
    }

    async fn start(&self, service: &Lookup, tolerate: f64) -> Result<ExecutionArn, Error> {
        let request = Request {
            source: Source::File(self.file.clone()),
            machine: self.session.machine().await?,
            bucket: self.session.config.bucket.clone(),
            name: None,
            input: self.input(service, tolerate),
            template: None,
            today: String::new(),
        };
        let plan = start::plan(&self.session.client, request).await?;
        let started = start::run(&self.session.client, &plan, None, |_| {}).await?;
        Ok(started.execution)
    }

    /// What a file of the user's own is given, so that it asks one of the services.
    fn offer(service: &Lookup) -> String {
        json!({"request": {"url": service.url_template(), "timeoutSeconds": PATIENCE}}).to_string()
    }

    fn input(&self, service: &Lookup, tolerate: f64) -> Value {
        json!({
            "request": {"url": service.url_template(), "timeoutSeconds": PATIENCE},
            "output": {"line": OUTPUT_LINE},
            "tolerate": tolerate,
            "concurrency": self.pace.concurrency,
        })
    }

    async fn start_both(&self) -> Result<Runs, Error> {
        let part = self.start(&self.services[1], WIDE_TOLERANCE).await?;
        let failing = self.start(&self.services[0], self.narrow_tolerance());
        Ok(Runs {
            failing: failing.await?,
            part,
        })
    }

    /// Goes on with the dashboard, on the run that fails.
    async fn show(&self, mut opening: tui::Opening, runs: Runs) -> Result<Exit, Error> {
        let Runs { failing, part } = runs;
        let repairing = tokio::spawn(repair_once_redriven(
            self.session.client.polling(),
            failing.clone(),
            self.services.clone(),
        ));
        let own = [&failing, &part].map(|it| it.name().to_owned());
        opening.stage(failing.name(), own.into());
        // Too large a future for the stack of its callers.
        let shown = Box::pin(opening.run(self.session.client.clone(), None)).await;
        repairing.abort();
        shown.map_err(|error| Error::new(Exit::Service, format!("the terminal: {error}")))?;
        note(format!(
            "the demo's runs, {} and {}, end here; `fanout demo` begins anew",
            failing.name(),
            part.name()
        ));
        Ok(Exit::Done)
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Error {
    Error::refused(format!("{}: {error}", path.display()))
}

async fn service(options: lookup::Options) -> Result<Arc<Lookup>, Error> {
    let started = Lookup::start(options, 0).await;
    started
        .map(Arc::new)
        .map_err(|error| Error::new(Exit::Service, format!("the lookup service: {error}")))
}

fn write_lines(path: &Path, lines: &[String]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.flush()
}

fn repair(services: &[Arc<Lookup>]) -> String {
    if services.iter().all(|service| service.is_repaired()) {
        return "the lookup service is repaired already".to_owned();
    }
    let failed: u64 = services.iter().map(|service| service.counts().failed).sum();
    for service in services {
        service.repair();
    }
    format!("the lookup service is repaired, after {failed} failed requests: redrive with r")
}

/// Who redrives without the key is not made to wonder why it fails again.
async fn repair_once_redriven(client: Client, execution: ExecutionArn, services: [Arc<Lookup>; 2]) {
    loop {
        // The stream ends with the execution, and a redrive begins it anew.
        let mut snapshots = client.watch_execution(execution.clone());
        while let Some(snapshot) = snapshots.next().await {
            if snapshot.is_ok_and(|detail| 0 < detail.execution.redrive_count) {
                repair(&services);
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
