//! Writes gzip (RFC 1952) as a row of members, back to back.
//!
//! A gzip file may hold many members and stands for the sum of their contents. That lets deflate
//! streams (RFC 1951) that already exist, such as a zip archive's members, be copied as they are,
//! each as a member of its own, between members that are compressed here. Readers of layers all
//! follow this: docker, podman, skopeo, umoci, Go, GNU tar, Python.
//!
//! Headers carry no time, no name and no operating system, so the bytes depend on the input alone.

use std::io::{Read, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::inflate::Inflater;
pub(crate) use super::inflate::{DeflateSummary, GzipError};
use super::sink::{HashingWriter, OUTPUT_BYTES};

/// Magic, deflate, no flags, no time, no extra flags, unknown operating system.
const MEMBER_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Checksum and length, at the end of a member.
const TRAILER_BYTES: u64 = 8;

/// Where a member is among those of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberPlace {
    pub offset: u64,
    pub length: u64,
}

impl MemberPlace {
    /// Where its deflate stream begins: headers are written without optional fields.
    pub(crate) fn stream_offset(&self) -> u64 {
        self.offset + MEMBER_HEADER.len() as u64
    }

    /// Where its checksum is; `None` if it is too short for a member.
    pub(crate) fn trailer_offset(&self) -> Option<u64> {
        Some(self.stream_offset() + self.stream_bytes()?)
    }

    /// Length of its deflate stream; `None` if it is too short for a member.
    pub(crate) fn stream_bytes(&self) -> Option<u64> {
        let around = MEMBER_HEADER.len() as u64 + TRAILER_BYTES;
        self.length.checked_sub(around)
    }
}

/// Writes members; owns the sink until [`MemberWriter::finish`].
pub(crate) struct MemberWriter<W> {
    out: DeflateOutput<W>,
    inflater: Inflater,
}

/// The half of it that compresses.
struct DeflateOutput<W> {
    sink: HashingWriter<W>,
    deflate: Compress,
    /// Checksum and length of the member that is open, if one is.
    open: Option<Crc>,
}

impl<W: Write> MemberWriter<W> {
    /// Starts with no member; `level` is zlib's, 0 to 9.
    pub(crate) fn new(sink: W, level: u32) -> Self {
        Self {
            out: DeflateOutput {
                sink: HashingWriter::new(sink),
                deflate: Compress::new(Compression::new(level.min(9)), false),
                open: None,
            },
            inflater: Inflater::new(),
        }
    }

    /// Compresses `bytes` into the open member, which is begun if there is none.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), GzipError> {
        self.out.write(bytes)
    }

    /// Ends the open member: what is written next begins one, at the offset that is given back.
    pub(crate) fn cut(&mut self) -> Result<u64, GzipError> {
        self.out.close()?;
        Ok(self.out.sink.offset())
    }

    /// Appends bytes that are a finished member.
    pub(crate) fn member(&mut self, bytes: &[u8]) -> Result<(), GzipError> {
        self.out.close()?;
        self.out.sink.put(bytes).map_err(GzipError::Write)
    }

    /// Copies the next `deflated.compressed_size` bytes of `from` as a member of their own.
    /// `contents` is given the inflated bytes, piece by piece.
    pub(crate) fn copy(
        &mut self,
        deflated: DeflateSummary,
        from: &mut impl Read,
        mut contents: impl FnMut(&[u8]),
    ) -> Result<(), GzipError> {
        self.member(&MEMBER_HEADER)?;
        let sink = &mut self.out.sink;
        let crc = self.inflater.run(
            deflated,
            from,
            |raw| sink.put(raw).map_err(GzipError::Write),
            |piece| {
                contents(piece);
                Ok(())
            },
        )?;
        self.out.trailer(&crc)
    }

    /// Inflates the next `deflated.compressed_size` bytes of `from` and compresses them anew
    /// into the open member: for streams so short that a member of their own costs more.
    pub(crate) fn recompress(
        &mut self,
        deflated: DeflateSummary,
        from: &mut impl Read,
        mut contents: impl FnMut(&[u8]),
    ) -> Result<(), GzipError> {
        let out = &mut self.out;
        self.inflater.run(
            deflated,
            from,
            |_| Ok(()),
            |piece| {
                contents(piece);
                out.write(piece)
            },
        )?;
        Ok(())
    }

    /// Inflates the next `deflated.compressed_size` bytes of `from` and compresses them anew into
    /// members of `chunk_bytes` bytes of contents each. `contents` is given the offset of the member
    /// that a piece goes to, and the piece.
    pub(crate) fn rechunk(
        &mut self,
        deflated: DeflateSummary,
        from: &mut impl Read,
        chunk_bytes: usize,
        mut contents: impl FnMut(u64, &[u8]),
    ) -> Result<(), GzipError> {
        let out = &mut self.out;
        let (mut offset, mut room) = (0, 0);
        self.inflater.run(
            deflated,
            from,
            |_| Ok(()),
            |mut piece| {
                while !piece.is_empty() {
                    if room == 0 {
                        out.close()?;
                        (offset, room) = (out.sink.offset(), chunk_bytes);
                    }
                    let (now, later) = piece.split_at(piece.len().min(room));
                    contents(offset, now);
                    out.write(now)?;
                    room -= now.len();
                    piece = later;
                }
                Ok(())
            },
        )?;
        Ok(())
    }

    /// Ends the open member and gives back the sink, with the digest and length of all members.
    pub(crate) fn finish(mut self) -> Result<(W, [u8; 32], u64), GzipError> {
        self.out.close()?;
        self.out.sink.finish().map_err(GzipError::Write)
    }
}

impl<W: Write> DeflateOutput<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), GzipError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let crc = match &mut self.open {
            Some(crc) => crc,
            closed @ None => {
                self.sink.put(&MEMBER_HEADER).map_err(GzipError::Write)?;
                self.deflate.reset();
                closed.insert(Crc::new())
            }
        };
        crc.update(bytes);
        self.compress(bytes, FlushCompress::None)
    }

    fn close(&mut self) -> Result<(), GzipError> {
        if let Some(crc) = self.open.take() {
            self.compress(&[], FlushCompress::Finish)?;
            self.trailer(&crc)?;
        }
        Ok(())
    }

    fn compress(&mut self, mut bytes: &[u8], flush: FlushCompress) -> Result<(), GzipError> {
        loop {
            self.sink.pending.reserve(OUTPUT_BYTES / 2);
            let before = self.deflate.total_in();
            let status = self
                .deflate
                .compress_vec(bytes, &mut self.sink.pending, flush)
                .map_err(|source| GzipError::Write(source.into()))?;
            let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or(bytes.len());
            bytes = &bytes[taken..];
            self.sink.settle().map_err(GzipError::Write)?;
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => bytes.is_empty(),
            };
            if done {
                return Ok(());
            }
        }
    }

    /// CRC-32 and length modulo 2^32, as RFC 1952 ends a member.
    fn trailer(&mut self, crc: &Crc) -> Result<(), GzipError> {
        let mut end = [0; 8];
        end[..4].copy_from_slice(&crc.sum().to_le_bytes());
        end[4..].copy_from_slice(&crc.amount().to_le_bytes());
        self.sink.put(&end).map_err(GzipError::Write)
    }
}

/// The checksum that gzip and zip keep of contents (RFC 1952, section 8).
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::{DeflateEncoder, MultiGzDecoder};
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn deflated(contents: &[u8]) -> (DeflateSummary, Vec<u8>) {
        let mut stream = Vec::new();
        DeflateEncoder::new(contents, Compression::new(6))
            .read_to_end(&mut stream)
            .unwrap();
        let announced = DeflateSummary {
            size: contents.len() as u64,
            compressed_size: stream.len() as u64,
            crc32: crc32(contents),
        };
        (announced, stream)
    }

    fn inflate(bytes: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        MultiGzDecoder::new(bytes).read_to_end(&mut all).unwrap();
        all
    }

    fn copy(announced: DeflateSummary, stream: &[u8]) -> Result<(), GzipError> {
        MemberWriter::new(Vec::new(), 6).copy(announced, &mut &stream[..], |_| ())
    }

    #[test]
    fn a_stream_is_copied_as_it_is() {
        let contents = vec![7_u8; 1 << 20];
        let (announced, stream) = deflated(&contents);
        let mut members = MemberWriter::new(Vec::new(), 6);
        let mut seen = Vec::new();
        members
            .copy(announced, &mut stream.as_slice(), |piece| {
                seen.extend_from_slice(piece);
            })
            .unwrap();
        let (bytes, sha256, size) = members.finish().unwrap();
        assert_eq!(seen, contents);
        assert_eq!(bytes[10..bytes.len() - 8], stream);
        assert_eq!(inflate(&bytes), contents);
        assert_eq!(size, bytes.len() as u64);
        assert_eq!(sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
    }

    #[test]
    fn what_was_announced_is_checked() {
        let (announced, stream) = deflated(b"some contents, some contents");
        let with = |change: fn(&mut DeflateSummary)| {
            let mut changed = announced;
            change(&mut changed);
            copy(changed, &stream)
        };
        assert!(copy(announced, &stream).is_ok());
        assert!(matches!(
            with(|it| it.crc32 ^= 1),
            Err(GzipError::Crc { .. })
        ));
        assert!(matches!(
            with(|it| it.size += 1),
            Err(GzipError::Length { .. })
        ));
        assert!(matches!(
            with(|it| it.size -= 1),
            Err(GzipError::Length { .. })
        ));
        assert!(matches!(
            with(|it| it.compressed_size -= 1),
            Err(GzipError::Short)
        ));
        assert!(matches!(
            with(|it| it.compressed_size += 1),
            Err(GzipError::Short)
        ));
        let longer = [stream.as_slice(), b"x"].concat();
        let announced_longer = DeflateSummary {
            compressed_size: announced.compressed_size + 1,
            ..announced
        };
        assert!(matches!(
            copy(announced_longer, &longer),
            Err(GzipError::Trailing { bytes: 1 })
        ));
        assert!(matches!(
            copy(announced, &[0xff; 64]),
            Err(GzipError::Corrupt)
        ));
        let none = DeflateSummary {
            size: 0,
            compressed_size: 0,
            crc32: 0,
        };
        assert!(matches!(copy(none, b""), Err(GzipError::Short)));
    }

    #[test]
    fn a_long_tail_after_the_stream_is_refused_without_reading_it() {
        let (announced, stream) = deflated(b"short");
        let tail = [stream.as_slice(), &vec![0; 300_000]].concat();
        let longer = DeflateSummary {
            compressed_size: tail.len() as u64,
            ..announced
        };
        assert!(matches!(
            copy(longer, &tail),
            Err(GzipError::Trailing { .. })
        ));
    }

    proptest! {
        #[test]
        fn any_row_of_members_inflates_to_their_sum(
            pieces in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..4000), 0..3_u8), 0..12),
        ) {
            let mut members = MemberWriter::new(Vec::new(), 6);
            let mut expected = Vec::new();
            for (contents, how) in &pieces {
                let (announced, stream) = deflated(contents);
                match how {
                    0 => members.write(contents).unwrap(),
                    1 => members.copy(announced, &mut stream.as_slice(), |_| ()).unwrap(),
                    _ => members.recompress(announced, &mut stream.as_slice(), |_| ()).unwrap(),
                }
                expected.extend_from_slice(contents);
            }
            let (bytes, ..) = members.finish().unwrap();
            if !bytes.is_empty() {
                prop_assert_eq!(inflate(&bytes), expected);
            }
        }

        #[test]
        fn damaged_streams_never_panic(
            at in 0..200_usize, bit in 0..8_u8, contents in proptest::collection::vec(0..4_u8, 0..2000),
        ) {
            let (announced, mut stream) = deflated(&contents);
            let at = at % stream.len();
            stream[at] ^= 1 << bit;
            let _ = copy(announced, &stream);
        }
    }
}
