use proptest::prelude::*;

use super::log::{End, Record};
use super::*;

fn limits(tolerated_count: u64, tolerated_percentage: f64) -> Limits {
    Limits {
        max_concurrency: 0,
        tolerated_count,
        tolerated_percentage,
    }
}

fn table(children: u32, limits: Limits) -> Table {
    let mut table = Table::new(limits, ChildKind::Standard);
    for child in 0..children {
        table.apply(
            &Record::Item {
                items: 1,
                input: b"1",
            },
            100 + u64::from(child),
        );
    }
    table
}

fn end(child: u32, started: i64, status: ChildStatus) -> Record<'static> {
    Record::End(End {
        child,
        started,
        stopped: started + 1,
        status,
        is_history_full: false,
        redrives: 0,
        previous: 0,
        output: None,
        error: None,
        cause: None,
    })
}

#[test]
fn one_failure_is_too_many_unless_some_are_tolerated_and_the_excess_is_strict() {
    let mut strict = table(10, limits(0, 0.0));
    strict.apply(&end(0, 1, ChildStatus::Failed), 1);
    assert!(strict.exceeds_tolerance());

    let mut counted = table(10, limits(1, 0.0));
    counted.apply(&end(0, 1, ChildStatus::Failed), 1);
    assert!(!counted.exceeds_tolerance());
    counted.apply(&end(1, 1, ChildStatus::TimedOut), 2);
    assert!(counted.exceeds_tolerance());

    let mut shared = table(10, limits(0, 10.0));
    shared.apply(&end(0, 1, ChildStatus::Failed), 1);
    shared.apply(&end(2, 1, ChildStatus::Aborted), 2);
    shared.apply(&Record::ItemsRead, 3);
    assert!(
        !shared.exceeds_tolerance(),
        "10 % are tolerated, and aborted ones do not count"
    );
    shared.apply(&end(1, 1, ChildStatus::Failed), 4);
    assert!(shared.exceeds_tolerance());
}

#[test]
fn a_share_is_not_judged_before_the_total_is_known() {
    let mut table = table(2, limits(0, 5.0));
    table.apply(&end(0, 1, ChildStatus::Failed), 1);
    assert!(!table.exceeds_tolerance());
    table.apply(&Record::ItemsRead, 2);
    assert!(table.exceeds_tolerance());
}

#[test]
fn a_redrive_takes_the_unsuccessful_back_and_leaves_the_rest() {
    let mut table = table(4, limits(0, 50.0));
    table.apply(&end(0, 1, ChildStatus::Succeeded), 1);
    table.apply(&end(1, 2, ChildStatus::Failed), 2);
    table.apply(&end(2, 3, ChildStatus::Aborted), 3);
    table.apply(&Record::Redrive { at: 9, round: 1 }, 4);
    let counts = table.describe("m", "e", 0, 0)["itemCounts"].clone();
    assert_eq!(
        (
            counts["succeeded"].as_u64(),
            counts["pendingRedrive"].as_u64()
        ),
        (Some(1), Some(2))
    );
    assert_eq!(
        (counts["failed"].as_u64(), counts["pending"].as_u64()),
        (Some(0), Some(1))
    );
    // No results of the round before were written: they belong to this one's.
    assert_eq!((table.round, table.round_offset), (1, 0));

    // The run closes before everybody had a turn: the others are what they were.
    let failure = Failure {
        error: None,
        cause: None,
    };
    let closed = Closed {
        at: 10,
        status: ClosedStatus::Failed,
        result: Err(failure),
    };
    table.apply(&Record::Closed(closed), 5);
    let counts = table.describe("m", "e", 0, 0)["itemCounts"].clone();
    assert_eq!(counts["pendingRedrive"], 0);
    assert_eq!(
        (counts["failed"].as_u64(), counts["aborted"].as_u64()),
        (Some(1), Some(1))
    );
    let succeeded = Vec::new();
    table.apply(&Record::Written { succeeded }, 6);
    table.apply(&Record::Redrive { at: 11, round: 2 }, 7);
    assert_eq!((table.round, table.round_offset), (2, 7));
}

#[test]
fn pages_go_from_the_newest_start_to_the_oldest_and_never_list_pending_ones() {
    let mut table = table(6, limits(0, 100.0));
    for (child, started) in [(0, 10), (1, 30), (2, 20), (3, 30)] {
        table.apply(&end(child, started, ChildStatus::Succeeded), 1);
    }
    table.apply(&end(4, 25, ChildStatus::Failed), 1);
    let (first, next) = table.page(None, None, 2, |_| true);
    let (second, next) = table.page(None, next, 2, |_| true);
    let (third, end) = table.page(None, next, 2, |_| true);
    assert_eq!(
        (first, second, third, end),
        (vec![3, 1], vec![4, 2], vec![0], None)
    );
    assert_eq!(
        table.page(Some(ChildStatus::Failed), None, 10, |_| true),
        (vec![4], None)
    );
}

#[derive(Debug, Clone)]
enum Change {
    Item,
    Start(u32, i64),
    End(u32, i64, u8),
    Redrive,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Item),
        3 => (0_u32..12, 1_i64..9).prop_map(|(child, at)| Change::Start(child, at)),
        4 => (0_u32..12, 1_i64..9, 2_u8..6).prop_map(|(child, at, status)| Change::End(child, at, status)),
        1 => Just(Change::Redrive),
    ]
}

proptest! {
    /// Whatever happens in whatever order, counts are what the rows say and pages list each
    /// started child once.
    #[test]
    fn counts_and_pages_agree_with_rows(changes in proptest::collection::vec(change(), 0..60)) {
        let mut table = Table::new(limits(0, 100.0), ChildKind::Standard);
        let mut round = 0;
        for (offset, change) in changes.into_iter().enumerate() {
            match change {
                Change::Item => table.apply(&Record::Item { items: 2, input: b"1" }, offset as u64),
                Change::Start(child, at) => table.start(child, at),
                Change::End(child, at, status) => table.apply(&end(child, at, ChildStatus::from_u8(status).unwrap()), offset as u64),
                Change::Redrive => {
                    round += 1;
                    table.apply(&Record::Redrive { at: 1, round }, offset as u64);
                }
            }
        }
        for status in ChildStatus::ALL {
            let rows = table.rows.iter().filter(|row| row.status == status).count() as u64;
            prop_assert_eq!(table.children(status), rows);
            prop_assert_eq!(table.items(status), rows * 2);
            if status != ChildStatus::Pending {
                prop_assert_eq!(table.in_status(status).count() as u64, rows);
            }
        }
        let mut seen = Vec::new();
        let mut next = None;
        loop {
            let (page, more) = table.page(None, next, 3, |_| true);
            seen.extend(page);
            next = more;
            if next.is_none() {
                break;
            }
        }
        seen.sort_unstable();
        let started: Vec<u32> = (0..table.size() as u32).filter(|child| table.row(*child).unwrap().status != ChildStatus::Pending).collect();
        prop_assert_eq!(seen, started);
    }
}
