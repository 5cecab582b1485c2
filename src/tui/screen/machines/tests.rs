//! The machines' list and one machine, in their states, and what their keys ask for.

use std::sync::Arc;

use crate::model::{Alias, StateMachine, StateMachineArn, Status, Version};
use crate::operations::check::Report;
use crate::operations::machines::{Machine, Recent};
use crate::tui::data::MachineView;
use crate::tui::event::{Ask, Effect, Event};
use crate::tui::harness::{Harness, ago, definition_of, execution, machine, now, trouble};
use crate::tui::screen::Screen;

fn named(name: &str, kind: &str) -> StateMachine {
    StateMachine {
        arn: machine_arn(name),
        name: name.to_owned(),
        kind: kind.to_owned(),
        created: ago(40 * 86_400),
    }
}

fn machine_arn(name: &str) -> StateMachineArn {
    StateMachineArn::new(machine().as_str().replace("invoice-lines", name))
}

fn recent(statuses: &[Status], open: u64) -> Recent {
    let rows = (1..).zip(statuses);
    Recent {
        newest: rows
            .map(|(hours, status)| {
                execution(&format!("run-{hours}"), *status, hours * 3_600, Some(600))
            })
            .collect(),
        open,
        more_open: open >= 100,
    }
}

fn listed() -> Harness {
    use Status::{Aborted, Failed, Running, Succeeded, TimedOut};
    let mut harness = Harness::sample().keys("6");
    let machines = vec![
        named("ledger-post", "STANDARD"),
        named("invoice-lines", "STANDARD"),
        named("thumbnails", "EXPRESS"),
        named("never-started", "STANDARD"),
        named(
            "日本語の状態機械-très-long-name-that-goes-on-and-on",
            "STANDARD",
        ),
    ];
    harness.send(Event::Machines(Ok(machines)));
    let known = [
        (
            "invoice-lines",
            recent(
                &[Running, Failed, Succeeded, Succeeded, TimedOut, Succeeded],
                1,
            ),
        ),
        ("ledger-post", recent(&[Succeeded; 10], 100)),
        ("never-started", recent(&[], 0)),
        (
            "日本語の状態機械-très-long-name-that-goes-on-and-on",
            recent(&[Failed, Aborted], 0),
        ),
    ];
    for (name, recent) in known {
        harness.send(Event::Recent(machine_arn(name), Ok(recent)));
    }
    harness
}

fn opened() -> Harness {
    let mut harness = listed().keys("<enter>");
    let workflow = include_str!("../../../../assets/workflow.asl.json");
    let version = |number: u32, days: i64| Version {
        arn: StateMachineArn::new(format!("{}:{number}", machine().as_str())),
        created: ago(days * 86_400),
    };
    let versions = vec![version(42, 1), version(41, 30)];
    let machine_read = Machine {
        detail: definition_of(workflow),
        aliases: vec![Alias {
            arn: StateMachineArn::new(format!("{}:PROD", machine().as_str())),
            name: "PROD".to_owned(),
            description: Some("what the nightly load starts".to_owned()),
            updated: Some(ago(86_400)),
            routes: vec![(versions[1].arn.clone(), 90), (versions[0].arn.clone(), 10)],
        }],
        versions,
        tags: [("team".to_owned(), "billing".to_owned())].into(),
    };
    let report = Report::of(&machine_read.detail).map_err(|error| error.to_string());
    let view = MachineView::new(machine_read, report);
    harness.send(Event::MachineView(machine(), Ok(Arc::new(view))));
    harness
}

#[test]
fn machines_with_how_they_went() {
    listed().check("machines");
}

#[test]
fn a_machine_that_has_grown_old() {
    let mut harness = opened();
    harness.at(now() + jiff::SignedDuration::from_secs(90));
    let lost = trouble("DescribeStateMachine of invoice-lines failed: no connection: timed out");
    harness.send(Event::MachineView(machine(), Err(lost)));
    harness.check("machine_stale");
}

#[test]
fn machines_that_are_not_known_yet() {
    let mut harness = Harness::sample();
    harness.taken();
    let mut harness = harness.keys("gm");
    assert!(harness.taken().contains(&Effect::Ask(Ask::Machines)));
    assert!(
        harness
            .frame(120, 36)
            .contains("reading the state machines…")
    );
    harness.send(Event::Machines(Err(trouble(
        "ListStateMachines failed: not allowed",
    ))));
    harness.check("machines_failed");
}

#[test]
fn rows_that_are_seen_are_asked_about_two_at_a_time() {
    let mut harness = Harness::sample().keys("6");
    harness.taken();
    let machines = ["a", "b", "c"].map(|name| named(name, "STANDARD"));
    harness.send(Event::Machines(Ok(machines.to_vec())));
    let asks = harness.taken();
    let asked = |name: &str| Effect::Ask(Ask::Recent(machine_arn(name)));
    assert_eq!(asks, [asked("a"), asked("b")]);
    harness.send(Event::Recent(machine_arn("a"), Ok(recent(&[], 0))));
    assert_eq!(harness.taken(), [asked("c")]);
    // Express executions are not listed.
    harness.send(Event::Machines(Ok(vec![named("x", "EXPRESS")])));
    assert!(harness.taken().is_empty());
}

#[test]
fn a_machine_in_summary() {
    opened().check("machine_summary");
}

#[test]
fn a_machines_definition_is_searched() {
    opened().keys("]/full<enter>n").check("machine_definition");
}

#[test]
fn a_machine_as_graph_and_its_versions() {
    let harness = opened().keys("]]");
    assert!(harness.frame(120, 36).contains("│ lambda:invoke"));
    let frame = harness.keys("]").frame(120, 36);
    assert!(
        frame.contains("PROD                90 % → version 41   10 % → version 42"),
        "{frame}"
    );
}

#[test]
fn space_shows_the_runs_of_another_machine() {
    let mut harness = listed().keys("j");
    harness.taken();
    let mut harness = harness.keys("<space>");
    assert!(matches!(harness.app.screen(), Screen::Runs(_)));
    assert_eq!(
        harness.app.settings.machine,
        machine_arn("ledger-post").as_str()
    );
    assert!(harness.taken().contains(&Effect::Refresh));
}

#[test]
fn a_run_is_started_on_the_machine_under_the_cursor() {
    let harness = listed().keys("jt");
    let frame = harness.frame(120, 36);
    assert!(frame.contains("ledger-post"), "{frame}");
    assert!(frame.contains("Start a run"));
}

#[test]
fn no_size_breaks_machines() {
    for keys in ["", "<esc>", "]", "]]", "]]]"] {
        let harness = opened().keys(keys);
        for width in (1..=210).step_by(23) {
            for height in (1..=64).step_by(5) {
                harness.frame(width, height);
            }
        }
    }
}

#[test]
fn the_traps_of_a_machine_are_a_tab_and_a_command() {
    let harness = opened().keys(":check<enter>");
    harness.check("machine_checks");
    let shown = harness.frame(120, 36);
    assert!(
        shown.contains("at most") || shown.contains("limits the children"),
        "{shown}"
    );
    let mut harness = listed().keys(":check thumbnails<enter>");
    let asked = harness.taken();
    let thumbnails = Ask::MachineView(machine_arn("thumbnails"));
    assert!(asked.contains(&Effect::Ask(thumbnails)), "{asked:?}");
    let harness = listed().keys(":check nothing-of-that-name<enter>");
    assert!(harness.frame(120, 36).contains("no state machine"));
}
