//! Whether an AWS profile exists. The SDK finds out with the first request only, and then says
//! that there are no credentials.

use std::path::PathBuf;

/// The profile in force when none is given: `AWS_PROFILE`.
pub(super) fn from_environment() -> Option<String> {
    variable("AWS_PROFILE")
}

/// Whether one of the SDK's two files has a section for the profile.
pub(super) async fn exists(name: &str) -> bool {
    let files = [
        ("AWS_CONFIG_FILE", "config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    ];
    for (named_by, usual) in files {
        let path = variable(named_by).unwrap_or_else(|| format!("~/.aws/{usual}"));
        let text = tokio::fs::read_to_string(at_home(&path)).await;
        if has_section(&text.unwrap_or_default(), name) {
            return true;
        }
    }
    false
}

/// The SDK takes `~/` in these variables for the home folder.
fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `[profile NAME]` of the one file and `[NAME]` of the other; better one too many than one too
/// few, as the SDK has the last word.
fn has_section(text: &str, name: &str) -> bool {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix('[')?.split(']').next())
        .map(str::trim)
        .map(|section| section.strip_prefix("profile").unwrap_or(section))
        .any(|section| section.trim().trim_matches(['"', '\'']) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_a_section_of_either_file() {
        let text = "# [profile not]\n[default]\nregion = x\n[profile work] # mine\n [ play ]\n\
            [profile \"two words\"]\n[sso-session s]\nprofile = other\n";
        for name in ["default", "work", "play", "two words"] {
            assert!(has_section(text, name), "{name}");
        }
        for name in ["not", "other", "s", "wor", ""] {
            assert!(!has_section(text, name), "{name}");
        }
    }
}
