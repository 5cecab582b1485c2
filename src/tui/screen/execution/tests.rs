//! The execution view in its tabs and states, and what its keys ask for.

use crate::model::{Page, Status};
use crate::operations::machines::Drift;
use crate::tui::event::{Ask, Cause, Effect, Event, Trouble};
use crate::tui::harness::{
    GOING, Harness, LOST, ago, arn, counts, execution, failure, now, run, trouble,
};
use crate::tui::history::Part;
use crate::tui::screen::{Screen, Tab};

const BRANCHES: &str = r#"{"StartAt": "Ask", "States": {
    "Ask": {"Type": "Task", "Next": "Done?", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Give up"}]},
    "Done?": {"Type": "Choice", "Choices": [{"Variable": "$.open", "NumericGreaterThan": 0, "Next": "Wait"}], "Default": "Both"},
    "Wait": {"Type": "Wait", "Seconds": 30, "Next": "Ask"},
    "Both": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "Mail", "States": {"Mail": {"Type": "Task", "End": true}}},
        {"StartAt": "日本語の状態", "States": {"日本語の状態": {"Type": "Pass", "End": true}}}]},
    "Give up": {"Type": "Fail"}}}"#;

#[test]
fn a_failed_run_in_summary() {
    Harness::sample().keys("jd").check("execution_summary");
}

#[test]
fn a_run_that_goes_on_as_graph() {
    Harness::sample()
        .traced()
        .keys("gpj")
        .check("execution_graph");
}

#[test]
fn loops_and_branches_as_graph() {
    let definition = BRANCHES;
    Harness::sample()
        .define(LOST, definition, Drift::Same)
        .keys("jgp")
        .check("execution_graph_branches");
}

#[test]
fn a_run_that_goes_on_over_time() {
    Harness::sample()
        .traced()
        .keys("gt")
        .check("execution_timeline");
}

#[test]
fn events_with_the_cause_of_one() {
    Harness::sample()
        .traced()
        .keys("gejjjj<tab>/answer<enter>")
        .check("execution_events");
}

#[test]
fn events_filtered_newest_first() {
    let harness = Harness::sample()
        .traced()
        .keys("ges/state:preprocess type:task<enter>");
    let frame = harness.frame(120, 36);
    assert!(
        frame.contains("newest first, 8 fit /state:preprocess type:task"),
        "{frame}"
    );
    let first = frame.find("TaskStateExited").unwrap();
    assert!(first < frame.find("TaskStateEntered").unwrap());
    assert!(
        harness
            .keys("/zzz<enter>")
            .frame(80, 24)
            .contains("no event fits the filter")
    );
}

/// Answers what is asked of a history of 25,000 events until nothing more is; the parts asked for.
fn answer_history(harness: &mut Harness) -> Vec<Part> {
    let mut parts = Vec::new();
    loop {
        let asked = harness.taken().into_iter().find_map(|it| match it {
            Effect::Ask(Ask::History(arn, part)) => Some((arn, part)),
            _ => None,
        });
        let Some((arn, part)) = asked else {
            return parts;
        };
        let page = crate::tui::history::tests::page(&part, 25_000, 1_000);
        harness.send(Event::History(arn, part.clone(), Ok(page)));
        parts.push(part);
    }
}

#[test]
fn the_middle_of_a_long_history_is_marked_and_comes_as_one_scrolls() {
    let mut harness = Harness::sample().keys("jge");
    harness.frame(120, 36);
    assert_eq!(answer_history(&mut harness).len(), 6);
    // Both ends are there and the cursor is far from what is not.
    let harness = harness.keys("<ctrl-f>");
    assert!(harness.frame(120, 36).contains("6,000 of 25,000 events"));
    let mut harness = harness.keys("/id:zzz<enter>");
    let frame = harness.frame(120, 36);
    let mark = "… 19,000 events, 3,001 to 22,000, not loaded yet";
    assert!(frame.contains(mark), "{frame}");
    // A filter that fits nothing known looks on into what is not.
    assert_eq!(answer_history(&mut harness).len(), 19);
    let frame = harness.frame(120, 36);
    assert!(frame.contains("25,000 events"), "{frame}");
    assert!(frame.contains("no event fits the filter"), "{frame}");
}

#[test]
fn a_page_whose_token_is_too_old_is_begun_anew_without_a_word() {
    let mut harness = Harness::sample().keys("jge");
    harness.frame(120, 36);
    harness.taken();
    let first = crate::tui::history::tests::page(&Part::Newest, 25_000, 1_000);
    harness.send(Event::History(arn(LOST), Part::Newest, Ok(first)));
    let asked = |harness: &mut Harness| {
        let asked = harness.taken().into_iter().find_map(|it| match it {
            Effect::Ask(Ask::History(_, part)) => Some(part),
            _ => None,
        });
        asked.expect("the history is not whole")
    };
    let further = asked(&mut harness);
    assert!(further.is_further(), "{further:?}");
    let outdated = Trouble {
        cause: Cause::Outdated,
        ..trouble("GetExecutionHistory failed: too old to go on")
    };
    harness.send(Event::History(arn(LOST), further, Err(outdated)));
    assert_eq!(asked(&mut harness), Part::Oldest);
    assert!(harness.app.message.is_none());
    assert!(harness.app.data().history(&arn(LOST)).is_some());
}

#[test]
fn the_timeline_keeps_its_cursor_while_what_is_before_it_comes() {
    let mut harness = Harness::sample().keys("jgt");
    harness.frame(120, 36);
    answer_history(&mut harness);
    let mut harness = harness.keys("G");
    harness.frame(120, 36);
    assert_eq!(answer_history(&mut harness), []);
    let (mut pages, mut parts) = (0, Vec::new());
    while parts.is_empty() {
        harness = harness.keys("<ctrl-b>");
        pages += 1;
        assert!(pages < 200, "the gap is never come near");
        let before = harness.frame(120, 36);
        parts = answer_history(&mut harness);
        if !parts.is_empty() {
            // Rows come above it, and all that is seen stays where it is.
            let chosen = |frame: &str| frame.lines().find(|it| it.contains('▸')).map(str::to_owned);
            assert_eq!(chosen(&harness.frame(120, 36)), chosen(&before));
        }
    }
    assert!(
        parts.iter().all(|part| matches!(part, Part::Before(_))),
        "{parts:?}"
    );
    let harness = harness.keys("gg/W<enter>");
    assert!(harness.frame(80, 24).contains("one cell is"));
}

#[test]
fn input_and_output_as_a_tree() {
    Harness::sample()
        .keys("i<right>jj")
        .check("execution_payload");
}

#[test]
fn a_history_that_cannot_be_read() {
    let mut harness = Harness::sample().keys("jge");
    let refused = trouble("GetExecutionHistory of invoices failed: not allowed");
    harness.send(Event::History(
        arn(LOST),
        Part::Newest,
        Err(refused.clone()),
    ));
    harness.send(Event::Definition(arn(LOST), Err(refused)));
    harness.check("execution_failed");
    // What the execution itself says is there all the same.
    assert!(harness.keys("d").frame(80, 24).contains("FAILED"));
}

#[test]
fn an_express_child_has_no_history_and_says_so() {
    let mut harness = Harness::sample().failures(LOST, 30, true).keys("j3<enter>");
    harness.taken();
    let mut harness = harness.keys("<enter>");
    let child = failure(7, "", "").child;
    let asked = harness.taken();
    assert!(
        asked.contains(&Effect::Ask(Ask::Describe(child.clone()))),
        "{asked:?}"
    );
    assert!(
        !asked
            .iter()
            .any(|it| matches!(it, Effect::Ask(Ask::History(..))))
    );
    let mut described = run(
        &execution("c7", Status::Failed, 60, Some(2)),
        counts(1, 0, 1, 0),
    );
    described.detail.execution.arn = child.clone();
    described.map_runs.clear();
    harness.send(Event::Run(child, Ok(Box::new(described))));
    harness.keys("[").check("execution_express");
}

#[test]
fn before_anything_is_read() {
    let mut harness = Harness::sample().keys("gt");
    assert!(harness.frame(120, 36).contains("reading the events…"));
    let asked = harness.taken();
    assert!(asked.contains(&Effect::Ask(Ask::Definition(arn(GOING)))));
    assert!(asked.contains(&Effect::Ask(Ask::History(arn(GOING), Part::Newest))));
}

#[test]
fn new_events_are_looked_for_while_it_runs_and_no_longer() {
    let mut harness = Harness::sample().traced().keys("gt");
    harness.taken();
    harness.at(ago(-1));
    assert!(
        !harness
            .taken()
            .iter()
            .any(|it| matches!(it, Effect::Ask(Ask::History(..))))
    );
    harness.at(ago(-3));
    assert!(
        harness
            .taken()
            .contains(&Effect::Ask(Ask::History(arn(GOING), Part::Peek)))
    );
    let mut end = crate::tui::history::tests::event(13, 12, 0, "ExecutionAborted", None);
    end.at = now();
    let page = Page {
        items: vec![end],
        next: None,
    };
    harness.send(Event::History(arn(GOING), Part::Peek, Ok(page)));
    let mut ended = run(
        &execution(GOING, Status::Aborted, 842, Some(842)),
        counts(1, 1, 0, 0),
    );
    ended.detail.execution.stopped = Some(now());
    harness.describe(ended);
    harness.taken();
    harness.at(ago(-60));
    assert!(
        !harness
            .taken()
            .iter()
            .any(|it| matches!(it, Effect::Ask(Ask::History(..))))
    );
    assert!(harness.frame(120, 36).contains("STOPPED"));
}

fn tab(harness: &Harness) -> Tab {
    match harness.app.screen() {
        Screen::Execution(it) => it.tab,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tabs_and_enter_lead_from_states_to_events() {
    let harness = Harness::sample().traced().keys("d]");
    assert_eq!(tab(&harness), Tab::Graph);
    let harness = harness.keys("[[");
    assert_eq!(tab(&harness), Tab::Payload);
    let harness = harness.keys("gpj<enter>");
    assert_eq!(tab(&harness), Tab::Events);
    let frame = harness.frame(120, 36);
    assert!(frame.contains("▸     10"), "{frame}");
    let harness = harness.keys("<esc>");
    assert!(matches!(harness.app.screen(), Screen::Runs(_)));
}

#[test]
fn values_and_paths_are_copied() {
    let mut harness = Harness::sample().keys("i<right><right>");
    harness.taken();
    let mut harness = harness.keys("jjyY");
    assert_eq!(
        harness.taken(),
        [
            Effect::Copy("invoices/2026-11-23.txt".to_owned()),
            Effect::Copy("$.source.key".to_owned())
        ]
    );
}

#[test]
fn a_child_of_the_live_view_opens_and_the_run_stays_the_subject() {
    let harness = Harness::sample()
        .failures(GOING, 30, false)
        .keys("<enter>gc");
    let Screen::Execution(it) = harness.app.screen() else {
        panic!("{:?}", harness.app.screen());
    };
    assert!(it.is_child());
    assert_eq!(harness.app.shown_run(), Some(&arn(GOING)));
    let harness = harness.keys("<esc>");
    assert!(matches!(harness.app.screen(), Screen::Live(_)));
}

#[test]
fn no_size_breaks_any_tab() {
    for keys in ["d", "gp", "gt", "ge", "i", "jgp", "gejjjj<tab>"] {
        let harness = Harness::sample()
            .traced()
            .define(LOST, BRANCHES, Drift::Same)
            .keys(keys);
        for width in (1..=210).step_by(23) {
            for height in (1..=64).step_by(5) {
                harness.frame(width, height);
            }
        }
    }
}
