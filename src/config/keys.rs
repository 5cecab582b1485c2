//! `keys.toml`: where the user's keys differ from the shipped ones. What an action or a key is, the
//! dashboard knows; here is only the shape of the file.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;

use super::file;

/// The file's lines in their order. A damaged line is a problem and does not hide the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Name of the shipped set that the lines differ from.
    pub preset: Option<String>,
    pub lines: Vec<KeyLine>,
    /// What cannot be read, with file and line.
    pub problems: Vec<String>,
}

/// `action = ["key", "key key"]`; no keys takes the action's keys away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine {
    /// From 1.
    pub line: usize,
    pub action: String,
    pub keys: Vec<String>,
}

impl Keys {
    /// Reads the file if there is one.
    pub fn load(path: &Path) -> Self {
        if !path.exists() {
            return Self::default();
        }
        match file::read(path) {
            Ok(text) => Self::parse(&text),
            Err(error) => Self {
                problems: vec![error.to_string()],
                ..Self::default()
            },
        }
    }

    pub fn parse(text: &str) -> Self {
        let mut keys = Self::default();
        let at = |offset: usize| file::line_of(text, offset);
        let entries: BTreeMap<Spanned<String>, Spanned<toml::Value>> = match toml::from_str(text) {
            Ok(entries) => entries,
            Err(error) => {
                let line = at(error.span().map_or(0, |span| span.start));
                let problem = error.message().replace('\n', ", ");
                return Self::by_line(text, line, &problem);
            }
        };
        for (name, value) in entries {
            let line = at(name.span().start);
            let name = name.into_inner();
            match (name.as_str(), value.into_inner()) {
                ("preset", toml::Value::String(preset)) => keys.preset = Some(preset),
                (_, toml::Value::Table(_)) => keys.problems.push(format!(
                    "keys.toml:{line}: there are no sections: write the lines below [{name}] without it"
                )),
                ("preset", _) => keys
                    .problems
                    .push(format!("keys.toml:{line}: preset is a name in quotes")),
                (_, value) => match texts(value) {
                    Some(texts) => keys.lines.push(KeyLine {
                        line,
                        action: name,
                        keys: texts,
                    }),
                    None => keys.problems.push(format!(
                        "keys.toml:{line}: the keys of {name} are a list of texts"
                    )),
                },
            }
        }
        keys.lines.sort_by_key(|it| it.line);
        keys
    }
}

impl Keys {
    /// Reads what is no TOML as a whole line by line: the lines that are bad are all told of, and
    /// the others hold.
    fn by_line(text: &str, line: usize, problem: &str) -> Self {
        let mut whole = Self::default();
        for (number, text) in (1..).zip(text.lines()) {
            let is_bad = toml::from_str::<toml::Table>(text).is_err();
            let mut read = match is_bad {
                true => Self::default(),
                false => Self::parse(text),
            };
            if is_bad {
                let told = if number == line {
                    problem
                } else {
                    "is not `action = [\"key\"]`"
                };
                whole.problems.push(format!("keys.toml:{number}: {told}"));
            }
            for known in &mut read.lines {
                known.line = number;
            }
            let problems = read.problems.iter();
            whole
                .problems
                .extend(problems.map(|it| it.replacen(":1:", &format!(":{number}:"), 1)));
            whole.preset = read.preset.or(whole.preset);
            whole.lines.append(&mut read.lines);
        }
        if whole.problems.is_empty() {
            whole.problems.push(format!("keys.toml:{line}: {problem}"));
        }
        whole
    }
}

/// A list of texts, or one text.
fn texts(value: toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text]),
        toml::Value::Array(values) => values
            .into_iter()
            .map(|value| match value {
                toml::Value::String(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_and_a_bad_one_hides_no_other() {
        let keys = Keys::parse("# mine\npreset = \"vim\"\nup = \"k\"\ndown = 7\ntop = [\"g g\"]\n");
        assert_eq!(keys.preset.as_deref(), Some("vim"));
        let read: Vec<(usize, &str)> = keys
            .lines
            .iter()
            .map(|it| (it.line, it.action.as_str()))
            .collect();
        assert_eq!(read, [(3, "up"), (5, "top")]);
        assert_eq!(
            keys.problems,
            ["keys.toml:4: the keys of down are a list of texts"]
        );
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line_and_the_rest_holds() {
        let keys = Keys::parse("up = [\"k\"]\ndown = [\ntop = g g\nopen = \"o\"\n");
        let told: Vec<&str> = keys.problems.iter().map(|it| &it[..12]).collect();
        assert_eq!(told, ["keys.toml:2:", "keys.toml:3:"], "{keys:?}");
        let held: Vec<(usize, &str)> = keys.lines.iter().map(|it| (it.line, &*it.action)).collect();
        assert_eq!(held, [(1, "up"), (4, "open")]);
        let twice = Keys::parse("up = \"k\"\nup = \"j\"\n");
        assert_eq!(twice.problems.len(), 1, "{twice:?}");
    }

    #[test]
    fn a_section_is_named() {
        let keys = Keys::parse("[keys]\nup = [\"k\"]\n");
        assert_eq!(
            keys.problems,
            ["keys.toml:1: there are no sections: write the lines below [keys] without it"]
        );
    }
}
