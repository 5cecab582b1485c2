//! Intrinsic functions (Step Functions developer guide, "Intrinsics for JSONPath states").

use serde_json::{Map, Value};

use crate::engine::machine::random_uuid;
use crate::engine::query::Source;

/// What the engine knows; anything else is refused when the state machine is created.
pub(super) const NAMES: [&str; 14] = [
    "States.Format",
    "States.StringToJson",
    "States.JsonToString",
    "States.Array",
    "States.ArrayPartition",
    "States.ArrayContains",
    "States.ArrayRange",
    "States.ArrayGetItem",
    "States.ArrayLength",
    "States.ArrayUnique",
    "States.JsonMerge",
    "States.MathAdd",
    "States.StringSplit",
    "States.UUID",
];

/// `States.ArrayRange` makes at most this many elements (developer guide, same page).
const MAX_RANGE: i128 = 1_000;

pub(super) fn call(
    name: &str,
    arguments: Vec<Value>,
    source: &dyn Source,
) -> Result<Value, String> {
    match (name, arguments.as_slice()) {
        ("States.Format", [Value::String(template), values @ ..]) => format(template, values),
        ("States.StringToJson", [Value::String(text)]) => {
            serde_json::from_str(text).map_err(|error| format!("invalid JSON: {error}"))
        }
        ("States.JsonToString", [value]) => Ok(Value::String(value.to_string())),
        ("States.Array", _) => Ok(Value::Array(arguments)),
        ("States.ArrayPartition", [Value::Array(array), size]) => {
            let size = size
                .as_u64()
                .filter(|size| *size > 0)
                .ok_or("the chunk size must be a positive integer")?;
            let chunks = array.chunks(usize::try_from(size).unwrap_or(usize::MAX));
            Ok(chunks.map(|chunk| Value::Array(chunk.to_vec())).collect())
        }
        ("States.ArrayContains", [Value::Array(array), value]) => Ok(array.contains(value).into()),
        ("States.ArrayRange", [from, to, by]) => range(from, to, by),
        ("States.ArrayGetItem", [Value::Array(array), index]) => index
            .as_u64()
            .and_then(|index| array.get(usize::try_from(index).ok()?))
            .cloned()
            .ok_or_else(|| format!("index {index} is not in the array")),
        ("States.ArrayLength", [Value::Array(array)]) => Ok(array.len().into()),
        ("States.ArrayUnique", [Value::Array(array)]) => {
            let mut unique: Vec<Value> = Vec::new();
            for value in array {
                if !unique.contains(value) {
                    unique.push(value.clone());
                }
            }
            Ok(Value::Array(unique))
        }
        (
            "States.JsonMerge",
            [
                Value::Object(first),
                Value::Object(second),
                Value::Bool(false),
            ],
        ) => {
            let mut merged: Map<String, Value> = first.clone();
            merged.extend(second.clone());
            Ok(Value::Object(merged))
        }
        ("States.MathAdd", [left, right]) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left
                .checked_add(right)
                .map(Value::from)
                .ok_or_else(|| "the sum is out of range".to_owned()),
            _ => Err("both numbers must be integers".to_owned()),
        },
        ("States.StringSplit", [Value::String(text), Value::String(separators)]) => {
            let parts = text
                .split(|c| separators.contains(c))
                .filter(|part| !part.is_empty());
            Ok(parts.map(|part| Value::String(part.to_owned())).collect())
        }
        ("States.UUID", []) => Ok(random_uuid(source.random(), source.random()).into()),
        _ => Err(format!("wrong arguments for {name}")),
    }
}

/// Replaces each `{}`; a backslash keeps the next character.
fn format(template: &str, values: &[Value]) -> Result<Value, String> {
    let mut text = String::with_capacity(template.len());
    let mut values = values.iter();
    let mut characters = template.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => text.extend(characters.next()),
            '{' if characters.peek() == Some(&'}') => {
                characters.next();
                match values
                    .next()
                    .ok_or("fewer values than {} in the template")?
                {
                    Value::String(value) => text.push_str(value),
                    value => text.push_str(&value.to_string()),
                }
            }
            c => text.push(c),
        }
    }
    if values.next().is_some() {
        return Err("more values than {} in the template".to_owned());
    }
    Ok(Value::String(text))
}

fn range(from: &Value, to: &Value, by: &Value) -> Result<Value, String> {
    let integer = |value: &Value| value.as_i64().ok_or("range bounds must be integers");
    let (from, to, by) = (integer(from)?, integer(to)?, integer(by)?);
    if by == 0 {
        return Err("the increment must not be 0".to_owned());
    }
    let count = (i128::from(to) - i128::from(from)) / i128::from(by) + 1;
    if count > MAX_RANGE {
        return Err(format!("a range holds at most {MAX_RANGE} values"));
    }
    Ok((0..count.max(0) as i64)
        .map(|n| Value::from(from + n * by))
        .collect())
}
