//! Decompressors by a file name's ending: gzip (RFC 1952), xz (xz-file-format), zstd (RFC 8878), or none.
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

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompressionFormat {
    /// gzip, any number of members.
    Gzip,
    /// xz, any number of streams.
    Xz,
    /// zstd, any number of frames.
    Zstd,
    /// Not at all: taken as it is.
    Plain,
}

impl CompressionFormat {
    /// The format of a file whose name has this ending behind `.tar` and the like; `None` for one
    /// that we do not read. The name counts and not the first bytes, because dpkg and apt do the same.
    pub(crate) fn of_ending(ending: &str) -> Option<Self> {
        match ending {
            "" => Some(Self::Plain),
            ".gz" => Some(Self::Gzip),
            ".xz" => Some(Self::Xz),
            ".zst" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Reads what a compressed stream stands for, up to a limit.
pub(crate) struct Decoder<R: BufRead> {
    inner: Inner<R>,
    left_bytes: u64,
}

enum Inner<R: BufRead> {
    Gzip(MultiGzDecoder<R>),
    Xz(XzDecoder<R>),
    Zstd(zstd::stream::read::Decoder<'static, R>),
    Plain(R),
}

impl<R: BufRead> Decoder<R> {
    /// Begins; more than `max_bytes` of output will be an error of kind `FileTooLarge`.
    pub(crate) fn new(from: R, format: CompressionFormat, max_bytes: u64) -> io::Result<Self> {
        let inner = match format {
            CompressionFormat::Gzip => Inner::Gzip(MultiGzDecoder::new(from)),
            CompressionFormat::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY_BYTES, CONCATENATED)
                    .map_err(io::Error::from)?;
                Inner::Xz(XzDecoder::new_stream(from, stream))
            }
            CompressionFormat::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Inner::Zstd(decoder)
            }
            CompressionFormat::Plain => Inner::Plain(from),
        };
        Ok(Self {
            inner,
            left_bytes: max_bytes,
        })
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

    fn zstd(contents: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(contents, 1).unwrap()
    }

    fn read(bytes: &[u8], format: CompressionFormat, limit: u64) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        Decoder::new(bytes, format, limit)?.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn each_format_is_undone_up_to_the_limit() {
        let contents = b"contents ".repeat(1000);
        for (bytes, ending) in [
            (gzip(&contents), ".gz"),
            (xz(&contents), ".xz"),
            (zstd(&contents), ".zst"),
            (contents.clone(), ""),
        ] {
            let format = CompressionFormat::of_ending(ending).unwrap();
            assert_eq!(read(&bytes, format, 9000).unwrap(), contents, "{format:?}");
            let too_long = read(&bytes, format, 8999).unwrap_err();
            assert_eq!(too_long.kind(), io::ErrorKind::FileTooLarge, "{format:?}");
            let twice = [bytes.clone(), bytes.clone()].concat();
            assert_eq!(
                read(&twice, format, 18_000).unwrap().len(),
                18_000,
                "{format:?}"
            );
            if format != CompressionFormat::Plain {
                let cut = read(&bytes[..bytes.len() - 3], format, 9000);
                assert!(cut.is_err(), "{format:?}");
                assert!(read(&contents, format, 9000).is_err(), "{format:?}");
            }
        }
        assert_eq!(CompressionFormat::of_ending(".bz2"), None);
        assert_eq!(read(b"", CompressionFormat::Plain, 0).unwrap(), b"");
    }

    #[test]
    fn damaged_streams_do_not_panic() {
        let contents = b"contents ".repeat(100);
        for (whole, format) in [
            (gzip(&contents), CompressionFormat::Gzip),
            (xz(&contents), CompressionFormat::Xz),
            (zstd(&contents), CompressionFormat::Zstd),
        ] {
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x10;
                let _ = read(&bytes, format, 10_000);
            }
        }
    }
}
