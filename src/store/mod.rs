//! Content-addressed files of one user: images, layers by key, downloads.
//!
//! The store's folder is itself an OCI image layout (image-spec, image-layout.md), so that other
//! tools read it; what is ours alone lies in its `s2r` subfolder:
//!
//! ```text
//! oci-layout  index.json  blobs/sha256/<hex>      the layout: images by name
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
//! What the bytes mean is not this module's business.

mod blob;
mod elsewhere;
mod folders;
mod images;
mod prune;
mod roots;
mod sweep;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use blob::Writer;
pub(crate) use images::{FoundImage, StoredImage};

use crate::host::TempFolder;
use crate::oci::{DiffId, Digest, Key};
use crate::report::{Explain, Explanation, Fate};

/// The largest record or layer note that is read back; ours are far smaller.
const MAX_RECORD_BYTES: u64 = 64 << 20;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Bytes are not what their name promised.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Mismatch {
        /// Where the bytes were to go.
        path: PathBuf,
        /// The promised digest.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A document of the store cannot be read.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// The parser's reason.
        reason: String,
    },
    /// A folder of the store is a link to another place.
    #[error("{} is a link", path.display())]
    Link {
        /// Which.
        path: PathBuf,
    },
    /// A folder that s2r empties is somebody else's.
    #[error("{} belongs to user {owner}, and this is user {user}", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
        /// The number of who runs s2r.
        user: u32,
    },
    /// There is no such image.
    #[error("no image {name} in {}", root.display())]
    NoImage {
        /// As asked for.
        name: String,
        /// The store.
        root: PathBuf,
    },
    /// Several images have this beginning of a digest.
    #[error("several images begin with {id}")]
    SeveralImages {
        /// As asked for.
        id: String,
        /// Their digests, and names where they have them.
        found: Vec<String>,
    },
}

impl StoreError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

impl Explain for StoreError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Io { path, source } => Explanation {
                fate: Fate::World,
                what: "the store cannot be read or written".into(),
                place: path.display().to_string(),
                why: source.to_string(),
                next: match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        "free some space (`s2r cache prune` removes what no image needs), or set S2R_STORE to a larger disk".into()
                    }
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                        "set S2R_STORE to a folder that you may write to".into()
                    }
                    _ => "check the disk; the store can be deleted at any time and is made anew".into(),
                },
            },
            Self::Mismatch { path, expected, found } => Explanation {
                fate: Fate::World,
                what: "written bytes are not the bytes that were meant".into(),
                place: path.display().to_string(),
                why: format!("expected {expected}, found {found}; nothing was kept"),
                next: "run the command again; if it happens twice, check the disk and the memory of this machine".into(),
            },
            Self::Damaged { path, reason } => Explanation {
                fate: Fate::World,
                what: "a file of the store is damaged".into(),
                place: path.display().to_string(),
                why: reason.clone(),
                next: "delete that file and build again".into(),
            },
            Self::Link { path } => Explanation {
                fate: Fate::World,
                what: "a folder of the store is a link".into(),
                place: path.display().to_string(),
                why: "s2r empties it, and what it leads to may be somebody's".into(),
                next: format!("remove the link (`rm {}`); to have the store elsewhere, set S2R_STORE", path.display()),
            },
            Self::Foreign { path, owner, user } => Explanation {
                fate: Fate::World,
                what: "the store belongs to somebody else".into(),
                place: path.display().to_string(),
                why: format!("its owner is user {owner}, and this is user {user}"),
                next: "set S2R_STORE to a folder of your own".into(),
            },
            Self::NoImage { name, root } => Explanation {
                fate: Fate::CommandLine,
                what: format!("there is no image {name} in the store"),
                place: root.display().to_string(),
                why: "neither is it a name that `s2r build SOURCE IMAGE` gave, nor the first six or more digits of a digest".into(),
                next: "`s2r images` lists what is there".into(),
            },
            Self::SeveralImages { id, found } => Explanation {
                fate: Fate::CommandLine,
                what: format!("the digests of several images begin with {id}"),
                place: id.clone(),
                why: found.join("\n"),
                next: "type more of the digest, or a name".into(),
            },
        }
    }
}

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

/// An open store.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

/// Held as long as it lives; released by the system when its process dies.
#[derive(Debug)]
pub(crate) struct Lock {
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
        if !self.index_path().exists() {
            self.write_index(&crate::oci::Index::default())?;
        }
        // Last, because its presence says that all else is there.
        self.replace(
            &self.root.join("oci-layout"),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )
    }

    /// The store's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the blob of this digest lies, or would lie.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Whether the blob is there in full length. Its bytes were checked when it was written.
    pub(crate) fn has_blob(&self, digest: &Digest, size_bytes: u64) -> bool {
        fs::metadata(self.blob_path(digest)).is_ok_and(|file| file.len() == size_bytes)
    }

    /// Begins a file of the store whose digest is known when it is finished.
    pub(crate) fn writer(&self) -> Result<Writer, StoreError> {
        Writer::new(&self.folder("tmp"))
    }

    /// Keeps a finished file as a blob, after comparing its digest with the promised one.
    pub(crate) fn keep_blob(&self, writer: Writer, expected: &Digest) -> Result<(), StoreError> {
        writer.persist(expected, &self.blob_path(expected))
    }

    /// Writes a small blob in one go.
    pub(crate) fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if !self.has_blob(&digest, bytes.len() as u64) {
            let path = self.blob_path(&digest);
            let mut writer = self.writer()?;
            writer.write_all(bytes).map_err(StoreError::io(&path))?;
            self.keep_blob(writer, &digest)?;
        }
        Ok(digest)
    }

    /// Reads a small blob (a manifest or a config) and checks its digest.
    pub(crate) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        let bytes = read_bounded(&path)?.ok_or_else(|| StoreError::Io {
            path: path.clone(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        let found = Digest::of(&bytes);
        if found == *digest {
            Ok(bytes)
        } else {
            Err(StoreError::Mismatch {
                path,
                expected: *digest,
                found,
            })
        }
    }

    /// The layer of this key, if it was made before and its blob is whole.
    pub(crate) fn layer(&self, key: &Key) -> Option<StoredLayer> {
        let note = read_bounded(&self.folder("layers").join(key.hex())).ok()??;
        let layer: StoredLayer = serde_json::from_slice(&note).ok()?;
        self.has_blob(&layer.digest, layer.size_bytes)
            .then_some(layer)
    }

    /// Remembers which layer has this key; its blob must have been kept before.
    pub(crate) fn put_layer(&self, key: &Key, layer: &StoredLayer) -> Result<(), StoreError> {
        let path = self.folder("layers").join(key.hex());
        let text = serde_json::to_vec(layer).map_err(|error| StoreError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        self.replace(&path, &text)
    }

    /// Where the download with this sha256 lies, or would lie.
    pub(crate) fn download_path(&self, digest: &Digest) -> PathBuf {
        self.folder("downloads").join(digest.hex())
    }

    /// Whether a download is there, in full length where that is known. Its hash was checked when
    /// it was written.
    pub(crate) fn has_download(&self, digest: &Digest, size_bytes: Option<u64>) -> bool {
        fs::metadata(self.download_path(digest))
            .is_ok_and(|file| file.is_file() && size_bytes.is_none_or(|size| size == file.len()))
    }

    /// Whether a download still has the bytes that it was kept for; reads all of it.
    pub(crate) fn is_sound_download(&self, digest: &Digest) -> bool {
        let hash = || -> io::Result<Digest> {
            let mut file = fs::File::open(self.download_path(digest))?;
            let mut hasher = blob::Hasher::default();
            io::copy(&mut file, &mut hasher)?;
            Ok(hasher.finish())
        };
        hash().is_ok_and(|found| found == *digest)
    }

    /// Drops a download; one that is not there is no error.
    pub(crate) fn forget_download(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.download_path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io(&path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Keeps a finished file as a download, after comparing its hash with the promised one.
    pub(crate) fn keep_download(
        &self,
        writer: Writer,
        expected: &Digest,
    ) -> Result<(), StoreError> {
        writer.persist(expected, &self.download_path(expected))
    }

    /// A small result kept under a kind and a key.
    pub(crate) fn record(&self, kind: &str, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        read_bounded(&self.folder("records").join(kind).join(key.hex()))
    }

    /// How long ago a record was written; `None` if there is none or the clock was set back.
    pub(crate) fn record_age(&self, kind: &str, key: &Key) -> Option<std::time::Duration> {
        let path = self.folder("records").join(kind).join(key.hex());
        fs::metadata(path).ok()?.modified().ok()?.elapsed().ok()
    }

    /// Keeps a small result.
    pub(crate) fn put_record(&self, kind: &str, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let folder = self.folder("records").join(kind);
        fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
        self.replace(&folder.join(key.hex()), bytes)
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
    pub(crate) fn lock(&self, name: &str) -> Result<Lock, StoreError> {
        let (path, file) = self.lock_file(name)?;
        file.lock().map_err(StoreError::io(&path))?;
        Ok(Lock { _file: file })
    }

    fn lock_file(&self, name: &str) -> Result<(PathBuf, fs::File), StoreError> {
        let path = self.folder("locks").join(name);
        let file = fs::File::create(&path).map_err(StoreError::io(&path))?;
        Ok((path, file))
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join("s2r").join(name)
    }

    /// Puts a file in place of another in one step: readers see the old bytes or the new ones.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let mut file =
            tempfile::NamedTempFile::new_in(self.scratch()).map_err(StoreError::io(path))?;
        file.write_all(bytes).map_err(StoreError::io(path))?;
        blob::make_readable(file.as_file()).map_err(StoreError::io(path))?;
        file.persist(path)
            .map_err(|error| StoreError::io(path)(error.error))?;
        Ok(())
    }
}

/// Reads a file of our own, within bounds; `None` if it is not there.
fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_RECORD_BYTES)
        .read_to_end(&mut bytes)
        .map_err(StoreError::io(path))?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_damaged_blob_is_not_handed_out() {
        let (_folder, store) = store();
        let digest = store.put_blob(b"{}").unwrap();
        fs::write(store.blob_path(&digest), b"{ }").unwrap();
        assert!(matches!(
            store.read_blob(&digest),
            Err(StoreError::Mismatch { .. })
        ));
    }

    #[test]
    fn records_come_back() {
        let (_folder, store) = store();
        let key = crate::oci::KeyBuilder::new("r").finish();
        assert_eq!(store.record("lock", &key).unwrap(), None);
        store.put_record("lock", &key, b"x").unwrap();
        assert_eq!(store.record("lock", &key).unwrap().unwrap(), b"x");
        assert!(store.record_age("lock", &key).is_some());
    }

    #[test]
    fn a_store_that_cannot_be_made_names_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = Store::open(&file.join("store")).unwrap_err();
        assert!(error.to_string().contains("file/store"), "{error}");
        assert_eq!(error.explain().fate, Fate::World);
    }
}
