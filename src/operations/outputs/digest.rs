//! Checksums of bytes as they pass, as S3 computes them.

use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::Sha256;

use crate::client::{Algorithm, Checksum};

/// A checksum under way.
pub enum Digest {
    Crc(Algorithm, crc_fast::Digest),
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Digest {
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Md5 => Self::Md5(Md5::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            crc => Self::Crc(crc, crc_fast::Digest::new(polynomial(crc))),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(_, digest) => digest.update(bytes),
            Self::Md5(digest) => digest.update(bytes),
            Self::Sha1(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
        }
    }

    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(algorithm, digest) => crc_bytes(algorithm, digest.finalize()),
            Self::Md5(digest) => digest.finalize().to_vec(),
            Self::Sha1(digest) => digest.finalize().to_vec(),
            Self::Sha256(digest) => digest.finalize().to_vec(),
        }
    }
}

/// Whether checksums of pieces can be put together to that of the whole.
pub fn is_crc(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme
    )
}

/// The CRC of pieces of these CRCs and lengths, one behind the other.
pub fn crc_of_pieces(algorithm: Algorithm, pieces: impl Iterator<Item = (u64, u64)>) -> u64 {
    let polynomial = polynomial(algorithm);
    let nothing = crc_fast::Digest::new(polynomial).finalize();
    pieces.fold(nothing, |before, (crc, length)| {
        crc_fast::checksum_combine(polynomial, before, crc, length)
    })
}

/// As the service writes them: the width of the CRC, the highest byte first.
pub fn crc_bytes(algorithm: Algorithm, crc: u64) -> Vec<u8> {
    let width = match algorithm {
        Algorithm::Crc64Nvme => 8,
        _ => 4,
    };
    crc.to_be_bytes()[8 - width..].to_vec()
}

pub fn crc(algorithm: Algorithm) -> crc_fast::Digest {
    crc_fast::Digest::new(polynomial(algorithm))
}

fn polynomial(algorithm: Algorithm) -> CrcAlgorithm {
    match algorithm {
        Algorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        Algorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
        _ => CrcAlgorithm::Crc64Nvme,
    }
}

/// Compares bytes that are read in order with the checksum of an object.
pub struct Comparison {
    checksum: Checksum,
    /// Bytes of every part but the last; of an object in one piece all of them.
    part: u64,
    /// Bytes of the part under way.
    taken: u64,
    /// Of the part under way.
    digest: Digest,
    /// Of the parts' checksums.
    whole: Digest,
}

impl Comparison {
    /// `part` is the size of every part but the last.
    pub fn new(checksum: Checksum, part: u64) -> Self {
        Self {
            part: part.max(1),
            taken: 0,
            digest: Digest::new(checksum.algorithm),
            whole: Digest::new(checksum.algorithm),
            checksum,
        }
    }

    pub fn update(&mut self, mut bytes: &[u8]) {
        if self.checksum.parts.is_none() {
            return self.digest.update(bytes);
        }
        while !bytes.is_empty() {
            if self.taken == self.part {
                self.end_part();
            }
            let room = (self.part - self.taken).min(bytes.len() as u64);
            let (now, later) = bytes.split_at(room as usize);
            self.digest.update(now);
            self.taken += room;
            bytes = later;
        }
    }

    fn end_part(&mut self) {
        let digest = std::mem::replace(&mut self.digest, Digest::new(self.checksum.algorithm));
        self.whole.update(&digest.finish());
        self.taken = 0;
    }

    /// Whether the bytes were the object's.
    pub fn holds(mut self) -> bool {
        let computed = match self.checksum.parts {
            None => self.digest.finish(),
            Some(_) => {
                self.end_part();
                self.whole.finish()
            }
        };
        computed == self.checksum.value
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    const ALL: [Algorithm; 6] = [
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
        Algorithm::Md5,
        Algorithm::Sha1,
        Algorithm::Sha256,
    ];

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
        let mut digest = Digest::new(algorithm);
        digest.update(bytes);
        digest.finish()
    }

    #[test]
    fn known_sums() {
        let digits = b"123456789";
        assert_eq!(sum(Algorithm::Crc32, digits), 0xCBF4_3926_u32.to_be_bytes());
        assert_eq!(
            sum(Algorithm::Crc32c, digits),
            0xE306_9283_u32.to_be_bytes()
        );
        assert_eq!(
            sum(Algorithm::Crc64Nvme, digits),
            0xAE8B_1486_0A79_9888_u64.to_be_bytes()
        );
    }

    proptest! {
        #[test]
        fn crcs_of_pieces_are_that_of_the_whole(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        ) {
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let sums = pieces.iter().map(|piece| {
                    let mut digest = crc(algorithm);
                    digest.update(piece);
                    (digest.finalize(), piece.len() as u64)
                });
                let whole = crc_bytes(algorithm, crc_of_pieces(algorithm, sums));
                prop_assert_eq!(whole, sum(algorithm, &pieces.concat()));
            }
        }

        #[test]
        fn parts_are_found_however_the_bytes_arrive(
            bytes in prop::collection::vec(any::<u8>(), 1..500),
            part in 1_usize..200,
            step in 1_usize..90,
        ) {
            for algorithm in ALL {
                let parts: Vec<Vec<u8>> = bytes.chunks(part).map(|it| sum(algorithm, it)).collect();
                let in_parts = Checksum {
                    algorithm,
                    value: sum(algorithm, &parts.concat()),
                    parts: NonZeroU32::new(parts.len() as u32),
                };
                let whole = Checksum { algorithm, value: sum(algorithm, &bytes), parts: None };
                for checksum in [in_parts, whole] {
                    let mut right = Comparison::new(checksum.clone(), part as u64);
                    bytes.chunks(step).for_each(|it| right.update(it));
                    prop_assert!(right.holds());
                    let mut wrong = Comparison::new(checksum, part as u64);
                    wrong.update(&bytes[1..]);
                    wrong.update(&[bytes[0] ^ 1]);
                    prop_assert!(!wrong.holds());
                }
            }
        }
    }
}
