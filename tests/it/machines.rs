//! State machines with their versions, aliases and tags, and Express ones, asked by the AWS SDK.

use std::time::Duration;

use aws_sdk_sfn::error::ProvideErrorMetadata;
use aws_sdk_sfn::operation::create_state_machine::builders::CreateStateMachineFluentBuilder;
use aws_sdk_sfn::types::{
    ExecutionStatus, IncludedData, LogLevel, RoutingConfigurationListItem, StateMachineStatus,
    StateMachineType, SyncExecutionStatus, Tag, ValidateStateMachineDefinitionResultCode,
};
use serde_json::{Value, json};

use crate::wire::{Wire, wire};

const ROLE: &str = "arn:aws:iam::000000000000:role/r";

/// Sends a request without the prefix that the SDK puts before the host of some.
macro_rules! sent {
    ($request:expr) => {{
        let request = $request.customize().mutate_request(|request| {
            let uri = request.uri().replacen("//sync-", "//", 1);
            request.set_uri(uri).unwrap();
        });
        request.send().await
    }};
}

pub(crate) use sent;

/// What a request was refused with: `Code: message`.
macro_rules! refused {
    ($request:expr) => {{
        let error = sent!($request).unwrap_err();
        let code = error.code().unwrap_or("none").to_owned();
        format!("{code}: {}", error.message().unwrap_or_default())
    }};
}

/// A state machine of one Pass state that gives `result`.
fn pass(result: Value) -> String {
    let state = json!({"Type": "Pass", "Result": result, "End": true});
    json!({"StartAt": "P", "States": {"P": state}}).to_string()
}

fn wait(seconds: u64) -> String {
    let states = json!({
        "W": {"Type": "Wait", "Seconds": seconds, "Next": "P"}, "P": {"Type": "Pass", "End": true},
    });
    json!({"StartAt": "W", "States": states}).to_string()
}

fn create(wire: &Wire, name: &str, definition: &str) -> CreateStateMachineFluentBuilder {
    let create = wire.sfn.create_state_machine();
    create.name(name).role_arn(ROLE).definition(definition)
}

async fn made(wire: &Wire, name: &str, definition: &str) -> String {
    let made = create(wire, name, definition).send().await.unwrap();
    made.state_machine_arn
}

/// What an execution started with this ARN gives.
async fn output(wire: &Wire, machine: &str) -> Value {
    let start = wire.sfn.start_execution().state_machine_arn(machine);
    let arn = start.send().await.unwrap().execution_arn;
    assert_eq!(wire.ended(&arn).await, ExecutionStatus::Succeeded);
    let described = wire.sfn.describe_execution().execution_arn(&arn);
    let described = described.send().await.unwrap();
    serde_json::from_str(described.output().unwrap()).unwrap()
}

#[tokio::test]
async fn creating_twice_is_once_where_everything_but_role_and_tags_is_the_same() {
    let wire = wire().await;
    let definition = pass(json!(1));
    let first = create(&wire, "m", &definition).send().await.unwrap();
    let again = create(&wire, "m", &definition).role_arn("arn:aws:iam::000000000000:role/other");
    let again = again.send().await.unwrap();
    assert_eq!(first.creation_date, again.creation_date);
    let arn = &first.state_machine_arn;
    let exists = format!("StateMachineAlreadyExists: State Machine Already Exists: '{arn}'");
    // Definitions are compared as bytes.
    let spaced = definition.replace(':', ": ");
    assert_eq!(refused!(create(&wire, "m", &spaced)), exists);
    let published = create(&wire, "m", &definition).publish(true);
    assert_eq!(refused!(published), exists);
    let express = create(&wire, "m", &definition).r#type(StateMachineType::Express);
    assert_eq!(refused!(express), exists);
    let described = wire.sfn.describe_state_machine().state_machine_arn(arn);
    let described = described.send().await.unwrap();
    assert_eq!(described.role_arn(), ROLE);
    assert_eq!(described.revision_id(), None);
    assert_eq!(described.status(), Some(&StateMachineStatus::Active));
    let logging = described.logging_configuration().unwrap();
    assert_eq!(logging.level(), Some(&LogLevel::Off));
    assert!(!described.tracing_configuration().unwrap().enabled());
}

#[tokio::test]
async fn what_is_wrong_with_a_state_machine_is_said_as_aws_says_it() {
    let wire = wire().await;
    let valid = pass(json!(1));
    assert_eq!(
        refused!(create(&wire, "a b", &valid)),
        "InvalidName: Invalid Name: 'a b'"
    );
    assert_eq!(
        refused!(create(&wire, &"x".repeat(81), &valid)),
        format!(
            "ValidationException: 1 validation error detected: Value '{}' at 'name' failed to satisfy constraint: Member must have length less than or equal to 80",
            "x".repeat(81)
        )
    );
    let broken = create(&wire, "m", "{\"StartAt\": \"X\"}");
    assert!(refused!(broken).starts_with(
        "InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: "
    ));
    let described = create(&wire, "m", &valid).version_description("v");
    assert_eq!(
        refused!(described),
        "ValidationException: Version description can only be set when publish is true"
    );
    let unknown = "arn:aws:states:us-east-1:000000000000:stateMachine:none";
    assert_eq!(
        refused!(wire.sfn.describe_state_machine().state_machine_arn(unknown)),
        format!("StateMachineDoesNotExist: State Machine Does Not Exist: '{unknown}'")
    );
    assert_eq!(
        refused!(wire.sfn.describe_state_machine().state_machine_arn("xxx")),
        "InvalidArn: Invalid Arn: 'Invalid ARN prefix: xxx'"
    );
    let nothing = wire.sfn.update_state_machine().state_machine_arn(unknown);
    assert_eq!(
        refused!(nothing),
        "MissingRequiredParameter: Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be specified"
    );
}

#[tokio::test]
async fn an_update_makes_a_revision_and_running_executions_keep_theirs() {
    let wire = wire().await;
    let machine = made(&wire, "m", &wait(3_600)).await;
    let start = wire.sfn.start_execution().state_machine_arn(&machine);
    let execution = start.send().await.unwrap().execution_arn;
    let update = || wire.sfn.update_state_machine().state_machine_arn(&machine);
    let same = update().definition(wait(3_600)).send().await.unwrap();
    assert_eq!(same.revision_id(), None);
    let changed = update().definition(pass(json!(2))).publish(true);
    let changed = changed.version_description("second").send().await.unwrap();
    let revision = changed.revision_id().unwrap();
    let version = changed.state_machine_version_arn().unwrap();
    assert_eq!(version, format!("{machine}:1"));
    let described = wire.sfn.describe_state_machine().state_machine_arn(version);
    let described = described.send().await.unwrap();
    assert_eq!(described.description(), Some("second"));
    assert_eq!(described.state_machine_arn(), version);
    assert_eq!(described.revision_id(), Some(revision));
    let used = wire.sfn.describe_state_machine_for_execution();
    let used = used.execution_arn(&execution).send().await.unwrap();
    assert_eq!(used.definition(), wait(3_600));
    assert_eq!(used.revision_id(), None);
    let role = update().role_arn("arn:aws:iam::000000000000:role/other");
    assert_ne!(role.send().await.unwrap().revision_id(), Some(revision));
}

#[tokio::test]
async fn versions_are_numbered_once_and_an_alias_keeps_its_own() {
    let wire = wire().await;
    let machine = made(&wire, "m", &pass(json!(1))).await;
    let publish = || {
        let publish = wire.sfn.publish_state_machine_version();
        publish.state_machine_arn(&machine)
    };
    let first = publish().revision_id("INITIAL").send().await.unwrap();
    assert_eq!(first.state_machine_version_arn(), format!("{machine}:1"));
    let again = publish().send().await.unwrap();
    assert_eq!(again.state_machine_version_arn(), format!("{machine}:1"));
    let update = wire.sfn.update_state_machine().state_machine_arn(&machine);
    update.definition(pass(json!(2))).send().await.unwrap();
    assert!(refused!(publish().revision_id("INITIAL")).starts_with("ConflictException: "));
    let second = publish().send().await.unwrap().state_machine_version_arn;
    let route = |version: u32, weight| {
        let route = RoutingConfigurationListItem::builder().weight(weight);
        let route = route.state_machine_version_arn(format!("{machine}:{version}"));
        route.build().unwrap()
    };
    let create = || wire.sfn.create_state_machine_alias().name("PROD");
    let alias = create().routing_configuration(route(1, 100));
    let alias = alias.send().await.unwrap().state_machine_alias_arn;
    assert_eq!(alias, format!("{machine}:PROD"));
    let other = create().routing_configuration(route(2, 100));
    assert!(refused!(other).starts_with("ConflictException: Failed to create alias because"));
    let half = create()
        .routing_configuration(route(1, 50))
        .routing_configuration(route(2, 40));
    assert_eq!(
        refused!(half),
        "ValidationException: Sum of routing configuration weights must equal 100. Received: [50,40]"
    );
    // The alias and each version run what they were published with.
    assert_eq!(output(&wire, &alias).await, json!(1));
    assert_eq!(output(&wire, &second).await, json!(2));
    let delete = |number: u32| {
        let delete = wire.sfn.delete_state_machine_version();
        delete.state_machine_version_arn(format!("{machine}:{number}"))
    };
    assert_eq!(
        refused!(delete(1)),
        "ConflictException: Version to be deleted must not be referenced by an alias. Current list of aliases referencing this version: [PROD]"
    );
    let update = wire.sfn.update_state_machine_alias();
    let update = update.state_machine_alias_arn(&alias);
    update
        .routing_configuration(route(2, 100))
        .send()
        .await
        .unwrap();
    assert_eq!(output(&wire, &alias).await, json!(2));
    delete(1).send().await.unwrap();
    delete(1).send().await.unwrap();
    let listed = wire.sfn.list_state_machine_versions();
    let listed = listed.state_machine_arn(&machine).send().await.unwrap();
    let listed: Vec<&str> = listed
        .state_machine_versions()
        .iter()
        .map(aws_sdk_sfn::types::StateMachineVersionListItem::state_machine_version_arn)
        .collect();
    assert_eq!(listed, [second.as_str()]);
    // What was started with a version or alias can be asked for by it.
    for (qualified, count) in [(&alias, 2), (&second, 2), (&machine, 3)] {
        let listed = wire.sfn.list_executions().state_machine_arn(qualified);
        let listed = listed.send().await.unwrap();
        assert_eq!(listed.executions().len(), count, "{qualified}");
    }
    let newest = wire.sfn.list_executions().state_machine_arn(&alias);
    let newest = newest.send().await.unwrap().executions()[0].clone();
    assert_eq!(newest.state_machine_version_arn(), Some(second.as_str()));
    assert_eq!(newest.state_machine_alias_arn(), Some(alias.as_str()));
    assert_eq!(newest.state_machine_arn(), machine);
    let history = wire.sfn.get_execution_history();
    let history = history.execution_arn(newest.execution_arn()).send().await;
    let started = history.unwrap().events()[0].clone();
    let started = started.execution_started_event_details().unwrap().clone();
    assert_eq!(started.state_machine_alias_arn(), Some(alias.as_str()));
    let delete = wire.sfn.delete_state_machine_alias();
    delete.state_machine_alias_arn(&alias).send().await.unwrap();
    let describe = wire.sfn.describe_state_machine_alias();
    let describe = describe.state_machine_alias_arn(&alias);
    assert!(refused!(describe).starts_with("ResourceNotFound: "));
}

#[tokio::test]
async fn pages_stay_right_while_rows_come() {
    let wire = wire().await;
    for name in ["b", "d", "f"] {
        made(&wire, name, &pass(json!(1))).await;
    }
    let list = || wire.sfn.list_state_machines().max_results(2);
    let first = list().send().await.unwrap();
    // One before the page's end and one after it.
    made(&wire, "a", &pass(json!(1))).await;
    made(&wire, "e", &pass(json!(1))).await;
    let token = first.next_token().unwrap();
    let second = list().next_token(token).send().await.unwrap();
    let names: Vec<&str> = first
        .state_machines()
        .iter()
        .chain(second.state_machines())
        .map(aws_sdk_sfn::types::StateMachineListItem::name)
        .collect();
    assert_eq!(names, ["b", "d", "e", "f"]);
    assert_eq!(second.next_token(), None);
    let other = wire.sfn.list_state_machines().max_results(3);
    assert_eq!(
        refused!(other.next_token(token)),
        "InvalidToken: Invalid Token: 'Invalid token'"
    );
    let clock = wire.engine.runner().clock();
    clock.advance(Duration::from_hours(24));
    assert_eq!(
        refused!(list().next_token(token)),
        "InvalidToken: Invalid Token: 'Invalid token'"
    );
}

#[tokio::test]
async fn fifty_tags_are_kept() {
    let wire = wire().await;
    let tag = |key: &str| Tag::builder().key(key).value("v").build();
    let made = create(&wire, "m", &pass(json!(1))).tags(tag("team"));
    let machine = made.send().await.unwrap().state_machine_arn;
    let add = |tags: Vec<Tag>| {
        let add = wire.sfn.tag_resource().resource_arn(&machine);
        add.set_tags(Some(tags))
    };
    let many = |range: std::ops::Range<u32>| range.map(|n| tag(&format!("k{n}"))).collect();
    add(many(0..49)).send().await.unwrap();
    assert!(refused!(add(many(49..50))).starts_with("TooManyTags: "));
    let remove = wire.sfn.untag_resource().resource_arn(&machine);
    remove.tag_keys("team").send().await.unwrap();
    add(many(49..50)).send().await.unwrap();
    let listed = wire.sfn.list_tags_for_resource().resource_arn(&machine);
    assert_eq!(listed.send().await.unwrap().tags().len(), 50);
    let unknown = "arn:aws:states:us-east-1:000000000000:stateMachine:none";
    let listed = wire.sfn.list_tags_for_resource().resource_arn(unknown);
    assert!(refused!(listed).starts_with("ResourceNotFound: "));
}

#[tokio::test]
async fn a_deleted_state_machine_cuts_its_executions_at_their_next_transition() {
    let wire = wire().await;
    let machine = made(&wire, "m", &wait(1)).await;
    let start = wire.sfn.start_execution().state_machine_arn(&machine);
    let execution = start.send().await.unwrap().execution_arn;
    let delete = || wire.sfn.delete_state_machine().state_machine_arn(&machine);
    delete().send().await.unwrap();
    let described = wire
        .sfn
        .describe_state_machine()
        .state_machine_arn(&machine);
    let status = described.send().await.unwrap().status().cloned();
    assert_eq!(status, Some(StateMachineStatus::Deleting));
    let start = wire.sfn.start_execution().state_machine_arn(&machine);
    assert!(refused!(start).starts_with("StateMachineDeleting: "));
    assert_eq!(wire.ended(&execution).await, ExecutionStatus::Aborted);
    // It goes once nothing of it runs any more.
    loop {
        let described = wire
            .sfn
            .describe_state_machine()
            .state_machine_arn(&machine);
        if let Err(error) = described.send().await {
            assert_eq!(error.code(), Some("StateMachineDoesNotExist"));
            break;
        }
    }
    delete().send().await.unwrap();
    let again = made(&wire, "m", &pass(json!(1))).await;
    let listed = wire.sfn.list_executions().state_machine_arn(&again);
    assert!(listed.send().await.unwrap().executions().is_empty());
    let labelled = wire
        .sfn
        .delete_state_machine()
        .state_machine_arn(format!("{machine}/L"));
    assert!(refused!(labelled).starts_with("ValidationException: "));
}

#[tokio::test]
async fn an_express_execution_can_be_waited_for() {
    let wire = wire().await;
    let express = |name: &str, definition: String| {
        create(&wire, name, &definition).r#type(StateMachineType::Express)
    };
    let machine = express("m", pass(json!({"a": 1}))).send().await.unwrap();
    let machine = machine.state_machine_arn;
    let start = || wire.sfn.start_sync_execution().state_machine_arn(&machine);
    let ended = sent!(start().name("n").input("{ \"x\": 1 }")).unwrap();
    assert!(ended.execution_arn().contains(":express:m:n:"));
    assert_eq!(ended.status(), &SyncExecutionStatus::Succeeded);
    assert_eq!(ended.output(), Some("{\"a\":1}"));
    assert_eq!(ended.input(), Some("{ \"x\": 1 }"));
    assert_eq!(
        ended.billing_details().unwrap().billed_memory_used_in_mb(),
        64
    );
    let short = start().included_data(IncludedData::MetadataOnly);
    assert_eq!(sent!(short).unwrap().output(), None);
    // The same name again, without waiting: it has neither description nor history.
    let start = wire.sfn.start_execution().state_machine_arn(&machine);
    let arn = start.name("n").send().await.unwrap().execution_arn;
    let not_here = "InvalidArn: Invalid Arn: 'Resource type not valid in this context: express'";
    assert_eq!(
        refused!(wire.sfn.describe_execution().execution_arn(&arn)),
        not_here
    );
    assert_eq!(
        refused!(wire.sfn.get_execution_history().execution_arn(&arn)),
        not_here
    );
    assert_eq!(
        refused!(wire.sfn.stop_execution().execution_arn(&arn)),
        not_here
    );
    let not_supported = "StateMachineTypeNotSupported: This operation is not supported by this type of state machine";
    let list = wire.sfn.list_executions().state_machine_arn(&machine);
    assert_eq!(refused!(list), not_supported);
    let standard = made(&wire, "standard", &pass(json!(1))).await;
    let start = wire.sfn.start_sync_execution().state_machine_arn(standard);
    assert_eq!(refused!(start), not_supported);
    let fail =
        json!({"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E", "Cause": "c"}}});
    let machine = express("fail", fail.to_string()).send().await.unwrap();
    let start = wire
        .sfn
        .start_sync_execution()
        .state_machine_arn(machine.state_machine_arn);
    let ended = sent!(start).unwrap();
    assert_eq!(ended.status(), &SyncExecutionStatus::Failed);
    assert_eq!((ended.error(), ended.cause()), (Some("E"), Some("c")));
    let token = json!({"StartAt": "T", "States": {"T": {"Type": "Task", "End": true,
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"FunctionName": "work", "Payload": {"t.$": "$$.Task.Token"}}}}});
    assert!(refused!(express("token", token.to_string())).contains(
        "Express state machine does not support '.waitForTaskToken' service integration "
    ));
}

#[tokio::test]
async fn a_definition_is_checked_without_creating_anything() {
    let wire = wire().await;
    let validate = |definition: &str| {
        let validate = wire.sfn.validate_state_machine_definition();
        validate.definition(definition)
    };
    let valid = validate(&pass(json!(1))).send().await.unwrap();
    assert_eq!(
        valid.result(),
        &ValidateStateMachineDefinitionResultCode::Ok
    );
    let broken = validate("{}").send().await.unwrap();
    assert_eq!(
        broken.result(),
        &ValidateStateMachineDefinitionResultCode::Fail
    );
    let problem = &broken.diagnostics()[0];
    assert_eq!(problem.code(), "SCHEMA_VALIDATION_FAILED");
    assert_eq!(
        problem.message(),
        "These fields are required: [States, StartAt]"
    );
    assert_eq!(problem.location(), Some("/"));
    let many =
        json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "A": 1, "B": 2, "End": true}}});
    let short = validate(&many.to_string())
        .max_results(1)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (short.diagnostics().len(), short.truncated()),
        (1, Some(true))
    );
}

#[tokio::test]
async fn a_name_is_free_again_after_ninety_days_and_begins_afresh() {
    let wire = wire().await;
    let machine = made(&wire, "m", &pass(json!(1))).await;
    let start = |input: &str| {
        let start = wire.sfn.start_execution().state_machine_arn(&machine);
        start.name("n").input(input)
    };
    let arn = start("1").send().await.unwrap().execution_arn;
    wire.ended(&arn).await;
    let taken = format!("ExecutionAlreadyExists: Execution Already Exists: '{arn}'");
    assert_eq!(refused!(start("1")), taken);
    let clock = wire.engine.runner().clock();
    clock.advance(Duration::from_hours(90 * 24) + Duration::from_mins(1));
    assert_eq!(start("[ 2 ]").send().await.unwrap().execution_arn, arn);
    wire.ended(&arn).await;
    let listed = wire.sfn.list_executions().state_machine_arn(&machine);
    assert_eq!(listed.send().await.unwrap().executions().len(), 1);
    let history = wire.sfn.get_execution_history().execution_arn(&arn);
    let history = history.send().await.unwrap();
    let started = history.events()[0].execution_started_event_details();
    assert_eq!(started.unwrap().input(), Some("[ 2 ]"));
    assert_eq!(history.events().len(), 4);
    let described = wire.sfn.describe_execution().execution_arn(&arn);
    assert_eq!(described.send().await.unwrap().input(), Some("[ 2 ]"));
}
