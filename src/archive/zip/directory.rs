//! The directory of a zip archive: end records, central headers, local headers.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{
    ArchiveFault, CompressionMethod, MAX_DIRECTORY_BYTES, MAX_MEMBERS, MAX_RATIO, MemberFault,
    ZipError, ZipMember,
};
use crate::archive::gzip::DeflateSummary;
use crate::archive::tar::path_fault;

const END_BYTES: usize = 22;
const MAX_COMMENT_BYTES: usize = 0xffff;
const LOCATOR_BYTES: usize = 20;
const END64_BYTES: usize = 56;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
const ZIP64_EXTRA: u16 = 1;
/// Encrypted, strongly encrypted, or with masked headers.
const ENCRYPTED_FLAGS: u16 = 1 | 1 << 6 | 1 << 13;

/// Where the directory lies.
struct DirectoryEnd {
    members: u64,
    offset: u64,
    size: u64,
}

/// A central header with the name it is for.
struct CentralHeader {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    deflated: DeflateSummary,
    mode: u32,
    local_offset: u64,
}

/// Reads the directory of one file.
pub(super) struct DirectoryReader<'a> {
    pub(super) file: &'a File,
    pub(super) path: &'a Path,
    pub(super) length: u64,
    /// What its contents may add up to.
    pub(super) most_bytes: u64,
    /// Whether backslashes in names are read as slashes; else they are refused.
    pub(super) takes_backslashes: bool,
    /// Whether there were any.
    pub(super) has_backslashes: bool,
}

impl DirectoryReader<'_> {
    /// All members, sorted by name, each checked.
    pub(super) fn members(&mut self) -> Result<Vec<ZipMember>, ZipError> {
        let end = self.end()?;
        if end.members > MAX_MEMBERS {
            return Err(self.fault(ArchiveFault::Members));
        }
        if end.size > MAX_DIRECTORY_BYTES {
            return Err(self.fault(ArchiveFault::DirectoryLength));
        }
        let bytes = self.bytes(end.offset, end.size)?;
        let mut fields = FieldReader(&bytes);
        let mut spans = Vec::new();
        let mut members = Vec::new();
        let mut contents_bytes = 0_u64;
        for _ in 0..end.members {
            let central =
                central(&mut fields).ok_or_else(|| self.fault(ArchiveFault::Directory))?;
            let member = self.member(&central)?;
            contents_bytes = contents_bytes.saturating_add(member.deflated.size);
            if contents_bytes > self.most_bytes {
                return Err(self.fault(ArchiveFault::ContentsLength {
                    most_bytes: self.most_bytes,
                }));
            }
            let stop = member
                .offset
                .saturating_add(member.deflated.compressed_size);
            spans.push((central.local_offset, stop, members.len()));
            members.push(member);
        }
        if !fields.0.is_empty() {
            return Err(self.fault(ArchiveFault::Directory));
        }
        self.check_spans(spans, &members, end.offset)?;
        members.sort_by(|one, other| one.name.cmp(&other.name));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(self.member_fault(&pair[0].name, MemberFault::Twice));
        }
        Ok(members)
    }

    /// No two members share a byte, none reaches into the directory, none begins late.
    fn check_spans(
        &self,
        mut spans: Vec<(u64, u64, usize)>,
        members: &[ZipMember],
        directory_offset: u64,
    ) -> Result<(), ZipError> {
        spans.sort_unstable();
        if spans.first().map_or(directory_offset, |first| first.0) != 0 {
            return Err(self.fault(ArchiveFault::Gap));
        }
        let mut free = 0;
        for (start, stop, index) in spans {
            if start < free || stop > directory_offset {
                return Err(self.member_fault(&members[index].name, MemberFault::Overlap));
            }
            free = stop;
        }
        Ok(())
    }

    /// Finds the end record, which reaches exactly to the end of the file.
    fn end(&self) -> Result<DirectoryEnd, ZipError> {
        let tail_length = self.length.min((END_BYTES + MAX_COMMENT_BYTES) as u64);
        let tail_offset = self.length - tail_length;
        let tail = self.bytes(tail_offset, tail_length)?;
        let at = (0..=tail.len().saturating_sub(END_BYTES))
            .rev()
            .find(|&at| {
                let comment = FieldReader(tail.get(at + 20..).unwrap_or_default()).u16();
                tail[at..].starts_with(b"PK\x05\x06")
                    && comment.is_some_and(|it| at + END_BYTES + usize::from(it) == tail.len())
            })
            .ok_or_else(|| self.fault(ArchiveFault::NoEnd))?;
        let at_in_file = tail_offset + at as u64;
        let mut fields = FieldReader(&tail[at + 4..]);
        let broken = || self.fault(ArchiveFault::Directory);
        let disks = fields.take(4).ok_or_else(broken)?;
        let here = fields.u16().ok_or_else(broken)?;
        let members = fields.u16().ok_or_else(broken)?;
        let size = fields.u32().ok_or_else(broken)?;
        let offset = fields.u32().ok_or_else(broken)?;
        if (members == u16::MAX || size == u32::MAX || offset == u32::MAX)
            && let Some(end) = self.end64(at_in_file)?
        {
            return Ok(end);
        }
        if disks != [0; 4] || here != members {
            return Err(self.fault(ArchiveFault::Disks));
        }
        let end = DirectoryEnd {
            members: members.into(),
            offset: offset.into(),
            size: size.into(),
        };
        if end.offset + end.size != at_in_file {
            return Err(self.fault(ArchiveFault::Gap));
        }
        Ok(end)
    }

    /// The zip64 end record, if there is one before the end record at `end_offset`.
    fn end64(&self, end_offset: u64) -> Result<Option<DirectoryEnd>, ZipError> {
        let Some(locator_offset) = end_offset.checked_sub(LOCATOR_BYTES as u64) else {
            return Ok(None);
        };
        let locator = self.bytes(locator_offset, LOCATOR_BYTES as u64)?;
        let mut fields = FieldReader(&locator);
        if fields.take(4) != Some(b"PK\x06\x07") {
            return Ok(None);
        }
        let broken = || self.fault(ArchiveFault::Directory);
        let disk = fields.u32().ok_or_else(broken)?;
        let record_offset = fields.u64().ok_or_else(broken)?;
        let disks = fields.u32().ok_or_else(broken)?;
        let record = self.bytes(record_offset, END64_BYTES as u64)?;
        let mut fields = FieldReader(&record);
        if fields.take(4) != Some(b"PK\x06\x06") {
            return Err(broken());
        }
        let rest = fields.u64().ok_or_else(broken)?;
        fields.take(4).ok_or_else(broken)?;
        let own_disks = fields.take(8).ok_or_else(broken)?;
        let here = fields.u64().ok_or_else(broken)?;
        let members = fields.u64().ok_or_else(broken)?;
        let size = fields.u64().ok_or_else(broken)?;
        let offset = fields.u64().ok_or_else(broken)?;
        if disk != 0 || disks != 1 || own_disks != [0; 8] || here != members {
            return Err(self.fault(ArchiveFault::Disks));
        }
        let record_end = record_offset
            .checked_add(12)
            .and_then(|it| it.checked_add(rest));
        if offset.checked_add(size) != Some(record_offset) || record_end != Some(locator_offset) {
            return Err(self.fault(ArchiveFault::Gap));
        }
        Ok(Some(DirectoryEnd {
            members,
            offset,
            size,
        }))
    }

    /// What a central header says, held against the rules and the local header.
    fn member(&mut self, central: &CentralHeader) -> Result<ZipMember, ZipError> {
        let shown = String::from_utf8_lossy(&central.name);
        let path = self.path;
        let fault = |fault| ZipError::Member {
            path: path.to_owned(),
            member: shown.clone().into_owned(),
            fault,
        };
        let mut name = std::str::from_utf8(&central.name)
            .map_err(|_| fault(MemberFault::NotUnicode))?
            .to_owned();
        if self.takes_backslashes && name.contains('\\') {
            self.has_backslashes = true;
            name = name.replace('\\', "/");
        }
        let (name, directory) = name
            .strip_suffix('/')
            .map_or((name.as_str(), false), |without| (without, true));
        if name.contains('\\') {
            return Err(fault(MemberFault::Backslash));
        }
        if let Some(found) = path_fault(name.as_bytes()) {
            return Err(fault(MemberFault::Path(found)));
        }
        if central.flags & ENCRYPTED_FLAGS != 0 {
            return Err(fault(MemberFault::Encrypted));
        }
        let deflated = central.deflated;
        let (method, size_is_possible) = match central.method {
            0 => (
                CompressionMethod::Stored,
                deflated.size == deflated.compressed_size,
            ),
            8 => {
                let most = deflated.compressed_size.saturating_mul(MAX_RATIO);
                (CompressionMethod::Deflated, deflated.size <= most)
            }
            other => return Err(fault(MemberFault::Method(other))),
        };
        if !size_is_possible || directory && deflated.size != 0 {
            return Err(fault(MemberFault::Size));
        }
        let offset = self
            .data_offset(central)
            .map_err(|error| error.unwrap_or_else(|| fault(MemberFault::LocalHeader)))?;
        Ok(ZipMember {
            name: name.to_owned(),
            directory,
            method,
            deflated,
            mode: Some(central.mode).filter(|&mode| mode != 0),
            offset,
        })
    }

    /// Where a member's bytes begin; `Err(None)` if its local header is not as it should be.
    fn data_offset(&self, central: &CentralHeader) -> Result<u64, Option<ZipError>> {
        let named = LOCAL_BYTES + central.name.len();
        let bytes =
            self.bytes(central.local_offset, named as u64)
                .map_err(|error| match error {
                    ZipError::Read { .. } => Some(error),
                    _ => None,
                })?;
        let mut fields = FieldReader(&bytes);
        let signature = fields.take(4).ok_or(None)?;
        fields.take(4).ok_or(None)?;
        let method = fields.u16().ok_or(None)?;
        fields.take(16).ok_or(None)?;
        let name_length = fields.u16().ok_or(None)?;
        let extra_length = fields.u16().ok_or(None)?;
        let agrees = signature == b"PK\x03\x04"
            && method == central.method
            && usize::from(name_length) == central.name.len()
            && fields.0 == central.name;
        if !agrees {
            return Err(None);
        }
        central
            .local_offset
            .checked_add(named as u64 + u64::from(extra_length))
            .ok_or(None)
    }

    /// A stretch of the file, which must lie within it.
    fn bytes(&self, offset: u64, length: u64) -> Result<Vec<u8>, ZipError> {
        let fits = offset
            .checked_add(length)
            .is_some_and(|stop| stop <= self.length);
        let length = usize::try_from(length).ok().filter(|_| fits);
        let mut bytes = vec![0; length.ok_or_else(|| self.fault(ArchiveFault::Directory))?];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|source: io::Error| ZipError::Read {
                path: self.path.to_owned(),
                source,
            })?;
        Ok(bytes)
    }

    fn fault(&self, fault: ArchiveFault) -> ZipError {
        ZipError::Archive {
            path: self.path.to_owned(),
            fault,
        }
    }

    fn member_fault(&self, member: &str, fault: MemberFault) -> ZipError {
        ZipError::Member {
            path: self.path.to_owned(),
            member: member.to_owned(),
            fault,
        }
    }
}

/// The next central header; `None` if it is cut off or its zip64 numbers are missing.
fn central(fields: &mut FieldReader<'_>) -> Option<CentralHeader> {
    let mut fixed = FieldReader(fields.take(CENTRAL_BYTES)?);
    if fixed.take(4)? != b"PK\x01\x02" {
        return None;
    }
    fixed.take(4)?;
    let flags = fixed.u16()?;
    let method = fixed.u16()?;
    fixed.take(4)?;
    let crc32 = fixed.u32()?;
    let (compressed_size, size) = (fixed.u32()?, fixed.u32()?);
    let (name, extra, comment) = (fixed.u16()?, fixed.u16()?, fixed.u16()?);
    let disk = fixed.u16()?;
    fixed.take(2)?;
    let mode = fixed.u32()? >> 16;
    let local_offset = fixed.u32()?;
    let name = fields.take(name.into())?.to_vec();
    let mut wide = zip64_extra(fields.take(extra.into())?);
    fields.take(comment.into())?;
    // The order in the extra field is that of the specification, and only what does not fit is there.
    let size = wide.widen(size)?;
    let compressed_size = wide.widen(compressed_size)?;
    let local_offset = wide.widen(local_offset)?;
    if disk != 0 {
        return None;
    }
    let deflated = DeflateSummary {
        size,
        compressed_size,
        crc32,
    };
    Some(CentralHeader {
        name,
        flags,
        method,
        deflated,
        mode,
        local_offset,
    })
}

/// The fields of the zip64 extra record, empty if there is none.
fn zip64_extra(extra: &[u8]) -> FieldReader<'_> {
    let mut fields = FieldReader(extra);
    while let (Some(id), Some(length)) = (fields.u16(), fields.u16()) {
        match fields.take(length.into()) {
            Some(record) if id == ZIP64_EXTRA => return FieldReader(record),
            Some(_) => {}
            None => break,
        }
    }
    FieldReader(&[])
}

/// Little-endian numbers, one after another; `None` at the end.
struct FieldReader<'a>(&'a [u8]);

impl<'a> FieldReader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// The number itself, or the next one here if it is the mark for "see zip64".
    fn widen(&mut self, number: u32) -> Option<u64> {
        if number == u32::MAX {
            self.u64()
        } else {
            Some(number.into())
        }
    }
}
