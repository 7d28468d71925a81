//! The store's images by name: the layout's `index.json`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::prune::children;
use super::records::{read_bounded, read_sealed};
use super::{Store, StoreError};
use crate::oci::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType, NameOrId, Reference};

/// The annotation in which a layout names an image (image-spec, annotations.md).
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The copy of the list of images, among what is ours alone.
const COPY: &str = "images";

/// An image of the store.
#[derive(Debug, Clone)]
pub(crate) struct StoredImage {
    /// Its name with tag, for instance `docker.io/library/myimg:latest`; empty if it has none.
    pub name: String,
    /// Its manifest, or index of several platforms' manifests.
    pub descriptor: Descriptor,
}

impl StoredImage {
    /// Its name as short as its user may have written it; `None` if it has none.
    pub(crate) fn reference(&self) -> Option<Reference> {
        let full: Reference = self.name.parse().ok()?;
        let short = self.name.strip_prefix("docker.io/").unwrap_or(&self.name);
        let short = short.strip_prefix("library/").unwrap_or(short);
        let short: Option<Reference> = short.parse().ok();
        Some(
            short
                .filter(|short| short.canonical() == self.name)
                .unwrap_or(full),
        )
    }
}

/// An image as it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct FoundImage {
    pub image: StoredImage,
    /// What to call it elsewhere: the name that it was asked for by, else the only one that it has.
    pub name: Option<Reference>,
    /// Every name that leads to it.
    pub names: Vec<Reference>,
}

impl FoundImage {
    /// What leads to it, and to no other: its name if that is known, else its digest.
    pub(crate) fn reference(&self) -> Reference {
        let digest = self.image.descriptor.digest;
        let name = self.name.clone();
        name.unwrap_or_else(|| Reference::of_nameless(digest))
    }
}

impl Store {
    /// All images, sorted by name.
    pub(crate) fn images(&self) -> Result<Vec<StoredImage>, StoreError> {
        let mut images: Vec<StoredImage> =
            self.read_index()?.manifests.iter().map(listed).collect();
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// The image of this name, or with this digest: under this name rather than another.
    pub(crate) fn image(&self, reference: &Reference) -> Result<StoredImage, StoreError> {
        let found = self.find(&NameOrId::from(reference.clone()))?;
        Ok(found.image)
    }

    /// The image that is meant: by its name if there is one of that name, else by its id.
    ///
    /// # Errors
    /// There is none, or there are several whose digests begin so.
    pub(crate) fn find(&self, wanted: &NameOrId) -> Result<FoundImage, StoreError> {
        let images = self.images()?;
        let by_name = wanted.name().and_then(|name| named(&images, name));
        let (image, asked) = match (by_name, wanted.id()) {
            (Some(image), _) => (image, wanted.name()),
            (None, id) => (self.with_id(&images, id, wanted)?, None),
        };
        let names: Vec<Reference> = images
            .iter()
            .filter(|other| other.descriptor.digest == image.descriptor.digest)
            .filter_map(StoredImage::reference)
            .collect();
        let only = names.first().filter(|_| names.len() == 1);
        Ok(FoundImage {
            image: image.clone(),
            name: asked.or(only).cloned(),
            names,
        })
    }

    fn with_id<'a>(
        &self,
        images: &'a [StoredImage],
        id: Option<&str>,
        wanted: &NameOrId,
    ) -> Result<&'a StoredImage, StoreError> {
        let begins = |image: &&StoredImage| {
            id.is_some_and(|id| image.descriptor.digest.hex().starts_with(id))
        };
        let found: Vec<&StoredImage> = images.iter().filter(begins).collect();
        let digests: BTreeSet<Digest> = found.iter().map(|image| image.descriptor.digest).collect();
        match found.first() {
            Some(only) if digests.len() == 1 => Ok(only),
            Some(_) => Err(StoreError::SeveralImages {
                id: wanted.to_string(),
                found: found
                    .iter()
                    .map(|image| match image.reference() {
                        Some(name) => format!("{} ({name})", image.descriptor.digest),
                        None => image.descriptor.digest.to_string(),
                    })
                    .collect(),
            }),
            None => Err(StoreError::NoImage {
                name: wanted.to_string(),
                root: self.root().to_owned(),
            }),
        }
    }

    /// Gives an image its name, taking the name from the image that had it. An untagged image
    /// (`name` empty) is listed once by its digest.
    pub(crate) fn tag(&self, name: &str, descriptor: &Descriptor) -> Result<(), StoreError> {
        let _lock = self.lock("images")?;
        let (before, is_readable) = self.index_or_copy()?;
        let mut index = before.clone();
        let mut descriptor = descriptor.clone();
        descriptor.annotations.clear();
        let is_listed = |other: &Descriptor| other.digest == descriptor.digest;
        if name.is_empty() && before.manifests.iter().any(is_listed) {
            return Ok(());
        }
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
        // One that cannot be read is written anew as soon as somebody writes.
        if index == before && is_readable {
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
    ///
    /// # Errors
    /// One of them is not there or damaged, or the descriptor says other things of it than it says itself.
    pub(crate) fn manifests(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Vec<(Descriptor, ImageManifest)>, StoreError> {
        let bytes = self.read_blob(&descriptor.digest)?;
        // The list of images has no digest of its own. What it says of an image is held against that.
        let check = |media_type: Option<&MediaType>| {
            let is_told = media_type.is_none_or(|told| *told == descriptor.media_type);
            if is_told && descriptor.size == bytes.len() as u64 {
                return Ok(());
            }
            let reason = format!(
                "it says other things of {} than that itself",
                descriptor.digest
            );
            Err(StoreError::Damaged {
                path: self.index_path(),
                reason,
            })
        };
        if let Ok(manifest) = ImageManifest::from_bytes(&bytes) {
            check(manifest.media_type.as_ref())?;
            return Ok(vec![(descriptor.clone(), manifest)]);
        }
        let index = ImageIndex::from_bytes(&bytes)
            .map_err(|error| self.unknown_form(&descriptor.digest, &error))?;
        check(index.media_type.as_ref())?;
        index
            .manifests
            .into_iter()
            .map(|entry| {
                let bytes = self.read_blob(&entry.digest)?;
                let manifest = ImageManifest::from_bytes(&bytes)
                    .map_err(|error| self.unknown_form(&entry.digest, &error))?;
                Ok((entry, manifest))
            })
            .collect()
    }

    fn unknown_form(&self, digest: &Digest, error: &serde_json::Error) -> StoreError {
        StoreError::UnknownForm {
            path: self.blob_path(digest),
            reason: error.to_string(),
        }
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.root().join("index.json")
    }

    pub(super) fn copy_path(&self) -> PathBuf {
        self.folder(COPY)
    }

    /// Has a list of images where none is: the copy's. A store that has blobs and neither has lost its list,
    /// and keeps none: an empty one would have all of them pruned.
    pub(super) fn create_index(&self) -> Result<(), StoreError> {
        let path = self.index_path();
        if path.try_exists().map_err(StoreError::io(&path))? {
            return Ok(());
        }
        match self.copied_index()? {
            Some(copy) => self.write_index(&copy),
            None if children(&self.root().join("blobs/sha256"))?.is_empty() => {
                self.write_index(&ImageIndex::default())
            }
            None => Ok(()),
        }
    }

    /// The list of images; its copy where it cannot be read.
    pub(super) fn read_index(&self) -> Result<ImageIndex, StoreError> {
        Ok(self.index_or_copy()?.0)
    }

    /// The list of images, and whether it is from its own file.
    pub(super) fn index_or_copy(&self) -> Result<(ImageIndex, bool), StoreError> {
        let found = match read_bounded(&self.index_path())? {
            Some(bytes) => ImageIndex::from_bytes(&bytes).map_err(|error| error.to_string()),
            None => Err("it is not there".to_owned()),
        };
        match found {
            Ok(index) => Ok((index, true)),
            Err(reason) => match self.copied_index()? {
                Some(copy) => Ok((copy, false)),
                None => Err(self.list_lost(reason)),
            },
        }
    }

    /// The copy of the list, which tells by itself whether it is sound.
    pub(super) fn copied_index(&self) -> Result<Option<ImageIndex>, StoreError> {
        let bytes = read_sealed(&self.copy_path())?;
        Ok(bytes.and_then(|bytes| ImageIndex::from_bytes(&bytes).ok()))
    }

    fn list_lost(&self, reason: String) -> StoreError {
        StoreError::ListLost {
            path: self.index_path(),
            copy: self.copy_path(),
            root: self.root().to_owned(),
            reason,
        }
    }

    pub(super) fn write_index(&self, index: &ImageIndex) -> Result<(), StoreError> {
        let bytes = self.write_copy(index)?;
        self.replace_synced(&self.index_path(), &bytes)
    }

    /// Writes the copy alone; the list's bytes.
    pub(super) fn write_copy(&self, index: &ImageIndex) -> Result<Vec<u8>, StoreError> {
        let bytes = index.to_bytes().map_err(|error| StoreError::Damaged {
            path: self.index_path(),
            reason: error.to_string(),
        })?;
        self.replace_sealed(&self.copy_path(), &bytes)?;
        Ok(bytes)
    }
}

/// The image of an entry of the list.
pub(super) fn listed(entry: &Descriptor) -> StoredImage {
    StoredImage {
        name: entry.annotations.get(REF_NAME).cloned().unwrap_or_default(),
        descriptor: entry.clone(),
    }
}

/// The image of a name. One that is asked for by digest is there under that name rather than another.
fn named<'a>(images: &'a [StoredImage], name: &Reference) -> Option<&'a StoredImage> {
    let canonical = name.canonical();
    let Some(digest) = name.digest() else {
        return images.iter().find(|image| image.name == canonical);
    };
    let rank = |image: &&StoredImage| {
        let is_beside = image.reference().is_some_and(|other| other.is_beside(name));
        (image.name != canonical, !is_beside)
    };
    let same = images.iter().filter(|one| one.descriptor.digest == *digest);
    same.min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

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

    #[test]
    fn an_image_is_found_by_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        // Two digests that begin alike.
        let (one, two) = (0..)
            .map(|number: u32| Descriptor::of(MediaType::Manifest, &number.to_le_bytes()))
            .scan(BTreeMap::new(), |seen, descriptor| {
                let head = descriptor.digest.hex()[..6].to_owned();
                Some(seen.insert(head, descriptor.clone()).zip(Some(descriptor)))
            })
            .flatten()
            .next()
            .unwrap();
        store.tag("docker.io/library/b:1", &one).unwrap();
        store.tag("docker.io/library/a:1", &one).unwrap();
        let find = |text: &str| store.find(&text.parse().unwrap());
        let hex = one.digest.hex();
        for text in [&hex[..6], &hex, &format!("sha256:{}", &hex[..9])] {
            let found = find(text).unwrap();
            assert_eq!(found.image.descriptor.digest, one.digest);
            assert_eq!((found.name, found.names.len()), (None, 2));
        }
        let found = find(&format!("b@{}", one.digest)).unwrap();
        assert_eq!(found.image.name, "docker.io/library/b:1");
        store.tag("", &two).unwrap();
        let Err(StoreError::SeveralImages { found, .. }) = find(&hex[..6]) else {
            panic!("one of two images was taken");
        };
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(find(&two.digest.hex()).unwrap().name, None);
        // A name goes first, whatever it looks like.
        store
            .tag(&format!("docker.io/library/{}:latest", &hex[..6]), &two)
            .unwrap();
        let found = find(&hex[..6]).unwrap();
        assert_eq!(found.image.descriptor.digest, two.digest);
        assert!(matches!(find("abcdef"), Err(StoreError::NoImage { .. })));
        assert!(matches!(find(&hex[..5]), Err(StoreError::NoImage { .. })));
    }

    #[test]
    fn an_image_with_a_name_is_not_listed_without_one_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let one = Descriptor::of(MediaType::Manifest, b"one");
        for name in ["", "docker.io/library/a:1", ""] {
            store.tag(name, &one).unwrap();
        }
        assert_eq!(store.images().unwrap().len(), 1);
    }
}
