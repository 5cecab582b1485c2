use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::model::{Limits, ObjectAddress};
use crate::operations::cost::{Cost, Part, Time};
use crate::operations::redrive::Facts;
use crate::operations::rerun::{Lines, edit};
use crate::operations::trail::Entry;
use crate::operations::{Check, Verdict};
use crate::tui::dialog::Dialog;
use crate::tui::event::Event;
use crate::tui::harness::{Harness, LOST, PART, arn, now, trouble};

fn check(verdict: Verdict, text: &str) -> Check {
    Check {
        verdict,
        text: text.to_owned(),
    }
}

fn redrive(run: &str) -> Plan {
    Plan {
        execution: arn(run),
        state: RunState::Failed,
        allowed: Ok(()),
        failed: 60_113,
        timed_out: 0,
        aborted: 0,
        never_started: 58_220,
        succeeded: 1_079_671,
        not_redrivable: 0,
        redrives_so_far: 0,
        seconds_left: Some(1_187_400),
        after_the_map: false,
        facts: Facts {
            cost: Some(cost()),
            time: Some(Time {
                seconds: 120,
                items_per_second: 988.0,
                basis: "the mean of this run".to_owned(),
            }),
            ..Facts::default()
        },
        limits: Limits::default(),
        note: None,
        checks: vec![
            check(Verdict::Good, "event history 214 of 24,999"),
            check(Verdict::Notice, "another definition is deployed by now"),
        ],
    }
}

fn cost() -> Cost {
    Cost {
        parts: vec![
            Part {
                what: "Step Functions".to_owned(),
                detail: "118,333 Express starts × 9.8 s".to_owned(),
                dollars: 1.35,
            },
            Part {
                what: "Lambda".to_owned(),
                detail: "118,333 × 9.8 s at 128 MB, the smallest".to_owned(),
                dollars: 2.42,
            },
        ],
        dollars: 3.77,
        at_least: true,
        sample: 20,
        prices: "list prices of 2026-11-23: AWS Step Functions pricing".to_owned(),
    }
}

fn rerun_plan(run: &str, wish: Wish) -> Box<rerun::Plan> {
    Box::new(rerun::Plan {
        execution: arn(run),
        state: RunState::Part,
        machine: arn(run).state_machine(),
        name: format!("{run}-r1-0a1b2c3d"),
        allowed: Ok(()),
        wish,
        items: 212,
        groups: vec![rerun::Group {
            error: "Worker.Rejected".to_owned(),
            message: "no such place <v>".to_owned(),
            count: 212,
        }],
        source: "ledger.csv.failed.jsonl".to_owned(),
        exact: true,
        link: None,
        subset: ObjectAddress::new("prod-in", "fanout/reruns/x/only.jsonl"),
        bytes: 9_000,
        sha256: "aa".to_owned(),
        input: json!({}),
        merges_with: Some(ObjectAddress::new("prod-out", "ledger.csv")),
        definition: None,
        cost: None,
        time: None,
        checks: vec![check(Verdict::Good, "the name is unused")],
    })
}

/// The wish of the newest question about a new run.
fn asked(effects: &[Effect]) -> Wish {
    let wishes = effects.iter().rev().filter_map(|effect| match effect {
        Effect::Ask(Ask::PlanRerun(_, wish)) => Some((**wish).clone()),
        _ => None,
    });
    wishes.into_iter().next().expect("a question")
}

/// With the plan of a re-run of the lost lines shown, and what was wished.
fn planned() -> (Harness, Wish) {
    let mut harness = Harness::sample().keys("jjr");
    let plan = refused(PART, RunState::Part);
    harness.send(Event::RedrivePlan(arn(PART), Ok(Box::new(plan))));
    let wish = asked(&harness.taken());
    let plan = rerun_plan(PART, wish.clone());
    harness.send(Event::RerunPlan(
        arn(PART),
        Box::new(wish.clone()),
        Ok(plan),
    ));
    (harness, wish)
}

fn refused(run: &str, state: RunState) -> Plan {
    Plan {
        state,
        allowed: Err("it SUCCEEDED, and AWS redrives no execution that succeeded".to_owned()),
        ..redrive(run)
    }
}

#[test]
fn a_redrive_shows_what_it_costs_and_how_long_it_takes() {
    let mut harness = Harness::sample().keys("jr");
    harness.send(Event::RedrivePlan(arn(LOST), Ok(Box::new(redrive(LOST)))));
    harness.check("redrive_with_estimates");
}

#[test]
fn what_aws_cannot_redrive_is_run_again_by_itself() {
    let mut harness = Harness::sample().keys("jjr");
    harness.taken();
    let plan = refused(PART, RunState::Part);
    harness.send(Event::RedrivePlan(arn(PART), Ok(Box::new(plan))));
    let wish = asked(&harness.taken());
    assert_eq!(wish, Wish::default());
    let plan = rerun_plan(PART, wish.clone());
    harness.send(Event::RerunPlan(
        arn(PART),
        Box::new(wish),
        Ok(plan.clone()),
    ));
    harness.check("rerun");
    let mut harness = harness.keys("<tab><enter>");
    let ran = harness.taken();
    assert!(ran.contains(&Effect::Rerun(plan)), "{ran:?}");
}

#[test]
fn after_the_map_a_re_run_is_chosen_and_says_why() {
    let mut harness = Harness::sample().keys("jr");
    let plan = Plan {
        after_the_map: true,
        failed: 0,
        never_started: 0,
        ..redrive(LOST)
    };
    harness.send(Event::RedrivePlan(arn(LOST), Ok(Box::new(plan))));
    asked(&harness.taken());
    let frame = harness.frame(120, 36);
    assert!(
        frame.contains("0 lines, only the states after the map"),
        "{frame}"
    );
    assert!(frame.contains("(•) Re-run failed lines"), "{frame}");
}

#[test]
fn a_changed_limit_is_planned_anew_and_a_late_plan_is_not_taken() {
    let mut harness = Harness::sample().keys("jjr");
    let plan = refused(PART, RunState::Part);
    harness.send(Event::RedrivePlan(arn(PART), Ok(Box::new(plan))));
    let first = asked(&harness.taken());
    // Way, children, share, repeat, note: then Cancel.
    let mut harness = harness.keys("<shift-tab><shift-tab><shift-tab><shift-tab>7<tab>");
    let second = asked(&harness.taken());
    assert_eq!(second.limits.max_concurrency, Some(7));
    let late = rerun_plan(PART, first.clone());
    harness.send(Event::RerunPlan(arn(PART), Box::new(first), Ok(late)));
    assert!(harness.frame(120, 36).contains("reading the counts"));
    let plan = rerun_plan(PART, second.clone());
    harness.send(Event::RerunPlan(arn(PART), Box::new(second), Ok(plan)));
    assert!(harness.frame(120, 36).contains("212"));
}

#[test]
fn a_canary_and_a_plan_file_run_nothing_of_the_rest() {
    let (harness, wish) = planned();
    let plan = rerun_plan(PART, wish.clone());
    let mut harness = harness.keys("<ctrl-o>");
    let path = PathBuf::from(format!("{PART}.plan.json"));
    let saved = Effect::SavePlan(path, Box::new(plan::Plan::Rerun(plan)));
    assert_eq!(harness.taken(), [saved]);
    let mut harness = harness.keys("<tab><tab><enter>");
    let ran = harness.taken();
    let canary = Effect::Canary(arn(PART), Box::new(wish.clone()), CANARY);
    assert!(ran.contains(&canary), "{ran:?}");
}

fn ended(failed: u64, rest: Wish) -> canary::Ended {
    canary::Ended {
        name: "monday-r1-0a1b2c3d".to_owned(),
        state: if failed == 0 {
            RunState::Succeeded
        } else {
            RunState::Part
        },
        succeeded: 100 - failed,
        failed,
        rest: (arn("monday-r1-0a1b2c3d"), rest),
    }
}

#[test]
fn after_the_canary_the_rest_is_asked_about() {
    let (harness, wish) = planned();
    let harness = harness.keys("<tab><tab><enter>");
    let frame = harness.frame(120, 36);
    assert!(frame.contains("The canary runs"), "{frame}");
    // Nothing else can be pressed meanwhile.
    let mut harness = harness.keys("<tab><enter>");
    assert!(
        harness
            .taken()
            .iter()
            .all(|it| !matches!(it, Effect::Rerun(_)))
    );
    let told = ended(3, wish.clone());
    harness.send(Event::Canary(arn(PART), Ok(Box::new(told))));
    let rest = asked(&harness.taken());
    assert_eq!(rest, wish);
    let plan = rerun_plan("monday-r1-0a1b2c3d", rest.clone());
    let subject = arn("monday-r1-0a1b2c3d");
    harness.send(Event::RerunPlan(subject, Box::new(rest), Ok(plan.clone())));
    harness.check("canary_ended");
    let mut harness = harness.keys("<tab><enter>");
    let ran = harness.taken();
    assert!(ran.contains(&Effect::Rerun(plan)), "{ran:?}");
}

#[test]
fn a_canary_that_fails_more_than_the_limit_stops_the_rest() {
    let (harness, mut wish) = planned();
    let mut harness = harness.keys("<tab><tab><enter>");
    wish.limits.tolerated_percentage = Some(2.0);
    let told = ended(3, wish.clone());
    harness.send(Event::Canary(arn(PART), Ok(Box::new(told))));
    let rest = asked(&harness.taken());
    let plan = rerun_plan("monday-r1-0a1b2c3d", rest.clone());
    let subject = arn("monday-r1-0a1b2c3d");
    harness.send(Event::RerunPlan(subject, Box::new(rest), Ok(plan)));
    let frame = harness.frame(120, 36);
    assert!(
        frame.contains("3.0 % of the canary failed and 2 % are tolerated"),
        "{frame}"
    );
    let mut harness = harness.keys("<tab><enter>");
    assert!(
        harness
            .taken()
            .iter()
            .all(|it| !matches!(it, Effect::Rerun(_)))
    );
}

#[test]
fn a_canary_that_nobody_waits_for_is_told_of() {
    let (harness, wish) = planned();
    let mut harness = harness.keys("<tab><tab><enter><esc>");
    harness.send(Event::Canary(arn(PART), Ok(Box::new(ended(0, wish)))));
    let frame = harness.frame(120, 36);
    assert!(frame.contains("canary monday-r1-0a1b2c3d is OK"), "{frame}");
}

#[test]
fn repetitions_are_bounded_and_shown_as_a_command() {
    let mut harness = Harness::sample().keys("jr");
    let plan = Plan {
        failed: 60,
        never_started: 0,
        ..redrive(LOST)
    };
    harness.send(Event::RedrivePlan(arn(LOST), Ok(Box::new(plan))));
    // From Cancel back over note to repeat, on to pause, and over note and Cancel.
    let harness = harness.keys("<shift-tab><shift-tab>3<tab>soon<tab><tab><tab>");
    let frame = harness.frame(200, 60);
    assert!(
        frame.contains("not now: the pause is no span such as 10m"),
        "{frame}"
    );
    let back = "<shift-tab><shift-tab><shift-tab><backspace><backspace><backspace><backspace>";
    let mut harness = harness.keys(&format!("{back}90s<ctrl-y>"));
    let copied = harness.taken();
    let is_it = |it: &Effect| matches!(it, Effect::Copy(text) if text.ends_with("--yes --wait --repeat 3 --pause 90s"));
    assert!(copied.iter().any(is_it), "{copied:?}");
    let mut harness = harness.keys("<tab><tab><tab><enter>");
    let ran = harness.taken();
    let repeat = Repeat {
        times: 3,
        pause: Duration::from_secs(90),
    };
    let is_it = |it: &&Effect| matches!(it, Effect::Repeat(_, asked) if *asked == repeat);
    assert!(ran.iter().any(|it| is_it(&it)), "{ran:?}");
}

#[test]
fn the_focus_stays_where_the_same_plan_comes_again() {
    let mut harness = Harness::sample().keys("jr");
    let plan = Plan {
        failed: 60,
        never_started: 0,
        ..redrive(LOST)
    };
    harness.send(Event::RedrivePlan(arn(LOST), Ok(Box::new(plan.clone()))));
    let mut harness = harness.keys("<tab>");
    harness.taken();
    let later = Plan {
        seconds_left: Some(1_187_000),
        ..plan.clone()
    };
    harness.send(Event::RedrivePlan(arn(LOST), Ok(Box::new(later))));
    let other = Plan { failed: 61, ..plan };
    let mut same = harness.keys("<enter>");
    let ran = same.taken();
    assert!(
        ran.iter().any(|it| matches!(it, Effect::Redrive(_))),
        "{ran:?}"
    );
    // What has changed was not read yet.
    let mut harness = Harness::sample().keys("jr");
    harness.send(Event::RedrivePlan(
        arn(LOST),
        Ok(Box::new(Plan {
            failed: 60,
            ..other.clone()
        })),
    ));
    let mut harness = harness.keys("<tab>");
    harness.send(Event::RedrivePlan(arn(LOST), Ok(Box::new(other))));
    let mut harness = harness.keys("<enter>");
    assert!(
        harness
            .taken()
            .iter()
            .all(|it| !matches!(it, Effect::Redrive(_)))
    );
}

#[test]
fn lines_are_edited_with_a_diff_and_what_is_wrong_is_edited_on() {
    let (harness, wish) = planned();
    let mut harness = harness.keys("<ctrl-e>");
    let items = Ask::RerunItems(arn(PART), Box::new(wish.clone()));
    assert_eq!(harness.taken(), [Effect::Ask(items)]);
    let given = "{\"n\":3,\"line\":\"Oz\"}\n".to_owned();
    harness.send(Event::RerunItems(arn(PART), Ok(given.clone())));
    assert_eq!(harness.taken(), [Effect::Edit(given)]);
    harness.send(Event::Edited(Ok("{\"n\":3}".to_owned())));
    let compared = Ask::RerunEdited(arn(PART), Box::new(wish.clone()), "{\"n\":3}".to_owned());
    assert_eq!(harness.taken(), [Effect::Ask(compared)]);
    let wrong = trouble("edited lines: line 1: line is missing");
    harness.send(Event::RerunEdited(
        arn(PART),
        Box::new(wish.clone()),
        Err(wrong),
    ));
    assert!(
        harness
            .frame(120, 36)
            .contains("line 1: line is missing (ctrl-e edits on)")
    );
    let mut harness = harness.keys("<tab><enter><ctrl-e>");
    assert_eq!(harness.taken(), [Effect::Edit("{\"n\":3}".to_owned())]);
    let edited = Edited {
        edits: [(3, json!("Rome"))].into(),
        left_out: BTreeSet::new(),
        changes: vec![edit::Change {
            n: 3,
            old: "Oz".to_owned(),
            new: Some("Rome".to_owned()),
        }],
    };
    let reply = Ok(Box::new(edited));
    harness.send(Event::RerunEdited(arn(PART), Box::new(wish), reply));
    let wish = asked(&harness.taken());
    assert_eq!(wish.edits[&3], "Rome");
    let plan = rerun_plan(PART, wish.clone());
    harness.send(Event::RerunPlan(arn(PART), Box::new(wish), Ok(plan)));
    harness.check("rerun_edited");
}

#[test]
fn marks_that_the_filter_hides_are_a_line_of_their_own() {
    let chosen = |lines: &str| Chosen {
        lines: Lines::parse(lines).expect("lines"),
        ..Chosen::default()
    };
    let marked = Marked {
        shown: chosen("3"),
        hidden: Some((chosen("3,9"), 1)),
    };
    let (dialog, asks) = Redrive::open(arn(LOST), marked, false);
    assert_eq!(asked(&asks).chosen, chosen("3"));
    let mut harness = Harness::sample();
    harness.app.dialog = Some(Dialog::Redrive(Box::new(dialog)));
    let frame = harness.frame(120, 36);
    assert!(
        frame.contains("[ ] include 1 marked lines that the filter hides"),
        "{frame}"
    );
    // From Cancel back over note, repeat, share and children to the line.
    let mut harness = harness.keys("<shift-tab><shift-tab><shift-tab><shift-tab><shift-tab> <tab>");
    let wishes = asked(&harness.taken());
    assert_eq!(wishes.chosen, chosen("3,9"));
    assert_eq!(wishes.left_out, BTreeSet::new());
}

#[test]
fn the_trail_shows_the_newest_first_and_copies_a_command() {
    let mut harness = Harness::sample().keys("@");
    assert!(harness.taken().contains(&Effect::Ask(Ask::Trail)));
    let entry = |command: &str, outcome| Entry {
        at: now(),
        who: "ada".to_owned(),
        target: "prod-data eu-west-1".to_owned(),
        command: command.to_owned(),
        outcome,
    };
    let entries = vec![
        entry(
            "aws stepfunctions stop-execution --execution-arn arn:a",
            Ok(()),
        ),
        entry(
            "aws s3 cp - s3://b/\u{1b}[2Jk # 3 bytes",
            Err("AccessDenied".to_owned()),
        ),
    ];
    harness.send(Event::Trail(Ok(entries)));
    harness.check("trail");
    let mut harness = harness.keys("jy");
    let copied = "aws stepfunctions stop-execution --execution-arn arn:a".to_owned();
    assert!(harness.taken().contains(&Effect::Copy(copied)));
}

#[test]
fn marked_failures_are_what_a_re_run_is_of() {
    let mut harness = Harness::sample().failures(LOST, 9, true).keys("j3 r");
    let wish = asked(&harness.taken());
    assert_eq!(
        (wish.chosen.groups.len(), wish.chosen.children.len()),
        (1, 0)
    );
    assert!(harness.frame(120, 36).contains("(•) Re-run marked lines"));
    // Without a mark the whole run is meant.
    let mut harness = Harness::sample().failures(LOST, 9, true).keys("j3r");
    let asks = harness.taken();
    assert!(asks.contains(&Effect::Ask(Ask::PlanRedrive(arn(LOST)))));
    assert!(
        !asks
            .iter()
            .any(|it| matches!(it, Effect::Ask(Ask::PlanRerun(..))))
    );
}
