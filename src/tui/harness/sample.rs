//! What the tests' dashboards show: runs in every state, failures, outputs, events.

use std::sync::Arc;

use jiff::SignedDuration;

use crate::client::Connection;
use crate::model::{
    Counts, Execution, ExecutionArn, ExecutionDetail, Failure, HistoryEvent, Logging, MapRun,
    MapRunArn, Object, ObjectAddress, RedriveStatus, StateMachineArn, StateMachineDetail, Status,
    Timestamp,
};
use crate::operations::failures::{Failures, Survey};
use crate::operations::outputs::{Kind, Output};
use crate::operations::runs::Run;
use crate::tui::app::Settings;
use crate::tui::data::{FailureSet, Stamp};
use crate::tui::event::{Cause, Health, Trouble};
use crate::tui::history::tests::event;
use crate::tui::theme::Theme;

pub fn now() -> Timestamp {
    "2026-11-23T14:07:31Z".parse().unwrap()
}

/// So many seconds before [`now`].
pub fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub fn machine() -> StateMachineArn {
    StateMachineArn::new("arn:aws:states:eu-west-1:472100009012:stateMachine:invoice-lines")
}

pub fn arn(name: &str) -> ExecutionArn {
    ExecutionArn::new(format!(
        "arn:aws:states:eu-west-1:472100009012:execution:invoice-lines:{name}"
    ))
}

pub fn map_run_arn(name: &str) -> MapRunArn {
    MapRunArn::new(format!(
        "arn:aws:states:eu-west-1:472100009012:mapRun:invoice-lines/Lines:{name}"
    ))
}

pub fn health() -> Health {
    Health {
        connection: Connection {
            label: "prod-data".to_owned(),
            region: "eu-west-1".to_owned(),
            local: false,
            read_only: false,
        },
        budget_used: 0.31,
        slowed: false,
        spent: Vec::new(),
    }
}

pub fn settings() -> Settings {
    Settings {
        machine: "invoice-lines".to_owned(),
        bucket: "prod-in".to_owned(),
        download_dir: "downloads".into(),
        theme: Theme::default(),
        hosts: Vec::new(),
        keys: crate::config::Keys::default(),
        links: false,
        profiles: std::collections::BTreeMap::new(),
        at: crate::tui::event::Destination::default(),
        has_engine: true,
        remembers: false,
        open: None,
        inputs: Vec::new(),
        ends: None,
    }
}

pub fn trouble(text: &str) -> Trouble {
    Trouble {
        text: text.to_owned(),
        hint: Some("check the network, the endpoint and the Region".to_owned()),
        slowed: false,
        cause: Cause::Other,
    }
}

/// An execution that began `began` seconds ago and ended after `took`, unless it still runs.
pub fn execution(name: &str, status: Status, began: i64, took: Option<i64>) -> Execution {
    Execution {
        arn: arn(name),
        state_machine: machine(),
        name: name.to_owned(),
        status,
        started: ago(began),
        stopped: took.map(|took| ago(began - took)),
        map_run: None,
        item_count: None,
        redrive_count: 0,
        redriven: None,
    }
}

pub fn counts(total: u64, succeeded: u64, failed: u64, running: u64) -> Counts {
    Counts {
        total,
        succeeded,
        failed,
        running,
        pending: total - succeeded - failed - running,
        results_written: succeeded,
        ..Counts::default()
    }
}

/// The description of an execution whose Map Run has these counts.
pub fn run(execution: &Execution, items: Counts) -> Run {
    let map_run = MapRun {
        arn: map_run_arn(&execution.name),
        execution: execution.arn.clone(),
        status: execution.status,
        started: execution.started,
        stopped: execution.stopped,
        max_concurrency: 1_000,
        tolerated_percentage: 5.0,
        tolerated_count: 0,
        items,
        executions: items,
        redrive_count: execution.redrive_count,
        redriven: execution.redriven,
    };
    Run {
        detail: ExecutionDetail {
            execution: execution.clone(),
            input: Some(r#"{"source":{"bucket":"prod-in","key":"invoices/2026-11-23.txt"},"concurrency":1000}"#.to_owned()),
            output: None,
            error: None,
            cause: None,
            redrive_status: RedriveStatus::Unknown,
            redrive_status_reason: None,
            trace_header: None,
        },
        map_runs: vec![map_run],
    }
}

pub const GOING: &str = "invoices-2026-11-23T1353Z-a91c";
pub const PART: &str = "ledger-2026-11-22-19aa";
pub const LOST: &str = "invoices-2026-11-23T0900Z-77de";

/// Runs in every state, with their descriptions.
pub fn sample() -> Vec<Run> {
    const DAY: i64 = 86_400;
    let mut redriven = execution("adjust-2026-11-22-c004", Status::Running, 19 * 3_600, None);
    redriven.redrive_count = 1;
    redriven.redriven = Some(ago(600));
    let mut lost = run(
        &execution(LOST, Status::Failed, 5 * 3_600, Some(2_462)),
        counts(1_198_004, 1_079_671, 60_113, 0),
    );
    lost.detail.error = Some("States.ExceedToleratedFailureThreshold".to_owned());
    lost.detail.cause = Some("The specified tolerated failure threshold was exceeded".to_owned());
    let timed_out = execution(
        "adjust-2026-11-21-9b1e",
        Status::TimedOut,
        2 * DAY,
        Some(21_600),
    );
    let stopped = execution(
        "invoices-2026-11-21T0900Z-0d41",
        Status::Aborted,
        2 * DAY,
        Some(612),
    );
    let part = execution(PART, Status::Succeeded, 15 * 3_600, Some(1_124));
    let fine = execution(
        "catalog-2026-11-22-5e20",
        Status::Succeeded,
        18 * 3_600,
        Some(415),
    );
    let old = execution(
        "invoices-2026-11-08T0900Z-41fd",
        Status::Failed,
        16 * DAY,
        Some(2_410),
    );
    vec![
        run(
            &execution(GOING, Status::Running, 842, None),
            counts(1_204_331, 744_808, 1_877, 988),
        ),
        lost,
        run(&part, counts(402_118, 401_906, 212, 0)),
        run(&fine, counts(18_220, 18_220, 0, 0)),
        run(&redriven, counts(77_310, 76_500, 41, 300)),
        run(&timed_out, counts(77_310, 54_881, 9, 0)),
        run(&stopped, counts(1_201_560, 264_340, 3, 0)),
        run(&old, counts(1_190_022, 1_189_934, 88, 0)),
    ]
}

pub fn failure(number: u64, error: &str, message: &str) -> Failure {
    Failure {
        child: ExecutionArn::new(format!(
            "arn:aws:states:eu-west-1:472100009012:express:invoice-lines/Lines:c{number}:u{number}"
        )),
        status: Status::Failed,
        line: Some(number),
        error: Some(error.to_owned()),
        cause: Some(format!(
            r#"{{"errorType":"{error}","errorMessage":"{message}"}}"#
        )),
        input: Some(format!(
            r#"{{"n":{number},"line":"F-{number}, ACME, 41.50"}}"#
        )),
        stopped: Some(ago(i64::try_from(number % 60).unwrap())),
        started: Some(ago(i64::try_from(number % 60).unwrap() + 30)),
        redrives: 0,
    }
}

/// Two groups: `worst` failures of one error and a third as many of another.
pub fn failure_set(map_run: &MapRun, worst: u64, exact: bool) -> FailureSet {
    set_of(map_run, failures_of(worst), exact)
}

/// The failures of [`failure_set`].
pub fn failures_of(worst: u64) -> Vec<Failure> {
    let first = "upstream did not answer in 3000 ms";
    let second = "field tax_id must not be empty";
    let mut items: Vec<Failure> = (1..=worst)
        .map(|number| failure(number * 7, "PaymentGateway.Timeout", first))
        .collect();
    items.extend((1..=worst / 3).map(|number| failure(number * 11, "ValidationError", second)));
    items
}

pub fn set_of(map_run: &MapRun, items: Vec<Failure>, exact: bool) -> FailureSet {
    let source = if exact { "FAILED_0.json" } else { "children" };
    let list = Failures {
        items,
        exact,
        source: source.to_owned(),
    };
    let survey = Survey::of(list, map_run.executions.failures());
    FailureSet::new(Arc::new(survey), Stamp::of(map_run))
}

pub fn output(kind: Kind, key: &str, size: u64) -> Output {
    Output {
        kind,
        object: Object {
            address: ObjectAddress::new("prod-out", key),
            size,
            modified: ago(500),
            etag: "\"e\"".to_owned(),
        },
        run: None,
    }
}

/// The machine of the samples, with this definition.
pub fn definition_of(definition: &str) -> StateMachineDetail {
    StateMachineDetail {
        arn: machine(),
        name: "invoice-lines".to_owned(),
        definition: definition.to_owned(),
        role: "arn:aws:iam::472100009012:role/invoice-lines".to_owned(),
        revision: Some("6e1b0c52-9a53-4d53-8a0e-3a1c1c0f3c11".to_owned()),
        kind: Some("STANDARD".to_owned()),
        created: Some(ago(9 * 86_400)),
        logging: Logging {
            level: Some("ERROR".to_owned()),
            with_data: false,
            groups: vec![
                "arn:aws:logs:eu-west-1:472100009012:log-group:/aws/vendedlogs/invoices:*"
                    .to_owned(),
            ],
        },
    }
}

/// Events of the first sample: `(previous, seconds ago, kind, state)`.
pub fn events() -> Vec<HistoryEvent> {
    let lines: [(u64, i64, &str, Option<&str>); 12] = [
        (0, 842, "ExecutionStarted", None),
        (0, 842, "TaskStateEntered", Some("Preprocess")),
        (2, 842, "TaskScheduled", None),
        (3, 841, "TaskStarted", None),
        (4, 801, "TaskFailed", None),
        (5, 799, "TaskScheduled", None),
        (6, 799, "TaskStarted", None),
        (7, 731, "TaskSucceeded", None),
        (8, 731, "TaskStateExited", Some("Preprocess")),
        (9, 731, "MapStateEntered", Some("Lines")),
        (10, 731, "MapStateStarted", None),
        (11, 730, "MapRunStarted", None),
    ];
    let mut events: Vec<HistoryEvent> = (1..)
        .zip(lines)
        .map(|(id, (previous, seconds, kind, state))| HistoryEvent {
            at: ago(seconds),
            ..event(id, previous, 0, kind, state)
        })
        .collect();
    let input =
        r#"{"source":{"bucket":"prod-in","key":"invoices/2026-11-23.txt"},"concurrency":1000}"#;
    events[0].input = Some(input.to_owned());
    events[1].input = Some(input.to_owned());
    events[4].error = Some("Preprocess.Unavailable".to_owned());
    events[4].cause = Some(
        r#"{"errorType":"Preprocess.Unavailable","errorMessage":"s3://prod-in/invoices/2026-11-23.txt: no answer in 30 s","trace":["read","connect"]}"#
            .to_owned(),
    );
    events[7].output = Some(
        r#"{"items":{"bucket":"prod-in","key":"runs/a91c/items.jsonl"},"lines":1204331}"#
            .to_owned(),
    );
    events[11].map_run = Some(map_run_arn(GOING));
    events
}
