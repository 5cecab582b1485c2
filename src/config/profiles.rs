//! The file's `[profiles.NAME]`: what is special about an AWS profile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// A badge, and every dialog that changes something wants its number typed.
    pub prod: bool,
    pub mode: Mode,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    ReadWrite,
    /// Refuse everything that changes something.
    ReadOnly,
}

/// The tables, or what is wrong with one of them.
pub(super) fn read(value: toml::Value) -> Result<BTreeMap<String, Profile>, String> {
    let toml::Value::Table(tables) = value else {
        return Err("profiles are tables: [profiles.NAME]".to_owned());
    };
    let profile = |(name, table): (String, toml::Value)| match table.try_into() {
        Ok(profile) => Ok((name, profile)),
        Err(error) => {
            let problem: toml::de::Error = error;
            let problem = problem.message().replace('\n', ", ");
            Err(format!("profiles.{name}: {problem}"))
        }
    };
    tables.into_iter().map(profile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<BTreeMap<String, Profile>, String> {
        read(toml::from_str(text).unwrap())
    }

    #[test]
    fn a_profile_says_prod_and_read_only() {
        let read = of("[prod-data]\nprod = true\nmode = \"read-only\"\n[dev]\n").unwrap();
        assert_eq!(
            read["prod-data"],
            Profile {
                prod: true,
                mode: Mode::ReadOnly
            }
        );
        assert_eq!(read["dev"], Profile::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_the_name() {
        let told = of("[p]\nprod = 7\n").unwrap_err();
        assert!(told.starts_with("profiles.p: "), "{told}");
        assert!(of("[p]\nmode = \"none\"\n").is_err());
        assert!(of("[p]\nproduction = true\n").is_err());
        assert!(of("p = 7").is_err());
    }
}
