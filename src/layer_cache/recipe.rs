//! How one layer is made, and what came of it.

use std::time::Duration;

use super::download::Download;
use crate::archive::tar::{CompressionEffort, LayerWriter};
use crate::image::ImageLayer;
use crate::layers::notes::LayerNotes;
use crate::oci::{Digest, Key};
use crate::report::{BuildError, ErrorClass, Explain, Explanation, LayerStatus};
use crate::store::BlobWriter;

/// Writes a layer's entries, and says what is to be noted of them.
pub(crate) type WriteEntries<'a> =
    dyn Fn(&mut LayerWriter<BlobWriter>) -> Result<LayerNotes, BuildError> + Send + Sync + 'a;

/// How one layer is made.
pub(crate) struct LayerRecipe<'a> {
    /// What determines its bytes.
    pub key: Key,
    /// What it holds, for people.
    pub contents: String,
    /// How hard it is compressed; part of what the key is made of.
    pub effort: CompressionEffort,
    /// What must be in the store before it can be written.
    pub needs: Vec<Download>,
    pub write: Box<WriteEntries<'a>>,
    /// Whether it depends on the project's files, so that no lock can know it.
    pub is_of_source: bool,
}

/// What a layer is found by.
#[derive(Clone, Copy)]
pub(crate) struct LayerTitle<'a> {
    pub key: &'a Key,
    /// What it holds, for people.
    pub contents: &'a str,
    /// Whether it depends on the project's files, so that no lock can know it.
    pub is_of_source: bool,
}

impl LayerRecipe<'_> {
    pub(super) fn title(&self) -> LayerTitle<'_> {
        LayerTitle {
            key: &self.key,
            contents: &self.contents,
            is_of_source: self.is_of_source,
        }
    }
}

/// A layer that is there, and how that came.
#[derive(Debug, Clone)]
pub(crate) struct BuiltLayer {
    pub layer: ImageLayer,
    /// Length of its tar in bytes; not known of a layer that was never here.
    pub uncompressed_bytes: Option<u64>,
    pub status: LayerStatus,
    /// How long that took.
    pub took: Duration,
    /// What was noted of it; none of a layer that was not made here.
    pub notes: Option<serde_json::Value>,
}

/// A layer of a registry's image is not what is made of the same things here.
#[derive(Debug, thiserror::Error)]
#[error("{contents}: a registry has {told} for it, and made here it is {made}")]
pub(crate) struct LayerContradiction {
    /// What the layer holds, for people.
    pub contents: String,
    /// What the image in the registry says.
    pub told: Digest,
    pub made: Digest,
}

impl Explain for LayerContradiction {
    fn explain(&self) -> Explanation {
        Explanation {
            class: ErrorClass::World,
            what: "a layer of an image in a registry is not what its key says".to_owned(),
            place: self.contents.clone(),
            why: format!(
                "the registry has {}, and made from the same packages here it is {}: the image was not built by this s2r, or somebody has changed it",
                self.told, self.made
            ),
            next: "find out who may write to that repository; build with --no-cache meanwhile"
                .to_owned(),
        }
    }
}

/// A layer that only a registry vouches for cannot be made here to hold against it.
#[derive(Debug, thiserror::Error)]
#[error("{contents}: only a registry has it, and it cannot be made here")]
pub(crate) struct NoRecipe {
    /// What the layer holds, for people.
    pub contents: String,
}

impl Explain for NoRecipe {
    fn explain(&self) -> Explanation {
        Explanation {
            class: ErrorClass::World,
            what: "a layer of an image in a registry cannot be checked".to_owned(),
            place: self.contents.clone(),
            why: "code would run upon it, nothing here vouches for its bytes, and it is not made of packages alone"
                .to_owned(),
            next: "build once with --no-cache".to_owned(),
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    struct LayerContradiction {
        contents: "numpy==2.4.6".into(),
        told: Digest::of(b"told"),
        made: Digest::of(b"made"),
    };
    struct NoRecipe {
        contents: "numpy==2.4.6".into(),
    };
}
