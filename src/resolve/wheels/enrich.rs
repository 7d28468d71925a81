//! What the index knows about an error of uv: that it refused, which project has no wheel, which files
//! there are. It decides; uv's message only says whom to ask about.

use super::error::{NoWheel, WheelError};
use super::fetch::IndexFetch;
use super::index::releases::ProjectReleases;
use super::prepared::PreparedRequest;
use super::uv::{NamedProject, UvFailure};
use crate::packages::python::{PackageName, Version};

/// Most projects that the index is asked about.
const MAX_ASKED: usize = 32;

impl PreparedRequest<'_> {
    /// The error of a failure of uv. uv takes an index that refuses for one that lacks the project,
    /// and a project without wheels for one without versions: both are seen in the index's answer.
    pub(super) fn explained(
        &self,
        failure: UvFailure,
        fetch: Option<&dyn IndexFetch>,
    ) -> WheelError {
        let Some(fetch) = fetch else {
            return failure.error;
        };
        let WheelError::Unsatisfiable { places, reason } = &failure.error else {
            return self.refusal(fetch).unwrap_or(failure.error);
        };
        if failure.mentions.is_empty() {
            return self.refusal(fetch).unwrap_or(failure.error);
        }
        for mention in failure.mentions.iter().take(MAX_ASKED) {
            // What was built stands already; nothing that its index has counts.
            if (self.request.built.iter()).any(|stand| stand.name == mention.name) {
                continue;
            }
            match ProjectReleases::ask(fetch, &self.indexes, &mention.name) {
                Err(error) => return error,
                Ok(releases) => {
                    if let Some(mut no_wheel) = self.without_wheel(mention, &releases) {
                        no_wheel.places.clone_from(places);
                        no_wheel.reason.clone_from(reason);
                        return WheelError::NoWheel(Box::new(no_wheel));
                    }
                }
            }
        }
        failure.error
    }

    /// How the index fails that the first of the wishes is looked for in, if it does.
    fn refusal(&self, fetch: &dyn IndexFetch) -> Option<WheelError> {
        let wishes = self.wishes().ok()?;
        let mut named = wishes.iter().filter(|wish| wish.address().is_none());
        let name = named.find_map(|wish| wish.name())?;
        let error = ProjectReleases::ask(fetch, &self.indexes, name).err()?;
        matches!(error, WheelError::Index { .. } | WheelError::Login { .. }).then_some(error)
    }

    /// Whether a project has no wheel where one is needed: the version that is asked for, or the
    /// newest that the requirements allow if it can be built, or any of them if none can.
    fn without_wheel(&self, mention: &NamedProject, releases: &ProjectReleases) -> Option<NoWheel> {
        let target = self.request.target;
        let name = &mention.name;
        let bounds = self.bounds(name).ok()?;
        let is_allowed = |version: &Version| bounds.iter().all(|bound| bound.contains(version));
        let asked = mention.exact.as_ref().filter(|version| {
            releases.has(version) && is_allowed(version) && !releases.has_wheel(version, target)
        });
        if let Some(version) = asked {
            return Some(self.no_wheel(name, Some(version), version, releases));
        }
        // Others bound a project that no requirement names: its newest version says nothing.
        if mention.exact.is_some() && bounds.is_empty() {
            return None;
        }
        let allowed = releases.newest_first(is_allowed, self.indexes.pre_releases);
        let newest = *allowed.first()?;
        let is_without = |version: &&&Version| !releases.has_wheel(version, target);
        let is_meant = if releases.has_sdist(newest) {
            is_without(&&newest)
        } else {
            allowed.iter().all(|version| is_without(&version))
        };
        is_meant.then(|| self.no_wheel(name, None, newest, releases))
    }

    fn no_wheel(
        &self,
        name: &PackageName,
        asked: Option<&Version>,
        version: &Version,
        releases: &ProjectReleases,
    ) -> NoWheel {
        NoWheel {
            name: name.clone(),
            version: asked.map(ToString::to_string),
            target: *self.request.target,
            places: Vec::new(),
            reason: String::new(),
            has_sdist: releases.has_sdist(version),
            must_be_wheel: false,
            offered: releases.tags_of(version),
        }
    }

    /// Adds what the index knows to an error about a project without a wheel: what files there are.
    /// The index failing to answer changes nothing about the error.
    pub(super) fn enrich(&self, error: WheelError, fetch: Option<&dyn IndexFetch>) -> WheelError {
        let (mut no_wheel, fetch) = match (error, fetch) {
            (WheelError::NoWheel(no_wheel), Some(fetch)) => (no_wheel, fetch),
            (error, _) => return error,
        };
        let releases =
            ProjectReleases::ask(fetch, &self.indexes, &no_wheel.name).unwrap_or_default();
        let version = no_wheel.version.as_ref().and_then(|text| text.parse().ok());
        let newest = || {
            let all = releases.newest_first(|_| true, true);
            all.first().map(|&version| version.clone())
        };
        if let Some(version) = version.or_else(newest) {
            no_wheel.has_sdist |= releases.has_sdist(&version);
            no_wheel.offered.extend(releases.tags_of(&version));
        }
        no_wheel.offered.sort();
        no_wheel.offered.dedup();
        WheelError::NoWheel(no_wheel)
    }
}
