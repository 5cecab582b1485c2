//! Tells the program which commit it is built from, where that is known: in a clone, and in what
//! `cargo package` has made of one. Development builds are not told, or each commit would build
//! them anew.

use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = match is_release {
        true => packaged().or_else(cloned),
        false => None,
    };
    let commit = commit.map(|commit| format!(" ({commit})"));
    println!(
        "cargo:rustc-env=FANOUT_COMMIT={}",
        commit.unwrap_or_default()
    );
}

/// As `cargo package` notes it.
fn packaged() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let hash = text.split("\"sha1\"").nth(1)?.split('"').nth(1)?;
    hash.get(..12).map(str::to_owned)
}

/// As the clone knows it; a folder in somebody else's repository has no commit of ours.
fn cloned() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    // Grows with every commit and checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo:rerun-if-changed={log}");
    }
    Some(commit)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !said.trim().is_empty()).then(|| said.trim().to_owned())
}
