//! Intrinsic functions (Step Functions developer guide, "Intrinsics for JSONPath states").

use serde_json::{Map, Value};

use crate::engine::digest;
use crate::engine::machine::{mix, random_uuid};
use crate::engine::query::{Source, shown};

/// What the engine knows; anything else is refused when the state machine is created.
pub(super) const NAMES: [&str; 18] = [
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
    "States.Base64Encode",
    "States.Base64Decode",
    "States.Hash",
    "States.MathRandom",
];

/// The longest text that Base64 and Hash take, in characters (developer guide, same page).
const MAX_TEXT: usize = 10_000;
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
            let size = usize::try_from(whole(size)?)
                .ok()
                .filter(|size| *size > 0)
                .ok_or("the chunk size must be a positive integer")?;
            let chunks = array.chunks(size);
            Ok(chunks.map(|chunk| Value::Array(chunk.to_vec())).collect())
        }
        ("States.ArrayContains", [Value::Array(array), value]) => Ok(array.contains(value).into()),
        ("States.ArrayRange", [from, to, by]) => range(from, to, by),
        ("States.ArrayGetItem", [Value::Array(array), index]) => {
            let index = whole(index)?;
            let found = usize::try_from(index)
                .ok()
                .and_then(|index| array.get(index));
            found
                .cloned()
                .ok_or_else(|| format!("index {index} is not in the array"))
        }
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
        ("States.MathAdd", [left, right]) => whole(left)?
            .checked_add(whole(right)?)
            .map(Value::from)
            .ok_or_else(|| "the sum is out of range".to_owned()),
        ("States.MathRandom", [from, to]) => random(from, to, source.random()),
        ("States.MathRandom", [from, to, seed]) => {
            // One seed, one number: the execution has no part in it.
            random(
                from,
                to,
                mix(0, "States.MathRandom", 0, whole(seed)? as u64),
            )
        }
        ("States.Base64Encode", [Value::String(text)]) if fits(text) => {
            Ok(digest::base64_encode(text.as_bytes()).into())
        }
        ("States.Base64Decode", [Value::String(text)]) if fits(text) => {
            let bytes = digest::base64_decode(text).ok_or("the text is not valid Base64")?;
            Ok(String::from_utf8_lossy(&bytes).into())
        }
        ("States.Hash", [value, Value::String(algorithm)]) => {
            let text = shown(value);
            if !fits(&text) {
                return Err(format!("the text is longer than {MAX_TEXT} characters"));
            }
            digest::hash(text.as_bytes(), algorithm)
                .map(Value::from)
                .ok_or_else(|| format!("the algorithm {algorithm} is not supported"))
        }
        ("States.Base64Encode" | "States.Base64Decode", [Value::String(_)]) => {
            Err(format!("the text is longer than {MAX_TEXT} characters"))
        }
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
    let (from, to, by) = (whole(from)?, whole(to)?, whole(by)?);
    if by == 0 {
        return Err("the increment must not be 0".to_owned());
    }
    let span = i128::from(to) - i128::from(from);
    // Away from `to` there is nothing on the way.
    let count = if span.signum() * i128::from(by.signum()) < 0 {
        0
    } else {
        span / i128::from(by) + 1
    };
    if count > MAX_RANGE {
        return Err(format!("a range holds at most {MAX_RANGE} values"));
    }
    // On the way to the last one, a product may be out of range where the sum is not.
    let value = |n: i64| from.wrapping_add(n.wrapping_mul(by));
    Ok((0..count as i64).map(|n| Value::from(value(n))).collect())
}

/// From `from` up to, not with, `to`.
fn random(from: &Value, to: &Value, number: u64) -> Result<Value, String> {
    let (from, to) = (whole(from)?, whole(to)?);
    let span = u64::try_from(i128::from(to) - i128::from(from)).unwrap_or_default();
    if span == 0 {
        return Err("the end must be greater than the start".to_owned());
    }
    Ok((from.wrapping_add_unsigned(number % span)).into())
}

/// An integer; other numbers are rounded to the nearest one.
fn whole(value: &Value) -> Result<i64, String> {
    value
        .as_i64()
        .or_else(|| value.as_f64().map(|number| number.round() as i64))
        .ok_or_else(|| format!("{value} is not a number"))
}

fn fits(text: &str) -> bool {
    text.chars().count() <= MAX_TEXT
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use crate::engine::path::Expression;
    use crate::engine::query::{Plain, any_json};
    use serde_json::Value;

    use super::NAMES;

    fn call(text: &str, input: &Value) -> Result<Value, String> {
        let expression = Expression::parse(text).map_err(|error| error.to_string())?;
        expression
            .evaluate(&Plain(input))
            .map_err(|error| format!("{} {}", error.error, error.cause))
    }

    #[test]
    fn every_function_answers_as_documented() {
        let input = json!({"a": [1, 2, 3, 1], "o": {"x": 1}, "p": {"x": 2, "y": 3}, "s": "q'{}"});
        for (text, expected) in [
            (
                r"States.Format('\{{}\} is {}', 7, $.a[0])",
                json!("{7} is 1"),
            ),
            (r"States.Format('{}', 'it\'s {}')", json!("it's {}")),
            ("States.StringToJson('[1, null]')", json!([1, null])),
            ("States.JsonToString($.o)", json!("{\"x\":1}")),
            (
                "States.Array(1, 'b', $.o, null)",
                json!([1, "b", {"x": 1}, null]),
            ),
            ("States.ArrayPartition($.a, 3)", json!([[1, 2, 3], [1]])),
            ("States.ArrayContains($.a, 3)", json!(true)),
            ("States.ArrayRange(1, 9, 2)", json!([1, 3, 5, 7, 9])),
            ("States.ArrayRange(3, 1, -1)", json!([3, 2, 1])),
            ("States.ArrayRange(3, 1, 1)", json!([])),
            ("States.ArrayGetItem($.a, 2)", json!(3)),
            ("States.ArrayLength($.a)", json!(4)),
            ("States.ArrayUnique($.a)", json!([1, 2, 3])),
            ("States.JsonMerge($.o, $.p, false)", json!({"x": 2, "y": 3})),
            ("States.MathAdd(1.6, -3)", json!(-1)),
            ("States.StringSplit('1,2;3', ',;')", json!(["1", "2", "3"])),
            (
                "States.Base64Encode('Data to encode')",
                json!("RGF0YSB0byBlbmNvZGU="),
            ),
            (
                "States.Base64Decode('RGF0YSB0byBlbmNvZGU=')",
                json!("Data to encode"),
            ),
            (
                "States.Hash('abc', 'MD5')",
                json!("900150983cd24fb0d6963f7d28e17f72"),
            ),
            ("States.MathRandom(5, 6)", json!(5)),
        ] {
            assert_eq!(call(text, &input), Ok(expected), "{text}");
        }
        for text in [
            "States.ArrayRange(1, 5000, 1)",
            "States.ArrayPartition($.a, 0)",
            "States.Hash('abc', 'CRC')",
            "States.MathRandom(6, 5)",
            "States.Base64Decode('?')",
            "States.JsonMerge($.o, $.p, true)",
            "States.ArrayGetItem($.a, 9)",
        ] {
            let error = call(text, &input).unwrap_err();
            assert!(
                error.starts_with("States.IntrinsicFailure The function"),
                "{error}"
            );
        }
        let missing = call("States.Array($.none)", &input).unwrap_err();
        assert!(missing.contains("argument for the field '$.none' could not be found"));
    }

    #[test]
    fn what_may_not_be_escaped_is_refused() {
        for text in [
            r#"States.StringToJson('{"a":"\"b\""}')"#,
            r"States.Format('\n')",
            "States.Format('open",
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_text_comes_back(text in "[a-z'{}\\\\ ]{0,12}") {
            let quoted: String = text
                .chars()
                .map(|c| if "'{}\\".contains(c) { format!("\\{c}") } else { c.to_string() })
                .collect();
            let formatted = call(&format!("States.Format('{quoted}')"), &Value::Null);
            prop_assert_eq!(formatted, Ok(json!(text.clone())));
            let array = call(&format!("States.Array('{quoted}')"), &Value::Null);
            prop_assert_eq!(array, Ok(json!([text])));
        }

        #[test]
        fn partitions_hold_every_element_in_order(items in prop::collection::vec(any_json(), 0..20), size in 1_usize..7) {
            let parts = call(&format!("States.ArrayPartition($, {size})"), &json!(items)).unwrap();
            let parts: Vec<Vec<Value>> = serde_json::from_value(parts).unwrap();
            let (last, full) = parts.split_last().map_or((0, &[][..]), |(last, full)| (last.len(), full));
            prop_assert!(full.iter().all(|part| part.len() == size));
            prop_assert_eq!(last > 0, !items.is_empty());
            prop_assert_eq!(parts.concat(), items);
        }

        #[test]
        fn what_is_encoded_is_decoded(text: String, value in any_json()) {
            let text = json!(text);
            let decoded = call("States.Base64Decode(States.Base64Encode($))", &text);
            prop_assert_eq!(decoded, Ok(text.clone()));
            for value in [value, text] {
                let read = call("States.StringToJson(States.JsonToString($))", &value);
                prop_assert_eq!(read, Ok(value));
            }
        }

        #[test]
        fn the_second_object_wins(
            one in prop::collection::btree_map("[a-d]", any_json(), 0..4),
            two in prop::collection::btree_map("[a-d]", any_json(), 0..4),
        ) {
            let merged = call("States.JsonMerge($[0], $[1], false)", &json!([one, two])).unwrap();
            let mut expected = one;
            expected.extend(two);
            prop_assert_eq!(merged, json!(expected));
        }

        #[test]
        fn unique_elements_stay_where_they_were_first(items in prop::collection::vec(any_json(), 0..12)) {
            let unique = call("States.ArrayUnique($)", &json!(items)).unwrap();
            let expected: Vec<&Value> = (0..items.len())
                .filter(|at| !items[..*at].contains(&items[*at]))
                .map(|at| &items[at])
                .collect();
            prop_assert_eq!(&unique, &json!(expected));
            let count = call("States.ArrayLength($)", &unique).unwrap();
            prop_assert_eq!(count, json!(expected.len()));
            for (at, item) in items.iter().enumerate() {
                let input = json!({"all": unique, "one": item, "items": items});
                prop_assert_eq!(call("States.ArrayContains($.all, $.one)", &input), Ok(json!(true)));
                let found = call(&format!("States.ArrayGetItem($.items, {at})"), &input);
                prop_assert_eq!(found.as_ref(), Ok(item));
            }
        }

        #[test]
        fn a_split_loses_separators_only(text in "[a-c,; é]{0,16}", separators in "[,; é]{1,3}") {
            let parts = call("States.StringSplit($[0], $[1])", &json!([text, separators])).unwrap();
            let parts: Vec<String> = serde_json::from_value(parts).unwrap();
            let is_separator = |c: char| separators.contains(c);
            prop_assert!(parts.iter().all(|part| !part.is_empty() && !part.contains(is_separator)));
            prop_assert_eq!(parts.concat(), text.replace(is_separator, ""));
        }

        #[test]
        fn a_range_goes_by_its_increment(
            from in number(), to in number(), by in number(),
        ) {
            let Ok(range) = call("States.ArrayRange($[0], $[1], $[2])", &json!([from, to, by])) else {
                let steps = (i128::from(to) - i128::from(from)).checked_div(i128::from(by));
                prop_assert!(steps.is_none_or(|steps| steps >= 1_000));
                return Ok(());
            };
            let range: Vec<i64> = serde_json::from_value(range).unwrap();
            prop_assert!(range.len() <= 1_000);
            prop_assert!(range.first().is_none_or(|first| *first == from));
            let wide: Vec<i128> = range.into_iter().map(i128::from).collect();
            prop_assert!(wide.windows(2).all(|pair| pair[1] - pair[0] == i128::from(by)));
            let between = |at: &i128| (i128::from(from.min(to))..=i128::from(from.max(to))).contains(at);
            prop_assert!(wide.iter().all(between));
            // The next one would be beyond.
            prop_assert!(wide.last().is_none_or(|last| !between(&(last + i128::from(by)))));
        }

        #[test]
        fn random_numbers_are_within_their_bounds(from in number(), to in number(), seed in number()) {
            let input = json!([from, to, seed]);
            for text in ["States.MathRandom($[0], $[1])", "States.MathRandom($[0], $[1], $[2])"] {
                match call(text, &input) {
                    Ok(number) => prop_assert!((from..to).contains(&number.as_i64().unwrap())),
                    Err(_) => prop_assert!(from >= to),
                }
            }
            let sum = call("States.MathAdd($[0], $[1])", &input).ok();
            prop_assert_eq!(sum, from.checked_add(to).map(Value::from));
        }

        #[test]
        fn any_arguments_are_taken_or_refused(name in prop::sample::select(&NAMES[..]), values in prop::collection::vec(any_argument(), 0..4)) {
            let arguments: Vec<String> = (0..values.len()).map(|at| format!("$[{at}]")).collect();
            let text = format!("{name}({})", arguments.join(", "));
            if let Err(error) = call(&text, &json!(values)) {
                prop_assert!(error.starts_with("States.IntrinsicFailure The function"), "{}", error);
            }
        }
    }

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![
            3 => -9_i64..9,
            1 => any::<i64>(),
            1 => prop::sample::select(&[i64::MIN, i64::MAX, 1 << 53][..]),
        ]
    }

    fn any_argument() -> impl Strategy<Value = Value> {
        prop_oneof![
            any_json(),
            number().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[{}\\\\=a-zA-Z0-9'\\[\\]\",:-]{0,12}".prop_map(Value::from),
        ]
    }
}
