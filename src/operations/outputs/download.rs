//! One object to one file: ranges in parallel, complete or absent, never over something else. What
//! is broken off goes on where it was, and what has come is compared with the object's checksums.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::digest::{self, Comparison};
use super::{changed, safe_name};
use crate::client::{Algorithm, Checksum, Client};
use crate::model::{Object, ObjectAddress};
use crate::operations::records::JsonLines;
use crate::operations::{Error, Progress};

mod part;
use part::Part;

/// Bytes of one request. With this many at once a single download fills most lines.
const RANGE: u64 = 8 << 20;
const AT_ONCE: usize = 4;
/// Pieces of a response that wait for the disk.
const QUEUE: usize = 64;
/// Bytes read at once while comparing.
const CHUNK: usize = 1 << 20;
/// Bytes of a neighbour with a checksum that are read.
const NEIGHBOUR: u64 = 4096;
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
    let wants_folder = to
        .as_os_str()
        .to_string_lossy()
        .ends_with(std::path::is_separator);
    let target = match to.is_dir() {
        true => to.join(safe_name(&object.address.key)),
        false if wants_folder => return Err(Error::file(to, "no such folder")),
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
        "{} exists already and is not overwritten: give another path with --to",
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

/// Compares what has come with everything that says how it should be. `passed` is the CRC of the
/// bytes that were written.
async fn verify(
    client: &Client,
    object: &Object,
    checksum: Option<Checksum>,
    part: &Part,
    passed: (Algorithm, Vec<u8>),
) -> Result<Vec<String>, Error> {
    let address = &object.address;
    let mut verified = Vec::new();
    let mut unread = Vec::new();
    if let Some(checksum) = checksum {
        let name = checksum.algorithm.name().to_owned();
        if checksum.parts.is_none() && checksum.algorithm == passed.0 {
            if checksum.value != passed.1 {
                return Err(damaged(address, &name));
            }
            verified.push(name);
        } else if let Some(size) = part_size(client, object, &checksum).await? {
            unread.push((name, Comparison::new(checksum, size)));
        }
    }
    if let Some((name, checksum)) = neighbour(client, address).await? {
        unread.push((name, Comparison::new(checksum, object.size)));
    }
    if unread.is_empty() {
        return Ok(verified);
    }
    let fail = |error: io::Error| Error::file(Path::new(address.file_name()), error);
    let file = part.file.try_clone().map_err(fail)?;
    let given_up = CancellationToken::new();
    let _guard = given_up.clone().drop_guard();
    let compared = tokio::task::spawn_blocking(move || compare(file, unread, &given_up));
    let compared = compared
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    for (name, holds) in compared.map_err(fail)? {
        match holds {
            true => verified.push(name),
            false => return Err(damaged(address, &name)),
        }
    }
    Ok(verified)
}

fn damaged(address: &ObjectAddress, sum: &str) -> Error {
    let problem = format!(
        "what came is not what the object should be: {sum} differs. Nothing was kept, download it again"
    );
    Error::malformed(address, problem)
}

/// The size of every part but the last; `None` when they cannot all have the same one.
async fn part_size(
    client: &Client,
    object: &Object,
    checksum: &Checksum,
) -> Result<Option<u64>, Error> {
    let Some(parts) = checksum.parts else {
        return Ok(Some(object.size));
    };
    let first = client.first_part(&object.address, &object.etag).await;
    let first = first.map_err(|error| changed(&object.address, error))?;
    let is_even = first > 0 && object.size.div_ceil(first) == u64::from(parts.get());
    Ok(is_even.then_some(first))
}

/// The checksum in a neighbour whose name ends in `.sha256`, as `sha256sum` writes it.
async fn neighbour(
    client: &Client,
    address: &ObjectAddress,
) -> Result<Option<(String, Checksum)>, Error> {
    let beside = ObjectAddress::new(&address.bucket, format!("{}.sha256", address.key));
    let found = match client.head(&beside).await {
        Ok(Some((found, _))) if (1..=NEIGHBOUR).contains(&found.size) => found,
        // Who may not look beside the object may still read it.
        Ok(_) | Err(_) => return Ok(None),
    };
    let text = super::reading::read(client, &beside, 0..found.size, &found.etag).await?;
    let Some(value) = sha256_of(&String::from_utf8_lossy(&text)) else {
        return Ok(None);
    };
    let checksum = Checksum {
        algorithm: Algorithm::Sha256,
        value,
        parts: None,
    };
    Ok(Some((
        format!("sha256 of {}", beside.file_name()),
        checksum,
    )))
}

/// The first 64 hexadecimal digits that stand alone.
fn sha256_of(text: &str) -> Option<Vec<u8>> {
    let is_sum = |word: &&str| word.len() == 64 && word.bytes().all(|it| it.is_ascii_hexdigit());
    let word = text.split_whitespace().find(is_sum)?;
    let pairs = (0..word.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&word[at..at + 2], 16).ok())
        .collect()
}

type Compared = Vec<(String, bool)>;

fn compare(
    mut file: File,
    mut sums: Vec<(String, Comparison)>,
    given_up: &CancellationToken,
) -> io::Result<Compared> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        if given_up.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        for (_, sum) in &mut sums {
            sum.update(&buffer[..read]);
        }
    }
    Ok(sums
        .into_iter()
        .map(|(name, sum)| (name, sum.holds()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

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

    #[test]
    fn a_sum_is_found_as_sha256sum_writes_it() {
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for text in [
            sum.to_owned(),
            format!("{sum}  output.csv\n"),
            format!("SHA256 (output.csv) = {}\n", sum.to_uppercase()),
        ] {
            let found = sha256_of(&text).expect("a sum");
            assert_eq!((found.len(), found[0]), (32, 0xe3));
        }
        for text in ["", "no sum", &sum[1..], &format!("{sum}0")] {
            assert_eq!(sha256_of(text), None);
        }
    }
}
