//! The shipped workflow on an engine in this process. Preprocess and Postprocess are the real ones;
//! the worker answers itself, and fails for the lines that a test names.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanout::client::Client;
use fanout::engine::map_run::Quotas;
use fanout::engine::{Engine, FunctionError, REGION};
use fanout::model::{ExecutionArn, ExecutionDetail, ObjectAddress, StateMachineArn, Status};
use fanout::operations::runs;
use fanout::workflow::{self, Context, DEFINITION, FUNCTIONS, NAME};
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{SetOnce, watch};
use tokio_util::sync::DropGuard;

use crate::wired::{ROLE, client_of, open_engine, serve, until};

pub const BUCKET: &str = "data";
const WORKER: &str = "fanout-worker";
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at an execution that is to end: looking oftener uses up the client's own budget
/// of calls, and then the whole story waits for it.
const OFTEN: Duration = Duration::from_millis(50);

/// What the service that the workers ask does.
#[derive(Default)]
struct Service {
    failing: Mutex<BTreeSet<u64>>,
    /// Lines asked for so far, again and again.
    asked: Mutex<Vec<u64>>,
    /// Whether workers wait.
    held: watch::Sender<bool>,
    refuses_postprocess: AtomicBool,
}

pub struct Plant {
    pub engine: Engine,
    pub client: Client,
    pub machine: StateMachineArn,
    service: Arc<Service>,
    folder: tempfile::TempDir,
    shutdown: DropGuard,
}

impl Plant {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plant = Self::open(folder, Arc::default()).await;
        plant.client.create_bucket(BUCKET).await.unwrap();
        let made = plant.client.create_state_machine(NAME, DEFINITION, ROLE);
        made.await.unwrap();
        plant
    }

    async fn open(folder: tempfile::TempDir, service: Arc<Service>) -> Self {
        let engine = open_engine(folder.path()).await;
        let context: Arc<SetOnce<Context>> = Arc::default();
        for function in FUNCTIONS {
            let (context, service) = (Arc::clone(&context), Arc::clone(&service));
            engine.functions().register(function, move |event| {
                let (context, service) = (Arc::clone(&context), Arc::clone(&service));
                async move {
                    if function == WORKER {
                        return service.work(&event).await;
                    }
                    let refuses = service.refuses_postprocess.load(Ordering::Acquire);
                    if refuses && function == "fanout-postprocess" {
                        return Err(FunctionError {
                            error_type: "Postprocess.Storage".to_owned(),
                            message: "refused".to_owned(),
                        });
                    }
                    let handled = workflow::handle(context.wait().await, function, event).await;
                    handled.map_err(|error| FunctionError {
                        error_type: error.name.to_owned(),
                        message: error.message,
                    })
                }
                .boxed()
            });
        }
        let served = serve(&engine).await;
        let client = client_of(&engine, &served.url, false).await;
        let handlers = Context::new(client.clone()).with_default_url("http://127.0.0.1:9/{line}");
        assert!(context.set(handlers).is_ok());
        let machine = format!("arn:aws:states:{REGION}:000000000000:stateMachine:{NAME}");
        Self {
            machine: StateMachineArn::new(machine),
            engine,
            client,
            service,
            folder,
            shutdown: served.shutdown,
        }
    }

    /// As a kill does, but in one process: stops without finishing anything, then opens again.
    pub async fn reopen(self) -> Self {
        let Self {
            engine,
            client,
            service,
            folder,
            shutdown,
            ..
        } = self;
        drop((shutdown, client));
        engine.stop().await;
        drop(engine);
        Self::open(folder, service).await
    }

    /// From now on these lines fail and no others do.
    pub fn fail(&self, lines: impl IntoIterator<Item = u64>) {
        *self.service.failing.lock().unwrap() = lines.into_iter().collect();
    }

    /// How often the workers have asked.
    pub fn asked(&self) -> usize {
        self.service.asked.lock().unwrap().len()
    }

    /// Whether workers wait from now on.
    pub fn hold(&self, held: bool) {
        self.service.held.send_replace(held);
    }

    pub fn refuse_postprocess(&self, refuse: bool) {
        let refuses = &self.service.refuses_postprocess;
        refuses.store(refuse, Ordering::Release);
    }

    /// Returns once the execution's Map Run has closed too.
    pub async fn map_run_closed(&self, run: &ExecutionArn) {
        let ask = || async { runs::describe(&self.client, run).await.unwrap() };
        let closed = |run: &runs::Run| run.map_runs[0].status.is_closed();
        until("the Map Run closes", ask, closed).await;
    }

    /// Result files roll over when they have so many bytes.
    pub fn small_files(&self, result_file_bytes: u64) {
        self.engine.runner().set_quotas(Quotas {
            result_file_bytes,
            ..Quotas::default()
        });
    }

    pub async fn put(&self, key: &str, text: impl AsRef<[u8]>) {
        let address = ObjectAddress::new(BUCKET, key);
        let mut writer = self.client.write(&address, [].into()).await.unwrap();
        writer.write(text.as_ref()).await.unwrap();
        writer.finish().await.unwrap();
    }

    /// `None` where there is no such object.
    pub async fn get(&self, key: &str) -> Option<String> {
        let address = ObjectAddress::new(BUCKET, key);
        self.client.head(&address).await.unwrap()?;
        let mut body = self.client.read(&address, None, None).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = body.bytes.next().await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        Some(String::from_utf8(bytes).unwrap())
    }

    /// Keys below `prefix`.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let page = self.client.objects(BUCKET, prefix, None).await.unwrap();
        page.items.into_iter().map(|it| it.address.key).collect()
    }

    pub async fn start(&self, name: &str, input: &Value) -> ExecutionArn {
        let input = input.to_string();
        let started = self.client.start_execution(&self.machine, name, &input);
        started.await.unwrap()
    }

    /// Starts an execution of a machine of the test's own.
    pub async fn start_other(&self, name: &str, definition: &Value, input: &Value) -> ExecutionArn {
        let definition = definition.to_string();
        let made = self.client.create_state_machine(name, &definition, ROLE);
        made.await.unwrap();
        let machine = self.machine.as_str().replace(NAME, name);
        let machine = StateMachineArn::new(machine);
        let input = input.to_string();
        let started = self.client.start_execution(&machine, "a", &input);
        started.await.unwrap()
    }

    pub async fn redrive(&self, run: &ExecutionArn) {
        let token = uuid::Uuid::new_v4().to_string();
        self.client.redrive_execution(run, &token).await.unwrap();
    }

    /// Returns once the workers have asked so often, or the execution has ended before that.
    pub async fn asks_or_ends(&self, run: &ExecutionArn, asked: usize) {
        let asks = async {
            let mut often = tokio::time::interval(OFTEN);
            while self.asked() < asked {
                often.tick().await;
            }
        };
        tokio::select! {
            () = asks => {}
            _ = self.ended(run) => {}
        }
    }

    pub async fn ended(&self, run: &ExecutionArn) -> ExecutionDetail {
        let mut often = tokio::time::interval(OFTEN);
        let ending = async {
            loop {
                often.tick().await;
                match self.client.execution(run).await {
                    Ok(detail) if detail.execution.status.is_closed() => return detail,
                    _ => {}
                }
            }
        };
        let ended = tokio::time::timeout(PATIENCE, ending).await;
        ended.unwrap_or_else(|_| panic!("{run} does not end"))
    }

    #[track_caller]
    pub fn ends(
        &self,
        run: &ExecutionArn,
        status: Status,
    ) -> impl Future<Output = ExecutionDetail> {
        let place = std::panic::Location::caller();
        async move {
            let ended = self.ended(run).await;
            let (error, cause) = (&ended.error, &ended.cause);
            let found = ended.execution.status;
            assert_eq!(found, status, "{place}: {error:?} {cause:?}");
            ended
        }
    }

    /// The output of an execution that succeeds.
    #[track_caller]
    pub fn output(&self, run: &ExecutionArn) -> impl Future<Output = Value> {
        let ends = self.ends(run, Status::Succeeded);
        async move { serde_json::from_str(&ends.await.output.unwrap()).unwrap() }
    }
}

impl Service {
    async fn work(&self, event: &Value) -> Result<Value, FunctionError> {
        let n = event["n"].as_u64().unwrap();
        let mut held = self.held.subscribe();
        self.asked.lock().unwrap().push(n);
        held.wait_for(|held| !held).await.unwrap();
        match self.failing.lock().unwrap().contains(&n) {
            true => Err(FunctionError {
                error_type: "Worker.Rejected".to_owned(),
                message: format!("line {n} is refused"),
            }),
            false => Ok(json!({"n": n, "line": answered(event["line"].as_str().unwrap())})),
        }
    }
}

/// What the output has for a line.
pub fn answered(line: &str) -> String {
    format!("{line},ok")
}

/// A source of so many lines, and what their output is.
pub fn source(lines: u64) -> (String, String) {
    let word = |n: u64| format!("word {n}");
    let text = |line: &dyn Fn(u64) -> String| {
        (1..=lines).fold(String::new(), |text, n| text + &line(n) + "\n")
    };
    (text(&word), text(&|n| answered(&word(n))))
}
