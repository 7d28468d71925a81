//! Where an image goes: a registry, an OCI layout, or an archive file.
//!
//! Owns the order of things (blobs before what names them, names last), what is skipped because it is
//! there, and the shape of the archives. Knows neither the store nor the plan: bytes come from a
//! [`BlobSource`].

pub(crate) mod archive;
mod blob;
mod error;
pub(crate) mod layout;
pub(crate) mod registry;
mod target;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::oci::{Descriptor, Digest, MediaType, Reference};

pub(crate) use error::{BlobError, ExportError};
pub(crate) use target::{ExportTarget, ExportTargetError};

/// Has the blobs of an image, as files or by knowing where else they are.
pub(crate) trait BlobSource: Sync {
    /// Where the blob lies; for error messages.
    fn path(&self, digest: &Digest) -> PathBuf;

    /// Opens the blob from its beginning.
    fn open(&self, digest: &Digest) -> io::Result<File> {
        File::open(self.path(digest))
    }

    /// Repositories that are said to hold a blob which is no local file; `path` then names no file.
    /// A push mounts it, or copies it from there.
    fn origins(&self, _digest: &Digest) -> Vec<Reference> {
        Vec::new()
    }
}

/// An image ready to go out: a manifest's exact bytes, and what it names.
#[derive(Debug, Clone)]
pub(crate) struct PushImage {
    /// The manifest as it is stored and hashed.
    pub manifest: Vec<u8>,
    pub media_type: MediaType,
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
}

impl PushImage {
    /// A descriptor of the manifest.
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::of(self.media_type.clone(), &self.manifest)
    }

    /// Layers and config, each digest once, layers first and in order.
    fn blobs(&self) -> Vec<&Descriptor> {
        let mut seen = BTreeSet::new();
        let all = self.layers.iter().chain([&self.config]);
        all.filter(|blob| seen.insert(blob.digest)).collect()
    }
}

#[cfg(test)]
mod testing {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use crate::oci::ImageManifest;

    /// Blobs in a folder, by hex digits.
    pub(super) struct BlobFolder(pub tempfile::TempDir);

    impl BlobFolder {
        pub(super) fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        pub(super) fn put(&self, media_type: MediaType, bytes: &[u8]) -> Descriptor {
            let blob = Descriptor::of(media_type, bytes);
            std::fs::write(self.path(&blob.digest), bytes).unwrap();
            blob
        }
    }

    impl BlobSource for BlobFolder {
        fn path(&self, digest: &Digest) -> PathBuf {
            self.0.path().join(digest.hex())
        }
    }

    /// An image of these layers; their bytes need not be archives.
    pub(super) fn image(folder: &BlobFolder, config: &str, layers: &[&[u8]]) -> PushImage {
        let config = folder.put(MediaType::Config, config.as_bytes());
        let layers: Vec<_> = layers
            .iter()
            .map(|bytes| folder.put(MediaType::LayerGzip, bytes))
            .collect();
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(MediaType::Manifest),
            config: config.clone(),
            layers: layers.clone(),
            annotations: BTreeMap::new(),
        };
        let manifest = manifest.to_bytes().unwrap();
        PushImage {
            manifest,
            media_type: MediaType::Manifest,
            config,
            layers,
        }
    }
}
