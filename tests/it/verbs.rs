//! The real program, verb by verb, against its own embedded engine: answers, exit codes, refusals.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fanout::local::lookup::{Lookup, Options};
use serde_json::{Value, json};

/// A home of its own for the program: no credentials, no configuration, an engine's folder.
struct Home(tempfile::TempDir);

/// How a verb ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// The answer as one JSON document.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.stdout))
    }

    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        assert!(
            self.stderr.contains(text),
            "{text:?} is not in {:?}",
            self.stderr
        );
        self
    }
}

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a file");
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.0.path())
            .env("FANOUT_DATA_DIR", self.path("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().expect("the program");
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// `fanout local serve`, once it says where.
    fn serve(&self) -> Server {
        let mut child = self
            .command(&["local", "serve"])
            .spawn()
            .expect("the program");
        let stdout = child.stdout.take().expect("piped");
        let mut endpoint = String::new();
        BufReader::new(stdout)
            .read_line(&mut endpoint)
            .expect("an answer");
        let server = Server { child, endpoint };
        assert!(
            server.endpoint.starts_with("http://127.0.0.1:"),
            "{}",
            server.endpoint
        );
        server
    }
}

/// A serving engine; dropping it kills the process.
struct Server {
    child: Child,
    endpoint: String,
}

impl Server {
    fn terminate(mut self) -> Option<i32> {
        signal(&self.child, "TERM");
        self.child.wait().expect("a process").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status();
    assert!(status.expect("kill").success());
}

/// The lookup service, on a runtime of its own.
struct Service {
    lookup: Lookup,
    _runtime: tokio::runtime::Runtime,
}

impl Service {
    fn start(fail_percent: f64, latency: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let options = Options {
            seed: 1,
            fail_percent,
            latency,
            hang: Duration::from_secs(2),
        };
        let lookup = runtime.block_on(Lookup::start(options, 0)).expect("a port");
        Self {
            lookup,
            _runtime: runtime,
        }
    }

    fn input(&self, tolerate: u32) -> String {
        json!({
            "request": {"url": self.lookup.url_template(), "timeoutSeconds": 1},
            "output": {"line": "{line} = {response.code}"},
            "tolerate": tolerate,
        })
        .to_string()
    }
}

fn places(count: usize) -> String {
    fanout::local::sample::lines(count).fold(String::new(), |text, line| text + &line + "\n")
}

#[test]
fn the_demo_heals_its_run_without_a_screen() {
    let home = Home::new();
    let ended = home
        .run(&["demo", "--headless", "--lines", "200", "--json"])
        .expect(0);
    let report = ended.json();
    assert_eq!(report["lines"], 200);
    assert!(
        report["first"]["failed"]
            .as_u64()
            .is_some_and(|failed| 0 < failed),
        "{report}"
    );
    assert_eq!(report["healed"]["lines"], 200);
    let (written, failed) = (&report["second"]["lines"], &report["second"]["failed"]);
    assert_eq!(
        written.as_u64().zip(failed.as_u64()).map(|(a, b)| a + b),
        Some(200)
    );
    // Again over the folder it left behind.
    home.run(&["demo", "--headless", "--lines", "20", "--fail", "0"])
        .expect(0);
}

/// `failures --export` and `failures --line`, beside what `failures --json` has told.
fn each_failure_is_exported_and_found_by_its_line(home: &Home, run: &str, failures: &[Value]) {
    let lines = |rows: &mut dyn Iterator<Item = Value>| -> Vec<u64> {
        let mut lines: Vec<u64> = rows.filter_map(|row| row["line"].as_u64()).collect();
        lines.sort_unstable();
        lines
    };
    let known = lines(&mut failures.iter().cloned());
    assert_eq!(known.len(), failures.len());
    for name in ["failed.json", "failed.jsonl", "failed.csv"] {
        let done = home.run(&["failures", run, "--export", name, "--json"]);
        let done = done.expect(0).json();
        assert_eq!(
            (&done["rows"], &done["exact"]),
            (&json!(known.len()), &json!(true))
        );
        let text = fs::read_to_string(home.path(name)).expect("what was exported");
        let rows: Vec<Value> = match name {
            "failed.json" => serde_json::from_str(&text).expect("JSON"),
            "failed.jsonl" => {
                let rows = text.lines().map(serde_json::from_str);
                rows.collect::<Result<_, _>>().expect("JSON Lines")
            }
            _ => {
                let mut rows = csv::Reader::from_reader(text.as_bytes());
                let head = rows.headers().expect("a header").clone();
                let at = head.iter().position(|it| it == "line").expect("a column");
                let line = |row: csv::StringRecord| row[at].parse::<u64>().expect("a number");
                let rows = rows
                    .records()
                    .map(|row| json!({"line": line(row.expect("a row"))}));
                rows.collect()
            }
        };
        assert_eq!(lines(&mut rows.into_iter()), known, "{name}");
    }
    // What is there is not written over, and a name has to say what the file is to be.
    home.run(&["failures", run, "--export", "failed.csv"])
        .expect(4);
    home.run(&["failures", run, "--export", "failed.txt"])
        .expect(2)
        .says(".jsonl");

    let line = known[0].to_string();
    let found = home.run(&["failures", run, "--line", &line, "--json"]);
    let found = found.expect(0).json();
    let found = found["failures"].as_array().expect("a list");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["line"], known[0]);
    assert_eq!(found[0]["line_method"], "by the number in the item");
    let told = home.run(&["failures", run, "--line", &line]).expect(0);
    assert_eq!(told.stdout.lines().count(), 1, "{}", told.stdout);
    told.says("matched by the number");
    let well = (1..=u64::MAX)
        .find(|line| !known.contains(line))
        .expect("a line");
    let none = home.run(&["failures", run, "--line", &well.to_string()]);
    none.expect(0).says("no failure is known");
}

#[test]
fn a_run_fails_is_explained_redriven_and_downloaded() {
    let home = Home::new();
    let service = Service::start(15.0, Duration::from_millis(1));
    let text = places(120);
    home.file("places.txt", &text);
    let server = home.serve();
    let start = [
        "start",
        "places.txt",
        "--input",
        &service.input(1),
        "--yes",
        "--wait",
        "--json",
    ];

    let failed = home.run(&start).expect(1).json();
    let run = &failed["runs"][0];
    assert_eq!(
        (&failed["version"], &run["state"]),
        (&json!(1), &json!("FAILED"))
    );
    let counts = &run["map_run"]["items"];
    let name = run["name"].as_str().expect("a name");
    assert!(name.starts_with("places-"), "{name}");

    let listed = home.run(&["failures", "last", "--json"]).expect(0).json();
    let failures = listed["failures"].as_array().expect("a list");
    let counted = ["failed", "timed_out"]
        .iter()
        .filter_map(|count| counts[*count].as_u64());
    assert_eq!(failures.len() as u64, counted.sum::<u64>());
    assert_eq!(listed["exact"], true);
    for failure in failures {
        let line = failure["line"]
            .as_u64()
            .and_then(|line| usize::try_from(line).ok());
        let place = text.lines().nth(line.expect("known") - 1).expect("a line");
        assert!(service.lookup.fails(place), "{place} should not fail");
        assert_eq!(failure["input"]["line"], place);
        assert!(
            failure["error"]
                .as_str()
                .expect("an error")
                .starts_with("Worker.")
        );
    }
    let grouped = home
        .run(&["failures", name, "--group", "--json"])
        .expect(0)
        .json();
    let groups = grouped["groups"].as_array().expect("groups");
    let members: u64 = groups
        .iter()
        .filter_map(|group| group["count"].as_u64())
        .sum();
    assert_eq!(members, failures.len() as u64);
    each_failure_is_exported_and_found_by_its_line(&home, name, failures);

    let plan = home
        .run(&["redrive", name, "--dry-run", "--json"])
        .expect(0)
        .json();
    let succeeded = counts["succeeded"].as_u64().expect("a count");
    assert_eq!(plan["will_run"].as_u64(), Some(120 - succeeded));
    assert_eq!(plan["plan"]["allowed"], json!({"Ok": null}));

    service.lookup.repair();
    home.run(&["redrive", name]).expect(4).says("--yes");
    let healed = home
        .run(&["redrive", name, "--yes", "--wait", "--json"])
        .expect(0)
        .json();
    assert_eq!(healed["runs"][0]["state"], "SUCCEEDED");
    assert_eq!(healed["runs"][0]["redrives"], 1);
    home.run(&["redrive", name, "--yes"])
        .expect(4)
        .says("has succeeded");
    home.run(&start).expect(4).says("--name");

    fs::create_dir(home.path("out")).expect("a folder");
    let got = home
        .run(&["outputs", "get", name, "--to", "out", "--json"])
        .expect(0)
        .json();
    assert_eq!(got["downloaded"].as_array().map(Vec::len), Some(1));
    let output = fs::read_to_string(home.path("out/places.txt")).expect("downloaded");
    assert_eq!(output.lines().count(), 120);
    for (line, written) in text.lines().zip(output.lines()) {
        assert!(written.starts_with(&format!("{line} = ")), "{written}");
    }
    assert_eq!(home.run(&["outputs", "cat", name]).expect(0).stdout, output);
    home.run(&["outputs", "get", name, "--to", "out"])
        .expect(4)
        .says("exists already");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn within_its_tolerance_a_run_ends_part() {
    let home = Home::new();
    let service = Service::start(15.0, Duration::from_millis(1));
    home.file("places.txt", places(60));
    let input = service.input(90);
    let ended = home.run(&[
        "start",
        "places.txt",
        "--input",
        &input,
        "--yes",
        "--wait",
        "--ndjson",
    ]);
    let ended = ended.expect(3);
    let last: Value = ended
        .stdout
        .lines()
        .last()
        .map(serde_json::from_str)
        .expect("lines")
        .expect("JSON");
    assert_eq!(last["run"]["state"], "PART");
    home.run(&["redrive", "last", "--yes"])
        .expect(4)
        .says("fanout rerun");
    let listed = home
        .run(&["outputs", "ls", "last", "--json"])
        .expect(0)
        .json();
    let finals = listed["outputs"].as_array().expect("a list").iter();
    let finals = finals.filter(|output| output["kind"] == "final").count();
    assert_eq!(finals, 2);
    home.run(&["failures", "last", "--group"])
        .expect(0)
        .says("all there are");
}

#[test]
fn a_run_that_nobody_waits_for_goes_on_when_somebody_does() {
    let home = Home::new();
    let service = Service::start(0.0, Duration::from_millis(20));
    home.file("places.txt", places(50));
    home.run(&["start", "places.txt", "--input", &service.input(0), "--yes"])
        .expect(0)
        .says("fanout wait last");
    let ended = home.run(&["wait", "last", "--json"]).expect(0).json();
    assert_eq!(ended["runs"][0]["map_run"]["items"]["succeeded"], 50);
    let watched = home.run(&["watch", "last", "--ndjson"]).expect(0);
    assert!(
        watched.stdout.contains("\"event\":\"end\""),
        "{}",
        watched.stdout
    );
}

#[test]
fn giving_up_waiting_leaves_the_run_alone() {
    let home = Home::new();
    let service = Service::start(0.0, Duration::from_secs(55));
    home.file("places.txt", places(5));
    let server = home.serve();
    let input = json!({"request": {"url": service.lookup.url_template(), "timeoutSeconds": 60}});
    home.run(&[
        "start",
        "places.txt",
        "--input",
        &input.to_string(),
        "--yes",
        "--wait",
        "--timeout",
        "1s",
    ])
    .expect(124)
    .says("the run goes on");

    let mut waiting = home
        .command(&["watch", "last", "--ndjson"])
        .spawn()
        .expect("the program");
    let mut stdout = BufReader::new(waiting.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a snapshot");
    signal(&waiting, "INT");
    let mut stderr = String::new();
    waiting
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut stderr)
        .expect("text");
    assert_eq!(
        waiting.wait().expect("a process").code(),
        Some(130),
        "{stderr}"
    );
    assert!(stderr.contains("the run goes on"), "{stderr}");

    let runs = home.run(&["runs", "--json"]).expect(0).json();
    assert_eq!(runs["runs"][0]["status"], "RUNNING");
    home.run(&[
        "limits",
        "last",
        "--concurrency",
        "7",
        "--tolerate",
        "50%",
        "--yes",
    ])
    .expect(0);
    home.run(&["stop", "last", "--yes"]).expect(0);
    home.run(&["wait", "last"]).expect(1);
    drop(server);
}

#[test]
fn bad_files_are_refused_before_anything_is_uploaded() {
    let home = Home::new();
    home.file("empty.txt", "");
    home.file("empty.txt.gz", "");
    home.file("latin.txt", b"ok\ncaf\xe9\n");
    home.file(
        "long.txt",
        [b"x\n".to_vec(), vec![b'y'; 300 << 10], b"\n".to_vec()].concat(),
    );
    home.file("broken.gz", "this is not gzip");
    fs::create_dir(home.path("folder")).expect("a folder");
    let server = home.serve();
    for (file, problem) in [
        ("empty.txt", "empty"),
        ("empty.txt.gz", "empty"),
        ("none.txt", "none.txt: no such file"),
        ("folder", "is a folder"),
        ("latin.txt", "line 2 is not UTF-8"),
        ("long.txt", "line 2 is longer than 200 KiB"),
        ("broken.gz", "gzip"),
        ("s3://fanout/none", "does not exist"),
    ] {
        let refused = home.run(&["start", file, "--yes", "--wait"]).expect(4);
        refused.says("error: ").says(problem);
        assert_eq!(refused.stdout, "", "{file}");
    }
    assert!(home.run(&["runs"]).expect(0).stdout.is_empty());
    drop(server);
}

#[test]
fn odd_line_ends_are_fine() {
    let home = Home::new();
    let service = Service::start(0.0, Duration::ZERO);
    home.file("open.txt", "Quito, Ecuador\nLima, Peru");
    home.file("windows.txt", "Quito, Ecuador\r\nLima, Peru\r\n");
    let input = service.input(0);
    for file in ["open.txt", "windows.txt"] {
        home.run(&["start", file, "--input", &input, "--yes", "--wait"])
            .expect(0);
        let output = home.run(&["outputs", "cat", "last"]).expect(0).stdout;
        assert_eq!(output, "Quito, Ecuador = EC\nLima, Peru = PE\n", "{file}");
    }
}

#[test]
fn wrong_usage_and_settings_are_told_apart_from_failures() {
    let home = Home::new();
    home.file("bad.toml", "budget_share = 7\n");
    home.file("a.txt", "a\n");
    for arguments in [
        &["frobnicate"][..],
        &["start"],
        &["runs", "--json", "--ndjson"],
        &["limits", "last"],
        &["wait", "last", "--timeout", "soon"],
        &["start", "a.txt", "--input", "{", "--yes"],
        &["start", "a.txt", "a.txt", "--name", "b", "--yes"],
        &["runs", "--config", "bad.toml"],
        &["runs", "--config", "none.toml"],
        &["runs", "--log-level", "loud"],
        // No terminal to draw on.
        &[],
        &["demo"],
    ] {
        let refused = home.run(arguments).expect(2);
        assert_eq!(refused.stdout, "", "{arguments:?}");
        refused.says("error: ");
    }
    let refused = home.run(&["runs", "--config", "bad.toml"]);
    refused.says("bad.toml:1").says("budget_share");
}

#[test]
fn refusals_change_nothing() {
    let home = Home::new();
    home.file("a.txt", "a\n");
    let server = home.serve();
    home.run(&["start", "a.txt"]).expect(4).says("--yes");
    home.run(&["start", "a.txt", "--yes", "--read-only"])
        .expect(4)
        .says("read-only");
    home.run(&["start", "a.txt", "--yes", "--name", "not a name"])
        .expect(4);
    home.run(&["start", "a.txt", "--yes", "--input", "[1]"])
        .expect(2);
    home.run(&["start", "a.txt", "--yes", "--machine", "none"])
        .expect(4)
        .says("fanout");
    home.run(&["redrive", "none", "--yes"])
        .expect(4)
        .says("none");
    home.run(&["local", "reset", "--yes"])
        .expect(4)
        .says("in use");
    let dry = home
        .run(&["start", "a.txt", "--dry-run", "--json"])
        .expect(0)
        .json();
    assert_eq!(dry["plans"][0]["lines"], 1);
    let checks = dry["plans"][0]["checks"].to_string();
    // On a busy machine who it is may not be known in time.
    let told = ["signed in", "0 open Map Runs of this machine"];
    assert!(told.iter().all(|it| checks.contains(it)), "{checks}");
    let template = r#"{"output": {"key": "out/{{ stem }}-{{ date:2026-11-23 }}.csv"}}"#;
    std::fs::write(home.path("daily.json"), template).expect("a template");
    let filled = home
        .run(&[
            "start",
            "a.txt",
            "--template",
            "daily.json",
            "--dry-run",
            "--json",
        ])
        .expect(0)
        .json();
    let plan = &filled["plans"][0];
    assert_eq!(plan["input"]["output"]["key"], "out/a-2026-11-23.csv");
    assert_eq!(plan["template"], "daily.json");
    assert_ne!(plan["name"], dry["plans"][0]["name"]);
    home.run(&["start", "a.txt", "--template", "none.json", "--yes"])
        .expect(4)
        .says("no such file");
    assert!(home.run(&["runs"]).expect(0).stdout.is_empty());
    drop(server);
}

#[test]
fn a_second_process_becomes_the_client_of_the_first() {
    let home = Home::new();
    let server = home.serve();
    let status = home.run(&["local", "status", "--json"]).expect(0).json();
    assert_eq!(status["endpoint"], server.endpoint.trim());
    home.run(&["local", "serve"])
        .expect(4)
        .says("is served already");
    let env = home.run(&["local", "env", "--json"]).expect(0).json();
    assert_eq!(env["set"]["AWS_ENDPOINT_URL"], server.endpoint.trim());
    // What `env` prints leads any tool there, fanout included.
    let mut elsewhere = home.command(&["machines", "--json"]);
    elsewhere.env("FANOUT_DATA_DIR", home.path("other"));
    for (name, value) in env["set"].as_object().expect("variables") {
        elsewhere.env(name, value.as_str().expect("text"));
    }
    let output = elsewhere.output().expect("the program");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!home.path("other").exists());
    assert_eq!(server.terminate(), Some(0));
    home.run(&["local", "env"])
        .expect(4)
        .says("fanout local serve");
    home.run(&["local", "reset", "--yes"]).expect(0);
    assert!(!Path::new(&home.path("data/engine.json")).exists());
}

#[test]
fn nothing_is_deleted_from_a_folder_that_is_not_ours() {
    let home = Home::new();
    fs::create_dir(home.path("data")).expect("a folder");
    let theirs = home.file("data/thesis.txt", "years of work");
    home.run(&["local", "reset", "--yes"])
        .expect(4)
        .says("was not made by fanout");
    assert!(theirs.exists());
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let home = Home::new();
    let mut page = home.command(&["man"]).spawn().expect("the program");
    drop(page.stdout.take());
    let mut stderr = String::new();
    page.stderr
        .take()
        .expect("piped")
        .read_to_string(&mut stderr)
        .expect("text");
    assert_eq!(
        (page.wait().expect("a process").code(), stderr.as_str()),
        (Some(0), "")
    );
}

#[test]
fn the_program_describes_itself() {
    let home = Home::new();
    assert!(
        home.run(&["--version"])
            .expect(0)
            .stdout
            .starts_with("fanout ")
    );
    assert!(
        home.run(&["start", "--help"])
            .expect(0)
            .stdout
            .contains("JSON")
    );
    assert!(
        home.run(&["completions", "bash"])
            .expect(0)
            .stdout
            .contains("redrive")
    );
    assert!(
        home.run(&["man", "redrive"])
            .expect(0)
            .stdout
            .contains("dry")
    );
    let shown = home.run(&["config", "show", "--json"]).expect(0).json();
    assert_eq!(shown["config"]["machine"], "fanout");
}
