//! From a failure to the line of the source that it worked on. The method is always said, and where
//! no method is certain there is no number.

use std::ops::ControlFlow;
use std::path::Path;

use futures::StreamExt as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::client::Client;
use crate::model::{Failure, MapRun, Object, ObjectAddress, figures};
use crate::operations::Error;
use crate::operations::failures::lines::{self, Item, Lines, fingerprint};
use crate::operations::failures::reading::{self, Found};
use crate::operations::failures::record::Outcome;
use crate::operations::results::{ItemFormat, ItemSource, item_source};

/// Candidates that are named.
const NAMED: usize = 5;
/// Bytes of a line that are shown.
const SHOWN: usize = 64 << 10;
/// Bytes of a line that are compared with an item, which has 262,144 at the most.
const COMPARED: u64 = 2 << 20;

/// A line of the source, as far as it is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceLine {
    pub source: Option<ObjectAddress>,
    /// From 1; `None` where it is not certain.
    pub line: Option<u64>,
    pub text: Option<String>,
    pub method: Method,
    /// Where several lines say the same, the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<u64>,
    /// What would make it certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// How a line was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// The item carries its number: our own workflow's.
    Number,
    /// `Map.Item.Index`, which the definition passes on.
    Index,
    /// The only one that says what the item says.
    Content,
    /// So many say the same.
    Candidates(u64),
    /// Not, and why.
    NotFound(String),
}

impl Method {
    pub fn words(&self) -> String {
        match self {
            Self::Number => "by the number in the item".to_owned(),
            Self::Index => "by item index".to_owned(),
            Self::Content => "by content (unique)".to_owned(),
            Self::Candidates(count) => format!("by content, {count} candidates"),
            Self::NotFound(why) => format!("not found: {why}"),
        }
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.words())
    }
}

impl SourceLine {
    fn not_found(source: Option<ObjectAddress>, why: impl Into<String>) -> Self {
        Self {
            source,
            line: None,
            text: None,
            method: Method::NotFound(why.into()),
            candidates: Vec::new(),
            advice: None,
        }
    }

    /// `line 3,118 of s3://b/k, matched by item index`.
    pub fn words(&self) -> String {
        let of = self.source.as_ref().map(|it| format!(" of {it}"));
        let of = of.unwrap_or_default();
        let method = self.method.words();
        match (self.line, self.candidates.as_slice()) {
            (Some(line), _) => format!("line {}{of}, matched {method}", figures::count(line)),
            (None, []) => format!("line{of}: {method}"),
            (None, some) => {
                let some: Vec<String> = some.iter().map(|it| figures::count(*it)).collect();
                format!("line{of}: {method}: {}, …", some.join(", "))
            }
        }
    }
}

/// Finds the line of the source that a failed child worked on. The index of the source's lines is
/// built where it is not in `cache` yet, which takes one reading of the source.
///
/// # Errors
/// `File` where the cache cannot be used, and what the service answers.
pub async fn source_line(
    client: &Client,
    map_run: &MapRun,
    failure: &Failure,
    cache: &Path,
) -> Result<SourceLine, Error> {
    let input: Value = match failure.input.as_deref().map(serde_json::from_str) {
        Some(Ok(input)) => input,
        Some(Err(_)) => return Ok(SourceLine::not_found(None, "the child's input is no JSON")),
        None => {
            return Ok(SourceLine::not_found(
                None,
                "the child's input is not known",
            ));
        }
    };
    if let Some(line) = failure.line {
        return by_number(client, map_run, line, &input).await;
    }
    let Some(source) = item_source(client, map_run).await? else {
        return Ok(SourceLine::not_found(
            None,
            "the items do not come from the lines of one object",
        ));
    };
    let address = Some(source.address.clone());
    let item = match (
        source.is_batched,
        input.get("Items").and_then(Value::as_array),
    ) {
        (false, _) | (true, None) => &input,
        (true, Some(items)) if items.len() == 1 => &items[0],
        (true, Some(items)) => {
            let why = format!("the child worked on a batch of {} items", items.len());
            return Ok(SourceLine::not_found(address, why));
        }
    };
    if let ItemFormat::Other(name) = &source.format {
        let why = format!("items of {name} are no lines");
        return Ok(SourceLine::not_found(address, why));
    }
    let Some((object, _)) = client.head(&source.address).await? else {
        return Ok(SourceLine::not_found(
            address,
            "the source is not there any more",
        ));
    };
    let lines = match Lines::open(client, &object, &source.format, cache).await {
        Ok(lines) => lines,
        // Why there can be no index is what there is to say.
        Err(Error::Malformed { problem, .. }) => {
            return Ok(SourceLine::not_found(address, problem));
        }
        Err(error) => return Err(error),
    };
    let is_changed = map_run.started < object.modified;
    let found = find(&lines, &source, item, is_changed).map_err(|it| Error::file(cache, it))?;
    let mut told = SourceLine {
        source: address.clone(),
        line: None,
        text: None,
        candidates: Vec::new(),
        advice: (found.method != Method::Index).then(|| advice(&source)),
        method: found.method,
    };
    match (&told.method, found.items.first()) {
        (Method::Index | Method::Content, Some(found)) => {
            let mut text = text(client, &object, found.offset, found.length).await?;
            let header = header(client, &object, &source.format, &lines).await?;
            if !is_said(&source, &text, &header, item) {
                return Ok(SourceLine::not_found(address, "no line says this"));
            }
            text.truncate(text.floor_char_boundary(SHOWN));
            told.line = Some(found.line);
            told.text = Some(text);
        }
        _ => told.candidates = found.items.iter().map(|it| it.line).collect(),
    }
    Ok(told)
}

/// The failures of a Map Run that has closed which worked on one line of the source, each with how
/// that is known; at most 100.
///
/// # Errors
/// As [`source_line`].
pub async fn of_line(
    client: &Client,
    map_run: &MapRun,
    line: u64,
    cache: &Path,
) -> Result<Vec<(Failure, Method)>, Error> {
    const MOST: usize = 100;
    let (mut found, mut has_numbers) = (Vec::new(), false);
    let carried = |it: Found<'_>| {
        match it {
            Found::Restart => found.clear(),
            Found::Record(record, _) if record.outcome() == Outcome::Failed => {
                let number = record.line();
                has_numbers |= number.is_some();
                if number == Some(line) && found.len() < MOST {
                    found.push((record.failure(), Method::Number));
                }
            }
            Found::Record(..) => {}
        }
        ControlFlow::Continue(())
    };
    reading::each(client, map_run, false, carried).await?;
    if has_numbers {
        return Ok(found);
    }
    let Some(source) = item_source(client, map_run).await? else {
        return Ok(found);
    };
    let has_lines = !source.is_batched && !matches!(source.format, ItemFormat::Other(_));
    let object = match has_lines {
        true => client.head(&source.address).await?,
        false => None,
    };
    let Some((object, _)) = object else {
        return Ok(found);
    };
    let lines = Lines::open(client, &object, &source.format, cache).await?;
    let is_changed = map_run.started < object.modified;
    let says = lines.of_line(line).map_err(|it| Error::file(cache, it))?;
    let Some(says) = says else {
        return Ok(found);
    };
    let mut trouble = None;
    let by_content = |it: Found<'_>| {
        match it {
            Found::Restart => found.clear(),
            Found::Record(record, _) if record.outcome() == Outcome::Failed => {
                let input = record.input().and_then(|it| serde_json::from_str(&it).ok());
                let Some(input) = input else {
                    return ControlFlow::Continue(());
                };
                match is_on(&lines, &source, &input, is_changed, says) {
                    Ok(Some(method)) if found.len() < MOST => {
                        found.push((record.failure(), method));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        trouble = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            Found::Record(..) => {}
        }
        ControlFlow::Continue(())
    };
    reading::each(client, map_run, false, by_content).await?;
    match trouble {
        Some(error) => Err(Error::file(cache, error)),
        None => Ok(found),
    }
}

/// How it is known that an item may be this line; `None` where it is another. The index is looked
/// through only for items that say what the line says.
fn is_on(
    lines: &Lines,
    source: &ItemSource,
    input: &Value,
    is_changed: bool,
    says: Item,
) -> std::io::Result<Option<Method>> {
    let item = source.item.of(input);
    if item.is_some_and(|it| fingerprint(it) != says.fingerprint) {
        return Ok(None);
    }
    let found = find(lines, source, input, is_changed)?;
    Ok(match found.method {
        Method::Index | Method::Content => {
            let is_it = found.items.first().is_some_and(|it| it.line == says.line);
            is_it.then_some(found.method)
        }
        Method::Candidates(_) => Some(found.method),
        Method::Number | Method::NotFound(_) => None,
    })
}

/// The item has its number and its line.
async fn by_number(
    client: &Client,
    map_run: &MapRun,
    line: u64,
    input: &Value,
) -> Result<SourceLine, Error> {
    let run = client.execution(&map_run.execution).await?.input;
    let run: Option<Value> = run.and_then(|it| serde_json::from_str(&it).ok());
    let source = run.as_ref().and_then(|run| {
        let source = run.get("source")?;
        let (bucket, key) = (
            source.get("bucket")?.as_str()?,
            source.get("key")?.as_str()?,
        );
        Some(ObjectAddress::new(bucket, key))
    });
    Ok(SourceLine {
        source,
        line: Some(line),
        text: input["line"].as_str().map(str::to_owned),
        method: Method::Number,
        candidates: Vec::new(),
        advice: None,
    })
}

struct Match {
    method: Method,
    items: Vec<Item>,
}

fn find(
    lines: &Lines,
    source: &ItemSource,
    input: &Value,
    is_changed: bool,
) -> std::io::Result<Match> {
    let not_found = |why: &str| Match {
        method: Method::NotFound(why.to_owned()),
        items: Vec::new(),
    };
    let item = source.item.of(input);
    let wanted = item.map(fingerprint);
    let index = source
        .index
        .as_ref()
        .and_then(|name| input.get(name)?.as_u64());
    if let Some(index) = index
        && let Some(item) = lines.item(index)?
    {
        let is_it = match wanted {
            Some(wanted) => wanted == item.fingerprint,
            // Nothing to compare it with: then nothing may speak against it.
            None => !is_changed && has_no_blank_line(source, index, item),
        };
        if is_it {
            return Ok(Match {
                method: Method::Index,
                items: vec![item],
            });
        }
    }
    let Some(wanted) = wanted else {
        return Ok(not_found(match (index, is_changed) {
            (Some(_), true) => "the source has changed since the run began",
            (Some(_), false) => "its index leads to no certain line",
            (None, _) => "the child gets only parts of its item",
        }));
    };
    let (items, count) = lines.with(wanted, NAMED)?;
    Ok(match count {
        0 if is_changed => {
            not_found("no line says this; the source has changed since the run began")
        }
        0 => not_found("no line says this"),
        1 => Match {
            method: Method::Content,
            items,
        },
        many => Match {
            method: Method::Candidates(many),
            items,
        },
    })
}

/// Whether an item's number follows from its line alone: whether blank lines are items is not
/// documented.
fn has_no_blank_line(source: &ItemSource, index: u64, item: Item) -> bool {
    match &source.format {
        ItemFormat::Csv { header: None, .. } => item.line == index + 2,
        _ => item.line == index + 1,
    }
}

/// Whether the line says what the child was given: equal fingerprints only tell where to look.
fn is_said(source: &ItemSource, text: &str, header: &[String], input: &Value) -> bool {
    let Some(item) = source.item.of(input) else {
        // Nothing to compare it with.
        return true;
    };
    let said = lines::value(&source.format, text.as_bytes(), header);
    said.is_some_and(|said| is_same(&said, item))
}

/// The names of a CSV's cells: its definition's, else those of its own first record.
async fn header(
    client: &Client,
    object: &Object,
    format: &ItemFormat,
    lines: &Lines,
) -> Result<Vec<String>, Error> {
    let (delimiter, named) = match format {
        ItemFormat::Csv { delimiter, header } => (*delimiter, header),
        ItemFormat::JsonLines | ItemFormat::Other(_) => return Ok(Vec::new()),
    };
    if let Some(named) = named {
        return Ok(named.clone());
    }
    let first = lines
        .item(0)
        .map_err(|it| Error::malformed(&object.address, it))?;
    let before = first.map_or(0, |it| it.offset);
    let text = text(client, object, 0, before).await?;
    Ok(lines::header(&text, delimiter))
}

/// Equality of JSON values, however their numbers are written.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let both_whole = !one.is_f64() && !other.is_f64();
            one == other || (!both_whole && one.as_f64() == other.as_f64())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(name, value)| other.get(name).is_some_and(|it| is_same(value, it));
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}

/// A piece of the source without the line's end.
async fn text(client: &Client, object: &Object, offset: u64, length: u64) -> Result<String, Error> {
    if length == 0 {
        return Ok(String::new());
    }
    let range = offset..offset + length.min(COMPARED);
    let body = client
        .read(&object.address, Some(range), Some(&object.etag))
        .await?;
    let mut stream = body.bytes;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(String::from_utf8_lossy(&bytes)
        .trim_end_matches(['\r', '\n'])
        .to_owned())
}

/// The change of the definition that makes the line certain.
fn advice(source: &ItemSource) -> String {
    let members = match source.is_jsonata {
        true => [
            "\"item\": \"{% $states.context.Map.Item.Value %}\"",
            "\"index\": \"{% $states.context.Map.Item.Index %}\"",
        ],
        false => [
            "\"item.$\": \"$$.Map.Item.Value\"",
            "\"index.$\": \"$$.Map.Item.Index\"",
        ],
    };
    format!(
        "an ItemSelector with {} makes it certain",
        members.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line: Option<u64>, method: Method, candidates: &[u64]) -> String {
        let line = SourceLine {
            source: Some(ObjectAddress::new("b", "k")),
            line,
            text: None,
            method,
            candidates: candidates.to_vec(),
            advice: None,
        };
        line.words()
    }

    #[test]
    fn large_numbers_that_share_a_fingerprint_are_not_the_same() {
        let value = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
        let (one, other) = (value("[9007199254740992]"), value("[9007199254740993]"));
        assert_eq!(fingerprint(&one), fingerprint(&other));
        assert!(!is_same(&one, &other));
        assert!(is_same(
            &value(r#"{"a":1.0,"b":[2]}"#),
            &value(r#"{"b":[2.0],"a":1}"#)
        ));
        assert!(!is_same(&value(r#"{"a":1}"#), &value(r#"{"a":1,"b":2}"#)));
    }

    #[test]
    fn the_method_is_always_said() {
        assert_eq!(
            line(Some(7), Method::Index, &[]),
            "line 7 of s3://b/k, matched by item index"
        );
        assert_eq!(
            line(Some(7), Method::Content, &[]),
            "line 7 of s3://b/k, matched by content (unique)"
        );
        assert_eq!(
            line(None, Method::Candidates(3), &[2, 5, 9]),
            "line of s3://b/k: by content, 3 candidates: 2, 5, 9, …"
        );
        assert_eq!(
            line(None, Method::NotFound("no line says this".into()), &[]),
            "line of s3://b/k: not found: no line says this"
        );
    }
}
