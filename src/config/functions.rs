//! `[functions.NAME]`: functions that the embedded engine runs beside the workflow's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Spanned, Value};

use super::settings::{at_home, url};

/// A function that the user names. Limits and defaults are Lambda's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Where its code is.
    #[serde(flatten)]
    pub code: Code,
    /// Seconds, 1 to 900.
    pub timeout: u64,
    /// Calls at once, 0 to 1,000; one more is throttled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Code {
    /// A program that speaks the Lambda Runtime API.
    Program(Program),
    /// Events are posted there.
    Url { url: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Where it runs; in the file relative to the file.
    pub folder: PathBuf,
    pub handler: String,
    /// MB, 128 to 10,240.
    pub memory: u32,
    /// Processes at once, 1 to 1,000; further calls wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
    pub environment: BTreeMap<String, String>,
}

/// Bytes of all variables together (Lambda quotas).
const MAX_ENVIRONMENT: usize = 4 * 1024;
/// Variables that Lambda sets (developer guide, "Defined runtime environment variables").
const RESERVED: [&str; 10] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_TASK_ROOT",
];
const KEYS: [&str; 9] = [
    "command",
    "url",
    "folder",
    "handler",
    "timeout",
    "memory",
    "concurrency",
    "instances",
    "environment",
];

/// A problem, and where in the text it is.
type Problem = (usize, String);
type Fields = BTreeMap<Spanned<String>, Spanned<Value>>;

/// The part of a file that this module reads.
#[derive(Deserialize)]
struct File {
    functions: BTreeMap<Spanned<String>, Fields>,
}

/// All functions of a file in `folder`.
pub(super) fn read(text: &str, folder: &Path) -> Result<BTreeMap<String, Function>, Problem> {
    let file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        (
            start,
            format!("functions: {}", error.message().replace('\n', ", ")),
        )
    })?;
    let mut functions = BTreeMap::new();
    for (name, fields) in file.functions {
        let start = name.span().start;
        let name = name.into_inner();
        let plain = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            let rule = "a function's name: 1 to 64 of a-z, A-Z, 0-9, - and _";
            return Err((start, format!("functions.{name}: must be {rule}")));
        }
        let table = Table {
            name: &name,
            start,
            fields: &fields,
        };
        let function = table.function(folder)?;
        functions.insert(name, function);
    }
    Ok(functions)
}

struct Table<'t> {
    name: &'t str,
    start: usize,
    fields: &'t Fields,
}

impl Table<'_> {
    fn function(&self, folder: &Path) -> Result<Function, Problem> {
        for key in self.fields.keys() {
            if !KEYS.contains(&key.as_ref().as_str()) {
                let problem = format!("there is no such setting; there are {}", KEYS.join(", "));
                let at = key.span().start;
                return Err((
                    at,
                    format!("functions.{}.{}: {problem}", self.name, key.as_ref()),
                ));
            }
        }
        let timeout = self.number("timeout", 1, 900, "seconds")?.unwrap_or(3);
        let concurrency = self.number("concurrency", 0, 1_000, "calls at once")?;
        let code = match (self.field("command"), self.text("url")?) {
            (Some(_), None) => Code::Program(self.program(folder)?),
            (None, Some(address)) => {
                url(&address).map_err(|rule| self.breach("url", rule))?;
                for key in ["folder", "handler", "memory", "instances", "environment"] {
                    if self.field(key).is_some() {
                        return Err(self.breach(key, "absent where there is a url"));
                    }
                }
                Code::Url { url: address }
            }
            _ => {
                let problem = format!("functions.{} must have either command or url", self.name);
                return Err((self.start, problem));
            }
        };
        Ok(Function {
            code,
            timeout,
            concurrency: concurrency.map(|it| it as usize),
        })
    }

    fn program(&self, folder: &Path) -> Result<Program, Problem> {
        let rule = "a program and its arguments, like [\"./bootstrap\"]";
        let words = self.field("command").and_then(Value::as_array);
        let words = words.into_iter().flatten().map(Value::as_str);
        let command: Option<Vec<String>> = words.map(|it| it.map(str::to_owned)).collect();
        let command = command.filter(|it| it.first().is_some_and(|it| !it.is_empty()));
        let command = command.ok_or_else(|| self.breach("command", rule))?;
        let own = self.text("folder")?.map(|text| at_home(&text));
        let handler = self.text("handler")?;
        let memory = self.number("memory", 128, 10_240, "MB")?.unwrap_or(128);
        let instances = self.number("instances", 1, 1_000, "processes")?;
        Ok(Program {
            command,
            folder: own.map_or_else(|| folder.to_owned(), |own| folder.join(own)),
            handler: handler.unwrap_or_default(),
            memory: memory as u32,
            instances: instances.map(|it| it as usize),
            environment: self.environment()?,
        })
    }

    fn environment(&self) -> Result<BTreeMap<String, String>, Problem> {
        let mut variables = BTreeMap::new();
        let Some(value) = self.field("environment") else {
            return Ok(variables);
        };
        let rule = "variables and their texts, like { STAGE = \"test\" }";
        let given = value.as_table();
        for (name, value) in given.ok_or_else(|| self.breach("environment", rule))? {
            let is_name = name.starts_with(|it: char| it.is_ascii_alphabetic())
                && name
                    .chars()
                    .all(|it| it.is_ascii_alphanumeric() || it == '_');
            if RESERVED.contains(&name.as_str()) || name.starts_with("AWS_LAMBDA_") {
                let rule = format!("without {name}, which Lambda sets itself");
                return Err(self.breach("environment", &rule));
            }
            match value.as_str() {
                Some(text) if is_name => _ = variables.insert(name.clone(), text.to_owned()),
                _ => return Err(self.breach("environment", rule)),
            }
        }
        let bytes: usize = variables
            .iter()
            .map(|(name, text)| name.len() + text.len())
            .sum();
        if MAX_ENVIRONMENT < bytes {
            return Err(self.breach("environment", "at most 4 KB in all"));
        }
        Ok(variables)
    }

    fn field(&self, key: &str) -> Option<&Value> {
        let found = self.fields.iter().find(|(it, _)| it.as_ref() == key);
        found.map(|(_, value)| value.as_ref())
    }

    fn text(&self, key: &str) -> Result<Option<String>, Problem> {
        match self.field(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(self.breach(key, "a text in quotes")),
        }
    }

    fn number(&self, key: &str, least: u64, most: u64, unit: &str) -> Result<Option<u64>, Problem> {
        let Some(value) = self.field(key) else {
            return Ok(None);
        };
        let number = value.as_integer().and_then(|it| u64::try_from(it).ok());
        match number {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(self.breach(key, &format!("{unit}, {least} to {most}"))),
        }
    }

    fn place(&self, key: &str) -> usize {
        let found = self.fields.keys().find(|it| it.as_ref() == key);
        found.map_or(self.start, |it| it.span().start)
    }

    /// Values may be secret, so none is shown.
    fn breach(&self, key: &str, rule: &str) -> Problem {
        let problem = format!("functions.{}.{key} must be {rule}", self.name);
        (self.place(key), problem)
    }
}
