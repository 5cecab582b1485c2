//! What a Map Run's ItemReader reads, and what its children get of it, found from the definition.

use serde_json::Value;

use super::{Scope, map_state, scope};
use crate::client::Client;
use crate::model::{MapRun, ObjectAddress};
use crate::operations::Error;

/// Where items come from, and what becomes of them before a child gets them.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::operations) struct ItemSource {
    pub address: ObjectAddress,
    pub format: ItemFormat,
    /// Where in its input a child finds the whole item.
    pub item: ItemPlace,
    /// The member of a child's input that holds `Map.Item.Index`.
    pub index: Option<String>,
    pub is_batched: bool,
    pub is_jsonata: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::operations) enum ItemFormat {
    JsonLines,
    Csv {
        delimiter: u8,
        /// `None` where the first record has them.
        header: Option<Vec<String>>,
    },
    /// Another, by the service's name of it: its items are no lines.
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::operations) enum ItemPlace {
    /// The input is the item.
    Whole,
    Member(String),
    /// Only parts of it, or nothing.
    Nowhere,
}

impl ItemPlace {
    /// The whole item in a child's input.
    pub fn of<'a>(&self, input: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Whole => Some(input),
            Self::Member(name) => input.get(name),
            Self::Nowhere => None,
        }
    }
}

/// `None` where the items do not come from one object.
pub(in crate::operations) async fn item_source(
    client: &Client,
    map_run: &MapRun,
) -> Result<Option<ItemSource>, Error> {
    let used = client
        .state_machine_for_execution(&map_run.execution)
        .await?;
    let definition: Value = serde_json::from_str(&used.definition)
        .map_err(|error| Error::malformed(&used.name, format!("its definition: {error}")))?;
    let Some((name, state)) = map_state(&definition, map_run.arn.label()) else {
        return Ok(None);
    };
    let reads_object = state["ItemReader"]["Resource"]
        .as_str()
        .is_some_and(|it| it.ends_with(":s3:getObject"));
    if !reads_object {
        return Ok(None);
    }
    let scope = scope(client, map_run, name).await?;
    Ok(of(state, &scope))
}

fn of(state: &Value, scope: &Scope) -> Option<ItemSource> {
    let reader = &state["ItemReader"];
    let place = reader
        .get("Parameters")
        .or_else(|| reader.get("Arguments"))?;
    let address = ObjectAddress::new(scope.field(place, "Bucket")?, scope.field(place, "Key")?);
    let selector = state
        .get("ItemSelector")
        .or_else(|| state.get("Parameters"));
    let (item, index) = match selector.and_then(Value::as_object) {
        None => (ItemPlace::Whole, None),
        Some(members) => {
            let holding = |wanted: &str| {
                let mut members = members.iter();
                let found = members.find(|(_, value)| is_reference(value, wanted))?;
                Some(found.0.trim_end_matches(".$").to_owned())
            };
            let item = holding("Map.Item.Value").map_or(ItemPlace::Nowhere, ItemPlace::Member);
            (item, holding("Map.Item.Index"))
        }
    };
    Some(ItemSource {
        address,
        format: format(&reader["ReaderConfig"]),
        item,
        index,
        is_batched: state.get("ItemBatcher").is_some(),
        is_jsonata: selector.is_some_and(|it| it.to_string().contains("{%")),
    })
}

fn format(config: &Value) -> ItemFormat {
    match config["InputType"].as_str().unwrap_or_default() {
        "JSONL" => ItemFormat::JsonLines,
        "CSV" => {
            let delimiter = match config["CSVDelimiter"].as_str() {
                Some("PIPE") => b'|',
                Some("SEMICOLON") => b';',
                Some("SPACE") => b' ',
                Some("TAB") => b'\t',
                _ => b',',
            };
            let given = config["CSVHeaders"].as_array().map(|names| {
                let names = names.iter().filter_map(Value::as_str);
                names.map(str::to_owned).collect()
            });
            let header = given.filter(|_| config["CSVHeaderLocation"] == "GIVEN");
            ItemFormat::Csv { delimiter, header }
        }
        other => ItemFormat::Other(other.to_owned()),
    }
}

/// Whether a selector's value is this part of the context object, in either language.
fn is_reference(value: &Value, wanted: &str) -> bool {
    let text = value.as_str().unwrap_or_default().trim();
    let jsonata = text.strip_prefix("{%").and_then(|it| it.strip_suffix("%}"));
    let path = match jsonata {
        Some(expression) => expression.trim().strip_prefix("$states.context."),
        None => text.strip_prefix("$$."),
    };
    path == Some(wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(selector: Option<Value>) -> ItemSource {
        let mut state = json!({"ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "CSV", "CSVDelimiter": "PIPE",
                "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["a", "b"]},
            "Parameters": {"Bucket.$": "$.bucket", "Key": "in.csv"}}});
        if let Some(selector) = selector {
            state["ItemSelector"] = selector;
        }
        let scope = Scope {
            input: json!({"bucket": "in"}),
            context: json!({}),
        };
        of(&state, &scope).expect("an object is read")
    }

    #[test]
    fn the_reader_says_where_items_come_from() {
        let source = source(None);
        assert_eq!(source.address, ObjectAddress::new("in", "in.csv"));
        assert_eq!((source.item, source.index), (ItemPlace::Whole, None));
        let header = Some(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(
            source.format,
            ItemFormat::Csv {
                delimiter: b'|',
                header
            }
        );
    }

    #[test]
    fn the_selector_says_what_children_get() {
        let paths = source(Some(json!({
            "row.$": "$$.Map.Item.Value", "at.$": "$$.Map.Item.Index", "to": "b"
        })));
        assert_eq!(paths.item, ItemPlace::Member("row".to_owned()));
        assert_eq!(paths.index.as_deref(), Some("at"));
        let jsonata = source(Some(json!({"at": "{% $states.context.Map.Item.Index %}"})));
        assert_eq!(jsonata.item, ItemPlace::Nowhere);
        assert_eq!(
            (jsonata.index.as_deref(), jsonata.is_jsonata),
            (Some("at"), true)
        );
    }
}
