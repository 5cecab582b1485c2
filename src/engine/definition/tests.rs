use serde_json::{Value, json};

use super::*;

fn problems(definition: Value) -> Vec<(String, String)> {
    let problems = Definition::parse(&definition.to_string()).unwrap_err();
    problems
        .into_iter()
        .map(|problem| (problem.place, problem.message))
        .collect()
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let found = problems(json!({
        "StartAt": "A",
        "States": {
            "A": {"Type": "Task", "Resource": "nonsense", "Next": "Gone"},
            "B": {"Type": "Pass", "Bogus": 1, "End": true},
        }
    }));
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(
        places,
        [
            "/States/A/Resource",
            "/States/B",
            "/States/A/Next",
            "/States/B"
        ]
    );
}

#[test]
fn what_the_engine_lacks_is_refused_by_name() {
    let found = problems(json!({
        "StartAt": "A",
        "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true}}
    }));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("sqs:sendMessage is not supported"));
}

#[test]
fn an_empty_object_names_the_required_fields() {
    assert_eq!(
        problems(json!({})),
        [(
            "/".to_owned(),
            "These fields are required: [States, StartAt]".to_owned()
        )]
    );
}

#[test]
fn inline_maps_refuse_the_fields_of_distributed_ones() {
    let found = problems(json!({
        "StartAt": "M",
        "States": {"M": {"Type": "Map", "End": true, "ToleratedFailureCount": 1,
            "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}}}
    }));
    assert_eq!(
        found,
        [(
            "/States/M".to_owned(),
            "Field 'ToleratedFailureCount' is not supported".to_owned()
        )]
    );
}

#[test]
fn retries_back_off_to_their_limit_and_end() {
    let retrier = Retrier {
        errors: vec![],
        interval_seconds: 2,
        max_attempts: 4,
        backoff_rate: 2.0,
        max_delay_seconds: Some(10),
        jitter: false,
    };
    let delays: Vec<_> = (1..=5)
        .map(|attempt| retrier.delay_ms(attempt, 0))
        .collect();
    assert_eq!(
        delays,
        [Some(2_000), Some(4_000), Some(8_000), Some(10_000), None]
    );
}

#[test]
fn runtime_errors_are_never_covered_and_timeouts_not_by_task_failed() {
    let all = ["States.ALL".to_owned()];
    let task_failed = ["States.TaskFailed".to_owned()];
    assert!(covers(&all, "X") && !covers(&all, "States.Runtime"));
    assert!(covers(&task_failed, "X") && !covers(&task_failed, "States.Timeout"));
}
