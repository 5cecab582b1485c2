//! Settings and a connection: what every verb that asks something begins with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::cli::args::Global;
use crate::cli::exit::Error;
use crate::cli::output::note;
use crate::client::{self, Client, Connection, Options, Target};
use crate::config::{self, Config, Loaded};
use crate::local::{self, Local};
use crate::model::{ExecutionArn, StateMachineArn};
use crate::operations::runs;
use crate::operations::trail::Trail;
use crate::tui::OpenEngine;

/// Settings of all layers, flags over them.
pub fn settings(global: &Global) -> Result<Loaded, Error> {
    let env = |name: &str| std::env::var(name).ok();
    let mut loaded = Config::load(global.config.as_deref(), global.no_config, env)?;
    apply_flags(&mut loaded.config, global);
    Ok(loaded)
}

fn apply_flags(config: &mut Config, global: &Global) {
    let given = |flag: &Option<String>| flag.clone().filter(|value| !value.is_empty());
    let names_aws =
        global.profile.is_some() || global.region.is_some() || global.endpoint_url.is_some();
    config.profile = given(&global.profile).or_else(|| config.profile.take());
    config.region = given(&global.region).or_else(|| config.region.take());
    config.endpoint_url = given(&global.endpoint_url).or_else(|| config.endpoint_url.take());
    config.local = global.local || (config.local && !names_aws);
    config.read_only |= global.read_only;
    if let Some(machine) = given(&global.machine) {
        config.machine = machine;
    }
    if let Some(folder) = &global.data_dir {
        config.data_dir = Some(folder.clone());
    }
}

/// Where to connect to, and why there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Aws,
    Engine,
    /// The engine, for want of anything that leads to AWS.
    EngineInstead,
}

/// `is_set` tells of environment variables, `exists` of files.
fn place(
    config: &Config,
    is_set: impl Fn(&str) -> bool,
    exists: impl Fn(&Path) -> bool,
    home: Option<&Path>,
) -> Place {
    if config.local {
        return Place::Engine;
    }
    let named = [&config.profile, &config.region, &config.endpoint_url]
        .into_iter()
        .any(Option::is_some);
    let from_environment = [
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
    ]
    .into_iter()
    .any(is_set);
    let from_files = home.is_some_and(|home| {
        [".aws/credentials", ".aws/config"]
            .iter()
            .any(|file| exists(&home.join(file)))
    });
    match named || from_environment || from_files {
        true => Place::Aws,
        false => Place::EngineInstead,
    }
}

/// A connection with the settings it was made from.
pub struct Session {
    pub config: Config,
    pub client: Client,
    local: Option<Local>,
    /// An engine that was opened after the start, to go there from AWS.
    opened: Arc<Mutex<Option<Local>>>,
}

/// Settings, and where they lead.
pub struct Way {
    pub config: Config,
    place: Place,
}

impl Way {
    /// Says so where the engine is used for want of anything else.
    pub fn find(global: &Global) -> Result<Self, Error> {
        let way = Self::of(settings(global)?.config);
        if way.place == Place::EngineInstead {
            note("no AWS credentials found: using the embedded engine on this machine (LOCAL)");
        }
        Ok(way)
    }

    fn of(config: Config) -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let place = place(&config, is_set, std::path::Path::exists, home.as_deref());
        Self { config, place }
    }

    /// What a screen says of the connection before there is one: as much as the settings tell.
    pub fn connection(&self) -> Connection {
        let config = &self.config;
        if self.place != Place::Aws {
            return engine_connection(config);
        }
        let label = config.profile.clone().or_else(client::profile_in_force);
        let label = label.unwrap_or_else(|| "default".to_owned());
        let given = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
        let region = config.region.clone().or_else(|| given("AWS_REGION"));
        let region = region.or_else(|| given("AWS_DEFAULT_REGION"));
        Connection {
            read_only: config.is_read_only(&label),
            label,
            // The profile's own, which nobody has read yet.
            region: region.unwrap_or_else(|| "…".to_owned()),
            local: false,
        }
    }

    /// Connects; starts the embedded engine where that is the target.
    pub async fn open(self) -> Result<Session, Error> {
        match self.place {
            Place::Aws => Session::aws(self.config).await,
            Place::Engine | Place::EngineInstead => Session::engine(self.config).await,
        }
    }
}

/// What the embedded engine is called, open or not.
pub fn engine_connection(config: &Config) -> Connection {
    Connection {
        label: "LOCAL".to_owned(),
        region: local::REGION.to_owned(),
        local: true,
        read_only: config.read_only,
    }
}

impl Session {
    /// Connects to where settings and flags lead.
    pub async fn open(global: &Global) -> Result<Self, Error> {
        Way::find(global)?.open().await
    }

    /// Where settings and flags lead, if somebody answers there: starts no engine, says nothing.
    pub async fn if_reachable(global: &Global) -> Option<Self> {
        let way = Way::of(settings(global).ok()?.config);
        if way.place == Place::Aws {
            return Self::aws(way.config).await.ok();
        }
        let target = local::find(&way.config.engine_dir().ok()?).await?;
        let client = Client::connect(target, options(&way.config)).await.ok()?;
        Some(Self {
            config: way.config,
            client,
            local: None,
            opened: Arc::default(),
        })
    }

    async fn aws(config: Config) -> Result<Self, Error> {
        let target = Target::Aws {
            profile: config.profile.clone(),
            region: config.region.clone(),
            endpoint_url: config.endpoint_url.clone(),
        };
        let profile = config.profile.clone().or_else(client::profile_in_force);
        let options = Options {
            read_only: config.is_read_only(profile.as_deref().unwrap_or("default")),
            ..options(&config)
        };
        let client = Client::connect(target, options).await?;
        Ok(Self {
            config,
            client,
            local: None,
            opened: Arc::default(),
        })
    }

    async fn engine(config: Config) -> Result<Self, Error> {
        let local = start_engine(&config).await?;
        Self::on(config, local).await
    }

    /// Opens the embedded engine when it is wanted; it stays open as long as the session.
    pub fn engine_opener(&self) -> OpenEngine {
        let here = self.local.as_ref().map(Local::target);
        let (config, opened) = (self.config.clone(), Arc::clone(&self.opened));
        Arc::new(move || {
            let (here, config, opened) = (here.clone(), config.clone(), Arc::clone(&opened));
            Box::pin(async move {
                if let Some(target) = here {
                    return Ok(target);
                }
                let mut opened = opened.lock().await;
                if let Some(local) = &*opened {
                    return Ok(local.target());
                }
                let local = start_engine(&config).await.map_err(|it| it.text)?;
                let target = local.target();
                *opened = Some(local);
                Ok(target)
            })
        })
    }

    /// A session with an engine that is there already.
    pub async fn on(config: Config, local: Local) -> Result<Self, Error> {
        let client = Client::connect(local.target(), options(&config)).await?;
        Ok(Self {
            config,
            client,
            local: Some(local),
            opened: Arc::default(),
        })
    }

    /// Whether what runs stops with this process, until fanout opens the folder again.
    pub fn owns_engine(&self) -> bool {
        self.local.as_ref().is_some_and(Local::is_ours)
    }

    /// What becomes of a run that nobody waits for any longer.
    pub fn what_goes_on(&self) -> &'static str {
        match self.owns_engine() {
            true => "the run goes on when fanout next opens this engine",
            false => "the run goes on",
        }
    }

    /// A command that asks the same target about these.
    pub fn command(&self, verb: &str, executions: &[ExecutionArn]) -> String {
        let mut command = format!("fanout {verb}");
        for arn in executions {
            command += " ";
            command += &client::shell_word(arn.as_str());
        }
        let config = &self.config;
        if config.local {
            command += " --local";
        }
        let folder = config.data_dir.as_ref().map(|it| it.display().to_string());
        for (flag, value) in [
            (" --profile ", config.profile.as_ref()),
            (" --region ", config.region.as_ref()),
            (" --endpoint-url ", config.endpoint_url.as_ref()),
            (" --data-dir ", folder.as_ref()),
        ] {
            if let Some(value) = value {
                command += flag;
                command += &client::shell_word(value);
            }
        }
        command
    }

    pub async fn machine(&self) -> Result<StateMachineArn, Error> {
        Ok(runs::machine(&self.client, &self.config.machine).await?)
    }

    /// The execution that the user means by `run`.
    pub async fn find(&self, run: &str) -> Result<ExecutionArn, Error> {
        // An ARN names its state machine itself.
        let machine = match run.starts_with("arn:") {
            true => ExecutionArn::new(run).state_machine(),
            false => self.machine().await?,
        };
        Ok(runs::find(&self.client, &machine, run).await?)
    }

    pub async fn close(self) {
        if let Some(local) = self.local {
            local.stop().await;
        }
        if let Some(local) = self.opened.lock().await.take() {
            local.stop().await;
        }
    }
}

async fn start_engine(config: &Config) -> Result<Local, Error> {
    let folder = config.engine_dir()?;
    let options = local::Options {
        functions: config.functions.clone(),
        ..local::Options::default()
    };
    Ok(Local::start(&folder, &config.bucket, options).await?)
}

/// Where changes are told; without a home there is no such place.
pub fn trail() -> Option<client::Trail> {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    let state = config::state_dir().ok()?;
    let user = user.or_else(user_name);
    Some(Trail::new(&state).taker(user.unwrap_or_else(|| "unknown".to_owned())))
}

/// What the system calls whoever runs this, as cron and containers do not say it.
fn user_name() -> Option<String> {
    let told = std::process::Command::new("id").arg("-un").output().ok()?;
    let name = String::from_utf8(told.stdout).ok()?;
    let name = name.trim();
    (told.status.success() && !name.is_empty()).then(|| name.to_owned())
}

fn options(config: &Config) -> Options {
    Options {
        read_only: config.read_only,
        budget_share: config.budget_share,
        trail: trail(),
        shared_in: config::state_dir().ok().map(|folder| folder.join("budget")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::Cli;

    fn config(flags: &[&str], config: Config) -> Config {
        let mut config = config;
        let words = std::iter::once(&"fanout").chain(flags);
        let cli = Cli::try_parse_from(words).expect("flags");
        apply_flags(&mut config, &cli.global);
        config
    }

    fn place_of(config: &Config, set: &[&str], files: &[&str]) -> Place {
        let home = Path::new("/home/a");
        place(
            config,
            |name| set.contains(&name),
            |file| files.iter().any(|known| file == home.join(known)),
            Some(home),
        )
    }

    #[test]
    fn without_anything_of_aws_the_engine_is_used() {
        let plain = config(&[], Config::default());
        assert_eq!(place_of(&plain, &[], &[]), Place::EngineInstead);
        assert_eq!(place_of(&plain, &["AWS_ACCESS_KEY_ID"], &[]), Place::Aws);
        assert_eq!(place_of(&plain, &[], &[".aws/config"]), Place::Aws);
        let local = config(&["--local"], Config::default());
        assert_eq!(
            place_of(&local, &["AWS_PROFILE"], &[".aws/config"]),
            Place::Engine
        );
        let endpoint = config(&["--endpoint-url", "http://127.0.0.1:1"], Config::default());
        assert_eq!(place_of(&endpoint, &[], &[]), Place::Aws);
    }

    #[test]
    fn a_flag_overrides_what_the_file_says() {
        let file = || Config {
            local: true,
            region: Some("eu-west-1".to_owned()),
            read_only: true,
            ..Config::default()
        };
        let kept = config(&[], file());
        assert!(kept.local && kept.read_only);
        let flags = ["--profile", "prod", "--machine", "m", "--data-dir", "/d"];
        let over = config(&flags, file());
        assert!(!over.local && over.read_only);
        assert_eq!(over.profile.as_deref(), Some("prod"));
        assert_eq!(over.region.as_deref(), Some("eu-west-1"));
        assert_eq!(
            (over.machine.as_str(), over.data_dir),
            ("m", Some(PathBuf::from("/d")))
        );
    }
}
