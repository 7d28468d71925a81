//! The last image as the cache: what a registry serves under the name that is built, or under those
//! of `--cache-from`, tells which layers exist already, by their keys.
//!
//! A layer found so is used by its digest alone; its bytes stay where they are. One manifest a name
//! is asked for, and its config (which holds the diff ids) when a first layer is missing here whose
//! digest `s2r.lock` does not say. An annotation may lie: what is found by it is believed and no more
//! (see `base::trusted_layers`). Whoever looks for the bytes in vain calls [`RegistryCache::distrust`], and the build goes on
//! without it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::destination::registry::PreviousTag;
use crate::image::{BUILT_ANNOTATION, KEY_ANNOTATION, kept_annotations};
use crate::net::http::Client;
use crate::net::registry::{ReadSource, RegistryError, RegistryRepository, ServedManifest};
use crate::oci::{
    Descriptor, Digest, ImageConfig, ImageIndex, ImageManifest, Key, MediaType, Platform, Reference,
};
use crate::report::{Event, Explain as _, Report};
use crate::store::{Store, StoredLayer};

/// The largest image config that is read; ours have some thousand bytes.
const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// A layer that a registry has.
#[derive(Debug, Clone)]
pub(crate) struct RemoteLayer {
    /// Its blob. The length of the tar is not known.
    pub stored: StoredLayer,
    pub place: Reference,
}

/// What a name stands for in its registry now.
struct ServedImage {
    /// The manifest or index itself.
    top: Option<ServedManifest>,
    /// The manifest of each wanted platform.
    manifests: Vec<(Platform, ServedManifest)>,
}

/// A name that is looked at.
struct CachedName {
    reference: Reference,
    /// Named by `--cache-from`, not because the image goes there.
    is_extra: bool,
    served: OnceLock<ServedImage>,
    layers: OnceLock<BTreeMap<Key, StoredLayer>>,
    blobs: OnceLock<BTreeMap<Digest, Descriptor>>,
    requests: AtomicU64,
}

/// Images of registries whose layers may be used again.
pub(crate) struct RegistryCache<'a> {
    client: &'a Client,
    store: &'a Store,
    report: &'a dyn Report,
    platforms: &'a [Platform],
    places: Vec<CachedName>,
    is_off: AtomicBool,
    /// Whether a registry has what its manifests name.
    is_believed: bool,
    /// Whether what it has is to be made here too.
    is_verified: bool,
}

impl<'a> RegistryCache<'a> {
    /// A cache that has asked nothing yet. `names` are where the image will go, `extra` are others.
    pub(crate) fn new(
        (client, store): (&'a Client, &'a Store),
        report: &'a dyn Report,
        platforms: &'a [Platform],
        (names, extra): (&[Reference], &[Reference]),
    ) -> Self {
        let place = |is_extra| {
            move |reference: &Reference| CachedName {
                reference: reference.clone(),
                is_extra,
                served: OnceLock::new(),
                layers: OnceLock::new(),
                blobs: OnceLock::new(),
                requests: AtomicU64::new(0),
            }
        };
        Self {
            client,
            store,
            report,
            platforms,
            places: names
                .iter()
                .enumerate()
                // One name of each repository tells what can be told.
                .filter(|(at, name)| !names[..*at].iter().any(|other| other.is_beside(name)))
                .map(|(_, name)| place(false)(name))
                .chain(extra.iter().map(place(true)))
                .collect(),
            is_off: AtomicBool::new(false),
            is_believed: true,
            is_verified: false,
        }
    }

    /// The same, for a build that makes here what it takes from a registry, if that is so.
    pub(crate) fn verifying(self, is_verified: bool) -> Self {
        Self {
            is_verified,
            ..self
        }
    }

    /// Whether what a registry has is to be made here too.
    pub(crate) fn is_verified(&self) -> bool {
        self.is_verified
    }

    /// The same, believing no manifest's word for what a registry has, if that is so.
    pub(crate) fn believing(self, is_believed: bool) -> Self {
        Self {
            is_believed,
            ..self
        }
    }

    /// Asks all names, so that nobody waits for them later.
    pub(crate) fn look(&self) {
        std::thread::scope(|scope| {
            for place in self.places.iter().skip(1) {
                scope.spawn(|| self.look_at(place));
            }
            if let Some(first) = self.places.first() {
                self.look_at(first);
            }
        });
    }

    /// Requests made so far to ask for a name.
    pub(crate) fn requests(&self, name: &Reference) -> u64 {
        let place = self.places.iter().find(|place| place.reference == *name);
        place.map_or(0, |place| place.requests.load(Ordering::Relaxed))
    }

    /// Whether there is anything to ask.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The layer of this key, if a registry has it.
    pub(crate) fn layer(&self, key: &Key) -> Option<RemoteLayer> {
        if self.is_off.load(Ordering::Relaxed) {
            return None;
        }
        self.places.iter().find_map(|place| {
            let stored = self.layers(place).get(key)?.clone();
            Some(RemoteLayer {
                stored,
                place: place.reference.clone(),
            })
        })
    }

    /// A layer whose digest is known, if a registry has a blob of this digest and length. Nothing is believed
    /// of it, and no config asked for.
    pub(crate) fn blob(&self, layer: &StoredLayer) -> Option<RemoteLayer> {
        if self.is_off.load(Ordering::Relaxed) {
            return None;
        }
        self.places.iter().find_map(|place| {
            let blobs = self.blobs(place);
            let descriptor = blobs.get(&layer.digest)?;
            (descriptor.size == layer.size_bytes).then(|| RemoteLayer {
                stored: StoredLayer {
                    annotations: kept_annotations(&descriptor.annotations),
                    ..layer.clone()
                },
                place: place.reference.clone(),
            })
        })
    }

    /// The blobs of layers that a name's manifests list.
    fn blobs<'p>(&self, place: &'p CachedName) -> &'p BTreeMap<Digest, Descriptor> {
        place.blobs.get_or_init(|| {
            let manifests = self.look_at(place).manifests.iter();
            let manifests =
                manifests.filter_map(|(_, served)| ImageManifest::from_bytes(&served.bytes).ok());
            let layers = manifests.flat_map(|manifest| manifest.layers);
            layers.map(|layer| (layer.digest, layer)).collect()
        })
    }

    /// A wheel, as it was noted, that an image in a registry has built from the same.
    pub(crate) fn built(&self, key: &Key) -> Option<String> {
        if self.is_verified || self.is_off.load(Ordering::Relaxed) {
            return None;
        }
        let key = key.to_string();
        self.places.iter().find_map(|place| {
            let mut manifests = self.look_at(place).manifests.iter();
            manifests.find_map(|(_, manifest)| {
                let manifest = ImageManifest::from_bytes(&manifest.bytes).ok()?;
                let lines = manifest.annotations.get(BUILT_ANNOTATION)?;
                let mut words = lines.lines().filter_map(|line| line.split_once(' '));
                let found = words.find(|(other, _)| *other == key);
                found.map(|(_, wheel)| wheel.to_owned())
            })
        })
    }

    /// Uses nothing of it any more, because a layer was not there; false if that was so before.
    pub(crate) fn distrust(&self) -> bool {
        !self.places.is_empty() && !self.is_off.swap(true, Ordering::Relaxed)
    }

    /// What a name stands for in its registry, if that was asked in this run and answered.
    /// Nothing, where no manifest is believed: a push then asks for each blob and puts the manifest again,
    /// by which a registry that has lost something is mended.
    pub(crate) fn served(&self, name: &Reference, platform: Option<Platform>) -> PreviousTag<'_> {
        if !self.is_believed {
            return PreviousTag::Known(None);
        }
        let place = self.places.iter().find(|place| place.reference == *name);
        let Some(served) = place.and_then(|place| place.served.get()) else {
            return PreviousTag::Ask;
        };
        PreviousTag::Known(match platform {
            None => served.top.as_ref(),
            Some(platform) => served
                .manifests
                .iter()
                .find(|(other, _)| *other == platform)
                .map(|(_, manifest)| manifest),
        })
    }

    /// What a name stands for; asked once.
    fn look_at<'p>(&self, place: &'p CachedName) -> &'p ServedImage {
        place.served.get_or_init(|| {
            self.ask(place).unwrap_or_else(|error| {
                // Where the image goes, the push has the same trouble, and tells it better.
                if place.is_extra {
                    let told = error.explain();
                    self.report.event(Event::Warning {
                        text: format!(
                            "{} is of no use as a cache: {}: {}",
                            place.reference, told.what, told.why
                        ),
                        hint: told.next,
                    });
                }
                ServedImage {
                    top: None,
                    manifests: Vec::new(),
                }
            })
        })
    }

    fn ask(&self, place: &CachedName) -> Result<ServedImage, RegistryError> {
        let whom = self.whom(place)?;
        let served = self.ask_at(&whom, &place.reference);
        place.requests.fetch_add(whom.requests(), Ordering::Relaxed);
        served
    }

    /// Where a push follows, the registry itself, whose mirrors may be behind it, and with the rights that
    /// the push will need: so one token does for both.
    fn whom(&self, place: &CachedName) -> Result<CacheTarget<'a>, RegistryError> {
        Ok(if place.is_extra {
            CacheTarget::Source(ReadSource::new(self.client, &place.reference)?)
        } else {
            CacheTarget::Target(RegistryRepository::new(self.client, &place.reference)?)
        })
    }

    fn ask_at(
        &self,
        registry: &CacheTarget<'_>,
        name: &Reference,
    ) -> Result<ServedImage, RegistryError> {
        let wanted = name
            .digest()
            .map_or_else(|| name.tag_or_latest().to_owned(), ToString::to_string);
        let Some(top) = registry.get_manifest(&wanted)? else {
            return Ok(ServedImage {
                top: None,
                manifests: Vec::new(),
            });
        };
        let mut manifests = Vec::new();
        if matches!(top.media_type, MediaType::Index | MediaType::DockerList) {
            let index = ImageIndex::from_bytes(&top.bytes).unwrap_or_default();
            for &platform in self.platforms {
                let is_for = |entry: &&Descriptor| entry.known_platform() == Some(platform);
                let entry = index.manifests.iter().find(is_for);
                if let Some(entry) = entry
                    && let Some(manifest) = registry.get_manifest(&entry.digest.to_string())?
                {
                    manifests.push((platform, manifest));
                }
            }
        } else if let [only] = self.platforms {
            manifests.push((*only, top.clone()));
        }
        Ok(ServedImage {
            top: Some(top),
            manifests,
        })
    }

    /// The layers of a name's image that have keys; their diff ids are the config's.
    fn layers<'p>(&self, place: &'p CachedName) -> &'p BTreeMap<Key, StoredLayer> {
        place.layers.get_or_init(|| {
            let mut layers = BTreeMap::new();
            for (_, manifest) in &self.look_at(place).manifests {
                if let Ok(manifest) = ImageManifest::from_bytes(&manifest.bytes)
                    && let Some(config) = self.config(place, &manifest.config)
                {
                    layers.extend(keyed(&manifest, &config));
                }
            }
            layers
        })
    }

    /// An image's config, from the store if it is there. Without it there is no cache, and no more.
    fn config(&self, place: &CachedName, config: &Descriptor) -> Option<ImageConfig> {
        let kept = self.store.has_blob(&config.digest, config.size);
        let kept = kept.then(|| self.store.read_blob(&config.digest).ok());
        let bytes = if let Some(bytes) = kept.flatten() {
            bytes
        } else {
            let whom = self.whom(place).ok()?;
            let fetched = whom.config(config);
            place.requests.fetch_add(whom.requests(), Ordering::Relaxed);
            fetched.ok()?
        };
        ImageConfig::from_bytes(&bytes).ok()
    }
}

enum CacheTarget<'a> {
    /// Where the image goes.
    Target(RegistryRepository<'a>),
    /// Where an image is only read.
    Source(ReadSource<'a>),
}

impl CacheTarget<'_> {
    fn get_manifest(&self, name: &str) -> Result<Option<ServedManifest>, RegistryError> {
        match self {
            Self::Target(registry) => registry.get_manifest(name),
            Self::Source(source) => source.get_manifest(name),
        }
    }

    fn config(&self, config: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        let (digest, size) = (&config.digest, config.size);
        match self {
            Self::Target(registry) => registry.fetch_blob_bytes(digest, size, MAX_CONFIG_BYTES),
            Self::Source(source) => source.fetch_blob_bytes(digest, size, MAX_CONFIG_BYTES),
        }
    }

    fn requests(&self) -> u64 {
        match self {
            Self::Target(registry) => registry.requests(),
            Self::Source(source) => source.requests(),
        }
    }
}

/// Layers by their keys. Of no use where config and manifest do not go together.
fn keyed(manifest: &ImageManifest, config: &ImageConfig) -> Vec<(Key, StoredLayer)> {
    if manifest.layers.len() != config.rootfs.diff_ids.len() {
        return Vec::new();
    }
    let pairs = manifest.layers.iter().zip(&config.rootfs.diff_ids);
    pairs
        .filter_map(|(layer, diff_id)| {
            let key = layer.annotations.get(KEY_ANNOTATION)?.parse().ok()?;
            let stored = StoredLayer {
                digest: layer.digest,
                diff_id: *diff_id,
                size_bytes: layer.size,
                uncompressed_bytes: 0,
                annotations: kept_annotations(&layer.annotations),
                notes: None,
            };
            Some((key, stored))
        })
        .collect()
}

#[cfg(test)]
mod tests;
