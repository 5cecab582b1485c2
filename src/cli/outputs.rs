//! `outputs ls|versions|cat|get|search|link`: what a run has written.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use serde::Serialize;
use serde_json::json;

use crate::cli::args::Global;
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Format, Meter, Output as Out, VERSION, note};
use crate::cli::session::Session;
use crate::cli::views;
use crate::model::{Object, Timestamp, figures};
use crate::operations::outputs::{self, Kind, Output};
use crate::operations::{self, runs};

/// Bytes of text that go into one document.
const MOST_JSON: usize = 16 << 20;
/// Objects that a verb takes in, about.
const MOST: usize = 200_000;
/// Matches that go into one document.
const MOST_HITS: usize = 10_000;

pub async fn ls(session: &Session, run: &str, out: &mut Out) -> Result<Exit, Error> {
    let found = list(session, run).await?;
    match out.format {
        Format::Json => out.document(&json!({"version": VERSION, "outputs": found}))?,
        Format::Ndjson => {
            for output in &found {
                out.row(output)?;
            }
        }
        Format::Text => {
            let cells: Vec<[String; 4]> = found
                .iter()
                .map(|output| {
                    [
                        word(output.kind).to_owned(),
                        figures::bytes(output.object.size),
                        views::time(output.object.modified),
                        output.object.address.to_string(),
                    ]
                })
                .collect();
            for line in views::table(["KIND", "SIZE", "MODIFIED", "OBJECT"], &cells) {
                out.line(line)?;
            }
        }
    }
    Ok(Exit::Done)
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Final => "final",
        Kind::Merged => "merged",
        Kind::Rerun => "re-run",
        Kind::Result => "result",
        Kind::Temporary => "temporary",
        Kind::Source => "source",
    }
}

async fn list(session: &Session, run: &str) -> Result<Vec<Output>, Error> {
    let execution = session.find(run).await?;
    let run = runs::describe(&session.client, &execution).await?;
    let listing = outputs::list(&session.client, &run, MOST).await?;
    if !listing.is_whole() {
        let count = figures::count(listing.outputs.len() as u64);
        note(format!(
            "there are more objects than these {count}: the others are not listed"
        ));
    }
    Ok(listing.outputs)
}

/// The object that `file` names: by its file name, or by the end of its key.
fn pick<'a>(found: &'a [Output], file: &str) -> Result<&'a Output, Error> {
    let ends = |output: &&Output| {
        let address = &output.object.address;
        let key = &address.key;
        address.file_name() == file
            || address.to_string() == file
            || key
                .strip_suffix(file)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let fitting: Vec<&Output> = found.iter().filter(ends).collect();
    match fitting.as_slice() {
        [] => Err(Error::refused(format!(
            "no output is named {file}: see `fanout outputs ls`"
        ))),
        [only] => Ok(only),
        // The source and the output of one run may have the same name.
        several => match several
            .iter()
            .filter(|output| output.kind == Kind::Final)
            .count()
        {
            1 => Ok(several
                .iter()
                .find(|output| output.kind == Kind::Final)
                .copied()
                .unwrap_or(several[0])),
            _ => Err(Error::refused(format!(
                "{} outputs are named {file}: give more of the key, such as {}",
                several.len(),
                several[0].object.address.key
            ))),
        },
    }
}

fn finals(found: &[Output], run: &str) -> Result<Vec<Output>, Error> {
    let finals: Vec<Output> = found
        .iter()
        .filter(|output| output.kind == Kind::Final)
        .cloned()
        .collect();
    match finals.is_empty() {
        true => Err(no_output(run)),
        false => Ok(finals),
    }
}

fn no_output(run: &str) -> Error {
    Error::refused(format!(
        "{run} has no final output yet: see `fanout outputs ls {run}`"
    ))
}

/// Which object of a run is meant.
#[derive(Debug, Clone, Copy)]
pub struct Which<'a> {
    /// `None` is the output.
    file: Option<&'a str>,
    /// `None` is the current one.
    version: Option<&'a str>,
}

impl<'a> Which<'a> {
    pub fn new(file: Option<&'a str>, version: Option<&'a str>) -> Self {
        Self { file, version }
    }

    async fn find(self, session: &Session, run: &str) -> Result<Object, Error> {
        let found = list(session, run).await?;
        let object = one(&found, run, self.file)?.clone();
        match self.version {
            Some(version) => at_version(session, &object, version).await,
            None => Ok(object),
        }
    }
}

/// One version of an object.
async fn at_version(session: &Session, object: &Object, version: &str) -> Result<Object, Error> {
    let address = object.address.at_version(version);
    let found = session.client.head(&address).await.map_err(Error::from);
    let hint = "`fanout outputs versions` lists those there are";
    match found.map_err(|error| error.hint(hint))? {
        Some((object, _)) => Ok(object),
        None => Err(Error::refused(format!("there is no {address}")).hint(hint)),
    }
}

pub async fn versions(
    session: &Session,
    run: &str,
    file: Option<&str>,
    out: &mut Out,
) -> Result<Exit, Error> {
    let object = Which::new(file, None).find(session, run).await?;
    let address = &object.address;
    let versions = session.client.object_versions(address).await?;
    if !out.is_text() {
        let document = json!({"version": VERSION, "object": object, "versions": versions});
        out.document(&document)?;
        return Ok(Exit::Done);
    }
    let Some(versions) = versions else {
        note(format!("{} keeps no versions", address.bucket));
        return Ok(Exit::Done);
    };
    let cells: Vec<[String; 4]> = versions
        .iter()
        .map(|it| {
            let size = it.size.map_or("deleted".to_owned(), figures::bytes);
            let state = if it.is_latest { "current" } else { "" };
            [
                it.id.clone(),
                size,
                views::time(it.modified),
                state.to_owned(),
            ]
        })
        .collect();
    for line in views::table(["VERSION", "SIZE", "MODIFIED", ""], &cells) {
        out.line(line.trim_end())?;
    }
    Ok(Exit::Done)
}

/// The object that is named; else the output itself: the lines that failed are another one.
fn one<'a>(found: &'a [Output], run: &str, file: Option<&str>) -> Result<&'a Object, Error> {
    if let Some(file) = file {
        return Ok(&pick(found, file)?.object);
    }
    let mut finals = found.iter().filter(|it| it.kind == Kind::Final).peekable();
    if finals.peek().is_none() {
        return Err(no_output(run));
    }
    let output = finals.find(|output| !is_of_failures(output));
    output
        .map(|output| &output.object)
        .ok_or_else(|| Error::refused(format!("{run} has no output but its failures")))
}

pub async fn cat(
    session: &Session,
    run: &str,
    which: Which<'_>,
    lines: Option<RangeInclusive<u64>>,
    out: &mut Out,
) -> Result<Exit, Error> {
    let object = &which.find(session, run).await?;
    if lines.is_some() || !out.is_text() {
        return cat_lines(session, object, lines.unwrap_or(1..=u64::MAX), out).await;
    }
    if object.size == 0 {
        return Ok(Exit::Done);
    }
    let body = session
        .client
        .read(&object.address, None, Some(&object.etag))
        .await?;
    let mut bytes = body.bytes;
    while let Some(chunk) = bytes.next().await {
        out.bytes(&chunk?)?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// What `cat --json` and `--ndjson` make of a line.
#[derive(Debug, Default, Serialize)]
struct Line {
    line: u64,
    text: String,
}

async fn cat_lines(
    session: &Session,
    object: &Object,
    wanted: RangeInclusive<u64>,
    out: &mut Out,
) -> Result<Exit, Error> {
    let mut document: Vec<Line> = Vec::new();
    let mut bytes = 0;
    let mut open = Vec::new();
    let mut written = Ok(());
    let read = outputs::lines(&session.client, object, wanted, |line, piece, is_end| {
        if out.is_text() {
            written = out.bytes(piece);
            if is_end && written.is_ok() {
                written = out.bytes(b"\n");
            }
            return written.is_ok();
        }
        open.extend_from_slice(piece);
        bytes += piece.len();
        if MOST_JSON < bytes {
            written = Err(too_much(out.format));
        } else if is_end {
            let text = String::from_utf8_lossy(&open).into_owned();
            open.clear();
            let line = Line { line, text };
            match out.format {
                Format::Ndjson => {
                    bytes = 0;
                    written = out.row(&line);
                }
                _ => document.push(line),
            }
        }
        written.is_ok()
    });
    read.await?;
    written?;
    if out.format == Format::Json {
        out.document(&json!({"version": VERSION, "object": object, "lines": document}))?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn too_much(format: Format) -> Error {
    let megabytes = MOST_JSON >> 20;
    match format {
        Format::Ndjson => Error::refused(format!("a line is longer than {megabytes} MiB"))
            .hint("leave --ndjson out to get its bytes"),
        _ => Error::refused(format!(
            "more than {megabytes} MiB do not go into one document"
        ))
        .hint("use --ndjson, or choose fewer lines with --lines"),
    }
}

pub async fn search(
    session: &Session,
    run: &str,
    text: &str,
    files: &[String],
    global: &Global,
    out: &mut Out,
) -> Result<Exit, Error> {
    let found = list(session, run).await?;
    let searched = match files {
        [] => finals(&found, run)?,
        files => {
            let picked = files.iter().map(|file| pick(&found, file).cloned());
            picked.collect::<Result<_, _>>()?
        }
    };
    let mut hits = Vec::new();
    let mut count = 0_u64;
    for output in &searched {
        let object = &output.object;
        let name = object.address.file_name();
        let meter = Meter::new(global, format!("search {name}"));
        let mut written = Ok(());
        let done = outputs::search(
            &session.client,
            object,
            text,
            |progress| meter.show(progress),
            |hit| {
                count += 1;
                let document = json!({
                    "object": object.address, "line": hit.line, "at": hit.at, "text": hit.text,
                });
                match out.format {
                    Format::Text => {
                        written = out.line(format!("{name}:{}: {}", hit.line, hit.text));
                    }
                    Format::Ndjson => written = out.row(&document),
                    Format::Json if hits.len() < MOST_HITS => hits.push(document),
                    Format::Json => written = Err(too_many()),
                }
                written.is_ok()
            },
        );
        done.await?;
        written?;
    }
    match out.format {
        Format::Json => out.document(&json!({"version": VERSION, "hits": hits}))?,
        Format::Text if count == 0 => note(format!("{text:?} is nowhere in what was searched")),
        _ => {}
    }
    Ok(Exit::Done)
}

fn too_many() -> Error {
    Error::refused(format!(
        "more than {MOST_HITS} matches do not go into one document"
    ))
    .hint("use --ndjson, or search for a longer text")
}

pub async fn link(
    session: &Session,
    run: &str,
    which: Which<'_>,
    valid: Duration,
    out: &mut Out,
) -> Result<Exit, Error> {
    let object = &which.find(session, run).await?;
    let url = session.client.link(&object.address, valid).await?;
    let expires = Timestamp::now()
        .checked_add(valid)
        .unwrap_or(Timestamp::MAX);
    if out.is_text() {
        out.raw(url.as_bytes())?;
        out.raw(b"\n")?;
        note(format!(
            "until {} whoever has this address can read {}; with a role's credentials it may end earlier",
            views::time(expires),
            object.address
        ));
    } else {
        out.document(&json!({
            "version": VERSION, "object": object, "url": url, "expires": expires,
        }))?;
    }
    Ok(Exit::Done)
}

fn is_of_failures(output: &Output) -> bool {
    output.object.address.key.ends_with(".failed.jsonl")
}

/// What is to be downloaded: all that is named, or one version of one object.
pub async fn wanted(
    session: &Session,
    run: &str,
    files: &[String],
    version: Option<&str>,
) -> Result<Vec<Object>, Error> {
    match (version, files) {
        (Some(_), [] | [_]) => {
            let which = Which::new(files.first().map(String::as_str), version);
            Ok(vec![which.find(session, run).await?])
        }
        (Some(_), _) => Err(Error::usage(
            "a version is one of one object: name only that one",
        )),
        (None, files) => {
            let found = list(session, run).await?;
            let outputs = match files {
                [] => finals(&found, run)?,
                files => {
                    let picked = files.iter().map(|file| pick(&found, file).cloned());
                    picked.collect::<Result<_, _>>()?
                }
            };
            Ok(outputs.into_iter().map(|output| output.object).collect())
        }
    }
}

pub async fn get(
    session: &Session,
    wanted: &[Object],
    to: Option<&Path>,
    global: &Global,
    out: &mut Out,
) -> Result<Exit, Error> {
    refuse_same_names(wanted)?;
    let to = to.unwrap_or(&session.config.download_dir);
    let is_folder = wanted.len() > 1 || to.as_os_str().as_encoded_bytes().ends_with(b"/");
    let folder = if is_folder { Some(to) } else { to.parent() };
    if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            Error::refused(format!("{} cannot be a folder: {error}", folder.display()))
        })?;
    }
    let mut downloaded = Vec::new();
    for object in wanted {
        let meter = Meter::new(global, format!("download {}", object.address.file_name()));
        let got = outputs::download(&session.client, object, to, |progress| meter.show(progress));
        let got = got.await.map_err(elsewhere)?;
        let document = json!({
            "object": object,
            "path": got.path,
            "resumed": got.resumed,
            "began_anew": got.began_anew,
            "verified": got.verified,
        });
        match out.format {
            Format::Text => {
                let (path, size) = (got.path.display(), figures::bytes(object.size));
                out.line(format!("{path}  {size}  {}", got.words()))?;
            }
            Format::Ndjson => out.row(&document)?,
            Format::Json => downloaded.push(document),
        }
    }
    if out.format == Format::Json {
        out.document(&json!({"version": VERSION, "downloaded": downloaded}))?;
    }
    Ok(Exit::Done)
}

/// Two keys may end in one name.
fn refuse_same_names(wanted: &[Object]) -> Result<(), Error> {
    let mut names = BTreeMap::new();
    for object in wanted {
        let address = &object.address;
        let Some(other) = names.insert(outputs::safe_name(&address.key), address) else {
            continue;
        };
        let name = outputs::safe_name(&address.key);
        return Err(
            Error::refused(format!("{other} and {address} would both become {name}"))
                .hint("download each on its own, with --to FILE"),
        );
    }
    Ok(())
}

/// What is in the way stays: another place is what helps.
fn elsewhere(error: operations::Error) -> Error {
    let is_refused = matches!(error, operations::Error::Refused(_));
    let error = Error::from(error);
    match is_refused {
        true => error.hint("--to PATH names another place"),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Object, ObjectAddress, Timestamp};

    fn output(kind: Kind, key: &str) -> Output {
        Output {
            kind,
            object: Object {
                address: ObjectAddress::new("b", key),
                size: 1,
                modified: Timestamp::UNIX_EPOCH,
                etag: String::new(),
            },
            run: None,
        }
    }

    #[test]
    fn two_objects_of_one_name_are_named() {
        let object = |key| output(Kind::Result, key).object;
        assert!(refuse_same_names(&[object("a/x.json"), object("b/y.json")]).is_ok());
        let both = [object("a/x.json"), object("b/x.json. ")];
        let error = refuse_same_names(&both).expect_err("one name");
        assert!(error.text.contains("s3://b/a/x.json") && error.text.ends_with("x.json"));
    }

    #[test]
    fn a_name_picks_one_object_and_the_output_before_the_source() {
        let found = [
            output(Kind::Final, "outputs/r/a.txt"),
            output(Kind::Result, "runs/r/1/FAILED_0.json"),
            output(Kind::Result, "runs/r/2/FAILED_0.json"),
            output(Kind::Source, "inputs/1/a.txt"),
        ];
        let key = |file| pick(&found, file).map(|output| output.object.address.key.as_str());
        assert_eq!(key("a.txt").ok(), Some("outputs/r/a.txt"));
        assert_eq!(key("2/FAILED_0.json").ok(), Some("runs/r/2/FAILED_0.json"));
        assert_eq!(key("s3://b/inputs/1/a.txt").ok(), Some("inputs/1/a.txt"));
        assert!(key("FAILED_0.json").is_err() && key(".txt").is_err() && key("b").is_err());
    }
}
