//! Whom a registry has to be: which authorities its certificate may come from, which certificate it is
//! shown, and whether it may be spoken to without any.
//!
//! - Plain http is spoken with this machine, and with nobody else unless the user lists the registry as
//!   insecure. A listed one is tried by https first, its certificate not looked at, and by http if there
//!   is no TLS: what docker does for `insecure-registries`, and podman with `--tls-verify=false`.
//! - A registry on this machine that turns out to want TLS is spoken to by https, its certificate checked
//!   as anyone's.
//! - Folders of certificates are docker's and containers' (containers-certs.d(5)): below each root one
//!   folder a registry, `HOST[:PORT]`, with `*.crt` for authorities and `*.cert` with its `*.key` for what
//!   is shown to the registry. They add to the system's authorities.
//! - Services inside an OpenShift cluster have certificates of the cluster's own authority.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use reqwest::{Url, Version};

use crate::net::http::{HttpError, StreamedResponse};
use crate::net::tokens::locked;
use crate::oci::{DOCKER_HUB, DOCKER_HUB_HOST};

/// Files looked at in one folder; a person has put them there by hand.
const MAX_FILES: usize = 100;

/// The user's rules. `Default`: the system's authorities and nothing else.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsRules {
    /// Folders of folders named by registry.
    pub certificate_roots: Vec<PathBuf>,
    /// A folder for all registries of this run.
    pub certificates: Option<PathBuf>,
    /// Authorities of services in the cluster that this runs in.
    pub cluster_authorities: Vec<PathBuf>,
    /// Registries, `HOST[:PORT]`, whose certificates are not checked, or that have none.
    pub insecure: BTreeSet<String>,
    /// Some(false): all registries are insecure; Some(true): none is, not even one on this machine.
    pub verify: Option<bool>,
    /// Hosts that may give tokens for any registry.
    pub token_hosts: BTreeSet<String>,
    /// `NO_PROXY`: hosts that no proxy is asked for; see [`TlsRules::is_direct`].
    pub no_proxy: String,
}

/// What holds for one registry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RegistryRules {
    /// Certificates are not looked at.
    pub insecure: bool,
    /// Authorities besides the system's.
    pub authorities: Vec<PathBuf>,
    /// A certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl TlsRules {
    /// The base URL of a registry's host, `HOST[:PORT]`: the one place where its scheme is chosen.
    pub(crate) fn registry_base(&self, host: &str) -> Option<Url> {
        let secure = Url::parse(&format!("https://{host}/v2/")).ok()?;
        if is_loopback(secure.host_str()?) && self.verify != Some(true) {
            return with_scheme(&secure, "http");
        }
        Some(secure)
    }

    /// Whether a registry's certificate is of no interest.
    pub(super) fn is_insecure(&self, registry: &str) -> bool {
        match self.verify {
            Some(verify) => !verify,
            None => self.insecure.contains(registry),
        }
    }

    /// Whether the user has said that this place may give tokens.
    pub(crate) fn may_give_tokens(&self, url: &Url) -> bool {
        let place = authority(url);
        let named = |list: &BTreeSet<String>| {
            list.contains(&place) || url.host_str().is_some_and(|host| list.contains(host))
        };
        match url.scheme() {
            "https" => named(&self.token_hosts),
            // Without TLS only where that is allowed, too.
            "http" => named(&self.insecure) && self.verify != Some(true),
            _ => false,
        }
    }

    /// Whether no proxy is to be asked: this machine, and what `NO_PROXY` lists in the forms that the
    /// HTTP library does not know: `HOST:PORT` and `*.SUFFIX`.
    pub(super) fn is_direct(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default();
        is_loopback(host)
            || self.no_proxy.split(',').map(str::trim).any(|entry| {
                let (name, wanted) = match entry.rsplit_once(':') {
                    Some((name, digits)) if !name.ends_with(':') => {
                        (name, digits.parse::<u16>().ok())
                    }
                    _ => (entry, None),
                };
                let starred = name.strip_prefix('*').filter(|rest| !rest.is_empty());
                if wanted.is_none() && starred.is_none() {
                    return false;
                }
                let name = starred.unwrap_or(name).trim_start_matches('.');
                let below = host
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                below && !name.is_empty() && (wanted.is_none() || wanted == port)
            })
    }

    /// What holds for a registry; looks at the folders there are.
    pub(super) fn rules(&self, registry: &str) -> Result<RegistryRules, HttpError> {
        let mut rules = RegistryRules {
            insecure: self.is_insecure(registry),
            ..RegistryRules::default()
        };
        if is_cluster_service(registry) {
            let there = self.cluster_authorities.iter().filter(|path| path.exists());
            rules.authorities.extend(there.cloned());
        }
        let mut folders: Vec<PathBuf> = self.certificates.clone().into_iter().collect();
        for root in &self.certificate_roots {
            folders.extend(folder_names(registry).iter().map(|name| root.join(name)));
        }
        for folder in folders {
            rules.add(&folder, self.certificates.as_ref() == Some(&folder))?;
        }
        Ok(rules)
    }
}

impl RegistryRules {
    /// Takes in a folder; one that is not there or may not be read is none, unless it was named.
    fn add(&mut self, folder: &Path, is_named: bool) -> Result<(), HttpError> {
        let failed = |path: &Path, source| HttpError::CaFile {
            path: path.to_owned(),
            source,
        };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if !is_named && is_absence(&error) => return Ok(()),
            Err(error) => return Err(failed(folder, error)),
        };
        let mut files = Vec::new();
        for entry in entries.take(MAX_FILES) {
            files.push(entry.map_err(|error| failed(folder, error))?.path());
        }
        files.sort();
        for path in files {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.authorities.push(path),
                Some("cert") if self.identity.is_none() => {
                    let key = path.with_extension("key");
                    if !key.exists() {
                        return Err(failed(&key, io::ErrorKind::NotFound.into()));
                    }
                    self.identity = Some((path, key));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

/// The names that a registry's folder may have: with and without the port that https has anyway, and
/// Docker Hub's.
fn folder_names(registry: &str) -> Vec<String> {
    let mut names = vec![registry.to_owned()];
    if !registry.contains(':') {
        names.push(format!("{registry}:443"));
    }
    if registry == DOCKER_HUB_HOST {
        names.push(DOCKER_HUB.to_owned());
    }
    names
}

/// Whether a name is one of a service inside a Kubernetes cluster.
fn is_cluster_service(registry: &str) -> bool {
    let host = registry.split(':').next().unwrap_or_default();
    ["svc", "svc.cluster.local"].iter().any(|domain| {
        host.strip_suffix(domain)
            .is_some_and(|service| service.ends_with('.'))
    })
}

/// Host and port of a URL, the port left out where it is the scheme's own.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The same URL in another scheme; `None` if that cannot be.
pub(super) fn with_scheme(url: &Url, scheme: &str) -> Option<Url> {
    let mut url = url.clone();
    url.set_scheme(scheme).ok()?;
    Some(url)
}

/// Whether a server on this machine says that it would be spoken to in TLS. Go's library does so by a
/// bare answer of HTTP/1.0, nginx under its name.
pub(super) fn wants_tls(reply: &StreamedResponse) -> bool {
    let bare = reply.inner.version() == Version::HTTP_10;
    let nginx = || {
        reply
            .header("server")
            .is_some_and(|name| name.starts_with("nginx"))
    };
    reply.status() == 400 && reply.url().host_str().is_some_and(is_loopback) && (bare || nginx())
}

/// Whether `url` is on the registry itself, `registry` being its authority. A registry without a port is on
/// the port that belongs to the scheme; one with a port is there in either.
pub(super) fn is_own(registry: &str, url: &Url) -> bool {
    if authority(url) == registry {
        return true;
    }
    // `http://h` is what `https://h:80` turns into.
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    url.port().is_none() && format!("{host}:{port}") == registry
}

/// Which scheme turned out to be spoken where there is a choice, for one run. It is known of registries
/// alone, and holds for their own URLs: where one of them sends us is told nothing by that, and tells
/// nothing of whoever is there.
#[derive(Debug, Default)]
pub(super) struct SchemeCache {
    /// By the registry's authority, as its first URL has it.
    by_registry: Mutex<BTreeMap<String, &'static str>>,
}

impl SchemeCache {
    /// `url` in the scheme that the registry speaks, if it is the registry's.
    pub(super) fn settled(&self, registry: &str, url: &Url) -> Url {
        match locked(&self.by_registry).get(registry) {
            Some(scheme) if *scheme != url.scheme() && is_own(registry, url) => {
                with_scheme(url, scheme).unwrap_or_else(|| url.clone())
            }
            _ => url.clone(),
        }
    }

    /// Whether the registry has been spoken to.
    pub(super) fn is_settled(&self, registry: &str) -> bool {
        locked(&self.by_registry).contains_key(registry)
    }

    /// Remembers that the registry speaks the scheme of `url`, which is its own.
    pub(super) fn settle(&self, registry: &str, url: &Url) {
        let scheme = if url.scheme() == "http" {
            "http"
        } else {
            "https"
        };
        locked(&self.by_registry).insert(registry.to_owned(), scheme);
    }
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

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn schemes_are_chosen_in_one_place() {
        let base = |trust: &TlsRules, host: &str| trust.registry_base(host).unwrap().to_string();
        let default = TlsRules::default();
        assert_eq!(
            base(&default, "127.0.0.1:5000"),
            "http://127.0.0.1:5000/v2/"
        );
        assert_eq!(base(&default, "r.example"), "https://r.example/v2/");
        assert!(default.registry_base("a b").is_none());
        let strict = TlsRules {
            verify: Some(true),
            insecure: BTreeSet::from(["r.example".to_owned()]),
            ..TlsRules::default()
        };
        assert_eq!(base(&strict, "localhost:1"), "https://localhost:1/v2/");
        assert!(!strict.is_insecure("r.example"));
        let listed = TlsRules {
            insecure: BTreeSet::from(["r.example:5000".to_owned()]),
            ..TlsRules::default()
        };
        assert!(listed.is_insecure("r.example:5000") && !listed.is_insecure("r.example"));
        let all = TlsRules {
            verify: Some(false),
            ..TlsRules::default()
        };
        assert!(all.is_insecure("x"));
    }

    #[test]
    fn schemes_are_remembered_by_place() {
        let schemes = SchemeCache::default();
        let at = url("https://r.example:5000/v2/a?b");
        let settled = |registry: &str, at: &Url| schemes.settled(registry, at).to_string();
        assert_eq!(settled("r.example:5000", &at), at.as_str());
        schemes.settle("r.example:5000", &url("http://r.example:5000/"));
        assert_eq!(
            settled("r.example:5000", &at),
            "http://r.example:5000/v2/a?b"
        );
        assert!(!schemes.is_settled("r.example"));
        // Another registry's URL is left as it is, whoever names it.
        let other = url("https://other.example/v2/");
        assert_eq!(settled("r.example:5000", &other), other.as_str());
        assert_eq!(settled("other.example", &at), at.as_str());
        schemes.settle("plain.example", &url("http://plain.example/"));
        assert_eq!(
            settled("plain.example", &url("https://plain.example/v2/")),
            "http://plain.example/v2/"
        );
        // One on port 80 is not the one on port 443.
        schemes.settle("both.example:80", &url("http://both.example/"));
        let both = url("https://both.example/v2/");
        assert_eq!(settled("both.example", &both), both.as_str());
    }

    #[test]
    fn a_registrys_own_urls_are_known() {
        for (registry, text, own) in [
            ("r.example", "https://r.example/v2/", true),
            ("r.example", "http://r.example/v2/", true),
            ("r.example", "https://r.example:5000/", false),
            ("r.example:5000", "http://r.example:5000/", true),
            ("r.example:5000", "https://r.example/", false),
            ("r.example:80", "http://r.example/", true),
            ("r.example:80", "https://r.example/", false),
            ("r.example", "https://cdn.r.example/", false),
        ] {
            assert_eq!(is_own(registry, &url(text)), own, "{registry} {text}");
        }
    }

    #[test]
    fn proxies_are_left_out_where_said() {
        let trust = TlsRules {
            no_proxy: "a.example:5000, *.b.example,.c.example,10.0.0.0/8,[::1]:7,*".to_owned(),
            ..TlsRules::default()
        };
        for (text, direct) in [
            ("https://a.example:5000/", true),
            ("https://a.example/", false),
            ("https://x.a.example:5000/", true),
            ("https://xa.example:5000/", false),
            ("https://x.b.example/", true),
            ("https://b.example/", true),
            ("https://notb.example/", false),
            ("https://127.0.0.1:8443/", true),
            ("https://localhost/", true),
            ("https://other.example/", false),
        ] {
            assert_eq!(trust.is_direct(&url(text)), direct, "{text}");
        }
    }

    #[test]
    fn folders_are_found_by_host_and_port() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("r.example:5000");
        fs::create_dir(&folder).unwrap();
        for name in ["ca.crt", "b.crt", "client.cert", "client.key", "README"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let trust = TlsRules {
            certificate_roots: vec![root.path().to_owned(), "/nonexistent".into()],
            ..TlsRules::default()
        };
        let rules = trust.rules("r.example:5000").unwrap();
        assert_eq!(
            rules.authorities,
            [folder.join("b.crt"), folder.join("ca.crt")]
        );
        let identity = (folder.join("client.cert"), folder.join("client.key"));
        assert_eq!(rules.identity, Some(identity));
        assert_eq!(trust.rules("r.example").unwrap(), RegistryRules::default());
        fs::remove_file(folder.join("client.key")).unwrap();
        let error = trust.rules("r.example:5000").unwrap_err().to_string();
        assert!(error.contains("client.key"), "{error}");
        let named = TlsRules {
            certificates: Some("/nonexistent".into()),
            ..TlsRules::default()
        };
        assert!(named.rules("any").is_err());
    }

    #[test]
    fn the_clusters_authority_is_for_its_services() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let trust = TlsRules {
            cluster_authorities: vec![file.path().to_owned(), "/nonexistent".into()],
            ..TlsRules::default()
        };
        let authorities = |registry: &str| trust.rules(registry).unwrap().authorities.len();
        assert_eq!(
            authorities("image-registry.openshift-image-registry.svc:5000"),
            1
        );
        assert_eq!(authorities("x.y.svc.cluster.local"), 1);
        assert_eq!(authorities("svc.example"), 0);
    }

    #[test]
    fn token_services_may_be_named() {
        let trust = TlsRules {
            token_hosts: BTreeSet::from(["login.example".to_owned()]),
            insecure: BTreeSet::from(["plain.example:5001".to_owned()]),
            ..TlsRules::default()
        };
        for (text, may) in [
            ("https://login.example/token", true),
            ("https://login.example:8443/token", true),
            ("http://login.example/token", false),
            ("http://plain.example:5001/token", true),
            ("http://plain.example/token", false),
            ("https://evil.example/token", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(trust.may_give_tokens(&url(text)), may, "{text}");
        }
    }
}
