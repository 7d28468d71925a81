//! The store's images by name: the layout's `index.json`.

use std::path::PathBuf;

use super::{Store, StoreError, read_bounded};
use crate::oci::{Descriptor, Digest, Index, Manifest, Reference};

/// The annotation in which a layout names an image (image-spec, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An image of the store.
#[derive(Debug, Clone)]
pub(crate) struct StoredImage {
    /// Its name with tag, for instance `docker.io/library/myimg:latest`; empty if it has none.
    pub name: String,
    /// Its manifest, or index of several platforms' manifests.
    pub descriptor: Descriptor,
}

impl Store {
    /// All images, sorted by name.
    pub(crate) fn images(&self) -> Result<Vec<StoredImage>, StoreError> {
        let mut images: Vec<StoredImage> = self
            .read_index()?
            .manifests
            .into_iter()
            .map(|descriptor| StoredImage {
                name: descriptor
                    .annotations
                    .get(REF_NAME)
                    .cloned()
                    .unwrap_or_default(),
                descriptor,
            })
            .collect();
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// The image of this name, or with this digest under any name.
    pub(crate) fn image(&self, reference: &Reference) -> Result<StoredImage, StoreError> {
        let name = reference.canonical();
        let found = self
            .images()?
            .into_iter()
            .find(|image| match reference.digest() {
                Some(digest) => image.descriptor.digest == *digest,
                None => image.name == name,
            });
        found.ok_or_else(|| StoreError::NoImage {
            name: reference.to_string(),
            root: self.root().to_owned(),
        })
    }

    /// Gives an image its name, taking the name from the image that had it. An untagged image
    /// (`name` empty) is listed once by its digest.
    pub(crate) fn tag(&self, name: &str, descriptor: &Descriptor) -> Result<(), StoreError> {
        let _lock = self.lock("images")?;
        let before = self.read_index()?;
        let mut index = before.clone();
        let mut descriptor = descriptor.clone();
        descriptor.annotations.clear();
        if !name.is_empty() {
            descriptor
                .annotations
                .insert(REF_NAME.to_owned(), name.to_owned());
        }
        index
            .manifests
            .retain(|other| match other.annotations.get(REF_NAME) {
                Some(other_name) => other_name != name,
                None => other.digest != descriptor.digest,
            });
        index.manifests.push(descriptor);
        index.manifests.sort_by(|a, b| {
            (a.annotations.get(REF_NAME), a.digest).cmp(&(b.annotations.get(REF_NAME), b.digest))
        });
        if index == before {
            return Ok(());
        }
        self.write_index(&index)
    }

    /// Takes an image out of the list; its blobs stay until they are pruned.
    pub(crate) fn untag(&self, image: &StoredImage) -> Result<(), StoreError> {
        let _lock = self.lock("images")?;
        let mut index = self.read_index()?;
        index.manifests.retain(|other| {
            other.digest != image.descriptor.digest
                || other.annotations.get(REF_NAME).map_or("", String::as_str) != image.name
        });
        self.write_index(&index)
    }

    /// The manifests that a descriptor leads to: itself, or those of its index.
    pub(crate) fn manifests(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Vec<(Descriptor, Manifest)>, StoreError> {
        let bytes = self.read_blob(&descriptor.digest)?;
        if let Ok(manifest) = Manifest::from_bytes(&bytes) {
            return Ok(vec![(descriptor.clone(), manifest)]);
        }
        let index =
            Index::from_bytes(&bytes).map_err(|error| self.damaged(&descriptor.digest, &error))?;
        index
            .manifests
            .into_iter()
            .map(|entry| {
                let bytes = self.read_blob(&entry.digest)?;
                let manifest = Manifest::from_bytes(&bytes)
                    .map_err(|error| self.damaged(&entry.digest, &error))?;
                Ok((entry, manifest))
            })
            .collect()
    }

    fn damaged(&self, digest: &Digest, error: &serde_json::Error) -> StoreError {
        StoreError::Damaged {
            path: self.blob_path(digest),
            reason: error.to_string(),
        }
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.root().join("index.json")
    }

    pub(super) fn read_index(&self) -> Result<Index, StoreError> {
        let path = self.index_path();
        let Some(bytes) = read_bounded(&path)? else {
            return Ok(Index::default());
        };
        Index::from_bytes(&bytes).map_err(|error| StoreError::Damaged {
            path,
            reason: error.to_string(),
        })
    }

    pub(super) fn write_index(&self, index: &Index) -> Result<(), StoreError> {
        let path = self.index_path();
        let bytes = index.to_bytes().map_err(|error| StoreError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        self.replace(&path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::MediaType;

    #[test]
    fn a_name_moves_from_image_to_image() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let one = Descriptor::of(MediaType::Manifest, b"one");
        let two = Descriptor::of(MediaType::Manifest, b"two");
        store.tag("a:1", &one).unwrap();
        store.tag("b:1", &one).unwrap();
        store.tag("a:1", &two).unwrap();
        store.tag("a:1", &two).unwrap();
        let names: Vec<_> = store
            .images()
            .unwrap()
            .into_iter()
            .map(|image| (image.name, image.descriptor.digest))
            .collect();
        assert_eq!(
            names,
            [("a:1".into(), two.digest), ("b:1".into(), one.digest)]
        );
    }

    #[test]
    fn an_image_is_found_by_name_and_by_digest() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let one = Descriptor::of(MediaType::Manifest, b"one");
        let reference: Reference = "app".parse().unwrap();
        store.tag(&reference.canonical(), &one).unwrap();
        assert_eq!(
            store.image(&reference).unwrap().descriptor.digest,
            one.digest
        );
        let pinned = reference.at(one.digest);
        assert_eq!(store.image(&pinned).unwrap().descriptor.digest, one.digest);
        store.untag(&store.image(&reference).unwrap()).unwrap();
        assert!(matches!(
            store.image(&reference),
            Err(StoreError::NoImage { .. })
        ));
    }
}
