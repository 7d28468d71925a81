//! Names of exact things: one `.deb` of one version.

use serde::{Deserialize, Serialize};

use crate::packages::Sha256;

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
