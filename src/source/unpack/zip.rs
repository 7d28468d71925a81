//! Unpacks a zip archive: the strict reader of [`crate::archive::zip`], and each member's checksum.

use std::io::{self, Read};
use std::path::Path;

use flate2::Crc;

use super::error::MAX_PATH_BYTES;
use super::error::{ArchiveEntryFault, ArchiveSourceError};
use super::sink::{NewFile, UnpackSink};
use crate::archive::zip::{MemberFault, ZipArchive, ZipError, ZipMember};

/// The bits of a mode that tell a file's type, and what they say.
const TYPE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

/// Gives all members to the sink. `shown` is what messages call the file at `path`.
pub(super) fn unpack(
    path: &Path,
    shown: &str,
    sink: &mut UnpackSink<'_>,
) -> Result<(), ArchiveSourceError> {
    let named = |error| ArchiveSourceError::Zip(named(error, shown));
    let size_bytes = path.metadata().map_or(u64::MAX, |found| found.len());
    let archive = ZipArchive::open_of_any_system(path, sink.unpacked).map_err(named)?;
    sink.has_backslashes = archive.has_backslashes();
    for member in archive.members() {
        let name = member.name.as_bytes();
        if sink.leaves_out(name) {
            continue;
        }
        let kind = member.mode.map_or(0, |mode| mode & TYPE);
        if member.directory {
            sink.folder(name)?;
        } else if kind == LINK {
            let target = archive.read(member, MAX_PATH_BYTES as u64 + 1);
            sink.link(name, &target.map_err(named)?)?;
        } else if matches!(kind, 0 | REGULAR) {
            let mut contents = CheckedReader {
                from: archive.contents(member),
                crc: Crc::new(),
            };
            let read = &|| size_bytes;
            let file = NewFile {
                entry: name,
                is_executable: member.is_executable(),
                size_bytes: member.deflated.size,
            };
            sink.file(&file, &mut contents, read)
                .map_err(|error| of_contents(error, &archive, member, shown))?;
            if contents.crc.sum() != member.deflated.crc32 {
                return Err(named(archive.member_error(member, MemberFault::Contents)));
            }
        } else if kind == FOLDER {
            return Err(sink.refuse(name, ArchiveEntryFault::Kind));
        } else {
            sink.special(name)?;
        }
    }
    Ok(())
}

/// Contents that do not inflate, or end early, are the archive's fault.
fn of_contents(
    error: ArchiveSourceError,
    archive: &ZipArchive,
    member: &ZipMember,
    shown: &str,
) -> ArchiveSourceError {
    match error {
        ArchiveSourceError::Cut { .. } | ArchiveSourceError::Read { .. } => {
            let error = archive.member_error(member, MemberFault::Contents);
            ArchiveSourceError::Zip(named(error, shown))
        }
        other => other,
    }
}

/// The error about what the user typed.
fn named(mut error: ZipError, shown: &str) -> ZipError {
    match &mut error {
        ZipError::Read { path, .. }
        | ZipError::Archive { path, .. }
        | ZipError::Member { path, .. } => {
            *path = shown.into();
        }
    }
    error
}

struct CheckedReader<R> {
    from: R,
    crc: Crc,
}

impl<R: Read> Read for CheckedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.crc.update(&buffer[..count]);
        Ok(count)
    }
}
