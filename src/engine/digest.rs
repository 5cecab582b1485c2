//! Base64, and the digests that both query languages offer.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::hex;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding.
pub fn base64_encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for digit in 0..4 {
            text.push(if digit <= group.len() {
                char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize])
            } else {
                '='
            });
        }
    }
    text
}

/// The bytes of Base64 with padding; `None` for anything else.
pub fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padded = text.len().is_multiple_of(4) && text.len() - digits.len() <= 2;
    if !padded {
        return None;
    }
    let mut bytes = Vec::new();
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0;
        for digit in group {
            bits = bits << 6 | DIGITS.iter().position(|it| it == digit)?;
        }
        let bits = (bits << (6 * (4 - group.len()))).to_be_bytes();
        let from = bits.len() - 3;
        bytes.extend_from_slice(&bits[from..from + group.len() - 1]);
    }
    Some(bytes)
}

/// The digest of `bytes` in hexadecimal; `None` for an algorithm that AWS does not know (names are
/// case-sensitive).
pub fn hash(bytes: &[u8], algorithm: &str) -> Option<String> {
    Some(match algorithm {
        "MD5" => hex::encode(&Md5::digest(bytes)),
        "SHA-1" => hex::encode(&Sha1::digest(bytes)),
        "SHA-256" => hex::encode(&Sha256::digest(bytes)),
        "SHA-384" => hex::encode(&Sha384::digest(bytes)),
        "SHA-512" => hex::encode(&Sha512::digest(bytes)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn digests_are_the_known_ones() {
        assert_eq!(
            hash(b"", "MD5").unwrap(),
            "d41d8cd98f00b204e9800998ecf8427e"
        );
        assert_eq!(
            hash(b"abc", "SHA-1").unwrap(),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(hash(b"abc", "SHA-512").unwrap().len(), 128);
        assert_eq!(hash(b"abc", "sha-1"), None);
    }

    proptest! {
        #[test]
        fn base64_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            prop_assert_eq!(base64_decode(&base64_encode(&bytes)).unwrap(), bytes);
        }
    }
}
