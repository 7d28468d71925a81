//! Layers by their keys: what the store has or a registry has is not made again, what is missing is fetched and
//! written.
//!
//! - `recipe`: what a layer is made of, and how
//! - `layer_builder`: finds or makes layers, several at once
//! - `download`: files that layers are made of, checked while they arrive
//! - `compressed_files`: large files that were compressed before
//! - `registry_cache`: images of registries whose layers may be used again
//! - `locked_layers`: what `s2r.lock` says of layers
//! - `mend`: parts of an image that are wrong in the store are dropped and made again
//! - `remote_blobs`: blobs that the store only knows to lie in a registry, brought here
//! - `unpacked_layers`: layers as folders, for steps and interpreters

mod compressed_files;
mod download;
mod layer_builder;
mod locked_layers;
mod mend;
mod recipe;
mod registry_cache;
mod remote_blobs;
#[cfg(test)]
mod testing;
mod unpacked_layers;

pub(crate) use compressed_files::CompressedFiles;
pub(crate) use download::again;
pub(crate) use download::{
    Download, DownloadError, DownloadOrigin, MAX_DOWNLOAD_BYTES, StoreFetcher, TransferIds,
};
pub(crate) use layer_builder::{BatchFetched, LayerBatch, LayerBuilder};
pub(crate) use locked_layers::{LockedLayers, line as locked_line};
pub(crate) use mend::mending;
pub(crate) use recipe::{BuiltLayer, LayerContradiction, LayerRecipe, LayerTitle, NoRecipe};
pub(crate) use registry_cache::RegistryCache;
pub(crate) use remote_blobs::{BlobMissing, RemoteBlobs, WantedBlob};
pub(crate) use unpacked_layers::{RootLayer, UnpackLock, UnpackedLayers};
