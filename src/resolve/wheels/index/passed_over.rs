//! Releases that are passed over because they have no wheel, and wheels that a pin passes by: both as the index's
//! pages tell it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::releases::ProjectReleases;
use crate::packages::python::{
    FormatRule, PackageName, Position, Requirement, Version, WheelTarget,
};
use crate::report::{Event, Report, SilentReport};
use crate::resolve::wheels::error::{NoWheel, WheelError};
use crate::resolve::wheels::fetch::IndexFetch;
use crate::resolve::wheels::lock::WheelCandidate;
use crate::resolve::wheels::prepared::PreparedRequest;
use crate::resolve::wheels::settings::{IndexSettings, PREFER};
use crate::resolve::wheels::{ResolveRequest, WheelLocation};

/// Pages asked for at once.
const CONNECTIONS: usize = 4;
/// Most projects that the index is asked about.
const MAX_ASKED: usize = 64;

/// The releases of projects.
pub(in crate::resolve::wheels) type Pages = Vec<(PackageName, ProjectReleases)>;

/// The releases of projects. A page that cannot be had tells nothing; whoever needs it says so.
pub(in crate::resolve::wheels) fn pages(
    names: &[PackageName],
    indexes: &IndexSettings,
    fetch: &dyn IndexFetch,
) -> Pages {
    let next = AtomicUsize::new(0);
    let pages = Mutex::new(Pages::new());
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS.min(names.len()) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Ok(releases) = ProjectReleases::ask(fetch, indexes, name)
                        && let Ok(mut pages) = pages.lock()
                    {
                        pages.push((name.clone(), releases));
                    }
                }
            });
        }
    });
    let mut pages = pages.into_inner().unwrap_or_default();
    pages.sort_by(|(one, _), (other, _)| one.cmp(other));
    pages
}

impl PreparedRequest<'_> {
    /// What lines name without a pin: there a newer release may be passed over.
    pub(in crate::resolve::wheels) fn unpinned(&self, wishes: &[&Requirement]) -> Vec<PackageName> {
        let is_open = |wish: &&&Requirement| {
            wish.pin().is_none() && wish.address().is_none() && wish.hashes.is_empty()
        };
        let names = wishes.iter().filter(is_open).filter_map(|wish| wish.name());
        names
            .filter(|name| self.indexes.formats.of(name) == FormatRule::Any)
            .filter(|name| !self.request.built.iter().any(|stand| stand.name == **name))
            .take(MAX_ASKED)
            .cloned()
            .collect()
    }

    /// Tells of newer releases that have a source distribution only, or has the first of them built.
    ///
    /// # Errors
    /// The newest is wanted, and has to be built.
    pub(in crate::resolve::wheels) fn look_at_passed_over(
        &self,
        candidates: &[WheelCandidate],
        pages: &Pages,
        report: &dyn Report,
    ) -> Result<(), WheelError> {
        let target = self.request.target;
        let taken = &self.indexes.taken;
        let is_lowest = taken
            .resolution
            .as_deref()
            .is_some_and(|which| which != "highest");
        if is_lowest {
            return Ok(());
        }
        for (name, releases) in pages {
            let candidate = candidates.iter().find(|one| one.name == *name);
            let Some(candidate) =
                candidate.filter(|one| matches!(one.location, WheelLocation::Remote(_)))
            else {
                continue;
            };
            let bounds = self.bounds(name)?;
            let is_allowed = |version: &Version| bounds.iter().all(|bound| bound.contains(version));
            let version = &candidate.file_name.version;
            let newer = releases.newest_first(is_allowed, self.indexes.pre_releases);
            let mut newer = newer.into_iter().take_while(|newest| *newest > version);
            let Some(newest) = newer.find(|newest| releases.has_only_sdist(newest, target)) else {
                continue;
            };
            if taken.prefers_newest && !self.indexes.formats.prefers_wheels() {
                return Err(WheelError::NoWheel(Box::new(NoWheel {
                    name: name.clone(),
                    version: Some(newest.to_string()),
                    target: *target,
                    places: Vec::new(),
                    reason: format!("{PREFER}=newest asks for it"),
                    has_sdist: true,
                    must_be_wheel: false,
                    offered: releases.tags_of(newest),
                })));
            }
            report.event(Event::Warning {
                text: format!(
                    "{name} {version} is taken; {newest} has a source distribution only, as far as this Python goes"
                ),
                hint: format!("{PREFER}=newest (-e, .s2i/environment) builds it"),
            });
        }
        Ok(())
    }
}

/// What an index has in place of a pin that has no wheel for the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OldPin {
    /// Where it is pinned.
    pub position: Position,
    /// The first later release that has a wheel.
    pub first: Option<Version>,
    /// Which of the other targets the pinned release has a wheel for.
    pub others: Vec<WheelTarget>,
}

/// What the index has in place of a release that is pinned; none if it is not pinned, or there is nothing.
///
/// # Errors
/// As [`crate::resolve::wheels::resolve`], for what is seen without resolving.
pub(crate) fn old_pin(
    request: &ResolveRequest<'_>,
    (name, version): (&PackageName, &Version),
    others: &[WheelTarget],
    fetch: &dyn IndexFetch,
) -> Result<Option<OldPin>, WheelError> {
    let prepared = PreparedRequest::new(request, &SilentReport)?;
    let wishes = prepared.of_name(name)?;
    let Some(pinned) = wishes.iter().find(|wish| wish.pin() == Some(version)) else {
        return Ok(None);
    };
    let releases = ProjectReleases::ask(fetch, &prepared.indexes, name)?;
    let found = OldPin {
        position: pinned.position.clone(),
        first: releases
            .first_with_wheel_after(version, request.target)
            .cloned(),
        others: others
            .iter()
            .filter(|other| releases.has_wheel(version, other))
            .copied()
            .collect(),
    };
    Ok((found.first.is_some() || !found.others.is_empty()).then_some(found))
}
