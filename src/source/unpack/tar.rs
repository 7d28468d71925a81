//! Reads a tar as it comes, one header after the other. Formats: ustar and pax (POSIX.1-2001), and
//! GNU's long names; numbers in octal or base 256.
//!
//! Our own loop round the `tar` crate's headers, because that crate holds extended headers in memory
//! at whatever length they claim, and takes an archive that breaks off between two entries for whole.

use std::io::{self, Read};

use tar::{EntryType, Header, PaxExtensions};

use super::error::MAX_PATH_BYTES;
use super::error::{ArchiveEntryFault, ArchiveSourceError};
use super::sink::{NewFile, UnpackSink};

/// Headers and contents are padded to it.
const BLOCK_BYTES: usize = 512;
/// Longest extended header: paths, and attributes that are not used.
const MAX_EXTENDED_BYTES: u64 = 1 << 20;
/// Behind the end mark so much is read and thrown away, so that what sends it can end well.
const MAX_TRAILER_BYTES: u64 = 4 << 20;

/// What headers before an entry say about it.
#[derive(Default)]
struct PendingHeaders {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size_bytes: Option<u64>,
    is_sparse: bool,
}

/// A tar being read.
pub(super) struct TarReader<'a, R> {
    pub from: R,
    pub shown: &'a str,
    /// How much of the archive's file has been read.
    pub read_bytes: &'a dyn Fn() -> u64,
}

impl<R: Read> TarReader<'_, R> {
    /// Gives all entries to the sink.
    pub(super) fn unpack(mut self, sink: &mut UnpackSink<'_>) -> Result<(), ArchiveSourceError> {
        let mut extended = PendingHeaders::default();
        let mut before = Vec::new();
        while let Some(header) = self.header(&before)? {
            let kind = header.entry_type();
            let size_bytes = header.entry_size().ok();
            match kind {
                EntryType::XHeader | EntryType::XGlobalHeader => {
                    let bytes = self.extended(size_bytes, &before)?;
                    if kind == EntryType::XHeader && extended.read_pax(&bytes).is_none() {
                        return Err(self.damaged(&before));
                    }
                }
                EntryType::GNULongName => {
                    extended.path = Some(text(self.extended(size_bytes, &before)?));
                }
                EntryType::GNULongLink => {
                    extended.link = Some(text(self.extended(size_bytes, &before)?));
                }
                _ => {
                    let about = std::mem::take(&mut extended);
                    before = about
                        .path
                        .clone()
                        .unwrap_or_else(|| header.path_bytes().into_owned());
                    self.entry(&header, &about, &before, sink)?;
                }
            }
        }
        let trailer = io::copy(
            &mut self.from.by_ref().take(MAX_TRAILER_BYTES),
            &mut io::sink(),
        );
        trailer.map(|_| ()).map_err(|source| self.failed(source))
    }

    /// One entry that is none of the extended headers.
    fn entry(
        &mut self,
        header: &Header,
        about: &PendingHeaders,
        path: &[u8],
        sink: &mut UnpackSink<'_>,
    ) -> Result<(), ArchiveSourceError> {
        let of_header = header.entry_size().ok();
        let size_bytes = about
            .size_bytes
            .or(of_header)
            .ok_or_else(|| sink.refuse(path, ArchiveEntryFault::Size))?;
        let link = || {
            let own = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
            about.link.clone().or_else(own).unwrap_or_default()
        };
        let kind = header.entry_type();
        if about.is_sparse {
            return Err(sink.refuse(path, ArchiveEntryFault::Kind));
        }
        if sink.leaves_out(path) {
            return self.skip(size_bytes);
        }
        match kind {
            // Before POSIX a folder was a file whose name ends in a slash.
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => {
                sink.folder(path)?;
                self.skip(size_bytes)
            }
            EntryType::Regular | EntryType::Continuous => {
                let file = NewFile {
                    entry: path,
                    is_executable: header.mode().is_ok_and(|mode| mode & 0o100 != 0),
                    size_bytes,
                };
                sink.file(&file, &mut self.from, self.read_bytes)?;
                self.pad(size_bytes)
            }
            EntryType::Directory => {
                sink.folder(path)?;
                self.skip(size_bytes)
            }
            EntryType::Symlink => {
                sink.link(path, &link())?;
                self.skip(size_bytes)
            }
            EntryType::Link => {
                sink.hard_link(path, &link(), (self.read_bytes)())?;
                self.skip(size_bytes)
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                sink.special(path)?;
                self.skip(size_bytes)
            }
            // GNU's name of a volume.
            other if other.as_byte() == b'V' => self.skip(size_bytes),
            _ => Err(sink.refuse(path, ArchiveEntryFault::Kind)),
        }
    }

    /// The next header; `None` at the end mark.
    fn header(&mut self, before: &[u8]) -> Result<Option<Header>, ArchiveSourceError> {
        let mut block = [0; BLOCK_BYTES];
        self.exactly(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        if header.cksum().ok() != Some(sum_of(&block)) {
            return Err(self.damaged(before));
        }
        Ok(Some(header))
    }

    fn extended(
        &mut self,
        size_bytes: Option<u64>,
        before: &[u8],
    ) -> Result<Vec<u8>, ArchiveSourceError> {
        let size_bytes = size_bytes
            .filter(|size| *size <= MAX_EXTENDED_BYTES)
            .ok_or_else(|| self.damaged(before))?;
        let mut bytes = vec![0; usize::try_from(size_bytes).unwrap_or_default()];
        self.exactly(&mut bytes)?;
        self.pad(size_bytes)?;
        Ok(bytes)
    }

    /// Reads over contents that are not wanted.
    fn skip(&mut self, size_bytes: u64) -> Result<(), ArchiveSourceError> {
        let copied = io::copy(&mut self.from.by_ref().take(size_bytes), &mut io::sink())
            .map_err(|source| self.failed(source))?;
        if copied < size_bytes {
            return Err(self.cut());
        }
        self.pad(size_bytes)
    }

    /// Reads over what fills an entry's last block.
    fn pad(&mut self, size_bytes: u64) -> Result<(), ArchiveSourceError> {
        let used = usize::try_from(size_bytes % BLOCK_BYTES as u64).unwrap_or_default();
        let mut rest = [0; BLOCK_BYTES];
        match used {
            0 => Ok(()),
            used => self.exactly(&mut rest[used..]),
        }
    }

    fn exactly(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveSourceError> {
        self.from
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => self.cut(),
                _ => self.failed(error),
            })
    }

    fn cut(&self) -> ArchiveSourceError {
        ArchiveSourceError::Cut {
            shown: self.shown.to_owned(),
        }
    }

    fn failed(&self, source: io::Error) -> ArchiveSourceError {
        ArchiveSourceError::Read {
            shown: self.shown.to_owned(),
            source,
        }
    }

    fn damaged(&self, before: &[u8]) -> ArchiveSourceError {
        ArchiveSourceError::Header {
            shown: self.shown.to_owned(),
            after: String::from_utf8_lossy(before).into_owned(),
        }
    }
}

impl PendingHeaders {
    /// Takes what a pax header says; `None` if it is none.
    fn read_pax(&mut self, bytes: &[u8]) -> Option<()> {
        for record in PaxExtensions::new(bytes) {
            let record = record.ok()?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size_bytes = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
                key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
        }
        Some(())
    }
}

/// GNU ends long names with a NUL. What is longer than any path is cut, and refused for it.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes.truncate(MAX_PATH_BYTES + 1);
    bytes
}

/// A header's checksum: the sum of its bytes, its own field read as blanks.
fn sum_of(block: &[u8; BLOCK_BYTES]) -> u32 {
    let field = 148..156;
    block
        .iter()
        .enumerate()
        .map(|(at, byte)| u32::from(if field.contains(&at) { b' ' } else { *byte }))
        .sum()
}

/// Whether a file that begins so is a tar: its first header is one, or it is an empty archive.
pub(super) fn is_tar(start: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK_BYTES]>::try_from(start) else {
        return false;
    };
    let header = Header::from_byte_slice(block);
    block.iter().all(|byte| *byte == 0) || header.cksum().ok() == Some(sum_of(block))
}
