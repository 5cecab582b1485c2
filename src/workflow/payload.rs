//! What the states pass on to each other, and every default of the workflow's input.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::lines::{MAX_LINES, without_gz};
use crate::model::ObjectAddress;
use crate::workflow::error::{HandlerError, PREPROCESS_INVALID_INPUT};
use crate::workflow::request::Request;
use crate::workflow::template::OutputTemplate;

const DEFAULT_METHOD: &str = "GET";
const DEFAULT_TIMEOUT_SECONDS: u32 = 10;
/// The line as it came, then what the service answered.
const DEFAULT_LINE: &str = "{line},{response}";
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

fn required_address(input: &mut Fields, name: &'static str) -> Result<ObjectAddress, HandlerError> {
    let mut fields = input.section(name)?;
    let bucket = fields.required("bucket")?;
    let key = fields.required("key")?;
    fields.finish()?;
    Ok(ObjectAddress { bucket, key })
}

/// `only` and what belongs to it.
fn read_only(input: &mut Fields) -> Result<Option<Only>, HandlerError> {
    let merge = match input.has("merge") {
        true => Some(read_merge(input)?),
        false => None,
    };
    let lines = match input.has("only") {
        true => Some(required_address(input, "only")?),
        false => None,
    };
    match (lines, merge) {
        (Some(lines), merge) => Ok(Some(Only { lines, merge })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(invalid(
            "input.merge needs input.only, the lines that are run again",
        )),
    }
}

fn read_merge(input: &mut Fields) -> Result<MergeOrder, HandlerError> {
    let mut fields = input.section("merge")?;
    let output = required_address(&mut fields, "output")?;
    let failed = match fields.has("failed") {
        true => Some(required_address(&mut fields, "failed")?),
        false => None,
    };
    let lines: Option<u64> = fields.take("lines", "a whole number")?;
    fields.finish()?;
    Ok(MergeOrder {
        output,
        failed,
        lines: lines.ok_or_else(|| invalid("input.merge.lines is missing"))?,
    })
}

fn read_request(input: &mut Fields, default_url: Option<&str>) -> Result<Request, HandlerError> {
    let mut fields = input.section("request")?;
    let url = match fields.take("url", "a text")? {
        Some(url) => url,
        None => default_url
            .ok_or_else(|| {
                invalid(
                    "input.request.url is missing; give the URL to ask for each line, \
                     for example https://example.com/items/{line}",
                )
            })?
            .to_owned(),
    };
    let method: Option<String> = fields.take("method", "a text")?;
    let headers: Option<BTreeMap<String, String>> = fields.take("headers", "an object of texts")?;
    let request = Request {
        url,
        method: method.map_or_else(|| DEFAULT_METHOD.into(), |method| method.to_uppercase()),
        headers: headers.unwrap_or_default(),
        body: fields.take("body", "a text")?,
        timeout_seconds: fields
            .take("timeoutSeconds", "a whole number")?
            .unwrap_or(DEFAULT_TIMEOUT_SECONDS),
    };
    fields.finish()?;
    Ok(request)
}

fn read_output(
    input: &mut Fields,
    execution: &str,
    source: &ObjectAddress,
) -> Result<Output, HandlerError> {
    let mut fields = input.section("output")?;
    let name = source.file_name();
    let inner = without_gz(name).filter(|inner| !inner.is_empty());
    let name = inner.unwrap_or(name);
    let output = Output {
        bucket: fields
            .take_text("bucket")?
            .unwrap_or_else(|| source.bucket.clone()),
        key: fields
            .take_text("key")?
            .unwrap_or_else(|| format!("outputs/{execution}/{name}")),
        line: fields
            .take_text("line")?
            .unwrap_or_else(|| DEFAULT_LINE.into()),
    };
    fields.finish()?;
    Ok(output)
}

/// The fields of an object in the input that are not read yet. Null is as good as absent.
struct Fields {
    path: String,
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    fn of(path: &str, value: Value) -> Result<Self, HandlerError> {
        match value {
            Value::Object(left) => Ok(Self {
                path: path.to_owned(),
                left,
                known: Vec::new(),
            }),
            _ => Err(invalid(format!("{path} must be an object"))),
        }
    }

    /// An absent section is an empty one.
    fn section(&mut self, name: &'static str) -> Result<Self, HandlerError> {
        let value = self.next(name).unwrap_or_else(|| Value::Object(Map::new()));
        Self::of(&format!("{}.{name}", self.path), value)
    }

    /// Whether the field is given.
    fn has(&mut self, name: &'static str) -> bool {
        match self.next(name) {
            Some(value) => {
                self.left.insert(name.to_owned(), value);
                true
            }
            None => false,
        }
    }

    fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, HandlerError> {
        self.next(name)
            .map(serde_json::from_value)
            .transpose()
            .map_err(|_| invalid(format!("{}.{name} must be {expected}", self.path)))
    }

    /// A text that says something.
    fn take_text(&mut self, name: &'static str) -> Result<Option<String>, HandlerError> {
        let text: Option<String> = self.take(name, "a text")?;
        if text.as_ref().is_some_and(String::is_empty) {
            return Err(invalid(format!("{}.{name} is empty", self.path)));
        }
        Ok(text)
    }

    fn required(&mut self, name: &'static str) -> Result<String, HandlerError> {
        self.take_text(name)?
            .ok_or_else(|| invalid(format!("{}.{name} is missing", self.path)))
    }

    /// Refuses what nobody asked for: most likely it is misspelt.
    fn finish(self) -> Result<(), HandlerError> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(format!(
                "{}.{} is unknown; there are {}",
                self.path,
                name.escape_debug(),
                self.known.join(", ")
            ))),
        }
    }

    fn next(&mut self, name: &'static str) -> Option<Value> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        // Order does not matter: only the names of what is left are shown.
        self.left.swap_remove(name).filter(|value| !value.is_null())
    }
}

fn invalid(problem: impl Into<String>) -> HandlerError {
    HandlerError::new(PREPROCESS_INVALID_INPUT, problem)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(input: Value) -> Result<Order, HandlerError> {
        let execution = "run-1".to_owned();
        Order::read(
            PreprocessInput { execution, input },
            Some("http://h/{line}"),
        )
    }

    fn problem(input: Value) -> String {
        let error = read(input).unwrap_err();
        assert_eq!(error.name, PREPROCESS_INVALID_INPUT);
        error.message
    }

    /// The smallest input with one field replaced, by JSON pointer of depth one or two.
    fn with(section: &str, name: &str, value: Value) -> Value {
        let mut input = json!({"source": {"bucket": "b", "key": "in/a.csv.gz"}});
        if section.is_empty() {
            input[name] = value;
        } else {
            input[section][name] = value;
        }
        input
    }

    #[test]
    fn the_smallest_input_gets_every_default() {
        let order = read(with("", "tolerate", Value::Null)).unwrap();
        let job = order.into_job(3, None, "\"e\"".into(), None);
        assert_eq!(
            serde_json::to_value(&job).unwrap(),
            json!({
                "execution": "run-1",
                "lines": 3,
                "source": {"bucket": "b", "key": "in/a.csv.gz", "etag": "\"e\""},
                "chosen": false,
                "merge": null,
                "items": {"bucket": "b", "key": "runs/run-1/items.jsonl"},
                "results": {"bucket": "b", "prefix": "runs/run-1/results"},
                "request": {"url": "http://h/{line}", "method": "GET", "headers": {},
                            "timeoutSeconds": 10},
                "output": {"bucket": "b", "key": "outputs/run-1/a.csv", "line": "{line},{response}"},
                "tolerate": 5,
                "concurrency": 1000,
            })
        );
    }

    #[test]
    fn a_url_is_needed_where_the_deployment_gives_none() {
        let input = PreprocessInput {
            execution: "run-1".into(),
            input: with("", "tolerate", json!(1)),
        };
        let error = Order::read(input, None).unwrap_err();
        assert!(error.message.contains("input.request.url is missing"));
    }

    #[test]
    fn everything_temporary_is_in_the_output_bucket() {
        let job = read(with("output", "bucket", json!("out")))
            .unwrap()
            .into_job(1, None, String::new(), None);
        assert_eq!(
            (job.items.bucket, job.results.bucket),
            ("out".into(), "out".into())
        );
        assert_eq!(job.source.address.bucket, "b");
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        assert!(problem(with("", "onyl", json!({}))).contains("input.onyl is unknown"));
        let message = problem(with("request", "ulr", json!("http://h/")));
        assert!(message.contains("input.request.ulr") && message.contains("url, method"));
    }

    #[test]
    fn a_re_run_writes_beside_what_it_reads() {
        let only = json!({"bucket": "b", "key": "only.jsonl"});
        let input = |output: &str, overwrite: bool| {
            json!({"source": {"bucket": "b", "key": "in/a.csv"}, "output": {"key": output},
                "only": only, "overwrite": overwrite, "merge": {"lines": 9,
                    "output": {"bucket": "b", "key": "out/a.csv"},
                    "failed": {"bucket": "b", "key": "out/a.csv.failed.jsonl"}}})
        };
        let key = |output, overwrite| read(input(output, overwrite)).unwrap().output.key;
        assert_eq!(key("out/a.csv", false), "out/run-1/a.csv");
        assert_eq!(key("a.csv", false), "run-1/a.csv");
        assert_eq!(key("out/run-1/a.csv", false), "out/run-1/a.csv");
        assert_eq!(key("out/a.csv", true), "out/a.csv");
        for (output, names) in [
            ("in/a.csv", "overwrite the source"),
            ("only.jsonl", "overwrite input.only"),
            ("out/a.csv.failed.jsonl", "input.merge"),
        ] {
            let message = problem(input(output, true));
            assert!(message.contains(names), "{output}: {message}");
        }
        // A choice of lines is all that a re-run needs.
        let alone = with("", "only", only.clone());
        assert_eq!(read(alone).unwrap().output.key, "outputs/run-1/a.csv");
        assert!(problem(with("", "merge", json!({}))).contains("input.merge.output"));
        assert!(problem(with("", "overwrite", json!(true))).contains("for input.only"));
        let message = problem(with("", "only", json!({"bucket": "b", "key": 7})));
        assert!(
            message.contains("input.only.key must be a text"),
            "{message}"
        );
    }

    #[test]
    fn a_wrong_value_is_refused_by_path_and_never_shown() {
        for (section, name, value, expected) in [
            ("", "tolerate", json!(101), "input.tolerate"),
            ("", "tolerate", json!("s3cret"), "input.tolerate"),
            ("", "concurrency", json!(0), "input.concurrency"),
            ("", "concurrency", json!(2.5), "input.concurrency"),
            (
                "",
                "source",
                json!("s3cret"),
                "input.source must be an object",
            ),
            ("source", "key", json!(""), "input.source.key is empty"),
            (
                "source",
                "bucket",
                json!(null),
                "input.source.bucket is missing",
            ),
            ("request", "method", json!("s3cret"), "input.request.method"),
            (
                "request",
                "timeoutSeconds",
                json!(61),
                "input.request.timeoutSeconds",
            ),
            (
                "request",
                "headers",
                json!({"a": ["s3cret"]}),
                "input.request.headers",
            ),
            (
                "request",
                "headers",
                json!({"a b": "s3cret"}),
                "headers.a b",
            ),
            ("request", "url", json!("s3cret"), "input.request.url"),
            (
                "request",
                "body",
                json!("x".repeat(50_000)),
                "input.request",
            ),
            ("output", "line", json!("{s3}"), "input.output.line"),
            (
                "output",
                "key",
                json!("in/a.csv.gz"),
                "overwrite the source",
            ),
            ("output", "key", json!("runs/run-1/x"), "temporary"),
            ("output", "key", json!("k".repeat(1_020)), "at most"),
        ] {
            let message = problem(with(section, name, value));
            assert!(message.contains(expected), "{section}.{name}: {message}");
            assert!(!message.contains("s3cret"), "{section}.{name}: {message}");
        }
    }
}
