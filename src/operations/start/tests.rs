//! Names, inputs and what blocks a start.

use proptest::prelude::*;
use serde_json::json;

use super::super::Verdict;
use super::super::runs::tests as samples;
use super::*;

fn request(file: &str, input: Value) -> Request {
    Request {
        source: Source::File(PathBuf::from(file)),
        machine: StateMachineArn::new("arn:aws:states:us-east-1:0:stateMachine:fanout"),
        bucket: "fanout".to_owned(),
        name: None,
        input,
        template: None,
        today: "2026-11-23".to_owned(),
    }
}

fn plan(input: Value) -> Plan {
    let request = request("/tmp/places.txt", Value::Null);
    let empty = Plan::empty(&request);
    let mut given = input.as_object().cloned().unwrap_or_default();
    given.shift_remove("source");
    Plan {
        name: name(&request, "content", &empty),
        size: 1,
        lines: Some(1),
        input,
        given,
        ..empty
    }
}

fn named(request: &Request, content: &str) -> String {
    name(request, content, &Plan::empty(request))
}

#[test]
fn a_template_is_the_input_and_what_is_given_stands_over_it() {
    let address = ObjectAddress::new("in", "inputs/places.txt");
    let of = |template: Value, today: &str| {
        let mut request = request("/tmp/places.txt.gz", Value::Null);
        request.today = today.to_owned();
        request.template = Some(Template {
            name: "daily".to_owned(),
            input: template,
        });
        let mut plan = Plan::empty(&request);
        plan.fill(&request, &address);
        plan.name = name(&request, "content", &plan);
        plan
    };
    let own = of(
        json!({"from": "{{ upload.key }}", "as": "{{ stem }}-{{ date }}"}),
        "2026-11-23",
    );
    assert_eq!(
        own.input,
        json!({"from": "inputs/places.txt", "as": "places-2026-11-23"})
    );
    let with_source = of(json!({"tolerate": 5}), "2026-11-23");
    assert_eq!(with_source.input["source"]["key"], "inputs/places.txt");
    assert_eq!(with_source.input["tolerate"], 5);
    let later = of(
        json!({"from": "{{ upload.key }}", "as": "{{ stem }}-{{ date }}"}),
        "2026-11-24",
    );
    assert_ne!(own.name, later.name);
    assert!(own.command().contains("--template daily"));
    let unknown = of(json!({"a": "{{ who }}"}), "");
    assert_eq!(unknown.checks[0].verdict, Verdict::Bad);
    assert!(unknown.checks[0].text.contains("who"));
}

#[test]
fn no_input_and_an_empty_one_have_the_same_name() {
    let of = |input: Value| named(&request("/tmp/places.txt", input), "content");
    assert_eq!(of(Value::Null), of(json!({})));
    assert_ne!(of(Value::Null), of(json!({"tolerate": 5})));
}

#[test]
fn a_name_depends_on_file_content_and_input_but_not_on_the_order_of_members() {
    let of = |file: &str, content: &str, input: Value| named(&request(file, input), content);
    let first = of("/a/places.txt", "c", json!({"a": 1, "b": {"c": 2, "d": 3}}));
    assert!(first.starts_with("places-") && first.len() == "places-".len() + 8);
    assert_eq!(
        first,
        of("/b/places.txt", "c", json!({"b": {"d": 3, "c": 2}, "a": 1}))
    );
    assert_ne!(
        first,
        of("/a/places.txt", "d", json!({"a": 1, "b": {"c": 2, "d": 3}}))
    );
    assert_ne!(first, of("/a/places.txt", "c", json!({"a": 1})));
}

#[test]
fn stems_are_what_a_person_calls_the_file() {
    for (file, expected) in [
        ("2026-11-23.jsonl", "2026-11-23"),
        ("a b (1).txt.gz", "a-b-1"),
        (".hidden", ".hidden"),
        ("日本.txt", "run"),
        ("", "run"),
    ] {
        assert_eq!(stem(file), expected, "{file}");
    }
}

proptest! {
    #[test]
    fn a_derived_name_is_always_legal(file in any::<String>(), content in any::<String>()) {
        let name = named(&request(&format!("/tmp/{file}"), Value::Null), &content);
        prop_assert!(is_name(&name), "{}", name);
    }
}

#[test]
fn the_input_is_an_object_without_a_source() {
    assert!(given_input(&Value::Null).is_ok_and(|given| given.is_empty()));
    assert!(given_input(&json!({"tolerate": 5})).is_ok());
    assert!(given_input(&json!({"source": {}})).is_err());
    assert!(given_input(&json!([1])).is_err());
}

#[test]
fn a_taken_name_blocks_unless_it_is_the_same_run_under_way() {
    let verdict = |status, input: Value| {
        let mut there = samples::run(status, vec![]).detail;
        there.input = Some(input.to_string());
        judge_name(&plan(json!({"source": 1, "a": 2})), &there)
    };
    let same = json!({"a": 2, "source": 1});
    assert_eq!(
        verdict(Status::Running, same.clone()).verdict,
        Verdict::Notice
    );
    let done = verdict(Status::Succeeded, same);
    assert_eq!(done.verdict, Verdict::Bad);
    assert!(
        done.text.contains("SUCCEEDED") && done.text.contains("--name"),
        "{}",
        done.text
    );
    assert_eq!(verdict(Status::Running, json!({})).verdict, Verdict::Bad);
}

#[test]
fn the_command_can_be_pasted() {
    let command = plan(json!({"source": {}, "output": {"line": "it's"}})).command();
    assert!(command.starts_with("fanout start /tmp/places.txt --machine fanout --name places-"));
    assert!(
        command.ends_with(r#"--input '{"output":{"line":"it'\''s"}}' --yes"#),
        "{command}"
    );
}
