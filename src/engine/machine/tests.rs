mod tasks;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::engine::definition::{Definition, Resource};

/// Drives an execution by hand: functions answer from a table, timers fire at once.
struct Driver {
    definition: Definition,
    identity: Identity,
    input: Arc<Value>,
    execution: Execution,
    /// Answers of each function, in order; the last one repeats.
    answers: HashMap<String, Vec<std::result::Result<Value, Failure>>>,
    events: Vec<Event>,
    map_runs: Vec<Command>,
    outcome: Option<Outcome>,
    now: i64,
}

impl Driver {
    fn new(definition: Value, input: Value) -> Self {
        let identity = Identity {
            id: "arn:aws:states:us-east-1:000000000000:execution:M:run".into(),
            name: "run".into(),
            role: "role".into(),
            machine_id: "arn:aws:states:us-east-1:000000000000:stateMachine:M".into(),
            machine_name: "M".into(),
            started: 0,
            nonce: "n".into(),
        };
        Self {
            definition: Definition::parse(&definition.to_string()).unwrap(),
            identity,
            input: Arc::new(input),
            execution: Execution::default(),
            answers: HashMap::new(),
            events: Vec::new(),
            map_runs: Vec::new(),
            outcome: None,
            now: 0,
        }
    }

    fn answer(mut self, function: &str, answers: &[std::result::Result<Value, Failure>]) -> Self {
        self.answers.insert(function.into(), answers.to_vec());
        self
    }

    fn give(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let machine = Machine {
                scope: &self.definition.scope,
                timeout_seconds: self.definition.timeout_seconds,
                identity: &self.identity,
                input: &self.input,
                context: None,
                record: true,
            };
            let step = step(&machine, &mut self.execution, input, self.now);
            self.events.extend(step.events);
            if step.outcome.is_some() {
                self.outcome = step.outcome;
            }
            for command in step.commands.into_iter().rev() {
                match command {
                    Command::Call(call) => {
                        let function = match &call.resource {
                            Resource::Function(arn) => arn.to_string(),
                            _ => call.parameters["FunctionName"].as_str().unwrap().to_owned(),
                        };
                        let token = call.attempt;
                        let answers = self.answers.get_mut(&function).unwrap();
                        let result = if answers.len() > 1 {
                            answers.remove(0)
                        } else {
                            answers[0].clone()
                        };
                        inputs.push(Input::TaskEnded { token, result });
                    }
                    Command::Timer { token, at } => {
                        self.now = self.now.max(at);
                        inputs.push(Input::TimerFired { token });
                    }
                    Command::Abandon { .. } => {}
                    map_run => self.map_runs.push(map_run),
                }
            }
        }
    }

    fn run(mut self) -> Self {
        self.give(Input::Start);
        self
    }

    /// `TaskScheduled 3<-2` and so on.
    fn history(&self) -> Vec<String> {
        self.events
            .iter()
            .map(|event| format!("{} {}<-{}", event.kind, event.id, event.previous))
            .collect()
    }
}

fn task(function: &str, more: Value) -> Value {
    let mut task = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": function, "Payload.$": "$"}, "End": true});
    task.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    task
}

#[test]
fn a_retried_task_is_scheduled_again_without_a_second_entered_event() {
    let definition = json!({"StartAt": "T", "States": {"T": task("f", json!({"Retry": [{"ErrorEquals": ["Oops"]}]}))}});
    let driver = Driver::new(definition, json!({}))
        .answer("f", &[Err(Failure::new("Oops", "c")), Ok(json!(1))])
        .run();
    assert_eq!(
        driver.history(),
        [
            "ExecutionStarted 1<-0",
            "TaskStateEntered 2<-0",
            "TaskScheduled 3<-2",
            "TaskStarted 4<-3",
            "TaskFailed 5<-4",
            "TaskScheduled 6<-5",
            "TaskStarted 7<-6",
            "TaskSucceeded 8<-7",
            "TaskStateExited 9<-8",
            "ExecutionSucceeded 10<-9"
        ]
    );
    assert_eq!(driver.outcome, Some(succeeded(json!(1))));
    assert_eq!(driver.now, 1_000);
}

#[test]
fn a_catcher_takes_error_and_cause_to_its_path() {
    let definition = json!({"StartAt": "T", "States": {
        "T": task("f", json!({"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "After", "ResultPath": "$.why"}]})),
        "After": {"Type": "Pass", "End": true}}});
    let driver = Driver::new(definition, json!({"a": 1}))
        .answer("f", &[Err(Failure::new("Oops", "because"))])
        .run();
    assert_eq!(
        driver.outcome,
        Some(succeeded(
            json!({"a": 1, "why": {"Error": "Oops", "Cause": "because"}})
        ))
    );
}

#[test]
fn a_redriven_task_follows_its_original_entered_event() {
    let definition = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "Next": "T"}, "T": task("f", json!({}))}});
    let mut driver = Driver::new(definition, json!({}))
        .answer("f", &[Err(Failure::new("Oops", "c")), Ok(json!(2))])
        .run();
    assert!(matches!(driver.outcome, Some(Outcome::Failed(_))));
    driver.give(Input::Redrive);
    assert_eq!(
        driver.history()[3..],
        [
            "TaskStateEntered 4<-3",
            "TaskScheduled 5<-4",
            "TaskStarted 6<-5",
            "TaskFailed 7<-6",
            "ExecutionFailed 8<-7",
            "ExecutionRedriven 9<-8",
            "TaskScheduled 10<-4",
            "TaskStarted 11<-10",
            "TaskSucceeded 12<-11",
            "TaskStateExited 13<-12",
            "ExecutionSucceeded 14<-13"
        ]
    );
    assert_eq!(driver.outcome, Some(succeeded(json!(2))));
}

fn distributed() -> Value {
    json!({"StartAt": "M", "States": {"M": {"Type": "Map", "Label": "Lines", "End": true,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "W", "States": {"W": {"Type": "Pass", "End": true}}}}}})
}

#[test]
fn a_redriven_map_run_follows_map_state_started() {
    let mut driver = Driver::new(distributed(), json!([1, 2])).run();
    let Command::StartMapRun(plan) = driver.map_runs[0].clone() else {
        panic!("no map run")
    };
    let failure = Failure::new(
        "States.ExceedToleratedFailureThreshold",
        "The specified tolerated failure threshold was exceeded",
    );
    driver.give(Input::MapRunEnded {
        arn: plan.arn.clone(),
        redrives: 0,
        result: Err(failure),
    });
    driver.give(Input::Redrive);
    assert_eq!(
        driver.map_runs[1],
        Command::FollowMapRun {
            arn: plan.arn.clone(),
            redrives: 1
        }
    );
    // The first attempt's end, told again after a crash, changes nothing.
    driver.give(Input::MapRunEnded {
        arn: plan.arn.clone(),
        redrives: 0,
        result: Ok(json!([])),
    });
    driver.give(Input::MapRunEnded {
        arn: plan.arn,
        redrives: 1,
        result: Ok(json!([1, 2])),
    });
    assert_eq!(
        driver.history(),
        [
            "ExecutionStarted 1<-0",
            "MapStateEntered 2<-0",
            "MapStateStarted 3<-2",
            "MapRunStarted 4<-3",
            "MapRunFailed 5<-4",
            "MapStateFailed 6<-5",
            "ExecutionFailed 7<-6",
            "ExecutionRedriven 8<-7",
            "MapRunRedriven 9<-3",
            "MapRunSucceeded 10<-9",
            "MapStateSucceeded 11<-10",
            "MapStateExited 12<-4",
            "ExecutionSucceeded 13<-12"
        ]
    );
}

#[test]
fn stopping_aborts_the_map_run_and_keeps_it_for_a_redrive() {
    let mut driver = Driver::new(distributed(), json!([1])).run();
    driver.give(Input::Stop {
        error: None,
        cause: None,
    });
    assert_eq!(
        driver.history()[4..],
        [
            "MapRunAborted 5<-4",
            "MapStateAborted 6<-5",
            "ExecutionAborted 7<-0"
        ]
    );
    assert!(matches!(driver.map_runs[1], Command::StopMapRun { .. }));
    driver.give(Input::Redrive);
    assert!(matches!(
        &driver.map_runs[2],
        Command::FollowMapRun { redrives: 1, .. }
    ));
}

#[test]
fn an_inline_map_fails_with_its_first_iteration_and_redrives_only_what_failed() {
    let definition = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "MaxConcurrency": 1, "End": true,
        "ItemSelector": {"v.$": "$$.Map.Item.Value", "i.$": "$$.Map.Item.Index"},
        "ItemProcessor": {"StartAt": "T", "States": {"T": task("f", json!({"OutputPath": "$"}))}}}}});
    let mut driver = Driver::new(definition, json!(["a", "b"]))
        .answer(
            "f",
            &[Ok(json!(1)), Err(Failure::new("Oops", "c")), Ok(json!(2))],
        )
        .run();
    assert!(matches!(driver.outcome, Some(Outcome::Failed(_))));
    driver.give(Input::Redrive);
    assert_eq!(driver.outcome, Some(succeeded(json!([1, 2]))));
    let started = driver
        .events
        .iter()
        .filter(|event| event.kind == "MapIterationStarted")
        .count();
    assert_eq!(started, 2);
}

#[test]
fn parallel_joins_in_branch_order_and_a_hundred_thousand_choices_need_no_stack() {
    let branch = |n: u64| json!({"StartAt": format!("P{n}"), "States": {format!("P{n}"): {"Type": "Pass", "Result": n, "End": true}}});
    let definition = json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [branch(1), branch(2)]}}});
    let driver = Driver::new(definition, json!({})).run();
    assert_eq!(driver.outcome, Some(succeeded(json!([1, 2]))));

    let endless = json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Choice", "Choices": [{"Variable": "$.go", "IsPresent": false, "Next": "A"}], "Default": "C"}, "C": {"Type": "Succeed"}}});
    let driver = Driver::new(endless, json!({})).run();
    let Some(Outcome::Failed(failure)) = driver.outcome else {
        panic!("it must end")
    };
    assert!(
        failure
            .cause
            .unwrap()
            .contains("maximum number of history events")
    );
    assert!(driver.events.len() as u64 <= MAX_EVENTS);
}

#[test]
fn an_endless_loop_over_a_large_payload_is_taken_in_small_steps() {
    let endless = json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Choice", "Choices": [{"Variable": "$.go", "IsPresent": false, "Next": "A"}], "Default": "C"}, "C": {"Type": "Succeed"}}});
    let driver = Driver::new(endless, json!({"large": "x".repeat(1_000)}));
    // Whether events are kept or not, the steps are the same.
    for record in [true, false] {
        let machine = Machine {
            scope: &driver.definition.scope,
            timeout_seconds: None,
            identity: &driver.identity,
            input: &driver.input,
            context: None,
            record,
        };
        let mut execution = Execution::default();
        let mut input = Input::Start;
        let mut steps = 0;
        loop {
            let before = execution.events();
            let step = step(&machine, &mut execution, input, 7);
            steps += 1;
            assert!(execution.events() - before <= 510);
            if let Some(outcome) = step.outcome {
                assert!(matches!(outcome, Outcome::Failed(_)));
                break;
            }
            let [Command::Timer { token, at: 7 }] = step.commands[..] else {
                panic!("{:?}", step.commands)
            };
            assert_eq!(owed(&machine, &execution), step.commands);
            input = Input::TimerFired { token };
        }
        assert!(steps > 40 && execution.events() <= MAX_EVENTS);
    }
}

#[test]
fn what_is_owed_after_a_restart_is_what_was_commanded() {
    let definition = json!({"StartAt": "T", "TimeoutSeconds": 60, "States": {"T": task("f", json!({"TimeoutSeconds": 5}))}});
    let driver = Driver::new(definition, json!({"x": 1}));
    let machine = Machine {
        scope: &driver.definition.scope,
        timeout_seconds: driver.definition.timeout_seconds,
        identity: &driver.identity,
        input: &driver.input,
        context: None,
        record: false,
    };
    let mut execution = Execution::default();
    let first = step(&machine, &mut execution, Input::Start, 7);
    let stored = serde_json::to_string(&execution).unwrap();
    let restored: Execution = serde_json::from_str(&stored).unwrap();
    assert_eq!(owed(&machine, &restored), first.commands);
    assert!(first.events.is_empty() && restored.events() == 4);
}

fn inline_map(more: Value, processor: Value) -> Value {
    let mut map = json!({"Type": "Map", "End": true, "ItemProcessor": {"StartAt": "I", "States": {"I": processor}}});
    map.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"StartAt": "M", "States": {"M": map}})
}

#[test]
fn one_at_a_time_an_iteration_follows_the_last_event_inside_the_one_before() {
    let definition = inline_map(
        json!({"MaxConcurrency": 1, "InputPath": "$.in", "ItemsPath": "$.items",
               "ItemSelector": {"of.$": "$.name", "v.$": "$$.Map.Item.Value"}}),
        json!({"Type": "Pass", "End": true}),
    );
    let input = json!({"in": {"items": [1, 2], "name": "x"}});
    let driver = Driver::new(definition, input).run();
    assert_eq!(
        driver.history()[1..],
        [
            "MapStateEntered 2<-0",
            "MapStateStarted 3<-2",
            "MapIterationStarted 4<-3",
            "PassStateEntered 5<-4",
            "PassStateExited 6<-5",
            "MapIterationSucceeded 7<-6",
            "MapIterationStarted 8<-6",
            "PassStateEntered 9<-8",
            "PassStateExited 10<-9",
            "MapIterationSucceeded 11<-10",
            "MapStateSucceeded 12<-11",
            "MapStateExited 13<-11",
            "ExecutionSucceeded 14<-13"
        ]
    );
    let expected = json!([{"of": "x", "v": 1}, {"of": "x", "v": 2}]);
    assert_eq!(driver.outcome, Some(succeeded(expected)));
}

#[test]
fn a_retried_map_tells_of_its_failure_once() {
    let retry = json!({"Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}]});
    let definition = inline_map(retry, json!({"Type": "Fail", "Error": "Oops"}));
    let driver = Driver::new(definition, json!([1])).run();
    assert_eq!(
        driver.history()[2..],
        [
            "MapStateStarted 3<-2",
            "MapIterationStarted 4<-3",
            "FailStateEntered 5<-4",
            "MapIterationFailed 6<-5",
            "MapStateStarted 7<-5",
            "MapIterationStarted 8<-7",
            "FailStateEntered 9<-8",
            "MapIterationFailed 10<-9",
            "MapStateFailed 11<-9",
            "ExecutionFailed 12<-11"
        ]
    );
}

#[test]
fn a_path_that_leads_nowhere_fails_beyond_any_catch_and_says_where() {
    let definition = json!({"StartAt": "T", "States": {
        "T": task("f", json!({"Parameters": {"FunctionName": "f", "x.$": "$.a.b.c"},
                              "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "P"}]})),
        "P": {"Type": "Pass", "InputPath": "$.a.b.c", "End": true}}});
    let driver = Driver::new(definition, json!({"a": {}})).run();
    let Some(Outcome::Failed(failure)) = &driver.outcome else {
        panic!("it must fail")
    };
    assert_eq!(failure.error.as_deref(), Some("States.Runtime"));
    assert_eq!(
        failure.cause.as_deref(),
        Some(
            "An error occurred while executing the state 'T' (entered at the event id #2). The JSONPath '$.a.b.c' specified for the field 'x.$' could not be found in the input '{\"a\":{}}'"
        )
    );
    let pass = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "InputPath": "$.a.b.c", "End": true}}});
    let driver = Driver::new(pass, json!({"a": {}})).run();
    let Some(Outcome::Failed(failure)) = &driver.outcome else {
        panic!("it must fail")
    };
    let cause = failure.cause.clone().unwrap();
    assert!(
        cause.ends_with("Invalid path '$.a.b.c' : Missing property in path $['a']['b']"),
        "{cause}"
    );
}

#[test]
fn data_that_could_not_be_stored_again_is_refused() {
    let nested = (0..120).fold(json!(1), |value, _| json!([value]));
    assert!(exceeds_depth(&nested) && !exceeds_depth(&json!({"a": [1]})));
    let wrap = json!({"StartAt": "P", "States": {
        "P": {"Type": "Pass", "Parameters": {"a.$": "$"}, "Next": "C"},
        "C": {"Type": "Choice", "Choices": [{"Variable": "$.no", "IsPresent": true, "Next": "E"}], "Default": "P"},
        "E": {"Type": "Succeed"}}});
    let driver = Driver::new(wrap, json!(1)).run();
    let Some(Outcome::Failed(failure)) = driver.outcome else {
        panic!("it must fail")
    };
    assert_eq!(failure.error.as_deref(), Some("States.DataLimitExceeded"));
}

fn jsonata(states: Value) -> Value {
    let start = states.as_object().unwrap().keys().next().unwrap().clone();
    json!({"QueryLanguage": "JSONata", "StartAt": start, "States": states})
}

fn output(definition: Value, input: Value) -> Value {
    match Driver::new(definition, input).run().outcome {
        Some(Outcome::Succeeded(output)) => Arc::unwrap_or_clone(output),
        other => panic!("{other:?}"),
    }
}

fn failure(driver: &Driver) -> (String, String) {
    match &driver.outcome {
        Some(Outcome::Failed(failure)) => (
            failure.error.clone().unwrap_or_default(),
            failure.cause.clone().unwrap_or_default(),
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn jsonata_states_take_input_result_error_and_context() {
    let definition = jsonata(json!({
        "Call": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": "f", "Payload": {"n": "{% $states.input.n + 1 %}"}},
            "Assign": {"seen": "{% $states.result %}"},
            "Output": {"got": "{% $states.result.v %}", "in": "{% $states.context.State.Name %}"},
            "Catch": [{"ErrorEquals": ["Oops"], "Output": "{% $states.errorOutput.Cause %}", "Next": "Caught"}],
            "Next": "Pick"},
        "Pick": {"Type": "Choice", "Default": "Caught",
            "Choices": [{"Condition": "{% $states.input.got > 1 %}", "Next": "Done",
                "Assign": {"picked": true}, "Output": "{% [$states.input.in, $seen.v] %}"}]},
        "Done": {"Type": "Pass", "Output": "{% {'all': $states.input, 'picked': $picked} %}", "End": true},
        "Caught": {"Type": "Succeed"}
    }));
    let run = |answer| {
        Driver::new(definition.clone(), json!({"n": 1}))
            .answer("f", &[answer])
            .run()
    };
    let driver = run(Ok(json!({"v": 7})));
    let expected = json!({"all": ["Call", 7], "picked": true});
    assert_eq!(driver.outcome, Some(succeeded(expected)));
    let exited = |name: &str| {
        let event = driver.events.iter().find(|event| {
            event.kind.ends_with("Exited")
                && event
                    .details
                    .as_ref()
                    .is_some_and(|details| details["name"] == name)
        });
        event.unwrap().details.clone().unwrap()
    };
    assert_eq!(
        exited("Call")["assignedVariables"],
        json!({"seen": "{\"v\":7}"})
    );
    assert_eq!(
        exited("Pick")["assignedVariablesDetails"],
        json!({"truncated": false})
    );
    assert_eq!(exited("Done").get("assignedVariables"), None);
    let driver = run(Err(Failure::new("Oops", "why")));
    assert_eq!(driver.outcome, Some(succeeded(json!("why"))));
}

#[test]
fn a_failed_evaluation_is_told_where_aws_tells_it() {
    let wait = jsonata(json!({"W": {"Type": "Wait", "Seconds": "{% 'soon' %}", "End": true}}));
    let driver = Driver::new(wait, json!({})).run();
    assert_eq!(
        driver.history()[1..],
        [
            "WaitStateEntered 2<-0",
            "EvaluationFailed 3<-2",
            "ExecutionFailed 4<-3"
        ]
    );
    let details = driver.events[2].details.clone().unwrap();
    assert_eq!(details["location"], "Seconds");
    assert_eq!(details["state"], "W");
    let cause = "An error occurred while executing the state 'W' (entered at the event id #2). The JSONata expression ''soon'' specified for the field 'Seconds' returned an unexpected result type. Expected 'number', but was 'string' for value: \"soon\"";
    assert_eq!(
        failure(&driver),
        ("States.QueryEvaluationError".into(), cause.into())
    );
    let processor = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}});
    let map = jsonata(json!({
        "M": {"Type": "Map", "Items": "{% $states.input.none %}", "ItemProcessor": processor,
            "Catch": [{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "E"}], "End": true},
        "E": {"Type": "Succeed"}}));
    let driver = Driver::new(map, json!({})).run();
    assert_eq!(
        driver.history()[1..5],
        [
            "MapStateEntered 2<-0",
            "EvaluationFailed 3<-0",
            "MapStateFailed 4<-3",
            "MapStateExited 5<-4"
        ]
    );
}

#[test]
fn variables_are_read_below_their_scope_and_live_through_a_restart() {
    let branch = json!({"StartAt": "B", "States": {
        "B": {"Type": "Pass", "Parameters": {"of.$": "$who.name", "sum.$": "States.MathAdd($n, 1)"}, "Next": "C"},
        "C": {"Type": "Wait", "Seconds": 5, "Assign": {"own.$": "$.sum"}, "Next": "D"},
        "D": {"Type": "Pass", "Parameters": {"own.$": "$own", "of.$": "$.of"}, "End": true}}});
    let definition = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Result": {"name": "x"}, "Assign": {"who.$": "$", "n": 2}, "Next": "P"},
        "P": {"Type": "Parallel", "Branches": [branch], "End": true}}});
    let mut driver = Driver::new(definition, json!({}));
    let machine = Machine {
        scope: &driver.definition.scope,
        timeout_seconds: None,
        identity: &driver.identity,
        input: &driver.input,
        context: None,
        record: true,
    };
    let first = step(&machine, &mut driver.execution, Input::Start, 0);
    let [Command::Timer { token, at }] = first.commands.as_slice() else {
        panic!("{:?}", first.commands)
    };
    let stored = serde_json::to_string(&driver.execution).unwrap();
    let mut restored: Execution = serde_json::from_str(&stored).unwrap();
    let last = step(
        &machine,
        &mut restored,
        Input::TimerFired { token: *token },
        *at,
    );
    let expected = json!([{"own": 3, "of": "x"}]);
    assert_eq!(last.outcome, Some(succeeded(expected)));
}

#[test]
fn languages_mix_and_a_catcher_assigns() {
    let definition = json!({"StartAt": "T", "States": {
        "T": task("f", json!({"End": null, "Next": "J", "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": null, "Assign": {"why.$": "$.Cause"}, "Next": "J"}]})),
        "J": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $why & '!' %}", "End": true}}});
    let driver = Driver::new(definition, json!({"a": 1}))
        .answer("f", &[Err(Failure::new("Oops", "because"))])
        .run();
    assert_eq!(driver.outcome, Some(succeeded(json!("because!"))));
}

#[test]
fn every_branch_is_entered_before_one_failure_ends_them() {
    let definition = json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E"}}},
        {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": true}}}]}}});
    let driver = Driver::new(definition, json!({})).run();
    assert_eq!(
        driver.history()[3..],
        [
            "FailStateEntered 4<-3",
            "WaitStateEntered 5<-3",
            "WaitStateAborted 6<-4",
            "ParallelStateFailed 7<-4",
            "ExecutionFailed 8<-7"
        ]
    );
}

#[test]
fn unique_numbers_within_an_evaluation() {
    let pass = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true,
        "Parameters": {"a.$": "States.UUID()", "b.$": "States.UUID()"}}}});
    let both = output(pass.clone(), json!({}));
    assert_ne!(both["a"], both["b"]);
    assert_eq!(both, output(pass, json!({})));
}

fn succeeded(output: Value) -> Outcome {
    Outcome::Succeeded(Arc::new(output))
}
