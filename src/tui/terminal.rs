//! The terminal as we found it, and as we need it. Every way out goes through [`restore`]: the
//! guard's `Drop`, the panic hook, signals, suspension.

pub mod clipboard;
pub mod dialect;

use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::process::{Command, Stdio};
use std::sync::Once;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
    EnableFocusChange, EnableMouseCapture,
};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The dashboard's hold on the terminal; dropping it gives the terminal back.
pub struct Guard {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// As the terminal shows it now.
    title: String,
    has_mouse: bool,
}

impl Guard {
    /// # Errors
    /// When there is no terminal, saying what works without one.
    pub fn enter() -> io::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::other(
                "the dashboard needs a terminal; `fanout runs`, `fanout watch` and the other verbs work without one",
            ));
        }
        // Under NO_COLOR crossterm blanks the numbers of colour sequences, and what is left resets
        // the cell: the cursor's strip would vanish. Our theme has no colours then, so nothing is
        // lost by letting sequences pass.
        crossterm::style::force_color_output(true);
        restore_on_panic();
        let guard = Self {
            terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?,
            title: String::new(),
            has_mouse: false,
        };
        take()?;
        Ok(guard)
    }

    /// Draws one frame, which the terminal shows at once or not at all.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(io::stdout(), BeginSynchronizedUpdate)?;
        let drawn = self.terminal.draw(render).map(|_| ());
        execute!(io::stdout(), EndSynchronizedUpdate)?;
        drawn
    }

    /// Forgets what is on the screen, so that the next frame paints every cell. ratatui's own
    /// `clear` asks the terminal where its cursor is, and that answer would go to whoever reads
    /// the keyboard.
    pub fn clear(&mut self) -> io::Result<()> {
        execute!(io::stdout(), Clear(ClearType::All))?;
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    /// Takes the terminal again, after somebody else had it.
    pub fn retake(&mut self) -> io::Result<()> {
        take()?;
        self.title.clear();
        self.mouse(self.has_mouse)?;
        self.clear()
    }

    /// Lends the terminal to the user's editor (`VISUAL`, `EDITOR`, else vi); the text as it was
    /// saved.
    ///
    /// # Errors
    /// When the editor cannot be run or says that it failed, or the text is no UTF-8 any more.
    pub fn edit(&mut self, text: &str) -> io::Result<String> {
        let mut file = tempfile::Builder::new()
            .prefix("fanout-")
            .suffix(".json")
            .tempfile()?;
        file.write_all(text.as_bytes())?;
        file.flush()?;
        let chosen = |name: &str| std::env::var(name).ok().filter(|it| !it.trim().is_empty());
        let editor = chosen("VISUAL")
            .or_else(|| chosen("EDITOR"))
            .unwrap_or_else(|| "vi".to_owned());
        restore();
        // Editors are named with their arguments; the shell takes them apart, and the path is one
        // word whatever is in it.
        let ended = Command::new("sh")
            .args(["-c", &format!("{editor} \"$1\""), "fanout"])
            .arg(file.path())
            .status();
        self.retake()?;
        let ended = ended?;
        if !ended.success() {
            return Err(io::Error::other(format!("{editor}: {ended}")));
        }
        std::fs::read_to_string(file.path())
    }

    /// Gives the terminal to somebody else, until [`Guard::retake`].
    pub fn give_back(&self) {
        restore();
    }

    /// Gives the terminal back to the shell until `fg`.
    pub fn suspend(&mut self) -> io::Result<()> {
        restore();
        // Raising a signal needs unsafe code, the kill program does not. It returns once we go on.
        let stopped = Command::new("kill")
            .args(["-TSTP", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .status();
        self.retake()?;
        stopped.map(|_| ())
    }

    /// Takes the mouse, or gives it back.
    pub fn mouse(&mut self, is_on: bool) -> io::Result<()> {
        self.has_mouse = is_on;
        match is_on {
            true => execute!(io::stdout(), EnableMouseCapture),
            false => execute!(io::stdout(), DisableMouseCapture),
        }
    }

    /// Sets the window's title, where it is another.
    pub fn entitle(&mut self, title: String) -> io::Result<()> {
        if self.title == title {
            return Ok(());
        }
        self.say(&dialect::title(&title))?;
        self.title = title;
        Ok(())
    }

    /// Sends a sequence that leaves the screen as it is.
    pub fn say(&mut self, sequence: &str) -> io::Result<()> {
        execute!(io::stdout(), Print(sequence))
    }

    pub fn area(&self) -> io::Result<Rect> {
        let size = self.terminal.size()?;
        Ok(Rect::new(0, 0, size.width, size.height))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        Print(dialect::KEEP_TITLE),
        EnableBracketedPaste,
        EnableFocusChange,
        Hide
    )
}

/// Gives the terminal back as it was. Errors are left: there is nobody to tell.
fn restore() {
    let mut stdout = io::stdout();
    let _ = execute!(
        stdout,
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        Print(dialect::RESTORE_TITLE),
        LeaveAlternateScreen,
        Show
    );
    let _ = stdout.flush();
    let _ = disable_raw_mode();
}

/// A panic of the screen's own thread restores the terminal before its message is printed. One of
/// another thread ends a task, not the dashboard: its message goes to the log, not over the screen.
fn restore_on_panic() {
    static HOOKED: Once = Once::new();
    let screen = std::thread::current().id();
    HOOKED.call_once(|| {
        let printed = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() == screen {
                restore();
                printed(panic);
            } else {
                tracing::error!(location = ?panic.location(), "a task panicked");
            }
        }));
    });
}

/// Starts the desktop's browser on an address; `false` where there is no desktop, as over ssh.
pub fn open_browser(address: &str) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if is_set("DISPLAY") || is_set("WAYLAND_DISPLAY") {
        "xdg-open"
    } else {
        return false;
    };
    if is_set("SSH_CONNECTION") {
        return false;
    }
    let started = Command::new(program)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        // Somebody has to wait for it, or it stays as a zombie.
        Ok(mut child) => {
            std::thread::spawn(move || child.wait());
            true
        }
        Err(_) => false,
    }
}

/// What the system may tell us.
pub enum Notice {
    /// End, with this exit code.
    End(i32),
    /// We were stopped and go on.
    Continued,
}

/// The signals that matter to a program with a screen.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    resume: Signal,
}

/// SIGCONT, which tokio has no name for.
const SIGCONT: i32 = if cfg!(target_os = "linux") { 18 } else { 19 };

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            resume: signal(SignalKind::from_raw(SIGCONT))?,
        })
    }

    pub async fn next(&mut self) -> Notice {
        let end = |signal: SignalKind| Notice::End(128 + signal.as_raw_value());
        tokio::select! {
            _ = self.interrupt.recv() => end(SignalKind::interrupt()),
            _ = self.terminate.recv() => end(SignalKind::terminate()),
            _ = self.hangup.recv() => end(SignalKind::hangup()),
            _ = self.resume.recv() => Notice::Continued,
        }
    }
}
