//! A local file into an object. One that goes up in parts is noted in the state folder, so that
//! after a kill, a lost network or a closed laptop it goes on where it was.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::client::{Client, ErrorKind, ObjectWriter};
use crate::model::{ObjectAddress, Timestamp};
use crate::operations::{Error, Progress, hex, ledger};

/// Bytes read and sent at once.
const CHUNK: usize = 1 << 20;
/// User metadata of an uploaded object: SHA-256 of its bytes, hexadecimal.
const SHA256: &str = "sha256";
/// Folder of notes, in that of what outlives the process.
const FOLDER: &str = "uploads";
/// Bytes of a note, and notes looked at.
const LIMIT: u64 = 64 << 10;
const MOST: usize = 1_000;
/// Seconds after which nobody is thought to go on with an upload.
const ABANDONED: i64 = 7 * 86_400;

/// A file that is to become an object.
pub(super) struct Upload<'a> {
    pub path: &'a Path,
    pub address: &'a ObjectAddress,
    pub size: u64,
    /// Of its bytes, hexadecimal: what is uploaded must still have it.
    pub sha256: &'a str,
}

/// Whether the object is there already, with these very bytes.
pub(super) async fn is_there(
    client: &Client,
    address: &ObjectAddress,
    size: u64,
    sha256: &str,
) -> Result<bool, Error> {
    let found = client.head(address).await?;
    Ok(found.is_some_and(|(object, metadata)| {
        object.size == size && metadata.get(SHA256).is_some_and(|known| known == sha256)
    }))
}

impl Upload<'_> {
    /// Returns how many bytes an earlier try had sent already.
    ///
    /// # Errors
    /// `File` when the file is no longer the one that was planned: nothing is kept then.
    pub async fn send(
        &self,
        client: &Client,
        state: Option<&Path>,
        progress: impl Fn(Progress) + Send,
    ) -> Result<u64, Error> {
        let fail = |error: std::io::Error| Error::file(self.path, error);
        let mut file = tokio::fs::File::open(self.path).await.map_err(fail)?;
        let mut note = self.note(client, state).await;
        let metadata = BTreeMap::from([(SHA256.to_owned(), self.sha256.to_owned())]);
        let mut writer = match &mut note {
            Some(note) => note.writer(client, self, metadata).await?,
            None => client.write(self.address, metadata).await?,
        };
        let mut hash = Sha256::new();
        let mut done = 0;
        let mut buffer = vec![0; CHUNK];
        // One byte more than planned is enough to know that the file has changed.
        while done <= self.size {
            let read = match file.read(&mut buffer).await.map_err(fail)? {
                0 => break,
                read => read,
            };
            hash.update(&buffer[..read]);
            writer.write(&buffer[..read]).await?;
            done += read as u64;
            progress(Progress {
                done,
                total: self.size,
            });
        }
        let resumed = writer.resumed();
        if done != self.size || hex(&hash.finalize()) != self.sha256 {
            writer.abort().await;
            note.map_or(Ok(()), Note::remove)?;
            return Err(Error::file(
                self.path,
                "changed while it was uploaded, nothing was started: start it again",
            ));
        }
        writer.finish().await?;
        note.map_or(Ok(()), Note::remove)?;
        Ok(resumed)
    }

    /// The note of this upload, unless it is too small to need one, or cannot have one.
    async fn note(&self, client: &Client, state: Option<&Path>) -> Option<Note> {
        let folder = state?.join(FOLDER);
        if self.size <= ObjectWriter::ONE_REQUEST {
            return None;
        }
        let target = ledger::target(client);
        let note = Note::open(&folder, &target, self.address);
        if let Err(error) = &note {
            tracing::warn!(%error, "the upload is not noted: after a kill it begins anew");
        }
        self.clear_away(client, &folder, &target).await;
        note.ok().flatten()
    }

    /// Gives up what nobody goes on with: uploads of what this file was before, and old ones.
    async fn clear_away(&self, client: &Client, folder: &Path, target: &str) {
        let mut notes = notes(folder);
        notes.retain(|note| note.noted.as_ref().is_some_and(|it| it.target == target));
        for note in notes {
            let Some(noted) = &note.noted else { continue };
            let is_changed = noted.path == absolute(self.path) && noted.sha256 != self.sha256;
            let age = Timestamp::now().as_second() - noted.begun.as_second();
            if !is_changed && age < ABANDONED {
                continue;
            }
            let given_up = client.abandon_upload(&noted.address, &noted.id).await;
            let cleared = match given_up {
                Ok(()) => note.remove(),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = cleared {
                tracing::warn!(%error, "an upload that nobody goes on with stays");
            }
        }
    }
}

/// What is written of an upload under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Noted {
    /// Label and Region of the connection.
    target: String,
    address: ObjectAddress,
    /// What the service calls the upload.
    id: String,
    path: PathBuf,
    sha256: String,
    begun: Timestamp,
}

/// The note of one upload, locked: no other process goes on with it meanwhile.
struct Note {
    path: PathBuf,
    file: File,
    target: String,
    /// What an earlier process has written.
    noted: Option<Noted>,
}

impl Note {
    /// `None` while another process uploads the same.
    fn open(folder: &Path, target: &str, address: &ObjectAddress) -> Result<Option<Self>, Error> {
        let name = hex(&Sha256::digest(format!("{target} {address}"))[..16]);
        let path = folder.join(format!("{name}.json"));
        fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path);
        let file = file.map_err(|error| Error::file(&path, error))?;
        Ok(Self::locked(path, file, target))
    }

    fn locked(path: PathBuf, mut file: File, target: &str) -> Option<Self> {
        // Where locks do not work, two of the same upload send parts twice, and no more.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return None;
        }
        let mut text = String::new();
        let read = (&mut file).take(LIMIT).read_to_string(&mut text);
        // One that was killed while it was written is none.
        let noted = read.ok().and_then(|_| serde_json::from_str(&text).ok());
        Some(Self {
            path,
            file,
            target: target.to_owned(),
            noted,
        })
    }

    /// Goes on with what is noted, where the service still knows it; else begins anew.
    async fn writer(
        &mut self,
        client: &Client,
        upload: &Upload<'_>,
        metadata: BTreeMap<String, String>,
    ) -> Result<ObjectWriter, Error> {
        let known = self.noted.take();
        let known = known.filter(|it| it.sha256 == upload.sha256 && it.address == *upload.address);
        if let Some(known) = known {
            match client.go_on(upload.address, &known.id).await {
                Ok(Some(writer)) => return Ok(writer),
                Ok(None) => {}
                // Who may not ask what has arrived sends all of it again.
                Err(error) if matches!(error.kind, ErrorKind::Permission(_)) => {
                    tracing::warn!(%error, "the upload begins anew");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let writer = client.begin_upload(upload.address, metadata).await?;
        self.write(&Noted {
            target: self.target.clone(),
            address: upload.address.clone(),
            id: writer.upload_id().unwrap_or_default().to_owned(),
            path: absolute(upload.path),
            sha256: upload.sha256.to_owned(),
            begun: Timestamp::now(),
        })?;
        Ok(writer)
    }

    /// On disk before the first part is sent.
    fn write(&mut self, noted: &Noted) -> Result<(), Error> {
        let written = (|| {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(&serde_json::to_vec(noted)?)?;
            self.file.sync_data()
        })();
        written.map_err(|error| Error::file(&self.path, error))
    }

    fn remove(self) -> Result<(), Error> {
        fs::remove_file(&self.path).map_err(|error| Error::file(&self.path, error))
    }
}

/// The same path wherever one is.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Notes of which no process has hold.
fn notes(folder: &Path) -> Vec<Note> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(MOST);
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let notes = paths.filter_map(|path| {
        let file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
        Note::locked(path, file, "")
    });
    notes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_of_one_process_at_a_time_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = ObjectAddress::new("b", "k");
        let open = || Note::open(folder.path(), "prod eu-west-1", &address).expect("a disk");
        let mut first = open().expect("free");
        assert!(open().is_none() && notes(folder.path()).is_empty());
        let noted = Noted {
            target: "prod eu-west-1".to_owned(),
            address: address.clone(),
            id: "u1".to_owned(),
            path: "a.txt".into(),
            sha256: "00".to_owned(),
            begun: Timestamp::UNIX_EPOCH,
        };
        first.write(&noted).expect("a disk");
        let path = first.path.clone();
        drop(first);
        let again = open().expect("free again");
        assert_eq!(again.noted, Some(noted));
        drop(again);
        let text = fs::read_to_string(&path).expect("a note");
        fs::write(&path, &text[..text.len() / 2]).expect("a disk");
        let torn = open().expect("free again");
        assert_eq!(torn.noted, None);
        torn.remove().expect("a disk");
        assert!(!path.exists());
    }
}
