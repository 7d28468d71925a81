//! The one writer of layers: a compressed tar whose bytes depend on nothing but what is put in.
//!
//! Format: ustar with PAX records where needed (POSIX.1-2001 `pax`), in gzip members back to back
//! (RFC 1952, see [`crate::archive::gzip`]), which `estargz` can arrange for lazy pulling, or in one
//! zstd frame (RFC 8878). One time for all entries, numeric owners only.
//!
//! It holds its callers to an order (paths strictly increasing as bytes, parents before
//! children) and refuses what must not be in a layer: absolute paths, `..`, NUL bytes, and
//! components that begin with `.wh.`, which would delete files of the layers below, unless that is
//! asked for.

mod body;
mod error;
mod estargz;
mod header;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::archive::gzip;
use body::LayerBody;
use estargz::TableOfContents;
use header::{BLOCK_BYTES, EntryKind, HeaderFields};

pub(crate) use crate::archive::gzip::{DeflateSummary, MemberPlace};
pub(crate) use error::{PathFault, TarError};

/// Piece of a file that is read at once.
const READ_BYTES: usize = 64 << 10;

/// Longest path or link target, Linux's own limit.
const PATH_MAX_BYTES: usize = 4096;

/// Most parts of a path: each is a folder that whoever unpacks or removes it has to open, and `layers::unpack` opens no more.
pub(crate) const PATH_MAX_DEPTH: usize = 256;

/// What all entries of one archive share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TarOptions {
    /// Time of every entry, seconds since 1970.
    pub mtime: u64,
    /// Of what is compressed here.
    pub effort: CompressionEffort,
}

/// How hard is compressed.
///
/// Measured on the layers of a Debian base: deflate's level 9 takes half as long again as 6 and saves 5 %; zstd's level 9 takes
/// four times as long as 3 and saves 8 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompressionEffort {
    /// For what is read once, on this machine.
    Least,
    /// For what is made for one project.
    Usual,
    /// For what is made once and used by many images.
    Most,
}

impl CompressionEffort {
    /// zlib's level, 0 to 9.
    pub(crate) const fn deflate_level(self) -> u32 {
        match self {
            Self::Least => 1,
            Self::Usual => 6,
            Self::Most => 9,
        }
    }

    /// libzstd's level, 1 to 22.
    pub(crate) const fn zstd_level(self) -> i32 {
        match self {
            Self::Least => 1,
            Self::Usual => 3,
            Self::Most => 9,
        }
    }
}

/// Whose an entry is and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryOwner {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TarSummary {
    /// sha256 of the compressed bytes.
    pub sha256: [u8; 32],
    /// sha256 of the tar bytes.
    pub diff_sha256: [u8; 32],
    /// sha256 of an eStargz layer's table of contents.
    pub table_sha256: Option<[u8; 32]>,
    /// Length of the compressed bytes.
    pub size_bytes: u64,
    /// Length of the tar bytes.
    pub uncompressed_bytes: u64,
}

/// Writes one layer to `W`.
pub(crate) struct LayerWriter<W: Write> {
    body: LayerBody<W>,
    /// An eStargz layer's table of contents.
    table: Option<TableOfContents>,
    diff_sha256: Sha256,
    uncompressed_bytes: u64,
    mtime: u64,
    last: Vec<u8>,
    directories: BTreeSet<Vec<u8>>,
    buffer: Vec<u8>,
}

impl<W: Write> LayerWriter<W> {
    /// An empty layer in gzip that will go to `sink`.
    pub(crate) fn new(sink: W, options: TarOptions) -> Self {
        Self::with(
            LayerBody::gzip(sink, options.effort.deflate_level()),
            options,
        )
    }

    /// An empty layer in zstd.
    pub(crate) fn zstd(sink: W, options: TarOptions) -> Result<Self, TarError> {
        let body = LayerBody::zstd(sink, options.effort.zstd_level()).map_err(sink_error)?;
        Ok(Self::with(body, options))
    }

    /// An empty layer in gzip, arranged for lazy pulling (see `estargz`); `time` is
    /// `options.mtime` as RFC 3339 has it.
    pub(crate) fn estargz(sink: W, options: TarOptions, time: &str) -> Result<Self, TarError> {
        let mut tar = Self {
            table: Some(TableOfContents::new(time)),
            ..Self::with(
                LayerBody::gzip(sink, options.effort.deflate_level()),
                options,
            )
        };
        tar.landmark()?;
        Ok(tar)
    }

    fn with(body: LayerBody<W>, options: TarOptions) -> Self {
        Self {
            body,
            table: None,
            diff_sha256: Sha256::new(),
            uncompressed_bytes: 0,
            mtime: options.mtime,
            last: Vec::new(),
            directories: BTreeSet::new(),
            buffer: vec![0; READ_BYTES],
        }
    }

    /// The file that tells readers of eStargz layers to prefetch nothing.
    fn landmark(&mut self) -> Result<(), TarError> {
        let owner = EntryOwner {
            uid: 0,
            gid: 0,
            mode: 0o644,
        };
        let contents = estargz::LANDMARK_CONTENTS;
        let size = contents.len() as u64;
        self.header(EntryKind::File(size), estargz::LANDMARK.as_bytes(), &owner)?;
        self.contents(estargz::LANDMARK.as_bytes(), size, &mut &contents[..])
    }

    /// A directory; `path` has no slash at either end.
    pub(crate) fn directory(&mut self, path: &[u8], owner: &EntryOwner) -> Result<(), TarError> {
        self.accept(path)?;
        self.directories.insert(path.to_vec());
        let with_slash = [path, b"/"].concat();
        self.header(EntryKind::Directory, &with_slash, owner)
    }

    /// A symbolic link; `target` is kept as it is, and may be absolute or climb.
    pub(crate) fn symlink(
        &mut self,
        path: &[u8],
        target: &[u8],
        owner: &EntryOwner,
    ) -> Result<(), TarError> {
        let fault = match target {
            [] => Some(PathFault::Empty),
            _ if target.contains(&0) => Some(PathFault::Nul),
            _ if target.len() > PATH_MAX_BYTES => Some(PathFault::Long),
            _ if self.table.is_some() && str::from_utf8(target).is_err() => {
                Some(PathFault::Encoding)
            }
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(TarError::Path {
                path: text(target),
                fault,
            });
        }
        self.accept(path)?;
        self.header(EntryKind::Symlink(target), path, owner)
    }

    /// The mark that `path` of the layers below is gone (OCI image specification, "Whiteouts").
    pub(crate) fn removed(&mut self, path: &[u8]) -> Result<(), TarError> {
        check_path(path)?;
        let (folder, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => path.split_at(slash + 1),
            None => (b"".as_slice(), path),
        };
        self.mark(&[folder, b".wh.".as_slice(), name].concat())
    }

    /// The mark that a directory, written before, hides what the layers below have in it.
    pub(crate) fn opaque(&mut self, directory: &[u8]) -> Result<(), TarError> {
        check_path(directory)?;
        self.mark(&[directory, b"/.wh..wh..opq".as_slice()].concat())
    }

    fn mark(&mut self, path: &[u8]) -> Result<(), TarError> {
        self.accept_in_order(path)?;
        let nobody = EntryOwner {
            uid: 0,
            gid: 0,
            mode: 0,
        };
        self.header(EntryKind::File(0), path, &nobody)
    }

    /// A hard link to `target`, the path of an earlier file in this archive.
    pub(crate) fn hardlink(
        &mut self,
        path: &[u8],
        target: &[u8],
        owner: &EntryOwner,
    ) -> Result<(), TarError> {
        check_path(target)?;
        if target >= path || self.directories.contains(target) {
            return Err(TarError::Link {
                path: text(path),
                target: text(target),
            });
        }
        self.accept(path)?;
        self.header(EntryKind::Hardlink(target), path, owner)
    }

    /// A file of exactly `size` bytes, compressed here.
    pub(crate) fn file(
        &mut self,
        path: &[u8],
        owner: &EntryOwner,
        size: u64,
        contents: &mut impl Read,
    ) -> Result<(), TarError> {
        self.accept(path)?;
        self.header(EntryKind::File(size), path, owner)?;
        self.contents(path, size, contents)
    }

    /// The same, its contents in a gzip member of their own where the layer has members: their compressed bytes
    /// depend on nothing else.
    pub(crate) fn member_file(
        &mut self,
        path: &[u8],
        owner: &EntryOwner,
        size: u64,
        contents: &mut impl Read,
    ) -> Result<MemberPlace, TarError> {
        self.accept(path)?;
        self.header(EntryKind::File(size), path, owner)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let offset = self.body.cut().map_err(sink_error)?;
        let copied = self.copy(path, size, contents, &mut buffer);
        self.buffer = buffer;
        copied?;
        let end = self.body.cut().map_err(sink_error)?;
        self.pad(size)?;
        Ok(MemberPlace {
            offset,
            length: end - offset,
        })
    }

    /// Whether [`LayerWriter::member_file`] writes a file into one member.
    pub(crate) fn has_members(&self) -> bool {
        self.table.is_none() && self.body.is_gzip()
    }

    fn contents(
        &mut self,
        path: &[u8],
        size: u64,
        contents: &mut impl Read,
    ) -> Result<(), TarError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let copied = self.copy(path, size, contents, &mut buffer);
        self.buffer = buffer;
        copied?;
        self.pad(size)
    }

    fn copy(
        &mut self,
        path: &[u8],
        size: u64,
        contents: &mut impl Read,
        buffer: &mut [u8],
    ) -> Result<(), TarError> {
        let mut done = 0_u64;
        loop {
            let room = match &mut self.table {
                Some(table) => table
                    .room(done, size, || self.body.cut())
                    .map_err(sink_error)?,
                None => buffer.len(),
            };
            let room = room.min(buffer.len());
            let count =
                read_some(contents, &mut buffer[..room]).map_err(|source| TarError::Read {
                    path: text(path),
                    source,
                })?;
            done += count as u64;
            if done > size {
                return Err(wrong_length(path, size, done));
            }
            if count == 0 {
                break;
            }
            if let Some(table) = &mut self.table {
                table.contents(&buffer[..count]);
            }
            self.put(&buffer[..count])?;
        }
        if done != size {
            return Err(wrong_length(path, size, done));
        }
        if let Some(table) = &mut self.table {
            table.end_file();
        }
        Ok(())
    }

    /// A file whose contents are a finished deflate stream, the next `deflated.compressed_size`
    /// bytes of `stream`. They are copied as they are where that pays, and checked in any case.
    pub(crate) fn deflated_file(
        &mut self,
        path: &[u8],
        owner: &EntryOwner,
        deflated: DeflateSummary,
        stream: &mut impl Read,
    ) -> Result<(), TarError> {
        self.accept(path)?;
        self.header(EntryKind::File(deflated.size), path, owner)?;
        let hash = |piece: &[u8]| self.diff_sha256.update(piece);
        match &mut self.table {
            Some(table) => self.body.deflated_file_of(table, deflated, stream, hash),
            None => self.body.deflated(deflated, stream, hash),
        }
        .map_err(|error| match error {
            gzip::GzipError::Write(source) => TarError::Write(source),
            gzip::GzipError::Read(source) => TarError::Read {
                path: text(path),
                source,
            },
            source => TarError::Contents {
                path: text(path),
                source,
            },
        })?;
        self.uncompressed_bytes += deflated.size;
        self.pad(deflated.size)
    }

    /// Ends the archive; gives back the sink and says what went into it.
    pub(crate) fn finish(mut self) -> Result<(W, TarSummary), TarError> {
        let mut table_sha256 = None;
        let mut table_offset = 0;
        if let Some(table) = self.table.take() {
            let json = table.finish();
            table_sha256 = Some(Sha256::digest(&json).into());
            table_offset = self.body.cut().map_err(sink_error)?;
            let nobody = EntryOwner {
                uid: 0,
                gid: 0,
                mode: 0o644,
            };
            let size = json.len() as u64;
            self.header(EntryKind::File(size), estargz::TABLE.as_bytes(), &nobody)?;
            self.put(&json)?;
            self.pad(size)?;
        }
        self.put(&[0; 2 * BLOCK_BYTES])?;
        if table_sha256.is_some() {
            self.body
                .member(&estargz::footer(table_offset))
                .map_err(sink_error)?;
        }
        let (sink, sha256, size_bytes) = self.body.finish().map_err(sink_error)?;
        let written = TarSummary {
            sha256,
            diff_sha256: self.diff_sha256.finalize().into(),
            table_sha256,
            size_bytes,
            uncompressed_bytes: self.uncompressed_bytes,
        };
        Ok((sink, written))
    }

    /// Holds a new path against the rules of layers and against what came before.
    fn accept(&mut self, path: &[u8]) -> Result<(), TarError> {
        check_path(path)?;
        self.accept_in_order(path)
    }

    fn accept_in_order(&mut self, path: &[u8]) -> Result<(), TarError> {
        if self.table.is_some()
            && let Some(fault) = estargz::path_fault(path)
        {
            return Err(TarError::Path {
                path: text(path),
                fault,
            });
        }
        if path <= self.last.as_slice() {
            return Err(TarError::Order {
                path: text(path),
                previous: text(&self.last),
            });
        }
        if let Some(slash) = path.iter().rposition(|&byte| byte == b'/')
            && !self.directories.contains(&path[..slash])
        {
            return Err(TarError::Parent { path: text(path) });
        }
        self.last.clear();
        self.last.extend_from_slice(path);
        Ok(())
    }

    fn header(
        &mut self,
        kind: EntryKind<'_>,
        path: &[u8],
        owner: &EntryOwner,
    ) -> Result<(), TarError> {
        if let Some(table) = &mut self.table {
            table.begin(kind, path, owner);
        }
        let blocks = header::blocks(&HeaderFields {
            kind,
            path,
            mode: owner.mode & 0o7777,
            uid: u64::from(owner.uid),
            gid: u64::from(owner.gid),
            mtime: self.mtime,
        });
        self.put(&blocks)
    }

    fn pad(&mut self, size: u64) -> Result<(), TarError> {
        self.put(&[0; BLOCK_BYTES][..header::padding(size)])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), TarError> {
        self.diff_sha256.update(bytes);
        self.uncompressed_bytes += bytes.len() as u64;
        self.body.write(bytes).map_err(sink_error)
    }
}

/// Refuses what must not be a path in a layer.
pub(crate) fn check_path(path: &[u8]) -> Result<(), TarError> {
    match path_fault(path) {
        None => Ok(()),
        Some(fault) => Err(TarError::Path {
            path: text(path),
            fault,
        }),
    }
}

/// The first thing that is wrong with a path, if any is.
pub(crate) fn path_fault(path: &[u8]) -> Option<PathFault> {
    if path.len() > PATH_MAX_BYTES {
        return Some(PathFault::Long);
    }
    if path.contains(&0) {
        return Some(PathFault::Nul);
    }
    if path.iter().filter(|&&byte| byte == b'/').count() >= PATH_MAX_DEPTH {
        return Some(PathFault::Deep);
    }
    path.split(|&byte| byte == b'/')
        .find_map(|component| match component {
            b"" => Some(PathFault::Empty),
            b"." | b".." => Some(PathFault::Dots),
            _ if component.starts_with(b".wh.") => Some(PathFault::Whiteout),
            _ => None,
        })
}

fn read_some(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn wrong_length(path: &[u8], expected: u64, found: u64) -> TarError {
    TarError::Contents {
        path: text(path),
        source: gzip::GzipError::Length { expected, found },
    }
}

/// Compressing bytes of our own can fail only at the sink.
fn sink_error(error: gzip::GzipError) -> TarError {
    match error {
        gzip::GzipError::Write(source) => TarError::Write(source),
        other => TarError::Write(io::Error::other(other)),
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests;
