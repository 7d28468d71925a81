//! Hashes of distribution files as requirement files, indexes and locks write them
//! (`sha256:…`, `sha256=…`).

use std::str::FromStr;

use crate::packages::{NotSha256, Sha256};

/// Text that is no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashError {
    /// The digits are not those of a sha256.
    #[error(transparent)]
    NotSha256(#[from] NotSha256),
    /// The form is `algorithm:digits`.
    #[error("`{0}` is not of the form `sha256:<digits>`")]
    NoAlgorithm(String),
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
    fn reads_both_forms() {
        let text = "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984";
        let hash: Sha256 = text.parse().unwrap();
        for separator in [':', '='] {
            assert_eq!(
                format!("sha256{separator}{text}")
                    .parse::<FileHash>()
                    .unwrap(),
                FileHash::Sha256(hash)
            );
        }
        assert_eq!(
            "sha512:00".parse::<FileHash>().unwrap(),
            FileHash::Other("sha512".into())
        );
    }

    #[test]
    fn refuses_what_is_no_hash() {
        assert!("nocolon".parse::<FileHash>().is_err());
        assert!("sha256:xx".parse::<FileHash>().is_err());
    }
}
