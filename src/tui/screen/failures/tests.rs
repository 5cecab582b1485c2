//! Failures that are more than is kept: lists read in pages, filters, marks, source lines.

use std::ops::Range;
use std::sync::Arc;

use crate::model::ObjectAddress;
use crate::operations::failures::{Grouping, Method, NeverStarted, SourceLine};
use crate::tui::data::{FailureSet, Looking, MemberPage, MemberQuery, Stamp};
use crate::tui::event::{Ask, Effect, Event, Subscription};
use crate::tui::harness::{Harness, LOST, arn, failure, trouble};
use crate::tui::screen::{Failures, ItemTab, Screen};

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

/// What is being looked for in a group.
fn looked_for(harness: &Harness) -> Option<MemberQuery> {
    let polls = harness.app.subscriptions().into_iter();
    let mut queries = polls.filter_map(|it| match it {
        Subscription::Members(query) => Some(query),
        _ => None,
    });
    queries.next()
}

#[test]
fn what_fits_in_a_long_list_is_shown_while_it_is_looked_for() {
    let harness = stored().keys("<enter>/gateway");
    assert_eq!(looked_for(&harness), None, "not with every key");
    let mut harness = harness.keys("<enter>");
    let query = &looked_for(&harness).unwrap();
    assert_eq!(query.filter, "gateway");
    assert!(harness.frame(120, 36).contains("looking through the group"));
    let looking = Looking { read: 100, of: 300 };
    let none = MemberPage {
        total: 0,
        rows: Vec::new(),
    };
    harness.send(Event::MembersSoFar(query.clone(), looking, none));
    assert!(
        harness
            .frame(120, 36)
            .contains("100 of 300 read, esc ends it")
    );
    let some = MemberPage {
        total: 70,
        rows: (1..65).map(|line| failure(line, "E", "m")).collect(),
    };
    harness.send(Event::MembersSoFar(query.clone(), looking, some));
    assert!(harness.frame(120, 36).contains("70 fit, 33% read"));
    let mut harness = harness.keys("G");
    assert!(asked(&mut harness).is_empty(), "not before all are found");
    assert!(looked_for(&harness).is_some());
    answer(&mut harness, query, 0, 72);
    assert_eq!(looked_for(&harness), None);
    assert_eq!(screen(&harness).rows(&harness.app), 72);
    assert!(harness.frame(120, 36).contains("72 fit"));
    assert_eq!(
        asked(&mut harness).len(),
        1,
        "the last rows are not read yet"
    );
}

#[test]
fn esc_ends_looking_through_a_group() {
    let mut harness = stored().keys("<enter>/line:1..2<enter>");
    let query = &looked_for(&harness).unwrap();
    harness = harness.keys("<esc>");
    assert_eq!(looked_for(&harness), None);
    // An answer about a list that is not looked at any more changes nothing.
    harness.send(Event::Members(query.clone(), 0, Err(trouble("lost"))));
    assert_eq!(screen(&harness).rows(&harness.app), FAILED as usize);
}

#[test]
fn an_error_in_the_filter_hides_the_other_groups() {
    let harness = stored().keys("/error:valid*<enter>");
    let shown = screen(&harness);
    let set = shown.set(&harness.app).unwrap();
    assert_eq!(shown.groups_shown(set).len(), 1);
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
    let harness = harness.keys("<ctrl-\\><ctrl-a>");
    let marked = screen(&harness).marked(&harness.app);
    assert_eq!((marked.groups.len(), marked.in_groups), (1, FAILED));
    let harness = harness.keys("<ctrl-\\>");
    let marked = screen(&harness).marked(&harness.app);
    assert!(marked.groups.is_empty() && marked.children.is_empty());
}

/// The rows whose children are asked for.
fn marking(harness: &mut Harness) -> Option<(MemberQuery, Range<u64>)> {
    let taken = harness.taken().into_iter();
    let mut asks = taken.filter_map(|effect| match effect {
        Effect::Ask(Ask::Children(query, rows)) => Some((query, rows)),
        _ => None,
    });
    asks.next()
}

#[test]
fn a_range_of_a_long_list_is_marked_by_who_is_in_it() {
    let mut harness = stored().keys("<enter>jjv");
    assert!(harness.frame(120, 36).contains("range begun"));
    harness = harness.keys("G");
    harness.taken();
    harness = harness.keys("v");
    let (query, rows) = marking(&mut harness).unwrap();
    assert_eq!(rows, 2..FAILED);
    assert!(harness.frame(120, 36).contains("marking 298…"));
    let children = (2..FAILED)
        .map(|row| failure(row + 1, "", "").child)
        .collect();
    harness.send(Event::Children(query, rows, Ok(children)));
    let marked = screen(&harness).marked(&harness.app);
    assert_eq!(marked.children.len() as u64, FAILED - 2);
    assert!(harness.frame(120, 36).contains("298 marked"));
}

#[test]
fn all_that_fit_a_filter_are_marked_and_none_of_them_is_hidden() {
    let mut harness = stored().keys("<enter>/gateway<enter><ctrl-a>");
    let frame = harness.frame(120, 36);
    assert!(frame.contains("still being looked through"), "{frame}");
    let query = looked_for(&harness).unwrap();
    answer(&mut harness, &query, 0, 200);
    harness.taken();
    harness = harness.keys("<ctrl-a>");
    let (query, rows) = marking(&mut harness).unwrap();
    assert_eq!(rows, 0..200);
    let children = (0..200).map(|row| failure(row + 1, "", "").child).collect();
    harness.send(Event::Children(query, rows, Ok(children)));
    let frame = harness.frame(120, 36);
    assert!(frame.contains("200 marked"), "{frame}");
    assert!(!frame.contains("hidden"), "{frame}");
}

#[test]
fn lines_that_never_started_are_listed_below_the_groups() {
    let mut harness = stored();
    let mut map_run = harness.app.data().map_run(&arn(LOST)).unwrap().clone();
    map_run.items.pending = 5;
    harness.send(Event::MapRun(
        map_run.arn.clone(),
        Ok(Box::new(map_run.clone())),
    ));
    harness = harness.keys("jjjj");
    let frame = harness.frame(120, 36);
    assert!(frame.contains("▸ Lines never started"), "{frame}");
    assert!(frame.contains("lists their lines"), "{frame}");
    assert!(screen(&harness).chosen(&harness.app).is_none());
    // A mark is of groups, and this is none.
    harness = harness.keys(" ");
    assert!(screen(&harness).marked(&harness.app).groups.is_empty());
    harness = harness.keys("k");
    harness.taken();
    harness = harness.keys("<enter>");
    let asks = |effect: &Effect| matches!(effect, Effect::Ask(Ask::NeverStarted(_)));
    let asked = harness.taken();
    assert!(
        !asked.iter().any(asks),
        "of what is pending nothing is listed"
    );
    harness = harness.keys("j");
    let asked = harness.taken();
    assert!(asked.iter().any(asks), "{asked:?}");
    let found = NeverStarted {
        items: 5,
        lines: vec![7..=7, 9..=11],
        unlisted: 1,
    };
    harness.send(Event::NeverStarted(map_run.arn, Ok(Some(found))));
    harness.check("failures_never_started");
}

#[test]
fn log_lines_are_asked_for_where_the_cursor_rests() {
    let logs = |harness: &Harness| {
        let polls = harness.app.subscriptions().into_iter();
        let mut queries = polls.filter_map(|it| match it {
            Subscription::Logs(query) => query.focus,
            _ => None,
        });
        queries.next().map(|it| it.child)
    };
    let mut harness = stored().keys("<enter>");
    assert_eq!(logs(&harness), None);
    harness = harness.keys("[[");
    assert_eq!(screen(&harness).tab, ItemTab::Logs);
    assert_eq!(logs(&harness), Some(failure(1, "", "").child));
    harness = harness.keys("jj");
    assert_eq!(logs(&harness), None, "nothing is asked on the way");
    let now = harness.app.now;
    harness.at(now);
    assert_eq!(logs(&harness), Some(failure(3, "", "").child));
}

#[test]
fn the_item_can_be_given_more_room() {
    let harness = stored().keys("<enter>");
    let divider = |harness: &Harness| {
        let frame = harness.frame(120, 36);
        frame.lines().position(|it| it.starts_with('├'))
    };
    let before = divider(&harness).unwrap();
    let harness = harness.keys("++");
    assert_eq!(divider(&harness), Some(before - 2));
    let harness = harness.keys("___");
    assert_eq!(divider(&harness), Some(before + 1));
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
    let query = looked_for(&harness).unwrap();
    harness.send(Event::Members(
        query,
        0,
        Err(trouble("GetObject failed: gone")),
    ));
    assert!(harness.frame(120, 36).contains("GetObject failed: gone"));
    assert_eq!(looked_for(&harness), None, "not again and again");
    assert!(asked(&mut harness).is_empty());
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
