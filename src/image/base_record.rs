//! Which part of an image is its base's: the lowest layers, and names of variables and labels.
//!
//! A build writes it into the manifest, so that another base can be put beneath the image later with
//! neither the sources nor the old base at hand. Names only: the values stand in the config.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{ABI_ANNOTATION, Abi, BASE_LAYERS_ANNOTATION, OLD_ABI_ANNOTATION, SETTINGS_ANNOTATION};
use crate::oci::{ImageConfig, ImageManifest};

/// Names of what the base gave to an image's config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BaseSettings {
    pub env: BTreeSet<String>,
    pub labels: BTreeSet<String>,
}

impl BaseSettings {
    /// As an annotation holds it.
    pub(crate) fn to_text(&self) -> String {
        // Sets of strings have no form that JSON lacks.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// How an image stands on its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseRecord {
    /// How many of its layers, from the lowest, are the base's.
    pub layers: usize,
    /// What the others count on.
    pub abi: Abi,
    /// What else is the base's.
    pub settings: BaseSettings,
}

/// Why an image does not tell how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoBaseRecord {
    /// Notes that it lacks, or that do not read.
    Lacks(Vec<&'static str>),
    /// Layers by the manifest, tars by the config, and layers of the base: they do not go together.
    Layers(usize, usize, usize),
}

impl BaseRecord {
    /// Whether an image says that it stands on a base at all.
    pub(crate) fn is_told(manifest: &ImageManifest) -> bool {
        manifest.annotations.contains_key(BASE_LAYERS_ANNOTATION)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Notes that are not there, or that are wrong of this image.
    pub(crate) fn of(manifest: &ImageManifest, config: &ImageConfig) -> Result<Self, NoBaseRecord> {
        let note = |name: &str| manifest.annotations.get(name);
        let layers = note(BASE_LAYERS_ANNOTATION).and_then(|text| text.parse::<usize>().ok());
        let abi = note(ABI_ANNOTATION)
            .or_else(|| note(OLD_ABI_ANNOTATION))
            .and_then(|text| text.parse::<Abi>().ok());
        let settings: Option<BaseSettings> =
            note(SETTINGS_ANNOTATION).and_then(|text| serde_json::from_str(text).ok());
        let (Some(layers), Some(abi), Some(settings)) = (layers, abi.clone(), &settings) else {
            let notes = [
                (BASE_LAYERS_ANNOTATION, layers.is_none()),
                (ABI_ANNOTATION, abi.is_none()),
                (SETTINGS_ANNOTATION, settings.is_none()),
            ];
            let missing = notes.into_iter().filter(|(_, is_missing)| *is_missing);
            return Err(NoBaseRecord::Lacks(missing.map(|(name, _)| name).collect()));
        };
        let (all, tars) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if all != tars || layers > all {
            return Err(NoBaseRecord::Layers(all, tars, layers));
        }
        Ok(Self {
            layers,
            abi,
            settings: settings.clone(),
        })
    }
}
