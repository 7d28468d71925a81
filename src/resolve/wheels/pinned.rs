//! Requirements that are pinned and hashed need no resolver: the index's page tells which file has
//! one of the hashes, and the best of these is taken.

use super::index::releases::sdist_stem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::{NoWheel, WheelError, is_debians_own};
use super::fetch::IndexFetch;
use super::index::{ProjectFile, all_linked_files, files_of};
use super::lock::{WheelCandidate, WheelLocation};
use super::settings::IndexSettings;
use crate::packages::python::{
    DirectUrl, FileHash, Requirement, Version, WheelFileName, WheelTarget, is_wheel,
};

/// Pages asked for at once.
const CONNECTIONS: usize = 8;

/// Whether a wish names one file's hash: pinned or at an address, with a sha256.
pub(super) fn is_exact(wish: &Requirement) -> bool {
    let hashed = wish
        .hashes
        .iter()
        .any(|hash| matches!(hash, FileHash::Sha256(_)));
    let wheel_address =
        matches!(wish.address(), Some(DirectUrl::Archive(url)) if is_wheel(&url.file_name()));
    hashed && wish.named().is_some() && (wish.pin().is_some() || wheel_address)
}

/// Finds the file of each exact wish, several pages at a time; on pages of links too.
///
/// # Errors
/// The first wish, in their order, whose file is not found.
pub(super) fn find_all(
    wishes: &[&Requirement],
    indexes: &IndexSettings,
    target: &WheelTarget,
    fetch: &dyn IndexFetch,
) -> Result<Vec<WheelCandidate>, WheelError> {
    let linked = all_linked_files(fetch, indexes)?;
    let next = AtomicUsize::new(0);
    let found: Vec<Mutex<Option<Result<WheelCandidate, WheelError>>>> =
        wishes.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        while let Some(wish) = wishes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let place = wishes
                .iter()
                .position(|other| std::ptr::eq(*other, *wish))
                .unwrap_or(0);
            let result = find(wish, (indexes, &linked), target, fetch);
            if let Ok(mut slot) = found[place].lock() {
                *slot = Some(result);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS.min(wishes.len()) {
            scope.spawn(work);
        }
    });
    found
        .into_iter()
        .filter_map(|slot| slot.into_inner().ok().flatten())
        .collect()
}

fn find(
    wish: &Requirement,
    (indexes, linked): (&IndexSettings, &[ProjectFile]),
    target: &WheelTarget,
    fetch: &dyn IndexFetch,
) -> Result<WheelCandidate, WheelError> {
    let (Some(name), Some(version)) = (wish.name(), wish.pin()) else {
        return at_address(wish, indexes, target);
    };
    let mut files = files_of(fetch, indexes, name)?;
    // Lists of links know no ties.
    if !indexes.named.is_tied_to_index(name) {
        files.extend(linked.iter().filter(|file| file.is_of(name)).cloned());
    }
    let wheels: Vec<(WheelFileName, &ProjectFile)> = files
        .iter()
        .filter_map(|file| Some((file.name.parse().ok()?, file)))
        .filter(|(wheel, _): &(WheelFileName, _)| wheel.name == *name && wheel.version == *version)
        .collect();
    let tags = target.tags();
    let candidate = |wheel: &WheelFileName, file: &ProjectFile| WheelCandidate {
        name: name.clone(),
        file_name: wheel.clone(),
        location: WheelLocation::Remote(file.url.clone()),
        sha256: file.sha256,
        size_bytes: file.size_bytes,
    };
    let allowed = wheels
        .iter()
        .filter(|(_, file)| has_listed_hash(wish, file));
    if let Some((wheel, file)) = tags.best(allowed.map(|(wheel, file)| (wheel, *file))) {
        return Ok(candidate(wheel, file));
    }
    // Where a page tells no hash, the file does.
    let silent = wheels.iter().filter(|(_, file)| file.sha256.is_none());
    if let Some((wheel, file)) = tags.best(silent.map(|(wheel, file)| (wheel, *file))) {
        let kept = (fetch.file(&file.url, None)).map_err(|error| WheelError::Index {
            url: file.url.to_string(),
            error,
        })?;
        let file = ProjectFile {
            sha256: Some(kept.sha256),
            size_bytes: Some(kept.size_bytes),
            ..file.clone()
        };
        if has_listed_hash(wish, &file) {
            return Ok(candidate(wheel, &file));
        }
    }
    // As in pip, a file without a listed hash is as good as none: one may list the source alone.
    let lists_sdist = files
        .iter()
        .any(|file| is_sdist_of(file, version) && has_listed_hash(wish, file));
    if !lists_sdist && wheels.iter().any(|(wheel, _)| tags.rank(wheel).is_some()) {
        return Err(WheelError::Hashes {
            name: name.clone(),
            target: *target,
            position: wish.position.clone(),
        });
    }
    let has_sdist = files.iter().any(|file| is_sdist_of(file, version));
    if wheels.is_empty() && !has_sdist {
        return Err(WheelError::Unsatisfiable {
            places: vec![wish.position.clone()],
            reason: format!("the index has no {name} {version}"),
            asks_for_debians_own: is_debians_own(wish),
        });
    }
    Err(WheelError::NoWheel(Box::new(NoWheel {
        name: name.clone(),
        version: Some(version.to_string()),
        target: *target,
        places: vec![wish.position.clone()],
        reason: String::new(),
        has_sdist,
        must_be_wheel: false,
        offered: wheels.iter().map(|(wheel, _)| wheel.tag_text()).collect(),
    })))
}

/// A wheel named by its address and hash needs no page.
fn at_address(
    wish: &Requirement,
    indexes: &IndexSettings,
    target: &WheelTarget,
) -> Result<WheelCandidate, WheelError> {
    let needs_build = || WheelError::NeedsBuild {
        wish: wish.to_string(),
        position: wish.position.clone(),
    };
    let (Some(name), Some(DirectUrl::Archive(url))) = (wish.name(), wish.address()) else {
        return Err(needs_build());
    };
    let wheel: WheelFileName = url.file_name().parse().map_err(|_| needs_build())?;
    if target.tags().rank(&wheel).is_none() || wheel.name != *name {
        return Err(WheelError::NoWheel(Box::new(NoWheel {
            name: name.clone(),
            version: Some(wheel.version.to_string()),
            target: *target,
            places: vec![wish.position.clone()],
            reason: String::new(),
            has_sdist: false,
            must_be_wheel: false,
            offered: vec![wheel.tag_text()],
        })));
    }
    Ok(WheelCandidate {
        name: name.clone(),
        file_name: wheel,
        location: WheelLocation::Remote(indexes.with_credentials(url.clone(), None)),
        sha256: wish.hashes.iter().find_map(|hash| match hash {
            FileHash::Sha256(sha256) => Some(*sha256),
            FileHash::Other(_) => None,
        }),
        size_bytes: None,
    })
}

fn has_listed_hash(wish: &Requirement, file: &ProjectFile) -> bool {
    file.sha256
        .is_some_and(|sha256| wish.hashes.contains(&FileHash::Sha256(sha256)))
}

/// Whether a file is a source distribution of a version: `name-1.0.tar.gz`.
pub(super) fn is_sdist_of(file: &ProjectFile, version: &Version) -> bool {
    sdist_stem(&file.name)
        .and_then(|stem| stem.rsplit_once('-'))
        .and_then(|(_, found)| found.parse::<Version>().ok())
        .is_some_and(|found| found == *version)
}
