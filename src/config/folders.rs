//! Where fanout keeps what: the XDG folders, on all systems.

use std::path::PathBuf;

use etcetera::base_strategy::{BaseStrategy, Xdg};

use super::Error;

const NAME: &str = env!("CARGO_PKG_NAME");

/// Settings, keys, themes, templates: `$XDG_CONFIG_HOME/fanout`, else `~/.config/fanout`.
pub fn config_dir() -> Result<PathBuf, Error> {
    Ok(base()?.config_dir().join(NAME))
}

/// Log, trail, session: `$XDG_STATE_HOME/fanout`, else `~/.local/state/fanout`.
pub fn state_dir() -> Result<PathBuf, Error> {
    let base = base()?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(state.join(NAME))
}

/// What can be made again: `$XDG_CACHE_HOME/fanout`, else `~/.cache/fanout`.
pub fn cache_dir() -> Result<PathBuf, Error> {
    Ok(base()?.cache_dir().join(NAME))
}

/// The embedded engine, unless `data_dir` says otherwise: `$XDG_DATA_HOME/fanout`, else
/// `~/.local/share/fanout`.
pub fn data_dir() -> Result<PathBuf, Error> {
    Ok(base()?.data_dir().join(NAME))
}

fn base() -> Result<Xdg, Error> {
    Xdg::new().map_err(|_| Error::NoHome)
}
