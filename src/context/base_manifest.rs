//! An image that others stand on, as its registry describes it.

use crate::image::{
    ABI_ANNOTATION, Abi, BASE_DIGEST_ANNOTATION, BASE_NAME_ANNOTATION, OLD_ABI_ANNOTATION,
};
use crate::oci::{Digest, ImageConfig, ImageManifest, Platform, Reference};
use crate::plan::image_builder::ImageBuilder;
use crate::resolve::debian::LockedImage;

/// An image to stand on, for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseImage {
    /// As it is named.
    pub reference: Reference,
    /// What the name stands for: the manifest, or the index that leads to it.
    pub digest: Digest,
    pub manifest_digest: Digest,
    pub platform: Platform,
    pub manifest: ImageManifest,
    pub config: ImageConfig,
}

impl BaseImage {
    /// A builder upon it that knows what its manifest tells, as that of an image of ours does.
    pub(crate) fn known_to(&self, builder: &ImageBuilder) -> ImageBuilder {
        let annotations = &self.manifest.annotations;
        let abi = annotations
            .get(ABI_ANNOTATION)
            .or_else(|| annotations.get(OLD_ABI_ANNOTATION));
        match abi.and_then(|text| text.parse().ok()) {
            Some(Abi {
                python,
                glibc,
                interpreter,
            }) => builder.clone().knowing(python, glibc, interpreter),
            None => builder.clone(),
        }
    }

    /// What an image that stands on it tells of it.
    pub(crate) fn annotations(&self) -> [(String, String); 2] {
        [
            (BASE_NAME_ANNOTATION, self.reference.canonical()),
            (BASE_DIGEST_ANNOTATION, self.digest.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    /// As a lock pins it, with the manifests of all these platforms.
    pub(crate) fn locked<'i>(&self, platforms: impl Iterator<Item = &'i Self>) -> LockedImage {
        let manifest = |one: &Self| {
            let architecture = one.platform.architecture.name();
            (architecture.to_owned(), one.manifest_digest)
        };
        LockedImage {
            reference: self.reference.canonical(),
            digest: self.digest,
            manifests: platforms.map(manifest).collect(),
        }
    }
}
