//! The image that others stand on, as its registry describes it: manifest and config, never a layer.
//!
//! What a tag stands for is remembered for an hour, as a Debian base is; after that the registry is
//! asked by HEAD first, because some count the GET of a manifest as a pull. What a digest stands for
//! never changes: such documents are blobs of the store. Layers are noted where they are, so that
//! whoever needs their bytes after all finds them. Documents: image-spec, manifest.md, config.md,
//! and docker's older ones of the same shape.

use super::resolved_packages::BasePinError;
use crate::context::base_manifest::BaseImage;
use crate::context::project::LOCK_FILE;
use crate::context::settings::NetworkRules;
use crate::net::http::Client;
use crate::net::registry::{ReadSource, RegistryError};
use crate::oci::{
    Descriptor, DescriptorPlatform, Digest, ImageConfig, ImageIndex, ImageManifest, Key,
    KeyBuilder, Platform, Reference,
};
use crate::report::{BuildError, ErrorClass, Explain, Explanation};
use crate::resolve::debian::MAX_AGE_SECONDS;
use crate::store::Store;

/// The record kind of what tags stand for.
const RECORD: &str = "base-images";
/// The largest image config that is read; large ones have some ten thousand bytes.
const MAX_CONFIG_BYTES: u64 = 8 << 20;
/// Most layers of a base. No runtime mounts more.
const MAX_LAYERS: usize = 500;

/// Why an image cannot be stood upon.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BaseImageError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Its registry does not have it.
    #[error("there is no image {image}")]
    NotFound { image: String },
    /// Its registry must not be asked, and nothing of it is known.
    #[error("{image} is not known here")]
    Offline { image: String },
    /// It is for other machines.
    #[error("{image} has nothing for {platform}")]
    Platform {
        image: String,
        platform: Platform,
        found: Vec<String>,
    },
    /// It is another thing on another platform.
    #[error("{image} is not the same for {platform}")]
    Differs {
        image: String,
        /// The platform that differs from the first.
        platform: Platform,
    },
    /// A document that is not what it should be.
    #[error("the {document} of {image} does not read: {reason}")]
    Unreadable {
        image: String,
        /// `manifest`, `index` or `config`.
        document: &'static str,
        reason: String,
    },
}

impl Explain for BaseImageError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Registry(error) => error.explain(),
            Self::NotFound { image } => Explanation {
                class: ErrorClass::CommandLine,
                what: "there is no such base image".to_owned(),
                place: image.clone(),
                why: "its registry does not have that name; private ones look the same to those who may not see them".to_owned(),
                next: "check name and tag; log in with `s2r login REGISTRY` if it is private; `s2r builders` lists the builders that need no registry".to_owned(),
            },
            Self::Offline { image } => Explanation {
                class: ErrorClass::World,
                what: "the base image is not known here".to_owned(),
                place: image.clone(),
                why: "--offline forbids asking its registry, and no build here has asked it before".to_owned(),
                next: "run it once without --offline, or use a builder on packages; `s2r builders` lists them".to_owned(),
            },
            Self::Platform {
                image,
                platform,
                found,
            } => Explanation {
                class: ErrorClass::Project,
                what: format!("the base image is not made for {platform}"),
                place: image.clone(),
                why: format!("it is for {}", found.join(", ")),
                next: "leave that platform out of --platform, or name another base".to_owned(),
            },
            Self::Differs { image, platform } => Explanation {
                class: ErrorClass::Project,
                what: format!("the base image for {platform} is not like the others"),
                place: image.clone(),
                why: "it has another Python, another C library or its interpreter elsewhere".to_owned(),
                next: format!("build each platform by itself, with a base that fits it: s2r build SOURCE IMAGE --platform {platform} --builder BASE"),
            },
            Self::Unreadable {
                image,
                document,
                reason,
            } => Explanation {
                class: ErrorClass::World,
                what: format!("the base image's {document} cannot be read"),
                place: image.clone(),
                why: reason.clone(),
                next: format!("look at it: `skopeo inspect --raw docker://{image}`; an image of Docker's first manifest version has to be pushed again"),
            },
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct BaseImageLookup<'a> {
    pub client: &'a Client,
    pub store: &'a Store,
    pub rules: NetworkRules,
}

impl BaseImageLookup<'_> {
    /// The image for each platform. With `pinned` its tag is not asked for.
    ///
    /// # Errors
    /// The registry's; an image that is not there, not for a platform or not readable.
    pub(crate) fn find(
        &self,
        image: &Reference,
        pinned: Option<Digest>,
        platforms: &[Platform],
    ) -> Result<Vec<BaseImage>, BuildError> {
        let digest = match pinned.or(image.digest().copied()) {
            Some(digest) => digest,
            None if self.rules.locked => {
                return Err(BasePinError::NotLocked {
                    file: LOCK_FILE.to_owned(),
                }
                .into());
            }
            None => self.behind_tag(image)?,
        };
        let top = self.document(image, digest)?;
        let one = |&platform: &Platform| self.for_platform(image, (digest, &top), platform);
        platforms.iter().map(one).collect()
    }

    /// What the registry says now that the image's tag stands for; remembered.
    ///
    /// # Errors
    /// The registry's; a tag that is not there.
    pub(crate) fn ask(&self, image: &Reference) -> Result<Digest, BuildError> {
        let registry = ReadSource::new(self.client, image).map_err(BaseImageError::from)?;
        let head = registry
            .head_manifest(image.tag_or_latest())
            .map_err(BaseImageError::from)?;
        let digest = head.ok_or_else(|| not_found(image))?.digest;
        self.remember(image, digest)?;
        Ok(digest)
    }

    /// What a tag stands for: as remembered, or as the registry says.
    fn behind_tag(&self, image: &Reference) -> Result<Digest, BuildError> {
        let key = record_key(image);
        let known = self.store.record(RECORD, &key)?;
        let known: Option<Digest> =
            known.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        let age = self.store.record_age(RECORD, &key);
        let is_young = age.is_some_and(|age| age.as_secs() <= MAX_AGE_SECONDS);
        let may_be_used = self.rules.offline || (is_young && !self.rules.refresh);
        match known.filter(|_| may_be_used) {
            Some(digest) => return Ok(digest),
            None if self.rules.offline => {
                return Err(BaseImageError::Offline {
                    image: image.to_string(),
                }
                .into());
            }
            None => {}
        }
        if known.is_some_and(|digest| self.store.read_blob(&digest).is_ok()) {
            return self.ask(image);
        }
        let registry = ReadSource::new(self.client, image).map_err(BaseImageError::from)?;
        let served = registry
            .get_manifest(image.tag_or_latest())
            .map_err(BaseImageError::from)?
            .ok_or_else(|| not_found(image))?;
        let digest = self.store.put_blob(&served.bytes)?;
        self.remember(image, digest)?;
        Ok(digest)
    }

    fn remember(&self, image: &Reference, digest: Digest) -> Result<(), BuildError> {
        let text = digest.to_string();
        self.store
            .put_record(RECORD, &record_key(image), text.as_bytes())?;
        Ok(())
    }

    /// A manifest or index by its digest.
    fn document(&self, image: &Reference, digest: Digest) -> Result<Vec<u8>, BuildError> {
        if let Ok(bytes) = self.store.read_blob(&digest) {
            return Ok(bytes);
        }
        let registry = self.registry(image)?;
        let served = registry
            .get_manifest(&digest.to_string())
            .map_err(BaseImageError::from)?
            .ok_or_else(|| not_found(&image.at(digest)))?;
        self.store.put_blob(&served.bytes)?;
        Ok(served.bytes)
    }

    fn config(&self, image: &Reference, config: &Descriptor) -> Result<Vec<u8>, BuildError> {
        if let Ok(bytes) = self.store.read_blob(&config.digest) {
            return Ok(bytes);
        }
        let registry = self.registry(image)?;
        let bytes = registry
            .fetch_blob_bytes(&config.digest, config.size, MAX_CONFIG_BYTES)
            .map_err(BaseImageError::from)?;
        self.store.put_blob(&bytes)?;
        Ok(bytes)
    }

    /// The registry, if it may be asked.
    fn registry(&self, image: &Reference) -> Result<ReadSource<'_>, BuildError> {
        if self.rules.offline {
            return Err(BaseImageError::Offline {
                image: image.to_string(),
            }
            .into());
        }
        Ok(ReadSource::new(self.client, image).map_err(BaseImageError::from)?)
    }

    fn for_platform(
        &self,
        image: &Reference,
        (digest, top): (Digest, &[u8]),
        platform: Platform,
    ) -> Result<BaseImage, BuildError> {
        let (manifest_digest, manifest) = match entry_for(image, top, platform)? {
            None => (digest, top.to_vec()),
            Some(entry) => (entry, self.document(image, entry)?),
        };
        let (manifest, config) = self.read(image, &manifest)?;
        if platform_of(&config) != Some(platform) {
            return Err(BaseImageError::Platform {
                image: image.to_string(),
                platform,
                found: vec![format!("{}/{}", config.os, config.architecture)],
            }
            .into());
        }
        Ok(BaseImage {
            reference: image.clone(),
            digest,
            manifest_digest,
            platform,
            manifest,
            config,
        })
    }

    /// A manifest and its config, which have to go together; their layers are noted where they are.
    fn read(
        &self,
        image: &Reference,
        manifest: &[u8],
    ) -> Result<(ImageManifest, ImageConfig), BuildError> {
        let unreadable = |document, reason: String| BaseImageError::Unreadable {
            image: image.to_string(),
            document,
            reason,
        };
        let manifest = ImageManifest::from_bytes(manifest)
            .map_err(|error| unreadable("manifest", error.to_string()))?;
        let config = self.config(image, &manifest.config)?;
        let config = ImageConfig::from_bytes(&config)
            .map_err(|error| unreadable("config", error.to_string()))?;
        let (layers, tars) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != tars || layers > MAX_LAYERS {
            let reason = format!("{layers} layers in the manifest, {tars} in the config");
            return Err(unreadable("manifest", reason).into());
        }
        for layer in &manifest.layers {
            self.store.note_elsewhere(&layer.digest, image)?;
        }
        Ok((manifest, config))
    }

    /// The image as its registry has it now, for each platform that it is for.
    ///
    /// # Errors
    /// The registry's; an image that is not there, not readable, or for what s2r does not know.
    pub(crate) fn all(&self, image: &Reference) -> Result<Vec<BaseImage>, BuildError> {
        let digest = match image.digest() {
            Some(digest) => *digest,
            None => self.behind_tag(image)?,
        };
        let top = self.document(image, digest)?;
        let manifests: Vec<Digest> = match ImageIndex::from_bytes(&top) {
            Ok(index) => images_of(&index).map(|(entry, _)| entry.digest).collect(),
            Err(_) => vec![digest],
        };
        let one = |manifest_digest: Digest| {
            let bytes = self.document(image, manifest_digest)?;
            let (manifest, config) = self.read(image, &bytes)?;
            let platform = platform_of(&config).ok_or_else(|| BaseImageError::Unreadable {
                image: image.to_string(),
                document: "config",
                reason: format!("it is for {}/{}", config.os, config.architecture),
            })?;
            Ok(BaseImage {
                reference: image.clone(),
                digest,
                manifest_digest,
                platform,
                manifest,
                config,
            })
        };
        manifests.into_iter().map(one).collect()
    }
}

/// What a config says that its image runs on, if s2r builds for it.
pub(crate) fn platform_of(config: &ImageConfig) -> Option<Platform> {
    format!("{}/{}", config.os, config.architecture)
        .parse()
        .ok()
}

/// The entries of an index that are images. Attestations stand beside them, under a platform that is
/// none.
fn images_of(index: &ImageIndex) -> impl Iterator<Item = (&Descriptor, &DescriptorPlatform)> {
    index.manifests.iter().filter_map(|entry| {
        let platform = entry.platform.as_ref()?;
        (platform.os != "unknown").then_some((entry, platform))
    })
}

/// The entry of an index for a platform; none if the document is no index.
fn entry_for(
    image: &Reference,
    top: &[u8],
    platform: Platform,
) -> Result<Option<Digest>, BaseImageError> {
    let Ok(index) = ImageIndex::from_bytes(top) else {
        return Ok(None);
    };
    let found: Vec<_> = images_of(&index).collect();
    let wanted = found.iter().find(|(_, named)| {
        named.os == "linux"
            && named.architecture == platform.architecture.name()
            && named
                .variant
                .as_deref()
                .is_none_or(|variant| variant == "v8" || variant == "v1")
    });
    match wanted {
        Some((entry, _)) => Ok(Some(entry.digest)),
        None => Err(BaseImageError::Platform {
            image: image.to_string(),
            platform,
            found: found
                .iter()
                .map(|(_, named)| format!("{}/{}", named.os, named.architecture))
                .collect(),
        }),
    }
}

fn not_found(image: &Reference) -> BaseImageError {
    BaseImageError::NotFound {
        image: image.to_string(),
    }
}

fn record_key(image: &Reference) -> Key {
    KeyBuilder::new("base-image/1")
        .field(image.canonical().as_bytes())
        .finish()
}

#[cfg(test)]
crate::report::samples! {
    enum BaseImageError {
        Registry(RegistryError::Protocol {
            url: crate::net::ShownUrl::parse("https://registry.example.com/v2/"),
            what: crate::net::registry::ProtocolBreach::NoToken,
        }),
        NotFound { image: "registry.example.com/base:1".into() },
        Offline { image: "registry.example.com/base:1".into() },
        Platform {
            image: "registry.example.com/base:1".into(),
            platform: "linux/arm64".parse().unwrap(),
            found: vec!["linux/amd64".into()],
        },
        Differs { image: "registry.example.com/base:1".into(), platform: "linux/arm64".parse().unwrap() },
        Unreadable { image: "registry.example.com/base:1".into(), document: "config", reason: "expected value at line 1".into() },
    }
}
