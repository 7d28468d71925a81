//! `s2r rebase`: puts an image that s2r made on another base, with neither sources nor old base at hand.
//!
//! Manifests and configs are read, layers are not: what goes to a registry is mounted there, or copied
//! from one registry to the other. What may be put beneath what is decided by what the image's manifest
//! tells ([`crate::image::BaseRecord`]), never by names or tags of bases.

mod error;
mod onto;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) use error::RebaseError;

use crate::base::base_image_lookup::BaseImageError;
use crate::base::base_image_lookup::BaseImageLookup;
use crate::base::base_image_lookup::platform_of;
use crate::base::base_recipes;
use crate::context::base_manifest::BaseImage;
use crate::context::build_context::BuildMeans;
use crate::context::settings::NetworkRules;
use crate::context::settings::Settings;
use crate::context::stage_clock::StageClock;
use crate::image::{Abi, BaseRecord, CONTENTS_ANNOTATION};
use crate::image::{BASE_DIGEST_ANNOTATION, BASE_NAME_ANNOTATION};
use crate::layer_cache::RegistryCache;
use crate::net::http::Client;
use crate::net::registry::RegistryRepository;
use crate::oci::{Descriptor, Digest, ImageConfig, ImageManifest, Platform, Reference};
use crate::packages::debian::DebianVersion;
use crate::pipeline::publish;
use crate::pipeline::publish::PushReport;
use crate::report::{BuildError, BuildStage, Event, Report};
use crate::store::{Store, StoreError};
use onto::PlatformBase;

/// What is put on what.
#[derive(Debug, Clone)]
pub(crate) struct RebaseRequest {
    pub image: Reference,
    /// A name of an image, or of a builder file upon one.
    pub onto: String,
    /// The names of what comes of it.
    pub names: Vec<Reference>,
    /// Whether it goes to the registries of its names.
    pub push: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct RebaseReport {
    pub names: Vec<Reference>,
    /// What the image was.
    pub before: Digest,
    /// Its manifest, or the index of its platforms.
    pub descriptor: Descriptor,
    /// One for each platform.
    pub platforms: Vec<RebasedPlatform>,
    /// What went to registries.
    pub pushed: Vec<PushReport>,
    /// Where the time went.
    pub stages: Vec<(BuildStage, Duration)>,
}

/// One platform of it.
#[derive(Debug)]
pub(crate) struct RebasedPlatform {
    pub platform: Platform,
    pub descriptor: Descriptor,
    /// The base that it had.
    pub old: BaseSummary,
    /// The base that it has.
    pub new: BaseSummary,
    /// Layers above, which stayed.
    pub kept_layers: usize,
    /// Packages of the base that are another version, or new: name, old version, new version.
    pub packages: Vec<(String, Option<String>, String)>,
}

/// What is known of a base.
#[derive(Debug, Clone)]
pub(crate) struct BaseSummary {
    /// The image that it is, if it is one.
    pub name: Option<String>,
    /// What that name stood for.
    pub digest: Option<String>,
    /// How many layers it has.
    pub layers: usize,
    /// What may be counted on in it.
    pub abi: Abi,
}

impl BaseSummary {
    fn new(annotations: &BTreeMap<String, String>, layers: usize, abi: &Abi) -> Self {
        Self {
            name: annotations.get(BASE_NAME_ANNOTATION).cloned(),
            digest: annotations.get(BASE_DIGEST_ANNOTATION).cloned(),
            layers,
            abi: abi.clone(),
        }
    }
}

/// Puts an image on another base, names it in the store, and pushes it where that is wanted.
///
/// # Errors
/// An image or base that is not there; one that s2r did not make; a base that does not fit.
pub(crate) fn rebase(
    request: &RebaseRequest,
    settings: &Settings,
    report: &dyn Report,
) -> Result<RebaseReport, BuildError> {
    let stages = StageClock::new(report);
    let store = Store::open(&settings.store_root)?;
    let _in_use = store.in_use()?;
    let client = crate::context::client::new(settings, report);
    let desk = ImageLookup {
        store: &store,
        client: &client,
        rules: NetworkRules {
            // A base is moved to because it is new.
            refresh: true,
            ..settings.rules
        },
    };
    let images = stages.run(
        BuildStage::Source,
        || {
            let images = desk.image(&request.image, request.push)?;
            let images = images.into_iter().map(standing);
            images.collect::<Result<Vec<_>, BuildError>>()
        },
        |_| request.image.to_string(),
    )?;
    let Some(before) = images.first().map(|(image, _)| image.digest) else {
        let image = request.image.to_string();
        return Err(RebaseError::NoImage { image }.into());
    };
    let bases = desk.onto(&request.onto, &images, (settings, report), &stages)?;
    let platforms = stages.run(
        BuildStage::Image,
        || {
            let pairs = images.iter().zip(&bases);
            let put = |((image, standing), base): (&(BaseImage, BaseRecord), &PlatformBase)| {
                desk.put((image, standing), base, report)
            };
            pairs.map(put).collect::<Result<Vec<_>, BuildError>>()
        },
        |platforms| {
            let names: Vec<String> = platforms
                .iter()
                .map(|one| one.platform.to_string())
                .collect();
            names.join(", ")
        },
    )?;
    let family = images.first().map_or_else(Default::default, |(image, _)| {
        crate::image::family_of(&image.manifest)
    });
    let descriptors = platforms.iter().map(|one| one.descriptor.clone());
    let descriptor = publish::name(descriptors.collect(), &request.names, family, &store)?;
    let cache = RegistryCache::new((&client, &store), report, &[], (&[], &[]));
    let means = BuildMeans {
        settings,
        store: &store,
        report,
        client: &client,
        cache: &cache,
    };
    let image = publish::StoredImageFiles {
        descriptor: &descriptor,
        means,
    };
    let pushed = image.mending(|| image.push_all(&request.names, request.push, &stages))?;
    crate::context::client::say_warnings(&client, report);
    Ok(RebaseReport {
        names: request.names.clone(),
        before,
        descriptor,
        platforms,
        pushed,
        stages: stages.times(),
    })
}

/// An image with what it tells of its base.
fn standing(image: BaseImage) -> Result<(BaseImage, BaseRecord), BuildError> {
    let standing = BaseRecord::of(&image.manifest, &image.config)
        .map_err(|reason| RebaseError::of_standing(&image.reference, reason))?;
    Ok((image, standing))
}

/// Where images are looked up.
#[derive(Clone, Copy)]
pub(super) struct ImageLookup<'a> {
    pub store: &'a Store,
    pub client: &'a Client,
    pub rules: NetworkRules,
}

impl<'a> ImageLookup<'a> {
    pub(super) fn finder(&self) -> BaseImageLookup<'a> {
        BaseImageLookup {
            client: self.client,
            store: self.store,
            rules: self.rules,
        }
    }

    /// The image that is to get another base: that of the store, else that of its registry. Where both
    /// have one and they are not the same, a push would replace one that nobody looked at.
    pub(super) fn image(
        &self,
        image: &Reference,
        is_pushed: bool,
    ) -> Result<Vec<BaseImage>, BuildError> {
        let Some(found) = self.stored(image)? else {
            return self
                .finder()
                .all(image)
                .map_err(|error| match error.find() {
                    Some(BaseImageError::NotFound { image }) => RebaseError::NoImage {
                        image: image.clone(),
                    }
                    .into(),
                    _ => error,
                });
        };
        if is_pushed
            && image.digest().is_none()
            && let Some(here) = found.first()
            && let Some(there) = self.served(image)
            && there != here.digest
        {
            return Err(RebaseError::TwoImages {
                image: image.to_string(),
                pinned: image.at(here.digest).to_string(),
                here: here.digest,
                there,
            }
            .into());
        }
        Ok(found)
    }

    /// What a name stands for in its registry. If it does not answer, the push will say why.
    fn served(&self, image: &Reference) -> Option<Digest> {
        let registry = RegistryRepository::new(self.client, image).ok()?;
        let head = registry.head_manifest(image.tag_or_latest()).ok()??;
        Some(head.digest)
    }

    /// An image of the store, for each of its platforms.
    pub(super) fn stored(&self, image: &Reference) -> Result<Option<Vec<BaseImage>>, BuildError> {
        let stored = match self.store.image(image) {
            Ok(stored) => stored,
            Err(StoreError::NoImage { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let digest = stored.descriptor.digest;
        let manifests = self.store.manifests(&stored.descriptor)?.into_iter();
        let read = |(entry, manifest): (Descriptor, ImageManifest)| {
            let bytes = self.store.read_blob(&manifest.config.digest)?;
            let unreadable = |reason: String| BaseImageError::Unreadable {
                image: image.to_string(),
                document: "config",
                reason,
            };
            let config =
                ImageConfig::from_bytes(&bytes).map_err(|error| unreadable(error.to_string()))?;
            let platform = platform_of(&config).ok_or_else(|| {
                unreadable(format!("it is for {}/{}", config.os, config.architecture))
            })?;
            Ok(BaseImage {
                reference: image.clone(),
                digest,
                manifest_digest: entry.digest,
                platform,
                manifest,
                config,
            })
        };
        manifests
            .map(read)
            .collect::<Result<_, BuildError>>()
            .map(Some)
    }

    /// Puts one platform of an image on its base, and its documents into the store.
    fn put(
        &self,
        (image, standing): (&BaseImage, &BaseRecord),
        base: &PlatformBase,
        report: &dyn Report,
    ) -> Result<RebasedPlatform, BuildError> {
        let bottom = &base.bottom;
        check((image, standing), &base.name, &bottom.abi)?;
        let changes = changes(image, base, standing)?;
        warn_of_older(&changes, &base.name, report);
        let made = crate::image::rebase(
            image.platform,
            (&image.manifest, &image.config),
            standing,
            bottom,
        )?;
        self.store.put_blob(&made.config)?;
        self.store.put_blob(&made.manifest)?;
        Ok(RebasedPlatform {
            platform: image.platform,
            descriptor: made.descriptor,
            old: BaseSummary::new(&image.manifest.annotations, standing.layers, &standing.abi),
            new: BaseSummary::new(&bottom.annotations, bottom.layers.len(), &bottom.abi),
            kept_layers: image.manifest.layers.len() - standing.layers,
            packages: changes,
        })
    }
}

/// # Errors
/// The layers above cannot stand on such a base.
fn check(
    (image, standing): (&BaseImage, &BaseRecord),
    base: &str,
    found: &Abi,
) -> Result<(), RebaseError> {
    let wanted = &standing.abi;
    match found.misfit(wanted) {
        None => Ok(()),
        Some(misfit) => Err(RebaseError::Misfit {
            image: image.reference.to_string(),
            base: base.to_owned(),
            misfit,
            wanted: Box::new(wanted.clone()),
            found: Box::new(found.clone()),
        }),
    }
}

/// What the packages of the base come to: name, old version, new version.
type PackageChanges = Vec<(String, Option<String>, String)>;

/// # Errors
/// Packages of the image's base that the new base does not have: layers above may count on them, and
/// the project may have asked for them.
fn changes(
    image: &BaseImage,
    base: &PlatformBase,
    standing: &BaseRecord,
) -> Result<PackageChanges, RebaseError> {
    let old = crate::image::packages(&image.manifest.annotations);
    let new = base.bottom.packages();
    let wanted: BTreeSet<String> = if new.is_empty() {
        added(&image.manifest, standing.layers)
    } else {
        old.keys().map(|name| (*name).to_owned()).collect()
    };
    let missing: Vec<String> = wanted
        .into_iter()
        .filter(|name| !new.contains_key(name.as_str()))
        .collect();
    if !missing.is_empty() {
        return Err(RebaseError::Packages {
            image: image.reference.to_string(),
            base: base.name.clone(),
            missing,
        });
    }
    let other = new
        .iter()
        .filter(|(name, version)| old.get(*name) != Some(*version));
    let other = other.filter(|_| !old.is_empty());
    Ok(other
        .map(|(name, version)| {
            let before = old.get(name).map(|version| (*version).to_owned());
            ((*name).to_owned(), before, (*version).to_owned())
        })
        .collect())
}

/// The packages that the project itself needs, by the title of their layer.
pub(super) fn added(manifest: &ImageManifest, base_layers: usize) -> BTreeSet<String> {
    let titles = manifest.layers.iter().take(base_layers);
    titles
        .filter_map(|layer| layer.annotations.get(CONTENTS_ANNOTATION))
        .filter_map(|title| {
            let begin = |begin| title.strip_prefix(begin);
            begin(base_recipes::ADDED_TITLE).or_else(|| begin(base_recipes::APTFILE_TITLE))
        })
        .flat_map(|names| names.split(", "))
        .map(str::to_owned)
        .collect()
}

/// A base that is behind the one that it replaces is hardly what was meant.
fn warn_of_older(changes: &PackageChanges, base: &str, report: &dyn Report) {
    let older = changes.iter().filter_map(|(name, before, after)| {
        let version = |text: &str| text.parse::<DebianVersion>().ok();
        let before = before.as_deref()?;
        (version(after)? < version(before)?).then(|| format!("{name} {before} -> {after}"))
    });
    let older: Vec<String> = older.collect();
    if !older.is_empty() {
        report.event(Event::Warning {
            text: format!(
                "packages of {base} are older than those they replace: {}",
                older.join(", ")
            ),
            hint: "name a newer base, if that is not what you want".to_owned(),
        });
    }
}

#[cfg(test)]
mod tests;
