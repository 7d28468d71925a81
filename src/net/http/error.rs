//! What can go wrong between asking a URL and having its bytes.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use crate::net::ShownUrl;
use crate::net::http::retry::RetryHint;
use crate::report::{DISK, ErrorClass, Explain, Explanation};

/// A request that did not give what was asked for. URLs in it are fit to be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// `--offline`: this would have been asked.
    #[error("offline, and {url} is needed")]
    Offline {
        /// `GET`, `PUT`, …
        method: String,
        /// The URL not asked.
        url: ShownUrl,
    },
    /// Not a URL of http or https.
    #[error("{url} is not an http or https URL")]
    BadUrl { url: ShownUrl },
    /// A file of additional certificate authorities is of no use.
    #[error("{}: {source}", path.display())]
    CaFile { path: PathBuf, source: io::Error },
    /// The TLS or HTTP library could not be set up.
    #[error("TLS cannot be set up: {cause}")]
    Setup {
        /// What the library says.
        cause: String,
    },
    /// No connection: name, network, refusal, TLS.
    #[error("cannot connect to {url}: {cause}")]
    Connect {
        url: ShownUrl,
        /// What the libraries say.
        cause: String,
        tries: u32,
    },
    /// Nothing came for too long.
    #[error("{url} does not answer in time")]
    TimedOut { url: ShownUrl, tries: u32 },
    /// The connection ended early.
    #[error("the connection to {url} broke off: {cause}")]
    Broken {
        url: ShownUrl,
        /// What the libraries say.
        cause: String,
        tries: u32,
    },
    /// The server answered, but not with what was asked for.
    #[error("{url} answers {status}")]
    Status {
        url: ShownUrl,
        status: u16,
        /// The beginning of the body, printable.
        body: String,
        /// What the server asks by `Retry-After`.
        passing: RetryHint,
        tries: u32,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects to {to}, which is not followed")]
    Redirect {
        url: ShownUrl,
        to: ShownUrl,
        refusal: RedirectRefusal,
    },
    /// Credentials would go over the wire in the clear.
    #[error("{url} is not asked, because credentials would go there without TLS")]
    PlainSecret {
        /// The URL not asked.
        url: ShownUrl,
    },
    /// More bytes than allowed.
    #[error("{url} is larger than {limit_bytes} bytes")]
    TooLarge { url: ShownUrl, limit_bytes: u64 },
    /// Bytes that are not the ones expected.
    #[error("{url} has sha256 {found}, not {expected}")]
    WrongHash {
        url: ShownUrl,
        /// Sha256, in hex digits.
        expected: String,
        /// Sha256, in hex digits.
        found: String,
    },
    /// Fewer or more bytes than expected.
    #[error("{url} has {found} bytes, not {expected}")]
    WrongSize {
        url: ShownUrl,
        /// Length that was announced, in bytes.
        expected: u64,
        /// Length that came, in bytes.
        found: u64,
    },
    /// The bytes on the server changed between two tries of one download.
    #[error("{url} changed while it was read")]
    Changed { url: ShownUrl },
    /// The bytes could not be written here, or those to send could not be read here.
    #[error("while transferring {url}: {source}")]
    Local {
        url: ShownUrl,
        /// The failure on this side.
        source: io::Error,
    },
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedirectRefusal {
    /// From https to http.
    Downgrade,
    /// More than the limit, in all likelihood in a circle.
    TooMany,
    /// `Location` is missing or not a URL of http or https.
    Unreadable,
    /// To an address inside the network, from a host that is not there.
    Inward,
}

impl RedirectRefusal {
    fn words(self) -> &'static str {
        match self {
            Self::Downgrade => "it leads from https to http, where anyone on the way can change it",
            Self::TooMany => "there are too many redirects, in all likelihood a circle",
            Self::Unreadable => "its target is not an http or https URL",
            Self::Inward => {
                "it leads to an address of a private network, which a public server has no reason to name"
            }
        }
    }
}

impl HttpError {
    /// The HTTP status, if the server answered with one that is the failure.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether trying again can help, and when.
    pub(crate) fn passing(&self) -> Option<RetryHint> {
        match self {
            Self::Connect { cause, .. } if is_certificate(cause) => None,
            Self::Connect { cause, .. } if is_nobody(cause) => Some(RetryHint::Unlikely),
            Self::Connect { .. } | Self::TimedOut { .. } | Self::Broken { .. } => {
                Some(RetryHint::Scheduled)
            }
            Self::Status {
                status, passing, ..
            } => super::retry::status_may_pass(*status).then_some(*passing),
            _ => None,
        }
    }

    /// The same failure, after so many requests.
    pub(crate) fn after(mut self, made: u32) -> Self {
        if let Self::Connect { tries, .. }
        | Self::TimedOut { tries, .. }
        | Self::Broken { tries, .. }
        | Self::Status { tries, .. } = &mut self
        {
            *tries = made;
        }
        self
    }

    /// Sorts a failure of the library; its own words name the URL in full, so they are not used.
    pub(crate) fn of(error: reqwest::Error, url: &ShownUrl) -> Self {
        let url = url.clone();
        if error.is_timeout() {
            return Self::TimedOut { url, tries: 1 };
        }
        let connect = error.is_connect();
        let cause = chain(&error.without_url());
        if connect {
            Self::Connect {
                url,
                cause,
                tries: 1,
            }
        } else {
            Self::Broken {
                url,
                cause,
                tries: 1,
            }
        }
    }

    /// Sorts a failure of reading a body, into which the library has put its own error.
    pub(crate) fn of_body(error: io::Error, url: &ShownUrl) -> Self {
        let timed_out = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<reqwest::Error>())
            .is_some_and(reqwest::Error::is_timeout);
        let url = url.clone();
        if timed_out || error.kind() == io::ErrorKind::TimedOut {
            return Self::TimedOut { url, tries: 1 };
        }
        let cause = error
            .into_inner()
            .map(<dyn StdError + Send + Sync>::downcast::<reqwest::Error>);
        let cause = match cause {
            Some(Ok(inner)) => chain(&inner.without_url()),
            Some(Err(inner)) => chain(&*inner),
            None => "the body ended early".to_owned(),
        };
        Self::Broken {
            url,
            cause,
            tries: 1,
        }
    }
}

/// The causes beneath an error, outermost left out where it says nothing by itself.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let word = error.to_string();
        if words.last().is_none_or(|last| !last.contains(&word)) {
            words.push(word);
        }
        next = error.source();
    }
    if words.len() > 1 {
        words.remove(0);
    }
    words.join(": ")
}

fn is_certificate(cause: &str) -> bool {
    cause.contains("certificate")
}

/// No such host, or nothing that listens there. A resolver's errors have no numbers here, so they
/// are told apart by what glibc, musl and macOS call them; "temporary failure" is none of them.
fn is_nobody(cause: &str) -> bool {
    const WORDS: [&str; 5] = [
        "Connection refused",
        "Name or service not known",
        "No address associated with",
        "Name does not resolve",
        "nodename nor servname",
    ];
    WORDS.iter().any(|words| cause.contains(words))
}

impl Explain for HttpError {
    fn explain(&self) -> Explanation {
        match self {
            Self::Offline { method, url } => explain_offline(method, url),
            Self::BadUrl { url } => Explanation {
                class: ErrorClass::Project,
                ..world(
                    "a URL cannot be used",
                    url,
                    "s2r reads http:// and https:// URLs only".to_owned(),
                    "correct the URL where it is configured",
                )
            },
            Self::CaFile { path, source } => explain_ca_file(path, source),
            Self::Setup { cause } => explain_setup(cause),
            Self::Connect { url, cause, tries } => explain_connect(url, cause, *tries),
            Self::TimedOut { url, tries } => world(
                "the server does not answer in time",
                url,
                format!("nothing came for too long{}", after_tries(*tries)),
                "try again later, or name another mirror",
            ),
            Self::Broken { url, cause, tries } => world(
                "the connection broke off",
                url,
                format!("{cause}{}", after_tries(*tries)),
                "run the command again; if it breaks off at the same place, check the proxies in between",
            ),
            Self::Status {
                url,
                status,
                body,
                tries,
                ..
            } => explain_status(url, *status, body, *tries),
            Self::Redirect { url, to, refusal } => world(
                "a redirect is not followed",
                url,
                format!("to {to}: {}", refusal.words()),
                "name the final URL, or mend the server",
            ),
            Self::PlainSecret { url } => explain_plain_secret(url),
            Self::TooLarge { url, limit_bytes } => world(
                "the answer is too large",
                url,
                format!("more than {limit_bytes} bytes came"),
                "check that the URL names what it should",
            ),
            Self::WrongHash {
                url,
                expected,
                found,
            } => world(
                "the downloaded bytes are not the expected ones",
                url,
                format!("expected sha256 {expected}\nfound    sha256 {found}"),
                "the file changed or was tampered with: if the change is known, lock again (`s2r lock SOURCE`), else ask who serves the file",
            ),
            Self::WrongSize {
                url,
                expected,
                found,
            } => world(
                "the download has the wrong size",
                url,
                format!("expected {expected} bytes, found {found}"),
                "the file changed or was cut off: run the command again, or lock again (`s2r lock SOURCE`)",
            ),
            Self::Changed { url } => world(
                "a file changed while it was downloaded",
                url,
                "two tries of one download gave different bytes".to_owned(),
                "run the command again",
            ),
            Self::Local { url, source } => world(
                "a transfer failed on this side",
                url,
                source.to_string(),
                DISK,
            ),
        }
    }
}

/// How often something was tried, as the end of a sentence; nothing for once.
pub(crate) fn after_tries(tries: u32) -> String {
    if tries > 1 {
        format!(" (after {tries} tries)")
    } else {
        String::new()
    }
}

fn world(what: &str, url: &ShownUrl, why: String, next: &str) -> Explanation {
    Explanation {
        class: ErrorClass::World,
        what: what.to_owned(),
        place: url.to_string(),
        why,
        next: next.to_owned(),
    }
}

fn explain_offline(method: &str, url: &ShownUrl) -> Explanation {
    world(
        "something is needed from the network, and --offline forbids it",
        url,
        format!("it would be asked by {method}"),
        "run once without --offline, so that it is kept in the store",
    )
}

fn explain_plain_secret(url: &ShownUrl) -> Explanation {
    world(
        "credentials are not sent without TLS",
        url,
        "it is an http URL, and anyone on the way could read them".to_owned(),
        "have the server speak https; if the network between is your own, allow it: --insecure-registry HOST",
    )
}

fn explain_ca_file(path: &Path, source: &io::Error) -> Explanation {
    Explanation {
        class: ErrorClass::World,
        what: "a file of certificate authorities cannot be used".to_owned(),
        place: path.display().to_string(),
        why: source.to_string(),
        next: "name a readable file of PEM certificates: --ca FILE, or SSL_CERT_FILE".to_owned(),
    }
}

fn explain_setup(cause: &str) -> Explanation {
    Explanation {
        class: ErrorClass::World,
        what: "TLS cannot be set up".to_owned(),
        place: String::new(),
        why: cause.to_owned(),
        next: "install the system's certificate authorities (package ca-certificates), or name a \
               PEM file in SSL_CERT_FILE"
            .to_owned(),
    }
}

fn explain_connect(url: &ShownUrl, cause: &str, tries: u32) -> Explanation {
    let (what, next) = if is_certificate(cause) {
        (
            "the server's certificate is not trusted",
            "if your network signs certificates itself, name its authority's PEM file by --ca or in SSL_CERT_FILE",
        )
    } else {
        (
            "no connection",
            "check the name, the network and the proxy settings (HTTPS_PROXY, NO_PROXY)",
        )
    };
    Explanation {
        class: ErrorClass::World,
        what: what.to_owned(),
        place: url.to_string(),
        why: format!("{cause}{}", after_tries(tries)),
        next: next.to_owned(),
    }
}

fn explain_status(url: &ShownUrl, status: u16, body: &str, tries: u32) -> Explanation {
    let next = match status {
        401 | 403 => {
            "give credentials for this host (in the URL or in ~/.netrc), or check that they allow this"
        }
        404 | 410 => "check the URL: the server has no such thing",
        407 => "give the proxy's credentials in HTTPS_PROXY",
        408 | 425 | 429 | 500..=599 => {
            "the server is busy or broken: try again later, or name another mirror"
        }
        _ => "look at the server's answer",
    };
    let said = if body.is_empty() {
        String::new()
    } else {
        format!(": {body}")
    };
    Explanation {
        class: ErrorClass::World,
        what: format!("the server answers {status}"),
        place: url.to_string(),
        why: format!("{}{said}{}", reason(status), after_tries(tries)),
        next: next.to_owned(),
    }
}

fn reason(status: u16) -> &'static str {
    reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("a status without a name")
}

#[cfg(test)]
crate::report::samples! {
    enum HttpError {
        Offline { method: "GET".into(), url: url() },
        BadUrl { url: ShownUrl::parse("ftp://pypi.example.com/simple/flask/") },
        CaFile { path: "/etc/ssl/own.pem".into(), source: crate::report::samples::denied() },
        Setup { cause: "no certificates".into() },
        Connect { url: url(), cause: "Connection refused (os error 111)".into(), tries: 2 },
        Connect { url: url(), cause: "invalid peer certificate: UnknownIssuer".into(), tries: 1 },
        TimedOut { url: url(), tries: 4 },
        Broken { url: url(), cause: "unexpected end of file".into(), tries: 4 },
        Status { url: url(), status: 401, body: "log in".into(), passing: RetryHint::Scheduled, tries: 1 },
        Status { url: url(), status: 404, body: String::new(), passing: RetryHint::Scheduled, tries: 1 },
        Status { url: url(), status: 407, body: String::new(), passing: RetryHint::Scheduled, tries: 1 },
        Status { url: url(), status: 503, body: String::new(), passing: RetryHint::Scheduled, tries: 4 },
        Redirect { url: url(), to: ShownUrl::parse("http://pypi.example.com/"), refusal: RedirectRefusal::Downgrade },
        Redirect { url: url(), to: url(), refusal: RedirectRefusal::TooMany },
        Redirect { url: url(), to: ShownUrl::parse("ftp://pypi.example.com/"), refusal: RedirectRefusal::Unreadable },
        Redirect { url: url(), to: ShownUrl::parse("http://10.0.0.1/"), refusal: RedirectRefusal::Inward },
        PlainSecret { url: ShownUrl::parse("http://registry.example.com/v2/") },
        TooLarge { url: url(), limit_bytes: 1000 },
        WrongHash { url: url(), expected: "aa11".into(), found: "bb22".into() },
        WrongSize { url: url(), expected: 1000, found: 999 },
        Changed { url: url() },
        Local { url: url(), source: crate::report::samples::denied() },
    }
}

#[cfg(test)]
fn url() -> ShownUrl {
    ShownUrl::parse("https://pypi.example.com/simple/flask/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_there_is_told_from_a_broken_connection() {
        let cases = [
            (
                "dns error: failed to lookup address information: Name or service not known",
                Some(RetryHint::Unlikely),
            ),
            (
                "tcp connect error: Connection refused (os error 111)",
                Some(RetryHint::Unlikely),
            ),
            (
                "tcp connect error: Connection reset by peer (os error 104)",
                Some(RetryHint::Scheduled),
            ),
            (
                "dns error: failed to lookup address information: Temporary failure in name resolution",
                Some(RetryHint::Scheduled),
            ),
            ("invalid peer certificate: UnknownIssuer", None),
        ];
        for (cause, expected) in cases {
            let error = HttpError::Connect {
                url: ShownUrl::of(&reqwest::Url::parse("https://example.org/").unwrap()),
                cause: cause.to_owned(),
                tries: 1,
            };
            assert_eq!(error.passing(), expected, "{cause}");
        }
    }
}
