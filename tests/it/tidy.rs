//! What the repository promises about itself: who imports whom, which module names which crate,
//! and that the README's commands are the ones that CI runs.

use std::fs;
use std::path::{Path, PathBuf};

/// Module, what it may import of ours, and crates that only it may name. A crate that stands
/// nowhere here may be named by everyone.
const MODULES: [(&str, &[&str], &[&str]); 10] = [
    ("model", &[], &[]),
    ("config", &["model"], &["toml"]),
    (
        "client",
        &["model"],
        &[
            "aws_config",
            "aws_sdk_sfn",
            "aws_sdk_s3",
            "aws_sdk_cloudwatchlogs",
            "aws_sdk_sts",
            "aws_smithy_types",
            "aws_smithy_runtime_api",
            "aws_types",
            "rustls",
        ],
    ),
    // Postprocess and the operator's merge read result files and put lines into order alike.
    ("lines", &["model", "client"], &["flate2"]),
    (
        "workflow",
        &["model", "client", "lines"],
        &["reqwest", "flate2"],
    ),
    ("operations", &["model", "client", "lines"], &["flate2"]),
    (
        "engine",
        &[],
        &[
            "hyper",
            "hyper_util",
            "http_body_util",
            "s3s",
            "redb",
            "aws_sigv4",
            "reqwest",
            "flate2",
            "aws_smithy_eventstream",
            "aws_smithy_types",
        ],
    ),
    (
        "local",
        &["client", "config", "engine", "workflow", "model"],
        &["hyper", "hyper_util", "http_body_util"],
    ),
    (
        "tui",
        &["model", "config", "operations", "client"],
        &["ratatui", "crossterm"],
    ),
    (
        "cli",
        &[
            "model",
            "config",
            "client",
            "operations",
            "local",
            "workflow",
            "tui",
        ],
        &[
            "clap",
            "clap_complete",
            "clap_complete_nushell",
            "clap_mangen",
        ],
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The module a file belongs to: the first part of its path below `src`.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(root().join("src")).unwrap();
    let first = below
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let module = module_of(&path);
        let Some((_, allowed, crates)) = MODULES.iter().find(|(name, ..)| *name == module) else {
            continue;
        };
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        // Tests may ask the engine with the SDK: that is what they are for.
        let mut is_test = path.ends_with("tests.rs");
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            is_test |= line == "#[cfg(test)]";
            let place = format!("{shown}:{}", number + 1);
            if code.contains("use crate::{") {
                wrong.push(format!(
                    "{place}: write one `use crate::<module>::..` a module"
                ));
            }
            for (at, _) in code.match_indices("crate::") {
                let target: String = code[at + 7..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let is_module = MODULES.iter().any(|(name, ..)| *name == target);
                if is_module && target != module && !allowed.contains(&target.as_str()) {
                    wrong.push(format!("{place}: {module} may not import \"{target}\""));
                }
            }
            // Tests may ask the engine with the SDK: that is what they are for.
            for (owner, _, owned) in MODULES.iter().filter(|_| !is_test) {
                for name in *owned {
                    let named = code.contains(&format!("{name}::"))
                        || code.contains(&format!("use {name};"));
                    if named
                        && *owner != module
                        && !crates.contains(name)
                        && !is_ours_by_another_name(code, name)
                    {
                        wrong.push(format!(
                            "{place}: {module} may not name the crate \"{name}\""
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `crate::http::…` or `my_http::…` is not the crate `http`.
fn is_ours_by_another_name(code: &str, name: &str) -> bool {
    code.match_indices(name).all(|(at, _)| {
        code[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn the_screens_do_no_requests_of_their_own() {
    let mut files = Vec::new();
    rust_files(&root().join("src/tui"), &mut files);
    for path in files {
        let is_runtime = path.ends_with("tui/runtime.rs")
            || path.parent().is_some_and(|it| it.ends_with("tui/runtime"));
        if is_runtime {
            continue;
        }
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let names_client = line.contains("client::Client") || line.contains("tokio::spawn");
            assert!(
                !names_client,
                "{}:{}: only the runtime asks the client",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn ci_runs_the_command_that_the_readme_gives_for_the_tests() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    let commands: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("cargo "))
        .take(2)
        .collect();
    assert_eq!(commands, ["cargo run --release -- demo", "cargo test"]);
    assert!(
        ci.lines().any(|line| line == commands[1]),
        ".ci/run must run `{}`",
        commands[1]
    );
}

#[test]
fn nothing_is_called_utils() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !["utils", "util", "helpers", "common", "misc"].contains(&name.as_str()),
            "{}",
            path.display()
        );
    }
}
