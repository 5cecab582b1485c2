//! The output side: final, result and temporary objects of an execution, preview, download.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::client::Client;
use crate::model::{Object, ObjectAddress};
use crate::operations::runs::Run;
use crate::operations::{Error, Progress};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The output file and its `.failed.jsonl`.
    Final,
    /// Written by the ResultWriter: manifests and `SUCCEEDED_n.json`, `FAILED_n.json`, `PENDING_n.json`.
    Result,
    /// What the workflow clears away.
    Temporary,
    /// The file the execution was started from.
    Source,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Output {
    pub kind: Kind,
    pub object: Object,
}

/// Every object of this run, final ones first. Those that do not exist are not listed.
pub async fn list(client: &Client, run: &Run) -> Result<Vec<Output>, Error> {
    todo!()
}

/// The first `bytes` of an object, as text with invalid UTF-8 replaced.
pub async fn preview(
    client: &Client,
    address: &ObjectAddress,
    bytes: u64,
) -> Result<String, Error> {
    todo!()
}

/// Downloads to `to` (a file, or a folder in which a safe name is derived from the key) through a
/// temporary neighbour that is renamed when complete and checked. Never overwrites: an existing
/// file is `Refused`.
pub async fn download(
    client: &Client,
    object: &Object,
    to: &Path,
    progress: impl Fn(Progress) + Send,
) -> Result<PathBuf, Error> {
    todo!()
}

/// A file name that cannot leave its folder, whatever the key.
pub fn safe_name(key: &str) -> String {
    todo!()
}
