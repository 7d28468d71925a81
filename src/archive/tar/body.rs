//! What a layer's tar is compressed into.

use std::io::{Read, Write};

use super::estargz::{CHUNK_BYTES, TableOfContents};
use crate::archive::gzip::{DeflateSummary, GzipError, MemberWriter};
use crate::archive::zstd::FrameWriter;

/// A finished deflate stream shorter than this is compressed anew, together with its neighbours:
/// a gzip member of its own would cost more bytes and more time than it saves.
const COPY_FROM_BYTES: u64 = 2 << 10;

/// Longest contents that are compressed anew together with their neighbours; longer ones are copied.
const RECOMPRESS_UP_TO_BYTES: u64 = 64 << 10;

/// The compressed bytes of one layer.
pub(super) enum LayerBody<W: Write> {
    Gzip(Box<MemberWriter<W>>),
    Zstd(Box<FrameWriter<W>>),
}

impl<W: Write> LayerBody<W> {
    pub(super) fn gzip(sink: W, level: u32) -> Self {
        Self::Gzip(Box::new(MemberWriter::new(sink, level)))
    }

    pub(super) fn zstd(sink: W, level: i32) -> Result<Self, GzipError> {
        Ok(Self::Zstd(Box::new(FrameWriter::new(sink, level)?)))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), GzipError> {
        match self {
            Self::Gzip(members) => members.write(bytes),
            Self::Zstd(frame) => frame.write(bytes),
        }
    }

    pub(super) fn is_gzip(&self) -> bool {
        matches!(self, Self::Gzip(_))
    }

    /// Ends a gzip member, and gives the offset of the next; a zstd frame goes on.
    pub(super) fn cut(&mut self) -> Result<u64, GzipError> {
        match self {
            Self::Gzip(members) => members.cut(),
            Self::Zstd(_) => Ok(0),
        }
    }

    /// Appends a finished gzip member; there is none in a zstd frame.
    pub(super) fn member(&mut self, bytes: &[u8]) -> Result<(), GzipError> {
        match self {
            Self::Gzip(members) => members.member(bytes),
            Self::Zstd(_) => Ok(()),
        }
    }

    /// The contents of a finished deflate stream, which `contents` is given.
    pub(super) fn deflated(
        &mut self,
        deflated: DeflateSummary,
        stream: &mut impl Read,
        contents: impl FnMut(&[u8]),
    ) -> Result<(), GzipError> {
        match self {
            Self::Gzip(members) if is_short(deflated) => {
                members.recompress(deflated, stream, contents)
            }
            Self::Gzip(members) => members.copy(deflated, stream, contents),
            Self::Zstd(frame) => frame.recompress(deflated, stream, contents),
        }
    }

    /// The same for a file of an eStargz layer, whose place `table` is told. What is longer than a
    /// chunk is compressed anew, because a chunk must be readable without those before it.
    pub(super) fn deflated_file_of(
        &mut self,
        table: &mut TableOfContents,
        deflated: DeflateSummary,
        stream: &mut impl Read,
        mut contents: impl FnMut(&[u8]),
    ) -> Result<(), GzipError> {
        let Self::Gzip(members) = self else {
            return self.deflated(deflated, stream, contents);
        };
        if deflated.size > CHUNK_BYTES as u64 {
            members.rechunk(deflated, stream, CHUNK_BYTES, |offset, piece| {
                table.contents_at(offset, piece);
                contents(piece);
            })?;
        } else {
            let offset = members.cut()?;
            let seen = |piece: &[u8]| {
                table.contents_at(offset, piece);
                contents(piece);
            };
            if is_short(deflated) {
                members.recompress(deflated, stream, seen)?;
            } else {
                members.copy(deflated, stream, seen)?;
            }
        }
        table.end_file();
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(W, [u8; 32], u64), GzipError> {
        match self {
            Self::Gzip(members) => members.finish(),
            Self::Zstd(frame) => frame.finish(),
        }
    }
}

fn is_short(deflated: DeflateSummary) -> bool {
    deflated.compressed_size < COPY_FROM_BYTES && deflated.size <= RECOMPRESS_UP_TO_BYTES
}
