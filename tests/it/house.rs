//! The program under test, served from a temporary folder, and a service for its workers to ask.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// A `fanout` that cannot see the developer's own settings, credentials or data.
pub fn fanout(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// What a verb gave.
pub struct Given(pub Output);

impl Given {
    pub fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub fn success(self) -> Self {
        self.exit(0)
    }

    pub fn exit(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            code,
            "stdout: {}\nstderr: {}",
            self.stdout(),
            self.stderr()
        );
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.0.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout()))
    }
}

/// `fanout local serve` in a folder of its own; killed when dropped.
pub struct Serving {
    folder: tempfile::TempDir,
    process: Child,
}

impl Serving {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = serve(folder.path());
        Self { folder, process }
    }

    /// With a settings file.
    pub fn with_settings(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("config/fanout");
        std::fs::create_dir_all(&settings).unwrap();
        std::fs::write(settings.join("config.toml"), text).unwrap();
        let process = serve(folder.path());
        Self { folder, process }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.folder().join("engine")
    }

    /// SIGKILL: nothing is finished, nothing is flushed.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.process = serve(self.folder.path());
    }

    /// Starts the engine and kills it so soon that it may not have opened what is there.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is waited for: the moment of the kill is the point"
    )]
    pub fn restart_and_kill(&mut self, after: std::time::Duration) {
        self.process = command(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(after);
        self.kill();
    }

    /// What points any AWS tool at the engine: endpoint, Region, keys.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let told = self.fanout(&["local", "env", "--json"]).success().json();
        serde_json::from_value(told["set"].clone()).unwrap()
    }

    /// The AWS SDK, asking this engine.
    pub fn sfn(&self) -> aws_sdk_sfn::Client {
        let environment = self.environment();
        let of = |name: &str| environment[name].clone();
        let (key, secret) = (of("AWS_ACCESS_KEY_ID"), of("AWS_SECRET_ACCESS_KEY"));
        let config = aws_sdk_sfn::Config::builder()
            .behavior_version(aws_sdk_sfn::config::BehaviorVersion::latest())
            .region(aws_sdk_sfn::config::Region::new("us-east-1"))
            .endpoint_url(of("AWS_ENDPOINT_URL"))
            .credentials_provider(aws_sdk_sfn::config::Credentials::new(
                key, secret, None, None, "test",
            ));
        aws_sdk_sfn::Client::from_conf(config.build())
    }

    /// Objects of this engine.
    pub fn s3(&self) -> Objects {
        let environment = self.environment();
        let of = |name: &str| environment[name].clone();
        let (key, secret) = (of("AWS_ACCESS_KEY_ID"), of("AWS_SECRET_ACCESS_KEY"));
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .endpoint_url(of("AWS_ENDPOINT_URL"))
            .force_path_style(true)
            .credentials_provider(aws_sdk_s3::config::Credentials::new(
                key, secret, None, None, "test",
            ));
        Objects(aws_sdk_s3::Client::from_conf(config.build()))
    }

    /// A verb against this engine.
    pub fn fanout(&self, arguments: &[&str]) -> Given {
        let mut command = fanout(self.folder());
        command
            .arg("--data-dir")
            .arg(self.data())
            .arg("--local")
            .args(arguments);
        Given(command.output().unwrap())
    }
}

/// The bucket `data` of an engine.
pub struct Objects(aws_sdk_s3::Client);

impl Objects {
    pub async fn make(&self) {
        self.0.create_bucket().bucket("data").send().await.unwrap();
    }

    pub async fn put(&self, key: &str, text: &str) {
        let body = text.as_bytes().to_vec().into();
        let put = self.0.put_object().bucket("data").key(key).body(body);
        put.send().await.unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Already killed is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(folder: &Path) -> Command {
    let mut command = fanout(folder);
    command
        .arg("--data-dir")
        .arg(folder.join("engine"))
        .args(["local", "serve"]);
    command
}

/// Starts the engine and returns once it says where it is.
fn serve(folder: &Path) -> Child {
    let mut process = command(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert!(
        line.contains("http://127.0.0.1:"),
        "the engine says where it is: {line}"
    );
    // The rest is read so that the process never waits for us.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    process
}

pub fn lines_of(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// An HTTP service that answers `ok`, or 404 for paths that contain `bad` until it is repaired.
pub struct Lookup {
    address: std::net::SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    requests: Mutex<usize>,
    more: Condvar,
    repaired: AtomicUsize,
}

impl Lookup {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &state));
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn repair(&self) {
        self.state.repaired.store(1, Ordering::Release);
    }

    /// Requests answered so far.
    pub fn requests(&self) -> usize {
        *self.state.requests.lock().unwrap()
    }

    /// Returns once so many requests have been answered in all.
    pub fn wait_for_requests(&self, count: usize) {
        let mut requests = self.state.requests.lock().unwrap();
        while *requests < count {
            requests = self.state.more.wait(requests).unwrap();
        }
    }
}

/// One connection, kept alive: each request is answered at once.
fn answer(mut stream: TcpStream, state: &State) {
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        received.extend_from_slice(&chunk[..read]);
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = received.drain(..end + 4).collect();
            let path = String::from_utf8_lossy(&head)
                .split(' ')
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            let is_bad = path.contains("bad") && state.repaired.load(Ordering::Acquire) == 0;
            let (status, body) = if is_bad {
                ("404 Not Found", "no such word")
            } else {
                ("200 OK", "ok")
            };
            let text = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            if stream.write_all(text.as_bytes()).is_err() {
                return;
            }
            *state.requests.lock().unwrap() += 1;
            state.more.notify_all();
        }
    }
}
