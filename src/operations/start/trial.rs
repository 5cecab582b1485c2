//! A dry run: the first lines of a source through the same definition, on an engine of one's own,
//! before all of them go where they count.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use futures::StreamExt as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::model::{ExecutionArn, ObjectAddress, Status, Timestamp};
use crate::operations::failures;
use crate::operations::outputs::lines;
use crate::operations::runs::{self, Run};
use crate::operations::start::{Plan, Source};
use crate::operations::{Error, hex};

/// Lines that are tried.
pub const LINES: u64 = 10;
/// Bytes of them: a line may have a megabyte.
const MOST: u64 = LINES << 20;
/// How long one waits for their end.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs the first lines of the plan's source on `engine` and tells how they fared. `client` is where
/// the plan is of: it knows the definition, and has the source.
///
/// # Errors
/// `Client` where the engine does not take the definition, which then says what of it; `Refused`
/// where the lines fail.
pub async fn run(client: &Client, engine: &Client, plan: &Plan) -> Result<String, Error> {
    let text = first_lines(client, &plan.source).await?;
    let machine = client.state_machine(&plan.machine).await?;
    let hash = hex(&Sha256::digest(&machine.definition));
    let name = format!("dry-run-{}", &hash[..8]);
    let role = "arn:aws:iam::000000000000:role/dry-run";
    let created = engine.create_state_machine(&name, &machine.definition, role);
    let own = created.await?;
    let source = plan.address();
    let address = ObjectAddress::new(
        &source.bucket,
        format!("dry-runs/{}/{}", plan.name, source.file_name()),
    );
    let address = unpacked(address);
    engine.create_bucket(&address.bucket).await?;
    let mut object = engine.write(&address, BTreeMap::new()).await?;
    object.write(&text).await?;
    object.finish().await?;
    let input = with_key(plan.input.clone(), &source.key, &address.key).to_string();
    // Each press is a run of its own.
    let execution = format!("dry-{}", Timestamp::now().as_millisecond());
    let arn = engine.start_execution(&own, &execution, &input).await?;
    let run = ended(engine, &arn).await?;
    report(engine, &run).await
}

impl Plan {
    /// Where the source is, or will be.
    fn address(&self) -> ObjectAddress {
        match (&self.upload, &self.source) {
            (Some(address), _) | (None, Source::Object(address)) => address.clone(),
            (None, Source::File(path)) => ObjectAddress::new("dry-runs", path.to_string_lossy()),
        }
    }
}

/// What is kept of it is not packed.
fn unpacked(address: ObjectAddress) -> ObjectAddress {
    match address.key.strip_suffix(".gz") {
        Some(key) => ObjectAddress::new(&address.bucket, key),
        None => address,
    }
}

/// The input with another key wherever it names the source's.
fn with_key(input: Value, from: &str, to: &str) -> Value {
    match input {
        Value::String(text) => Value::String(text.replace(from, to)),
        Value::Array(items) => {
            let items = items.into_iter().map(|it| with_key(it, from, to));
            items.collect()
        }
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, with_key(value, from, to)))
            .collect(),
        scalar => scalar,
    }
}

async fn first_lines(client: &Client, source: &Source) -> Result<Vec<u8>, Error> {
    match source {
        Source::File(path) => {
            let path = path.clone();
            let fail = Error::file(&path, "reading it failed inside");
            let read = tokio::task::spawn_blocking(move || first_of_file(&path));
            read.await.unwrap_or(Err(fail))
        }
        Source::Object(address) => {
            let Some((object, _)) = client.head(address).await? else {
                return Err(Error::Refused(format!("{address} does not exist")));
            };
            let mut text = Vec::new();
            lines(client, &object, 1..=LINES, |_, bytes, ends| {
                text.extend_from_slice(bytes);
                text.extend(ends.then_some(b'\n'));
                (text.len() as u64) < MOST
            })
            .await?;
            Ok(text)
        }
    }
}

fn first_of_file(path: &Path) -> Result<Vec<u8>, Error> {
    let fail = |error: std::io::Error| Error::file(path, error);
    let file = File::open(path).map_err(fail)?;
    let packed = path
        .extension()
        .is_some_and(|it| it.eq_ignore_ascii_case("gz"));
    let bytes: Box<dyn std::io::Read> = match packed {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let mut reader = BufReader::new(bytes.take(MOST));
    let mut text = Vec::new();
    for _ in 0..LINES {
        if reader.read_until(b'\n', &mut text).map_err(fail)? == 0 {
            break;
        }
    }
    Ok(text)
}

async fn ended(engine: &Client, arn: &ExecutionArn) -> Result<Run, Error> {
    let end = async {
        let mut snapshots = engine.watch_execution(arn.clone());
        while let Some(snapshot) = snapshots.next().await {
            if snapshot.is_ok_and(|it| it.execution.status.is_closed()) {
                return;
            }
        }
    };
    if tokio::time::timeout(PATIENCE, end).await.is_err() {
        return Err(Error::Refused(format!(
            "dry run: still going after {} s on the embedded engine, see {} there",
            PATIENCE.as_secs(),
            arn.name()
        )));
    }
    runs::describe(engine, arn).await
}

async fn report(engine: &Client, run: &Run) -> Result<String, Error> {
    let items = run.map_run().map(|it| it.items).unwrap_or_default();
    let failed = items.failures();
    if run.execution().status == Status::Succeeded && failed == 0 {
        return Ok(match run.map_run() {
            Some(_) => format!("dry run: all {} lines succeeded", items.succeeded),
            None => "dry run: it succeeded, without a Map Run".to_owned(),
        });
    }
    let mut why = run.detail.error.clone().unwrap_or_default();
    let mut cause = run.detail.cause.clone();
    if let Some(map_run) = run.map_run().filter(|_| failed > 0) {
        let first = failures::of(engine, map_run, 1).await?;
        if let Some(first) = first.items.into_iter().next() {
            why = first.error.unwrap_or(why);
            cause = first.cause;
        }
    }
    let said = cause.as_deref().map(failures::message).unwrap_or_default();
    let missing = match why.as_str() {
        "Lambda.ResourceNotFoundException" => {
            ". Functions of this machine are named under [functions] in the settings"
        }
        _ => "",
    };
    let count = match failed {
        0 => "it failed".to_owned(),
        failed => format!("{failed} of {} lines failed", items.total),
    };
    Err(Error::Refused(format!(
        "dry run: {count}: {why}: {said}{missing}"
    )))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;

    fn lines(count: u64) -> String {
        let lines: Vec<String> = (1..=count).map(|n| format!("line {n}\n")).collect();
        lines.concat()
    }

    #[test]
    fn the_first_lines_of_a_file_are_taken_packed_or_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = lines(25);
        let plain = folder.path().join("a.txt");
        std::fs::write(&plain, &text).expect("a disk");
        let packed = folder.path().join("a.txt.gz");
        let file = File::create(&packed).expect("a disk");
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("a disk");
        encoder.finish().expect("a disk");
        let expected = lines(10);
        for path in [plain, packed] {
            let first = first_of_file(&path).expect("readable");
            assert_eq!(String::from_utf8(first).expect("text"), expected);
        }
        let short = folder.path().join("b.txt");
        std::fs::write(&short, "only").expect("a disk");
        assert_eq!(first_of_file(&short).expect("readable"), b"only");
        assert!(first_of_file(folder.path()).is_err());
    }

    #[test]
    fn the_input_names_the_lines_wherever_it_named_the_source() {
        let input =
            json!({"source": {"bucket": "in", "key": "a/b.txt"}, "at": ["s3://in/a/b.txt", 7]});
        assert_eq!(
            with_key(input, "a/b.txt", "dry/b.txt"),
            json!({"source": {"bucket": "in", "key": "dry/b.txt"}, "at": ["s3://in/dry/b.txt", 7]})
        );
    }
}
