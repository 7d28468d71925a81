//! One HTTP client for everything: HTTP/1.1, connections kept and shared by all threads, retries,
//! limits, redirects followed by our own rules, and `--offline`.
//!
//! HTTP/1.1 only, because bodies are what is moved here, and one connection a transfer beats one
//! window for all. Nothing is set up before the first request, and certificate authorities are not
//! read before the first request that leaves this machine: reading them takes longer than a build
//! that has nothing to do.

mod connection_pools;
mod error;
mod fetch;
mod hosts;
mod inward;
mod reply;
mod request;
mod retry;
mod send;
mod timely;
mod trust;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use crate::net::credentials::Credentials;
use crate::net::mirrors::MirrorRules;
use crate::net::tokens::TokenCache;

pub(crate) use error::{HttpError, RedirectRefusal, after_tries};
pub(crate) use fetch::{DownloadSummary, ExpectedDownload};
pub(crate) use hosts::HostState;
pub(crate) use reply::{Response, StreamedResponse, printable};
pub(crate) use request::{HttpRequest, OpenBody, RequestBody};
pub(crate) use retry::{RetryBudget, RetryHint, RetryPolicy, RetryState, status_may_pass};
pub(crate) use send::{RequestOptions, Retryable, location, same_place};
pub(crate) use timely::DeadlineReader;
pub(crate) use trust::is_loopback;
pub(crate) use trust::{TlsRules, authority};

/// A wait before another try, worth telling the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetryNotice {
    /// What failed, fit to be shown.
    pub failure: String,
    /// How long until the next try.
    pub wait: Duration,
}

/// Takes notices; called from any thread.
pub(crate) type OnNotice = Box<dyn Fn(&RetryNotice) + Send + Sync>;

/// What a client is told when it is made. `Default` gives the values for everyday use.
pub(crate) struct ClientSettings {
    /// PEM files of certificate authorities trusted in addition to the system's.
    pub ca_files: Vec<PathBuf>,
    /// Refuse every request, and say what it would have been.
    pub offline: bool,
    pub user_agent: String,
    /// For name, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest time in which nothing at all arrives.
    pub idle_timeout: Duration,
    pub retry: RetryPolicy,
    /// Users and passwords by host.
    pub credentials: Credentials,
    /// Whom registries are to be, and how that is shown.
    pub trust: TlsRules,
    /// Where registries are really read.
    pub mirrors: MirrorRules,
    /// Told before each wait for another try.
    pub notice: Option<OnNotice>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            ca_files: Vec::new(),
            offline: false,
            user_agent: concat!("s2r/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_mins(1),
            retry: RetryPolicy::default(),
            credentials: Credentials::default(),
            trust: TlsRules::default(),
            mirrors: MirrorRules::default(),
            notice: None,
        }
    }
}

impl ClientSettings {
    /// Whether a registry's certificate is of no interest.
    fn is_insecure(&self, registry: &str) -> bool {
        self.trust.is_insecure(registry)
            || (self.trust.verify.is_none() && self.mirrors.is_insecure(registry))
    }
}

/// The client; cheap to make, shared by reference between threads.
pub(crate) struct Client {
    settings: ClientSettings,
    wires: connection_pools::ConnectionPools,
    schemes: trust::SchemeCache,
    tokens: TokenCache,
    hosts: hosts::HostTable,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("offline", &self.settings.offline)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client that has done nothing yet: no file is read and no thread started.
    pub(crate) fn new(settings: ClientSettings) -> Self {
        Self {
            settings,
            wires: connection_pools::ConnectionPools::default(),
            schemes: trust::SchemeCache::default(),
            tokens: TokenCache::default(),
            hosts: hosts::HostTable::default(),
        }
    }

    /// The credentials it was given.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.settings.credentials
    }

    /// The authorizations that registries have given it.
    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    /// Its rules for registries.
    pub(crate) fn trust(&self) -> &TlsRules {
        &self.settings.trust
    }

    /// Its rules for where registries are read.
    pub(crate) fn mirrors(&self) -> &MirrorRules {
        &self.settings.mirrors
    }

    /// A URL with the scheme that turned out to be spoken there, if it is one of `registry`, an
    /// [`authority`].
    pub(crate) fn settled(&self, registry: &str, url: &Url) -> Url {
        self.schemes.settled(registry, url)
    }

    /// What this run has learnt of a host.
    pub(crate) fn host(&self, name: &str) -> Arc<HostState> {
        self.hosts.host(name)
    }

    /// Waits that one piece of work of many requests may make in all.
    pub(crate) fn budget(&self) -> Arc<RetryBudget> {
        Arc::new(RetryBudget::new(self.settings.retry.total))
    }

    /// Gets a document of at most `max_bytes`, retrying what may pass. `headers` are sent as they
    /// are. A status other than 2xx and 304 is an error ([`HttpError::status`] tells which).
    pub(crate) fn get(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        max_bytes: u64,
    ) -> Result<Response, HttpError> {
        let request = HttpRequest::get(url, headers)?;
        self.patiently(|| {
            let reply = self.send_once(&request)?;
            let status = reply.status();
            if !(200..300).contains(&status) && status != 304 {
                return Err(reply.into_error());
            }
            reply.into_response(max_bytes)
        })
    }

    /// How long a file is, in bytes, without fetching it (RFC 9110, section 9.3.2); `None` if the
    /// server does not tell.
    pub(crate) fn length(&self, url: &str) -> Result<Option<u64>, HttpError> {
        let mut request = HttpRequest::get(url, &[])?;
        request.method = reqwest::Method::HEAD;
        self.patiently(|| {
            let reply = self.send_once(&request)?;
            if reply.status() != 200 {
                return Err(reply.into_error());
            }
            Ok(reply
                .header("content-length")
                .and_then(|length| length.parse().ok()))
        })
    }
}

#[cfg(test)]
mod tests;
