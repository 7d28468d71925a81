//! The releases of a project, as the files of its index pages tell them: which have a wheel for a
//! target, which can be built, which were taken back.

use std::collections::BTreeMap;

use super::{ProjectFile, project_files};
use crate::packages::python::{
    PackageName, Version, VersionSpecifiers, WheelFileName, WheelTarget,
};
use crate::resolve::wheels::error::WheelError;
use crate::resolve::wheels::fetch::IndexFetch;
use crate::resolve::wheels::settings::IndexSettings;

/// A wheel, and the versions of Python that its index says it is for.
struct IndexWheel {
    name: WheelFileName,
    requires_python: Option<VersionSpecifiers>,
}

/// One version of a project.
#[derive(Default)]
struct IndexRelease {
    wheels: Vec<IndexWheel>,
    /// Source distributions, by the versions of Python that the index says they are for.
    sdists: Vec<Option<VersionSpecifiers>>,
    is_yanked: bool,
}

/// The releases of one project, by version.
#[derive(Default)]
pub(in crate::resolve::wheels) struct ProjectReleases(BTreeMap<Version, IndexRelease>);

impl ProjectReleases {
    /// What all indexes have of a project; empty if none of them knows it.
    ///
    /// # Errors
    /// An index that does not answer or refuses.
    pub(in crate::resolve::wheels) fn ask(
        fetch: &dyn IndexFetch,
        indexes: &IndexSettings,
        name: &PackageName,
    ) -> Result<Self, WheelError> {
        for group in indexes.groups(name)? {
            let mut files = Vec::new();
            for index in group {
                match project_files(fetch, indexes, index, name) {
                    Ok(found) => files.extend(found),
                    // What is no page of an index tells nothing.
                    Err(WheelError::NoIndexPage { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            if !files.is_empty() {
                return Ok(Self::of(&files, name));
            }
        }
        Ok(Self::default())
    }

    /// Sorts files by the version in their names; those of other projects are left out.
    pub(in crate::resolve::wheels) fn of(files: &[ProjectFile], name: &PackageName) -> Self {
        let mut releases = Self::default();
        for file in files {
            if let Ok(wheel) = file.name.parse::<WheelFileName>() {
                if wheel.name == *name {
                    let release = releases.0.entry(wheel.version.clone()).or_default();
                    release.is_yanked |= file.yanked;
                    let requires = file.requires_python.as_deref();
                    release.wheels.push(IndexWheel {
                        name: wheel,
                        requires_python: requires.and_then(|text| text.parse().ok()),
                    });
                }
            } else if let Some(version) = sdist_version(&file.name, name) {
                let release = releases.0.entry(version).or_default();
                release.is_yanked |= file.yanked;
                let requires = file.requires_python.as_deref();
                release
                    .sdists
                    .push(requires.and_then(|text| text.parse().ok()));
            }
        }
        releases
    }

    /// Whether a version has a wheel that can be installed for a target.
    pub(in crate::resolve::wheels) fn has_wheel(
        &self,
        version: &Version,
        target: &WheelTarget,
    ) -> bool {
        let tags = target.tags();
        let python = target.python.version();
        self.0.get(version).is_some_and(|release| {
            release.wheels.iter().any(|wheel| {
                let requires = wheel.requires_python.as_ref();
                tags.rank(&wheel.name).is_some()
                    && requires.is_none_or(|requires| requires.contains(&python))
            })
        })
    }

    pub(in crate::resolve::wheels) fn has_sdist(&self, version: &Version) -> bool {
        self.0
            .get(version)
            .is_some_and(|release| !release.sdists.is_empty())
    }

    /// Whether a version has no wheel for a target and a source distribution for its Python.
    pub(in crate::resolve::wheels) fn has_only_sdist(
        &self,
        version: &Version,
        target: &WheelTarget,
    ) -> bool {
        let python = target.python.version();
        let fits = |requires: &Option<VersionSpecifiers>| {
            requires
                .as_ref()
                .is_none_or(|requires| requires.contains(&python))
        };
        !self.has_wheel(version, target)
            && (self.0.get(version)).is_some_and(|release| release.sdists.iter().any(fits))
    }

    /// The first release after a version that has a wheel for a target.
    pub(in crate::resolve::wheels) fn first_with_wheel_after(
        &self,
        version: &Version,
        target: &WheelTarget,
    ) -> Option<&Version> {
        let mut later = self
            .0
            .iter()
            .filter(|(other, release)| *other > version && other.is_stable() && !release.is_yanked);
        later
            .find(|(other, _)| self.has_wheel(other, target))
            .map(|(other, _)| other)
    }

    pub(in crate::resolve::wheels) fn has(&self, version: &Version) -> bool {
        self.0.contains_key(version)
    }

    /// What the wheels of a version are for: their tags, sorted, each once.
    pub(in crate::resolve::wheels) fn tags_of(&self, version: &Version) -> Vec<String> {
        let release = self.0.get(version);
        let mut tags: Vec<String> = release
            .into_iter()
            .flat_map(|release| &release.wheels)
            .map(|wheel| wheel.name.tag_text())
            .collect();
        tags.sort();
        tags.dedup();
        tags
    }

    /// Versions that are allowed and were not taken back, the newest first; pre-releases only where
    /// they are wanted or there is nothing else.
    pub(in crate::resolve::wheels) fn newest_first(
        &self,
        is_allowed: impl Fn(&Version) -> bool,
        with_pre_releases: bool,
    ) -> Vec<&Version> {
        let allowed = self
            .0
            .iter()
            .rev()
            .filter(|(version, release)| !release.is_yanked && is_allowed(version));
        let all: Vec<&Version> = allowed.map(|(version, _)| version).collect();
        let stable = all.iter().copied().filter(|version| version.is_stable());
        let stable: Vec<&Version> = stable.collect();
        if with_pre_releases || stable.is_empty() {
            all
        } else {
            stable
        }
    }
}

/// The version in a source distribution's file name, if it is one of this project.
pub(in crate::resolve::wheels) fn sdist_version(
    file_name: &str,
    name: &PackageName,
) -> Option<Version> {
    let (project, version) = sdist_stem(file_name)?.rsplit_once('-')?;
    let project: PackageName = project.parse().ok()?;
    (project == *name).then(|| version.parse().ok())?
}

/// The name of a source distribution without its ending.
pub(in crate::resolve::wheels) fn sdist_stem(name: &str) -> Option<&str> {
    [".tar.gz", ".zip", ".tar.bz2", ".tgz"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::python::{PackageUrl, testing};

    fn files(names: &[&str]) -> Vec<ProjectFile> {
        let file = |name: &&str| ProjectFile {
            has_metadata: false,
            uploaded: None,
            name: name.trim_end_matches('!').to_owned(),
            url: PackageUrl::parse("https://h/f").unwrap(),
            sha256: None,
            size_bytes: None,
            requires_python: name.contains("old").then(|| "<3.9".to_owned()),
            yanked: name.ends_with('!'),
        };
        names.iter().map(file).collect()
    }

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn names_and_versions_of_source_distributions() {
        let name: PackageName = "my-thing".parse().unwrap();
        for (file, expected) in [
            ("my_thing-1.0.tar.gz", Some("1.0")),
            ("my-thing-1.0rc1.zip", Some("1.0rc1")),
            ("my.thing-2.tar.bz2", Some("2")),
            ("other-1.0.tar.gz", None),
            ("my_thing-1.0-py3-none-any.whl", None),
            ("my_thing.tar.gz", None),
        ] {
            assert_eq!(sdist_version(file, &name), expected.map(version), "{file}");
        }
    }

    #[test]
    fn releases_are_told_by_their_files() {
        let target = testing::target();
        let name: PackageName = "x".parse().unwrap();
        let files = files(&[
            "x-1.0-cp311-cp311-manylinux_2_17_x86_64.whl",
            "x-1.0.tar.gz",
            "x-1.1.tar.gz",
            "x-1.2-cp313-cp313-manylinux_2_17_x86_64.whl!",
            "x-1.3-cp313-cp313-manylinux_2_17_x86_64.whl",
            "x-2.0rc1-py3-none-any.whl",
            "y-9-py3-none-any.whl",
        ]);
        let releases = ProjectReleases::of(&files, &name);
        assert!(!releases.has_wheel(&version("1.0"), &target));
        assert!(releases.has_sdist(&version("1.0")) && !releases.has(&version("9")));
        assert!(releases.has_only_sdist(&version("1.1"), &target));
        assert!(!releases.has_only_sdist(&version("1.3"), &target));
        let first = releases.first_with_wheel_after(&version("1.0"), &target);
        assert_eq!(first, Some(&version("1.3")));
        let newest = |pre| releases.newest_first(|_| true, pre)[0].clone();
        assert_eq!(
            (newest(false), newest(true)),
            (version("1.3"), version("2.0rc1"))
        );
    }
}
