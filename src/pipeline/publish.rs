//! Gives a built image its names in the store, and sends it to registries and files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::context::build_context::BuildMeans;
use crate::context::settings::Settings;
use crate::context::stage_clock::StageClock;
use crate::destination::registry::{
    DEFAULT_PARALLELISM, PreviousTag, PushError, PushSummary, PushTarget, PushedBlob, push_index,
};
use crate::destination::{BlobSource, ExportTarget, PushImage};
use crate::image::CONTENTS_ANNOTATION;
use crate::layer_cache::{RegistryCache, RemoteBlobs, TransferIds, WantedBlob, mending};
use crate::net::registry::RegistryRepository;
use crate::oci::{Descriptor, Digest, MediaFamily, MediaType, Reference};
use crate::report::{
    BuildError, BuildStage, ErrorClass, Event, Explain, Explanation, Report, ThreadError, WarnOnce,
};
use crate::store::Store;

/// An image does not fit where it is to go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// An image for several platforms and a target that holds one.
    #[error("{target} holds an image for one platform")]
    SeveralPlatforms { target: String },
    /// A push to a digest that is not the image's.
    #[error("{destination} names another image than the one that is pushed")]
    OtherDigest {
        destination: String,
        named: Digest,
        digest: Digest,
    },
}

impl Explain for PublishError {
    fn explain(&self) -> Explanation {
        match self {
            Self::SeveralPlatforms { target } => Explanation {
                class: ErrorClass::CommandLine,
                what: "the image is for several platforms, and this target holds one".to_owned(),
                place: target.clone(),
                why: "only the store and registries take all platforms under one name".to_owned(),
                next: "build with one --platform for each file, or --push to a registry".to_owned(),
            },
            Self::OtherDigest {
                destination,
                named,
                digest,
            } => Explanation {
                class: ErrorClass::CommandLine,
                what: "the destination's digest is not the image's".to_owned(),
                place: destination.clone(),
                why: format!(
                    "it says      {named}\nthe image is {digest}; what has another digest is another image"
                ),
                next: "push to a tag, or to the repository alone".to_owned(),
            },
        }
    }
}

/// What a push did.
#[derive(Debug)]
pub(crate) struct PushReport {
    pub reference: Reference,
    /// The digest that the name has there.
    pub digest: Digest,
    pub requests: u64,
    pub blobs: Vec<PushedBlob>,
    /// How long it took.
    pub took: Duration,
}

/// What an export did.
#[derive(Debug)]
pub(crate) struct ExportReport {
    pub target: ExportTarget,
    /// How long it took.
    pub took: Duration,
}

/// Names the built image in the store: its manifest, or an index of several platforms'.
pub(super) fn name(
    manifests: Vec<Descriptor>,
    names: &[Reference],
    family: MediaFamily,
    store: &Store,
) -> Result<Descriptor, BuildError> {
    let descriptor = match <[Descriptor; 1]>::try_from(manifests) {
        Ok([only]) => only,
        Err(several) => {
            let (bytes, descriptor) = crate::image::index_of(several, family)?;
            store.put_blob(&bytes)?;
            descriptor
        }
    };
    if names.is_empty() {
        store.tag("", &descriptor)?;
    }
    for name in names {
        store.tag(&name.canonical(), &descriptor)?;
    }
    Ok(descriptor)
}

/// An image of the store on its way out.
pub(super) struct StoredImageFiles<'a> {
    pub descriptor: &'a Descriptor,
    pub means: BuildMeans<'a>,
}

impl StoredImageFiles<'_> {
    /// Does work over its blobs; once more for each that was wrong here and lies in a registry.
    ///
    /// # Errors
    /// The work's.
    pub(super) fn mending<T>(
        &self,
        work: impl FnMut() -> Result<T, BuildError>,
    ) -> Result<T, BuildError> {
        let BuildMeans { store, report, .. } = self.means;
        let is_elsewhere = |digest: &Digest| !store.elsewhere(digest).is_empty();
        mending((store, report), is_elsewhere, work)
    }

    /// Pushes under each name, if that is wanted; names of one repository together.
    pub(super) fn push_all(
        &self,
        names: &[Reference],
        is_wanted: bool,
        stages: &StageClock<'_>,
    ) -> Result<Vec<PushReport>, BuildError> {
        let mut repositories: Vec<Vec<&Reference>> = Vec::new();
        for name in names.iter().filter(|_| is_wanted) {
            match repositories.iter_mut().find(|one| one[0].is_beside(name)) {
                Some(names) => names.push(name),
                None => repositories.push(vec![name]),
            }
        }
        let push = |names: &Vec<&Reference>| {
            let shown = || names.iter().map(ToString::to_string).collect::<Vec<_>>();
            stages.run(
                BuildStage::Push,
                || self.push(names),
                |_| shown().join(", "),
            )
        };
        let pushed: Vec<Vec<PushReport>> = repositories
            .iter()
            .map(push)
            .collect::<Result<_, BuildError>>()?;
        Ok(pushed.into_iter().flatten().collect())
    }

    /// Writes to each target.
    pub(super) fn export_all(
        &self,
        name: Option<&Reference>,
        targets: &[ExportTarget],
        stages: &StageClock<'_>,
    ) -> Result<Vec<ExportReport>, BuildError> {
        let export = |target: &ExportTarget| {
            stages.run(
                BuildStage::Export,
                || self.export(name, target),
                |_| target.to_string(),
            )
        };
        targets.iter().map(export).collect()
    }

    /// Pushes under names of one repository: the platforms' manifests first, then the index that
    /// names them. What is counted, is counted for the first name.
    fn push(&self, names: &[&Reference]) -> Result<Vec<PushReport>, BuildError> {
        let pushed = self.push_there(names);
        crate::context::client::say_warnings(self.means.client, self.means.report);
        pushed
    }

    fn push_there(&self, names: &[&Reference]) -> Result<Vec<PushReport>, BuildError> {
        let start = Instant::now();
        let Some((first, others)) = names.split_first() else {
            return Ok(Vec::new());
        };
        let registry = RegistryRepository::new(self.means.client, first)
            .map_err(PushError::from)?
            .telling(self.means.report);
        let tags: Vec<String> = names.iter().map(|name| tag_of(name)).collect();
        let (digest, blobs) = match self.descriptor.media_type {
            MediaType::Index | MediaType::DockerList => self.push_index(&registry, first, &tags)?,
            _ => {
                let mut outcome = (self.descriptor.digest, Vec::new());
                for (_, image) in self.images()? {
                    let previous = self.means.cache.served(first, None);
                    let summary = self.push_image(&registry, &image, &tags, previous)?;
                    outcome = (summary.digest, summary.blobs);
                }
                outcome
            }
        };
        let pushed = |name: &Reference, requests, blobs, took| PushReport {
            reference: name.clone(),
            digest,
            requests,
            blobs,
            took,
        };
        let requests = registry.requests() + self.means.cache.requests(first);
        let mut all = vec![pushed(first, requests, blobs, start.elapsed())];
        let others = others.iter();
        all.extend(others.map(|name| pushed(name, 0, Vec::new(), Duration::ZERO)));
        Ok(all)
    }

    /// Pushes what an index names, by digest, and the index under its tags.
    fn push_index(
        &self,
        registry: &RegistryRepository<'_>,
        name: &Reference,
        tags: &[String],
    ) -> Result<(Digest, Vec<PushedBlob>), BuildError> {
        let (mut blobs, mut pushed) = (Vec::new(), BTreeMap::new());
        for (entry, image) in self.images()? {
            let by_digest = [entry.digest.to_string()];
            let platform = entry.known_platform();
            let previous = platform.map_or(PreviousTag::Ask, |one| {
                self.means.cache.served(name, Some(one))
            });
            let summary = self.push_image(registry, &image, &by_digest, previous)?;
            blobs.extend_from_slice(&summary.blobs);
            pushed.insert(entry.digest, summary);
        }
        let is_there = match self.means.cache.served(name, None) {
            PreviousTag::Known(Some(served)) => served.digest == self.descriptor.digest,
            _ => false,
        };
        let bytes = self.means.store.read_blob(&self.descriptor.digest)?;
        let media_type = &self.descriptor.media_type;
        let tags = tags.get(usize::from(is_there)..).unwrap_or_default();
        let digest = push_index(&bytes, media_type, &pushed, registry, tags)?;
        Ok((digest, blobs))
    }

    fn push_image(
        &self,
        registry: &RegistryRepository<'_>,
        image: &PushImage,
        tags: &[String],
        previous: PreviousTag<'_>,
    ) -> Result<PushSummary, BuildError> {
        let target = PushTarget {
            registry,
            tags,
            parallelism: DEFAULT_PARALLELISM,
            previous,
        };
        let report = self.means.report;
        Ok(crate::destination::registry::push(
            image, self, target, report,
        )?)
    }

    fn export(
        &self,
        name: Option<&Reference>,
        target: &ExportTarget,
    ) -> Result<ExportReport, BuildError> {
        let start = Instant::now();
        let mut images = self.images()?;
        let (Some((_, image)), None) = (images.pop(), images.pop()) else {
            return Err(PublishError::SeveralPlatforms {
                target: target.to_string(),
            }
            .into());
        };
        let wanted: Vec<WantedBlob> = image
            .layers
            .iter()
            .map(|layer| WantedBlob {
                digest: layer.digest,
                size_bytes: layer.size,
                name: contents_of(layer),
            })
            .collect();
        let BuildMeans {
            store,
            client,
            report,
            ..
        } = self.means;
        RemoteBlobs {
            store,
            client,
            report,
            ids: &TransferIds::default(),
        }
        .bring(&wanted)?;
        let is_zstd = |layer: &Descriptor| layer.media_type == MediaType::LayerZstd;
        if target.is_docker() && image.layers.iter().any(is_zstd) {
            report.event(Event::Warning {
                text: format!("docker before version 23 cannot load {target}"),
                hint: "its layers are zstd; build without --compression for older ones".to_owned(),
            });
        }
        target.write(name, &image, self)?;
        Ok(ExportReport {
            target: target.clone(),
            took: start.elapsed(),
        })
    }

    /// Each platform's manifest and what it names.
    fn images(&self) -> Result<Vec<(Descriptor, PushImage)>, BuildError> {
        self.means
            .store
            .manifests(self.descriptor)?
            .into_iter()
            .map(|(entry, manifest)| {
                let image = PushImage {
                    manifest: self.means.store.read_blob(&entry.digest)?,
                    media_type: entry.media_type.clone(),
                    config: manifest.config,
                    layers: manifest.layers,
                };
                Ok((entry, image))
            })
            .collect()
    }
}

/// The tag, or digest, under which a manifest is stored.
fn tag_of(name: &Reference) -> String {
    name.digest()
        .map_or_else(|| name.tag_or_latest().to_owned(), ToString::to_string)
}

/// What a layer holds, for people.
fn contents_of(layer: &Descriptor) -> String {
    let named = layer.annotations.get(CONTENTS_ANNOTATION);
    named.map_or_else(|| "a layer of the base".to_owned(), Clone::clone)
}

impl BlobSource for StoredImageFiles<'_> {
    fn path(&self, digest: &Digest) -> PathBuf {
        self.means.store.blob_path(digest)
    }

    fn origins(&self, digest: &Digest) -> Vec<Reference> {
        self.means.store.elsewhere(digest)
    }
}

/// `s2r push`: sends an image of the store to a registry.
///
/// # Errors
/// No such image, or the registry's.
pub(crate) fn push(
    image: &Reference,
    destination: Option<&Reference>,
    settings: &Settings,
    report: &dyn Report,
) -> Result<PushReport, BuildError> {
    with(image, settings, report, |stored| {
        let destination = destination.unwrap_or(image);
        let digest = stored.descriptor.digest;
        if let Some(named) = destination.digest().filter(|named| **named != digest) {
            return Err(PublishError::OtherDigest {
                destination: destination.to_string(),
                named: *named,
                digest,
            }
            .into());
        }
        let pushed = stored.push(&[destination])?;
        pushed
            .into_iter()
            .next()
            .ok_or_else(|| ThreadError::Stopped.into())
    })
}

/// `s2r export`: writes an image of the store to a file or folder.
///
/// # Errors
/// No such image, or the disk's.
pub(crate) fn export(
    image: &Reference,
    target: &ExportTarget,
    settings: &Settings,
    report: &dyn Report,
) -> Result<ExportReport, BuildError> {
    with(image, settings, report, |stored| {
        stored.export(Some(image).filter(|name| !name.is_nameless()), target)
    })
}

/// Does something with an image of the store.
fn with<T>(
    image: &Reference,
    settings: &Settings,
    report: &dyn Report,
    work: impl Fn(&StoredImageFiles<'_>) -> Result<T, BuildError>,
) -> Result<T, BuildError> {
    let report: &dyn Report = &WarnOnce::new(report);
    let store = Store::open(&settings.store_root)?;
    let _in_use = store.in_use()?;
    let descriptor = store.image(image)?.descriptor;
    let client = crate::context::client::new(settings, report);
    let cache = RegistryCache::new((&client, &store), report, &[], (&[], &[]));
    let image = StoredImageFiles {
        descriptor: &descriptor,
        means: BuildMeans {
            settings,
            store: &store,
            report,
            client: &client,
            cache: &cache,
        },
    };
    image.mending(|| work(&image))
}

#[cfg(test)]
crate::report::samples! {
    enum PublishError {
        SeveralPlatforms { target: "oci-archive:image.tar".into() },
        OtherDigest {
            destination: "registry.example.com/myimg".into(),
            named: Digest::of(b"named"),
            digest: Digest::of(b"built"),
        },
    }
}
