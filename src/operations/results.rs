//! Where a Map Run's ResultWriter writes, found from the definition; its manifest; and the records
//! of result files as they stream by.

use bytes::Bytes;
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Client;
use crate::model::{MapRun, ObjectAddress};
use crate::operations::Error;

mod source;
pub(super) use source::{ItemFormat, ItemSource, item_source};

/// Pages of history read to find what went into the Map state; 1,000 events each at the most.
const HISTORY_PAGES: usize = 10;
/// Bytes of a manifest. One entry takes some 100 bytes and stands for up to 5 GB.
const MANIFEST_LIMIT: usize = 8 << 20;

/// The folder of one Map Run's result files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    pub bucket: String,
    /// `<Prefix>/<uuid of the Map Run>/`
    pub folder: String,
}

/// What `manifest.json` holds, of which we use this.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Manifest {
    pub destination_bucket: String,
    #[serde(default)]
    map_run_arn: Option<String>,
    pub result_files: ResultFiles,
}

#[derive(Debug, Deserialize)]
pub(super) struct ResultFiles {
    #[serde(rename = "FAILED", default)]
    pub failed: Vec<ResultFile>,
    /// Of items that were never started.
    #[serde(rename = "PENDING", default)]
    pub pending: Vec<ResultFile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResultFile {
    pub key: String,
}

/// Where the result files of this Map Run are; `None` when its state has no ResultWriter, or one
/// whose place we cannot work out.
pub(super) async fn locate(client: &Client, map_run: &MapRun) -> Result<Option<Location>, Error> {
    let used = client
        .state_machine_for_execution(&map_run.execution)
        .await?;
    let definition: Value = serde_json::from_str(&used.definition)
        .map_err(|error| Error::malformed(&used.name, format!("its definition: {error}")))?;
    let Some((state_name, state)) = map_state(&definition, map_run.arn.label()) else {
        return Ok(None);
    };
    let writer = &state["ResultWriter"];
    let place = writer.get("Parameters").or_else(|| writer.get("Arguments"));
    let Some(place) = place.filter(|place| place.is_object()) else {
        return Ok(None);
    };
    let scope = scope(client, map_run, state_name).await?;
    Ok(location(place, &scope, map_run.arn.id()))
}

fn location(place: &Value, scope: &Scope, id: &str) -> Option<Location> {
    let bucket = scope.field(place, "Bucket")?;
    let prefix = scope.field(place, "Prefix").unwrap_or_default();
    let folder = match prefix.trim_end_matches('/') {
        "" => format!("{id}/"),
        prefix => format!("{prefix}/{id}/"),
    };
    Some(Location { bucket, folder })
}

/// The Map state that `label` stands for, with its name, wherever in the definition it is.
pub(super) fn map_state<'a>(definition: &'a Value, label: &str) -> Option<(&'a str, &'a Value)> {
    let mut maps = Vec::new();
    collect_maps(definition, &mut maps);
    let labelled = maps.iter().find(|(_, state)| state["Label"] == label);
    let named = || maps.iter().find(|(name, _)| *name == label);
    // Without a Label the service makes one up: then only one Map can be meant, or none is known.
    let only = || maps.first().filter(|_| maps.len() == 1);
    labelled.or_else(named).or_else(only).copied()
}

fn collect_maps<'a>(machine: &'a Value, maps: &mut Vec<(&'a str, &'a Value)>) {
    for (name, state) in machine["States"].as_object().into_iter().flatten() {
        if state["Type"] == "Map" {
            maps.push((name, state));
            collect_maps(&state["ItemProcessor"], maps);
            collect_maps(&state["Iterator"], maps);
        }
        for branch in state["Branches"].as_array().into_iter().flatten() {
            collect_maps(branch, maps);
        }
    }
}

/// What the expressions of a Map state can refer to.
struct Scope {
    /// The state's input.
    input: Value,
    /// The part of the context object that a ResultWriter has use for.
    context: Value,
}

async fn scope(client: &Client, map_run: &MapRun, state: &str) -> Result<Scope, Error> {
    let detail = client.execution(&map_run.execution).await?;
    let parsed = |text: Option<String>| {
        text.and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or(Value::Null)
    };
    let context = json!({"Execution": {
        "Id": map_run.execution.as_str(),
        "Name": map_run.execution.name(),
        "Input": parsed(detail.input),
        "StartTime": detail.execution.started.to_string(),
    }});
    let input = parsed(state_input(client, map_run, state).await?);
    Ok(Scope { input, context })
}

/// What went into the Map state, from the history: the last entry before this Map Run began.
pub(super) async fn state_input(
    client: &Client,
    map_run: &MapRun,
    state: &str,
) -> Result<Option<String>, Error> {
    let mut input = None;
    let mut token = None;
    for _ in 0..HISTORY_PAGES {
        let page = client.history(&map_run.execution, false, token).await?;
        for event in page.items {
            if event.kind == "MapStateEntered" && event.state.as_deref() == Some(state) {
                input = event.input;
            } else if event.kind == "MapRunStarted" && event.map_run.as_ref() == Some(&map_run.arn)
            {
                return Ok(input);
            }
        }
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    Ok(input)
}

impl Scope {
    /// `place.name`, or `place."name.$"` as an expression.
    fn field(&self, place: &Value, name: &str) -> Option<String> {
        match (&place[name], &place[format!("{name}.$")]) {
            (Value::String(text), _) => match text.trim().strip_prefix("{%") {
                Some(jsonata) => self.expression(jsonata.trim_end_matches("%}").trim()),
                None => Some(text.clone()),
            },
            (_, Value::String(expression)) => self.expression(expression),
            _ => None,
        }
    }

    /// A reference to input or context, or `States.Format` of such. Whatever else there is in the
    /// two languages is not for finding a folder: `None`.
    fn expression(&self, text: &str) -> Option<String> {
        let references = [
            ("$$.", &self.context),
            ("$.", &self.input),
            ("$states.context.", &self.context),
            ("$states.input.", &self.input),
        ];
        for (prefix, root) in references {
            if let Some(fields) = text.strip_prefix(prefix) {
                let found = fields
                    .split('.')
                    .try_fold(root, |value, field| value.get(field))?;
                return found.as_str().map(str::to_owned);
            }
        }
        self.format(text.strip_prefix("States.Format(")?.strip_suffix(')')?)
    }

    /// `'template with {}', argument, …`
    fn format(&self, call: &str) -> Option<String> {
        let (template, arguments) = call.trim().strip_prefix('\'')?.split_once('\'')?;
        let mut arguments = arguments.split(',').skip(1);
        let mut pieces = template.split("{}");
        let mut text = pieces.next()?.to_owned();
        for piece in pieces {
            text += &self.expression(arguments.next()?.trim())?;
            text += piece;
        }
        Some(text)
    }
}

/// The newest manifest of a Map Run: each redrive writes its own, beside the first one.
pub(super) async fn manifest(
    client: &Client,
    location: &Location,
    redrives: u32,
) -> Result<Manifest, Error> {
    let folder = &location.folder;
    let key = match redrives {
        0 => format!("{folder}manifest.json"),
        redrive => format!("{folder}Redrive-{redrive}/manifest.json"),
    };
    let address = ObjectAddress::new(&location.bucket, key);
    let bytes = read_small(client, &address, MANIFEST_LIMIT).await?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| Error::malformed(&address, error))?;
    match manifest.is_wrong(location) {
        Some(problem) => Err(Error::malformed(&address, problem)),
        None => Ok(manifest),
    }
}

impl Manifest {
    /// Why it cannot be the manifest of the Map Run whose folder this is.
    fn is_wrong(&self, location: &Location) -> Option<String> {
        if self.destination_bucket != location.bucket {
            let bucket = &self.destination_bucket;
            return Some(format!("it leads to another bucket, {bucket}"));
        }
        let id = |arn: &str| arn.rsplit(':').next().unwrap_or(arn).to_owned();
        let folder = &location.folder;
        let own = self.map_run_arn.as_deref().map(id);
        if let Some(id) = own.filter(|id| !folder.ends_with(&format!("{id}/"))) {
            return Some(format!("it is that of another Map Run, {id}"));
        }
        let files = &self.result_files;
        let mut named = files.failed.iter().chain(&files.pending);
        let elsewhere = named.find(|file| !file.key.starts_with(folder.as_str()));
        elsewhere.map(|file| format!("it names {}, which is outside its folder", file.key))
    }
}

/// A whole object of at most `limit` bytes.
async fn read_small(
    client: &Client,
    address: &ObjectAddress,
    limit: usize,
) -> Result<Vec<u8>, Error> {
    let mut stream = client.read(address, None, None).await?.bytes;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk: Bytes = chunk?;
        if limit < bytes.len() + chunk.len() {
            return Err(Error::malformed(
                address,
                format!("larger than {limit} bytes"),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope {
            input: json!({"results": {"bucket": "out", "prefix": "runs/a/results"}}),
            context: json!({"Execution": {"Name": "run-7", "Input": {"to": "b"}}}),
        }
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "what it is compared with may be none"
    )]
    fn at(bucket: &str, folder: &str) -> Option<Location> {
        Some(Location {
            bucket: bucket.to_owned(),
            folder: folder.to_owned(),
        })
    }

    #[test]
    fn the_place_is_worked_out_in_either_language() {
        for (place, expected) in [
            (json!({"Bucket": "b", "Prefix": "x/"}), at("b", "x/id/")),
            (json!({"Bucket": "b"}), at("b", "id/")),
            (
                json!({"Bucket.$": "$.results.bucket", "Prefix.$": "$.results.prefix"}),
                at("out", "runs/a/results/id/"),
            ),
            (
                json!({"Bucket.$": "$$.Execution.Input.to",
                       "Prefix.$": "States.Format('runs/{}/r', $$.Execution.Name)"}),
                at("b", "runs/run-7/r/id/"),
            ),
            (
                json!({"Bucket": "{% $states.input.results.bucket %}", "Prefix": "p"}),
                at("out", "p/id/"),
            ),
            (json!({"Bucket.$": "$.no.such"}), None),
            (json!({"Bucket": "{% $lowercase('B') %}"}), None),
        ] {
            assert_eq!(location(&place, &scope(), "id"), expected, "{place}");
        }
    }

    #[test]
    fn a_map_is_found_by_label_then_name_then_for_being_the_only_one() {
        let definition = json!({"States": {
            "Fork": {"Type": "Parallel", "Branches": [
                {"States": {"Inner": {"Type": "Map", "Label": "L"}}}
            ]},
            "Outer": {"Type": "Map", "ItemProcessor": {"States": {}}},
        }});
        let name = |label| map_state(&definition, label).map(|(name, _)| name);
        assert_eq!(name("L"), Some("Inner"));
        assert_eq!(name("Outer"), Some("Outer"));
        assert_eq!(name("a3f"), None);
        let single = json!({"States": {"M": {"Type": "Map"}}});
        assert_eq!(map_state(&single, "a3f").map(|(name, _)| name), Some("M"));
    }
}
