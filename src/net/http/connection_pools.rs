//! The connection pools beneath a client, each made when it is first needed.
//!
//! One is for this machine: plain http to loopback, without proxy and without certificate authorities.
//! One is for everything else: the system's authorities (or those of `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`, where set) and the system's proxies. A registry with rules of its own
//! (`trust`) has a pool of its own, and so have hosts that no proxy is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::blocking::{Client as Pool, ClientBuilder};
use reqwest::{Certificate, Identity, Url, redirect};

use crate::net::http::trust::{RegistryRules, is_loopback};
use crate::net::http::{ClientSettings, HttpError};
use crate::net::tokens::locked;

/// Idle connections are dropped before the usual server does it (nginx: 75 s).
const KEEP_IDLE: Duration = Duration::from_secs(45);
/// Idle connections kept for a host; more threads than this do not transfer at once.
const KEEP_PER_HOST: usize = 16;
/// No file of certificates is larger; the system's bundle has 220 KB.
const MAX_CA_FILE_BYTES: u64 = 8 << 20;

#[derive(Default)]
pub(super) struct ConnectionPools {
    pools: Mutex<BTreeMap<PoolKey, Pool>>,
    rules: Mutex<BTreeMap<String, Arc<RegistryRules>>>,
}

/// On whose behalf a request goes out.
#[derive(Debug, Clone, Copy)]
pub(super) struct TlsIdentity<'a> {
    pub registry: &'a str,
    /// Whether it goes to the registry itself or to its token service, not to where that has sent us.
    pub itself: bool,
}

/// What tells one pool from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum PoolKey {
    Here,
    World {
        /// No proxy is asked.
        direct: bool,
        /// The registry whose rules hold, where it has any, and whether our certificate is shown.
        rules: Option<(String, bool)>,
    },
}

impl ConnectionPools {
    /// The pool for `url`, made if this is the first time.
    pub(super) fn pool(
        &self,
        url: &Url,
        whose: Option<TlsIdentity<'_>>,
        settings: &ClientSettings,
    ) -> Result<Pool, HttpError> {
        if url.scheme() == "http" && url.host_str().is_some_and(is_loopback) {
            // An empty set of authorities, so that none is loaded.
            return self.made(PoolKey::Here, || {
                builder(settings)
                    .no_proxy()
                    .tls_certs_only([])
                    .build()
                    .map_err(setup)
            });
        }
        let rules = match whose {
            Some(whose) => self.rules(whose.registry, settings)?,
            None => Arc::default(),
        };
        let shows = whose.is_some_and(|whose| whose.itself) && rules.identity.is_some();
        let key = PoolKey::World {
            direct: settings.trust.is_direct(url),
            rules: whose
                .filter(|_| *rules != RegistryRules::default())
                .map(|whose| (whose.registry.to_owned(), shows)),
        };
        self.made(key.clone(), || pool(&key, &rules, settings))
    }

    fn rules(
        &self,
        registry: &str,
        settings: &ClientSettings,
    ) -> Result<Arc<RegistryRules>, HttpError> {
        let mut known = locked(&self.rules);
        if let Some(rules) = known.get(registry) {
            return Ok(Arc::clone(rules));
        }
        let mut rules = settings.trust.rules(registry)?;
        rules.insecure = settings.is_insecure(registry);
        let rules = Arc::new(rules);
        known.insert(registry.to_owned(), Arc::clone(&rules));
        Ok(rules)
    }

    fn made(
        &self,
        key: PoolKey,
        make: impl FnOnce() -> Result<Pool, HttpError>,
    ) -> Result<Pool, HttpError> {
        let mut pools = locked(&self.pools);
        if let Some(pool) = pools.get(&key) {
            return Ok(pool.clone());
        }
        let pool = make()?;
        pools.insert(key, pool.clone());
        Ok(pool)
    }
}

/// A pool to the world.
fn pool(
    key: &PoolKey,
    rules: &RegistryRules,
    settings: &ClientSettings,
) -> Result<Pool, HttpError> {
    let mut builder = builder(settings);
    if matches!(key, PoolKey::World { direct: true, .. }) {
        builder = builder.no_proxy();
    }
    if rules.insecure {
        builder = builder
            .tls_certs_only([])
            .tls_danger_accept_invalid_certs(true);
    } else {
        let mut all = authorities(&settings.ca_files)?;
        all.extend(authorities(&rules.authorities)?);
        builder = builder.tls_certs_merge(all);
    }
    if let PoolKey::World {
        rules: Some((_, true)),
        ..
    } = key
        && let Some((certificate, key)) = &rules.identity
    {
        builder = builder.identity(identity(certificate, key)?);
    }
    builder.build().map_err(setup)
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
        let pem = read(path)?;
        let found = Certificate::from_pem_bundle(&pem)
            .map_err(|error| unusable(path, io::Error::new(io::ErrorKind::InvalidData, error)))?;
        if found.is_empty() {
            let nothing = io::Error::new(io::ErrorKind::InvalidData, "no certificate in it");
            return Err(unusable(path, nothing));
        }
        all.extend(found);
    }
    Ok(all)
}

/// A certificate and its key, both PEM.
fn identity(certificate: &Path, key: &Path) -> Result<Identity, HttpError> {
    let mut pem = read(key)?;
    pem.push(b'\n');
    pem.extend(read(certificate)?);
    // The library's message may quote the key.
    Identity::from_pem(&pem).map_err(|_| {
        let reason = "not a PEM certificate with a PEM key beside it";
        unusable(
            certificate,
            io::Error::new(io::ErrorKind::InvalidData, reason),
        )
    })
}

fn read(path: &Path) -> Result<Vec<u8>, HttpError> {
    let size = fs::metadata(path)
        .map_err(|error| unusable(path, error))?
        .len();
    if size > MAX_CA_FILE_BYTES {
        return Err(unusable(path, io::ErrorKind::FileTooLarge.into()));
    }
    fs::read(path).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, source: io::Error) -> HttpError {
    HttpError::CaFile {
        path: path.to_owned(),
        source,
    }
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
