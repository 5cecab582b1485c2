//! The start dialog: what it completes, offers, keeps and asks to be typed.

use serde_json::{Map, Value, json};

use super::{Harness, changes, machine, settings};
use crate::config::Profile;
use crate::model::{ObjectAddress, Page};
use crate::operations::{Check, Verdict, start};
use crate::tui::app::Settings;
use crate::tui::event::{Ask, Deed, Effect, Event, StartForm};
use crate::tui::harness::{sample, trouble};

/// A dialog whose file has been planned, with so many lines.
fn planned(settings: Settings, lines: u64) -> Harness {
    let mut harness = Harness::with(settings);
    harness.list(&sample());
    let mut harness = harness.keys("t./2026-11-23.txt");
    harness.send(paths("./2026-11-23.txt", &["./2026-11-23.txt"]));
    let mut harness = harness.keys("<tab>");
    let plan = start::Plan {
        machine: machine(),
        name: "2026-11-23-8c1f02aa".to_owned(),
        source: start::Source::File("./2026-11-23.txt".into()),
        upload: Some(ObjectAddress::new("prod-in", "uploads/2026-11-23.txt")),
        size: 812_000_000,
        lines: Some(lines),
        sha256: None,
        input: json!({"source": {"bucket": "prod-in", "key": "uploads/2026-11-23.txt"}}),
        template: None,
        filled: vec![start::template::Filled {
            placeholder: "{{ upload.key }}".to_owned(),
            value: "uploads/2026-11-23.txt".to_owned(),
        }],
        given: Map::new(),
        checks: vec![
            Check {
                verdict: Verdict::Good,
                text: "every line is valid UTF-8, none is longer than 256 KiB".to_owned(),
            },
            Check {
                verdict: Verdict::Notice,
                text: "14 lines are empty, the first is line 88".to_owned(),
            },
        ],
    };
    let form = StartForm {
        machine: "invoice-lines".to_owned(),
        source: start::Source::File("./2026-11-23.txt".into()),
        bucket: "prod-in".to_owned(),
        name: None,
        input: json!({}),
        template: None,
    };
    harness.send(Event::StartPlan(Box::new(form), Ok(Box::new(plan))));
    harness.taken();
    harness
}

fn prod() -> Settings {
    let mut settings = settings();
    let profile = Profile {
        prod: true,
        ..Profile::default()
    };
    settings.profiles.insert("prod-data".to_owned(), profile);
    settings
}

fn starts(harness: &mut Harness) -> bool {
    let effects = harness.taken();
    effects.iter().any(|it| matches!(it, Effect::Start(_)))
}

#[test]
fn an_empty_form_and_a_planned_one() {
    Harness::sample().keys("t").check("start_empty");
    planned(settings(), 1_204_331).check("start_planned");
}

#[test]
fn few_lines_are_started_by_the_button_and_many_are_typed() {
    let mut few = planned(settings(), 10_000).keys("<tab><tab><tab><tab><tab><tab><enter>");
    assert!(starts(&mut few));
    let mut many = planned(settings(), 10_001).keys("<tab><tab><tab><tab><tab><tab><tab><enter>");
    assert!(!starts(&mut many));
    let mut typed = many.keys("<shift-tab><shift-tab><shift-tab>10,001<tab><tab><tab><enter>");
    assert!(starts(&mut typed));
}

#[test]
fn the_first_lines_are_tried_before_all_are_started() {
    let mut harness = planned(settings(), 3).keys("<tab><tab><tab><tab><tab><enter>");
    let tried = harness.taken().into_iter().find_map(|it| match it {
        Effect::DryRun(plan) => Some(plan.name),
        _ => None,
    });
    let name = tried.expect("a dry run");
    assert!(harness.frame(120, 36).contains("trying the first lines"));
    // Once at a time.
    let mut harness = harness.keys("<enter>");
    assert!(
        !harness
            .taken()
            .iter()
            .any(|it| matches!(it, Effect::DryRun(_)))
    );
    let failed = "dry run: 2 of 3 lines failed: Lookup.NotFound: no such place";
    let deed = Deed::DryRun(name);
    harness.send(Event::Done(deed.clone(), Err(trouble(failed))));
    harness.check("start_tried");
    let mut harness = harness.keys("<enter>");
    harness.send(Event::Done(
        deed,
        Ok("dry run: all 3 lines succeeded".to_owned()),
    ));
    assert!(
        harness
            .frame(120, 36)
            .contains("✓ dry run: all 3 lines succeeded")
    );
    assert!(starts(&mut harness.keys("<tab><enter>")));
}

#[test]
fn in_prod_the_count_is_typed_whatever_it_is() {
    let mut harness = planned(prod(), 3).keys("<tab><tab><tab><tab><tab><tab><tab><enter>");
    assert!(!starts(&mut harness));
    assert!(harness.frame(120, 36).contains("type 3 first"));
    let mut typed = harness.keys("<shift-tab><shift-tab><shift-tab>3<tab><tab><tab><enter>");
    assert!(starts(&mut typed));
}

#[test]
fn a_form_is_kept_as_a_template() {
    let mut harness = planned(settings(), 3);
    harness.send(Event::Templates(Vec::new()));
    harness.send(Event::Edited(Ok("{\"tolerate\": 5}".to_owned())));
    let harness = harness.keys("<ctrl-s>");
    harness.check("start_saving");
    let mut harness = harness.keys("-daily<enter>");
    let given: Map<String, Value> = json!({"tolerate": 5}).as_object().cloned().unwrap();
    let deed = Deed::Template("2026-11-23-daily".to_owned());
    let saved = Effect::SaveTemplate(deed.clone(), None, given);
    assert!(harness.taken().contains(&saved));
    harness.send(Event::Done(deed, Ok("saved".to_owned())));
    assert!(harness.taken().contains(&Effect::Ask(Ask::Templates)));
    // Escape leaves the name, then the dialog.
    let harness = harness.keys("<ctrl-s><esc>");
    assert!(harness.app.dialog.is_some());
    assert!(harness.keys("<esc>").app.dialog.is_none());
}

#[test]
fn templates_and_offered_inputs_are_seen_before_anything_is_wrong() {
    let mut settings = settings();
    settings.inputs = vec![r#"{"request":{"url":"http://127.0.0.1:9/{line}"}}"#.to_owned()];
    let mut harness = planned(settings, 3);
    assert!(harness.frame(120, 36).contains("file or s3"));
    harness.send(Event::Templates(vec![
        "daily".to_owned(),
        "nightly".to_owned(),
    ]));
    let harness = harness.keys("<tab>");
    harness.check("start_templates");
    let harness = harness.keys("ni");
    let frame = harness.frame(120, 36);
    assert!(frame.contains("nightly") && !frame.contains(" daily"));
    let mut harness = harness.keys("<backspace><backspace><tab><tab>");
    assert!(harness.frame(120, 36).contains("127.0.0.1:9/{line}"));
    harness.taken();
    let mut harness = harness.keys("<down><enter>");
    let has_url = |it: &Effect| match it {
        Effect::Ask(Ask::PlanStart(form)) => form.input["request"]["url"].is_string(),
        _ => false,
    };
    assert!(harness.taken().iter().any(has_url));
}

/// The first page of what begins so.
fn paths(begun: &str, listed: &[&str]) -> Event {
    let page = Page {
        items: listed.iter().map(|it| (*it).to_owned()).collect(),
        next: None,
    };
    Event::Paths(begun.to_owned(), None, Ok(page))
}

#[test]
fn a_source_is_chosen_from_lists_of_buckets_and_folders() {
    let mut harness = Harness::sample().keys("ts3://<down>");
    let asked = |begun: &str| Effect::Ask(Ask::Paths(begun.to_owned(), None));
    assert!(harness.taken().contains(&asked("s3://")));
    harness.send(paths("s3://", &["s3://other/", "s3://prod-in/"]));
    let mut harness = harness.keys("<down><enter>");
    assert!(harness.taken().contains(&asked("s3://prod-in/")));
    let first = Page {
        items: vec![
            "s3://prod-in/a/".to_owned(),
            "s3://prod-in/b.txt".to_owned(),
        ],
        next: Some("more".to_owned()),
    };
    harness.send(Event::Paths("s3://prod-in/".to_owned(), None, Ok(first)));
    harness.taken();
    let mut harness = harness.keys("<down>");
    let further = Ask::Paths("s3://prod-in/".to_owned(), Some("more".to_owned()));
    assert!(harness.taken().contains(&Effect::Ask(further)));
    let second = Page {
        items: vec!["s3://prod-in/c.txt".to_owned()],
        next: None,
    };
    let token = Some("more".to_owned());
    harness.send(Event::Paths("s3://prod-in/".to_owned(), token, Ok(second)));
    // Escape closes the list, then the dialog.
    let harness = harness.keys("<down>");
    assert!(harness.frame(120, 36).contains("▸ s3://prod-in/c.txt"));
    let mut harness = harness.keys("<enter>");
    let planned = harness.taken();
    let is_plan = |it: &Effect| match it {
        Effect::Ask(Ask::PlanStart(form)) => {
            form.source == start::Source::Object(ObjectAddress::new("prod-in", "c.txt"))
        }
        _ => false,
    };
    assert!(planned.iter().any(is_plan), "{planned:?}");
    let harness = harness.keys("<down><esc>");
    assert!(harness.app.dialog.is_some());
    assert!(harness.keys("<esc>").app.dialog.is_none());
}

#[test]
fn a_template_is_chosen_and_the_input_edited_elsewhere() {
    let mut harness = Harness::sample().keys("ta.txt<tab>");
    harness.send(paths("a.txt", &["a.txt"]));
    harness.send(Event::Templates(vec![
        "daily".to_owned(),
        "nightly".to_owned(),
    ]));
    harness.taken();
    let mut harness = harness.keys("<tab><tab><down><down><enter>");
    let named = |effects: Vec<Effect>| {
        effects.into_iter().rev().find_map(|it| match it {
            Effect::Ask(Ask::PlanStart(form)) => Some((form.template.clone(), form.input.clone())),
            _ => None,
        })
    };
    let (template, _) = named(harness.taken()).unwrap();
    assert_eq!(template.as_deref(), Some("nightly"));
    let mut harness = harness.keys("<ctrl-x>");
    assert!(harness.taken().contains(&Effect::Edit("{}\n".to_owned())));
    harness.send(Event::Edited(Ok("{\n  \"tolerate\": 5\n}\n".to_owned())));
    let (_, input) = named(harness.taken()).unwrap();
    assert_eq!(input, serde_json::json!({"tolerate": 5}));
    harness.send(Event::Edited(Ok("{ oh".to_owned())));
    assert!(
        harness
            .frame(120, 36)
            .contains("not JSON: key must be a string")
    );
    harness.send(Event::Edited(Err(trouble(
        "the editor did not come back well",
    ))));
    assert!(harness.frame(120, 36).contains("did not come back"));
}

#[test]
fn a_path_is_completed_and_then_planned() {
    let mut harness = Harness::sample().keys("tda<tab>");
    assert!(
        harness
            .taken()
            .contains(&Effect::Ask(Ask::Paths("da".to_owned(), None)))
    );
    harness.send(paths("da", &["data/"]));
    let mut harness = harness.keys("<tab>");
    assert!(
        harness
            .taken()
            .contains(&Effect::Ask(Ask::Paths("data/".to_owned(), None)))
    );
    harness.send(paths("data/", &["data/"]));
    let mut harness = harness.keys("<tab>");
    let planned = harness.taken();
    assert!(
        planned
            .iter()
            .any(|it| matches!(it, Effect::Ask(Ask::PlanStart(_)))),
        "{planned:?}"
    );
}

#[test]
fn a_whole_path_needs_one_tab_and_the_next_goes_on() {
    let mut harness = Harness::sample().keys("tli<tab>");
    harness.send(paths("li", &["lines.txt"]));
    harness.taken();
    let mut harness = harness.keys("<tab>");
    let is_plan = |it: &Effect| matches!(it, Effect::Ask(Ask::PlanStart(_)));
    assert!(harness.taken().iter().any(is_plan));
}

#[test]
fn a_pasted_address_opens_the_start_dialog_and_a_line_break_presses_nothing() {
    let mut harness = Harness::sample();
    harness.taken();
    harness.send(Event::Paste("s3://prod-in/a.txt\n".to_owned()));
    assert!(harness.app.dialog.is_some());
    assert!(changes(&harness.taken()).is_empty());
    harness.send(Event::Paste("\n\n".to_owned()));
    assert!(changes(&harness.taken()).is_empty());
}
