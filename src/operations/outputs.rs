//! The output side: final, result and temporary objects of an execution, preview, download.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::client::{Client, ErrorKind};
use crate::model::{Object, ObjectAddress};
use crate::operations::runs::{Run, is_absent};
use crate::operations::{Error, Progress, results};

mod digest;
mod download;
mod lines;
mod names;
mod packing;
mod reading;
mod search;
pub use download::Downloaded;
pub use lines::lines;
pub use names::safe_name;
pub use packing::Packing;
pub use reading::{PAGE, Page, page};
pub use search::{Hit, search};

/// Objects listed of one folder.
const MOST: usize = 10_000;

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
    let mentioned = Mentioned::by(run);
    let mut found = BTreeMap::new();
    for (kind, address) in &mentioned.objects {
        if let Some((object, _)) = client.head(address).await? {
            found.insert(
                address.clone(),
                Output {
                    kind: *kind,
                    object,
                },
            );
        }
    }
    for (bucket, folder) in folders(client, run, &mentioned).await? {
        for object in objects_in(client, &bucket, &folder).await? {
            let kind = kind_in_folder(&object.address.key);
            found
                .entry(object.address.clone())
                .or_insert(Output { kind, object });
        }
    }
    let mut outputs: Vec<Output> = found.into_values().collect();
    // Stable: by address within a kind.
    outputs.sort_by_key(|output| output.kind);
    Ok(outputs)
}

/// What input and output of an execution say about objects.
#[derive(Debug, Default, PartialEq)]
struct Mentioned {
    objects: Vec<(Kind, ObjectAddress)>,
    /// Where the shipped workflow keeps what it clears away later.
    bucket: Option<String>,
}

impl Mentioned {
    fn by(run: &Run) -> Self {
        let parsed = |text: &Option<String>| -> Value {
            let value = text
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok());
            value.unwrap_or(Value::Null)
        };
        let input = parsed(&run.detail.input);
        let output = parsed(&run.detail.output);
        let text = |value: &Value| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let address = |value: &Value| {
            Some(ObjectAddress::new(
                text(&value["bucket"])?,
                text(&value["key"])?,
            ))
        };
        let final_ones = [&output["output"], &output["failed"], &input["output"]];
        let mut objects: Vec<(Kind, ObjectAddress)> = final_ones
            .into_iter()
            .filter_map(|value| Some((Kind::Final, address(value)?)))
            .collect();
        objects.dedup();
        objects.extend(address(&input["source"]).map(|source| (Kind::Source, source)));
        let buckets = [&output["output"], &input["output"], &input["source"]];
        Self {
            objects,
            bucket: buckets.into_iter().find_map(|value| text(&value["bucket"])),
        }
    }
}

/// Buckets and prefixes to list: the shipped workflow's folder, and wherever else Map Runs write.
async fn folders(
    client: &Client,
    run: &Run,
    mentioned: &Mentioned,
) -> Result<Vec<(String, String)>, Error> {
    let own = format!("runs/{}/", run.execution().name);
    let mut folders: Vec<(String, String)> = Vec::new();
    folders.extend(mentioned.bucket.clone().map(|bucket| (bucket, own)));
    for map_run in &run.map_runs {
        let Some(location) = results::locate(client, map_run).await? else {
            continue;
        };
        let covered = folders.iter().any(|(bucket, folder)| {
            *bucket == location.bucket && location.folder.starts_with(folder)
        });
        if !covered {
            folders.push((location.bucket, location.folder));
        }
    }
    Ok(folders)
}

async fn objects_in(client: &Client, bucket: &str, folder: &str) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    let mut token = None;
    while objects.len() < MOST {
        let page = match client.objects(bucket, folder, token).await {
            Ok(page) => page,
            Err(error) if is_absent(&error.kind) => break,
            Err(error) => return Err(error.into()),
        };
        objects.extend(page.items);
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    objects.truncate(MOST);
    // Folders made in a console are empty objects.
    objects.retain(|object| 0 < object.size || !object.address.key.ends_with('/'));
    Ok(objects)
}

/// A ResultWriter's names are the service's; everything else beside them is the workflow's.
fn kind_in_folder(key: &str) -> Kind {
    let name = key.rsplit('/').next().unwrap_or(key);
    let numbered = ["SUCCEEDED_", "FAILED_", "PENDING_"]
        .iter()
        .any(|category| name.starts_with(category));
    match name == "manifest.json" || numbered {
        true => Kind::Result,
        false => Kind::Temporary,
    }
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

#[cfg(test)]
mod tests {
    use super::super::runs::tests::run;
    use super::*;
    use crate::model::Status;

    #[test]
    fn final_objects_come_from_the_output_and_else_from_the_input() {
        let mut run = run(Status::Succeeded, vec![]);
        run.detail.input = Some(
            r#"{"source":{"bucket":"in","key":"a.txt"},"output":{"bucket":"out","key":"b"}}"#
                .into(),
        );
        let kinds = |run: &Run| -> Vec<(Kind, String)> {
            let objects = Mentioned::by(run).objects.into_iter();
            objects
                .map(|(kind, address)| (kind, address.to_string()))
                .collect()
        };
        let source = (Kind::Source, "s3://in/a.txt".to_owned());
        assert_eq!(
            kinds(&run),
            [(Kind::Final, "s3://out/b".to_owned()), source.clone()]
        );
        run.detail.output = Some(
            r#"{"output":{"bucket":"o","key":"c"},"failed":{"bucket":"o","key":"c.failed.jsonl"}}"#
                .into(),
        );
        assert_eq!(
            kinds(&run)[..2],
            [
                (Kind::Final, "s3://o/c".to_owned()),
                (Kind::Final, "s3://o/c.failed.jsonl".to_owned()),
            ]
        );
        assert_eq!(Mentioned::by(&run).bucket.as_deref(), Some("o"));
        run.detail.output = Some("\"text\"".into());
        run.detail.input = Some("not json".into());
        assert_eq!(Mentioned::by(&run), Mentioned::default());
    }

    #[test]
    fn the_services_names_are_results_and_the_rest_is_temporary() {
        assert_eq!(
            kind_in_folder("runs/a/results/6d/Redrive-1/FAILED_0.json"),
            Kind::Result
        );
        assert_eq!(
            kind_in_folder("runs/a/results/6d/manifest.json"),
            Kind::Result
        );
        assert_eq!(kind_in_folder("runs/a/items.jsonl"), Kind::Temporary);
    }
}
