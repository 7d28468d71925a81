//! The same image in the words of the other family: OCI's manifest, or Docker's version 2 schema 2
//! (distribution, docs/spec/manifest-v2-2.md).
//!
//! Blobs stay what they are; only media types change, and with them the manifest's digest. Annotations
//! are kept: Docker's documents have no place for them, and their readers pass over what they do not
//! know. A manifest that mixes both families is refused by some registries, so all of one is turned.

use super::{Descriptor, ImageIndex, ImageManifest, MediaType};

/// Whose media types a document has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum MediaFamily {
    #[default]
    Oci,
    /// Docker's, version 2 schema 2.
    Docker,
}

/// Pairs of media types for the same bytes: OCI's, Docker's.
const PAIRS: [(&str, &str); 6] = [
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ),
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ),
    (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    ),
    (
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
    (
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
    ),
    // Written by some builders for Docker's family, though its document has no zstd.
    (
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    ),
];

impl MediaType {
    /// The type for the same bytes in a family; `None` if that family has none. Docker's readers know
    /// no zstd, so nothing is turned into it.
    pub(crate) fn in_family(&self, family: MediaFamily) -> Option<Self> {
        let (oci, docker) = PAIRS
            .iter()
            .find(|(oci, docker)| [*oci, *docker].contains(&self.as_str()))?;
        match family {
            MediaFamily::Oci => Some(Self::from(*oci)),
            MediaFamily::Docker if oci.ends_with("+zstd") => None,
            MediaFamily::Docker => Some(Self::from(*docker)),
        }
    }
}

impl Descriptor {
    /// The same blob, named in a family.
    pub(crate) fn in_family(&self, family: MediaFamily) -> Option<Self> {
        Some(Self {
            media_type: self.media_type.in_family(family)?,
            ..self.clone()
        })
    }
}

impl ImageManifest {
    /// The same image in one family, throughout; `None` if something of it has no type there. A
    /// manifest that is in it already comes out the same.
    pub(crate) fn in_family(&self, family: MediaFamily) -> Option<Self> {
        let layers = self.layers.iter().map(|layer| layer.in_family(family));
        Some(Self {
            schema_version: self.schema_version,
            media_type: MediaType::Manifest.in_family(family),
            config: self.config.in_family(family)?,
            layers: layers.collect::<Option<_>>()?,
            annotations: self.annotations.clone(),
        })
    }
}

impl ImageIndex {
    /// The same index in one family, of entries that `entry` turns: their manifests have other digests
    /// there. `None` if one cannot be turned.
    pub(crate) fn in_family(
        &self,
        family: MediaFamily,
        entry: impl Fn(&Descriptor) -> Option<Descriptor>,
    ) -> Option<Self> {
        let manifests = self.manifests.iter().map(entry);
        Some(Self {
            schema_version: self.schema_version,
            media_type: MediaType::Index.in_family(family),
            manifests: manifests.collect::<Option<_>>()?,
            annotations: self.annotations.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn manifest(layer: &str) -> ImageManifest {
        let mut layer = Descriptor::of(MediaType::from(layer), b"layer");
        layer.annotations.insert("k".into(), "v".into());
        ImageManifest {
            schema_version: 2,
            media_type: Some(MediaType::Manifest),
            config: Descriptor::of(MediaType::Config, b"{}"),
            layers: vec![layer],
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn there_and_back_is_the_same() {
        let oci = manifest("application/vnd.oci.image.layer.v1.tar+gzip");
        let docker = oci.in_family(MediaFamily::Docker).unwrap();
        let text = String::from_utf8(docker.to_bytes().unwrap()).unwrap();
        assert!(!text.contains("vnd.oci"), "{text}");
        assert!(text.contains("application/vnd.docker.container.image.v1+json"));
        assert_eq!(docker.layers[0].digest, oci.layers[0].digest);
        assert_eq!(docker.layers[0].annotations, oci.layers[0].annotations);
        assert_eq!(docker.in_family(MediaFamily::Docker).unwrap(), docker);
        assert_eq!(docker.in_family(MediaFamily::Oci).unwrap(), oci);
    }

    #[test]
    fn a_mixed_manifest_becomes_one_of_a_kind() {
        let mut mixed = manifest("application/vnd.docker.image.rootfs.diff.tar.gzip");
        mixed
            .layers
            .push(Descriptor::of(MediaType::LayerGzip, b"2"));
        let oci = mixed.in_family(MediaFamily::Oci).unwrap();
        assert!(
            oci.layers
                .iter()
                .all(|layer| layer.media_type == MediaType::LayerGzip)
        );
    }

    #[test]
    fn what_has_no_name_there_is_not_turned() {
        let zstd = manifest("application/vnd.oci.image.layer.v1.tar+zstd");
        assert_eq!(zstd.in_family(MediaFamily::Docker), None);
        let foreign = manifest("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        assert_eq!(foreign.in_family(MediaFamily::Oci), None);
        let docker = manifest("application/vnd.docker.image.rootfs.diff.tar.zstd");
        let oci = docker.in_family(MediaFamily::Oci).unwrap();
        assert_eq!(
            oci.layers[0].media_type.as_str(),
            "application/vnd.oci.image.layer.v1.tar+zstd"
        );
    }

    #[test]
    fn an_index_follows_its_manifests() {
        let entry = Descriptor::of(MediaType::Manifest, b"{}");
        let index = ImageIndex {
            manifests: vec![entry],
            ..ImageIndex::default()
        };
        let turned = index
            .in_family(MediaFamily::Docker, |entry| {
                entry.in_family(MediaFamily::Docker)
            })
            .unwrap();
        assert_eq!(turned.media_type, Some(MediaType::DockerList));
        assert_eq!(turned.manifests[0].media_type, MediaType::DockerManifest);
        assert_eq!(index.in_family(MediaFamily::Docker, |_| None), None);
    }
}
