//! The one integration binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod about;
mod any_map;
mod checks;
mod conformance;
mod crash;
mod documented;
mod failures;
mod functions;
mod hostile;
mod house;
mod killed_merge;
mod killed_repair;
mod logs;
mod machines;
mod merging;
mod plant;
mod pty;
mod reconcile;
mod relay;
mod repair;
mod rerun;
mod reruns;
mod run_logs;
mod switches;
mod targets;
mod tasks;
mod test_state;
mod tidy;
mod transfers;
mod uploads;
mod verbs;
mod wire;
mod wired;
