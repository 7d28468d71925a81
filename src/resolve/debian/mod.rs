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
    packages::debian::{DebArtefact, DebianBase, Snapshot, ValidUntil, format_date},
};

pub(crate) use error::{DebianError, DebianFetchError};
pub(crate) use layer::LockedLayer;
pub(crate) use lock::{BaseLock, LockedImage, LockedImplied, MAX_AGE_SECONDS, request_digest};

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
    /// The time, at which signatures have to be valid; seconds since 1970.
    pub now_unix_seconds: i64,
    /// What `Valid-Until` means, beside what the base says.
    pub valid_until: ValidUntil,
}

/// What came of a resolution.
#[derive(Debug)]
pub(crate) struct Resolution {
    /// The exact packages, sorted by name.
    pub packages: Vec<DebArtefact>,
    /// Indexes that were used although they have expired.
    pub expired: Vec<ExpiredIndex>,
}

/// An index after the day that it names for its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpiredIndex {
    /// The suite, for instance `forky-updates`.
    pub suite: String,
    /// Until when it may be used, in seconds since 1970.
    pub valid_until: i64,
}

impl std::fmt::Display for ExpiredIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, valid until {}",
            self.suite,
            format_date(self.valid_until)
        )
    }
}

/// How `Valid-Until` of a base's indexes is taken.
#[derive(Debug, Clone, Copy)]
struct IndexValidity {
    meaning: ValidUntil,
    /// When they have to be valid; seconds since 1970.
    at: i64,
}

impl IndexValidity {
    /// As base and caller say. The indexes of a snapshot had to be valid then.
    fn of(base: &DebianBase, context: &DebianContext<'_>) -> Self {
        let date = base.snapshot.as_ref().and_then(Snapshot::date);
        let now = context.now_unix_seconds;
        let meaning = match base.valid_until {
            ValidUntil::Ignore => ValidUntil::Ignore,
            ValidUntil::Check => context.valid_until,
        };
        Self {
            meaning,
            at: date.map_or(now, |date| date.seconds.min(now)),
        }
    }
}

/// The exact packages of `base` for one architecture.
///
/// Reads the indexes of the suite, its updates and its security updates: some 10 MB.
pub(crate) fn resolve(
    base: &DebianBase,
    architecture: Architecture,
    context: &DebianContext<'_>,
) -> Result<Resolution, DebianError> {
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
) -> Result<Resolution, DebianError> {
    let validity = IndexValidity::of(base, context);
    let suites = suite::suites_of(base);
    let mut index = index::SuiteIndex::new(context.scratch);
    let found: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = suites
            .iter()
            .map(|suite| {
                scope.spawn(move || {
                    suite::fetch_indexes(suite, architecture, keys, (validity, context))
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(DebianError::Interrupted)))
            .collect()
    });
    let mut expired = Vec::new();
    for (suite, indexes) in suites.iter().zip(found) {
        let indexes = indexes?;
        expired.extend(indexes.expired);
        for file in indexes.files {
            index.add(suite, file)?;
        }
    }
    index.finish();
    let packages = solve::solve(base, &index)?;
    Ok(Resolution { packages, expired })
}

#[cfg(test)]
mod tests;
