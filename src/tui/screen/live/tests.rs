use jiff::SignedDuration;

use crate::model::{Counts, Status};
use crate::tui::event::Event;
use crate::tui::harness::{Harness, ago, execution, now, run, trouble};

#[test]
fn attempts_of_a_redriven_run_stand_side_by_side() {
    let mut execution = execution("invoices-a91c", Status::Failed, 600, Some(300));
    let failed = Counts {
        total: 1_000,
        succeeded: 700,
        failed: 120,
        pending: 180,
        ..Counts::default()
    };
    let before = run(&execution, failed);
    let mut harness = Harness::new();
    harness.list(std::slice::from_ref(&before));
    // Nobody watched the attempt between the two.
    execution.status = Status::Running;
    execution.redrive_count = 2;
    execution.stopped = None;
    let again = Counts {
        failed: 4,
        succeeded: 880,
        pending: 116,
        ..failed
    };
    let mut after = run(&execution, again);
    after.map_runs[0].redriven = Some(ago(42));
    harness.describe(after);
    harness.keys("<enter>").check("live_attempts");
}

#[test]
fn a_lost_connection_is_not_told_as_news() {
    let mut harness = Harness::sample().history().keys("<enter>");
    let going = harness.app.shown_run().unwrap().clone();
    let map_run = harness.app.data().map_run(&going).unwrap().arn.clone();
    let lost = trouble("DescribeMapRun of invoice-lines/Lines failed: no connection");
    harness.send(Event::MapRun(map_run, Err(lost)));
    harness.at(now() + SignedDuration::from_secs(40));
    harness.check("live_disconnected");
}

#[test]
fn a_map_run_that_counts_nothing_for_long_is_queued() {
    let execution = execution("catalog-b7f0", Status::Running, 111, None);
    let queued = run(&execution, Counts::default());
    let mut harness = Harness::new();
    harness.list(&[queued]);
    harness.check("runs_queued");
}
