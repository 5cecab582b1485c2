//! The output side: final, result and temporary objects of an execution, preview, download.

use std::path::Path;

use serde::Serialize;

use crate::client::{Client, ErrorKind};
use crate::model::{Object, ObjectAddress};
use crate::operations::{Error, Progress};

mod digest;
mod download;
mod lines;
mod listing;
mod names;
mod packing;
mod reading;
mod search;
pub use download::Downloaded;
pub use lines::lines;
pub use listing::{Listing, list};
pub use names::safe_name;
pub use packing::Packing;
pub use reading::{DOCUMENT, PAGE, Page, beginning, page};
pub use search::{Hit, search};

/// Objects listed at first, about; more are listed when they are asked for.
pub const AT_FIRST: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The output file and its `.failed.jsonl`.
    Final,
    /// Merged of a run, its redrives and its re-runs.
    Merged,
    /// What came out of a re-run of some lines.
    Rerun,
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
    /// The re-run that it came out of, where it is not the run itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// The error of a read that asked for one version of an object.
fn changed(address: &ObjectAddress, error: crate::client::Error) -> Error {
    match error.kind {
        ErrorKind::Conflict(_) => Error::malformed(
            address,
            "was overwritten meanwhile: list the outputs again and take the new one",
        ),
        _ => error.into(),
    }
}

/// Downloads to `to` (a file, or a folder in which a safe name is derived from the key) through a
/// temporary neighbour that is renamed when it is complete and compared with the object's
/// checksums. Never overwrites: an existing file is `Refused`. A download that was broken off,
/// killed or cancelled leaves the neighbour, and the next one of the same object goes on with it.
///
/// # Errors
/// `Refused` when the file exists, `File` for what the disk refuses, `Malformed` when the object
/// changed or ended early, or when what came is not what its checksum says. No error leaves
/// anything under the final name.
pub async fn download(
    client: &Client,
    object: &Object,
    to: &Path,
    progress: impl Fn(Progress) + Send,
) -> Result<Downloaded, Error> {
    download::download(client, object, to, progress).await
}

/// Downloads to `to`, of which a folder is made where it is none yet: what ends with a separator is
/// one. In a folder a name that is taken gets a number, also where another object's download has
/// begun under it.
///
/// # Errors
/// As of [`download`].
pub async fn download_beside(
    client: &Client,
    object: &Object,
    to: &Path,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Downloaded, Error> {
    download::beside(client, object, to, progress).await
}
