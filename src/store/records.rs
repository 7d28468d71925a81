//! Small results worth keeping, and which layer has which key.
//!
//! A record is a line with the digest of what follows, and that. One whose bytes have changed is no record:
//! what it told is found out again. So none is synced before it gets its name, which would cost some
//! milliseconds each: what a power cut leaves of one is noticed when it is read.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::{Store, StoreError, StoredLayer, blob};
use crate::oci::{Digest, Key};

/// The largest record or list of images that is read back; ours are far smaller.
const MAX_RECORD_BYTES: u64 = 64 << 20;

/// The kind of records of what the files of a source hash to: quickly made again, and of no use once the source is
/// gone.
pub(crate) const SOURCE_HASHES: &str = "source-hashes";

impl Store {
    /// The layer of this key, if it was made before and its blob is there in full length.
    pub(crate) fn layer(&self, key: &Key) -> Option<StoredLayer> {
        let layer = read_layer(&self.folder("layers").join(key.hex())).ok()??;
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
        self.replace_sealed(&path, &text)
    }

    /// A small result kept under a kind and a key, if it is there and sound.
    pub(crate) fn record(&self, kind: &str, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        read_sealed(&self.folder("records").join(kind).join(key.hex()))
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
        self.replace_sealed(&folder.join(key.hex()), bytes)
    }

    /// Removes a small result, if it is there.
    pub(crate) fn forget_record(&self, kind: &str, key: &Key) -> Result<(), StoreError> {
        let path = self.folder("records").join(kind).join(key.hex());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io(&path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Puts a record in place of another in one step.
    pub(super) fn replace_sealed(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let mut sealed = format!("{}\n", Digest::of(bytes)).into_bytes();
        sealed.extend_from_slice(bytes);
        self.draft(path, &sealed)?
            .persist(path)
            .map_err(|error| StoreError::io(path)(error.error))?;
        Ok(())
    }

    /// Puts a file without a seal in place of another in one step. Its bytes are on the disk before they
    /// have the name: nothing else would tell half of them from all.
    pub(super) fn replace_synced(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.draft(path, bytes)?;
        file.as_file().sync_data().map_err(StoreError::io(path))?;
        file.persist(path)
            .map_err(|error| StoreError::io(path)(error.error))?;
        Ok(())
    }

    fn draft(&self, path: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile, StoreError> {
        let mut file =
            tempfile::NamedTempFile::new_in(self.scratch()).map_err(StoreError::io(path))?;
        file.write_all(bytes).map_err(StoreError::io(path))?;
        blob::make_readable(file.as_file()).map_err(StoreError::io(path))?;
        Ok(file)
    }
}

/// What a record of a layer says, if it is there and sound.
pub(super) fn read_layer(path: &Path) -> Result<Option<StoredLayer>, StoreError> {
    let note = read_sealed(path)?;
    Ok(note.and_then(|note| serde_json::from_slice(&note).ok()))
}

/// Reads a record; `None` if it is not there or its bytes have changed.
pub(super) fn read_sealed(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let sealed = read_bounded(path)?;
    Ok(sealed.and_then(|mut sealed| {
        let end = sealed.iter().position(|byte| *byte == b'\n')?;
        let (seal, bytes) = (sealed.get(..end)?, sealed.get(end + 1..)?);
        let is_sound = seal == Digest::of(bytes).to_string().as_bytes();
        is_sound.then(|| {
            sealed.drain(..=end);
            sealed
        })
    }))
}

/// Reads a file of our own, within bounds; `None` if it is not there.
pub(super) fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_RECORD_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(StoreError::io(path))?;
    // Half of a file would be taken for a damaged one.
    if bytes.len() as u64 > MAX_RECORD_BYTES {
        return Err(StoreError::io(path)(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::KeyBuilder;

    #[test]
    fn records_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = KeyBuilder::new("r").finish();
        assert_eq!(store.record("lock", &key).unwrap(), None);
        for bytes in [&b"x"[..], b"", b"\n", b"one\ntwo\n"] {
            store.put_record("lock", &key, bytes).unwrap();
            assert_eq!(store.record("lock", &key).unwrap().unwrap(), bytes);
        }
        assert!(store.record_age("lock", &key).is_some());
        for _ in 0..2 {
            store.forget_record("lock", &key).unwrap();
            assert_eq!(store.record("lock", &key).unwrap(), None);
        }
    }

    #[test]
    fn a_changed_record_is_none_whatever_byte_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = KeyBuilder::new("r").finish();
        store.put_record("lock", &key, b"some text").unwrap();
        let path = store.folder("records").join("lock").join(key.hex());
        let right = fs::read(&path).unwrap();
        for place in 0..right.len() {
            let mut flipped = right.clone();
            flipped[place] ^= 1;
            for wrong in [&flipped[..], &right[..place]] {
                fs::write(&path, wrong).unwrap();
                assert_eq!(store.record("lock", &key).unwrap(), None, "byte {place}");
            }
        }
        fs::write(&path, &right).unwrap();
        assert!(store.record("lock", &key).unwrap().is_some());
    }
}
