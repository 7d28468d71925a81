//! One file of users and passwords for registries: docker's `config.json`, containers' `auth.json`
//! (containers-auth.json(5)), Kubernetes' `.dockerconfigjson`, and the older `.dockercfg`, which has the
//! entries without anything round them.
//!
//! A key of `auths` is a registry, for containers also with a path of repositories beneath it; the
//! longest that fits decides. An entry that cannot be read is a failure only for who needs it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::Value;

use crate::net::Secret;
use crate::net::credentials::RegistryLogin;
use crate::oci::{DOCKER_HUB, docker_hub_of};

/// What Docker Hub is called in files and to helpers.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user by which a helper says that its secret is an identity token.
pub(super) const TOKEN_USER: &str = "<token>";

/// Why such a file cannot be used. No word of its values is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerConfigError {
    /// Not the JSON that it ought to be.
    #[error("line {line}: not a docker configuration")]
    Json {
        /// Line of the file, from 1.
        line: usize,
    },
    /// `auth` is not base64 of `user:password`.
    #[error("auths.{key}.auth is not base64 of user:password")]
    Auth {
        /// The key in `auths`.
        key: String,
    },
}

#[derive(Deserialize)]
struct ConfigDocument {
    auths: Option<BTreeMap<String, AuthEntry>>,
    #[serde(rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

/// One entry of `auths`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct AuthEntry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    #[serde(rename = "identitytoken")]
    identity: Option<Secret>,
    #[serde(rename = "registrytoken")]
    registry: Option<Secret>,
}

/// What a file says of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfiguredLogin {
    /// It holds the credentials itself.
    Login(RegistryLogin),
    Helper {
        /// What stands after `docker-credential-`.
        name: String,
        /// What it is asked for.
        server: String,
    },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct DockerFile {
    /// By registry and path; with the key as it stands in the file.
    auths: BTreeMap<String, (String, AuthEntry)>,
    helpers: BTreeMap<String, (String, String)>,
    store: Option<String>,
}

impl DockerFile {
    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> Result<Self, DockerConfigError> {
        if text.trim().is_empty() {
            // What `touch` and an interrupted login leave behind.
            return Ok(Self::default());
        }
        // The library's message quotes the text, which may be a password.
        let wrong = |error: serde_json::Error| DockerConfigError::Json { line: error.line() };
        let document: ConfigDocument = serde_json::from_str(text).map_err(wrong)?;
        let mut file = Self {
            store: document.store.filter(|name| !name.is_empty()),
            ..Self::default()
        };
        let bare = document.auths.is_none() && document.helpers.is_none() && file.store.is_none();
        let auths = if bare {
            bare_entries(text).map_err(wrong)?
        } else {
            document.auths.unwrap_or_default()
        };
        for (key, entry) in auths {
            let place = normal(&key);
            file.auths.entry(place).or_insert((key, entry));
        }
        for (key, name) in document.helpers.unwrap_or_default() {
            file.helpers.entry(normal(&key)).or_insert((key, name));
        }
        Ok(file)
    }

    /// What it says of `registry/repository`: its helper for the registry before its entry, as docker
    /// and podman have it, and its helper for everything else last.
    pub(crate) fn lookup(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Vec<ConfiguredLogin>, DockerConfigError> {
        let places = places(registry, repository);
        let mut said = Vec::new();
        let helper = places.iter().find_map(|place| self.helpers.get(place));
        if let Some((key, name)) = helper.filter(|(_, name)| !name.is_empty()) {
            said.push(ConfiguredLogin::Helper {
                name: name.clone(),
                server: key.clone(),
            });
        }
        for place in &places {
            let Some((key, entry)) = self.auths.get(place) else {
                continue;
            };
            if let Some(login) = entry.login(key)? {
                said.push(ConfiguredLogin::Login(login));
                break;
            }
        }
        if let Some(store) = &self.store {
            said.push(ConfiguredLogin::Helper {
                name: store.clone(),
                server: server(registry),
            });
        }
        Ok(said)
    }

    /// The helper that keeps the credentials of a registry, if one does.
    pub(super) fn keeper(&self, registry: &str) -> Option<(&str, String)> {
        match self.helpers.get(&normal(registry)) {
            Some((_, name)) if name.is_empty() => None,
            Some((key, name)) => Some((name, key.clone())),
            None => self.store.as_deref().map(|name| (name, server(registry))),
        }
    }
}

impl AuthEntry {
    fn login(&self, key: &str) -> Result<Option<RegistryLogin>, DockerConfigError> {
        let given =
            |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.expose().is_empty());
        if let Some(token) = given(&self.identity) {
            return Ok(Some(RegistryLogin::Identity(token)));
        }
        if let Some(token) = given(&self.registry) {
            return Ok(Some(RegistryLogin::RegistryToken(token)));
        }
        if let Some(encoded) = given(&self.auth) {
            let wrong = || DockerConfigError::Auth {
                key: key.to_owned(),
            };
            let decoded = BASE64
                .decode(encoded.expose().trim())
                .map_err(|_| wrong())?;
            let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
            // docker pads with zero bytes in old files.
            let (user, password) = decoded
                .trim_end_matches('\0')
                .split_once(':')
                .ok_or_else(wrong)?;
            return Ok(Some(RegistryLogin::of(user, Secret::new(password))));
        }
        let (Some(user), Some(password)) = (&self.username, &self.password) else {
            return Ok(None);
        };
        Ok(Some(RegistryLogin::of(user, password.clone())))
    }
}

/// The entries of a `.dockercfg`; what is no entry in it is passed over.
fn bare_entries(text: &str) -> Result<BTreeMap<String, AuthEntry>, serde_json::Error> {
    let all: BTreeMap<String, Value> = serde_json::from_str(text)?;
    let entry = |(key, value): (String, Value)| {
        let entry = serde_json::from_value(value).ok()?;
        Some((key, entry))
    };
    Ok(all.into_iter().filter_map(entry).collect())
}

/// `registry/team/app`, `registry/team`, `registry`.
fn places(registry: &str, repository: &str) -> Vec<String> {
    let mut place = format!("{}/{repository}", normal(registry));
    let mut places = Vec::new();
    loop {
        let end = place.rfind('/');
        places.push(place.clone());
        match end {
            Some(end) => place.truncate(end),
            None => return places,
        }
    }
}

/// What a registry is called to a helper that knows several.
fn server(registry: &str) -> String {
    if docker_hub_of(registry) == DOCKER_HUB {
        DOCKER_HUB_KEY.to_owned()
    } else {
        registry.to_owned()
    }
}

/// A key without scheme and slashes at the end, and without the `/v1/` of the registry's whole interface;
/// Docker Hub's names as one. A path that only ends so is a repository's.
pub(super) fn normal(key: &str) -> String {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let bare = bare.trim_end_matches('/');
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = if matches!(path, "v1" | "v2") {
        ""
    } else {
        path
    };
    let host = host.to_ascii_lowercase();
    let host = docker_hub_of(&host).to_owned();
    if path.is_empty() {
        host
    } else {
        format!("{host}/{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(file: &DockerFile, registry: &str, repository: &str) -> Vec<String> {
        let words = |said: &ConfiguredLogin| match said {
            ConfiguredLogin::Login(RegistryLogin::Basic(basic)) => {
                format!("{} {}", basic.user, basic.password.expose())
            }
            ConfiguredLogin::Login(RegistryLogin::Identity(token)) => {
                format!("identity {}", token.expose())
            }
            ConfiguredLogin::Login(RegistryLogin::RegistryToken(token)) => {
                format!("bearer {}", token.expose())
            }
            ConfiguredLogin::Helper { name, server } => format!("{name}({server})"),
        };
        file.lookup(registry, repository)
            .unwrap()
            .iter()
            .map(words)
            .collect()
    }

    #[test]
    fn finds_the_longest_path() {
        let file = DockerFile::parse(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "aHViOnB3OjE="},
                "R.example:5000": {"username": "whole", "password": "2"},
                "r.example:5000/team/app": {"auth": "YXBwOjM="},
                "helper.example": {}
            }}"#,
        )
        .unwrap();
        assert_eq!(
            said(&file, "registry-1.docker.io", "library/x"),
            ["hub pw:1"]
        );
        assert_eq!(said(&file, "docker.io", "library/x"), ["hub pw:1"]);
        assert_eq!(said(&file, "r.example:5000", "team/app"), ["app 3"]);
        assert_eq!(said(&file, "r.example:5000", "team/app/sub"), ["app 3"]);
        assert_eq!(said(&file, "r.example:5000", "team/apple"), ["whole 2"]);
        assert!(said(&file, "r.example", "team/app").is_empty());
        assert!(said(&file, "helper.example", "x").is_empty());
        let short = DockerFile::parse(r#"{"auths": {"docker.io": {"auth": "aDpw"}}}"#).unwrap();
        assert_eq!(said(&short, "index.docker.io", "x"), ["h p"]);
    }

    #[test]
    fn helpers_and_tokens() {
        let file = DockerFile::parse(
            r#"{"auths": {
                "i.example": {"auth": "dTpw", "identitytoken": "id"},
                "r.example": {"registrytoken": "reg"},
                "t.example": {"username": "<token>", "password": "idt"},
                "docker.io": {}
            }, "credHelpers": {"h.example": "ecr", "off.example": ""}, "credsStore": "pass"}"#,
        )
        .unwrap();
        assert_eq!(
            said(&file, "i.example", "x"),
            ["identity id", "pass(i.example)"]
        );
        assert_eq!(said(&file, "r.example", "x")[0], "bearer reg");
        assert_eq!(said(&file, "t.example", "x")[0], "identity idt");
        let hub = ["pass(https://index.docker.io/v1/)"];
        assert_eq!(said(&file, "docker.io", "library/x"), hub);
        assert_eq!(
            said(&file, "h.example", "x"),
            ["ecr(h.example)", "pass(h.example)"]
        );
        assert_eq!(file.keeper("h.example").unwrap().0, "ecr");
        assert_eq!(file.keeper("off.example"), None);
        assert_eq!(file.keeper("x").unwrap(), ("pass", "x".to_owned()));
    }

    #[test]
    fn the_older_form_is_read() {
        let file = DockerFile::parse(
            r#"{"image-registry.svc:5000": {"username": "serviceaccount", "password": "t", "email": "e@x"},
                "other": 5}"#,
        )
        .unwrap();
        assert_eq!(
            said(&file, "image-registry.svc:5000", "p/i"),
            ["serviceaccount t"]
        );
        let settings = DockerFile::parse(r#"{"HttpHeaders": {"User-Agent": "x"}}"#).unwrap();
        assert!(said(&settings, "httpheaders", "x").is_empty());
        assert!(said(&DockerFile::parse(" \n").unwrap(), "x", "y").is_empty());
    }

    #[test]
    fn errors_show_no_password() {
        let error = |text: &str| DockerFile::parse(text).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"auths": {"h": {"auth": 5}}}"#),
            "line 1: not a docker configuration"
        );
        let file = DockerFile::parse(r#"{"auths": {"h": {"auth": "c2VjcmV0"}}}"#).unwrap();
        let wrong = file.lookup("h", "x").unwrap_err().to_string();
        assert!(
            wrong.contains("auths.h.auth") && !wrong.contains("c2Vj"),
            "{wrong}"
        );
        assert!(file.lookup("other", "x").unwrap().is_empty());
        assert!(!format!("{file:?}").contains("c2Vj"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(key in ".{0,12}", auth in "[A-Za-z0-9+/=ä]{0,16}", at in 0..60_usize) {
            let key = serde_json::to_string(&key).unwrap();
            let text = format!(r#"{{"auths": {{{key}: {{"auth": "{auth}"}}}}}}"#);
            if let Ok(file) = DockerFile::parse(&text) {
                let _ = file.lookup("h:5000", "team/app");
            }
            let _ = DockerFile::parse(text.get(..at).unwrap_or_default());
        }
    }

    #[test]
    fn a_repository_may_be_called_v2() {
        assert_eq!(normal("https://Quay.io/v2/"), "quay.io");
        assert_eq!(normal("quay.io/team/v2"), "quay.io/team/v2");
        assert_ne!(normal("quay.io/team/v1"), normal("quay.io/team"));
    }
}
