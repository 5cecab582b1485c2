//! Where Distributed Maps leave their results, and in which shape.

use super::*;

const BUCKET: &str = "arn:aws:states:::s3:putObject";

/// A map over state data whose children fail on `{"bad": …}` and else give their input back.
fn map(more: Value) -> Value {
    let mut map = json!({"Type": "Map", "Label": "Shapes", "End": true, "ToleratedFailurePercentage": 50,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Is", "States": {
            "Is": {"Type": "Choice", "Choices": [{"Variable": "$.bad", "IsPresent": true, "Next": "No"}], "Default": "Yes"},
            "Yes": {"Type": "Pass", "OutputPath": "$.out", "End": true},
            "No": {"Type": "Fail", "Error": "Bad", "Cause": "it said so"}}}});
    map.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"StartAt": "Map", "States": {"Map": map}})
}

fn output(described: &Value) -> Value {
    serde_json::from_str(described["output"].as_str().expect("it succeeded")).unwrap()
}

fn text(house: &House, key: &str) -> String {
    let (_, mut body) = house.engine.objects().read("b", key).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut body, &mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_the_results_are_the_states_output() {
    let input = json!([{"out": [1, 2]}, {"bad": 1}, {"out": 3}]);
    for (transformation, expected) in [
        (None, json!([[1, 2], "FAILED", 3])),
        (Some("COMPACT"), json!([[1, 2], "FAILED", 3])),
        (Some("FLATTEN"), json!([1, 2, "FAILED", 3])),
        (Some("NONE"), json!(["SUCCEEDED", "FAILED", "SUCCEEDED"])),
    ] {
        let house = House::new().await;
        let writer = transformation.map(|it| json!({"ResultWriter": {"WriterConfig": {"Transformation": it, "OutputType": "JSON"}}}));
        let arn = house
            .start(map(writer.unwrap_or(json!({}))), input.clone())
            .await;
        let ended = house.ended(&arn).await;
        let found = output(&ended);
        // Full records stand for their status here.
        let found: Vec<Value> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result.get("Status").unwrap_or(result).clone())
            .collect();
        assert_eq!(json!(found), expected);
        let run = house.map_run(&arn).await;
        assert_eq!(run["itemCounts"]["resultsWritten"], 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_too_long_fails_the_map() {
    let house = House::new().await;
    let long = "x".repeat(100_000);
    let items: Vec<Value> = (0..2).map(|_| json!({"out": "$"})).collect();
    let processor = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "P",
        "States": {"P": {"Type": "Pass", "Result": [long, "x".repeat(100_000)], "End": true}}});
    let arn = house
        .start(map(json!({"ItemProcessor": processor})), json!(items))
        .await;
    let failed = house.ended(&arn).await;
    assert_eq!(failed["error"], "States.DataLimitExceeded");
    assert_eq!(
        failed["cause"],
        "The state/task 'Map' returned a result with a size exceeding the maximum number of bytes service limit."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_have_the_shape_that_is_asked_for() {
    let input = json!([{"out": [1, 2]}, {"bad": 1}, {"out": 3}]);
    for (config, expected, extension) in [
        (
            json!({"Transformation": "COMPACT", "OutputType": "JSON"}),
            vec!["[1,2]", "3"],
            "json",
        ),
        (
            json!({"Transformation": "COMPACT", "OutputType": "JSONL"}),
            vec!["[1,2]", "3"],
            "jsonl",
        ),
        (
            json!({"Transformation": "FLATTEN", "OutputType": "JSONL"}),
            vec!["1", "2", "3"],
            "jsonl",
        ),
    ] {
        let house = House::new().await;
        let writer = json!({"ResultWriter": {"Resource": BUCKET, "Parameters": {"Bucket": "b", "Prefix": "out"}, "WriterConfig": config}});
        let mut serial = writer;
        serial["MaxConcurrency"] = 1.into();
        let arn = house.start(map(serial), input.clone()).await;
        let output = output(&house.ended(&arn).await);
        let manifest = house.get(output["ResultWriterDetails"]["Key"].as_str().unwrap());
        let file = |category: &str| {
            let key = manifest["ResultFiles"][category][0]["Key"]
                .as_str()
                .unwrap();
            assert!(key.ends_with(&format!("{category}_0.{extension}")), "{key}");
            text(&house, key)
        };
        let succeeded = file("SUCCEEDED");
        let lines: Vec<String> = expected.iter().map(|line| format!("{line}\n")).collect();
        match extension {
            "jsonl" => assert_eq!(succeeded, lines.concat()),
            _ => assert_eq!(succeeded, format!("[{}]", expected.join(","))),
        }
        let failed = file("FAILED");
        let record = failed.trim_matches(['[', ']', '\n']);
        let record: Value = serde_json::from_str(record).unwrap();
        assert_eq!(
            (record["Status"].as_str(), record["Error"].as_str()),
            (Some("FAILED"), Some("Bad"))
        );
        assert_eq!(record["Input"], "{\"bad\":1}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_is_followed_by_the_next() {
    let house = House::new().await;
    house.engine.runner().set_quotas(map_run::Quotas {
        result_file_bytes: 8,
        ..map_run::Quotas::default()
    });
    let writer = json!({"ResultWriter": {"Resource": BUCKET, "Parameters": {"Bucket": "b"},
        "WriterConfig": {"Transformation": "COMPACT", "OutputType": "JSON"}}, "MaxConcurrency": 1});
    let items: Vec<Value> = (100..107).map(|n| json!({"out": n})).collect();
    let arn = house.start(map(writer), json!(items)).await;
    let output = output(&house.ended(&arn).await);
    let key = output["ResultWriterDetails"]["Key"].as_str().unwrap();
    let (folder, _) = key.rsplit_once('/').unwrap();
    assert!(
        !folder.contains('/'),
        "without a prefix it begins with the Map Run's id: {key}"
    );
    let files = house.get(key)["ResultFiles"]["SUCCEEDED"].clone();
    let found: Vec<(String, String)> = files
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            let key = file["Key"].as_str().unwrap();
            let text = text(&house, key);
            assert_eq!(file["Size"], text.len());
            assert!(
                house
                    .engine
                    .objects()
                    .head("b", key)
                    .unwrap()
                    .etag
                    .ends_with("-1\"")
            );
            (key.rsplit('/').next().unwrap().to_owned(), text)
        })
        .collect();
    let expected = ["[100,101]", "[102,103]", "[104,105]", "[106]"];
    let expected: Vec<(String, String)> = expected
        .iter()
        .enumerate()
        .map(|(number, text)| (format!("SUCCEEDED_{number}.json"), (*text).to_owned()))
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_fails_the_run_before_it_begins() {
    let house = House::new().await;
    let writer =
        json!({"ResultWriter": {"Resource": BUCKET, "Parameters": {"Bucket": "elsewhere"}}});
    let arn = house.start(map(writer), json!([{"out": 1}])).await;
    let failed = house.ended(&arn).await;
    assert_eq!(failed["error"], "States.ResultWriterFailed");
    let cause = failed["cause"].as_str().unwrap();
    let text = "Failed to write a test manifest into the specified output bucket.";
    assert!(cause.starts_with(text), "{cause}");
    assert_eq!(house.map_run(&arn).await["executionCounts"]["total"], 0);
}
