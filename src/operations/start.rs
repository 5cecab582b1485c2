//! Start an execution from a local file or an S3 object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::client::{Client, ErrorKind};
use crate::model::{ExecutionArn, ExecutionDetail, ObjectAddress, StateMachineArn, Status};
use crate::operations::runs::{self, is_absent, is_name};
use crate::operations::{Check, Error, Progress, hex, refuse_bad, shell_word};

mod checks;
mod file;
pub mod needs;
pub mod template;
#[cfg(test)]
mod tests;
pub mod trial;
mod upload;

pub use file::LINE_LIMIT;
use template::{Filled, Template, Values};
use upload::Upload;

/// Bytes of an execution's input that the service takes.
const INPUT_LIMIT: usize = 262_144;
/// Characters of a name that come from the file's name; `-` and 8 digits follow.
const STEM: usize = 71;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    File(PathBuf),
    Object(ObjectAddress),
}

impl Source {
    fn file_name(&self) -> String {
        match self {
            Self::File(path) => path
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            Self::Object(address) => address.file_name().to_owned(),
        }
    }
}

/// What the user asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub source: Source,
    pub machine: StateMachineArn,
    /// Where local files go.
    pub bucket: String,
    /// Given name; `None` derives one from file name, content and input.
    pub name: Option<String>,
    /// Only what differs from the defaults; merged over the template and `{"source": …}`.
    pub input: Value,
    pub template: Option<Template>,
    /// What `{{ date }}` of a template is.
    pub today: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    pub machine: StateMachineArn,
    pub name: String,
    pub source: Source,
    /// Where a local file will be put; `None` for an S3 source.
    pub upload: Option<ObjectAddress>,
    /// Bytes.
    pub size: u64,
    /// Of a local file's bytes, hexadecimal: what is uploaded must still have it.
    pub sha256: Option<String>,
    /// Lines of a local file; unknown for S3.
    pub lines: Option<u64>,
    pub input: Value,
    /// Name of the template that the input was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What stands for its placeholders.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filled: Vec<Filled>,
    /// The part of the input that the user gave beside the template.
    #[serde(skip)]
    pub given: Map<String, Value>,
    pub checks: Vec<Check>,
}

impl Plan {
    /// The same as a command.
    pub fn command(&self) -> String {
        let source = match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Object(address) => address.to_string(),
        };
        let mut command = format!(
            "fanout start {} --machine {} --name {}",
            shell_word(&source),
            shell_word(self.machine.name()),
            shell_word(&self.name)
        );
        if let Some(template) = &self.template {
            command += " --template ";
            command += &shell_word(template);
        }
        if !self.given.is_empty() {
            command += " --input ";
            command += &shell_word(&Value::Object(self.given.clone()).to_string());
        }
        command + " --yes"
    }
}

/// Reads the file once (hash, lines, problems by line number), touches nothing remote but reads.
///
/// # Errors
/// `File` when it cannot be read as a file at all, `Refused` when the input is no JSON object or
/// names a source itself. What is wrong inside the file is a check of the plan.
pub async fn plan(client: &Client, request: Request) -> Result<Plan, Error> {
    let given = given_input(&request.input)?;
    let (mut plan, address, content) = match &request.source {
        Source::File(path) => plan_file(client, path, &request).await?,
        Source::Object(address) => plan_object(client, address, &request).await?,
    };
    plan.given.clone_from(&given);
    plan.fill(&request, &address);
    plan.name = name(&request, &content, &plan);
    if let Value::Object(input) = &mut plan.input {
        input.extend(given);
    }
    plan.checks.insert(0, checks::of_sign_in(client).await);
    plan.checks.extend(checks::of_machine(client, &plan).await);
    let input_size = plan.input.to_string().len();
    if INPUT_LIMIT < input_size {
        plan.checks.push(Check::bad(format!(
            "the input has {input_size} bytes: Step Functions takes {INPUT_LIMIT}"
        )));
    }
    let name_check = check_name(client, &plan).await?;
    plan.checks.push(name_check);
    Ok(plan)
}

fn given_input(input: &Value) -> Result<Map<String, Value>, Error> {
    match input {
        Value::Null => Ok(Map::new()),
        Value::Object(given) if given.contains_key("source") => Err(Error::Refused(
            "the input has a `source` of its own: fanout sets it from the file, leave it out"
                .to_owned(),
        )),
        Value::Object(given) => Ok(given.clone()),
        _ => Err(Error::Refused(
            "the input must be a JSON object, such as '{\"tolerate\": 5}'".to_owned(),
        )),
    }
}

/// A plan without name and template, the source's address, and what stands for its content.
type Found = (Plan, ObjectAddress, String);

async fn plan_file(client: &Client, path: &Path, request: &Request) -> Result<Found, Error> {
    let inspection = {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || file::inspect(&path))
            .await
            .map_err(|error| Error::file(&request_path(request), error))??
    };
    let file_name = request.source.file_name();
    let address = ObjectAddress::new(
        &request.bucket,
        format!(
            "inputs/{}/{}",
            &inspection.sha256[..8],
            key_part(&file_name)
        ),
    );
    let mut checks = inspection.checks();
    if request.bucket.is_empty() {
        checks.push(Check::bad(
            "no bucket to upload to: set `bucket` in the configuration",
        ));
    } else if upload::is_there(client, &address, inspection.size, &inspection.sha256).await? {
        checks.push(Check::good("the same file is uploaded already"));
    }
    let plan = Plan {
        upload: Some(address.clone()),
        size: inspection.size,
        sha256: Some(inspection.sha256.clone()),
        lines: Some(inspection.lines),
        checks,
        ..Plan::empty(request)
    };
    Ok((plan, address, inspection.sha256))
}

impl Plan {
    fn empty(request: &Request) -> Self {
        Self {
            machine: request.machine.clone(),
            name: String::new(),
            source: request.source.clone(),
            upload: None,
            size: 0,
            sha256: None,
            lines: None,
            input: Value::Null,
            template: None,
            filled: Vec::new(),
            given: Map::new(),
            checks: Vec::new(),
        }
    }

    /// Makes the input: of the template, with the source where that does not name it itself.
    fn fill(&mut self, request: &Request, address: &ObjectAddress) {
        self.input = with_source(address);
        let Some(template) = &request.template else {
            return;
        };
        self.template = Some(template.name.clone());
        let file = request.source.file_name();
        let unpacked = file.strip_suffix(".gz").unwrap_or(&file);
        let values = Values::from([
            ("upload.bucket", address.bucket.clone()),
            ("upload.key", address.key.clone()),
            (
                "stem",
                unpacked
                    .rsplit_once('.')
                    .map_or(unpacked, |(stem, _)| stem)
                    .to_owned(),
            ),
            ("file", file.clone()),
            ("date", request.today.clone()),
        ]);
        match template.fill(&values) {
            Ok((Value::Object(input), filled)) => {
                if template.names_source() {
                    self.input = Value::Object(Map::new());
                }
                if let Value::Object(own) = &mut self.input {
                    own.extend(input);
                }
                self.filled = filled;
            }
            Ok(_) => {}
            Err(unknown) => self.checks.push(Check::bad(format!(
                "template {}: nothing gives {} a value; write {{{{ name:value }}}} there",
                template.name,
                unknown.join(", ")
            ))),
        }
    }
}

fn request_path(request: &Request) -> PathBuf {
    match &request.source {
        Source::File(path) => path.clone(),
        Source::Object(address) => PathBuf::from(address.to_string()),
    }
}

async fn plan_object(
    client: &Client,
    address: &ObjectAddress,
    request: &Request,
) -> Result<Found, Error> {
    let found = client.head(address).await?;
    let (size, version, check) = match &found {
        None => (
            0,
            String::new(),
            Check::bad(format!("{address} does not exist")),
        ),
        Some((object, _)) if object.size == 0 => (
            0,
            object.etag.clone(),
            Check::bad(format!("{address} is empty")),
        ),
        Some((object, _)) => {
            let text = format!("{address} is there, {} bytes", object.size);
            (object.size, object.etag.clone(), Check::good(text))
        }
    };
    let plan = Plan {
        size,
        checks: vec![check],
        ..Plan::empty(request)
    };
    Ok((plan, address.clone(), format!("{address} {version}")))
}

fn with_source(address: &ObjectAddress) -> Value {
    serde_json::json!({"source": {"bucket": address.bucket, "key": address.key}})
}

/// A file's name as the end of a key: XML, which listings are sent in, has no control characters.
fn key_part(file_name: &str) -> String {
    file_name.replace(|c: char| c.is_control() || c == '/', "_")
}

/// The given name, or one that is the same whenever file, machine and input are: a second press
/// then meets the first one's execution.
fn name(request: &Request, content: &str, plan: &Plan) -> String {
    if let Some(name) = &request.name {
        return name.clone();
    }
    // No input at all and an empty one start the same.
    let given = match &request.input {
        Value::Null => Value::Object(Map::new()).to_string(),
        input => canonical(input).to_string(),
    };
    let of_template = plan
        .template
        .as_ref()
        .map(|_| canonical(&plan.input).to_string());
    let mut hash = Sha256::new();
    let parts = [request.machine.as_str(), content, &given];
    for part in parts.into_iter().chain(of_template.as_deref()) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digits = hex(&hash.finalize());
    format!("{}-{}", stem(&request.source.file_name()), &digits[..8])
}

/// The same JSON with the members of all objects in order.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, Value> = members
                .iter()
                .map(|(name, value)| (name, canonical(value)))
                .collect();
            sorted
                .into_iter()
                .map(|(name, value)| (name.clone(), value))
                .collect()
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        scalar => scalar.clone(),
    }
}

/// The beginning of a file's name, of characters that a name may have.
fn stem(file_name: &str) -> String {
    let unpacked = file_name.strip_suffix(".gz").unwrap_or(file_name);
    let stem = match unpacked.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => unpacked,
    };
    let mut clean = String::new();
    for c in stem.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') => clean.push(c),
            _ if clean.ends_with('-') => {}
            _ => clean.push('-'),
        }
    }
    clean.truncate(STEM); // ASCII by now
    match clean.trim_matches('-') {
        "" => "run".to_owned(),
        clean => clean.to_owned(),
    }
}

async fn check_name(client: &Client, plan: &Plan) -> Result<Check, Error> {
    if !is_name(&plan.name) {
        return Ok(Check::bad(format!(
            "{:?} cannot name an execution: 1 to 80 of A-Z a-z 0-9 - _ .",
            plan.name
        )));
    }
    let arn = runs::named(&plan.machine, &plan.name);
    match client.execution(&arn).await {
        Ok(detail) => Ok(judge_name(plan, &detail)),
        Err(error) if is_absent(&error.kind) => Ok(Check::good("the name is unused")),
        Err(error) => Err(error.into()),
    }
}

/// What it means that an execution has the name already.
fn judge_name(plan: &Plan, there: &ExecutionDetail) -> Check {
    let name = &plan.name;
    let input: Option<Value> = there
        .input
        .as_deref()
        .and_then(|input| serde_json::from_str(input).ok());
    let same = input.is_some_and(|input| canonical(&input) == canonical(&plan.input));
    match there.execution.status {
        Status::Running if same => Check::notice(format!(
            "{name} is running with this very input: starting it again changes nothing"
        )),
        Status::Succeeded if same => Check::bad(format!(
            "{name} has done this file with this input already and has SUCCEEDED: see `fanout \
             outputs ls {name}`, or give another --name to do it again"
        )),
        status if same => Check::bad(format!(
            "{name} has tried this file with this input already and is {}: go on with `fanout \
             redrive {name}`, or give another --name to begin anew",
            status.as_str()
        )),
        status => Check::bad(format!(
            "{name} is taken by an execution with another input, which is {}: give another --name",
            status.as_str()
        )),
    }
}

/// What a start has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub execution: ExecutionArn,
    /// Bytes of the file that an earlier try had uploaded, and that were not sent again.
    pub resumed: u64,
}

/// Uploads where needed and starts. Doing it twice starts one execution. With a `state` folder an
/// upload that is broken off goes on where it was when it is done again.
///
/// # Errors
/// `Refused` when a check of the plan is bad or the name was taken meanwhile; `File` when the file
/// is no longer the one that was planned.
pub async fn run(
    client: &Client,
    plan: &Plan,
    state: Option<&Path>,
    progress: impl Fn(Progress) + Send,
) -> Result<Started, Error> {
    refuse_bad(&plan.checks)?;
    let mut resumed = 0;
    if let (Source::File(path), Some(address), Some(sha256)) =
        (&plan.source, &plan.upload, &plan.sha256)
    {
        let (size, total) = (plan.size, plan.size);
        let upload = Upload {
            path,
            address,
            size,
            sha256,
        };
        match upload::is_there(client, address, size, sha256).await? {
            true => progress(Progress { done: size, total }),
            false => resumed = upload.send(client, state, progress).await?,
        }
    }
    let input = plan.input.to_string();
    match client
        .start_execution(&plan.machine, &plan.name, &input)
        .await
    {
        Ok(execution) => Ok(Started { execution, resumed }),
        Err(error) if matches!(error.kind, ErrorKind::Conflict(_)) => {
            let arn = runs::named(&plan.machine, &plan.name);
            let there = client.execution(&arn).await?;
            Err(Error::Refused(judge_name(plan, &there).text))
        }
        Err(error) => Err(error.into()),
    }
}
