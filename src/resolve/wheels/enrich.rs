//! What the index knows about an error of uv: that it refused, or which files there are.

use super::error::ResolveError;
use super::fetch::Fetch;
use super::index::{self, IndexFile};
use super::pinned;
use super::prepared::Prepared;
use crate::packages::python::WheelFileName;

impl Prepared<'_> {
    /// uv takes an index that refuses for one that lacks the project. So the index is asked once
    /// more, and its refusal, if it is one, is the error.
    fn refusal(&self, reason: &str, fetch: &dyn Fetch) -> Option<ResolveError> {
        let before = reason
            .split(" was not found in the package registry")
            .next()?;
        let name = before
            .split_whitespace()
            .next_back()?
            .parse()
            .ok()
            .filter(|_| before.len() < reason.len())?;
        self.indexes.all().find_map(|index| {
            index::project_files(fetch, &self.indexes, index, &name)
                .err()
                .filter(|error| !matches!(error, ResolveError::NoIndexPage { .. }))
        })
    }

    /// Adds what the index knows to an error about a project without a wheel: what files there are.
    /// The index failing to answer changes nothing about the error.
    pub(super) fn enrich(&self, error: ResolveError, fetch: Option<&dyn Fetch>) -> ResolveError {
        let mut no_wheel = match (error, fetch) {
            (ResolveError::NoWheel(no_wheel), Some(_)) => no_wheel,
            (ResolveError::Unsatisfiable { places, reason }, Some(fetch)) => {
                return self
                    .refusal(&reason, fetch)
                    .unwrap_or(ResolveError::Unsatisfiable { places, reason });
            }
            (error, _) => return error,
        };
        let files: Vec<IndexFile> = fetch
            .into_iter()
            .flat_map(|fetch| self.indexes.all().map(move |index| (fetch, index)))
            .flat_map(|(fetch, index)| {
                index::project_files(fetch, &self.indexes, index, &no_wheel.name)
                    .unwrap_or_default()
            })
            .collect();
        let version = no_wheel.version.as_ref().and_then(|text| text.parse().ok());
        let wheels: Vec<WheelFileName> = files
            .iter()
            .filter_map(|file| file.name.parse().ok())
            .collect();
        let newest = version
            .clone()
            .or_else(|| wheels.iter().map(|wheel| &wheel.version).max().cloned());
        no_wheel.has_sdist |= files.iter().any(|file| match &version {
            Some(version) => pinned::is_sdist_of(file, version),
            None => pinned::sdist_stem(&file.name).is_some(),
        });
        no_wheel.offered.extend(
            wheels
                .iter()
                .filter(|wheel| Some(&wheel.version) == newest.as_ref())
                .map(WheelFileName::tag_text),
        );
        no_wheel.offered.sort();
        no_wheel.offered.dedup();
        ResolveError::NoWheel(no_wheel)
    }
}
