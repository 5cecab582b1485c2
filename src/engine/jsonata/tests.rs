use serde_json::{Value, json};

use crate::engine::query::{Language, Plain, Reading, Sees, Template};

fn read(text: &str, sees: Sees) -> Result<Template, Vec<String>> {
    let mut problems = Vec::new();
    let mut reading = Reading {
        language: Language::Jsonata,
        sees,
        state: "/States/S",
        problems: &mut problems,
    };
    let value = Value::String(format!("{{% {text} %}}"));
    let template = Template::read(&value, "/States/S/Output", &mut reading);
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
