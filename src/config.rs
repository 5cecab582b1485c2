//! Settings: defaults < file < environment < flags. An error names file, key and rule.

use std::path::PathBuf;

/// Every setting, with its value after all layers. `config.example.toml` documents them.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// AWS profile; `None` is the SDK's own choice.
    pub profile: Option<String>,
    pub region: Option<String>,
    pub endpoint_url: Option<String>,
    /// Use the embedded engine whatever credentials there are.
    pub local: bool,
    pub read_only: bool,
    /// State machine that `start` uses and the dashboard opens: name or ARN.
    pub machine: String,
    /// Bucket that local files are uploaded to.
    pub bucket: String,
    /// Folder of the embedded engine; `None` is `$XDG_DATA_HOME/fanout`.
    pub data_dir: Option<PathBuf>,
    /// Share of each API's quota that fanout may use, 0.05 to 1.
    pub budget_share: f64,
    /// Frames without ambiguous-width glyphs.
    pub ascii: bool,
    /// Folder that downloads go to.
    pub download_dir: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        todo!()
    }
}
