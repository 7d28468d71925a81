//! Files on their way into the store: hashed while they are written, renamed when they are whole.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::StoreError;
use crate::oci::Digest;

/// A file being written; dropped without being kept, it is gone.
pub(crate) struct BlobWriter {
    file: BufWriter<tempfile::NamedTempFile>,
    hasher: Option<Sha256>,
    known: Option<Digest>,
}

impl BlobWriter {
    pub(super) fn new(folder: &Path) -> Result<Self, StoreError> {
        let file = tempfile::NamedTempFile::new_in(folder).map_err(StoreError::io(folder))?;
        Ok(Self {
            file: BufWriter::with_capacity(128 << 10, file),
            hasher: Some(Sha256::new()),
            known: None,
        })
    }

    /// For writers that hash by themselves: does not hash again. The digest of the bytes must be
    /// given by [`BlobWriter::hashed`] before the file is kept.
    pub(crate) fn unhashed(mut self) -> Self {
        self.hasher = None;
        self
    }

    /// Says which digest the written bytes have, as their maker computed it.
    pub(crate) fn hashed(mut self, digest: Digest) -> Self {
        self.hasher = None;
        self.known = Some(digest);
        self
    }

    /// The written bytes from their beginning; the file is gone when its reader is.
    pub(crate) fn into_reader(self) -> Result<fs::File, StoreError> {
        let file = self.file.into_inner().map_err(|error| {
            let (error, file) = error.into_parts();
            StoreError::io(file.get_ref().path())(error)
        })?;
        file.reopen().map_err(StoreError::io(file.path()))
    }

    pub(super) fn persist(self, expected: &Digest, path: &Path) -> Result<(), StoreError> {
        let found = match (self.hasher, self.known) {
            (Some(hasher), _) => Digest::from_bytes(hasher.finalize().into()),
            (None, Some(known)) => known,
            // Nobody hashed: the bytes cannot be vouched for.
            (None, None) => Digest::from_bytes([0; 32]),
        };
        if found != *expected {
            return Err(StoreError::Mismatch {
                path: path.to_owned(),
                expected: *expected,
                found,
            });
        }
        let file = self
            .file
            .into_inner()
            .map_err(|error| StoreError::io(path)(error.into_error()))?;
        make_readable(file.as_file()).map_err(StoreError::io(path))?;
        file.persist(path)
            .map_err(|error| StoreError::io(path)(error.error))?;
        Ok(())
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What a look at a file of the store came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileState {
    /// Its bytes are right.
    Sound,
    /// It is not there.
    Missing,
    /// Its bytes were wrong, and it is gone.
    Dropped,
}

/// Reads a file, and removes it if its bytes do not have a digest that will do. One that somebody has put in
/// its place meanwhile stays: it was checked before it got its name.
///
/// # Errors
/// It cannot be read, which says nothing of its bytes: then it stays.
pub(super) fn drop_unless(
    path: &Path,
    is_right: impl FnOnce(Digest) -> bool,
) -> Result<FileState, StoreError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FileState::Missing),
        Err(error) => return Err(StoreError::io(path)(error)),
    };
    let found = Digest::of_reader(&file).map_err(StoreError::io(path))?;
    if is_right(found) {
        return Ok(FileState::Sound);
    }
    if remove_this(path, &file)? {
        return Ok(FileState::Dropped);
    }
    match path.try_exists() {
        Ok(true) => Ok(FileState::Sound),
        Ok(false) => Ok(FileState::Missing),
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

/// Removes a file, if its name still stands for what was opened.
pub(super) fn remove_this(path: &Path, opened: &fs::File) -> Result<bool, StoreError> {
    let opened = opened.metadata().map_err(StoreError::io(path))?;
    let is_same = fs::symlink_metadata(path)
        .is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino()));
    if !is_same {
        return Ok(false);
    }
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

/// Temporary files are private to their owner; what is kept is as readable as other data files,
/// whatever the umask, so that a layout can be shared.
pub(super) fn make_readable(file: &fs::File) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_put_in_place_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let look = |meanwhile: &dyn Fn()| {
            fs::write(&path, b"wrong").unwrap();
            drop_unless(&path, |found| {
                assert_eq!(found, Digest::of(b"wrong"));
                meanwhile();
                false
            })
        };
        let replaced = look(&|| {
            let other = folder.path().join("other");
            fs::write(&other, b"right").unwrap();
            fs::rename(&other, &path).unwrap();
        });
        assert_eq!(replaced.unwrap(), FileState::Sound);
        assert_eq!(fs::read(&path).unwrap(), b"right");
        let removed = look(&|| fs::remove_file(&path).unwrap());
        assert_eq!(removed.unwrap(), FileState::Missing);
        assert_eq!(look(&|| ()).unwrap(), FileState::Dropped);
        assert!(!path.exists());
    }
}
