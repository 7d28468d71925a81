//! The file system in which code of a project is built: the base, and where something is to be
//! compiled the builder's build packages (compiler, headers) above it, which never reach an image.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::error::{BuildError, Obstacle};
use super::foundation::Foundation;
use super::make::Made;
use super::platform::Site;
use super::recipes;
use crate::archive::tar::Options;
use crate::layers::deb::{self, BaseOptions, Part};
use crate::oci::{Key, KeyBuilder};
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
    /// How the layer of build packages is written; an image gets none.
    options: Option<BaseOptions>,
    roots: OnceLock<Vec<PathBuf>>,
}

impl Toolchain {
    /// The base with Python and nothing more: enough for everything that is only Python.
    pub(super) fn plain(site: &Site<'_>, foundation: &Foundation<'_>, base: &[Made]) -> Self {
        Self::with(site, foundation, base, Vec::new())
    }

    /// The base and the builder's build packages. A base that is an image has what it has.
    ///
    /// # Errors
    /// Packages that cannot be resolved.
    pub(super) fn full(
        site: &Site<'_>,
        foundation: &Foundation<'_>,
        base: &[Made],
    ) -> Result<Self, BuildError> {
        let added = added(site, foundation)?;
        Ok(Self::with(site, foundation, base, added))
    }

    fn with(
        site: &Site<'_>,
        foundation: &Foundation<'_>,
        base: &[Made],
        packages: Vec<DebArtefact>,
    ) -> Self {
        let (mut key, options) = match foundation {
            Foundation::Packages { options, .. } => {
                let options = BaseOptions {
                    tar: Options {
                        level: LEVEL,
                        ..site.tar()
                    },
                    ..options.clone()
                };
                let packages = deb::key(Part::Added, &packages, &options);
                let key = KeyBuilder::new("toolchain/1").field(packages.as_bytes());
                (key, Some(options))
            }
            Foundation::Image(_) => {
                let interpreter = site.interpreter().as_bytes();
                (
                    KeyBuilder::new("toolchain-image/1").field(interpreter),
                    None,
                )
            }
        };
        for layer in base {
            key.add(layer.layer.diff_id.to_string().as_bytes());
        }
        Self {
            key: key.finish(),
            packages,
            base: base.to_vec(),
            options,
            roots: OnceLock::new(),
        }
    }

    /// Folders of its file system, the lowest first; fetched and unpacked if they are not.
    ///
    /// # Errors
    /// Packages that cannot be fetched or unpacked.
    pub(super) fn roots(&self, site: &Site<'_>) -> Result<&[PathBuf], BuildError> {
        if let Some(roots) = self.roots.get() {
            return Ok(roots);
        }
        if site.is_bare() {
            // All else is where s2r stands.
            let folders = vec![links(site)?];
            return Ok(self.roots.get_or_init(|| folders));
        }
        let roots = site.roots();
        let mut folders = roots.of_layers(&self.base)?;
        if let Some(options) = self.options.as_ref().filter(|_| !self.packages.is_empty()) {
            let recipe = recipes::added("build packages", &self.packages, options, site.store());
            folders.push(roots.of_recipe(&recipe, &site.fetcher())?);
        }
        folders.push(links(site)?);
        Ok(self.roots.get_or_init(|| folders))
    }
}

/// The build packages, and what they need, that the base does not have in the same version.
fn added(site: &Site<'_>, foundation: &Foundation<'_>) -> Result<Vec<DebArtefact>, BuildError> {
    let Foundation::Packages { debs, options, .. } = foundation else {
        return Ok(Vec::new());
    };
    if let Some(lock) = site.base_lock()?
        && let Some(locked) = lock.build_packages.get(options.architecture.name())
    {
        return Ok(locked.clone());
    }
    let all = site.with_build_packages(options.architecture)?;
    let base = debs.all();
    Ok(all
        .into_iter()
        .filter(|one| !base.iter().any(|base| base.sha256 == one.sha256))
        .collect())
}

/// The interpreter of build requirements' own programs; and of packages the names that Debian's
/// maintainer scripts would have given. An image has its names.
fn links(site: &Site<'_>) -> Result<PathBuf, BuildError> {
    let python = site.interpreter();
    let mut links = vec![
        ("build/env/bin/python", python),
        ("build/env/bin/python3", "python"),
    ];
    if !site.stands_on_image() {
        links.extend([
            ("usr/bin/python3", python),
            ("usr/bin/python", "python3"),
            ("usr/bin/cc", "gcc"),
            ("usr/bin/c++", "g++"),
        ]);
    }
    let mut key = KeyBuilder::new("links/1");
    for (link, target) in &links {
        key.add(link.as_bytes());
        key.add(target.as_bytes());
    }
    let name = format!("links-{}", &key.finish().hex()[..16]);
    let folder = site.store().tools().join(name);
    let unwritable = |source| Obstacle::Unwritable {
        path: folder.clone(),
        source,
    };
    for (link, target) in links {
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
