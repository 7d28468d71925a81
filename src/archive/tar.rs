//! The one writer of layers: a tar in gzip whose bytes depend on nothing but what is put in.
//!
//! Format: ustar with PAX records where needed (POSIX.1-2001 `pax`), in gzip members back to back
//! (RFC 1952, see [`crate::archive::gzip`]). One time for all entries, numeric owners only.
//!
//! It holds its callers to an order (paths strictly increasing as bytes, parents before
//! children) and refuses what must not be in a layer: absolute paths, `..`, NUL bytes, and
//! components that begin with `.wh.`, which would delete files of the layers below, unless that is
//! asked for.

mod header;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::archive::gzip::{self, Members};
use crate::report::{Explain, Explanation, Fate};
use header::{BLOCK_BYTES, Fields, Kind};

pub(crate) use crate::archive::gzip::Deflated;

/// A finished deflate stream shorter than this is compressed anew, together with its neighbours:
/// a gzip member of its own would cost more bytes and more time than it saves.
const COPY_FROM_BYTES: u64 = 2 << 10;

/// Contents that are held in memory to be compressed anew; longer ones are copied.
const RECOMPRESS_UP_TO_BYTES: u64 = 64 << 10;

/// Piece of a file that is read at once.
const READ_BYTES: usize = 64 << 10;

/// Longest path or link target, Linux's own limit.
const PATH_MAX_BYTES: usize = 4096;

/// What all entries of one archive share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Time of every entry, seconds since 1970.
    pub mtime: u64,
    /// Deflate level for what is compressed here, 0 to 9.
    pub level: u32,
}

/// Whose an entry is and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// sha256 of the gzip bytes.
    pub sha256: [u8; 32],
    /// sha256 of the tar bytes.
    pub diff_sha256: [u8; 32],
    /// Length of the gzip bytes.
    pub size_bytes: u64,
    /// Length of the tar bytes.
    pub uncompressed_bytes: u64,
}

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathFault {
    /// It, or one of its components, is empty (`a//b`, `/a`, `a/`).
    Empty,
    /// A component is `.` or `..`.
    Dots,
    /// It holds a NUL byte.
    Nul,
    /// A component begins with `.wh.`, the mark of a deletion in image layers.
    Whiteout,
    /// It is longer than 4096 bytes.
    Long,
}

/// What can go wrong while a layer is written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The path cannot be in a layer.
    #[error("{path}: {fault:?} is refused in a layer")]
    Path {
        /// The path, unprintable bytes replaced.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// The entry does not sort after the one before it.
    #[error("{path} comes after {previous}")]
    Order {
        /// The path that is too late, or there twice.
        path: String,
        /// The one written before it.
        previous: String,
    },
    /// The entry's directory was not written.
    #[error("{path} without its directory")]
    Parent {
        /// The path.
        path: String,
    },
    /// A hard link that does not point to an earlier entry.
    #[error("{path} is a hard link to {target}, which is not before it")]
    Link {
        /// The link.
        path: String,
        /// Its target.
        target: String,
    },
    /// Reading an entry's contents failed.
    #[error("cannot read the contents of {path}")]
    Read {
        /// The entry.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An entry's contents are not what was announced.
    #[error("contents of {path}")]
    Contents {
        /// The entry.
        path: String,
        /// What differs.
        #[source]
        source: gzip::Error,
    },
    /// The sink failed.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
}

/// Writes one layer to `W`.
pub(crate) struct TarGz<W> {
    members: Members<W>,
    diff_sha256: Sha256,
    uncompressed_bytes: u64,
    mtime: u64,
    last: Vec<u8>,
    directories: BTreeSet<Vec<u8>>,
    buffer: Vec<u8>,
}

impl<W: Write> TarGz<W> {
    /// An empty layer that will go to `sink`.
    pub(crate) fn new(sink: W, options: Options) -> Self {
        Self {
            members: Members::new(sink, options.level),
            diff_sha256: Sha256::new(),
            uncompressed_bytes: 0,
            mtime: options.mtime,
            last: Vec::new(),
            directories: BTreeSet::new(),
            buffer: vec![0; READ_BYTES],
        }
    }

    /// A directory; `path` has no slash at either end.
    pub(crate) fn directory(&mut self, path: &[u8], owner: &Owner) -> Result<(), Error> {
        self.accept(path)?;
        self.directories.insert(path.to_vec());
        let with_slash = [path, b"/"].concat();
        self.header(Kind::Directory, &with_slash, owner)
    }

    /// A symbolic link; `target` is kept as it is, and may be absolute or climb.
    pub(crate) fn symlink(
        &mut self,
        path: &[u8],
        target: &[u8],
        owner: &Owner,
    ) -> Result<(), Error> {
        let fault = match target {
            [] => Some(PathFault::Empty),
            _ if target.contains(&0) => Some(PathFault::Nul),
            _ if target.len() > PATH_MAX_BYTES => Some(PathFault::Long),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(Error::Path {
                path: text(target),
                fault,
            });
        }
        self.accept(path)?;
        self.header(Kind::Symlink(target), path, owner)
    }

    /// The mark that `path` of the layers below is gone (OCI image specification, "Whiteouts").
    pub(crate) fn removed(&mut self, path: &[u8]) -> Result<(), Error> {
        check_path(path)?;
        let (folder, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => path.split_at(slash + 1),
            None => (b"".as_slice(), path),
        };
        self.mark(&[folder, b".wh.".as_slice(), name].concat())
    }

    /// The mark that a directory, written before, hides what the layers below have in it.
    pub(crate) fn opaque(&mut self, directory: &[u8]) -> Result<(), Error> {
        check_path(directory)?;
        self.mark(&[directory, b"/.wh..wh..opq".as_slice()].concat())
    }

    fn mark(&mut self, path: &[u8]) -> Result<(), Error> {
        self.accept_in_order(path)?;
        let nobody = Owner {
            uid: 0,
            gid: 0,
            mode: 0,
        };
        self.header(Kind::File(0), path, &nobody)
    }

    /// A hard link to `target`, the path of an earlier file in this archive.
    pub(crate) fn hardlink(
        &mut self,
        path: &[u8],
        target: &[u8],
        owner: &Owner,
    ) -> Result<(), Error> {
        check_path(target)?;
        if target >= path || self.directories.contains(target) {
            return Err(Error::Link {
                path: text(path),
                target: text(target),
            });
        }
        self.accept(path)?;
        self.header(Kind::Hardlink(target), path, owner)
    }

    /// A file of exactly `size` bytes, compressed here.
    pub(crate) fn file(
        &mut self,
        path: &[u8],
        owner: &Owner,
        size: u64,
        contents: &mut impl Read,
    ) -> Result<(), Error> {
        self.accept(path)?;
        self.header(Kind::File(size), path, owner)?;
        let mut done = 0_u64;
        loop {
            let mut buffer = std::mem::take(&mut self.buffer);
            let read = read_some(contents, &mut buffer);
            let outcome = match read {
                Ok(count) if done + count as u64 > size => {
                    Err(wrong_length(path, size, done + count as u64))
                }
                Ok(count) => self.put(&buffer[..count]).map(|()| count),
                Err(source) => Err(Error::Read {
                    path: text(path),
                    source,
                }),
            };
            self.buffer = buffer;
            match outcome? {
                0 => break,
                count => done += count as u64,
            }
        }
        if done != size {
            return Err(wrong_length(path, size, done));
        }
        self.pad(size)
    }

    /// A file whose contents are a finished deflate stream, the next `deflated.compressed_size`
    /// bytes of `stream`. They are copied as they are where that pays, and checked in any case.
    pub(crate) fn deflated_file(
        &mut self,
        path: &[u8],
        owner: &Owner,
        deflated: Deflated,
        stream: &mut impl Read,
    ) -> Result<(), Error> {
        self.accept(path)?;
        self.header(Kind::File(deflated.size), path, owner)?;
        let hash = |piece: &[u8]| self.diff_sha256.update(piece);
        let short =
            deflated.compressed_size < COPY_FROM_BYTES && deflated.size <= RECOMPRESS_UP_TO_BYTES;
        if short {
            self.members.recompress(deflated, stream, hash)
        } else {
            self.members.copy(deflated, stream, hash)
        }
        .map_err(|error| match error {
            gzip::Error::Write(source) => Error::Write(source),
            gzip::Error::Read(source) => Error::Read {
                path: text(path),
                source,
            },
            source => Error::Contents {
                path: text(path),
                source,
            },
        })?;
        self.uncompressed_bytes += deflated.size;
        self.pad(deflated.size)
    }

    /// Ends the archive; gives back the sink and says what went into it.
    pub(crate) fn finish(mut self) -> Result<(W, Written), Error> {
        self.put(&[0; 2 * BLOCK_BYTES])?;
        let (sink, sha256, size_bytes) = self.members.finish().map_err(sink_error)?;
        let written = Written {
            sha256,
            diff_sha256: self.diff_sha256.finalize().into(),
            size_bytes,
            uncompressed_bytes: self.uncompressed_bytes,
        };
        Ok((sink, written))
    }

    /// Holds a new path against the rules of layers and against what came before.
    fn accept(&mut self, path: &[u8]) -> Result<(), Error> {
        check_path(path)?;
        self.accept_in_order(path)
    }

    fn accept_in_order(&mut self, path: &[u8]) -> Result<(), Error> {
        if path <= self.last.as_slice() {
            return Err(Error::Order {
                path: text(path),
                previous: text(&self.last),
            });
        }
        if let Some(slash) = path.iter().rposition(|&byte| byte == b'/')
            && !self.directories.contains(&path[..slash])
        {
            return Err(Error::Parent { path: text(path) });
        }
        self.last.clear();
        self.last.extend_from_slice(path);
        Ok(())
    }

    fn header(&mut self, kind: Kind<'_>, path: &[u8], owner: &Owner) -> Result<(), Error> {
        let blocks = header::blocks(&Fields {
            kind,
            path,
            mode: owner.mode & 0o7777,
            uid: u64::from(owner.uid),
            gid: u64::from(owner.gid),
            mtime: self.mtime,
        });
        self.put(&blocks)
    }

    fn pad(&mut self, size: u64) -> Result<(), Error> {
        self.put(&[0; BLOCK_BYTES][..header::padding(size)])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.diff_sha256.update(bytes);
        self.uncompressed_bytes += bytes.len() as u64;
        self.members.write(bytes).map_err(sink_error)
    }
}

/// Refuses what must not be a path in a layer.
pub(crate) fn check_path(path: &[u8]) -> Result<(), Error> {
    match path_fault(path) {
        None => Ok(()),
        Some(fault) => Err(Error::Path {
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

fn wrong_length(path: &[u8], expected: u64, found: u64) -> Error {
    Error::Contents {
        path: text(path),
        source: gzip::Error::Length { expected, found },
    }
}

/// Compressing bytes of our own can fail only at the sink.
fn sink_error(error: gzip::Error) -> Error {
    match error {
        gzip::Error::Write(source) => Error::Write(source),
        other => Error::Write(io::Error::other(other)),
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        let (fate, what, place, why, next) = match self {
            Self::Path { path, fault } => (
                Fate::Project,
                format!("{} cannot be in an image layer", path.escape_debug()),
                path.clone(),
                match fault {
                    PathFault::Empty => "a part of its path is empty",
                    PathFault::Dots => "a part of its path is `.` or `..`",
                    PathFault::Nul => "its path holds a NUL byte",
                    PathFault::Whiteout => {
                        "a name that begins with `.wh.` deletes files of the layers below"
                    }
                    PathFault::Long => "its path is longer than 4096 bytes",
                }
                .to_owned(),
                "rename it or leave it out".to_owned(),
            ),
            Self::Order { path, previous } => (
                Fate::Ours,
                "a layer's entries are out of order".to_owned(),
                path.clone(),
                format!("it was written after {previous}"),
                "please report this".to_owned(),
            ),
            Self::Parent { path } => (
                Fate::Ours,
                "a layer's entry has no directory".to_owned(),
                path.clone(),
                "its directory was not written before it".to_owned(),
                "please report this".to_owned(),
            ),
            Self::Link { path, target } => (
                Fate::Ours,
                "a hard link has no target in its layer".to_owned(),
                path.clone(),
                format!("{target} was not written before it"),
                "please report this".to_owned(),
            ),
            Self::Read { path, source } => (
                Fate::World,
                "a file's contents cannot be read".to_owned(),
                path.clone(),
                source.to_string(),
                "look at the file and the disk, then build again".to_owned(),
            ),
            Self::Contents { path, source } => (
                Fate::World,
                "a file's contents are not as announced".to_owned(),
                path.clone(),
                source.to_string(),
                "the file changed while it was read, or its archive is damaged; build again"
                    .to_owned(),
            ),
            Self::Write(source) => (
                Fate::World,
                "a layer cannot be written".to_owned(),
                String::new(),
                source.to_string(),
                "make room on the disk, then build again".to_owned(),
            ),
        };
        Explanation {
            fate,
            what,
            place,
            why,
            next,
        }
    }
}

#[cfg(test)]
mod tests;
