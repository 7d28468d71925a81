//! `auths` of docker's `config.json` and of containers' `auth.json` (containers-auth.json(5)): a key is a
//! registry, for containers also with a path of repositories beneath it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use crate::net::Secret;
use crate::net::credentials::Basic;

/// Names of the one registry that goes by several.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Why such a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerConfigError {
    /// Not the JSON that it ought to be.
    #[error("line {line}: not a docker configuration")]
    Json {
        /// From 1.
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
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(rename = "auth")]
    encoded: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// Users and passwords by registry and path.
#[derive(Debug, Clone, Default)]
pub(super) struct DockerAuths {
    by_key: BTreeMap<String, Basic>,
}

impl DockerAuths {
    /// Adds the entries of one file; those already here stay.
    pub(super) fn add(&mut self, text: &str) -> Result<(), DockerConfigError> {
        // The library's message quotes the text, which may be a password.
        let file: File = serde_json::from_str(text)
            .map_err(|error| DockerConfigError::Json { line: error.line() })?;
        for (key, auth) in file.auths {
            let Some(basic) = basic(&key, &auth)? else {
                continue;
            };
            self.by_key.entry(normal(&key)).or_insert(basic);
        }
        Ok(())
    }

    /// The entry for `registry/repository`, or for the longest path above it.
    pub(super) fn lookup(&self, registry: &str, repository: &str) -> Option<Basic> {
        let mut key = format!("{}/{repository}", normal(registry));
        loop {
            if let Some(basic) = self.by_key.get(&key) {
                return Some(basic.clone());
            }
            let end = key.rfind('/')?;
            key.truncate(end);
        }
    }
}

fn basic(key: &str, auth: &Auth) -> Result<Option<Basic>, DockerConfigError> {
    if let Some(encoded) = auth
        .encoded
        .as_deref()
        .filter(|encoded| !encoded.is_empty())
    {
        let wrong = || DockerConfigError::Auth {
            key: key.to_owned(),
        };
        let decoded = BASE64.decode(encoded.trim()).map_err(|_| wrong())?;
        let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
        // docker pads with zero bytes in old files.
        let (user, password) = decoded
            .trim_end_matches('\0')
            .split_once(':')
            .ok_or_else(wrong)?;
        return Ok(Some(Basic {
            user: user.to_owned(),
            password: Secret::new(password),
        }));
    }
    let (Some(user), Some(password)) = (&auth.username, &auth.password) else {
        return Ok(None);
    };
    Ok(Some(Basic {
        user: user.clone(),
        password: Secret::new(password.as_str()),
    }))
}

/// A key without scheme, `/v1/` and slashes at the end; Docker Hub's names as one.
fn normal(key: &str) -> String {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let bare = bare.trim_end_matches('/');
    let bare = bare
        .strip_suffix("/v1")
        .or_else(|| bare.strip_suffix("/v2"))
        .unwrap_or(bare);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let host = host.to_ascii_lowercase();
    let host = if DOCKER_HUB.contains(&host.as_str()) {
        "docker.io".to_owned()
    } else {
        host
    };
    if path.is_empty() {
        host
    } else {
        format!("{host}/{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_longest_path() {
        let mut auths = DockerAuths::default();
        auths
            .add(
                r#"{"auths": {
                    "https://index.docker.io/v1/": {"auth": "aHViOnB3OjE="},
                    "R.example:5000": {"username": "whole", "password": "2"},
                    "r.example:5000/team/app": {"auth": "YXBwOjM="},
                    "helper.example": {}
                }, "credsStore": "x"}"#,
            )
            .unwrap();
        auths
            .add(r#"{"auths": {"docker.io": {"auth": "bGF0ZXI6MQ=="}}}"#)
            .unwrap();
        let user = |registry: &str, repository: &str| {
            auths
                .lookup(registry, repository)
                .map(|basic| (basic.user, basic.password.expose().to_owned()))
        };
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(
            user("registry-1.docker.io", "library/x"),
            pair("hub", "pw:1")
        );
        assert_eq!(user("r.example:5000", "team/app"), pair("app", "3"));
        assert_eq!(user("r.example:5000", "team/app/sub"), pair("app", "3"));
        assert_eq!(user("r.example:5000", "team/apple"), pair("whole", "2"));
        assert_eq!(user("r.example", "team/app"), None);
        assert_eq!(user("helper.example", "x"), None);
    }

    #[test]
    fn errors_show_no_password() {
        let error = |text: &str| DockerAuths::default().add(text).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"auths": {"h": {"auth": 5}}}"#),
            "line 1: not a docker configuration"
        );
        let wrong = error(r#"{"auths": {"h": {"auth": "c2VjcmV0"}}}"#);
        assert!(
            wrong.contains("auths.h.auth") && !wrong.contains("c2Vj"),
            "{wrong}"
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(key in ".{0,12}", auth in "[A-Za-z0-9+/=ä]{0,16}", at in 0..60_usize) {
            let key = serde_json::to_string(&key).unwrap();
            let text = format!(r#"{{"auths": {{{key}: {{"auth": "{auth}"}}}}}}"#);
            let mut auths = DockerAuths::default();
            let _ = auths.add(&text);
            let _ = auths.lookup("h:5000", "team/app");
            let _ = DockerAuths::default().add(text.get(..at).unwrap_or_default());
        }
    }
}
