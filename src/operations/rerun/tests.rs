use serde_json::json;

use super::making::{derived_name, generation, shipped_input};
use super::*;
use crate::operations::runs::is_name;

fn arn(name: &str) -> ExecutionArn {
    ExecutionArn::new(format!(
        "arn:aws:states:us-east-1:000000000000:execution:SM:{name}"
    ))
}

#[test]
fn a_name_is_the_same_for_the_same_items_and_counts_generations() {
    let name = |run: &str, sha: &str| derived_name(&arn(run), sha, &Wish::default());
    let first = name("invoices-77de", "aa");
    assert_eq!(first, name("invoices-77de", "aa"));
    assert_ne!(first, name("invoices-77de", "ab"));
    assert!(first.starts_with("invoices-77de-r1-"), "{first}");
    let second = name(&first, "aa");
    assert!(second.starts_with("invoices-77de-r2-"), "{second}");
    let long = name(&"x".repeat(80), "aa");
    assert!(is_name(&long), "{long}");
    assert_eq!(generation("-r1-00000000"), ("-r1-00000000", 0));
}

#[test]
fn the_input_of_a_re_run_names_lines_and_what_they_are_merged_with() {
    let subset = ObjectAddress::new("b", "only.jsonl");
    let input = json!({"source": {"bucket": "b", "key": "k"}, "only": 1, "tolerate": 5});
    let output = json!({
        "output": {"bucket": "b", "key": "out"},
        "failed": {"bucket": "b", "key": "out.failed.jsonl"},
        "counts": {"lines": 60},
    });
    let new = shipped_input(&input, &subset, &output, &Limits::default()).expect("an input");
    assert_eq!(new["only"], json!({"bucket": "b", "key": "only.jsonl"}));
    assert_eq!(new["merge"]["lines"], 60);
    assert_eq!(new["merge"]["failed"]["key"], "out.failed.jsonl");
    assert_eq!(new["tolerate"], 100);
    let limits = Limits {
        max_concurrency: Some(3),
        tolerated_percentage: Some(2.0),
        tolerated_count: None,
    };
    let new = shipped_input(&input, &subset, &Value::Null, &limits).expect("an input");
    assert_eq!(new.get("merge"), None);
    assert_eq!(
        (&new["concurrency"], &new["tolerate"]),
        (&json!(3), &json!(2.0))
    );
    assert!(shipped_input(&json!(1), &subset, &output, &limits).is_err());
}

#[test]
fn the_shipped_workflow_is_known_by_its_shape() {
    let shipped: Value =
        serde_json::from_str(include_str!("../../../assets/workflow.asl.json")).expect("JSON");
    assert!(is_shipped(&shipped));
    assert!(!is_shipped(
        &json!({"StartAt": "Preprocess", "States": {"Postprocess": {}}})
    ));
}
