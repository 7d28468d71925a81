//! What comes back, its body not read yet ([`StreamedResponse`]) or read ([`Response`]).

use std::io::Read;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;

use crate::net::http::retry::{self, RetryHint};
use crate::net::http::{DeadlineReader, HttpError};
use crate::net::{SecretFilter, ShownUrl};

/// Bytes of an error's body that are read; the rest is not worth the time.
const MAX_ERROR_BODY_BYTES: u64 = 64 << 10;
/// How long the body of an error is read.
const ERROR_BODY: Duration = Duration::from_secs(10);
/// Characters of an error's body that are shown.
const MAX_SHOWN_CHARS: usize = 300;

/// An answer with its body still on the wire.
#[derive(Debug)]
pub(crate) struct StreamedResponse {
    pub(super) inner: reqwest::blocking::Response,
    /// The URL that answered, after redirects.
    pub(super) url: Url,
    /// What was sent in confidence.
    pub(super) veil: SecretFilter,
}

impl StreamedResponse {
    pub(crate) fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// The URL that answered, after redirects.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// A header, if it is there once and readable.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.inner
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    }

    /// All values of a header that may be repeated.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let values = self.inner.headers().get_all(name).into_iter();
        values
            .filter_map(|value| value.to_str().ok())
            .map(str::to_owned)
            .collect()
    }

    /// What may be shown of the URL that answered.
    pub(crate) fn shown(&self) -> ShownUrl {
        ShownUrl::of(&self.url)
    }

    /// Reads the body, at most `max_bytes`.
    pub(crate) fn into_response(mut self, max_bytes: u64) -> Result<Response, HttpError> {
        let shown = self.shown();
        if self
            .inner
            .content_length()
            .is_some_and(|length| length > max_bytes)
        {
            return Err(HttpError::TooLarge {
                url: shown,
                limit_bytes: max_bytes,
            });
        }
        let mut body = Vec::new();
        DeadlineReader::document(&mut self.inner)
            .take(max_bytes.saturating_add(1))
            .read_to_end(&mut body)
            .map_err(|error| HttpError::of_body(error, &shown))?;
        if body.len() as u64 > max_bytes {
            return Err(HttpError::TooLarge {
                url: shown,
                limit_bytes: max_bytes,
            });
        }
        let headers = std::mem::take(self.inner.headers_mut());
        Ok(Response {
            headers,
            body,
            final_url: self.url,
        })
    }

    /// How long the body is, where the server tells.
    pub(crate) fn length(&self) -> Option<u64> {
        self.inner.content_length()
    }

    /// Where a partial answer begins (`Content-Range: bytes 5-9/10`).
    pub(crate) fn range_start(&self) -> Option<u64> {
        let range = self.header("content-range")?.strip_prefix("bytes ")?;
        range.split('-').next()?.trim().parse().ok()
    }

    /// Reads some bytes of the body; 0 is its end.
    pub(crate) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, HttpError> {
        let shown = self.shown();
        let read = self.inner.read(buffer);
        read.map_err(|error| HttpError::of_body(error, &shown))
    }

    /// Reads and forgets a short body, so that the connection can be used again.
    pub(crate) fn drain(mut self) {
        let _ = std::io::copy(
            &mut DeadlineReader::within(&mut self.inner, ERROR_BODY).take(MAX_ERROR_BODY_BYTES),
            &mut std::io::sink(),
        );
    }

    /// What must not be shown of its body.
    pub(crate) fn veil(&self) -> SecretFilter {
        self.veil.clone()
    }

    /// The beginning of the body; of a body that cannot be read, nothing.
    pub(crate) fn into_excerpt(mut self) -> Vec<u8> {
        let mut body = Vec::new();
        let _ = DeadlineReader::within(&mut self.inner, ERROR_BODY)
            .take(MAX_ERROR_BODY_BYTES)
            .read_to_end(&mut body);
        body
    }

    /// What the server asks by `Retry-After`.
    pub(crate) fn passing(&self) -> RetryHint {
        retry::told(self.header("retry-after"), self.header("date"))
    }

    /// This answer as a failure, with the beginning of its body.
    pub(crate) fn into_error(self) -> HttpError {
        let (url, status, passing) = (self.shown(), self.status(), self.passing());
        let veil = self.veil();
        let body = String::from_utf8_lossy(&self.into_excerpt()).into_owned();
        let body = printable(veil.over(&body).as_bytes());
        HttpError::Status {
            url,
            status,
            body,
            passing,
            tries: 1,
        }
    }
}

/// One line of at most [`MAX_SHOWN_CHARS`] printable characters; markup is left out altogether.
pub(crate) fn printable(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    text.retain(|c| !is_trick(c));
    if text.trim_start().starts_with('<') {
        return String::new();
    }
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Characters without a shape of their own, by which a line can be made to look like another one.
fn is_trick(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// An answer with its body in memory.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub headers: HeaderMap,
    /// Its body, bounded by the caller's limit.
    pub body: Vec<u8>,
    /// The URL that answered, after redirects.
    pub final_url: Url,
}

impl Response {
    /// A header, if it is there and readable.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_are_bounded_and_printable() {
        assert_eq!(
            printable(b"  no\tsuch\x1b[31m\n thing "),
            "no such [31m thing"
        );
        assert_eq!(printable(b"<html><body>Bad"), "");
        assert_eq!(
            printable("all\u{202e} is\u{200b} well".as_bytes()),
            "all is well"
        );
        assert_eq!(printable("ä".repeat(400).as_bytes()).chars().count(), 301);
        assert_eq!(printable(b"\xff"), "\u{fffd}");
    }
}
