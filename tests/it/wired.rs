//! An engine in this process, asked over its socket by the AWS SDKs, with one function, `work`,
//! that a test steers: which items fail, and which wait until they are let go.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sfn::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::operation::describe_map_run::DescribeMapRunOutput;
use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus, HistoryEvent, MapRunStatus};
use futures::FutureExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use fanout::client::{Client, NoHostPrefix, Options, Target};
use fanout::engine::{Engine, FunctionError, REGION};

pub const ROLE: &str = "arn:aws:iam::000000000000:role/engineer";

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the function `work` does. An event's key is its `n`, or the whole event.
#[derive(Default)]
struct Work {
    failing: Mutex<BTreeSet<String>>,
    held: Mutex<BTreeSet<String>>,
    /// Grows whenever something is let go.
    released: watch::Sender<u64>,
    calls: Mutex<Vec<Value>>,
}

fn key(event: &Value) -> String {
    event.get("n").unwrap_or(event).to_string()
}

impl Work {
    async fn call(&self, event: Value) -> Result<Value, FunctionError> {
        let key = key(&event);
        let mut released = self.released.subscribe();
        self.calls.lock().unwrap().push(event.clone());
        while self.held.lock().unwrap().contains(&key) {
            released.changed().await.unwrap();
        }
        if self.failing.lock().unwrap().contains(&key) {
            return Err(FunctionError {
                error_type: "Bad".into(),
                message: format!("{key} is bad"),
            });
        }
        Ok(event)
    }
}

/// Opens the engine in a folder as soon as it is free: tasks of the engine before this one may
/// still be on their way out.
pub async fn open_engine(folder: &Path) -> Engine {
    loop {
        match Engine::open(folder).await {
            Ok(engine) => return engine,
            Err(error) if error.to_string().contains("in use by another process") => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// An engine's socket, and what the AWS SDKs need to ask it.
pub struct Served {
    pub url: String,
    pub config: SdkConfig,
    /// Closes the socket.
    pub shutdown: DropGuard,
}

pub async fn serve(engine: &Engine) -> Served {
    let shutdown = CancellationToken::new();
    let address = engine.serve(0, shutdown.clone()).await.unwrap();
    let keys = engine.credentials().clone();
    let credentials = Credentials::new(keys.access_key, keys.secret_key, None, None, "test");
    let url = format!("http://{address}");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(&url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    Served {
        url,
        config,
        shutdown: shutdown.drop_guard(),
    }
}

impl Served {
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Asks for what streams, too, at the address as it is.
    pub fn logs(&self) -> aws_sdk_cloudwatchlogs::Client {
        let straight = NoHostPrefix::of(&self.config).unwrap();
        let config = aws_sdk_cloudwatchlogs::config::Builder::from(&self.config);
        aws_sdk_cloudwatchlogs::Client::from_conf(config.interceptor(straight).build())
    }
}

/// The program's own client of an engine, without a budget.
pub async fn client_of(engine: &Engine, url: &str, read_only: bool) -> Client {
    let keys = engine.credentials().clone();
    let target = Target::Endpoint {
        url: url.to_owned(),
        region: REGION.to_owned(),
        access_key: keys.access_key,
        secret_key: keys.secret_key,
    };
    let options = Options {
        read_only,
        budget_share: 1.0,
        trail: None,
        shared_in: None,
    };
    Client::connect(target, options).await.unwrap()
}

pub struct House {
    pub engine: Engine,
    pub sfn: aws_sdk_sfn::Client,
    pub s3: aws_sdk_s3::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
    pub url: String,
    work: Arc<Work>,
    folder: tempfile::TempDir,
    shutdown: DropGuard,
}

impl House {
    /// With a bucket `data`.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let house = Self::open(folder, Arc::default()).await;
        house
            .s3
            .create_bucket()
            .bucket("data")
            .send()
            .await
            .unwrap();
        house
    }

    async fn open(folder: tempfile::TempDir, work: Arc<Work>) -> Self {
        let engine = open_engine(folder.path()).await;
        let working = Arc::clone(&work);
        engine.functions().register("work", move |event| {
            let work = Arc::clone(&working);
            async move { work.call(event).await }.boxed()
        });
        let served = serve(&engine).await;
        Self {
            sfn: aws_sdk_sfn::Client::new(&served.config),
            s3: served.s3(),
            logs: served.logs(),
            url: served.url,
            shutdown: served.shutdown,
            engine,
            work,
            folder,
        }
    }

    /// The program's own client.
    pub async fn client(&self) -> Client {
        client_of(&self.engine, &self.url, false).await
    }

    /// As a kill does, but in one process: stops without finishing anything, then opens again.
    pub async fn reopen(self) -> Self {
        let Self {
            engine,
            work,
            folder,
            shutdown,
            ..
        } = self;
        drop(shutdown);
        engine.stop().await;
        drop(engine);
        Self::open(folder, work).await
    }

    /// From now on these items fail, with the error `Bad`; no others do.
    pub fn fail<T: Into<Value>>(&self, keys: impl IntoIterator<Item = T>) {
        let keys = keys.into_iter().map(|key| key.into().to_string());
        *self.work.failing.lock().unwrap() = keys.collect();
    }

    /// From now on these items wait, and no others do.
    pub fn hold<T: Into<Value>>(&self, keys: impl IntoIterator<Item = T>) {
        let keys = keys.into_iter().map(|key| key.into().to_string());
        *self.work.held.lock().unwrap() = keys.collect();
        self.work.released.send_modify(|count| *count += 1);
    }

    pub fn release(&self) {
        self.hold(Vec::<Value>::new());
    }

    /// What `work` was called with so far.
    pub fn calls(&self) -> Vec<Value> {
        self.work.calls.lock().unwrap().clone()
    }

    /// How often `work` was called for this item.
    pub fn calls_of(&self, item: impl Into<Value>) -> usize {
        let wanted = item.into().to_string();
        let calls = self.work.calls.lock().unwrap();
        calls.iter().filter(|call| key(call) == wanted).count()
    }

    pub fn advance(&self, days: u32) {
        self.advance_seconds(u64::from(days) * 86_400);
    }

    pub async fn create(&self, name: &str, definition: &Value) -> String {
        let created = self.sfn.create_state_machine();
        let created = created.name(name).role_arn(ROLE);
        let created = created.definition(definition.to_string()).send().await;
        created.unwrap().state_machine_arn().to_owned()
    }

    /// Starts an execution of a state machine of its own.
    pub async fn start(&self, definition: &Value, input: Value) -> Run {
        let name = format!("m-{}", uuid::Uuid::new_v4().simple());
        let machine = self.create(&name, definition).await;
        self.start_machine(&machine, input).await
    }

    pub async fn start_machine(&self, machine: &str, input: Value) -> Run {
        let start = self.sfn.start_execution().state_machine_arn(machine);
        let started = start.input(input.to_string()).send().await.unwrap();
        self.run(started.execution_arn())
    }

    /// An execution that is there.
    pub fn run(&self, arn: &str) -> Run {
        Run {
            sfn: self.sfn.clone(),
            arn: arn.to_owned(),
        }
    }

    pub async fn put(&self, key: &str, body: impl ToString) {
        let body = body.to_string().into_bytes().into();
        let put = self.s3.put_object().bucket("data").key(key).body(body);
        put.send().await.unwrap();
    }

    /// An object of JSON.
    pub async fn get(&self, key: &str) -> Value {
        let get = self.s3.get_object().bucket("data").key(key);
        let body = get.send().await.unwrap().body.collect().await.unwrap();
        serde_json::from_slice(&body.into_bytes()).unwrap()
    }

    /// Moves the engine's clock by so many seconds.
    pub fn advance_seconds(&self, seconds: u64) {
        self.engine
            .runner()
            .clock()
            .advance(Duration::from_secs(seconds));
    }
}

/// Asks again until `holds` of the answer.
pub async fn until<T, F: Future<Output = T>>(
    what: &str,
    ask: impl Fn() -> F,
    holds: impl Fn(&T) -> bool,
) -> T {
    let asking = async {
        loop {
            let answer = ask().await;
            if holds(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// An error answer: code, message.
#[track_caller]
pub fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: Result<T, SdkError<E>>,
) -> (String, String) {
    let error = result.expect_err("it must be refused");
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (text(error.code()), text(error.message()))
}

/// An execution, a Map Run's child too.
#[derive(Clone)]
pub struct Run {
    pub sfn: aws_sdk_sfn::Client,
    pub arn: String,
}

impl Run {
    pub async fn describe(&self) -> DescribeExecutionOutput {
        let describe = self.sfn.describe_execution().execution_arn(&self.arn);
        describe.send().await.unwrap()
    }

    pub async fn ended(&self) -> DescribeExecutionOutput {
        until(
            "the execution ends",
            || self.describe(),
            |described| {
                let status = described.status();
                !matches!(
                    status,
                    ExecutionStatus::Running | ExecutionStatus::PendingRedrive
                )
            },
        )
        .await
    }

    /// Waits for the end and checks what it is.
    pub async fn ends(&self, status: ExecutionStatus) -> DescribeExecutionOutput {
        let ended = self.ended().await;
        assert_eq!(*ended.status(), status, "{ended:?}");
        ended
    }

    pub async fn events(&self) -> Vec<HistoryEvent> {
        let history = self.sfn.get_execution_history().execution_arn(&self.arn);
        let pages = history.max_results(1_000).into_paginator().items().send();
        pages.collect::<Result<Vec<_>, _>>().await.unwrap()
    }

    /// `TaskScheduled 3<-2` and so on.
    pub async fn history(&self) -> Vec<String> {
        let events = self.events().await;
        let show = |event: &HistoryEvent| {
            let (kind, id) = (event.r#type().as_str(), event.id());
            format!("{kind} {id}<-{}", event.previous_event_id())
        };
        events.iter().map(show).collect()
    }

    /// Waits until the history has an event of this type.
    pub async fn reaches(&self, kind: &str) {
        let has =
            |events: &Vec<HistoryEvent>| events.iter().any(|event| event.r#type().as_str() == kind);
        until(kind, || self.events(), has).await;
    }

    pub async fn redrive(&self) {
        let redrive = self.sfn.redrive_execution().execution_arn(&self.arn);
        redrive.send().await.unwrap();
    }

    pub async fn stop(&self) {
        let stop = self.sfn.stop_execution().execution_arn(&self.arn);
        stop.send().await.unwrap();
    }

    /// The output as JSON.
    pub async fn output(&self) -> Value {
        let output = self.ends(ExecutionStatus::Succeeded).await;
        serde_json::from_str(output.output().unwrap()).unwrap()
    }

    pub async fn map_runs(&self) -> Vec<MapRun> {
        let list = self.sfn.list_map_runs().execution_arn(&self.arn);
        let listed = list.send().await.unwrap();
        let runs = listed.map_runs().iter().map(|run| MapRun {
            sfn: self.sfn.clone(),
            arn: run.map_run_arn().to_owned(),
        });
        runs.collect()
    }

    /// The only Map Run, once it is there.
    pub async fn map_run(&self) -> MapRun {
        let is_there = |runs: &Vec<MapRun>| !runs.is_empty();
        let mut runs = until("a Map Run", || self.map_runs(), is_there).await;
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }
}

pub struct MapRun {
    pub sfn: aws_sdk_sfn::Client,
    pub arn: String,
}

/// The ten counts, by their names in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub pending: i64,
    pub running: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub timed_out: i64,
    pub aborted: i64,
    pub total: i64,
    pub results_written: i64,
    pub failures_not_redrivable: i64,
    pub pending_redrive: i64,
}

macro_rules! counts {
    ($of:expr) => {{
        let of = $of;
        let counts = Counts {
            pending: of.pending(),
            running: of.running(),
            succeeded: of.succeeded(),
            failed: of.failed(),
            timed_out: of.timed_out(),
            aborted: of.aborted(),
            total: of.total(),
            results_written: of.results_written(),
            failures_not_redrivable: of.failures_not_redrivable().unwrap(),
            pending_redrive: of.pending_redrive().unwrap(),
        };
        counts.check();
        counts
    }};
}

impl Counts {
    /// What holds of the counts at all times (API reference, MapRunExecutionCounts).
    fn check(&self) {
        let ended = self.succeeded + self.failed + self.timed_out + self.aborted;
        let open = self.pending + self.running + self.pending_redrive;
        assert_eq!(self.total, ended + open, "{self:?}");
        let unsuccessful = self.failed + self.timed_out + self.aborted;
        assert!(self.failures_not_redrivable <= unsuccessful, "{self:?}");
        assert!(self.results_written <= self.total, "{self:?}");
    }
}

impl MapRun {
    pub async fn describe(&self) -> DescribeMapRunOutput {
        let describe = self.sfn.describe_map_run().map_run_arn(&self.arn);
        describe.send().await.unwrap()
    }

    /// Counts of items; those of children are checked along.
    pub async fn items(&self) -> Counts {
        let described = self.describe().await;
        let items = counts!(described.item_counts().unwrap());
        let children = counts!(described.execution_counts().unwrap());
        assert!(items.total >= children.total);
        items
    }

    pub async fn items_are(&self, what: &str, holds: impl Fn(&Counts) -> bool) -> Counts {
        until(what, || self.items(), holds).await
    }

    pub async fn closes(&self, status: MapRunStatus) -> Counts {
        let has_closed = |run: &DescribeMapRunOutput| *run.status() != MapRunStatus::Running;
        let closed = until("the Map Run closes", || self.describe(), has_closed).await;
        assert_eq!(*closed.status(), status, "{closed:?}");
        assert!(closed.stop_date().is_some());
        self.items().await
    }

    pub async fn children(&self, status: Option<ExecutionStatus>) -> Vec<ExecutionListItem> {
        let list = self.sfn.list_executions().map_run_arn(&self.arn);
        let list = list.set_status_filter(status).max_results(100);
        let pages = list.into_paginator().items().send();
        pages.collect::<Result<Vec<_>, _>>().await.unwrap()
    }

    pub fn run(&self, child: &ExecutionListItem) -> Run {
        Run {
            sfn: self.sfn.clone(),
            arn: child.execution_arn().to_owned(),
        }
    }

    /// The last part of the ARN, under which result files are.
    pub fn id(&self) -> &str {
        self.arn.rsplit(':').next().unwrap()
    }
}

/// A Task of the function `work`: its payload is the state's input, its result the function's.
pub fn task(more: Value) -> Value {
    let task = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "OutputPath": "$.Payload",
        "Parameters": {"FunctionName": "work", "Payload.$": "$"}, "End": true});
    with(task, more)
}

/// An object with the members of another one besides or instead.
pub fn with(mut object: Value, more: Value) -> Value {
    let members = more.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(members);
    object
}

/// A state machine of one state, `S`.
pub fn single(state: Value) -> Value {
    json!({"StartAt": "S", "States": {"S": state}})
}

/// A Distributed Map `S` over its input, one `work` for each item; children of `kind`.
pub fn distributed(kind: &str, more: Value) -> Value {
    let map = json!({"Type": "Map", "Label": "Items", "End": true,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind},
            "StartAt": "Work", "States": {"Work": task(json!({}))}}});
    single(with(map, more))
}

/// The numbers below `count`.
pub fn numbers(count: u64) -> Value {
    (0..count).collect()
}
