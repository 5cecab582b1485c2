//! Sees to it that no program outlives the engine, however the engine ends.
//!
//! The keeper is a shell that is told of every process group which begins and ends. Its input is a
//! pipe from this process: when that closes, be it by `kill -9`, the shell kills the groups that are
//! left, and ends.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

const SCRIPT: &str = r#"
groups=' '
while read -r verb group; do
    case $verb in
        begin) groups="$groups$group " ;;
        end)
            kill -s KILL -- "-$group" 2>/dev/null
            groups="${groups%% $group *} ${groups#* $group }"
            ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
"#;

pub(super) struct Keeper {
    /// Until we go.
    input: Mutex<Option<ChildStdin>>,
    shell: Child,
}

impl Keeper {
    pub(super) fn start() -> io::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What is typed at our terminal must not end it before us.
            .process_group(0)
            .spawn()?;
        let input = Mutex::new(shell.stdin.take());
        Ok(Self { input, shell })
    }

    /// A process group that must not be left behind.
    pub(super) fn begin(&self, group: u32) {
        self.tell("begin", group);
    }

    /// Kills what is left of a group.
    pub(super) fn end(&self, group: u32) {
        self.tell("end", group);
    }

    fn tell(&self, verb: &str, group: u32) {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let told = match input.as_mut() {
            Some(input) => writeln!(input, "{verb} {group}"),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        if let Err(error) = told {
            tracing::warn!(%error, "the keeper of processes is gone");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // With its input it ends, after a moment.
        drop(
            self.input
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let _ = self.shell.wait();
    }
}
