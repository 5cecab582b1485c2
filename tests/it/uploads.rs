//! Uploads that break off: they go on where they were, and nothing of them stays behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::house::{self, Given};
use crate::relay::Relay;
use crate::wired::{House, ROLE};

const MIB: usize = 1 << 20;
/// What a part of a small file has.
const PART: usize = 8 * MIB;

/// So many bytes of lines, no two of which are the same.
fn lines(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 64);
    for n in 0_u64.. {
        if bytes <= text.len() {
            return text;
        }
        text.push_str(&format!("{n:031} {:031}\n", n * 7_919));
    }
    text
}

struct Place {
    house: House,
    relay: Relay,
    folder: tempfile::TempDir,
}

impl Place {
    /// With a machine that does nothing, and a file of five parts for it.
    async fn new() -> Self {
        let house = House::new().await;
        let nothing = json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}});
        let machine = house.sfn.create_state_machine().name("nothing");
        let machine = machine.definition(nothing.to_string()).role_arn(ROLE);
        machine.send().await.unwrap();
        let relay = Relay::to(&house.url);
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("config/fanout");
        fs::create_dir_all(&settings).unwrap();
        fs::write(settings.join("config.toml"), "bucket = \"data\"\n").unwrap();
        fs::write(folder.path().join("big.txt"), lines(4 * PART + MIB)).unwrap();
        Self {
            house,
            relay,
            folder,
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("big.txt")
    }

    fn start(&self) -> Command {
        let keys = self.house.engine.credentials();
        let mut command = house::fanout(self.folder.path());
        command
            .env("AWS_ACCESS_KEY_ID", &keys.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &keys.secret_key)
            .args(["--region", "us-east-1", "--endpoint-url", &self.relay.url])
            .args(["--machine", "nothing", "start", "big.txt", "--yes"]);
        command
    }

    async fn uploads(&self) -> Vec<(String, String)> {
        let listed = self.house.s3.list_multipart_uploads().bucket("data");
        let uploads = listed.send().await.unwrap();
        let uploads = uploads.uploads().iter();
        uploads
            .map(|it| {
                (
                    it.key().unwrap().to_owned(),
                    it.upload_id().unwrap().to_owned(),
                )
            })
            .collect()
    }

    async fn arrived(&self) -> usize {
        let uploads = self.uploads().await;
        let [(key, id)] = uploads.as_slice() else {
            return 0;
        };
        let parts = self.house.s3.list_parts().bucket("data");
        let parts = parts.key(key).upload_id(id).send().await.unwrap();
        parts.parts().len()
    }

    /// Begins an upload and kills it before all has arrived; returns how many parts have.
    async fn killed(&self) -> usize {
        // Four parts are on their way at once: of more than four, one at least is whole.
        let most = 4 * PART + MIB / 2;
        self.relay.set(|passing| passing.most_sent = Some(most));
        let mut killed = self.start();
        let killed = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut killed = killed.unwrap();
        let relay = self.relay.clone();
        let sent = tokio::task::spawn_blocking(move || relay.wait_for_sent(most));
        sent.await.unwrap();
        while self.arrived().await < 1 {
            tokio::task::yield_now().await;
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        self.arrived().await
    }

    async fn object(&self, key: &str) -> Vec<u8> {
        let got = self.house.s3.get_object().bucket("data").key(key);
        let body = got.send().await.unwrap().body.collect().await.unwrap();
        body.to_vec()
    }

    /// Keys of the objects that there are.
    async fn keys(&self) -> Vec<String> {
        let listed = self.house.s3.list_objects_v2().bucket("data");
        let listed = listed.send().await.unwrap();
        let keys = listed.contents().iter();
        keys.map(|it| it.key().unwrap().to_owned()).collect()
    }

    fn notes(&self) -> usize {
        let folder = self.folder.path().join("state/fanout/uploads");
        fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

async fn run(mut command: Command) -> Given {
    let ran = tokio::task::spawn_blocking(move || Given(command.output().unwrap()));
    ran.await.unwrap()
}

fn content(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_killed_goes_on_where_it_was() {
    let place = Place::new().await;
    let arrived = place.killed().await;
    assert_eq!(place.notes(), 1);
    assert!(place.keys().await.is_empty(), "nothing is visible yet");

    let before = place.relay.parts();
    place.relay.set(|passing| passing.most_sent = None);
    let again = run(place.start()).await.success();
    assert!(
        again.stderr().contains("the upload went on"),
        "{}",
        again.stderr()
    );
    let sent = place.relay.parts() - before;
    // What was on its way at the kill may have arrived after it.
    assert!(
        (1..=5 - arrived).contains(&sent),
        "{sent} sent, {arrived} parts were there"
    );
    let keys = place.keys().await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(place.object(&keys[0]).await == content(&place.file()));
    assert!(place.uploads().await.is_empty());
    assert_eq!(place.notes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changed_begins_anew_and_what_was_begun_is_given_up() {
    let place = Place::new().await;
    place.killed().await;
    let mut text = fs::read_to_string(place.file()).unwrap();
    text.replace_range(..5, "other");
    fs::write(place.file(), &text).unwrap();

    let before = place.relay.parts();
    place.relay.set(|passing| passing.most_sent = None);
    let again = run(place.start()).await.success();
    assert!(!again.stderr().contains("went on"), "{}", again.stderr());
    assert_eq!(place.relay.parts() - before, 5);
    let keys = place.keys().await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(place.object(&keys[0]).await == text.as_bytes());
    assert!(
        place.uploads().await.is_empty(),
        "the first one is given up"
    );
    assert_eq!(place.notes(), 0);
}
