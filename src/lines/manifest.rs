//! Manifests of result files.

use futures::StreamExt;
use serde::Deserialize;

use crate::client::Client;
use crate::lines::Error;
use crate::model::ObjectAddress;

/// Bytes of a manifest: it lists files of gigabytes each.
const MAX_MANIFEST: usize = 4 << 20;

/// One file of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultFile {
    pub address: ObjectAddress,
    /// Bytes.
    pub size: u64,
}

/// Reads a manifest: the files of successes of all rounds, then those of what failed or was never
/// started in the last one.
///
/// # Errors
/// `Malformed` for what no Map Run writes.
pub async fn result_files(
    client: &Client,
    manifest: &ObjectAddress,
) -> Result<Vec<ResultFile>, Error> {
    let Manifest {
        destination_bucket,
        result_files: files,
    } = read_manifest(client, manifest).await?;
    let all = [files.succeeded, files.failed, files.pending];
    let file = |listed: Listed| ResultFile {
        address: ObjectAddress::new(&destination_bucket, listed.key),
        size: listed.size,
    };
    Ok(all.into_iter().flatten().map(file).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    destination_bucket: String,
    result_files: ResultFiles,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct ResultFiles {
    #[serde(default)]
    succeeded: Vec<Listed>,
    #[serde(default)]
    failed: Vec<Listed>,
    #[serde(default)]
    pending: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    #[serde(default)]
    size: u64,
}

async fn read_manifest(client: &Client, address: &ObjectAddress) -> Result<Manifest, Error> {
    let mut body = client.read(address, None, None).await?;
    let mut text = Vec::new();
    while let Some(chunk) = body.bytes.next().await {
        text.extend_from_slice(&chunk?);
        if text.len() > MAX_MANIFEST {
            return Err(Error::malformed(address, "is too large for a manifest"));
        }
    }
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|_| Error::malformed(address, "is no manifest of a Map Run"))?;
    match manifest.stray(address) {
        Some(stray) => {
            let problem = format!("it names {stray}, which is outside its folder");
            Err(Error::malformed(address, problem))
        }
        None => Ok(manifest),
    }
}

impl Manifest {
    /// A file that no Map Run would have written for this manifest. Those of redrives are in
    /// folders of the first one's.
    fn stray(&self, address: &ObjectAddress) -> Option<ObjectAddress> {
        let own = address
            .key
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let folder = match own.rsplit_once('/') {
            Some((first, last)) if last.starts_with("Redrive-") => first,
            _ => own,
        };
        let files = &self.result_files;
        let mut all = [&files.succeeded, &files.failed, &files.pending]
            .into_iter()
            .flatten();
        let is_stray = |file: &&Listed| {
            let below = file.key.strip_prefix(folder);
            !below.is_some_and(|rest| rest.starts_with('/'))
                || self.destination_bucket != address.bucket
        };
        let stray = all.find(is_stray)?;
        Some(ObjectAddress::new(&self.destination_bucket, &stray.key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_may_leave_out_what_is_empty() {
        let text = r#"{"DestinationBucket":"b","MapRunArn":"x","ResultFiles":{"SUCCEEDED":[{"Key":"k","Size":1}]}}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.result_files.succeeded[0].key, "k");
        assert!(
            manifest.result_files.failed.is_empty() && manifest.result_files.pending.is_empty()
        );
    }

    #[test]
    fn a_manifest_names_files_of_its_own_folder_only() {
        let stray = |bucket: &str, file: &str| {
            let manifest: Manifest = serde_json::from_value(json!({"DestinationBucket": bucket,
                "ResultFiles": {"SUCCEEDED": [{"Key": file}]}}))
            .unwrap();
            let address = ObjectAddress::new("b", "runs/6d/Redrive-2/manifest.json");
            manifest.stray(&address).is_some()
        };
        assert!(!stray("b", "runs/6d/SUCCEEDED_0.json"));
        assert!(!stray("b", "runs/6d/Redrive-1/SUCCEEDED_0.json"));
        assert!(stray("b", "runs/7e/SUCCEEDED_0.json"));
        assert!(stray("b", "runs/6de/SUCCEEDED_0.json"));
        assert!(stray("c", "runs/6d/SUCCEEDED_0.json"));
    }
}
