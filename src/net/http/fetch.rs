//! Downloads: streamed, hashed on the way, and taken up again where a connection broke off.
//!
//! Ranges are RFC 9110 section 14. A server that answers a range with the whole file is read from the
//! start again, what is here already being compared by hash instead of written twice.

use std::io::{Read, Write};

use sha2::{Digest as _, Sha256};

use crate::net::ShownUrl;
use crate::net::http::retry::RetryState;
use crate::net::http::{Client, HttpError, HttpRequest, StreamedResponse};
use crate::oci::Digest;

/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;
/// Times that one download is taken up again, however well it moves on in between.
const MAX_RESUMES: u32 = 50;

/// What a download must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpectedDownload {
    /// Its SHA-256, where known.
    pub sha256: Option<[u8; 32]>,
    /// Its size in bytes, where known.
    pub size: Option<u64>,
    /// It is refused beyond this.
    pub max_bytes: u64,
}

/// What a download was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DownloadSummary {
    /// SHA-256 of the bytes written.
    pub sha256: [u8; 32],
    /// How many bytes were written.
    pub size: u64,
}

/// A download under way.
struct ActiveDownload<'a> {
    sink: &'a mut dyn Write,
    expect: ExpectedDownload,
    progress: &'a dyn Fn(u64),
    hasher: Sha256,
    received: u64,
    /// `ETag` or `Last-Modified` of the first answer: what later ranges must be of.
    validator: Option<String>,
}

impl Client {
    /// Downloads `url` into `sink`, retrying what may pass and taking up again where it broke off.
    /// `progress` is told the bytes received so far. On error the sink holds an unspecified part;
    /// on success exactly what was expected.
    pub(crate) fn fetch_to(
        &self,
        url: &str,
        sink: &mut dyn Write,
        expect: &ExpectedDownload,
        progress: &dyn Fn(u64),
    ) -> Result<DownloadSummary, HttpError> {
        let mut download = ActiveDownload {
            sink,
            expect: *expect,
            progress,
            hasher: Sha256::new(),
            received: 0,
            validator: None,
        };
        let mut patience = RetryState::new(self.settings.retry);
        let mut resumes = 0;
        loop {
            let before = download.received;
            match self.fetch_part(url, &mut download) {
                Ok(()) => return download.finish(url),
                Err(error) => {
                    resumes += 1;
                    if download.received > before && resumes <= MAX_RESUMES {
                        patience.progressed();
                    }
                    self.wait_or_give_up(&mut patience, error)?;
                }
            }
        }
    }

    /// One try, from where the download stands.
    fn fetch_part(&self, url: &str, download: &mut ActiveDownload<'_>) -> Result<(), HttpError> {
        let mut request = HttpRequest::get(url, &[])?;
        if download.received > 0 {
            request.header("range", &format!("bytes={}-", download.received));
            if let Some(validator) = &download.validator {
                request.header("if-range", validator);
            }
        }
        let reply = self.send_once(&request)?;
        match reply.status() {
            200 if download.received == 0 => download.begin(reply),
            200 => download.begin_again(reply),
            206 if starts_at(&reply, download.received) => download.read(reply),
            // Everything is here already, only the end of it went unnoticed.
            416 if download.expect.size == Some(download.received) => Ok(()),
            _ => Err(reply.into_error()),
        }
    }
}

impl ActiveDownload<'_> {
    fn begin(&mut self, reply: StreamedResponse) -> Result<(), HttpError> {
        let length = reply.inner.content_length();
        let url = reply.shown();
        if let (Some(found), Some(expected)) = (length, self.expect.size)
            && found != expected
        {
            return Err(HttpError::WrongSize {
                url,
                expected,
                found,
            });
        }
        if length.is_some_and(|length| length > self.expect.max_bytes) {
            return Err(HttpError::TooLarge {
                url,
                limit_bytes: self.expect.max_bytes,
            });
        }
        // A weak ETag does not promise the same bytes, and must not be used with If-Range.
        let etag = reply.header("etag").filter(|etag| !etag.starts_with("W/"));
        self.validator = etag.or(reply.header("last-modified")).map(str::to_owned);
        self.read(reply)
    }

    /// The whole file comes again: passes over what is here, if it is still the same.
    fn begin_again(&mut self, mut reply: StreamedResponse) -> Result<(), HttpError> {
        let url = reply.shown();
        let mut seen = Sha256::new();
        let mut left = self.received;
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            let wanted = usize::try_from(left)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES);
            let read = read_some(&mut reply, &mut piece[..wanted], &url)?;
            if read == 0 {
                return Err(HttpError::Changed { url });
            }
            seen.update(&piece[..read]);
            left -= read as u64;
        }
        if seen.finalize() != self.hasher.clone().finalize() {
            return Err(HttpError::Changed { url });
        }
        self.read(reply)
    }

    fn read(&mut self, mut reply: StreamedResponse) -> Result<(), HttpError> {
        let url = reply.shown();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = read_some(&mut reply, &mut piece, &url)?;
            if read == 0 {
                return Ok(());
            }
            let received = self.received + read as u64;
            if received > self.expect.max_bytes {
                return Err(HttpError::TooLarge {
                    url,
                    limit_bytes: self.expect.max_bytes,
                });
            }
            if let Some(expected) = self.expect.size.filter(|size| received > *size) {
                return Err(HttpError::WrongSize {
                    url,
                    expected,
                    found: received,
                });
            }
            let bytes = &piece[..read];
            self.sink
                .write_all(bytes)
                .map_err(|source| HttpError::Local {
                    url: url.clone(),
                    source,
                })?;
            self.hasher.update(bytes);
            self.received = received;
            (self.progress)(received);
        }
    }

    fn finish(self, url: &str) -> Result<DownloadSummary, HttpError> {
        let sha256: [u8; 32] = self.hasher.finalize().into();
        let size = self.received;
        if let Some(expected) = self.expect.size.filter(|expected| *expected != size) {
            return Err(HttpError::WrongSize {
                url: ShownUrl::parse(url),
                expected,
                found: size,
            });
        }
        match self.expect.sha256.filter(|expected| *expected != sha256) {
            Some(expected) => Err(HttpError::WrongHash {
                url: ShownUrl::parse(url),
                expected: Digest::from_bytes(expected).hex(),
                found: Digest::from_bytes(sha256).hex(),
            }),
            None => Ok(DownloadSummary { sha256, size }),
        }
    }
}

fn read_some(
    reply: &mut StreamedResponse,
    piece: &mut [u8],
    url: &ShownUrl,
) -> Result<usize, HttpError> {
    reply
        .inner
        .read(piece)
        .map_err(|error| HttpError::of_body(error, url))
}

/// Whether a partial answer begins where the download stands (`Content-Range: bytes 5-9/10`).
fn starts_at(reply: &StreamedResponse, offset: u64) -> bool {
    let range = reply
        .header("content-range")
        .and_then(|range| range.strip_prefix("bytes "));
    let start = range.and_then(|range| range.split('-').next());
    start.is_some_and(|start| start.trim().parse() == Ok(offset))
}
