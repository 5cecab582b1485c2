//! What reaches beyond the screen: focus, notices, title, mouse, clipboard, links.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use jiff::SignedDuration;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use crate::model::Status;
use crate::tui::event::{Ask, Effect, Event};
use crate::tui::harness::{GOING, Harness, arn, now, sample, settings};
use crate::tui::screen::{self, Screen};
use crate::tui::selection::Selection;

fn mouse(kind: MouseEventKind, column: u16, row: u16) -> Event {
    Event::Mouse(MouseEvent {
        kind,
        column,
        row,
        modifiers: KeyModifiers::NONE,
    })
}

fn click(harness: &mut Harness, column: u16, row: u16) {
    harness.send(mouse(MouseEventKind::Down(MouseButton::Left), column, row));
    harness.send(mouse(MouseEventKind::Up(MouseButton::Left), column, row));
}

fn buffer(harness: &Harness) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(120, 36)).unwrap();
    terminal
        .draw(|frame| screen::draw(&harness.app, frame))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// Where a text begins on the screen.
fn place(harness: &Harness, text: &str) -> (u16, u16) {
    let frame = harness.frame(120, 36);
    let found = frame.lines().zip(0..).find_map(|(line, row)| {
        let at = line.find(text)?;
        Some((line[..at].chars().count() as u16, row))
    });
    found.unwrap_or_else(|| panic!("{text:?} is not in\n{frame}"))
}

fn notices(harness: &mut Harness) -> Vec<String> {
    let effects = harness.taken().into_iter();
    effects
        .filter_map(|effect| match effect {
            Effect::Notify(said) => Some(said),
            _ => None,
        })
        .collect()
}

#[test]
fn what_nobody_looks_at_is_polled_slowly_and_fresh_at_once_when_somebody_does() {
    let mut harness = Harness::sample().keys("<enter>");
    harness.taken();
    harness.send(Event::Focus(false));
    assert_eq!(harness.taken(), [Effect::Watched(false)]);
    harness.at(now() + SignedDuration::from_secs(60));
    harness.taken();
    harness.send(Event::Focus(true));
    let effects = harness.taken();
    assert_eq!(effects[..2], [Effect::Watched(true), Effect::Refresh]);
}

#[test]
fn a_row_s_description_is_asked_for_less_often_while_nobody_looks() {
    let asks = |is_focused: bool| {
        let mut harness = Harness::sample();
        harness.send(Event::Focus(is_focused));
        harness.taken();
        harness.at(now() + SignedDuration::from_secs(4));
        let effects = harness.taken();
        effects
            .iter()
            .any(|it| matches!(it, Effect::Ask(Ask::Describe(_))))
    };
    assert!(asks(true));
    assert!(!asks(false));
}

#[test]
fn a_run_that_ends_is_told_to_somebody_who_looks_elsewhere_once() {
    let mut harness = Harness::sample();
    harness.taken();
    let ended = || {
        let mut run = sample().remove(0);
        run.detail.execution.status = Status::Failed;
        run
    };
    harness.send(Event::Focus(false));
    harness.describe(ended());
    harness.describe(ended());
    assert_eq!(
        notices(&mut harness),
        ["invoices-2026-11-23T1353Z-a91c has ended: FAILED, 1,877 failed"]
    );
    // To somebody who looks on it is on the screen.
    let mut harness = Harness::sample();
    harness.taken();
    harness.describe(ended());
    assert_eq!(notices(&mut harness), [""; 0]);
}

#[test]
fn the_first_failure_and_the_tolerance_are_told() {
    let counted = |failed: u64| {
        let mut run = sample().remove(0);
        run.map_runs[0].items.failed = failed;
        run
    };
    let mut harness = Harness::new();
    harness.list(&[counted(0)]);
    harness.send(Event::Focus(false));
    harness.taken();
    harness.describe(counted(1));
    assert_eq!(
        notices(&mut harness),
        ["invoices-2026-11-23T1353Z-a91c: the first item has failed"]
    );
    // 5 % of 1,204,331 are 60,216.
    harness.describe(counted(48_000));
    assert_eq!(notices(&mut harness), [""; 0]);
    harness.describe(counted(48_200));
    assert_eq!(
        notices(&mut harness),
        ["invoices-2026-11-23T1353Z-a91c has used 80 % of its tolerated failures"]
    );
}

#[test]
fn the_title_tells_how_far_the_shown_run_is() {
    let harness = Harness::sample().history();
    let going = "fanout: 62 % invoices-2026-11-23T1353Z-a91c ETA 7m";
    assert_eq!(harness.app.title(), going);
    let harness = harness.keys("<enter>");
    assert_eq!(harness.app.title(), going);
    assert_eq!(Harness::new().app.title(), "fanout");
    let harness = Harness::sample().keys("jj<enter>");
    assert!(harness.app.title().starts_with("fanout: PART ledger"));
}

#[test]
fn the_mouse_is_off_until_it_is_asked_for() {
    let mut harness = Harness::sample();
    harness.taken();
    let mut harness = harness.keys("<f2>");
    assert!(harness.taken().contains(&Effect::Mouse(true)));
    let mut harness = harness.keys(":mouse<enter>");
    assert!(harness.taken().contains(&Effect::Mouse(false)));
}

#[test]
fn a_click_chooses_a_row_and_opens_it_the_second_time() {
    let mut harness = Harness::sample().keys("<f2>");
    let (x, y) = place(&harness, "ledger-2026");
    click(&mut harness, x, y);
    assert_eq!(
        harness.app.shown_run().unwrap().name(),
        "ledger-2026-11-22-19aa"
    );
    assert!(matches!(harness.app.screen(), Screen::Runs(_)));
    harness.frame(120, 36);
    click(&mut harness, x, y);
    assert!(matches!(harness.app.screen(), Screen::Live(_)));
    let (x, y) = place(&harness, "4 Outputs");
    click(&mut harness, x, y);
    assert!(matches!(harness.app.screen(), Screen::Outputs(_)));
    // Nothing is there.
    click(&mut harness, 119, 35);
    click(&mut harness, 900, 900);
    assert!(matches!(harness.app.screen(), Screen::Outputs(_)));
}

#[test]
fn a_click_into_the_other_pane_goes_there() {
    let mut harness = Harness::sample().failures(GOING, 300, true).keys("3<f2>");
    let (x, y) = place(&harness, "  21 ");
    click(&mut harness, x + 4, y);
    let Screen::Failures(failures) = harness.app.screen() else {
        panic!("the failures should be shown")
    };
    let chosen = failures.chosen(&harness.app).unwrap();
    assert_eq!(chosen.line, Some(21));
}

#[test]
fn the_wheel_moves_the_cursor() {
    let mut harness = Harness::sample().keys("<f2>");
    harness.frame(120, 36);
    harness.send(mouse(MouseEventKind::ScrollDown, 5, 5));
    let third = harness.app.shown_run().cloned();
    harness.send(mouse(MouseEventKind::ScrollUp, 5, 5));
    assert_eq!(harness.app.shown_run(), Some(&arn(GOING)));
    assert_ne!(third, Some(arn(GOING)));
}

#[test]
fn a_click_chooses_a_state_of_the_graph_and_the_wheel_pans_it() {
    let mut harness = Harness::sample().traced().keys("<f2>gp");
    for text in ["Lines", "Postprocess", "Preprocess"] {
        let (x, y) = place(&harness, text);
        click(&mut harness, x, y);
        let Screen::Execution(it) = harness.app.screen() else {
            panic!("{:?}", harness.app.screen());
        };
        assert_eq!(it.chosen_state(harness.app.data()).as_deref(), Some(text));
    }
    // A second click opens it: its events.
    let (x, y) = place(&harness, "Preprocess");
    click(&mut harness, x, y);
    assert!(harness.frame(120, 36).contains("oldest first"));
}

#[test]
fn clicks_choose_and_fold_in_a_tree() {
    let mut harness = Harness::sample().keys("<f2>i");
    let (x, y) = place(&harness, "source: ");
    click(&mut harness, x, y);
    assert!(harness.frame(120, 36).contains("invoices/2026-11-23.txt"));
    click(&mut harness, x, y);
    let frame = harness.frame(120, 36);
    assert!(frame.contains("▸ source: {2}"), "{frame}");
}

#[test]
fn the_wheel_turns_what_is_under_it() {
    // Beside the list of events, the payload; the keys stay in the list.
    let mut harness = Harness::sample().traced().keys("<f2>gejjjj");
    let (x, y) = place(&harness, "errorMessage");
    harness.send(mouse(MouseEventKind::ScrollDown, x, y));
    let Screen::Execution(it) = harness.app.screen() else {
        panic!("{:?}", harness.app.screen());
    };
    assert!(!it.in_payload());
    // Over a dialog, the dialog; over the palette, its list.
    let mut harness = harness.keys("<esc>?");
    let before = harness.frame(120, 36);
    harness.send(mouse(MouseEventKind::ScrollDown, x, y));
    assert_ne!(harness.frame(120, 36), before);
}

#[test]
fn a_drag_selects_inside_and_copies_when_it_ends() {
    let mut harness = Harness::sample().keys("<f2>");
    let (x, y) = place(&harness, "ledger-2026");
    harness.taken();
    harness.send(mouse(MouseEventKind::Down(MouseButton::Left), x, y));
    harness.send(mouse(MouseEventKind::Drag(MouseButton::Left), x + 5, y));
    let selection = Selection {
        from: (x, y),
        to: (x + 5, y),
    };
    let shown = buffer(&harness);
    assert_eq!(selection.text(&shown), "ledger");
    harness.send(mouse(MouseEventKind::Up(MouseButton::Left), x + 5, y));
    assert!(harness.taken().contains(&Effect::CopySelection(selection)));
    assert_eq!(harness.app.mouse.selection, None);
}

#[test]
fn copying_says_how_much_and_which_way() {
    let mut harness = Harness::sample();
    harness.send(Event::Copied(36, "wl-copy"));
    assert!(
        harness
            .frame(120, 36)
            .contains("copied 36 characters with wl-copy")
    );
    harness.taken();
    harness.send(Event::NotCopied("text".to_owned()));
    assert!(
        harness
            .taken()
            .contains(&Effect::CopyByTerminal("text".to_owned()))
    );
    let said = "copied 4 characters through the terminal (OSC 52)";
    assert!(harness.frame(120, 36).contains(said));
}

#[test]
fn names_are_links_where_nothing_lies_over_them() {
    let mut settings = settings();
    settings.links = true;
    let mut harness = Harness::with(settings);
    harness.list(&sample());
    let harness = harness.keys("d");
    let is_linked = |harness: &Harness| {
        let buffer = buffer(harness);
        let cells = buffer.content.iter();
        cells
            .filter(|it| it.symbol().contains("console.aws"))
            .count()
    };
    let count = arn(GOING).as_str().len();
    assert!(is_linked(&harness) >= count, "the ARN of the run");
    let harness = harness.keys("?");
    assert_eq!(is_linked(&harness), 0);
}
