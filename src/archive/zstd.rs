//! Writes zstd (RFC 8878): one frame, with a checksum of its contents.
//!
//! The bytes depend on the input, the level and libzstd's version alone: one thread compresses, and
//! blocks are cut by the frame and not by how the input came in pieces. A newer libzstd may write other
//! bytes, as a newer zlib may.

use std::io::{Read, Write};

use zstd::stream::write::Encoder;

use super::gzip::{DeflateSummary, GzipError};
use super::inflate::Inflater;
use super::sink::HashingWriter;

/// Writes one frame; owns the sink until [`FrameWriter::finish`].
pub(crate) struct FrameWriter<W: Write> {
    encoder: Encoder<'static, HashingWriter<W>>,
    inflater: Inflater,
}

impl<W: Write> FrameWriter<W> {
    /// `level` is libzstd's, 1 to 22.
    pub(crate) fn new(sink: W, level: i32) -> Result<Self, GzipError> {
        let mut encoder =
            Encoder::new(HashingWriter::new(sink), level).map_err(GzipError::Write)?;
        encoder.include_checksum(true).map_err(GzipError::Write)?;
        Ok(Self {
            encoder,
            inflater: Inflater::new(),
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), GzipError> {
        self.encoder.write_all(bytes).map_err(GzipError::Write)
    }

    /// Inflates the next `deflated.compressed_size` bytes of `from` and compresses them anew.
    /// `contents` is given the inflated bytes, piece by piece.
    pub(crate) fn recompress(
        &mut self,
        deflated: DeflateSummary,
        from: &mut impl Read,
        mut contents: impl FnMut(&[u8]),
    ) -> Result<(), GzipError> {
        let encoder = &mut self.encoder;
        self.inflater.run(
            deflated,
            from,
            |_| Ok(()),
            |piece| {
                contents(piece);
                encoder.write_all(piece).map_err(GzipError::Write)
            },
        )?;
        Ok(())
    }

    /// Ends the frame and gives back the sink, with the digest and length of the frame.
    pub(crate) fn finish(self) -> Result<(W, [u8; 32], u64), GzipError> {
        let sink = self.encoder.finish().map_err(GzipError::Write)?;
        sink.finish().map_err(GzipError::Write)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn framed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut frame = FrameWriter::new(Vec::new(), 3).unwrap();
        for piece in pieces {
            frame.write(piece).unwrap();
        }
        let (bytes, sha256, size) = frame.finish().unwrap();
        assert_eq!(sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
        assert_eq!(size, bytes.len() as u64);
        bytes
    }

    #[test]
    fn a_frame_stands_for_what_was_written() {
        let long: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let bytes = framed(&[b"", &long, b"end"]);
        assert_eq!(
            zstd::stream::decode_all(bytes.as_slice()).unwrap(),
            [long.as_slice(), b"end"].concat()
        );
        assert!(
            zstd::stream::decode_all(framed(&[]).as_slice())
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_deflate_stream_is_checked_and_compressed_anew() {
        let contents = b"some contents, some contents".repeat(9000);
        let mut stream = Vec::new();
        flate2::read::DeflateEncoder::new(contents.as_slice(), flate2::Compression::fast())
            .read_to_end(&mut stream)
            .unwrap();
        let mut deflated = DeflateSummary {
            size: contents.len() as u64,
            compressed_size: stream.len() as u64,
            crc32: super::super::gzip::crc32(&contents),
        };
        let mut frame = FrameWriter::new(Vec::new(), 3).unwrap();
        let mut seen = Vec::new();
        frame
            .recompress(deflated, &mut stream.as_slice(), |piece| {
                seen.extend_from_slice(piece);
            })
            .unwrap();
        assert!(seen == contents);
        let bytes = frame.finish().unwrap().0;
        assert!(zstd::stream::decode_all(bytes.as_slice()).unwrap() == contents);
        deflated.crc32 ^= 1;
        let error = FrameWriter::new(Vec::new(), 3)
            .unwrap()
            .recompress(deflated, &mut stream.as_slice(), |_| ())
            .unwrap_err();
        assert!(matches!(error, GzipError::Crc { .. }), "{error:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn how_the_input_came_in_pieces_does_not_show(
            seed in any::<u64>(), cuts in proptest::collection::vec(0..600_000_usize, 0..6),
        ) {
            let mut state = seed | 1;
            let contents: Vec<u8> = (0..600_000)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 60) as u8
                })
                .collect();
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([contents.len()]) {
                pieces.push(&contents[from..cut]);
                from = cut;
            }
            prop_assert!(framed(&pieces) == framed(&[&contents]));
        }
    }
}
