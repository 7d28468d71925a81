//! Hashes of distribution files as requirement files, indexes and locks write them
//! (`sha256:…`, `sha256=…`, a bare hexadecimal string).

use std::fmt;
use std::str::FromStr;

/// The sha256 of a distribution file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sha256([u8; 32]);

impl Sha256 {
    /// Takes the 32 bytes of a finished hash.
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

/// Text that is no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashError {
    /// A sha256 has 64 hexadecimal digits.
    #[error("`{0}` is not 64 hexadecimal digits")]
    NotSha256(String),
    /// The form is `algorithm:digits`.
    #[error("`{0}` is not of the form `sha256:<digits>`")]
    NoAlgorithm(String),
}

impl FromStr for Sha256 {
    type Err = HashError;

    /// Reads 64 hexadecimal digits of either case, without a prefix.
    fn from_str(text: &str) -> Result<Self, HashError> {
        let digits = text.as_bytes();
        let wrong = || HashError::NotSha256(text.chars().take(80).collect());
        if digits.len() != 64 {
            return Err(wrong());
        }
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16).ok_or_else(wrong)?;
            let low = char::from(pair[1]).to_digit(16).ok_or_else(wrong)?;
            *byte = u8::try_from(high * 16 + low).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// A hash that a requirement demands. Only sha256 is checked by this program; the others are kept
/// as text, so that a file which lists several algorithms stays readable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileHash {
    /// The one that is checked.
    Sha256(Sha256),
    /// Another algorithm: its name.
    Other(String),
}

impl FromStr for FileHash {
    type Err = HashError;

    /// Reads `algorithm:digits`, or `algorithm=digits` as url fragments have it.
    fn from_str(text: &str) -> Result<Self, HashError> {
        let (algorithm, digits) = text
            .split_once([':', '='])
            .ok_or_else(|| HashError::NoAlgorithm(text.chars().take(80).collect()))?;
        match algorithm.to_ascii_lowercase().as_str() {
            "sha256" => Ok(Self::Sha256(digits.parse()?)),
            other => Ok(Self::Other(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_sha256() {
        let text = "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984";
        let hash: Sha256 = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.to_uppercase().parse::<Sha256>().unwrap(), hash);
        assert_eq!(
            format!("sha256:{text}").parse::<FileHash>().unwrap(),
            FileHash::Sha256(hash)
        );
        assert_eq!(
            "sha512:00".parse::<FileHash>().unwrap(),
            FileHash::Other("sha512".into())
        );
    }

    #[test]
    fn refuses_what_is_no_hash() {
        for text in ["", "abc", &"g".repeat(64), &"ä".repeat(32)] {
            assert!(text.parse::<Sha256>().is_err(), "{text}");
        }
        assert!("nocolon".parse::<FileHash>().is_err());
        assert!("sha256:xx".parse::<FileHash>().is_err());
    }
}
