//! Compressed bytes on their way out: gathered, hashed and counted in large pieces.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

/// Bytes gathered before they are hashed and handed on.
pub(super) const OUTPUT_BYTES: usize = 128 << 10;

/// Hands bytes on to `W` and knows their sha256 and length.
pub(super) struct HashingWriter<W> {
    inner: W,
    /// What is not handed on yet. Compressors may append to it, and then call [`HashingWriter::settle`].
    pub(super) pending: Vec<u8>,
    sha256: Sha256,
    handed_on_bytes: u64,
}

impl<W: Write> HashingWriter<W> {
    pub(super) fn new(inner: W) -> Self {
        Self {
            inner,
            pending: Vec::with_capacity(2 * OUTPUT_BYTES),
            sha256: Sha256::new(),
            handed_on_bytes: 0,
        }
    }

    /// Length of all bytes so far: where the next one goes.
    pub(super) fn offset(&self) -> u64 {
        self.handed_on_bytes + self.pending.len() as u64
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        self.settle()
    }

    /// Hands on what was gathered, if that is much.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.drain_above(OUTPUT_BYTES)
    }

    /// Hands on everything; gives back `W`, and the digest and length of all bytes.
    pub(super) fn finish(mut self) -> io::Result<(W, [u8; 32], u64)> {
        self.drain_above(0)?;
        self.inner.flush()?;
        Ok((
            self.inner,
            self.sha256.finalize().into(),
            self.handed_on_bytes,
        ))
    }

    fn drain_above(&mut self, limit: usize) -> io::Result<()> {
        if self.pending.len() > limit {
            self.sha256.update(&self.pending);
            self.handed_on_bytes += self.pending.len() as u64;
            self.inner.write_all(&self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }
}

/// For compressors that write by themselves; flushing waits for the end.
impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
