use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

/// Which of the messages the pattern wants.
fn wanted<'m>(text: &str, messages: &[&'m str]) -> Vec<&'m str> {
    let pattern = pattern(text);
    let wanted = messages.iter().filter(|message| pattern.matches(message));
    wanted.copied().collect()
}

#[test]
fn terms_are_all_wanted_but_those_with_a_minus() {
    let lines = ["ERROR disk full", "ERROR net", "WARN disk", "error disk"];
    assert_eq!(wanted("", &lines), lines);
    assert_eq!(wanted("ERROR", &lines), ["ERROR disk full", "ERROR net"]);
    assert_eq!(wanted("disk ERROR", &lines), ["ERROR disk full"]);
    assert_eq!(wanted("\"disk full\"", &lines), ["ERROR disk full"]);
    assert_eq!(wanted("ERROR -disk", &lines), ["ERROR net"]);
    assert_eq!(wanted("-ERROR -\"N d\"", &lines), ["error disk"]);
    assert_eq!(
        wanted(r#""say \"x\"""#, &[r#"say "x" now"#, "say x"]),
        [r#"say "x" now"#]
    );
}

#[test]
fn a_question_mark_makes_terms_alternatives_unless_others_stand_beside_them() {
    let lines = ["a", "b", "c", "ac"];
    assert_eq!(wanted("?a ?b", &lines), ["a", "b", "ac"]);
    assert_eq!(wanted("?\"a\" ?%^c$%", &lines), ["a", "c", "ac"]);
    assert_eq!(wanted("c ?a ?b", &lines), ["c", "ac"]);
}

#[test]
fn regular_expressions_stand_between_per_cent_signs() {
    let lines = ["id 4711", "id x", "colour", "color"];
    assert_eq!(wanted(r"%\d{4}%", &lines), ["id 4711"]);
    assert_eq!(wanted("%^colou?r$%", &lines), ["colour", "color"]);
    assert_eq!(wanted("%our|x%", &lines), ["id x", "colour"]);
}

#[test]
fn json_is_compared_member_by_member() {
    let a = r#"{"n": 7, "s": "alpha", "t": true, "z": null, "o": {"l": [{"i": 1}, {"i": 2}]}}"#;
    let b = r#"{"n": 70.5, "s": "beta", "t": false, "o": {"l": []}, "d.d": "x"}"#;
    let lines = [a, b, "plain n 7", "[1, 2]"];
    for (pattern, expected) in [
        ("{ $.n = 7 }", &[a][..]),
        ("{ $.n != 7 }", &[b]),
        ("{ $.n > 7 }", &[b]),
        ("{ $.n >= 7 }", &[a, b]),
        ("{ $.n < 7.05e1 }", &[a]),
        ("{ $.n <= 70.5 }", &[a, b]),
        (r#"{ $.s = "al*" }"#, &[a]),
        ("{ $.s = *a }", &[a, b]),
        ("{ $.s = be* }", &[b]),
        (r#"{ $.s != "alpha" }"#, &[b]),
        ("{ $.s = %^[ab]e% }", &[b]),
        ("{ $.t IS TRUE }", &[a]),
        ("{ $.t is false }", &[b]),
        ("{ $.z IS NULL }", &[a]),
        ("{ $.z NOT EXISTS }", &[b, "[1, 2]"]),
        ("{ $.z EXISTS }", &[a]),
        ("{ $.missing != 1 }", &[]),
        ("{ $.o.l[1].i = 2 }", &[a]),
        ("{ $.['d.d'] = x }", &[b]),
        ("{ $[1] = 2 }", &["[1, 2]"]),
        ("{$.n=7||$.s=beta&&$.t IS FALSE}", &[a, b]),
        (r#"{ ($.n = 7 || $.s = "beta") && $.t IS FALSE }"#, &[b]),
        ("{ (($.n = 7)) }", &[a]),
    ] {
        assert_eq!(wanted(pattern, &lines), expected, "{pattern}");
    }
}

#[test]
fn what_an_execution_logs_is_found_by_its_arn_and_type() {
    let line = r#"{"id":"9","type":"ExecutionFailed","execution_arn":"arn:aws:states:r:1:express:m/Each:a:b"}"#;
    let by_type = r#"{ $.type = "ExecutionFailed" && $.execution_arn = "*m/Each*" }"#;
    assert_eq!(wanted(by_type, &[line]), [line]);
    let by_arn = r#"{ $.execution_arn = "arn:aws:states:r:1:express:m/Each:a:c" }"#;
    assert_eq!(wanted(by_arn, &[line]), Vec::<&str>::new());
}

#[test]
fn columns_are_what_is_between_spaces() {
    let ok = r#"10.0.0.1 - anna [10/Oct/2026:13:25:15 -0700] "GET /index.html HTTP/1.0" 200 1534"#;
    let bad = r#"10.0.0.2 - emil [10/Oct/2026:13:35:22 -0700] "GET /x.png HTTP/1.0" 404 50"#;
    let lines = [ok, bad, "short line"];
    let named = |last: &str| format!("[ip, id, user, timestamp, request, {last}]");
    for (pattern, expected) in [
        (named("status, bytes"), &[ok, bad][..]),
        (named("status = 404, bytes"), &[bad]),
        (named("status = 4*, bytes"), &[bad]),
        (named("status >= 400 || status = 200, bytes > 100"), &[ok]),
        (named("status != 404 && status != 500, bytes"), &[ok]),
        ("[..., request = *.html*, status, bytes]".to_owned(), &[ok]),
        ("[ip = %0\\.2$%, ...]".to_owned(), &[bad]),
        ("[ip, id, user = \"anna\", ..., bytes]".to_owned(), &[ok]),
        ("[a, b]".to_owned(), &["short line"]),
        ("[a, ...]".to_owned(), &lines),
    ] {
        assert_eq!(wanted(&pattern, &lines), expected, "{pattern}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_and_says_why() {
    for bad in [
        "a-b",
        "ERROR*",
        "-",
        "?",
        "\"open",
        "%open",
        "%(a)%",
        "%a!%",
        "%[%",
        "%\\b%",
        "%ü%",
        "{",
        "{}",
        "{ $ = 1 }",
        "{ $.a }",
        "{ $.a = }",
        "{ $.a = 1",
        "{ $.a = 1 } x",
        "{ $.a > x }",
        "{ $.a IS }",
        "{ $.a NOT }",
        "{ ($.a = 1 }",
        "{ $.a[x] = 1 }",
        "{ $.a = 1 && }",
        "[",
        "[]",
        "[a",
        "[a,]",
        "[..., ...]",
        "[a > b]",
        "%a% %b% %c%",
    ] {
        assert!(Pattern::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        Pattern::parse("a-b").unwrap_err(),
        "Invalid character(s) in term 'a-b'"
    );
    assert!(Pattern::parse(&"a".repeat(1_025)).is_err());
    assert!(Pattern::parse(&format!("{{ {}", "(".repeat(1_000))).is_err());
}

proptest! {
    #[test]
    fn parsing_and_matching_never_panic(text in r#"[\[\]{}$.a-c0-9"%=<>!&|()?*\-, ü'\\]{0,40}"#, message in ".{0,40}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            pattern.matches(&message);
        }
    }

    #[test]
    fn a_quoted_term_is_found_wherever_it_is(before in ".{0,10}", term in ".{1,10}", after in ".{0,10}") {
        let quoted = term.replace('\\', "\\\\").replace('"', "\\\"");
        let message = format!("{before}{term}{after}");
        let included = pattern(&format!("\"{quoted}\""));
        prop_assert!(included.matches(&message));
        let excluded = pattern(&format!("-\"{quoted}\""));
        prop_assert!(!excluded.matches(&message));
    }

    /// Against a slow way of saying the same.
    #[test]
    fn stars_stand_for_anything(glob_text in "[ab*]{0,8}", text in "[ab]{0,8}") {
        let regex = format!("^{}$", glob_text.replace('*', ".*"));
        let expected = Regex::new(&regex).unwrap().is_match(text.as_bytes());
        prop_assert_eq!(glob(&glob_text, &text), expected);
    }

    #[test]
    fn numbers_are_compared_as_numbers(left in -1000_i32..1000, right in -1000_i32..1000) {
        let message = format!("{{\"n\": {left}}}");
        let line = format!("{left} x");
        for (operator, expected) in [
            ("=", left == right), ("!=", left != right), ("<", left < right),
            ("<=", left <= right), (">", left > right), (">=", left >= right),
        ] {
            let json = format!("{{ $.n {operator} {right} }}");
            prop_assert_eq!(pattern(&json).matches(&message), expected);
            let columns = format!("[n {operator} {right}, word]");
            prop_assert_eq!(pattern(&columns).matches(&line), expected);
        }
    }

    /// `&&` and `||` are what they are anywhere.
    #[test]
    fn conditions_join_as_booleans(a: bool, b: bool, c: bool) {
        let message = format!(r#"{{"a": {a}, "b": {b}, "c": {c}}}"#);
        let text = "{ $.a IS TRUE && $.b IS TRUE || $.c IS TRUE }";
        prop_assert_eq!(pattern(text).matches(&message), a && b || c);
        let text = "{ $.a IS TRUE && ($.b IS TRUE || $.c IS TRUE) }";
        prop_assert_eq!(pattern(text).matches(&message), a && (b || c));
    }
}
