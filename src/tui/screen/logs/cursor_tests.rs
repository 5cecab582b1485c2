//! What is shown of a book: the cursor, the search, the filter.

use super::*;
use crate::model::Timestamp;
use crate::tui::data::News;
use crate::tui::data::book_tests::line;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn book(seconds: std::ops::Range<i64>) -> Book {
    let mut book = Book::default();
    add(&mut book, seconds);
    book
}

fn add(book: &mut Book, seconds: std::ops::Range<i64>) {
    let entries = seconds.map(|second| Entry::of(line(at(second), &format!("n{second} Aä"))));
    book.put(News::Entries(entries.collect()), at(0));
}

fn logs() -> Logs {
    Logs::new(ExecutionArn::new("arn"), None)
}

fn text(logs: &Logs) -> &str {
    &logs.chosen().unwrap().text
}

#[test]
fn it_keeps_to_the_newest_line_until_the_cursor_leaves_it() {
    let mut book = book(0..50);
    let mut logs = logs();
    logs.take_in(&book);
    assert_eq!(text(&logs), "n49 Aä");
    add(&mut book, 50..60);
    logs.take_in(&book);
    assert_eq!(text(&logs), "n59 Aä");
    logs.go(Move::Lines(-1));
    add(&mut book, 60..70);
    // Late ones, before the cursor.
    add(&mut book, 0..10);
    logs.take_in(&book);
    assert_eq!((text(&logs), logs.rows()), ("n58 Aä", 80));
    logs.go(Move::Bottom);
    add(&mut book, 70..80);
    logs.take_in(&book);
    assert_eq!(text(&logs), "n79 Aä");
}

#[test]
fn lines_that_had_to_go_leave_the_screen_too() {
    let mut book = book(0..50);
    let mut logs = logs();
    logs.take_in(&book);
    logs.go(Move::Top);
    add(&mut book, 50..crate::operations::logs::KEPT as i64 + 20);
    logs.take_in(&book);
    assert_eq!(logs.rows(), crate::operations::logs::KEPT);
    assert_eq!(text(&logs), "n20 Aä");
}

#[test]
fn search_goes_round_and_heeds_no_case() {
    let mut logs = logs();
    logs.take_in(&book(0..30));
    logs.search = "N7 aÄ".to_owned();
    assert!(!logs.find(true, false), "only ASCII letters are alike");
    logs.search = "N2".to_owned();
    assert!(logs.find(true, false));
    assert_eq!(text(&logs), "n2 Aä");
    assert!(logs.find(false, false));
    assert_eq!(text(&logs), "n29 Aä");
    assert_eq!(logs.matches(), 11);
    assert_eq!(found("aXAxax", "ax").collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(found("short", "much longer").count(), 0);
}

#[test]
fn a_filter_of_the_service_is_asked_of_it_and_ours_is_not() {
    let mut logs = logs();
    let book = book(0..30);
    logs.take_in(&book);
    for (typed, pattern, rows) in [
        ("n2 state:work", "", 11),
        ("!n2 level:error", "", 0),
        ("{ $.level = \"x\" }", "{ $.level = \"x\" }", 30),
        (
            "request:6f0c2b9e-1111-4222-8333-444455556666",
            "\"6f0c2b9e-1111-4222-8333-444455556666\"",
            0,
        ),
        ("", "", 30),
    ] {
        logs.set_filter(Filter::new(typed));
        logs.keep_filter();
        logs.take_in(&book);
        assert_eq!(logs.query().pattern, pattern, "{typed}");
        assert_eq!(logs.rows(), rows, "{typed}");
    }
}
