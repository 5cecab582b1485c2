//! Objects as plain text: who may read them, how long they may be, what they are compressed with.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use super::Stop;
use crate::engine::ACCOUNT;
use crate::engine::objects::{Objects, ObjectsError};

/// Bytes read from the disk at once.
const WINDOW: usize = 256 << 10;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// The storage as one reader may use it.
#[derive(Clone, Copy)]
pub(super) struct Store<'s> {
    pub objects: &'s Objects,
    /// `ExpectedBucketOwner`.
    pub owner: Option<&'s str>,
    /// Longest object, in bytes.
    pub most: u64,
}

impl Store<'_> {
    /// Buckets here belong to one account; whoever expects another may not read them.
    pub fn check_owner(&self) -> Result<(), Stop> {
        match self.owner {
            None | Some(ACCOUNT) => Ok(()),
            Some(_) => Err(Stop::reader(
                "Access Denied (Service: S3, Status Code: 403)",
            )),
        }
    }

    /// The object's text: decompressed, without a byte order mark.
    pub fn open(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Box<dyn BufRead>, Stop> {
        self.check_owner()?;
        // Buckets here have no versions: what is there is what S3 calls the null version.
        if version.is_some_and(|version| version != "null") {
            return Err(Stop::reader(
                "The specified version does not exist. (Service: S3, Status Code: 404)",
            ));
        }
        let (info, body) = self.objects.read(bucket, key).map_err(Stop::from)?;
        if info.size > self.most {
            return Err(Stop::reader(format!(
                "The object is {} bytes long: {} are allowed",
                info.size, self.most
            )));
        }
        plain(Box::new(BufReader::with_capacity(WINDOW, body))).map_err(unreadable)
    }
}

impl From<ObjectsError> for Stop {
    fn from(error: ObjectsError) -> Self {
        match error {
            ObjectsError::NoSuchBucket(_) => {
                Self::reader("The specified bucket does not exist (Service: S3, Status Code: 404)")
            }
            ObjectsError::NoSuchKey(_) => {
                Self::reader("The specified key does not exist. (Service: S3, Status Code: 404)")
            }
            other => Self::reader(other.to_string()),
        }
    }
}

pub(super) fn unreadable(error: io::Error) -> Stop {
    Stop::reader(format!("the object cannot be read: {error}"))
}

/// Compression is told by the first bytes: neither JSON nor CSV begins like that.
fn plain(body: Box<dyn BufRead>) -> io::Result<Box<dyn BufRead>> {
    let (head, body) = peek::<4>(body)?;
    let body: Box<dyn BufRead> = if head.starts_with(GZIP) {
        let decoder = flate2::bufread::MultiGzDecoder::new(body);
        Box::new(BufReader::with_capacity(WINDOW, decoder))
    } else if head.starts_with(ZSTD) {
        let decoder = zstd::stream::read::Decoder::with_buffer(body)?;
        Box::new(BufReader::with_capacity(WINDOW, decoder))
    } else {
        body
    };
    let (head, mut body) = peek::<3>(body)?;
    if head == BYTE_ORDER_MARK {
        io::copy(&mut (&mut body).take(3), &mut io::sink())?;
    }
    Ok(body)
}

/// The first bytes, fewer where there are no more, and all of the body.
fn peek<const N: usize>(mut body: Box<dyn BufRead>) -> io::Result<(Vec<u8>, Box<dyn BufRead>)> {
    let mut head = Vec::with_capacity(N);
    (&mut body).take(N as u64).read_to_end(&mut head)?;
    let whole = Cursor::new(head.clone()).chain(body);
    Ok((head, Box::new(whole)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        let mut text = String::new();
        let mut body = plain(Box::new(Cursor::new(bytes))).unwrap();
        body.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn compression_and_byte_order_mark_are_taken_off() {
        let marked = "\u{feff}hello";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(marked.as_bytes()).unwrap();
        let mut gzip = gzip.finish().unwrap();
        // Two members, as `cat a.gz b.gz` makes them.
        gzip.extend_from_slice(&gzip.clone());
        let zstd = zstd::encode_all(marked.as_bytes(), 0).unwrap();
        assert_eq!(text(marked.into()), "hello");
        assert_eq!(text(gzip), "hello\u{feff}hello");
        assert_eq!(text(zstd), "hello");
        assert_eq!(text(b"ab".to_vec()), "ab");
        assert_eq!(text(Vec::new()), "");
    }

    #[test]
    fn a_torn_gzip_file_is_an_error() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&[b'x'; 100]).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut body = plain(Box::new(Cursor::new(gzip[..12].to_vec())));
        let read = body.as_mut().map(|body| body.read_to_end(&mut Vec::new()));
        assert!(!matches!(read, Ok(Ok(_))));
    }
}
