//! Content digests: `sha256:` and 64 lower-case hex digits (image-spec, descriptor.md, "Digests").

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// Bytes that are read at once to be hashed.
const PIECE_BYTES: usize = 128 << 10;

/// What is wrong with a digest's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DigestError {
    /// Another algorithm than sha256, or none.
    #[error("{0:?} does not begin with sha256:")]
    Algorithm(String),
    /// Not 64 lower-case hex digits.
    #[error("{0:?} does not end in 64 lower-case hex digits")]
    Hex(String),
}

/// Defines one 32-byte sha256 newtype. The kinds of hash never share a type: a digest passed
/// where a diff id belongs must not compile.
macro_rules! sha256_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name([u8; 32]);

        impl $name {
            /// Wraps a finished sha256.
            pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// 64 lower-case hex digits, without the algorithm.
            pub(crate) fn hex(&self) -> String {
                $crate::oci::digest::to_hex(&self.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "sha256:{}", self.hex())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.hex())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::oci::DigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::oci::digest::parse(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(super) use sha256_type;

sha256_type! {
    /// Digest of stored bytes: of a blob as it lies in a layout or a registry.
    Digest
}
sha256_type! {
    /// Digest of a layer's uncompressed tar (image-spec, config.md, "Layer `DiffID`").
    DiffId
}

impl Digest {
    /// The digest of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of what a reader gives to its end.
    pub(crate) fn of_reader(mut bytes: impl Read) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match bytes.read(&mut piece) {
                Ok(0) => return Ok(Self(hasher.finalize().into())),
                Ok(length) => hasher.update(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The 32 raw bytes.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

/// Reads `sha256:` and 64 hex digits.
pub(super) fn parse(text: &str) -> Result<[u8; 32], DigestError> {
    let hex = text
        .strip_prefix("sha256:")
        .ok_or_else(|| DigestError::Algorithm(shortened(text)))?;
    parse_hex(hex).ok_or_else(|| DigestError::Hex(shortened(text)))
}

fn parse_hex(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// A hostile text is quoted only so far.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_the_same_digest() {
        let digest = Digest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn a_reader_has_the_digest_of_its_bytes() {
        let bytes = vec![7; PIECE_BYTES * 2 + 1];
        let found = Digest::of_reader(bytes.as_slice()).unwrap();
        assert_eq!(found, Digest::of(&bytes));
    }

    #[test]
    fn other_texts_are_refused() {
        let hex = "a".repeat(64);
        for (text, expected) in [
            (String::new(), DigestError::Algorithm(String::new())),
            (
                format!("sha512:{hex}"),
                DigestError::Algorithm(format!("sha512:{hex}")),
            ),
            (
                "sha256:ab".to_owned(),
                DigestError::Hex("sha256:ab".to_owned()),
            ),
            (
                format!("sha256:{}", "A".repeat(64)),
                DigestError::Hex(format!("sha256:{}", "A".repeat(64))),
            ),
            (
                format!("sha256:{}", "é".repeat(32)),
                DigestError::Hex(format!("sha256:{}", "é".repeat(32))),
            ),
        ] {
            assert_eq!(text.parse::<Digest>().unwrap_err(), expected);
        }
    }
}
