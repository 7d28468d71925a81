//! The two connection pools beneath a client, each made when it is first needed.
//!
//! One is for this machine: plain http to loopback, without proxy and without certificate
//! authorities. The other is for everything else: the system's authorities (or those of
//! `SSL_CERT_FILE` and `SSL_CERT_DIR`, where set) and the system's proxies.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::blocking::{Client as Pool, ClientBuilder};
use reqwest::{Certificate, Url, redirect};

use crate::net::http::{ClientSettings, HttpError};

/// Idle connections are dropped before the usual server does it (nginx: 75 s).
const KEEP_IDLE: Duration = Duration::from_secs(45);
/// Idle connections kept for a host; more threads than this do not transfer at once.
const KEEP_PER_HOST: usize = 16;
/// No file of certificates is larger; the system's bundle has 220 KB.
const MAX_CA_FILE_BYTES: u64 = 8 << 20;

/// Both pools.
#[derive(Default)]
pub(super) struct Wires {
    here: Mutex<Option<Pool>>,
    world: Mutex<Option<Pool>>,
}

impl Wires {
    /// The pool for `url`, made if this is the first time.
    pub(super) fn pool(&self, url: &Url, settings: &ClientSettings) -> Result<Pool, HttpError> {
        if url.scheme() == "http" && url.host_str().is_some_and(is_loopback) {
            // An empty set of authorities, so that none is loaded.
            made(&self.here, || {
                builder(settings)
                    .no_proxy()
                    .tls_certs_only([])
                    .build()
                    .map_err(setup)
            })
        } else {
            made(&self.world, || {
                let authorities = authorities(&settings.ca_files)?;
                builder(settings)
                    .tls_certs_merge(authorities)
                    .build()
                    .map_err(setup)
            })
        }
    }
}

fn made(
    place: &Mutex<Option<Pool>>,
    make: impl FnOnce() -> Result<Pool, HttpError>,
) -> Result<Pool, HttpError> {
    let mut place: MutexGuard<'_, _> = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = &*place {
        return Ok(pool.clone());
    }
    let pool = make()?;
    *place = Some(pool.clone());
    Ok(pool)
}

fn builder(settings: &ClientSettings) -> ClientBuilder {
    // Fails if a provider is there already, which is then this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Pool::builder()
        .user_agent(settings.user_agent.as_str())
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.idle_timeout)
        .tcp_user_timeout(settings.idle_timeout)
        .pool_idle_timeout(KEEP_IDLE)
        .pool_max_idle_per_host(KEEP_PER_HOST)
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn setup(error: reqwest::Error) -> HttpError {
    HttpError::Setup {
        cause: super::error::chain(&error),
    }
}

fn authorities(files: &[impl AsRef<Path>]) -> Result<Vec<Certificate>, HttpError> {
    let mut all = Vec::new();
    for path in files {
        let path = path.as_ref();
        let failed = |source| HttpError::CaFile {
            path: path.to_owned(),
            source,
        };
        let size = fs::metadata(path).map_err(failed)?.len();
        if size > MAX_CA_FILE_BYTES {
            return Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        let pem = fs::read(path).map_err(failed)?;
        let found = Certificate::from_pem_bundle(&pem)
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        if found.is_empty() {
            return Err(failed(io::Error::new(
                io::ErrorKind::InvalidData,
                "no certificate in it",
            )));
        }
        all.extend(found);
    }
    Ok(all)
}

/// Whether `host`, as a URL has it, names this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.8.9.1",
            "[::1]",
            "::1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example",
            "128.0.0.1",
            "10.0.0.1",
            "[::2]",
            "",
            "127.0.0.1.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_useless_ca_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = authorities(&[file.path()]).unwrap_err().to_string();
        assert!(error.contains(file.path().to_str().unwrap()), "{error}");
        assert!(
            authorities(&["/nonexistent/ca.pem"])
                .unwrap_err()
                .to_string()
                .contains("/nonexistent/ca.pem")
        );
    }
}
