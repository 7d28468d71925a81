//! Which part of an image is its base's: the lowest layers, and names of variables and labels.
//!
//! A build writes it into the manifest, so that another base can be put beneath the image later with
//! neither the sources nor the old base at hand. Names only: the values stand in the config.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{BASE_LAYERS_ANNOTATION, FOOTING_ANNOTATION, Footing, SETTINGS_ANNOTATION};
use crate::oci::{ImageConfig, Manifest};

/// Names of what the base gave to an image's config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BaseSettings {
    /// Variables.
    pub env: BTreeSet<String>,
    /// Labels.
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
pub(crate) struct Standing {
    /// How many of its layers, from the lowest, are the base's.
    pub layers: usize,
    /// What the others count on.
    pub footing: Footing,
    /// What else is the base's.
    pub settings: BaseSettings,
}

/// Why an image does not tell how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoStanding {
    /// Notes that it lacks, or that do not read.
    Lacks(Vec<&'static str>),
    /// Layers by the manifest, tars by the config, and layers of the base: they do not go together.
    Layers(usize, usize, usize),
}

impl Standing {
    /// Whether an image says that it stands on a base at all.
    pub(crate) fn is_told(manifest: &Manifest) -> bool {
        manifest.annotations.contains_key(BASE_LAYERS_ANNOTATION)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Notes that are not there, or that are wrong of this image.
    pub(crate) fn of(manifest: &Manifest, config: &ImageConfig) -> Result<Self, NoStanding> {
        let note = |name: &str| manifest.annotations.get(name);
        let layers = note(BASE_LAYERS_ANNOTATION).and_then(|text| text.parse::<usize>().ok());
        let footing = note(FOOTING_ANNOTATION).and_then(|text| text.parse::<Footing>().ok());
        let settings: Option<BaseSettings> =
            note(SETTINGS_ANNOTATION).and_then(|text| serde_json::from_str(text).ok());
        let (Some(layers), Some(footing), Some(settings)) = (layers, footing.clone(), &settings)
        else {
            let notes = [
                (BASE_LAYERS_ANNOTATION, layers.is_none()),
                (FOOTING_ANNOTATION, footing.is_none()),
                (SETTINGS_ANNOTATION, settings.is_none()),
            ];
            let missing = notes.into_iter().filter(|(_, is_missing)| *is_missing);
            return Err(NoStanding::Lacks(missing.map(|(name, _)| name).collect()));
        };
        let (all, tars) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if all != tars || layers > all {
            return Err(NoStanding::Layers(all, tars, layers));
        }
        Ok(Self {
            layers,
            footing,
            settings: settings.clone(),
        })
    }
}
