//! The mouse: buttons, choices, rows.

use super::*;
use crate::tui::dialog::Dialog;

#[test]
fn a_click_presses_a_dialogs_button() {
    let mut harness = Harness::sample().keys("jjjjx");
    assert!(matches!(harness.app.dialog, Some(Dialog::Stop(_))));
    harness.taken();
    // Beside the buttons nothing is pressed.
    harness.click("same as");
    assert!(harness.app.dialog.is_some());
    harness.click("[ Stop");
    let effects = harness.taken();
    assert_eq!(
        changes(&effects),
        [&Effect::Stop(arn("adjust-2026-11-22-c004"))]
    );
    assert!(harness.app.dialog.is_none());
    let mut harness = harness.keys("x");
    harness.click("Keep it running ]");
    assert!(harness.app.dialog.is_none());
    assert!(changes(&harness.taken()).is_empty());
}

#[test]
fn a_button_that_is_refused_says_why_when_it_is_clicked() {
    let mut harness = Harness::sample().keys("t");
    harness.click("[ Upload and start");
    assert!(harness.app.dialog.is_some());
    let frame = harness.frame(120, 36);
    assert!(frame.contains("not now: name a file"), "{frame}");
    assert!(changes(&harness.taken()).is_empty());
}

#[test]
fn a_click_does_what_the_palette_offers() {
    let mut harness = Harness::sample().keys("j?");
    harness.click("view 4: output files");
    assert!(matches!(harness.app.screen(), Screen::Outputs(_)));
    assert!(harness.app.overlay.is_none());
}
