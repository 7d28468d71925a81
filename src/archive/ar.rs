//! Reads the `ar` archives that Debian packages are: members one after the other, as a stream.
//!
//! Takes the plain format with short names only (ar(5), common part; deb(5) asks for no more) and
//! refuses long names, wrong marks and sizes that are no numbers. Writes nothing.

use std::io::{self, Read};

/// First bytes of an archive.
const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Bytes of a member's header.
const HEADER_BYTES: usize = 60;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArError {
    /// The bytes could not be read, or end too early.
    #[error("cannot read the ar archive: {0}")]
    Read(#[from] io::Error),
    /// It does not begin as an archive does.
    #[error("this is no ar archive")]
    NoArchive,
    /// A member's header is wrong.
    #[error("the ar archive has a broken header after member `{after}`")]
    Header {
        /// The member before; empty for the first one.
        after: String,
    },
}

/// Reads an archive; as a `Read` it gives the bytes of the member that [`ArReader::next`] found.
#[derive(Debug)]
pub(crate) struct ArReader<R> {
    input: R,
    left_bytes: u64,
    padded: bool,
    last_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArMember {
    /// Its name, without the slash that some writers put behind it.
    pub name: String,
    /// Its length in bytes.
    pub size_bytes: u64,
}

impl<R: Read> ArReader<R> {
    /// Reads the archive's mark.
    pub(crate) fn new(mut input: R) -> Result<Self, ArError> {
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(ArError::NoArchive);
        }
        Ok(Self {
            input,
            left_bytes: 0,
            padded: false,
            last_name: String::new(),
        })
    }

    /// Passes over the rest of this member, and reads the header of the next one.
    pub(crate) fn next(&mut self) -> Result<Option<ArMember>, ArError> {
        let skip = self.left_bytes + u64::from(self.padded);
        let skipped = io::copy(&mut (&mut self.input).take(skip), &mut io::sink())?;
        // The last member's padding is missing from some archives.
        if skipped < self.left_bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.left_bytes = 0;
        self.padded = false;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        (&mut self.input)
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut header)?;
        if header.is_empty() {
            return Ok(None);
        }
        let member = parse(&header).ok_or_else(|| ArError::Header {
            after: self.last_name.clone(),
        })?;
        self.left_bytes = member.size_bytes;
        self.padded = member.size_bytes % 2 == 1;
        self.last_name.clone_from(&member.name);
        Ok(Some(member))
    }
}

impl<R: Read> Read for ArReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&mut self.input).take(self.left_bytes).read(buffer)?;
        if read == 0 && self.left_bytes > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left_bytes -= read as u64;
        Ok(read)
    }
}

/// Reads a header: name 16 bytes, time 12, owner 6, group 6, mode 8, size 10, mark 2.
fn parse(header: &[u8]) -> Option<ArMember> {
    let name = std::str::from_utf8(header.get(..16)?).ok()?.trim_end();
    let name = name.strip_suffix('/').unwrap_or(name);
    let size = std::str::from_utf8(header.get(48..58)?).ok()?.trim_end();
    let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if !digits || !plain || header.get(58..60)? != b"`\n" {
        return None;
    }
    Some(ArMember {
        name: name.to_owned(),
        size_bytes: size.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An archive of these members.
    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (name, contents) in members {
            let header = format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                100_644,
                contents.len()
            );
            bytes.extend(header.bytes());
            bytes.extend(*contents);
            if contents.len() % 2 == 1 {
                bytes.push(b'\n');
            }
        }
        bytes
    }

    #[test]
    fn reads_members_and_passes_over_what_was_not_read() {
        let bytes = archive(&[
            ("debian-binary", b"2.0\n"),
            ("odd/", b"abc"),
            ("end", b"xy"),
        ]);
        let mut reader = ArReader::new(&bytes[..]).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().name, "debian-binary");
        assert_eq!(reader.next().unwrap().unwrap().name, "odd");
        let mut contents = String::new();
        reader.read_to_string(&mut contents).unwrap();
        assert_eq!(contents, "abc");
        assert_eq!(reader.next().unwrap().unwrap().size_bytes, 2);
        assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn refuses_broken_archives() {
        assert!(matches!(
            ArReader::new(&b"PK\x03\x04abcdef"[..]),
            Err(ArError::NoArchive)
        ));
        assert!(matches!(ArReader::new(&b"!<ar"[..]), Err(ArError::Read(_))));
        let good = archive(&[("a", b"abcd")]);
        let cut = ArReader::new(&good[..good.len() - 2]);
        let mut cut = cut.unwrap();
        cut.next().unwrap();
        assert!(cut.read_to_end(&mut Vec::new()).is_err());
        for at in [8, 56, 66] {
            let mut bad = good.clone();
            bad[at] = b'/';
            let result = ArReader::new(&bad[..]).unwrap().next();
            assert!(
                matches!(result, Err(ArError::Header { .. })),
                "{at}: {result:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in "[0-9 ]{10}") {
            let mut input = archive(&[("a", b"abc")]);
            input.extend(&bytes);
            input[56..66].copy_from_slice(size.as_bytes());
            if let Ok(mut reader) = ArReader::new(&input[..]) {
                for _ in 0..10 {
                    let Ok(Some(_)) = reader.next() else { break };
                }
            }
        }
    }
}
