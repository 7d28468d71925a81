//! Mending the list of images, its copy and the mark of a layout.
//!
//! An image is lost, and listed no longer, only where a document of it is missing or has other bytes. What
//! cannot be read now, or is of a form that s2r does not know, stays listed and keeps its blobs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::check::{CheckReport, DamageOutcome, DamagedItem, title};
use super::images::REF_NAME;
use super::records::read_bounded;
use super::{LAYOUT, Store, StoreError};
use crate::oci::Descriptor;

impl Store {
    /// Mends the list of images and the mark of the layout, and takes names away that stand for nothing.
    pub(super) fn check_lists(&self) -> Result<CheckReport, StoreError> {
        let _lock = self.lock("images")?;
        let mut checked = CheckReport::default();
        let copy = self.copied_index()?;
        let (mut index, is_readable) = self.index_or_copy()?;
        let mut restored = |path: PathBuf, images| {
            checked.damaged.push(DamagedItem {
                path,
                outcome: DamageOutcome::Restored,
                images,
            });
        };
        let mark = self.root().join("oci-layout");
        if read_bounded(&mark)?.as_deref() != Some(LAYOUT) {
            self.replace_synced(&mark, LAYOUT)?;
            restored(mark, BTreeSet::new());
        }
        let copied = copy.as_ref().map_or(&[][..], |copy| &copy.manifests);
        let mended = self.mend_entries(&mut index.manifests, copied)?;
        let is_right = is_readable && mended == MendedEntries::default();
        if !is_readable || !mended.restored.is_empty() {
            restored(self.index_path(), mended.restored);
        }
        let path = self.copy_path();
        if copy.is_none() && path.try_exists().map_err(StoreError::io(&path))? {
            restored(path, BTreeSet::new());
        }
        checked.lost = mended.lost;
        if !is_right {
            self.write_index(&index)?;
        } else if copy.as_ref() != Some(&index) {
            self.write_copy(&index)?;
        }
        Ok(checked)
    }

    /// Corrects the entries of the list by their own documents, or by the copy's entries, and takes out
    /// those that stand for nothing.
    fn mend_entries(
        &self,
        entries: &mut Vec<Descriptor>,
        copied: &[Descriptor],
    ) -> Result<MendedEntries, StoreError> {
        let mut mended = MendedEntries::default();
        let mut right = Vec::new();
        for entry in std::mem::take(entries) {
            match self.mend_entry(&entry, copied)? {
                Some(found) => {
                    if found != entry {
                        mended.restored.insert(title(&found));
                    }
                    right.push(found);
                }
                None => {
                    mended.lost.insert(title(&entry));
                }
            }
        }
        // One without a name is known by its digest alone. If that has changed, the copy still has it.
        if !mended.lost.is_empty() {
            for other in copied.iter().filter(|other| name_of(other).is_none()) {
                let is_listed = right.iter().any(|entry| entry.digest == other.digest);
                if !is_listed && let Some(found) = self.corrected(other)? {
                    mended.restored.insert(title(&found));
                    right.push(found);
                }
            }
        }
        *entries = right;
        Ok(mended)
    }

    /// An entry as it is to be; `None` if nothing is left that it could stand for.
    fn mend_entry(
        &self,
        entry: &Descriptor,
        copied: &[Descriptor],
    ) -> Result<Option<Descriptor>, StoreError> {
        if let Some(right) = self.corrected(entry)? {
            return Ok(Some(right));
        }
        let Some(name) = name_of(entry) else {
            return Ok(None);
        };
        for other in copied.iter().filter(|other| name_of(other) == Some(name)) {
            if let Some(right) = self.corrected(other)? {
                return Ok(Some(right));
            }
        }
        Ok(None)
    }
}

/// What became of entries of the list of images that were wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct MendedEntries {
    /// Images whose entries are right again.
    restored: BTreeSet<String>,
    /// Images that are no longer listed.
    lost: BTreeSet<String>,
}

fn name_of(entry: &Descriptor) -> Option<&String> {
    entry.annotations.get(REF_NAME)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::oci::{Digest, MediaType};
    use crate::store::check::tests::{check, filled};

    #[test]
    fn the_list_of_images_is_mended_by_its_copy() {
        let (_folder, store, image) = filled();
        let path = store.index_path();
        let right = fs::read(&path).unwrap();
        let text = String::from_utf8(right.clone()).unwrap();
        let hex = image.digest.hex();
        let other = hex.replace(&hex[..1], if hex.starts_with('0') { "1" } else { "0" });
        for wrong in [
            String::new(),
            text[..text.len() / 2].to_owned(),
            text.replace('{', "["),
            text.replace(&hex, &other),
            text.replace(&format!("\"size\":{}", image.size), "\"size\":7"),
            text.replace("image.manifest", "image.manifesu"),
        ] {
            assert_ne!(wrong, text);
            fs::write(&path, &wrong).unwrap();
            let found = check(&store);
            assert_eq!(found.damaged.len(), 1, "{wrong}: {found:?}");
            assert_eq!(found.damaged[0].outcome, DamageOutcome::Restored);
            assert!(found.lost.is_empty(), "{wrong}");
            assert_eq!(fs::read(&path).unwrap(), right);
            assert_eq!(check(&store).damaged, []);
        }
    }

    #[test]
    fn without_a_list_and_its_copy_nothing_is_removed() {
        let (folder, store, _) = filled();
        let (list, copy) = (store.index_path(), store.copy_path());
        let right = fs::read(&list).unwrap();
        let files = store.files().unwrap();
        for text in [Some("["), None] {
            for copied in [Some("?"), None] {
                for has_mark in [true, false] {
                    put(&list, text);
                    put(&copy, copied);
                    if !has_mark {
                        fs::remove_file(folder.path().join("oci-layout")).unwrap();
                    }
                    let store = Store::open(folder.path()).unwrap();
                    for error in [
                        store.images().unwrap_err(),
                        store.check(&mut |_, _| ()).unwrap_err(),
                        store.prune(true).unwrap_err(),
                        store.usage().unwrap_err(),
                        store
                            .tag("a:1", &Descriptor::of(MediaType::Manifest, b""))
                            .unwrap_err(),
                    ] {
                        assert!(matches!(error, StoreError::ListLost { .. }), "{error}");
                    }
                    assert_eq!(store.files().unwrap(), files);
                    assert_eq!(fs::read(&list).ok().as_deref(), text.map(str::as_bytes));
                }
            }
        }
        // Put back by its user, it does, and has a copy from then on.
        fs::write(&list, right).unwrap();
        assert_eq!(check(&store).damaged, []);
        fs::remove_file(&list).unwrap();
        fs::remove_file(folder.path().join("oci-layout")).unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.images().unwrap().len(), 1);
    }

    fn put(path: &Path, text: Option<&str>) {
        let _ = fs::remove_file(path);
        if let Some(text) = text {
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn the_copy_of_the_list_is_mended_too() {
        let (_folder, store, _) = filled();
        let copy = store.copy_path();
        let right = fs::read(&copy).unwrap();
        put(&copy, Some("?"));
        let told = DamagedItem {
            path: copy.clone(),
            outcome: DamageOutcome::Restored,
            images: BTreeSet::new(),
        };
        assert_eq!(check(&store).damaged, [told]);
        assert_eq!(fs::read(&copy).unwrap(), right);
        // One that is missing, or behind what another tool has listed, is no damage.
        put(&copy, None);
        assert_eq!(check(&store).damaged, []);
        assert_eq!(fs::read(&copy).unwrap(), right);
        store
            .replace_sealed(&copy, br#"{"schemaVersion":2,"manifests":[]}"#)
            .unwrap();
        store.prune(false).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), right);
    }

    #[test]
    fn what_cannot_be_read_is_not_lost() {
        let (_folder, store, image) = filled();
        let path = store.blob_path(&image.digest);
        let right = fs::read(&path).unwrap();
        // Whoever reads a folder gets an error of input and output, root too.
        put(&path, None);
        fs::create_dir(&path).unwrap();
        for error in [
            store.check(&mut |_, _| ()).unwrap_err(),
            store.prune(false).unwrap_err(),
        ] {
            assert!(
                matches!(&error, StoreError::Io { path: found, .. } if *found == path),
                "{error}"
            );
        }
        fs::remove_dir(&path).unwrap();
        fs::write(&path, right).unwrap();
        assert_eq!(check(&store).damaged, []);
        assert_eq!(store.images().unwrap().len(), 1);
        // The copy of the list neither.
        let (list, copy) = (store.index_path(), store.copy_path());
        put(&list, Some("["));
        put(&copy, None);
        fs::create_dir(&copy).unwrap();
        let error = store.prune(false).unwrap_err();
        assert!(
            matches!(&error, StoreError::Io { path, .. } if *path == copy),
            "{error}"
        );
    }

    #[test]
    fn what_another_tool_nests_stays() {
        let (_folder, store, image) = filled();
        let digest = image.digest;
        store.untag(&store.images().unwrap()[0]).unwrap();
        let inner = format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{digest}"}}]}}"#);
        let inner = store.put_blob(inner.as_bytes()).unwrap();
        let outer = format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{inner}"}}]}}"#);
        store.put_blob(outer.as_bytes()).unwrap();
        let outer = Descriptor::of(MediaType::Index, outer.as_bytes());
        store.tag("docker.io/library/app:1", &outer).unwrap();
        let files = store.files().unwrap();
        let checked = check(&store);
        assert_eq!((checked.damaged, checked.lost.len()), (Vec::new(), 0));
        assert_eq!(store.prune(false).unwrap().files, 0);
        assert_eq!(store.files().unwrap(), files);
        assert_eq!(store.usage().unwrap().unused_bytes, 0);
    }

    #[test]
    fn an_image_without_a_name_is_known_by_its_digest() {
        let (_folder, store, image) = filled();
        let bytes = store.read_blob(&image.digest).unwrap();
        let put = |tail: &str| {
            let bytes = [&bytes, tail.as_bytes()].concat();
            store.put_blob(&bytes).unwrap();
            let image = Descriptor::of(MediaType::Manifest, &bytes);
            store.tag("", &image).unwrap();
            image
        };
        let (one, two) = (put(" "), put("\n"));
        // One whose bytes are gone is not taken for the other.
        fs::write(store.blob_path(&one.digest), b"wrong").unwrap();
        let found = check(&store);
        assert_eq!(found.lost, BTreeSet::from([one.digest.to_string()]));
        let digests = || -> Vec<Digest> {
            let images = store.images().unwrap().into_iter();
            images.map(|image| image.descriptor.digest).collect()
        };
        assert_eq!(digests(), [two.digest, image.digest]);
        // One whose digest has changed in the list comes back.
        let list = store.index_path();
        let text = fs::read_to_string(&list).unwrap();
        let other = Digest::of(b"another");
        fs::write(&list, text.replace(&two.digest.hex(), &other.hex())).unwrap();
        let found = check(&store);
        assert_eq!(
            found.damaged[0].images,
            BTreeSet::from([two.digest.to_string()])
        );
        assert_eq!(digests(), [two.digest, image.digest]);
    }
}
