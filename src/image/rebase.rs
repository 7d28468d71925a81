//! Another base beneath an image: layers, history and settings of the old one go, those of the new one
//! come, and what the application brought stays as it is.
//!
//! Knows what an image tells of itself ([`BaseRecord`]) and nothing else: neither the sources nor the old
//! base are needed. An image that is put on the base that it has comes out the same to the byte.

use std::collections::{BTreeMap, BTreeSet};

use super::base_record::BaseRecord;
use super::{
    ABI_ANNOTATION, Abi, BASE_DIGEST_ANNOTATION, BASE_LAYERS_ANNOTATION, BASE_NAME_ANNOTATION,
    BASE_PACKAGES_ANNOTATION, BaseSettings, ImageDocuments, ImageError, OF_A_CONTAINER,
    OLD_ABI_ANNOTATION, SETTINGS_ANNOTATION, as_oci, documents, entrypoint, failed, has_processes,
    history_of,
};
use crate::oci::{
    Descriptor, DiffId, HistoryEntry, ImageConfig, ImageManifest, MediaFamily, Platform, RootFs,
    RunConfig,
};

/// The notes on a manifest that tell of its base.
const OF_THE_BASE: [&str; 7] = [
    BASE_DIGEST_ANNOTATION,
    BASE_LAYERS_ANNOTATION,
    BASE_NAME_ANNOTATION,
    BASE_PACKAGES_ANNOTATION,
    ABI_ANNOTATION,
    OLD_ABI_ANNOTATION,
    SETTINGS_ANNOTATION,
];

/// All that a base gives to the images that stand on it.
#[derive(Debug, Clone)]
pub(crate) struct NewBase {
    pub layers: Vec<Descriptor>,
    pub diff_ids: Vec<DiffId>,
    pub history: Vec<HistoryEntry>,
    pub given: BaseDefaults,
    /// User, ports, entrypoint, stop signal, and fields that s2r does not know.
    pub run: RunConfig,
    /// Fields of the config that s2r does not know.
    pub other: BTreeMap<String, serde_json::Value>,
    /// What layers above it may count on.
    pub abi: Abi,
    /// Notes on what it is: packages, or name and digest.
    pub annotations: BTreeMap<String, String>,
}

/// Variables and labels of a base.
#[derive(Debug, Clone, Default)]
pub(crate) struct BaseDefaults {
    pub env: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// Names for which the base's own value is not known, because its application set another.
    pub untold: BaseSettings,
}

impl NewBase {
    /// The base of an image that stands on one.
    pub(crate) fn of_image(
        manifest: &ImageManifest,
        config: &ImageConfig,
        standing: &BaseRecord,
    ) -> Self {
        let count = standing.layers;
        let (env, untold_env) = split(variables(&config.config.env), &standing.settings.env);
        let labels = config.config.labels.clone();
        let (labels, untold_labels) = split(labels, &standing.settings.labels);
        let names = |map: BTreeMap<String, String>| map.into_keys().collect();
        let is_told = |name: &str| {
            [
                BASE_DIGEST_ANNOTATION,
                BASE_NAME_ANNOTATION,
                BASE_PACKAGES_ANNOTATION,
            ]
            .contains(&name)
        };
        let annotations = manifest.annotations.iter();
        let annotations = annotations.filter(|(name, _)| is_told(name));
        Self {
            layers: manifest.layers.iter().take(count).cloned().collect(),
            diff_ids: config.rootfs.diff_ids.iter().take(count).copied().collect(),
            history: halves(config, count).0,
            given: BaseDefaults {
                env,
                labels,
                untold: BaseSettings {
                    env: names(untold_env),
                    labels: names(untold_labels),
                },
            },
            run: config.config.clone(),
            other: config.other.clone(),
            abi: standing.abi.clone(),
            annotations: annotations
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }

    /// All of an image that says nothing of a base of its own; `run` is what images on it get.
    pub(crate) fn of_whole(
        (manifest, config): (&ImageManifest, &ImageConfig),
        given: BaseDefaults,
        run: RunConfig,
        abi: Abi,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        let mut other = config.other.clone();
        other.retain(|name, _| !OF_A_CONTAINER.contains(&name.as_str()));
        let mut run = run;
        run.other.clone_from(&config.config.other);
        run.other.remove("OnBuild");
        run.stop_signal.clone_from(&config.config.stop_signal);
        Self {
            layers: manifest.layers.iter().map(as_oci).collect(),
            diff_ids: config.rootfs.diff_ids.clone(),
            history: history_of(config),
            given,
            run,
            other,
            abi,
            annotations,
        }
    }

    /// Names of the packages in it, if it tells of any, with their versions.
    pub(crate) fn packages(&self) -> BTreeMap<&str, &str> {
        packages(&self.annotations)
    }
}

/// The packages that a manifest's notes list.
pub(crate) fn packages(annotations: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let listed = annotations.get(BASE_PACKAGES_ANNOTATION);
    let words = listed.into_iter().flat_map(|text| text.split_whitespace());
    words.filter_map(|word| word.split_once('=')).collect()
}

/// Puts an image on another base.
///
/// # Errors
/// A layer that has no media type in the image's format.
pub(crate) fn rebase(
    platform: Platform,
    (manifest, config): (&ImageManifest, &ImageConfig),
    standing: &BaseRecord,
    bottom: &NewBase,
) -> Result<ImageDocuments, ImageError> {
    let above = standing.layers;
    let mut diff_ids = bottom.diff_ids.clone();
    diff_ids.extend(config.rootfs.diff_ids.iter().skip(above));
    let mut layers = bottom.layers.clone();
    layers.extend(manifest.layers.iter().skip(above).cloned());
    let mut history = bottom.history.clone();
    history.extend(halves(config, above).1);
    let given = &bottom.given;
    let of_base = &standing.settings;
    let env = merged(
        variables(&config.config.env),
        (&of_base.env, &given.untold.env),
        &given.env,
    );
    let labels = merged(
        config.config.labels.clone(),
        (&of_base.labels, &given.untold.labels),
        &given.labels,
    );
    let settings = BaseSettings {
        env: env.1,
        labels: labels.1,
    };
    let config = ImageConfig {
        config: RunConfig {
            user: bottom.run.user.clone(),
            exposed_ports: bottom.run.exposed_ports.clone(),
            entrypoint: entrypoint(
                bottom.run.entrypoint.as_deref().unwrap_or_default(),
                has_processes(config.config.entrypoint.as_ref()),
            ),
            stop_signal: bottom.run.stop_signal.clone(),
            other: bottom.run.other.clone(),
            env: env
                .0
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            labels: labels.0,
            ..config.config.clone()
        },
        rootfs: RootFs {
            kind: config.rootfs.kind.clone(),
            diff_ids,
        },
        history,
        other: bottom.other.clone(),
        ..config.clone()
    };
    let config = config.to_bytes().map_err(failed("config"))?;
    let mut annotations = manifest.annotations.clone();
    annotations.retain(|name, _| !OF_THE_BASE.contains(&name.as_str()));
    annotations.extend(bottom.annotations.clone());
    annotations.extend(
        [
            (BASE_LAYERS_ANNOTATION, bottom.layers.len().to_string()),
            (ABI_ANNOTATION, bottom.abi.to_string()),
            (SETTINGS_ANNOTATION, settings.to_text()),
        ]
        .map(|(name, text)| (name.to_owned(), text)),
    );
    documents(platform, (config, layers), annotations, family_of(manifest))
}

/// Whose media types a manifest has.
pub(crate) fn family_of(manifest: &ImageManifest) -> MediaFamily {
    let docker = manifest.config.media_type.in_family(MediaFamily::Docker);
    if docker.as_ref() == Some(&manifest.config.media_type) {
        MediaFamily::Docker
    } else {
        MediaFamily::Oci
    }
}

/// A config's history up to its lowest layers, and above them. Lines without a layer go with the layer
/// that they follow. Where the history does not go with the layers, there is a line for each.
fn halves(config: &ImageConfig, lower: usize) -> (Vec<HistoryEntry>, Vec<HistoryEntry>) {
    let mut below = history_of(config);
    let above = config.rootfs.diff_ids.len().saturating_sub(lower);
    let mut layers = 0;
    let cut = below.iter().rposition(|line| {
        layers += usize::from(!line.empty_layer);
        layers == above && !line.empty_layer
    });
    let at = match cut {
        Some(at) if above > 0 => at,
        _ => below.len(),
    };
    let upper = below.split_off(at);
    (below, upper)
}

/// `NAME=value` lines by name.
fn variables(lines: &[String]) -> BTreeMap<String, String> {
    let pairs = lines.iter().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The entries with these names, and the others.
fn split(
    all: BTreeMap<String, String>,
    names: &BTreeSet<String>,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    all.into_iter().partition(|(name, _)| names.contains(name))
}

/// The application's entries over the new base's; and the names of those that are the base's.
fn merged(
    all: BTreeMap<String, String>,
    (of_base, untold): (&BTreeSet<String>, &BTreeSet<String>),
    new: &BTreeMap<String, String>,
) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let (old, mut entries) = split(all, of_base);
    let mut names = BTreeSet::new();
    let kept = old.iter().filter(|(name, _)| untold.contains(*name));
    for (name, value) in new.iter().chain(kept) {
        if !entries.contains_key(name) {
            names.insert(name.clone());
            entries.insert(name.clone(), value.clone());
        }
    }
    (entries, names)
}

#[cfg(test)]
mod tests;
