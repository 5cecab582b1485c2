//! What the states pass on to each other, and every default of the workflow's input.

mod fields;
mod read;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::lines::MAX_LINES;
use crate::model::ObjectAddress;
use crate::workflow::error::{HandlerError, PREPROCESS_INVALID_INPUT};
use crate::workflow::payload::fields::Fields;
use crate::workflow::payload::read::{read_only, read_output, read_request, required_address};
use crate::workflow::request::Request;
use crate::workflow::template::OutputTemplate;

/// Per cent of the lines.
const DEFAULT_TOLERATE: u32 = 5;
const DEFAULT_CONCURRENCY: u32 = 1_000;

/// Step Functions' own limit for a Distributed Map.
const MAX_CONCURRENCY: u32 = 10_000;
/// A child's input is at most 262,144 bytes: this for the request, the rest for the line.
const MAX_REQUEST: usize = 48 << 10;
/// Bytes of an S3 key.
const MAX_KEY: usize = 1_024;

/// Follows the output's key in the name of the file of lines that failed.
pub const FAILED_SUFFIX: &str = ".failed.jsonl";

/// Everything temporary of an execution is under this prefix, in the output's bucket.
pub fn temporary_prefix(execution: &str) -> String {
    format!("runs/{execution}/")
}

/// The event of Preprocess.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessInput {
    /// The execution's name.
    pub execution: String,
    /// The execution's input, as the user gave it.
    pub input: Value,
}

/// The execution's input, checked and complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub execution: String,
    pub source: ObjectAddress,
    /// Run these lines instead of the source's.
    pub only: Option<Only>,
    pub request: Request,
    pub output: Output,
    /// Per cent of the lines, 0 to 100.
    pub tolerate: Number,
    pub concurrency: u32,
}

/// Where the output goes and what its lines are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    pub bucket: String,
    pub key: String,
    /// A template, see `OutputTemplate`.
    pub line: String,
}

/// The lines of a re-run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    /// JSON Lines: `{"n":1,"line":"…"}`, ascending. Other members do not matter, so the file of
    /// failed lines of an earlier run is one.
    pub lines: ObjectAddress,
    /// What the new lines are merged with.
    pub merge: Option<MergeOrder>,
}

/// An earlier output, to be made more complete in a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeOrder {
    pub output: ObjectAddress,
    /// The lines that `output` lacks; `None` where it lacks none.
    pub failed: Option<ObjectAddress>,
    /// Lines in the two together, which is what the source has.
    pub lines: u64,
}

/// What Preprocess returns and later states read from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Job {
    pub execution: String,
    /// How many run.
    pub lines: u64,
    /// What they were read from.
    pub source: Source,
    /// Whether they are but some of a file's. The definition reads this field and the next, so
    /// they are always there.
    pub chosen: bool,
    /// What their results are merged with.
    pub merge: Option<Merge>,
    pub items: ObjectAddress,
    pub results: Results,
    pub request: Request,
    pub output: Output,
    pub tolerate: Number,
    pub concurrency: u32,
}

/// The source as it was when its lines were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    #[serde(flatten)]
    pub address: ObjectAddress,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub etag: String,
}

/// An earlier output as it was when this execution began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    pub output: Version,
    pub failed: Option<Version>,
    pub lines: u64,
}

/// An object, and which one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    pub bucket: String,
    pub key: String,
    pub etag: String,
}

/// Where the Map Run's ResultWriter puts its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Results {
    pub bucket: String,
    pub prefix: String,
}

impl Order {
    /// Reads the execution's input and fills in what it leaves out.
    ///
    /// # Errors
    /// `Preprocess.InvalidInput`, naming the field and the rule it breaks; never its value.
    pub fn read(input: PreprocessInput, default_url: Option<&str>) -> Result<Self, HandlerError> {
        let execution = input.execution;
        if execution.is_empty() || execution.contains('/') || execution.starts_with('.') {
            return Err(invalid("the execution's name cannot name a folder in S3"));
        }
        let mut input = Fields::of("input", input.input)?;
        let source = required_address(&mut input, "source")?;
        let only = read_only(&mut input)?;
        let overwrite = input.take("overwrite", "true or false")?.unwrap_or(false);
        let request = read_request(&mut input, default_url)?;
        let mut output = read_output(&mut input, &execution, &source)?;
        match (&only, overwrite) {
            (Some(_), false) => output.key = in_folder_of(&output.key, &execution),
            (None, true) => return Err(invalid("input.overwrite is for input.only")),
            _ => {}
        }
        let tolerate = input
            .take("tolerate", "a number")?
            .unwrap_or_else(|| Number::from(DEFAULT_TOLERATE));
        let concurrency = input
            .take("concurrency", "a whole number")?
            .unwrap_or(DEFAULT_CONCURRENCY);
        input.finish()?;

        let order = Self {
            execution,
            source,
            only,
            request,
            output,
            tolerate,
            concurrency,
        };
        order.check()?;
        order.check_addresses(overwrite)?;
        Ok(order)
    }

    pub fn items(&self) -> ObjectAddress {
        let prefix = temporary_prefix(&self.execution);
        ObjectAddress::new(&self.output.bucket, format!("{prefix}items.jsonl"))
    }

    /// Where the lines are read from.
    pub fn read_from(&self) -> &ObjectAddress {
        let only = self.only.as_ref().map(|only| &only.lines);
        only.unwrap_or(&self.source)
    }

    /// The job for the later states, the lines having been read.
    pub fn into_job(
        self,
        lines: u64,
        version: Option<String>,
        etag: String,
        merge: Option<Merge>,
    ) -> Job {
        Job {
            items: self.items(),
            results: Results {
                bucket: self.output.bucket.clone(),
                prefix: format!("{}results", temporary_prefix(&self.execution)),
            },
            chosen: self.only.is_some(),
            merge,
            source: Source {
                address: self.read_from().clone(),
                version,
                etag,
            },
            execution: self.execution,
            lines,
            request: self.request,
            output: self.output,
            tolerate: self.tolerate,
            concurrency: self.concurrency,
        }
    }

    fn check(&self) -> Result<(), HandlerError> {
        self.request
            .check()
            .map_err(|problem| invalid(format!("input.request.{problem}")))?;
        OutputTemplate::parse(&self.output.line)
            .map_err(|problem| invalid(format!("input.output.line: {problem}")))?;
        let tolerated = self.tolerate.as_f64().unwrap_or(f64::NAN);
        if !(0.0..=100.0).contains(&tolerated) {
            return Err(invalid("input.tolerate must be from 0 to 100 per cent"));
        }
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            return Err(invalid(format!(
                "input.concurrency must be from 1 to {MAX_CONCURRENCY}"
            )));
        }
        let request = serde_json::to_string(&self.request).map_or(0, |json| json.len());
        if request + self.output.line.len() > MAX_REQUEST {
            return Err(invalid(format!(
                "input.request and input.output.line together must be at most {MAX_REQUEST} bytes"
            )));
        }
        Ok(())
    }

    /// Nothing that is read may be overwritten, but for the output that is to be.
    fn check_addresses(&self, overwrite: bool) -> Result<(), HandlerError> {
        let output = ObjectAddress::new(&self.output.bucket, &self.output.key);
        let failed = self.output.failed_address();
        let items = self.items();
        let written = [&output, &failed, &items];
        if written.contains(&&self.source) {
            return Err(invalid("input.output.key would overwrite the source"));
        }
        if let Some(only) = &self.only {
            // A file of failed lines may be both what is run and what is replaced.
            let is_replaced = overwrite && only.lines == failed;
            if written.contains(&&only.lines) && !is_replaced {
                return Err(invalid("input.output.key would overwrite input.only"));
            }
            if let Some(merge) = &only.merge {
                merge.check(&output, &failed, overwrite)?;
            }
        }
        let temporary = temporary_prefix(&self.execution);
        if self.output.key.starts_with(&temporary) {
            return Err(invalid(
                "input.output.key is among the temporary files, which are deleted",
            ));
        }
        if failed.key.len() > MAX_KEY {
            return Err(invalid(format!(
                "input.output.key must be at most {} bytes",
                MAX_KEY - FAILED_SUFFIX.len()
            )));
        }
        Ok(())
    }
}

impl Output {
    pub fn failed_address(&self) -> ObjectAddress {
        ObjectAddress::new(&self.bucket, format!("{}{FAILED_SUFFIX}", self.key))
    }
}

impl MergeOrder {
    fn check(
        &self,
        output: &ObjectAddress,
        failed: &ObjectAddress,
        overwrite: bool,
    ) -> Result<(), HandlerError> {
        let is_previous = |address: &ObjectAddress| {
            *address == self.output || Some(address) == self.failed.as_ref()
        };
        // In place means each in its own place.
        let in_place = overwrite && *output == self.output && self.failed.as_ref() != Some(output);
        let failed_in_place = overwrite && Some(failed) == self.failed.as_ref();
        if is_previous(output) && !in_place || is_previous(failed) && !failed_in_place {
            return Err(invalid(
                "input.output.key would overwrite what input.merge names; \"overwrite\": true lets \
                 the new output take the old one's place",
            ));
        }
        if !(1..=MAX_LINES).contains(&self.lines) {
            return Err(invalid(format!(
                "input.merge.lines must be from 1 to {MAX_LINES}"
            )));
        }
        Ok(())
    }
}

/// The same file name in a folder of this execution's, so that a re-run with the input of the run
/// before it does not take its output's place.
fn in_folder_of(key: &str, execution: &str) -> String {
    let (folder, name) = match key.rsplit_once('/') {
        Some((folder, name)) => (format!("{folder}/"), name),
        None => (String::new(), key),
    };
    let is_there = folder == format!("{execution}/") || folder.ends_with(&format!("/{execution}/"));
    match is_there {
        true => key.to_owned(),
        false => format!("{folder}{execution}/{name}"),
    }
}

fn invalid(problem: impl Into<String>) -> HandlerError {
    HandlerError::new(PREPROCESS_INVALID_INPUT, problem)
}

#[cfg(test)]
mod tests;
