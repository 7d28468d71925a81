//! A layer's tar, read out of its blob and hashed on the way: the hash is the layer's diff id.
//!
//! The blob may be compressed by gzip or zstd, or not at all, and may be hostile: its length is bounded.

use std::io::{self, BufRead, BufReader, Read};

use sha2::{Digest as _, Sha256};

use super::unpack::LayerUnpackError;
use crate::archive::decompress::{CompressionFormat, Decoder};
use crate::oci::Digest;

/// Most bytes that one layer may unpack to.
pub(super) const MAX_UNPACKED_BYTES: u64 = 32 << 30;

/// The tar of a layer.
pub(super) struct LayerTar<R: Read> {
    tar: Decoder<BufReader<R>>,
    hasher: Sha256,
}

impl<R: Read> LayerTar<R> {
    /// Begins to read a blob.
    pub(super) fn open(blob: R) -> Result<Self, LayerUnpackError> {
        let unreadable = |source| LayerUnpackError::Read { source };
        let mut blob = BufReader::with_capacity(256 << 10, blob);
        let format = format(blob.fill_buf().map_err(unreadable)?);
        Ok(Self {
            tar: Decoder::new(blob, format, MAX_UNPACKED_BYTES).map_err(unreadable)?,
            hasher: Sha256::new(),
        })
    }

    /// The hash, once the rest is read.
    pub(super) fn finish(mut self) -> Result<[u8; 32], LayerUnpackError> {
        io::copy(&mut self, &mut io::sink()).map_err(|source| LayerUnpackError::Read { source })?;
        Ok(self.hasher.finalize().into())
    }
}

impl<R: Read> Read for LayerTar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.tar.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// A blob that is hashed while it is read.
pub(crate) struct Hashing<R> {
    blob: R,
    hasher: Sha256,
}

impl<R: Read> Hashing<R> {
    /// To be read from its beginning.
    pub(crate) fn new(blob: R) -> Self {
        Self {
            blob,
            hasher: Sha256::new(),
        }
    }

    /// The blob's digest, once the rest is read.
    pub(crate) fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(Digest::from_bytes(self.hasher.finalize().into()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// The sha256 of a layer's tar.
///
/// # Errors
/// The layer cannot be read, or is too long.
pub(crate) fn tar_sha256(blob: impl Read) -> Result<[u8; 32], LayerUnpackError> {
    LayerTar::open(blob)?.finish()
}

/// How a stream is compressed, by its first bytes: a layer of the store has no name that tells.
fn format(start: &[u8]) -> CompressionFormat {
    match start {
        [0x1f, 0x8b, ..] => CompressionFormat::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => CompressionFormat::Zstd,
        _ => CompressionFormat::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_tar_however_it_is_compressed() {
        let plain = b"not quite a tar".as_slice();
        let zstd = zstd::stream::encode_all(plain, 1).unwrap();
        let hash: [u8; 32] = Sha256::digest(plain).into();
        assert_eq!(tar_sha256(plain).unwrap(), hash);
        assert_eq!(tar_sha256(zstd.as_slice()).unwrap(), hash);
        assert!(tar_sha256(&zstd[..zstd.len() - 2]).is_err());
    }
}
