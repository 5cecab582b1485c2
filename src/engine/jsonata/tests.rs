use proptest::prelude::*;
use serde_json::{Value, json};

use crate::engine::query::{Language, Plain, Reading, Sees, Template, any_json};

fn read(text: &str, sees: Sees) -> Result<Template, Vec<String>> {
    read_value(&Value::String(format!("{{% {text} %}}")), sees)
}

fn read_value(value: &Value, sees: Sees) -> Result<Template, Vec<String>> {
    let mut problems = Vec::new();
    let mut reading = Reading {
        language: Language::Jsonata,
        sees,
        state: "/States/S",
        problems: &mut problems,
    };
    let template = Template::read(value, "/States/S/Output", &mut reading);
    if problems.is_empty() {
        Ok(template)
    } else {
        Err(problems.iter().map(ToString::to_string).collect())
    }
}

fn evaluate(text: &str, input: &Value) -> Result<Value, String> {
    let template = read(text, Sees::Input).unwrap();
    template
        .evaluate(&Plain(input))
        .map_err(|error| error.cause)
}

#[test]
fn expressions_see_the_input_and_nothing_above_it() {
    let input = json!({"items": [{"v": 1}, {"v": 5}], "name": "x"});
    let value = evaluate("$states.input.items[v > 2].v", &input).unwrap();
    assert_eq!(value, json!(5));
    let refused = read("name & $$.name", Sees::Input).unwrap_err();
    assert_eq!(
        refused,
        [
            "UNSUPPORTED_JSONATA_EXPRESSION: Reference to 'name' at the top level is not supported. at /States/S/Output",
            "UNSUPPORTED_JSONATA_EXPRESSION: Reference to '$$' is not supported. at /States/S/Output"
        ]
    );
    let inside = "$map($states.input.items, function($i) { name })";
    assert!(read(inside, Sees::Input).is_err());
}

#[test]
fn result_and_error_are_seen_where_aws_has_them() {
    assert!(read("$states.result", Sees::Result).is_ok());
    assert!(read("$states.errorOutput.Error", Sees::Error).is_ok());
    let refused = read("$states.errorOutput", Sees::Input).unwrap_err();
    assert_eq!(
        refused,
        [
            "UNSUPPORTED_JSONATA_EXPRESSION: Field '$states.errorOutput' does not exist. at /States/S/Output"
        ]
    );
}

#[test]
fn syntax_errors_are_told_in_the_parsers_words() {
    for (text, message) in [
        ("a[1,2)", "Expected \"]\", got \",\""),
        (
            "{\"a\":}",
            "The symbol \"}\" cannot be used as a unary operator",
        ),
        ("1 +", "Unexpected end of expression"),
        ("", "Unexpected end of expression"),
        (
            "\"open",
            "String literal must be terminated by a matching quote",
        ),
    ] {
        let refused = read(text, Sees::Input).unwrap_err();
        let expected = format!("INVALID_JSONATA_EXPRESSION: {message} at /States/S/Output");
        assert_eq!(refused, [expected], "{text}");
    }
    assert!(read("$states.input.a ?? 1", Sees::Input).is_err());
}

#[test]
fn the_functions_of_step_functions() {
    let input = json!({"list": [1, 2, 3, 4, 5], "text": "abc"});
    for (text, expected) in [
        (
            "$partition($states.input.list, 2.9)",
            json!([[1, 2], [3, 4], [5]]),
        ),
        ("$range(-1.7, 2, 1)", json!([-1, 0, 1, 2])),
        ("$range(3, 3, 1)", json!(3)),
        (
            "$hash($states.input.text, 'SHA-1')",
            json!("a9993e364706816aba3e25717850c26c9cd0d89d"),
        ),
        ("$parse('{\"a\": [1, null]}')", json!({"a": [1, null]})),
        ("$type($random())", json!("number")),
        ("$random(7) = $random(7)", json!(true)),
        ("$length($uuid())", json!(36)),
        ("$now()", json!("1970-01-01T00:00:00.000Z")),
        ("$now('[Y]')", json!("1970")),
        ("$millis()", json!(0)),
        ("$count($shuffle($states.input.list))", json!(5)),
        (
            "$states.input.list ~> $partition(3)",
            json!([[1, 2, 3], [4, 5]]),
        ),
        ("$uuid() = $uuid()", json!(false)),
        ("{'a': null}", json!({"a": null})),
        ("9007199254740991", json!(9_007_199_254_740_991_i64)),
    ] {
        assert_eq!(evaluate(text, &input), Ok(expected), "{text}");
    }
    let nothing = evaluate("$partition($states.input.list, 0)", &input).unwrap_err();
    assert_eq!(
        nothing,
        "The JSONata expression '$partition($states.input.list, 0)' specified for the field 'Output' returned nothing (undefined)."
    );
    let refused = evaluate("$eval('1')", &input).unwrap_err();
    assert!(refused.contains("T1006"), "{refused}");
}

#[test]
fn a_runaway_expression_ends() {
    let endless = evaluate("($f := function($n) { 1 + $f($n) }; $f(1))", &json!({}));
    assert!(endless.unwrap_err().contains("D1011"));
    let deep = evaluate("($f := function() { $f() }; $f())", &json!({}));
    assert!(deep.unwrap_err().contains("D1012"));
}

/// A template, and what comes of it with the input `{"given": …}`; `None` where an expression in it
/// gives nothing.
#[derive(Debug, Clone)]
struct Case {
    template: Value,
    expected: Option<Value>,
}

fn case(given: Value) -> impl Strategy<Value = Case> {
    let same = |value: Value| Case {
        template: value.clone(),
        expected: Some(value),
    };
    let expression = |text: &str, expected: Option<Value>| Case {
        template: Value::String(text.to_owned()),
        expected,
    };
    let leaf = prop_oneof![
        4 => any_json().prop_map(same),
        // No expressions, though they look like them.
        4 => "[{}% $a.+]{0,8}"
            .prop_filter("an expression", |text| {
                !text.starts_with("{%") && !text.ends_with("%}")
            })
            .prop_map(move |text| same(text.into())),
        8 => prop::sample::select(vec![
            expression("{% $states.input.given %}", Some(given)),
            expression("{%1+2%}", Some(json!(3))),
            expression("{% 'a' & \"%}\" %}", Some(json!("a%}"))),
            expression("{% $count([1, 2]) = 2 %}", Some(json!(true))),
            expression("{% null %}", Some(Value::Null)),
            expression("{% {'k': $states.input.none, 'l': [1]} %}", Some(json!({"l": [1]}))),
        ]),
        1 => prop::sample::select(vec![
            expression("{% $states.input.none %}", None),
            expression("{% $states.input.given.none.none %}", None),
        ]),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|cases| Case {
                template: cases.iter().map(|case| case.template.clone()).collect(),
                expected: cases.into_iter().map(|case| case.expected).collect(),
            }),
            prop::collection::btree_map("[a-c.$]{1,3}", inner, 0..4).prop_map(|cases| {
                let of = |case: &dyn Fn(&Case) -> Option<Value>| {
                    let members = cases
                        .iter()
                        .map(|(name, it)| Some((name.clone(), case(it)?)));
                    members.collect::<Option<_>>().map(Value::Object)
                };
                Case {
                    template: of(&|case| Some(case.template.clone())).unwrap_or_default(),
                    expected: of(&|case| case.expected.clone()),
                }
            }),
        ]
    })
}

proptest! {
    #[test]
    fn templates_keep_their_shape((given, case) in any_json().prop_flat_map(|given| (Just(given.clone()), case(given)))) {
        let template = read_value(&case.template, Sees::Input).unwrap();
        let result = template.evaluate(&Plain(&json!({"given": given})));
        match case.expected {
            Some(expected) => prop_assert_eq!(result, Ok(expected)),
            None => {
                let error = result.unwrap_err();
                prop_assert_eq!(error.error, "States.QueryEvaluationError");
                prop_assert!(error.cause.ends_with("returned nothing (undefined)."), "{}", error.cause);
                let location = error.location.unwrap();
                let field = format!("for the field '{location}'");
                prop_assert!(error.cause.contains(&field));
                let failed = find(&case.template, location.strip_prefix("Output").unwrap());
                prop_assert!(failed.and_then(Value::as_str).is_some_and(|text| text.contains("none")));
            }
        }
    }

    #[test]
    fn half_an_expression_is_refused(text in "[a-z ]{0,5}", open: bool) {
        let half = if open { format!("{{%{text}") } else { format!("{text}%}}") };
        let refused = read_value(&json!({"a": [half]}), Sees::Input).unwrap_err();
        let expected = "INVALID_JSONATA_EXPRESSION: A JSONata expression must start with '{%' and end with '%}' at /States/S/Output/a[0]";
        prop_assert_eq!(refused, [expected]);
    }

    #[test]
    fn any_text_is_an_expression_or_refused(text in expression_text(), input in any_json()) {
        if let Ok(template) = read(&text, Sees::Input) {
            let _ = template.evaluate(&Plain(&input));
        }
    }
}

/// Words of the language in any order.
fn expression_text() -> impl Strategy<Value = String> {
    let words = vec![
        "$states",
        ".",
        "input",
        "a",
        "b",
        "*",
        "**",
        "%",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "1",
        "-",
        "0",
        "'a'",
        "+",
        "/",
        "&",
        "=",
        "<",
        ">",
        "!=",
        "and",
        "or",
        "in",
        "?",
        ":",
        ":=",
        "$x",
        ";",
        ",",
        "~>",
        "|",
        "^",
        "@$i",
        "#$i",
        "..",
        "function($x)",
        "$map",
        "$sum",
        "$string",
        "$split",
        "$pad",
        "$formatNumber",
        "$substring",
        "$partition",
        "$range",
        "$replace",
        "/a+/",
        "null",
        "é",
    ];
    prop::collection::vec(prop::sample::select(words), 0..12).prop_map(|words| words.join(" "))
}

/// What `/a[0]` leads to.
fn find<'v>(value: &'v Value, location: &str) -> Option<&'v Value> {
    location
        .split(['/', '['])
        .filter(|part| !part.is_empty())
        .try_fold(value, |place, part| match part.strip_suffix(']') {
            Some(index) => place.get(index.parse::<usize>().ok()?),
            None => place.get(part),
        })
}
