//! Whether what has come is what the object should be: by its checksum, its ETag, or a sum beside it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::part::Part;
use crate::client::{Algorithm, Checksum, Client};
use crate::model::{Object, ObjectAddress};
use crate::operations::Error;
use crate::operations::outputs::digest::Comparison;
use crate::operations::outputs::{changed, reading};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// Bytes of a neighbour with a checksum that are read.
const NEIGHBOUR: u64 = 4096;

/// Compares what has come with everything that says how it should be. `passed` is the CRC of the
/// bytes that were written.
pub(super) async fn verify(
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
    // It is of the version that is current.
    if address.version.is_some() {
        return Ok(None);
    }
    let beside = ObjectAddress::new(&address.bucket, format!("{}.sha256", address.key));
    let found = match client.head(&beside).await {
        Ok(Some((found, _))) if (1..=NEIGHBOUR).contains(&found.size) => found,
        // Who may not look beside the object may still read it.
        Ok(_) | Err(_) => return Ok(None),
    };
    let text = reading::read(client, &beside, 0..found.size, &found.etag).await?;
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
