//! One request on its way: redirects, credentials, and the patience between tries.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Method, Url};

use crate::net::http::connection_pools::TlsIdentity;
use crate::net::http::retry::{self, RetryHint, RetryState};
use crate::net::http::trust::is_loopback;
use crate::net::http::{
    Client, HttpError, HttpRequest, RedirectRefusal, RequestBody, RetryNotice, StreamedResponse,
};
use crate::net::http::{inward, trust};
use crate::net::{Secret, SecretFilter, ShownUrl};

/// Redirects followed for one request; indexes and registries need one or two.
const MAX_REDIRECTS: u32 = 8;
/// Bodies up to this size are sent from memory, in one write; larger ones are streamed.
const SMALL_BODY_BYTES: u64 = 256 << 10;
/// Waits shorter than this are not worth a line to the user.
const SILENT_WAIT: Duration = Duration::from_secs(1);

/// A failure that may be no failure a moment later.
pub(crate) trait Retryable: std::fmt::Display {
    /// Whether trying again can help, and when.
    fn passing(&self) -> Option<RetryHint>;
    /// The same failure, after so many tries.
    fn after(self, tries: u32) -> Self;
}

impl Retryable for HttpError {
    fn passing(&self) -> Option<RetryHint> {
        Self::passing(self)
    }

    fn after(self, tries: u32) -> Self {
        Self::after(self, tries)
    }
}

/// How a request is sent, where not as any other.
#[derive(Debug, Default)]
pub(crate) struct RequestOptions<'a> {
    /// `Authorization`; goes to no other place than the first.
    pub authorization: Option<Secret>,
    /// The registry, as [`crate::net::http::authority`] has it, whose rules of TLS hold.
    pub rules_of: Option<&'a str>,
    /// Not to be sent on elsewhere by a redirect: there is a secret in its body. It goes to the registry's
    /// token service, which is shown what the registry is shown.
    pub stays: bool,
    /// What is in its body in confidence.
    pub confides: Vec<Secret>,
}

impl RequestOptions<'_> {
    /// What no answer is to be shown with.
    fn veil(&self) -> SecretFilter {
        let veil = self
            .authorization
            .as_ref()
            .map_or_else(SecretFilter::default, SecretFilter::of_authorization);
        self.confides.iter().fold(veil, SecretFilter::and)
    }

    /// On whose behalf `url` is asked. Where the registry has sent us, by a redirect or by the place of an
    /// upload, is not the registry.
    fn whose(&self, url: &Url) -> Option<TlsIdentity<'_>> {
        self.rules_of.map(|registry| TlsIdentity {
            registry,
            itself: self.stays || trust::is_own(registry, url),
        })
    }
}

impl Client {
    /// Does `once` until it succeeds, fails for good, or patience ends.
    pub(crate) fn patiently<T, E: Retryable>(
        &self,
        mut once: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut patience = self.patience();
        loop {
            match once() {
                Ok(done) => return Ok(done),
                Err(error) => self.wait_or_give_up(&mut patience, error)?,
            }
        }
    }

    /// The patience that its settings allow for one request.
    pub(crate) fn patience(&self) -> RetryState {
        RetryState::new(self.settings.retry)
    }

    /// For requests that somebody else can answer, too: one more try, and soon.
    pub(crate) fn little_patience(&self) -> RetryState {
        RetryState::new(self.settings.retry.hurried())
    }

    /// Waits for another try after `error`, or returns it.
    pub(super) fn wait_or_give_up<E: Retryable>(
        &self,
        patience: &mut RetryState,
        error: E,
    ) -> Result<(), E> {
        let Some(wait) = error.passing().and_then(|passing| patience.after(passing)) else {
            let tries = patience.failures().max(1);
            return Err(error.after(tries));
        };
        if let Some(notice) = self
            .settings
            .notice
            .as_ref()
            .filter(|_| wait >= SILENT_WAIT)
        {
            notice(&RetryNotice {
                failure: error.to_string(),
                wait,
            });
        }
        thread::sleep(wait);
        Ok(())
    }

    /// Sends a request once, with the client's own credentials for its URL, following redirects.
    /// Statuses that may pass are errors; every other status is a reply.
    pub(crate) fn send_once(
        &self,
        request: &HttpRequest<'_>,
    ) -> Result<StreamedResponse, HttpError> {
        let authorization = request.authorization.clone().or_else(|| {
            self.settings
                .credentials
                .for_url(&request.url)
                .map(|basic| basic.header())
        });
        self.send_as(request, authorization, &AtomicU64::new(0))
    }

    /// Like [`Client::send_once`], with this `Authorization` and no other. `counter` grows by one for
    /// each request sent, redirects included.
    pub(crate) fn send_as(
        &self,
        request: &HttpRequest<'_>,
        authorization: Option<Secret>,
        counter: &AtomicU64,
    ) -> Result<StreamedResponse, HttpError> {
        let manner = RequestOptions {
            authorization,
            ..RequestOptions::default()
        };
        self.send_in(request, &manner, counter)
    }

    /// Like [`Client::send_as`], for requests to registries and on their behalf.
    pub(crate) fn send_in(
        &self,
        request: &HttpRequest<'_>,
        manner: &RequestOptions<'_>,
        counter: &AtomicU64,
    ) -> Result<StreamedResponse, HttpError> {
        if self.settings.offline {
            let method = request.method.to_string();
            return Err(HttpError::Offline {
                method,
                url: request.shown(),
            });
        }
        let mut url = request.url.clone();
        let mut authorization = manner.authorization.as_ref();
        for _ in 0..=MAX_REDIRECTS {
            let reply = self.exchange(request, &url, authorization, manner, counter)?;
            if !follows(&request.method, reply.status()) {
                return if retry::status_may_pass(reply.status()) {
                    Err(reply.into_error())
                } else {
                    Ok(reply)
                };
            }
            let to = location(&reply, LOCATION.as_str())?;
            if !same_place(reply.url(), &to) {
                if manner.stays {
                    return Ok(reply);
                }
                authorization = None;
            }
            reply.drain();
            url = to;
        }
        Err(refused(
            &request.url,
            ShownUrl::of(&url),
            RedirectRefusal::TooMany,
        ))
    }

    /// One request to one URL, and its answer's head; for a registry that may speak either, in the
    /// scheme that it speaks.
    #[expect(
        clippy::too_many_arguments,
        reason = "what one try of one request needs; it is nothing beyond it"
    )]
    fn exchange(
        &self,
        request: &HttpRequest<'_>,
        url: &Url,
        authorization: Option<&Secret>,
        manner: &RequestOptions<'_>,
        counter: &AtomicU64,
    ) -> Result<StreamedResponse, HttpError> {
        let send = |url: &Url| {
            counter.fetch_add(1, Ordering::Relaxed);
            self.exchange_once(request, url, authorization, manner)
        };
        let Some(registry) = manner
            .rules_of
            .filter(|registry| trust::is_own(registry, url))
        else {
            // Where a registry sends us says nothing of what is spoken there.
            return send(url);
        };
        let url = &self.schemes.settled(registry, url);
        if self.schemes.is_settled(registry) {
            return send(url);
        }
        let answer = send(url);
        match &answer {
            Err(HttpError::Connect { .. }) if url.scheme() == "https" => {
                if self.settings.is_insecure(registry)
                    && let Some(url) = trust::with_scheme(url, "http")
                    && let Ok(reply) = send(&url)
                {
                    self.schemes.settle(registry, &url);
                    return Ok(reply);
                }
            }
            // It has said what it speaks: what goes wrong there is what is wrong.
            Ok(reply) if url.scheme() == "http" && trust::wants_tls(reply) => {
                if let Some(url) = trust::with_scheme(url, "https") {
                    self.schemes.settle(registry, &url);
                    return send(&url);
                }
            }
            _ => {}
        }
        if answer.is_ok() && (url.scheme() == "https" || self.may_be_plain(registry, url)) {
            self.schemes.settle(registry, url);
        }
        answer
    }

    /// Whether a secret may go to `url` without TLS, on behalf of `registry`: to this machine, or where the
    /// user has said so.
    fn may_be_plain(&self, registry: &str, url: &Url) -> bool {
        let said = if trust::is_own(registry, url) {
            self.settings.is_insecure(registry)
        } else {
            self.settings.is_insecure(&trust::authority(url))
                || self.settings.trust.may_give_tokens(url)
        };
        said || url.host_str().is_some_and(is_loopback)
    }

    fn exchange_once(
        &self,
        request: &HttpRequest<'_>,
        url: &Url,
        authorization: Option<&Secret>,
        manner: &RequestOptions<'_>,
    ) -> Result<StreamedResponse, HttpError> {
        let shown = ShownUrl::of(url);
        if authorization.is_some()
            && url.scheme() == "http"
            && manner
                .rules_of
                .is_some_and(|registry| !self.may_be_plain(registry, url))
        {
            return Err(HttpError::PlainSecret { url: shown });
        }
        let whose = manner.whose(url);
        let pool = self.wires.pool(url, whose, &self.settings)?;
        let mut builder = pool
            .request(request.method.clone(), url.clone())
            .header(ACCEPT_ENCODING, "identity")
            .headers(request.headers.clone());
        if let Some(mut value) =
            authorization.and_then(|secret| HeaderValue::from_str(secret.expose()).ok())
        {
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some(limit) = request.time_limit {
            builder = builder.timeout(limit);
        }
        if let Some(body) = body(&request.body).map_err(|source| HttpError::Local {
            url: shown.clone(),
            source,
        })? {
            builder = builder.body(body);
        }
        match builder.send() {
            Ok(inner) => Ok(StreamedResponse {
                inner,
                url: url.clone(),
                veil: manner.veil(),
            }),
            Err(error) => Err(HttpError::of(error, &shown)),
        }
    }
}

/// The library's body of ours; opens a stream.
fn body(body: &RequestBody<'_>) -> io::Result<Option<reqwest::blocking::Body>> {
    match body {
        RequestBody::None => Ok(None),
        RequestBody::Bytes(bytes) => Ok(Some(bytes.to_vec().into())),
        RequestBody::Stream { size, open, sent } => {
            sent.store(0, Ordering::Relaxed);
            let source = open()?;
            if *size <= SMALL_BODY_BYTES {
                let mut bytes = Vec::new();
                source.take(SMALL_BODY_BYTES + 1).read_to_end(&mut bytes)?;
                if bytes.len() as u64 != *size {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                sent.store(*size, Ordering::Relaxed);
                return Ok(Some(bytes.into()));
            }
            let counted = CountedReader {
                source,
                sent: Arc::clone(sent),
            };
            Ok(Some(reqwest::blocking::Body::sized(counted, *size)))
        }
    }
}

/// Counts what is read from it.
struct CountedReader {
    source: Box<dyn Read + Send>,
    sent: Arc<AtomicU64>,
}

impl Read for CountedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.sent.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Whether a status is a redirect that keeps its meaning for `method`. 301 to 303 turn other
/// methods into GET, which is never what an upload means.
fn follows(method: &Method, status: u16) -> bool {
    match status {
        301..=303 => matches!(*method, Method::GET | Method::HEAD),
        307 | 308 => true,
        _ => false,
    }
}

/// The target of a header with a URL in it, against the URL that answered, if it may be asked.
pub(crate) fn location(reply: &StreamedResponse, header: &str) -> Result<Url, HttpError> {
    let from = reply.url();
    let text = reply.header(header).unwrap_or_default();
    let unreadable = || refused(from, ShownUrl::parse(text), RedirectRefusal::Unreadable);
    if text.is_empty() {
        return Err(unreadable());
    }
    let mut to = from.join(text).map_err(|_| unreadable())?;
    if !matches!(to.scheme(), "http" | "https") || to.host_str().is_none() {
        return Err(unreadable());
    }
    // A user in a redirect is none that anyone here has configured.
    let _ = to.set_username("");
    let _ = to.set_password(None);
    if from.scheme() == "https" && to.scheme() == "http" {
        return Err(refused(from, ShownUrl::of(&to), RedirectRefusal::Downgrade));
    }
    if inward::leads_inward(from, &to) {
        return Err(refused(from, ShownUrl::of(&to), RedirectRefusal::Inward));
    }
    Ok(to)
}

fn refused(from: &Url, to: ShownUrl, refusal: RedirectRefusal) -> HttpError {
    HttpError::Redirect {
        url: ShownUrl::of(from),
        to,
        refusal,
    }
}

/// Whether credentials for `from` are meant for `to` as well: the same origin, or the same host gone
/// from http to https on the usual ports.
pub(crate) fn same_place(from: &Url, to: &Url) -> bool {
    if from.host_str() != to.host_str() {
        return false;
    }
    let ports = (from.port_or_known_default(), to.port_or_known_default());
    (from.scheme() == to.scheme() && ports.0 == ports.1)
        || (from.scheme() == "http" && to.scheme() == "https" && ports == (Some(80), Some(443)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let cases = [
            ("https://h/a", "https://h/b", true),
            ("https://h/a", "https://h:443/b", true),
            ("http://h/a", "https://h/b", true),
            ("https://h/a", "http://h/b", false),
            ("https://h/a", "https://h:8443/b", false),
            ("http://h:8080/a", "https://h/b", false),
            ("https://h/a", "https://cdn.h/b", false),
        ];
        for (from, to, same) in cases {
            assert_eq!(same_place(&url(from), &url(to)), same, "{from} {to}");
        }
    }

    #[test]
    fn certificates_are_shown_to_the_registry_alone() {
        for (stays, text, itself) in [
            (false, "https://r.example:5000/v2/", true),
            (false, "https://r.example/v2/", false),
            (false, "https://storage.example/upload", false),
            (true, "https://auth.example/token", true),
        ] {
            let manner = RequestOptions {
                rules_of: Some("r.example:5000"),
                stays,
                ..RequestOptions::default()
            };
            let whose = manner.whose(&url(text)).unwrap();
            assert_eq!(whose.itself, itself, "{text}");
        }
    }

    #[test]
    fn only_meaning_that_keeps_is_followed() {
        assert!(
            follows(&Method::GET, 302) && follows(&Method::HEAD, 303) && follows(&Method::PUT, 307)
        );
        assert!(
            !follows(&Method::PUT, 302)
                && !follows(&Method::POST, 303)
                && !follows(&Method::GET, 304)
        );
    }
}
