//! Archives as sources: unpacked into a private folder, which is then read as any folder.
//!
//! An archive is hostile until it has been unpacked: [`sink`] writes below one folder and nowhere
//! else, whatever paths and links it is given, and bounds counts, sizes and ratios. What kind of
//! archive it is, its first bytes say and not its name. Where all of it is in one folder (as git
//! hosts pack it), that folder is the source.

mod error;
mod sink;
mod tar;
#[cfg(test)]
mod tests;
mod zip;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub(crate) use error::ArchiveSourceError;
use error::FoundInstead;
use sink::UnpackSink;
use tar::TarReader;

use crate::archive::UnpackedBound;
use crate::archive::decompress::{CompressionFormat, Decoder};
use crate::oci::Digest;
use crate::report::{Event, Report, TransferId};

/// By so many bytes the first look at an archive goes: a tar's header.
const START_BYTES: u64 = 512;
/// Bytes read at once.
const BUFFER_BYTES: usize = 128 << 10;
/// Progress is told after so many bytes.
const TELL_BYTES: u64 = 1 << 20;
/// What a tar may be in all: its files, and headers of as many entries as are allowed.
const MAX_TAR_BYTES: u64 = error::MAX_BYTES + error::MAX_ENTRIES * 4096;

/// Where an archive goes, and who is told.
pub(crate) struct UnpackRequest<'a> {
    /// An empty folder of ours.
    pub into: &'a Path,
    /// The archive as the user typed it, without password.
    pub shown: &'a str,
    /// How much it may be.
    pub unpacked: UnpackedBound,
    /// Told of what is left out, and of progress.
    pub report: &'a dyn Report,
    /// The number that progress goes by.
    pub transfer: TransferId,
}

impl UnpackRequest<'_> {
    /// Unpacks a file, after comparing its hash with `sha256` if there is one.
    pub(crate) fn file(
        &self,
        path: &Path,
        sha256: Option<&Digest>,
    ) -> Result<(), ArchiveSourceError> {
        let failed = |source| ArchiveSourceError::Read {
            shown: self.shown.to_owned(),
            source,
        };
        if let Some(expected) = sha256 {
            self.check(path, expected)?;
        }
        let mut file = File::open(path).map_err(failed)?;
        let mut start = Vec::new();
        file.by_ref()
            .take(START_BYTES)
            .read_to_end(&mut start)
            .map_err(failed)?;
        if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            let mut sink = UnpackSink::new(self.into, self.shown, self.unpacked);
            zip::unpack(path, self.shown, &mut sink)?;
            return sink.finish(self.report);
        }
        let size_bytes = file.metadata().ok().map(|found| found.len());
        self.tar(start, file, size_bytes)
    }

    /// Unpacks what comes on a stream: a tar, compressed or not.
    pub(crate) fn stream(&self, mut from: impl Read) -> Result<(), ArchiveSourceError> {
        let mut start = Vec::new();
        from.by_ref()
            .take(START_BYTES)
            .read_to_end(&mut start)
            .map_err(|source| ArchiveSourceError::Read {
                shown: self.shown.to_owned(),
                source,
            })?;
        self.tar(start, from, None)
    }

    fn tar(
        &self,
        start: Vec<u8>,
        rest: impl Read,
        total_bytes: Option<u64>,
    ) -> Result<(), ArchiveSourceError> {
        let format = kind_of(&start).map_err(|found| ArchiveSourceError::Kind {
            shown: self.shown.to_owned(),
            found,
        })?;
        self.report.event(Event::TransferStarted {
            id: self.transfer,
            name: self.shown.to_owned(),
            total_bytes,
        });
        let read = Cell::new(0);
        let counted = ReadProgress {
            from: io::Cursor::new(start).chain(rest),
            read: &read,
            told_bytes: 0,
            unpacking: self,
        };
        let unpacked = Decoder::new(
            BufReader::with_capacity(BUFFER_BYTES, counted),
            format,
            MAX_TAR_BYTES,
        )
        .map_err(|source| ArchiveSourceError::Read {
            shown: self.shown.to_owned(),
            source,
        })
        .and_then(|decoder| {
            let mut sink = UnpackSink::new(self.into, self.shown, self.unpacked);
            let tar = TarReader {
                from: BufReader::with_capacity(BUFFER_BYTES, decoder),
                shown: self.shown,
                // Of a stream nobody knows the length: what has been read has to do.
                read_bytes: &|| total_bytes.unwrap_or_else(|| read.get()),
            };
            tar.unpack(&mut sink)?;
            sink.finish(self.report)
        });
        self.report
            .event(Event::TransferFinished { id: self.transfer });
        unpacked
    }

    fn check(&self, path: &Path, expected: &Digest) -> Result<(), ArchiveSourceError> {
        let hash = || -> io::Result<Digest> {
            let mut file = File::open(path)?;
            let mut sha256 = Sha256::new();
            let mut buffer = vec![0; BUFFER_BYTES];
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(Digest::from_bytes(sha256.finalize().into())),
                    count => sha256.update(&buffer[..count]),
                }
            }
        };
        let found = hash().map_err(|source| ArchiveSourceError::Read {
            shown: self.shown.to_owned(),
            source,
        })?;
        if found == *expected {
            return Ok(());
        }
        Err(ArchiveSourceError::Hash {
            shown: self.shown.to_owned(),
            expected: *expected,
            found,
        })
    }
}

/// The folder that is the source: the only one at the top, or all of it. `context_dir` is a folder
/// of the source; where the only one is the very folder that it names, it is not stepped into.
pub(crate) fn top(folder: &Path, context_dir: Option<&Path>) -> PathBuf {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let (Some(only), None) = (entries.next(), entries.next()) else {
        return folder.to_owned();
    };
    let first = context_dir.and_then(|path| {
        path.components().find_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            _ => None,
        })
    });
    if only.file_type().is_ok_and(|kind| kind.is_dir()) && first != Some(only.file_name()) {
        return only.path();
    }
    folder.to_owned()
}

/// How a stream that begins so is compressed.
fn kind_of(start: &[u8]) -> Result<CompressionFormat, FoundInstead> {
    let page = || {
        let text = start.trim_ascii_start();
        text.starts_with(b"<")
    };
    match start {
        [] => Err(FoundInstead::Nothing),
        [0x1f, 0x8b, ..] => Ok(CompressionFormat::Gzip),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(CompressionFormat::Xz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(CompressionFormat::Zstd),
        [b'P', b'K', 3 | 5, ..] => Err(FoundInstead::ZipOnStdin),
        [b'B', b'Z', b'h', ..] => Err(FoundInstead::Bzip2),
        start if tar::is_tar(start) => Ok(CompressionFormat::Plain),
        _ if page() => Err(FoundInstead::WebPage),
        _ => Err(FoundInstead::Other),
    }
}

/// Counts what is read of an archive, and tells it.
struct ReadProgress<'a, R> {
    from: R,
    read: &'a Cell<u64>,
    told_bytes: u64,
    unpacking: &'a UnpackRequest<'a>,
}

impl<R: Read> Read for ReadProgress<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        let done_bytes = self.read.get() + count as u64;
        self.read.set(done_bytes);
        if done_bytes >= self.told_bytes + TELL_BYTES {
            self.told_bytes = done_bytes;
            self.unpacking.report.event(Event::TransferAdvanced {
                id: self.unpacking.transfer,
                done_bytes,
            });
        }
        Ok(count)
    }
}
