//! Layers as folders, and byte code: what can be made again from blobs and downloads, and is kept
//! because making it takes time.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Store, StoreError, Writer};
use crate::oci::{Digest, Key};

impl Store {
    /// The folder of the layer with this digest, if it was unpacked before.
    pub(crate) fn root_of(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.root_path(digest);
        path.is_dir().then_some(path)
    }

    /// An empty folder to unpack a layer to; dropped without being kept, it is gone.
    pub(crate) fn draft_root(&self) -> Result<tempfile::TempDir, StoreError> {
        let scratch = self.scratch();
        tempfile::Builder::new()
            .prefix("root-")
            .tempdir_in(&scratch)
            .map_err(StoreError::io(&scratch))
    }

    /// Keeps an unpacked layer. If another process was quicker, its folder is taken: both hold the
    /// same.
    pub(crate) fn keep_root(
        &self,
        draft: tempfile::TempDir,
        digest: &Digest,
    ) -> Result<PathBuf, StoreError> {
        let path = self.root_path(digest);
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
                Ok(path)
            }
            Err(error) => Err(StoreError::io(&path)(error)),
        }
    }

    /// Where the byte code of this key lies, or would lie.
    pub(crate) fn compiled_path(&self, key: &Key) -> PathBuf {
        self.folder("compiled").join(key.hex())
    }

    /// Keeps byte code.
    pub(crate) fn keep_compiled(&self, writer: Writer, key: &Key) -> Result<(), StoreError> {
        let path = self.compiled_path(key);
        make_parent(&path)?;
        writer.persist_unnamed(&path)
    }

    fn root_path(&self, digest: &Digest) -> PathBuf {
        self.folder("roots").join(digest.hex())
    }
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
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_folder_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = Digest::of(b"layer");
        assert_eq!(store.root_of(&digest), None);
        for text in ["one", "two"] {
            let draft = store.draft_root().unwrap();
            fs::write(draft.path().join("a"), text).unwrap();
            store.keep_root(draft, &digest).unwrap();
        }
        let root = store.root_of(&digest).unwrap();
        assert_eq!(fs::read(root.join("a")).unwrap(), b"one");
        assert_eq!(fs::read_dir(store.scratch()).unwrap().count(), 0);
    }

    #[test]
    fn byte_code_comes_back_from_a_store_without_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        fs::remove_dir(folder.path().join("s2r/compiled")).unwrap();
        let key = crate::oci::KeyBuilder::new("c").finish();
        let mut writer = store.writer().unwrap().unhashed();
        writer.write_all(b"code").unwrap();
        store.keep_compiled(writer, &key).unwrap();
        assert_eq!(fs::read(store.compiled_path(&key)).unwrap(), b"code");
    }
}
