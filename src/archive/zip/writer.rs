//! Writes small archives whose members are kept as they are.

use crate::archive::gzip::crc32;

/// MS-DOS for 1980-01-01, the earliest day there is.
const DAY: u16 = 0x21;
/// Version 2.0 of the format is needed to read it.
const VERSION: u16 = 20;

/// An archive with these members, in this order; `None` if it would not fit a plain zip (4 GiB, 65,535 members).
pub(crate) fn stored(members: &[(String, &[u8])]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, contents) in members {
        let offset = u32::try_from(out.len()).ok()?;
        let size = u32::try_from(contents.len()).ok()?;
        let mut header = Vec::new();
        // Flags: the name is UTF-8. Method: stored. Time: midnight.
        for number in [VERSION, 1 << 11, 0, 0, DAY] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        for number in [crc32(contents), size, size] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&u16::try_from(name.len()).ok()?.to_le_bytes());
        header.extend_from_slice(&[0; 2]);
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&header);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(contents);
        directory.extend_from_slice(b"PK\x01\x02");
        directory.extend_from_slice(&VERSION.to_le_bytes());
        directory.extend_from_slice(&header);
        // No comment, the first disk, no attributes.
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let offset = u32::try_from(out.len()).ok()?;
    let size = u32::try_from(directory.len()).ok()?;
    let count = u16::try_from(members.len()).ok()?.to_le_bytes();
    out.append(&mut directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    for number in [count, count] {
        out.extend_from_slice(&number);
    }
    for number in [size, offset] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&[0; 2]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::archive::UnpackedBound;
    use crate::archive::zip::ZipArchive;

    #[test]
    fn the_strict_reader_reads_it() {
        let members = [
            ("a/b".to_owned(), &b"contents"[..]),
            ("c".to_owned(), &b""[..]),
        ];
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&stored(&members).unwrap()).unwrap();
        let archive = ZipArchive::open(file.path(), UnpackedBound::default()).unwrap();
        let names: Vec<&str> = (archive.members().iter())
            .map(|member| member.name.as_str())
            .collect();
        assert_eq!(names, ["a/b", "c"]);
        let member = archive.member("a/b").unwrap();
        assert_eq!(archive.read(member, 100).unwrap(), b"contents");
    }
}
