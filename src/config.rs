//! Settings: defaults < file < environment < flags. An error names file, line, key and rule.
//!
//! One table, [`settings`], knows every key: how its value is checked, which variable overrides
//! it, and where it goes. The SDK's own variables (`AWS_PROFILE` and its kind) are not read here,
//! but where one is set the file's value steps back, so that the SDK finds its variable in force.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

mod file;
mod folders;
mod functions;
mod keys;
mod prices;
mod profiles;
mod settings;

pub use folders::{cache_dir, config_dir, data_dir, state_dir};
pub use functions::{Code, Function, Program};
pub use keys::{KeyLine, Keys};
pub use profiles::{Mode, Profile};

use settings::SETTINGS;

use crate::model::Prices;

/// Every setting, with its value after all layers. `config.example.toml` documents them.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// AWS profile; `None` is the SDK's own choice.
    pub profile: Option<String>,
    /// AWS Region; `None` is the SDK's own choice.
    pub region: Option<String>,
    /// Where to send all requests instead of to AWS, with `http://` or `https://`.
    pub endpoint_url: Option<String>,
    /// Use the embedded engine whatever credentials there are.
    pub local: bool,
    /// Refuse everything that changes something.
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
    /// Name of the dashboard's palette.
    pub theme: String,
    /// Folder that downloads go to.
    pub download_dir: PathBuf,
    /// Functions of the embedded engine besides the workflow's, by name. Only the file has them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, Function>,
    /// What is special about a profile, by its name. Only the file has them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, Profile>,
    /// The dashboard's keys, from a file of their own.
    #[serde(skip)]
    pub keys: Keys,
    /// What estimates are made with: the shipped list, or a file of the user's own.
    #[serde(skip, default = "prices::shipped")]
    pub prices: Prices,
}

/// Palettes of the dashboard, by name.
pub const THEMES: [&str; 8] = [
    "terminal",
    "dark",
    "light",
    "high-contrast",
    "deuteranopia",
    "protanopia",
    "tritanopia",
    "mono",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: None,
            region: None,
            endpoint_url: None,
            local: false,
            read_only: false,
            machine: "fanout".to_owned(),
            bucket: "fanout".to_owned(),
            data_dir: None,
            budget_share: 0.4,
            ascii: false,
            theme: "terminal".to_owned(),
            download_dir: PathBuf::from("."),
            functions: BTreeMap::new(),
            profiles: BTreeMap::new(),
            keys: Keys::default(),
            prices: prices::shipped(),
        }
    }
}

/// Settings with where each came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// Of every key.
    pub origins: BTreeMap<&'static str, Origin>,
}

/// The layer that a value came from. Flags are the command line's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// [`Loaded::file`], at this line, from 1.
    File {
        line: usize,
    },
    /// The variable of this name. A setting without a value leaves it to the SDK.
    Environment(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { line } => write!(f, "file, line {line}"),
            Self::Environment(variable) => f.write_str(variable),
        }
    }
}

/// Settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file as a whole.
    #[error("{}: {problem}", .path.display())]
    File { path: PathBuf, problem: String },
    #[error("{}:{line}: {problem}", .path.display())]
    Line {
        path: PathBuf,
        /// From 1.
        line: usize,
        problem: String,
    },
    #[error("{variable}: {problem}")]
    Environment {
        variable: &'static str,
        problem: String,
    },
    #[error("no home folder is known: set HOME")]
    NoHome,
}

impl Config {
    /// Settings from defaults, file and environment. `path` is a file that must exist; without it
    /// `config.toml` in [`config_dir`] is read if it exists, unless `no_config`.
    ///
    /// # Errors
    /// A file that cannot be read, a key that nobody knows, or a value that breaks its rule.
    pub fn load(
        path: Option<&Path>,
        no_config: bool,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Loaded, Error> {
        let file = match path {
            Some(path) => Some((path.to_owned(), file::read(path)?)),
            None if no_config => None,
            None => usual_file()?,
        };
        let mut loaded = Loaded {
            config: Self::default(),
            file: None,
            origins: SETTINGS
                .iter()
                .map(|setting| (setting.key, Origin::Default))
                .collect(),
        };
        if let Some((path, text)) = file {
            file::apply(&mut loaded, &path, &text)?;
            loaded.file = Some(path);
        }
        apply_environment(&mut loaded, env)?;
        if let (false, Ok(folder)) = (no_config, config_dir()) {
            loaded.config.keys = Keys::load(&folder.join("keys.toml"));
            loaded.config.prices = prices::load(&folder.join("prices.toml"))?;
        }
        Ok(loaded)
    }

    /// Whether nothing may be changed through this profile.
    pub fn is_read_only(&self, profile: &str) -> bool {
        let mode = self.profiles.get(profile).map(|it| it.mode);
        self.read_only || mode == Some(Mode::ReadOnly)
    }

    /// The folder of the embedded engine: `data_dir`, else the usual one.
    ///
    /// # Errors
    /// `NoHome` when nothing is set and there is no home folder.
    pub fn engine_dir(&self) -> Result<PathBuf, Error> {
        self.data_dir.clone().map_or_else(data_dir, Ok)
    }
}

/// No home folder, no such file: both are as if nothing were set.
fn usual_file() -> Result<Option<(PathBuf, String)>, Error> {
    let Ok(folder) = config_dir() else {
        return Ok(None);
    };
    let path = folder.join("config.toml");
    if !path.exists() {
        return Ok(None);
    }
    let text = file::read(&path)?;
    Ok(Some((path, text)))
}

fn apply_environment(
    loaded: &mut Loaded,
    env: impl Fn(&str) -> Option<String>,
) -> Result<(), Error> {
    let given = |variable: &str| env(variable).filter(|value| !value.is_empty());
    for setting in SETTINGS {
        if let Some(variable) = setting
            .sdk
            .iter()
            .find(|variable| given(variable).is_some())
        {
            setting.clear(&mut loaded.config);
            loaded
                .origins
                .insert(setting.key, Origin::Environment(variable));
        }
        let Some(variable) = setting.variable else {
            continue;
        };
        let Some(text) = given(variable) else {
            continue;
        };
        setting
            .set_text(&mut loaded.config, text)
            .map_err(|problem| Error::Environment { variable, problem })?;
        loaded
            .origins
            .insert(setting.key, Origin::Environment(variable));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
