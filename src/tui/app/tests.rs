//! Scenarios: keys and replies in, effects and screens out.

mod leaving;
mod lists;
mod mouse;
mod moving;
mod starting;
mod targets;

use crate::model::{self, ObjectAddress, Page, RunState, Status};
use crate::operations::outputs::{Kind, Listing};
use crate::operations::redrive;
use crate::tui::data::Stamp;
use crate::tui::event::{Ask, Cause, Deed, Effect, Event, Subscription, Trouble};
use crate::tui::harness::{
    GOING, Harness, LOST, ago, arn, counts, execution, failure_set, health, machine, map_run_arn,
    now, output, run, sample, settings, trouble,
};
use crate::tui::screen::Screen;

fn plan(items: u64) -> Box<redrive::Plan> {
    Box::new(redrive::Plan {
        execution: arn(LOST),
        state: RunState::Failed,
        allowed: Ok(()),
        failed: items,
        timed_out: 0,
        aborted: 0,
        never_started: 0,
        succeeded: 5,
        not_redrivable: 0,
        redrives_so_far: 0,
        seconds_left: Some(100),
        after_the_map: false,
        facts: redrive::Facts::default(),
        limits: crate::model::Limits::default(),
        note: None,
        checks: Vec::new(),
    })
}

fn redrive_dialog(items: u64) -> Harness {
    let mut harness = Harness::sample().keys("jr");
    harness.send(Event::RedrivePlan(arn(LOST), Ok(plan(items))));
    harness.taken();
    harness
}

fn changes(effects: &[Effect]) -> Vec<&Effect> {
    let reads = |it: &&Effect| !matches!(it, Effect::Ask(_) | Effect::Refresh);
    effects.iter().filter(reads).collect()
}

#[test]
fn enter_alone_never_redrives() {
    let mut harness = redrive_dialog(3).keys("<enter>");
    assert!(changes(&harness.taken()).is_empty());
    assert!(harness.app.dialog.is_none());
    let mut again = redrive_dialog(3).keys("r<esc>");
    assert!(changes(&again.taken()).is_empty());
}

#[test]
fn a_redrive_takes_one_deliberate_key() {
    let mut harness = redrive_dialog(3).keys("<tab><enter>");
    assert_eq!(changes(&harness.taken()), [&Effect::Redrive(plan(3))]);
}

#[test]
fn many_items_are_typed_to_confirm() {
    let mut harness = redrive_dialog(10_001).keys("<tab><enter>");
    assert!(changes(&harness.taken()).is_empty());
    let mut harness = harness.keys("<shift-tab><shift-tab>10001<tab><tab><enter>");
    assert_eq!(changes(&harness.taken()), [&Effect::Redrive(plan(10_001))]);
}

#[test]
fn a_plan_for_another_run_is_not_taken_in() {
    let mut harness = Harness::sample().keys("jr");
    harness.send(Event::RedrivePlan(arn("other"), Ok(plan(3))));
    let mut harness = harness.keys("<tab><enter>");
    assert!(changes(&harness.taken()).is_empty());
}

#[test]
fn what_was_redriven_is_looked_at_again() {
    let mut harness = Harness::sample();
    harness.taken();
    harness.send(Event::Done(
        Deed::Redrive(arn(LOST)),
        Ok("redriving".to_owned()),
    ));
    let effects = harness.taken();
    assert!(effects.contains(&Effect::Refresh));
    assert!(effects.contains(&Effect::Ask(Ask::Describe(arn(LOST)))));
}

#[test]
fn a_redriven_run_is_polled_again() {
    let mut harness = Harness::sample().keys("j<enter>");
    assert!(
        harness.app.subscriptions().is_empty(),
        "nothing moves in a closed run"
    );
    let mut again = sample().remove(1);
    again.detail.execution.status = Status::Running;
    again.map_runs[0].status = Status::Running;
    harness.describe(again);
    let wanted = harness.app.subscriptions();
    assert!(wanted.contains(&Subscription::MapRun(map_run_arn(LOST))));
    assert!(wanted.contains(&Subscription::Execution(arn(LOST))));
}

#[test]
fn read_only_has_no_keys_that_change_something() {
    let mut harness = Harness::sample().keys(":read-only<enter>");
    assert_eq!(changes(&harness.taken()), [&Effect::ReadOnly]);
    let mut harness = harness.keys("trxc");
    assert!(changes(&harness.taken()).is_empty());
    assert!(harness.app.dialog.is_none());
    assert!(!harness.frame(120, 36).contains("t start"));
    assert!(harness.frame(120, 36).contains("READ-ONLY"));
}

#[test]
fn only_what_is_shown_is_polled() {
    let mut harness = Harness::new();
    let name = "invoice-lines".to_owned();
    assert_eq!(
        harness.app.subscriptions(),
        [Subscription::Machine(name)].into()
    );
    harness.list(&sample());
    let list = Subscription::Executions(machine());
    assert_eq!(harness.app.subscriptions(), [list].into());
    let harness = harness.keys("<enter>");
    let wanted = harness.app.subscriptions();
    assert_eq!(
        wanted,
        [
            Subscription::Execution(arn(GOING)),
            Subscription::MapRun(map_run_arn(GOING)),
            Subscription::FailedChildren(map_run_arn(GOING)),
        ]
        .into()
    );
}

#[test]
fn rows_are_described_two_at_a_time_the_chosen_one_first() {
    let mut harness = Harness::new();
    harness.send(Event::Machine(Ok(machine())));
    harness.taken();
    let items: Vec<_> = (0..50)
        .map(|n| execution(&format!("run-{n:02}"), Status::Succeeded, 100 + n, Some(10)))
        .collect();
    harness.send(Event::Executions(
        machine(),
        Ok(Page {
            items: items.clone(),
            next: None,
        }),
    ));
    let asks = harness.taken();
    assert_eq!(
        asks,
        [
            Effect::Ask(Ask::Describe(arn("run-00"))),
            Effect::Ask(Ask::Describe(arn("run-01")))
        ]
    );
    harness.describe(run(&items[0], counts(1, 1, 0, 0)));
    assert_eq!(harness.taken(), [Effect::Ask(Ask::Describe(arn("run-02")))]);
    let mut harness = harness.keys("jjjjj");
    harness.describe(run(&items[1], counts(1, 1, 0, 0)));
    assert_eq!(harness.taken(), [Effect::Ask(Ask::Describe(arn("run-05")))]);
}

#[test]
fn closed_runs_are_described_once() {
    let mut harness = Harness::sample();
    harness.taken();
    for second in 1..60 {
        harness.at(now() + jiff::SignedDuration::from_secs(second));
    }
    let asked = harness.taken();
    let closed = Effect::Ask(Ask::Describe(arn(LOST)));
    assert!(!asked.contains(&closed), "{asked:?}");
    assert!(asked.contains(&Effect::Ask(Ask::Describe(arn(GOING)))));
}

#[test]
fn a_map_run_that_begins_later_is_found_while_the_execution_is_polled() {
    let mut early = sample().remove(0);
    early.map_runs.clear();
    let detail = Box::new(early.detail.clone());
    let mut harness = Harness::new();
    harness.list(&[early]);
    let mut harness = harness.keys("<enter>");
    harness.taken();
    for second in 1..=3 {
        harness.at(ago(-second));
        harness.send(Event::Execution(arn(GOING), Ok(detail.clone())));
    }
    assert_eq!(harness.taken(), [Effect::Ask(Ask::Describe(arn(GOING)))]);
}

#[test]
fn a_failing_ask_is_not_repeated_at_once() {
    let mut harness = Harness::new();
    harness.list(&[]);
    harness.taken();
    let items = vec![execution(LOST, Status::Failed, 100, Some(10))];
    harness.send(Event::Executions(machine(), Ok(Page { items, next: None })));
    let ask = [Effect::Ask(Ask::Describe(arn(LOST)))];
    assert_eq!(harness.taken(), ask);
    harness.send(Event::Run(arn(LOST), Err(trouble("no connection"))));
    assert!(harness.taken().is_empty());
    harness.at(ago(-6));
    assert_eq!(harness.taken(), ask);
}

#[test]
fn failures_are_read_again_when_their_count_changes_but_not_too_often() {
    let mut harness = Harness::sample().failures(GOING, 9, false).keys("<enter>");
    harness.taken();
    let mut map_run = sample().remove(0).map_runs.remove(0);
    map_run.items.failed += 1;
    harness.send(Event::MapRun(
        map_run.arn.clone(),
        Ok(Box::new(map_run.clone())),
    ));
    let is_failures = |it: &Effect| matches!(it, Effect::Ask(Ask::Failures(_)));
    assert!(!harness.taken().iter().any(is_failures), "too soon");
    harness.at(ago(-2));
    assert_eq!(
        harness.taken().iter().filter(|it| is_failures(it)).count(),
        1
    );
    harness.at(ago(-3));
    assert!(!harness.taken().iter().any(is_failures), "one is out");
    let set = failure_set(&map_run, 10, false);
    assert_eq!(set.stamp, Stamp::of(&map_run));
    harness.send(Event::Failures(map_run.arn, Ok(set)));
    harness.at(ago(-60));
    assert!(
        !harness.taken().iter().any(is_failures),
        "the count is the same"
    );
}

#[test]
fn the_cursor_stays_on_its_run_when_new_ones_come() {
    let mut harness = Harness::sample().keys("jj");
    let before = harness.app.shown_run().cloned();
    let mut items: Vec<_> = sample().iter().map(|run| run.execution().clone()).collect();
    items.insert(0, execution("newest", Status::Running, 1, None));
    harness.send(Event::Executions(machine(), Ok(Page { items, next: None })));
    assert_eq!(harness.app.shown_run().cloned(), before);
}

#[test]
fn a_cursor_that_was_never_moved_stays_at_the_newest() {
    let mut harness = Harness::sample();
    let mut items: Vec<_> = sample().iter().map(|run| run.execution().clone()).collect();
    items.insert(0, execution("newest", Status::Running, 1, None));
    harness.send(Event::Executions(machine(), Ok(Page { items, next: None })));
    assert_eq!(harness.app.shown_run(), Some(&arn("newest")));
}

#[test]
fn older_runs_are_loaded_when_the_end_is_near() {
    let mut harness = Harness::new();
    harness.send(Event::Machine(Ok(machine())));
    let page = |from: i64, next: Option<&str>| Page {
        items: (from..from + 40)
            .map(|n| execution(&format!("run-{n:03}"), Status::Succeeded, n + 1, Some(1)))
            .collect(),
        next: next.map(str::to_owned),
    };
    harness.send(Event::Executions(machine(), Ok(page(0, Some("a")))));
    let mut harness = harness.keys("G");
    let older = |token: &str| Effect::Ask(Ask::Older(machine(), token.to_owned()));
    assert!(harness.taken().contains(&older("a")));
    harness.send(Event::Older(machine(), Ok(page(30, Some("b")))));
    assert_eq!(
        harness.app.data().executions().len(),
        70,
        "those in both pages count once"
    );
    let mut harness = harness.keys("G");
    assert!(harness.taken().contains(&older("b")));
    // A token that is too old is not tried again: one begins after the newest page, and not at once.
    let outdated = Trouble {
        cause: Cause::Outdated,
        ..trouble("ListExecutions failed: too old to go on")
    };
    harness.send(Event::Older(machine(), Err(outdated)));
    let asks = |harness: &mut Harness| {
        let asks = harness.taken().into_iter();
        asks.filter(|it| matches!(it, Effect::Ask(Ask::Older(..))))
            .collect::<Vec<_>>()
    };
    assert_eq!(asks(&mut harness), []);
    assert!(harness.app.message.is_none());
    harness.at(ago(-6));
    assert_eq!(asks(&mut harness), [older("a")]);
    harness.send(Event::Older(machine(), Ok(page(30, Some("b")))));
    assert_eq!(harness.app.data().executions().len(), 70);
    let mut harness = harness.keys("G");
    assert_eq!(asks(&mut harness), [older("b")]);
    harness.send(Event::Older(machine(), Ok(page(70, None))));
    let mut harness = harness.keys("G");
    assert!(
        !harness
            .taken()
            .iter()
            .any(|it| matches!(it, Effect::Ask(Ask::Older(..))))
    );
}

#[test]
fn views_and_back() {
    let harness = Harness::sample().keys("<enter>3");
    assert!(matches!(harness.app.screen(), Screen::Failures(_)));
    let harness = harness.keys("4");
    assert!(matches!(harness.app.screen(), Screen::Outputs(_)));
    let harness = harness.keys("gf");
    assert!(matches!(harness.app.screen(), Screen::Failures(_)));
    let harness = harness.keys("<esc>");
    assert!(matches!(harness.app.screen(), Screen::Live(_)));
    let mut harness = harness.keys("<esc><esc><esc>");
    assert!(matches!(harness.app.screen(), Screen::Runs(_)));
    assert!(!harness.taken().contains(&Effect::Quit), "esc never quits");
    assert!(harness.keys("q").taken().contains(&Effect::Quit));
}

#[test]
fn escape_clears_the_filter_before_it_goes_back() {
    let mut harness = Harness::sample().keys("/ledger<enter>");
    assert_eq!(harness.app.screen().rows(&harness.app), 1);
    harness = harness.keys("<esc>");
    assert_eq!(harness.app.screen().rows(&harness.app), sample().len());
}

#[test]
fn the_first_failure_is_the_one_with_the_lowest_line() {
    let harness = Harness::sample().failures(LOST, 30, true).keys("jF");
    let Screen::Failures(screen) = harness.app.screen() else {
        panic!("not the failures");
    };
    assert_eq!(screen.chosen(&harness.app).unwrap().line, Some(7));
}

#[test]
fn enter_on_a_fresh_failure_opens_it() {
    let harness = Harness::sample()
        .failures(GOING, 30, false)
        .keys("<enter>jjj");
    let child = harness.app.shown_child().unwrap();
    let harness = harness.keys("<enter>");
    let Screen::Failures(screen) = harness.app.screen() else {
        panic!("not the failures");
    };
    assert_eq!(screen.chosen(&harness.app).unwrap().child, child);
}

#[test]
fn limits_send_only_what_changed() {
    let mut harness = Harness::sample().keys("c<ctrl-u>500<tab><tab><tab><enter>");
    let limits = model::Limits {
        max_concurrency: Some(500),
        ..model::Limits::default()
    };
    assert_eq!(
        changes(&harness.taken()),
        [&Effect::SetLimits(map_run_arn(GOING), limits)]
    );
}

#[test]
fn limits_out_of_range_are_not_sent() {
    let mut harness = Harness::sample().keys("c<ctrl-u>10001<tab><tab><tab><enter>");
    assert!(changes(&harness.taken()).is_empty());
}

#[test]
fn stopping_many_items_is_typed_too() {
    let mut harness = Harness::sample().keys("x<tab><enter>");
    assert!(changes(&harness.taken()).is_empty());
    let mut harness = harness.keys("<tab>457646<tab><tab><enter>");
    assert_eq!(changes(&harness.taken()), [&Effect::Stop(arn(GOING))]);
}

#[test]
fn a_download_shows_its_progress_and_end() {
    let mut harness = Harness::sample().keys("jj4");
    let object = output(Kind::Final, "out/a.csv", 100);
    harness.send(Event::Outputs(
        arn("ledger-2026-11-22-19aa"),
        Ok(Listing::of(vec![object.clone()])),
    ));
    let mut harness = harness.keys("D<enter>");
    assert_eq!(
        changes(&harness.taken()),
        [&Effect::Download(object.object.clone(), "downloads".into())]
    );
    let deed = Deed::Download(ObjectAddress::new("prod-out", "out/a.csv"));
    harness.send(Event::Progress(
        deed.clone(),
        crate::operations::Progress {
            done: 50,
            total: 100,
        },
    ));
    assert!(harness.frame(120, 36).contains("50 B of 100 B, 50%"));
    harness.send(Event::Done(
        deed,
        Ok("downloaded to downloads/a.csv".to_owned()),
    ));
    let frame = harness.frame(120, 36);
    assert!(frame.contains("downloaded to downloads/a.csv") && !frame.contains("50 B of"));
}

#[test]
fn quitting_with_a_transfer_asks_once() {
    let mut harness = Harness::sample();
    let deed = Deed::Download(ObjectAddress::new("prod-out", "out/a.csv"));
    harness.send(Event::Progress(
        deed,
        crate::operations::Progress {
            done: 50,
            total: 100,
        },
    ));
    let mut harness = harness.keys("q");
    assert!(!harness.taken().contains(&Effect::Quit));
    assert!(harness.keys("q").taken().contains(&Effect::Quit));
}

#[test]
fn slowed_is_not_an_error() {
    let mut harness = Harness::sample();
    let mut slowed = trouble("slowed by AWS");
    slowed.slowed = true;
    harness.send(Event::Executions(machine(), Err(slowed)));
    assert!(harness.app.message.is_none());
}

#[test]
fn a_frozen_view_shows_what_was() {
    let mut harness = Harness::sample().keys("p");
    let before = harness.app.data().executions().len();
    harness.send(Event::Executions(
        machine(),
        Ok(Page {
            items: Vec::new(),
            next: None,
        }),
    ));
    assert_eq!(harness.app.data().executions().len(), before);
    let harness = harness.keys("p");
    assert_eq!(harness.app.data().executions().len(), 0);
}

#[test]
fn host_actions_run_by_their_key() {
    let mut settings = settings();
    settings.hosts = vec![('!', "repair")];
    let mut harness = Harness::with(settings).keys("!");
    assert_eq!(harness.taken(), [Effect::Host(0)]);
    harness.send(Event::Said("repaired".to_owned()));
    assert!(harness.frame(120, 36).contains("repaired"));
}

#[test]
fn a_host_key_that_is_taken_is_reported() {
    let mut settings = settings();
    settings.hosts = vec![('r', "repair")];
    let harness = Harness::with(settings);
    assert!(
        harness
            .app
            .message
            .unwrap()
            .text
            .contains("redrive and repair")
    );
}

#[test]
fn another_machine_starts_from_nothing() {
    let mut harness = Harness::sample().keys(":machine other<enter>");
    assert_eq!(
        harness.app.subscriptions(),
        [Subscription::Machine("other".to_owned())].into()
    );
    harness.send(Event::Executions(
        machine(),
        Ok(Page {
            items: Vec::new(),
            next: None,
        }),
    ));
    assert!(
        harness.app.data().newest.get().is_none(),
        "a late reply of the old one"
    );
}

#[test]
fn a_run_is_opened_by_name_at_the_start() {
    let mut settings = settings();
    settings.open = Some("a91c".to_owned());
    let mut harness = Harness::with(settings);
    harness.send(Event::Machine(Ok(machine())));
    assert!(
        harness
            .taken()
            .contains(&Effect::Ask(Ask::Find(machine(), "a91c".to_owned())))
    );
    harness.send(Event::Found("a91c".to_owned(), Ok(arn(GOING))));
    assert_eq!(harness.app.shown_run(), Some(&arn(GOING)));
}

#[test]
fn the_farewell_says_what_still_runs() {
    let harness = Harness::sample();
    let line = harness.app.farewell().unwrap();
    assert!(line.starts_with(GOING) && line.contains("1 more"), "{line}");
    assert!(Harness::new().app.farewell().is_none());
    assert!(!health().connection.local);
}

#[test]
fn suspending_and_quitting_work_in_dialogs_too() {
    let mut harness = Harness::sample().keys("t<ctrl-z><ctrl-l>");
    assert_eq!(
        changes(&harness.taken()),
        [&Effect::Suspend, &Effect::Redraw]
    );
    assert!(harness.app.dialog.is_some());
    assert!(harness.keys("<ctrl-c>").taken().contains(&Effect::Quit));
}
