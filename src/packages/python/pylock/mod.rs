//! `pylock.toml`: exact files of packages, as pip, uv and others write and read them.
//!
//! Specified in <https://packaging.python.org/en/latest/specifications/pylock-toml/> (PEP 751).
//! Keys that this program has no use for are read over, as the specification asks. Refused: a
//! newer major version of the format, more packages than any project has.

mod fingerprint;
mod read;
mod write;

pub(crate) use fingerprint::{LockFingerprint, LockOrigin};
pub(super) use write::{line, quoted};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{MarkerEnvironment, MarkerTree, PackageName};

use super::location::{DirectUrl, PackageUrl};
use crate::packages::Sha256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pylock {
    /// The versions of Python that the lock was made for.
    pub requires_python: Option<VersionSpecifiers>,
    /// The environments that the lock was made for; empty if it does not say.
    pub environments: Vec<MarkerTree>,
    /// The packages, in the order of the file.
    pub packages: Vec<LockedPackage>,
}

/// One package of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockedPackage {
    pub name: PackageName,
    /// Its version; absent where only building tells.
    pub version: Option<Version>,
    /// Where the package is wanted at all.
    pub marker: MarkerTree,
    /// The versions of Python it runs on.
    pub requires_python: Option<VersionSpecifiers>,
    pub wheels: Vec<LockedFile>,
    /// A file named directly instead of found in an index.
    pub archive: Option<LockedFile>,
    pub sdist: Option<LockedFile>,
    /// The folder or repository that it is.
    pub tree: Option<LockedTree>,
}

/// A package that is neither a wheel nor an archive (PEP 751, `packages.vcs`, `packages.directory`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockedTree {
    /// A commit of a git repository.
    Repository {
        url: PackageUrl,
        commit: String,
        /// The folder in it.
        subdirectory: Option<String>,
    },
    /// A folder beside the lock.
    Folder {
        /// Its path, relative to the lock.
        path: String,
        /// Whether it is installed in place.
        is_editable: bool,
    },
}

impl LockedPackage {
    /// Whether the package belongs into an environment.
    pub(crate) fn applies(&self, markers: &MarkerEnvironment) -> bool {
        self.marker.evaluate(markers, &[])
    }
}

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockedFile {
    pub name: String,
    /// Where it is: an address, or a path relative to the lock.
    pub location: DirectUrl,
    /// Its size in bytes.
    pub size_bytes: Option<u64>,
    pub sha256: Option<Sha256>,
}

/// What is wrong with a lock. Names the package, as locks are not written by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PylockError {
    /// No TOML, or not of this form.
    #[error("it cannot be read: {0}")]
    Toml(String),
    /// `lock-version` is not 1.x.
    #[error("its format is `{0}`; this program reads 1.x")]
    Format(String),
    /// More than this program reads.
    #[error("it is larger than {limit} {what}")]
    TooLarge { what: &'static str, limit: usize },
    /// A value that has another form.
    #[error("{package}: `{key}` cannot be read: {reason}")]
    Value {
        /// The package, or the file as a whole.
        package: String,
        key: &'static str,
        reason: String,
    },
}

impl Pylock {
    /// Whether the lock was made for an environment.
    pub(crate) fn is_for(&self, markers: &MarkerEnvironment) -> bool {
        self.environments.is_empty()
            || self
                .environments
                .iter()
                .any(|environment| environment.evaluate(markers, &[]))
    }
}

#[cfg(test)]
mod tests;
