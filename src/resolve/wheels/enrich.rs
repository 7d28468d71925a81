//! What the index knows about an error of uv: that it refused, which project has no wheel, which files
//! there are. It decides; uv's message only says whom to ask about.

use super::error::{NoWheel, WheelError};
use super::fetch::IndexFetch;
use super::index::releases::ProjectReleases;
use super::lock::{LockSelection, WheelCandidate, WheelLocation};
use super::prepared::PreparedRequest;
use super::uv::{Behind, CompileRequest, NamedProject, UvFailure, UvTool, compile, serve};
use crate::packages::python::{FormatRule, PackageName, Version};

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
        let WheelError::Unsatisfiable { places, reason, .. } = &failure.error else {
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

    /// The error of a range that source distributions alone meet, as others ask for it: uv is asked again, and sees
    /// the source distributions of the projects that it has named as wheels. The first that it takes has to be built.
    pub(super) fn or_to_build(
        &self,
        error: WheelError,
        mentions: &[PackageName],
        (tool, task): (&UvTool, &CompileRequest<'_>),
        fetch: Option<&dyn IndexFetch>,
    ) -> WheelError {
        let (WheelError::Unsatisfiable { places, reason, .. }, Some(fetch)) = (&error, fetch)
        else {
            return error;
        };
        let may_be_built = |name: &&PackageName| {
            self.indexes.formats.of(name) != FormatRule::Wheel
                && !self.request.built.iter().any(|stand| stand.name == **name)
        };
        let standing = mentions.iter().filter(may_be_built).take(MAX_ASKED);
        let standing: Vec<PackageName> = standing.cloned().collect();
        // With hashes, nobody has listed one for what others need.
        if standing.is_empty() || self.is_with_hashes(task.wishes) {
            return error;
        }
        let behind = Behind {
            indexes: &self.indexes,
            fetch,
            standing: &standing,
            target: self.request.target,
        };
        let served = serve(behind, |front| {
            let task = CompileRequest {
                front: Some(front),
                ..*task
            };
            (front.to_owned(), compile(tool, &task))
        });
        let Ok(((front, Ok(lock)), None)) = served else {
            return error;
        };
        let taken = LockSelection {
            path: "uv's lock",
            lock: &lock,
            target: self.request.target,
            source_path: &|named| Some(named.to_owned()),
            built: &[],
        }
        .candidates();
        let is_stand = |one: &WheelCandidate| matches!(&one.location, WheelLocation::Remote(url) if url.as_str().starts_with(&front));
        let Some(stand) = taken.unwrap_or_default().into_iter().find(is_stand) else {
            return error;
        };
        WheelError::NoWheel(Box::new(NoWheel {
            name: stand.name,
            version: Some(stand.file_name.version.to_string()),
            target: *self.request.target,
            places: places.clone(),
            reason: reason.clone(),
            has_sdist: true,
            must_be_wheel: false,
            offered: Vec::new(),
        }))
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
