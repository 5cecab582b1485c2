//! What every screen and dialog looks like: empty, loading, stale, failed, huge; at four sizes.

use crate::model::{Page, Status};
use crate::operations::{Check, Verdict, redrive};
use crate::tui::event::Event;
use crate::tui::harness::{
    GOING, Harness, LOST, PART, ago, arn, counts, execution, failures_of, health, machine, now,
    run, sample, set_of, settings, trouble,
};
use crate::tui::theme::{Palette, Theme};

#[test]
fn runs_before_anything_is_known() {
    Harness::new().check("runs_loading");
}

#[test]
fn runs_of_a_machine_that_is_not_there() {
    let mut harness = Harness::new();
    let missing =
        trouble("ListStateMachines of invoice-lines failed: no connection: connection refused");
    harness.send(Event::Machine(Err(missing)));
    harness.check("runs_failed");
}

#[test]
fn runs_when_there_are_none() {
    let mut harness = Harness::new();
    harness.list(&[]);
    harness.check("runs_empty");
}

/// The sample with a re-run of its run that ended in part, of which so many failed again.
fn with_re_run(failed: u64) -> Harness {
    let name = format!("{PART}-r1-0a1b2c3d");
    let again = execution(&name, Status::Succeeded, 3_600, Some(60));
    let mut again = run(&again, counts(212, 212 - failed, failed, 0));
    let key = format!("fanout/reruns/{PART}/{PART}/{name}/only.jsonl");
    again.detail.input = Some(format!(
        r#"{{"only":{{"bucket":"prod-in","key":"{key}"}}}}"#
    ));
    let mut runs = sample();
    runs.insert(0, again);
    let mut harness = Harness::new();
    harness.list(&runs);
    harness.keys("jjj")
}

#[test]
fn a_run_that_a_re_run_has_healed_stays_part_and_says_by_whom() {
    let harness = with_re_run(0);
    harness.check("runs_healed");
    let frame = harness.keys("<enter>").frame(120, 36);
    assert!(frame.contains("and were healed by"), "{frame}");
    assert!(frame.contains(&format!("{PART}-r1-0a1b2c3d")), "{frame}");
}

#[test]
fn a_re_run_that_ended_in_part_itself_has_healed_nothing() {
    let frame = with_re_run(3).frame(120, 36);
    assert!(!frame.contains("healed"), "{frame}");
    assert!(frame.contains("re-run 212"), "{frame}");
    let by = format!("re-run by {PART}-r1-0a1b2c3d");
    assert!(frame.contains(&by), "{frame}");
}

#[test]
fn runs_in_every_state() {
    Harness::sample()
        .failures(GOING, 300, false)
        .history()
        .check("runs");
}

#[test]
fn runs_that_can_no_longer_be_read() {
    let mut harness = Harness::sample();
    harness.at(now() + jiff::SignedDuration::from_secs(40));
    let refused =
        trouble("ListExecutions of invoice-lines failed: no connection: connection refused");
    harness.send(Event::Executions(machine(), Err(refused)));
    harness.check("runs_stale");
}

#[test]
fn runs_not_described_yet_have_unknown_counts() {
    let mut harness = Harness::new();
    harness.send(Event::Machine(Ok(machine())));
    let items = sample().iter().map(|run| run.execution().clone()).collect();
    let next = Some("token".to_owned());
    harness.send(Event::Executions(machine(), Ok(Page { items, next })));
    harness.check("runs_not_described");
}

#[test]
fn runs_by_the_thousand_and_hostile_names() {
    let mut runs = vec![run(
        &execution("evil\x1b[31m\u{202e}name\nnext", Status::Running, 5, None),
        counts(10, 1, 0, 1),
    )];
    runs.push(run(
        &execution(
            "日本語の実行-請求書-2026年11月23日-最終版-甲乙丙丁",
            Status::Running,
            9,
            None,
        ),
        counts(10, 1, 0, 1),
    ));
    runs.extend((0..2_000).map(|number| {
        let execution = execution(
            &format!("bulk-{number:05}"),
            Status::Succeeded,
            4_000 + number,
            Some(30),
        );
        run(&execution, counts(1_000_000_000, 1_000_000_000, 0, 0))
    }));
    let mut harness = Harness::new();
    harness.list(&runs);
    harness.keys("jj").check("runs_huge");
}

#[test]
fn runs_filtered() {
    Harness::sample()
        .keys("/state:fail inv<enter>")
        .check("runs_filtered");
}

#[test]
fn live_with_rate_and_failures() {
    Harness::sample()
        .history()
        .failures(GOING, 300, false)
        .keys("<enter>")
        .check("live");
}

#[test]
fn live_before_the_run_is_described() {
    let mut harness = Harness::new();
    harness.send(Event::Machine(Ok(machine())));
    let items = vec![execution(GOING, Status::Running, 5, None)];
    harness.send(Event::Executions(machine(), Ok(Page { items, next: None })));
    harness.keys("<enter>").check("live_loading");
}

#[test]
fn live_before_there_is_a_map_run() {
    let mut harness = Harness::new();
    let mut early = run(
        &execution(GOING, Status::Running, 12, None),
        counts(0, 0, 0, 0),
    );
    early.map_runs.clear();
    harness.list(&[early]);
    harness.keys("<enter>").check("live_without_map_run");
}

#[test]
fn live_of_a_failed_run() {
    Harness::sample()
        .failures(LOST, 120, false)
        .keys("j<enter>")
        .check("live_ended");
}

#[test]
fn live_frozen_while_the_run_goes_on() {
    let mut harness = Harness::sample().history().keys("<enter>p");
    harness.at(now() + jiff::SignedDuration::from_secs(12));
    harness.check("live_frozen");
}

#[test]
fn failures_in_groups() {
    Harness::sample()
        .failures(PART, 159, true)
        .keys("jj3")
        .check("failures");
}

#[test]
fn failures_of_one_group_and_one_item() {
    Harness::sample()
        .failures(LOST, 120, false)
        .keys("j3<enter>jj")
        .check("failures_members");
}

#[test]
fn failures_of_a_run_without_any() {
    Harness::sample().keys("jjj3").check("failures_none");
}

#[test]
fn failures_that_cannot_be_read() {
    let mut harness = Harness::sample().keys("j3");
    let map_run = harness.app.data().map_run(&arn(LOST)).unwrap().arn.clone();
    harness.send(Event::Failures(
        map_run,
        Err(trouble(
            "ListExecutions of Lines failed: not allowed: no states:ListExecutions",
        )),
    ));
    harness.check("failures_failed");
}

#[test]
fn failures_with_hostile_text() {
    let mut harness = Harness::sample();
    let map_run = harness.app.data().map_run(&arn(LOST)).unwrap().clone();
    let mut items = failures_of(3);
    for failure in &mut items {
        failure.error = Some("\x1b]0;title\x07Evil\u{202e}rorrE".to_owned());
        failure.cause = Some("line one\nline two\t\x1b[2J日本語".to_owned());
        failure.input = Some("{\"n\":1,\"line\":\"\\u001b[31m\"} \x1b[31m".to_owned());
        failure.line = None;
    }
    let set = set_of(&map_run, items, true);
    harness.send(Event::Failures(map_run.arn, Ok(set)));
    harness.keys("j3<enter>").check("failures_hostile");
}

fn redrive_plan(items: u64) -> redrive::Plan {
    redrive::Plan {
        execution: arn(LOST),
        state: crate::model::RunState::Failed,
        allowed: Ok(()),
        failed: items,
        timed_out: 0,
        aborted: 0,
        never_started: 220,
        succeeded: 1_079_671,
        not_redrivable: 0,
        redrives_so_far: 0,
        seconds_left: Some(1_187_400),
        after_the_map: false,
        facts: redrive::Facts::default(),
        limits: crate::model::Limits::default(),
        note: None,
        checks: vec![
            Check {
                verdict: Verdict::Good,
                text: "the run is redrivable".to_owned(),
            },
            Check {
                verdict: Verdict::Notice,
                text: "87 % of the failures have one cause: fix it first".to_owned(),
            },
        ],
    }
}

#[test]
fn redrive_dialog() {
    let mut harness = Harness::sample().keys("jr");
    harness.send(Event::RedrivePlan(
        arn(LOST),
        Ok(Box::new(redrive_plan(613))),
    ));
    harness.check("redrive");
}

#[test]
fn redrive_dialog_of_many_items() {
    let mut harness = Harness::sample().keys("jr");
    harness.send(Event::RedrivePlan(
        arn(LOST),
        Ok(Box::new(redrive_plan(60_113))),
    ));
    harness
        .keys("<shift-tab>603<tab><tab>")
        .check("redrive_many");
}

#[test]
fn redrive_dialog_before_the_counts() {
    Harness::sample().keys("jr").check("redrive_loading");
}

#[test]
fn redrive_dialog_refused() {
    let mut harness = Harness::sample().keys("jr");
    let mut plan = redrive_plan(10);
    plan.allowed = Err("the execution is already being redriven: wait for its end".to_owned());
    harness.send(Event::RedrivePlan(arn(LOST), Ok(Box::new(plan))));
    harness.keys("<tab>").check("redrive_refused");
}

#[test]
fn stop_dialog() {
    Harness::sample().history().keys("x").check("stop");
}

#[test]
fn limits_dialog() {
    Harness::sample()
        .history()
        .keys("c<backspace>")
        .check("limits");
}

#[test]
fn help_is_searched() {
    Harness::sample().keys("?").check("help");
    Harness::sample().keys("?redr").check("help_searched");
}

#[test]
fn command_line_completes() {
    Harness::sample().keys(":red").check("command");
    Harness::sample().keys(":redr<tab>77").check("command_run");
}

#[test]
fn the_menu_of_a_first_key() {
    let mut harness = Harness::sample().keys("g");
    harness.send(Event::Moment);
    harness.check("menu");
}

#[test]
fn read_only_local_ascii_with_a_host_action() {
    let mut settings = settings();
    settings.theme = Theme {
        palette: Palette::Mono,
        ascii: true,
    };
    settings.hosts = vec![('R', "repair the service")];
    let mut harness = Harness::with(settings);
    let mut health = health();
    health.connection.local = true;
    health.connection.read_only = true;
    health.slowed = true;
    harness.send(Event::Now(now(), Box::new(health)));
    harness.list(&sample());
    let frame = harness.frame(120, 36);
    assert!(frame.is_ascii(), "{frame}");
    harness.check("ascii");
}

#[test]
fn nothing_depends_on_the_size() {
    let screens = [
        "",
        "<enter>",
        "j3",
        "j3<enter>",
        "jj4",
        "jd",
        "jr",
        "x",
        "c",
        "t",
        "?",
        ":r<tab>",
        "g",
        "/x",
    ];
    for keys in screens {
        let harness = Harness::sample()
            .history()
            .failures(GOING, 30, false)
            .failures(LOST, 30, true)
            .keys(keys);
        for width in (1..=210).step_by(19) {
            for height in (1..=64).step_by(3) {
                harness.frame(width, height);
            }
        }
    }
}

#[test]
fn old_data_says_its_age() {
    let mut harness = Harness::sample();
    harness.at(ago(-40));
    let frame = harness.frame(120, 36);
    assert!(frame.contains("fresh 40s"), "{frame}");
    harness.send(Event::Executions(machine(), Err(trouble("no connection"))));
    assert!(harness.frame(120, 36).contains("old 40s"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Names in any script, with wide and combining characters, emoji and right-to-left marks, push
    /// no frame out of its place.
    #[test]
    fn whatever_a_name_holds_stays_in_its_cell(name in "\\PC{1,90}", error in "\\PC{0,120}") {
        let execution = execution(&name.replace(':', ";"), Status::Failed, 600, Some(300));
        let mut run = run(&execution, counts(1_000, 900, 100, 0));
        run.detail.error = Some(error.clone());
        let arn = execution.arn.clone();
        let mut harness = Harness::new();
        harness.list(&[run]);
        let map_run = harness.app.data().map_run(&arn).unwrap().clone();
        let mut items = failures_of(3);
        for failure in &mut items {
            failure.error = Some(error.clone());
            failure.cause = Some(name.clone());
        }
        let set = set_of(&map_run, items, true);
        harness.send(Event::Failures(map_run.arn, Ok(set)));
        for key in ["", "<enter>", "3", "d"] {
            harness = harness.keys(key);
            for (width, height) in [(80, 24), (120, 36), (200, 60)] {
                let frame = harness.frame(width, height);
                let rows: Vec<&str> = frame.lines().collect();
                for row in &rows {
                    proptest::prop_assert!(crate::tui::widget::text::width(row) <= width.into(), "{row:?}");
                }
                let top = rows.iter().position(|row| row.starts_with('╭')).unwrap();
                let bottom = rows.iter().rposition(|row| row.starts_with('╰')).unwrap();
                for row in &rows[top..=bottom] {
                    proptest::prop_assert_eq!(crate::tui::widget::text::width(row), usize::from(width), "{}", row);
                    proptest::prop_assert!(row.ends_with(['│', '┤', '╮', '╯']), "{row}");
                }
            }
        }
    }
}
