//! The whole program in a real pseudo-terminal: keys in, screens out, the terminal as it was after.

mod picture;
mod repair;
mod services;
mod targets;

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long a screen may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(90);

struct Terminal {
    screen: vt100::Parser,
    /// Everything the program wrote, for what leaves no trace on the screen.
    raw: Vec<u8>,
    output: Receiver<Vec<u8>>,
    keys: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}

fn parser(columns: u16, rows: u16) -> vt100::Parser {
    vt100::Parser::new(
        NonZero::new(rows).unwrap(),
        NonZero::new(columns).unwrap(),
        0,
    )
}

fn command(home: &Path, program: &str, arguments: &[&str]) -> CommandBuilder {
    let mut command = CommandBuilder::new(program);
    command.args(arguments);
    command.env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("TERM", "xterm-256color");
    command.env("LANG", "C.UTF-8");
    command.env("PS1", "shell> ");
    command.env("HOME", home);
    for (name, folder) in [
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_STATE_HOME", "state"),
        ("XDG_DATA_HOME", "data"),
    ] {
        command.env(name, home.join(folder));
    }
    command.cwd(home);
    command
}

impl Terminal {
    /// Runs a program that sees nothing of the developer's settings.
    fn run(home: &Path, program: &str, arguments: &[&str], columns: u16, rows: u16) -> Self {
        Self::spawn(command(home, program, arguments), columns, rows)
    }

    fn spawn(command: CommandBuilder, columns: u16, rows: u16) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            screen: parser(columns, rows),
            raw: Vec::new(),
            output,
            keys: pair.master.take_writer().unwrap(),
            master: pair.master,
            child,
        }
    }

    fn demo(home: &Path, columns: u16, rows: u16) -> Self {
        let arguments = ["demo", "--lines", "300", "--seed", "1"];
        Self::run(
            home,
            env!("CARGO_BIN_EXE_fanout"),
            &arguments,
            columns,
            rows,
        )
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        self.screen = parser(columns, rows);
        self.master.resize(size(columns, rows)).unwrap();
    }

    /// Reads until the screen shows the text.
    #[track_caller]
    fn wait(&mut self, text: &str) {
        self.wait_until(&format!("{text:?} to come"), |shown| shown.contains(text));
    }

    /// Reads until the screen shows the text no more.
    #[track_caller]
    fn wait_gone(&mut self, text: &str) {
        self.wait_until(&format!("{text:?} to go"), |shown| !shown.contains(text));
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.text()) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.take(&bytes),
                Err(gone) => panic!("waited for {what} ({gone}):\n{}", self.text()),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.screen.process(bytes);
        self.raw.extend_from_slice(bytes);
    }

    /// Reads to the end of the program's output; returns its exit code.
    fn ended(&mut self) -> u32 {
        while let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.take(&bytes);
        }
        self.child.wait().unwrap().exit_code()
    }

    /// Alternate screen left and cursor shown.
    #[track_caller]
    fn is_restored(&self) {
        self.is_off("\x1b[?1049h", "\x1b[?1049l");
        self.is_off("\x1b[?25l", "\x1b[?25h");
    }

    /// A pasted line would otherwise come with marks around it. Shells turn it on themselves.
    #[track_caller]
    fn pastes_plainly(&self) {
        self.is_off("\x1b[?2004h", "\x1b[?2004l");
    }

    #[track_caller]
    fn is_off(&self, on: &str, off: &str) {
        let raw = String::from_utf8_lossy(&self.raw);
        assert!(
            raw.rfind(off) > raw.rfind(on),
            "{off:?} must come after {on:?}"
        );
    }
}

#[test]
fn a_run_fails_is_repaired_heals_and_the_terminal_is_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::demo(home.path(), 120, 36);
    terminal.wait("✗ FAILED");
    terminal.press("r");
    terminal.wait("What will run");
    // Enter never confirms by itself: the focus is on Cancel.
    terminal.press("\r");
    terminal.press("!");
    terminal.wait("repaired");
    terminal.press("r");
    terminal.wait("What will run");
    terminal.press("\t\r");
    terminal.wait("✓ OK");
    terminal.press("4");
    terminal.wait("final");
    terminal.press("1");
    terminal.wait("Runs of fanout");
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
    terminal.is_restored();
    terminal.pastes_plainly();
    assert!(
        String::from_utf8_lossy(&terminal.raw).contains("end here"),
        "the last line says what goes on"
    );
}

#[test]
fn a_terminal_that_shrinks_and_grows_keeps_its_place_and_sigterm_restores_it() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::demo(home.path(), 200, 60);
    terminal.wait("Map Run Lines");
    for (columns, rows, shown) in [(80, 24, "2Live"), (59, 15, "60×16"), (120, 36, "2 Live")] {
        terminal.resize(columns, rows);
        terminal.wait(shown);
    }
    terminal.wait("Map Run Lines");
    let process = terminal.child.process_id().unwrap().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &process])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(terminal.ended(), 128 + 15);
    terminal.is_restored();
    terminal.pastes_plainly();
}

#[test]
fn ctrl_z_gives_the_shell_back_and_fg_the_dashboard() {
    let home = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(
        home.path(),
        "bash",
        &["--norc", "--noprofile", "-i"],
        100,
        30,
    );
    terminal.wait("shell> ");
    terminal.press(&format!(
        "{} demo --lines 300\r",
        env!("CARGO_BIN_EXE_fanout")
    ));
    terminal.wait("Map Run Lines");
    terminal.press("\x1a");
    terminal.wait("Stopped");
    terminal.is_restored();
    // Only what is drawn from here on counts.
    terminal.screen = parser(100, 30);
    terminal.press("fg\r");
    terminal.wait("Map Run Lines");
    terminal.press("\x03");
    terminal.wait("end here");
    terminal.press("exit\r");
    terminal.ended();
    terminal.is_restored();
}

#[test]
fn without_a_terminal_the_dashboard_is_refused_in_words() {
    let home = tempfile::tempdir().unwrap();
    let given = crate::house::fanout(home.path()).output().unwrap();
    let told = String::from_utf8_lossy(&given.stderr).into_owned();
    assert!(told.contains("terminal"), "{told}");
    assert_ne!(given.status.code(), Some(0));
}

/// Set for the program that panics on purpose: this very test, run again inside the terminal.
const PANICS: &str = "FANOUT_TEST_PANICS";

#[test]
fn a_panic_gives_the_terminal_back_before_it_speaks() {
    if std::env::var_os(PANICS).is_some() {
        let _guard = fanout::tui::terminal::Guard::enter().unwrap();
        panic!("on purpose");
    }
    let home = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let name = "pty::a_panic_gives_the_terminal_back_before_it_speaks";
    let mut again = command(
        home.path(),
        this.to_str().unwrap(),
        &["--exact", name, "--nocapture"],
    );
    again.env(PANICS, "1");
    let mut terminal = Terminal::spawn(again, 80, 24);
    assert_ne!(terminal.ended(), 0);
    terminal.is_restored();
    terminal.pastes_plainly();
    let raw = String::from_utf8_lossy(&terminal.raw).into_owned();
    assert!(raw.find("on purpose") > raw.find("\x1b[?1049l"), "{raw}");
}
