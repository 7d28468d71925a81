//! What is asked: method, URL, headers, and a body that can be given again.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use crate::net::http::HttpError;
use crate::net::{Secret, ShownUrl};

/// Opens a body from its beginning, once a try.
pub(crate) type OpenBody<'a> = &'a (dyn Fn() -> io::Result<Box<dyn Read + Send>> + Sync);

/// The body of a request.
pub(crate) enum RequestBody<'a> {
    /// None, and no `Content-Length`.
    None,
    /// These bytes; an empty slice is sent as `Content-Length: 0`.
    Bytes(&'a [u8]),
    /// A stream of known size.
    Stream {
        /// Length of the body, in bytes.
        size: u64,
        /// Opens it; called anew for each try.
        open: OpenBody<'a>,
        /// Set to 0 at the start of each try, and grows as bytes are handed to the connection.
        sent: Arc<AtomicU64>,
    },
}

pub(crate) struct HttpRequest<'a> {
    pub method: Method,
    /// The URL, without user and password.
    pub url: Url,
    pub headers: HeaderMap,
    /// `Authorization` from user and password in the URL given.
    pub authorization: Option<Secret>,
    pub body: RequestBody<'a>,
    /// For the whole exchange, where the idle time-out does not fit.
    pub time_limit: Option<Duration>,
}

impl<'a> HttpRequest<'a> {
    /// A request of `method` without a body.
    pub(crate) fn new(method: Method, url: Url) -> Self {
        let (url, authorization) = split_user(url);
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            authorization,
            body: RequestBody::None,
            time_limit: None,
        }
    }

    /// A GET of text that must be a URL.
    pub(crate) fn get(url: &str, headers: &[(&str, &str)]) -> Result<Self, HttpError> {
        let bad = || HttpError::BadUrl {
            url: ShownUrl::parse(url),
        };
        let parsed = Url::parse(url).map_err(|_| bad())?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(bad());
        }
        let mut request = Self::new(Method::GET, parsed);
        for (name, value) in headers {
            request.header(name, value);
        }
        Ok(request)
    }

    /// Adds a header; one that cannot be sent (a line break in it) is left out.
    pub(crate) fn header(&mut self, name: &str, value: &str) {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            self.headers.append(name, value);
        }
    }

    /// The same request with a body.
    pub(crate) fn with_body(mut self, body: RequestBody<'a>) -> Self {
        self.body = body;
        self
    }

    /// What may be shown of its URL.
    pub(crate) fn shown(&self) -> ShownUrl {
        ShownUrl::of(&self.url)
    }
}

/// Takes user and password out of a URL, as the header that they mean.
fn split_user(mut url: Url) -> (Url, Option<Secret>) {
    let basic = crate::net::credentials::BasicLogin::of_url(&url);
    // These fail only for URLs without a host, which have no user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    (url, basic.map(|basic| basic.header()))
}
