//! Whether the items of a Map can be made again from what its children received, and given to a new
//! execution of the same machine. Either exactly, or not at all.

use serde_json::{Map, Value, json};

use crate::model::ObjectAddress;
use crate::operations::results;

/// How the items of a Map are made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    pub format: Format,
    /// Where the reader's bucket and key are in the execution's input.
    bucket: Place,
    key: Vec<String>,
    /// Whether a child received a batch.
    is_batched: bool,
    /// The field of the ItemSelector that is the whole item.
    field: Option<String>,
    /// The field of the ItemSelector that is the item's index.
    pub index: Option<String>,
    /// Where the batch size is in the execution's input.
    batch_size: Option<Vec<String>>,
    /// Names of the states that come after the map.
    pub has_more_states: bool,
}

/// What an ItemReader reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// Items of the shipped workflow: `{"n", "line"}`, in order.
    Lines,
    JsonLines,
    /// An array, at this pointer of a document.
    Json {
        pointer: String,
    },
    Csv {
        delimiter: char,
        given: Option<Vec<String>>,
    },
}

impl Format {
    pub fn suffix(&self) -> &'static str {
        match self {
            Self::Lines | Self::JsonLines => "jsonl",
            Self::Json { .. } => "json",
            Self::Csv { .. } => "csv",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    Fixed(String),
    Input(Vec<String>),
}

impl Way {
    /// # Errors
    /// Why not, and what in the definition would make it possible.
    pub fn of(definition: &Value, label: &str) -> Result<Self, String> {
        let Some((name, state)) = results::map_state(definition, label) else {
            return Err(format!("the definition has no Map state {label}"));
        };
        if definition["States"].get(name).is_none() {
            return Err(format!(
                "{name} is inside another state, whose input a new execution cannot give it"
            ));
        }
        let is_first = definition["StartAt"] == name && state.get("InputPath").is_none();
        let reader = &state["ItemReader"];
        let resource = reader["Resource"].as_str().unwrap_or_default();
        if !resource.ends_with("s3:getObject") {
            return Err(format!(
                "{name} does not read its items from one object in S3: give it an ItemReader with \
                 s3:getObject"
            ));
        }
        let arguments = reader.get("Parameters").or_else(|| reader.get("Arguments"));
        let arguments = arguments.unwrap_or(&Value::Null);
        let key = match place(arguments, "Key", is_first)? {
            Place::Input(path) => path,
            Place::Fixed(_) => {
                return Err(format!(
                    "the Key of the ItemReader of {name} is fixed in the definition: take it from \
                     the execution's input (\"Key.$\": \"$$.Execution.Input.key\")"
                ));
            }
        };
        let batcher = &state["ItemBatcher"];
        let batch_size = batcher["MaxItemsPerBatchPath"].as_str();
        Ok(Self {
            format: format(&reader["ReaderConfig"])?,
            bucket: place(arguments, "Bucket", is_first)?,
            key,
            is_batched: batcher.is_object(),
            field: whole(state, name)?,
            index: index(state),
            batch_size: batch_size.and_then(|path| input_path(path, is_first)),
            has_more_states: state.get("Next").is_some(),
        })
    }

    /// Where the subset goes: into the bucket that the reader reads from.
    pub fn address(&self, input: &Value, key: String) -> Result<ObjectAddress, String> {
        let bucket = match &self.bucket {
            Place::Fixed(bucket) => bucket.clone(),
            Place::Input(path) => text_at(input, path)
                .ok_or_else(|| format!("the input has no bucket at {}", path.join(".")))?,
        };
        Ok(ObjectAddress::new(bucket, key))
    }

    /// The input with the subset in place of the source, and batches of one where that is wanted.
    ///
    /// # Errors
    /// Says what the input or the definition lacks.
    pub fn input(
        &self,
        input: &Value,
        subset: &ObjectAddress,
        one_by_one: bool,
    ) -> Result<Value, String> {
        let mut input = input.clone();
        put(&mut input, &self.key, json!(subset.key))?;
        if let Place::Input(path) = &self.bucket {
            put(&mut input, path, json!(subset.bucket))?;
        }
        match (one_by_one && self.is_batched, &self.batch_size) {
            (false, _) => {}
            (true, Some(path)) => put(&mut input, path, json!(1))?,
            (true, None) => {
                return Err(
                    "the batch size is fixed in the definition: take it from the execution's input \
                     (MaxItemsPerBatchPath) to run items one by one"
                        .to_owned(),
                );
            }
        }
        Ok(input)
    }

    /// Items in what one child received, each with its index where that is told.
    ///
    /// # Errors
    /// Says what it lacks.
    pub fn items(&self, received: &str) -> Result<Vec<(Option<u64>, Value)>, String> {
        let received: Value = serde_json::from_str(received)
            .map_err(|error| format!("what a child received is no JSON: {error}"))?;
        let entries = match self.is_batched {
            false => vec![received],
            true => match received {
                Value::Object(mut members) => match members.remove("Items") {
                    Some(Value::Array(items)) => items,
                    _ => return Err("a batch has no Items".to_owned()),
                },
                _ => return Err("a batch is no object".to_owned()),
            },
        };
        let own = |mut entry: Value| {
            let index = self.index.as_deref().and_then(|name| entry[name].as_u64());
            let item = match &self.field {
                None => Some(entry),
                Some(field) => entry.get_mut(field).map(Value::take),
            };
            let missing = || {
                let field = self.field.as_deref().unwrap_or_default();
                format!("what a child received has no {field}")
            };
            Ok((index, item.ok_or_else(missing)?))
        };
        entries.into_iter().map(own).collect()
    }
}

/// What to do where items cannot be written as they were read.
const ELSEWHERE: &str = "so chosen ones need a state machine with the same ItemProcessor whose \
                         ItemReader reads JSONL";

fn format(config: &Value) -> Result<Format, String> {
    if config.get("Transformation").is_some() || config.get("ManifestType").is_some() {
        return Err(format!(
            "the ItemReader reads a manifest: its items are in other objects, {ELSEWHERE}"
        ));
    }
    match config["InputType"].as_str() {
        Some("JSONL") => Ok(Format::JsonLines),
        Some("JSON") => Ok(Format::Json {
            pointer: config["ItemsPointer"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        }),
        Some("CSV") => {
            let given = config["CSVHeaders"].as_array().map(|names| {
                let names = names.iter().filter_map(Value::as_str);
                names.map(str::to_owned).collect()
            });
            let delimiter = match config["CSVDelimiter"].as_str() {
                None | Some("COMMA") => ',',
                Some("PIPE") => '|',
                Some("SEMICOLON") => ';',
                Some("SPACE") => ' ',
                Some("TAB") => '\t',
                Some(other) => {
                    return Err(format!(
                        "the ItemReader's CSVDelimiter {other} is not known here"
                    ));
                }
            };
            Ok(Format::Csv { delimiter, given })
        }
        other => Err(format!(
            "the ItemReader reads {}: only JSONL, JSON and CSV can be written again, {ELSEWHERE}",
            other.unwrap_or("no InputType")
        )),
    }
}

/// The field of the ItemSelector that holds the whole item; `None` where there is no selector, or it
/// is the item itself.
pub(in crate::operations) fn whole(state: &Value, name: &str) -> Result<Option<String>, String> {
    const WHOLE: [&str; 2] = ["$$.Map.Item.Value", "$states.context.Map.Item.Value"];
    let selector = state
        .get("ItemSelector")
        .or_else(|| state.get("Parameters"));
    let is_whole = |value: &Value| {
        let text = value.as_str().unwrap_or_default().trim();
        let inner = text
            .strip_prefix("{%")
            .and_then(|text| text.strip_suffix("%}"));
        WHOLE.contains(&inner.unwrap_or(text).trim())
    };
    match selector {
        None => Ok(None),
        Some(whole) if is_whole(whole) => Ok(None),
        Some(Value::Object(members)) => {
            let found = members.iter().find(|(_, value)| is_whole(value));
            let found = found.map(|(name, _)| name.strip_suffix(".$").unwrap_or(name).to_owned());
            found.map(Some).ok_or_else(|| {
                format!(
                    "the ItemSelector of {name} keeps only parts of an item: add the whole of it \
                     (\"item.$\": \"$$.Map.Item.Value\")"
                )
            })
        }
        Some(_) => Err(format!("the ItemSelector of {name} makes items of its own")),
    }
}

/// The field of the ItemSelector that holds the item's index.
pub(in crate::operations) fn index(state: &Value) -> Option<String> {
    let selector = state
        .get("ItemSelector")
        .or_else(|| state.get("Parameters"));
    let members = selector.and_then(Value::as_object)?;
    members.iter().find_map(|(name, value)| {
        let is_index = match value.as_str()?.trim().strip_prefix("{%") {
            Some(jsonata) => {
                jsonata.trim_end_matches("%}").trim() == "$states.context.Map.Item.Index"
            }
            None => value == "$$.Map.Item.Index",
        };
        is_index.then(|| name.trim_end_matches(".$").to_owned())
    })
}

/// `Bucket` or `Key` of an ItemReader.
fn place(arguments: &Value, name: &str, is_first: bool) -> Result<Place, String> {
    let from = |path: &str| {
        input_path(path, is_first).map(Place::Input).ok_or_else(|| {
            format!(
                "the {name} of the ItemReader is {path}, which the execution's input does not \
                 give: use $$.Execution.Input there"
            )
        })
    };
    match (&arguments[name], &arguments[format!("{name}.$")]) {
        (Value::String(text), _) => match text.trim().strip_prefix("{%") {
            Some(jsonata) => from(jsonata.trim_end_matches("%}").trim()),
            None => Ok(Place::Fixed(text.clone())),
        },
        (_, Value::String(path)) => from(path),
        _ => Err(format!("the ItemReader has no {name}")),
    }
}

/// The fields that a reference to the execution's input names. The state's input is the execution's
/// only in the first state.
fn input_path(text: &str, is_first: bool) -> Option<Vec<String>> {
    let context = ["$$.Execution.Input.", "$states.context.Execution.Input."];
    let own = ["$.", "$states.input."];
    let mut prefixes = context.iter().chain(own.iter().filter(|_| is_first));
    let fields = prefixes.find_map(|prefix| text.strip_prefix(prefix))?;
    let plain = |field: &str| {
        let legal = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        !field.is_empty() && field.chars().all(legal)
    };
    let fields: Vec<String> = fields.split('.').map(str::to_owned).collect();
    fields.iter().all(|field| plain(field)).then_some(fields)
}

fn text_at(value: &Value, path: &[String]) -> Option<String> {
    let found = path
        .iter()
        .try_fold(value, |value, field| value.get(field))?;
    found.as_str().map(str::to_owned)
}

/// Replaces what is at `path`, which must be there.
fn put(value: &mut Value, path: &[String], new: Value) -> Result<(), String> {
    let missing = || format!("the input of the run has no {}", path.join("."));
    let mut at = value;
    for field in path {
        at = at.get_mut(field).ok_or_else(missing)?;
    }
    *at = new;
    Ok(())
}

/// Writes items in the format that the reader reads.
#[derive(Debug)]
pub struct Writer {
    format: Format,
    /// Of delimited text: the names of its columns.
    columns: Vec<String>,
    written: u64,
}

impl Writer {
    pub fn new(format: Format) -> Self {
        Self {
            format,
            columns: Vec::new(),
            written: 0,
        }
    }

    /// # Errors
    /// Says why the item cannot be written in this format.
    pub fn item(&mut self, item: &Value, out: &mut Vec<u8>) -> Result<(), String> {
        let is_first = self.written == 0;
        self.written += 1;
        match &self.format {
            Format::Lines | Format::JsonLines => {
                out.extend_from_slice(item.to_string().as_bytes());
                out.push(b'\n');
            }
            Format::Json { pointer } => {
                match is_first {
                    true => out.extend_from_slice(&before_array(pointer)),
                    false => out.extend_from_slice(b",\n"),
                }
                out.extend_from_slice(item.to_string().as_bytes());
            }
            Format::Csv { delimiter, given } => {
                let Value::Object(members) = item else {
                    return Err("an item of delimited text is an object".to_owned());
                };
                if is_first {
                    self.columns = match given {
                        Some(names) => names.clone(),
                        None => members.keys().cloned().collect(),
                    };
                    if given.is_none() {
                        let names = self.columns.iter().map(String::as_str);
                        row(names, *delimiter, out);
                    }
                }
                row(cells(members, &self.columns)?.into_iter(), *delimiter, out);
            }
        }
        Ok(())
    }

    /// Ends what was begun.
    pub fn finish(&self, out: &mut Vec<u8>) {
        if let Format::Json { pointer } = &self.format {
            if self.written == 0 {
                out.extend_from_slice(&before_array(pointer));
            }
            out.push(b']');
            let depth = pointer.split('/').skip(1).count();
            out.extend(std::iter::repeat_n(b'}', depth));
        }
    }
}

/// `{"a":{"b":[` for `/a/b`.
fn before_array(pointer: &str) -> Vec<u8> {
    let names = pointer.split('/').skip(1);
    let names = names.map(|name| name.replace("~1", "/").replace("~0", "~"));
    let open = names.fold(String::new(), |open, name| {
        open + "{" + &Value::String(name).to_string() + ":"
    });
    (open + "[").into_bytes()
}

fn cells<'m>(members: &'m Map<String, Value>, columns: &[String]) -> Result<Vec<&'m str>, String> {
    if members.len() != columns.len() {
        return Err("the items do not have the same columns".to_owned());
    }
    columns
        .iter()
        .map(|name| match members.get(name) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(format!("{name} is not a text, as all of delimited text is")),
            None => Err(format!("an item has no {name}")),
        })
        .collect()
}

fn row<'c>(cells: impl Iterator<Item = &'c str>, delimiter: char, out: &mut Vec<u8>) {
    for (at, cell) in cells.enumerate() {
        if 0 < at {
            out.extend_from_slice(delimiter.encode_utf8(&mut [0; 4]).as_bytes());
        }
        let special = |c: char| c == delimiter || matches!(c, '"' | '\n' | '\r');
        // An empty row would be taken for none.
        match cell.is_empty() && at == 0 || cell.contains(special) {
            true => out.extend_from_slice(format!("\"{}\"", cell.replace('"', "\"\"")).as_bytes()),
            false => out.extend_from_slice(cell.as_bytes()),
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn machine(map: Value) -> Value {
        let mut map = map;
        map["Type"] = json!("Map");
        map["Label"] = json!("L");
        json!({"StartAt": "M", "States": {"M": map}})
    }

    fn reader(kind: &str) -> Value {
        json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": kind},
            "Parameters": {"Bucket": "b", "Key.$": "$.from.key"}})
    }

    #[test]
    fn an_item_comes_back_from_what_its_child_received() {
        let way = |more: Value| {
            let mut map = json!({"ItemReader": reader("JSONL")});
            map.as_object_mut()
                .expect("an object")
                .extend(more.as_object().expect("one").clone());
            Way::of(&machine(map), "L").expect("a way")
        };
        let plain = way(json!({}));
        assert_eq!(plain.items(r#"{"a":1}"#), Ok(vec![(None, json!({"a": 1}))]));
        let batched = way(json!({"ItemBatcher": {"MaxItemsPerBatchPath": "$.size"}}));
        let batch = r#"{"BatchInput":{"x":1},"Items":[1,2]}"#;
        let both = vec![(None, json!(1)), (None, json!(2))];
        assert_eq!(batched.items(batch), Ok(both));
        assert!(batched.items("{}").is_err() && batched.items("[1]").is_err());
        let selected = way(json!({"ItemSelector": {"i.$": "$$.Map.Item.Value", "x.$": "$.x"}}));
        let received = r#"{"i":"a","x":2}"#;
        assert_eq!(selected.items(received), Ok(vec![(None, json!("a"))]));
        let selector = json!({"i.$": "$$.Map.Item.Value", "at.$": "$$.Map.Item.Index"});
        let indexed = way(json!({"ItemSelector": selector}));
        let received = r#"{"i":"a","at":2}"#;
        assert_eq!(indexed.items(received), Ok(vec![(Some(2), json!("a"))]));
        let jsonata = way(json!({"ItemSelector": "{% $states.context.Map.Item.Value %}"}));
        assert_eq!(jsonata.items("3"), Ok(vec![(None, json!(3))]));

        let input = json!({"from": {"key": "old"}, "size": 9});
        let subset = plain.address(&input, "new".to_owned()).expect("a place");
        assert_eq!(subset, ObjectAddress::new("b", "new"));
        let new = batched.input(&input, &subset, true).expect("an input");
        assert_eq!(new, json!({"from": {"key": "new"}, "size": 1}));
        assert!(
            plain
                .input(&json!({}), &subset, false)
                .expect_err("no key")
                .contains("from.key")
        );
        let fixed = way(json!({"ItemBatcher": {"MaxItemsPerBatch": 9}}));
        assert!(
            fixed
                .input(&input, &subset, true)
                .expect_err("fixed")
                .contains("BatchPath")
        );
    }

    #[test]
    fn what_cannot_be_rebuilt_says_what_to_change() {
        let refused = |map: Value| Way::of(&machine(map), "L").expect_err("no way");
        assert!(refused(json!({})).contains("s3:getObject"));
        let mut fixed = reader("JSONL");
        fixed["Parameters"] = json!({"Bucket": "b", "Key": "k"});
        assert!(refused(json!({"ItemReader": fixed})).contains("Key.$"));
        let parts =
            json!({"ItemReader": reader("CSV"), "ItemSelector": {"n.$": "$$.Map.Item.Value.n"}});
        assert!(refused(parts).contains("\"item.$\""));
        for kind in ["MANIFEST", "PARQUET"] {
            let refused = refused(json!({"ItemReader": reader(kind)}));
            assert!(
                refused.contains(kind) && refused.contains("reads JSONL"),
                "{refused}"
            );
        }
        let mut late = machine(json!({"ItemReader": reader("JSONL")}));
        late["StartAt"] = json!("Before");
        let refused = Way::of(&late, "L").expect_err("another state makes the key");
        assert!(refused.contains("$$.Execution.Input"), "{refused}");
    }

    #[test]
    fn arrays_are_written_where_the_reader_looks_for_them() {
        let written = |pointer: &str, items: &[Value]| {
            let mut writer = Writer::new(Format::Json {
                pointer: pointer.to_owned(),
            });
            let mut out = Vec::new();
            for item in items {
                writer.item(item, &mut out).expect("any JSON");
            }
            writer.finish(&mut out);
            serde_json::from_slice::<Value>(&out).expect("JSON")
        };
        assert_eq!(written("", &[json!(1), json!("b")]), json!([1, "b"]));
        assert_eq!(written("/a/b~1c", &[json!(1)]), json!({"a": {"b/c": [1]}}));
        assert_eq!(written("/a", &[]), json!({"a": []}));
    }

    proptest! {
        #[test]
        fn delimited_text_is_read_back_as_it_was(
            rows in proptest::collection::vec(proptest::collection::vec("[ -~\n\r\"|;]{0,9}", 3), 1..5),
            delimiter in prop_oneof![Just(','), Just('|'), Just(';'), Just('\t')],
        ) {
            let mut writer = Writer::new(Format::Csv { delimiter, given: None });
            let mut out = Vec::new();
            for row in &rows {
                let item = json!({"one": row[0], "b": row[1], "c,\"": row[2]});
                writer.item(&item, &mut out).expect("texts");
            }
            let mut reader = csv::ReaderBuilder::new()
                .delimiter(delimiter as u8)
                .from_reader(out.as_slice());
            prop_assert_eq!(reader.headers().expect("a header"), vec!["one", "b", "c,\""]);
            let read: Vec<Vec<String>> = reader
                .records()
                .map(|row| row.expect("a row").iter().map(str::to_owned).collect())
                .collect();
            prop_assert_eq!(read, rows);
        }
    }
}
