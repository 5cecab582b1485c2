//! Downloads over the wire: compared with every checksum that S3 knows, broken off and gone on with,
//! and never outside the folder they were sent to.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use fanout::client::{Client, Options, Target};
use fanout::model::{Object, ObjectAddress};
use fanout::operations::outputs::{self, Downloaded};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::house::{self, Lookup, Serving};
use crate::relay::Relay;
use crate::wired::House;

const MIB: usize = 1 << 20;

/// Bytes in which no two places look the same.
fn bytes(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

async fn client(house: &House, url: &str) -> Client {
    let keys = house.engine.credentials();
    let target = Target::Endpoint {
        url: url.to_owned(),
        region: "us-east-1".to_owned(),
        access_key: keys.access_key.clone(),
        secret_key: keys.secret_key.clone(),
    };
    let options = Options {
        read_only: false,
        budget_share: 0.4,
        trail: None,
        shared_in: None,
    };
    Client::connect(target, options).await.unwrap()
}

async fn found(client: &Client, key: &str) -> Object {
    let address = ObjectAddress::new("data", key);
    client.head(&address).await.unwrap().unwrap().0
}

async fn got(
    client: &Client,
    key: &str,
    to: &Path,
) -> Result<Downloaded, fanout::operations::Error> {
    let object = found(client, key).await;
    outputs::download(client, &object, to, |_| {}).await
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_came_is_compared_with_whatever_checksum_the_object_has() {
    let house = House::new().await;
    let client = client(&house, &house.url).await;
    let folder = tempfile::tempdir().unwrap();
    let body = bytes(9 * MIB);
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        let key = algorithm.as_str();
        let put = house.s3.put_object().bucket("data").key(key);
        let put = put.checksum_algorithm(algorithm.clone());
        put.body(body.clone().into()).send().await.unwrap();
        let got = got(&client, key, folder.path()).await.unwrap();
        assert_eq!(got.verified, [key.to_lowercase()]);
        assert!(fs::read(&got.path).unwrap() == body);
    }
    // In parts of 5 MiB, checked by the checksum of their checksums.
    for algorithm in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Sha256] {
        let key = format!("parts-{}", algorithm.as_str());
        in_parts(&house, &key, &body, &algorithm).await;
        let got = got(&client, &key, folder.path()).await.unwrap();
        assert_eq!(got.verified, [algorithm.as_str().to_lowercase()]);
        assert!(fs::read(&got.path).unwrap() == body);
    }
}

async fn in_parts(house: &House, key: &str, body: &[u8], algorithm: &ChecksumAlgorithm) {
    let begun = house.s3.create_multipart_upload().bucket("data").key(key);
    let begun = begun
        .checksum_algorithm(algorithm.clone())
        .checksum_type(ChecksumType::Composite);
    let id = begun.send().await.unwrap().upload_id.unwrap();
    let mut parts = CompletedMultipartUpload::builder();
    for (number, part) in (1..).zip(body.chunks(5 * MIB)) {
        let sent = house
            .s3
            .upload_part()
            .bucket("data")
            .key(key)
            .upload_id(&id);
        let sent = sent
            .part_number(number)
            .checksum_algorithm(algorithm.clone())
            .body(part.to_vec().into());
        let sent = sent.send().await.unwrap();
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .set_checksum_sha256(sent.checksum_sha256);
        parts = parts.parts(part.build());
    }
    let done = house.s3.complete_multipart_upload();
    let done = done.bucket("data").key(key).upload_id(id);
    done.multipart_upload(parts.build()).send().await.unwrap();
}

#[tokio::test]
async fn an_object_that_we_wrote_in_parts_has_a_checksum_of_the_whole() {
    let house = House::new().await;
    let client = client(&house, &house.url).await;
    let folder = tempfile::tempdir().unwrap();
    let body = bytes(20 * MIB);
    let address = ObjectAddress::new("data", "ours");
    let mut writer = client.write(&address, BTreeMap::new()).await.unwrap();
    writer.write(&body).await.unwrap();
    writer.finish().await.unwrap();
    let got = got(&client, "ours", folder.path()).await.unwrap();
    assert_eq!(got.verified, ["crc64nvme"]);
    assert!(fs::read(&got.path).unwrap() == body);
}

#[tokio::test]
async fn a_neighbour_with_a_sum_is_heeded() {
    let house = House::new().await;
    let client = client(&house, &house.url).await;
    let folder = tempfile::tempdir().unwrap();
    let digest = Sha256::digest(b"hello");
    let sum = digest
        .iter()
        .fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"));
    let wrong = "0".repeat(64);
    for (key, body) in [
        ("a.csv", "hello"),
        ("a.csv.sha256", &format!("{sum}  a.csv\n")),
        ("b.csv", "hello"),
        ("b.csv.sha256", &wrong),
    ] {
        let put = house.s3.put_object().bucket("data").key(key);
        put.body(body.as_bytes().to_vec().into())
            .send()
            .await
            .unwrap();
    }
    let right = got(&client, "a.csv", folder.path()).await.unwrap();
    assert_eq!(right.verified.last().unwrap(), "sha256 of a.csv.sha256");
    let error = got(&client, "b.csv", folder.path()).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("b.csv.sha256 differs"), "{said}");
    assert_eq!(names(folder.path()), ["a.csv"]);
}

#[tokio::test]
async fn a_byte_that_was_spoilt_on_the_way_is_found_and_nothing_is_kept() {
    let house = House::new().await;
    let relay = Relay::to(&house.url);
    let client = client(&house, &relay.url).await;
    let folder = tempfile::tempdir().unwrap();
    let put = house.s3.put_object().bucket("data").key("a");
    put.body(bytes(20 * MIB).into()).send().await.unwrap();
    let object = found(&client, "a").await;
    let at = relay.count() + 10 * MIB;
    relay.set(|passing| passing.spoilt = Some(at));
    let spoilt = outputs::download(&client, &object, folder.path(), |_| {}).await;
    let said = spoilt.unwrap_err().to_string();
    assert!(said.contains("differs"), "{said}");
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn an_object_that_changed_is_fetched_anew_and_that_is_said() {
    let house = House::new().await;
    let relay = Relay::to(&house.url);
    let client = client(&house, &relay.url).await;
    let folder = tempfile::tempdir().unwrap();
    let old = bytes(40 * MIB);
    let put = house.s3.put_object().bucket("data").key("a");
    put.body(old.into()).send().await.unwrap();
    let object = found(&client, "a").await;
    let most = relay.count() + 30 * MIB;
    relay.set(|passing| passing.most = Some(most));
    let started = tokio::spawn({
        let (client, to) = (client.clone(), folder.path().to_owned());
        async move { outputs::download(&client, &object, &to, |_| {}).await }
    });
    // At most two of the ranges can be whole now; cancelled, they stay.
    let waiting = relay.clone();
    let noted = folder.path().join(".a.ranges");
    tokio::task::spawn_blocking(move || waiting.wait_for(most))
        .await
        .unwrap();
    until_noted(&noted).await;
    started.abort();
    assert!(started.await.unwrap_err().is_cancelled());
    relay.set(|passing| passing.most = None);
    assert_eq!(names(folder.path()), [".a.part", ".a.ranges"]);

    let new: Vec<u8> = bytes(40 * MIB).into_iter().rev().collect();
    let put = house.s3.put_object().bucket("data").key("a");
    put.body(new.clone().into()).send().await.unwrap();
    let got = got(&client, "a", folder.path()).await.unwrap();
    assert_eq!((got.began_anew, got.resumed), (true, 0));
    assert!(got.words().contains("had changed"), "{}", got.words());
    assert!(fs::read(&got.path).unwrap() == new);
    assert_eq!(names(folder.path()), ["a"]);
}

/// Waits until a range is noted; the writer notes it some moments after its last byte has passed.
async fn until_noted(list: &Path) {
    let is_noted = || fs::read_to_string(list).is_ok_and(|text| text.lines().count() > 1);
    while !is_noted() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keys_of_any_form_become_files_inside_the_folder() {
    let house = House::new().await;
    let client = client(&house, &house.url).await;
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("inside");
    fs::create_dir(&folder).unwrap();
    let emoji = "\u{1F600}".repeat(256);
    let keys = [
        "../up.txt",
        "../../../../etc/fanout-passwd",
        "/etc/fanout-absolute",
        "a/..",
        "..",
        ".",
        "C:\\windows\\fanout.ini",
        "nul",
        "COM1.txt",
        "a\u{1b}[31mred.txt",
        "a\u{202e}txt.exe",
        "trailing. . ",
        &emoji,
    ];
    for key in keys {
        let put = house.s3.put_object().bucket("data").key(key);
        put.body(key.as_bytes().to_vec().into())
            .send()
            .await
            .unwrap_or_else(|error| panic!("{key:?}: {error:?}"));
    }
    for key in keys {
        let got = match got(&client, key, &folder).await {
            Ok(got) => got,
            // Two keys may have one safe name; the second is refused.
            Err(error) => {
                assert!(error.to_string().contains("exists already"), "{error}");
                continue;
            }
        };
        assert_eq!(got.path.parent(), Some(&*folder), "{key:?}");
        assert_eq!(fs::read(&got.path).unwrap(), key.as_bytes());
    }
    assert_eq!(names(outside.path()), ["inside"]);
    assert!(names(&folder).len() > 8);
    assert!(!names(&folder).iter().any(|it| it.contains('\u{1b}')));
}

#[tokio::test]
async fn objects_of_one_name_get_files_of_their_own_even_at_the_same_moment() {
    let house = House::new().await;
    let client = client(&house, &house.url).await;
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("new/folder/");
    let keys = [
        "a/x.json",
        "b/x.json",
        "../x.json",
        "c/x.json. .",
        "d\\x.json",
    ];
    let mut objects = Vec::new();
    for key in keys {
        let put = house.s3.put_object().bucket("data").key(key);
        put.body(key.as_bytes().to_vec().into())
            .send()
            .await
            .unwrap();
        objects.push(found(&client, key).await);
    }
    let downloads = objects
        .iter()
        .map(|object| outputs::download_beside(&client, object, &folder, |_| {}));
    let got = futures::future::join_all(downloads).await;
    for (key, got) in keys.iter().zip(got) {
        let got = got.unwrap();
        assert_eq!(
            got.path.parent(),
            Some(outside.path().join("new/folder").as_path())
        );
        assert_eq!(fs::read(&got.path).unwrap(), key.as_bytes());
    }
    assert_eq!(
        names(&folder),
        ["x-2.json", "x-3.json", "x-4.json", "x-5.json", "x.json"]
    );
    // A file that is named is that file, or an error.
    let file = folder.join("x.json");
    let again = outputs::download_beside(&client, &objects[0], &file, |_| {}).await;
    let said = again.unwrap_err().to_string();
    assert!(said.contains("exists already"), "{said}");
    let beneath = file.join("below");
    let none = outputs::download_beside(&client, &objects[0], &beneath, |_| {}).await;
    assert!(none.unwrap_err().to_string().contains("x.json"));
    assert_eq!(names(&folder).len(), 5);
}

/// Puts an object beside what a run has written.
fn put_beside(serving: &Serving, run: &str, name: &str, body: Vec<u8>) -> Value {
    let engine = fs::read(serving.data().join("engine.json")).unwrap();
    let engine: Value = serde_json::from_slice(&engine).unwrap();
    let listed = serving.fanout(&["outputs", "ls", run, "--json"]).json();
    let address = &listed["outputs"][0]["object"]["address"];
    let address = ObjectAddress::new(
        address["bucket"].as_str().unwrap(),
        format!("runs/{run}/{name}"),
    );
    let target = Target::Endpoint {
        url: engine["url"].as_str().unwrap().to_owned(),
        region: "us-east-1".to_owned(),
        access_key: engine["access_key"].as_str().unwrap().to_owned(),
        secret_key: engine["secret_key"].as_str().unwrap().to_owned(),
    };
    let options = Options {
        read_only: false,
        budget_share: 0.4,
        trail: None,
        shared_in: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::connect(target, options).await.unwrap();
        let mut writer = client.write(&address, BTreeMap::new()).await.unwrap();
        writer.write(&body).await.unwrap();
        writer.finish().await.unwrap();
    });
    engine
}

/// A run that is over, so that objects can be put beside its own.
fn ended_run() -> Serving {
    let serving = Serving::start();
    let lookup = Lookup::start();
    fs::write(serving.folder().join("words.txt"), "one\ntwo\n").unwrap();
    let input = format!(r#"{{"request":{{"url":"{}/{{line}}"}}}}"#, lookup.url());
    let start = ["start", "words.txt", "--name", "big", "--input", &input];
    serving
        .fanout(&[&start[..], &["--yes", "--wait"]].concat())
        .success();
    serving
}

#[test]
fn lines_and_matches_are_found_in_packed_objects_too() {
    let serving = ended_run();
    let text: String = (1..=1_000).fold(String::new(), |text, n| {
        text + &format!("line {n} {}\n", if n == 777 { "Needle" } else { "hay" })
    });
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    put_beside(&serving, "big", "a.gz", packed.finish().unwrap());
    put_beside(&serving, "big", "a.txt", text.clone().into_bytes());
    for file in ["a.gz", "a.txt"] {
        let cut = serving.fanout(&["outputs", "cat", "big", file, "--lines", "999-"]);
        assert_eq!(cut.success().stdout(), "line 999 hay\nline 1000 hay\n");
        let search = ["outputs", "search", "big", "needle", file, "--json"];
        let hits = serving.fanout(&search).success().json();
        assert_eq!(hits["hits"].as_array().unwrap().len(), 1);
        assert_eq!(hits["hits"][0]["line"], 777);
        assert_eq!(hits["hits"][0]["text"], "line 777 Needle");
    }
    let lines = serving.fanout(&["outputs", "cat", "big", "a.txt", "--ndjson"]);
    let last: Value = serde_json::from_str(lines.stdout().lines().last().unwrap()).unwrap();
    assert_eq!(
        last,
        serde_json::json!({"version": 1, "line": 1000, "text": "line 1000 hay"})
    );
    let lines = ["outputs", "cat", "big", "a.txt", "--lines", "2", "--json"];
    let document = serving.fanout(&lines).success().json();
    assert_eq!(document["lines"][0]["text"], "line 2 hay");
    let bytes = serving.fanout(&["outputs", "cat", "big", "a.txt"]);
    assert_eq!(bytes.stdout(), text);
    let nowhere = serving.fanout(&["outputs", "search", "big", "straw", "a.txt"]);
    assert!(nowhere.success().stderr().contains("nowhere"));
}

#[test]
fn a_link_lets_anybody_read_and_is_written_down_nowhere() {
    let serving = ended_run();
    put_beside(&serving, "big", "a.txt", b"shared".to_vec());
    let link = ["outputs", "link", "big", "a.txt", "--expires", "10m"];
    let refused = serving.fanout(&[&["--read-only"], &link[..]].concat());
    assert!(refused.exit(4).stdout().is_empty());
    let given = serving.fanout(&link).success();
    assert!(given.stderr().contains("until "), "{}", given.stderr());
    let url = given.stdout();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let body = runtime.block_on(async {
        let answer = reqwest::get(url.trim()).await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    });
    assert_eq!(body, "shared");
    let signature = url.trim().split("X-Amz-Signature=").nth(1).unwrap();
    let signature = &signature[..32];
    for folder in ["state", "cache", "config"] {
        let folder = serving.folder().join(folder);
        for file in files(&folder) {
            let bytes = fs::read(&file).unwrap();
            let is_there = bytes.windows(32).any(|it| it == signature.as_bytes());
            assert!(!is_there, "{}", file.display());
        }
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|it| it.unwrap().path());
    let (folders, mut found): (Vec<_>, Vec<_>) = paths.partition(|it| it.is_dir());
    found.extend(folders.iter().flat_map(|it| files(it)));
    found
}

#[test]
fn a_download_that_is_killed_goes_on_where_it_was() {
    let serving = ended_run();
    let body = bytes(80 * MIB);
    let engine = put_beside(&serving, "big", "big.bin", body.clone());
    let relay = Relay::to(engine["url"].as_str().unwrap());
    let get = || {
        let mut command = house::fanout(serving.folder());
        command
            .env("AWS_ACCESS_KEY_ID", engine["access_key"].as_str().unwrap())
            .env(
                "AWS_SECRET_ACCESS_KEY",
                engine["secret_key"].as_str().unwrap(),
            )
            .args(["--region", "us-east-1", "--endpoint-url", &relay.url])
            .args(["outputs", "get", "big", "big.bin", "--to", "out/", "--json"]);
        command
    };
    relay.set(|passing| passing.most = Some(50 * MIB));
    let mut killed = get()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    relay.wait_for(50 * MIB);
    let folder = serving.folder().join("out");
    let noted = || fs::read_to_string(folder.join(".big.bin.ranges")).unwrap_or_default();
    // Of 50 MiB in four streams, two ranges of 8 MiB at least are whole.
    while noted().lines().count() < 3 {
        std::thread::yield_now();
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(names(&folder), [".big.bin.part", ".big.bin.ranges"]);

    let before = relay.count();
    relay.set(|passing| passing.most = None);
    let again = house::Given(get().output().unwrap()).success();
    let fetched = relay.count() - before;
    let report = &again.json()["downloaded"][0];
    let resumed = report["resumed"].as_u64().unwrap() as usize;
    assert_eq!(report["verified"][0], "crc64nvme");
    assert!(resumed >= 16 * MIB, "{report}");
    // What was on its way when it was killed may still have passed.
    assert!(
        fetched < body.len() - resumed + 4 * MIB,
        "{fetched} bytes fetched, {resumed} were there"
    );
    assert!(fs::read(folder.join("big.bin")).unwrap() == body);
    assert_eq!(names(&folder), ["big.bin"]);
}
