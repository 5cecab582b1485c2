//! One object to one file: ranges in parallel, complete or absent, never over something else.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::{changed, safe_name};
use crate::client::Client;
use crate::model::Object;
use crate::operations::{Error, Progress};

/// Bytes of one request. With this many at once a single download fills most lines.
const RANGE: u64 = 8 << 20;
const AT_ONCE: usize = 4;
/// Pieces of a response that wait for the disk.
const QUEUE: usize = 64;

pub async fn download(
    client: &Client,
    object: &Object,
    to: &Path,
    progress: impl Fn(Progress) + Send,
) -> Result<PathBuf, Error> {
    let target = target(object, to)?;
    let part = Part::create(&target)?;
    let (pieces, received) = mpsc::channel(QUEUE);
    let writer = {
        let file = part
            .file
            .try_clone()
            .map_err(|error| Error::file(&part.path, error))?;
        tokio::task::spawn_blocking(move || write(file, received))
    };
    let fetched = fetch(client, object, &pieces, progress).await;
    drop(pieces);
    let written = writer
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    // A full disk also ends the fetching, and is the better explanation.
    written.map_err(|error| Error::file(&target, error))?;
    fetched?;
    part.keep(&target)?;
    Ok(target)
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

/// The temporary neighbour. Dropping it deletes the file.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn create(target: &Path) -> Result<Self, Error> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.part"));
        Self::remove_leftover(&path)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| Error::file(&path, error))?;
        // Marks the file as in use; where locks do not work, nothing is lost but that.
        let _ = file.try_lock();
        Ok(Self { path, file })
    }

    /// A download that was killed leaves its file behind, unlocked.
    fn remove_leftover(path: &Path) -> Result<(), Error> {
        match fs::symlink_metadata(path) {
            Err(_) => return Ok(()),
            Ok(found) if !found.is_file() => {
                return Err(Error::file(path, "is in the way: remove it"));
            }
            Ok(_) => {}
        }
        let fail = |error: io::Error| Error::file(path, error);
        let leftover = OpenOptions::new().write(true).open(path).map_err(fail)?;
        match leftover.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::Refused(format!(
                "{} is being written by another download",
                path.display()
            ))),
            Ok(()) | Err(TryLockError::Error(_)) => fs::remove_file(path).map_err(fail),
        }
    }

    /// Gives the file its final name, unless something has it by now.
    fn keep(self, target: &Path) -> Result<(), Error> {
        let fail = |error: io::Error| Error::file(target, error);
        self.file.sync_all().map_err(fail)?;
        // Linking refuses to replace, renaming does not.
        match fs::hard_link(&self.path, target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(exists(target));
            }
            // A file system without hard links: claim the name first.
            Err(_) => {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(target)
                    .map_err(|_| exists(target))?;
                fs::rename(&self.path, target).map_err(fail)?;
            }
        }
        let folder = target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        // Some systems cannot sync a folder; the file itself is safe already.
        if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already when it was renamed.
        let _ = fs::remove_file(&self.path);
    }
}

/// A piece of the object and where it belongs.
type Piece = (u64, Bytes);

fn write(mut file: File, mut pieces: mpsc::Receiver<Piece>) -> io::Result<()> {
    let mut position = 0;
    while let Some((offset, bytes)) = pieces.blocking_recv() {
        if position != offset {
            file.seek(SeekFrom::Start(offset))?;
        }
        file.write_all(&bytes)?;
        position = offset + bytes.len() as u64;
    }
    Ok(())
}

async fn fetch(
    client: &Client,
    object: &Object,
    pieces: &mpsc::Sender<Piece>,
    progress: impl Fn(Progress) + Send,
) -> Result<(), Error> {
    let total = object.size;
    let mut done = 0;
    progress(Progress { done, total });
    let mut arriving = stream::iter(ranges(total))
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
    starts.map(move |start| start..size.min(start + RANGE))
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
        let part = folder.path().join(".y.txt.part");
        std::os::unix::fs::symlink("/nonexistent/elsewhere", &part).expect("a link");
        assert!(Part::create(&folder.path().join("y.txt")).is_err());
    }

    #[test]
    fn a_part_becomes_the_file_or_vanishes() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a");
        let part_path = folder.path().join(".a.part");
        fs::write(&part_path, "left over").expect("a file");
        let mut part = Part::create(&target).expect("the leftover is replaced");
        assert!(Part::create(&target).is_err(), "one download at a time");
        part.file.write_all(b"done").expect("a disk");
        part.keep(&target).expect("free");
        assert_eq!(fs::read(&target).expect("kept"), b"done");
        assert!(!part_path.exists());
        let part = Part::create(&target).expect("a part");
        assert!(matches!(part.keep(&target), Err(Error::Refused(_))));
        assert_eq!(fs::read(&target).expect("untouched"), b"done");
        assert!(!part_path.exists());
    }
}
