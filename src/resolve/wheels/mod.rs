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
mod passed_over;
mod pinned;
mod prepared;
mod releases;
mod settings;
mod uv;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

pub(crate) use error::ResolveError;
pub(crate) use fetch::{Fetch, FetchError, Get, Got, Kept};
pub(crate) use from_source::{
    BUILT_FOLDER, Sdist, Stand, locked_sources, needs_build, sdist_for, to_build,
};
pub(crate) use index::find_file;
pub(crate) use local::required_by_address;
pub(crate) use lock::{Location, Lock, LockedSource, LockedWheel, SourceOf, write_pylock};
pub(crate) use passed_over::{OldPin, old_pin};
pub(crate) use settings::Indexes;

use crate::archive::Unpacked;
use crate::oci::Key;
use crate::packages::python::Target;
use crate::packages::python::conditions::Conditions;
use crate::report::Report;
use prepared::Prepared;

/// One file of requirements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequirementsFile<'a> {
    /// Its path in the source, with `/`.
    pub path: &'a str,
    /// Its bytes.
    pub text: &'a [u8],
}

/// Where the wishes stand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// A `pylock.toml`.
    Pylock(RequirementsFile<'a>),
    /// Requirement files, all of which are wanted.
    Requirements(&'a [RequirementsFile<'a>]),
}

/// What is to be resolved, for whom, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The wishes.
    pub input: Input<'a>,
    /// What wheels are for.
    pub target: &'a Target,
    /// Wheels that were built, in place of what they were built from.
    pub built: &'a [Stand],
    /// The bytes of a file of the source, by its path with `/` and without `..`.
    pub read: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// A wheel of the source, or one that was built, by its path.
    pub open: &'a dyn Fn(&str) -> io::Result<File>,
    /// How much a wheel may unpack to.
    pub unpacked: Unpacked,
    /// The names of the files in a folder of the source, by its path; empty is the source itself. None if
    /// there is no such folder.
    pub list: &'a dyn Fn(&str) -> Option<Vec<String>>,
    /// The user's environment: pip's variables, proxies, certificates, PATH, HOME.
    pub environment: &'a BTreeMap<String, String>,
    /// What `${NAME}` in requirement files means: variables that were given to the build, never the
    /// whole of the user's.
    pub given: &'a BTreeMap<String, String>,
    /// What the project's own tool says beyond requirements.
    pub conditions: &'a Conditions,
    /// Refuse to resolve what is not locked.
    pub locked: bool,
    /// Touch no network.
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
    request: &Request<'_>,
    fetch: &dyn Fetch,
    report: &dyn Report,
) -> Result<Lock, ResolveError> {
    let prepared = Prepared::new(request, report)?;
    let mut packages = Vec::new();
    for candidate in prepared.candidates(fetch, report)? {
        packages.push(prepared.finish(candidate, fetch)?);
    }
    packages.sort_by(|a: &LockedWheel, b| a.name.cmp(&b.name));
    Ok(Lock { packages })
}

/// Where the packages of a request come from.
///
/// # Errors
/// As [`resolve`], for what is seen without the network.
pub(crate) fn indexes(request: &Request<'_>) -> Result<Indexes, ResolveError> {
    Ok(Prepared::new(request, &crate::report::Silent)?.indexes)
}

/// Names a resolution by all that determines it: every requirement with its options, the target,
/// the indexes without credentials, and the resolver. Where [`is_exact`](Prepared::is_exact), the
/// result may be kept under this key for good; else only as long as the index is taken to stand still.
///
/// # Errors
/// As [`resolve`], for what is seen without the network.
pub(crate) fn resolution_key(
    request: &Request<'_>,
    report: &dyn Report,
) -> Result<(Key, bool), ResolveError> {
    let prepared = Prepared::new(request, report)?;
    Ok((prepared.key(), prepared.is_exact()))
}

#[cfg(test)]
mod tests;
