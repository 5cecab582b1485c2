use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::engine::query::{Plain, any_json};

fn find(path: &str, value: &Value) -> Option<Value> {
    Path::parse(path).unwrap().find(&Plain(value))
}

#[test]
fn definite_paths_give_one_value_and_indefinite_ones_a_list() {
    let value = json!({"a": {"my-key": [1, 2, 3]}, "b": [{"n": 1}, {"n": 5}]});
    assert_eq!(find("$.a.my-key[1]", &value), Some(json!(2)));
    assert_eq!(find("$['a']['my-key'][-1]", &value), Some(json!(3)));
    assert_eq!(find("$.a.none", &value), None);
    assert_eq!(find("$.b[*].n", &value), Some(json!([1, 5])));
    assert_eq!(find("$..n", &value), Some(json!([1, 5])));
    assert_eq!(find("$.b[?(@.n > 2)]", &value), Some(json!([{"n": 5}])));
    assert_eq!(
        find("$.b[?(@.n == 1 || @.n == 5)].n", &value),
        Some(json!([1, 5]))
    );
    assert_eq!(find("$.a.my-key[0:2]", &value), Some(json!([1, 2])));
    assert_eq!(find("$.a.my-key[0,2]", &value), Some(json!([1, 3])));
}

#[test]
fn result_path_makes_the_objects_on_its_way() {
    let mut target = json!({"a": 1});
    Path::parse("$.b.c")
        .unwrap()
        .put(&mut target, json!(2))
        .unwrap();
    assert_eq!(target, json!({"a": 1, "b": {"c": 2}}));
    let error = Path::parse("$.a.c")
        .unwrap()
        .put(&mut target, json!(2))
        .unwrap_err();
    assert_eq!(error.error, "States.ResultPathMatchFailure");
}

#[test]
fn anything_in_brackets_may_follow_two_dots() {
    let value = json!({"a": [{"n": 1}, {"n": 5}], "b": {"n": 9, "m": [7, 8]}});
    assert_eq!(find("$..[0]", &value), Some(json!([{"n": 1}, 7])));
    assert_eq!(find("$..['n']", &value), Some(json!([1, 5, 9])));
    assert_eq!(find("$..n[*]", &value), Some(json!([])));
    assert_eq!(
        find("$..[?(@.n > 1)].n", &value),
        Some(json!([5, 9])),
        "each object once, wherever it is"
    );
    assert!(Path::parse("$..").is_err());
}

/// Where AWS's Jayway decides otherwise than RFC 9535, which the oracle below follows.
#[test]
fn the_dialect_is_jayways() {
    let oracle = |path: &str, value: &Value| {
        let path = serde_json_path::JsonPath::parse(path).unwrap();
        json!(path.query(value).all())
    };
    for (path, value, ours, rfc) in [
        // A filter on an object tests it, not its members.
        (
            "$[?(@.n > 1)]",
            json!({"n": 2, "m": {"n": 3}}),
            Some(json!([{"n": 2, "m": {"n": 3}}])),
            json!([{"n": 3}]),
        ),
        // What an indefinite path begins at must be there.
        ("$.a[*]", json!({"b": 1}), None, json!([])),
        ("$.a..b", json!({}), None, json!([])),
        ("$.a.b[0:1]", json!({"a": 1}), None, json!([])),
        // Two things that are not there are not equal.
        (
            "$[?(@.a == @.b)]",
            json!([{}]),
            Some(json!([])),
            json!([{}]),
        ),
        (
            "$[?(@.a != @.b)]",
            json!([{}]),
            Some(json!([{}])),
            json!([]),
        ),
        // Only numbers and strings have an order.
        (
            "$[?(@.a <= null)]",
            json!([{"a": null}]),
            Some(json!([])),
            json!([{"a": null}]),
        ),
    ] {
        assert_eq!(find(path, &value), ours, "{path}");
        assert_eq!(oracle(path, &value), rfc, "{path}");
    }
    // Names that the RFC wants in quotes.
    assert!(serde_json_path::JsonPath::parse("$.my-key").is_err());
    assert_eq!(find("$.my-key", &json!({"my-key": 1})), Some(json!(1)));
}

#[test]
fn a_path_that_leads_nearly_everywhere_ends() {
    let mut deep = json!(1);
    for _ in 0..90 {
        deep = json!([deep]);
    }
    assert_eq!(find("$..*..*..*..*..*..*..*..*", &deep), None);
    assert_eq!(
        find("$..[?(@..*..*..*..*..*..*..x)]", &json!({"a": deep})),
        None
    );
    let wide: Value = (0..1_000_000).collect();
    let found = find("$[?(@ >= 0)]", &wide).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1_000_000);
}

fn definite_segment() -> impl Strategy<Value = String> {
    prop_oneof![
        name_segment(),
        (-3_i32..4).prop_map(|index| format!("[{index}]"))
    ]
}

fn name_segment() -> impl Strategy<Value = String> {
    prop_oneof![
        "[abé]".prop_map(|name| format!(".{name}")),
        "[abé]".prop_map(|name| format!("['{name}']")),
        "[abé]".prop_map(|name| format!("[\"{name}\"]")),
    ]
}

fn segment() -> impl Strategy<Value = String> {
    let bound = || {
        prop_oneof![
            Just(String::new()),
            (-3_i32..4).prop_map(|it| it.to_string())
        ]
    };
    prop_oneof![
        4 => definite_segment(),
        1 => prop_oneof![Just("[*]"), Just(".*"), Just("..*"), Just("..[*]")].prop_map(str::to_owned),
        1 => "[abé]".prop_map(|name| format!("..{name}")),
        1 => (-3_i32..4).prop_map(|index| format!("..[{index}]")),
        1 => (bound(), bound()).prop_map(|(from, to)| format!("[{from}:{to}]")),
        1 => (-3_i32..4, -3_i32..4).prop_map(|(one, two)| format!("[{one}, {two}]")),
        1 => ("[abé]", "[abé]").prop_map(|(one, two)| format!("['{one}',\"{two}\"]")),
    ]
}

fn many(segment: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(segment, 0..=most).prop_map(|segments| segments.concat())
}

/// A filter that means the same in both dialects.
fn filter() -> impl Strategy<Value = String> {
    // Compared with something, negative places lead nowhere in the crate, against RFC 9535, 2.3.3.
    let segment = || {
        prop_oneof![
            name_segment(),
            (0..4).prop_map(|index| format!("[{index}]"))
        ]
    };
    let here = || many(segment(), 2).prop_map(|path| format!("@{path}"));
    let scalar = || prop_oneof![(-3_i32..4).prop_map(|it| it.to_string()), "'[ab]{0,2}'"];
    let any = prop_oneof![
        2 => scalar(),
        1 => prop_oneof![Just("true"), Just("false"), Just("null")].prop_map(str::to_owned),
    ];
    let equality = prop_oneof![Just("=="), Just("!=")];
    let order = prop_oneof![Just("<"), Just("<="), Just(">"), Just(">=")];
    let leaf = prop_oneof![
        here(),
        here().prop_map(|path| format!("!{path}")),
        (here(), equality, any).prop_map(|(path, by, with)| format!("{path} {by} {with}")),
        (here(), order, scalar()).prop_map(|(path, by, with)| format!("{path}{by}{with}")),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("{one} && {two}")),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("{one} || {two}")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            inner.prop_map(|inner| format!("!({inner})")),
        ]
    })
}

fn by_rfc(path: &str, value: &Value) -> Vec<Value> {
    let path = serde_json_path::JsonPath::parse(path).unwrap();
    path.query(value).all().into_iter().cloned().collect()
}

proptest! {
    #[test]
    fn agrees_with_rfc_9535(path in many(segment(), 5), value in any_json()) {
        let path = format!("${path}");
        let expected = by_rfc(&path, &value);
        let parsed = Path::parse(&path).unwrap();
        let found = parsed.find(&Plain(&value));
        if parsed.is_definite() {
            prop_assert!(expected.len() <= 1);
            prop_assert_eq!(found.as_ref(), expected.first());
        } else if let Some(found) = found {
            prop_assert_eq!(found, Value::Array(expected));
        } else {
            // It begins nowhere: the RFC finds nothing either.
            prop_assert!(expected.is_empty());
        }
    }

    #[test]
    fn filters_agree_with_rfc_9535(
        filter in filter(), tail in many(segment(), 2), values in prop::collection::vec(any_json(), 0..5),
    ) {
        let (path, value) = (format!("$[?({filter})]{tail}"), Value::Array(values));
        prop_assert_eq!(find(&path, &value), Some(Value::Array(by_rfc(&path, &value))));
    }

    /// A reference path leads to what was put there, and nothing else has changed.
    #[test]
    fn what_is_put_is_found(path in many(definite_segment(), 4), value in any_json(), new in any_json()) {
        let path = Path::parse(&format!("${path}")).unwrap();
        prop_assert!(path.is_reference());
        let before = path.find(&Plain(&value));
        let mut target = value.clone();
        match path.put(&mut target, new.clone()) {
            Ok(()) => {
                prop_assert_eq!(path.find(&Plain(&target)), Some(new));
                if let Some(before) = before {
                    path.put(&mut target, before).unwrap();
                    prop_assert_eq!(target, value);
                }
            }
            // An array is not made longer, and negative places are none to write to.
            Err(error) => {
                prop_assert_eq!(error.error, "States.ResultPathMatchFailure");
                prop_assert!(before.is_none() || path.text().contains("[-"));
            }
        }
    }

    #[test]
    fn parsing_never_panics(text in "\\$?[$.\\[\\]'*a-z0-9?@()<>=&|!:,\\\\ -]{0,40}") {
        let _ = Path::parse(&text);
        let _ = Expression::parse(&text);
    }

    #[test]
    fn any_key_is_found_in_brackets(key in "[^'\\\\]{1,12}") {
        let value = json!({ key.clone(): 1 });
        prop_assert_eq!(find(&format!("$['{key}']"), &value), Some(json!(1)));
    }
}
