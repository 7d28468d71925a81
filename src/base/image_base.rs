//! What an image stands on: packages of a Debian suite, or an image of a registry. Its layers, what
//! may be added to it, and whose interpreter makes byte code for it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::debian_packages::{DebianPackages, DebianRequest};
use super::resolved_packages;
use crate::context::base_manifest::BaseImage;
use crate::context::build_context::Context;
use crate::image::{Abi, ImageLayer, kept_annotations};
use crate::layer_cache::{BatchFetched, BuiltLayer, LayerBatch, LayerRecipe};
use crate::layers::deb::BaseOptions;
use crate::layers::linkage::machine;
use crate::oci::{Architecture, KeyBuilder, Platform};
use crate::packages::debian::{DebArtefact, DebianBase};
use crate::packages::python::{LibcVersion, PythonVersion, TargetArch, WheelTarget};
use crate::plan::builder::{BaseDefinition, BuilderDefinition, BuilderError};
use crate::plan::image_builder::python_patch;
use crate::report::{BuildError, ErrorClass, Event, Explain, Explanation, LayerEvent, LayerStatus};
use crate::resolve::debian::BaseLock;
use crate::store::Store;

/// Packages would have to be added to an image.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be added to {image}", packages.join(", "))]
pub(crate) struct PackagesOnImage {
    pub image: String,
    pub packages: Vec<String>,
}

impl Explain for PackagesOnImage {
    fn explain(&self) -> Explanation {
        Explanation {
            class: ErrorClass::Project,
            what: format!(
                "the Aptfile asks for {}, and the base is an image",
                self.packages.join(", ")
            ),
            place: self.image.clone(),
            why: "s2r adds packages to bases that it makes of packages; to an image it adds none"
                .to_owned(),
            next: "put the packages into the base image and remove the Aptfile, or build on a builder of packages; `s2r builders` lists them".to_owned(),
        }
    }
}

/// What one platform of an image stands on, exactly.
pub(crate) enum Base<'a> {
    /// Packages, and how their layers are written.
    Packages {
        base: &'a DebianBase,
        debs: DebianPackages,
        options: BaseOptions,
    },
    /// An image of a registry.
    Image(&'a BaseImage),
}

impl Base<'_> {
    /// In a few words.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Packages { base, debs, .. } => {
                format!("{} packages of Debian {}", debs.all().len(), base.suite)
            }
            Self::Image(image) => format!("{} ({})", image.reference, image.digest),
        }
    }

    /// Its packages; none of an image.
    pub(crate) fn debs(&self) -> DebianPackages {
        match self {
            Self::Packages { debs, .. } => debs.clone(),
            Self::Image(_) => DebianPackages::default(),
        }
    }

    /// The processor that programs of it are for, as elf(5) numbers them; none of an image, of which nobody knows
    /// which libraries it has.
    pub(crate) fn machine(&self) -> Option<u16> {
        match self {
            Self::Packages { options, .. } => Some(machine(options.architecture)),
            Self::Image(_) => None,
        }
    }

    /// The third number of its Python; 0 where nothing tells it.
    pub(crate) fn patch(&self, python: &str) -> u16 {
        match self {
            Self::Packages { debs, .. } => {
                let name = format!("python{python}");
                let package = debs.base.iter().find(|deb| deb.package == name);
                let third = package.and_then(|deb| deb.version.split('.').nth(2));
                third.map_or(0, leading_number)
            }
            Self::Image(image) => python_patch(&image.config).unwrap_or(0),
        }
    }
}

impl<'a> Context<'a> {
    /// What the image for one platform stands on.
    ///
    /// # Errors
    /// Packages that cannot be resolved; packages that are to be added to an image.
    pub(crate) fn resolve_base(&self, platform: Platform) -> Result<Base<'a>, BuildError> {
        if let BaseDefinition::Image(image) = &self.builder.base {
            let asked = self.plan.packages.of_project();
            if !asked.is_empty() {
                return Err(PackagesOnImage {
                    image: image.clone(),
                    packages: asked,
                }
                .into());
            }
            let images = &self.project.base_images;
            let found = images.iter().find(|one| one.platform == platform);
            return found.map(Base::Image).ok_or_else(|| self.other_base());
        }
        let base = self.debian()?;
        Ok(Base::Packages {
            base,
            debs: self.packages(platform.architecture)?,
            options: self.base_options(base, platform.architecture),
        })
    }

    fn other_base(&self) -> BuildError {
        BuilderError::OtherBase {
            name: self.builder.name.clone(),
        }
        .into()
    }

    /// What the layers above count on.
    pub(crate) fn abi(&self) -> Abi {
        abi_of(self.builder)
    }

    /// Has the layers of a base: made, or known where they are.
    pub(crate) fn ensure_base_layers(&self, base: &Base<'_>) -> Result<LayerBatch, BuildError> {
        match base {
            Base::Packages { debs, options, .. } => self.make(&self.recipes_of(debs, options)?, 0),
            Base::Image(image) => Ok(LayerBatch {
                layers: layers_of(image, self.store)
                    .into_iter()
                    .enumerate()
                    .map(|(index, made)| self.told(index, made))
                    .collect(),
                fetched: BatchFetched::default(),
            }),
        }
    }

    /// How the layers of a base are made; an image's are not.
    pub(crate) fn base_recipes<'r>(
        &'r self,
        base: &'r Base<'_>,
    ) -> Result<Vec<LayerRecipe<'r>>, BuildError> {
        match base {
            Base::Packages { debs, options, .. } => self.recipes_of(debs, options),
            Base::Image(_) => Ok(Vec::new()),
        }
    }

    /// How the layers of the builder's packages are made.
    pub(crate) fn recipes_of<'r>(
        &'r self,
        debs: &'r DebianPackages,
        options: &'r BaseOptions,
    ) -> Result<Vec<LayerRecipe<'r>>, BuildError> {
        let wish = self.wish(options.architecture)?;
        Ok(debs.recipes(&wish, options, self.store))
    }

    fn told(&self, index: usize, made: BuiltLayer) -> BuiltLayer {
        self.report.event(Event::Layer(LayerEvent {
            index,
            contents: made.layer.contents.clone(),
            digest: made.layer.digest.to_string(),
            size_bytes: made.layer.size_bytes,
            status: made.status,
            took: made.took,
        }));
        made
    }

    /// The packages of the base that `s2r.lock` pins for an architecture, if it pins some.
    pub(crate) fn locked_base(
        &self,
        architecture: Architecture,
    ) -> Result<Option<Vec<DebArtefact>>, BuildError> {
        let Some(lock) = self.base_lock()?.filter(|lock| lock.image.is_none()) else {
            return Ok(None);
        };
        Ok(lock.packages.get(architecture.name()).cloned())
    }

    /// The Debian base of the builder.
    ///
    /// # Errors
    /// It stands on an image: a fault of ours, since that is asked before.
    pub(crate) fn debian(&self) -> Result<&'a DebianBase, BuildError> {
        match &self.builder.base {
            BaseDefinition::Debian(base) => Ok(base),
            BaseDefinition::Image(_) => Err(self.other_base()),
        }
    }

    fn packages(&self, architecture: Architecture) -> Result<DebianPackages, BuildError> {
        let wish = self.wish(architecture)?;
        match self.base_lock()? {
            Some(lock) => wish.locked(&lock),
            None => wish.resolved(self.base_rules(), &self.fetcher()),
        }
    }

    /// A lock of the base in which no package stands yet.
    pub(crate) fn empty_lock(&self) -> Result<BaseLock, BuildError> {
        if let Some(first) = self.project.base_images.first() {
            let images = self.project.base_images.iter();
            return Ok(BaseLock::of_image(first.locked(images)));
        }
        // What is asked for is the same for all architectures.
        Ok(BaseLock::new(&self.wish(Architecture::Amd64)?.asked()))
    }

    /// Which Debian packages are wanted.
    fn wish(&self, architecture: Architecture) -> Result<DebianRequest<'a>, BuildError> {
        Ok(DebianRequest {
            base: self.debian()?,
            packages: &self.plan.packages,
            architecture,
        })
    }

    /// The base with packages that distributions of Python need; `None` if it has them all, or can take none.
    ///
    /// # Errors
    /// Packages that cannot be resolved, or that the lock does not pin.
    pub(crate) fn with_implied<'b>(
        &self,
        base: &Base<'b>,
        names: impl Iterator<Item = String>,
    ) -> Result<Option<Base<'b>>, BuildError> {
        let Base::Packages {
            base: request,
            debs,
            options,
        } = base
        else {
            return Ok(None);
        };
        let names: BTreeSet<String> = names.filter(|name| !debs.has(name)).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = names.into_iter().collect();
        let wish = self.wish(options.architecture)?;
        let debs = match self.base_lock()? {
            Some(lock) => wish.implied_by_lock(debs, &names, &lock)?,
            None => wish.implied(debs, names, (self.base_rules(), &self.fetcher()))?,
        };
        Ok(Some(Base::Packages {
            base: request,
            debs,
            options: options.clone(),
        }))
    }

    /// The base with the builder's build packages and more of them, resolved now.
    ///
    /// # Errors
    /// Packages that cannot be resolved.
    pub(crate) fn with_build_packages(
        &self,
        architecture: Architecture,
        more: &[String],
    ) -> Result<Vec<DebArtefact>, BuildError> {
        let mut wanted = self.debian()?.clone();
        wanted.added = self.plan.packages.build_names();
        wanted.added.extend_from_slice(more);
        resolved_packages::packages(&wanted, architecture, self.base_rules(), &self.fetcher())
    }

    pub(crate) fn base_rules(&self) -> resolved_packages::BaseRules {
        resolved_packages::BaseRules {
            rules: self.settings.rules,
            now_seconds: self.settings.now_seconds,
        }
    }

    pub(crate) fn base_options(
        &self,
        base: &DebianBase,
        architecture: Architecture,
    ) -> BaseOptions {
        BaseOptions {
            architecture,
            python: self.builder.python.clone(),
            locale: base.locale.clone(),
            mtime: self.settings.epoch_seconds,
        }
    }

    /// What wheels are chosen for.
    pub(crate) fn target(&self, architecture: Architecture, base: &Base<'_>) -> WheelTarget {
        let (major, minor) = numbers(&self.builder.python);
        let patch = base.patch(&self.builder.python);
        let (libc_major, libc_minor) = self.builder.glibc;
        let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        WheelTarget {
            python: PythonVersion {
                major,
                minor,
                patch,
            },
            libc: LibcVersion::Glibc(small(libc_major), small(libc_minor)),
            arch: match architecture {
                Architecture::Amd64 => TargetArch::X86_64,
                Architecture::Arm64 => TargetArch::Aarch64,
            },
        }
    }
}

/// What layers on a builder's base count on.
pub(crate) fn abi_of(builder: &BuilderDefinition) -> Abi {
    Abi {
        python: builder.python.clone(),
        glibc: builder.glibc,
        interpreter: builder.interpreter.clone(),
    }
}

/// The layers of an image that is a base, which need not be here.
pub(crate) fn layers_of(image: &BaseImage, store: &Store) -> Vec<BuiltLayer> {
    let count = image.manifest.layers.len();
    let pairs = image
        .manifest
        .layers
        .iter()
        .zip(&image.config.rootfs.diff_ids);
    pairs
        .enumerate()
        .map(|(index, (layer, diff_id))| BuiltLayer {
            layer: ImageLayer {
                key: KeyBuilder::new("base-image-layer/1")
                    .field(layer.digest.as_bytes())
                    .finish(),
                contents: format!("{}: layer {} of {count}", image.reference, index + 1),
                digest: layer.digest,
                diff_id: *diff_id,
                size_bytes: layer.size,
                media_type: layer.media_type.clone(),
                annotations: kept_annotations(&layer.annotations),
            },
            uncompressed_bytes: None,
            status: if store.has_blob(&layer.digest, layer.size) {
                LayerStatus::Reused
            } else {
                LayerStatus::Remote
            },
            took: Duration::ZERO,
            notes: None,
        })
        .collect()
}

/// `3.13` as two numbers.
fn numbers(version: &str) -> (u16, u16) {
    let mut parts = version.split('.').map(leading_number);
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// The digits that a text begins with: `5-2+deb13u1` is 5.
pub(crate) fn leading_number(text: &str) -> u16 {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    text[..digits].parse().unwrap_or(0)
}

#[cfg(test)]
crate::report::samples! {
    struct PackagesOnImage {
        image: "docker.io/library/python:3.12-slim".into(),
        packages: vec!["libpq5".into(), "ffmpeg".into()],
    };
}

#[cfg(test)]
mod tests {
    use crate::base::image_base::*;

    #[test]
    fn versions_are_read_from_debian_versions() {
        assert_eq!(leading_number("5-2+deb13u1"), 5);
        assert_eq!(leading_number("x"), 0);
        assert_eq!(numbers("3.13"), (3, 13));
    }
}
