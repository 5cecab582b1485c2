//! Templates of inputs: JSON whose texts hold `{{ names }}` that are filled in for each start.
//!
//! `{{ upload.bucket }}` and `{{ upload.key }}` are where the source is, `{{ file }}` and `{{ stem }}`
//! its name with and without the ending, `{{ date }}` is today. Any other name needs a value in the
//! template itself: `{{ prefix:invoices }}`, which also holds for `{{ prefix }}` elsewhere, and so does
//! `{{ date:2026-11-23 }}`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::client::Client;
use crate::model::StateMachineArn;
use crate::operations::Error;
use crate::operations::runs::is_name;
use crate::operations::start::needs;

/// Bytes of a template: what an execution's input may have.
const LARGEST: u64 = 262_144;
/// Templates listed of a folder.
const LISTED: usize = 500;
/// Their files' ending.
const ENDING: &str = "json";

/// A template as it is in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// As one names it: its file's name without the ending, or the path given.
    pub name: String,
    pub input: Value,
}

/// One placeholder and what stands there now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Filled {
    pub placeholder: String,
    pub value: String,
}

/// What names stand for.
pub type Values = BTreeMap<&'static str, String>;

/// Names of the templates in a folder. No folder has no templates.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut names: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|it| it == ENDING))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .take(LISTED)
        .collect();
    names.sort();
    names
}

/// The template of this name: of `folder`, from a path, or for [`needs::TEMPLATE`] what the state
/// machine's definition reads, without what is `given` anyway.
///
/// # Errors
/// As [`read`]; and when the definition cannot be read.
pub async fn named(
    client: &Client,
    machine: &StateMachineArn,
    folder: &Path,
    name: &str,
    given: &Value,
) -> Result<Template, Error> {
    if name != needs::TEMPLATE {
        return read(folder, name);
    }
    let definition = client.state_machine(machine).await?.definition;
    let definition: Value = serde_json::from_str(&definition)
        .map_err(|error| Error::malformed(machine, format!("its definition: {error}")))?;
    let mut input = needs::template(&definition);
    if let (Value::Object(members), Value::Object(given)) = (&mut input, given) {
        members.retain(|name, _| !given.contains_key(name));
    }
    Ok(Template {
        name: name.to_owned(),
        input,
    })
}

/// Reads the template of this name from `folder`, or from a path.
///
/// # Errors
/// `File` when it is not there, too large, or not a JSON object; names the line.
pub fn read(folder: &Path, name: &str) -> Result<Template, Error> {
    let is_path = name.contains(std::path::MAIN_SEPARATOR)
        || Path::new(name).extension().is_some_and(|it| it == ENDING);
    let path = match is_path {
        true => PathBuf::from(name),
        false => folder.join(format!("{name}.{ENDING}")),
    };
    let size = match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => found.len(),
        Ok(_) => return Err(Error::file(&path, "is not a file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::file(&path, missing(folder, is_path)));
        }
        Err(error) => return Err(Error::file(&path, error)),
    };
    if size > LARGEST {
        let problem = format!("has {size} bytes: the input of an execution has {LARGEST} at most");
        return Err(Error::file(&path, problem));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| Error::file(&path, error))?;
    match serde_json::from_str(&text) {
        Ok(input @ Value::Object(_)) => Ok(Template {
            name: name.to_owned(),
            input,
        }),
        Ok(_) => Err(Error::file(&path, "holds JSON, but not an object")),
        Err(error) => Err(Error::file(&path, format!("is not JSON: {error}"))),
    }
}

/// Writes a new template, for its owner only: the input of another one (`base`), with `given` over
/// it. A template of that name is left alone.
///
/// # Errors
/// `Refused` when the name cannot be a file's or is taken, the base is made of a definition, or there
/// is nothing to keep; `File` when it cannot be written.
pub fn save(
    folder: &Path,
    name: &str,
    base: Option<&str>,
    given: Map<String, Value>,
) -> Result<PathBuf, Error> {
    let name = name.strip_suffix(".json").unwrap_or(name);
    if !is_name(name) || name.starts_with('.') {
        return Err(Error::Refused(format!(
            "{name:?} cannot name a template: 1 to 80 of A-Z a-z 0-9 - _ ."
        )));
    }
    let mut input = match base {
        Some(needs::TEMPLATE) => {
            return Err(Error::Refused(format!(
                "what {} gives is made anew each time: write it down with `fanout check MACHINE --input`, \
                 edit it, and save that",
                needs::TEMPLATE
            )));
        }
        Some(base) => read(folder, base)?.input,
        None => Value::Object(Map::new()),
    };
    if let Value::Object(members) = &mut input {
        members.extend(given);
        if members.is_empty() {
            let problem = "there is nothing to keep: a template is an input, and this has none";
            return Err(Error::Refused(problem.to_owned()));
        }
    }
    let path = folder.join(format!("{name}.{ENDING}"));
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::Refused(format!(
            "there is a template {name} already, it is left as it is: give another name"
        )),
        _ => Error::file(&path, error),
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(format!("{input:#}\n").as_bytes())
        .map_err(failed)?;
    file.persist_noclobber(&path)
        .map_err(|error| failed(error.error))?;
    Ok(path)
}

fn missing(folder: &Path, is_path: bool) -> String {
    let names = names(folder);
    match names.as_slice() {
        _ if is_path => "no such file".to_owned(),
        [] => "no such template: there are none in that folder".to_owned(),
        names => format!("no such template; there are: {}", names.join(", ")),
    }
}

impl Template {
    /// Whether it says itself where the source is.
    pub fn names_source(&self) -> bool {
        let has = |name: &str| {
            placeholders(&self.input)
                .iter()
                .any(|it| it.name.starts_with(name))
        };
        self.input.get("source").is_some() || has("upload.")
    }

    /// The input with everything filled in, and what was filled in, each once.
    ///
    /// # Errors
    /// Names that nothing gives a value.
    pub fn fill(&self, values: &Values) -> Result<(Value, Vec<Filled>), Vec<String>> {
        let found = placeholders(&self.input);
        let given: BTreeMap<&str, &str> = found
            .iter()
            .filter_map(|it| Some((it.name, it.value?)))
            .collect();
        let value = |name: &str| -> Option<String> {
            let own = given.get(name).map(|it| (*it).to_owned());
            own.or_else(|| values.get(name).cloned())
        };
        let mut unknown: Vec<String> = found
            .iter()
            .filter(|it| value(it.name).is_none())
            .map(|it| it.name.to_owned())
            .collect();
        unknown.sort();
        unknown.dedup();
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let mut filled: Vec<Filled> = Vec::new();
        for placeholder in &found {
            let entry = Filled {
                placeholder: placeholder.text.to_owned(),
                value: value(placeholder.name).unwrap_or_default(),
            };
            if !filled.contains(&entry) {
                filled.push(entry);
            }
        }
        let input = map_texts(&self.input, &|text| {
            let mut whole = String::new();
            let mut rest = text;
            while let Some((before, placeholder, after)) = next(rest) {
                whole += before;
                whole += &value(placeholder.name).unwrap_or_default();
                rest = after;
            }
            whole + rest
        });
        Ok((input, filled))
    }
}

/// `{{ name }}` or `{{ name:value }}`.
#[derive(Debug, Clone, Copy)]
struct Placeholder<'a> {
    text: &'a str,
    name: &'a str,
    value: Option<&'a str>,
}

/// The first placeholder, and what is before and after it.
fn next(text: &str) -> Option<(&str, Placeholder<'_>, &str)> {
    let start = text.find("{{")?;
    let length = text[start..].find("}}")? + 2;
    let whole = &text[start..start + length];
    let inner = whole[2..length - 2].trim();
    let (name, value) = match inner.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (inner, None),
    };
    let placeholder = Placeholder {
        text: whole,
        name,
        value,
    };
    Some((&text[..start], placeholder, &text[start + length..]))
}

fn placeholders(value: &Value) -> Vec<Placeholder<'_>> {
    let mut found = Vec::new();
    match value {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some((_, placeholder, after)) = next(rest) {
                found.push(placeholder);
                rest = after;
            }
        }
        Value::Array(items) => found.extend(items.iter().flat_map(placeholders)),
        Value::Object(members) => found.extend(members.values().flat_map(placeholders)),
        _ => {}
    }
    found
}

fn map_texts(value: &Value, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(items) => items.iter().map(|it| map_texts(it, change)).collect(),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, it)| (name.clone(), map_texts(it, change)))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn template(input: Value) -> Template {
        Template {
            name: "daily".to_owned(),
            input,
        }
    }

    fn values() -> Values {
        [("upload.key", "inputs/a.jsonl"), ("date", "2026-11-24")]
            .map(|(name, value)| (name, value.to_owned()))
            .into()
    }

    #[test]
    fn names_are_filled_in_and_a_value_holds_everywhere() {
        let daily = template(json!({
            "key": "{{ upload.key }}",
            "date": "{{ date:2026-11-23 }}",
            "prefix": ["invoices/{{date}}/{{ who:night }}/"],
            "n": 7
        }));
        let (input, filled) = daily.fill(&values()).unwrap();
        assert_eq!(
            input,
            json!({
                "key": "inputs/a.jsonl",
                "date": "2026-11-23",
                "prefix": ["invoices/2026-11-23/night/"],
                "n": 7
            })
        );
        let shown: Vec<&str> = filled.iter().map(|it| it.placeholder.as_str()).collect();
        assert_eq!(
            shown,
            [
                "{{ upload.key }}",
                "{{ date:2026-11-23 }}",
                "{{date}}",
                "{{ who:night }}"
            ]
        );
        assert!(daily.names_source());
        assert!(!template(json!({"tolerate": 5})).names_source());
    }

    #[test]
    fn a_name_without_a_value_is_named() {
        let unknown = template(json!({"a": "{{ b }}{{ c }}{{ b }}"})).fill(&values());
        assert_eq!(unknown, Err(vec!["b".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn templates_are_files_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("daily.json", "{\"a\": 1}");
        write("list.json", "[1]");
        write("broken.json", "{\n\"a\": }");
        write("notes.txt", "");
        assert_eq!(names(folder.path()), ["broken", "daily", "list"]);
        assert_eq!(read(folder.path(), "daily").unwrap().input, json!({"a": 1}));
        let path = folder.path().join("daily.json");
        assert!(read(Path::new("/none"), path.to_str().unwrap()).is_ok());
        let problem = |name: &str| read(folder.path(), name).unwrap_err().to_string();
        assert!(problem("nightly").contains("there are: broken, daily, list"));
        assert!(problem("list").contains("not an object"));
        assert!(problem("broken").contains("line 2"));
        assert!(names(Path::new("/none/at/all")).is_empty());
    }

    #[test]
    fn a_form_is_kept_under_a_new_name_only() {
        let folder = tempfile::tempdir().unwrap();
        let given = |value: Value| value.as_object().cloned().unwrap();
        let save = |name: &str, base: Option<&str>, value: Value| {
            save(&folder.path().join("templates"), name, base, given(value))
        };
        let path = save("daily", None, json!({"as": "{{ stem }}", "tolerate": 5})).unwrap();
        save("strict", Some("daily"), json!({"tolerate": 0})).unwrap();
        let strict = read(path.parent().unwrap(), "strict").unwrap().input;
        assert_eq!(strict, json!({"as": "{{ stem }}", "tolerate": 0}));
        let refused = |name: &str, value: Value| save(name, None, value).unwrap_err().to_string();
        assert!(refused("daily", json!({"a": 1})).contains("already"));
        assert!(refused("../daily", json!({"a": 1})).contains("cannot name"));
        assert!(refused(".daily", json!({"a": 1})).contains("cannot name"));
        assert!(refused("none", json!({})).contains("nothing to keep"));
        assert!(save("new", Some("nightly"), json!({})).is_err());
        let made = save("new", Some(needs::TEMPLATE), json!({"tolerate": 0}));
        assert!(
            made.unwrap_err()
                .to_string()
                .contains("check MACHINE --input")
        );
        assert_eq!(
            read(path.parent().unwrap(), "daily").unwrap().input["tolerate"],
            5
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_template(text in "[a-z{}: ]{0,30}") {
            let source = json!({"a": text});
            match template(source.clone()).fill(&values()) {
                Ok((input, filled)) => prop_assert!(!filled.is_empty() || input == source),
                Err(unknown) => prop_assert!(!unknown.is_empty()),
            }
        }
    }
}
