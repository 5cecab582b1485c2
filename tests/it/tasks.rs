//! Tasks that somebody else ends, asked by the AWS SDK: tokens, activities, nested executions, and
//! the services that Tasks call.

use std::time::Duration;

use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType as Type};
use futures::FutureExt;
use serde_json::{Value, json};
use tokio_util::sync::DropGuard;

use fanout::engine::{Engine, FunctionError};

use crate::wired::{open_engine, serve};

const ROLE: &str = "arn:aws:iam::000000000000:role/r";

/// An engine in a folder, its SDK client, and the tokens that its function `hand` was given.
struct Desk {
    engine: Engine,
    sfn: aws_sdk_sfn::Client,
    tokens: tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<String>>,
    _shutdown: DropGuard,
    folder: tempfile::TempDir,
}

async fn desk() -> Desk {
    open(tempfile::tempdir().unwrap()).await
}

async fn open(folder: tempfile::TempDir) -> Desk {
    let engine = open_engine(folder.path()).await;
    #[expect(clippy::disallowed_methods, reason = "a handful of tokens")]
    let (sender, tokens) = tokio::sync::mpsc::unbounded_channel();
    engine.functions().register("hand", move |event| {
        let token = event["token"].as_str().unwrap().to_owned();
        sender.send(token).unwrap();
        async { Ok(json!({})) }.boxed()
    });
    engine.functions().register("fail", |_| {
        async {
            Err(FunctionError {
                error_type: "Oops".into(),
                message: "no".into(),
            })
        }
        .boxed()
    });
    let served = serve(&engine).await;
    Desk {
        engine,
        sfn: aws_sdk_sfn::Client::new(&served.config),
        tokens: tokio::sync::Mutex::new(tokens),
        _shutdown: served.shutdown,
        folder,
    }
}

impl Desk {
    /// As a kill does, but in one process: nothing is finished, then the folder is opened again.
    async fn reopen(self) -> Self {
        let Self {
            engine,
            folder,
            _shutdown: shutdown,
            ..
        } = self;
        drop(shutdown);
        engine.stop().await;
        drop(engine);
        open(folder).await
    }

    async fn machine(&self, name: &str, definition: Value) -> String {
        let machine = self
            .sfn
            .create_state_machine()
            .name(name)
            .role_arn(ROLE)
            .definition(definition.to_string())
            .send()
            .await
            .unwrap();
        machine.state_machine_arn().to_owned()
    }

    async fn start(&self, name: &str, task: Value, input: Value) -> String {
        let machine = self
            .machine(name, json!({"StartAt": "T", "States": {"T": task}}))
            .await;
        let started = self
            .sfn
            .start_execution()
            .state_machine_arn(machine)
            .name("run")
            .input(input.to_string())
            .send()
            .await
            .unwrap();
        started.execution_arn().to_owned()
    }

    async fn token(&self) -> String {
        self.tokens.lock().await.recv().await.unwrap()
    }

    async fn ended(&self, arn: &str) -> (ExecutionStatus, Value) {
        loop {
            let described = self
                .sfn
                .describe_execution()
                .execution_arn(arn)
                .send()
                .await
                .unwrap();
            if *described.status() != ExecutionStatus::Running {
                let output = described.output().or(described.cause());
                let output = output.map(|text| {
                    serde_json::from_str(text).unwrap_or_else(|_| text.to_owned().into())
                });
                return (described.status().clone(), output.unwrap_or_default());
            }
        }
    }

    async fn history(&self, arn: &str) -> Vec<HistoryEvent> {
        let history = self.sfn.get_execution_history().execution_arn(arn);
        history.send().await.unwrap().events().to_vec()
    }

    async fn types(&self, arn: &str) -> Vec<Type> {
        let events = self.history(arn).await;
        events.iter().map(|event| event.r#type().clone()).collect()
    }

    /// Waits until the history has an event of this type.
    async fn told(&self, arn: &str, kind: Type) {
        while !self.types(arn).await.contains(&kind) {
            tokio::task::yield_now().await;
        }
    }
}

fn waiting(more: Value) -> Value {
    let mut task = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "End": true,
        "Parameters": {"FunctionName": "hand", "Payload": {"token.$": "$$.Task.Token"}}});
    task.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_its_task_once_also_after_a_restart() {
    let desk = desk().await;
    let arn = desk.start("m", waiting(json!({})), json!({})).await;
    let token = desk.token().await;
    desk.told(&arn, Type::TaskSubmitted).await;

    let desk = desk.reopen().await;
    let bad = desk.sfn.send_task_success().task_token(&token).output("{");
    let bad = bad.send().await.unwrap_err().into_service_error();
    assert!(bad.is_invalid_output(), "{bad:?}");
    let success = || {
        desk.sfn
            .send_task_success()
            .task_token(&token)
            .output("{\"ok\":1}")
    };
    success().send().await.unwrap();
    assert_eq!(
        desk.ended(&arn).await,
        (ExecutionStatus::Succeeded, json!({"ok": 1}))
    );
    let late = success().send().await.unwrap_err().into_service_error();
    assert!(late.is_task_timed_out());
    assert_eq!(
        late.to_string(),
        "TaskTimedOut: Task Timed Out: 'arn:aws:states:::lambda:invoke.waitForTaskToken'"
    );
    let garbage = desk.sfn.send_task_heartbeat().task_token("nobody's");
    let garbage = garbage.send().await.unwrap_err().into_service_error();
    assert!(garbage.is_invalid_token());
    assert_eq!(
        desk.types(&arn).await,
        [
            Type::ExecutionStarted,
            Type::TaskStateEntered,
            Type::TaskScheduled,
            Type::TaskStarted,
            Type::TaskSubmitted,
            Type::TaskSucceeded,
            Type::TaskStateExited,
            Type::ExecutionSucceeded
        ],
        "the function was not called a second time"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_dies_with_its_execution_and_a_redrive_hands_out_another() {
    let desk = desk().await;
    let arn = desk.start("m", waiting(json!({})), json!({})).await;
    let old = desk.token().await;
    let fail = |token: &str| {
        let failure = desk.sfn.send_task_failure().task_token(token);
        failure.error("Broken").cause("by hand").send()
    };
    fail(&old).await.unwrap();
    assert_eq!(
        desk.ended(&arn).await,
        (ExecutionStatus::Failed, json!("by hand"))
    );
    desk.sfn
        .redrive_execution()
        .execution_arn(&arn)
        .send()
        .await
        .unwrap();
    let new = desk.token().await;
    assert_ne!(old, new);
    let late = fail(&old).await.unwrap_err().into_service_error();
    assert!(late.is_task_timed_out());
    desk.sfn
        .stop_execution()
        .execution_arn(&arn)
        .send()
        .await
        .unwrap();
    let late = fail(&new).await.unwrap_err().into_service_error();
    assert!(late.is_task_timed_out());
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_keep_a_task_alive_and_its_deadline_outlives_a_restart() {
    let desk = desk().await;
    let limits = json!({"TimeoutSeconds": 3_600, "HeartbeatSeconds": 600});
    let arn = desk.start("m", waiting(limits), json!({})).await;
    let token = desk.token().await;
    desk.told(&arn, Type::TaskSubmitted).await;
    for _ in 0..5 {
        desk.engine
            .runner()
            .clock()
            .advance(Duration::from_secs(500));
        desk.sfn
            .send_task_heartbeat()
            .task_token(&token)
            .send()
            .await
            .unwrap();
    }
    assert!(!desk.types(&arn).await.contains(&Type::TaskTimedOut));
    // The clock of the next engine is the system's again: what was stored counts, not what is left.
    let desk = desk.reopen().await;
    desk.engine
        .runner()
        .clock()
        .advance(Duration::from_secs(2_500));
    desk.sfn
        .send_task_heartbeat()
        .task_token(&token)
        .send()
        .await
        .unwrap();
    desk.engine
        .runner()
        .clock()
        .advance(Duration::from_secs(1_101));
    let (status, _) = desk.ended(&arn).await;
    assert_eq!(status, ExecutionStatus::Failed);
    let events = desk.history(&arn).await;
    let timed_out = events
        .iter()
        .find_map(HistoryEvent::task_timed_out_event_details);
    assert_eq!(timed_out.unwrap().error(), Some("States.Timeout"));
    let late = desk.sfn.send_task_heartbeat().task_token(&token);
    assert!(
        late.send()
            .await
            .unwrap_err()
            .into_service_error()
            .is_task_timed_out()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_standard_children_work_too() {
    let desk = desk().await;
    let map = json!({"Type": "Map", "Label": "L", "End": true, "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "W", "States": {"W": waiting(json!({}))}}});
    let arn = desk.start("m", map, json!([1, 2, 3])).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(desk.token().await);
    }
    let success = |desk: &Desk, token: &str| {
        desk.sfn
            .send_task_success()
            .task_token(token)
            .output("7")
            .send()
    };
    success(&desk, &tokens[0]).await.unwrap();
    let again = success(&desk, &tokens[0])
        .await
        .unwrap_err()
        .into_service_error();
    assert!(again.is_task_timed_out());
    let run = desk
        .sfn
        .list_map_runs()
        .execution_arn(&arn)
        .send()
        .await
        .unwrap();
    let run = run.map_runs()[0].map_run_arn().to_owned();
    // Both must have been submitted before the restart, or they are handed out again.
    let children = desk
        .sfn
        .list_executions()
        .map_run_arn(&run)
        .send()
        .await
        .unwrap();
    for child in children.executions() {
        desk.told(child.execution_arn(), Type::TaskSubmitted).await;
    }
    let desk = desk.reopen().await;
    for token in &tokens[1..] {
        success(&desk, token).await.unwrap();
    }
    assert_eq!(
        desk.ended(&arn).await,
        (ExecutionStatus::Succeeded, json!([7, 7, 7]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_waits_for_a_worker_and_is_taken_once() {
    let desk = desk().await;
    let created = desk
        .sfn
        .create_activity()
        .name("pick")
        .send()
        .await
        .unwrap();
    let activity = created.activity_arn().to_owned();
    let again = desk
        .sfn
        .create_activity()
        .name("pick")
        .send()
        .await
        .unwrap();
    assert_eq!(again.creation_date(), created.creation_date());
    let listed = desk.sfn.list_activities().send().await.unwrap();
    assert_eq!(listed.activities()[0].name(), "pick");

    let task = json!({"Type": "Task", "Resource": activity, "End": true});
    let arn = desk.start("m", task.clone(), json!({"n": 1})).await;
    desk.told(&arn, Type::ActivityScheduled).await;
    let desk = desk.reopen().await;
    let poll = || {
        let poll = desk.sfn.get_activity_task().activity_arn(&activity);
        poll.worker_name("w").send()
    };
    let taken = poll().await.unwrap();
    assert_eq!(taken.input(), Some("{\"n\":1}"));
    // A second worker waits in vain, as long as a poll lasts.
    let second = tokio::spawn(poll());
    while !second.is_finished() {
        desk.engine
            .runner()
            .clock()
            .advance(Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    assert_eq!(second.await.unwrap().unwrap().task_token(), None);
    let token = taken.task_token().unwrap();
    desk.sfn
        .send_task_heartbeat()
        .task_token(token)
        .send()
        .await
        .unwrap();
    desk.sfn
        .send_task_success()
        .task_token(token)
        .output("\"done\"")
        .send()
        .await
        .unwrap();
    assert_eq!(
        desk.ended(&arn).await,
        (ExecutionStatus::Succeeded, json!("done"))
    );
    let events = desk.history(&arn).await;
    let started = events
        .iter()
        .find_map(HistoryEvent::activity_started_event_details);
    assert_eq!(started.unwrap().worker_name(), Some("w"));

    desk.sfn
        .delete_activity()
        .activity_arn(&activity)
        .send()
        .await
        .unwrap();
    let gone = desk
        .sfn
        .describe_activity()
        .activity_arn(&activity)
        .send()
        .await;
    assert!(
        gone.unwrap_err()
            .into_service_error()
            .is_activity_does_not_exist()
    );
    let arn = desk.start("gone", task, json!({})).await;
    let (status, cause) = desk.ended(&arn).await;
    assert_eq!(status, ExecutionStatus::Failed);
    assert!(
        cause
            .as_str()
            .unwrap()
            .ends_with(&format!("The activity {activity} does not exist."))
    );
}

fn nested(pattern: &str, machine: &str) -> Value {
    json!({"Type": "Task", "Resource": format!("arn:aws:states:::states:startExecution{pattern}"), "End": true,
        "Parameters": {"StateMachineArn": machine, "Input": {"by.$": "$$.Execution.Id", "n.$": "$.n"}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_executions_answer_as_their_pattern_says() {
    let desk = desk().await;
    let double = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "Parameters": {"twice.$": "States.MathAdd($.n, $.n)"}, "End": true}}});
    let machine = desk.machine("double", double).await;
    let start =
        |name: &'static str, pattern| desk.start(name, nested(pattern, &machine), json!({"n": 4}));

    let (status, output) = desk.ended(&start("request", "").await).await;
    assert_eq!(status, ExecutionStatus::Succeeded);
    assert!(
        output["ExecutionArn"]
            .as_str()
            .unwrap()
            .contains(":execution:double:")
    );
    assert_eq!(output["SdkHttpMetadata"]["HttpStatusCode"], 200);

    let arn = start("sync", ".sync").await;
    let (_, output) = desk.ended(&arn).await;
    assert_eq!(output["Output"], "{\"twice\":8}");
    assert_eq!(output["Input"], json!({"by": arn, "n": 4}).to_string());
    assert_eq!(
        (output["Status"].as_str(), output["StartDate"].is_i64()),
        (Some("SUCCEEDED"), true)
    );
    assert!(desk.types(&arn).await.contains(&Type::TaskSubmitted));

    let (_, output) = desk.ended(&start("json", ".sync:2").await).await;
    assert_eq!(output["Output"], json!({"twice": 8}));
    assert_eq!(output["Input"]["n"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_failure_is_a_failed_task_and_a_missing_machine_an_error_of_the_service() {
    let desk = desk().await;
    let broken =
        json!({"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine", "Cause": "why"}}});
    let machine = desk.machine("broken", broken).await;
    let arn = desk
        .start("m", nested(".sync:2", &machine), json!({"n": 1}))
        .await;
    let (status, cause) = desk.ended(&arn).await;
    assert_eq!(status, ExecutionStatus::Failed);
    assert_eq!(
        (
            cause["Error"].as_str(),
            cause["Cause"].as_str(),
            cause["Status"].as_str()
        ),
        (Some("Mine"), Some("why"), Some("FAILED"))
    );
    assert!(cause["Input"].is_string());
    let events = desk.history(&arn).await;
    let failed = events
        .iter()
        .find_map(HistoryEvent::task_failed_event_details);
    assert_eq!(failed.unwrap().error(), Some("States.TaskFailed"));

    let missing = machine.replace("broken", "missing");
    let arn = desk
        .start("none", nested("", &missing), json!({"n": 1}))
        .await;
    let (_, cause) = desk.ended(&arn).await;
    let wanted = format!(
        "State Machine Does Not Exist: '{missing}' (Service: AWSStepFunctions; Status Code: 400; Error Code: StateMachineDoesNotExist; Request ID: "
    );
    assert!(cause.as_str().unwrap().starts_with(&wanted), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_execution_is_started_once_whatever_happens_and_stopped_with_its_parent() {
    let desk = desk().await;
    let inner = json!({"StartAt": "T", "States": {"T": waiting(json!({}))}});
    let machine = desk.machine("inner", inner).await;
    let arn = desk
        .start("outer", nested(".sync:2", &machine), json!({"n": 1}))
        .await;
    let token = desk.token().await;
    desk.told(&arn, Type::TaskSubmitted).await;
    let inner_of = |desk: &Desk| {
        desk.sfn
            .list_executions()
            .state_machine_arn(&machine)
            .send()
    };
    let first = inner_of(&desk).await.unwrap().executions()[0]
        .execution_arn()
        .to_owned();
    desk.told(&first, Type::TaskSubmitted).await;

    let desk = desk.reopen().await;
    desk.sfn
        .send_task_success()
        .task_token(token)
        .output("5")
        .send()
        .await
        .unwrap();
    let (_, output) = desk.ended(&arn).await;
    assert_eq!(output["Output"], 5);
    assert_eq!(inner_of(&desk).await.unwrap().executions().len(), 1);

    let arn = desk
        .start("again", nested(".sync", &machine), json!({"n": 2}))
        .await;
    desk.token().await;
    desk.told(&arn, Type::TaskSubmitted).await;
    desk.sfn
        .stop_execution()
        .execution_arn(&arn)
        .send()
        .await
        .unwrap();
    let second = inner_of(&desk).await.unwrap().executions()[0]
        .execution_arn()
        .to_owned();
    assert_ne!(first, second);
    assert_eq!(desk.ended(&second).await.0, ExecutionStatus::Aborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_go_round_through_the_sdk_integration() {
    let desk = desk().await;
    desk.engine.objects().create_bucket("data").unwrap();
    let sdk = |action: &str, parameters: Value, next: &str| json!({"Type": "Task", "Resource": format!("arn:aws:states:::aws-sdk:s3:{action}"), "Parameters": parameters, "ResultPath": format!("$.{action}"), "Next": next});
    let place = json!({"Bucket": "data", "Key.$": "$.key"});
    let mut put = place.clone();
    put["Body.$"] = "$.body".into();
    let definition = json!({"StartAt": "Put", "States": {
        "Put": sdk("putObject", put, "Get"),
        "Get": sdk("getObject", place.clone(), "List"),
        "List": sdk("listObjectsV2", json!({"Bucket": "data"}), "Delete"),
        "Delete": sdk("deleteObject", place.clone(), "Head"),
        "Head": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:getObject", "Parameters": place, "End": true,
            "Catch": [{"ErrorEquals": ["S3.NoSuchKeyException"], "ResultPath": "$.gone", "Next": "Gone"}]},
        "Gone": {"Type": "Succeed"}}});
    let machine = desk.machine("round", definition).await;
    let started = desk
        .sfn
        .start_execution()
        .state_machine_arn(machine)
        .input(json!({"key": "a/b", "body": [1, {"c": "ü"}]}).to_string());
    let started = started.send().await.unwrap();
    let (status, output) = desk.ended(started.execution_arn()).await;
    assert_eq!(status, ExecutionStatus::Succeeded, "{output}");
    assert_eq!(output["getObject"]["Body"], "[1,{\"c\":\"ü\"}]");
    assert_eq!(output["putObject"]["ETag"], output["getObject"]["ETag"]);
    assert_eq!(output["listObjectsV2"]["Contents"][0]["Key"], "a/b");
    let cause = output["gone"]["Cause"].as_str().unwrap();
    assert!(
        cause.starts_with(
            "The specified key does not exist. (Service: S3, Status Code: 404, Request ID: "
        ),
        "{cause}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_calls_http_on_this_machine_and_step_functions_themselves() {
    let desk = desk().await;
    let lookup = crate::house::Lookup::start();
    let task = json!({"Type": "Task", "Resource": "arn:aws:states:::http:invoke", "End": true,
        "Parameters": {"ApiEndpoint.$": "$.url", "Method": "GET"}});
    let url = |path| json!({"url": format!("{}{path}", lookup.url())});
    let arn = desk.start("ok", task.clone(), url("/good")).await;
    let (_, output) = desk.ended(&arn).await;
    assert_eq!(
        (
            output["StatusCode"].as_u64(),
            output["ResponseBody"].as_str()
        ),
        (Some(200), Some("ok"))
    );
    let arn = desk.start("bad", task, url("/bad")).await;
    assert_eq!(
        desk.ended(&arn).await,
        (ExecutionStatus::Failed, json!("no such word"))
    );
    let described = desk
        .sfn
        .describe_execution()
        .execution_arn(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(described.error(), Some("States.Http.StatusCode.404"));

    let sdk = json!({"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sfn:describeExecution", "Parameters": {"ExecutionArn": arn}, "End": true});
    let (_, output) = desk.ended(&desk.start("sdk", sdk, json!({})).await).await;
    assert_eq!(
        (output["Status"].as_str(), output["Name"].as_str()),
        (Some("FAILED"), Some("run"))
    );
    assert!(output["StartDate"].as_str().unwrap().ends_with('Z'));
    let sdk = json!({"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sfn:sendTaskSuccess", "Parameters": {"TaskToken": "none", "Output": {"a": 1}}, "End": true});
    let arn = desk.start("token", sdk, json!({})).await;
    desk.ended(&arn).await;
    let described = desk
        .sfn
        .describe_execution()
        .execution_arn(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(described.error(), Some("Sfn.InvalidTokenException"));
    assert!(described.cause().unwrap().starts_with(
        "Invalid Token: 'Invalid token' (Service: Sfn, Status Code: 400, Request ID: "
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn lambda_is_called_in_three_ways() {
    let desk = desk().await;
    let sdk = json!({"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:lambda:invoke", "Parameters": {"FunctionName": "fail", "Payload": {}}, "End": true});
    let (status, output) = desk.ended(&desk.start("sdk", sdk, json!({})).await).await;
    assert_eq!(
        (status, output["FunctionError"].as_str()),
        (ExecutionStatus::Succeeded, Some("Unhandled"))
    );
    assert!(output["Payload"].as_str().unwrap().contains("Oops"));
    let event = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "hand", "InvocationType": "Event", "Payload": {"token": "t"}}, "End": true});
    let (_, output) = desk
        .ended(&desk.start("event", event, json!({})).await)
        .await;
    assert_eq!(output["StatusCode"], 202);
    assert_eq!(desk.token().await, "t");
    let missing = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "missing"}, "End": true});
    let (_, cause) = desk
        .ended(&desk.start("missing", missing, json!({})).await)
        .await;
    let wanted = "Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing (Service: AWSLambda; Status Code: 404; Error Code: ResourceNotFoundException; Request ID: ";
    assert!(cause.as_str().unwrap().starts_with(wanted), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_the_engine_lacks_are_refused_by_name() {
    let desk = desk().await;
    for (resource, text) in [
        ("arn:aws:states:::dynamodb:getItem", "it has no dynamodb"),
        (
            "arn:aws:states:::aws-sdk:ec2:runInstances",
            "it has no aws-sdk:ec2",
        ),
        ("arn:aws:states:::lambda:invoke.sync", "is not recognized"),
    ] {
        let definition = json!({"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": resource, "End": true}}});
        let create = desk.sfn.create_state_machine().name("m").role_arn(ROLE);
        let refused = create.definition(definition.to_string()).send().await;
        let refused = refused.unwrap_err().into_service_error();
        assert!(
            refused.is_invalid_definition() && refused.to_string().contains(text),
            "{refused}"
        );
    }
}
