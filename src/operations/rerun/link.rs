//! The link from a re-run to its run, whatever it is called: it is in the key of the object of chosen
//! items, and that key is in the new execution's input. So each is found from the other, from any
//! machine.

use serde_json::Value;

use crate::model::{ExecutionArn, ObjectAddress};

use super::making::generation;

/// Where the objects of chosen items are, in the bucket of the source.
pub const FOLDER: &str = "fanout/reruns/";
/// Beside the chosen items: which lines of the first run they are, as JSON Lines with `n`.
const NUMBERS: &str = "numbers.jsonl";

/// Names of executions of one state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The run that was no re-run.
    pub first: String,
    /// The run whose items these are: the first one, or a re-run itself.
    pub run: String,
    /// The re-run.
    pub name: String,
}

impl Link {
    /// Of a re-run that is about to be made of `run`, which had this input.
    pub fn new(run: &ExecutionArn, input: &Value, name: &str) -> Self {
        Self {
            first: first(run.name(), input),
            run: run.name().to_owned(),
            name: name.to_owned(),
        }
    }

    /// Of an execution that has this name and input; `None` where it is no re-run of chosen items.
    pub fn of(name: &str, input: &Value) -> Option<Self> {
        let found = match input {
            Value::String(text) => Self::parse(text),
            Value::Array(items) => items.iter().find_map(|item| Self::of(name, item)),
            Value::Object(members) => members.values().find_map(|value| Self::of(name, value)),
            _ => None,
        };
        // The same input once more, under another name, is not linked by it.
        found.filter(|link| link.name == name)
    }

    /// The key of the object of chosen items.
    pub fn key(&self, file: &str) -> String {
        let Self { first, run, name } = self;
        format!("{FOLDER}{first}/{run}/{name}/{file}")
    }

    /// What the key of an object says.
    pub fn parse(key: &str) -> Option<Self> {
        let mut parts = key.strip_prefix(FOLDER)?.split('/').map(str::to_owned);
        let link = Self {
            first: parts.next()?,
            run: parts.next()?,
            name: parts.next()?,
        };
        let is_whole = parts.next().is_some_and(|file| !file.is_empty()) && parts.next().is_none();
        let is_named = |part: &String| !part.is_empty();
        let names = [&link.first, &link.run, &link.name];
        (is_whole && names.into_iter().all(is_named)).then_some(link)
    }
}

/// Where the re-runs of a first run have their objects.
pub fn folder(first: &str) -> String {
    format!("{FOLDER}{first}/")
}

/// The first run's name, of itself or of a re-run.
pub fn first(name: &str, input: &Value) -> String {
    let linked = Link::of(name, input).map(|link| link.first);
    linked.unwrap_or_else(|| generation(name).0.to_owned())
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

    #[test]
    fn a_re_run_of_any_name_is_linked_by_its_input() {
        let run = ExecutionArn::new("arn:aws:states:r:0:execution:SM:a");
        let link = Link::new(&run, &json!({}), "tuesday");
        let input = json!({"deep": [{"key": link.key("only.csv")}], "x": "fanout/reruns/a"});
        assert_eq!(Link::of("tuesday", &input), Some(link));
        assert_eq!(Link::of("other", &input), None);
        let run = ExecutionArn::new("arn:aws:states:r:0:execution:SM:tuesday");
        let next = Link::new(&run, &input, "wednesday");
        assert_eq!((&*next.first, &*next.run), ("a", "tuesday"));
        assert!(next.key("only.csv").starts_with(&folder("a")));
        let items = ObjectAddress::new("b", next.key("only.csv"));
        let beside = numbers_beside(&items).key;
        assert_eq!(Link::parse(&beside), Some(next));
    }

    proptest! {
        #[test]
        fn any_key_is_a_link_or_none(key in "(fanout/reruns/)?[a-c/]{0,12}") {
            if let Some(link) = Link::parse(&key) {
                let file = key.rsplit('/').next().expect("a part");
                prop_assert_eq!(link.key(file), key);
            }
        }
    }
}
