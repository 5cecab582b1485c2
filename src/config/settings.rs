//! The table of settings: key, variable, rule, and where the value goes.

use std::path::PathBuf;

use super::Config;

/// Smallest and largest share of a quota: with less, polls would hardly ever have a turn.
const SHARES: std::ops::RangeInclusive<f64> = 0.05..=1.0;

pub(super) struct Setting {
    pub(super) key: &'static str,
    /// Overrides the file.
    pub(super) variable: Option<&'static str>,
    /// Variables of the SDK that say the same; the file's value steps back behind them.
    pub(super) sdk: &'static [&'static str],
    value: Value,
}

/// What kind of value it takes, and how it is put into the settings.
enum Value {
    /// Text that obeys a rule.
    Text(
        fn(&str) -> Result<(), &'static str>,
        fn(&mut Config, String),
    ),
    /// Text that may be absent.
    Choice(
        fn(&str) -> Result<(), &'static str>,
        fn(&mut Config, Option<String>),
    ),
    Switch(fn(&mut Config, bool)),
    Share(fn(&mut Config, f64)),
    Folder(fn(&mut Config, PathBuf)),
}

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "profile",
        variable: None,
        sdk: &["AWS_PROFILE"],
        value: Value::Choice(anything, |config, it| config.profile = it),
    },
    Setting {
        key: "region",
        variable: None,
        sdk: &["AWS_REGION", "AWS_DEFAULT_REGION"],
        value: Value::Choice(region, |config, it| config.region = it),
    },
    Setting {
        key: "endpoint_url",
        variable: None,
        sdk: &["AWS_ENDPOINT_URL"],
        value: Value::Choice(url, |config, it| config.endpoint_url = it),
    },
    Setting {
        key: "local",
        variable: Some("FANOUT_LOCAL"),
        sdk: &[],
        value: Value::Switch(|config, it| config.local = it),
    },
    Setting {
        key: "read_only",
        variable: Some("FANOUT_READ_ONLY"),
        sdk: &[],
        value: Value::Switch(|config, it| config.read_only = it),
    },
    Setting {
        key: "machine",
        variable: Some("FANOUT_MACHINE"),
        sdk: &[],
        value: Value::Text(anything, |config, it| config.machine = it),
    },
    Setting {
        key: "bucket",
        variable: Some("FANOUT_BUCKET"),
        sdk: &[],
        value: Value::Text(bucket, |config, it| config.bucket = it),
    },
    Setting {
        key: "data_dir",
        variable: Some("FANOUT_DATA_DIR"),
        sdk: &[],
        value: Value::Folder(|config, it| config.data_dir = Some(it)),
    },
    Setting {
        key: "budget_share",
        variable: Some("FANOUT_BUDGET_SHARE"),
        sdk: &[],
        value: Value::Share(|config, it| config.budget_share = it),
    },
    Setting {
        key: "ascii",
        variable: Some("FANOUT_ASCII"),
        sdk: &[],
        value: Value::Switch(|config, it| config.ascii = it),
    },
    Setting {
        key: "theme",
        variable: Some("FANOUT_THEME"),
        sdk: &[],
        value: Value::Text(theme, |config, it| config.theme = it),
    },
    Setting {
        key: "download_dir",
        variable: Some("FANOUT_DOWNLOAD_DIR"),
        sdk: &[],
        value: Value::Folder(|config, it| config.download_dir = it),
    },
];

impl Setting {
    /// Puts a value of the file in. The error is a sentence with key, rule and value.
    pub(super) fn set(&self, config: &mut Config, value: &toml::Value) -> Result<(), String> {
        match (&self.value, value) {
            (Value::Switch(put), toml::Value::Boolean(on)) => put(config, *on),
            (Value::Share(_), toml::Value::Float(share)) => self.set_share(config, *share)?,
            (Value::Share(_), toml::Value::Integer(share)) => {
                self.set_share(config, *share as f64)?;
            }
            (Value::Text(..) | Value::Choice(..) | Value::Folder(_), toml::Value::String(text)) => {
                self.set_text(config, text.clone())?;
            }
            _ => return Err(self.breach(self.value.rule(), &value.to_string())),
        }
        Ok(())
    }

    /// Puts a variable's text in.
    pub(super) fn set_text(&self, config: &mut Config, text: String) -> Result<(), String> {
        let breach = |rule| self.breach(rule, &format!("{text:?}"));
        match &self.value {
            Value::Text(check, put) => {
                not_empty(&text).and(check(&text)).map_err(breach)?;
                put(config, text);
            }
            Value::Choice(check, put) => {
                not_empty(&text).and(check(&text)).map_err(breach)?;
                put(config, Some(text));
            }
            Value::Folder(put) => {
                not_empty(&text).map_err(breach)?;
                put(config, at_home(&text));
            }
            Value::Switch(put) => match text.to_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => put(config, true),
                "0" | "false" | "no" | "off" => put(config, false),
                _ => return Err(breach(self.value.rule())),
            },
            Value::Share(_) => match text.trim().parse() {
                Ok(share) => self.set_share(config, share)?,
                Err(_) => return Err(breach(self.value.rule())),
            },
        }
        Ok(())
    }

    /// Back to "not set", where there is such a thing.
    pub(super) fn clear(&self, config: &mut Config) {
        if let Value::Choice(_, put) = &self.value {
            put(config, None);
        }
    }

    fn set_share(&self, config: &mut Config, share: f64) -> Result<(), String> {
        if !SHARES.contains(&share) {
            return Err(self.breach(self.value.rule(), &share.to_string()));
        }
        if let Value::Share(put) = &self.value {
            put(config, share);
        }
        Ok(())
    }

    fn breach(&self, rule: &str, value: &str) -> String {
        format!("{} must be {rule}, not {value}", self.key)
    }
}

impl Value {
    fn rule(&self) -> &'static str {
        match self {
            Self::Text(..) | Self::Choice(..) => "a text in quotes",
            Self::Folder(_) => "a folder in quotes",
            Self::Switch(_) => "true or false",
            Self::Share(_) => "between 0.05 and 1",
        }
    }
}

fn not_empty(text: &str) -> Result<(), &'static str> {
    (!text.trim().is_empty()).then_some(()).ok_or("something")
}

fn theme(name: &str) -> Result<(), &'static str> {
    match super::THEMES.contains(&name) {
        true => Ok(()),
        false => Err(
            "terminal, dark, light, high-contrast, deuteranopia, protanopia, tritanopia or mono",
        ),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a rule like the others")]
fn anything(_: &str) -> Result<(), &'static str> {
    Ok(())
}

fn region(text: &str) -> Result<(), &'static str> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain.then_some(()).ok_or("a Region such as eu-west-1")
}

pub(super) fn url(text: &str) -> Result<(), &'static str> {
    let host = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty())
        .then_some(())
        .ok_or("an address that begins with http:// or https://")
}

fn bucket(text: &str) -> Result<(), &'static str> {
    let length = (3..=63).contains(&text.len());
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
    (length && plain)
        .then_some(())
        .ok_or("a bucket's name: 3 to 63 of a-z, 0-9, - and .")
}

/// `~/` is the home folder, as in a shell.
pub(super) fn at_home(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), etcetera::home_dir()) {
        (Some(rest), Ok(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}
