//! Engine and workflow together on 127.0.0.1, as a target for `Client`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use crate::client::{self, Client, Target};
use crate::config;
/// The Region that the embedded engine says it is in.
pub use crate::engine::REGION;
use crate::engine::functions::{self, Source};
use crate::engine::{self, ACCOUNT, Endpoint, Engine, FunctionError};
use crate::workflow::{self, Context};

pub use crate::engine::switches::{Fault, Switches, Throttle};

pub mod lookup;
pub mod sample;

/// Where a serving engine says how it is reached.
const ENDPOINT_FILE: &str = "engine.json";
/// Marks a folder as made by us, which alone may be emptied.
const MARK: &str = ".fanout";
/// How long another process may take from locking a folder to answering, and ours to stop.
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// A local engine in use: ours, or another process's that already serves the folder.
pub struct Local {
    target: Target,
    ours: Option<Serving>,
}

/// How to serve.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Port on 127.0.0.1; 0 lets the system choose.
    pub port: u16,
    /// `request.url` of executions whose input has none.
    pub default_url: Option<String>,
    /// Functions besides the workflow's, by name. One of the same name takes its place.
    pub functions: BTreeMap<String, config::Function>,
    /// On from the first call of somebody else.
    pub switches: Switches,
}

struct Serving {
    address: SocketAddr,
    shutdown: CancellationToken,
    /// Keeps the folder locked.
    engine: Engine,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
    #[error(transparent)]
    Client(#[from] crate::client::Error),
    #[error("{0}")]
    Other(String),
}

impl Error {
    fn folder(folder: &Path, error: &io::Error) -> Self {
        Self::Other(format!("{}: {error}", folder.display()))
    }
}

impl Local {
    /// Opens the engine in `folder`, registers the workflow's handlers, creates bucket and state
    /// machine (updates the machine when the shipped definition changed), and serves. When another
    /// process serves the folder, becomes its client instead.
    pub async fn start(folder: &Path, bucket: &str, options: Options) -> Result<Self, Error> {
        make_folder(folder)?;
        let engine = match Engine::open(folder).await {
            Ok(engine) => engine,
            Err(in_use @ engine::Error::InUse { .. }) => {
                return join(folder, bucket, in_use).await;
            }
            Err(error) => return Err(error.into()),
        };
        let context = register_functions(&engine);
        for (name, function) in options.functions {
            let settings = settings(function);
            engine.functions().register_external(&name, settings);
        }
        let shutdown = CancellationToken::new();
        let address = engine.serve(options.port, shutdown.clone()).await?;
        let credentials = engine.credentials();
        let local = Self {
            target: Target::Endpoint {
                url: format!("http://{address}"),
                region: REGION.to_owned(),
                access_key: credentials.access_key.clone(),
                secret_key: credentials.secret_key.clone(),
            },
            ours: Some(Serving {
                address,
                shutdown,
                engine,
            }),
        };
        let client = connect(&local.target).await?;
        let handlers = Context::new(client.clone());
        let handlers = match options.default_url {
            Some(url) => handlers.with_default_url(url),
            None => handlers,
        };
        // Set once, here: calls that a restart makes again wait for it.
        let _ = context.set(handlers);
        client.create_bucket(bucket).await?;
        deploy(&client).await?;
        if let Some(serving) = &local.ours {
            serving.engine.runner().set_switches(options.switches);
        }
        Ok(local)
    }

    pub fn target(&self) -> Target {
        self.target.clone()
    }

    /// Whether the engine runs in this process.
    pub fn is_ours(&self) -> bool {
        self.ours.is_some()
    }

    /// Stops serving and waits for what is under way; does nothing when it is not ours.
    pub async fn stop(self) {
        let Some(serving) = self.ours else { return };
        serving.shutdown.cancel();
        let closed = async {
            while TcpStream::connect(serving.address).await.is_ok() {
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
        };
        // What does not end in time goes on when the folder is opened next.
        let _ = tokio::time::timeout(PATIENCE, closed).await;
        let _ = tokio::time::timeout(PATIENCE, serving.engine.stop()).await;
    }
}

/// The engine that serves `folder` now, if one does and answers.
pub async fn find(folder: &Path) -> Option<Target> {
    let target = endpoint(folder)?;
    let client = connect(&target).await.ok()?;
    client.state_machines().await.ok()?;
    Some(target)
}

/// The functions of the engine that serves `folder`, as it wrote them down when it began to.
pub fn functions(folder: &Path) -> BTreeMap<String, String> {
    let endpoint = engine::endpoint(folder).ok();
    endpoint.map(|it| it.functions).unwrap_or_default()
}

/// Deletes everything that the engine keeps in `folder`. A folder that we did not make is left
/// alone, as are folders of other engines inside.
///
/// # Errors
/// `Engine` when the folder is in use, `Other` when it is not ours to empty.
pub async fn reset(folder: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::folder(folder, &error)),
    };
    if !folder.join(MARK).is_file() {
        return Err(Error::Other(format!(
            "{} was not made by fanout: delete it yourself if you are sure",
            folder.display()
        )));
    }
    // A damaged store is a good reason for a reset; only a folder in use is none against it.
    if let Err(in_use @ engine::Error::InUse { .. }) = Engine::open(folder).await {
        return Err(in_use.into());
    }
    for entry in entries {
        let entry = entry.map_err(|error| Error::folder(folder, &error))?;
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = match is_folder {
            true if path.join(MARK).exists() => Ok(()),
            true => fs::remove_dir_all(&path),
            false if entry.file_name() == MARK => Ok(()),
            false => fs::remove_file(&path),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::folder(&path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes the folder, for its owner only, and marks it as ours when there is nothing in it yet.
fn make_folder(folder: &Path) -> Result<(), Error> {
    let fail = |error: io::Error| Error::folder(folder, &error);
    make_private(folder).map_err(fail)?;
    let is_empty = fs::read_dir(folder).map_err(fail)?.next().is_none();
    if is_empty {
        fs::write(folder.join(MARK), "made by fanout for its engine\n").map_err(fail)?;
    }
    Ok(())
}

/// Makes a folder that only its owner can look into. One that exists stays as it is.
pub fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn endpoint(folder: &Path) -> Option<Target> {
    let text = fs::read(folder.join(ENDPOINT_FILE)).ok()?;
    let endpoint: Endpoint = serde_json::from_slice(&text).ok()?;
    Some(Target::Endpoint {
        url: endpoint.url,
        region: endpoint.region,
        access_key: endpoint.credentials.access_key,
        secret_key: endpoint.credentials.secret_key,
    })
}

async fn join(folder: &Path, bucket: &str, in_use: engine::Error) -> Result<Local, Error> {
    // The other process may have locked the folder a moment ago and not serve it yet.
    let answering = async {
        loop {
            if let Some(target) = find(folder).await {
                return target;
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    };
    let Ok(target) = tokio::time::timeout(PATIENCE, answering).await else {
        return Err(Error::Other(format!(
            "{in_use} and that does not answer: stop it, or choose another folder with --data-dir"
        )));
    };
    connect(&target).await?.create_bucket(bucket).await?;
    Ok(Local { target, ours: None })
}

async fn connect(target: &Target) -> Result<Client, client::Error> {
    let options = client::Options {
        read_only: false,
        budget_share: 1.0,
        trail: None,
        shared_in: None,
    };
    Client::connect(target.clone(), options).await
}

/// Registers the handlers. They wait for the context, which needs the address that is only known
/// once the engine serves, and by then it goes on with what it was at.
fn register_functions(engine: &Engine) -> Arc<SetOnce<Context>> {
    let context: Arc<SetOnce<Context>> = Arc::default();
    for function in workflow::FUNCTIONS {
        let context = Arc::clone(&context);
        engine.functions().register(function, move |event| {
            let context = Arc::clone(&context);
            Box::pin(async move { invoke(context.wait().await, function, event).await })
        });
    }
    context
}

/// A function of the settings, as the engine takes it.
fn settings(function: config::Function) -> functions::Settings {
    let source = match function.code {
        config::Code::Url { url } => Source::Url(url),
        config::Code::Program(program) => Source::Command(functions::Program {
            command: program.command,
            folder: program.folder,
            handler: program.handler,
            memory: program.memory,
            instances: program.instances.unwrap_or_else(usual_instances),
            environment: program.environment,
        }),
    };
    functions::Settings {
        source,
        timeout: Duration::from_secs(function.timeout),
        reserved: function.concurrency,
    }
}

/// Processes of a function: AWS starts as many as there are calls, this machine has so many cores.
fn usual_instances() -> usize {
    2 * std::thread::available_parallelism().map_or(2, usize::from)
}

async fn invoke(context: &Context, function: &str, event: Value) -> Result<Value, FunctionError> {
    workflow::handle(context, function, event)
        .await
        .map_err(|error| FunctionError {
            error_type: error.name.to_owned(),
            message: error.message,
        })
}

/// Creates the shipped state machine, or updates it when it differs from what we ship by now.
async fn deploy(client: &Client) -> Result<(), client::Error> {
    let machines = client.state_machines().await?;
    let Some(there) = machines
        .iter()
        .find(|machine| machine.name == workflow::NAME)
    else {
        let role = format!("arn:aws:iam::{ACCOUNT}:role/{}", workflow::NAME);
        client
            .create_state_machine(workflow::NAME, workflow::DEFINITION, &role)
            .await?;
        return Ok(());
    };
    let deployed = client.state_machine(&there.arn).await?;
    match same_json(&deployed.definition, workflow::DEFINITION) {
        true => Ok(()),
        false => {
            client
                .update_state_machine(&there.arn, workflow::DEFINITION)
                .await
        }
    }
}

fn same_json(a: &str, b: &str) -> bool {
    let parsed = |text| serde_json::from_str::<Value>(text).ok();
    a == b || parsed(a).is_some_and(|a| Some(a) == parsed(b))
}

/// Folder of the demo's engine beside the user's own.
pub fn demo_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("demo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_that_was_empty_is_marked() {
        let parent = tempfile::tempdir().expect("a folder");
        let fresh = parent.path().join("a/b");
        make_folder(&fresh).expect("made");
        assert!(fresh.join(MARK).is_file());
        let theirs = parent.path().join("theirs");
        fs::create_dir(&theirs).expect("made");
        fs::write(theirs.join("thesis.txt"), "years of work").expect("a file");
        make_folder(&theirs).expect("there");
        assert!(!theirs.join(MARK).exists());
    }

    #[tokio::test]
    async fn a_folder_of_somebody_else_is_not_emptied() {
        let theirs = tempfile::tempdir().expect("a folder");
        fs::write(theirs.path().join("thesis.txt"), "years of work").expect("a file");
        let error = reset(theirs.path()).await.expect_err("not ours");
        assert!(error.to_string().contains("was not made by fanout"));
        assert!(theirs.path().join("thesis.txt").exists());
        assert!(reset(&theirs.path().join("none")).await.is_ok());
    }

    #[test]
    fn definitions_are_compared_by_meaning() {
        assert!(same_json(r#"{"a":1,"b":2}"#, "{ \"b\": 2, \"a\": 1 }"));
        assert!(!same_json(r#"{"a":1}"#, r#"{"a":2}"#));
        assert!(!same_json("x", "y"));
    }
}
