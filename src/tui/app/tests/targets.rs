//! Several targets: going elsewhere, whose account it is, and signing in again.

use super::{
    Effect, Event, GOING, Harness, LOST, ago, arn, changes, health, machine, now, plan, sample,
    settings, trouble,
};
use crate::client::{Identity, Profile};
use crate::config;
use crate::model::Page;
use crate::tui::app::Overlay;
use crate::tui::event::{Arrival, Ask, Cause, Destination, Health, Place, Trouble};
use crate::tui::screen::Screen;
use crate::tui::session::Session;

fn said(harness: &Harness) -> &str {
    harness.app.message.as_ref().map_or("", |it| &it.text)
}

fn identity(account: &str) -> Event {
    Event::Identity(Ok(Identity {
        ends: None,
        account: account.to_owned(),
        arn: format!("arn:aws:sts::{account}:assumed-role/DataOps/me"),
    }))
}

fn profile(name: &str, sso: bool) -> Profile {
    let words = ["aws", "sso", "login", "--profile", name];
    Profile {
        name: name.to_owned(),
        region: Some("eu-west-1".to_owned()),
        account: Some("472100009012".to_owned()),
        role: Some("DataOps".to_owned()),
        sign_in: sso.then(|| words.map(str::to_owned).into()),
    }
}

fn profiles() -> Event {
    Event::Profiles(vec![profile("dev", true), profile("prod-data", true)])
}

fn expired() -> Trouble {
    Trouble {
        cause: Cause::SignedOut,
        ..trouble("ListExecutions of invoice-lines failed: not signed in: the token has expired")
    }
}

fn elsewhere(label: &str) -> Health {
    let mut there = health();
    there.connection.label = label.to_owned();
    there
}

fn to_dev() -> Destination {
    Destination {
        place: Place::Profile(Some("dev".to_owned())),
        region: None,
    }
}

fn arrived(at: Destination, label: &str, session: Option<Session>) -> Event {
    let arrival = Arrival {
        health: elsewhere(label),
        session: Ok(session),
    };
    Event::Connected(at, Ok(Box::new(arrival)))
}

/// On the failures of a run, signed in to an account.
fn signed_in() -> Harness {
    let mut harness = Harness::sample().failures(LOST, 9, true).keys("j3");
    harness.send(identity("472100009012"));
    harness.taken();
    harness
}

#[test]
fn the_account_is_asked_for_once_somebody_answers_and_is_shown() {
    let mut harness = Harness::new();
    harness.list(&sample());
    assert!(harness.taken().contains(&Effect::Ask(Ask::Identity)));
    harness.send(identity("472100009012"));
    assert!(harness.frame(120, 36).contains("prod-data 472100009012"));
    harness.at(now());
    assert!(!harness.taken().contains(&Effect::Ask(Ask::Identity)));
}

#[test]
fn the_embedded_engine_has_no_account_to_ask_for() {
    let mut harness = Harness::new();
    harness.app.health.connection.local = true;
    harness.list(&sample());
    assert!(!harness.taken().contains(&Effect::Ask(Ask::Identity)));
}

#[test]
fn profiles_are_listed_with_what_is_known_and_one_is_gone_to() {
    let mut settings = settings();
    let prod = config::Profile {
        prod: true,
        mode: config::Mode::ReadOnly,
    };
    settings.profiles.insert("prod-data".to_owned(), prod);
    let mut harness = Harness::with(settings).keys("P");
    assert!(harness.taken().contains(&Effect::Ask(Ask::Profiles)));
    harness.send(profiles());
    let frame = harness.frame(120, 36);
    assert!(
        frame.contains("472100009012  DataOps  sso  PROD  READ-ONLY  here"),
        "{frame}"
    );
    assert!(
        frame.contains("the embedded engine on this machine"),
        "{frame}"
    );
    harness.check("profiles");
    let mut harness = harness.keys("dev<enter>");
    assert_eq!(changes(&harness.taken()), [&Effect::Connect(to_dev())]);
    assert_eq!(said(&harness), "connecting to profile dev…");
}

#[test]
fn another_target_starts_clean_and_the_old_one_is_remembered() {
    let mut settings = settings();
    settings.remembers = true;
    let mut harness = Harness::with(settings);
    harness.list(&sample());
    let mut harness = harness.keys(":profile dev<enter>");
    let before = harness.app.session();
    harness.taken();
    harness.send(arrived(to_dev(), "dev", None));
    let asked = harness.taken();
    assert_eq!(
        asked[..2],
        [
            Effect::Remember(Box::new(before)),
            Effect::Adopt { fresh: true }
        ]
    );
    assert!(harness.app.data().executions().is_empty());
    assert_eq!(harness.app.target.at, to_dev());
    assert!(harness.frame(120, 36).contains("dev"));
    assert!(harness.app.recent.is_empty());
}

#[test]
fn a_target_goes_on_where_its_last_visit_ended() {
    let remembered = Harness::sample().keys("j3").app.session();
    let mut harness = Harness::sample().keys(":profile dev<enter>");
    harness.send(arrived(to_dev(), "dev", Some(remembered)));
    let Screen::Failures(it) = harness.app.screen() else {
        panic!("{:?}", harness.app.screen());
    };
    assert_eq!(it.run, arn(LOST));
}

#[test]
fn a_connection_that_fails_or_comes_too_late_changes_nothing() {
    let mut harness = Harness::sample().keys(":profile dev<enter>");
    harness.taken();
    harness.send(Event::Connected(to_dev(), Err(trouble("no such profile"))));
    assert!(said(&harness).contains("no such profile"));
    harness.send(arrived(to_dev(), "dev", None));
    assert_eq!(harness.app.health.connection.label, "prod-data");
    assert!(changes(&harness.taken()).is_empty());
}

#[test]
fn a_region_keeps_the_profile_and_the_engine_has_none() {
    let mut harness = Harness::sample().keys("Rfrankf<enter>");
    let there = Destination {
        place: Place::Profile(None),
        region: Some("eu-central-1".to_owned()),
    };
    assert_eq!(changes(&harness.taken()), [&Effect::Connect(there)]);
    let mut harness = Harness::sample();
    harness.app.health.connection.local = true;
    let mut harness = harness.keys("R:region eu-west-2<enter>");
    assert!(changes(&harness.taken()).is_empty());
    let mut harness = Harness::sample().keys(":region x y;z<enter>");
    assert!(changes(&harness.taken()).is_empty());
    let mut harness = Harness::sample().keys(":engine<enter>");
    let engine = Destination {
        place: Place::Engine,
        region: None,
    };
    assert_eq!(changes(&harness.taken()), [&Effect::Connect(engine)]);
}

#[test]
fn an_expired_sign_in_keeps_what_is_shown_and_asks_once() {
    let mut harness = signed_in();
    harness.send(Event::Executions(machine(), Err(expired())));
    assert!(harness.taken().contains(&Effect::Ask(Ask::Profiles)));
    harness.send(profiles());
    harness.check("sign_in");
    // Later: the data is still there, and nothing asks again.
    let mut harness = harness.keys("<esc>");
    harness.send(Event::Executions(machine(), Err(expired())));
    let frame = harness.frame(120, 36);
    assert!(frame.contains("PaymentGateway.Timeout"), "{frame}");
    assert!(!frame.contains("Sign in again"), "{frame}");
    assert!(harness.app.is_stale());
    let harness = harness.keys(":sign-in<enter>");
    assert!(harness.frame(120, 36).contains("Sign in again"));
}

#[test]
fn an_answer_that_was_on_its_way_is_no_sign_in() {
    let mut harness = signed_in();
    harness.send(Event::Executions(machine(), Err(expired())));
    let page = Page {
        items: sample().iter().map(|it| it.execution().clone()).collect(),
        next: None,
    };
    harness.send(Event::Executions(machine(), Ok(page)));
    assert!(harness.app.target.sign_in.is_some());
    assert!(!said(&harness).contains("signed in again"));
}

#[test]
fn one_key_signs_in_and_all_goes_on_where_it_was() {
    let mut harness = signed_in();
    harness.send(Event::Executions(machine(), Err(expired())));
    harness.send(profiles());
    harness.taken();
    let mut harness = harness.keys("l");
    let command = ["aws", "sso", "login", "--profile", "prod-data"].map(str::to_owned);
    assert_eq!(changes(&harness.taken()), [&Effect::Lend(command.into())]);
    harness.send(Event::Lent(Ok(())));
    let here = Destination::default();
    assert_eq!(changes(&harness.taken()), [&Effect::Connect(here.clone())]);
    harness.send(arrived(here, "prod-data", None));
    let asked = harness.taken();
    assert_eq!(changes(&asked), [&Effect::Adopt { fresh: false }]);
    let page = Page {
        items: sample().iter().map(|it| it.execution().clone()).collect(),
        next: None,
    };
    harness.send(Event::Executions(machine(), Ok(page)));
    assert!(harness.taken().contains(&Effect::Ask(Ask::Identity)));
    harness.send(identity("472100009012"));
    assert!(harness.app.target.sign_in.is_none());
    assert!(said(&harness).contains("signed in again"));
    assert!(matches!(harness.app.screen(), Screen::Failures(_)));
}

#[test]
fn a_program_that_does_not_sign_in_is_told() {
    let mut harness = signed_in();
    harness.send(Event::Executions(machine(), Err(expired())));
    harness.send(Event::Lent(Err("aws sso login ended with 1".to_owned())));
    assert_eq!(said(&harness), "aws sso login ended with 1");
    assert!(harness.app.target.sign_in.is_some());
}

#[test]
fn while_nobody_is_signed_in_a_new_connection_is_tried_now_and_then() {
    let mut harness = signed_in();
    harness.send(Event::Executions(machine(), Err(expired())));
    harness.taken();
    harness.at(ago(-9));
    assert!(changes(&harness.taken()).is_empty());
    harness.at(ago(-10));
    let again = Effect::Connect(Destination::default());
    assert_eq!(changes(&harness.taken()), [&again]);
    harness.at(ago(-11));
    assert!(changes(&harness.taken()).is_empty());
}

#[test]
fn nothing_is_changed_until_the_account_is_known_again() {
    let mut harness = Harness::sample();
    harness.send(identity("472100009012"));
    let mut harness = harness.keys("jr");
    harness.send(Event::RedrivePlan(arn(LOST), Ok(plan(3))));
    harness.send(Event::Executions(machine(), Err(expired())));
    harness.send(arrived(Destination::default(), "prod-data", None));
    let page = Page {
        items: sample().iter().map(|it| it.execution().clone()).collect(),
        next: None,
    };
    harness.send(Event::Executions(machine(), Ok(page)));
    harness.taken();
    let mut harness = harness.keys("<tab><enter>");
    assert!(changes(&harness.taken()).is_empty());
    assert!(said(&harness).contains("checked again"));
    harness.send(identity("472100009012"));
    let mut harness = harness.keys("<enter>");
    assert_eq!(changes(&harness.taken()), [&Effect::Redrive(plan(3))]);
}

#[test]
fn another_account_closes_a_pending_dialog() {
    let mut harness = Harness::sample();
    harness.send(identity("472100009012"));
    let mut harness = harness.keys("jr");
    harness.send(Event::RedrivePlan(arn(LOST), Ok(plan(3))));
    harness.taken();
    harness.send(identity("111122223333"));
    assert!(harness.app.dialog.is_none());
    assert!(said(&harness).contains("the account is 111122223333 now"));
    assert!(harness.app.data().executions().is_empty());
    let mut harness = harness.keys("<tab><enter>");
    assert!(changes(&harness.taken()).is_empty());
}

#[test]
fn prod_wants_every_number_typed() {
    let mut settings = settings();
    let prod = config::Profile {
        prod: true,
        mode: config::Mode::ReadWrite,
    };
    settings.profiles.insert("prod-data".to_owned(), prod);
    let mut harness = Harness::with(settings);
    harness.list(&sample());
    assert!(harness.frame(120, 36).contains(" PROD "));
    assert!(harness.frame(80, 24).contains(" PROD "));
    let mut harness = harness.keys("jr");
    harness.send(Event::RedrivePlan(arn(LOST), Ok(plan(3))));
    harness.taken();
    let mut harness = harness.keys("<tab><enter>");
    assert!(changes(&harness.taken()).is_empty());
    let mut harness = harness.keys("<shift-tab><shift-tab>3<tab><tab><enter>");
    assert_eq!(changes(&harness.taken()), [&Effect::Redrive(plan(3))]);
    let mut harness = harness.keys("kc<ctrl-u>500<tab><tab><tab><tab><enter>");
    assert!(changes(&harness.taken()).is_empty());
    let mut harness = harness.keys("<tab><tab><tab>1<tab><tab><enter>");
    assert_eq!(changes(&harness.taken()).len(), 1);
}

#[test]
fn what_is_remembered_is_written_when_it_changed_and_not_too_often() {
    let mut settings = settings();
    settings.remembers = true;
    let mut harness = Harness::with(settings);
    harness.list(&sample());
    let writes = |harness: &mut Harness| {
        let asked = harness.taken();
        asked
            .iter()
            .filter(|it| matches!(it, Effect::Remember(_)))
            .count()
    };
    harness.at(now());
    assert_eq!(writes(&mut harness), 1);
    let mut harness = harness.keys("<enter>");
    harness.at(ago(-1));
    assert_eq!(writes(&mut harness), 0);
    harness.at(ago(-3));
    assert_eq!(writes(&mut harness), 1);
    harness.at(ago(-9));
    assert_eq!(writes(&mut harness), 0);
    assert_eq!(harness.app.shown_run(), Some(&arn(GOING)));
    assert!(!matches!(harness.app.overlay, Some(Overlay::Palette(_))));
}
