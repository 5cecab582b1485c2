//! One object to one file: ranges in parallel, complete or absent, never over something else. What
//! is broken off goes on where it was, and what has come is compared with the object's checksums.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use tokio::sync::mpsc;

use super::changed;
use super::digest;
use super::names::{free_path, safe_name};
use crate::client::{Algorithm, Client};
use crate::model::Object;
use crate::operations::records::JsonLines;
use crate::operations::{Error, Progress};

mod part;
mod verify;
use part::Part;
use verify::verify;

/// Bytes of one request. With this many at once a single download fills most lines.
const RANGE: u64 = 8 << 20;
const AT_ONCE: usize = 4;
/// Pieces of a response that wait for the disk.
const QUEUE: usize = 64;
/// How long a download that was cancelled a moment ago may take to let go of its file.
const LETTING_GO: Duration = Duration::from_secs(1);

/// A file that has come whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Downloaded {
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Bytes that an earlier download had left, and that were not fetched again.
    pub resumed: u64,
    /// What an earlier download had left was of another version of the object: it began anew.
    pub began_anew: bool,
    /// What the file was compared with, such as `crc64nvme`; empty where the object has nothing
    /// that says how its bytes should be.
    pub verified: Vec<String>,
}

impl Downloaded {
    /// How sure one can be of it, and how it came.
    pub fn words(&self) -> String {
        let verified = match self.verified.as_slice() {
            [] => "the object has no checksum to compare with".to_owned(),
            sums => format!("{} ok", sums.join(", ")),
        };
        let came = match (self.began_anew, self.resumed) {
            (true, _) => "; the object had changed since it was begun, so it was fetched anew",
            (false, 0) => "",
            (false, _) => "; went on where it had been broken off",
        };
        verified + came
    }
}

pub async fn download(
    client: &Client,
    object: &Object,
    to: &Path,
    progress: impl Fn(Progress) + Send,
) -> Result<Downloaded, Error> {
    let target = target(object, to)?;
    let address = &object.address;
    let checksum = client.checksum(address, &object.etag).await;
    let checksum = checksum.map_err(|error| changed(address, error))?;
    let wholes = checksum.as_ref().filter(|it| it.parts.is_none());
    let crc = wholes
        .map(|it| it.algorithm)
        .filter(|it| digest::is_crc(*it));
    let crc = crc.unwrap_or(Algorithm::Crc64Nvme);
    let part = open(&target, object, crc).await?;
    let resumed = part.found.iter().map(|range| range.end - range.start).sum();
    let began_anew = part.is_outdated;

    let (pieces, received) = mpsc::channel(QUEUE);
    let missing = missing(object.size, &part.found);
    let writer = {
        let file = part.file.try_clone();
        let file = file.map_err(|error| Error::file(&target, error))?;
        let (list, size) = (part.list(), object.size);
        tokio::task::spawn_blocking(move || write(file, &list, crc, size, received))
    };
    let fetched = fetch(client, object, missing, resumed, &pieces, progress).await;
    drop(pieces);
    let written = writer.await.map_err(|error| Error::file(&target, error))?;
    // A full disk also ends the fetching, and is the better explanation.
    let mut ranges = written?;
    fetched?;
    ranges.extend(&part.found);
    ranges.sort_unstable();

    let pieces = ranges
        .iter()
        .map(|range| (range.crc, range.end - range.start));
    let passed = digest::crc_bytes(crc, digest::crc_of_pieces(crc, pieces));
    let verified = match verify(client, object, checksum, &part, (crc, passed)).await {
        Ok(verified) => verified,
        Err(error @ Error::Malformed { .. }) => {
            part.discard()?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    part.keep(&target)?;
    Ok(Downloaded {
        path: target,
        size: object.size,
        resumed,
        began_anew,
        verified,
    })
}

/// Names that are tried where another download takes them at the same moment.
const RACES: usize = 20;

pub async fn beside(
    client: &Client,
    object: &Object,
    to: &Path,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Downloaded, Error> {
    let mut races = 0;
    loop {
        let (path, is_folder) = settle(object, to)?;
        let done = download(client, object, &path, &progress).await;
        races += 1;
        // Another one of that name began in the same moment, or has just come to its end.
        match done {
            Err(Error::Refused(_)) if is_folder && races < RACES => {}
            done => return done,
        }
    }
}

/// Which file it will be, with its folder made; and whether its name is derived.
fn settle(object: &Object, to: &Path) -> Result<(PathBuf, bool), Error> {
    let make = |folder: &Path| {
        let made = fs::create_dir_all(folder);
        made.map_err(|error| Error::file(folder, format!("cannot be a folder: {error}")))
    };
    if !is_folder(to) && !to.is_dir() {
        if let Some(parent) = to.parent().filter(|it| !it.as_os_str().is_empty()) {
            make(parent)?;
        }
        return Ok((to.to_owned(), false));
    }
    make(to)?;
    let address = &object.address;
    let is_free = |path: &Path| !part::is_of_another(path, address);
    match free_path(to, &address.key, is_free) {
        Some(path) => Ok((path, true)),
        None => Err(Error::file(
            to,
            "has too many files of that name: move some away",
        )),
    }
}

fn is_folder(path: &Path) -> bool {
    let path = path.as_os_str().to_string_lossy();
    path.ends_with(std::path::is_separator)
}

/// Opens the temporary neighbour; reads what is in it, which may be much, on a thread for that.
async fn open(target: &Path, object: &Object, crc: Algorithm) -> Result<Part, Error> {
    let until = tokio::time::Instant::now() + LETTING_GO;
    loop {
        let (path, wanted) = (target.to_owned(), object.clone());
        let opened = tokio::task::spawn_blocking(move || Part::open(&path, &wanted, crc)).await;
        match opened.map_err(|error| Error::file(target, error))? {
            Err(Error::Refused(_)) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(LETTING_GO / 10).await;
            }
            opened => return opened,
        }
    }
}

/// The file that will be made.
fn target(object: &Object, to: &Path) -> Result<PathBuf, Error> {
    let target = match to.is_dir() {
        true => to.join(safe_name(&object.address.key)),
        false if is_folder(to) => return Err(Error::file(to, "no such folder")),
        false => to.to_owned(),
    };
    // Without following: a link that leads nowhere is something, too.
    match fs::symlink_metadata(&target) {
        Ok(_) => Err(exists(&target)),
        Err(_) => Ok(target),
    }
}

fn exists(target: &Path) -> Error {
    Error::Refused(format!(
        "{} exists already and is not overwritten",
        target.display()
    ))
}

/// A piece of the object and where it belongs.
type Piece = (u64, Bytes);

/// Writes pieces as they come and notes each range that is whole.
fn write(
    mut file: File,
    list: &JsonLines,
    crc: Algorithm,
    size: u64,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<Vec<part::Range>, Error> {
    let fail = |error: io::Error| Error::file(list.path(), error);
    let mut position = None;
    let mut begun = HashMap::new();
    let mut whole = Vec::new();
    while let Some((offset, bytes)) = pieces.blocking_recv() {
        if position != Some(offset) {
            file.seek(SeekFrom::Start(offset)).map_err(fail)?;
        }
        file.write_all(&bytes).map_err(fail)?;
        let next = offset + bytes.len() as u64;
        position = Some(next);
        // Pieces of one range come in their order.
        let start = offset - offset % RANGE;
        let sum = begun.entry(start).or_insert_with(|| digest::crc(crc));
        sum.update(&bytes);
        let end = size.min(start + RANGE);
        if next == end {
            let range = part::Range {
                start,
                end,
                crc: sum.finalize(),
            };
            begun.remove(&start);
            Part::note(list, range)?;
            whole.push(range);
        }
    }
    Ok(whole)
}

async fn fetch(
    client: &Client,
    object: &Object,
    missing: Vec<Range<u64>>,
    mut done: u64,
    pieces: &mpsc::Sender<Piece>,
    progress: impl Fn(Progress) + Send,
) -> Result<(), Error> {
    let total = object.size;
    progress(Progress { done, total });
    let mut arriving = stream::iter(missing)
        .map(|range| Box::pin(fetch_range(client, object, range)))
        .flatten_unordered(AT_ONCE);
    while let Some(piece) = arriving.next().await {
        let (offset, bytes) = piece?;
        done += bytes.len() as u64;
        if pieces.send((offset, bytes)).await.is_err() {
            // The writer has given up and says why.
            return Ok(());
        }
        progress(Progress { done, total });
    }
    Ok(())
}

fn ranges(size: u64) -> impl Iterator<Item = Range<u64>> {
    let starts = (0..size).step_by(RANGE as usize);
    starts.map(move |start| start..size.min(start.saturating_add(RANGE)))
}

/// The ranges that are not there yet.
fn missing(size: u64, found: &[part::Range]) -> Vec<Range<u64>> {
    let mut found = found.iter().peekable();
    ranges(size)
        .filter(|range| found.next_if(|it| it.start == range.start).is_none())
        .collect()
}

/// The pieces of one range; ends with an error when they are fewer or more bytes than asked for.
fn fetch_range<'a>(
    client: &'a Client,
    object: &'a Object,
    range: Range<u64>,
) -> impl Stream<Item = Result<Piece, Error>> + 'a {
    let address = &object.address;
    let end = range.end;
    let opened = async move {
        let body = client
            .read(address, Some(range.clone()), Some(&object.etag))
            .await
            .map_err(|error| changed(address, error))?;
        let bytes = body.bytes.map_err(Error::from).map(Some);
        // The `None` behind the last piece is where the length is checked.
        Ok::<_, Error>(
            bytes
                .chain(stream::iter([None]))
                .scan(range.start, move |offset, item| {
                    let piece = match item {
                        Some(Err(error)) => Some(Err(error)),
                        Some(Ok(bytes)) if end < *offset + bytes.len() as u64 => Some(Err(
                            Error::malformed(address, "sends more than was asked for"),
                        )),
                        Some(Ok(bytes)) => {
                            let at = *offset;
                            *offset += bytes.len() as u64;
                            Some(Ok((at, bytes)))
                        }
                        None if *offset < end => Some(Err(Error::malformed(
                            address,
                            format!("ended early, at byte {offset}"),
                        ))),
                        None => None,
                    };
                    futures::future::ready(piece)
                }),
        )
    };
    stream::once(opened).try_flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ObjectAddress, Timestamp};

    fn object(key: &str) -> Object {
        Object {
            address: ObjectAddress::new("b", key),
            size: 1,
            modified: Timestamp::UNIX_EPOCH,
            etag: "\"e\"".to_owned(),
        }
    }

    #[test]
    fn ranges_cover_every_byte_once() {
        for size in [0, 1, RANGE - 1, RANGE, RANGE + 1, 3 * RANGE + 7] {
            let mut next = 0;
            for range in ranges(size) {
                assert_eq!(range.start, next);
                assert!(range.end - range.start <= RANGE);
                next = range.end;
            }
            assert_eq!(next, size);
        }
    }

    #[test]
    fn only_what_is_missing_is_fetched() {
        let found = |numbers: &[u64]| -> Vec<part::Range> {
            let ranges = numbers.iter().map(|number| part::Range {
                start: number * RANGE,
                end: (number + 1) * RANGE,
                crc: 0,
            });
            ranges.collect()
        };
        let starts = |numbers: &[u64]| -> Vec<u64> {
            let missing = missing(4 * RANGE, &found(numbers));
            missing.iter().map(|it| it.start / RANGE).collect()
        };
        assert_eq!(starts(&[]), [0, 1, 2, 3]);
        assert_eq!(starts(&[0, 2]), [1, 3]);
        assert!(starts(&[0, 1, 2, 3]).is_empty());
    }

    #[test]
    fn nothing_is_written_outside_the_folder_or_over_something() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = target(&object("../../x.txt"), folder.path()).expect("free");
        assert_eq!(inside, folder.path().join("x.txt"));
        fs::write(&inside, "mine").expect("a file");
        let refused = target(&object("x.txt"), folder.path()).expect_err("taken");
        assert!(matches!(refused, Error::Refused(_)), "{refused}");
        let nowhere = folder.path().join("none/");
        assert!(target(&object("x"), &nowhere).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_the_file_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("x.txt");
        std::os::unix::fs::symlink("/nonexistent/elsewhere", &link).expect("a link");
        assert!(target(&object("x.txt"), folder.path()).is_err());
    }
}
