//! Executions that Tasks start, around a crash.

use super::*;
use crate::engine::store::Origin;

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_execution_that_nobody_waits_for_is_stopped_at_the_next_start() {
    let house = House::new().await;
    let pass = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}});
    let closed = house.start(pass, json!({})).await;
    house.ended(&closed).await;
    let wait =
        json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 86_400, "End": true}}});
    let machine = house.ok("CreateStateMachine", json!({"name": "long", "roleArn": "arn:aws:iam::000000000000:role/r", "definition": wait.to_string()})).await;
    let nested = async |name: &str, is_job: bool| {
        let origin = Origin {
            execution: closed.clone(),
            attempt: 7,
            is_job,
        };
        let request = json!({"stateMachineArn": machine["stateMachineArn"], "name": name});
        let started = || {
            sfn::call_from_task(
                &house.engine,
                "StartExecution",
                &request,
                Some(origin.clone()),
            )
        };
        let first = started().await.unwrap();
        // Asked again, as after a restart: it is the same one.
        assert_eq!(started().await.unwrap(), first);
        first["executionArn"].as_str().unwrap().to_owned()
    };
    let job = nested("job", true).await;
    let free = nested("free", false).await;

    let house = house.reopen().await;
    assert_eq!(house.ended(&job).await["status"], "ABORTED");
    let described = house
        .ok("DescribeExecution", json!({"executionArn": free}))
        .await;
    assert_eq!(
        described["status"], "RUNNING",
        "what was only started goes on"
    );
}
