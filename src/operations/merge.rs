//! Merge: the newest success of each line, over a run, its redrives and its re-runs, in one new file
//! in the order of the lines, with a file of the lines that are still open beside it.
//!
//! Nothing is ever overwritten. The name follows from what is read, and the output is written last:
//! a merge that was killed is simply run again, and one that was done is found.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::client::{Client, shell_word};
use crate::lines::{Counts, Gathered};
use crate::model::{ExecutionArn, ObjectAddress, figures};
use crate::operations::lineage::{self, Evidence, Lineage, Shown};
use crate::operations::reconcile::{Reconciliation, meter};
use crate::operations::runs::{self, Run};
use crate::operations::{Check, Error, Progress, hex, refuse_bad};

/// Follows the output's name in that of the file of lines that are still open.
const FAILED_SUFFIX: &str = ".failed.jsonl";
/// Follows the name of a file that is not complete yet.
const PART_SUFFIX: &str = ".fanout-part";
/// Bytes compared at once.
const CHUNK: usize = 1 << 16;
/// User metadata of a merged output: what it was made of.
const MADE_OF: &str = "merged-from";

/// Where a merged output goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum To {
    Object(ObjectAddress),
    /// On this machine.
    File(PathBuf),
}

impl To {
    /// `s3://bucket/key`, else a path.
    ///
    /// # Errors
    /// `Refused` for half an address.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match (text.starts_with("s3://"), ObjectAddress::parse(text)) {
            (_, Some(address)) => Ok(Self::Object(address)),
            (true, None) => Err(Error::Refused(format!(
                "{text} is no object: give s3://BUCKET/KEY"
            ))),
            (false, None) => Ok(Self::File(PathBuf::from(text))),
        }
    }

    /// Where the lines that are still open go.
    pub fn failed(&self) -> Self {
        match self {
            Self::Object(to) => {
                let key = format!("{}{FAILED_SUFFIX}", to.key);
                Self::Object(ObjectAddress::new(&to.bucket, key))
            }
            Self::File(path) => Self::File(suffixed(path, FAILED_SUFFIX)),
        }
    }
}

impl std::fmt::Display for To {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Object(address) => address.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// What a merge would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub execution: ExecutionArn,
    pub to: To,
    /// Lines of the input.
    pub lines: u64,
    /// What is read, oldest first; of two successes of a line the newer counts.
    pub sources: Vec<Shown>,
    /// Of the sources as they are: other sources are another merge.
    pub digest: String,
    pub checks: Vec<Check>,
}

/// What a merge wrote.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Merged {
    pub output: To,
    /// The lines that are not in the output; `None` when all are.
    pub failed: Option<To>,
    pub lines: u64,
    pub succeeded: u64,
    /// Whether it was there already, made of the same.
    pub existed: bool,
}

impl Merged {
    /// Where it is and what is in it.
    pub fn words(&self) -> String {
        let count = |count| figures::count(count);
        let was = if self.existed {
            " was there already:"
        } else {
            ""
        };
        let open = match self.lines - self.succeeded {
            0 => String::new(),
            open => format!(", {} open beside it", count(open)),
        };
        let (succeeded, lines) = (count(self.succeeded), count(self.lines));
        format!(
            "merged into {}{was} {succeeded} of {lines} lines{open}",
            self.output
        )
    }
}

impl Plan {
    /// `Err` is the reason why it cannot be carried out.
    pub fn allowed(&self) -> Result<(), String> {
        refuse_bad(&self.checks).map_err(|error| error.to_string())
    }

    /// The same as a command.
    pub fn command(&self) -> String {
        let run = shell_word(self.execution.name());
        let machine = self.execution.state_machine();
        let to = shell_word(&self.to.to_string());
        let machine = shell_word(machine.name());
        format!("fanout outputs merge {run} --machine {machine} --to {to}")
    }
}

/// Looks at what there is to merge; reads no results and changes nothing. Without `to` the new
/// object goes beside the run's output.
pub async fn plan(client: &Client, run: &Run, to: Option<To>) -> Result<Plan, Error> {
    let lineage = lineage::of(client, run).await?;
    plan_of(client, &lineage, to).await
}

async fn plan_of(client: &Client, lineage: &Lineage, to: Option<To>) -> Result<Plan, Error> {
    let digest = digest(lineage);
    let derived = || {
        lineage
            .output
            .as_ref()
            .map(|output| beside(output, &digest))
    };
    let Some(to) = to.or_else(|| derived().map(To::Object)) else {
        return Err(Error::Refused(format!(
            "{} says nowhere where its output belongs: give a destination (--to)",
            lineage.root.name()
        )));
    };
    let mut checks = Vec::new();
    if let Some(running) = &lineage.running {
        checks.push(Check::bad(format!("{running} has not ended yet")));
    }
    if lineage.sources.is_empty() {
        checks.push(Check::bad("there are neither outputs nor result files"));
    }
    if !lineage.shape.is_numbered() {
        checks.push(Check::bad(
            "the items do not say which lines they are: give the ItemSelector $$.Map.Item.Index",
        ));
    }
    checks.push(match there(client, &to).await? {
        There::Nothing => Check::good(format!("{to} is new")),
        There::MadeOf(made_of) if made_of == digest => Check::notice(format!(
            "{to} is there already, made of the same: there is nothing left to do"
        )),
        _ => in_the_way(&to),
    });
    // What a merge that was killed has left of the same may be replaced.
    match there(client, &to.failed()).await? {
        There::Nothing => {}
        There::MadeOf(made_of) if made_of == digest => {}
        There::Something if matches!(to, To::File(_)) => {}
        _ => checks.push(in_the_way(&to.failed())),
    }
    checks.extend(lineage.notes.iter().map(Check::notice));
    Ok(Plan {
        execution: lineage.root.clone(),
        to,
        lines: lineage.lines,
        sources: lineage.sources.iter().map(lineage::Source::shown).collect(),
        digest,
        checks,
    })
}

fn in_the_way(to: &To) -> Check {
    Check::bad(format!(
        "{to} exists already, and nothing is ever overwritten: give another destination"
    ))
}

/// What is where the output goes.
enum There {
    Nothing,
    Something,
    /// A merged output, with what it was made of.
    MadeOf(String),
}

async fn there(client: &Client, to: &To) -> Result<There, Error> {
    match to {
        To::Object(address) => Ok(match client.head(address).await? {
            None => There::Nothing,
            Some((_, mut metadata)) => match metadata.remove(MADE_OF) {
                Some(made_of) => There::MadeOf(made_of),
                None => There::Something,
            },
        }),
        To::File(path) => Ok(match path.symlink_metadata().is_ok() {
            true => There::Something,
            false => There::Nothing,
        }),
    }
}

/// What the sources are, as they are now.
fn digest(lineage: &Lineage) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    add(lineage.root.as_str());
    for source in &lineage.sources {
        add(&source.run);
        match &source.evidence {
            // A Map Run writes each file once.
            Evidence::Results { files, .. } => files.iter().for_each(|file| {
                add(&file.address.to_string());
                add(&file.size.to_string());
            }),
            Evidence::Output { output, failed, .. } => {
                for version in std::iter::once(output).chain(failed) {
                    add(&version.address.to_string());
                    add(&version.etag);
                }
            }
        }
    }
    let hash = hash.finalize();
    hex(&hash[..8])
}

/// `out/a.csv` and what it is made of: `out/a.merged-0123abcd.csv`.
fn beside(output: &ObjectAddress, digest: &str) -> ObjectAddress {
    let digest = &digest[..digest.len().min(8)];
    let (_, suffix) = cut(&output.key);
    let key = format!("{}{digest}{suffix}", names_beside(output));
    ObjectAddress::new(&output.bucket, key)
}

/// What the keys of all merged outputs of a run begin with.
pub(super) fn names_beside(output: &ObjectAddress) -> String {
    let (stem, _) = cut(&output.key);
    format!("{stem}.merged-")
}

/// A key before the suffix of its name, and the suffix with its dot.
fn cut(key: &str) -> (&str, &str) {
    let name = key.rfind('/').map_or(0, |slash| slash + 1);
    match key[name..].rfind('.') {
        Some(dot @ 1..) => key.split_at(name + dot),
        _ => (key, ""),
    }
}

/// Carries the plan out. Run again after a kill it writes the same file, once.
///
/// # Errors
/// `Refused` when the plan is not allowed, when the sources have changed since, or when a line is in
/// no result at all: which lines a file with such a gap has, nobody could tell.
pub async fn run(
    client: &Client,
    plan: &Plan,
    progress: impl Fn(Progress) + Send + Sync + 'static,
) -> Result<Merged, Error> {
    carry_out(client, plan, Present::InTheWay, progress).await
}

/// Goes on with a merge that was begun: a file that is there by now is compared with what it should
/// be, and is the merged one when they are the same.
///
/// # Errors
/// As of [`run`]; `File` when there is another file.
pub async fn resume(
    client: &Client,
    plan: &Plan,
    progress: impl Fn(Progress) + Send + Sync + 'static,
) -> Result<Merged, Error> {
    carry_out(client, plan, Present::Compared, progress).await
}

/// What becomes of a file that is there already: nothing in it says what it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Present {
    InTheWay,
    Compared,
}

async fn carry_out(
    client: &Client,
    plan: &Plan,
    present: Present,
    progress: impl Fn(Progress) + Send + Sync + 'static,
) -> Result<Merged, Error> {
    let run = runs::describe(client, &plan.execution).await?;
    let lineage = lineage::of(client, &run).await?;
    let now = plan_of(client, &lineage, Some(plan.to.clone())).await?;
    let is_there = match &plan.to {
        To::File(path) => path.symlink_metadata().is_ok_and(|it| it.is_file()),
        To::Object(_) => false,
    };
    let existed = is_there && present == Present::Compared;
    let in_the_way = in_the_way(&plan.to);
    let mut checks = now.checks;
    checks.retain(|it| !existed || *it != in_the_way);
    refuse_bad(&checks)?;
    if now.digest != plan.digest {
        return Err(Error::Refused(
            "there are other results by now than the plan has: make a new one".to_owned(),
        ));
    }
    if let To::Object(address) = &plan.to
        && let Some((_, metadata)) = client.head(address).await?
    {
        return Ok(existing(plan, &metadata));
    }
    let gathered = lineage
        .gather(client, true, meter(&lineage, progress))
        .await?;
    let found = Reconciliation::new(&lineage, &gathered, &run);
    if 0 < found.missing.count {
        return Err(Error::Refused(format!(
            "{} of {} lines are in no result: {}; a merged file could not tell which lines it has",
            found.missing.count,
            found.lines,
            found.missing.named()
        )));
    }
    let counts = gathered.tally().counts();
    match &plan.to {
        To::Object(address) => write_object(client, address, plan, gathered, counts).await?,
        To::File(path) => write_file(path, gathered, counts).await?,
    }
    Ok(Merged {
        output: plan.to.clone(),
        failed: (counts.succeeded < counts.lines).then(|| plan.to.failed()),
        lines: counts.lines,
        succeeded: counts.succeeded,
        existed,
    })
}

fn existing(plan: &Plan, metadata: &BTreeMap<String, String>) -> Merged {
    let count = |name| metadata.get(name).and_then(|text| text.parse().ok());
    let lines = count("lines").unwrap_or(plan.lines);
    let succeeded = count("succeeded").unwrap_or(lines);
    Merged {
        output: plan.to.clone(),
        failed: (succeeded < lines).then(|| plan.to.failed()),
        lines,
        succeeded,
        existed: true,
    }
}

/// The output comes last: once it is there, everything is.
async fn write_object(
    client: &Client,
    address: &ObjectAddress,
    plan: &Plan,
    gathered: Gathered,
    counts: Counts,
) -> Result<(), Error> {
    let metadata = BTreeMap::from([
        (MADE_OF.to_owned(), plan.digest.clone()),
        ("lines".to_owned(), counts.lines.to_string()),
        ("succeeded".to_owned(), counts.succeeded.to_string()),
        ("failed".to_owned(), counts.failed.to_string()),
        ("never-started".to_owned(), counts.never_started.to_string()),
    ]);
    let mut failed = None;
    if counts.succeeded < counts.lines
        && let To::Object(beside) = plan.to.failed()
    {
        failed = Some(client.write(&beside, metadata.clone()).await?);
    }
    let mut output = client.write(address, metadata).await?;
    gathered.write(&mut output, failed.as_mut()).await?;
    if let Some(failed) = failed {
        failed.finish().await?;
    }
    output.finish().await?;
    Ok(())
}

/// Complete or absent, and never over another file.
async fn write_file(path: &Path, gathered: Gathered, counts: Counts) -> Result<(), Error> {
    let failed = (counts.succeeded < counts.lines).then(|| suffixed(path, FAILED_SUFFIX));
    let part = |path: &Path| {
        let part = suffixed(path, PART_SUFFIX);
        // One that a kill has left may have the final name too: that file stays as it is.
        let _ = fs::remove_file(&part);
        let file = File::create(&part);
        file.map_err(|error| Error::file(&part, error))
    };
    let failed_file = failed.as_deref().map(part).transpose()?;
    gathered.write_files(part(path)?, failed_file).await?;
    if let Some(failed) = &failed {
        keep(failed)?;
    }
    keep(path)
}

/// Gives what was written its name, unless somebody has taken it meanwhile. One that has the same
/// content is from a merge that was killed.
fn keep(path: &Path) -> Result<(), Error> {
    let part = suffixed(path, PART_SUFFIX);
    match fs::hard_link(&part, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let same = same_content(&part, path).map_err(|error| Error::file(path, error))?;
            if !same {
                return Err(Error::file(path, "exists already, and is another file"));
            }
        }
        linked => linked.map_err(|error| Error::file(path, error))?,
    }
    fs::remove_file(&part).map_err(|error| Error::file(&part, error))
}

fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut here, mut there) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let read = one.read(&mut here)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut there[..read])?;
        if here[..read] != there[..read] {
            return Ok(false);
        }
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_output_is_beside_the_first_one_and_named_by_what_it_is_made_of() {
        let name = |key: &str| beside(&ObjectAddress::new("b", key), "0123abcd4567").key;
        assert_eq!(name("out/a.csv"), "out/a.merged-0123abcd.csv");
        assert_eq!(name("out.d/a"), "out.d/a.merged-0123abcd");
        assert_eq!(name(".hidden"), ".hidden.merged-0123abcd");
    }

    #[test]
    fn a_destination_is_an_object_or_a_path() {
        let object = To::parse("s3://b/k").expect("an address");
        assert_eq!(object, To::Object(ObjectAddress::new("b", "k")));
        assert_eq!(object.failed().to_string(), "s3://b/k.failed.jsonl");
        assert_eq!(To::parse("a b").expect("a path"), To::File("a b".into()));
        assert!(To::parse("s3://b").is_err());
    }

    #[test]
    fn a_file_that_came_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(suffixed(&path, PART_SUFFIX), "new").expect("a file");
        fs::write(&path, "theirs").expect("a file");
        assert!(keep(&path).is_err());
        assert_eq!(fs::read_to_string(&path).expect("there"), "theirs");
        // Unless it is the same.
        fs::write(&path, "new").expect("a file");
        keep(&path).expect("the same");
        assert!(!suffixed(&path, PART_SUFFIX).exists());
    }
}
