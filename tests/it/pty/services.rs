//! What the dashboard does to and with the terminal besides drawing: copies, links, notices, the
//! title, the mouse; and what it does when things outside go wrong.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::{PATIENCE, Terminal, command, parser};
use crate::house::fanout;

const FANOUT: &str = env!("CARGO_BIN_EXE_fanout");

impl Terminal {
    /// Reads until the program has written this, for what leaves no trace on the screen.
    #[track_caller]
    fn wait_for_bytes(&mut self, bytes: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.has_written(bytes) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(more) => self.take(&more),
                Err(gone) => panic!("{bytes:?} was never written ({gone}):\n{}", self.text()),
            }
        }
    }

    fn has_written(&self, bytes: &str) -> bool {
        let written = self.raw.windows(bytes.len());
        written.into_iter().any(|it| it == bytes.as_bytes())
    }

    fn quit(mut self) -> Self {
        self.press("\x03");
        self.ended();
        self
    }
}

/// `fanout demo` with settings of its own.
fn demo(
    home: &Path,
    lines: &str,
    more: &[&str],
    vars: &[(&str, &str)],
    size: (u16, u16),
) -> Terminal {
    let mut arguments = vec!["demo", "--lines", lines, "--seed", "1"];
    arguments.extend(more);
    let mut demo = command(home, FANOUT, &arguments);
    for (name, value) in vars {
        demo.env(name, value);
    }
    Terminal::spawn(demo, size.0, size.1)
}

/// An engine in a process of its own; killed when dropped.
struct Engine(Child);

impl Engine {
    fn start(home: &Path, port: u16) -> Self {
        let mut serve = fanout(home);
        let port = port.to_string();
        let serve = serve.args(["local", "serve", "--port", &port]);
        let mut process = serve.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        assert!(line.starts_with("http://"), "{line}");
        Self(process)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_failure_leads_to_its_log_lines_on_a_small_terminal() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = demo(home.path(), "120", &[], &[], (80, 24));
    terminal.wait("2Live");
    terminal.wait("FAILED: ");
    terminal.press("3");
    terminal.wait("read from");
    terminal.press("\r");
    terminal.wait("WHAT DIFFERS");
    terminal.press("l");
    terminal.wait("found by request id");
    terminal.wait("START RequestId");
    terminal.press("5");
    terminal.wait("all read");
    terminal.press("/worker.\r");
    terminal.wait("go through them");
    let terminal = terminal.quit();
    terminal.is_restored();
}

#[test]
fn a_copy_goes_through_the_terminal_where_no_program_takes_it() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = demo(home.path(), "60", &[], &[], (120, 36));
    terminal.wait("Map Run Lines");
    terminal.press("y");
    terminal.wait("through the terminal (OSC 52)");
    terminal.wait_for_bytes("\x1b]52;c;");
    // The mouse: off until it is asked for, then a drag copies.
    assert!(!terminal.has_written("\x1b[?1002h"));
    terminal.press("\x1bOQ");
    terminal.wait("mouse on");
    terminal.wait_for_bytes("\x1b[?1002h");
    terminal.press("1");
    terminal.wait("Runs of fanout");
    // The word of the title, in the frame's first line.
    terminal.press("\x1b[<0;4;3M\x1b[<32;7;3M\x1b[<0;7;3m");
    terminal.wait("copied 4 characters");
    terminal.wait_for_bytes("\x1b]52;c;UnVucw==");
    let terminal = terminal.quit();
    terminal.is_restored();
    terminal.is_off("\x1b[?1002h", "\x1b[?1002l");
}

#[test]
fn somebody_who_looks_elsewhere_is_told_and_the_title_tells_and_is_restored() {
    let home = tempfile::tempdir().unwrap();
    let vars = [("TERM_PROGRAM", "WezTerm")];
    // Long enough that the terminal looks away before the end.
    let mut terminal = demo(home.path(), "1200", &[], &vars, (120, 36));
    terminal.wait("Map Run Lines");
    terminal.press("\x1b[O");
    terminal.wait_for_bytes("\x1b]2;fanout: ");
    terminal.wait_for_bytes("has ended: FAILED");
    assert!(terminal.has_written("\x07\x1b]9;places-"));
    terminal.press("\x1b[I");
    terminal.wait("✗ FAILED");
    let terminal = terminal.quit();
    terminal.is_restored();
    terminal.is_off("\x1b[22;2t", "\x1b[23;2t");
    terminal.is_off("\x1b[?1004h", "\x1b[?1004l");
}

#[test]
fn the_last_frame_stays_where_that_is_wanted() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = demo(home.path(), "60", &["--keep-screen"], &[], (100, 30));
    terminal.wait("Map Run Lines");
    terminal.press("1");
    terminal.wait("Runs of fanout");
    let terminal = terminal.quit();
    let raw = String::from_utf8_lossy(&terminal.raw).into_owned();
    let (_, after) = raw.rsplit_once("\x1b[?1049l").unwrap();
    assert!(after.contains("Runs of fanout"), "{after}");
    assert!(after.contains("end here"), "{after}");
}

#[test]
fn a_terminal_that_goes_away_ends_the_dashboard() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = demo(home.path(), "60", &[], &[], (100, 30));
    terminal.wait("Map Run Lines");
    let process = terminal.child.process_id().unwrap().to_string();
    let hung_up = Command::new("kill").args(["-HUP", &process]).status();
    assert!(hung_up.unwrap().success());
    assert_eq!(terminal.ended(), 128 + 1);
    terminal.is_restored();
}

#[test]
fn a_lost_connection_keeps_what_is_known_and_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let engine = Engine::start(home.path(), port);
    let mut terminal = Terminal::run(home.path(), FANOUT, &["--local"], 120, 36);
    terminal.wait("Runs of fanout");
    // Somebody else starts a run, which is seen at once.
    std::fs::write(home.path().join("lines.txt"), "one\ntwo\n").unwrap();
    let started = fanout(home.path())
        .args(["start", "lines.txt", "--local", "--yes"])
        .output()
        .unwrap();
    assert!(started.status.success(), "{started:?}");
    terminal.wait("lines-");
    drop(engine);
    terminal.wait("no connection");
    terminal.wait("old ");
    assert!(terminal.text().contains("lines-"), "{}", terminal.text());
    let _engine = Engine::start(home.path(), port);
    terminal.screen = parser(120, 36);
    terminal.press("\x0c");
    terminal.wait("fresh ");
    terminal.wait("lines-");
    let terminal = terminal.quit();
    terminal.is_restored();
}

#[test]
fn names_are_links_to_the_console_unless_that_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let _engine = Engine::start(home.path(), free_port());
    let env = fanout(home.path())
        .args(["local", "env", "--json"])
        .output();
    let env: serde_json::Value = serde_json::from_slice(&env.unwrap().stdout).unwrap();
    std::fs::write(home.path().join("lines.txt"), "one\ntwo\n").unwrap();
    let started = fanout(home.path())
        .args(["start", "lines.txt", "--local", "--yes"])
        .output()
        .unwrap();
    assert!(started.status.success(), "{started:?}");
    let describe = |flags: &[&str]| {
        // As an endpoint of AWS's own kind: of the embedded engine the console shows nothing.
        let mut dashboard = command(home.path(), FANOUT, flags);
        for (name, value) in env["set"].as_object().unwrap() {
            dashboard.env(name, value.as_str().unwrap());
        }
        let mut terminal = Terminal::spawn(dashboard, 120, 36);
        terminal.wait("lines-");
        terminal.press("d");
        terminal.wait("state machine");
        terminal
    };
    let mut linked = describe(&[]);
    linked.wait_for_bytes("\x1b]8;id=");
    linked.wait_for_bytes(
        "console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/arn%3Aaws",
    );
    // The name itself stands on the screen as it should.
    linked.wait("arn:aws:states:us-east-1:000000000000:execution:fanout:lines-");
    linked.quit().is_restored();
    let plain = describe(&["--no-hyperlinks"]).quit();
    assert!(!plain.has_written("\x1b]8;"));
}

#[test]
fn a_run_is_started_from_the_dialog_and_its_output_fetched() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("in");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("mine.txt"), "Quito, Ecuador\nLima, Peru\n").unwrap();
    let mut terminal = demo(home.path(), "60", &[], &[], (120, 36));
    terminal.wait("Map Run Lines");
    terminal.press("1");
    terminal.wait("Runs of fanout");
    terminal.press("t");
    terminal.wait("Start a run");
    // Back from the first field is the last button, and before it the dry run.
    terminal.press("in/mine.txt\x1b[Z\x1b[Z");
    terminal.wait("2 lines");
    terminal.wait("▸Dry run");
    terminal.press("\r");
    terminal.wait("all 2 lines succeeded");
    terminal.press("\t");
    terminal.wait("▸Upload and start");
    terminal.press("\r");
    terminal.wait("started mine-");
    terminal.wait("✓ OK");
    terminal.press("4");
    terminal.wait("final");
    terminal.press("D\r");
    terminal.wait("downloaded to");
    let terminal = terminal.quit();
    terminal.is_restored();
    let fetched = std::fs::read_to_string(home.path().join("mine.txt")).unwrap();
    assert_eq!(fetched.lines().count(), 2, "{fetched}");
}
