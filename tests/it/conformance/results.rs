//! ResultWriter: which files a Map Run leaves, and what is in them.

use std::collections::BTreeSet;

use aws_sdk_sfn::types::ExecutionStatus::{Failed, Succeeded};
use serde_json::{Value, json};

use crate::wired::{House, MapRun, distributed, numbers, with};

/// Writes into `out/` of the bucket `data`.
fn writing(kind: &str, more: Value) -> Value {
    let writer = json!({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "data", "Prefix": "out"}});
    distributed(kind, with(json!({"ResultWriter": writer}), more))
}

/// The records of a category in the manifest of a round, by file.
async fn records(house: &House, map: &MapRun, round: &str, category: &str) -> Vec<Value> {
    let manifest = house
        .get(&format!("out/{}/{round}manifest.json", map.id()))
        .await;
    let mut records = Vec::new();
    for file in manifest["ResultFiles"][category].as_array().unwrap() {
        let found = house.get(file["Key"].as_str().unwrap()).await;
        records.extend(found.as_array().unwrap().clone());
    }
    records
}

fn inputs(records: &[Value]) -> BTreeSet<&str> {
    let inputs = records.iter().map(|record| record["Input"].as_str());
    inputs.collect::<Option<_>>().unwrap()
}

fn members(record: &Value) -> Vec<&str> {
    let members = record.as_object().unwrap().keys();
    members.map(String::as_str).collect()
}

/// What lies below a prefix, without it.
async fn keys(house: &House, prefix: &str) -> Vec<String> {
    let list = house.s3.list_objects_v2().bucket("data").prefix(prefix);
    let listed = list.send().await.unwrap();
    let keys = listed.contents().iter().filter_map(|object| object.key());
    keys.filter_map(|key| key.strip_prefix(prefix))
        .map(str::to_owned)
        .collect()
}

/// ResultWriter, "Contents of the ResultWriter output files": a file for each status that has
/// records, and a manifest that names them with their sizes; what was never started is pending,
/// without a name. Result files are uploaded in parts, the manifest is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_a_file_for_each_status_and_a_manifest() {
    for kind in ["STANDARD", "EXPRESS"] {
        let house = House::new().await;
        house.fail([1]);
        let definition = writing(kind, json!({"MaxConcurrency": 1}));
        let run = house.start(&definition, numbers(4)).await;
        run.ends(Failed).await;
        let map = run.map_run().await;
        let folder = format!("out/{}/", map.id());
        let files = ["FAILED_0.json", "PENDING_0.json", "SUCCEEDED_0.json"];
        assert_eq!(
            keys(&house, &folder).await,
            [&files[..], &["manifest.json"]].concat()
        );
        let manifest = house.get(&format!("{folder}manifest.json")).await;
        assert_eq!(
            members(&manifest),
            ["DestinationBucket", "MapRunArn", "ResultFiles"]
        );
        assert_eq!(manifest["DestinationBucket"], "data");
        assert_eq!(manifest["MapRunArn"], map.arn);
        assert_eq!(
            members(&manifest["ResultFiles"]),
            ["FAILED", "PENDING", "SUCCEEDED"]
        );
        let head = async |key: &str| {
            let head = house.s3.head_object().bucket("data").key(key);
            head.send().await.unwrap()
        };
        for category in ["FAILED", "PENDING", "SUCCEEDED"] {
            let [file] = manifest["ResultFiles"][category]
                .as_array()
                .unwrap()
                .as_slice()
            else {
                panic!("{manifest}")
            };
            let key = file["Key"].as_str().unwrap();
            assert_eq!(key, format!("{folder}{category}_0.json"));
            let head = head(key).await;
            assert_eq!(head.content_length(), file["Size"].as_i64());
            assert!(head.e_tag().unwrap().ends_with("-1\""));
        }
        let head = head(&format!("{folder}manifest.json")).await;
        assert!(!head.e_tag().unwrap().contains('-'));

        let succeeded = records(&house, &map, "", "SUCCEEDED").await;
        let failed = records(&house, &map, "", "FAILED").await;
        let pending = records(&house, &map, "", "PENDING").await;
        let by_redrive = |members: &[&'static str]| {
            let mut members = members.to_vec();
            // Express children are always redriven from their first state.
            members.retain(|name| kind == "STANDARD" || !name.starts_with("RedriveStatus"));
            members
        };
        let expected = by_redrive(&[
            "ExecutionArn",
            "Input",
            "InputDetails",
            "Name",
            "Output",
            "OutputDetails",
            "RedriveCount",
            "RedriveStatus",
            "RedriveStatusReason",
            "StartDate",
            "StateMachineArn",
            "Status",
            "StopDate",
        ]);
        assert_eq!(members(&succeeded[0]), expected);
        assert_eq!(
            (&succeeded[0]["Input"], &succeeded[0]["Output"]),
            (&json!("0"), &json!("0"))
        );
        let expected = by_redrive(&[
            "Cause",
            "Error",
            "ExecutionArn",
            "Input",
            "InputDetails",
            "Name",
            "RedriveCount",
            "RedriveStatus",
            "StartDate",
            "StateMachineArn",
            "Status",
            "StopDate",
        ]);
        assert_eq!(members(&failed[0]), expected);
        assert_eq!(failed[0]["Error"], "Bad");
        let cause: Value = serde_json::from_str(failed[0]["Cause"].as_str().unwrap()).unwrap();
        assert_eq!(cause["errorType"], "Bad");
        let child = house.run(failed[0]["ExecutionArn"].as_str().unwrap());
        assert_eq!(*child.describe().await.status(), Failed);
        for date in ["StartDate", "StopDate"] {
            let text = failed[0][date].as_str().unwrap();
            assert!(text.ends_with('Z') && text.len() == 24, "{text}");
        }
        let never_begun = |input| json!({"Input": input, "InputDetails": {"Included": true}, "Status": "PENDING"});
        assert_eq!(pending, [never_begun("2"), never_begun("3")]);
    }
}

/// ResultWriter and redriving Map Runs: a redrive writes into a folder of its own and leaves what
/// there is. Its manifest names the successes of all attempts, and of the others its own only.
#[tokio::test(flavor = "multi_thread")]
async fn each_redrive_leaves_a_folder_of_its_own() {
    for kind in ["STANDARD", "EXPRESS"] {
        let house = House::new().await;
        house.fail([1]);
        let definition = writing(kind, json!({"MaxConcurrency": 1}));
        let run = house.start(&definition, numbers(4)).await;
        run.ends(Failed).await;
        let map = run.map_run().await;
        let folder = format!("out/{}/", map.id());
        let before = house.get(&format!("{folder}manifest.json")).await;

        house.fail([3]);
        run.redrive().await;
        run.ends(Failed).await;
        let of = |category: &'static str| records(&house, &map, "Redrive-1/", category);
        assert_eq!(
            inputs(&of("SUCCEEDED").await),
            BTreeSet::from(["0", "1", "2"]),
            "{kind}"
        );
        assert_eq!(inputs(&of("FAILED").await), BTreeSet::from(["3"]));
        assert!(of("PENDING").await.is_empty());
        let succeeded = of("SUCCEEDED").await;
        let redriven = succeeded.iter().find(|record| record["Input"] == "1");
        let redriven = redriven.unwrap();
        assert_eq!(redriven["RedriveCount"], 1);
        assert_eq!(redriven.get("RedriveDate").is_some(), kind == "STANDARD");
        let begun = succeeded.iter().find(|record| record["Input"] == "2");
        assert_eq!(begun.unwrap()["RedriveCount"], 0);

        house.fail(Vec::<Value>::new());
        run.redrive().await;
        let output = run.output().await;
        let expected = json!({"MapRunArn": map.arn, "ResultWriterDetails":
            {"Bucket": "data", "Key": format!("{folder}Redrive-2/manifest.json")}});
        assert_eq!(output, expected);
        let manifest = house.get(&format!("{folder}Redrive-2/manifest.json")).await;
        let files = &manifest["ResultFiles"];
        let of_success: Vec<&str> = files["SUCCEEDED"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| file["Key"].as_str().unwrap())
            .collect();
        let expected = ["", "Redrive-1/", "Redrive-2/"]
            .map(|round| format!("{folder}{round}SUCCEEDED_0.json"));
        assert_eq!(of_success, expected);
        for category in ["FAILED", "PENDING"] {
            // Of a redrive there may be a file without records.
            let none = records(&house, &map, "Redrive-2/", category).await;
            assert!(none.is_empty(), "{none:?}");
        }
        assert_eq!(
            inputs(&records(&house, &map, "Redrive-2/", "SUCCEEDED").await),
            BTreeSet::from(["0", "1", "2", "3"])
        );
        assert_eq!(
            house.get(&format!("{folder}manifest.json")).await,
            before,
            "nothing is overwritten"
        );
    }
}

/// ResultWriter: children that were aborted are among the failed ones, with the cause of the Map
/// Run's end and no error; those that timed out too.
#[tokio::test(flavor = "multi_thread")]
async fn the_failed_file_holds_all_that_did_not_succeed() {
    let house = House::new().await;
    house.fail([0]);
    house.hold(0..3);
    let definition = writing("STANDARD", json!({"MaxConcurrency": 3}));
    let run = house.start(&definition, numbers(3)).await;
    let map = run.map_run().await;
    map.items_are("all run", |items| items.running == 3).await;
    house.hold(1..3);
    run.ends(Failed).await;
    let failed = records(&house, &map, "", "FAILED").await;
    let aborted: Vec<&Value> = failed
        .iter()
        .filter(|record| record["Status"] == "ABORTED")
        .collect();
    assert_eq!((failed.len(), aborted.len()), (3, 2));
    let cause = format!(
        "The map run execution [{}] which was managing this resource was aborted",
        map.arn
    );
    for record in aborted {
        assert_eq!(record["Cause"], cause);
        assert_eq!(record.get("Error"), None);
        assert_eq!(record["RedriveStatus"], "REDRIVABLE_BY_MAP_RUN");
    }
    house.release();
}

/// ResultWriter: a run that succeeds within its tolerance names its failures too; statuses without
/// records have no files.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_within_its_tolerance_names_its_failures() {
    let house = House::new().await;
    house.fail([1]);
    let more = json!({"ToleratedFailureCount": 1});
    let run = house.start(&writing("EXPRESS", more), numbers(2)).await;
    run.ends(Succeeded).await;
    let map = run.map_run().await;
    assert_eq!(
        keys(&house, &format!("out/{}/", map.id())).await,
        ["FAILED_0.json", "SUCCEEDED_0.json", "manifest.json"]
    );
    let manifest = house.get(&format!("out/{}/manifest.json", map.id())).await;
    assert_eq!(manifest["ResultFiles"]["PENDING"], json!([]));
    let none = house.start(&writing("EXPRESS", json!({})), json!([])).await;
    none.ends(Succeeded).await;
    let map = none.map_run().await;
    assert_eq!(
        keys(&house, &format!("out/{}/", map.id())).await,
        ["manifest.json"]
    );
}
