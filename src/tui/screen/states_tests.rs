//! Views and dialogs in the states that are seen least: before anything is known, with nothing in
//! them, old, and when what they need cannot be had.

use jiff::SignedDuration;

use crate::model::{StateMachine, Status};
use crate::operations::trail;
use crate::tui::event::{Event, StartForm};
use crate::tui::harness::{GOING, Harness, LOST, ago, arn, execution, machine, now, run, trouble};
use crate::tui::history::Part;

fn named() -> StateMachine {
    StateMachine {
        arn: machine(),
        name: "invoice-lines".to_owned(),
        kind: "STANDARD".to_owned(),
        created: ago(40 * 86_400),
    }
}

#[test]
fn machines_before_and_without_any() {
    let mut harness = Harness::sample().keys("6");
    harness.check("machines_loading");
    harness.send(Event::Machines(Ok(Vec::new())));
    harness.check("machines_empty");
}

#[test]
fn a_machine_before_it_is_read_and_when_it_cannot_be() {
    let mut harness = Harness::sample().keys("6");
    harness.send(Event::Machines(Ok(vec![named()])));
    let mut harness = harness.keys("<enter>");
    harness.check("machine_loading");
    let denied = trouble("DescribeStateMachine of invoice-lines failed: not allowed");
    harness.send(Event::MachineView(machine(), Err(denied)));
    harness.check("machine_failed");
}

#[test]
fn an_execution_before_it_is_read_and_when_it_has_grown_old() {
    Harness::sample().keys("gt").check("execution_loading");
    let mut harness = Harness::sample().traced().keys("gt");
    harness.at(now() + SignedDuration::from_secs(90));
    let lost = trouble("DescribeExecution of invoices failed: no connection: timed out");
    harness.send(Event::Execution(arn(GOING), Err(lost.clone())));
    harness.send(Event::History(arn(GOING), Part::Peek, Err(lost)));
    harness.check("execution_stale");
}

#[test]
fn the_trail_empty_and_unreadable() {
    let mut harness = Harness::sample().keys("@");
    harness.send(Event::Trail(Ok(Vec::<trail::Entry>::new())));
    harness.check("trail_empty");
    let mut harness = Harness::sample().keys("@");
    let broken = trouble("~/.local/state/fanout/trail.jsonl: permission denied");
    harness.send(Event::Trail(Err(broken)));
    harness.check("trail_failed");
}

#[test]
fn a_start_whose_source_cannot_be_read() {
    let mut harness = Harness::sample().keys("ts3://prod-in/none.txt<enter>");
    let form = StartForm {
        machine: "invoice-lines".to_owned(),
        source: crate::operations::start::Source::Object(
            crate::model::ObjectAddress::parse("s3://prod-in/none.txt").unwrap(),
        ),
        bucket: "prod-in".to_owned(),
        name: None,
        input: serde_json::json!({}),
        template: None,
    };
    let denied =
        trouble("HeadObject of s3://prod-in/none.txt failed: not allowed: HTTP status 403");
    harness.send(Event::StartPlan(Box::new(form), Err(denied)));
    harness.check("start_failed");
}

#[test]
fn a_start_whose_source_is_being_read() {
    Harness::sample()
        .keys("ts3://prod-in/lines.txt<enter>")
        .check("start_loading");
}

#[test]
fn a_comparison_of_which_one_is_not_read_yet() {
    Harness::sample().keys("mj=").check("compare_loading");
    let mut harness = Harness::sample().keys("mj=");
    harness.at(now() + SignedDuration::from_secs(90));
    let lost = trouble("DescribeExecution of invoices failed: no connection: timed out");
    harness.send(Event::Execution(arn(GOING), Err(lost)));
    harness.check("compare_stale");
}

#[test]
fn failures_before_they_are_read_and_when_they_have_grown_old() {
    Harness::sample().keys("j3").check("failures_loading");
    let mut harness = Harness::sample().failures(LOST, 90, true).keys("j3");
    harness.at(now() + SignedDuration::from_secs(300));
    let lost = trouble("DescribeMapRun of invoices failed: no connection: timed out");
    harness.send(Event::Run(arn(LOST), Err(lost)));
    harness.check("failures_stale");
}

#[test]
fn failures_by_the_ten_thousand() {
    let harness = Harness::sample().failures(LOST, 60_000, true);
    harness.keys("j3<tab>G").check("failures_huge");
}

#[test]
fn machines_that_have_grown_old() {
    let mut harness = Harness::sample().keys("6");
    harness.send(Event::Machines(Ok(vec![named()])));
    harness.at(now() + SignedDuration::from_secs(90));
    let lost = trouble("ListStateMachines failed: no connection: timed out");
    harness.send(Event::Machines(Err(lost)));
    harness.check("machines_stale");
}

#[test]
fn more_machines_than_there_is_room_for() {
    let mut harness = Harness::sample().keys("6");
    let machines = (0..4_000).map(|number| StateMachine {
        name: format!("invoice-lines-of-the-{number:04}th-customer-in-production"),
        ..named()
    });
    harness.send(Event::Machines(Ok(machines.collect())));
    harness.keys("G").check("machines_huge");
}

#[test]
fn a_long_history_in_its_middle() {
    let mut harness = Harness::sample().keys("jge");
    harness.frame(120, 36);
    for part in [Part::Newest, Part::Oldest] {
        let page = crate::tui::history::tests::page(&part, 25_000, 1_000);
        harness.send(Event::History(arn(LOST), part, Ok(page)));
    }
    harness.keys("/id:1000<enter>").check("execution_huge");
}

#[test]
fn the_trail_before_it_is_read() {
    Harness::sample().keys("@").check("trail_loading");
}

#[test]
fn the_drawer_before_anything_is_under_way() {
    Harness::sample().keys("T").check("transfers_empty");
}

#[test]
fn without_a_run_a_view_of_one_says_what_to_do() {
    let mut harness = Harness::new();
    harness.list(&[]);
    for keys in ["2", "3", "4", "5"] {
        harness = harness.keys(keys);
        let frame = harness.frame(120, 36);
        assert!(frame.contains("there is no run yet: start one"), "{frame}");
    }
    // The next key takes it away.
    harness = harness.keys("j");
    assert!(!harness.frame(120, 36).contains("there is no run yet"));
}

#[test]
fn a_filter_of_a_column_that_is_not_there_is_doubted() {
    let harness = Harness::sample().keys("/foo:bar<enter>");
    let frame = harness.frame(120, 36);
    assert!(
        frame.contains("there is no column foo: searched as text"),
        "{frame}"
    );
    let harness = harness.keys("<esc>/state:failed<enter>");
    assert!(!harness.frame(120, 36).contains("there is no column"));
}

#[test]
fn how_old_a_view_is_says_its_oldest_part() {
    let mut harness = Harness::sample().keys("<enter>");
    let known = harness.app.data().run(&arn(GOING)).unwrap().clone();
    // The execution is polled, and its Map Run gives no answer.
    harness.at(now() + SignedDuration::from_secs(40));
    let detail = Box::new(known.detail.clone());
    harness.send(Event::Execution(arn(GOING), Ok(detail)));
    assert_eq!(harness.app.data_age(), Some(40));
    let counts = Box::new(known.map_runs[0].clone());
    harness.send(Event::MapRun(counts.arn.clone(), Ok(counts)));
    assert_eq!(harness.app.data_age(), Some(0));
    // A row that is seen in the list, and read before the list was.
    let mut harness = Harness::new();
    let going = run(
        &execution(GOING, Status::Running, 842, None),
        crate::tui::harness::counts(10, 1, 0, 1),
    );
    harness.list(std::slice::from_ref(&going));
    harness.frame(120, 36);
    harness.at(now() + SignedDuration::from_secs(7));
    let page = crate::model::Page {
        items: vec![going.execution().clone()],
        next: None,
    };
    harness.send(Event::Executions(machine(), Ok(page)));
    assert_eq!(harness.app.data_age(), Some(7));
}
