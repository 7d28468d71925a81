//! Content-addressed files of one user: images, layers by key, downloads.
//!
//! The store's folder is itself an OCI image layout (image-spec, image-layout.md), so that other
//! tools read it; what is ours alone lies in its `s2r` subfolder:
//!
//! ```text
//! oci-layout  index.json  blobs/sha256/<hex>      the layout: images by name
//! s2r/images                                      a copy of index.json, to mend that by
//! s2r/layers/<key>                                a layer's key -> digest, diff id, sizes
//! s2r/downloads/<sha256>                          wheels, debs, index files
//! s2r/roots/<digest>/                             layers unpacked, by the layer's digest
//! s2r/compiled/<key>                              byte code of a set of files
//! s2r/elsewhere/<digest>                          repositories that have a blob which is not here
//! s2r/records/<kind>/<key>                        small results worth keeping
//! s2r/tools/                                      programs that were fetched
//! s2r/git/<key>/                                  repositories that sources come from
//! s2r/tmp/                                        files being written
//! s2r/locks/                                      advisory locks
//! ```
//!
//! Nothing is ever written in place: a file is written under `s2r/tmp`, checked, and renamed. A
//! process killed at any moment leaves at worst a file in `s2r/tmp`, which a later one removes.
//!
//! Disks lose bytes, and a power cut loses what was not synced. So each file is checked by who reads it: blobs
//! and downloads have their digest as their name, and records and byte code have one inside. What cannot be
//! checked, the list of images and folders of unpacked layers, is synced before it has its name. [`Store::check`]
//! looks at all of it. What the bytes mean is not this module's business.

mod blob;
mod check;
mod check_lists;
mod downloads;
mod elsewhere;
mod error;
mod folders;
mod images;
mod needed;
mod prune;
mod records;
mod roots;
mod sweep;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use blob::{BlobWriter, FileState};
pub(crate) use check::{CheckReport, DamageOutcome, DamagedItem};
pub(crate) use error::StoreError;
pub(crate) use images::{FoundImage, StoredImage};
pub(crate) use prune::{DiskUsageReport, PruneReport};
pub(crate) use records::SOURCE_HASHES;

use blob::drop_unless;
use records::read_bounded;

use crate::host::TempFolder;
use crate::oci::{DiffId, Digest};

/// The text of `oci-layout` (image-spec, image-layout.md).
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// A layer that the store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredLayer {
    /// Digest of the compressed bytes: the blob.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: DiffId,
    /// Length of the blob in bytes.
    pub size_bytes: u64,
    /// Length of the tar in bytes.
    pub uncompressed_bytes: u64,
    /// What its descriptor has to tell of it besides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What its maker noted of it for later builds; none of a layer that was not made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<serde_json::Value>,
}

#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

/// Held as long as it lives; released by the system when its process dies.
#[derive(Debug)]
pub(crate) struct StoreLock {
    _file: fs::File,
}

impl Store {
    /// Opens the store at `root`, making it if it is not there.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self {
            root: root.to_owned(),
        };
        // Each time: somebody may have made room by taking one of them away.
        store.make_folders()?;
        if !root.join("oci-layout").exists() {
            store.create()?;
        }
        Ok(store)
    }

    fn create(&self) -> Result<(), StoreError> {
        let _lock = self.lock("images")?;
        self.create_index()?;
        // Last, because its presence says that all else is there.
        self.replace_synced(&self.root.join("oci-layout"), LAYOUT)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the blob of this digest lies, or would lie.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Whether the blob is there in full length. Its bytes were checked when it was written, and are
    /// checked again by whoever reads them.
    pub(crate) fn has_blob(&self, digest: &Digest, size_bytes: u64) -> bool {
        fs::metadata(self.blob_path(digest)).is_ok_and(|file| file.len() == size_bytes)
    }

    /// Begins a file of the store whose digest is known when it is finished.
    pub(crate) fn writer(&self) -> Result<BlobWriter, StoreError> {
        BlobWriter::new(&self.folder("tmp"))
    }

    /// Keeps a finished file as a blob, after comparing its digest with the promised one.
    pub(crate) fn keep_blob(
        &self,
        writer: BlobWriter,
        expected: &Digest,
    ) -> Result<(), StoreError> {
        writer.persist(expected, &self.blob_path(expected))
    }

    /// Writes a small blob in one go, unless it is there with these very bytes.
    pub(crate) fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let path = self.blob_path(&digest);
        let is_there = self.has_blob(&digest, bytes.len() as u64)
            && fs::read(&path).is_ok_and(|found| found == bytes);
        if !is_there {
            let mut writer = self.writer()?;
            writer.write_all(bytes).map_err(StoreError::io(&path))?;
            self.keep_blob(writer, &digest)?;
        }
        Ok(digest)
    }

    /// Reads a small blob (a manifest or a config) and checks its digest.
    pub(crate) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        let bytes = read_bounded(&path)?;
        match bytes {
            Some(bytes) if Digest::of(&bytes) == *digest => Ok(bytes),
            other => Err(StoreError::Blob {
                path,
                digest: *digest,
                is_there: other.is_some(),
            }),
        }
    }

    /// Drops a blob that has other bytes than its name says; reads all of it.
    pub(crate) fn drop_damaged(&self, digest: &Digest) -> Result<FileState, StoreError> {
        drop_unless(&self.blob_path(digest), |found| found == *digest)
    }

    /// The folder of fetched programs.
    pub(crate) fn tools(&self) -> PathBuf {
        self.folder("tools")
    }

    /// The folder of git repositories that sources were fetched from, a folder a repository.
    pub(crate) fn repositories(&self) -> PathBuf {
        self.folder("git")
    }

    /// The folder for files being written; on the same disk as all else here.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder("tmp")
    }

    /// A folder for one use, in the folder for files being written.
    pub(crate) fn temp_folder(&self, prefix: &str) -> Result<TempFolder, StoreError> {
        let scratch = self.scratch();
        TempFolder::new_in(&scratch, prefix).map_err(StoreError::io(&scratch))
    }

    /// Waits for, and takes, the lock of this name.
    pub(crate) fn lock(&self, name: &str) -> Result<StoreLock, StoreError> {
        let (path, file) = self.lock_file(name)?;
        file.lock().map_err(StoreError::io(&path))?;
        Ok(StoreLock { _file: file })
    }

    fn lock_file(&self, name: &str) -> Result<(PathBuf, fs::File), StoreError> {
        let path = self.folder("locks").join(name);
        let file = fs::File::create(&path).map_err(StoreError::io(&path))?;
        Ok((path, file))
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join("s2r").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ErrorClass, Explain as _};

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("s2r")).unwrap();
        (folder, store)
    }

    #[test]
    fn a_layer_is_known_only_with_its_whole_blob() {
        let (_folder, store) = store();
        let key = crate::oci::KeyBuilder::new("t").finish();
        let digest = store.put_blob(b"layer").unwrap();
        let layer = StoredLayer {
            digest,
            diff_id: DiffId::from_bytes([1; 32]),
            size_bytes: 5,
            uncompressed_bytes: 9,
            annotations: BTreeMap::new(),
            notes: Some(serde_json::json!({"a": [1]})),
        };
        assert_eq!(store.layer(&key), None);
        store.put_layer(&key, &layer).unwrap();
        assert_eq!(store.layer(&key), Some(layer));
        fs::write(store.blob_path(&digest), b"lay").unwrap();
        assert_eq!(store.layer(&key), None);
    }

    #[test]
    fn wrong_bytes_are_not_kept() {
        let (_folder, store) = store();
        let promised = Digest::of(b"right");
        let mut writer = store.writer().unwrap();
        writer.write_all(b"wrong").unwrap();
        let error = store.keep_download(writer, &promised).unwrap_err();
        assert!(
            matches!(error, StoreError::Mismatch { found, .. } if found == Digest::of(b"wrong"))
        );
        assert!(!store.has_download(&promised, None));
        assert_eq!(fs::read_dir(store.scratch()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_blob_is_not_handed_out_and_is_written_again() {
        let (_folder, store) = store();
        let digest = store.put_blob(b"{}").unwrap();
        for (bytes, was_there) in [(Some("{ }"), true), (Some("{{"), true), (None, false)] {
            let path = store.blob_path(&digest);
            fs::remove_file(&path).unwrap();
            if let Some(bytes) = bytes {
                fs::write(&path, bytes).unwrap();
            }
            let error = store.read_blob(&digest).unwrap_err();
            assert!(
                matches!(error, StoreError::Blob { is_there, .. } if is_there == was_there),
                "{error}"
            );
            store.put_blob(b"{}").unwrap();
            assert_eq!(store.read_blob(&digest).unwrap(), b"{}");
        }
        let look = || store.drop_damaged(&digest).unwrap();
        assert_eq!(look(), FileState::Sound);
        fs::write(store.blob_path(&digest), b"{{").unwrap();
        assert_eq!(look(), FileState::Dropped);
        assert_eq!(look(), FileState::Missing);
        assert!(!store.has_blob(&digest, 2));
    }

    #[test]
    fn a_store_that_cannot_be_made_names_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = Store::open(&file.join("store")).unwrap_err();
        assert!(error.to_string().contains("file/store"), "{error}");
        assert_eq!(error.explain().class, ErrorClass::World);
    }
}
