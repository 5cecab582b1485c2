//! Arguments and the headless verbs.

use std::process::ExitCode;

/// Runs the program: parses arguments, opens the dashboard or does a verb.
pub async fn run() -> ExitCode {
    todo!()
}
