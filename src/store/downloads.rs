//! Files of elsewhere, by their sha256: wheels, debs, index files.
//!
//! They are not synced before they get their names: what a power cut leaves of one has another hash, and
//! whoever makes something of a download compares that first.

use std::fs;
use std::path::PathBuf;

use super::blob::{FileState, drop_unless};
use super::{BlobWriter, Store, StoreError};
use crate::oci::Digest;

impl Store {
    /// Where the download with this sha256 lies, or would lie.
    pub(crate) fn download_path(&self, digest: &Digest) -> PathBuf {
        self.folder("downloads").join(digest.hex())
    }

    /// Whether a download is there, in full length where that is known. Its bytes may have changed.
    pub(crate) fn has_download(&self, digest: &Digest, size_bytes: Option<u64>) -> bool {
        fs::metadata(self.download_path(digest))
            .is_ok_and(|file| file.is_file() && size_bytes.is_none_or(|size| size == file.len()))
    }

    /// Drops a download that has other bytes than it was kept for; reads all of it.
    pub(crate) fn drop_damaged_download(&self, digest: &Digest) -> Result<FileState, StoreError> {
        drop_unless(&self.download_path(digest), |found| found == *digest)
    }

    /// Keeps a finished file as a download, after comparing its hash with the promised one.
    pub(crate) fn keep_download(
        &self,
        writer: BlobWriter,
        expected: &Digest,
    ) -> Result<(), StoreError> {
        writer.persist(expected, &self.download_path(expected))
    }
}
