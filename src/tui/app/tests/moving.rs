//! Getting around: keys, the palette, views before and after.

use super::{Effect, Event, GOING, Harness, LOST, arn, changes, settings};
use crate::config::Keys;
use crate::tui::app::Overlay;
use crate::tui::screen::Screen;

fn with_keys(text: &str) -> Harness {
    let mut settings = settings();
    settings.keys = Keys::parse(text);
    let mut harness = Harness::with(settings);
    harness.list(&super::sample());
    harness
}

fn said(harness: &Harness) -> &str {
    harness.app.message.as_ref().map_or("", |it| &it.text)
}

#[test]
fn keys_of_the_users_own_work_and_are_shown() {
    let harness = with_keys("redrive = \"Q\"\nsort = []\n").keys("j");
    let frame = harness.frame(120, 36);
    assert!(frame.contains("Q redrive"), "{frame}");
    assert!(!frame.contains("s sort"), "{frame}");
    let harness = harness.keys("?redr");
    assert!(harness.frame(120, 36).contains("Q   "));
    let mut harness = harness.keys("<esc>Q");
    assert!(harness.app.dialog.is_some());
    harness.taken();
}

#[test]
fn a_conflict_of_keys_is_said_at_the_start_with_both_names() {
    let harness = with_keys("freeze = \"s\"\nfly = \"z\"\n");
    assert_eq!(
        said(&harness),
        "keys.toml:2: fly is not an action — and 1 more, see `fanout config show`"
    );
    let harness = with_keys("freeze = \"s\"\n");
    assert!(said(&harness).contains("means freeze and sort"));
}

#[test]
fn the_menu_of_a_first_key_waits_a_moment() {
    let mut harness = Harness::sample().keys("g");
    assert!(harness.taken().contains(&Effect::Moment));
    assert!(!harness.frame(120, 36).contains("go to"));
    harness.send(Event::Moment);
    assert!(harness.frame(120, 36).contains("go to"));
    let mut harness = harness.keys("<esc>");
    assert!(!harness.frame(120, 36).contains("go to"));
    harness.send(Event::Moment);
    assert!(!harness.app.is_menu_due);
    // What escape put away is no first key any more.
    let harness = harness.keys("f");
    assert!(matches!(harness.app.screen(), Screen::Runs(_)));
}

#[test]
fn the_last_view_is_one_key_away_both_ways() {
    let harness = Harness::sample().keys("<enter>3-");
    assert!(matches!(harness.app.screen(), Screen::Live(_)));
    let harness = harness.keys("-");
    assert!(matches!(harness.app.screen(), Screen::Failures(_)));
}

#[test]
fn history_goes_back_and_forward_until_a_new_view_is_opened() {
    let harness = Harness::sample().keys("<enter>3<alt-left><alt-left>");
    assert!(matches!(harness.app.screen(), Screen::Runs(_)));
    let harness = harness.keys("<alt-right>");
    assert!(matches!(harness.app.screen(), Screen::Live(_)));
    let harness = harness.keys("4<alt-right>");
    assert!(matches!(harness.app.screen(), Screen::Outputs(_)));
    assert!(said(&harness).contains("this is the newest view"));
    let harness = Harness::sample().keys("-");
    assert!(said(&harness).contains("this is the first view"));
}

#[test]
fn a_view_in_history_keeps_its_cursor_and_filter() {
    let harness = Harness::sample().keys("/ledger<enter><enter>3<alt-left><alt-left>");
    let filter = harness.app.screen().filter().map(|it| it.text().to_owned());
    assert_eq!(filter.as_deref(), Some("ledger"));
}

#[test]
fn the_palette_finds_actions_runs_and_misspelt_words() {
    let harness = Harness::sample().keys(":outp<enter>");
    assert!(matches!(harness.app.screen(), Screen::Outputs(_)));
    let harness = Harness::sample().keys(":failures 77de<enter>");
    let Screen::Failures(it) = harness.app.screen() else {
        panic!("{:?}", harness.app.screen());
    };
    assert_eq!(it.run, arn(LOST));
    let harness = Harness::sample().keys(":fialures<enter>");
    assert!(matches!(harness.app.screen(), Screen::Failures(_)));
    let harness = Harness::sample().keys(":inv1353<enter>");
    let Screen::Live(it) = harness.app.screen() else {
        panic!("{:?}", harness.app.screen());
    };
    assert_eq!(it.run, arn(GOING));
}

#[test]
fn a_word_that_needs_more_asks_for_it() {
    let harness = Harness::sample().keys(":machine<enter>");
    let Some(Overlay::Palette(palette)) = &harness.app.overlay else {
        panic!("still open");
    };
    assert_eq!(palette.field.value(), "machine ");
    let harness = harness.keys("other<enter>");
    assert_eq!(harness.app.settings.machine, "other");
}

#[test]
fn lines_given_before_are_offered_first() {
    let harness = Harness::sample().keys(":live 77de<enter>1:<enter>");
    let Screen::Live(it) = harness.app.screen() else {
        panic!("{:?}", harness.app.screen());
    };
    assert_eq!(it.run, arn(LOST));
    assert_eq!(harness.app.recent, [format!("live {LOST}")]);
}

#[test]
fn the_menu_of_a_thing_holds_only_what_is_possible_now() {
    let harness = Harness::sample().keys("ja");
    let frame = harness.frame(120, 36);
    assert!(frame.contains("redrive in place"), "{frame}");
    assert!(!frame.contains("stop the run"), "{frame}");
    let mut harness = harness.keys("redr<enter>");
    assert!(harness.app.dialog.is_some());
    assert!(changes(&harness.taken()).is_empty());
}

#[test]
fn a_full_screen_has_no_frames_and_escape_ends_it() {
    let harness = Harness::sample().keys("df");
    let frame = harness.frame(80, 24);
    assert!(frame.starts_with(" [Summary]"), "{frame}");
    assert!(!frame.contains('│'), "{frame}");
    let harness = harness.keys("<esc>");
    assert!(matches!(harness.app.screen(), Screen::Execution(_)));
    assert!(harness.frame(80, 24).contains('│'));
}
