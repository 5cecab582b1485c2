//! Engine and workflow together on 127.0.0.1, as a target for `Client`.

use std::path::Path;

use crate::client::Target;

/// A local engine in use: ours, or another process's that already serves the folder.
pub struct Local {}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
    #[error(transparent)]
    Client(#[from] crate::client::Error),
    #[error("{0}")]
    Other(String),
}

impl Local {
    /// Opens the engine in `folder`, registers the workflow's handlers, creates bucket and state
    /// machine (updates the machine when the shipped definition changed), and serves. When another
    /// process serves the folder, becomes its client instead.
    pub async fn start(folder: &Path, bucket: &str) -> Result<Self, Error> {
        todo!()
    }
    pub fn target(&self) -> Target {
        todo!()
    }
    /// Whether the engine runs in this process.
    pub fn is_ours(&self) -> bool {
        todo!()
    }
    /// Stops serving and waits for what is under way; does nothing when it is not ours.
    pub async fn stop(self) {
        todo!()
    }
}
