//! Profiles of the AWS configuration: which there are, what is known of them without asking
//! anybody, and how one signs in to them. The SDK finds out about a profile with the first request
//! only, and then says that there are no credentials.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::model::Timestamp;

/// A profile as the two files have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    pub region: Option<String>,
    /// The account, where the profile names it.
    pub account: Option<String>,
    /// The role, where the profile names it.
    pub role: Option<String>,
    /// The program that signs in, with its arguments; `None` where credentials are just written
    /// down, or come from elsewhere.
    pub sign_in: Option<Vec<String>>,
}

/// Profiles that lead to each other are followed this far.
const CHAIN: usize = 5;

/// Before the names of sections that are no profiles but the sessions that these share.
const SESSION: &str = "sso-session ";

type Section = BTreeMap<String, String>;

/// The profile in force when none is given: `AWS_PROFILE`.
pub fn from_environment() -> Option<String> {
    variable("AWS_PROFILE")
}

/// All profiles of the SDK's two files, by name.
pub async fn profiles() -> Vec<Profile> {
    of_sections(&sections().await)
}

async fn sections() -> BTreeMap<String, Section> {
    let files = [
        ("AWS_CONFIG_FILE", "config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    ];
    let mut sections = BTreeMap::new();
    for (named_by, usual) in files {
        let path = variable(named_by).unwrap_or_else(|| format!("~/.aws/{usual}"));
        let text = tokio::fs::read_to_string(at_home(&path)).await;
        read(&text.unwrap_or_default(), &mut sections);
    }
    sections
}

/// When the sign-in behind a profile ends, where that is written down and nothing renews it by
/// itself: what the SDK renews ends without anybody noticing.
pub(in crate::client) async fn sign_in_ends(name: &str) -> Option<Timestamp> {
    let url = start_url(name, &sections().await)?;
    let folder = std::env::home_dir()?.join(".aws/sso/cache");
    let mut entries = tokio::fs::read_dir(folder).await.ok()?;
    let mut ends = None;
    while let Ok(Some(entry)) = entries.next_entry().await {
        let text = tokio::fs::read_to_string(entry.path()).await;
        ends = ends.max(token_ends(&text.unwrap_or_default(), &url));
    }
    ends
}

/// The address that one signs in at.
fn start_url(name: &str, sections: &BTreeMap<String, Section>) -> Option<String> {
    let signed_in = sign_in(name, sections)?.pop()?;
    let section = sections.get(&signed_in)?;
    let session = section
        .get("sso_session")
        .and_then(|it| sections.get(&format!("{SESSION}{it}")));
    session.unwrap_or(section).get("sso_start_url").cloned()
}

/// The end of a token of that address; `None` for one that is renewed.
fn token_ends(text: &str, url: &str) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Token {
        start_url: String,
        expires_at: String,
        refresh_token: Option<String>,
    }
    let token: Token = serde_json::from_str(text).ok()?;
    let is_it = token.start_url.trim_end_matches(['/', '#']) == url.trim_end_matches(['/', '#']);
    let ends = token.expires_at.replace("UTC", "Z").parse().ok();
    ends.filter(|_| is_it && token.refresh_token.is_none())
}

/// The file of those whom a profile's owner trusts instead of whom the system does: the variable of
/// all AWS tools, else the profile's own setting.
pub(super) async fn ca_bundle(name: &str) -> Option<PathBuf> {
    let of_profile = async || sections().await.get(name)?.get("ca_bundle").cloned();
    let path = match variable("AWS_CA_BUNDLE") {
        Some(path) => Some(path),
        None => of_profile().await,
    };
    path.filter(|path| !path.is_empty())
        .map(|path| at_home(&path))
}

/// Whether one of the SDK's two files has a section for the profile.
pub(super) async fn exists(name: &str) -> bool {
    profiles().await.iter().any(|it| it.name == name)
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
/// few, as the SDK has the last word. Other kinds of sections are left out.
fn read(text: &str, sections: &mut BTreeMap<String, Section>) {
    let mut current: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(heading) = trimmed.strip_prefix('[') {
            current = heading.split(']').next().and_then(profile_named);
            if let Some(name) = &current {
                sections.entry(name.clone()).or_default();
            }
            continue;
        }
        // Indented lines belong to a nested setting, such as `s3 =`.
        let is_nested = line.starts_with([' ', '\t']);
        if let (Some(name), Some((key, value)), false) =
            (&current, trimmed.split_once('='), is_nested)
        {
            let section = sections.entry(name.clone()).or_default();
            section.insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
}

fn profile_named(heading: &str) -> Option<String> {
    let heading = heading.trim();
    let name = match heading.split_once([' ', '\t']) {
        Some(("profile", name)) => name,
        Some(("sso-session", name)) => return Some(format!("{SESSION}{}", name.trim())),
        Some(("services", _)) => return None,
        _ => heading,
    };
    let name = name.trim().trim_matches(['"', '\'']);
    (!name.is_empty()).then(|| name.to_owned())
}

fn of_sections(sections: &BTreeMap<String, Section>) -> Vec<Profile> {
    let profile = |(name, section): (&String, &Section)| {
        let has = |key: &str| section.get(key).cloned();
        let role = has("role_arn");
        let account = role.as_deref().and_then(|arn| arn.split(':').nth(4));
        let account = account.map(str::to_owned).or_else(|| has("sso_account_id"));
        let role = role.as_deref().and_then(|arn| arn.rsplit('/').next());
        Profile {
            name: name.clone(),
            region: has("region"),
            account: account.filter(|it| !it.is_empty()),
            role: role.map(str::to_owned).or_else(|| has("sso_role_name")),
            sign_in: sign_in(name, sections),
        }
    };
    let profiles = sections
        .iter()
        .filter(|(name, _)| !name.starts_with(SESSION));
    profiles.map(profile).collect()
}

/// How one signs in: to the profile itself, or to the one that it takes its credentials from.
fn sign_in(name: &str, sections: &BTreeMap<String, Section>) -> Option<Vec<String>> {
    let mut name = name;
    for _ in 0..CHAIN {
        let section = sections.get(name)?;
        let has = |key: &str| section.contains_key(key);
        let words: &[&str] = if has("sso_session") || has("sso_start_url") {
            &["aws", "sso", "login", "--profile"]
        } else if has("login_session") {
            &["aws", "login", "--profile"]
        } else {
            name = section.get("source_profile")?;
            continue;
        };
        let words = words.iter().copied().chain([name]);
        return Some(words.map(str::to_owned).collect());
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<Profile> {
        let mut sections = BTreeMap::new();
        read(text, &mut sections);
        of_sections(&sections)
    }

    #[test]
    fn a_profile_is_a_section_of_either_file() {
        let text = "# [profile not]\n[default]\nregion = x\n[profile work] # mine\n [ play ]\n\
            [profile \"two words\"]\n[sso-session s]\nprofile = other\n";
        let names: Vec<String> = parsed(text).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["default", "play", "two words", "work"]);
    }

    #[test]
    fn account_role_and_the_way_to_sign_in_are_read() {
        let text = "[profile base]\nsso_session = corp\nsso_account_id = 111122223333\n\
            sso_role_name = Reader\n[profile prod]\nregion=eu-west-1\nsource_profile = base\n\
            role_arn = arn:aws:iam::472100009012:role/ops/DataOps\ns3 =\n  region = nested\n\
            [profile new]\nlogin_session = arn:aws:iam::1:user/a\n[profile keys]\n\
            [profile loop]\nsource_profile = loop\n[sso-session corp]\nsso_start_url = https://x\n";
        let read = parsed(text);
        let of = |name: &str| read.iter().find(|it| it.name == name).unwrap();
        let prod = of("prod");
        assert_eq!(prod.region.as_deref(), Some("eu-west-1"));
        assert_eq!(prod.account.as_deref(), Some("472100009012"));
        assert_eq!(prod.role.as_deref(), Some("DataOps"));
        assert_eq!(
            prod.sign_in.as_ref().unwrap().join(" "),
            "aws sso login --profile base"
        );
        assert_eq!(of("base").account.as_deref(), Some("111122223333"));
        assert_eq!(
            of("new").sign_in.as_ref().unwrap().join(" "),
            "aws login --profile new"
        );
        assert_eq!((&of("keys").sign_in, &of("loop").sign_in), (&None, &None));
    }

    #[test]
    fn the_end_of_a_sign_in_is_that_of_its_token() {
        let mut sections = BTreeMap::new();
        let text = "[profile old]\nsso_start_url = https://old/start/\n[profile a]\n\
            source_profile = b\n[profile b]\nsso_session = corp\n[sso-session corp]\n\
            sso_start_url = https://corp/start#/\n[profile keys]\n";
        read(text, &mut sections);
        let of = |name: &str| start_url(name, &sections);
        assert_eq!(of("old").as_deref(), Some("https://old/start/"));
        assert_eq!(of("a").as_deref(), Some("https://corp/start#/"));
        assert_eq!(of("keys"), None);
        let token = |more: &str| {
            let text = format!(
                r#"{{"startUrl":"https://corp/start","expiresAt":"2026-11-23T15:00:00UTC"{more}}}"#
            );
            token_ends(&text, "https://corp/start#/").map(|it| it.to_string())
        };
        assert_eq!(token("").as_deref(), Some("2026-11-23T15:00:00Z"));
        assert_eq!(token(r#","refreshToken":"x""#), None);
        assert_eq!(token_ends("{}", "https://corp/start"), None);
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "(\\[(profile )?[a-z ]{0,4}\\]?\n|[a-z_]{0,14} ?= ?[a-z:/]{0,9}\n|\\PC{0,9}\n){0,12}") {
            for profile in parsed(&text) {
                prop_assert!(!profile.name.is_empty());
            }
        }
    }
}
