//! The dashboard: terminal guard and the one loop.

use std::sync::Arc;

use crate::client::Client;
use crate::config::Config;

/// Something the program around the dashboard offers as a key, such as the demo's "repair the
/// lookup service".
#[derive(Clone)]
pub struct HostAction {
    pub key: char,
    pub title: &'static str,
    /// Does it and says what happened, in one line.
    pub run: Arc<dyn Fn() -> String + Send + Sync>,
}

pub struct Options {
    pub config: Config,
    pub client: Client,
    pub host_actions: Vec<HostAction>,
    /// Where an execution should be opened at the start, by name.
    pub open: Option<String>,
}

/// Runs until the user quits. The terminal is restored on every way out.
pub async fn run(options: Options) -> Result<(), std::io::Error> {
    todo!()
}
