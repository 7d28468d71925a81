//! The file system in which code of a project is built: the base, and where something is to be
//! compiled the builder's build packages (compiler, headers) above it, which never reach an image.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::base::base_recipes;
use crate::base::debian_packages::DebianPackages;
use crate::base::image_base::Base;
use crate::context::build_context::Context;
use crate::layer_cache::BuiltLayer;
use crate::layers::deb::{self, BaseOptions, BasePart};
use crate::oci::{Key, KeyBuilder};
use crate::packages::debian::DebArtefact;
use crate::report::{BuildError, FileError};

/// Where code of a project is built.
pub(crate) struct Toolchain {
    /// Names everything in it.
    pub key: Key,
    /// The build packages, and what they need, that the base lacks.
    pub packages: Vec<DebArtefact>,
    /// The same for what one distribution needs besides.
    pub headers: Vec<DebArtefact>,
    /// The packages of the base.
    below: Vec<DebArtefact>,
    base_layers: Vec<BuiltLayer>,
    /// What those layers are made of; an image's are not made.
    debs: Option<(DebianPackages, BaseOptions)>,
    /// How the layer of build packages is written; an image gets none.
    options: Option<BaseOptions>,
    roots: OnceLock<Vec<PathBuf>>,
}

/// Where the loader looks for libraries.
const LIBRARY_FOLDERS: [&str; 4] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib",
    "usr/local/lib",
];

impl Toolchain {
    /// The base with Python and nothing more: enough for everything that is only Python.
    pub(crate) fn plain(
        context: &Context<'_>,
        base: &Base<'_>,
        base_layers: &[BuiltLayer],
    ) -> Self {
        Self::with(context, base, base_layers, BuildDebs::default())
    }

    /// The base, the builder's build packages and more of them. A base that is an image has what it has.
    ///
    /// # Errors
    /// Packages that cannot be resolved.
    pub(crate) fn full(
        context: &Context<'_>,
        base: &Base<'_>,
        base_layers: &[BuiltLayer],
        more: &[String],
    ) -> Result<Self, BuildError> {
        let added = added(context, base, more)?;
        Ok(Self::with(context, base, base_layers, added))
    }

    fn with(
        context: &Context<'_>,
        base: &Base<'_>,
        base_layers: &[BuiltLayer],
        debs: BuildDebs,
    ) -> Self {
        let BuildDebs { packages, headers } = debs;
        let (mut key, options) = match base {
            Base::Packages { options, .. } => {
                // The same set has the same key, however it is split into layers.
                let mut all = [packages.as_slice(), &headers].concat();
                all.sort();
                let packages = deb::key(BasePart::Added, &all, &[], options);
                let key = KeyBuilder::new("toolchain/1").field(packages.as_bytes());
                (key, Some(options.clone()))
            }
            Base::Image(_) => {
                let interpreter = context.interpreter().as_bytes();
                (
                    KeyBuilder::new("toolchain-image/1").field(interpreter),
                    None,
                )
            }
        };
        for layer in base_layers {
            key.add(layer.layer.diff_id.to_string().as_bytes());
        }
        Self {
            key: key.finish(),
            packages,
            headers,
            below: base.debs().all(),
            base_layers: base_layers.to_vec(),
            debs: match base {
                Base::Packages { debs, options, .. } => Some((debs.clone(), options.clone())),
                Base::Image(_) => None,
            },
            options,
            roots: OnceLock::new(),
        }
    }

    /// Whether the build packages have a library and the image has it not.
    ///
    /// # Errors
    /// As [`roots`](Self::roots).
    pub(crate) fn is_left_behind(
        &self,
        context: &Context<'_>,
        library: &str,
    ) -> Result<bool, BuildError> {
        if library.contains('/') || self.packages.is_empty() || context.is_bare() {
            return Ok(false);
        }
        let roots = self.roots(context)?;
        let has = |root: &PathBuf| {
            let mut folders = LIBRARY_FOLDERS.iter();
            folders.any(|folder| root.join(folder).join(library).symlink_metadata().is_ok())
        };
        // The image has the base, a folder a layer.
        let (image, added) = roots.split_at(self.base_layers.len().min(roots.len()));
        Ok(added.iter().any(has) && !image.iter().any(has))
    }

    /// The build package that a library's file is in, by the sums that lie beside the packages; `None` where none names
    /// it.
    ///
    /// # Errors
    /// As [`roots`](Self::roots).
    pub(crate) fn package_of(
        &self,
        context: &Context<'_>,
        library: &str,
    ) -> Result<Option<String>, BuildError> {
        let mut roots = self.roots(context)?.iter();
        Ok(roots.find_map(|root| package_of(root, library)))
    }

    /// Folders of its file system, the lowest first; fetched and unpacked if they are not.
    ///
    /// # Errors
    /// Packages that cannot be fetched or unpacked.
    pub(crate) fn roots(&self, context: &Context<'_>) -> Result<&[PathBuf], BuildError> {
        if let Some(roots) = self.roots.get() {
            return Ok(roots);
        }
        if context.is_bare() {
            // All else is where s2r stands.
            let folders = vec![links(context)?];
            return Ok(self.roots.get_or_init(|| folders));
        }
        let roots = context.roots();
        let recipes = match &self.debs {
            Some((debs, options)) => context.recipes_of(debs, options)?,
            None => Vec::new(),
        };
        let recipes: Vec<_> = recipes.iter().collect();
        let mut folders = context.lower_folders(&self.base_layers, &recipes)?;
        if let Some(options) = self.options.as_ref().filter(|_| !self.packages.is_empty()) {
            let debs = (self.packages.as_slice(), self.below.as_slice());
            let recipe = base_recipes::added("build packages", debs, options, context.store);
            folders.push(roots.of_recipe(&recipe, &context.fetcher())?);
            if !self.headers.is_empty() {
                let below = [self.below.as_slice(), &self.packages].concat();
                let debs = (self.headers.as_slice(), below.as_slice());
                let recipe = base_recipes::added("headers", debs, options, context.store);
                folders.push(roots.of_recipe(&recipe, &context.fetcher())?);
            }
        }
        folders.push(links(context)?);
        Ok(self.roots.get_or_init(|| folders))
    }
}

/// The package of a root whose list of sums has the file that a library's name leads to.
fn package_of(root: &Path, library: &str) -> Option<String> {
    let mut folders = LIBRARY_FOLDERS.iter();
    let file = folders.find_map(|folder| {
        let path = root.join(folder).join(library);
        if path.symlink_metadata().ok()?.is_symlink() {
            std::fs::read_link(&path).ok()
        } else {
            Some(path)
        }
    })?;
    let ending = format!("/{}", file.file_name()?.to_str()?);
    let lists = std::fs::read_dir(root.join("var/lib/dpkg/status.d")).ok()?;
    lists.flatten().find_map(|list| {
        let name = list.file_name().into_string().ok()?;
        let package = name.strip_suffix(".md5sums")?;
        let sums = std::fs::read_to_string(list.path()).ok()?;
        let has_it = sums.lines().any(|line| line.ends_with(&ending));
        has_it.then(|| package.to_owned())
    })
}

/// Packages above the base for building.
#[derive(Default)]
struct BuildDebs {
    packages: Vec<DebArtefact>,
    headers: Vec<DebArtefact>,
}

/// The build packages, and what they need, that the base does not have in the same version.
fn added(context: &Context<'_>, base: &Base<'_>, more: &[String]) -> Result<BuildDebs, BuildError> {
    let Base::Packages { debs, options, .. } = base else {
        return Ok(BuildDebs::default());
    };
    if let Some(lock) = context.base_lock()?
        && let Some(locked) = lock.build_packages.get(options.architecture.name())
    {
        return Ok(BuildDebs {
            packages: locked.clone(),
            headers: Vec::new(),
        });
    }
    let image = debs.all();
    let without = |all: Vec<DebArtefact>, there: &[DebArtefact]| -> Vec<DebArtefact> {
        let is_there = |one: &DebArtefact| there.iter().any(|other| other.sha256 == one.sha256);
        all.into_iter().filter(|one| !is_there(one)).collect()
    };
    let all = context.with_build_packages(options.architecture, &[])?;
    let packages = without(all, &image);
    let headers = if more.is_empty() {
        Vec::new()
    } else {
        let all = context.with_build_packages(options.architecture, more)?;
        without(without(all, &image), &packages)
    };
    Ok(BuildDebs { packages, headers })
}

/// The interpreter of build requirements' own programs; and of packages the names that Debian's
/// maintainer scripts would have given. An image has its names.
fn links(context: &Context<'_>) -> Result<PathBuf, BuildError> {
    let python = context.interpreter();
    let mut links = vec![
        ("build/env/bin/python", python),
        ("build/env/bin/python3", "python"),
    ];
    if !context.stands_on_image() {
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
    let folder = context.store.tools().join(name);
    let unwritable = |source| FileError::Unwritable {
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

#[cfg(test)]
mod tests {
    use crate::source_builds::toolchain::*;

    #[test]
    fn libraries_lead_to_their_packages() {
        let root = tempfile::tempdir().unwrap();
        let libraries = root.path().join(LIBRARY_FOLDERS[0]);
        let lists = root.path().join("var/lib/dpkg/status.d");
        for folder in [&libraries, &lists] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(libraries.join("libgssapi_krb5.so.2.2"), "x").unwrap();
        std::os::unix::fs::symlink(
            "libgssapi_krb5.so.2.2",
            libraries.join("libgssapi_krb5.so.2"),
        )
        .unwrap();
        std::fs::write(libraries.join("libalone.so.1"), "x").unwrap();
        std::fs::write(
            lists.join("libgssapi-krb5-2.md5sums"),
            "00  usr/lib/x86_64-linux-gnu/libgssapi_krb5.so.2.2\n",
        )
        .unwrap();
        std::fs::write(
            lists.join("libgssapi-krb5-2"),
            "Package: libgssapi-krb5-2\n",
        )
        .unwrap();
        for (library, package) in [
            ("libgssapi_krb5.so.2", Some("libgssapi-krb5-2")),
            ("libalone.so.1", None),
            ("libq.so.1", None),
        ] {
            assert_eq!(
                package_of(root.path(), library).as_deref(),
                package,
                "{library}"
            );
        }
    }
}
