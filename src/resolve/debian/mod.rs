//! Turns a list of Debian packages into exact `.deb` files: url, digest, size.
//!
//! The suite's `InRelease` is checked against the archive keys compiled in, `Packages` against
//! `InRelease`; each `.deb` is to be held against its digest by who fetches it. The closure holds what the list needs, without
//! `Recommends` and without implied essential packages, because no maintainer script ever runs.
//! Refuses anything unsigned, expired or of another suite. Knows no clock: `now` is passed in.

mod error;
mod index;
mod layer;
mod lock;
mod signature;
mod solve;
mod suite;

use std::{io::Read, path::Path};

use crate::{
    oci::Architecture,
    packages::debian::{DebArtefact, DebianBase},
};

pub(crate) use error::{DebianError, DebianFetchError};
pub(crate) use layer::LockedLayer;
pub(crate) use lock::{BaseLock, LockedImage, MAX_AGE_SECONDS, request_digest};

/// Asks for one url. `crate::net` is the real one; tests have a fake.
pub(crate) trait DebianFetch: Sync {
    /// The body at `url`; reading more than `max_bytes` of it must fail or end.
    fn get(&self, url: &str, max_bytes: u64) -> Result<Box<dyn Read + '_>, DebianFetchError>;
}

/// What a resolution works with.
#[derive(Clone, Copy)]
pub(crate) struct DebianContext<'a> {
    /// Where urls are asked for.
    pub fetch: &'a dyn DebianFetch,
    /// A folder for files that are gone afterwards; about 30 MB are written.
    pub scratch: &'a Path,
    /// The time, against which `Valid-Until` is held; seconds since 1970.
    pub now_unix_seconds: i64,
}

/// The exact packages of `base` for one architecture, sorted by name.
///
/// Reads the indexes of the suite, its updates and its security updates: some 10 MB.
pub(crate) fn resolve(
    base: &DebianBase,
    architecture: Architecture,
    context: &DebianContext<'_>,
) -> Result<Vec<DebArtefact>, DebianError> {
    resolve_with(
        &signature::SuiteKeyring::embedded()?,
        base,
        architecture,
        context,
    )
}

/// As [`resolve`], with these keys.
fn resolve_with(
    keys: &signature::SuiteKeyring,
    base: &DebianBase,
    architecture: Architecture,
    context: &DebianContext<'_>,
) -> Result<Vec<DebArtefact>, DebianError> {
    let suites = suite::suites_of(base);
    let mut index = index::SuiteIndex::new(context.scratch);
    let found: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = suites
            .iter()
            .map(|suite| {
                scope.spawn(move || suite::fetch_indexes(suite, architecture, keys, context))
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(DebianError::Interrupted)))
            .collect()
    });
    for (suite, files) in suites.iter().zip(found) {
        for file in files? {
            index.add(suite, file)?;
        }
    }
    index.finish();
    solve::solve(base, &index)
}

#[cfg(test)]
mod tests;
