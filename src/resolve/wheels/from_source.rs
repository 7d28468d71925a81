//! What has no wheel until somebody builds one: which wishes those are, which source distribution
//! stands for a name, and the built wheels that stand in for both.

use super::error::WheelError;
use super::fetch::IndexFetch;
use super::index::releases::sdist_version;
use super::index::{ProjectFile, files_of};
use super::lock::{LockSelection, LockedSource};
use super::{PreparedRequest, ResolveRequest};

use crate::packages::Sha256;
use crate::packages::python::{
    DirectUrl, FileHash, PackageName, PackageUrl, Requirement, RequirementKind, Version,
    VersionSpecifiers, is_wheel, resolve_path,
};
use crate::report::SilentReport;

/// A source distribution of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexSdist {
    pub file_name: String,
    /// Where it is; carries the index's credentials.
    pub url: PackageUrl,
    pub sha256: Sha256,
    /// Its length in bytes, where the index tells.
    pub size_bytes: Option<u64>,
}

/// Whether a wish names something that has to be built before anything is known of it.
pub(crate) fn needs_build(wish: &Requirement) -> bool {
    match wish.address() {
        None => false,
        Some(DirectUrl::Archive(url)) => !is_wheel(&url.file_name()),
        Some(DirectUrl::Repository(_)) => true,
        Some(DirectUrl::Path(path)) => {
            !is_wheel(path) || matches!(wish.kind, RequirementKind::Unnamed { editable: true, .. })
        }
    }
}

/// The wishes of a request that have to be built first.
///
/// # Errors
/// As [`super::resolve`], for what is seen without the network.
pub(crate) fn to_build(request: &ResolveRequest<'_>) -> Result<Vec<Requirement>, WheelError> {
    let prepared = PreparedRequest::new(request, &SilentReport)?;
    let wishes = prepared.wishes()?;
    Ok(wishes
        .into_iter()
        .filter(|wish| needs_build(wish))
        .cloned()
        .collect())
}

/// The packages of a lock that have to be built for the target.
///
/// # Errors
/// As [`super::resolve`], for what is seen without building.
pub(crate) fn locked_sources(
    request: &ResolveRequest<'_>,
) -> Result<Vec<LockedSource>, WheelError> {
    let prepared = PreparedRequest::new(request, &SilentReport)?;
    let Some((path, lock)) = &prepared.pylock else {
        return Ok(Vec::new());
    };
    LockSelection {
        path,
        lock,
        target: request.target,
        source_path: &|named| resolve_path(path, named),
        built: request.built,
    }
    .sources()
}

/// The newest source distribution of a project that the request's wishes and constraints allow, as
/// pip would choose: no pre-release unless asked for, nothing that was taken back, hashes obeyed.
///
/// # Errors
/// An index that does not answer.
pub(crate) fn sdist_for(
    request: &ResolveRequest<'_>,
    name: &PackageName,
    version: Option<&str>,
    fetch: &dyn IndexFetch,
) -> Result<Option<IndexSdist>, WheelError> {
    let prepared = PreparedRequest::new(request, &SilentReport)?;
    let of_name = prepared.of_name(name)?;
    let exact: Option<Version> = version.and_then(|text| text.parse().ok());
    let bounds = prepared.bounds(name)?;
    let hashes: Vec<FileHash> = of_name
        .iter()
        .flat_map(|wish| wish.hashes.clone())
        .collect();
    let python = request.target.python.version();
    let mut found: Vec<(Version, ProjectFile)> = Vec::new();
    for file in files_of(fetch, &prepared.indexes, name)? {
        let fits_python = file.requires_python.as_deref().is_none_or(|text| {
            text.parse::<VersionSpecifiers>()
                .map_or(true, |requires| requires.contains(&python))
        });
        let Some(version) = sdist_version(&file.name, name) else {
            continue;
        };
        let is_allowed = bounds.iter().all(|bound| bound.contains(&version))
            && exact.as_ref().is_none_or(|exact| *exact == version)
            && (exact.is_some() || !file.yanked)
            && file.sha256.is_some_and(|sha256| {
                hashes.is_empty() || hashes.contains(&FileHash::Sha256(sha256))
            });
        if fits_python && is_allowed {
            found.push((version, file));
        }
    }
    if !prepared.indexes.pre_releases && found.iter().any(|(version, _)| version.is_stable()) {
        found.retain(|(version, _)| version.is_stable());
    }
    // Of one version's files, the tar archive before the zip.
    let best = found.into_iter().max_by(|(a, x), (b, y)| {
        a.cmp(b).then_with(|| y.name.cmp(&x.name)).then_with(|| {
            x.name
                .ends_with(".tar.gz")
                .cmp(&y.name.ends_with(".tar.gz"))
        })
    });
    Ok(best.and_then(|(_, file)| {
        Some(IndexSdist {
            sha256: file.sha256?,
            file_name: file.name,
            url: file.url,
            size_bytes: file.size_bytes,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::python::Position;
    use crate::resolve::wheels::lock::{WheelLocation, WheelOverride};
    use crate::resolve::wheels::prepared::put_in;

    #[test]
    fn built_wheels_stand_where_they_were_wished_for() {
        let source = crate::packages::python::ReadAccess {
            read: &|_| None,
            variable: &|_| None,
        };
        let text = b"-e ./lib[web] ; python_version > '3'\nflask\nx[a] @ git+https://h/x.git ; python_version > '3'\n";
        let mut wishes = crate::packages::python::parse("r.txt", text, &source)
            .unwrap()
            .wishes;
        assert_eq!(wishes.iter().filter(|wish| needs_build(wish)).count(), 2);
        let stand = |name: &str, line: Option<usize>| WheelOverride {
            name: name.parse().unwrap(),
            file_name: format!("{name}-1-py3-none-any.whl"),
            path: format!("/built/{name}-1-py3-none-any.whl").into(),
            sha256: Sha256([0; 32]),
            size_bytes: 0,
            location: WheelLocation::Source(String::new()),
            instead_of: line.map(|line| Position {
                path: "r.txt".to_owned(),
                line,
            }),
            extras: vec!["own".parse().unwrap()],
            from: String::new(),
        };
        put_in(
            &mut wishes,
            &[
                stand("lib", Some(1)),
                stand("x", Some(3)),
                stand("app", None),
            ],
        );
        let shown: Vec<String> = wishes.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 4);
        assert!(shown[0].starts_with("lib[web] @"), "{shown:?}");
        assert!(shown[0].contains("; python_"), "{shown:?}");
        assert!(shown[2].starts_with("x[a] @"), "{shown:?}");
        assert!(shown[3].starts_with("app[own] @"), "{shown:?}");
        assert!(!wishes.iter().any(needs_build));
        // A file of the source that has a built wheel's name is another one.
        let named = Requirement::read("lib @ ./lib-1-py3-none-any.whl", Position::whole("r.txt"));
        assert_ne!(named.unwrap().address(), wishes[0].address());
    }
}
