use super::*;
use crate::operations::runs::tests::{map_run, run};

fn hours(hours: i64) -> Timestamp {
    Timestamp::from_second(hours * 3_600).expect("a small number")
}

#[test]
fn a_failed_run_tells_what_will_run() {
    let mut map_run = map_run("a", Status::Failed, 7);
    map_run.items.pending = 20;
    map_run.items.aborted = 3;
    map_run.items.failures_not_redrivable = 2;
    let plan = judge(&run(Status::Failed, vec![map_run]), hours(2));
    assert_eq!(plan.allowed, Ok(()));
    assert_eq!(plan.will_run(), 28);
    assert_eq!(plan.succeeded, 10);
    assert_eq!(plan.seconds_left, Some((14 * 24 - 2) * 3_600));
    assert!(
        plan.checks
            .iter()
            .any(|check| check.text.contains("13 d 22 h"))
    );
}

#[test]
fn why_not_says_what_to_do_instead() {
    let reason = |status, failed, now| {
        judge(&run(status, vec![map_run("a", status, failed)]), now)
            .allowed
            .expect_err("not redrivable")
    };
    assert!(reason(Status::Running, 0, hours(1)).contains("fanout wait run"));
    assert!(reason(Status::Succeeded, 5, hours(1)).contains("fanout rerun"));
    assert!(reason(Status::Succeeded, 0, hours(1)).contains("nothing is left"));
    assert!(reason(Status::Failed, 5, hours(15 * 24)).contains("14 days"));
    let mut refused = run(Status::Failed, vec![]);
    refused.detail.redrive_status = RedriveStatus::NotRedrivable;
    refused.detail.redrive_status_reason = Some("Execution history event limit exceeded".into());
    let text = judge(&refused, hours(1)).allowed.expect_err("AWS says no");
    assert!(text.contains("event limit"), "{text}");
}

#[test]
fn a_map_that_has_succeeded_runs_no_item_again() {
    let failed_after = run(Status::Failed, vec![map_run("a", Status::Succeeded, 4)]);
    let plan = judge(&failed_after, hours(1));
    assert_eq!((plan.allowed.clone(), plan.will_run()), (Ok(()), 0));
    assert!(
        plan.checks
            .iter()
            .any(|check| check.text.contains("only the states after it"))
    );
}

#[test]
fn a_retried_map_counts_once() {
    let maps = vec![
        map_run("b", Status::Failed, 1),
        map_run("a", Status::Failed, 9),
    ];
    assert_eq!(judge(&run(Status::Failed, maps), hours(1)).will_run(), 1);
}

#[test]
fn what_matters_since_the_plan_was_made_is_told() {
    let planned = judge(
        &run(Status::Failed, vec![map_run("a", Status::Failed, 3)]),
        hours(1),
    );
    assert_eq!(planned.moved_since(&planned), [""; 0]);
    let mut later = run(Status::Failed, vec![map_run("a", Status::Failed, 2)]);
    later.detail.execution.redrive_count = 1;
    let moved = judge(&later, hours(2)).moved_since(&planned).join("; ");
    assert!(moved.contains("redriven 1 times"), "{moved}");
    assert!(
        moved.contains("2 items would run, and 3 were planned"),
        "{moved}"
    );
    let expired = judge(&run(Status::Failed, vec![]), hours(15 * 24));
    assert!(expired.moved_since(&planned).join("; ").contains("14 days"));
}

#[test]
fn a_plan_comes_back_from_its_text() {
    let mut plan = judge(
        &run(Status::Failed, vec![map_run("a", Status::Failed, 3)]),
        hours(1),
    );
    plan.limits.max_concurrency = Some(7);
    plan.note = Some("INC-1 it's fixed".to_owned());
    let text = serde_json::to_string(&plan).expect("JSON");
    assert_eq!(serde_json::from_str::<Plan>(&text).expect("a plan"), plan);
    let command = plan.command();
    assert!(
        command.contains("--concurrency 7 --note 'INC-1 it'\\''s fixed'"),
        "{command}"
    );
}
