//! What Distributed Maps read, how they select and batch, seen from their children's inputs.

use super::*;

/// A Distributed Map whose children give their inputs back.
fn echo(more: Value) -> Value {
    let mut map = json!({"Type": "Map", "Label": "Echo", "End": true,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "P",
            "States": {"P": {"Type": "Pass", "End": true}}}});
    map.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"StartAt": "Map", "States": {"Map": map}})
}

fn get_object(config: Value) -> Value {
    json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": config,
        "Parameters": {"Bucket": "b", "Key.$": "$.key"}})
}

/// The outputs of the children, in the order of their items; else error and cause.
async fn children_of(house: &House, map: Value, input: Value) -> Result<Value, (String, String)> {
    let name = uuid::Uuid::new_v4().to_string();
    let machine = house.ok("CreateStateMachine", json!({"name": name, "roleArn": "arn:aws:iam::000000000000:role/r", "definition": echo(map).to_string()})).await;
    let started = house
        .ok(
            "StartExecution",
            json!({"stateMachineArn": machine["stateMachineArn"], "input": input.to_string()}),
        )
        .await;
    let ended = house.ended(started["executionArn"].as_str().unwrap()).await;
    let text = |member: &str| ended[member].as_str().unwrap_or_default().to_owned();
    match text("status").as_str() {
        "SUCCEEDED" => Ok(serde_json::from_str(&text("output")).unwrap()),
        _ => Err((text("error"), text("cause"))),
    }
}

/// What is read of an object under this configuration.
async fn read(house: &House, config: Value, text: &[u8]) -> Result<Value, (String, String)> {
    house.put_bytes("object", text);
    let map = json!({"ItemReader": get_object(config)});
    children_of(house, map, json!({"key": "object"})).await
}

fn reader_failed(cause: &str) -> Result<Value, (String, String)> {
    Err(("States.ItemReaderFailed".to_owned(), cause.to_owned()))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_gives_its_items() {
    let house = House::new().await;
    let json = json!({"InputType": "JSON"});
    let lines = json!({"InputType": "JSONL"});
    let two = Ok(json!([{"n": 1}, "x"]));
    assert_eq!(read(&house, json.clone(), b"[{\"n\":1},\"x\"]").await, two);
    assert_eq!(
        read(&house, lines.clone(), b"{\"n\":1}\n\"x\"\n").await,
        two
    );
    assert_eq!(
        read(&house, lines.clone(), &gzip(b"{\"n\":1}\n\"x\"\n")).await,
        two
    );
    let zstd = zstd::encode_all(&b"{\"n\":1}\n\"x\"\n"[..], 0).unwrap();
    assert_eq!(read(&house, lines, &zstd).await, two);
    let part = json!({"InputType": "JSON", "ItemsPointer": "/deep/0"});
    let text = b"{\"other\":[9],\"deep\":[[{\"n\":1},\"x\"]]}";
    assert_eq!(read(&house, part, text).await, two);
    assert_eq!(
        read(&house, json.clone(), b"{\"a\":1,\"b\":[2]}").await,
        Ok(json!([{"Key": "a", "Value": 1}, {"Key": "b", "Value": [2]}]))
    );
    assert_eq!(
        read(&house, json, b"7").await,
        reader_failed("Attempting to map over non-iterable node.")
    );
    let csv =
        json!({"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVDelimiter": "SEMICOLON"});
    assert_eq!(
        read(
            &house,
            csv,
            "\u{feff}a;b\r\n1;\"x;\r\ny\";2\r\n3\r\n".as_bytes()
        )
        .await,
        Ok(json!([{"a": "1", "b": "x;\r\ny"}, {"a": "3", "b": ""}]))
    );
    let given = json!({"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["k", "k"]});
    assert_eq!(
        read(&house, given, b"1,2").await,
        reader_failed("CSV headers cannot contain duplicates.")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_listed_or_its_objects_are_read_as_one() {
    let house = House::new().await;
    for (key, text) in [
        ("in/", ""),
        ("in/a", "{\"n\":1}\n{\"n\":2}"),
        ("in/b", "{\"n\":3}"),
        ("out", "no"),
    ] {
        house.put(key, text);
    }
    let list = |config: Value| {
        json!({"ItemReader": {"Resource": "arn:aws:states:::s3:listObjectsV2", "ReaderConfig": config,
            "Parameters": {"Bucket": "b", "Prefix": "in/"}}})
    };
    let listed = children_of(&house, list(json!({})), json!({}))
        .await
        .unwrap();
    let listed = listed.as_array().unwrap();
    let names = |object: &Value| {
        object
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&listed[1]),
        ["Etag", "Key", "LastModified", "Size", "StorageClass"]
    );
    let keys: Vec<&Value> = listed.iter().map(|object| &object["Key"]).collect();
    assert_eq!(keys, ["in/", "in/a", "in/b"]);
    assert_eq!(listed[2]["Size"], 7);
    assert_eq!(
        listed[2]["Etag"],
        json!(house.engine.objects().head("b", "in/b").unwrap().etag)
    );
    let first = children_of(&house, list(json!({"MaxItems": 1})), json!({})).await;
    assert_eq!(first.unwrap().as_array().unwrap().len(), 1);

    let mut all = list(json!({"Transformation": "LOAD_AND_FLATTEN", "InputType": "JSONL"}));
    all["ItemSelector"] = json!({"n.$": "$$.Map.Item.Value.n", "from.$": "$$.Map.Item.Source", "at.$": "$$.Map.Item.Index"});
    assert_eq!(
        children_of(&house, all, json!({})).await,
        Ok(json!([
            {"n": 1, "from": "S3://b/in/a", "at": 0},
            {"n": 2, "from": "S3://b/in/a", "at": 1},
            {"n": 3, "from": "S3://b/in/b", "at": 2},
        ]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_is_read_by_its_manifest() {
    let house = House::new().await;
    house.put_bytes(
        "data/1.csv.gz",
        &gzip(b"\"src\",\"a%20b\",\"3\"\n\"src\",\"c\\d\",\"4\"\n"),
    );
    house.put_bytes("data/2.csv.gz", &gzip(b"\"src\",\"e\",\"5\"\n"));
    let manifest = json!({"sourceBucket": "src", "destinationBucket": "arn:aws:s3:::b", "version": "2016-11-30",
        "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size",
        "files": [{"key": "data/1.csv.gz", "size": 9, "MD5checksum": "x"}, {"key": "data/2.csv.gz", "size": 9, "MD5checksum": "x"}]});
    for config in [
        json!({"ManifestType": "S3_INVENTORY"}),
        json!({"InputType": "MANIFEST"}),
    ] {
        assert_eq!(
            read(&house, config, manifest.to_string().as_bytes()).await,
            Ok(json!([
                {"Bucket": "src", "Key": "a%20b", "Size": "3"},
                {"Bucket": "src", "Key": "c\\d", "Size": "4"},
                {"Bucket": "src", "Key": "e", "Size": "5"},
            ]))
        );
    }
    let mut orc = manifest;
    orc["fileFormat"] = "ORC".into();
    let config = json!({"ManifestType": "S3_INVENTORY"});
    assert_eq!(
        read(&house, config, orc.to_string().as_bytes()).await,
        reader_failed("the inventory's files are ORC: only CSV is supported")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_reader_are_kept() {
    let house = House::new().await;
    house.put("object", "[1,2,3]");
    let by_path = |most: Value| {
        let map = json!({"ItemReader": get_object(json!({"InputType": "JSON", "MaxItemsPath": "$.most"}))});
        children_of(&house, map, json!({"key": "object", "most": most}))
    };
    assert_eq!(by_path(json!(2)).await, Ok(json!([1, 2])));
    assert_eq!(by_path(json!(0)).await, Ok(json!([1, 2, 3])));
    assert_eq!(by_path(json!(100_000_001)).await, Ok(json!([1, 2, 3])));
    assert_eq!(
        by_path(json!(-1)).await,
        reader_failed("field MaxItems must be positive")
    );
    let (error, cause) = by_path(json!(1.5)).await.unwrap_err();
    assert_eq!(error, "States.Runtime");
    assert!(
        cause.ends_with(
            "The MaxItemsPath field refers to value \"1.5\" which is not a valid integer: $.most"
        ),
        "{cause}"
    );
    let with = |name: &str, value: &str| {
        let mut reader = get_object(json!({"InputType": "JSON"}));
        reader["Parameters"][name] = value.into();
        children_of(
            &house,
            json!({"ItemReader": reader}),
            json!({"key": "object"}),
        )
    };
    assert!(with("VersionId", "null").await.is_ok());
    assert!(with("VersionId", "abc").await.is_err());
    assert!(with("ExpectedBucketOwner", ACCOUNT).await.is_ok());
    assert_eq!(
        with("ExpectedBucketOwner", "111122223333").await,
        reader_failed("Access Denied (Service: S3, Status Code: 403)")
    );
    let small = map_run::Quotas {
        object_bytes: 6,
        ..map_run::Quotas::default()
    };
    house.engine.runner().set_quotas(small);
    assert_eq!(
        by_path(json!(0)).await,
        reader_failed("The object is 7 bytes long: 6 are allowed")
    );
    let few = map_run::Quotas {
        items: 2,
        ..map_run::Quotas::default()
    };
    house.engine.runner().set_quotas(few);
    assert_eq!(by_path(json!(0)).await, Ok(json!([1, 2])));
}

#[tokio::test(flavor = "multi_thread")]
async fn state_data_is_an_array_or_an_object() {
    let house = House::new().await;
    let map = json!({"ItemsPath": "$.all",
        "ItemSelector": {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "from.$": "$$.Map.Item.Source", "job.$": "$.job"}});
    assert_eq!(
        children_of(&house, map.clone(), json!({"job": 1, "all": ["x"]})).await,
        Ok(json!([{"i": 0, "v": "x", "from": "STATE_DATA", "job": 1}]))
    );
    let mut keyed = map;
    keyed["ItemSelector"]["k.$"] = "$$.Map.Item.Key".into();
    assert_eq!(
        children_of(&house, keyed, json!({"job": 1, "all": {"a": true}})).await,
        Ok(json!([{"i": 0, "k": "a", "v": true, "from": "STATE_DATA", "job": 1}]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_batched_and_counted_beside_their_children() {
    let house = House::new().await;
    house.put("items", &items(10));
    house.put("bad.json", "[]");
    let map = json!({"ItemSelector": {"n.$": "$$.Map.Item.Value.n"},
        "ItemBatcher": {"MaxItemsPerBatchPath": "$.size", "BatchInput": {"job.$": "$.job"}}});
    let arn = house
        .start(distributed("STANDARD", map), json!({"size": 4, "job": "j"}))
        .await;
    assert_eq!(house.ended(&arn).await["status"], "SUCCEEDED");
    let run = house.map_run(&arn).await;
    let counts = |of: &str| (run[of]["total"].as_u64(), run[of]["succeeded"].as_u64());
    assert_eq!(counts("itemCounts"), (Some(10), Some(10)));
    assert_eq!(counts("executionCounts"), (Some(3), Some(3)));
    assert_eq!(run["itemCounts"]["resultsWritten"], 10);
    assert_eq!(run["executionCounts"]["resultsWritten"], 3);
    let list = json!({"mapRunArn": run["mapRunArn"]});
    let listed = house.ok("ListExecutions", list).await;
    let mut found = Vec::new();
    for child in listed["executions"].as_array().unwrap() {
        let arn = json!({"executionArn": child["executionArn"]});
        let described = house.ok("DescribeExecution", arn).await;
        let input: Value = serde_json::from_str(described["input"].as_str().unwrap()).unwrap();
        assert_eq!(input["BatchInput"], json!({"job": "j"}));
        let ns = input["Items"].as_array().unwrap().iter();
        let ns: Vec<u64> = ns.map(|item| item["n"].as_u64().unwrap()).collect();
        assert_eq!(child["itemCount"].as_u64(), Some(ns.len() as u64));
        found.push(ns);
    }
    found.sort();
    assert_eq!(found, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_childs_input_has_a_limit_that_a_selector_and_batches_keep() {
    let house = House::new().await;
    let long = |bytes: usize| json!({"s": "x".repeat(bytes), "n": 1}).to_string();
    let lines = json!({"InputType": "JSONL"});
    let (error, _) = read(&house, lines.clone(), long(300_000).as_bytes())
        .await
        .unwrap_err();
    assert_eq!(error, "States.DataLimitExceeded");
    let map = json!({"ItemReader": get_object(lines.clone()), "ItemSelector": {"n.$": "$$.Map.Item.Value.n"}});
    let shorter = children_of(&house, map, json!({"key": "object"})).await;
    assert_eq!(shorter, Ok(json!([{"n": 1}])));
    // Ten items of 60,000 bytes do not fit into one input, whatever their number says.
    house.put("object", &vec![long(60_000); 10].join("\n"));
    let map = json!({"ItemReader": get_object(lines), "ItemBatcher": {"MaxItemsPerBatch": 100},
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "P",
            "States": {"P": {"Type": "Pass", "Parameters": {"count.$": "States.ArrayLength($.Items)"}, "End": true}}}});
    let counts = children_of(&house, map, json!({"key": "object"})).await;
    assert_eq!(
        counts,
        Ok(json!([{"count": 4}, {"count": 4}, {"count": 2}]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batched_run_that_was_cut_off_gives_every_item_once() {
    let mut house = House::new().await;
    house.put("items", &items(500));
    house.put("bad.json", "[]");
    let map = json!({"MaxConcurrency": 3, "ItemBatcher": {"MaxItemsPerBatch": 7}});
    let arn = house.start(distributed("STANDARD", map), json!({})).await;
    for _ in 0..3 {
        house = house.reopen().await;
    }
    assert_eq!(house.ended(&arn).await["status"], "SUCCEEDED");
    let run = house.map_run(&arn).await;
    assert_eq!(run["itemCounts"]["succeeded"], 500);
    let list = json!({"mapRunArn": run["mapRunArn"], "maxResults": 1000});
    let listed = house.ok("ListExecutions", list).await;
    let counts = listed["executions"].as_array().unwrap().iter();
    let counts: Vec<u64> = counts
        .map(|child| child["itemCount"].as_u64().unwrap())
        .collect();
    assert_eq!(counts.iter().sum::<u64>(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_cannot_do_is_refused_by_name() {
    let house = House::new().await;
    let refusal = async |config: Value, resource: &str| {
        let mut reader = get_object(config);
        reader["Resource"] = resource.into();
        let definition = echo(json!({"ItemReader": reader})).to_string();
        let body = json!({"name": "x", "roleArn": "arn:aws:iam::000000000000:role/r", "definition": definition});
        house
            .call("CreateStateMachine", body)
            .await
            .unwrap_err()
            .message
    };
    let get = "arn:aws:states:::s3:getObject";
    for (config, text) in [
        (
            json!({"InputType": "PARQUET"}),
            "'PARQUET' is not supported",
        ),
        (
            json!({"InputType": "CSV", "ManifestType": "ATHENA_DATA"}),
            "'ATHENA_DATA' is not supported",
        ),
        (
            json!({"InputType": "CSV", "ManifestType": "S3_INVENTORY"}),
            "'InputType' is only allowed with",
        ),
        (json!({"InputType": "CSV"}), "required: [CSVHeaderLocation]"),
        (
            json!({"InputType": "CSV", "CSVHeaderLocation": "GIVEN"}),
            "required: [CSVHeaders]",
        ),
        (
            json!({"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVHeaders": ["a"]}),
            "'CSVHeaders' is only allowed with",
        ),
        (
            json!({"InputType": "JSONL", "ItemsPointer": "/a"}),
            "'ItemsPointer' is only allowed with",
        ),
        (
            json!({"InputType": "JSON", "CSVDelimiter": "TAB"}),
            "'CSVDelimiter' is only allowed with",
        ),
        (
            json!({"InputType": "JSON", "ItemsPointer": "a"}),
            "JSON Pointer",
        ),
        (json!({"InputType": "JSON", "MaxItems": -1}), "MaxItems"),
        (json!({}), "required: [InputType]"),
    ] {
        let message = refusal(config, get).await;
        assert!(message.contains(text), "{message}");
    }
    let list = "arn:aws:states:::s3:listObjectsV2";
    let flatten = json!({"Transformation": "LOAD_AND_FLATTEN"});
    assert!(
        refusal(flatten, list)
            .await
            .contains("required: [InputType]")
    );
    assert!(
        refusal(json!({}), list)
            .await
            .contains("Field 'Key.$' is not supported")
    );
}
