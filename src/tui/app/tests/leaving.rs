//! What one is told in time: before leaving, before a sign-in ends; and keys that look like others.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Effect, Event, GOING, Harness, ago, health, now, sample, settings};
use crate::client::Identity;
use crate::model::Timestamp;
use crate::tui::event::Ask;
use crate::tui::screen::Screen;

fn said(harness: &Harness) -> &str {
    harness.app.message.as_ref().map_or("", |it| &it.text)
}

fn signed_in_until(ends: Timestamp) -> Event {
    Event::Identity(Ok(Identity {
        account: "472100009012".to_owned(),
        arn: "arn:aws:sts::472100009012:assumed-role/DataOps/me".to_owned(),
        ends: Some(ends),
    }))
}

fn in_seconds(seconds: i64) -> Timestamp {
    ago(-seconds)
}

#[test]
fn the_end_of_a_sign_in_is_told_ten_minutes_before_and_once() {
    let mut harness = Harness::sample();
    harness.send(Event::Focus(false));
    harness.send(signed_in_until(in_seconds(900)));
    harness.taken();
    assert_eq!(said(&harness), "");
    harness.at(in_seconds(301));
    assert!(said(&harness).starts_with("the sign-in of prod-data ends in 9m59s"));
    let told = |effects: Vec<Effect>| {
        let notices = effects.iter().filter(|it| matches!(it, Effect::Notify(_)));
        notices.count()
    };
    // Somebody may have signed in elsewhere: it is looked at again.
    let effects = harness.taken();
    assert!(effects.contains(&Effect::Ask(Ask::Identity)));
    assert_eq!(told(effects), 1);
    harness.at(in_seconds(302));
    assert_eq!(told(harness.taken()), 0);
    harness.send(signed_in_until(in_seconds(9_000)));
    harness.at(in_seconds(366));
    assert_eq!(told(harness.taken()), 0);
}

#[test]
fn a_sign_in_that_ends_soon_can_be_renewed_at_once() {
    let mut harness = Harness::sample();
    harness.send(signed_in_until(in_seconds(60)));
    let harness = harness.keys(":sign-in<enter>");
    assert!(harness.app.target.sign_in.is_some());
}

fn demo(own: &[&str]) -> Harness {
    let mut settings = settings();
    settings.ends = Some(own.iter().map(|it| (*it).to_owned()).collect());
    let mut harness = Harness::with(settings);
    harness.list(&sample());
    harness.taken();
    harness
}

#[test]
fn one_s_own_runs_that_end_with_the_demo_are_named_first() {
    let mut harness = demo(&["adjust-2026-11-22-c004"]).keys("q");
    assert!(!harness.taken().contains(&Effect::Quit));
    assert!(said(&harness).contains(GOING), "{}", said(&harness));
    let mut harness = harness.keys("q");
    assert!(harness.taken().contains(&Effect::Quit));
    let farewell = harness.app.farewell().unwrap();
    assert_eq!(farewell, format!("ended with the demo: {GOING}"));
    let mut harness = demo(&["adjust-2026-11-22-c004", GOING]).keys("q");
    assert!(harness.taken().contains(&Effect::Quit));
    assert_eq!(harness.app.farewell(), None);
}

#[test]
fn a_host_action_that_has_nothing_left_to_do_is_not_hinted_at() {
    let mut settings = settings();
    settings.hosts = vec![('!', "repair the service")];
    let mut harness = Harness::with(settings);
    harness.list(&sample());
    assert!(harness.frame(120, 36).contains("! repair the service"));
    let mut spent = health();
    spent.spent = vec!['!'];
    harness.send(Event::Now(now(), Box::new(spent)));
    assert!(!harness.frame(120, 36).contains("! repair the service"));
}

#[test]
fn escape_with_a_letter_right_after_it_is_two_keys() {
    let alt = |typed: char| Event::Key(KeyEvent::new(KeyCode::Char(typed), KeyModifiers::ALT));
    let mut harness = Harness::sample().keys("<enter>");
    harness.send(alt('j'));
    let Screen::Runs(it) = harness.app.screen() else {
        panic!("{:?}", harness.app.screen());
    };
    assert_eq!(it.cursor.at, 1);
    // In a field alt with b goes a word back, alt with another letter leaves it.
    let mut harness = Harness::sample().keys("/in vo");
    harness.send(alt('b'));
    assert!(harness.app.overlay.is_some());
    harness.send(alt('d'));
    assert!(harness.app.overlay.is_none());
    assert!(matches!(harness.app.screen(), Screen::Execution(_)));
}

#[test]
fn the_lines_of_a_state_are_one_key_away() {
    let harness = Harness::sample().traced().keys("<enter>gtl");
    let Screen::Logs(it) = harness.app.screen() else {
        panic!("{:?}", harness.app.screen());
    };
    assert_eq!(it.filter.text(), "state:Preprocess");
}

#[test]
fn state_machines_are_offered_by_name() {
    let mut harness = Harness::sample();
    harness.taken();
    let mut harness = harness.keys(":machine ");
    assert!(harness.taken().contains(&Effect::Ask(Ask::Machines)));
    let machine = crate::model::StateMachine {
        arn: crate::model::StateMachineArn::new(
            "arn:aws:states:eu-west-1:472100009012:stateMachine:ledger-post",
        ),
        name: "ledger-post".to_owned(),
        kind: "STANDARD".to_owned(),
        created: ago(60),
    };
    harness.send(Event::Machines(Ok(vec![machine])));
    let harness = harness.keys("led");
    assert!(harness.frame(120, 36).contains("machine ledger-post"));
}

#[test]
fn help_says_where_one_is_and_turns_whole_pages() {
    let harness = Harness::sample().keys("?");
    let first = harness.frame(80, 24);
    assert!(first.contains("   1 of "), "{first}");
    let second = harness.keys("<pgdn>").frame(80, 24);
    let rows = |frame: &str| -> Vec<String> {
        let rows = frame.lines().skip(2).take(17);
        rows.map(|row| row.replace("▸", " ")).collect()
    };
    let (first, second) = (rows(&first), rows(&second));
    assert!(second.iter().all(|row| !first.contains(row)), "{second:?}");
}
