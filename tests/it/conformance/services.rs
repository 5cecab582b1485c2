//! S3, Lambda's logs, throttling and delays, as Step Functions' users meet them.

use std::io::Write;
use std::time::Duration;

use aws_sdk_sfn::types::ExecutionStatus::Failed;
use fanout::engine::switches::{Switches, Throttle};
use serde_json::{Value, json};

use crate::wired::{House, distributed, numbers, refusal, single, task};

/// Bucket naming rules: a name that is none is refused by name, in S3's own shape.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_has_a_name() {
    let house = House::new().await;
    let long = "x".repeat(64);
    for name in [
        "x", "ab", "Data", "a_b", "-ab", "ab-", "a..b", "10.0.0.1", &long,
    ] {
        let created = house.s3.create_bucket().bucket(name).send().await;
        let expected = (
            "InvalidBucketName".to_owned(),
            "The specified bucket is not valid.".to_owned(),
        );
        assert_eq!(refusal(created), expected, "{name}");
        let got = house.s3.get_object().bucket(name).key("k").send().await;
        assert_eq!(refusal(got), expected, "{name}");
    }
    for name in ["abc", "a.b-c", "0a0", &long[..63]] {
        house.s3.create_bucket().bucket(name).send().await.unwrap();
    }
    let unknown = house.s3.list_objects_v2().bucket("nobody").send().await;
    assert_eq!(refusal(unknown).0, "NoSuchBucket");
}

/// Virtual hosting of buckets: the bucket may stand before the host's name instead of in the path.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_may_be_part_of_the_host() {
    let house = House::new().await;
    house.put("k/1", "one").await;
    let port = house.url.rsplit(':').next().unwrap().to_owned();
    let resolver = format!("127.0.0.1:{port}").parse().unwrap();
    let http = reqwest::Client::builder()
        .resolve("data.localhost", resolver)
        .build()
        .unwrap();
    let soon = aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_mins(1));
    let config = house.s3.config().to_builder();
    let config = config.endpoint_url(format!("http://localhost:{port}"));
    let virtual_host = aws_sdk_s3::Client::from_conf(config.force_path_style(false).build());
    let get = virtual_host.get_object().bucket("data").key("k/1");
    let link = get.presigned(soon.unwrap()).await.unwrap();
    let start = format!("http://data.localhost:{port}/k/1?");
    assert!(link.uri().starts_with(&start), "{}", link.uri());
    let answer = http.get(link.uri()).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "one");
}

/// ListObjectsV2: a page has a thousand keys at most, whatever is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_keys_has_a_thousand() {
    let house = House::new().await;
    let objects = house.engine.objects().clone();
    let put = tokio::task::spawn_blocking(move || {
        for number in 0..1_001 {
            let mut writing = objects.write("data", &format!("k{number:04}")).unwrap();
            writing.write_all(b"x").unwrap();
            writing.commit(false).unwrap();
        }
    });
    put.await.unwrap();
    let list = || house.s3.list_objects_v2().bucket("data").max_keys(5_000);
    let first = list().send().await.unwrap();
    assert_eq!(
        (first.key_count(), first.is_truncated()),
        (Some(1_000), Some(true))
    );
    let token = first.next_continuation_token().unwrap();
    let rest = list().continuation_token(token).send().await.unwrap();
    assert_eq!(
        (rest.key_count(), rest.is_truncated()),
        (Some(1), Some(false))
    );
    assert_eq!(rest.contents()[0].key(), Some("k1000"));
}

/// Lambda's log group: a failed call has its START, END and REPORT lines there, under the request id
/// that the cause of the failed Task names.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_calls_lines_have_the_request_id_of_its_cause() {
    let house = House::new().await;
    house.fail([1]);
    let run = house.start(&single(task(json!({}))), json!(1)).await;
    let cause = run.ends(Failed).await.cause().unwrap().to_owned();
    let cause: Value = serde_json::from_str(&cause).unwrap();
    let id = cause["requestId"].as_str().unwrap();
    house.engine.logs().flush().await.unwrap();
    let filter = house
        .logs
        .filter_log_events()
        .log_group_name("/aws/lambda/work");
    let found = filter
        .filter_pattern(format!("\"{id}\""))
        .send()
        .await
        .unwrap();
    let lines: Vec<&str> = found
        .events()
        .iter()
        .filter_map(|event| event.message())
        .collect();
    let starts = [
        format!("START RequestId: {id} Version: $LATEST"),
        format!("END RequestId: {id}"),
        format!("REPORT RequestId: {id}\tDuration: "),
    ];
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start.as_str()), "{line}");
    }
    // The lines around them are of the same call.
    let filter = house
        .logs
        .filter_log_events()
        .log_group_name("/aws/lambda/work");
    let all = filter.send().await.unwrap();
    let told = all.events().iter().filter_map(|event| event.message());
    assert!(told.into_iter().any(|line| line.contains("1 is bad")));
}

/// Quotas, "Quotas related to API action throttling": each action has a bucket of its own, filled
/// again by the second, also after a Map Run's polls have emptied it.
#[tokio::test(flavor = "multi_thread")]
async fn polls_empty_a_bucket_that_fills_slowly() {
    let house = House::new().await;
    let machine = house.create("m", &distributed("EXPRESS", json!({}))).await;
    let run = house.start_machine(&machine, numbers(1)).await;
    run.ended().await;
    let map = run.map_run().await.arn;
    let never = aws_sdk_sfn::config::retry::RetryConfig::disabled();
    let config = house.sfn.config().to_builder().retry_config(never).build();
    let sfn = aws_sdk_sfn::Client::from_conf(config);
    // Region, how many ListExecutions and DescribeMapRun go through at once and a second later.
    for (region, lists, more) in [
        (Throttle::SmallRegion, 100, 2),
        (Throttle::LargeRegion, 200, 5),
    ] {
        house.engine.runner().set_switches(Switches {
            throttle: region,
            ..Switches::default()
        });
        let describe = async || sfn.describe_map_run().map_run_arn(&map).send().await.err();
        let list = async || sfn.list_executions().map_run_arn(&map).send().await.err();
        let mut described = 0;
        let refused = loop {
            match describe().await {
                None => described += 1,
                Some(error) => break error,
            }
        };
        // While they are asked, some are given back.
        assert!((200..230).contains(&described), "{described}");
        let expected = ("ThrottlingException".to_owned(), "Rate exceeded".to_owned());
        assert_eq!(refusal::<(), _>(Err(refused)), expected);
        let mut listed = 0;
        while list().await.is_none() {
            listed += 1;
        }
        assert!((lists..lists + 30 * more).contains(&listed), "{listed}");
        house.advance_seconds(1);
        assert!(describe().await.is_none());
        for _ in 0..more {
            assert!(list().await.is_none());
        }
    }
}

/// "This operation is eventually consistent": descriptions and lists may be old; histories are not.
#[tokio::test(flavor = "multi_thread")]
async fn lists_and_descriptions_may_lag_behind() {
    let house = House::new().await;
    let machine = house.create("m", &distributed("EXPRESS", json!({}))).await;
    let delay = 600;
    house.engine.runner().set_switches(Switches {
        delay: Duration::from_secs(delay),
        ..Switches::default()
    });
    house.advance_seconds(delay);
    let start = house.sfn.start_execution().state_machine_arn(&machine);
    let started = start.input("[1,2]").send().await.unwrap();
    let run = house.run(started.execution_arn());
    run.reaches("ExecutionSucceeded").await;
    let describe = || {
        house
            .sfn
            .describe_execution()
            .execution_arn(&run.arn)
            .send()
    };
    assert_eq!(refusal(describe().await).0, "ExecutionDoesNotExist");
    let list = || {
        house
            .sfn
            .list_executions()
            .state_machine_arn(&machine)
            .send()
    };
    assert!(list().await.unwrap().executions().is_empty());
    let map = run.map_run().await;
    let described = house.sfn.describe_map_run().map_run_arn(&map.arn);
    assert_eq!(refusal(described.send().await).0, "ResourceNotFound");
    assert!(map.children(None).await.is_empty());
    house.advance_seconds(delay);
    assert_eq!(describe().await.unwrap().status().as_str(), "SUCCEEDED");
    assert_eq!(list().await.unwrap().executions().len(), 1);
    assert_eq!(map.items().await.succeeded, 2);
    assert_eq!(map.children(None).await.len(), 2);
}
