//! The result: one exact wheel a package, for one target; from a `pylock.toml` and back to one.

use crate::packages::python::Position;
use pep508_rs::ExtraName;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{NoWheel, WheelError};
use crate::oci::Digest;
use crate::packages::Sha256;
use crate::packages::python::{
    AcceptedTags, DirectUrl, LockedFile, LockedPackage, LockedTree, MarkerTree, PackageName,
    PackageUrl, Pylock, Version, WheelFileName, WheelTarget, paths_outside,
};

/// The exact wheels of one target, by name, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WheelLock {
    pub packages: Vec<LockedWheel>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockedWheel {
    pub name: PackageName,
    pub version: Version,
    pub file_name: WheelFileName,
    /// Where its bytes are.
    pub location: WheelLocation,
    /// The hash that the bytes must have.
    pub sha256: Digest,
    /// Their number, where it is known beforehand.
    pub size_bytes: Option<u64>,
}

impl LockedWheel {
    /// Whether it is the project itself, which no lock of its dependencies names.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.location, WheelLocation::Built { is_own: true, .. })
    }
}

/// Where a wheel's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WheelLocation {
    /// On a server; the url carries credentials where its index has them, and prints without.
    Remote(PackageUrl),
    /// A file of the source, by its path with `/`.
    Source(String),
    /// In the store: it was built.
    Built {
        /// Whether it is the project itself.
        is_own: bool,
        /// What from, for a lock.
        from: Box<SourceOf>,
    },
}

/// What a wheel is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceOf {
    /// A source distribution or another archive.
    Archive {
        file_name: String,
        /// Where it is; a path is one of the source.
        location: DirectUrl,
        sha256: Sha256,
        /// Its length in bytes, where it is known beforehand.
        size_bytes: Option<u64>,
    },
    /// A folder or a repository; paths are the source's.
    Tree(LockedTree),
}

/// A package of a lock that has to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockedSource {
    pub name: PackageName,
    pub from: SourceOf,
}

/// A lock and how it names the paths in it.
pub(super) struct LockSelection<'a> {
    /// What the lock is called in messages.
    pub(super) path: &'a str,
    pub(super) lock: &'a Pylock,
    /// What to choose for.
    pub(super) target: &'a WheelTarget,
    /// Turns a path of the lock into one of the source.
    pub(super) source_path: &'a dyn Fn(&str) -> Option<String>,
    /// Wheels that were built for packages of the lock.
    pub(super) built: &'a [WheelOverride],
}

/// A wheel that may lack a hash still.
pub(super) struct WheelCandidate {
    pub(super) name: PackageName,
    pub(super) file_name: WheelFileName,
    pub(super) location: WheelLocation,
    pub(super) sha256: Option<Sha256>,
    pub(super) size_bytes: Option<u64>,
}

impl WheelCandidate {
    pub(super) fn locked(self, sha256: Sha256) -> LockedWheel {
        LockedWheel {
            name: self.name,
            version: self.file_name.version.clone(),
            file_name: self.file_name,
            location: self.location,
            sha256: Digest::from_bytes(sha256.0),
            size_bytes: self.size_bytes,
        }
    }
}

impl LockSelection<'_> {
    /// Chooses the best wheel of each package that applies to the target.
    ///
    /// # Errors
    /// A package twice, without a fitting wheel, or to be built; another Python or environment.
    pub(super) fn candidates(&self) -> Result<Vec<WheelCandidate>, WheelError> {
        let markers = self
            .target
            .markers()
            .map_err(|error| WheelError::Target(error.to_string()))?;
        self.check_python(self.lock.requires_python.as_ref())?;
        if !self.lock.is_for(&markers) {
            return Err(WheelError::Environment {
                path: self.path.to_owned(),
                target: *self.target,
            });
        }
        let tags = self.target.tags();
        let mut chosen: BTreeMap<PackageName, WheelCandidate> = BTreeMap::new();
        for package in self
            .lock
            .packages
            .iter()
            .filter(|package| package.applies(&markers))
        {
            self.check_python(package.requires_python.as_ref())?;
            let candidate = self.choose(package, &tags)?;
            if chosen.insert(package.name.clone(), candidate).is_some() {
                return Err(WheelError::Twice {
                    path: self.path.to_owned(),
                    name: package.name.clone(),
                });
            }
        }
        Ok(chosen.into_values().collect())
    }

    fn check_python(
        &self,
        requires: Option<&crate::packages::python::VersionSpecifiers>,
    ) -> Result<(), WheelError> {
        match requires {
            Some(requires) if !requires.contains(&self.target.python.version()) => {
                Err(WheelError::Python {
                    path: self.path.to_owned(),
                    requires: requires.to_string(),
                    target: *self.target,
                })
            }
            _ => Ok(()),
        }
    }

    /// The packages that apply to the target and have to be built.
    ///
    /// # Errors
    /// As [`Self::candidates`], for what is seen without building.
    pub(super) fn sources(&self) -> Result<Vec<LockedSource>, WheelError> {
        let markers = self
            .target
            .markers()
            .map_err(|error| WheelError::Target(error.to_string()))?;
        let tags = self.target.tags();
        let mut sources = Vec::new();
        for package in self
            .lock
            .packages
            .iter()
            .filter(|package| package.applies(&markers))
        {
            if Self::best(package, &tags).is_none()
                && let Some(from) = self.source_of(package)?
            {
                sources.push(LockedSource {
                    name: package.name.clone(),
                    from,
                });
            }
        }
        Ok(sources)
    }

    /// What a package is built from, if it can be.
    fn source_of(&self, package: &LockedPackage) -> Result<Option<SourceOf>, WheelError> {
        let inside =
            |path: &str| (self.source_path)(path).ok_or_else(|| self.outside(package, path));
        match &package.tree {
            Some(LockedTree::Folder { path, is_editable }) => {
                return Ok(Some(SourceOf::Tree(LockedTree::Folder {
                    path: match paths_outside(self.path, path).last() {
                        Some(outside) => outside,
                        None if path == "." => String::new(),
                        None => inside(path)?,
                    },
                    is_editable: *is_editable,
                })));
            }
            Some(tree) => return Ok(Some(SourceOf::Tree(tree.clone()))),
            None => {}
        }
        let Some(file) = package.sdist.as_ref().or(package.archive.as_ref()) else {
            return Ok(None);
        };
        let Some(sha256) = file.sha256 else {
            return Err(WheelError::NoHashInLock {
                path: self.path.to_owned(),
                name: package.name.clone(),
                file: file.name.clone(),
            });
        };
        Ok(Some(SourceOf::Archive {
            file_name: file.name.clone(),
            location: match &file.location {
                DirectUrl::Path(path) => DirectUrl::Path(inside(path)?),
                other => other.clone(),
            },
            sha256,
            size_bytes: file.size_bytes,
        }))
    }

    fn outside(&self, package: &LockedPackage, path: &str) -> WheelError {
        WheelError::Pylock {
            path: self.path.to_owned(),
            error: crate::packages::python::PylockError::Value {
                package: package.name.to_string(),
                key: "path",
                reason: format!("`{path}` is outside the source"),
            },
        }
    }

    fn best<'p>(
        package: &'p LockedPackage,
        tags: &AcceptedTags,
    ) -> Option<(WheelFileName, &'p LockedFile)> {
        let wheels: Vec<(WheelFileName, &LockedFile)> = package
            .wheels
            .iter()
            .chain(&package.archive)
            .filter_map(|file| Some((file.name.parse().ok()?, file)))
            .filter(|(name, _): &(WheelFileName, _)| name.name == package.name)
            .collect();
        let best = tags.best(wheels.iter().map(|(name, file)| (name, *file)));
        best.map(|(name, file)| (name.clone(), file))
    }

    fn choose(
        &self,
        package: &LockedPackage,
        tags: &AcceptedTags,
    ) -> Result<WheelCandidate, WheelError> {
        if let Some(stand) = self.built.iter().find(|stand| stand.name == package.name)
            && let Ok(file_name) = stand.file_name.parse()
        {
            return Ok(WheelCandidate {
                name: package.name.clone(),
                file_name,
                location: stand.location.clone(),
                sha256: Some(stand.sha256),
                size_bytes: Some(stand.size_bytes),
            });
        }
        let best = Self::best(package, tags);
        let Some((file_name, file)) = best else {
            return Err(WheelError::NoWheel(Box::new(NoWheel {
                name: package.name.clone(),
                version: package.version.as_ref().map(ToString::to_string),
                target: *self.target,
                places: Vec::new(),
                reason: format!("as {} has it", self.path),
                has_sdist: package.sdist.is_some() || package.tree.is_some(),
                must_be_wheel: false,
                offered: package
                    .wheels
                    .iter()
                    .filter_map(|file| file.name.parse::<WheelFileName>().ok())
                    .map(|name| name.tag_text())
                    .collect(),
            })));
        };
        let location = match &file.location {
            DirectUrl::Archive(url) | DirectUrl::Repository(url) => {
                WheelLocation::Remote(url.clone())
            }
            DirectUrl::Path(path) => WheelLocation::Source(
                (self.source_path)(path).ok_or_else(|| self.outside(package, path))?,
            ),
        };
        Ok(WheelCandidate {
            name: package.name.clone(),
            file_name: file_name.clone(),
            location,
            sha256: file.sha256,
            size_bytes: file.size_bytes,
        })
    }
}

/// Writes one lock for several targets: packages that all targets share once, with the wheels of
/// all of them; others with a marker for the processor. Readers choose by tags.
pub(crate) fn write_pylock(locks: &[(WheelTarget, &WheelLock)]) -> String {
    /// The wheels of one version, and the targets that want it.
    type Shared<'a> = (Vec<&'a LockedWheel>, Vec<&'a WheelTarget>);
    let mut packages: BTreeMap<(PackageName, Version), Shared<'_>> = BTreeMap::new();
    for (target, lock) in locks {
        for wheel in lock.packages.iter().filter(|wheel| !wheel.is_own()) {
            let key = (wheel.name.clone(), wheel.version.clone());
            let (wheels, targets) = packages.entry(key).or_default();
            if !wheels
                .iter()
                .any(|other| other.file_name == wheel.file_name)
            {
                wheels.push(wheel);
            }
            targets.push(target);
        }
    }
    let python = locks
        .first()
        .map(|(target, _)| format!("=={}.{}.*", target.python.major, target.python.minor));
    Pylock {
        requires_python: python.and_then(|text| text.parse().ok()),
        environments: Vec::new(),
        packages: packages
            .into_iter()
            .map(|((name, version), (wheels, targets))| {
                let (sdist, tree) = built_from(&wheels);
                LockedPackage {
                    name,
                    // A folder's version is what building it tells.
                    version: Some(version).filter(|_| tree.is_none()),
                    marker: if targets.len() == locks.len() {
                        MarkerTree::TRUE
                    } else {
                        machines(&targets)
                    },
                    requires_python: None,
                    wheels: wheels.into_iter().filter_map(locked_file).collect(),
                    archive: None,
                    sdist,
                    tree,
                }
            })
            .collect(),
    }
    .to_toml()
}

/// What wheels were built from, if they were: a source distribution or a tree.
fn built_from(wheels: &[&LockedWheel]) -> (Option<LockedFile>, Option<LockedTree>) {
    let from = wheels.iter().find_map(|wheel| match &wheel.location {
        WheelLocation::Built { from, .. } => Some(from.as_ref()),
        WheelLocation::Remote(_) | WheelLocation::Source(_) => None,
    });
    match from {
        Some(SourceOf::Archive {
            file_name,
            location,
            sha256,
            size_bytes,
        }) => {
            let sdist = LockedFile {
                name: file_name.clone(),
                location: location.clone(),
                size_bytes: *size_bytes,
                sha256: Some(*sha256),
            };
            (Some(sdist), None)
        }
        Some(SourceOf::Tree(tree)) => (None, Some(tree.clone())),
        None => (None, None),
    }
}

fn machines(targets: &[&WheelTarget]) -> MarkerTree {
    let text: Vec<String> = targets
        .iter()
        .map(|target| format!("platform_machine == '{}'", target.arch.name()))
        .collect();
    MarkerTree::parse_str::<DirectUrl>(&text.join(" or ")).unwrap_or(MarkerTree::TRUE)
}

/// A wheel's entry; one that was built has none, its source has.
fn locked_file(wheel: &LockedWheel) -> Option<LockedFile> {
    Some(LockedFile {
        name: wheel.file_name.to_string(),
        location: match &wheel.location {
            WheelLocation::Remote(url) => DirectUrl::Archive(url.clone()),
            WheelLocation::Source(path) => DirectUrl::Path(path.clone()),
            WheelLocation::Built { .. } => return None,
        },
        size_bytes: wheel.size_bytes,
        sha256: Some(Sha256(*wheel.sha256.as_bytes())),
    })
}

/// A wheel that was built, in place of what it was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WheelOverride {
    pub name: PackageName,
    /// The wheel's file name.
    pub file_name: String,
    /// The wheel itself, under its file name.
    pub path: PathBuf,
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// What a lock says of it.
    pub location: WheelLocation,
    /// The line that it was built for; none where nobody wished for it by address.
    pub instead_of: Option<Position>,
    /// Extras that are wanted of it by whoever named it, a line or the metadata of another wheel.
    pub extras: Vec<ExtraName>,
    /// What it was built from, for people.
    pub from: String,
}

impl WheelOverride {
    /// What a wish for this very wheel names. A file of the source that is called the same has another address.
    pub(super) fn address(&self) -> DirectUrl {
        DirectUrl::Path(self.path.to_string_lossy().into_owned())
    }
}
