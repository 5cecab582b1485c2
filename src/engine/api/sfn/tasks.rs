//! Task tokens and activities: what workers outside report, and what they take.

use serde_json::{Value, json};

use super::arguments::{Arguments, bad_arn, check_name, invalid};
use super::executions::{Located, find};
use super::page;
use crate::engine::api::ApiError;
use crate::engine::integrations::activities;
use crate::engine::machine::{Failure, Input, TaskToken, seconds};
use crate::engine::map_run::handle::Message;
use crate::engine::store::{ActivityRow, Batch};
use crate::engine::{ACCOUNT, Engine, REGION};

pub async fn succeed(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let token = token(arguments)?;
    let output = serde_json::from_str(arguments.required("output")?)
        .map_err(|error| ApiError::new("InvalidOutput", format!("Invalid Output: '{error}'")))?;
    let input = Input::TaskEnded {
        token: token.attempt,
        result: Ok(output),
    };
    deliver(engine, token, input).await
}

pub async fn fail(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let token = token(arguments)?;
    let text = |name| arguments.text(name).map(str::to_owned);
    let failure = Failure {
        error: text("error"),
        cause: text("cause"),
    };
    let input = Input::TaskEnded {
        token: token.attempt,
        result: Err(failure),
    };
    deliver(engine, token, input).await
}

pub async fn heartbeat(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let token = token(arguments)?;
    let input = Input::TaskHeartbeat {
        token: token.attempt,
    };
    deliver(engine, token, input).await
}

fn token(arguments: &Arguments) -> Result<TaskToken, ApiError> {
    TaskToken::parse(arguments.required("taskToken")?).ok_or_else(invalid_token)
}

fn invalid_token() -> ApiError {
    ApiError::new("InvalidToken", "Invalid Token: 'Invalid token'")
}

/// Gives an input to the Task that the token is of; returns once it is on disk.
async fn deliver(engine: &Engine, token: TaskToken, input: Input) -> Result<Value, ApiError> {
    let located = find(engine, &token.execution).await.map_err(|error| {
        if error.code == "ExecutionDoesNotExist" {
            let text = format!("Task Does Not Exist: '{}'", token.resource);
            ApiError::new("TaskDoesNotExist", text)
        } else {
            error
        }
    })?;
    let is_ours = match &located {
        Located::Execution(row) => token.is_of(&row.identity.nonce),
        Located::Child { handle, .. } => token.is_of(handle.nonce()),
    };
    if !is_ours {
        return Err(invalid_token());
    }
    let is_taken = match located {
        Located::Execution(row) => match engine.runner().reply_to(&row.identity.id) {
            Some(reply) => reply.deliver(input).await,
            None => false,
        },
        Located::Child { handle, child, .. } => {
            let (done, taken) = tokio::sync::oneshot::channel();
            let message = Message::Deliver { child, input, done };
            handle.tell(message).await && taken.await.is_ok()
        }
    };
    if is_taken {
        Ok(json!({}))
    } else {
        let text = format!("Task Timed Out: '{}'", token.resource);
        Err(ApiError::new("TaskTimedOut", text))
    }
}

/// The activity's ARN, checked.
fn activity(arguments: &Arguments) -> Result<&str, ApiError> {
    let (_, name) = arguments.arn("activityArn", &["activity"])?;
    let arn = arguments.required("activityArn")?;
    if name.is_empty() {
        return Err(bad_arn(format!("Invalid ARN prefix: {arn}")));
    }
    Ok(arn)
}

fn known(engine: &Engine, arn: &str) -> Result<ActivityRow, ApiError> {
    engine.runner().store().activity(arn)?.ok_or_else(|| {
        let text = format!("Activity Does Not Exist: '{arn}'");
        ApiError::new("ActivityDoesNotExist", text)
    })
}

pub async fn create_activity(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let name = arguments.required("name")?;
    check_name(name)?;
    let has_tags = arguments
        .value("tags")
        .and_then(Value::as_array)
        .is_some_and(|tags| !tags.is_empty());
    if has_tags {
        return Err(invalid(
            "Tags of activities are not supported by this engine",
        ));
    }
    let encryption = arguments.value("encryptionConfiguration");
    if encryption.is_some_and(|it| it["type"] != "AWS_OWNED_KEY") {
        return Err(ApiError::new(
            "InvalidEncryptionConfiguration",
            "Invalid Encryption Configuration: only AWS_OWNED_KEY is supported by this engine",
        ));
    }
    let arn = format!("arn:aws:states:{REGION}:{ACCOUNT}:activity:{name}");
    let runner = engine.runner();
    let _only = runner.exclusive(&arn).await;
    let row = match runner.store().activity(&arn)? {
        Some(row) => row,
        None if runner.store().activity_count()? >= runner.quotas().activities => {
            return Err(ApiError::new(
                "ActivityLimitExceeded",
                "The maximum number of activities has been reached. Existing activities must be deleted before a new activity can be created.",
            ));
        }
        None => {
            let row = ActivityRow {
                arn,
                name: name.to_owned(),
                created: runner.now(),
            };
            let mut batch = Batch::default();
            batch.activity(row.clone());
            runner.store().commit(batch).await?;
            row
        }
    };
    Ok(json!({"activityArn": row.arn, "creationDate": seconds(row.created)}))
}

pub fn describe_activity(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let row = known(engine, activity(arguments)?)?;
    Ok(json!({
        "activityArn": row.arn,
        "name": row.name,
        "creationDate": seconds(row.created),
        "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
    }))
}

/// Deleting what is not there succeeds too.
pub async fn delete_activity(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let arn = activity(arguments)?;
    let runner = engine.runner();
    let _only = runner.exclusive(arn).await;
    let mut batch = Batch::default();
    batch.no_activity(arn);
    runner.store().commit(batch).await?;
    Ok(json!({}))
}

pub fn list_activities(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let now = engine.runner().now();
    let limit = arguments.limit();
    let skip: usize = arguments.position(now)?.unwrap_or(0);
    let rows = engine.runner().store().activities()?;
    let more = rows.len() > skip + limit;
    let items = rows.into_iter().skip(skip).take(limit).map(|row| {
        json!({"activityArn": row.arn, "name": row.name, "creationDate": seconds(row.created)})
    });
    let next = more.then(|| arguments.token(skip + limit, now));
    Ok(page("activities", items.collect(), next))
}

/// A long poll: without a task it is answered, empty, after a minute.
pub async fn get_activity_task(engine: &Engine, arguments: &Arguments) -> Result<Value, ApiError> {
    let arn = activity(arguments)?;
    known(engine, arn)?;
    let worker = arguments.text("workerName");
    let task = activities::poll(engine.runner(), arn, worker).await;
    Ok(match task {
        Some(task) => json!({"taskToken": task.token, "input": task.input}),
        None => json!({}),
    })
}
