//! Holding all that the store has against its digests: `s2r cache verify`.
//!
//! Folders of unpacked layers have no digest and are not looked at; nor are git repositories, which git
//! checks, and fetched programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::blob::{FileState, drop_unless, remove_this};
use super::images::listed;
use super::prune::visit;
use super::records::read_sealed;
use super::roots::sealed_code;
use super::{Store, StoreError};
use crate::oci::{Descriptor, Digest};

/// What a look at the store came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckReport {
    /// Files that were read.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    pub damaged: Vec<DamagedItem>,
    /// Images whose names were taken away, because nothing is left that they could stand for.
    pub lost: BTreeSet<String>,
}

/// Something in the store that was wrong, and is so no more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DamagedItem {
    /// Where it lies, or lay.
    pub path: PathBuf,
    /// What became of it.
    pub outcome: DamageOutcome,
    /// The images that need it; one without a name is told by its digest.
    pub images: BTreeSet<String>,
}

/// What became of something that was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DamageOutcome {
    /// It is gone, and is made or fetched again when it is wanted.
    Dropped,
    /// It was not there, and is made or fetched again when it is wanted.
    Missing,
    /// It is as it was before.
    Restored,
}

/// The images that need a blob, by its digest.
type ImageUsers = BTreeMap<Digest, BTreeSet<String>>;

impl Store {
    /// Reads every blob, download, record and list of the store, and drops those that are wrong: what is
    /// missing then is made or fetched again. Builds go on meanwhile. `progress` is told bytes done and to do.
    pub(crate) fn check(
        &self,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<CheckReport, StoreError> {
        let _in_use = self.in_use()?;
        let mut checked = self.check_lists()?;
        let users = self.users()?;
        let files = self.files()?;
        let total_bytes = files.iter().map(|(_, _, bytes)| bytes).sum();
        progress(0, total_bytes);
        for (path, kind, bytes) in files {
            if drop_damaged(&path, kind)? {
                let digest = digest_named(&path).filter(|_| kind == CheckedKind::Named);
                let images = digest.and_then(|digest| users.get(&digest).cloned());
                checked.damaged.push(DamagedItem {
                    path,
                    outcome: DamageOutcome::Dropped,
                    images: images.unwrap_or_default(),
                });
            }
            checked.files += 1;
            checked.bytes += bytes;
            progress(checked.bytes, total_bytes);
        }
        self.check_missing(&users, &mut checked)?;
        Ok(checked)
    }

    /// All files that tell whether they are right, with their lengths.
    pub(super) fn files(&self) -> Result<Vec<(PathBuf, CheckedKind, u64)>, StoreError> {
        let mut folders = vec![
            (self.root().join("blobs/sha256"), CheckedKind::Named),
            (self.folder("downloads"), CheckedKind::Named),
            (self.folder("layers"), CheckedKind::Sealed),
            (self.folder("elsewhere"), CheckedKind::Sealed),
            (self.folder("compiled"), CheckedKind::Code),
        ];
        let records = self.folder("records");
        for kind in super::prune::children(&records)? {
            folders.push((kind, CheckedKind::Sealed));
        }
        let mut files = Vec::new();
        for (folder, kind) in folders {
            visit(&folder, &mut |path, bytes| {
                files.push((path.to_owned(), kind, bytes));
            })?;
        }
        Ok(files)
    }

    /// Which images need which blobs.
    fn users(&self) -> Result<ImageUsers, StoreError> {
        let mut users = ImageUsers::new();
        for entry in self.read_index()?.manifests {
            let title = title(&entry);
            let mut note = |digest| users.entry(digest).or_default().insert(title.clone());
            note(entry.digest);
            match self.needed_blobs(&entry.digest) {
                Ok(needed) => needed.into_iter().for_each(|digest| {
                    note(digest);
                }),
                // A build has changed the list since it was checked.
                Err(StoreError::Blob { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(users)
    }

    /// Tells of blobs that images need, and that are neither here nor said to be elsewhere.
    fn check_missing(
        &self,
        users: &ImageUsers,
        checked: &mut CheckReport,
    ) -> Result<(), StoreError> {
        let told = checked.damaged.iter().map(|damage| damage.path.clone());
        let told: BTreeSet<PathBuf> = told.collect();
        for (digest, images) in users {
            let path = self.blob_path(digest);
            let is_there = path.try_exists().map_err(StoreError::io(&path))?;
            if !is_there && !told.contains(&path) && self.elsewhere(digest).is_empty() {
                checked.damaged.push(DamagedItem {
                    path,
                    outcome: DamageOutcome::Missing,
                    images: images.clone(),
                });
            }
        }
        Ok(())
    }
}

/// How a file tells whether it is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckedKind {
    /// Its name is its digest.
    Named,
    /// It begins with its digest.
    Sealed,
    /// It ends with its digest.
    Code,
}

/// Drops a file that is wrong. Whether it was.
fn drop_damaged(path: &Path, kind: CheckedKind) -> Result<bool, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        // Somebody has taken it away meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StoreError::io(path)(error)),
    };
    let is_right = match kind {
        CheckedKind::Named => {
            let named = digest_named(path);
            let found = drop_unless(path, |found| named.is_none_or(|named| named == found))?;
            return Ok(found == FileState::Dropped);
        }
        CheckedKind::Sealed => read_sealed(path)?.is_some(),
        CheckedKind::Code => sealed_code(path).map_err(StoreError::io(path))?.is_some(),
    };
    if is_right {
        return Ok(false);
    }
    remove_this(path, &file)
}

/// The digest that a file is named by; other tools may keep files of other names in a layout.
fn digest_named(path: &Path) -> Option<Digest> {
    let name = path.file_name()?.to_str()?;
    format!("sha256:{name}").parse().ok()
}

/// What to call an entry of the list.
pub(super) fn title(entry: &Descriptor) -> String {
    let image = listed(entry);
    match image.reference() {
        Some(name) => name.to_string(),
        None => entry.digest.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;
    use crate::oci::{DiffId, ImageManifest, KeyBuilder, MediaType};
    use crate::store::StoredLayer;

    /// A store with an image of one layer, a download, records and byte code.
    pub(in crate::store) fn filled() -> (tempfile::TempDir, Store, Descriptor) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let layer = store.put_blob(b"layer").unwrap();
        store.put_blob(b"{}").unwrap();
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(MediaType::Manifest),
            config: Descriptor::of(MediaType::Config, b"{}"),
            layers: vec![Descriptor::of(MediaType::LayerGzip, b"layer")],
            annotations: BTreeMap::new(),
        };
        let bytes = manifest.to_bytes().unwrap();
        store.put_blob(&bytes).unwrap();
        let image = Descriptor::of(MediaType::Manifest, &bytes);
        store.tag("docker.io/library/app:1", &image).unwrap();
        let key = KeyBuilder::new("k").finish();
        let stored = StoredLayer {
            digest: layer,
            diff_id: DiffId::from_bytes([1; 32]),
            size_bytes: 5,
            uncompressed_bytes: 9,
            annotations: BTreeMap::new(),
            notes: None,
        };
        store.put_layer(&key, &stored).unwrap();
        store.put_record("sizes", &key, b"5").unwrap();
        store
            .note_elsewhere(&layer, &"r.example/a".parse().unwrap())
            .unwrap();
        let mut writer = store.writer().unwrap();
        std::io::Write::write_all(&mut writer, b"wheel").unwrap();
        store.keep_download(writer, &Digest::of(b"wheel")).unwrap();
        let draft = store.scratch().join("draft");
        fs::write(&draft, b"code").unwrap();
        store.keep_compiled(&draft, &key).unwrap();
        (folder, store, image)
    }

    pub(in crate::store) fn check(store: &Store) -> CheckReport {
        let (mut last, mut total) = (0, 0);
        let checked = store.check(&mut |done, all| (last, total) = (done, all));
        let checked = checked.unwrap();
        assert_eq!((checked.bytes, total), (last, last));
        checked
    }

    #[test]
    fn whatever_byte_of_whatever_file_is_noticed_once() {
        let (folder, store, _) = filled();
        let sound = check(&store);
        assert_eq!(
            (sound.files, sound.damaged.len(), sound.lost.len()),
            (8, 0, 0)
        );
        let files = store.files().unwrap();
        for (path, kind, _) in files {
            let right = fs::read(&path).unwrap();
            for place in [0, right.len() / 2, right.len() - 1] {
                let mut flipped = right.clone();
                flipped[place] ^= 1;
                for wrong in [&flipped[..], &right[..place]] {
                    fs::write(&path, wrong).unwrap();
                    let found = check(&store);
                    let told: Vec<&Path> =
                        found.damaged.iter().map(|one| one.path.as_path()).collect();
                    let is_blob = path.starts_with(folder.path().join("blobs"));
                    assert!(told.contains(&path.as_path()), "{}", path.display());
                    let images = found.damaged.iter().flat_map(|damage| &damage.images);
                    let images: BTreeSet<&String> = images.chain(&found.lost).collect();
                    assert_eq!(!images.is_empty(), is_blob, "{found:?} {kind:?}");
                    assert!(!path.exists(), "{}", path.display());
                    fs::write(&path, &right).unwrap();
                    if !found.lost.is_empty() {
                        let digest = digest_named(&path).unwrap();
                        let bytes = store.read_blob(&digest).unwrap();
                        let image = Descriptor::of(MediaType::Manifest, &bytes);
                        store.tag("docker.io/library/app:1", &image).unwrap();
                    }
                    assert_eq!(check(&store), sound, "{}", path.display());
                }
            }
        }
    }

    #[test]
    fn a_blob_that_is_missing_is_told_unless_it_is_elsewhere() {
        let (_folder, store, _) = filled();
        let layer = Digest::of(b"layer");
        fs::remove_file(store.blob_path(&layer)).unwrap();
        assert_eq!(check(&store).damaged, []);
        store.forget_elsewhere(&layer).unwrap();
        let found = check(&store);
        assert_eq!(found.damaged[0].outcome, DamageOutcome::Missing);
        assert_eq!(
            found.damaged[0].images,
            BTreeSet::from(["app:1".to_owned()])
        );
    }

    #[test]
    fn an_image_with_a_damaged_manifest_is_no_obstacle_to_pruning() {
        let (_folder, store, image) = filled();
        fs::write(store.blob_path(&image.digest), b"{").unwrap();
        let pruned = store.prune(false).unwrap();
        assert_eq!(pruned.lost, BTreeSet::from(["app:1".to_owned()]));
        assert_eq!(store.images().unwrap().len(), 0);
        assert!(!store.blob_path(&image.digest).exists());
        assert!(store.prune(false).unwrap().lost.is_empty());
    }
}
