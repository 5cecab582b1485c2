//! Checksums of objects and parts: computed while the bytes pass, compared with what the client
//! says in a header or a trailer, and put together for multipart uploads.

use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::{S3Request, S3Result, TrailingHeaders, dto, s3_error};

use crate::engine::digest::{base64_decode, base64_encode};
use crate::engine::objects::{Checksum, ObjectsError, PartInfo};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(super) fn parse(name: &str) -> S3Result<Self> {
        let known = Self::ALL
            .into_iter()
            .find(|it| it.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| s3_error!(NotImplemented, "Checksum algorithm {name} is not supported"))
    }

    fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    /// Whether an upload's checksum is of its parts' checksums when the client does not say.
    fn composite_by_default(self) -> bool {
        self != Self::Crc64Nvme
    }

    fn of(self, sums: &dto::Checksum) -> Option<String> {
        match self {
            Self::Crc32 => sums.checksum_crc32.clone(),
            Self::Crc32c => sums.checksum_crc32c.clone(),
            Self::Crc64Nvme => sums.checksum_crc64nvme.clone(),
            Self::Sha1 => sums.checksum_sha1.clone(),
            Self::Sha256 => sums.checksum_sha256.clone(),
        }
    }

    /// Reflected polynomial and width in bits, for those that can be put together from parts.
    fn polynomial(self) -> Option<(u64, usize)> {
        match self {
            Self::Crc32 => Some((0xEDB8_8320, 32)),
            Self::Crc32c => Some((0x82F6_3B78, 32)),
            Self::Crc64Nvme => Some((0x9A6C_9329_AC4B_C9B5, 64)),
            Self::Sha1 | Self::Sha256 => None,
        }
    }
}

/// What the client says the checksum of its bytes is.
#[derive(Debug, Default)]
pub(super) struct Claim {
    algorithm: Option<Algorithm>,
    /// Base64.
    value: Option<String>,
    /// Where the value comes from once the bytes have passed.
    trailer: Option<TrailingHeaders>,
    /// Base64.
    md5: Option<String>,
}

impl Claim {
    /// Reads the headers, before the body is read.
    pub(super) fn of<T>(request: &S3Request<T>) -> S3Result<Self> {
        let headers = &request.headers;
        let named = Algorithm::ALL
            .into_iter()
            .filter(|it| headers.contains_key(it.header()))
            .collect::<Vec<_>>();
        if named.len() > 1 {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            ));
        }
        let trailer = header(headers, "x-amz-trailer");
        let trailing = trailer.and_then(|names| {
            let is_named = |it: &Algorithm| names.trim().eq_ignore_ascii_case(&it.header());
            Algorithm::ALL.into_iter().find(is_named)
        });
        let sdk = header(headers, "x-amz-sdk-checksum-algorithm");
        let algorithm = match (named.first(), trailing, sdk) {
            (Some(named), ..) => Some(*named),
            (None, Some(trailing), _) => Some(trailing),
            (None, None, Some(name)) => Some(Algorithm::parse(name)?),
            (None, None, None) => None,
        };
        let md5 = header(headers, "content-md5").map(str::to_owned);
        if md5
            .as_deref()
            .is_some_and(|md5| base64_decode(md5).is_none_or(|md5| md5.len() != 16))
        {
            return Err(s3_error!(
                InvalidDigest,
                "The Content-MD5 you specified was invalid."
            ));
        }
        Ok(Self {
            algorithm,
            value: named
                .first()
                .and_then(|it| header(headers, &it.header()))
                .map(str::to_owned),
            trailer: request.trailing_headers.clone(),
            md5,
        })
    }

    /// What to compute besides the MD5: the claimed algorithm, and the one to be kept.
    pub(super) fn digests(&self, keep: Option<Algorithm>) -> Digests {
        let keep = keep.or(self.algorithm).unwrap_or(Algorithm::Crc64Nvme);
        Digests::new(keep, self.algorithm)
    }

    /// Compares the claim with what the bytes are; returns the checksum to keep.
    pub(super) fn verify(self, digests: Digests, md5: [u8; 16]) -> S3Result<Checksum> {
        let (sums, keep) = digests.finish();
        if self
            .md5
            .is_some_and(|claimed| claimed != base64_encode(&md5))
        {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        if let Some(algorithm) = self.algorithm {
            let trailed = || {
                let trailer = self.trailer.as_ref()?;
                trailer.read(|it| header(it, &algorithm.header()).map(str::to_owned))?
            };
            let claimed = self.value.clone().or_else(trailed);
            if claimed.is_some() && claimed != algorithm.of(&sums) {
                return Err(s3_error!(
                    BadDigest,
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.name()
                ));
            }
        }
        let value = keep
            .of(&sums)
            .expect("the checksum to keep is one of those computed");
        Ok(Checksum {
            algorithm: keep.name().to_owned(),
            value,
            composite: false,
        })
    }
}

/// Checksums of bytes as they pass.
pub(super) struct Digests {
    keep: Algorithm,
    hasher: ChecksumHasher,
}

impl Digests {
    fn new(keep: Algorithm, check: Option<Algorithm>) -> Self {
        let wanted = |it| it == keep || Some(it) == check;
        let hasher = ChecksumHasher {
            crc32: wanted(Algorithm::Crc32).then(Crc32::new),
            crc32c: wanted(Algorithm::Crc32c).then(Crc32c::new),
            crc64nvme: wanted(Algorithm::Crc64Nvme).then(Crc64Nvme::new),
            sha1: wanted(Algorithm::Sha1).then(Sha1::new),
            sha256: wanted(Algorithm::Sha256).then(Sha256::new),
        };
        Self { keep, hasher }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn finish(self) -> (dto::Checksum, Algorithm) {
        (self.hasher.finalize(), self.keep)
    }
}

/// What an upload's parts are to be checked with, as its begin asks for it. `None` leaves the
/// choice to us.
pub(super) fn of_upload(algorithm: Option<&str>, kind: Option<&str>) -> S3Result<Option<Checksum>> {
    let Some(algorithm) = algorithm.map(Algorithm::parse).transpose()? else {
        return Ok(None);
    };
    let composite = match kind {
        Some(dto::ChecksumType::COMPOSITE) => true,
        Some(dto::ChecksumType::FULL_OBJECT) => false,
        _ => algorithm.composite_by_default(),
    };
    let possible = if composite {
        algorithm.composite_by_default()
    } else {
        algorithm.polynomial().is_some()
    };
    if !possible {
        return Err(s3_error!(
            InvalidRequest,
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind_name(composite),
            algorithm.name().to_ascii_lowercase()
        ));
    }
    Ok(Some(Checksum {
        algorithm: algorithm.name().to_owned(),
        value: String::new(),
        composite,
    }))
}

/// The algorithm that a part of the upload is kept with.
pub(super) fn of_part(upload: Option<&Checksum>, claim: &Claim) -> S3Result<Algorithm> {
    let Some(upload) = upload else {
        return Ok(Algorithm::Crc64Nvme);
    };
    let wanted = Algorithm::parse(&upload.algorithm)?;
    match claim.algorithm {
        Some(claimed) if claimed != wanted => Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            wanted.name().to_ascii_lowercase(),
            claimed.name().to_ascii_lowercase()
        )),
        _ => Ok(wanted),
    }
}

/// The checksum of an object made of parts; `None` when the parts do not all have one of the kind.
pub(super) fn of_parts(
    upload: Option<&Checksum>,
    parts: &[PartInfo],
) -> Result<Option<Checksum>, ObjectsError> {
    let unnamed = Checksum {
        algorithm: Algorithm::Crc64Nvme.name().to_owned(),
        value: String::new(),
        composite: false,
    };
    let kind = upload.unwrap_or(&unnamed);
    let sums: Option<Vec<Vec<u8>>> = parts
        .iter()
        .map(|part| {
            let checksum = part.checksum.as_ref()?;
            base64_decode(&checksum.value).filter(|_| checksum.algorithm == kind.algorithm)
        })
        .collect();
    let algorithm = Algorithm::parse(&kind.algorithm)
        .map_err(|_| ObjectsError::Storage(format!("unknown checksum {}", kind.algorithm)))?;
    Ok(sums.and_then(|sums| {
        let value = if kind.composite {
            format!("{}-{}", composite(algorithm, &sums)?, sums.len())
        } else {
            full(algorithm, &sums, parts)?
        };
        Some(Checksum {
            value,
            ..kind.clone()
        })
    }))
}

fn composite(algorithm: Algorithm, sums: &[Vec<u8>]) -> Option<String> {
    let mut digests = Digests::new(algorithm, None);
    for sum in sums {
        digests.update(sum);
    }
    algorithm.of(&digests.finish().0)
}

/// The CRC of the parts' bytes in a row, from their CRCs and lengths.
fn full(algorithm: Algorithm, sums: &[Vec<u8>], parts: &[PartInfo]) -> Option<String> {
    let (polynomial, width) = algorithm.polynomial()?;
    let mut crc = 0;
    // Parts have the same length but for the last, so the costly operator is made twice at most.
    let mut operator = (0, Vec::new());
    for (sum, part) in sums.iter().zip(parts) {
        if operator.0 != part.size || operator.1.is_empty() {
            operator = (part.size, zeros_operator(polynomial, width, part.size));
        }
        crc = apply(&operator.1, crc) ^ big_endian(sum);
    }
    Some(base64_encode(&crc.to_be_bytes()[8 - width / 8..]))
}

/// The matrix over GF(2), a column a bit, that a CRC is multiplied with when `bytes` zero bytes
/// follow; two CRCs are put together by moving the first over the length of the second.
fn zeros_operator(polynomial: u64, width: usize, bytes: u64) -> Vec<u64> {
    let one_bit = std::iter::once(polynomial).chain((1..width).map(|bit| 1 << (bit - 1)));
    let mut power: Vec<u64> = one_bit.collect();
    let mut operator: Vec<u64> = (0..width).map(|bit| 1 << bit).collect();
    let mut bits = u128::from(bytes) * 8;
    while bits > 0 {
        if bits & 1 == 1 {
            operator = product(&power, &operator);
        }
        power = product(&power, &power);
        bits >>= 1;
    }
    operator
}

fn product(left: &[u64], right: &[u64]) -> Vec<u64> {
    right.iter().map(|column| apply(left, *column)).collect()
}

fn apply(matrix: &[u64], vector: u64) -> u64 {
    let chosen = matrix.iter().enumerate();
    chosen.fold(0, |sum, (bit, column)| {
        if vector >> bit & 1 == 1 {
            sum ^ column
        } else {
            sum
        }
    })
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

pub(super) fn kind_name(composite: bool) -> &'static str {
    if composite {
        dto::ChecksumType::COMPOSITE
    } else {
        dto::ChecksumType::FULL_OBJECT
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut digests = Digests::new(algorithm, None);
        digests.update(bytes);
        algorithm.of(&digests.finish().0).unwrap()
    }

    fn part(algorithm: Algorithm, bytes: &[u8]) -> PartInfo {
        PartInfo {
            number: 1,
            size: bytes.len() as u64,
            etag: String::new(),
            modified: 0,
            checksum: Some(Checksum {
                algorithm: algorithm.name().to_owned(),
                value: sum(algorithm, bytes),
                composite: false,
            }),
        }
    }

    #[test]
    fn known_sums() {
        assert_eq!(sum(Algorithm::Crc32, b"123456789"), "y/Q5Jg==");
        assert_eq!(sum(Algorithm::Crc32c, b"123456789"), "4waSgw==");
        assert_eq!(sum(Algorithm::Crc64Nvme, b"123456789"), "rosUhgp5mIg=");
    }

    #[test]
    fn a_hash_cannot_be_of_the_full_object() {
        assert!(of_upload(Some("SHA256"), Some("FULL_OBJECT")).is_err());
        assert!(of_upload(Some("CRC64NVME"), Some("COMPOSITE")).is_err());
        assert!(of_upload(Some("CRC32"), None).unwrap().unwrap().composite);
        assert!(
            !of_upload(Some("crc64nvme"), None)
                .unwrap()
                .unwrap()
                .composite
        );
    }

    proptest! {
        #[test]
        fn crcs_of_parts_add_up(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6),
        ) {
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let upload = of_upload(Some(algorithm.name()), Some("FULL_OBJECT")).unwrap();
                let infos: Vec<_> = parts.iter().map(|it| part(algorithm, it)).collect();
                let whole = of_parts(upload.as_ref(), &infos).unwrap().unwrap();
                prop_assert_eq!(whole.value, sum(algorithm, &parts.concat()));
            }
        }
    }
}
