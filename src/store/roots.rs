//! Layers as folders, and byte code: what can be made again from blobs and downloads, and is kept
//! because making it takes time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{Store, StoreError};
use crate::host::TempFolder;
use crate::oci::{Digest, Key};

/// Length of the digest behind byte code.
const SEAL_BYTES: usize = 32;

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
        sync_around(draft.path())?;
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

    /// The byte code of this key, and its length in bytes; none where its bytes have changed.
    pub(crate) fn compiled(&self, key: &Key) -> Option<(File, u64)> {
        sealed_code(&self.compiled_path(key)).ok()?
    }

    /// Keeps byte code that was written to a file of [`Store::scratch`]. Its digest goes behind it, so that
    /// what a power cut or a bad disk leaves of it is noticed.
    pub(crate) fn keep_compiled(&self, draft: &Path, key: &Key) -> Result<(), StoreError> {
        let path = self.compiled_path(key);
        make_parent(&path)?;
        let seal = || {
            // Whatever the compiler's process made of it: no link is followed, and no pipe waited for.
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let mut options = OpenOptions::new();
            options.read(true).append(true);
            let mut file = options
                .custom_flags(flags.bits().cast_signed())
                .open(draft)?;
            if !file.metadata()?.is_file() {
                return Err(ErrorKind::InvalidData.into());
            }
            let digest = Digest::of_reader(&file)?;
            file.write_all(digest.as_bytes())
        };
        seal().map_err(StoreError::io(draft))?;
        fs::rename(draft, &path).map_err(StoreError::io(&path))
    }

    fn compiled_path(&self, key: &Key) -> PathBuf {
        self.folder("compiled").join(key.hex())
    }

    fn root_path(&self, name: &str) -> PathBuf {
        self.folder("roots").join(name)
    }
}

/// Byte code without its seal, and its length in bytes, if its bytes have not changed.
pub(super) fn sealed_code(path: &Path) -> io::Result<Option<(File, u64)>> {
    let file = File::open(path)?;
    let Some(length) = file.metadata()?.len().checked_sub(SEAL_BYTES as u64) else {
        return Ok(None);
    };
    let digest = Digest::of_reader((&file).take(length))?;
    let mut seal = [0; SEAL_BYTES];
    file.read_exact_at(&mut seal, length)?;
    Ok((seal == *digest.as_bytes()).then_some((file, length)))
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

/// Has all files of a folder on the disk. Nobody reads them all before they are used, so that nothing
/// would tell that a power cut has emptied some; and there are thousands, so that one call for the
/// whole file system costs less than one for each.
fn sync_around(folder: &Path) -> Result<(), StoreError> {
    let sync = || Ok(rustix::fs::syncfs(File::open(folder)?)?);
    sync().map_err(StoreError::io(folder))
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
    use std::io::{Seek as _, SeekFrom};

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
        let (mut file, length) = store.compiled(&key).unwrap();
        let mut code = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.take(length).read_to_string(&mut code).unwrap();
        assert_eq!(code, "code");
    }

    #[test]
    fn changed_byte_code_is_none_whatever_byte_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = crate::oci::KeyBuilder::new("c").finish();
        let draft = store.scratch().join("draft");
        fs::write(&draft, b"code").unwrap();
        store.keep_compiled(&draft, &key).unwrap();
        let path = store.compiled_path(&key);
        let right = fs::read(&path).unwrap();
        for place in 0..right.len() {
            let mut flipped = right.clone();
            flipped[place] ^= 1;
            for wrong in [&flipped[..], &right[..place]] {
                fs::write(&path, wrong).unwrap();
                assert!(store.compiled(&key).is_none(), "byte {place}");
            }
        }
    }
}
