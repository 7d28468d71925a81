//! Reads zip archives: the directory once and strictly, members by position.
//!
//! Format: PKWARE's APPNOTE.TXT 6.3; of it stored and deflated members, zip64 and data
//! descriptors. The directory is what counts, and it must agree with the local headers on names
//! and methods, so that no other reader sees another archive. Refused: encryption, several
//! disks, bytes before or after the archive, names that climb, are absolute, hold backslashes or
//! are there twice, members that overlap, and sizes that deflate cannot reach.
//!
//! Our own and not the `zip` crate's reader: that one is lenient by design, and reads through one
//! cursor, where several threads read one file here.

mod directory;
mod parts;
mod writer;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;

use crate::archive::gzip::{self, DeflateSummary};
use crate::archive::tar::PathFault;
use crate::archive::{UnpackedBound, too_much};
use crate::report::{ErrorClass, Explain, Explanation};
pub(crate) use parts::ZipParts;
pub(crate) use writer::stored;

/// Members that an archive may have; the largest wheels have some 30,000.
pub(crate) const MAX_MEMBERS: u64 = 200_000;

/// Length of an archive's directory in bytes.
pub(crate) const MAX_DIRECTORY_BYTES: u64 = 32 << 20;

/// Deflate gives at most 1032 bytes for one.
const MAX_RATIO: u64 = 1032;

/// What is wrong with an archive as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveFault {
    /// No end record: not a zip archive, cut off, or followed by other bytes.
    NoEnd,
    /// The directory is cut off, or its records contradict one another.
    Directory,
    /// Parts on several disks.
    Disks,
    /// Bytes before the first member or between directory and end.
    Gap,
    /// More members than [`MAX_MEMBERS`].
    Members,
    /// A directory longer than [`MAX_DIRECTORY_BYTES`].
    DirectoryLength,
    /// Contents longer than [`UnpackedBound`] allows.
    ContentsLength {
        /// Allowed length in bytes.
        most_bytes: u64,
    },
}

/// What is wrong with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberFault {
    /// Its name is not UTF-8.
    NotUnicode,
    /// Its name holds a backslash.
    Backslash,
    /// Its name cannot be a path in a layer.
    Path(PathFault),
    /// Its name is there twice.
    Twice,
    Encrypted,
    /// It is compressed in another way than by deflate.
    Method(u16),
    /// Its sizes cannot be true.
    Size,
    /// It overlaps another member or the directory.
    Overlap,
    /// Its local header is missing or says something else than the directory.
    LocalHeader,
    /// Its contents are not what the directory announces.
    Contents,
    /// It is longer than the reader allows.
    TooLong {
        /// Allowed length in bytes.
        max_bytes: u64,
    },
}

/// What can go wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZipError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file is no archive that we take.
    #[error("{}: {fault:?}", path.display())]
    Archive { path: PathBuf, fault: ArchiveFault },
    /// A member is not one that we take.
    #[error("{}: {member}: {fault:?}", path.display())]
    Member {
        path: PathBuf,
        member: String,
        fault: MemberFault,
    },
}

/// How a member is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompressionMethod {
    Stored,
    /// As a raw deflate stream.
    Deflated,
}

/// One member, as the directory has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZipMember {
    /// Path with `/` between components and none at its ends.
    pub name: String,
    /// Whether it is a folder.
    pub directory: bool,
    /// How it is kept.
    pub method: CompressionMethod,
    /// Lengths and checksum of its contents.
    pub deflated: DeflateSummary,
    /// Unix mode with the bits of the file type; `None` if the archive holds none.
    pub mode: Option<u32>,
    /// Where its bytes begin.
    offset: u64,
}

impl ZipMember {
    /// Whether Unix may execute it: a regular file with an execute bit.
    pub(crate) fn is_executable(&self) -> bool {
        self.mode
            .is_some_and(|mode| mode & 0o170_000 == 0o100_000 && mode & 0o111 != 0)
    }
}

/// An open archive; may be shared by threads.
#[derive(Debug)]
pub(crate) struct ZipArchive {
    file: File,
    path: PathBuf,
    members: Vec<ZipMember>,
    has_backslashes: bool,
}

impl ZipArchive {
    /// Opens the file and reads its whole directory.
    ///
    /// # Errors
    /// The file cannot be read, or is none that we take; it unpacks to more than `unpacked` allows.
    pub(crate) fn open(path: &Path, unpacked: UnpackedBound) -> Result<Self, ZipError> {
        Self::open_with(path, unpacked, false)
    }

    /// The same for archives that any program may have packed: where names hold backslashes, as some on
    /// Windows write them, these are read as slashes.
    pub(crate) fn open_of_any_system(
        path: &Path,
        unpacked: UnpackedBound,
    ) -> Result<Self, ZipError> {
        Self::open_with(path, unpacked, true)
    }

    fn open_with(
        path: &Path,
        unpacked: UnpackedBound,
        takes_backslashes: bool,
    ) -> Result<Self, ZipError> {
        let file = File::open(path).map_err(|source| ZipError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::of_file(file, path, (unpacked, takes_backslashes))
    }

    /// The same of a file that is open; messages call it `path`.
    pub(crate) fn of(file: File, path: &Path, unpacked: UnpackedBound) -> Result<Self, ZipError> {
        Self::of_file(file, path, (unpacked, false))
    }

    fn of_file(
        file: File,
        path: &Path,
        (unpacked, takes_backslashes): (UnpackedBound, bool),
    ) -> Result<Self, ZipError> {
        let read_error = |source| ZipError::Read {
            path: path.to_owned(),
            source,
        };
        let length = file.metadata().map_err(read_error)?.len();
        let mut reader = directory::DirectoryReader {
            file: &file,
            path,
            length,
            most_bytes: unpacked.most_bytes(length),
            takes_backslashes,
            has_backslashes: false,
        };
        let members = reader.members()?;
        let has_backslashes = reader.has_backslashes;
        Ok(Self {
            file,
            path: path.to_owned(),
            members,
            has_backslashes,
        })
    }

    /// Whether names held backslashes.
    pub(crate) fn has_backslashes(&self) -> bool {
        self.has_backslashes
    }

    /// Its members, sorted by name.
    pub(crate) fn members(&self) -> &[ZipMember] {
        &self.members
    }

    /// The member of this name.
    pub(crate) fn member(&self, name: &str) -> Option<&ZipMember> {
        let at = self
            .members
            .binary_search_by(|member| member.name.as_str().cmp(name))
            .ok()?;
        self.members.get(at)
    }

    /// The member's bytes as they are kept.
    pub(crate) fn raw(&self, member: &ZipMember) -> FileRange<'_> {
        FileRange {
            file: &self.file,
            at: member.offset,
            left: member.deflated.compressed_size,
        }
    }

    /// The member's contents, as far as its announced length goes; not checked.
    pub(crate) fn contents(&self, member: &ZipMember) -> impl Read {
        let raw = self.raw(member);
        let contents: MemberReader<'_> = match member.method {
            CompressionMethod::Stored => MemberReader::Stored(raw),
            CompressionMethod::Deflated => {
                MemberReader::Deflated(Box::new(DeflateDecoder::new(BufReader::new(raw))))
            }
        };
        contents.take(member.deflated.size)
    }

    /// The member's whole contents, checked, if they are no longer than `max_bytes`.
    pub(crate) fn read(&self, member: &ZipMember, max_bytes: u64) -> Result<Vec<u8>, ZipError> {
        let size = member.deflated.size;
        if size > max_bytes {
            return Err(self.member_error(member, MemberFault::TooLong { max_bytes }));
        }
        let mut all = Vec::new();
        self.contents(member)
            .read_to_end(&mut all)
            .map_err(|source| match source.kind() {
                io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData
                | io::ErrorKind::UnexpectedEof => self.member_error(member, MemberFault::Contents),
                _ => ZipError::Read {
                    path: self.path.clone(),
                    source,
                },
            })?;
        if all.len() as u64 != size || gzip::crc32(&all) != member.deflated.crc32 {
            return Err(self.member_error(member, MemberFault::Contents));
        }
        Ok(all)
    }

    /// The error that says what is wrong with a member of this archive.
    pub(crate) fn member_error(&self, member: &ZipMember, fault: MemberFault) -> ZipError {
        ZipError::Member {
            path: self.path.clone(),
            member: member.name.clone(),
            fault,
        }
    }
}

enum MemberReader<'a> {
    Stored(FileRange<'a>),
    Deflated(Box<DeflateDecoder<BufReader<FileRange<'a>>>>),
}

impl Read for MemberReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stored(raw) => raw.read(buffer),
            Self::Deflated(decoder) => decoder.read(buffer),
        }
    }
}

/// A stretch of the archive's file, read without moving a shared cursor.
#[derive(Debug)]
pub(crate) struct FileRange<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for FileRange<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Explain for ZipError {
    fn explain(&self) -> Explanation {
        let again =
            "download the file again; if it is the same, do not use it, and tell its authors";
        match self {
            Self::Read { path, source } => Explanation {
                class: ErrorClass::World,
                what: "an archive cannot be read".to_owned(),
                place: path.display().to_string(),
                why: source.to_string(),
                next: "check the file and the disk, and build again".to_owned(),
            },
            Self::Archive { path, fault } => Explanation {
                class: ErrorClass::World,
                what: "a zip archive is refused".to_owned(),
                place: path.display().to_string(),
                why: fault_text(*fault),
                next: match fault {
                    ArchiveFault::ContentsLength { .. } => UnpackedBound::HINT.to_owned(),
                    _ => again.to_owned(),
                },
            },
            Self::Member {
                path,
                member,
                fault,
            } => Explanation {
                class: ErrorClass::World,
                what: format!(
                    "a member of a zip archive is refused: {}",
                    member.escape_debug()
                ),
                place: path.display().to_string(),
                why: member_fault_text(*fault),
                next: again.to_owned(),
            },
        }
    }
}

fn fault_text(fault: ArchiveFault) -> String {
    match fault {
        ArchiveFault::NoEnd => "it does not end as a zip archive does".to_owned(),
        ArchiveFault::Directory => "its directory is damaged".to_owned(),
        ArchiveFault::Disks => "it is one part of several".to_owned(),
        ArchiveFault::Gap => "it holds bytes that belong to no member".to_owned(),
        ArchiveFault::Members => format!("it has more than {MAX_MEMBERS} members"),
        ArchiveFault::DirectoryLength => {
            format!("its directory is longer than {MAX_DIRECTORY_BYTES} bytes")
        }
        ArchiveFault::ContentsLength { most_bytes } => format!("it is {}", too_much(most_bytes)),
    }
}

fn member_fault_text(fault: MemberFault) -> String {
    match fault {
        MemberFault::NotUnicode => "its name is not UTF-8".to_owned(),
        MemberFault::Backslash => "its name holds a backslash".to_owned(),
        MemberFault::Path(fault) => {
            format!("its name cannot be a path in an image: {}", fault.text())
        }
        MemberFault::Twice => "its name is there twice".to_owned(),
        MemberFault::Encrypted => "it is encrypted".to_owned(),
        MemberFault::Method(method) => format!("its compression method {method} is not deflate"),
        MemberFault::Size => "its sizes cannot be true".to_owned(),
        MemberFault::Overlap => "it overlaps another part of the archive".to_owned(),
        MemberFault::LocalHeader => "its two headers differ".to_owned(),
        MemberFault::Contents => "its contents are not what the directory announces".to_owned(),
        MemberFault::TooLong { max_bytes } => format!("it is longer than {max_bytes} bytes"),
    }
}

#[cfg(test)]
crate::report::samples! {
    enum ZipError {
        Read { path: "flask.whl".into(), source: crate::report::samples::denied() },
        Archive { path: "flask.whl".into(), fault: ArchiveFault::NoEnd },
        Archive { path: "flask.whl".into(), fault: ArchiveFault::Directory },
        Archive { path: "flask.whl".into(), fault: ArchiveFault::Disks },
        Archive { path: "flask.whl".into(), fault: ArchiveFault::Gap },
        Archive { path: "flask.whl".into(), fault: ArchiveFault::Members },
        Archive { path: "flask.whl".into(), fault: ArchiveFault::DirectoryLength },
        Archive { path: "flask.whl".into(), fault: ArchiveFault::ContentsLength { most_bytes: 5 << 30 } },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::NotUnicode },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::Backslash },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::Path(PathFault::Dots) },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::Twice },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::Encrypted },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::Method(12) },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::Size },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::Overlap },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::LocalHeader },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::Contents },
        Member { path: "flask.whl".into(), member: "flask/app.py".into(), fault: MemberFault::TooLong { max_bytes: 1000 } },
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
