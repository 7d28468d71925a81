//! Decompressors by magic number: gzip (RFC 1952), xz (xz-file-format), zstd (RFC 8878), or none.
//!
//! Output length and memory are bounded, because what is read comes from outside: a decompressor
//! that would give more than it was allowed fails instead.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// Memory that xz may take for its dictionary: `xz -9` asks for 65 MiB to unpack.
const XZ_MEMORY_BYTES: u64 = 80 << 20;

/// Window that zstd may take, as a power of two: 8 MiB is what every decoder must support, and
/// 64 MiB is beyond what Debian's packages use.
const ZSTD_WINDOW_LOG: u32 = 26;

/// Longest magic number, xz's.
const MAGIC_BYTES: usize = 6;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// gzip, any number of members.
    Gzip,
    /// xz, any number of streams.
    Xz,
    /// zstd, any number of frames.
    Zstd,
    /// Anything else: taken as it is.
    Plain,
}

impl Format {
    /// The format that begins with these bytes.
    pub(crate) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// Reads what a compressed stream stands for, up to a limit.
pub(crate) struct Decoder<R: BufRead> {
    inner: Inner<R>,
    format: Format,
    left_bytes: u64,
}

enum Inner<R: BufRead> {
    Gzip(MultiGzDecoder<Started<R>>),
    Xz(XzDecoder<Started<R>>),
    Zstd(zstd::stream::read::Decoder<'static, Started<R>>),
    Plain(Started<R>),
}

/// The stream with the bytes that were read to know its format.
type Started<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

impl<R: BufRead> Decoder<R> {
    /// Looks at the first bytes of `from` and begins; more than `max_bytes` of output is an error
    /// of kind `FileTooLarge`.
    pub(crate) fn new(mut from: R, max_bytes: u64) -> io::Result<Self> {
        let mut start = Vec::with_capacity(MAGIC_BYTES);
        from.by_ref()
            .take(MAGIC_BYTES as u64)
            .read_to_end(&mut start)?;
        let format = Format::of(&start);
        let from = io::Cursor::new(start).chain(from);
        let inner = match format {
            Format::Gzip => Inner::Gzip(MultiGzDecoder::new(from)),
            Format::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY_BYTES, CONCATENATED)
                    .map_err(io::Error::from)?;
                Inner::Xz(XzDecoder::new_stream(from, stream))
            }
            Format::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Inner::Zstd(decoder)
            }
            Format::Plain => Inner::Plain(from),
        };
        Ok(Self {
            inner,
            format,
            left_bytes: max_bytes,
        })
    }

    /// How the stream is compressed.
    pub(crate) fn format(&self) -> Format {
        self.format
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.inner {
            Inner::Gzip(inner) => inner.read(buffer),
            Inner::Xz(inner) => inner.read(buffer),
            Inner::Zstd(inner) => inner.read(buffer),
            Inner::Plain(inner) => inner.read(buffer),
        }?;
        match self.left_bytes.checked_sub(count as u64) {
            Some(left) => self.left_bytes = left,
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(contents: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(contents).unwrap();
        writer.finish().unwrap()
    }

    fn xz(contents: &[u8]) -> Vec<u8> {
        let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
        writer.write_all(contents).unwrap();
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        Decoder::new(bytes, limit)?.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn each_format_is_known_by_its_magic() {
        let contents = b"contents ".repeat(1000);
        let zstd = zstd::stream::encode_all(contents.as_slice(), 1).unwrap();
        for (bytes, format) in [
            (gzip(&contents), Format::Gzip),
            (xz(&contents), Format::Xz),
            (zstd, Format::Zstd),
            (contents.clone(), Format::Plain),
        ] {
            assert_eq!(Decoder::new(bytes.as_slice(), 0).unwrap().format(), format);
            assert_eq!(read(&bytes, 9000).unwrap(), contents, "{format:?}");
            let too_long = read(&bytes, 8999).unwrap_err();
            assert_eq!(too_long.kind(), io::ErrorKind::FileTooLarge, "{format:?}");
            let twice = [bytes.clone(), bytes.clone()].concat();
            assert_eq!(read(&twice, 18_000).unwrap().len(), 18_000, "{format:?}");
            if format != Format::Plain {
                assert!(read(&bytes[..bytes.len() - 3], 9000).is_err(), "{format:?}");
            }
        }
        assert_eq!(read(b"", 0).unwrap(), b"");
        assert_eq!(read(b"\x1f", 5).unwrap(), b"\x1f");
    }

    #[test]
    fn damaged_streams_are_errors() {
        let contents = b"contents ".repeat(100);
        for whole in [gzip(&contents), xz(&contents)] {
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x10;
                let _ = read(&bytes, 10_000);
            }
        }
    }
}
