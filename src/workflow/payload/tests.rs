use serde_json::json;

use super::*;

fn read(input: Value) -> Result<Order, HandlerError> {
    let execution = "run-1".to_owned();
    Order::read(
        PreprocessInput { execution, input },
        Some("http://h/{line}"),
    )
}

fn problem(input: Value) -> String {
    let error = read(input).unwrap_err();
    assert_eq!(error.name, PREPROCESS_INVALID_INPUT);
    error.message
}

/// The smallest input with one field replaced, by JSON pointer of depth one or two.
fn with(section: &str, name: &str, value: Value) -> Value {
    let mut input = json!({"source": {"bucket": "b", "key": "in/a.csv.gz"}});
    if section.is_empty() {
        input[name] = value;
    } else {
        input[section][name] = value;
    }
    input
}

#[test]
fn the_smallest_input_gets_every_default() {
    let order = read(with("", "tolerate", Value::Null)).unwrap();
    let job = order.into_job(3, None, "\"e\"".into(), None);
    assert_eq!(
        serde_json::to_value(&job).unwrap(),
        json!({
            "execution": "run-1",
            "lines": 3,
            "source": {"bucket": "b", "key": "in/a.csv.gz", "etag": "\"e\""},
            "chosen": false,
            "merge": null,
            "items": {"bucket": "b", "key": "runs/run-1/items.jsonl"},
            "results": {"bucket": "b", "prefix": "runs/run-1/results"},
            "request": {"url": "http://h/{line}", "method": "GET", "headers": {},
                        "timeoutSeconds": 10},
            "output": {"bucket": "b", "key": "outputs/run-1/a.csv", "line": "{line},{response}"},
            "tolerate": 5,
            "concurrency": 1000,
        })
    );
}

#[test]
fn a_url_is_needed_where_the_deployment_gives_none() {
    let input = PreprocessInput {
        execution: "run-1".into(),
        input: with("", "tolerate", json!(1)),
    };
    let error = Order::read(input, None).unwrap_err();
    assert!(error.message.contains("input.request.url is missing"));
}

#[test]
fn everything_temporary_is_in_the_output_bucket() {
    let job = read(with("output", "bucket", json!("out")))
        .unwrap()
        .into_job(1, None, String::new(), None);
    assert_eq!(
        (job.items.bucket, job.results.bucket),
        ("out".into(), "out".into())
    );
    assert_eq!(job.source.address.bucket, "b");
}

#[test]
fn an_unknown_field_is_refused_by_name() {
    assert!(problem(with("", "onyl", json!({}))).contains("input.onyl is unknown"));
    let message = problem(with("request", "ulr", json!("http://h/")));
    assert!(message.contains("input.request.ulr") && message.contains("url, method"));
}

#[test]
fn a_re_run_writes_beside_what_it_reads() {
    let only = json!({"bucket": "b", "key": "only.jsonl"});
    let input = |output: &str, overwrite: bool| {
        json!({"source": {"bucket": "b", "key": "in/a.csv"}, "output": {"key": output},
            "only": only, "overwrite": overwrite, "merge": {"lines": 9,
                "output": {"bucket": "b", "key": "out/a.csv"},
                "failed": {"bucket": "b", "key": "out/a.csv.failed.jsonl"}}})
    };
    let key = |output, overwrite| read(input(output, overwrite)).unwrap().output.key;
    assert_eq!(key("out/a.csv", false), "out/run-1/a.csv");
    assert_eq!(key("a.csv", false), "run-1/a.csv");
    assert_eq!(key("out/run-1/a.csv", false), "out/run-1/a.csv");
    assert_eq!(key("out/a.csv", true), "out/a.csv");
    for (output, names) in [
        ("in/a.csv", "overwrite the source"),
        ("only.jsonl", "overwrite input.only"),
        ("out/a.csv.failed.jsonl", "input.merge"),
    ] {
        let message = problem(input(output, true));
        assert!(message.contains(names), "{output}: {message}");
    }
    // A choice of lines is all that a re-run needs.
    let alone = with("", "only", only.clone());
    assert_eq!(read(alone).unwrap().output.key, "outputs/run-1/a.csv");
    assert!(problem(with("", "merge", json!({}))).contains("input.merge.output"));
    assert!(problem(with("", "overwrite", json!(true))).contains("for input.only"));
    let message = problem(with("", "only", json!({"bucket": "b", "key": 7})));
    assert!(
        message.contains("input.only.key must be a text"),
        "{message}"
    );
}

#[test]
fn a_wrong_value_is_refused_by_path_and_never_shown() {
    for (section, name, value, expected) in [
        ("", "tolerate", json!(101), "input.tolerate"),
        ("", "tolerate", json!("s3cret"), "input.tolerate"),
        ("", "concurrency", json!(0), "input.concurrency"),
        ("", "concurrency", json!(2.5), "input.concurrency"),
        (
            "",
            "source",
            json!("s3cret"),
            "input.source must be an object",
        ),
        ("source", "key", json!(""), "input.source.key is empty"),
        (
            "source",
            "bucket",
            json!(null),
            "input.source.bucket is missing",
        ),
        ("request", "method", json!("s3cret"), "input.request.method"),
        (
            "request",
            "timeoutSeconds",
            json!(61),
            "input.request.timeoutSeconds",
        ),
        (
            "request",
            "headers",
            json!({"a": ["s3cret"]}),
            "input.request.headers",
        ),
        (
            "request",
            "headers",
            json!({"a b": "s3cret"}),
            "headers.a b",
        ),
        ("request", "url", json!("s3cret"), "input.request.url"),
        (
            "request",
            "body",
            json!("x".repeat(50_000)),
            "input.request",
        ),
        ("output", "line", json!("{s3}"), "input.output.line"),
        (
            "output",
            "key",
            json!("in/a.csv.gz"),
            "overwrite the source",
        ),
        ("output", "key", json!("runs/run-1/x"), "temporary"),
        ("output", "key", json!("k".repeat(1_020)), "at most"),
    ] {
        let message = problem(with(section, name, value));
        assert!(message.contains(expected), "{section}.{name}: {message}");
        assert!(!message.contains("s3cret"), "{section}.{name}: {message}");
    }
}
