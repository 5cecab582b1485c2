//! Sessions on disk, a file a target: whole or not at all.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::tui::session::Session;

/// A larger file is none of ours, in bytes.
const LARGEST: u64 = 1 << 20;

/// The file of a target in the sessions' folder. Names are cut to what every file system takes; a
/// checksum tells those apart that then look the same.
pub fn path(folder: &Path, label: &str, region: &str) -> PathBuf {
    let target = format!("{label}/{region}");
    let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_');
    let name: String = target
        .chars()
        .take(80)
        .map(|it| if plain(it) { it } else { '_' })
        .collect();
    let sum = crc32fast::hash(target.as_bytes());
    folder.join(format!("{name}-{sum:08x}.json"))
}

/// The session, where there is one. A damaged file is put aside, and the error says where.
///
/// # Errors
/// A sentence for the message line.
pub fn read(path: &Path) -> Result<Option<Session>, String> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let mut text = Vec::new();
    let read = file.take(LARGEST).read_to_end(&mut text);
    if let Ok(session) = serde_json::from_slice(&text) {
        return Ok(Some(session));
    }
    let aside = path.with_extension("damaged");
    let kept = read.and_then(|_| fs::rename(path, &aside));
    Err(match kept {
        Ok(()) => format!(
            "what was remembered of the last visit is damaged, it is kept as {}",
            aside.display()
        ),
        Err(error) => format!("{} is damaged: {error}", path.display()),
    })
}

/// Replaces the file as a whole.
pub fn write(path: &Path, session: &Session) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Made for its owner only, as temporary files are.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec(session)?)?;
    file.flush()?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_back_and_a_damaged_one_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder.path().join("sessions"), "prod/../x", "eu-west-1");
        assert_eq!(path.parent().unwrap(), folder.path().join("sessions"));
        assert_eq!(read(&path), Ok(None));
        let session = Session {
            machine: Some("m".to_owned()),
            ..Session::default()
        };
        write(&path, &session).unwrap();
        write(&path, &session).unwrap();
        assert_eq!(read(&path), Ok(Some(session)));
        fs::write(&path, "{\"machine\": ").unwrap();
        assert!(read(&path).unwrap_err().contains("damaged"));
        assert_eq!(read(&path), Ok(None));
        assert!(path.with_extension("damaged").exists());
    }

    #[test]
    fn targets_that_look_the_same_have_files_of_their_own() {
        let folder = Path::new("s");
        assert_ne!(path(folder, "a b", "r"), path(folder, "a_b", "r"));
    }
}
