//! Which objects belong to a run: what its input and output name, what is in the folders it wrote
//! to, what was merged of it, and the outputs of its re-runs. Folders of any size, a part at a time.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Kind, Output};
use crate::client::Client;
use crate::model::{ExecutionDetail, ObjectAddress};
use crate::operations::runs::{Run, is_absent};
use crate::operations::{Error, lineage, merge, results};

/// Re-runs whose outputs are listed: the newest.
const RERUNS: usize = 20;
/// What the names of merged outputs begin with where the run had none of its own.
const MERGED: &str = "merged.";

/// Objects of a run, as far as they have been listed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Final ones first, by address within a kind.
    pub outputs: Vec<Output>,
    /// Folders that have more objects.
    rest: Vec<Rest>,
}

/// What of a folder has not been listed.
#[derive(Debug, Clone, PartialEq)]
struct Rest {
    bucket: String,
    folder: String,
    /// Of the next page; `None` is the first one.
    token: Option<String>,
}

type Found = BTreeMap<ObjectAddress, Output>;

/// The objects of this run, so many about: folders may have more. Those that do not exist are not
/// listed.
pub async fn list(client: &Client, run: &Run, most: usize) -> Result<Listing, Error> {
    let mentioned = Mentioned::by(&run.detail);
    let mut found = Found::new();
    add_named(client, &mentioned, None, &mut found).await?;
    add_merged(client, &mentioned, &mut found).await?;
    if run.execution().status.is_closed() && mentioned.has_output() {
        add_reruns(client, run, &mut found).await;
    }
    let folders = folders(client, run, &mentioned).await?.into_iter();
    let rest = folders.map(|(bucket, folder)| Rest {
        bucket,
        folder,
        token: None,
    });
    let listing = Listing::new(found, rest.collect());
    listing.more(client, most).await
}

impl Listing {
    fn new(found: Found, rest: Vec<Rest>) -> Self {
        let mut outputs: Vec<Output> = found.into_values().collect();
        // Stable: by address within a kind.
        outputs.sort_by_key(|output| output.kind);
        Self { outputs, rest }
    }

    /// All objects that are known.
    pub fn of(outputs: Vec<Output>) -> Self {
        Self {
            outputs,
            rest: Vec::new(),
        }
    }

    /// These, and there are others.
    #[cfg(test)]
    pub fn begun(outputs: Vec<Output>) -> Self {
        let rest = Rest {
            bucket: "b".to_owned(),
            folder: "f/".to_owned(),
            token: Some("next".to_owned()),
        };
        Self {
            outputs,
            rest: vec![rest],
        }
    }

    /// Whether there are no others.
    pub fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }

    /// With so many of the others, about.
    pub async fn more(self, client: &Client, most: usize) -> Result<Self, Error> {
        let known = self.outputs.into_iter();
        let mut found: Found = known.map(|it| (it.object.address.clone(), it)).collect();
        let enough = found.len().saturating_add(most);
        let mut rest = Vec::new();
        for mut folder in self.rest {
            if !folder.read(client, &mut found, enough).await? {
                rest.push(folder);
            }
        }
        Ok(Self::new(found, rest))
    }
}

impl Rest {
    /// Reads pages until there are enough objects; returns whether that was all.
    async fn read(
        &mut self,
        client: &Client,
        found: &mut Found,
        enough: usize,
    ) -> Result<bool, Error> {
        while found.len() < enough {
            let page = client.objects(&self.bucket, &self.folder, self.token.take());
            let page = match page.await {
                Ok(page) => page,
                Err(error) if is_absent(&error.kind) => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            // Folders made in a console are empty objects.
            let objects = page.items.into_iter();
            let objects = objects.filter(|it| 0 < it.size || !it.address.key.ends_with('/'));
            for object in objects {
                let kind = kind_in_folder(&object.address.key);
                let output = Output {
                    kind,
                    object,
                    run: None,
                };
                found.entry(output.object.address.clone()).or_insert(output);
            }
            self.token = page.next;
            if self.token.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The objects that are named, where they exist; of a re-run only what came out.
async fn add_named(
    client: &Client,
    mentioned: &Mentioned,
    rerun: Option<&str>,
    found: &mut Found,
) -> Result<(), Error> {
    for (kind, address) in &mentioned.objects {
        let kind = match (kind, rerun) {
            (Kind::Final, Some(_)) => Kind::Rerun,
            (_, Some(_)) => continue,
            (kind, None) => *kind,
        };
        if let Some((object, _)) = client.head(address).await? {
            let run = rerun.map(str::to_owned);
            let output = Output { kind, object, run };
            found.entry(address.clone()).or_insert(output);
        }
    }
    Ok(())
}

/// Merged outputs are beside the run's own.
async fn add_merged(
    client: &Client,
    mentioned: &Mentioned,
    found: &mut Found,
) -> Result<(), Error> {
    let Some(output) = mentioned.output() else {
        return Ok(());
    };
    let prefix = merge::names_beside(output);
    let listed = client.objects(&output.bucket, &prefix, None).await;
    // Who may not list there may still read the objects that are named.
    let Ok(page) = listed else { return Ok(()) };
    for object in page.items {
        let output = Output {
            kind: Kind::Merged,
            object,
            run: None,
        };
        found.entry(output.object.address.clone()).or_insert(output);
    }
    Ok(())
}

/// What came out of the re-runs of a run. They come beside it: that they cannot be listed is no
/// reason not to list the run's own objects.
async fn add_reruns(client: &Client, run: &Run, found: &mut Found) {
    let added = async {
        let others = lineage::family(client, run).await?.into_iter().rev();
        let others = others.filter(|other| other.execution().arn != run.execution().arn);
        for rerun in others.take(RERUNS) {
            let mentioned = Mentioned::by(&rerun.detail);
            add_named(client, &mentioned, Some(&rerun.execution().name), found).await?;
        }
        Ok::<(), Error>(())
    };
    if let Err(error) = added.await {
        tracing::warn!(%error, "outputs of re-runs are not listed");
    }
}

/// What input and output of an execution say about objects.
#[derive(Debug, Default, PartialEq)]
struct Mentioned {
    objects: Vec<(Kind, ObjectAddress)>,
    /// Where the shipped workflow keeps what it clears away later.
    bucket: Option<String>,
}

impl Mentioned {
    fn by(detail: &ExecutionDetail) -> Self {
        let parsed = |text: &Option<String>| -> Value {
            let value = text
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok());
            value.unwrap_or(Value::Null)
        };
        let input = parsed(&detail.input);
        let output = parsed(&detail.output);
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

    fn has_output(&self) -> bool {
        self.output().is_some()
    }

    /// The output itself: the lines that failed are another object.
    fn output(&self) -> Option<&ObjectAddress> {
        let mut objects = self.objects.iter();
        let output = objects.find(|(kind, _)| *kind == Kind::Final);
        output.map(|(_, address)| address)
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

/// A ResultWriter's names are the service's; everything else beside them is the workflow's.
fn kind_in_folder(key: &str) -> Kind {
    let name = key.rsplit('/').next().unwrap_or(key);
    let numbered = ["SUCCEEDED_", "FAILED_", "PENDING_"]
        .iter()
        .any(|category| name.starts_with(category));
    match name == "manifest.json" || numbered {
        true => Kind::Result,
        false if name.starts_with(MERGED) => Kind::Merged,
        false => Kind::Temporary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;
    use crate::operations::runs::tests::run;

    #[test]
    fn final_objects_come_from_the_output_and_else_from_the_input() {
        let mut run = run(Status::Succeeded, vec![]);
        run.detail.input = Some(
            r#"{"source":{"bucket":"in","key":"a.txt"},"output":{"bucket":"out","key":"b"}}"#
                .into(),
        );
        let kinds = |run: &Run| -> Vec<(Kind, String)> {
            let objects = Mentioned::by(&run.detail).objects.into_iter();
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
        assert_eq!(Mentioned::by(&run.detail).bucket.as_deref(), Some("o"));
        run.detail.output = Some("\"text\"".into());
        run.detail.input = Some("not json".into());
        assert_eq!(Mentioned::by(&run.detail), Mentioned::default());
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
        assert_eq!(kind_in_folder("r/merged.merged-0a.jsonl"), Kind::Merged);
    }
}
