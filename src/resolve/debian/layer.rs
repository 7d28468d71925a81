//! A layer pinned: which bytes come of a key. One line of `s2r.lock`:
//!
//! ```text
//! CONTENTS | KEY DIGEST DIFF_ID SIZE UNPACKED_SIZE
//! ```
//!
//! Key and digests are those of the image's manifest and config, sizes are bytes. With such a line an image in a
//! registry need not be believed to know where the bytes are.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::oci::{DiffId, Digest, Key};

/// Stands before the numbers.
const SEPARATOR: &str = " | ";

/// A layer that does not depend on the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockedLayer {
    /// What it holds, for people.
    pub contents: String,
    /// What determines its bytes.
    pub key: Key,
    pub digest: Digest,
    pub diff_id: DiffId,
    /// Length of the blob.
    pub size_bytes: u64,
    /// Length of its tar.
    pub uncompressed_bytes: u64,
}

/// A line that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a layer is written as CONTENTS | KEY DIGEST DIFF_ID SIZE UNPACKED_SIZE")]
pub(crate) struct LockedLayerError;

impl fmt::Display for LockedLayer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            contents,
            key,
            digest,
            diff_id,
            size_bytes,
            uncompressed_bytes,
        } = self;
        write!(
            to,
            "{contents}{SEPARATOR}{key} {digest} {diff_id} {size_bytes} {uncompressed_bytes}"
        )
    }
}

impl FromStr for LockedLayer {
    type Err = LockedLayerError;

    fn from_str(line: &str) -> Result<Self, LockedLayerError> {
        let (contents, rest) = line.rsplit_once(SEPARATOR).ok_or(LockedLayerError)?;
        let words: Vec<&str> = rest.split(' ').collect();
        let [key, digest, diff_id, size, unpacked] = words.as_slice() else {
            return Err(LockedLayerError);
        };
        Ok(Self {
            contents: contents.to_owned(),
            key: key.parse().map_err(|_| LockedLayerError)?,
            digest: digest.parse().map_err(|_| LockedLayerError)?,
            diff_id: diff_id.parse().map_err(|_| LockedLayerError)?,
            size_bytes: size.parse().map_err(|_| LockedLayerError)?,
            uncompressed_bytes: unpacked.parse().map_err(|_| LockedLayerError)?,
        })
    }
}

impl Serialize for LockedLayer {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LockedLayer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_is_written() {
        let layer = LockedLayer {
            contents: "a | b: c==1".to_owned(),
            key: Key::from_bytes([1; 32]),
            digest: Digest::from_bytes([2; 32]),
            diff_id: DiffId::from_bytes([3; 32]),
            size_bytes: 4,
            uncompressed_bytes: 5,
        };
        let line = layer.to_string();
        assert!(line.starts_with("a | b: c==1 | sha256:0101"), "{line}");
        assert!(line.ends_with("03 4 5"), "{line}");
        assert_eq!(line.parse(), Ok(layer.clone()));
        let text = serde_json::to_string(&layer).unwrap();
        assert_eq!(serde_json::from_str::<LockedLayer>(&text).unwrap(), layer);
        for wrong in [
            "",
            "a",
            "a | ",
            &line.replace(" 5", " -5"),
            &line.replace(" 4 5", " 4"),
            &format!("{line} 6"),
            &line.replace("sha256:03", "sha512:03"),
        ] {
            assert_eq!(
                wrong.parse::<LockedLayer>(),
                Err(LockedLayerError),
                "{wrong}"
            );
        }
    }
}
