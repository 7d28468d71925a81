//! Names and documents of container images, as the OCI image and distribution specifications
//! define them. Pure: no disk, no network, no clock.
//!
//! The documents are our own types and not a library's: annotations and labels must come out in a
//! fixed order, because the digest of the bytes is the identity of an image. A second reader (the
//! `oci-spec` crate) checks in the tests that others read them as we mean them.

mod config;
mod digest;
mod docker;
mod key;
mod manifest;
mod name_or_id;
mod platform;
mod reference;

pub(crate) use config::{EmptyObject, HistoryEntry, ImageConfig, RootFs, RunConfig};
pub(crate) use digest::{DiffId, Digest, DigestError};
pub(crate) use docker::MediaFamily;
pub(crate) use key::{Key, KeyBuilder};
pub(crate) use manifest::{Descriptor, DescriptorPlatform, ImageIndex, ImageManifest, MediaType};
pub(crate) use name_or_id::NameOrId;
pub(crate) use platform::{Architecture, Platform};
pub(crate) use reference::{DOCKER_HUB, DOCKER_HUB_HOST, Reference, ReferenceError, docker_hub_of};
