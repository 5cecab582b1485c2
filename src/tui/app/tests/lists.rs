//! Lists: filters, marks, orders, and what is done with several at once.

use super::{
    Effect, Event, GOING, Harness, LOST, arn, changes, execution, machine, output, plan, sample,
};
use crate::model::{Page, Status};
use crate::operations::outputs::{Kind, Listing};
use crate::operations::redrive;
use crate::tui::event::{Ask, Deed};
use crate::tui::harness::PART;
use crate::tui::screen::Screen;

/// Names of the runs shown, in their order.
fn shown(harness: &Harness) -> Vec<&str> {
    let Screen::Runs(it) = harness.app.screen() else {
        panic!("{:?}", harness.app.screen());
    };
    let rows = it.rows(&harness.app).into_iter();
    rows.map(|run| run.name.as_str()).collect()
}

fn said(harness: &Harness) -> &str {
    harness.app.message.as_ref().map_or("", |it| &it.text)
}

#[test]
fn a_filter_applies_while_it_is_typed() {
    let harness = Harness::sample().keys("/failed:>50k");
    assert_eq!(shown(&harness), [LOST]);
    let harness = Harness::sample().keys("/since:24h !state:ok -");
    assert!(shown(&harness).contains(&GOING));
    let harness = Harness::sample().keys("/since:1h");
    assert_eq!(shown(&harness), [GOING]);
    let harness = Harness::sample().keys("/-f ldg19");
    assert_eq!(shown(&harness), [PART]);
}

#[test]
fn the_filter_line_says_what_can_be_typed_and_what_means_nothing() {
    let harness = Harness::sample().keys("/colour:red");
    let frame = harness.frame(120, 36);
    assert!(frame.contains("there is no column colour"), "{frame}");
    assert!(
        frame.contains("columns state status run started"),
        "{frame}"
    );
    harness.check("filter_help");
}

#[test]
fn filters_given_before_are_recalled_with_the_arrows() {
    let harness = Harness::sample().keys("/ledger<enter>/<ctrl-u>adjust<enter><esc>/<up>");
    assert_eq!(harness.app.screen().filter().unwrap().text(), "adjust");
    let harness = harness.keys("<up>");
    assert_eq!(harness.app.screen().filter().unwrap().text(), "ledger");
    let harness = harness.keys("<down><down>");
    assert_eq!(harness.app.screen().filter().unwrap().text(), "");
    // Those of another view are its own.
    let harness = harness.keys("<esc>3/<up>");
    assert_eq!(harness.app.screen().filter().unwrap().text(), "");
}

#[test]
fn the_palette_filters_sorts_and_goes_back_in_time() {
    let harness = Harness::sample().keys(":runs ledger since 30d<enter>");
    assert_eq!(shown(&harness), [PART]);
    let harness = Harness::sample().keys(":since 1h<enter>");
    assert_eq!(shown(&harness), [GOING]);
    let harness = harness.keys(":since 24h<enter>");
    assert_eq!(harness.app.screen().filter().unwrap().text(), "since:24h");
    let harness = Harness::sample().keys(":sort failed<enter>");
    assert_eq!(shown(&harness)[0], LOST);
    let harness = Harness::sample().keys(":sort colour<enter>");
    assert!(said(&harness).contains("there are started, failed"));
}

#[test]
fn the_sort_menu_sorts_and_one_key_turns_the_order_around() {
    let harness = Harness::sample().keys("sxf");
    assert_eq!(shown(&harness)[0], LOST);
    assert!(harness.frame(120, 36).contains("most failed first"));
    let harness = harness.keys("S");
    assert_eq!(*shown(&harness).last().unwrap(), LOST);
    assert!(
        harness
            .frame(120, 36)
            .contains("most failed first, reversed")
    );
    Harness::sample().keys("s").check("sort_menu");
}

#[test]
fn marks_are_counted_whatever_the_filter_shows() {
    let harness = Harness::sample().keys("  /state:run");
    let frame = harness.frame(120, 36);
    assert!(
        frame.contains("2 marked, 1 hidden by the filter"),
        "{frame}"
    );
    let harness = harness.keys("<enter>");
    harness.check("marks");
    let harness = harness.keys("<ctrl-\\>");
    assert!(!harness.frame(120, 36).contains("marked"));
    let harness = Harness::sample().keys("vjjv");
    assert!(harness.frame(120, 36).contains("3 marked"));
    let harness = Harness::sample().keys("/ledger<enter><ctrl-a>");
    assert!(harness.frame(120, 36).contains("1 marked"));
}

#[test]
fn marks_stay_on_their_runs_when_the_list_changes() {
    let mut harness = Harness::sample().keys(" ");
    let mut items = vec![execution("newer", Status::Running, 1, None)];
    items.extend(sample().iter().map(|run| run.execution().clone()));
    let page = Page { items, next: None };
    harness.send(Event::Executions(machine(), Ok(page)));
    let Screen::Runs(it) = harness.app.screen() else {
        panic!("runs");
    };
    assert!(it.marks.has(&arn(GOING)) && it.marks.len() == 1);
}

fn two_running() -> Harness {
    let mut harness = Harness::new();
    let going: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(|name| execution(name, Status::Running, 100, None))
        .collect();
    harness.send(Event::Machine(Ok(machine())));
    let page = Page {
        items: going,
        next: None,
    };
    harness.send(Event::Executions(machine(), Ok(page)));
    harness.taken();
    harness
}

#[test]
fn several_runs_are_stopped_after_their_number_is_typed() {
    let mut harness = two_running().keys("  x<tab><enter>");
    assert!(changes(&harness.taken()).is_empty());
    let mut harness = harness.keys("<esc>x<shift-tab>2<tab><tab><enter>");
    let stopped = [Effect::Stop(arn("one")), Effect::Stop(arn("two"))];
    let asked = harness.taken();
    let asked: Vec<&Effect> = changes(&asked);
    assert_eq!(asked.len(), 2);
    assert!(stopped.iter().all(|it| asked.contains(&it)), "{asked:?}");
    // What was done is not marked any more.
    assert!(!harness.app.has_marked_runs());
}

#[test]
fn marks_that_the_filter_hides_are_named_and_left_alone() {
    let harness = two_running().keys("  /two<enter>x");
    let frame = harness.frame(120, 36);
    assert!(frame.contains("include 1 marked but hidden"), "{frame}");
    assert!(frame.contains("Stop 1 run "), "{frame}");
    harness.check("several_stop");
    let mut harness = harness.keys("<shift-tab>1<tab><tab><enter>");
    assert_eq!(changes(&harness.taken()), [&Effect::Stop(arn("two"))]);
    let harness =
        two_running().keys("  /two<enter>x<shift-tab><shift-tab> <tab>2<tab><tab><enter>");
    let mut harness = harness;
    assert_eq!(changes(&harness.taken()).len(), 2);
}

#[test]
fn several_redrives_wait_for_their_plans_and_leave_out_what_is_refused() {
    let mut harness = Harness::sample().keys("j   r");
    let asked = harness.taken();
    let plans = asked
        .iter()
        .filter(|it| matches!(it, Effect::Ask(Ask::PlanRedrive(_))));
    assert_eq!(plans.count(), 3);
    let mut harness = harness.keys("<shift-tab>1<tab><tab><enter>");
    assert!(changes(&harness.taken()).is_empty(), "nothing is read yet");
    harness.send(Event::RedrivePlan(arn(LOST), Ok(plan(7))));
    for name in [PART, "catalog-2026-11-22-5e20"] {
        let refused = redrive::Plan {
            execution: arn(name),
            allowed: Err("it succeeded".to_owned()),
            ..*plan(0)
        };
        harness.send(Event::RedrivePlan(arn(name), Ok(Box::new(refused))));
    }
    harness.check("several_redrive");
    let mut harness = harness.keys("<enter>");
    let all = Effect::RedriveAll(vec![*plan(7)]);
    assert_eq!(changes(&harness.taken()), [&all]);
}

#[test]
fn marked_objects_are_downloaded_together() {
    let mut harness = Harness::sample().keys("jj4");
    let outputs = vec![
        output(Kind::Final, "final/output.txt", 398_200_000),
        output(Kind::Result, "map/SUCCEEDED_0.json", 612),
    ];
    harness.send(Event::Outputs(arn(PART), Ok(Listing::of(outputs))));
    let mut harness = harness.keys("<ctrl-a>D<enter>");
    let asked = harness.taken();
    let folder = "downloads".into();
    let first = output(Kind::Final, "final/output.txt", 398_200_000).object;
    assert!(
        asked.contains(&Effect::Download(first, folder)),
        "{asked:?}"
    );
    assert_eq!(changes(&asked).len(), 2);
}

#[test]
fn a_group_of_failures_is_marked_as_a_whole() {
    let harness = Harness::sample().failures(LOST, 9, true).keys("j3 ");
    let Screen::Failures(it) = harness.app.screen() else {
        panic!("failures");
    };
    let marked = it.marked(&harness.app);
    assert_eq!((marked.groups.len(), marked.in_groups), (1, 9));
    let harness = harness.keys("k ");
    let Screen::Failures(it) = harness.app.screen() else {
        panic!("failures");
    };
    let marked = it.marked(&harness.app);
    assert!(marked.groups.is_empty() && marked.children.is_empty());
}

#[test]
fn what_is_shown_is_exported_into_a_new_file() {
    let mut harness = Harness::sample().keys("/ledger<enter>Endj<enter>");
    let asked = harness.taken();
    let [Effect::Export(Deed::Export(path), text)] = changes(&asked)[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(
        path.to_str(),
        Some("downloads/runs-20261123T140731Z.ndjson")
    );
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("\"run\":\"ledger-2026-11-22-19aa\""));
}

#[test]
fn the_console_opens_on_what_is_under_the_cursor() {
    let mut harness = Harness::sample().keys("o");
    let asked = harness.taken();
    let address = "https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:472100009012:execution:invoice-lines:invoices-2026-11-23T1353Z-a91c";
    assert_eq!(changes(&asked), [&Effect::Browse(address.to_owned())]);
    harness.app.health.connection.local = true;
    let mut harness = harness.keys("o");
    assert!(changes(&harness.taken()).is_empty());
}
