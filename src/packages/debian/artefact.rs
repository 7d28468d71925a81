//! Names of exact things: a digest, one `.deb` of one version.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {expected}")]
pub(crate) struct ParseArtefactError {
    /// What was wanted.
    pub expected: &'static str,
    /// The text, cut off if long.
    pub text: String,
}

fn error(expected: &'static str, text: &str) -> ParseArtefactError {
    ParseArtefactError {
        expected,
        text: text.chars().take(80).collect(),
    }
}

/// A SHA-256, shown and read as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest's bytes.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Sha256 {
    type Err = ParseArtefactError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return Err(error("SHA-256", text));
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else {
                return Err(error("SHA-256", text));
            };
            let (Some(high), Some(low)) = (hex(*high), hex(*low)) else {
                return Err(error("SHA-256", text));
            };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

impl TryFrom<String> for Sha256 {
    type Error = ParseArtefactError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

/// One `.deb`, exactly. Ordered by name, then version text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DebArtefact {
    /// Name of the binary package.
    pub package: String,
    /// Its version as the index writes it.
    pub version: String,
    /// Its architecture as the index writes it: `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// Url at the mirror.
    pub url: String,
    /// Url at the snapshot archive, tried second, if one is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_url: Option<String>,
    /// Digest of the file.
    pub sha256: Sha256,
    /// Size of the file in bytes.
    pub size: u64,
}

impl DebArtefact {
    /// `python3.13 3.13.5-2 (amd64)`, for messages.
    pub(crate) fn title(&self) -> String {
        format!("{} {} ({})", self.package, self.version, self.architecture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_round_trip() {
        let text = "00ff".repeat(16);
        assert_eq!(text.parse::<Sha256>().unwrap().to_string(), text);
        for bad in ["", "00", &"g".repeat(64), &"ü".repeat(32)] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
        }
    }
}
