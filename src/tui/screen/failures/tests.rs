//! Failures that are more than is kept: lists read in pages, filters, marks, source lines.

use std::sync::Arc;

use crate::model::ObjectAddress;
use crate::operations::failures::{Grouping, Method, SourceLine};
use crate::tui::data::{FailureSet, MemberPage, MemberQuery, Stamp};
use crate::tui::event::{Ask, Effect, Event};
use crate::tui::harness::{Harness, LOST, arn, failure, trouble};
use crate::tui::screen::{Failures, Screen};

const FAILED: u64 = 300;

/// Of a run with so many failures of one kind that not all are kept, and three of another.
fn stored() -> Harness {
    let mut harness = Harness::sample();
    let map_run = harness.app.data().map_run(&arn(LOST)).unwrap().clone();
    let mut grouping = Grouping::new(map_run.started).unwrap();
    for number in 1..=FAILED + 3 {
        let (error, cause) = match number {
            1..=FAILED => ("PaymentGateway.Timeout", format!("took {number} ms")),
            _ => ("ValidationError", "no tax id".to_owned()),
        };
        let record = serde_json::json!({
            "ExecutionArn": failure(number, "", "").child, "Status": "FAILED",
            "Error": error, "Cause": cause,
            "Input": format!("{{\"n\":{number},\"line\":\"F-{number}\"}}"),
            "StopDate": "2026-11-23T14:00:00.000Z",
        });
        grouping.push(record.to_string().as_bytes()).unwrap();
    }
    let survey = grouping.finish().unwrap();
    let set = FailureSet::new(Arc::new(survey), Stamp::of(&map_run));
    harness.send(Event::Failures(map_run.arn, Ok(set)));
    harness.keys("j3")
}

/// What is asked of the list; the frame says how much of it is seen.
fn asked(harness: &mut Harness) -> Vec<(MemberQuery, u64)> {
    harness.frame(120, 36);
    let now = harness.app.now;
    harness.at(now);
    let asks = harness
        .taken()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Ask(Ask::Members(query, first)) => Some((query, first)),
            _ => None,
        });
    asks.collect()
}

fn answer(harness: &mut Harness, query: &MemberQuery, first: u64, total: u64) {
    let rows = (first..total.min(first + 64)).map(|row| failure(row + 1, "E", "m"));
    let page = MemberPage {
        total,
        rows: rows.collect(),
    };
    harness.send(Event::Members(query.clone(), first, Ok(page)));
}

fn screen(harness: &Harness) -> &Failures {
    match harness.app.screen() {
        Screen::Failures(it) => it,
        _ => panic!("the failures should be shown"),
    }
}

#[test]
fn any_place_of_a_long_list_is_gone_to_and_only_its_rows_are_asked_for() {
    let mut harness = stored();
    assert!(asked(&mut harness).is_empty(), "the first ones are kept");
    let mut harness = harness.keys("<enter>G");
    assert_eq!(screen(&harness).rows(&harness.app), FAILED as usize);
    let asks = asked(&mut harness);
    let [(query, first)] = asks.as_slice() else {
        panic!("{asks:?}");
    };
    assert!((FAILED - 40..FAILED - 20).contains(first), "{first}");
    assert!(harness.frame(120, 36).contains("…"));
    answer(&mut harness, query, *first, FAILED);
    let chosen = screen(&harness).chosen(&harness.app).unwrap();
    assert_eq!(chosen.line, Some(FAILED));
    assert!(asked(&mut harness).is_empty(), "all that is seen is there");
}

#[test]
fn a_filter_of_a_long_list_is_answered_by_the_runtime() {
    let mut harness = stored().keys("<enter>/line:1..2<enter>");
    let asks = asked(&mut harness);
    let [(query, 0)] = asks.as_slice() else {
        panic!("{asks:?}");
    };
    assert_eq!(query.filter, "line:1..2");
    assert!(harness.frame(120, 36).contains("looking through the group"));
    answer(&mut harness, query, 0, 2);
    assert_eq!(screen(&harness).rows(&harness.app), 2);
    assert!(harness.frame(120, 36).contains("2 fit"));
    // An answer about a list that is not looked at any more changes nothing.
    let mut harness = harness.keys("<esc>");
    harness.send(Event::Members(query.clone(), 0, Err(trouble("lost"))));
    assert_eq!(screen(&harness).rows(&harness.app), FAILED as usize);
}

#[test]
fn an_error_in_the_filter_hides_the_other_groups() {
    let harness = stored().keys("/error:valid*<enter>");
    assert_eq!(screen(&harness).rows(&harness.app), 1);
    let frame = harness.frame(120, 36);
    assert!(frame.contains("ValidationError"), "{frame}");
    assert!(!frame.contains("PaymentGateway"), "{frame}");
    let frame = stored().keys("/error:none<enter>").frame(120, 36);
    assert!(frame.contains("no group's error fits"), "{frame}");
}

#[test]
fn groups_and_single_items_are_marked_whatever_is_read() {
    let harness = stored().keys(" k<enter>jj ");
    let marked = screen(&harness).marked(&harness.app);
    let found = (marked.groups.len(), marked.in_groups, marked.children.len());
    assert_eq!(found, (1, FAILED, 1));
    harness.check("failures_marked");
    let harness = harness.keys("<ctrl-a>");
    let frame = harness.frame(120, 36);
    assert!(frame.contains("marked as a group"), "{frame}");
    let harness = harness.keys("<ctrl-\\>");
    let marked = screen(&harness).marked(&harness.app);
    assert!(marked.groups.is_empty() && marked.children.is_empty());
}

#[test]
fn the_source_line_says_how_it_was_found() {
    let mut harness = stored().keys("<enter>");
    harness.taken();
    let mut harness = harness.keys("gs");
    let child = failure(1, "", "").child;
    let asked = harness.taken();
    let is_it = |effect: &Effect| matches!(effect, Effect::Ask(Ask::SourceLine(_, failure)) if failure.child == child);
    assert!(asked.iter().any(is_it), "{asked:?}");
    assert!(
        harness
            .frame(120, 36)
            .contains("looking for it in the source")
    );
    let found = SourceLine {
        source: Some(ObjectAddress::new("prod-in", "invoices.jsonl")),
        line: None,
        text: None,
        method: Method::Candidates(3),
        candidates: vec![7, 9, 12],
        advice: Some("an ItemSelector with an index makes it certain".to_owned()),
    };
    harness.send(Event::SourceLine(child, Ok(found)));
    harness.check("failures_source");
}

#[test]
fn what_is_exported_of_an_ended_run_is_streamed() {
    let mut harness = stored().keys("<enter>/line:7<enter>");
    harness.taken();
    let mut harness = harness.keys("Ecsv<enter>");
    let asked = harness.taken();
    let found = asked.iter().find_map(|effect| match effect {
        Effect::ExportFailures(_, asked) => Some(asked),
        _ => None,
    });
    let found = found.unwrap_or_else(|| panic!("{asked:?}"));
    assert_eq!(found.filter, "line:7");
    assert_eq!(found.group.as_ref().unwrap().message, "took <n> ms");
}

#[test]
fn a_page_that_cannot_be_read_says_why() {
    let mut harness = stored().keys("<enter>/line:7<enter>");
    let (query, first) = asked(&mut harness).remove(0);
    harness.send(Event::Members(
        query,
        first,
        Err(trouble("GetObject failed: gone")),
    ));
    assert!(harness.frame(120, 36).contains("GetObject failed: gone"));
    assert!(asked(&mut harness).is_empty(), "not again and again");
}

#[test]
fn reading_shows_what_it_has_while_it_goes_on() {
    let mut harness = Harness::sample().keys("j3");
    let map_run = harness.app.data().map_run(&arn(LOST)).unwrap().clone();
    let part = crate::tui::harness::failure_set(&map_run, 9, false);
    harness.send(Event::FailuresSoFar(map_run.arn.clone(), part));
    assert!(harness.frame(120, 36).contains("PaymentGateway"));
    let whole = crate::tui::harness::failure_set(&map_run, 30, true);
    harness.send(Event::Failures(map_run.arn.clone(), Ok(whole)));
    // A report that comes late takes nothing back.
    let late = crate::tui::harness::failure_set(&map_run, 6, false);
    harness.send(Event::FailuresSoFar(map_run.arn, late));
    assert_eq!(
        screen(&harness).set(&harness.app).unwrap().groups()[0].count,
        30
    );
}
