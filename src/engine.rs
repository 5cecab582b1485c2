//! AWS Step Functions on this machine: Amazon States Language with Distributed Map, durable,
//! behind the AWS wire protocols on the loopback. Shares no Rust type with `client`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

pub mod api;
pub mod definition;
pub mod functions;
pub mod machine;
pub mod objects;
pub mod path;

pub use functions::{FunctionError, Functions};

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

/// A handle; clones share one engine.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Takes the folder's lock, recovers what was there and goes on with it once [`Engine::serve`]
    /// is called. Register functions before that.
    ///
    /// # Errors
    /// `InUse` when another process has the folder; `Store` for anything unreadable in it.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        todo!()
    }
    pub fn functions(&self) -> &Functions {
        todo!()
    }
    pub fn objects(&self) -> &objects::Objects {
        todo!()
    }
    pub fn credentials(&self) -> &Credentials {
        todo!()
    }
    /// Serves on 127.0.0.1 (port 0: chosen by the system) until `shutdown`; writes `engine.json`
    /// (endpoint, access key, secret; mode 0600) into the folder. Returns the address at once.
    pub async fn serve(&self, port: u16, shutdown: CancellationToken) -> Result<SocketAddr, Error> {
        todo!()
    }
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
}
