//! Histories told as visits.

use super::super::tests::event;
use super::*;

/// `id<-previous kind state`, a second each.
fn trace(lines: &[(u64, u64, &str, &str)]) -> Trace {
    let events: Vec<HistoryEvent> = lines
        .iter()
        .map(|(id, previous, kind, state)| {
            let state = (!state.is_empty()).then_some(*state);
            let mut event = event(*id, *previous, *id as i64, kind, state);
            if kind.ends_with("Failed") {
                event.error = Some("E".to_owned());
            }
            event
        })
        .collect();
    Trace::of(events.iter(), true)
}

fn outcomes(trace: &Trace) -> Vec<(&str, Outcome, usize)> {
    let visits = trace.visits.iter();
    visits
        .map(|it| (it.state.as_str(), it.outcome, it.depth))
        .collect()
}

#[test]
fn retries_are_attempts_with_gaps_between() {
    let trace = trace(&[
        (1, 0, "ExecutionStarted", ""),
        (2, 0, "TaskStateEntered", "Ask"),
        (3, 2, "TaskScheduled", ""),
        (4, 3, "TaskStarted", ""),
        (5, 4, "TaskFailed", ""),
        (9, 5, "TaskScheduled", ""),
        (10, 9, "TaskStarted", ""),
        (11, 10, "TaskSucceeded", ""),
        (12, 11, "TaskStateExited", "Ask"),
        (13, 12, "SucceedStateEntered", "Done"),
    ]);
    assert_eq!(
        outcomes(&trace),
        [
            ("Ask", Outcome::Succeeded, 0),
            ("Done", Outcome::Running, 0)
        ]
    );
    let attempts = &trace.visits[0].attempts;
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].error.as_deref(), Some("E"));
    assert_eq!(attempts[1].error, None);
    assert_eq!(trace.owner(10).unwrap().state, "Ask");
    assert_eq!(trace.state("Ask").unwrap().all, 1);
}

#[test]
fn a_caught_failure_is_no_failure_of_the_execution() {
    let trace = trace(&[
        (1, 0, "ExecutionStarted", ""),
        (2, 0, "TaskStateEntered", "Ask"),
        (3, 2, "TaskScheduled", ""),
        (4, 3, "TaskFailed", ""),
        (5, 4, "TaskStateExited", "Ask"),
        (6, 5, "FailStateEntered", "Give up"),
        (7, 6, "ExecutionFailed", ""),
    ]);
    assert_eq!(
        outcomes(&trace),
        [("Ask", Outcome::Caught, 0), ("Give up", Outcome::Failed, 0)]
    );
    assert!(trace.ended.is_some());
}

#[test]
fn branches_and_iterations_stand_inside_their_state() {
    let trace = trace(&[
        (1, 0, "ExecutionStarted", ""),
        (2, 0, "ParallelStateEntered", "Both"),
        (3, 2, "ParallelStateStarted", ""),
        (4, 3, "PassStateEntered", "Left"),
        (5, 4, "PassStateExited", "Left"),
        (6, 3, "TaskStateEntered", "Right"),
        (7, 6, "TaskScheduled", ""),
        (8, 3, "WaitStateEntered", "Slow"),
        (9, 7, "TaskFailed", ""),
        (10, 9, "ParallelStateFailed", ""),
        (11, 10, "ExecutionFailed", ""),
    ]);
    assert_eq!(
        outcomes(&trace),
        [
            ("Both", Outcome::Failed, 0),
            ("Left", Outcome::Succeeded, 1),
            ("Right", Outcome::Failed, 1),
            ("Slow", Outcome::Stopped, 1),
        ]
    );
}

#[test]
fn a_redrive_goes_on_with_the_same_visit() {
    let before = [
        (1, 0, "ExecutionStarted", ""),
        (2, 0, "MapStateEntered", "Lines"),
        (3, 2, "MapRunStarted", ""),
        (4, 3, "MapRunFailed", ""),
        (5, 4, "ExecutionFailed", ""),
    ];
    let again = [
        (6, 5, "ExecutionRedriven", ""),
        (7, 3, "MapRunRedriven", ""),
    ];
    assert_eq!(outcomes(&trace(&before)), [("Lines", Outcome::Failed, 0)]);
    let redriven = trace(&[&before[..], &again[..]].concat());
    assert_eq!(outcomes(&redriven), [("Lines", Outcome::Running, 0)]);
    assert_eq!(redriven.visits[0].attempts.len(), 2);
    assert_eq!(redriven.ended, None);
}

#[test]
fn events_without_their_beginning_are_told_as_far_as_they_go() {
    let trace = trace(&[
        (900, 899, "TaskSucceeded", ""),
        (901, 900, "TaskStateExited", "Ask"),
        (902, 901, "WaitStateEntered", "Wait"),
    ]);
    assert_eq!(
        outcomes(&trace),
        [
            ("Ask", Outcome::Succeeded, 0),
            ("Wait", Outcome::Running, 0)
        ]
    );
}
