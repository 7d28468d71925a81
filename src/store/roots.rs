//! Layers as folders, and byte code: what can be made again from blobs and downloads, and is kept
//! because making it takes time.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Store, StoreError};
use crate::host::TempFolder;
use crate::oci::Key;

impl Store {
    /// The folder of a layer, if it was unpacked before, by the same user and group. Its name is the
    /// layer's digest in hex, or its key's; behind a hyphen for whom its rights are.
    pub(crate) fn root_of(&self, name: &str) -> Option<PathBuf> {
        let path = self.root_path(name);
        is_ours(&path).then_some(path)
    }

    /// An empty folder to unpack a layer to; dropped without being kept, it is gone.
    pub(crate) fn draft_root(&self) -> Result<TempFolder, StoreError> {
        self.temp_folder("root-")
    }

    /// Keeps an unpacked layer. If another process was quicker, its folder is taken: both hold the
    /// same.
    pub(crate) fn keep_root(&self, draft: TempFolder, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.root_path(name);
        make_parent(&path)?;
        match fs::rename(draft.path(), &path) {
            Ok(()) => {
                // Its name has changed: there is nothing left to remove.
                let _moved = draft.keep();
                Ok(path)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
                ) =>
            {
                if !is_ours(&path) {
                    self.replace_root(draft, &path)?;
                }
                Ok(path)
            }
            Err(error) => Err(StoreError::io(&path)(error)),
        }
    }

    /// Puts a folder in the place of one that another user or group has made.
    fn replace_root(&self, draft: TempFolder, path: &Path) -> Result<(), StoreError> {
        let aside = self.temp_folder("old-")?;
        fs::rename(path, aside.path().join("root")).map_err(StoreError::io(path))?;
        fs::rename(draft.path(), path).map_err(StoreError::io(path))?;
        let _moved = draft.keep();
        Ok(())
    }

    /// Where the byte code of this key lies, or would lie.
    pub(crate) fn compiled_path(&self, key: &Key) -> PathBuf {
        self.folder("compiled").join(key.hex())
    }

    /// Keeps byte code that was written to a file of [`Store::scratch`].
    pub(crate) fn keep_compiled(&self, draft: &Path, key: &Key) -> Result<(), StoreError> {
        let path = self.compiled_path(key);
        make_parent(&path)?;
        fs::rename(draft, &path).map_err(StoreError::io(&path))
    }

    fn root_path(&self, name: &str) -> PathBuf {
        self.folder("roots").join(name)
    }
}

/// Whether a folder is there whose files a sandbox can change: it knows this user and this group
/// alone, and the system refuses to copy what belongs to others (`EOVERFLOW`).
fn is_ours(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| {
        found.is_dir()
            && found.uid() == rustix::process::geteuid().as_raw()
            && found.gid() == rustix::process::getegid().as_raw()
    })
}

/// A store of an earlier version has no such folder yet.
fn make_parent(path: &Path) -> Result<(), StoreError> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(StoreError::io(parent)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.root_of("layer"), None);
        for text in ["one", "two"] {
            let draft = store.draft_root().unwrap();
            fs::write(draft.path().join("a"), text).unwrap();
            store.keep_root(draft, "layer").unwrap();
        }
        let root = store.root_of("layer").unwrap();
        assert_eq!(fs::read(root.join("a")).unwrap(), b"one");
        assert_eq!(fs::read_dir(store.scratch()).unwrap().count(), 0);
    }

    #[test]
    fn byte_code_comes_back_from_a_store_without_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        fs::remove_dir(folder.path().join("s2r/compiled")).unwrap();
        let key = crate::oci::KeyBuilder::new("c").finish();
        let draft = store.scratch().join("draft");
        fs::write(&draft, b"code").unwrap();
        store.keep_compiled(&draft, &key).unwrap();
        assert_eq!(fs::read(store.compiled_path(&key)).unwrap(), b"code");
    }
}
