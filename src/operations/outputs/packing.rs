//! Objects that are compressed, read as what is in them.

use std::io::{self, Write as _};

use flate2::write::MultiGzDecoder;
use serde::Serialize;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What an object is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// By an object's first bytes.
    pub fn of(start: &[u8]) -> Option<Self> {
        match start {
            _ if start.starts_with(GZIP) => Some(Self::Gzip),
            _ if start.starts_with(ZSTD) => Some(Self::Zstd),
            _ => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Unpacks bytes as they come; what was never packed passes through.
pub enum Unpacker {
    Plain(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
}

impl Unpacker {
    pub fn new(packing: Option<Packing>) -> io::Result<Self> {
        Ok(match packing {
            None => Self::Plain(Vec::new()),
            Some(Packing::Gzip) => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Some(Packing::Zstd) => {
                let decoder = zstd::stream::write::Decoder::new(Vec::new())?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    /// Takes in the next bytes; returns what they became. Few bytes may become many: callers hand
    /// over little at a time.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(out) => {
                out.extend_from_slice(bytes);
                Ok(std::mem::take(out))
            }
            Self::Gzip(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Self::Zstd(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }

    /// Says that these were all bytes; returns what had been held back.
    ///
    /// # Errors
    /// `UnexpectedEof` for what is cut off.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(decoder) => decoder.finish(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(packing: Option<Packing>, bytes: &[u8]) -> Vec<u8> {
        match packing {
            None => bytes.to_vec(),
            Some(Packing::Gzip) => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).expect("memory");
                encoder.finish().expect("memory")
            }
            Some(Packing::Zstd) => zstd::stream::encode_all(bytes, 1).expect("memory"),
        }
    }

    proptest! {
        #[test]
        fn however_it_is_packed_and_cut_it_comes_out(
            bytes in prop::collection::vec(any::<u8>(), 0..4000), step in 1_usize..500,
        ) {
            for packing in [None, Some(Packing::Gzip), Some(Packing::Zstd)] {
                let all = packed(packing, &bytes);
                if packing.is_some() {
                    prop_assert_eq!(Packing::of(&all), packing);
                }
                let mut unpacker = Unpacker::new(packing).expect("memory");
                let mut out = Vec::new();
                for chunk in all.chunks(step) {
                    out.extend(unpacker.push(chunk).expect("unharmed"));
                }
                out.extend(unpacker.finish().expect("all of it"));
                prop_assert_eq!(&out, &bytes);
            }
        }

        #[test]
        fn what_is_cut_off_is_an_error(
            bytes in prop::collection::vec(any::<u8>(), 1..4000), cut in 1_usize..8,
        ) {
            for packing in [Packing::Gzip, Packing::Zstd] {
                let all = packed(Some(packing), &bytes);
                let mut unpacker = Unpacker::new(Some(packing)).expect("memory");
                let cut = all.len() - cut.min(all.len() - 4);
                let out = unpacker.push(&all[..cut]).expect("unharmed so far");
                prop_assert!(bytes.starts_with(&out), "nothing is invented");
                prop_assert!(unpacker.finish().is_err(), "{packing:?}");
            }
        }

        #[test]
        fn damaged_bytes_are_an_error_or_something_but_no_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            for packing in [Packing::Gzip, Packing::Zstd] {
                if let Ok(mut unpacker) = Unpacker::new(Some(packing)) {
                    let _ = unpacker.push(&bytes);
                }
            }
        }
    }
}
