//! The settings file: TOML, one key a line.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use toml::Spanned;

use super::settings::SETTINGS;
use super::{Error, Loaded, Origin, functions, profiles};

/// A larger file is some other file, in bytes.
const LARGEST: u64 = 1 << 20;

pub(super) fn read(path: &Path) -> Result<String, Error> {
    let failed = |problem: String| Error::File {
        path: path.to_owned(),
        problem,
    };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    if LARGEST < text.len() as u64 {
        return Err(failed("a settings file has at most 1 MiB".to_owned()));
    }
    Ok(text)
}

/// Puts every setting of the file in.
pub(super) fn apply(loaded: &mut Loaded, path: &Path, text: &str) -> Result<(), Error> {
    let at = |offset: usize, problem: String| Error::Line {
        path: path.to_owned(),
        line: line_of(text, offset),
        problem,
    };
    let entries: BTreeMap<Spanned<String>, Spanned<toml::Value>> =
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            at(start, error.message().replace('\n', ", "))
        })?;
    for (key, value) in entries {
        let start = key.span().start;
        if key.as_ref() == "functions" {
            let folder = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let folder = folder.parent().unwrap_or(Path::new("/"));
            let functions = functions::read(text, folder);
            loaded.config.functions = functions.map_err(|(offset, problem)| at(offset, problem))?;
            continue;
        }
        if key.as_ref() == "profiles" {
            let profiles = profiles::read(value.into_inner());
            loaded.config.profiles = profiles.map_err(|problem| at(start, problem))?;
            continue;
        }
        let Some(setting) = SETTINGS.iter().find(|it| it.key == key.as_ref().as_str()) else {
            return Err(at(start, unknown(key.as_ref())));
        };
        setting
            .set(&mut loaded.config, value.as_ref())
            .map_err(|problem| at(start, problem))?;
        let line = line_of(text, start);
        loaded.origins.insert(setting.key, Origin::File { line });
    }
    Ok(())
}

/// From 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// A key that nobody knows, with what may have been meant.
fn unknown(key: &str) -> String {
    let nearest = SETTINGS
        .iter()
        .map(|setting| (strsim::levenshtein(key, setting.key), setting.key))
        .min();
    match nearest {
        Some((typos, known)) if typos <= 1 + known.len() / 3 => {
            format!("there is no setting {key:?}; did you mean {known}?")
        }
        _ => {
            let keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
            format!("there is no setting {key:?}; there are {}", keys.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_offset() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 4), 3);
        assert_eq!(line_of("a", 99), 1);
    }
}
