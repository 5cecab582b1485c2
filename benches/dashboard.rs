//! How the dashboard feels and what it costs while the engine is busy: `cargo bench --bench
//! dashboard [-- LINES]`.
//!
//! The program runs in a pseudo-terminal as AWS's client does, with AWS's quotas as its budget,
//! against the embedded engine in this process. There, one run of [`LINES`] lines of which every
//! tenth fails has ended, another one waits for its last line, and while keys are pressed others
//! follow each other at full speed. Each leaves some hundred megabytes in the temporary folder until the end. Between the
//! two, every call is counted by its name.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and it prints"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fanout::client::{Client, Options, Target};
use fanout::local::{self, Local};
use fanout::model::{ExecutionArn, ObjectAddress, StateMachineArn};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LINES: u64 = 1_000_000;
const BUCKET: &str = "bench";
const MACHINE: &str = "bench";
/// Short runs that fill the list.
const SHORT: usize = 30;
/// Seconds that a run's slow line takes: longer than all that is measured with it.
const SLOW: u64 = 200;
/// Starts of the program, one after the other, before anything runs.
const STARTS: usize = 8;
/// Keys pressed in each view.
const KEYS: usize = 200;
/// Between two keys: as fast as a held key repeats.
const BETWEEN: Duration = Duration::from_millis(33);
/// How long the calls of each view are counted.
const WATCHED: Duration = Duration::from_secs(30);
const COLUMNS: u16 = 120;
const ROWS: u16 = 36;
/// Whatever takes longer is a fault of its own.
const PATIENCE: Duration = Duration::from_mins(1);

type Calls = Arc<Mutex<BTreeMap<String, u64>>>;

/// Passes bytes on in both directions and counts the operations that requests name.
async fn relay(engine: SocketAddr, calls: Calls) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let calls = Arc::clone(&calls);
            tokio::spawn(async move {
                let server = TcpStream::connect(engine).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                });
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                    count(&bytes[..read], &calls);
                    if to_server.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn count(request: &[u8], calls: &Calls) {
    let head = String::from_utf8_lossy(request);
    for line in head.lines() {
        let name = match line.split_once(':') {
            Some((name, target)) if name.eq_ignore_ascii_case("x-amz-target") => target
                .rsplit('.')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
            _ if line.ends_with("HTTP/1.1") && !line.starts_with("POST / ") => {
                format!("S3 {}", line.split(' ').next().unwrap_or_default())
            }
            _ => continue,
        };
        *calls.lock().unwrap().entry(name).or_default() += 1;
    }
}

struct Terminal {
    screen: vt100::Parser,
    bytes: u64,
    output: Receiver<Vec<u8>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn open(home: &Path, endpoint: SocketAddr, access: &str, secret: &str) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_fanout"));
        let url = format!("http://{endpoint}");
        command.args([
            "--endpoint-url",
            &url,
            "--region",
            "us-east-1",
            "--machine",
            MACHINE,
        ]);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env("HOME", home);
        command.env("AWS_ACCESS_KEY_ID", access);
        command.env("AWS_SECRET_ACCESS_KEY", secret);
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.cwd(home);
        let size = PtySize {
            rows: ROWS,
            cols: COLUMNS,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            screen: vt100::Parser::new(
                NonZero::new(ROWS).unwrap(),
                NonZero::new(COLUMNS).unwrap(),
                0,
            ),
            bytes: 0,
            output,
            keys: pair.master.take_writer().unwrap(),
            child,
            _master: pair.master,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Takes in what comes until then, or until `is_there`; how long that took.
    fn take(
        &mut self,
        most: Duration,
        is_there: impl Fn(&vt100::Screen) -> bool,
    ) -> Option<Duration> {
        let begun = Instant::now();
        loop {
            if is_there(self.screen.screen()) {
                return Some(begun.elapsed());
            }
            let left = most.checked_sub(begun.elapsed())?;
            match self.output.recv_timeout(left) {
                Ok(bytes) => {
                    self.bytes += bytes.len() as u64;
                    self.screen.process(&bytes);
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the dashboard ended:\n{}", self.screen.screen().contents())
                }
            }
        }
    }

    #[track_caller]
    fn wait(&mut self, text: &str) -> Duration {
        let took = self.take(PATIENCE, |screen| screen.contents().contains(text));
        took.unwrap_or_else(|| panic!("no {text:?}:\n{}", self.screen.screen().contents()))
    }

    fn watch(&mut self, time: Duration) {
        self.take(time, |_| false);
    }

    /// Kilobytes: now, and at most so far.
    fn memory(&self) -> (u64, u64) {
        let status = self
            .child
            .process_id()
            .map(|id| format!("/proc/{id}/status"));
        let status = status.and_then(|path| std::fs::read_to_string(path).ok());
        let status = status.unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        };
        (
            field("VmRSS:").unwrap_or_default(),
            field("VmHWM:").unwrap_or_default(),
        )
    }

    /// Milliseconds from pressing a key that moves the cursor to the screen showing it moved.
    fn key_times(&mut self) -> Vec<f64> {
        let mut times = Vec::new();
        for key in 0..KEYS {
            let before = cursor(self.screen.screen());
            // Down and up in runs of ten, so that the list's end is not reached.
            self.press(if key / 10 % 2 == 0 { "j" } else { "k" });
            let moved = self.take(Duration::from_secs(2), |screen| cursor(screen) != before);
            // A row that comes in at the same moment may leave the cursor where it was.
            let unmoved = key - times.len();
            let shown = || self.screen.screen().contents();
            assert!(
                unmoved < KEYS / 20,
                "the cursor does not move:\n{}",
                shown()
            );
            times.extend(moved.map(|time| time.as_secs_f64() * 1_000.0));
            self.watch(BETWEEN);
        }
        times.sort_by(f64::total_cmp);
        times
    }
}

/// What the lists' cursors below the tabs stand on: the row, and what is in its reversed cells, for
/// a list may be scrolled below its cursor. A view may have several.
fn cursor(screen: &vt100::Screen) -> Vec<(u16, String)> {
    let reversed = |row| {
        let cells = (0..COLUMNS).filter_map(|column| screen.cell(row, column));
        cells
            .filter(|cell| cell.inverse())
            .map(vt100::Cell::contents)
            .collect()
    };
    (2..ROWS - 2)
        .map(|row| (row, reversed(row)))
        .filter(|(_, text): &(u16, String)| text.len() >= 20)
        .collect()
}

fn definition() -> String {
    json!({"StartAt": "Map", "States": {"Map": {"Type": "Map", "Label": "Lines", "End": true,
        "ToleratedFailurePercentage": 100,
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSONL"},
            "Parameters": {"Bucket": BUCKET, "Key.$": "$.items"}},
        "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": BUCKET, "Prefix": "results"}},
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
            "StartAt": "Which", "States": {
            "Which": {"Type": "Choice", "Choices": [{"Variable": "$.bad", "BooleanEquals": true, "Next": "Bad"},
                {"Variable": "$.slow", "IsPresent": true, "Next": "Slow"}], "Default": "Good"},
            "Slow": {"Type": "Wait", "Seconds": SLOW, "Next": "Good"},
            "Good": {"Type": "Pass", "End": true},
            "Bad": {"Type": "Fail", "Error": "Gateway.Timeout", "CausePath": "States.Format('no answer in {} ms', $.n)"}}},
        "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": BUCKET, "Prefix": "out"}}}}})
    .to_string()
}

async fn write(client: &Client, key: &str, lines: u64, last: &str) {
    let mut items = client
        .write(&ObjectAddress::new(BUCKET, key), BTreeMap::new())
        .await
        .unwrap();
    let mut text = String::new();
    for n in 0..lines {
        text.push_str(&format!("{{\"n\":{n},\"bad\":{}}}\n", n % 10 == 0));
        if text.len() > 1 << 20 {
            items.write(text.as_bytes()).await.unwrap();
            text.clear();
        }
    }
    items.write(text.as_bytes()).await.unwrap();
    items.write(last.as_bytes()).await.unwrap();
    items.finish().await.unwrap();
}

async fn prepare(client: &Client, lines: u64) -> StateMachineArn {
    write(client, "items", lines, "").await;
    write(client, "few", 20, "").await;
    write(client, "slow", lines, "{\"slow\":true,\"bad\":false}\n").await;
    // Enough beside its result files to move a cursor in.
    for number in 0..30 {
        write(client, &format!("runs/ended/part-{number:02}"), 20, "").await;
    }
    let role = "arn:aws:iam::000000000000:role/bench";
    client
        .create_state_machine(MACHINE, &definition(), role)
        .await
        .unwrap()
}

async fn run(client: &Client, machine: &StateMachineArn, name: &str, items: &str) -> ExecutionArn {
    let source = json!({"bucket": BUCKET, "key": items});
    let input = json!({"items": items, "source": source}).to_string();
    let arn = client.start_execution(machine, name, &input).await.unwrap();
    while !client
        .execution(&arn)
        .await
        .unwrap()
        .execution
        .status
        .is_closed()
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    arn
}

/// `–` where no keys were pressed.
fn shown_at(times: &[f64], share: f64) -> String {
    match times.is_empty() {
        true => "–".to_owned(),
        false => format!("{:.1}", at(times, share)),
    }
}

fn at(times: &[f64], share: f64) -> f64 {
    let index = (times.len() as f64 * share) as usize;
    times
        .get(index.min(times.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Requests a minute, by action, that the program may send for long: its share of AWS's quotas.
async fn allowed() -> BTreeMap<&'static str, f64> {
    let target = Target::Aws {
        profile: None,
        region: Some("us-east-1".to_owned()),
        endpoint_url: None,
    };
    let options = Options {
        read_only: true,
        budget_share: 0.4,
        trail: None,
        shared_in: None,
    };
    let client = Client::connect(target, options).await.unwrap();
    client.budget_rates().into_iter().collect()
}

fn main() {
    let given = std::env::args().skip(1).find_map(|n| n.parse().ok());
    let lines = given.unwrap_or(LINES);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let calls = Calls::default();
    let busy = Arc::new(AtomicBool::new(false));
    let (address, access, secret, allowed, client, machine) = runtime.block_on(async {
        let data = folder.path().join("engine");
        let local = Local::start(&data, BUCKET, local::Options::default())
            .await
            .unwrap();
        let target = local.target();
        let options = Options {
            read_only: false,
            budget_share: 1.0,
            trail: None,
            shared_in: None,
        };
        let client = Client::connect(target.clone(), options).await.unwrap();
        let machine = prepare(&client, lines).await;
        for number in 0..SHORT {
            run(&client, &machine, &format!("short-{number:02}"), "few").await;
        }
        run(&client, &machine, "ended", "items").await;
        let is_busy = Arc::clone(&busy);
        let busy_client = client.clone();
        let busy_machine = machine.clone();
        tokio::spawn(async move {
            let (_local, client, machine) = (local, busy_client, busy_machine);
            for number in 0.. {
                while !is_busy.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                run(&client, &machine, &format!("busy-{number:04}"), "items").await;
            }
        });
        let Target::Endpoint {
            url,
            access_key,
            secret_key,
            ..
        } = target
        else {
            unreachable!("the embedded engine is an endpoint")
        };
        let engine = url.trim_start_matches("http://").parse().unwrap();
        (
            relay(engine, Arc::clone(&calls)).await,
            access_key,
            secret_key,
            allowed().await,
            client,
            machine,
        )
    });

    let home = tempfile::tempdir().unwrap();
    let open = || Terminal::open(home.path(), address, &access, &secret);
    let mut firsts: Vec<f64> = (0..STARTS)
        .map(|_| {
            let mut terminal = open();
            let first = terminal.wait("Runs").as_secs_f64() * 1_000.0;
            terminal.wait("ended");
            terminal.child.kill().unwrap();
            terminal.child.wait().unwrap();
            first
        })
        .collect();
    firsts.sort_by(f64::total_cmp);
    let (best, median, worst) = (firsts[0], at(&firsts, 0.5), firsts[STARTS - 1]);
    println!(
        "first frame of {STARTS} starts: {best:.0} to {worst:.0} ms, half within {median:.0} ms"
    );
    let slow = client.start_execution(&machine, "slow", r#"{"items":"slow"}"#);
    runtime.block_on(slow).unwrap();
    let mut terminal = open();
    let first = terminal.wait("Runs").as_secs_f64() * 1_000.0;
    terminal.wait("ended");
    println!("first frame beside a run at full speed: {first:.0} ms");
    println!(
        "{:<10} {:>5} {:>8} {:>8} {:>12} {:>9}   calls a minute",
        "view", "keys", "p50, ms", "p99, ms", "terminal", "memory"
    );
    // Where there is one state machine and nothing is logged, only the calls are counted.
    for (view, keys, shown, has_list) in [
        ("runs", "1", "Runs of bench", true),
        ("live", "1|/slow\r|\r", "Verdict", true),
        (
            "failures",
            "1|\x1b|/\x15ended\r|\r|3|\r",
            "WHAT DIFFERS",
            true,
        ),
        ("outputs", "4", "part-12", true),
        ("logs", "5", "ended", false),
        ("machines", "6", "Machines", false),
    ] {
        for some in keys.split('|') {
            terminal.press(some);
            terminal.watch(Duration::from_millis(300));
        }
        terminal.wait(shown);
        terminal.watch(Duration::from_secs(3));
        busy.store(true, Ordering::Relaxed);
        let times = match has_list {
            true => terminal.key_times(),
            false => Vec::new(),
        };
        busy.store(false, Ordering::Relaxed);
        calls.lock().unwrap().clear();
        terminal.bytes = 0;
        terminal.watch(WATCHED);
        let counted = calls.lock().unwrap().clone();
        let minutes = WATCHED.as_secs_f64() / 60.0;
        let named: Vec<String> = counted
            .iter()
            .map(|(name, calls)| {
                let most = allowed.get(name.as_str());
                let most = most.map_or_else(String::new, |most| format!(" of {most:.0}"));
                format!("{name} {:.0}{most}", *calls as f64 / minutes)
            })
            .collect();
        let (resident, _) = terminal.memory();
        println!(
            "{view:<10} {:>5} {:>8} {:>8} {:>10}/s {:>6} MB   {}",
            times.len(),
            shown_at(&times, 0.5),
            shown_at(&times, 0.99),
            format!(
                "{:.1} KB",
                terminal.bytes as f64 / WATCHED.as_secs_f64() / 1_000.0
            ),
            resident / 1_000,
            named.join(", "),
        );
    }
    println!("most memory {} MB", terminal.memory().1 / 1_000);
    terminal.press("\x03\x03");
}
