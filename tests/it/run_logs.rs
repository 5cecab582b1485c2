//! A run's log lines as an operator gets them: found, followed, and narrowed to one failure.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sfn::types::{
    CloudWatchLogsLogGroup, ExecutionStatus, LogDestination, LogLevel, LoggingConfiguration,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use fanout::client::Client;
use fanout::model::ExecutionArn;
use fanout::operations::logs::{self, Focus, Line, Method, Origin, Phase, Query, Sources, Update};
use fanout::operations::{self, failures, runs};

use crate::wired::{House, ROLE, Run};

const GROUP: &str = "/aws/vendedlogs/states/lines";
const PATIENCE: Duration = Duration::from_mins(1);

/// A map over `items`, each a call of `work`.
fn mapped() -> Value {
    json!({"StartAt": "Map", "States": {"Map": {
        "Type": "Map", "Label": "Each", "End": true, "ToleratedFailurePercentage": 100,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
            "StartAt": "Work",
            "States": {"Work": {"Type": "Task", "End": true,
                "Resource": "arn:aws:lambda:us-east-1:000000000000:function:work"}}}}}})
}

/// Starts a run of a machine; one that logs, where a level is given.
async fn start(house: &House, level: Option<LogLevel>, items: &[u32]) -> Run {
    let name = format!("m-{}", uuid::Uuid::new_v4().simple());
    let create = house.sfn.create_state_machine().name(name).role_arn(ROLE);
    let create = create.definition(mapped().to_string());
    let create = match level {
        None => create,
        Some(level) => {
            let group = house.logs.create_log_group().log_group_name(GROUP);
            group.send().await.unwrap();
            let arn = format!("arn:aws:logs:us-east-1:000000000000:log-group:{GROUP}:*");
            let group = CloudWatchLogsLogGroup::builder().log_group_arn(arn).build();
            let destination = LogDestination::builder()
                .cloud_watch_logs_log_group(group)
                .build();
            create.logging_configuration(
                LoggingConfiguration::builder()
                    .level(level)
                    .destinations(destination)
                    .build(),
            )
        }
    };
    let machine = create.send().await.unwrap().state_machine_arn;
    let items: Vec<Value> = items.iter().map(|n| json!({ "n": n })).collect();
    house.start_machine(&machine, json!(items)).await
}

fn query(run: &Run) -> Query {
    Query {
        run: ExecutionArn::new(&run.arn),
        focus: None,
        pattern: String::new(),
        follow: false,
    }
}

/// What following a query tells.
#[derive(Default)]
struct Told {
    sources: Option<Sources>,
    lines: Vec<Line>,
    phases: Vec<Phase>,
}

impl Told {
    fn take(&mut self, update: Result<Update, operations::Error>) {
        match update.unwrap() {
            Update::Sources(sources) => self.sources = Some(sources),
            Update::Lines(lines) => self.lines.extend(lines),
            Update::Phase(phase) => self.phases.push(phase),
            Update::Sampled(_) => {}
        }
    }

    fn messages(&self) -> Vec<&str> {
        self.lines
            .iter()
            .map(|line| line.message.as_str())
            .collect()
    }
}

/// Follows until there is no more, or `enough`.
async fn follow(client: &Client, query: Query, enough: impl Fn(&Told) -> bool) -> Told {
    let (updates, mut inbox) = mpsc::channel(8);
    let following = tokio::spawn(logs::follow(client.clone(), query, updates));
    let mut told = Told::default();
    let listening = async {
        while let Some(update) = inbox.recv().await {
            told.take(update);
            if enough(&told) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, listening).await.unwrap();
    following.abort();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_leads_to_the_lines_of_its_call() {
    let house = House::new().await;
    house.fail([2, 3]);
    let run = start(&house, None, &[1, 2, 3]).await;
    run.ends(ExecutionStatus::Succeeded).await;
    let client = house.client().await;
    let described = runs::describe(&client, &ExecutionArn::new(&run.arn)).await;
    let described = described.unwrap();
    let failed = failures::of(&client, described.map_run().unwrap(), 10).await;
    let failed = failed.unwrap().items;
    assert_eq!(failed.len(), 2);
    for failure in &failed {
        let focus = Focus::on(failure);
        let request = focus.request.clone().expect("Lambda's cause has it");
        let asked = Query {
            focus: Some(focus),
            ..query(&run)
        };
        let told = follow(&client, asked, |_| false).await;
        assert_eq!(
            told.phases,
            [Phase::Found(Method::Request(request.clone()))]
        );
        let messages = told.messages();
        assert!(
            messages[0].starts_with(&format!("START RequestId: {request}")),
            "{messages:?}"
        );
        // The line between does not name the request, and is of no other call.
        let said = failures::message(failure.cause.as_deref().unwrap());
        assert_eq!(messages[1], format!("[ERROR] Bad: {said}"));
        assert!(messages.last().unwrap().starts_with("REPORT RequestId: "));
        assert!(messages.iter().filter(|it| it.contains("START")).count() == 1);
        assert!(
            told.lines
                .iter()
                .all(|it| it.state.as_deref() == Some("Work"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_is_followed_and_each_line_comes_once() {
    let house = House::new().await;
    house.fail([1, 2]);
    house.hold([2]);
    let run = start(&house, None, &[1, 2]).await;
    let client = house.client().await;
    crate::wired::until(
        "the first failure",
        || async { client.has_log_group("/aws/lambda/work").await.unwrap() },
        |there| *there,
    )
    .await;
    let asked = Query {
        follow: true,
        ..query(&run)
    };
    let is_live = |told: &Told| {
        let live = told
            .phases
            .iter()
            .any(|it| matches!(it, Phase::Live { .. }));
        if live {
            house.release();
        }
        live && told.lines.iter().any(|it| it.message.contains("2 is bad"))
    };
    let told = follow(&client, asked, is_live).await;
    let messages = told.messages();
    for failed in ["[ERROR] Bad: 1 is bad", "[ERROR] Bad: 2 is bad"] {
        let times = messages.iter().filter(|it| **it == failed).count();
        assert_eq!(times, 1, "{failed} in {messages:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_s_own_group_holds_lines_of_this_run_and_its_children_only() {
    let house = House::new().await;
    house.fail([2]);
    let run = start(&house, Some(LogLevel::All), &[1, 2]).await;
    run.ends(ExecutionStatus::Succeeded).await;
    let machine = run.describe().await.state_machine_arn;
    let other = house.start_machine(&machine, json!([])).await;
    other.ended().await;
    let client = house.client().await;
    let told = follow(&client, query(&run), |_| false).await;
    let sources = told.sources.as_ref().unwrap();
    let origins: Vec<&Origin> = sources.groups.iter().map(|it| &it.origin).collect();
    assert!(matches!(
        origins[..],
        [Origin::Machine, Origin::Function { .. }]
    ));
    assert!(sources.missing.is_empty(), "{:?}", sources.missing);
    let executions: BTreeSet<&str> = told
        .lines
        .iter()
        .filter_map(|line| line.execution.as_deref())
        .collect();
    assert!(executions.contains(run.arn.as_str()));
    assert!(!executions.contains(other.arn.as_str()), "{executions:?}");
    assert_eq!(executions.len(), 3, "the run and two children");
    assert!(matches!(told.phases.last(), Some(Phase::Done { .. })));

    let narrowed = Query {
        pattern: "{ $.type = \"ExecutionFailed\" }".to_owned(),
        ..query(&run)
    };
    let told = follow(&client, narrowed, |_| false).await;
    let executions: BTreeSet<&str> = told
        .lines
        .iter()
        .filter_map(|line| line.execution.as_deref())
        .collect();
    assert_eq!(executions.len(), 1);
    let child = ExecutionArn::new(*executions.first().unwrap());
    // By the child's ARN alone, as the verb has it.
    let of_child = Query::of(&client, &child).await.unwrap();
    assert_eq!(of_child.run.as_str(), run.arn);
    let told = follow(&client, of_child, |_| false).await;
    assert!(matches!(
        told.phases[..],
        [Phase::Found(Method::Request(_))]
    ));
    let has = |text: &str| told.lines.iter().any(|it| it.message.contains(text));
    assert!(has("[ERROR] Bad: 2 is bad") && has("\"ExecutionFailed\""));
}
