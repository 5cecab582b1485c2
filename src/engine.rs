//! AWS Step Functions on this machine: Amazon States Language with Distributed Map, durable,
//! behind the AWS wire protocols on the loopback. Shares no Rust type with `client`.
//!
//! In reading order: [`definition`] text → checked definition, [`query`] what a field may hold
//! and how it is evaluated ([`path`] JSONPath, [`jsonata`]),
//! [`machine`] one step of an execution (pure), [`map_run`] children of a Distributed Map,
//! [`state_machines`] revisions, versions and aliases, [`disk`] how anything gets durable,
//! [`store`] what is few and durable, [`runner`] performs commands, [`integrations`] what Tasks
//! call, [`functions`] what a Lambda ARN runs, [`objects`] S3's storage, [`logs`] CloudWatch Logs'
//! storage, [`logging`] what executions write there, [`api`] the wire.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub mod api;
mod blocked;
pub mod definition;
mod digest;
pub mod disk;
pub mod functions;
mod hex;
pub mod integrations;
pub mod jsonata;
pub mod logging;
pub mod logs;
pub mod machine;
pub mod map_run;
pub mod objects;
pub mod path;
pub mod query;
pub mod runner;
pub mod state_machines;
pub mod store;
pub mod switches;

use disk::Disk;
pub use functions::{FunctionError, Functions};
use logs::Logs;
use objects::Objects;
use runner::{Clock, Runner};
use store::Store;

/// Region of everything the engine holds.
pub const REGION: &str = "us-east-1";
/// Account of everything the engine holds.
pub const ACCOUNT: &str = "000000000000";

/// What a caller must sign with (SigV4).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: String,
}

/// Why the engine could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process owns the folder.
    #[error("{path} is in use by another process (pid {pid})")]
    InUse { path: PathBuf, pid: String },
    #[error("{path}: {problem}")]
    Store { path: PathBuf, problem: String },
}

impl From<store::StoreError> for Error {
    fn from(error: store::StoreError) -> Self {
        Self::Store {
            path: error.path,
            problem: error.problem,
        }
    }
}

/// A handle; clones share one engine.
#[derive(Clone)]
pub struct Engine {
    runner: Runner,
    disk: Disk,
    credentials: Arc<Credentials>,
    folder: Arc<PathBuf>,
    /// Held as long as the engine lives; the system lets go of it when the process ends.
    lock: Arc<File>,
}

/// What `engine.json` holds while an engine serves the folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    pub region: String,
    #[serde(flatten)]
    pub credentials: Credentials,
    pub pid: u32,
    /// What its functions are, by name.
    #[serde(default)]
    pub functions: BTreeMap<String, String>,
}

/// Names of what is in the folder.
const LOCK: &str = "engine.lock";
const ENDPOINT: &str = "engine.json";
const CREDENTIALS: &str = "credentials.json";

impl Engine {
    /// Takes the folder's lock and opens what was there; goes on with it once [`Engine::serve`] is
    /// called. Register functions before that.
    ///
    /// # Errors
    /// `InUse` when another process has the folder; `Store` for anything unreadable in it.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        Self::open_on(Disk::default(), folder).await
    }

    async fn open_on(disk: Disk, folder: &Path) -> Result<Self, Error> {
        let folder = folder.to_owned();
        let opening = tokio::task::spawn_blocking(move || Self::open_blocking(disk, &folder));
        opening.await.unwrap_or_else(|error| {
            Err(Error::Store {
                path: PathBuf::new(),
                problem: error.to_string(),
            })
        })
    }

    fn open_blocking(disk: Disk, folder: &Path) -> Result<Self, Error> {
        let fail = |path: &Path, error: &dyn std::fmt::Display| {
            Error::from(store::StoreError::of(path, error))
        };
        let map_runs = folder.join("map_runs");
        disk.create_folder(&map_runs)
            .and_then(|()| disk.sync_folder(folder))
            .map_err(|error| fail(folder, &error))?;
        let lock = lock(folder)?;
        let objects = folder.join("objects");
        let objects = Objects::open_on(&disk, &objects).map_err(|error| fail(&objects, &error))?;
        let store = Store::open(&disk, folder)?;
        let credentials =
            credentials(&disk, folder).map_err(|error| fail(&folder.join(CREDENTIALS), &error))?;
        let clock = Arc::<Clock>::default();
        let logs = folder.join("logs");
        let logs = Logs::open(&logs, Arc::clone(&clock)).map_err(|error| fail(&logs, &error))?;
        let functions = Functions::new(logs.clone(), Arc::clone(&clock));
        let folder = folder.to_owned();
        let runner = Runner::new(
            store,
            objects,
            functions,
            logs,
            clock,
            disk.clone(),
            folder.clone(),
        );
        let engine = Self {
            runner,
            disk,
            credentials: Arc::new(credentials),
            folder: Arc::new(folder),
            lock: Arc::new(lock),
        };
        engine.answer_tasks();
        Ok(engine)
    }

    /// Lets Tasks call Step Functions' operations as the wire answers them. What the runner keeps
    /// for that holds no runner, so that nothing keeps the folder after the last engine is gone.
    fn answer_tasks(&self) {
        let (disk, credentials) = (self.disk.clone(), Arc::clone(&self.credentials));
        let (folder, lock) = (Arc::clone(&self.folder), Arc::clone(&self.lock));
        self.runner
            .answer_with(Box::new(move |runner, operation, request, origin| {
                let engine = Self {
                    runner,
                    disk: disk.clone(),
                    credentials: Arc::clone(&credentials),
                    folder: Arc::clone(&folder),
                    lock: Arc::clone(&lock),
                };
                async move {
                    let answer =
                        api::sfn::call_from_task(&engine, &operation, &request, origin).await;
                    answer.map_err(|error| runner::ServiceError {
                        status: error.status,
                        code: error.code,
                        message: error.message,
                    })
                }
                .boxed()
            }));
    }

    pub fn functions(&self) -> &Functions {
        self.runner.functions()
    }

    pub fn objects(&self) -> &Objects {
        self.runner.objects()
    }

    pub fn logs(&self) -> &Logs {
        self.runner.logs()
    }

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Goes on with what was under way, and serves on 127.0.0.1 (port 0: chosen by the system)
    /// until `shutdown`. Writes `engine.json` (endpoint, access key, secret; mode 0600) into the
    /// folder. Returns the address at once.
    pub async fn serve(&self, port: u16, shutdown: CancellationToken) -> Result<SocketAddr, Error> {
        let path = self.folder.join(ENDPOINT);
        let fail = |error: io::Error| Error::Store {
            path: path.clone(),
            problem: error.to_string(),
        };
        let listener = self.listen(port).await.map_err(|error| Error::Store {
            path: self.folder.as_ref().clone(),
            problem: format!("port {port} of 127.0.0.1 cannot be listened on: {error}"),
        })?;
        let address = listener.local_addr().map_err(fail)?;
        let functions = self.functions().list().into_iter();
        let endpoint = Endpoint {
            url: format!("http://{address}"),
            region: REGION.to_owned(),
            credentials: self.credentials.as_ref().clone(),
            pid: std::process::id(),
            functions: functions
                .map(|it| (it.name.clone(), it.description()))
                .collect(),
        };
        let credentials = endpoint.credentials.clone();
        self.functions().serve_at(endpoint.url.clone(), credentials);
        let text = serde_json::to_string_pretty(&endpoint).map_err(|error| fail(error.into()))?;
        self.disk.replace(&path, text.as_bytes()).map_err(fail)?;
        // Nothing is answered before everything is where it was; callers wait meanwhile.
        self.runner.recover().await?;
        tokio::spawn(api::serve(self.clone(), listener, shutdown));
        Ok(address)
    }

    /// Listens on the port asked for. Where the system may choose, the port that this folder's
    /// engine had last comes first: whoever was connected to it finds it again.
    async fn listen(&self, port: u16) -> io::Result<TcpListener> {
        let last = endpoint(&self.folder).ok();
        let last = last.and_then(|last| last.url.rsplit(':').next()?.parse::<u16>().ok());
        if let (0, Some(last)) = (port, last)
            && let Ok(listener) = TcpListener::bind(("127.0.0.1", last)).await
        {
            return Ok(listener);
        }
        TcpListener::bind(("127.0.0.1", port)).await
    }

    /// Stops every execution where it is; they go on when the folder is opened again.
    pub async fn stop(&self) {
        self.runner.stop().await;
    }
}

/// Reads what the folder's engine wrote when it last began to serve. Whether it still does, only
/// asking it tells.
pub fn endpoint(folder: &Path) -> io::Result<Endpoint> {
    let text = fs::read_to_string(folder.join(ENDPOINT))?;
    Ok(serde_json::from_str(&text)?)
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK);
    let fail = |error: io::Error| Error::Store {
        path: path.clone(),
        problem: error.to_string(),
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let mut file = file.map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path)
                .unwrap_or_default()
                .trim()
                .to_owned();
            return Err(Error::InUse {
                path: folder.to_owned(),
                pid,
            });
        }
        Err(fs::TryLockError::Error(error)) => return Err(fail(error)),
    }
    file.set_len(0).map_err(fail)?;
    writeln!(file, "{}", std::process::id()).map_err(fail)?;
    Ok(file)
}

/// The folder's own key, made up once.
fn credentials(disk: &Disk, folder: &Path) -> io::Result<Credentials> {
    let path = folder.join(CREDENTIALS);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let random = || uuid::Uuid::new_v4().simple().to_string();
            let credentials = Credentials {
                access_key: format!("FANOUT{}", random()[..14].to_uppercase()),
                secret_key: format!("{}{}", random(), random()),
            };
            disk.replace(&path, &serde_json::to_vec_pretty(&credentials)?)?;
            Ok(credentials)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
