//! A member of an archive that is read by places, although it can only be inflated from its beginning.

use std::io::{self, Read};

use super::{MemberFault, ZipArchive, ZipError, ZipMember};

/// How much of the beginning is kept, and at least how much of what was read last, in bytes: the longest part.
const KEPT_BYTES: usize = 256 << 10;
/// Piece that is inflated at once.
const PIECE_BYTES: u64 = 64 << 10;

/// Gives parts of a member. One that lies behind the last costs what lies between them; one before it, all that lies
/// before. What it gives is not checked against the member's sum.
pub(crate) struct ZipParts<'a> {
    archive: &'a ZipArchive,
    member: &'a ZipMember,
    contents: Box<dyn Read + 'a>,
    head: Vec<u8>,
    /// What was read last, and where it begins.
    last: Vec<u8>,
    last_offset: u64,
}

impl<'a> ZipParts<'a> {
    pub(crate) fn new(archive: &'a ZipArchive, member: &'a ZipMember) -> Self {
        Self {
            archive,
            member,
            contents: Box::new(archive.contents(member)),
            head: Vec::new(),
            last: Vec::new(),
            last_offset: 0,
        }
    }

    /// The bytes from `offset` on, as many as asked for or fewer where the member ends; 256 KiB at most.
    ///
    /// # Errors
    /// The archive cannot be read, or the member not inflated.
    pub(crate) fn at(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, ZipError> {
        let size = self.member.deflated.size;
        let length = length.min(KEPT_BYTES) as u64;
        let end = offset.saturating_add(length).min(size);
        if offset >= end {
            return Ok(Vec::new());
        }
        if let Some(part) = part_of(&self.head, 0, offset, end) {
            return Ok(part);
        }
        if offset < self.last_offset {
            self.contents = Box::new(self.archive.contents(self.member));
            self.last.clear();
            self.last_offset = 0;
        }
        while self.position() < end {
            self.read_on()?;
        }
        Ok(part_of(&self.last, self.last_offset, offset, end).unwrap_or_default())
    }

    /// How far the member has been inflated.
    fn position(&self) -> u64 {
        self.last_offset + self.last.len() as u64
    }

    /// Inflates the next piece.
    fn read_on(&mut self) -> Result<(), ZipError> {
        // Seldom, because what is kept has to be moved.
        if self.last.len() >= 4 * KEPT_BYTES {
            let gone = self.last.len() - KEPT_BYTES;
            self.last.drain(..gone);
            self.last_offset += gone as u64;
        }
        let (start, known) = (self.position(), self.last.len());
        let read = (&mut self.contents)
            .take(PIECE_BYTES)
            .read_to_end(&mut self.last)
            .map_err(|source| self.error(source))?;
        if read == 0 {
            return Err(self
                .archive
                .member_error(self.member, MemberFault::Contents));
        }
        if start == self.head.len() as u64 && self.head.len() < KEPT_BYTES {
            self.head
                .extend_from_slice(self.last.get(known..).unwrap_or_default());
        }
        Ok(())
    }

    fn error(&self, source: io::Error) -> ZipError {
        match source.kind() {
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof => self
                .archive
                .member_error(self.member, MemberFault::Contents),
            _ => ZipError::Read {
                path: self.archive.path.clone(),
                source,
            },
        }
    }
}

/// The bytes between two offsets, of a piece that begins at one; none if it has not all of them.
fn part_of(piece: &[u8], piece_offset: u64, offset: u64, end: u64) -> Option<Vec<u8>> {
    let from = usize::try_from(offset.checked_sub(piece_offset)?).ok()?;
    let to = usize::try_from(end.checked_sub(piece_offset)?).ok()?;
    piece.get(from..to).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::archive::UnpackedBound;
    use crate::archive::zip::testing::{Spec, zip};

    #[test]
    fn parts_are_those_of_the_member_in_whatever_order_they_are_asked_for() {
        let length = 3 << 20;
        let contents: Vec<u8> = (0..length)
            .map(|at: u32| at.wrapping_mul(2_654_435_761).to_le_bytes()[3])
            .collect();
        for spec in [
            Spec::new("a", &contents),
            Spec::new("a", &contents).stored(),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&zip(&[spec])).unwrap();
            let archive = ZipArchive::open(file.path(), UnpackedBound::default()).unwrap();
            let mut parts = ZipParts::new(&archive, &archive.members()[0]);
            for (offset, asked) in [
                (0, 64),
                (2_900_000, 4096),
                (2_900_100, 8),
                (70_000, 4096),
                (1_500_000, 256 << 10),
                (1_400_000, 1),
                (3_145_720, 4096),
                (3_145_728, 1),
                (u64::MAX, 1),
            ] {
                let from = usize::try_from(offset).unwrap().min(contents.len());
                let to = from.saturating_add(asked).min(contents.len());
                let found = parts.at(offset, asked).unwrap();
                assert!(found == contents[from..to], "{offset} {asked}");
            }
        }
    }

    #[test]
    fn a_member_that_cannot_be_inflated_is_an_error() {
        let mut bytes = zip(&[Spec::new("a", &vec![7; 100_000])]);
        bytes[40..60].fill(0xff);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let archive = ZipArchive::open(file.path(), UnpackedBound::default()).unwrap();
        let mut parts = ZipParts::new(&archive, &archive.members()[0]);
        assert!(parts.at(90_000, 10).is_err());
    }
}
