//! The logs view: its states at all sizes, and what its keys ask for.

use std::sync::Arc;

use jiff::SignedDuration;

use crate::operations::logs::{Focus, Group, Level, Line, Method, Origin, Phase, Query, Sources};
use crate::tui::app::App;
use crate::tui::data::{Entry, News, book_tests};
use crate::tui::event::{Effect, Event, Subscription, Trouble};
use crate::tui::harness::{GOING, Harness, ago, arn, now, trouble};
use crate::tui::screen::Screen;

const REQUEST: &str = "6f0c2b9e-1111-4222-8333-444455556666";

fn query(app: &App) -> Query {
    let Screen::Logs(logs) = app.screen() else {
        panic!("the logs should be shown")
    };
    logs.query()
}

fn sources() -> Sources {
    let group = |name: &str, origin, exists| Group {
        name: name.into(),
        arn: format!("arn:aws:logs:eu-west-1:472100009012:log-group:{name}"),
        origin,
        states: None,
        exists,
    };
    let worker = Origin::Function {
        name: "invoice-line-worker".into(),
    };
    Sources {
        run: arn(GOING),
        groups: vec![
            group(
                "/aws/vendedlogs/states/invoice-lines",
                Origin::Machine,
                true,
            ),
            group("/aws/lambda/invoice-line-worker", worker, true),
        ],
        missing: vec!["Choose chooses its function while it runs".to_owned()],
        from: ago(842),
        to: None,
    }
}

fn line(seconds: i64, level: Option<Level>, message: &str) -> Line {
    Line {
        level,
        ..book_tests::line(ago(seconds), message)
    }
}

fn lines() -> Vec<Line> {
    let history = r#"{"id":"5","type":"TaskFailed","details":{"error":"PaymentGateway.Timeout","cause":"upstream did not answer"},"execution_arn":"arn:x"}"#;
    vec![
        line(60, None, &format!("START RequestId: {REQUEST} Version: 41")),
        line(
            59,
            Some(Level::Info),
            "posting invoice F-20481 to gateway pool eu-2",
        ),
        line(
            30,
            Some(Level::Warn),
            "no answer after 30000 ms from 10.2.7.14, giving up; the next try is due in 2000 ms unless the pool is drained before that",
        ),
        Line {
            group: Arc::from("/aws/vendedlogs/states/invoice-lines"),
            ..line(29, Some(Level::Error), history)
        },
        line(
            28,
            Some(Level::Error),
            "PaymentGateway.Timeout: upstream did not answer in 30000 ms",
        ),
        line(28, Some(Level::Debug), "socket closed"),
        line(
            27,
            None,
            &format!("REPORT RequestId: {REQUEST}\tDuration: 30059 ms"),
        ),
    ]
}

fn tell(harness: &mut Harness, news: News) {
    let query = query(&harness.app);
    harness.send(Event::Logs(Box::new(query), Ok(news)));
}

/// The logs of the running sample, told so far.
fn opened(keys: &str, news: Vec<News>) -> Harness {
    let mut harness = Harness::sample().keys(keys);
    for news in news {
        tell(&mut harness, news);
    }
    harness
}

fn entries(lines: Vec<Line>) -> News {
    News::Entries(lines.into_iter().map(Entry::of).collect())
}

fn live() -> News {
    News::Phase(Phase::Live { back_to: ago(842) })
}

fn subscribed(harness: &Harness) -> Vec<Query> {
    let all = harness.app.subscriptions();
    all.into_iter()
        .filter_map(|it| match it {
            Subscription::Logs(query) => Some(*query),
            _ => None,
        })
        .collect()
}

#[test]
fn before_anything_is_told() {
    Harness::sample().keys("<enter>5").check("logs_loading");
}

#[test]
fn while_lines_come() {
    opened(
        "<enter>5",
        vec![News::Sources(sources()), entries(lines()), live()],
    )
    .keys("kkk<enter>/timeout<enter>")
    .check("logs");
}

#[test]
fn without_any_lines() {
    let done = News::Phase(Phase::Done { back_to: ago(842) });
    opened("<enter>5", vec![News::Sources(sources()), done]).check("logs_empty");
}

#[test]
fn when_they_cannot_be_read() {
    let mut harness = opened("<enter>5", vec![]);
    let denied = trouble("FilterLogEvents of /aws/lambda/f failed: not allowed: no right to it");
    let query = query(&harness.app);
    harness.send(Event::Logs(Box::new(query), Err(denied)));
    harness.check("logs_failed");
}

#[test]
fn when_they_have_grown_old() {
    let mut harness = opened("<enter>5", vec![entries(lines()), live()]);
    harness.at(now() + SignedDuration::from_secs(90));
    let lost = trouble("StartLiveTail of /aws/lambda/f failed: no connection: timed out");
    let query = query(&harness.app);
    harness.send(Event::Logs(Box::new(query), Err(lost)));
    harness.check("logs_stale");
}

#[test]
fn lines_that_are_old_stay_and_slowness_is_no_error() {
    let mut harness = opened("<enter>5", vec![entries(lines()), live()]);
    let query = query(&harness.app);
    let slowed = Trouble {
        text: "Rate exceeded".to_owned(),
        hint: None,
        slowed: true,
        cause: crate::tui::event::Cause::Other,
    };
    harness.app.message = None;
    harness.send(Event::Logs(Box::new(query), Err(slowed)));
    let frame = harness.frame(120, 36);
    assert!(frame.contains("slowed by AWS"), "{frame}");
    assert!(frame.contains("posting invoice"), "{frame}");
    assert_eq!(harness.app.message, None);
}

#[test]
fn hostile_and_endless_lines_stay_in_their_cells() {
    let mut many: Vec<Line> = (0..12_000)
        .map(|number| line(800 - number / 20, None, &format!("line {number}")))
        .collect();
    many.push(line(
        1,
        Some(Level::Error),
        "evil \x1b[2J\x1b]0;x\x07 \u{202e}name\nnext",
    ));
    many.push(line(1, None, &"日本語のログ ".repeat(60)));
    many.push(line(
        0,
        None,
        &format!("{{\"long\":\"{}\"}}", "x".repeat(40_000)),
    ));
    let polled = News::Phase(Phase::Polling {
        back_to: ago(400),
        why: "no live tail: not allowed: no right to logs:StartLiveTail".to_owned(),
    });
    let harness = opened(
        "<enter>5",
        vec![
            News::Sources(sources()),
            entries(many),
            polled,
            News::Sampled(true),
        ],
    );
    harness.keys("wkk").check("logs_huge");
}

#[test]
fn l_on_a_failure_asks_for_the_lines_of_its_call() {
    let mut harness = Harness::sample().failures(GOING, 30, true);
    harness.taken();
    let mut harness = harness.keys("3<enter>jl");
    let asked = subscribed(&harness);
    let focus = asked[0].focus.clone().unwrap();
    assert!(focus.child.as_str().contains(":c14:"), "{focus:?}");
    assert_eq!(focus.stopped, Some(ago(14)));
    tell(&mut harness, News::Sources(sources()));
    tell(&mut harness, entries(lines()));
    let found = Phase::Found(Method::Request(REQUEST.to_owned()));
    tell(&mut harness, News::Phase(found));
    harness.check("logs_of_a_failure");
    // Back to the failure, and nothing is followed any more.
    let harness = harness.keys("<esc>");
    assert!(matches!(harness.app.screen(), Screen::Failures(_)));
    assert_eq!(subscribed(&harness), []);
}

#[test]
fn l_on_a_child_asks_for_its_lines_and_goes_back_to_it() {
    let harness = Harness::sample().failures(GOING, 30, false);
    let harness = harness.keys("<enter>gcl");
    let asked = subscribed(&harness);
    assert_eq!(asked[0].run, arn(GOING));
    assert!(asked[0].focus.is_some());
    let harness = harness.keys("<esc>");
    assert!(matches!(harness.app.screen(), Screen::Execution(it) if it.is_child()));
}

#[test]
fn l_on_a_run_asks_for_all_its_lines_and_5_goes_back_to_them() {
    let harness = Harness::sample().keys("l");
    let all = Query {
        run: arn(GOING),
        focus: None,
        pattern: String::new(),
        follow: true,
    };
    assert_eq!(subscribed(&harness), std::slice::from_ref(&all));
    let harness = harness.keys("45");
    assert_eq!(subscribed(&harness), [all]);
}

#[test]
fn a_request_id_is_narrowed_by_the_service_and_words_are_narrowed_here() {
    let harness = opened("<enter>5", vec![entries(lines()), live()]);
    let harness = harness.keys("&level:error<enter>");
    let Screen::Logs(logs) = harness.app.screen() else {
        panic!("the logs should be shown")
    };
    assert_eq!(
        (logs.rows(), subscribed(&harness)[0].pattern.as_str()),
        (2, "")
    );
    let harness = harness
        .keys("<esc>")
        .keys(&format!("&request:{REQUEST}<enter>"));
    assert_eq!(subscribed(&harness)[0].pattern, format!("\"{REQUEST}\""));
    let harness = harness.keys("<esc>");
    assert_eq!(subscribed(&harness)[0].pattern, "");
}

#[test]
fn a_line_is_copied_as_it_is_seen_or_as_it_was_written() {
    let mut harness = opened("<enter>5", vec![entries(lines()), live()]);
    harness.taken();
    let mut harness = harness.keys("yY");
    let report = format!("REPORT RequestId: {REQUEST}");
    assert_eq!(
        harness.taken(),
        [
            Effect::Copy(format!("{report}  Duration: 30059 ms")),
            Effect::Copy(format!("{report}\tDuration: 30059 ms")),
        ]
    );
}

#[test]
fn a_frozen_view_stands_still_and_catches_up() {
    let mut harness = opened("<enter>5", vec![entries(lines()), live()]).keys("p");
    tell(&mut harness, entries(vec![line(0, None, "the last line")]));
    assert!(!harness.frame(120, 36).contains("the last line"));
    let mut harness = harness.keys("p");
    harness.at(now() + SignedDuration::from_secs(1));
    assert!(harness.frame(120, 36).contains("the last line"));
}

#[test]
fn lines_scroll_sideways_unless_they_are_wrapped() {
    let harness = opened("<enter>5", vec![entries(lines()), live()]);
    assert!(!harness.frame(80, 24).contains("drained"));
    let harness = harness.keys("LLL");
    let frame = harness.frame(80, 24);
    assert!(frame.contains("2000 ms unless"), "{frame}");
    let harness = harness.keys("w");
    let frame = harness.frame(80, 24);
    assert!(frame.contains("is drained"), "{frame}");
    let harness = harness.keys("w<left>");
    assert!(harness.frame(80, 24).contains("posting invoice"));
}

/// A stream that has just ended may have one more thing to say.
#[test]
fn a_late_word_about_other_lines_takes_nothing_away() {
    let mut harness = opened("<enter>5", vec![entries(lines()), live()]);
    let late = Query {
        pattern: "{ $.a = 1 }".to_owned(),
        ..query(&harness.app)
    };
    harness.send(Event::Logs(Box::new(late), Ok(News::Begin)));
    tell(&mut harness, entries(vec![line(0, None, "newest")]));
    let Screen::Logs(logs) = harness.app.screen() else {
        panic!("the logs should be shown")
    };
    assert_eq!(logs.rows(), lines().len() + 1);
}

#[test]
fn a_focus_knows_the_request_of_its_failure() {
    let mut failure = crate::tui::harness::failure(7, "E", "m");
    failure.cause = Some(format!(r#"{{"requestId":"{REQUEST}"}}"#));
    assert_eq!(Focus::on(&failure).request.as_deref(), Some(REQUEST));
}
