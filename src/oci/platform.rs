//! Platforms: `linux/amd64`, `linux/arm64` (image-spec, image-index.md, "platform"; names are Go's).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A platform that s2r cannot build for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of linux/amd64, linux/arm64")]
pub(crate) struct PlatformError(pub String);

/// The processor architectures that s2r builds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    /// The name that images and Debian use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The architecture this program runs on, if it is one that s2r builds for.
    pub(crate) fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

/// What an image runs on. The operating system is always Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Platform {
    pub architecture: Architecture,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture.name())
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let architecture = match text.trim() {
            "linux/amd64" | "linux/x86_64" | "amd64" => Architecture::Amd64,
            "linux/arm64" | "linux/arm64/v8" | "linux/aarch64" | "arm64" => Architecture::Arm64,
            other => return Err(PlatformError(other.chars().take(80).collect())),
        };
        Ok(Self { architecture })
    }
}

impl Serialize for Platform {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_spellings_are_one_platform() {
        for text in ["linux/arm64", "linux/arm64/v8", "arm64", " linux/aarch64 "] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), "linux/arm64");
        }
        assert!("windows/amd64".parse::<Platform>().is_err());
    }
}
