//! The bytes of a blob on their way out, checked against what its descriptor says.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256};

use crate::destination::{BlobError, BlobSource, ExportError};
use crate::oci::{Descriptor, Digest};

/// Bytes read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A blob opened for one pass over its bytes.
pub(super) struct OpenBlob {
    path: PathBuf,
    file: File,
    digest: Digest,
    size: u64,
}

impl OpenBlob {
    /// Opens a blob whose size is what its descriptor says.
    pub(super) fn open(
        blobs: &dyn BlobSource,
        descriptor: &Descriptor,
    ) -> Result<Self, ExportError> {
        let path = blobs.path(&descriptor.digest);
        let opened = blobs
            .open(&descriptor.digest)
            .and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = match opened {
            Ok(opened) => opened,
            Err(source) => {
                let digest = descriptor.digest;
                return Err(BlobError::Unreadable {
                    path,
                    digest,
                    source,
                }
                .into());
            }
        };
        let blob = Self {
            path,
            file,
            digest: descriptor.digest,
            size: descriptor.size,
        };
        if size == blob.size {
            Ok(blob)
        } else {
            Err(blob.damaged())
        }
    }

    /// Copies it into a sink, whose failures become errors by `failed`. Bytes that are not the
    /// digest's are an error too, but only once all are written: the sink is to be thrown away then.
    pub(super) fn copy_to(
        mut self,
        sink: &mut dyn Write,
        failed: impl Fn(io::Error) -> ExportError,
    ) -> Result<(), ExportError> {
        let mut sha256 = Sha256::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut copied = 0;
        loop {
            let count = match self.file.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(BlobError::Unreadable {
                        path: self.path,
                        digest: self.digest,
                        source,
                    }
                    .into());
                }
            };
            if count == 0 {
                break;
            }
            copied += count as u64;
            if copied > self.size {
                return Err(self.damaged());
            }
            sha256.update(&buffer[..count]);
            sink.write_all(&buffer[..count]).map_err(&failed)?;
        }
        if copied == self.size && Digest::from_bytes(sha256.finalize().into()) == self.digest {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }

    fn damaged(self) -> ExportError {
        BlobError::Damaged {
            path: self.path,
            digest: self.digest,
        }
        .into()
    }
}

/// Whether a blob that is being sent has turned out to be another.
#[derive(Debug, Clone, Default)]
pub(super) struct BlobDoubt(Arc<AtomicBool>);

impl BlobDoubt {
    pub(super) fn is_founded(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Opens the blob from its beginning, for one pass. It is hashed on the way, and ends in an error in
    /// place of its last bytes if it is another; from then on it cannot be opened, so that nobody waits for
    /// it to become right.
    pub(super) fn open(
        &self,
        blobs: &dyn BlobSource,
        blob: &Descriptor,
    ) -> io::Result<OutgoingFile> {
        if self.is_founded() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(OutgoingFile {
            file: blobs.open(&blob.digest)?,
            hasher: Sha256::new(),
            digest: blob.digest,
            left: blob.size,
            doubt: self.clone(),
        })
    }
}

/// A blob on its way to where nobody can take bytes back.
pub(super) struct OutgoingFile {
    file: File,
    hasher: Sha256,
    digest: Digest,
    /// Bytes that are still to come.
    left: u64,
    doubt: BlobDoubt,
}

impl Read for OutgoingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wrong = |error: io::Error| {
            self.doubt.0.store(true, Ordering::Relaxed);
            Err(error)
        };
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = match self.file.read(&mut buffer[..most]) {
            Ok(0) => return wrong(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return wrong(error),
        };
        self.hasher.update(&buffer[..count]);
        self.left -= count as u64;
        if self.left == 0 {
            let found = self.hasher.finalize_reset();
            if Digest::from_bytes(found.into()) != self.digest {
                return wrong(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::testing::BlobFolder;
    use crate::oci::MediaType;
    use crate::report::Explain as _;

    fn copy(folder: &BlobFolder, blob: &Descriptor) -> Result<Vec<u8>, ExportError> {
        let mut bytes = Vec::new();
        OpenBlob::open(folder, blob)?.copy_to(&mut bytes, ExportError::Stream)?;
        Ok(bytes)
    }

    #[test]
    fn a_blob_is_what_its_descriptor_says() {
        let folder = BlobFolder::new();
        let content = vec![7; 3 * BUFFER_BYTES + 1];
        let blob = folder.put(MediaType::LayerGzip, &content);
        assert_eq!(copy(&folder, &blob).unwrap(), content);
        let mut other = content.clone();
        other[BUFFER_BYTES] = 8;
        for bytes in [&other[..], &content[1..], &[]] {
            std::fs::write(folder.path(&blob.digest), bytes).unwrap();
            let error = copy(&folder, &blob).unwrap_err();
            assert!(
                matches!(&error, ExportError::Blob(BlobError::Damaged { digest, .. }) if *digest == blob.digest),
                "{error:?}"
            );
            assert!(error.to_string().contains(&blob.digest.hex()), "{error}");
            assert!(error.explain().next.contains("s2r build"));
        }
        std::fs::remove_file(folder.path(&blob.digest)).unwrap();
        let error = copy(&folder, &blob).unwrap_err();
        assert!(
            matches!(error, ExportError::Blob(BlobError::Unreadable { .. })),
            "{error:?}"
        );
    }

    #[test]
    fn the_last_bytes_of_a_wrong_blob_are_not_sent() {
        let folder = BlobFolder::new();
        let content = vec![7; 3 * BUFFER_BYTES + 1];
        let blob = folder.put(MediaType::LayerGzip, &content);
        let send = |doubt: &BlobDoubt| {
            let mut sent = Vec::new();
            let done = doubt.open(&folder, &blob)?.read_to_end(&mut sent);
            done.map(|_| sent)
        };
        let doubt = BlobDoubt::default();
        assert_eq!(send(&doubt).unwrap(), content);
        assert_eq!(send(&doubt).unwrap(), content);
        let mut other = content.clone();
        other[0] = 8;
        for bytes in [&other[..], &content[1..], &[]] {
            std::fs::write(folder.path(&blob.digest), bytes).unwrap();
            let doubt = BlobDoubt::default();
            assert!(!doubt.is_founded());
            assert!(send(&doubt).is_err());
            assert!(doubt.is_founded());
            assert!(doubt.open(&folder, &blob).is_err());
        }
    }
}
