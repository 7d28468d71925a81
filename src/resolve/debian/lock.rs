//! The base pinned: which packages, exactly, for each architecture. This is what `s2r.lock` holds,
//! and what a build remembers of the last resolution.
//!
//! The text is JSON, indented, names sorted, a line feed at the end: the same lock, the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Hasher};

use crate::{
    oci::Architecture,
    packages::{
        Sha256,
        debian::{DebArtefact, DebianBase},
    },
    report::{Explain, Explanation, Fate},
};

/// After how many seconds a remembered resolution is asked for anew.
pub(crate) const MAX_AGE_SECONDS: u64 = 3600;
/// Version of the text.
const FORMAT: u32 = 1;
/// Longest lock taken, in bytes; one package takes some 400.
const MAX_LOCK_BYTES: usize = 8 << 20;

/// A resolved base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaseLock {
    /// Version of this text: 1.
    format: u32,
    /// Code name of the release.
    pub suite: String,
    /// Url of the archive that was asked.
    pub mirror: String,
    /// Digest of what was asked for; another package list does not fit this lock.
    pub request: Sha256,
    /// Digest of the requirement files that `pylock.toml` was made from beside this lock, so that a
    /// later change of them is seen; none where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Sha256>,
    /// The packages of each architecture (by its name), sorted by name.
    pub packages: BTreeMap<String, Vec<DebArtefact>>,
    /// What the project's `Aptfile` adds to them in the image; empty where it adds nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub added_packages: BTreeMap<String, Vec<DebArtefact>>,
    /// What is added to them to build from source, never in the image; empty where nothing is built.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub build_packages: BTreeMap<String, Vec<DebArtefact>>,
}

/// What is wrong with a lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// It is no lock of this format.
    #[error("{origin} is no lock of a base: {reason}")]
    Unreadable {
        /// The file.
        origin: String,
        /// What the parser says.
        reason: String,
    },
    /// It was made for another package list or suite.
    #[error("{origin} locks another base than the builder's")]
    OtherBase {
        /// The file.
        origin: String,
    },
    /// It has nothing for an architecture.
    #[error("{origin} has no packages for {}", architecture.name())]
    NoArchitecture {
        /// The file.
        origin: String,
        /// The architecture.
        architecture: Architecture,
    },
}

/// Digest of what decides a resolution apart from time and mirror: suite, components, packages, what
/// is left out. Names a remembered resolution.
pub(crate) fn request_digest(base: &DebianBase) -> Sha256 {
    let mut hasher = Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(base.suite.as_bytes());
    field(&[
        u8::from(base.updates),
        u8::from(base.security_mirror.is_some()),
    ]);
    for list in [&base.components, &base.packages, &base.leave_out] {
        field(&(list.len() as u64).to_le_bytes());
        for item in list {
            field(item.as_bytes());
        }
    }
    Sha256(hasher.finalize().into())
}

impl BaseLock {
    /// A lock without packages yet.
    pub(crate) fn new(base: &DebianBase) -> Self {
        Self {
            format: FORMAT,
            suite: base.suite.clone(),
            mirror: base.mirror.clone(),
            request: request_digest(base),
            requirements: None,
            packages: BTreeMap::new(),
            added_packages: BTreeMap::new(),
            build_packages: BTreeMap::new(),
        }
    }

    /// Reads a lock; `origin` names it in errors.
    pub(crate) fn read(text: &str, origin: &str) -> Result<Self, LockError> {
        let unreadable = |reason: String| LockError::Unreadable {
            origin: origin.to_owned(),
            reason,
        };
        if text.len() > MAX_LOCK_BYTES {
            return Err(unreadable(format!("longer than {MAX_LOCK_BYTES} bytes")));
        }
        let mut lock: Self =
            serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        if lock.format != FORMAT {
            return Err(unreadable(format!("format {} is not known", lock.format)));
        }
        for packages in lock
            .packages
            .values_mut()
            .chain(lock.added_packages.values_mut())
        {
            packages.sort();
        }
        Ok(lock)
    }

    /// The lock's text.
    pub(crate) fn write(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The packages for an architecture, if the lock was made for this base.
    pub(crate) fn packages_for(
        &self,
        base: &DebianBase,
        architecture: Architecture,
        origin: &str,
    ) -> Result<&[DebArtefact], LockError> {
        if self.request != request_digest(base) {
            return Err(LockError::OtherBase {
                origin: origin.to_owned(),
            });
        }
        let packages = self.packages.get(architecture.name());
        packages
            .map(Vec::as_slice)
            .ok_or_else(|| LockError::NoArchitecture {
                origin: origin.to_owned(),
                architecture,
            })
    }
}

impl Explain for LockError {
    fn explain(&self) -> Explanation {
        let (what, place, why) = match self {
            Self::Unreadable { origin, reason } => {
                ("the lock of the base does not read", origin, reason.clone())
            }
            Self::OtherBase { origin } => (
                "the lock is of another base",
                origin,
                "The builder's suite or package list, or the project's Aptfile, has changed since the lock was written."
                    .to_owned(),
            ),
            Self::NoArchitecture {
                origin,
                architecture,
            } => (
                "the lock has nothing for this architecture",
                origin,
                format!("It names no packages for {}.", architecture.name()),
            ),
        };
        Explanation {
            fate: Fate::Project,
            what: what.to_owned(),
            place: place.clone(),
            why,
            next: "Write it anew with `s2r lock`.".to_owned(),
        }
    }
}
