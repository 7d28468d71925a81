//! Reads deflate streams (RFC 1951) that somebody else has announced, and holds them to it: their
//! length before and after, and the CRC-32 of what they stand for.

use std::io::{self, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Piece of a deflate stream that is read at once.
const INPUT_BYTES: usize = 64 << 10;

/// Piece that is inflated at once; a stream that fits is inflated without a window of its own.
const INFLATED_BYTES: usize = 256 << 10;

/// A finished deflate stream, as a directory entry announces it; all of it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeflateSummary {
    /// Length of the contents in bytes.
    pub size: u64,
    /// Length of the stream in bytes.
    pub compressed_size: u64,
    /// CRC-32 of the contents.
    pub crc32: u32,
}

/// What can go wrong while members are written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GzipError {
    #[error("cannot write")]
    Write(#[source] io::Error),
    /// The source of a deflate stream failed.
    #[error("cannot read")]
    Read(#[source] io::Error),
    /// The bytes are no deflate stream.
    #[error("not a deflate stream")]
    Corrupt,
    /// The stream ends before its last block.
    #[error("the deflate stream is cut off")]
    Short,
    /// Bytes follow the end of the stream, within its announced length.
    #[error("{bytes} bytes follow the deflate stream")]
    Trailing { bytes: u64 },
    /// The contents are not as long as announced (more than `expected` is noticed, not counted).
    #[error("{found} bytes of contents where {expected} were announced")]
    Length {
        /// Announced length in bytes.
        expected: u64,
        /// Length seen so far.
        found: u64,
    },
    /// The contents are not those announced.
    #[error("CRC {found:08x} where {expected:08x} was announced")]
    Crc {
        /// Announced CRC-32.
        expected: u32,
        /// CRC-32 of the contents.
        found: u32,
    },
}

/// Inflates one stream after another, with the same buffers.
pub(super) struct Inflater {
    inflate: Decompress,
    input: Vec<u8>,
    inflated: Vec<u8>,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self {
            inflate: Decompress::new(false),
            input: vec![0; INPUT_BYTES],
            inflated: vec![0; INFLATED_BYTES],
        }
    }

    /// Reads a stream once: `raw` gets its bytes, `contents` what they stand for. What they gave before
    /// an error is of no use.
    pub(super) fn run(
        &mut self,
        announced: DeflateSummary,
        from: &mut impl Read,
        mut raw: impl FnMut(&[u8]) -> Result<(), GzipError>,
        mut contents: impl FnMut(&[u8]) -> Result<(), GzipError>,
    ) -> Result<Crc, GzipError> {
        let Self {
            inflate,
            input,
            inflated,
        } = self;
        inflate.reset(false);
        let mut crc = Crc::new();
        let mut left = announced.compressed_size;
        let mut total = 0_u64;
        let mut ended = false;
        while left > 0 {
            let take = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
            let piece = &mut input[..take];
            from.read_exact(piece)
                .map_err(|source| match source.kind() {
                    io::ErrorKind::UnexpectedEof => GzipError::Short,
                    _ => GzipError::Read(source),
                })?;
            left -= take as u64;
            raw(piece)?;
            let mut rest: &[u8] = piece;
            loop {
                if ended {
                    if rest.is_empty() && left == 0 {
                        break;
                    }
                    return Err(GzipError::Trailing {
                        bytes: rest.len() as u64 + left,
                    });
                }
                let (in_before, out_before) = (inflate.total_in(), inflate.total_out());
                let flush = if left == 0 {
                    FlushDecompress::Finish
                } else {
                    FlushDecompress::None
                };
                let status = inflate
                    .decompress(rest, inflated, flush)
                    .map_err(|_| GzipError::Corrupt)?;
                let consumed = usize::try_from(inflate.total_in() - in_before).unwrap_or(0);
                let produced = usize::try_from(inflate.total_out() - out_before).unwrap_or(0);
                rest = &rest[consumed..];
                total += produced as u64;
                if total > announced.size {
                    return Err(GzipError::Length {
                        expected: announced.size,
                        found: total,
                    });
                }
                let fresh = &inflated[..produced];
                crc.update(fresh);
                contents(fresh)?;
                ended = status == Status::StreamEnd;
                if !ended && consumed == 0 && produced == 0 {
                    break;
                }
            }
        }
        Self::check(announced, ended, total, &crc)?;
        Ok(crc)
    }

    fn check(
        announced: DeflateSummary,
        ended: bool,
        total: u64,
        crc: &Crc,
    ) -> Result<(), GzipError> {
        if !ended {
            return Err(GzipError::Short);
        }
        if total != announced.size {
            return Err(GzipError::Length {
                expected: announced.size,
                found: total,
            });
        }
        if crc.sum() != announced.crc32 {
            return Err(GzipError::Crc {
                expected: announced.crc32,
                found: crc.sum(),
            });
        }
        Ok(())
    }
}
