//! CloudWatch Logs and what executions write there, asked by the AWS SDKs themselves.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatchlogs::error::ProvideErrorMetadata;
use aws_sdk_cloudwatchlogs::types::{
    FilteredLogEvent, InputLogEvent, OrderBy, StartLiveTailResponseStream,
};
use aws_sdk_sfn::types::{
    CloudWatchLogsLogGroup, ExecutionStatus, LogDestination, LogLevel, LoggingConfiguration,
};
use futures::FutureExt;
use serde_json::{Value, json};
use tokio_util::sync::DropGuard;

use fanout::engine::{Engine, FunctionError};

use crate::wired::serve;

const GROUP: &str = "/app/web";

struct Wire {
    engine: Engine,
    logs: aws_sdk_cloudwatchlogs::Client,
    sfn: aws_sdk_sfn::Client,
    _folder: tempfile::TempDir,
    _shutdown: DropGuard,
}

async fn wire() -> Wire {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path()).await.unwrap();
    engine.functions().register("work", |event| {
        async move {
            match event["n"].as_u64() {
                Some(n) if n % 2 == 1 => Err(FunctionError {
                    error_type: "Odd".into(),
                    message: "an odd number".into(),
                }),
                _ => Ok(event),
            }
        }
        .boxed()
    });
    let served = serve(&engine).await;
    Wire {
        engine,
        logs: served.logs(),
        sfn: aws_sdk_sfn::Client::new(&served.config),
        _folder: folder,
        _shutdown: served.shutdown,
    }
}

fn event(timestamp: i64, message: &str) -> InputLogEvent {
    InputLogEvent::builder()
        .timestamp(timestamp)
        .message(message)
        .build()
        .unwrap()
}

fn arn(group: &str) -> String {
    format!("arn:aws:logs:us-east-1:000000000000:log-group:{group}")
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl Wire {
    /// A wire with one group and one stream of these events.
    async fn with(events: Vec<InputLogEvent>) -> Self {
        let wire = wire().await;
        let create = wire.logs.create_log_group().log_group_name(GROUP);
        create.send().await.unwrap();
        wire.put("a", events).await;
        wire
    }

    async fn put(&self, stream: &str, events: Vec<InputLogEvent>) {
        let create = self.logs.create_log_stream().log_group_name(GROUP);
        // There already is as good.
        let _ = create.log_stream_name(stream).send().await;
        let put = self.logs.put_log_events().log_group_name(GROUP);
        let put = put.log_stream_name(stream).set_log_events(Some(events));
        let answer = put.send().await.unwrap();
        assert_eq!(answer.rejected_log_events_info(), None);
    }

    /// All events of a group that a pattern wants, over all pages.
    async fn filter(&self, group: &str, pattern: &str) -> Vec<FilteredLogEvent> {
        self.engine.logs().flush().await.unwrap();
        let pages = self.logs.filter_log_events().log_group_name(group);
        let mut pages = pages.filter_pattern(pattern).into_paginator().send();
        let mut events = Vec::new();
        while let Some(page) = pages.next().await {
            events.extend(page.unwrap().events.unwrap_or_default());
        }
        events
    }

    async fn start(&self, machine: &str, name: &str, input: &Value) -> (String, ExecutionStatus) {
        let start = self.sfn.start_execution().state_machine_arn(machine);
        let started = start
            .name(name)
            .input(input.to_string())
            .send()
            .await
            .unwrap();
        let arn = started.execution_arn;
        loop {
            let describe = self.sfn.describe_execution().execution_arn(&arn);
            let described = describe.send().await.unwrap();
            if described.status != ExecutionStatus::Running {
                return (arn, described.status);
            }
        }
    }

    async fn machine(
        &self,
        name: &str,
        definition: &Value,
        logging: LoggingConfiguration,
    ) -> Result<String, aws_sdk_sfn::Error> {
        let create = self.sfn.create_state_machine().name(name);
        let create = create
            .definition(definition.to_string())
            .role_arn("arn:aws:iam::000000000000:role/r")
            .logging_configuration(logging);
        Ok(create.send().await?.state_machine_arn)
    }
}

fn messages(events: &[FilteredLogEvent]) -> Vec<&str> {
    events.iter().filter_map(|event| event.message()).collect()
}

fn logging(level: LogLevel, group: &str, data: bool) -> LoggingConfiguration {
    let group = CloudWatchLogsLogGroup::builder().log_group_arn(format!("{}:*", arn(group)));
    let destination = LogDestination::builder().cloud_watch_logs_log_group(group.build());
    LoggingConfiguration::builder()
        .level(level)
        .include_execution_data(data)
        .destinations(destination.build())
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_put_and_read_page_by_page_in_both_directions() {
    let start = now() - 1_000;
    let numbers: Vec<String> = (0..25).map(|number| format!("line {number}")).collect();
    let events = numbers.iter().enumerate();
    let wire = Wire::with(
        events
            .map(|(at, text)| event(start + at as i64, text))
            .collect(),
    )
    .await;
    let get = || {
        wire.logs
            .get_log_events()
            .log_group_name(GROUP)
            .log_stream_name("a")
            .limit(10)
    };
    // Forward, until the token stays as it is.
    let mut forward = Vec::new();
    let mut token = None;
    loop {
        let ask = get().start_from_head(true).set_next_token(token.clone());
        let page = ask.send().await.unwrap();
        forward.extend(
            page.events()
                .iter()
                .map(|it| it.message().unwrap().to_owned()),
        );
        let next = page.next_forward_token().map(str::to_owned);
        if next == token {
            assert!(page.events().is_empty());
            break;
        }
        token = next;
    }
    assert_eq!(forward, numbers);
    // The newest page comes first; backwards from there.
    let mut backward = Vec::new();
    let mut back = None;
    loop {
        let page = get().set_next_token(back.clone()).send().await.unwrap();
        let page_events = page
            .events()
            .iter()
            .map(|it| it.message().unwrap().to_owned());
        backward.splice(0..0, page_events);
        let next = page.next_backward_token().map(str::to_owned);
        if next == back {
            break;
        }
        back = next;
    }
    assert_eq!(backward, numbers);
    // What comes later continues from the token that stood at the end.
    wire.put("a", vec![event(now(), "later")]).await;
    let later = get().set_next_token(token.clone()).send().await.unwrap();
    assert_eq!(later.events()[0].message(), Some("later"));
    // From the end, the other direction turns round.
    let end = get()
        .set_next_token(later.next_forward_token)
        .send()
        .await
        .unwrap();
    let turned = get().limit(2).set_next_token(end.next_backward_token);
    let turned = turned.send().await.unwrap();
    let texts: Vec<_> = turned
        .events()
        .iter()
        .filter_map(|it| it.message())
        .collect();
    assert_eq!(texts, ["line 24", "later"]);
    // Start is part of the range, end is not.
    let range = get()
        .start_time(start + 3)
        .end_time(start + 5)
        .start_from_head(true);
    let texts: Vec<_> = range.send().await.unwrap().events.unwrap();
    let texts: Vec<_> = texts.iter().filter_map(|it| it.message()).collect();
    assert_eq!(texts, ["line 3", "line 4"]);
    let other = get().log_stream_name("b").set_next_token(token);
    wire.put("b", vec![event(start, "other")]).await;
    let refused = other.send().await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterException"));
    assert_eq!(
        refused.message(),
        Some("The specified nextToken is invalid.")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn filtering_interleaves_streams_and_pages_by_token() {
    let start = now() - 10_000;
    let of = |offset: i64, word: &str| -> Vec<InputLogEvent> {
        (0..30)
            .map(|number| event(start + 2 * number + offset, &format!("{word} {number:02}")))
            .collect()
    };
    let wire = Wire::with(of(0, "even")).await;
    wire.put("b", of(1, "odd")).await;
    let all = wire.filter(GROUP, "").await;
    let expected: Vec<String> = (0..30)
        .flat_map(|number| [format!("even {number:02}"), format!("odd {number:02}")])
        .collect();
    assert_eq!(messages(&all), expected);
    let ids: BTreeSet<_> = all.iter().filter_map(|event| event.event_id()).collect();
    assert_eq!(ids.len(), 60);
    assert_eq!(
        messages(&wire.filter(GROUP, "?\"even 07\" ?\"odd 03\"").await),
        ["odd 03", "even 07"]
    );

    let ask = || {
        wire.logs
            .filter_log_events()
            .log_group_identifier(arn(GROUP))
    };
    let narrow = ask()
        .log_stream_names("b")
        .start_time(start + 3)
        .end_time(start + 7);
    let page = narrow.send().await.unwrap();
    assert_eq!(messages(page.events()), ["odd 01", "odd 02", "odd 03"]);
    assert_eq!(page.next_token(), None);
    let page = ask()
        .log_stream_name_prefix("a")
        .limit(7)
        .send()
        .await
        .unwrap();
    assert_eq!(page.events().len(), 7);
    // A token continues its own question only.
    let token = page.next_token().unwrap();
    let next = ask().log_stream_name_prefix("a").limit(7).next_token(token);
    assert_eq!(messages(next.send().await.unwrap().events())[0], "even 07");
    let other = ask().log_stream_name_prefix("b").limit(7).next_token(token);
    assert_eq!(
        other.send().await.unwrap_err().code(),
        Some("InvalidParameterException")
    );
    wire.engine
        .runner()
        .clock()
        .advance(std::time::Duration::from_hours(25));
    let late = ask().log_stream_name_prefix("a").limit(7).next_token(token);
    assert_eq!(
        late.send().await.unwrap_err().message(),
        Some("The specified nextToken is invalid.")
    );
    let both = ask().log_stream_names("a").log_stream_name_prefix("a");
    assert_eq!(
        both.send().await.unwrap_err().code(),
        Some("InvalidParameterException")
    );
    let bad = ask().filter_pattern("{ $.a = ");
    assert_eq!(
        bad.send().await.unwrap_err().code(),
        Some("InvalidParameterException")
    );
    let missing = ask().log_stream_names("c").send().await.unwrap_err();
    assert_eq!(missing.code(), Some("ResourceNotFoundException"));
    assert_eq!(
        missing.message(),
        Some("The specified log stream does not exist.")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rare_word_may_take_empty_pages_to_find() {
    let wire = wire().await;
    let start = now() - 100_000;
    // More than one page looks through.
    let line = "x".repeat(64 << 10);
    for number in 0..400 {
        wire.engine.logs().room().await;
        let event = fanout::engine::logs::Event {
            timestamp: start + number,
            message: format!("{line} {number}"),
        };
        wire.engine.logs().append("g", "s", vec![event]);
    }
    wire.engine.logs().flush().await.unwrap();
    let mut token = None;
    let (mut found, mut pages) = (0, 0);
    loop {
        let ask = wire
            .logs
            .filter_log_events()
            .log_group_name("g")
            .filter_pattern("399");
        let page = ask.set_next_token(token).send().await.unwrap();
        found += page.events().len();
        pages += 1;
        token = page.next_token;
        if token.is_none() {
            break;
        }
        assert!(found == 0, "the word is in the last event");
    }
    assert!((2..10).contains(&pages), "{pages}");
    assert_eq!(found, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_follow_the_rules_of_put_log_events() {
    let wire = Wire::with(vec![event(now(), "first")]).await;
    let put = |events: Vec<InputLogEvent>| {
        let put = wire.logs.put_log_events().log_group_name(GROUP);
        let put = put.log_stream_name("a").sequence_token("whatever");
        put.set_log_events(Some(events)).send()
    };
    let (hour, day) = (3_600_000, 24 * 3_600_000);
    for (events, problem) in [
        (
            vec![event(now(), "b"), event(now() - 5_000, "a")],
            "Log events in a single PutLogEvents request must be in chronological order.",
        ),
        (
            vec![event(now() - day - 60_000, "a"), event(now(), "b")],
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ),
        (
            vec![event(now(), &"x".repeat(1 << 20))],
            "Log event too large: 1048602 bytes exceeds limit of 1048576",
        ),
        (
            vec![
                event(now(), &"x".repeat(600_000)),
                event(now(), &"x".repeat(600_000)),
            ],
            "Upload too large: 1200052 bytes exceeds limit of 1048576",
        ),
    ] {
        let refused = put(events).await.unwrap_err();
        assert_eq!(refused.code(), Some("InvalidParameterException"));
        assert_eq!(refused.message(), Some(problem));
    }
    let mixed = vec![event(now() + hour, "soon"), event(now() + 3 * hour, "far")];
    let rejected = put(mixed).await.unwrap().rejected_log_events_info.unwrap();
    assert_eq!(rejected.too_new_log_event_start_index(), Some(1));
    assert_eq!(rejected.too_old_log_event_end_index(), None);
    let old = vec![
        event(now() - 14 * day - hour, "old"),
        event(now() - 14 * day + 60_000, "young"),
    ];
    let rejected = put(old).await.unwrap().rejected_log_events_info.unwrap();
    assert_eq!(rejected.too_old_log_event_end_index(), Some(1));
    let retain = wire.logs.put_retention_policy().log_group_name(GROUP);
    retain.retention_in_days(3).send().await.unwrap();
    let expired = vec![event(now() - 4 * day, "expired")];
    let rejected = put(expired)
        .await
        .unwrap()
        .rejected_log_events_info
        .unwrap();
    assert_eq!(rejected.expired_log_event_end_index(), Some(1));
    // What has expired is gone; what is too new was not taken.
    assert_eq!(messages(&wire.filter(GROUP, "").await), ["first", "soon"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_streams_are_listed_described_and_deleted() {
    let wire = Wire::with(vec![event(now() - 1_000, "old")]).await;
    for name in ["other", "/app/db"] {
        let create = wire.logs.create_log_group().log_group_name(name);
        create.tags("team", name).send().await.unwrap();
    }
    let again = wire
        .logs
        .create_log_group()
        .log_group_name(GROUP)
        .send()
        .await;
    assert_eq!(
        again.unwrap_err().code(),
        Some("ResourceAlreadyExistsException")
    );
    let bad = wire
        .logs
        .create_log_group()
        .log_group_name("a b")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        bad.message(),
        Some(
            "1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
        )
    );
    let mut names = Vec::new();
    let pages = wire.logs.describe_log_groups().limit(1);
    let mut pages = pages.into_paginator().send();
    while let Some(page) = pages.next().await {
        let groups = page.unwrap().log_groups.unwrap_or_default();
        names.extend(groups.into_iter().filter_map(|group| group.log_group_name));
    }
    assert_eq!(names, ["/app/db", GROUP, "other"]);
    let retain = wire.logs.put_retention_policy().log_group_name(GROUP);
    assert_eq!(
        retain
            .clone()
            .retention_in_days(2)
            .send()
            .await
            .unwrap_err()
            .code(),
        Some("InvalidParameterException")
    );
    retain.retention_in_days(14).send().await.unwrap();
    let groups = wire
        .logs
        .describe_log_groups()
        .log_group_name_pattern("WEB");
    let groups = groups.send().await.unwrap();
    let [group] = groups.log_groups() else {
        panic!("one group has web in its name")
    };
    assert_eq!(group.retention_in_days(), Some(14));
    assert_eq!(group.arn(), Some(format!("{}:*", arn(GROUP)).as_str()));
    assert_eq!(group.log_group_arn(), Some(arn(GROUP).as_str()));
    assert!(group.stored_bytes().unwrap() > 0);
    let forget = wire.logs.delete_retention_policy().log_group_name(GROUP);
    forget.send().await.unwrap();

    let tag = wire.logs.tag_resource().resource_arn(arn("other"));
    tag.tags("owner", "me").send().await.unwrap();
    let untag = wire.logs.untag_resource().resource_arn(arn("other"));
    untag.tag_keys("team").send().await.unwrap();
    let tags = wire
        .logs
        .list_tags_for_resource()
        .resource_arn(arn("other"));
    let tags = tags.send().await.unwrap().tags.unwrap();
    assert_eq!(tags, [("owner".to_owned(), "me".to_owned())].into());

    wire.put("b", vec![event(now(), "new")]).await;
    let streams = || wire.logs.describe_log_streams().log_group_name(GROUP);
    let newest = streams()
        .order_by(OrderBy::LastEventTime)
        .descending(true)
        .limit(1);
    let newest = newest.send().await.unwrap();
    assert_eq!(newest.log_streams()[0].log_stream_name(), Some("b"));
    let older = streams()
        .order_by(OrderBy::LastEventTime)
        .descending(true)
        .limit(1)
        .set_next_token(newest.next_token);
    let older = older.send().await.unwrap();
    assert_eq!(older.log_streams()[0].log_stream_name(), Some("a"));
    assert_eq!(older.next_token(), None);
    assert!(older.log_streams()[0].last_event_timestamp().is_some());
    let both = streams()
        .order_by(OrderBy::LastEventTime)
        .log_stream_name_prefix("a");
    assert_eq!(
        both.send().await.unwrap_err().message(),
        Some("Cannot order by LastEventTime with a logStreamNamePrefix.")
    );
    let delete = wire.logs.delete_log_stream().log_group_name(GROUP);
    delete.log_stream_name("a").send().await.unwrap();
    assert_eq!(messages(&wire.filter(GROUP, "").await), ["new"]);
    let delete = wire.logs.delete_log_group().log_group_name(GROUP);
    delete.clone().send().await.unwrap();
    let gone = delete.send().await.unwrap_err();
    assert_eq!(gone.code(), Some("ResourceNotFoundException"));
    assert_eq!(
        gone.message(),
        Some("The specified log group does not exist.")
    );
    let query = wire.logs.start_query().log_group_name("other");
    let refused = query
        .start_time(0)
        .end_time(1)
        .query_string("fields @message")
        .send()
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Some("UnknownOperationException"));
    assert!(refused.message().unwrap().contains("StartQuery"));
}

#[tokio::test(flavor = "multi_thread")]
async fn live_tail_sends_what_comes_in_through_the_real_sdk() {
    let wire = Wire::with(vec![event(now(), "before")]).await;
    let tail = wire
        .logs
        .start_live_tail()
        .log_group_identifiers(arn(GROUP));
    let tail = tail
        .log_stream_name_prefixes("b")
        .log_event_filter_pattern("yes");
    let mut answer = tail.send().await.unwrap();
    let Some(StartLiveTailResponseStream::SessionStart(start)) =
        answer.response_stream.recv().await.unwrap()
    else {
        panic!("a session begins with its start")
    };
    assert_eq!(start.log_group_identifiers(), [arn(GROUP)]);
    assert_eq!(start.log_event_filter_pattern(), Some("yes"));
    wire.put("a", vec![event(now(), "yes, elsewhere")]).await;
    wire.put("b", vec![event(now(), "no"), event(now(), "yes")])
        .await;
    let many: Vec<_> = (0..900).map(|_| event(now(), "yes again")).collect();
    wire.put("b2", many).await;
    // Updates may be empty; those of a second may come in two.
    let (mut seen, mut sampled) = (0, false);
    while seen < 501 && !sampled {
        let Some(StartLiveTailResponseStream::SessionUpdate(update)) =
            answer.response_stream.recv().await.unwrap()
        else {
            panic!("after the start there are updates")
        };
        let results = update.session_results();
        assert!(results.len() <= 500);
        assert!(
            results
                .iter()
                .all(|it| it.message().unwrap().starts_with("yes"))
        );
        assert!(
            results
                .iter()
                .all(|it| it.log_stream_name().unwrap().starts_with('b'))
        );
        seen += results.len();
        sampled |= update.session_metadata().unwrap().sampled();
    }
    assert!(sampled || seen == 901, "{seen}");

    let refused = |ask: aws_sdk_cloudwatchlogs::operation::start_live_tail::builders::StartLiveTailFluentBuilder| async move {
        ask.send().await.map(|_| ()).unwrap_err().code().map(str::to_owned)
    };
    let ask = || wire.logs.start_live_tail();
    let missing = ask().log_group_identifiers(arn("missing"));
    assert_eq!(
        refused(missing).await.as_deref(),
        Some("ResourceNotFoundException")
    );
    for bad in [
        ask().log_group_identifiers(GROUP),
        ask().log_group_identifiers(format!("{}:*", arn(GROUP))),
        ask()
            .log_group_identifiers(arn(GROUP))
            .log_stream_names("a")
            .log_stream_name_prefixes("b"),
        ask()
            .log_group_identifiers(arn(GROUP))
            .log_event_filter_pattern("{"),
        ask().set_log_group_identifiers(Some(vec![arn(GROUP); 11])),
    ] {
        assert_eq!(
            refused(bad).await.as_deref(),
            Some("InvalidParameterException")
        );
    }
}

fn plain() -> Value {
    json!({"StartAt": "Work", "States": {
        "Work": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "work", "Payload.$": "$"}, "Next": "Rest"},
        "Rest": {"Type": "Pass", "End": true}}})
}

fn mapped(kind: &str) -> Value {
    json!({"StartAt": "Map", "States": {"Map": {"Type": "Map", "Label": "Each", "End": true, "ToleratedFailurePercentage": 100,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind}, "StartAt": "Work",
            "States": {"Work": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:work", "End": true}}}}}})
}

/// The lines of each execution, oldest first.
fn by_execution(events: &[FilteredLogEvent]) -> BTreeMap<String, Vec<Value>> {
    let mut lines: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for event in events {
        let line: Value = match serde_json::from_str(event.message().unwrap()) {
            Ok(line) => line,
            // What AWS writes to see whether it may.
            Err(_) => continue,
        };
        let arn = line["execution_arn"].as_str().unwrap().to_owned();
        assert_eq!(
            line["event_timestamp"],
            event.timestamp().unwrap().to_string(),
            "the event's time is the line's"
        );
        lines.entry(arn).or_default().push(line);
    }
    lines
}

fn types(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .filter_map(|line| line["type"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_logs_its_history_by_level() {
    let wire = Wire::with(vec![event(now(), "before")]).await;
    let none = LoggingConfiguration::builder().level(LogLevel::All).build();
    let refused = wire.machine("none", &plain(), none).await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidLoggingConfiguration"));
    let missing = logging(LogLevel::All, "missing", true);
    let refused = wire
        .machine("missing", &plain(), missing)
        .await
        .unwrap_err();
    assert_eq!(
        refused.message(),
        Some("Invalid Logging Configuration: Log Destination not found.")
    );

    let all = logging(LogLevel::All, GROUP, true);
    let machine = wire.machine("all", &plain(), all.clone()).await.unwrap();
    let described = wire
        .sfn
        .describe_state_machine()
        .state_machine_arn(&machine);
    let described = described.send().await.unwrap();
    assert_eq!(described.logging_configuration(), Some(&all));
    let (execution, status) = wire.start(&machine, "e", &json!({"n": 2})).await;
    assert_eq!(status, ExecutionStatus::Succeeded);
    let used = wire
        .sfn
        .describe_state_machine_for_execution()
        .execution_arn(&execution);
    assert_eq!(
        used.send().await.unwrap().logging_configuration(),
        Some(&all)
    );

    let events = wire.filter(GROUP, "{ $.execution_arn EXISTS }").await;
    let lines = &by_execution(&events)[&execution];
    let history = wire.sfn.get_execution_history().execution_arn(&execution);
    let history = history.send().await.unwrap().events;
    let told: Vec<_> = history.iter().map(|it| it.r#type().as_str()).collect();
    assert_eq!(types(lines), told);
    for (line, event) in lines.iter().zip(&history) {
        assert_eq!(line["id"], event.id().to_string());
        assert_eq!(
            line["previous_event_id"],
            event.previous_event_id().to_string()
        );
        assert_eq!(line["redrive_count"], "0");
    }
    assert_eq!(lines[0]["details"]["input"], "{\"n\":2}");
    assert_eq!(lines[0]["details"]["inputDetails"]["truncated"], "false");
    assert!(events.iter().all(|event| {
        let name = event.log_stream_name().unwrap();
        name.starts_with("states/all/20") && name.ends_with("/00000000")
    }));

    // Only failures, and nothing of what was worked on.
    let errors = logging(LogLevel::Error, GROUP, false);
    let update = wire.sfn.update_state_machine().state_machine_arn(&machine);
    update.logging_configuration(errors).send().await.unwrap();
    let (good, _) = wire.start(&machine, "good", &json!({"n": 4})).await;
    let (bad, status) = wire.start(&machine, "bad", &json!({"n": 5})).await;
    assert_eq!(status, ExecutionStatus::Failed);
    let lines = by_execution(&wire.filter(GROUP, "").await);
    assert!(!lines.contains_key(&good));
    assert_eq!(types(&lines[&bad]), ["TaskFailed", "ExecutionFailed"]);
    assert_eq!(lines[&bad][1]["details"]["error"], "Odd");

    let fatal = logging(LogLevel::Fatal, GROUP, true);
    let fatal = wire.machine("fatal", &plain(), fatal).await.unwrap();
    let (bad, _) = wire.start(&fatal, "bad", &json!({"n": 5})).await;
    let lines = by_execution(&wire.filter(GROUP, "").await);
    assert_eq!(types(&lines[&bad]), ["ExecutionFailed"]);

    let off = logging(LogLevel::Off, GROUP, true);
    let off = wire.machine("off", &plain(), off).await.unwrap();
    let (silent, _) = wire.start(&off, "silent", &json!({"n": 5})).await;
    assert!(!by_execution(&wire.filter(GROUP, "").await).contains_key(&silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_a_map_run_log_into_their_parents_group_under_their_own_names() {
    for kind in ["STANDARD", "EXPRESS"] {
        let wire = Wire::with(vec![event(now(), "before")]).await;
        let all = logging(LogLevel::All, GROUP, true);
        let machine = wire.machine("m", &mapped(kind), all).await.unwrap();
        let items: Vec<Value> = (0..40).map(|n| json!({"n": n})).collect();
        let (parent, status) = wire.start(&machine, "e", &json!(items)).await;
        assert_eq!(status, ExecutionStatus::Succeeded);
        let lines = by_execution(&wire.filter(GROUP, "").await);
        assert_eq!(lines.len(), 41, "{kind}: the parent and its children");
        assert!(types(&lines[&parent]).contains(&"MapRunStarted"));
        let runs = wire
            .sfn
            .list_map_runs()
            .execution_arn(&parent)
            .send()
            .await
            .unwrap();
        let list = wire
            .sfn
            .list_executions()
            .map_run_arn(runs.map_runs()[0].map_run_arn());
        for child in list.send().await.unwrap().executions() {
            let lines = &lines[child.execution_arn()];
            assert_eq!(types(lines)[0], "ExecutionStarted");
            let last = match child.status() {
                ExecutionStatus::Succeeded => "ExecutionSucceeded",
                _ => "ExecutionFailed",
            };
            assert_eq!(types(lines).last(), Some(&last));
            let ids: Vec<String> = lines
                .iter()
                .map(|it| it["id"].as_str().unwrap().to_owned())
                .collect();
            let expected: Vec<String> = (1..=lines.len()).map(|id| id.to_string()).collect();
            assert_eq!(ids, expected);
        }
        // The way to all errors of a run.
        let pattern = r#"{ $.type = "ExecutionFailed" && $.execution_arn = "*:m/Each*" }"#;
        let failed = by_execution(&wire.filter(GROUP, pattern).await);
        assert_eq!(failed.len(), 20);
        assert!(
            failed
                .values()
                .all(|lines| lines[0]["details"]["error"] == "Odd")
        );
    }
}
