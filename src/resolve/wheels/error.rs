//! What can go wrong between requirements and exact wheels.

mod explain;

use std::path::PathBuf;

use super::fetch::IndexFetchError;
use super::uv::StubError;
use crate::packages::python::{
    LineError, PackageName, Position, PylockError, ReadError, Requirement, UploadLimit, Version,
    WheelTarget,
};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WheelError {
    /// A requirement file cannot be understood.
    #[error("{0}")]
    Requirements(#[from] ReadError),
    /// A `pylock.toml` cannot be understood.
    #[error("{path}: {error}")]
    Pylock {
        /// The lock's path in the source.
        path: String,
        error: PylockError,
    },
    /// The resolver answered with what is no lock.
    #[error("uv's answer cannot be read: {0}")]
    Answer(PylockError),
    /// A lock names a package twice for the same target.
    #[error("{path}: `{name}` applies twice")]
    Twice { path: String, name: PackageName },
    /// A lock does not tell the hash of a file.
    #[error("{path}: {name}: `{file}` has no sha256")]
    NoHashInLock {
        path: String,
        name: PackageName,
        file: String,
    },
    /// A lock was made for other versions of Python.
    #[error("{path}: needs Python {requires}, the target has {target}")]
    Python {
        path: String,
        requires: String,
        target: WheelTarget,
    },
    /// A lock was made for other environments.
    #[error("{path}: none of its environments is {target}")]
    Environment { path: String, target: WheelTarget },
    /// `--locked`, and there is something to resolve.
    #[error("{place} is not locked")]
    NotLocked {
        /// The first file that is not.
        place: String,
    },
    /// Something can be installed only after running code of a project.
    #[error("{position}: `{wish}` has to be built")]
    NeedsBuild { wish: String, position: Position },
    /// A package is wanted from two places.
    #[error("{name} is wanted from two places")]
    TwoAddresses {
        name: PackageName,
        /// Who wants it, and the address.
        wanted: Box<[(String, String); 2]>,
    },
    /// The metadata of wheels name too many others by address.
    #[error("{position}: wheels name more than {limit} others by their addresses")]
    TooManyAddresses { limit: usize, position: Position },
    /// A path that is not in the source.
    #[error("{position}: `{path}` is no file of the source")]
    NoSuchWheel { path: String, position: Position },
    /// A wheel of the source or at an address that is none, or unpacks to too much.
    #[error("{place}: {error}")]
    Wheel {
        /// Its path or address.
        place: String,
        /// What is wrong with it.
        error: StubError,
    },
    /// `--no-binary` names it, so that it is to be built.
    #[error("{name} {version} has no source distribution")]
    WheelUnwanted {
        name: PackageName,
        /// The version that was chosen.
        version: String,
    },
    /// There is no wheel for the target.
    #[error("{0}")]
    NoWheel(Box<NoWheel>),
    /// The requirements contradict each other or the index.
    #[error("the requirements cannot be met: {reason}")]
    Unsatisfiable {
        /// Requirements that have to do with it.
        places: Vec<Position>,
        /// The resolver's own words, for people.
        reason: String,
        /// Whether `pkg-resources==0.0.0` is asked for, which old versions of Debian's pip wrote.
        asks_for_debians_own: bool,
    },
    /// No file has one of the hashes that the requirement lists.
    #[error("{position}: no wheel of {name} for {target} has a listed hash")]
    Hashes {
        name: PackageName,
        /// What wheels are for.
        target: WheelTarget,
        /// Where the requirement stands.
        position: Position,
    },
    /// Hashes are required and one requirement has none.
    #[error("{position}: `{wish}` has no hash")]
    HashMissing { wish: String, position: Position },
    /// Hashes are required and a package that others need is not listed.
    #[error(
        "the requirements need {}, which {place} does not list",
        pinned(missing)
    )]
    NotListed {
        place: String,
        /// The packages, with the versions that would be taken.
        missing: Vec<(PackageName, Version)>,
    },
    /// An address in one of pip's variables names a variable that is not known.
    #[error("{variable}: {error}")]
    Address {
        variable: &'static str,
        /// What is wrong with its value.
        error: LineError,
    },
    /// A switch that protects, or changes what goes in, and is not followed or not understood.
    #[error("{name} is not followed: {why}")]
    Switch {
        name: &'static str,
        /// Why, or what to do instead.
        why: &'static str,
    },
    /// Files are wanted by when they were uploaded, and an index does not tell.
    #[error("{url}: it does not tell when files were uploaded")]
    NoUploadTime {
        url: String,
        /// What is asked for.
        limit: UploadLimit,
    },
    /// A variable names a file that is not there.
    #[error("{name} names `{path}`, which is no file of the source")]
    Variable { name: &'static str, path: String },
    /// Something is wanted from the network, which is switched off.
    #[error("{what} is not here, and the network is switched off")]
    Offline { what: String },
    /// An index did not answer.
    #[error("{url}: {error}")]
    Index { url: String, error: IndexFetchError },
    /// An index wants a login, and its tool has variables for one.
    #[error("{url}: it wants a login")]
    Login { url: String, variables: [String; 2] },
    /// A package comes from elsewhere than an index, and others ask for it.
    #[error("{name} comes from {place}, and from no index")]
    Elsewhere {
        name: PackageName,
        /// Where it comes from.
        place: String,
    },
    /// A file of a package that is tied to an index is not that index's.
    #[error("{url} is not of the index that {name} is tied to")]
    Stranger { name: PackageName, url: String },
    /// An index answered with something else than a page of files.
    #[error("{url}: no page of a package index")]
    NoIndexPage { url: String },
    /// The network is switched off, and what is here does not meet the requirements.
    #[error("what the requirements need is not here: {reason}")]
    NotHere {
        /// The resolver's own words.
        reason: String,
    },
    /// The resolver is neither on PATH nor in any index.
    #[error("uv {version} is in none of the indexes")]
    NoUv { version: &'static str },
    /// The resolver's file is not what was expected.
    #[error("{url}: not the pinned uv")]
    WrongUv {
        /// Where it came from.
        url: String,
    },
    /// The resolver failed in a way that this program does not know.
    #[error("uv failed: {text}")]
    Uv { text: String },
    /// A file of ours.
    #[error("{path}: {error}")]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
    /// The target's version cannot be written as a marker.
    #[error("`{0}` is no target")]
    Target(String),
}

/// A project without a wheel for the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoWheel {
    pub name: PackageName,
    /// The version, if one was asked for or chosen.
    pub version: Option<String>,
    /// What wheels are for.
    pub target: WheelTarget,
    /// Requirements that have to do with it.
    pub places: Vec<Position>,
    /// The resolver's own words, if it was asked.
    pub reason: String,
    /// Whether a source distribution exists.
    pub has_sdist: bool,
    /// Whether `--only-binary` forbids to build it.
    pub must_be_wheel: bool,
    /// Tags of the wheels that exist.
    pub offered: Vec<String>,
}

impl std::fmt::Display for NoWheel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} has no wheel for {}", self.name, self.target)
    }
}

/// Whether a requirement is the line that `pip freeze` of old versions of Debian and Ubuntu wrote. No index has it.
pub(super) fn is_debians_own(requirement: &Requirement) -> bool {
    let name = requirement.name().map(AsRef::as_ref);
    let pin = requirement.pin().map(ToString::to_string);
    name == Some("pkg-resources") && pin.as_deref() == Some("0.0.0")
}

fn pinned(packages: &[(PackageName, Version)]) -> String {
    let packages = packages.iter();
    let packages: Vec<String> = packages
        .map(|(name, version)| format!("{name}=={version}"))
        .collect();
    packages.join(", ")
}

#[cfg(test)]
mod samples;
