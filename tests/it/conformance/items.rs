//! ItemReader, ItemSelector and ItemBatcher: what the items of a Map Run are, and what its children
//! see of them.

use aws_sdk_sfn::types::ExecutionStatus::{Failed, Succeeded};
use serde_json::{Value, json};

use crate::wired::{House, distributed, numbers, single, with};

/// A Distributed Map whose Express children give their inputs back.
fn echo(more: Value) -> Value {
    let pass = json!({"Type": "Pass", "End": true});
    let processor = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
        "StartAt": "Item", "States": {"Item": pass}});
    distributed("EXPRESS", with(json!({"ItemProcessor": processor}), more))
}

fn get_object(config: Value) -> Value {
    json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": config,
        "Parameters": {"Bucket": "data", "Key": "object"}})
}

/// What is read of the object `object`, or error and cause.
async fn read(house: &House, config: Value, text: &str) -> Result<Value, (String, String)> {
    house.put("object", text).await;
    let definition = echo(json!({"ItemReader": get_object(config)}));
    let run = house.start(&definition, json!({})).await;
    let ended = run.ended().await;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    match ended.status() {
        Succeeded => Ok(serde_json::from_str(ended.output().unwrap()).unwrap()),
        _ => Err((text(ended.error()), text(ended.cause()))),
    }
}

fn reader_failed(cause: &str) -> Result<Value, (String, String)> {
    Err(("States.ItemReaderFailed".to_owned(), cause.to_owned()))
}

/// ItemReader, "CSV file": quotes, line ends, delimiters, and rows of other lengths than the header.
#[tokio::test(flavor = "multi_thread")]
async fn csv_rows_become_objects_of_strings() {
    let house = House::new().await;
    let row = |a: &str, b: &str| json!({"a": a, "b": b});
    let first = json!({"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"});
    // Text, items.
    let cases = [
        ("a,b\n1,true\n", json!([row("1", "true")])),
        ("a,b\r\n1,2\r\n", json!([row("1", "2")])),
        ("a,b\n1,2", json!([row("1", "2")])),
        ("a,b\n1\n", json!([row("1", "")])),
        ("a,b\n1,2,3\n", json!([row("1", "2")])),
        ("a,b\n,\n", json!([row("", "")])),
        (
            "a,b\n\"x,y\",\"say \"\"hi\"\"\"\n",
            json!([row("x,y", "say \"hi\"")]),
        ),
        ("a,b\n\"x\ny\",\"\"\n", json!([row("x\ny", "")])),
        ("a,b\n é ,日本\n", json!([row(" é ", "日本")])),
        ("a,b\n", json!([])),
    ];
    for (text, items) in cases {
        assert_eq!(
            read(&house, first.clone(), text).await,
            Ok(items),
            "{text:?}"
        );
    }
    let delimiters = [
        ("COMMA", ","),
        ("PIPE", "|"),
        ("SEMICOLON", ";"),
        ("SPACE", " "),
        ("TAB", "\t"),
    ];
    for (name, delimiter) in delimiters {
        let config = with(first.clone(), json!({"CSVDelimiter": name}));
        let text = "a,b\n1,2\n".replace(',', delimiter);
        let expected = Ok(json!([row("1", "2")]));
        assert_eq!(read(&house, config, &text).await, expected, "{name}");
    }
    let given = |headers: Value| json!({"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": headers});
    assert_eq!(
        read(&house, given(json!(["a", "b"])), "1,2\n3,4\n").await,
        Ok(json!([row("1", "2"), row("3", "4")]))
    );
    let duplicates = reader_failed("CSV headers cannot contain duplicates.");
    assert_eq!(
        read(&house, given(json!(["a", "a"])), "1,2\n").await,
        duplicates
    );
    assert_eq!(read(&house, first.clone(), "a,a\n1,2\n").await, duplicates);
    let two = with(first, json!({"MaxItems": 2}));
    let cut = read(&house, two, "a,b\n1,2\n3,4\n5,6\n").await;
    assert_eq!(cut.unwrap().as_array().unwrap().len(), 2);
}

/// ItemReader, "JSON file" and "JSON Lines": arrays, objects by their members, and parts of either.
#[tokio::test(flavor = "multi_thread")]
async fn json_is_read_as_a_whole_in_parts_or_by_lines() {
    let house = House::new().await;
    let json = |more: Value| with(json!({"InputType": "JSON"}), more);
    let pointer = |pointer: &str| json(json!({"ItemsPointer": pointer}));
    let lines = || json!({"InputType": "JSONL"});
    let members = json!([{"Key": "a", "Value": 1}, {"Key": "b", "Value": null}]);
    // Configuration, text, items.
    let cases = [
        (json(json!({})), "[]", json!([])),
        (
            json(json!({})),
            " [1, \"x\", null, [2], {}] ",
            json!([1, "x", null, [2], {}]),
        ),
        (json(json!({})), "{\"a\":1,\"b\":null}", members.clone()),
        (
            pointer("/x/y"),
            "{\"x\":{\"y\":{\"a\":1,\"b\":null}}}",
            members,
        ),
        (
            pointer("/0/a~1b/c~0d"),
            "[{\"a/b\":{\"c~d\":[7]}}]",
            json!([7]),
        ),
        (lines(), "1\n\"x\"\n{\"a\":[]}", json!([1, "x", {"a": []}])),
        (lines(), "1\r\n2\r\n", json!([1, 2])),
        (lines(), "", json!([])),
    ];
    for (config, text, items) in cases {
        assert_eq!(read(&house, config, text).await, Ok(items), "{text}");
    }
    let scalar = reader_failed("Attempting to map over non-iterable node.");
    for (config, text) in [
        (json(json!({})), "7"),
        (json(json!({})), "\"text\""),
        (pointer("/a"), "{\"a\":1}"),
    ] {
        assert_eq!(read(&house, config, text).await, scalar, "{text}");
    }
    for (config, text) in [
        (json(json!({})), "[1,"),
        (json(json!({})), "nonsense"),
        (lines(), "1\n{\n"),
        (pointer("/nowhere"), "{\"a\":[]}"),
    ] {
        let (error, cause) = read(&house, config, text).await.unwrap_err();
        assert_eq!(error, "States.ItemReaderFailed", "{text}: {cause}");
    }
}

/// Distributed Map state: where a field that is computed is no good, the execution fails with
/// States.Runtime: by MaxConcurrencyPath before MapStateStarted, by the others after it. A reader's
/// own failure is the Map Run's.
#[tokio::test(flavor = "multi_thread")]
async fn a_computed_field_that_is_no_good_fails_where_it_is_needed() {
    let house = House::new().await;
    house.put("object", "[1,2,3]").await;
    let state = "An error occurred while executing the state 'S' (entered at the event id #2). ";
    let wrong = |field: &str, shown: &str, wanted: &str| {
        format!(
            "{state}The {field}Path field refers to value \"{shown}\" which is not a valid {wanted}: $.x"
        )
    };
    let entered = ["MapStateEntered 2<-0"];
    let begun = ["MapStateEntered 2<-0", "MapStateStarted 3<-2"];
    // Field, value, the events before the end, cause.
    let cases = [
        (
            "MaxConcurrency",
            json!("many"),
            &entered[..],
            wrong("MaxConcurrency", "many", "integer"),
        ),
        (
            "MaxConcurrency",
            json!({}),
            &entered,
            wrong("MaxConcurrency", "{}", "integer"),
        ),
        (
            "MaxConcurrency",
            json!(1.5),
            &entered,
            wrong("MaxConcurrency", "1.5", "integer"),
        ),
        (
            "MaxConcurrency",
            json!(-1),
            &entered,
            format!("{state}MaxConcurrency cannot be negative."),
        ),
        (
            "ToleratedFailureCount",
            json!("x"),
            &begun,
            wrong("ToleratedFailureCount", "x", "integer"),
        ),
        (
            "ToleratedFailureCount",
            json!(-1),
            &begun,
            format!("{state}ToleratedFailureCount cannot be negative."),
        ),
        (
            "ToleratedFailurePercentage",
            json!("x"),
            &begun,
            wrong("ToleratedFailurePercentage", "x", "float"),
        ),
        (
            "ToleratedFailurePercentage",
            json!(100.5),
            &begun,
            format!("{state}ToleratedFailurePercentage must be between 0 and 100."),
        ),
        (
            "ToleratedFailurePercentage",
            json!(-1),
            &begun,
            format!("{state}ToleratedFailurePercentage must be between 0 and 100."),
        ),
    ];
    for (field, value, events, cause) in cases {
        let path = json!({format!("{field}Path"): "$.x", "ItemsPath": "$.items"});
        let input = json!({"x": value, "items": [1]});
        let run = house.start(&echo(path), input).await;
        let failed = run.ends(Failed).await;
        assert_eq!(failed.error(), Some("States.Runtime"), "{field} {value}");
        assert_eq!(failed.cause(), Some(cause.as_str()));
        let history = run.history().await;
        assert_eq!(history[1..history.len() - 1], *events, "{field} {value}");
        let last = events.len() + 1;
        assert_eq!(
            *history.last().unwrap(),
            format!("ExecutionFailed {}<-{last}", last + 1)
        );
    }
    let most = get_object(json!({"InputType": "JSON", "MaxItemsPath": "$.x"}));
    let most = echo(json!({"ItemReader": most}));
    let run = house.start(&most, json!({"x": "all"})).await;
    let cause = wrong("MaxItems", "all", "integer");
    assert_eq!(run.ends(Failed).await.cause(), Some(cause.as_str()));
    let run = house.start(&most, json!({"x": -1})).await;
    let failed = run.ends(Failed).await;
    assert_eq!(
        (failed.error(), failed.cause()),
        (
            Some("States.ItemReaderFailed"),
            Some("field MaxItems must be positive")
        )
    );
    assert_eq!(
        run.history().await[1..],
        [
            "MapStateEntered 2<-0",
            "MapStateStarted 3<-2",
            "MapRunStarted 4<-3",
            "MapRunFailed 5<-4",
            "MapStateFailed 6<-5",
            "ExecutionFailed 7<-6"
        ]
    );
}

/// Context object data for Map states: `Map.Item` is for the ItemSelector only. A child has an
/// execution, an input and a state machine of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_sees_itself_and_not_the_map() {
    let house = House::new().await;
    let selector = json!({"index.$": "$$.Map.Item.Index", "value.$": "$$.Map.Item.Value",
        "source.$": "$$.Map.Item.Source", "parent.$": "$$.Execution.Id"});
    let pass =
        json!({"Type": "Pass", "End": true, "Parameters": {"item.$": "$", "context.$": "$$"}});
    let processor = |kind: &str, state: &Value| {
        json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind},
            "StartAt": "Item", "States": {"Item": state}})
    };
    for kind in ["STANDARD", "EXPRESS"] {
        let more = json!({"ItemSelector": selector, "ItemProcessor": processor(kind, &pass)});
        let run = house.start(&distributed(kind, more), json!(["x"])).await;
        let output = run.output().await;
        let machine = run.describe().await.state_machine_arn().to_owned();
        let child = run.map_run().await.children(None).await.remove(0);
        let item = json!({"index": 0, "value": "x", "source": "STATE_DATA", "parent": run.arn});
        let seen = &output[0]["context"];
        assert_eq!(output[0]["item"], item);
        assert_eq!(seen["Execution"]["Id"], child.execution_arn());
        assert_eq!(seen["Execution"]["Input"], item);
        assert_eq!(seen["Execution"]["RedriveCount"], 0);
        assert_eq!(seen["StateMachine"]["Id"], format!("{machine}/Items"));
        assert_eq!(
            seen["StateMachine"]["Name"],
            machine.rsplit(':').next().unwrap()
        );
        assert_eq!(seen["State"]["Name"], "Item");
        assert_eq!(seen.get("Map"), None);
    }
    let index = json!({"Type": "Pass", "End": true, "Parameters": {"i.$": "$$.Map.Item.Index"}});
    let more = json!({"ItemProcessor": processor("STANDARD", &index)});
    let run = house
        .start(&distributed("STANDARD", more), numbers(1))
        .await;
    run.ends(Failed).await;
    let map = run.map_run().await;
    let child = map.run(&map.children(Some(Failed)).await.remove(0));
    assert_eq!(child.describe().await.error(), Some("States.Runtime"));
}

/// ItemBatcher: a batch is `{BatchInput, Items}` and one child; by number, by bytes, or whichever
/// comes first. The whole batch has the fate of its child.
#[tokio::test(flavor = "multi_thread")]
async fn batches_hold_what_their_limits_allow() {
    let house = House::new().await;
    // Limits, the sizes of the batches of ten items.
    let cases = [
        (json!({"MaxItemsPerBatch": 4}), vec![4, 4, 2]),
        (json!({"MaxItemsPerBatch": 100}), vec![10]),
        (json!({"MaxInputBytesPerBatch": 1_000}), vec![10]),
        (
            json!({"MaxItemsPerBatch": 3, "MaxInputBytesPerBatch": 1_000}),
            vec![3, 3, 3, 1],
        ),
    ];
    for (batcher, sizes) in cases {
        let input = with(batcher.clone(), json!({"BatchInput": {"job": 7}}));
        let run = house
            .start(&echo(json!({"ItemBatcher": input})), numbers(10))
            .await;
        let output = run.output().await;
        let batches = output.as_array().unwrap();
        let found: Vec<usize> = batches
            .iter()
            .map(|batch| {
                let members: Vec<&String> = batch.as_object().unwrap().keys().collect();
                assert_eq!(members, ["BatchInput", "Items"]);
                assert_eq!(batch["BatchInput"], json!({"job": 7}));
                batch["Items"].as_array().unwrap().len()
            })
            .collect();
        assert_eq!(found, sizes, "{batcher}");
        let all: Vec<&Value> = batches
            .iter()
            .flat_map(|batch| batch["Items"].as_array().unwrap())
            .collect();
        assert_eq!(json!(all), numbers(10));
    }
    let text = "x".repeat(100);
    let long = json!([text, text, text, text, text]);
    let few = json!({"ItemBatcher": {"MaxInputBytesPerBatch": 250}});
    let run = house.start(&echo(few), long).await;
    for batch in run.output().await.as_array().unwrap() {
        assert!(batch.to_string().len() <= 250, "{batch}");
    }
    let processor = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
        "StartAt": "F", "States": {"F": {"Type": "Fail"}}});
    let fails = json!({"ItemBatcher": {"MaxItemsPerBatch": 5}, "ItemProcessor": processor, "ToleratedFailureCount": 10});
    let run = house
        .start(&distributed("EXPRESS", fails), numbers(10))
        .await;
    run.ends(Succeeded).await;
    let map = run.map_run().await;
    assert_eq!(map.items().await.failed, 10, "items count, not children");
    let children = map.describe().await;
    assert_eq!(children.execution_counts().unwrap().failed(), 2);
}

/// Quotas, "Maximum input or output size": an item longer than 262,144 bytes needs an ItemSelector
/// that makes it shorter.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_too_long_is_cut_by_a_selector() {
    let house = House::new().await;
    let item = json!([{"n": 1, "text": "x".repeat(300_000)}]);
    house.put("object", &item).await;
    let reader = get_object(json!({"InputType": "JSON"}));
    let run = house
        .start(&echo(json!({"ItemReader": reader})), json!({}))
        .await;
    assert_eq!(
        run.ends(Failed).await.error(),
        Some("States.DataLimitExceeded")
    );
    let shorter = json!({"ItemReader": reader, "ItemSelector": {"n.$": "$$.Map.Item.Value.n"}});
    let run = house.start(&echo(shorter), json!({})).await;
    assert_eq!(run.output().await, json!([{"n": 1}]));
}

/// Amazon States Language, "QueryLanguage": of the state machine or of a state; a Map's inner states
/// have their own or the state machine's, not the Map's.
#[tokio::test(flavor = "multi_thread")]
async fn an_inner_state_has_the_query_language_it_names() {
    let house = House::new().await;
    let jsonata = json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $states.input * 2 %}", "Next": "Path"});
    let path = json!({"Type": "Pass", "Parameters": {"double.$": "$"}, "End": true});
    for (mode, outer) in [
        (
            json!({"Mode": "INLINE"}),
            json!({"QueryLanguage": "JSONata", "Items": "{% $states.input %}"}),
        ),
        (
            json!({"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}),
            json!({"QueryLanguage": "JSONata", "Items": "{% $states.input %}"}),
        ),
        (
            json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}),
            json!({"ItemsPath": "$"}),
        ),
    ] {
        let processor = json!({"ProcessorConfig": mode, "StartAt": "Twice", "States": {"Twice": jsonata, "Path": path}});
        let map = json!({"Type": "Map", "ItemProcessor": processor, "End": true});
        let run = house.start(&single(with(map, outer)), json!([1, 2])).await;
        assert_eq!(
            run.output().await,
            json!([{"double": 2}, {"double": 4}]),
            "{mode}"
        );
    }
    // A whole machine in JSONata has no state in JSONPath.
    let inner =
        json!({"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Path", "States": {"Path": path}});
    let map = single(json!({"Type": "Map", "ItemProcessor": inner, "End": true}));
    let create = house
        .sfn
        .create_state_machine()
        .name("m")
        .role_arn(crate::wired::ROLE);
    let create = create.definition(with(map, json!({"QueryLanguage": "JSONata"})).to_string());
    let (code, message) = crate::wired::refusal(create.send().await);
    assert_eq!(code, "InvalidDefinition");
    assert!(
        message.contains("/States/S/ItemProcessor/States/Path"),
        "{message}"
    );
}
