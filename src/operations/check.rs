//! What in a state machine's definition, role and settings will hurt once it runs: each known trap
//! is a check with its place, why it matters and what to change. Of any state machine, ours or not.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::client::{self, Client, ErrorKind};
use crate::model::{StateMachineArn, StateMachineDetail, Statement};
use crate::operations::Error;

mod maps;
mod places;
mod role;
mod tasks;
#[cfg(test)]
mod tests;

use places::Place;

/// Buckets that are asked after.
const BUCKETS: usize = 10;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The trap is not there.
    Good,
    /// To be known; nothing is wrong with it.
    Info,
    /// Works, until the day it does not.
    Warning,
    /// Cannot work.
    Bad,
}

impl Level {
    pub fn glyph(self) -> char {
        match self {
            Self::Good => '✓',
            Self::Info => 'i',
            Self::Warning => '!',
            Self::Bad => '✗',
        }
    }
}

/// The outcome of one check at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// Names the check, for scripts that let some pass.
    pub check: &'static str,
    /// JSON pointer into the definition; empty for the state machine as a whole.
    pub place: String,
    pub text: String,
    /// What will happen.
    pub why: Option<String>,
    /// What to do about it.
    pub change: Option<String>,
}

impl Finding {
    fn new(level: Level, check: &'static str, place: &str, text: impl Into<String>) -> Self {
        Self {
            level,
            check,
            place: place.to_owned(),
            text: text.into(),
            why: None,
            change: None,
        }
    }

    fn good(check: &'static str, place: &str, text: impl Into<String>) -> Self {
        Self::new(Level::Good, check, place, text)
    }

    fn info(check: &'static str, place: &str, text: impl Into<String>) -> Self {
        Self::new(Level::Info, check, place, text)
    }

    fn warning(check: &'static str, place: &str, text: impl Into<String>) -> Self {
        Self::new(Level::Warning, check, place, text)
    }

    fn bad(check: &'static str, place: &str, text: impl Into<String>) -> Self {
        Self::new(Level::Bad, check, place, text)
    }

    fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    fn change(mut self, change: impl Into<String>) -> Self {
        self.change = Some(change.into());
        self
    }
}

/// All that was found about a state machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub machine: StateMachineArn,
    /// `STANDARD` or `EXPRESS`.
    pub kind: String,
    pub revision: Option<String>,
    pub role: String,
    /// In the order of the definition, those about the whole first.
    pub checks: Vec<Finding>,
    /// What the role must be allowed, for all that the definition does. Nobody is asked whether it
    /// is.
    pub statements: Vec<Statement>,
}

impl Report {
    /// From the definition alone.
    ///
    /// # Errors
    /// `Malformed` for a definition that is no JSON object.
    pub fn of(detail: &StateMachineDetail) -> Result<Self, Error> {
        let definition: Value = serde_json::from_str(&detail.definition)
            .map_err(|error| Error::malformed(&detail.name, format!("its definition: {error}")))?;
        if !definition.is_object() {
            let problem = "its definition is no JSON object";
            return Err(Error::malformed(&detail.name, problem));
        }
        let places = places::all(&definition);
        let mut checks = of_machine(detail, &definition, &places);
        for place in &places {
            checks.extend(maps::findings(place, &definition, detail));
            checks.extend(tasks::findings(place, detail));
        }
        checks.extend(role::findings(detail));
        Ok(Self {
            machine: detail.arn.clone(),
            kind: kind(detail).to_owned(),
            revision: detail.revision.clone(),
            role: detail.role.clone(),
            checks,
            statements: role::statements(detail, &places),
        })
    }

    pub fn count(&self, level: Level) -> usize {
        self.checks.iter().filter(|it| it.level == level).count()
    }

    /// What asks for something first, and then the rest, both in the definition's order.
    pub fn gravest_first(&self) -> Vec<&Finding> {
        let mut checks: Vec<&Finding> = self.checks.iter().collect();
        checks.sort_by_key(|it| std::cmp::Reverse(it.level));
        checks
    }

    /// The gravest finding.
    pub fn worst(&self) -> Level {
        let levels = self.checks.iter().map(|it| it.level);
        levels.max().unwrap_or(Level::Good)
    }
}

/// `2 ✗  3 !  4 i  12 ✓`. What is 0 is left out.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = [Level::Bad, Level::Warning, Level::Info, Level::Good];
        let counts = levels.map(|level| (self.count(level), level.glyph()));
        let shown = counts.iter().filter(|(count, _)| 0 < *count);
        let words: Vec<String> = shown
            .map(|(count, glyph)| format!("{count} {glyph}"))
            .collect();
        f.write_str(&words.join("  "))
    }
}

/// Reads a state machine and checks it; changes nothing.
///
/// # Errors
/// When the definition cannot be read. What else cannot be asked is said in the report.
pub async fn run(client: &Client, arn: &StateMachineArn) -> Result<Report, Error> {
    let detail = client.state_machine(arn).await?;
    described(client, &detail).await
}

/// The same of a state machine that has been read.
///
/// # Errors
/// `Malformed` for a definition that is no JSON object.
pub async fn described(client: &Client, detail: &StateMachineDetail) -> Result<Report, Error> {
    let mut report = Report::of(detail)?;
    let validated = client.validate(&detail.definition, &report.kind).await;
    let mut asked = validity(validated);
    asked.extend(buckets(client, detail).await);
    report.checks.splice(0..0, asked);
    Ok(report)
}

/// What the service itself says of the definition.
fn validity(validated: Result<Vec<client::Diagnostic>, client::Error>) -> Vec<Finding> {
    const CHECK: &str = "valid";
    let diagnostics = match validated {
        Ok(diagnostics) => diagnostics,
        Err(error) => {
            let unknown = Finding::info(CHECK, "", "the service was not asked to validate it");
            return vec![unknown.why(error.to_string())];
        }
    };
    if diagnostics.is_empty() {
        let text = "the service finds nothing wrong with the definition";
        return vec![Finding::good(CHECK, "", text)];
    }
    let found = diagnostics.into_iter().map(|it| {
        let level = match it.is_error {
            true => Level::Bad,
            false => Level::Warning,
        };
        let text = format!("{}: {}", it.code, it.message);
        Finding::new(level, CHECK, &it.location.unwrap_or_default(), text)
    });
    found.collect()
}

/// Whether the buckets that the definition names can be reached, and from here: a Distributed Map
/// reads and writes in its own Region only.
async fn buckets(client: &Client, detail: &StateMachineDetail) -> Vec<Finding> {
    const CHECK: &str = "bucket";
    let definition: Value = serde_json::from_str(&detail.definition).unwrap_or_default();
    let mut named: Vec<(String, String)> = Vec::new();
    for place in places::all(&definition) {
        for (pointer, bucket) in maps::fixed_buckets(&place) {
            if !named.iter().any(|(_, known)| *known == bucket) {
                named.push((pointer, bucket));
            }
        }
    }
    let mut findings = Vec::new();
    for (pointer, bucket) in named.into_iter().take(BUCKETS) {
        let asked = client.objects(&bucket, "fanout-asks/", None).await;
        findings.push(match asked.map_err(|error| error.kind) {
            Ok(_) => Finding::good(CHECK, &pointer, format!("bucket {bucket} is there")),
            Err(ErrorKind::NotFound(_)) => {
                let text = format!("there is no bucket {bucket}");
                Finding::bad(CHECK, &pointer, text).change("create it, or name another")
            }
            Err(ErrorKind::Elsewhere(text)) => {
                let found = format!("bucket {bucket} is in another Region: {text}");
                Finding::bad(CHECK, &pointer, found)
                    .why("a Distributed Map reads and writes in the Region of its state machine")
                    .change("copy the objects into a bucket of this Region")
            }
            Err(kind) => {
                let text = format!("bucket {bucket} could not be asked after: {kind}");
                Finding::info(CHECK, &pointer, text)
            }
        });
    }
    findings
}

fn kind(detail: &StateMachineDetail) -> &str {
    detail.kind.as_deref().unwrap_or("STANDARD")
}

/// Checks of the whole.
fn of_machine(detail: &StateMachineDetail, definition: &Value, places: &[Place]) -> Vec<Finding> {
    let distributed: Vec<&Place> = places.iter().filter(|it| it.is_distributed()).collect();
    let has_express = distributed.iter().any(|it| it.is_express_map());
    let mut findings = Vec::new();
    match distributed.as_slice() {
        [] => findings.push(Finding::info(
            "map",
            "",
            "there is no Distributed Map: nothing here has items",
        )),
        maps if kind(detail) == "EXPRESS" => findings.extend(maps.iter().map(|it| {
            let text = "a Distributed Map cannot run in an EXPRESS state machine";
            Finding::bad("map", &it.pointer, text).change("make the state machine STANDARD")
        })),
        _ => {}
    }
    findings.push(logging(detail, has_express));
    findings.push(match definition.get("TimeoutSeconds") {
        Some(_) => Finding::good("timeout", "", "the whole run has a time limit"),
        None => Finding::info("timeout", "", "the whole run has no time limit")
            .why("a run that hangs stays open for a year")
            .change("add TimeoutSeconds at the top of the definition"),
    });
    findings
}

fn logging(detail: &StateMachineDetail, has_express: bool) -> Finding {
    const CHECK: &str = "logging";
    let change = "set a logging configuration with level ERROR or ALL and execution data";
    match (&detail.logging.level, has_express) {
        (Some(_), true) if !detail.logging.with_data => {
            Finding::info(CHECK, "", "inputs and outputs are not logged")
                .why("the log is the only history that EXPRESS children have")
                .change("include execution data in the logging configuration")
        }
        (Some(level), _) => Finding::good(CHECK, "", format!("logs to CloudWatch, level {level}")),
        (None, true) => Finding::warning(CHECK, "", "nothing is logged, and children are EXPRESS")
            .why("EXPRESS children have no history: why one failed is told by its error alone")
            .change(change),
        (None, false) => Finding::info(CHECK, "", "nothing is logged")
            .why("histories are gone 90 days after the end")
            .change(change),
    }
}
