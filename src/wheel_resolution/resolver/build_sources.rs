//! What has to be built: the project itself, a folder or a source distribution of the source, an
//! archive at an address, a commit of a repository, a package of the index or of a lock without a
//! wheel. Each is brought as the material that `build_wheel` takes, and comes back as a wheel.
//!
//! Refused: repositories of this machine's disk, and systems other than git.

use std::collections::BTreeMap;

use super::error::BuildSourceError;
use super::{WheelResolver, title_of};
use crate::context::fetch_source;
use crate::layer_cache::{Download, DownloadOrigin};
use crate::layer_recipes::revealed;
use crate::oci::Digest;
use crate::packages::Sha256;
use crate::packages::python::{
    DirectUrl, FileHash, LockedTree, PackageName, PackageUrl, Position, Requirement,
    RequirementKind, is_wheel, paths_outside, requirement_paths,
};
use crate::report::{BuildError, ThreadError};
use crate::resolve::wheels::{IndexSdist, LockedSource, SourceOf};
use crate::source::SourceKind;
use crate::source_builds::build_wheel::{BuildSource, BuiltFile};
use crate::wheel_resolution::locked_wheels::BuiltWheel;

impl WheelResolver<'_> {
    /// The project itself, built.
    pub(crate) fn own(&self) -> Result<BuiltWheel, BuildError> {
        let title = self.context.plan.setup_name.clone();
        let title = title.as_deref().unwrap_or("the project");
        let material = BuildSource::Own {
            path: "",
            is_editable: false,
        };
        let built = self.builder(0).wheel(title, None, &material)?;
        self.tell_left_out("", &built);
        let from = SourceOf::Tree(LockedTree::Folder {
            path: ".".to_owned(),
            is_editable: false,
        });
        Ok(BuiltWheel {
            is_own: true,
            ..wanted(&built, from)
        })
    }

    /// A package of the index without a wheel, built.
    pub(crate) fn sdist(
        &self,
        name: &PackageName,
        sdist: &IndexSdist,
        depth: usize,
    ) -> Result<BuiltWheel, BuildError> {
        let from = SourceOf::Archive {
            file_name: sdist.file_name.clone(),
            location: DirectUrl::Archive(sdist.url.clone()),
            sha256: sdist.sha256,
            size_bytes: sdist.size_bytes,
        };
        let build = |material: &BuildSource<'_>| {
            self.builder(depth)
                .wheel(name.as_ref(), Some(name), material)
        };
        let built = self.archive(&from, None, &build)?;
        Ok(wanted(&built, from))
    }

    /// A package of a lock, built.
    pub(crate) fn source(&self, source: &LockedSource) -> Result<BuiltWheel, BuildError> {
        let name = &source.name;
        let build =
            |material: &BuildSource<'_>| self.builder(0).wheel(name.as_ref(), Some(name), material);
        let built = match &source.from {
            SourceOf::Archive { .. } => self.archive(&source.from, None, &build)?,
            SourceOf::Tree(LockedTree::Folder { path, .. }) if path.starts_with("..") => {
                let folder = self.context.project.beside(path)?;
                let folder = folder
                    .ok_or_else(|| self.nothing_outside(Position::whole(name.to_string()), path))?;
                build(&BuildSource::Beside(&folder))?
            }
            SourceOf::Tree(LockedTree::Folder { path, is_editable }) => {
                let built = build(&BuildSource::Own {
                    path,
                    is_editable: *is_editable,
                })?;
                if !*is_editable {
                    self.tell_left_out(path, &built);
                }
                built
            }
            SourceOf::Tree(LockedTree::Repository {
                url,
                commit,
                subdirectory,
            }) => {
                let address = revealed(url);
                let commit = Some(commit.as_str());
                let Some((built, _)) =
                    self.checkout(&address, commit, subdirectory.clone(), &build)?
                else {
                    return Err(BuildSourceError::LocalRepository {
                        position: Position::whole(name.to_string()),
                    }
                    .into());
                };
                built
            }
        };
        Ok(wanted(&built, source.from.clone()))
    }

    /// What a requirement names by its address, built.
    pub(crate) fn wish(&self, wish: &Requirement, depth: usize) -> Result<BuiltWheel, BuildError> {
        let is_editable = matches!(wish.kind, RequirementKind::Unnamed { editable: true, .. });
        let title = title_of(wish);
        let name = wish.name();
        let build = |material: &BuildSource<'_>| self.builder(depth).wheel(&title, name, material);
        let (built, from) = match wish.address() {
            Some(DirectUrl::Path(path)) => self.own_path(wish, path, is_editable, &build)?,
            Some(DirectUrl::Archive(url)) => {
                let fragment = fragment(url);
                let below = fragment.get("subdirectory").map(|text| (*text).to_owned());
                let from = self.at_address(wish, url, fragment.get("sha256").copied())?;
                (self.archive(&from, below, &build)?, from)
            }
            Some(DirectUrl::Repository(url)) => self.repository(wish, url, &build)?,
            None => {
                return Err(BuildSourceError::NoFolder {
                    position: wish.position.clone(),
                    path: title.clone(),
                }
                .into());
            }
        };
        Ok(BuiltWheel {
            instead_of: Some(wish.position.clone()),
            address: wish.address().cloned(),
            extras: wish.extras().to_vec(),
            ..wanted(&built, from)
        })
    }

    /// Whether a wheel was built from what a requirement names by its address.
    pub(crate) fn is_built_from(&self, wheel: &BuiltWheel, wish: &Requirement) -> bool {
        let plain = |address: &str| without_fragment(address).to_owned();
        match (wish.address(), &wheel.from) {
            (
                Some(DirectUrl::Path(path)),
                SourceOf::Tree(LockedTree::Folder { path: built, .. }),
            ) => {
                let inside = if built == "." { "" } else { built };
                self.inside(wish, path).as_deref() == Some(inside)
                    || self.outside(wish, path).contains(built)
            }
            (
                Some(DirectUrl::Path(path)),
                SourceOf::Archive {
                    location: DirectUrl::Path(built),
                    ..
                },
            ) => self.inside(wish, path).as_ref() == Some(built),
            (
                Some(DirectUrl::Archive(url)),
                SourceOf::Archive {
                    location: DirectUrl::Archive(built),
                    ..
                },
            ) => plain(url.as_str()) == plain(built.as_str()),
            (
                Some(DirectUrl::Repository(url)),
                SourceOf::Tree(LockedTree::Repository {
                    url: built, commit, ..
                }),
            ) => {
                let same_words = wheel
                    .address
                    .as_ref()
                    .is_some_and(|address| plain(address.as_str()) == plain(url.as_str()));
                let address = plain(url.as_str());
                let (address, reference) =
                    split_reference(address.strip_prefix("git+").unwrap_or(&address));
                let same_commit = address == built.as_str() && reference == Some(commit.as_str());
                same_words || same_commit
            }
            _ => false,
        }
    }

    /// A folder or a source distribution of the source.
    fn own_path(
        &self,
        wish: &Requirement,
        path: &str,
        is_editable: bool,
        build: &BuildFn<'_>,
    ) -> Result<(BuiltFile, SourceOf), BuildError> {
        let no_folder = || BuildSourceError::NoFolder {
            position: wish.position.clone(),
            path: path.to_owned(),
        };
        let tree = self.context.tree();
        let Some(inside) = self.inside(wish, path) else {
            let outside = self.outside(wish, path);
            return match outside.first() {
                Some(first) => self.beside(wish, (first, &outside), build),
                None => Err(no_folder().into()),
            };
        };
        let entry = tree.follow(inside.as_bytes());
        match entry.map(|entry| (&entry.kind, entry)) {
            Some((SourceKind::File { size_bytes, .. }, entry)) if !is_wheel(&inside) => {
                let found = Digest::of_reader(tree.open(entry)?).map_err(|_| no_folder())?;
                check(wish, found)?;
                let from = SourceOf::Archive {
                    file_name: inside.rsplit('/').next().unwrap_or(&inside).to_owned(),
                    location: DirectUrl::Path(inside.clone()),
                    sha256: Sha256(*found.as_bytes()),
                    size_bytes: Some(*size_bytes),
                };
                Ok((self.archive(&from, None, build)?, from))
            }
            Some((SourceKind::Directory, _)) => Self::folder(inside, is_editable, build),
            None if inside.is_empty() => Self::folder(inside, is_editable, build),
            _ => Err(no_folder().into()),
        }
    }

    /// Where a path of a requirement leads in the source, if there is something; empty for its root.
    fn inside(&self, wish: &Requirement, path: &str) -> Option<String> {
        let tree = self.context.tree();
        let plain = path.split('[').next().unwrap_or(path).trim_end_matches('/');
        requirement_paths(&wish.position.path, plain)
            .find(|path| path.is_empty() || tree.follow(path.as_bytes()).is_some())
    }

    /// Where a path of a requirement may lead outside the source, from its root.
    fn outside(&self, wish: &Requirement, path: &str) -> Vec<String> {
        let plain = path.split('[').next().unwrap_or(path).trim_end_matches('/');
        let file = &wish.position.path;
        if !plain.starts_with('/') {
            return paths_outside(file, plain).collect();
        }
        // Where folders lay in a build, only what was built there says.
        let is_of_source = self.context.tree().find(file.as_bytes()).is_some();
        let path = self.context.project.path_of_build(plain);
        path.into_iter().filter(|_| !is_of_source).collect()
    }

    /// A folder outside the source, which is no part of the image: whether it is wanted to be editable or not.
    fn beside(
        &self,
        wish: &Requirement,
        (first, paths): (&str, &[String]),
        build: &BuildFn<'_>,
    ) -> Result<(BuiltFile, SourceOf), BuildError> {
        for path in paths {
            if let Some(folder) = self.context.project.beside(path)? {
                let from = SourceOf::Tree(LockedTree::Folder {
                    path: path.clone(),
                    is_editable: false,
                });
                return Ok((build(&BuildSource::Beside(&folder))?, from));
            }
        }
        Err(self.nothing_outside(wish.position.clone(), first).into())
    }

    fn nothing_outside(&self, position: Position, path: &str) -> BuildSourceError {
        BuildSourceError::Outside {
            position,
            path: path.to_owned(),
            command: self.context.project.command_with(path),
        }
    }

    /// Whether a requirement names the folder of the project itself.
    pub(crate) fn is_root(&self, wish: &Requirement) -> bool {
        matches!(wish.address(), Some(DirectUrl::Path(path))
            if self.inside(wish, path).is_some_and(|path| path.is_empty()))
    }

    fn folder(
        path: String,
        is_editable: bool,
        build: &BuildFn<'_>,
    ) -> Result<(BuiltFile, SourceOf), BuildError> {
        let built = build(&BuildSource::Own {
            path: &path,
            is_editable,
        })?;
        let path = if path.is_empty() {
            ".".to_owned()
        } else {
            path
        };
        Ok((
            built,
            SourceOf::Tree(LockedTree::Folder { path, is_editable }),
        ))
    }

    /// A source distribution at an address: by its hash where one is told, else as it is now.
    fn at_address(
        &self,
        wish: &Requirement,
        url: &PackageUrl,
        told: Option<&str>,
    ) -> Result<SourceOf, BuildError> {
        let listed = wish.hashes.iter().find_map(|hash| match hash {
            FileHash::Sha256(sha256) => Some(Digest::from_bytes(sha256.0)),
            FileHash::Other(_) => None,
        });
        let told = told.and_then(|hex| format!("sha256:{hex}").parse().ok());
        let digest = match listed.or(told) {
            Some(digest) => digest,
            None => self
                .context
                .fetcher()
                .fetch_any(without_fragment(&revealed(url)), &url.file_name())?,
        };
        check(wish, digest)?;
        Ok(SourceOf::Archive {
            file_name: url.file_name(),
            location: DirectUrl::Archive(url.clone()),
            sha256: Sha256(*digest.as_bytes()),
            size_bytes: None,
        })
    }

    fn archive(
        &self,
        from: &SourceOf,
        subdirectory: Option<String>,
        build: &BuildFn<'_>,
    ) -> Result<BuiltFile, BuildError> {
        let SourceOf::Archive {
            file_name,
            location,
            sha256,
            size_bytes,
        } = from
        else {
            return Err(ThreadError::Stopped.into());
        };
        let origin = match location {
            DirectUrl::Path(path) => DownloadOrigin::Source(path.clone()),
            DirectUrl::Archive(url) | DirectUrl::Repository(url) => {
                let url = self.context.with_credentials(url.clone());
                DownloadOrigin::Url(without_fragment(&revealed(&url)).to_owned())
            }
        };
        build(&BuildSource::Archive {
            file: Download {
                name: file_name.clone(),
                digest: Digest::from_bytes(sha256.0),
                size_bytes: *size_bytes,
                origins: vec![origin],
            },
            subdirectory,
        })
    }

    /// A commit of a repository that a requirement names.
    fn repository(
        &self,
        wish: &Requirement,
        url: &PackageUrl,
        build: &BuildFn<'_>,
    ) -> Result<(BuiltFile, SourceOf), BuildError> {
        let address = revealed(url);
        let Some(address) = address.strip_prefix("git+") else {
            return Err(BuildSourceError::NotGit {
                position: wish.position.clone(),
                scheme: address.split('+').next().unwrap_or_default().to_owned(),
            }
            .into());
        };
        let subdirectory = fragment(url)
            .get("subdirectory")
            .map(|text| (*text).to_owned());
        let (address, reference) = split_reference(without_fragment(address));
        let local = || BuildSourceError::LocalRepository {
            position: wish.position.clone(),
        };
        let (built, commit) = self
            .checkout(address, reference, subdirectory.clone(), build)?
            .ok_or_else(local)?;
        let from = SourceOf::Tree(LockedTree::Repository {
            url: PackageUrl::parse(address).map_err(|_| local())?,
            commit,
            subdirectory,
        });
        Ok((built, from))
    }

    /// A commit, laid out and built; `None` for a repository on this machine's disk.
    fn checkout(
        &self,
        address: &str,
        reference: Option<&str>,
        subdirectory: Option<String>,
        build: &BuildFn<'_>,
    ) -> Result<Option<(BuiltFile, String)>, BuildError> {
        let checkout = fetch_source::RequirementCheckout::of(
            address,
            reference,
            self.context.settings,
            self.context.store,
            self.context.report,
        )?;
        let Some(checkout) = checkout else {
            return Ok(None);
        };
        let built = build(&BuildSource::Checkout {
            folder: checkout.root(),
            subdirectory,
            identity: checkout.commit().to_owned(),
        })?;
        Ok(Some((built, checkout.commit().to_owned())))
    }
}

/// Builds a material under the name that it was wished for by.
type BuildFn<'a> = dyn Fn(&BuildSource<'_>) -> Result<BuiltFile, BuildError> + 'a;

fn without_fragment(address: &str) -> &str {
    address.split('#').next().unwrap_or_default()
}

/// The reference follows the last `@` of the path, not the one behind a user.
fn split_reference(address: &str) -> (&str, Option<&str>) {
    let path_from = address
        .find("://")
        .and_then(|at| address[at + 3..].find('/').map(|path| at + 3 + path))
        .unwrap_or(address.len());
    match address[path_from..].rfind('@') {
        Some(at) => (
            &address[..path_from + at],
            Some(&address[path_from + at + 1..]),
        ),
        None => (address, None),
    }
}

/// `a=b&c=d` behind a url.
fn fragment(url: &PackageUrl) -> BTreeMap<&str, &str> {
    let text = url.fragment().unwrap_or_default();
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect()
}

/// Holds a file against the hashes of its line, if it lists any.
fn check(wish: &Requirement, found: Digest) -> Result<(), BuildError> {
    let is_listed = wish.hashes.iter().any(|hash| match hash {
        FileHash::Sha256(sha256) => sha256.0 == *found.as_bytes(),
        FileHash::Other(_) => false,
    });
    if wish.hashes.is_empty() || is_listed {
        return Ok(());
    }
    Err(BuildSourceError::Hash {
        position: wish.position.clone(),
        found,
    }
    .into())
}

/// A built wheel that nobody has wished for by its address.
fn wanted(built: &BuiltFile, from: SourceOf) -> BuiltWheel {
    BuiltWheel {
        instead_of: None,
        address: None,
        extras: Vec::new(),
        file_name: built.file_name.clone(),
        sha256: built.sha256,
        size_bytes: built.size_bytes,
        is_own: false,
        from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_from_users() {
        for (address, expected) in [
            ("https://h/x.git", ("https://h/x.git", None)),
            ("https://u@h/x.git@v1", ("https://u@h/x.git", Some("v1"))),
            ("ssh://git@h/x@a/b", ("ssh://git@h/x", Some("a/b"))),
            ("https://u:p@h", ("https://u:p@h", None)),
        ] {
            assert_eq!(split_reference(address), expected, "{address}");
        }
    }
}
