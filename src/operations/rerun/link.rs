//! The link from a re-run to its run, whatever it is called: it is in the key of the object of chosen
//! items, and that key is in the new execution's input. A re-run of everything has the input of its
//! run, so the link is in its trace header, and an empty object is where the chosen items would be. So
//! each is found from the other, from any machine.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::model::{ExecutionDetail, MapRun, ObjectAddress, Timestamp};
use crate::operations::{Error, hex, results};

use super::is_shipped;
use super::items::Way;
use super::making::{generation, shipped_bucket};

/// Where the objects of chosen items are, in the bucket of the source.
const FOLDER: &str = "fanout/reruns/";
/// Beside the chosen items: which lines of the first run they are, as JSON Lines with `n`.
const NUMBERS: &str = "numbers.jsonl";
/// Stands for the items of a re-run of everything.
pub const EVERYTHING: &str = "everything";
/// The field of a trace header that holds a link.
const TRACED: &str = "FanoutRerunOf=";
/// Characters of a trace header.
const TRACE_LIMIT: usize = 256;

/// Names of executions of one state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The run that was no re-run.
    pub first: String,
    /// The run whose items these are: the first one, or a re-run itself.
    pub run: String,
    /// The re-run.
    pub name: String,
    /// Whether it is of all items, and not of chosen ones.
    #[serde(default)]
    pub everything: bool,
}

impl Link {
    /// Of a re-run that is about to be made of `run`.
    pub fn new(run: &ExecutionDetail, name: &str) -> Self {
        Self {
            first: first(run),
            run: run.execution.name.clone(),
            name: name.to_owned(),
            everything: false,
        }
    }

    /// Of an execution; `None` where it is no re-run.
    pub fn of(detail: &ExecutionDetail) -> Option<Self> {
        let name = &detail.execution.name;
        // Most executions are no re-runs, and this is asked of all of them.
        let input = detail.input.as_deref().filter(|it| it.contains(FOLDER));
        let chosen = input
            .and_then(|input| serde_json::from_str(input).ok())
            .and_then(|input| Self::of_items(&input))
            // The same input once more, under another name, is not linked by it.
            .filter(|link| link.name == *name);
        chosen.or_else(|| Self::traced(detail.trace_header.as_deref()?, name))
    }

    /// Of the re-run for which the chosen items were written that this input names.
    pub fn of_items(input: &Value) -> Option<Self> {
        match input {
            Value::String(text) => Self::parse(text),
            Value::Array(items) => items.iter().find_map(Self::of_items),
            Value::Object(members) => members.values().find_map(Self::of_items),
            _ => None,
        }
    }

    fn traced(header: &str, name: &str) -> Option<Self> {
        let field = header.split(';').find_map(|it| it.strip_prefix(TRACED))?;
        let (first, run) = field.split_once('/')?;
        let is_name = |part: &str| !part.is_empty() && !part.contains('/');
        (is_name(first) && is_name(run)).then(|| Self {
            first: first.to_owned(),
            run: run.to_owned(),
            name: name.to_owned(),
            everything: true,
        })
    }

    /// The trace header that holds the link; `None` where there is no room for it. What stands before
    /// the link makes it one that X-Ray can read.
    pub fn trace_header(&self, now: Timestamp) -> Option<String> {
        let Self {
            first, run, name, ..
        } = self;
        let id = hex(&Sha256::digest(format!("{first}/{run}/{name}"))[..12]);
        let seconds = now.as_second();
        let header = format!("Root=1-{seconds:08x}-{id};{TRACED}{first}/{run}");
        let is_plain = header.is_ascii() && header.matches(';').count() == 1;
        (is_plain && header.len() <= TRACE_LIMIT).then_some(header)
    }

    /// The key of the object of chosen items.
    pub fn key(&self, file: &str) -> String {
        let Self {
            first, run, name, ..
        } = self;
        format!("{FOLDER}{first}/{run}/{name}/{file}")
    }

    /// What the key of an object says.
    pub fn parse(key: &str) -> Option<Self> {
        let mut parts = key.strip_prefix(FOLDER)?.split('/').map(str::to_owned);
        let link = Self {
            first: parts.next()?,
            run: parts.next()?,
            name: parts.next()?,
            everything: false,
        };
        let is_whole = parts.next().is_some_and(|file| !file.is_empty()) && parts.next().is_none();
        let is_named = |part: &String| !part.is_empty();
        let names = [&link.first, &link.run, &link.name];
        (is_whole && names.into_iter().all(is_named)).then_some(link)
    }
}

/// The bucket of chosen items: where a machine's ItemReader reads, or where its results are, where
/// that cannot be told from the input.
pub async fn bucket(
    client: &Client,
    definition: &Value,
    map_run: &MapRun,
    input: &Value,
) -> Result<Option<String>, Error> {
    if is_shipped(definition) {
        return Ok(shipped_bucket(input).map(str::to_owned));
    }
    let way = Way::of(definition, map_run.arn.label());
    let read = way.and_then(|way| way.address(input, String::new()));
    if let Ok(address) = read {
        return Ok(Some(address.bucket));
    }
    let written = results::locate(client, map_run).await?;
    Ok(written.map(|location| location.bucket))
}

/// Where the re-runs of a first run have their objects.
pub fn folder(first: &str) -> String {
    format!("{FOLDER}{first}/")
}

/// The first run's name, of itself or of a re-run.
pub fn first(run: &ExecutionDetail) -> String {
    let linked = Link::of(run).map(|link| link.first);
    linked.unwrap_or_else(|| generation(&run.execution.name).0.to_owned())
}

/// The object beside these chosen items that tells which lines they are.
pub fn numbers_beside(items: &ObjectAddress) -> ObjectAddress {
    let folder = items.key.rsplit_once('/').map_or("", |(folder, _)| folder);
    ObjectAddress::new(&items.bucket, format!("{folder}/{NUMBERS}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::Status;
    use crate::operations::runs::tests::{execution, run};

    fn detail(name: &str, input: &Value) -> ExecutionDetail {
        let mut run = run(Status::Succeeded, Vec::new());
        run.detail.execution = execution(name, Status::Succeeded);
        run.detail.input = Some(input.to_string());
        run.detail
    }

    #[test]
    fn a_re_run_of_any_name_is_linked_by_its_input() {
        let link = Link::new(&detail("a", &json!({})), "tuesday");
        let input = json!({"deep": [{"key": link.key("only.csv")}], "x": "fanout/reruns/a"});
        assert_eq!(Link::of(&detail("tuesday", &input)), Some(link.clone()));
        assert_eq!(Link::of(&detail("other", &input)), None);
        assert_eq!(Link::of_items(&input), Some(link));
        let next = Link::new(&detail("tuesday", &input), "wednesday");
        assert_eq!((&*next.first, &*next.run), ("a", "tuesday"));
        assert!(next.key("only.csv").starts_with(&folder("a")));
        let items = ObjectAddress::new("b", next.key("only.csv"));
        let beside = numbers_beside(&items).key;
        assert_eq!(Link::parse(&beside), Some(next));
    }

    #[test]
    fn a_re_run_of_everything_is_linked_by_its_trace_header() {
        let mut again = detail("all-once-more", &json!({"key": "in.jsonl"}));
        let mut link = Link::new(&detail("a", &json!({})), "all-once-more");
        link.everything = true;
        let now = Timestamp::from_second(0x6924_0000).expect("a moment");
        again.trace_header = link.trace_header(now);
        let header = again.trace_header.clone().expect("it fits");
        assert!(header.starts_with("Root=1-69240000-"), "{header}");
        assert_eq!(Link::of(&again), Some(link));
        // The header that somebody else has given.
        again.trace_header = Some("Root=1-69240000-0123456789abcdef01234567;Sampled=1".to_owned());
        assert_eq!(Link::of(&again), None);
        let long = detail(&"x".repeat(300), &json!({}));
        assert_eq!(Link::new(&long, "b").trace_header(now), None);
    }

    proptest! {
        #[test]
        fn any_header_is_a_link_or_none(header in "(Root=1;)?(FanoutRerunOf=)?[a-c/;]{0,12}") {
            let _ = Link::traced(&header, "a");
        }

        #[test]
        fn any_key_is_a_link_or_none(key in "(fanout/reruns/)?[a-c/]{0,12}") {
            if let Some(link) = Link::parse(&key) {
                let file = key.rsplit('/').next().expect("a part");
                prop_assert_eq!(link.key(file), key);
            }
        }
    }
}
