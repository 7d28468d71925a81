//! Descriptor, manifest and index (image-spec: descriptor.md, manifest.md, image-index.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Digest, Platform};

/// The media types that s2r writes or reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MediaType {
    /// An OCI image manifest.
    Manifest,
    /// An OCI image index.
    Index,
    /// An OCI image config.
    Config,
    /// A layer: tar in gzip.
    LayerGzip,
    /// A layer: tar in zstd.
    LayerZstd,
    /// Docker's image manifest, version 2 schema 2.
    DockerManifest,
    DockerList,
    /// Anything else, kept as it is.
    Other(String),
}

impl MediaType {
    /// The text in documents and HTTP headers.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Manifest => "application/vnd.oci.image.manifest.v1+json",
            Self::Index => "application/vnd.oci.image.index.v1+json",
            Self::Config => "application/vnd.oci.image.config.v1+json",
            Self::LayerGzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::LayerZstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::Other(text) => text,
        }
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        [
            Self::Manifest,
            Self::Index,
            Self::Config,
            Self::LayerGzip,
            Self::LayerZstd,
            Self::DockerManifest,
            Self::DockerList,
        ]
        .into_iter()
        .find(|known| known.as_str() == text)
        .unwrap_or_else(|| Self::Other(text.to_owned()))
    }
}

impl Serialize for MediaType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

/// Names a blob: what it is, how long, and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What the blob is.
    pub media_type: MediaType,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Length of the content, in bytes.
    #[serde(deserialize_with = "blob_size")]
    pub size: u64,
    /// In an index: what the manifest runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<DescriptorPlatform>,
    /// Free notes on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A blob's length in bytes; far beyond what any registry takes, but sums of them are numbers still.
fn blob_size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    const MOST_BYTES: u64 = 1 << 42;
    let size = u64::deserialize(from)?;
    if size > MOST_BYTES {
        let what = format!("no blob has {size} bytes");
        return Err(serde::de::Error::custom(what));
    }
    Ok(size)
}

impl Descriptor {
    /// The platform that an index's entry is for, if s2r builds for it.
    pub(crate) fn known_platform(&self) -> Option<Platform> {
        let named = self.platform.as_ref()?;
        format!("{}/{}", named.os, named.architecture).parse().ok()
    }

    /// A descriptor of these very bytes.
    pub(crate) fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Self {
            media_type,
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// The platform of an index's entry; foreign indexes name platforms that s2r does not build for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DescriptorPlatform {
    /// For instance `amd64`.
    pub architecture: String,
    /// For instance `linux`.
    pub os: String,
    /// For instance `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl From<Platform> for DescriptorPlatform {
    fn from(platform: Platform) -> Self {
        Self {
            architecture: platform.architecture.name().to_owned(),
            os: "linux".to_owned(),
            variant: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageManifest {
    /// 2, as the specification demands.
    pub schema_version: u32,
    /// Always written; foreign manifests may lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// Notes on the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A list of manifests: of one image for several platforms, or of a layout's images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageIndex {
    /// 2, as the specification demands.
    pub schema_version: u32,
    /// Always written; foreign indexes may lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    pub manifests: Vec<Descriptor>,
    /// Notes on the index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Default for ImageIndex {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::Index),
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }
}

/// Defines reading and writing of a document. The same value always gives the same bytes: fields
/// in declaration order, maps sorted, no white space.
macro_rules! document {
    ($name:ident) => {
        impl $name {
            /// The exact bytes that are stored and hashed.
            pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
                serde_json::to_vec(self)
            }

            /// Reads the document; errors name line and column.
            pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
                serde_json::from_slice(bytes)
            }
        }
    };
}
pub(super) use document;

document!(ImageManifest);
document!(ImageIndex);

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> Descriptor {
        Descriptor::of(MediaType::LayerGzip, b"layer")
    }

    #[test]
    fn sizes_that_no_blob_has_are_refused() {
        let text = |size: u64| {
            let mut manifest = serde_json::to_value(descriptor()).unwrap();
            manifest["size"] = size.into();
            manifest
        };
        assert!(serde_json::from_value::<Descriptor>(text(1 << 40)).is_ok());
        assert!(serde_json::from_value::<Descriptor>(text(u64::MAX)).is_err());
    }

    #[test]
    fn a_manifest_reads_back_and_others_read_it_too() {
        let mut layer = descriptor();
        layer.annotations.insert("b".into(), "2".into());
        layer.annotations.insert("a".into(), "1".into());
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(MediaType::Manifest),
            config: Descriptor::of(MediaType::Config, b"{}"),
            layers: vec![layer],
            annotations: BTreeMap::new(),
        };
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(ImageManifest::from_bytes(&bytes).unwrap(), manifest);
        assert_eq!(bytes, manifest.to_bytes().unwrap());
        let second = oci_spec::image::ImageManifest::from_reader(bytes.as_slice()).unwrap();
        assert_eq!(
            second.layers()[0].digest().to_string(),
            manifest.layers[0].digest.to_string()
        );
        assert_eq!(
            second.config().media_type(),
            &oci_spec::image::MediaType::ImageConfig
        );
    }

    #[test]
    fn an_index_names_platforms() {
        let mut entry = descriptor();
        entry.media_type = MediaType::Manifest;
        entry.platform = Some("linux/arm64".parse::<Platform>().unwrap().into());
        let index = ImageIndex {
            manifests: vec![entry],
            ..ImageIndex::default()
        };
        let second =
            oci_spec::image::ImageIndex::from_reader(index.to_bytes().unwrap().as_slice()).unwrap();
        let platform = second.manifests()[0].platform().as_ref().unwrap().clone();
        assert_eq!(platform.architecture().to_string(), "arm64");
    }

    #[test]
    fn a_foreign_media_type_is_kept() {
        let text = "application/vnd.example.thing";
        assert_eq!(MediaType::from(text).as_str(), text);
    }
}
