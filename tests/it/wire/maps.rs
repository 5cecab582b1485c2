//! What Distributed Maps read, batch, nest and write, in both query languages.

use aws_sdk_sfn::types::MapRunStatus;
use fanout::engine::map_run::Quotas;
use serde_json::Value;

use super::*;

const GET: &str = "arn:aws:states:::s3:getObject";
const LIST: &str = "arn:aws:states:::s3:listObjectsV2";
const PUT: &str = "arn:aws:states:::s3:putObject";

/// A Distributed Map of Pass children, extended by `more`.
fn map(label: &str, kind: &str, more: Value) -> Value {
    let mut map = json!({"Type": "Map", "Label": label, "End": true,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind},
            "StartAt": format!("{label} item"), "States": {format!("{label} item"): {"Type": "Pass", "End": true}}}});
    map.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    map
}

struct Run {
    arn: String,
    output: Value,
}

impl Wire {
    async fn with_bucket() -> Self {
        let wire = wire().await;
        wire.s3.create_bucket().bucket("data").send().await.unwrap();
        wire
    }

    async fn put_bytes(&self, key: &str, bytes: Vec<u8>) {
        let put = self.s3.put_object().bucket("data").key(key);
        put.body(bytes.into()).send().await.unwrap();
    }

    /// Runs a state machine of this one state to its end, which must be a success.
    async fn run(&self, name: &str, language: &str, state: Value, input: Value) -> Run {
        let definition =
            json!({"QueryLanguage": language, "StartAt": "Map", "States": {"Map": state}});
        let machine = self.sfn.create_state_machine();
        let machine = machine
            .name(name)
            .role_arn("arn:aws:iam::000000000000:role/r")
            .definition(definition.to_string());
        let machine = machine.send().await.unwrap().state_machine_arn;
        let started = self.sfn.start_execution().state_machine_arn(machine);
        let arn = started.input(input.to_string()).send().await.unwrap();
        let arn = arn.execution_arn;
        let status = self.ended(&arn).await;
        let described = self.sfn.describe_execution().execution_arn(&arn);
        let described = described.send().await.unwrap();
        assert_eq!(
            status,
            ExecutionStatus::Succeeded,
            "{name}: {:?} {:?}",
            described.error(),
            described.cause()
        );
        Run {
            output: serde_json::from_str(described.output().unwrap()).unwrap(),
            arn,
        }
    }

    async fn map_run(
        &self,
        execution: &str,
    ) -> aws_sdk_sfn::operation::describe_map_run::DescribeMapRunOutput {
        let listed = self.sfn.list_map_runs().execution_arn(execution);
        let listed = listed.send().await.unwrap();
        let arn = listed.map_runs()[0].map_run_arn();
        let described = self.sfn.describe_map_run().map_run_arn(arn);
        described.send().await.unwrap()
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_lines_listings_and_inventories_are_read() {
    let wire = Wire::with_bucket().await;
    wire.put_bytes("in/one.jsonl.gz", gzip("{\"n\":1}\n{\"n\":2}\n"))
        .await;
    wire.put("in/two.jsonl", "{\"n\":3}").await;
    let reader = |resource: &str, config: Value, parameters: Value| {
        map(
            "Read",
            "EXPRESS",
            json!({"ItemReader": {"Resource": resource, "ReaderConfig": config, "Parameters": parameters}}),
        )
    };
    let lines = reader(
        GET,
        json!({"InputType": "JSONL"}),
        json!({"Bucket": "data", "Key.$": "$.key"}),
    );
    let run = wire
        .run("gz", "JSONPath", lines, json!({"key": "in/one.jsonl.gz"}))
        .await;
    assert_eq!(run.output, json!([{"n": 1}, {"n": 2}]));

    let parameters = json!({"Bucket": "data", "Prefix": "in/"});
    let listing = reader(LIST, json!({}), parameters.clone());
    let run = wire.run("list", "JSONPath", listing, json!({})).await;
    let keys: Vec<&Value> = run
        .output
        .as_array()
        .unwrap()
        .iter()
        .map(|object| &object["Key"])
        .collect();
    assert_eq!(keys, ["in/one.jsonl.gz", "in/two.jsonl"]);
    let head = wire.s3.head_object().bucket("data").key("in/two.jsonl");
    assert_eq!(
        run.output[1]["Etag"],
        head.send().await.unwrap().e_tag().unwrap()
    );

    let config = json!({"Transformation": "LOAD_AND_FLATTEN", "InputType": "JSONL"});
    let flat = reader(LIST, config, parameters);
    let run = wire.run("flat", "JSONPath", flat, json!({})).await;
    assert_eq!(run.output, json!([{"n": 1}, {"n": 2}, {"n": 3}]));

    wire.put_bytes(
        "inventory/data.csv.gz",
        gzip("\"data\",\"x\"\n\"data\",\"y\"\n"),
    )
    .await;
    let manifest = json!({"destinationBucket": "arn:aws:s3:::data", "fileFormat": "CSV", "fileSchema": "Bucket, Key",
        "files": [{"key": "inventory/data.csv.gz"}]});
    wire.put("inventory/manifest.json", &manifest.to_string())
        .await;
    let inventory = reader(
        GET,
        json!({"ManifestType": "S3_INVENTORY"}),
        json!({"Bucket": "data", "Key": "inventory/manifest.json"}),
    );
    let run = wire
        .run("inventory", "JSONPath", inventory, json!({}))
        .await;
    assert_eq!(
        run.output,
        json!([{"Bucket": "data", "Key": "x"}, {"Bucket": "data", "Key": "y"}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_map_may_be_jsonata() {
    let wire = Wire::with_bucket().await;
    wire.put("rows.csv", "id,word\n1,a\n2,b\n3,c\n4,d\n").await;
    let state = map(
        "Rows",
        "STANDARD",
        json!({
        "ItemReader": {"Resource": GET,
            "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "MaxItems": "{% $states.input.most %}"},
            "Arguments": {"Bucket": "data", "Key": "{% $states.input.key %}"}},
        "ItemSelector": {"id": "{% $number($states.context.Map.Item.Value.id) %}", "from": "{% $states.context.Map.Item.Source %}"},
        "ItemBatcher": {"MaxItemsPerBatch": "{% $states.input.size %}", "MaxInputBytesPerBatch": "{% 200 * 1000 %}",
            "BatchInput": {"job": "{% $states.input.job %}"}},
        "MaxConcurrency": "{% 1 + 1 %}",
        "ToleratedFailurePercentage": "{% 12.5 %}",
        "ToleratedFailureCount": "{% $states.input.most %}",
        "ResultWriter": {"Resource": PUT, "Arguments": {"Bucket": "data", "Prefix": "{% 'runs/' & $states.input.job %}"},
            "WriterConfig": {"Transformation": "COMPACT", "OutputType": "JSONL"}},
        "Output": "{% $states.result.ResultWriterDetails.Key %}"}),
    );
    let input = json!({"key": "rows.csv", "most": 3, "size": 2, "job": "j"});
    let run = wire.run("jsonata", "JSONata", state, input).await;
    let key = run.output.as_str().unwrap();
    assert!(key.starts_with("runs/j/"), "{key}");
    let manifest: Value = serde_json::from_str(&wire.get(key).await).unwrap();
    let file = manifest["ResultFiles"]["SUCCEEDED"][0]["Key"]
        .as_str()
        .unwrap();
    let text = wire.get(file).await;
    let mut batches: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    batches.sort_by_key(|batch| batch["Items"][0]["id"].as_u64());
    let item = |id: u64| json!({"id": id, "from": "S3://data/rows.csv"});
    assert_eq!(
        batches,
        [
            json!({"BatchInput": {"job": "j"}, "Items": [item(1), item(2)]}),
            json!({"BatchInput": {"job": "j"}, "Items": [item(3)]}),
        ]
    );
    let described = wire.map_run(&run.arn).await;
    assert_eq!(described.max_concurrency(), 2);
    assert!((described.tolerated_failure_percentage() - 12.5).abs() < 1e-6);
    assert_eq!(described.tolerated_failure_count(), 3);
    let (items, children) = (
        described.item_counts().unwrap(),
        described.execution_counts().unwrap(),
    );
    assert_eq!((items.total(), items.results_written()), (3, 3));
    assert_eq!((children.total(), children.results_written()), (2, 2));

    let members = map(
        "Members",
        "EXPRESS",
        json!({
        "Items": "{% {'a': 1, 'b': $states.input.b} %}",
        "ItemSelector": "{% $states.context.Map.Item.Key & '=' & $states.context.Map.Item.Value %}"}),
    );
    let run = wire
        .run("members", "JSONata", members, json!({"b": 2}))
        .await;
    assert_eq!(run.output, json!(["a=1", "b=2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_maps_is_an_execution_with_map_runs() {
    let wire = Wire::with_bucket().await;
    let mut outer = map("Outer", "STANDARD", json!({"ItemsPath": "$.rows"}));
    outer["ItemProcessor"]["StartAt"] = "Inner".into();
    outer["ItemProcessor"]["States"] = json!({"Inner": map("Inner", "EXPRESS", json!({}))});
    let run = wire
        .run("nested", "JSONPath", outer, json!({"rows": [[1, 2], [3]]}))
        .await;
    assert_eq!(run.output, json!([[1, 2], [3]]));
    let map_run = wire.map_run(&run.arn).await;
    let children = wire
        .sfn
        .list_executions()
        .map_run_arn(map_run.map_run_arn());
    for child in children.send().await.unwrap().executions() {
        let arn = child.execution_arn();
        let inner = wire.map_run(arn).await;
        assert_eq!(*inner.status(), MapRunStatus::Succeeded);
        assert_eq!(inner.execution_arn(), arn);
        assert!(inner.map_run_arn().contains("mapRun:nested/Inner:"));
        let grandchildren = wire.sfn.list_executions().map_run_arn(inner.map_run_arn());
        let grandchildren = grandchildren.send().await.unwrap();
        let machine = wire.sfn.describe_state_machine_for_execution();
        let machine = machine.execution_arn(grandchildren.executions()[0].execution_arn());
        let machine = machine.send().await.unwrap();
        assert_eq!(machine.label(), Some("Inner"));
        assert_eq!(machine.map_run_arn(), Some(inner.map_run_arn()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn result_files_roll_over() {
    let wire = Wire::with_bucket().await;
    wire.engine.runner().set_quotas(Quotas {
        result_file_bytes: 600,
        ..Quotas::default()
    });
    let writer = json!({"ResultWriter": {"Resource": PUT, "Parameters": {"Bucket": "data", "Prefix": "out"}}});
    let items: Vec<u64> = (0..20).collect();
    let run = wire
        .run(
            "roll",
            "JSONPath",
            map("Roll", "STANDARD", writer),
            json!(items),
        )
        .await;
    let key = run.output["ResultWriterDetails"]["Key"].as_str().unwrap();
    let manifest: Value = serde_json::from_str(&wire.get(key).await).unwrap();
    let files = manifest["ResultFiles"]["SUCCEEDED"].as_array().unwrap();
    assert!(files.len() > 5, "{manifest}");
    let mut found = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let key = file["Key"].as_str().unwrap();
        assert!(key.ends_with(&format!("/SUCCEEDED_{number}.json")), "{key}");
        let head = wire
            .s3
            .head_object()
            .bucket("data")
            .key(key)
            .send()
            .await
            .unwrap();
        assert!(head.e_tag().unwrap().ends_with("-1\""));
        assert_eq!(head.content_length(), file["Size"].as_i64());
        let records: Value = serde_json::from_str(&wire.get(key).await).unwrap();
        for record in records.as_array().unwrap() {
            found.push(record["Output"].as_str().unwrap().parse::<u64>().unwrap());
        }
    }
    found.sort_unstable();
    assert_eq!(found, items);
}
