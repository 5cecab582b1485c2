//! Distributed Maps where they are less usual: inside one another, inside Parallel and inline Map,
//! entered again, and waiting for their turn.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::*;

/// A Distributed Map over `$.rows` of Standard children, each of which maps over its own `$.cells`.
fn nested(inner: &str, more: Value) -> Value {
    let work = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "work", "Payload.$": "$"}, "OutputPath": "$.Payload.n", "End": true});
    let mut cells = json!({"Type": "Map", "Label": "Cells", "ItemsPath": "$.cells", "End": true,
        "ItemSelector": {"n.$": "$$.Map.Item.Value"},
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": inner}, "StartAt": "Work", "States": {"Work": work}}});
    cells
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let rows = json!({"Type": "Map", "Label": "Rows", "ItemsPath": "$.rows", "End": true,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Cells", "States": {"Cells": cells}}});
    json!({"StartAt": "Rows", "States": {"Rows": rows}})
}

fn table(rows: u64, cells: u64) -> Value {
    let row = |row| json!({"cells": (0..cells).map(|cell| row * 100 + cell).collect::<Vec<_>>()});
    json!({"rows": (0..rows).map(row).collect::<Vec<_>>()})
}

fn expected(rows: u64, cells: u64) -> Value {
    let row = |row| (0..cells).map(|cell| row * 100 + cell).collect::<Vec<_>>();
    json!((0..rows).map(row).collect::<Vec<_>>())
}

fn output(described: &Value) -> Value {
    let text = described["output"].as_str();
    serde_json::from_str(text.unwrap_or_else(|| panic!("{described}"))).unwrap()
}

/// The children of the execution's newest Map Run.
async fn children(house: &House, arn: &str) -> Vec<Value> {
    let run = house.map_run(arn).await["mapRunArn"].clone();
    let list = json!({"mapRunArn": run, "maxResults": 1000});
    let listed = house.ok("ListExecutions", list).await;
    listed["executions"].as_array().unwrap().clone()
}

/// Makes `work` wait until the semaphore lets it go on.
fn gated(engine: &Engine) -> Arc<Semaphore> {
    let gate = Arc::new(Semaphore::new(0));
    let at_gate = Arc::clone(&gate);
    engine.functions().register("work", move |event| {
        let gate = Arc::clone(&at_gate);
        async move {
            gate.acquire()
                .await
                .expect("nobody is asked any more")
                .forget();
            Ok(event)
        }
        .boxed()
    });
    gate
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_run_belongs_to_the_child_that_began_it() {
    for inner in ["STANDARD", "EXPRESS"] {
        let house = House::new().await;
        house.put("bad.json", "[]");
        let arn = house.start(nested(inner, json!({})), table(3, 4)).await;
        assert_eq!(output(&house.ended(&arn).await), expected(3, 4));
        let outer = children(&house, &arn).await;
        assert_eq!(outer.len(), 3);
        for child in outer {
            let child = child["executionArn"].as_str().unwrap();
            assert!(child.contains(":execution:m/Rows:"), "{child}");
            let run = house.map_run(child).await;
            assert_eq!(run["executionArn"], child);
            assert_eq!(run["status"], "SUCCEEDED");
            assert_eq!(run["itemCounts"]["succeeded"], 4);
            let arn = run["mapRunArn"].as_str().unwrap();
            assert!(arn.contains(":mapRun:m/Cells:"), "{arn}");
            assert_eq!(
                house.history(child).await,
                [
                    "ExecutionStarted 1<-0",
                    "MapStateEntered 2<-0",
                    "MapStateStarted 3<-2",
                    "MapRunStarted 4<-3",
                    "MapRunSucceeded 5<-4",
                    "MapStateSucceeded 6<-5",
                    "MapStateExited 7<-4",
                    "ExecutionSucceeded 8<-7"
                ]
            );
            let inner = children(&house, child).await;
            assert_eq!(inner.len(), 4);
            let described = house
                .ok(
                    "DescribeExecution",
                    json!({"executionArn": inner[0]["executionArn"]}),
                )
                .await;
            assert_eq!(described["mapRunArn"], arn);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_reaches_the_map_runs_of_children() {
    let house = House::new().await;
    house.put("bad.json", "[102]");
    let arn = house
        .start(
            nested("STANDARD", json!({"MaxConcurrency": 1})),
            table(2, 4),
        )
        .await;
    let failed = house.ended(&arn).await;
    assert_eq!(failed["error"], "States.ExceedToleratedFailureThreshold");
    house.put("bad.json", "[]");
    house
        .ok("RedriveExecution", json!({"executionArn": arn}))
        .await;
    assert_eq!(output(&house.ended(&arn).await), expected(2, 4));
    let mut redrives = Vec::new();
    for child in children(&house, &arn).await {
        let run = house.map_run(child["executionArn"].as_str().unwrap()).await;
        assert_eq!(run["itemCounts"]["succeeded"], 4);
        redrives.push(run["redriveCount"].as_u64().unwrap());
    }
    assert!(redrives.contains(&1), "{redrives:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_execution_stops_the_map_runs_of_children() {
    let house = House::new().await;
    let gate = gated(&house.engine);
    let arn = house
        .start(nested("STANDARD", json!({})), table(2, 3))
        .await;
    while house.map_run(&arn).await["itemCounts"]["running"] != 2 {
        tokio::task::yield_now().await;
    }
    let outer = children(&house, &arn).await;
    let inner = |child: &Value| child["executionArn"].as_str().unwrap().to_owned();
    for child in &outer {
        let runs = json!({"executionArn": inner(child)});
        loop {
            let listed = house.ok("ListMapRuns", runs.clone()).await;
            if listed["mapRuns"]
                .as_array()
                .is_some_and(|runs| !runs.is_empty())
                && house.map_run(&inner(child)).await["itemCounts"]["running"] == 3
            {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    house
        .ok("StopExecution", json!({"executionArn": arn}))
        .await;
    for child in &outer {
        while house.map_run(&inner(child)).await["status"] != "ABORTED" {
            tokio::task::yield_now().await;
        }
        let counts = house.map_run(&inner(child)).await["itemCounts"].clone();
        assert_eq!(counts["aborted"], 3, "{counts}");
    }
    gate.add_permits(1_000);
    house
        .ok("RedriveExecution", json!({"executionArn": arn}))
        .await;
    assert_eq!(output(&house.ended(&arn).await), expected(2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_map_runs_go_on_after_a_crash() {
    for inner in ["STANDARD", "EXPRESS"] {
        let mut house = House::new().await;
        house.put("bad.json", "[]");
        let arn = house
            .start(nested(inner, json!({"MaxConcurrency": 2})), table(12, 15))
            .await;
        for _ in 0..4 {
            tokio::task::yield_now().await;
            house = house.reopen().await;
        }
        assert_eq!(output(&house.ended(&arn).await), expected(12, 15));
        for child in children(&house, &arn).await {
            let child = json!({"executionArn": child["executionArn"]});
            let listed = house.ok("ListMapRuns", child).await;
            assert_eq!(listed["mapRuns"].as_array().unwrap().len(), 1, "begun once");
        }
        let open = house.engine.runner().store().open_map_runs().unwrap();
        assert_eq!(open.len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_express_child_may_not_contain_a_distributed_map() {
    let house = House::new().await;
    let mut definition = nested("STANDARD", json!({}));
    definition["States"]["Rows"]["ItemProcessor"]["ProcessorConfig"]["ExecutionType"] =
        "EXPRESS".into();
    let body = json!({"name": "x", "roleArn": "arn:aws:iam::000000000000:role/r", "definition": definition.to_string()});
    let refused = house.call("CreateStateMachine", body).await.unwrap_err();
    assert!(
        refused.message.contains("DISTRIBUTED"),
        "{}",
        refused.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_branches_and_inline_iterations_have_map_runs() {
    let house = House::new().await;
    house.put("bad.json", "[]");
    let inner = |label: &str| {
        let mut map =
            nested("EXPRESS", json!({}))["States"]["Rows"]["ItemProcessor"]["States"]["Cells"]
                .clone();
        map["Label"] = label.into();
        let processor = &mut map["ItemProcessor"];
        let work = processor["States"]["Work"].clone();
        processor["StartAt"] = format!("Work {label}").into();
        processor["States"] = json!({format!("Work {label}"): work});
        map
    };
    let definition = json!({"StartAt": "Both", "States": {"Both": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "A", "States": {"A": inner("A")}},
        {"StartAt": "Inline", "States": {"Inline": {"Type": "Map", "ItemsPath": "$.rows", "End": true,
            "ItemProcessor": {"StartAt": "B", "States": {"B": inner("B")}}}}}]}}});
    let mut input = table(2, 2);
    input["cells"] = json!([7]);
    let arn = house.start(definition, input).await;
    assert_eq!(
        output(&house.ended(&arn).await),
        json!([[7], [[0, 1], [100, 101]]])
    );
    let listed = house.ok("ListMapRuns", json!({"executionArn": arn})).await;
    assert_eq!(listed["mapRuns"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_is_retried_or_entered_again_begins_a_new_map_run() {
    let house = House::new().await;
    house.put("items", &items(4));
    house.put("bad.json", "[2]");
    let retry =
        json!({"Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1}]});
    let arn = house.start(distributed("EXPRESS", retry), json!({})).await;
    let failed = house.ended(&arn).await;
    assert_eq!(failed["error"], "States.ExceedToleratedFailureThreshold");
    let listed = house.ok("ListMapRuns", json!({"executionArn": arn})).await;
    let runs = listed["mapRuns"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        let described = json!({"mapRunArn": run["mapRunArn"]});
        let described = house.ok("DescribeMapRun", described).await;
        assert_eq!(described["itemCounts"]["total"], 4, "all items again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn further_map_runs_wait_for_their_turn_and_can_be_stopped_meanwhile() {
    let mut house = House::new().await;
    let one = map_run::Quotas {
        open_map_runs: 1,
        ..map_run::Quotas::default()
    };
    house.engine.runner().set_quotas(one);
    house.put("items", &items(3));
    let gate = gated(&house.engine);
    let machine = house
        .ok(
            "CreateStateMachine",
            json!({"name": "m", "roleArn": "arn:aws:iam::000000000000:role/r",
        "definition": distributed("STANDARD", json!({})).to_string()}),
        )
        .await["stateMachineArn"]
        .clone();
    let start = async |house: &House| {
        let started = house
            .ok("StartExecution", json!({"stateMachineArn": machine}))
            .await;
        started["executionArn"].as_str().unwrap().to_owned()
    };
    let first = start(&house).await;
    while house.map_run(&first).await["itemCounts"]["running"] != 3 {
        tokio::task::yield_now().await;
    }
    let (second, third) = (start(&house).await, start(&house).await);
    for waiting in [&second, &third] {
        while house.history(waiting).await.last().map(String::as_str) != Some("MapRunStarted 4<-3")
        {
            tokio::task::yield_now().await;
        }
        let run = house.map_run(waiting).await;
        assert_eq!(
            (run["status"].as_str(), run["itemCounts"]["total"].as_u64()),
            (Some("RUNNING"), Some(0))
        );
    }
    house
        .ok("StopExecution", json!({"executionArn": third}))
        .await;
    while house.map_run(&third).await["status"] != "ABORTED" {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.map_run(&third).await["itemCounts"]["total"], 0);

    // They still wait after a restart: the first one goes on and keeps its place.
    house.engine.stop().await;
    gate.close();
    let mut gate = gate;
    house = house.reopen_with(one, |engine| gate = gated(engine)).await;
    let counts = house.map_run(&second).await["itemCounts"].clone();
    assert_eq!(counts["total"], 0);
    gate.add_permits(1_000);
    for arn in [&first, &second] {
        assert_eq!(house.ended(arn).await["status"], "SUCCEEDED");
    }
    assert_eq!(house.map_run(&second).await["itemCounts"]["succeeded"], 3);
}
