//! The file system in which code of a project is built: the base, and where something is to be
//! compiled the builder's build packages (compiler, headers) above it, which never reach an image.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::base;
use super::error::{BuildError, Obstacle};
use super::make::Made;
use super::platform::Site;
use super::recipes;
use crate::archive::tar::Options;
use crate::layers::deb::{self, BaseOptions, Part};
use crate::oci::{Architecture, Key, KeyBuilder};
use crate::packages::debian::DebArtefact;

/// How hard what is unpacked at once is compressed: hardly, it is only written to be read.
const LEVEL: u32 = 1;

/// Where code of a project is built.
pub(super) struct Toolchain {
    /// Names everything in it.
    pub key: Key,
    /// The build packages, and what they need, that the base lacks.
    pub packages: Vec<DebArtefact>,
    base: Vec<Made>,
    options: BaseOptions,
    roots: OnceLock<Vec<PathBuf>>,
}

impl Toolchain {
    /// The base with Python and nothing more: enough for everything that is only Python.
    pub(super) fn plain(
        site: &Site<'_>,
        architecture: Architecture,
        base: &[Made],
    ) -> Result<Self, BuildError> {
        Self::with(site, architecture, base, Vec::new())
    }

    /// The base and the builder's build packages.
    ///
    /// # Errors
    /// Packages that cannot be resolved.
    pub(super) fn full(
        site: &Site<'_>,
        architecture: Architecture,
        base: &[Made],
        packages: &[DebArtefact],
    ) -> Result<Self, BuildError> {
        let added = added(site, architecture, packages)?;
        Self::with(site, architecture, base, added)
    }

    fn with(
        site: &Site<'_>,
        architecture: Architecture,
        base: &[Made],
        packages: Vec<DebArtefact>,
    ) -> Result<Self, BuildError> {
        let options = BaseOptions {
            tar: Options {
                level: LEVEL,
                ..site.tar()
            },
            ..site.base_options(site.debian()?, architecture)
        };
        let mut key = KeyBuilder::new("toolchain/1")
            .field(deb::key(Part::Added, &packages, &options).as_bytes());
        for layer in base {
            key.add(layer.layer.diff_id.to_string().as_bytes());
        }
        Ok(Self {
            key: key.finish(),
            packages,
            base: base.to_vec(),
            options,
            roots: OnceLock::new(),
        })
    }

    /// Folders of its file system, the lowest first; fetched and unpacked if they are not.
    ///
    /// # Errors
    /// Packages that cannot be fetched or unpacked.
    pub(super) fn roots(&self, site: &Site<'_>) -> Result<&[PathBuf], BuildError> {
        if let Some(roots) = self.roots.get() {
            return Ok(roots);
        }
        let roots = site.roots();
        let mut folders = roots.of_layers(&self.base)?;
        if !self.packages.is_empty() {
            let recipe = recipes::added(
                "build packages",
                &self.packages,
                &self.options,
                site.store(),
            );
            folders.push(roots.of_recipe(&recipe, &site.fetcher())?);
        }
        folders.push(links(site)?);
        Ok(self.roots.get_or_init(|| folders))
    }
}

/// The build packages, and what they need, that the base does not have in the same version.
fn added(
    site: &Site<'_>,
    architecture: Architecture,
    packages: &[DebArtefact],
) -> Result<Vec<DebArtefact>, BuildError> {
    if let Some(lock) = site.base_lock()?
        && let Some(locked) = lock.build_packages.get(architecture.name())
    {
        return Ok(locked.clone());
    }
    let mut wanted = site.debian()?.clone();
    wanted.packages.extend(site.build_packages());
    let rules = site.base_rules();
    let all = base::packages(&wanted, architecture, rules, &site.fetcher())?;
    Ok(all
        .into_iter()
        .filter(|one| !packages.iter().any(|base| base.sha256 == one.sha256))
        .collect())
}

/// Names that Debian's maintainer scripts would have given, and the interpreter of build
/// requirements' own programs.
fn links(site: &Site<'_>) -> Result<PathBuf, BuildError> {
    let python = format!("/usr/bin/python{}", site.python());
    let folder = site
        .store()
        .tools()
        .join(format!("links-{}", site.python()));
    let unwritable = |source| Obstacle::Unwritable {
        path: folder.clone(),
        source,
    };
    for (link, target) in [
        ("usr/bin/python3", python.as_str()),
        ("usr/bin/python", "python3"),
        ("usr/bin/cc", "gcc"),
        ("usr/bin/c++", "g++"),
        ("build/env/bin/python", python.as_str()),
        ("build/env/bin/python3", "python"),
    ] {
        let path = folder.join(link);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(unwritable)?;
        }
        match std::os::unix::fs::symlink(target, &path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(unwritable(error).into());
            }
            _ => {}
        }
    }
    Ok(folder)
}
