//! Programs that put text on the clipboard. Over ssh they would fill the wrong machine's, so there
//! the terminal itself is told.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Those that own the clipboard stay in the background; what says nothing for so long has it.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    pub program: &'static str,
    arguments: &'static [&'static str],
    /// Set where it works.
    needs: &'static str,
}

const TOOLS: [Tool; 5] = [
    Tool {
        program: "wl-copy",
        arguments: &[],
        needs: "WAYLAND_DISPLAY",
    },
    Tool {
        program: "xclip",
        arguments: &["-selection", "clipboard"],
        needs: "DISPLAY",
    },
    Tool {
        program: "xsel",
        arguments: &["--clipboard", "--input"],
        needs: "DISPLAY",
    },
    Tool {
        program: "clip.exe",
        arguments: &[],
        needs: "WSL_DISTRO_NAME",
    },
    Tool {
        program: "pbcopy",
        arguments: &[],
        needs: "HOME",
    },
];

impl Tool {
    /// The one to use here, if there is one.
    pub fn here(
        env: impl Fn(&str) -> Option<String>,
        is_there: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let is_set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
        if is_set("SSH_CONNECTION") || is_set("SSH_TTY") {
            return None;
        }
        let mut tools = TOOLS.into_iter();
        tools.find(|tool| is_set(tool.needs) && is_there(tool.program))
    }

    /// Whether it took the text.
    pub async fn copy(self, text: &str) -> bool {
        let spawned = Command::new(self.program)
            .args(self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut process) = spawned else {
            return false;
        };
        let given = async {
            let mut stdin = process.stdin.take()?;
            stdin.write_all(text.as_bytes()).await.ok()?;
            drop(stdin);
            process.wait().await.ok()
        };
        match tokio::time::timeout(PATIENCE, given).await {
            Ok(ended) => ended.is_some_and(|status| status.success()),
            Err(_) => true,
        }
    }
}

/// Whether a program is found by its name.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(vars: &[&str], programs: &[&str]) -> Option<&'static str> {
        let env = |name: &str| vars.contains(&name).then(|| "x".to_owned());
        Tool::here(env, |program| programs.contains(&program)).map(|tool| tool.program)
    }

    #[test]
    fn the_tool_is_that_of_the_display_and_none_over_ssh() {
        let all = ["wl-copy", "xclip", "xsel", "clip.exe"];
        assert_eq!(here(&["WAYLAND_DISPLAY", "DISPLAY"], &all), Some("wl-copy"));
        assert_eq!(here(&["DISPLAY"], &["xsel"]), Some("xsel"));
        assert_eq!(here(&["WSL_DISTRO_NAME"], &all), Some("clip.exe"));
        assert_eq!(here(&["HOME"], &["pbcopy"]), Some("pbcopy"));
        assert_eq!(here(&[], &all), None);
        assert_eq!(here(&["DISPLAY", "SSH_CONNECTION"], &all), None);
    }

    #[tokio::test]
    async fn a_tool_that_fails_or_is_missing_says_so() {
        let tool = |program, arguments| Tool {
            program,
            arguments,
            needs: "",
        };
        assert!(tool("sh", &["-c", "cat >/dev/null"]).copy("text").await);
        assert!(!tool("sh", &["-c", "exit 1"]).copy("text").await);
        assert!(!tool("fanout-no-such-tool", &[]).copy("text").await);
    }
}
