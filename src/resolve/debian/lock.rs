//! The base pinned: which packages, exactly, for each architecture. This is what `s2r.lock` holds,
//! and what a build remembers of the last resolution.
//!
//! The text is JSON, indented, names sorted, a line feed at the end: the same lock, the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Hasher};

use super::layer::LockedLayer;
use crate::{
    oci::{Architecture, Digest},
    packages::{
        Sha256,
        debian::{DebArtefact, DebianBase, Snapshot},
    },
    report::{ErrorClass, Explain, Explanation},
};

/// After how many seconds a remembered resolution is asked for anew.
pub(crate) const MAX_AGE_SECONDS: u64 = 3600;
/// Version of the text.
const FORMAT: u32 = 1;
/// Longest lock taken, in bytes; one package takes some 400.
const MAX_LOCK_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaseLock {
    /// Version of this text: 1.
    format: u32,
    /// Code name of the release; empty where the base is an image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suite: String,
    /// Url of the archive that was asked; empty where the base is an image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mirror: String,
    /// The image that is the base; none where the base is packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<LockedImage>,
    /// Digest of what was asked for; another package list does not fit this lock.
    pub request: Sha256,
    /// Digest of the requirement files that `pylock.toml` was made from beside this lock, so that a
    /// later change of them is seen; none where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Sha256>,
    /// The packages of each architecture (by its name), sorted by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<String, Vec<DebArtefact>>,
    /// What the project's `Aptfile` adds to them in the image; empty where it adds nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub added_packages: BTreeMap<String, Vec<DebArtefact>>,
    /// What distributions of Python need besides; empty where they need nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub implied_packages: BTreeMap<String, LockedImplied>,
    /// What is added to them to build from source, never in the image; empty where nothing is built.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub build_packages: BTreeMap<String, Vec<DebArtefact>>,
    /// The layers of each architecture (by its name) that do not depend on the source, bottom up; empty
    /// where that was not asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, Vec<LockedLayer>>,
}

/// Packages that came by themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockedImplied {
    /// What was needed, sorted.
    pub names: Vec<String>,
    /// That, and what it needs, sorted by name.
    pub packages: Vec<DebArtefact>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockedImage {
    /// Its name, with the registry and the tag.
    pub reference: String,
    /// What the name stood for: a manifest, or an index of several.
    pub digest: Digest,
    /// The manifest of each architecture, by its name.
    pub manifests: BTreeMap<String, Digest>,
}

/// What is wrong with a lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// It is no lock of this format.
    #[error("{origin} is no lock of a base: {reason}")]
    Unreadable {
        origin: String,
        /// What the parser says.
        reason: String,
    },
    /// It was made for another package list or suite.
    #[error("{origin} locks another base than the builder's")]
    OtherBase { origin: String },
    /// It has nothing for an architecture.
    #[error("{origin} has no packages for {}", architecture.name())]
    NoArchitecture {
        origin: String,
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
    if !base.added.is_empty() {
        field(&(base.added.len() as u64).to_le_bytes());
        for item in &base.added {
            field(item.as_bytes());
        }
    }
    if let Some(date) = base.snapshot.as_ref().and_then(Snapshot::date) {
        field(b"snapshot");
        field(date.to_string().as_bytes());
    }
    Sha256(hasher.finalize().into())
}

/// Digest of what decides an image: its name.
fn image_request(reference: &str) -> Sha256 {
    let mut hasher = Hasher::new();
    hasher.update(b"image\n");
    hasher.update(reference.as_bytes());
    Sha256(hasher.finalize().into())
}

impl BaseLock {
    /// A lock without packages yet.
    pub(crate) fn new(base: &DebianBase) -> Self {
        Self {
            format: FORMAT,
            suite: base.suite.clone(),
            mirror: base.mirror.clone(),
            image: None,
            request: request_digest(base),
            requirements: None,
            packages: BTreeMap::new(),
            added_packages: BTreeMap::new(),
            implied_packages: BTreeMap::new(),
            build_packages: BTreeMap::new(),
            layers: BTreeMap::new(),
        }
    }

    /// A lock of a base that is an image.
    pub(crate) fn of_image(image: LockedImage) -> Self {
        Self {
            format: FORMAT,
            suite: String::new(),
            mirror: String::new(),
            request: image_request(&image.reference),
            image: Some(image),
            requirements: None,
            packages: BTreeMap::new(),
            added_packages: BTreeMap::new(),
            implied_packages: BTreeMap::new(),
            build_packages: BTreeMap::new(),
            layers: BTreeMap::new(),
        }
    }

    /// What an image is pinned to, if the lock was made for it.
    pub(crate) fn image_for(&self, reference: &str, origin: &str) -> Result<Digest, LockError> {
        let is_meant = self.request == image_request(reference);
        match self.image.as_ref().filter(|_| is_meant) {
            Some(image) => Ok(image.digest),
            None => Err(LockError::OtherBase {
                origin: origin.to_owned(),
            }),
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
            .chain(
                lock.implied_packages
                    .values_mut()
                    .map(|one| &mut one.packages),
            )
        {
            packages.sort();
        }
        Ok(lock)
    }

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
                ("the lock of the base cannot be read", origin, reason.clone())
            }
            Self::OtherBase { origin } => (
                "the lock is of another base",
                origin,
                "the builder, its suite, package list or image, or the project's Aptfile has changed since the lock was written"
                    .to_owned(),
            ),
            Self::NoArchitecture {
                origin,
                architecture,
            } => (
                "the lock has nothing for this architecture",
                origin,
                format!("it names no packages for {}", architecture.name()),
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: what.to_owned(),
            place: place.clone(),
            why,
            next: "write it again with `s2r lock SOURCE`".to_owned(),
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum LockError {
        Unreadable { origin: "s2r.lock".into(), reason: "format 2 is not known".into() },
        OtherBase { origin: "s2r.lock".into() },
        NoArchitecture { origin: "s2r.lock".into(), architecture: Architecture::Arm64 },
    }
}
