//! Puts layers and run settings together into an image: config and manifest, to the byte.
//! Knows neither where layers come from nor where the image goes.

mod abi;
mod base_record;
mod form;
mod rebase;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use abi::{Abi, AbiMismatch};
pub(crate) use base_record::{BaseRecord, BaseSettings, NoBaseRecord};
pub(crate) use form::{
    COMPLETED_ANNOTATION, LayerForm, kept_annotations, labels_annotation, labels_noted,
    table_annotations, written_in,
};
pub(crate) use rebase::{BaseDefaults, NewBase, family_of, packages, rebase};

use crate::oci::{
    Descriptor, DiffId, Digest, HistoryEntry, ImageConfig, ImageIndex, ImageManifest, Key,
    MediaFamily, MediaType, Platform, RootFs, RunConfig,
};

/// Becomes its arguments, or the process type of a Procfile that the only one of them names.
const ENTRYPOINT: &str = "/usr/libexec/s2i/container-entrypoint";

/// The entrypoint of an image: what its base has, and one that knows process types if it has some.
pub(crate) fn entrypoint(of_base: &[String], has_processes: bool) -> Option<Vec<String>> {
    let of_base = of_base.iter().filter(|word| *word != ENTRYPOINT);
    let own = has_processes.then(|| ENTRYPOINT.to_owned());
    let words: Vec<String> = of_base.cloned().chain(own).collect();
    (!words.is_empty()).then_some(words)
}

/// Whether an entrypoint knows process types.
fn has_processes(entrypoint: Option<&Vec<String>>) -> bool {
    entrypoint.is_some_and(|words| words.iter().any(|word| word == ENTRYPOINT))
}

/// Annotation of a layer: its key.
pub(crate) const KEY_ANNOTATION: &str = "io.s2r.layer.key";
/// Annotation of a layer: what it holds, for people, for instance `numpy==2.4.6`.
pub(crate) const CONTENTS_ANNOTATION: &str = "io.s2r.layer.contents";
/// Annotation of a manifest: the base's packages, `name=version` with blanks between.
pub(crate) const BASE_PACKAGES_ANNOTATION: &str = "io.s2r.base.packages";
/// Annotation of a manifest: how many of its layers, from the lowest, are the base's.
pub(crate) const BASE_LAYERS_ANNOTATION: &str = "io.s2r.base.layers";
/// Annotation of a manifest: what the layers above the base count on in it, as [`Abi`] writes it.
pub(crate) const ABI_ANNOTATION: &str = "io.s2r.base.abi";
/// Its name in images of older versions; still read.
pub(crate) const OLD_ABI_ANNOTATION: &str = "io.s2r.base.footing";
/// Annotation of a manifest: which variables and labels are the base's, as [`BaseSettings`] writes it.
pub(crate) const SETTINGS_ANNOTATION: &str = "io.s2r.base.settings";
/// Annotation of a manifest: the image that it stands on (image-spec, annotations.md).
pub(crate) const BASE_NAME_ANNOTATION: &str = "org.opencontainers.image.base.name";
/// Annotation of a manifest: what that name stood for then; a manifest or an index.
pub(crate) const BASE_DIGEST_ANNOTATION: &str = "org.opencontainers.image.base.digest";

/// Annotation of a manifest: the wheels in it that were built from source, a line each: the key of what
/// they were built from, file name, digest and size in bytes.
pub(crate) const BUILT_ANNOTATION: &str = "io.s2r.built";

/// What keeps an image's documents from being written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// A document could not be serialised, which no input can bring about.
    #[error("{document}: {reason}")]
    Document {
        /// `config`, `manifest` or `index`.
        document: &'static str,
        reason: String,
    },
    /// Something of the image has no media type in the format that is wanted.
    #[error("{media_types} in {family:?}")]
    Format {
        /// What the image is made of.
        media_types: String,
        family: MediaFamily,
    },
}

impl crate::report::Explain for ImageError {
    fn explain(&self) -> crate::report::Explanation {
        match self {
            Self::Document { document, reason } => crate::report::Explanation {
                class: crate::report::ErrorClass::Ours,
                what: format!("the image's {document} cannot be written"),
                place: (*document).to_owned(),
                why: reason.clone(),
                next: crate::report::REPORT_FAULT.into(),
            },
            Self::Format {
                media_types,
                family,
            } => crate::report::Explanation {
                class: crate::report::ErrorClass::CommandLine,
                what: match family {
                    MediaFamily::Docker => "the image cannot be written in Docker's format",
                    MediaFamily::Oci => "the image cannot be written in OCI's format",
                }
                .to_owned(),
                place: media_types.clone(),
                why: "one of these has no media type there".to_owned(),
                next: "build with the other format (--format oci, --format docker), or on another base".to_owned(),
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageLayer {
    /// What determined its bytes.
    pub key: Key,
    /// What it holds, for people.
    pub contents: String,
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: DiffId,
    /// Compressed length in bytes.
    pub size_bytes: u64,
    /// What the blob is.
    pub media_type: MediaType,
    /// What its descriptor has to tell of it, besides key and contents.
    pub annotations: BTreeMap<String, String>,
}

/// All that an image is made of.
#[derive(Debug, Clone)]
pub(crate) struct ImageParts<'a> {
    /// What it runs on.
    pub platform: Platform,
    /// Creation time, seconds since 1970.
    pub created_seconds: u64,
    /// How it runs, labels included.
    pub run: RunConfig,
    /// The image that it stands on, whose layers lie beneath; none where all layers are ours.
    pub base: Option<BaseParts<'a>>,
    /// Ours, the lowest first.
    pub layers: &'a [ImageLayer],
    /// Notes on the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Whose media types it is to have.
    pub family: MediaFamily,
}

/// The image that an image stands on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BaseParts<'a> {
    /// Its layers, as its manifest lists them.
    pub layers: &'a [Descriptor],
    /// Its config: history and unknown fields stay.
    pub config: &'a ImageConfig,
}

/// An image's two documents.
#[derive(Debug, Clone)]
pub(crate) struct ImageDocuments {
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
    /// Names the manifest, with its platform.
    pub descriptor: Descriptor,
}

/// Writes config and manifest.
///
/// # Errors
/// Only if a document cannot be serialised.
pub(crate) fn assemble(parts: ImageParts<'_>) -> Result<ImageDocuments, ImageError> {
    let created = rfc3339(parts.created_seconds);
    let mut diff_ids = Vec::new();
    let mut layers = Vec::new();
    let mut history = Vec::new();
    let mut other = BTreeMap::new();
    let mut run = parts.run;
    if let Some(base) = parts.base {
        diff_ids.clone_from(&base.config.rootfs.diff_ids);
        layers.extend(base.layers.iter().map(as_oci));
        history = history_of(base.config);
        other.clone_from(&base.config.other);
        other.retain(|name, _| !OF_A_CONTAINER.contains(&name.as_str()));
        run.other.clone_from(&base.config.config.other);
        // What is to be done when somebody builds on the base; that is done.
        run.other.remove("OnBuild");
        run.stop_signal.clone_from(&base.config.config.stop_signal);
    }
    diff_ids.extend(parts.layers.iter().map(|layer| layer.diff_id));
    layers.extend(parts.layers.iter().map(layer_descriptor));
    history.extend(parts.layers.iter().map(|layer| HistoryEntry {
        created: Some(created.clone()),
        created_by: Some(format!("s2r: {}", layer.contents)),
        ..HistoryEntry::default()
    }));
    let config = ImageConfig {
        created: Some(created),
        architecture: parts.platform.architecture.name().to_owned(),
        os: "linux".to_owned(),
        config: run,
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids,
        },
        history,
        other,
    };
    let config = config.to_bytes().map_err(failed("config"))?;
    documents(
        parts.platform,
        (config, layers),
        parts.annotations,
        parts.family,
    )
}

/// An image of a config's bytes and of layers.
fn documents(
    platform: Platform,
    (config, layers): (Vec<u8>, Vec<Descriptor>),
    annotations: BTreeMap<String, String>,
    family: MediaFamily,
) -> Result<ImageDocuments, ImageError> {
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(MediaType::Manifest),
        config: Descriptor::of(MediaType::Config, &config),
        layers,
        annotations,
    };
    let manifest = manifest
        .in_family(family)
        .ok_or_else(|| without_name(&manifest.layers, family))?;
    let media_type = MediaType::Manifest.in_family(family);
    let manifest = manifest.to_bytes().map_err(failed("manifest"))?;
    let mut descriptor = Descriptor::of(media_type.unwrap_or(MediaType::Manifest), &manifest);
    descriptor.platform = Some(platform.into());
    Ok(ImageDocuments {
        config,
        manifest,
        descriptor,
    })
}

/// Fields in which docker describes the container that a config was taken from.
const OF_A_CONTAINER: [&str; 5] = [
    "container",
    "container_config",
    "docker_version",
    "id",
    "parent",
];

/// A layer of a base under the media type of the OCI's own manifests: some registries refuse one
/// that mixes these with docker's. The bytes are the same.
fn as_oci(layer: &Descriptor) -> Descriptor {
    let media_type = match layer.media_type.as_str() {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => MediaType::LayerGzip,
        "application/vnd.docker.image.rootfs.diff.tar" => {
            MediaType::from("application/vnd.oci.image.layer.v1.tar")
        }
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            MediaType::from("application/vnd.oci.image.layer.v1.tar+zstd")
        }
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
            MediaType::from("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
        }
        _ => layer.media_type.clone(),
    };
    Descriptor {
        media_type,
        digest: layer.digest,
        size: layer.size,
        platform: None,
        annotations: kept_annotations(&layer.annotations),
    }
}

/// A base's history; one that does not go with its layers is replaced by a line for each.
fn history_of(config: &ImageConfig) -> Vec<HistoryEntry> {
    let layers = config.rootfs.diff_ids.len();
    let told = config.history.iter().filter(|line| !line.empty_layer);
    if told.count() == layers {
        return config.history.clone();
    }
    let line = |_| HistoryEntry {
        created_by: Some("base image".to_owned()),
        ..HistoryEntry::default()
    };
    (0..layers).map(line).collect()
}

/// Writes the index of one image for several platforms.
///
/// # Errors
/// Only if the document cannot be serialised.
pub(crate) fn index_of(
    manifests: Vec<Descriptor>,
    family: MediaFamily,
) -> Result<(Vec<u8>, Descriptor), ImageError> {
    let media_type = MediaType::Index
        .in_family(family)
        .ok_or_else(|| without_name(&manifests, family))?;
    let index = ImageIndex {
        manifests,
        media_type: Some(media_type.clone()),
        ..ImageIndex::default()
    };
    let bytes = index.to_bytes().map_err(failed("index"))?;
    let descriptor = Descriptor::of(media_type, &bytes);
    Ok((bytes, descriptor))
}

fn without_name(parts: &[Descriptor], family: MediaFamily) -> ImageError {
    let names: BTreeSet<&str> = parts.iter().map(|part| part.media_type.as_str()).collect();
    ImageError::Format {
        media_types: names.into_iter().collect::<Vec<_>>().join(", "),
        family,
    }
}

fn failed(document: &'static str) -> impl FnOnce(serde_json::Error) -> ImageError {
    move |error| ImageError::Document {
        document,
        reason: error.to_string(),
    }
}

fn layer_descriptor(layer: &ImageLayer) -> Descriptor {
    let mut annotations = layer.annotations.clone();
    annotations.insert(KEY_ANNOTATION.to_owned(), layer.key.to_string());
    annotations.insert(CONTENTS_ANNOTATION.to_owned(), layer.contents.clone());
    Descriptor {
        media_type: layer.media_type.clone(),
        digest: layer.digest,
        size: layer.size_bytes,
        platform: None,
        annotations,
    }
}

/// Seconds since 1970 as RFC 3339 in UTC, by the civil-from-days method of the proleptic
/// Gregorian calendar with years that begin in March.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
crate::report::samples! {
    enum ImageError {
        Document { document: "config", reason: "key must be a string".into() },
        Format { media_types: "application/vnd.oci.image.layer.v1.tar+zstd".into(), family: MediaFamily::Docker },
        Format { media_types: "application/vnd.docker.plugin.v1+json".into(), family: MediaFamily::Oci },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Explain as _;

    fn layer(contents: &str, byte: u8) -> ImageLayer {
        ImageLayer {
            key: Key::from_bytes([byte; 32]),
            contents: contents.to_owned(),
            digest: Digest::from_bytes([byte; 32]),
            diff_id: DiffId::from_bytes([byte + 1; 32]),
            size_bytes: 7,
            media_type: MediaType::LayerGzip,
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn manifest_config_and_layers_belong_together() {
        let layers = [layer("base", 1), layer("numpy==2.4.6", 3)];
        let assembled = assemble(ImageParts {
            platform: "linux/amd64".parse().unwrap(),
            created_seconds: 315_532_800,
            run: RunConfig::default(),
            base: None,
            layers: &layers,
            annotations: BTreeMap::new(),
            family: MediaFamily::Oci,
        })
        .unwrap();
        let manifest = ImageManifest::from_bytes(&assembled.manifest).unwrap();
        let config = ImageConfig::from_bytes(&assembled.config).unwrap();
        assert_eq!(manifest.config.digest, Digest::of(&assembled.config));
        assert_eq!(assembled.descriptor.digest, Digest::of(&assembled.manifest));
        assert_eq!(config.rootfs.diff_ids.len(), manifest.layers.len());
        assert_eq!(config.history.len(), manifest.layers.len());
        assert_eq!(config.created.as_deref(), Some("1980-01-01T00:00:00Z"));
        assert_eq!(
            manifest.layers[1].annotations[CONTENTS_ANNOTATION],
            "numpy==2.4.6"
        );
    }

    #[test]
    fn a_base_lies_beneath_in_one_family_of_media_types() {
        let text = r#"{"architecture":"amd64","os":"linux","variant":"v3","container":"c0ffee",
            "config":{"StopSignal":"SIGINT","OnBuild":["RUN x"],"Healthcheck":{"Test":["NONE"]}},
            "history":[{"created_by":"a"},{"created_by":"ENV","empty_layer":true}],
            "rootfs":{"type":"layers","diff_ids":["sha256:4444444444444444444444444444444444444444444444444444444444444444"]}}"#;
        let mut config = ImageConfig::from_bytes(text.as_bytes()).unwrap();
        let docker = MediaType::from("application/vnd.docker.image.rootfs.diff.tar.gzip");
        let of_base = [Descriptor::of(docker, b"base")];
        let ours = [layer("source", 1)];
        let assembled = |config: &ImageConfig| {
            assemble(ImageParts {
                platform: "linux/amd64".parse().unwrap(),
                created_seconds: 315_532_800,
                run: RunConfig::default(),
                base: Some(BaseParts {
                    layers: &of_base,
                    config,
                }),
                layers: &ours,
                annotations: BTreeMap::new(),
                family: MediaFamily::Oci,
            })
            .unwrap()
        };
        let first = assembled(&config);
        let manifest = ImageManifest::from_bytes(&first.manifest).unwrap();
        assert_eq!(manifest.layers[0].media_type, MediaType::LayerGzip);
        assert_eq!(manifest.layers[0].digest, of_base[0].digest);
        assert_eq!(
            manifest.layers[1].annotations[CONTENTS_ANNOTATION],
            "source"
        );
        let made = ImageConfig::from_bytes(&first.config).unwrap();
        assert_eq!(made.rootfs.diff_ids.len(), 2);
        assert_eq!(made.history.len(), 3);
        assert_eq!(made.config.stop_signal.as_deref(), Some("SIGINT"));
        assert!(made.other.contains_key("variant") && !made.other.contains_key("container"));
        assert_eq!(made.config.other.len(), 1);
        config.history.clear();
        let made = ImageConfig::from_bytes(&assembled(&config).config).unwrap();
        assert_eq!(made.history.len(), 2);
    }

    #[test]
    fn an_image_is_all_of_one_family() {
        let in_form = |form: LayerForm| {
            let mut layer = layer("base", 1);
            layer.media_type = form.media_type();
            assemble(ImageParts {
                platform: "linux/amd64".parse().unwrap(),
                created_seconds: 0,
                run: RunConfig::default(),
                base: None,
                layers: &[layer],
                annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
                family: MediaFamily::Docker,
            })
        };
        let docker = in_form(LayerForm::Gzip).unwrap();
        assert_eq!(docker.descriptor.media_type, MediaType::DockerManifest);
        let text = String::from_utf8(docker.manifest).unwrap();
        assert!(!text.contains("vnd.oci"), "{text}");
        // What the next build looks for is there all the same.
        assert!(text.contains(KEY_ANNOTATION), "{text}");
        let (list, descriptor) = index_of(vec![docker.descriptor], MediaFamily::Docker).unwrap();
        assert_eq!(descriptor.media_type, MediaType::DockerList);
        assert!(!String::from_utf8(list).unwrap().contains("vnd.oci"));
        let error = in_form(LayerForm::Zstd).unwrap_err();
        assert!(error.explain().place.contains("zstd"), "{error}");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
