//! From requirements to exact wheels: name, version, file, address, sha256, for one target.
//!
//! Three ways, the first that fits: a `pylock.toml` is only read; requirements that are all pinned
//! and hashed are looked up in the index, and uv only tells whether the list is complete; everything
//! else is resolved by uv. Nothing of the project is run in any of them, and the machine's own Python,
//! if it has one, is not asked.
//!
//! Secrets: index credentials travel in `Url`, which prints without them; uv gets them in
//! private files, and its messages are starred out before anyone sees them.

mod choice;
mod enrich;
mod error;
mod fetch;
mod from_source;
mod index;
mod links;
mod local;
mod lock;
mod named;
mod pinned;
mod prepared;
mod settings;
mod uv;
mod variables;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(test)]
pub(crate) use error::NoWheel;
pub(crate) use error::WheelError;
pub(crate) use fetch::{GetRequest, GetResponse, IndexFetch, IndexFetchError, KeptFile};
pub(crate) use from_source::{IndexSdist, locked_sources, needs_build, sdist_for, to_build};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use index::files_of;
pub(crate) use index::find_tool;
pub(crate) use index::passed_over::{OldPin, old_pin};
pub(crate) use local::required_by_address;
pub(crate) use lock::{
    LockedSource, LockedWheel, SourceOf, WheelLocation, WheelLock, WheelOverride, write_pylock,
};
pub(crate) use settings::IndexSettings;

use crate::archive::UnpackedBound;
use crate::oci::Key;
use crate::packages::python::WheelTarget;
use crate::packages::python::conditions::ResolutionRules;
use crate::report::Report;
use prepared::PreparedRequest;

/// One file of requirements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequirementsFile<'a> {
    /// Its path in the source, with `/`.
    pub path: &'a str,
    pub text: &'a [u8],
}

/// Where the wishes stand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ResolveInput<'a> {
    Pylock(RequirementsFile<'a>),
    /// Requirement files, all of which are wanted.
    Requirements(&'a [RequirementsFile<'a>]),
}

/// What is to be resolved, for whom, and with what.
#[derive(Clone, Copy)]
pub(crate) struct ResolveRequest<'a> {
    pub input: ResolveInput<'a>,
    /// What wheels are for.
    pub target: &'a WheelTarget,
    /// Wheels that were built, in place of what they were built from.
    pub built: &'a [WheelOverride],
    /// The bytes of a file of the source, by its path with `/` and without `..`.
    pub read: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// A wheel of the source, by its path.
    pub open: &'a dyn Fn(&str) -> io::Result<File>,
    /// How much a wheel may unpack to.
    pub unpacked: UnpackedBound,
    /// The names of the files in a folder of the source, by its path; empty is the source itself. None if
    /// there is no such folder.
    pub list: &'a dyn Fn(&str) -> Option<Vec<String>>,
    /// The user's environment: pip's variables, proxies, certificates, PATH, HOME.
    pub environment: &'a BTreeMap<String, String>,
    /// What `${NAME}` in requirement files means: variables that were given to the build, never the
    /// whole of the user's.
    pub given: &'a BTreeMap<String, String>,
    /// What the project's own tool says beyond requirements.
    pub conditions: &'a ResolutionRules,
    /// Refuse to resolve what is not locked.
    pub locked: bool,
    pub offline: bool,
    /// A folder that is kept, for uv.
    pub tools: &'a Path,
    /// A folder that is kept, for uv's own cache.
    pub cache: &'a Path,
}

/// Resolves to one wheel a package.
///
/// # Errors
/// Whatever keeps the wishes from exact wheels; each error explains itself.
pub(crate) fn resolve(
    request: &ResolveRequest<'_>,
    fetch: &dyn IndexFetch,
    report: &dyn Report,
) -> Result<WheelLock, WheelError> {
    let prepared = PreparedRequest::new(request, report)?;
    let mut packages = Vec::new();
    for candidate in prepared.candidates(fetch, report)? {
        packages.push(prepared.finish(candidate, fetch)?);
    }
    packages.sort_by(|a: &LockedWheel, b| a.name.cmp(&b.name));
    Ok(WheelLock { packages })
}

/// Whether every package of a request needs a hash.
///
/// # Errors
/// As [`resolve`], for what is seen without the network.
pub(crate) fn requires_hashes(request: &ResolveRequest<'_>) -> Result<bool, WheelError> {
    let prepared = PreparedRequest::new(request, &crate::report::SilentReport)?;
    Ok(prepared.is_with_hashes(&prepared.wishes()?))
}

/// Where the packages of a request come from.
///
/// # Errors
/// As [`resolve`], for what is seen without the network.
pub(crate) fn indexes(request: &ResolveRequest<'_>) -> Result<IndexSettings, WheelError> {
    Ok(PreparedRequest::new(request, &crate::report::SilentReport)?.indexes)
}

/// Names a resolution by all that determines it: every requirement with its options, the target,
/// the indexes without credentials, and the resolver. Where [`is_exact`](PreparedRequest::is_exact), the
/// result may be kept under this key for good; else only as long as the index is taken to stand still.
///
/// # Errors
/// As [`resolve`], for what is seen without the network.
pub(crate) fn resolution_key(
    request: &ResolveRequest<'_>,
    report: &dyn Report,
) -> Result<(Key, bool), WheelError> {
    let prepared = PreparedRequest::new(request, report)?;
    Ok((prepared.key(), prepared.is_exact()))
}

#[cfg(test)]
mod tests;
